/* May this worker route by its table, or might others believe that this instance is dead?
 *
 *   worker_wake ──too long since the last──▶ fence_woke ─▶ was it stopped while its lease ran out? ─▶ stopped()
 *   request of a client ─▶ way_find ──fence_holds──▶ it waits as if its route were on hold
 *   main: Redis was asked, and the table has caught up ──fence_caught_up──▶ it goes on
 *
 * A flip waits for every instance whose entry in Redis lives, which is for the length of its lease after the
 * last beat. So two things must not happen: that an instance that was stopped for longer (a signal, a paused
 * machine, a starved processor) wakes up with messages in its sockets and sends them by the table of then; and,
 * where on-loss = fence, that one that cannot reach Redis goes on routing when its lease has run out. The end
 * of the lease is shared->lease_end, which main moves with every beat that Redis has acknowledged; it lies
 * before the end of the entry in Redis (see lease.h).
 *
 * The worker wakes a few times in a lease at least, by a timer, so that idleness is no gap. What it cannot see
 * is a stop between this look and the system call that sends: microseconds, in which a message may go the old
 * way. Nor can anybody take back what was handed to the kernel before. */
#ifndef PROXY_FENCE_H
#define PROXY_FENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/path.h"

struct worker;

struct fence {
    uint64_t gap;        /* ns between two wakes that are worth a look; UINT64_MAX: nothing is watched */
    uint64_t lease;      /* ns */
    uint64_t stopped_at; /* when a stop was noticed after which it still catches up, by its clock; 0: none */
    bool strict;         /* on-loss = fence */
    bool guarded;        /* strict, or catching up: messages are looked at by fence_holds */
    /* A stop was noticed: what has not left is to be taken back, and main asked to catch up. */
    void (*stopped)(struct worker *w, uint64_t gap);
};

/* Begins to watch a worker; without it nothing is. lease in ns. stopped is called from within worker_wake. */
void fence_begin(struct worker *w, uint64_t lease, bool strict,
                 void (*stopped)(struct worker *w, uint64_t gap));

/* ns: to be woken at least so often. */
uint64_t fence_tick(const struct worker *w);

/* For worker_wake: w->now has moved, from before, by more than w->fence.gap. */
void fence_woke(struct worker *w, uint64_t before);

/* Must MT wait? Asked for each where w->fence.guarded. */
SELDOM bool fence_holds(const struct worker *w);

/* strict, and the lease has run out. */
bool fence_lease_is_over(const struct worker *w);

/* Redis was asked after this stop (its stopped_at), and the table is as new as it said; or, where on-loss =
 * serve, it was not to be reached. False where another stop came meanwhile, or none is waited for. */
bool fence_caught_up(struct worker *w, uint64_t stopped_at);

#endif
