/* What happened in a window, gathered for its report.
 *
 *   the window, the changes, events, confirmations, alarms, evidence, who had applied what when ──▶ one object
 *
 * {"window", "generated_ms", "table_version",
 *  "summary": {routes, moved, there_before, waiting, not_open, elsewhere, no_row, changes, rollbacks, alarms,
 *              longest_hold_ms, messages, went_back, totals [{platform, mt_sent, mt_accepted, mt_refused, mt_unknown, refused, mo,
 *              receipts}: since each route first moved, whatever way it went since},
 *              wrong_path {early_mo, early_receipts: by the new platform while the route named another; stayed_mo,
 *              stayed_receipts: by another while it named the new one},
 *              partly_counted (routes that moved so often that totals lack some)},
 *  "carriers": [{carrier, to [..], routes, moved, there_before, waiting, not_open, elsewhere, first_moved_ms,
 *                last_moved_ms, longest_hold_ms, messages {as in routes[].evidence.now, of
 *                those that moved, added up}, went_back {routes, uncounted, mt_accepted, mt_refused, mt_unknown,
 *                refused, mo, receipts: what the new platform carried of routes before they left it again},
 *                totals, wrong_path, partly_counted}],
 *  "changes": [{version, at_ms, kind, who, why, ticket, in_window, outside, undoes, undoes_window, confirm_by_ms,
 *               outcome (of the confirmation), moves [..], applied {instance: ms}, barrier, slowest_ms}],
 *  "holds": [{from_version, from_ms, to_version, to_ms, ms, routes}],
 *  "routes": [{as in window show, moved_ms, moved_version, held_ms, evidence, totals, wrong_path, partly_counted, went_back (null, or
 *              came_ms, left_ms, left_version: of the last time, counted, and the counts: of every time)}],
 *  "events": [{kind, at_ms, version, who, why, ticket, text, in_window}], "alarms": [as they are stored]}
 *
 * A change belongs to it where it was made in the window, or touched one of its routes between its start and its
 * end. */
#ifndef ROUTING_CTL_WINDOW_FACTS_H
#define ROUTING_CTL_WINDOW_FACTS_H

#include <jansson.h>

#include "routing/ctl/window.h"

/* NULL where a call to Redis failed. */
json_t *window_facts(struct ctl *ctl, const struct window *window);

#endif
