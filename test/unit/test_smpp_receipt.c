/* Receipts as they come: the id in the TLV, in the text, in both, in neither. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "smpp/receipt.h"
#include "test/unit/guard.h"
#include "test/unit/smpp_samples.h"

static struct smpp_span span_of(const char *text)
{
    return (struct smpp_span){(const uint8_t *)text, (uint32_t)strlen(text)};
}

static void assert_is(struct smpp_span span, const char *text)
{
    assert_int_equal(span.len, strlen(text));
    assert_memory_equal(span.p, text, span.len);
}

static void which_esm_class_is_a_receipt(void **state)
{
    (void)state;
    static const uint8_t yes[] = {0x04, 0x08, 0x10, 0x20, 0x24, 0x44, 0xC4, 0x07};
    static const uint8_t no[] = {0x00, 0x01, 0x03, 0x40, 0x80, 0xC0, 0xC3};
    for (size_t i = 0; i < sizeof yes; i++)
        assert_true(smpp_is_receipt(yes[i]));
    for (size_t i = 0; i < sizeof no; i++)
        assert_false(smpp_is_receipt(no[i]));
}

static const char appendix_b[] =
    "id:0123456789 sub:001 dlvrd:001 submit date:0610190851 done date:0610190951 "
    "stat:DELIVRD err:000 text:Hello id:7";

static void fields_of_the_text(void **state)
{
    (void)state;
    static const char *const expected[][2] = {
        {"id", "0123456789"},        {"sub", "001"},      {"dlvrd", "001"}, {"submit date", "0610190851"},
        {"done date", "0610190951"}, {"stat", "DELIVRD"}, {"ERR", "000"},   {"text", "Hello"},
    };
    struct smpp_span value;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_true(smpp_receipt_field(span_of(appendix_b), expected[i][0], &value));
        assert_is(value, expected[i][1]);
    }
}

static void what_is_not_a_field(void **state)
{
    (void)state;
    struct smpp_span value = {NULL, 9};
    assert_false(smpp_receipt_field(span_of("sub:001 text:x id:7"), "id", &value));
    assert_false(smpp_receipt_field(span_of("subid:001"), "id", &value));
    assert_false(smpp_receipt_field(span_of("id 001"), "id", &value));
    assert_false(smpp_receipt_field(span_of("id"), "id", &value));
    assert_false(smpp_receipt_field(span_of(""), "id", &value));
    assert_int_equal(value.len, 9);
}

static void case_and_blanks(void **state)
{
    (void)state;
    struct smpp_span value;
    assert_true(smpp_receipt_field(span_of("Id:7F\r\nStat:UNDELIV"), "id", &value));
    assert_is(value, "7F");
    assert_true(smpp_receipt_field(span_of("Id:7F\r\nStat:UNDELIV"), "stat", &value));
    assert_is(value, "UNDELIV");
    assert_true(smpp_receipt_field(span_of("id: 7F"), "id", &value));
    assert_is(value, "");
    assert_true(smpp_receipt_field(span_of("err:000 text:"), "text", &value));
    assert_is(value, "");
}

static void truncated_text_stays_inside(void **state)
{
    (void)state;
    size_t len = strlen(appendix_b);
    for (size_t cut = 0; cut <= len; cut++) {
        struct smpp_span text = {guard_put(appendix_b, cut), (uint32_t)cut};
        struct smpp_span value;
        assert_int_equal(smpp_receipt_field(text, "id", &value), cut >= 3);
        assert_int_equal(smpp_receipt_field(text, "text", &value), cut >= len - strlen("Hello id:7"));
        assert_false(smpp_receipt_field(text, "no such", &value));
    }
}

static bool id_of(const char *text, const void *tlvs, size_t tlvs_len, struct smpp_span *id)
{
    struct smpp_message_view view = {.text = span_of(text)};
    view.tlvs = (struct smpp_span){guard_put(tlvs, tlvs_len), (uint32_t)tlvs_len};
    return smpp_receipt_id(&view, id);
}

static void the_id_is_found_where_it_is(void **state)
{
    (void)state;
    struct smpp_span id;
    assert_true(id_of("id:0042 stat:DELIVRD",
                      "\x00\x1e\x00\x03"
                      "2A\0",
                      7, &id));
    assert_is(id, "2A"); /* as it is: no hex made decimal */
    assert_true(id_of("",
                      "\x00\x1e\x00\x02"
                      "2A",
                      6, &id));
    assert_is(id, "2A"); /* without its NUL */
    assert_true(id_of("id:0042 stat:DELIVRD", "", 0, &id));
    assert_is(id, "0042");
    assert_true(id_of("id:0042", "\x00\x1e\x00\x01\x00", 5, &id));
    assert_is(id, "0042"); /* an empty TLV says nothing */
    assert_true(id_of("",
                      "\x04\x24\x00\x06"
                      "id:0aF",
                      10, &id));
    assert_is(id, "0aF"); /* in message_payload */
}

static void no_id_is_no_id(void **state)
{
    (void)state;
    struct smpp_span id = {NULL, 9};
    assert_false(id_of("", "", 0, &id));
    assert_false(id_of("stat:DELIVRD", "\x04\x27\x00\x01\x02", 5, &id));
    assert_false(id_of("id: stat:DELIVRD", "", 0, &id));
    assert_false(id_of("hello",
                       "\x00\x1e\x00\x09"
                       "2A",
                       6, &id));
    assert_int_equal(id.len, 9);
}

static void a_whole_pdu(void **state)
{
    (void)state;
    uint8_t pdu[SAMPLE_MAX];
    size_t len = sample_of(0x00000005, pdu);
    struct smpp_message_view view;
    struct smpp_span id;
    assert_true(smpp_view_message(guard_put(pdu, len), len, &view));
    assert_true(smpp_is_receipt(view.esm_class));
    assert_true(smpp_receipt_id(&view, &id));
    assert_is(id, "0a1b2c");
}

/* A submit_sm from esm_class on: class, protocol_id, priority, schedule, validity, registered_delivery ... */
static bool wants(const uint8_t *rest, size_t rest_len, uint32_t command_id, size_t cut)
{
    uint8_t pdu[64] = {[7] = (uint8_t)command_id};
    static const uint8_t addresses[] = "\0\0\0"
                                       "5001\0\1\1"
                                       "6421\0";
    struct smpp_address source, dest;
    memcpy(pdu + 16, addresses, sizeof addresses - 1);
    memcpy(pdu + 16 + sizeof addresses - 1, rest, rest_len);
    size_t len = 16 + sizeof addresses - 1 + rest_len - cut;
    const uint8_t *guarded = guard_put(pdu, len);
    assert_true(smpp_view_addresses(guarded, len, &source, &dest));
    return smpp_wants_receipt(guarded, len, command_id, &dest);
}

static void who_wants_a_receipt(void **state)
{
    (void)state;
    static const uint8_t plain[] = {0, 0, 0, 0, 0, 1, 0, 0, 0, 0};
    static const uint8_t failures_only[] = {0, 0, 0, 0, 0, 2, 0, 0, 0, 0};
    static const uint8_t none[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t scheduled[] = {0, 0, 0, '1', 0, '2', '3', 0, 1, 0, 0, 0, 0};
    static const uint8_t valid[] = {0, 0, 0, 0, '1', 0, 0, 0, 0, 0, 0};
    static const uint8_t data[] = {0, 1, 0};
    assert_true(wants(plain, sizeof plain, SMPP_SUBMIT_SM, 0));
    assert_false(wants(failures_only, sizeof failures_only, SMPP_SUBMIT_SM, 0));
    assert_false(wants(none, sizeof none, SMPP_SUBMIT_SM, 0));
    assert_true(wants(scheduled, sizeof scheduled, SMPP_SUBMIT_SM, 0));
    assert_false(wants(valid, sizeof valid, SMPP_SUBMIT_SM, 0));
    assert_true(wants(data, sizeof data, SMPP_DATA_SM, 0));
    for (size_t cut = 1; cut <= sizeof plain; cut++) { /* never past the end */
        (void)wants(plain, sizeof plain, SMPP_SUBMIT_SM, cut);
        (void)wants(scheduled, sizeof scheduled, SMPP_SUBMIT_SM, cut);
    }
    assert_false(wants(data, sizeof data, SMPP_DATA_SM, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which_esm_class_is_a_receipt),
        cmocka_unit_test(fields_of_the_text),
        cmocka_unit_test(what_is_not_a_field),
        cmocka_unit_test(case_and_blanks),
        cmocka_unit_test(truncated_text_stays_inside),
        cmocka_unit_test(the_id_is_found_where_it_is),
        cmocka_unit_test(no_id_is_no_id),
        cmocka_unit_test(a_whole_pdu),
        cmocka_unit_test(who_wants_a_receipt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
