/* See arguments.h. argp runs twice: up to the first word, which tells the command, and then with the options
 * that this command takes. */
#include "routing/ctl/arguments.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/commands.h"
#include "routing/ctl/help.h"
#include "routing/ctl/output.h"

/* Above every character, so that argp gives the options no short form. */
enum { KEY_FIRST = 0x100 };

struct parsing {
    struct ctl *ctl;
    int words; /* index in argv of the command's first word; 0: none */
};

/* Options of the set, and an empty one behind them. */
static void fill_options(struct argp_option *rows, option_set set)
{
    int used = 0;
    for (int id = 0; id < OPT_COUNT; id++) {
        if (set & OPTION_BIT(id)) {
            const struct option_row *row = &option_table[id];
            rows[used++] = (struct argp_option){.name = row->name,
                                                .key = KEY_FIRST + id,
                                                .arg = row->arg,
                                                .doc = row->help,
                                                .group = OPTIONS_EVERYWHERE & OPTION_BIT(id) ? 2 : 1};
        }
    }
    rows[used] = (struct argp_option){0};
}

static error_t take_option(struct ctl *ctl, int key, const char *text)
{
    const char *reason;
    if (key < KEY_FIRST || key >= KEY_FIRST + OPT_COUNT) {
        return ARGP_ERR_UNKNOWN;
    }
    if (!options_set(&ctl->options, (enum option_id)(key - KEY_FIRST), text, &reason)) {
        ctl_fail(ctl, CTL_USAGE, NULL, "--%s %s: it %s", option_table[key - KEY_FIRST].name, text, reason);
        return EINVAL;
    }
    ctl->options.given |= OPTION_BIT(key - KEY_FIRST);
    return 0;
}

static error_t before_words(int key, char *text, struct argp_state *state)
{
    struct parsing *parsing = state->input;
    if (key == ARGP_KEY_ARG) {
        parsing->words = state->next - 1;
        state->next = state->argc; /* the rest is the command's */
        return 0;
    }
    return take_option(parsing->ctl, key, text);
}

static error_t behind_words(int key, char *text, struct argp_state *state)
{
    struct ctl *ctl = ((struct parsing *)state->input)->ctl;
    if (key == ARGP_KEY_ARG) {
        ctl->args[ctl->args_count++] = text;
        return 0;
    }
    return take_option(ctl, key, text);
}

/* argp's part of the work, in either run. */
static bool run_argp(struct parsing *parsing, int argc, char **argv, option_set set, unsigned flags)
{
    struct argp_option rows[OPT_COUNT + 1];
    const struct command *command = parsing->ctl->command;
    char *doc = command ? help_command_doc(command) : help_program_doc();
    struct argp argp = {.options = rows,
                        .parser = command ? behind_words : before_words,
                        .args_doc = command ? command->args : "COMMAND [ARGUMENT...]",
                        .doc = doc};
    fill_options(rows, set);
    error_t error = argp_parse(&argp, argc, argv, flags, NULL, parsing);
    free(doc);
    return error == 0;
}

static enum ctl_exit find_command(struct ctl *ctl, char **words, int count, int *used)
{
    if (count == 0) {
        return ctl_fail(ctl, CTL_USAGE, "\"turnoutctl help\" shows the commands.", "no command is given");
    }
    ctl->command = command_find(words, count, used);
    if (ctl->command) {
        return CTL_DONE;
    }
    bool half = false;
    for (size_t i = 0; i < command_count; i++) {
        size_t len = strlen(words[0]);
        half = half ||
               (strncmp(command_table[i].words, words[0], len) == 0 && command_table[i].words[len] == ' ');
    }
    if (half && count > 1) {
        return ctl_fail(ctl, CTL_USAGE, "\"turnoutctl help\" shows the commands.",
                        "there is no command \"%s %s\"", words[0], words[1]);
    }
    return ctl_fail(ctl, CTL_USAGE, "\"turnoutctl help\" shows the commands.",
                    half ? "\"%s\" needs a second word" : "there is no command \"%s\"", words[0]);
}

static enum ctl_exit check_command(struct ctl *ctl)
{
    const struct command *command = ctl->command;
    enum option_id missing;
    if (ctl->args_count < command->args_min || ctl->args_count > command->args_max) {
        return ctl_fail(ctl, CTL_USAGE, "Put blanks and * in quotes, so that the shell leaves them alone.",
                        "%s takes %s%s, but was given %d argument%s", command->words,
                        *command->args ? command->args : "no argument", "", ctl->args_count,
                        plural((uint64_t)ctl->args_count));
    }
    if (options_missing(&ctl->options, command->needs, &missing)) {
        return ctl_fail(ctl, CTL_USAGE, NULL, "%s needs --%s %s", command->words, option_table[missing].name,
                        option_table[missing].arg);
    }
    return CTL_DONE;
}

/* --json counts for whatever is wrong before it, too. */
static bool json_wanted(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            return true;
        }
    }
    return false;
}

static enum ctl_exit parse_behind(struct ctl *ctl, int argc, char **argv, struct parsing *parsing)
{
    char name[64];
    snprintf(name, sizeof name, "turnoutctl %s", ctl->command->words);
    if (ctl->command->takes & OPTION(VERSION)) {
        argp_program_version = NULL; /* here --version names one of the table */
    }
    char **copy = need(calloc((size_t)argc + 1, sizeof *copy));
    memcpy(copy, argv, (size_t)argc * sizeof *copy);
    copy[0] = name;
    ctl->args = need(calloc((size_t)argc + 1, sizeof *ctl->args));
    bool fine = run_argp(parsing, argc, copy, OPTIONS_EVERYWHERE | ctl->command->takes, 0);
    free(copy);
    return fine ? check_command(ctl) : CTL_USAGE;
}

enum ctl_exit arguments_parse(struct ctl *ctl, int argc, char **argv)
{
    struct parsing parsing = {.ctl = ctl};
    const char *which;
    const char *reason;
    int used = 0;
    argp_err_exit_status = CTL_USAGE;
    argp_program_version = "turnoutctl " TURNOUT_VERSION;
    bool environment_fine = options_start(&ctl->options, &which, &reason);
    ctl->options.json = json_wanted(argc, argv);
    if (!environment_fine) {
        return ctl_fail(ctl, CTL_USAGE, NULL, "the environment variable %s: it %s", which, reason);
    }
    if (!run_argp(&parsing, argc, argv, OPTIONS_EVERYWHERE, ARGP_IN_ORDER)) {
        return CTL_USAGE;
    }
    int first = parsing.words > 0 ? parsing.words : argc;
    enum ctl_exit code = find_command(ctl, argv + first, argc - first, &used);
    if (code != CTL_DONE) {
        return code;
    }
    int skipped = first + used - 1; /* the last of the words takes the place of argv[0] */
    return parse_behind(ctl, argc - skipped, argv + skipped, &parsing);
}
