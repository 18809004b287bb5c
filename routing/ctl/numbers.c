/* numbers build, check and version: the portability table as a file, and as the instances have it.
 *
 *   FILE.csv, line by line ──csv_field_take──▶ numbers_builder_add ──numbers_build──▶ OUT, written beside it and renamed
 *   FILE ──numbers_open, numbers_verify──▶ what is in it
 *   question ──ask_command──▶ every instance: the table that it has
 */
#include "routing/numbers.h"

#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <time.h>

#include "routing/ctl/ask.h"
#include "routing/ctl/commands.h"
#include "routing/ctl/csv.h"
#include "routing/ctl/file.h"
#include "routing/ctl/output.h"
#include "routing/numbers_build.h"

/* A file with an error in each of its lines shall not be shown whole. */
enum { ERRORS_SHOWN_MAX = 200 };

/* --- build -------------------------------------------------------------------------------------------------
 */

struct reading {
    struct numbers_builder *builder;
    struct csv csv; /* for its errors */
    unsigned line, rows;
    bool first; /* no row has come yet: the columns' names may */
};

static const char not_two[] = "there must be two columns: number,carrier";

/* False with a reason: the two columns of a line. */
static bool split(char *text, char *fields[2], const char **reason)
{
    char *rest = text;
    for (unsigned i = 0; i < 2; i++) {
        if (!rest) {
            *reason = not_two;
            return false;
        }
        fields[i] = csv_field_take(&rest, reason);
        if (!fields[i]) {
            return false;
        }
    }
    *reason = not_two;
    return rest == NULL;
}

static void read_line(struct reading *reading, char *text)
{
    char *fields[2];
    const char *wrong = NULL;
    if (text[strspn(text, " \t")] == '\0' || *text == '#') {
        return;
    }
    bool may_be_names = reading->first;
    reading->first = false;
    if (!split(text, fields, &wrong)) {
        csv_error_add(&reading->csv, reading->line, "%s", wrong);
        return;
    }
    if (may_be_names && strcasecmp(fields[0], "number") == 0 && strcasecmp(fields[1], "carrier") == 0) {
        return;
    }
    wrong = strncmp(fields[0] + (*fields[0] == '+'), "00", 2) == 0
                ? "begins with 00, which no number in the international form does"
                : numbers_builder_add(reading->builder, fields[0], fields[1], reading->line);
    reading->rows += wrong == NULL;
    if (wrong) {
        csv_error_add(&reading->csv, reading->line, "\"%.40s\" of \"%.40s\" %s", fields[0], fields[1], wrong);
    }
}

static void read_lines(struct reading *reading, FILE *in)
{
    char *text = NULL;
    size_t space = 0;
    ssize_t len;
    errno = 0;
    while (reading->csv.errors_count < ERRORS_SHOWN_MAX && (len = getline(&text, &space, in)) > 0) {
        size_t end = strcspn(text, "\r\n");
        reading->line++;
        if (strlen(text) != (size_t)len) {
            csv_error_add(&reading->csv, reading->line, "there are NUL characters: it is no text");
            continue;
        }
        text[end] = '\0';
        read_line(reading, reading->line == 1 && strncmp(text, "\xef\xbb\xbf", 3) == 0 ? text + 3 : text);
    }
    free(text);
}

/* False with errno. */
static bool read_csv(struct reading *reading, const char *path)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *in = standard ? stdin : fopen(path, "re");
    if (!in) {
        return false;
    }
    read_lines(reading, in);
    bool fine = !ferror(in);
    int error = errno;
    if (!standard) {
        fclose(in);
    }
    errno = error;
    return fine;
}

static void contradiction(void *ctx, unsigned line, const char *text)
{
    struct reading *reading = ctx;
    csv_error_add(&reading->csv, line, "%s", text);
}

/* What the table calls itself: as given, else the file's name without what follows a dot. False where that cannot
 * be. */
static bool name_table(const struct ctl *ctl, char version[NUMBERS_VERSION_MAX + 1])
{
    const char *file = strcmp(ctl->args[0], "-") == 0 ? ctl->args[1] : ctl->args[0];
    char *copy = need(strdup(ctl->args_count > 2 ? ctl->args[2] : file));
    char *name = copy;
    if (ctl->args_count <= 2) {
        name = basename(copy);
        name[strcspn(name, ".")] = '\0';
    }
    bool fine = *name && strlen(name) <= NUMBERS_VERSION_MAX;
    for (const char *c = name; fine && *c; c++) {
        fine = *c >= ' ' && *c <= '~';
    }
    if (fine) {
        text_copy(version, NUMBERS_VERSION_MAX + 1, name);
    }
    free(copy);
    return fine;
}

static bool write_image(FILE *out, const void *what)
{
    const struct numbers_image *image = what;
    return fwrite(image->data, 1, image->size, out) == image->size;
}

static json_t *about_json(const struct numbers_about *about)
{
    char checksum[17];
    json_t *object = need(json_object());
    snprintf(checksum, sizeof checksum, "%016" PRIx64, about->checksum);
    json_put(object, "version", json_text(about->version));
    json_put(object, "built_ms", json_integer((json_int_t)about->built * 1000));
    json_put(object, "checksum", json_text(checksum));
    json_put(object, "numbers", json_integer((json_int_t)about->count));
    json_put(object, "bounds", json_integer((json_int_t)about->bounds));
    json_put(object, "octets", json_integer((json_int_t)about->size));
    return object;
}

static void show_about(const struct numbers_about *about)
{
    char time[TIME_TEXT_SIZE];
    printf("version   %s\nbuilt     %s\nchecksum  %016" PRIx64 "\nnumbers   %" PRIu64 "\nbounds    %" PRIu64
           " of ranges and prefixes\noctets    %zu\n",
           about->version, time_text(about->built * 1000, time), about->checksum, about->count, about->bounds,
           about->size);
}

/* Reads back what was written: what is shown is what an instance will find. */
static enum ctl_exit show_table(struct ctl *ctl, const char *path)
{
    char error[256];
    uint64_t counts[NAMES_MAX];
    struct numbers *numbers = numbers_open(path, error, sizeof error);
    if (!numbers || !numbers_verify(numbers, counts, error, sizeof error)) {
        numbers_close(numbers);
        return ctl_fail(ctl, CTL_INVALID, NULL, "%s %s", path, error);
    }
    struct numbers_about about = numbers_about(numbers);
    json_t *carriers = need(json_object());
    for (unsigned i = 0; i < about.carriers; i++) {
        json_put(carriers, numbers_carrier(numbers, i), json_integer((json_int_t)counts[i]));
    }
    if (!ctl->options.json) {
        show_about(&about);
        for (unsigned i = 0; i < about.carriers; i++) {
            printf("  %-*s %" PRIu64 "\n", NAME_LEN_MAX, numbers_carrier(numbers, i), counts[i]);
        }
    }
    ctl_answer(ctl, "table", about_json(&about));
    ctl_answer(ctl, "carriers", carriers);
    numbers_close(numbers);
    return CTL_DONE;
}

static enum ctl_exit write_table(struct ctl *ctl, struct reading *reading)
{
    char version[NUMBERS_VERSION_MAX + 1];
    struct numbers_image image;
    if (!name_table(ctl, version)) {
        return ctl_fail(ctl, CTL_USAGE, "Give one behind OUT.",
                        "the table's version must be 1 to %d characters of printable ASCII",
                        NUMBERS_VERSION_MAX);
    }
    if (!numbers_build(reading->builder, version, (uint64_t)time(NULL), contradiction, reading, &image)) {
        csv_errors_sort(&reading->csv);
        return file_errors(ctl, ctl->args[0], &reading->csv);
    }
    bool written = file_write(ctl->args[1], write_image, &image);
    int error = errno;
    munmap(image.data, image.size);
    if (!written) {
        return ctl_fail(ctl, CTL_FAILED, NULL, "%s cannot be written: %s", ctl->args[1], strerror(error));
    }
    ctl_answer(ctl, "rows", json_integer(reading->rows));
    ctl_answer(ctl, "dropped", json_integer((json_int_t)image.dropped));
    if (!ctl->options.json) {
        printf("%u rows, %" PRIu64 " of them said what others said\n", reading->rows, image.dropped);
    }
    return show_table(ctl, ctl->args[1]);
}

static enum ctl_exit build(struct ctl *ctl, struct reading *reading)
{
    if (!read_csv(reading, ctl->args[0])) {
        return ctl_fail(ctl, CTL_INVALID, NULL, "%s cannot be read: %s", ctl->args[0], strerror(errno));
    }
    if (reading->csv.errors_count > 0) {
        return file_errors(ctl, ctl->args[0], &reading->csv);
    }
    if (reading->rows == 0) {
        return ctl_fail(ctl, CTL_INVALID, "Its columns are number,carrier.", "%s has no numbers in it",
                        ctl->args[0]);
    }
    return write_table(ctl, reading);
}

enum ctl_exit run_numbers_build(struct ctl *ctl)
{
    struct reading reading = {.builder = need(numbers_builder_new()), .first = true};
    enum ctl_exit code = build(ctl, &reading);
    numbers_builder_free(reading.builder);
    csv_free(&reading.csv);
    return code;
}

/* --- check -------------------------------------------------------------------------------------------------
 */

enum ctl_exit run_numbers_check(struct ctl *ctl)
{
    return show_table(ctl, ctl->args[0]);
}

/* --- of the instances --------------------------------------------------------------------------------------
 */

static const char *json_number_text(const json_t *object, const char *name, char text[24])
{
    snprintf(text, 24, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(object, name)));
    return text;
}

static void show_versions(const struct ask *ask)
{
    static const struct column columns[] = {{"INSTANCE", false}, {"TABLE", false},    {"BUILT", false},
                                            {"NUMBERS", true},   {"OVERRIDES", true}, {"SET", true},
                                            {"CHECKSUM", false}, {"FILE", false},     {"", false}};
    struct grid *grid = grid_new(columns, sizeof columns / sizeof *columns);
    char text[24], time[TIME_TEXT_SIZE];
    for (size_t i = 0; i < ask->count; i++) {
        const struct ask_item *item = &ask->items[i];
        const json_t *table = json_object_get(item->answer, "table");
        bool has = !ask_failed(item) && json_is_object(table);
        uint64_t built = (uint64_t)json_integer_value(json_object_get(table, "built_ms"));
        grid_cell(grid, "%s", item->instance);
        grid_cell(grid, "%s", ask_failed(item) ? "" : has ? json_member(table, "version") : "none");
        grid_cell(grid, "%s", has ? time_text(built, time) : "");
        grid_cell(grid, "%s", has ? json_number_text(table, "numbers", text) : "");
        grid_cell(grid, "%s", ask_failed(item) ? "" : json_number_text(item->answer, "overrides", text));
        grid_cell(grid, "%s", ask_failed(item) ? "" : json_number_text(item->answer, "set", text));
        grid_cell(grid, "%s", has ? json_member(table, "checksum") : "");
        grid_cell(grid, "%s", has ? json_member(table, "file") : "");
        grid_cell(grid, "%s", ask_failed(item) ? ask_failed(item) : "");
    }
    grid_print(grid, stdout, "");
    grid_free(grid);
}

/* Do two instances that answered have different tables? */
static bool tables_differ(const struct ctl *ctl)
{
    const json_t *first = NULL;
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(ctl->answer, "instances"), i, item)
    {
        const json_t *table = json_object_get(item, "table");
        const json_t *its = json_is_object(table) ? json_object_get(table, "checksum") : table;
        if (!its) {
            continue;
        }
        if (first && !json_equal(first, its)) {
            return true;
        }
        first = its;
    }
    return false;
}

enum ctl_exit run_numbers_version(struct ctl *ctl)
{
    enum ctl_exit code = ask_command(ctl, need(json_pack("{s:s}", "kind", "numbers")), show_versions);
    return code == CTL_DONE && tables_differ(ctl)
               ? ctl_fail(ctl, CTL_FAILED, "\"turnoutctl numbers swap\" has all of them take one.",
                          "the instances do not agree: their portability tables differ")
               : code;
}
