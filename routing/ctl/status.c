/* status and ping: is everything there, and what goes where.
 *
 *   turnout_info, turnout_instances, pending_read, cells_load ──▶ version; instances; what waits; board,
 * shortcodes down and carriers across
 */
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/cells.h"
#include "routing/ctl/commands.h"
#include "routing/ctl/instance_list.h"
#include "routing/ctl/instances.h"
#include "routing/ctl/output.h"
#include "routing/ctl/pending.h"

enum { BOARD_LINES = 50, CARRIERS_MAX = NAMES_MAX };

struct board {
    size_t columns_count;
    struct column columns[CARRIERS_MAX + 1]; /* the first is the shortcode's */
};

static int by_title(const void *left, const void *right)
{
    return strcmp(((const struct column *)left)->title, ((const struct column *)right)->title);
}

/* A column for each carrier that any row names; titles belong to cells. */
static void board_columns(struct board *board, const struct cells *cells)
{
    board->columns[0] = (struct column){"SHORTCODE", false};
    board->columns_count = 1;
    for (size_t i = 0; i < cells->count; i++) {
        size_t column = 1;
        while (column < board->columns_count &&
               strcmp(board->columns[column].title, cells->items[i].carrier) != 0) {
            column++;
        }
        if (column == board->columns_count && column <= CARRIERS_MAX) {
            board->columns[board->columns_count++] = (struct column){cells->items[i].carrier, false};
        }
    }
    qsort(board->columns + 1, board->columns_count - 1, sizeof *board->columns, by_title);
}

static void board_cell(struct grid *grid, const struct cell *cell)
{
    if (!cell) {
        grid_cell(grid, "%s", "");
    } else if (cell->state == ROUTE_OPEN) {
        grid_cell(grid, "%s", cell->platform);
    } else {
        grid_cell(grid, "%s (%s)", cell->platform, route_state_name(cell->state));
    }
}

static bool new_row(const struct cells *cells, size_t i)
{
    return i == 0 || strcmp(cells->items[i - 1].shortcode, cells->items[i].shortcode) != 0;
}

static void board_print(const struct cells *cells)
{
    struct board board;
    size_t lines = 0;
    board_columns(&board, cells);
    struct grid *grid = grid_new(board.columns, board.columns_count);
    for (size_t i = 0; i < cells->count; i++) {
        const char *shortcode = cells->items[i].shortcode;
        if (!new_row(cells, i) || lines++ >= BOARD_LINES) {
            continue;
        }
        grid_cell(grid, "%s", shortcode);
        for (size_t column = 1; column < board.columns_count; column++) {
            board_cell(grid, cells_find(cells, shortcode, board.columns[column].title));
        }
    }
    grid_print(grid, stdout, "");
    grid_free(grid);
    if (lines > BOARD_LINES) {
        printf("and %zu more: turnoutctl route list\n", lines - BOARD_LINES);
    }
}

static json_t *board_json(const struct cells *cells, bool *complete)
{
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
        json_put(row, cell->carrier,
                 json_pack("{ssss}", "platform", cell->platform, "state", route_state_name(cell->state)));
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

static void print_status(const redisReply *info, const struct instance_list *list, const struct cells *cells,
                         const struct pending *pending)
{
    unsigned live = count_live(list);
    size_t dead = list->count - live;
    printf("Version %llu, %llu shortcode%s. %u instance%s alive, %zu dead.\n",
           (unsigned long long)redis_number(info, 1), (unsigned long long)redis_number(info, 3),
           plural(redis_number(info, 3)), live, plural(live), dead);
    if (list->count > 0) {
        putchar('\n');
        instances_print(list);
    }
    if (pending->count > 0) {
        putchar('\n');
        pending_print(pending);
    }
    if (cells->count > 0) {
        putchar('\n');
        board_print(cells);
    }
}

static void answer_status(struct ctl *ctl, const redisReply *info, const struct instance_list *list,
                          const struct cells *cells, const struct pending *pending)
{
    bool complete;
    unsigned live = count_live(list);
    ctl_answer(ctl, "version", json_integer((json_int_t)redis_number(info, 1)));
    ctl_answer(ctl, "chain", json_text(redis_text(info, 2)));
    ctl_answer(ctl, "shortcodes", json_integer((json_int_t)redis_number(info, 3)));
    ctl_answer(ctl, "live", json_integer(live));
    ctl_answer(ctl, "dead", json_integer((json_int_t)(list->count - live)));
    ctl_answer(ctl, "instances", instances_json(list));
    ctl_answer(ctl, "pending", pending_json(pending));
    ctl_answer(ctl, "board", board_json(cells, &complete));
    ctl_answer(ctl, "board_complete", json_boolean(complete));
}

enum ctl_exit run_status(struct ctl *ctl)
{
    struct instance_list list = {0};
    struct cells cells = {0};
    struct pending pending = {0};
    redisReply *info = ctl_redis(ctl) ? redis_function(ctl->redis, "turnout_info", NULL, 0) : NULL;
    bool fine = info && instance_list_read(ctl->redis, &list) &&
                pending_read(ctl->redis, list.now_ms, &pending) && cells_load(ctl->redis, &cells);
    enum ctl_exit code = fine ? CTL_DONE : ctl_redis_failed(ctl);
    if (fine && ctl->options.json) {
        answer_status(ctl, info, &list, &cells, &pending);
    } else if (fine) {
        print_status(info, &list, &cells, &pending);
    }
    freeReplyObject(info);
    instance_list_free(&list);
    cells_free(&cells);
    pending_free(&pending);
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
