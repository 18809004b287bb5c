/* What an instance says about a number and about its table. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/number_answers.h"
#include "routing/numbers_build.h"

enum { SPARK, ONENZ };

static struct numbers *table_of(const char *numbers, const char *carrier, uint8_t id)
{
    struct numbers_builder *builder = numbers_builder_new();
    struct numbers_image image;
    char error[200];
    assert_null(numbers_builder_add(builder, numbers, carrier, 1));
    assert_true(numbers_build(builder, "2026-11", 7, NULL, NULL, &image));
    numbers_builder_free(builder);
    struct numbers *table = numbers_adopt(image.data, image.size, error, sizeof error);
    assert_non_null(table);
    numbers_call(table, 0, id);
    return table;
}

static struct config_carrier carriers[] = {{.name = (char *)(uintptr_t) "spark", .id = SPARK},
                                           {.name = (char *)(uintptr_t) "onenz", .id = ONENZ}};

static struct config_client clients[] = {
    {.system_id = (char *)(uintptr_t) "acme", .carrier_tlv = 0x1400},
    {.system_id = (char *)(uintptr_t) "other"},
};

static struct config *config_with(struct numbers *overrides, struct numbers *table)
{
    static struct config config;
    memset(&config, 0, sizeof config);
    config.carrier_of[SPARK] = &carriers[SPARK];
    config.carrier_of[ONENZ] = &carriers[ONENZ];
    config.clients = clients;
    config.clients_count = 2;
    config.portability_table = (char *)(uintptr_t) "/x";
    config.numbers = table;
    config.overrides = overrides;
    config.carrier_map = carrier_map_new(NAME_NONE);
    assert_int_equal(carrier_map_add(config.carrier_map, "6427", SPARK), CARRIER_MAP_ADDED);
    carrier_map_set_numbers(config.carrier_map, overrides, table);
    return &config;
}

static void drop(struct config *config)
{
    carrier_map_free(config->carrier_map);
    numbers_close(config->numbers);
    numbers_close(config->overrides);
}

static void expect(json_t *answer, const char *text)
{
    char *got = json_dumps(answer, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(got, text);
    free(got);
    json_decref(answer);
}

static void every_step_is_told(void **state)
{
    (void)state;
    struct config *config = config_with(table_of("64271", "spark", SPARK), table_of("6427*", "onenz", ONENZ));
    json_t *answer = number_answers_explain(config, NULL, 0, "64271");
    assert_int_equal(json_object_del(answer, "table"), 0);
    expect(answer, "{\"by\":{\"default\":null,\"override\":\"spark\",\"prefix\":\"spark\",\"set\":null,"
                   "\"table\":\"onenz\"},"
                   "\"carrier\":\"spark\",\"form\":\"as_sent\",\"number\":\"64271\",\"read\":\"64271\","
                   "\"row\":\"64271\",\"rows\":{\"default\":null,\"override\":\"64271\",\"prefix\":\"6427\","
                   "\"set\":null,\"table\":\"64270-64279\"},\"step\":\"override\",\"tlv_clients\":[\"acme\"],"
                   "\"tlv_clients_left_out\":0}");
    answer = number_answers_explain(config, NULL, 0, "64272");
    assert_string_equal(json_string_value(json_object_get(answer, "step")), "table");
    json_decref(answer);
    drop(config);
}

static void nobody_knows_it(void **state)
{
    (void)state;
    struct config *config = config_with(NULL, NULL);
    expect(number_answers_explain(config, NULL, 0, "1"),
           "{\"by\":{\"default\":null,\"override\":null,\"prefix\":null,\"set\":null,\"table\":null},"
           "\"carrier\":null,\"form\":\"as_sent\","
           "\"number\":\"1\",\"read\":\"1\",\"row\":null,\"rows\":{\"default\":null,\"override\":null,"
           "\"prefix\":null,\"set\":null,\"table\":null},\"step\":\"none\",\"table\":null,\"tlv_clients\":["
           "\"acme\"],"
           "\"tlv_clients_left_out\":0}");
    drop(config);
}

static void the_table_says_what_it_is(void **state)
{
    (void)state;
    struct config *config = config_with(NULL, table_of("6427*", "onenz", ONENZ));
    json_t *table = number_answers_table(config);
    assert_int_equal(strlen(json_string_value(json_object_get(table, "checksum"))), 16);
    assert_int_equal(json_object_del(table, "checksum"), 0);
    expect(table, "{\"bounds\":24,\"built_ms\":7000,\"file\":\"/"
                  "x\",\"numbers\":0,\"octets\":4304,\"version\":\"2026-11\"}");
    drop(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_step_is_told),
        cmocka_unit_test(nobody_knows_it),
        cmocka_unit_test(the_table_says_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
