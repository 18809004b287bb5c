/* The pool: what goes out comes back, and no more is kept than asked for. */
#include "proxy/chunk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool no_memory;

/* In place of the C library's, so that a test can make it fail. */
void *calloc(size_t count, size_t size)
{
    void *memory = no_memory ? NULL : malloc(count * size);
    if (memory != NULL) {
        explicit_bzero(memory, count * size); /* of memset the compiler would make calloc again */
    }
    return memory;
}

static void a_chunk_is_one_page_of_the_allocator(void **state)
{
    (void)state;
    assert_in_range(sizeof(struct chunk), CHUNK_SIZE, 16384 - 8);
}

static void chunks_are_used_again(void **state)
{
    (void)state;
    struct chunk_pool pool;
    chunk_pool_init(&pool, 4);
    struct chunk *chunk = chunk_get(&pool);
    assert_int_equal(pool.out, 1);
    chunk->start = 3;
    chunk->end = 5;
    chunk_put(&pool, chunk);
    assert_int_equal(pool.out, 0);
    assert_int_equal(pool.free_count, 1);

    struct chunk *again = chunk_get(&pool);
    assert_ptr_equal(again, chunk);
    assert_null(again->next);
    assert_int_equal(again->start, 0);
    assert_int_equal(again->end, 0);
    assert_int_equal(pool.free_count, 0);
    chunk_put(&pool, again);
    chunk_pool_clear(&pool);
    assert_int_equal(pool.free_count, 0);
}

static void take_and_put(struct chunk_pool *pool, unsigned count)
{
    struct chunk *first = NULL;
    for (unsigned i = 0; i < count; i++) {
        struct chunk *chunk = chunk_get(pool);
        chunk->next = first;
        first = chunk;
    }
    assert_int_equal(pool->out, count);
    chunk_put_all(pool, first);
    assert_int_equal(pool->out, 0);
}

static void what_lies_idle_is_given_back(void **state)
{
    (void)state;
    struct chunk_pool pool;
    chunk_pool_init(&pool, 2);
    take_and_put(&pool, 9);
    assert_int_equal(pool.free_count, 9);
    chunk_pool_review(&pool); /* they were needed since the pool began */
    assert_int_equal(pool.free_count, 9);
    take_and_put(&pool, 5);
    chunk_pool_review(&pool); /* four were not */
    assert_int_equal(pool.free_count, 7);
    take_and_put(&pool, 7);
    chunk_pool_review(&pool);
    assert_int_equal(pool.free_count, 7);
    chunk_pool_review(&pool);
    assert_int_equal(pool.free_count, 2);
    chunk_pool_review(&pool);
    assert_int_equal(pool.free_count, 2);
    chunk_put_all(&pool, NULL);
    chunk_pool_clear(&pool);
    assert_int_equal(pool.free_count, 0);
}

static void without_memory_the_kept_ones_serve(void **state)
{
    (void)state;
    struct chunk_pool pool;
    chunk_pool_init(&pool, 2);
    chunk_put(&pool, chunk_get(&pool));
    no_memory = true;
    struct chunk *kept = chunk_get(&pool);
    struct chunk *none = chunk_get(&pool);
    no_memory = false;
    assert_non_null(kept);
    assert_null(none);
    assert_int_equal(pool.out, 1);
    chunk_put(&pool, kept);
    chunk_pool_clear(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chunk_is_one_page_of_the_allocator),
        cmocka_unit_test(chunks_are_used_again),
        cmocka_unit_test(what_lies_idle_is_given_back),
        cmocka_unit_test(without_memory_the_kept_ones_serve),
    };
    return cmocka_run_group_tests_name("chunk", tests, NULL, NULL);
}
