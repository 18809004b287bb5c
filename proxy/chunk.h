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
    size_t free_max; /* more than this go back to the allocator */
    size_t out;      /* chunks in use */
};

void chunk_pool_init(struct chunk_pool *pool, size_t free_max);
void chunk_pool_clear(struct chunk_pool *pool);

/* An empty chunk, or NULL without memory. */
struct chunk *chunk_get(struct chunk_pool *pool);
void chunk_put(struct chunk_pool *pool, struct chunk *chunk);
void chunk_put_all(struct chunk_pool *pool, struct chunk *first);

#endif
