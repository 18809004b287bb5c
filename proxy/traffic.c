/* shortcode, carrier ──pack──▶ three words ──hash──▶ index ──▶ place ──▶ cell
 *
 * A shortcode has at most 20 octets, so that it and its carrier fit into three words which are the key itself,
 * not a hash of it. */
#include "proxy/traffic.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PLACE_BITS = 20,
    GENERATION_STEP = 1 << PLACE_BITS,
    CANDIDATES = 16, /* cells that are looked at for one to be replaced */
    CARRIER_SHIFT = 32,
    TAKEN_SHIFT = 40,
    WORD = 8, /* octets */
};
#define IDLE_NS UINT64_C(60000000000)
#define NS_A_MS UINT64_C(1000000)
#define SPREAD  UINT64_C(0x9E3779B97F4A7C15) /* 2^64 over the golden ratio */

struct key {
    uint64_t first, second, last; /* scalars: an array would go through memory */
};

/* --- keys ----------------------------------------------------------------------------------------------- */

static uint64_t load64(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return le64toh(word);
}

static uint64_t load32(const char *p)
{
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return le32toh(word);
}

/* Up to eight octets, the rest 0; a shortcode has none that is 0. Loads that overlap agree where they do. */
static inline uint64_t pack(const char *p, size_t len)
{
    if (len >= WORD) {
        return load64(p);
    }
    if (len >= WORD / 2) {
        return load32(p) | load32(p + len - WORD / 2) << (len - WORD / 2) * 8;
    }
    uint64_t word = 0;
    for (size_t i = 0; i < len; i++) {
        word |= (uint64_t)(uint8_t)p[i] << i * 8;
    }
    return word;
}

static inline struct key key_of(const char *shortcode, size_t len, uint8_t carrier)
{
    uint64_t last = (uint64_t)1 << TAKEN_SHIFT | (uint64_t)carrier << CARRIER_SHIFT;
    uint64_t second = len > WORD ? pack(shortcode + WORD, len - WORD) : 0;
    if (len > (size_t)2 * WORD) {
        last |= pack(shortcode + (size_t)2 * WORD, len - (size_t)2 * WORD);
    }
    return (struct key){pack(shortcode, len), second, last};
}

static uint64_t get(const metric *m)
{
    return atomic_load_explicit(m, memory_order_relaxed);
}

/* A value that is read under the epoch: not before the epoch has become odd. */
static void set(metric *m, uint64_t value)
{
    atomic_store_explicit(m, value, memory_order_release);
}

static inline uint32_t slot_of(const struct traffic *traffic, const struct key *key)
{
    uint64_t hash =
        (key->first ^ key->second * 3 ^ (key->last >> CARRIER_SHIFT | key->last << CARRIER_SHIFT)) * SPREAD;
    return (uint32_t)(hash >> 32) & traffic->mask;
}

static inline bool is_key(const struct traffic_cell *cell, const struct key *key)
{
    return get(&cell->key[0]) == key->first && get(&cell->key[2]) == key->last &&
           get(&cell->key[1]) == key->second;
}

static inline struct traffic_cell *find(const struct traffic *traffic, const struct key *key)
{
    for (uint32_t slot = slot_of(traffic, key);; slot = (slot + 1) & traffic->mask) {
        uint32_t place = traffic->index[slot];
        if (place == 0 || is_key(&traffic->cells[place], key)) {
            return place == 0 ? NULL : &traffic->cells[place];
        }
    }
}

static struct key key_in(const struct traffic_cell *cell)
{
    return (struct key){get(&cell->key[0]), get(&cell->key[1]), get(&cell->key[2])};
}

/* --- the index ------------------------------------------------------------------------------------------ */

static void index_add(struct traffic *traffic, uint32_t place)
{
    struct key key = key_in(&traffic->cells[place]);
    uint32_t slot = slot_of(traffic, &key);
    while (traffic->index[slot] != 0) {
        slot = (slot + 1) & traffic->mask;
    }
    traffic->index[slot] = place;
}

/* Those behind it that had to go past it move up: no mark of what was deleted is left. */
static void index_remove(struct traffic *traffic, uint32_t place)
{
    struct key key = key_in(&traffic->cells[place]);
    uint32_t hole = slot_of(traffic, &key);
    while (traffic->index[hole] != place) {
        hole = (hole + 1) & traffic->mask;
    }
    for (uint32_t slot = (hole + 1) & traffic->mask; traffic->index[slot] != 0;
         slot = (slot + 1) & traffic->mask) {
        key = key_in(&traffic->cells[traffic->index[slot]]);
        uint32_t home = slot_of(traffic, &key);
        if (((slot - home) & traffic->mask) >= ((slot - hole) & traffic->mask)) {
            traffic->index[hole] = traffic->index[slot];
            hole = slot;
        }
    }
    traffic->index[hole] = 0;
}

/* --- cells ---------------------------------------------------------------------------------------------- */

static void epoch_begin(struct traffic_cell *cell)
{
    atomic_fetch_add_explicit(&cell->epoch, 1, memory_order_seq_cst);
}

static void epoch_end(struct traffic_cell *cell)
{
    atomic_fetch_add_explicit(&cell->epoch, 1, memory_order_release);
}

/* Of a side, what is true of the time before a move as well. */
struct last {
    uint64_t mt, mo, receipt;
};

static struct last last_of(const struct traffic_side *side)
{
    return (struct last){get(&side->mt_last_ms), get(&side->mo_last_ms), get(&side->receipt_last_ms)};
}

static void side_begin(struct traffic_side *side, uint8_t platform, struct last last)
{
#define CLEAR(field) set(&side->field, 0);
    TRAFFIC_COUNTS(CLEAR)
    TRAFFIC_TIMES(CLEAR)
#undef CLEAR
    set(&side->waited_longest, 0);
    for (unsigned i = 0; i < EVIDENCE_STATUSES; i++) {
        set(&side->statuses[i].count, 0);
    }
    set(&side->mt_last_ms, last.mt);
    set(&side->mo_last_ms, last.mo);
    set(&side->receipt_last_ms, last.receipt);
    atomic_store_explicit(&side->platform, platform, memory_order_release);
}

static uint8_t platform_of(const struct traffic_side *side)
{
    return atomic_load_explicit(&side->platform, memory_order_relaxed);
}

/* --- earlier times -------------------------------------------------------------------------------------- */

/* A platform's number, and one, stands for its name: evidence.h compares texts, and "" is none. */
static void past_load(const struct traffic_past *past, struct evidence_past *to)
{
    to->platform[0] = (char)atomic_load_explicit(&past->platform, memory_order_relaxed);
    to->platform[1] = '\0';
    to->changed_ms = atomic_load_explicit(&past->changed, memory_order_relaxed);
    to->until_ms = atomic_load_explicit(&past->until, memory_order_relaxed);
#define LOAD(field, merge, help) to->field = get(&past->field);
    EVIDENCE_PAST(LOAD)
#undef LOAD
}

static void past_store(struct traffic_past *past, const struct evidence_past *from)
{
    atomic_store_explicit(&past->changed, (uint32_t)from->changed_ms, memory_order_release);
    atomic_store_explicit(&past->until, (uint32_t)from->until_ms, memory_order_release);
#define STORE(field, merge, help) set(&past->field, from->field);
    EVIDENCE_PAST(STORE)
#undef STORE
    atomic_store_explicit(&past->platform, (uint8_t)from->platform[0], memory_order_release);
}

static struct evidence_past past_of(const struct traffic_side *side, uint32_t changed)
{
    struct evidence_past past = {
        .changed_ms = changed, /* seconds here */
        .mt_sent = get(&side->mt_sent),
        .mt_accepted = get(&side->mt_accepted),
        .mt_refused = get(&side->mt_refused),
        .mt_unknown = get(&side->mt_unknown),
        .proxy_refused =
            get(&side->held_expired) + get(&side->held_full) + get(&side->closed) + get(&side->refused_else),
        .mo = get(&side->mo),
        .receipts = get(&side->receipts),
        .wrong_mo = get(&side->wrong_mo),
        .wrong_receipts = get(&side->wrong_receipts),
    };
    uint8_t platform = platform_of(side);
    platform = platform == NAME_NONE ? 0 : (uint8_t)(platform + 1);
    memcpy(past.platform, &platform, sizeof platform);
    return past;
}

/* What sides have counted becomes past: once a move, and under the cell's epoch. */
static void keep(struct traffic_pasts *pasts, const struct traffic_cell *cell, const struct traffic_side *one,
                 const struct traffic_side *another)
{
    struct evidence scratch = {.changed_ms = 0};
    uint32_t changed = atomic_load_explicit(&cell->changed, memory_order_relaxed);
    for (unsigned i = 0; i < EVIDENCE_PASTS; i++) {
        past_load(&pasts->of[i], &scratch.pasts[i]);
    }
    const struct evidence_past past = past_of(one, changed);
    evidence_past_add(&scratch, &past);
    if (another != NULL) {
        const struct evidence_past more = past_of(another, changed);
        evidence_past_add(&scratch, &more);
    }
    for (unsigned i = 0; i < EVIDENCE_PASTS; i++) {
        past_store(&pasts->of[i], &scratch.pasts[i]);
    }
}

static void pasts_begin(struct traffic_pasts *pasts)
{
    static const struct evidence_past none;
    for (unsigned i = 0; i < EVIDENCE_PASTS && pasts->of[i].platform != 0; i++) {
        past_store(&pasts->of[i], &none);
    }
}

/* --- moves ---------------------------------------------------------------------------------------------- */

static void before_begin(struct traffic_cell *cell)
{
    const struct traffic_side *was = &cell->now;
    struct traffic_before *before = &cell->before;
    set(&before->mt_accepted, get(&was->mt_accepted));
    set(&before->mt_refused, get(&was->mt_refused));
    set(&before->mt_unknown, get(&was->mt_unknown));
    set(&before->proxy_refused, get(&was->held_expired) + get(&was->held_full) + get(&was->refused_else));
    set(&before->mo, get(&was->mo));
    set(&before->receipts, get(&was->receipts));
    set(&before->since, get(&cell->since));
}

static void count_from(struct traffic_cell *cell, const struct route *route, uint64_t now)
{
    set(&cell->since, now);
    set(&cell->mo_twice, 0);
    set(&cell->mo_twice_first, 0);
    set(&cell->mo_twice_last, 0);
    set(&cell->elsewhere, 0);
    atomic_store_explicit(&cell->changed, route->changed, memory_order_release);
}

/* Messages that wait while the route turns are released, or not, by the new one. */
static uint64_t still_waiting(const struct traffic_side *side)
{
    uint64_t ended = get(&side->released) + get(&side->held_expired);
    uint64_t waited = get(&side->waited);
    return waited > ended ? waited - ended : 0;
}

/* The route leads elsewhere, or has led elsewhere meanwhile: the cell begins anew. */
static void turn(struct traffic_cell *cell, struct traffic_pasts *pasts, const struct route *route,
                 uint64_t now)
{
    const struct last none = {0, 0, 0};
    struct last last_now = last_of(&cell->now);
    struct last last_other = last_of(&cell->other);
    uint8_t was = platform_of(&cell->now);
    uint8_t other = platform_of(&cell->other);
    uint64_t waiting = still_waiting(&cell->now);
    epoch_begin(cell);
    keep(pasts, cell, &cell->now, &cell->other);
    before_begin(cell);
    set(&cell->turned, get(&cell->turned) + get(&cell->now.mt_sent) + get(&cell->other.mt_sent));
    if (was == route->platform) {
        side_begin(&cell->now, route->platform, last_now);
        side_begin(&cell->other, other, last_other);
    } else {
        side_begin(&cell->now, route->platform, other == route->platform ? last_other : none);
        side_begin(&cell->other, was, last_now);
    }
    set(&cell->now.waited, waiting);
    count_from(cell, route, now);
    epoch_end(cell);
}

/* The platform beside the route's own that matters most: where it is to go, else whence it came. */
static void choose_other(struct traffic_cell *cell, struct traffic_pasts *pasts, const struct route *route)
{
    uint8_t other = route->next != NAME_NONE ? route->next : route->previous;
    uint8_t is = platform_of(&cell->other);
    if (other == NAME_NONE || other == is || other == route->platform ||
        (is != NAME_NONE && route->next == NAME_NONE)) {
        return;
    }
    epoch_begin(cell);
    keep(pasts, cell, &cell->other, NULL);
    side_begin(&cell->other, other, (struct last){0, 0, 0});
    epoch_end(cell);
}

static void cell_begin(struct traffic_cell *cell, struct traffic_pasts *pasts, uint32_t place,
                       const struct key *key, const struct route *route, uint64_t now)
{
    static const struct last none;
    uint32_t generation = atomic_load_explicit(&cell->handle, memory_order_relaxed) / GENERATION_STEP + 1;
    epoch_begin(cell);
    set(&cell->key[0], key->first);
    set(&cell->key[1], key->second);
    set(&cell->key[2], key->last);
    side_begin(&cell->now, route->platform, none);
    before_begin(cell);
    set(&cell->before.since, 0);
    side_begin(&cell->other, NAME_NONE, none);
    pasts_begin(pasts);
    set(&cell->turned, 0);
    count_from(cell, route, now);
    atomic_store_explicit(&cell->handle, (generation * GENERATION_STEP | place) & INT32_MAX,
                          memory_order_release);
    epoch_end(cell);
}

static uint64_t later(uint64_t one, uint64_t other)
{
    return one > other ? one : other;
}

static uint64_t side_active(const struct traffic_side *side)
{
    struct last last = last_of(side);
    return later(last.mt, later(last.mo, last.receipt));
}

static uint64_t cell_active(const struct traffic_cell *cell)
{
    return later(get(&cell->since), later(side_active(&cell->now), side_active(&cell->other)));
}

/* The place of a cell that nobody needs: a fresh one, else of a few the one that has been idle for longest. 0 for
 * none. */
static uint32_t take_place(struct traffic *traffic, uint64_t now)
{
    uint32_t used = atomic_load_explicit(&traffic->used, memory_order_relaxed);
    uint32_t best = 0;
    if (used < traffic->capacity) {
        return used + 1;
    }
    metric_add(&traffic->metrics->traffic_full, 1);
    for (unsigned i = 0; i < CANDIDATES; i++) {
        traffic->hand = traffic->hand % traffic->capacity + 1;
        const struct traffic_cell *cell = &traffic->cells[traffic->hand];
        bool idle = cell_active(cell) + IDLE_NS <= now;
        if (idle && (best == 0 || cell_active(cell) < cell_active(&traffic->cells[best]))) {
            best = traffic->hand;
        }
    }
    if (best != 0) {
        index_remove(traffic, best);
    }
    return best;
}

static struct traffic_cell *add(struct traffic *traffic, const struct key *key, const struct route *route,
                                uint64_t now)
{
    uint32_t place = take_place(traffic, now);
    if (place == 0) {
        return NULL;
    }
    cell_begin(&traffic->cells[place], &traffic->pasts[place], place, key, route, now);
    index_add(traffic, place);
    if (place > atomic_load_explicit(&traffic->used, memory_order_relaxed)) {
        atomic_store_explicit(&traffic->used, place, memory_order_release);
    }
    return &traffic->cells[place];
}

/* --- finding -------------------------------------------------------------------------------------------- */

/* The table is another than the cell knows, or there is no cell. Out of line, so that the usual case keeps its key in
 * registers. */
SELDOM static bool look_up(struct traffic *traffic, const struct table *table, const char *shortcode,
                           size_t len, uint8_t carrier, uint64_t now, struct route *route,
                           struct traffic_cell **known)
{
    struct key key = key_of(shortcode, len, carrier);
    struct traffic_cell *cell = find(traffic, &key);
    if (!table_lookup(table, shortcode, len, carrier, route)) {
        return false;
    }
    if (cell == NULL) {
        cell = add(traffic, &key, route, now);
    } else if (cell->route.platform != route->platform || cell->route.changed != route->changed) {
        turn(cell, &traffic->pasts[cell - traffic->cells], route, now);
    }
    if (cell != NULL) {
        choose_other(cell, &traffic->pasts[cell - traffic->cells], route);
        cell->route = *route;
        cell->turn = traffic->turn;
    }
    *known = cell;
    return true;
}

bool traffic_find(struct traffic *traffic, const struct table *table, const char *shortcode, size_t len,
                  uint8_t carrier, uint64_t now, struct route *route, struct traffic_cell **cell)
{
    *cell = NULL;
    if (len == 0 || len > SHORTCODE_LEN_MAX) {
        return table_lookup(table, shortcode, len, carrier, route);
    }
    const struct key key = key_of(shortcode, len, carrier);
    struct traffic_cell *found = find(traffic, &key);
    if (found == NULL || found->turn != traffic->turn) {
        return look_up(traffic, table, shortcode, len, carrier, now, route, cell);
    }
    *route = found->route;
    *cell = found;
    return true;
}

/* --- counting ------------------------------------------------------------------------------------------- */

/* NULL of a third platform. */
static struct traffic_side *known_side(struct traffic_cell *cell, uint8_t platform)
{
    if (platform_of(&cell->now) == platform) {
        return &cell->now;
    }
    return platform_of(&cell->other) == platform ? &cell->other : NULL;
}

struct traffic_side *traffic_side(struct traffic_cell *cell, uint8_t platform)
{
    if (platform_of(&cell->now) == platform) {
        return &cell->now;
    }
    if (platform_of(&cell->other) == NAME_NONE) {
        atomic_store_explicit(&cell->other.platform, platform, memory_order_release);
    }
    if (platform_of(&cell->other) == platform) {
        return &cell->other;
    }
    metric_add(&cell->elsewhere, 1);
    return NULL;
}

static void put(metric *m, uint64_t value)
{
    atomic_store_explicit(m, value, memory_order_relaxed);
}

static void note(metric *first, metric *last, uint64_t now)
{
    put(last, now);
    if (get(first) == 0) {
        put(first, now);
    }
}

/* The most frequent of them have a place of their own; one that comes when all are taken takes that of the rarest. */
static void count_status(struct traffic_side *side, uint32_t command_status)
{
    unsigned rarest = 0;
    for (unsigned i = 0; i < EVIDENCE_STATUSES; i++) {
        struct traffic_status *its = &side->statuses[i];
        bool is_free = get(&its->count) == 0;
        if (is_free || atomic_load_explicit(&its->status, memory_order_relaxed) == command_status) {
            atomic_store_explicit(&its->status, command_status, memory_order_relaxed);
            metric_add(&its->count, 1);
            return;
        }
        rarest = get(&its->count) < get(&side->statuses[rarest].count) ? i : rarest;
    }
    if (get(&side->statuses[rarest].count) == 1) {
        atomic_store_explicit(&side->statuses[rarest].status, command_status, memory_order_relaxed);
    }
}

void traffic_answered(struct traffic *traffic, uint32_t handle, uint8_t platform, uint32_t command_status,
                      uint64_t now)
{
    struct traffic_cell *cell = traffic_of(traffic, handle);
    struct traffic_side *side = cell == NULL ? NULL : traffic_side(cell, platform);
    if (side == NULL) {
        return;
    }
    if (command_status != ESME_ROK) {
        metric_add(&side->mt_refused, 1);
        count_status(side, command_status);
        return;
    }
    metric_add(&side->mt_accepted, 1);
    metric_add(&side->receipts_awaited, handle >> 31);
    note(&side->mt_first_ms, &side->mt_last_ms, now);
}

void traffic_unknown(struct traffic *traffic, uint32_t handle, uint8_t platform)
{
    struct traffic_cell *cell = traffic_of(traffic, handle);
    struct traffic_side *side = cell == NULL ? NULL : traffic_side(cell, platform);
    if (side != NULL) {
        metric_add(&side->mt_unknown, 1);
    }
}

void traffic_refused(struct traffic_cell *cell, enum refused cause)
{
    if (cell == NULL) {
        return;
    }
    switch (cause) {
    case REFUSED_CLOSED: metric_add(&cell->now.closed, 1); break;
    case REFUSED_HOLD_EXPIRED: metric_add(&cell->now.held_expired, 1); break;
    case REFUSED_WAIT_FULL:
    case REFUSED_WAIT_FULL_ALL: metric_add(&cell->now.held_full, 1); break;
    default: metric_add(&cell->now.refused_else, 1); break;
    }
}

void traffic_waits(struct traffic_cell *cell)
{
    if (cell != NULL) {
        metric_add(&cell->now.waited, 1);
    }
}

void traffic_waited(struct traffic_cell *cell, uint64_t waited, bool released)
{
    if (cell == NULL) {
        return;
    }
    metric_add(&cell->now.released, released);
    if (waited > get(&cell->now.waited_longest)) {
        put(&cell->now.waited_longest, waited);
    }
}

void traffic_mo(struct traffic_cell *cell, uint8_t platform, uint64_t now)
{
    struct traffic_side *side = traffic_side(cell, platform);
    if (side == &cell->other) {
        metric_add(&side->wrong_mo, 1);
        note(&side->wrong_first_ms, &side->wrong_last_ms, now);
    }
}

void traffic_receipt(struct traffic_cell *cell, uint8_t platform, bool is_wrong, uint64_t now)
{
    struct traffic_side *side = traffic_side(cell, platform);
    if (side != NULL && is_wrong) {
        metric_add(&side->wrong_receipts, 1);
        note(&side->wrong_first_ms, &side->wrong_last_ms, now);
    }
}

void traffic_mo_accepted(struct traffic *traffic, uint32_t handle, uint8_t platform, uint64_t now)
{
    struct traffic_cell *cell = traffic_of(traffic, handle);
    struct traffic_side *side = cell == NULL ? NULL : known_side(cell, platform);
    if (side == NULL) {
        return;
    }
    bool is_receipt = handle >> 31 != 0;
    metric_add(is_receipt ? &side->receipts : &side->mo, 1);
    if (is_receipt) {
        note(&side->receipt_first_ms, &side->receipt_last_ms, now);
    } else {
        note(&side->mo_first_ms, &side->mo_last_ms, now);
    }
}

void traffic_mo_refused(struct traffic *traffic, uint32_t handle, uint8_t platform)
{
    struct traffic_cell *cell = traffic_of(traffic, handle);
    struct traffic_side *side = cell == NULL ? NULL : known_side(cell, platform);
    if (side != NULL) {
        metric_add(&side->mo_refused, 1);
    }
}

void traffic_mo_twice(struct traffic_cell *cell, uint64_t now)
{
    metric_add(&cell->mo_twice, 1);
    note(&cell->mo_twice_first, &cell->mo_twice_last, now);
}

/* --- reading, by main ----------------------------------------------------------------------------------- */

/* Not after what is read next. */
static uint64_t see(const metric *m)
{
    return atomic_load_explicit(m, memory_order_acquire);
}

/* When it was, from a worker's clock. */
struct clock {
    uint64_t now, ms;
};

static uint64_t time_of(const struct clock *clock, uint64_t ns)
{
    if (ns == 0) {
        return 0;
    }
    return ns > clock->now ? clock->ms + (ns - clock->now) / NS_A_MS
                           : clock->ms - (clock->now - ns) / NS_A_MS;
}

static void read_side(const struct traffic_side *side, const struct clock *clock, const struct names *names,
                      struct evidence_side *to)
{
    uint8_t platform = atomic_load_explicit(&side->platform, memory_order_acquire);
    if (platform != NAME_NONE) {
        memcpy(to->platform, names_get(names, platform), strlen(names_get(names, platform)) + 1);
    }
#define READ(field) to->field = see(&side->field);
#define TIME(field) to->field = time_of(clock, see(&side->field));
    TRAFFIC_COUNTS(READ)
    TRAFFIC_TIMES(TIME)
#undef READ
#undef TIME
    to->waited_longest_ms = see(&side->waited_longest) / NS_A_MS;
    for (unsigned i = 0; i < EVIDENCE_STATUSES; i++) {
        uint64_t count = see(&side->statuses[i].count);
        if (count > 0) {
            evidence_refusal(to, atomic_load_explicit(&side->statuses[i].status, memory_order_acquire),
                             count);
        }
    }
}

static void read_before(const struct traffic_before *before, const struct clock *clock,
                        struct evidence_before *to)
{
    to->mt_accepted = see(&before->mt_accepted);
    to->mt_refused = see(&before->mt_refused);
    to->mt_unknown = see(&before->mt_unknown);
    to->proxy_refused = see(&before->proxy_refused);
    to->mo = see(&before->mo);
    to->receipts = see(&before->receipts);
    to->since_ms = time_of(clock, see(&before->since));
}

static void read_pasts(const struct traffic_pasts *pasts, const struct names *names, struct evidence *to)
{
    for (unsigned i = 0; i < EVIDENCE_PASTS; i++) {
        const struct traffic_past *past = &pasts->of[i];
        struct evidence_past *its = &to->pasts[i];
        uint8_t platform = atomic_load_explicit(&past->platform, memory_order_acquire);
        if (platform == 0) {
            return;
        }
        snprintf(its->platform, sizeof its->platform, "%s", names_get(names, (uint8_t)(platform - 1)));
        its->changed_ms = (uint64_t)atomic_load_explicit(&past->changed, memory_order_acquire) * 1000;
        its->until_ms = (uint64_t)atomic_load_explicit(&past->until, memory_order_acquire) * 1000;
#define READ(field, merge, help) its->field = see(&past->field);
        EVIDENCE_PAST(READ)
#undef READ
    }
}

static size_t unpack(uint64_t word, size_t octets, char *to)
{
    size_t len = 0;
    for (; len < octets && (word & UINT8_MAX) != 0; word >>= 8) {
        to[len++] = (char)(word & UINT8_MAX);
    }
    return len;
}

static void read_key(const uint64_t *key, const struct names *names, struct evidence *to)
{
    size_t len = unpack(key[0], WORD, to->shortcode);
    len += unpack(key[1], WORD, to->shortcode + len);
    len += unpack(key[2], WORD / 2, to->shortcode + len);
    to->shortcode[len] = '\0';
    const char *carrier = names_get(names, (uint8_t)(key[2] >> CARRIER_SHIFT & UINT8_MAX));
    memcpy(to->carrier, carrier, strlen(carrier) + 1);
}

static void read_cell(const struct traffic_cell *cell, const struct clock *clock, const struct names *names,
                      struct evidence *to)
{
    uint64_t key[TRAFFIC_KEY_WORDS];
    for (unsigned i = 0; i < TRAFFIC_KEY_WORDS; i++) {
        key[i] = see(&cell->key[i]);
    }
    read_key(key, names, to);
    read_side(&cell->now, clock, names, &to->now);
    read_side(&cell->other, clock, names, &to->other);
    read_before(&cell->before, clock, &to->before);
    to->changed_ms = (uint64_t)atomic_load_explicit(&cell->changed, memory_order_acquire) * 1000;
    to->since_ms = time_of(clock, see(&cell->since));
    to->mo_twice = see(&cell->mo_twice);
    to->mo_twice_first_ms = time_of(clock, see(&cell->mo_twice_first));
    to->mo_twice_last_ms = time_of(clock, see(&cell->mo_twice_last));
    to->elsewhere = see(&cell->elsewhere);
}

uint32_t traffic_sent_of(const struct traffic *traffic, uint32_t place, uint64_t *sent)
{
    const struct traffic_cell *cell = &traffic->cells[place];
    uint32_t epoch = atomic_load_explicit(&cell->epoch, memory_order_acquire);
    uint32_t handle = atomic_load_explicit(&cell->handle, memory_order_acquire);
    uint64_t sum = see(&cell->turned) + see(&cell->now.mt_sent) + see(&cell->other.mt_sent);
    if (epoch % 2 != 0 || atomic_load_explicit(&cell->epoch, memory_order_relaxed) != epoch) {
        return 0;
    }
    *sent = sum;
    return handle;
}

bool traffic_read(const struct traffic *traffic, uint32_t place, const struct names *names, uint64_t now,
                  uint64_t clock_ms, struct evidence *evidence)
{
    const struct traffic_cell *cell = &traffic->cells[place];
    const struct clock clock = {.now = now, .ms = clock_ms};
    struct evidence read = {.changed_ms = 0};
    uint32_t epoch = atomic_load_explicit(&cell->epoch, memory_order_acquire);
    if (epoch % 2 != 0 || see(&cell->key[2]) == 0) {
        return false;
    }
    read_cell(cell, &clock, names, &read);
    read_pasts(&traffic->pasts[place], names, &read);
    if (atomic_load_explicit(&cell->epoch, memory_order_relaxed) != epoch) {
        return false;
    }
    *evidence = read;
    return true;
}

/* --- begin and end -------------------------------------------------------------------------------------- */

bool traffic_init(struct traffic *traffic, uint32_t cells, struct metrics_worker *metrics)
{
    uint32_t slots = 2;
    while (slots < 2 * cells) {
        slots *= 2;
    }
    *traffic = (struct traffic){.capacity = cells, .mask = slots - 1, .metrics = metrics};
    traffic->cells = calloc((size_t)cells + 1, sizeof *traffic->cells);
    traffic->pasts = calloc((size_t)cells + 1, sizeof *traffic->pasts);
    traffic->index = calloc(slots, sizeof *traffic->index);
    if (traffic->cells == NULL || traffic->pasts == NULL || traffic->index == NULL) {
        traffic_clear(traffic);
        return false;
    }
    return true;
}

void traffic_clear(struct traffic *traffic)
{
    free(traffic->cells);
    free(traffic->pasts);
    free(traffic->index);
    *traffic = (struct traffic){.capacity = 0};
}
