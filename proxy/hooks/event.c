/* See event.h. */
#include "proxy/hooks/event.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proxy/utf8.h"

#define KIND_NAME(id, name, help) name,
static const char *const kind_names[KIND_COUNT] = {EVENT_KINDS(KIND_NAME)};

const char *hook_kind_name(enum event_kind kind)
{
    return kind_names[kind];
}

/* --- texts ----------------------------------------------------------------------------------------------- */

static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */

char *hook_text_clean(const char *text)
{
    size_t len = strlen(text);
    char *clean = malloc(len * (sizeof replacement - 1) + 1);
    char *to = clean;
    for (size_t i = 0, n; clean != NULL && i<len; i += n> 0 ? n : 1) {
        const uint8_t *data = (const uint8_t *)text + i;
        n = utf8_length(data, len - i);
        if (n == 0) {
            to = mempcpy(to, replacement, sizeof replacement - 1);
        } else if (utf8_is_control(data, n)) {
            *to++ = ' ';
        } else {
            to = mempcpy(to, data, n);
        }
    }
    if (clean != NULL) {
        *to = '\0';
    }
    return clean;
}

void hook_time_text(uint64_t ms, char text[HOOK_TIME_SIZE])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL || strftime(text, HOOK_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        memcpy(text, "-", sizeof "-");
    }
}

/* --- from the stream ------------------------------------------------------------------------------------- */

static const char *field_of(const char *const *fields, size_t count, const char *name)
{
    for (size_t i = 0; i + 1 < count; i += 2) {
        if (strcmp(fields[i], name) == 0) {
            return fields[i + 1];
        }
    }
    return "";
}

static bool parse_kind(const char *name, enum event_kind *kind)
{
    for (unsigned i = 0; i < KIND_COUNT; i++) {
        if (strcmp(kind_names[i], name) == 0) {
            *kind = (enum event_kind)i;
            return true;
        }
    }
    return false;
}

static size_t count_lines(const char *text)
{
    size_t lines = 1;
    for (const char *c = text; *c != '\0'; c++) {
        lines += *c == '\n';
    }
    return lines;
}

/* Five words, of which the last ones may be missing. */
static struct hook_cell cell_of(char *line)
{
    const char *words[5] = {"-", "-", "-", "-", "-"};
    char *rest = line;
    for (unsigned i = 0; i < 5; i++) {
        char *word = strtok_r(i == 0 ? line : NULL, " ", &rest);
        if (word == NULL) {
            break;
        }
        words[i] = word;
    }
    return (struct hook_cell){words[0], words[1], words[2], words[3], words[4]};
}

/* The lines are cleaned one by one: their ends are control characters, too. */
static bool take_cells(struct hook_event *event, const char *text)
{
    size_t lines = count_lines(text);
    event->cells = calloc(lines, sizeof *event->cells);
    event->cells_memory = strdup(text);
    if (event->cells == NULL || event->cells_memory == NULL) {
        return false;
    }
    char *rest = event->cells_memory;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        for (char *c = line; *c != '\0'; c++) {
            if (*c < ' ' || *c > '~') {
                *c = ' '; /* names are ASCII */
            }
        }
        struct hook_cell cell = cell_of(line);
        if (strcmp(cell.shortcode, "-") != 0) {
            event->cells[event->cells_count++] = cell;
        }
    }
    return true;
}

static bool take_texts(struct hook_event *event, const char *id, const char *const *fields, size_t count)
{
    const struct {
        char **to;
        const char *name;
    } texts[] = {
        {&event->window, "window"}, {&event->zone, "zone"},     {&event->who, "who"},
        {&event->why, "why"},       {&event->ticket, "ticket"}, {&event->text, "text"},
    };
    bool fine = (event->id = hook_text_clean(id)) != NULL;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        *texts[i].to = hook_text_clean(field_of(fields, count, texts[i].name));
        fine = fine && *texts[i].to != NULL;
    }
    return fine && take_cells(event, field_of(fields, count, "cells"));
}

struct hook_event *hook_event_new(const char *id, const char *const *fields, size_t count,
                                  const char **reason)
{
    enum event_kind kind;
    if (!parse_kind(field_of(fields, count, "kind"), &kind)) {
        *reason = "its kind is unknown to this version";
        return NULL;
    }
    struct hook_event *event = calloc(1, sizeof *event);
    if (event != NULL && take_texts(event, id, fields, count)) {
        event->kind = kind;
        event->test = strcmp(field_of(fields, count, "test"), "1") == 0;
        event->at_ms = strtoull(field_of(fields, count, "at"), NULL, 10);
        event->version = strtoull(field_of(fields, count, "version"), NULL, 10);
        return event;
    }
    hook_event_free(event);
    *reason = "there is no memory for it";
    return NULL;
}

void hook_event_free(struct hook_event *event)
{
    if (event == NULL) {
        return;
    }
    free(event->id);
    free(event->window);
    free(event->zone);
    free(event->who);
    free(event->why);
    free(event->ticket);
    free(event->text);
    free(event->cells);
    free(event->cells_memory);
    free(event);
}

/* --- to JSON --------------------------------------------------------------------------------------------- */

static json_t *cells_json(const struct hook_event *event)
{
    json_t *cells = json_array();
    for (size_t i = 0; i < event->cells_count; i++) {
        const struct hook_cell *c = &event->cells[i];
        json_t *cell = json_pack("{s:s, s:s, s:s, s:s, s:s}", "shortcode", c->shortcode, "carrier",
                                 c->carrier, "from", c->from, "to", c->to, "state", c->state);
        if (json_array_append_new(cells, cell) != 0) {
            json_decref(cells);
            return NULL;
        }
    }
    return cells;
}

char *hook_event_json(const struct hook_event *event, const char *instance)
{
    char time[HOOK_TIME_SIZE];
    hook_time_text(event->at_ms, time);
    json_t *json = json_pack(
        "{s:s, s:s, s:b, s:s, s:I, s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:o}", "id", event->id, "event",
        kind_names[event->kind], "test", event->test, "at", time, "at_ms", (json_int_t)event->at_ms, "window",
        event->window, "version", (json_int_t)event->version, "who", event->who, "why", event->why, "ticket",
        event->ticket, "text", event->text, "instance", instance, "cells", cells_json(event));
    char *text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}
