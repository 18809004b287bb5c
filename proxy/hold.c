#include "proxy/hold.h"

#include <stdlib.h>
#include <string.h>

enum { POOLED_LEN = 512, POOL_MAX = 4096 };

static struct held *allocate(struct hold_pool *pool, uint32_t len)
{
    bool pooled = len <= POOLED_LEN;
    struct held *held = NULL;
    if (pooled && pool->free != NULL) {
        held = pool->free;
        pool->free = held->next;
        pool->free_count--;
    } else {
        held = malloc(sizeof *held + (pooled ? POOLED_LEN : len));
    }
    if (held != NULL) {
        *held = (struct held){.len = len, .pooled = pooled, .link = -1};
    }
    return held;
}

struct held *hold_add(struct hold_pool *pool, struct hold_queue *queue, const uint8_t *pdu, uint32_t len)
{
    struct held *held = allocate(pool, len);
    if (held == NULL) {
        return NULL;
    }
    memcpy(held->pdu, pdu, len);
    if (queue->last == NULL) {
        queue->first = held;
    } else {
        queue->last->next = held;
    }
    queue->last = held;
    queue->count++;
    return held;
}

void hold_unlink(struct hold_queue *queue, struct held *before, struct held *held)
{
    if (before == NULL) {
        queue->first = held->next;
    } else {
        before->next = held->next;
    }
    if (queue->last == held) {
        queue->last = before;
    }
    held->next = NULL;
    queue->count--;
}

void hold_release(struct hold_pool *pool, struct held *held)
{
    if (held->pooled && pool->free_count < POOL_MAX) {
        held->next = pool->free;
        pool->free = held;
        pool->free_count++;
        return;
    }
    free(held);
}

void hold_pool_clear(struct hold_pool *pool)
{
    while (pool->free != NULL) {
        struct held *held = pool->free;
        pool->free = held->next;
        free(held);
    }
    pool->free_count = 0;
}
