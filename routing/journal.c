/* append: rows that differ ──▶ JSON line in memory ──▶ one write, fdatasync
 * replay: getline ──jansson──▶ rows ──▶ one builder over all lines ──▶ table */
#include "routing/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

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
    struct names *names;
    struct table_builder *builder;
    uint64_t version; /* so far */
    char chain[CHAIN_LEN + 1];
    char *reason;
    size_t size;
};

static bool refuse(const struct reader *reader, const char *what)
{
    snprintf(reader->reason, reader->size, "its journal is damaged after version %llu: %s",
             (unsigned long long)reader->version, what);
    return false;
}

static bool clear_row(struct reader *reader, const char *shortcode)
{
    for (uint8_t carrier = 0; carrier < NAMES_MAX; carrier++)
        if (!table_unset(reader->builder, shortcode, carrier))
            return false;
    return true;
}

static bool replay_row(struct reader *reader, const char *shortcode, json_t *row)
{
    const char *carrier;
    json_t *value;
    if (!clear_row(reader, shortcode))
        return refuse(reader, "a shortcode cannot be");
    json_object_foreach(row, carrier, value)
    {
        struct route route;
        uint8_t id = names_intern(reader->names, carrier);
        if (id == NAME_NONE || !json_is_string(value) ||
            !route_value_parse(json_string_value(value), json_string_length(value), reader->names, &route) ||
            !table_set(reader->builder, shortcode, id, &route))
            return refuse(reader, "a cell cannot be");
    }
    return true;
}

static bool replay_entry(struct reader *reader, json_t *entry)
{
    json_int_t from, version;
    const char *chain, *shortcode;
    json_t *rows, *row;
    if (json_unpack_ex(entry, NULL, JSON_STRICT, "{s:I, s:I, s:s, s:o}", "from", &from, "version", &version,
                       "chain", &chain, "rows", &rows) != 0 ||
        !json_is_object(rows) || version <= from || from < 0 || !chain_valid(chain, strlen(chain)))
        return refuse(reader, "a line has not what belongs there");
    if ((uint64_t)version <= reader->version)
        return true; /* the snapshot has it */
    if ((uint64_t)from != reader->version)
        return refuse(reader, "the next line does not continue there");
    json_object_foreach(rows, shortcode, row)
    {
        if (!replay_row(reader, shortcode, row))
            return false;
    }
    reader->version = (uint64_t)version;
    memcpy(reader->chain, chain, strlen(chain) + 1);
    return true;
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

bool journal_replay(const char *path, struct names *names, struct table **table, char chain[CHAIN_LEN + 1],
                    char *reason, size_t size)
{
    char journal[PATH_MAX];
    struct reader reader = {.names = names, .version = table_version(*table), .reason = reason, .size = size};
    memcpy(reader.chain, chain, sizeof(reader.chain));
    FILE *file = journal_path(path, journal) ? fopen(journal, "re") : NULL;
    if (file == NULL)
        return errno == ENOENT || refuse(&reader, strerror(errno));
    reader.builder = table_edit(*table);
    bool fine = reader.builder == NULL ? refuse(&reader, "no memory") : replay_lines(&reader, file);
    fclose(file);
    struct table *last = NULL;
    if (fine && (last = table_done(reader.builder, reader.version)) == NULL)
        return refuse(&reader, "no memory");
    if (!fine) {
        table_abandon(reader.builder);
        return false;
    }
    table_free(*table);
    *table = last;
    memcpy(chain, reader.chain, sizeof(reader.chain));
    return true;
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
