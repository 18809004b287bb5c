/* The visitors: sessions by address, and pauses after wrong passwords, under a time that is passed in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "proxy/visitors.h"

#define SECOND 1000000000ULL

static const struct visitors_pace pace = {.tries = 3, .pause = SECOND, .longest = 8 * SECOND};

static uint64_t address4(const char *text)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    assert_int_equal(inet_pton(AF_INET, text, &in.sin_addr), 1);
    return visitors_address((const struct sockaddr *)&in);
}

static uint64_t address6(const char *text)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    return visitors_address((const struct sockaddr *)&in6);
}

static int set_up(void **state)
{
    *state = visitors_new();
    return *state != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    visitors_free(*state);
    return 0;
}

static void an_address_is_an_address(void **state)
{
    (void)state;
    const struct sockaddr none = {.sa_family = AF_UNIX};
    assert_int_equal(visitors_address(&none), 0);
    assert_int_not_equal(address4("10.0.0.1"), 0);
    assert_int_not_equal(address4("10.0.0.1"), address4("10.0.0.2"));
    assert_int_equal(address4("10.0.0.1"), address6("::ffff:10.0.0.1"));
    assert_int_equal(address6("2001:db8::1"), address6("2001:db8::2"));
    assert_int_not_equal(address6("2001:db8::1"), address6("2001:db8:0:1::1"));
    assert_int_not_equal(address6("::1"), 0);
}

static void handshakes_are_counted_by_address_and_second(void **state)
{
    struct visitors *visitors = *state;
    uint64_t one = address4("10.0.0.1");
    uint64_t other = address4("10.0.0.2");
    for (unsigned i = 0; i < 5; i++) {
        assert_true(visitors_may_shake(visitors, one, 5, 77));
    }
    assert_false(visitors_may_shake(visitors, one, 5, 77));
    assert_true(visitors_may_shake(visitors, one, 0, 77)); /* no limit */
    assert_true(visitors_may_shake(visitors, 0, 5, 77));   /* no address */
    unsigned others = 0; /* their place in the table is random: most of them do not share that of the first */
    for (unsigned i = 0; i < 64; i++) {
        others += visitors_may_shake(visitors, other + i, 5, 77);
    }
    assert_in_range(others, 50, 64);
    assert_true(visitors_may_shake(visitors, one, 5, 78));
}

static void sessions_are_counted_by_address(void **state)
{
    struct visitors *visitors = *state;
    uint64_t one = address4("10.0.0.1");
    uint64_t other = address4("10.0.0.2");
    for (int i = 0; i < 3; i++)
        assert_true(visitors_enter(visitors, one, 3));
    assert_false(visitors_enter(visitors, one, 3));
    assert_true(visitors_enter(visitors, other, 3));
    assert_true(visitors_enter(visitors, one, 0));
    visitors_leave(visitors, one);
    visitors_leave(visitors, one);
    assert_true(visitors_enter(visitors, one, 3));
    assert_false(visitors_enter(visitors, one, 3));
    for (int i = 0; i < 3; i++)
        visitors_leave(visitors, one);
    visitors_leave(visitors, one); /* nobody is there: nothing happens */
    assert_true(visitors_enter(visitors, one, 2));
    assert_true(visitors_enter(visitors, one, 2));
    assert_true(visitors_enter_unbound(visitors, one, 1));
    assert_false(visitors_enter_unbound(visitors, one, 1));
    assert_true(visitors_enter_unbound(visitors, one, 2));
    visitors_bound(visitors, one);
    assert_false(visitors_enter_unbound(visitors, one, 1));
    visitors_bound(visitors, one);
    visitors_bound(visitors, one); /* nobody is left: nothing happens */
    assert_true(visitors_enter_unbound(visitors, one, 1));
    assert_false(visitors_enter_unbound(visitors, address4("10.0.0.3"), 1)); /* it has no session at all */
    visitors_leave(visitors, one);
    visitors_leave(visitors, one);
    assert_true(visitors_enter(visitors, one, 1));
    for (int i = 0; i < 100; i++)
        assert_true(visitors_enter(visitors, 0, 1)); /* no address, no limit */
}

static uint64_t pair_of(struct visitors *visitors, const char *address, const char *system_id)
{
    return visitors_pair(visitors, address4(address), (const uint8_t *)system_id, strlen(system_id));
}

static void wrong(struct visitors *visitors, uint64_t pair, uint64_t now)
{
    assert_true(visitors_may_try(visitors, pair, &pace, now));
    visitors_wrong(visitors, pair, &pace, now);
}

static void wrong_passwords_cost_pauses_that_double(void **state)
{
    struct visitors *visitors = *state;
    uint64_t pair = pair_of(visitors, "10.0.0.1", "acme");
    uint64_t now = 100 * SECOND;
    for (int i = 0; i < 3; i++)
        wrong(visitors, pair, now);
    static const uint64_t pauses[] = {1, 2, 4, 8, 8, 8};
    for (size_t i = 0; i < sizeof pauses / sizeof pauses[0]; i++) {
        wrong(visitors, pair, now);
        assert_false(visitors_may_try(visitors, pair, &pace, now + pauses[i] * SECOND - 1));
        now += pauses[i] * SECOND;
    }
}

static void others_do_not_wait(void **state)
{
    struct visitors *visitors = *state;
    uint64_t pair = pair_of(visitors, "10.0.0.1", "acme");
    for (int i = 0; i < 4; i++)
        wrong(visitors, pair, SECOND);
    assert_false(visitors_may_try(visitors, pair, &pace, SECOND));
    assert_true(visitors_may_try(visitors, pair_of(visitors, "10.0.0.2", "acme"), &pace, SECOND));
    assert_true(visitors_may_try(visitors, pair_of(visitors, "10.0.0.1", "bcme"), &pace, SECOND));
}

static void many_at_a_time_are_no_way_round(void **state)
{
    struct visitors *visitors = *state;
    uint64_t pair = pair_of(visitors, "10.0.0.1", "acme");
    for (int i = 0; i < 4; i++)
        wrong(visitors, pair, SECOND);
    assert_true(visitors_may_try(visitors, pair, &pace, 3 * SECOND));
    assert_false(
        visitors_may_try(visitors, pair, &pace, 3 * SECOND)); /* before the verdict of the one above */
}

/* Each worker reads its clock once a turn, so that one is a little behind another. */
static void a_clock_that_is_behind_forgives_nothing(void **state)
{
    struct visitors *visitors = *state;
    uint64_t pair = pair_of(visitors, "10.0.0.1", "acme");
    for (unsigned i = 0; i <= pace.tries; i++) {
        visitors_wrong(visitors, pair, &pace, 10 * SECOND - i);
    }
    assert_false(visitors_may_try(visitors, pair, &pace, 11 * SECOND - 1));
    assert_true(visitors_may_try(visitors, pair, &pace, 11 * SECOND));
}

static void a_right_one_is_forgiven_and_an_old_one_forgotten(void **state)
{
    struct visitors *visitors = *state;
    uint64_t pair = pair_of(visitors, "10.0.0.1", "acme");
    for (int i = 0; i < 4; i++)
        wrong(visitors, pair, SECOND);
    visitors_right(visitors, pair);
    for (int i = 0; i < 4; i++)
        wrong(visitors, pair, SECOND);
    wrong(visitors, pair, 100 * SECOND); /* the first again */
    assert_true(visitors_may_try(visitors, pair, &pace, 100 * SECOND));
}

static void without_a_pause_nobody_waits(void **state)
{
    struct visitors *visitors = *state;
    static const struct visitors_pace never = {.tries = 0};
    uint64_t pair = pair_of(visitors, "10.0.0.1", "acme");
    for (int i = 0; i < 10; i++) {
        assert_true(visitors_may_try(visitors, pair, &never, SECOND));
        visitors_wrong(visitors, pair, &never, SECOND);
    }
}

static void a_flood_of_pairs_makes_no_other_wait(void **state)
{
    struct visitors *visitors = *state;
    char name[16];
    for (int i = 0; i < 200000; i++) {
        snprintf(name, sizeof name, "x%d", i);
        visitors_wrong(visitors, pair_of(visitors, "10.0.0.1", name), &pace, SECOND + (unsigned)i);
    }
    assert_true(visitors_may_try(visitors, pair_of(visitors, "10.0.0.9", "acme"), &pace, 2 * SECOND));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_an_address),
        cmocka_unit_test_setup_teardown(handshakes_are_counted_by_address_and_second, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sessions_are_counted_by_address, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_passwords_cost_pauses_that_double, set_up, tear_down),
        cmocka_unit_test_setup_teardown(others_do_not_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_at_a_time_are_no_way_round, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_clock_that_is_behind_forgives_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_right_one_is_forgiven_and_an_old_one_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_pause_nobody_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flood_of_pairs_makes_no_other_wait, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
