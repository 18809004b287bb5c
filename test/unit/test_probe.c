/* Probes: how far each comes, what is told of it, and that nothing of it is left. And what a survey counts. */
#include "forward_world.h"

#include "proxy/probe.h"
#include "proxy/survey.h"

static const struct setup plain;
static struct probe_result outcome;
static unsigned outcomes;

static void note(void *ctx, const struct probe_result *result)
{
    (void)ctx;
    outcome = *result;
    outcomes++;
}

static struct probe_order order_of(int client)
{
    return (struct probe_order){.link = world.bundle->config->links[SPARK_OMNI].index,
                                .client = client,
                                .bind_id = SMPP_BIND_TRANSCEIVER,
                                .limit = 5 * SECOND};
}

static bool start(const struct probe_order *order)
{
    struct probe_result refused = {.step = PROBE_DONE};
    outcomes = 0;
    outcome = (struct probe_result){.step = PROBE_CONNECT};
    worker_wake(&world.worker);
    bool started = probe_start(&world.worker, order, note, NULL, &refused);
    if (!started) {
        assert_string_not_equal(refused.why, "");
        outcome = refused;
    }
    return started;
}

static void expect_outcome(enum probe_step step, const char *why)
{
    assert_int_equal(outcomes, 1);
    assert_string_equal(probe_step_name(outcome.step), probe_step_name(step));
    assert_string_equal(outcome.why, why);
}

static void world_without_probes(void)
{
    world.plans[SPARK_OMNI].mood = LINK_UP; /* in this world a stream that hangs is not even closed */
    run();
    assert_int_equal(world.worker.probes_count, 0);
    assert_null(world.worker.probes);
    world_end();
}

static void binds_asks_and_parts(void **state)
{
    (void)state;
    world_begin(&plain);
    struct probe_order order = order_of(PROBE_NO_CLIENT);
    order.bind_id = SMPP_BIND_TRANSMITTER;
    assert_true(start(&order));
    run();
    expect_outcome(PROBE_DONE, "");
    assert_true(outcome.connect_ns > 0 && outcome.bind_ns > 0 && outcome.round_trip_ns > 0);
    const struct peer *p = smsc(SPARK_OMNI);
    assert_null(p->stream);
    assert_int_equal(p->enquired, 1);
    assert_int_equal(p->unbound, 1);
    assert_int_equal(world.plans[SPARK_OMNI].bind->id, SMPP_BIND_TRANSMITTER);
    assert_int_equal(world.plans[SPARK_OMNI].connects, 1);
    assert_int_equal(counted(link_counters(SPARK_OMNI)->connects),
                     0); /* no leg: counters of legs tell of legs */
    world_without_probes();
}

static void tells_where_it_stopped(void **state)
{
    static const struct {
        enum link_mood mood;
        uint32_t bind_status;
        bool bind_silent;
        enum probe_step step;
        const char *why;
    } cases[] = {
        {LINK_DOWN, 0, false, PROBE_CONNECT, "connect: reset, the connection was cut"},
        {LINK_HANGS, 0, false, PROBE_BIND, "bind: not answered within 5.0 s"},
        {LINK_UP, 0, true, PROBE_BIND, "bind: not answered within 5.0 s"},
        {LINK_UP, ESME_RINVPASWD, false, PROBE_BIND, "bind was refused: ESME_RINVPASWD (0x0000000e)"},
        {LINK_UP, 0x401, false, PROBE_BIND, "bind was refused: a status of the SMSC's own (0x00000401)"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world_begin(&plain);
        world.plans[SPARK_OMNI].mood = cases[i].mood;
        world.plans[SPARK_OMNI].bind_status = cases[i].bind_status;
        world.plans[SPARK_OMNI].bind_silent = cases[i].bind_silent;
        struct probe_order order = order_of(PROBE_NO_CLIENT);
        assert_true(start(&order));
        assert_int_equal(outcomes, 0); /* not before it returns */
        pass(7 * SECOND);
        if (cases[i].mood != LINK_DOWN && cases[i].mood != LINK_HANGS) {
            expect_outcome(cases[i].step, cases[i].why);
        } else {
            assert_int_equal(outcomes, 1);
            assert_int_not_equal(outcome.step, PROBE_DONE);
        }
        assert_int_equal(outcome.command_status, cases[i].bind_status);
        assert_int_equal(world.plans[SPARK_OMNI].connects, 1); /* it is not tried again */
        world_without_probes();
    }
}

static void begins_only_where_it_can(void **state)
{
    (void)state;
    world_begin(&plain);
    struct probe_order order = order_of(PROBE_NO_CLIENT);
    world.plans[SPARK_OMNI].mood = LINK_NO_MEMORY;
    assert_false(start(&order));
    assert_string_equal(outcome.why, "no memory");
    order.link = 200;
    assert_false(start(&order));
    assert_string_equal(outcome.why, "the link has gone");
    world.plans[SPARK_OMNI].mood = LINK_HANGS;
    order = order_of(PROBE_NO_CLIENT);
    for (int i = 0; i < PROBES_MAX; i++) {
        assert_true(start(&order));
    }
    assert_false(start(&order));
    assert_string_equal(outcome.why, "too many probes are under way");
    outcomes = 0;
    pass(7 * SECOND);
    assert_int_equal(outcomes, PROBES_MAX);
    world_without_probes();
}

/* One that answers neither enquire_link nor unbind is left when its time is over. */
static void a_mute_smsc(void **state)
{
    (void)state;
    world_begin(&plain);
    struct probe_order order = order_of(PROBE_NO_CLIENT);
    assert_true(start(&order));
    smsc(SPARK_OMNI)->mute = true;
    pass(4 * SECOND);
    assert_int_equal(outcomes, 0);
    pass(2 * SECOND);
    expect_outcome(PROBE_ENQUIRE, "enquire_link: not answered within 5.0 s");
    pass(2 * SECOND);
    assert_int_equal(smsc(SPARK_OMNI)->unbound, 1);
    world_without_probes();
}

static void an_smsc_that_goes(void **state)
{
    (void)state;
    world_begin(&plain);
    struct probe_order order = order_of(PROBE_NO_CLIENT);
    world.plans[SPARK_OMNI].bind_silent = true;
    assert_true(start(&order));
    run();
    hang_up(smsc(SPARK_OMNI));
    run();
    assert_int_equal(outcomes, 1);
    assert_int_equal(outcome.step, PROBE_BIND);
    assert_non_null(strstr(outcome.why, "bind: "));
    world_without_probes();
}

static void the_worker_ends(void **state)
{
    (void)state;
    world_begin(&plain);
    struct probe_order order = order_of(PROBE_NO_CLIENT);
    world.plans[SPARK_OMNI].bind_silent = true;
    assert_true(start(&order));
    assert_true(start(&order));
    run();
    outcomes = 0;
    probe_end_all(&world.worker);
    assert_int_equal(outcomes, 2);
    assert_string_equal(outcome.why, "the instance is ending");
    run();
    world.worker.draining = true;
    assert_false(start(&order));
    world_without_probes();
}

/* --- credentials ---------------------------------------------------------------------------------------- */

static void assert_bind(const char *system_id, const char *password)
{
    struct smpp_bind_view view;
    const struct pdu *bind = world.plans[SPARK_OMNI].bind;
    assert_true(smpp_view_bind(bind->bytes, bind->len, &view));
    assert_int_equal(view.system_id.len, strlen(system_id));
    assert_memory_equal(view.system_id.p, system_id, strlen(system_id));
    assert_int_equal(view.password.len, strlen(password));
    assert_memory_equal(view.password.p, password, strlen(password));
}

static int acme_index(void)
{
    return (int)config_client(world.bundle->config, (const uint8_t *)"acme", 4)->index;
}

static void as_the_client_would(void **state)
{
    (void)state;
    world_begin(
        &(struct setup){.link_of = {[SPARK_OMNI] = "credentials = \"client\""},
                        .client = "upstream \"spark-omni\" { system-id = \"acme2\" password = \"pw2\" }"});
    struct probe_order order = order_of(acme_index());
    assert_true(start(&order));
    run();
    expect_outcome(PROBE_DONE, "");
    assert_bind("acme2", "pw2");
    order.client = PROBE_NO_CLIENT;
    assert_false(start(&order));
    assert_string_equal(outcome.why, "there are no credentials for it");
    world_without_probes();
}

static void with_what_the_session_sent(void **state)
{
    (void)state;
    world_begin(&(struct setup){.link_of = {[SPARK_OMNI] = "credentials = \"pass\""}});
    struct probe_order order = order_of(acme_index());
    assert_false(start(&order));
    assert_string_equal(outcome.why, "there are no credentials for it");
    struct peer *client = bound(SMPP_BIND_TRANSCEIVER);
    assert_true(start(&order));
    run();
    expect_outcome(PROBE_DONE, "");
    assert_bind("acme", "secret");
    /* It goes while the probe connects. */
    world.plans[SPARK_OMNI].mood = LINK_HANGS;
    assert_true(start(&order));
    hang_up(client);
    run();
    world.plans[SPARK_OMNI].mood = LINK_UP;
    run();
    assert_int_equal(outcomes, 1);
    assert_non_null(strstr(outcome.why, "has gone"));
    world_without_probes();
}

/* --- the test message ----------------------------------------------------------------------------------- */

static void begin_message(struct probe_order *order)
{
    world_begin(&plain);
    world.unnumbered = true;
    *order = order_of(PROBE_NO_CLIENT);
    snprintf(order->source, sizeof order->source, "5001");
    snprintf(order->destination, sizeof order->destination, SPARK);
    snprintf(order->text, sizeof order->text, "kia ora");
    assert_true(start(order));
    run();
}

static uint32_t send_receipt(const char *id)
{
    char text[120];
    uint8_t pdu[300];
    struct peer *p = smsc(SPARK_OMNI);
    uint32_t sequence = next_sequence(p);
    snprintf(text, sizeof text, "id:%s sub:001 dlvrd:001 stat:DELIVRD err:000 text:", id);
    struct smpp_message_fields fields = {.command_id = SMPP_DELIVER_SM,
                                         .sequence_number = sequence,
                                         .service_type = "",
                                         .source = SPARK,
                                         .dest = "5001",
                                         .esm_class = 4,
                                         .schedule_delivery_time = "",
                                         .validity_period = "",
                                         .text = {(const uint8_t *)text, (uint32_t)strlen(text)}};
    send_pdu(p, pdu, smpp_encode_message(pdu, sizeof pdu, &fields));
    return sequence;
}

static void a_message_and_its_receipt(void **state)
{
    struct probe_order order;
    struct smpp_message_view view;
    (void)state;
    begin_message(&order);
    struct peer *p = smsc(SPARK_OMNI);
    const struct pdu *sent = take(p, SMPP_SUBMIT_SM);
    assert_true(smpp_view_message(sent->bytes, sent->len, &view));
    assert_int_equal(view.source.digits.len, 4);
    assert_memory_equal(view.source.digits.p, "5001", 4);
    assert_memory_equal(view.dest.digits.p, SPARK, strlen(SPARK));
    assert_memory_equal(view.text.p, "kia ora", 7);
    assert_int_equal(view.registered_delivery, 1);
    answer(p, sent, ESME_ROK, "77a");
    run();
    assert_int_equal(outcomes, 0);
    uint32_t other = send_receipt("77b");
    uint32_t mo = deliver(p, SPARK, "5001");
    run();
    expect_answer(p, SMPP_DELIVER_SM, other, ESME_RSYSERR); /* the carrier's mo-refusal */
    expect_answer(p, SMPP_DELIVER_SM, mo, ESME_RSYSERR);
    uint32_t ours = send_receipt("77a");
    run();
    expect_answer(p, SMPP_DELIVER_SM, ours, ESME_ROK);
    expect_outcome(PROBE_DONE, "");
    assert_string_equal(outcome.message_id, "77a");
    assert_non_null(strstr(outcome.receipt, "stat:DELIVRD"));
    assert_true(outcome.answer_ns > 0 && outcome.receipt_ns >= outcome.answer_ns);
    assert_int_equal(p->unbound, 1);
    world_without_probes();
}

/* A receipt may overtake the answer: it is answered when it is known whose it is. */
static void a_receipt_that_comes_early(void **state)
{
    static const char *const ids[] = {"77a", "77b"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct probe_order order;
        begin_message(&order);
        struct peer *p = smsc(SPARK_OMNI);
        const struct pdu *sent = take(p, SMPP_SUBMIT_SM);
        uint32_t early = send_receipt(ids[i]);
        run();
        expect_nothing(p);
        uint32_t second = send_receipt("77c"); /* there is room for one */
        run();
        expect_answer(p, SMPP_DELIVER_SM, second, ESME_RSYSERR);
        answer(p, sent, ESME_ROK, "77a");
        run();
        expect_answer(p, SMPP_DELIVER_SM, early, i == 0 ? ESME_ROK : ESME_RSYSERR);
        assert_int_equal(outcomes, i == 0 ? 1 : 0);
        if (i == 1) {
            uint32_t ours = send_receipt("77a");
            run();
            expect_answer(p, SMPP_DELIVER_SM, ours, ESME_ROK);
        }
        expect_outcome(PROBE_DONE, "");
        world_without_probes();
    }
}

static void a_message_that_is_refused(void **state)
{
    struct probe_order order;
    (void)state;
    begin_message(&order);
    struct peer *p = smsc(SPARK_OMNI);
    answer(p, take(p, SMPP_SUBMIT_SM), ESME_RTHROTTLED, "");
    pass(10 * SECOND);
    expect_nothing(p); /* it is not sent again */
    expect_outcome(PROBE_SUBMIT, "submit_sm was refused: ESME_RTHROTTLED (0x00000058)");
    world_without_probes();
}

/* What waits for the id gets its answer also where there never is one. */
static void a_receipt_that_comes_early_and_a_refusal(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct probe_order order;
        begin_message(&order);
        struct peer *p = smsc(SPARK_OMNI);
        const struct pdu *sent = take(p, SMPP_SUBMIT_SM);
        uint32_t early = send_receipt("77a");
        run();
        expect_nothing(p);
        if (i == 0) {
            answer(p, sent, ESME_RTHROTTLED, "");
            run();
        } else {
            pass(7 * SECOND);
        }
        expect_answer(p, SMPP_DELIVER_SM, early, ESME_RSYSERR);
        expect_nothing(p);
        assert_int_equal(outcomes, 1);
        assert_int_equal(outcome.step, PROBE_SUBMIT);
        world_without_probes();
    }
}

static void a_message_without_answer_or_receipt(void **state)
{
    struct probe_order order;
    (void)state;
    begin_message(&order);
    const struct pdu *sent = take(smsc(SPARK_OMNI), SMPP_SUBMIT_SM);
    pass(7 * SECOND);
    assert_int_equal(outcomes, 1);
    assert_int_equal(outcome.step, PROBE_SUBMIT);
    assert_string_not_equal(outcome.why, "");
    world_without_probes();
    begin_message(&order);
    sent = take(smsc(SPARK_OMNI), SMPP_SUBMIT_SM);
    answer(smsc(SPARK_OMNI), sent, ESME_ROK, "1");
    pass(7 * SECOND);
    assert_int_equal(outcomes, 1);
    assert_int_equal(outcome.step, PROBE_RECEIPT);
    assert_non_null(strstr(outcome.why, "another session of the account"));
    world_without_probes();
}

/* --- survey --------------------------------------------------------------------------------------------- */

static void counts_sessions_legs_and_what_is_in_flight(void **state)
{
    (void)state;
    world_begin(&plain);
    route("5002", "spark", "omni", ROUTE_OPEN);
    world.plans[ONENZ_REDX].mood = LINK_DOWN;
    struct peer *one = bound(SMPP_BIND_TRANSCEIVER);
    (void)bound(SMPP_BIND_RECEIVER);
    struct survey sum = {.complete = true};
    struct survey part = {.complete = false};
    for (int i = 0; i < 3; i++) {
        (void)submit(one, "5001", SPARK);
    }
    run();
    survey_take(&world.worker, &part);
    survey_add(&sum, &part);
    survey_add(&sum, &part); /* as of two workers */
    unsigned acme = (unsigned)acme_index();
    const struct survey_client *row = survey_client(&sum, acme);
    assert_true(sum.complete);
    assert_int_equal(survey_sessions(row), 4);
    assert_int_equal(row->sessions[metrics_bind_type(SMPP_BIND_RECEIVER)], 2);
    assert_int_equal(row->in_flight, 6);
    const struct config_link *links = world.bundle->config->links;
    const struct survey_leg *redx = survey_leg(&sum, acme, links[SPARK_REDX].index);
    assert_int_equal(redx->states[LEG_BOUND], 4);
    assert_int_equal(redx->used, 6);
    assert_int_equal(redx->size, 4 * links[SPARK_REDX].window);
    assert_int_equal(survey_leg(&sum, acme, links[ONENZ_REDX].index)->states[LEG_BOUND], 0);
    assert_null(survey_client(&sum, acme + 100));
    assert_null(survey_leg(&sum, acme, 200));
    assert_int_equal(survey_sessions(NULL), 0);
    survey_clear(&part);
    survey_clear(&sum);
    struct peer *p = smsc(SPARK_REDX);
    for (unsigned i = 0; i < world.peers_count; i++) {
        p = world.peers[i];
        while (waiting(p) > 0 && p->link == SPARK_REDX) {
            answer(p, take(p, SMPP_SUBMIT_SM), ESME_ROK, "1");
        }
    }
    run();
    for (int i = 0; i < 3; i++) {
        (void)take(one, SMPP_SUBMIT_SM | SMPP_RESPONSE_BIT);
    }
    world_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(binds_asks_and_parts),
        cmocka_unit_test(tells_where_it_stopped),
        cmocka_unit_test(begins_only_where_it_can),
        cmocka_unit_test(a_mute_smsc),
        cmocka_unit_test(an_smsc_that_goes),
        cmocka_unit_test(the_worker_ends),
        cmocka_unit_test(as_the_client_would),
        cmocka_unit_test(with_what_the_session_sent),
        cmocka_unit_test(a_message_and_its_receipt),
        cmocka_unit_test(a_receipt_that_comes_early),
        cmocka_unit_test(a_message_that_is_refused),
        cmocka_unit_test(a_receipt_that_comes_early_and_a_refusal),
        cmocka_unit_test(a_message_without_answer_or_receipt),
        cmocka_unit_test(counts_sessions_legs_and_what_is_in_flight),
    };
    return cmocka_run_group_tests(tests, be_quiet, be_done);
}
