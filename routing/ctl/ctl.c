/* See ctl.h. */
#include "routing/ctl/ctl.h"

#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "routing/ctl/output.h"
#include "routing/ctl/redis.h"

#define EXIT_WORD(id, code, word, text) [code] = (word),
#define EXIT_TEXT(id, code, word, text) [code] = (text),
static const char *const exit_words[CTL_EXIT_COUNT] = {CTL_EXITS(EXIT_WORD)};
static const char *const exit_texts[CTL_EXIT_COUNT] = {CTL_EXITS(EXIT_TEXT)};

const char *ctl_exit_word(enum ctl_exit code)
{
    return exit_words[code];
}

const char *ctl_exit_text(enum ctl_exit code)
{
    return exit_texts[code];
}

int64_t ctl_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

enum { CONNECT_MS = 3000, ANSWER_MORE_MS = 500, ANSWER_MAX_MS = 10000 };

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

void ctl_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

bool ctl_stopped(void)
{
    return stopped != 0;
}

void ctl_answer(struct ctl *ctl, const char *name, json_t *value)
{
    json_put(ctl->answer, name, value);
}

enum ctl_exit ctl_fail(struct ctl *ctl, enum ctl_exit code, const char *advice, const char *format, ...)
{
    char *text = NULL;
    va_list list;
    va_start(list, format);
    int len = vasprintf(&text, format, list);
    va_end(list);
    text = need(len < 0 ? NULL : text);
    if (ctl->options.json) {
        ctl_answer(ctl, "error", json_text(text));
        if (advice) {
            ctl_answer(ctl, "advice", json_text(advice));
        }
    } else {
        fflush(stdout); /* what was said before comes before, where both go to one file */
        text_wrap(stderr, "turnoutctl: ", text);
        if (advice) {
            text_wrap(stderr, "  ", advice);
        }
    }
    free(text);
    return code;
}

const char *ctl_who(const struct ctl *ctl)
{
    static char login[256];
    if (ctl->options.who && *ctl->options.who) {
        return ctl->options.who;
    }
    if (getlogin_r(login, sizeof login) == 0 && *login) {
        return login;
    }
    const struct passwd *user = getpwuid(getuid());
    if (user) {
        snprintf(login, sizeof login, "%s", user->pw_name);
    } else {
        snprintf(login, sizeof login, "uid %u", (unsigned)getuid());
    }
    return login;
}

/* --- Redis -------------------------------------------------------------------------------------------------
 */

/* The first line of a file, where it fits. */
static bool first_line(const char *path, char *line, size_t size)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        return false;
    }
    bool fine = fgets(line, (int)size, file) != NULL;
    size_t len = fine ? strcspn(line, "\r\n") : 0;
    fine = fine && len + 1 < size;
    fclose(file);
    line[len] = '\0';
    return fine;
}

static bool find_password(struct ctl *ctl, struct redis_address *address)
{
    const char *password = getenv("TURNOUT_REDIS_PASSWORD");
    if (ctl->options.password_file) {
        if (!first_line(ctl->options.password_file, address->password, sizeof address->password)) {
            ctl_fail(ctl, CTL_USAGE, "Its first line must be the password, up to 254 characters.",
                     "the password file %s cannot be read", ctl->options.password_file);
            return false;
        }
    } else if (password && strlen(password) < sizeof address->password) {
        text_copy(address->password, sizeof address->password, password);
    }
    password = getenv("TURNOUT_SENTINEL_PASSWORD");
    if (password && strlen(password) < sizeof address->sentinel_password) {
        text_copy(address->sentinel_password, sizeof address->sentinel_password, password);
    }
    return true;
}

unsigned ctl_patience_ms(const struct ctl *ctl)
{
    return ctl->options.timeout_ms < ANSWER_MAX_MS - ANSWER_MORE_MS ? ctl->options.timeout_ms + ANSWER_MORE_MS
                                                                    : ANSWER_MAX_MS;
}

bool ctl_redis(struct ctl *ctl)
{
    struct redis_address address;
    const char *reason;
    if (ctl->redis) {
        return redis_trouble(ctl->redis) != REDIS_UNREACHABLE;
    }
    if (!redis_address_parse(ctl->options.redis, &address, &reason)) {
        ctl_fail(ctl, CTL_USAGE, NULL, "--redis %s: %s", ctl->options.redis, reason);
        return false;
    }
    if (!find_password(ctl, &address)) {
        return false;
    }
    unsigned patience_ms = ctl_patience_ms(ctl);
    address.answer_ms = patience_ms;
    address.connect_ms = patience_ms < CONNECT_MS ? patience_ms : CONNECT_MS;
    ctl->redis = need(redis_open(&address, ctl->options.prefix));
    explicit_bzero(&address, sizeof address);
    return redis_trouble(ctl->redis) != REDIS_UNREACHABLE;
}

static const char *advice_for(const char *text)
{
    static const char *const table[][2] = {
        {"NOAUTH", "Give the password with --redis-password-file."},
        {"WRONGPASS", "Look at --redis-password-file, and at the user in --redis."},
        {"NOPERM", "This user of Redis may not do that: give it the right, or name another one."},
        {"MOVED", "Give the address in this answer with --redis: the table is on that node of the cluster."},
        {"READONLY",
         "This Redis is a replica: give the primary's address with --redis, or that of the sentinels."},
        {"LOADING", "Redis has just started and reads its data: try again in a moment."},
        {"BUSY", "Redis is busy with a large change: try again in a moment."},
        {"OOM", "Redis has reached its memory limit: see maxmemory in its configuration."},
        {"MISCONF", "Redis cannot save to its disk: see its log."},
        {"unknown command", "Turnout needs Redis 7.0 or later."},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strstr(text, table[i][0])) {
            return table[i][1];
        }
    }
    return NULL;
}

enum ctl_exit ctl_redis_failed(struct ctl *ctl)
{
    if (!ctl->redis) {
        return CTL_USAGE; /* ctl_redis has told why */
    }
    const char *text = redis_trouble_text(ctl->redis);
    const char *advice = advice_for(text);
    switch (redis_trouble(ctl->redis)) {
    case REDIS_UNREACHABLE:
    case REDIS_LOST:
        return ctl_fail(ctl, CTL_UNREACHABLE,
                        advice ? advice : "Is it running, and is --redis (or TURNOUT_REDIS) its address?",
                        "%s", text);
    case REDIS_REFUSED: return ctl_fail(ctl, CTL_FAILED, advice, "%s", text);
    case REDIS_FINE: break;
    }
    return ctl_fail(ctl, CTL_FAILED, NULL, "Redis gave an answer that cannot be understood");
}
