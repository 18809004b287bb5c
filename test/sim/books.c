/* malloc ─▶ whose process runs? ─▶ a line in the books ─▶ free strikes it out ─▶ what is left at the end was leaked
 *
 * The product's calls come here (linked with --wrap); the world's own are compiled to go past (CMakeLists.txt). Lines are
 * found by a hash of the address, with no order that anything could depend on. */
#include "test/sim/books.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "test/sim/sim.h"

struct line {
    void *memory; /* NULL: free; GONE: struck out */
    const struct process *process;
    size_t size;
    const char *caller;
};

#define GONE ((void *)&struck)
static const char struck;
extern const char __executable_start; /* of the linker */

static struct line *lines;
static size_t lines_size, lines_used; /* used: those struck out, too */

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_reallocarray(void *memory, size_t count, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __wrap_free(void *memory);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__real_reallocarray(void *memory, size_t count, size_t size);

static struct line *place_of(const void *memory)
{
    uint64_t hash = (uint64_t)(uintptr_t)memory * UINT64_C(0x9E3779B97F4A7C15);
    size_t at = (size_t)(hash >> 20) & (lines_size - 1);
    while (lines[at].memory != NULL && lines[at].memory != memory) {
        at = (at + 1) & (lines_size - 1);
    }
    return &lines[at];
}

/* Twice as large, without what was struck out. */
static void grow(void)
{
    struct line *old = lines;
    size_t old_size = lines_size;
    size_t living = 0;
    for (size_t i = 0; i < old_size; i++) {
        living += old[i].memory != NULL && old[i].memory != GONE;
    }
    lines_size = 4096;
    while (lines_size < 4 * living) {
        lines_size *= 2;
    }
    lines = calloc(lines_size, sizeof *lines);
    if (lines == NULL) {
        abort();
    }
    for (size_t i = 0; i < old_size; i++) {
        if (old[i].memory != NULL && old[i].memory != GONE) {
            *place_of(old[i].memory) = old[i];
        }
    }
    lines_used = living;
    free(old);
}

static void *note(void *memory, size_t size, const void *caller)
{
    if (memory == NULL || current == NULL) {
        return memory;
    }
    if (2 * lines_used >= lines_size) {
        grow();
    }
    struct line *line = place_of(memory);
    lines_used += line->memory == NULL;
    *line = (struct line){memory, current, size, caller};
    return memory;
}

static void strike(void *memory)
{
    if (memory != NULL && lines_size > 0) {
        struct line *line = place_of(memory);
        line->memory = line->memory == NULL ? NULL : GONE;
    }
}

void *__wrap_malloc(size_t size)
{
    return note(malloc(size), size, __builtin_return_address(0));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return note(calloc(count, size), count * size, __builtin_return_address(0));
}

void *__wrap_realloc(void *memory, size_t size)
{
    void *moved = realloc(memory, size);
    if (moved != NULL) {
        strike(memory);
    }
    return note(moved, size, __builtin_return_address(0));
}

void *__wrap_reallocarray(void *memory, size_t count, size_t size)
{
    void *moved = __real_reallocarray(memory, count, size);
    if (moved != NULL) {
        strike(memory);
    }
    return note(moved, count * size, __builtin_return_address(0));
}

char *__wrap_strdup(const char *text)
{
    return note(strdup(text), strlen(text) + 1, __builtin_return_address(0));
}

char *__wrap_strndup(const char *text, size_t len)
{
    return note(strndup(text, len), len + 1, __builtin_return_address(0));
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return note(__real_aligned_alloc(alignment, size), size, __builtin_return_address(0));
}

void __wrap_free(void *memory)
{
    strike(memory);
    free(memory);
}

void books_killed(const struct process *p)
{
    for (size_t i = 0; i < lines_size; i++) {
        if (lines[i].process == p && lines[i].memory != NULL) {
            lines[i].memory = GONE;
        }
    }
}

void books_check(const struct process *p)
{
    size_t count = 0;
    size_t octets = 0;
    const struct line *first = NULL;
    for (size_t i = 0; i < lines_size; i++) {
        const struct line *line = &lines[i];
        if (line->process == p && line->memory != NULL && line->memory != GONE) {
            count++;
            octets += line->size;
            first = first == NULL || line->size > first->size ? line : first;
        }
    }
    if (count > 0) {
        violated("every buffer and slot back at the end", 0,
                 "%s has left %zu octets in %zu pieces; the largest, %zu octets, was asked for before "
                 "turnout-sim+0x%tx",
                 p->name, octets, count, first->size, first->caller - &__executable_start);
    }
}
