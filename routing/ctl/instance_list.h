/* The instances as Redis knows them, at one moment.
 *
 *   turnout_instances ──instance_list_read──▶ list ──instance_field(item, "applied")──▶ text
 *
 * The list keeps the reply; its strings live as long as it does. */
#ifndef ROUTING_CTL_INSTANCE_LIST_H
#define ROUTING_CTL_INSTANCE_LIST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routing/ctl/redis.h"

struct instance {
    const char *id;
    int64_t lease_ms; /* what is left of it; -1 for a dead instance */
    redisReply *const *strings;
    size_t strings_count; /* field and value in turn */
};

struct instance_list {
    redisReply *reply;
    uint64_t now_ms; /* Redis' clock */
    size_t count;
    struct instance *items;
};

/* False where the call failed. */
bool instance_list_read(struct redis *redis, struct instance_list *list);

/* The same from a reply, which is taken over. False (and freed) where it is malformed. */
bool instance_list_parse(redisReply *reply, struct instance_list *list);
void instance_list_free(struct instance_list *list);

bool instance_alive(const struct instance *instance);

/* A field as text, "" where the instance does not report it; and as a number, 0 where it is none. */
const char *instance_field(const struct instance *instance, const char *name);
uint64_t instance_number(const struct instance *instance, const char *name);

/* Does what it reports hold for the Redis that was asked, as it is now? */
bool instance_of_this_history(const struct instance *instance);

/* What is wrong with it: what keeps it from applying, else why it does not follow the table. "" for nothing.
 */
const char *instance_trouble(const struct instance *instance);

/* That its clock is more than two seconds off Redis', so that the times which it reports are wrong; "" where it is not,
 * or is not known. text returned. */
enum { CLOCK_TROUBLE_SIZE = 160 };
const char *instance_clock_trouble(const struct instance *instance, char text[CLOCK_TROUBLE_SIZE]);

/* How long ago it was last heard of. */
uint64_t instance_silence_ms(const struct instance_list *list, const struct instance *instance);

/* {"id", "alive", "lease_ms" (null for a dead one), "silent_ms", "fields": {name: text ...}}; the field
 * "sessions", which is JSON itself, is given as it is. */
json_t *instance_json(const struct instance_list *list, const struct instance *instance);

#endif
