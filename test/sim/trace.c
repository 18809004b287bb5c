/* The story of a world: hashed always, printed with --trace. What is told of a message is kept beside it, to be printed
 * when a rule is broken. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/sim/sim.h"

enum { LINE_MAX_LEN = 320 };

struct line {
    struct line *next;
    uint32_t message;
    char text[];
};

bool trace_on;
uint64_t sim_seed_used;
static uint64_t hash;
static struct line *lines, **last = &lines;

void trace_begin(void)
{
    while (lines != NULL) {
        struct line *line = lines;
        lines = line->next;
        free(line);
    }
    last = &lines;
    hash = 0xCBF29CE484222325U;
}

uint64_t trace_hash(void)
{
    return hash;
}

static void add(const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        hash = (hash ^ (uint8_t)*p) * 0x100000001B3U;
    }
    if (trace_on) {
        puts(text);
    }
}

static void make_line(char line[LINE_MAX_LEN], const char *who, const char *format, va_list list)
{
    uint64_t us = (sim_now - SIM_BEGIN) / 1000;
    int len =
        snprintf(line, LINE_MAX_LEN, "%4" PRIu64 ".%06" PRIu64 "  %-14s ", us / 1000000, us % 1000000, who);
    vsnprintf(line + len, LINE_MAX_LEN - (size_t)len, format, list);
}

void tell(const char *who, const char *format, ...)
{
    char line[LINE_MAX_LEN];
    va_list list;
    va_start(list, format);
    make_line(line, who, format, list);
    va_end(list);
    add(line);
}

void tell_of(uint32_t message, const char *who, const char *format, ...)
{
    char line[LINE_MAX_LEN];
    va_list list;
    va_start(list, format);
    make_line(line, who, format, list);
    va_end(list);
    add(line);
    struct line *kept = malloc(sizeof *kept + strlen(line) + 1);
    if (kept == NULL) {
        abort();
    }
    kept->next = NULL;
    kept->message = message;
    strcpy(kept->text, line);
    *last = kept;
    last = &kept->next;
}

void violated(const char *rule, uint32_t message, const char *format, ...)
{
    va_list list;
    printf("VIOLATED %s\n  seed %" PRIu64 ", at %.6f s: ", rule, sim_seed_used,
           (double)(sim_now - SIM_BEGIN) / (double)SECOND);
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    printf("\n");
    for (const struct line *line = lines; message != 0 && line != NULL; line = line->next) {
        if (line->message == message) {
            printf("  %s\n", line->text);
        }
    }
    printf("  again: test/sim/run --seed %" PRIu64 " --trace\n", sim_seed_used);
    fflush(stdout);
    _Exit(1);
}
