#include "proxy/registry.h"

#include <stdlib.h>

enum { FIRST_CAPACITY = 64 };

static bool grow(struct registry *r)
{
    uint32_t capacity = r->capacity == 0 ? FIRST_CAPACITY : r->capacity * 2;
    struct registry_entry *entries = realloc(r->entries, capacity * sizeof *entries);
    if (entries == NULL) {
        return false;
    }
    for (uint32_t i = capacity; i-- > r->capacity;) {
        entries[i] = (struct registry_entry){.generation = 0, .next_free = r->first_free};
        r->first_free = i + 1;
    }
    r->entries = entries;
    r->capacity = capacity;
    return true;
}

bool registry_add(struct registry *r, void *thing, uint32_t *index, uint32_t *generation)
{
    if (r->first_free == 0 && !grow(r)) {
        return false;
    }
    uint32_t i = r->first_free - 1;
    struct registry_entry *entry = &r->entries[i];
    r->first_free = entry->next_free;
    entry->thing = thing;
    entry->generation++;
    if (entry->generation == 0) {
        entry->generation = 1;
    }
    r->count++;
    *index = i;
    *generation = entry->generation;
    return true;
}

void registry_remove(struct registry *r, uint32_t index)
{
    struct registry_entry *entry = &r->entries[index];
    entry->thing = NULL;
    entry->generation++; /* whoever still holds the number finds nothing */
    entry->next_free = r->first_free;
    r->first_free = index + 1;
    r->count--;
}

void registry_clear(struct registry *r)
{
    free(r->entries);
    *r = (struct registry){.entries = NULL};
}
