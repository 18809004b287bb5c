/* The way of a message from a client to an SMSC and of its answer back: which legs there are, which way is
 * taken, what waits, what a flip does, what is left when a leg dies. See forward_world.h for what every one
 * of these tests checks besides. MO, ends, limits and timers are in test_forward_sessions.c. */
#include "forward_world.h"

static const struct setup plain = {.root = ""};

/* --- bind ------------------------------------------------------------------------------------------------
 */

static void bind_of_each_type_is_repeated_upstream(void **state)
{
    (void)state;
    static const uint32_t types[] = {SMPP_BIND_TRANSMITTER, SMPP_BIND_RECEIVER, SMPP_BIND_TRANSCEIVER};
    for (unsigned i = 0; i < 3; i++) {
        world_begin(&plain);
        (void)bound(types[i]);
        const struct pdu *bind = world.plans[SPARK_REDX].bind;
        struct smpp_bind_view view;
        assert_int_equal(bind->id, types[i]);
        assert_true(smpp_view_bind(bind->bytes, bind->len, &view));
        assert_memory_equal(view.system_id.p, "us", 3);
        assert_memory_equal(view.password.p, "pw", 3);
        assert_memory_equal(view.range.digits.p, "50..", 5); /* what the client sent */
        assert_int_equal(view.range.ton, 1);
        assert_int_equal(view.range.npi, 2);
        world_end();
    }
}

static void bind_gets_legs_that_its_routes_need(void **state)
{
    (void)state;
    world_begin(&plain);
    (void)bound(SMPP_BIND_TRANSCEIVER);
    assert_true(smsc_is_up(SPARK_REDX));
    assert_true(smsc_is_up(ONENZ_REDX));
    assert_int_equal(world.plans[SPARK_OMNI].connects + world.plans[ONENZ_OMNI].connects, 0);
    world_end();
}

static void bind_of_any_shortcode_gets_all_legs(void **state)
{
    (void)state;
    world_begin(&plain);
    (void)bound_as("zeta", SMPP_BIND_TRANSCEIVER);
    for (unsigned i = 0; i < LINKS; i++) {
        assert_true(smsc_is_up(i));
    }
    world_end();
}

static void bind_keeps_the_leg_of_the_platform_left_for_its_linger(void **state)
{
    (void)state;
    world_begin(&(struct setup){.root = "linger = 1h"});
    route("5001", "spark", "omni", ROUTE_OPEN);
    route("5002", "spark", "omni", ROUTE_OPEN);
    (void)bound(SMPP_BIND_TRANSCEIVER);
    assert_true(smsc_is_up(SPARK_REDX));
    assert_true(smsc_is_up(SPARK_OMNI));
    pass(3500 * SECOND);
    assert_true(smsc_is_up(SPARK_REDX));
    pass(200 * SECOND);
    assert_false(smsc_is_up(SPARK_REDX));
    assert_int_equal(smsc(SPARK_REDX)->unbound, 1);
    assert_true(smsc_is_up(SPARK_OMNI));
    world_end();
}

static uint32_t bind_answer(struct peer *p)
{
    return take(p, SMPP_BIND_TRANSCEIVER | SMPP_RESPONSE_BIT)->status;
}

static void first_answers_when_the_first_leg_is_bound(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "bind-answer = \"first\""});
    world.plans[SPARK_REDX].mood = world.plans[ONENZ_REDX].mood = LINK_HANGS;
    struct peer *c = connect_client();
    send_bind_as(c, SMPP_BIND_TRANSCEIVER, "acme", "secret");
    pass(SECOND);
    expect_nothing(c);
    world.plans[SPARK_REDX].mood = LINK_UP;
    run();
    assert_int_equal(bind_answer(c), ESME_ROK);
    world.plans[ONENZ_REDX].mood = LINK_UP;
    run();
    assert_true(smsc_is_up(ONENZ_REDX));
    world_end();
}

static void first_is_not_put_off_by_one_that_failed(void **state)
{
    (void)state;
    world_begin(&plain);
    world.plans[SPARK_REDX].mood = LINK_HANGS;
    world.plans[ONENZ_REDX].mood = LINK_DOWN;
    struct peer *c = connect_client();
    send_bind_as(c, SMPP_BIND_TRANSCEIVER, "acme", "secret");
    run();
    expect_nothing(c);
    world.plans[SPARK_REDX].mood = LINK_UP;
    run();
    assert_int_equal(bind_answer(c), ESME_ROK);
    world_end();
}

static void all_answers_when_every_leg_has_tried(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "bind-answer = \"all\""});
    world.plans[ONENZ_REDX].mood = LINK_HANGS;
    struct peer *c = connect_client();
    send_bind_as(c, SMPP_BIND_TRANSCEIVER, "acme", "secret");
    pass(SECOND);
    expect_nothing(c);
    world.plans[ONENZ_REDX].mood = LINK_UP;
    run();
    assert_int_equal(bind_answer(c), ESME_ROK);
    world_end();
}

static void all_is_content_with_one_when_the_others_fail(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "bind-answer = \"all\""});
    world.plans[ONENZ_REDX].bind_status = ESME_RBINDFAIL;
    struct peer *c = connect_client();
    send_bind_as(c, SMPP_BIND_TRANSCEIVER, "acme", "secret");
    run();
    assert_int_equal(bind_answer(c), ESME_ROK);
    world_end();
}

static void once_answers_before_any_leg_is_bound(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "bind-answer = \"once\""});
    world.plans[SPARK_REDX].mood = world.plans[ONENZ_REDX].mood = LINK_DOWN;
    (void)bound(SMPP_BIND_TRANSCEIVER);
    world_end();
}

static void bind_without_routes_needs_no_leg(void **state)
{
    (void)state;
    world_begin(&(struct setup){.shortcodes = "\"7777\""});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t sequence = submit(c, "7777", SPARK);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_RINVSRCADR);
    assert_int_equal(counted(counters()->refused[REFUSED_NO_ROUTE]), 1);
    world_end();
}

static void no_table_is_our_fault_not_the_clients(void **state)
{
    (void)state;
    world_begin_without_table(&plain);
    struct peer *c = connect_client();
    send_bind_as(c, SMPP_BIND_TRANSCEIVER, "acme", "secret");
    run();
    assert_int_equal(bind_answer(c), ESME_RBINDFAIL);
    assert_null(c->stream);
    world_end();
}

static void no_leg_at_all_is_our_fault_not_the_clients(void **state)
{
    (void)state;
    static const uint32_t statuses[] = {ESME_RINVPASWD, ESME_RINVSYSID, ESME_RALYBND, ESME_RSYSERR};
    for (unsigned i = 0; i < 4; i++) {
        world_begin(&plain);
        world.plans[SPARK_REDX].bind_status = statuses[i];
        world.plans[ONENZ_REDX].mood = i % 2 == 0 ? LINK_DOWN : LINK_NO_MEMORY;
        struct peer *c = connect_client();
        send_bind_as(c, SMPP_BIND_TRANSCEIVER, "acme", "secret");
        run();
        assert_int_equal(bind_answer(c), ESME_RBINDFAIL);
        assert_null(c->stream);
        assert_int_equal(counted(link_counters(SPARK_REDX)->bind_failures), 1);
        world_end();
    }
}

static void wrong_credentials_and_unknown_ids_are_answered_alike(void **state)
{
    (void)state;
    static const char *const ids[] = {"acme", "nobody", ""};
    world_begin(&plain);
    for (unsigned i = 0; i < 3; i++) {
        struct peer *c = connect_client();
        send_bind_as(c, SMPP_BIND_TRANSCEIVER, ids[i], "wrong");
        run();
        assert_int_equal(bind_answer(c), ESME_RINVPASWD);
        assert_null(c->stream);
    }
    assert_int_equal(world.plans[SPARK_REDX].connects, 0);
    assert_int_equal(counted(counters()->binds_credentials), 3);
    world_end();
}

static void bind_types_and_counts_are_limited(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "bind-types = { \"transceiver\" } max-binds = 2"});
    struct peer *wrong = connect_client();
    send_bind_as(wrong, SMPP_BIND_RECEIVER, "acme", "secret");
    run();
    assert_int_equal(take(wrong, SMPP_BIND_RECEIVER | SMPP_RESPONSE_BIT)->status, ESME_RBINDFAIL);
    struct peer *first = bound(SMPP_BIND_TRANSCEIVER);
    (void)bound(SMPP_BIND_TRANSCEIVER);
    struct peer *third = connect_client();
    send_bind_as(third, SMPP_BIND_TRANSCEIVER, "acme", "secret");
    run();
    assert_int_equal(bind_answer(third), ESME_RBINDFAIL);
    hang_up(first);
    run();
    (void)bound(SMPP_BIND_TRANSCEIVER);
    world_end();
}

static void sessions_are_limited(void **state)
{
    (void)state;
    world_begin(&(struct setup){.root = "max-sessions = 3 max-unbound = 2"});
    struct peer *a = connect_client();
    assert_non_null(connect_client());
    assert_null(connect_client());
    send_bind_as(a, SMPP_BIND_TRANSCEIVER, "acme", "secret");
    run();
    assert_int_equal(bind_answer(a), ESME_ROK);
    assert_non_null(connect_client());
    assert_null(connect_client());
    assert_int_equal(counted(counters()->accept_refused), 2);
    world_end();
}

static void a_nack_to_our_bind_is_no_bind(void **state)
{
    (void)state;
    world_begin(&plain);
    world.plans[SPARK_REDX].bind_silent = world.plans[ONENZ_REDX].bind_silent = true;
    struct peer *c = connect_client();
    send_bind_as(c, SMPP_BIND_TRANSCEIVER, "acme", "secret");
    run();
    for (unsigned i = 0; i < 2; i++) {
        unsigned link = i == 0 ? SPARK_REDX : ONENZ_REDX;
        send_header(smsc(link), SMPP_GENERIC_NACK, i == 0 ? (uint32_t)ESME_ROK : (uint32_t)ESME_RINVCMDID,
                    world.plans[link].bind->sequence);
    }
    run();
    assert_int_equal(bind_answer(c), ESME_RBINDFAIL);
    world_end();
}

static void a_bind_that_is_never_answered_fails_in_time(void **state)
{
    (void)state;
    world_begin(&(struct setup){.link = "bind-timeout = 3s response-timeout = 60s"});
    world.plans[SPARK_REDX].bind_silent = world.plans[ONENZ_REDX].bind_silent = true;
    struct peer *c = connect_client();
    send_bind_as(c, SMPP_BIND_TRANSCEIVER, "acme", "secret");
    pass(2900 * MS);
    expect_nothing(c);
    pass(200 * MS);
    assert_int_equal(bind_answer(c), ESME_RBINDFAIL);
    assert_int_equal(counted(link_counters(SPARK_REDX)->bind_failures), 1);
    world_end();
}

static void a_bind_may_take_longer_than_an_answer(void **state)
{
    (void)state;
    world_begin(&(struct setup){.link = "bind-timeout = 30s response-timeout = 2s"});
    world.plans[SPARK_REDX].mood = LINK_DOWN;
    world.plans[ONENZ_REDX].bind_silent = true;
    struct peer *c = connect_client();
    send_bind_as(c, SMPP_BIND_TRANSCEIVER, "acme", "secret");
    pass(20 * SECOND);
    expect_nothing(c);
    smsc_bind(smsc(ONENZ_REDX), world.plans[ONENZ_REDX].bind);
    world.plans[ONENZ_REDX].bind_silent = false;
    smsc_bind(smsc(ONENZ_REDX), world.plans[ONENZ_REDX].bind);
    run();
    assert_int_equal(bind_answer(c), ESME_ROK);
    assert_int_equal(counted(link_counters(ONENZ_REDX)->late_responses), 0);
    world_end();
}

static void a_flip_while_binding_leaves_no_bind_unanswered(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "bind-answer = \"all\"", .root = "linger = 0s"});
    world.plans[ONENZ_REDX].bind_silent = true;
    struct peer *c = connect_client();
    send_bind_as(c, SMPP_BIND_TRANSCEIVER, "acme", "secret");
    run();
    expect_nothing(c);
    /* the leg that is awaited is needed no more */
    route("5001", "onenz", NULL, ROUTE_CLOSED);
    route("5002", "onenz", NULL, ROUTE_CLOSED);
    run();
    assert_int_equal(bind_answer(c), ESME_ROK);
    world_end();
}

static void a_reload_while_binding_leaves_no_bind_unanswered(void **state)
{
    (void)state;
    world_begin(&plain);
    world.plans[SPARK_REDX].bind_silent = world.plans[ONENZ_REDX].bind_silent = true;
    struct peer *c = connect_client();
    send_bind_as(c, SMPP_BIND_TRANSCEIVER, "acme", "secret");
    run();
    reload(&(struct setup){.without = {true, false, true, false}});
    run();
    assert_int_equal(bind_answer(c), ESME_ROK); /* no leg is needed */
    world_end();
}

static void credentials_may_be_the_clients_own_or_passed_on(void **state)
{
    (void)state;
    world_begin(&(struct setup){
        .link_of = {[SPARK_REDX] = "credentials = \"pass\"", [ONENZ_REDX] = "credentials = \"client\""},
        .client = "upstream \"onenz-redx\" { system-id = \"mine\" password = \"p1\" system-type = \"st\" }"});
    (void)bound(SMPP_BIND_TRANSCEIVER);
    struct smpp_bind_view view;
    const struct pdu *bind = world.plans[SPARK_REDX].bind;
    assert_true(smpp_view_bind(bind->bytes, bind->len, &view));
    assert_memory_equal(view.system_id.p, "acme", 5);
    assert_memory_equal(view.password.p, "secret", 7);
    bind = world.plans[ONENZ_REDX].bind;
    assert_true(smpp_view_bind(bind->bytes, bind->len, &view));
    assert_memory_equal(view.system_id.p, "mine", 5);
    assert_memory_equal(view.password.p, "p1", 3);
    assert_memory_equal(view.system_type.p, "st", 3);
    world_end();
}

/* --- MT and its answer -----------------------------------------------------------------------------------
 */

static void mt_goes_to_its_carrier_and_its_answer_back(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t spark = submit(c, "5001", SPARK);
    uint32_t onenz = submit(c, "5001", ONENZ);
    run();
    struct pdu *at_spark = take(smsc(SPARK_REDX), SMPP_SUBMIT_SM);
    struct pdu *at_onenz = take(smsc(ONENZ_REDX), SMPP_SUBMIT_SM);
    answer(smsc(ONENZ_REDX), at_onenz, ESME_ROK, "b");
    run();
    const struct pdu *resp = expect_answer(c, SMPP_SUBMIT_SM, onenz, ESME_ROK);
    assert_memory_equal(resp->bytes + 16, "b", 2);
    answer(smsc(SPARK_REDX), at_spark, ESME_RTHROTTLED, NULL);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, spark, ESME_RTHROTTLED);
    assert_int_equal(counted(link_counters(SPARK_REDX)->mt), 1);
    assert_int_equal(counted(link_counters(SPARK_REDX)->window_used), 0);
    world_end();
}

static void answers_may_come_in_any_order(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t sent[20];
    struct pdu *got[20];
    for (unsigned i = 0; i < 20; i++) {
        sent[i] = submit(c, "5001", SPARK);
    }
    run();
    for (unsigned i = 0; i < 20; i++) {
        got[i] = take(smsc(SPARK_REDX), SMPP_SUBMIT_SM);
    }
    for (unsigned i = 20; i-- > 0;) {
        char id[8];
        snprintf(id, sizeof id, "n%u", i);
        answer(smsc(SPARK_REDX), got[i], ESME_ROK, id);
    }
    run();
    for (unsigned i = 20; i-- > 0;) {
        char id[8];
        snprintf(id, sizeof id, "n%u", i);
        assert_string_equal((const char *)expect_answer(c, SMPP_SUBMIT_SM, sent[i], ESME_ROK)->bytes + 16,
                            id);
    }
    world_end();
}

static void two_sessions_with_one_sequence_number_are_not_mixed_up(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *a = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *sa = smsc(SPARK_REDX);
    struct peer *b = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *sb = smsc(SPARK_REDX);
    assert_ptr_not_equal(sa, sb); /* a leg each */
    a->next_sequence = b->next_sequence = 42;
    submit(a, "5001", SPARK);
    submit(b, "5001", SPARK);
    run();
    answer(sb, take(sb, SMPP_SUBMIT_SM), ESME_ROK, "of-b");
    answer(sa, take(sa, SMPP_SUBMIT_SM), ESME_ROK, "of-a");
    run();
    assert_string_equal((const char *)expect_answer(a, SMPP_SUBMIT_SM, 42, ESME_ROK)->bytes + 16, "of-a");
    assert_string_equal((const char *)expect_answer(b, SMPP_SUBMIT_SM, 42, ESME_ROK)->bytes + 16, "of-b");
    world_end();
}

static void a_sequence_number_used_twice_gets_two_answers(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    c->next_sequence = 0; /* not even a legal one */
    submit(c, "5001", SPARK);
    c->next_sequence = 0;
    submit(c, "5001", SPARK);
    run();
    for (unsigned i = 0; i < 2; i++) {
        answer(smsc(SPARK_REDX), take(smsc(SPARK_REDX), SMPP_SUBMIT_SM), ESME_ROK, "id");
    }
    run();
    expect_answer(c, SMPP_SUBMIT_SM, 0, ESME_ROK);
    expect_answer(c, SMPP_SUBMIT_SM, 0, ESME_ROK);
    world_end();
}

static void refusals_of_our_own(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint8_t broken[] = {0, 0, 0, 18, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 9, 'x', 'y'}; /* no address ends */
    uint32_t not_owner = submit(c, "6001", SPARK);
    uint32_t no_carrier = submit(c, "5001", "4479");
    send_pdu(c, broken, sizeof broken);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, not_owner, ESME_RINVSRCADR);
    expect_answer(c, SMPP_SUBMIT_SM, no_carrier, ESME_RINVDSTADR);
    expect_answer(c, SMPP_SUBMIT_SM, 9, ESME_RINVCMDLEN);
    assert_int_equal(counted(counters()->refused[REFUSED_NOT_OWNER]), 1);
    assert_int_equal(counted(counters()->refused[REFUSED_NO_CARRIER]), 1);
    assert_int_equal(counted(counters()->refused[REFUSED_MALFORMED]), 1);
    world_end();
}

static void a_refusal_has_the_nul_where_the_client_needs_it(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "nul-in-refusal = true"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t sequence = submit(c, "6001", SPARK);
    run();
    assert_int_equal(expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_RINVSRCADR)->len, 17);
    world_end();
}

static void an_answer_of_another_kind_is_not_the_answer(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t sequence = submit(c, "5001", SPARK);
    run();
    struct pdu *request = take(smsc(SPARK_REDX), SMPP_SUBMIT_SM);
    send_header(smsc(SPARK_REDX), SMPP_QUERY_SM | SMPP_RESPONSE_BIT, ESME_ROK, request->sequence);
    send_header(smsc(SPARK_REDX), SMPP_ENQUIRE_LINK | SMPP_RESPONSE_BIT, ESME_ROK, request->sequence);
    send_header(smsc(SPARK_REDX), SMPP_SUBMIT_SM | SMPP_RESPONSE_BIT, ESME_ROK, 12345);
    run();
    expect_nothing(c);
    assert_int_equal(counted(counters()->stray_responses), 3);
    answer(smsc(SPARK_REDX), request, ESME_ROK, "id");
    run();
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_ROK);
    world_end();
}

static void a_nack_is_an_answer(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t sequence = submit(c, "5001", SPARK);
    run();
    send_header(smsc(SPARK_REDX), SMPP_GENERIC_NACK, ESME_RINVCMDID,
                take(smsc(SPARK_REDX), SMPP_SUBMIT_SM)->sequence);
    run();
    const struct pdu *nack = take(c, SMPP_GENERIC_NACK);
    assert_int_equal(nack->sequence, sequence);
    assert_int_equal(nack->status, ESME_RINVCMDID);
    world_end();
}

static void a_second_answer_is_dropped(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t sequence = submit(c, "5001", SPARK);
    run();
    struct pdu *request = take(smsc(SPARK_REDX), SMPP_SUBMIT_SM);
    answer(smsc(SPARK_REDX), request, ESME_ROK, "id");
    answer(smsc(SPARK_REDX), request, ESME_ROK, "id");
    run();
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_ROK);
    expect_nothing(c);
    assert_int_equal(counted(link_counters(SPARK_REDX)->late_responses), 1);
    world_end();
}

static void no_answer_in_time_is_an_unknown_outcome(void **state)
{
    (void)state;
    world_begin(&(struct setup){.link = "response-timeout = 5s", .client = "unknown-outcome = \"0x64\""});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t first = submit(c, "5001", SPARK);
    pass(2 * SECOND);
    uint32_t second = submit(c, "5001", SPARK);
    pass(2900 * MS);
    expect_nothing(c);
    pass(200 * MS);
    expect_answer(c, SMPP_SUBMIT_SM, first, ESME_RX_T_APPN);
    expect_nothing(c);
    struct pdu *late = take(smsc(SPARK_REDX), SMPP_SUBMIT_SM);
    answer(smsc(SPARK_REDX), late, ESME_ROK, "late");
    answer(smsc(SPARK_REDX), take(smsc(SPARK_REDX), SMPP_SUBMIT_SM), ESME_ROK, "id");
    run();
    expect_answer(c, SMPP_SUBMIT_SM, second, ESME_ROK);
    expect_nothing(c);
    assert_int_equal(counted(link_counters(SPARK_REDX)->late_responses), 1);
    assert_int_equal(counted(link_counters(SPARK_REDX)->timeouts), 1);
    assert_int_equal(counted(link_counters(SPARK_REDX)->unknown_outcomes), 1);
    assert_int_equal(counted(counters()->refused[REFUSED_TIMEOUT]), 1);
    world_end();
}

/* --- octets ----------------------------------------------------------------------------------------------
 */

static struct smpp_span random_tlvs(uint8_t *out, size_t cap)
{
    size_t len = 0;
    uint8_t value[600];
    for (size_t i = 0; i < sizeof value; i++) {
        value[i] = (uint8_t)dice(256);
    }
    for (unsigned i = (unsigned)dice(6); i-- > 0;) {
        len += smpp_encode_tlv(out + len, cap - len, (uint16_t)dice(0x10000), value, (uint16_t)dice(600));
    }
    return (struct smpp_span){out, (uint32_t)len};
}

/* A message of random content, what follows the addresses now and then not even readable. */
static size_t random_message(uint8_t *pdu, size_t cap, uint32_t id, uint32_t sequence, const char *from,
                             const char *to)
{
    uint8_t tlvs[4000];
    uint8_t text[255];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (uint8_t)dice(256);
    }
    struct smpp_message_fields fields = {.command_id = id,
                                         .sequence_number = sequence,
                                         .service_type = dice(2) == 0 ? "" : "CMT",
                                         .source_ton = (uint8_t)dice(8),
                                         .source = from,
                                         .dest_npi = (uint8_t)dice(256),
                                         .dest = to,
                                         .esm_class = (uint8_t)dice(256),
                                         .data_coding = (uint8_t)dice(256),
                                         .text = {text, id == SMPP_DATA_SM ? 0 : (uint32_t)dice(256)},
                                         .tlvs = random_tlvs(tlvs, sizeof tlvs)};
    size_t len = smpp_encode_message(pdu, cap, &fields);
    if (dice(4) == 0 && len + 7 < cap) { /* a tail that is no TLV */
        memset(pdu + len, (int)dice(256), 7);
        len += 7;
        smpp_put32(pdu, (uint32_t)len);
    }
    smpp_put32(pdu + 8, dice(5) == 0 ? (uint32_t)dice(1ULL << 32) : 0); /* reserved, but it occurs */
    return len;
}

/* All but the sequence_number is the same. */
static void assert_same_octets(const struct pdu *pdu, const uint8_t *sent, size_t len)
{
    assert_int_equal(pdu->len, len);
    assert_memory_equal(pdu->bytes, sent, 12);
    assert_memory_equal(pdu->bytes + 16, sent + 16, len - 16);
}

static size_t random_response(uint8_t *pdu, size_t cap, const struct pdu *request)
{
    uint8_t tlvs[4000];
    char id[65];
    size_t id_len = dice(sizeof id);
    memset(id, '7', id_len);
    id[id_len == sizeof id ? id_len - 1 : id_len] = '\0';
    size_t len = smpp_encode_id_resp(pdu, cap, request->id | SMPP_RESPONSE_BIT, request->sequence,
                                     dice(2) == 0 ? 0 : 0x400 + (uint32_t)dice(256), dice(5) == 0 ? NULL : id,
                                     random_tlvs(tlvs, sizeof tlvs));
    return len;
}

static void one_message_both_ways(struct peer *c, struct peer *s, uint32_t id)
{
    uint8_t sent[8000];
    uint8_t resp[8000];
    uint32_t sequence = next_sequence(c);
    size_t len = random_message(sent, sizeof sent, id, sequence, "5001", SPARK);
    send_pdu(c, sent, len);
    world_settle();
    struct pdu *got = take(s, id);
    assert_same_octets(got, sent, len);
    size_t resp_len = random_response(resp, sizeof resp, got);
    send_pdu(s, resp, resp_len);
    world_settle();
    const struct pdu *back = take(c, id | SMPP_RESPONSE_BIT);
    assert_same_octets(back, resp, resp_len);
    assert_int_equal(back->sequence, sequence);
}

static void octets_pass_unchanged(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    for (unsigned i = 0; i < 500; i++) {
        one_message_both_ways(c, smsc(SPARK_REDX), i % 3 == 0 ? SMPP_DATA_SM : SMPP_SUBMIT_SM);
    }
    world_end();
}

static void octets_pass_unchanged_when_they_waited(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    smsc(SPARK_REDX)->careless = true;
    for (unsigned i = 0; i < 100; i++) {
        uint8_t sent[8000];
        uint32_t sequence = next_sequence(c);
        route("5001", "spark", "redx", ROUTE_HOLD);
        size_t len = random_message(sent, sizeof sent, SMPP_SUBMIT_SM, sequence, "5001", SPARK);
        send_pdu(c, sent, len);
        world_settle();
        expect_nothing(smsc(SPARK_REDX));
        route("5001", "spark", "redx", ROUTE_OPEN);
        world_settle();
        struct pdu *got = take(smsc(SPARK_REDX), SMPP_SUBMIT_SM);
        assert_same_octets(got, sent, len);
        answer(smsc(SPARK_REDX), got, ESME_ROK, "id");
        world_settle();
        expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_ROK);
    }
    world_end();
}

static void pdus_may_be_cut_anywhere(void **state)
{
    (void)state;
    for (size_t step = 1; step <= 200; step += step < 20 ? 1 : 13) {
        world_begin(&plain);
        struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
        world.step = step;
        uint8_t sent[10][8000];
        size_t len[10];
        for (unsigned i = 0; i < 10; i++) {
            len[i] = random_message(sent[i], sizeof sent[i], SMPP_SUBMIT_SM, next_sequence(c), "5001", SPARK);
            send_pdu(c, sent[i], len[i]);
        }
        world_settle();
        for (unsigned i = 0; i < 10; i++) {
            struct pdu *got = take(smsc(SPARK_REDX), SMPP_SUBMIT_SM);
            assert_same_octets(got, sent[i], len[i]);
            answer(smsc(SPARK_REDX), got, ESME_ROK, "id");
        }
        world_settle();
        for (unsigned i = 0; i < 10; i++) {
            expect_answer(c, SMPP_SUBMIT_SM, smpp_get32(sent[i] + 12), ESME_ROK);
        }
        world_end();
    }
}

static void a_message_as_long_as_allowed_passes(void **state)
{
    (void)state;
    static uint8_t pdu[70 * 1024];
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    size_t len = message(pdu, sizeof pdu, SMPP_SUBMIT_SM, 77, "5001", SPARK);
    memset(pdu + len, 0xA5, sizeof pdu - len);
    smpp_put32(pdu, sizeof pdu);
    send_pdu(c, pdu, sizeof pdu);
    run();
    struct pdu *got = take(smsc(SPARK_REDX), SMPP_SUBMIT_SM);
    assert_same_octets(got, pdu, sizeof pdu);
    answer(smsc(SPARK_REDX), got, ESME_ROK, "id");
    run();
    expect_answer(c, SMPP_SUBMIT_SM, 77, ESME_ROK);
    smpp_put32(pdu, sizeof pdu + 1); /* one more: framing is lost */
    send_octets(c, pdu, 16);
    c->careless = true;
    owe(c, SMPP_SUBMIT_SM, 77);
    run();
    assert_int_equal(take(c, SMPP_GENERIC_NACK)->status, ESME_RINVCMDLEN);
    assert_null(c->stream);
    world_end();
}

/* --- what waits ------------------------------------------------------------------------------------------
 */

static void answer_next(struct peer *s)
{
    answer(s, take(s, SMPP_SUBMIT_SM), ESME_ROK, "id");
    run();
}

static void a_full_window_keeps_back_in_order(void **state)
{
    (void)state;
    world_begin(&(struct setup){.link = "window = 2"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    uint32_t sent[10];
    for (unsigned i = 0; i < 10; i++) {
        sent[i] = submit(c, "5001", SPARK);
    }
    run();
    assert_int_equal(waiting(s), 2);
    assert_int_equal(counted(counters()->waiting_messages), 8);
    assert_int_equal(counted(link_counters(SPARK_REDX)->window_full), 8);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(waiting(s), i < 9 ? 2 : 1);
        answer_next(s);
        expect_answer(c, SMPP_SUBMIT_SM, sent[i], ESME_ROK); /* in the order sent: the SMSC got them so */
    }
    assert_int_equal(counted(counters()->waited[WAIT_WINDOW][WAITED_RELEASED]), 8);
    world_end();
}

static void what_waits_for_a_window_is_refused_in_the_end(void **state)
{
    (void)state;
    world_begin(&(struct setup){.link = "window = 1 response-timeout = 20s",
                                .client = "hold-budget = 1s hold-refusal = \"ESME_RTHROTTLED\""});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    uint32_t first = submit(c, "5001", SPARK);
    run();
    pass(10 * SECOND); /* the second is younger than the first, which frees the window when it times out */
    uint32_t second = submit(c, "5001", SPARK);
    pass(9 * SECOND);
    expect_nothing(c);
    pass(2 * SECOND);
    expect_answer(c, SMPP_SUBMIT_SM, first, ESME_RSYSERR);
    (void)take(s, SMPP_SUBMIT_SM);
    answer_next(s);
    expect_answer(c, SMPP_SUBMIT_SM, second, ESME_ROK);
    world_end();
}

static void a_slow_carrier_pauses_the_client_but_not_what_is_under_way(void **state)
{
    (void)state;
    world_begin(&(struct setup){.link_of = {[SPARK_REDX] = "window = 1"}, .client = "wait-count = 3"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *spark = smsc(SPARK_REDX);
    struct peer *onenz = smsc(ONENZ_REDX);
    uint32_t other = submit(c, "5001", ONENZ);
    uint32_t sent[5];
    for (unsigned i = 0; i < 5; i++) {
        sent[i] = submit(c, "5001", SPARK);
    }
    uint32_t behind = submit(c, "5001", ONENZ);
    run();
    assert_int_equal(waiting(spark), 1);
    assert_int_equal(waiting(onenz), 1);                        /* the one behind is not read yet */
    assert_int_equal(counted(counters()->waiting_messages), 4); /* one beyond the limit is read already */
    assert_true(client_behind(c)->conn.paused);
    answer_next(onenz);
    expect_answer(c, SMPP_SUBMIT_SM, other, ESME_ROK);
    assert_true(client_behind(c)->conn.paused); /* the other carrier's room is not this one's */
    expect_nothing(c);
    for (unsigned i = 0; i < 5; i++) {
        answer_next(spark);
        expect_answer(c, SMPP_SUBMIT_SM, sent[i], ESME_ROK);
    }
    answer_next(onenz);
    expect_answer(c, SMPP_SUBMIT_SM, behind, ESME_ROK);
    assert_int_equal(counted(counters()->refused[REFUSED_WAIT_FULL]), 0);
    world_end();
}

static void the_clients_window_pauses_it(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "window = 4"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    uint32_t sent[50];
    for (unsigned i = 0; i < 50; i++) {
        sent[i] = submit(c, "5001", SPARK);
    }
    run();
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(waiting(s), i <= 45 ? 5 : 50 - i);
        answer_next(s);
        expect_answer(c, SMPP_SUBMIT_SM, sent[i], ESME_ROK);
    }
    assert_false(client_behind(c)->conn.paused);
    world_end();
}

static void a_paused_client_is_not_silent(void **state)
{
    (void)state;
    world_begin(
        &(struct setup){.client = "window = 1 enquire-link = 2s response-timeout = 3s inactivity = 4s",
                        .link = "response-timeout = 60s"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t sequence = submit(c, "5001", SPARK);
    uint32_t beyond = submit(c, "5001", SPARK);
    pass(50 * SECOND);
    assert_non_null(c->stream);
    answer_next(smsc(SPARK_REDX));
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_ROK);
    answer_next(smsc(SPARK_REDX));
    expect_answer(c, SMPP_SUBMIT_SM, beyond, ESME_ROK);
    world_end();
}

static void a_route_on_hold_keeps_back_for_the_budget(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "hold-budget = 1500ms"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    route("5001", "spark", "redx", ROUTE_HOLD);
    uint32_t first = submit(c, "5001", SPARK);
    uint32_t other = submit(c, "5001", ONENZ);
    run();
    expect_nothing(smsc(SPARK_REDX));
    answer_next(smsc(ONENZ_REDX));
    expect_answer(c, SMPP_SUBMIT_SM, other, ESME_ROK); /* the other carrier flows */
    pass(SECOND);
    uint32_t second = submit(c, "5001", SPARK);
    pass(450 * MS);
    expect_nothing(c);
    pass(50 * MS);
    expect_answer(c, SMPP_SUBMIT_SM, first, ESME_RMSGQFUL);
    expect_nothing(c);
    pass(1100 * MS);
    expect_answer(c, SMPP_SUBMIT_SM, second, ESME_RMSGQFUL);
    assert_int_equal(counted(counters()->refused[REFUSED_HOLD_EXPIRED]), 2);
    world_end();
}

static void a_route_on_hold_without_budget_refuses_at_once(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "hold-budget = 0s hold-refusal = \"ESME_RTHROTTLED\""});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    route("5001", "spark", "redx", ROUTE_HOLD);
    uint32_t sequence = submit(c, "5001", SPARK);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_RTHROTTLED);
    world_end();
}

static void what_is_held_is_limited_in_count_and_octets(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "wait-count = 2"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    route("5001", "spark", "redx", ROUTE_HOLD);
    uint32_t sent[3];
    for (unsigned i = 0; i < 3; i++) {
        sent[i] = submit(c, "5001", SPARK);
    }
    run();
    expect_answer(c, SMPP_SUBMIT_SM, sent[2], ESME_RMSGQFUL);
    expect_nothing(c);
    reload(&(struct setup){.client = "wait-bytes = 100"});
    uint32_t last = submit(c, "5001", SPARK);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, last, ESME_RMSGQFUL);
    assert_int_equal(counted(counters()->refused[REFUSED_WAIT_FULL]), 2);
    pass(2 * SECOND);
    expect_answer(c, SMPP_SUBMIT_SM, sent[0], ESME_RMSGQFUL);
    expect_answer(c, SMPP_SUBMIT_SM, sent[1], ESME_RMSGQFUL);
    world_end();
}

static void opening_a_route_releases_in_order(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    route("5001", "spark", "redx", ROUTE_HOLD);
    uint32_t sent[20];
    for (unsigned i = 0; i < 20; i++) {
        sent[i] = submit(c, "5001", SPARK);
    }
    run();
    route("5001", "spark", "redx", ROUTE_OPEN);
    uint32_t after = submit(c, "5001", SPARK);
    run();
    for (unsigned i = 0; i < 20; i++) {
        answer_next(smsc(SPARK_REDX));
        expect_answer(c, SMPP_SUBMIT_SM, sent[i], ESME_ROK);
    }
    answer_next(smsc(SPARK_REDX));
    expect_answer(c, SMPP_SUBMIT_SM, after, ESME_ROK);
    world_end();
}

static void one_shortcode_on_hold_does_not_stop_another(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    route("5001", "spark", "redx", ROUTE_HOLD);
    uint32_t held = submit(c, "5001", SPARK);
    uint32_t free = submit(c, "5002", SPARK);
    run();
    answer_next(smsc(SPARK_REDX));
    expect_answer(c, SMPP_SUBMIT_SM, free, ESME_ROK);
    pass(2 * SECOND);
    expect_answer(c, SMPP_SUBMIT_SM, held, ESME_RMSGQFUL);
    world_end();
}

/* While some of a route wait behind a full window, a young one finds room: it must not overtake them. */
static void nothing_overtakes_what_waits(void **state)
{
    (void)state;
    world_begin(&(struct setup){.link = "window = 1"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    route("5002", "spark", "redx", ROUTE_HOLD);
    uint32_t a = submit(c, "5001", SPARK);
    uint32_t held = submit(c, "5002", SPARK); /* at the front of the carrier's queue, but on hold */
    uint32_t b = submit(c, "5001", SPARK);
    run();
    answer(s, take(s, SMPP_SUBMIT_SM), ESME_ROK, "id");
    uint32_t d = submit(c, "5001", SPARK);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, a, ESME_ROK);
    answer_next(s);
    expect_answer(c, SMPP_SUBMIT_SM, b, ESME_ROK);
    answer_next(s);
    expect_answer(c, SMPP_SUBMIT_SM, d, ESME_ROK);
    pass(2 * SECOND);
    expect_answer(c, SMPP_SUBMIT_SM, held, ESME_RMSGQFUL);
    world_end();
}

/* --- flips -----------------------------------------------------------------------------------------------
 */

static void a_flip_sends_what_waits_the_new_way(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t before = submit(c, "5001", SPARK);
    run();
    route("5001", "spark", "redx", ROUTE_HOLD);
    uint32_t sent[5];
    for (unsigned i = 0; i < 5; i++) {
        sent[i] = submit(c, "5001", SPARK);
    }
    run();
    route("5001", "spark", "omni", ROUTE_OPEN);
    run(); /* the leg is bound, then they go */
    assert_int_equal(waiting(smsc(SPARK_REDX)), 1);
    for (unsigned i = 0; i < 5; i++) {
        answer_next(smsc(SPARK_OMNI));
        expect_answer(c, SMPP_SUBMIT_SM, sent[i], ESME_ROK);
    }
    answer_next(smsc(SPARK_REDX)); /* what the old leg carried is answered on it */
    expect_answer(c, SMPP_SUBMIT_SM, before, ESME_ROK);
    world_end();
}

static void a_flip_with_a_full_window_sends_what_waits_the_new_way(void **state)
{
    (void)state;
    world_begin(&(struct setup){.link = "window = 1"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t first = submit(c, "5001", SPARK);
    uint32_t second = submit(c, "5001", SPARK);
    run();
    route("5001", "spark", "omni", ROUTE_OPEN);
    uint32_t third = submit(c, "5001", SPARK);
    run();
    answer_next(smsc(SPARK_OMNI));
    expect_answer(c, SMPP_SUBMIT_SM, second, ESME_ROK);
    answer_next(smsc(SPARK_OMNI));
    expect_answer(c, SMPP_SUBMIT_SM, third, ESME_ROK);
    answer_next(smsc(SPARK_REDX));
    expect_answer(c, SMPP_SUBMIT_SM, first, ESME_ROK);
    world_end();
}

static void after_a_flip_nothing_goes_the_old_way(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    for (unsigned round = 0; round < 20; round++) {
        bool omni = round % 2 == 0;
        route("5001", "spark", omni ? "omni" : "redx", ROUTE_OPEN);
        assert_null(forward_holds_older(&world.worker, world.worker.version));
        unsigned old_link = omni ? SPARK_REDX : SPARK_OMNI;
        unsigned new_link = omni ? SPARK_OMNI : SPARK_REDX;
        uint32_t sequence = submit(c, "5001", SPARK);
        run();
        assert_int_equal(waiting(smsc(old_link)), 0);
        answer_next(smsc(new_link));
        expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_ROK);
    }
    world_end();
}

static void a_closed_route_refuses_at_once(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "closed-refusal = \"ESME_RSUBMITFAIL\""});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    route("5001", "spark", "redx", ROUTE_HOLD);
    uint32_t held = submit(c, "5001", SPARK);
    run();
    route("5001", "spark", "redx", ROUTE_CLOSED);
    uint32_t closed = submit(c, "5001", SPARK);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, held, ESME_RSUBMITFAIL);
    expect_answer(c, SMPP_SUBMIT_SM, closed, ESME_RSUBMITFAIL);
    assert_int_equal(counted(counters()->refused[REFUSED_CLOSED]), 2);
    world_end();
}

static void a_route_to_a_platform_without_link_is_refused(void **state)
{
    (void)state;
    world_begin(&(struct setup){.without = {[SPARK_OMNI] = true}});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    route("5001", "spark", "omni", ROUTE_OPEN);
    uint32_t sequence = submit(c, "5001", SPARK);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_RSYSERR);
    assert_int_equal(counted(counters()->refused[REFUSED_NO_LINK]), 1);
    world_end();
}

static void a_flip_to_a_link_that_is_down_refuses_after_the_budget(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "hold-budget = 1s"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    world.plans[SPARK_OMNI].mood = LINK_DOWN;
    route("5001", "spark", "omni", ROUTE_OPEN);
    uint32_t first = submit(c, "5001", SPARK);
    pass(1100 * MS);
    expect_answer(c, SMPP_SUBMIT_SM, first, ESME_RMSGQFUL);
    uint32_t second = submit(c, "5001", SPARK);
    run();
    world.plans[SPARK_OMNI].mood = LINK_UP;
    pass(SECOND);
    if (waiting(c) == 0) { /* the leg came back in time, or it did not: the jitter says */
        answer_next(smsc(SPARK_OMNI));
        expect_answer(c, SMPP_SUBMIT_SM, second, ESME_ROK);
    } else {
        expect_answer(c, SMPP_SUBMIT_SM, second, ESME_RMSGQFUL);
    }
    world_end();
}

static void a_leg_without_need_ends_after_its_answers(void **state)
{
    (void)state;
    world_begin(&(struct setup){.root = "linger = 0s"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *old = smsc(SPARK_REDX);
    uint32_t sequence = submit(c, "5001", SPARK);
    run();
    route("5001", "spark", "omni", ROUTE_OPEN);
    route("5002", "spark", "omni", ROUTE_OPEN);
    pass(SECOND);
    assert_int_equal(old->unbound, 0); /* it still owes an answer */
    answer_next(old);
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_ROK);
    assert_int_equal(old->unbound, 1);
    assert_null(old->stream);
    world_end();
}

/* --- legs that die ---------------------------------------------------------------------------------------
 */

static void a_leg_that_dies_leaves_unknown_outcomes_and_nothing_is_sent_again(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    uint32_t sent[10];
    for (unsigned i = 0; i < 10; i++) {
        sent[i] = submit(c, "5001", SPARK);
    }
    run();
    for (unsigned i = 0; i < 5; i++) {
        answer_next(s);
        expect_answer(c, SMPP_SUBMIT_SM, sent[i], ESME_ROK);
    }
    s->careless = true;
    stream_pair_cut(s->pair);
    run();
    for (unsigned i = 5; i < 10; i++) {
        expect_answer(c, SMPP_SUBMIT_SM, sent[i], ESME_RSYSERR);
    }
    assert_int_equal(counted(link_counters(SPARK_REDX)->unknown_outcomes), 5);
    assert_int_equal(counted(counters()->refused[REFUSED_LEG_LOST]), 5);
    assert_int_equal(counted(link_counters(SPARK_REDX)->losses), 1);
    pass(5 * SECOND); /* it comes back */
    assert_ptr_not_equal(smsc(SPARK_REDX), s);
    assert_true(smsc_is_up(SPARK_REDX));
    expect_nothing(smsc(SPARK_REDX));
    expect_nothing(c);
    uint32_t again = submit(c, "5001", SPARK);
    run();
    answer_next(smsc(SPARK_REDX));
    expect_answer(c, SMPP_SUBMIT_SM, again, ESME_ROK);
    world_end();
}

static void what_waits_survives_a_leg_that_comes_back_in_time(void **state)
{
    (void)state;
    world_begin(&(struct setup){.link = "window = 1 reconnect-min = 10ms", .client = "hold-budget = 5s"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    uint32_t first = submit(c, "5001", SPARK);
    uint32_t second = submit(c, "5001", SPARK);
    run();
    s->careless = true;
    stream_pair_cut(s->pair);
    pass(SECOND);
    expect_answer(c, SMPP_SUBMIT_SM, first, ESME_RSYSERR);
    answer_next(smsc(SPARK_REDX)); /* it was never sent: so it may be */
    expect_answer(c, SMPP_SUBMIT_SM, second, ESME_ROK);
    world_end();
}

static void what_waits_for_a_dead_leg_is_refused_after_the_budget(void **state)
{
    (void)state;
    world_begin(
        &(struct setup){.link = "window = 1 response-timeout = 60s", .client = "hold-budget = 1500ms"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    uint32_t first = submit(c, "5001", SPARK);
    uint32_t second = submit(c, "5001", SPARK);
    run();
    s->careless = true;
    world.plans[SPARK_REDX].mood = LINK_DOWN;
    stream_pair_cut(s->pair);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, first, ESME_RSYSERR);
    pass(1600 * MS);
    expect_answer(c, SMPP_SUBMIT_SM, second, ESME_RMSGQFUL);
    world_end();
}

static void reconnecting_waits_longer_each_time(void **state)
{
    (void)state;
    world_begin(&(struct setup){.link = "reconnect-min = 1s reconnect-max = 8s"});
    (void)bound(SMPP_BIND_TRANSCEIVER);
    world.plans[SPARK_REDX].mood = LINK_DOWN;
    stream_pair_cut(smsc(SPARK_REDX)->pair);
    unsigned before = world.plans[SPARK_REDX].connects;
    pass(16 * SECOND); /* 1, 2, 4, 8 s, each at least half */
    assert_in_range(world.plans[SPARK_REDX].connects - before, 3, 6);
    before = world.plans[SPARK_REDX].connects;
    pass(80 * SECOND);
    assert_in_range(world.plans[SPARK_REDX].connects - before, 9, 21);
    world_end();
}

static void an_smsc_that_unbinds_gets_its_answer_after_the_last_response(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    uint32_t first = submit(c, "5001", SPARK);
    run();
    send_header(s, SMPP_UNBIND, 0, 99);
    run();
    uint32_t second = submit(c, "5001", SPARK); /* waits for the leg to come back */
    run();
    assert_int_equal(waiting(s), 1);
    answer(s, take(s, SMPP_SUBMIT_SM), ESME_ROK, "id");
    run();
    expect_answer(c, SMPP_SUBMIT_SM, first, ESME_ROK);
    expect_answer(s, SMPP_UNBIND, 99, ESME_ROK);
    assert_null(s->stream);
    pass(1400 * MS);
    answer_next(smsc(SPARK_REDX));
    expect_answer(c, SMPP_SUBMIT_SM, second, ESME_ROK);
    world_end();
}

/* --- query, cancel, replace, submit_multi ----------------------------------------------------------------
 */

/* A C-octet string; returns what is behind it. */
static size_t put_string(uint8_t *pdu, size_t len, const char *text)
{
    size_t octets = strlen(text) + 1;
    memcpy(pdu + len, text, octets);
    return len + octets;
}

static uint32_t ask_about(struct peer *c, uint32_t id, const char *message_id)
{
    uint8_t pdu[128] = {0};
    size_t len = SMPP_HEADER_LEN;
    uint32_t sequence = next_sequence(c);
    if (id == SMPP_CANCEL_SM) {
        pdu[len++] = '\0'; /* service_type */
    }
    len = put_string(pdu, len, message_id) + 2; /* TON and NPI */
    len = put_string(pdu, len, "5001");
    len += id == SMPP_QUERY_SM ? 0 : 20; /* all that follows is 0 */
    smpp_put_header(pdu, &(struct smpp_header){(uint32_t)len, id, 0, sequence});
    send_pdu(c, pdu, len);
    return sequence;
}

static void a_query_follows_the_message_not_the_route(void **state)
{
    (void)state;
    static const uint32_t ids[] = {SMPP_QUERY_SM, SMPP_CANCEL_SM, SMPP_REPLACE_SM};
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t sequence = submit(c, "5001", SPARK);
    run();
    answer(smsc(SPARK_REDX), take(smsc(SPARK_REDX), SMPP_SUBMIT_SM), ESME_ROK, "message-1");
    run();
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_ROK);
    route("5001", "spark", "omni", ROUTE_OPEN);
    run();
    for (unsigned i = 0; i < 3; i++) {
        sequence = ask_about(c, ids[i], "message-1");
        run();
        struct pdu *got = take(smsc(SPARK_REDX), ids[i]);
        send_header(smsc(SPARK_REDX), ids[i] | SMPP_RESPONSE_BIT, ESME_ROK, got->sequence);
        run();
        expect_answer(c, ids[i], sequence, ESME_ROK);
    }
    expect_nothing(smsc(SPARK_OMNI));
    world_end();
}

static void a_query_about_an_unknown_message_is_refused(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t query = ask_about(c, SMPP_QUERY_SM, "nothing");
    uint32_t cancel = ask_about(c, SMPP_CANCEL_SM, "nothing");
    uint32_t replace = ask_about(c, SMPP_REPLACE_SM, "nothing");
    run();
    expect_answer(c, SMPP_QUERY_SM, query, ESME_RQUERYFAIL);
    expect_answer(c, SMPP_CANCEL_SM, cancel, ESME_RCANCELFAIL);
    expect_answer(c, SMPP_REPLACE_SM, replace, ESME_RREPLACEFAIL);
    assert_int_equal(counted(counters()->query_unknown), 3);
    world_end();
}

static void a_query_of_another_client_finds_nothing(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    uint32_t sequence = submit(c, "5001", SPARK);
    run();
    answer(s, take(s, SMPP_SUBMIT_SM), ESME_ROK, "message-1");
    run();
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_ROK);
    struct peer *z = bound_as("zeta", SMPP_BIND_TRANSCEIVER);
    sequence = ask_about(z, SMPP_QUERY_SM, "message-1");
    run();
    expect_answer(z, SMPP_QUERY_SM, sequence, ESME_RQUERYFAIL);
    world_end();
}

static void a_query_binds_a_leg_where_none_is_left(void **state)
{
    (void)state;
    world_begin(&(struct setup){.root = "linger = 0s"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t sequence = submit(c, "5001", SPARK);
    run();
    answer(smsc(SPARK_REDX), take(smsc(SPARK_REDX), SMPP_SUBMIT_SM), ESME_ROK, "message-1");
    run();
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_ROK);
    route("5001", "spark", "omni", ROUTE_OPEN);
    route("5002", "spark", "omni", ROUTE_OPEN);
    run();
    assert_false(smsc_is_up(SPARK_REDX));
    sequence = ask_about(c, SMPP_QUERY_SM, "message-1");
    run();
    struct peer *s = smsc(SPARK_REDX);
    send_header(s, SMPP_QUERY_SM | SMPP_RESPONSE_BIT, ESME_ROK, take(s, SMPP_QUERY_SM)->sequence);
    run();
    expect_answer(c, SMPP_QUERY_SM, sequence, ESME_ROK);
    pass(120 * SECOND); /* looked through: nothing needs it */
    assert_false(smsc_is_up(SPARK_REDX));
    world_end();
}

static uint32_t submit_multi(struct peer *c, const char *const *dests, unsigned count, bool list)
{
    uint8_t pdu[512] = {0};
    size_t len = SMPP_HEADER_LEN + 1; /* service_type */
    uint32_t sequence = next_sequence(c);
    len = put_string(pdu, len + 2, "5001");
    pdu[len++] = (uint8_t)(count + (list ? 1 : 0));
    for (unsigned i = 0; i < count; i++) {
        pdu[len] = 1;
        len = put_string(pdu, len + 3, dests[i]);
    }
    if (list) {
        pdu[len++] = 2;
        len = put_string(pdu, len, "all");
    }
    len += 10; /* from esm_class on all is 0 */
    smpp_put_header(pdu, &(struct smpp_header){(uint32_t)len, SMPP_SUBMIT_MULTI, 0, sequence});
    send_pdu(c, pdu, len);
    return sequence;
}

static void submit_multi_goes_to_one_carrier_or_not_at_all(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    const char *const same[] = {SPARK, "64271", SPARK};
    const char *const mixed[] = {SPARK, ONENZ};
    const char *const unknown[] = {"447", "448"};
    uint32_t good = submit_multi(c, same, 3, false);
    uint32_t bad = submit_multi(c, mixed, 2, false);
    uint32_t list = submit_multi(c, same, 1, true);
    uint32_t nowhere = submit_multi(c, unknown, 2, false);
    uint32_t none = submit_multi(c, unknown, 0, false);
    run();
    expect_answer(c, SMPP_SUBMIT_MULTI, bad, ESME_RSUBMITFAIL);
    expect_answer(c, SMPP_SUBMIT_MULTI, list, ESME_RSUBMITFAIL);
    expect_answer(c, SMPP_SUBMIT_MULTI, nowhere, ESME_RINVDSTADR);
    expect_answer(c, SMPP_SUBMIT_MULTI, none, ESME_RINVDSTADR);
    answer(smsc(SPARK_REDX), take(smsc(SPARK_REDX), SMPP_SUBMIT_MULTI), ESME_ROK, "multi-1");
    run();
    expect_answer(c, SMPP_SUBMIT_MULTI, good, ESME_ROK);
    uint32_t query = ask_about(c, SMPP_QUERY_SM, "multi-1");
    run();
    send_header(smsc(SPARK_REDX), SMPP_QUERY_SM | SMPP_RESPONSE_BIT, ESME_ROK,
                take(smsc(SPARK_REDX), SMPP_QUERY_SM)->sequence);
    run();
    expect_answer(c, SMPP_QUERY_SM, query, ESME_ROK);
    world_end();
}

/* --- everything at once ----------------------------------------------------------------------------------
 */

/* Random submits, answers, flips, lost legs and time: the harness counts the answers. */
static void random_step(struct peer *c)
{
    static const char *const numbers[] = {SPARK, ONENZ};
    static const char *const carriers[] = {"spark", "onenz"};
    static const char *const shortcodes[] = {"5001", "5002"};
    unsigned carrier = (unsigned)dice(2);
    const char *shortcode = shortcodes[dice(2)];
    struct peer *s = smsc((unsigned)dice(LINKS));
    switch (dice(20)) {
    case 0:
        route(shortcode, carriers[carrier], dice(2) == 0 ? "redx" : "omni",
              (enum route_state)dice(ROUTE_STATE_COUNT));
        break;
    case 1:
        if (s != NULL && dice(4) == 0) {
            stream_pair_cut(s->pair);
            s->careless = true;
        }
        break;
    case 2: pass(dice(SECOND)); break;
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
        if (s != NULL && s->stream != NULL && waiting(s) > 0) {
            size_t skip = dice(waiting(s)); /* out of order */
            struct pdu *pdu = s->inbox[s->inbox_read + skip];
            s->inbox[s->inbox_read + skip] = s->inbox[s->inbox_read];
            s->inbox_read++;
            answer(s, pdu, dice(3) == 0 ? ESME_RTHROTTLED : ESME_ROK, "id");
        }
        break;
    default: submit(c, shortcode, numbers[carrier]); break;
    }
    if (dice(3) == 0) {
        world_settle();
    }
}

static void every_request_gets_exactly_one_answer_whatever_happens(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 60; round++) {
        world_begin(&(struct setup){.link = "window = 5 response-timeout = 3s",
                                    .client = "window = 30 wait-count = 5"});
        struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
        c->careless = true;
        world.step = dice(2) == 0 ? 0 : 1 + dice(100);
        for (unsigned i = 0; i < 300; i++) {
            random_step(c);
        }
        pass(60 * SECOND);
        assert_non_null(c->stream);
        assert_int_equal(unanswered(c), 0);
        for (unsigned i = 0; i < world.peers_count; i++) {
            world.peers[i]->careless = true;
        }
        world_end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bind_of_each_type_is_repeated_upstream),
        cmocka_unit_test(bind_gets_legs_that_its_routes_need),
        cmocka_unit_test(bind_of_any_shortcode_gets_all_legs),
        cmocka_unit_test(bind_keeps_the_leg_of_the_platform_left_for_its_linger),
        cmocka_unit_test(first_answers_when_the_first_leg_is_bound),
        cmocka_unit_test(first_is_not_put_off_by_one_that_failed),
        cmocka_unit_test(all_answers_when_every_leg_has_tried),
        cmocka_unit_test(all_is_content_with_one_when_the_others_fail),
        cmocka_unit_test(once_answers_before_any_leg_is_bound),
        cmocka_unit_test(bind_without_routes_needs_no_leg),
        cmocka_unit_test(no_table_is_our_fault_not_the_clients),
        cmocka_unit_test(no_leg_at_all_is_our_fault_not_the_clients),
        cmocka_unit_test(wrong_credentials_and_unknown_ids_are_answered_alike),
        cmocka_unit_test(bind_types_and_counts_are_limited),
        cmocka_unit_test(sessions_are_limited),
        cmocka_unit_test(a_nack_to_our_bind_is_no_bind),
        cmocka_unit_test(a_bind_that_is_never_answered_fails_in_time),
        cmocka_unit_test(a_bind_may_take_longer_than_an_answer),
        cmocka_unit_test(a_flip_while_binding_leaves_no_bind_unanswered),
        cmocka_unit_test(a_reload_while_binding_leaves_no_bind_unanswered),
        cmocka_unit_test(credentials_may_be_the_clients_own_or_passed_on),
        cmocka_unit_test(mt_goes_to_its_carrier_and_its_answer_back),
        cmocka_unit_test(answers_may_come_in_any_order),
        cmocka_unit_test(two_sessions_with_one_sequence_number_are_not_mixed_up),
        cmocka_unit_test(a_sequence_number_used_twice_gets_two_answers),
        cmocka_unit_test(refusals_of_our_own),
        cmocka_unit_test(a_refusal_has_the_nul_where_the_client_needs_it),
        cmocka_unit_test(an_answer_of_another_kind_is_not_the_answer),
        cmocka_unit_test(a_nack_is_an_answer),
        cmocka_unit_test(a_second_answer_is_dropped),
        cmocka_unit_test(no_answer_in_time_is_an_unknown_outcome),
        cmocka_unit_test(octets_pass_unchanged),
        cmocka_unit_test(octets_pass_unchanged_when_they_waited),
        cmocka_unit_test(pdus_may_be_cut_anywhere),
        cmocka_unit_test(a_message_as_long_as_allowed_passes),
        cmocka_unit_test(a_full_window_keeps_back_in_order),
        cmocka_unit_test(what_waits_for_a_window_is_refused_in_the_end),
        cmocka_unit_test(a_slow_carrier_pauses_the_client_but_not_what_is_under_way),
        cmocka_unit_test(the_clients_window_pauses_it),
        cmocka_unit_test(a_paused_client_is_not_silent),
        cmocka_unit_test(a_route_on_hold_keeps_back_for_the_budget),
        cmocka_unit_test(a_route_on_hold_without_budget_refuses_at_once),
        cmocka_unit_test(what_is_held_is_limited_in_count_and_octets),
        cmocka_unit_test(opening_a_route_releases_in_order),
        cmocka_unit_test(one_shortcode_on_hold_does_not_stop_another),
        cmocka_unit_test(nothing_overtakes_what_waits),
        cmocka_unit_test(a_flip_sends_what_waits_the_new_way),
        cmocka_unit_test(a_flip_with_a_full_window_sends_what_waits_the_new_way),
        cmocka_unit_test(after_a_flip_nothing_goes_the_old_way),
        cmocka_unit_test(a_closed_route_refuses_at_once),
        cmocka_unit_test(a_route_to_a_platform_without_link_is_refused),
        cmocka_unit_test(a_flip_to_a_link_that_is_down_refuses_after_the_budget),
        cmocka_unit_test(a_leg_without_need_ends_after_its_answers),
        cmocka_unit_test(a_leg_that_dies_leaves_unknown_outcomes_and_nothing_is_sent_again),
        cmocka_unit_test(what_waits_survives_a_leg_that_comes_back_in_time),
        cmocka_unit_test(what_waits_for_a_dead_leg_is_refused_after_the_budget),
        cmocka_unit_test(reconnecting_waits_longer_each_time),
        cmocka_unit_test(an_smsc_that_unbinds_gets_its_answer_after_the_last_response),
        cmocka_unit_test(a_query_follows_the_message_not_the_route),
        cmocka_unit_test(a_query_about_an_unknown_message_is_refused),
        cmocka_unit_test(a_query_of_another_client_finds_nothing),
        cmocka_unit_test(a_query_binds_a_leg_where_none_is_left),
        cmocka_unit_test(submit_multi_goes_to_one_carrier_or_not_at_all),
        cmocka_unit_test(every_request_gets_exactly_one_answer_whatever_happens),
    };
    return cmocka_run_group_tests_name("forward", tests, be_quiet, be_done);
}
