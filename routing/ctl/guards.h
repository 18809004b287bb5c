/* Guard rails on the command line: what a flip is to be watched for, and what became of it.
 *
 *   --guard-... ──guards_request──▶ member "guard" of a request ──▶ turnout_change
 *   turnout_guards, turnout_alarms ──▶ lists; turnout_alarm_ack
 */
#ifndef ROUTING_CTL_GUARDS_H
#define ROUTING_CTL_GUARDS_H

#include <jansson.h>

#include "routing/ctl/board.h"
#include "routing/ctl/ctl.h"

/* The member "guard" of a flip's request, where an option wants one. False where the options cannot be: ctl_fail
 * was called, and CTL_USAGE is the exit code. */
bool guards_request(struct ctl *ctl, json_t *request);

/* The guards and the alarms, as tables with a head; nothing where there are none. At most `most` of each. */
void guards_print(const struct board *board, size_t most);
void alarms_print(const struct board *board, size_t most, bool open_only);

/* Is it an alarm of this window that nobody has acknowledged? And how many there are. */
bool alarm_of_window(const json_t *alarm, const char *name);
size_t alarms_of_window(const json_t *alarms, const char *name);

#endif
