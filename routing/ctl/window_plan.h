/* The CSV file of a window's moves, for the commands that read it. */
#ifndef ROUTING_CTL_WINDOW_PLAN_H
#define ROUTING_CTL_WINDOW_PLAN_H

#include "routing/ctl/csv.h"
#include "routing/ctl/ctl.h"

/* CTL_DONE with at least one row and no error, or what the command ends with, told. csv is empty before, and to
 * be freed in either case. */
enum ctl_exit window_csv_read(struct ctl *ctl, const char *path, const struct zone *zone, struct csv *csv);

#endif
