/* choice.c: which carrier a request goes to, by TLV, override, portability table, prefix and default, on its whole
 * way from a client to an SMSC. */
#include "forward_world.h"

#include <sys/mman.h>

#include "proxy/choice.h"
#include "routing/numbers_build.h"

static const struct setup plain_setup = {.root = ""};

enum { CARRIER_TAG = 0x1400, OTHER_TAG = 0x1401 };

static char table_path[] = "/tmp/test_choice_XXXXXX";

static void write_table(const char *const rows[][2])
{
    struct numbers_builder *builder = numbers_builder_new();
    struct numbers_image image;
    for (unsigned i = 0; rows[i][0] != NULL; i++) {
        assert_null(numbers_builder_add(builder, rows[i][0], rows[i][1], i + 1));
    }
    assert_true(numbers_build(builder, "t", 0, NULL, NULL, &image));
    numbers_builder_free(builder);
    FILE *out = fopen(table_path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(image.data, 1, image.size, out), image.size);
    assert_int_equal(fclose(out), 0);
    munmap(image.data, image.size);
}

static char *setting(const char *format)
{
    static char text[256];
    snprintf(text, sizeof text, format, table_path);
    return text;
}

static size_t put_text(uint8_t *pdu, size_t len, const char *text)
{
    memcpy(pdu + len, text, strlen(text) + 1);
    return len + strlen(text) + 1;
}

static size_t put_tlv(uint8_t *pdu, size_t len, uint16_t tag, const char *value, size_t value_len)
{
    smpp_put16(pdu + len, tag);
    smpp_put16(pdu + len + 2, (uint16_t)value_len);
    memcpy(pdu + len + 4, value, value_len);
    return len + 4 + value_len;
}

/* A submit_sm with two TLVs, the second of them the one that may be configured; value NULL: without it. */
static uint32_t submit_tlv(struct peer *c, const char *to, const char *value, size_t value_len)
{
    uint8_t pdu[256] = {0};
    uint32_t sequence = next_sequence(c);
    size_t len = message(pdu, sizeof pdu, SMPP_SUBMIT_SM, sequence, "5001", to);
    len = put_tlv(pdu, len, OTHER_TAG, "onenz", 5);
    if (value != NULL) {
        len = put_tlv(pdu, len, CARRIER_TAG, value, value_len);
    }
    smpp_put32(pdu, (uint32_t)len);
    send_pdu(c, pdu, len);
    return sequence;
}

/* The request has come by this link; it is answered. */
static void expect_at(struct peer *c, uint32_t id, unsigned link, uint32_t sequence)
{
    run();
    answer(smsc(link), take(smsc(link), id), ESME_ROK, "id");
    run();
    expect_answer(c, id, sequence, ESME_ROK);
}

static uint64_t choices(enum carrier_step step)
{
    return metric_get(&counters()->carrier_choices[step]);
}

static void each_step_comes_before_the_next(void **state)
{
    (void)state;
    write_table((const char *const[][2]){{"64271000001", "onenz"}, {"64271000002", "onenz"}, {NULL, NULL}});
    world_begin(
        &(struct setup){.root = setting("portability-table = \"%s\" default-carrier = \"onenz\"\n"
                                        "number-overrides = { \"64271000001=spark\", \"6499*=spark\" }")});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    expect_at(c, SMPP_SUBMIT_SM, SPARK_REDX, submit(c, "5001", "64271000001"));
    expect_at(c, SMPP_SUBMIT_SM, SPARK_REDX, submit(c, "5001", "649912"));
    expect_at(c, SMPP_SUBMIT_SM, ONENZ_REDX, submit(c, "5001", "+64271000002"));
    expect_at(c, SMPP_SUBMIT_SM, SPARK_REDX, submit(c, "5001", "64271000003"));
    expect_at(c, SMPP_SUBMIT_SM, ONENZ_REDX, submit(c, "5001", "447"));
    assert_int_equal(choices(CARRIER_BY_OVERRIDE), 2);
    assert_int_equal(choices(CARRIER_BY_TABLE), 1);
    assert_int_equal(choices(CARRIER_BY_PREFIX), 1);
    assert_int_equal(choices(CARRIER_BY_DEFAULT), 1);
    assert_int_equal(choices(CARRIER_BY_NONE), 0);
    world_end();
}

static void a_reload_takes_the_new_table_or_none_of_it(void **state)
{
    (void)state;
    static const char *const one[][2] = {{"64271000001", "onenz"}, {NULL, NULL}};
    static const char *const other[][2] = {{"64271000002", "onenz"}, {NULL, NULL}};
    struct setup with = {.root = setting("portability-table = \"%s\"")};
    write_table(one);
    world_begin(&with);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    expect_at(c, SMPP_SUBMIT_SM, ONENZ_REDX, submit(c, "5001", "64271000001"));
    write_table(other); /* nothing happens until it is read */
    expect_at(c, SMPP_SUBMIT_SM, ONENZ_REDX, submit(c, "5001", "64271000001"));
    reload(&with);
    expect_at(c, SMPP_SUBMIT_SM, SPARK_REDX, submit(c, "5001", "64271000001"));
    expect_at(c, SMPP_SUBMIT_SM, ONENZ_REDX, submit(c, "5001", "64271000002"));
    reload(&plain_setup);
    expect_at(c, SMPP_SUBMIT_SM, SPARK_REDX, submit(c, "5001", "64271000002"));
    world_end();
}

static void nobody_knows_the_number(void **state)
{
    (void)state;
    world_begin(&plain_setup);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t sequence = submit(c, "5001", "447");
    run();
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_RINVDSTADR);
    assert_int_equal(choices(CARRIER_BY_NONE), 1);
    world_end();
}

static void a_client_says_the_carrier(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "carrier-tlv = 0x1400"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    expect_at(c, SMPP_SUBMIT_SM, ONENZ_REDX, submit_tlv(c, SPARK, "onenz", 5));
    expect_at(c, SMPP_SUBMIT_SM, ONENZ_REDX, submit_tlv(c, "447", "onenz", 6)); /* with its NUL */
    assert_int_equal(choices(CARRIER_BY_TLV), 2);
    expect_at(c, SMPP_SUBMIT_SM, SPARK_REDX, submit_tlv(c, SPARK, NULL, 0));
    expect_at(c, SMPP_SUBMIT_SM, SPARK_REDX, submit(c, "5001", SPARK));
    assert_int_equal(metric_get(&counters()->carrier_tlv_absent), 2);
    expect_at(c, SMPP_SUBMIT_SM, SPARK_REDX, submit_tlv(c, SPARK, "one", 3));
    expect_at(c, SMPP_SUBMIT_SM, SPARK_REDX, submit_tlv(c, SPARK, "onenz ", 6));
    expect_at(c, SMPP_SUBMIT_SM, SPARK_REDX, submit_tlv(c, SPARK, "", 0));
    assert_int_equal(metric_get(&counters()->carrier_tlv_unknown), 3);
    assert_int_equal(choices(CARRIER_BY_PREFIX), 5);
    world_end();
}

static void the_tlv_of_another_client_says_nothing(void **state)
{
    (void)state;
    world_begin(&plain_setup);
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    expect_at(c, SMPP_SUBMIT_SM, SPARK_REDX, submit_tlv(c, SPARK, "onenz", 5));
    assert_int_equal(choices(CARRIER_BY_TLV), 0);
    assert_int_equal(metric_get(&counters()->carrier_tlv_absent), 0);
    world_end();
}

/* submit_multi to two carriers' numbers, with or without a TLV at its end. */
static uint32_t multi(struct peer *c, const char *value)
{
    static const char *const dests[] = {SPARK, ONENZ};
    uint8_t pdu[256] = {0};
    size_t len = SMPP_HEADER_LEN + 1; /* service_type */
    uint32_t sequence = next_sequence(c);
    len = put_text(pdu, len + 2, "5001");
    pdu[len++] = 2;
    for (unsigned i = 0; i < 2; i++) {
        pdu[len] = 1;
        len = put_text(pdu, len + 3, dests[i]);
    }
    len += 10; /* from esm_class on all is 0 */
    if (value != NULL) {
        len = put_tlv(pdu, len, CARRIER_TAG, value, strlen(value));
    }
    smpp_put_header(pdu, &(struct smpp_header){(uint32_t)len, SMPP_SUBMIT_MULTI, 0, sequence});
    send_pdu(c, pdu, len);
    return sequence;
}

static void a_client_says_the_carrier_of_them_all(void **state)
{
    (void)state;
    world_begin(&(struct setup){.client = "carrier-tlv = 0x1400"});
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    expect_at(c, SMPP_SUBMIT_MULTI, ONENZ_REDX, multi(c, "onenz"));
    uint32_t absent = multi(c, NULL), unknown = multi(c, "one");
    run();
    expect_answer(c, SMPP_SUBMIT_MULTI, absent, ESME_RSUBMITFAIL);
    expect_answer(c, SMPP_SUBMIT_MULTI, unknown, ESME_RSUBMITFAIL);
    assert_int_equal(choices(CARRIER_BY_TLV), 1);
    assert_int_equal(choices(CARRIER_BY_PREFIX), 4);
    world_end();
}

static int begin(void **state)
{
    int fd = mkstemp(table_path);
    return fd < 0 || close(fd) != 0 ? -1 : be_quiet(state);
}

static int end(void **state)
{
    return unlink(table_path) != 0 ? -1 : be_done(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_step_comes_before_the_next),
        cmocka_unit_test(a_reload_takes_the_new_table_or_none_of_it),
        cmocka_unit_test(nobody_knows_the_number),
        cmocka_unit_test(a_client_says_the_carrier),
        cmocka_unit_test(the_tlv_of_another_client_says_nothing),
        cmocka_unit_test(a_client_says_the_carrier_of_them_all),
    };
    return cmocka_run_group_tests_name("choice", tests, begin, end);
}
