-- -------------------------------------------------------------------------------------------------------------
-- Who had the instances swap their portability tables, and why. The files are the instances' own: Redis only remembers.
--
--   P:number_swaps   stream, the last 1000, about; fields, all text:
--                      at, who, why, ticket   as of a change
--                      version                of the routing table then, so that the log can show it beside the changes
--                      table, checksum, numbers  what the table calls itself, its checksum, how many numbers it has
--                      without                instances left out by order, one a line
--   P:number_swap_ends   stream, the last 1000, about: how each ended; none where the command died before. Fields:
--                      of                     the entry of P:number_swaps
--                      in_use                 instances that have it in use, one a line
--                      refused, whys          instances that may not, one a line, and a line for each: why
--
--   turnout_numbers_swapped  args: request (JSON: {"who","why","ticket","without","table","checksum","numbers"}).
--                            Comes before the swap, so that there is none without a note. -> {"ok", version, at_ms,
--                            id of the entry} | {"invalid", version, reason}
--   turnout_numbers_ended    args: request (JSON: {"of","in_use":[id],"refused":[{"id","why"}]}). Comes after the swap.
--                            -> {"ok", version} | {"invalid", version, reason}

local NUMBER_SWAPS_KEPT = 1000

local function bad_swap(request)
    return bad_author(request) or bad_text('table', given(request.table)) or bad_text('checksum', given(request.checksum))
        or (type(request.numbers) ~= 'number' and 'numbers must be a number') or nil
end

local function numbers_swapped(keys, args)
    local prefix = prefix_of(keys)
    local version, now = current_version(prefix), now_ms()
    local request, reason = decode(args[1])
    reason = reason or bad_swap(request)
    if reason then
        return invalid(version, { reason })
    end
    local id = redis.call('XADD', prefix .. ':number_swaps', 'MAXLEN', '~', NUMBER_SWAPS_KEPT, '*', 'at', integer_text(now), 'who',
        request.who, 'why', given(request.why) or '', 'ticket', given(request.ticket) or '', 'version',
        integer_text(version), 'table', given(request.table) or '', 'checksum', given(request.checksum) or '', 'numbers',
        integer_text(request.numbers), 'without', table.concat(given(request.without) or {}, '\n'))
    return { 'ok', version, now, id }
end

local function bad_end(request)
    if type(request.of) ~= 'string' or not request.of:match('^%d+%-%d+$') then
        return 'of must be the id of an entry'
    end
    if type(request.in_use) ~= 'table' or type(request.refused) ~= 'table' then
        return 'in_use and refused must be arrays'
    end
    for _, refusal in ipairs(request.refused) do
        if type(refusal) ~= 'table' or type(refusal.id) ~= 'string' or type(refusal.why) ~= 'string' then
            return 'each of refused must have the texts id and why'
        end
    end
    return nil
end

local function numbers_ended(keys, args)
    local prefix = prefix_of(keys)
    local version = current_version(prefix)
    local request, reason = decode(args[1])
    reason = reason or bad_end(request)
    if reason then
        return invalid(version, { reason })
    end
    local refused, whys = {}, {}
    for i, refusal in ipairs(request.refused) do
        refused[i], whys[i] = refusal.id, (refusal.why:gsub('%c', ' '))
    end
    redis.call('XADD', prefix .. ':number_swap_ends', 'MAXLEN', '~', NUMBER_SWAPS_KEPT, '*', 'of', request.of, 'in_use',
        table.concat(request.in_use, '\n'), 'refused', table.concat(refused, '\n'), 'whys', table.concat(whys, '\n'))
    return { 'ok', version }
end

redis.register_function('turnout_numbers_swapped', numbers_swapped)
redis.register_function('turnout_numbers_ended', numbers_ended)
