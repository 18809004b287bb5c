/* A text in memory: all of it, or none. The linker gives us realloc (CMakeLists.txt). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/memory_text.h"

enum { LINES = 30000 };

static unsigned calls, failing; /* realloc: how often so far, and which one fails, from 1 on; 0: none */

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_realloc(void *old, size_t size)
{
    return ++calls == failing ? NULL : __real_realloc(old, size);
}

/* The text of so many lines; NULL where there was no memory for it. */
static char *write_lines(unsigned lines, unsigned nth_fails, size_t *len)
{
    struct memory_text t;
    calls = 0;
    failing = nth_fails;
    FILE *out = memory_text_open(&t);
    for (unsigned i = 0; out != NULL && i < lines; i++) {
        fprintf(out, "line %u\n", i);
    }
    return out == NULL ? NULL : memory_text_close(&t, len);
}

static void all_of_it(void **state)
{
    (void)state;
    size_t len = 0;
    char *text = write_lines(LINES, 0, &len);
    assert_non_null(text);
    assert_int_equal(strlen(text), len);
    const char *at = text;
    for (unsigned i = 0; i < LINES; i++) {
        char line[32];
        snprintf(line, sizeof line, "line %u\n", i);
        assert_memory_equal(at, line, strlen(line));
        at += strlen(line);
    }
    assert_int_equal(*at, '\0');
    free(text);
}

static void nothing_is_an_empty_text(void **state)
{
    (void)state;
    size_t len = 7;
    char *text = write_lines(0, 0, &len);
    assert_string_equal(text, "");
    assert_int_equal(len, 0);
    free(text);
}

static void without_memory_none(void **state)
{
    (void)state;
    free(write_lines(LINES, 0, NULL));
    unsigned needed = calls;
    assert_in_range(needed, 3, 20);
    for (unsigned nth = 1; nth <= needed; nth++) {
        assert_null(write_lines(LINES, nth, NULL));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it),
        cmocka_unit_test(nothing_is_an_empty_text),
        cmocka_unit_test(without_memory_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
