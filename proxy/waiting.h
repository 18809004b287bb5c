/* A client's requests that are kept back: for a full window, a leg that is not bound yet, or a route on hold.
 *
 *   request ──waiting_add──▶ queue of its carrier ──table, leg or clock changed: waiting_look──▶ way_find
 *                                        sent on ◀── way is free ──┤
 *                                        refused ◀── time is over ─┘
 *
 * One queue a carrier, in order of arrival; a request never overtakes another of its route. */
#ifndef PROXY_WAITING_H
#define PROXY_WAITING_H

#include "proxy/way.h"

/* Keeps a request back, or refuses it where there is no time or no room. */
SELDOM void waiting_add(struct client *client, const struct subject *s, const struct way *way);

/* A request of the same route waits already: this one must not overtake it. */
bool waiting_has(const struct client *client, const struct subject *s);

/* Looks again at all that waits, in order: sends what may go, refuses what has waited too long. */
void waiting_look(struct client *client);

/* The same for what waits for one carrier, of which this leg has changed. is_ready: it has room again and
 * nothing else has changed, so that behind the first request that it has no room for, nothing can go. */
void waiting_look_at(struct client *client, const struct leg *leg, bool is_ready);

/* Refuses all that waits: the client is to be ended. */
void waiting_refuse(struct client *client);

/* Forgets all that waits: nobody is left to answer to. */
void waiting_drop(struct client *client);

#endif
