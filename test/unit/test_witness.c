/* The witness: what two workers have counted becomes one record, written when it changed and not otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/witness.h"

#define SECOND 1000000000ULL
#define FLIP   UINT32_C(1700000000)
#define WALL   (FLIP * 1000ULL + 10000) /* ms: ten seconds after the flip */
enum { SPARK, REDX, OMNI, WORKERS = 2, CELLS = 512, WRITTEN_MAX = 1024 };

struct fixture {
    struct names names;
    struct config config;
    struct metrics *metrics;
    struct traffic traffic[WORKERS];
    struct table *table;
    struct witness_source source;
    struct witness *witness;
    bool away;
    unsigned calls, most; /* calls of Redis; most cells in one */
    unsigned written;
    struct evidence records[WRITTEN_MAX];
    uint64_t guards;
};

static const struct traffic *traffic_of_worker(void *ctx, unsigned worker)
{
    return &((struct fixture *)ctx)->traffic[worker];
}

static const struct table *newest(void *ctx)
{
    return ((struct fixture *)ctx)->table;
}

static const struct config *config_in_use(void *ctx)
{
    return &((struct fixture *)ctx)->config;
}

static bool call(void *ctx, const char *function, size_t count, const char *const *args, store_reply *answer,
                 void *answer_ctx)
{
    struct fixture *f = ctx;
    if (f->away) {
        return false;
    }
    assert_string_equal(function, "turnout_evidence");
    assert_string_equal(args[0], "test-1");
    assert_string_equal(args[1], "12345");
    for (size_t i = 2; i < count; i += 2) {
        assert_true(f->written < WRITTEN_MAX);
        assert_true(evidence_parse(args[i + 1], strlen(args[i + 1]), &f->records[f->written++]));
    }
    f->calls++;
    f->most = (count - 2) / 2 > f->most ? (unsigned)(count - 2) / 2 : f->most;
    redisReply reply = {.type = REDIS_REPLY_INTEGER, .integer = 3};
    answer(answer_ctx, &reply);
    return true;
}

static void on_guards(void *ctx, uint64_t count)
{
    ((struct fixture *)ctx)->guards = count;
}

static void route(struct fixture *f, const char *shortcode, uint8_t platform, uint8_t previous,
                  uint32_t changed)
{
    struct route to = {.platform = platform, .previous = previous, .next = NAME_NONE, .changed = changed};
    struct table_builder *builder = table_edit(f->table);
    assert_true(table_set(builder, shortcode, SPARK, &to));
    struct table *next = table_done(builder, table_version(f->table) + 1);
    table_free(f->table);
    f->table = next;
}

static struct traffic_cell *find(struct fixture *f, unsigned worker, const char *shortcode, uint64_t now)
{
    struct route found;
    struct traffic_cell *cell = NULL;
    traffic_follow_table(&f->traffic[worker]);
    assert_true(
        traffic_find(&f->traffic[worker], f->table, shortcode, strlen(shortcode), SPARK, now, &found, &cell));
    return cell;
}

static void pass(struct fixture *f, unsigned worker, const char *shortcode, uint8_t platform, uint64_t now)
{
    struct traffic_cell *cell = find(f, worker, shortcode, now);
    traffic_sent(cell, platform);
    traffic_answered(&f->traffic[worker], traffic_handle(cell, false), platform, 0, now);
}

static unsigned turn(struct fixture *f, uint64_t now, uint64_t wall)
{
    f->written = f->calls = 0;
    witness_turn(f->witness, now, wall);
    return f->written;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    names_intern(&f->names, "spark");
    names_intern(&f->names, "redx");
    names_intern(&f->names, "omni");
    f->config.evidence = 3600 * SECOND;
    f->metrics = metrics_new(WORKERS);
    f->table = table_new();
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_true(traffic_init(&f->traffic[i], CELLS, metrics_of(f->metrics, i)));
    }
    f->source = (struct witness_source){.workers = WORKERS,
                                        .traffic = traffic_of_worker,
                                        .table = newest,
                                        .config = config_in_use,
                                        .metrics = f->metrics,
                                        .names = &f->names,
                                        .call = call,
                                        .guards = on_guards};
    f->witness = witness_new(&f->source, f, "test-1", 12345);
    route(f, "5001", REDX, NAME_NONE, 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    witness_free(f->witness);
    table_free(f->table);
    metrics_free(f->metrics);
    for (unsigned i = 0; i < WORKERS; i++) {
        traffic_clear(&f->traffic[i]);
    }
    free(f);
    return 0;
}

/* One worker has had a message since the flip, the other has not: it is brought up to the flip. */
static void two_workers_make_one_record(void **state)
{
    struct fixture *f = *state;
    pass(f, 0, "5001", REDX, SECOND);
    pass(f, 1, "5001", REDX, SECOND);
    pass(f, 1, "5001", REDX, 2 * SECOND);
    assert_int_equal(turn(f, 3 * SECOND, WALL), 0); /* it never moved */
    assert_int_equal(f->calls, 1);                  /* but Redis is asked for guards */
    assert_int_equal(f->guards, 3);
    route(f, "5001", OMNI, REDX, FLIP);
    pass(f, 0, "5001", OMNI, 4 * SECOND);
    assert_int_equal(turn(f, 5 * SECOND, WALL + 2000), 1);
    const struct evidence *e = &f->records[0];
    assert_string_equal(e->now.platform, "omni");
    assert_string_equal(e->other.platform, "redx");
    assert_int_equal(e->now.mt_accepted, 1);
    assert_int_equal(e->before.mt_accepted, 3);
    assert_int_equal(e->now.mt_last_ms, WALL + 1000);
    assert_int_equal(e->other.mt_last_ms, WALL - 1000);
    assert_int_equal(e->changed_ms, FLIP * 1000ULL);
    assert_int_equal(e->minutes[0], 4);
}

static void writes_what_has_changed_alone(void **state)
{
    struct fixture *f = *state;
    route(f, "5001", OMNI, REDX, FLIP);
    pass(f, 0, "5001", OMNI, SECOND);
    assert_int_equal(turn(f, 2 * SECOND, WALL), 1);
    for (uint64_t i = 1; i < 100; i++) { /* time alone changes nothing, nor the rounding of clocks */
        assert_int_equal(turn(f, (2 + i) * SECOND + i * 333333, WALL + 1000 * i), 0);
    }
    pass(f, 1, "5001", OMNI, 102 * SECOND);
    assert_int_equal(turn(f, 103 * SECOND, WALL + 101000), 1);
    witness_again(f->witness);
    assert_int_equal(turn(f, 104 * SECOND, WALL + 102000), 1);
    f->away = true;
    pass(f, 1, "5001", OMNI, 104 * SECOND);
    assert_int_equal(turn(f, 105 * SECOND, WALL + 103000), 0);
    f->away = false;
    assert_int_equal(turn(f, 106 * SECOND, WALL + 104000), 1); /* what Redis has missed */
    assert_int_equal(f->records[0].now.mt_sent, 3);
}

static void lately_passes(void **state)
{
    struct fixture *f = *state;
    route(f, "5001", OMNI, REDX, FLIP);
    pass(f, 0, "5001", OMNI, SECOND);
    assert_int_equal(turn(f, 2 * SECOND, WALL), 1);
    pass(f, 0, "5001", OMNI, 3600 * SECOND);
    assert_int_equal(turn(f, 3601 * SECOND, WALL + 3599000), 0);
}

static void many_cells_go_in_calls_of_their_size(void **state)
{
    struct fixture *f = *state;
    char shortcode[8];
    for (unsigned i = 0; i < 300; i++) {
        snprintf(shortcode, sizeof shortcode, "%u", 6000 + i);
        route(f, shortcode, OMNI, REDX, FLIP);
        pass(f, i % WORKERS, shortcode, OMNI, SECOND);
    }
    assert_int_equal(turn(f, 2 * SECOND, WALL), 300);
    assert_int_equal(f->most, (STORE_ARGS_MAX - 2) / 2);
    assert_int_equal(f->calls, 3);
    assert_int_equal(turn(f, 3 * SECOND, WALL + 1000), 0);
}

static void the_hour_is_known_of_every_cell(void **state)
{
    struct fixture *f = *state;
    struct evidence e;
    pass(f, 0, "5001", REDX, SECOND);
    pass(f, 1, "5001", REDX, SECOND);
    turn(f, 2 * SECOND, WALL);
    pass(f, 1, "5001", REDX, 121 * SECOND);
    turn(f, 122 * SECOND, WALL + 120000);
    assert_int_equal(witness_hour(f->witness, "5001", "spark", WALL + 120000), 3);
    assert_int_equal(witness_hour(f->witness, "5001", "spark", WALL + 3600000), 1);
    assert_int_equal(witness_hour(f->witness, "5001", "spark", WALL + 9999999), 0);
    assert_int_equal(witness_hour(f->witness, "5009", "spark", WALL), 0);
    assert_true(witness_cell(f->witness, "5001", "spark", &e));
    assert_int_equal(e.now.mt_accepted, 3);
    assert_false(witness_cell(f->witness, "5009", "spark", &e));
}

/* Whoever may send from any shortcode chooses how many there are: what is known of them ends with their places. */
static void a_cell_that_lost_its_places_is_forgotten(void **state)
{
    struct fixture *f = *state;
    struct evidence e;
    char shortcode[8];
    pass(f, 0, "5001", REDX, SECOND);
    pass(f, 1, "5001", REDX, SECOND);
    turn(f, 2 * SECOND, WALL);
    for (unsigned worker = 0; worker < WORKERS; worker++) {
        assert_int_equal(witness_hour(f->witness, "5001", "spark", WALL), 2);
        for (unsigned i = 0; i < 2 * CELLS; i++) { /* all idle ones are replaced */
            snprintf(shortcode, sizeof shortcode, "%u", 6000 + i);
            route(f, shortcode, OMNI, REDX, FLIP);
            pass(f, worker, shortcode, OMNI, (100 + 100 * (uint64_t)(i / CELLS)) * SECOND);
        }
        turn(f, 300 * SECOND, WALL + 10000);
    }
    assert_int_equal(witness_hour(f->witness, "5001", "spark", WALL + 10000), 0);
    assert_false(witness_cell(f->witness, "5001", "spark", &e));
    pass(f, 0, "5001", REDX, 400 * SECOND);
    turn(f, 401 * SECOND, WALL + 11000);
    assert_int_equal(witness_hour(f->witness, "5001", "spark", WALL + 11000), 1);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(two_workers_make_one_record),
        TEST(writes_what_has_changed_alone),
        TEST(lately_passes),
        TEST(many_cells_go_in_calls_of_their_size),
        TEST(the_hour_is_known_of_every_cell),
        TEST(a_cell_that_lost_its_places_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
