/* The PDUs that libsmpp34 writes for us: the same octets as our own writer's, in every buffer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "smpp/constants.h"
#include "smpp/control.h"
#include "test/unit/smpp_assert.h"

enum { SEQUENCE = 0x01020304 };

static const struct smpp_bind_fields bind_fields = {
    SMPP_BIND_TRANSMITTER, SEQUENCE, "client", "secret", "VMA", 0x34, 1, 1, "40*"};

static void control_pdus_are_what_we_would_write(void **state)
{
    (void)state;
    static const uint32_t binds[] = {SMPP_BIND_RECEIVER, SMPP_BIND_TRANSMITTER, SMPP_BIND_TRANSCEIVER};
    for (size_t i = 0; i < 3; i++) {
        struct smpp_bind_fields f = bind_fields;
        uint8_t theirs[128];
        f.command_id = binds[i];
        size_t size = smpp_control_bind(theirs, sizeof theirs, &f);
        uint8_t *ours = guard_room(size);
        assert_int_equal(smpp_encode_bind(ours, size, &f), size);
        assert_memory_equal(ours, theirs, size);
        assert_fits_exactly(size, smpp_control_bind(room, cap, &f));
    }
    uint8_t *ours = guard_room(16);
    assert_header(ours, smpp_control_unbind(ours, 16, 77), SMPP_UNBIND, 0, 77);
    assert_header(ours, smpp_control_enquire_link(ours, 16, 0x7FFFFFFF), SMPP_ENQUIRE_LINK, 0, 0x7FFFFFFF);
    assert_fits_exactly(16U, smpp_control_unbind(room, cap, 77));
    assert_fits_exactly(16U, smpp_control_enquire_link(room, cap, 77));
}

static void control_binds_beyond_the_library(void **state)
{
    (void)state;
    struct smpp_bind_view v;
    struct smpp_bind_fields f = bind_fields;
    uint8_t *out = guard_room(256);
    f.system_id = "a-system-id-of-30-octets-1234";
    f.password = "a-long-password";
    size_t len = smpp_control_bind(out, 256, &f);
    assert_header(out, len, SMPP_BIND_TRANSMITTER, 0, SEQUENCE);
    assert_true(smpp_view_bind(out, len, &v));
    assert_span(v.system_id, "a-system-id-of-30-octets-1234");
    assert_span(v.password, "a-long-password");
    f = bind_fields;
    f.command_id = SMPP_BIND_TRANSCEIVER;
    f.interface_version = 0x33;
    f.system_type = NULL;
    len = smpp_control_bind(out, 256, &f);
    assert_true(smpp_view_bind(out, len, &v));
    assert_int_equal(v.interface_version, 0x33);
    f.command_id = SMPP_SUBMIT_SM;
    assert_int_equal(smpp_control_bind(out, 256, &f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_pdus_are_what_we_would_write),
        cmocka_unit_test(control_binds_beyond_the_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
