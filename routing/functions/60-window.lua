-- -------------------------------------------------------------------------------------------------------------
-- Windows: which routes move where, from when to when. windows.machine (37-window-cells) says what may be done in which
-- state; cancel ends an open one only as long as nothing has moved.
--
--   create ──▶ planned ──start──▶ open ◀──pause, resume──▶ paused
--                │                  └────────────┬────────────┘
--                ├─ cancel ─▶ cancelled ◀────────┼─ finish ─▶ finished ─ rollback ─▶ rolled_back
--                └─ delete                       └─ rollback ─▶ rolled_back
--
-- From the start on, every cell of it knows its next platform, so that the legs there are bound before it moves; the
-- moves are flips (40-change, 37-window-cells). A window may start by itself, and move cells at a time: whichever
-- instance's call comes first after it is due does so, and who is then "window-timer".
--
--   P:window:<name>           hash: state, start, end (ms), zone (as it was given), auto (1: starts by itself), guard (JSON),
--                             carriers (in the order of the steps), who, why, ticket, created, and for each state
--                             that it has entered "<state>_at"; opened_version; at the end total, moved, left
--   P:window:<name>:cells     hash, "shortcode carrier" -> "to at before before_state [end end_state end_version]"; at:
--                             when it moves by itself, ms; before: what was there when it started; "-" for none
--   P:window:<name>:timed     sorted set, "shortcode carrier" -> at, of those that are to move by themselves yet: one that
--                             was where it goes at its time, or later, is done with, whoever moved it
--   P:window:<name>:versions  list: the changes made in it
--   P:window:<name>:failed    hash, "shortcode carrier" -> why it did not move by itself
--   P:window:<name>:looks     hash, "carrier platform" -> JSON {id, asked [instance], shortcodes {shortcode: true}, at_ms, next_ms,
--                             told}: the preflight before it moves something there by itself
--   P:window:<name>:log       list of JSON: {at, who, what, why, version}
--   P:window_due              sorted set, name -> when there is something to do by itself, ms
--
--   turnout_window       args: request (JSON: {"command","name","who","why","ticket", ...}):
--                        create    "start","end" (ms),"zone","auto","guard","moves":[{"shortcode","carrier","to","at"}]
--                        add       "moves"; remove  "cells":[{"shortcode","carrier"}]; delete
--                        start     "force": also before its time; pause; resume
--                        finish    "force": also where something has not moved; cancel
--                        rollback  "force": also cells that are neither where they were nor where they go
--                        -> {"ok", version, at_ms, overdue moves [, line ...]} (a line as in "moves" of each cell that
--                        it changed; the version is new where there are any)
--                        | {"state", version, name, state or "missing", command that it takes ...} | {"unfinished", version, sentence ...}
--                        | conflict, invalid as turnout_change's
--   turnout_windows      -> {now_ms, version, then for each: name, number of strings, field, value ...}, with total,
--                        moved and left counted. Only reads.
--   turnout_window_show  args: name. -> {now_ms, version, {field, value ...}, {for each cell: "shortcode carrier", row,
--                        the table's value or "", why it failed or ""}, {log line ...}, {version ...}} | {"missing",
--                        version, reason}. Only reads.

windows.kept = 500
windows.zone_len_max = 64
windows.log_kept = 1000
windows.timer = 'window-timer'
-- Of the preflight before a move by itself: what an instance may take, all of them, how long answers are kept, and when
-- it is tried again after it was refused.
windows.look_ms = { probe = 5000, all = 6500, kept = 60000, again = 10000 }

-- -------------------------------------------------------------------------------------------------------------
-- Rows

function windows.row_text(row)
    local text = row.to .. ' ' .. (row.at or '-') .. ' ' .. (row.before or '-') .. ' ' .. (row.before_state or '-')
    return row.finally and text .. ' ' .. row.finally or text
end

-- A cell of a window: {cell, shortcode, carrier, to, at, before, before_state, finally}, and live: what is there now,
-- false for nothing (windows.read_cells).
function windows.row_of(cell, text)
    local shortcode, carrier = string.match(cell, '^(%S+) (%S+)$')
    local to, at, before, before_state, finally = string.match(text, '^(%S+) (%S+) (%S+) (%S+) ?(.*)$')
    return { cell = cell, shortcode = shortcode, carrier = carrier, to = to, at = tonumber(at), before = before,
        before_state = before_state, finally = finally ~= '' and finally or nil, live = false }
end

-- All cells of a window, sorted. The texts are sorted, not the rows: with a function that compares, that took most of
-- the time of every command.
function windows.rows(prefix, name)
    local cells, texts, rows = {}, {}, {}
    local list = redis.call('HGETALL', windows.key(prefix, name, 'cells'))
    for i = 1, #list, 2 do
        cells[#cells + 1] = list[i]
        texts[list[i]] = list[i + 1]
    end
    table.sort(cells)
    for i, cell in ipairs(cells) do
        rows[i] = windows.row_of(cell, texts[cell])
    end
    return rows
end

-- Those that move by themselves, in the order of their times.
function windows.timed_rows(prefix, name)
    local cells = redis.call('ZRANGE', windows.key(prefix, name, 'timed'), 0, -1)
    local texts, rows = windows.read_all(windows.key(prefix, name, 'cells'), cells), {}
    for _, cell in ipairs(cells) do
        rows[#rows + 1] = texts[cell] and windows.row_of(cell, texts[cell]) or nil
    end
    return windows.read_cells(prefix, rows)
end

function windows.read_cells(prefix, rows)
    for i, cell in ipairs(cells_read(prefix, rows)) do
        rows[i].live = cell
    end
    return rows
end

-- Many fields of a hash at once: text_of gives the value of a row, or nil to remove it.
function windows.write_all(key, rows, text_of)
    for first = 1, #rows, windows.per_call do
        local words = {}
        for i = first, math.min(first + windows.per_call - 1, #rows) do
            words[#words + 1] = rows[i].cell
            words[#words + 1] = text_of and text_of(rows[i]) or nil
        end
        redis.call(text_of and 'HSET' or 'HDEL', key, unpack(words))
    end
end

function windows.write_rows(prefix, name, rows)
    windows.write_all(windows.key(prefix, name, 'cells'), rows, windows.row_text)
end

-- Has it moved, as far as the platform goes?
function windows.there(row)
    return row.live and row.live.platform == row.to
end

function windows.event_cells(rows)
    local lines = {}
    for i, row in ipairs(rows) do
        local live = row.live
        lines[i] = row.cell .. ' ' .. (row.before or (live and live.platform) or '-') .. ' ' .. row.to .. ' '
            .. (live and live.state or '-')
    end
    return table.concat(lines, '\n')
end

-- A step that leaves the cell as it is, but for where it goes next ("-" for nowhere).
function windows.step_next(row, to)
    local live = row.live
    return { row = row, move = { shortcode = row.shortcode, carrier = row.carrier }, cell = live,
        wanted = { platform = live.platform, state = live.state, previous = live.previous, changed = live.changed,
            next = to } }
end

-- -------------------------------------------------------------------------------------------------------------
-- States

function windows.log(prefix, name, what, request, now, version)
    local key = windows.key(prefix, name, 'log')
    redis.call('RPUSH', key, cjson.encode({ at = now, who = request.who, what = what, why = given(request.why) or '',
        version = version }))
    redis.call('LTRIM', key, -windows.log_kept, -1)
end

-- Enters the state that a command leads to.
function windows.enter(prefix, name, command, now)
    local state = windows.machine[windows.state(prefix, name)][command]
    redis.call('HSET', windows.key(prefix, name), 'state', state, state .. '_at', integer_text(now))
end

function windows.tell(prefix, name, kind, request, version, text, rows)
    event(prefix, kind, { window = name, version = version, who = request.who, why = request.why,
        ticket = request.ticket, text = text, cells = rows and windows.event_cells(rows) or '' })
end

-- Counted from the cells as they are: how many there are, and how many have moved.
function windows.count(prefix, name)
    local total, moved = 0, 0
    for _, row in ipairs(windows.read_cells(prefix, windows.rows(prefix, name))) do
        total, moved = total + 1, moved + (windows.there(row) and 1 or 0)
    end
    return total, moved
end

function windows.target(row)
    return row.carrier .. ' ' .. row.to
end

-- The preflights under way, or refused, of a window: by "carrier platform".
function windows.looks(prefix, name)
    local looks = fields_of(redis.call('HGETALL', windows.key(prefix, name, 'looks')))
    for target, text in pairs(looks) do
        looks[target] = cjson.decode(text)
    end
    return looks
end

-- When there is something to do by itself: the start, a move, or to say that the end is over.
function windows.plan_due(prefix, name)
    local key = windows.key(prefix, name)
    local found = fields_of(redis.call('HGETALL', key))
    local due
    if found.state == 'planned' and found.auto == '1' then
        due = tonumber(found.start)
    elseif found.state == 'open' then
        due = not found.end_told and tonumber(found['end']) or nil
        local failed, looks = windows.key(prefix, name, 'failed'), windows.looks(prefix, name)
        for _, row in ipairs(windows.timed_rows(prefix, name)) do
            local look = looks[windows.target(row)]
            local at = math.max(row.at, look and not windows.there(row) and look.next_ms or 0)
            if (not due or at < due) and redis.call('HEXISTS', failed, row.cell) == 0 then
                due = at
            end
        end
    end
    if due then
        redis.call('ZADD', prefix .. ':window_due', integer_text(due), name)
    else
        redis.call('ZREM', prefix .. ':window_due', name)
    end
end

-- What has moved at its time is done with: who takes it away again has a reason, and it is not overdue for that.
function windows.timed_done(prefix, name, rows)
    for first = 1, #rows, windows.per_call do
        local cells = {}
        for i = first, math.min(first + windows.per_call - 1, #rows) do
            cells[#cells + 1] = rows[i].cell
        end
        redis.call('ZREM', windows.key(prefix, name, 'timed'), unpack(cells))
    end
end

-- How many moves should have been made by themselves by now, and were not.
function windows.overdue(prefix, name, now)
    local count = 0
    for _, row in ipairs(windows.timed_rows(prefix, name)) do
        count = count + (row.at <= now and not windows.there(row) and 1 or 0)
    end
    return count
end

-- The window ends: its cells (rows, with the cells as they are now) belong to it no more, and what they are is kept.
function windows.close(prefix, name, command, now, rows)
    local cells, mine = {}, {}
    local total, moved = #rows, 0
    for i, row in ipairs(rows) do
        local live = row.live
        row.finally = live and live.platform .. ' ' .. live.state .. ' ' .. integer_text(live.version) or '- - 0'
        moved, cells[i] = moved + (windows.there(row) and 1 or 0), row.cell
    end
    local owners = windows.owners(prefix, cells)
    for _, row in ipairs(rows) do
        mine[#mine + 1] = owners[row.cell] == name and row or nil
    end
    windows.write_rows(prefix, name, rows)
    windows.write_all(prefix .. ':windowed', mine)
    windows.enter(prefix, name, command, now)
    redis.call('HSET', windows.key(prefix, name), 'total', total, 'moved', moved, 'left', total - moved)
    redis.call('ZREM', prefix .. ':window_due', name)
    redis.call('DEL', windows.key(prefix, name, 'looks'))
end

-- -------------------------------------------------------------------------------------------------------------
-- The plan

-- All that is wrong with moves of a window, besides bad_moves.
function windows.bad_rows(moves, first, last)
    local reasons = bad_moves(moves)
    if #reasons > 0 then
        return reasons
    end
    for i, move in ipairs(moves) do
        local at, cell = given(move.at), 'move ' .. i .. ': ' .. move.shortcode .. ' ' .. move.carrier
        if move.to == '' then
            reasons[#reasons + 1] = cell .. ' has no platform to go to'
        elseif at ~= nil and (bad_number('at', at, VERSION_MAX) or at < first or at >= last) then
            reasons[#reasons + 1] = cell .. ' is to move at a time that is not within the window'
        end
        if #reasons >= REASONS_MAX then
            break
        end
    end
    return reasons
end

function windows.bad_times(request, now)
    local first, last, zone = given(request.start), given(request['end']), given(request.zone)
    return bad_number('start', first, VERSION_MAX) or bad_number('end', last, VERSION_MAX)
        or (last <= first and 'the window ends before it starts') or (last <= now and 'the window is over already')
        or (zone ~= nil and (#zone > windows.zone_len_max and 'the zone is too long' or bad_text('zone', zone))) or nil
end

-- Puts moves among the cells, and their carriers behind those that are there.
function windows.put_moves(prefix, name, moves)
    local key = windows.key(prefix, name)
    local carriers = redis.call('HGET', key, 'carriers') or ''
    local rows = {}
    for i, move in ipairs(moves) do
        rows[i] = { cell = move.shortcode .. ' ' .. move.carrier, to = move.to,
            at = given(move.at) and integer_text(move.at) }
        if rows[i].at then
            redis.call('ZADD', windows.key(prefix, name, 'timed'), rows[i].at, rows[i].cell)
        end
        if not string.find(' ' .. carriers .. ' ', ' ' .. move.carrier .. ' ', 1, true) then
            carriers = carriers == '' and move.carrier or carriers .. ' ' .. move.carrier
        end
    end
    windows.write_rows(prefix, name, rows)
    redis.call('HSET', key, 'carriers', carriers)
end

function windows.drop(prefix, name)
    for _, rest in ipairs({ 'cells', 'timed', 'versions', 'failed', 'looks', 'log' }) do
        redis.call('DEL', windows.key(prefix, name, rest))
    end
    redis.call('DEL', windows.key(prefix, name))
    redis.call('ZREM', prefix .. ':windows', name)
    redis.call('ZREM', prefix .. ':window_due', name)
end

-- Forgets the oldest window that has ended where there are too many. Is there room?
function windows.make_room(prefix)
    if redis.call('ZCARD', prefix .. ':windows') < windows.kept then
        return true
    end
    for _, name in ipairs(redis.call('ZRANGE', prefix .. ':windows', 0, -1)) do
        if not windows.may(prefix, name, 'start') and not windows.may(prefix, name, 'finish') then
            windows.drop(prefix, name)
            return true
        end
    end
    return false
end

local function window_create(prefix, name, request, version, now)
    local reason = windows.bad_times(request, now) or guards.bad(given(request.guard))
    local reasons = reason and { reason } or windows.bad_rows(given(request.moves), request.start, request['end'])
    if #reasons > 0 then
        return invalid(version, reasons)
    end
    if not windows.make_room(prefix) then
        return invalid(version, { 'there are ' .. windows.kept .. ' windows, and none of them has ended' })
    end
    redis.call('ZADD', prefix .. ':windows', integer_text(now), name)
    redis.call('HSET', windows.key(prefix, name), 'start', integer_text(request.start), 'end',
        integer_text(request['end']), 'zone', given(request.zone) or '', 'auto', request.auto == true and '1' or '0',
        'who', request.who, 'why', given(request.why) or '', 'ticket', given(request.ticket) or '', 'created',
        integer_text(now))
    if given(request.guard) then
        redis.call('HSET', windows.key(prefix, name), 'guard', cjson.encode(request.guard))
    end
    windows.enter(prefix, name, 'create', now)
    windows.put_moves(prefix, name, request.moves)
    windows.plan_due(prefix, name)
    windows.log(prefix, name, 'create', request, now)
    return { 'ok', version, now, 0 }
end

local function window_add(prefix, name, request, version, now)
    local times = redis.call('HMGET', windows.key(prefix, name), 'start', 'end')
    local reasons = windows.bad_rows(given(request.moves), tonumber(times[1]), tonumber(times[2]))
    local cells = windows.key(prefix, name, 'cells')
    for _, move in ipairs(#reasons == 0 and request.moves or {}) do
        local cell = move.shortcode .. ' ' .. move.carrier
        if redis.call('HEXISTS', cells, cell) == 1 then
            reasons[#reasons + 1] = cell .. ' is in window ' .. name .. ' already'
        end
    end
    if #reasons == 0 and redis.call('HLEN', cells) + #request.moves > MOVES_MAX then
        reasons = { 'too many moves, at most ' .. MOVES_MAX .. ' in one window' }
    end
    if #reasons > 0 then
        return invalid(version, reasons)
    end
    windows.put_moves(prefix, name, request.moves)
    windows.plan_due(prefix, name)
    windows.log(prefix, name, 'add', request, now)
    return { 'ok', version, now, 0 }
end

local function window_remove(prefix, name, request, version, now)
    local reasons, key = {}, windows.key(prefix, name, 'cells')
    local list = given(request.cells)
    if type(list) ~= 'table' or #list == 0 then
        return invalid(version, { 'cells must be an array with at least one' })
    end
    for i, cell in ipairs(list) do
        local reason = bad_shortcode(given(cell.shortcode)) or bad_name('carrier', given(cell.carrier))
        list[i] = reason and '' or cell.shortcode .. ' ' .. cell.carrier
        if reason or redis.call('HEXISTS', key, list[i]) == 0 then
            reasons[#reasons + 1] = reason or list[i] .. ' is not in window ' .. name
        end
    end
    if #reasons > 0 then
        return invalid(version, reasons)
    end
    for _, cell in ipairs(list) do
        redis.call('HDEL', key, cell)
        redis.call('ZREM', windows.key(prefix, name, 'timed'), cell)
    end
    windows.plan_due(prefix, name)
    windows.log(prefix, name, 'remove', request, now)
    return { 'ok', version, now, 0 }
end

local function window_delete(prefix, name, _, version, now)
    windows.drop(prefix, name)
    return { 'ok', version, now, 0 }
end

-- -------------------------------------------------------------------------------------------------------------
-- Start and end

-- All that keeps the window from starting.
function windows.obstacles(prefix, name, request, rows, now)
    local reasons = {}
    local times = redis.call('HMGET', windows.key(prefix, name), 'start', 'end')
    if tonumber(times[2]) <= now then
        reasons[1] = 'its end is over'
    elseif tonumber(times[1]) > now and given(request.force) ~= true then
        reasons[1] = 'it is to start in ' .. math.ceil((tonumber(times[1]) - now) / 60000)
            .. ' min; with force it starts now'
    end
    if #rows == 0 then
        reasons[#reasons + 1] = 'it has no moves'
    end
    local cells = {}
    for i, row in ipairs(rows) do
        cells[i] = row.cell
    end
    local owners = windows.owners(prefix, cells)
    for _, row in ipairs(rows) do
        if #reasons >= REASONS_MAX then
            break
        end
        if not row.live then
            reasons[#reasons + 1] = row.cell .. ' has no row of its own in the table'
        elseif owners[row.cell] then
            reasons[#reasons + 1] = row.cell .. ' belongs to window ' .. owners[row.cell] .. ', which is '
                .. windows.state(prefix, owners[row.cell])
        end
    end
    return reasons
end

-- Makes steps, if there are any, a change of the window. -> version, the lines of its moves | nil, why not
function windows.commit(prefix, name, request, kind, now, steps, more)
    if #steps == 0 then
        return current_version(prefix), {}
    end
    local fields = { 'window', name }
    for _, text in ipairs(more or {}) do
        fields[#fields + 1] = text
    end
    local made, lines = commit(prefix, request, kind, integer_text(now), steps, fields)
    if made then
        windows.note(prefix, { name }, made)
    end
    return made, lines
end

-- The rows with their cells as steps have made them.
function windows.taken(steps, made, rows)
    for _, step in ipairs(steps) do
        step.row.live = step.wanted or false
        if step.wanted then
            step.wanted.version = made
        end
    end
    return rows
end

function windows.done(version, now, overdue, lines)
    local reply = { 'ok', version, now, overdue }
    for _, line in ipairs(lines or {}) do
        reply[#reply + 1] = line
    end
    return reply
end

local function window_start(prefix, name, request, version, now)
    local rows = windows.read_cells(prefix, windows.rows(prefix, name))
    local reasons = windows.obstacles(prefix, name, request, rows, now)
    if #reasons > 0 then
        return invalid(version, reasons)
    end
    local steps = {}
    for _, row in ipairs(rows) do
        row.before, row.before_state = row.live.platform, row.live.state
        if not windows.there(row) and row.live.next ~= row.to then
            steps[#steps + 1] = windows.step_next(row, row.to)
        end
    end
    local made, lines = windows.commit(prefix, name, request, 'window', now, steps)
    if not made then
        return invalid(version, { lines })
    end
    windows.write_rows(prefix, name, rows)
    windows.write_all(prefix .. ':windowed', rows, function() return name end)
    windows.enter(prefix, name, 'start', now)
    redis.call('HSET', windows.key(prefix, name), 'opened_version', integer_text(made))
    windows.plan_due(prefix, name)
    windows.log(prefix, name, 'start', request, now, made)
    windows.tell(prefix, name, 'window_opened', request, made, 'window ' .. name .. ' is open: ' .. #rows
        .. (#rows == 1 and ' route' or ' routes'), rows)
    return windows.done(made, now, windows.overdue(prefix, name, now), lines)
end

local function window_pause(prefix, name, request, version, now)
    windows.enter(prefix, name, 'pause', now)
    windows.plan_due(prefix, name)
    windows.log(prefix, name, 'pause', request, now)
    windows.tell(prefix, name, 'window_paused', request, version, 'window ' .. name .. ' is paused')
    return windows.done(version, now, 0)
end

-- What failed to move by itself is tried again.
local function window_resume(prefix, name, request, version, now)
    windows.enter(prefix, name, 'resume', now)
    redis.call('DEL', windows.key(prefix, name, 'failed'), windows.key(prefix, name, 'looks'))
    windows.plan_due(prefix, name)
    windows.log(prefix, name, 'resume', request, now)
    windows.tell(prefix, name, 'window_resumed', request, version, 'window ' .. name .. ' goes on')
    return windows.done(version, now, windows.overdue(prefix, name, now))
end

-- What would be left if the window ended now, a sentence each.
function windows.unfinished(prefix, name, rows)
    local lines, more = {}, 0
    local function add(line)
        if #lines < REASONS_MAX then
            lines[#lines + 1] = line
        else
            more = more + 1
        end
    end
    for _, version in ipairs(redis.call('LRANGE', windows.key(prefix, name, 'versions'), 0, -1)) do
        if redis.call('ZSCORE', prefix .. ':confirm', version) then
            add('version ' .. version .. ' awaits confirmation')
        end
    end
    for _, row in ipairs(rows) do
        if not row.live then
            add(row.cell .. ' has no row any more')
        elseif not windows.there(row) then
            add(row.cell .. ' is on ' .. row.live.platform .. ', not on ' .. row.to)
        elseif row.live.state ~= 'open' then
            add(row.cell .. ' is on ' .. row.to .. ', but ' .. (row.live.state == 'hold' and 'on hold' or 'closed'))
        end
    end
    if more > 0 then
        lines[#lines + 1] = 'and ' .. more .. ' more'
    end
    return lines
end

-- Steps that take back where the cells of the window go next.
function windows.steps_forget(rows)
    local steps = {}
    for _, row in ipairs(rows) do
        if row.live and row.live.next == row.to then
            steps[#steps + 1] = windows.step_next(row, '-')
        end
    end
    return steps
end

function windows.end_with(prefix, name, request, command, now, rows)
    local steps = windows.steps_forget(rows)
    local made, lines = windows.commit(prefix, name, request, 'window', now, steps)
    if not made then
        return nil, lines
    end
    windows.close(prefix, name, command, now, windows.taken(steps, made, rows))
    windows.log(prefix, name, command, request, now, made)
    return made, lines
end

local function window_finish(prefix, name, request, version, now)
    local rows = windows.read_cells(prefix, windows.rows(prefix, name))
    local left = windows.unfinished(prefix, name, rows)
    if #left > 0 and given(request.force) ~= true then
        table.insert(left, 1, version)
        table.insert(left, 1, 'unfinished')
        return left
    end
    local made, lines = windows.end_with(prefix, name, request, 'finish', now, rows)
    if not made then
        return invalid(version, { lines })
    end
    local moved = tonumber(redis.call('HGET', windows.key(prefix, name), 'moved'))
    windows.tell(prefix, name, 'window_finished', request, made, 'window ' .. name .. ' is finished: ' .. moved
        .. ' of ' .. #rows .. ' routes moved', rows)
    return windows.done(made, now, 0, lines)
end

local function window_cancel(prefix, name, request, version, now)
    local rows = windows.read_cells(prefix, windows.rows(prefix, name))
    local planned, reasons = windows.state(prefix, name) == 'planned', {}
    for _, row in ipairs(planned and {} or rows) do
        if row.live and row.live.platform ~= row.before and #reasons < REASONS_MAX then
            reasons[#reasons + 1] = row.cell .. ' has moved to ' .. row.live.platform
        end
    end
    if #reasons > 0 then
        table.insert(reasons, 'roll the window back, or finish it')
        return invalid(version, reasons)
    end
    local made, lines = windows.end_with(prefix, name, request, 'cancel', now, planned and {} or rows)
    if not made then
        return invalid(version, { lines })
    end
    if not planned then
        windows.tell(prefix, name, 'window_cancelled', request, made, 'window ' .. name .. ' is cancelled', rows)
    end
    return windows.done(made, now, 0, lines)
end

-- -------------------------------------------------------------------------------------------------------------
-- Back

-- Steps that set every cell back to what it was when the window started, and lines of conflict. Of a window that has
-- ended, only cells that it left moved.
function windows.plan_back(prefix, rows, force, ended, at)
    local steps, conflicts, defaults = {}, {}, {}
    for _, row in ipairs(rows) do
        local live = row.live
        local back = { shortcode = row.shortcode, carrier = row.carrier, to = row.before, state = row.before_state }
        if not ended then
            back.next = ''
        end
        local wanted = cell_next(prefix, back, live, at, defaults)
        local is_before = live and live.platform == row.before
        if not same(live, wanted) and not (ended and is_before) then
            if force or windows.there(row) or is_before then
                steps[#steps + 1] = { row = row, move = back, cell = live, wanted = wanted }
            else
                conflicts[#conflicts + 1] = conflict_line(row.shortcode, row.carrier, live, row.to, '*')
            end
        end
    end
    return steps, conflicts
end

local function window_rollback(prefix, name, request, version, now)
    local rows = windows.read_cells(prefix, windows.rows(prefix, name))
    local ended = windows.state(prefix, name) == 'finished'
    local steps, conflicts = windows.plan_back(prefix, rows, given(request.force) == true, ended, integer_text(now))
    if #conflicts > 0 then
        return conflict(version, name_authors(prefix, conflicts))
    end
    local made, lines = windows.commit(prefix, name, request, 'rollback', now, steps, { 'undoes_window', name })
    if not made then
        return invalid(version, { lines })
    end
    for _, one in ipairs(redis.call('LRANGE', windows.key(prefix, name, 'versions'), 0, -1)) do
        if redis.call('ZREM', prefix .. ':confirm', one) == 1 then
            note(prefix, one, 'gone_back', request.who, given(request.why))
            note_undone(prefix, tonumber(one), made)
        end
    end
    windows.close(prefix, name, 'rollback', now, windows.taken(steps, made, rows))
    windows.log(prefix, name, 'rollback', request, now, made)
    event_of(prefix, 'rolled_back', request, made, name, 'window ' .. name .. ' was rolled back', steps)
    return windows.done(made, now, 0, lines)
end

-- -------------------------------------------------------------------------------------------------------------
-- By itself

-- Has every living instance that says which links it has one to there? Else its id.
function windows.without_link(prefix, carrier, platform)
    for _, id in ipairs(redis.call('ZRANGE', prefix .. ':instances', 0, -1)) do
        local links = redis.call('HGET', prefix .. ':instance:' .. id, 'links')
        if links and not string.find(' ' .. links .. ' ', ' ' .. carrier .. ':' .. platform .. ' ', 1, true) then
            return id
        end
    end
end

-- Has the cell been where it goes since the window started, and come back? Whoever set it back, a person or a guard or
-- a confirmation that did not come, had a reason: only a person moves it again.
function windows.set_back(row, opened)
    return row.live.previous == row.to and row.live.version > opened
end

-- Why the cell cannot move by itself now, or nil. opened: the version that the window's start made.
function windows.obstacle(prefix, row, over, opened)
    local live = row.live
    if over then
        return 'the window is over'
    end
    if not live then
        return 'it has no row any more'
    end
    if live.platform ~= row.before or live.state ~= row.before_state then
        return 'it is on ' .. live.platform .. ' (' .. live.state .. '), not on ' .. row.before .. ' ('
            .. row.before_state .. ') as at the start'
    end
    if windows.set_back(row, opened) then
        return 'it was set back from ' .. row.to .. ' since the start'
    end
    local id = windows.without_link(prefix, row.carrier, row.to)
    return id and 'instance ' .. id .. ' has no link ' .. row.carrier .. ' on ' .. row.to or nil
end

-- An alarm, and a line of the window's log. rows: those that it is about, or nil.
function windows.trouble(prefix, name, author, now, text, rows)
    local cells = {}
    for i, row in ipairs(rows or {}) do
        cells[i] = row.cell .. ' ' .. (row.live and row.live.platform or '-') .. ' ' .. row.to
    end
    windows.tell(prefix, name, 'alarm', author, current_version(prefix), text)
    windows.log(prefix, name, 'alarm', { who = author.who, why = text }, now)
    alarms.of_window(prefix, name, now, text, cells)
end

-- -------------------------------------------------------------------------------------------------------------
-- Preflight before a move by itself, as before a flip: the instances are asked whether they can bind the link, and what
-- comes of their answers decides. A move that is refused is an alarm, once, and tried again until the window ends.
--
--   due ──look_ask──▶ the living instances ──turnout_answer──▶ go_on ──look_judge──▶ go, or refused

-- Asks the living instances that can be asked. Nothing where there are none: nobody would send anything there.
function windows.look_ask(prefix, name, first, rows, now)
    local asked, shortcodes, list = {}, {}, {}
    for _, id in ipairs(redis.call('ZRANGE', prefix .. ':instances', 0, -1)) do
        local kinds = redis.call('HGET', prefix .. ':instance:' .. id, 'answers')
        if kinds and string.find(' ' .. kinds .. ' ', ' preflight ', 1, true) then
            asked[#asked + 1] = id
        end
    end
    if #asked == 0 then
        return nil
    end
    for i, row in ipairs(rows) do
        shortcodes[row.shortcode], list[i] = true, row.shortcode
    end
    local request = cjson.encode({ kind = 'preflight', carrier = first.carrier, to = first.to, shortcodes = list,
        timeout_ms = windows.look_ms.probe })
    return { id = question_put(prefix, request, windows.timer, windows.look_ms.kept, 'window ' .. name), asked = asked,
        shortcodes = shortcodes, at_ms = now, next_ms = now + windows.look_ms.all }
end

-- Why an instance that has answered cannot carry it; nil where it can. Second: it cannot say.
function windows.look_refusal(id, answer, row)
    local link, own = given(answer.link), given(answer.target)
    if given(answer.error) then
        return nil, id .. ': ' .. tostring(answer.error)
    end
    if not link then
        return id .. ' has no link for ' .. row.carrier .. ' by ' .. row.to
    end
    if own then
        return own.verdict == 'failed' and id .. ' cannot bind ' .. link .. ': ' .. tostring(given(own.why)) or nil,
            own.verdict == 'untried' and id .. ' has not tried ' .. link or nil
    end
    for _, client in ipairs(given(answer.clients) or {}) do
        if client.verdict == 'failed' and next(given(client.sessions) or {}) ~= nil then
            return id .. ' cannot bind ' .. link .. ' for ' .. client.client .. ': ' .. tostring(given(client.why))
        end
    end
end

-- What the answers so far come to: 'go', 'wait', or 'refused' and why.
function windows.look_judge(prefix, look, row, now)
    local awaited, able, refusals, unable = #look.asked, 0, {}, {}
    for _, element in ipairs(redis.call('LRANGE', prefix .. ':answers:' .. look.id, 0, -1)) do
        local id, text = string.match(element, '^([^\n]*)\n(.*)$')
        local fine, answer = pcall(cjson.decode, text or '')
        if fine and type(answer) == 'table' and given(answer.working) ~= true then
            local refusal, unknown = windows.look_refusal(id, answer, row)
            awaited = awaited - 1
            refusals[#refusals + 1], unable[#unable + 1] = refusal, unknown
            able = able + (refusal == nil and unknown == nil and 1 or 0)
        end
    end
    if awaited > 0 and now < look.at_ms + windows.look_ms.all then
        return 'wait'
    end
    if #refusals > 0 then
        return 'refused', refusals[1] .. (#refusals > 1 and '; and ' .. (#refusals - 1) .. ' more' or '')
    end
    if able == 0 then
        return 'refused', unable[1] or 'no instance says whether it can bind it'
    end
    return 'go'
end

-- May rows of one target that are due move now? Those that may.
function windows.look(prefix, name, author, look, rows, now)
    local key, first, may = windows.key(prefix, name, 'looks'), rows[1], {}
    local verdict, why
    if look and not look.ended and now < look.at_ms + windows.look_ms.kept then
        verdict, why = windows.look_judge(prefix, look, first, now)
    elseif look and look.ended and now < look.next_ms then
        return may
    end
    if verdict == 'go' then
        for _, row in ipairs(rows) do
            may[#may + 1] = look.shortcodes[row.shortcode] and row or nil
        end
        redis.call('HDEL', key, windows.target(first))
        return may
    end
    if verdict == 'refused' then
        local text = 'does not move by itself: ' .. windows.target(first) .. ', ' .. why
        if not look.told then
            windows.trouble(prefix, name, author, now, text .. '; it is tried again until the window ends', rows)
        end
        look.ended, look.told, look.next_ms = true, why, now + windows.look_ms.again
    elseif verdict == nil then
        local told = look and look.told
        look = windows.look_ask(prefix, name, first, rows, now)
        if not look then
            redis.call('HDEL', key, windows.target(first))
            return rows
        end
        look.told = told
    end
    redis.call('HSET', key, windows.target(first), cjson.encode(look))
    return may
end

-- An answer has come to a question that a window may have asked.
function windows.go_on(prefix, of)
    local name = string.match(of or '', '^window (.+)$')
    if name and redis.call('ZADD', prefix .. ':window_due', 'XX', integer_text(now_ms()), name) then
        windows.carry_out_due(prefix)
    end
end

-- -------------------------------------------------------------------------------------------------------------
-- What is due

function windows.fail_moves(prefix, name, author, now, failed)
    for _, row in ipairs(failed) do
        redis.call('HSET', windows.key(prefix, name, 'failed'), row.cell, row.obstacle)
    end
    local text = 'did not move by itself: ' .. failed[1].cell .. ', ' .. failed[1].obstacle
    windows.trouble(prefix, name, author, now, #failed > 1 and text .. '; and ' .. (#failed - 1) .. ' more' or text,
        failed)
end

-- Of the rows that are due, in the order of their targets, those that the instances can carry.
function windows.looked_at(prefix, name, author, now, looks, due)
    local order, of_target, may = {}, {}, {}
    for _, row in ipairs(due) do
        local target = windows.target(row)
        if not of_target[target] then
            order[#order + 1], of_target[target] = target, {}
        end
        table.insert(of_target[target], row)
    end
    for _, target in ipairs(order) do
        for _, row in ipairs(windows.look(prefix, name, author, looks[target], of_target[target], now)) do
            may[#may + 1] = row
        end
    end
    return may
end

-- Moves what is due, in one change.
function windows.move_due(prefix, name, author, now, over)
    local steps, failed, due, defaults, done = {}, {}, {}, {}, {}
    local key, looks = windows.key(prefix, name, 'failed'), windows.looks(prefix, name)
    local opened = tonumber(redis.call('HGET', windows.key(prefix, name), 'opened_version')) or 0
    for _, row in ipairs(windows.timed_rows(prefix, name)) do
        if row.at <= now and windows.there(row) then
            done[#done + 1] = row
        elseif row.at <= now and redis.call('HEXISTS', key, row.cell) == 0 then
            local look = looks[windows.target(row)]
            row.obstacle = windows.obstacle(prefix, row, over, opened)
            if row.obstacle then
                row.obstacle = row.obstacle .. (over and look and look.told and ', and ' .. look.told or '')
                failed[#failed + 1] = row
            else
                due[#due + 1] = row
            end
        end
    end
    windows.timed_done(prefix, name, done)
    local may = windows.looked_at(prefix, name, author, now, looks, due)
    for _, row in ipairs(may) do
        local move = { shortcode = row.shortcode, carrier = row.carrier, to = row.to }
        steps[#steps + 1] = { move = move, cell = row.live,
            wanted = cell_next(prefix, move, row.live, integer_text(now), defaults) }
    end
    local guard = guards.of_flip(prefix, author, { name }, steps)
    local made, lines = windows.commit(prefix, name, author, 'flip', now, steps, guard and { 'guard', guards.text(guard) })
    if made and #steps > 0 then
        windows.timed_done(prefix, name, may)
        guards.set(prefix, made, now, { guard = guard, who = author.who }, name, steps)
        events_of_flip(prefix, author, made, name, steps)
    elseif not made then
        windows.trouble(prefix, name, author, now, 'nothing moves by itself any more: ' .. lines)
    end
    if #failed > 0 then
        windows.fail_moves(prefix, name, author, now, failed)
    end
    return made ~= nil
end

function windows.start_due(prefix, name, author, now)
    local reply = window_start(prefix, name, author, current_version(prefix), now)
    if reply[1] ~= 'ok' then
        redis.call('HSET', windows.key(prefix, name), 'auto', '0')
        windows.trouble(prefix, name, author, now, 'did not start by itself: ' .. reply[3]
            .. (reply[4] and '; and ' .. (#reply - 3) .. ' more' or ''))
    end
end

function windows.end_due(prefix, name, author, now)
    redis.call('HSET', windows.key(prefix, name), 'end_told', '1')
    local total, moved = windows.count(prefix, name)
    windows.trouble(prefix, name, author, now, 'the window is over and still open: ' .. moved .. ' of ' .. total
        .. ' routes have moved')
end

function windows.carry_out(prefix, name, now)
    check_keys(prefix)
    local found = fields_of(redis.call('HGETALL', windows.key(prefix, name)))
    local author = { who = windows.timer, why = found.why, ticket = found.ticket }
    local fine = true
    if found.state == 'planned' and found.auto == '1' and tonumber(found.start) <= now then
        windows.start_due(prefix, name, author, now)
    end
    if windows.state(prefix, name) == 'open' then
        local over = tonumber(found['end']) <= now
        fine = windows.move_due(prefix, name, author, now, over)
        if over and not found.end_told then
            windows.end_due(prefix, name, author, now)
        end
    end
    if fine then
        windows.plan_due(prefix, name)
    else
        redis.call('ZREM', prefix .. ':window_due', name)
    end
end

-- What is due of every window. An error in one is shown as an alarm, once: it must keep neither the others nor the
-- instances from going on.
function windows.carry_out_due(prefix)
    local key, now = prefix .. ':window_due', now_ms()
    if redis.call('EXISTS', key) == 0 then
        return
    end
    for _, name in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', integer_text(now), 'LIMIT', 0, DUE_AT_ONCE)) do
        local fine, reason = pcall(windows.carry_out, prefix, name, now)
        if not fine then
            local text = 'window ' .. name .. ' does nothing by itself any more: '
                .. tostring(type(reason) == 'table' and reason.err or reason)
            redis.call('ZREM', key, name)
            event(prefix, 'alarm', { window = name, who = windows.timer, text = text })
            pcall(alarms.of_window, prefix, name, now, text)
        end
    end
end

-- -------------------------------------------------------------------------------------------------------------
-- The functions

local function window_command(keys, args)
    local commands = { create = window_create, add = window_add, remove = window_remove, delete = window_delete,
        start = window_start, pause = window_pause, resume = window_resume, finish = window_finish,
        cancel = window_cancel, rollback = window_rollback }
    local prefix = prefix_of(keys)
    local version = current_version(prefix)
    local request, reason = decode(args[1])
    reason = reason or bad_author(request) or bad_name('the name of a window', given(request.name))
    local command = request and commands[given(request.command) or '']
    if not reason and not command then
        reason = 'there is no such command of a window'
    end
    if reason then
        return invalid(version, { reason })
    end
    check_keys(prefix)
    local now = now_ms()
    if not windows.may(prefix, request.name, request.command) then
        return windows.refuse(prefix, version, request.name)
    end
    return command(prefix, request.name, request, version, now)
end

local function window_list(keys)
    local prefix = prefix_of(keys)
    local reply = { now_ms(), current_version(prefix) }
    for _, name in ipairs(redis.call('ZRANGE', prefix .. ':windows', 0, -1)) do
        local fields = redis.call('HGETALL', windows.key(prefix, name))
        if not redis.call('HGET', windows.key(prefix, name), 'total') then
            local total, moved = windows.count(prefix, name)
            for _, text in ipairs({ 'total', integer_text(total), 'moved', integer_text(moved), 'left',
                integer_text(total - moved) }) do
                fields[#fields + 1] = text
            end
        end
        reply[#reply + 1] = name
        reply[#reply + 1] = #fields
        for _, text in ipairs(fields) do
            reply[#reply + 1] = text
        end
    end
    return reply
end

local function window_show(keys, args)
    local prefix, name = prefix_of(keys), args[1]
    local reason = bad_name('the name of a window', name)
    local fields = reason and {} or redis.call('HGETALL', windows.key(prefix, name))
    if #fields == 0 then
        return { 'missing', current_version(prefix), reason or 'there is no window ' .. name }
    end
    local cells, failed = {}, fields_of(redis.call('HGETALL', windows.key(prefix, name, 'failed')))
    local looks, now = windows.looks(prefix, name), now_ms()
    for _, row in ipairs(windows.rows(prefix, name)) do
        local n = #cells
        cells[n + 1], cells[n + 2] = row.cell, windows.row_text(row)
        cells[n + 3] = redis.call('HGET', prefix .. ':route:' .. row.shortcode, row.carrier) or ''
        local look = row.at and row.at <= now and looks[windows.target(row)]
        cells[n + 4] = failed[row.cell] or look and look.told or ''
    end
    return { now, current_version(prefix), fields, cells,
        redis.call('LRANGE', windows.key(prefix, name, 'log'), 0, -1),
        redis.call('LRANGE', windows.key(prefix, name, 'versions'), 0, -1) }
end

redis.register_function('turnout_window', window_command)
redis.register_function { function_name = 'turnout_windows', callback = window_list, flags = { 'no-writes' } }
redis.register_function { function_name = 'turnout_window_show', callback = window_show, flags = { 'no-writes' } }
