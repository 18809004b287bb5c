/* Record buffers: used again, no more kept than a few, and nothing else touched. */
#include "proxy/tls_buffers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/ssl3.h>

#include <cmocka.h>

enum { RECORD = SSL3_RT_MAX_PLAIN_LENGTH + SSL3_RT_MAX_TLS13_ENCRYPTED_OVERHEAD + 32, MANY = 16 };

static unsigned asked;
static bool no_memory;

/* In place of the allocator's, by the linker, so that a test can count and make them fail. */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    asked++;
    return no_memory ? NULL : __real_malloc(size);
}

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    asked++;
    return no_memory ? NULL : __real_aligned_alloc(alignment, size);
}

static int clear(void **state)
{
    (void)state;
    tls_buffers_clear();
    no_memory = false;
    return 0;
}

static void a_buffer_is_used_again(void **state)
{
    (void)state;
    void *first = OPENSSL_malloc(RECORD);
    assert_int_equal((uintptr_t)first % 1024, 0); /* or copies would be slow */
    OPENSSL_free(first);
    asked = 0;
    void *again = OPENSSL_malloc(SSL3_RT_MAX_PACKET_SIZE);
    assert_ptr_equal(again, first);
    assert_int_equal(asked, 0);
    memset(again, 1, SSL3_RT_MAX_PACKET_SIZE);
    OPENSSL_free(again);
}

static void two_at_a_time_are_two(void **state)
{
    (void)state;
    void *one = OPENSSL_malloc(RECORD);
    void *other = OPENSSL_malloc(RECORD);
    assert_ptr_not_equal(one, other);
    OPENSSL_free(one);
    OPENSSL_free(other);
    void *third = OPENSSL_malloc(RECORD);
    void *fourth = OPENSSL_malloc(RECORD);
    assert_ptr_not_equal(third, fourth);
    OPENSSL_free(third);
    OPENSSL_free(fourth);
}

static void few_are_kept(void **state)
{
    (void)state;
    void *many[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        many[i] = OPENSSL_malloc(RECORD);
    }
    for (unsigned i = 0; i < MANY; i++) {
        OPENSSL_free(many[i]);
    }
    asked = 0;
    for (unsigned i = 0; i < MANY; i++) {
        many[i] = OPENSSL_malloc(RECORD);
    }
    assert_int_equal(asked, MANY - 4);
    for (unsigned i = 0; i < MANY; i++) {
        OPENSSL_free(many[i]);
    }
}

static void other_sizes_pass(void **state)
{
    static const size_t sizes[] = {1, 32, 4096, SSL3_RT_MAX_PLAIN_LENGTH, 65536};
    (void)state;
    asked = 0;
    for (unsigned i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++) {
        void *block = OPENSSL_malloc(sizes[i / 2]);
        memset(block, 1, sizes[i / 2]);
        OPENSSL_free(block);
    }
    assert_int_equal(asked, 2 * sizeof sizes / sizeof sizes[0]);
}

static void a_buffer_may_grow(void **state)
{
    (void)state;
    uint8_t *block = OPENSSL_malloc(RECORD);
    block[RECORD - 1] = 7;
    block = OPENSSL_realloc(block, 40000);
    assert_int_equal(block[RECORD - 1], 7);
    OPENSSL_free(block);
    asked = 0;
    OPENSSL_free(OPENSSL_malloc(RECORD));
    assert_int_equal(asked, 1); /* the grown one is no record buffer */
}

static void no_memory_is_told(void **state)
{
    (void)state;
    no_memory = true;
    assert_null(OPENSSL_malloc(RECORD));
    no_memory = false;
    OPENSSL_free(OPENSSL_malloc(RECORD));
    no_memory = true;
    void *kept = OPENSSL_malloc(RECORD);
    assert_non_null(kept);
    OPENSSL_free(kept);
}

int main(void)
{
    tls_buffers_use();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_buffer_is_used_again, clear),
        cmocka_unit_test_teardown(two_at_a_time_are_two, clear),
        cmocka_unit_test_teardown(few_are_kept, clear),
        cmocka_unit_test_teardown(other_sizes_pass, clear),
        cmocka_unit_test_teardown(a_buffer_may_grow, clear),
        cmocka_unit_test_teardown(no_memory_is_told, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
