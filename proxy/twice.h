/* Has this MO come by another platform just now? A carrier that moves may send one both ways.
 *
 *   hash of source, destination, text; platform; time ──twice_seen──▶ yes: seen by another platform within a minute
 *
 * A table of fixed size for all workers: words, each written whole, relaxed; sets of four, of which the oldest gives
 * way. Two workers that meet in one set may miss a pair, and never make one up. Only MO of cells that are about to
 * move, or have moved lately, are asked about. */
#ifndef PROXY_TWICE_H
#define PROXY_TWICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "smpp/view.h"

enum { TWICE_SETS = 4096, TWICE_WAYS = 4, TWICE_SECONDS = 60 };

struct twice {
    _Atomic uint64_t words[TWICE_SETS][TWICE_WAYS]; /* hash, platform, time; 0: none */
    _Atomic uint64_t told_s;                        /* when it was logged last */
};

uint64_t twice_hash(const struct smpp_message_view *view);

/* Remembers it. now_s: seconds since 1970. */
bool twice_seen(struct twice *twice, uint64_t hash, uint8_t platform, uint64_t now_s);

/* May it be logged? Once a minute, whichever worker comes first. */
bool twice_may_tell(struct twice *twice, uint64_t now_s);

#endif
