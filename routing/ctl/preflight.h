/* Preflight: before traffic is sent to a link, every instance says whether it can bind it.
 *
 *   moves ──by (carrier, to)──▶ question "preflight" ──▶ each instance: legs bound? else a probe: bind, enquire_link
 *     ──judge──▶ refusals (nothing is changed), warnings (told, and gone on) ──▶ shown
 *
 * A target is refused where an instance that answers cannot bind it for a client that it serves, or cannot bind
 * it at all. An instance that does not answer is told of, and does not refuse: the barrier will wait for it. */
#ifndef ROUTING_CTL_PREFLIGHT_H
#define ROUTING_CTL_PREFLIGHT_H

#include <jansson.h>

#include "routing/ctl/ask.h"
#include "routing/ctl/ctl.h"

/* Where all moves of one carrier to one platform lead, and what the instances said of it. */
struct target {
    const char *carrier, *to; /* of the moves */
    json_t *shortcodes;       /* array of texts */
    struct ask ask;
    json_t *refusals, *warnings; /* arrays of sentences */
};

/* Before a flip, unless --force: asks, and tells in few lines. moves as in a request to turnout_change.
 * CTL_DONE: go on. Else nothing may be changed, which was told: what the command ends with. */
enum ctl_exit preflight_before(struct ctl *ctl, const json_t *moves);

/* --- parts ------------------------------------------------------------------------------------------------ */

/* Fills in refusals and warnings from the answers. any_link: a missing link only warns. */
void preflight_judge(struct target *target, bool any_link);
void target_free(struct target *target);

/* One test message over the target's link by one of the instances that answered, and its outcome: --probe.
 * CTL_DONE: it was taken, and its receipt came. */
enum ctl_exit test_message(struct ctl *ctl, const struct target *target);

#endif
