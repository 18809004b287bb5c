/* status and ping: is everything there, what goes where, and what was seen of it.
 *
 *   board_read ──▶ version; instances; what waits; the grid, shortcodes down and carriers across ──▶ the first 50
 *   board_read_evidence of these ──▶ a line for each cell that moved lately; guards; alarms
 */
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/board.h"
#include "routing/ctl/commands.h"
#include "routing/ctl/guards.h"
#include "routing/ctl/instances.h"
#include "routing/ctl/output.h"

enum { BOARD_LINES = 50, CARRIERS_MAX = NAMES_MAX, GUARDS_SHOWN = 10 };

struct columns {
    size_t count;
    struct column items[CARRIERS_MAX + 1]; /* the first is the shortcode's */
};

static int by_title(const void *left, const void *right)
{
    return strcmp(((const struct column *)left)->title, ((const struct column *)right)->title);
}

/* A column for each carrier that any row names; titles belong to cells. */
static void make_columns(struct columns *columns, const struct cells *cells)
{
    columns->items[0] = (struct column){"SHORTCODE", false};
    columns->count = 1;
    for (size_t i = 0; i < cells->count; i++) {
        size_t column = 1;
        while (column < columns->count &&
               strcmp(columns->items[column].title, cells->items[i].carrier) != 0) {
            column++;
        }
        if (column == columns->count && column <= CARRIERS_MAX) {
            columns->items[columns->count++] = (struct column){cells->items[i].carrier, false};
        }
    }
    qsort(columns->items + 1, columns->count - 1, sizeof *columns->items, by_title);
}

static void print_cell(struct grid *grid, const struct board *board, const struct cell *cell)
{
    if (!cell) {
        grid_cell(grid, "%s", "");
        return;
    }
    const char *alarm = board_alarms(board, cell) > 0 ? " !" : "";
    if (cell->state == ROUTE_OPEN) {
        grid_cell(grid, "%s%s", cell->platform, alarm);
    } else {
        grid_cell(grid, "%s (%s)%s", cell->platform, route_state_name(cell->state), alarm);
    }
}

static bool new_row(const struct cells *cells, size_t i)
{
    return i == 0 || strcmp(cells->items[i - 1].shortcode, cells->items[i].shortcode) != 0;
}

static void print_grid(const struct board *board)
{
    const struct cells *cells = &board->cells;
    struct columns columns;
    size_t lines = 0;
    make_columns(&columns, cells);
    struct grid *grid = grid_new(columns.items, columns.count);
    for (size_t i = 0; i < cells->count; i++) {
        const char *shortcode = cells->items[i].shortcode;
        if (!new_row(cells, i) || lines++ >= BOARD_LINES) {
            continue;
        }
        grid_cell(grid, "%s", shortcode);
        for (size_t column = 1; column < columns.count; column++) {
            print_cell(grid, board, cells_find(cells, shortcode, columns.items[column].title));
        }
    }
    grid_print(grid, stdout, "");
    grid_free(grid);
    if (lines > BOARD_LINES) {
        printf("and %zu more: turnoutctl route list\n", lines - BOARD_LINES);
    }
}

static void print_seen_row(struct grid *grid, const struct board *board, const struct cell *cell)
{
    char age[AGE_TEXT_SIZE], seen[BOARD_EVIDENCE_SIZE];
    grid_cell(grid, "%s", cell->shortcode);
    grid_cell(grid, "%s", cell->carrier);
    if (*cell->next) {
        grid_cell(grid, "%s, to go to %s", cell->platform, cell->next);
    } else {
        grid_cell(grid, "%s, from %s", cell->platform, *cell->previous ? cell->previous : "-");
    }
    grid_cell(grid, "%s", route_state_name(cell->state));
    grid_cell(grid, "%s",
              age_text(board->now_ms > cell->changed_ms ? board->now_ms - cell->changed_ms : 0, age));
    grid_cell(grid, "%s%s", board_alarms(board, cell) > 0 ? "ALARM; " : "",
              board_evidence_text(cell, board_evidence(board, cell), seen));
}

/* Is there more to say than that it moved? */
static bool is_telling(const struct board *board, const struct cell *cell)
{
    return board_evidence(board, cell) || cell->state != ROUTE_OPEN || board_alarms(board, cell) > 0;
}

/* Cells that moved lately, or are about to, those first of which something was seen; nothing where there are none. */
static void print_seen(const struct board *board)
{
    static const struct column columns[] = {{"SHORTCODE", false}, {"CARRIER", false}, {"ROUTE", false},
                                            {"STATE", false},     {"AGE", true},      {"SEEN SINCE", false}};
    struct grid *grid = grid_new(columns, sizeof columns / sizeof *columns);
    size_t lines = 0, more = 0, silent = 0;
    for (size_t i = 0; i < board->cells.count; i++) {
        const struct cell *cell = &board->cells.items[i];
        if (!board_is_lively(board, cell)) {
            continue;
        }
        if (!is_telling(board, cell)) {
            silent++;
        } else if (lines == BOARD_LINES) {
            more++;
        } else {
            lines++;
            print_seen_row(grid, board, cell);
        }
    }
    if (lines + silent > 0) {
        putchar('\n');
    }
    if (lines > 0) {
        grid_print(grid, stdout, "");
    }
    if (more > 0) {
        printf("and %zu more of which something was seen: turnoutctl status SHORTCODE\n", more);
    }
    if (silent > 0) {
        printf("%s%zu route%s moved lately or %s about to: nothing seen yet\n", lines > 0 ? "and " : "",
               silent, plural(silent), silent == 1 ? "is" : "are");
    }
    grid_free(grid);
}

static json_t *cell_json(const struct board *board, const struct cell *cell)
{
    return need(json_pack("{s:s, s:s, s:s, s:s, s:I, s:i}", "platform", cell->platform, "state",
                          route_state_name(cell->state), "previous", cell->previous, "next", cell->next,
                          "changed_ms", (json_int_t)cell->changed_ms, "alarms",
                          (int)board_alarms(board, cell)));
}

static json_t *board_json(const struct board *board, bool *complete)
{
    const struct cells *cells = &board->cells;
    json_t *rows = need(json_object());
    json_t *row = NULL;
    *complete = true;
    for (size_t i = 0; i < cells->count; i++) {
        const struct cell *cell = &cells->items[i];
        if (new_row(cells, i)) {
            if (json_object_size(rows) == BOARD_LINES) {
                *complete = false;
                break;
            }
            row = need(json_object());
            json_put(rows, cell->shortcode, row);
        }
        json_put(row, cell->carrier, cell_json(board, cell));
    }
    return rows;
}

static unsigned count_live(const struct instance_list *list)
{
    unsigned live = 0;
    for (size_t i = 0; i < list->count; i++) {
        live += instance_alive(&list->items[i]);
    }
    return live;
}

static void print_alarms(const struct board *board)
{
    if (board->guards_count > 0 && strcmp(board->guards[0].rail.state, "watching") == 0) {
        putchar('\n');
        guards_print(board, GUARDS_SHOWN);
    }
    if (board_alarms_open(board) > 0) {
        puts("\nAlarms (turnoutctl alarms ack ALARM):");
        alarms_print(board, GUARDS_SHOWN, true);
    }
}

static void print_status(const struct board *board)
{
    unsigned live = count_live(&board->instances);
    size_t dead = board->instances.count - live;
    printf("Version %llu, %llu shortcode%s. %u instance%s alive, %zu dead.\n",
           (unsigned long long)board->version, (unsigned long long)board->shortcodes,
           plural(board->shortcodes), live, plural(live), dead);
    if (board->instances.count > 0) {
        putchar('\n');
        instances_print(&board->instances);
    }
    if (board->pending.count > 0) {
        putchar('\n');
        pending_print(&board->pending);
    }
    if (board->cells.count > 0) {
        putchar('\n');
        print_grid(board);
        print_seen(board);
    }
    print_alarms(board);
}

static void answer_status(struct ctl *ctl, const struct board *board)
{
    bool complete;
    unsigned live = count_live(&board->instances);
    json_t *seen = need(json_array());
    for (size_t i = 0; i < board->evidence.count; i++) {
        json_array_append_new(seen, need(evidence_json(&board->evidence.items[i])));
    }
    ctl_answer(ctl, "version", json_integer((json_int_t)board->version));
    ctl_answer(ctl, "chain", json_text(board->chain));
    ctl_answer(ctl, "shortcodes", json_integer((json_int_t)board->shortcodes));
    ctl_answer(ctl, "live", json_integer(live));
    ctl_answer(ctl, "dead", json_integer((json_int_t)(board->instances.count - live)));
    ctl_answer(ctl, "instances", instances_json(&board->instances));
    ctl_answer(ctl, "pending", pending_json(&board->pending));
    ctl_answer(ctl, "board", board_json(board, &complete));
    ctl_answer(ctl, "board_complete", json_boolean(complete));
    ctl_answer(ctl, "evidence", seen);
    ctl_answer(ctl, "guards", board_guards_json(board));
    ctl_answer(ctl, "alarms", json_incref(board->alarms));
}

/* Of the shortcodes that are shown: all at once where they are few. */
static bool read_seen(struct ctl *ctl, struct board *board)
{
    const char *shortcodes[BOARD_LINES + 1];
    size_t count = 0;
    for (size_t i = 0; i < board->cells.count && count <= BOARD_LINES; i++) {
        if (new_row(&board->cells, i)) {
            shortcodes[count++] = board->cells.items[i].shortcode;
        }
    }
    return count > BOARD_LINES ? board_read_evidence(ctl->redis, board, NULL, 0)
                               : count == 0 || board_read_evidence(ctl->redis, board, shortcodes, count);
}

/* --- one shortcode -------------------------------------------------------------------------------------- */

static void print_line(void *ctx, const char *text)
{
    (void)ctx;
    printf("    ");
    text_print(stdout, text);
    putchar('\n');
}

static void print_details(const struct board *board, const struct cell *cell)
{
    char when[TIME_TEXT_SIZE];
    const struct evidence *evidence = board_evidence(board, cell);
    const struct board_guard *guard = board_guard(board, cell);
    printf("%s %s: %s (%s), since %s, version %llu%s%s%s%s\n", cell->shortcode, cell->carrier, cell->platform,
           route_state_name(cell->state), time_text(cell->changed_ms, when),
           (unsigned long long)cell->version, *cell->previous ? ", before: " : "", cell->previous,
           *cell->next ? ", to go to " : "", cell->next);
    if (evidence) {
        board_evidence_lines(cell, evidence, board->now_ms, print_line, NULL);
    } else {
        print_line(NULL, "nothing was seen since, or it did not move lately");
    }
    if (guard) {
        printf("    Guard %s: %s: %s\n", guard->rail.id, rail_verdict_name(guard->verdict), guard->what);
    }
    if (board_alarms(board, cell) > 0) {
        print_line(NULL, "ALARM: turnoutctl alarms");
    }
}

/* The cells of one shortcode alone. */
static void keep_shortcode(struct cells *cells, const char *shortcode)
{
    size_t kept = 0;
    for (size_t i = 0; i < cells->count; i++) {
        if (strcmp(cells->items[i].shortcode, shortcode) == 0) {
            cells->items[kept++] = cells->items[i];
        }
    }
    cells->count = kept;
}

static enum ctl_exit show_shortcode(struct ctl *ctl, struct board *board)
{
    const char *const shortcode[] = {ctl->args[0]};
    keep_shortcode(&board->cells, ctl->args[0]);
    if (board->cells.count == 0) {
        return ctl_fail(ctl, CTL_NOT_FOUND, "Look at \"turnoutctl route list\".", "%s has no row of its own",
                        ctl->args[0]);
    }
    if (!board_read_evidence(ctl->redis, board, shortcode, 1)) {
        return ctl_redis_failed(ctl);
    }
    if (ctl->options.json) {
        answer_status(ctl, board);
        return CTL_DONE;
    }
    for (size_t i = 0; i < board->cells.count; i++) {
        print_details(board, &board->cells.items[i]);
    }
    return CTL_DONE;
}

enum ctl_exit run_status(struct ctl *ctl)
{
    struct board board = {0};
    bool one = ctl->args_count > 0;
    bool fine = ctl_redis(ctl) && board_read(ctl->redis, &board) && (one || read_seen(ctl, &board));
    enum ctl_exit code = fine ? CTL_DONE : ctl_redis_failed(ctl);
    if (fine && one) {
        code = show_shortcode(ctl, &board);
    } else if (fine && ctl->options.json) {
        answer_status(ctl, &board);
    } else if (fine) {
        print_status(&board);
    }
    board_free(&board);
    return code;
}

/* --- ping --------------------------------------------------------------------------------------------------
 */

/* What stands behind "redis_version:" in the answer to INFO; "unknown" where it may not be read. */
static void redis_version(struct redis *redis, char *text, size_t size)
{
    const char *const ask[] = {"INFO", "server"};
    redisReply *reply = redis_call(redis, ask, 2);
    const char *mark = reply && reply->str ? strstr(reply->str, "redis_version:") : NULL;
    const char *found = mark ? mark + strlen("redis_version:") : "unknown";
    snprintf(text, size, "%.*s", (int)strcspn(found, "\r\n"), found);
    freeReplyObject(reply);
}

enum ctl_exit run_ping(struct ctl *ctl)
{
    char version[32];
    const char *const ask[] = {"PING"};
    if (!ctl_redis(ctl)) {
        return ctl_redis_failed(ctl);
    }
    int64_t asked_us = ctl_now_us();
    redisReply *pong = redis_call(ctl->redis, ask, 1);
    double ms = (double)(ctl_now_us() - asked_us) / 1000;
    bool answered = pong != NULL;
    freeReplyObject(pong);
    if (!answered) {
        return ctl_redis_failed(ctl);
    }
    redis_version(ctl->redis, version, sizeof version);
    redisReply *info = redis_function(ctl->redis, "turnout_info", NULL, 0);
    if (!info) {
        return ctl_redis_failed(ctl);
    }
    if (!ctl->options.json) {
        printf("Redis %s answers in %.2f ms; its table is at version %llu.\n", version, ms,
               (unsigned long long)redis_number(info, 1));
    }
    ctl_answer(ctl, "ms", json_real(ms));
    ctl_answer(ctl, "redis_version", json_text(version));
    ctl_answer(ctl, "functions_version", json_integer((json_int_t)redis_number(info, 0)));
    ctl_answer(ctl, "version", json_integer((json_int_t)redis_number(info, 1)));
    freeReplyObject(info);
    return CTL_DONE;
}
