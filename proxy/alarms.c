/* See alarms.h. */
#include "proxy/alarms.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "proxy/log.h"

/* An answer that has not come in this time was lost with its connection. */
enum { PATIENCE_MS = 30000 };

static const char *text_of(const json_t *alarm, const char *name)
{
    const char *text = json_string_value(json_object_get(alarm, name));
    return text == NULL ? "" : text;
}

/* Logs it where it is a window's, and new; gives when it was raised. */
static uint64_t tell(const redisReply *element, uint64_t since_ms)
{
    json_t *alarm =
        element->type == REDIS_REPLY_STRING ? json_loadb(element->str, element->len, 0, NULL) : NULL;
    json_int_t at_ms = json_integer_value(json_object_get(alarm, "at_ms"));
    uint64_t raised_ms = at_ms > 0 ? (uint64_t)at_ms : 0;
    if (json_object_get(alarm, "verdict") == NULL && raised_ms > since_ms) {
        log_event(EVENT_WINDOW_ALARM, LOG_TEXT("alarm", text_of(alarm, "id")),
                  LOG_TEXT("window", text_of(alarm, "window")), LOG_TEXT("why", text_of(alarm, "what")));
    }
    json_decref(alarm);
    return raised_ms;
}

/* When the process started by Redis' clock, at least 1: the two need not agree, but run alike. */
static uint64_t born_by_redis(const struct alarms *alarms, uint64_t asked_ms, uint64_t redis_ms)
{
    uint64_t age_ms = asked_ms > alarms->born_ms ? asked_ms - alarms->born_ms : 0;
    return redis_ms > age_ms + 1 ? redis_ms - age_ms : 1;
}

/* The time, then the alarms, the newest first. */
static void on_alarms(void *ctx, const redisReply *reply)
{
    struct alarms *alarms = ctx;
    uint64_t asked_ms = alarms->asked_ms;
    alarms->asked_ms = 0;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0 ||
        reply->element[0]->type != REDIS_REPLY_INTEGER || reply->element[0]->integer < 0) {
        return;
    }
    if (alarms->since_ms == 0) {
        alarms->since_ms = born_by_redis(alarms, asked_ms, (uint64_t)reply->element[0]->integer);
    }
    uint64_t told_ms = alarms->since_ms;
    for (size_t i = reply->elements; i > 1; i--) {
        uint64_t raised_ms = tell(reply->element[i - 1], alarms->since_ms);
        told_ms = raised_ms > told_ms ? raised_ms : told_ms;
    }
    alarms->since_ms = told_ms;
}

void alarms_look(struct alarms *alarms, watchman_call *call, void *ctx, uint64_t clock_ms)
{
    char since[24];
    const char *const args[] = {since};
    if (clock_ms < alarms->asked_ms) {
        alarms->asked_ms = clock_ms; /* the clock was set back */
    }
    if (alarms->asked_ms != 0 && clock_ms - alarms->asked_ms < PATIENCE_MS) {
        return;
    }
    snprintf(since, sizeof since, "%" PRIu64, alarms->since_ms);
    alarms->asked_ms = call(ctx, "turnout_alarms", 1, args, on_alarms, alarms) ? clock_ms : 0;
}
