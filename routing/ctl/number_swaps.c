/* See number_swaps.h. */
#include "routing/ctl/number_swaps.h"

#include <stdlib.h>
#include <string.h>

#include "routing/ctl/entry.h"
#include "routing/ctl/output.h"
#include "routing/ctl/redis.h"

#define NOTES_SHOWN "20"
#define ENDS_READ   "200" /* swaps at the same time may end in any order, and long after they were ordered */

static json_int_t number_in(const redisReply *item, const char *name)
{
    return (json_int_t)strtoull(entry_field(item, name), NULL, 10);
}

static json_t *lines_json(const char *text)
{
    char *lines = need(strdup(text));
    char *rest = lines;
    json_t *array = need(json_array());
    for (const char *line = strsep(&rest, "\n"); *lines && line; line = strsep(&rest, "\n")) {
        json_array_append_new(array, json_text(line));
    }
    free(lines);
    return array;
}

/* How the swap of an entry ended; NULL where nobody has noted it. */
static const redisReply *end_of(const redisReply *ends, const redisReply *item)
{
    for (size_t i = 0; i < ends->elements; i++) {
        const redisReply *end = ends->element[i];
        if (entry_fine(end) && strcmp(entry_field(end, "of"), redis_text(item, 0)) == 0) {
            return end;
        }
    }
    return NULL;
}

static void put_end(json_t *object, const redisReply *end)
{
    json_t *refused = need(json_array());
    json_t *ids = lines_json(end ? entry_field(end, "refused") : "");
    json_t *whys = lines_json(end ? entry_field(end, "whys") : "");
    size_t i;
    json_t *id;
    json_array_foreach(ids, i, id)
    {
        const char *why = json_string_value(json_array_get(whys, i));
        json_array_append_new(refused, need(json_pack("{s:O, s:s}", "id", id, "why", why ? why : "")));
    }
    json_put(object, "outcome",
             json_text(!end                           ? "unknown"
                       : json_array_size(refused) > 0 ? "incomplete"
                                                      : "in_use"));
    json_put(object, "in_use", lines_json(end ? entry_field(end, "in_use") : ""));
    json_put(object, "refused", refused);
    json_decref(ids);
    json_decref(whys);
}

/* end: how it ended, or NULL. */
static json_t *note_json(const redisReply *item, const redisReply *end)
{
    static const char *const texts[] = {"who", "why", "ticket", "table", "checksum"};
    json_t *object = need(json_object());
    json_put(object, "at_ms", json_integer(number_in(item, "at")));
    json_put(object, "version", json_integer(number_in(item, "version")));
    json_put(object, "numbers", json_integer(number_in(item, "numbers")));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_put(object, texts[i], json_text(entry_field(item, texts[i])));
    }
    json_put(object, "without", lines_json(entry_field(item, "without")));
    put_end(object, end);
    return object;
}

static void print_member(const char *before, const char *text)
{
    if (*text) {
        fputs(before, stdout);
        text_print(stdout, text);
    }
}

/* "incomplete: a, b", and why each of them is missing, a line each. */
static void print_refused(const json_t *note, bool whys)
{
    size_t i;
    json_t *refusal;
    json_array_foreach(json_object_get(note, "refused"), i, refusal)
    {
        print_member(whys     ? "\n    not in use at "
                     : i == 0 ? ", incomplete: "
                              : ", ",
                     json_member(refusal, "id"));
        print_member(": ", whys ? json_member(refusal, "why") : "");
    }
}

static void print_note(const json_t *note)
{
    const char *outcome = json_member(note, "outcome");
    char when[TIME_TEXT_SIZE];
    size_t i;
    json_t *name;
    fputs(time_text((uint64_t)json_integer_value(json_object_get(note, "at_ms")), when), stdout);
    print_member("  portability table ", json_member(note, "table"));
    print_member(strcmp(outcome, "in_use") == 0 ? " swapped in by " : " ordered by ",
                 json_member(note, "who"));
    print_member(", ticket ", json_member(note, "ticket"));
    json_array_foreach(json_object_get(note, "without"), i, name)
    {
        print_member(i == 0 ? ", NOT ASKED: " : ", ", json_string_value(name));
    }
    print_refused(note, false);
    if (strcmp(outcome, "unknown") == 0) {
        fputs(", outcome unknown: \"turnoutctl numbers version\" asks who has it", stdout);
    }
    print_member("\n    why: ", json_member(note, "why"));
    print_refused(note, true);
    printf("\n    %lld numbers, checksum %s\n",
           (long long)json_integer_value(json_object_get(note, "numbers")), json_member(note, "checksum"));
}

static redisReply *newest(struct ctl *ctl, const char *stream, const char *count)
{
    const char *const range[] = {"XREVRANGE", redis_key(ctl->redis, "%s", stream), "+", "-", "COUNT", count};
    return redis_call(ctl->redis, range, 6);
}

bool number_swaps_show(struct ctl *ctl, uint64_t oldest)
{
    redisReply *reply = newest(ctl, "number_swaps", NOTES_SHOWN);
    redisReply *ends = reply ? newest(ctl, "number_swap_ends", ENDS_READ) : NULL;
    json_t *notes = need(json_array());
    for (size_t i = ends ? reply->elements : 0; i > 0; i--) {
        const redisReply *item = reply->element[i - 1];
        if (entry_fine(item) && number_in(item, "version") >= (json_int_t)oldest) {
            json_array_append_new(notes, note_json(item, end_of(ends, item)));
        }
    }
    for (size_t i = 0; i < json_array_size(notes) && !ctl->options.json; i++) {
        print_note(json_array_get(notes, i));
    }
    ctl_answer(ctl, "number_swaps", notes);
    bool fine = ends != NULL;
    freeReplyObject(reply);
    freeReplyObject(ends);
    return fine;
}
