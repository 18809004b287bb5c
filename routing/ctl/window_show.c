/* window list and show: the windows, and one of them with what the table has of its cells. */
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/commands.h"
#include "routing/ctl/guards.h"
#include "routing/ctl/output.h"
#include "routing/ctl/redis.h"
#include "routing/ctl/window.h"

enum { CELLS_SHOWN = 60 };

/* All alarms, the newest first; to be released. False where a call failed. */
static bool read_alarms(struct ctl *ctl, json_t **alarms)
{
    struct board board = {0};
    bool fine = board_read_guards(ctl->redis, &board);
    *alarms = json_incref(board.alarms);
    board_free(&board);
    return fine;
}

/* --- list --------------------------------------------------------------------------------------------------
 */

/* In an answer of turnout_windows: name, number of strings, field, value ... */
static const char *listed_field(const redisReply *reply, size_t first, const char *name)
{
    size_t count = redis_number(reply, first + 1);
    for (size_t i = first + 2; i + 1 < first + 2 + count && i + 1 < reply->elements; i += 2) {
        if (strcmp(redis_text(reply, i), name) == 0) {
            return redis_text(reply, i + 1);
        }
    }
    return "";
}

static uint64_t listed_number(const redisReply *reply, size_t first, const char *name)
{
    return strtoull(listed_field(reply, first, name), NULL, 10);
}

static bool listed_overdue(const redisReply *reply, size_t first)
{
    const char *state = listed_field(reply, first, "state");
    return (strcmp(state, "open") == 0 || strcmp(state, "paused") == 0) &&
           listed_number(reply, first, "end") <= redis_number(reply, 0);
}

static json_t *listed_json(const redisReply *reply, size_t first, const json_t *alarms)
{
    static const char *const texts[] = {"state", "zone", "who", "why", "ticket"};
    static const char *const numbers[] = {"total", "moved", "left"};
    json_t *object = need(json_object());
    json_put(object, "name", json_text(redis_text(reply, first)));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_put(object, texts[i], json_text(listed_field(reply, first, texts[i])));
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        json_put(object, numbers[i], json_integer((json_int_t)listed_number(reply, first, numbers[i])));
    }
    json_put(object, "start_ms", json_integer((json_int_t)listed_number(reply, first, "start")));
    json_put(object, "end_ms", json_integer((json_int_t)listed_number(reply, first, "end")));
    json_put(object, "auto", json_boolean(listed_number(reply, first, "auto") == 1));
    json_put(object, "overdue", json_boolean(listed_overdue(reply, first)));
    json_put(object, "alarms", json_integer((json_int_t)alarms_of_window(alarms, redis_text(reply, first))));
    return object;
}

static void list_row(struct grid *grid, const redisReply *reply, size_t first, const json_t *alarms)
{
    size_t count = alarms_of_window(alarms, redis_text(reply, first));
    char text[TIME_TEXT_SIZE];
    struct zone zone = {0};
    if (!zone_find(listed_field(reply, first, "zone"), &zone)) {
        zone = (struct zone){0};
    }
    grid_cell(grid, "%s", redis_text(reply, first));
    grid_cell(grid, "%s%s", listed_field(reply, first, "state"),
              listed_overdue(reply, first) ? ", OVERDUE" : "");
    grid_cell(grid, "%s", zone_text(&zone, listed_number(reply, first, "start"), text));
    grid_cell(grid, "%s", zone_text(&zone, listed_number(reply, first, "end"), text));
    grid_cell(grid, "%s", listed_field(reply, first, "moved"));
    grid_cell(grid, "%s", listed_field(reply, first, "total"));
    grid_number(grid, count > 0, (long long)count);
    grid_cell(grid, "%s", listed_field(reply, first, "why"));
}

enum ctl_exit run_window_list(struct ctl *ctl)
{
    static const struct column columns[] = {{"WINDOW", false}, {"STATE", false}, {"START", false},
                                            {"END", false},    {"MOVED", true},  {"OF", true},
                                            {"ALARMS", true},  {"WHY", false}};
    json_t *alarms = NULL;
    redisReply *reply = ctl_redis(ctl) && redis_functions_renew(ctl->redis) && read_alarms(ctl, &alarms)
                            ? redis_function(ctl->redis, "turnout_windows", NULL, 0)
                            : NULL;
    if (!reply) {
        json_decref(alarms);
        return ctl_redis_failed(ctl);
    }
    struct grid *grid = grid_new(columns, sizeof columns / sizeof *columns);
    json_t *windows = need(json_array());
    for (size_t i = 2; i + 1 < reply->elements; i += 2 + redis_number(reply, i + 1)) {
        list_row(grid, reply, i, alarms);
        json_array_append_new(windows, listed_json(reply, i, alarms));
    }
    if (!ctl->options.json && json_array_size(windows) > 0) {
        grid_print(grid, stdout, "");
    } else if (!ctl->options.json) {
        puts("There is no window.");
    }
    ctl_answer(ctl, "windows", windows);
    json_decref(alarms);
    grid_free(grid);
    freeReplyObject(reply);
    return CTL_DONE;
}

/* --- show --------------------------------------------------------------------------------------------------
 */

json_t *window_cell_json(const struct window_cell *cell)
{
    json_t *object = need(json_object());
    bool row = *cell->now.platform != '\0';
    json_put(object, "shortcode", json_text(cell->now.shortcode));
    json_put(object, "carrier", json_text(cell->now.carrier));
    json_put(object, "to", json_text(cell->to));
    json_put(object, "at_ms", cell->at_ms > 0 ? json_integer((json_int_t)cell->at_ms) : json_null());
    json_put(object, "before", *cell->before ? json_text(cell->before) : json_null());
    json_put(object, "before_state",
             *cell->before ? json_text(route_state_name(cell->before_state)) : json_null());
    json_put(object, "platform", row ? json_text(cell->now.platform) : json_null());
    json_put(object, "state", row ? json_text(route_state_name(cell->now.state)) : json_null());
    json_put(object, "version", json_integer((json_int_t)cell->now.version));
    json_put(object, "progress", json_text(window_cell_word(cell->state)));
    json_put(object, "failed", *cell->failed ? json_text(cell->failed) : json_null());
    return object;
}

json_t *window_json(const struct window *window)
{
    static const char *const texts[] = {"state", "zone", "who", "why", "ticket"};
    static const char *const times[][2] = {{"start_ms", "start"},
                                           {"end_ms", "end"},
                                           {"created_ms", "created"},
                                           {"opened_ms", "open_at"},
                                           {"finished_ms", "finished_at"},
                                           {"cancelled_ms", "cancelled_at"},
                                           {"rolled_back_ms", "rolled_back_at"}};
    json_t *object = need(json_object());
    json_put(object, "name", json_text(window->name));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_put(object, texts[i], json_text(window_field(window, texts[i])));
    }
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        uint64_t ms = window_number(window, times[i][1]);
        json_put(object, times[i][0], ms > 0 ? json_integer((json_int_t)ms) : json_null());
    }
    json_put(object, "auto", json_boolean(window_number(window, "auto") == 1));
    json_put(object, "overdue", json_boolean(window_overdue(window)));
    json_t *guard = json_loads(window_field(window, "guard"), 0, NULL);
    json_put(object, "guard", guard ? guard : json_null());
    return object;
}

/* "  guard: errors 5, min 50, ..." of its JSON. */
static void print_guard(const char *text)
{
    json_t *guard = json_loads(text, 0, NULL);
    const char *name;
    json_t *value;
    const char *separator = "  guard: ";
    json_object_foreach(guard, name, value)
    {
        char *word = json_dumps(value, JSON_ENCODE_ANY);
        printf("%s%s %s", separator, name, word ? word : "?");
        free(word);
        separator = ", ";
    }
    putchar('\n');
    json_decref(guard);
}

static void print_head(const struct window *window)
{
    char start[TIME_TEXT_SIZE];
    char end[TIME_TEXT_SIZE];
    printf("Window %s: %s%s, %s to %s\n", window->name, window_field(window, "state"),
           window_overdue(window) ? ", OVERDUE" : "",
           zone_text(&window->zone, window_number(window, "start"), start),
           zone_text(&window->zone, window_number(window, "end"), end));
    text_wrap(stdout, "  by ", window_field(window, "who"));
    if (*window_field(window, "ticket")) {
        text_wrap(stdout, "  ticket ", window_field(window, "ticket"));
    }
    if (*window_field(window, "why")) {
        text_wrap(stdout, "  why: ", window_field(window, "why"));
    }
    if (window_number(window, "auto") == 1) {
        puts("  starts by itself");
    }
    if (*window_field(window, "guard")) {
        print_guard(window_field(window, "guard"));
    }
}

/* A line for each carrier, in the order of the steps. */
static void print_carriers(const struct window *window)
{
    static const struct column columns[] = {{"CARRIER", false}, {"WAITING", true},  {"MOVED", true},
                                            {"BEFORE", true},   {"NOT OPEN", true}, {"ELSEWHERE", true}};
    struct grid *grid = grid_new(columns, sizeof columns / sizeof *columns);
    char name[NAME_LEN_MAX + 1];
    const char *rest = NULL;
    while (window_carrier_next(window, &rest, name)) {
        grid_cell(grid, "%s", name);
        grid_cell(grid, "%zu", window_count(window, name, WINDOW_CELL_WAITING));
        grid_cell(grid, "%zu", window_count(window, name, WINDOW_CELL_MOVED));
        grid_cell(grid, "%zu", window_count(window, name, WINDOW_CELL_THERE));
        grid_cell(grid, "%zu",
                  window_count(window, name, WINDOW_CELL_WAITING_HELD) +
                      window_count(window, name, WINDOW_CELL_MOVED_HELD));
        grid_cell(grid, "%zu",
                  window_count(window, name, WINDOW_CELL_ELSEWHERE) +
                      window_count(window, name, WINDOW_CELL_NO_ROW));
    }
    grid_print(grid, stdout, "");
    grid_free(grid);
}

static void print_cells(const struct window *window)
{
    static const struct column columns[] = {
        {"SHORTCODE", false}, {"CARRIER", false},  {"NOW", false}, {"STATE", false},
        {"TO", false},        {"PROGRESS", false}, {"AT", false},  {"DID NOT MOVE BY ITSELF", false}};
    struct grid *grid = grid_new(columns, sizeof columns / sizeof *columns);
    char at[TIME_TEXT_SIZE];
    for (size_t i = 0; i < window->count && i < CELLS_SHOWN; i++) {
        const struct window_cell *cell = &window->cells[i];
        bool row = *cell->now.platform != '\0';
        grid_cell(grid, "%s", cell->now.shortcode);
        grid_cell(grid, "%s", cell->now.carrier);
        grid_cell(grid, "%s", row ? cell->now.platform : "-");
        grid_cell(grid, "%s", row ? route_state_name(cell->now.state) : "");
        grid_cell(grid, "%s", cell->to);
        grid_cell(grid, "%s", window_cell_word(cell->state));
        grid_cell(grid, "%s", cell->at_ms > 0 ? zone_text(&window->zone, cell->at_ms, at) : "");
        grid_cell(grid, "%s", cell->failed);
    }
    grid_print(grid, stdout, "");
    grid_free(grid);
    if (window->count > CELLS_SHOWN) {
        printf("and %zu more, which --json shows\n", window->count - CELLS_SHOWN);
    }
}

/* Those of the window that nobody has acknowledged, the newest first. */
static json_t *open_alarms(const json_t *alarms, const char *name)
{
    json_t *its = need(json_array());
    size_t i;
    json_t *alarm;
    json_array_foreach(alarms, i, alarm)
    {
        if (alarm_of_window(alarm, name)) {
            json_array_append(its, alarm);
        }
    }
    return its;
}

static void print_alarms(const json_t *alarms)
{
    size_t i;
    json_t *alarm;
    json_array_foreach(alarms, i, alarm)
    {
        char when[TIME_TEXT_SIZE];
        char *text = NULL;
        uint64_t at_ms = (uint64_t)json_integer_value(json_object_get(alarm, "at_ms"));
        int len = asprintf(&text, "%s, %s: %s", json_member(alarm, "id"), time_text(at_ms, when),
                           json_member(alarm, "what"));
        text_wrap(stdout, "ALARM ", text_clean(need(len < 0 ? NULL : text)));
        free(text);
    }
}

enum ctl_exit run_window_show(struct ctl *ctl)
{
    struct window window = {0};
    json_t *all = NULL;
    enum ctl_exit code = window_name_fine(ctl) ? window_read(ctl, ctl->args[0], &window) : CTL_USAGE;
    if (code == CTL_DONE && !read_alarms(ctl, &all)) {
        code = ctl_redis_failed(ctl);
    }
    json_t *alarms = open_alarms(all, ctl->args[0]);
    if (code == CTL_DONE && ctl->options.json) {
        json_t *cells = need(json_array());
        for (size_t i = 0; i < window.count; i++) {
            json_array_append_new(cells, window_cell_json(&window.cells[i]));
        }
        ctl_answer(ctl, "window", window_json(&window));
        ctl_answer(ctl, "cells", cells);
        ctl_answer(ctl, "alarms", json_incref(alarms));
    } else if (code == CTL_DONE) {
        print_head(&window);
        print_carriers(&window);
        print_cells(&window);
        print_alarms(alarms);
    }
    json_decref(alarms);
    json_decref(all);
    window_free(&window);
    return code;
}
