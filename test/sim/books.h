/* Who has asked for which memory and not given it back: each process of a world has books of its own, since what one
 * leaves behind that was killed is no leak. What the libraries keep for themselves is not in them. */
#ifndef TEST_SIM_BOOKS_H
#define TEST_SIM_BOOKS_H

#include "test/sim/process.h"

/* Its memory has gone with it. */
void books_killed(const struct process *p);

/* It has ended in good order: nothing is left. */
void books_check(const struct process *p);

#endif
