/* Choosing numbers by pattern and weight. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/tools/lib/numbers.h"

static struct numbers numbers;
static uint64_t random_state;

static int empty(void **state)
{
    (void)state;
    numbers = (struct numbers){NULL, 0};
    random_state = 42;
    return 0;
}

static int release(void **state)
{
    (void)state;
    numbers_free(&numbers);
    return 0;
}

static void a_plain_number_is_itself(void **state)
{
    (void)state;
    char out[NUMBER_MAX];
    assert_true(numbers_add(&numbers, "3001"));
    assert_int_equal(numbers_choose(&numbers, &random_state, out), 4);
    assert_string_equal(out, "3001");
}

static void an_x_is_a_digit(void **state)
{
    (void)state;
    unsigned seen[10] = {0};
    assert_true(numbers_add(&numbers, "6427xxxxxxx"));
    for (int i = 0; i < 10000; i++) {
        char out[NUMBER_MAX];
        assert_int_equal(numbers_choose(&numbers, &random_state, out), 11);
        assert_memory_equal(out, "6427", 4);
        for (int digit = 4; digit < 11; digit++) {
            assert_in_range(out[digit], '0', '9');
            seen[out[digit] - '0']++;
        }
    }
    for (int digit = 0; digit < 10; digit++) {
        assert_in_range(seen[digit], 6500, 7500);
    }
}

static void weights_count(void **state)
{
    (void)state;
    unsigned seen[3] = {0};
    assert_true(numbers_add(&numbers, "0*3,1"));
    assert_true(numbers_add(&numbers, "2*6"));
    for (int i = 0; i < 10000; i++) {
        char out[NUMBER_MAX];
        numbers_choose(&numbers, &random_state, out);
        seen[out[0] - '0']++;
    }
    assert_in_range(seen[0], 2700, 3300);
    assert_in_range(seen[1], 800, 1200);
    assert_in_range(seen[2], 5700, 6300);
}

static void the_same_seed_chooses_the_same(void **state)
{
    (void)state;
    char first[NUMBER_MAX];
    char second[NUMBER_MAX];
    assert_true(numbers_add(&numbers, "6427xxxxxxx,6421xxxxxxx"));
    numbers_choose(&numbers, &random_state, first);
    random_state = 42;
    numbers_choose(&numbers, &random_state, second);
    assert_string_equal(first, second);
}

static void bad_lists_add_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      ",",
                                      "3001,",
                                      "3001*0",
                                      "3001*x",
                                      "*3",
                                      "3001*",
                                      "123456789012345678901",
                                      "3001*99999999999999999999999999"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(numbers_add(&numbers, bad[i]));
        assert_int_equal(numbers.count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_plain_number_is_itself, empty, release),
        cmocka_unit_test_setup_teardown(an_x_is_a_digit, empty, release),
        cmocka_unit_test_setup_teardown(weights_count, empty, release),
        cmocka_unit_test_setup_teardown(the_same_seed_chooses_the_same, empty, release),
        cmocka_unit_test_setup_teardown(bad_lists_add_nothing, empty, release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
