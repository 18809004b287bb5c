#include "proxy/fence.h"

#include "proxy/worker.h"

/* Two beats fit into a lease (the config is checked for that), so that one that lives has more than half a
 * lease left nearly always; it wakes twice in the time that is a gap. */
enum { GAPS_A_LEASE = 2, TICKS_A_LEASE = 4 };

static uint64_t lease_end(const struct worker *w)
{
    return atomic_load_explicit(&w->shared->lease_end, memory_order_relaxed);
}

void fence_begin(struct worker *w, uint64_t lease, bool strict,
                 void (*stopped)(struct worker *w, uint64_t gap))
{
    w->fence = (struct fence){
        .gap = lease / GAPS_A_LEASE, .lease = lease, .strict = strict, .guarded = strict, .stopped = stopped};
}

uint64_t fence_tick(const struct worker *w)
{
    return w->fence.lease / TICKS_A_LEASE;
}

void fence_woke(struct worker *w, uint64_t before)
{
    uint64_t gap = w->now - before;
    uint64_t end = lease_end(w);
    bool ran_out = before < end && w->now >= end;
    if (!ran_out && gap <= w->fence.lease) {
        return; /* slow, but nobody took it for dead */
    }
    w->fence.stopped_at = w->now;
    w->fence.guarded = true;
    metric_add(&w->metrics->stops, 1);
    w->fence.stopped(w, gap);
}

bool fence_lease_is_over(const struct worker *w)
{
    return w->fence.strict && w->now >= lease_end(w);
}

bool fence_holds(const struct worker *w)
{
    return w->fence.stopped_at != 0 || fence_lease_is_over(w);
}

bool fence_caught_up(struct worker *w, uint64_t stopped_at)
{
    if (w->fence.stopped_at == 0 || w->fence.stopped_at != stopped_at) {
        return false;
    }
    w->fence.stopped_at = 0;
    w->fence.guarded = w->fence.strict;
    return true;
}
