/* Evidence: what is written is read back, records of instances add up, a move begins a new record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/evidence.h"

static struct evidence sample(void)
{
    struct evidence e = {.shortcode = "5001", .carrier = "spark", .changed_ms = 1700000000000};
    strcpy(e.now.platform, "omni");
    strcpy(e.other.platform, "redx");
    e.now.mt_sent = 12;
    e.now.mt_accepted = 9;
    e.now.mt_refused = 2;
    e.now.mt_unknown = 1;
    e.now.mt_first_ms = 1700000000100;
    e.now.mt_last_ms = 1700000009000;
    e.now.waited_longest_ms = 80;
    evidence_refusal(&e.now, 0x58, 2);
    e.other.mt_last_ms = 1699999999990;
    e.other.wrong_mo = 3;
    e.before.mt_accepted = 100;
    e.before.since_ms = 1699990000000;
    e.since_ms = e.changed_ms;
    e.minute = 28333333;
    e.minutes[0] = 7;
    e.minutes[59] = 5;
    return e;
}

static struct evidence through_json(const struct evidence *e)
{
    struct evidence back;
    char *text = evidence_text(e);
    assert_non_null(text);
    assert_true(evidence_parse(text, strlen(text), &back));
    free(text);
    return back;
}

static void reads_what_it_wrote(void **state)
{
    (void)state;
    struct evidence e = sample();
    struct evidence back = through_json(&e);
    assert_memory_equal(&e, &back, sizeof e);
    struct evidence empty = {.shortcode = "*", .carrier = "onenz"};
    back = through_json(&empty);
    assert_memory_equal(&empty, &back, sizeof empty);
}

/* Every cut of a record is refused, and leaves what was there. */
static void refuses_what_is_cut(void **state)
{
    (void)state;
    struct evidence e = sample();
    char *text = evidence_text(&e);
    for (size_t len = 0; len < strlen(text); len++) {
        struct evidence kept = {.changed_ms = 5};
        assert_false(evidence_parse(text, len, &kept));
        assert_int_equal(kept.changed_ms, 5);
    }
    free(text);
}

static void refuses_what_is_none(void **state)
{
    (void)state;
    static const char too_long[] = "{\"shortcode\":\"123456789012345678901\",\"carrier\":\"a\","
                                   "\"now\":{\"platform\":\"\"},\"other\":{\"platform\":\"\"}}";
    static const char no_other[] = "{\"shortcode\":\"1\",\"carrier\":\"a\",\"now\":{\"platform\":\"\"}}";
    static const char no_text[] = "{\"shortcode\":5,\"carrier\":\"a\",\"now\":{},\"other\":{}}";
    static const char *const texts[] = {"[]", "5", "{}", no_text, too_long, no_other};
    struct evidence e;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_false(evidence_parse(texts[i], strlen(texts[i]), &e));
    }
}

static void takes_no_negative_number(void **state)
{
    (void)state;
    static const char text[] =
        "{\"shortcode\":\"1\",\"carrier\":\"a\",\"changed_ms\":-4,\"minutes\":[-1,3],\"now\":{\"platform\":"
        "\"x\","
        "\"mt_sent\":-7,\"statuses\":[[88,-2],[8,1]]},\"other\":{\"platform\":\"\"},\"unheard_of\":[]}";
    struct evidence e;
    assert_true(evidence_parse(text, sizeof text - 1, &e));
    assert_int_equal(e.changed_ms, 0);
    assert_int_equal(e.now.mt_sent, 0);
    assert_int_equal(e.minutes[0], 0);
    assert_int_equal(e.minutes[1], 3);
    assert_int_equal(e.now.statuses[0].status, 8);
    assert_int_equal(e.now.statuses[1].count, 0);
}

static void adds_up_over_instances(void **state)
{
    (void)state;
    struct evidence into = sample();
    struct evidence from = sample();
    from.now.mt_first_ms = 1700000000050;
    from.now.mt_last_ms = 1700000008000;
    from.now.mo_first_ms = 1700000000200;
    from.now.waited_longest_ms = 90;
    from.minute = into.minute + 1;
    evidence_refusal(&from.now, 0x14, 5);
    evidence_merge(&into, &from);
    assert_int_equal(into.now.mt_sent, 24);
    assert_int_equal(into.now.mt_first_ms, 1700000000050);
    assert_int_equal(into.now.mt_last_ms, 1700000009000);
    assert_int_equal(into.now.mo_first_ms, 1700000000200); /* 0 is never, not the earliest */
    assert_int_equal(into.now.waited_longest_ms, 90);
    assert_int_equal(into.now.statuses[0].status, 0x14);
    assert_int_equal(into.now.statuses[0].count, 5);
    assert_int_equal(into.now.statuses[1].count, 4);
    assert_int_equal(into.other.wrong_mo, 6);
    assert_int_equal(into.before.mt_accepted, 200);
    assert_int_equal(into.minute, from.minute);
    assert_int_equal(into.minutes[0], 7); /* of the one */
    assert_int_equal(into.minutes[1], 7); /* of the other */
    assert_int_equal(into.minutes[59], 5);
}

static const struct evidence_past *past_of(const struct evidence *e, const char *platform,
                                           uint64_t changed_ms)
{
    for (size_t i = 0; i < EVIDENCE_PASTS; i++) {
        if (strcmp(e->pasts[i].platform, platform) == 0 && e->pasts[i].changed_ms == changed_ms) {
            return &e->pasts[i];
        }
    }
    return NULL;
}

/* All but the past, which has what the other had counted. */
static void is_alone(struct evidence *merged, const struct evidence *alone, uint64_t other_ms)
{
    assert_int_equal(past_of(merged, "redx", other_ms)->wrong_mo, 3);
    memset(merged->pasts, 0, sizeof merged->pasts);
    assert_memory_equal(merged, alone, sizeof *alone);
}

/* An instance that has not heard of the move yet still counts for the route before. */
static void the_later_move_counts_alone(void **state)
{
    (void)state;
    struct evidence late = sample();
    struct evidence early = sample();
    early.changed_ms -= 1000;
    struct evidence into = late;
    evidence_merge(&into, &early);
    is_alone(&into, &late, early.changed_ms);
    into = early;
    evidence_merge(&into, &late);
    is_alone(&into, &late, early.changed_ms);
    struct evidence same_second = late;
    strcpy(same_second.now.platform, "third");
    into = late;
    evidence_merge(&into, &same_second);
    assert_int_equal(past_of(&into, "third", late.changed_ms)->mt_accepted, 9);
    is_alone(&into, &late, late.changed_ms);
}

static void a_move_keeps_what_was(void **state)
{
    (void)state;
    struct evidence e = sample();
    e.now.held_expired = 4;
    e.now.closed = 6;
    e.now.mo = 8;
    evidence_turn(&e, "redx", 1700000060000);
    assert_string_equal(e.now.platform, "redx");
    assert_string_equal(e.other.platform, "omni");
    assert_int_equal(e.now.mt_sent, 0);
    assert_int_equal(e.now.mt_last_ms, 1699999999990); /* of the time when it served before */
    assert_int_equal(e.other.mt_last_ms, 1700000009000);
    assert_int_equal(e.other.mt_accepted, 0);
    assert_int_equal(e.before.mt_accepted, 9);
    assert_int_equal(e.before.mt_refused, 2);
    assert_int_equal(e.before.proxy_refused, 4); /* closed is the operator's own doing */
    assert_int_equal(e.before.mo, 8);
    assert_int_equal(e.before.since_ms, 1700000000000);
    assert_int_equal(e.changed_ms, 1700000060000);
    assert_int_equal(evidence_share_before(&e).all, 9 + 2 + 1 + 4);
    assert_int_equal(evidence_share_before(&e).wrong, 7);
    evidence_turn(&e, "third", 1700000070000);
    assert_string_equal(e.other.platform, "redx");
    assert_int_equal(e.now.mt_last_ms, 0);
}

static void the_most_frequent_statuses_stay(void **state)
{
    (void)state;
    struct evidence_side side = {.mt_sent = 0};
    for (uint32_t status = 1; status <= EVIDENCE_STATUSES; status++) {
        evidence_refusal(&side, status, status);
    }
    assert_int_equal(side.statuses[0].status, EVIDENCE_STATUSES);
    evidence_refusal(&side, 100, 1); /* no more than the least */
    assert_int_equal(side.statuses[EVIDENCE_STATUSES - 1].status, 1);
    evidence_refusal(&side, 100, 50);
    assert_int_equal(side.statuses[0].status, 100);
    assert_int_equal(side.statuses[0].count, 50);
    assert_int_equal(side.statuses[EVIDENCE_STATUSES - 1].status, 2);
}

static void the_hour_forgets(void **state)
{
    (void)state;
    struct evidence e = sample();
    assert_int_equal(evidence_hour(&e, e.minute), 12);
    assert_int_equal(evidence_hour(&e, e.minute + 1), 7);
    assert_int_equal(evidence_hour(&e, e.minute + 59), 7);
    assert_int_equal(evidence_hour(&e, e.minute + 60), 0);
    assert_int_equal(evidence_hour(&e, e.minute + 100000), 0);
    assert_int_equal(evidence_hour(&e, e.minute - 1), 12); /* clocks of two machines */
}

static void a_set_merges_and_finds(void **state)
{
    (void)state;
    struct evidence_set set = {.count = 0};
    struct evidence e = sample();
    for (int i = 0; i < 40; i++) {
        snprintf(e.shortcode, sizeof e.shortcode, "%d", 5000 + i % 20);
        char *text = evidence_text(&e);
        assert_true(evidence_set_add(&set, text, strlen(text)));
        free(text);
    }
    assert_false(evidence_set_add(&set, "rubbish", 7));
    assert_int_equal(set.count, 40);
    evidence_set_sort(&set);
    assert_int_equal(set.count, 20);
    assert_int_equal(evidence_set_find(&set, "5000", "spark")->now.mt_sent, 24);
    assert_int_equal(evidence_set_find(&set, "5019", "spark")->now.mt_sent, 24);
    assert_null(evidence_set_find(&set, "5019", "onenz"));
    assert_null(evidence_set_find(&set, "4999", "spark"));
    evidence_set_free(&set);
    evidence_set_sort(&set);
    assert_null(evidence_set_find(&set, "5000", "spark"));
}

static uint64_t accepted_by(const struct evidence *e, const char *platform)
{
    uint64_t sum = strcmp(e->now.platform, platform) == 0 ? e->now.mt_accepted : e->other.mt_accepted;
    for (size_t i = 0; i < EVIDENCE_PASTS; i++) {
        sum += strcmp(e->pasts[i].platform, platform) == 0 ? e->pasts[i].mt_accepted : 0;
    }
    return sum;
}

/* Back and again: each time has its own count, and late answers belong to the platform that gave them. */
static void every_turn_counts(void **state)
{
    (void)state;
    struct evidence e = sample();
    uint64_t moved = e.changed_ms;
    e.now.closed = 4;
    evidence_turn(&e, "redx", moved + 60000);
    assert_int_equal(past_of(&e, "omni", moved)->mt_accepted, 9);
    assert_int_equal(past_of(&e, "omni", moved)->proxy_refused, 4);
    assert_int_equal(past_of(&e, "redx", moved)->wrong_mo, 3);
    e.now.mt_accepted = 5;
    e.other.mt_unknown = 2;
    evidence_turn(&e, "omni", moved + 120000);
    assert_int_equal(past_of(&e, "redx", moved + 60000)->mt_accepted, 5);
    assert_int_equal(past_of(&e, "omni", moved + 60000)->mt_unknown, 2);
    struct evidence back = through_json(&e);
    assert_memory_equal(&e, &back, sizeof e);
    /* one that has seen less of it, and one that ended before the last move */
    struct evidence other = sample();
    evidence_merge(&back, &other);
    assert_int_equal(past_of(&back, "omni", moved)->mt_accepted, 18);
    assert_int_equal(back.changed_ms, moved + 120000);
    evidence_merge(&other, &e);
    assert_int_equal(past_of(&other, "omni", moved)->mt_accepted, 18);
    assert_int_equal(accepted_by(&other, "redx"), 5);
}

/* However often it moves, the sums stay, and what became one says so. */
static void too_many_turns_become_one(void **state)
{
    (void)state;
    struct evidence e = sample();
    memset(&e.now, 0, sizeof e.now);
    strcpy(e.now.platform, "omni");
    uint64_t moved = e.changed_ms;
    for (unsigned i = 1; i <= 3 * EVIDENCE_PASTS; i++) {
        e.now.mt_accepted = 1;
        evidence_turn(&e, i % 2 ? "redx" : "omni", moved + UINT64_C(1000) * i);
    }
    assert_int_equal(accepted_by(&e, "omni") + accepted_by(&e, "redx"), 3 * EVIDENCE_PASTS);
    assert_int_equal(accepted_by(&e, "omni"), 3 * EVIDENCE_PASTS / 2);
    assert_true(past_of(&e, "omni", moved)->until_ms > moved);
    assert_int_equal(past_of(&e, "redx", moved + UINT64_C(1000) * (3 * EVIDENCE_PASTS - 1))->until_ms, 0);
    struct evidence back = through_json(&e);
    assert_memory_equal(&e, &back, sizeof e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_wrote),    cmocka_unit_test(refuses_what_is_cut),
        cmocka_unit_test(refuses_what_is_none),   cmocka_unit_test(takes_no_negative_number),
        cmocka_unit_test(adds_up_over_instances), cmocka_unit_test(the_later_move_counts_alone),
        cmocka_unit_test(every_turn_counts),      cmocka_unit_test(too_many_turns_become_one),
        cmocka_unit_test(a_move_keeps_what_was),  cmocka_unit_test(the_most_frequent_statuses_stay),
        cmocka_unit_test(the_hour_forgets),       cmocka_unit_test(a_set_merges_and_finds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
