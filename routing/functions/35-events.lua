-- -------------------------------------------------------------------------------------------------------------
-- Events: what happened, in sentences, for those who tell others of it (hooks, mail). The functions write them with the
-- change that they are about, in the same call; nobody else does.
--
--   P:events  stream, about the last 10000; the ids are Redis' clock. Fields, all text, "" for none:
--               kind    window_opened | window_paused | window_resumed | window_finished | carrier_moved |
--                       rolled_back | confirmed | gone_back | alarm
--               at      Redis' clock, ms since 1970
--               window  its name
--               version of the change
--               who, why, ticket
--               text    a sentence
--               cells   one line a cell: "shortcode carrier from to state", "-" for no platform or state
--             carrier_moved comes once for each carrier of a flip, with the cells whose platform it changed: the hold
--             of a strict flip moves nothing.

local EVENTS_KEPT = 10000
local EVENT_FIELDS = { 'window', 'version', 'who', 'why', 'ticket', 'text', 'cells' }

-- Writes an event. It comes after the change, which it must not make fail: Redis does not undo.
local function event(prefix, kind, fields)
    local entry = { 'kind', kind, 'at', integer_text(now_ms()) }
    for _, name in ipairs(EVENT_FIELDS) do
        local value = given(fields[name])
        entry[#entry + 1] = name
        entry[#entry + 1] = type(value) == 'number' and integer_text(value) or value or ''
    end
    redis.pcall('XADD', prefix .. ':events', 'MAXLEN', '~', EVENTS_KEPT, '*', unpack(entry))
end

-- The cells of an event, from steps of a change: those that go to another platform. Nobody is to hear that a route came
-- back which was only on hold.
local function event_cells(steps)
    local lines = {}
    for _, step in ipairs(steps) do
        local cell, wanted = step.cell, step.wanted
        local from, to = cell and cell.platform or '-', wanted and wanted.platform or '-'
        if from ~= to then
            lines[#lines + 1] = step.move.shortcode .. ' ' .. step.move.carrier .. ' ' .. from .. ' ' .. to .. ' '
                .. (wanted and wanted.state or '-')
        end
    end
    return table.concat(lines, '\n')
end

-- The same of a change that was recorded before.
local function event_cells_of(fields)
    local lines = {}
    for i, move in ipairs(moves_of(fields)) do
        lines[i] = table.concat({ move.shortcode, move.carrier, move.from, move.to, move.state }, ' ')
    end
    return table.concat(lines, '\n')
end

-- An event about a change that a request asked for, or a timer.
local function event_of(prefix, kind, request, version, window, text, steps)
    event(prefix, kind, { window = window, version = tonumber(version), who = request.who, why = request.why,
        ticket = request.ticket, text = text, cells = event_cells(steps) })
end

-- One carrier_moved for each carrier of a flip.
local function events_of_flip(prefix, request, version, window, steps)
    local carriers, of_carrier = {}, {}
    for _, step in ipairs(steps) do
        local carrier = step.move.carrier
        if step.wanted and (not step.cell or step.cell.platform ~= step.wanted.platform) then
            if not of_carrier[carrier] then
                carriers[#carriers + 1] = carrier
                of_carrier[carrier] = { to = step.wanted.platform }
            end
            local moved = of_carrier[carrier]
            moved[#moved + 1] = step
            moved.to = moved.to == step.wanted.platform and moved.to or nil
        end
    end
    for _, carrier in ipairs(carriers) do
        local moved = of_carrier[carrier]
        local what = #moved == 1 and moved[1].move.shortcode or #moved .. ' shortcodes'
        event_of(prefix, 'carrier_moved', request, version, window, what .. ' of ' .. carrier .. ' moved'
            .. (moved.to and ' to ' .. moved.to or ''), moved)
    end
end
