/* See pending.h. */
#include "routing/ctl/pending.h"

#include <stdlib.h>
#include <string.h>

#include "routing/ctl/entry.h"
#include "routing/ctl/output.h"

/* Who made it, to be freed; NULL where the call failed. */
static char *read_who(struct redis *redis, uint64_t version)
{
    redisReply *found = entry_read(redis, version);
    char *who = NULL;
    if (found) {
        bool there = found->elements > 0 && entry_fine(found->element[0]);
        who = need(strdup(there ? entry_field(found->element[0], "who") : "?"));
    }
    freeReplyObject(found);
    return who;
}

bool pending_read(struct redis *redis, uint64_t now_ms, struct pending *pending)
{
    const char *const range[] = {"ZRANGE", redis_key(redis, "confirm"), "0", "-1", "WITHSCORES"};
    redisReply *reply = redis_call(redis, range, 5);
    bool fine = reply != NULL;
    *pending = (struct pending){.now_ms = now_ms};
    pending->items = need(calloc(reply ? reply->elements / 2 + 1 : 1, sizeof *pending->items));
    for (size_t i = 0; fine && i + 1 < reply->elements; i += 2) {
        struct pending_change *item = &pending->items[pending->count];
        item->version = redis_number(reply, i);
        item->deadline_ms = redis_number(reply, i + 1);
        item->who = read_who(redis, item->version);
        fine = item->who != NULL;
        pending->count += fine;
    }
    freeReplyObject(reply);
    return fine;
}

void pending_free(struct pending *pending)
{
    for (size_t i = 0; i < pending->count; i++) {
        free(pending->items[i].who);
    }
    free(pending->items);
    memset(pending, 0, sizeof *pending);
}

static uint64_t left_ms(const struct pending *pending, const struct pending_change *item)
{
    return item->deadline_ms > pending->now_ms ? item->deadline_ms - pending->now_ms : 0;
}

void pending_print(const struct pending *pending)
{
    static const struct column columns[] = {
        {"VERSION", true}, {"BY", false}, {"GOES BACK AT", false}, {"IN", true}};
    if (pending->count == 0) {
        return;
    }
    struct grid *grid = grid_new(columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < pending->count; i++) {
        const struct pending_change *item = &pending->items[i];
        char when[TIME_TEXT_SIZE];
        grid_cell(grid, "%llu", (unsigned long long)item->version);
        grid_cell(grid, "%s", item->who);
        grid_cell(grid, "%s", time_text(item->deadline_ms, when));
        grid_cell(grid, "%.0f s", (double)left_ms(pending, item) / 1000);
    }
    puts("Awaiting confirmation (turnoutctl confirm VERSION):");
    grid_print(grid, stdout, "");
    grid_free(grid);
}

json_t *pending_json(const struct pending *pending)
{
    json_t *array = need(json_array());
    for (size_t i = 0; i < pending->count; i++) {
        const struct pending_change *item = &pending->items[i];
        json_t *object = need(json_object());
        json_put(object, "version", json_integer((json_int_t)item->version));
        json_put(object, "deadline_ms", json_integer((json_int_t)item->deadline_ms));
        json_put(object, "left_ms", json_integer((json_int_t)left_ms(pending, item)));
        json_put(object, "who", json_text(item->who));
        json_array_append_new(array, object);
    }
    return array;
}
