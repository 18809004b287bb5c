/* One SMPP connection, on either side: a stream, the session's state machine, the window of our requests to
 * the peer, and the bytes that wait on the way in or out.
 *
 *   stream ──room, bytes──▶ worker's receive buffer ──smpp_session_next──▶ owner->event, one a PDU
 *                             what is left over (part of a PDU, or all of it while paused) is kept for the
 * next time conn_forward, conn_send ──▶ chain of chunks ──conn_flush_all, once a turn of the loop──▶ stream
 *
 * A client session and an upstream leg each hold one of these and are its owner. */
#ifndef PROXY_CONN_H
#define PROXY_CONN_H

#include "proxy/path.h"
#include "proxy/stream.h"
#include "proxy/window.h"
#include "proxy/worker.h"
#include "smpp/session.h"

struct conn;

struct conn_owner {
    enum metrics_side side;
    /* A PDU. Answers that the session gave itself (enquire_link, refusals) are sent already; BIND, REQUEST,
     * RESPONSE and UNBIND come here. slot is set for a RESPONSE that was awaited and NULL for one that came
     * late; those that match nothing are counted and dropped before. */
    void (*event)(struct conn *c, const struct smpp_event *event, const struct window_slot *slot);
    /* A request of ours was not answered in time. */
    void (*expired)(struct conn *c, const struct window_slot *slot);
    /* The bytes that waited for the peer have left: more may be sent. */
    void (*writable)(struct conn *c);
    /* Connected, where we connect. */
    void (*opened)(struct conn *c);
    /* An enquire_link of ours was answered: see round_trip. NULL: nobody wants to know. */
    void (*enquired)(struct conn *c);
    /* The stream has ended; conn_forget has still to be called. why and detail are for the log. Requests of
     * ours still in the window are the owner's to settle: window_expire(&c->window, UINT64_MAX, ...). */
    void (*closed)(struct conn *c, const char *why, const char *detail);
    /* The gauge that counts sessions of this one's kind and present state. */
    metric *(*gauge)(struct conn *c);
};

struct conn {
    struct worker *worker;
    const struct conn_owner *owner;
    struct stream *stream;     /* NULL: not connected */
    struct metrics_pdus *pdus; /* by direction: of its owner's side */
    struct smpp_session smpp;
    struct window window;
    uint64_t response_timeout; /* ns, of our requests */
    struct timer timer;        /* the next of the session's and the window's deadlines */
    struct chunk *out, *out_last;
    size_t out_len;
    uint64_t out_version;  /* of the oldest table that routed something in out */
    uint64_t sent_version; /* the same of what the stream has been given and may not have sent yet */
    metric *gauge;         /* it is counted here, NULL for nowhere */
    uint64_t round_trip;   /* of the last enquire_link that was answered, ns; 0: none was */
    uint64_t listening;    /* since when it is read again after a pause, ns */
    uint8_t *kept;
    uint32_t kept_from, kept_len, kept_size; /* where it begins in kept, how long, room of kept */
    struct conn *next_dirty, *next_resumed;
    const char *why; /* why we are closing it ourselves, NULL for the stream's own reason */
    bool is_dirty, is_resumed;
    bool is_stuck;        /* octets that the stream was given have not left yet */
    bool paused;          /* nothing is read until conn_resume */
    bool flooded;         /* nothing is read until own_since is a second ago */
    unsigned own_answers; /* PDUs since own_since that needed nobody behind the session */
    unsigned refusals;    /* requests since own_since that were refused at once */
    uint64_t own_since;   /* ns */
    bool closing;         /* stream_close was called */
};

/* Begins a connection. The window is set up for `window` requests. */
void conn_init(struct conn *c, struct worker *w, const struct conn_owner *owner, enum smpp_role role,
               const struct smpp_session_limits *limits, unsigned window, uint64_t response_timeout);

/* Gives it its stream (just made with conn_stream_events and c as its owner). */
extern const struct stream_events conn_stream_events;
void conn_attach(struct conn *c, struct stream *stream);

/* Frees buffers and window, leaves timers. To be called when the stream has ended, or never began. */
void conn_forget(struct conn *c);

static inline bool conn_is_bound(const struct conn *c)
{
    return c->stream != NULL && !c->closing && smpp_state_is_bound(c->smpp.state);
}

/* Its output did not move when it was last tried: the peer is not reading. */
static inline bool conn_is_stuck(const struct conn *c)
{
    return c->is_stuck;
}

/* Sends octets as they are. */
void conn_send(struct conn *c, const void *data, size_t len);

/* Sends a PDU as it is but for its sequence_number. command: smpp_command_index of its command_id. */
void conn_forward(struct conn *c, unsigned command, const uint8_t *pdu, uint32_t len,
                  uint32_t sequence_number);

/* Sends a negative answer of our own to a request. */
void conn_refuse(struct conn *c, uint32_t request_id, uint32_t sequence_number, uint32_t command_status);

/* A request of the peer's was refused as soon as it came: so many a second, and then it has to wait. */
SELDOM void conn_refused_at_once(struct conn *c);

/* Sends enquire_link, if there is a slot for it; what it was sent for shows in round_trip. */
void conn_enquire(struct conn *c);

/* Sends unbind, if the state allows it; false if not. */
bool conn_unbind(struct conn *c);

/* Moves the state (and its gauge): the session's functions are called through these. */
void conn_sent_bind(struct conn *c, uint32_t bind_id, uint32_t sequence_number);
void conn_bound(struct conn *c, uint8_t peer_version);

/* Ends it; closed follows. why must be static text. flush: what is in out leaves first, for a bounded time.
 */
SELDOM void conn_close(struct conn *c, const char *why, bool flush);

/* Our requests that are still unanswered get no more time: the owner's expired is called for each. */
void conn_give_up(struct conn *c);

/* Stop and go on reading. Bytes that had arrived are looked at in the next turn. */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);

/* Sets the timer by what is due next: after the state or the limits have changed. */
void conn_rearm(struct conn *c);

/* Makes sure that the deadline of a request opened now is watched. */
SELDOM void conn_watch(struct conn *c);

/* Once a turn of the loop: what was resumed is looked at, what is to be sent goes out. */
void conn_resume_all(struct worker *w);
void conn_flush_all(struct worker *w);

/* Tells the caller which octets have not left yet were routed by a table older than version. */
bool conn_holds_older(const struct conn *c, uint64_t version);

#endif
