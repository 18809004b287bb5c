/* The walk over TLVs, at every truncation against the wall. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "smpp/tlv.h"
#include "test/unit/guard.h"

/* user_message_reference 0x1234, a vendor's of 0 octets, message_payload "abc", the first tag once more. */
static const uint8_t run[] = {0x02, 0x04, 0, 2,   0x12, 0x34, 0x14, 0x01, 0, 0, 0x04,
                              0x24, 0,    3, 'a', 'b',  'c',  0x02, 0x04, 0, 1, 0x99};
/* Where a TLV may end. */
static const size_t ends[] = {0, 6, 10, 17, 22};

static struct smpp_span placed(size_t len)
{
    return (struct smpp_span){guard_put(run, len), (uint32_t)len};
}

static void a_whole_run_is_found_in_order(void **state)
{
    (void)state;
    struct smpp_span rest = placed(sizeof run);
    struct smpp_tlv tlv;
    assert_int_equal(smpp_tlv_next(&rest, &tlv), SMPP_TLV_FOUND);
    assert_int_equal(tlv.tag, 0x0204);
    assert_int_equal(tlv.value.len, 2);
    assert_int_equal(tlv.value.p[1], 0x34);
    assert_int_equal(smpp_tlv_next(&rest, &tlv), SMPP_TLV_FOUND);
    assert_int_equal(tlv.tag, 0x1401);
    assert_int_equal(tlv.value.len, 0);
    assert_int_equal(smpp_tlv_next(&rest, &tlv), SMPP_TLV_FOUND);
    assert_int_equal(tlv.tag, 0x0424);
    assert_memory_equal(tlv.value.p, "abc", 3);
    assert_int_equal(smpp_tlv_next(&rest, &tlv), SMPP_TLV_FOUND);
    assert_int_equal(tlv.tag, 0x0204);
    assert_int_equal(rest.len, 0);
    assert_int_equal(smpp_tlv_next(&rest, &tlv), SMPP_TLV_END);
}

static void every_truncation_ends_or_is_bad(void **state)
{
    (void)state;
    size_t whole = 0;
    for (size_t cut = 0; cut <= sizeof run; cut++) {
        struct smpp_span rest = placed(cut);
        struct smpp_tlv tlv;
        size_t found = 0;
        enum smpp_tlv_verdict verdict;
        while ((verdict = smpp_tlv_next(&rest, &tlv)) == SMPP_TLV_FOUND)
            found++;
        if (whole < 4 && cut == ends[whole + 1])
            whole++;
        assert_int_equal(found, whole);
        assert_int_equal(verdict, cut == ends[whole] ? SMPP_TLV_END : SMPP_TLV_BAD);
        assert_int_equal(rest.len, cut - ends[whole]);
    }
}

static void end_and_bad_change_nothing(void **state)
{
    (void)state;
    static const uint8_t bad[] = {0x02, 0x04, 0xFF, 0xFF, 0x00};
    const uint8_t *p = guard_put(bad, sizeof bad);
    struct smpp_span rest = {p, sizeof bad};
    struct smpp_tlv tlv = {7, {NULL, 9}};
    assert_int_equal(smpp_tlv_next(&rest, &tlv), SMPP_TLV_BAD);
    assert_ptr_equal(rest.p, p);
    assert_int_equal(rest.len, sizeof bad);
    assert_int_equal(tlv.tag, 7);
    assert_int_equal(tlv.value.len, 9);
    rest = (struct smpp_span){NULL, 0};
    assert_int_equal(smpp_tlv_next(&rest, &tlv), SMPP_TLV_END);
    assert_int_equal(tlv.tag, 7);
}

static void find_gives_the_first(void **state)
{
    (void)state;
    struct smpp_tlv tlv = {7, {NULL, 9}};
    assert_true(smpp_tlv_find(placed(sizeof run), 0x0204, &tlv));
    assert_int_equal(tlv.value.len, 2);
    assert_true(smpp_tlv_find(placed(sizeof run), 0x0424, &tlv));
    assert_int_equal(tlv.value.len, 3);
    tlv.tag = 7;
    assert_false(smpp_tlv_find(placed(sizeof run), 0x0210, &tlv));
    assert_false(smpp_tlv_find(placed(16), 0x0424, &tlv)); /* itself cut */
    assert_false(smpp_tlv_find(placed(8), 0x0424, &tlv));  /* a cut one before it */
    assert_int_equal(tlv.tag, 7);
}

static void the_longest_value_passes(void **state)
{
    (void)state;
    uint8_t *p = guard_room(4 + UINT16_MAX);
    struct smpp_span rest = {p, 4 + UINT16_MAX};
    struct smpp_tlv tlv;
    memset(p, 0xFF, 4);
    assert_int_equal(smpp_tlv_next(&rest, &tlv), SMPP_TLV_FOUND);
    assert_int_equal(tlv.value.len, UINT16_MAX);
    assert_int_equal(rest.len, 0);
    rest = (struct smpp_span){p, 3 + UINT16_MAX};
    assert_int_equal(smpp_tlv_next(&rest, &tlv), SMPP_TLV_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_run_is_found_in_order), cmocka_unit_test(every_truncation_ends_or_is_bad),
        cmocka_unit_test(end_and_bad_change_nothing),    cmocka_unit_test(find_gives_the_first),
        cmocka_unit_test(the_longest_value_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
