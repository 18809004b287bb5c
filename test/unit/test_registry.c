/* Numbers of things that come and go: an old number finds nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "proxy/registry.h"

/* A number below n, the same in every run. */
static uint64_t dice(uint64_t n)
{
    static uint64_t x = 0x2545F4914F6CDD1D;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x % n;
}

static char things[1000];

static void finds_what_was_added(void **state)
{
    (void)state;
    struct registry r = {.entries = NULL};
    uint32_t index[200];
    uint32_t generation[200];
    for (unsigned i = 0; i < 200; i++) {
        assert_true(registry_add(&r, &things[i], &index[i], &generation[i]));
        assert_int_not_equal(generation[i], 0);
    }
    assert_int_equal(r.count, 200);
    for (unsigned i = 0; i < 200; i++) {
        assert_ptr_equal(registry_get(&r, index[i], generation[i]), &things[i]);
        assert_ptr_equal(registry_at(&r, index[i]), &things[i]);
    }
    registry_clear(&r);
    assert_int_equal(r.count, 0);
}

static void zero_names_nothing(void **state)
{
    (void)state;
    struct registry r = {.entries = NULL};
    uint32_t index = 0;
    uint32_t generation = 0;
    assert_null(registry_get(&r, 0, 0));
    assert_true(registry_add(&r, things, &index, &generation));
    assert_null(registry_get(&r, 0, 0));
    assert_null(registry_get(&r, 1, 0)); /* an entry that was never used */
    assert_null(registry_get(&r, 1000000, 1));
    registry_clear(&r);
}

static void an_old_number_finds_nothing(void **state)
{
    (void)state;
    struct registry r = {.entries = NULL};
    uint32_t index = 0;
    uint32_t generation = 0;
    assert_true(registry_add(&r, &things[0], &index, &generation));
    registry_remove(&r, index);
    assert_int_equal(r.count, 0);
    assert_null(registry_get(&r, index, generation));
    assert_null(registry_get(&r, index, generation + 1)); /* free now, whatever its generation */
    uint32_t next_index = 0;
    uint32_t next_generation = 0;
    assert_true(registry_add(&r, &things[1], &next_index, &next_generation));
    assert_int_equal(next_index, index); /* or the test shows nothing */
    assert_null(registry_get(&r, index, generation));
    assert_ptr_equal(registry_get(&r, next_index, next_generation), &things[1]);
    registry_clear(&r);
}

static void generations_pass_over_zero(void **state)
{
    (void)state;
    struct registry r = {.entries = NULL};
    uint32_t index = 0;
    uint32_t generation = 0;
    assert_true(registry_add(&r, things, &index, &generation));
    registry_remove(&r, index);
    r.entries[index].generation = UINT32_MAX;
    assert_true(registry_add(&r, things, &index, &generation));
    assert_int_equal(generation, 1);
    assert_ptr_equal(registry_get(&r, index, generation), things);
    registry_clear(&r);
}

/* Random comings and goings against arrays. */
static void agrees_with_a_model(void **state)
{
    (void)state;
    struct registry r = {.entries = NULL};
    enum { MOST = 300 };
    static uint32_t index[MOST];
    static uint32_t generation[MOST];
    static void *thing[MOST];
    static uint32_t old_index[MOST];
    static uint32_t old_generation[MOST];
    unsigned count = 0;
    for (unsigned step = 0; step < 50000; step++) {
        unsigned i = (unsigned)dice(MOST);
        if (thing[i] == NULL) {
            thing[i] = &things[step % sizeof things];
            assert_true(registry_add(&r, thing[i], &index[i], &generation[i]));
            count++;
        } else {
            registry_remove(&r, index[i]);
            old_index[i] = index[i];
            old_generation[i] = generation[i];
            thing[i] = NULL;
            count--;
        }
        unsigned j = (unsigned)dice(MOST);
        if (thing[j] != NULL) {
            assert_ptr_equal(registry_get(&r, index[j], generation[j]), thing[j]);
        }
        if (old_generation[j] != 0) {
            assert_null(registry_get(&r, old_index[j], old_generation[j]));
        }
        assert_int_equal(r.count, count);
    }
    unsigned seen = 0;
    for (uint32_t i = 0; i < r.capacity; i++) {
        seen += registry_at(&r, i) != NULL;
    }
    assert_int_equal(seen, count);
    assert_true(r.capacity < 2 * MOST);
    registry_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_added),        cmocka_unit_test(zero_names_nothing),
        cmocka_unit_test(an_old_number_finds_nothing), cmocka_unit_test(generations_pass_over_zero),
        cmocka_unit_test(agrees_with_a_model),
    };
    return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
