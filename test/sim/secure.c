#define OPENSSL_SUPPRESS_DEPRECATED /* RAND_METHOD: a provider for it would be ten times as long */
#include "test/sim/secure.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX_LEN = 128, WARM_UP_STEPS = 8, RAW_KEY_LEN = 32 };

static uint64_t chance;
static SSL_CTX *clients;
static EVP_PKEY *key;
static X509 *certificate;

static void *need(void *made)
{
    if (made == NULL) {
        abort();
    }
    return made;
}

/* --- chance ------------------------------------------------------------------------------------------------ */

/* splitmix64, as the world's own */
static int random_octets(unsigned char *octets, int len)
{
    for (int i = 0; i < len; i++) {
        uint64_t z = chance += 0x9E3779B97F4A7C15U;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
        octets[i] = (unsigned char)(z >> 32);
    }
    return 1;
}

static int is_ready(void)
{
    return 1;
}

static const RAND_METHOD method = {.bytes = random_octets, .pseudorand = random_octets, .status = is_ready};

/* --- the certificate --------------------------------------------------------------------------------------- */

static void make_certificate(void)
{
    static const unsigned char raw[RAW_KEY_LEN] = "a key for worlds, of no use else";
    key = need(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, raw, sizeof raw));
    certificate = need(X509_new());
    X509_NAME *name = X509_get_subject_name(certificate);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    ASN1_TIME_set_string(X509_getm_notBefore(certificate), "20200101000000Z");
    ASN1_TIME_set_string(X509_getm_notAfter(certificate), "20490101000000Z");
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"world", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_set_pubkey(certificate, key);
    if (X509_sign(certificate, key, NULL) == 0) {
        abort();
    }
}

static FILE *open_file(const char *directory, const char *name)
{
    char path[FILE_MAX_LEN];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return need(fopen(path, "we"));
}

static void write_files(const char *directory)
{
    FILE *out = open_file(directory, "cert.pem");
    PEM_write_X509(out, certificate);
    fclose(out);
    out = open_file(directory, "key.pem");
    PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
    fclose(out);
}

/* --- sessions ---------------------------------------------------------------------------------------------- */

static SSL *session(SSL_CTX *context)
{
    SSL *ssl = need(SSL_new(context));
    SSL_set_bio(ssl, need(BIO_new(BIO_s_mem())), need(BIO_new(BIO_s_mem())));
    return ssl;
}

struct ssl_st *secure_new(void)
{
    SSL *ssl = session(clients);
    SSL_set_connect_state(ssl);
    return ssl;
}

void secure_free(struct ssl_st *ssl)
{
    SSL_free(ssl);
}

bool secure_feed(struct ssl_st *ssl, const void *octets, size_t len)
{
    (void)BIO_write(SSL_get_rbio(ssl), octets, (int)len);
    return SSL_is_init_finished(ssl) || SSL_do_handshake(ssl) == 1;
}

size_t secure_read(struct ssl_st *ssl, void *octets, size_t cap)
{
    int len = SSL_is_init_finished(ssl) ? SSL_read(ssl, octets, (int)cap) : 0;
    return len > 0 ? (size_t)len : 0;
}

void secure_write(struct ssl_st *ssl, const void *octets, size_t len)
{
    if (SSL_is_init_finished(ssl) && len > 0) {
        (void)SSL_write(ssl, octets, (int)len);
    }
}

void secure_goodbye(struct ssl_st *ssl)
{
    if (SSL_is_init_finished(ssl)) {
        (void)SSL_shutdown(ssl);
    }
}

size_t secure_output(struct ssl_st *ssl, void *octets, size_t cap)
{
    int len = BIO_read(SSL_get_wbio(ssl), octets, (int)cap);
    return len > 0 ? (size_t)len : 0;
}

/* --- the beginning ----------------------------------------------------------------------------------------- */

static void pass_on(SSL *from, SSL *to)
{
    unsigned char octets[4096];
    for (size_t len; (len = secure_output(from, octets, sizeof octets)) > 0;) {
        (void)secure_feed(to, octets, len);
    }
}

/* What OpenSSL does at its first handshake alone is done before the first world. */
static void warm_up(void)
{
    SSL_CTX *context = need(SSL_CTX_new(TLS_server_method()));
    SSL_CTX_use_certificate(context, certificate);
    SSL_CTX_use_PrivateKey(context, key);
    SSL *server = session(context);
    SSL *client = secure_new();
    SSL_set_accept_state(server);
    (void)secure_feed(client, "", 0);
    for (int i = 0; i < WARM_UP_STEPS; i++) {
        pass_on(client, server);
        pass_on(server, client);
    }
    if (!SSL_is_init_finished(server) || !SSL_is_init_finished(client)) {
        abort();
    }
    SSL_free(server);
    SSL_free(client);
    SSL_CTX_free(context);
}

void secure_begin(uint64_t seed, const char *directory)
{
    if (clients == NULL) {
        RAND_set_rand_method(&method);
        clients = need(SSL_CTX_new(TLS_client_method()));
        make_certificate();
        warm_up();
    }
    chance = seed;
    write_files(directory);
}
