/* Who had the portability tables swapped: notes beside the log.
 *
 *   P:number_swaps ──newest first──▶ those made at the versions that are shown ──▶ lines, or "number_swaps" of --json
 *   P:number_swap_ends ──────────────▶ how each ended, if that was noted ──▲ */
#ifndef ROUTING_CTL_NUMBER_SWAPS_H
#define ROUTING_CTL_NUMBER_SWAPS_H

#include <stdint.h>

#include "routing/ctl/ctl.h"

/* Shows the notes that were made at a version of the routing table from this one on. False where Redis failed. */
bool number_swaps_show(struct ctl *ctl, uint64_t oldest);

#endif
