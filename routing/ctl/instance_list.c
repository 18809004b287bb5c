/* See instance_list.h. */
#include "routing/ctl/instance_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/output.h"

enum { CLOCK_OFF_MS = 2000 };

static int64_t signed_number(const redisReply *array, size_t index)
{
    const redisReply *element = array->element[index];
    return element->type == REDIS_REPLY_INTEGER ? element->integer
                                                : strtoll(redis_text(array, index), NULL, 10);
}

/* Reads the entry at *index and moves on behind it. False where it reaches over the end, or a string is none.
 */
static bool take_instance(const redisReply *reply, size_t *index, struct instance *instance)
{
    if (*index + 3 > reply->elements) {
        return false;
    }
    size_t count = (size_t)redis_number(reply, *index + 2);
    instance->id = redis_text(reply, *index);
    instance->lease_ms = signed_number(reply, *index + 1);
    instance->strings = reply->element + *index + 3;
    instance->strings_count = count;
    *index += 3;
    if (count > reply->elements - *index || count % 2 != 0) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!instance->strings[i]->str) {
            return false;
        }
    }
    *index += count;
    return true;
}

static int by_id(const void *left_item, const void *right_item)
{
    const struct instance *left = left_item;
    const struct instance *right = right_item;
    return strcmp(left->id, right->id);
}

bool instance_list_parse(redisReply *reply, struct instance_list *list)
{
    struct instance_list parsed = {.reply = reply, .now_ms = redis_number(reply, 0)};
    parsed.items = need(calloc(reply->elements / 3 + 1, sizeof *parsed.items));
    for (size_t index = 1; index < reply->elements;) {
        if (!take_instance(reply, &index, &parsed.items[parsed.count])) {
            instance_list_free(&parsed);
            return false;
        }
        parsed.count++;
    }
    qsort(parsed.items, parsed.count, sizeof *parsed.items, by_id);
    *list = parsed;
    return true;
}

bool instance_list_read(struct redis *redis, struct instance_list *list)
{
    redisReply *reply = redis_function(redis, "turnout_instances", NULL, 0);
    return reply && instance_list_parse(reply, list);
}

void instance_list_free(struct instance_list *list)
{
    freeReplyObject(list->reply);
    free(list->items);
    memset(list, 0, sizeof *list);
}

bool instance_alive(const struct instance *instance)
{
    return instance->lease_ms >= 0;
}

const char *instance_field(const struct instance *instance, const char *name)
{
    for (size_t i = 0; i + 1 < instance->strings_count; i += 2) {
        if (strcmp(instance->strings[i]->str, name) == 0) {
            return instance->strings[i + 1]->str;
        }
    }
    return "";
}

uint64_t instance_number(const struct instance *instance, const char *name)
{
    return strtoull(instance_field(instance, name), NULL, 10);
}

/* What the fence of an instance is closed for (its lease, or a stop), in words. */
static const char *fence_text(const char *fenced)
{
    if (*fenced == '\0') {
        return "";
    }
    return strcmp(fenced, "stopped") == 0 ? "fenced: it was stopped and catches up; MT wait"
                                          : "fenced: its lease ran out (on-loss = fence); MT wait";
}

/* A version of another history is another table: of a Redis that was replaced, or a replica that had lagged. What was
 * told to the server before is no better: a change that was lost may have come after it. */
bool instance_of_this_history(const struct instance *instance)
{
    const char *history = instance_field(instance, "history");
    return strcmp(history, "other") != 0 && strcmp(history, "unheard") != 0;
}

const char *instance_trouble(const struct instance *instance)
{
    if (strcmp(instance_field(instance, "history"), "unheard") == 0) {
        return "not heard of since Redis was started, or another took over";
    }
    const char *obstacle = instance_field(instance, "obstacle");
    if (*obstacle != '\0') {
        return obstacle;
    }
    bool follows = strcmp(instance_field(instance, "state"), "following") == 0;
    return follows ? fence_text(instance_field(instance, "fenced")) : instance_field(instance, "reason");
}

/* "beat" is Redis' clock, "clock_ms" its own, of the same moment but for the way between them. */
const char *instance_clock_trouble(const struct instance *instance, char text[CLOCK_TROUBLE_SIZE])
{
    char age[AGE_TEXT_SIZE];
    uint64_t beat = instance_number(instance, "beat");
    uint64_t clock = instance_number(instance, "clock_ms");
    uint64_t off = clock > beat ? clock - beat : beat - clock;
    text[0] = '\0';
    if (clock > 0 && off > CLOCK_OFF_MS) {
        snprintf(text, CLOCK_TROUBLE_SIZE,
                 "its clock is %s %s Redis': the times that it reports are wrong; set it", age_text(off, age),
                 clock > beat ? "ahead of" : "behind");
    }
    return text;
}

uint64_t instance_silence_ms(const struct instance_list *list, const struct instance *instance)
{
    uint64_t beat = instance_number(instance, "beat");
    return beat < list->now_ms ? list->now_ms - beat : 0;
}

json_t *instance_json(const struct instance_list *list, const struct instance *instance)
{
    json_t *object = need(json_object());
    json_t *fields = need(json_object());
    bool alive = instance_alive(instance);
    json_put(object, "id", json_text(instance->id));
    json_put(object, "alive", json_boolean(alive));
    json_put(object, "lease_ms", alive ? json_integer(instance->lease_ms) : json_null());
    json_put(object, "silent_ms", json_integer((json_int_t)instance_silence_ms(list, instance)));
    for (size_t i = 0; i + 1 < instance->strings_count; i += 2) {
        const char *name = instance->strings[i]->str;
        const char *value = instance->strings[i + 1]->str;
        json_t *parsed = strcmp(name, "sessions") == 0 ? json_loads(value, 0, NULL) : NULL;
        json_object_set_new(fields, name, parsed ? parsed : json_text(value));
    }
    json_put(object, "fields", fields);
    return object;
}
