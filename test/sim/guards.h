/* What goes back by itself, and when it may: changes that await confirmation, and flips with guards.
 *
 *   change with a deadline ─▶ confirmed in time, or back: once, not before, whoever of the instances is first
 *   change with a guard ─▶ turnout_alarm of some instance ─▶ a verdict: once, and not on less traffic than it asks for
 *
 * How much traffic there was the world knows from its own ledger, which cannot have less than the instances saw. */
#ifndef TEST_SIM_GUARDS_H
#define TEST_SIM_GUARDS_H

#include "test/sim/operator.h"

void guards_begin(void);

/* Writes ",\"guard\":{...}" of a flip, or nothing. */
int guards_request(char *to, size_t cap);

/* Redis has been written to; the changes have been read before. */
void guards_watch(void);
void guards_changed(const struct operator_change *change);
void guards_confirmed(uint64_t version);
void guards_lost(void);

/* What was over is done with. */
void guards_check(void);

#endif
