/* The command line: options, the command's words, its arguments.
 *
 *   argv ──options that work everywhere──▶ words ──command_find──▶ command ──its options and arguments──▶ ctl
 */
#ifndef ROUTING_CTL_ARGUMENTS_H
#define ROUTING_CTL_ARGUMENTS_H

#include "routing/ctl/ctl.h"

/* Fills command, options and args (to be freed) of a ctl that is zero but for started_us and answer.
 * CTL_DONE, or what the program ends with. --help, --usage, --version and unknown options end the program, as
 * argp does. */
enum ctl_exit arguments_parse(struct ctl *ctl, int argc, char **argv);

#endif
