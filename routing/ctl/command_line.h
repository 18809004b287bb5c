/* A command to give next, as it can be copied into a shell: with the options that say which Redis is meant.
 */
#ifndef ROUTING_CTL_COMMAND_LINE_H
#define ROUTING_CTL_COMMAND_LINE_H

#include "routing/ctl/ctl.h"

/* "turnoutctl [--redis ...] WORDS --carrier ...", to be freed. set holds the options that are to be
 * said as they were given to this command, OPTION(CARRIER) | OPTION(TO); those that were not given, or are as
 * they would be then, are left out. */
char *command_line(const struct ctl *ctl, const char *words, option_set set);

/* The same with shortcodes behind the words. */
char *command_line_for(const struct ctl *ctl, const char *words, char *const *shortcodes, int count,
                       option_set set);

#endif
