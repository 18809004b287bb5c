-- -------------------------------------------------------------------------------------------------------------
-- Alarms, of guards (65-evidence) and of windows (60-window): kept until they are too many, shown until somebody
-- acknowledges them.
--
--   P:alarms        hash, id -> JSON {id, at_ms, window, version, cells, what, outcome (alerted | rolled_back |
--                   could_not_roll_back), acknowledged {who, at_ms, why}}; of a guard also verdict, action, instance,
--                   rollback_version, left [lines as in a change's "left"]. cells are lines "shortcode carrier from to",
--                   and missing where it is about none. The last 1000
--   P:alarms:order  sorted set, id -> when, ms
--   P:alarms:count  how many windows have raised: the id of such a one is "w" and its number; a guard's is the guard's
--
--   turnout_alarms       args: nothing, or ms: only those raised after that. -> {now_ms, JSON ...}, the newest first. Only reads.
--   turnout_alarm_ack    args: request (JSON: {"id","who","why"}). -> {"ok"} | {"nothing"} | {"invalid", version, reason}

local alarms = { KEPT = 1000, CELLS_MAX = 100 }

function alarms.keep(prefix, alarm)
    redis.call('HSET', prefix .. ':alarms', alarm.id, cjson.encode(alarm))
    redis.call('ZADD', prefix .. ':alarms:order', integer_text(alarm.at_ms), alarm.id)
    for _, old in ipairs(redis.call('ZRANGE', prefix .. ':alarms:order', 0, -1 - alarms.KEPT)) do
        redis.call('HDEL', prefix .. ':alarms', old)
        redis.call('ZREM', prefix .. ':alarms:order', old)
    end
end

-- The alarm of a window. cells: lines, or nil.
function alarms.of_window(prefix, name, now, what, cells)
    local number = integer_text((tonumber(redis.call('GET', prefix .. ':alarms:count') or '') or 0) + 1)
    redis.call('SET', prefix .. ':alarms:count', number)
    alarms.keep(prefix, { id = 'w' .. number, at_ms = now, window = name, version = current_version(prefix),
        what = what, outcome = 'alerted',
        cells = cells and #cells > 0 and { unpack(cells, 1, math.min(#cells, alarms.CELLS_MAX)) } or nil })
end

function alarms.list(keys, args)
    local prefix, reply = prefix_of(keys), { now_ms() }
    local after = tonumber(args[1] or '') or -1
    local ids = redis.call('ZREVRANGE', prefix .. ':alarms:order', 0, -1, 'WITHSCORES')
    for i = 1, #ids, 2 do
        if tonumber(ids[i + 1]) <= after then
            break
        end
        reply[#reply + 1] = redis.call('HGET', prefix .. ':alarms', ids[i]) or nil
    end
    return reply
end

function alarms.acknowledge(keys, args)
    local prefix = prefix_of(keys)
    local request, reason = decode(args[1])
    reason = reason or bad_author(request) or (type(request.id) ~= 'string' and 'id is missing')
    if reason then
        return invalid(current_version(prefix), { reason })
    end
    local text = redis.call('HGET', prefix .. ':alarms', request.id)
    local alarm = text and cjson.decode(text)
    if not alarm or alarm.acknowledged then
        return { 'nothing' }
    end
    alarm.acknowledged = { who = request.who, at_ms = now_ms(), why = given(request.why) or '' }
    redis.call('HSET', prefix .. ':alarms', request.id, cjson.encode(alarm))
    return { 'ok' }
end

redis.register_function { function_name = 'turnout_alarms', callback = alarms.list, flags = { 'no-writes' } }
redis.register_function('turnout_alarm_ack', alarms.acknowledge)
