/* octets ──32 a step──▶ four lanes ──merged──▶ one ──the rest, by 8, 4, 1──▶ mixed. As XXH64's specification
 * has it; its names are kept. */
#include "routing/checksum.h"

#include <endian.h>
#include <string.h>

enum { LANES = 4, STRIPE = 8 * LANES };

#define PRIME_1 UINT64_C(0x9E3779B185EBCA87)
#define PRIME_2 UINT64_C(0xC2B2AE3D27D4EB4F)
#define PRIME_3 UINT64_C(0x165667B19E3779F9)
#define PRIME_4 UINT64_C(0x85EBCA77C2B2AE63)
#define PRIME_5 UINT64_C(0x27D4EB2F165667C5)

static uint64_t rotate(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t value;
    memcpy(&value, p, sizeof(value));
    return le64toh(value);
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t value;
    memcpy(&value, p, sizeof(value));
    return le32toh(value);
}

static uint64_t round_of(uint64_t lane, uint64_t input)
{
    return rotate(lane + input * PRIME_2, 31) * PRIME_1;
}

static uint64_t merge(uint64_t sum, uint64_t lane)
{
    return (sum ^ round_of(0, lane)) * PRIME_1 + PRIME_4;
}

/* The stripes of data; *p is set behind them. */
static uint64_t sum_stripes(const uint8_t **p, const uint8_t *end)
{
    uint64_t a = PRIME_1 + PRIME_2, b = PRIME_2, c = 0, d = 0 - PRIME_1;
    for (; end - *p >= STRIPE; *p += STRIPE) {
        a = round_of(a, get64(*p));
        b = round_of(b, get64(*p + 8));
        c = round_of(c, get64(*p + 16));
        d = round_of(d, get64(*p + 24));
    }
    uint64_t sum = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
    return merge(merge(merge(merge(sum, a), b), c), d);
}

static uint64_t sum_rest(uint64_t sum, const uint8_t *p, const uint8_t *end)
{
    for (; end - p >= 8; p += 8)
        sum = rotate(sum ^ round_of(0, get64(p)), 27) * PRIME_1 + PRIME_4;
    if (end - p >= 4) {
        sum = rotate(sum ^ get32(p) * PRIME_1, 23) * PRIME_2 + PRIME_3;
        p += 4;
    }
    for (; p < end; p++)
        sum = rotate(sum ^ *p * PRIME_5, 11) * PRIME_1;
    return sum;
}

uint64_t checksum64(const void *data, size_t len)
{
    const uint8_t *p = data;
    const uint8_t *end = p + len;
    uint64_t sum = len >= STRIPE ? sum_stripes(&p, end) : PRIME_5;
    sum = sum_rest(sum + len, p, end);
    sum = (sum ^ (sum >> 33)) * PRIME_2;
    sum = (sum ^ (sum >> 29)) * PRIME_3;
    return sum ^ (sum >> 32);
}
