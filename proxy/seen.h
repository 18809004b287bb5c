/* A message from a handset, or a receipt, has come over a leg: what it is, and what evidence it makes.
 *
 *   deliver_sm, data_sm ──seen──▶ cell of (its destination, the leg's carrier): counted by the leg's platform
 *                          └──▶ receipt or not, route open or not, for mo.c
 *
 * Of cells that are about to move or have moved lately also: is it the receipt of a message that another platform
 * accepted, and has the same MO come by another platform just now? It is passed on in any case. */
#ifndef PROXY_SEEN_H
#define PROXY_SEEN_H

#include "proxy/leg.h"

struct seen {
    uint32_t cell; /* handle of what counts it (traffic.h), 0: nothing */
    bool is_receipt;
    bool not_open; /* its shortcode has a route, which is on hold or closed */
};

struct seen seen(struct leg *leg, const struct smpp_event *event);

#endif
