/* What the workers have counted, added up once a second and written to Redis: evidence.
 *
 *   timer ─▶ cells of all workers ──traffic_sent_of──▶ minutes of each (shortcode, carrier)
 *        └▶ of those that moved lately, or are about to ──traffic_read──▶ struct evidence ─▶ changed? ─▶ turnout_evidence
 *   turnout_evidence ──guards that watch──▶ watchman.h
 *
 * Main thread. A second costs a look at each cell that has traffic; what is read whole and written is limited to
 * WITNESS_CELLS of those that moved; the rest follows in the next second. While Redis is away nothing is written, and
 * all again when it is back. */
#ifndef PROXY_WITNESS_H
#define PROXY_WITNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/config.h"
#include "proxy/metrics.h"
#include "proxy/traffic.h"
#include "routing/store.h"
#include "routing/table.h"

enum { WITNESS_CELLS = 2000 };

/* Where it looks; ctx is given to all. */
struct witness_source {
    unsigned workers;
    const struct traffic *(*traffic)(void *ctx, unsigned worker); /* NULL: it has ended */
    const struct table *(*table)(void *ctx);                      /* the newest; NULL: none yet */
    const struct config *(*config)(void *ctx);
    struct metrics *metrics;
    const struct names *names;
    /* As store_call. */
    bool (*call)(void *ctx, const char *function, size_t count, const char *const *args, store_reply *answer,
                 void *answer_ctx);
    /* Guards that watch, as Redis has said just now. */
    void (*guards)(void *ctx, uint64_t count);
};

struct witness;

/* source is kept, not copied; instance is this one's name. started_ms: when this process began, milliseconds since 1970; it tells its records from
 * those of earlier ones. NULL without memory. */
struct witness *witness_new(const struct witness_source *source, void *ctx, const char *instance,
                            uint64_t started_ms);
void witness_free(struct witness *witness);

/* To be called once a second. now: the workers' clock, ns; clock_ms: milliseconds since 1970. */
void witness_turn(struct witness *witness, uint64_t now, uint64_t clock_ms);

/* Redis may have lost what was written: all of it is written again. */
void witness_again(struct witness *witness);

/* The evidence of one cell as this instance has it, also of one that never moved. False where nothing was seen. */
bool witness_cell(struct witness *witness, const char *shortcode, const char *carrier,
                  struct evidence *evidence);

/* Messages sent by (shortcode, carrier) in the last hour; 0 where nothing was seen. */
uint64_t witness_hour(const struct witness *witness, const char *shortcode, const char *carrier,
                      uint64_t clock_ms);

#endif
