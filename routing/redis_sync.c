/* See redis_sync.h. hiredis 0.14 and 1.x: the two differ in how a time-out shows, which call_failed() hides. */
#include "routing/redis_sync.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/functions.h"

enum { CONNECT_MS = 3000, ANSWER_MS = 10000 }; /* of a caller that does not say */

struct redis {
    redisContext *context;
    enum redis_trouble trouble;
    char text[512];
    char where[400]; /* the address, for messages */
    char prefix[128];
    char key[256];
};

/* --- calls -------------------------------------------------------------------------------------------------
 */

static void trouble_set(struct redis *redis, enum redis_trouble trouble, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void trouble_set(struct redis *redis, enum redis_trouble trouble, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(redis->text, sizeof redis->text, format, list);
    va_end(list);
    redis->trouble = trouble;
}

enum redis_trouble redis_trouble(const struct redis *redis)
{
    return redis->trouble;
}

const char *redis_trouble_text(const struct redis *redis)
{
    return redis->text;
}

static struct timeval interval(unsigned ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

void redis_patience(struct redis *redis, unsigned ms)
{
    if (redis->context) {
        redisSetTimeout(redis->context, interval(ms));
    }
}

static void call_failed(struct redis *redis)
{
    int error = errno;
    bool silent = redis->context->err == REDIS_ERR_IO && (error == EAGAIN || error == ETIMEDOUT);
#ifdef REDIS_ERR_TIMEOUT
    silent = silent || redis->context->err == REDIS_ERR_TIMEOUT;
#endif
    trouble_set(redis, REDIS_LOST, "Redis at %s %s", redis->where,
                silent ? "did not answer in time" : redis->context->errstr);
    redisFree(redis->context);
    redis->context = NULL;
}

bool redis_send(struct redis *redis, const char *const *strings, size_t count)
{
    if (!redis->context) {
        return false; /* the trouble that took the connection stands */
    }
    if (redisAppendCommandArgv(redis->context, (int)count, (const char **)(uintptr_t)strings, NULL) !=
        REDIS_OK) {
        call_failed(redis);
        return false;
    }
    return true;
}

redisReply *redis_answer(struct redis *redis)
{
    void *answer = NULL;
    if (!redis->context) {
        return NULL;
    }
    if (redisGetReply(redis->context, &answer) != REDIS_OK) {
        call_failed(redis);
        return NULL;
    }
    redisReply *reply = answer;
    redis->trouble = REDIS_FINE;
    if (reply->type == REDIS_REPLY_ERROR) {
        trouble_set(redis, REDIS_REFUSED, "Redis at %s answers: %s", redis->where, reply->str);
        freeReplyObject(reply);
        return NULL;
    }
    return reply;
}

redisReply *redis_call(struct redis *redis, const char *const *strings, size_t count)
{
    return redis_send(redis, strings, count) ? redis_answer(redis) : NULL;
}

static redisReply *function_call(struct redis *redis, const char *name, const char *const *args, size_t count)
{
    const char **strings = calloc(count + 4, sizeof *strings);
    char version_key[256];
    if (strings == NULL) {
        trouble_set(redis, REDIS_UNREACHABLE, "there is no memory for a call");
        return NULL;
    }
    snprintf(version_key, sizeof version_key, "%s:version", redis->prefix);
    strings[0] = "FCALL";
    strings[1] = name;
    strings[2] = "1";
    strings[3] = version_key;
    for (size_t i = 0; i < count; i++) {
        strings[4 + i] = args[i];
    }
    redisReply *reply = redis_call(redis, strings, count + 4);
    free(strings);
    return reply;
}

static bool functions_replace(struct redis *redis)
{
    const char *const load[] = {"FUNCTION", "LOAD", "REPLACE", functions_text()};
    redisReply *reply = redis_call(redis, load, 4);
    bool loaded = reply != NULL;
    freeReplyObject(reply);
    return loaded;
}

/* info is the answer of turnout_info, which is freed, or NULL. */
static bool renew(struct redis *redis, redisReply *info)
{
    bool fine = info != NULL;
    bool older = fine && redis_number(info, 0) < (uint64_t)functions_version();
    freeReplyObject(info);
    return fine && (!older || functions_replace(redis));
}

static bool functions_load(struct redis *redis)
{
    const char *const load[] = {"FUNCTION", "LOAD", functions_text()};
    redisReply *reply = redis_call(redis, load, 3);
    bool loaded = reply != NULL;
    freeReplyObject(reply);
    if (loaded || redis->trouble != REDIS_REFUSED || !strstr(redis->text, "already exists")) {
        return loaded;
    }
    /* Somebody else loaded them between our two calls, or those that are there do not have this one yet. */
    return renew(redis, function_call(redis, "turnout_info", NULL, 0));
}

redisReply *redis_function(struct redis *redis, const char *name, const char *const *args, size_t count)
{
    redisReply *reply = function_call(redis, name, args, count);
    if (!reply && redis->trouble == REDIS_REFUSED && strstr(redis->text, "Function not found") &&
        functions_load(redis)) {
        reply = function_call(redis, name, args, count);
    }
    return reply;
}

bool redis_functions_renew(struct redis *redis)
{
    return renew(redis, redis_function(redis, "turnout_info", NULL, 0));
}

const char *redis_key(struct redis *redis, const char *format, ...)
{
    va_list list;
    int used = snprintf(redis->key, sizeof redis->key, "%s:", redis->prefix);
    va_start(list, format);
    vsnprintf(redis->key + used, sizeof redis->key - (size_t)used, format, list);
    va_end(list);
    return redis->key;
}

const char *redis_text(const redisReply *array, size_t index)
{
    const redisReply *element = index < array->elements ? array->element[index] : NULL;
    return element && element->str ? element->str : "";
}

uint64_t redis_number(const redisReply *array, size_t index)
{
    const redisReply *element = index < array->elements ? array->element[index] : NULL;
    if (element && element->type == REDIS_REPLY_INTEGER) {
        return element->integer < 0 ? 0 : (uint64_t)element->integer;
    }
    return strtoull(redis_text(array, index), NULL, 10);
}

/* --- the connection ----------------------------------------------------------------------------------------
 */

/* One of the calls that make a connection usable; a refusal here means that there is no connection. */
static bool prepare(struct redis *redis, const char *const *strings, size_t count)
{
    redisReply *reply = redis_call(redis, strings, count);
    bool fine = reply != NULL;
    freeReplyObject(reply);
    if (!fine) {
        redis->trouble = REDIS_UNREACHABLE;
    }
    return fine;
}

/* Without a password: nothing. */
static bool authenticate(struct redis *redis, const char *user, const char *password)
{
    const char *const with_user[] = {"AUTH", user, password};
    const char *const without[] = {"AUTH", password};
    return !*password || prepare(redis, *user ? with_user : without, *user ? 3 : 2);
}

static bool login(struct redis *redis, const struct redis_address *address)
{
    if (!authenticate(redis, address->user, address->password)) {
        return false;
    }
    char number[16];
    snprintf(number, sizeof number, "%u", address->database);
    const char *const choose[] = {"SELECT", number};
    return address->database == 0 || prepare(redis, choose, 2);
}

static void disconnect(struct redis *redis)
{
    if (redis->context) {
        redisFree(redis->context);
    }
    redis->context = NULL;
}

/* Takes over a context, which may be connected; NULL without memory. */
static bool connected(struct redis *redis, redisContext *context)
{
    redis->context = context;
    if (context && !context->err) {
        return true;
    }
    trouble_set(redis, REDIS_UNREACHABLE, "Redis at %s cannot be reached: %s", redis->where,
                context ? context->errstr : "no memory");
    disconnect(redis);
    return false;
}

static bool connect_to(struct redis *redis, const char *host, uint16_t port, unsigned limit_ms)
{
    struct address address = {.port = port};
    snprintf(address.host, sizeof address.host, "%s", host);
    address_text(&address, redis->where);
    return connected(redis, redisConnectWithTimeout(host, port, interval(limit_ms)));
}

static unsigned connect_ms(const struct redis_address *address)
{
    return address->connect_ms > 0 ? address->connect_ms : CONNECT_MS;
}

static unsigned answer_ms(const struct redis_address *address)
{
    return address->answer_ms > 0 ? address->answer_ms : ANSWER_MS;
}

static bool connect_plainly(struct redis *redis, const struct redis_address *address)
{
    if (!*address->path) {
        return connect_to(redis, address->host, (uint16_t)address->port, connect_ms(address));
    }
    snprintf(redis->where, sizeof redis->where, "%s", address->path);
    return connected(redis, redisConnectUnixWithTimeout(address->path, interval(connect_ms(address))));
}

/* --- by sentinels ------------------------------------------------------------------------------------------
 */

/* Asks one sentinel. False: the trouble says why. */
static bool sentinel_ask(struct redis *redis, const struct redis_address *address,
                         const struct sentinel *sentinel, struct address *master)
{
    const char *const ask[] = {"SENTINEL", "GET-MASTER-ADDR-BY-NAME", address->master};
    char reason[300];
    if (!connect_to(redis, sentinel->address.host, sentinel->address.port, SENTINEL_MS)) {
        return false;
    }
    redis_patience(redis, SENTINEL_MS);
    bool fine = authenticate(redis, address->sentinel_user, address->sentinel_password);
    redisReply *reply = fine ? redis_call(redis, ask, 3) : NULL;
    fine = reply && sentinel_master(reply, master, reason, sizeof reason);
    if (reply && !fine) {
        trouble_set(redis, REDIS_UNREACHABLE, "the sentinel at %s does not name the master \"%s\": %s",
                    redis->where, address->master, reason);
    }
    freeReplyObject(reply);
    disconnect(redis);
    return fine;
}

/* A sentinel may not have heard yet, or be cut off from the others. */
static bool check_master(struct redis *redis)
{
    const char *const ask[] = {"ROLE"};
    char reason[300] = "it is a replica";
    struct role role = {0};
    redisReply *reply = redis_call(redis, ask, 1);
    bool fine = reply && role_of(reply, &role, reason, sizeof reason) && role.master;
    if (reply && !fine) {
        trouble_set(redis, REDIS_UNREACHABLE, "a sentinel names Redis at %s as the master, but %s",
                    redis->where, reason);
    }
    freeReplyObject(reply);
    return fine;
}

static bool connect_to_master(struct redis *redis, const struct redis_address *address,
                              const struct address *master)
{
    if (!connect_to(redis, master->host, master->port, connect_ms(address))) {
        return false;
    }
    redis_patience(redis, answer_ms(address));
    if (login(redis, address) && check_master(redis)) {
        return true;
    }
    disconnect(redis);
    return false;
}

/* Each sentinel is asked once at most, so that even where all of them hang it ends. */
static void open_by_sentinels(struct redis *redis, const struct redis_address *address)
{
    struct sentinels sentinels = address->sentinels;
    struct address master;
    bool found = false;
    for (unsigned i = 0; i < sentinels.count && !found; i++) {
        if (sentinel_ask(redis, address, sentinels_current(&sentinels), &master)) {
            found = connect_to_master(redis, address, &master);
            sentinels_doubt(&sentinels);
        } else {
            sentinels_failed(&sentinels);
        }
    }
    if (!found) {
        redis->trouble = REDIS_UNREACHABLE;
    }
}

struct redis *redis_open(const struct redis_address *address, const char *prefix)
{
    struct redis *redis = calloc(1, sizeof *redis);
    if (redis == NULL) {
        return NULL;
    }
    snprintf(redis->prefix, sizeof redis->prefix, "%s", prefix);
    if (address->sentinels.count > 0) {
        open_by_sentinels(redis, address);
    } else if (connect_plainly(redis, address)) {
        redis_patience(redis, answer_ms(address));
        if (!login(redis, address)) {
            disconnect(redis);
        }
    }
    return redis;
}

void redis_close(struct redis *redis)
{
    if (redis) {
        disconnect(redis);
    }
    free(redis);
}
