/* The numbers against the specification's own, written down a second time; every table read both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "smpp/constants.h"
#include "test/unit/smpp_samples.h"

static void every_command_has_its_own_index_and_name(void **state)
{
    (void)state;
    bool taken[SMPP_COMMAND_COUNT] = {false};
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        unsigned index = smpp_command_index(samples[i].command_id);
        assert_in_range(index, 1, SMPP_COMMAND_COUNT - 1);
        assert_false(taken[index]);
        taken[index] = true;
        assert_true(smpp_command_known(samples[i].command_id));
        assert_string_equal(smpp_command_name_at(index), smpp_command_name(samples[i].command_id));
    }
    assert_int_equal(SAMPLE_COUNT, SMPP_COMMAND_COUNT - 1 - 2); /* two requests have no response */
}

static void commands_have_the_names_of_the_specification(void **state)
{
    (void)state;
    assert_string_equal(smpp_command_name(0x00000004), "submit_sm");
    assert_string_equal(smpp_command_name(0x80000004), "submit_sm_resp");
    assert_string_equal(smpp_command_name(0x80000000), "generic_nack");
    assert_string_equal(smpp_command_name(0x00000009), "bind_transceiver");
    assert_string_equal(smpp_command_name(0x00000103), "data_sm");
    assert_string_equal(smpp_command_name(0x80000021), "submit_multi_resp");
    assert_string_equal(smpp_command_name(0x00000111), "unknown");
    assert_string_equal(smpp_command_name_at(SMPP_COMMAND_COUNT), "unknown");
    assert_string_equal(smpp_command_name_at(UINT32_MAX), "unknown");
}

static bool in_samples(uint32_t command_id)
{
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        if (samples[i].command_id == command_id)
            return true;
    }
    return false;
}

static void all_other_ids_are_unknown(void **state)
{
    (void)state;
    for (uint32_t low = 0; low < 0x20000; low++) {
        for (uint32_t top = 0; top < 16; top++) {
            uint32_t id = top << 28 | low;
            assert_int_equal(smpp_command_known(id), in_samples(id));
        }
    }
    assert_false(smpp_command_known(0x8000000B)); /* outbind_resp does not exist */
    assert_false(smpp_command_known(0x80000102)); /* nor alert_notification_resp */
    assert_false(smpp_command_known(UINT32_MAX));
}

static void what_has_a_response(void **state)
{
    (void)state;
    assert_true(smpp_has_response(SMPP_SUBMIT_SM));
    assert_true(smpp_has_response(SMPP_ENQUIRE_LINK));
    assert_false(smpp_has_response(SMPP_OUTBIND));
    assert_false(smpp_has_response(SMPP_ALERT_NOTIFICATION));
    assert_false(smpp_has_response(SMPP_GENERIC_NACK));
    assert_false(smpp_has_response(SMPP_SUBMIT_SM | SMPP_RESPONSE_BIT));
}

static void statuses_have_the_values_of_the_specification(void **state)
{
    (void)state;
    assert_int_equal(ESME_RINVCMDLEN, 0x02);
    assert_int_equal(ESME_RINVCMDID, 0x03);
    assert_int_equal(ESME_RINVBNDSTS, 0x04);
    assert_int_equal(ESME_RALYBND, 0x05);
    assert_int_equal(ESME_RSYSERR, 0x08);
    assert_int_equal(ESME_RBINDFAIL, 0x0D);
    assert_int_equal(ESME_RINVPASWD, 0x0E);
    assert_int_equal(ESME_RINVSYSID, 0x0F);
    assert_int_equal(ESME_RMSGQFUL, 0x14);
    assert_int_equal(ESME_RSUBMITFAIL, 0x45);
    assert_int_equal(ESME_RINVDSTTON, 0x50);
    assert_int_equal(ESME_RTHROTTLED, 0x58);
    assert_int_equal(ESME_RX_T_APPN, 0x64);
    assert_int_equal(ESME_RQUERYFAIL, 0x67);
    assert_int_equal(ESME_RINVOPTPARAMVAL, 0xC4);
    assert_int_equal(ESME_RUNKNOWNERR, 0xFF);
    assert_int_equal(ESME_RINVBCASTCHANIND, 0x112);
}

static void statuses_go_to_an_index_and_back(void **state)
{
    (void)state;
    unsigned named = 0;
    for (uint32_t status = 0; status < 0x600; status++) {
        unsigned index = smpp_status_index(status);
        const char *name = smpp_status_name(status);
        bool vendor = status >= 0x400 && status <= 0x4FF;
        uint32_t back;
        assert_in_range(index, 0, smpp_status_count() - 1);
        if (name == NULL) {
            assert_string_equal(smpp_status_name_at(index), vendor ? "vendor" : "other");
            continue;
        }
        assert_int_equal(index, named++);
        assert_ptr_equal(smpp_status_name_at(index), name);
        assert_true(smpp_status_parse(name, &back));
        assert_int_equal(back, status);
    }
    assert_int_equal(named + 2, smpp_status_count());
    assert_string_equal(smpp_status_name_at(smpp_status_index(UINT32_MAX)), "other");
    assert_string_equal(smpp_status_name_at(UINT32_MAX), "other");
}

static void numbers_and_names_parse(void **state)
{
    (void)state;
    uint32_t status = 7;
    assert_true(smpp_status_parse("esme_rthrottled", &status));
    assert_int_equal(status, 0x58);
    assert_true(smpp_status_parse("0x14", &status));
    assert_int_equal(status, 0x14);
    assert_true(smpp_status_parse("20", &status));
    assert_int_equal(status, 20);
    assert_true(smpp_status_parse("010", &status)); /* never octal */
    assert_int_equal(status, 10);
    assert_true(smpp_status_parse("0XffffFFFF", &status));
    assert_true(status == UINT32_MAX);
}

static void slips_do_not_parse(void **state)
{
    (void)state;
    static const char *const slips[] = {"",    "0x", "ESME_",      "ESME_RTHROTTLED ", "-1", "+1",
                                        " 20", "2O", "4294967296", "0x100000000",      "1.", "0xg"};
    for (size_t i = 0; i < sizeof slips / sizeof slips[0]; i++) {
        uint32_t status = 7;
        assert_false(smpp_status_parse(slips[i], &status));
        assert_int_equal(status, 7);
    }
}

static void tags_have_names_and_parse(void **state)
{
    (void)state;
    uint16_t tag = 7;
    assert_int_equal(SMPP_TAG_RECEIPTED_MESSAGE_ID, 0x001E);
    assert_int_equal(SMPP_TAG_SC_INTERFACE_VERSION, 0x0210);
    assert_int_equal(SMPP_TAG_MESSAGE_PAYLOAD, 0x0424);
    assert_string_equal(smpp_tag_name(0x020C), "sar_msg_ref_num");
    assert_null(smpp_tag_name(0x1401));
    assert_true(smpp_tag_parse("Message_Payload", &tag));
    assert_int_equal(tag, 0x0424);
    assert_true(smpp_tag_parse("0x1401", &tag));
    assert_int_equal(tag, 0x1401);
    assert_false(smpp_tag_parse("0x10000", &tag));
    assert_false(smpp_tag_parse("payload", &tag));
    assert_int_equal(tag, 0x1401);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_has_its_own_index_and_name),
        cmocka_unit_test(commands_have_the_names_of_the_specification),
        cmocka_unit_test(all_other_ids_are_unknown),
        cmocka_unit_test(what_has_a_response),
        cmocka_unit_test(statuses_have_the_values_of_the_specification),
        cmocka_unit_test(statuses_go_to_an_index_and_back),
        cmocka_unit_test(numbers_and_names_parse),
        cmocka_unit_test(slips_do_not_parse),
        cmocka_unit_test(tags_have_names_and_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
