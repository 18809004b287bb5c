/* append: rows that differ ──▶ JSON line in memory ──▶ one write, fdatasync
 * replay: getline ──jansson──▶ rows, which take the place of the snapshot's */
#include "routing/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS_MAX = 20000 }; /* in a line: more of them are as well written as a whole table */

static bool journal_path(const char *path, char to[PATH_MAX])
{
    return (size_t)snprintf(to, PATH_MAX, "%s.journal", path) < PATH_MAX;
}

/* --- append --------------------------------------------------------------------------------------------- */

struct writer {
    const struct table *now;
    const struct names *names;
    json_t *rows;
    bool fine;
};

struct row_writer {
    const struct writer *writer;
    json_t *row;
    bool fine;
};

static bool take_cell(void *ctx, const char *shortcode, uint8_t carrier, const struct route *route)
{
    struct row_writer *row = ctx;
    char value[ROUTE_VALUE_MAX];
    (void)shortcode;
    route_value_print(value, route, row->writer->names, table_version(row->writer->now));
    row->fine &=
        json_object_set_new(row->row, names_get(row->writer->names, carrier), json_string(value)) == 0;
    return row->fine;
}

static bool take_row(void *ctx, const char *shortcode)
{
    struct writer *writer = ctx;
    struct row_writer row = {.writer = writer, .row = json_object(), .fine = true};
    table_row(writer->now, shortcode, take_cell, &row);
    writer->fine &= json_object_set_new(writer->rows, shortcode, row.row) == 0 && row.fine &&
                    json_object_size(writer->rows) <= ROWS_MAX;
    return writer->fine;
}

/* The line without its end; NULL without memory, or where too much differs. To be freed. */
static char *line_of(const struct table *old, const struct table *now, const char *chain,
                     const struct names *names)
{
    struct writer writer = {.now = now, .names = names, .rows = json_object(), .fine = true};
    char *line = NULL;
    if (table_each_changed(old, now, take_row, &writer) && writer.fine) {
        json_t *entry = json_pack("{s:I, s:I, s:s, s:O}", "from", (json_int_t)table_version(old), "version",
                                  (json_int_t)table_version(now), "chain", chain, "rows", writer.rows);
        line = entry == NULL ? NULL : json_dumps(entry, JSON_COMPACT);
        json_decref(entry);
    }
    json_decref(writer.rows);
    return line;
}

static bool write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t written = write(fd, text, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        text += written;
        len -= (size_t)written;
    }
    return true;
}

bool journal_append(const char *path, const struct table *old, const struct table *now, const char *chain,
                    const struct names *names, size_t *octets)
{
    char journal[PATH_MAX];
    char *line = journal_path(path, journal) ? line_of(old, now, chain, names) : NULL;
    if (line == NULL)
        return false;
    size_t len = strlen(line);
    line[len++] = '\n'; /* instead of its NUL */
    int fd = open(journal, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    bool written = fd >= 0 && write_all(fd, line, len) && fdatasync(fd) == 0;
    if (fd >= 0)
        close(fd);
    free(line);
    *octets += len;
    return written;
}

/* --- replay --------------------------------------------------------------------------------------------- */

struct reader {
    json_t *snapshot, *rows;
    char *reason;
    size_t size;
};

static json_int_t version_of(const struct reader *reader)
{
    return json_integer_value(json_object_get(reader->snapshot, "version"));
}

static bool refuse(const struct reader *reader, const char *what)
{
    snprintf(reader->reason, reader->size, "its journal is damaged after version %lld: %s",
             (long long)version_of(reader), what);
    return false;
}

static bool replay_rows(struct reader *reader, json_t *rows)
{
    const char *shortcode;
    json_t *row;
    json_object_foreach(rows, shortcode, row)
    {
        if (!json_is_object(row))
            return refuse(reader, "a row is no object");
        if (json_object_size(row) == 0)
            json_object_del(reader->rows, shortcode);
        else if (json_object_set(reader->rows, shortcode, row) != 0)
            return refuse(reader, "no memory");
    }
    return true;
}

static bool replay_entry(struct reader *reader, json_t *entry)
{
    json_int_t from, version;
    const char *chain;
    json_t *rows;
    if (json_unpack_ex(entry, NULL, JSON_STRICT, "{s:I, s:I, s:s, s:o}", "from", &from, "version", &version,
                       "chain", &chain, "rows", &rows) != 0 ||
        !json_is_object(rows) || version <= from || from < 0 || !chain_valid(chain, strlen(chain)))
        return refuse(reader, "a line has not what belongs there");
    if (version <= version_of(reader))
        return true; /* the snapshot has it */
    if (from != version_of(reader))
        return refuse(reader, "the next line does not continue there");
    if (!replay_rows(reader, rows))
        return false;
    return (json_object_set_new(reader->snapshot, "version", json_integer(version)) == 0 &&
            json_object_set_new(reader->snapshot, "chain", json_string(chain)) == 0) ||
           refuse(reader, "no memory");
}

static bool replay_line(struct reader *reader, const char *line, size_t len)
{
    json_t *entry = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    bool fine = entry == NULL ? refuse(reader, "a line is not JSON") : replay_entry(reader, entry);
    json_decref(entry);
    return fine;
}

static bool replay_lines(struct reader *reader, FILE *file)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    bool fine = true;
    while (fine && (len = getline(&line, &room, file)) > 0 && line[len - 1] == '\n')
        fine = replay_line(reader, line, (size_t)len);
    free(line);
    return fine && (!ferror(file) || refuse(reader, "it cannot be read"));
}

bool journal_replay(const char *path, json_t *snapshot, char *reason, size_t size)
{
    char journal[PATH_MAX];
    struct reader reader = {
        .snapshot = snapshot, .rows = json_object_get(snapshot, "rows"), .reason = reason, .size = size};
    if (!json_is_object(reader.rows) || !json_is_integer(json_object_get(snapshot, "version")))
        return true; /* no snapshot: whoever reads it will say so */
    FILE *file = journal_path(path, journal) ? fopen(journal, "re") : NULL;
    if (file == NULL)
        return errno == ENOENT || refuse(&reader, strerror(errno));
    bool fine = replay_lines(&reader, file);
    fclose(file);
    return fine;
}

bool journal_exists(const char *path)
{
    char journal[PATH_MAX];
    return journal_path(path, journal) && access(journal, F_OK) == 0;
}

void journal_remove(const char *path)
{
    char journal[PATH_MAX];
    if (journal_path(path, journal))
        unlink(journal);
}
