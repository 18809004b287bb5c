/* See window_facts.h. */
#include "routing/ctl/window_facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/change.h"
#include "routing/ctl/applied.h"
#include "routing/ctl/entry.h"
#include "routing/ctl/output.h"
#include "routing/evidence.h"

/* With more shortcodes than this all evidence is asked for. */
enum { PAGE = 200, SHORTCODES_ASKED_MAX = 1000, SECOND_MS = 1000 };

/* What the changes did to a cell. */
struct story {
    uint64_t moved_ms, moved_version; /* when it came to where it goes, in the window; 0: it did not */
    uint64_t hold_ms, hold_version;   /* since when it is on hold; 0: it is not */
    uint64_t held_ms, longest_ms;
    /* when it left again, and when it had come; 0: it did not. Of several times the last */
    uint64_t back_ms, back_version, came_ms;
    uint64_t first_ms; /* when it first came to where it goes, in the window; 0: it did not */
    json_t *totals,
        *carried; /* by platform since then; by where it goes, without what came since it came last */
    bool counted; /* somebody has seen something since then */
    bool partly;  /* moved so often that a part of the sum is mixed with times before */
    uint64_t early_mo, early_receipts, stayed_mo, stayed_receipts; /* by the wrong path */
};

struct facts {
    struct ctl *ctl;
    const struct window *window;
    struct story *stories; /* one for each cell */
    json_t *root, *changes, *holds, *confirmations;
    size_t rollbacks;
    struct evidence_set evidence;
};

static void put_number(json_t *object, const char *name, uint64_t number)
{
    json_put(object, name, json_integer((json_int_t)number));
}

static void put_time(json_t *object, const char *name, uint64_t ms)
{
    json_put(object, name, ms > 0 ? json_integer((json_int_t)ms) : json_null());
}

/* Is the window's name one of the words? */
static bool named(const struct facts *facts, const char *words)
{
    size_t len = strlen(facts->window->name);
    while (*words) {
        size_t word = strcspn(words, " ");
        if (word == len && strncmp(words, facts->window->name, len) == 0) {
            return true;
        }
        words += word + (words[word] == ' ');
    }
    return false;
}

static uint64_t ended_ms(const struct window *window)
{
    static const char *const ends[] = {"finished_at", "cancelled_at", "rolled_back_at"};
    uint64_t last = 0;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        uint64_t ms = window_number(window, ends[i]);
        last = ms > last ? ms : last;
    }
    return last > 0 ? last : UINT64_MAX;
}

/* --- changes -----------------------------------------------------------------------------------------------
 */

static void end_hold(struct facts *facts, struct story *story, const struct change *change)
{
    uint64_t ms = change->at_ms - story->hold_ms;
    size_t i;
    json_t *hold;
    story->held_ms += ms;
    story->longest_ms = ms > story->longest_ms ? ms : story->longest_ms;
    json_array_foreach(facts->holds, i, hold)
    {
        if (json_integer_value(json_object_get(hold, "from_version")) == (json_int_t)story->hold_version &&
            json_integer_value(json_object_get(hold, "to_version")) == (json_int_t)change->version) {
            put_number(hold, "routes", (uint64_t)json_integer_value(json_object_get(hold, "routes")) + 1);
            story->hold_ms = 0;
            return;
        }
    }
    hold = need(json_object());
    put_number(hold, "from_version", story->hold_version);
    put_number(hold, "from_ms", story->hold_ms);
    put_number(hold, "to_version", change->version);
    put_number(hold, "to_ms", change->at_ms);
    put_number(hold, "ms", ms);
    put_number(hold, "routes", 1);
    json_array_append_new(facts->holds, hold);
    story->hold_ms = 0;
}

static void follow_cell(struct facts *facts, struct story *story, const struct window_cell *cell,
                        const struct change *change, const struct change_move *move)
{
    bool held = *move->to && move->state == ROUTE_HOLD;
    if (story->hold_ms > 0 && !held) {
        end_hold(facts, story, change);
    } else if (story->hold_ms == 0 && held) {
        story->hold_ms = change->at_ms;
        story->hold_version = change->version;
    }
    if (strcmp(move->to, cell->to) != 0) {
        if (story->moved_ms > 0) {
            story->back_ms = change->at_ms;
            story->back_version = change->version;
            story->came_ms = story->moved_ms;
        }
        story->moved_ms = story->moved_version = 0;
    } else if (strcmp(move->from, cell->to) != 0) {
        story->moved_ms = change->at_ms;
        story->moved_version = change->version;
        story->first_ms = story->first_ms > 0 ? story->first_ms : change->at_ms;
    }
}

static json_t *move_json(const struct change_move *move)
{
    json_t *object = need(json_object());
    json_put(object, "shortcode", json_text(move->shortcode));
    json_put(object, "carrier", json_text(move->carrier));
    json_put(object, "from", *move->from ? json_text(move->from) : json_null());
    json_put(object, "from_state", *move->from ? json_text(route_state_name(move->from_state)) : json_null());
    json_put(object, "to", *move->to ? json_text(move->to) : json_null());
    json_put(object, "state", *move->to ? json_text(route_state_name(move->state)) : json_null());
    return object;
}

/* The change's moves of cells of the window, which are followed. */
static json_t *follow_moves(struct facts *facts, const struct change *change)
{
    json_t *moves = need(json_array());
    for (size_t i = 0; i < change->moves_count; i++) {
        const struct change_move *move = &change->moves[i];
        const struct window_cell *cell = window_find(facts->window, move->shortcode, move->carrier);
        if (cell) {
            follow_cell(facts, &facts->stories[cell - facts->window->cells], cell, change, move);
            json_array_append_new(moves, move_json(move));
        }
    }
    return moves;
}

/* Adds which instance had applied it when, and after how long the last one had. False where the call failed. */
static bool put_applied(struct facts *facts, json_t *object, const struct change *change)
{
    json_t *applied = applied_read(facts->ctl->redis, change->version);
    const char *id;
    json_t *ms;
    json_int_t slowest = -1;
    if (!applied) {
        return false;
    }
    json_object_foreach(json_object_get(applied, "instances"), id, ms)
    {
        json_int_t after = json_integer_value(ms) - (json_int_t)change->at_ms;
        slowest = after > slowest ? after : slowest;
    }
    json_put(object, "applied", json_incref(json_object_get(applied, "instances")));
    json_put(object, "barrier", json_incref(json_object_get(applied, "barrier")));
    json_put(object, "slowest_ms", slowest >= 0 ? json_integer(slowest) : json_null());
    json_decref(applied);
    return true;
}

static void put_fields(const struct facts *facts, json_t *object, const redisReply *item)
{
    static const char *const texts[] = {"kind", "who", "why", "ticket"};
    static const char *const numbers[][2] = {
        {"undoes", "undoes"}, {"confirm", "confirm_by_ms"}, {"began", "began"}};
    char version[24];
    put_number(object, "version", entry_version(item));
    put_number(object, "at_ms", strtoull(entry_field(item, "at"), NULL, 10));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_put(object, texts[i], json_text(entry_field(item, texts[i])));
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        put_time(object, numbers[i][1], strtoull(entry_field(item, numbers[i][0]), NULL, 10));
    }
    json_put(object, "in_window", json_boolean(named(facts, entry_field(item, "window"))));
    json_put(object, "outside", json_boolean(*entry_field(item, "outside") != '\0'));
    json_put(object, "undoes_window", json_boolean(named(facts, entry_field(item, "undoes_window"))));
    snprintf(version, sizeof version, "%llu", (unsigned long long)entry_version(item));
    json_t *outcome = json_object_get(facts->confirmations, version);
    json_put(object, "outcome", outcome ? json_incref(outcome) : json_null());
}

/* Adds the change where it has to do with the window. False where a call failed. */
static bool add_change(struct facts *facts, const redisReply *item)
{
    const char *reason;
    struct change *change = entry_fine(item) ? entry_change(item, &reason) : NULL;
    if (!change) {
        return true;
    }
    bool fine = true;
    bool ours = named(facts, entry_field(item, "window"));
    if (ours || change->at_ms <= ended_ms(facts->window)) {
        json_t *moves = follow_moves(facts, change);
        json_t *object = need(json_object());
        ours = ours || json_array_size(moves) > 0;
        if (ours) {
            put_fields(facts, object, item);
            fine = put_applied(facts, object, change);
            facts->rollbacks += strcmp(change->kind, "rollback") == 0;
            json_array_append(facts->changes, object);
        }
        json_put(object, "moves", moves);
        json_decref(object);
    }
    change_free(change);
    return fine;
}

typedef bool item_taker(struct facts *facts, const redisReply *item);

/* Every entry of a stream from an id on. False where a call failed. */
static bool each_entry(struct facts *facts, const char *stream, const char *from, item_taker *take)
{
    char start[64];
    size_t count = PAGE;
    bool fine = true;
    snprintf(start, sizeof start, "%s", from);
    while (fine && count == PAGE) {
        char page_size[16];
        snprintf(page_size, sizeof page_size, "%d", PAGE);
        const char *const range[] = {
            "XRANGE", redis_key(facts->ctl->redis, "%s", stream), start, "+", "COUNT", page_size};
        redisReply *page = redis_call(facts->ctl->redis, range, 6);
        fine = page != NULL;
        count = fine ? page->elements : 0;
        for (size_t i = 0; fine && i < count; i++) {
            fine = take(facts, page->element[i]);
            snprintf(start, sizeof start, "(%s", redis_text(page->element[i], 0));
        }
        freeReplyObject(page);
    }
    return fine;
}

/* version -> what became of its deadline; of several the last. */
static bool add_confirmation(struct facts *facts, const redisReply *item)
{
    if (entry_fine(item)) {
        json_t *outcome = need(json_object());
        json_put(outcome, "outcome", json_text(entry_field(item, "outcome")));
        json_put(outcome, "who", json_text(entry_field(item, "who")));
        put_number(outcome, "at_ms", strtoull(entry_field(item, "at"), NULL, 10));
        json_put(facts->confirmations, entry_field(item, "version"), outcome);
    }
    return true;
}

static bool read_changes(struct facts *facts)
{
    uint64_t opened = window_number(facts->window, "opened_version");
    char from[24];
    snprintf(from, sizeof from, "%llu", (unsigned long long)opened);
    return each_entry(facts, "confirmations", "-", add_confirmation) &&
           (opened == 0 || each_entry(facts, "changes", from, add_change));
}

/* --- events and alarms -------------------------------------------------------------------------------------
 */

/* Is it about one of the changes, though it was made outside of the window? */
static bool of_our_change(const struct facts *facts, uint64_t version)
{
    size_t i;
    json_t *change;
    json_array_foreach(facts->changes, i, change)
    {
        if (version > 0 && json_integer_value(json_object_get(change, "version")) == (json_int_t)version) {
            return true;
        }
    }
    return false;
}

static bool add_event(struct facts *facts, const redisReply *item)
{
    static const char *const texts[] = {"kind", "who", "why", "ticket", "text"};
    if (!entry_fine(item)) {
        return true;
    }
    bool in_window = named(facts, entry_field(item, "window"));
    if (!in_window && !of_our_change(facts, strtoull(entry_field(item, "version"), NULL, 10))) {
        return true;
    }
    json_t *event = need(json_object());
    json_put(event, "in_window", json_boolean(in_window));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_put(event, texts[i], json_text(entry_field(item, texts[i])));
    }
    put_number(event, "at_ms", strtoull(entry_field(item, "at"), NULL, 10));
    put_time(event, "version", strtoull(entry_field(item, "version"), NULL, 10));
    json_array_append_new(json_object_get(facts->root, "events"), event);
    return true;
}

static bool read_events(struct facts *facts)
{
    char from[32];
    json_put(facts->root, "events", json_array());
    snprintf(from, sizeof from, "%llu", (unsigned long long)window_number(facts->window, "created"));
    return each_entry(facts, "events", from, add_event);
}

static bool read_alarms(struct facts *facts)
{
    json_t *alarms = need(json_array());
    redisReply *reply = redis_function(facts->ctl->redis, "turnout_alarms", NULL, 0);
    for (size_t i = reply ? reply->elements : 0; i > 1; i--) {
        json_t *alarm = json_loads(redis_text(reply, i - 1), 0, NULL);
        if (alarm && named(facts, json_member(alarm, "window"))) {
            json_array_append(alarms, alarm);
        }
        json_decref(alarm);
    }
    json_put(facts->root, "alarms", alarms);
    freeReplyObject(reply);
    return reply != NULL;
}

/* --- evidence ----------------------------------------------------------------------------------------------
 */

/* Is it the time that began with a change, or a later one? A route's time is kept in whole seconds. */
static bool is_since(uint64_t changed_ms, uint64_t ms)
{
    return ms > 0 && changed_ms / SECOND_MS >= ms / SECOND_MS;
}

static void add_number(json_t *sums, const char *name, uint64_t number)
{
    put_number(sums, name, (uint64_t)json_integer_value(json_object_get(sums, name)) + number);
}

static void add_counts(json_t *sums, const struct evidence_past *past)
{
    const struct {
        const char *name;
        uint64_t count;
    } counts[] = {{"mt_sent", past->mt_sent},       {"mt_accepted", past->mt_accepted},
                  {"mt_refused", past->mt_refused}, {"mt_unknown", past->mt_unknown},
                  {"refused", past->proxy_refused}, {"mo", past->mo},
                  {"receipts", past->receipts}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        add_number(sums, counts[i].name, counts[i].count);
    }
}

/* A platform's object of an array, which is added where there is none. */
static json_t *total_of(json_t *totals, const char *platform)
{
    size_t i;
    json_t *total;
    json_array_foreach(totals, i, total)
    {
        if (strcmp(json_member(total, "platform"), platform) == 0) {
            return total;
        }
    }
    total = need(json_object());
    json_put(total, "platform", json_text(platform));
    json_array_append_new(totals, total);
    return total;
}

static void add_totals(json_t *totals, const json_t *from)
{
    size_t i;
    json_t *object;
    json_array_foreach(from, i, object)
    {
        const char *name;
        json_t *value;
        json_t *total = total_of(totals, json_member(object, "platform"));
        json_object_foreach(object, name, value)
        {
            if (json_is_integer(value)) {
                add_number(total, name, (uint64_t)json_integer_value(value));
            }
        }
    }
}

/* By the new platform while the route named another, or by another while it named the new one. */
static void add_wrong(struct story *story, const struct evidence_past *past, bool by_new)
{
    *(by_new ? &story->early_mo : &story->stayed_mo) += past->wrong_mo;
    *(by_new ? &story->early_receipts : &story->stayed_receipts) += past->wrong_receipts;
}

/* What a platform did in one of the cell's times. Of the times before it first moved, only what came early belongs
 * here. */
static bool add_time(struct story *story, const struct window_cell *cell, const struct evidence_past *past)
{
    bool by_new = strcmp(past->platform, cell->to) == 0;
    bool since = is_since(past->changed_ms, story->first_ms);
    story->partly = story->partly || (!since && is_since(past->until_ms, story->first_ms));
    if (since || by_new) {
        add_wrong(story, past, by_new);
    }
    if (since && *past->platform) {
        story->counted = true;
        add_counts(total_of(story->totals, past->platform), past);
    }
    return since && by_new;
}

/* What the new platform has answered since it was left, but not what comes by it from handsets. */
static void add_left(struct story *story, const struct evidence_past *other)
{
    struct evidence_past late = *other;
    late.mo = 0;
    add_counts(story->carried, &late);
}

static void follow_evidence(struct facts *facts, struct story *story, const struct window_cell *cell)
{
    const struct evidence *evidence =
        evidence_set_find(&facts->evidence, cell->now.shortcode, cell->now.carrier);
    story->totals = need(json_array());
    story->carried = need(json_object());
    if (!evidence) {
        return;
    }
    for (size_t i = 0; i < EVIDENCE_PASTS && *evidence->pasts[i].platform; i++) {
        if (add_time(story, cell, &evidence->pasts[i])) {
            add_counts(story->carried, &evidence->pasts[i]);
        }
    }
    const struct evidence_past now = evidence_past_of(&evidence->now, evidence->changed_ms);
    const struct evidence_past other = evidence_past_of(&evidence->other, evidence->changed_ms);
    bool is_there = add_time(story, cell, &now);
    if (is_there && story->moved_ms == 0) { /* of a process that has not seen it leave */
        add_counts(story->carried, &now);
    }
    if (add_time(story, cell, &other)) {
        add_left(story, &other);
    }
}

static bool read_evidence(struct facts *facts)
{
    const struct window *window = facts->window;
    const char **shortcodes = need(calloc(window->count + 1, sizeof *shortcodes));
    size_t count = 0;
    for (size_t i = 0; i < window->count; i++) {
        const char *shortcode = window->cells[i].now.shortcode;
        if (count == 0 || strcmp(shortcodes[count - 1], shortcode) != 0) {
            shortcodes[count++] = shortcode;
        }
    }
    redisReply *reply = redis_function(facts->ctl->redis, "turnout_evidence_read", shortcodes,
                                       count <= SHORTCODES_ASKED_MAX ? count : 0);
    free(shortcodes);
    for (size_t i = 1; reply && i < reply->elements; i++) {
        const char *text = redis_text(reply, i);
        evidence_set_add(&facts->evidence, text, strlen(text));
    }
    evidence_set_sort(&facts->evidence);
    for (size_t i = 0; i < window->count; i++) {
        follow_evidence(facts, &facts->stories[i], &window->cells[i]);
    }
    freeReplyObject(reply);
    return reply != NULL;
}

/* Adds what was carried of a route before it went back: nothing where it did not. */
static void add_back(json_t *sums, const struct story *story)
{
    static const char *const names[] = {"mt_accepted", "mt_refused", "mt_unknown",
                                        "refused",     "mo",         "receipts"};
    bool went_back = story->back_ms > 0;
    add_number(sums, "routes", went_back);
    add_number(sums, "uncounted", went_back && !story->counted);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_int_t count = went_back ? json_integer_value(json_object_get(story->carried, names[i])) : 0;
        add_number(sums, names[i], (uint64_t)count);
    }
}

/* Adds a route's traffic by the wrong path, and whether its sum lacks something. */
static void add_story(json_t *object, const struct story *story)
{
    json_t *wrong = json_object_get(object, "wrong_path");
    if (!wrong) {
        wrong = need(json_object());
        json_put(object, "wrong_path", wrong);
        json_put(object, "totals", need(json_array()));
    }
    add_number(wrong, "early_mo", story->early_mo);
    add_number(wrong, "early_receipts", story->early_receipts);
    add_number(wrong, "stayed_mo", story->stayed_mo);
    add_number(wrong, "stayed_receipts", story->stayed_receipts);
    add_number(object, "partly_counted", story->partly);
    add_totals(json_object_get(object, "totals"), story->totals);
}

static json_t *went_back_json(const struct story *story)
{
    if (story->back_ms == 0) {
        return json_null();
    }
    json_t *object = need(json_object());
    put_number(object, "came_ms", story->came_ms);
    put_number(object, "left_ms", story->back_ms);
    put_number(object, "left_version", story->back_version);
    add_back(object, story);
    json_object_del(object, "routes");
    json_object_del(object, "uncounted");
    json_put(object, "counted", json_boolean(story->counted));
    return object;
}

/* The counters of a side, those that add up, added to an object's. */
static void add_side(json_t *sums, const struct evidence_side *side)
{
#define SUM_SUM(field) add_number(sums, #field, side->field);
#define SUM_FIRST(field)
#define SUM_LAST(field)
#define SUM_FIELD(field, merge, help) SUM_##merge(field)
    EVIDENCE_SIDE(SUM_FIELD)
#undef SUM_FIELD
#undef SUM_LAST
#undef SUM_FIRST
#undef SUM_SUM
}

/* What was seen of the platform where the cell has moved to; nothing of one that has not moved. */
static const struct evidence_side *side_moved(const struct window_cell *cell, const struct evidence *evidence)
{
    static const struct evidence_side none;
    bool moved = cell->state == WINDOW_CELL_MOVED || cell->state == WINDOW_CELL_MOVED_HELD;
    return moved && evidence && strcmp(evidence->now.platform, cell->to) == 0 ? &evidence->now : &none;
}

/* --- routes, carriers, all ---------------------------------------------------------------------------------
 */

static void put_routes(struct facts *facts)
{
    json_t *routes = need(json_array());
    for (size_t i = 0; i < facts->window->count; i++) {
        const struct window_cell *cell = &facts->window->cells[i];
        const struct evidence *evidence =
            evidence_set_find(&facts->evidence, cell->now.shortcode, cell->now.carrier);
        json_t *route = window_cell_json(cell);
        put_time(route, "moved_ms", facts->stories[i].moved_ms);
        put_time(route, "moved_version", facts->stories[i].moved_version);
        put_number(route, "held_ms", facts->stories[i].held_ms);
        json_put(route, "went_back", went_back_json(&facts->stories[i]));
        add_story(route, &facts->stories[i]);
        json_put(route, "evidence", evidence ? evidence_json(evidence) : json_null());
        json_array_append_new(routes, route);
    }
    json_put(facts->root, "routes", routes);
}

static void put_counts(json_t *object, const struct window *window, const char *carrier)
{
    static const char *const names[WINDOW_CELL_STATE_COUNT] = {
        [WINDOW_CELL_NO_ROW] = "no_row",         [WINDOW_CELL_WAITING] = "waiting",
        [WINDOW_CELL_WAITING_HELD] = "not_open", [WINDOW_CELL_THERE] = "there_before",
        [WINDOW_CELL_MOVED] = "moved",           [WINDOW_CELL_MOVED_HELD] = "not_open",
        [WINDOW_CELL_ELSEWHERE] = "elsewhere"};
    uint64_t routes = 0;
    for (enum window_cell_state state = 0; state < WINDOW_CELL_STATE_COUNT; state++) {
        uint64_t count = window_count(window, carrier, state);
        uint64_t before = (uint64_t)json_integer_value(json_object_get(object, names[state]));
        put_number(object, names[state], before + count);
        routes += count;
    }
    put_number(object, "routes", routes);
}

static void add_text(json_t *array, const char *text)
{
    size_t i;
    json_t *item;
    json_array_foreach(array, i, item)
    {
        if (strcmp(json_string_value(item), text) == 0) {
            return;
        }
    }
    json_array_append_new(array, json_text(text));
}

static json_t *carrier_json(const struct facts *facts, const char *carrier)
{
    json_t *object = need(json_object());
    json_t *to = need(json_array());
    json_t *messages = need(json_object());
    json_t *back = need(json_object());
    struct story all = {0};
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < facts->window->count; i++) {
        const struct cell *cell = &facts->window->cells[i].now;
        const struct story *story = &facts->stories[i];
        if (strcmp(cell->carrier, carrier) == 0) {
            const struct evidence *evidence = evidence_set_find(&facts->evidence, cell->shortcode, carrier);
            add_side(messages, side_moved(&facts->window->cells[i], evidence));
            add_back(back, story);
            add_story(object, story);
            add_text(to, facts->window->cells[i].to);
            first = story->moved_ms > 0 && story->moved_ms < first ? story->moved_ms : first;
            all.moved_ms = story->moved_ms > all.moved_ms ? story->moved_ms : all.moved_ms;
            all.longest_ms = story->longest_ms > all.longest_ms ? story->longest_ms : all.longest_ms;
        }
    }
    json_put(object, "carrier", json_text(carrier));
    json_put(object, "to", to);
    put_counts(object, facts->window, carrier);
    put_time(object, "first_moved_ms", first == UINT64_MAX ? 0 : first);
    put_time(object, "last_moved_ms", all.moved_ms);
    put_number(object, "longest_hold_ms", all.longest_ms);
    json_put(object, "messages", messages);
    json_put(object, "went_back", back);
    return object;
}

static void put_carriers(struct facts *facts)
{
    json_t *carriers = need(json_array());
    char name[NAME_LEN_MAX + 1];
    const char *rest = NULL;
    while (window_carrier_next(facts->window, &rest, name)) {
        json_array_append_new(carriers, carrier_json(facts, name));
    }
    json_put(facts->root, "carriers", carriers);
}

static void put_summary(struct facts *facts)
{
    json_t *summary = need(json_object());
    json_t *messages = need(json_object());
    json_t *back = need(json_object());
    uint64_t longest = 0;
    for (size_t i = 0; i < facts->window->count; i++) {
        const struct cell *cell = &facts->window->cells[i].now;
        const struct evidence *evidence = evidence_set_find(&facts->evidence, cell->shortcode, cell->carrier);
        add_side(messages, side_moved(&facts->window->cells[i], evidence));
        add_back(back, &facts->stories[i]);
        add_story(summary, &facts->stories[i]);
        longest = facts->stories[i].longest_ms > longest ? facts->stories[i].longest_ms : longest;
    }
    put_counts(summary, facts->window, NULL);
    put_number(summary, "changes", json_array_size(facts->changes));
    put_number(summary, "rollbacks", facts->rollbacks);
    put_number(summary, "alarms", json_array_size(json_object_get(facts->root, "alarms")));
    put_number(summary, "longest_hold_ms", longest);
    json_put(summary, "messages", messages);
    json_put(summary, "went_back", back);
    json_put(facts->root, "summary", summary);
}

json_t *window_facts(struct ctl *ctl, const struct window *window)
{
    struct facts facts = {.ctl = ctl,
                          .window = window,
                          .stories = need(calloc(window->count + 1, sizeof(struct story))),
                          .root = need(json_object()),
                          .changes = need(json_array()),
                          .holds = need(json_array()),
                          .confirmations = need(json_object())};
    bool fine = read_changes(&facts) && read_events(&facts) && read_alarms(&facts) && read_evidence(&facts);
    if (fine) {
        json_put(facts.root, "window", window_json(window));
        put_number(facts.root, "generated_ms", window->now_ms);
        put_number(facts.root, "table_version", window->version);
        put_routes(&facts);
        put_carriers(&facts);
        put_summary(&facts);
        json_put(facts.root, "changes", json_incref(facts.changes));
        json_put(facts.root, "holds", json_incref(facts.holds));
    } else {
        json_decref(facts.root);
    }
    json_decref(facts.changes);
    json_decref(facts.holds);
    json_decref(facts.confirmations);
    evidence_set_free(&facts.evidence);
    for (size_t i = 0; i < window->count; i++) {
        json_decref(facts.stories[i].totals);
        json_decref(facts.stories[i].carried);
    }
    free(facts.stories);
    return fine ? facts.root : NULL;
}
