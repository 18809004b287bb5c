/* A worker's thread: its loop, its listening sockets, and the letters that it and the main thread exchange.
 *
 *   main ──table, bundle, release, call, end──▶ mailbox ──▶ between two callbacks of the worker ──▶ forward_*
 *   main ◀──passed, applied, obstacle, released, stopped, ended── thread
 *
 * A turn of the loop: callbacks of the sockets collect output; uv_check sends it, one write a connection. A
 * table counts as passed when the worker's pointer has changed, and as applied when no octet routed by an
 * older one waits to leave. */
#ifndef PROXY_THREAD_H
#define PROXY_THREAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "proxy/mailbox.h"
#include "proxy/worker.h"
#include "routing/settled.h"

struct thread;

/* Legs over a link to be ended before their linger time is over (turnoutctl leg release). */
struct thread_release {
    unsigned link;   /* index, as in config_link */
    int client;      /* index, as in config_client; RELEASED_EVERY_CLIENT: all */
    uint64_t ticket; /* the caller's own, to tell orders apart */
};

/* What threads tell the main thread, in its own thread. */
struct thread_events {
    void (*table_passed)(void *ctx, struct thread *thread, uint64_t version);
    void (*table_applied)(void *ctx, struct thread *thread, uint64_t version);
    /* What was routed by an older table and is unanswered is something else than before. */
    void (*table_settled)(void *ctx, struct thread *thread, const struct settled *settled);
    /* What keeps it from applying; NULL when there is nothing any more. */
    void (*obstacle)(void *ctx, struct thread *thread, const char *what);
    void (*bundle_passed)(void *ctx, struct thread *thread, const struct bundle *bundle);
    /* The order was carried out here: so many legs have been asked to end, and so many were left because a
     * route needs them. Once for each thread_release_legs that returned true, unless the thread ends before. */
    void (*legs_released)(void *ctx, struct thread *thread, const struct thread_release *release,
                          unsigned ended, unsigned needed);
    /* It found that it had been stopped for so long (ns), at this time of its clock; until thread_go_on with
     * this time, MT wait. */
    void (*stopped)(void *ctx, struct thread *thread, uint64_t stopped_at, uint64_t gap);
    void (*ended)(void *ctx, struct thread *thread);
};

struct thread_setup {
    unsigned number;
    const struct bundle *bundle;
    struct metrics_worker *metrics;
    struct message_index *ids;
    struct shared *shared;
    struct mailbox *main; /* its owner is given to the events */
    const struct thread_events *events;
    void *ctx;
    uint16_t *ports; /* beside config->listeners: set where 0, so that all threads share a port chosen by the
                        system */
};

/* Opens the listeners and starts. NULL on a fault: error (cap octets) says what and where. */
struct thread *thread_start(const struct thread_setup *setup, char *error, size_t cap);

/* Letters to it. False without memory. They are opened in order. */
bool thread_set_table(struct thread *thread, const struct table *table);
bool thread_set_bundle(struct thread *thread, const struct bundle *bundle);

/* Ends legs that no route needs any more, unbinding each once nothing is in flight; legs_released follows. The
 * order is remembered, so that sessions that bind later do not begin such legs for what the table says of the
 * past; a route that leaves the link's platform after the order makes its legs linger anew. Main sends it to
 * every thread, since a client's sessions may be at any. */
bool thread_release_legs(struct thread *thread, const struct thread_release *release);

/* Has a function called in the thread, between two of its callbacks. True: it is, even where the thread is
 * about to end. */
bool thread_call(struct thread *thread, void (*function)(struct worker *w, void *arg), void *arg);

/* What waits for the fence may go: it has caught up with the stop that it told of (0: the lease holds again). */
bool thread_go_on(struct thread *thread, uint64_t stopped_at);

/* Drain and end: `ended` follows. hurry: at once. Nothing may be sent to it after `ended`. */
bool thread_end(struct thread *thread, bool hurry);

/* After `ended`: waits for the thread and frees it. */
void thread_join(struct thread *thread);

/* What its messages were counted in; until thread_join. Any thread may read it. */
const struct traffic *thread_traffic(const struct thread *thread);

/* When its loop turned last, by uv_hrtime. Any thread. */
uint64_t thread_turned(const struct thread *thread);

enum { OBSTACLE_TEXT = 128 };

/* What main knows of it: main's own memory, kept here. */
struct thread_view {
    uint64_t passed, applied;
    struct settled settled;
    const struct bundle *bundle;
    bool ended;
    char obstacle[OBSTACLE_TEXT]; /* "" for none */
};
struct thread_view *thread_view(struct thread *thread);

#endif
