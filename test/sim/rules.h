/* Rules that are looked at inside an instance: after every turn of a worker's loop, and at its end. */
#ifndef TEST_SIM_RULES_H
#define TEST_SIM_RULES_H

#include "test/sim/process.h"

/* Limits kept, tables forward only. */
void rules_after_turn(struct process *p, unsigned worker);

/* Is an SMSC's session that of a leg which is bound and stays so? One whose client has gone takes no MO any more. */
bool rules_leg_serves(const struct wire *wire);

/* Nothing left: sessions, legs, slots, buffers, timers, gauges. */
void rules_at_end(const struct process *p, unsigned worker);

#endif
