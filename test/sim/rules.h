/* Rules that are looked at inside an instance: after every turn of a worker's loop, and at its end. */
#ifndef TEST_SIM_RULES_H
#define TEST_SIM_RULES_H

#include "test/sim/process.h"

/* Limits kept, tables forward only. */
void rules_after_turn(struct process *p, unsigned worker);

/* Nothing left: sessions, legs, slots, buffers, timers, gauges. */
void rules_at_end(const struct process *p, unsigned worker);

#endif
