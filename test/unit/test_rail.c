/* Guard rails: the table of verdicts. Too little traffic is inconclusive, never good or bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/rail.h"

enum { FLIP = 1700000000, MIN = 20 };
#define FLIP_MS ((uint64_t)FLIP * 1000)

#define GUARD_TEXT(conditions)                                                                   \
    "{\"id\":\"7\",\"version\":7,\"at_ms\":1700000000400,\"until_ms\":1700003600000,\"min\":20," \
    "\"cells\":[\"5001 spark redx omni\",\"5002 spark redx omni\"],\"action\":\"rollback\","     \
    "\"state\":\"watching\"," conditions "}"

static struct rail make(const char *text)
{
    struct rail rail;
    assert_true(rail_parse(text, strlen(text), &rail));
    return rail;
}

struct row {
    const char *what, *rail;
    uint64_t accepted, refused, unknown, expired, closed; /* now */
    uint64_t before_accepted, before_refused, before_mo;  /* before, of an hour */
    uint64_t mo, awaited, receipts, lost;
    uint64_t after_ms; /* since the flip, whose first message came with it */
    enum rail_verdict verdict;
};

#define ERRORS  GUARD_TEXT("\"errors\":10")
#define MO      GUARD_TEXT("\"mo_within_ms\":60000")
#define RECEIPT GUARD_TEXT("\"receipt_within_ms\":60000")
#define LEG     GUARD_TEXT("\"leg_lost\":true")
#define ALL     GUARD_TEXT("\"errors\":10,\"mo_within_ms\":60000,\"receipt_within_ms\":60000,\"leg_lost\":true")

static const struct row rows[] = {
    /* error share */
    {.what = "nothing at all", .rail = ERRORS, .verdict = RAIL_INCONCLUSIVE},
    {.what = "too few now, all wrong",
     .rail = ERRORS,
     .refused = 19,
     .before_accepted = 100,
     .verdict = RAIL_INCONCLUSIVE},
    {.what = "too few now, all fine",
     .rail = ERRORS,
     .accepted = 19,
     .before_accepted = 100,
     .verdict = RAIL_INCONCLUSIVE},
    {.what = "too few before, all wrong now",
     .rail = ERRORS,
     .refused = 50,
     .before_accepted = 19,
     .verdict = RAIL_INCONCLUSIVE},
    {.what = "enough, fine", .rail = ERRORS, .accepted = 20, .before_accepted = 20, .verdict = RAIL_GOOD},
    {.what = "enough, refused", .rail = ERRORS, .refused = 20, .before_accepted = 20, .verdict = RAIL_BAD},
    {.what = "as bad as before",
     .rail = ERRORS,
     .accepted = 50,
     .refused = 50,
     .before_accepted = 50,
     .before_refused = 50,
     .verdict = RAIL_GOOD},
    {.what = "just the allowed points above",
     .rail = ERRORS,
     .accepted = 90,
     .refused = 10,
     .before_accepted = 100,
     .verdict = RAIL_GOOD},
    {.what = "one more than allowed",
     .rail = ERRORS,
     .accepted = 89,
     .refused = 11,
     .before_accepted = 100,
     .verdict = RAIL_BAD},
    {.what = "unknown outcomes are errors",
     .rail = ERRORS,
     .accepted = 80,
     .unknown = 20,
     .before_accepted = 100,
     .verdict = RAIL_BAD},
    {.what = "so is a hold that expired",
     .rail = ERRORS,
     .accepted = 80,
     .expired = 20,
     .before_accepted = 100,
     .verdict = RAIL_BAD},
    {.what = "a closed route is not",
     .rail = ERRORS,
     .accepted = 80,
     .closed = 200,
     .before_accepted = 100,
     .verdict = RAIL_GOOD},
    /* MO */
    {.what = "MO came", .rail = MO, .mo = 1, .verdict = RAIL_GOOD},
    {.what = "no MO, still time",
     .rail = MO,
     .before_mo = 6000,
     .after_ms = 59000,
     .verdict = RAIL_INCONCLUSIVE},
    {.what = "no MO, none expected", .rail = MO, .after_ms = 61000, .verdict = RAIL_INCONCLUSIVE},
    {.what = "no MO, too few expected",
     .rail = MO,
     .before_mo = 179,
     .after_ms = 61000,
     .verdict = RAIL_INCONCLUSIVE},
    {.what = "no MO, three expected", .rail = MO, .before_mo = 180, .after_ms = 61000, .verdict = RAIL_BAD},
    /* receipts */
    {.what = "a receipt came",
     .rail = RECEIPT,
     .awaited = 100,
     .receipts = 1,
     .after_ms = 61000,
     .verdict = RAIL_GOOD},
    {.what = "no receipt, still time",
     .rail = RECEIPT,
     .accepted = 100,
     .awaited = 100,
     .after_ms = 59000,
     .verdict = RAIL_INCONCLUSIVE},
    {.what = "no receipt, too few awaited",
     .rail = RECEIPT,
     .accepted = 100,
     .awaited = 19,
     .after_ms = 61000,
     .verdict = RAIL_INCONCLUSIVE},
    {.what = "no receipt of enough",
     .rail = RECEIPT,
     .accepted = 100,
     .awaited = 20,
     .after_ms = 61000,
     .verdict = RAIL_BAD},
    {.what = "no receipt, no message", .rail = RECEIPT, .after_ms = 999000, .verdict = RAIL_INCONCLUSIVE},
    /* legs */
    {.what = "a leg was lost", .rail = LEG, .accepted = 1, .lost = 1, .verdict = RAIL_BAD},
    {.what = "none was lost", .rail = LEG, .accepted = 1, .verdict = RAIL_GOOD},
    {.what = "none was lost, none was used", .rail = LEG, .verdict = RAIL_INCONCLUSIVE},
    /* together */
    {.what = "all is well",
     .rail = ALL,
     .accepted = 50,
     .before_accepted = 50,
     .mo = 1,
     .receipts = 1,
     .awaited = 50,
     .verdict = RAIL_GOOD},
    {.what = "one is not known",
     .rail = ALL,
     .accepted = 50,
     .before_accepted = 50,
     .receipts = 1,
     .awaited = 50,
     .verdict = RAIL_INCONCLUSIVE},
    {.what = "one is not known, one is bad",
     .rail = ALL,
     .accepted = 50,
     .before_accepted = 50,
     .awaited = 50,
     .lost = 1,
     .verdict = RAIL_BAD},
};

static struct evidence evidence_of(const struct row *row, const char *shortcode)
{
    struct evidence e = {.carrier = "spark", .changed_ms = FLIP_MS, .since_ms = FLIP_MS};
    snprintf(e.shortcode, sizeof e.shortcode, "%s", shortcode);
    strcpy(e.now.platform, "omni");
    strcpy(e.other.platform, "redx");
    e.now.mt_accepted = row->accepted;
    e.now.mt_refused = row->refused;
    e.now.mt_unknown = row->unknown;
    e.now.held_expired = row->expired;
    e.now.closed = row->closed;
    e.now.mt_first_ms = row->accepted > 0 ? FLIP_MS + 400 : 0;
    e.now.mo = row->mo;
    e.now.receipts_awaited = row->awaited;
    e.now.receipts = row->receipts;
    e.now.legs_lost = row->lost;
    e.before.mt_accepted = row->before_accepted;
    e.before.mt_refused = row->before_refused;
    e.before.mo = row->before_mo;
    e.before.since_ms = FLIP_MS - 3600000;
    return e;
}

static void put(struct evidence_set *set, const struct evidence *evidence)
{
    char *text = evidence_text(evidence);
    assert_true(evidence_set_add(set, text, strlen(text)));
    free(text);
    evidence_set_sort(set);
}

static void one_cell_is_judged_by_the_table(void **state)
{
    (void)state;
    char what[256];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rail rail = make(rows[i].rail);
        struct evidence e = evidence_of(&rows[i], "5001");
        struct evidence_set set = {.count = 0};
        enum rail_verdict verdict =
            rail_judge_one(&rail, &e, FLIP_MS + 400 + rows[i].after_ms, what, sizeof what);
        if (verdict != rows[i].verdict) {
            fail_msg("%s: %s (%s)", rows[i].what, rail_verdict_name(verdict), what);
        }
        assert_non_null(strstr(what, "5001 spark: "));
        put(&set, &e); /* the same, where the other cell of the guard was not seen at all */
        assert_int_equal(rail_judge(&rail, &set, FLIP_MS + 400 + rows[i].after_ms, what, sizeof what),
                         rows[i].verdict);
        evidence_set_free(&set);
        rail_clear(&rail);
    }
}

/* 15 and 15 are too few each, and enough together. */
static void quiet_cells_are_judged_together(void **state)
{
    (void)state;
    char what[256];
    struct rail rail = make(ERRORS);
    struct evidence_set set = {.count = 0};
    struct row row = {.refused = 15, .before_accepted = 15};
    struct evidence e = evidence_of(&row, "5001");
    put(&set, &e);
    assert_int_equal(rail_judge(&rail, &set, FLIP_MS + 1000, what, sizeof what), RAIL_INCONCLUSIVE);
    e = evidence_of(&row, "5002");
    put(&set, &e);
    assert_int_equal(rail_judge(&rail, &set, FLIP_MS + 1000, what, sizeof what), RAIL_BAD);
    assert_non_null(strstr(what, "spark: 100.0 % of 30"));
    evidence_set_free(&set);
    rail_clear(&rail);
}

/* One cell in trouble is not drowned by another that is busy and well. */
static void a_single_cell_is_not_lost_in_the_sum(void **state)
{
    (void)state;
    char what[256];
    struct rail rail = make(ERRORS);
    struct evidence_set set = {.count = 0};
    struct evidence well = evidence_of(&(struct row){.accepted = 5000, .before_accepted = 5000}, "5001");
    struct evidence ill = evidence_of(&(struct row){.refused = 20, .before_accepted = 20}, "5002");
    put(&set, &well);
    assert_int_equal(rail_judge(&rail, &set, FLIP_MS + 1000, what, sizeof what), RAIL_GOOD);
    put(&set, &ill);
    assert_int_equal(rail_judge(&rail, &set, FLIP_MS + 1000, what, sizeof what), RAIL_BAD);
    assert_non_null(strstr(what, "5002 spark"));
    evidence_set_free(&set);
    rail_clear(&rail);
}

static void a_cell_that_moved_on_is_left_out(void **state)
{
    (void)state;
    char what[256];
    struct rail rail = make(LEG);
    struct evidence_set set = {.count = 0};
    struct row lost = {.accepted = 1, .lost = 1};
    struct evidence e = evidence_of(&lost, "5001");
    e.changed_ms += 2000;
    put(&set, &e);
    assert_int_equal(rail_judge(&rail, &set, FLIP_MS + 9000, what, sizeof what), RAIL_INCONCLUSIVE);
    e = evidence_of(&lost, "5002");
    e.changed_ms += 5000;
    put(&set, &e);
    assert_int_equal(rail_judge(&rail, &set, FLIP_MS + 9000, what, sizeof what), RAIL_VOID);
    evidence_set_free(&set);
    /* an older record than the flip's is none of it */
    e = evidence_of(&lost, "5001");
    e.changed_ms -= 1000;
    put(&set, &e);
    assert_int_equal(rail_judge(&rail, &set, FLIP_MS + 9000, what, sizeof what), RAIL_INCONCLUSIVE);
    evidence_set_free(&set);
    rail_clear(&rail);
}

static void nothing_seen_says_so(void **state)
{
    (void)state;
    char what[256];
    struct rail rail = make(ALL);
    struct evidence_set set = {.count = 0};
    assert_int_equal(rail_judge(&rail, &set, FLIP_MS + 9000, what, sizeof what), RAIL_INCONCLUSIVE);
    assert_string_equal(what, "spark: nothing was seen yet");
    rail_clear(&rail);
}

static void reads_a_guard(void **state)
{
    (void)state;
    struct rail rail = make(ALL);
    assert_string_equal(rail.id, "7");
    assert_int_equal(rail.version, 7);
    assert_int_equal(rail.cells_count, 2);
    assert_string_equal(rail.cells[1].shortcode, "5002");
    assert_string_equal(rail.cells[1].to, "omni");
    assert_true(rail.roll_back);
    assert_true(rail.leg_lost);
    assert_string_equal(rail.state, "watching");
    rail_clear(&rail);
}

static void refuses_what_is_no_guard(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"id\":\"7\",\"version\":7,\"cells\":[]}",
        "{\"id\":\"7\",\"version\":7,\"cells\":{}}",
        "{\"id\":\"7\",\"version\":7,\"cells\":[\"5001 spark redx\"]}",
        "{\"id\":\"7\",\"version\":7,\"cells\":[\"5001 spark redx omni more\"]}",
        "{\"id\":\"7\",\"version\":7,\"cells\":[5]}",
        "{\"id\":7,\"version\":7,\"cells\":[\"5001 spark redx omni\"]}",
        "{\"id\":\"7\",\"version\":-7,\"cells\":[\"5001 spark redx omni\"]}"};
    struct rail rail;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_false(rail_parse(texts[i], strlen(texts[i]), &rail));
    }
    for (size_t len = 0; len < strlen(ALL); len++) {
        assert_false(rail_parse(ALL, len, &rail));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_cell_is_judged_by_the_table),
        cmocka_unit_test(quiet_cells_are_judged_together),
        cmocka_unit_test(a_single_cell_is_not_lost_in_the_sum),
        cmocka_unit_test(a_cell_that_moved_on_is_left_out),
        cmocka_unit_test(nothing_seen_says_so),
        cmocka_unit_test(reads_a_guard),
        cmocka_unit_test(refuses_what_is_no_guard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
