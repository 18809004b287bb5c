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

-- Which steps belong into a window: those of a flip, and what another change makes of a route that is there already by
-- moving it to another platform. A number's override is no route.
local function windowed_steps(request, steps)
    if request.kind == 'flip' then
        return steps
    end
    local moved = {}
    for _, step in ipairs(steps) do
        if step.cell and step.wanted and step.cell.platform ~= step.wanted.platform and step.move.carrier ~= NUMBER then
            moved[#moved + 1] = step
        end
    end
    return moved
end

-- The holds of strict flips that would go back by themselves, of some cells: a list of {version, fields}, the oldest
-- first.
local function armed_holds(prefix, cells)
    local seen, holds = {}, {}
    for _, cell in ipairs(cells) do
        if cell and cell.state == 'hold' and not seen[cell.version] then
            seen[cell.version] = true
            local version = integer_text(cell.version)
            local fields = redis.call('ZSCORE', prefix .. ':confirm', version) and entry_of(prefix, version)
            if fields and is_strict_hold(fields) then
                holds[#holds + 1] = { version = version, fields = fields }
            end
        end
    end
    table.sort(holds, function(left, right) return tonumber(left.version) < tonumber(right.version) end)
    return holds
end

-- Those whose cells a change opens, or moves.
local function holds_to_end(prefix, steps)
    local cells = {}
    for _, step in ipairs(steps) do
        cells[#cells + 1] = step.wanted and step.wanted.state ~= 'hold' and step.cell or nil
    end
    return armed_holds(prefix, cells)
end

-- A strict flip holds them again, and waits anew.
local function put_off_holds(prefix, request, deadline)
    if request.kind == 'flip' and given(request.moves[1].state) == 'hold' then
        for _, hold in ipairs(armed_holds(prefix, cells_read(prefix, request.moves))) do
            redis.call('ZADD', prefix .. ':confirm', 'XX', 'GT', integer_text(deadline), hold.version)
        end
    end
end

-- The deadline of a hold is over with its last cell: what is left of it goes back at its time.
local function end_holds(prefix, holds, request)
    for _, hold in ipairs(holds) do
        local left = false
        for _, cell in ipairs(cells_read(prefix, moves_of(hold.fields))) do
            left = left or (cell and cell.version == tonumber(hold.version))
        end
        if not left and redis.call('ZREM', prefix .. ':confirm', hold.version) == 1 then
            note(prefix, hold.version, 'replaced', request.who, given(request.why))
        end
    end
end

-- The versions of holds from which a change goes on.
local function began_text(request, holds)
    local versions, began = {}, given(request.began)
    versions[1] = began and integer_text(began)
    for _, hold in ipairs(holds) do
        if hold.version ~= versions[1] then
            versions[#versions + 1] = hold.version
        end
    end
    return table.concat(versions, ' ')
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
    local deadline = given(request.confirm_within_ms)
    deadline = deadline and now + deadline
    if #steps == 0 then
        if deadline then
            put_off_holds(prefix, request, deadline)
        end
        note_left_out(prefix, request, version)
        return { 'unchanged', version }
    end
    local names, outside, refusal = windows.admit(prefix, version, request, windowed_steps(request, steps))
    if refusal then
        return refusal
    end

    local more, holds = {}, holds_to_end(prefix, steps)
    local began = began_text(request, holds)
    if #names > 0 then
        more[#more + 1], more[#more + 2] = 'window', table.concat(names, ' ')
    end
    if #outside > 0 then
        more[#more + 1], more[#more + 2] = 'outside', table.concat(outside, '\n')
    end
    if deadline then
        more[#more + 1], more[#more + 2] = 'confirm', integer_text(deadline)
    end
    if began ~= '' then
        more[#more + 1], more[#more + 2] = 'began', began
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
        put_off_holds(prefix, request, deadline)
    end
    end_holds(prefix, holds, request)
    guards.set(prefix, made, now, request, table.concat(names, ' '), steps)
    windows.note(prefix, names, made)
    if request.kind == 'flip' then
        events_of_flip(prefix, request, made, table.concat(names, ' '), steps)
    end
    return { 'ok', made, now, deadline }
end

redis.register_function('turnout_change', change)
