-- -------------------------------------------------------------------------------------------------------------
-- Cells

-- platform, state, previous, changed_ms, version, next ("-" for none; all text), or nothing where the value is not a
-- cell.
local function cell_parse(value)
    local platform, state, previous, changed, version, rest = string.match(value, '^(%S+) (%l+) (%S+) (%d+) (%d+)(.*)$')
    if platform and rest ~= '' then
        rest = string.match(rest, '^ (%S+)$')
        platform = rest and platform
    end
    return platform, state, previous, changed, version, rest and rest ~= '' and rest or '-'
end

-- The cell of a row's value: {platform, state, previous, changed, version, next}; nil where there is none.
local function cell_of(value, shortcode, carrier)
    if not value then
        return nil
    end
    local platform, state, previous, changed, version, next_platform = cell_parse(value)
    if not platform then
        error('the cell ' .. shortcode .. ' ' .. carrier .. ' is damaged: ' .. value)
    end
    return { platform = platform, state = state, previous = previous, changed = changed, version = tonumber(version),
        next = next_platform }
end

local function cell_read(prefix, shortcode, carrier)
    return cell_of(redis.call('HGET', prefix .. ':route:' .. shortcode, carrier), shortcode, carrier)
end

-- Where a run of things of one shortcode ends in a list that begins at `first`: as a rule all carriers of a shortcode
-- stand together, and a call of Redis for each costs more than all the rest.
local function run_end(list, first, shortcode_of)
    local shortcode, last = shortcode_of(list[first]), first
    while last < #list and last - first < CELLS_AT_ONCE and shortcode_of(list[last + 1]) == shortcode do
        last = last + 1
    end
    return last
end

local function shortcode_of(thing)
    return thing.shortcode
end

-- The cells of a list of things that have a shortcode and a carrier (moves, rows of a window), in its order: a cell or
-- false for each.
local function cells_read(prefix, list)
    local cells, first = {}, 1
    while first <= #list do
        local shortcode, carriers = list[first].shortcode, {}
        local last = run_end(list, first, shortcode_of)
        for i = first, last do
            carriers[i - first + 1] = list[i].carrier
        end
        for i, value in ipairs(redis.call('HMGET', prefix .. ':route:' .. shortcode, unpack(carriers))) do
            cells[first + i - 1] = cell_of(value, shortcode, carriers[i]) or false
        end
        first = last + 1
    end
    return cells
end

-- A line for the reply: what is there, and what was wanted to be ("*": anything).
local function conflict_line(shortcode, carrier, cell, platform, state)
    return table.concat({ shortcode, carrier, cell and cell.platform or '-', cell and cell.state or '-', platform,
        state }, ' ')
end

-- Does what is there differ from what the move believes? Then the line for the reply.
local function conflict_of(move, cell)
    local from, from_state, from_version = given(move.from), given(move.from_state), given(move.from_version)
    local is_platform, is_state = cell and cell.platform or '', cell and cell.state or ''
    if (from == nil or from == is_platform) and (from_state == nil or from_state == is_state)
            and (from_version == nil or (cell and cell.version == from_version)) then
        return nil
    end
    local function shown(value)
        if value == nil then
            return '*'
        end
        return value == '' and '-' or value
    end
    return conflict_line(move.shortcode, move.carrier, cell, shown(from), shown(from_state))
end

-- The platform to which an open window will move the cell, "-" for none. A move there has come true; any other leaves
-- it, unless the move says ("next": a platform, or "" for none).
local function next_of(move, cell)
    local said = given(move.next)
    if said then
        return said == '' and '-' or said
    end
    local is = cell and cell.next or '-'
    return is == move.to and '-' or is
end

-- The cell as it will be; nil where the move removes it.
local function cell_next(prefix, move, cell, at, defaults)
    local to = move.to
    if to == '' then
        return nil
    end
    local wanted = { platform = to, state = given(move.state) or 'open', previous = '-', changed = at,
        next = next_of(move, cell) }
    if cell and cell.platform == to then
        wanted.previous, wanted.changed = cell.previous, cell.changed
    elseif cell then
        wanted.previous = cell.platform
    else
        -- The default row served this cell until now, so it is its platform whose legs linger.
        local default = defaults[move.carrier]
        if default == nil then
            default = cell_read(prefix, '*', move.carrier) or false
            defaults[move.carrier] = default
        end
        if default and default.platform ~= to then
            wanted.previous = default.platform
        end
    end
    return wanted
end

local function same(cell, wanted)
    if not cell or not wanted then
        return not cell and not wanted
    end
    return cell.platform == wanted.platform and cell.state == wanted.state and cell.next == wanted.next
end

local function cell_text(cell, version)
    local text = cell.platform .. ' ' .. cell.state .. ' ' .. cell.previous .. ' ' .. cell.changed .. ' ' .. version
    return cell.next ~= '-' and text .. ' ' .. cell.next or text
end

local function cell_remove(prefix, shortcode, carrier)
    local key = prefix .. ':route:' .. shortcode
    redis.call('HDEL', key, carrier)
    if carrier == NUMBER then
        redis.call('SREM', prefix .. ':numbers', shortcode)
    end
    if redis.call('EXISTS', key) == 0 then
        redis.call('SREM', prefix .. ':shortcodes', shortcode)
    end
end

-- Takes steps {move, cell, wanted}: the cells become as wanted.
local function cells_write(prefix, steps, version)
    local function shortcode_of_step(step)
        return step.move.shortcode
    end
    local first = 1
    while first <= #steps do
        local shortcode, words, added = steps[first].move.shortcode, {}, false
        local last = run_end(steps, first, shortcode_of_step)
        for i = first, last do
            local step = steps[i]
            if step.wanted then
                words[#words + 1] = step.move.carrier
                words[#words + 1] = cell_text(step.wanted, version)
                added = added or not step.cell
                if step.move.carrier == NUMBER then
                    redis.call('SADD', prefix .. ':numbers', shortcode)
                end
            else
                cell_remove(prefix, shortcode, step.move.carrier)
            end
        end
        if #words > 0 then
            redis.call('HSET', prefix .. ':route:' .. shortcode, unpack(words))
        end
        if added then
            redis.call('SADD', prefix .. ':shortcodes', shortcode)
        end
        first = last + 1
    end
end

local NOTHING = { platform = '-', state = '-', previous = '-', next = '-' }

local function move_line(move, cell, wanted)
    cell, wanted = cell or NOTHING, wanted or NOTHING
    local text = move.shortcode .. ' ' .. move.carrier .. ' ' .. cell.platform .. ' ' .. cell.state .. ' '
        .. wanted.platform .. ' ' .. wanted.state .. ' ' .. wanted.previous
    return wanted.next ~= '-' and text .. ' ' .. wanted.next or text
end

