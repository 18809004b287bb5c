-- -------------------------------------------------------------------------------------------------------------
-- Cells

-- platform, state, previous, changed_ms, version, next ("-" for none; all text), or nothing where the value is not a
-- cell.
local function cell_parse(value)
    local text, next_platform = string.match(value, '^(%S+ %l+ %S+ %d+ %d+) (%S+)$')
    local platform, state, previous, changed, version = string.match(text or value, '^(%S+) (%l+) (%S+) (%d+) (%d+)$')
    return platform, state, previous, changed, version, next_platform or '-'
end

-- The cell that is there: {platform, state, previous, changed, version, next}, or nil.
local function cell_read(prefix, shortcode, carrier)
    local value = redis.call('HGET', prefix .. ':route:' .. shortcode, carrier)
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

local function cell_write(prefix, shortcode, carrier, wanted, version)
    local key = prefix .. ':route:' .. shortcode
    if wanted then
        redis.call('HSET', key, carrier, table.concat({ wanted.platform, wanted.state, wanted.previous,
            wanted.changed, version, wanted.next ~= '-' and wanted.next or nil }, ' '))
    else
        redis.call('HDEL', key, carrier)
        if redis.call('EXISTS', key) == 0 then
            redis.call('SREM', prefix .. ':shortcodes', shortcode)
        end
    end
end

local function move_line(move, cell, wanted)
    return table.concat({ move.shortcode, move.carrier, cell and cell.platform or '-', cell and cell.state or '-',
        wanted and wanted.platform or '-', wanted and wanted.state or '-', wanted and wanted.previous or '-',
        wanted and wanted.next ~= '-' and wanted.next or nil }, ' ')
end

