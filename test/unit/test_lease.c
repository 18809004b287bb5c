/* The lease as main keeps it: when it is moved on, who goes on when, and what is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/lease.h"

enum { WORKERS = 2, LENGTH = 1000, TIMEOUT = 200, START = 50000, OWN = LENGTH - LENGTH / 10 };

static struct {
    struct lease lease;
    _Atomic uint64_t end;
    bool following;
    uint64_t passed[WORKERS];
    unsigned went_on[WORKERS];      /* after a stop */
    unsigned looked_again[WORKERS]; /* since the lease holds again */
    uint64_t went_on_from[WORKERS];
    const char *fenced;
    unsigned told;
} w;

static bool following(void *ctx)
{
    (void)ctx;
    return w.following;
}

static uint64_t passed(void *ctx, unsigned worker)
{
    (void)ctx;
    return w.passed[worker];
}

static void go_on(void *ctx, unsigned worker, uint64_t stopped_at)
{
    (void)ctx;
    if (stopped_at == 0) {
        w.looked_again[worker]++;
    } else {
        w.went_on[worker]++;
        w.went_on_from[worker] = stopped_at;
    }
}

static void fenced(void *ctx, const char *why)
{
    (void)ctx;
    w.fenced = why;
    w.told++;
}

static void begin(bool strict)
{
    static const struct lease_events events = {
        .following = following, .passed = passed, .go_on = go_on, .fenced = fenced};
    memset(&w, 0, sizeof w);
    w.following = true;
    w.passed[0] = w.passed[1] = 7;
    lease_begin(&w.lease, &(struct lease_setup){.length = LENGTH,
                                                .timeout = TIMEOUT,
                                                .strict = strict,
                                                .workers = WORKERS,
                                                .end = &w.end,
                                                .events = &events});
}

static uint64_t end_of_lease(void)
{
    return atomic_load(&w.end);
}

static void it_ends_before_the_entry_in_redis(void **state)
{
    (void)state;
    begin(true);
    assert_string_equal(lease_fenced(&w.lease), "lease_over"); /* until Redis is reached */
    lease_acknowledged(&w.lease, START, 7, START + 30);
    assert_int_equal(end_of_lease(), START + OWN); /* from when it was sent, not from the answer */
    assert_null(lease_fenced(&w.lease));
    assert_int_equal(w.looked_again[0] + w.looked_again[1], 2);
    assert_int_equal(lease_next(&w.lease, START + 30), START + OWN);
    lease_look(&w.lease, START + OWN - 1);
    assert_null(lease_fenced(&w.lease));
    lease_look(&w.lease, START + OWN);
    assert_string_equal(w.fenced, "lease_over");
    assert_int_equal(w.told, 2);
}

static void it_moves_on_when_every_worker_has_caught_up(void **state)
{
    (void)state;
    begin(true);
    lease_acknowledged(&w.lease, START, 8, START);
    assert_int_equal(end_of_lease(), 0);
    w.passed[0] = 8;
    lease_look(&w.lease, START + 1);
    assert_int_equal(end_of_lease(), 0);
    w.passed[1] = 9;
    lease_look(&w.lease, START + 2);
    assert_int_equal(end_of_lease(), START + OWN);
}

static void a_redis_that_is_not_followed_does_not_count(void **state)
{
    (void)state;
    begin(true);
    w.following = false;
    lease_acknowledged(&w.lease, START, 1, START); /* an older one, or of another history */
    assert_int_equal(end_of_lease(), 0);
    w.following = true;
    lease_look(&w.lease, START + 1);
    assert_int_equal(end_of_lease(), START + OWN);
}

static void an_answer_that_comes_too_late_does_not_help(void **state)
{
    (void)state;
    begin(true);
    lease_acknowledged(&w.lease, START, 7, START);
    lease_look(&w.lease, START + OWN);
    lease_acknowledged(&w.lease, START + 10, 7, START + 10 + OWN);
    assert_string_equal(lease_fenced(&w.lease), "lease_over");
    assert_int_equal(w.looked_again[0], 1); /* at the start alone */
    lease_acknowledged(&w.lease, START + 2000, 7, START + 2001);
    assert_null(lease_fenced(&w.lease));
    assert_int_equal(w.looked_again[0], 2);
}

static void serve_is_never_fenced_by_its_lease(void **state)
{
    (void)state;
    begin(false);
    assert_null(lease_fenced(&w.lease));
    lease_acknowledged(&w.lease, START, 7, START);
    lease_look(&w.lease, START + 100 * LENGTH);
    assert_null(lease_fenced(&w.lease));
    assert_int_equal(w.told + w.looked_again[0] + w.looked_again[1], 0);
    assert_int_equal(lease_next(&w.lease, START), UINT64_MAX);
}

static void who_was_stopped_waits_for_a_beat_sent_after_that(void **state)
{
    (void)state;
    for (unsigned strict = 0; strict < 2; strict++) {
        begin(strict == 1);
        lease_acknowledged(&w.lease, START, 7, START);
        lease_stopped(&w.lease, 1, START + 5000, START + 5001);
        assert_string_equal(lease_fenced(&w.lease), "stopped");
        lease_acknowledged(&w.lease, START + 4999, 7, START + 5002); /* was under way already */
        assert_int_equal(w.went_on[1], 0);
        lease_acknowledged(&w.lease, START + 5003, 8, START + 5004);
        assert_int_equal(w.went_on[1], 0); /* a flip was made meanwhile */
        w.passed[0] = 8;
        lease_look(&w.lease, START + 5005);
        assert_int_equal(w.went_on[1], 0);
        w.passed[1] = 8;
        lease_look(&w.lease, START + 5006);
        assert_int_equal(w.went_on[1], 1);
        assert_int_equal(w.went_on[0], 0);
        assert_null(lease_fenced(&w.lease));
    }
}

static void serve_gives_up_asking_and_fence_does_not(void **state)
{
    (void)state;
    begin(false);
    w.following = false;
    lease_stopped(&w.lease, 0, START, START);
    assert_int_equal(lease_next(&w.lease, START), START + TIMEOUT);
    lease_look(&w.lease, START + TIMEOUT - 1);
    assert_int_equal(w.went_on[0], 0);
    lease_look(&w.lease, START + TIMEOUT);
    assert_int_equal(w.went_on[0], 1);
    assert_int_equal(w.went_on_from[0], START);
    assert_null(lease_fenced(&w.lease));
    begin(true);
    w.following = false;
    lease_stopped(&w.lease, 0, START, START);
    lease_look(&w.lease, START + 100 * TIMEOUT);
    assert_int_equal(w.went_on[0], 0);
    assert_string_equal(lease_fenced(&w.lease), "stopped");
}

static void a_second_stop_begins_anew(void **state)
{
    (void)state;
    begin(false);
    lease_stopped(&w.lease, 0, START, START);
    lease_stopped(&w.lease, 0, START + 100, START + 100);
    lease_acknowledged(&w.lease, START + 50, 7, START + 110);
    assert_int_equal(w.went_on[0], 0);
    lease_acknowledged(&w.lease, START + 120, 7, START + 130);
    assert_int_equal(w.went_on[0], 1);
    assert_int_equal(w.went_on_from[0], START + 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_ends_before_the_entry_in_redis),
        cmocka_unit_test(it_moves_on_when_every_worker_has_caught_up),
        cmocka_unit_test(a_redis_that_is_not_followed_does_not_count),
        cmocka_unit_test(an_answer_that_comes_too_late_does_not_help),
        cmocka_unit_test(serve_is_never_fenced_by_its_lease),
        cmocka_unit_test(who_was_stopped_waits_for_a_beat_sent_after_that),
        cmocka_unit_test(serve_gives_up_asking_and_fence_does_not),
        cmocka_unit_test(a_second_stop_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
