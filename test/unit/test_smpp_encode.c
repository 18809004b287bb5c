/* What is written is what was meant: exact octets, round trips through the views, and every buffer too short.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "smpp/constants.h"
#include "smpp/encode.h"
#include "test/unit/smpp_assert.h"
#include "test/unit/smpp_samples.h"

static const struct smpp_span no_tlvs = {NULL, 0};

static void a_refusal_for_every_command(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        uint32_t id = samples[i].command_id;
        bool nacked = (id & 0x80000000) != 0 || id == SMPP_OUTBIND || id == SMPP_ALERT_NOTIFICATION;
        bool has_id = id == 0x04 || id == 0x05 || id == 0x103 || id == 0x21;
        uint8_t *out = guard_room(SMPP_REFUSAL_MAX);
        size_t len = smpp_encode_refusal(out, id, 7, 0x58, false);
        assert_int_equal(len, 16);
        assert_header(out, len, nacked ? 0x80000000 : id | 0x80000000, 0x58, 7);
        len = smpp_encode_refusal(out, id, 7, 0x58, true);
        assert_int_equal(len, has_id ? 17 : 16);
        assert_true(len == 16 || out[16] == 0);
        assert_header(out, len, nacked ? 0x80000000 : id | 0x80000000, 0x58, 7);
    }
    uint8_t *out = guard_room(SMPP_REFUSAL_MAX);
    assert_header(out, smpp_encode_refusal(out, 0x00000111, 7, 3, true), 0x80000000, 3, 7);
}

static void a_generic_nack(void **state)
{
    (void)state;
    uint8_t *out = guard_room(SMPP_HEADER_LEN);
    assert_int_equal(smpp_encode_generic_nack(out, 0, ESME_RINVCMDLEN), 16);
    assert_header(out, 16, 0x80000000, 2, 0);
}

static void bind_responses_say_the_version_or_nothing(void **state)
{
    (void)state;
    struct smpp_bind_resp_view v;
    uint8_t *out = guard_room(64);
    size_t len = smpp_encode_bind_resp(out, 64, SMPP_BIND_TRANSCEIVER, 9, 0, "proxy", 0x34);
    assert_header(out, len, 0x80000009, 0, 9);
    assert_true(smpp_view_bind_resp(out, len, &v));
    assert_span(v.system_id, "proxy");
    assert_int_equal(v.sc_interface_version, 0x34);
    len = smpp_encode_bind_resp(out, 64, SMPP_BIND_RECEIVER, 9, 0, "proxy", -1);
    assert_int_equal(len, 16 + 6);
    assert_header(out, len, 0x80000001, 0, 9);
    len = smpp_encode_bind_resp(out, 64, SMPP_BIND_RECEIVER, 9, ESME_RBINDFAIL, "proxy", 0x34);
    assert_int_equal(len, 16);
    assert_header(out, len, 0x80000001, 0x0D, 9);
}

static const struct smpp_bind_fields bind_fields = {
    SMPP_BIND_TRANSMITTER, SAMPLE_SEQUENCE, "client", "secret", "VMA", 0x34, 1, 1, "40*"};

static void a_bind_is_the_sample(void **state)
{
    (void)state;
    uint8_t expected[SAMPLE_MAX];
    size_t size = sample_of(SMPP_BIND_TRANSMITTER, expected);
    uint8_t *ours = guard_room(size);
    assert_int_equal(smpp_encode_bind(ours, size, &bind_fields), size);
    assert_memory_equal(ours, expected, size);
    assert_fits_exactly(size, smpp_encode_bind(room, cap, &bind_fields));
}

static struct smpp_message_fields message_fields(uint32_t id)
{
    return (struct smpp_message_fields){
        .command_id = id,
        .sequence_number = SAMPLE_SEQUENCE,
        .source_ton = 3,
        .source = "4040",
        .dest_ton = 1,
        .dest_npi = 1,
        .dest = "64211234567",
        .registered_delivery = 1,
    };
}

static void a_submit_sm_is_the_sample(void **state)
{
    (void)state;
    static const char tlvs[] = "\x02\x04\x00\x02\x12\x34\x14\x01\x00\x03xyz";
    uint8_t expected[SAMPLE_MAX];
    size_t size = sample_of(SMPP_SUBMIT_SM, expected);
    struct smpp_message_fields f = message_fields(SMPP_SUBMIT_SM);
    f.text = (struct smpp_span){(const uint8_t *)"hello", 5};
    f.tlvs = (struct smpp_span){(const uint8_t *)tlvs, sizeof tlvs - 1};
    uint8_t *ours = guard_room(size);
    assert_int_equal(smpp_encode_message(ours, size, &f), size);
    assert_memory_equal(ours, expected, size);
    assert_fits_exactly(size, smpp_encode_message(room, cap, &f));
}

static void a_data_sm_is_the_sample(void **state)
{
    (void)state;
    static const char tlvs[] = "\x04\x24\x00\x05hello";
    uint8_t expected[SAMPLE_MAX];
    size_t size = sample_of(SMPP_DATA_SM, expected);
    struct smpp_message_fields f = message_fields(SMPP_DATA_SM);
    f.service_type = "WAP";
    f.data_coding = 4;
    f.tlvs = (struct smpp_span){(const uint8_t *)tlvs, sizeof tlvs - 1};
    uint8_t *ours = guard_room(size);
    assert_int_equal(smpp_encode_message(ours, size, &f), size);
    assert_memory_equal(ours, expected, size);
    f.text = (struct smpp_span){(const uint8_t *)"x", 1};
    assert_int_equal(smpp_encode_message(guard_room(SAMPLE_MAX), SAMPLE_MAX, &f), 0);
}

static void all_fields_of_a_message_come_back(void **state)
{
    (void)state;
    struct smpp_message_view v;
    struct smpp_message_fields f = message_fields(SMPP_DELIVER_SM);
    uint8_t text[255];
    memset(text, 0, sizeof text);
    f.esm_class = 0x44;
    f.data_coding = 8;
    f.service_type = "CMT";
    f.schedule_delivery_time = "000001000000000R";
    f.validity_period = "000002000000000R";
    f.text = (struct smpp_span){text, 255};
    uint8_t *out = guard_room(SAMPLE_MAX);
    size_t len = smpp_encode_message(out, SAMPLE_MAX, &f);
    assert_header(out, len, SMPP_DELIVER_SM, 0, SAMPLE_SEQUENCE);
    assert_true(smpp_view_message(out, len, &v));
    assert_span(v.service_type, "CMT");
    assert_span(v.source.digits, "4040");
    assert_span(v.dest.digits, "64211234567");
    assert_int_equal(v.esm_class, 0x44);
    assert_int_equal(v.registered_delivery, 1);
    assert_int_equal(v.data_coding, 8);
    assert_int_equal(v.text.len, 255);
    assert_int_equal(v.tlvs.len, 0);
}

static void what_cannot_be_written_is_not(void **state)
{
    (void)state;
    uint8_t text[256] = {0};
    struct smpp_message_fields f = message_fields(SMPP_SUBMIT_SM);
    f.text = (struct smpp_span){text, 256};
    assert_int_equal(smpp_encode_message(guard_room(1024), 1024, &f), 0);
    f = message_fields(SMPP_QUERY_SM);
    assert_int_equal(smpp_encode_message(guard_room(1024), 1024, &f), 0);
}

static void responses_with_an_id(void **state)
{
    (void)state;
    struct smpp_span id;
    struct smpp_span tlvs = {(const uint8_t *)"\x14\x00\x00\x00", 4};
    uint8_t *out = guard_room(64);
    size_t len = smpp_encode_id_resp(out, 64, 0x80000004, 5, 0, "0a1b", tlvs);
    assert_int_equal(len, 16 + 5 + 4);
    assert_header(out, len, 0x80000004, 0, 5);
    assert_true(smpp_view_response_id(out, len, &id));
    assert_span(id, "0a1b");
    assert_int_equal(smpp_encode_id_resp(out, 64, 0x80000004, 5, 0x458, "", no_tlvs), 17);
    assert_int_equal(smpp_encode_id_resp(out, 64, 0x80000004, 5, 0x458, NULL, no_tlvs), 16);
    assert_fits_exactly(25U, smpp_encode_id_resp(room, cap, 0x80000004, 5, 0, "0a1b", tlvs));
}

static void one_tlv(void **state)
{
    (void)state;
    uint8_t *ours = guard_room(7);
    assert_int_equal(smpp_encode_tlv(ours, 7, 0x0424, "abc", 3), 7);
    assert_memory_equal(ours,
                        "\x04\x24\x00\x03"
                        "abc",
                        7);
    assert_fits_exactly(7U, smpp_encode_tlv(room, cap, 0x0424, "abc", 3));
    assert_fits_exactly(4U, smpp_encode_tlv(room, cap, 0x0424, NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refusal_for_every_command),
        cmocka_unit_test(a_generic_nack),
        cmocka_unit_test(bind_responses_say_the_version_or_nothing),
        cmocka_unit_test(a_bind_is_the_sample),
        cmocka_unit_test(a_submit_sm_is_the_sample),
        cmocka_unit_test(a_data_sm_is_the_sample),
        cmocka_unit_test(all_fields_of_a_message_come_back),
        cmocka_unit_test(what_cannot_be_written_is_not),
        cmocka_unit_test(responses_with_an_id),
        cmocka_unit_test(one_tlv),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
