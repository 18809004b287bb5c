/*   listener: certificate, key ──▶ server context
 *   link: trusted certificates, certificate, key ──▶ client context, which verifies unless told not to
 *
 * The name that a peer's certificate must bear is not here but with each stream. */
#include "proxy/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

/* "what 'file': why", from OpenSSL's queue: its first error is the cause, the later ones only pass it on. */
static void say(char *error, size_t cap, const char *what, const char *file)
{
    unsigned long code = ERR_peek_error();
    const char *text =
        ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
    (void)snprintf(error, cap, "%s '%s': %s", what, file, text != NULL ? text : "not usable");
    ERR_clear_error();
}

/* A key under a password would make OpenSSL ask for it on the terminal. */
static int no_password(char *buf, int size, int writing, void *unused)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)unused;
    return -1;
}

static SSL_CTX *new_context(const SSL_METHOD *method, char *error, size_t cap)
{
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(method);
    if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
        (void)snprintf(error, cap, "no TLS context: no memory");
        SSL_CTX_free(context);
        ERR_clear_error();
        return NULL;
    }
    (void)SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* An idle session then holds no record buffers (about 34 KB); tls_buffers.c makes that cheap. */
    (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_default_passwd_cb(context, no_password);
    return context;
}

static bool use_certificate(SSL_CTX *context, const char *certificate, const char *key, char *error,
                            size_t cap)
{
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1) {
        say(error, cap, "certificate", certificate);
        return false;
    }
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
        say(error, cap, "key", key);
        return false;
    }
    if (SSL_CTX_check_private_key(context) != 1) {
        say(error, cap, "key", key);
        return false;
    }
    return true;
}

static bool use_trust(SSL_CTX *context, const char *ca, char *error, size_t cap)
{
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (ca == NULL && SSL_CTX_set_default_verify_paths(context) != 1) {
        say(error, cap, "trusted certificates", "of the system");
        return false;
    }
    if (ca != NULL && SSL_CTX_load_verify_file(context, ca) != 1) {
        say(error, cap, "trusted certificates", ca);
        return false;
    }
    return true;
}

static SSL_CTX *good_or_none(SSL_CTX *context, bool good)
{
    if (good) {
        ERR_clear_error();
        return context;
    }
    SSL_CTX_free(context);
    return NULL;
}

struct ssl_ctx_st *tls_server_context(const struct config_listener *listener, char *error, size_t cap)
{
    if (listener->certificate == NULL || listener->key == NULL) {
        (void)snprintf(error, cap, "listener '%s': TLS needs a certificate and a key", listener->name);
        return NULL;
    }
    SSL_CTX *context = new_context(TLS_server_method(), error, cap);
    return context == NULL ? NULL
                           : good_or_none(context, use_certificate(context, listener->certificate,
                                                                   listener->key, error, cap));
}

struct ssl_ctx_st *tls_link_context(const struct config_link *link, char *error, size_t cap)
{
    SSL_CTX *context = new_context(TLS_client_method(), error, cap);
    if (context == NULL) {
        return NULL;
    }
    bool good = !link->tls_verify || use_trust(context, link->ca, error, cap);
    if (good && link->certificate != NULL) {
        /* Key and certificate may be in one file. */
        const char *key = link->key != NULL ? link->key : link->certificate;
        good = use_certificate(context, link->certificate, key, error, cap);
    }
    return good_or_none(context, good);
}

void tls_context_free(struct ssl_ctx_st *context)
{
    SSL_CTX_free(context);
}
