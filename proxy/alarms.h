/* The log hears of the alarms of windows, at every instance: a start or a move that did not come about by itself.
 *
 *   each second ──turnout_alarms, raised since──▶ those of windows ──▶ EVENT_WINDOW_ALARM
 *
 * A guard's alarm is told by whoever lets it trip (watchman.h). Main thread. Redis away: told when it is back. */
#ifndef PROXY_ALARMS_H
#define PROXY_ALARMS_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/watchman.h"

/* born_ms is set at the start of the process, the rest zero: what was raised before that is not told again. */
struct alarms {
    uint64_t born_ms;  /* as clock_ms */
    uint64_t since_ms; /* Redis' clock: up to when they are told; 0: not known yet */
    uint64_t asked_ms; /* 0: no question is under way */
};

/* Asks, and logs what comes. clock_ms: milliseconds since 1970. alarms outlives the answer. */
void alarms_look(struct alarms *alarms, watchman_call *call, void *ctx, uint64_t clock_ms);

#endif
