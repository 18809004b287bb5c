/* An entry of the stream of changes, [id, [field, value ...]], as a reply holds it. */
#ifndef ROUTING_CTL_ENTRY_H
#define ROUTING_CTL_ENTRY_H

#include "routing/change.h"
#include "routing/ctl/redis.h"

/* Is it an entry at all? The others take this for granted. */
bool entry_fine(const redisReply *item);

uint64_t entry_version(const redisReply *item);

/* A field as text, "" where it is not there. */
const char *entry_field(const redisReply *item, const char *name);

/* The change that it stands for, to be freed. NULL with a reason where it cannot be understood. */
struct change *entry_change(const redisReply *item, const char **reason);

/* The entry of a version as an array with one element, or with none where it is not kept; to be freed. NULL
 * where the call failed. */
redisReply *entry_read(struct redis *redis, uint64_t version);

#endif
