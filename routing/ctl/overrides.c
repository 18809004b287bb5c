/* numbers set, unset and list: the carriers that numbers are given by themselves, in the routing table.
 *
 *   NUMBER CARRIER ──number_row.h──▶ the row +NUMBER, one cell under .number ──apply──▶ turnout_change and barrier
 *   set of these rows ──▶ their cells, some hundreds at a time ──▶ list
 */
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/apply.h"
#include "routing/ctl/cells.h"
#include "routing/ctl/commands.h"
#include "routing/ctl/number_row.h"
#include "routing/ctl/output.h"
#include "routing/ctl/redis.h"

enum { ASKED_AT_ONCE = 500 };

static enum ctl_exit change_row(struct ctl *ctl, const char *row, const char *to)
{
    json_t *request = request_new(ctl, "set");
    if (!request) {
        return CTL_USAGE;
    }
    request_move(request, &(struct move){.shortcode = row, .carrier = NUMBER_NAME, .to = to});
    return apply(ctl, "turnout_change", request);
}

enum ctl_exit run_numbers_set(struct ctl *ctl)
{
    char row[NUMBER_ROW_SIZE];
    const char *to = ctl->args[1];
    if (!name_fine(to)) {
        return ctl_fail(ctl, CTL_USAGE, NULL,
                        "\"%s\" is no name: 1 to %d letters, digits, dots, dashes or underscores", to,
                        NAME_LEN_MAX);
    }
    enum ctl_exit code = number_row_read(ctl, ctl->args[0], row);
    return code == CTL_DONE ? change_row(ctl, row, to) : code;
}

/* Is there such a row? False also where Redis failed, which the next call to it finds, too. */
static bool row_exists(struct ctl *ctl, const char *row)
{
    const char *const get[] = {"HEXISTS", redis_key(ctl->redis, "route:%s", row), NUMBER_NAME};
    redisReply *reply = redis_call(ctl->redis, get, 3);
    bool there = reply && reply->integer == 1;
    freeReplyObject(reply);
    return there;
}

/* A row as it is written is meant, if there is one: it may be of before the instances read numbers as they do now. */
enum ctl_exit run_numbers_unset(struct ctl *ctl)
{
    char row[NUMBER_ROW_SIZE];
    if (!ctl_redis(ctl)) {
        return ctl_redis_failed(ctl);
    }
    if (number_row_of(ctl->args[0], row) && row_exists(ctl, row)) {
        return change_row(ctl, row, "");
    }
    enum ctl_exit code = number_row_read(ctl, ctl->args[0], row);
    return code == CTL_DONE ? change_row(ctl, row, "") : code;
}

/* --- the list ----------------------------------------------------------------------------------------------
 */

static int by_text(const void *left, const void *right)
{
    return strcmp((*(redisReply *const *)left)->str, (*(redisReply *const *)right)->str);
}

static void list_cell(json_t *numbers, const char *row, const char *value)
{
    struct cell cell = {0};
    if (!cell_parse(&cell, value)) {
        return;
    }
    json_t *object = need(json_object());
    json_put(object, "number", json_text(row));
    json_put(object, "carrier", json_text(cell.platform));
    json_put(object, "previous", *cell.previous ? json_text(cell.previous) : json_null());
    json_put(object, "changed_ms", json_integer((json_int_t)cell.changed_ms));
    json_put(object, "version", json_integer((json_int_t)cell.version));
    json_array_append_new(numbers, object);
}

/* A row that was removed meanwhile has no cell. False where Redis failed. */
static bool list_rows(struct ctl *ctl, json_t *numbers, redisReply *const *rows, size_t count)
{
    size_t asked = 0;
    for (; asked < count; asked++) {
        const char *const get[] = {"HGET", redis_key(ctl->redis, "route:%s", rows[asked]->str), NUMBER_NAME};
        if (!redis_send(ctl->redis, get, 3)) {
            break;
        }
    }
    bool fine = asked == count;
    for (size_t i = 0; i < asked; i++) {
        redisReply *reply = redis_answer(ctl->redis);
        fine = fine && reply;
        if (reply && reply->str) {
            list_cell(numbers, rows[i]->str, reply->str);
        }
        freeReplyObject(reply);
    }
    return fine;
}

static bool list_all(struct ctl *ctl, json_t *numbers)
{
    const char *const get[] = {"SMEMBERS", redis_key(ctl->redis, "numbers")};
    redisReply *rows = redis_call(ctl->redis, get, 2);
    bool fine = rows != NULL;
    if (fine && rows->elements > 0) {
        qsort(rows->element, rows->elements, sizeof(void *), by_text);
    }
    for (size_t from = 0; fine && from < rows->elements; from += ASKED_AT_ONCE) {
        size_t left = rows->elements - from;
        fine = list_rows(ctl, numbers, rows->element + from, left < ASKED_AT_ONCE ? left : ASKED_AT_ONCE);
    }
    freeReplyObject(rows);
    return fine;
}

static void print_numbers(const json_t *numbers)
{
    static const struct column columns[] = {
        {"NUMBER", false}, {"CARRIER", false}, {"SET", false}, {"VERSION", true}};
    struct grid *grid = grid_new(columns, sizeof columns / sizeof *columns);
    size_t i;
    json_t *number;
    json_array_foreach(numbers, i, number)
    {
        char time[TIME_TEXT_SIZE];
        uint64_t changed_ms = (uint64_t)json_integer_value(json_object_get(number, "changed_ms"));
        grid_cell(grid, "%s", json_member(number, "number"));
        grid_cell(grid, "%s", json_member(number, "carrier"));
        grid_cell(grid, "%s", time_text(changed_ms, time));
        grid_cell(grid, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(number, "version")));
    }
    grid_print(grid, stdout, "");
    grid_free(grid);
}

enum ctl_exit run_numbers_list(struct ctl *ctl)
{
    json_t *numbers = need(json_array());
    if (!ctl_redis(ctl) || !list_all(ctl, numbers)) {
        json_decref(numbers);
        return ctl_redis_failed(ctl);
    }
    if (!ctl->options.json) {
        if (json_array_size(numbers) > 0) {
            print_numbers(numbers);
        } else {
            puts("No number has an override in the table.");
        }
    }
    ctl_answer(ctl, "numbers", numbers);
    return CTL_DONE;
}
