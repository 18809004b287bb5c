-- -------------------------------------------------------------------------------------------------------------
-- History

-- The stream's last id as a version; 0 for none. It is ahead of P:version only where somebody lost the latter.
local function stream_version(prefix)
    local last = redis.call('XREVRANGE', prefix .. ':changes', '+', '-', 'COUNT', 1)[1]
    return last and tonumber(string.match(last[1], '^(%d+)')) or 0
end

-- Records a change: stream, version, chain. Comes before any other write: it can be refused (an id that is not the
-- highest), and Redis does not undo. Answers nil, or why it was refused.
local function record(prefix, version, request, kind, at, fields)
    local parent = current_chain(prefix)
    local number = integer_text(version)
    local entry = { 'kind', kind, 'at', at, 'who', request.who, 'why', given(request.why) or '', 'ticket',
        given(request.ticket) or '' }
    for _, text in ipairs(fields) do
        entry[#entry + 1] = text
    end
    if given(request.without) then
        entry[#entry + 1] = 'without'
        entry[#entry + 1] = table.concat(request.without, '\n')
    end
    if given(request.forced) == true then
        entry[#entry + 1] = 'forced'
        entry[#entry + 1] = '1'
    end
    local chain = redis.sha1hex(parent .. '\n' .. number .. '\n' .. table.concat(entry, '\n'))
    local count = #entry
    entry[count + 1], entry[count + 2], entry[count + 3], entry[count + 4] = 'parent', parent, 'chain', chain

    local added = redis.pcall('XADD', prefix .. ':changes', 'MAXLEN', '~', CHANGES_KEPT, number .. '-0', unpack(entry))
    if type(added) == 'table' and added.err then
        return 'the change could not be recorded: ' .. added.err
    end
    redis.call('SET', prefix .. ':version', number)
    redis.call('SET', prefix .. ':chain', chain)
end

local function fields_of(list)
    local fields = {}
    for i = 1, #list, 2 do
        fields[list[i]] = list[i + 1]
    end
    return fields
end

-- The fields of a recorded change; nil where it is not there (any more).
local function entry_of(prefix, version)
    local id = integer_text(tonumber(version)) .. '-0'
    local found = redis.call('XRANGE', prefix .. ':changes', id, id)[1]
    return found and fields_of(found[2])
end

local function moves_of(fields)
    local moves = {}
    for line in string.gmatch(fields.moves or '', '[^\n]+') do
        local shortcode, carrier, from, from_state, to, state = string.match(line,
            '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) %S+')
        if shortcode then
            moves[#moves + 1] = { shortcode = shortcode, carrier = carrier, from = from, from_state = from_state,
                to = to, state = state }
        end
    end
    return moves
end

-- What became of a change that awaited confirmation.
local function note(prefix, version, outcome, who, why)
    redis.call('XADD', prefix .. ':confirmations', 'MAXLEN', '~', CONFIRMATIONS_KEPT, '*', 'version', version,
        'outcome', outcome, 'at', integer_text(now_ms()), 'who', who, 'why', why or '')
end

-- Is it the hold of a strict flip?
local function is_strict_hold(fields)
    return fields ~= nil and fields.kind == 'flip'
        and string.find(fields.moves or '', '^%S+ %S+ %S+ %S+ %S+ hold ') ~= nil
end

-- Which of the wanted cells (a set of "shortcode carrier") a change set; each is taken out of the set and given the
-- change as its author in `authors`. Answers how many it found, and the lines it looked at.
local function find_authors(fields, version, wanted, authors)
    local text = ' ' .. version .. ' ' .. (fields.at or '0') .. ' ' .. (fields.who or '?')
    local found, lines = 0, 0
    local function author(cell)
        if wanted[cell] then
            wanted[cell] = nil
            authors[cell] = text
            found = found + 1
        end
    end
    if fields.kind == 'restore' then -- which set every cell
        local all = {}
        for cell in pairs(wanted) do
            all[#all + 1] = cell
        end
        for _, cell in ipairs(all) do
            author(cell)
        end
    end
    for _, move in ipairs(moves_of(fields)) do
        lines = lines + 1
        author(move.shortcode .. ' ' .. move.carrier)
    end
    return found, lines
end

-- Adds to each line of conflict the change that set its cell last, from the newest change back as far as is cheap.
local function name_authors(prefix, conflicts)
    local wanted, authors, missing = {}, {}, #conflicts
    for _, line in ipairs(conflicts) do
        wanted[string.match(line, '^%S+ %S+')] = true
    end
    local upto, entries, lines = '+', 0, 0
    while missing > 0 and entries < LOOK_BACK_ENTRIES and lines < LOOK_BACK_LINES do
        local entry = redis.call('XREVRANGE', prefix .. ':changes', upto, '-', 'COUNT', 1)[1]
        if not entry then
            break
        end
        local version = string.match(entry[1], '^%d+')
        local found, looked = find_authors(fields_of(entry[2]), version, wanted, authors)
        missing, entries, lines = missing - found, entries + 1, lines + looked
        upto = '(' .. entry[1]
    end
    for i, line in ipairs(conflicts) do
        conflicts[i] = line .. (authors[string.match(line, '^%S+ %S+')] or '')
    end
    return conflicts
end

