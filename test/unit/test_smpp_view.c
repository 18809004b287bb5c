/* Views of PDUs written by hand: every field, every truncation against the wall, and what real peers send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "smpp/constants.h"
#include "smpp/tlv.h"
#include "smpp/view.h"
#include "test/unit/smpp_assert.h"
#include "test/unit/smpp_samples.h"

/* A sample against the wall. */
static const uint8_t *placed(uint32_t command_id, size_t *len)
{
    uint8_t pdu[SAMPLE_MAX];
    *len = sample_of(command_id, pdu);
    return guard_put(pdu, *len);
}

/* A PDU of this body against the wall. */
static const uint8_t *placed_body(uint32_t command_id, const void *body, size_t body_len, size_t *len)
{
    uint8_t pdu[SAMPLE_MAX];
    *len = sample_make(pdu, command_id, 0, body, body_len);
    return guard_put(pdu, *len);
}

static void addresses_of_the_three_messages(void **state)
{
    (void)state;
    static const uint32_t ids[] = {SMPP_SUBMIT_SM, SMPP_DATA_SM};
    struct smpp_address source;
    struct smpp_address dest;
    size_t len;
    for (size_t i = 0; i < 2; i++) {
        const uint8_t *pdu = placed(ids[i], &len);
        assert_true(smpp_view_addresses(pdu, len, &source, &dest));
        assert_span(source.digits, "4040");
        assert_int_equal(source.ton, 3);
        assert_int_equal(source.npi, 0);
        assert_span(dest.digits, "64211234567");
        assert_int_equal(dest.ton, 1);
        assert_int_equal(dest.npi, 1);
    }
    const uint8_t *pdu = placed(SMPP_DELIVER_SM, &len);
    assert_true(smpp_view_addresses(pdu, len, &source, &dest));
    assert_span(source.digits, "64211234567");
    assert_span(dest.digits, "4040");
}

/* The NUL in every place of the step of eight, with the wall right behind it and without. */
static void strings_of_every_length_end_where_they_end(void **state)
{
    (void)state;
    for (size_t n = 0; n < 70; n++) {
        uint8_t body[160] = {0};
        struct smpp_address source;
        struct smpp_address dest;
        size_t len;
        memset(body + 3, 0xFF, n);
        memset(body + 3 + n + 3, 0x81, n);
        size_t body_len = 3 + n + 1 + 2 + n + 1;
        const uint8_t *pdu = placed_body(SMPP_SUBMIT_SM, body, body_len, &len);
        assert_true(smpp_view_addresses(pdu, len, &source, &dest));
        assert_int_equal(source.digits.len, n);
        assert_int_equal(dest.digits.len, n);
        assert_ptr_equal(dest.digits.p, pdu + 16 + 3 + n + 3);
        assert_false(smpp_view_addresses(pdu, len - 1, &source, &dest));
    }
}

static void octets_next_to_nul_are_not_taken_for_one(void **state)
{
    (void)state;
    for (unsigned octet = 1; octet < 256; octet++) {
        uint8_t body[64] = {0};
        struct smpp_address source;
        struct smpp_address dest;
        size_t len;
        memset(body + 3, (int)octet, 20);
        const uint8_t *pdu = placed_body(SMPP_SUBMIT_SM, body, sizeof body, &len);
        assert_true(smpp_view_addresses(pdu, len, &source, &dest));
        assert_int_equal(source.digits.len, 20);
    }
}

/* Offsets in the PDU at which a view of the sample becomes readable, counted by hand. */
enum {
    ADDRESSES_END = 16 + 1 + 2 + 5 + 2 + 12,
    SUBMIT_TEXT_END = ADDRESSES_END + 3 + 1 + 1 + 5 + 5,
    DATA_FIELDS_END = ADDRESSES_END + 3 + 3,
};

/* A string of one length after the other, one octet of text more each time. */
static size_t put_string(uint8_t *to, size_t len)
{
    memset(to, 'x', len);
    to[len] = 0;
    return len + 1;
}

static void assert_same_address(const struct smpp_address *one, const struct smpp_address *other)
{
    assert_true(one->ton == other->ton && one->npi == other->npi && one->digits.p == other->digits.p &&
                one->digits.len == other->digits.len);
}

/* Short ones that stand together and long ones are looked for in different ways: with all lengths about where the one
 * ends and the other begins, the one says what the field by field walk of the whole message says. */
static void addresses_of_all_lengths_are_those_of_the_message(void **state)
{
    (void)state;
    enum { LONGEST = 36, TON = 1, NPI = 0 };
    for (size_t type = 0; type < 6; type++) {
        for (size_t from = 0; from < LONGEST; from++) {
            for (size_t to = 0; to < LONGEST; to++) {
                uint8_t body[128] = {0};
                size_t at = put_string(body, type);
                body[at] = TON;
                at += 2 + put_string(body + at + 2, from);
                body[at + 1] = NPI;
                at += 2 + put_string(body + at + 2, to);
                struct smpp_message_view all;
                struct smpp_address source, dest;
                size_t len;
                const uint8_t *pdu = placed_body(SMPP_SUBMIT_SM, body, at + 10, &len);
                assert_true(smpp_view_message(pdu, len, &all));
                assert_true(smpp_view_addresses(pdu, len, &source, &dest));
                assert_same_address(&source, &all.source);
                assert_same_address(&dest, &all.dest);
                assert_true(source.ton == TON && dest.digits.len == to);
            }
        }
    }
}

static void addresses_need_all_of_themselves_and_no_more(void **state)
{
    (void)state;
    uint8_t pdu[SAMPLE_MAX];
    size_t len = sample_of(SMPP_SUBMIT_SM, pdu);
    for (size_t cut = 0; cut <= len; cut++) {
        struct smpp_address source = {9, 9, {NULL, 9}};
        struct smpp_address dest = source;
        bool seen = smpp_view_addresses(guard_put(pdu, cut), cut, &source, &dest);
        assert_int_equal(seen, cut >= ADDRESSES_END);
        if (!seen)
            assert_true(source.ton == 9 && dest.ton == 9 && dest.digits.len == 9);
    }
}

static void messages_need_all_up_to_the_text(void **state)
{
    (void)state;
    static const struct {
        uint32_t id;
        size_t end;
    } cases[] = {{SMPP_SUBMIT_SM, SUBMIT_TEXT_END}, {SMPP_DATA_SM, DATA_FIELDS_END}};
    for (size_t i = 0; i < 2; i++) {
        uint8_t pdu[SAMPLE_MAX];
        size_t len = sample_of(cases[i].id, pdu);
        for (size_t cut = 0; cut <= len; cut++) {
            struct smpp_message_view view = {.esm_class = 0x99};
            bool seen = smpp_view_message(guard_put(pdu, cut), cut, &view);
            assert_int_equal(seen, cut >= cases[i].end);
            assert_int_equal(view.esm_class == 0x99, !seen);
            if (seen)
                assert_int_equal(view.tlvs.len, cut - cases[i].end);
        }
    }
}

static void all_fields_of_a_submit_sm(void **state)
{
    (void)state;
    static const char body[] = "CMT\0\x05\x00"
                               "Shop\0\x01\x01"
                               "64271112222\0"
                               "\x40\x7f\x02"
                               "000001000000000R\0"
                               "000002000000000R\0"
                               "\x01\x00\xf5\x07\x03\x05\x00\x03"
                               "\x14\x00\x00\x00";
    size_t len;
    const uint8_t *pdu = placed_body(SMPP_SUBMIT_SM, body, sizeof body - 1, &len);
    struct smpp_message_view v;
    assert_true(smpp_view_message(pdu, len, &v));
    assert_span(v.service_type, "CMT");
    assert_span(v.source.digits, "Shop");
    assert_int_equal(v.source.ton, 5);
    assert_span(v.dest.digits, "64271112222");
    assert_int_equal(v.esm_class, 0x40);
    assert_int_equal(v.registered_delivery, 1);
    assert_int_equal(v.data_coding, 0xf5);
    assert_span(v.text, "\x05\x00\x03");
    assert_span(v.tlvs, "\x14\x00\x00\x00");
}

static void all_fields_of_a_data_sm(void **state)
{
    (void)state;
    size_t len;
    const uint8_t *pdu = placed(SMPP_DATA_SM, &len);
    struct smpp_message_view v;
    assert_true(smpp_view_message(pdu, len, &v));
    assert_span(v.service_type, "WAP");
    assert_int_equal(v.esm_class, 0);
    assert_int_equal(v.registered_delivery, 1);
    assert_int_equal(v.data_coding, 4);
    assert_int_equal(v.text.len, 0);
    assert_span(v.tlvs, "\x04\x24\x00\x05hello");
}

static void other_commands_are_no_messages(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        uint32_t id = samples[i].command_id;
        size_t len;
        struct smpp_message_view view;
        const uint8_t *pdu = placed(id, &len);
        bool is = id == SMPP_SUBMIT_SM || id == SMPP_DELIVER_SM || id == SMPP_DATA_SM;
        assert_int_equal(smpp_view_message(pdu, len, &view), is);
    }
}

static void a_text_of_255_octets(void **state)
{
    (void)state;
    uint8_t body[7 + 10 + 255] = {0};
    struct smpp_message_view v;
    size_t len;
    body[16] = 255;
    const uint8_t *pdu = placed_body(SMPP_DELIVER_SM, body, sizeof body, &len);
    assert_true(smpp_view_message(pdu, len, &v));
    assert_int_equal(v.text.len, 255);
    assert_int_equal(v.tlvs.len, 0);
    assert_false(smpp_view_message(pdu, len - 1, &v));
}

static void a_bind_and_its_truncations(void **state)
{
    (void)state;
    uint8_t pdu[SAMPLE_MAX];
    size_t len = sample_of(SMPP_BIND_TRANSMITTER, pdu);
    struct smpp_bind_view v;
    for (size_t cut = 0; cut < len; cut++)
        assert_false(smpp_view_bind(guard_put(pdu, cut), cut, &v));
    assert_true(smpp_view_bind(guard_put(pdu, len), len, &v));
    assert_span(v.system_id, "client");
    assert_span(v.password, "secret");
    assert_span(v.system_type, "VMA");
    assert_int_equal(v.interface_version, 0x34);
    assert_int_equal(v.range.ton, 1);
    assert_int_equal(v.range.npi, 1);
    assert_span(v.range.digits, "40*");
}

static void long_credentials_pass(void **state)
{
    (void)state;
    static const char body[] = "a-system-id-of-30-octets-1234\0a-long-password\0\0\x50\x00\x00\0";
    size_t len;
    const uint8_t *pdu = placed_body(SMPP_BIND_TRANSCEIVER, body, sizeof body - 1, &len);
    struct smpp_bind_view v;
    assert_true(smpp_view_bind(pdu, len, &v));
    assert_span(v.system_id, "a-system-id-of-30-octets-1234");
    assert_span(v.password, "a-long-password");
    assert_int_equal(v.interface_version, 0x50);
}

static void bind_responses_with_and_without(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        size_t len;
        size_t id_len;
        int version;
        bool readable;
    } cases[] = {
        {"", 0, 0, -1, true},
        {"\0", 1, 0, -1, true},
        {"smsc\0", 5, 4, -1, true},
        {"smsc\0\x02\x10\x00\x01\x34", 10, 4, 0x34, true},
        {"smsc\0\x14\x00\x00\x00\x02\x10\x00\x01\x33", 14, 4, 0x33, true},
        {"smsc\0\x02\x10\x00\x01", 9, 4, -1, true},
        {"smsc\0\x02\x10\x00\x00", 9, 4, -1, true},
        {"smsc\0\x02", 6, 4, -1, true},
        {"smsc", 4, 0, 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t len;
        const uint8_t *pdu = placed_body(0x80000009, cases[i].body, cases[i].len, &len);
        struct smpp_bind_resp_view v = {{NULL, 77}, 77};
        assert_int_equal(smpp_view_bind_resp(pdu, len, &v), cases[i].readable);
        assert_int_equal(v.system_id.len, cases[i].readable ? cases[i].id_len : 77);
        assert_int_equal(v.sc_interface_version, cases[i].readable ? cases[i].version : 77);
    }
}

static void message_ids_of_responses(void **state)
{
    (void)state;
    struct smpp_span id;
    size_t len;
    const uint8_t *pdu = placed(0x80000004, &len);
    assert_true(smpp_view_response_id(pdu, len, &id));
    assert_span(id, "0a1b2c");
    uint8_t copy[SAMPLE_MAX];
    sample_of(0x80000004, copy);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(smpp_view_response_id(guard_put(copy, cut), cut, &id), cut == 16);
    pdu = placed_body(0x80000004, NULL, 0, &len);
    assert_true(smpp_view_response_id(pdu, len, &id));
    assert_int_equal(id.len, 0);
    pdu = placed_body(0x80000005, "\0\x14\x00\x00\x00", 5, &len);
    assert_true(smpp_view_response_id(pdu, len, &id));
    assert_int_equal(id.len, 0);
}

static void what_a_query_is_about(void **state)
{
    (void)state;
    static const struct {
        uint32_t id;
        size_t readable; /* octets of body that the view needs */
    } cases[] = {{SMPP_QUERY_SM, 14}, {SMPP_CANCEL_SM, 29}, {SMPP_REPLACE_SM, 14}};
    for (size_t i = 0; i < 3; i++) {
        uint8_t pdu[SAMPLE_MAX];
        size_t len = sample_of(cases[i].id, pdu);
        struct smpp_about_view v;
        for (size_t cut = 0; cut <= len; cut++)
            assert_int_equal(smpp_view_about(guard_put(pdu, cut), cut, &v), cut >= 16 + cases[i].readable);
        assert_true(smpp_view_about(guard_put(pdu, len), len, &v));
        assert_span(v.message_id, "0a1b2c");
        assert_span(v.source.digits, "4040");
        assert_int_equal(v.source.ton, 3);
        assert_int_equal(v.dest.digits.len, cases[i].id == SMPP_CANCEL_SM ? 11 : 0);
    }
    size_t len;
    struct smpp_about_view v;
    const uint8_t *pdu = placed(SMPP_SUBMIT_SM, &len);
    assert_false(smpp_view_about(pdu, len, &v));
}

static void the_destinations_of_a_submit_multi(void **state)
{
    (void)state;
    size_t len;
    const uint8_t *pdu = placed(SMPP_SUBMIT_MULTI, &len);
    struct smpp_multi_view v;
    struct smpp_multi_dest d;
    assert_true(smpp_view_multi(pdu, len, &v));
    assert_span(v.source.digits, "4040");
    assert_int_equal(v.number_of_dests, 3);
    assert_int_equal(smpp_multi_next(pdu, len, &v, &d), SMPP_MULTI_DEST);
    assert_false(d.is_list);
    assert_span(d.address.digits, "64211234567");
    assert_int_equal(smpp_multi_next(pdu, len, &v, &d), SMPP_MULTI_DEST);
    assert_true(d.is_list);
    assert_span(d.list_name, "friends");
    assert_int_equal(smpp_multi_next(pdu, len, &v, &d), SMPP_MULTI_DEST);
    assert_int_equal(d.address.ton, 1);
    assert_int_equal(smpp_multi_next(pdu, len, &v, &d), SMPP_MULTI_END);
    assert_int_equal(smpp_multi_next(pdu, len, &v, &d), SMPP_MULTI_END);
}

/* Behind the destinations: 9 octets of fields and two empty strings, the text, and the TLVs. */
static void the_tlvs_of_a_submit_multi(void **state)
{
    (void)state;
    static const uint8_t rest[] = {0x40, 0, 0, 0, 0, 1, 0, 8, 0, 2, 'h', 'i', 0x14, 0x00, 0, 1, 'x'};
    enum { TLVS = 5 };
    uint8_t pdu[SMPP_HEADER_LEN + 16 + sizeof rest] = {0};
    size_t before = SMPP_HEADER_LEN + 5; /* no service_type, an empty source, no destination */
    memcpy(pdu + before, rest, sizeof rest);
    for (size_t cut = before; cut <= before + sizeof rest; cut++) {
        const uint8_t *p = guard_put(pdu, cut);
        struct smpp_multi_view v;
        struct smpp_multi_dest d;
        struct smpp_span tlvs = {NULL, 0};
        assert_true(smpp_view_multi(p, cut, &v));
        assert_int_equal(smpp_multi_next(p, cut, &v, &d), SMPP_MULTI_END);
        bool seen = smpp_view_multi_tlvs(p, cut, &v, &tlvs);
        assert_int_equal(seen, cut >= before + sizeof rest - TLVS);
        if (seen) {
            assert_int_equal(tlvs.len, cut - (before + sizeof rest - TLVS));
            assert_ptr_equal(tlvs.p, p + before + sizeof rest - TLVS);
        }
    }
}

/* Bodies end: 1 service_type, 7 source, 1 count, then 15, 9 and 15 of destinations. */
static void truncations_of_a_submit_multi(void **state)
{
    (void)state;
    static const size_t ends[] = {16 + 9, 16 + 9 + 15, 16 + 9 + 15 + 9, 16 + 9 + 15 + 9 + 15};
    uint8_t pdu[SAMPLE_MAX];
    size_t len = sample_of(SMPP_SUBMIT_MULTI, pdu);
    for (size_t cut = 0; cut <= len; cut++) {
        const uint8_t *p = guard_put(pdu, cut);
        struct smpp_multi_view v;
        struct smpp_multi_dest d;
        bool seen = smpp_view_multi(p, cut, &v);
        assert_int_equal(seen, cut >= ends[0]);
        size_t whole = 0;
        enum smpp_multi_verdict verdict = SMPP_MULTI_BAD;
        while (seen && (verdict = smpp_multi_next(p, cut, &v, &d)) == SMPP_MULTI_DEST)
            whole++;
        assert_int_equal(whole, (cut >= ends[1]) + (cut >= ends[2]) + (cut >= ends[3]));
        assert_int_equal(verdict, whole == 3 ? SMPP_MULTI_END : SMPP_MULTI_BAD);
    }
}

static void an_unknown_dest_flag_is_bad(void **state)
{
    (void)state;
    size_t len;
    const uint8_t *pdu = placed_body(SMPP_SUBMIT_MULTI, "\0\0\0\0\x01\x03\x01\x01\0", 9, &len);
    struct smpp_multi_view v;
    struct smpp_multi_dest d = {.list_name = {NULL, 9}};
    assert_true(smpp_view_multi(pdu, len, &v));
    assert_int_equal(smpp_multi_next(pdu, len, &v, &d), SMPP_MULTI_BAD);
    assert_int_equal(d.list_name.len, 9);
    assert_int_equal(v.seen, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_of_the_three_messages),
        cmocka_unit_test(strings_of_every_length_end_where_they_end),
        cmocka_unit_test(octets_next_to_nul_are_not_taken_for_one),
        cmocka_unit_test(addresses_of_all_lengths_are_those_of_the_message),
        cmocka_unit_test(addresses_need_all_of_themselves_and_no_more),
        cmocka_unit_test(messages_need_all_up_to_the_text),
        cmocka_unit_test(all_fields_of_a_submit_sm),
        cmocka_unit_test(all_fields_of_a_data_sm),
        cmocka_unit_test(other_commands_are_no_messages),
        cmocka_unit_test(a_text_of_255_octets),
        cmocka_unit_test(a_bind_and_its_truncations),
        cmocka_unit_test(long_credentials_pass),
        cmocka_unit_test(bind_responses_with_and_without),
        cmocka_unit_test(message_ids_of_responses),
        cmocka_unit_test(what_a_query_is_about),
        cmocka_unit_test(the_destinations_of_a_submit_multi),
        cmocka_unit_test(the_tlvs_of_a_submit_multi),
        cmocka_unit_test(truncations_of_a_submit_multi),
        cmocka_unit_test(an_unknown_dest_flag_is_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
