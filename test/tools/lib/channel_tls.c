/* TLS of a connection: OpenSSL between two memory BIOs, so that it never touches the socket itself.
 *
 *   socket octets ──▶ rbio ──▶ SSL_read ──▶ channel_deliver
 *   channel->out ──▶ SSL_write ──▶ wbio ──▶ channel->wire ──▶ the socket */
#include "test/tools/lib/channel.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

static SSL_CTX *no_context(SSL_CTX *context, const char *what, const char *file)
{
    fprintf(stderr, "TLS: %s %s: %s\n", what, file, ERR_reason_error_string(ERR_peek_last_error()));
    ERR_clear_error();
    SSL_CTX_free(context);
    return NULL;
}

SSL_CTX *channel_tls_server(const char *certificate, const char *key)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1) {
        return no_context(context, "cannot use the certificate", certificate);
    }
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
        return no_context(context, "cannot use the key", key);
    }
    return context;
}

SSL_CTX *channel_tls_client(const char *ca, bool insecure)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_verify(context, insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (ca != NULL && SSL_CTX_load_verify_locations(context, ca, NULL) != 1) {
        return no_context(context, "cannot use the CA file", ca);
    }
    if (ca == NULL && !insecure && SSL_CTX_set_default_verify_paths(context) != 1) {
        return no_context(context, "cannot use the system's CAs", "");
    }
    return context;
}

/* Whom we expect: its name in SNI, and name or address in the certificate. */
static bool expect(SSL *ssl, const char *name)
{
    struct in6_addr address;
    if (inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    }
    return SSL_set_tlsext_host_name(ssl, name) == 1 && SSL_set1_host(ssl, name) == 1;
}

bool channel_tls_start(struct channel *c, SSL_CTX *tls, const char *name)
{
    c->ssl = SSL_new(tls);
    BIO *rbio = BIO_new(BIO_s_mem());
    BIO *wbio = BIO_new(BIO_s_mem());
    if (c->ssl == NULL || rbio == NULL || wbio == NULL) {
        BIO_free(rbio);
        BIO_free(wbio);
        return false;
    }
    BIO_set_mem_eof_return(rbio, -1);
    BIO_set_mem_eof_return(wbio, -1);
    SSL_set_bio(c->ssl, rbio, wbio);
    if (name == NULL) {
        SSL_set_accept_state(c->ssl);
        return true;
    }
    SSL_set_connect_state(c->ssl);
    return expect(c->ssl, name);
}

static void take_from_wbio(struct channel *c)
{
    BIO *wbio = SSL_get_wbio(c->ssl);
    size_t pending = BIO_ctrl_pending(wbio);
    if (pending > 0) {
        int n = BIO_read(wbio, buffer_reserve(&c->wire, pending), (int)pending);
        buffer_commit(&c->wire, n > 0 ? (size_t)n : 0);
    }
}

/* True while TLS merely wants more octets. */
static bool wants_more(struct channel *c, int result)
{
    int error = SSL_get_error(c->ssl, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        return true;
    }
    if (error == SSL_ERROR_ZERO_RETURN) {
        channel_close(c, CHANNEL_FIN, "closed by the peer");
        return false;
    }
    char why[sizeof(c->why)];
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    (void)snprintf(why, sizeof(why), "TLS: %s", reason == NULL ? "broken" : reason);
    ERR_clear_error();
    channel_close(c, CHANNEL_FIN, why);
    return false;
}

void channel_tls_feed(struct channel *c, const uint8_t *data, size_t len)
{
    ERR_clear_error();
    if (len > 0) {
        BIO_write(SSL_get_rbio(c->ssl), data, (int)len);
    }
    if (!c->open) {
        int done = SSL_do_handshake(c->ssl);
        if (done != 1) {
            if (wants_more(c, done)) {
                channel_touch(c);
            }
            return;
        }
        channel_opened(c);
    }
    while (!c->closing) {
        int n = SSL_read(c->ssl, c->owner->plain, CHANNEL_SCRATCH);
        if (n <= 0) {
            wants_more(c, n);
            break;
        }
        channel_deliver(c, c->owner->plain, (size_t)n);
    }
    channel_touch(c);
}

void channel_tls_encrypt(struct channel *c)
{
    if (c->open && c->out.len > 0) {
        int n = SSL_write(c->ssl, c->out.data, (int)c->out.len);
        buffer_consume(&c->out, n > 0 ? (size_t)n : 0);
    }
    if (c->ending && c->open) {
        SSL_shutdown(c->ssl);
    }
    take_from_wbio(c);
}
