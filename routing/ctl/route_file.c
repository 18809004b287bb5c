/* route import, export and restore: the table from and into files.
 *
 *   FILE.csv ──csv_parse──▶ rows ──▶ one request ──apply──▶ change and barrier
 *   table ──cells_load──▶ cells ──▶ FILE.csv, written beside it and renamed
 *   snapshot (JSON) ──▶ one request, confirmed ──apply──▶ turnout_restore and barrier
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "routing/ctl/apply.h"
#include "routing/ctl/cells.h"
#include "routing/ctl/commands.h"
#include "routing/ctl/csv.h"
#include "routing/ctl/file.h"
#include "routing/ctl/output.h"
#include "routing/ctl/route.h"
#include "routing/journal.h"

enum { REASON_SIZE = 300 };

/* --- import ------------------------------------------------------------------------------------------------
 */

struct difference {
    size_t fresh, differing, same;
    json_t *changes; /* of the fresh and the differing */
};

static void compare_row(struct difference *difference, const struct cells *cells, const struct cell *row)
{
    const struct cell *now = cells_find(cells, row->shortcode, row->carrier);
    if (now && strcmp(now->platform, row->platform) == 0 && now->state == row->state) {
        difference->same++;
        return;
    }
    difference->fresh += !now;
    difference->differing += now != NULL;
    json_t *change = need(json_object());
    json_put(change, "shortcode", json_text(row->shortcode));
    json_put(change, "carrier", json_text(row->carrier));
    json_put(change, "from", now ? json_text(now->platform) : json_null());
    json_put(change, "from_state", now ? json_text(route_state_name(now->state)) : json_null());
    json_put(change, "to", json_text(row->platform));
    json_put(change, "state", json_text(route_state_name(row->state)));
    json_array_append_new(difference->changes, change);
}

static void print_changes(const json_t *changes)
{
    size_t i;
    json_t *change;
    json_array_foreach(changes, i, change)
    {
        const char *from = json_member(change, "from");
        printf("%s %s: %s%s%s -> %s (%s)\n", json_member(change, "shortcode"), json_member(change, "carrier"),
               *from ? from : "no row", *from ? ", " : "", json_member(change, "from_state"),
               json_member(change, "to"), json_member(change, "state"));
    }
}

static enum ctl_exit dry_run(struct ctl *ctl, const struct csv *csv)
{
    struct cells cells = {0};
    struct difference difference = {.changes = need(json_array())};
    if (!ctl_redis(ctl) || !cells_load(ctl->redis, &cells)) {
        cells_free(&cells);
        json_decref(difference.changes);
        return ctl_redis_failed(ctl);
    }
    for (size_t i = 0; i < csv->rows_count; i++) {
        compare_row(&difference, &cells, &csv->rows[i].cell);
    }
    if (!ctl->options.json) {
        print_changes(difference.changes);
        printf("%zu new, %zu differing, %zu the same. Nothing was changed.\n", difference.fresh,
               difference.differing, difference.same);
    }
    ctl_answer(ctl, "version", json_integer((json_int_t)cells.version));
    ctl_answer(ctl, "new", json_integer((json_int_t)difference.fresh));
    ctl_answer(ctl, "differing", json_integer((json_int_t)difference.differing));
    ctl_answer(ctl, "same", json_integer((json_int_t)difference.same));
    ctl_answer(ctl, "changes", difference.changes);
    cells_free(&cells);
    return CTL_DONE;
}

static enum ctl_exit import_rows(struct ctl *ctl, const struct csv *csv)
{
    json_t *request = request_new(ctl, "import");
    if (!request) {
        return CTL_USAGE;
    }
    for (size_t i = 0; i < csv->rows_count; i++) {
        const struct cell *row = &csv->rows[i].cell;
        struct move move = {.shortcode = row->shortcode,
                            .carrier = row->carrier,
                            .to = row->platform,
                            .state = route_state_name(row->state)};
        request_move(request, &move);
    }
    return apply(ctl, "turnout_change", request);
}

enum ctl_exit run_route_import(struct ctl *ctl)
{
    struct csv csv = {0};
    size_t len;
    enum ctl_exit code;
    char *text = file_read(ctl->args[0], &len);
    if (!text) {
        return ctl_fail(ctl, CTL_INVALID, NULL, "%s cannot be read: %s", ctl->args[0], strerror(errno));
    }
    csv_parse(&csv, text, len);
    free(text);
    ctl_answer(ctl, "rows", json_integer((json_int_t)csv.rows_count));
    if (csv.errors_count > 0) {
        code = file_errors(ctl, ctl->args[0], &csv);
    } else if (csv.rows_count == 0) {
        code = ctl_fail(ctl, CTL_INVALID, "Its columns are shortcode,carrier,platform[,state].",
                        "%s has no routes in it", ctl->args[0]);
    } else {
        code = ctl->options.dry_run ? dry_run(ctl, &csv) : import_rows(ctl, &csv);
    }
    csv_free(&csv);
    return code;
}

/* --- export ------------------------------------------------------------------------------------------------
 */

static bool write_cells(FILE *out, const void *of)
{
    const struct cells *cells = of;
    csv_write_header(out);
    for (size_t i = 0; i < cells->count; i++) {
        csv_write_cell(out, &cells->items[i]);
    }
    return !ferror(out);
}

static enum ctl_exit export_cells(struct ctl *ctl, const struct cells *cells)
{
    ctl_answer(ctl, "version", json_integer((json_int_t)cells->version));
    ctl_answer(ctl, "rows", json_integer((json_int_t)cells->count));
    if (ctl->args_count > 0) {
        ctl_answer(ctl, "file", json_text(ctl->args[0]));
        if (!file_write(ctl->args[0], write_cells, cells)) {
            return ctl_fail(ctl, CTL_FAILED, NULL, "%s cannot be written: %s", ctl->args[0], strerror(errno));
        }
    } else if (ctl->options.json) {
        ctl_answer(ctl, "routes", routes_json(cells));
    } else {
        write_cells(stdout, cells);
    }
    return CTL_DONE;
}

enum ctl_exit run_route_export(struct ctl *ctl)
{
    struct cells cells = {0};
    bool loaded = ctl_redis(ctl) && cells_load(ctl->redis, &cells);
    enum ctl_exit code = loaded ? export_cells(ctl, &cells) : ctl_redis_failed(ctl);
    cells_free(&cells);
    return code;
}

/* --- restore -----------------------------------------------------------------------------------------------
 */

/* The snapshot, or NULL with ctl_fail called. */
static json_t *snapshot_load(struct ctl *ctl)
{
    json_error_t error;
    char reason[REASON_SIZE];
    json_t *snapshot = json_load_file(ctl->args[0], JSON_REJECT_DUPLICATES, &error);
    if (!snapshot) {
        ctl_fail(ctl, CTL_INVALID, NULL, "%s cannot be used: %s (line %d)", ctl->args[0], error.text,
                 error.line);
    } else if (!json_is_integer(json_object_get(snapshot, "version")) ||
               !json_is_object(json_object_get(snapshot, "rows"))) {
        ctl_fail(ctl, CTL_INVALID, "A snapshot has a number \"version\" and an object \"rows\".",
                 "%s is no snapshot of an instance", ctl->args[0]);
        json_decref(snapshot);
        snapshot = NULL;
    } else if (!journal_replay(ctl->args[0], snapshot, reason, sizeof reason)) {
        ctl_fail(ctl, CTL_INVALID, NULL, "%s cannot be used: %s", ctl->args[0], reason);
        json_decref(snapshot);
        snapshot = NULL;
    }
    return snapshot;
}

static bool ask(void)
{
    char answer[16];
    fputs("Every route in Redis is replaced. Go on? (yes/no) ", stdout);
    fflush(stdout);
    return fgets(answer, sizeof answer, stdin) && strcmp(answer, "yes\n") == 0;
}

/* Shows both tables side by side before the question. */
static enum ctl_exit confirm(struct ctl *ctl, const json_t *snapshot)
{
    redisReply *info = ctl_redis(ctl) ? redis_function(ctl->redis, "turnout_info", NULL, 0) : NULL;
    if (!info) {
        return ctl_redis_failed(ctl);
    }
    if (!ctl->options.json) {
        printf("In Redis: version %llu with %llu shortcodes.\nIn %s: version %lld with %zu shortcodes.\n",
               (unsigned long long)redis_number(info, 1), (unsigned long long)redis_number(info, 3),
               ctl->args[0], (long long)json_integer_value(json_object_get(snapshot, "version")),
               json_object_size(json_object_get(snapshot, "rows")));
        puts("A snapshot has the routes alone: windows, deadlines of confirmation, guards and alarms that "
             "Redis has "
             "lost stay lost.");
    }
    freeReplyObject(info);
    if (ctl->options.yes || (!ctl->options.json && isatty(STDIN_FILENO) && ask())) {
        return CTL_DONE;
    }
    return ctl_fail(ctl, CTL_NOT_CONFIRMED, "Answer the question with yes, or give --yes.",
                    "nothing was changed: it was not confirmed");
}

enum ctl_exit run_route_restore(struct ctl *ctl)
{
    json_t *snapshot = snapshot_load(ctl);
    if (!snapshot) {
        return CTL_INVALID;
    }
    json_t *rows = json_object_get(snapshot, "rows");
    json_t *version = json_object_get(snapshot, "version");
    json_t *request = request_new(ctl, "restore");
    enum ctl_exit code = request ? confirm(ctl, snapshot) : CTL_USAGE;
    if (code == CTL_DONE) {
        json_put(request, "rows", json_incref(rows));
        json_put(request, "version", json_incref(version));
        ctl_answer(ctl, "snapshot_version", json_incref(version));
        ctl_answer(ctl, "rows", json_integer((json_int_t)json_object_size(rows)));
        code = apply(ctl, "turnout_restore", request);
    } else {
        json_decref(request);
    }
    json_decref(snapshot);
    return code;
}
