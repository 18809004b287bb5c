/* CTL_OPTIONS ──▶ option_table ──▶ default ──▶ environment ──▶ command line ──▶ struct options */
#include "routing/ctl/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "routing/table.h"

/* Numbers in Redis' functions and in JSON are exact up to here. */
#define VERSION_MAX ((UINT64_C(1) << 53) - 1)

#define OPTION_ROW(id, field, kind, name, arg, env, standard, help) \
    {name, arg, env, standard, help, kind, offsetof(struct options, field)},
const struct option_row option_table[OPT_COUNT] = {CTL_OPTIONS(OPTION_ROW)};
#undef OPTION_ROW

bool options_duration(const char *text, unsigned *ms)
{
    char *unit;
    errno = 0;
    double value = strtod(text, &unit);
    double scale = strcmp(unit, "ms") == 0               ? 1
                   : strcmp(unit, "s") == 0              ? 1000
                   : strcmp(unit, "m") == 0              ? 60000
                   : strcmp(unit, "h") == 0              ? 3600000
                   : strcmp(unit, "") == 0 && value == 0 ? 1
                                                         : 0;
    if (unit == text || errno != 0 || scale == 0 || !(value >= 0 && value * scale <= 86400e3)) {
        return false;
    }
    *ms = (unsigned)(value * scale);
    return true;
}

static bool count_parse(const char *text, unsigned *count)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value > 1000000) {
        return false;
    }
    *count = (unsigned)value;
    return true;
}

bool options_number(const char *text, uint64_t *number)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value == 0 || value > VERSION_MAX) {
        return false;
    }
    *number = value;
    return true;
}

static bool list_add(struct option_list *list, const char *text)
{
    if (list->count == OPTION_LIST_MAX) {
        return false;
    }
    list->items[list->count++] = text;
    return true;
}

bool options_set(struct options *options, enum option_id id, const char *text, const char **reason)
{
    const struct option_row *row = &option_table[id];
    void *field = (char *)options + row->offset;
    enum route_state state;
    switch (row->kind) {
    case OPTION_FLAG: *(bool *)field = true; return true;
    case OPTION_STATE:
        if (!route_state_parse(text, &state)) {
            *reason = "is one of open, hold and closed";
            return false;
        }
        *(const char **)field = text;
        return true;
    case OPTION_TEXT: *(const char **)field = text; return true;
    case OPTION_LIST: *reason = "can be given 32 times"; return list_add(field, text);
    case OPTION_DURATION: *reason = "is a time such as 500ms, 5s or 1m"; return options_duration(text, field);
    case OPTION_PERIOD:
        *reason = "is a time above 0, such as 90s or 10m";
        return options_duration(text, field) && *(unsigned *)field > 0;
    case OPTION_NUMBER: *reason = "is the number of a version"; return options_number(text, field);
    case OPTION_COUNT: *reason = "is a number from 0 to 1000000"; return count_parse(text, field);
    case OPTION_AUTO:
        *reason = "is a number from 0 to 1000000, or auto";
        if (strcmp(text, "auto") == 0) {
            *(unsigned *)field = COUNT_AUTO;
            return true;
        }
        return count_parse(text, field);
    }
    abort();
}

bool options_start(struct options *options, const char **which, const char **reason)
{
    memset(options, 0, sizeof *options);
    for (int id = 0; id < OPT_COUNT; id++) {
        const struct option_row *row = &option_table[id];
        const char *env = row->env ? getenv(row->env) : NULL;
        const char *text = env && *env ? env : row->standard;
        if (text && !options_set(options, (enum option_id)id, text, reason)) {
            *which = row->env;
            return false;
        }
    }
    return true;
}

bool options_missing(const struct options *options, option_set set, enum option_id *which)
{
    for (int id = 0; id < OPT_COUNT; id++) {
        const char *const *field = (const void *)((const char *)options + option_table[id].offset);
        if ((set & OPTION_BIT(id)) && option_table[id].kind == OPTION_TEXT && !*field) {
            *which = (enum option_id)id;
            return true;
        }
    }
    return false;
}
