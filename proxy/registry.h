/* Numbers for things that come and go: an index and a generation instead of a pointer, so that whoever holds
 * one after the thing has gone finds nothing rather than something else. One thread. */
#ifndef PROXY_REGISTRY_H
#define PROXY_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct registry_entry {
    void *thing; /* NULL: free */
    uint32_t generation;
    uint32_t next_free; /* index + 1 of the next free entry, 0 for none */
};

struct registry {
    struct registry_entry *entries;
    uint32_t capacity;
    uint32_t first_free; /* index + 1 */
    uint32_t count;
};

/* False without memory. Generations begin at 1: {0, 0} names nothing. */
bool registry_add(struct registry *r, void *thing, uint32_t *index, uint32_t *generation);
void registry_remove(struct registry *r, uint32_t index);
void registry_clear(struct registry *r);

static inline void *registry_get(const struct registry *r, uint32_t index, uint32_t generation)
{
    if (index >= r->capacity || r->entries[index].generation != generation) {
        return NULL;
    }
    return r->entries[index].thing;
}

/* The thing at an index of 0 .. capacity - 1, NULL where there is none: for walks. */
static inline void *registry_at(const struct registry *r, uint32_t index)
{
    return r->entries[index].thing;
}

#endif
