/* shortcode ──key──▶ hash ──▶ shard and place in it ──a few slots on──▶ row: head, cells
 *
 * A row lies where its hash says or a little behind, with its cells beside it, so that a look-up at random fetches one
 * stretch of memory: the list of the shards is small enough to stay in the processor's cache. A shard is one block
 * (blocks.h) of slots of 8 octets:
 *
 *   │0│0│head│cell│cell│cell│cell│head│text│text│text│cell│0│0│0│head│cell│...
 *
 * Rows stand in the order of their hashes, over all the shards, each at its home or behind the rows that pushed it on;
 * between a row's home and the row there is no empty slot. So a search ends at a head that is greater or at an empty
 * slot, and a wider table is written from the narrower one in one go, front to back.
 *
 * A builder copies the shards that it changes; the next table shares the others.
 *
 * A key is 63 bits. Up to 18 digits are packed as a number with a 1 before them (so that "01" and "1" differ).
 * Other shortcodes are hashed, with the top bit set, and their text stands in the row. The hash of a key is one to
 * one, so it stands for the key. */
#include "routing/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "routing/blocks.h"

enum {
    SHARDS_MAX = 1 << 15,
    GROW_PART = 6, /* a table that is full becomes wider by a sixth: 4/5 to 2/3 of it are in use */
    WINDOW = 16,   /* slots that are looked at together */
    SLOTS = BLOCK_SIZE / 8 - 1 -
            WINDOW, /* without the count, and empty ones at the end, where every search ends */
    TAIL = 256,     /* slots that are nobody's home: for those that others push on */
    HOMES = SLOTS - TAIL,
    USED_MAX = SLOTS / 8 * 7,
    DIGITS_PACKED_MAX = 18,
    TEXT_SLOTS = 3,
    TEXT_OCTETS = 7, /* of a text, in a slot */
    ROW_CELLS = 1,   /* where they begin, but for a text's row */
};

/* What a slot is, by its highest bits: a head; what else belongs to a row; 0 is an empty slot. A head is
 * greater than whatever is none. */
#define SLOT_HEAD  (UINT64_C(1) << 63)
#define SLOT_INNER (UINT64_C(1) << 62)

#define KEY_MASK    (SLOT_HEAD - 1)
#define KEY_IS_TEXT (UINT64_C(1) << 62)

/* A cell: in the higher half an octet for SLOT_INNER and the carrier, and three for platform, previous and next, whose
 * highest bits are the state's; changed is the lower half. */
enum { CARRIER_SHIFT = 56, NAMES_SHIFT = 32 };
enum { PLATFORM_SHIFT = 16, PREVIOUS_SHIFT = 8, STATE_LOW_SHIFT = 15, STATE_HIGH_SHIFT = 7 };
enum { NAMES_MASK = 0x7F7F7F, NAMES_ONE = 0x010101, NAME_MASK = 0x7F };
_Static_assert(NAMES_MAX <= 64 && ROUTE_STATE_COUNT <= 4, "carrier and state have their bits");
_Static_assert((NAME_NONE & NAME_MASK) >= NAMES_MAX, "no name is taken for none");
_Static_assert(TEXT_SLOTS *TEXT_OCTETS > SHORTCODE_LEN_MAX, "a text fits its slots, with a NUL");
_Static_assert(1 + TEXT_SLOTS + NAMES_MAX < TAIL, "the longest row fits behind the last home");

struct shard {
    uint64_t used; /* slots */
    uint64_t slots[SLOTS + WINDOW];
};
_Static_assert(sizeof(struct shard) <= BLOCK_SIZE, "a shard is a block");

struct table {
    uint64_t version;
    size_t count, numbers;        /* rows; cells under NAME_NUMBER */
    struct blocks *blocks;        /* the shards' memory; of all tables that share shards */
    uint64_t fallback[NAMES_MAX]; /* the default row's cells, by carrier; 0: none */
    uint32_t shards_count;
    struct shard *shards[]; /* NULL: nothing is in it */
};

/* The table under construction: shards that nobody else holds are its own to change. */
struct table_builder {
    struct table *next;
};

#define ROUTE_STATE_NAME(id, name) name,
static const char *const state_names[] = {ROUTE_STATES(ROUTE_STATE_NAME)};
#undef ROUTE_STATE_NAME

const char *route_state_name(enum route_state state)
{
    return (unsigned)state < ROUTE_STATE_COUNT ? state_names[state] : "?";
}

bool route_state_parse(const char *name, enum route_state *state)
{
    for (unsigned i = 0; i < ROUTE_STATE_COUNT; i++)
        if (strcmp(state_names[i], name) == 0) {
            *state = (enum route_state)i;
            return true;
        }
    return false;
}

/* --- keys and places ------------------------------------------------------------------------------------ */

struct key {
    uint64_t head;
    bool is_text;
    const char *text; /* the shortcode; len octets, not NUL-terminated */
    size_t len;
};

static uint64_t key_of_text(const char *text, size_t len)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
    return (hash & KEY_MASK) | KEY_IS_TEXT;
}

/* Shortcodes come in runs, so the bits are mixed. One to one: odd factors and shifts by more than half of the bits can
 * be undone. */
enum { MIX_SHIFT = 32 };
#define MIX_FACTOR_1 UINT64_C(0xff51afd7ed558ccd)
#define MIX_FACTOR_2 UINT64_C(0xc4ceb9fe1a85ec53)
#define MIX_UNDO_1   UINT64_C(0x4f74430c22a54005)
#define MIX_UNDO_2   UINT64_C(0x9cb4b2f8129337db)
_Static_assert(MIX_FACTOR_1 *MIX_UNDO_1 == 1 && MIX_FACTOR_2 * MIX_UNDO_2 == 1, "the mixing can be undone");

static uint64_t key_mix(uint64_t key)
{
    key = (key ^ (key >> MIX_SHIFT)) * MIX_FACTOR_1 & KEY_MASK;
    key = (key ^ (key >> MIX_SHIFT)) * MIX_FACTOR_2 & KEY_MASK;
    return key ^ (key >> MIX_SHIFT);
}

static uint64_t key_unmix(uint64_t hash)
{
    hash = (hash ^ (hash >> MIX_SHIFT)) * MIX_UNDO_2 & KEY_MASK;
    hash = (hash ^ (hash >> MIX_SHIFT)) * MIX_UNDO_1 & KEY_MASK;
    return hash ^ (hash >> MIX_SHIFT);
}

static struct key key_make(const char *text, size_t len)
{
    uint64_t number = 1;
    bool packed = len <= DIGITS_PACKED_MAX;
    for (size_t i = 0; packed && i < len; i++) {
        uint8_t digit = (uint8_t)((uint8_t)text[i] - '0');
        packed = digit <= 9;
        number = number * 10 + digit;
    }
    uint64_t head = key_mix(packed ? number : key_of_text(text, len)) | SLOT_HEAD;
    return (struct key){head, !packed, text, len};
}

/* The shard of a head, and its home there: both grow with it. */
struct place {
    uint32_t shard, home;
};

static struct place place_of(uint64_t head, uint32_t shards_count)
{
    uint64_t scaled = ((head & KEY_MASK) >> 31) * shards_count;
    return (struct place){(uint32_t)(scaled >> 32), (uint32_t)((scaled & UINT32_MAX) * HOMES >> 32)};
}

static bool shortcode_fits(const char *shortcode)
{
    size_t len = strnlen(shortcode, SHORTCODE_LEN_MAX + 1);
    return len >= 1 && len <= SHORTCODE_LEN_MAX;
}

/* --- slots ---------------------------------------------------------------------------------------------- */

static uint64_t cell_of(uint8_t carrier, const struct route *route)
{
    uint32_t names = (uint32_t)route->platform << PLATFORM_SHIFT |
                     (uint32_t)route->previous << PREVIOUS_SHIFT | route->next;
    uint32_t state = (route->state & 1U) << STATE_LOW_SHIFT | (route->state >> 1 & 1U) << STATE_HIGH_SHIFT;
    return SLOT_INNER | (uint64_t)carrier << CARRIER_SHIFT |
           (uint64_t)((names & NAMES_MASK) | state) << NAMES_SHIFT | route->changed;
}

/* NAME_NONE has lost its highest bit, and is the only one that an addition carries into it. */
static struct route route_of(uint64_t cell)
{
    uint32_t half = (uint32_t)(cell >> NAMES_SHIFT), names = half & NAMES_MASK;
    names |= (names + NAMES_ONE) & ~(uint32_t)NAMES_MASK;
    return (struct route){
        .platform = (uint8_t)(names >> PLATFORM_SHIFT),
        .state = (uint8_t)((half >> STATE_LOW_SHIFT & 1U) | (half >> STATE_HIGH_SHIFT & 1U) << 1),
        .previous = (uint8_t)(names >> PREVIOUS_SHIFT),
        .next = (uint8_t)names,
        .changed = (uint32_t)cell};
}

static bool cell_is_of(uint64_t slot, uint8_t carrier)
{
    return slot >> CARRIER_SHIFT == (SLOT_INNER >> CARRIER_SHIFT | carrier);
}

static uint8_t cell_carrier(uint64_t cell)
{
    return (uint8_t)(cell >> CARRIER_SHIFT & (NAMES_MAX - 1));
}

static bool slot_is_inner(uint64_t slot)
{
    return slot >> 62 == 1;
}

static void text_pack(const struct key *key, uint64_t slots[TEXT_SLOTS])
{
    for (size_t i = 0; i < TEXT_SLOTS; i++)
        slots[i] = SLOT_INNER;
    for (size_t i = 0; i < key->len; i++)
        slots[i / TEXT_OCTETS] |= (uint64_t)(uint8_t)key->text[i] << (8 * (i % TEXT_OCTETS));
}

static void text_unpack(const uint64_t *slots, char text[SHORTCODE_LEN_MAX + 1])
{
    for (size_t i = 0; i < SHORTCODE_LEN_MAX; i++)
        text[i] = (char)(slots[i / TEXT_OCTETS] >> (8 * (i % TEXT_OCTETS)) & 0xFF);
    text[SHORTCODE_LEN_MAX] = '\0';
}

/* --- rows of a shard ------------------------------------------------------------------------------------ */

static size_t row_end(const struct shard *shard, size_t row)
{
    size_t end = row + 1;
    while (slot_is_inner(shard->slots[end]))
        end++;
    return end;
}

static bool row_is_text(const struct shard *shard, size_t row)
{
    return (key_unmix(shard->slots[row] & KEY_MASK) & KEY_IS_TEXT) != 0;
}

static size_t row_cells(const struct shard *shard, size_t row)
{
    return row + ROW_CELLS + (row_is_text(shard, row) ? TEXT_SLOTS : 0);
}

static bool row_has_text(const struct shard *shard, size_t row, const struct key *key)
{
    uint64_t text[TEXT_SLOTS];
    if (key->len > SHORTCODE_LEN_MAX)
        return false;
    text_pack(key, text);
    return memcmp(text, &shard->slots[row + ROW_CELLS], sizeof(text)) == 0;
}

/* Two slots at once, each by its halves, as GCC and Clang can on any processor. */
typedef uint32_t slot_halves __attribute__((vector_size(16)));
enum { PAIRS = WINDOW / 2 };
_Static_assert(WINDOW < 32, "a window has a bit for each slot, and one more");

/* Where a head is in the window that begins at slot; WINDOW if it is not. Few operations and no branches: they all wait
 * for memory, and the processor has room for so many of them. Thus the look-ups of messages that come together wait
 * together. */
static unsigned window_find(const uint64_t *slots, uint64_t head)
{
    const uint64_t twice[2] = {head, head};
    slot_halves wanted, found = {0, 0, 0, 0};
    memcpy(&wanted, twice, sizeof(wanted));
#pragma GCC unroll 8
    for (unsigned i = 0; i < PAIRS; i++) {
        const slot_halves place = {1U << 2 * i, 1U << 2 * i, 2U << 2 * i, 2U << 2 * i};
        slot_halves pair;
        memcpy(&pair, &slots[(size_t)2 * i], sizeof(pair));
        found |= (slot_halves)(pair == wanted) & place;
    }
    return (unsigned)__builtin_ctz((found[0] & found[1]) | (found[2] & found[3]) | 1U << WINDOW);
}

/* The first slot, from slot on, that is empty or holds no less than a head. */
static size_t slot_not_below(const uint64_t *slots, size_t slot, uint64_t head)
{
    while (slots[slot] < head && slots[slot] != 0)
        slot++;
    return slot;
}

/* Where the row is, or, if *there becomes false, where it would have to be. */
static inline size_t shard_find(const struct shard *shard, size_t home, const struct key *key, bool *there)
{
    const uint64_t *slots = shard->slots;
    size_t row = home + window_find(&slots[home], key->head);
    if (row == home + WINDOW)
        row = slot_not_below(slots, home, key->head);
    while (slots[row] == key->head && key->is_text && !row_has_text(shard, row, key))
        row = row_end(shard, row);
    *there = slots[row] == key->head;
    return row;
}

/* The cell of a carrier in a row whose cells begin at slot, 0 for none. */
static size_t row_find(const struct shard *shard, size_t slot, uint8_t carrier)
{
    for (; slot_is_inner(shard->slots[slot]); slot++)
        if (cell_is_of(shard->slots[slot], carrier))
            return slot;
    return 0;
}

/* Makes room for len slots at slot, which no empty one separates from the home of what will stand there: the rows
 * behind move up. False where the shard has no room for it. */
static bool shard_open(struct shard *shard, size_t slot, size_t len)
{
    uint64_t *slots = shard->slots;
    size_t empty = 0, end = slot;
    if (shard->used + len > USED_MAX)
        return false;
    for (; empty < len && end < SLOTS; end++)
        empty += slots[end] == 0;
    if (empty < len)
        return false;
    for (size_t from = end, to = end; from > slot; from--)
        if (slots[from - 1] != 0)
            slots[--to] = slots[from - 1];
    shard->used += len;
    return true;
}

/* Takes len slots out, of one row. What is left of it, and the rows behind, move back, but none before its home. */
static void shard_close(struct shard *shard, uint32_t shards_count, size_t slot, size_t len)
{
    uint64_t *slots = shard->slots;
    size_t to = slot, from = slot + len;
    while (slot_is_inner(slots[from]))
        slots[to++] = slots[from++];
    while (slots[from] != 0) {
        size_t end = row_end(shard, from), home = place_of(slots[from], shards_count).home;
        if (home >= from)
            break;
        while (to < home)
            slots[to++] = 0;
        while (from < end)
            slots[to++] = slots[from++];
    }
    while (to < from)
        slots[to++] = 0;
    shard->used -= len;
}

/* --- tables --------------------------------------------------------------------------------------------- */

static size_t table_size(uint32_t shards_count)
{
    return sizeof(struct table) + shards_count * sizeof(struct shard *);
}

/* With blocks of its own, but without shards: one is NULL until something is in it. */
static struct table *table_sized(uint32_t shards_count)
{
    struct table *table = calloc(1, table_size(shards_count));
    if (table == NULL)
        return NULL;
    table->blocks = blocks_new();
    table->shards_count = shards_count;
    if (table->blocks == NULL) {
        free(table);
        return NULL;
    }
    return table;
}

struct table *table_new(void)
{
    return table_sized(1);
}

void table_free(struct table *table)
{
    if (table == NULL)
        return;
    for (uint32_t i = 0; i < table->shards_count; i++)
        blocks_give(table->blocks, table->shards[i]);
    blocks_drop(table->blocks);
    free(table);
}

struct table *table_clone(const struct table *table)
{
    struct table *clone = malloc(table_size(table->shards_count));
    if (clone == NULL)
        return NULL;
    memcpy(clone, table, table_size(table->shards_count));
    blocks_hold(clone->blocks);
    for (uint32_t i = 0; i < clone->shards_count; i++)
        if (clone->shards[i] != NULL)
            block_hold(clone->shards[i]);
    return clone;
}

uint64_t table_version(const struct table *table)
{
    return table->version;
}

size_t table_count(const struct table *table)
{
    return table->count;
}

/* Where a key is, or would be. */
struct spot {
    uint32_t index; /* of the shard */
    size_t row;
    bool there;
};

static inline struct spot table_spot(const struct table *table, const struct key *key)
{
    struct place place = place_of(key->head, table->shards_count);
    struct spot spot = {place.shard, place.home, false};
    if (table->shards[place.shard] != NULL)
        spot.row = shard_find(table->shards[place.shard], place.home, key, &spot.there);
    return spot;
}

/* A cell, 0 for none. */
static inline uint64_t table_find(const struct table *table, const struct key *key, uint8_t carrier)
{
    struct spot spot = table_spot(table, key);
    if (!spot.there)
        return 0;
    const struct shard *shard = table->shards[spot.index];
    size_t slot = row_find(shard, spot.row + ROW_CELLS + (key->is_text ? TEXT_SLOTS : 0), carrier);
    return slot == 0 ? 0 : shard->slots[slot];
}

bool table_lookup(const struct table *table, const char *shortcode, size_t len, uint8_t carrier,
                  struct route *route)
{
    if (carrier >= NAMES_MAX)
        return false;
    struct key key = key_make(shortcode, len);
    uint64_t cell = table_find(table, &key, carrier);
    if (cell == 0)
        cell = table->fallback[carrier];
    if (cell == 0)
        return false;
    *route = route_of(cell);
    return true;
}

bool table_cell(const struct table *table, const char *shortcode, uint8_t carrier, struct route *route)
{
    struct key key = key_make(shortcode, strlen(shortcode));
    uint64_t cell = carrier >= NAMES_MAX ? 0 : table_find(table, &key, carrier);
    if (cell == 0)
        return false;
    *route = route_of(cell);
    return true;
}

size_t table_numbers(const struct table *table)
{
    return table->numbers;
}

/* Out of line: most tables have no such rows, and their users ask for that first. */
__attribute__((noinline)) uint8_t table_number(const struct table *table, const uint8_t *digits, size_t len)
{
    char shortcode[SHORTCODE_LEN_MAX] = "+";
    size_t plus = len > 0 && digits[0] == '+';
    if (table->numbers == 0 || len - plus >= sizeof(shortcode))
        return NAME_NONE;
    memcpy(shortcode + 1, digits + plus, len - plus);
    struct key key = key_make(shortcode, 1 + len - plus);
    uint64_t cell = table_find(table, &key, NAME_NUMBER);
    return cell == 0 ? NAME_NONE : route_of(cell).platform;
}

/* --- visits --------------------------------------------------------------------------------------------- */

static void row_shortcode(const struct shard *shard, size_t row, char shortcode[SHORTCODE_LEN_MAX + 1])
{
    uint64_t number = key_unmix(shard->slots[row] & KEY_MASK);
    if (number & KEY_IS_TEXT) {
        text_unpack(&shard->slots[row + ROW_CELLS], shortcode);
        return;
    }
    char digits[SHORTCODE_LEN_MAX + 1];
    size_t len = 0;
    for (; number > 1; number /= 10)
        digits[len++] = (char)('0' + number % 10);
    for (size_t i = 0; i < len; i++)
        shortcode[i] = digits[len - 1 - i];
    shortcode[len] = '\0';
}

/* The first row at or behind a slot; SLOTS for none. */
static size_t row_from(const struct shard *shard, size_t slot)
{
    while (slot < SLOTS && shard->slots[slot] < SLOT_HEAD)
        slot++;
    return slot;
}

static bool row_visit(const struct shard *shard, size_t row, table_visit *visit, void *ctx)
{
    char shortcode[SHORTCODE_LEN_MAX + 1];
    row_shortcode(shard, row, shortcode);
    for (size_t slot = row_cells(shard, row); slot_is_inner(shard->slots[slot]); slot++) {
        struct route route = route_of(shard->slots[slot]);
        if (!visit(ctx, shortcode, cell_carrier(shard->slots[slot]), &route))
            return false;
    }
    return true;
}

static bool shard_visit(const struct shard *shard, table_visit *visit, void *ctx)
{
    for (size_t row = row_from(shard, 0); row < SLOTS; row = row_from(shard, row + 1))
        if (!row_visit(shard, row, visit, ctx))
            return false;
    return true;
}

void table_each(const struct table *table, table_visit *visit, void *ctx)
{
    for (uint32_t i = 0; i < table->shards_count; i++)
        if (table->shards[i] != NULL && !shard_visit(table->shards[i], visit, ctx))
            return;
}

void table_row(const struct table *table, const char *shortcode, table_visit *visit, void *ctx)
{
    struct key key = key_make(shortcode, strlen(shortcode));
    struct spot spot = table_spot(table, &key);
    if (spot.there)
        row_visit(table->shards[spot.index], spot.row, visit, ctx);
}

/* Of the same shortcode; their heads are the same. */
static bool rows_of_one(const struct shard *a, size_t row_a, const struct shard *b, size_t row_b)
{
    size_t size = (row_cells(a, row_a) - row_a) * sizeof(a->slots[0]);
    return memcmp(&a->slots[row_a], &b->slots[row_b], size) == 0;
}

/* The same cells, in any order. */
static bool rows_same(const struct shard *a, size_t row_a, const struct shard *b, size_t row_b)
{
    size_t end = row_end(a, row_a), slot = row_cells(a, row_a), cells_b = row_cells(b, row_b);
    bool same = end - row_a == row_end(b, row_b) - row_b && rows_of_one(a, row_a, b, row_b);
    for (; same && slot < end; slot++) {
        size_t there = row_find(b, cells_b, cell_carrier(a->slots[slot]));
        same = there != 0 && a->slots[slot] == b->slots[there];
    }
    return same;
}

static bool row_tell(const struct shard *shard, size_t row, table_visit_row *visit, void *ctx)
{
    char shortcode[SHORTCODE_LEN_MAX + 1];
    row_shortcode(shard, row, shortcode);
    return visit(ctx, shortcode);
}

/* Rows stand in one order in both. Where two texts have one hash and one of them changes, it may visit both. */
static bool shard_each_changed(const struct shard *old, const struct shard *now, table_visit_row *visit,
                               void *ctx)
{
    static const struct shard empty;
    old = old == NULL ? &empty : old;
    now = now == NULL ? &empty : now;
    size_t a = row_from(old, 0), b = row_from(now, 0);
    bool more = true;
    while (more && (a < SLOTS || b < SLOTS)) {
        bool behind = a < SLOTS && (b >= SLOTS || old->slots[a] < now->slots[b]);
        bool ahead = b < SLOTS && (a >= SLOTS || now->slots[b] < old->slots[a]);
        bool other = !behind && !ahead && !rows_same(old, a, now, b);
        if (behind || (other && !rows_of_one(old, a, now, b)))
            more = row_tell(old, a, visit, ctx);
        if (more && (ahead || other))
            more = row_tell(now, b, visit, ctx);
        a = ahead ? a : row_from(old, a + 1);
        b = behind ? b : row_from(now, b + 1);
    }
    return more;
}

bool table_each_changed(const struct table *old, const struct table *now, table_visit_row *visit, void *ctx)
{
    if (old->shards_count != now->shards_count)
        return false;
    for (uint32_t i = 0; i < now->shards_count; i++)
        if (old->shards[i] != now->shards[i] &&
            !shard_each_changed(old->shards[i], now->shards[i], visit, ctx))
            return false;
    return true;
}

/* --- the builder ---------------------------------------------------------------------------------------- */

struct table_builder *table_edit(const struct table *base)
{
    struct table_builder *builder = malloc(sizeof(*builder));
    if (builder == NULL)
        return NULL;
    builder->next = base == NULL ? table_new() : table_clone(base);
    if (builder->next == NULL) {
        free(builder);
        return NULL;
    }
    return builder;
}

static struct shard *shard_new(struct blocks *blocks)
{
    struct shard *shard = blocks_take(blocks);
    if (shard != NULL)
        memset(shard, 0, sizeof(*shard));
    return shard;
}

/* The shard at index, as one that the builder may change. NULL without memory. */
static struct shard *builder_shard(struct table_builder *builder, uint32_t index)
{
    struct table *next = builder->next;
    struct shard *shard = next->shards[index];
    if (shard != NULL && !block_is_shared(shard))
        return shard;
    struct shard *own = shard == NULL ? shard_new(next->blocks) : blocks_take(next->blocks);
    if (own == NULL)
        return NULL;
    if (shard != NULL)
        *own = *shard;
    blocks_give(next->blocks, shard);
    next->shards[index] = own;
    return own;
}

/* The end of what was written to a wider table. */
struct pen {
    struct table *wide;
    uint32_t index;
    size_t slot;
};

/* Rows come in the order of their hashes. False without memory or room. */
static bool pen_write(struct pen *pen, const uint64_t *row, size_t len)
{
    struct place place = place_of(*row, pen->wide->shards_count);
    struct shard **shard = &pen->wide->shards[place.shard];
    if (place.shard != pen->index || *shard == NULL) {
        pen->index = place.shard;
        pen->slot = 0;
        *shard = shard_new(pen->wide->blocks);
    }
    size_t at = place.home > pen->slot ? place.home : pen->slot;
    if (*shard == NULL || at + len > SLOTS || (*shard)->used + len > USED_MAX)
        return false;
    memcpy(&(*shard)->slots[at], row, len * sizeof(*row));
    (*shard)->used += len;
    pen->slot = at + len;
    return true;
}

static bool pen_copy(struct pen *pen, const struct shard *shard)
{
    bool written = true;
    for (size_t row = row_from(shard, 0); written && row < SLOTS; row = row_from(shard, row + 1))
        written = pen_write(pen, &shard->slots[row], row_end(shard, row) - row);
    return written;
}

/* The same content in more shards; NULL without memory, or where it does not fit. Its blocks lie apart from the old
 * ones, which leave no holes when they go. */
static struct table *table_widened(const struct table *old, uint32_t shards_count)
{
    struct pen pen = {.wide = table_sized(shards_count)};
    bool done = pen.wide != NULL;
    for (uint32_t i = 0; done && i < old->shards_count; i++)
        if (old->shards[i] != NULL)
            done = pen_copy(&pen, old->shards[i]);
    if (!done) {
        table_free(pen.wide);
        return NULL;
    }
    pen.wide->version = old->version;
    pen.wide->count = old->count;
    pen.wide->numbers = old->numbers;
    memcpy(pen.wide->fallback, old->fallback, sizeof(pen.wide->fallback));
    return pen.wide;
}

/* Costs a copy of the table, once each time that it has grown by a fifth. It never shrinks: what an emptied table
 * takes is little. */
static bool builder_widen(struct table_builder *builder)
{
    uint32_t shards_count = builder->next->shards_count;
    shards_count += shards_count / GROW_PART + 1;
    struct table *wide = shards_count > SHARDS_MAX ? NULL : table_widened(builder->next, shards_count);
    if (wide == NULL)
        return false;
    table_free(builder->next);
    builder->next = wide;
    return true;
}

/* Makes room for len slots, `into` slots behind the head of a key's row (or where that would be); *spot is kept up.
 * NULL without memory. */
static struct shard *builder_open(struct table_builder *builder, const struct key *key, struct spot *spot,
                                  size_t into, size_t len)
{
    for (;;) {
        struct shard *shard = builder_shard(builder, spot->index);
        if (shard == NULL || shard_open(shard, spot->row + into, len))
            return shard;
        if (!builder_widen(builder))
            return NULL;
        *spot = table_spot(builder->next, key);
    }
}

static bool builder_add_row(struct table_builder *builder, const struct key *key, struct spot *spot,
                            uint64_t cell)
{
    size_t len = ROW_CELLS + (key->is_text ? TEXT_SLOTS : 0) + 1;
    struct shard *shard = builder_open(builder, key, spot, 0, len);
    if (shard == NULL)
        return false;
    uint64_t *row = &shard->slots[spot->row];
    row[0] = key->head;
    if (key->is_text)
        text_pack(key, row + ROW_CELLS);
    row[len - 1] = cell;
    builder->next->count++;
    builder->next->numbers += cell_is_of(cell, NAME_NUMBER);
    return true;
}

static bool builder_set_cell(struct table_builder *builder, const struct key *key, struct spot *spot,
                             uint64_t cell)
{
    struct shard *shard = builder_shard(builder, spot->index);
    if (shard == NULL)
        return false;
    size_t cells = spot->row + ROW_CELLS + (key->is_text ? TEXT_SLOTS : 0);
    size_t slot = row_find(shard, cells, cell_carrier(cell));
    if (slot == 0) {
        size_t into = row_end(shard, spot->row) - spot->row;
        shard = builder_open(builder, key, spot, into, 1);
        slot = spot->row + into;
        builder->next->numbers += shard != NULL && cell_is_of(cell, NAME_NUMBER);
    }
    if (shard == NULL)
        return false;
    shard->slots[slot] = cell;
    return true;
}

bool table_set(struct table_builder *builder, const char *shortcode, uint8_t carrier,
               const struct route *route)
{
    if (!shortcode_fits(shortcode) || carrier >= NAMES_MAX)
        return false;
    struct key key = key_make(shortcode, strlen(shortcode));
    struct spot spot = table_spot(builder->next, &key);
    uint64_t cell = cell_of(carrier, route);
    return spot.there ? builder_set_cell(builder, &key, &spot, cell)
                      : builder_add_row(builder, &key, &spot, cell);
}

bool table_unset(struct table_builder *builder, const char *shortcode, uint8_t carrier)
{
    if (!shortcode_fits(shortcode))
        return false;
    struct key key = key_make(shortcode, strlen(shortcode));
    if (carrier >= NAMES_MAX || table_find(builder->next, &key, carrier) == 0)
        return true;
    struct spot spot = table_spot(builder->next, &key);
    struct shard *shard = builder_shard(builder, spot.index);
    if (shard == NULL)
        return false;
    size_t end = row_end(shard, spot.row), cells = row_cells(shard, spot.row);
    bool last = end - cells == 1;
    if (last)
        shard_close(shard, builder->next->shards_count, spot.row, end - spot.row);
    else
        shard_close(shard, builder->next->shards_count, row_find(shard, cells, carrier), 1);
    builder->next->count -= last;
    builder->next->numbers -= carrier == NAME_NUMBER;
    return true;
}

static bool fallback_take(void *ctx, const char *shortcode, uint8_t carrier, const struct route *route)
{
    (void)shortcode;
    struct table *table = ctx;
    table->fallback[carrier] = cell_of(carrier, route);
    return true;
}

struct table *table_done(struct table_builder *builder, uint64_t version)
{
    struct table *table = builder->next;
    free(builder);
    memset(table->fallback, 0, sizeof(table->fallback));
    table_row(table, "*", fallback_take, table);
    table->version = version;
    return table;
}

void table_abandon(struct table_builder *builder)
{
    if (builder == NULL)
        return;
    table_free(builder->next);
    free(builder);
}
