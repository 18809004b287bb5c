/* See sign.h. */
#include "proxy/hooks/sign.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHA256_OCTETS = 32 };

static void put_hex(const unsigned char *octets, char hex[HOOK_HEX_SIZE])
{
    for (unsigned i = 0; i < SHA256_OCTETS; i++) {
        snprintf(hex + (size_t)2 * i, 3, "%02x", octets[i]);
    }
}

bool hook_sign(const char *secret, const char *timestamp, const char *body, char hex[HOOK_HEX_SIZE])
{
    unsigned char octets[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char *text = NULL;
    if (asprintf(&text, "%s.%s", timestamp, body) < 0) {
        return false;
    }
    bool fine = HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)text, strlen(text),
                     octets, &len) != NULL &&
                len == SHA256_OCTETS;
    free(text);
    if (fine) {
        put_hex(octets, hex);
    }
    return fine;
}

bool hook_digest(const char *text, char hex[HOOK_HEX_SIZE])
{
    unsigned char octets[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (EVP_Digest(text, strlen(text), octets, &len, EVP_sha256(), NULL) != 1 || len != SHA256_OCTETS) {
        return false;
    }
    put_hex(octets, hex);
    return true;
}
