#include "proxy/lease.h"

#include <stddef.h>

enum { MARGIN = 10 }; /* a tenth of the length */

static uint64_t end_of(const struct lease *lease)
{
    return atomic_load_explicit(lease->setup.end, memory_order_relaxed);
}

static bool is_over(const struct lease *lease, uint64_t now)
{
    return lease->setup.strict && now >= end_of(lease);
}

static bool has_passed(const struct lease *lease, unsigned worker)
{
    return lease->setup.events->passed(lease->setup.ctx, worker) >= lease->version;
}

static bool all_have_passed(const struct lease *lease)
{
    for (unsigned i = 0; i < lease->setup.workers; i++) {
        if (!has_passed(lease, i)) {
            return false;
        }
    }
    return true;
}

/* Moves the end on, if that is due. */
static void renew(struct lease *lease)
{
    uint64_t length = lease->setup.length;
    uint64_t end = lease->sent + length - length / MARGIN;
    if (lease->sent != 0 && end > end_of(lease) && all_have_passed(lease)) {
        atomic_store_explicit(lease->setup.end, end, memory_order_relaxed);
    }
}

/* Those who were stopped and have caught up, or need not any longer. */
static void let_go_on(struct lease *lease, bool following, uint64_t now)
{
    for (unsigned i = 0; i < lease->setup.workers; i++) {
        uint64_t at = lease->stopped_at[i];
        bool caught_up = following && lease->sent > at && has_passed(lease, i);
        bool enough = !lease->setup.strict && now >= lease->stopped_until[i];
        if (at != 0 && (caught_up || enough)) {
            lease->stopped_at[i] = 0;
            lease->setup.events->go_on(lease->setup.ctx, i, at);
        }
    }
}

static const char *why_fenced(const struct lease *lease, uint64_t now)
{
    for (unsigned i = 0; i < lease->setup.workers; i++) {
        if (lease->stopped_at[i] != 0) {
            return "stopped";
        }
    }
    return is_over(lease, now) ? "lease_over" : NULL;
}

void lease_begin(struct lease *lease, const struct lease_setup *setup)
{
    *lease = (struct lease){.setup = *setup};
    atomic_store_explicit(setup->end, 0, memory_order_relaxed);
    lease->why = why_fenced(lease, 0);
}

void lease_look(struct lease *lease, uint64_t now)
{
    const struct lease_events *events = lease->setup.events;
    bool following = events->following(lease->setup.ctx);
    bool was_over = is_over(lease, now);
    if (following) {
        renew(lease);
    }
    let_go_on(lease, following, now);
    for (unsigned i = 0; i < lease->setup.workers && was_over && !is_over(lease, now); i++) {
        events->go_on(lease->setup.ctx, i, 0);
    }
    const char *why = why_fenced(lease, now);
    if (why != lease->why) {
        lease->why = why;
        events->fenced(lease->setup.ctx, why);
    }
}

void lease_acknowledged(struct lease *lease, uint64_t sent, uint64_t version, uint64_t now)
{
    lease->sent = sent;
    lease->version = version;
    lease_look(lease, now);
}

void lease_stopped(struct lease *lease, unsigned worker, uint64_t stopped_at, uint64_t now)
{
    lease->stopped_at[worker] = stopped_at;
    lease->stopped_until[worker] = now + lease->setup.timeout;
    lease_look(lease, now);
}

uint64_t lease_next(const struct lease *lease, uint64_t now)
{
    uint64_t end = end_of(lease);
    uint64_t next = lease->setup.strict && end > now ? end : UINT64_MAX;
    for (unsigned i = 0; i < lease->setup.workers && !lease->setup.strict; i++) {
        if (lease->stopped_at[i] != 0 && lease->stopped_until[i] < next) {
            next = lease->stopped_until[i];
        }
    }
    return next;
}

const char *lease_fenced(const struct lease *lease)
{
    return lease->why;
}
