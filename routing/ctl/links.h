/* Do the instances know a way for what a change asks for? A typo in --to would else be an outage: the cell
 * would name a platform that nobody has a link to, and every message of it would be refused.
 *
 * Likewise for the carrier that a number is to go to.
 *
 *   request's moves ─▶ field "links" of every live instance ("spark:redx spark:omni ...") ─▶ fine, or missing */
#ifndef ROUTING_CTL_LINKS_H
#define ROUTING_CTL_LINKS_H

#include <jansson.h>

#include "routing/ctl/ctl.h"

/* CTL_DONE where every live instance that reports its links has one for each move, or with --any-link. Else
 * CTL_INVALID with what is missing and what there is, told. */
enum ctl_exit links_check(struct ctl *ctl, const json_t *request);

/* Puts the carriers to which a live instance has a link into an object, as its names. False where Redis does not
 * answer. */
bool links_carriers(struct ctl *ctl, json_t *names);

/* Is "CARRIER:PLATFORM" among the words of a list? */
bool links_have(const char *list, const char *carrier, const char *platform);

#endif
