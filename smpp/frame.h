/* Framing: where does the first PDU of a run of bytes end?
 *
 *   bytes ──▶ smpp_frame ──▶ PARTIAL  give it more bytes
 *                       ├──▶ WHOLE    header read, the PDU is data[0 .. header.length)
 *                       └──▶ BAD      the length cannot be a PDU's: framing is lost
 *
 * No state, no copy. SMPP 3.4 section 3.2. */
#ifndef SMPP_FRAME_H
#define SMPP_FRAME_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SMPP_HEADER_LEN = 16 };

/* The four fields that open every PDU, in host byte order (SMPP 3.4, 3.2). */
struct smpp_header {
    uint32_t length; /* command_length, of the whole PDU in octets */
    uint32_t command_id;
    uint32_t command_status;
    uint32_t sequence_number;
};

enum smpp_frame_verdict { SMPP_FRAME_PARTIAL, SMPP_FRAME_WHOLE, SMPP_FRAME_BAD };

static inline uint32_t smpp_get32(const uint8_t *p)
{
    uint32_t value;
    memcpy(&value, p, sizeof value);
    return be32toh(value);
}

static inline uint16_t smpp_get16(const uint8_t *p)
{
    return (uint16_t)(((unsigned)p[0] << 8) | p[1]);
}

static inline void smpp_put32(uint8_t *p, uint32_t value)
{
    value = htobe32(value);
    memcpy(p, &value, sizeof value);
}

static inline void smpp_put16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

/* Up to 8 octets as one number, the first of them lowest, for comparing and hashing: texts without NUL that differ
 * give numbers that differ, and none but the empty one gives 0. */
static inline uint64_t smpp_pack(const uint8_t *p, size_t len)
{
    uint64_t packed = 0;
    if (len >= sizeof(uint32_t)) { /* two words, the second over the end of the first */
        uint32_t first, last;
        memcpy(&first, p, sizeof first);
        memcpy(&last, p + len - sizeof last, sizeof last);
        return le32toh(first) | (uint64_t)le32toh(last) << (8 * (len - sizeof last));
    }
    for (size_t i = 0; i < len; i++)
        packed |= (uint64_t)p[i] << (8 * i);
    return packed;
}

/* The part of smpp_frame for fewer than 16 octets. */
enum smpp_frame_verdict smpp_frame_torn(const uint8_t *data, size_t len, uint32_t max,
                                        struct smpp_header *header);

/* Looks for one PDU at the start of data[0 .. len).
 *
 * max is the longest command_length (octets) accepted now. The header is set as soon as 16 octets are there,
 * whatever the verdict, so that a refusal can name the command and its sequence number; with fewer octets
 * only what can be known is judged: four octets are enough for BAD. A BAD verdict on fewer than 16 octets
 * sets the header's missing fields to 0. */
static inline enum smpp_frame_verdict smpp_frame(const uint8_t *data, size_t len, uint32_t max,
                                                 struct smpp_header *header)
{
    if (len < SMPP_HEADER_LEN)
        return smpp_frame_torn(data, len, max, header);
    header->length = smpp_get32(data);
    header->command_id = smpp_get32(data + 4);
    header->command_status = smpp_get32(data + 8);
    header->sequence_number = smpp_get32(data + 12);
    if (header->length < SMPP_HEADER_LEN || header->length > max)
        return SMPP_FRAME_BAD;
    return header->length <= len ? SMPP_FRAME_WHOLE : SMPP_FRAME_PARTIAL;
}

/* Writes the 16 octets of a header. */
void smpp_put_header(uint8_t out[SMPP_HEADER_LEN], const struct smpp_header *header);

#endif
