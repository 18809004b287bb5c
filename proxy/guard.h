/* The lease of this instance with a clock, its workers and the store: what main does about the fence.
 *
 *   store: beat acknowledged, state ──▶ guard ─▶ lease ─▶ thread_go_on to the workers
 *   worker: table passed, stopped ────▶   │              log, instance's entry (store_refresh)
 *   uv_timer ─────────────────────────▶   │
 *
 * See lease.h for the rules and fence.h for the workers' side. Main thread. */
#ifndef PROXY_GUARD_H
#define PROXY_GUARD_H

#include <uv.h>

#include "proxy/lease.h"
#include "proxy/thread.h"
#include "routing/store.h"

struct guard {
    struct lease lease;
    uv_timer_t timer;
    struct thread *const *threads;
    bool ended;
    struct store *const *store; /* NULL in it until it is opened */
};

/* After the threads have started and before the store is opened. What is pointed to lives as long as the guard;
 * the timer is closed with the loop's other handles. */
void guard_begin(struct guard *guard, uv_loop_t *loop, const struct lease_setup *setup,
                 struct thread *const *threads, struct store *const *store);

/* The store is about to be closed: nothing is looked at any more. */
void guard_end(struct guard *guard);

/* store_events.beat_acknowledged, and thread_events.stopped. */
void guard_acknowledged(struct guard *guard, uint64_t sent_ns, uint64_t version);
void guard_stopped(struct guard *guard, const struct thread *thread, uint64_t stopped_at, uint64_t gap);

/* A worker has passed a table, or the store's state has changed. */
void guard_look(struct guard *guard);

/* Why MT wait: "lease_over", "stopped"; "" where they do not. */
const char *guard_fenced(const struct guard *guard);

#endif
