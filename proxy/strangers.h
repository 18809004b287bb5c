/* The share of a worker's turn that goes to connections which have not bound, so that those who have are served in
 * between, however many strangers there are and whatever they do.
 *
 *   socket has octets ──strangers_may──▶ read, answered, closed ──strangers_spent──▶ less is left of the turn
 *                            └─ not in this turn: left as it is, the loop comes with it again in the next
 *
 * Where it is full, who comes first in a turn goes round, and a turn in which fewer ask than before may serve none: the loop tells of sockets in much the same order
 * each time, and those at its begin, always with something to read, would keep all others out. Plain data of one worker;
 * zeroed, there is no limit until the first turn. */
#ifndef PROXY_STRANGERS_H
#define PROXY_STRANGERS_H

#include <stdbool.h>
#include <stdint.h>

struct strangers {
    bool limited;
    int64_t left;           /* ns of this turn */
    unsigned asked, served; /* in this turn */
    unsigned first;         /* of those who ask, to be served in this turn */
    unsigned put_off;       /* in this turn */
};

/* A turn of the loop begins, with so many ns for strangers. Returns how many were put off in the one before. */
unsigned strangers_turn(struct strangers *s, uint64_t allowance);

/* One more has something to be done for. */
bool strangers_may(struct strangers *s);

/* That took so many ns. */
void strangers_spent(struct strangers *s, uint64_t ns);

/* Is nothing left of this turn? */
bool strangers_are_through(const struct strangers *s);

#endif
