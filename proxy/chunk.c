/*   allocator ──▶ in use (out) ──chunk_put──▶ free list ──chunk_get──▶ in use
 *       ▲                                        │
 *       └── chunk_pool_review: idle, beyond free_max */
#include "proxy/chunk.h"

#include <assert.h>
#include <stdlib.h>

void chunk_pool_init(struct chunk_pool *pool, size_t free_max)
{
    *pool = (struct chunk_pool){.free_max = free_max};
}

static void free_one(struct chunk_pool *pool)
{
    struct chunk *chunk = pool->free;
    pool->free = chunk->next;
    pool->free_count--;
    free(chunk);
}

void chunk_pool_clear(struct chunk_pool *pool)
{
    while (pool->free != NULL) {
        free_one(pool);
    }
}

void chunk_pool_review(struct chunk_pool *pool)
{
    for (; pool->least > pool->free_max; pool->least--) {
        free_one(pool);
    }
    pool->least = pool->free_count;
}

struct chunk *chunk_get(struct chunk_pool *pool)
{
    struct chunk *chunk = pool->free;
    if (chunk != NULL) {
        pool->free = chunk->next;
        pool->free_count--;
        pool->least = pool->free_count < pool->least ? pool->free_count : pool->least;
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
