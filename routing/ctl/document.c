/* See document.h. */
#include "routing/ctl/document.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/output.h"

static const char style[] =
    "body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 1em;color:#1b1b1b}"
    "h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}"
    "table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}"
    "th,td{border:1px solid #c8c8c8;padding:.25em .6em;text-align:left;vertical-align:top}"
    "th{background:#f0f0f0}tr:nth-child(even) td{background:#fafafa}";

/* What would be markup, as text. */
static void put_text(const struct document *document, const char *text)
{
    static const char *const entities[][2] = {
        {"<", "&lt;"}, {">", "&gt;"}, {"&", "&amp;"}, {"\"", "&quot;"}, {"'", "&#39;"}};
    for (; *text; text++) {
        const char *entity = NULL;
        for (size_t i = 0; document->html && i < sizeof entities / sizeof *entities; i++) {
            entity = *text == *entities[i][0] ? entities[i][1] : entity;
        }
        if (entity) {
            fputs(entity, document->out);
            continue;
        }
        if (!document->html && strchr("\\`*_[]<>|", *text)) {
            fputc('\\', document->out);
        }
        fputc(*text, document->out);
    }
}

static void put_format(const struct document *document, const char *format, va_list list)
    __attribute__((format(printf, 2, 0)));

static void put_format(const struct document *document, const char *format, va_list list)
{
    char *text = NULL;
    int len = vasprintf(&text, format, list);
    put_text(document, text_clean(need(len < 0 ? NULL : text)));
    free(text);
}

void document_start(struct document *document, FILE *out, bool html, const char *title)
{
    *document = (struct document){.out = out, .html = html};
    if (html) {
        fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
              "<meta name=\"viewport\" content=\"width=device-width\">\n<title>",
              out);
        put_text(document, title);
        fprintf(out, "</title>\n<style>%s</style>\n</head>\n<body>\n<h1>", style);
    } else {
        fputs("# ", out);
    }
    put_text(document, title);
    fputs(html ? "</h1>\n" : "\n\n", out);
}

void document_end(struct document *document)
{
    if (document->html) {
        fputs("</body>\n</html>\n", document->out);
    }
}

void document_heading(struct document *document, const char *text)
{
    fputs(document->html ? "<h2>" : "## ", document->out);
    put_text(document, text);
    fputs(document->html ? "</h2>\n" : "\n\n", document->out);
}

void document_paragraph(struct document *document, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fputs(document->html ? "<p>" : "", document->out);
    put_format(document, format, list);
    fputs(document->html ? "</p>\n" : "\n\n", document->out);
    va_end(list);
}

void document_table(struct document *document, const char *const *titles, size_t count)
{
    document->columns = count;
    document->column = 0;
    fputs(document->html ? "<table>\n<tr>" : "|", document->out);
    for (size_t i = 0; i < count; i++) {
        fputs(document->html ? "<th>" : " ", document->out);
        put_text(document, titles[i]);
        fputs(document->html ? "</th>" : " |", document->out);
    }
    fputs(document->html ? "</tr>\n" : "\n|", document->out);
    for (size_t i = 0; i < count && !document->html; i++) {
        fputs(" --- |", document->out);
    }
    fputs(document->html ? "" : "\n", document->out);
}

void document_cell(struct document *document, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    if (document->column == 0) {
        fputs(document->html ? "<tr>" : "|", document->out);
    }
    fputs(document->html ? "<td>" : " ", document->out);
    put_format(document, format, list);
    fputs(document->html ? "</td>" : " |", document->out);
    va_end(list);
    if (++document->column == document->columns) {
        document->column = 0;
        fputs(document->html ? "</tr>\n" : "\n", document->out);
    }
}

void document_table_end(struct document *document)
{
    document->columns = 0;
    fputs(document->html ? "</table>\n" : "\n", document->out);
}
