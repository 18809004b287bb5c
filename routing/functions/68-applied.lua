-- -------------------------------------------------------------------------------------------------------------
-- Which instance had applied a change when, and what the command that made it saw of that. Kept for the log and the
-- report of a window.
--
--   P:applied            hash, instance -> the version that its last beat said it has applied
--   P:applied:<version>  hash, instance -> when its beat first said that it has applied it, Redis' clock, ms
--   P:barrier:<version>  JSON: what the command saw when it waited for the instances. Both are kept for 90 days
--
--   turnout_barrier  args: version, JSON. -> 1 | 0 (there is one already that was complete)
--   turnout_applied  args: version ... -> for each: version, {instance, ms ...}, the JSON or "". Only reads.

local applied = { kept_ms = 90 * 86400000, versions_max = 100, json_max = 65536 }

-- An instance that was away for long has applied many at once; the newest of them are enough.
function applied.note(prefix, id, version, now)
    local is, last = tonumber(version or ''), tonumber(redis.call('HGET', prefix .. ':applied', id) or '')
    if not is or is == last then
        return
    end
    redis.call('HSET', prefix .. ':applied', id, integer_text(is))
    for one = last and math.max(last + 1, is - applied.versions_max + 1) or is + 1, is do
        local key = prefix .. ':applied:' .. integer_text(one)
        redis.call('HSETNX', key, id, now)
        redis.call('PEXPIRE', key, applied.kept_ms)
    end
end

function applied.forget(prefix, id)
    redis.call('HDEL', prefix .. ':applied', id)
end

local function barrier(keys, args)
    local prefix, version = prefix_of(keys), tonumber(args[1] or '')
    if bad_number('version', version, VERSION_MAX) or not decode(args[2]) or #args[2] > applied.json_max then
        error('usage: version, an object in JSON')
    end
    local key = prefix .. ':barrier:' .. integer_text(version)
    local before = decode(redis.call('GET', key) or nil)
    if before and before.complete == true then
        return 0 -- whoever waited again saw no more
    end
    redis.call('SET', key, args[2], 'PX', applied.kept_ms)
    return 1
end

local function applied_at(keys, args)
    local prefix, reply = prefix_of(keys), {}
    for _, version in ipairs(args) do
        local n = #reply
        reply[n + 1], reply[n + 2] = version, redis.call('HGETALL', prefix .. ':applied:' .. version)
        reply[n + 3] = redis.call('GET', prefix .. ':barrier:' .. version) or ''
    end
    return reply
end

redis.register_function('turnout_barrier', barrier)
redis.register_function { function_name = 'turnout_applied', callback = applied_at, flags = { 'no-writes' } }
