/* How long to leave an SMSC alone after upstream binds have failed, by client and link, remembered by the
 * worker.
 *
 *   leg failed ──backoff_note───▶ (client, link): failures in a row, not before when ◀──backoff_get── new leg
 *   leg bound  ──backoff_clear──▶ forgotten
 *
 * A leg has a pause of its own, but it goes with its session: without this, a client that is refused and
 * binds again at once would have the proxy bind upstream as often, and carriers lock accounts for less. One
 * thread; as many entries as (client, link) pairs of the config that fail. */
#ifndef PROXY_BACKOFF_H
#define PROXY_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

struct backoff_entry;

struct backoffs {
    struct backoff_entry *first; /* a hash table */
};

struct backoff {
    unsigned failures; /* in a row, 0: none known */
    uint64_t until;    /* ns, of the worker's clock */
};

struct backoff backoff_get(const struct backoffs *backoffs, unsigned client, unsigned link);

/* Without memory it is not remembered. */
void backoff_note(struct backoffs *backoffs, unsigned client, unsigned link, struct backoff backoff);
void backoff_clear(struct backoffs *backoffs, unsigned client, unsigned link);
void backoff_clear_all(struct backoffs *backoffs);

#endif
