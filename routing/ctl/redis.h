/* Redis for a command: the address that the operator gives, and the calls of redis_sync.h.
 *
 *   "host:port", path or URL ──redis_address_parse──▶ address ──redis_open──▶ redis ──redis_function──▶ reply */
#ifndef ROUTING_CTL_REDIS_H
#define ROUTING_CTL_REDIS_H

#include "routing/redis_sync.h"

/* False with a sentence in reason (static text). */
bool redis_address_parse(const char *text, struct redis_address *address, const char **reason);

#endif
