/* MO and receipts: from a leg to a receiving session of the shortcode's owner, here or at another worker, and
 * the answer back.
 *
 *   leg request ──mo_request──▶ receiver here ─▶ slot of its window ─▶ client
 *                            └▶ receiver elsewhere ─▶ relay ─▶ the same there
 *   client response ──mo_answered──▶ leg, under the SMSC's own sequence_number
 *   none in time, or no client ──mo_expired, mo_abandoned──▶ refused, so that the network queues it
 *
 * MO are taken from every leg of every platform, wherever routes lead today; a carrier may want those of a
 * route on hold or closed refused (mo-on-hold). */
#ifndef PROXY_MO_H
#define PROXY_MO_H

#include "proxy/client.h"
#include "proxy/leg.h"

/* leg_events.request */
void mo_request(struct leg *leg, const struct smpp_event *event);

/* client_events.response, .expired and .abandoned */
void mo_answered(struct client *client, const struct smpp_event *event, const struct window_slot *slot);
void mo_expired(struct client *client, const struct window_slot *slot);
void mo_abandoned(struct client *client, const struct window_slot *slot);

#endif
