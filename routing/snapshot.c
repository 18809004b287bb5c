/* write: cells, a row's together ──▶ text ──▶ path.new ──fsync──▶ rename ──▶ fsync of the directory
 * read:  file ──jansson──▶ objects ──each member checked──▶ builder ──▶ table
 *
 * The text is written by hand: 100,000 rows as jansson's objects would take four times as long as the rest.
 */
#include "routing/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "routing/journal.h"

static const char format_name[] = "turnout-table-1";

/* --- write ---------------------------------------------------------------------------------------------- */

struct writer {
    FILE *file;
    const struct names *names;
    uint64_t version;
    char row[SHORTCODE_LEN_MAX + 1]; /* the row that is open; "" before the first */
};

/* Shortcodes are printable ASCII, so these two are all that JSON wants escaped. */
static void write_shortcode(FILE *file, const char *shortcode)
{
    fputc('"', file);
    for (; *shortcode != '\0'; shortcode++) {
        if (*shortcode == '"' || *shortcode == '\\')
            fputc('\\', file);
        fputc(*shortcode, file);
    }
    fputc('"', file);
}

static bool write_cell(void *ctx, const char *shortcode, uint8_t carrier, const struct route *route)
{
    struct writer *writer = ctx;
    char value[ROUTE_VALUE_MAX];
    route_value_print(value, route, writer->names, writer->version);
    if (strcmp(writer->row, shortcode) == 0) {
        fputs(", ", writer->file);
    } else {
        fputs(writer->row[0] == '\0' ? "\n" : "},\n", writer->file);
        write_shortcode(writer->file, shortcode);
        fputs(": {", writer->file);
        memcpy(writer->row, shortcode, strlen(shortcode) + 1);
    }
    fprintf(writer->file, "\"%s\": \"%s\"", names_get(writer->names, carrier), value);
    return !ferror(writer->file);
}

static void write_table(FILE *file, const struct table *table, const char *chain, const struct names *names)
{
    struct writer writer = {.file = file, .names = names, .version = table_version(table)};
    fprintf(file, "{\"format\": \"%s\", \"version\": %" PRIu64 ", \"chain\": \"%s\", \"rows\": {",
            format_name, writer.version, chain);
    table_each(table, write_cell, &writer);
    fputs(writer.row[0] == '\0' ? "}}\n" : "}\n}}\n", file);
}

/* The rename is on disk only when the directory is. */
static int sync_directory(const char *path)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof(copy), "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int result = fsync(fd);
    close(fd);
    return result;
}

static FILE *create(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (file == NULL && fd >= 0)
        close(fd);
    return file;
}

static bool write_new(const char *path, const struct table *table, const char *chain,
                      const struct names *names)
{
    FILE *file = create(path);
    if (file == NULL)
        return false;
    write_table(file, table, chain, names);
    bool written = fflush(file) == 0 && !ferror(file) && fsync(fileno(file)) == 0;
    int saved = errno;
    if (fclose(file) != 0 && written)
        return false;
    errno = saved;
    return written;
}

bool snapshot_write(const char *path, const struct table *table, const char *chain, const struct names *names,
                    char *reason, size_t size)
{
    char fresh[PATH_MAX];
    if ((size_t)snprintf(fresh, sizeof(fresh), "%s.new", path) >= sizeof(fresh)) {
        snprintf(reason, size, "the snapshot's path is too long");
        return false;
    }
    if (write_new(fresh, table, chain, names) && rename(fresh, path) == 0 && sync_directory(path) == 0)
        return true;
    snprintf(reason, size, "the snapshot %s cannot be written: %s", path, strerror(errno));
    unlink(fresh);
    return false;
}

/* --- read ----------------------------------------------------------------------------------------------- */

struct reader {
    struct names *names;
    char *reason;
    size_t size;
};

static bool refuse(const struct reader *reader, const char *what, const char *where)
{
    snprintf(reader->reason, reader->size, "%s%s%s", what, where[0] == '\0' ? "" : ": ", where);
    return false;
}

static bool shortcode_valid(const char *shortcode)
{
    size_t len = 0;
    while (shortcode[len] > ' ' && shortcode[len] <= '~')
        len++;
    return shortcode[len] == '\0' && len >= 1 && len <= SHORTCODE_LEN_MAX;
}

static bool read_row(const struct reader *reader, struct table_builder *builder, const char *shortcode,
                     json_t *row)
{
    const char *carrier;
    json_t *value;
    if (!shortcode_valid(shortcode) || !json_is_object(row) || json_object_size(row) == 0)
        return refuse(reader, "a row is malformed", shortcode);
    json_object_foreach(row, carrier, value)
    {
        struct route route;
        uint8_t id = names_intern(reader->names, carrier);
        if (id == NAME_NONE || !json_is_string(value) ||
            !route_value_parse(json_string_value(value), json_string_length(value), reader->names, &route))
            return refuse(reader, "a cell is malformed in row", shortcode);
        if (!table_set(builder, shortcode, id, &route))
            return refuse(reader, "no memory", "");
    }
    return true;
}

static bool read_head(const struct reader *reader, json_t *root, json_int_t *version,
                      char chain[CHAIN_LEN + 1])
{
    const char *format, *text;
    json_t *rows;
    json_error_t error;
    if (json_unpack_ex(root, &error, JSON_STRICT, "{s:s, s:I, s:s, s:o}", "format", &format, "version",
                       version, "chain", &text, "rows", &rows) != 0)
        return refuse(reader, "its members are not those of a snapshot", error.text);
    if (strcmp(format, format_name) != 0)
        return refuse(reader, "its format is not known", format);
    if (*version < 0 || !json_is_object(rows))
        return refuse(reader, "its version or its rows are malformed", "");
    if (!chain_valid(text, strlen(text)) || (text[0] == '\0') != (*version == 0))
        return refuse(reader, "its chain is malformed", "");
    memcpy(chain, text, strlen(text) + 1);
    return true;
}

static struct table *read_rows(const struct reader *reader, json_t *rows, uint64_t version)
{
    struct table_builder *builder = table_edit(NULL);
    const char *shortcode;
    json_t *row;
    if (builder == NULL) {
        refuse(reader, "no memory", "");
        return NULL;
    }
    json_object_foreach(rows, shortcode, row)
    {
        if (!read_row(reader, builder, shortcode, row)) {
            table_abandon(builder);
            return NULL;
        }
    }
    return table_done(builder, version);
}

enum snapshot_result snapshot_read(const char *path, struct names *names, struct table **table,
                                   char chain[CHAIN_LEN + 1], char *reason, size_t size)
{
    const struct reader reader = {names, reason, size};
    json_error_t error;
    char head[CHAIN_LEN + 1];
    json_int_t version;

    FILE *file = fopen(path, "re");
    if (file == NULL) {
        enum snapshot_result result = errno == ENOENT ? SNAPSHOT_ABSENT : SNAPSHOT_REFUSED;
        refuse(&reader, "it cannot be opened", strerror(errno));
        return result;
    }
    json_t *root = json_loadf(file, JSON_REJECT_DUPLICATES, &error);
    fclose(file);
    if (root == NULL) {
        snprintf(reason, size, "it is not JSON, line %d: %s", error.line, error.text);
        return SNAPSHOT_REFUSED;
    }
    struct table *read = NULL;
    if (journal_replay(path, root, reason, size) && read_head(&reader, root, &version, head))
        read = read_rows(&reader, json_object_get(root, "rows"), (uint64_t)version);
    json_decref(root);
    if (read == NULL)
        return SNAPSHOT_REFUSED;
    memcpy(chain, head, sizeof(head));
    *table = read;
    return SNAPSHOT_READ;
}
