-- -------------------------------------------------------------------------------------------------------------
-- Who had the instances swap their portability tables, and why. The files are the instances' own: Redis only remembers.
--
--   P:number_swaps   stream, the last 1000, about; fields, all text:
--                      at, who, why, ticket   as of a change
--                      version                of the routing table then, so that the log can show it beside the changes
--                      table, checksum, numbers  what the table calls itself, its checksum, how many numbers it has
--                      without                instances left out by order, one a line
--
--   turnout_numbers_swapped  args: request (JSON: {"who","why","ticket","without","table","checksum","numbers"}).
--                            Comes before the swap, so that there is none without a note. -> {"ok", version, at_ms} |
--                            {"invalid", version, reason}

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
    redis.call('XADD', prefix .. ':number_swaps', 'MAXLEN', '~', NUMBER_SWAPS_KEPT, '*', 'at', integer_text(now), 'who',
        request.who, 'why', given(request.why) or '', 'ticket', given(request.ticket) or '', 'version',
        integer_text(version), 'table', given(request.table) or '', 'checksum', given(request.checksum) or '', 'numbers',
        integer_text(request.numbers), 'without', table.concat(given(request.without) or {}, '\n'))
    return { 'ok', version, now }
end

redis.register_function('turnout_numbers_swapped', numbers_swapped)
