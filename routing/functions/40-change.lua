-- -------------------------------------------------------------------------------------------------------------
-- The functions

-- Compares every move with the table. Answers steps to take {move, cell, wanted}, and lines of conflict.
local function plan(prefix, moves, at)
    local steps, conflicts, defaults = {}, {}, {}
    windows.keep_next(prefix, moves)
    local cells = cells_read(prefix, moves)
    for i, move in ipairs(moves) do
        local cell = cells[i] or nil
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

local function conflict(version, conflicts)
    local reply = { 'conflict', version }
    for _, line in ipairs(conflicts) do
        reply[#reply + 1] = line
    end
    return reply
end

-- Why there is no room for the overrides of numbers that the steps add, or nothing.
local function numbers_full(prefix, steps)
    local more = 0
    for _, step in ipairs(steps) do
        if step.move.carrier == NUMBER then
            more = more + (step.wanted and 1 or 0) - (step.cell and 1 or 0)
        end
    end
    if more > 0 and redis.call('SCARD', prefix .. ':numbers') + more > NUMBERS_MAX then
        return 'at most ' .. NUMBERS_MAX .. ' numbers can have an override; more belong into the portability table'
    end
end

-- Records the steps as one change, with more fields, and takes them. -> the new version and the lines of its moves
-- | nil and why not
local function commit(prefix, request, kind, at, steps, more)
    local version = current_version(prefix) + 1
    if version > VERSION_MAX then
        return nil, 'the version cannot grow any more'
    end
    local full = numbers_full(prefix, steps)
    if full then
        return nil, full
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
    cells_write(prefix, steps, integer_text(version))
    return version, lines
end

-- The table is as wanted already, and somebody no longer waits for some instances to apply it.
local function note_left_out(prefix, request, version)
    if given(request.without) then
        redis.call('XADD', prefix .. ':left_out', 'MAXLEN', '~', 1000, '*', 'version', integer_text(version), 'at',
            integer_text(now_ms()), 'who', request.who, 'why', given(request.why) or '', 'without',
            table.concat(request.without, '\n'))
    end
end

-- A key of a wrong type must be met before the first write: Redis does not undo.
local function check_keys(prefix)
    redis.call('SCARD', prefix .. ':shortcodes')
    redis.call('SCARD', prefix .. ':numbers')
    redis.call('ZCARD', prefix .. ':confirm')
    redis.call('ZCARD', prefix .. ':undone')
    redis.call('XLEN', prefix .. ':confirmations')
    redis.call('XLEN', prefix .. ':events')
    redis.call('HLEN', prefix .. ':windowed')
    redis.call('ZCARD', prefix .. ':windows')
end

local function bad_change(request)
    local within, began = given(request.confirm_within_ms), given(request.began)
    return bad_author(request)
        or (not KINDS[given(request.kind) or ''] and 'kind must be flip, set, import or rollback')
        or (within ~= nil and bad_number('confirm_within_ms', within, CONFIRM_MAX_MS))
        or (began ~= nil and bad_number('began', began, VERSION_MAX))
        or (given(request.window) ~= nil and bad_name('window', request.window)) or guards.bad(given(request.guard)) or nil
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
        note_left_out(prefix, request, version)
        return { 'unchanged', version }
    end
    local names, outside, refusal = {}, {}, nil
    if request.kind == 'flip' then
        names, outside, refusal = windows.admit(prefix, version, request, steps)
        if refusal then
            return refusal
        end
    end

    local more, deadline = {}, given(request.confirm_within_ms)
    if #names > 0 then
        more[#more + 1], more[#more + 2] = 'window', table.concat(names, ' ')
    end
    if #outside > 0 then
        more[#more + 1], more[#more + 2] = 'outside', table.concat(outside, '\n')
    end
    if deadline then
        deadline = now + deadline
        more[#more + 1], more[#more + 2] = 'confirm', integer_text(deadline)
    end
    if given(request.began) then
        more[#more + 1], more[#more + 2] = 'began', integer_text(request.began)
    end
    request.guard = guards.of_flip(prefix, request, names, steps)
    if request.guard then
        more[#more + 1], more[#more + 2] = 'guard', guards.text(request.guard)
    end
    local made, why_not = commit(prefix, request, request.kind, at, steps, more)
    if not made then
        return invalid(version, { why_not })
    end
    if deadline then
        redis.call('ZADD', prefix .. ':confirm', integer_text(deadline), integer_text(made))
    end
    guards.set(prefix, made, now, request, table.concat(names, ' '), steps)
    if request.kind == 'flip' then
        windows.note(prefix, names, made)
        events_of_flip(prefix, request, made, table.concat(names, ' '), steps)
    end
    return { 'ok', made, now, deadline }
end

redis.register_function('turnout_change', change)
