/* The commands of turnoutctl. One table: dispatch, --help, the reference and the check of arguments are made
 * from it; what a command does is in the file named after its first word. */
#ifndef ROUTING_CTL_COMMANDS_H
#define ROUTING_CTL_COMMANDS_H

#include <stddef.h>

#include "routing/ctl/ctl.h"

struct command {
    const char *words; /* one or two: "route set" */
    const char *args;  /* as help shows them */
    int args_min, args_max;
    option_set takes, needs; /* sets of options; those that work everywhere are not named */
    const char *brief;       /* a line */
    const char *text;        /* paragraphs */
    const char *json;        /* members of its --json object */
    unsigned exits; /* a set of exit codes, beside done, failed, usage and (with Redis) unreachable */
    enum ctl_exit (*run)(struct ctl *ctl);
};

extern const struct command command_table[];
extern const size_t command_count;

/* The command that the words begin with: *used is how many of them name it. NULL for none. */
const struct command *command_find(char *const *words, int count, int *used);

enum ctl_exit run_route_list(struct ctl *ctl);
enum ctl_exit run_route_set(struct ctl *ctl);
enum ctl_exit run_route_remove(struct ctl *ctl);
enum ctl_exit run_route_import(struct ctl *ctl);
enum ctl_exit run_route_export(struct ctl *ctl);
enum ctl_exit run_route_restore(struct ctl *ctl);
enum ctl_exit run_route_hold(struct ctl *ctl);
enum ctl_exit run_route_open(struct ctl *ctl);
enum ctl_exit run_route_close(struct ctl *ctl);
enum ctl_exit run_flip(struct ctl *ctl);
enum ctl_exit run_rollback(struct ctl *ctl);
enum ctl_exit run_confirm(struct ctl *ctl);
enum ctl_exit run_window_create(struct ctl *ctl);
enum ctl_exit run_window_list(struct ctl *ctl);
enum ctl_exit run_window_show(struct ctl *ctl);
enum ctl_exit run_window_check(struct ctl *ctl);
enum ctl_exit run_window_add(struct ctl *ctl);
enum ctl_exit run_window_remove(struct ctl *ctl);
enum ctl_exit run_window_delete(struct ctl *ctl);
enum ctl_exit run_window_start(struct ctl *ctl);
enum ctl_exit run_window_step(struct ctl *ctl);
enum ctl_exit run_window_pause(struct ctl *ctl);
enum ctl_exit run_window_resume(struct ctl *ctl);
enum ctl_exit run_window_finish(struct ctl *ctl);
enum ctl_exit run_window_cancel(struct ctl *ctl);
enum ctl_exit run_window_rollback(struct ctl *ctl);
enum ctl_exit run_window_report(struct ctl *ctl);
enum ctl_exit run_guards(struct ctl *ctl);
enum ctl_exit run_alarms(struct ctl *ctl);
enum ctl_exit run_alarms_ack(struct ctl *ctl);
enum ctl_exit run_watch(struct ctl *ctl);
enum ctl_exit run_log(struct ctl *ctl);
enum ctl_exit run_instances(struct ctl *ctl);
enum ctl_exit run_instances_forget(struct ctl *ctl);
enum ctl_exit run_sessions(struct ctl *ctl);
enum ctl_exit run_leg_release(struct ctl *ctl);
enum ctl_exit run_preflight(struct ctl *ctl);
enum ctl_exit run_status(struct ctl *ctl);
enum ctl_exit run_numbers_build(struct ctl *ctl);
enum ctl_exit run_numbers_check(struct ctl *ctl);
enum ctl_exit run_numbers_version(struct ctl *ctl);
enum ctl_exit run_numbers_swap(struct ctl *ctl);
enum ctl_exit run_numbers_set(struct ctl *ctl);
enum ctl_exit run_numbers_unset(struct ctl *ctl);
enum ctl_exit run_numbers_list(struct ctl *ctl);
enum ctl_exit run_carrier(struct ctl *ctl);
enum ctl_exit run_hooks_test(struct ctl *ctl);
enum ctl_exit run_hash_password(struct ctl *ctl);
enum ctl_exit run_ping(struct ctl *ctl);
enum ctl_exit run_help(struct ctl *ctl);

#endif
