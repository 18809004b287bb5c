/* Makes a portability table.
 *
 *   rows (number, range or prefix; carrier) ──numbers_builder_add──▶ builder ──numbers_build──▶ image, as in the file
 *
 * Rows come in any order. A row that says what another says is counted and dropped; rows that contradict each
 * other are errors, all of them named. */
#ifndef ROUTING_NUMBERS_BUILD_H
#define ROUTING_NUMBERS_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routing/numbers.h"

struct numbers_builder;

/* NULL without memory. */
struct numbers_builder *numbers_builder_new(void);
void numbers_builder_free(struct numbers_builder *builder);

/* numbers is "64211234567", "64210000000-64219999999" (both included, of one length) or "6421*" (whatever begins
 * with it), each with or without '+'. line is the caller's, for errors; 1 or more. NULL, or what is wrong, a few
 * words that live on. */
const char *numbers_builder_add(struct numbers_builder *builder, const char *numbers, const char *carrier,
                                unsigned line);

struct numbers_image {
    void *data; /* by mmap */
    size_t size;
    uint64_t dropped; /* rows that said what another had said */
};

/* Two rows cannot both be true; called at most a few hundred times. */
typedef void numbers_contradiction(void *ctx, unsigned line, const char *text);

/* Makes the table of all rows, with its version (1 to NUMBERS_VERSION_MAX printable ASCII characters) and time (seconds since
 * 1970). False where rows contradict each other, each told to report, or without memory (told as line 0). The
 * builder is empty afterwards. */
bool numbers_build(struct numbers_builder *builder, const char *version, uint64_t built,
                   numbers_contradiction *report, void *ctx, struct numbers_image *image);

#endif
