/* Chunks: the output buffers of connections, taken from a worker's pool and given back, so that a busy
 * connection allocates nothing and an idle one holds nothing. One thread. */
#ifndef PROXY_CHUNK_H
#define PROXY_CHUNK_H

#include <stddef.h>
#include <stdint.h>

enum { CHUNK_SIZE = 16384 - 24 };

struct chunk {
    struct chunk *next;
    uint32_t start, end; /* data[start .. end) is to be sent */
    uint8_t data[CHUNK_SIZE];
};

struct chunk_pool {
    struct chunk *free;
    size_t free_count;
    size_t least;    /* free_count has been no lower since the last review */
    size_t free_max; /* so many may lie idle for long */
    size_t out;      /* chunks in use */
};

void chunk_pool_init(struct chunk_pool *pool, size_t free_max);
void chunk_pool_clear(struct chunk_pool *pool);

/* An empty chunk, or NULL without memory. */
struct chunk *chunk_get(struct chunk_pool *pool);
void chunk_put(struct chunk_pool *pool, struct chunk *chunk);
void chunk_put_all(struct chunk_pool *pool, struct chunk *first);

/* Gives back to the allocator, down to free_max, what nobody has needed since the last review: once a second, so
 * that a thousand busy connections allocate nothing and a storm of binds leaves nothing behind. */
void chunk_pool_review(struct chunk_pool *pool);

#endif
