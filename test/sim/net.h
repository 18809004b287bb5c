/* Connections between the peers of a world and its instances, in memory.
 *
 *   peer ──wire_send──▶ far end │ stream_mem pair, stepped after a lag, a few octets at a time │ near end ──▶ conn.c
 *
 * A wire may be frozen (half open: nothing moves and nobody is told), reset, read slowly. How many octets the near
 * side has written and the far side has got is counted, so that the rules can tell what had left at a moment. */
#ifndef TEST_SIM_NET_H
#define TEST_SIM_NET_H

#include "proxy/stream.h"
#include "test/sim/process.h"
#include "test/sim/sim.h"

struct wire;

struct wire_events {
    void (*opened)(struct wire *wire);
    /* One PDU from the instance; end is how many octets have come with it, since the beginning. */
    void (*pdu)(struct wire *wire, const uint8_t *pdu, uint32_t len, uint64_t end);
    /* The end, once; nothing of the wire is called after. */
    void (*closed)(struct wire *wire, const char *why);
};

/* How a client speaks: plainly, by TLS, or to the TLS port by saying nothing or no TLS. */
enum wire_kind { WIRE_PLAIN, WIRE_TLS, WIRE_TLS_SILENT, WIRE_NOT_TLS };

struct wire {
    struct wire *next;  /* of its loop */
    struct wire *older; /* of all */
    unsigned id;
    struct process *process;
    struct loop *loop;
    int link; /* -1: a client's */
    struct stream_pair *pair;
    struct stream *near, *far; /* far NULL: ended for the peer */
    const struct stream_events *up;
    void *up_owner;
    const struct wire_events *events;
    void *peer;
    size_t capacity, step;
    uint64_t lag, next_step, opened_at;
    bool opened, near_closed, near_closing, orphan, timed_out;
    enum wire_kind kind;
    struct ssl_st *ssl;    /* of the far side; NULL: plain */
    bool secured;          /* its handshake is done */
    bool leaving;          /* one of both has said unbind */
    bool excused;          /* its peer has ended it, or may have made the instance end it */
    uint64_t frozen_until; /* UINT64_MAX: for ever */
    uint64_t disturbed;    /* when something last kept it from carrying */
    uint64_t near_ended;   /* when the instance closed it; 0: not yet */
    bool reading;          /* the far side */
    uint64_t written, received;
    uint8_t *kept;
    size_t kept_len, kept_size;
    char name[32];
};

extern struct wire *wires; /* newest first; never freed while a world lasts */

/* A connection to a worker of an instance; opened or closed follows. */
struct wire *wire_dial(struct process *p, unsigned worker, enum wire_kind kind,
                       const struct wire_events *events, void *peer);

void wire_send(struct wire *wire, const void *octets, size_t len);
void wire_close(struct wire *wire); /* in an orderly way */
void wire_reset(struct wire *wire);
void wire_freeze(struct wire *wire, uint64_t ns); /* UINT64_MAX: for ever */
void wire_read(struct wire *wire, bool on);
void wire_refuse(struct wire *wire); /* nobody accepts it */
static inline bool wire_frozen(const struct wire *wire)
{
    return wire->frozen_until > sim_now;
}
/* Has it carried all the while, for so long? */
static inline bool wire_calm(const struct wire *wire, uint64_t ns)
{
    return wire->disturbed <= sim_now && sim_now - wire->disturbed >= ns;
}

/* For uv.c. */
bool wires_poll(struct loop *loop);
void wires_finish(struct loop *loop); /* the loop ends: what is under way arrives, then all end */
uint64_t wires_next(const struct wire *first);
void wires_killed(struct process *p);
void wires_forget(void);

/* smsc.c: an instance connects to a link. False: it hangs. */
bool smsc_accept(struct wire *wire, bool *refused);

#endif
