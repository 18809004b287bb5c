/* What instances report, and when a change counts as applied. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/barrier.h"
#include "routing/ctl/cells.h"
#include "routing/ctl/sessions.h"

/* A reply as hiredis reads it: words split at blanks, those of digits as integers, "$" before a digit for
 * text, "_" for a blank within it. */
static redisReply *reply_of(const char *words)
{
    char body[2048] = "";
    char head[32];
    char copy[1024];
    size_t used = 0;
    int count = 0;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        bool number = strspn(word, "-0123456789") == strlen(word);
        const char *text = *word == '$' ? word + 1 : word;
        for (char *c = strchr(word, '_'); c; c = strchr(c, '_')) {
            *c = ' ';
        }
        used += number
                    ? (size_t)snprintf(body + used, sizeof body - used, ":%s\r\n", word)
                    : (size_t)snprintf(body + used, sizeof body - used, "$%zu\r\n%s\r\n", strlen(text), text);
        count++;
    }
    snprintf(head, sizeof head, "*%d\r\n", count);
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    redisReaderFeed(reader, head, strlen(head));
    redisReaderFeed(reader, body, used);
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    redisReaderFree(reader);
    return reply;
}

static void judges(void **state)
{
    static const struct {
        const char *reply;
        enum barrier_end end;
        unsigned live, applied, dead;
    } cases[] = {
        {"1000", BARRIER_NOBODY, 0, 0, 0},
        {"1000 a 500 2 applied $7", BARRIER_COMPLETE, 1, 1, 0},
        {"1000 a 500 2 applied $8", BARRIER_COMPLETE, 1, 1, 0},
        {"1000 a 500 2 applied $6", BARRIER_WAITING, 1, 0, 0},
        {"1000 a 500 2 applied $7 b 0 2 applied $6", BARRIER_WAITING, 2, 1, 0},
        {"1000 a 500 2 applied $7 b -1 2 applied $6", BARRIER_COMPLETE, 1, 1, 1},
        {"1000 b -1 2 beat $900", BARRIER_NOBODY, 0, 0, 1},
        /* One that has just started, and reports nothing yet. */
        {"1000 a 500 2 applied $7 b 500 0", BARRIER_WAITING, 2, 1, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct barrier barrier = {.version = 7};
        assert_true(instance_list_parse(reply_of(cases[i].reply), &barrier.instances));
        barrier_judge(&barrier);
        assert_int_equal(barrier.end, cases[i].end);
        assert_int_equal(barrier.live, cases[i].live);
        assert_int_equal(barrier.applied, cases[i].applied);
        assert_int_equal(barrier.dead, cases[i].dead);
        barrier_free(&barrier);
    }
}

/* Applied is not settled, and one that does not report it has not settled. */
static void judges_what_is_settled(void **state)
{
    static const struct {
        const char *reply;
        enum barrier_end end;
        unsigned applied;
    } cases[] = {
        {"1000 a 500 4 applied $7 unsettled $7", BARRIER_COMPLETE, 1},
        {"1000 a 500 4 applied $9 unsettled $8", BARRIER_COMPLETE, 1},
        {"1000 a 500 4 applied $7 unsettled $6", BARRIER_WAITING, 0},
        {"1000 a 500 4 applied $6 unsettled $7", BARRIER_WAITING, 0},
        {"1000 a 500 4 applied $7 unsettled $7_spark:redx=6", BARRIER_WAITING, 0},
        {"1000 a 500 4 applied $7 unsettled $7_onenz:redx=6_spark:omni=6", BARRIER_COMPLETE, 1},
        {"1000 a 500 4 applied $7 settled $7", BARRIER_WAITING, 0},
        {"1000 a 500 4 applied $7 unsettled $7 b 500 4 applied $7 unsettled $3", BARRIER_WAITING, 1},
        {"1000 a 500 4 applied $7 unsettled $7 b -1 2 beat $900", BARRIER_COMPLETE, 1},
    };
    char carriers[][NAME_LEN_MAX + 1] = {"spark"};
    struct settled_ways ways = {.carriers = carriers, .count = 1, .to = "omni"};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct barrier barrier = {.version = 7, .mark = BARRIER_SETTLED, .ways = &ways};
        assert_true(instance_list_parse(reply_of(cases[i].reply), &barrier.instances));
        barrier_judge(&barrier);
        assert_int_equal(barrier.end, cases[i].end);
        assert_int_equal(barrier.applied, cases[i].applied);
        barrier_free(&barrier);
    }
}

static void refuses_malformed_lists(void **state)
{
    static const char *const cases[] = {"1000 a",
                                        "1000 a 5",
                                        "1000 a 5 2 applied",
                                        "1000 a 5 1 applied",
                                        "1000 a 5 2 applied 7",
                                        "1000 a 5 900 applied $7"};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct instance_list list;
        assert_false(instance_list_parse(reply_of(cases[i]), &list));
    }
}

static void looks_less_often_with_time(void **state)
{
    (void)state;
    assert_int_equal(barrier_pause_us(0), 1000);
    assert_int_equal(barrier_pause_us(20000), 1000);
    assert_int_equal(barrier_pause_us(100000), 5000);
    assert_int_equal(barrier_pause_us(200000), 10000);
    assert_int_equal(barrier_pause_us(60000000), 10000);
}

static void adds_sessions_up(void **state)
{
    struct instance_list list;
    struct sessions sessions = {0};
    (void)state;
    assert_true(instance_list_parse(
        reply_of(
            "1000 a 500 2 sessions "
            "[{\"side\":\"client\",\"client\":\"bank\",\"count\":3},{\"side\":\"link\"}] "
            "b 500 2 sessions [{\"client\":\"bank\",\"side\":\"client\"},{\"side\":\"link\",\"count\":-4}] "
            "c 500 2 sessions {broken"),
        &list));
    assert_true(sessions_read(&sessions, &list.items[0]));
    assert_true(sessions_read(&sessions, &list.items[1]));
    assert_false(sessions_read(&sessions, &list.items[2]));
    sessions_merge(&sessions, true);
    assert_int_equal(sessions.count, 4);
    sessions_merge(&sessions, false);
    assert_int_equal(sessions.count, 2);
    assert_string_equal(sessions.items[0].fields[SESSION_CLIENT], "bank");
    assert_int_equal(sessions.items[0].count, 4);
    assert_int_equal(sessions.items[1].count, 1);
    sessions_free(&sessions);
    instance_list_free(&list);
}

static void reads_cells(void **state)
{
    static const char *const wrong[] = {"",
                                        "redx",
                                        "redx open - 1",
                                        "redx ajar - 1 2",
                                        "redx open - 1 2 omni 3",
                                        "redx open 12345678901234567890123456789012 1 2"};
    struct cell cell = {0};
    (void)state;
    assert_true(cell_parse(&cell, "omni hold redx 1732323906123 42"));
    assert_string_equal(cell.platform, "omni");
    assert_string_equal(cell.previous, "redx");
    assert_int_equal(cell.state, ROUTE_HOLD);
    assert_int_equal(cell.changed_ms, 1732323906123);
    assert_int_equal(cell.version, 42);
    assert_string_equal(cell.next, "");
    assert_true(cell_parse(&cell, "omni open - 1 2 redx"));
    assert_string_equal(cell.next, "redx");
    assert_string_equal(cell.previous, "");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(cell_parse(&cell, wrong[i]));
    }
}

static void add_cell(struct cells *cells, const char *shortcode, const char *carrier, const char *value)
{
    struct cell cell = {0};
    snprintf(cell.shortcode, sizeof cell.shortcode, "%s", shortcode);
    snprintf(cell.carrier, sizeof cell.carrier, "%s", carrier);
    if (*value) {
        assert_true(cell_parse(&cell, value));
    } else {
        cell.version = 9; /* removed by version 9 */
    }
    cells_add(cells, &cell);
}

/* Pages that were read at different moments hold a cell in more than one version. */
static void newest_version_of_a_cell_stays(void **state)
{
    struct cells cells = {0};
    (void)state;
    add_cell(&cells, "61000", "spark", "redx open - 1 8");
    add_cell(&cells, "999", "spark", "redx open - 1 10");
    add_cell(&cells, "61000", "spark", "omni open redx 1 7");
    add_cell(&cells, "999", "spark", "");
    add_cell(&cells, "61000", "onenz", "redx open - 1 8");
    add_cell(&cells, "61000", "onenz", "");
    add_cell(&cells, "*", "spark", "redx open - 1 1");
    cells_sort(&cells);
    assert_int_equal(cells.count, 3);
    assert_string_equal(cells.items[0].shortcode, "*");
    assert_string_equal(cells.items[1].shortcode, "999");
    assert_string_equal(cells_find(&cells, "61000", "spark")->platform, "redx");
    assert_null(cells_find(&cells, "61000", "onenz"));
    cells_free(&cells);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges),
        cmocka_unit_test(judges_what_is_settled),
        cmocka_unit_test(refuses_malformed_lists),
        cmocka_unit_test(looks_less_often_with_time),
        cmocka_unit_test(adds_sessions_up),
        cmocka_unit_test(reads_cells),
        cmocka_unit_test(newest_version_of_a_cell_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
