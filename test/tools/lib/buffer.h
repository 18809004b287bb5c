/* A run of octets that grows at its end and is eaten from its front; and the allocation all of the tools use.
 *
 *   buffer_reserve ─▶ write there ─▶ buffer_commit ─▶ ... ─▶ buffer_consume
 *
 * Running out of memory ends the program: a rehearsal tool has nothing better to do then. */
#ifndef TOOLS_BUFFER_H
#define TOOLS_BUFFER_H

#include <stddef.h>
#include <stdint.h>

/* count * size zeroed octets, never NULL. Give back with free(). */
void *tools_alloc(size_t count, size_t size);

/* A copy of text, never NULL. Give back with free(). */
char *tools_copy(const char *text);

struct buffer {
    uint8_t *data;
    size_t len; /* octets in use */
    size_t cap;
};

/* Room for n more octets behind the used ones; where to write them. Valid until the next call. */
uint8_t *buffer_reserve(struct buffer *b, size_t n);

static inline void buffer_commit(struct buffer *b, size_t n)
{
    b->len += n;
}

void buffer_append(struct buffer *b, const void *data, size_t n);

/* Takes n octets (at most len) off the front. */
void buffer_consume(struct buffer *b, size_t n);

/* Empties the buffer and gives its memory back. */
void buffer_free(struct buffer *b);

#endif
