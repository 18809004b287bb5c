/*   allocator ──▶ in use (out) ──chunk_put──▶ free list ──chunk_get──▶ in use
 *       ▲                                        │
 *       └────────── beyond free_max ─────────────┘ */
#include "proxy/chunk.h"

#include <assert.h>
#include <stdlib.h>

void chunk_pool_init(struct chunk_pool *pool, size_t free_max)
{
    *pool = (struct chunk_pool){.free_max = free_max};
}

void chunk_pool_clear(struct chunk_pool *pool)
{
    while (pool->free != NULL) {
        struct chunk *chunk = pool->free;
        pool->free = chunk->next;
        free(chunk);
    }
    pool->free_count = 0;
}

struct chunk *chunk_get(struct chunk_pool *pool)
{
    struct chunk *chunk = pool->free;
    if (chunk != NULL) {
        pool->free = chunk->next;
        pool->free_count--;
    } else {
        chunk = calloc(1, sizeof(*chunk));
        if (chunk == NULL) {
            return NULL;
        }
    }
    chunk->next = NULL;
    chunk->start = chunk->end = 0;
    pool->out++;
    return chunk;
}

void chunk_put(struct chunk_pool *pool, struct chunk *chunk)
{
    assert(pool->out > 0);
    pool->out--;
    if (pool->free_count >= pool->free_max) {
        free(chunk);
        return;
    }
    chunk->next = pool->free;
    pool->free = chunk;
    pool->free_count++;
}

void chunk_put_all(struct chunk_pool *pool, struct chunk *first)
{
    while (first != NULL) {
        struct chunk *next = first->next;
        chunk_put(pool, first);
        first = next;
    }
}
