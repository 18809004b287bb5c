-- -------------------------------------------------------------------------------------------------------------
-- Back again: by hand, and where nobody confirmed in time

-- The moves of a change, or those of some shortcodes (a set), each with what was there before in from and from_state.
-- The end of a strict flip goes back to what was before its hold. Second: whether these are all of the change.
local function moves_to_undo(prefix, fields, shortcodes)
    local held, moves, whole = {}, {}, true
    for began in string.gmatch(fields.began or '', '%d+') do
        for _, move in ipairs(moves_of(entry_of(prefix, began) or {})) do
            held[move.shortcode .. ' ' .. move.carrier] = move
        end
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
    local steps, conflicts, defaults, backs = {}, {}, {}, {}
    for i, move in ipairs(moves) do
        backs[i] = { shortcode = move.shortcode, carrier = move.carrier, to = move.from == '-' and '' or move.from,
            state = move.from_state }
    end
    windows.keep_next(prefix, backs)
    local cells = cells_read(prefix, moves)
    for i, move in ipairs(moves) do
        local back, cell = backs[i], cells[i] or nil
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
        local made, lines = commit(prefix, request, 'rollback', integer_text(now), steps, { 'undoes', undone,
            fields.window and 'window' or nil, fields.window })
        if not made then
            return invalid(version, { lines })
        end
        windows.note(prefix, windows.names_of(fields), made)
        event_of(prefix, 'rolled_back', request, made, fields.window, 'version ' .. undone .. ' (' .. fields.kind
            .. ' by ' .. fields.who .. ') was set back', steps)
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

redis.register_function('turnout_rollback', rollback)
