/* Migration windows, by turnout_window as turnoutctl calls it: created, started, stepped through, paused, finished, rolled
 * back, by hand and by themselves; and the rules that hold for them whoever calls first (routing/functions/60-window.lua).
 *
 *   windows_act ─▶ a command, answered as the window's state allows ─▶ a change to be waited for
 *   every write ─▶ windows_watch ─▶ states as Redis has them, what each cell was at the start
 *   the change log ─▶ windows_changed ─▶ moves by the timer: due, from the start's platform, once
 *
 * What windows are, the world keeps in books of its own, of the states that it has seen. A failover that loses writes
 * ends the judging of those that are open. */
#ifndef TEST_SIM_WINDOWS_H
#define TEST_SIM_WINDOWS_H

#include "test/sim/operator.h"

void windows_begin(void);

/* Something with a window; busy: nothing that would be waited for. */
void windows_act(bool busy);

/* Redis has been written to; the changes have been read before. */
void windows_watch(void);
void windows_changed(const struct operator_change *change);
void windows_lost(void);

/* Is the cell in a window that is open? */
bool windows_open_for(unsigned cell);

/* What was due by itself has been done, as far as somebody was there to do it. */
void windows_check(void);

#endif
