/* What the commands about routes share. */
#ifndef ROUTING_CTL_ROUTE_H
#define ROUTING_CTL_ROUTE_H

#include "routing/ctl/cells.h"
#include "routing/ctl/ctl.h"

/* {"shortcode", "carrier", "platform", "state", "previous", "changed_ms", "version"}, and an array of them.
 */
json_t *route_json(const struct cell *cell);
json_t *routes_json(const struct cells *cells);

/* Are the arguments shortcodes, and --carrier, --to and --from names? Where not, ctl_fail was called, and
 * CTL_USAGE is the exit code. */
bool route_names_fine(struct ctl *ctl);

#endif
