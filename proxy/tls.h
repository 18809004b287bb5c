/* TLS contexts: made from files, swapped on reload, shared by the streams made from them (SSL_CTX counts its
 * users, so a live session keeps the one that it began with). TLS 1.2 and later, no renegotiation, no
 * compression. */
#ifndef PROXY_TLS_H
#define PROXY_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "proxy/config.h"

struct ssl_ctx_st;

/* NULL on a fault: error (cap octets) says which file and why. */
struct ssl_ctx_st *tls_server_context(const struct config_listener *listener, char *error, size_t cap);
struct ssl_ctx_st *tls_link_context(const struct config_link *link, char *error, size_t cap);
void tls_context_free(struct ssl_ctx_st *context);

#endif
