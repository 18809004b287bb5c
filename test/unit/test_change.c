/* change.c: entries of the stream become changes, and changes the next table; what is malformed is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "routing/change.h"

#define CHAIN_1 "1111111111111111111111111111111111111111"
#define CHAIN_2 "2222222222222222222222222222222222222222"

enum { FIELDS_MAX = 24 };

struct entry_text {
    const char *fields[FIELDS_MAX];
    size_t lens[FIELDS_MAX];
    size_t count;
};

static void put(struct entry_text *entry, const char *field, const char *value)
{
    for (size_t i = 0; i < entry->count; i += 2)
        if (strcmp(entry->fields[i], field) == 0) {
            entry->fields[i + 1] = value;
            entry->lens[i + 1] = strlen(value);
            return;
        }
    entry->fields[entry->count] = field;
    entry->lens[entry->count++] = strlen(field);
    entry->fields[entry->count] = value;
    entry->lens[entry->count++] = strlen(value);
}

static struct entry_text entry_of(const char *kind, const char *moves)
{
    struct entry_text entry = {.count = 0};
    put(&entry, "kind", kind);
    put(&entry, "at", "1700000000999");
    put(&entry, "who", "ann");
    put(&entry, "why", "cut over");
    put(&entry, "ticket", "T-1");
    put(&entry, "parent", CHAIN_1);
    put(&entry, "chain", CHAIN_2);
    put(&entry, "later", "a field of a newer release");
    if (moves != NULL)
        put(&entry, "moves", moves);
    return entry;
}

static struct change *parse(const struct entry_text *entry, const char **reason)
{
    return change_parse(7, entry->fields, entry->lens, entry->count, reason);
}

static void an_entry_is_read(void **state)
{
    (void)state;
    const char *reason = NULL;
    struct entry_text entry =
        entry_of("flip", "1234 spark redx hold omni open redx\n* one.nz - - redx closed -\n"
                         "Brand-\"1 spark omni open - - -");
    struct change *change = parse(&entry, &reason);
    assert_non_null(change);
    assert_int_equal(change->version, 7);
    assert_true(change->at_ms == UINT64_C(1700000000999));
    assert_string_equal(change->kind, "flip");
    assert_false(change->restore);
    assert_string_equal(change->who, "ann");
    assert_string_equal(change->why, "cut over");
    assert_string_equal(change->ticket, "T-1");
    assert_string_equal(change->parent, CHAIN_1);
    assert_string_equal(change->chain, CHAIN_2);
    assert_int_equal(change->moves_count, 3);
    const struct change_move *move = change->moves;
    assert_string_equal(move[0].shortcode, "1234");
    assert_string_equal(move[0].carrier, "spark");
    assert_string_equal(move[0].from, "redx");
    assert_int_equal(move[0].from_state, ROUTE_HOLD);
    assert_string_equal(move[0].to, "omni");
    assert_int_equal(move[0].state, ROUTE_OPEN);
    assert_string_equal(move[0].previous, "redx");
    assert_string_equal(move[1].from, "");
    assert_int_equal(move[1].state, ROUTE_CLOSED);
    assert_string_equal(move[1].previous, "");
    assert_string_equal(move[2].shortcode, "Brand-\"1");
    assert_string_equal(move[2].to, "");
    change_free(change);

    entry = entry_of("restore", NULL);
    put(&entry, "parent", ""); /* the first change of a history */
    change = parse(&entry, &reason);
    assert_non_null(change);
    assert_true(change->restore);
    assert_int_equal(change->moves_count, 0);
    change_free(change);
    change_free(NULL);
}

static void a_malformed_entry_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *field, *value, *reason;
    } cases[] = {
        {"kind", "merge", "its kind is not known"},
        {"kind", "", "its kind is not known"},
        {"at", "", "its time is malformed"},
        {"at", "-5", "its time is malformed"},
        {"at", "9999999999999999999", "its time is malformed"},
        {"chain", "", "its chain is malformed"},
        {"chain", "1111", "its chain is malformed"},
        {"chain", "111111111111111111111111111111111111111G", "its chain is malformed"},
        {"parent", "12", "its parent is malformed"},
        {"moves", "", "a move is malformed"},
        {"moves", "1234 spark redx open omni open", "a move is malformed"},
        {"moves", "1234 spark redx open omni open redx x y", "a move is malformed"},
        {"moves", "1234 spark redx open omni open redx\n", "a move is malformed"},
        {"moves", "1234  spark redx open omni open", "a move is malformed"},
        {"moves", "1234 spark redx opened omni open redx", "a move is malformed"},
        {"moves", "1234 spark redx - omni open redx", "a move is malformed"},
        {"moves", "1234 spark - open omni open redx", "a move is malformed"},
        {"moves", "123456789012345678901 spark redx open omni open redx", "a move is malformed"},
        {"moves", "1 12345678901234567890123456789012 redx open omni open redx", "a move is malformed"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *reason = NULL;
        struct entry_text entry = entry_of("flip", "1234 spark redx hold omni open redx");
        put(&entry, cases[i].field, cases[i].value);
        assert_null(parse(&entry, &reason));
        assert_string_equal(reason, cases[i].reason);
    }
    static const char *const required[] = {"kind", "at", "who", "parent", "chain", "moves"};
    for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
        const char *reason = NULL;
        struct entry_text entry = entry_of("flip", "1234 spark redx hold omni open redx");
        for (size_t f = 0; f < entry.count; f += 2)
            if (strcmp(entry.fields[f], required[i]) == 0)
                entry.fields[f] = "gone", entry.lens[f] = 4;
        assert_null(parse(&entry, &reason));
        assert_non_null(reason);
    }
}

static struct table *apply(const struct table *base, struct names *names, const char *at, const char *moves)
{
    const char *reason = NULL;
    struct entry_text entry = entry_of("set", moves);
    put(&entry, "at", at);
    struct change *change = parse(&entry, &reason);
    assert_non_null(change);
    struct table *next = change_apply(base, change, names);
    change_free(change);
    return next;
}

static void a_change_makes_the_next_table(void **state)
{
    (void)state;
    struct names names = {0};
    struct route route;
    struct table *empty = table_new();
    struct table *first =
        apply(empty, &names, "5000", "1 spark - - redx open - omni\n2 spark - - redx open -");
    struct table *second =
        apply(first, &names, "9000", "1 spark redx open omni open redx\n2 spark redx open redx hold -");
    struct table *third =
        apply(second, &names, "12000", "1 spark omni open omni closed redx\n2 spark redx hold - - -");
    uint8_t spark = names_find(&names, "spark"), redx = names_find(&names, "redx"),
            omni = names_find(&names, "omni");

    assert_int_equal(table_version(third), 7);
    assert_true(table_cell(first, "1", spark, &route));
    assert_true(route.platform == redx && route.changed == 5 && route.previous == NAME_NONE);
    assert_int_equal(route.next, omni);
    assert_true(table_cell(second, "1", spark, &route));
    assert_true(route.platform == omni && route.changed == 9 && route.previous == redx);
    assert_int_equal(route.next, NAME_NONE);
    assert_true(table_cell(second, "2", spark, &route));
    assert_true(route.platform == redx && route.state == ROUTE_HOLD &&
                route.changed == 5); /* the state alone */
    assert_true(table_cell(third, "1", spark, &route));
    assert_true(route.state == ROUTE_CLOSED && route.changed == 9 && route.previous == redx);
    assert_false(table_cell(third, "2", spark, &route));
    assert_int_equal(table_count(third), 1);
    assert_int_equal(table_count(second), 2);
    table_free(empty);
    table_free(first);
    table_free(second);
    table_free(third);
}

static void a_change_that_cannot_be_applied_makes_no_table(void **state)
{
    (void)state;
    struct names names = {0};
    struct table *empty = table_new();
    assert_null(apply(empty, &names, "5000", "1 spark - - redx open -\n2 sp/ark - - redx open -"));
    assert_null(apply(empty, &names, "5000", "1 spark - - re/dx open -"));
    assert_null(apply(empty, &names, "5000", "1 spark - - redx open om/ni"));
    assert_null(apply(empty, &names, "5000", "1 - - - redx open -"));
    names.count = NAMES_MAX;
    assert_null(apply(empty, &names, "5000", "1 more - - redx open -"));
    assert_int_equal(table_count(empty), 0);

    const char *reason = NULL;
    struct entry_text entry = entry_of("restore", NULL);
    struct change *change = parse(&entry, &reason);
    assert_null(change_apply(empty, change, &names)); /* it says nothing about cells */
    change_free(change);
    table_free(empty);
}

static void values_are_read_and_written(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "redx",
                                      "redx open - 5",
                                      "redx open - x 1",
                                      "redx open - 5 -1",
                                      "redx opened - 5 1",
                                      "- open - 5 1",
                                      "re/dx open - 5 1",
                                      "redx open om/ni 5 1",
                                      "redx - - 5 1",
                                      " redx open - 5 1",
                                      "redx open - 5 1 om/ni",
                                      "redx open - 5 1 omni omni",
                                      "redx open - 5 1 "};
    struct names names = {0};
    struct route route;
    char value[ROUTE_VALUE_MAX];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(route_value_parse(bad[i], strlen(bad[i]), &names, &route));

    const char *good = "omni hold redx 1700000000999 41";
    assert_true(route_value_parse(good, strlen(good), &names, &route));
    assert_string_equal(names_get(&names, route.platform), "omni");
    assert_string_equal(names_get(&names, route.previous), "redx");
    assert_int_equal(route.state, ROUTE_HOLD);
    assert_int_equal(route.changed, 1700000000);
    route_value_print(value, &route, &names, 42);
    assert_string_equal(value, "omni hold redx 1700000000000 42");
    route.previous = NAME_NONE;
    route_value_print(value, &route, &names, 42);
    assert_string_equal(value, "omni hold - 1700000000000 42");
    assert_int_equal(route.next, NAME_NONE);
    const char *moving = "redx open - 1700000000999 41 omni";
    assert_true(route_value_parse(moving, strlen(moving), &names, &route));
    assert_string_equal(names_get(&names, route.next), "omni");
    route_value_print(value, &route, &names, 42);
    assert_string_equal(value, "redx open - 1700000000000 42 omni");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_is_read),
        cmocka_unit_test(a_malformed_entry_is_refused_with_a_reason),
        cmocka_unit_test(a_change_makes_the_next_table),
        cmocka_unit_test(a_change_that_cannot_be_applied_makes_no_table),
        cmocka_unit_test(values_are_read_and_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
