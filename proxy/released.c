#include "proxy/released.h"

/* The entry of this very (client, link), else a free one, else the oldest. */
static struct released_entry *place_for(struct released *released, int client, unsigned link)
{
    struct released_entry *best = &released->entry[0];
    for (unsigned i = 0; i < RELEASED_MAX; i++) {
        struct released_entry *entry = &released->entry[i];
        if (entry->when != 0 && entry->client == client && entry->link == link) {
            return entry;
        }
        best = entry->when < best->when ? entry : best;
    }
    return best;
}

void released_note(struct released *released, int client, unsigned link, uint64_t when)
{
    *place_for(released, client, link) =
        (struct released_entry){.client = client, .link = link, .when = when};
}

bool released_since(const struct released *released, unsigned client, unsigned link, uint64_t since)
{
    for (unsigned i = 0; i < RELEASED_MAX; i++) {
        const struct released_entry *entry = &released->entry[i];
        if (entry->when != 0 && entry->when >= since && entry->link == link &&
            (entry->client == RELEASED_EVERY_CLIENT || (unsigned)entry->client == client)) {
            return true;
        }
    }
    return false;
}
