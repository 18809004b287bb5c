/* Requests kept back, unanswered, in order: for a full window, a leg that is not bound yet, or a route on
 * hold.
 *
 *   forward ──hold_add──▶ queue of one session and carrier ──something changed──▶ hold_unlink ─▶ sent on
 *                                                         └─too long, too many─▶ refused by forward
 *
 * Knows bytes and time, not why anything waits. Blocks of common size come from a list of the worker's and go
 * back to it, so that a steady backlog allocates nothing. */
#ifndef PROXY_HOLD_H
#define PROXY_HOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/multipart.h"

struct held {
    struct held *next;
    uint64_t since; /* ns */
    uint8_t carrier;
    uint8_t reason; /* why it waits: the caller's own */
    struct multipart part;
    int32_t link;                   /* index of the link it must take, -1: the route decides */
    uint32_t source_at, source_len; /* the shortcode inside pdu */
    uint32_t len;
    bool pooled;
    bool wants_receipt;
    uint8_t pdu[];
};

/* One queue, in order of arrival. */
struct hold_queue {
    struct held *first, *last;
    uint32_t count;
    bool blocks; /* the client is not read until there is room in it */
};

struct hold_pool {
    struct held *free;
    unsigned free_count;
};

/* Copies a PDU to the end of the queue. NULL without memory. */
struct held *hold_add(struct hold_pool *pool, struct hold_queue *queue, const uint8_t *pdu, uint32_t len);

/* Unlinks `held`, which follows `before` (NULL: it is the first). It stays valid until hold_release. */
void hold_unlink(struct hold_queue *queue, struct held *before, struct held *held);
void hold_release(struct hold_pool *pool, struct held *held);
void hold_pool_clear(struct hold_pool *pool);

#endif
