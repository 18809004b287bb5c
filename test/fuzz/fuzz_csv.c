/* CSV import: what is read can be written, and read again it is the same.
 *
 *   input ──csv_parse──▶ rows, errors ──csv_write_cell──▶ text ──csv_parse──▶ the same rows, no error */
#include "routing/ctl/csv.h"
#include "test/fuzz/fuzz.h"
#include "test/unit/guard.h"

static void parse(struct csv *csv, const void *text, size_t len)
{
    uint8_t *place = guard_room(len + 1);
    memcpy(place, text, len);
    place[len] = '\0';
    csv_parse(csv, (const char *)place, len);
}

static void same_cell(const struct cell *a, const struct cell *b)
{
    MUST(strcmp(a->shortcode, b->shortcode) == 0 && strcmp(a->carrier, b->carrier) == 0);
    MUST(strcmp(a->platform, b->platform) == 0 && a->state == b->state);
}

static void write_and_read(const struct csv *csv)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    MUST(out != NULL);
    csv_write_header(out);
    for (size_t i = 0; i < csv->rows_count; i++)
        csv_write_cell(out, &csv->rows[i].cell);
    MUST(fclose(out) == 0);
    struct csv again = {0};
    if (len < GUARD_ROOM) {
        parse(&again, text, len);
        MUST(again.errors_count == 0 && again.rows_count == csv->rows_count);
        for (size_t i = 0; i < csv->rows_count; i++)
            same_cell(&again.rows[i].cell, &csv->rows[i].cell);
    }
    csv_free(&again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csv csv = {0};
    if (size >= GUARD_ROOM / 4)
        return 0;
    parse(&csv, data, size);
    for (size_t i = 0; i < csv.errors_count; i++)
        MUST(csv.errors[i].text[0] != '\0');
    if (csv.errors_count == 0)
        write_and_read(&csv);
    csv_free(&csv);
    return 0;
}
