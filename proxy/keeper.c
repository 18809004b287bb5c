#include "proxy/keeper.h"

#include "proxy/log.h"

#define MS 1000000ULL

static void on_timer(uv_timer_t *timer)
{
    keeper_look(timer->data);
}

static void set_timer(struct keeper *keeper)
{
    uint64_t now = uv_hrtime();
    uint64_t next = lease_next(&keeper->lease, now);
    if (next == UINT64_MAX) {
        uv_timer_stop(&keeper->timer);
    } else {
        uv_timer_start(&keeper->timer, on_timer, next <= now ? 1 : (next - now) / MS + 1, 0);
    }
}

static bool following(void *ctx)
{
    const struct keeper *keeper = ctx;
    return *keeper->store != NULL && store_state(*keeper->store) == STORE_FOLLOWING;
}

static uint64_t passed(void *ctx, unsigned worker)
{
    const struct keeper *keeper = ctx;
    return thread_view(keeper->threads[worker])->passed;
}

static void go_on(void *ctx, unsigned worker, uint64_t stopped_at)
{
    const struct keeper *keeper = ctx;
    if (!thread_view(keeper->threads[worker])->ended) {
        (void)thread_go_on(keeper->threads[worker], stopped_at);
    }
}

/* The instance's entry tells it, too. */
static void refresh(const struct keeper *keeper)
{
    if (*keeper->store != NULL) {
        store_refresh(*keeper->store);
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

void keeper_begin(struct keeper *keeper, uv_loop_t *loop, const struct lease_setup *setup,
                  struct thread *const *threads, struct store *const *store)
{
    struct lease_setup whole = *setup;
    whole.events = &lease_events;
    whole.ctx = keeper;
    keeper->threads = threads;
    keeper->store = store;
    uv_timer_init(loop, &keeper->timer);
    keeper->timer.data = keeper;
    lease_begin(&keeper->lease, &whole);
}

void keeper_end(struct keeper *keeper)
{
    keeper->ended = true;
    uv_timer_stop(&keeper->timer);
}

void keeper_look(struct keeper *keeper)
{
    if (keeper->ended) {
        return;
    }
    lease_look(&keeper->lease, uv_hrtime());
    set_timer(keeper);
}

void keeper_acknowledged(struct keeper *keeper, uint64_t sent_ns, uint64_t version)
{
    lease_acknowledged(&keeper->lease, sent_ns, version, uv_hrtime());
    set_timer(keeper);
}

void keeper_stopped(struct keeper *keeper, const struct thread *thread, uint64_t stopped_at, uint64_t gap)
{
    log_event(EVENT_STOP_NOTICED, LOG_INT("gap_ms", gap / MS));
    for (unsigned i = 0; i < keeper->lease.setup.workers; i++) {
        if (keeper->threads[i] == thread) {
            lease_stopped(&keeper->lease, i, stopped_at, uv_hrtime());
        }
    }
    refresh(keeper); /* a beat is the question */
    set_timer(keeper);
}

const char *keeper_fenced(const struct keeper *keeper)
{
    const char *why = lease_fenced(&keeper->lease);
    return why == NULL ? "" : why;
}
