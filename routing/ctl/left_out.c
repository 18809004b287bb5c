/* See left_out.h. */
#include "routing/ctl/left_out.h"

#include <stdlib.h>
#include <string.h>

#include "routing/ctl/entry.h"
#include "routing/ctl/output.h"
#include "routing/ctl/redis.h"

#define NOTES_SHOWN "20"

static uint64_t number_in(const redisReply *item, const char *name)
{
    return strtoull(entry_field(item, name), NULL, 10);
}

static json_t *note_json(const redisReply *item)
{
    char *names = need(strdup(entry_field(item, "without")));
    char *rest = names;
    json_t *without = need(json_array());
    for (const char *name = strsep(&rest, "\n"); name; name = strsep(&rest, "\n")) {
        json_array_append_new(without, json_text(name));
    }
    free(names);
    json_t *object = need(json_object());
    json_put(object, "version", json_integer((json_int_t)number_in(item, "version")));
    json_put(object, "at_ms", json_integer((json_int_t)number_in(item, "at")));
    json_put(object, "who", json_text(entry_field(item, "who")));
    json_put(object, "why", json_text(entry_field(item, "why")));
    json_put(object, "without", without);
    return object;
}

static void print_note(const json_t *note)
{
    char when[TIME_TEXT_SIZE];
    size_t i;
    json_t *name;
    printf("%s  at version %lld not waited for any more:",
           time_text((uint64_t)json_integer_value(json_object_get(note, "at_ms")), when),
           (long long)json_integer_value(json_object_get(note, "version")));
    json_array_foreach(json_object_get(note, "without"), i, name)
    {
        fputs(i == 0 ? " " : ", ", stdout);
        text_print(stdout, json_string_value(name));
    }
    fputs(", by ", stdout);
    text_print(stdout, json_member(note, "who"));
    if (*json_member(note, "why")) {
        fputs("\n    why: ", stdout);
        text_print(stdout, json_member(note, "why"));
    }
    putchar('\n');
}

bool left_out_show(struct ctl *ctl, uint64_t oldest)
{
    const char *const range[] = {"XREVRANGE", redis_key(ctl->redis, "left_out"), "+", "-", "COUNT",
                                 NOTES_SHOWN};
    redisReply *reply = redis_call(ctl->redis, range, 6);
    json_t *notes = need(json_array());
    for (size_t i = reply ? reply->elements : 0; i > 0; i--) {
        const redisReply *item = reply->element[i - 1];
        if (entry_fine(item) && number_in(item, "version") >= oldest) {
            json_array_append_new(notes, note_json(item));
        }
    }
    for (size_t i = 0; i < json_array_size(notes) && !ctl->options.json; i++) {
        print_note(json_array_get(notes, i));
    }
    ctl_answer(ctl, "left_out", notes);
    bool fine = reply != NULL;
    freeReplyObject(reply);
    return fine;
}
