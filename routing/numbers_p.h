/* Private to numbers.c, which reads tables, and numbers_build.c, which makes them: what is in the file. */
#ifndef ROUTING_NUMBERS_P_H
#define ROUTING_NUMBERS_P_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routing/numbers.h"

/* "TOnumber", as a number in the byte order of the machine, as everything else in the file. */
#define NUMBERS_MAGIC UINT64_C(0x544F6E756D626572)
enum { NUMBERS_FORMAT = 1, NUMBERS_HEADER_SIZE = 4096, NUMBERS_BOUND_NONE = 0xFF };

struct numbers_header {
    uint64_t magic;
    uint64_t checksum; /* of everything behind this field, to the end of the file */
    uint32_t format;
    uint32_t carriers;
    uint64_t built;
    uint64_t count;
    uint64_t homes; /* slots that a key may point to */
    uint64_t slots; /* all of them: some more at the end, the last is NUMBERS_LAST */
    uint64_t bounds;
    char version[NUMBERS_VERSION_MAX + 1];
    char carrier[NAMES_MAX][NAME_LEN_MAX + 1];
};
_Static_assert(sizeof(struct numbers_header) <= NUMBERS_HEADER_SIZE, "the header has room");

enum { NUMBERS_SUMMED_FROM = offsetof(struct numbers_header, format) };

/* A slot or a bound: a key and a carrier. 0 is an empty slot, since no key is 0. */
enum { CARRIER_BITS = 8 };
#define NUMBERS_LAST UINT64_MAX

static inline uint64_t entry_of(uint64_t key, uint8_t carrier)
{
    return key << CARRIER_BITS | carrier;
}

static inline uint64_t entry_key(uint64_t entry)
{
    return entry >> CARRIER_BITS;
}

/* A number as a number, with a 1 before its digits, so that "01" and "1" differ: less than 2^51, and numbers of
 * one length are in their order. 0 where it is no number. */
static inline uint64_t number_key(const uint8_t *digits, size_t len)
{
    uint64_t key = 1;
    if (len > 0 && *digits == '+') {
        digits++;
        len--;
    }
    if (len == 0 || len > NUMBER_DIGITS_MAX)
        return 0;
    for (size_t i = 0; i < len; i++) {
        uint8_t digit = (uint8_t)(digits[i] - '0');
        if (digit > 9)
            return 0;
        key = key * 10 + digit;
    }
    return key;
}

/* Numbers come in runs; scrambled they are spread evenly, so that the upper bits alone say where to look. One to
 * one: two odd factors and a shift by more than half of the bits can all be undone. */
enum { KEY_BITS = 51, KEY_SHIFT = 26, HOME_BITS = 32 };
#define KEY_MASK     ((UINT64_C(1) << KEY_BITS) - 1)
#define KEY_FACTOR_1 UINT64_C(0x9E3779B97F4A7C15)
#define KEY_FACTOR_2 UINT64_C(0xD6E8FEB86659FD93)

static inline uint64_t key_scramble(uint64_t key)
{
    key = key * KEY_FACTOR_1 & KEY_MASK;
    key ^= key >> KEY_SHIFT;
    return key * KEY_FACTOR_2 & KEY_MASK;
}

/* x with x ^ x >> KEY_SHIFT undone: more than half of the bits are shifted away, so that once is enough. */
static inline uint64_t key_unscramble(uint64_t key)
{
    const uint64_t back_1 = UINT64_C(0xF1DE83E19937733D), back_2 = UINT64_C(0xCFEE444D8B59A89B);
    key = key * back_2 & KEY_MASK;
    key ^= key >> KEY_SHIFT;
    return key * back_1 & KEY_MASK;
}

/* The slot of a scrambled key, unless others are in the way; in the order of the keys. */
static inline uint64_t key_home(uint64_t scrambled, uint64_t homes)
{
    return (scrambled >> (KEY_BITS - HOME_BITS)) * homes >> HOME_BITS;
}

/* The number of a key that is not scrambled, as text. */
static inline void key_text(uint64_t key, char text[NUMBER_DIGITS_MAX + 1])
{
    char digits[NUMBER_DIGITS_MAX + 1];
    size_t len = 0;
    for (; key >= 10 && len < NUMBER_DIGITS_MAX; key /= 10)
        digits[len++] = (char)('0' + key % 10);
    for (size_t i = 0; i < len; i++)
        text[i] = digits[len - 1 - i];
    text[len] = '\0';
}

static inline size_t numbers_size(const struct numbers_header *header)
{
    return NUMBERS_HEADER_SIZE + (header->slots + header->bounds) * sizeof(uint64_t);
}

#endif
