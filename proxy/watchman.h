/* Watches the flips that have a guard: once a second, while there are any.
 *
 *   turnout_evidence says: n guards ──▶ turnout_guards ──▶ turnout_evidence_read of their shortcodes ──rail_judge──▶
 *        bad, void, or its time is over ──turnout_alarm──▶ whichever instance comes first lets it trip, once
 *
 * Judges the evidence of all instances, so that every instance comes to the same verdict. Main thread. Redis away:
 * nothing is judged until it is back. */
#ifndef PROXY_WATCHMAN_H
#define PROXY_WATCHMAN_H

#include <stdbool.h>
#include <stdint.h>

#include "routing/store.h"

struct watchman;

/* As store_call. */
typedef bool watchman_call(void *ctx, const char *function, size_t count, const char *const *args,
                           store_reply *answer, void *answer_ctx);

/* instance: this one's name. NULL without memory. */
struct watchman *watchman_new(const char *instance, watchman_call *call, void *ctx);
void watchman_free(struct watchman *watchman);

/* So many guards watch, and the evidence of this instance has just been written. clock_ms: milliseconds since 1970. */
void watchman_look(struct watchman *watchman, uint64_t guards, uint64_t clock_ms);

/* Redis was away: what was asked before will not be answered any more, and the next look begins anew. NULL is
 * none. */
void watchman_again(struct watchman *watchman);

#endif
