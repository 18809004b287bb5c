/* Framing: octets one at a time, every truncation of every PDU, lengths that cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "smpp/frame.h"
#include "test/unit/guard.h"
#include "test/unit/smpp_samples.h"

static void every_truncation_is_partial(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        uint8_t pdu[SAMPLE_MAX];
        struct smpp_header header;
        size_t len = sample_octets(&samples[i], pdu);
        for (size_t cut = 0; cut < len; cut++)
            assert_int_equal(smpp_frame(guard_put(pdu, cut), cut, SAMPLE_MAX, &header), SMPP_FRAME_PARTIAL);
        assert_int_equal(smpp_frame(guard_put(pdu, len), len, SAMPLE_MAX, &header), SMPP_FRAME_WHOLE);
        assert_int_equal(header.length, len);
        assert_int_equal(header.command_id, samples[i].command_id);
        assert_int_equal(header.command_status, samples[i].command_status);
        assert_int_equal(header.sequence_number, SAMPLE_SEQUENCE);
    }
}

static void octets_after_the_pdu_do_not_matter(void **state)
{
    (void)state;
    uint8_t pdu[SAMPLE_MAX + 3];
    struct smpp_header header;
    size_t len = sample_of(0x00000015, pdu);
    memset(pdu + len, 0xFF, 3);
    assert_int_equal(smpp_frame(guard_put(pdu, len + 3), len + 3, SAMPLE_MAX, &header), SMPP_FRAME_WHOLE);
    assert_int_equal(header.length, 16);
}

static void the_header_is_set_before_the_body_is_there(void **state)
{
    (void)state;
    uint8_t pdu[SAMPLE_MAX];
    struct smpp_header header;
    sample_of(0x00000004, pdu);
    assert_int_equal(smpp_frame(guard_put(pdu, 16), 16, SAMPLE_MAX, &header), SMPP_FRAME_PARTIAL);
    assert_int_equal(header.command_id, 0x00000004);
    assert_int_equal(header.sequence_number, SAMPLE_SEQUENCE);
}

static enum smpp_frame_verdict frame_of_length(uint32_t length, size_t there, uint32_t max,
                                               struct smpp_header *header)
{
    uint8_t pdu[SAMPLE_MAX];
    sample_make(pdu, 0x00000004, 0x11, NULL, 0);
    sample_put32(pdu, length);
    return smpp_frame(guard_put(pdu, there), there, max, header);
}

static void lengths_that_cannot_be_are_bad(void **state)
{
    (void)state;
    static const uint32_t bad[] = {0, 1, 4, 15, 101, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (size_t there = 0; there <= 16; there++) {
            struct smpp_header h;
            memset(&h, 0xEE, sizeof h);
            enum smpp_frame_verdict verdict = frame_of_length(bad[i], there, 100, &h);
            assert_int_equal(verdict, there < 4 ? SMPP_FRAME_PARTIAL : SMPP_FRAME_BAD);
            if (there < 4)
                continue;
            assert_int_equal(h.length, bad[i]);
            assert_int_equal(h.command_id, there < 8 ? 0 : 0x00000004);
            assert_int_equal(h.command_status, there < 12 ? 0 : 0x11);
            assert_int_equal(h.sequence_number, there < 16 ? 0 : SAMPLE_SEQUENCE);
        }
    }
}

static void the_limits_themselves_pass(void **state)
{
    (void)state;
    struct smpp_header header;
    assert_int_equal(frame_of_length(16, 16, 16, &header), SMPP_FRAME_WHOLE);
    assert_int_equal(frame_of_length(100, 16, 100, &header), SMPP_FRAME_PARTIAL);
    assert_int_equal(frame_of_length(100, 15, 100, &header), SMPP_FRAME_PARTIAL);
    assert_int_equal(frame_of_length(0xFFFFFFFF, 16, 0xFFFFFFFF, &header), SMPP_FRAME_PARTIAL);
}

static void a_header_written_is_the_header_read(void **state)
{
    (void)state;
    const struct smpp_header in = {16, 0x80000004, 0xDEADBEEF, 0x7FFFFFFF};
    struct smpp_header out;
    uint8_t *octets = guard_room(16);
    smpp_put_header(octets, &in);
    assert_int_equal(smpp_frame(octets, 16, 16, &out), SMPP_FRAME_WHOLE);
    assert_memory_equal(&in, &out, sizeof in);
    static const uint8_t expected[16] = {0,    0,    0,    16,   0x80, 0,    0,    4,
                                         0xDE, 0xAD, 0xBE, 0xEF, 0x7F, 0xFF, 0xFF, 0xFF};
    assert_memory_equal(octets, expected, 16);
}

/* Every length, up to the end of the memory. */
static void octets_are_packed_as_they_come(void **state)
{
    (void)state;
    static const uint8_t octets[8] = {0x11, 0x92, 0x33, 0xF4, 0x55, 0xE6, 0x77, 0x88};
    uint64_t expected = 0;
    for (size_t len = 0; len <= 8; len++) {
        assert_true(smpp_pack(guard_put(octets, len), len) == expected);
        if (len < 8)
            expected |= (uint64_t)octets[len] << (8 * len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_truncation_is_partial),
        cmocka_unit_test(octets_after_the_pdu_do_not_matter),
        cmocka_unit_test(the_header_is_set_before_the_body_is_there),
        cmocka_unit_test(lengths_that_cannot_be_are_bad),
        cmocka_unit_test(the_limits_themselves_pass),
        cmocka_unit_test(a_header_written_is_the_header_read),
        cmocka_unit_test(octets_are_packed_as_they_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
