/* Parts of a message: by user data header and by TLVs, in short_message and message_payload; what is none; and
 * every truncation, against the wall. The quick look must never deny what the whole view finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "smpp/encode.h"
#include "smpp/frame.h"
#include "smpp/multipart.h"
#include "test/unit/guard.h"

enum { PDU_ROOM = 512 };

static const uint8_t header_8[] = {5, 0x00, 3, 0x7A, 3, 2, 'h', 'e', 'l', 'l', 'o'};
static const uint8_t header_16[] = {6, 0x08, 4, 0x12, 0x34, 4, 1, 'h', 'i'};
/* a port address and a national language shift before it */
static const uint8_t header_behind[] = {14, 0x05, 4, 1, 2, 3, 4, 0x24, 1, 9, 0x00, 3, 0x7A, 2, 1, 'x'};
static const uint8_t sar[] = {0x02, 0x0C, 0, 2, 0x56, 0x78, 0x02, 0x0E, 0, 1, 5, 0x02, 0x0F, 0, 1, 4};

#define SPAN(octets) ((struct smpp_span){(octets), sizeof(octets)})

struct sample {
    uint8_t pdu[PDU_ROOM];
    size_t len;
};

static struct smpp_message_fields plain_fields(uint32_t id)
{
    return (struct smpp_message_fields){.command_id = id,
                                        .sequence_number = 7,
                                        .source = "5001",
                                        .dest = "64271234567",
                                        .text = {(const uint8_t *)"hello", id == SMPP_DATA_SM ? 0 : 5}};
}

static struct sample encoded(const struct smpp_message_fields *fields)
{
    struct sample sample;
    sample.len = smpp_encode_message(sample.pdu, sizeof sample.pdu, fields);
    assert_true(sample.len > 0);
    return sample;
}

static bool may_be_part(const uint8_t *pdu, size_t len)
{
    struct smpp_address source;
    struct smpp_address dest;
    return smpp_view_addresses(pdu, len, &source, &dest) &&
           smpp_may_be_part(pdu, len, smpp_get32(pdu + 4), &dest);
}

static bool view(const struct sample *sample, struct smpp_part *part)
{
    const uint8_t *pdu = guard_put(sample->pdu, sample->len);
    bool is_part = smpp_view_part(pdu, sample->len, part);
    if (is_part) {
        assert_true(may_be_part(pdu, sample->len));
    }
    return is_part;
}

static void expect_part(const struct smpp_message_fields *fields, enum smpp_part_kind kind,
                        unsigned reference, unsigned total, unsigned number)
{
    struct sample sample = encoded(fields);
    struct smpp_part part;
    assert_true(view(&sample, &part));
    assert_int_equal(part.kind, kind);
    assert_int_equal(part.reference, reference);
    assert_int_equal(part.total, total);
    assert_int_equal(part.number, number);
}

static void expect_none(const struct smpp_message_fields *fields)
{
    struct sample sample = encoded(fields);
    struct smpp_part part = {.reference = 0xBEEF};
    assert_false(view(&sample, &part));
    assert_int_equal(part.reference, 0xBEEF);
}

static void a_header_tells_it(void **state)
{
    (void)state;
    struct smpp_message_fields fields = plain_fields(SMPP_SUBMIT_SM);
    fields.esm_class = SMPP_ESM_UDHI | 0x03;
    fields.text = SPAN(header_8);
    expect_part(&fields, SMPP_PART_UDH_8, 0x7A, 3, 2);
    fields.text = SPAN(header_16);
    expect_part(&fields, SMPP_PART_UDH_16, 0x1234, 4, 1);
    fields.text = SPAN(header_behind);
    expect_part(&fields, SMPP_PART_UDH_8, 0x7A, 2, 1);
    fields.validity_period = "000001000000000R";
    fields.schedule_delivery_time = "000000010000000R";
    expect_part(&fields, SMPP_PART_UDH_8, 0x7A, 2, 1);
}

static void tlvs_tell_it(void **state)
{
    (void)state;
    struct smpp_message_fields fields = plain_fields(SMPP_SUBMIT_SM);
    fields.tlvs = SPAN(sar);
    expect_part(&fields, SMPP_PART_SAR, 0x5678, 5, 4);
    fields.validity_period = "000001000000000R";
    expect_part(&fields, SMPP_PART_SAR, 0x5678, 5, 4);
    fields = plain_fields(SMPP_DATA_SM);
    fields.tlvs = SPAN(sar);
    expect_part(&fields, SMPP_PART_SAR, 0x5678, 5, 4);
}

static void a_header_may_be_in_message_payload(void **state)
{
    (void)state;
    uint8_t tlvs[64];
    static const uint32_t ids[] = {SMPP_SUBMIT_SM, SMPP_DATA_SM};
    for (unsigned i = 0; i < 2; i++) {
        struct smpp_message_fields fields = plain_fields(ids[i]);
        fields.esm_class = SMPP_ESM_UDHI;
        fields.text.len = 0;
        fields.tlvs = (struct smpp_span){
            tlvs, (uint32_t)smpp_encode_tlv(tlvs, sizeof tlvs, 0x0424, header_16, sizeof header_16)};
        expect_part(&fields, SMPP_PART_UDH_16, 0x1234, 4, 1);
    }
}

static void a_header_goes_before_tlvs(void **state)
{
    (void)state;
    struct smpp_message_fields fields = plain_fields(SMPP_SUBMIT_SM);
    fields.tlvs = SPAN(sar);
    fields.esm_class = SMPP_ESM_UDHI;
    fields.text = SPAN(header_8);
    expect_part(&fields, SMPP_PART_UDH_8, 0x7A, 3, 2);
    fields.text = (struct smpp_span){(const uint8_t *)"\2\7\0x", 4}; /* a header of something else */
    expect_part(&fields, SMPP_PART_SAR, 0x5678, 5, 4);
}

static void most_messages_are_no_part(void **state)
{
    (void)state;
    struct smpp_message_fields fields = plain_fields(SMPP_SUBMIT_SM);
    struct sample sample = encoded(&fields);
    assert_false(may_be_part(sample.pdu, sample.len));
    expect_none(&fields);
    fields.text.len = 0;
    sample = encoded(&fields);
    assert_false(may_be_part(sample.pdu, sample.len));
    fields = plain_fields(SMPP_DATA_SM);
    sample = encoded(&fields);
    assert_false(may_be_part(sample.pdu, sample.len));
    /* a header's octets without UDHI are text */
    fields = plain_fields(SMPP_SUBMIT_SM);
    fields.text = SPAN(header_8);
    expect_none(&fields);
}

static void what_cannot_be_is_no_part(void **state)
{
    (void)state;
    static const uint8_t bad[][6] = {
        {5, 0x00, 3, 9, 1, 1},                                               /* one of one */
        {5, 0x00, 3, 9, 0, 0}, {5, 0x00, 3, 9, 3, 0}, {5, 0x00, 3, 9, 3, 4}, /* number beyond the total */
        {6, 0x00, 3, 9, 3, 1},                                               /* header longer than the text */
        {5, 0x00, 4, 9, 3, 1},                                               /* element beyond the header */
        {5, 0x08, 3, 9, 3, 1},                                               /* wrong length for its id */
        {4, 0x00, 3, 9, 3, 1}, {0, 0x00, 3, 9, 3, 1}, {1, 0x00, 3, 9, 3, 1}, {2, 0x00, 0, 9, 3, 1},
    };
    struct smpp_message_fields fields = plain_fields(SMPP_SUBMIT_SM);
    fields.esm_class = SMPP_ESM_UDHI;
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fields.text = SPAN(bad[i]);
        expect_none(&fields);
    }
    fields.text.len = 0;
    expect_none(&fields);
    uint8_t tlvs[sizeof sar];
    memcpy(tlvs, sar, sizeof sar);
    fields = plain_fields(SMPP_SUBMIT_SM);
    fields.tlvs = SPAN(tlvs);
    tlvs[sizeof sar - 1] = 6; /* of five */
    expect_none(&fields);
    fields.tlvs.len = 11; /* no number at all */
    expect_none(&fields);
}

/* No octet past the end is read, and nothing that is cut is taken for a part unless all of it is there. */
static void every_truncation_is_survived(void **state)
{
    (void)state;
    struct smpp_message_fields fields[3] = {plain_fields(SMPP_SUBMIT_SM), plain_fields(SMPP_SUBMIT_SM),
                                            plain_fields(SMPP_DATA_SM)};
    fields[0].esm_class = SMPP_ESM_UDHI;
    fields[0].text = SPAN(header_behind);
    fields[1].tlvs = SPAN(sar);
    fields[2].tlvs = SPAN(sar);
    for (unsigned i = 0; i < 3; i++) {
        struct sample whole = encoded(&fields[i]);
        for (size_t len = SMPP_HEADER_LEN; len < whole.len; len++) {
            const uint8_t *pdu = guard_put(whole.pdu, len);
            struct smpp_part part;
            assert_false(smpp_view_part(pdu, len, &part));
            (void)may_be_part(pdu, len);
        }
        struct smpp_part part;
        assert_true(view(&whole, &part));
    }
}

/* The header cut by a shorter sm_length or UDHL, with the octets still there. */
static void every_length_inside_the_text_is_survived(void **state)
{
    (void)state;
    struct smpp_message_fields fields = plain_fields(SMPP_SUBMIT_SM);
    fields.esm_class = SMPP_ESM_UDHI;
    uint8_t text[sizeof header_16];
    for (uint32_t len = 0; len <= sizeof text; len++) {
        for (unsigned udhl = 0; udhl < 256; udhl++) {
            memcpy(text, header_16, sizeof text);
            text[0] = (uint8_t)udhl;
            fields.text = (struct smpp_span){text, len};
            struct sample sample = encoded(&fields);
            struct smpp_part part;
            assert_int_equal(view(&sample, &part), len > udhl && udhl >= 6);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_tells_it),
        cmocka_unit_test(tlvs_tell_it),
        cmocka_unit_test(a_header_may_be_in_message_payload),
        cmocka_unit_test(a_header_goes_before_tlvs),
        cmocka_unit_test(most_messages_are_no_part),
        cmocka_unit_test(what_cannot_be_is_no_part),
        cmocka_unit_test(every_truncation_is_survived),
        cmocka_unit_test(every_length_inside_the_text_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
