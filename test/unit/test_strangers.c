/* Whose turn it is among those who have not bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "proxy/strangers.h"

enum { TURN = 1000, MANY = 100 };

/* One that has something to be read all the time, where it is read. */
struct peer {
    struct stranger stranger;
    bool is_read;
    unsigned served;
};

static struct peer peers[MANY];

static void read_on(struct stranger *one)
{
    struct peer *peer = (struct peer *)one;
    assert_false(peer->is_read);
    peer->is_read = true;
}

static void begin(unsigned count)
{
    memset(peers, 0, sizeof peers);
    for (unsigned i = 0; i < count; i++) {
        peers[i] = (struct peer){.stranger.read_on = read_on, .is_read = true};
    }
}

/* The loop comes with each that is read. */
static unsigned turn(struct strangers *s, unsigned count, uint64_t cost)
{
    unsigned looks = 0;
    strangers_turn(s, TURN);
    for (unsigned i = 0; i < count; i++) {
        if (!peers[i].is_read) {
            continue;
        }
        looks++;
        if (strangers_may(s, &peers[i].stranger)) {
            peers[i].served++;
            strangers_spent(s, cost);
        } else {
            peers[i].is_read = false;
            strangers_wait(s, &peers[i].stranger);
        }
    }
    return looks;
}

static void without_turns_there_is_no_limit(void **state)
{
    (void)state;
    struct strangers s = {.limited = false};
    begin(1);
    for (unsigned i = 0; i < MANY; i++) {
        assert_true(strangers_may(&s, &peers[0].stranger));
        strangers_spent(&s, TURN);
    }
    assert_false(strangers_are_through(&s));
}

static void a_turn_is_over_when_its_time_is(void **state)
{
    (void)state;
    struct strangers s = {.limited = false};
    assert_int_equal(strangers_turn(&s, TURN), 0);
    assert_true(strangers_may(&s, NULL));
    strangers_spent(&s, TURN - 1);
    assert_true(strangers_may(&s, NULL));
    strangers_spent(&s, 1);
    assert_true(strangers_are_through(&s));
    assert_false(strangers_may(&s, NULL));
    assert_false(strangers_may(&s, NULL));
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
    assert_true(strangers_may(&s, NULL));
    assert_false(strangers_may(&s, NULL));
}

static void nobody_is_kept_out_by_those_before(void **state)
{
    (void)state;
    struct strangers s = {.limited = false};
    unsigned least = UINT32_MAX;
    unsigned most = 0;
    begin(MANY);
    for (unsigned i = 0; i < 10 * MANY; i++) {
        turn(&s, MANY, TURN / 4);
    }
    for (unsigned i = 0; i < MANY; i++) {
        least = peers[i].served < least ? peers[i].served : least;
        most = peers[i].served > most ? peers[i].served : most;
    }
    assert_in_range(most - least, 0, 1);
    assert_in_range(least, 30, 50); /* 4 or 5 a turn */
}

static void a_turn_is_not_about_those_who_wait(void **state)
{
    (void)state;
    struct strangers s = {.limited = false};
    begin(MANY);
    assert_int_equal(turn(&s, MANY, TURN), MANY); /* they all come, and all but one wait from then on */
    for (unsigned i = 0; i < MANY; i++) {
        assert_in_range(turn(&s, MANY, TURN), 1, 4);
    }
}

static void first_come_first_served(void **state)
{
    (void)state;
    struct strangers s = {.limited = false};
    begin(MANY);
    for (unsigned round = 1; round <= 3; round++) {
        while (peers[MANY - 1].served < round) {
            assert_in_range(peers[0].served, round - 1, round);
            turn(&s, MANY, TURN);
        }
    }
}

/* So many as the turn has time for, whatever they turn out to take; and all of them in that turn. */
static void who_is_called_is_served(void **state)
{
    (void)state;
    struct strangers s = {.limited = false};
    begin(MANY);
    for (unsigned i = 0; i < 200; i++) {
        unsigned before = s.waiting;
        turn(&s, MANY, TURN / 40);
        assert_in_range(s.waiting, before > 50 ? before - 50 : 0, MANY);
    }
    assert_in_range(s.served, 30, 41);
    turn(&s, MANY, TURN / 2); /* now each takes longer: for some such turns, and then it is known */
    assert_in_range(s.served, 30, 41);
    for (unsigned i = 0; i < 30; i++) {
        turn(&s, MANY, TURN / 2);
    }
    assert_in_range(s.served, 2, 3);
}

static void whoever_leaves_is_not_called(void **state)
{
    (void)state;
    struct strangers s = {.limited = false};
    begin(3);
    turn(&s, 3, TURN); /* 1 and 2 wait */
    strangers_leave(&peers[1].stranger);
    strangers_leave(&peers[1].stranger);
    assert_ptr_equal(s.first, &peers[2].stranger);
    strangers_turn(&s, TURN);
    assert_false(peers[1].is_read);
    assert_true(peers[2].is_read);
    strangers_leave(&peers[2].stranger);
    assert_int_equal(s.waiting, 0);
    assert_null(s.first);
    assert_null(s.last);
}

/* Called, it may have nothing to read (any more): the next are called all the same, and its time is over. */
static void who_has_nothing_to_say_keeps_nobody_out(void **state)
{
    (void)state;
    struct strangers s = {.limited = false};
    begin(MANY);
    turn(&s, MANY, TURN);
    unsigned waiting = s.waiting;
    for (unsigned i = 0; i < 10; i++) {
        strangers_turn(&s, TURN);
    }
    assert_in_range(s.waiting, 0, waiting - 10);
    strangers_turn(&s, TURN);
    for (unsigned i = 1; i <= 10; i++) {
        assert_false(strangers_may(&s, &peers[i].stranger));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_turns_there_is_no_limit),
        cmocka_unit_test(a_turn_is_over_when_its_time_is),
        cmocka_unit_test(one_is_served_however_little_is_left),
        cmocka_unit_test(nobody_is_kept_out_by_those_before),
        cmocka_unit_test(a_turn_is_not_about_those_who_wait),
        cmocka_unit_test(first_come_first_served),
        cmocka_unit_test(who_is_called_is_served),
        cmocka_unit_test(whoever_leaves_is_not_called),
        cmocka_unit_test(who_has_nothing_to_say_keeps_nobody_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
