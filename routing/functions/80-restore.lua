-- -------------------------------------------------------------------------------------------------------------
-- The table as a whole, from a snapshot

local function bad_cell(carrier, value)
    local reason = bad_name('carrier', carrier)
    if reason then
        return reason
    end
    local platform, state, previous, changed, version, next_platform
    if type(value) == 'string' then
        platform, state, previous, changed, version, next_platform = cell_parse(value)
    end
    if not platform then
        return carrier .. ' must be "platform state previous changed_ms version [next]"'
    end
    if #changed > 15 or #version > 16 then
        return carrier .. ' has a number out of range'
    end
    return bad_name('platform', platform) or bad_state('state', state)
        or (previous ~= '-' and bad_name('previous', previous))
        or (next_platform ~= '-' and bad_name('next', next_platform)) or nil
end

local function bad_rows(rows)
    if type(rows) ~= 'table' then
        return { 'rows must be an object' }
    end
    local reasons = {}
    for shortcode, row in pairs(rows) do
        local reason = bad_shortcode(shortcode)
        if not reason and (type(row) ~= 'table' or next(row) == nil) then
            reason = 'a row must be an object with at least one carrier'
        end
        if not reason then
            for carrier, value in pairs(row) do
                reason = reason or bad_cell(carrier, value)
            end
        end
        if reason then
            reasons[#reasons + 1] = 'row ' .. tostring(shortcode) .. ': ' .. reason
            if #reasons >= REASONS_MAX then
                break
            end
        end
    end
    return reasons
end

-- The highest version that a living instance serves or knows of: a restore must be above it to be taken there.
local function highest_known(prefix)
    local highest = 0
    for _, id in ipairs(redis.call('ZRANGE', prefix .. ':instances', 0, -1)) do
        local known = redis.call('HMGET', prefix .. ':instance:' .. id, 'applied', 'desired')
        for i = 1, 2 do
            local number = tonumber(known[i] or '0')
            if number and number < VERSION_MAX then
                highest = math.max(highest, number)
            end
        end
    end
    return highest
end

local function replace_rows(prefix, rows)
    for _, shortcode in ipairs(redis.call('SMEMBERS', prefix .. ':shortcodes')) do
        redis.call('DEL', prefix .. ':route:' .. shortcode)
    end
    redis.call('DEL', prefix .. ':shortcodes')
    redis.call('DEL', prefix .. ':numbers')
    for shortcode, row in pairs(rows) do
        local key = prefix .. ':route:' .. shortcode
        redis.call('DEL', key) -- one that the set did not know of
        for carrier, value in pairs(row) do
            redis.call('HSET', key, carrier, value)
        end
        redis.call('SADD', prefix .. ':shortcodes', shortcode)
        if row[NUMBER] then
            redis.call('SADD', prefix .. ':numbers', shortcode)
        end
    end
end

local function restore(keys, args)
    local prefix = prefix_of(keys)
    local version = current_version(prefix)
    local request, reason = decode(args[1])
    reason = reason or bad_author(request)
    local at_least = not reason and given(request.version) or 0
    if not reason and (type(at_least) ~= 'number' or at_least < 0 or at_least >= VERSION_MAX
            or at_least ~= math.floor(at_least)) then
        reason = 'version must be a whole number'
    end
    if reason then
        return invalid(version, { reason })
    end
    local reasons = bad_rows(given(request.rows))
    if #reasons > 0 then
        return invalid(version, reasons)
    end

    check_keys(prefix)
    local restored = math.max(version, at_least, highest_known(prefix), stream_version(prefix)) + 1
    local count = 0
    for _ in pairs(request.rows) do
        count = count + 1
    end
    reason = record(prefix, restored, request, 'restore', integer_text(now_ms()),
        { 'rows', integer_text(count), 'digest', redis.sha1hex(args[1]) })
    if reason then
        return invalid(version, { reason })
    end
    replace_rows(prefix, request.rows)
    for _, pending in ipairs(redis.call('ZRANGE', prefix .. ':confirm', 0, -1)) do
        note(prefix, pending, 'void', request.who, 'the whole table was restored')
    end
    redis.call('DEL', prefix .. ':confirm')
    return { 'ok', restored }
end

redis.register_function('turnout_restore', restore)
