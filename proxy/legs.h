/* Which legs a client needs: those of the links that its routes lead to today, and for a while those of the
 * platforms that served it before.
 *
 *   table, config, account ──legs_review──▶ missing legs begun, legs that nothing needs ended or left to linger
 *   query about an older message ──legs_take──▶ a leg for it, begun if it has gone
 *   order of the operator ──legs_release──▶ a leg that no route needs ended before its time
 *   attempt to bind ──legs_bind_with──▶ whose credentials
 *
 * Knows no message. Legs begun here call client->leg_events. */
#ifndef PROXY_LEGS_H
#define PROXY_LEGS_H

#include "proxy/client.h"
#include "proxy/leg.h"

/* The client's leg over the link of this index, whatever its state; NULL for none. */
static inline struct leg *legs_at(const struct client *client, unsigned link)
{
    return link < client->legs_count ? client->legs[link] : NULL;
}

/* The leg for a request that is to go over a link: the client's own, or one begun now, which no route needs
 * and which therefore stays for a short time. NULL without memory. */
struct leg *legs_take(struct client *client, const struct config_link *link);

/* Begins the legs that the client's routes need and ends those that nothing needs any more. w->linger_end is
 * set to when to look again. Returns how many it needs. */
unsigned legs_review(struct client *client);

struct legs_released {
    unsigned ended, needed;
};

/* Ends the client's leg over a link (index) in an orderly way if no route of today needs it, nor one that an
 * open window is about to make; adds to sum what became of it. released_note first, or the next review begins
 * it anew. */
void legs_release(struct client *client, unsigned link, struct legs_released *sum);

struct legs_count {
    unsigned all, bound, tried;
};

/* The client's legs that are not ending. */
struct legs_count legs_count(const struct client *client);

/* The client has gone: its legs end once nothing is in flight, and belong to nobody. */
void legs_abandon(struct client *client);

/* The leg has ended and is about to be freed. */
void legs_forget(struct leg *leg);

/* How a leg over a link binds for a client: by the link's own credentials, the account's, or what its session
 * (client) sent. account may be NULL where the link has its own; client may be NULL unless it passes them on.
 * False: there are none. The strings live as long as these three. */
bool legs_credentials(const struct config_link *link, const struct config_client *account,
                      const struct client *client, struct leg_bind *bind);

/* How a leg binds: leg_events.bind_with. */
bool legs_bind_with(struct leg *leg, struct leg_bind *bind);

#endif
