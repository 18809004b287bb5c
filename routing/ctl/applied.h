/* Which instance had applied a version when, and what the command that made it saw: kept in Redis, see
 * functions/68-applied.lua. */
#ifndef ROUTING_CTL_APPLIED_H
#define ROUTING_CTL_APPLIED_H

#include <jansson.h>

#include "routing/ctl/redis.h"

/* {"instances": {id: ms since 1970}, "barrier": as the commands answer it, or null}; NULL where the call
 * failed. */
json_t *applied_read(struct redis *redis, uint64_t version);

#endif
