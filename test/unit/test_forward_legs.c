/* Which legs there are and for how long: those of an open window, those that linger for what still comes, and
 * those that the operator has released. See forward_world.h for what every one of these tests checks besides. */
#include "forward_world.h"

enum { NOBODY_ELSE = RELEASED_EVERY_CLIENT };

static const struct setup one_hour = {.root = "linger = 1h linger-max = 3h"};

static unsigned link_index(unsigned link)
{
    for (size_t i = 0; i < world.bundle->config->links_count; i++) {
        if (strcmp(world.bundle->config->links[i].name, link_names[link]) == 0) {
            return world.bundle->config->links[i].index;
        }
    }
    fail();
    return 0;
}

static void move_to_omni(void)
{
    route("5001", "spark", "omni", ROUTE_OPEN);
    route("5002", "spark", "omni", ROUTE_OPEN);
    run();
}

static struct legs_released release(unsigned link, int client)
{
    worker_wake(&world.worker);
    struct legs_released sum = forward_release_legs(&world.worker, link_index(link), client);
    run();
    return sum;
}

static int account_of(const struct peer *client)
{
    return (int)client_behind(client)->account_index;
}

/* --- an open window ------------------------------------------------------------------------------------- */

static void the_leg_of_an_open_window_is_bound_before_the_flip(void **state)
{
    (void)state;
    world_begin(&one_hour);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    assert_null(smsc(SPARK_OMNI));
    route_in_window("5001", "spark", "redx", "omni");
    run();
    assert_true(smsc_is_up(SPARK_OMNI));
    assert_null(smsc(ONENZ_OMNI));
    uint32_t sequence = submit(c, "5001", SPARK); /* still the old way */
    run();
    answer(smsc(SPARK_REDX), take(smsc(SPARK_REDX), SMPP_SUBMIT_SM), ESME_ROK, "a");
    run();
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_ROK);
    /* and at once the new way */
    unsigned connects = world.plans[SPARK_OMNI].connects;
    route("5001", "spark", "omni", ROUTE_OPEN);
    sequence = submit(c, "5001", SPARK);
    run();
    assert_int_equal(world.plans[SPARK_OMNI].connects, connects);
    answer(smsc(SPARK_OMNI), take(smsc(SPARK_OMNI), SMPP_SUBMIT_SM), ESME_ROK, "b");
    run();
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_ROK);
    world_end();
}

static void the_leg_of_a_window_that_is_cancelled_lingers_and_goes(void **state)
{
    (void)state;
    world_begin(&one_hour);
    (void)bound(SMPP_BIND_TRANSCEIVER);
    route_in_window("5001", "spark", "redx", "omni");
    run();
    route("5001", "spark", "redx", ROUTE_OPEN);
    pass(3500 * SECOND);
    assert_true(smsc_is_up(SPARK_OMNI));
    pass(200 * SECOND);
    assert_false(smsc_is_up(SPARK_OMNI));
    assert_true(smsc_is_up(SPARK_REDX));
    world_end();
}

/* --- until idle ----------------------------------------------------------------------------------------- */

/* One MO or receipt comes over the leg of the platform left, and is answered. */
static void hear_from(struct peer *c, unsigned link)
{
    struct peer *s = smsc(link);
    uint32_t sequence = deliver(s, SPARK, "5001");
    run();
    answer(c, take(c, SMPP_DELIVER_SM), ESME_ROK, "");
    run();
    expect_answer(s, SMPP_DELIVER_SM, sequence, ESME_ROK);
}

static void a_leg_lingers_anew_with_what_comes_over_it(void **state)
{
    (void)state;
    world_begin(&one_hour);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    move_to_omni();
    pass(3000 * SECOND);
    hear_from(c, SPARK_REDX);
    pass(3500 * SECOND);
    assert_true(smsc_is_up(SPARK_REDX)); /* by the move alone it would have gone 2,900 s ago */
    pass(200 * SECOND);
    assert_false(smsc_is_up(SPARK_REDX));
    assert_int_equal(smsc(SPARK_REDX)->unbound, 1);
    world_end();
}

static void signs_of_life_are_no_use(void **state)
{
    (void)state;
    world_begin(&one_hour);
    (void)bound(SMPP_BIND_TRANSCEIVER);
    move_to_omni();
    for (unsigned i = 0; i < 36; i++) {
        send_header(smsc(SPARK_REDX), SMPP_ENQUIRE_LINK, ESME_ROK, next_sequence(smsc(SPARK_REDX)));
        run();
        take(smsc(SPARK_REDX), SMPP_ENQUIRE_LINK | SMPP_RESPONSE_BIT);
        pass(100 * SECOND);
    }
    pass(10 * SECOND);
    assert_false(smsc_is_up(SPARK_REDX));
    world_end();
}

static void a_busy_leg_goes_in_the_end(void **state)
{
    (void)state;
    world_begin(&one_hour);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    move_to_omni();
    for (unsigned i = 0; i < 5; i++) {
        pass(2100 * SECOND);
        hear_from(c, SPARK_REDX);
    }
    pass(250 * SECOND);
    assert_true(smsc_is_up(SPARK_REDX)); /* 10,750 s after the move */
    pass(100 * SECOND);
    assert_false(smsc_is_up(SPARK_REDX)); /* 3 h = 10,800 s */
    world_end();
}

/* --- released ------------------------------------------------------------------------------------------- */

static void a_released_leg_ends_and_stays_away(void **state)
{
    (void)state;
    world_begin(&one_hour);
    (void)bound(SMPP_BIND_TRANSCEIVER);
    move_to_omni();
    struct legs_released sum = release(SPARK_REDX, NOBODY_ELSE);
    assert_int_equal(sum.ended, 1);
    assert_int_equal(sum.needed, 0);
    assert_false(smsc_is_up(SPARK_REDX));
    assert_int_equal(smsc(SPARK_REDX)->unbound, 1);
    unsigned connects = world.plans[SPARK_REDX].connects;
    forward_review(&world.worker);
    (void)bound(SMPP_BIND_RECEIVER); /* another session of the client */
    pass(10 * SECOND);
    assert_int_equal(world.plans[SPARK_REDX].connects, connects);
    assert_true(smsc_is_up(SPARK_OMNI));
    world_end();
}

static void a_leg_that_a_route_needs_is_not_released(void **state)
{
    (void)state;
    world_begin(&one_hour);
    (void)bound(SMPP_BIND_TRANSCEIVER);
    route("5001", "spark", "omni", ROUTE_OPEN); /* 5002 stays */
    route_in_window("5001", "onenz", "redx", "omni");
    run();
    struct legs_released sum = release(SPARK_REDX, NOBODY_ELSE);
    assert_int_equal(sum.ended, 0);
    assert_int_equal(sum.needed, 1);
    sum = release(ONENZ_OMNI, NOBODY_ELSE); /* a window is about to need it */
    assert_int_equal(sum.ended, 0);
    assert_int_equal(sum.needed, 1);
    assert_true(smsc_is_up(SPARK_REDX));
    assert_true(smsc_is_up(ONENZ_OMNI));
    world_end();
}

static void a_released_leg_waits_for_what_is_in_flight(void **state)
{
    (void)state;
    world_begin(&one_hour);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t sequence = submit(c, "5001", SPARK);
    run();
    const struct pdu *message = take(smsc(SPARK_REDX), SMPP_SUBMIT_SM);
    move_to_omni();
    assert_int_equal(release(SPARK_REDX, NOBODY_ELSE).ended, 1);
    pass(SECOND);
    assert_true(smsc_is_up(SPARK_REDX));
    answer(smsc(SPARK_REDX), message, ESME_ROK, "late");
    run();
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_ROK);
    assert_false(smsc_is_up(SPARK_REDX));
    world_end();
}

static void a_release_may_be_one_clients(void **state)
{
    (void)state;
    world_begin(&one_hour);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    move_to_omni();
    int other = account_of(c) + 1;
    assert_int_equal(release(SPARK_REDX, other).ended, 0);
    assert_true(smsc_is_up(SPARK_REDX));
    assert_int_equal(release(SPARK_REDX, account_of(c)).ended, 1);
    assert_false(smsc_is_up(SPARK_REDX));
    world_end();
}

static void a_route_that_leaves_later_lingers_again(void **state)
{
    (void)state;
    world_begin(&one_hour);
    (void)bound(SMPP_BIND_TRANSCEIVER);
    move_to_omni();
    assert_int_equal(release(SPARK_REDX, NOBODY_ELSE).ended, 1);
    pass(10 * SECOND);
    route("5001", "spark", "redx", ROUTE_OPEN); /* back */
    pass(10 * SECOND);
    assert_true(smsc_is_up(SPARK_REDX));
    route("5001", "spark", "omni", ROUTE_OPEN);
    pass(10 * SECOND);
    assert_true(smsc_is_up(SPARK_REDX));
    world_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_leg_of_an_open_window_is_bound_before_the_flip),
        cmocka_unit_test(the_leg_of_a_window_that_is_cancelled_lingers_and_goes),
        cmocka_unit_test(a_leg_lingers_anew_with_what_comes_over_it),
        cmocka_unit_test(signs_of_life_are_no_use),
        cmocka_unit_test(a_busy_leg_goes_in_the_end),
        cmocka_unit_test(a_released_leg_ends_and_stays_away),
        cmocka_unit_test(a_leg_that_a_route_needs_is_not_released),
        cmocka_unit_test(a_released_leg_waits_for_what_is_in_flight),
        cmocka_unit_test(a_release_may_be_one_clients),
        cmocka_unit_test(a_route_that_leaves_later_lingers_again),
    };
    return cmocka_run_group_tests(tests, be_quiet, be_done);
}
