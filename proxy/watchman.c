#include "proxy/watchman.h"

#include <hiredis/hiredis.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/log.h"
#include "routing/rail.h"

/* A round that Redis has not answered in this time is given up, though the connection stands. */
enum { PATIENCE_MS = 30000, WHAT_MAX = 256 };

struct watchman {
    char *instance;
    watchman_call *call;
    void *ctx;
    uint64_t began_ms; /* of the round under way, 0: none */
    size_t count;
    struct rail *rails;
};

static void drop_rails(struct watchman *watchman)
{
    for (size_t i = 0; i < watchman->count; i++) {
        rail_clear(&watchman->rails[i]);
    }
    free(watchman->rails);
    watchman->rails = NULL;
    watchman->count = 0;
}

static void end_round(struct watchman *watchman)
{
    drop_rails(watchman);
    watchman->began_ms = 0;
}

/* Element 0 of the replies: Redis' clock. */
static uint64_t time_of(const redisReply *reply)
{
    bool fine = reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
                reply->element[0]->type == REDIS_REPLY_INTEGER && reply->element[0]->integer > 0;
    return fine ? (uint64_t)reply->element[0]->integer : 0;
}

/* --- a verdict ------------------------------------------------------------------------------------------ */

static void on_alarm(void *ctx, const redisReply *reply)
{
    (void)ctx;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2 ||
        reply->element[1]->type != REDIS_REPLY_STRING) {
        return; /* somebody was first, or the guard is gone */
    }
    if (strcmp(reply->element[0]->str, "ok") == 0) {
        log_event(EVENT_GUARD_ENDED, LOG_TEXT("outcome", reply->element[1]->str),
                  LOG_INT("rollback_version", reply->elements > 2 ? reply->element[2]->integer : 0));
    }
}

static void tell(struct watchman *watchman, const struct rail *rail, enum rail_verdict verdict,
                 const char *what)
{
    json_t *request = json_pack("{ssssssss}", "guard", rail->id, "verdict", rail_verdict_name(verdict),
                                "what", what, "instance", watchman->instance);
    char *text = request == NULL ? NULL : json_dumps(request, JSON_COMPACT);
    const char *args[] = {text};
    if (text != NULL && watchman->call(watchman->ctx, "turnout_alarm", 1, args, on_alarm, watchman) &&
        verdict == RAIL_BAD) {
        log_event(EVENT_GUARD_TRIPS, LOG_INT("version", rail->version), LOG_TEXT("why", what),
                  LOG_TEXT("action", rail->roll_back ? "rollback" : "alert"));
    }
    free(text);
    json_decref(request);
}

static void judge(struct watchman *watchman, const struct evidence_set *set, uint64_t now_ms)
{
    char what[WHAT_MAX];
    for (size_t i = 0; i < watchman->count; i++) {
        const struct rail *rail = &watchman->rails[i];
        enum rail_verdict verdict = rail_judge(rail, set, now_ms, what, sizeof what);
        if (verdict == RAIL_BAD || verdict == RAIL_VOID || now_ms >= rail->until_ms) {
            tell(watchman, rail, verdict, what);
        }
    }
}

/* --- a round -------------------------------------------------------------------------------------------- */

static void on_evidence(void *ctx, const redisReply *reply)
{
    struct watchman *watchman = ctx;
    struct evidence_set set = {.count = 0};
    uint64_t now_ms = time_of(reply);
    for (size_t i = 1; now_ms != 0 && i < reply->elements; i++) {
        if (reply->element[i]->type == REDIS_REPLY_STRING) {
            (void)evidence_set_add(&set, reply->element[i]->str, reply->element[i]->len);
        }
    }
    if (now_ms != 0) {
        evidence_set_sort(&set);
        judge(watchman, &set, now_ms);
    }
    evidence_set_free(&set);
    end_round(watchman);
}

/* The shortcodes of all guards, each once; none where they are too many for one call: then all is read. */
static size_t shortcodes_of(const struct watchman *watchman, const char *shortcodes[STORE_ARGS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < watchman->count; i++) {
        for (size_t j = 0; j < watchman->rails[i].cells_count; j++) {
            const char *shortcode = watchman->rails[i].cells[j].shortcode;
            size_t at = 0;
            while (at < count && strcmp(shortcodes[at], shortcode) != 0) {
                at++;
            }
            if (at == STORE_ARGS_MAX) {
                return 0;
            }
            shortcodes[at] = shortcode;
            count = at == count ? count + 1 : count;
        }
    }
    return count;
}

static void on_guards(void *ctx, const redisReply *reply)
{
    struct watchman *watchman = ctx;
    const char *shortcodes[STORE_ARGS_MAX];
    drop_rails(watchman); /* there are some where a round that was given up is answered after all */
    watchman->rails = time_of(reply) == 0 ? NULL : calloc(reply->elements, sizeof *watchman->rails);
    if (watchman->rails == NULL) {
        end_round(watchman);
        return;
    }
    for (size_t i = 1; i < reply->elements; i++) {
        const redisReply *text = reply->element[i];
        watchman->count += text->type == REDIS_REPLY_STRING &&
                           rail_parse(text->str, text->len, &watchman->rails[watchman->count]);
    }
    if (watchman->count == 0 ||
        !watchman->call(watchman->ctx, "turnout_evidence_read", shortcodes_of(watchman, shortcodes),
                        shortcodes, on_evidence, watchman)) {
        end_round(watchman);
    }
}

void watchman_look(struct watchman *watchman, uint64_t guards, uint64_t clock_ms)
{
    static const char *const only[] = {"watching"};
    if (clock_ms < watchman->began_ms) {
        watchman->began_ms = clock_ms; /* the clock was set back */
    }
    if (watchman->began_ms != 0 && clock_ms - watchman->began_ms < PATIENCE_MS) {
        return;
    }
    end_round(watchman);
    if (guards > 0 && watchman->call(watchman->ctx, "turnout_guards", 1, only, on_guards, watchman)) {
        watchman->began_ms = clock_ms;
    }
}

void watchman_again(struct watchman *watchman)
{
    if (watchman != NULL) {
        end_round(watchman);
    }
}

struct watchman *watchman_new(const char *instance, watchman_call *call, void *ctx)
{
    struct watchman *watchman = malloc(sizeof *watchman);
    char *name = strdup(instance);
    if (watchman == NULL || name == NULL) {
        free(watchman);
        free(name);
        return NULL;
    }
    *watchman = (struct watchman){.instance = name, .call = call, .ctx = ctx};
    return watchman;
}

void watchman_free(struct watchman *watchman)
{
    if (watchman != NULL) {
        end_round(watchman);
        free(watchman->instance);
        free(watchman);
    }
}
