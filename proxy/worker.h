/* What one worker thread owns: its sessions and what they draw on. Plain data at the bottom of the proxy;
 * connections, clients, legs and forwarding stand on it, and thread.c turns it with a loop (a simulation
 * would turn it with a clock of its own).
 *
 * Workers share nothing but the immutable table and config (each worker has its own pointer to them, changed
 * only between callbacks), the message id index, and what shared.h holds.
 */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/auth.h"
#include "proxy/backoff.h"
#include "proxy/bundle.h"
#include "proxy/chunk.h"
#include "proxy/config.h"
#include "proxy/fence.h"
#include "proxy/hold.h"
#include "proxy/message_index.h"
#include "proxy/metrics.h"
#include "proxy/registry.h"
#include "proxy/released.h"
#include "proxy/shared.h"
#include "proxy/strangers.h"
#include "proxy/stream.h"
#include "proxy/timers.h"
#include "proxy/traffic.h"
#include "routing/table.h"

struct client;
struct conn;
struct probe;

struct worker {
    unsigned number;
    uint64_t (*clock)(void); /* monotonic, ns */
    uint64_t now;            /* what it said when the present callback began */
    uint64_t now_s;          /* seconds since 1970 */
    const struct bundle *bundle;
    const struct config *config; /* bundle->config */
    const struct table *table;   /* NULL until the first is published */
    uint64_t version;            /* of the table; 0 without */
    struct timers timers;
    struct chunk_pool chunks;
    struct stream_env env;
    uint8_t *receive; /* where every connection's bytes arrive */
    size_t receive_size;
    struct strangers strangers; /* what is left of this turn for those who have not bound */
    struct conn *dirty;         /* connections with output of this turn */
    struct conn *resumed;       /* connections whose kept bytes are to be looked at again */
    struct registry clients, legs;
    struct probe *probes; /* sessions that try a link */
    unsigned probes_count;
    struct client **receivers; /* by client index: the first of its sessions that receive MO here */
    unsigned receivers_count;
    struct fence fence;
    struct hold_pool held;
    struct traffic traffic; /* made with the first config */
    struct backoffs backoffs;
    struct released released;
    struct metrics_worker *metrics;
    struct auth *auth;
    struct message_index *ids;
    struct message_index_writer ids_put; /* where this worker writes in it */
    struct shared *shared;
    uint64_t linger_end; /* seconds since 1970: when the next leg of a platform left may go */
    bool draining;       /* the process is ending: nothing new is taken */
    uint64_t random;     /* state of worker_random */
    /* Connects an upstream stream; a simulation puts its own here. */
    struct stream *(*connect)(struct stream_env *env, const struct stream_target *target,
                              const struct stream_events *events, void *owner);
};

/* Sets up all but config, table and auth. False without memory. */
bool worker_init(struct worker *w, unsigned number, uv_loop_t *loop, uint64_t (*clock)(void),
                 struct metrics_worker *metrics, struct message_index *ids, struct shared *shared);
void worker_clear(struct worker *w);

/* Takes a config into use: limits of buffers follow it. False without memory (the old one stays). */
bool worker_set_bundle(struct worker *w, const struct bundle *bundle);
void worker_set_table(struct worker *w, const struct table *table);

/* A callback from outside begins: what is done in it happens at one time. */
static inline void worker_wake(struct worker *w)
{
    uint64_t before = w->now;
    w->now = w->clock();
    if (w->now - before > w->fence.gap) {
        fence_woke(w, before);
    }
}

/* A pseudo-random number below n (n > 0), for jitter; not for secrets. */
uint64_t worker_random(struct worker *w, uint64_t n);

#endif
