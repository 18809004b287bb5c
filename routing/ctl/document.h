/* A document to be sent round, as Markdown or as a page of HTML that needs nothing else.
 *
 *   heading, paragraph, table of rows ──document──▶ out, with whatever the text holds made harmless */
#ifndef ROUTING_CTL_DOCUMENT_H
#define ROUTING_CTL_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct document {
    FILE *out;
    bool html;
    size_t columns, column; /* of the table that is open; 0: none */
};

/* title is also the first heading. */
void document_start(struct document *document, FILE *out, bool html, const char *title);
void document_end(struct document *document);

void document_heading(struct document *document, const char *text);
void document_paragraph(struct document *document, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A table: its columns, then cell by cell, row by row. */
void document_table(struct document *document, const char *const *titles, size_t count);
void document_cell(struct document *document, const char *format, ...) __attribute__((format(printf, 2, 3)));
void document_table_end(struct document *document);

#endif
