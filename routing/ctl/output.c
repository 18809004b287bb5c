/* See output.h. A grid keeps its cells as text, row by row; the widths are found when it is printed. */
#include "routing/ctl/output.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "routing/ctl/exits.h"

struct grid {
    const struct column *columns;
    size_t columns_count, cells_count, cells_space;
    char **cells;
};

void *need(void *pointer)
{
    if (!pointer) {
        fputs("turnoutctl: there is no memory left\n", stderr);
        exit(CTL_FAILED);
    }
    return pointer;
}

void text_copy(char *to, size_t size, const char *from)
{
    size_t len = strlen(from);
    if (len >= size) {
        abort();
    }
    memcpy(to, from, len + 1);
}

char *text_clean(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c; c++) {
        /* C2 80 to C2 9F are control characters, too: a terminal takes C2 9B for ESC [. */
        bool control = *c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0);
        *c = control ? '?' : *c;
    }
    return text;
}

void text_print(FILE *out, const char *text)
{
    char *copy = need(strdup(text));
    fputs(text_clean(copy), out);
    free(copy);
}

/* Columns that a terminal needs, as long as nothing in the text is wide or combining. */
static size_t text_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

void text_wrap(FILE *out, const char *first, const char *text)
{
    char *copy = need(strdup(text));
    char *rest = text_clean(copy);
    size_t used = text_width(first);
    const char *gap = "";
    fputs(first, out);
    while (rest) {
        const char *word = strsep(&rest, " ");
        if (*gap && used + 1 + text_width(word) > 79) {
            gap = "\n  ";
            used = 1;
        }
        fprintf(out, "%s%s", gap, word);
        used += text_width(gap) > 0 ? 1 + text_width(word) : text_width(word);
        gap = " ";
    }
    fputc('\n', out);
    free(copy);
}

struct grid *grid_new(const struct column *columns, size_t count)
{
    struct grid *grid = need(calloc(1, sizeof *grid));
    grid->columns = columns;
    grid->columns_count = count;
    return grid;
}

void grid_cell(struct grid *grid, const char *format, ...)
{
    if (grid->cells_count == grid->cells_space) {
        grid->cells_space = grid->cells_space ? grid->cells_space * 2 : 64;
        grid->cells = need(reallocarray(grid->cells, grid->cells_space, sizeof *grid->cells));
    }
    char *text = NULL;
    va_list list;
    va_start(list, format);
    int len = vasprintf(&text, format, list);
    va_end(list);
    grid->cells[grid->cells_count++] = text_clean(need(len < 0 ? NULL : text));
}

static size_t column_width(const struct grid *grid, size_t column)
{
    size_t width = 0;
    for (size_t i = column; i < grid->cells_count; i += grid->columns_count) {
        size_t cell = text_width(grid->cells[i]);
        width = cell > width ? cell : width;
    }
    size_t title = text_width(grid->columns[column].title);
    return width == 0 ? 0 : width > title ? width : title;
}

/* blanks counts what is owed before the next text, so that no line ends in blanks. */
static void print_cell(FILE *out, const char *text, size_t width, bool right, size_t *blanks)
{
    size_t pad = width - text_width(text);
    *blanks += right ? pad : 0;
    if (*text) {
        fprintf(out, "%*s%s", (int)*blanks, "", text);
        *blanks = 0;
    } else {
        *blanks += right ? 0 : width;
        pad = 0;
    }
    *blanks += (right ? 0 : pad) + 2;
}

static void print_row(const struct grid *grid, FILE *out, const char *indent, char **cells,
                      const size_t *widths)
{
    size_t blanks = 0;
    fputs(indent, out);
    for (size_t i = 0; i < grid->columns_count; i++) {
        if (widths[i] > 0) {
            const char *text = cells ? cells[i] : grid->columns[i].title;
            print_cell(out, text, widths[i], grid->columns[i].right, &blanks);
        }
    }
    fputc('\n', out);
}

void grid_number(struct grid *grid, bool known, long long number)
{
    if (known) {
        grid_cell(grid, "%lld", number);
    } else {
        grid_cell(grid, "%s", "");
    }
}

void grid_share(struct grid *grid, bool known, long long part, long long whole)
{
    if (known) {
        grid_cell(grid, "%lld/%lld", part, whole);
    } else {
        grid_cell(grid, "%s", "");
    }
}

void grid_print(const struct grid *grid, FILE *out, const char *indent)
{
    size_t *widths = need(calloc(grid->columns_count, sizeof *widths));
    for (size_t i = 0; i < grid->columns_count; i++) {
        widths[i] = column_width(grid, i);
    }
    print_row(grid, out, indent, NULL, widths);
    for (size_t i = 0; i + grid->columns_count <= grid->cells_count; i += grid->columns_count) {
        print_row(grid, out, indent, grid->cells + i, widths);
    }
    free(widths);
}

void grid_free(struct grid *grid)
{
    for (size_t i = 0; i < grid->cells_count; i++) {
        free(grid->cells[i]);
    }
    free(grid->cells);
    free(grid);
}

const char *time_text(uint64_t ms, char text[TIME_TEXT_SIZE])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm local;
    if (ms == 0 || !localtime_r(&seconds, &local) ||
        strftime(text, TIME_TEXT_SIZE, "%Y-%m-%d %H:%M:%S %z", &local) == 0) {
        text_copy(text, TIME_TEXT_SIZE, "-");
    }
    return text;
}

const char *age_text(uint64_t ms, char text[AGE_TEXT_SIZE])
{
    uint64_t seconds = ms / 1000;
    uint64_t unit = seconds < 120 ? 1 : seconds < 7200 ? 60 : seconds < 172800 ? 3600 : 86400;
    const char *name = unit == 1 ? "s" : unit == 60 ? "min" : unit == 3600 ? "h" : "d";
    snprintf(text, AGE_TEXT_SIZE, "%llu %s", (unsigned long long)(seconds / unit), name);
    return text;
}

const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

json_t *json_text(const char *text)
{
    json_t *value = json_string(text);
    if (value) {
        return value;
    }
    char *copy = need(strdup(text));
    for (char *c = copy; *c; c++) {
        if ((unsigned char)*c >= 0x80) {
            *c = '?';
        }
    }
    value = need(json_string(copy));
    free(copy);
    return value;
}

void json_put(json_t *object, const char *name, json_t *value)
{
    if (json_object_set_new(object, name, need(value)) != 0) {
        need(NULL);
    }
}

const char *json_member(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}
