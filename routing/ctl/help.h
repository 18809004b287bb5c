/* Help and reference, made from the tables of commands, options and exit codes. */
#ifndef ROUTING_CTL_HELP_H
#define ROUTING_CTL_HELP_H

#include <stdio.h>

#include "routing/ctl/commands.h"

/* What argp prints before and behind the options; to be freed. */
char *help_program_doc(void);
char *help_command_doc(const struct command *command);

/* The whole reference, as Markdown. */
void help_reference(FILE *out);

#endif
