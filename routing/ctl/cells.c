/* See cells.h. */
#include "routing/ctl/cells.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/change.h"
#include "routing/ctl/entry.h"
#include "routing/ctl/output.h"

bool shortcode_fine(const char *text)
{
    size_t len = strlen(text);
    for (const char *c = text; *c; c++) {
        if (*c < 33 || *c > 126) {
            return false;
        }
    }
    return len > 0 && len <= SHORTCODE_LEN_MAX;
}

bool name_fine(const char *text)
{
    size_t len = strlen(text);
    return len > 0 && len <= NAME_LEN_MAX && strcmp(text, "-") != 0 &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

/* "-" stands for none. */
static bool name_take(char to[NAME_LEN_MAX + 1], const char *text)
{
    size_t len = strlen(text);
    if (len == 0 || len > NAME_LEN_MAX) {
        return false;
    }
    text_copy(to, NAME_LEN_MAX + 1, strcmp(text, "-") == 0 ? "" : text);
    return true;
}

bool cell_parse(struct cell *cell, const char *value)
{
    char copy[160];
    char *words[6];
    char *rest = copy;
    if (strlen(value) >= sizeof copy) {
        return false;
    }
    text_copy(copy, sizeof copy, value);
    for (int i = 0; i < 6; i++) {
        words[i] = strsep(&rest, " ");
        if (!words[i] && i < 5) {
            return false;
        }
    }
    if (rest || !name_take(cell->platform, words[0]) || !route_state_parse(words[1], &cell->state) ||
        !name_take(cell->previous, words[2]) || !name_take(cell->next, words[5] ? words[5] : "-")) {
        return false;
    }
    cell->changed_ms = strtoull(words[3], NULL, 10);
    cell->version = strtoull(words[4], NULL, 10);
    return true;
}

void cells_add(struct cells *cells, const struct cell *cell)
{
    if (cells->count == cells->space) {
        cells->space = cells->space ? cells->space * 2 : 64;
        cells->items = need(reallocarray(cells->items, cells->space, sizeof *cells->items));
    }
    cells->items[cells->count++] = *cell;
}

/* Shorter shortcodes first, so that 999 stands before 61000; * before all. */
static int shortcode_order(const char *left, const char *right)
{
    size_t left_len = strcmp(left, "*") == 0 ? 0 : strlen(left);
    size_t right_len = strcmp(right, "*") == 0 ? 0 : strlen(right);
    return left_len != right_len ? (left_len < right_len ? -1 : 1) : strcmp(left, right);
}

static int cell_order(const void *left_item, const void *right_item)
{
    const struct cell *left = left_item;
    const struct cell *right = right_item;
    int order = shortcode_order(left->shortcode, right->shortcode);
    return order ? order : strcmp(left->carrier, right->carrier);
}

/* Newest last among versions of one cell. */
static int version_order(const void *left_item, const void *right_item)
{
    const struct cell *left = left_item;
    const struct cell *right = right_item;
    int order = cell_order(left, right);
    return order ? order : left->version < right->version ? -1 : left->version > right->version;
}

/* Sorts; of several versions of a cell the newest stays, unless that one is a removal, or of a number. */
void cells_sort(struct cells *cells)
{
    if (cells->count > 0) {
        qsort(cells->items, cells->count, sizeof *cells->items, version_order);
    }
    size_t kept = 0;
    for (size_t i = 0; i < cells->count; i++) {
        bool last = i + 1 == cells->count || cell_order(&cells->items[i], &cells->items[i + 1]) != 0;
        bool number = strcmp(cells->items[i].carrier, NUMBER_NAME) == 0;
        if (last && !number && *cells->items[i].platform) {
            cells->items[kept++] = cells->items[i];
        }
    }
    cells->count = kept;
}

const struct cell *cells_find(const struct cells *cells, const char *shortcode, const char *carrier)
{
    struct cell wanted = {0};
    if (strlen(shortcode) > SHORTCODE_LEN_MAX || strlen(carrier) > NAME_LEN_MAX || cells->count == 0) {
        return NULL;
    }
    text_copy(wanted.shortcode, sizeof wanted.shortcode, shortcode);
    text_copy(wanted.carrier, sizeof wanted.carrier, carrier);
    return bsearch(&wanted, cells->items, cells->count, sizeof wanted, cell_order);
}

void cells_free(struct cells *cells)
{
    free(cells->items);
    memset(cells, 0, sizeof *cells);
}

/* Something that is no cell is left out: the functions never write such a thing. */
static void add_parsed(struct cells *cells, const char *shortcode, const char *carrier, const char *value)
{
    struct cell cell = {0};
    if (shortcode_fine(shortcode) && name_fine(carrier) && cell_parse(&cell, value)) {
        text_copy(cell.shortcode, sizeof cell.shortcode, shortcode);
        text_copy(cell.carrier, sizeof cell.carrier, carrier);
        cells_add(cells, &cell);
    }
}

static void add_move(struct cells *cells, const struct change *change, const struct change_move *move)
{
    struct cell cell = {.state = move->state, .changed_ms = change->at_ms, .version = change->version};
    text_copy(cell.shortcode, sizeof cell.shortcode, move->shortcode);
    text_copy(cell.carrier, sizeof cell.carrier, move->carrier);
    text_copy(cell.platform, sizeof cell.platform, move->to);
    text_copy(cell.previous, sizeof cell.previous, move->previous);
    text_copy(cell.next, sizeof cell.next, move->next);
    cells_add(cells, &cell);
}

/* False where the change cannot be replayed: it replaced the whole table, or cannot be understood. */
static bool replay_entry(struct cells *cells, const redisReply *entry)
{
    const char *reason;
    struct change *change = entry_change(entry, &reason);
    bool fine = change && strcmp(change->kind, "restore") != 0;
    for (size_t i = 0; fine && i < change->moves_count; i++) {
        add_move(cells, change, &change->moves[i]);
    }
    change_free(change);
    return fine;
}

/* Adds what changed after the first page. again: the pages have to be read once more. */
static bool replay(struct redis *redis, struct cells *cells, bool *again)
{
    char from[32];
    snprintf(from, sizeof from, "%llu", (unsigned long long)cells->version + 1);
    const char *const range[] = {"XRANGE", redis_key(redis, "changes"), from, "+"};
    redisReply *reply = redis_call(redis, range, 4);
    *again = false;
    for (size_t i = 0; reply && i < reply->elements && !*again; i++) {
        *again = !replay_entry(cells, reply->element[i]);
        cells->version = redis_number(reply->element[i], 0);
    }
    bool fine = reply != NULL;
    freeReplyObject(reply);
    return fine;
}

/* One turn over all pages. last is the version of the last page. */
static bool load_pages(struct redis *redis, struct cells *cells, uint64_t *last)
{
    char cursor[32] = "0";
    bool first = true;
    cells->count = 0;
    do {
        const char *const args[] = {cursor, "1000"};
        redisReply *reply = redis_function(redis, "turnout_load", args, 2);
        if (!reply) {
            return false;
        }
        *last = redis_number(reply, 0);
        cells->version = first ? *last : cells->version;
        first = false;
        for (size_t i = 3; i + 2 < reply->elements; i += 3) {
            add_parsed(cells, redis_text(reply, i), redis_text(reply, i + 1), redis_text(reply, i + 2));
        }
        snprintf(cursor, sizeof cursor, "%s", redis_text(reply, 2));
        freeReplyObject(reply);
    } while (strcmp(cursor, "0") != 0 && strcmp(cursor, "") != 0);
    return true;
}

bool cells_load(struct redis *redis, struct cells *cells)
{
    bool again = true;
    while (again) {
        uint64_t last;
        if (!load_pages(redis, cells, &last)) {
            return false;
        }
        again = false;
        if (last != cells->version && !replay(redis, cells, &again)) {
            return false;
        }
    }
    cells_sort(cells);
    return true;
}

bool cells_load_row(struct redis *redis, const char *shortcode, struct cells *cells)
{
    const char *const get[] = {"HGETALL", redis_key(redis, "route:%s", shortcode)};
    redisReply *reply = redis_call(redis, get, 2);
    if (!reply) {
        return false;
    }
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        add_parsed(cells, shortcode, redis_text(reply, i), redis_text(reply, i + 1));
    }
    freeReplyObject(reply);
    const char *const version[] = {"GET", redis_key(redis, "version")};
    reply = redis_call(redis, version, 2);
    if (!reply) {
        return false;
    }
    cells->version = reply->str ? strtoull(reply->str, NULL, 10) : 0;
    freeReplyObject(reply);
    cells_sort(cells);
    return true;
}
