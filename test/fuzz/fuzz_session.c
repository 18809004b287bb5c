/* A session under arbitrary interleavings of octets, time and what its owner does, twice side by side: one gets
 * the octets of a step at once, the other one by one. Both must say the same and end in the same state.
 *
 *   input: role, then steps ──▶ octets of the peer ──▶ smpp_session_next  ──▶ events: legal, and answered once
 *                          ├──▶ time              ──▶ smpp_session_due    ──▶ due now, or not before *next
 *                          └──▶ the owner's acts, where they are legal   ──▶ the state moves as it should */
#include "smpp/constants.h"
#include "smpp/session.h"
#include "test/fuzz/fuzz.h"
#include "test/unit/guard.h"

enum { BUFFER = 4096, EVENTS_MAX = 1024, STEP_OCTETS_MAX = 600, SECOND = 1000000000 };

static const struct smpp_session_limits limits = {
    .max_pdu_open = 100,
    .max_pdu_bound = 1000,
    .session_init = 5ULL * SECOND,
    .enquire_link = 30ULL * SECOND,
    .response = 10ULL * SECOND,
    .inactivity = 300ULL * SECOND,
    .partial = 20ULL * SECOND,
};

struct side {
    struct smpp_session session;
    uint8_t buffer[BUFFER]; /* octets of an unfinished PDU */
    size_t len;
    unsigned events_count;
    struct smpp_event events[EVENTS_MAX]; /* of this step */
};

static struct side whole, slow;

static void answer_fits(const struct smpp_event *event)
{
    struct smpp_header reply;
    if (event->reply_len == 0)
        return;
    MUST(event->reply_len == SMPP_HEADER_LEN || event->reply_len == SMPP_REFUSAL_MAX);
    MUST(smpp_frame(event->reply, event->reply_len, SMPP_REFUSAL_MAX, &reply) == SMPP_FRAME_WHOLE);
    MUST(reply.length == event->reply_len && reply.sequence_number == event->header.sequence_number);
    MUST(reply.command_id == SMPP_GENERIC_NACK ||
         reply.command_id == (event->header.command_id | SMPP_RESPONSE_BIT));
    MUST(!smpp_is_response(event->header.command_id) || event->kind == SMPP_EVENT_BROKEN);
}

/* Whoever must answer, the session or its owner: one of them, and not both. */
static void answered_once(const struct smpp_event *event)
{
    bool replies = event->reply_len > 0;
    switch (event->kind) {
    case SMPP_EVENT_BIND: MUST(event->needs_response && !replies); break;
    case SMPP_EVENT_REQUEST:
        MUST(!replies && event->needs_response == smpp_has_response(event->header.command_id));
        break;
    case SMPP_EVENT_ANSWERED:
    case SMPP_EVENT_UNBIND:
    case SMPP_EVENT_REFUSED: MUST(replies && !event->needs_response); break;
    case SMPP_EVENT_RESPONSE: MUST(smpp_is_response(event->header.command_id) && !replies); break;
    default: MUST(!event->needs_response); break;
    }
}

static void judge(const struct side *side, const struct smpp_event *event, size_t consumed, size_t given)
{
    if (event->kind == SMPP_EVENT_PARTIAL || event->kind == SMPP_EVENT_BROKEN) {
        MUST(consumed == 0);
    } else {
        MUST(consumed == event->header.length && consumed <= given);
        MUST(event->header.length <= limits.max_pdu_bound);
        answered_once(event);
    }
    if (event->kind == SMPP_EVENT_BIND)
        MUST(side->session.state == SMPP_BINDING);
    if (event->kind == SMPP_EVENT_UNBIND)
        MUST(side->session.state == SMPP_UNBINDING);
    answer_fits(event);
}

static void remember(struct side *side, const struct smpp_event *event)
{
    if (event->kind != SMPP_EVENT_PARTIAL && side->events_count < EVENTS_MAX)
        side->events[side->events_count++] = *event;
}

/* All that the buffer has. False where framing is lost: the owner then ends the session. */
static void drain(struct side *side, uint64_t now)
{
    for (;;) {
        struct smpp_event event;
        memset(&event, 0xEE, sizeof event);
        const uint8_t *octets = guard_put(side->buffer, side->len);
        size_t consumed = smpp_session_next(&side->session, octets, side->len, now, &event);
        judge(side, &event, consumed, side->len);
        remember(side, &event);
        if (event.kind == SMPP_EVENT_BROKEN) {
            side->len = 0;
            smpp_session_end(&side->session, now);
            return;
        }
        if (event.kind == SMPP_EVENT_PARTIAL)
            return;
        side->len -= consumed;
        memmove(side->buffer, side->buffer + consumed, side->len);
    }
}

static void feed(struct side *side, struct input octets, size_t piece, uint64_t now)
{
    while (octets.len > 0 && side->session.state != SMPP_CLOSED) {
        struct input some = take_octets(&octets, piece);
        MUST(side->len + some.len <= BUFFER);
        memcpy(side->buffer + side->len, some.p, some.len);
        side->len += some.len;
        drain(side, now);
    }
}

/* --- both sides alike --------------------------------------------------------------------------------------- */

static void same_event(const struct smpp_event *a, const struct smpp_event *b)
{
    MUST(a->kind == b->kind && a->refusal == b->refusal && a->needs_response == b->needs_response);
    MUST(a->reply_len == b->reply_len && memcmp(a->reply, b->reply, a->reply_len) == 0);
    if (a->kind != SMPP_EVENT_BROKEN)
        MUST(memcmp(&a->header, &b->header, sizeof a->header) == 0);
}

static void same_sides(void)
{
    const struct smpp_session *a = &whole.session;
    const struct smpp_session *b = &slow.session;
    MUST(a->state == b->state && a->enquiring == b->enquiring);
    /* One that is closed keeps the trace of how its last octets came. */
    MUST(a->partial == b->partial || a->state == SMPP_CLOSED);
    MUST(a->parting == b->parting && a->bind_id == b->bind_id && a->bind_sequence == b->bind_sequence);
    MUST(a->since == b->since && a->heard == b->heard && a->active == b->active && a->asked == b->asked);
    MUST(!a->partial || a->began_partial == b->began_partial);
    MUST(whole.len == slow.len && whole.events_count == slow.events_count);
    for (unsigned i = 0; i < whole.events_count; i++)
        same_event(&whole.events[i], &slow.events[i]);
}

static void step_octets(struct input *in, uint64_t now)
{
    struct input octets = take_octets(in, 1 + take_number(in, STEP_OCTETS_MAX));
    struct smpp_session before = whole.session;
    feed(&whole, octets, octets.len, now);
    feed(&slow, octets, 1, now);
    /* A torn header makes the nack name sequence_number 0: with more octets at once it is named in full. */
    if (whole.session.state == SMPP_CLOSED && before.state != SMPP_CLOSED) {
        MUST(slow.session.state == SMPP_CLOSED && whole.events_count == slow.events_count);
        slow.events[slow.events_count - 1] = whole.events[whole.events_count - 1];
    }
}

static void step_due(uint64_t now)
{
    uint64_t next = 0;
    uint64_t again = 0;
    enum smpp_due due = smpp_session_due(&whole.session, now, &next);
    MUST(due == smpp_session_due(&slow.session, now, &again) && next == again && next >= now);
    if (due == SMPP_DUE_NOTHING && next > now + 1 && next != UINT64_MAX)
        MUST(smpp_session_due(&whole.session, next - 1, &again) == SMPP_DUE_NOTHING);
    if (due == SMPP_DUE_ENQUIRE_LINK) {
        smpp_session_sent_enquire_link(&whole.session, now);
        smpp_session_sent_enquire_link(&slow.session, now);
        MUST(smpp_session_due(&whole.session, now, &again) != SMPP_DUE_ENQUIRE_LINK);
    } else if (due != SMPP_DUE_NOTHING) {
        smpp_session_end(&whole.session, now);
        smpp_session_end(&slow.session, now);
        whole.len = slow.len = 0;
    }
}

static void act(struct smpp_session *s, unsigned what, uint64_t now)
{
    static const uint32_t binds[] = {SMPP_BIND_RECEIVER, SMPP_BIND_TRANSMITTER, SMPP_BIND_TRANSCEIVER};
    switch (what % 8) {
    case 0:
    case 1:
    case 2:
        if (s->role == SMPP_ROLE_ESME && s->state == SMPP_OPEN)
            smpp_session_sent_bind(s, binds[what % 8], 1, now);
        else if (s->state == SMPP_BINDING)
            smpp_session_bound(s, 0x34, now);
        break;
    case 3:
        if (smpp_state_is_bound(s->state))
            smpp_session_unbinding(s, now);
        break;
    case 4:
        if (s->state != SMPP_CLOSED)
            smpp_session_sent_enquire_link(s, now);
        break;
    case 5: smpp_session_deaf(s, now); break;
    case 6: s->with_nul = !s->with_nul; break;
    default: MUST(s->state != SMPP_CLOSED || !smpp_session_may_send(s, SMPP_SUBMIT_SM)); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    enum smpp_role role = take_octet(&in) % 2 == 0 ? SMPP_ROLE_SMSC : SMPP_ROLE_ESME;
    uint64_t now = SECOND;
    smpp_session_init(&whole.session, role, &limits, now);
    smpp_session_init(&slow.session, role, &limits, now);
    whole.len = slow.len = 0;
    while (in.len > 0) {
        uint8_t step = take_octet(&in);
        whole.events_count = slow.events_count = 0;
        switch (step % 4) {
        case 0:
        case 1: step_octets(&in, now); break;
        case 2:
            now += (uint64_t)take_octet(&in) * (SECOND / 4);
            step_due(now);
            break;
        default:
            act(&whole.session, step / 4, now);
            act(&slow.session, step / 4, now);
            break;
        }
        same_sides();
    }
    return 0;
}
