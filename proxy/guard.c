#include "proxy/guard.h"

#include "proxy/log.h"

#define MS 1000000ULL

static void on_timer(uv_timer_t *timer)
{
    guard_look(timer->data);
}

static void set_timer(struct guard *guard)
{
    uint64_t now = uv_hrtime();
    uint64_t next = lease_next(&guard->lease, now);
    if (next == UINT64_MAX) {
        uv_timer_stop(&guard->timer);
    } else {
        uv_timer_start(&guard->timer, on_timer, next <= now ? 1 : (next - now) / MS + 1, 0);
    }
}

static bool following(void *ctx)
{
    const struct guard *guard = ctx;
    return *guard->store != NULL && store_state(*guard->store) == STORE_FOLLOWING;
}

static uint64_t passed(void *ctx, unsigned worker)
{
    const struct guard *guard = ctx;
    return thread_view(guard->threads[worker])->passed;
}

static void go_on(void *ctx, unsigned worker, uint64_t stopped_at)
{
    const struct guard *guard = ctx;
    if (!thread_view(guard->threads[worker])->ended) {
        (void)thread_go_on(guard->threads[worker], stopped_at);
    }
}

/* The instance's entry tells it, too. */
static void refresh(const struct guard *guard)
{
    if (*guard->store != NULL) {
        store_refresh(*guard->store);
    }
}

static void fenced(void *ctx, const char *why)
{
    if (why != NULL) {
        log_event(EVENT_FENCED, LOG_TEXT("why", why));
    } else {
        log_event(EVENT_FENCE_LIFTED);
    }
    refresh(ctx);
}

static const struct lease_events lease_events = {
    .following = following, .passed = passed, .go_on = go_on, .fenced = fenced};

void guard_begin(struct guard *guard, uv_loop_t *loop, const struct lease_setup *setup,
                 struct thread *const *threads, struct store *const *store)
{
    struct lease_setup whole = *setup;
    whole.events = &lease_events;
    whole.ctx = guard;
    guard->threads = threads;
    guard->store = store;
    uv_timer_init(loop, &guard->timer);
    guard->timer.data = guard;
    lease_begin(&guard->lease, &whole);
}

void guard_end(struct guard *guard)
{
    guard->ended = true;
    uv_timer_stop(&guard->timer);
}

void guard_look(struct guard *guard)
{
    if (guard->ended) {
        return;
    }
    lease_look(&guard->lease, uv_hrtime());
    set_timer(guard);
}

void guard_acknowledged(struct guard *guard, uint64_t sent_ns, uint64_t version)
{
    lease_acknowledged(&guard->lease, sent_ns, version, uv_hrtime());
    set_timer(guard);
}

void guard_stopped(struct guard *guard, const struct thread *thread, uint64_t stopped_at, uint64_t gap)
{
    log_event(EVENT_STOP_NOTICED, LOG_INT("gap_ms", gap / MS));
    for (unsigned i = 0; i < guard->lease.setup.workers; i++) {
        if (guard->threads[i] == thread) {
            lease_stopped(&guard->lease, i, stopped_at, uv_hrtime());
        }
    }
    refresh(guard); /* a beat is the question */
    set_timer(guard);
}

const char *guard_fenced(const struct guard *guard)
{
    const char *why = lease_fenced(&guard->lease);
    return why == NULL ? "" : why;
}
