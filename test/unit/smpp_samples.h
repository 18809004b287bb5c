/* One PDU of every kind, its octets written down by hand from SMPP 3.4 section 4, so that they depend on no
 * encoder of ours. */
#ifndef TEST_UNIT_SMPP_SAMPLES_H
#define TEST_UNIT_SMPP_SAMPLES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SAMPLE_MAX = 512, SAMPLE_SEQUENCE = 0x01020304 };

struct sample {
    uint32_t command_id;
    uint32_t command_status;
    const char *body;
    size_t body_len;
};

#define SAMPLE(id, status, octets)                   \
    {                                                \
        (id), (status), (octets), sizeof(octets) - 1 \
    }
/* Addresses as most of them open: no service_type, shortcode 4040, a New Zealand mobile. */
#define SAMPLE_FROM \
    "\x03\x00"      \
    "4040\0"
#define SAMPLE_TO \
    "\x01\x01"    \
    "64211234567\0"

/* clang-format off */
static const struct sample samples[] = {
    SAMPLE(0x00000001, 0, "client\0secret\0\0\x34\x00\x00\0"),
    SAMPLE(0x00000002, 0, "client\0secret\0VMA\0\x34\x01\x01" "40*\0"),
    SAMPLE(0x00000009, 0, "client\0secret\0\0\x34\x00\x00\0"),
    SAMPLE(0x80000001, 0, "smsc\0\x02\x10\x00\x01\x34"),
    SAMPLE(0x80000002, 0, "smsc\0"),
    SAMPLE(0x80000009, 0x0D, ""),
    SAMPLE(0x0000000B, 0, "smsc\0secret\0"),
    SAMPLE(0x00000006, 0, ""),
    SAMPLE(0x80000006, 0, ""),
    SAMPLE(0x00000015, 0, ""),
    SAMPLE(0x80000015, 0, ""),
    SAMPLE(0x80000000, 0x03, ""),
    SAMPLE(0x00000004, 0, "\0" SAMPLE_FROM SAMPLE_TO "\x00\x00\x00\0\0\x01\x00\x00\x00\x05hello"
                          "\x02\x04\x00\x02\x12\x34\x14\x01\x00\x03xyz"),
    SAMPLE(0x80000004, 0, "0a1b2c\0"),
    SAMPLE(0x00000005, 0, "\0" SAMPLE_TO SAMPLE_FROM "\x04\x00\x00\0\0\x00\x00\x00\x00\x1cid:0a1b2c stat:DELIVRD text:"
                          "\x00\x1e\x00\x07" "0a1b2c\0"),
    SAMPLE(0x80000005, 0, "\0"),
    SAMPLE(0x00000103, 0, "WAP\0" SAMPLE_FROM SAMPLE_TO "\x00\x01\x04\x04\x24\x00\x05hello"),
    SAMPLE(0x80000103, 0, "0a1b2c\0\x04\x25\x00\x01\x00"),
    SAMPLE(0x00000021, 0, "\0" SAMPLE_FROM "\x03" "\x01" SAMPLE_TO "\x02" "friends\0" "\x01" SAMPLE_TO
                          "\x00\x00\x00\0\0\x01\x00\x00\x00\x02hi"),
    SAMPLE(0x80000021, 0, "0a1b2c\0\x00"),
    SAMPLE(0x00000003, 0, "0a1b2c\0" SAMPLE_FROM),
    SAMPLE(0x80000003, 0, "0a1b2c\0\0\x02\x00"),
    SAMPLE(0x00000008, 0, "\0" "0a1b2c\0" SAMPLE_FROM SAMPLE_TO),
    SAMPLE(0x80000008, 0, ""),
    SAMPLE(0x00000007, 0, "0a1b2c\0" SAMPLE_FROM "\0\0\x01\x00\x02hi"),
    SAMPLE(0x80000007, 0, ""),
    SAMPLE(0x00000102, 0, SAMPLE_TO SAMPLE_FROM "\x04\x22\x00\x01\x00"),
};
/* clang-format on */

enum { SAMPLE_COUNT = sizeof samples / sizeof samples[0] };

static inline void sample_put32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* The PDU's octets with a command_length of its own length; returns it. */
static inline size_t sample_make(uint8_t out[SAMPLE_MAX], uint32_t command_id, uint32_t command_status,
                                 const void *body, size_t body_len)
{
    sample_put32(out, (uint32_t)(16 + body_len));
    sample_put32(out + 4, command_id);
    sample_put32(out + 8, command_status);
    sample_put32(out + 12, SAMPLE_SEQUENCE);
    if (body_len > 0)
        memcpy(out + 16, body, body_len);
    return 16 + body_len;
}

static inline size_t sample_octets(const struct sample *sample, uint8_t out[SAMPLE_MAX])
{
    return sample_make(out, sample->command_id, sample->command_status, sample->body, sample->body_len);
}

/* The first sample of a command. */
static inline size_t sample_of(uint32_t command_id, uint8_t out[SAMPLE_MAX])
{
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        if (samples[i].command_id == command_id)
            return sample_octets(&samples[i], out);
    }
    return 0;
}

#endif
