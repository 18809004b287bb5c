-- -------------------------------------------------------------------------------------------------------------
-- Keys, numbers, time

local function prefix_of(keys)
    local prefix = keys[1] and string.match(keys[1], '^(.*):version$')
    if not prefix then
        error('the key must be <prefix>:version')
    end
    return prefix
end

local function integer_text(number)
    return string.format('%.0f', number)
end

local function now_ms()
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function current_version(prefix)
    return tonumber(redis.call('GET', prefix .. ':version') or '0')
end

local function current_chain(prefix)
    return redis.call('GET', prefix .. ':chain') or ''
end

-- -------------------------------------------------------------------------------------------------------------
-- Validation. Every function answers nil where the value is right, else a reason.

-- JSON's null and an absent member are the same to us.
local function given(value)
    if value == cjson.null then
        return nil
    end
    return value
end

local function bad_shortcode(value)
    if type(value) ~= 'string' or #value == 0 or #value > SHORTCODE_LEN_MAX or string.find(value, '[^\33-\126]') then
        return 'shortcode must be 1 to ' .. SHORTCODE_LEN_MAX .. ' printable characters without blanks'
    end
end

-- "-" alone stands for "none" in rows and moves, so it cannot be a name.
local function bad_name(what, value)
    if type(value) ~= 'string' or #value == 0 or #value > NAME_LEN_MAX or string.find(value, '[^%w._-]')
            or value == '-' then
        return what .. ' must be 1 to ' .. NAME_LEN_MAX .. ' of the characters A-Z a-z 0-9 . _ -'
    end
end

local function bad_state(what, value)
    if type(value) ~= 'string' or not STATES[value] then
        return what .. ' must be open, hold or closed'
    end
end

-- Characters of more than one byte that are not for a line of text: C1 controls, which a terminal obeys as it does ESC,
-- what turns the direction of the text around it (Unicode's Bidi_Control), so that a log shows other words than were
-- said, and the separators of lines and paragraphs.
local UNFIT = { '\194[\128-\159]', '\216\156', '\226\128[\142\143\168-\174]', '\226\129[\166-\169]' }

-- What a byte that begins a character of UTF-8 asks of the next one, and how many there are (RFC 3629, section 4).
local function utf8_rest(first, second)
    local low = first == 0xE0 and 0xA0 or first == 0xF0 and 0x90 or 0x80
    local high = first == 0xED and 0x9F or first == 0xF4 and 0x8F or 0xBF
    if first < 0xC2 or first > 0xF4 or not second or second < low or second > high then
        return nil
    end
    return first >= 0xF0 and 3 or first >= 0xE0 and 2 or 1
end

local function is_utf8(text)
    local at = string.find(text, '[\128-\255]')
    while at do
        local rest = utf8_rest(string.byte(text, at, at + 1))
        if not rest or #string.match(text, '^[\128-\191]*', at + 1) < rest then
            return false
        end
        at = string.find(text, '[\128-\255]', at + rest + 1)
    end
    return true
end

-- May it be shown in a line: UTF-8 without control characters?
local function is_line(text)
    if string.find(text, '%c') or not is_utf8(text) then
        return false
    end
    for _, pattern in ipairs(UNFIT) do
        if string.find(text, pattern) then
            return false
        end
    end
    return true
end

local function bad_text(what, value)
    if value == nil then
        return nil
    end
    if type(value) ~= 'string' or #value > TEXT_LEN_MAX or not is_line(value) then
        return what .. ' must be a text of one line, up to ' .. TEXT_LEN_MAX .. ' bytes of UTF-8, without control '
            .. 'characters or such as turn the direction of text'
    end
end

local function decode(text)
    if text == nil then
        return nil, 'a request is missing'
    end
    local fine, request = pcall(cjson.decode, text)
    if not fine or type(request) ~= 'table' then
        return nil, 'the request is not a JSON object'
    end
    return request
end

-- Instances that a change is not waited for, by the wish of who makes it.
local function bad_without(list)
    if list == nil then
        return nil
    end
    if type(list) ~= 'table' or #list == 0 or #list > 64 then
        return 'without must be an array with 1 to 64 instances'
    end
    for _, id in ipairs(list) do
        if type(id) ~= 'string' or id == '' or #id > INSTANCE_ID_LEN_MAX or not is_line(id) then
            return 'without must name instances'
        end
    end
end

-- who, why and ticket of a request, and what is recorded of how it was made.
local function bad_author(request)
    if type(request.who) ~= 'string' or request.who == '' then
        return 'who is missing'
    end
    return bad_text('who', request.who) or bad_text('why', given(request.why))
        or bad_text('ticket', given(request.ticket)) or bad_without(given(request.without))
end

local function bad_number(what, value, highest)
    if type(value) ~= 'number' or value < 1 or value > highest or value ~= math.floor(value) then
        return what .. ' must be a whole number from 1 to ' .. integer_text(highest)
    end
end

-- The carrier that a number is given by itself is no more than a name.
local function bad_number_row(move)
    if move.carrier ~= NUMBER then
        return nil
    end
    if not string.find(move.shortcode, '^%+%d+$') or #move.shortcode > NUMBER_DIGITS_MAX + 1 then
        return 'a number must be + and 1 to ' .. NUMBER_DIGITS_MAX .. ' digits'
    end
    if (given(move.state) or 'open') ~= 'open' or (given(move.next) or '') ~= '' then
        return 'the override of a number has no state'
    end
end

local function bad_move(move)
    if type(move) ~= 'table' then
        return 'a move must be an object'
    end
    local reason = bad_shortcode(move.shortcode) or bad_name('carrier', move.carrier) or bad_number_row(move)
    if reason then
        return reason
    end
    local to, state, from, from_state = given(move.to), given(move.state), given(move.from), given(move.from_state)
    if to == nil then
        return 'to is missing'
    end
    return (to ~= '' and bad_name('to', to))
        or (state ~= nil and to ~= '' and bad_state('state', state))
        or (from ~= nil and from ~= '' and bad_name('from', from))
        or (from_state ~= nil and from_state ~= '' and bad_state('from_state', from_state))
        or (given(move.next) ~= nil and move.next ~= '' and bad_name('next', move.next))
        or (given(move.from_version) ~= nil and bad_number('from_version', move.from_version, VERSION_MAX)) or nil
end

-- All that is wrong with the moves, one sentence each, up to REASONS_MAX.
local function bad_moves(moves)
    if type(moves) ~= 'table' or #moves == 0 then
        return { 'moves must be an array with at least one move' }
    end
    if #moves > MOVES_MAX then
        return { 'too many moves, at most ' .. MOVES_MAX .. ' in one change' }
    end
    local reasons, seen = {}, {}
    for i, move in ipairs(moves) do
        local reason = bad_move(move)
        if not reason then
            local cell = move.shortcode .. ' ' .. move.carrier
            if seen[cell] then
                reason = cell .. ' is named twice'
            end
            seen[cell] = true
        end
        if reason then
            reasons[#reasons + 1] = 'move ' .. i .. ': ' .. reason
            if #reasons >= REASONS_MAX then
                break
            end
        end
    end
    return reasons
end

local function invalid(version, reasons)
    local reply = { 'invalid', version }
    for _, reason in ipairs(reasons) do
        reply[#reply + 1] = reason
    end
    return reply
end

