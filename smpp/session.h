/* The state machine of one SMPP connection, of either role. No I/O, no clock, no allocation.
 *
 *   bytes from the peer ──▶ smpp_session_next ──▶ one event a PDU: what it is, and what to send back if the
 *                                                 session itself answers it (wrong state, unknown command,
 *                                                 enquire_link, unbind, lost framing)
 *   time               ──▶ smpp_session_due  ──▶ what is due: an enquire_link, or the end, and why
 *   what we did        ──▶ smpp_session_sent_bind, _bound, _unbinding, _end ──▶ the state moves
 *
 * Which command is allowed in which state is one table in session.c. SMPP 3.4 sections 2.2, 2.3, 4. */
#ifndef SMPP_SESSION_H
#define SMPP_SESSION_H

#include <stdbool.h>

#include "smpp/encode.h"
#include "smpp/frame.h"

/* Which side of the connection we are. */
enum smpp_role {
    SMPP_ROLE_SMSC, /* the peer is an ESME (a client), it binds to us */
    SMPP_ROLE_ESME, /* the peer is an SMSC, we bind to it */
};

#define SMPP_STATES(X)                                                                              \
    X(SMPP_OPEN, "open")       /* connected, nobody has bound */                                    \
    X(SMPP_BINDING, "binding") /* a bind is under way, unanswered */                                \
    X(SMPP_BOUND_TX, "bound_tx")                                                                    \
    X(SMPP_BOUND_RX, "bound_rx")                                                                    \
    X(SMPP_BOUND_TRX, "bound_trx")                                                                  \
    X(SMPP_UNBINDING, "unbinding") /* one side has sent unbind: nothing new begins, answers pass */ \
    X(SMPP_CLOSED, "closed")       /* nothing more is read or sent */

#define SMPP_STATE_ENUM(id, name) id,
enum smpp_state { SMPP_STATES(SMPP_STATE_ENUM) SMPP_STATE_COUNT };
#undef SMPP_STATE_ENUM

/* The name of a state as logs and metrics show it. */
const char *smpp_state_name(enum smpp_state state);

static inline bool smpp_state_is_bound(enum smpp_state state)
{
    return state >= SMPP_BOUND_TX && state <= SMPP_BOUND_TRX;
}

/* What a PDU of the peer means to us. */
enum smpp_event_kind {
    SMPP_EVENT_PARTIAL,  /* no whole PDU: keep the bytes, come back with more */
    SMPP_EVENT_BIND,     /* SMSC role: a bind; the state is BINDING now. Answer it, then _bound or _end */
    SMPP_EVENT_REQUEST,  /* a request for whoever is behind us; it is owed exactly one answer (but for
                            alert_notification, which has none: see needs_response). Comes in UNBINDING too: a
                            refusal that the peer retries is the owner's to choose */
    SMPP_EVENT_RESPONSE, /* a response or generic_nack to a request of ours: match its sequence_number */
    SMPP_EVENT_ANSWERED, /* handled here: send reply (enquire_link) */
    SMPP_EVENT_UNBIND,   /* the peer says good-bye; the state is UNBINDING now. Send reply when what is in
                            flight is through, then close */
    SMPP_EVENT_REFUSED,  /* handled here: send reply; refusal says why */
    SMPP_EVENT_IGNORED,  /* nothing to answer and nothing to pass on: refusal says why */
    SMPP_EVENT_BROKEN,   /* framing is lost: send reply (generic_nack ESME_RINVCMDLEN), then close */
};

/* Why the session itself refused or dropped a PDU; for counters and logs. */
#define SMPP_REFUSALS(X)                       \
    X(SMPP_REFUSED_NOT, "none")                \
    X(SMPP_REFUSED_STATE, "wrong_state")       \
    X(SMPP_REFUSED_UNKNOWN, "unknown_command") \
    X(SMPP_REFUSED_LENGTH, "bad_length")       \
    X(SMPP_REFUSED_STRAY, "stray_response")

#define SMPP_REFUSAL_ENUM(id, name) id,
enum smpp_refusal { SMPP_REFUSALS(SMPP_REFUSAL_ENUM) SMPP_REFUSAL_COUNT };
#undef SMPP_REFUSAL_ENUM
const char *smpp_refusal_name(enum smpp_refusal refusal);

struct smpp_event {
    enum smpp_event_kind kind;
    enum smpp_refusal refusal;
    bool needs_response;
    uint8_t command; /* smpp_command_index of its command_id; not set where header is not */
    struct smpp_header header;
    const uint8_t *pdu; /* the PDU's octets, header.length of them, inside the caller's data */
    uint32_t reply_len; /* octets of reply to send, 0 for none */
    uint8_t reply[SMPP_REFUSAL_MAX];
};

/* Limits and timers of a session. Times in nanoseconds, 0 switches a timer off. */
struct smpp_session_limits {
    uint32_t max_pdu_open;  /* longest PDU before the bind, octets */
    uint32_t max_pdu_bound; /* longest PDU after it */
    uint64_t session_init;  /* connected, but no bind completed */
    uint64_t enquire_link;  /* silence of the peer after which we ask */
    uint64_t response;      /* how long an answer to our enquire_link, bind or unbind may take */
    uint64_t inactivity;    /* nothing accepted from the peer but link keeping for this long, while bound */
    uint64_t partial;       /* a PDU begun but not completed */
};

/* What is due now. */
#define SMPP_DUES(X)                                                                                 \
    X(SMPP_DUE_NOTHING, "nothing")                                                                   \
    X(SMPP_DUE_ENQUIRE_LINK, "enquire_link")     /* send one, then smpp_session_sent_enquire_link */ \
    X(SMPP_DUE_END_INIT, "session_init_timeout") /* the rest: close, for this reason */              \
    X(SMPP_DUE_END_SILENT, "enquire_link_timeout")                                                   \
    X(SMPP_DUE_END_BIND, "bind_timeout")                                                             \
    X(SMPP_DUE_END_UNBIND, "unbind_timeout")                                                         \
    X(SMPP_DUE_END_INACTIVE, "inactivity_timeout")                                                   \
    X(SMPP_DUE_END_PARTIAL, "partial_pdu_timeout")

#define SMPP_DUE_ENUM(id, name) id,
enum smpp_due { SMPP_DUES(SMPP_DUE_ENUM) SMPP_DUE_COUNT };
#undef SMPP_DUE_ENUM
const char *smpp_due_name(enum smpp_due due);

/* One connection. Embedded by its owner; the fields are the session's own, read them through the functions.
 */
struct smpp_session {
    enum smpp_role role;
    enum smpp_state state;
    const uint8_t *verdicts; /* of role and state, on the commands; NULL where CLOSED */
    bool with_nul;           /* our negative answers carry one NUL (a client's option) */
    bool partial;            /* bytes of an unfinished PDU are waiting */
    bool enquiring;          /* our enquire_link is unanswered and nothing else has come since */
    bool parting;            /* the state is UNBINDING by the peer's wish, not ours */
    uint8_t peer_version;    /* interface_version of the peer; 0x33 until known */
    uint32_t bind_id;        /* command id of the bind of this session */
    uint32_t bind_sequence;  /* and its sequence_number */
    uint64_t connected;      /* the connection's begin, ns */
    uint64_t since;          /* the state's begin */
    uint64_t heard;          /* last whole PDU */
    uint64_t active;         /* last PDU that was accepted and not link keeping */
    uint64_t asked;          /* our enquire_link */
    uint64_t began_partial;
    struct smpp_session_limits limits;
};

void smpp_session_init(struct smpp_session *s, enum smpp_role role, const struct smpp_session_limits *limits,
                       uint64_t now);

/* Takes the first PDU of data[0 .. len), says what it is, and returns the octets consumed: header.length, or
 * 0 at PARTIAL and BROKEN. Call again with the rest until PARTIAL. now in ns. In state CLOSED: BROKEN without
 * reply. Of the event, kind, refusal, needs_response and reply_len are always set; header and pdu are not at
 * PARTIAL and CLOSED; reply's octets only up to reply_len. A command that we do not know gets generic_nack
 * ESME_RINVCMDID; but a response that we do not know is IGNORED, since its sequence_number is one of ours and
 * a nack would hit the peer's own request of that number. */
size_t smpp_session_next(struct smpp_session *s, const uint8_t *data, size_t len, uint64_t now,
                         struct smpp_event *event);

/* What the owner did; each moves the state, and must be legal in the present one (asserted):
 * sent_bind in OPEN as ESME; bound in BINDING, either role; unbinding while bound; sent_enquire_link in all
 * but CLOSED; end in all. peer_version is the interface_version of the bind, or of its response. */
void smpp_session_sent_bind(struct smpp_session *s, uint32_t bind_id, uint32_t sequence_number, uint64_t now);
void smpp_session_bound(struct smpp_session *s, uint8_t peer_version, uint64_t now);
void smpp_session_unbinding(struct smpp_session *s, uint64_t now);
void smpp_session_sent_enquire_link(struct smpp_session *s, uint64_t now);
void smpp_session_end(struct smpp_session *s, uint64_t now);

/* We have not been reading from the peer up to now, for a reason of our own: its silence until now says
 * nothing. */
void smpp_session_deaf(struct smpp_session *s, uint64_t now);

/* What is due at now; *next is set to the time at which to ask again (UINT64_MAX: never by itself). Where
 * something is due, that is after it has been done. PDUs move the deadlines only away, so a timer set to
 * *next may come too early, never too late, unless a PDU was left PARTIAL or the owner moved the state: then
 * ask anew.
 *
 * Any whole PDU of the peer counts as a sign of life, since busy peers answer an enquire_link late. */
enum smpp_due smpp_session_due(const struct smpp_session *s, uint64_t now, uint64_t *next);

/* May a request of this command go to the peer now? (The same table, read the other way.) */
bool smpp_session_may_send(const struct smpp_session *s, uint32_t command_id);

/* The answer to a peer's interface_version (facts of the field): 0x34 for 3.4 and later, -1 (no TLV) for 3.3
 * and below. */
int smpp_sc_interface_version(uint8_t interface_version);

#endif
