/* A text in memory that is written like a file.
 *
 *   memory_text_open ──fprintf, fputs, ...──▶ memory_text_close ──▶ all of the text, or NULL
 *
 * In place of open_memstream, which forgets what it has no memory for: the rest follows where that was, and neither ferror
 * nor fclose tells (glibc 2.36). */
#ifndef PROXY_MEMORY_TEXT_H
#define PROXY_MEMORY_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct memory_text {
    char *text;
    size_t len, room;
    bool failed;
    FILE *out;
};

/* What to write to; NULL without memory, and then there is nothing to close. */
FILE *memory_text_open(struct memory_text *t);

/* Ends the writing. The text, with a NUL behind it, is the caller's to free; its length goes to *len (may be NULL). NULL
 * where there was not memory for all of it. */
char *memory_text_close(struct memory_text *t, size_t *len);

#endif
