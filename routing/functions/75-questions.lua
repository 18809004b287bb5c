-- -------------------------------------------------------------------------------------------------------------
-- Questions to the instances: "is the leg bound?", "release the leg". They are asked once, and answered at once or
-- not at all: an instance that was away when one was asked does not hear of it.
--
--   P:question:<id>  as long as answers are taken: "open", or "window <name>" where a window asks (60-window)
--   P:questions      stream: request (JSON, with "kind"), who
--   P:answers:<id>   list, one for each answer: "<instance>\n<answer in JSON>", with a time to live
--
--   turnout_ask      args: request, who, lasts_ms. -> {id, then each living instance}
--   turnout_answer   args: id, instance, answer. -> 1 | 0 (nobody waits any more)

local QUESTION_LASTS_MAX_MS = 600000
local ANSWER_LEN_MAX = 1048576

local function last_question(prefix)
    local last = redis.call('XREVRANGE', prefix .. ':questions', '+', '-', 'COUNT', 1)[1]
    return last and last[1] or '0-0'
end

local function living_instances(prefix)
    local living = {}
    for _, id in ipairs(redis.call('ZRANGE', prefix .. ':instances', 0, -1)) do
        if redis.call('EXISTS', prefix .. ':instance:' .. id) == 1 then
            living[#living + 1] = id
        end
    end
    return living
end

local function ask(keys, args)
    local prefix = prefix_of(keys)
    local request, reason = decode(args[1])
    local lasts = tonumber(args[3] or '')
    if not request or type(request.kind) ~= 'string' then
        error(reason or 'a question needs a kind')
    end
    if not lasts or lasts < 1 or lasts > QUESTION_LASTS_MAX_MS then
        error('a question lasts 1 to ' .. QUESTION_LASTS_MAX_MS .. ' ms')
    end
    local id = question_put(prefix, args[1], args[2] or '', lasts, 'open')
    local reply = living_instances(prefix)
    table.insert(reply, 1, id)
    return reply
end

local function answer(keys, args)
    local prefix = prefix_of(keys)
    local id, instance, text = args[1], args[2], args[3]
    if not text or #text > ANSWER_LEN_MAX then
        error('usage: id, instance, answer of at most ' .. ANSWER_LEN_MAX .. ' bytes')
    end
    local left = redis.call('PTTL', prefix .. ':question:' .. id)
    if left <= 0 then
        return 0
    end
    local key = prefix .. ':answers:' .. id
    redis.call('RPUSH', key, instance .. '\n' .. text)
    redis.call('PEXPIRE', key, integer_text(left))
    pcall(windows.go_on, prefix, redis.call('GET', prefix .. ':question:' .. id))
    return 1
end

redis.register_function('turnout_ask', ask)
redis.register_function('turnout_answer', answer)
