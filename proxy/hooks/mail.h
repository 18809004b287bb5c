/* Who is told of an event by mail, and what each is told.
 *
 *   event's cells ──owners──▶ audiences: each client with the cells that are its own; the operator with all
 *   audience ──template, its values──▶ subject, body ──hook_mail_write──▶ one message (RFC 5322, MIME)
 *
 * No client sees another's shortcodes or addresses: it gets a message of its own, whose placeholders know its cells
 * alone. Line ends in values cannot make headers: a header's text is cleaned, and encoded (RFC 2047) where it is not
 * ASCII. */
#ifndef PROXY_HOOKS_MAIL_H
#define PROXY_HOOKS_MAIL_H

#include "proxy/config.h"
#include "proxy/hooks/event.h"
#include "proxy/owners.h"

struct hook_audience {
    const struct config_client *client; /* NULL: the operator */
    const struct hook_cell **cells;
    size_t cells_count;
    char *const *addresses;
    size_t addresses_count;
};

struct hook_audiences {
    size_t count;
    struct hook_audience items[];
};

/* Those that have an address and are concerned: clients that own a shortcode among the event's cells; those that may
 * use any shortcode, where no client names it. NULL without memory. */
struct hook_audiences *hook_audiences_new(const struct config *config, const struct owners *owners,
                                          const struct hook_event *event);
void hook_audiences_free(struct hook_audiences *audiences);

/* The message (malloc'd, lines end in CRLF, *len octets) at the time now (seconds since 1970). Its Message-ID is the
 * same for each attempt and each instance. NULL without memory. */
char *hook_mail_write(const struct config *config, const struct hook_event *event,
                      const struct hook_audience *audience, uint64_t now, size_t *len);

/* A header's text: ASCII as it is, else encoded words, folded. For tests. malloc'd; NULL without memory. */
char *hook_mail_header(const char *text);

/* Is it one address, local@domain, as a mail server takes it? */
bool hook_mail_address_good(const char *address);

#endif
