/* Changes that go back by themselves unless they are confirmed, for status and instances. */
#ifndef ROUTING_CTL_PENDING_H
#define ROUTING_CTL_PENDING_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "routing/ctl/redis.h"

struct pending_change {
    uint64_t version, deadline_ms; /* by Redis' clock */
    char *who;
    bool is_hold; /* of a strict flip: its end is to be confirmed, not this */
};

struct pending {
    uint64_t now_ms;
    size_t count; /* the first to go back comes first */
    struct pending_change *items;
};

/* now_ms: Redis' clock. False where a call failed; to be freed in either case. */
bool pending_read(struct redis *redis, uint64_t now_ms, struct pending *pending);
void pending_free(struct pending *pending);

/* A table of them, and what to do; nothing where there are none. */
void pending_print(const struct pending *pending);

/* [{"version", "deadline_ms", "left_ms", "who", "hold"}] */
json_t *pending_json(const struct pending *pending);

#endif
