/* shortcode ──key──▶ hash ──top bits──▶ page ──▶ segment ──key──▶ row ──carrier──▶ cell
 *
 * A table has 2^bits segments, each with about 8 to 16 rows, reached through pages of 256. A segment is one
 * block of memory that never changes: an edit writes a new one. Pages and segments are counted, so that the
 * next table shares all but the few that differ; pages exist because counting every segment for each edit of
 * one row would touch the whole memory.
 *
 * A key is 64 bits. Up to 18 digits are packed as a number with a 1 before them (so that "01" and "1"
 * differ). Other shortcodes are hashed, with the top bit set, and their text stands in the slots before the
 * row's cells. */
#include "routing/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAGE_BITS = 8,
    PAGE_SEGMENTS = 1 << PAGE_BITS,
    BITS_MAX = 24,
    ROWS_MEAN_MAX = 16, /* rows a segment on average, above which the directory doubles */
    DIGITS_PACKED_MAX = 18,
    TEXT_SLOTS = 3, /* 24 octets: SHORTCODE_LEN_MAX and a NUL */
    NOT_THERE = -1,
};

#define KEY_IS_TEXT (UINT64_C(1) << 63)

enum { CARRIER_BITS = 6, STATE_BITS = 2 };

/* Eight octets: a million shortcodes with four carriers must fit into 64 MB. */
struct cell {
    uint8_t carrier : CARRIER_BITS, state : STATE_BITS;
    uint8_t platform, previous, next;
    uint32_t changed;
};
_Static_assert(NAMES_MAX <= 1 << CARRIER_BITS && ROUTE_STATE_COUNT <= 1 << STATE_BITS,
               "carrier and state share an octet");
_Static_assert(sizeof(struct cell) == 8, "cells are packed");
_Static_assert(TEXT_SLOTS * sizeof(struct cell) > SHORTCODE_LEN_MAX, "a text fits its slots");

/* The arrays follow in the same block: keys[rows], ends[rows] (where a row's slots end), then the slots. */
struct segment {
    uint32_t refs;
    uint16_t rows, slots;
    uint64_t keys[];
};

struct page {
    uint32_t refs;
    struct segment *segments[PAGE_SEGMENTS];
};

struct table {
    uint64_t version;
    size_t count;
    unsigned bits;
    struct cell fallback[NAMES_MAX]; /* the default row, by carrier; platform NAME_NONE: none */
    struct page *pages[];
};

/* The table under construction: pages of one reference are its own to change. */
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

/* --- keys ----------------------------------------------------------------------------------------------- */

struct key {
    uint64_t value;
    const char *text; /* the shortcode; len octets, not NUL-terminated */
    size_t len;
};

static uint64_t key_of_text(const char *text, size_t len)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
    return hash | KEY_IS_TEXT;
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
    return (struct key){packed ? number : key_of_text(text, len), text, len};
}

/* Shortcodes come in runs, so the bits are mixed before the top ones choose the segment (MurmurHash3's
 * finish). */
static size_t key_index(uint64_t key, unsigned bits)
{
    key = (key ^ (key >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    key = (key ^ (key >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return (size_t)(key >> (64 - bits));
}

static bool shortcode_fits(const char *shortcode)
{
    size_t len = strnlen(shortcode, SHORTCODE_LEN_MAX + 1);
    return len >= 1 && len <= SHORTCODE_LEN_MAX;
}

/* --- segments: one block each, never changed once reachable --------------------------------------------- */

static size_t ends_size(size_t rows)
{
    return (rows * sizeof(uint16_t) + 7) & ~(size_t)7;
}

static uint16_t *segment_ends(const struct segment *segment)
{
    return (uint16_t *)(uintptr_t)&segment->keys[segment->rows];
}

static struct cell *segment_slots(const struct segment *segment)
{
    return (struct cell *)(void *)((char *)segment_ends(segment) + ends_size(segment->rows));
}

static struct segment *segment_new(size_t rows, size_t slots)
{
    if (rows > UINT16_MAX || slots > UINT16_MAX)
        return NULL;
    struct segment *segment =
        malloc(sizeof(*segment) + rows * sizeof(uint64_t) + ends_size(rows) + slots * sizeof(struct cell));
    if (segment == NULL)
        return NULL;
    segment->refs = 1;
    segment->rows = (uint16_t)rows;
    segment->slots = (uint16_t)slots;
    return segment;
}

static void segment_release(struct segment *segment)
{
    if (segment != NULL && --segment->refs == 0)
        free(segment);
}

static size_t row_start(const struct segment *segment, size_t row)
{
    return row == 0 ? 0 : segment_ends(segment)[row - 1];
}

static bool row_is_text(const struct segment *segment, size_t row)
{
    return (segment->keys[row] & KEY_IS_TEXT) != 0;
}

/* Where the row's cells start, behind its text if it has one. */
static size_t row_cells(const struct segment *segment, size_t row)
{
    return row_start(segment, row) + (row_is_text(segment, row) ? TEXT_SLOTS : 0);
}

static bool row_has_text(const struct segment *segment, size_t row, const struct key *key)
{
    const char *text = (const char *)&segment_slots(segment)[row_start(segment, row)];
    return key->len <= SHORTCODE_LEN_MAX && memcmp(text, key->text, key->len) == 0 && text[key->len] == '\0';
}

static int segment_find(const struct segment *segment, const struct key *key)
{
    for (size_t row = 0; row < segment->rows; row++)
        if (segment->keys[row] == key->value &&
            (!row_is_text(segment, row) || row_has_text(segment, row, key)))
            return (int)row;
    return NOT_THERE;
}

static int row_find(const struct segment *segment, size_t row, uint8_t carrier)
{
    const struct cell *slots = segment_slots(segment);
    size_t end = segment_ends(segment)[row];
    for (size_t slot = row_cells(segment, row); slot < end; slot++)
        if (slots[slot].carrier == carrier)
            return (int)slot;
    return NOT_THERE;
}

/* A copy of old with rows_more rows (-1, 0 or 1) at row, and slots_more slots at slot; old NULL is empty. New
 * rows and slots are left for the caller to fill, but for the end of a new row. */
static struct segment *segment_splice(const struct segment *old, size_t row, int rows_more, size_t slot,
                                      int slots_more)
{
    static const struct segment empty;
    if (old == NULL)
        old = &empty;
    struct segment *next = segment_new(old->rows + (size_t)rows_more, old->slots + (size_t)slots_more);
    if (next == NULL)
        return NULL;

    size_t from = row + (rows_more < 0), to = row + (rows_more > 0), behind = old->rows - from;
    memcpy(next->keys, old->keys, row * sizeof(old->keys[0]));
    memcpy(next->keys + to, old->keys + from, behind * sizeof(old->keys[0]));
    memcpy(segment_ends(next), segment_ends(old), row * sizeof(uint16_t));
    for (size_t i = 0; i < behind; i++)
        segment_ends(next)[to + i] = (uint16_t)(segment_ends(old)[from + i] + slots_more);
    if (rows_more > 0)
        segment_ends(next)[row] = (uint16_t)(slot + (size_t)slots_more);

    from = slot + (slots_more < 0 ? (size_t)-slots_more : 0);
    to = slot + (slots_more > 0 ? (size_t)slots_more : 0);
    memcpy(segment_slots(next), segment_slots(old), slot * sizeof(struct cell));
    memcpy(segment_slots(next) + to, segment_slots(old) + from, (old->slots - from) * sizeof(struct cell));
    return next;
}

static struct segment *segment_add_row(const struct segment *old, const struct key *key,
                                       const struct cell *cell)
{
    size_t row = old == NULL ? 0 : old->rows, slot = old == NULL ? 0 : old->slots;
    bool text = (key->value & KEY_IS_TEXT) != 0;
    struct segment *next = segment_splice(old, row, 1, slot, text ? TEXT_SLOTS + 1 : 1);
    if (next == NULL)
        return NULL;
    next->keys[row] = key->value;
    struct cell *slots = segment_slots(next) + slot;
    if (text) {
        memset(slots, 0, TEXT_SLOTS * sizeof(*slots));
        memcpy(slots, key->text, key->len);
        slots += TEXT_SLOTS;
    }
    *slots = *cell;
    return next;
}

static struct segment *segment_set_cell(const struct segment *old, size_t row, const struct cell *cell)
{
    int slot = row_find(old, row, cell->carrier);
    int more = slot == NOT_THERE;
    if (more)
        slot = segment_ends(old)[row];
    struct segment *next = segment_splice(old, row, 0, (size_t)slot, more);
    if (next != NULL)
        segment_slots(next)[slot] = *cell;
    return next;
}

/* --- pages and tables ----------------------------------------------------------------------------------- */

static size_t page_count(unsigned bits)
{
    return (size_t)1 << (bits - PAGE_BITS);
}

static void page_release(struct page *page)
{
    if (page == NULL || --page->refs > 0)
        return;
    for (size_t i = 0; i < PAGE_SEGMENTS; i++)
        segment_release(page->segments[i]);
    free(page);
}

static struct page *page_new(void)
{
    struct page *page = calloc(1, sizeof(*page));
    if (page != NULL)
        page->refs = 1;
    return page;
}

static struct page *page_copy(const struct page *page)
{
    struct page *copy = malloc(sizeof(*copy));
    if (copy == NULL)
        return NULL;
    *copy = *page;
    copy->refs = 1;
    for (size_t i = 0; i < PAGE_SEGMENTS; i++)
        if (copy->segments[i] != NULL)
            copy->segments[i]->refs++;
    return copy;
}

static size_t table_size(unsigned bits)
{
    return sizeof(struct table) + page_count(bits) * sizeof(void *);
}

/* Without pages: a page is NULL until something is in it. */
static struct table *table_sized(unsigned bits)
{
    struct table *table = calloc(1, table_size(bits));
    if (table == NULL)
        return NULL;
    table->bits = bits;
    for (size_t i = 0; i < NAMES_MAX; i++)
        table->fallback[i].platform = NAME_NONE;
    return table;
}

struct table *table_new(void)
{
    return table_sized(PAGE_BITS);
}

void table_free(struct table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < page_count(table->bits); i++)
        page_release(table->pages[i]);
    free(table);
}

struct table *table_clone(const struct table *table)
{
    size_t pages = page_count(table->bits);
    struct table *clone = malloc(table_size(table->bits));
    if (clone == NULL)
        return NULL;
    memcpy(clone, table, table_size(table->bits));
    for (size_t i = 0; i < pages; i++)
        if (clone->pages[i] != NULL)
            clone->pages[i]->refs++;
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

static const struct segment *table_segment(const struct table *table, const struct key *key)
{
    size_t index = key_index(key->value, table->bits);
    const struct page *page = table->pages[index >> PAGE_BITS];
    return page == NULL ? NULL : page->segments[index & (PAGE_SEGMENTS - 1)];
}

static struct route route_of(const struct cell *cell)
{
    return (struct route){.platform = cell->platform,
                          .state = cell->state,
                          .previous = cell->previous,
                          .next = cell->next,
                          .changed = cell->changed};
}

static struct cell cell_of(uint8_t carrier, const struct route *route)
{
    return (struct cell){.carrier = carrier & ((1U << CARRIER_BITS) - 1),
                         .state = route->state & ((1U << STATE_BITS) - 1),
                         .platform = route->platform,
                         .previous = route->previous,
                         .next = route->next,
                         .changed = route->changed};
}

static const struct cell *table_find(const struct table *table, const struct key *key, uint8_t carrier)
{
    const struct segment *segment = table_segment(table, key);
    int row = segment == NULL ? NOT_THERE : segment_find(segment, key);
    int slot = row == NOT_THERE ? NOT_THERE : row_find(segment, (size_t)row, carrier);
    return slot == NOT_THERE ? NULL : &segment_slots(segment)[slot];
}

bool table_lookup(const struct table *table, const char *shortcode, size_t len, uint8_t carrier,
                  struct route *route)
{
    if (carrier >= NAMES_MAX)
        return false;
    struct key key = key_make(shortcode, len);
    const struct cell *cell = table_find(table, &key, carrier);
    if (cell == NULL)
        cell = &table->fallback[carrier];
    if (cell->platform == NAME_NONE)
        return false;
    *route = route_of(cell);
    return true;
}

bool table_cell(const struct table *table, const char *shortcode, uint8_t carrier, struct route *route)
{
    struct key key = key_make(shortcode, strlen(shortcode));
    const struct cell *cell = table_find(table, &key, carrier);
    if (cell == NULL)
        return false;
    *route = route_of(cell);
    return true;
}

/* --- visits --------------------------------------------------------------------------------------------- */

static void row_shortcode(const struct segment *segment, size_t row, char shortcode[SHORTCODE_LEN_MAX + 1])
{
    if (row_is_text(segment, row)) {
        memcpy(shortcode, &segment_slots(segment)[row_start(segment, row)], SHORTCODE_LEN_MAX + 1);
        return;
    }
    char digits[SHORTCODE_LEN_MAX + 1];
    size_t len = 0;
    for (uint64_t number = segment->keys[row]; number > 1; number /= 10)
        digits[len++] = (char)('0' + number % 10);
    for (size_t i = 0; i < len; i++)
        shortcode[i] = digits[len - 1 - i];
    shortcode[len] = '\0';
}

static bool row_visit(const struct segment *segment, size_t row, table_visit *visit, void *ctx)
{
    char shortcode[SHORTCODE_LEN_MAX + 1];
    row_shortcode(segment, row, shortcode);
    for (size_t slot = row_cells(segment, row); slot < segment_ends(segment)[row]; slot++) {
        const struct cell *cell = &segment_slots(segment)[slot];
        struct route route = route_of(cell);
        if (!visit(ctx, shortcode, cell->carrier, &route))
            return false;
    }
    return true;
}

static bool page_visit(const struct page *page, table_visit *visit, void *ctx)
{
    for (size_t i = 0; i < PAGE_SEGMENTS; i++) {
        const struct segment *segment = page->segments[i];
        for (size_t row = 0; segment != NULL && row < segment->rows; row++)
            if (!row_visit(segment, row, visit, ctx))
                return false;
    }
    return true;
}

void table_each(const struct table *table, table_visit *visit, void *ctx)
{
    for (size_t i = 0; i < page_count(table->bits); i++)
        if (table->pages[i] != NULL && !page_visit(table->pages[i], visit, ctx))
            return;
}

void table_row(const struct table *table, const char *shortcode, table_visit *visit, void *ctx)
{
    struct key key = key_make(shortcode, strlen(shortcode));
    const struct segment *segment = table_segment(table, &key);
    int row = segment == NULL ? NOT_THERE : segment_find(segment, &key);
    if (row != NOT_THERE)
        row_visit(segment, (size_t)row, visit, ctx);
}

static size_t row_width(const struct segment *segment, size_t row)
{
    return segment_ends(segment)[row] - row_cells(segment, row);
}

static bool rows_same(const struct segment *a, size_t row_a, const struct segment *b, size_t row_b)
{
    const struct cell *cells = &segment_slots(a)[row_cells(a, row_a)];
    size_t width = row_width(a, row_a);
    bool same = width == row_width(b, row_b);
    for (size_t i = 0; same && i < width; i++) {
        int slot = row_find(b, row_b, cells[i].carrier);
        same = slot != NOT_THERE && memcmp(&cells[i], &segment_slots(b)[slot], sizeof(*cells)) == 0;
    }
    return same;
}

/* Visits the rows of a that b does not have, or, where `same_too` is wanted, that are not the same there. */
static bool rows_missing(const struct segment *a, const struct segment *b, bool same_too,
                         table_visit_row *visit, void *ctx)
{
    char shortcode[SHORTCODE_LEN_MAX + 1];
    for (size_t row = 0; a != NULL && row < a->rows; row++) {
        row_shortcode(a, row, shortcode);
        struct key key = key_make(shortcode, strlen(shortcode));
        int there = b == NULL ? NOT_THERE : segment_find(b, &key);
        bool same = there != NOT_THERE && (!same_too || rows_same(a, row, b, (size_t)there));
        if (!same && !visit(ctx, shortcode))
            return false;
    }
    return true;
}

static bool page_each_changed(const struct page *old, const struct page *now, table_visit_row *visit,
                              void *ctx)
{
    for (size_t i = 0; i < PAGE_SEGMENTS; i++) {
        const struct segment *a = now == NULL ? NULL : now->segments[i];
        const struct segment *b = old == NULL ? NULL : old->segments[i];
        if (a != b && !(rows_missing(a, b, true, visit, ctx) && rows_missing(b, a, false, visit, ctx)))
            return false;
    }
    return true;
}

bool table_each_changed(const struct table *old, const struct table *now, table_visit_row *visit, void *ctx)
{
    if (old->bits != now->bits)
        return false;
    for (size_t i = 0; i < page_count(now->bits); i++)
        if (old->pages[i] != now->pages[i] && !page_each_changed(old->pages[i], now->pages[i], visit, ctx))
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

/* The rows of a segment whose place in a directory of so many bits is index. *part is NULL where there are
 * none. */
static bool segment_part(const struct segment *whole, unsigned bits, size_t index, struct segment **part)
{
    size_t rows = 0, slots = 0;
    for (size_t row = 0; row < whole->rows; row++)
        if (key_index(whole->keys[row], bits) == index) {
            rows++;
            slots += segment_ends(whole)[row] - row_start(whole, row);
        }
    *part = rows == 0 ? NULL : segment_new(rows, slots);
    if (*part == NULL)
        return rows == 0;

    size_t to = 0, end = 0;
    for (size_t row = 0; row < whole->rows; row++) {
        if (key_index(whole->keys[row], bits) != index)
            continue;
        size_t start = row_start(whole, row), size = segment_ends(whole)[row] - start;
        (*part)->keys[to] = whole->keys[row];
        memcpy(segment_slots(*part) + end, segment_slots(whole) + start, size * sizeof(struct cell));
        end += size;
        segment_ends(*part)[to++] = (uint16_t)end;
    }
    return true;
}

/* The top bits choose, so what was at i is found at 2i and 2i + 1. */
static bool segment_split(struct table *wide, const struct segment *segment, size_t at)
{
    for (size_t index = 2 * at; index <= 2 * at + 1; index++) {
        struct page **page = &wide->pages[index >> PAGE_BITS];
        if (*page == NULL && (*page = page_new()) == NULL)
            return false;
        if (!segment_part(segment, wide->bits, index, &(*page)->segments[index & (PAGE_SEGMENTS - 1)]))
            return false;
    }
    return true;
}

/* Doubles the directory. Costs a copy of the table, once each time that it has doubled; where the memory for
 * it is missing, segments just get longer. It never shrinks: what an emptied directory takes is little. */
static void builder_widen(struct table_builder *builder)
{
    struct table *old = builder->next;
    struct table *wide = table_sized(old->bits + 1);
    bool done = wide != NULL;
    for (size_t i = 0; done && i < (size_t)1 << old->bits; i++) {
        const struct page *page = old->pages[i >> PAGE_BITS];
        const struct segment *segment = page == NULL ? NULL : page->segments[i & (PAGE_SEGMENTS - 1)];
        if (segment != NULL)
            done = segment_split(wide, segment, i);
    }
    if (!done) {
        table_free(wide);
        return;
    }
    wide->version = old->version;
    wide->count = old->count;
    memcpy(wide->fallback, old->fallback, sizeof(wide->fallback));
    table_free(old);
    builder->next = wide;
}

/* The place of a key's segment, in a page that is the builder's own. NULL without memory. */
static struct segment **builder_place(struct table_builder *builder, const struct key *key)
{
    size_t index = key_index(key->value, builder->next->bits);
    struct page **page = &builder->next->pages[index >> PAGE_BITS];
    if (*page == NULL || (*page)->refs > 1) {
        struct page *own = *page == NULL ? page_new() : page_copy(*page);
        if (own == NULL)
            return NULL;
        page_release(*page);
        *page = own;
    }
    return &(*page)->segments[index & (PAGE_SEGMENTS - 1)];
}

static void place_put(struct segment **place, struct segment *next)
{
    segment_release(*place);
    *place = next;
}

bool table_set(struct table_builder *builder, const char *shortcode, uint8_t carrier,
               const struct route *route)
{
    if (!shortcode_fits(shortcode) || carrier >= NAMES_MAX)
        return false;
    struct key key = key_make(shortcode, strlen(shortcode));
    struct segment **place = builder_place(builder, &key);
    if (place == NULL)
        return false;
    struct cell cell = cell_of(carrier, route);
    int row = *place == NULL ? NOT_THERE : segment_find(*place, &key);
    struct segment *next = row == NOT_THERE ? segment_add_row(*place, &key, &cell)
                                            : segment_set_cell(*place, (size_t)row, &cell);
    if (next == NULL)
        return false;
    place_put(place, next);

    struct table *table = builder->next;
    if (row == NOT_THERE && ++table->count >> table->bits >= ROWS_MEAN_MAX && table->bits < BITS_MAX)
        builder_widen(builder);
    return true;
}

bool table_unset(struct table_builder *builder, const char *shortcode, uint8_t carrier)
{
    if (!shortcode_fits(shortcode))
        return false;
    struct key key = key_make(shortcode, strlen(shortcode));
    if (table_find(builder->next, &key, carrier) == NULL)
        return true;
    struct segment **place = builder_place(builder, &key);
    if (place == NULL)
        return false;

    size_t row = (size_t)segment_find(*place, &key), start = row_start(*place, row);
    size_t end = segment_ends(*place)[row];
    bool last = end - row_cells(*place, row) == 1;
    struct segment *next = NULL;
    if (last && (*place)->rows > 1)
        next = segment_splice(*place, row, -1, start, -(int)(end - start));
    else if (!last)
        next = segment_splice(*place, row, 0, (size_t)row_find(*place, row, carrier), -1);
    if (next == NULL && !(last && (*place)->rows == 1))
        return false;
    place_put(place, next);
    builder->next->count -= last;
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
    for (size_t i = 0; i < NAMES_MAX; i++)
        table->fallback[i].platform = NAME_NONE;
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
