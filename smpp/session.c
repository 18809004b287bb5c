/* One PDU's way through the session:
 *
 *   bytes ──▶ smpp_frame ──▶ dense index of the command ──▶ verdicts[role][command][state]
 *                                                                 │
 *              event and, where the session answers itself, reply ◀── meanings[verdict]
 *
 * The table says what is allowed where; nothing else does. Times are kept as they are passed in; deadlines
 * are reckoned only in smpp_session_due. */
#include "smpp/session.h"

#include <assert.h>

#include "smpp/constants.h"

#define NAME_AT(id, name) [id] = (name),
static const char *const state_names[SMPP_STATE_COUNT] = {SMPP_STATES(NAME_AT)};
static const char *const refusal_names[SMPP_REFUSAL_COUNT] = {SMPP_REFUSALS(NAME_AT)};
static const char *const due_names[SMPP_DUE_COUNT] = {SMPP_DUES(NAME_AT)};

const char *smpp_state_name(enum smpp_state state)
{
    return state_names[state];
}

const char *smpp_refusal_name(enum smpp_refusal refusal)
{
    return refusal_names[refusal];
}

const char *smpp_due_name(enum smpp_due due)
{
    return due_names[due];
}

enum verdict {
    UNKN, /* no such command: generic_nack ESME_RINVCMDID */
    BIND,
    PASS, /* a request for whoever is behind us */
    NOTE, /* the same, but it has no response (alert_notification) */
    ASKS, /* enquire_link: answered here */
    LEAV, /* the peer unbinds */
    RESP, /* an answer to us */
    LIVE, /* the same to our enquire_link: no sign of use */
    STRY, /* an answer to nothing that we could have asked */
    WRNG, /* right command, wrong state: its response with ESME_RINVBNDSTS */
    DROP, /* the same for a command that has no response */
    VERDICT_COUNT
};

enum { STATES = 8 }; /* room for SMPP_CLOSED; a power of two is quickly gone through */
static_assert((int)SMPP_CLOSED <= (int)STATES, "a column for each state in which there are verdicts");

#define ROW(command, open, binding, tx, rx, trx, unbinding)                                          \
    [command##_INDEX] = {[SMPP_OPEN] = (open),   [SMPP_BINDING] = (binding), [SMPP_BOUND_TX] = (tx), \
                         [SMPP_BOUND_RX] = (rx), [SMPP_BOUND_TRX] = (trx),   [SMPP_UNBINDING] = (unbinding)}

/* clang-format off */
static const uint8_t verdicts[2][SMPP_COMMAND_COUNT][STATES] = {
    [SMPP_ROLE_SMSC] = { /* the peer is an ESME */
        /*                                open  binding  tx    rx   trx  unbinding */
        ROW(SMPP_UNKNOWN,                 UNKN, UNKN,  UNKN, UNKN, UNKN, UNKN),
        ROW(SMPP_GENERIC_NACK,            STRY, STRY,  RESP, RESP, RESP, RESP),
        ROW(SMPP_BIND_RECEIVER,           BIND, WRNG,  WRNG, WRNG, WRNG, WRNG),
        ROW(SMPP_BIND_TRANSMITTER,        BIND, WRNG,  WRNG, WRNG, WRNG, WRNG),
        ROW(SMPP_BIND_TRANSCEIVER,        BIND, WRNG,  WRNG, WRNG, WRNG, WRNG),
        ROW(SMPP_OUTBIND,                 DROP, DROP,  DROP, DROP, DROP, DROP),
        ROW(SMPP_UNBIND,                  WRNG, WRNG,  LEAV, LEAV, LEAV, LEAV),
        ROW(SMPP_ENQUIRE_LINK,            ASKS, ASKS,  ASKS, ASKS, ASKS, ASKS),
        ROW(SMPP_SUBMIT_SM,               WRNG, WRNG,  PASS, WRNG, PASS, PASS),
        ROW(SMPP_SUBMIT_MULTI,            WRNG, WRNG,  PASS, WRNG, PASS, PASS),
        ROW(SMPP_QUERY_SM,                WRNG, WRNG,  PASS, WRNG, PASS, PASS),
        ROW(SMPP_CANCEL_SM,               WRNG, WRNG,  PASS, WRNG, PASS, PASS),
        ROW(SMPP_REPLACE_SM,              WRNG, WRNG,  PASS, WRNG, PASS, PASS),
        ROW(SMPP_DATA_SM,                 WRNG, WRNG,  PASS, WRNG, PASS, PASS),
        ROW(SMPP_DELIVER_SM,              WRNG, WRNG,  WRNG, WRNG, WRNG, WRNG),
        ROW(SMPP_ALERT_NOTIFICATION,      DROP, DROP,  DROP, DROP, DROP, DROP),

        ROW(SMPP_BIND_RECEIVER_RESP,      STRY, STRY,  STRY, STRY, STRY, STRY),
        ROW(SMPP_BIND_TRANSMITTER_RESP,   STRY, STRY,  STRY, STRY, STRY, STRY),
        ROW(SMPP_BIND_TRANSCEIVER_RESP,   STRY, STRY,  STRY, STRY, STRY, STRY),
        ROW(SMPP_UNBIND_RESP,             STRY, STRY,  STRY, STRY, STRY, RESP),
        ROW(SMPP_ENQUIRE_LINK_RESP,       STRY, STRY,  LIVE, LIVE, LIVE, LIVE),
        ROW(SMPP_SUBMIT_SM_RESP,          STRY, STRY,  STRY, STRY, STRY, STRY),
        ROW(SMPP_SUBMIT_MULTI_RESP,       STRY, STRY,  STRY, STRY, STRY, STRY),
        ROW(SMPP_QUERY_SM_RESP,           STRY, STRY,  STRY, STRY, STRY, STRY),
        ROW(SMPP_CANCEL_SM_RESP,          STRY, STRY,  STRY, STRY, STRY, STRY),
        ROW(SMPP_REPLACE_SM_RESP,         STRY, STRY,  STRY, STRY, STRY, STRY),
        ROW(SMPP_DATA_SM_RESP,            STRY, STRY,  STRY, RESP, RESP, RESP),
        ROW(SMPP_DELIVER_SM_RESP,         STRY, STRY,  STRY, RESP, RESP, RESP),
    },
    [SMPP_ROLE_ESME] = { /* the peer is an SMSC */
        /*                                open  binding  tx    rx   trx  unbinding */
        ROW(SMPP_UNKNOWN,                 UNKN, UNKN,  UNKN, UNKN, UNKN, UNKN),
        ROW(SMPP_GENERIC_NACK,            STRY, RESP,  RESP, RESP, RESP, RESP), /* binding: it knows no such bind */
        ROW(SMPP_BIND_RECEIVER,           WRNG, WRNG,  WRNG, WRNG, WRNG, WRNG),
        ROW(SMPP_BIND_TRANSMITTER,        WRNG, WRNG,  WRNG, WRNG, WRNG, WRNG),
        ROW(SMPP_BIND_TRANSCEIVER,        WRNG, WRNG,  WRNG, WRNG, WRNG, WRNG),
        ROW(SMPP_OUTBIND,                 DROP, DROP,  DROP, DROP, DROP, DROP), /* we connect, we bind */
        ROW(SMPP_UNBIND,                  WRNG, WRNG,  LEAV, LEAV, LEAV, LEAV),
        ROW(SMPP_ENQUIRE_LINK,            ASKS, ASKS,  ASKS, ASKS, ASKS, ASKS),
        ROW(SMPP_SUBMIT_SM,               WRNG, WRNG,  WRNG, WRNG, WRNG, WRNG),
        ROW(SMPP_SUBMIT_MULTI,            WRNG, WRNG,  WRNG, WRNG, WRNG, WRNG),
        ROW(SMPP_QUERY_SM,                WRNG, WRNG,  WRNG, WRNG, WRNG, WRNG),
        ROW(SMPP_CANCEL_SM,               WRNG, WRNG,  WRNG, WRNG, WRNG, WRNG),
        ROW(SMPP_REPLACE_SM,              WRNG, WRNG,  WRNG, WRNG, WRNG, WRNG),
        ROW(SMPP_DATA_SM,                 WRNG, WRNG,  WRNG, PASS, PASS, PASS),
        ROW(SMPP_DELIVER_SM,              WRNG, WRNG,  WRNG, PASS, PASS, PASS),
        ROW(SMPP_ALERT_NOTIFICATION,      DROP, DROP,  DROP, NOTE, NOTE, NOTE),

        ROW(SMPP_BIND_RECEIVER_RESP,      STRY, RESP,  STRY, STRY, STRY, STRY),
        ROW(SMPP_BIND_TRANSMITTER_RESP,   STRY, RESP,  STRY, STRY, STRY, STRY),
        ROW(SMPP_BIND_TRANSCEIVER_RESP,   STRY, RESP,  STRY, STRY, STRY, STRY),
        ROW(SMPP_UNBIND_RESP,             STRY, STRY,  STRY, STRY, STRY, RESP),
        ROW(SMPP_ENQUIRE_LINK_RESP,       STRY, STRY,  LIVE, LIVE, LIVE, LIVE),
        ROW(SMPP_SUBMIT_SM_RESP,          STRY, STRY,  RESP, STRY, RESP, RESP),
        ROW(SMPP_SUBMIT_MULTI_RESP,       STRY, STRY,  RESP, STRY, RESP, RESP),
        ROW(SMPP_QUERY_SM_RESP,           STRY, STRY,  RESP, STRY, RESP, RESP),
        ROW(SMPP_CANCEL_SM_RESP,          STRY, STRY,  RESP, STRY, RESP, RESP),
        ROW(SMPP_REPLACE_SM_RESP,         STRY, STRY,  RESP, STRY, RESP, RESP),
        ROW(SMPP_DATA_SM_RESP,            STRY, STRY,  RESP, STRY, RESP, RESP),
        ROW(SMPP_DELIVER_SM_RESP,         STRY, STRY,  STRY, STRY, STRY, STRY),
    },
};
/* clang-format on */

/* What a verdict makes of a PDU. status is that of the reply, where there is one; active counts against the
 * inactivity timer. */
struct meaning {
    uint8_t kind;
    uint8_t refusal;
    uint8_t status;
    bool needs_response;
    bool reply;
    bool active;
    uint8_t room[2]; /* to a power of two */
};

static const struct meaning meanings[VERDICT_COUNT] = {
    [UNKN] = {.kind = SMPP_EVENT_REFUSED,
              .refusal = SMPP_REFUSED_UNKNOWN,
              .status = ESME_RINVCMDID,
              .reply = true},
    [BIND] = {.kind = SMPP_EVENT_BIND, .needs_response = true, .active = true},
    [PASS] = {.kind = SMPP_EVENT_REQUEST, .needs_response = true, .active = true},
    [NOTE] = {.kind = SMPP_EVENT_REQUEST, .active = true},
    [ASKS] = {.kind = SMPP_EVENT_ANSWERED, .status = ESME_ROK, .reply = true},
    [LEAV] = {.kind = SMPP_EVENT_UNBIND, .status = ESME_ROK, .reply = true},
    [RESP] = {.kind = SMPP_EVENT_RESPONSE, .active = true},
    [LIVE] = {.kind = SMPP_EVENT_RESPONSE},
    [STRY] = {.kind = SMPP_EVENT_IGNORED, .refusal = SMPP_REFUSED_STRAY},
    [WRNG] = {.kind = SMPP_EVENT_REFUSED,
              .refusal = SMPP_REFUSED_STATE,
              .status = ESME_RINVBNDSTS,
              .reply = true},
    [DROP] = {.kind = SMPP_EVENT_IGNORED, .refusal = SMPP_REFUSED_STATE},
};

static void move(struct smpp_session *s, enum smpp_state state, uint64_t now)
{
    s->state = state;
    s->verdicts = state == SMPP_CLOSED ? NULL : &verdicts[s->role][0][state];
    s->since = now;
}

void smpp_session_init(struct smpp_session *s, enum smpp_role role, const struct smpp_session_limits *limits,
                       uint64_t now)
{
    *s = (struct smpp_session){.role = role, .peer_version = 0x33, .limits = *limits};
    s->connected = s->heard = s->active = now;
    move(s, SMPP_OPEN, now);
}

static size_t say_partial(struct smpp_session *s, size_t len, uint64_t now, struct smpp_event *event)
{
    if (len > 0 && !s->partial) {
        s->partial = true;
        s->began_partial = now;
    }
    event->kind = SMPP_EVENT_PARTIAL;
    event->refusal = SMPP_REFUSED_NOT;
    event->needs_response = false;
    event->reply_len = 0;
    return 0;
}

static size_t say_broken(enum smpp_refusal refusal, uint32_t reply_len, struct smpp_event *event)
{
    event->kind = SMPP_EVENT_BROKEN;
    event->refusal = refusal;
    event->needs_response = false;
    event->reply_len = reply_len;
    return 0;
}

static size_t say_bad_length(const uint8_t *data, struct smpp_event *event)
{
    event->pdu = data;
    event->command = (uint8_t)smpp_command_index(event->header.command_id);
    size_t len = smpp_encode_generic_nack(event->reply, event->header.sequence_number, ESME_RINVCMDLEN);
    return say_broken(SMPP_REFUSED_LENGTH, (uint32_t)len, event);
}

static uint32_t make_reply(const struct smpp_session *s, const struct meaning *m, struct smpp_event *event)
{
    const struct smpp_header *h = &event->header;
    if (m->kind == SMPP_EVENT_REFUSED && smpp_is_response(h->command_id)) {
        event->kind = SMPP_EVENT_IGNORED; /* an unknown response: see session.h */
        return 0;
    }
    return (uint32_t)smpp_encode_refusal(event->reply, h->command_id, h->sequence_number, m->status,
                                         s->with_nul);
}

/* The two events that move the state by themselves. */
static void follow(struct smpp_session *s, const struct smpp_event *event, uint64_t now)
{
    if (event->kind == SMPP_EVENT_BIND) {
        s->bind_id = event->header.command_id;
        s->bind_sequence = event->header.sequence_number;
        move(s, SMPP_BINDING, now);
    } else if (event->kind == SMPP_EVENT_UNBIND && s->state != SMPP_UNBINDING) {
        s->parting = true;
        move(s, SMPP_UNBINDING, now);
    }
}

/* A whole PDU is here, its header read. */
static size_t judge(struct smpp_session *s, const uint8_t *data, uint64_t now, struct smpp_event *event)
{
    unsigned index = smpp_command_index(event->header.command_id);
    const struct meaning *m = &meanings[s->verdicts[(size_t)STATES * index]];
    event->command = (uint8_t)index;
    event->kind = m->kind;
    event->refusal = m->refusal;
    event->needs_response = m->needs_response;
    event->pdu = data;
    event->reply_len = 0;
    s->partial = false;
    s->enquiring = false;
    s->heard = now;
    if (m->active)
        s->active = now;
    if (m->reply || m->kind == SMPP_EVENT_BIND) { /* rare: the rest is for the owner, and leaves the state */
        event->reply_len = m->reply ? make_reply(s, m, event) : 0;
        follow(s, event, now);
    }
    return event->header.length;
}

static uint32_t longest_pdu(const struct smpp_session *s)
{
    return s->state >= SMPP_BOUND_TX ? s->limits.max_pdu_bound : s->limits.max_pdu_open;
}

size_t smpp_session_next(struct smpp_session *s, const uint8_t *data, size_t len, uint64_t now,
                         struct smpp_event *event)
{
    if (s->state == SMPP_CLOSED)
        return say_broken(SMPP_REFUSED_STATE, 0, event);
    switch (smpp_frame(data, len, longest_pdu(s), &event->header)) {
    case SMPP_FRAME_WHOLE: return judge(s, data, now, event);
    case SMPP_FRAME_BAD: return say_bad_length(data, event);
    case SMPP_FRAME_PARTIAL:
    default: return say_partial(s, len, now, event);
    }
}

void smpp_session_sent_bind(struct smpp_session *s, uint32_t bind_id, uint32_t sequence_number, uint64_t now)
{
    assert(s->role == SMPP_ROLE_ESME && s->state == SMPP_OPEN && smpp_is_bind(bind_id));
    s->bind_id = bind_id;
    s->bind_sequence = sequence_number;
    move(s, SMPP_BINDING, now);
}

static enum smpp_state bound_state(uint32_t bind_id)
{
    switch (bind_id) {
    case SMPP_BIND_TRANSMITTER: return SMPP_BOUND_TX;
    case SMPP_BIND_RECEIVER: return SMPP_BOUND_RX;
    default: return SMPP_BOUND_TRX;
    }
}

void smpp_session_bound(struct smpp_session *s, uint8_t peer_version, uint64_t now)
{
    assert(s->state == SMPP_BINDING);
    s->peer_version = peer_version;
    s->heard = now;
    s->active = now;
    move(s, bound_state(s->bind_id), now);
}

void smpp_session_unbinding(struct smpp_session *s, uint64_t now)
{
    assert(smpp_state_is_bound(s->state));
    move(s, SMPP_UNBINDING, now);
}

void smpp_session_sent_enquire_link(struct smpp_session *s, uint64_t now)
{
    assert(s->state != SMPP_CLOSED);
    if (!s->enquiring)
        s->asked = now;
    s->enquiring = true;
}

void smpp_session_deaf(struct smpp_session *s, uint64_t now)
{
    s->heard = now;
    s->active = now;
    s->enquiring = false;
}

void smpp_session_end(struct smpp_session *s, uint64_t now)
{
    move(s, SMPP_CLOSED, now);
}

struct deadline {
    enum smpp_due what;
    uint64_t at;
};

/* The sooner of soonest and what comes limit after from; a limit of 0 is switched off. */
static struct deadline sooner(struct deadline soonest, enum smpp_due what, uint64_t from, uint64_t limit)
{
    uint64_t at = limit < UINT64_MAX - from ? from + limit : UINT64_MAX;
    if (limit == 0 || at >= soonest.at)
        return soonest;
    return (struct deadline){what, at};
}

/* The first of the ends that the present state can come to. */
static struct deadline first_end(const struct smpp_session *s)
{
    const struct smpp_session_limits *l = &s->limits;
    struct deadline end = {SMPP_DUE_NOTHING, UINT64_MAX};
    if (s->state == SMPP_CLOSED)
        return end;
    if (s->partial)
        end = sooner(end, SMPP_DUE_END_PARTIAL, s->began_partial, l->partial);
    if (s->state == SMPP_OPEN || (s->state == SMPP_BINDING && s->role == SMPP_ROLE_SMSC))
        end = sooner(end, SMPP_DUE_END_INIT, s->connected, l->session_init);
    if (s->state == SMPP_BINDING && s->role == SMPP_ROLE_ESME)
        end = sooner(end, SMPP_DUE_END_BIND, s->since, l->response);
    if (s->state == SMPP_UNBINDING && !s->parting)
        end = sooner(end, SMPP_DUE_END_UNBIND, s->since, l->response);
    if (smpp_state_is_bound(s->state))
        end = sooner(end, SMPP_DUE_END_INACTIVE, s->active, l->inactivity);
    if (smpp_state_is_bound(s->state) && s->enquiring)
        end = sooner(end, SMPP_DUE_END_SILENT, s->asked, l->response);
    return end;
}

enum smpp_due smpp_session_due(const struct smpp_session *s, uint64_t now, uint64_t *next)
{
    struct deadline end = first_end(s);
    if (end.at <= now && end.what != SMPP_DUE_NOTHING) {
        *next = now;
        return end.what;
    }
    struct deadline first = end;
    if (smpp_state_is_bound(s->state) && s->enquiring) {
        /* an answer may come at any time from now on, and the next enquire_link is reckoned from it */
        *next = sooner(end, SMPP_DUE_NOTHING, now, s->limits.enquire_link).at;
        return SMPP_DUE_NOTHING;
    }
    if (smpp_state_is_bound(s->state))
        first = sooner(end, SMPP_DUE_ENQUIRE_LINK, s->heard, s->limits.enquire_link);
    if (first.what != SMPP_DUE_ENQUIRE_LINK || first.at > now) {
        *next = first.at;
        return SMPP_DUE_NOTHING;
    }
    end = sooner(end, SMPP_DUE_END_SILENT, now, s->limits.response);
    *next = sooner(end, SMPP_DUE_NOTHING, now, s->limits.enquire_link).at;
    return SMPP_DUE_ENQUIRE_LINK;
}

/* The peer's half of the table: may we, in the peer's role, come with this request? It cannot tell by itself
 * that one of the two has said good-bye, after which nothing new begins. */
bool smpp_session_may_send(const struct smpp_session *s, uint32_t command_id)
{
    if (s->state == SMPP_CLOSED || s->state == SMPP_UNBINDING)
        return false;
    enum smpp_role peers = s->role == SMPP_ROLE_SMSC ? SMPP_ROLE_ESME : SMPP_ROLE_SMSC;
    switch (verdicts[peers][smpp_command_index(command_id)][s->state]) {
    case BIND:
    case PASS:
    case NOTE:
    case ASKS:
    case LEAV: return true;
    default: return false;
    }
}

int smpp_sc_interface_version(uint8_t interface_version)
{
    return interface_version >= 0x34 ? 0x34 : -1;
}
