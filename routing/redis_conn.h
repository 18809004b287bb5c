/* One connection to Redis on a loop: resolved, connected, logged in, and every answer awaited with a
 * time-out.
 *
 *   redis_conn_start ──▶ address ──▶ socket ──▶ AUTH, SELECT ──▶ events.ready ──▶ redis_conn_command, answer
 *                          └───────any of it fails, or is late──▶ events.lost(reason)
 *
 * After lost it may be started again. The process must ignore SIGPIPE: hiredis writes to sockets without
 * asking to be spared it. */
#ifndef ROUTING_REDIS_CONN_H
#define ROUTING_REDIS_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hiredis/hiredis.h>
#include <uv.h>

/* What all connections of a store share; it must outlive them. It may be changed while none is started. */
struct redis_target {
    const char *host;
    uint16_t port;
    const char *unix_path;           /* used instead where not NULL */
    const char *username, *password; /* NULL: none */
    unsigned database;
    uint64_t timeout_ms; /* from start to ready */
};

struct redis_conn_events {
    void (*ready)(void *ctx);
    /* Once for each start, but for a redis_conn_drop. reason is a sentence and valid during the call. */
    void (*lost)(void *ctx, const char *reason);
};

struct redis_conn;

/* NULL without memory. target, events and ctx must outlive it. */
struct redis_conn *redis_conn_new(uv_loop_t *loop, const struct redis_target *target,
                                  const struct redis_conn_events *events, void *ctx);

/* Not while it is started already. Failures are reported by lost, on a later turn of the loop. */
void redis_conn_start(struct redis_conn *conn);

bool redis_conn_ready(const struct redis_conn *conn);

/* The answer to a command; it may be an error (reply->type). Valid during the call. Not called where the
 * connection is lost before. */
typedef void redis_conn_answer(void *ctx, const redisReply *reply);

/* Sends a command of count strings; lens NULL where all of them are NUL-terminated. Only when ready. The
 * connection counts as lost when no answer has come for timeout_ms, as given with the newest command. False
 * without memory. */
bool redis_conn_command(struct redis_conn *conn, uint64_t timeout_ms, redis_conn_answer *answer, size_t count,
                        const char *const *strings, const size_t *lens);

/* Ends what there is without a word: neither lost nor answers are called. */
void redis_conn_drop(struct redis_conn *conn);

/* Drops it and frees it; closed is called on a later turn of the loop, when nothing of it is left there. */
void redis_conn_close(struct redis_conn *conn, void (*closed)(void *ctx));

#endif
