-- -------------------------------------------------------------------------------------------------------------
-- Puts a question to the instances (75-questions): by a command, or by a window before it moves something by itself.

local QUESTIONS_KEPT = 1000

-- request: text (JSON); lasts: ms for which answers are taken; of: "open", or who is to go on when an answer comes. -> its id
local function question_put(prefix, request, who, lasts, of)
    local id = redis.call('XADD', prefix .. ':questions', 'MAXLEN', '~', QUESTIONS_KEPT, '*', 'request', request, 'who', who)
    redis.call('SET', prefix .. ':question:' .. id, of, 'PX', integer_text(lasts))
    return id
end
