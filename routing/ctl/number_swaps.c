/* See number_swaps.h. */
#include "routing/ctl/number_swaps.h"

#include <stdlib.h>
#include <string.h>

#include "routing/ctl/entry.h"
#include "routing/ctl/output.h"
#include "routing/ctl/redis.h"

#define NOTES_SHOWN "20"

static json_int_t number_in(const redisReply *item, const char *name)
{
    return (json_int_t)strtoull(entry_field(item, name), NULL, 10);
}

static json_t *note_json(const redisReply *item)
{
    static const char *const texts[] = {"who", "why", "ticket", "table", "checksum"};
    json_t *object = need(json_object());
    json_put(object, "at_ms", json_integer(number_in(item, "at")));
    json_put(object, "version", json_integer(number_in(item, "version")));
    json_put(object, "numbers", json_integer(number_in(item, "numbers")));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_put(object, texts[i], json_text(entry_field(item, texts[i])));
    }
    char *names = need(strdup(entry_field(item, "without")));
    char *rest = names;
    json_t *without = need(json_array());
    for (const char *name = strsep(&rest, "\n"); *names && name; name = strsep(&rest, "\n")) {
        json_array_append_new(without, json_text(name));
    }
    free(names);
    json_put(object, "without", without);
    return object;
}

static void print_member(const char *before, const char *text)
{
    if (*text) {
        fputs(before, stdout);
        text_print(stdout, text);
    }
}

static void print_note(const json_t *note)
{
    char when[TIME_TEXT_SIZE];
    size_t i;
    json_t *name;
    fputs(time_text((uint64_t)json_integer_value(json_object_get(note, "at_ms")), when), stdout);
    print_member("  portability table ", json_member(note, "table"));
    print_member(" swapped in by ", json_member(note, "who"));
    print_member(", ticket ", json_member(note, "ticket"));
    json_array_foreach(json_object_get(note, "without"), i, name)
    {
        print_member(i == 0 ? ", NOT ASKED: " : ", ", json_string_value(name));
    }
    print_member("\n    why: ", json_member(note, "why"));
    printf("\n    %lld numbers, checksum %s\n",
           (long long)json_integer_value(json_object_get(note, "numbers")), json_member(note, "checksum"));
}

bool number_swaps_show(struct ctl *ctl, uint64_t oldest)
{
    const char *const range[] = {"XREVRANGE", redis_key(ctl->redis, "number_swaps"), "+", "-", "COUNT",
                                 NOTES_SHOWN};
    redisReply *reply = redis_call(ctl->redis, range, 6);
    json_t *notes = need(json_array());
    for (size_t i = reply ? reply->elements : 0; i > 0; i--) {
        const redisReply *item = reply->element[i - 1];
        if (entry_fine(item) && number_in(item, "version") >= (json_int_t)oldest) {
            json_array_append_new(notes, note_json(item));
        }
    }
    for (size_t i = 0; i < json_array_size(notes) && !ctl->options.json; i++) {
        print_note(json_array_get(notes, i));
    }
    ctl_answer(ctl, "number_swaps", notes);
    bool fine = reply != NULL;
    freeReplyObject(reply);
    return fine;
}
