#include "test/tools/lib/numbers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "test/tools/lib/buffer.h"
#include "test/tools/lib/words.h"

/* Reads "PATTERN" or "PATTERN*WEIGHT" of len octets. */
static bool read_pattern(const char *text, size_t len, struct number_pattern *pattern)
{
    const char *star = memchr(text, '*', len);
    size_t digits = star == NULL ? len : (size_t)(star - text);
    uint64_t weight = 1;
    char number[NUMBER_MAX];
    if (star != NULL) {
        size_t rest = len - digits - 1;
        if (rest >= sizeof(number)) {
            return false;
        }
        memcpy(number, star + 1, rest);
        number[rest] = '\0';
        if (!word_number(number, &weight) || weight == 0 || weight > UINT32_MAX) {
            return false;
        }
    }
    if (digits == 0 || digits >= sizeof(pattern->text)) {
        return false;
    }
    memcpy(pattern->text, text, digits);
    pattern->text[digits] = '\0';
    pattern->weights = weight;
    return true;
}

bool numbers_add(struct numbers *numbers, const char *list)
{
    size_t added = 1;
    for (const char *p = list; *p != '\0'; p++) {
        added += *p == ',';
    }
    struct number_pattern *all = tools_alloc(numbers->count + added, sizeof(*all));
    if (numbers->count > 0) {
        memcpy(all, numbers->patterns, numbers->count * sizeof(*all));
    }
    const char *p = list;
    for (size_t i = numbers->count; i < numbers->count + added; i++) {
        size_t len = strcspn(p, ",");
        if (!read_pattern(p, len, &all[i])) {
            free(all);
            return false;
        }
        all[i].weights += i == 0 ? 0 : all[i - 1].weights;
        p += len + 1;
    }
    free(numbers->patterns);
    numbers->patterns = all;
    numbers->count += added;
    return true;
}

static const struct number_pattern *choose_pattern(const struct numbers *numbers, uint64_t *random_state)
{
    const struct number_pattern *p = numbers->patterns;
    if (numbers->count > 1) {
        uint64_t chosen = random_below(random_state, p[numbers->count - 1].weights);
        while (p->weights <= chosen) {
            p++;
        }
    }
    return p;
}

size_t numbers_choose(const struct numbers *numbers, uint64_t *random_state, char out[NUMBER_MAX])
{
    assert(numbers->count > 0);
    const char *text = choose_pattern(numbers, random_state)->text;
    uint64_t digits = random_next(random_state) >> 1;
    size_t i = 0;
    for (; text[i] != '\0'; i++) {
        out[i] = text[i];
        if (text[i] == 'x' || text[i] == 'X') {
            out[i] = (char)('0' + digits % 10);
            digits /= 10;
        }
    }
    out[i] = '\0';
    return i;
}

void numbers_free(struct numbers *numbers)
{
    free(numbers->patterns);
    *numbers = (struct numbers){NULL, 0};
}
