/* Released legs: what is remembered, for whom, since when, and what gives way when the memory is full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/released.h"

enum { ACME = 3, ZETA = 4, LINK = 7, OTHER = 8 };

static void nothing_is_released_at_first(void **state)
{
    (void)state;
    static struct released r;
    assert_false(released_since(&r, ACME, LINK, 0));
}

static void one_client_or_all(void **state)
{
    (void)state;
    static struct released r;
    released_note(&r, ACME, LINK, 100);
    assert_true(released_since(&r, ACME, LINK, 100));
    assert_false(released_since(&r, ZETA, LINK, 100));
    assert_false(released_since(&r, ACME, OTHER, 100));
    released_note(&r, RELEASED_EVERY_CLIENT, OTHER, 100);
    assert_true(released_since(&r, ACME, OTHER, 100));
    assert_true(released_since(&r, ZETA, OTHER, 100));
}

static void what_begins_later_is_not_released(void **state)
{
    (void)state;
    static struct released r;
    released_note(&r, ACME, LINK, 100);
    assert_false(released_since(&r, ACME, LINK, 101));
    released_note(&r, ACME, LINK, 200);
    assert_true(released_since(&r, ACME, LINK, 101));
    assert_int_equal(r.entry[1].when, 0); /* the same entry */
}

static void the_oldest_gives_way(void **state)
{
    (void)state;
    static struct released r;
    for (unsigned i = 0; i < RELEASED_MAX; i++) {
        released_note(&r, ACME, i, 1000 - i);
    }
    assert_true(released_since(&r, ACME, RELEASED_MAX - 1, 1));
    released_note(&r, ZETA, LINK, 2000);
    assert_false(released_since(&r, ACME, RELEASED_MAX - 1, 1));
    assert_true(released_since(&r, ACME, 0, 1));
    assert_true(released_since(&r, ZETA, LINK, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_released_at_first),
        cmocka_unit_test(one_client_or_all),
        cmocka_unit_test(what_begins_later_is_not_released),
        cmocka_unit_test(the_oldest_gives_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
