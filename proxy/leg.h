/* An upstream session: connected and bound to one link on behalf of its owner, kept so, and ended.
 *
 *   leg_new ─▶ CONNECTING ─opened─▶ BINDING ─bind_resp─▶ BOUND: events->request, ->response, ->ready
 *                  ▲                                    │
 *                  └── WAITING (jittered backoff) ◀── lost, refused, failed
 *   leg_end ─▶ ENDING: unbind when nothing is in flight ─▶ events->ended, freed
 *
 * Knows neither clients nor routes: what is before it is `events`. A leg whose connection dies is the same
 * leg when it is bound again, but its requests in flight are given back as `unsettled`: their outcome is
 * unknown, and nothing here sends them again. SMPP 3.4 sections 2.2, 4.1, 4.2. */
#ifndef PROXY_LEG_H
#define PROXY_LEG_H

#include "proxy/conn.h"

struct leg;

struct leg_bind;

struct leg_events {
    /* How to bind, asked at every attempt, so that a reload is followed. The strings are used before control
     * returns. False: nobody to bind for any more. */
    bool (*bind_with)(struct leg *leg, struct leg_bind *bind);
    void (*bound)(struct leg *leg);
    /* An attempt to connect or bind has failed; the next follows by itself. */
    void (*failed)(struct leg *leg);
    void (*request)(struct leg *leg, const struct smpp_event *event);
    /* slot NULL: too late, its request was settled before. */
    void (*response)(struct leg *leg, const struct smpp_event *event, const struct window_slot *slot);
    /* A request that will not be answered: timed_out, or the connection has ended. */
    void (*unsettled)(struct leg *leg, const struct window_slot *slot, bool timed_out);
    /* There is room again: after an answer, a bind, or octets that left. */
    void (*ready)(struct leg *leg);
    /* The end; freed after this. */
    void (*ended)(struct leg *leg);
};

enum leg_state {
    LEG_WAITING, /* for the next attempt */
    LEG_CONNECTING,
    LEG_BINDING,
    LEG_BOUND,
    LEG_ENDING, /* unbind wanted or sent */
};

/* How a leg binds. */
struct leg_bind {
    const char *system_id, *password, *system_type, *address_range;
    uint8_t interface_version, range_ton, range_npi;
    bool from_peer; /* some of it are a client's own octets */
};

enum {
    LEG_BIND_MAX = 66000 /* strings of a client's bind may be as long as max-pdu-open, at most 64k, lets in */
};

/* The bind PDU: what a leg sends once it is connected. Its length, 0 where it does not fit. */
size_t leg_encode_bind(const struct leg_bind *bind, uint32_t bind_id, uint32_t sequence_number, uint8_t *pdu,
                       size_t cap);

struct leg {
    struct conn conn; /* first: a conn's owner is found by a cast */
    const struct leg_events *events;
    uint32_t index, generation; /* in worker->legs; new with every connection */
    enum leg_state state;
    unsigned link; /* index; the link itself is looked up in the config in use */
    uint8_t carrier, platform;
    struct window_owner client; /* whose it is; {0, 0} once the client has gone */
    struct metrics_link *metrics;
    unsigned orphan_of;      /* index + 1 of the client whose session has gone, 0: none */
    const void *config;      /* the config that it was last compared with */
    uint64_t shape;          /* what the link was when it began: legs.c's own */
    unsigned owed;           /* requests of the SMSC passed on and not answered yet */
    char name[65];           /* whose it is, for logs */
    uint64_t unneeded_since; /* seconds since 1970: no route of today needs it since then; 0: one does */
    uint64_t used;           /* the same: when the SMSC last sent something over it beside signs of life */
    bool for_query;          /* it was begun for a query alone */
    bool tried;              /* an attempt has failed, or is too far away to wait for with a client's bind */
    unsigned attempts;       /* failed in a row */
    struct timer retry;      /* WAITING: the next attempt. ENDING: patience */
    bool peer_unbinds;       /* the SMSC said unbind: answer when nothing is in flight */
    uint32_t unbind_sequence;
    uint32_t bind_id;
    bool in_window_gauge;
};

/* Begins connecting to a link of the worker's config, or waits first, as earlier failures ask for. NULL
 * without memory; nothing is called before this returns. */
struct leg *leg_new(struct worker *w, const struct config_link *link, uint32_t bind_id,
                    struct window_owner client, const struct backoff *backoff,
                    const struct leg_events *events);

/* What names a leg's connection where a pointer might outlive it, and the leg of a name: NULL once it has
 * gone. */
static inline struct window_owner leg_owner(const struct leg *leg)
{
    return (struct window_owner){.index = leg->index, .generation = leg->generation};
}

static inline struct leg *leg_find(const struct worker *w, struct window_owner owner)
{
    return registry_get(&w->legs, owner.index, owner.generation);
}

/* May a request be sent on it now? */
static inline bool leg_is_ready(const struct leg *leg)
{
    return leg->state == LEG_BOUND && !leg->peer_unbinds && !window_full(&leg->conn.window) &&
           !conn_is_stuck(&leg->conn) && conn_is_bound(&leg->conn);
}

/* Bound, though perhaps without room just now. */
static inline bool leg_is_bound(const struct leg *leg)
{
    return leg->state == LEG_BOUND && !leg->peer_unbinds && conn_is_bound(&leg->conn);
}

/* Sends a request on and remembers where its answer belongs, and what counts it (a handle of traffic.h, 0 for
 * nothing). command: smpp_command_index of its command_id. leg_is_ready must be true. False without memory: nothing was sent. */
bool leg_forward(struct leg *leg, unsigned command, const uint8_t *pdu, uint32_t len,
                 struct window_owner owner, uint32_t owner_sequence, uint32_t cell);

/* A request of the SMSC that was passed on (owed was raised) has been answered; the answer is in the output.
 */
void leg_paid(struct leg *leg);

/* No new requests; unbind once nothing is in flight, then `ended`. */
void leg_end(struct leg *leg);

#endif
