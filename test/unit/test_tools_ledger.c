/* The ledger of the tools: what is written can be read back, and stays one line of words whatever the values
 * are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "test/tools/lib/ledger.h"

static char path[] = "/tmp/turnout-ledger-XXXXXX";
static struct ledger *ledger;

static int open_one(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/turnout-ledger-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0) {
        return -1;
    }
    close(fd);
    ledger = ledger_open(path);
    return ledger == NULL ? -1 : 0;
}

static int close_one(void **state)
{
    (void)state;
    ledger_close(ledger);
    ledger = NULL;
    return unlink(path);
}

/* What the file holds. */
static char *written(void)
{
    static char text[1 << 20];
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof(text) - 1, file);
    text[len] = '\0';
    assert_int_equal(fclose(file), 0);
    return text;
}

static void a_line_as_documented(void **state)
{
    (void)state;
    ledger_begin(ledger, 1700000000123456789U, "MT");
    ledger_string(ledger, "link", "spark-redx");
    ledger_text(ledger, "key", "a-1-20;", 6);
    ledger_number(ledger, "session", 18446744073709551615U);
    ledger_status(ledger, 0xDEAD0014U);
    ledger_end(ledger);
    assert_string_equal(written(), "");
    assert_true(ledger_flush(ledger));
    assert_string_equal(written(),
                        "1700000000123456789 MT link=spark-redx key=a-1-20 session=18446744073709551615 "
                        "status=0xdead0014\n");
}

static void values_cannot_break_a_line(void **state)
{
    (void)state;
    static const uint8_t evil[] = {'a', ' ', 'b', '\n', 0, 0xFF, '=', 'c'};
    ledger_begin(ledger, 0, "MT");
    ledger_text(ledger, "dest", evil, sizeof(evil));
    ledger_text(ledger, "id", NULL, 0);
    ledger_end(ledger);
    ledger_flush(ledger);
    char *text = written();
    assert_string_equal(text, "0 MT dest=a_b??"
                              "?=c id=-\n");
    struct ledger_line line;
    assert_true(ledger_parse(text, &line));
    assert_string_equal(ledger_value(&line, "dest"), "a_b??"
                                                     "?=c");
    assert_string_equal(ledger_value(&line, "id"), "-");
    assert_null(ledger_value(&line, "i"));
}

static void much_is_written_without_a_flush(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        ledger_begin(ledger, i, "MARK");
        ledger_number(ledger, "label", i);
        ledger_end(ledger);
    }
    assert_true(strlen(written()) > 200000);
    ledger_flush(ledger);
    char *last = strrchr(written(), 'M');
    assert_string_equal(last, "MARK label=19999\n");
}

static void closing_flushes(void **state)
{
    ledger_begin(ledger, 1, "MARK");
    ledger_end(ledger);
    ledger_close(ledger);
    assert_string_equal(written(), "1 MARK\n");
    ledger = ledger_open(path);
    assert_non_null(ledger);
    (void)state;
}

static void no_ledger_is_no_trouble(void **state)
{
    (void)state;
    assert_true(ledger_flush(NULL));
    ledger_close(NULL);
    assert_null(ledger_open("/nonexistent/ledger"));
}

static void what_is_no_line_is_not_parsed(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "12", "x MT", "12x MT", "12 MT key", "12 MT =a", "12 MT a=b c"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[64];
        struct ledger_line line;
        (void)snprintf(text, sizeof(text), "%s", bad[i]);
        assert_false(ledger_parse(text, &line));
    }
}

static bool key_is(const char *text, const char *wanted)
{
    const uint8_t *key = NULL;
    size_t len = 0;
    if (!ledger_key((const uint8_t *)text, strlen(text), &key, &len)) {
        return wanted == NULL;
    }
    return wanted != NULL && strlen(wanted) == len && memcmp(key, wanted, len) == 0;
}

static void keys_are_found(void **state)
{
    (void)state;
    assert_true(key_is("K:a-1-2; hello", "a-1-2"));
    assert_true(key_is("id:7 stat:DELIVRD text:K:a-1-2;", "a-1-2"));
    assert_true(key_is("K:;", NULL));
    assert_true(key_is("K:a-1-2", NULL));
    assert_true(key_is("K:", NULL));
    assert_true(key_is("", NULL));
    assert_true(key_is("K:0123456789012345678901234567890123456789012345678901234567890123456789;", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_as_documented, open_one, close_one),
        cmocka_unit_test_setup_teardown(values_cannot_break_a_line, open_one, close_one),
        cmocka_unit_test_setup_teardown(much_is_written_without_a_flush, open_one, close_one),
        cmocka_unit_test_setup_teardown(closing_flushes, open_one, close_one),
        cmocka_unit_test(no_ledger_is_no_trouble),
        cmocka_unit_test(what_is_no_line_is_not_parsed),
        cmocka_unit_test(keys_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
