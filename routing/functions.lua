#!lua name=turnout
-- The routing table's functions in Redis (7.0 and later). Every change is one call, so it is atomic: it compares,
-- numbers, writes and records in one step.
--
-- Keys, all with the hash tag of the prefix P (by default "{turnout}"), so that they share one slot:
--   P:version            the number of the last change
--   P:chain              fingerprint of the history: sha1hex(previous chain .. "\n" .. entry), "" at the start
--   P:shortcodes         set of the shortcodes that have a row
--   P:route:<shortcode>  hash, carrier -> "platform state previous changed_ms version" ("-" for no previous)
--   P:changes            stream, one entry a change, its id is "<version>-0"; fields:
--                          kind   flip | set | import | rollback | restore
--                          at     Redis' clock, ms since 1970
--                          who, why, ticket
--                          moves  one line a cell: "shortcode carrier from from_state to state previous",
--                                 "-" for no platform or state; to "-" removes the cell. Only cells that the
--                                 change altered are listed
--                          parent the history's fingerprint before this change
--                          chain  the history's fingerprint with this change
--                          confirm  only with a deadline: when it goes back unless it is confirmed, ms
--                          began  only at the end of a strict flip: the version of its hold
--                          undoes only of a rollback: the version that it sets back
--                          left   only where a deadline passed: one line for each cell that somebody changed since
--                                 and that therefore stays, "shortcode carrier is is_state was was_state version
--                                 at who" (the last three: the change since)
--                        a restore has no moves but "rows" (their number) and "digest" (sha1 of the request):
--                        followers load the whole table
--   P:confirm            sorted set, version -> deadline in ms: changes that await confirmation
--   P:undone             sorted set, version -> version of the rollback that set it back; the last 1000
--   P:confirmations      stream: version, outcome (confirmed | gone_back | left | lost | void), at, who, why
--   P:instances          sorted set, instance -> last beat in ms
--   P:instance:<id>      hash with a time to live: applied and the chain at that version, desired, state,
--                        obstacle, beat, and what the instance reports
--
-- Functions. KEYS[1] is always P:version; the other keys follow from it. Replies are flat arrays; numbers are
-- integers, all else is strings.
--   turnout_change  args: request (JSON: {"kind","who","why","ticket","confirm_within_ms","began",
--                   "moves":[{"shortcode","carrier","to","state","from","from_state","from_version"}]}).
--                   from: absent = whatever is there, "" = no cell may be there, a name = that platform must be there;
--                   from_state likewise; from_version: the cell must not have been written since that change.
--                   to "" removes the cell. state absent = "open". All or nothing.
--                   With confirm_within_ms the change goes back by itself unless turnout_confirm comes in time.
--                   -> {"ok", version, at_ms [, deadline_ms]} | {"conflict", version, "shortcode carrier is-platform
--                   is-state wanted-platform wanted-state [version at who]" ...} ("-": no cell, "*": any; at the
--                   end the change that set it last, where it is found) | {"unchanged", version} where every move
--                   is what is there already | {"invalid", version, reason ...}
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
--                   "history" is added: "same" or "other", whether what it has applied is part of this history.
--                   A dead instance has the field "beat" alone, its last one. Only reads.
--   turnout_forget  args: id. Takes a dead instance out of the list. -> 1 | 0 (alive, or unknown)
--   turnout_restore args: request (JSON: {"who","why","ticket","version","rows":{shortcode:{carrier:value}}}).
--                   Replaces the whole table, with a version higher than its own, the given one and any that a
--                   living instance serves or knows of. -> {"ok", version} | {"invalid", version, reason ...}
--   turnout_info    -> {library version, version, chain, number of shortcodes}. Only reads.

-- Raise it with every change of this file: instances load the library where Redis has a lower one.
local LIBRARY_VERSION = 4

local SHORTCODE_LEN_MAX = 20
local NAME_LEN_MAX = 31
local TEXT_LEN_MAX = 1000
local MOVES_MAX = 50000
local REASONS_MAX = 50
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

-- -------------------------------------------------------------------------------------------------------------
-- Keys, numbers, time

local function prefix_of(keys)
    local prefix = keys[1] and string.match(keys[1], '^(.*):version$')
    if not prefix then
        error('the key must be <prefix>:version')
    end
    return prefix
end

local function integer_text(number)
    return string.format('%.0f', number)
end

local function now_ms()
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function current_version(prefix)
    return tonumber(redis.call('GET', prefix .. ':version') or '0')
end

local function current_chain(prefix)
    return redis.call('GET', prefix .. ':chain') or ''
end

-- -------------------------------------------------------------------------------------------------------------
-- Validation. Every function answers nil where the value is right, else a reason.

-- JSON's null and an absent member are the same to us.
local function given(value)
    if value == cjson.null then
        return nil
    end
    return value
end

local function bad_shortcode(value)
    if type(value) ~= 'string' or #value == 0 or #value > SHORTCODE_LEN_MAX or string.find(value, '[^\33-\126]') then
        return 'shortcode must be 1 to ' .. SHORTCODE_LEN_MAX .. ' printable characters without blanks'
    end
end

-- "-" alone stands for "none" in rows and moves, so it cannot be a name.
local function bad_name(what, value)
    if type(value) ~= 'string' or #value == 0 or #value > NAME_LEN_MAX or string.find(value, '[^%w._-]')
            or value == '-' then
        return what .. ' must be 1 to ' .. NAME_LEN_MAX .. ' of the characters A-Z a-z 0-9 . _ -'
    end
end

local function bad_state(what, value)
    if type(value) ~= 'string' or not STATES[value] then
        return what .. ' must be open, hold or closed'
    end
end

local function bad_text(what, value)
    if value == nil then
        return nil
    end
    if type(value) ~= 'string' or #value > TEXT_LEN_MAX or string.find(value, '%c') then
        return what .. ' must be a text of one line, up to ' .. TEXT_LEN_MAX .. ' bytes'
    end
end

local function decode(text)
    if text == nil then
        return nil, 'a request is missing'
    end
    local fine, request = pcall(cjson.decode, text)
    if not fine or type(request) ~= 'table' then
        return nil, 'the request is not a JSON object'
    end
    return request
end

-- who, why and ticket of a request.
local function bad_author(request)
    if type(request.who) ~= 'string' or request.who == '' then
        return 'who is missing'
    end
    return bad_text('who', request.who) or bad_text('why', given(request.why))
        or bad_text('ticket', given(request.ticket))
end

local function bad_number(what, value, highest)
    if type(value) ~= 'number' or value < 1 or value > highest or value ~= math.floor(value) then
        return what .. ' must be a whole number from 1 to ' .. integer_text(highest)
    end
end

local function bad_move(move)
    if type(move) ~= 'table' then
        return 'a move must be an object'
    end
    local reason = bad_shortcode(move.shortcode) or bad_name('carrier', move.carrier)
    if reason then
        return reason
    end
    local to, state, from, from_state = given(move.to), given(move.state), given(move.from), given(move.from_state)
    if to == nil then
        return 'to is missing'
    end
    return (to ~= '' and bad_name('to', to))
        or (state ~= nil and to ~= '' and bad_state('state', state))
        or (from ~= nil and from ~= '' and bad_name('from', from))
        or (from_state ~= nil and from_state ~= '' and bad_state('from_state', from_state))
        or (given(move.from_version) ~= nil and bad_number('from_version', move.from_version, VERSION_MAX)) or nil
end

-- All that is wrong with the moves, one sentence each, up to REASONS_MAX.
local function bad_moves(moves)
    if type(moves) ~= 'table' or #moves == 0 then
        return { 'moves must be an array with at least one move' }
    end
    if #moves > MOVES_MAX then
        return { 'too many moves, at most ' .. MOVES_MAX .. ' in one change' }
    end
    local reasons, seen = {}, {}
    for i, move in ipairs(moves) do
        local reason = bad_move(move)
        if not reason then
            local cell = move.shortcode .. ' ' .. move.carrier
            if seen[cell] then
                reason = cell .. ' is named twice'
            end
            seen[cell] = true
        end
        if reason then
            reasons[#reasons + 1] = 'move ' .. i .. ': ' .. reason
            if #reasons >= REASONS_MAX then
                break
            end
        end
    end
    return reasons
end

local function invalid(version, reasons)
    local reply = { 'invalid', version }
    for _, reason in ipairs(reasons) do
        reply[#reply + 1] = reason
    end
    return reply
end

-- -------------------------------------------------------------------------------------------------------------
-- Cells

-- platform, state, previous, changed_ms, version (all text), or nothing where the value is not a cell.
local function cell_parse(value)
    return string.match(value, '^(%S+) (%l+) (%S+) (%d+) (%d+)$')
end

-- The cell that is there: {platform, state, previous, changed, version}, or nil.
local function cell_read(prefix, shortcode, carrier)
    local value = redis.call('HGET', prefix .. ':route:' .. shortcode, carrier)
    if not value then
        return nil
    end
    local platform, state, previous, changed, version = cell_parse(value)
    if not platform then
        error('the cell ' .. shortcode .. ' ' .. carrier .. ' is damaged: ' .. value)
    end
    return { platform = platform, state = state, previous = previous, changed = changed, version = tonumber(version) }
end

-- A line for the reply: what is there, and what was wanted to be ("*": anything).
local function conflict_line(shortcode, carrier, cell, platform, state)
    return table.concat({ shortcode, carrier, cell and cell.platform or '-', cell and cell.state or '-', platform,
        state }, ' ')
end

-- Does what is there differ from what the move believes? Then the line for the reply.
local function conflict_of(move, cell)
    local from, from_state, from_version = given(move.from), given(move.from_state), given(move.from_version)
    local is_platform, is_state = cell and cell.platform or '', cell and cell.state or ''
    if (from == nil or from == is_platform) and (from_state == nil or from_state == is_state)
            and (from_version == nil or (cell and cell.version == from_version)) then
        return nil
    end
    local function shown(value)
        if value == nil then
            return '*'
        end
        return value == '' and '-' or value
    end
    return conflict_line(move.shortcode, move.carrier, cell, shown(from), shown(from_state))
end

-- The cell as it will be; nil where the move removes it.
local function cell_next(prefix, move, cell, at, defaults)
    local to = move.to
    if to == '' then
        return nil
    end
    local wanted = { platform = to, state = given(move.state) or 'open', previous = '-', changed = at }
    if cell and cell.platform == to then
        wanted.previous, wanted.changed = cell.previous, cell.changed
    elseif cell then
        wanted.previous = cell.platform
    else
        -- The default row served this cell until now, so it is its platform whose legs linger.
        local default = defaults[move.carrier]
        if default == nil then
            default = cell_read(prefix, '*', move.carrier) or false
            defaults[move.carrier] = default
        end
        if default and default.platform ~= to then
            wanted.previous = default.platform
        end
    end
    return wanted
end

local function same(cell, wanted)
    if not cell or not wanted then
        return not cell and not wanted
    end
    return cell.platform == wanted.platform and cell.state == wanted.state
end

local function cell_write(prefix, shortcode, carrier, wanted, version)
    local key = prefix .. ':route:' .. shortcode
    if wanted then
        redis.call('HSET', key, carrier, table.concat({ wanted.platform, wanted.state, wanted.previous,
            wanted.changed, version }, ' '))
    else
        redis.call('HDEL', key, carrier)
        if redis.call('EXISTS', key) == 0 then
            redis.call('SREM', prefix .. ':shortcodes', shortcode)
        end
    end
end

local function move_line(move, cell, wanted)
    return table.concat({ move.shortcode, move.carrier, cell and cell.platform or '-', cell and cell.state or '-',
        wanted and wanted.platform or '-', wanted and wanted.state or '-', wanted and wanted.previous or '-' }, ' ')
end

-- -------------------------------------------------------------------------------------------------------------
-- History

-- The stream's last id as a version; 0 for none. It is ahead of P:version only where somebody lost the latter.
local function stream_version(prefix)
    local last = redis.call('XREVRANGE', prefix .. ':changes', '+', '-', 'COUNT', 1)[1]
    return last and tonumber(string.match(last[1], '^(%d+)')) or 0
end

-- Records a change: stream, version, chain. Comes before any other write: it can be refused (an id that is not the
-- highest), and Redis does not undo. Answers nil, or why it was refused.
local function record(prefix, version, request, kind, at, fields)
    local parent = current_chain(prefix)
    local number = integer_text(version)
    local entry = { 'kind', kind, 'at', at, 'who', request.who, 'why', given(request.why) or '', 'ticket',
        given(request.ticket) or '' }
    for _, text in ipairs(fields) do
        entry[#entry + 1] = text
    end
    local chain = redis.sha1hex(parent .. '\n' .. number .. '\n' .. table.concat(entry, '\n'))
    local count = #entry
    entry[count + 1], entry[count + 2], entry[count + 3], entry[count + 4] = 'parent', parent, 'chain', chain

    local added = redis.pcall('XADD', prefix .. ':changes', 'MAXLEN', '~', CHANGES_KEPT, number .. '-0', unpack(entry))
    if type(added) == 'table' and added.err then
        return 'the change could not be recorded: ' .. added.err
    end
    redis.call('SET', prefix .. ':version', number)
    redis.call('SET', prefix .. ':chain', chain)
end

local function fields_of(list)
    local fields = {}
    for i = 1, #list, 2 do
        fields[list[i]] = list[i + 1]
    end
    return fields
end

-- The fields of a recorded change; nil where it is not there (any more).
local function entry_of(prefix, version)
    local id = integer_text(tonumber(version)) .. '-0'
    local found = redis.call('XRANGE', prefix .. ':changes', id, id)[1]
    return found and fields_of(found[2])
end

local function moves_of(fields)
    local moves = {}
    for line in string.gmatch(fields.moves or '', '[^\n]+') do
        local shortcode, carrier, from, from_state, to, state = string.match(line,
            '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) %S+$')
        if shortcode then
            moves[#moves + 1] = { shortcode = shortcode, carrier = carrier, from = from, from_state = from_state,
                to = to, state = state }
        end
    end
    return moves
end

-- Which of the wanted cells (a set of "shortcode carrier") a change set; each is taken out of the set and given the
-- change as its author in `authors`. Answers how many it found, and the lines it looked at.
local function find_authors(fields, version, wanted, authors)
    local text = ' ' .. version .. ' ' .. (fields.at or '0') .. ' ' .. (fields.who or '?')
    local found, lines = 0, 0
    local function author(cell)
        if wanted[cell] then
            wanted[cell] = nil
            authors[cell] = text
            found = found + 1
        end
    end
    if fields.kind == 'restore' then -- which set every cell
        local all = {}
        for cell in pairs(wanted) do
            all[#all + 1] = cell
        end
        for _, cell in ipairs(all) do
            author(cell)
        end
    end
    for _, move in ipairs(moves_of(fields)) do
        lines = lines + 1
        author(move.shortcode .. ' ' .. move.carrier)
    end
    return found, lines
end

-- Adds to each line of conflict the change that set its cell last, from the newest change back as far as is cheap.
local function name_authors(prefix, conflicts)
    local wanted, authors, missing = {}, {}, #conflicts
    for _, line in ipairs(conflicts) do
        wanted[string.match(line, '^%S+ %S+')] = true
    end
    local upto, entries, lines = '+', 0, 0
    while missing > 0 and entries < LOOK_BACK_ENTRIES and lines < LOOK_BACK_LINES do
        local entry = redis.call('XREVRANGE', prefix .. ':changes', upto, '-', 'COUNT', 1)[1]
        if not entry then
            break
        end
        local version = string.match(entry[1], '^%d+')
        local found, looked = find_authors(fields_of(entry[2]), version, wanted, authors)
        missing, entries, lines = missing - found, entries + 1, lines + looked
        upto = '(' .. entry[1]
    end
    for i, line in ipairs(conflicts) do
        conflicts[i] = line .. (authors[string.match(line, '^%S+ %S+')] or '')
    end
    return conflicts
end

-- -------------------------------------------------------------------------------------------------------------
-- The functions

-- Compares every move with the table. Answers steps to take {move, cell, wanted}, and lines of conflict.
local function plan(prefix, moves, at)
    local steps, conflicts, defaults = {}, {}, {}
    for _, move in ipairs(moves) do
        local cell = cell_read(prefix, move.shortcode, move.carrier)
        local conflict = conflict_of(move, cell)
        if conflict then
            conflicts[#conflicts + 1] = conflict
        else
            local wanted = cell_next(prefix, move, cell, at, defaults)
            if not same(cell, wanted) then
                steps[#steps + 1] = { move = move, cell = cell, wanted = wanted }
            end
        end
    end
    return steps, conflicts
end

local function take(prefix, steps, version)
    local added = {}
    for _, step in ipairs(steps) do
        cell_write(prefix, step.move.shortcode, step.move.carrier, step.wanted, version)
        if not step.cell and step.wanted and not added[step.move.shortcode] then
            added[step.move.shortcode] = true
            redis.call('SADD', prefix .. ':shortcodes', step.move.shortcode)
        end
    end
end

local function conflict(version, conflicts)
    local reply = { 'conflict', version }
    for _, line in ipairs(conflicts) do
        reply[#reply + 1] = line
    end
    return reply
end

-- Records the steps as one change, with more fields, and takes them. -> the new version and the lines of its moves
-- | nil and why not
local function commit(prefix, request, kind, at, steps, more)
    local version = current_version(prefix) + 1
    if version > VERSION_MAX then
        return nil, 'the version cannot grow any more'
    end
    local lines = {}
    for i, step in ipairs(steps) do
        lines[i] = move_line(step.move, step.cell, step.wanted)
    end
    local fields = { 'moves', table.concat(lines, '\n') }
    for _, text in ipairs(more) do
        fields[#fields + 1] = text
    end
    local reason = record(prefix, version, request, kind, at, fields)
    if reason then
        return nil, reason
    end
    take(prefix, steps, integer_text(version))
    return version, lines
end

-- A key of a wrong type must be met before the first write: Redis does not undo.
local function check_keys(prefix)
    redis.call('SCARD', prefix .. ':shortcodes')
    redis.call('ZCARD', prefix .. ':confirm')
    redis.call('ZCARD', prefix .. ':undone')
    redis.call('XLEN', prefix .. ':confirmations')
end

local function bad_change(request)
    local within, began = given(request.confirm_within_ms), given(request.began)
    return bad_author(request)
        or (not KINDS[given(request.kind) or ''] and 'kind must be flip, set, import or rollback')
        or (within ~= nil and bad_number('confirm_within_ms', within, CONFIRM_MAX_MS))
        or (began ~= nil and bad_number('began', began, VERSION_MAX)) or nil
end

local function change(keys, args)
    local prefix = prefix_of(keys)
    local version = current_version(prefix)
    local request, reason = decode(args[1])
    reason = reason or bad_change(request)
    if reason then
        return invalid(version, { reason })
    end
    local reasons = bad_moves(given(request.moves))
    if #reasons > 0 then
        return invalid(version, reasons)
    end

    check_keys(prefix)
    local now = now_ms()
    local at = integer_text(now)
    local steps, conflicts = plan(prefix, request.moves, at)
    if #conflicts > 0 then
        return conflict(version, name_authors(prefix, conflicts))
    end
    if #steps == 0 then
        return { 'unchanged', version }
    end

    local more, deadline = {}, given(request.confirm_within_ms)
    if deadline then
        deadline = now + deadline
        more[#more + 1], more[#more + 2] = 'confirm', integer_text(deadline)
    end
    if given(request.began) then
        more[#more + 1], more[#more + 2] = 'began', integer_text(request.began)
    end
    local made, why_not = commit(prefix, request, request.kind, at, steps, more)
    if not made then
        return invalid(version, { why_not })
    end
    if deadline then
        redis.call('ZADD', prefix .. ':confirm', integer_text(deadline), integer_text(made))
    end
    return { 'ok', made, now, deadline }
end

-- -------------------------------------------------------------------------------------------------------------
-- Back again: by hand, and where nobody confirmed in time

-- The moves of a change, or those of some shortcodes (a set), each with what was there before in from and from_state.
-- The end of a strict flip goes back to what was before its hold. Second: whether these are all of the change.
local function moves_to_undo(prefix, fields, shortcodes)
    local held, moves, whole = {}, {}, true
    for _, move in ipairs(moves_of(fields.began and entry_of(prefix, fields.began) or {})) do
        held[move.shortcode .. ' ' .. move.carrier] = move
    end
    for _, move in ipairs(moves_of(fields)) do
        if shortcodes and not shortcodes[move.shortcode] then
            whole = false
        else
            local hold = held[move.shortcode .. ' ' .. move.carrier]
            if hold and hold.to == move.from and hold.state == move.from_state then
                move.from, move.from_state = hold.from, hold.from_state
            end
            moves[#moves + 1] = move
        end
    end
    return moves, whole
end

-- Is the cell still what this change made of it? Also where later changes were set back to it.
local function still(prefix, cell, move, version)
    if not cell or move.to == '-' then
        return not cell and move.to == '-'
    end
    if cell.platform ~= move.to or cell.state ~= move.state then
        return false
    end
    if cell.version == version then
        return true
    end
    local last = entry_of(prefix, cell.version)
    return last ~= nil and cell.version > version and last.kind == 'rollback'
end

-- Steps that set the moves back, and a line for each cell that somebody changed since.
local function plan_undo(prefix, moves, version, force, at)
    local steps, conflicts, defaults = {}, {}, {}
    for _, move in ipairs(moves) do
        local cell = cell_read(prefix, move.shortcode, move.carrier)
        local back = { shortcode = move.shortcode, carrier = move.carrier, to = move.from == '-' and '' or move.from,
            state = move.from_state }
        local wanted = cell_next(prefix, back, cell, at, defaults)
        if not same(cell, wanted) then
            if force or still(prefix, cell, move, version) then
                steps[#steps + 1] = { move = back, cell = cell, wanted = wanted }
            else
                conflicts[#conflicts + 1] = conflict_line(move.shortcode, move.carrier, cell, move.to, move.state)
            end
        end
    end
    return steps, conflicts
end

local function note(prefix, version, outcome, who, why)
    redis.call('XADD', prefix .. ':confirmations', 'MAXLEN', '~', CONFIRMATIONS_KEPT, '*', 'version', version,
        'outcome', outcome, 'at', integer_text(now_ms()), 'who', who, 'why', why or '')
end

local function note_undone(prefix, version, by)
    redis.call('ZADD', prefix .. ':undone', integer_text(by), integer_text(version))
    redis.call('ZREMRANGEBYRANK', prefix .. ':undone', 0, -1 - UNDONE_KEPT)
end

local function bad_shortcodes(list)
    if list == nil then
        return nil
    end
    if type(list) ~= 'table' or #list == 0 or #list > MOVES_MAX then
        return 'shortcodes must be an array with 1 to ' .. MOVES_MAX .. ' of them'
    end
    for _, shortcode in ipairs(list) do
        local reason = bad_shortcode(shortcode)
        if reason then
            return reason
        end
    end
end

-- The set of shortcodes that a rollback is limited to, or nil; second: why it cannot be.
local function limit_of(request, fields)
    local list = given(request.shortcodes)
    if not list then
        return nil
    end
    local moved, set = {}, {}
    for _, move in ipairs(moves_of(fields)) do
        moved[move.shortcode] = true
    end
    for _, shortcode in ipairs(list) do
        if not moved[shortcode] then
            return nil, shortcode .. ' is not in version ' .. integer_text(request.version)
        end
        set[shortcode] = true
    end
    return set
end

-- The change to undo: its fields, and the set of shortcodes; or nil, nil and the reply that refuses.
local function change_to_undo(prefix, request, version)
    local fields = entry_of(prefix, request.version)
    if not fields then
        local kept = request.version > version and 'there is no version ' or 'the log does not reach back to version '
        return nil, nil, { 'missing', version, kept .. integer_text(request.version) }
    end
    if fields.kind == 'restore' then
        return nil, nil, invalid(version, { 'version ' .. integer_text(request.version)
            .. ' is a restore of the whole table, which another restore alone can undo' })
    end
    local shortcodes, reason = limit_of(request, fields)
    if reason then
        return nil, nil, { 'missing', version, reason }
    end
    return fields, shortcodes
end

local function rollback(keys, args)
    local prefix = prefix_of(keys)
    local version = current_version(prefix)
    local request, reason = decode(args[1])
    reason = reason or bad_author(request) or bad_number('version', given(request.version), VERSION_MAX)
        or bad_shortcodes(given(request.shortcodes))
    if reason then
        return invalid(version, { reason })
    end
    check_keys(prefix)
    local fields, shortcodes, refusal = change_to_undo(prefix, request, version)
    if not fields then
        return refusal
    end

    local now = now_ms()
    local undone = integer_text(request.version)
    local moves, whole = moves_to_undo(prefix, fields, shortcodes)
    local steps, conflicts = plan_undo(prefix, moves, request.version, given(request.force) == true, integer_text(now))
    if #conflicts > 0 then
        return conflict(version, name_authors(prefix, conflicts))
    end
    local reply = { 'unchanged', version }
    if #steps > 0 then
        local made, lines = commit(prefix, request, 'rollback', integer_text(now), steps, { 'undoes', undone })
        if not made then
            return invalid(version, { lines })
        end
        reply = { 'ok', made, now }
        for _, line in ipairs(lines) do
            reply[#reply + 1] = line
        end
        if whole then
            note_undone(prefix, request.version, made)
        end
    end
    if whole and redis.call('ZREM', prefix .. ':confirm', undone) == 1 then
        note(prefix, undone, 'gone_back', request.who, given(request.why))
    end
    return reply
end

-- "version 7 was not confirmed in time; left, because changed since: 5001 spark (version 9 by bob) and 3 more"
local function why_back(version, conflicts)
    local text = 'version ' .. version .. ' was not confirmed in time'
    local named = {}
    for i = 1, math.min(#conflicts, LEFT_NAMED) do
        local cell, since, who = string.match(conflicts[i], '^(%S+ %S+) %S+ %S+ %S+ %S+ (%d+) %d+ (.*)$')
        named[i] = since and cell .. ' (version ' .. since .. ' by ' .. string.sub(who, 1, 60) .. ')'
            or string.match(conflicts[i], '^%S+ %S+')
    end
    if #named > 0 then
        text = text .. '; left, because changed since: ' .. table.concat(named, ', ')
    end
    if #conflicts > #named then
        text = text .. ' and ' .. (#conflicts - #named) .. ' more'
    end
    return text
end

-- Sets one change back whose deadline is over. One that cannot be recorded stays, to be tried again.
local function go_back(prefix, version)
    check_keys(prefix)
    local fields, outcome = entry_of(prefix, version), 'left'
    if not fields then
        outcome = 'lost' -- the log does not reach back to it any more
    else
        local at = integer_text(now_ms())
        local steps, conflicts = plan_undo(prefix, moves_to_undo(prefix, fields), tonumber(version), false, at)
        name_authors(prefix, conflicts)
        local more = { 'undoes', version }
        if #conflicts > 0 then
            more[3], more[4] = 'left', table.concat(conflicts, '\n')
        end
        if #steps > 0 then
            local author = { who = CONFIRM_TIMER, why = why_back(version, conflicts) }
            local made = commit(prefix, author, 'rollback', at, steps, more)
            if not made then
                return
            end
            note_undone(prefix, tonumber(version), made)
            outcome = 'gone_back'
        end
    end
    redis.call('ZREM', prefix .. ':confirm', version)
    note(prefix, version, outcome, CONFIRM_TIMER)
end

-- The newest first: an older one may have been changed by it. An error in one must not keep instances from beating.
local function carry_out_due(prefix)
    local key = prefix .. ':confirm'
    if redis.call('EXISTS', key) == 0 then
        return
    end
    local due = redis.call('ZRANGEBYSCORE', key, '-inf', integer_text(now_ms()), 'LIMIT', 0, DUE_AT_ONCE)
    table.sort(due, function(left, right) return tonumber(left) > tonumber(right) end)
    for _, version in ipairs(due) do
        pcall(go_back, prefix, version)
    end
end

local function due(keys)
    local prefix = prefix_of(keys)
    carry_out_due(prefix)
    local next_due = redis.call('ZRANGE', prefix .. ':confirm', 0, 0, 'WITHSCORES')
    if #next_due == 0 then
        return -1
    end
    local left = tonumber(next_due[2]) - now_ms()
    return left > 0 and left or DUE_AGAIN_MS
end

-- Nothing waits, and none was named: was one set back just now?
local function nothing_pending(prefix, version)
    local last = entry_of(prefix, version)
    if last and last.who == CONFIRM_TIMER and last.undoes then
        return { 'gone_back', tonumber(last.undoes), version }
    end
    return { 'nothing', 0 }
end

local function not_pending(prefix, version)
    local by = redis.call('ZSCORE', prefix .. ':undone', integer_text(version))
    if by then
        return { 'gone_back', version, tonumber(by) }
    end
    return { 'nothing', version }
end

local function confirm(keys, args)
    local prefix = prefix_of(keys)
    local request, reason = decode(args[1])
    local wanted = request and given(request.version)
    reason = reason or bad_author(request) or (wanted ~= nil and bad_number('version', wanted, VERSION_MAX)) or nil
    if reason then
        return invalid(current_version(prefix), { reason })
    end
    check_keys(prefix)
    carry_out_due(prefix) -- too late is too late, though no instance has beaten since
    local version = current_version(prefix)
    local pending = redis.call('ZRANGE', prefix .. ':confirm', 0, -1)
    if wanted == nil and #pending > 1 then
        local reply = { 'several' }
        for _, one in ipairs(pending) do
            reply[#reply + 1] = tonumber(one)
        end
        return reply
    end
    if wanted == nil and #pending == 0 then
        return version > 0 and nothing_pending(prefix, version) or { 'nothing', 0 }
    end
    wanted = wanted or tonumber(pending[1])
    if redis.call('ZREM', prefix .. ':confirm', integer_text(wanted)) == 0 then
        return not_pending(prefix, wanted)
    end
    note(prefix, integer_text(wanted), 'confirmed', request.who, given(request.why))
    return { 'confirmed', wanted }
end

-- -------------------------------------------------------------------------------------------------------------
-- The table as a whole, and the instances

local function load(keys, args)
    local prefix = prefix_of(keys)
    local page = redis.call('SSCAN', prefix .. ':shortcodes', args[1] or '0', 'COUNT', args[2] or '1000')
    local reply = { current_version(prefix), current_chain(prefix), page[1] }
    for _, shortcode in ipairs(page[2]) do
        local row = redis.call('HGETALL', prefix .. ':route:' .. shortcode)
        for i = 1, #row, 2 do
            local n = #reply
            reply[n + 1], reply[n + 2], reply[n + 3] = shortcode, row[i], row[i + 1]
        end
    end
    return reply
end

local function instance_id(args)
    local id = args[1]
    if not id or id == '' or #id > INSTANCE_ID_LEN_MAX then
        error('an instance id of 1 to ' .. INSTANCE_ID_LEN_MAX .. ' bytes is needed')
    end
    return id
end

local function beat(keys, args)
    local prefix = prefix_of(keys)
    local id = instance_id(args)
    local lease = tonumber(args[2])
    if not lease or lease < 1 or #args % 2 ~= 0 then
        error('usage: id, lease_ms, field, value ...')
    end
    local key, now = prefix .. ':instance:' .. id, integer_text(now_ms())
    local holder = redis.call('HMGET', key, 'token', 'host', 'pid')
    local mine = { }
    for i = 3, #args, 2 do
        mine[args[i]] = args[i + 1]
    end
    if holder[1] and mine.token and holder[1] ~= mine.token and holder[1] ~= mine.takes_over then
        return redis.error_reply('TAKEN ' .. holder[1] .. ' ' .. (holder[2] or '?') .. ' ' .. (holder[3] or '0'))
    end
    redis.call('DEL', key)
    redis.call('HSET', key, 'beat', now)
    for i = 3, #args, 2 do
        redis.call('HSET', key, args[i], args[i + 1])
    end
    redis.call('PEXPIRE', key, integer_text(lease))
    redis.call('ZADD', prefix .. ':instances', now, id)
    pcall(carry_out_due, prefix)
    return current_version(prefix)
end

local function leave(keys, args)
    local prefix = prefix_of(keys)
    local id = instance_id(args)
    redis.call('DEL', prefix .. ':instance:' .. id)
    return redis.call('ZREM', prefix .. ':instances', id)
end

-- Is what an instance has applied part of this history? A version number alone does not say so: Redis may have been
-- replaced, or a replica that lagged have taken over. "same", "other", or "unknown" of one that reports none.
local function history_of(prefix, applied, chain)
    if not applied or not chain then
        return 'unknown'
    end
    local number = tonumber(applied)
    if not number or chain == '' then
        return 'unknown'
    end
    local ours
    if number == 0 or number == tonumber(current_version(prefix)) then
        ours = number == 0 and '' or current_chain(prefix)
    else
        local entry = redis.call('XRANGE', prefix .. ':changes', applied .. '-0', applied .. '-0')[1]
        for i = 1, entry and #entry[2] or 0, 2 do
            ours = entry[2][i] == 'chain' and entry[2][i + 1] or ours
        end
    end
    return ours == chain and 'same' or 'other'
end

local function instances(keys)
    local prefix = prefix_of(keys)
    local reply = { now_ms() }
    local known = redis.call('ZRANGE', prefix .. ':instances', 0, -1, 'WITHSCORES')
    for i = 1, #known, 2 do
        local key = prefix .. ':instance:' .. known[i]
        local fields = redis.call('HGETALL', key)
        local left = #fields > 0 and redis.call('PTTL', key) or -1
        if #fields == 0 then
            fields = { 'beat', integer_text(tonumber(known[i + 1])) }
        else
            local applied = redis.call('HMGET', key, 'applied', 'chain')
            fields[#fields + 1] = 'history'
            fields[#fields + 1] = history_of(prefix, applied[1], applied[2])
        end
        reply[#reply + 1] = known[i]
        reply[#reply + 1] = left
        reply[#reply + 1] = #fields
        for _, text in ipairs(fields) do
            reply[#reply + 1] = text
        end
    end
    return reply
end

local function forget(keys, args)
    local prefix = prefix_of(keys)
    local id = instance_id(args)
    if redis.call('EXISTS', prefix .. ':instance:' .. id) == 1 then
        return 0
    end
    return redis.call('ZREM', prefix .. ':instances', id)
end

local function bad_cell(carrier, value)
    local reason = bad_name('carrier', carrier)
    if reason then
        return reason
    end
    local platform, state, previous, changed, version
    if type(value) == 'string' then
        platform, state, previous, changed, version = cell_parse(value)
    end
    if not platform then
        return carrier .. ' must be "platform state previous changed_ms version"'
    end
    if #changed > 15 or #version > 16 then
        return carrier .. ' has a number out of range'
    end
    return bad_name('platform', platform) or bad_state('state', state)
        or (previous ~= '-' and bad_name('previous', previous)) or nil
end

local function bad_rows(rows)
    if type(rows) ~= 'table' then
        return { 'rows must be an object' }
    end
    local reasons = {}
    for shortcode, row in pairs(rows) do
        local reason = bad_shortcode(shortcode)
        if not reason and (type(row) ~= 'table' or next(row) == nil) then
            reason = 'a row must be an object with at least one carrier'
        end
        if not reason then
            for carrier, value in pairs(row) do
                reason = reason or bad_cell(carrier, value)
            end
        end
        if reason then
            reasons[#reasons + 1] = 'row ' .. tostring(shortcode) .. ': ' .. reason
            if #reasons >= REASONS_MAX then
                break
            end
        end
    end
    return reasons
end

-- The highest version that a living instance serves or knows of: a restore must be above it to be taken there.
local function highest_known(prefix)
    local highest = 0
    for _, id in ipairs(redis.call('ZRANGE', prefix .. ':instances', 0, -1)) do
        local known = redis.call('HMGET', prefix .. ':instance:' .. id, 'applied', 'desired')
        for i = 1, 2 do
            local number = tonumber(known[i] or '0')
            if number and number < VERSION_MAX then
                highest = math.max(highest, number)
            end
        end
    end
    return highest
end

local function replace_rows(prefix, rows)
    for _, shortcode in ipairs(redis.call('SMEMBERS', prefix .. ':shortcodes')) do
        redis.call('DEL', prefix .. ':route:' .. shortcode)
    end
    redis.call('DEL', prefix .. ':shortcodes')
    for shortcode, row in pairs(rows) do
        local key = prefix .. ':route:' .. shortcode
        redis.call('DEL', key) -- one that the set did not know of
        for carrier, value in pairs(row) do
            redis.call('HSET', key, carrier, value)
        end
        redis.call('SADD', prefix .. ':shortcodes', shortcode)
    end
end

local function restore(keys, args)
    local prefix = prefix_of(keys)
    local version = current_version(prefix)
    local request, reason = decode(args[1])
    reason = reason or bad_author(request)
    local at_least = not reason and given(request.version) or 0
    if not reason and (type(at_least) ~= 'number' or at_least < 0 or at_least >= VERSION_MAX
            or at_least ~= math.floor(at_least)) then
        reason = 'version must be a whole number'
    end
    if reason then
        return invalid(version, { reason })
    end
    local reasons = bad_rows(given(request.rows))
    if #reasons > 0 then
        return invalid(version, reasons)
    end

    check_keys(prefix)
    local restored = math.max(version, at_least, highest_known(prefix), stream_version(prefix)) + 1
    local count = 0
    for _ in pairs(request.rows) do
        count = count + 1
    end
    reason = record(prefix, restored, request, 'restore', integer_text(now_ms()),
        { 'rows', integer_text(count), 'digest', redis.sha1hex(args[1]) })
    if reason then
        return invalid(version, { reason })
    end
    replace_rows(prefix, request.rows)
    for _, pending in ipairs(redis.call('ZRANGE', prefix .. ':confirm', 0, -1)) do
        note(prefix, pending, 'void', request.who, 'the whole table was restored')
    end
    redis.call('DEL', prefix .. ':confirm')
    return { 'ok', restored }
end

local function info(keys)
    local prefix = prefix_of(keys)
    return { LIBRARY_VERSION, current_version(prefix), current_chain(prefix),
        redis.call('SCARD', prefix .. ':shortcodes') }
end

redis.register_function('turnout_change', change)
redis.register_function('turnout_rollback', rollback)
redis.register_function('turnout_confirm', confirm)
redis.register_function('turnout_due', due)
redis.register_function { function_name = 'turnout_load', callback = load, flags = { 'no-writes' } }
redis.register_function('turnout_beat', beat)
redis.register_function('turnout_leave', leave)
redis.register_function { function_name = 'turnout_instances', callback = instances, flags = { 'no-writes' } }
redis.register_function('turnout_forget', forget)
redis.register_function('turnout_restore', restore)
redis.register_function { function_name = 'turnout_info', callback = info, flags = { 'no-writes' } }
