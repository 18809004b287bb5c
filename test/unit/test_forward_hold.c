/* What is kept back: for what, how much in all, what becomes of it and how it is counted; and MO while a route
 * is on hold. See forward_world.h for what every one of these tests checks besides; the order of what waits is
 * in test_forward.c. */
#include "forward_world.h"

static const struct setup plain = {.root = ""};

static unsigned long waited(enum wait_reason reason, enum wait_outcome outcome)
{
    return counted(counters()->waited[reason][outcome]);
}

static void answer_next(struct peer *s)
{
    answer(s, take(s, SMPP_SUBMIT_SM), ESME_ROK, "id");
    run();
}

/* All outcomes that were counted, so that none is counted twice or for another reason. */
static unsigned long waited_in_all(void)
{
    unsigned long sum = 0;
    for (unsigned reason = 0; reason < WAIT_REASON_COUNT; reason++) {
        for (unsigned outcome = 0; outcome < WAIT_OUTCOME_COUNT; outcome++) {
            sum += waited((enum wait_reason)reason, (enum wait_outcome)outcome);
        }
    }
    return sum;
}

/* --- what became of it ---------------------------------------------------------------------------------- */

static void released_and_expired_are_told_by_what_they_waited_for(void **state)
{
    (void)state;
    world_begin(&(struct setup){.link = "window = 1"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t first = submit(c, "5001", SPARK);
    uint32_t second = submit(c, "5001", SPARK); /* for the window */
    route("5002", "spark", "redx", ROUTE_HOLD);
    uint32_t third = submit(c, "5002", ONENZ);
    run();
    route("5002", "onenz", "redx", ROUTE_HOLD);
    uint32_t held = submit(c, "5002", SPARK); /* for the route */
    run();
    answer_next(smsc(SPARK_REDX));
    expect_answer(c, SMPP_SUBMIT_SM, first, ESME_ROK);
    answer_next(smsc(SPARK_REDX));
    expect_answer(c, SMPP_SUBMIT_SM, second, ESME_ROK);
    answer_next(smsc(ONENZ_REDX));
    expect_answer(c, SMPP_SUBMIT_SM, third, ESME_ROK);
    assert_int_equal(waited(WAIT_WINDOW, WAITED_RELEASED), 1);
    pass(2 * SECOND);
    expect_answer(c, SMPP_SUBMIT_SM, held, ESME_RMSGQFUL);
    assert_int_equal(waited(WAIT_ROUTE, WAITED_EXPIRED), 1);
    assert_int_equal(waited_in_all(), 2);
    world_end();
}

/* A flip to a link whose leg is not bound yet holds by itself; the client's other carriers flow. */
static void a_flip_to_an_unbound_leg_holds_and_others_flow(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    world.plans[SPARK_OMNI].mood = LINK_HANGS;
    route("5001", "spark", "omni", ROUTE_OPEN);
    uint32_t held = submit(c, "5001", SPARK);
    uint32_t other = submit(c, "5001", ONENZ);
    pass(SECOND);
    answer_next(smsc(ONENZ_REDX));
    expect_answer(c, SMPP_SUBMIT_SM, other, ESME_ROK);
    expect_nothing(c);
    world.plans[SPARK_OMNI].mood = LINK_UP;
    run();
    answer_next(smsc(SPARK_OMNI));
    expect_answer(c, SMPP_SUBMIT_SM, held, ESME_ROK);
    assert_int_equal(waited(WAIT_LEG, WAITED_RELEASED), 1);
    world_end();
}

static void a_flip_to_a_leg_that_never_binds_refuses_after_the_budget(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    world.plans[SPARK_OMNI].bind_silent = true;
    route("5001", "spark", "omni", ROUTE_OPEN);
    uint32_t held = submit(c, "5001", SPARK);
    pass(1400 * MS);
    expect_nothing(c);
    pass(200 * MS);
    expect_answer(c, SMPP_SUBMIT_SM, held, ESME_RMSGQFUL);
    assert_int_equal(waited(WAIT_LEG, WAITED_EXPIRED), 1);
    assert_int_equal(counted(counters()->refused[REFUSED_HOLD_EXPIRED]), 1);
    world_end();
}

static void a_route_closed_meanwhile_refuses_what_waited(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    route("5001", "spark", "redx", ROUTE_HOLD);
    uint32_t held = submit(c, "5001", SPARK);
    run();
    route("5001", "spark", "redx", ROUTE_CLOSED);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, held, ESME_RMSGQFUL);
    assert_int_equal(waited(WAIT_ROUTE, WAITED_REFUSED), 1);
    assert_int_equal(counted(counters()->refused[REFUSED_CLOSED]), 1);
    world_end();
}

static void a_session_that_goes_takes_what_waited_with_it(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    route("5001", "spark", "redx", ROUTE_HOLD);
    submit(c, "5001", SPARK);
    submit(c, "5001", SPARK);
    run();
    hang_up(c);
    run();
    assert_int_equal(waited(WAIT_ROUTE, WAITED_SESSION_GONE), 2);
    assert_int_equal(atomic_load(&world.shared->waiting), 0);
    assert_int_equal(atomic_load(&world.shared->waiting_bytes), 0);
    route("5001", "spark", "redx", ROUTE_OPEN);
    run();
    expect_nothing(smsc(SPARK_REDX));
    world_end();
}

static void the_end_refuses_what_waits(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    route("5001", "spark", "redx", ROUTE_HOLD);
    uint32_t held = submit(c, "5001", SPARK);
    run();
    worker_wake(&world.worker);
    forward_end_all(&world.worker);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, held, ESME_RMSGQFUL);
    assert_int_equal(waited(WAIT_ROUTE, WAITED_SHUTDOWN), 1);
    world_end();
}

/* --- how much ------------------------------------------------------------------------------------------- */

static void all_sessions_together_are_limited_in_count(void **state)
{
    (void)state;
    world_begin(&(struct setup){.root = "max-waiting = 3"});
    struct peer *a = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *b = bound(SMPP_BIND_TRANSCEIVER);
    route("5001", "spark", "redx", ROUTE_HOLD);
    uint32_t kept[3] = {submit(a, "5001", SPARK), submit(a, "5001", SPARK), 0};
    run();
    kept[2] = submit(b, "5001", SPARK);
    run();
    uint32_t beyond = submit(b, "5001", SPARK);
    run();
    expect_answer(b, SMPP_SUBMIT_SM, beyond, ESME_RMSGQFUL);
    expect_nothing(a);
    assert_int_equal(counted(counters()->refused[REFUSED_WAIT_FULL_ALL]), 1);
    assert_int_equal(waited(WAIT_ROUTE, WAITED_FULL_ALL), 1);
    assert_int_equal(atomic_load(&world.shared->waiting), 3);
    pass(2 * SECOND); /* there is room again */
    expect_answer(a, SMPP_SUBMIT_SM, kept[0], ESME_RMSGQFUL);
    expect_answer(a, SMPP_SUBMIT_SM, kept[1], ESME_RMSGQFUL);
    expect_answer(b, SMPP_SUBMIT_SM, kept[2], ESME_RMSGQFUL);
    uint32_t again = submit(b, "5001", SPARK);
    pass(SECOND);
    expect_nothing(b);
    pass(SECOND);
    expect_answer(b, SMPP_SUBMIT_SM, again, ESME_RMSGQFUL);
    assert_int_equal(waited(WAIT_ROUTE, WAITED_EXPIRED), 4);
    assert_int_equal(atomic_load(&world.shared->waiting), 0);
    world_end();
}

static void all_sessions_together_are_limited_in_octets(void **state)
{
    (void)state;
    world_begin(&(struct setup){.root = "max-waiting-bytes = 100"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    route("5001", "spark", "redx", ROUTE_HOLD);
    uint32_t kept = submit(c, "5001", SPARK);
    uint32_t beyond = submit(c, "5001", SPARK);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, beyond, ESME_RMSGQFUL);
    assert_int_equal(waited(WAIT_ROUTE, WAITED_FULL_ALL), 1);
    pass(2 * SECOND);
    expect_answer(c, SMPP_SUBMIT_SM, kept, ESME_RMSGQFUL);
    assert_int_equal(atomic_load(&world.shared->waiting_bytes), 0);
    world_end();
}

static void the_sessions_own_limit_is_told_apart(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "wait-count = 1"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    route("5001", "spark", "redx", ROUTE_HOLD);
    uint32_t kept = submit(c, "5001", SPARK);
    uint32_t beyond = submit(c, "5001", SPARK);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, beyond, ESME_RMSGQFUL);
    assert_int_equal(waited(WAIT_ROUTE, WAITED_FULL), 1);
    assert_int_equal(waited(WAIT_ROUTE, WAITED_FULL_ALL), 0);
    assert_int_equal(atomic_load(&world.shared->waiting), 1);
    pass(2 * SECOND);
    expect_answer(c, SMPP_SUBMIT_SM, kept, ESME_RMSGQFUL);
    world_end();
}

/* --- MO ------------------------------------------------------------------------------------------------- */

static const struct setup mo_refused = {.spark = "mo-on-hold = \"refuse\""};

static void mo_of_a_route_on_hold_passes_by_default(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    route("5001", "spark", "redx", ROUTE_HOLD);
    uint32_t sequence = deliver(smsc(SPARK_REDX), SPARK, "5001");
    run();
    answer(c, take(c, SMPP_DELIVER_SM), ESME_ROK, "");
    run();
    expect_answer(smsc(SPARK_REDX), SMPP_DELIVER_SM, sequence, ESME_ROK);
    world_end();
}

static void mo_of_a_route_not_open_is_refused_where_the_carrier_says_so(void **state)
{
    (void)state;
    world_begin(&mo_refused);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    static const enum route_state states[] = {ROUTE_HOLD, ROUTE_CLOSED};
    for (unsigned i = 0; i < 2; i++) {
        route("5001", "spark", "redx", states[i]);
        route("5001", "onenz", "redx", states[i]);
        uint32_t refused = deliver(smsc(SPARK_REDX), SPARK, "5001");
        uint32_t other = deliver(smsc(SPARK_REDX), SPARK, "5002"); /* another shortcode */
        uint32_t onenz = deliver(smsc(ONENZ_REDX), ONENZ, "5001"); /* another carrier: it passes them */
        run();
        expect_answer(smsc(SPARK_REDX), SMPP_DELIVER_SM, refused, ESME_RSYSERR);
        answer(c, take(c, SMPP_DELIVER_SM), ESME_ROK, "");
        answer(c, take(c, SMPP_DELIVER_SM), ESME_ROK, "");
        run();
        expect_answer(smsc(SPARK_REDX), SMPP_DELIVER_SM, other, ESME_ROK);
        expect_answer(smsc(ONENZ_REDX), SMPP_DELIVER_SM, onenz, ESME_ROK);
    }
    assert_int_equal(counted(counters()->refused[REFUSED_MO_ON_HOLD]), 2);
    route("5001", "spark", "redx", ROUTE_OPEN);
    uint32_t open = deliver(smsc(SPARK_REDX), SPARK, "5001");
    run();
    answer(c, take(c, SMPP_DELIVER_SM), ESME_ROK, "");
    run();
    expect_answer(smsc(SPARK_REDX), SMPP_DELIVER_SM, open, ESME_ROK);
    world_end();
}

static void a_receipt_passes_whatever_the_route_says(void **state)
{
    (void)state;
    world_begin(&mo_refused);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    uint8_t pdu[256];
    route("5001", "spark", "redx", ROUTE_CLOSED);
    struct smpp_message_fields fields = {.command_id = SMPP_DELIVER_SM,
                                         .sequence_number = next_sequence(s),
                                         .source = SPARK,
                                         .dest = "5001",
                                         .esm_class = 0x04,
                                         .text = {(const uint8_t *)"id:1 stat:DELIVRD", 17}};
    send_pdu(s, pdu, smpp_encode_message(pdu, sizeof pdu, &fields));
    run();
    answer(c, take(c, SMPP_DELIVER_SM), ESME_ROK, "");
    run();
    expect_answer(s, SMPP_DELIVER_SM, fields.sequence_number, ESME_ROK);
    assert_int_equal(counted(counters()->refused[REFUSED_MO_ON_HOLD]), 0);
    world_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(released_and_expired_are_told_by_what_they_waited_for),
        cmocka_unit_test(a_flip_to_an_unbound_leg_holds_and_others_flow),
        cmocka_unit_test(a_flip_to_a_leg_that_never_binds_refuses_after_the_budget),
        cmocka_unit_test(a_route_closed_meanwhile_refuses_what_waited),
        cmocka_unit_test(a_session_that_goes_takes_what_waited_with_it),
        cmocka_unit_test(the_end_refuses_what_waits),
        cmocka_unit_test(all_sessions_together_are_limited_in_count),
        cmocka_unit_test(all_sessions_together_are_limited_in_octets),
        cmocka_unit_test(the_sessions_own_limit_is_told_apart),
        cmocka_unit_test(mo_of_a_route_on_hold_passes_by_default),
        cmocka_unit_test(mo_of_a_route_not_open_is_refused_where_the_carrier_says_so),
        cmocka_unit_test(a_receipt_passes_whatever_the_route_says),
    };
    return cmocka_run_group_tests(tests, be_quiet, be_done);
}
