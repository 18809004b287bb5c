/* Parts of one message over a flip: all to the platform of the first one sent, as long as a leg is bound there.
 * See forward_world.h for what every one of these tests checks besides. */
#include "forward_world.h"

static const struct setup plain = {.root = ""};

enum { REFERENCE = 0x42 };

/* Sends part `number` of three, by a user data header. */
static uint32_t submit_part_of(struct peer *c, uint8_t reference, uint8_t number, const char *to)
{
    uint8_t pdu[256];
    const uint8_t text[] = {5, 0x00, 3, reference, 3, number, 'x'};
    struct smpp_message_fields fields = {.command_id = SMPP_SUBMIT_SM,
                                         .sequence_number = next_sequence(c),
                                         .source = "5001",
                                         .dest = to,
                                         .esm_class = 0x40,
                                         .text = {text, sizeof text}};
    send_pdu(c, pdu, smpp_encode_message(pdu, sizeof pdu, &fields));
    return fields.sequence_number;
}

static uint32_t submit_part(struct peer *c, uint8_t number)
{
    return submit_part_of(c, REFERENCE, number, SPARK);
}

static void expect_at(struct peer *c, unsigned link, uint32_t sequence)
{
    run();
    answer(smsc(link), take(smsc(link), SMPP_SUBMIT_SM), ESME_ROK, "id");
    run();
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_ROK);
}

static void flip(void)
{
    route("5001", "spark", "omni", ROUTE_OPEN);
    run();
}

static void expect_refused_at(struct peer *c, unsigned link, uint32_t sequence)
{
    run();
    answer(smsc(link), take(smsc(link), SMPP_SUBMIT_SM), ESME_RTHROTTLED, NULL);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_RTHROTTLED);
}

static void a_part_that_the_smsc_refused_is_tried_again_there(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    expect_at(c, SPARK_REDX, submit_part(c, 1));
    expect_refused_at(c, SPARK_REDX, submit_part(c, 2));
    expect_at(c, SPARK_REDX, submit_part(c, 3));
    flip();
    expect_refused_at(c, SPARK_REDX, submit_part(c, 2)); /* all had been sent */
    expect_at(c, SPARK_REDX, submit_part(c, 2));
    assert_int_equal(counted(counters()->multipart_followed), 2);
    expect_at(c, SPARK_OMNI, submit_part(c, 2)); /* all were accepted: another message */
    world_end();
}

/* Its outcome is unknown: what the client sends again belongs where the others are. */
static void a_part_without_an_answer_is_tried_again_there(void **state)
{
    (void)state;
    world_begin(&(struct setup){.link = "response-timeout = 2s"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t lost = submit_part(c, 2);
    run();
    struct pdu *unanswered = take(smsc(SPARK_REDX), SMPP_SUBMIT_SM);
    expect_at(c, SPARK_REDX, submit_part(c, 1));
    expect_at(c, SPARK_REDX, submit_part(c, 3));
    flip();
    pass(3 * SECOND);
    expect_answer(c, SMPP_SUBMIT_SM, lost, ESME_RSYSERR);
    expect_at(c, SPARK_REDX, submit_part(c, 2));
    answer(smsc(SPARK_REDX), unanswered, ESME_ROK, "late");
    run();
    expect_at(c, SPARK_OMNI, submit_part(c, 2));
    world_end();
}

static void parts_follow_the_first_over_a_flip(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    expect_at(c, SPARK_REDX, submit_part(c, 2)); /* out of order */
    flip();
    expect_at(c, SPARK_REDX, submit_part(c, 1));
    expect_at(c, SPARK_OMNI, submit(c, "5001", SPARK)); /* every other message goes the new way */
    expect_at(c, SPARK_OMNI, submit_part_of(c, REFERENCE + 1, 1, SPARK));
    expect_at(c, SPARK_OMNI, submit_part_of(c, REFERENCE, 1, "64271234568"));
    expect_at(c, SPARK_REDX, submit_part(c, 3));
    assert_int_equal(counted(counters()->multipart_followed), 2);
    expect_at(c, SPARK_OMNI, submit_part(c, 1)); /* all were accepted: the reference begins another message */
    assert_int_equal(counted(counters()->multipart_astray), 0);
    assert_int_equal(counted(counters()->multipart_messages), 3);
    world_end();
}

static void another_session_of_the_client_counts_too(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *a = bound(SMPP_BIND_TRANSCEIVER);
    expect_at(a, SPARK_REDX, submit_part(a, 1));
    flip();
    struct peer *b = bound(SMPP_BIND_TRANSCEIVER); /* with legs of its own to both */
    expect_at(b, SPARK_REDX, submit_part(b, 2));
    assert_int_equal(counted(counters()->multipart_followed), 1);
    world_end();
}

static void the_time_is_bounded(void **state)
{
    (void)state;
    world_begin(&(struct setup){.root = "multipart-ttl = 10s"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    expect_at(c, SPARK_REDX, submit_part(c, 1));
    flip();
    pass(8 * SECOND);
    expect_at(c, SPARK_REDX, submit_part(c, 2));
    pass(3 * SECOND);
    expect_at(c, SPARK_OMNI, submit_part(c, 3));
    world_end();
}

static void without_a_leg_to_the_first_platform_a_part_goes_by_its_route(void **state)
{
    (void)state;
    world_begin(&(struct setup){.link = "reconnect-min = 1h reconnect-max = 1h"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    expect_at(c, SPARK_REDX, submit_part(c, 1));
    flip();
    hang_up(smsc(SPARK_REDX));
    run();
    expect_at(c, SPARK_OMNI, submit_part(c, 2));
    assert_int_equal(counted(counters()->multipart_astray), 1);
    expect_at(c, SPARK_OMNI, submit_part(c, 3)); /* they stay together from there on */
    assert_int_equal(counted(counters()->multipart_astray), 1);
    world_end();
}

static void on_hold_parts_wait_and_then_follow(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    expect_at(c, SPARK_REDX, submit_part(c, 1));
    route("5001", "spark", "redx", ROUTE_HOLD);
    uint32_t second = submit_part(c, 2);
    uint32_t other =
        submit_part_of(c, REFERENCE + 1, 1, SPARK); /* a first part: by the route of its release */
    uint32_t other_second = submit_part_of(c, REFERENCE + 1, 2, SPARK);
    run();
    expect_nothing(smsc(SPARK_REDX));
    flip();
    expect_at(c, SPARK_REDX, second);
    expect_at(c, SPARK_OMNI, other);
    expect_at(c, SPARK_OMNI, other_second);
    world_end();
}

static void a_closed_route_refuses_parts(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    expect_at(c, SPARK_REDX, submit_part(c, 1));
    route("5001", "spark", "redx", ROUTE_CLOSED);
    uint32_t second = submit_part(c, 2);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, second, ESME_RMSGQFUL);
    world_end();
}

/* A part that was refused went nowhere: the next one is the first. */
static void a_part_that_was_refused_is_not_the_first(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    route("5001", "spark", "redx", ROUTE_CLOSED);
    uint32_t first = submit_part(c, 1);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, first, ESME_RMSGQFUL);
    flip();
    expect_at(c, SPARK_OMNI, submit_part(c, 2));
    expect_at(c, SPARK_OMNI, submit_part(c, 1));
    assert_int_equal(counted(counters()->multipart_followed), 0);
    world_end();
}

/* Behind messages that wait for the new leg, a part for the old one need not wait. */
static void a_part_does_not_wait_for_the_new_leg(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    expect_at(c, SPARK_REDX, submit_part(c, 1));
    world.plans[SPARK_OMNI].mood = LINK_HANGS;
    route("5001", "spark", "omni", ROUTE_OPEN);
    uint32_t waits = submit(c, "5001", SPARK);
    expect_at(c, SPARK_REDX, submit_part(c, 2));
    world.plans[SPARK_OMNI].mood = LINK_UP;
    expect_at(c, SPARK_OMNI, waits);
    world_end();
}

static void they_may_be_left_alone(void **state)
{
    (void)state;
    world_begin(&(struct setup){.root = "multipart-entries = 0"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    expect_at(c, SPARK_REDX, submit_part(c, 1));
    flip();
    expect_at(c, SPARK_OMNI, submit_part(c, 2));
    world_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_follow_the_first_over_a_flip),
        cmocka_unit_test(a_part_that_the_smsc_refused_is_tried_again_there),
        cmocka_unit_test(a_part_without_an_answer_is_tried_again_there),
        cmocka_unit_test(another_session_of_the_client_counts_too),
        cmocka_unit_test(the_time_is_bounded),
        cmocka_unit_test(without_a_leg_to_the_first_platform_a_part_goes_by_its_route),
        cmocka_unit_test(on_hold_parts_wait_and_then_follow),
        cmocka_unit_test(a_closed_route_refuses_parts),
        cmocka_unit_test(a_part_that_was_refused_is_not_the_first),
        cmocka_unit_test(a_part_does_not_wait_for_the_new_leg),
        cmocka_unit_test(they_may_be_left_alone),
    };
    return cmocka_run_group_tests(tests, be_quiet, be_done);
}
