/* What the fuzz targets share: a check that libFuzzer sees, and numbers taken off the front of an input.
 *
 *   input ──take_octet, take_number, take_rest──▶ decisions and octets ──▶ parser at a guard page ──▶ MUST(...)
 *
 * An input that is too short gives zeros: every input is a whole one. */
#ifndef TEST_FUZZ_FUZZ_H
#define TEST_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition)                                                                    \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                       \
        }                                                                                  \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *p;
    size_t len;
};

static inline uint8_t take_octet(struct input *in)
{
    if (in->len == 0)
        return 0;
    in->len--;
    return *in->p++;
}

/* Below limit. */
static inline unsigned take_number(struct input *in, unsigned limit)
{
    unsigned high = take_octet(in);
    return ((high << 8) | take_octet(in)) % limit;
}

/* Up to count octets, as many as there are. */
static inline struct input take_octets(struct input *in, size_t count)
{
    struct input taken = {in->p, count < in->len ? count : in->len};
    in->p += taken.len;
    in->len -= taken.len;
    return taken;
}

#endif
