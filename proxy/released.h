/* Which legs the operator has released: those of a link, for one client or all, that need not stay any longer
 * for receipts and late MO of the time when a route led there.
 *
 *   turnoutctl leg release ──released_note──▶ (client, link, when) ◀──released_since── legs: is it wanted still?
 *
 * Without this memory the next look at the table would bind them again, since it says that the platform has
 * served not long ago. A route that leaves the platform later than the release makes its legs linger anew. One
 * thread; a fixed number of entries, of which the oldest goes; forgotten with the process. */
#ifndef PROXY_RELEASED_H
#define PROXY_RELEASED_H

#include <stdbool.h>
#include <stdint.h>

enum { RELEASED_MAX = 256, RELEASED_EVERY_CLIENT = -1 };

struct released_entry {
    int client; /* index, or RELEASED_EVERY_CLIENT */
    unsigned link;
    uint64_t when; /* seconds since 1970, 0: free */
};

struct released {
    struct released_entry entry[RELEASED_MAX];
};

void released_note(struct released *released, int client, unsigned link, uint64_t when);

/* Were this client's legs over the link released at or after this time? */
bool released_since(const struct released *released, unsigned client, unsigned link, uint64_t since);

#endif
