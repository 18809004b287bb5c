/* The wheel against a naive model: an array of due times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/timers.h"

enum { COUNT = 64 };
#define GRAIN (1ULL << TIMERS_GRAIN_BITS)
#define TURN  (GRAIN * TIMERS_SLOTS)

/* A number below n, the same in every run. */
static uint64_t dice(uint64_t n)
{
    static uint64_t x = 0x2545F4914F6CDD1D;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x % n;
}

struct item {
    struct timer timer; /* first */
    uint64_t due;       /* as the model has it */
    uint64_t set_at;
    uint64_t again; /* set anew, so long after it fired; 0: not */
    struct timer *cancels;
    unsigned fired;
    bool set;
};

static struct timers timers;
static struct item items[COUNT];
static uint64_t now;

static void fire(struct timer *timer, uint64_t at)
{
    struct item *item = (struct item *)timer;
    assert_true(item->set);
    assert_false(timer_is_set(timer));
    assert_int_equal(at, now);
    assert_true(item->due <= now);
    item->set = false;
    item->fired++;
    if (item->cancels != NULL) {
        timer_cancel(item->cancels);
        ((struct item *)item->cancels)->set = false;
    }
    if (item->again != 0) {
        item->due = now + item->again;
        item->set_at = now;
        item->set = true;
        timer_set(&timers, timer, item->due);
    }
}

static int begin(void **state)
{
    (void)state;
    memset(items, 0, sizeof items);
    now = 12345 * GRAIN + 17;
    timers_init(&timers, now);
    for (unsigned i = 0; i < COUNT; i++) {
        items[i].timer.fire = fire;
    }
    return 0;
}

static void set(struct item *item, uint64_t due)
{
    item->set = true;
    item->due = due;
    item->set_at = now;
    timer_set(&timers, &item->timer, due);
}

static void cancel(struct item *item)
{
    item->set = false;
    timer_cancel(&item->timer);
}

/* What was due a grain ago must have fired; what is not due must not have (fire checks it). */
static void run_and_check(void)
{
    unsigned most = 1 + (unsigned)dice(COUNT);
    do {
        timers_run(&timers, now, most);
    } while (timers_next(&timers) <= now);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(items[i].set, timer_is_set(&items[i].timer));
        if (items[i].set) {
            uint64_t latest = items[i].due > items[i].set_at ? items[i].due : items[i].set_at;
            assert_true(latest + GRAIN > now);
        }
    }
}

/* The time at which to come again must not be later than a timer's due time (or now), but for the grain. */
static void check_next(void)
{
    uint64_t next = timers_next(&timers);
    for (unsigned i = 0; i < COUNT; i++) {
        if (items[i].set) {
            assert_true(next <= (items[i].due > now ? items[i].due : now) + GRAIN);
        }
    }
}

static void fires_once_when_due_and_not_before(void **state)
{
    (void)state;
    set(&items[0], now + 100 * GRAIN);
    now += 99 * GRAIN;
    run_and_check();
    assert_int_equal(items[0].fired, 0);
    now += 2 * GRAIN;
    run_and_check();
    assert_int_equal(items[0].fired, 1);
    now += 2 * TURN;
    run_and_check();
    assert_int_equal(items[0].fired, 1);
}

static void fires_within_a_grain(void **state)
{
    (void)state;
    uint64_t due = now + 10 * GRAIN + GRAIN / 2;
    set(&items[0], due);
    now = due + GRAIN;
    run_and_check();
    assert_int_equal(items[0].fired, 1);
}

static void waits_for_more_than_a_turn(void **state)
{
    (void)state;
    uint64_t due = now + 3 * TURN + 5 * GRAIN;
    set(&items[0], due);
    while (now + GRAIN < due) {
        assert_int_equal(items[0].fired, 0);
        uint64_t next = timers_next(&timers);
        assert_true(next > now);
        now = next < due - 1 ? next : due - 1;
        run_and_check();
    }
    now = due + GRAIN;
    run_and_check();
    assert_int_equal(items[0].fired, 1);
}

static void a_long_sleep_loses_nothing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        set(&items[i], now + i * TURN / 16);
    }
    now += 100 * TURN;
    run_and_check();
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(items[i].fired, 1);
    }
    assert_int_equal(timers_next(&timers), UINT64_MAX);
}

static void a_due_time_in_the_past_fires_soon(void **state)
{
    (void)state;
    set(&items[0], 0);
    now += GRAIN;
    run_and_check();
    assert_int_equal(items[0].fired, 1);
}

static void moving_counts_the_last_time_set(void **state)
{
    (void)state;
    set(&items[0], now + GRAIN);
    set(&items[0], now + 50 * GRAIN);
    now += 40 * GRAIN;
    run_and_check();
    assert_int_equal(items[0].fired, 0);
    timer_set_earlier(&timers, &items[0].timer, now + 500 * GRAIN);
    assert_int_equal(items[0].timer.due, items[0].due);
    items[0].due = now;
    timer_set_earlier(&timers, &items[0].timer, now);
    now += GRAIN;
    run_and_check();
    assert_int_equal(items[0].fired, 1);
}

static void set_earlier_sets_what_is_not_set(void **state)
{
    (void)state;
    items[0].set = true;
    items[0].due = now + 5 * GRAIN;
    timer_set_earlier(&timers, &items[0].timer, items[0].due);
    now += 6 * GRAIN;
    run_and_check();
    assert_int_equal(items[0].fired, 1);
}

static void cancelled_ones_do_not_fire(void **state)
{
    (void)state;
    set(&items[0], now + GRAIN);
    cancel(&items[0]);
    cancel(&items[0]);
    now += 5 * GRAIN;
    run_and_check();
    assert_int_equal(items[0].fired, 0);
}

static void one_may_cancel_its_neighbour_while_firing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        set(&items[i], now + GRAIN);
    }
    items[0].cancels = &items[1].timer;
    now += 3 * GRAIN;
    run_and_check();
    assert_int_equal(items[0].fired + items[2].fired, 2);
    assert_int_equal(items[1].fired, 0);
}

static void one_may_set_itself_again_while_firing(void **state)
{
    (void)state;
    set(&items[0], now + GRAIN);
    items[0].again = TURN; /* the very slot that it fires from */
    for (unsigned i = 0; i < 5; i++) {
        now += TURN + GRAIN;
        run_and_check();
    }
    assert_int_equal(items[0].fired, 5);
    items[0].again = 0;
    items[1].again = 1; /* sooner than a grain */
    set(&items[1], now);
    now += 3 * GRAIN;
    run_and_check();
    assert_in_range(items[1].fired, 1, 4);
}

static void no_more_fire_in_a_run_than_may(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        set(&items[i], now + (i < 3 ? GRAIN : 2 * GRAIN));
    }
    now += 4 * GRAIN;
    for (unsigned most = 2, fired = 0; fired < 5;) {
        timers_run(&timers, now, most);
        fired = fired + most < 5 ? fired + most : 5;
        for (unsigned i = 0; i < 5; i++) {
            assert_int_equal(items[i].fired, i < fired);
        }
        assert_int_equal(timers_next(&timers) <= now, fired < 5);
    }
}

static void nothing_set_needs_no_call(void **state)
{
    (void)state;
    assert_int_equal(timers_next(&timers), UINT64_MAX);
    set(&items[0], now + GRAIN);
    assert_int_not_equal(timers_next(&timers), UINT64_MAX);
}

static uint64_t random_due(void)
{
    switch (dice(5)) {
    case 0: return now - dice(2 * GRAIN);
    case 1: return now + dice(2 * GRAIN);
    case 2: return now + dice(TURN);
    case 3: return now + dice(5 * TURN);
    default: return now + TURN + dice(3) * GRAIN - GRAIN;
    }
}

static void random_step(void)
{
    struct item *item = &items[dice(COUNT)];
    switch (dice(8)) {
    case 0: cancel(item); break;
    case 1: item->again = dice(3) * GRAIN * 7; break;
    case 2: item->cancels = dice(2) == 0 ? NULL : &items[dice(COUNT)].timer; break;
    case 3:
        now += dice(dice(50) == 0 ? 6 * TURN : 3 * GRAIN);
        run_and_check();
        break;
    case 4: /* as the loop does it */
        if (timers_next(&timers) != UINT64_MAX && timers_next(&timers) > now) {
            now = timers_next(&timers);
        }
        run_and_check();
        break;
    default: set(item, random_due()); break;
    }
    if (item->cancels == &item->timer) {
        item->cancels = NULL; /* while firing it is not set: the model would differ for nothing */
    }
    check_next();
}

static void agrees_with_a_naive_model(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        random_step();
    }
    unsigned fired = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        fired += items[i].fired;
    }
    assert_true(fired > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(fires_once_when_due_and_not_before, begin),
        cmocka_unit_test_setup(fires_within_a_grain, begin),
        cmocka_unit_test_setup(waits_for_more_than_a_turn, begin),
        cmocka_unit_test_setup(a_long_sleep_loses_nothing, begin),
        cmocka_unit_test_setup(a_due_time_in_the_past_fires_soon, begin),
        cmocka_unit_test_setup(moving_counts_the_last_time_set, begin),
        cmocka_unit_test_setup(set_earlier_sets_what_is_not_set, begin),
        cmocka_unit_test_setup(cancelled_ones_do_not_fire, begin),
        cmocka_unit_test_setup(one_may_cancel_its_neighbour_while_firing, begin),
        cmocka_unit_test_setup(one_may_set_itself_again_while_firing, begin),
        cmocka_unit_test_setup(no_more_fire_in_a_run_than_may, begin),
        cmocka_unit_test_setup(nothing_set_needs_no_call, begin),
        cmocka_unit_test_setup(agrees_with_a_naive_model, begin),
    };
    return cmocka_run_group_tests_name("timers", tests, NULL, NULL);
}
