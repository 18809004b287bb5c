/* carrier.c: the longest prefix wins, else the default. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "routing/carrier.h"
#include "routing/numbers_build.h"
#include "test/unit/seeded.h"

enum { SPARK, ONENZ, DEGREES, SKINNY, OTHER };

static uint8_t find(const struct carrier_map *map, const char *digits)
{
    return carrier_map_find(map, (const uint8_t *)digits, strlen(digits));
}

static struct carrier_map *new_zealand(void)
{
    struct carrier_map *map = carrier_map_new(OTHER);
    assert_non_null(map);
    assert_int_equal(carrier_map_add(map, "6421", ONENZ), CARRIER_MAP_ADDED);
    assert_int_equal(carrier_map_add(map, "6422", DEGREES), CARRIER_MAP_ADDED);
    assert_int_equal(carrier_map_add(map, "6427", SPARK), CARRIER_MAP_ADDED);
    assert_int_equal(carrier_map_add(map, "64204", SKINNY), CARRIER_MAP_ADDED);
    assert_int_equal(carrier_map_add(map, "642", SPARK), CARRIER_MAP_ADDED);
    return map;
}

static void the_longest_prefix_wins(void **state)
{
    (void)state;
    struct carrier_map *map = new_zealand();
    assert_int_equal(find(map, "64211234567"), ONENZ);
    assert_int_equal(find(map, "64204123456"), SKINNY);
    assert_int_equal(find(map, "64205123456"),
                     SPARK); /* 642: what is left of a longer one that did not match */
    assert_int_equal(find(map, "6420"), SPARK);
    assert_int_equal(find(map, "6491234"), OTHER);
    carrier_map_free(map);
}

static void odd_addresses_get_the_default(void **state)
{
    (void)state;
    struct carrier_map *map = new_zealand();
    assert_int_equal(find(map, "+64211234567"), ONENZ);
    assert_int_equal(find(map, "++6421"), OTHER);
    assert_int_equal(find(map, ""), OTHER);
    assert_int_equal(find(map, "+"), OTHER);
    assert_int_equal(find(map, "64a21"), OTHER);
    assert_int_equal(find(map, "642\xff"), SPARK);
    assert_int_equal(carrier_map_find(map, (const uint8_t *)"64211", 3), SPARK); /* len, not a NUL, ends it */
    carrier_map_free(map);
}

/* Every octet at each place of the first digits, which are looked at together. */
static void no_octet_is_taken_for_a_digit(void **state)
{
    (void)state;
    static const struct {
        const char *prefix;
        uint8_t carrier;
    } known[] = {{"6421", ONENZ}, {"6422", DEGREES}, {"6427", SPARK}, {"64204", SKINNY}, {"642", SPARK}};
    struct carrier_map *map = new_zealand();
    for (unsigned at = 0; at < 5 * 256; at++) {
        uint8_t digits[] = "64204999";
        uint8_t expected = OTHER;
        size_t longest = 0;
        digits[at / 256] = (uint8_t)(at % 256);
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            size_t len = strlen(known[i].prefix);
            const uint8_t *number = digits + (digits[0] == '+');
            if (len > longest && memcmp(number, known[i].prefix, len) == 0) {
                longest = len;
                expected = known[i].carrier;
            }
        }
        assert_int_equal(carrier_map_find(map, digits, 8), expected);
    }
    carrier_map_free(map);
}

static void prefixes_are_checked(void **state)
{
    (void)state;
    struct carrier_map *map = carrier_map_new(NAME_NONE);
    assert_int_equal(carrier_map_add(map, "", SPARK), CARRIER_MAP_NOT_DIGITS);
    assert_int_equal(carrier_map_add(map, "+64", SPARK), CARRIER_MAP_NOT_DIGITS);
    assert_int_equal(carrier_map_add(map, "64x", SPARK), CARRIER_MAP_NOT_DIGITS);
    assert_int_equal(carrier_map_add(map, "1234567890123456", SPARK), CARRIER_MAP_NOT_DIGITS);
    assert_int_equal(carrier_map_add(map, "123456789012345", SPARK), CARRIER_MAP_ADDED);
    assert_int_equal(carrier_map_add(map, "64", SPARK), CARRIER_MAP_ADDED);
    assert_int_equal(carrier_map_add(map, "64", SPARK), CARRIER_MAP_ADDED);
    assert_int_equal(carrier_map_add(map, "64", ONENZ), CARRIER_MAP_TAKEN);
    assert_int_equal(find(map, "64"), SPARK);
    assert_int_equal(find(map, "6"), NAME_NONE);
    carrier_map_free(map);
}

/* Against a search through the list of prefixes. */
static void many_prefixes_agree_with_a_plain_search(void **state)
{
    (void)state;
    enum { PREFIXES = 2000, LOOKUPS = 20000 };
    static char prefixes[PREFIXES][8];
    struct carrier_map *map = carrier_map_new(NAME_NONE);
    seeded(7);
    for (int i = 0; i < PREFIXES; i++) {
        snprintf(prefixes[i], sizeof(prefixes[i]), "%u", any_of(1000000));
        enum carrier_map_added added = carrier_map_add(map, prefixes[i], (uint8_t)(i % 60));
        if (added == CARRIER_MAP_TAKEN)
            prefixes[i][0] = '\0';
    }
    for (int i = 0; i < LOOKUPS; i++) {
        char digits[16];
        snprintf(digits, sizeof(digits), "%u%u", any_of(1000000), any_of(1000));
        uint8_t expected = NAME_NONE;
        size_t longest = 0;
        for (int p = 0; p < PREFIXES; p++) {
            size_t len = strlen(prefixes[p]);
            if (len > longest && strncmp(prefixes[p], digits, len) == 0) {
                longest = len;
                expected = (uint8_t)(p % 60);
            }
        }
        assert_int_equal(find(map, digits), expected);
    }
    carrier_map_free(map);
}

static struct numbers *numbers_of(const char *row, uint8_t carrier)
{
    struct numbers_builder *builder = numbers_builder_new();
    struct numbers_image image;
    char error[200];
    assert_null(numbers_builder_add(builder, row, "x", 1));
    assert_true(numbers_build(builder, "t", 0, NULL, NULL, &image));
    numbers_builder_free(builder);
    struct numbers *numbers = numbers_adopt(image.data, image.size, error, sizeof(error));
    assert_non_null(numbers);
    numbers_call(numbers, 0, carrier);
    return numbers;
}

static const struct table *routes; /* NULL: none */

static void expect_choice(const struct carrier_map *map, const char *digits, uint8_t carrier,
                          enum carrier_step step)
{
    struct carrier_choice choice = carrier_choose(map, routes, (const uint8_t *)digits, strlen(digits));
    char row[CARRIER_ROW_MAX + 1];
    assert_int_equal(choice.carrier, carrier);
    assert_int_equal(choice.step, step);
    assert_int_equal(carrier_by(map, routes, step, (const uint8_t *)digits, strlen(digits), row), carrier);
}

static void the_first_that_knows_the_number_decides(void **state)
{
    (void)state;
    struct carrier_map *map = new_zealand();
    struct numbers *overrides = numbers_of("64211*", SKINNY), *table = numbers_of("6421*", SPARK);
    expect_choice(map, "64211", ONENZ, CARRIER_BY_PREFIX);
    carrier_map_set_numbers(map, NULL, table);
    expect_choice(map, "64211", SPARK, CARRIER_BY_TABLE);
    carrier_map_set_numbers(map, overrides, table);
    expect_choice(map, "64211", SKINNY, CARRIER_BY_OVERRIDE);
    expect_choice(map, "+642112", SKINNY, CARRIER_BY_OVERRIDE);
    expect_choice(map, "64212", SPARK, CARRIER_BY_TABLE);
    expect_choice(map, "6422", DEGREES, CARRIER_BY_PREFIX);
    expect_choice(map, "1", OTHER, CARRIER_BY_DEFAULT);
    expect_choice(map, "", OTHER, CARRIER_BY_DEFAULT);
    carrier_map_set_numbers(map, overrides, NULL);
    expect_choice(map, "64212", ONENZ, CARRIER_BY_PREFIX);
    carrier_map_free(map);
    map = carrier_map_new(NAME_NONE);
    carrier_map_set_numbers(map, overrides, table);
    expect_choice(map, "1", NAME_NONE, CARRIER_BY_NONE);
    carrier_map_free(map);
    numbers_close(overrides);
    numbers_close(table);
}

static void a_number_set_in_the_table_comes_first(void **state)
{
    (void)state;
    struct carrier_map *map = new_zealand();
    struct numbers *overrides = numbers_of("64211*", SKINNY);
    struct table_builder *builder = table_edit(NULL);
    struct route to_spark = {.platform = SPARK, .previous = NAME_NONE, .next = NAME_NONE};
    carrier_map_set_numbers(map, overrides, NULL);
    assert_true(table_set(builder, "+642112", NAME_NUMBER, &to_spark));
    struct table *table = table_done(builder, 1);
    routes = table;
    expect_choice(map, "642112", SPARK, CARRIER_BY_SET);
    expect_choice(map, "+642112", SPARK, CARRIER_BY_SET);
    expect_choice(map, "6421121", SKINNY, CARRIER_BY_OVERRIDE);
    expect_choice(map, "64212", ONENZ, CARRIER_BY_PREFIX);
    expect_choice(map, "", OTHER, CARRIER_BY_DEFAULT);
    expect_choice(map, "1234567890123456789012345", OTHER, CARRIER_BY_DEFAULT);
    routes = NULL;
    expect_choice(map, "642112", SKINNY, CARRIER_BY_OVERRIDE);
    table_free(table);
    carrier_map_free(map);
    numbers_close(overrides);
}

static void expect_row(const struct carrier_map *map, enum carrier_step step, const char *digits,
                       uint8_t carrier, const char *expected)
{
    char row[CARRIER_ROW_MAX + 1];
    assert_int_equal(carrier_by(map, routes, step, (const uint8_t *)digits, strlen(digits), row), carrier);
    assert_string_equal(row, expected);
}

static void the_row_that_says_so_is_told(void **state)
{
    (void)state;
    struct carrier_map *map = new_zealand();
    struct numbers *overrides = numbers_of("64211*", SKINNY),
                   *table = numbers_of("64270000000-64279999999", SPARK);
    struct numbers *one = numbers_of("64211234567", ONENZ);
    carrier_map_set_numbers(map, overrides, table);
    expect_row(map, CARRIER_BY_OVERRIDE, "64211234567", SKINNY, "64211000000-64211999999");
    expect_row(map, CARRIER_BY_OVERRIDE, "6427", NAME_NONE, "");
    expect_row(map, CARRIER_BY_TABLE, "64270000000", SPARK, "64270000000-64279999999");
    expect_row(map, CARRIER_BY_TABLE, "+64279999999", SPARK, "64270000000-64279999999");
    expect_row(map, CARRIER_BY_TABLE, "64280000000", NAME_NONE, "");
    expect_row(map, CARRIER_BY_PREFIX, "64204123", SKINNY, "64204");
    expect_row(map, CARRIER_BY_PREFIX, "+64290", SPARK, "642");
    expect_row(map, CARRIER_BY_PREFIX, "65", NAME_NONE, "");
    expect_row(map, CARRIER_BY_DEFAULT, "65", OTHER, "");
    assert_ptr_equal(carrier_map_swap_table(map, one), table);
    expect_row(map, CARRIER_BY_TABLE, "64211234567", ONENZ, "64211234567");
    assert_ptr_equal(carrier_map_swap_table(map, NULL), one);
    expect_row(map, CARRIER_BY_TABLE, "64211234567", NAME_NONE, "");
    carrier_map_free(map);
    numbers_close(overrides);
    numbers_close(table);
    numbers_close(one);
}

static void expect_read(const struct carrier_map *map, uint8_t ton, const char *sent, const char *digits,
                        enum number_form form, uint8_t carrier, enum carrier_step step)
{
    struct number_read read;
    struct carrier_choice choice =
        carrier_choose_read(map, routes, ton, (const uint8_t *)sent, strlen(sent), &read);
    assert_int_equal(choice.carrier, carrier);
    assert_int_equal(choice.step, step);
    assert_int_equal(read.form, form);
    assert_string_equal(read.digits, digits);
}

static void other_forms_find_the_same(void **state)
{
    (void)state;
    struct carrier_map *map = new_zealand();
    struct number_rules rules = number_rules_of("64", "0", "00");
    struct numbers *table = numbers_of("64211234567", SPARK);
    carrier_map_set_numbers(map, NULL, table);
    expect_read(map, NUMBER_TON_UNKNOWN, "0211234567", "0211234567", NUMBER_AS_SENT, OTHER,
                CARRIER_BY_DEFAULT);
    carrier_map_set_rules(map, &rules);
    expect_read(map, NUMBER_TON_UNKNOWN, "0211234567", "64211234567", NUMBER_BY_NATIONAL_PREFIX, SPARK,
                CARRIER_BY_TABLE);
    expect_read(map, NUMBER_TON_UNKNOWN, "0064211234567", "64211234567", NUMBER_BY_INTERNATIONAL_PREFIX,
                SPARK, CARRIER_BY_TABLE);
    expect_read(map, NUMBER_TON_NATIONAL, "211234567", "64211234567", NUMBER_BY_TON, SPARK, CARRIER_BY_TABLE);
    expect_read(map, NUMBER_TON_UNKNOWN, "+64211234567", "64211234567", NUMBER_AS_SENT, SPARK,
                CARRIER_BY_TABLE);
    /* a TON that is wrong: nothing knows 6464..., and the number is one as it stands */
    expect_read(map, NUMBER_TON_NATIONAL, "64211234567", "64211234567", NUMBER_AS_SENT, SPARK,
                CARRIER_BY_TABLE);
    /* national digits that look like another country's */
    assert_int_equal(carrier_map_add(map, "27", SKINNY), CARRIER_MAP_ADDED);
    expect_read(map, NUMBER_TON_UNKNOWN, "275550001", "275550001", NUMBER_AS_SENT, SKINNY, CARRIER_BY_PREFIX);
    expect_read(map, NUMBER_TON_NATIONAL, "275550001", "64275550001", NUMBER_BY_TON, SPARK,
                CARRIER_BY_PREFIX);
    expect_read(map, NUMBER_TON_NATIONAL, "99", "6499", NUMBER_BY_TON, OTHER, CARRIER_BY_DEFAULT);
    carrier_map_free(map);
    numbers_close(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_prefix_wins),
        cmocka_unit_test(odd_addresses_get_the_default),
        cmocka_unit_test(no_octet_is_taken_for_a_digit),
        cmocka_unit_test(prefixes_are_checked),
        cmocka_unit_test(many_prefixes_agree_with_a_plain_search),
        cmocka_unit_test(the_first_that_knows_the_number_decides),
        cmocka_unit_test(a_number_set_in_the_table_comes_first),
        cmocka_unit_test(the_row_that_says_so_is_told),
        cmocka_unit_test(other_forms_find_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
