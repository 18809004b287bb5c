/* table.c against a naive model under random edits; with every allocation failing in turn; and its memory and
 * speed at a million shortcodes.
 *
 * The source is included, so that its allocations can be counted and failed here without a hook in the
 * product. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <cmocka.h>

#include "test/unit/seeded.h"

static long allocations_left = -1; /* -1: none fails */
static long blocks_held;
static size_t octets;

static void *counted(void *block)
{
    if (block != NULL) {
        blocks_held++;
        octets += malloc_usable_size(block) + sizeof(size_t);
    }
    return block;
}

static int allocation_fails(void)
{
    return allocations_left >= 0 && allocations_left-- == 0;
}

static void *test_alloc(size_t size)
{
    return allocation_fails() ? NULL : counted(malloc(size));
}

static void *test_zeroed(size_t count, size_t size)
{
    return allocation_fails() ? NULL : counted(calloc(count, size));
}

static void test_release(void *block)
{
    if (block == NULL)
        return;
    blocks_held--;
    octets -= malloc_usable_size(block) + sizeof(size_t);
    free(block);
}

static void *test_map(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    void *map = allocation_fails() ? MAP_FAILED : mmap(at, size, protection, flags, fd, offset);
    octets += map == MAP_FAILED ? 0 : size;
    return map;
}

static int test_unmap(void *at, size_t size)
{
    octets -= size;
    return munmap(at, size);
}

#define malloc test_alloc
#define calloc test_zeroed
#define free   test_release
#define mmap   test_map
#define munmap test_unmap
#include "routing/blocks.c" /* NOLINT(bugprone-suspicious-include): see above */
#include "routing/table.c"  /* NOLINT(bugprone-suspicious-include): see above */
#undef malloc
#undef calloc
#undef free
#undef mmap
#undef munmap

/* --- a small world of shortcodes, and the model: an array ----------------------------------------------- */

enum { CODES = 400 };
static const uint8_t CARRIERS = 5;

struct model {
    struct route route[CODES][5];
    bool there[CODES][5];
};

static char codes[CODES][SHORTCODE_LEN_MAX + 1];

static int codes_setup(void **state)
{
    (void)state;
    static const char *const odd[] = {"*",
                                      "0",
                                      "00",
                                      "000",
                                      "1",
                                      "01",
                                      "999999999999999999",
                                      "9999999999999999999",
                                      "18446744073709551616",
                                      "00000000000000000000",
                                      "Brand",
                                      "BRAND",
                                      "A",
                                      "ABCDEFGHIJKLMNOPQRST",
                                      "ABCDEFGHIJKLMNOPQRS",
                                      "\"quote\\",
                                      "12a",
                                      "a12"};
    size_t n = 0;
    for (; n < sizeof(odd) / sizeof(odd[0]); n++)
        snprintf(codes[n], sizeof(codes[n]), "%s", odd[n]);
    for (; n < CODES; n++)
        snprintf(codes[n], sizeof(codes[n]), n % 3 == 0 ? "sender%zu" : "%zu", n * 7);
    return 0;
}

static struct route some_route(void)
{
    return (struct route){(uint8_t)(any_of(3)), (uint8_t)(any_of(ROUTE_STATE_COUNT)), NAME_NONE,
                          (uint8_t)(any_of(NAMES_MAX)), any_of(1u << 31)};
}

static bool routes_equal(const struct route *a, const struct route *b)
{
    return a->platform == b->platform && a->state == b->state && a->previous == b->previous &&
           a->next == b->next && a->changed == b->changed;
}

struct census {
    const struct model *model;
    size_t cells;
};

static bool take_census(void *ctx, const char *shortcode, uint8_t carrier, const struct route *route)
{
    struct census *census = ctx;
    for (size_t i = 0; i < CODES; i++)
        if (strcmp(codes[i], shortcode) == 0) {
            assert_true(census->model->there[i][carrier]);
            assert_true(routes_equal(route, &census->model->route[i][carrier]));
            census->cells++;
            return true;
        }
    fail_msg("a shortcode that nobody set: %s", shortcode);
    return false;
}

static void check(const struct table *table, const struct model *model)
{
    size_t rows = 0, cells = 0;
    for (size_t i = 0; i < CODES; i++) {
        size_t row_cells_expected = 0;
        for (uint8_t c = 0; c < CARRIERS; c++) {
            struct route route = {0};
            bool there = model->there[i][c];
            row_cells_expected += there;
            assert_int_equal(table_cell(table, codes[i], c, &route), there);
            assert_true(!there || routes_equal(&route, &model->route[i][c]));

            const struct route *expected = there ? &model->route[i][c] : &model->route[0][c];
            bool found = there || model->there[0][c];
            assert_int_equal(table_lookup(table, codes[i], strlen(codes[i]), c, &route), found);
            assert_true(!found || routes_equal(&route, expected));
        }
        struct census row = {model, 0};
        table_row(table, codes[i], take_census, &row);
        assert_int_equal(row.cells, row_cells_expected);
        rows += row_cells_expected > 0;
        cells += row_cells_expected;
    }
    struct census census = {model, 0};
    table_each(table, take_census, &census);
    assert_int_equal(census.cells, cells);
    assert_int_equal(table_count(table), rows);
}

/* A few edits to both. Without memory (as some tests want it) neither is changed by the edit that failed. */
static struct table *edit(const struct table *base, struct model *model, uint64_t version)
{
    struct table_builder *builder = table_edit(base);
    if (builder == NULL)
        return NULL;
    for (unsigned n = any_of(30) + 1; n > 0; n--) {
        unsigned i = any_of(4) == 0 ? any_of(20) : any_of(CODES);
        uint8_t c = (uint8_t)(any_of(CARRIERS));
        struct route route = some_route();
        if (any_of(5) < 2) {
            if (table_unset(builder, codes[i], c))
                model->there[i][c] = false;
        } else if (table_set(builder, codes[i], c, &route)) {
            model->there[i][c] = true;
            model->route[i][c] = route;
        }
    }
    return table_done(builder, version);
}

static void random_edits_agree_with_the_model(void **state)
{
    (void)state;
    enum { STEPS = 1500, KEPT = 4 };
    static struct model models[KEPT];
    struct table *tables[KEPT] = {table_new()};
    memset(models, 0, sizeof(models));
    seeded(1);
    for (unsigned step = 1; step < STEPS; step++) {
        unsigned from = (step - 1) % KEPT, to = step % KEPT;
        table_free(tables[to]);
        models[to] = models[from];
        tables[to] = edit(tables[from], &models[to], step);
        assert_int_equal(table_version(tables[to]), step);
        if (step % 10 == 0)
            for (unsigned k = 0; k < KEPT; k++) /* the older tables are as they were */
                check(tables[k], &models[k]);
    }
    for (unsigned k = 0; k < KEPT; k++)
        table_free(tables[k]);
    assert_int_equal(blocks_held, 0);
    assert_int_equal(octets, 0);
}

/* --- more rows than a shard holds ----------------------------------------------------------------------- */

enum { MANY = 12000 };

static void many_code(char code[SHORTCODE_LEN_MAX + 1], unsigned i)
{
    snprintf(code, SHORTCODE_LEN_MAX + 1, i % 5 == 0 ? "brand%u" : "%u", i);
}

struct many {
    uint8_t platform[MANY][3]; /* by carrier; NAME_NONE: no cell */
};

static bool many_change(struct table_builder *builder, struct many *many, unsigned i, uint8_t carrier,
                        uint8_t platform)
{
    char code[SHORTCODE_LEN_MAX + 1];
    many_code(code, i);
    struct route route = {platform, ROUTE_OPEN, NAME_NONE, NAME_NONE, 1};
    many->platform[i][carrier] = platform;
    return platform == NAME_NONE ? table_unset(builder, code, carrier)
                                 : table_set(builder, code, carrier, &route);
}

static void many_check(const struct table *table, const struct many *many)
{
    size_t rows = 0;
    for (unsigned i = 0; i < MANY; i++) {
        char code[SHORTCODE_LEN_MAX + 1];
        bool row = false;
        many_code(code, i);
        for (uint8_t c = 0; c < 3; c++) {
            struct route route = {0};
            bool there = many->platform[i][c] != NAME_NONE;
            assert_int_equal(table_cell(table, code, c, &route), there);
            assert_true(!there || route.platform == many->platform[i][c]);
            row |= there;
        }
        rows += row;
    }
    assert_int_equal(table_count(table), rows);
}

static bool mark_changed(void *ctx, const char *shortcode)
{
    bool *changed = ctx;
    unsigned long i = strtoul(shortcode + strcspn(shortcode, "0123456789"), NULL, 10);
    assert_true(i < MANY);
    assert_false(changed[i]);
    changed[i] = true;
    return true;
}

/* Tells the same rows as the models do. */
static void many_compare(const struct table *old, const struct many *was, const struct table *now,
                         const struct many *is)
{
    static bool changed[MANY];
    memset(changed, 0, sizeof(changed));
    if (!table_each_changed(old, now, mark_changed, changed)) {
        assert_true(old->shards_count != now->shards_count);
        return;
    }
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(changed[i], memcmp(was->platform[i], is->platform[i], 3) != 0);
}

static void many_shards_agree_with_the_model(void **state)
{
    (void)state;
    static struct many was, is;
    struct table *table = table_new();
    memset(&is, NAME_NONE, sizeof(is));
    seeded(4);
    for (unsigned step = 0; step < 60; step++) {
        struct table_builder *builder = table_edit(table);
        unsigned removed = step % 10 < 6 ? 1 : 4; /* of five edits: it grows and shrinks */
        was = is;
        for (unsigned n = step % 3 == 0 ? 5 : 4000; n > 0; n--) {
            uint8_t platform = any_of(5) < removed ? NAME_NONE : (uint8_t)any_of(NAMES_MAX);
            assert_true(many_change(builder, &is, any_of(MANY), (uint8_t)any_of(3), platform));
        }
        struct table *next = table_done(builder, step);
        many_check(next, &is);
        many_check(table, &was);
        many_compare(table, &was, next, &is);
        table_free(table);
        table = next;
    }
    assert_true(table->shards_count > 3);
    table_free(table);
    assert_int_equal(octets, 0);
}

static void a_failed_allocation_changes_nothing_and_leaks_nothing(void **state)
{
    (void)state;
    static struct model model;
    memset(&model, 0, sizeof(model));
    struct table *table = table_new();
    seeded(2);
    for (unsigned step = 1; step < 4000; step++) {
        static struct model next_model;
        next_model = model;
        allocations_left = any_of(60);
        struct table *next = edit(table, &next_model, step);
        allocations_left = -1;
        if (step % 50 == 0)
            check(table, &model);
        if (next == NULL)
            continue;
        if (step % 50 == 0)
            check(next, &next_model);
        table_free(table);
        table = next;
        model = next_model;
    }
    check(table, &model);
    allocations_left = 0;
    assert_null(table_clone(table));
    allocations_left = 0;
    assert_null(table_new());
    allocations_left = -1;
    table_free(table);
    assert_int_equal(blocks_held, 0);
    assert_int_equal(octets, 0);
}

static void clones_and_abandoned_builders_share_safely(void **state)
{
    (void)state;
    static struct model model, other;
    memset(&model, 0, sizeof(model));
    seeded(3);
    struct table *table = edit(NULL, &model, 1), *clone = table_clone(table);
    other = model;
    struct table_builder *builder = table_edit(table);
    struct route route = some_route();
    assert_true(table_set(builder, codes[5], 1, &route));
    table_abandon(builder);
    table_abandon(NULL);
    struct table *next = edit(clone, &other, 2);
    table_free(table);
    check(clone, &model);
    table_free(clone);
    check(next, &other);
    table_free(next);
    table_free(NULL);
    assert_int_equal(blocks_held, 0);
    assert_int_equal(octets, 0);
}

static void what_cannot_be_a_cell_is_refused(void **state)
{
    (void)state;
    struct table_builder *builder = table_edit(NULL);
    struct route route = some_route(), found;
    assert_false(table_set(builder, "", 0, &route));
    assert_false(table_set(builder, "123456789012345678901", 0, &route));
    assert_false(table_set(builder, "123", NAMES_MAX, &route));
    assert_false(table_unset(builder, "", 0));
    assert_true(table_unset(builder, "123", NAME_NONE));
    assert_true(table_set(builder, "12345678901234567890", NAMES_MAX - 1, &route));
    struct table *table = table_done(builder, 1);
    assert_int_equal(table_count(table), 1);
    assert_true(table_lookup(table, "12345678901234567890", 20, NAMES_MAX - 1, &found));
    assert_false(table_lookup(table, "123456789012345678901", 21, NAMES_MAX - 1, &found));
    assert_false(table_lookup(table, "12345678901234567890", 20, NAME_NONE, &found));
    assert_false(table_lookup(table, "", 0, 1, &found));
    table_free(table);
}

static void the_default_row_answers_for_all_others(void **state)
{
    (void)state;
    struct table_builder *builder = table_edit(NULL);
    struct route redx = {1, ROUTE_OPEN, NAME_NONE, NAME_NONE, 5}, omni = {2, ROUTE_HOLD, 1, 3, 6}, found;
    assert_true(table_set(builder, "*", 0, &redx));
    assert_true(table_set(builder, "123", 1, &omni));
    struct table *table = table_done(builder, 1);
    assert_true(table_lookup(table, "123", 3, 0, &found) && routes_equal(&found, &redx));
    assert_true(table_lookup(table, "", 0, 0, &found) && routes_equal(&found, &redx));
    assert_false(table_lookup(table, "9", 1, 1, &found));
    assert_false(table_cell(table, "123", 0, &found));

    builder = table_edit(table);
    assert_true(table_unset(builder, "*", 0));
    struct table *next = table_done(builder, 2);
    assert_false(table_lookup(next, "123", 3, 0, &found));
    assert_true(table_lookup(table, "123", 3, 0, &found));
    table_free(table);
    table_free(next);
}

static void numbers_are_rows_too(void **state)
{
    (void)state;
    struct route spark = {4, ROUTE_OPEN, NAME_NONE, NAME_NONE, 5}, found;
    struct table_builder *builder = table_edit(NULL);
    assert_true(table_set(builder, "*", 0, &spark));
    assert_true(table_set(builder, "+6427", 0, &spark)); /* a sender's route, and no number's */
    struct table *table = table_done(builder, 1);
    assert_int_equal(table_numbers(table), 0);
    assert_int_equal(table_number(table, (const uint8_t *)"6427", 4), NAME_NONE);

    builder = table_edit(table);
    assert_true(table_set(builder, "+6427", NAME_NUMBER, &spark));
    assert_true(table_set(builder, "+6428", NAME_NUMBER, &spark));
    assert_true(table_set(builder, "+6428", NAME_NUMBER, &spark));
    struct table *next = table_done(builder, 2);
    assert_int_equal(table_numbers(next), 2);
    assert_int_equal(table_number(next, (const uint8_t *)"6427", 4), 4);
    assert_int_equal(table_number(next, (const uint8_t *)"+6428", 5), 4);
    assert_int_equal(table_number(next, (const uint8_t *)"642", 3), NAME_NONE);
    assert_int_equal(table_number(next, (const uint8_t *)"", 0), NAME_NONE);
    assert_false(table_lookup(next, "+6428", 5, 1, &found));

    builder = table_edit(next);
    assert_true(table_unset(builder, "+6427", NAME_NUMBER));
    assert_true(table_unset(builder, "+6427", NAME_NUMBER));
    struct table *last = table_done(builder, 3);
    assert_int_equal(table_numbers(last), 1);
    assert_int_equal(table_number(last, (const uint8_t *)"6427", 4), NAME_NONE);
    table_free(table);
    table_free(next);
    table_free(last);
}

/* --- states --------------------------------------------------------------------------------------------- */

static void states_have_names(void **state)
{
    (void)state;
    enum route_state parsed = ROUTE_STATE_COUNT;
    for (unsigned i = 0; i < ROUTE_STATE_COUNT; i++) {
        assert_true(route_state_parse(route_state_name((enum route_state)i), &parsed));
        assert_int_equal(parsed, i);
    }
    assert_false(route_state_parse("Open", &parsed));
    assert_int_equal(parsed, ROUTE_STATE_COUNT - 1);
    assert_string_equal(route_state_name((enum route_state)77), "?");
}

/* --- a million shortcodes ------------------------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ROWS_MOST = 100000 }; /* a million takes a quarter of a minute there */
#else
enum { ROWS_MOST = 1000000 };
#endif

static void code_of(char code[SHORTCODE_LEN_MAX + 1], unsigned i)
{
    snprintf(code, SHORTCODE_LEN_MAX + 1, "%u", 100000 + i);
}

static struct table *table_of(unsigned rows)
{
    char code[SHORTCODE_LEN_MAX + 1];
    struct route route = {1, ROUTE_OPEN, NAME_NONE, 2, 7};
    struct table_builder *builder = table_edit(NULL);
    for (unsigned i = 0; i < rows; i++)
        for (uint8_t c = 0; c < 4; c++) {
            code_of(code, i);
            assert_true(table_set(builder, code, c, &route));
        }
    return table_done(builder, 1);
}

static double lookup_ns(const struct table *table, unsigned rows)
{
    enum { LOOKUPS = 500000 };
    static char texts[LOOKUPS][SHORTCODE_LEN_MAX + 1];
    unsigned at = 1, hits = 0;
    for (unsigned i = 0; i < LOOKUPS; i++) {
        at = at * 1664525u + 1013904223u;
        code_of(texts[i], (at >> 8) % rows);
    }
    struct route route;
    double start = seconds();
    for (unsigned i = 0; i < LOOKUPS; i++)
        hits += table_lookup(table, texts[i], strlen(texts[i]), (uint8_t)(i & 3), &route);
    assert_int_equal(hits, LOOKUPS);
    return (seconds() - start) / LOOKUPS * 1e9;
}

static double change_us(struct table **table, unsigned rows)
{
    enum { CHANGES = 200 };
    char code[SHORTCODE_LEN_MAX + 1];
    struct route route = {2, ROUTE_OPEN, 1, NAME_NONE, 8};
    double start = seconds();
    for (unsigned i = 0; i < CHANGES; i++) {
        struct table_builder *builder = table_edit(*table);
        code_of(code, i * 7919 % rows);
        assert_true(table_set(builder, code, 2, &route));
        struct table *next = table_done(builder, 2 + i);
        table_free(*table);
        *table = next;
    }
    return (seconds() - start) / CHANGES * 1e6;
}

static void a_million_shortcodes_fit(void **state)
{
    (void)state;
    for (unsigned rows = 1000; rows <= ROWS_MOST; rows *= 10) {
        double start = seconds();
        struct table *table = table_of(rows);
        double built = seconds() - start, found = lookup_ns(table, rows);
        assert_int_equal(table_count(table), rows);
        assert_true(octets <
                    (size_t)64 * rows + (size_t)2 * CHUNK_SIZE); /* of the last chunk, most is not touched */
        print_message("%7u x 4: %5.2f MB in %ld blocks, built in %.3f s, look-up at random %.0f ns", rows,
                      (double)octets / 1e6, blocks_held, built, found);
        print_message(", a change %.0f us\n", change_us(&table, rows));
        table_free(table);
        assert_int_equal(blocks_held, 0);
        assert_int_equal(octets, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_edits_agree_with_the_model),
        cmocka_unit_test(many_shards_agree_with_the_model),
        cmocka_unit_test(a_failed_allocation_changes_nothing_and_leaks_nothing),
        cmocka_unit_test(clones_and_abandoned_builders_share_safely),
        cmocka_unit_test(what_cannot_be_a_cell_is_refused),
        cmocka_unit_test(the_default_row_answers_for_all_others),
        cmocka_unit_test(numbers_are_rows_too),
        cmocka_unit_test(states_have_names),
        cmocka_unit_test(a_million_shortcodes_fit),
    };
    return cmocka_run_group_tests(tests, codes_setup, NULL);
}
