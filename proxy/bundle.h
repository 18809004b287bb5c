/* A configuration with what was made from it: TLS contexts, owners of shortcodes. Immutable, published to the
 * workers as one.
 *
 * A reload makes a second bundle; if anything of it fails (a certificate cannot be read) the old one stays.
 */
#ifndef PROXY_BUNDLE_H
#define PROXY_BUNDLE_H

#include "proxy/config.h"
#include "proxy/message_index.h"
#include "proxy/owners.h"

struct ssl_ctx_st;

struct bundle {
    struct config *config;
    struct owners *owners;
    struct ssl_ctx_st **listener_tls; /* beside config->listeners; NULL for plain ones */
    struct ssl_ctx_st **link_tls;     /* by link index; NULL for plain links */
    int *link_number;                 /* by link index: the message index's number for it, -1 for none */
};

/* Takes config over. NULL on a fault: config is freed, error (cap octets) says what. ids may be NULL. */
struct bundle *bundle_new(struct config *config, struct message_index *ids, char *error, size_t cap);
void bundle_free(struct bundle *bundle);

/* The context of the listener of this name, or NULL. */
struct ssl_ctx_st *bundle_listener_tls(const struct bundle *bundle, const char *name);

/* Does it use any certificate? */
bool bundle_has_tls(const struct bundle *bundle);

/* The link index of a number of the message index, -1 for none in this config. */
int bundle_link_of_number(const struct bundle *bundle, int number);

#endif
