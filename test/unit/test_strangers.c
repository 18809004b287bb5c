/* Whose turn it is among those who have not bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "proxy/strangers.h"

enum { TURN = 1000, MANY = 100 };

static void without_turns_there_is_no_limit(void **state)
{
    (void)state;
    struct strangers s = {.limited = false};
    for (unsigned i = 0; i < MANY; i++) {
        assert_true(strangers_may(&s));
        strangers_spent(&s, TURN);
    }
    assert_false(strangers_are_through(&s));
}

static void a_turn_is_over_when_its_time_is(void **state)
{
    (void)state;
    struct strangers s = {.limited = false};
    assert_int_equal(strangers_turn(&s, TURN), 0);
    assert_true(strangers_may(&s));
    strangers_spent(&s, TURN - 1);
    assert_true(strangers_may(&s));
    strangers_spent(&s, 1);
    assert_true(strangers_are_through(&s));
    assert_false(strangers_may(&s));
    assert_false(strangers_may(&s));
    assert_int_equal(strangers_turn(&s, TURN), 2);
    assert_int_equal(strangers_turn(&s, TURN), 0);
}

static void one_is_served_however_little_is_left(void **state)
{
    (void)state;
    struct strangers s = {.limited = false};
    strangers_turn(&s, TURN);
    strangers_spent(&s, 10ULL * TURN); /* accepting took it all */
    assert_true(strangers_are_through(&s));
    assert_true(strangers_may(&s));
    assert_false(strangers_may(&s));
}

/* All have something to read all the time, and are told of in the same order in each turn. */
static void nobody_is_kept_out_by_those_before(void **state)
{
    (void)state;
    unsigned served[MANY] = {0};
    struct strangers s = {.limited = false};
    for (unsigned turn = 0; turn < 3 * MANY; turn++) {
        strangers_turn(&s, TURN);
        for (unsigned i = 0; i < MANY; i++) {
            if (strangers_may(&s)) {
                served[i]++;
                strangers_spent(&s, TURN / 4);
            }
        }
    }
    for (unsigned i = 0; i < MANY; i++) {
        assert_in_range(served[i], 8, 16); /* 12 each */
    }
}

/* Where fewer ask than in the turn before, the next one begins from the first again. */
static void those_who_are_left_come_first(void **state)
{
    (void)state;
    struct strangers s = {.limited = false};
    strangers_turn(&s, TURN);
    for (unsigned i = 0; i < MANY; i++) {
        if (strangers_may(&s)) {
            strangers_spent(&s, TURN / 10);
        }
    }
    assert_int_equal(strangers_turn(&s, TURN), MANY - 10);
    assert_false(strangers_may(&s)); /* the place of one who was served */
    strangers_turn(&s, TURN);
    assert_true(strangers_may(&s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_turns_there_is_no_limit),
        cmocka_unit_test(a_turn_is_over_when_its_time_is),
        cmocka_unit_test(one_is_served_however_little_is_left),
        cmocka_unit_test(nobody_is_kept_out_by_those_before),
        cmocka_unit_test(those_who_are_left_come_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
