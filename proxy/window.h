/* The window of a connection: our requests to the peer that are not answered yet.
 *
 *   request out ──window_open──▶ the next sequence_number, and the slot that its low bits name ──▶ peer
 *   response in ──window_take(sequence_number)──▶ the slot's memory of where the answer belongs
 *
 * Open, match and expire are O(1). A sequence_number is never 0 and at most 0x7FFFFFFF; one whose slot is still in use
 * by an older request is passed over. So whatever is in flight is older the lower its number, and an answer that is
 * late or repeated meets a slot of another number. A slot names its requester by id and generation, never by pointer.
 * An eighth of the slots at least is free, so that few numbers are passed over. Memory grows to the size in use, in
 * doublings, and stays. */
#ifndef PROXY_WINDOW_H
#define PROXY_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

enum { WINDOW_SIZE_MAX = 65533, WINDOW_CONTROL_SLOTS = 2 };

/* A requester: an entry of the worker's registry. */
struct window_owner {
    uint32_t index, generation;
};

struct window_slot {
    uint64_t sent;             /* ns */
    uint64_t version;          /* of the routing table that chose this way */
    struct window_owner owner; /* whose request it is */
    uint32_t owner_sequence;   /* the sequence_number that the requester used */
    uint32_t command_id;       /* of the request */
    uint32_t sequence_number;  /* 0: the slot is free */
    uint32_t cell;             /* what counts it (traffic.h), 0: nothing; of an MO: in the leg's worker */
    uint32_t prev, next; /* slots before and after it in the list of those overtaken, NO_SLOT for none */
    uint8_t worker;      /* where the owner is: another worker's for an MO that was relayed */
    bool control;        /* bind, unbind or enquire_link of our own: not counted in the window */
    bool overtaken;      /* a number was passed over since its slot was in use */
    uint32_t part; /* what its acceptance is noted by (multipart.h), 0: no part of a message in several */
};

struct window {
    struct window_slot *slots;
    uint32_t capacity;                  /* slots that exist: a power of two, or 0 */
    uint32_t size;                      /* requests that may be in flight */
    uint32_t used;                      /* of them, in flight */
    uint32_t control;                   /* control requests in flight */
    uint32_t last;                      /* the sequence_number given last, 0: none */
    uint32_t oldest;                    /* none is in flight with an older number, but for those overtaken */
    uint32_t overtaken, overtaken_last; /* ends of their list, oldest first */
    bool wrapped;                       /* all numbers have been given */
};

/* size: 1 to WINDOW_SIZE_MAX. Allocates nothing. */
void window_init(struct window *w, unsigned size);
void window_clear(struct window *w);

static inline bool window_full(const struct window *w)
{
    return w->used >= w->size;
}

/* A slot for a request sent now; NULL when the window is full (control requests have slots of their own) or
 * without memory. The caller fills in owner, owner_sequence, command_id, cell and version, and part where it is
 * one. */
struct window_slot *window_open(struct window *w, bool control, uint64_t now, uint32_t *sequence_number);

/* The request opened last; NULL where it is answered, or none was opened. Valid until the window changes. */
struct window_slot *window_newest(const struct window *w);

enum window_match {
    WINDOW_AWAITED, /* *slot is a copy of what was known; the slot is free again */
    WINDOW_LATE,    /* answered before, or given up */
    WINDOW_STRAY,   /* never sent */
};
enum window_match window_take(struct window *w, uint32_t sequence_number, struct window_slot *slot);

/* The request that an answer with this sequence_number would settle, NULL for none. Valid until the window
 * changes. */
const struct window_slot *window_peek(const struct window *w, uint32_t sequence_number);

/* Takes the request that window_peek has just found, as window_take does. */
void window_settle(struct window *w, const struct window_slot *request, struct window_slot *slot);

/* The time at which the oldest request in flight was sent; false when there is none. */
bool window_oldest(struct window *w, uint64_t *sent);

/* The version of the table that routed the oldest request in flight, control requests apart; false when there
 * is none. Requests are kept in order of time, so no other is of an older one. */
bool window_oldest_version(struct window *w, uint64_t *version);

/* Takes the oldest request if it was sent at or before the given time. */
bool window_expire(struct window *w, uint64_t before, struct window_slot *slot);

#endif
