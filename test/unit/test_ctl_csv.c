/* CSV files of routes: what is taken, what is refused, and that what is written can be read again. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/csv.h"

/* "line:shortcode,carrier,platform,state;" for each row, then "line!error;" for each error. */
static void told(const char *text, size_t len, char *out, size_t size)
{
    struct csv csv = {0};
    size_t used = 0;
    csv_parse(&csv, text, len);
    *out = '\0';
    for (size_t i = 0; i < csv.rows_count && used < size; i++) {
        const struct cell *cell = &csv.rows[i].cell;
        used +=
            (size_t)snprintf(out + used, size - used, "%u:%s,%s,%s,%s;", csv.rows[i].line, cell->shortcode,
                             cell->carrier, cell->platform, route_state_name(cell->state));
    }
    for (size_t i = 0; i < csv.errors_count && used < size; i++) {
        used += (size_t)snprintf(out + used, size - used, "%u!%s;", csv.errors[i].line, csv.errors[i].text);
    }
    csv_free(&csv);
}

static void takes(void **state)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"\n\n", ""},
        {"61000,spark,redx", "1:61000,spark,redx,open;"},
        {"61000,spark,redx,hold\n", "1:61000,spark,redx,hold;"},
        {"61000,spark,redx,\n", "1:61000,spark,redx,open;"},
        {"shortcode,carrier,platform,state\r\n61000,spark,redx,closed\r\n", "2:61000,spark,redx,closed;"},
        {"\xef\xbb\xbfShortcode,Carrier,Platform\n*,spark,redx\n", "2:*,spark,redx,open;"},
        {"# comment\n\n  61000 ,\tspark , redx \n", "3:61000,spark,redx,open;"},
        {"\"61000\",\"spark\" , \"redx\",open\n", "1:61000,spark,redx,open;"},
        {"\"6,1\",spark,redx\n\"6\"\"1\",spark,redx\n", "1:6,1,spark,redx,open;2:6\"1,spark,redx,open;"},
        {"1,a,p\n1,b,p\n2,a,p", "1:1,a,p,open;2:1,b,p,open;3:2,a,p,open;"},
    };
    char out[1024];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        told(cases[i][0], strlen(cases[i][0]), out, sizeof out);
        assert_string_equal(out, cases[i][1]);
    }
}

static void refuses(void **state)
{
    static const struct {
        const char *text, *errors[3];
    } cases[] = {
        {"61000,spark\n", {"1!there are less than 3 columns"}},
        {"1,a,p,open,x\n", {"1!there are more than 4 columns"}},
        {"1,a,p,ajar\n", {"1!state \"ajar\" must be"}},
        {"1 2,a,p\n", {"1!shortcode \"1 2\" must be"}},
        {"123456789012345678901,a,p\n", {"1!shortcode"}},
        {",a,p\n", {"1!shortcode \"\""}},
        {"1,a b,p!\n", {"1!carrier \"a b\"", "1!platform \"p!\""}},
        {"1,-,p\n", {"1!carrier \"-\""}},
        {"1,a,12345678901234567890123456789012\n", {"1!platform"}},
        {"\"1,a,p\n", {"1!a quote is opened and not closed"}},
        {"\"1\"x,a,p\n", {"1!there is text behind a closing quote"}},
        /* A header is one only in the first line. */
        {"1,a,p\nshortcode,carrier,platform\nx,y\n", {"3!there are less"}},
        {"1,a,p\n2,b,q\n1,a,q\n1,a,r\n", {"3!1 a is in line 1 already", "4!1 a is in line 1 already"}},
        /* In the order of the lines, though twice-named cells are found last. */
        {"1,a,p\n1,a,p\n2,a\n", {"2!1 a is", "3!there are less"}},
    };
    char out[2048];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *found = out;
        told(cases[i].text, strlen(cases[i].text), out, sizeof out);
        for (int e = 0; e < 3 && cases[i].errors[e]; e++) {
            found = strstr(found, cases[i].errors[e]);
            if (!found) {
                fail_msg("\"%s\" is not in \"%s\"", cases[i].errors[e], out);
            }
            found++;
        }
    }
}

static void refuses_nul(void **state)
{
    char out[256];
    (void)state;
    told("1,a,p\n\0,b,q\n", 11, out, sizeof out);
    assert_string_equal(out, "1!the file has NUL characters: it is no text;");
}

static void reads_what_it_writes(void **state)
{
    static const char *const shortcodes[] = {"*", "61000", "6,1", "6\"1", "#1", "\"\"", ",", "'x'"};
    char *text = NULL;
    size_t len;
    struct csv csv = {0};
    FILE *out = open_memstream(&text, &len);
    (void)state;
    csv_write_header(out);
    for (size_t i = 0; i < 8; i++) {
        struct cell cell = {.carrier = "2degrees", .platform = "o_m.n-i", .state = (enum route_state)(i % 3)};
        snprintf(cell.shortcode, sizeof cell.shortcode, "%s", shortcodes[i]);
        csv_write_cell(out, &cell);
    }
    fclose(out);
    csv_parse(&csv, text, len);
    assert_int_equal(csv.errors_count, 0);
    assert_int_equal(csv.rows_count, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_string_equal(csv.rows[i].cell.shortcode, shortcodes[i]);
        assert_string_equal(csv.rows[i].cell.platform, "o_m.n-i");
        assert_int_equal(csv.rows[i].cell.state, i % 3);
    }
    csv_free(&csv);
    free(text);
}

/* The moves of a window: "line:shortcode,carrier,to,at;", and errors as above. */
static void moves_told(const char *text, const struct zone *zone, char *out, size_t size)
{
    struct csv csv = {0};
    size_t used = 0;
    csv_parse_moves(&csv, text, strlen(text), zone);
    *out = '\0';
    for (size_t i = 0; i < csv.rows_count && used < size; i++) {
        const struct csv_row *row = &csv.rows[i];
        used += (size_t)snprintf(out + used, size - used, "%u:%s,%s,%s,%llu;", row->line, row->cell.shortcode,
                                 row->cell.carrier, row->cell.platform, (unsigned long long)row->at_ms);
    }
    for (size_t i = 0; i < csv.errors_count && used < size; i++) {
        used += (size_t)snprintf(out + used, size - used, "%u!%s;", csv.errors[i].line, csv.errors[i].text);
    }
    csv_free(&csv);
}

static void takes_the_moves_of_a_window(void **state)
{
    static const char *const cases[][2] = {
        {"61000,spark,omni", "1:61000,spark,omni,0;"},
        {"shortcode,carrier,to,at\n61000,spark,omni,1970-01-01T00:01Z\n", "2:61000,spark,omni,60000;"},
        {"Shortcode,Carrier,To\n61000,spark,omni,\n61001,spark,omni,1970-01-02 13:01\n",
         "2:61000,spark,omni,0;3:61001,spark,omni,86460000;"},
        {"1,a\n1,a,b,tomorrow\n2,a,!\n1,a,b,,\n1,a,b\n1,a,b\n",
         "5:1,a,b,0;6:1,a,b,0;1!there are less than 3 columns: shortcode,carrier,to[,at];"
         "2!\"tomorrow\" is no time such as 2026-09-27T10:00+13:00, or 2026-09-27T10:00 with a zone;"
         "3!platform \"!\" must be 1 to 31 letters, digits, dots, dashes or underscores;"
         "4!there are more than 4 columns: shortcode,carrier,to,at;6!1 a is in line 5 already;"},
        {"1,a,b,2026-04-05T02:30\n2,a,b,2026-09-27T02:30\n",
         "1!\"2026-04-05T02:30\" comes twice in Pacific/Auckland, as the clocks go back: say which one by "
         "its "
         "offset, 2026-04-05T02:30+13:00 or 2026-04-05T02:30+12:00;"
         "2!\"2026-09-27T02:30\" does not exist in Pacific/Auckland: the clocks go forward over it. Give a "
         "time "
         "that exists, or one with its offset from UTC;"},
    };
    char out[1024];
    struct zone fixed;
    struct zone auckland;
    (void)state;
    assert_true(zone_find("+13:00", &fixed) && zone_find("Pacific/Auckland", &auckland));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        moves_told(cases[i][0], i == 4 ? &auckland : &fixed, out, sizeof out);
        assert_string_equal(out, cases[i][1]);
    }
    moves_told("1,a,b,2026-04-05T02:30\n", NULL, out, sizeof out);
    assert_non_null(strstr(out, "needs an offset from UTC"));
    /* Routes have states where moves have times. */
    told("1,a,b,2026-04-05T02:30Z\n", strlen("1,a,b,2026-04-05T02:30Z\n"), out, sizeof out);
    assert_non_null(strstr(out, "must be open, hold or closed"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes),
        cmocka_unit_test(refuses),
        cmocka_unit_test(refuses_nul),
        cmocka_unit_test(reads_what_it_writes),
        cmocka_unit_test(takes_the_moves_of_a_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
