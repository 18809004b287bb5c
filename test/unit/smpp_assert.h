/* What the tests of the writers assert about octets. Include after cmocka.h. */
#ifndef TEST_UNIT_SMPP_ASSERT_H
#define TEST_UNIT_SMPP_ASSERT_H

#include <string.h>

#include "smpp/frame.h"
#include "test/unit/guard.h"

#define assert_span(span, text)                                \
    do {                                                       \
        assert_int_equal((span).len, sizeof(text) - 1);        \
        assert_memory_equal((span).p, text, sizeof(text) - 1); \
    } while (0)

/* Runs encode for every cap up to size: 0 and nothing past cap below size, size from there on. */
#define assert_fits_exactly(size, call)                          \
    do {                                                         \
        for (size_t cap = 0; cap <= (size) + 3; cap++) {         \
            uint8_t *room = guard_room(cap);                     \
            assert_int_equal((call), cap < (size) ? 0 : (size)); \
        }                                                        \
    } while (0)

static inline void assert_header(const uint8_t *pdu, size_t len, uint32_t id, uint32_t status,
                                 uint32_t sequence)
{
    struct smpp_header h;
    assert_int_equal(smpp_frame(pdu, len, 0x10000, &h), SMPP_FRAME_WHOLE);
    assert_int_equal(h.length, len);
    assert_int_equal(h.command_id, id);
    assert_int_equal(h.command_status, status);
    assert_int_equal(h.sequence_number, sequence);
}

#endif
