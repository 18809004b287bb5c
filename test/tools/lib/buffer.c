#include "test/tools/lib/buffer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *memory)
{
    if (memory == NULL) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

void *tools_alloc(size_t count, size_t size)
{
    return checked(calloc(count == 0 ? 1 : count, size == 0 ? 1 : size));
}

char *tools_copy(const char *text)
{
    return checked(strdup(text));
}

uint8_t *buffer_reserve(struct buffer *b, size_t n)
{
    if (b->cap - b->len < n) {
        size_t cap = b->cap == 0 ? 4096 : b->cap;
        while (cap - b->len < n) {
            cap *= 2;
        }
        b->data = checked(realloc(b->data, cap));
        b->cap = cap;
    }
    return b->data + b->len;
}

void buffer_append(struct buffer *b, const void *data, size_t n)
{
    if (n > 0) {
        memcpy(buffer_reserve(b, n), data, n);
        b->len += n;
    }
}

void buffer_consume(struct buffer *b, size_t n)
{
    b->len -= n;
    if (b->len > 0 && n > 0) {
        memmove(b->data, b->data + n, b->len);
    }
}

void buffer_free(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){NULL, 0, 0};
}
