/* What the operator sees: aligned tables, times, safe text.
 *
 *   columns ──grid_new──▶ grid ──grid_cell, row by row──▶ grid_print: each column as wide as its widest cell,
 *                                                         a column without any text left out
 *
 * Text from Redis may hold anything; control characters never reach the terminal. */
#ifndef ROUTING_CTL_OUTPUT_H
#define ROUTING_CTL_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* pointer, or the end of the program where there is no memory. */
void *need(void *pointer);

struct column {
    const char *title;
    bool right; /* aligned to the right, as numbers are */
};

struct grid;
/* columns is kept, not copied. */
struct grid *grid_new(const struct column *columns, size_t count);
void grid_cell(struct grid *grid, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A number, or "3/200"; an empty cell where it is not known. */
void grid_number(struct grid *grid, bool known, long long number);
void grid_share(struct grid *grid, bool known, long long part, long long whole);
void grid_print(const struct grid *grid, FILE *out, const char *indent);
void grid_free(struct grid *grid);

/* Copies text that is known to fit. */
void text_copy(char *to, size_t size, const char *from);

/* Replaces control characters by '?', in place. Returns text. */
char *text_clean(char *text);

/* text with its control characters replaced, on out. */
void text_print(FILE *out, const char *text);

/* The same behind a first word or words, broken into lines of at most 79 columns, and ended. */
void text_wrap(FILE *out, const char *first, const char *text);

enum { TIME_TEXT_SIZE = 48, AGE_TEXT_SIZE = 24 };

/* "2024-11-23 14:05:06 +1300" in local time, from milliseconds since 1970; "-" for 0. */
const char *time_text(uint64_t ms, char text[TIME_TEXT_SIZE]);

/* "3 s", "12 min", "5 h", "4 d". */
const char *age_text(uint64_t ms, char text[AGE_TEXT_SIZE]);

/* "1 instance", "2 instances". */
const char *plural(uint64_t count);

/* A JSON string; octets that are not UTF-8 become '?'. */
json_t *json_text(const char *text);

/* Sets a member, with value taken over. */
void json_put(json_t *object, const char *name, json_t *value);

/* The member as text, or "" where it is none. */
const char *json_member(const json_t *object, const char *name);

#endif
