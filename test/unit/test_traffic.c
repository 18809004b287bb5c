/* The table that counts what passes by (shortcode, carrier): found again, begun anew at a flip, full, read by main. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/traffic.h"
#include "proxy/twice.h"

#define SECOND 1000000000ULL
enum { SPARK, ONENZ, REDX, OMNI, THIRD };
enum { CELLS = 64, FLIP = 1700000000 };

struct fixture {
    struct names names;
    struct metrics_worker *metrics;
    struct traffic traffic;
    struct table *table;
};

static void route(struct fixture *f, const char *shortcode, uint8_t carrier, struct route to)
{
    struct table_builder *builder = table_edit(f->table);
    assert_true(table_set(builder, shortcode, carrier, &to));
    struct table *next = table_done(builder, table_version(f->table) + 1);
    table_free(f->table);
    f->table = next;
    traffic_follow_table(&f->traffic);
}

static struct route to(uint8_t platform, uint8_t previous, uint32_t changed)
{
    return (struct route){.platform = platform, .previous = previous, .next = NAME_NONE, .changed = changed};
}

static int setup(void **state)
{
    static const char *const names[] = {"spark", "onenz", "redx", "omni", "third"};
    struct fixture *f = calloc(1, sizeof *f);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        names_intern(&f->names, names[i]);
    }
    f->metrics = calloc(1, sizeof *f->metrics);
    f->table = table_new();
    assert_true(traffic_init(&f->traffic, CELLS, f->metrics));
    f->traffic.lately_s = 3600;
    route(f, "*", SPARK, to(REDX, NAME_NONE, 0));
    route(f, "5001", SPARK, to(REDX, NAME_NONE, 0));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    table_free(f->table);
    traffic_clear(&f->traffic);
    free(f->metrics);
    free(f);
    return 0;
}

static struct traffic_cell *cell_of(struct fixture *f, const char *shortcode, uint8_t carrier, uint64_t now)
{
    struct route found;
    struct traffic_cell *cell = NULL;
    assert_true(
        traffic_find(&f->traffic, f->table, shortcode, strlen(shortcode), carrier, now, &found, &cell));
    return cell;
}

/* Everything of the cell, as main reads it at `now`; the worker's clock 0 is the year's beginning for us. */
static struct evidence read_cell(struct fixture *f, const struct traffic_cell *cell, uint64_t now)
{
    struct evidence e;
    assert_true(
        traffic_read(&f->traffic, (uint32_t)(cell - f->traffic.cells), &f->names, now, now / 1000000, &e));
    return e;
}

static void send_and_answer(struct fixture *f, struct traffic_cell *cell, uint8_t platform, uint32_t status,
                            uint64_t now)
{
    traffic_sent(cell, platform);
    traffic_answered(&f->traffic, traffic_handle(cell, true), platform, status, now);
}

static void accept_mo(struct fixture *f, const struct traffic_cell *cell, uint8_t platform, bool is_receipt,
                      uint64_t now)
{
    traffic_mo_accepted(&f->traffic, traffic_mo_handle(cell, is_receipt), platform, now);
}

/* Lengths that meet every way of packing, and names that differ in one octet or in length alone. */
static void every_shortcode_has_its_own_cell(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = {"1",
                                        "11",
                                        "111",
                                        "1111",
                                        "11111",
                                        "111111",
                                        "1111111",
                                        "11111111",
                                        "111111111",
                                        "1111111111111111",
                                        "11111111111111111",
                                        "11111111111111111111",
                                        "11111111111111111112",
                                        "11111111111111111121",
                                        "2111",
                                        "1121",
                                        "ACME",
                                        "acme",
                                        "Acme-Alerts"};
    struct traffic_cell *cells[sizeof texts / sizeof *texts];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        cells[i] = cell_of(f, texts[i], SPARK, SECOND);
        assert_non_null(cells[i]);
        for (size_t j = 0; j < i; j++) {
            assert_ptr_not_equal(cells[i], cells[j]);
        }
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_ptr_equal(cell_of(f, texts[i], SPARK, SECOND), cells[i]);
        struct evidence e = read_cell(f, cells[i], SECOND);
        assert_string_equal(e.shortcode, texts[i]);
        assert_string_equal(e.carrier, "spark");
        assert_string_equal(e.now.platform, "redx");
    }
    route(f, "1", ONENZ, to(OMNI, NAME_NONE, 0));
    assert_ptr_not_equal(cell_of(f, "1", ONENZ, SECOND), cells[0]);
}

static void the_route_is_the_tables(void **state)
{
    struct fixture *f = *state;
    struct route found;
    struct traffic_cell *cell;
    assert_false(traffic_find(&f->traffic, f->table, "5001", 4, ONENZ, SECOND, &found, &cell));
    assert_null(cell);
    for (int i = 0; i < 3; i++) {
        assert_true(traffic_find(&f->traffic, f->table, "5001", 4, SPARK, SECOND, &found, &cell));
        assert_int_equal(found.platform, REDX);
    }
    struct route held = to(REDX, NAME_NONE, 0);
    held.state = ROUTE_HOLD;
    route(f, "5001", SPARK, held);
    assert_true(traffic_find(&f->traffic, f->table, "5001", 4, SPARK, SECOND, &found, &cell));
    assert_int_equal(found.state, ROUTE_HOLD);
    /* a shortcode that no row can have has the default row's route, and no cell */
    assert_true(
        traffic_find(&f->traffic, f->table, "123456789012345678901", 21, SPARK, SECOND, &found, &cell));
    assert_int_equal(found.platform, REDX);
    assert_null(cell);
    assert_true(traffic_find(&f->traffic, f->table, "", 0, SPARK, SECOND, &found, &cell));
    assert_null(cell);
}

static void counts_what_it_is_told(void **state)
{
    struct fixture *f = *state;
    struct traffic_cell *cell = cell_of(f, "5001", SPARK, SECOND);
    send_and_answer(f, cell, REDX, 0, 2 * SECOND);
    send_and_answer(f, cell, REDX, 0, 4 * SECOND);
    for (uint32_t i = 0; i < 12; i++) {
        send_and_answer(f, cell, REDX, 0x58, 5 * SECOND);
    }
    send_and_answer(f, cell, REDX, 0x14, 5 * SECOND);
    traffic_sent(cell, REDX);
    traffic_unknown(&f->traffic, traffic_handle(cell, false), REDX);
    traffic_refused(cell, REFUSED_CLOSED);
    traffic_refused(cell, REFUSED_HOLD_EXPIRED);
    traffic_refused(cell, REFUSED_WAIT_FULL);
    traffic_refused(cell, REFUSED_WAIT_FULL_ALL);
    traffic_refused(cell, REFUSED_NO_LINK);
    traffic_refused(NULL, REFUSED_NOT_OWNER);
    traffic_waits(cell);
    traffic_waits(cell);
    traffic_waited(cell, SECOND / 4, true);
    traffic_waited(cell, SECOND / 2, false);
    traffic_mo(cell, REDX, 6 * SECOND);
    accept_mo(f, cell, REDX, false, 6 * SECOND);
    traffic_receipt(cell, REDX, false, 7 * SECOND);
    accept_mo(f, cell, REDX, true, 7 * SECOND);
    traffic_mo(cell, REDX, 8 * SECOND); /* which the network will send again */
    traffic_mo_refused(&f->traffic, traffic_mo_handle(cell, false), REDX);
    struct evidence e = read_cell(f, cell, 9 * SECOND);
    assert_int_equal(e.now.mt_sent, 16);
    assert_int_equal(e.now.mt_accepted, 2);
    assert_int_equal(e.now.receipts_awaited, 2);
    assert_int_equal(e.now.mt_refused, 13);
    assert_int_equal(e.now.statuses[0].status, 0x58);
    assert_int_equal(e.now.statuses[0].count, 12);
    assert_int_equal(e.now.statuses[1].status, 0x14);
    assert_int_equal(e.now.mt_unknown, 1);
    assert_int_equal(e.now.closed, 1);
    assert_int_equal(e.now.held_expired, 1);
    assert_int_equal(e.now.held_full, 2);
    assert_int_equal(e.now.refused_else, 1);
    assert_int_equal(e.now.waited, 2);
    assert_int_equal(e.now.released, 1);
    assert_int_equal(e.now.waited_longest_ms, 500);
    assert_int_equal(e.now.mt_first_ms, 2000);
    assert_int_equal(e.now.mt_last_ms, 4000);
    assert_int_equal(e.now.mo, 1);
    assert_int_equal(e.now.mo_first_ms, 6000);
    assert_int_equal(e.now.mo_last_ms, 6000);
    assert_int_equal(e.now.receipts, 1);
    assert_int_equal(e.now.receipt_last_ms, 7000);
    assert_int_equal(e.now.mo_refused, 1);
    assert_int_equal(e.other.mt_sent, 0);
}

static struct evidence_past past_of(const struct evidence *e, const char *platform, uint64_t changed_ms)
{
    for (size_t i = 0; i < EVIDENCE_PASTS; i++) {
        if (strcmp(e->pasts[i].platform, platform) == 0 && e->pasts[i].changed_ms == changed_ms) {
            return e->pasts[i];
        }
    }
    return (struct evidence_past){.changed_ms = 0};
}

static void a_flip_begins_anew_and_keeps_what_was(void **state)
{
    struct fixture *f = *state;
    struct traffic_cell *cell = cell_of(f, "5001", SPARK, SECOND);
    send_and_answer(f, cell, REDX, 0, 2 * SECOND);
    send_and_answer(f, cell, REDX, 8, 3 * SECOND);
    traffic_sent(cell, REDX); /* to be answered after the flip */
    uint32_t late = traffic_handle(cell, false);
    traffic_mo(cell, REDX, 4 * SECOND);
    accept_mo(f, cell, REDX, false, 4 * SECOND);
    traffic_waits(cell);
    route(f, "5001", SPARK, to(OMNI, REDX, FLIP));
    assert_ptr_equal(cell_of(f, "5001", SPARK, 5 * SECOND), cell);
    traffic_answered(&f->traffic, late, REDX, 0, 6 * SECOND);
    traffic_waited(cell, SECOND, true);
    send_and_answer(f, cell, OMNI, 0, 7 * SECOND);
    traffic_mo(cell, REDX, 8 * SECOND);
    accept_mo(f, cell, REDX, false, 8 * SECOND);
    struct evidence e = read_cell(f, cell, 9 * SECOND);
    assert_int_equal(e.changed_ms, FLIP * 1000ULL);
    assert_int_equal(e.since_ms, 5000);
    assert_string_equal(e.now.platform, "omni");
    assert_int_equal(e.now.mt_sent, 1);
    assert_int_equal(e.now.mt_accepted, 1);
    assert_int_equal(e.now.mt_first_ms, 7000);
    assert_int_equal(e.now.waited, 1);
    assert_int_equal(e.now.released, 1);
    assert_string_equal(e.other.platform, "redx");
    assert_int_equal(e.other.mt_sent, 0);
    assert_int_equal(e.other.mt_accepted, 1); /* sent before, accepted after */
    assert_int_equal(e.other.mt_last_ms, 6000);
    assert_int_equal(e.other.wrong_mo, 1); /* the carrier has not moved yet */
    assert_int_equal(e.other.wrong_first_ms, 8000);
    assert_int_equal(e.before.mt_accepted, 1);
    assert_int_equal(e.before.mt_refused, 1);
    assert_int_equal(e.before.mo, 1);
    assert_int_equal(e.before.since_ms, 1000);
    /* and back, in the same second */
    route(f, "5001", SPARK, to(REDX, OMNI, FLIP));
    assert_ptr_equal(cell_of(f, "5001", SPARK, 10 * SECOND), cell);
    e = read_cell(f, cell, 11 * SECOND);
    assert_string_equal(e.now.platform, "redx");
    assert_int_equal(e.now.mt_accepted, 0);
    assert_int_equal(e.now.mt_last_ms, 6000);
    assert_int_equal(e.other.mt_last_ms, 7000);
    assert_int_equal(e.before.mt_accepted, 1);
    /* what each has done in which time is still there */
    struct evidence_past redx_first = past_of(&e, "redx", 0);
    struct evidence_past redx_late = past_of(&e, "redx", FLIP * 1000ULL);
    struct evidence_past omni = past_of(&e, "omni", FLIP * 1000ULL);
    assert_int_equal(redx_first.mt_accepted, 1);
    assert_int_equal(redx_first.mt_sent, 3);
    assert_int_equal(redx_first.mo, 1);
    assert_int_equal(redx_late.mt_accepted, 1);
    assert_int_equal(redx_late.wrong_mo, 1);
    assert_int_equal(omni.mt_accepted, 1);
}

/* A cell that is given to others has nothing of theirs. */
static void a_new_cell_has_no_past(void **state)
{
    struct fixture *f = *state;
    struct traffic_cell *cell = cell_of(f, "5001", SPARK, SECOND);
    send_and_answer(f, cell, REDX, 0, 2 * SECOND);
    route(f, "5001", SPARK, to(OMNI, REDX, FLIP));
    assert_ptr_equal(cell_of(f, "5001", SPARK, 3 * SECOND), cell);
    struct evidence e = read_cell(f, cell, 4 * SECOND);
    assert_string_equal(e.pasts[0].platform, "redx");
    for (unsigned i = 0; i <= 2 * CELLS; i++) { /* all others, and then this one */
        char shortcode[8];
        snprintf(shortcode, sizeof shortcode, "6%03u", i);
        cell_of(f, shortcode, SPARK, (100 + 70 * (uint64_t)i) * SECOND);
    }
    for (uint32_t at = 1; at <= traffic_places(&f->traffic); at++) {
        assert_true(traffic_read(&f->traffic, at, &f->names, 9000 * SECOND, 9000000, &e));
        assert_string_equal(e.pasts[0].platform, "");
    }
}

/* There and back, and nothing was seen in between. */
static void a_detour_begins_anew_too(void **state)
{
    struct fixture *f = *state;
    struct traffic_cell *cell = cell_of(f, "5001", SPARK, SECOND);
    send_and_answer(f, cell, REDX, 0, 2 * SECOND);
    route(f, "5001", SPARK, to(REDX, OMNI, FLIP));
    cell_of(f, "5001", SPARK, 3 * SECOND);
    struct evidence e = read_cell(f, cell, 4 * SECOND);
    assert_string_equal(e.now.platform, "redx");
    assert_string_equal(e.other.platform, "omni");
    assert_int_equal(e.now.mt_accepted, 0);
    assert_int_equal(e.now.mt_last_ms, 2000);
    assert_int_equal(e.before.mt_accepted, 1);
}

static void the_next_platform_has_a_side(void **state)
{
    struct fixture *f = *state;
    route(f, "5001", SPARK, to(REDX, THIRD, 5));
    struct traffic_cell *cell = cell_of(f, "5001", SPARK, SECOND);
    assert_string_equal(read_cell(f, cell, SECOND).other.platform, "third");
    assert_false(traffic_is_watched(&f->traffic, cell, 5 + 3600));
    assert_true(traffic_is_watched(&f->traffic, cell, 5 + 3599));
    struct route opened = to(REDX, THIRD, 5);
    opened.next = OMNI;
    route(f, "5001", SPARK, opened);
    cell_of(f, "5001", SPARK, 2 * SECOND);
    assert_true(traffic_is_watched(&f->traffic, cell, 5 + 999999));
    traffic_mo(cell, OMNI, 3 * SECOND); /* the carrier has moved early */
    traffic_mo(cell, THIRD, 3 * SECOND);
    accept_mo(f, cell, THIRD, false, 3 * SECOND); /* counted once */
    struct evidence e = read_cell(f, cell, 4 * SECOND);
    assert_string_equal(e.other.platform, "omni");
    assert_int_equal(e.other.wrong_mo, 1);
    assert_int_equal(e.elsewhere, 1);
}

static void an_idle_cell_gives_way(void **state)
{
    struct fixture *f = *state;
    char shortcode[8];
    uint32_t handles[CELLS + 1];
    struct traffic_cell *cell = cell_of(f, "1000", SPARK, SECOND);
    handles[cell - f->traffic.cells] = traffic_handle(cell, false);
    for (unsigned i = 1; i < CELLS; i++) {
        snprintf(shortcode, sizeof shortcode, "%u", 1000 + i);
        cell = cell_of(f, shortcode, SPARK, SECOND + i);
        assert_non_null(cell);
        handles[cell - f->traffic.cells] = traffic_handle(cell, false);
    }
    assert_null(cell_of(f, "2000", SPARK, 2 * SECOND)); /* nobody is idle yet */
    assert_int_equal(metric_get(&f->metrics->traffic_full), 1);
    struct traffic_cell *other = cell_of(f, "2000", SPARK, 100 * SECOND);
    assert_non_null(other);
    uint32_t handle = handles[other - f->traffic.cells];
    assert_null(traffic_of(&f->traffic, handle)); /* an answer to the one before is not counted for it */
    traffic_answered(&f->traffic, handle, REDX, 0, 100 * SECOND);
    struct evidence e = read_cell(f, other, 100 * SECOND);
    assert_string_equal(e.shortcode, "2000");
    assert_int_equal(e.now.mt_accepted, 0);
}

/* Fill, replace, and find again: the index loses nothing and keeps nothing. */
static void the_index_stays_whole(void **state)
{
    struct fixture *f = *state;
    char shortcode[8];
    unsigned short seed[3] = {1, 2, 3};
    for (uint64_t i = 0; i < 20000; i++) {
        snprintf(shortcode, sizeof shortcode, "%ld", 100 + nrand48(seed) % 300);
        uint64_t now = i * 61 * SECOND / 60;
        struct traffic_cell *cell = cell_of(f, shortcode, SPARK, now);
        if (cell != NULL) {
            assert_ptr_equal(cell_of(f, shortcode, SPARK, now), cell);
            assert_string_equal(read_cell(f, cell, now).shortcode, shortcode);
            traffic_mo(cell, REDX, now);
        }
    }
    unsigned entries = 0;
    for (uint32_t i = 0; i <= f->traffic.mask; i++) {
        entries += f->traffic.index[i] != 0;
    }
    assert_int_equal(entries, CELLS);
}

static void nothing_is_counted_by_handle_0(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(traffic_handle(NULL, true), 0);
    traffic_answered(&f->traffic, 0, REDX, 0, SECOND);
    traffic_unknown(&f->traffic, 0, REDX);
    traffic_mo_refused(&f->traffic, 0, REDX);
    traffic_sent(NULL, REDX);
    traffic_waits(NULL);
    traffic_waited(NULL, 1, true);
}

/* Main reads while the worker turns the cell to and fro: never half of one and half of the other. */
struct race {
    struct fixture *f;
    struct traffic_cell *cell;
    _Atomic bool over;
};

static void *turn_about(void *arg)
{
    struct race *race = arg;
    for (uint32_t i = 0; i < 20000; i++) {
        uint8_t platform = i % 2 == 0 ? OMNI : REDX;
        route(race->f, "5001", SPARK, to(platform, i % 2 == 0 ? REDX : OMNI, 100 + i));
        cell_of(race->f, "5001", SPARK, SECOND);
        traffic_sent(race->cell, platform);
    }
    race->over = true;
    return NULL;
}

static void main_reads_whole_records(void **state)
{
    struct race race = {.f = *state, .cell = cell_of(*state, "5001", SPARK, SECOND)};
    pthread_t thread;
    unsigned read = 0;
    uint64_t before = 0;
    assert_int_equal(pthread_create(&thread, NULL, turn_about, &race), 0);
    while (!race.over || read == 0) {
        struct evidence e;
        if (traffic_read(&race.f->traffic, 1, &race.f->names, SECOND, 1000, &e) && e.changed_ms != 0) {
            read++;
            assert_string_equal(e.now.platform, e.changed_ms / 1000 % 2 == 0 ? "omni" : "redx");
            assert_true(e.now.mt_sent <= 1);
        }
        uint64_t sent = 0;
        if (traffic_sent_of(&race.f->traffic, 1, &sent) != 0) {
            assert_true(sent >=
                        before); /* never less than before: what turned is not counted twice, or not at all */
            before = sent;
        }
    }
    pthread_join(thread, NULL);
    assert_int_equal(traffic_sent_of(&race.f->traffic, 1, &before), traffic_handle(race.cell, false));
    assert_int_equal(before, 20000);
}

static void an_mo_seen_twice(void **state)
{
    (void)state;
    struct twice *twice = calloc(1, sizeof *twice);
    assert_false(twice_seen(twice, 0x123456789abcdef0, REDX, 1000));
    assert_false(twice_seen(twice, 0x123456789abcdef0, REDX, 1010)); /* sent again by the same */
    assert_false(twice_seen(twice, 0x123456789abcdff0, OMNI, 1010)); /* another text */
    assert_true(twice_seen(twice, 0x123456789abcdef0, OMNI, 1070));
    assert_false(twice_seen(twice, 0x123456789abcdef0, OMNI, 1131)); /* long ago */
    /* a set of four: the oldest gives way */
    for (uint64_t i = 0; i < TWICE_WAYS + 1; i++) {
        assert_false(twice_seen(twice, 0x5 + (i << 40), REDX, 2000 + i));
    }
    assert_true(twice_seen(twice, 0x5 + (UINT64_C(4) << 40), OMNI, 2005));
    assert_true(twice_seen(twice, 0x5 + (UINT64_C(1) << 40), OMNI, 2005));
    assert_false(twice_seen(twice, 0x5, OMNI, 2005));
    assert_true(twice_may_tell(twice, 5000));
    assert_false(twice_may_tell(twice, 5059));
    assert_true(twice_may_tell(twice, 5060));
    free(twice);
}

static void the_hash_knows_source_destination_and_text(void **state)
{
    (void)state;
    struct smpp_message_view view = {.source.digits = {(const uint8_t *)"6421", 4},
                                     .dest.digits = {(const uint8_t *)"5001", 4},
                                     .text = {(const uint8_t *)"YES", 3}};
    uint64_t hash = twice_hash(&view);
    assert_true(hash == twice_hash(&view));
    view.text.len = 2;
    assert_true(hash != twice_hash(&view));
    view.text = (struct smpp_span){(const uint8_t *)"", 0};
    uint64_t empty = twice_hash(&view);
    view.tlvs = (struct smpp_span){(const uint8_t *)"\x04\x24\x00\x03YES", 7};
    assert_true(empty != twice_hash(&view));
    assert_true(hash == twice_hash(&view)); /* wherever the text stands */
    view.source.digits.len = 3;
    assert_true(hash != twice_hash(&view));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_shortcode_has_its_own_cell),
        TEST(the_route_is_the_tables),
        TEST(counts_what_it_is_told),
        TEST(a_flip_begins_anew_and_keeps_what_was),
        TEST(a_new_cell_has_no_past),
        TEST(a_detour_begins_anew_too),
        TEST(the_next_platform_has_a_side),
        TEST(an_idle_cell_gives_way),
        TEST(the_index_stays_whole),
        TEST(nothing_is_counted_by_handle_0),
        TEST(main_reads_whole_records),
        cmocka_unit_test(an_mo_seen_twice),
        cmocka_unit_test(the_hash_knows_source_destination_and_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
