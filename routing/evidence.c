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
#define PAST_ROW(field, merge, help)   {#field, offsetof(struct evidence_past, field), merge},
#define CELL_ROW(field, merge, help)   {#field, offsetof(struct evidence, field), merge},
static const struct member side_members[] = {EVIDENCE_SIDE(SIDE_ROW)};
static const struct member before_members[] = {EVIDENCE_BEFORE(BEFORE_ROW)};
static const struct member past_members[] = {EVIDENCE_PAST(PAST_ROW)};
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

/* False where one has a platform that the other record has no side for: it stays as it is. */
static bool merge_side(struct evidence_side *into, const struct evidence_side *from)
{
    if (into->platform[0] == '\0') {
        *into = *from;
        return true;
    }
    if (strcmp(into->platform, from->platform) != 0) {
        return false;
    }
    merge_members(into, from, side_members, COUNT(side_members));
    for (size_t i = 0; i < EVIDENCE_STATUSES && from->statuses[i].count > 0; i++) {
        evidence_refusal(into, from->statuses[i].status, from->statuses[i].count);
    }
    return true;
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

/* --- the past ------------------------------------------------------------------------------------------- */

static bool is_past(const struct evidence *evidence, size_t at)
{
    return at < EVIDENCE_PASTS && evidence->pasts[at].platform[0] != '\0';
}

static bool is_empty(const struct evidence_past *past)
{
    uint64_t any = 0;
    for (size_t i = 0; i < COUNT(past_members); i++) {
        any |= value_of(past, &past_members[i]);
    }
    return any == 0;
}

static uint64_t last_began(const struct evidence_past *past)
{
    return past->until_ms > past->changed_ms ? past->until_ms : past->changed_ms;
}

static void past_take(struct evidence_past *into, const struct evidence_past *from)
{
    uint64_t last = last_began(from) > last_began(into) ? last_began(from) : last_began(into);
    into->changed_ms = from->changed_ms < into->changed_ms ? from->changed_ms : into->changed_ms;
    into->until_ms = last > into->changed_ms ? last : 0;
    merge_members(into, from, past_members, COUNT(past_members));
}

/* Where the oldest is that has a later one of its platform, which is *next; EVIDENCE_PASTS where none has. */
static size_t oldest_pair(const struct evidence *evidence, size_t *next)
{
    const struct evidence_past *pasts = evidence->pasts;
    size_t best = EVIDENCE_PASTS;
    for (size_t i = 0; i < EVIDENCE_PASTS; i++) {
        size_t with = EVIDENCE_PASTS;
        for (size_t j = 0; j < EVIDENCE_PASTS; j++) {
            bool later = j != i && strcmp(pasts[i].platform, pasts[j].platform) == 0 &&
                         pasts[j].changed_ms >= pasts[i].changed_ms;
            with =
                later && (with == EVIDENCE_PASTS || pasts[j].changed_ms < pasts[with].changed_ms) ? j : with;
        }
        if (with < EVIDENCE_PASTS &&
            (best == EVIDENCE_PASTS || pasts[i].changed_ms < pasts[best].changed_ms)) {
            best = i;
            *next = with;
        }
    }
    return best;
}

/* A free place, the two oldest of a platform made one if need be. Of twelve platforms or more, which no route has had,
 * the first gives way. */
static size_t past_place(struct evidence *evidence)
{
    size_t next = 0;
    size_t at = 0;
    while (is_past(evidence, at)) {
        at++;
    }
    if (at < EVIDENCE_PASTS) {
        return at;
    }
    at = oldest_pair(evidence, &next);
    if (at == EVIDENCE_PASTS) {
        return 0;
    }
    past_take(&evidence->pasts[at], &evidence->pasts[next]);
    return next;
}

void evidence_past_add(struct evidence *evidence, const struct evidence_past *past)
{
    if (past->platform[0] == '\0' || is_empty(past)) {
        return;
    }
    for (size_t i = 0; is_past(evidence, i); i++) {
        struct evidence_past *its = &evidence->pasts[i];
        if (its->changed_ms == past->changed_ms && strcmp(its->platform, past->platform) == 0) {
            past_take(its, past);
            return;
        }
    }
    evidence->pasts[past_place(evidence)] = *past;
}

struct evidence_past evidence_past_of(const struct evidence_side *side, uint64_t changed_ms)
{
    struct evidence_past past = {
        .changed_ms = changed_ms,
        .mt_sent = side->mt_sent,
        .mt_accepted = side->mt_accepted,
        .mt_refused = side->mt_refused,
        .mt_unknown = side->mt_unknown,
        .proxy_refused = side->held_expired + side->held_full + side->closed + side->refused_else,
        .mo = side->mo,
        .receipts = side->receipts,
        .wrong_mo = side->wrong_mo,
        .wrong_receipts = side->wrong_receipts,
    };
    memcpy(past.platform, side->platform, sizeof past.platform);
    return past;
}

/* What both sides have counted belongs to the past. */
static void end_sides(struct evidence *evidence)
{
    const struct evidence_past now = evidence_past_of(&evidence->now, evidence->changed_ms);
    const struct evidence_past other = evidence_past_of(&evidence->other, evidence->changed_ms);
    evidence_past_add(evidence, &now);
    evidence_past_add(evidence, &other);
}

static void merge_pasts(struct evidence *into, const struct evidence *from)
{
    for (size_t i = 0; is_past(from, i); i++) {
        evidence_past_add(into, &from->pasts[i]);
    }
}

/* The one of the later move stays; the other is past. */
static void merge_later(struct evidence *into, const struct evidence *from)
{
    bool is_later = from->changed_ms > into->changed_ms;
    struct evidence earlier = is_later ? *into : *from;
    if (is_later) {
        *into = *from;
    }
    end_sides(&earlier);
    merge_pasts(into, &earlier);
}

void evidence_merge(struct evidence *into, const struct evidence *from)
{
    if (from->changed_ms != into->changed_ms || strcmp(into->now.platform, from->now.platform) != 0) {
        merge_later(into, from);
        return;
    }
    (void)merge_side(&into->now, &from->now);
    if (!merge_side(&into->other, &from->other)) {
        const struct evidence_past past = evidence_past_of(&from->other, from->changed_ms);
        evidence_past_add(into, &past);
    }
    merge_members(&into->before, &from->before, before_members, COUNT(before_members));
    merge_members(into, from, cell_members, COUNT(cell_members));
    merge_pasts(into, from);
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
    end_sides(evidence);
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

static json_t *pasts_json(const struct evidence *evidence)
{
    json_t *array = json_array();
    for (size_t i = 0; is_past(evidence, i); i++) {
        const struct evidence_past *past = &evidence->pasts[i];
        json_t *object =
            json_pack("{sssI}", "platform", past->platform, "changed_ms", (json_int_t)past->changed_ms);
        if (past->until_ms != 0) {
            json_object_set_new(object, "until_ms", json_integer((json_int_t)past->until_ms));
        }
        put_members(object, past, past_members, COUNT(past_members));
        json_array_append_new(array, object);
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
    if (is_past(evidence, 0)) {
        json_object_set_new(object, "pasts", pasts_json(evidence));
    }
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

static void take_pasts(const json_t *array, struct evidence *evidence)
{
    size_t i;
    json_t *object;
    json_array_foreach(array, i, object)
    {
        struct evidence_past past = {.changed_ms = number_in(object, "changed_ms"),
                                     .until_ms = number_in(object, "until_ms")};
        take_members(object, &past, past_members, COUNT(past_members));
        if (take_text(object, "platform", past.platform, sizeof past.platform)) {
            evidence_past_add(evidence, &past);
        }
    }
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
    take_pasts(json_object_get(object, "pasts"), evidence);
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
