/* Which carrier a request of a client goes to: the client's own word, else what the config knows of its numbers.
 *
 *   request ──TLV, of clients with carrier-tlv──▶ carrier_choose (set, override, table, prefix, default) ──▶ carrier
 *                                                        └──▶ what decided, counted
 *
 * Only for clients that have it configured are the TLVs looked at. */
#ifndef PROXY_CHOICE_H
#define PROXY_CHOICE_H

#include "proxy/client.h"
#include "proxy/way.h"
#include "smpp/view.h"

/* The carrier of a submit_sm or data_sm to this destination; NAME_NONE for none. */
uint8_t choice_of_message(struct client *client, const struct subject *s, const struct smpp_address *dest);

/* The carrier of all destinations of a submit_multi; NAME_NONE where one has none. *mixed is set where they differ,
 * or one is a distribution list, and no TLV says where that goes. *end says how the walk ended. What decided is
 * counted for each destination. */
uint8_t choice_of_multi(struct client *client, const struct subject *s, struct smpp_multi_view *view,
                        enum smpp_multi_verdict *end, bool *mixed);

#endif
