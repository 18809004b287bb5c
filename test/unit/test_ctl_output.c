/* Tables, wrapped sentences, times and clean text. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "routing/ctl/output.h"

static void assert_grid(struct grid *grid, const char *expected)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    grid_print(grid, out, "");
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
    grid_free(grid);
}

static void aligns(void **state)
{
    static const struct column columns[] = {{"NAME", false}, {"N", true}, {"EMPTY", false}, {"LAST", false}};
    static const char *const cells[] = {"a",         "1", "", "x", "m\xc4\x81ori", "1234", "", "",
                                        "long name", "",  "", "y"};
    struct grid *grid = grid_new(columns, 4);
    (void)state;
    for (size_t i = 0; i < 12; i++) {
        grid_cell(grid, "%s", cells[i]);
    }
    /* No column EMPTY, no blanks at the end of a line, and letters counted, not octets. */
    assert_grid(grid, "NAME          N  LAST\n"
                      "a             1  x\n"
                      "m\xc4\x81ori      1234\n"
                      "long name        y\n");
}

static void cleans(void **state)
{
    char text[] = "a\x1b[31m\n\t\x7f\xc2\x9b"
                  "b\xc4\x81";
    (void)state;
    assert_string_equal(text_clean(text), "a?[31m????\x9b"
                                          "b\xc4\x81");
}

static void wraps(void **state)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    (void)state;
    text_wrap(out,
              "first: ", "aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa bb ccccc");
    text_wrap(out, "", "");
    fclose(out);
    assert_string_equal(
        text, "first: aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa bb\n  ccccc\n\n");
    free(text);
}

static void tells_time(void **state)
{
    char text[TIME_TEXT_SIZE];
    (void)state;
    setenv("TZ", "NZST-12NZDT,M9.5.0,M4.1.0/3", 1);
    tzset();
    assert_string_equal(time_text(1732323906123, text), "2024-11-23 14:05:06 +1300");
    assert_string_equal(time_text(0, text), "-");
}

static void tells_age(void **state)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } cases[] = {{0, "0 s"},           {999, "0 s"},     {119999, "119 s"},   {120000, "2 min"},
                 {7199999, "119 min"}, {7200000, "2 h"}, {172799999, "47 h"}, {172800000, "2 d"}};
    char text[AGE_TEXT_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(age_text(cases[i].ms, text), cases[i].text);
    }
}

static void keeps_json_valid(void **state)
{
    json_t *good = json_text("m\xc4\x81ori");
    json_t *bad = json_text("a\xff"
                            "b");
    (void)state;
    assert_string_equal(json_string_value(good), "m\xc4\x81ori");
    assert_string_equal(json_string_value(bad), "a?b");
    json_decref(good);
    json_decref(bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aligns),     cmocka_unit_test(cleans),    cmocka_unit_test(wraps),
        cmocka_unit_test(tells_time), cmocka_unit_test(tells_age), cmocka_unit_test(keeps_json_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
