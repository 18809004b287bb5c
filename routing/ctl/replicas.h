/* After a change: do the replicas of Redis have it? Replication is asynchronous, so a failover loses what no
 * replica has got; this waits until enough of them say that they have.
 *
 *   --replicas N, or by default one where the master has any ──WAIT──▶ how many acknowledged ──▶ exit code */
#ifndef ROUTING_CTL_REPLICAS_H
#define ROUTING_CTL_REPLICAS_H

#include <stdint.h>

#include "routing/ctl/ctl.h"

/* Waits for what is left of --timeout since changed_us. code is what the command ends with where enough have
 * it, and where it has failed already. */
enum ctl_exit replicas_wait(struct ctl *ctl, uint64_t version, int64_t changed_us, enum ctl_exit code);

#endif
