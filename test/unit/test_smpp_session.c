/* The session: the whole (role, state, command) table against an expectation written as rules, octets one at
 * a time, and the timers under a time that is passed in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "smpp/constants.h"
#include "smpp/session.h"
#include "test/unit/guard.h"
#include "test/unit/smpp_samples.h"

enum { SECOND = 1000000000 };

static const struct smpp_session_limits limits = {
    .max_pdu_open = 300,
    .max_pdu_bound = 1000,
    .session_init = 5ULL * SECOND,
    .enquire_link = 30ULL * SECOND,
    .response = 10ULL * SECOND,
    .inactivity = 300ULL * SECOND,
    .partial = 20ULL * SECOND,
};

/* One PDU of this command, with this body, given whole. */
static size_t feed_body(struct smpp_session *s, uint32_t id, const void *body, size_t body_len, uint64_t now,
                        struct smpp_event *event)
{
    uint8_t pdu[SAMPLE_MAX];
    size_t len = sample_make(pdu, id, 0, body, body_len);
    memset(event, 0xEE, sizeof *event);
    return smpp_session_next(s, guard_put(pdu, len), len, now, event);
}

static enum smpp_event_kind feed(struct smpp_session *s, uint32_t id, uint64_t now, struct smpp_event *event)
{
    size_t consumed = feed_body(s, id, NULL, 0, now, event);
    assert_int_equal(consumed, event->kind == SMPP_EVENT_BROKEN ? 0 : 16);
    return event->kind;
}

static uint32_t bind_for(enum smpp_state state)
{
    if (state == SMPP_BOUND_TX)
        return SMPP_BIND_TRANSMITTER;
    return state == SMPP_BOUND_RX ? SMPP_BIND_RECEIVER : SMPP_BIND_TRANSCEIVER;
}

/* A session of this role, brought to this state the way that an owner would. */
static struct smpp_session reach(enum smpp_role role, enum smpp_state state)
{
    struct smpp_session s;
    struct smpp_event event;
    smpp_session_init(&s, role, &limits, 0);
    if (state == SMPP_OPEN)
        return s;
    if (role == SMPP_ROLE_ESME)
        smpp_session_sent_bind(&s, bind_for(state), 1, 0);
    else
        assert_int_equal(feed(&s, bind_for(state), 0, &event), SMPP_EVENT_BIND);
    if (state >= SMPP_BOUND_TX)
        smpp_session_bound(&s, 0x34, 0);
    if (state == SMPP_UNBINDING)
        smpp_session_unbinding(&s, 0);
    if (state == SMPP_CLOSED)
        smpp_session_end(&s, 0);
    assert_int_equal(s.state, state);
    return s;
}

/* --- the table, told once more as rules ----------------------------------------------------------------- */

static bool transmits(enum smpp_state state)
{
    return state == SMPP_BOUND_TX || state == SMPP_BOUND_TRX;
}

static bool receives(enum smpp_state state)
{
    return state == SMPP_BOUND_RX || state == SMPP_BOUND_TRX;
}

static bool from_esme_only(uint32_t request)
{
    return request == SMPP_SUBMIT_SM || request == SMPP_SUBMIT_MULTI || request == SMPP_QUERY_SM ||
           request == SMPP_CANCEL_SM || request == SMPP_REPLACE_SM;
}

/* May an ESME (to_smsc) or an SMSC come with this request for whoever is behind the other? */
static bool passes(uint32_t request, bool to_smsc, enum smpp_state state)
{
    if (to_smsc)
        return transmits(state) && (from_esme_only(request) || request == SMPP_DATA_SM);
    return receives(state) &&
           (request == SMPP_DELIVER_SM || request == SMPP_DATA_SM || request == SMPP_ALERT_NOTIFICATION);
}

static enum smpp_event_kind expected_request(enum smpp_role role, enum smpp_state state, uint32_t id)
{
    if (id == SMPP_ENQUIRE_LINK)
        return SMPP_EVENT_ANSWERED;
    if (id == SMPP_UNBIND)
        return state >= SMPP_BOUND_TX ? SMPP_EVENT_UNBIND : SMPP_EVENT_REFUSED;
    if (smpp_is_bind(id))
        return role == SMPP_ROLE_SMSC && state == SMPP_OPEN ? SMPP_EVENT_BIND : SMPP_EVENT_REFUSED;
    /* after a good-bye a request is passed on still, to be refused by whoever knows a status that the peer
     * retries */
    if (passes(id, role == SMPP_ROLE_SMSC, state == SMPP_UNBINDING ? SMPP_BOUND_TRX : state))
        return SMPP_EVENT_REQUEST;
    bool mute = id == SMPP_OUTBIND || id == SMPP_ALERT_NOTIFICATION;
    return mute ? SMPP_EVENT_IGNORED : SMPP_EVENT_REFUSED;
}

/* A response is one to something that we may have asked in this state, or stray. */
static bool expected_response(enum smpp_role role, enum smpp_state state, uint32_t id)
{
    uint32_t request = id & ~SMPP_RESPONSE_BIT;
    bool esme = role == SMPP_ROLE_ESME;
    if (state == SMPP_OPEN)
        return false;
    if (state == SMPP_BINDING)
        return esme && (smpp_is_bind(request) || id == SMPP_GENERIC_NACK);
    if (id == SMPP_GENERIC_NACK || request == SMPP_ENQUIRE_LINK)
        return true;
    if (request == SMPP_UNBIND)
        return state == SMPP_UNBINDING;
    if (state == SMPP_UNBINDING) /* how it was bound is not looked at any more */
        return passes(request, esme, SMPP_BOUND_TRX);
    return passes(request, esme, state);
}

static void check_reply(const struct smpp_event *event, uint32_t id, uint32_t status)
{
    struct smpp_header h;
    assert_int_equal(event->reply_len, 16);
    assert_int_equal(smpp_frame(event->reply, event->reply_len, 16, &h), SMPP_FRAME_WHOLE);
    assert_int_equal(h.command_id, id);
    assert_int_equal(h.command_status, status);
    assert_int_equal(h.sequence_number, SAMPLE_SEQUENCE);
}

static void check_kind(const struct smpp_event *event, uint32_t id)
{
    switch (event->kind) {
    case SMPP_EVENT_REFUSED:
        assert_int_equal(event->refusal, SMPP_REFUSED_STATE);
        check_reply(event, id | SMPP_RESPONSE_BIT, ESME_RINVBNDSTS);
        break;
    case SMPP_EVENT_ANSWERED:
    case SMPP_EVENT_UNBIND: check_reply(event, id | SMPP_RESPONSE_BIT, ESME_ROK); break;
    case SMPP_EVENT_IGNORED:
        assert_int_equal(event->refusal, smpp_is_response(id) ? SMPP_REFUSED_STRAY : SMPP_REFUSED_STATE);
        assert_int_equal(event->reply_len, 0);
        break;
    default:
        assert_int_equal(event->refusal, SMPP_REFUSED_NOT);
        assert_int_equal(event->reply_len, 0);
        break;
    }
}

static void check_state_after(const struct smpp_session *s, const struct smpp_event *event,
                              enum smpp_state before)
{
    if (event->kind == SMPP_EVENT_BIND)
        assert_int_equal(s->state, SMPP_BINDING);
    else if (event->kind == SMPP_EVENT_UNBIND)
        assert_int_equal(s->state, SMPP_UNBINDING);
    else
        assert_int_equal(s->state, before);
}

static void check_cell(enum smpp_role role, enum smpp_state state, uint32_t id)
{
    struct smpp_session s = reach(role, state);
    struct smpp_event event;
    enum smpp_event_kind kind = feed(&s, id, SECOND, &event);
    if (smpp_is_response(id))
        assert_int_equal(kind, expected_response(role, state, id) ? SMPP_EVENT_RESPONSE : SMPP_EVENT_IGNORED);
    else
        assert_int_equal(kind, expected_request(role, state, id));
    bool owed = kind == SMPP_EVENT_BIND || (kind == SMPP_EVENT_REQUEST && id != SMPP_ALERT_NOTIFICATION);
    assert_int_equal(event.needs_response, owed);
    assert_int_equal(event.header.command_id, id);
    assert_int_equal(event.header.sequence_number, SAMPLE_SEQUENCE);
    check_kind(&event, id);
    check_state_after(&s, &event, state);
}

static void the_whole_table(void **state)
{
    (void)state;
    for (int role = SMPP_ROLE_SMSC; role <= SMPP_ROLE_ESME; role++) {
        for (int at = SMPP_OPEN; at < SMPP_CLOSED; at++) {
            for (size_t i = 0; i < SAMPLE_COUNT; i++)
                check_cell((enum smpp_role)role, (enum smpp_state)at, samples[i].command_id);
        }
    }
}

static void what_may_be_sent_is_what_the_peer_would_accept(void **state)
{
    (void)state;
    for (int role = SMPP_ROLE_SMSC; role <= SMPP_ROLE_ESME; role++) {
        for (int at = SMPP_OPEN; at < SMPP_STATE_COUNT; at++) {
            struct smpp_session s = reach((enum smpp_role)role, (enum smpp_state)at);
            for (size_t i = 0; i < SAMPLE_COUNT; i++) {
                uint32_t id = samples[i].command_id;
                bool esme = role == SMPP_ROLE_ESME;
                bool may = passes(id, esme, s.state) || (id == SMPP_ENQUIRE_LINK && at < SMPP_UNBINDING) ||
                           (id == SMPP_UNBIND && smpp_state_is_bound(s.state)) ||
                           (smpp_is_bind(id) && esme && at == SMPP_OPEN);
                assert_int_equal(smpp_session_may_send(&s, id), may);
            }
            assert_false(smpp_session_may_send(&s, 0x00000111));
        }
    }
}

static void unknown_commands(void **state)
{
    (void)state;
    static const uint32_t requests[] = {0, 0x0A, 0x111, 0x00010200, 0x7FFFFFFF};
    static const uint32_t responses[] = {0x8000000B, 0x80000102, 0x80000111, 0xFFFFFFFF};
    struct smpp_event event;
    for (int role = SMPP_ROLE_SMSC; role <= SMPP_ROLE_ESME; role++) {
        for (int at = SMPP_OPEN; at < SMPP_CLOSED; at++) {
            struct smpp_session s = reach((enum smpp_role)role, (enum smpp_state)at);
            for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
                assert_int_equal(feed(&s, requests[i], 0, &event), SMPP_EVENT_REFUSED);
                assert_int_equal(event.refusal, SMPP_REFUSED_UNKNOWN);
                assert_false(event.needs_response);
                check_reply(&event, SMPP_GENERIC_NACK, ESME_RINVCMDID);
            }
            for (size_t i = 0; i < sizeof responses / sizeof responses[0]; i++) {
                assert_int_equal(feed(&s, responses[i], 0, &event), SMPP_EVENT_IGNORED);
                assert_int_equal(event.refusal, SMPP_REFUSED_UNKNOWN);
                assert_int_equal(event.reply_len, 0);
            }
        }
    }
}

static void a_closed_session_takes_nothing(void **state)
{
    (void)state;
    struct smpp_event event;
    for (int role = SMPP_ROLE_SMSC; role <= SMPP_ROLE_ESME; role++) {
        struct smpp_session s = reach((enum smpp_role)role, SMPP_CLOSED);
        for (size_t i = 0; i < SAMPLE_COUNT; i++) {
            assert_int_equal(feed(&s, samples[i].command_id, 0, &event), SMPP_EVENT_BROKEN);
            assert_int_equal(event.reply_len, 0);
            assert_false(event.needs_response);
        }
    }
}

/* --- octets --------------------------------------------------------------------------------------------- */

static void octets_one_at_a_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        struct smpp_session s = reach(SMPP_ROLE_SMSC, SMPP_BOUND_TRX);
        uint8_t pdu[SAMPLE_MAX];
        struct smpp_event event;
        size_t len = sample_octets(&samples[i], pdu);
        for (size_t cut = 0; cut < len; cut++) {
            assert_int_equal(smpp_session_next(&s, guard_put(pdu, cut), cut, cut, &event), 0);
            assert_int_equal(event.kind, SMPP_EVENT_PARTIAL);
            assert_int_equal(event.reply_len, 0);
            assert_int_equal(s.partial, cut > 0);
        }
        assert_int_equal(s.began_partial, 1); /* when the first octet came, not the last */
        assert_int_equal(smpp_session_next(&s, guard_put(pdu, len), len, len, &event), len);
        assert_false(s.partial);
        assert_int_not_equal(event.kind, SMPP_EVENT_PARTIAL);
    }
}

static void many_pdus_in_one_run(void **state)
{
    (void)state;
    struct smpp_session s = reach(SMPP_ROLE_SMSC, SMPP_BOUND_TRX);
    uint8_t run[8 * SAMPLE_MAX];
    size_t len = 0;
    for (int i = 0; i < 5; i++)
        len += sample_of(SMPP_SUBMIT_SM, run + len);
    memset(run + len, 0, 3);
    const uint8_t *data = guard_put(run, len + 3);
    size_t at = 0;
    struct smpp_event event;
    for (int i = 0; i < 5; i++) {
        size_t consumed = smpp_session_next(&s, data + at, len + 3 - at, 0, &event);
        assert_int_equal(event.kind, SMPP_EVENT_REQUEST);
        assert_ptr_equal(event.pdu, data + at);
        assert_int_equal(consumed, event.header.length);
        at += consumed;
    }
    assert_int_equal(smpp_session_next(&s, data + at, 3, 0, &event), 0);
    assert_int_equal(event.kind, SMPP_EVENT_PARTIAL);
    assert_true(s.partial);
}

static void check_broken(struct smpp_session *s, uint32_t length, size_t there, uint32_t sequence)
{
    uint8_t pdu[SAMPLE_MAX];
    struct smpp_event event;
    struct smpp_header h;
    sample_make(pdu, SMPP_SUBMIT_SM, 0, NULL, 0);
    sample_put32(pdu, length);
    assert_int_equal(smpp_session_next(s, guard_put(pdu, there), there, 0, &event), 0);
    assert_int_equal(event.kind, SMPP_EVENT_BROKEN);
    assert_int_equal(event.refusal, SMPP_REFUSED_LENGTH);
    assert_int_equal(event.reply_len, 16);
    assert_int_equal(smpp_frame(event.reply, 16, 16, &h), SMPP_FRAME_WHOLE);
    assert_int_equal(h.command_id, SMPP_GENERIC_NACK);
    assert_int_equal(h.command_status, ESME_RINVCMDLEN);
    assert_int_equal(h.sequence_number, sequence);
}

static void bad_lengths_lose_the_frame(void **state)
{
    (void)state;
    for (int at = SMPP_OPEN; at < SMPP_CLOSED; at++) {
        struct smpp_session s = reach(SMPP_ROLE_SMSC, (enum smpp_state)at);
        uint32_t max = at < SMPP_BOUND_TX ? 300 : 1000;
        check_broken(&s, 15, 16, SAMPLE_SEQUENCE);
        check_broken(&s, 0, 4, 0);
        check_broken(&s, 0xFFFFFFFF, 16, SAMPLE_SEQUENCE);
        check_broken(&s, max + 1, 16, SAMPLE_SEQUENCE);
        struct smpp_event event;
        uint8_t pdu[SAMPLE_MAX];
        sample_make(pdu, SMPP_SUBMIT_SM, 0, NULL, 0);
        sample_put32(pdu, max);
        smpp_session_next(&s, guard_put(pdu, 16), 16, 0, &event);
        assert_int_equal(event.kind, SMPP_EVENT_PARTIAL);
    }
}

static void responses_of_every_shape_pass(void **state)
{
    (void)state;
    static const struct {
        uint32_t status;
        const char *body;
        size_t len;
    } shapes[] = {{0, "0a1b\0", 5}, {0x458, "", 0}, {0x14, "\0", 1}, {0xDEADBEEF, "id\0\x14\0\0\0", 7}};
    struct smpp_session s = reach(SMPP_ROLE_ESME, SMPP_BOUND_TX);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        uint8_t pdu[SAMPLE_MAX];
        struct smpp_event event;
        size_t len = sample_make(pdu, 0x80000004, shapes[i].status, shapes[i].body, shapes[i].len);
        assert_int_equal(smpp_session_next(&s, guard_put(pdu, len), len, 0, &event), len);
        assert_int_equal(event.kind, SMPP_EVENT_RESPONSE);
        assert_int_equal(event.header.command_status, shapes[i].status);
    }
}

static void a_generic_nack_of_sequence_0_passes(void **state)
{
    (void)state;
    struct smpp_session s = reach(SMPP_ROLE_ESME, SMPP_BOUND_TX);
    uint8_t pdu[SAMPLE_MAX];
    struct smpp_event event;
    sample_make(pdu, SMPP_GENERIC_NACK, 3, NULL, 0);
    sample_put32(pdu + 12, 0);
    assert_int_equal(smpp_session_next(&s, guard_put(pdu, 16), 16, 0, &event), 16);
    assert_int_equal(event.kind, SMPP_EVENT_RESPONSE);
    assert_int_equal(event.header.sequence_number, 0);
}

static void refusals_have_a_nul_where_the_peer_needs_one(void **state)
{
    (void)state;
    struct smpp_session s = reach(SMPP_ROLE_SMSC, SMPP_BOUND_RX);
    struct smpp_event event;
    s.with_nul = true;
    feed(&s, SMPP_SUBMIT_SM, 0, &event);
    assert_int_equal(event.reply_len, 17);
    assert_int_equal(event.reply[16], 0);
    feed(&s, SMPP_ENQUIRE_LINK, 0, &event);
    assert_int_equal(event.reply_len, 16);
    assert_int_equal(event.reply[16], 0xEE); /* not touched beyond what is sent */
}

/* --- going through a life ------------------------------------------------------------------------------- */

static void a_bind_is_remembered(void **state)
{
    (void)state;
    struct smpp_session s;
    struct smpp_event event;
    smpp_session_init(&s, SMPP_ROLE_SMSC, &limits, 0);
    assert_int_equal(s.peer_version, 0x33);
    assert_int_equal(feed(&s, SMPP_BIND_RECEIVER, 3, &event), SMPP_EVENT_BIND);
    assert_int_equal(s.bind_id, SMPP_BIND_RECEIVER);
    assert_int_equal(s.bind_sequence, SAMPLE_SEQUENCE);
    smpp_session_bound(&s, 0x34, 4);
    assert_int_equal(s.state, SMPP_BOUND_RX);
    assert_int_equal(s.peer_version, 0x34);
}

static void a_second_bind_does_not_disturb_the_first(void **state)
{
    (void)state;
    struct smpp_session s = reach(SMPP_ROLE_SMSC, SMPP_BOUND_RX);
    struct smpp_event event;
    assert_int_equal(feed(&s, SMPP_BIND_TRANSCEIVER, 3, &event), SMPP_EVENT_REFUSED);
    assert_int_equal(s.bind_id, SMPP_BIND_RECEIVER);
    assert_int_equal(s.state, SMPP_BOUND_RX);
}

static void after_the_peers_unbind_nothing_is_asked_of_it(void **state)
{
    (void)state;
    struct smpp_session s = reach(SMPP_ROLE_SMSC, SMPP_BOUND_TRX);
    struct smpp_event event;
    assert_int_equal(feed(&s, SMPP_UNBIND, 3, &event), SMPP_EVENT_UNBIND);
    assert_int_equal(feed(&s, 0x80000005, 3, &event), SMPP_EVENT_RESPONSE);
    assert_int_equal(feed(&s, SMPP_SUBMIT_SM, 3, &event), SMPP_EVENT_REQUEST);
    assert_false(smpp_session_may_send(&s, SMPP_DELIVER_SM));
    uint64_t next;
    assert_int_equal(smpp_session_due(&s, 1000ULL * SECOND, &next), SMPP_DUE_NOTHING);
    assert_true(next == UINT64_MAX); /* the owner's slots run out, and it closes */
}

static void unbinds_that_cross_are_both_answered(void **state)
{
    (void)state;
    struct smpp_session s = reach(SMPP_ROLE_ESME, SMPP_UNBINDING);
    struct smpp_event event;
    uint64_t next;
    assert_int_equal(feed(&s, SMPP_UNBIND, 3, &event), SMPP_EVENT_UNBIND);
    assert_int_equal(feed(&s, 0x80000006, 3, &event), SMPP_EVENT_RESPONSE);
    assert_int_equal(smpp_session_due(&s, limits.response, &next), SMPP_DUE_END_UNBIND);
}

/* --- timers --------------------------------------------------------------------------------------------- */

/* Nothing is due one nanosecond before at, and asking again is said to be right then; at at, this is. */
static void check_due(const struct smpp_session *s, uint64_t at, enum smpp_due due)
{
    uint64_t next = 0;
    assert_int_equal(smpp_session_due(s, at - 1, &next), SMPP_DUE_NOTHING);
    assert_true(next == at);
    assert_int_equal(smpp_session_due(s, at, &next), due);
    assert_int_equal(smpp_session_due(s, at + 1, &next), due);
}

static void a_bind_must_come_and_complete(void **state)
{
    (void)state;
    struct smpp_session s;
    struct smpp_event event;
    smpp_session_init(&s, SMPP_ROLE_SMSC, &limits, 100);
    check_due(&s, 100 + limits.session_init, SMPP_DUE_END_INIT);
    feed(&s, SMPP_ENQUIRE_LINK, SECOND, &event); /* does not buy time */
    feed(&s, SMPP_BIND_RECEIVER, 2ULL * SECOND, &event);
    check_due(&s, 100 + limits.session_init, SMPP_DUE_END_INIT);
    smpp_session_bound(&s, 0x34, 3ULL * SECOND);
    check_due(&s, 3ULL * SECOND + limits.enquire_link, SMPP_DUE_ENQUIRE_LINK);
}

static void our_bind_must_be_answered(void **state)
{
    (void)state;
    struct smpp_session s;
    smpp_session_init(&s, SMPP_ROLE_ESME, &limits, 0);
    check_due(&s, limits.session_init, SMPP_DUE_END_INIT);
    smpp_session_sent_bind(&s, SMPP_BIND_TRANSMITTER, 1, SECOND);
    check_due(&s, SECOND + limits.response, SMPP_DUE_END_BIND);
}

static void silence_is_asked_about_and_then_the_end(void **state)
{
    (void)state;
    struct smpp_session s = reach(SMPP_ROLE_ESME, SMPP_BOUND_TX);
    uint64_t next;
    check_due(&s, limits.enquire_link, SMPP_DUE_ENQUIRE_LINK);
    assert_int_equal(smpp_session_due(&s, limits.enquire_link + 5, &next), SMPP_DUE_ENQUIRE_LINK);
    assert_true(next == limits.enquire_link + 5 + limits.response);
    smpp_session_sent_enquire_link(&s, limits.enquire_link + 5);
    check_due(&s, next, SMPP_DUE_END_SILENT);
    smpp_session_sent_enquire_link(&s, limits.enquire_link + 6); /* asking again does not buy time */
    check_due(&s, next, SMPP_DUE_END_SILENT);
}

static void any_pdu_breaks_the_silence(void **state)
{
    (void)state;
    static const uint32_t signs[] = {0x80000015, SMPP_SUBMIT_SM, 0x00000111, 0x80000004};
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        struct smpp_session s = reach(SMPP_ROLE_SMSC, SMPP_BOUND_TRX);
        struct smpp_event event;
        smpp_session_sent_enquire_link(&s, 40ULL * SECOND);
        feed(&s, signs[i], 45ULL * SECOND, &event);
        check_due(&s, 45ULL * SECOND + limits.enquire_link, SMPP_DUE_ENQUIRE_LINK);
    }
}

static void link_keeping_is_no_activity(void **state)
{
    (void)state;
    static const struct {
        uint32_t id;
        bool counts;
    } cases[] = {{SMPP_ENQUIRE_LINK, false}, {0x80000015, false},    {SMPP_DELIVER_SM, false},
                 {0x00000111, false},        {SMPP_SUBMIT_SM, true}, {0x80000005, true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct smpp_session s = reach(SMPP_ROLE_SMSC, SMPP_BOUND_TRX);
        struct smpp_event event;
        s.limits.enquire_link = 0;
        feed(&s, cases[i].id, 50ULL * SECOND, &event);
        check_due(&s, limits.inactivity + (cases[i].counts ? 50ULL * SECOND : 0), SMPP_DUE_END_INACTIVE);
    }
}

static void our_unbind_must_be_answered(void **state)
{
    (void)state;
    struct smpp_session s = reach(SMPP_ROLE_ESME, SMPP_BOUND_TRX);
    smpp_session_unbinding(&s, SECOND);
    check_due(&s, SECOND + limits.response, SMPP_DUE_END_UNBIND);
}

static void a_pdu_begun_must_be_completed(void **state)
{
    (void)state;
    for (int at = SMPP_OPEN; at < SMPP_CLOSED; at++) {
        struct smpp_session s = reach(SMPP_ROLE_SMSC, (enum smpp_state)at);
        struct smpp_event event;
        s.limits = (struct smpp_session_limits){.max_pdu_open = 300, .max_pdu_bound = 300, .partial = SECOND};
        smpp_session_next(&s, guard_put("\0", 1), 1, 7, &event);
        smpp_session_next(&s, guard_put("\0\0", 2), 2, 9, &event); /* a trickle does not buy time */
        check_due(&s, 7 + SECOND, SMPP_DUE_END_PARTIAL);
    }
}

static void timers_switched_off_are_never_due(void **state)
{
    (void)state;
    for (int role = SMPP_ROLE_SMSC; role <= SMPP_ROLE_ESME; role++) {
        for (int at = SMPP_OPEN; at < SMPP_STATE_COUNT; at++) {
            struct smpp_session s = reach((enum smpp_role)role, (enum smpp_state)at);
            uint64_t next = 0;
            s.limits = (struct smpp_session_limits){.max_pdu_open = 300, .max_pdu_bound = 300};
            s.enquiring = s.partial = true;
            assert_int_equal(smpp_session_due(&s, UINT64_MAX, &next), SMPP_DUE_NOTHING);
            assert_true(next == UINT64_MAX);
        }
    }
}

static void a_closed_session_has_nothing_due(void **state)
{
    (void)state;
    struct smpp_session s = reach(SMPP_ROLE_SMSC, SMPP_CLOSED);
    uint64_t next = 0;
    assert_int_equal(smpp_session_due(&s, UINT64_MAX, &next), SMPP_DUE_NOTHING);
    assert_true(next == UINT64_MAX);
}

static void endless_limits_do_not_wrap(void **state)
{
    (void)state;
    struct smpp_session s = reach(SMPP_ROLE_SMSC, SMPP_OPEN);
    uint64_t next = 0;
    s.connected = 5;
    s.limits.session_init = UINT64_MAX;
    assert_int_equal(smpp_session_due(&s, 100, &next), SMPP_DUE_NOTHING);
    assert_true(next == UINT64_MAX);
}

static void names_and_versions(void **state)
{
    (void)state;
    assert_string_equal(smpp_state_name(SMPP_BOUND_TRX), "bound_trx");
    assert_string_equal(smpp_refusal_name(SMPP_REFUSED_STRAY), "stray_response");
    assert_string_equal(smpp_due_name(SMPP_DUE_END_PARTIAL), "partial_pdu_timeout");
    assert_int_equal(smpp_sc_interface_version(0x00), -1);
    assert_int_equal(smpp_sc_interface_version(0x33), -1);
    assert_int_equal(smpp_sc_interface_version(0x34), 0x34);
    assert_int_equal(smpp_sc_interface_version(0x50), 0x34);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_table),
        cmocka_unit_test(what_may_be_sent_is_what_the_peer_would_accept),
        cmocka_unit_test(unknown_commands),
        cmocka_unit_test(a_closed_session_takes_nothing),
        cmocka_unit_test(octets_one_at_a_time),
        cmocka_unit_test(many_pdus_in_one_run),
        cmocka_unit_test(bad_lengths_lose_the_frame),
        cmocka_unit_test(responses_of_every_shape_pass),
        cmocka_unit_test(a_generic_nack_of_sequence_0_passes),
        cmocka_unit_test(refusals_have_a_nul_where_the_peer_needs_one),
        cmocka_unit_test(a_bind_is_remembered),
        cmocka_unit_test(a_second_bind_does_not_disturb_the_first),
        cmocka_unit_test(after_the_peers_unbind_nothing_is_asked_of_it),
        cmocka_unit_test(unbinds_that_cross_are_both_answered),
        cmocka_unit_test(a_bind_must_come_and_complete),
        cmocka_unit_test(our_bind_must_be_answered),
        cmocka_unit_test(silence_is_asked_about_and_then_the_end),
        cmocka_unit_test(any_pdu_breaks_the_silence),
        cmocka_unit_test(link_keeping_is_no_activity),
        cmocka_unit_test(our_unbind_must_be_answered),
        cmocka_unit_test(a_pdu_begun_must_be_completed),
        cmocka_unit_test(timers_switched_off_are_never_due),
        cmocka_unit_test(a_closed_session_has_nothing_due),
        cmocka_unit_test(endless_limits_do_not_wrap),
        cmocka_unit_test(names_and_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
