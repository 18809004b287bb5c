/* The share of a worker's turn that goes to connections which have not bound, or have ended, so that those who are bound
 * are served in between, however many strangers there are and whatever they do.
 *
 *   socket has octets ──strangers_may──▶ read, answered, closed ──strangers_spent──▶ less is left of the turn
 *                            └─ not now ──strangers_wait──▶ queue: it is not read ──strangers_turn, some each turn──▶
 *                                                                                      it is called, and read again
 *
 * Who waits is not read, so that the loop does not come with it: with thousands that are left as they are, a turn would
 * be about little else. First come, first served: so many are called as the turn has time for, by what others took, and
 * those of them that have something to be read are served in that turn; who has had its turn waits behind the others
 * next time. Plain data of one worker; zeroed,
 * there is no limit until the first turn. */
#ifndef PROXY_STRANGERS_H
#define PROXY_STRANGERS_H

#include <stdbool.h>
#include <stdint.h>

struct strangers;

/* A connection, as part of whatever it is; zeroed but for read_on. */
struct stranger {
    void (*read_on)(struct stranger *one); /* it is called: to be read again */
    struct strangers *among;               /* in whose queue it waits; NULL: in none */
    struct stranger *next, *previous;      /* while it waits */
    uint64_t called;                       /* the number of the turn in which it was, last */
};

struct strangers {
    bool limited;
    uint64_t turn;    /* its number */
    int64_t left;     /* ns of this turn */
    uint64_t spent;   /* ns, in this turn */
    unsigned bills;   /* of them */
    uint64_t usual;   /* ns, what one takes: over some turns */
    unsigned served;  /* in this turn */
    unsigned put_off; /* in this turn */
    unsigned waiting;
    struct stranger *first, *last;
};

/* A turn of the loop begins, with so many ns for strangers, and some of those who wait are called. Returns how many were
 * put off in the one before. */
unsigned strangers_turn(struct strangers *s, uint64_t allowance);

/* There is something to be done for one (NULL: for one that is never read, and does not wait). False: not now. */
bool strangers_may(struct strangers *s, struct stranger *one);

/* That took so many ns. */
void strangers_spent(struct strangers *s, uint64_t ns);

/* Is nothing left of this turn? */
bool strangers_are_through(const struct strangers *s);

/* It is not read until it is called. */
void strangers_wait(struct strangers *s, struct stranger *one);

/* It waits no more: it is no stranger any more, or ends. No matter whether it did. */
void strangers_leave(struct stranger *one);

#endif
