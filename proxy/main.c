/* turnoutd's command line. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/config.h"
#include "proxy/limits.h"
#include "proxy/log.h"
#include "proxy/metrics.h"
#include "proxy/turnoutd.h"

const char *argp_program_version = "turnoutd " TURNOUT_VERSION;

enum { KEY_CHECK = 256, KEY_OPTIONS, KEY_METRICS, KEY_LIMITS, KEY_EVENTS, KEY_MARKDOWN };

struct arguments {
    const char *file;
    int action; /* 0: run */
    bool markdown;
};

static const struct argp_option options[] = {
    {"config", 'c', "FILE", 0, "Run with this configuration", 0},
    {"check-config", KEY_CHECK, "FILE", 0, "Check a configuration and exit: 0 good, 1 not", 0},
    {"print-options", KEY_OPTIONS, 0, 0, "Print every option of the configuration", 0},
    {"print-metrics", KEY_METRICS, 0, 0, "Print every metric, as Markdown", 0},
    {"print-limits", KEY_LIMITS, 0, 0,
     "Print what peers can do: the options that bound it, the answer, the counters, as Markdown", 0},
    {"print-events", KEY_EVENTS, 0, 0, "Print every event of the log", 0},
    {"markdown", KEY_MARKDOWN, 0, 0, "With --print-options: as Markdown", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case 'c': a->file = arg; return 0;
    case KEY_CHECK: a->file = arg; /* fall through */
    case KEY_OPTIONS:
    case KEY_METRICS:
    case KEY_LIMITS:
    case KEY_EVENTS: a->action = key; return 0;
    case KEY_MARKDOWN: a->markdown = true; return 0;
    case ARGP_KEY_END:
        if (a->file == NULL && a->action == 0) {
            argp_error(state, "which configuration? Give --config FILE");
        }
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    options,
    parse,
    0,
    "An SMPP proxy that moves shortcodes from one platform to another, carrier by "
    "carrier, while clients stay bound.\vSIGHUP reads the configuration and certificates "
    "again and reopens the log; SIGTERM drains and ends, a second one ends at once.",
    0,
    0,
    0};

static int check(const char *file)
{
    static struct config_ids ids;
    static char error[16384];
    struct config *config = config_read(file, &ids, error, sizeof error);
    if (config == NULL) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    if (config->warnings != NULL) {
        fprintf(stderr, "%s\n", config->warnings);
    }
    printf("%s: good\n", file);
    config_free(config);
    config_ids_free(&ids);
    return 0;
}

int main(int argc, char **argv)
{
    struct arguments a = {.file = NULL};
    argp_parse(&argp, argc, argv, 0, 0, &a);
    switch (a.action) {
    case KEY_CHECK: return check(a.file);
    case KEY_OPTIONS: config_print_options(stdout, a.markdown); return 0;
    case KEY_METRICS: metrics_print_reference(); return 0;
    case KEY_LIMITS: limits_print(stdout); return 0;
    case KEY_EVENTS: log_print_events(); return 0;
    default: return turnoutd_run_confined(a.file);
    }
}
