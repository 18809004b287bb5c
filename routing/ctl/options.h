/* The options of turnoutctl. One table: the parser, --help, the reference and the check that a required
 * option is there are all made from it. */
#ifndef ROUTING_CTL_OPTIONS_H
#define ROUTING_CTL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(id, field, kind, name, argument, environment, default, help); options up to OPT_TIMEOUT work everywhere.
 */
#define CTL_OPTIONS(X)                                                                                       \
    X(REDIS, redis, OPTION_TEXT, "redis", "ADDRESS", "TURNOUT_REDIS", "127.0.0.1:6379",                      \
      "Redis: HOST[:PORT], the path of a socket, redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or "        \
      "sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]/MASTER[/DATABASE] to ask sentinels for the "  \
      "master (TURNOUT_SENTINEL_PASSWORD is the sentinels' own password)")                                   \
    X(PASSWORD_FILE, password_file, OPTION_TEXT, "redis-password-file", "FILE",                              \
      "TURNOUT_REDIS_PASSWORD_FILE", NULL,                                                                   \
      "the first line of FILE is the password for Redis (or set TURNOUT_REDIS_PASSWORD to the password)")    \
    X(PREFIX, prefix, OPTION_TEXT, "prefix", "PREFIX", "TURNOUT_PREFIX", "{turnout}",                        \
      "what Turnout's keys in Redis begin with")                                                             \
    X(AS, who, OPTION_TEXT, "as", "WHO", NULL, NULL,                                                         \
      "who makes the change, for the log (else your login name)")                                            \
    X(JSON, json, OPTION_FLAG, "json", NULL, NULL, NULL, "answer with one JSON object")                      \
    X(TIMEOUT, timeout_ms, OPTION_DURATION, "timeout", "TIME", NULL, "5s",                                   \
      "how long to wait for the instances to apply a change, and for answers of Redis: 500ms, 5s, 1m. "      \
      "Half a second more is Redis' own; a change that was sent gets a minute")                              \
    X(CARRIER, carrier, OPTION_TEXT, "carrier", "NAME", NULL, NULL, "the mobile network")                    \
    X(TO, to, OPTION_TEXT, "to", "PLATFORM", NULL, NULL, "the platform that shall serve")                    \
    X(FROM, from, OPTION_TEXT, "from", "PLATFORM", NULL, NULL,                                               \
      "refuse unless this platform serves now (else: unless it is as just read)")                            \
    X(STATE, state, OPTION_STATE, "state", "STATE", NULL, NULL,                                              \
      "open (messages pass), hold (kept back for a moment) or closed (refused); open if not given")          \
    X(WHY, why, OPTION_TEXT, "why", "TEXT", NULL, NULL, "the reason, for the log")                           \
    X(TICKET, ticket, OPTION_TEXT, "ticket", "TEXT", NULL, NULL, "the ticket or change number, for the log") \
    X(START, start, OPTION_TEXT, "start", "TIME", NULL, NULL,                                                \
      "2026-09-27T10:00+13:00, or 2026-09-27T10:00 with --zone")                                             \
    X(END, end, OPTION_TEXT, "end", "TIME", NULL, NULL, "as --start")                                        \
    X(ZONE, zone, OPTION_TEXT, "zone", "ZONE", NULL, NULL,                                                   \
      "the time zone of times without an offset, and of what is shown: Pacific/Auckland")                    \
    X(AT, at, OPTION_TEXT, "at", "TIME", NULL, NULL,                                                         \
      "it moves by itself at this time, once preflight lets it")                                             \
    X(AUTO, automatic, OPTION_FLAG, "auto", NULL, NULL, NULL, "the window starts by itself")                 \
    X(WINDOW, window, OPTION_TEXT, "window", "NAME", NULL, NULL, "the window to undo as a whole")            \
    X(FORMAT, format, OPTION_TEXT, "format", "FORMAT", NULL, "markdown", "markdown, html or json")           \
    X(OUTPUT, output, OPTION_TEXT, "output", "FILE", NULL, NULL, "write to FILE (else the standard output)") \
    X(LONG, detailed, OPTION_FLAG, "long", NULL, NULL, NULL, "also which instance had applied it when")      \
    X(OUTSIDE_WINDOW, outside_window, OPTION_FLAG, "outside-window", NULL, NULL, NULL,                       \
      "also routes that belong to no open window; the log says so")                                          \
    X(AFTER_END, after_end, OPTION_FLAG, "after-end", NULL, NULL, NULL,                                      \
      "also where the window's end is over")                                                                 \
    X(CREATE, create, OPTION_FLAG, "create", NULL, NULL, NULL,                                               \
      "give a shortcode a row of its own where only the default row * covers it")                            \
    X(NO_WAIT, no_wait, OPTION_FLAG, "no-wait", NULL, NULL, NULL,                                            \
      "do not wait for the instances to apply it")                                                           \
    X(REPLICAS, replicas, OPTION_AUTO, "replicas", "N", NULL, "auto",                                        \
      "wait until so many replicas of Redis have the change, too; auto: one, if there is any")               \
    X(CONFIRM_WITHIN, confirm_within_ms, OPTION_PERIOD, "confirm-within", "TIME", NULL, NULL,                \
      "the change goes back by itself unless \"turnoutctl confirm\" comes in this time: 90s, 10m")           \
    X(STRICT, strict, OPTION_FLAG, "strict", NULL, NULL, NULL,                                               \
      "hold the routes until nothing sent before is unanswered, and open them then")                         \
    X(DRAIN, drain_ms, OPTION_DURATION, "drain", "TIME", NULL, "30s",                                        \
      "with --strict: how long to wait for what is unanswered")                                              \
    X(VERSION, version, OPTION_NUMBER, "version", "N", NULL, NULL, "the change to undo (else the last one)") \
    X(FORCE, force, OPTION_FLAG, "force", NULL, NULL, NULL,                                                  \
      "rollback: also where somebody changed it since; flip: without preflight, to any link")                \
    X(ANY_LINK, any_link, OPTION_FLAG, "any-link", NULL, NULL, NULL,                                         \
      "also to a platform that a live instance has no link to")                                              \
    X(DRY_RUN, dry_run, OPTION_FLAG, "dry-run", NULL, NULL, NULL, "say what would change, change nothing")   \
    X(YES, yes, OPTION_FLAG, "yes", NULL, NULL, NULL, "do not ask")                                          \
    X(LAST, last, OPTION_COUNT, "last", "N", NULL, "20", "how many changes to show")                         \
    X(FOLLOW, follow, OPTION_FLAG, "follow", NULL, NULL, NULL, "then go on with each change as it is made")  \
    X(BY_INSTANCE, by_instance, OPTION_FLAG, "by-instance", NULL, NULL, NULL, "each instance for itself")    \
    X(KIND, kind, OPTION_TEXT, "kind", "KIND", NULL, "carrier_moved", "the kind of event to try")            \
    X(ALL, all, OPTION_FLAG, "all", NULL, NULL, NULL, "the whole reference, as Markdown")                    \
    X(ASK, ask, OPTION_FLAG, "ask", NULL, NULL, NULL, "ask the instances themselves, now")                   \
    X(CLIENTS, clients, OPTION_FLAG, "clients", NULL, NULL, NULL,                                            \
      "client by client, asked of the instances now: sessions, legs, what is in flight")                     \
    X(CLIENT, client, OPTION_TEXT, "client", "ID", NULL, NULL, "of this client alone")                       \
    X(WITHOUT, without, OPTION_LIST, "without", "INSTANCE", NULL, NULL,                                      \
      "do not wait for this instance, which may go on by the route before; may be given again")              \
    X(PROBE, probe, OPTION_TEXT, "probe", "MSISDN", NULL, NULL,                                              \
      "send one test message from the first SHORTCODE to this number over the new link, and wait for its "   \
      "receipt")                                                                                             \
    X(GUARD_ERRORS, guard_errors, OPTION_COUNT, "guard-errors", "PERCENT", NULL, "0",                        \
      "guard: so many percentage points more go wrong on the new route than went wrong before")              \
    X(GUARD_MIN, guard_min, OPTION_COUNT, "guard-min", "COUNT", NULL, "20",                                  \
      "guard: answers on each side of the flip below which nothing is concluded")                            \
    X(GUARD_MO, guard_mo_ms, OPTION_PERIOD, "guard-mo-within", "TIME", NULL, NULL,                           \
      "guard: no MO has come by the new route in this time, where some were to be expected")                 \
    X(GUARD_RECEIPT, guard_receipt_ms, OPTION_PERIOD, "guard-receipt-within", "TIME", NULL, NULL,            \
      "guard: no receipt has come by the new route in this time, of those that are awaited")                 \
    X(GUARD_LEG, guard_leg_lost, OPTION_FLAG, "guard-leg-lost", NULL, NULL, NULL,                            \
      "guard: a bound leg of the new route was lost")                                                        \
    X(GUARD_ACTION, guard_action, OPTION_TEXT, "guard-action", "ACTION", NULL, "alert",                      \
      "what a guard does: alert (raise an alarm), or rollback (and set the change back)")                    \
    X(GUARD_FOR, guard_for_ms, OPTION_PERIOD, "guard-for", "TIME", NULL, "1h", "how long a guard watches")   \
    X(TON, ton, OPTION_COUNT, "ton", "TON", NULL, "0",                                                       \
      "type of number that a client sends with it: 0 unknown, 1 international, 2 national")                  \
    X(TEXT, text, OPTION_TEXT, "text", "TEXT", NULL, "Turnout test", "what the test message says")

enum option_kind {
    OPTION_TEXT,
    OPTION_STATE,
    OPTION_FLAG,
    OPTION_DURATION,
    OPTION_PERIOD, /* a duration above 0; 0 where it is not given */
    OPTION_COUNT,
    OPTION_AUTO,   /* a count, or "auto" */
    OPTION_NUMBER, /* of a version; 0 where it is not given */
    OPTION_LIST,   /* texts: may be given several times */
};

/* An OPTION_AUTO that is not a number. */
enum { COUNT_AUTO = 1000001 };

#define OPTION_ENUM(id, field, kind, name, arg, env, standard, help) OPT_##id,
enum option_id { CTL_OPTIONS(OPTION_ENUM) OPT_COUNT };
#undef OPTION_ENUM

/* A set of options, one bit each: OPTION(CARRIER) | OPTION(TO). */
typedef uint64_t option_set;
#define OPTION_BIT(number) ((option_set)1 << (number))
#define OPTION(id)         OPTION_BIT(OPT_##id)
#define OPTIONS_EVERYWHERE ((OPTION(TIMEOUT) << 1) - 1)
_Static_assert(OPT_COUNT <= 64, "a set of options has 64 bits");

struct option_row {
    const char *name, *arg, *env, *standard, *help;
    enum option_kind kind;
    size_t offset; /* of its field in struct options */
};
extern const struct option_row option_table[OPT_COUNT];

enum { OPTION_LIST_MAX = 32 };
struct option_list {
    const char *items[OPTION_LIST_MAX];
    unsigned count;
};

struct options {
    const char *redis, *password_file, *prefix, *who;
    const char *client, *probe, *text, *guard_action;
    unsigned guard_errors, guard_min, guard_mo_ms, guard_receipt_ms, guard_for_ms;
    bool guard_leg_lost;
    struct option_list without;
    bool clients;
    const char *carrier, *to, *from, *state, *why, *ticket;
    const char *start, *end, *zone, *at, *window, *format, *output;
    uint64_t version;
    bool json, strict, force, any_link, create, no_wait, dry_run, yes, follow, by_instance, all, ask,
        outside_window, automatic, detailed, after_end;
    unsigned timeout_ms, confirm_within_ms, drain_ms, last, replicas, ton;
    const char *kind; /* of an event */
    option_set given; /* on the command line: not by default, nor by the environment */
};

/* Every option from the environment, else its default. False with a sentence in reason (static text, preceded
 * by the environment variable's name in *which). */
bool options_start(struct options *options, const char **which, const char **reason);

/* Sets one option; text is NULL for a flag, and is kept, not copied. False with a sentence in reason. */
bool options_set(struct options *options, enum option_id id, const char *text, const char **reason);

/* True where a text option of this set is missing: *which is the first. */
bool options_missing(const struct options *options, option_set set, enum option_id *which);

/* A version: a whole number from 1. */
bool options_number(const char *text, uint64_t *number);

/* "500ms", "5s", "2m", "1h", at most a day. A number needs its unit, but for 0: what a bare 5 means, nobody
 * remembers at ten o'clock. */
bool options_duration(const char *text, unsigned *ms);

#endif
