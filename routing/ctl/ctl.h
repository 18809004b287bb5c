/* What every command of turnoutctl is given, and how it ends.
 *
 *   command line ──arguments──▶ struct ctl ──command's run──▶ text on stdout; --json: members of ctl->answer
 *                                                         └──▶ exit code; ctl_fail: what failed, what to do
 */
#ifndef ROUTING_CTL_CTL_H
#define ROUTING_CTL_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "routing/ctl/exits.h"
#include "routing/ctl/options.h"

struct command;
struct redis;

struct ctl {
    const struct command *command;
    struct options options;
    char **args; /* the arguments after the command's words */
    int args_count;
    struct redis *redis; /* NULL until ctl_redis */
    json_t *answer;      /* the object that --json prints at the end */
    int64_t started_us;  /* when the command started, ctl_now_us() */
};

/* Says what failed and what to do: on stderr, or as "error" and "advice" with --json. advice may be NULL.
 * Returns code, so that a command can end with it. */
enum ctl_exit ctl_fail(struct ctl *ctl, enum ctl_exit code, const char *advice, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Connects on first use. False where that failed; ctl_redis_failed() then ends the command. */
bool ctl_redis(struct ctl *ctl);

/* How long one answer of Redis may take: --timeout and half a second, at most ten seconds. A change that was sent is
 * given longer (apply.c): whoever gives it up cannot tell whether it was made. */
unsigned ctl_patience_ms(const struct ctl *ctl);

/* Ends a command whose call to Redis failed. */
enum ctl_exit ctl_redis_failed(struct ctl *ctl);

/* A clock for durations, in microseconds. */
int64_t ctl_now_us(void);

/* The person to name in the log: --as, else the login name. */
const char *ctl_who(const struct ctl *ctl);

/* From now on SIGINT, SIGTERM and SIGHUP do not end the program: it ends its step, and says where it stands.
 */
void ctl_catch_signals(void);

/* Has one of them come? */
bool ctl_stopped(void);

/* A member of the answer. Takes the value over. */
void ctl_answer(struct ctl *ctl, const char *name, json_t *value);

#endif
