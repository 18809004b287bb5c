/* The routing table as a CSV file: shortcode,carrier,platform[,state]; the moves of a window:
 * shortcode,carrier,to[,at]. Pure: text in, rows and errors out.
 *
 *   text ──csv_parse, csv_parse_moves──▶ rows (line, four fields), and every error with its line
 *
 * Taken: LF and CRLF, a byte order mark, "quoted ""fields""", blanks around a field, empty lines, lines that
 * begin with #, and a first line that names the columns. */
#ifndef ROUTING_CTL_CSV_H
#define ROUTING_CTL_CSV_H

#include <stddef.h>
#include <stdio.h>

#include "routing/ctl/cells.h"
#include "routing/ctl/zone.h"

struct csv_row {
    unsigned line;
    struct cell cell; /* shortcode, carrier, platform (of a move: to) and state */
    uint64_t at_ms;   /* of a move: when it is made by itself; 0: it is not */
};

struct csv_error {
    unsigned line;
    char text[256];
};

struct csv {
    size_t rows_count, rows_space;
    struct csv_row *rows;
    size_t errors_count, errors_space;
    struct csv_error *errors;
};

/* csv is empty before; text is len octets with a NUL behind them. */
void csv_parse(struct csv *csv, const char *text, size_t len);

/* The same for the moves of a window; times without an offset are of the zone. */
void csv_parse_moves(struct csv *csv, const char *text, size_t len, const struct zone *zone);
void csv_free(struct csv *csv);

/* For files of other columns: one more error, and the next field of a line. It is taken off *rest, which is
 * changed and becomes NULL behind the last field; NULL with a reason (static text) where it cannot be read. */
void csv_error_add(struct csv *csv, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void csv_errors_sort(struct csv *csv); /* by line */
char *csv_field_take(char **rest, const char **reason);

/* The header line, and one line of a cell, quoted where it must be. */
void csv_write_header(FILE *out);
void csv_write_cell(FILE *out, const struct cell *cell);

#endif
