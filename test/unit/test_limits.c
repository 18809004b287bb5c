/* The table of what peers can do names options that there are. That its counters are there and tell of their cases, the
 * system tests see to, which try each row. */
#include "proxy/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void every_option_has_a_default(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    limits_print(out);
    assert_int_equal(fclose(out), 0);
    assert_null(strstr(text, "no such"));
    assert_non_null(strstr(text, "| zero length | - | generic_nack ESME_RINVCMDLEN, closed | "
                                 "`turnout_session_refused_total{reason=\"bad_length\"}` |\n"));
    assert_non_null(strstr(text, "| no bind | `session-init` (5s), `max-unbound` (1000) | "));
    free(text);
}

static void no_case_is_there_twice(void **state)
{
    (void)state;
    for (size_t i = 0; i < limit_rows_count; i++) {
        assert_null(strchr(limit_rows[i].peer, '|'));
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(limit_rows[i].peer, limit_rows[j].peer);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_has_a_default),
        cmocka_unit_test(no_case_is_there_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
