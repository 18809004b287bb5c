local function info(keys)
    local prefix = prefix_of(keys)
    return { LIBRARY_VERSION, current_version(prefix), current_chain(prefix),
        redis.call('SCARD', prefix .. ':shortcodes'), last_question(prefix) }
end

redis.register_function { function_name = 'turnout_info', callback = info, flags = { 'no-writes' } }
