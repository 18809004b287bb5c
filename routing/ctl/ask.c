/* See ask.h. */
#include "routing/ctl/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/output.h"

/* An instance's main thread answers within milliseconds, so one that has said nothing for so long does not
 * run, or is cut off. The pauses between two looks at the clock are Redis' own waiting. */
enum { FIRST_WORD_MS = 1000, PROMPT_MS = 50, SLICE_MS = 250, LIMIT_MAX_MS = 600000 };

static int by_instance(const void *left_item, const void *right_item)
{
    const struct ask_item *left = left_item;
    const struct ask_item *right = right_item;
    return strcmp(left->instance, right->instance);
}

bool ask_begin(struct ask *ask, const redisReply *reply)
{
    *ask = (struct ask){0};
    if (reply->elements == 0 || strlen(redis_text(reply, 0)) >= sizeof ask->id) {
        return false;
    }
    text_copy(ask->id, sizeof ask->id, redis_text(reply, 0));
    ask->items = need(calloc(reply->elements, sizeof *ask->items));
    for (size_t i = 1; i < reply->elements; i++) {
        ask->items[ask->count++].instance = need(strdup(redis_text(reply, i)));
    }
    qsort(ask->items, ask->count, sizeof *ask->items, by_instance);
    return true;
}

static struct ask_item *item_of(const struct ask *ask, const char *name, size_t len)
{
    for (size_t i = 0; i < ask->count; i++) {
        struct ask_item *item = &ask->items[i];
        if (strlen(item->instance) == len && memcmp(item->instance, name, len) == 0) {
            return item;
        }
    }
    return NULL;
}

bool ask_take(struct ask *ask, const char *element)
{
    const char *end = strchr(element, '\n');
    struct ask_item *item = end ? item_of(ask, element, (size_t)(end - element)) : NULL;
    if (!item || item->answer) {
        return false;
    }
    json_t *answer = json_loads(end + 1, 0, NULL);
    if (!json_is_object(answer)) {
        json_decref(answer);
        return false;
    }
    if (json_is_true(json_object_get(answer, "working"))) {
        json_decref(answer);
        item->working = true;
    } else {
        item->answer = answer;
    }
    return true;
}

static bool has_word(const char *text, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += len) {
        if ((at == text || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0')) {
            return true;
        }
    }
    return false;
}

void ask_skip(struct ask *ask, const struct instance_list *list, const char *kind)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct instance *instance = &list->items[i];
        struct ask_item *item = item_of(ask, instance->id, strlen(instance->id));
        if (item && !item->answer && !has_word(instance_field(instance, "answers"), kind)) {
            item->answer = need(json_object());
            json_put(item->answer, "error", json_text("its program cannot be asked this"));
        }
    }
}

bool ask_waits(const struct ask *ask, bool silent)
{
    for (size_t i = 0; i < ask->count; i++) {
        if (!ask->items[i].answer && (ask->items[i].working || !silent)) {
            return true;
        }
    }
    return false;
}

json_t *ask_without(const struct ctl *ctl)
{
    const struct option_list *without = &ctl->options.without;
    json_t *names = need(json_array());
    for (unsigned i = 0; i < without->count; i++) {
        json_array_append_new(names, json_text(without->items[i]));
    }
    return names;
}

/* Those that the request names in "without" were not asked. */
static void leave_out(struct ask *ask, const json_t *without)
{
    size_t kept = 0;
    for (size_t i = 0; i < ask->count; i++) {
        size_t at;
        json_t *id;
        bool out = false;
        json_array_foreach(without, at, id)
        {
            out = out || strcmp(json_string_value(id), ask->items[i].instance) == 0;
        }
        if (out) {
            free(ask->items[i].instance);
        } else {
            ask->items[kept++] = ask->items[i];
        }
    }
    ask->count = kept;
}

static bool send_question(struct ctl *ctl, const json_t *request, unsigned limit_ms, struct ask *ask)
{
    char lasts[16];
    char *text = need(json_dumps(request, JSON_COMPACT));
    snprintf(lasts, sizeof lasts, "%u", limit_ms);
    const char *const args[] = {text, ctl_who(ctl), lasts};
    redisReply *reply = redis_function(ctl->redis, "turnout_ask", args, 3);
    free(text);
    bool fine = reply && ask_begin(ask, reply);
    freeReplyObject(reply);
    leave_out(ask, json_object_get(request, "without"));
    return fine;
}

/* Only where somebody lets us wait: those that answer at once need not be looked up. */
static bool skip_older(struct ctl *ctl, const json_t *request, struct ask *ask)
{
    struct instance_list list;
    if (!instance_list_read(ctl->redis, &list)) {
        return false;
    }
    ask_skip(ask, &list, json_member(request, "kind"));
    instance_list_free(&list);
    return true;
}

/* Waits for the next answer, at most so long. False where Redis failed. */
static bool receive(struct ctl *ctl, struct ask *ask, int64_t limit_us)
{
    char seconds[24];
    int64_t slice_ms = limit_us / 1000;
    snprintf(seconds, sizeof seconds, "%.3f", (double)(slice_ms > 0 ? slice_ms : 1) / 1000);
    char *key = need(strdup(redis_key(ctl->redis, "answers:%s", ask->id)));
    const char *const wait[] = {"BLPOP", key, seconds};
    redisReply *reply = redis_call(ctl->redis, wait, 3);
    free(key);
    if (reply && reply->type == REDIS_REPLY_ARRAY) {
        (void)ask_take(ask, redis_text(reply, 1)); /* what cannot be used is no answer */
    }
    bool fine = reply != NULL;
    freeReplyObject(reply);
    return fine;
}

bool ask_all(struct ctl *ctl, const json_t *request, unsigned limit_ms, struct ask *ask)
{
    *ask = (struct ask){0};
    limit_ms = limit_ms > 0 ? limit_ms : ctl->options.timeout_ms;
    limit_ms = limit_ms < 1 ? 1 : limit_ms > LIMIT_MAX_MS ? LIMIT_MAX_MS : limit_ms;
    int64_t began_us = ctl_now_us();
    bool fine = ctl_redis(ctl) && send_question(ctl, request, limit_ms, ask);
    bool skipped = false;
    while (fine && !ctl_stopped()) {
        int64_t waited_us = ctl_now_us() - began_us;
        int64_t left_us = (int64_t)limit_ms * 1000 - waited_us;
        if (left_us <= 0 || !ask_waits(ask, waited_us > (int64_t)FIRST_WORD_MS * 1000)) {
            break;
        }
        if (!skipped && waited_us >= (int64_t)PROMPT_MS * 1000) {
            fine = skip_older(ctl, request, ask);
            skipped = true;
            continue;
        }
        int64_t slice_us = (skipped ? SLICE_MS : PROMPT_MS) * (int64_t)1000;
        fine = receive(ctl, ask, left_us < slice_us ? left_us : slice_us);
    }
    ask->took_us = ctl_now_us() - began_us;
    return fine;
}

void ask_free(struct ask *ask)
{
    for (size_t i = 0; i < ask->count; i++) {
        free(ask->items[i].instance);
        json_decref(ask->items[i].answer);
    }
    free(ask->items);
    *ask = (struct ask){0};
}

const char *ask_failed(const struct ask_item *item)
{
    if (!item->answer) {
        return item->working ? "has not answered in time" : "does not answer";
    }
    return json_string_value(json_object_get(item->answer, "error"));
}

json_t *ask_json(const struct ask *ask)
{
    json_t *array = need(json_array());
    for (size_t i = 0; i < ask->count; i++) {
        const struct ask_item *item = &ask->items[i];
        json_t *object = item->answer ? need(json_copy(item->answer)) : need(json_object());
        json_put(object, "id", json_text(item->instance));
        json_put(object, "answered", json_boolean(item->answer != NULL));
        if (!item->answer) {
            json_put(object, "error", json_text(ask_failed(item)));
        }
        json_array_append_new(array, object);
    }
    return array;
}

/* --- a whole command --------------------------------------------------------------------------------------- */

static unsigned count_failed(const struct ask *ask)
{
    unsigned failed = 0;
    for (size_t i = 0; i < ask->count; i++) {
        failed += ask_failed(&ask->items[i]) != NULL;
    }
    return failed;
}

enum ctl_exit ask_command(struct ctl *ctl, json_t *request, void (*show)(const struct ask *ask))
{
    struct ask ask;
    bool asked = ask_all(ctl, request, 0, &ask);
    json_decref(request);
    if (!asked) {
        ask_free(&ask);
        return ctl_redis_failed(ctl);
    }
    if (!ctl->options.json && ask.count > 0) {
        show(&ask);
    } else if (!ctl->options.json) {
        puts("No instance is alive.");
    }
    ctl_answer(ctl, "instances", ask_json(&ask));
    ctl_answer(ctl, "ms", json_real((double)ask.took_us / 1000));
    unsigned failed = count_failed(&ask);
    ask_free(&ask);
    return failed == 0 ? CTL_DONE
                       : ctl_fail(ctl, CTL_INCOMPLETE, NULL, "%u living instance%s did not answer", failed,
                                  plural(failed));
}
