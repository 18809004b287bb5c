-- -------------------------------------------------------------------------------------------------------------
-- Guard rails: what a flip is watched for after it was made. A guard is set with the change, in the same call; the
-- instances judge it by the evidence (routing/rail.h), and turnout_alarm lets it trip once.
--
--   P:guards           hash, id (the change's version) -> JSON {id, version, at_ms, until_ms, window, who, cells ["shortcode
--                      carrier from to"], errors, min, mo_within_ms, receipt_within_ms, leg_lost, action (alert | rollback),
--                      state (watching | bad | good | inconclusive | void), what, ended_ms}; those that ended: the last 1000
--   P:guards:watching  sorted set, id -> until when it watches, ms
--   P:guards:ended     sorted set, id -> when it ended, ms
--
--   A window may have a guard, too (its field "guard"): it watches every flip of the window that has none of its own and
--   goes where the window moves its cells.
--
--   turnout_change     with "guard": {"errors","min","mo_within_ms","receipt_within_ms","leg_lost","action","for_ms"}: the
--                      cells whose platform the change alters are watched for for_ms

local guards = { LASTS_MAX_MS = 7 * 86400000, COUNT_MAX = 1000000000, PERCENT_MAX = 100, KEPT = 1000,
    ACTIONS = { alert = true, rollback = true } }

function guards.bad(guard)
    if guard == nil then
        return nil
    end
    if type(guard) ~= 'table' then
        return 'guard must be an object'
    end
    local errors, mo, receipt = given(guard.errors), given(guard.mo_within_ms), given(guard.receipt_within_ms)
    if errors == nil and mo == nil and receipt == nil and given(guard.leg_lost) ~= true then
        return 'a guard needs something to watch for: errors, mo_within_ms, receipt_within_ms or leg_lost'
    end
    return (errors ~= nil and bad_number('guard.errors', errors, guards.PERCENT_MAX))
        or bad_number('guard.min', given(guard.min), guards.COUNT_MAX)
        or (mo ~= nil and bad_number('guard.mo_within_ms', mo, guards.LASTS_MAX_MS))
        or (receipt ~= nil and bad_number('guard.receipt_within_ms', receipt, guards.LASTS_MAX_MS))
        or bad_number('guard.for_ms', given(guard.for_ms), guards.LASTS_MAX_MS)
        or (not guards.ACTIONS[given(guard.action) or ''] and 'guard.action must be alert or rollback') or nil
end

-- As the change's entry tells of it: "errors 20 min 50 mo_within_ms 60000 leg_lost action rollback for_ms 3600000".
function guards.text(guard)
    local words = {}
    for _, name in ipairs({ 'errors', 'min', 'mo_within_ms', 'receipt_within_ms', 'leg_lost', 'action', 'for_ms' }) do
        local value = given(guard[name])
        if value then
            words[#words + 1] = name
            words[#words + 1] = type(value) == 'number' and integer_text(value) or type(value) == 'string' and value or nil
        end
    end
    return table.concat(words, ' ')
end

-- Sets the guard of a change; its cells are those that go to another platform. Nothing where there are none.
function guards.set(prefix, version, now, request, window, steps)
    local guard, cells = given(request.guard), {}
    for _, step in ipairs(guard and steps or {}) do
        local from = step.cell and step.cell.platform or step.wanted and step.wanted.previous or '-'
        if step.wanted and step.wanted.platform ~= from then
            cells[#cells + 1] = table.concat({ step.move.shortcode, step.move.carrier, from, step.wanted.platform }, ' ')
        end
    end
    if #cells == 0 then
        return
    end
    local id = integer_text(version)
    redis.call('HSET', prefix .. ':guards', id, cjson.encode({ id = id, version = version, at_ms = now,
        until_ms = now + guard.for_ms, window = window or '', who = request.who, cells = cells,
        errors = given(guard.errors), min = guard.min, mo_within_ms = given(guard.mo_within_ms),
        receipt_within_ms = given(guard.receipt_within_ms), leg_lost = given(guard.leg_lost), action = guard.action,
        state = 'watching' }))
    redis.call('ZADD', prefix .. ':guards:watching', integer_text(now + guard.for_ms), id)
end

-- The guard of a flip: its own, or that of its window where every cell goes where an open window moves it. A way back
-- by hand is not to be judged by what was to be left.
function guards.of_flip(prefix, request, names, steps)
    if given(request.guard) then
        return request.guard
    end
    for _, step in ipairs(steps) do
        if not (step.cell and step.wanted and step.cell.next == step.wanted.platform) then
            return nil
        end
    end
    for _, name in ipairs(names) do
        local text = redis.call('HGET', prefix .. ':window:' .. name, 'guard')
        if text then
            return cjson.decode(text)
        end
    end
end

-- A guard that still watches; nil where it has ended or never was.
function guards.watching(prefix, id)
    if not redis.call('ZSCORE', prefix .. ':guards:watching', id) then
        return nil
    end
    local text = redis.call('HGET', prefix .. ':guards', id)
    return text and cjson.decode(text) or nil
end

-- It has ended: watched no more, kept for those who ask later.
function guards.finish(prefix, guard, state, what)
    local now = integer_text(now_ms())
    guard.state, guard.what, guard.ended_ms = state, what, tonumber(now)
    redis.call('ZREM', prefix .. ':guards:watching', guard.id)
    redis.call('HSET', prefix .. ':guards', guard.id, cjson.encode(guard))
    redis.call('ZADD', prefix .. ':guards:ended', now, guard.id)
    for _, old in ipairs(redis.call('ZRANGE', prefix .. ':guards:ended', 0, -1 - guards.KEPT)) do
        redis.call('HDEL', prefix .. ':guards', old)
        redis.call('ZREM', prefix .. ':guards:ended', old)
    end
end
