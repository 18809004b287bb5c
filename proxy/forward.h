/* Where client, route and leg meet: which legs a client needs, which way a message goes, and where its answer
 * belongs.
 *
 *   MT       client request ─▶ shortcode, carrier ─▶ route ─▶ leg: forwarded, kept back, or refused
 *   answer   leg response ─▶ slot of the leg's window ─▶ client, under the client's own sequence_number
 *   MO       leg request ─▶ the leg's client: forwarded, or refused so that the network queues it
 *   answer   client response ─▶ slot of the client's window ─▶ leg
 *   query    message id ─▶ index ─▶ the link that accepted the message, whatever the route says today
 *
 * After a flip every other message goes the new way. A later part of a message whose first part went the old
 * way is not another one: it follows (multipart.h), for a bounded time and a bounded number of messages.
 *
 * Which legs there are is legs.h, which way a request goes way.h, what is kept back waiting.h, MO and receipts
 * mo.h; here they are joined to the events of client.h and leg.h, and to what changes from outside.
 *
 * Everything runs in the worker's thread. The table and the config are those in use at this moment, looked up
 * for each message; what waits is looked up again when it is released. */
#ifndef PROXY_FORWARD_H
#define PROXY_FORWARD_H

#include "proxy/client.h"
#include "proxy/legs.h"
#include "proxy/worker.h"
#include "routing/settled.h"

/* What a listener gives to client_accept. */
extern const struct client_events forward_client_events;

/* Another table is in use (worker_set_table was called): what waits goes the new way, missing legs are bound.
 */
void forward_follow_table(struct worker *w);

/* Another config is in use (worker_set_bundle was called). The old one must still be alive. */
void forward_follow_config(struct worker *w);

/* To be called when w->linger_end has come: legs that nobody needs any more are ended. */
void forward_review(struct worker *w);

/* Ends, in an orderly way, the legs over a link (index) that no route of today needs, nor one that an open
 * window is about to make: of one client (index), or RELEASED_EVERY_CLIENT. They are not bound again for what
 * the table says of the past. Legs whose client has gone end by themselves. */
struct legs_released forward_release_legs(struct worker *w, unsigned link, int client);

/* Looks again at all that waits: the fence holds no more. */
void forward_release(struct worker *w);

/* Takes back what was routed and has not left: legs with such octets are closed, so that the outcome of what is
 * in flight on them is unknown. */
void forward_withdraw(struct worker *w);

/* Ends every session in an orderly way. Nothing new is taken from here on. */
void forward_end_all(struct worker *w);

/* Octets of a message routed by a table older than version still wait to leave: the name of a leg's link that
 * holds them, or NULL. */
const char *forward_holds_older(const struct worker *w, uint64_t version);

/* What was routed by a table before the one in use and is still unanswered, link by link. */
struct settled forward_settled(const struct worker *w);

#endif
