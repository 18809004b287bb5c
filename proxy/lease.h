/* This instance's lease as the main thread keeps it: until when others wait for it with a flip, and who of the
 * workers has to catch up before it routes on. Knows times, versions and numbers of workers; no loop, no Redis.
 *
 *   beat acknowledged by Redis (when it was sent, the version it said) ─┐
 *   a worker has passed a table; the store's state has changed ─────────┼─▶ lease_look ─▶ end of the lease moved,
 *   a worker was stopped and asks to catch up ──────────────────────────┤               events->go_on, ->fenced
 *   time ───────────────────────────────────────────────────────────────┘
 *
 * The lease counts from when the beat was sent, and ends a tenth before its length: the entry in Redis, which
 * counts from when the beat arrived, always lives longer, by what a turn of a worker's loop and two clocks that
 * do not run alike may take. It moves on only when every worker has passed the version that Redis said: who has
 * reached Redis but not caught up is still fenced.
 *
 * A worker that was stopped goes on when a beat that was sent after that has been acknowledged, and the worker
 * has passed its version; where on-loss = serve, also when that has not come about in time. */
#ifndef PROXY_LEASE_H
#define PROXY_LEASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "proxy/shared.h"

struct lease_events {
    /* The store is up to date with a Redis that it follows. */
    bool (*following)(void *ctx);
    /* The version of the table that a worker routes by. */
    uint64_t (*passed)(void *ctx, unsigned worker);
    /* A worker's stop is over (stopped_at as it told), or the lease holds again (0): it looks at what waits. */
    void (*go_on)(void *ctx, unsigned worker, uint64_t stopped_at);
    /* MT wait from now on, and why; or why NULL, no longer. */
    void (*fenced)(void *ctx, const char *why);
};

struct lease_setup {
    uint64_t length;  /* ns */
    uint64_t timeout; /* ns: how long a stopped worker waits for Redis where on-loss = serve */
    bool strict;      /* on-loss = fence */
    unsigned workers;
    _Atomic uint64_t *end; /* where the workers read it; 0 until the first beat */
    const struct lease_events *events;
    void *ctx;
};

struct lease {
    struct lease_setup setup;
    uint64_t sent, version; /* of the newest beat acknowledged */
    uint64_t stopped_at[SHARED_WORKERS_MAX], stopped_until[SHARED_WORKERS_MAX];
    const char *why; /* as told last, NULL: not fenced */
};

void lease_begin(struct lease *lease, const struct lease_setup *setup);

/* Times are ns of the workers' clock (uv_hrtime). Each is followed by a look. */
void lease_acknowledged(struct lease *lease, uint64_t sent, uint64_t version, uint64_t now);
void lease_stopped(struct lease *lease, unsigned worker, uint64_t stopped_at, uint64_t now);

/* To be called when anything may have changed, and at lease_next at the latest. */
void lease_look(struct lease *lease, uint64_t now);

/* When it should be looked at next; UINT64_MAX for when something happens. */
uint64_t lease_next(const struct lease *lease, uint64_t now);

/* Why MT wait, NULL: they do not. Static text. */
const char *lease_fenced(const struct lease *lease);

#endif
