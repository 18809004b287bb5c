/* names.c: numbers are given once and kept; what is not a name gets none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "routing/names.h"

static void a_name_keeps_its_number(void **state)
{
    (void)state;
    struct names names = {0};
    uint8_t redx = names_intern(&names, "redx"), omni = names_intern(&names, "omni");
    assert_int_equal(redx, 0);
    assert_int_equal(omni, 1);
    assert_int_equal(names_intern(&names, "redx"), redx);
    assert_int_equal(names_find(&names, "omni"), omni);
    assert_int_equal(names_find(&names, "spark"), NAME_NONE);
    assert_string_equal(names_get(&names, omni), "omni");
    assert_string_equal(names_get(&names, 2), "?");
    assert_string_equal(names_get(&names, NAME_NONE), "?");
}

static void what_is_not_a_name_gets_no_number(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "-", "a b", "a/b", "\xc3\xa9", "a\n", "12345678901234567890123456789012"};
    static const char *const good[] = {"2degrees", "one.nz", "a_b-c", "--",
                                       "1234567890123456789012345678901"};
    struct names names = {0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(names_intern(&names, bad[i]), NAME_NONE);
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(names_intern(&names, good[i]), i);
}

static void more_names_than_fit_are_refused(void **state)
{
    (void)state;
    struct names names = {0};
    char name[8];
    for (unsigned i = 0; i < NAME_NUMBER; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        assert_int_equal(names_intern(&names, name), i);
    }
    assert_int_equal(names_intern(&names, "more"), NAME_NONE);
    assert_int_equal(names_intern(&names, "n62"), 62);
}

static void numbers_have_a_name_of_their_own(void **state)
{
    (void)state;
    struct names names = {0};
    assert_int_equal(names_find(&names, ".number"), NAME_NUMBER);
    assert_int_equal(names_intern(&names, NUMBER_NAME), NAME_NUMBER);
    assert_int_equal(names.count, 0);
    assert_string_equal(names_get(&names, NAME_NUMBER), ".number");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_keeps_its_number),
        cmocka_unit_test(what_is_not_a_name_gets_no_number),
        cmocka_unit_test(more_names_than_fit_are_refused),
        cmocka_unit_test(numbers_have_a_name_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
