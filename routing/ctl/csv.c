/* See csv.h. Line by line: split into fields, drop what is no row, check each field, then look for cells that
 * are named twice. No error ends the reading: the operator mends a file once, not once an error. */
#include "routing/ctl/csv.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "routing/ctl/output.h"

enum { FIELDS_MAX = 4 };

/* What the third and fourth column are. */
struct form {
    const char *third, *fourth;
    bool moves;
    const struct zone *zone;
};

struct line {
    const struct form *form;
    unsigned number;
    size_t fields_count;
    char *fields[FIELDS_MAX];
};

void csv_error_add(struct csv *csv, unsigned line, const char *format, ...)
{
    if (csv->errors_count == csv->errors_space) {
        csv->errors_space = csv->errors_space ? csv->errors_space * 2 : 16;
        csv->errors = need(reallocarray(csv->errors, csv->errors_space, sizeof *csv->errors));
    }
    struct csv_error *error = &csv->errors[csv->errors_count++];
    va_list list;
    va_start(list, format);
    error->line = line;
    vsnprintf(error->text, sizeof error->text, format, list);
    va_end(list);
}

static void row_add(struct csv *csv, const struct csv_row *row)
{
    if (csv->rows_count == csv->rows_space) {
        csv->rows_space = csv->rows_space ? csv->rows_space * 2 : 64;
        csv->rows = need(reallocarray(csv->rows, csv->rows_space, sizeof *csv->rows));
    }
    csv->rows[csv->rows_count++] = *row;
}

/* Takes the quotes off a field in place; *end is set behind it. False where the closing quote is missing. */
static bool unquote(char *field, char **end)
{
    char *to = field;
    char *from = field + 1;
    while (*from && (*from != '"' || from[1] == '"')) {
        from += *from == '"';
        *to++ = *from++;
    }
    bool closed = *from == '"';
    *end = closed ? from + 1 : from;
    *to = '\0';
    return closed;
}

static void trim(char *start, char *end)
{
    while (end > start && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    *end = '\0';
}

char *csv_field_take(char **rest, const char **reason)
{
    char *field = *rest + strspn(*rest, " \t");
    char *end = field;
    bool quoted = *field == '"';
    if (quoted && !unquote(field, &end)) {
        *reason = "a quote is opened and not closed";
        return NULL;
    }
    char *comma = end + strcspn(end, ",");
    if (quoted && end + strspn(end, " \t") != comma) {
        *reason = "there is text behind a closing quote";
        return NULL;
    }
    *rest = *comma ? comma + 1 : NULL;
    if (!quoted) {
        trim(field, comma);
    }
    return field;
}

/* False with a reason where the line cannot be split. */
static bool line_split(struct line *line, char *text, const char **reason)
{
    char *rest = text;
    line->fields_count = 0;
    while (rest) {
        char *field = csv_field_take(&rest, reason);
        if (!field) {
            return false;
        }
        if (line->fields_count == FIELDS_MAX) {
            *reason = line->form->moves ? "there are more than 4 columns: shortcode,carrier,to,at"
                                        : "there are more than 4 columns: shortcode,carrier,platform,state";
            return false;
        }
        line->fields[line->fields_count++] = field;
    }
    return true;
}

static bool is_header(const struct line *line)
{
    return line->fields_count >= 3 && strcasecmp(line->fields[0], "shortcode") == 0 &&
           strcasecmp(line->fields[1], "carrier") == 0 && strcasecmp(line->fields[2], line->form->third) == 0;
}

static bool name_check(struct csv *csv, const struct line *line, const char *what, const char *text)
{
    if (!name_fine(text)) {
        csv_error_add(csv, line->number,
                      "%s \"%.40s\" must be 1 to %d letters, digits, dots, dashes or underscores", what, text,
                      NAME_LEN_MAX);
        return false;
    }
    return true;
}

static bool state_check(struct csv *csv, const struct line *line, struct csv_row *row)
{
    const char *word = line->fields_count > 3 && *line->fields[3] ? line->fields[3] : "open";
    if (!route_state_parse(word, &row->cell.state)) {
        csv_error_add(csv, line->number, "state \"%.40s\" must be open, hold or closed", word);
        return false;
    }
    return true;
}

static bool at_check(struct csv *csv, const struct line *line, struct csv_row *row)
{
    char reason[ZONE_REASON_SIZE];
    const char *word = line->fields_count > 3 ? line->fields[3] : "";
    if (*word && !zone_parse(word, line->form->zone, &row->at_ms, NULL, reason)) {
        csv_error_add(csv, line->number, "%s", reason);
        return false;
    }
    return true;
}

/* Checks every field of a row, so that a line with two errors shows both. */
static bool row_check(struct csv *csv, const struct line *line, struct csv_row *row)
{
    if (line->fields_count < 3) {
        csv_error_add(csv, line->number, "there are less than 3 columns: shortcode,carrier,%s[,%s]",
                      line->form->third, line->form->fourth);
        return false;
    }
    bool fine = shortcode_fine(line->fields[0]);
    if (!fine) {
        csv_error_add(csv, line->number,
                      "shortcode \"%.40s\" must be 1 to %d printable characters without blanks",
                      line->fields[0], SHORTCODE_LEN_MAX);
    }
    fine = name_check(csv, line, "carrier", line->fields[1]) && fine;
    fine = name_check(csv, line, "platform", line->fields[2]) && fine;
    return (line->form->moves ? at_check(csv, line, row) : state_check(csv, line, row)) && fine;
}

static void line_parse(struct csv *csv, const struct form *form, char *text, unsigned number, bool *first)
{
    struct line line = {.form = form, .number = number};
    struct csv_row row = {.line = number};
    const char *reason;
    if (text[strspn(text, " \t")] == '\0' || *text == '#') {
        return;
    }
    bool header_may_come = *first;
    *first = false;
    if (!line_split(&line, text, &reason)) {
        csv_error_add(csv, number, "%s", reason);
    } else if (!(header_may_come && is_header(&line)) && row_check(csv, &line, &row)) {
        text_copy(row.cell.shortcode, sizeof row.cell.shortcode, line.fields[0]);
        text_copy(row.cell.carrier, sizeof row.cell.carrier, line.fields[1]);
        text_copy(row.cell.platform, sizeof row.cell.platform, line.fields[2]);
        row_add(csv, &row);
    }
}

static int by_cell(const void *left_item, const void *right_item)
{
    const struct csv_row *left = *(const struct csv_row *const *)left_item;
    const struct csv_row *right = *(const struct csv_row *const *)right_item;
    int order = strcmp(left->cell.shortcode, right->cell.shortcode);
    order = order ? order : strcmp(left->cell.carrier, right->cell.carrier);
    return order ? order : left->line < right->line ? -1 : left->line > right->line;
}

static bool same_cell(const struct csv_row *left, const struct csv_row *right)
{
    return strcmp(left->cell.shortcode, right->cell.shortcode) == 0 &&
           strcmp(left->cell.carrier, right->cell.carrier) == 0;
}

static void find_twice(struct csv *csv)
{
    const struct csv_row **sorted = need(calloc(csv->rows_count + 1, sizeof(struct csv_row *)));
    for (size_t i = 0; i < csv->rows_count; i++) {
        sorted[i] = &csv->rows[i];
    }
    qsort(sorted, csv->rows_count, sizeof(struct csv_row *), by_cell);
    const struct csv_row *first = sorted[0];
    for (size_t i = 1; i < csv->rows_count; i++) {
        if (same_cell(first, sorted[i])) {
            csv_error_add(csv, sorted[i]->line, "%s %s is in line %u already", first->cell.shortcode,
                          first->cell.carrier, first->line);
        } else {
            first = sorted[i];
        }
    }
    free(sorted);
}

static int by_line(const void *left_item, const void *right_item)
{
    const struct csv_error *left = left_item;
    const struct csv_error *right = right_item;
    return left->line < right->line ? -1 : left->line > right->line;
}

void csv_errors_sort(struct csv *csv)
{
    if (csv->errors_count > 0) {
        qsort(csv->errors, csv->errors_count, sizeof *csv->errors, by_line);
    }
}

static void parse(struct csv *csv, const char *text, size_t len, const struct form *form)
{
    char *copy = need(strndup(text, len));
    char *rest = copy + (strncmp(copy, "\xef\xbb\xbf", 3) == 0 ? 3 : 0);
    bool first = true;
    if (strlen(copy) != len) {
        csv_error_add(csv, 1, "the file has NUL characters: it is no text");
        rest = NULL;
    }
    for (unsigned number = 1; rest; number++) {
        char *line = strsep(&rest, "\n");
        size_t end = strlen(line);
        line[end > 0 && line[end - 1] == '\r' ? end - 1 : end] = '\0';
        line_parse(csv, form, line, number, &first);
    }
    free(copy);
    find_twice(csv);
    csv_errors_sort(csv);
}

void csv_parse(struct csv *csv, const char *text, size_t len)
{
    parse(csv, text, len, &(struct form){.third = "platform", .fourth = "state"});
}

void csv_parse_moves(struct csv *csv, const char *text, size_t len, const struct zone *zone)
{
    parse(csv, text, len, &(struct form){.third = "to", .fourth = "at", .moves = true, .zone = zone});
}

void csv_free(struct csv *csv)
{
    free(csv->rows);
    free(csv->errors);
    memset(csv, 0, sizeof *csv);
}

void csv_write_header(FILE *out)
{
    fputs("shortcode,carrier,platform,state\n", out);
}

static void write_field(FILE *out, const char *text)
{
    /* A shortcode may begin with #, which at the start of a line would be a comment. */
    if (!strpbrk(text, ",\"#")) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++) {
        fputs(*text == '"' ? "\"\"" : (char[]){*text, '\0'}, out);
    }
    fputc('"', out);
}

void csv_write_cell(FILE *out, const struct cell *cell)
{
    write_field(out, cell->shortcode);
    fputc(',', out);
    write_field(out, cell->carrier);
    fputc(',', out);
    write_field(out, cell->platform);
    fprintf(out, ",%s\n", route_state_name(cell->state));
}
