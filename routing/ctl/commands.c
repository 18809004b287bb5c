/* See commands.h. */
#include "routing/ctl/commands.h"

#include <stdio.h>
#include <string.h>

#define EXIT(code) (1u << (code))
#define EXITS_CHANGE                                                                            \
    (EXIT(CTL_CONFLICT) | EXIT(CTL_INCOMPLETE) | EXIT(CTL_UNCHANGED) | EXIT(CTL_NO_INSTANCES) | \
     EXIT(CTL_INVALID) | EXIT(CTL_UNKNOWN) | EXIT(CTL_NOT_REPLICATED))
#define TAKES_CHANGE \
    (OPTION(WHY) | OPTION(TICKET) | OPTION(NO_WAIT) | OPTION(REPLICAS) | OPTION(ANY_LINK) | OPTION(WITHOUT))
#define TAKES_CONFIRM OPTION(CONFIRM_WITHIN)
#define TAKES_GUARD                                                                        \
    (OPTION(GUARD_ERRORS) | OPTION(GUARD_MIN) | OPTION(GUARD_MO) | OPTION(GUARD_RECEIPT) | \
     OPTION(GUARD_LEG) | OPTION(GUARD_ACTION) | OPTION(GUARD_FOR))
#define JSON_CHANGE                                                                                         \
    "version, changed, moves [shortcode, carrier, from, from_state, to, state], barrier (complete, live, "  \
    "applied, "                                                                                             \
    "ms_from_start, ms_from_change, missing [id, applied, state, obstacle, silent_ms], dead [id, "          \
    "silent_ms], left_out [as missing]), replicas (wanted, acknowledged), "                                 \
    "conflicts [shortcode, carrier, is, is_state, expected, expected_state, version, at_ms, who], errors, " \
    "confirm_by_ms"
#define EXITS_OF_WINDOW (EXIT(CTL_NOT_FOUND) | EXIT(CTL_WINDOW))
#define EXITS_WINDOW    (EXITS_OF_WINDOW | EXIT(CTL_INVALID) | EXIT(CTL_UNKNOWN))
#define TAKES_WINDOW    (OPTION(WHY) | OPTION(TICKET))
#define JSON_WINDOW     "version, changed, errors, window_state"
#define JSON_TABLE                                                                                       \
    "table (version, built_ms, checksum, numbers, bounds, octets), carriers {name: how many numbers by " \
    "themselves}"

const struct command command_table[] = {
    {
        .words = "status",
        .args = "[SHORTCODE]",
        .args_max = 1,
        .brief = "show the version, the instances, the board and what was seen",
        .text =
            "The board has a line for each shortcode and a column for each carrier; it ends after 50 "
            "lines. A state other than open stands behind the platform, and ! behind a cell with an alarm. "
            "Below it, what was seen of the cells that moved within a day or are about to, since their move: "
            "messages accepted (ok) and gone wrong (err) on the new route, MO, receipts (rcpt), traffic on "
            "the "
            "wrong path (by the platform that the route does not name), and MO seen twice, on both "
            "platforms.\n\n"
            "With SHORTCODE, all that was seen of each of its carriers.",
        .json = "version, chain, shortcodes, live, dead, instances [as in instances], board {shortcode: "
                "{carrier: {platform, state, previous, next, changed_ms, alarms}}}, board_complete, evidence "
                "[shortcode, carrier, changed_ms, now, other, before {counts, and times in ms}, mo_twice, "
                "minutes ...], "
                "guards [as in guards], alarms [as in alarms], pending [version, deadline_ms, left_ms, who]",
        .exits = EXIT(CTL_NOT_FOUND),
        .run = run_status,
    },
    {
        .words = "watch",
        .args = "",
        .takes = OPTION(OUTSIDE_WINDOW),
        .brief = "keep the board on the screen, and act on a cell by keys",
        .text = "The board, refreshed each second. The arrow keys move, Enter shows all of a cell; f flips, "
                "h holds, o "
                "opens, r rolls back and c confirms the selected cell: the command that will be run is "
                "shown, and run "
                "after y and a reason. ? shows all keys. With --outside-window flips say so. It needs a "
                "terminal.",
        .json = "nothing: it is for a screen",
        .run = run_watch,
    },
    {
        .words = "guards",
        .args = "",
        .takes = OPTION(LAST),
        .brief = "show the guards of flips and what they find",
        .text = "A guard watches a flip (--guard-...): it compares the share of messages that go wrong on "
                "the new route "
                "with the share before, waits for MO or receipts, and for lost legs. Where too little was "
                "seen it is "
                "inconclusive: neither good nor bad. The evidence of all instances is judged.",
        .json =
            "guards [id, version, state (watching, or how it ended), verdict, what, action, at_ms, until_ms, "
            "ended_ms, cells [shortcode, carrier, from, to]]",
        .run = run_guards,
    },
    {
        .words = "alarms",
        .args = "",
        .takes = OPTION(LAST),
        .brief = "show the alarms that guards and windows have raised",
        .text = "The newest first. What an alarm names stays marked on the board until it is acknowledged.",
        .json = "alarms [id, version, window, at_ms, cells, what, verdict, action, outcome, "
                "rollback_version, left, "
                "instance, acknowledged (who, at_ms, why)]",
        .run = run_alarms,
    },
    {
        .words = "alarms ack",
        .args = "ID",
        .args_min = 1,
        .args_max = 1,
        .takes = OPTION(WHY),
        .brief = "acknowledge an alarm",
        .text = "It is shown by status and watch no more, and kept for reports.",
        .json = "id",
        .exits = EXIT(CTL_NOT_FOUND) | EXIT(CTL_INVALID),
        .run = run_alarms_ack,
    },
    {
        .words = "flip",
        .args = "SHORTCODE...",
        .args_min = 1,
        .args_max = 100000,
        .takes = OPTION(CARRIER) | OPTION(TO) | OPTION(FROM) | OPTION(CREATE) | OPTION(STRICT) |
                 OPTION(DRAIN) | OPTION(FORCE) | OPTION(PROBE) | OPTION(TEXT) | OPTION(CLIENT) |
                 OPTION(OUTSIDE_WINDOW) | TAKES_CONFIRM | TAKES_GUARD | TAKES_CHANGE,
        .needs = OPTION(CARRIER) | OPTION(TO),
        .brief = "move shortcodes of one carrier to another platform",
        .text =
            "All shortcodes move in one change, or none does. The change is made only where the table is as "
            "expected: with --from, that platform serves now; without, nothing differs from what this "
            "command "
            "has just read. Then it waits until every live instance has applied the change: from that moment "
            "no instance sends another message by the route before. The routes are open afterwards.\n\n"
            "A flip moves what belongs to an open window (turnoutctl window). Routes of no window, or of one "
            "that is not open, are refused, unless --outside-window is given, which the log shows.\n\n"
            "The shortcode * is the default row. A shortcode without a row of its own is refused, unless "
            "--create is given. A platform that a live instance has no link to for this carrier is refused, "
            "unless --any-link is given.\n\n"
            "Before anything is changed the instances are asked whether they can bind the new link "
            "(turnoutctl "
            "preflight); where one cannot, the flip is refused. With --force nobody is asked, and the log "
            "says "
            "so. With --probe one test message must come through first.\n\n"
            "An instance that hangs or is cut off from Redis is named, and the flip is incomplete until it "
            "is "
            "back, dead (its lease is over), or left out with --without, which the log shows: it may still "
            "send "
            "messages by the route before.\n\n"
            "With --confirm-within the change goes back by itself unless it is confirmed in time, whatever "
            "becomes of this terminal. So does the hold of --strict, where the routes are not opened within "
            "--timeout, --drain and this time.\n\n"
            "With --guard-... the flip is watched after it was made, and an alarm raised, or the change set "
            "back, where it goes wrong; see \"turnoutctl help guards\".\n\n"
            "With --strict no message overtakes another across platforms: the routes are held, and opened on "
            "the new platform when no instance has an unanswered message of before on the links of these "
            "carriers, those to the new platform apart. Where that does not come to its end, also with "
            "Ctrl-C, they stay on hold, and the commands that go on or back are shown. Where somebody else "
            "changes them meanwhile, the wait ends at once: with a conflict where none is on hold any more.",
        .json = JSON_CHANGE ", preflight and message as in preflight, outside [shortcode, carrier, window, "
                            "state], held_version, hold_goes_back_ms, ended [shortcode, "
                            "carrier, is, is_state, version, at_ms, who], steps [step, ms, "
                            "version], now [as in route list], commands (wait_on, "
                            "open, go_back); with --strict barrier.missing has settled, in_flight, "
                            "unanswered_on too",
        .exits =
            EXITS_CHANGE | EXIT(CTL_NOT_FOUND) | EXIT(CTL_STOPPED) | EXIT(CTL_WINDOW) | EXIT(CTL_PREFLIGHT),
        .run = run_flip,
    },
    {
        .words = "rollback",
        .args = "[SHORTCODE...]",
        .args_max = 100000,
        .takes = OPTION(VERSION) | OPTION(WINDOW) | OPTION(FORCE) | TAKES_CHANGE,
        .brief = "undo the last change, another one, or a whole window",
        .text =
            "Every route that the change moved goes back to what it was before, platform and state, in one "
            "change. That is done only where it still is what that change made of it, or with --force. A "
            "strict flip goes back to what was before its hold. With SHORTCODEs only these go back, by "
            "default those of the newest change that moved one of them. A pending confirmation of the change "
            "is done with. Then it waits for the instances as flip does.\n\n"
            "With --window all that a window moved goes back, as window rollback does.",
        .json = "undoes; " JSON_CHANGE,
        .exits = EXITS_CHANGE | EXIT(CTL_NOT_FOUND),
        .run = run_rollback,
    },
    {
        .words = "confirm",
        .args = "[VERSION]",
        .args_max = 1,
        .takes = OPTION(WHY) | OPTION(TICKET) | OPTION(REPLICAS),
        .brief = "keep a change that would go back by itself",
        .text = "Without VERSION the one change that awaits confirmation. The answers are: confirmed, "
                "already gone "
                "back (conflict), and nothing to confirm (not_found).",
        .json =
            "outcome (confirmed, already gone back, nothing to confirm, several), version, rollback_version, "
            "versions, replicas (wanted, acknowledged)",
        .exits = EXIT(CTL_CONFLICT) | EXIT(CTL_NOT_FOUND) | EXIT(CTL_INVALID) | EXIT(CTL_UNKNOWN) |
                 EXIT(CTL_NOT_REPLICATED),
        .run = run_confirm,
    },
    {
        .words = "route list",
        .args = "[SHORTCODE]",
        .args_max = 1,
        .brief = "show the routing table",
        .text = "The shortcode * is the default row: it serves where there is no row for a shortcode and "
                "carrier. "
                "PREVIOUS is the platform before the last move, AGE the time since then.",
        .json = "version, routes [shortcode, carrier, platform, state, previous, next, changed_ms, version]",
        .exits = EXIT(CTL_NOT_FOUND),
        .run = run_route_list,
    },
    {
        .words = "route set",
        .args = "SHORTCODE",
        .args_min = 1,
        .args_max = 1,
        .takes = OPTION(CARRIER) | OPTION(TO) | OPTION(STATE) | OPTION(FROM) | OPTION(OUTSIDE_WINDOW) |
                 TAKES_CONFIRM | TAKES_CHANGE,
        .needs = OPTION(CARRIER) | OPTION(TO),
        .brief = "set one route, whatever it was",
        .text =
            "Makes the row where there is none. With --from it is refused unless that platform serves now. A "
            "row that is there is moved to another platform as flip does it: in an open window, or with "
            "--outside-window.",
        .json = JSON_CHANGE ", outside as in flip",
        .exits = EXITS_CHANGE | EXIT(CTL_WINDOW),
        .run = run_route_set,
    },
    {
        .words = "route hold",
        .args = "SHORTCODE...",
        .args_min = 1,
        .args_max = 100000,
        .takes = OPTION(CARRIER) | TAKES_CONFIRM | TAKES_CHANGE,
        .needs = OPTION(CARRIER),
        .brief = "keep messages back, on the platform as it is",
        .text = "They wait for the client's hold budget, and are refused then. \"turnoutctl flip\" opens the "
                "route "
                "on another platform, \"turnoutctl route open\" where it is.",
        .json = JSON_CHANGE,
        .exits = EXITS_CHANGE | EXIT(CTL_NOT_FOUND),
        .run = run_route_hold,
    },
    {
        .words = "route open",
        .args = "SHORTCODE...",
        .args_min = 1,
        .args_max = 100000,
        .takes = OPTION(CARRIER) | TAKES_CONFIRM | TAKES_CHANGE,
        .needs = OPTION(CARRIER),
        .brief = "let messages pass, on the platform as it is",
        .text = "",
        .json = JSON_CHANGE,
        .exits = EXITS_CHANGE | EXIT(CTL_NOT_FOUND),
        .run = run_route_open,
    },
    {
        .words = "route close",
        .args = "SHORTCODE...",
        .args_min = 1,
        .args_max = 100000,
        .takes = OPTION(CARRIER) | TAKES_CONFIRM | TAKES_CHANGE,
        .needs = OPTION(CARRIER),
        .brief = "refuse messages at once, on the platform as it is",
        .text = "",
        .json = JSON_CHANGE,
        .exits = EXITS_CHANGE | EXIT(CTL_NOT_FOUND),
        .run = run_route_close,
    },
    {
        .words = "route remove",
        .args = "SHORTCODE",
        .args_min = 1,
        .args_max = 1,
        .takes = OPTION(CARRIER) | OPTION(FROM) | TAKES_CHANGE,
        .needs = OPTION(CARRIER),
        .brief = "remove one route; the default row serves from then on",
        .text = "With --from it is refused unless that platform serves now.",
        .json = JSON_CHANGE,
        .exits = EXITS_CHANGE,
        .run = run_route_remove,
    },
    {
        .words = "route import",
        .args = "FILE",
        .args_min = 1,
        .args_max = 1,
        .takes = OPTION(DRY_RUN) | OPTION(OUTSIDE_WINDOW) | TAKES_CONFIRM | TAKES_CHANGE,
        .brief = "set all routes of a CSV file in one change",
        .text =
            "The columns are shortcode,carrier,platform and, if you like, state (open, hold or closed); a "
            "first "
            "line with these names is skipped. FILE may be - for the standard input. Either every line is "
            "taken "
            "or none is, and every error is shown with its line. Routes that the file does not name stay as "
            "they are. Those that are there already and go to another platform must belong to an open "
            "window, or --outside-window be given, which the log shows.",
        .json = "rows, new, differing, same (with --dry-run also changes), errors [line, error]; " JSON_CHANGE
                ", outside as in flip",
        .exits = EXITS_CHANGE | EXIT(CTL_WINDOW),
        .run = run_route_import,
    },
    {
        .words = "route export",
        .args = "[FILE]",
        .args_max = 1,
        .brief = "write the routing table as a CSV file",
        .text = "Without FILE it goes to the standard output. What is exported can be imported again.",
        .json = "version, rows; file, or routes as in route list",
        .run = run_route_export,
    },
    {
        .words = "route restore",
        .args = "FILE",
        .args_min = 1,
        .args_max = 1,
        .takes = OPTION(YES) | TAKES_CHANGE,
        .brief = "replace the table in Redis by an instance's snapshot",
        .text = "For a Redis that has lost its table. FILE is a snapshot as an instance keeps it on disk: "
                "take the "
                "one with the highest version. Every route in Redis is replaced. Windows, deadlines of "
                "confirmation, guards "
                "and alarms are not in it: those that Redis has lost stay lost.",
        .json = JSON_CHANGE ", snapshot_version, rows",
        .exits = EXITS_CHANGE | EXIT(CTL_NOT_CONFIRMED),
        .run = run_route_restore,
    },
    {
        .words = "window create",
        .args = "NAME FILE",
        .args_min = 2,
        .args_max = 2,
        .takes = OPTION(START) | OPTION(END) | OPTION(ZONE) | OPTION(AUTO) | TAKES_GUARD | TAKES_WINDOW,
        .needs = OPTION(START) | OPTION(END),
        .brief = "plan a migration window from a CSV file",
        .text = "The columns are shortcode,carrier,to and, if you like, at: the time when it moves by "
                "itself. FILE may be - "
                "for the standard input. Times have an offset from UTC, or are local times of --zone; one "
                "that the "
                "clocks skip, or show twice, is refused.\n\n"
                "The window is planned until it is started, by window start or, with --auto, by itself. It "
                "then is "
                "open: the legs of both platforms are bound, and window step or flip moves its routes. It "
                "ends with "
                "window finish, or with window rollback, which takes everything back.\n\n"
                "A guard given here watches every move of the window that is given none of its own.",
        .json = "window, moves, start_ms, end_ms, errors [line, error] or [text], version",
        .exits = EXITS_WINDOW,
        .run = run_window_create,
    },
    {
        .words = "window list",
        .args = "",
        .brief = "show the windows",
        .text =
            "MOVED counts the routes that are on the platform to which the window moves them. OVERDUE: its "
            "end is over, and it has not been finished. ALARMS counts those that nobody has acknowledged.",
        .json = "windows [name, state, zone, who, why, ticket, total, moved, left, start_ms, end_ms, auto, "
                "overdue, "
                "alarms]",
        .run = run_window_list,
    },
    {
        .words = "window show",
        .args = "NAME",
        .args_min = 1,
        .args_max = 1,
        .brief = "show a window, and where each of its routes stands",
        .text = "Routes are waiting, moved, already there when the window started (or now, of one that has "
                "not started), or elsewhere. OVERDUE: its end is over, and it has not been finished. Its "
                "open alarms are at the end.",
        .json =
            "window {name, state, zone, who, why, ticket, guard, start_ms, end_ms, created_ms, opened_ms, "
            "finished_ms, "
            "cancelled_ms, rolled_back_ms, auto, overdue}, alarms [as in alarms], cells [shortcode, carrier, "
            "to, at_ms, before, "
            "before_state, "
            "platform, state, version, progress, failed]",
        .exits = EXIT(CTL_NOT_FOUND),
        .run = run_window_show,
    },
    {
        .words = "window check",
        .args = "NAME [FILE]",
        .args_min = 1,
        .args_max = 2,
        .brief = "see whether a window could be carried out",
        .text = "Looks at its times, whether each of its routes has a row, is open and still to be moved, "
                "whether "
                "every live instance has links to both platforms, at the other windows, and at what of these "
                "carriers "
                "is not in the window. With FILE that is compared with the window again. Where nothing is "
                "wrong, the "
                "instances are asked as preflight does.",
        .json = "window [as in window show], moves, findings [severity (error, warning, note), what, text]",
        .exits = EXIT(CTL_NOT_FOUND) | EXIT(CTL_INVALID),
        .run = run_window_check,
    },
    {
        .words = "window add",
        .args = "NAME SHORTCODE...",
        .args_min = 2,
        .args_max = 100000,
        .takes = OPTION(CARRIER) | OPTION(TO) | OPTION(AT) | TAKES_WINDOW,
        .brief = "put shortcodes into a planned window",
        .text = "Of one carrier, or of all that the window has; to the platform where the window moves that "
                "carrier, "
                "unless --to is given.",
        .json = "count, " JSON_WINDOW,
        .exits = EXITS_WINDOW,
        .run = run_window_add,
    },
    {
        .words = "window remove",
        .args = "NAME SHORTCODE...",
        .args_min = 2,
        .args_max = 100000,
        .takes = OPTION(CARRIER) | TAKES_WINDOW,
        .brief = "take shortcodes out of a planned window",
        .text = "For a client who opts out. Of one carrier, or of all.",
        .json = "count, " JSON_WINDOW,
        .exits = EXITS_WINDOW,
        .run = run_window_remove,
    },
    {
        .words = "window delete",
        .args = "NAME",
        .args_min = 1,
        .args_max = 1,
        .takes = TAKES_WINDOW,
        .brief = "delete a planned window",
        .text = "One that has started stays, for its report.",
        .json = JSON_WINDOW,
        .exits = EXITS_WINDOW,
        .run = run_window_delete,
    },
    {
        .words = "window start",
        .args = "NAME",
        .args_min = 1,
        .args_max = 1,
        .takes = OPTION(FORCE) | TAKES_CHANGE,
        .brief = "open a window: legs of both platforms are bound",
        .text =
            "In one change every route of it learns where it goes next; nothing moves yet. Refused before "
            "its "
            "start, unless --force is given, and where a route has no row or belongs to another open window.",
        .json = "overdue, window_state, " JSON_CHANGE,
        .exits = EXITS_CHANGE | EXITS_OF_WINDOW,
        .run = run_window_start,
    },
    {
        .words = "window step",
        .args = "NAME",
        .args_min = 1,
        .args_max = 1,
        .takes = OPTION(CARRIER) | OPTION(TO) | OPTION(STRICT) | OPTION(DRAIN) | OPTION(FORCE) |
                 OPTION(AFTER_END) | OPTION(PROBE) | OPTION(TEXT) | OPTION(CLIENT) | TAKES_CONFIRM |
                 TAKES_GUARD | TAKES_CHANGE,
        .brief = "move the next carrier of a window, or --carrier",
        .text = "All its shortcodes that have not moved, in one flip; see there. The carriers come in the "
                "order in which "
                "the CSV file names them first. Refused after the window's end, unless --after-end is given.",
        .json = "carrier, to, window_state, " JSON_CHANGE,
        .exits =
            EXITS_CHANGE | EXIT(CTL_NOT_FOUND) | EXIT(CTL_STOPPED) | EXIT(CTL_WINDOW) | EXIT(CTL_PREFLIGHT),
        .run = run_window_step,
    },
    {
        .words = "window pause",
        .args = "NAME",
        .args_min = 1,
        .args_max = 1,
        .takes = TAKES_WINDOW,
        .brief = "let nothing of a window move",
        .text = "Steps and flips of its routes are refused, and nothing moves by itself. What has moved "
                "stays; the "
                "legs of both platforms stay bound.",
        .json = "overdue, " JSON_WINDOW,
        .exits = EXITS_WINDOW,
        .run = run_window_pause,
    },
    {
        .words = "window resume",
        .args = "NAME",
        .args_min = 1,
        .args_max = 1,
        .takes = TAKES_WINDOW,
        .brief = "go on with a paused window",
        .text =
            "Moves whose time has come meanwhile are made at once, and those that failed are tried again.",
        .json = "overdue, " JSON_WINDOW,
        .exits = EXITS_WINDOW,
        .run = run_window_resume,
    },
    {
        .words = "window finish",
        .args = "NAME",
        .args_min = 1,
        .args_max = 1,
        .takes = OPTION(FORCE) | TAKES_CHANGE,
        .brief = "end a window",
        .text = "Refused, with what is left, where a route has not moved, is not open, or a change awaits "
                "confirmation, "
                "unless --force is given: then these stay as they are.",
        .json = "unfinished, overdue, window_state, " JSON_CHANGE,
        .exits = EXITS_CHANGE | EXITS_OF_WINDOW,
        .run = run_window_finish,
    },
    {
        .words = "window cancel",
        .args = "NAME",
        .args_min = 1,
        .args_max = 1,
        .takes = TAKES_CHANGE,
        .brief = "give a window up in which nothing has moved",
        .text = "",
        .json = "overdue, window_state, " JSON_CHANGE,
        .exits = EXITS_CHANGE | EXITS_OF_WINDOW,
        .run = run_window_cancel,
    },
    {
        .words = "window rollback",
        .args = "NAME",
        .args_min = 1,
        .args_max = 1,
        .takes = OPTION(FORCE) | TAKES_CHANGE,
        .brief = "take a whole window back, in one change",
        .text = "Every route of it goes back to what it was when the window started, platform and state. "
                "Refused where "
                "somebody moved one to a third platform, unless --force is given. A finished window can go "
                "back, too: "
                "then the routes that are where it moved them. The same as rollback --window NAME.",
        .json = "window_state, " JSON_CHANGE,
        .exits = EXITS_CHANGE | EXITS_OF_WINDOW,
        .run = run_window_rollback,
    },
    {
        .words = "window report",
        .args = "NAME",
        .args_min = 1,
        .args_max = 1,
        .takes = OPTION(FORMAT) | OPTION(OUTPUT),
        .brief = "write what happened in a window, to be sent round",
        .text = "What moved when, by whom and why, when each instance had applied it, how long routes were "
                "on hold, what "
                "was rolled back, what the instances have seen of each route since, and alarms. As Markdown, "
                "as a page of "
                "HTML, or as JSON (with --format json, or --json).",
        .json = "report [see --format json]; file",
        .exits = EXIT(CTL_NOT_FOUND),
        .run = run_window_report,
    },
    {
        .words = "log",
        .args = "[SHORTCODE]",
        .args_max = 1,
        .takes = OPTION(LAST) | OPTION(FOLLOW) | OPTION(LONG),
        .brief = "show who changed what, and when",
        .text =
            "The newest change comes last. With SHORTCODE only changes of it, and restores, are shown. With "
            "--follow and --json each change is an object of its own, on a line.",
        .json = "changes [version, at_ms, kind, who, why, ticket, moves [shortcode, carrier, from, "
                "from_state, to, "
                "state], windows [name], outside_window [\"shortcode carrier\" or \"shortcode carrier window "
                "state\"], without [id], forced, undoes, undoes_window, confirm_by_ms; with --long applied "
                "{instance: ms since 1970}, barrier], left_out, number_swaps [at_ms, who, why, ticket, "
                "version of "
                "the routing table then, table, checksum, numbers, without, outcome (in_use, incomplete, "
                "unknown: the "
                "command died before it was noted), in_use [id], refused [id, why]]",
        .run = run_log,
    },
    {
        .words = "instances",
        .args = "[ID]",
        .args_max = 1,
        .takes = OPTION(ASK),
        .brief = "show the running proxies, or all that one reports",
        .text = "LEASE is the time until an instance counts as dead unless it is heard of again; for a dead "
                "one, how "
                "long it has been silent. DESIRED is the version it knows of, APPLIED the one its messages "
                "go by, PORTABILITY its portability table's. With --ask the living ones are asked "
                "themselves: one that hangs or is cut off from "
                "Redis does not answer.",
        .json = "instances [id, alive, lease_ms, silent_ms, fields], pending [version, deadline_ms, left_ms, "
                "who]; with --ask instances [id, answered, program, pid, started_s, uptime_s, config, "
                "config_since_s, applied, workers; error], ms",
        .exits = EXIT(CTL_NOT_FOUND) | EXIT(CTL_INCOMPLETE),
        .run = run_instances,
    },
    {
        .words = "instances forget",
        .args = "ID",
        .args_min = 1,
        .args_max = 1,
        .brief = "take a dead instance off the list",
        .text = "An instance that is alive is refused.",
        .json = "id",
        .exits = EXIT(CTL_NOT_FOUND) | EXIT(CTL_CONFLICT),
        .run = run_instances_forget,
    },
    {
        .words = "sessions",
        .args = "",
        .takes = OPTION(BY_INSTANCE) | OPTION(CLIENTS),
        .brief = "show who is bound, over all instances",
        .text = "With --clients the instances are asked now, and each client is shown with its legs: which "
                "are bound, how much of their window is in flight, and the round trip of the last "
                "enquire_link.",
        .json =
            "sessions [side, client, link, carrier, platform, bind_type, state, count; with --by-instance "
            "instance], silent [ids of live instances that report none]; with --clients clients [client, "
            "sessions {bind type: count}, in_flight, held, legs [link, carrier, platform, bound, waiting, "
            "connecting, binding, ending, window_used, window_size, round_trip_ms]], silent, left_out",
        .exits = EXIT(CTL_INCOMPLETE),
        .run = run_sessions,
    },
    {
        .words = "leg release",
        .args = "LINK",
        .args_min = 1,
        .args_max = 1,
        .takes = OPTION(CLIENT),
        .brief = "end the legs of a link that no route needs any more",
        .text =
            "Legs of a platform that was left stay bound for late receipts, MO and queries, for the linger "
            "time. This ends them now, on all instances: each unbinds once nothing is in flight on it. "
            "Refused where a route of today, or the move to come of an open window, leads over the link; "
            "with --client only that client counts, and only its legs end.",
        .json =
            "link, released, instances [id, answered, ended, needed, error], needed_by [client, shortcode]",
        .exits = EXIT(CTL_CONFLICT) | EXIT(CTL_NOT_FOUND) | EXIT(CTL_INCOMPLETE) | EXIT(CTL_NO_INSTANCES),
        .run = run_leg_release,
    },
    {
        .words = "preflight",
        .args = "SHORTCODE...",
        .args_min = 1,
        .args_max = 100000,
        .takes = OPTION(CARRIER) | OPTION(TO) | OPTION(PROBE) | OPTION(TEXT) | OPTION(CLIENT) |
                 OPTION(WITHOUT) | OPTION(FORCE) | OPTION(ANY_LINK),
        .needs = OPTION(CARRIER) | OPTION(TO),
        .brief = "see whether a flip could be carried, and change nothing",
        .text =
            "Asks every living instance whether the legs of the new link are bound. Where none is, it tries "
            "one bind and one enquire_link, once for each client whose credentials matter, a few at most, "
            "each "
            "within --timeout. Shows the round trip, the room in the windows, what is in flight on the "
            "routes "
            "of today, the clients and what would differ from today's table. A flip asks the same before it "
            "changes anything, and is refused where an instance that answers cannot bind the link.\n\n"
            "With --probe one test message goes from the first SHORTCODE over the new link, and its receipt "
            "is "
            "waited for, for --timeout. It is never sent twice. --force: also where the number is another "
            "carrier's.",
        .json =
            "preflight [carrier, to, shortcodes, ms, instances [id, answered, link, credentials, window, "
            "legs, bound, window_used, window_size, target (verdict, why, round_trip_ms), clients [client, "
            "sessions, in_flight, held, verdict, why, legs, bound, round_trip_ms, command_status], from "
            "[link, legs, bound, in_flight], clients_touched, left_out], refusals, warnings], differing [as "
            "in route list], same, message (step, why, answer_ms, receipt_ms, message_id, receipt, client)",
        .exits = EXIT(CTL_PREFLIGHT) | EXIT(CTL_NO_INSTANCES) | EXIT(CTL_NOT_FOUND),
        .run = run_preflight,
    },
    {
        .words = "numbers build",
        .args = "FILE.csv OUT [VERSION]",
        .args_min = 2,
        .args_max = 3,
        .brief = "make a portability table from a CSV file",
        .text =
            "The columns are number,carrier; a first line with these names is skipped. number is 1 to 15 "
            "digits, "
            "a range FIRST-LAST of numbers of one length, or a prefix and *. A number by itself comes before "
            "ranges and prefixes, and of these the narrowest wins. Rows that contradict each other are "
            "errors; "
            "nothing is written then, and every error is shown with its line. FILE.csv may be - for the "
            "standard "
            "input. VERSION is what the table calls itself, by default the CSV file's name. OUT is replaced "
            "whole; "
            "give it as portability-table to the instances; those that have it take it by \"turnoutctl "
            "numbers "
            "swap\". Redis is not needed.",
        .json = "rows, dropped, " JSON_TABLE ", errors [line, error]",
        .exits = EXIT(CTL_INVALID),
        .run = run_numbers_build,
    },
    {
        .words = "numbers check",
        .args = "FILE",
        .args_min = 1,
        .args_max = 1,
        .brief = "verify a portability table and show what is in it",
        .text =
            "Verifies what an instance verifies before it takes the table, and that every number is where it "
            "is looked for. Redis is not needed.",
        .json = JSON_TABLE,
        .exits = EXIT(CTL_INVALID),
        .run = run_numbers_check,
    },
    {
        .words = "numbers version",
        .args = "",
        .brief = "show which portability table each instance has",
        .text = "Every living instance is asked. Fails where one does not answer, or where they do not have "
                "the same "
                "table.",
        .json = "instances [id, answered, table (file, version, built_ms, checksum, numbers, bounds, octets; "
                "null: "
                "none), overrides, set; error], ms",
        .exits = EXIT(CTL_INCOMPLETE),
        .run = run_numbers_version,
    },
    {
        .words = "numbers swap",
        .args = "",
        .takes = OPTION(WHY) | OPTION(TICKET) | OPTION(WITHOUT) | OPTION(DRY_RUN),
        .brief = "have every instance take its new portability table",
        .text =
            "Every living instance first reads and verifies the file that its config names as "
            "portability-table, and "
            "keeps it aside. Where one cannot, or does not answer, or the files are not all the same table, "
            "nothing is "
            "changed anywhere. Then all swap it in, and each answers once all of its workers look numbers up "
            "in it. "
            "Messages do not wait for that. The files are each host's own: copy them first. An instance that "
            "is down, "
            "or left out with --without, takes the file that its config names when it starts or gets SIGHUP; "
            "\"turnoutctl instances\" shows who has another table. The way back is the file of before, and "
            "this "
            "command. \"turnoutctl log\" shows who ordered it, why, and how it ended.",
        .json =
            "table (version, checksum, numbers), changed, instances [id, answered, file, version, built_ms, "
            "checksum, numbers, bounds, octets, in_use, ms; error], swapped [as instances], ms",
        .exits = EXIT(CTL_INCOMPLETE) | EXIT(CTL_UNCHANGED) | EXIT(CTL_NO_INSTANCES) | EXIT(CTL_NOT_FOUND) |
                 EXIT(CTL_UNKNOWN) | EXIT(CTL_PREFLIGHT),
        .run = run_numbers_swap,
    },
    {
        .words = "numbers set",
        .args = "NUMBER CARRIER",
        .args_min = 2,
        .args_max = 2,
        .takes = TAKES_CONFIRM | TAKES_CHANGE,
        .brief = "send a number to a carrier, whatever else says",
        .text =
            "A change of the routing table like any other: followed by all instances, waited for, kept on "
            "their disks, in the log, undone by rollback. It comes before the instances' number-overrides "
            "and "
            "their portability table; only the TLV by which a client names the carrier comes before it. At "
            "most 10000 numbers; for more there is the portability table. A NUMBER in another form than the "
            "international one is taken as the instances look it up (country-code in their configs), and "
            "refused "
            "where it could never match.",
        .json = JSON_CHANGE,
        .exits = EXITS_CHANGE,
        .run = run_numbers_set,
    },
    {
        .words = "numbers unset",
        .args = "NUMBER",
        .args_min = 1,
        .args_max = 1,
        .takes = TAKES_CHANGE,
        .brief = "let a number go where it would have without",
        .text = "",
        .json = JSON_CHANGE,
        .exits = EXITS_CHANGE,
        .run = run_numbers_unset,
    },
    {
        .words = "numbers list",
        .args = "",
        .brief = "show the numbers that were set",
        .text = "\"turnoutctl log\" shows who set them, and why.",
        .json = "numbers [number, carrier, previous, changed_ms, version]",
        .run = run_numbers_list,
    },
    {
        .words = "carrier",
        .args = "NUMBER",
        .args_min = 1,
        .args_max = 1,
        .takes = OPTION(TON),
        .brief = "show which carrier a number would go to, and why",
        .text =
            "NUMBER as a client sends it, --ton as its type of number. Every living instance is asked what "
            "it would "
            "choose, and what each step says by itself and by which of its rows: numbers set, "
            "number-overrides, "
            "portability table, longest prefix, default. The first that knows the number decides. The "
            "clients that "
            "name the carrier themselves (carrier-tlv), which comes before, are listed; and who set the "
            "number, and "
            "when. Fails where an instance does not answer, or where they do not agree on anything of it.",
        .json =
            "number, set (carrier, changed_ms, version, who, why; null: its number is not set), instances "
            "[id, "
            "answered, read (what is looked up), form (as_sent, international_prefix, national_prefix, "
            "national_ton), carrier, step (set, override, table, prefix, default, none), row, by {step: "
            "carrier}, "
            "rows {step: number, range or prefix}, tlv_clients, tlv_clients_left_out, table (as in numbers "
            "version); error], ms",
        .exits = EXIT(CTL_INCOMPLETE),
        .run = run_carrier,
    },
    {
        .words = "hooks test",
        .args = "[SHORTCODE...]",
        .args_max = 100,
        .takes = OPTION(KIND) | OPTION(CARRIER) | OPTION(FROM) | OPTION(TO) | OPTION(WHY) | OPTION(TICKET),
        .brief = "see who hears of an event, without one",
        .text =
            "Puts an event that is marked as a test where the instances find it. Webhooks and the operator's "
            "addresses hear of it; with SHORTCODEs so do the clients that own them.",
        .json = "id, kind",
        .exits = EXIT(CTL_NOT_FOUND),
        .run = run_hooks_test,
    },
    {
        .words = "hash-password",
        .args = "",
        .brief = "make the hash of a client's password for the config",
        .text = "Asks for the password twice without showing it, or reads one line where the standard input "
                "is not "
                "a terminal. Prints the yescrypt hash. Redis is not needed.",
        .json = "hash",
        .exits = EXIT(CTL_INVALID),
        .run = run_hash_password,
    },
    {
        .words = "ping",
        .args = "",
        .brief = "see whether Redis answers",
        .text = "",
        .json = "ms, redis_version, functions_version, version",
        .run = run_ping,
    },
    {
        .words = "help",
        .args = "[COMMAND...]",
        .args_max = 2,
        .takes = OPTION(ALL),
        .brief = "show all commands, one of them, or the whole reference",
        .text = "",
        .json = "commands [command, args, brief], exits [code, result, meaning]",
        .exits = EXIT(CTL_NOT_FOUND),
        .run = run_help,
    },
};
const size_t command_count = sizeof command_table / sizeof *command_table;

/* How many of the words name the command; 0 where they do not. */
static int words_match(const struct command *command, char *const *words, int count)
{
    char joined[64];
    size_t len = strlen(command->words);
    if (count >= 1 && strcmp(command->words, words[0]) == 0) {
        return 1;
    }
    if (count < 2 || strlen(words[0]) + strlen(words[1]) + 1 != len) {
        return 0;
    }
    snprintf(joined, sizeof joined, "%s %s", words[0], words[1]);
    return strcmp(command->words, joined) == 0 ? 2 : 0;
}

const struct command *command_find(char *const *words, int count, int *used)
{
    const struct command *found = NULL;
    int most = 0;
    for (size_t i = 0; i < command_count; i++) {
        int matched = words_match(&command_table[i], words, count);
        if (matched > most) {
            most = matched;
            found = &command_table[i];
        }
    }
    if (found) {
        *used = most;
    }
    return found;
}
