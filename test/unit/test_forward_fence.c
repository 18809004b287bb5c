/* The fence at a worker: messages of a lease that is over, and of an instance that was stopped. See
 * forward_world.h for what every one of these tests checks besides; lease.c, which says when the fence is
 * lifted, has a test of its own. */
#include "forward_world.h"

enum { LEASE_S = 10 };
#define LEASE (LEASE_S * SECOND)

static const struct setup plain = {.root = ""};

static struct {
    unsigned stops;
    uint64_t gap;
} told;

static void on_stopped(struct worker *w, uint64_t gap)
{
    told.stops++;
    told.gap = gap;
    forward_withdraw(w);
}

static void lease_until(uint64_t end)
{
    atomic_store(&world.shared->lease_end, end);
}

static void begin(bool strict)
{
    memset(&told, 0, sizeof told);
    world_begin(&plain);
    fence_begin(&world.worker, LEASE, strict, on_stopped);
    lease_until(world_time + LEASE);
}

/* Nobody runs for a while; the first to do so afterwards is whoever looks at what has come. */
static void stop_for(uint64_t ns)
{
    world_time += ns;
}

static void go_on(void)
{
    worker_wake(&world.worker);
    (void)fence_caught_up(&world.worker, world.worker.fence.stopped_at);
    forward_release(&world.worker);
    run();
}

static void answer_next(struct peer *s)
{
    answer(s, take(s, SMPP_SUBMIT_SM), ESME_ROK, "id");
    run();
}

static void through(struct peer *c, unsigned link)
{
    uint32_t sequence = submit(c, "5001", SPARK);
    run();
    answer_next(smsc(link));
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_ROK);
}

static void mo_passes(struct peer *c)
{
    struct peer *s = smsc(SPARK_REDX);
    uint32_t sequence = deliver(s, SPARK, "5001");
    run();
    answer(c, take(c, SMPP_DELIVER_SM), ESME_ROK, "");
    run();
    expect_answer(s, SMPP_DELIVER_SM, sequence, ESME_ROK);
}

/* --- the lease ------------------------------------------------------------------------------------------ */

static void when_the_lease_is_over_mt_wait_and_are_refused(void **state)
{
    (void)state;
    begin(true);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    through(c, SPARK_REDX);
    uint32_t before = submit(c, "5001", SPARK);
    run();
    const struct pdu *in_flight = take(smsc(SPARK_REDX), SMPP_SUBMIT_SM);
    lease_until(world_time + 1);
    pass(MS);
    uint32_t sequence = submit(c, "5001", SPARK);
    run();
    expect_nothing(smsc(SPARK_REDX));
    mo_passes(c);
    answer(smsc(SPARK_REDX), in_flight, ESME_ROK, "late"); /* so do answers */
    run();
    expect_answer(c, SMPP_SUBMIT_SM, before, ESME_ROK);
    pass(2 * SECOND);
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_RMSGQFUL);
    assert_int_equal(counted(counters()->refused[REFUSED_FENCED]), 1);
    assert_int_equal(counted(counters()->waited[WAIT_FENCE][WAITED_EXPIRED]), 1);
    assert_int_equal(told.stops, 0);
    world_end();
}

static void when_the_lease_holds_again_they_go_on(void **state)
{
    (void)state;
    begin(true);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    lease_until(world_time);
    uint32_t sequence = submit(c, "5001", SPARK);
    pass(SECOND);
    expect_nothing(smsc(SPARK_REDX));
    route("5001", "spark", "omni", ROUTE_OPEN); /* it catches up first */
    run();
    assert_int_equal(waiting(smsc(SPARK_OMNI)), 0);
    lease_until(world_time + LEASE);
    go_on();
    answer_next(smsc(SPARK_OMNI));
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_ROK);
    assert_int_equal(counted(counters()->waited[WAIT_FENCE][WAITED_RELEASED]), 1);
    through(c, SPARK_OMNI);
    world_end();
}

static void serve_goes_on_without_a_lease(void **state)
{
    (void)state;
    begin(false);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    lease_until(world_time + SECOND);
    pass(5 * SECOND); /* it runs all the time: no stop */
    through(c, SPARK_REDX);
    assert_int_equal(told.stops, 0);
    world_end();
}

/* What an SMSC has not read when the lease ends must not leave later. */
static void what_has_not_left_is_taken_back(void **state)
{
    (void)state;
    begin(true);
    world.plans[SPARK_REDX].capacity = 60;
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t sent[20];
    world.plans[SPARK_REDX].mood = LINK_HANGS;
    for (unsigned i = 0; i < 20; i++) {
        sent[i] = submit(c, "5001", SPARK);
    }
    run();
    assert_true(counted(link_counters(SPARK_REDX)->window_used) > 0);
    unsigned long in_flight = counted(link_counters(SPARK_REDX)->window_used);
    lease_until(world_time);
    worker_wake(&world.worker);
    forward_withdraw(&world.worker);
    world.plans[SPARK_REDX].mood = LINK_UP;
    smsc(SPARK_REDX)->careless = true;
    run();
    for (unsigned long i = 0; i < in_flight; i++) {
        expect_answer(c, SMPP_SUBMIT_SM, sent[i], ESME_RSYSERR);
    }
    assert_int_equal(counted(counters()->refused[REFUSED_LEG_LOST]), in_flight);
    pass(2 * SECOND);
    for (unsigned long i = in_flight; i < 20; i++) {
        expect_answer(c, SMPP_SUBMIT_SM, sent[i], ESME_RMSGQFUL);
    }
    world_end();
}

/* --- stopped -------------------------------------------------------------------------------------------- */

static void what_came_while_it_was_stopped_waits(void **state)
{
    (void)state;
    for (unsigned strict = 0; strict < 2; strict++) {
        begin(strict == 1);
        struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
        through(c, SPARK_REDX);
        uint32_t sequence = submit(c, "5001", SPARK); /* lies in the socket */
        stop_for(LEASE + SECOND);
        run();
        assert_int_equal(told.stops, 1);
        assert_true(told.gap >= LEASE);
        assert_int_equal(counted(counters()->stops), 1);
        expect_nothing(smsc(SPARK_REDX));
        mo_passes(c);
        route("5001", "spark", "omni", ROUTE_OPEN);
        run();
        lease_until(world_time + LEASE);
        go_on();
        expect_nothing(smsc(SPARK_REDX));
        answer_next(smsc(SPARK_OMNI));
        expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_ROK);
        through(c, SPARK_OMNI);
        world_end();
    }
}

/* A stop that is shorter than the lease, but long enough for it to run out. */
static void a_stop_in_which_the_lease_ran_out_counts(void **state)
{
    (void)state;
    begin(false);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    lease_until(world_time + 8 * SECOND);
    stop_for(9 * SECOND);
    uint32_t sequence = submit(c, "5001", SPARK);
    run();
    assert_int_equal(told.stops, 1);
    expect_nothing(smsc(SPARK_REDX));
    go_on();
    answer_next(smsc(SPARK_REDX));
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_ROK);
    world_end();
}

static void a_pause_within_the_lease_does_not(void **state)
{
    (void)state;
    begin(false);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    lease_until(world_time + 9 * SECOND);
    stop_for(8 * SECOND);
    through(c, SPARK_REDX);
    lease_until(world_time - SECOND); /* over already, as without Redis */
    stop_for(6 * SECOND);
    through(c, SPARK_REDX);
    assert_int_equal(told.stops, 0);
    world_end();
}

static void what_waits_for_a_stop_is_refused_after_the_budget(void **state)
{
    (void)state;
    begin(false);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    stop_for(LEASE + SECOND);
    uint32_t sequence = submit(c, "5001", SPARK);
    pass(2 * SECOND);
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_RMSGQFUL);
    assert_int_equal(counted(counters()->refused[REFUSED_FENCED]), 1);
    world_end();
}

static void a_word_about_an_earlier_stop_lifts_nothing(void **state)
{
    (void)state;
    begin(false);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    stop_for(LEASE + SECOND);
    run();
    uint64_t first = world.worker.fence.stopped_at;
    stop_for(LEASE + SECOND);
    run();
    assert_int_equal(told.stops, 2);
    assert_false(fence_caught_up(&world.worker, first));
    uint32_t sequence = submit(c, "5001", SPARK);
    run();
    expect_nothing(smsc(SPARK_REDX));
    go_on();
    answer_next(smsc(SPARK_REDX));
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_ROK);
    assert_false(fence_caught_up(&world.worker, 0));
    world_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(when_the_lease_is_over_mt_wait_and_are_refused),
        cmocka_unit_test(when_the_lease_holds_again_they_go_on),
        cmocka_unit_test(serve_goes_on_without_a_lease),
        cmocka_unit_test(what_has_not_left_is_taken_back),
        cmocka_unit_test(what_came_while_it_was_stopped_waits),
        cmocka_unit_test(a_stop_in_which_the_lease_ran_out_counts),
        cmocka_unit_test(a_pause_within_the_lease_does_not),
        cmocka_unit_test(what_waits_for_a_stop_is_refused_after_the_budget),
        cmocka_unit_test(a_word_about_an_earlier_stop_lifts_nothing),
    };
    return cmocka_run_group_tests(tests, be_quiet, be_done);
}
