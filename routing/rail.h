/* Guard rails: is what was seen since a flip worse than what was before? Pure: evidence and time in, verdict out.
 *
 *   JSON of P:guards ──rail_parse──▶ struct rail ──rail_judge(evidence, now)──▶ verdict and a sentence
 *
 * Each cell is judged by itself, and each carrier's cells as one, so that a single cell that goes wrong is seen
 * and that many quiet ones together say something. Bad anywhere is bad. Too little traffic is inconclusive: never
 * good, never bad. Guards are set by turnout_change and tripped by turnout_alarm (functions/38-guards.lua, 65-evidence.lua). */
#ifndef ROUTING_RAIL_H
#define ROUTING_RAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routing/evidence.h"

#define RAIL_VERDICTS(X)                                                                  \
    X(RAIL_INCONCLUSIVE, "inconclusive") /* too little was seen to tell */                \
    X(RAIL_GOOD, "good")                 /* enough was seen, and nothing wrong with it */ \
    X(RAIL_BAD, "bad")                                                                    \
    X(RAIL_VOID, "void") /* none of its cells is any more as the flip left it */

#define RAIL_ENUM(id, name) id,
enum rail_verdict { RAIL_VERDICTS(RAIL_ENUM) RAIL_VERDICT_COUNT };
#undef RAIL_ENUM
const char *rail_verdict_name(enum rail_verdict verdict);

struct rail_cell {
    char shortcode[SHORTCODE_LEN_MAX + 1];
    char carrier[NAME_LEN_MAX + 1];
    char from[NAME_LEN_MAX + 1], to[NAME_LEN_MAX + 1];
};

struct rail {
    char id[24];
    uint64_t version, at_ms, until_ms, ended_ms;
    uint64_t errors; /* percentage points above the share before; 0: not watched */
    uint64_t min;    /* answers that make a share conclusive, on either side of the flip; receipts awaited */
    uint64_t mo_within_ms;      /* 0: not watched */
    uint64_t receipt_within_ms; /* 0: not watched */
    bool leg_lost;
    bool roll_back; /* else it alerts */
    char state[16]; /* watching, or the verdict that ended it */
    char what[256]; /* why it ended */
    size_t cells_count;
    struct rail_cell *cells;
};

/* False where it cannot be read, or without memory; *rail is then as it was. To be freed with rail_clear. */
bool rail_parse(const char *text, size_t len, struct rail *rail);
void rail_clear(struct rail *rail);

/* What was expected in a time in which nothing came, for nothing to mean something: by chance alone, less than one
 * time in 20 (Poisson, e^-3). */
enum { RAIL_EXPECTED = 3 };

/* What a guard finds in the evidence (sorted). now_ms: Redis' clock. what gets a sentence about the worst that was
 * found: cell, numbers and limit. */
enum rail_verdict rail_judge(const struct rail *rail, const struct evidence_set *set, uint64_t now_ms,
                             char *what, size_t cap);

/* The same of one record, without a look at whether it is still the guard's. */
enum rail_verdict rail_judge_one(const struct rail *rail, const struct evidence *evidence, uint64_t now_ms,
                                 char *what, size_t cap);

#endif
