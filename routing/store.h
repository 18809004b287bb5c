/* The table's life in Redis, followed from one instance. Main thread, on the given loop.
 *
 *   Redis stream ──XREAD──▶ store ──events.table(next)──▶ proxy publishes to its workers
 *   Redis hash   ◀──beat──  store ◀──store_applied(version)── every worker has passed it
 *   disk         ◀──snapshot after each change; read at the start, so that Redis is not needed to serve
 *
 * The table never goes back by itself: a Redis that is older than what was applied, empty, or of another
 * history (the chain fingerprint differs) is refused and reported until it is mended (turnoutctl route
 * restore). Redis away changes nothing but the state reported. Reconnects with jittered backoff, for ever.
 *
 * With sentinels it goes to the master that they name, and leaves it as soon as they name another.
 *
 * The entry in Redis has the fields applied, desired, state, reason and obstacle, and those of events.beat.
 * The process must ignore SIGPIPE. */
#ifndef ROUTING_STORE_H
#define ROUTING_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "routing/follow.h" /* enum store_state */
#include "routing/names.h"
#include "routing/sentinel_watch.h" /* struct sentinel_options */
#include "routing/table.h"

struct store_options {
    const char *host;
    uint16_t port;
    const char *unix_path;            /* used instead of host and port where set */
    struct sentinel_options sentinel; /* used instead of all three where it has sentinels */
    const char *username;             /* NULL: none */
    const char *password;             /* NULL: none */
    unsigned database;
    const char *prefix;        /* of every key, with its hash tag: "{turnout}" */
    const char *instance;      /* this instance's name */
    const char *snapshot_path; /* NULL: no snapshot on disk */
    uint64_t beat_ms;          /* how often the instance's entry is refreshed */
    uint64_t lease_ms;         /* its time to live */
    uint64_t timeout_ms;       /* connect, and answers of commands other than the blocking read */
    uint64_t backoff_min_ms, backoff_max_ms;
};

/* All are called from the loop, and must not close the store. */
struct store_events {
    /* The next table, to be published; it belongs to the callee now. The store goes on reading changes
     * meanwhile; tables come in order of version. */
    void (*table)(void *ctx, struct table *table);
    /* The state changed; reason is a sentence for the operator (never NULL). */
    void (*state)(void *ctx, enum store_state state, const char *reason);
    /* Something to know that is not a state: snapshot could not be written, an entry could not be understood.
     */
    void (*trouble)(void *ctx, const char *what);
    /* The fields to refresh in this instance's entry: call add(arg, field, value) for each. */
    void (*beat)(void *ctx, void (*add)(void *arg, const char *field, const char *value), void *arg);
    /* Somebody asks all instances something: request is JSON with a member "kind". To be answered with
     * store_answer and this id, now or later. NULL: questions are not heard. */
    void (*question)(void *ctx, const char *id, const char *request);
    /* Redis has taken a beat that was sent at this time (uv_hrtime), so that the instance's entry lives for a
     * lease from then on at least; the version of the table in Redis was at least this then. NULL: not told. */
    void (*beat_acknowledged)(void *ctx, uint64_t sent_ns, uint64_t version);
};

struct store;

/* Reads the disk snapshot (events.table is called before this returns, if there is one) and starts
 * connecting. options and its strings are copied. NULL without memory. */
struct store *store_open(uv_loop_t *loop, struct names *names, const struct store_options *options,
                         const struct store_events *events, void *ctx);

/* Every worker has passed this version: reported to Redis as soon as it is on disk, too, so that a restart
 * without Redis goes by nothing older than what was reported. May be called from within events.table. */
void store_applied(struct store *store, uint64_t version);

/* The fields that events.beat gives have changed: the instance's entry is refreshed now. */
void store_refresh(struct store *store);

/* This instance cannot apply the version yet; why (copied) is shown by turnoutctl. NULL: no obstacle any
 * more. */
void store_obstacle(struct store *store, const char *why);

/* Answers a question; answer is JSON. One that comes too late, or while Redis is away, is lost. */
void store_answer(struct store *store, const char *id, const char *answer);

/* Calls a function of functions/ with count arguments after its key (at most STORE_ARGS_MAX). answer gets the
 * reply (hiredis', valid during the call); not where the connection is lost before, so that whoever needs it
 * asks again by a timer of its own. False where it was not sent: Redis is away, or there is no memory. */
enum { STORE_ARGS_MAX = 256 };
struct redisReply;
typedef void store_reply(void *ctx, const struct redisReply *reply);
bool store_call(struct store *store, const char *function, size_t count, const char *const *args,
                store_reply *answer, void *ctx);

enum store_state store_state(const struct store *store);
const char *store_reason(const struct store *store); /* a sentence, valid until the loop runs on */
uint64_t store_desired(const struct store *store);   /* highest version known to exist in Redis */
uint64_t store_counter_reconnects(const struct store *store);
uint64_t store_counter_refused(const struct store *store);

/* Removes this instance's entry from Redis if it can be reached, disconnects, frees; then calls done. */
void store_close(struct store *store, void (*done)(void *ctx), void *ctx);

#endif
