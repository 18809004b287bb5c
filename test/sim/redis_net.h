/* Redis as the instances and operators of a world meet it: routing/redis_conn.h over the model, with the network between.
 *
 *   store.c ──redis_conn_command──▶ lag ──▶ redis_model of the master ──▶ lag ──▶ answer, in the instance's loop
 *
 * It can go away, come back, lose what its replica had not got yet (failover), and be out of reach of one instance. */
#ifndef TEST_SIM_REDIS_NET_H
#define TEST_SIM_REDIS_NET_H

#include <hiredis/hiredis.h>

#include "test/sim/process.h"

void redis_net_begin(void);
void redis_net_killed(struct process *p);

void redis_down(uint64_t ns);                           /* for everybody */
void redis_unreachable(unsigned instance, uint64_t ns); /* for one; hangs rather than ends */
void redis_failover(void);                              /* the replica becomes the master, as it is */
bool redis_is_up(void);
void redis_mend(void); /* all of that is over */

/* An operator's command, answered at once: NULL where Redis is down. The caller frees it. */
redisReply *redis_ask(size_t count, const char *const *strings);

/* Has the replica everything that the master has? */
bool redis_replicated(void);

#endif
