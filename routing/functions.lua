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
--                        a restore has no moves but "rows" (their number) and "digest" (sha1 of the request):
--                        followers load the whole table
--   P:instances          sorted set, instance -> last beat in ms
--   P:instance:<id>      hash with a time to live: applied and the chain at that version, desired, state,
--                        obstacle, beat, and what the instance reports
--
-- Functions. KEYS[1] is always P:version; the other keys follow from it. Replies are flat arrays; numbers are
-- integers, all else is strings.
--   turnout_change  args: request (JSON: {"kind","who","why","ticket","moves":[{"shortcode","carrier","to","state",
--                   "from","from_state"}]}). from: absent = whatever is there, "" = no cell may be there, a name =
--                   that platform must be there; from_state likewise. to "" removes the cell. state absent = "open".
--                   All or nothing. -> {"ok", version, at_ms} | {"conflict", version, "shortcode carrier is-platform
--                   is-state wanted-platform wanted-state" ...} ("-": no cell, "*": any) | {"unchanged", version}
--                   where every move is what is there already | {"invalid", version, reason ...}
--   turnout_load    args: cursor, count. -> {version, chain, next cursor ("0" at the end), shortcode, carrier, value ...}
--                   Rows of one page are of one moment; pages are not: follow the changes since the first
--                   page's version before using them. A row may come twice. Only reads.
--   turnout_beat    args: id, lease_ms, field, value ... -> version. The fields replace the instance's entry.
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
local LIBRARY_VERSION = 2

local SHORTCODE_LEN_MAX = 20
local NAME_LEN_MAX = 31
local TEXT_LEN_MAX = 1000
local MOVES_MAX = 50000
local REASONS_MAX = 50
local VERSION_MAX = 9007199254740991 -- 2^53 - 1: Lua's and JSON's numbers are exact up to here
local CHANGES_KEPT = 100000          -- entries of the audit stream, about
local INSTANCE_ID_LEN_MAX = 200

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
        or (from_state ~= nil and from_state ~= '' and bad_state('from_state', from_state)) or nil
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

-- The cell that is there: {platform, state, previous, changed}, or nil.
local function cell_read(prefix, shortcode, carrier)
    local value = redis.call('HGET', prefix .. ':route:' .. shortcode, carrier)
    if not value then
        return nil
    end
    local platform, state, previous, changed = cell_parse(value)
    if not platform then
        error('the cell ' .. shortcode .. ' ' .. carrier .. ' is damaged: ' .. value)
    end
    return { platform = platform, state = state, previous = previous, changed = changed }
end

-- Does what is there differ from what the move believes? Then the line for the reply.
local function conflict_of(move, cell)
    local from, from_state = given(move.from), given(move.from_state)
    local is_platform, is_state = '', ''
    if cell then
        is_platform, is_state = cell.platform, cell.state
    end
    if (from == nil or from == is_platform) and (from_state == nil or from_state == is_state) then
        return nil
    end
    local function shown(value, absent)
        if value == nil then
            return absent
        end
        return value == '' and '-' or value
    end
    return table.concat({ move.shortcode, move.carrier, shown(is_platform), shown(is_state), shown(from, '*'),
        shown(from_state, '*') }, ' ')
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

local function change(keys, args)
    local prefix = prefix_of(keys)
    local version = current_version(prefix)
    local request, reason = decode(args[1])
    reason = reason or bad_author(request)
        or (not KINDS[given(request.kind) or ''] and 'kind must be flip, set, import or rollback') or nil
    if reason then
        return invalid(version, { reason })
    end
    local reasons = bad_moves(given(request.moves))
    if #reasons > 0 then
        return invalid(version, reasons)
    end

    redis.call('SCARD', prefix .. ':shortcodes') -- a key of a wrong type must be met before the first write
    local at = integer_text(now_ms())
    local steps, conflicts = plan(prefix, request.moves, at)
    if #conflicts > 0 then
        local reply = { 'conflict', version }
        for _, conflict in ipairs(conflicts) do
            reply[#reply + 1] = conflict
        end
        return reply
    end
    if #steps == 0 then
        return { 'unchanged', version }
    end
    if version >= VERSION_MAX then
        return invalid(version, { 'the version cannot grow any more' })
    end

    local lines = {}
    for i, step in ipairs(steps) do
        lines[i] = move_line(step.move, step.cell, step.wanted)
    end
    version = version + 1
    reason = record(prefix, version, request, request.kind, at, { 'moves', table.concat(lines, '\n') })
    if reason then
        return invalid(version - 1, { reason })
    end
    take(prefix, steps, integer_text(version))
    return { 'ok', version, tonumber(at) }
end

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
    redis.call('DEL', key)
    redis.call('HSET', key, 'beat', now)
    for i = 3, #args, 2 do
        redis.call('HSET', key, args[i], args[i + 1])
    end
    redis.call('PEXPIRE', key, integer_text(lease))
    redis.call('ZADD', prefix .. ':instances', now, id)
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

    redis.call('SCARD', prefix .. ':shortcodes')
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
    return { 'ok', restored }
end

local function info(keys)
    local prefix = prefix_of(keys)
    return { LIBRARY_VERSION, current_version(prefix), current_chain(prefix),
        redis.call('SCARD', prefix .. ':shortcodes') }
end

redis.register_function('turnout_change', change)
redis.register_function { function_name = 'turnout_load', callback = load, flags = { 'no-writes' } }
redis.register_function('turnout_beat', beat)
redis.register_function('turnout_leave', leave)
redis.register_function { function_name = 'turnout_instances', callback = instances, flags = { 'no-writes' } }
redis.register_function('turnout_forget', forget)
redis.register_function('turnout_restore', restore)
redis.register_function { function_name = 'turnout_info', callback = info, flags = { 'no-writes' } }
