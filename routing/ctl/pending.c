/* See pending.h. */
#include "routing/ctl/pending.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/entry.h"
#include "routing/ctl/output.h"

/* "shortcode carrier platform state platform hold ...": the state that the first cell was given. */
static bool holds(const redisReply *entry)
{
    char state[8] = "";
    bool is_flip = strcmp(entry_field(entry, "kind"), "flip") == 0;
    return is_flip && sscanf(entry_field(entry, "moves"), "%*s %*s %*s %*s %*s %7s", state) == 1 &&
           strcmp(state, "hold") == 0;
}

/* Who made it, to be freed, and what it is; false where the call failed. */
static bool read_entry(struct redis *redis, struct pending_change *item)
{
    redisReply *found = entry_read(redis, item->version);
    if (found) {
        bool there = found->elements > 0 && entry_fine(found->element[0]);
        item->who = need(strdup(there ? entry_field(found->element[0], "who") : "?"));
        item->is_hold = there && holds(found->element[0]);
    }
    freeReplyObject(found);
    return found != NULL;
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
        fine = read_entry(redis, item);
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
        {"VERSION", true}, {"BY", false}, {"GOES BACK AT", false}, {"IN", true}, {"", false}};
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
        grid_cell(grid, "%s", item->is_hold ? "hold of a strict flip: not to be confirmed" : "");
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
        json_put(object, "hold", json_boolean(item->is_hold));
        json_array_append_new(array, object);
    }
    return array;
}
