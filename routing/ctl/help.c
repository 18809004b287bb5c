/* See help.h. */
#include "routing/ctl/help.h"

#include <stdlib.h>
#include <string.h>

#include "routing/ctl/output.h"

static void print_commands(FILE *out)
{
    for (size_t i = 0; i < command_count; i++) {
        fprintf(out, "  %-17s %s\n", command_table[i].words, command_table[i].brief);
    }
}

static bool ends_with(const struct command *command, enum ctl_exit code)
{
    return (command->exits & 1u << code) || code <= CTL_USAGE ||
           (code == CTL_UNREACHABLE && command->run != run_help && command->run != run_hash_password);
}

static void print_exits(FILE *out, const struct command *command)
{
    for (int code = 0; code < CTL_EXIT_COUNT; code++) {
        if (!command || ends_with(command, (enum ctl_exit)code)) {
            fprintf(out, "  %2d  %s\n", code, ctl_exit_text((enum ctl_exit)code));
        }
    }
}

/* argp prints what stands before \v above the options, and the rest below them. */
char *help_program_doc(void)
{
    char *text = NULL;
    size_t len;
    FILE *out = need(open_memstream(&text, &len));
    fputs("Shows and changes where Turnout sends the messages of each shortcode.\vCommands:\n", out);
    print_commands(out);
    fputs("\n\"turnoutctl COMMAND --help\" tells more of one, \"turnoutctl help --all\" everything.\n", out);
    fclose(out);
    return need(text);
}

char *help_command_doc(const struct command *command)
{
    char *text = NULL;
    size_t len;
    FILE *out = need(open_memstream(&text, &len));
    fprintf(out, "turnoutctl %s: %s\v%s\n\nExit codes:\n", command->words, command->brief, command->text);
    print_exits(out, command);
    fclose(out);
    return need(text);
}

/* --- the reference -----------------------------------------------------------------------------------------
 */

static void reference_options(FILE *out, option_set set, option_set needs)
{
    for (int id = 0; id < OPT_COUNT; id++) {
        const struct option_row *row = &option_table[id];
        if (!(set & OPTION_BIT(id))) {
            continue;
        }
        fprintf(out, "- `--%s%s%s`: %s", row->name, row->arg ? " " : "", row->arg ? row->arg : "", row->help);
        if (row->env) {
            fprintf(out, "; environment: `%s`", row->env);
        }
        if (row->standard) {
            fprintf(out, "; default: `%s`", row->standard);
        }
        fputs(needs & OPTION_BIT(id) ? "; required\n" : "\n", out);
    }
    fputc('\n', out);
}

static void reference_command(FILE *out, const struct command *command)
{
    const char *gap = *command->args ? " " : "";
    fprintf(out, "### %s\n\n`turnoutctl %s%s%s`: %s.\n\n", command->words, command->words, gap, command->args,
            command->brief);
    if (*command->text) {
        fprintf(out, "%s\n\n", command->text);
    }
    if (command->takes) {
        reference_options(out, command->takes, command->needs);
    }
    fprintf(out, "With `--json`: %s.\n\nExit codes:", command->json);
    const char *comma = " ";
    for (int code = 0; code < CTL_EXIT_COUNT; code++) {
        if (ends_with(command, (enum ctl_exit)code)) {
            fprintf(out, "%s%d", comma, code);
            comma = ", ";
        }
    }
    fputs(".\n\n", out);
}

void help_reference(FILE *out)
{
    fputs("# turnoutctl\n\nShows and changes where Turnout sends the messages of each shortcode.\n\n"
          "## Options that work everywhere\n\n",
          out);
    reference_options(out, OPTIONS_EVERYWHERE, 0);
    fputs("## Commands\n\n", out);
    for (size_t i = 0; i < command_count; i++) {
        reference_command(out, &command_table[i]);
    }
    fputs("## Exit codes\n\n| code | `result` with `--json` | meaning |\n|---|---|---|\n", out);
    for (int code = 0; code < CTL_EXIT_COUNT; code++) {
        fprintf(out, "| %d | `%s` | %s |\n", code, ctl_exit_word((enum ctl_exit)code),
                ctl_exit_text((enum ctl_exit)code));
    }
    fputs("\nWith `--json` a command prints one object on its standard output. Its members are `command`, "
          "`result` "
          "and `exit`, those named above, and where it failed `error` (what failed) and perhaps `advice` "
          "(what to "
          "do). Only an option that does not exist is always told as text.\n",
          out);
}

/* --- the command -------------------------------------------------------------------------------------------
 */

static json_t *command_json(const struct command *command)
{
    return need(
        json_pack("{ssssss}", "command", command->words, "args", command->args, "brief", command->brief));
}

static void answer_tables(struct ctl *ctl)
{
    json_t *commands = need(json_array());
    json_t *exits = need(json_array());
    for (size_t i = 0; i < command_count; i++) {
        json_array_append_new(commands, command_json(&command_table[i]));
    }
    for (int code = 0; code < CTL_EXIT_COUNT; code++) {
        json_array_append_new(exits, json_pack("{sissss}", "code", code, "result",
                                               ctl_exit_word((enum ctl_exit)code), "meaning",
                                               ctl_exit_text((enum ctl_exit)code)));
    }
    ctl_answer(ctl, "commands", commands);
    ctl_answer(ctl, "exits", exits);
}

static void print_command(const struct command *command)
{
    printf("Usage: turnoutctl %s [OPTION...] %s\n%s\n\n%s\n\nOptions:\n", command->words, command->args,
           command->brief, command->text);
    for (int id = 0; id < OPT_COUNT; id++) {
        const struct option_row *row = &option_table[id];
        if ((command->takes | OPTIONS_EVERYWHERE) & OPTION_BIT(id)) {
            printf("  --%s%s%s\n        %s\n", row->name, row->arg ? " " : "", row->arg ? row->arg : "",
                   row->help);
        }
    }
    puts("\nExit codes:");
    print_exits(stdout, command);
}

static enum ctl_exit help_one(struct ctl *ctl)
{
    int used = 0;
    const struct command *command = command_find(ctl->args, ctl->args_count, &used);
    if (!command || used < ctl->args_count) {
        return ctl_fail(ctl, CTL_NOT_FOUND, "\"turnoutctl help\" shows the commands.",
                        "there is no such command");
    }
    if (ctl->options.json) {
        ctl_answer(ctl, "commands", json_pack("[o]", command_json(command)));
    } else {
        print_command(command);
    }
    return CTL_DONE;
}

enum ctl_exit run_help(struct ctl *ctl)
{
    if (ctl->args_count > 0) {
        return help_one(ctl);
    }
    if (ctl->options.json) {
        answer_tables(ctl);
    } else if (ctl->options.all) {
        help_reference(stdout);
    } else {
        puts("Usage: turnoutctl [OPTION...] COMMAND [ARGUMENT...]\n\nCommands:");
        print_commands(stdout);
        puts("\n\"turnoutctl COMMAND --help\" tells more of one, \"turnoutctl help --all\" everything.\n\n"
             "Exit codes:");
        print_exits(stdout, NULL);
    }
    return CTL_DONE;
}
