/* An event of the cutover as the hooks tell it on.
 *
 *   entry of the stream P:events (functions/35-events.lua) ──hook_event_new──▶ struct hook_event, its texts clean
 *                                  ──hook_event_json──▶ the body of a POST
 *                                  ──mail.h──▶ the mails
 *
 * The texts come from whoever changed the table. They are UTF-8 without control characters afterwards: neither a
 * header of a mail nor a terminal can be talked to through them. */
#ifndef PROXY_HOOKS_EVENT_H
#define PROXY_HOOKS_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routing/event_kinds.h"

const char *hook_kind_name(enum event_kind kind);

/* A cell that an event is about; "-" for no platform or state. */
struct hook_cell {
    const char *shortcode, *carrier, *from, *to, *state;
};

struct hook_event {
    char *id; /* of the stream: the same over all instances, and over every delivery of it */
    enum event_kind kind;
    bool test;                                       /* made by "turnoutctl hooks test" */
    uint64_t at_ms;                                  /* since 1970, by Redis' clock */
    uint64_t version;                                /* of the change, 0 for none */
    char *window, *zone, *who, *why, *ticket, *text; /* "" for none */
    struct hook_cell *cells;
    size_t cells_count;
    char *cells_memory;
};

/* fields: count names and values in turn, as Redis has them. NULL with a sentence in reason (static text) where
 * it cannot be told of: an unknown kind, or no memory. */
struct hook_event *hook_event_new(const char *id, const char *const *fields, size_t count,
                                  const char **reason);
void hook_event_free(struct hook_event *event);

/* The event as a JSON object (malloc'd), with the instance that delivers it. NULL without memory. */
char *hook_event_json(const struct hook_event *event, const char *instance);

/* "2026-11-24T10:00:00Z" */
enum { HOOK_TIME_SIZE = 32 };
void hook_time_text(uint64_t ms, char text[HOOK_TIME_SIZE]);

/* A copy (malloc'd) of valid UTF-8 without control characters; NULL without memory. */
char *hook_text_clean(const char *text);

#endif
