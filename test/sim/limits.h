/* Limits that peers can meet, of a process and of a session: small ones in some worlds, and the rules on them.
 *
 *   seed ─▶ limits_choose ─▶ the instances' configuration; peers push against it (esme.c)
 *   a refusal, a close ─▶ limits_logged, the product's calls (--wrap) ─▶ was the limit met, is the answer the defined one?
 *   a turn of a worker ─▶ limits_after_turn ─▶ within the limits; what is counted is what is there
 *
 * What one client meets is its own: that others get their answers all the same is for the ledger to see. */
#ifndef TEST_SIM_LIMITS_H
#define TEST_SIM_LIMITS_H

#include <stdio.h>

#include "proxy/log.h"
#include "test/sim/process.h"

/* Sets shape.limits, small ones where the seed says so. */
void limits_choose(void);

/* The options of a process, and those of a client. */
void limits_write(FILE *out);

/* An instance writes a line in its log; it may be about a limit. */
void limits_logged(struct process *p, enum log_event event, const struct log_field *fields);

/* An instance has refused a connection for there being too many. */
void limits_refused_connection(struct process *p);

/* After each turn of a worker's loop. */
void limits_after_turn(struct process *p, struct worker *w);

#endif
