/* What passed of each (shortcode, carrier), by platform, since its route last led to another one: what evidence is
 * made of.
 *
 *   MT       way ──traffic_find──▶ cell, and the route that it remembers ──traffic_sent──▶ counters, window slot
 *   answer   window slot ──traffic_of──▶ cell ──traffic_answered──▶ counters
 *   MO       traffic_find ──traffic_mo, traffic_receipt──▶ is it the wrong path?
 *   answer   window slot ──traffic_mo_accepted, traffic_mo_refused──▶ counters
 *   main thread ──traffic_sent_of, traffic_read──▶ struct evidence, cell by cell, while the worker goes on counting
 *
 * One table a worker, of fixed size, made at the start: an index with open addressing over an array of cells.
 * Nothing is allocated on the path of a message. When all cells are taken, one that has been idle gives its place
 * to the next; if there is none, the message is not counted here, which is counted.
 *
 * A cell remembers the route that it was last asked with, while the table is the same, so a message that finds its cell
 * needs no look into the routing table. Where the route leads to another platform than before, the cell begins
 * anew: what it had counted becomes `before`, and is added to what its platforms did in earlier times, its pasts.
 *
 * Counters are those of metrics.h: written by the worker alone, read by main, relaxed. What changes when a cell
 * begins anew is read under its epoch, which is odd meanwhile. */
#ifndef PROXY_TRAFFIC_H
#define PROXY_TRAFFIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/metrics.h"
#include "proxy/path.h"
#include "routing/evidence.h"
#include "routing/table.h"

/* Counters and times of a platform that the worker keeps. Names are those of EVIDENCE_SIDE; times are the worker's
 * clock, ns. */
/* clang-format cannot make up its mind about this one. */
/* clang-format off */
#define TRAFFIC_COUNTS(X) \
    X(mt_sent) \
    X(mt_accepted) \
    X(mt_refused) \
    X(mt_unknown) \
    X(held_expired) \
    X(held_full) \
    X(closed) \
    X(refused_else) \
    X(waited) \
    X(released) \
    X(receipts_awaited) \
    X(receipts) \
    X(mo) \
    X(mo_refused) \
    X(wrong_mo) \
    X(wrong_receipts)
/* clang-format on */
#define TRAFFIC_TIMES(X) \
    X(mt_first_ms)       \
    X(mt_last_ms)        \
    X(mo_first_ms) X(mo_last_ms) X(receipt_first_ms) X(receipt_last_ms) X(wrong_first_ms) X(wrong_last_ms)

struct traffic_status {
    _Atomic uint32_t status;
    metric count;
};

#define TRAFFIC_METRIC(field) metric field;
struct traffic_side {
    TRAFFIC_COUNTS(TRAFFIC_METRIC)
    TRAFFIC_TIMES(TRAFFIC_METRIC)
    metric waited_longest; /* ns */
    struct traffic_status statuses[EVIDENCE_STATUSES];
    _Atomic uint8_t platform; /* NAME_NONE: none */
};

struct traffic_before {
    metric mt_accepted, mt_refused, mt_unknown, proxy_refused, mo, receipts, since;
};

/* What a platform did in an earlier time, as struct evidence_past; times are seconds since 1970. */
struct traffic_past {
    _Atomic uint32_t changed, until;
#define TRAFFIC_PAST(field, merge, help) metric field;
    EVIDENCE_PAST(TRAFFIC_PAST)
#undef TRAFFIC_PAST
    _Atomic uint8_t platform; /* and one; 0: none, as in all that follow. So fresh memory needs no touch */
};

struct traffic_pasts {
    struct traffic_past of[EVIDENCE_PASTS];
};
#undef TRAFFIC_METRIC

enum { TRAFFIC_KEY_WORDS = 3 };

struct traffic_cell {
    metric key[TRAFFIC_KEY_WORDS]; /* shortcode and carrier, packed; key[2] is 0 where the cell is free */
    uint64_t turn;                 /* traffic->turn when `route` was looked up */
    struct route route;
    _Atomic uint32_t handle; /* what names it in a window slot: place and generation */
    _Atomic uint32_t epoch;
    _Atomic uint32_t changed; /* route.changed, for main */
    metric since;             /* ns: when it began to count */
    metric turned;            /* messages sent before it last began anew */
    metric mo_twice, mo_twice_first, mo_twice_last, elsewhere;
    struct traffic_side now, other; /* of route.platform, and of another */
    struct traffic_before before;
};

struct traffic {
    struct traffic_cell *cells; /* [0] is not used */
    uint32_t *index;            /* places in cells, 0: none */
    uint32_t mask;              /* of index */
    _Atomic uint32_t used;      /* cells[1] to cells[used] have been taken */
    uint32_t capacity, hand;
    uint64_t turn;     /* one more with each table */
    uint64_t lately_s; /* how long after a move a cell is looked at more closely */
    struct metrics_worker *metrics;
    struct traffic_pasts *pasts; /* of each cell; a message does not touch them */
};

enum { TRAFFIC_CELLS_MAX = (1 << 20) - 1 };

/* cells: 1 to TRAFFIC_CELLS_MAX. False without memory. */
bool traffic_init(struct traffic *traffic, uint32_t cells, struct metrics_worker *metrics);
void traffic_clear(struct traffic *traffic);

/* Another table is in use: what cells remember of the one before is not believed any more. */
static inline void traffic_follow_table(struct traffic *traffic)
{
    traffic->turn++;
}

/* The route of (shortcode, carrier), as table_lookup gives it; false where there is none. *cell is what counts it,
 * NULL where there is no room for one. now: ns. */
bool traffic_find(struct traffic *traffic, const struct table *table, const char *shortcode, size_t len,
                  uint8_t carrier, uint64_t now, struct route *route, struct traffic_cell **cell);

/* The cell that a handle names; NULL for 0 and for one that has been given to others since. */
static inline struct traffic_cell *traffic_of(const struct traffic *traffic, uint32_t handle)
{
    struct traffic_cell *cell = &traffic->cells[handle & TRAFFIC_CELLS_MAX];
    return handle != 0 && atomic_load_explicit(&cell->handle, memory_order_relaxed) == (handle & INT32_MAX)
               ? cell
               : NULL;
}

/* The handle for a window slot; the top bit says that a receipt was asked for. cell may be NULL. */
static inline uint32_t traffic_handle(const struct traffic_cell *cell, bool wants_receipt)
{
    return cell == NULL
               ? 0
               : atomic_load_explicit(&cell->handle, memory_order_relaxed) | (uint32_t)wants_receipt << 31;
}

/* The side of a platform: a third one is counted as elsewhere, NULL. */
struct traffic_side *traffic_side(struct traffic_cell *cell, uint8_t platform);

/* A message went to a platform: that of the route, or another with the parts before it. cell may be NULL. */
static inline void traffic_sent(struct traffic_cell *cell, uint8_t platform)
{
    struct traffic_side *side = cell == NULL                       ? NULL
                                : cell->route.platform == platform ? &cell->now
                                                                   : traffic_side(cell, platform);
    if (side != NULL) {
        metric_add(&side->mt_sent, 1);
    }
}

/* The platform's SMSC has answered it with command_status. */
void traffic_answered(struct traffic *traffic, uint32_t handle, uint8_t platform, uint32_t command_status,
                      uint64_t now);

/* It will not be answered. */
void traffic_unknown(struct traffic *traffic, uint32_t handle, uint8_t platform);

/* The proxy refused it; it was kept back; it was sent on, or refused, after `waited` ns. cell may be NULL. */
void traffic_refused(struct traffic_cell *cell, enum refused cause);
void traffic_waits(struct traffic_cell *cell);
void traffic_waited(struct traffic_cell *cell, uint64_t waited, bool released);

/* A message from a handset, or a receipt, has come by a platform. is_wrong: a receipt of a message that the other
 * platform had accepted. Either counts as seen when it was accepted: a network sends again what was refused. */
void traffic_mo(struct traffic_cell *cell, uint8_t platform, uint64_t now);
void traffic_receipt(struct traffic_cell *cell, uint8_t platform, bool is_wrong, uint64_t now);

/* What names the cell in the slot of an MO or a receipt; and what became of it. */
static inline uint32_t traffic_mo_handle(const struct traffic_cell *cell, bool is_receipt)
{
    return traffic_handle(cell, is_receipt);
}
void traffic_mo_accepted(struct traffic *traffic, uint32_t handle, uint8_t platform, uint64_t now);
void traffic_mo_refused(struct traffic *traffic, uint32_t handle, uint8_t platform);
void traffic_mo_twice(struct traffic_cell *cell, uint64_t now);

/* Is the cell about to move, or has it moved lately? now_s: seconds since 1970. */
static inline bool traffic_is_watched(const struct traffic *traffic, const struct traffic_cell *cell,
                                      uint64_t now_s)
{
    return cell->route.next != NAME_NONE || cell->route.changed + traffic->lately_s > now_s;
}

/* How many cells have been taken: their places are 1 to this. Any thread, as the next two. */
static inline uint32_t traffic_places(const struct traffic *traffic)
{
    return atomic_load_explicit(&traffic->used, memory_order_acquire);
}

/* *sent gets the number of messages sent since the cell of a place was taken. Returns its handle, which is another
 * when the cell is given to others; 0 where it changes just now. */
uint32_t traffic_sent_of(const struct traffic *traffic, uint32_t place, uint64_t *sent);

/* All that it has counted. False where it changes just now. names: of platforms and carriers. clock_ms: milliseconds
 * since 1970 at now (ns), a moment that should stay the same from call to call, so that a time does, too. Minutes and lost legs are not the traffic's. */
bool traffic_read(const struct traffic *traffic, uint32_t place, const struct names *names, uint64_t now,
                  uint64_t clock_ms, struct evidence *evidence);

#endif
