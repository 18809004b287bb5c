/* See blocks.h. A block's chunk is found by its address. */
#include "routing/blocks.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { CHUNK_SIZE = 1 << 21, CHUNK_BLOCKS = 32, HEAD_SIZE = 512, LINE = 64 };

struct chunk {
    struct chunk *next;
    unsigned used;
    uint32_t holds[CHUNK_BLOCKS]; /* 0: the block is free */
};
_Static_assert(sizeof(struct chunk) <= HEAD_SIZE && BLOCK_SIZE % LINE == 0 &&
                   HEAD_SIZE + CHUNK_BLOCKS * BLOCK_SIZE <= CHUNK_SIZE,
               "a chunk holds its head and its blocks");

struct blocks {
    unsigned holds;
    struct chunk *chunks;
};

struct blocks *blocks_new(void)
{
    struct blocks *blocks = calloc(1, sizeof(*blocks));
    if (blocks != NULL)
        blocks->holds = 1;
    return blocks;
}

void blocks_hold(struct blocks *blocks)
{
    blocks->holds++;
}

void blocks_drop(struct blocks *blocks)
{
    if (--blocks->holds == 0)
        free(blocks);
}

static struct chunk *chunk_of(const void *block)
{
    return (struct chunk *)((uintptr_t)block & ~(uintptr_t)(CHUNK_SIZE - 1));
}

static uint32_t *holds_of(const void *block)
{
    struct chunk *chunk = chunk_of(block);
    return &chunk->holds[((size_t)((const char *)block - (const char *)chunk) - HEAD_SIZE) / BLOCK_SIZE];
}

/* Mapped, not allocated: what a table leaves when it becomes wider goes back whole. A chunk is at a multiple of its
 * size, so twice as much is asked for, and what is before and behind given back. */
static void *chunk_map(void)
{
    char *map =
        mmap(NULL, (size_t)2 * CHUNK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    size_t before = -(uintptr_t)map & (CHUNK_SIZE - 1);
    if (before > 0)
        munmap(map, before);
    munmap(map + before + CHUNK_SIZE, CHUNK_SIZE - before);
    return map + before;
}

/* The first chunk is not offered: the kernel would give all of it to a table that needs a block or two. */
static struct chunk *chunk_new(struct blocks *blocks)
{
    struct chunk *chunk = chunk_map();
    if (chunk == NULL)
        return NULL;
    if (blocks->chunks != NULL)
        (void)madvise(chunk, CHUNK_SIZE, MADV_HUGEPAGE); /* faster, no more */
    *chunk = (struct chunk){.next = blocks->chunks};
    blocks->chunks = chunk;
    return chunk;
}

void *blocks_take(struct blocks *blocks)
{
    struct chunk *chunk = blocks->chunks;
    while (chunk != NULL && chunk->used == CHUNK_BLOCKS)
        chunk = chunk->next;
    if (chunk == NULL && (chunk = chunk_new(blocks)) == NULL)
        return NULL;
    size_t place = 0;
    while (chunk->holds[place] > 0)
        place++;
    chunk->used++;
    chunk->holds[place] = 1;
    return (char *)chunk + HEAD_SIZE + place * BLOCK_SIZE;
}

void block_hold(void *block)
{
    ++*holds_of(block);
}

static void chunk_free(struct blocks *blocks, struct chunk *chunk)
{
    struct chunk **link = &blocks->chunks;
    while (*link != chunk)
        link = &(*link)->next;
    *link = chunk->next;
    munmap(chunk, CHUNK_SIZE);
}

void blocks_give(struct blocks *blocks, void *block)
{
    if (block == NULL || --*holds_of(block) > 0)
        return;
    struct chunk *chunk = chunk_of(block);
    if (--chunk->used == 0)
        chunk_free(blocks, chunk);
}

bool block_is_shared(const void *block)
{
    return *holds_of(block) > 1;
}
