/* Asks the sentinels, on a loop, which Redis is the master, and goes on asking while one answers: so a
 * failover is noticed even where the old master stays reachable.
 *
 *   sentinel ──SENTINEL GET-MASTER-ADDR-BY-NAME, some times a second──▶ events.master
 *      └──hangs, is gone, does not know──▶ the next one ──none──▶ events.silent, a pause
 *
 * It asks and does not subscribe to +switch-master: what is published is missed by whoever is away, while an
 * answer also shows that the sentinel lives. */
#ifndef ROUTING_SENTINEL_WATCH_H
#define ROUTING_SENTINEL_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "routing/address.h"

struct sentinel_options {
    const char *const *sentinels;    /* "host:port" each */
    size_t count;                    /* 0: there are none */
    const char *master;              /* its name among the sentinels */
    const char *username, *password; /* of the sentinels; NULL: none */
};

/* Both are called on a turn of the loop of its own, and must not close the watch. */
struct sentinel_events {
    /* An answer: mostly the same as the one before. */
    void (*master)(void *ctx, const struct address *master);
    /* None of them answers; a sentence, valid during the call. They are asked again after a pause. */
    void (*silent)(void *ctx, const char *reason);
};

struct sentinel_watch;

/* options and its strings are copied. A pause begins with min_ms, doubles up to max_ms, and is jittered. NULL
 * without memory, or where an address cannot be understood. */
struct sentinel_watch *sentinel_watch_new(uv_loop_t *loop, const struct sentinel_options *options,
                                          uint64_t min_ms, uint64_t max_ms,
                                          const struct sentinel_events *events, void *ctx);

/* Begins to ask. */
void sentinel_watch_start(struct sentinel_watch *watch);

/* Asks now, if nothing is asked. doubt: what was named last is no master that can be reached, so another
 * sentinel is asked. */
void sentinel_watch_ask(struct sentinel_watch *watch, bool doubt);

void sentinel_watch_close(struct sentinel_watch *watch, void (*closed)(void *ctx), void *ctx);

#endif
