/* See redis.h. hiredis 0.14 and 1.x: the two differ in how a time-out shows, which call_failed() hides. */
#include "routing/ctl/redis.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/output.h"
#include "routing/functions.h"

enum { CONNECT_MS = 3000, ANSWER_MS = 10000 };

struct redis {
    redisContext *context;
    enum redis_trouble trouble;
    char text[512];
    char where[400]; /* the address, for messages */
    char prefix[128];
    char key[256];
};

/* --- the address -------------------------------------------------------------------------------------------
 */

static bool copy_span(char *to, size_t size, const char *from, size_t len)
{
    if (len >= size) {
        return false;
    }
    memcpy(to, from, len);
    to[len] = '\0';
    return true;
}

static bool number_parse(const char *text, long max, long *value)
{
    char *end;
    errno = 0;
    long parsed = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || parsed > max) {
        return false;
    }
    *value = parsed;
    return true;
}

/* "host", "host:port", "[::1]", "[::1]:port" and "::1", which only brackets can give a port. */
static bool host_parse(const char *text, struct redis_address *address, const char **reason)
{
    const char *close = *text == '[' ? strchr(text, ']') : NULL;
    const char *colon = strrchr(close ? close : text, ':');
    bool bare_v6 = !close && colon && strchr(text, ':') != colon;
    const char *end = close ? close : colon && !bare_v6 ? colon : text + strlen(text);
    const char *start = close ? text + 1 : text;
    const char *rest = close ? close + 1 : end;
    if (*text == '[' && !close) {
        *reason = "there is a [ without a ]";
        return false;
    }
    if (end == start || !copy_span(address->host, sizeof address->host, start, (size_t)(end - start))) {
        *reason = "there is no host in it";
        return false;
    }
    long port = 6379;
    if (*rest != '\0' && (*rest != ':' || !number_parse(rest + 1, 65535, &port) || port == 0)) {
        *reason = "the port is not a number from 1 to 65535";
        return false;
    }
    address->port = (int)port;
    return true;
}

static bool path_parse(const char *text, struct redis_address *address, const char **reason)
{
    *reason = "the path of the socket is longer than 107 characters";
    return copy_span(address->path, sizeof address->path, text, strlen(text));
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef0123456789ABCDEF";
    const char *found = c ? strchr(digits, c) : NULL;
    return found ? (int)(found - digits) % 16 : -1;
}

/* A user or password of a URL, where %40 stands for @. */
static bool percent_decode(char *to, size_t size, const char *from, size_t len)
{
    size_t used = 0;
    for (size_t i = 0; i < len; i++) {
        int high = from[i] == '%' && i + 2 < len ? hex_digit(from[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(from[i + 2]) : -1;
        if (used + 1 >= size) {
            return false;
        }
        if (low >= 0) {
            to[used++] = (char)(high * 16 + low);
            i += 2;
        } else {
            to[used++] = from[i];
        }
    }
    to[used] = '\0';
    return true;
}

static bool login_parse(const char *text, size_t len, struct redis_address *address, const char **reason)
{
    const char *colon = memchr(text, ':', len);
    size_t user_len = colon ? (size_t)(colon - text) : len;
    *reason = "the user or the password is too long";
    return percent_decode(address->user, sizeof address->user, text, user_len) &&
           (!colon ||
            percent_decode(address->password, sizeof address->password, colon + 1, len - user_len - 1));
}

static bool url_parse(const char *text, struct redis_address *address, const char **reason)
{
    const char *at = strrchr(text, '@');
    if (at && !login_parse(text, (size_t)(at - text), address, reason)) {
        return false;
    }
    char host[300];
    const char *start = at ? at + 1 : text;
    size_t len = strcspn(start, "/");
    long database = 0;
    if (!copy_span(host, sizeof host, start, len)) {
        *reason = "the host is too long";
        return false;
    }
    if (start[len] == '/' && start[len + 1] != '\0' && !number_parse(start + len + 1, 1000000, &database)) {
        *reason = "what follows the last / is not the number of a database";
        return false;
    }
    address->database = (unsigned)database;
    return host_parse(host, address, reason);
}

bool redis_address_parse(const char *text, struct redis_address *address, const char **reason)
{
    struct redis_address parsed = {.port = 6379};
    bool ok;
    if (strncmp(text, "redis://", 8) == 0) {
        ok = url_parse(text + 8, &parsed, reason);
    } else if (strncmp(text, "unix://", 7) == 0) {
        ok = path_parse(text + 7, &parsed, reason);
    } else if (strstr(text, "://")) {
        *reason = "only redis:// and unix:// are known; for TLS put a tunnel before Redis";
        ok = false;
    } else {
        ok = *text == '/' ? path_parse(text, &parsed, reason) : host_parse(text, &parsed, reason);
    }
    if (ok) {
        *address = parsed;
    }
    return ok;
}

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

redisReply *redis_call(struct redis *redis, const char *const *strings, size_t count)
{
    if (!redis->context) {
        return NULL; /* the trouble that took the connection stands */
    }
    redisReply *reply = redisCommandArgv(redis->context, (int)count, (const char **)(uintptr_t)strings, NULL);
    if (!reply) {
        call_failed(redis);
        return NULL;
    }
    redis->trouble = REDIS_FINE;
    if (reply->type == REDIS_REPLY_ERROR) {
        trouble_set(redis, REDIS_REFUSED, "Redis at %s answers: %s", redis->where, reply->str);
        freeReplyObject(reply);
        return NULL;
    }
    return reply;
}

static bool functions_load(struct redis *redis)
{
    const char *const load[] = {"FUNCTION", "LOAD", functions_text()};
    redisReply *reply = redis_call(redis, load, 3);
    bool loaded = reply != NULL;
    freeReplyObject(reply);
    /* Somebody else may have loaded them between our two calls. */
    return loaded || (redis->trouble == REDIS_REFUSED && strstr(redis->text, "already exists"));
}

redisReply *redis_function(struct redis *redis, const char *name, const char *const *args, size_t count)
{
    const char **strings = need(calloc(count + 4, sizeof *strings));
    char version_key[256];
    snprintf(version_key, sizeof version_key, "%s:version", redis->prefix);
    strings[0] = "FCALL";
    strings[1] = name;
    strings[2] = "1";
    strings[3] = version_key;
    for (size_t i = 0; i < count; i++) {
        strings[4 + i] = args[i];
    }
    redisReply *reply = redis_call(redis, strings, count + 4);
    if (!reply && redis->trouble == REDIS_REFUSED && strstr(redis->text, "Function not found") &&
        functions_load(redis)) {
        reply = redis_call(redis, strings, count + 4);
    }
    free(strings);
    return reply;
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

static bool login(struct redis *redis, const struct redis_address *address)
{
    const char *const with_user[] = {"AUTH", address->user, address->password};
    const char *const without[] = {"AUTH", address->password};
    bool user = *address->user != '\0';
    if (*address->password && !prepare(redis, user ? with_user : without, user ? 3 : 2)) {
        return false;
    }
    char number[16];
    snprintf(number, sizeof number, "%u", address->database);
    const char *const choose[] = {"SELECT", number};
    return address->database == 0 || prepare(redis, choose, 2);
}

struct redis *redis_open(const struct redis_address *address, const char *prefix)
{
    struct redis *redis = need(calloc(1, sizeof *redis));
    struct timeval limit = interval(CONNECT_MS);
    snprintf(redis->prefix, sizeof redis->prefix, "%s", prefix);
    if (*address->path) {
        snprintf(redis->where, sizeof redis->where, "%s", address->path);
        redis->context = redisConnectUnixWithTimeout(address->path, limit);
    } else {
        bool v6 = strchr(address->host, ':') != NULL;
        snprintf(redis->where, sizeof redis->where, v6 ? "[%s]:%d" : "%s:%d", address->host, address->port);
        redis->context = redisConnectWithTimeout(address->host, address->port, limit);
    }
    need(redis->context);
    if (redis->context->err) {
        trouble_set(redis, REDIS_UNREACHABLE, "Redis at %s cannot be reached: %s", redis->where,
                    redis->context->errstr);
        redisFree(redis->context);
        redis->context = NULL;
        return redis;
    }
    redis_patience(redis, ANSWER_MS);
    if (!login(redis, address)) {
        redisFree(redis->context);
        redis->context = NULL;
    }
    return redis;
}

void redis_close(struct redis *redis)
{
    if (redis && redis->context) {
        redisFree(redis->context);
    }
    free(redis);
}
