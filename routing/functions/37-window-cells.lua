-- -------------------------------------------------------------------------------------------------------------
-- Which window a cell belongs to. A flip is of a window, or says --outside-window: so nobody moves by a slip of the
-- hand what no window is open for. The windows' own functions are in 60-window.
--
--   P:windows                 sorted set, name -> when it was made, ms
--   P:windowed                hash, "shortcode carrier" -> name, of the cells of the windows that are open or paused
--   P:window:<name>           hash, as 60-window says
--   P:window:<name>:versions  list: the changes made in it

local windows = { per_call = 1000 } -- unpack's reach is a few thousand

-- What may be done in which state, and the state that it leads to. "flip" is every move of a cell as the window's.
windows.machine = {
    missing = { create = 'planned' },
    planned = { add = 'planned', remove = 'planned', delete = 'missing', start = 'open', cancel = 'cancelled' },
    open = { flip = 'open', pause = 'paused', finish = 'finished', cancel = 'cancelled', rollback = 'rolled_back' },
    paused = { resume = 'open', finish = 'finished', cancel = 'cancelled', rollback = 'rolled_back' },
    finished = { rollback = 'rolled_back' },
    cancelled = {},
    rolled_back = {},
}

function windows.key(prefix, name, rest)
    return prefix .. ':window:' .. name .. (rest and ':' .. rest or '')
end

function windows.state(prefix, name)
    return redis.call('HGET', windows.key(prefix, name), 'state') or 'missing'
end

function windows.may(prefix, name, command)
    return windows.machine[windows.state(prefix, name)][command] ~= nil
end

-- The reply to a command that its state does not take: with those that it does.
function windows.refuse(prefix, version, name)
    local state, commands = windows.state(prefix, name), {}
    for command in pairs(windows.machine[state]) do
        commands[#commands + 1] = command
    end
    table.sort(commands)
    return { 'state', version, name, state, unpack(commands) }
end

-- Many fields of a hash at once, as a table; those that are not there are not in it.
function windows.read_all(key, fields)
    local values = {}
    for first = 1, #fields, windows.per_call do
        local last = math.min(first + windows.per_call - 1, #fields)
        for i, value in ipairs(redis.call('HMGET', key, unpack(fields, first, last))) do
            values[fields[first + i - 1]] = value or nil
        end
    end
    return values
end

-- The names of the open or paused windows that cells ("shortcode carrier") belong to, as a table.
function windows.owners(prefix, cells)
    local key = prefix .. ':windowed'
    return redis.call('EXISTS', key) == 1 and windows.read_all(key, cells) or {}
end

-- The rows of cells in the open or paused windows that they belong to, as a table.
local function rows_of(prefix, cells)
    local owners, of_window, rows = windows.owners(prefix, cells), {}, {}
    for cell, name in pairs(owners) do
        of_window[name] = of_window[name] or {}
        table.insert(of_window[name], cell)
    end
    for name, its in pairs(of_window) do
        for cell, row in pairs(windows.read_all(windows.key(prefix, name, 'cells'), its)) do
            rows[cell] = row
        end
    end
    return rows
end

-- Cells of an open or paused window that are moved anywhere but where the window moves them, also back, are still to go
-- there: their legs stay bound.
function windows.keep_next(prefix, moves)
    local cells = {}
    for i, move in ipairs(moves) do
        cells[i] = move.shortcode .. ' ' .. move.carrier
    end
    local rows = rows_of(prefix, cells)
    if next(rows) == nil then
        return
    end
    for i, move in ipairs(moves) do
        local to = rows[cells[i]] and string.match(rows[cells[i]], '^%S+')
        if to and to ~= move.to and given(move.next) == nil and move.to ~= '' then
            move.next = to
        end
    end
end

-- The planned window that a cell is in, if any: for whoever forgot to start it.
function windows.planned(prefix, cell)
    for _, name in ipairs(redis.call('ZRANGE', prefix .. ':windows', 0, -1)) do
        if windows.state(prefix, name) == 'planned'
                and redis.call('HEXISTS', windows.key(prefix, name, 'cells'), cell) == 1 then
            return name
        end
    end
end

function windows.refuse_outside(prefix, version, outside)
    local reply = { 'outside', version }
    for i, line in ipairs(outside) do
        local name = i <= REASONS_MAX and not string.find(line, ' .* ') and windows.planned(prefix, line)
        reply[#reply + 1] = name and line .. ' ' .. name .. ' planned' or line
    end
    return reply
end

-- A flip that names its window: is that open, and are the cells its own? Then nil, else the reply.
function windows.refuse_named(prefix, version, name, cells, owners)
    if not windows.may(prefix, name, 'flip') then
        return windows.refuse(prefix, version, name)
    end
    local reasons = {}
    for _, cell in ipairs(cells) do
        if owners[cell] ~= name and #reasons < REASONS_MAX then
            reasons[#reasons + 1] = cell .. ' does not belong to window ' .. name
        end
    end
    return #reasons > 0 and invalid(version, reasons) or nil
end

-- The windows of a flip's steps, and the cells in none that is open, one line each: "shortcode carrier", or "shortcode
-- carrier window paused". -> names, lines | nil, nil and the reply that refuses.
function windows.admit(prefix, version, request, steps)
    local cells = {}
    for i, step in ipairs(steps) do
        cells[i] = step.move.shortcode .. ' ' .. step.move.carrier
    end
    local owners = windows.owners(prefix, cells)
    local refusal = given(request.window) and windows.refuse_named(prefix, version, request.window, cells, owners)
    if refusal then
        return nil, nil, refusal
    end
    local states, names, outside = {}, {}, {}
    for _, cell in ipairs(cells) do
        local name = owners[cell]
        if name and not states[name] then
            states[name] = windows.state(prefix, name)
            names[#names + 1] = windows.machine[states[name]].flip and name or nil
        end
        if not name or not windows.machine[states[name]].flip then
            outside[#outside + 1] = name and table.concat({ cell, name, states[name] }, ' ') or cell
        end
    end
    if #outside > 0 and given(request.outside_window) ~= true then
        return nil, nil, windows.refuse_outside(prefix, version, outside)
    end
    return names, outside
end

-- Notes a change in the windows that it was made in. What they do by themselves is looked at with the next beat: a move
-- that was still to come may be done.
function windows.note(prefix, names, version)
    for _, name in ipairs(names) do
        redis.call('RPUSH', windows.key(prefix, name, 'versions'), integer_text(version))
        redis.call('ZADD', prefix .. ':window_due', 'XX', integer_text(now_ms()), name)
    end
end

-- The names in a recorded change's field "window".
function windows.names_of(fields)
    local names = {}
    for name in string.gmatch(fields.window or '', '%S+') do
        names[#names + 1] = name
    end
    return names
end
