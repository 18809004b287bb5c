#!lua name=turnout
-- The routing table's functions in Redis (7.0 and later). Every change is one call, so it is atomic: it compares,
-- numbers, writes and records in one step. The build joins the files of this folder in order of their names; each
-- registers its own functions at its end.
--
-- Keys, all with the hash tag of the prefix P (by default "{turnout}"), so that they share one slot:
--   P:version            the number of the last change
--   P:chain              fingerprint of the history: sha1hex(previous chain .. "\n" .. entry), "" at the start
--   P:shortcodes         set of the shortcodes that have a row
--   P:route:<shortcode>  hash, carrier -> "platform state previous changed_ms version [next]" ("-" for no previous;
--                        next: the platform to which an open window will move it, whose legs are bound already)
--                        A number has a row, too, if it has an override: "+" and its digits for a shortcode, one
--                        cell under .number, whose platform is the number's carrier
--   P:numbers            set of these shortcodes, at most NUMBERS_MAX
--   P:changes            stream, one entry a change, its id is "<version>-0"; fields:
--                          kind   flip | set | import | rollback | restore | window
--                          at     Redis' clock, ms since 1970
--                          who, why, ticket
--                          moves  one line a cell: "shortcode carrier from from_state to state previous [next]",
--                                 "-" for no platform or state; to "-" removes the cell. Only cells that the
--                                 change altered are listed
--                          parent the history's fingerprint before this change
--                          chain  the history's fingerprint with this change
--                          confirm  only with a deadline: when it goes back unless it is confirmed, ms
--                          began  only at the end of a strict flip: the version of its hold, and of other holds of
--                                 strict flips that it opened and that would have gone back by themselves
--                          guard  only with one: what it watches for (38-guards)
--                          window only of changes made in open windows: their names (37-window-cells)
--                          outside  only of a move of cells outside of any open window: these, one a line,
--                                 "shortcode carrier [window paused]"
--                          without  only where instances were left out of the barrier by order: these, one a line
--                          forced only of a flip that was made without preflight, by order
--                          undoes only of a rollback: the version that it sets back
--                          left   only where a deadline passed: one line for each cell that somebody changed since
--                                 and that therefore stays, "shortcode carrier is is_state was was_state version
--                                 at who" (the last three: the change since)
--                        a restore has no moves but "rows" (their number) and "digest" (sha1 of the request):
--                        followers load the whole table
--   P:confirm            sorted set, version -> deadline in ms: changes that await confirmation
--   P:undone             sorted set, version -> version of the rollback that set it back; the last 1000
--   P:confirmations      stream: version, outcome (confirmed | gone_back | left | lost | void |
--                        replaced), at, who, why
--   P:left_out           stream, the last 1000: version, at, who, why, without: instances left out of the barrier
--                        of a change that was made before
--   P:number_swaps       stream: who had the portability tables swapped, and why (69-numbers)
--   P:number_swap_ends   stream: how each of these ended (69-numbers)
--   P:events             stream: what happened, for those who tell others (35-events)
--   P:windows, P:windowed, P:window:<name>, P:window_due  the windows (37-window-cells, 60-window)
--   P:applied, P:applied:<version>, P:barrier:<version>  which instance had applied it when (68-applied)
--   P:guards, P:guards:...   what flips are watched for (38-guards)
--   P:evidence:..., P:alarms what the instances have seen since, and what came of it (65-evidence, 36-alarms)
--   P:instances          sorted set, instance -> last beat in ms
--   P:on_loss            hash, instance -> what it does without Redis (serve | fence): outlives its entry
--   P:instance:<id>      hash with a time to live: applied and the chain at that version, followed and followed_chain,
--                        the same of the table that its workers are given by and by, desired, state, obstacle,
--                        beat, and what the instance reports; of that, "unsettled" is what strict flips
--                        read: "table carrier:platform=version ...", the links on which something routed by a table
--                        before the one in use is unanswered, 32 at most (routing/settled.h)
--
-- Functions. KEYS[1] is always P:version; the other keys follow from it. Replies are flat arrays; numbers are
-- integers, all else is strings.
--   turnout_change  args: request (JSON: {"kind","who","why","ticket","confirm_within_ms","began",
--                   "moves":[{"shortcode","carrier","to","state","from","from_state","from_version"}]}).
--                   "next": as in a cell, "" for none; absent = as it is, and none where the move goes there.
--                   from: absent = whatever is there, "" = no cell may be there, a name = that platform must be there;
--                   from_state likewise; from_version: the cell must not have been written since that change.
--                   to "" removes the cell. state absent = "open". All or nothing.
--                   A flip moves cells of open windows; with "outside_window": true also others, and that is recorded.
--                   So it is with any other change of a route that is there already to another platform.
--                   With "window" it is refused unless that one is open and all the cells belong to it.
--                   With confirm_within_ms the change goes back by itself unless turnout_confirm comes in time.
--                   The hold of a strict flip (a flip to state hold) is not to be confirmed: its deadline ends with
--                   the change that opens its cells, whose way back is then to what was before the hold; the same
--                   hold again, with confirm_within_ms, puts the deadline off.
--                   "without": instances that are not waited for; "forced": without preflight. Both are recorded;
--                   where nothing is to be changed, "without" is recorded in P:left_out.
--                   -> {"ok", version, at_ms [, deadline_ms]} | {"conflict", version, "shortcode carrier is-platform
--                   is-state wanted-platform wanted-state [version at who]" ...} ("-": no cell, "*": any; at the
--                   end the change that set it last, where it is found) | {"unchanged", version} where every move
--                   is what is there already | {"invalid", version, reason ...}
--                   | {"outside", version, "shortcode carrier [window state]" ...} | {"state", version, window, state, command ...}
--   turnout_rollback args: request (JSON: {"who","why","ticket","version","shortcodes":[...],"force"}). Sets every
--                   cell that this change moved (or only those of the shortcodes) back to what it was before, in
--                   one change. A cell must still be what that change made of it, or already be what it was before;
--                   with force it may be anything. A pending confirmation of the change is done with.
--                   -> {"ok", new version, at_ms, line ...} (as in "moves") | conflict, unchanged and invalid as above
--                   | {"missing", version, reason}
--   turnout_confirm args: request (JSON: {"who","why","ticket","version"}); version may be absent where one change
--                   waits. -> {"confirmed", version} | {"gone_back", version, version of the rollback} |
--                   {"nothing", version or 0} | {"several", version ...} | {"invalid", version, reason}
--   turnout_due     Sets back what was not confirmed in time, as every turnout_beat and turnout_confirm does: the
--                   first call after a deadline does it, the others find nothing. -> ms until the next deadline, or -1
--   turnout_load    args: cursor, count. -> {version, chain, next cursor ("0" at the end), shortcode, carrier, value ...}
--                   Rows of one page are of one moment; pages are not: follow the changes since the first
--                   page's version before using them. A row may come twice. Only reads.
--   turnout_beat    args: id, lease_ms, field, value ... -> version. The fields replace the instance's entry.
--                   An entry that lives and has another "token" is another process's: error "TAKEN token host pid",
--                   unless that token is given in the field "takes_over".
--   turnout_leave   args: id. -> 1 | 0 (unknown)
--   turnout_instances -> {now_ms, then for each: id, lease left in ms (-1: dead), number of strings, field, value ...}
--                   "history" is added: "same" or "other", whether what it has applied, and what some of its workers
--                   may go by already, is part of this history; "unheard" until it has told this server itself,
--                   since it started or took over: the entry is then another's, or of before.
--                   A dead instance has the fields "beat", its last one, and "on_loss", where it has told so. Only
--                   reads.
--   turnout_forget  args: id. Takes a dead instance out of the list. -> 1 | 0 (alive, or unknown)
--   turnout_restore args: request (JSON: {"who","why","ticket","version","rows":{shortcode:{carrier:value}}}).
--                   Replaces the whole table, with a version higher than its own, the given one and any that a
--                   living instance serves or knows of. -> {"ok", version} | {"invalid", version, reason ...}
--   turnout_numbers_swapped  notes a swap of the portability tables that is ordered now (69-numbers)
--   turnout_numbers_ended    notes how it ended (69-numbers)
--   turnout_info    -> {library version, version, chain, number of shortcodes}. Only reads.

-- Raise it with every change of this file: instances load the library where Redis has a lower one.
local LIBRARY_VERSION = 10

local SHORTCODE_LEN_MAX = 20
local NAME_LEN_MAX = 31
local TEXT_LEN_MAX = 1000
local MOVES_MAX = 50000
local REASONS_MAX = 50
local CELLS_AT_ONCE = 100            -- in one call of Redis
local NUMBER = '.number'                -- in the place of a carrier: the row is of a number
local NUMBER_DIGITS_MAX = 15
local NUMBERS_MAX = 10000
local VERSION_MAX = 9007199254740991 -- 2^53 - 1: Lua's and JSON's numbers are exact up to here
local CHANGES_KEPT = 100000          -- entries of the audit stream, about
local INSTANCE_ID_LEN_MAX = 200
local CONFIRM_MAX_MS = 7 * 86400000
local CONFIRM_TIMER = 'confirm-timer' -- who sets back what was not confirmed
local DUE_AT_ONCE = 16               -- deadlines carried out in one call
local DUE_AGAIN_MS = 200             -- when to look again at one that is over and could not be carried out
local UNDONE_KEPT = 1000
local CONFIRMATIONS_KEPT = 10000
local LOOK_BACK_ENTRIES = 1000       -- how far a conflict's author is looked for
local LOOK_BACK_LINES = 100000
local LEFT_NAMED = 5                 -- cells left that the text of a rollback names; all of them are in "left"

local STATES = { open = true, hold = true, closed = true }
local KINDS = { flip = true, set = true, import = true, rollback = true }

