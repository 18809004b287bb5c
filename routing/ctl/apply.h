/* A change as a request to Redis: built, sent, its answer shown, the barrier waited for.
 *
 *   request_new ─request_move*─▶ request ──apply──▶ turnout_change or turnout_restore
 *                                                     ├─ ok, unchanged ──▶ barrier ──▶ replicas ──▶ exit code
 *                                                     └─ conflict, invalid ──▶ every line of it, exit code
 */
#ifndef ROUTING_CTL_APPLY_H
#define ROUTING_CTL_APPLY_H

#include <jansson.h>

#include "routing/ctl/ctl.h"

/* What a cell is believed to be, and shall be. */
struct move {
    const char *shortcode, *carrier;
    const char *to;         /* "" removes the cell */
    const char *state;      /* NULL: open */
    const char *from;       /* NULL: whatever is there; "": nothing may be there */
    const char *from_state; /* NULL: any */
};

/* A request with who, why and ticket from the options. NULL where one of them cannot be sent: ctl_fail was
 * called, and CTL_USAGE is the exit code. */
json_t *request_new(struct ctl *ctl, const char *kind);
void request_move(json_t *request, const struct move *move);

/* Sends the request to a function, and takes it over. */
enum ctl_exit apply(struct ctl *ctl, const char *function, json_t *request);

#endif
