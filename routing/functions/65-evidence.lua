-- -------------------------------------------------------------------------------------------------------------
-- Evidence: what the instances have seen of cells that moved lately, or are about to; and the alarms that follow.
--
--   P:evidence:<instance>:<started_ms>  hash, "shortcode carrier" -> JSON (routing/evidence.h), by one process; gone 7 days
--                                       after it was last written
--   P:evidence:writers                  sorted set, "<instance>:<started_ms>" -> last write, ms
--   P:alarms                            what came of them (36-alarms)
--
--   turnout_evidence      args: instance, started_ms, then "shortcode carrier", JSON ... -> number of guards that watch
--   turnout_evidence_read args: shortcode ... (none: all). -> {now_ms, JSON ...}: a cell's record comes once from each
--                         process that has seen it. Only reads.
--   turnout_guards        args: "watching" for those alone. -> {now_ms, JSON ...}. Only reads.
--   turnout_alarm         args: request (JSON: {"guard": id, "verdict": bad | good | inconclusive | void, "what", "instance"}).
--                         Ends a guard: bad raises an alarm and, with the action rollback, sets the change back where its
--                         cells are as it left them; the others end it when its time is over. The first call does it.
--                         -> {"ok", outcome [, version of the rollback]} | {"ended"} (somebody was first, or it is not over
--                         yet) | {"invalid", version, reason}

local evidence = { KEPT_MS = 7 * 86400000, WRITERS_MAX = 1000, WHO = 'guard',
    VERDICTS = { bad = true, good = true, inconclusive = true, void = true } }

function evidence.writer_key(prefix, writer)
    return prefix .. ':evidence:' .. writer
end

-- Those that have not written for long, or are too many, are forgotten.
function evidence.prune(prefix, now)
    local writers = prefix .. ':evidence:writers'
    redis.call('ZREMRANGEBYSCORE', writers, '-inf', integer_text(now - evidence.KEPT_MS))
    for _, writer in ipairs(redis.call('ZRANGE', writers, 0, -1 - evidence.WRITERS_MAX)) do
        redis.call('DEL', evidence.writer_key(prefix, writer))
        redis.call('ZREM', writers, writer)
    end
end

function evidence.write(keys, args)
    local prefix = prefix_of(keys)
    local id, started = args[1] or '', args[2] or ''
    if id == '' or #id > INSTANCE_ID_LEN_MAX or not string.find(started, '^%d+$') or #args % 2 ~= 0 then
        error('usage: instance, started_ms, cell, JSON ...')
    end
    if #args > 2 then
        local writer, now = id .. ':' .. started, now_ms()
        local key = evidence.writer_key(prefix, writer)
        for i = 3, #args, 2 do
            redis.call('HSET', key, args[i], args[i + 1])
        end
        redis.call('PEXPIRE', key, integer_text(evidence.KEPT_MS))
        if redis.call('ZADD', prefix .. ':evidence:writers', integer_text(now), writer) == 1 then
            evidence.prune(prefix, now)
        end
    end
    return redis.call('ZCARD', prefix .. ':guards:watching')
end

-- The carriers that have a cell for one of the shortcodes, in rows of their own or by the default row.
function evidence.cells(prefix, shortcodes)
    local default, cells = redis.call('HKEYS', prefix .. ':route:*'), {}
    for _, shortcode in ipairs(shortcodes) do
        local seen = {}
        for _, carriers in ipairs({ redis.call('HKEYS', prefix .. ':route:' .. shortcode), default }) do
            for _, carrier in ipairs(carriers) do
                if not seen[carrier] then
                    seen[carrier] = true
                    cells[#cells + 1] = shortcode .. ' ' .. carrier
                end
            end
        end
    end
    return cells
end

function evidence.read(keys, args)
    local prefix = prefix_of(keys)
    local reply, cells = { now_ms() }, #args > 0 and evidence.cells(prefix, args)
    for _, writer in ipairs(redis.call('ZRANGE', prefix .. ':evidence:writers', 0, -1)) do
        local key = evidence.writer_key(prefix, writer)
        if not cells then
            for _, text in ipairs(redis.call('HVALS', key)) do
                reply[#reply + 1] = text
            end
        elseif redis.call('EXISTS', key) == 1 then
            for _, cell in ipairs(cells) do
                reply[#reply + 1] = redis.call('HGET', key, cell) or nil
            end
        end
    end
    return reply
end

-- The texts of a hash, in the order of a sorted set, after the time.
function evidence.list(hash, ids)
    local reply = { now_ms() }
    for _, id in ipairs(ids) do
        reply[#reply + 1] = redis.call('HGET', hash, id) or nil
    end
    return reply
end

function evidence.guards(keys, args)
    local prefix = prefix_of(keys)
    local ids = redis.call('ZRANGE', prefix .. ':guards:watching', 0, -1)
    if args[1] ~= 'watching' then
        for _, id in ipairs(redis.call('ZREVRANGE', prefix .. ':guards:ended', 0, -1)) do
            ids[#ids + 1] = id
        end
    end
    return evidence.list(prefix .. ':guards', ids)
end

-- Sets back what the guarded change made, but for cells that somebody changed since. -> outcome, version, lines left.
function evidence.roll_back(prefix, guard, what)
    local undone = integer_text(guard.version)
    local fields = entry_of(prefix, undone)
    if not fields then
        return 'could_not_roll_back'
    end
    local at = integer_text(now_ms())
    local steps, conflicts = plan_undo(prefix, moves_to_undo(prefix, fields), guard.version, false, at)
    name_authors(prefix, conflicts)
    if #steps == 0 then
        return 'could_not_roll_back', nil, conflicts
    end
    local author, more = { who = evidence.WHO, why = what }, { 'undoes', undone }
    if #conflicts > 0 then
        more[#more + 1], more[#more + 2] = 'left', table.concat(conflicts, '\n')
    end
    if fields.window then
        more[#more + 1], more[#more + 2] = 'window', fields.window
    end
    local made = commit(prefix, author, 'rollback', at, steps, more)
    if not made then
        return 'could_not_roll_back', nil, conflicts
    end
    windows.note(prefix, windows.names_of(fields), made)
    event_of(prefix, 'rolled_back', author, made, fields.window, 'version ' .. undone .. ' was set back by its guard',
        steps)
    if #conflicts == 0 then
        note_undone(prefix, guard.version, made)
    end
    if redis.call('ZREM', prefix .. ':confirm', undone) == 1 then
        note(prefix, undone, 'gone_back', evidence.WHO, what)
    end
    return 'rolled_back', made, conflicts
end

-- The guard's cells as an event tells them: "shortcode carrier from to state".
function evidence.event_cells(guard)
    local lines = {}
    for i, cell in ipairs(guard.cells) do
        lines[i] = cell .. ' open'
    end
    return table.concat(lines, '\n')
end

function evidence.trip(prefix, guard, request)
    local outcome, made, left = 'alerted', nil, nil
    guards.finish(prefix, guard, 'bad', request.what)
    event(prefix, 'alarm', { window = guard.window, version = guard.version, who = evidence.WHO, text = request.what,
        cells = evidence.event_cells(guard) })
    if guard.action == 'rollback' then
        outcome, made, left = evidence.roll_back(prefix, guard, request.what)
    end
    alarms.keep(prefix, { id = guard.id, at_ms = now_ms(), window = guard.window, version = guard.version,
        cells = guard.cells, what = request.what, verdict = 'bad', action = guard.action, outcome = outcome,
        rollback_version = made, left = left and #left > 0 and left or nil, instance = given(request.instance) })
    return { 'ok', outcome, made }
end

function evidence.alarm(keys, args)
    local prefix = prefix_of(keys)
    local request, reason = decode(args[1])
    reason = reason or (type(request.guard) ~= 'string' and 'guard is missing')
        or (not evidence.VERDICTS[given(request.verdict) or ''] and 'verdict must be bad, good, inconclusive or void')
        or bad_text('what', given(request.what)) or bad_text('instance', given(request.instance))
    if reason then
        return invalid(current_version(prefix), { reason })
    end
    check_keys(prefix)
    local guard = guards.watching(prefix, request.guard)
    if not guard then
        return { 'ended' }
    end
    if request.verdict == 'bad' then
        return evidence.trip(prefix, guard, request)
    end
    if request.verdict ~= 'void' and now_ms() < guard.until_ms then
        return { 'ended' }
    end
    guards.finish(prefix, guard, request.verdict, given(request.what) or '')
    return { 'ok', request.verdict }
end

redis.register_function('turnout_evidence', evidence.write)
redis.register_function { function_name = 'turnout_evidence_read', callback = evidence.read, flags = { 'no-writes' } }
redis.register_function { function_name = 'turnout_guards', callback = evidence.guards, flags = { 'no-writes' } }
redis.register_function('turnout_alarm', evidence.alarm)
