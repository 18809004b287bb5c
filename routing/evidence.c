/* EVIDENCE_SIDE, _BEFORE, _CELL ──▶ names, offsets and ways to merge ──▶ JSON, parse, merge
 *
 * Each set of counters is a table made from its list, so that a counter that is added there is written, read and
 * merged without another line. */
#include "routing/evidence.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum merge { SUM, LAST, FIRST };

struct member {
    const char *name;
    size_t offset;
    enum merge merge;
};

#define SIDE_ROW(field, merge, help)   {#field, offsetof(struct evidence_side, field), merge},
#define BEFORE_ROW(field, merge, help) {#field, offsetof(struct evidence_before, field), merge},
#define CELL_ROW(field, merge, help)   {#field, offsetof(struct evidence, field), merge},
static const struct member side_members[] = {EVIDENCE_SIDE(SIDE_ROW)};
static const struct member before_members[] = {EVIDENCE_BEFORE(BEFORE_ROW)};
static const struct member cell_members[] = {EVIDENCE_CELL(CELL_ROW)};
#define COUNT(table) (sizeof(table) / sizeof *(table))

static uint64_t *member_of(void *object, const struct member *member)
{
    return (uint64_t *)(void *)((char *)object + member->offset);
}

static uint64_t value_of(const void *object, const struct member *member)
{
    return *(const uint64_t *)(const void *)((const char *)object + member->offset);
}

/* --- merge ---------------------------------------------------------------------------------------------- */

static uint64_t earlier(uint64_t one, uint64_t other)
{
    return one == 0 || (other != 0 && other < one) ? other : one;
}

static void merge_members(void *into, const void *from, const struct member *members, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t *to = member_of(into, &members[i]);
        uint64_t with = value_of(from, &members[i]);
        switch (members[i].merge) {
        case SUM: *to += with; break;
        case LAST: *to = with > *to ? with : *to; break;
        case FIRST: *to = earlier(*to, with); break;
        }
    }
}

/* Up the list, past those that are less frequent. */
static void rise(struct evidence_status *statuses, size_t at)
{
    for (; at > 0 && statuses[at - 1].count < statuses[at].count; at--) {
        struct evidence_status its = statuses[at];
        statuses[at] = statuses[at - 1];
        statuses[at - 1] = its;
    }
}

/* The most frequent stay; what has no place is left to the difference from mt_refused. */
void evidence_refusal(struct evidence_side *side, uint32_t status, uint64_t count)
{
    size_t at = 0;
    while (at < EVIDENCE_STATUSES && side->statuses[at].count > 0 && side->statuses[at].status != status) {
        at++;
    }
    if (at == EVIDENCE_STATUSES) {
        at--;
        if (side->statuses[at].count >= count) {
            return;
        }
        side->statuses[at].count = 0;
    }
    side->statuses[at].status = status;
    side->statuses[at].count += count;
    rise(side->statuses, at);
}

/* One side of a record has a platform that the other record has no side for: it stays as it is. */
static void merge_side(struct evidence_side *into, const struct evidence_side *from)
{
    if (into->platform[0] == '\0') {
        *into = *from;
        return;
    }
    if (strcmp(into->platform, from->platform) != 0) {
        return;
    }
    merge_members(into, from, side_members, COUNT(side_members));
    for (size_t i = 0; i < EVIDENCE_STATUSES && from->statuses[i].count > 0; i++) {
        evidence_refusal(into, from->statuses[i].status, from->statuses[i].count);
    }
}

/* Both lists are brought to the later minute. */
static void merge_minutes(struct evidence *into, const struct evidence *from)
{
    uint64_t last = into->minute > from->minute ? into->minute : from->minute;
    uint32_t minutes[EVIDENCE_MINUTES];
    for (size_t i = 0; i < EVIDENCE_MINUTES; i++) {
        uint64_t minute = last - i;
        uint64_t its = into->minute - minute;
        uint64_t other = from->minute - minute; /* wraps where it is later: beyond the list */
        minutes[i] = (its < EVIDENCE_MINUTES ? into->minutes[its] : 0) +
                     (other < EVIDENCE_MINUTES ? from->minutes[other] : 0);
    }
    memcpy(into->minutes, minutes, sizeof minutes);
    into->minute = last;
}

void evidence_merge(struct evidence *into, const struct evidence *from)
{
    if (from->changed_ms < into->changed_ms ||
        (from->changed_ms == into->changed_ms && strcmp(into->now.platform, from->now.platform) != 0)) {
        return;
    }
    if (from->changed_ms > into->changed_ms) {
        *into = *from;
        return;
    }
    merge_side(&into->now, &from->now);
    merge_side(&into->other, &from->other);
    merge_members(&into->before, &from->before, before_members, COUNT(before_members));
    merge_members(into, from, cell_members, COUNT(cell_members));
    merge_minutes(into, from);
}

/* --- what it says --------------------------------------------------------------------------------------- */

uint64_t evidence_hour(const struct evidence *evidence, uint64_t now_minute)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < EVIDENCE_MINUTES; i++) {
        bool within = evidence->minute + EVIDENCE_MINUTES > now_minute + i;
        sum += within ? evidence->minutes[i] : 0;
    }
    return sum;
}

struct evidence_share evidence_share_now(const struct evidence *evidence)
{
    const struct evidence_side *side = &evidence->now;
    uint64_t wrong =
        side->mt_refused + side->mt_unknown + side->held_expired + side->held_full + side->refused_else;
    return (struct evidence_share){.all = side->mt_accepted + wrong, .wrong = wrong};
}

struct evidence_share evidence_share_before(const struct evidence *evidence)
{
    const struct evidence_before *before = &evidence->before;
    uint64_t wrong = before->mt_refused + before->mt_unknown + before->proxy_refused;
    return (struct evidence_share){.all = before->mt_accepted + wrong, .wrong = wrong};
}

/* Of a side, what is true of the time before the move as well. */
static struct evidence_side last_times(const struct evidence_side *side)
{
    struct evidence_side kept = {.mt_last_ms = side->mt_last_ms,
                                 .mo_last_ms = side->mo_last_ms,
                                 .receipt_last_ms = side->receipt_last_ms};
    memcpy(kept.platform, side->platform, sizeof kept.platform);
    return kept;
}

/* Messages that wait while the route turns are released, or not, by the new one. */
static uint64_t still_waiting(const struct evidence_side *side)
{
    uint64_t ended = side->released + side->held_expired;
    return side->waited > ended ? side->waited - ended : 0;
}

void evidence_turn(struct evidence *evidence, const char *platform, uint64_t changed_ms)
{
    const struct evidence_side was = evidence->now;
    bool to_other = strcmp(evidence->other.platform, platform) == 0;
    struct evidence_share share = evidence_share_now(evidence);
    evidence->before = (struct evidence_before){
        .mt_accepted = was.mt_accepted,
        .mt_refused = was.mt_refused,
        .mt_unknown = was.mt_unknown,
        .proxy_refused = share.wrong - was.mt_refused - was.mt_unknown,
        .mo = was.mo,
        .receipts = was.receipts,
        .since_ms = evidence->since_ms,
    };
    if (strcmp(was.platform, platform) == 0) { /* it has led elsewhere meanwhile */
        evidence->now = last_times(&was);
        evidence->other = last_times(&evidence->other);
    } else {
        evidence->now = to_other ? last_times(&evidence->other) : (struct evidence_side){.mt_sent = 0};
        snprintf(evidence->now.platform, sizeof evidence->now.platform, "%s", platform);
        evidence->other = last_times(&was);
    }
    evidence->now.waited = still_waiting(&was);
    evidence->changed_ms = evidence->since_ms = changed_ms;
    evidence->mo_twice = evidence->mo_twice_first_ms = evidence->mo_twice_last_ms = evidence->elsewhere = 0;
}

/* --- JSON ----------------------------------------------------------------------------------------------- */

static void put_members(json_t *object, const void *from, const struct member *members, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = value_of(from, &members[i]);
        if (value != 0) {
            json_object_set_new(object, members[i].name, json_integer((json_int_t)value));
        }
    }
}

static json_t *side_json(const struct evidence_side *side)
{
    json_t *object = json_object();
    json_t *statuses = json_array();
    put_members(object, side, side_members, COUNT(side_members));
    json_object_set_new(object, "platform", json_string(side->platform));
    for (size_t i = 0; i < EVIDENCE_STATUSES && side->statuses[i].count > 0; i++) {
        json_array_append_new(statuses, json_pack("[II]", (json_int_t)side->statuses[i].status,
                                                  (json_int_t)side->statuses[i].count));
    }
    json_object_set_new(object, "statuses", statuses);
    return object;
}

/* Without the minutes at the end in which nothing was sent. */
static json_t *minutes_json(const struct evidence *evidence)
{
    json_t *array = json_array();
    size_t count = EVIDENCE_MINUTES;
    while (count > 0 && evidence->minutes[count - 1] == 0) {
        count--;
    }
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(array, json_integer(evidence->minutes[i]));
    }
    return array;
}

struct json_t *evidence_json(const struct evidence *evidence)
{
    json_t *before = json_object();
    json_t *object = json_pack("{sssssI}", "shortcode", evidence->shortcode, "carrier", evidence->carrier,
                               "changed_ms", (json_int_t)evidence->changed_ms);
    put_members(before, &evidence->before, before_members, COUNT(before_members));
    put_members(object, evidence, cell_members, COUNT(cell_members));
    json_object_set_new(object, "now", side_json(&evidence->now));
    json_object_set_new(object, "other", side_json(&evidence->other));
    json_object_set_new(object, "before", before);
    json_object_set_new(object, "minute", json_integer((json_int_t)evidence->minute));
    json_object_set_new(object, "minutes", minutes_json(evidence));
    return object;
}

char *evidence_text(const struct evidence *evidence)
{
    json_t *object = evidence_json(evidence);
    char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return text;
}

static uint64_t number_in(const json_t *object, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(object, name));
    return value > 0 ? (uint64_t)value : 0;
}

static void take_members(const json_t *object, void *into, const struct member *members, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        *member_of(into, &members[i]) = number_in(object, members[i].name);
    }
}

/* False where it is missing or too long. */
static bool take_text(const json_t *object, const char *name, char *into, size_t size)
{
    const char *text = json_string_value(json_object_get(object, name));
    if (text == NULL || strlen(text) >= size) {
        return false;
    }
    memcpy(into, text, strlen(text) + 1);
    return true;
}

static bool take_side(const json_t *object, struct evidence_side *side)
{
    size_t i;
    json_t *pair;
    if (!take_text(object, "platform", side->platform, sizeof side->platform)) {
        return false;
    }
    take_members(object, side, side_members, COUNT(side_members));
    json_array_foreach(json_object_get(object, "statuses"), i, pair)
    {
        json_int_t count = json_integer_value(json_array_get(pair, 1));
        if (count > 0) {
            evidence_refusal(side, (uint32_t)json_integer_value(json_array_get(pair, 0)), (uint64_t)count);
        }
    }
    return true;
}

static bool take(const json_t *object, struct evidence *evidence)
{
    size_t i;
    json_t *count;
    if (!take_text(object, "shortcode", evidence->shortcode, sizeof evidence->shortcode) ||
        !take_text(object, "carrier", evidence->carrier, sizeof evidence->carrier) ||
        !take_side(json_object_get(object, "now"), &evidence->now) ||
        !take_side(json_object_get(object, "other"), &evidence->other)) {
        return false;
    }
    take_members(json_object_get(object, "before"), &evidence->before, before_members, COUNT(before_members));
    take_members(object, evidence, cell_members, COUNT(cell_members));
    evidence->changed_ms = number_in(object, "changed_ms");
    evidence->minute = number_in(object, "minute");
    json_array_foreach(json_object_get(object, "minutes"), i, count)
    {
        if (i < EVIDENCE_MINUTES && json_integer_value(count) > 0) {
            evidence->minutes[i] = (uint32_t)json_integer_value(count);
        }
    }
    return true;
}

bool evidence_parse(const char *text, size_t len, struct evidence *evidence)
{
    json_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    struct evidence parsed = {.changed_ms = 0};
    bool fine = json_is_object(object) && take(object, &parsed);
    json_decref(object);
    if (fine) {
        *evidence = parsed;
    }
    return fine;
}

/* --- sets ----------------------------------------------------------------------------------------------- */

bool evidence_set_add(struct evidence_set *set, const char *text, size_t len)
{
    if (set->count == set->space) {
        size_t space = set->space == 0 ? 16 : set->space * 2;
        struct evidence *items = reallocarray(set->items, space, sizeof *items);
        if (items == NULL) {
            return false;
        }
        set->items = items;
        set->space = space;
    }
    bool fine = evidence_parse(text, len, &set->items[set->count]);
    set->count += fine;
    return fine;
}

static int by_cell(const void *left_item, const void *right_item)
{
    const struct evidence *left = left_item;
    const struct evidence *right = right_item;
    int order = strcmp(left->shortcode, right->shortcode);
    return order != 0 ? order : strcmp(left->carrier, right->carrier);
}

void evidence_set_sort(struct evidence_set *set)
{
    size_t kept = 0;
    if (set->count == 0) {
        return;
    }
    qsort(set->items, set->count, sizeof *set->items, by_cell);
    for (size_t i = 1; i < set->count; i++) {
        if (by_cell(&set->items[kept], &set->items[i]) == 0) {
            evidence_merge(&set->items[kept], &set->items[i]);
        } else {
            set->items[++kept] = set->items[i];
        }
    }
    set->count = kept + 1;
}

const struct evidence *evidence_set_find(const struct evidence_set *set, const char *shortcode,
                                         const char *carrier)
{
    size_t low = 0;
    size_t high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(set->items[middle].shortcode, shortcode);
        order = order != 0 ? order : strcmp(set->items[middle].carrier, carrier);
        if (order == 0) {
            return &set->items[middle];
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

void evidence_set_free(struct evidence_set *set)
{
    free(set->items);
    *set = (struct evidence_set){.count = 0};
}
