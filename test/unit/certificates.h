/* Certificates for tests, made with OpenSSL's functions in a directory of their own.
 *
 *   certificate_make(file, spec) ──▶ one PEM file with the certificate and its key
 *
 * Included, not linked: a file of test/unit is a program. */
#ifndef TEST_CERTIFICATES_H
#define TEST_CERTIFICATES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

struct certificate_spec {
    const char *name;     /* CN */
    const char *names;    /* subjectAltName, "DNS:localhost,IP:127.0.0.1", or NULL */
    bool authority;       /* may sign others */
    long from, to;        /* seconds from now; both 0: an hour ago, for two hours */
    const char *issuer;   /* file of the one that signs, or NULL: itself */
    const char *password; /* of the key, or NULL */
};

static inline void certificate_extend(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static inline void certificate_load(const char *file, X509 **certificate, EVP_PKEY **key)
{
    FILE *in = fopen(file, "r");
    assert_non_null(in);
    *certificate = PEM_read_X509(in, NULL, NULL, NULL);
    assert_non_null(*certificate);
    rewind(in);
    *key = PEM_read_PrivateKey(in, NULL, NULL, NULL);
    assert_non_null(*key);
    assert_int_equal(fclose(in), 0);
}

static inline void certificate_save(const char *file, X509 *certificate, EVP_PKEY *key, const char *password)
{
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    const EVP_CIPHER *cipher = password != NULL ? EVP_aes_128_cbc() : NULL;
    int len = password != NULL ? (int)strlen(password) : 0;
    assert_int_equal(PEM_write_X509(out, certificate), 1);
    assert_int_equal(PEM_write_PrivateKey(out, key, cipher, (const unsigned char *)password, len, NULL, NULL),
                     1);
    assert_int_equal(fclose(out), 0);
}

static inline void certificate_make(const char *file, const struct certificate_spec *spec)
{
    static long serial = 1;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    assert_true(key != NULL && certificate != NULL);
    bool usual = spec->from == 0 && spec->to == 0;
    assert_int_equal(X509_set_version(certificate, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), usual ? -3600 : spec->from));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), usual ? 3600 : spec->to));
    X509_NAME *name = X509_get_subject_name(certificate);
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)spec->name, -1, -1, 0),
        1);
    assert_int_equal(X509_set_pubkey(certificate, key), 1);

    X509 *issuer = certificate;
    EVP_PKEY *issuer_key = key;
    if (spec->issuer != NULL) {
        certificate_load(spec->issuer, &issuer, &issuer_key);
    }
    assert_int_equal(X509_set_issuer_name(certificate, X509_get_subject_name(issuer)), 1);
    certificate_extend(certificate, issuer, NID_basic_constraints,
                       spec->authority ? "critical,CA:TRUE" : "CA:FALSE");
    if (spec->names != NULL) {
        certificate_extend(certificate, issuer, NID_subject_alt_name, spec->names);
    }
    assert_true(X509_sign(certificate, issuer_key, EVP_sha256()) > 0);
    certificate_save(file, certificate, key, spec->password);
    if (spec->issuer != NULL) {
        X509_free(issuer);
        EVP_PKEY_free(issuer_key);
    }
    X509_free(certificate);
    EVP_PKEY_free(key);
}

#endif
