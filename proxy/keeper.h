/* The lease of this instance with a clock, its workers and the store: what main does about the fence.
 *
 *   store: beat acknowledged, state ──▶ keeper ─▶ lease ─▶ thread_go_on to the workers
 *   worker: table passed, stopped ────▶   │              log, instance's entry (store_refresh)
 *   uv_timer ─────────────────────────▶   │
 *
 * See lease.h for the rules and fence.h for the workers' side. Main thread. */
#ifndef PROXY_KEEPER_H
#define PROXY_KEEPER_H

#include <uv.h>

#include "proxy/lease.h"
#include "proxy/thread.h"
#include "routing/store.h"

struct keeper {
    struct lease lease;
    uv_timer_t timer;
    struct thread *const *threads;
    bool ended;
    struct store *const *store; /* NULL in it until it is opened */
};

/* After the threads have started and before the store is opened. What is pointed to lives as long as the keeper;
 * the timer is closed with the loop's other handles. */
void keeper_begin(struct keeper *keeper, uv_loop_t *loop, const struct lease_setup *setup,
                  struct thread *const *threads, struct store *const *store);

/* The store is about to be closed: nothing is looked at any more. */
void keeper_end(struct keeper *keeper);

/* store_events.beat_acknowledged, and thread_events.stopped. */
void keeper_acknowledged(struct keeper *keeper, uint64_t sent_ns, uint64_t version);
void keeper_stopped(struct keeper *keeper, const struct thread *thread, uint64_t stopped_at, uint64_t gap);

/* A worker has passed a table, or the store's state has changed. */
void keeper_look(struct keeper *keeper);

/* Why MT wait: "lease_over", "stopped"; "" where they do not. */
const char *keeper_fenced(const struct keeper *keeper);

#endif
