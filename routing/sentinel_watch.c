/* timer ──▶ connect ──ready──▶ ask ──answer──▶ events.master ──▶ timer: ask again
 *              └──lost───────────┴──no answer──▶ the next one ──▶ timer: connect, at once or after a pause
 *
 * One connection at a time; the timer runs wherever nothing is awaited. */
#include "routing/sentinel_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/redis_conn.h"
#include "routing/sentinel.h"

enum {
    ASK_MS =
        250, /* so that a failover is followed well within a second; it costs a sentinel next to nothing */
    REASON_MAX = 480,
};

struct sentinel_watch {
    struct sentinels sentinels;
    struct redis_target target; /* the current sentinel; its strings but for the host are copies */
    char *master;
    const struct sentinel_events *events;
    void *ctx;
    struct redis_conn *conn;
    uv_timer_t timer;
    bool asking, doubt;
    uint64_t pause_min_ms, pause_max_ms, pause_ms;
    unsigned open; /* parts that are not closed yet */
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static void on_timer(uv_timer_t *timer);

static void timer_in(struct sentinel_watch *watch, uint64_t ms)
{
    uv_timer_start(&watch->timer, on_timer, ms, 0);
}

/* Half of it fixed, half of it random, so that instances do not ask in step. */
static uint64_t pause_next(struct sentinel_watch *watch)
{
    uint64_t random = 0, pause = watch->pause_ms;
    uv_random(NULL, NULL, &random, sizeof(random), 0, NULL);
    watch->pause_ms = pause * 2 > watch->pause_max_ms ? watch->pause_max_ms : pause * 2;
    return pause / 2 + random % (pause / 2 + 1);
}

/* The current one did not help: on to another. */
static void pass(struct sentinel_watch *watch, const char *why)
{
    char reason[REASON_MAX], where[ADDRESS_TEXT_SIZE];
    snprintf(reason, sizeof(reason), "None of the %u sentinels names the master \"%s\"; the last one, %s: %s",
             watch->sentinels.count, watch->master,
             address_text(&sentinels_current(&watch->sentinels)->address, where), why);
    redis_conn_drop(watch->conn);
    watch->asking = watch->doubt = false;
    if (sentinels_failed(&watch->sentinels)) {
        timer_in(watch, 0);
        return;
    }
    timer_in(watch, pause_next(watch));
    watch->events->silent(watch->ctx, reason);
}

static void on_answer(void *ctx, const redisReply *reply)
{
    struct sentinel_watch *watch = ctx;
    struct address master;
    char reason[REASON_MAX / 2], sentence[REASON_MAX / 2 + 2];
    watch->asking = false;
    if (!sentinel_master(reply, &master, reason, sizeof(reason))) {
        snprintf(sentence, sizeof(sentence), "%s.", reason);
        pass(watch, sentence);
        return;
    }
    sentinels_answered(&watch->sentinels);
    watch->pause_ms = watch->pause_min_ms;
    timer_in(watch, ASK_MS);
    watch->events->master(watch->ctx, &master);
}

static void ask(struct sentinel_watch *watch)
{
    const char *const strings[] = {"SENTINEL", "GET-MASTER-ADDR-BY-NAME", watch->master};
    uv_timer_stop(&watch->timer);
    watch->asking = redis_conn_command(watch->conn, SENTINEL_MS, on_answer, 3, strings, NULL);
    if (!watch->asking)
        timer_in(watch, ASK_MS); /* no memory; perhaps then */
}

static void on_ready(void *ctx)
{
    ask(ctx);
}

static void on_lost(void *ctx, const char *reason)
{
    pass(ctx, reason);
}

static const struct redis_conn_events conn_events = {on_ready, on_lost};

static void on_timer(uv_timer_t *timer)
{
    struct sentinel_watch *watch = timer->data;
    if (redis_conn_ready(watch->conn) && !watch->doubt) {
        ask(watch);
        return;
    }
    redis_conn_drop(watch->conn);
    if (watch->doubt)
        sentinels_doubt(&watch->sentinels);
    watch->doubt = false;
    watch->target.host = sentinels_current(&watch->sentinels)->address.host;
    watch->target.port = sentinels_current(&watch->sentinels)->address.port;
    redis_conn_start(watch->conn);
}

void sentinel_watch_start(struct sentinel_watch *watch)
{
    timer_in(watch, 0);
}

/* Where it is not connected, it is about to ask anyway. */
void sentinel_watch_ask(struct sentinel_watch *watch, bool doubt)
{
    if (!redis_conn_ready(watch->conn) || watch->asking)
        return;
    watch->doubt = doubt && watch->sentinels.count > 1;
    timer_in(watch, 0);
}

/* --- life ----------------------------------------------------------------------------------------------- */

static bool copy_text(const char **to, const char *from)
{
    *to = from == NULL ? NULL : strdup(from);
    return from == NULL || *to != NULL;
}

static void watch_free(struct sentinel_watch *watch)
{
    free((char *)(uintptr_t)watch->target.username);
    free((char *)(uintptr_t)watch->target.password);
    free(watch->master);
    free(watch);
}

static bool options_copy(struct sentinel_watch *watch, const struct sentinel_options *options)
{
    const char *reason;
    for (size_t i = 0; i < options->count; i++)
        if (!sentinels_add(&watch->sentinels, options->sentinels[i], strlen(options->sentinels[i]), &reason))
            return false;
    watch->target.timeout_ms = SENTINEL_MS;
    watch->master = strdup(options->master);
    return watch->sentinels.count > 0 && watch->master != NULL &&
           copy_text(&watch->target.username, options->username) &&
           copy_text(&watch->target.password, options->password);
}

struct sentinel_watch *sentinel_watch_new(uv_loop_t *loop, const struct sentinel_options *options,
                                          uint64_t min_ms, uint64_t max_ms,
                                          const struct sentinel_events *events, void *ctx)
{
    struct sentinel_watch *watch = calloc(1, sizeof(*watch));
    if (watch == NULL)
        return NULL;
    watch->events = events;
    watch->ctx = ctx;
    watch->pause_ms = watch->pause_min_ms = min_ms;
    watch->pause_max_ms = max_ms;
    if (!options_copy(watch, options) ||
        (watch->conn = redis_conn_new(loop, &watch->target, &conn_events, watch)) == NULL) {
        watch_free(watch);
        return NULL;
    }
    uv_timer_init(loop, &watch->timer);
    watch->timer.data = watch;
    return watch;
}

static void part_closed(void *ctx)
{
    struct sentinel_watch *watch = ctx;
    if (--watch->open > 0)
        return;
    void (*closed)(void *ctx) = watch->closed;
    void *closed_ctx = watch->closed_ctx;
    watch_free(watch);
    closed(closed_ctx);
}

static void timer_closed(uv_handle_t *handle)
{
    part_closed(handle->data);
}

void sentinel_watch_close(struct sentinel_watch *watch, void (*closed)(void *ctx), void *ctx)
{
    watch->closed = closed;
    watch->closed_ctx = ctx;
    watch->open = 2;
    uv_close((uv_handle_t *)&watch->timer, timer_closed);
    redis_conn_close(watch->conn, part_closed);
}
