/* Numbers that look random and are the same on every machine for the same seed, so that a failure comes
 * again. */
#ifndef TEST_UNIT_SEEDED_H
#define TEST_UNIT_SEEDED_H

#include <stdint.h>

static uint64_t seeded_state = 1;

static inline void seeded(unsigned seed)
{
    seeded_state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
}

/* 0 to n - 1; 0 for 0. */
static inline unsigned any_of(unsigned n)
{
    seeded_state ^= seeded_state << 13; /* xorshift64 */
    seeded_state ^= seeded_state >> 7;
    seeded_state ^= seeded_state << 17;
    return n == 0 ? 0 : (unsigned)((seeded_state >> 16) % n);
}

#endif
