/* MO and its answers, and how sessions end: by unbind from either side, by silence, by a peer that does not
 * read, by a reload, at the end of the process. And the barrier. See forward_world.h for what every one of
 * these tests checks besides. */
#include "forward_world.h"

static const struct setup plain = {.root = ""};

static void answer_next(struct peer *s)
{
    answer(s, take(s, SMPP_SUBMIT_SM), ESME_ROK, "id");
    run();
}

static void answer_mo(struct peer *c)
{
    answer(c, take(c, SMPP_DELIVER_SM), ESME_ROK, "");
    run();
}

/* --- MO --------------------------------------------------------------------------------------------------
 */

static void mo_goes_to_the_client_and_its_answer_back(void **state)
{
    (void)state;
    static const uint32_t types[] = {SMPP_BIND_RECEIVER, SMPP_BIND_TRANSCEIVER};
    for (unsigned i = 0; i < 2; i++) {
        world_begin(&plain);
        struct peer *c = bound(types[i]);
        struct peer *s = smsc(SPARK_REDX);
        uint32_t first = deliver(s, SPARK, "5001");
        uint32_t second = send_message(s, SMPP_DATA_SM, SPARK, "5002");
        run();
        struct pdu *one = take(c, SMPP_DELIVER_SM);
        answer(c, take(c, SMPP_DATA_SM), ESME_RX_T_APPN, "");
        answer(c, one, ESME_ROK, "");
        run();
        expect_answer(s, SMPP_DATA_SM, second, ESME_RX_T_APPN);
        expect_answer(s, SMPP_DELIVER_SM, first, ESME_ROK);
        assert_int_equal(counted(link_counters(SPARK_REDX)->mo), 2);
        world_end();
    }
}

static void mo_and_its_answer_pass_unchanged(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    for (unsigned i = 0; i < 200; i++) {
        uint8_t pdu[1024];
        world.step = i;
        size_t len = message(pdu, sizeof pdu, SMPP_DELIVER_SM, next_sequence(s), SPARK, "5001");
        while (len < 300 + i) {
            pdu[len++] = (uint8_t)dice(256);
        }
        smpp_put32(pdu, (uint32_t)len);
        send_pdu(s, pdu, len);
        world_settle();
        struct pdu *got = take(c, SMPP_DELIVER_SM);
        assert_int_equal(got->len, len);
        assert_memory_equal(got->bytes + 16, pdu + 16, len - 16);
        uint8_t resp[64];
        for (unsigned n = 16; n < sizeof resp; n++) {
            resp[n] = (uint8_t)dice(256);
        }
        smpp_put_header(resp, &(struct smpp_header){17 + i % 40, SMPP_DELIVER_SM | SMPP_RESPONSE_BIT,
                                                    (uint32_t)dice(3), got->sequence});
        send_pdu(c, resp, 17 + i % 40);
        world_settle();
        const struct pdu *back = take(s, SMPP_DELIVER_SM | SMPP_RESPONSE_BIT);
        assert_int_equal(back->sequence, smpp_get32(pdu + 12));
        assert_int_equal(back->len, 17 + i % 40);
        assert_memory_equal(back->bytes + 16, resp + 16, back->len - 16);
    }
    world_end();
}

static void a_receipt_is_counted_as_one(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    uint8_t pdu[256];
    struct smpp_message_fields fields = {.command_id = SMPP_DELIVER_SM,
                                         .sequence_number = next_sequence(s),
                                         .source = SPARK,
                                         .dest = "5001",
                                         .esm_class = 0x04};
    send_pdu(s, pdu, smpp_encode_message(pdu, sizeof pdu, &fields));
    run();
    answer_mo(c);
    expect_answer(s, SMPP_DELIVER_SM, fields.sequence_number, ESME_ROK);
    assert_int_equal(counted(link_counters(SPARK_REDX)->receipts), 1);
    assert_int_equal(counted(link_counters(SPARK_REDX)->mo), 0);
    world_end();
}

static void mo_comes_from_the_platform_left_too(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    route("5001", "spark", "omni", ROUTE_OPEN);
    route("5002", "spark", "omni", ROUTE_OPEN);
    run();
    for (unsigned link = SPARK_REDX; link <= SPARK_OMNI; link++) {
        uint32_t sequence = deliver(smsc(link), SPARK, "5001");
        run();
        answer_mo(c);
        expect_answer(smsc(link), SMPP_DELIVER_SM, sequence, ESME_ROK);
    }
    world_end();
}

static void mo_of_another_client_goes_to_its_owner(void **state)
{
    (void)state;
    world_begin(&(struct setup){.root = "client \"beta\" { password-hash = \"" SECRET_HASH
                                        "\" shortcodes = { \"6001\" } }"});
    struct peer *acme = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    uint32_t nobody = deliver(s, SPARK, "6001"); /* beta is not there */
    run();
    expect_answer(s, SMPP_DELIVER_SM, nobody, ESME_RSYSERR);
    struct peer *beta = bound_as("beta", SMPP_BIND_TRANSCEIVER);
    uint32_t its = deliver(s, SPARK, "6001");
    uint32_t unowned = deliver(s, SPARK, "7777");
    run();
    answer_mo(beta);
    expect_answer(s, SMPP_DELIVER_SM, its, ESME_ROK);
    answer_mo(acme);
    expect_answer(s, SMPP_DELIVER_SM, unowned, ESME_ROK);
    world_end();
}

static void a_silent_client_is_answered_for(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "response-timeout = 4s enquire-link = 0s"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *spark = smsc(SPARK_REDX);
    struct peer *onenz = smsc(ONENZ_REDX);
    uint32_t first = deliver(spark, SPARK, "5001");
    uint32_t second = deliver(onenz, ONENZ, "5001");
    pass(3900 * MS);
    expect_nothing(spark);
    pass(200 * MS);
    expect_answer(spark, SMPP_DELIVER_SM, first, ESME_RSYSERR); /* the carrier's mo-refusal */
    expect_answer(onenz, SMPP_DELIVER_SM, second, ESME_RMSGQFUL);
    answer_mo(c); /* too late, both */
    answer_mo(c);
    expect_nothing(spark);
    expect_nothing(onenz);
    assert_int_equal(counted(counters()->refused[REFUSED_CLIENT_SILENT]), 2);
    assert_int_equal(counted(counters()->stray_responses), 2);
    world_end();
}

static void a_client_that_goes_leaves_refusals(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    s->mute = true; /* the leg must live to see it */
    uint32_t sequence = deliver(s, SPARK, "5001");
    run();
    (void)take(c, SMPP_DELIVER_SM);
    stream_pair_cut(c->pair);
    run();
    expect_answer(s, SMPP_DELIVER_SM, sequence, ESME_RSYSERR);
    assert_int_equal(counted(counters()->refused[REFUSED_CLIENT_GONE]), 1);
    world_end();
}

static void mo_needs_a_client_that_receives(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "bind-answer = \"all\""});
    world.plans[ONENZ_REDX].bind_silent = true;
    struct peer *c = connect_client();
    send_bind_as(c, SMPP_BIND_TRANSCEIVER, "acme", "secret");
    run();
    uint32_t early = deliver(smsc(SPARK_REDX), SPARK, "5001"); /* its own bind is not answered yet */
    run();
    expect_answer(smsc(SPARK_REDX), SMPP_DELIVER_SM, early, ESME_RSYSERR);
    assert_int_equal(counted(counters()->refused[REFUSED_NO_RECEIVER]), 1);
    world.plans[ONENZ_REDX].bind_silent = false;
    smsc_bind(smsc(ONENZ_REDX), world.plans[ONENZ_REDX].bind);
    run();
    (void)take(c, SMPP_BIND_TRANSCEIVER | SMPP_RESPONSE_BIT);
    world_end();
}

static void mo_to_a_transmitter_is_refused(void **state)
{
    (void)state;
    world_begin(&plain);
    (void)bound(SMPP_BIND_TRANSMITTER);
    uint32_t sequence = deliver(smsc(SPARK_REDX), SPARK, "5001");
    run();
    expect_answer(smsc(SPARK_REDX), SMPP_DELIVER_SM, sequence, ESME_RINVBNDSTS);
    world_end();
}

static void mo_has_a_window_of_its_own(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "mo-window = 2"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    uint32_t sent[3];
    for (unsigned i = 0; i < 3; i++) {
        sent[i] = deliver(s, SPARK, "5001");
    }
    run();
    expect_answer(s, SMPP_DELIVER_SM, sent[2], ESME_RSYSERR);
    for (unsigned i = 0; i < 2; i++) {
        answer_mo(c);
        expect_answer(s, SMPP_DELIVER_SM, sent[i], ESME_ROK);
    }
    assert_int_equal(counted(counters()->refused[REFUSED_MO_FULL]), 1);
    world_end();
}

static void an_alert_passes_and_needs_no_answer(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    send_message(smsc(SPARK_REDX), SMPP_DELIVER_SM, SPARK, "5001");
    send_header(smsc(SPARK_REDX), SMPP_ALERT_NOTIFICATION, 0, 4711);
    run();
    answer_mo(c);
    assert_int_equal(take(c, SMPP_ALERT_NOTIFICATION)->sequence, 4711);
    smsc(SPARK_REDX)->careless = true;
    world_end();
}

static void an_answer_for_the_old_connection_is_not_sent_on_the_new(void **state)
{
    (void)state;
    world_begin(&(struct setup){.link = "reconnect-min = 10ms"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *old = smsc(SPARK_REDX);
    deliver(old, SPARK, "5001");
    run();
    struct pdu *mo = take(c, SMPP_DELIVER_SM);
    stream_pair_cut(old->pair);
    pass(SECOND);
    struct peer *now = smsc(SPARK_REDX);
    assert_ptr_not_equal(now, old);
    now->next_sequence = old->next_sequence - 1; /* the SMSC begins anew and uses the number again */
    uint32_t again = deliver(now, SPARK, "5001");
    run();
    answer(c, mo, ESME_ROK, "");
    run();
    expect_nothing(now);
    assert_int_equal(counted(counters()->responses_orphaned), 1);
    answer_mo(c);
    expect_answer(now, SMPP_DELIVER_SM, again, ESME_ROK);
    world_end();
}

/* --- unbind ----------------------------------------------------------------------------------------------
 */

static void a_client_may_leave(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    send_header(c, SMPP_UNBIND, 0, 7);
    run();
    expect_answer(c, SMPP_UNBIND, 7, ESME_ROK);
    assert_null(c->stream);
    assert_int_equal(smsc(SPARK_REDX)->unbound, 1); /* its legs leave as well */
    assert_false(smsc_is_up(SPARK_REDX));
    world_end();
}

static void a_client_that_leaves_gets_its_answers_first(void **state)
{
    (void)state;
    world_begin(&(struct setup){.link = "window = 1"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t first = submit(c, "5001", SPARK);
    uint32_t second = submit(c, "5001", SPARK); /* waits for the window */
    send_header(c, SMPP_UNBIND, 0, 7);
    uint32_t after = submit(c, "5001", SPARK);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, after, ESME_RMSGQFUL); /* nothing new, but a status that is retried */
    expect_nothing(c);
    answer_next(smsc(SPARK_REDX));
    expect_answer(c, SMPP_SUBMIT_SM, first, ESME_ROK);
    expect_nothing(c);
    answer_next(smsc(SPARK_REDX));
    expect_answer(c, SMPP_SUBMIT_SM, second, ESME_ROK);
    expect_answer(c, SMPP_UNBIND, 7, ESME_ROK);
    assert_null(c->stream);
    world_end();
}

static void a_client_that_leaves_gets_its_answers_though_it_reads_slowly(void **state)
{
    (void)state;
    world_begin_without_table(&plain);
    world.client_capacity = 100;
    route("5001", "spark", "redx", ROUTE_OPEN);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    uint32_t sent[50];
    for (unsigned i = 0; i < 50; i++) {
        sent[i] = submit(c, "5001", SPARK);
    }
    run();
    stream_read_stop(c->stream);
    for (unsigned i = 0; i < 49; i++) {
        answer_next(s);
    }
    send_header(c, SMPP_UNBIND, 0, 7);
    run();
    answer_next(s);
    stream_read_start(c->stream);
    run();
    for (unsigned i = 0; i < 50; i++) {
        expect_answer(c, SMPP_SUBMIT_SM, sent[i], ESME_ROK);
    }
    expect_answer(c, SMPP_UNBIND, 7, ESME_ROK);
    world_end();
}

static void a_client_that_vanishes_takes_its_legs_with_it(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    submit(c, "5001", SPARK);
    run();
    route("5001", "spark", "redx", ROUTE_HOLD);
    submit(c, "5001", SPARK);
    run();
    stream_pair_cut(c->pair);
    run();
    assert_int_equal(counted(counters()->waiting_messages), 0);
    assert_int_equal(s->unbound, 0); /* what is in flight is awaited, so that it is not half sent */
    answer_next(s);
    assert_int_equal(s->unbound, 1);
    assert_null(s->stream);
    assert_int_equal(counted(counters()->responses_orphaned), 1);
    world_end();
}

static void a_leg_that_leaves_waits_for_what_the_client_owes(void **state)
{
    (void)state;
    world_begin(&(struct setup){.root = "linger = 0s"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    uint32_t mo = deliver(s, SPARK, "5001");
    run();
    route("5001", "spark", "omni", ROUTE_OPEN);
    route("5002", "spark", "omni", ROUTE_OPEN);
    run();
    assert_int_equal(s->unbound, 0);
    uint32_t late = deliver(s, SPARK, "5001");
    run();
    expect_answer(s, SMPP_DELIVER_SM, late, ESME_RSYSERR);
    answer_mo(c);
    expect_answer(s, SMPP_DELIVER_SM, mo, ESME_ROK);
    assert_int_equal(s->unbound, 1);
    world_end();
}

static void an_smsc_that_leaves_gets_what_the_client_owes(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    uint32_t mo = deliver(s, SPARK, "5001");
    run();
    send_header(s, SMPP_UNBIND, 0, 9);
    run();
    expect_nothing(s);
    answer_mo(c);
    expect_answer(s, SMPP_DELIVER_SM, mo, ESME_ROK);
    expect_answer(s, SMPP_UNBIND, 9, ESME_ROK);
    world_end();
}

static void a_leg_that_is_not_let_go_goes_all_the_same(void **state)
{
    (void)state;
    world_begin(&(struct setup){.link = "response-timeout = 2s"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    s->mute = true;
    hang_up(c);
    pass(5 * SECOND);
    assert_int_equal(s->unbound, 1);
    assert_null(s->stream);
    assert_int_equal(world.worker.legs.count, 0);
    world_end();
}

/* --- reload ----------------------------------------------------------------------------------------------
 */

static void a_client_taken_away_is_ended_in_order(void **state)
{
    (void)state;
    world_begin(&(struct setup){.link = "window = 1"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    uint32_t first = submit(c, "5001", SPARK);
    uint32_t held = submit(c, "5001", SPARK);
    uint32_t mo = deliver(s, SPARK, "5001");
    run();
    struct pdu *request = take(s, SMPP_SUBMIT_SM);
    struct pdu *passed = take(c, SMPP_DELIVER_SM);
    reload(&(struct setup){.without_acme = true});
    uint32_t after = submit(c, "5001", SPARK);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, held, ESME_RMSGQFUL);
    expect_answer(c, SMPP_SUBMIT_SM, after, ESME_RMSGQFUL);
    answer(c, passed, ESME_ROK, "");
    run();
    expect_answer(s, SMPP_DELIVER_SM, mo, ESME_ROK);
    assert_int_equal(c->unbound, 0); /* one is in flight */
    answer(s, request, ESME_ROK, "id");
    run();
    expect_answer(c, SMPP_SUBMIT_SM, first, ESME_ROK);
    assert_int_equal(c->unbound, 1);
    assert_null(c->stream);
    run();
    assert_false(smsc_is_up(SPARK_REDX));
    struct peer *again = connect_client();
    send_bind_as(again, SMPP_BIND_TRANSCEIVER, "acme", "secret");
    run();
    assert_int_equal(take(again, SMPP_BIND_TRANSCEIVER | SMPP_RESPONSE_BIT)->status, ESME_RINVPASWD);
    world_end();
}

static void a_client_taken_away_while_it_binds_is_answered(void **state)
{
    (void)state;
    world_begin(&plain);
    world.plans[SPARK_REDX].bind_silent = world.plans[ONENZ_REDX].bind_silent = true;
    struct peer *waits_for_legs = connect_client();
    send_bind_as(waits_for_legs, SMPP_BIND_TRANSCEIVER, "acme", "secret");
    run();
    struct peer *waits_for_auth = connect_client();
    send_bind_as(waits_for_auth, SMPP_BIND_TRANSCEIVER, "zeta", "wrong");
    struct peer *also = connect_client();
    send_bind_as(also, SMPP_BIND_TRANSCEIVER, "acme", "wrong");
    stream_pair_step(waits_for_auth->pair, 0);
    stream_pair_step(also->pair, 0);
    reload(&(struct setup){.without_acme = true});
    run();
    assert_int_equal(take(waits_for_legs, SMPP_BIND_TRANSCEIVER | SMPP_RESPONSE_BIT)->status, ESME_RBINDFAIL);
    assert_int_equal(take(waits_for_auth, SMPP_BIND_TRANSCEIVER | SMPP_RESPONSE_BIT)->status, ESME_RINVPASWD);
    assert_int_equal(waiting(also), 1);
    (void)take(also, SMPP_BIND_TRANSCEIVER | SMPP_RESPONSE_BIT);
    world_end();
}

static void a_link_taken_away_is_left_in_order(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    uint32_t first = submit(c, "5001", SPARK);
    run();
    reload(&(struct setup){.without = {[SPARK_REDX] = true}});
    uint32_t after = submit(c, "5001", SPARK);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, after, ESME_RSYSERR);
    assert_int_equal(s->unbound, 0);
    answer_next(s);
    expect_answer(c, SMPP_SUBMIT_SM, first, ESME_ROK);
    assert_int_equal(s->unbound, 1);
    reload(&plain); /* and back */
    run();
    uint32_t again = submit(c, "5001", SPARK);
    run();
    answer_next(smsc(SPARK_REDX));
    expect_answer(c, SMPP_SUBMIT_SM, again, ESME_ROK);
    world_end();
}

static void a_link_taken_away_while_it_is_down_is_forgotten(void **state)
{
    (void)state;
    world_begin(&plain);
    world.plans[SPARK_REDX].mood = LINK_DOWN;
    world.plans[ONENZ_REDX].mood = LINK_UP;
    (void)bound(SMPP_BIND_TRANSCEIVER);
    reload(&(struct setup){.without = {[SPARK_REDX] = true}});
    unsigned before = world.plans[SPARK_REDX].connects;
    pass(60 * SECOND);
    assert_int_equal(world.plans[SPARK_REDX].connects, before);
    assert_int_equal(world.worker.legs.count, 1);
    world_end();
}

static void a_reload_of_the_same_disturbs_nothing(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t sequence = submit(c, "5001", SPARK);
    run();
    struct pdu *request = take(smsc(SPARK_REDX), SMPP_SUBMIT_SM);
    uint32_t mo = deliver(smsc(SPARK_REDX), SPARK, "5001");
    run();
    for (unsigned i = 0; i < 3; i++) {
        reload(&plain);
        run();
    }
    assert_int_equal(world.plans[SPARK_REDX].connects, 1);
    answer(smsc(SPARK_REDX), request, ESME_ROK, "id");
    run();
    struct pdu *waits = take(c, SMPP_DELIVER_SM);
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_ROK);
    answer(c, waits, ESME_ROK, "");
    run();
    expect_answer(smsc(SPARK_REDX), SMPP_DELIVER_SM, mo, ESME_ROK);
    world_end();
}

static void a_reload_follows_limits(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    reload(&(struct setup){.client = "enquire-link = 3s response-timeout = 2s", .root = "linger = 0s"});
    c->mute = true;
    pass(3100 * MS);
    assert_int_equal(c->enquired, 1);
    pass(2 * SECOND);
    assert_null(c->stream);
    world_end();
}

/* --- the end of the process ------------------------------------------------------------------------------
 */

static void draining_answers_what_is_in_flight_and_then_unbinds(void **state)
{
    (void)state;
    world_begin(&(struct setup){.link = "window = 1"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *idle = bound_as("zeta", SMPP_BIND_TRANSCEIVER);
    struct peer *unbound = connect_client();
    struct peer *binding = connect_client();
    struct peer *s = world.peers[1]; /* acme's first leg */
    assert_int_equal(s->link, SPARK_REDX);
    world.plans[SPARK_REDX].bind_silent = world.plans[ONENZ_REDX].bind_silent = true;
    send_bind_as(binding, SMPP_BIND_TRANSCEIVER, "acme", "secret");
    uint32_t first = submit(c, "5001", SPARK);
    uint32_t held = submit(c, "5001", SPARK);
    uint32_t mo = deliver(s, SPARK, "5001");
    run();
    struct pdu *request = take(s, SMPP_SUBMIT_SM);
    struct pdu *passed = take(c, SMPP_DELIVER_SM);
    forward_end_all(&world.worker);
    uint32_t late = deliver(s, SPARK, "5001");
    uint32_t after = submit(c, "5001", SPARK);
    run();
    assert_null(connect_client());
    assert_null(unbound->stream);
    assert_int_equal(idle->unbound, 1);
    assert_null(idle->stream);
    assert_int_equal(take(binding, SMPP_BIND_TRANSCEIVER | SMPP_RESPONSE_BIT)->status, ESME_RBINDFAIL);
    expect_answer(s, SMPP_DELIVER_SM, late, ESME_RSYSERR);
    expect_answer(c, SMPP_SUBMIT_SM, held, ESME_RMSGQFUL);
    expect_answer(c, SMPP_SUBMIT_SM, after, ESME_RMSGQFUL);
    answer(c, passed, ESME_ROK, "");
    run();
    expect_answer(s, SMPP_DELIVER_SM, mo, ESME_ROK);
    answer(s, request, ESME_ROK, "id");
    run();
    expect_answer(c, SMPP_SUBMIT_SM, first, ESME_ROK);
    assert_int_equal(c->unbound, 1);
    assert_null(c->stream);
    assert_int_equal(world.worker.clients.count, 0);
    pass(SECOND);
    assert_int_equal(world.worker.legs.count, 0);
    world_end();
}

static void draining_does_not_wait_for_a_paused_client(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "window = 1"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t sent[4];
    for (unsigned i = 0; i < 4; i++) {
        sent[i] = submit(c, "5001", SPARK);
    }
    run();
    forward_end_all(&world.worker);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, sent[2], ESME_RMSGQFUL); /* read, and refused */
    expect_answer(c, SMPP_SUBMIT_SM, sent[3], ESME_RMSGQFUL);
    answer_next(smsc(SPARK_REDX));
    answer_next(smsc(SPARK_REDX));
    expect_answer(c, SMPP_SUBMIT_SM, sent[0], ESME_ROK);
    expect_answer(c, SMPP_SUBMIT_SM, sent[1], ESME_ROK);
    assert_null(c->stream);
    world_end();
}

static void a_client_that_keeps_to_its_window_is_read(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "window = 2"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    uint32_t sent[2] = {submit(c, "5001", SPARK), submit(c, "5001", SPARK)};
    run();
    assert_false(client_behind(c)->conn.paused);
    struct pdu *asked[2] = {take(s, SMPP_SUBMIT_SM), take(s, SMPP_SUBMIT_SM)};
    uint32_t mo = deliver(s, SPARK, "5001");
    run();
    answer(c, take(c, SMPP_DELIVER_SM), ESME_ROK, ""); /* full window or not, this is read */
    run();
    expect_answer(s, SMPP_DELIVER_SM, mo, ESME_ROK);
    for (unsigned i = 0; i < 2; i++) {
        answer(s, asked[i], ESME_ROK, "1");
        run();
        expect_answer(c, SMPP_SUBMIT_SM, sent[i], ESME_ROK);
    }
    world_end();
}

static void an_answer_behind_a_pause_is_waited_for(void **state)
{
    (void)state;
    world_begin(
        &(struct setup){.client = "window = 1 response-timeout = 2s", .link = "response-timeout = 6s"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    uint32_t mo = deliver(s, SPARK, "5001");
    run();
    struct pdu *delivered = take(c, SMPP_DELIVER_SM);
    uint32_t sent[2] = {submit(c, "5001", SPARK), submit(c, "5001", SPARK)};
    run();
    assert_true(client_behind(c)->conn.paused);
    answer(c, delivered, ESME_ROK, ""); /* lies unread behind the pause, longer than its time-out */
    pass(5 * SECOND);
    struct pdu *asked[2] = {take(s, SMPP_SUBMIT_SM), take(s, SMPP_SUBMIT_SM)};
    expect_nothing(s);
    for (unsigned i = 0; i < 2; i++) {
        answer(s, asked[i], ESME_ROK, "1");
        run();
        expect_answer(c, SMPP_SUBMIT_SM, sent[i], ESME_ROK);
    }
    expect_answer(s, SMPP_DELIVER_SM, mo, ESME_ROK);
    world_end();
}

static void a_client_that_does_not_answer_unbind_is_closed(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "response-timeout = 3s"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    c->mute = true;
    forward_end_all(&world.worker);
    pass(2900 * MS);
    assert_int_equal(c->unbound, 1);
    assert_non_null(c->stream);
    pass(200 * MS);
    assert_null(c->stream);
    world_end();
}

/* --- time ------------------------------------------------------------------------------------------------
 */

static void a_connection_that_does_not_bind_is_closed(void **state)
{
    (void)state;
    world_begin(&(struct setup){.root = "session-init = 5s"});
    struct peer *c = connect_client();
    pass(4900 * MS);
    assert_non_null(c->stream);
    send_header(c, SMPP_ENQUIRE_LINK, 0, 1); /* answered, but no bind */
    pass(200 * MS);
    expect_answer(c, SMPP_ENQUIRE_LINK, 1, ESME_ROK);
    assert_null(c->stream);
    assert_int_equal(counted(counters()->ended[SIDE_CLIENT][SMPP_DUE_END_INIT]), 1);
    world_end();
}

static void a_pdu_that_is_not_completed_ends_the_session(void **state)
{
    (void)state;
    world_begin(&(struct setup){.root = "partial-timeout = 3s", .client = "enquire-link = 0s"});
    uint8_t pdu[256];
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    size_t len = message(pdu, sizeof pdu, SMPP_SUBMIT_SM, 5, "5001", SPARK);
    for (unsigned i = 0; i < 3; i++) { /* slow, but in time */
        send_octets(c, pdu, len - 1);
        pass(2900 * MS);
        owe(c, SMPP_SUBMIT_SM, 5);
        send_octets(c, pdu + len - 1, 1);
        run();
        world.seen[0] = false;
        answer_next(smsc(SPARK_REDX));
        expect_answer(c, SMPP_SUBMIT_SM, 5, ESME_ROK);
    }
    send_octets(c, pdu, 1);
    pass(2900 * MS);
    assert_non_null(c->stream);
    pass(200 * MS);
    assert_null(c->stream);
    assert_int_equal(counted(counters()->ended[SIDE_CLIENT][SMPP_DUE_END_PARTIAL]), 1);
    world_end();
}

static void nothing_is_sent_on_for_a_client_that_is_being_closed(void **state)
{
    (void)state;
    world_begin(&(struct setup){.root = "partial-timeout = 1s", .client = "hold-budget = 10s"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    route("5001", "spark", "redx", ROUTE_HOLD);
    submit(c, "5001", SPARK);
    run();
    send_octets(c, (const uint8_t[]){0}, 1);
    world_settle();
    world_time += 1100 * MS;
    worker_wake(&world.worker);
    timers_run(&world.worker.timers, world_time, UINT_MAX); /* closed, but its end has not been told yet */
    assert_true(client_behind(c)->conn.closing);
    route("5001", "spark", "redx", ROUTE_OPEN);
    run();
    expect_nothing(smsc(SPARK_REDX)); /* nobody would hear the answer, and the client sends it again */
    assert_null(c->stream);
    world_end();
}

static void an_smsc_that_does_not_complete_a_pdu_is_left(void **state)
{
    (void)state;
    world_begin(&(struct setup){.root = "partial-timeout = 3s"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    uint32_t sequence = submit(c, "5001", SPARK);
    run();
    send_octets(s, take(s, SMPP_SUBMIT_SM)->bytes, 10);
    pass(3100 * MS);
    assert_null(s->stream);
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_RSYSERR);
    world_end();
}

static void a_silent_client_is_asked_and_then_closed(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "enquire-link = 10s response-timeout = 4s"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    pass(95 * SECOND);
    assert_in_range(c->enquired, 8, 10);
    assert_non_null(c->stream);
    c->mute = true;
    pass(8 * SECOND);
    assert_non_null(c->stream);
    pass(3 * SECOND);
    assert_null(c->stream);
    assert_int_equal(counted(counters()->ended[SIDE_CLIENT][SMPP_DUE_END_SILENT]), 1);
    world_end();
}

static void enquire_link_comes_in_time_also_when_the_bind_was_slow(void **state)
{
    (void)state;
    world_begin(&(struct setup){.root = "session-init = 2s", .client = "enquire-link = 10s"});
    world.plans[SPARK_REDX].mood = world.plans[ONENZ_REDX].mood = LINK_HANGS;
    struct peer *c = connect_client();
    send_bind_as(c, SMPP_BIND_TRANSCEIVER, "acme", "secret");
    pass(8 * SECOND);
    world.plans[SPARK_REDX].mood = world.plans[ONENZ_REDX].mood = LINK_UP;
    run();
    assert_int_equal(take(c, SMPP_BIND_TRANSCEIVER | SMPP_RESPONSE_BIT)->status, ESME_ROK);
    pass(10100 * MS);
    assert_int_equal(c->enquired, 1);
    world_end();
}

static void enquire_link_is_not_put_off_by_a_long_session_init(void **state)
{
    (void)state;
    world_begin(&(struct setup){.root = "session-init = 10m",
                                .client = "enquire-link = 10s",
                                .link = "enquire-link = 7s response-timeout = 5m"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    pass(10100 * MS);
    assert_int_equal(c->enquired, 1);
    assert_int_equal(smsc(SPARK_REDX)->enquired, 1);
    world_end();
}

static void a_silent_smsc_is_asked_and_then_left(void **state)
{
    (void)state;
    world_begin(&(struct setup){.link = "enquire-link = 5s response-timeout = 60s"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    s->mute = true;
    uint32_t sequence = submit(c, "5001", SPARK);
    run();
    (void)take(s, SMPP_SUBMIT_SM);
    pass(6 * SECOND);
    assert_int_equal(s->enquired, 1);
    assert_non_null(s->stream);
    pass(60 * SECOND);
    assert_null(s->stream);
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_RSYSERR);
    assert_int_equal(counted(link_counters(SPARK_REDX)->unknown_outcomes), 1);
    world_end();
}

static void a_client_that_sends_nothing_is_inactive(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "inactivity = 60s enquire-link = 10s"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    pass(30 * SECOND);
    uint32_t sequence = submit(c, "5001", SPARK);
    run();
    answer_next(smsc(SPARK_REDX));
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_ROK);
    pass(59 * SECOND);
    assert_non_null(c->stream);
    pass(2 * SECOND);
    assert_null(c->stream);
    world_end();
}

static void enquire_link_is_answered_here_on_both_sides(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = connect_client();
    send_header(c, SMPP_ENQUIRE_LINK, 0, 3); /* even before the bind */
    run();
    expect_answer(c, SMPP_ENQUIRE_LINK, 3, ESME_ROK);
    send_bind_as(c, SMPP_BIND_TRANSCEIVER, "acme", "secret");
    run();
    (void)take(c, SMPP_BIND_TRANSCEIVER | SMPP_RESPONSE_BIT);
    send_header(c, SMPP_ENQUIRE_LINK, 0, 4);
    send_header(smsc(SPARK_REDX), SMPP_ENQUIRE_LINK, 0, 5);
    run();
    expect_answer(c, SMPP_ENQUIRE_LINK, 4, ESME_ROK);
    expect_answer(smsc(SPARK_REDX), SMPP_ENQUIRE_LINK, 5, ESME_ROK);
    world_end();
}

/* --- what a session refuses ------------------------------------------------------------------------------
 */

static void wrong_states_and_unknown_commands_are_refused(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = connect_client();
    uint32_t early = submit(c, "5001", SPARK);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, early, ESME_RINVBNDSTS);
    send_bind_as(c, SMPP_BIND_RECEIVER, "acme", "secret");
    run();
    (void)take(c, SMPP_BIND_RECEIVER | SMPP_RESPONSE_BIT);
    uint32_t receiver = submit(c, "5001", SPARK);
    send_header(c, 0x00000222, 0, 6);
    send_header(c, SMPP_BIND_TRANSCEIVER, 0, 8);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, receiver, ESME_RINVBNDSTS);
    assert_int_equal(take(c, SMPP_GENERIC_NACK)->status, ESME_RINVCMDID);
    expect_answer(c, SMPP_BIND_TRANSCEIVER, 8, ESME_RINVBNDSTS);
    world_end();
}

static void lost_framing_ends_the_session(void **state)
{
    (void)state;
    world_begin(&plain);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    submit(c, "5001", SPARK);
    static const uint8_t rubbish[] = {0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9};
    owe(c, SMPP_SUBMIT_SM, 0x09090909);
    send_octets(c, rubbish, sizeof rubbish);
    send_octets(c, rubbish, sizeof rubbish);
    run();
    assert_int_equal(take(c, SMPP_GENERIC_NACK)->status, ESME_RINVCMDLEN);
    assert_null(c->stream);
    answer_next(s);
    assert_null(s->stream);
    world_end();
}

/* --- peers that do not read ------------------------------------------------------------------------------
 */

static void a_client_that_does_not_read_is_closed_at_the_limit(void **state)
{
    (void)state;
    world_begin_without_table(&(struct setup){.root = "out-limit = 4k max-pdu-bound = 4k",
                                              .client = "mo-window = 1000 enquire-link = 0s"});
    route("5001", "spark", "redx", ROUTE_OPEN);
    world.client_capacity = 1000;
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    c->careless = s->careless = true;
    stream_read_stop(c->stream);
    for (unsigned i = 0; i < 200 && counted(counters()->slow_readers) == 0; i++) {
        deliver(s, SPARK, "5001");
        run();
    }
    assert_int_equal(counted(counters()->slow_readers), 1);
    run();
    assert_int_equal(world.worker.clients.count, 0);
    assert_int_equal(unanswered(s), 0); /* all refused: the network keeps them */
    world_end();
}

static void an_smsc_that_does_not_read_makes_messages_wait(void **state)
{
    (void)state;
    world_begin_without_table(&plain);
    world.plans[SPARK_REDX].capacity = 300;
    route("5001", "spark", "redx", ROUTE_OPEN);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    stream_read_stop(s->stream);
    uint32_t sent[30];
    for (unsigned i = 0; i < 30; i++) {
        sent[i] = submit(c, "5001", SPARK);
        run();
    }
    assert_true(counted(counters()->waiting_messages) > 20);
    stream_read_start(s->stream);
    run();
    assert_int_equal(counted(counters()->waiting_messages), 0);
    for (unsigned i = 0; i < 30; i++) {
        answer_next(s);
        expect_answer(c, SMPP_SUBMIT_SM, sent[i], ESME_ROK);
    }
    world_end();
}

/* --- the barrier -----------------------------------------------------------------------------------------
 */

static void octets_of_an_older_table_are_told(void **state)
{
    (void)state;
    world_begin_without_table(&(struct setup){.client = "window = 1000"});
    world.plans[SPARK_REDX].capacity = 100;
    route("5001", "spark", "redx", ROUTE_OPEN);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    s->careless = c->careless = true;
    s->answers = world.plans[SPARK_OMNI].answers = true;
    uint64_t before = world.worker.version;
    assert_null(forward_holds_older(&world.worker, before + 1));
    stream_read_stop(s->stream);
    for (unsigned i = 0; i < 5; i++) {
        submit(c, "5001", SPARK);
        run();
    }
    route("5001", "spark", "omni", ROUTE_OPEN);
    uint64_t after = world.worker.version;
    assert_string_equal(forward_holds_older(&world.worker, after), "spark-redx");
    assert_null(forward_holds_older(&world.worker, before));
    run();
    assert_string_equal(forward_holds_older(&world.worker, after), "spark-redx");
    stream_read_start(s->stream);
    run();
    assert_null(forward_holds_older(&world.worker, after));
    smsc(SPARK_OMNI)->careless = true;
    world_end();
}

static void a_stuck_leg_that_is_closed_holds_nothing(void **state)
{
    (void)state;
    world_begin_without_table(&plain);
    world.plans[SPARK_REDX].capacity = 100;
    route("5001", "spark", "redx", ROUTE_OPEN);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    c->careless = true;
    stream_read_stop(s->stream);
    for (unsigned i = 0; i < 5; i++) {
        submit(c, "5001", SPARK);
        run();
    }
    route("5001", "spark", "omni", ROUTE_OPEN);
    assert_non_null(forward_holds_older(&world.worker, world.worker.version));
    stream_pair_cut(s->pair);
    run();
    assert_null(forward_holds_older(&world.worker, world.worker.version));
    c->answers = true;
    smsc(SPARK_OMNI)->careless = true;
    world.debts_allowed = true; /* those sent the new way */
    world_end();
}

/* A leg that is never idle must not count for ever as one that holds old octets. */
static void a_busy_leg_passes_the_barrier(void **state)
{
    (void)state;
    world_begin_without_table(&(struct setup){.client = "mo-window = 100"});
    world.plans[SPARK_REDX].capacity = 300;
    route("5001", "spark", "redx", ROUTE_OPEN);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    struct peer *s = smsc(SPARK_REDX);
    for (unsigned i = 0; i < 10; i++) {
        deliver(s, SPARK, "5001");
    }
    run();
    stream_read_stop(s->stream);
    for (unsigned i = 0; i < 10; i++) { /* routed by the first table, until it is busy */
        submit(c, "5001", SPARK);
    }
    run();
    s->careless = c->careless = true;
    route("5002", "spark", "redx", ROUTE_OPEN);
    uint64_t after = world.worker.version;
    for (unsigned i = 0; i < 10; i++) { /* more than the stream takes, of the second */
        uint8_t resp[200] = {0};
        struct pdu *mo = take(c, SMPP_DELIVER_SM);
        smpp_put_header(
            resp, &(struct smpp_header){sizeof resp, SMPP_DELIVER_SM | SMPP_RESPONSE_BIT, 0, mo->sequence});
        send_pdu(c, resp, sizeof resp);
    }
    run();
    assert_non_null(forward_holds_older(&world.worker, after));
    stream_read_start(s->stream);
    world.step = 10;
    while (s->inbox_len < 10) { /* the messages have come, the answers have not */
        world_turn();
    }
    world_turn();
    stream_read_stop(s->stream);
    world_turn();
    struct leg *leg = registry_at(&world.worker.legs, 0);
    assert_true(conn_is_stuck(&leg->conn));
    assert_null(forward_holds_older(&world.worker, after));
    stream_read_start(s->stream);
    world.debts_allowed = true;
    world_end();
}

/* --- everything at once ----------------------------------------------------------------------------------
 */

static struct peer *any_peer(bool client)
{
    for (unsigned tries = 0; tries < 20 && world.peers_count > 0; tries++) {
        struct peer *p = world.peers[dice(world.peers_count)];
        if ((p->link < 0) == client && p->stream != NULL) {
            return p;
        }
    }
    return NULL;
}

/* Answers something that the peer has got, in any order. */
static void answer_any(struct peer *p)
{
    while (waiting(p) > 0) {
        size_t skip = dice(waiting(p));
        struct pdu *pdu = p->inbox[p->inbox_read + skip];
        p->inbox[p->inbox_read + skip] = p->inbox[p->inbox_read];
        p->inbox_read++;
        if (smpp_has_response(pdu->id)) {
            answer(p, pdu, dice(3) == 0 ? ESME_RMSGQFUL : ESME_ROK, "id");
            return;
        }
    }
}

static void disturb(struct peer *c, struct peer *s)
{
    static const char *const platforms[] = {"redx", "omni"};
    static const char *const carriers[] = {"spark", "onenz"};
    switch (dice(12)) {
    case 0:
    case 1:
    case 2:
        route(dice(2) == 0 ? "5001" : "5002", carriers[dice(2)], platforms[dice(2)],
              (enum route_state)dice(ROUTE_STATE_COUNT));
        break;
    case 3: reload(&(struct setup){.client = "window = 3", .without = {[SPARK_OMNI] = dice(2) == 0}}); break;
    case 4: reload(&(struct setup){.client = "wait-count = 2", .without_acme = dice(6) == 0}); break;
    case 5: c == NULL ? (void)0 : stream_pair_cut(c->pair); break;
    case 6: s == NULL ? (void)0 : stream_pair_cut(s->pair); break;
    case 7: c == NULL ? (void)0 : send_header(c, SMPP_UNBIND, 0, next_sequence(c)); break;
    case 8: s == NULL ? (void)0 : send_header(s, SMPP_UNBIND, 0, next_sequence(s)); break;
    case 9: world.plans[dice(LINKS)].mood = dice(2) == 0 ? LINK_DOWN : LINK_UP; break;
    case 10: pass(dice(3 * SECOND)); break;
    default: world.step = dice(3) * dice(50); break;
    }
}

static void random_step(void)
{
    struct peer *c = any_peer(true);
    struct peer *s = any_peer(false);
    switch (dice(16)) {
    case 0: disturb(c, s); break;
    case 1:
        if (world.peers_count < PEERS_MAX / 2) {
            struct peer *fresh = connect_client();
            if (fresh != NULL) {
                fresh->careless = true;
                send_bind_as(fresh, SMPP_BIND_TRANSCEIVER, dice(4) == 0 ? "zeta" : "acme", "secret");
            }
        }
        break;
    case 2:
    case 3:
    case 4: c == NULL ? (void)0 : answer_any(c); break;
    case 5:
    case 6:
    case 7:
    case 8: s == NULL ? (void)0 : answer_any(s); break;
    case 9:
    case 10: s == NULL ? 0 : deliver(s, SPARK, dice(2) == 0 ? "5001" : "5002"); break;
    default: c == NULL ? 0 : submit(c, dice(2) == 0 ? "5001" : "5002", dice(2) == 0 ? SPARK : ONENZ); break;
    }
    if (dice(3) == 0) {
        world_settle();
    }
}

static void nobody_is_left_without_an_answer_or_with_two(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 60; round++) {
        world_begin(&(struct setup){.link = "window = 4 response-timeout = 3s",
                                    .client = "response-timeout = 4s wait-count = 3 max-binds = 1000"});
        for (unsigned i = 0; i < 400 && world.peers_count < PEERS_MAX - 50; i++) {
            random_step();
        }
        for (unsigned i = 0; i < LINKS; i++) {
            world.plans[i].mood = LINK_UP;
        }
        world.step = 0;
        pass(300 * SECOND); /* reloads have brought the default of 20 s back, and what waits comes after */
        for (unsigned i = 0; i < world.peers_count; i++) {
            world.peers[i]->careless = true;
        }
        if (dice(2) == 0) {
            forward_end_all(&world.worker);
            pass(30 * SECOND);
            assert_int_equal(world.worker.clients.count, 0);
        }
        world_end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mo_goes_to_the_client_and_its_answer_back),
        cmocka_unit_test(mo_and_its_answer_pass_unchanged),
        cmocka_unit_test(a_receipt_is_counted_as_one),
        cmocka_unit_test(mo_comes_from_the_platform_left_too),
        cmocka_unit_test(mo_of_another_client_goes_to_its_owner),
        cmocka_unit_test(a_silent_client_is_answered_for),
        cmocka_unit_test(a_client_that_goes_leaves_refusals),
        cmocka_unit_test(mo_needs_a_client_that_receives),
        cmocka_unit_test(mo_to_a_transmitter_is_refused),
        cmocka_unit_test(mo_has_a_window_of_its_own),
        cmocka_unit_test(an_alert_passes_and_needs_no_answer),
        cmocka_unit_test(an_answer_for_the_old_connection_is_not_sent_on_the_new),
        cmocka_unit_test(a_client_may_leave),
        cmocka_unit_test(a_client_that_leaves_gets_its_answers_first),
        cmocka_unit_test(a_client_that_leaves_gets_its_answers_though_it_reads_slowly),
        cmocka_unit_test(a_client_that_vanishes_takes_its_legs_with_it),
        cmocka_unit_test(a_leg_that_leaves_waits_for_what_the_client_owes),
        cmocka_unit_test(an_smsc_that_leaves_gets_what_the_client_owes),
        cmocka_unit_test(a_leg_that_is_not_let_go_goes_all_the_same),
        cmocka_unit_test(a_client_taken_away_is_ended_in_order),
        cmocka_unit_test(a_client_taken_away_while_it_binds_is_answered),
        cmocka_unit_test(a_link_taken_away_is_left_in_order),
        cmocka_unit_test(a_link_taken_away_while_it_is_down_is_forgotten),
        cmocka_unit_test(a_reload_of_the_same_disturbs_nothing),
        cmocka_unit_test(a_reload_follows_limits),
        cmocka_unit_test(draining_answers_what_is_in_flight_and_then_unbinds),
        cmocka_unit_test(draining_does_not_wait_for_a_paused_client),
        cmocka_unit_test(a_client_that_keeps_to_its_window_is_read),
        cmocka_unit_test(an_answer_behind_a_pause_is_waited_for),
        cmocka_unit_test(a_client_that_does_not_answer_unbind_is_closed),
        cmocka_unit_test(a_connection_that_does_not_bind_is_closed),
        cmocka_unit_test(a_pdu_that_is_not_completed_ends_the_session),
        cmocka_unit_test(nothing_is_sent_on_for_a_client_that_is_being_closed),
        cmocka_unit_test(an_smsc_that_does_not_complete_a_pdu_is_left),
        cmocka_unit_test(a_silent_client_is_asked_and_then_closed),
        cmocka_unit_test(enquire_link_comes_in_time_also_when_the_bind_was_slow),
        cmocka_unit_test(enquire_link_is_not_put_off_by_a_long_session_init),
        cmocka_unit_test(a_silent_smsc_is_asked_and_then_left),
        cmocka_unit_test(a_client_that_sends_nothing_is_inactive),
        cmocka_unit_test(enquire_link_is_answered_here_on_both_sides),
        cmocka_unit_test(wrong_states_and_unknown_commands_are_refused),
        cmocka_unit_test(lost_framing_ends_the_session),
        cmocka_unit_test(a_client_that_does_not_read_is_closed_at_the_limit),
        cmocka_unit_test(an_smsc_that_does_not_read_makes_messages_wait),
        cmocka_unit_test(octets_of_an_older_table_are_told),
        cmocka_unit_test(a_stuck_leg_that_is_closed_holds_nothing),
        cmocka_unit_test(a_busy_leg_passes_the_barrier),
        cmocka_unit_test(nobody_is_left_without_an_answer_or_with_two),
    };
    return cmocka_run_group_tests_name("forward_sessions", tests, be_quiet, be_done);
}
