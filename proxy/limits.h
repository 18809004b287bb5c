/* What a peer can do to the proxy, and what becomes of it: for each such case the options that bound it, the answer, and
 * the counters that tell of it. One table, printed for operators and read by the tests, which try every row.
 *
 *   limit_rows ──with the defaults of option_rows──▶ limits_print ──▶ turnoutd --print-limits
 *                                                                └──▶ test/system/hostile.py */
#ifndef PROXY_LIMITS_H
#define PROXY_LIMITS_H

#include <stddef.h>
#include <stdio.h>

struct limit_row {
    const char *peer;    /* what it does */
    const char *options; /* names, each followed by a space but the last; "" where nothing is to be set */
    const char *answer;
    const char *counters; /* without turnout_, with labels, likewise */
};
extern const struct limit_row limit_rows[];
extern const size_t limit_rows_count;

/* The table as Markdown; each option with its default. */
void limits_print(FILE *out);

#endif
