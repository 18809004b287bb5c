/* See hooks.h. */
#include "proxy/hooks/hooks.h"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>

#include "proxy/hooks/feed.h"
#include "proxy/hooks/outbox.h"
#include "proxy/log.h"

enum {
    IDLE_MS = 250,  /* that Redis is asked to wait for an event: an end takes as long at most */
    BUSY_MS = 100,  /* between looks for more events while some are being told */
    AWAY_MS = 5000, /* with nothing to do at all; the main thread wakes it */
};

struct hooks {
    struct config *first; /* its redis section and its instance serve for ever */
    struct feed *feed;
    struct outbox *outbox;
    struct hook_counters counters;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    bool ending;         /* under the lock */
    struct config *next; /* under the lock; NULL: nothing newer */

    /* the thread's own */
    struct config *config;
    struct owners *owners;

    struct letter over;
    struct mailbox *box;
    void (*done)(void *ctx);
    void *ctx;
};

/* --- from the stream to the outbox ----------------------------------------------------------------------- */

/* Its window knows the zone that its times are told in. */
static void find_zone(struct hooks *hooks, struct hook_event *event)
{
    char *zone = event->zone[0] == '\0' ? feed_zone(hooks->feed, event->window) : NULL;
    if (zone != NULL) {
        free(event->zone);
        event->zone = zone;
    }
}

/* One that cannot be told of is done with; without memory it comes again. */
static void on_event(void *ctx, const char *id, const char *const *fields, size_t count,
                     const char *const *told, size_t told_count)
{
    struct hooks *hooks = ctx;
    const char *reason = "";
    struct hook_event *event = hook_event_new(id, fields, count, &reason);
    if (event == NULL) {
        log_event(EVENT_HOOK_SKIPPED, LOG_TEXT("id", id), LOG_TEXT("why", reason));
        metric_add(&hooks->counters.events_skipped, 1);
        feed_done(hooks->feed, id);
        return;
    }
    find_zone(hooks, event);
    if (!outbox_add(hooks->outbox, hooks->config, hooks->owners, event, told, told_count)) {
        log_event(EVENT_HOOK_SKIPPED, LOG_TEXT("id", id), LOG_TEXT("why", "no memory; it is taken up again"));
    }
}

static size_t list_ids(void *ctx, const char **ids, size_t cap)
{
    return outbox_ids(((struct hooks *)ctx)->outbox, ids, cap);
}

static bool has_id(void *ctx, const char *id)
{
    return outbox_has(((struct hooks *)ctx)->outbox, id);
}

static void on_told(void *ctx, const struct hook_event *event, const char *target)
{
    feed_told(((struct hooks *)ctx)->feed, event->id, target);
}

static void on_done(void *ctx, const struct hook_event *event)
{
    feed_done(((struct hooks *)ctx)->feed, event->id);
}

static const struct feed_events feed_events = {.event = on_event, .ids = list_ids, .has = has_id};
static const struct outbox_events outbox_events = {.told = on_told, .done = on_done};

/* --- the thread ------------------------------------------------------------------------------------------ */

/* Without memory the config before stays in use. */
static void take_config(struct hooks *hooks, struct config *config)
{
    struct owners *owners = config == NULL ? NULL : owners_new(config);
    if (owners == NULL) {
        config_free(config);
        return;
    }
    free(hooks->owners);
    config_free(hooks->config);
    hooks->config = config;
    hooks->owners = owners;
    feed_takeover(hooks->feed, config->hooks.takeover);
}

/* False when the end was asked for. */
static bool look_around(struct hooks *hooks)
{
    pthread_mutex_lock(&hooks->lock);
    bool ending = hooks->ending;
    struct config *next = hooks->next;
    hooks->next = NULL;
    pthread_mutex_unlock(&hooks->lock);
    take_config(hooks, next);
    return !ending;
}

static void turn(struct hooks *hooks)
{
    size_t count = outbox_count(hooks->outbox);
    bool wanted = hooks->config != NULL && config_has_hooks(hooks->config);
    size_t room = wanted ? OUTBOX_EVENTS_MAX - count : 0;
    if ((wanted || count > 0) && !feed_turn(hooks->feed, room, count == 0 ? IDLE_MS : 0)) {
        log_event(EVENT_HOOK_DROPPED, LOG_INT("events", count));
        outbox_drop(hooks->outbox);
    }
    count = outbox_count(hooks->outbox);
    bool waited = wanted && count == 0 && feed_waits(hooks->feed);
    outbox_turn(hooks->outbox, waited ? 0 : wanted || count > 0 ? BUSY_MS : AWAY_MS);
    atomic_store_explicit(&hooks->counters.events_pending, outbox_count(hooks->outbox), memory_order_relaxed);
}

static void on_over(void *owner, struct letter *letter)
{
    (void)owner;
    struct hooks *hooks = (struct hooks *)((char *)letter - offsetof(struct hooks, over));
    pthread_join(hooks->thread, NULL);
    hooks->started = false;
    hooks->done(hooks->ctx);
}

static void *run(void *arg)
{
    struct hooks *hooks = arg;
    while (look_around(hooks)) {
        turn(hooks);
    }
    feed_release(hooks->feed);
    outbox_drop(hooks->outbox);
    mailbox_post(hooks->box, &hooks->over);
    return NULL;
}

/* Signals are for the main thread. */
static bool start_thread(struct hooks *hooks)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    hooks->started = pthread_create(&hooks->thread, NULL, run, hooks) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return hooks->started;
}

/* --- from the main thread -------------------------------------------------------------------------------- */

void hooks_configure(struct hooks *hooks, const struct config *config)
{
    struct config *held = config_hold(config);
    pthread_mutex_lock(&hooks->lock);
    struct config *unused = hooks->next;
    hooks->next = held;
    pthread_mutex_unlock(&hooks->lock);
    config_free(unused);
    if (!hooks->started && config_has_hooks(config) && !start_thread(hooks)) {
        log_event(EVENT_HOOKS_BLIND, LOG_TEXT("why", "no thread can be started for it"));
    }
    outbox_wake(hooks->outbox);
}

void hooks_measure(struct hooks *hooks, struct metrics_process *process)
{
    struct hook_counters *c = &hooks->counters;
    process->hook_posts_delivered = metric_get(&c->posts_delivered);
    process->hook_posts_retried = metric_get(&c->posts_retried);
    process->hook_posts_failed = metric_get(&c->posts_failed);
    process->hook_mails_delivered = metric_get(&c->mails_delivered);
    process->hook_mails_retried = metric_get(&c->mails_retried);
    process->hook_mails_failed = metric_get(&c->mails_failed);
    process->hook_events_skipped = metric_get(&c->events_skipped);
    process->hook_events_pending = metric_get(&c->events_pending);
}

struct hooks *hooks_open(const struct config *config)
{
    struct hooks *hooks = calloc(1, sizeof *hooks);
    if (hooks == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(hooks);
        return NULL;
    }
    pthread_mutex_init(&hooks->lock, NULL);
    hooks->first = config_hold(config);
    hooks->over.open = on_over;
    hooks->feed = feed_new(hooks->first, &feed_events, hooks);
    hooks->outbox = outbox_new(&outbox_events, &hooks->counters, hooks);
    if (hooks->feed == NULL || hooks->outbox == NULL) {
        hooks_free(hooks);
        return NULL;
    }
    hooks_configure(hooks, config);
    return hooks;
}

void hooks_end(struct hooks *hooks, struct mailbox *box, void (*done)(void *ctx), void *ctx)
{
    if (hooks == NULL || !hooks->started) {
        done(ctx);
        return;
    }
    hooks->box = box;
    hooks->done = done;
    hooks->ctx = ctx;
    pthread_mutex_lock(&hooks->lock);
    hooks->ending = true;
    pthread_mutex_unlock(&hooks->lock);
    outbox_wake(hooks->outbox);
}

void hooks_free(struct hooks *hooks)
{
    if (hooks == NULL) {
        return;
    }
    outbox_free(hooks->outbox);
    feed_free(hooks->feed);
    config_free(hooks->next);
    config_free(hooks->config);
    config_free(hooks->first);
    free(hooks->owners);
    pthread_mutex_destroy(&hooks->lock);
    free(hooks);
    curl_global_cleanup();
}
