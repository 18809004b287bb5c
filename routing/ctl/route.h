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

/* Sorts the arguments, which are shortcodes; one that is named twice counts once. */
void route_sort_shortcodes(struct ctl *ctl);

/* Reads the cell of (shortcode, --carrier); its platform is "" where there is none. False where the call
 * failed. */
bool route_read_cell(struct ctl *ctl, const char *shortcode, struct cell *cell);

/* The same for each of the arguments, in their order, at the cost of a few calls; cells begins empty. */
bool route_read_args(struct ctl *ctl, struct cells *cells);

/* Tells that there is no such cell: CTL_NOT_FOUND, or what the command ends with. */
enum ctl_exit route_fail_no_row(struct ctl *ctl, const char *shortcode, const char *advice);

#endif
