/* flip --strict: no message overtakes another across platforms. */
#ifndef ROUTING_CTL_STRICT_H
#define ROUTING_CTL_STRICT_H

#include "routing/ctl/ctl.h"

/* Holds the routes of the arguments, waits until nothing routed before is unanswered, opens them on --to.
 * Where all of them are open there already, *nothing_to_hold is set, nothing was done, and the answer is
 * CTL_DONE. */
enum ctl_exit strict_flip(struct ctl *ctl, bool *nothing_to_hold);

#endif
