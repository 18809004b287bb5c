/* Instances that were left out of the barrier of a change that was made before: notes beside the log.
 *
 *   P:left_out ──newest first──▶ those of the versions that are shown ──▶ lines, or "left_out" of --json */
#ifndef ROUTING_CTL_LEFT_OUT_H
#define ROUTING_CTL_LEFT_OUT_H

#include <stdint.h>

#include "routing/ctl/ctl.h"

/* Shows the notes from a version on. False where Redis failed. */
bool left_out_show(struct ctl *ctl, uint64_t oldest);

#endif
