-- -------------------------------------------------------------------------------------------------------------
-- Changes that go back unless somebody confirms them in time

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
        event(prefix, 'alarm', { version = tonumber(version), who = CONFIRM_TIMER, text = 'version ' .. version
            .. ' was not confirmed in time, and cannot be set back: the log does not reach back to it' })
    else
        local at = integer_text(now_ms())
        local steps, conflicts = plan_undo(prefix, moves_to_undo(prefix, fields), tonumber(version), false, at)
        name_authors(prefix, conflicts)
        local more = { 'undoes', version }
        if #conflicts > 0 then
            more[3], more[4] = 'left', table.concat(conflicts, '\n')
        end
        if fields.window then
            more[#more + 1], more[#more + 2] = 'window', fields.window
        end
        if #steps > 0 then
            local author = { who = CONFIRM_TIMER, why = why_back(version, conflicts) }
            local made = commit(prefix, author, 'rollback', at, steps, more)
            if not made then
                return
            end
            note_undone(prefix, tonumber(version), made)
            windows.note(prefix, windows.names_of(fields), made)
            event_of(prefix, 'gone_back', author, made, fields.window, author.why, steps)
            outcome = 'gone_back'
        end
        if #steps == 0 and #conflicts > 0 then
            event(prefix, 'alarm', { window = fields.window, version = tonumber(version), who = CONFIRM_TIMER,
                text = why_back(version, conflicts) })
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
    windows.carry_out_due(prefix)
    local next_due
    for _, key in ipairs({ ':confirm', ':window_due' }) do
        local first = redis.call('ZRANGE', prefix .. key, 0, 0, 'WITHSCORES')[2]
        next_due = first and math.min(tonumber(first), next_due or math.huge) or next_due
    end
    if not next_due then
        return -1
    end
    local left = next_due - now_ms()
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

-- The changes that await confirmation, without the holds of strict flips: it is their end that is to be confirmed.
local function to_confirm(prefix)
    local versions = {}
    for _, version in ipairs(redis.call('ZRANGE', prefix .. ':confirm', 0, -1)) do
        versions[#versions + 1] = not is_strict_hold(entry_of(prefix, version)) and version or nil
    end
    return versions
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
    local pending = to_confirm(prefix)
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
    if redis.call('ZSCORE', prefix .. ':confirm', integer_text(wanted)) and is_strict_hold(entry_of(prefix, wanted)) then
        return invalid(version, { 'version ' .. integer_text(wanted) .. ' is the hold of a strict flip, which goes back '
            .. 'by itself unless its routes are opened: it is the flip that is to be confirmed' })
    end
    if redis.call('ZREM', prefix .. ':confirm', integer_text(wanted)) == 0 then
        return not_pending(prefix, wanted)
    end
    note(prefix, integer_text(wanted), 'confirmed', request.who, given(request.why))
    local fields = entry_of(prefix, wanted) or {}
    event(prefix, 'confirmed', { window = fields.window, version = wanted, who = request.who, why = request.why,
        ticket = request.ticket, text = 'version ' .. integer_text(wanted) .. ' was confirmed',
        cells = event_cells_of(fields) })
    return { 'confirmed', wanted }
end

redis.register_function('turnout_confirm', confirm)
redis.register_function('turnout_due', due)
