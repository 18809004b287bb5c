/* What is unanswered from before, link by link: gathered, written and read. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "routing/settled.h"

static struct names names;
static uint8_t spark, onenz, redx, omni;

static int give_names(void **state)
{
    (void)state;
    spark = names_intern(&names, "spark");
    onenz = names_intern(&names, "onenz");
    redx = names_intern(&names, "redx");
    omni = names_intern(&names, "omni");
    return 0;
}

static void assert_written(const struct settled *settled, const char *expected)
{
    char text[SETTLED_TEXT_MAX];
    settled_write(settled, &names, text);
    assert_string_equal(text, expected);
}

static void keeps_the_oldest_of_each_link(void **state)
{
    struct settled settled = settled_begin(12);
    (void)state;
    assert_written(&settled, "12");
    assert_int_equal(settled_version(&settled), 12);
    settled_late(&settled, spark, redx, 12); /* of the table in use: not late */
    settled_late(&settled, spark, redx, 11);
    settled_late(&settled, onenz, omni, 10);
    settled_late(&settled, spark, redx, 9);
    settled_late(&settled, spark, redx, 11);
    assert_written(&settled, "12 spark:redx=9 onenz:omni=10");
    assert_int_equal(settled_version(&settled), 9);
}

static void joins_to_what_holds_of_both(void **state)
{
    struct settled all = settled_begin(UINT64_MAX);
    struct settled one = settled_begin(12);
    struct settled other = settled_begin(11);
    struct settled nothing = {0};
    (void)state;
    settled_late(&one, spark, redx, 11);
    settled_late(&other, spark, redx, 8);
    settled_late(&other, spark, omni, 10);
    settled_join(&all, &one);
    assert_true(settled_equal(&all, &one));
    settled_join(&all, &other);
    assert_false(settled_equal(&all, &one));
    assert_written(&all, "11 spark:redx=8 spark:omni=10");
    settled_join(&all, &nothing); /* a worker that has not told anything yet */
    assert_int_equal(settled_version(&all), 0);
}

static void is_bounded(void **state)
{
    struct settled settled = settled_begin(UINT64_MAX - 1);
    struct names many = {0};
    char text[SETTLED_TEXT_MAX];
    (void)state;
    for (unsigned i = 0; i < NAME_NUMBER; i++) {
        char name[NAME_LEN_MAX + 1];
        snprintf(name, sizeof name, "%0*u", NAME_LEN_MAX, i);
        assert_int_equal(names_intern(&many, name), i);
        settled_late(&settled, (uint8_t)i, (uint8_t)i, UINT64_MAX - 2 - i);
    }
    assert_int_equal(settled.count, SETTLED_LINKS_MAX);
    settled_write(&settled, &many, text);
    assert_non_null(strstr(text, " *=18446744073709551551")); /* of the last one */
    assert_int_equal(settled_version(&settled), UINT64_MAX - 2 - (NAME_NUMBER - 1));
}

static void reads_for_the_ways_of_a_flip(void **state)
{
    static const struct {
        const char *text;
        bool settled;
        const char *unanswered;
    } cases[] = {
        {"7", true, ""},
        {"9", true, ""},
        {"6", false, ""}, /* looked at too early */
        {"", false, ""},
        {"nonsense", false, ""},
        {"7 spark:redx=7", true, ""},
        {"9 spark:redx=7", true, ""},
        {"9 spark:redx=6", false, "spark:redx"},
        {"9 spark:omni=6", true, ""}, /* the new platform: order is kept there */
        {"9 spark:third=6", false, "spark:third"},
        {"9 onenz:redx=6", true, ""}, /* another carrier */
        {"9 spark2:redx=6 spar:redx=6", true, ""},
        {"9 onenz:redx=3 skinny:redx=6 spark:redx=2", false, "skinny:redx spark:redx"},
        {"9 onenz:redx=3 *=6", false, "*"},
        {"9 onenz:redx=3 *=7", true, ""},
        {"9 spark:redx", false, "spark:redx"},
        {"9 what=3", false, "what"},
    };
    char carriers[][NAME_LEN_MAX + 1] = {"spark", "skinny"};
    struct settled_ways ways = {.carriers = carriers, .count = 2, .to = "omni"};
    char unanswered[64];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(settled_on(cases[i].text, 7, &ways, unanswered, sizeof unanswered),
                         cases[i].settled);
        assert_string_equal(unanswered, cases[i].unanswered);
        assert_int_equal(settled_on(cases[i].text, 7, &ways, NULL, 0), cases[i].settled);
    }
    char little[12];
    assert_false(settled_on("9 spark:redx=1 spark:third=1", 7, &ways, little, sizeof little));
    assert_string_equal(little, "spark:redx");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_oldest_of_each_link),
        cmocka_unit_test(joins_to_what_holds_of_both),
        cmocka_unit_test(is_bounded),
        cmocka_unit_test(reads_for_the_ways_of_a_flip),
    };
    return cmocka_run_group_tests(tests, give_names, NULL);
}
