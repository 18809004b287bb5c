/* The texts of mails: a subject and a body with placeholders in braces.
 *
 *   config, or a file of mail-templates ──hook_template_check──▶ kept ──hook_template_expand(values)──▶ the text
 *
 * "{{" stands for a brace. A value is put in as it is and not looked at again, so that nothing that an operator
 * writes as a reason is taken for a placeholder. */
#ifndef PROXY_HOOKS_TEMPLATE_H
#define PROXY_HOOKS_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "proxy/hooks/event.h"

/* X(identifier, name, what it stands for). */
#define HOOK_PLACEHOLDERS(X)                                                                          \
    X(PLACE_EVENT, "event", "the kind of the event")                                                  \
    X(PLACE_WINDOW, "window", "the name of the window, or -")                                         \
    X(PLACE_SHORTCODES, "shortcodes", "the shortcodes concerned: to a client, its own alone")         \
    X(PLACE_CARRIER, "carrier", "the carrier, or carriers")                                           \
    X(PLACE_FROM, "from", "the platform before")                                                      \
    X(PLACE_TO, "to", "the platform from now on")                                                     \
    X(PLACE_STATE, "state", "of the routes: open, hold, closed")                                      \
    X(PLACE_AT, "at", "when, in the window's time zone where it is known, else in UTC")               \
    X(PLACE_WHO, "who", "who did it")                                                                 \
    X(PLACE_WHY, "why", "the reason given")                                                           \
    X(PLACE_TICKET, "ticket", "the ticket given")                                                     \
    X(PLACE_TEXT, "text", "a sentence; to a client, only where all that it tells of is the client's") \
    X(PLACE_CELLS, "cells", "a line for each shortcode and carrier")                                  \
    X(PLACE_VERSION, "version", "of the routing table")                                               \
    X(PLACE_CLIENT, "client", "the client's system_id; operator, in mails to mail-always")            \
    X(PLACE_INSTANCE, "instance", "the instance that sends the mail")

#define HOOK_PLACE_ENUM(id, name, help) id,
enum hook_place { HOOK_PLACEHOLDERS(HOOK_PLACE_ENUM) PLACE_COUNT };
#undef HOOK_PLACE_ENUM

/* The names, for the reference: "{event} {window} ...". */
#define HOOK_PLACE_SHOWN(id, name, help) " {" name "}"
#define HOOK_PLACES                      "" HOOK_PLACEHOLDERS(HOOK_PLACE_SHOWN)

struct hook_template {
    char *subject, *body;
};

/* One for the mails to clients of each kind, then one for the operator's. */
enum { TEMPLATE_OPERATOR = KIND_COUNT, TEMPLATE_COUNT };

/* What is there where nothing is configured. */
extern const struct hook_template hook_templates_standard[TEMPLATE_COUNT];

/* NULL, or a few words that say what is wrong with it. They live until the next call: main thread alone. */
const char *hook_template_check(const char *text);

/* The text with values (none of them NULL) in their places, malloc'd. NULL without memory. */
char *hook_template_expand(const char *text, const char *const values[PLACE_COUNT]);

/* Reads the files of a directory that are there: KIND.txt and operator.txt, a first line "Subject: ...", an empty
 * line, the body. The others stay NULL. Calls fault (line 0: of the file as a whole) for each thing wrong. */
void hook_templates_read(const char *directory, struct hook_template templates[TEMPLATE_COUNT],
                         void (*fault)(void *ctx, const char *file, int line, const char *what), void *ctx);
void hook_templates_free(struct hook_template templates[TEMPLATE_COUNT]);

#endif
