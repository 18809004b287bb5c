/* Whose shortcode is it? The other way round from the config's clients: made once from a config, then read
 * only.
 *
 *   config->clients and their shortcodes ──owners_new──▶ sorted pairs ──owners_of──▶ clients of a shortcode
 *
 * Clients that may use any shortcode own none in particular and are not in it. */
#ifndef PROXY_OWNERS_H
#define PROXY_OWNERS_H

#include "proxy/config.h"

struct owner {
    const char *shortcode;
    const struct config_client *client;
};

struct owners {
    size_t count;
    struct owner pairs[]; /* by shortcode */
};

/* NULL without memory. The pairs point into the config, which must live as long. */
struct owners *owners_new(const struct config *config);

/* The pairs of one shortcode (len octets): *count of them, from the returned one on. */
const struct owner *owners_of(const struct owners *owners, const uint8_t *shortcode, size_t len,
                              size_t *count);

#endif
