/* SipHash against its authors' vectors and OpenSSL's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

#include "proxy/siphash.h"

/* Key 00 01 .. 0f, input 00 01 .. of the length: the first, and the paper's example. */
static void siphash_agrees_with_its_authors(void **state)
{
    (void)state;
    static const uint64_t key[2] = {0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};
    uint8_t data[15];
    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)i;
    assert_int_equal(siphash(key, data, 0), 0x726fdb47dd0e0e31ULL);
    assert_int_equal(siphash(key, data, 15), 0xa129ca6149be45e5ULL);
}

static uint64_t openssl_siphash(const uint64_t key[2], const uint8_t *data, size_t len)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    size_t size = 8, written = 0;
    uint8_t out[8];
    uint64_t hash;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
                           OSSL_PARAM_construct_end()};
    assert_int_equal(EVP_MAC_init(ctx, (const uint8_t *)key, 16, params), 1);
    assert_int_equal(EVP_MAC_update(ctx, data, len), 1);
    assert_int_equal(EVP_MAC_final(ctx, out, &written, sizeof out), 1);
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
    memcpy(&hash, out, sizeof hash);
    return hash;
}

static void siphash_agrees_with_openssl(void **state)
{
    (void)state;
    uint8_t data[70];
    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 37 + 200);
    for (size_t len = 0; len <= sizeof data; len++) {
        uint64_t key[2] = {len * 0x9e3779b97f4a7c15ULL, ~len};
        assert_int_equal(siphash(key, data, len), openssl_siphash(key, data, len));
    }
}

static void a_number_first_is_its_octets_first(void **state)
{
    (void)state;
    static const uint64_t key[2] = {1, 2};
    const uint8_t data[] = {8, 7, 6, 5, 4, 3, 2, 1, 'a', 'b', 'c'};
    assert_int_equal(siphash_after(key, 0x0102030405060708ULL, data + 8, 3), siphash(key, data, sizeof data));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_agrees_with_its_authors),
        cmocka_unit_test(siphash_agrees_with_openssl),
        cmocka_unit_test(a_number_first_is_its_octets_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
