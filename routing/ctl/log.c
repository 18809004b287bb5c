/* log: the stream of changes, newest last, and on as it grows.
 *
 *   XREVRANGE, page by page, until enough entries fit ──▶ printed in turn ──--follow──▶ XREAD BLOCK, for ever
 */
#include <stdlib.h>
#include <string.h>

#include "routing/change.h"
#include "routing/ctl/applied.h"
#include "routing/ctl/cells.h"
#include "routing/ctl/commands.h"
#include "routing/ctl/entry.h"
#include "routing/ctl/left_out.h"
#include "routing/ctl/number_swaps.h"
#include "routing/ctl/output.h"
#include "routing/ctl/route.h"

enum { PAGE = 200, MOVES_SHOWN = 20 };

/* An entry keeps the strings of the reply that it came with. */
struct entry {
    const redisReply *item;
    struct change *change; /* NULL where it cannot be understood; reason says why */
    const char *reason;
};

static void entry_parse(struct entry *entry, const redisReply *item)
{
    entry->item = item;
    entry->change = entry_change(item, &entry->reason);
}

static bool move_fits(const struct change_move *move, const char *shortcode)
{
    return !shortcode || strcmp(move->shortcode, shortcode) == 0;
}

/* Has the entry to do with the shortcode? One that cannot be understood, or replaces everything, may have. */
static bool entry_fits(const struct entry *entry, const char *shortcode)
{
    if (!shortcode || !entry->change || strcmp(entry->change->kind, "restore") == 0) {
        return true;
    }
    for (size_t i = 0; i < entry->change->moves_count; i++) {
        if (move_fits(&entry->change->moves[i], shortcode)) {
            return true;
        }
    }
    return false;
}

/* --- one entry as JSON -------------------------------------------------------------------------------------
 */

static json_t *name_or_null(const char *name)
{
    return *name ? json_text(name) : json_null();
}

static json_t *move_json(const struct change_move *move)
{
    json_t *object = need(json_object());
    json_put(object, "shortcode", json_text(move->shortcode));
    json_put(object, "carrier", json_text(move->carrier));
    json_put(object, "from", name_or_null(move->from));
    json_put(object, "from_state", *move->from ? json_text(route_state_name(move->from_state)) : json_null());
    json_put(object, "to", name_or_null(move->to));
    json_put(object, "state", *move->to ? json_text(route_state_name(move->state)) : json_null());
    return object;
}

/* A member for what only some entries have. */
static void put_number(json_t *object, const char *name, const char *text)
{
    if (*text) {
        json_put(object, name, json_integer((json_int_t)strtoull(text, NULL, 10)));
    }
}

static void put_text(json_t *object, const char *name, const char *text)
{
    if (*text) {
        json_put(object, name, json_text(text));
    }
}

/* The words of a text as an array. */
static void put_words(json_t *object, const char *name, const char *text, const char *between)
{
    char *copy = need(strdup(text));
    char *rest = copy;
    json_t *array = need(json_array());
    for (const char *word = strsep(&rest, between); *text && word; word = strsep(&rest, between)) {
        json_array_append_new(array, json_text(word));
    }
    if (json_array_size(array) > 0) {
        json_put(object, name, array);
    } else {
        json_decref(array);
    }
    free(copy);
}

static json_t *entry_json(const struct entry *entry, const char *shortcode)
{
    json_t *object = need(json_object());
    json_t *moves = need(json_array());
    json_put(object, "version", json_integer((json_int_t)entry_version(entry->item)));
    json_put(object, "at_ms", json_integer((json_int_t)strtoull(entry_field(entry->item, "at"), NULL, 10)));
    json_put(object, "kind", json_text(entry_field(entry->item, "kind")));
    json_put(object, "who", json_text(entry_field(entry->item, "who")));
    json_put(object, "why", json_text(entry_field(entry->item, "why")));
    json_put(object, "ticket", json_text(entry_field(entry->item, "ticket")));
    for (size_t i = 0; entry->change && i < entry->change->moves_count; i++) {
        if (move_fits(&entry->change->moves[i], shortcode)) {
            json_array_append_new(moves, move_json(&entry->change->moves[i]));
        }
    }
    json_put(object, "moves", moves);
    put_words(object, "windows", entry_field(entry->item, "window"), " ");
    put_words(object, "outside_window", entry_field(entry->item, "outside"), "\n");
    put_words(object, "without", entry_field(entry->item, "without"), "\n");
    if (*entry_field(entry->item, "forced")) {
        json_put(object, "forced", json_true());
    }
    put_text(object, "undoes_window", entry_field(entry->item, "undoes_window"));
    put_number(object, "undoes", entry_field(entry->item, "undoes"));
    put_number(object, "confirm_by_ms", entry_field(entry->item, "confirm"));
    return object;
}

/* --- one entry as text -------------------------------------------------------------------------------------
 */

static void print_labelled(const char *before, const char *text)
{
    if (*text) {
        fputs(before, stdout);
        text_print(stdout, text);
    }
}

static void print_move(const struct change_move *move)
{
    printf("    %s %s: ", move->shortcode, move->carrier);
    if (*move->from) {
        printf("%s (%s) -> ", move->from, route_state_name(move->from_state));
    } else {
        fputs("no row -> ", stdout);
    }
    if (*move->to) {
        printf("%s (%s)\n", move->to, route_state_name(move->state));
    } else {
        puts("no row");
    }
}

static void print_moves(const struct change *change, const char *shortcode)
{
    size_t shown = 0;
    size_t left_out = 0;
    for (size_t i = 0; i < change->moves_count; i++) {
        bool fits = move_fits(&change->moves[i], shortcode);
        if (fits && shown < MOVES_SHOWN) {
            print_move(&change->moves[i]);
            shown++;
        } else {
            left_out += fits;
        }
    }
    if (left_out > 0) {
        printf("    and %zu more, which --json shows\n", left_out);
    }
    if (strcmp(change->kind, "restore") == 0) {
        puts("    the whole table was replaced");
    }
}

/* How many of the change's routes belonged to no open window: one line each. */
static void print_outside(const char *lines)
{
    size_t count = *lines != '\0';
    for (const char *line = lines; (line = strchr(line, '\n')); line++) {
        count++;
    }
    if (count > 0) {
        printf(", OUTSIDE ANY WINDOW (%zu route%s)", count, plural(count));
    }
}

/* The instances that were not waited for: one line each. */
static void print_without(const char *lines)
{
    char *copy = need(strdup(lines));
    char *rest = copy;
    for (const char *line = strsep(&rest, "\n"); *lines && line; line = strsep(&rest, "\n")) {
        print_labelled(line == copy ? ", NOT WAITED FOR: " : ", ", line);
    }
    free(copy);
}

static void print_entry(const struct entry *entry, const char *shortcode)
{
    char when[TIME_TEXT_SIZE];
    printf("%s  version %llu", time_text(strtoull(entry_field(entry->item, "at"), NULL, 10), when),
           (unsigned long long)entry_version(entry->item));
    print_labelled("  ", entry_field(entry->item, "kind"));
    print_labelled(" by ", entry_field(entry->item, "who"));
    print_labelled(", ticket ", entry_field(entry->item, "ticket"));
    print_labelled(", undoes version ", entry_field(entry->item, "undoes"));
    print_labelled(", window ", entry_field(entry->item, "window"));
    print_labelled(", undoes window ", entry_field(entry->item, "undoes_window"));
    print_outside(entry_field(entry->item, "outside"));
    if (*entry_field(entry->item, "forced")) {
        fputs(", WITHOUT PREFLIGHT", stdout);
    }
    print_without(entry_field(entry->item, "without"));
    print_labelled("\n    why: ", entry_field(entry->item, "why"));
    uint64_t deadline = strtoull(entry_field(entry->item, "confirm"), NULL, 10);
    if (deadline > 0) {
        printf("\n    to be confirmed by %s", time_text(deadline, when));
    }
    putchar('\n');
    if (entry->change) {
        print_moves(entry->change, shortcode);
    } else {
        printf("    cannot be understood: %s\n", entry->reason);
    }
}

/* --- which instance had applied it when --------------------------------------------------------------------
 */

/* With --long also that. */
static json_t *long_json(struct ctl *ctl, const struct entry *entry, const char *shortcode)
{
    json_t *object = entry_json(entry, shortcode);
    json_t *applied = ctl->options.detailed ? applied_read(ctl->redis, entry_version(entry->item)) : NULL;
    if (applied) {
        json_put(object, "applied", json_incref(json_object_get(applied, "instances")));
        json_put(object, "barrier", json_incref(json_object_get(applied, "barrier")));
        json_decref(applied);
    }
    return object;
}

static void print_applied(struct ctl *ctl, const struct entry *entry)
{
    uint64_t at_ms = strtoull(entry_field(entry->item, "at"), NULL, 10);
    json_t *applied = ctl->options.detailed ? applied_read(ctl->redis, entry_version(entry->item)) : NULL;
    const char *id;
    json_t *ms;
    json_object_foreach(json_object_get(applied, "instances"), id, ms)
    {
        fputs("    applied by ", stdout);
        text_print(stdout, id);
        printf(" after %lld ms\n", (long long)(json_integer_value(ms) - (json_int_t)at_ms));
    }
    const json_t *missing = json_object_get(json_object_get(applied, "barrier"), "missing");
    size_t i;
    json_t *instance;
    json_array_foreach(missing, i, instance)
    {
        print_labelled("    not applied in time by ", json_member(instance, "id"));
        putchar('\n');
    }
    json_decref(applied);
}

/* --- the last N --------------------------------------------------------------------------------------------
 */

/* Pages of the stream, newest first, kept until everything is shown. */
struct history {
    size_t pages_count, fit_count, wanted;
    redisReply **pages;
    const redisReply **items; /* the entries that fit, newest first */
    const char *shortcode;
    uint64_t newest; /* the version to follow from */
};

static void history_free(struct history *history)
{
    for (size_t i = 0; i < history->pages_count; i++) {
        freeReplyObject(history->pages[i]);
    }
    free(history->pages);
    free((void *)history->items);
}

static void history_page(struct history *history, redisReply *page)
{
    history->pages = need(reallocarray(history->pages, history->pages_count + 1, sizeof(redisReply *)));
    history->pages[history->pages_count++] = page;
    for (size_t i = 0; i < page->elements && history->fit_count < history->wanted; i++) {
        struct entry entry;
        entry_parse(&entry, page->element[i]);
        if (entry_fits(&entry, history->shortcode)) {
            history->items[history->fit_count++] = page->element[i];
        }
        change_free(entry.change);
    }
}

static bool history_read(struct redis *redis, struct history *history)
{
    char page_size[16];
    char upto[32] = "+";
    uint64_t oldest = 0;
    /* The first page may hold but one entry: --follow needs the newest, though none is to be shown. */
    size_t size = history->wanted == 0 ? 1 : history->shortcode ? PAGE : history->wanted;
    snprintf(page_size, sizeof page_size, "%zu", size < PAGE ? size : PAGE);
    history->items = need(calloc(history->wanted + 1, sizeof(redisReply *)));
    do {
        const char *const range[] = {"XREVRANGE", redis_key(redis, "changes"), upto, "-", "COUNT", page_size};
        redisReply *page = redis_call(redis, range, 6);
        if (!page) {
            return false;
        }
        size_t count = page->elements;
        history->newest =
            history->newest == 0 && count > 0 ? redis_number(page->element[0], 0) : history->newest;
        oldest = count > 0 ? redis_number(page->element[count - 1], 0) : 0;
        history_page(history, page);
        snprintf(upto, sizeof upto, "%llu", (unsigned long long)(oldest > 0 ? oldest - 1 : 0));
    } while (oldest > 1 && history->fit_count < history->wanted);
    return true;
}

static void show_item(struct ctl *ctl, const redisReply *item, const char *shortcode, json_t *array)
{
    struct entry entry;
    entry_parse(&entry, item);
    if (!entry_fits(&entry, shortcode)) {
        change_free(entry.change);
        return;
    }
    if (array) {
        json_array_append_new(array, long_json(ctl, &entry, shortcode));
    } else if (ctl->options.json) {
        json_t *object = long_json(ctl, &entry, shortcode);
        json_dumpf(object, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(object);
    } else {
        print_entry(&entry, shortcode);
        print_applied(ctl, &entry);
    }
    change_free(entry.change);
}

static void show_history(struct ctl *ctl, const struct history *history)
{
    json_t *array = ctl->options.json && !ctl->options.follow ? need(json_array()) : NULL;
    for (size_t i = history->fit_count; i > 0; i--) {
        show_item(ctl, history->items[i - 1], history->shortcode, array);
    }
    if (array) {
        ctl_answer(ctl, "changes", array);
    } else if (!ctl->options.json && history->fit_count == 0 && !ctl->options.follow) {
        puts("No change is recorded.");
    }
}

/* --- and on ------------------------------------------------------------------------------------------------
 */

/* Ends only with Redis, or with the terminal. */
static enum ctl_exit follow(struct ctl *ctl, const char *shortcode, uint64_t version)
{
    redis_patience(ctl->redis, 0);
    while (fflush(stdout) == 0) {
        char from[32];
        snprintf(from, sizeof from, "%llu", (unsigned long long)version);
        const char *const read[] = {"XREAD", "BLOCK", "0", "STREAMS", redis_key(ctl->redis, "changes"), from};
        redisReply *reply = redis_call(ctl->redis, read, 6);
        if (!reply) {
            return ctl_redis_failed(ctl);
        }
        /* [[stream, [entry ...]]], or nothing */
        const redisReply *items = reply->elements > 0 ? reply->element[0]->element[1] : NULL;
        for (size_t i = 0; items && i < items->elements; i++) {
            show_item(ctl, items->element[i], shortcode, NULL);
            version = redis_number(items->element[i], 0);
        }
        freeReplyObject(reply);
    }
    return CTL_FAILED;
}

enum ctl_exit run_log(struct ctl *ctl)
{
    const char *shortcode = ctl->args_count > 0 ? ctl->args[0] : NULL;
    struct history history = {.wanted = ctl->options.last, .shortcode = shortcode};
    if (!route_names_fine(ctl)) {
        return CTL_USAGE;
    }
    if (!ctl_redis(ctl) || !history_read(ctl->redis, &history)) {
        history_free(&history);
        return ctl_redis_failed(ctl);
    }
    show_history(ctl, &history);
    uint64_t newest = history.newest;
    uint64_t oldest = history.fit_count > 0 ? entry_version(history.items[history.fit_count - 1]) : newest;
    history_free(&history);
    if (!ctl->options.follow && !shortcode &&
        (!left_out_show(ctl, oldest) || !number_swaps_show(ctl, oldest))) {
        return ctl_redis_failed(ctl);
    }
    return ctl->options.follow ? follow(ctl, shortcode, newest) : CTL_DONE;
}
