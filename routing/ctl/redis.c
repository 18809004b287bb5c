/* See redis.h. */
#include "routing/ctl/redis.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/output.h"

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

static bool host_parse(const char *text, size_t len, struct redis_address *address, const char **reason)
{
    struct address found;
    if (!address_parse(text, len, 6379, &found, reason)) {
        return false;
    }
    text_copy(address->host, sizeof address->host, found.host);
    address->port = found.port;
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

static bool database_parse(const char *text, struct redis_address *address, const char **reason)
{
    long database = 0;
    if (*text != '\0' && !number_parse(text, 1000000, &database)) {
        *reason = "what follows the last / is not the number of a database";
        return false;
    }
    address->database = (unsigned)database;
    return true;
}

/* What URLs begin with; the rest is what follows the @. */
static bool user_parse(const char *text, struct redis_address *address, const char **rest,
                       const char **reason)
{
    const char *at = strrchr(text, '@');
    *rest = at ? at + 1 : text;
    return !at || login_parse(text, (size_t)(at - text), address, reason);
}

static bool url_parse(const char *text, struct redis_address *address, const char **reason)
{
    const char *start;
    if (!user_parse(text, address, &start, reason)) {
        return false;
    }
    size_t len = strcspn(start, "/");
    return database_parse(start[len] == '/' ? start + len + 1 : "", address, reason) &&
           host_parse(start, len, address, reason);
}

/* host:port,host:port/MASTER or .../MASTER/DATABASE */
static bool sentinels_parse(const char *text, struct redis_address *address, const char **reason)
{
    const char *start;
    if (!user_parse(text, address, &start, reason)) {
        return false;
    }
    const char *end = start + strcspn(start, "/");
    for (size_t len; start <= end; start += len + 1) {
        len = strcspn(start, ",/");
        if (!sentinels_add(&address->sentinels, start, len, reason)) {
            return false;
        }
    }
    const char *master = *end == '/' ? end + 1 : end;
    size_t len = strcspn(master, "/");
    *reason = "behind the sentinels a / and the name of the master is needed";
    return len > 0 && copy_span(address->master, sizeof address->master, master, len) &&
           database_parse(master[len] == '/' ? master + len + 1 : "", address, reason);
}

bool redis_address_parse(const char *text, struct redis_address *address, const char **reason)
{
    struct redis_address parsed = {.port = 6379};
    bool ok;
    if (strncmp(text, "redis://", 8) == 0) {
        ok = url_parse(text + 8, &parsed, reason);
    } else if (strncmp(text, "sentinel://", 11) == 0) {
        ok = sentinels_parse(text + 11, &parsed, reason);
    } else if (strncmp(text, "unix://", 7) == 0) {
        ok = path_parse(text + 7, &parsed, reason);
    } else if (strstr(text, "://")) {
        *reason = "only redis://, sentinel:// and unix:// are known; for TLS put a tunnel before Redis";
        ok = false;
    } else {
        ok = *text == '/' ? path_parse(text, &parsed, reason)
                          : host_parse(text, strlen(text), &parsed, reason);
    }
    if (ok) {
        *address = parsed;
    }
    return ok;
}
