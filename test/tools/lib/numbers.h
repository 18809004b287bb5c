/* Choosing numbers: a list of patterns with weights.
 *
 *   "6427xxxxxxx*3,64211234567" ──▶ numbers ──▶ "64275550142", "64271934420", "64211234567" ...
 *
 * An x stands for a random digit; "*3" makes a pattern come three times as often as one without. */
#ifndef TOOLS_NUMBERS_H
#define TOOLS_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NUMBER_MAX = 21 }; /* an address of SMPP 3.4, with its NUL */

struct number_pattern {
    char text[NUMBER_MAX];
    uint64_t weights; /* the sum of this pattern's weight and all before it */
};

/* A zeroed one is empty. */
struct numbers {
    struct number_pattern *patterns;
    size_t count;
};

/* Adds a comma-separated list. False, with nothing added, where one of them is too long, empty or has a
 * weight that is not a number from 1. */
bool numbers_add(struct numbers *numbers, const char *list);

/* Chooses one into out, and returns its length. There must be at least one pattern. */
size_t numbers_choose(const struct numbers *numbers, uint64_t *random_state, char out[NUMBER_MAX]);

void numbers_free(struct numbers *numbers);

#endif
