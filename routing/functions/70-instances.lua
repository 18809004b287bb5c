-- -------------------------------------------------------------------------------------------------------------
-- The table as a whole, and the instances

local function load(keys, args)
    local prefix = prefix_of(keys)
    local page = redis.call('SSCAN', prefix .. ':shortcodes', args[1] or '0', 'COUNT', args[2] or '1000')
    local reply = { current_version(prefix), current_chain(prefix), page[1] }
    for _, shortcode in ipairs(page[2]) do
        local row = redis.call('HGETALL', prefix .. ':route:' .. shortcode)
        for i = 1, #row, 2 do
            local n = #reply
            reply[n + 1], reply[n + 2], reply[n + 3] = shortcode, row[i], row[i + 1]
        end
    end
    return reply
end

local function instance_id(args)
    local id = args[1]
    if not id or id == '' or #id > INSTANCE_ID_LEN_MAX then
        error('an instance id of 1 to ' .. INSTANCE_ID_LEN_MAX .. ' bytes is needed')
    end
    return id
end

-- Beats that this server was told itself: key of the entry -> "beat" in it. Not among the keys: what a replica has got
-- of a master whose place it takes was said to that master, before; the instance may have gone on since by changes that
-- were lost with it.
local heard = {}

local function beat(keys, args)
    local prefix = prefix_of(keys)
    local id = instance_id(args)
    local lease = tonumber(args[2])
    if not lease or lease < 1 or #args % 2 ~= 0 then
        error('usage: id, lease_ms, field, value ...')
    end
    local key, now = prefix .. ':instance:' .. id, integer_text(now_ms())
    local holder = redis.call('HMGET', key, 'token', 'host', 'pid')
    local mine = { }
    for i = 3, #args, 2 do
        mine[args[i]] = args[i + 1]
    end
    if holder[1] and mine.token and holder[1] ~= mine.token and holder[1] ~= mine.takes_over then
        return redis.error_reply('TAKEN ' .. holder[1] .. ' ' .. (holder[2] or '?') .. ' ' .. (holder[3] or '0'))
    end
    redis.call('DEL', key)
    redis.call('HSET', key, 'beat', now)
    for i = 3, #args, 2 do
        redis.call('HSET', key, args[i], args[i + 1])
    end
    redis.call('PEXPIRE', key, integer_text(lease))
    heard[key] = now
    redis.call('ZADD', prefix .. ':instances', now, id)
    redis.call('HSET', prefix .. ':on_loss', id, mine.on_loss or '')
    pcall(applied.note, prefix, id, mine.applied, now)
    pcall(carry_out_due, prefix)
    pcall(windows.carry_out_due, prefix)
    return current_version(prefix)
end

local function leave(keys, args)
    local prefix = prefix_of(keys)
    local id = instance_id(args)
    applied.forget(prefix, id)
    redis.call('DEL', prefix .. ':instance:' .. id)
    redis.call('HDEL', prefix .. ':on_loss', id)
    heard[prefix .. ':instance:' .. id] = nil
    return redis.call('ZREM', prefix .. ':instances', id)
end

-- Is a table part of this history? A version number alone does not say so: Redis may have been replaced, or a replica
-- that lagged have taken over. "same", "other", or "unknown" of one that reports none.
local function history_of(prefix, applied, chain)
    if not applied or not chain then
        return 'unknown'
    end
    local number = tonumber(applied)
    if not number or chain == '' then
        return 'unknown'
    end
    local ours
    if number == 0 or number == tonumber(current_version(prefix)) then
        ours = number == 0 and '' or current_chain(prefix)
    else
        local entry = redis.call('XRANGE', prefix .. ':changes', applied .. '-0', applied .. '-0')[1]
        for i = 1, entry and #entry[2] or 0, 2 do
            ours = entry[2][i] == 'chain' and entry[2][i + 1] or ours
        end
    end
    return ours == chain and 'same' or 'other'
end

-- The same of an instance: of what it has applied, and of what some of its workers may go by already. "unheard": what
-- stands there was told to another server, or before this one started.
local function history_of_instance(prefix, key)
    local is = redis.call('HMGET', key, 'applied', 'chain', 'followed', 'followed_chain', 'beat')
    if heard[key] ~= is[5] then
        return 'unheard'
    end
    if is[3] and is[3] ~= is[1] and history_of(prefix, is[3], is[4]) == 'other' then
        return 'other'
    end
    return history_of(prefix, is[1], is[2])
end

local function instances(keys)
    local prefix = prefix_of(keys)
    local reply = { now_ms() }
    local known = redis.call('ZRANGE', prefix .. ':instances', 0, -1, 'WITHSCORES')
    for i = 1, #known, 2 do
        local key = prefix .. ':instance:' .. known[i]
        local fields = redis.call('HGETALL', key)
        local left = #fields > 0 and redis.call('PTTL', key) or -1
        if #fields == 0 then
            fields = { 'beat', integer_text(tonumber(known[i + 1])) }
            local on_loss = redis.call('HGET', prefix .. ':on_loss', known[i])
            if on_loss and on_loss ~= '' then
                fields[3], fields[4] = 'on_loss', on_loss
            end
        else
            fields[#fields + 1] = 'history'
            fields[#fields + 1] = history_of_instance(prefix, key)
        end
        reply[#reply + 1] = known[i]
        reply[#reply + 1] = left
        reply[#reply + 1] = #fields
        for _, text in ipairs(fields) do
            reply[#reply + 1] = text
        end
    end
    return reply
end

local function forget(keys, args)
    local prefix = prefix_of(keys)
    local id = instance_id(args)
    if redis.call('EXISTS', prefix .. ':instance:' .. id) == 1 then
        return 0
    end
    applied.forget(prefix, id)
    redis.call('HDEL', prefix .. ':on_loss', id)
    heard[prefix .. ':instance:' .. id] = nil
    return redis.call('ZREM', prefix .. ':instances', id)
end

redis.register_function { function_name = 'turnout_load', callback = load, flags = { 'no-writes' } }
redis.register_function('turnout_beat', beat)
redis.register_function('turnout_leave', leave)
redis.register_function { function_name = 'turnout_instances', callback = instances, flags = { 'no-writes' } }
redis.register_function('turnout_forget', forget)
