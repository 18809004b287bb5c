/* route list, set and remove: one look at the table, or one change of one cell. route hold, open and close:
 * the state of some cells as they are, in one change. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/apply.h"
#include "routing/ctl/cells.h"
#include "routing/ctl/commands.h"
#include "routing/ctl/links.h"
#include "routing/ctl/output.h"
#include "routing/ctl/route.h"

json_t *route_json(const struct cell *cell)
{
    json_t *object = need(json_object());
    json_put(object, "shortcode", json_text(cell->shortcode));
    json_put(object, "carrier", json_text(cell->carrier));
    json_put(object, "platform", json_text(cell->platform));
    json_put(object, "state", json_text(route_state_name(cell->state)));
    json_put(object, "previous", *cell->previous ? json_text(cell->previous) : json_null());
    json_put(object, "next", *cell->next ? json_text(cell->next) : json_null());
    json_put(object, "changed_ms", json_integer((json_int_t)cell->changed_ms));
    json_put(object, "version", json_integer((json_int_t)cell->version));
    return object;
}

json_t *routes_json(const struct cells *cells)
{
    json_t *routes = need(json_array());
    for (size_t i = 0; i < cells->count; i++) {
        json_array_append_new(routes, route_json(&cells->items[i]));
    }
    return routes;
}

bool route_names_fine(struct ctl *ctl)
{
    const struct {
        const char *option, *name;
    } given[] = {{"carrier", ctl->options.carrier}, {"to", ctl->options.to}, {"from", ctl->options.from}};
    for (int i = 0; i < ctl->args_count; i++) {
        if (!shortcode_fine(ctl->args[i])) {
            ctl_fail(ctl, CTL_USAGE, NULL,
                     "\"%s\" is no shortcode: 1 to %d printable characters without blanks", ctl->args[i],
                     SHORTCODE_LEN_MAX);
            return false;
        }
    }
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        if (given[i].name && !name_fine(given[i].name)) {
            ctl_fail(ctl, CTL_USAGE, NULL,
                     "--%s \"%s\" is no name: 1 to %d letters, digits, dots, dashes or underscores",
                     given[i].option, given[i].name, NAME_LEN_MAX);
            return false;
        }
    }
    return true;
}

static int by_text(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

void route_sort_shortcodes(struct ctl *ctl)
{
    int kept = 0;
    qsort(ctl->args, (size_t)ctl->args_count, sizeof *ctl->args, by_text);
    for (int i = 0; i < ctl->args_count; i++) {
        if (kept == 0 || strcmp(ctl->args[kept - 1], ctl->args[i]) != 0) {
            ctl->args[kept++] = ctl->args[i];
        }
    }
    ctl->args_count = kept;
}

static bool ask_cell(struct ctl *ctl, const char *shortcode)
{
    const char *const get[] = {"HGET", redis_key(ctl->redis, "route:%s", shortcode), ctl->options.carrier};
    return redis_send(ctl->redis, get, 3);
}

static bool take_cell(struct ctl *ctl, const char *shortcode, struct cell *cell)
{
    memset(cell, 0, sizeof *cell);
    redisReply *reply = redis_answer(ctl->redis);
    bool fine = reply != NULL;
    if (fine && (!reply->str || !cell_parse(cell, reply->str))) {
        memset(cell, 0, sizeof *cell);
    }
    freeReplyObject(reply);
    text_copy(cell->shortcode, sizeof cell->shortcode, shortcode);
    text_copy(cell->carrier, sizeof cell->carrier, ctl->options.carrier);
    return fine;
}

bool route_read_cell(struct ctl *ctl, const char *shortcode, struct cell *cell)
{
    return ask_cell(ctl, shortcode) && take_cell(ctl, shortcode, cell);
}

bool route_read_args(struct ctl *ctl, struct cells *cells)
{
    enum { AT_ONCE = 500 };
    struct cell cell;
    bool fine = true;
    for (int from = 0; from < ctl->args_count && fine; from += AT_ONCE) {
        int end = ctl->args_count - from > AT_ONCE ? from + AT_ONCE : ctl->args_count;
        int asked = from;
        while (asked < end && ask_cell(ctl, ctl->args[asked])) {
            asked++;
        }
        fine = asked == end;
        for (int i = from; i < asked; i++) { /* all of them, also after one that was refused */
            fine = take_cell(ctl, ctl->args[i], &cell) && fine;
            cells_add(cells, &cell);
        }
    }
    return fine;
}

/* The names of all carriers that the table or a live instance knows. False where Redis does not answer. */
static bool known_carriers(struct ctl *ctl, json_t *names)
{
    struct cells cells = {0};
    bool fine = links_carriers(ctl, names) && cells_load(ctl->redis, &cells);
    for (size_t i = 0; i < cells.count; i++) {
        json_put(names, cells.items[i].carrier, json_true());
    }
    cells_free(&cells);
    return fine;
}

static enum ctl_exit fail_no_carrier(struct ctl *ctl, json_t *names)
{
    char *text = NULL;
    size_t len;
    const char *name;
    json_t *value;
    const char *gap = "";
    FILE *out = need(open_memstream(&text, &len));
    json_object_foreach(names, name, value)
    {
        fprintf(out, "%s%s", gap, name);
        gap = ", ";
    }
    fclose(out);
    text = need(text);
    enum ctl_exit code =
        ctl_fail(ctl, CTL_NOT_FOUND, NULL, "there is no carrier %s: the table and the instances know %s",
                 ctl->options.carrier, text);
    free(text);
    return code;
}

/* CTL_DONE where the carrier of the command is known, or none is. */
static enum ctl_exit check_carrier(struct ctl *ctl)
{
    json_t *names = need(json_object());
    enum ctl_exit code = CTL_DONE;
    if (!known_carriers(ctl, names)) {
        code = ctl_redis_failed(ctl);
    } else if (json_object_size(names) > 0 && !json_object_get(names, ctl->options.carrier)) {
        code = fail_no_carrier(ctl, names);
    }
    json_decref(names);
    return code;
}

enum ctl_exit route_fail_no_row(struct ctl *ctl, const char *shortcode, const char *advice)
{
    struct cell standard;
    enum ctl_exit code = check_carrier(ctl);
    if (code != CTL_DONE) {
        return code;
    }
    if (!route_read_cell(ctl, "*", &standard)) {
        return ctl_redis_failed(ctl);
    }
    if (*standard.platform) {
        return ctl_fail(ctl, CTL_NOT_FOUND, advice,
                        "%s has no row of its own for %s: the default row * sends it to %s", shortcode,
                        ctl->options.carrier, standard.platform);
    }
    return ctl_fail(ctl, CTL_NOT_FOUND, advice, "%s has no row for %s, nor has the default row *", shortcode,
                    ctl->options.carrier);
}

static void print_routes(const struct cells *cells, uint64_t now_ms)
{
    static const struct column columns[] = {{"SHORTCODE", false}, {"CARRIER", false},  {"PLATFORM", false},
                                            {"STATE", false},     {"PREVIOUS", false}, {"NEXT", false},
                                            {"AGE", true},        {"VERSION", true}};
    struct grid *grid = grid_new(columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < cells->count; i++) {
        const struct cell *cell = &cells->items[i];
        char age[AGE_TEXT_SIZE];
        uint64_t age_ms = cell->changed_ms < now_ms ? now_ms - cell->changed_ms : 0;
        grid_cell(grid, "%s", cell->shortcode);
        grid_cell(grid, "%s", cell->carrier);
        grid_cell(grid, "%s", cell->platform);
        grid_cell(grid, "%s", route_state_name(cell->state));
        grid_cell(grid, "%s", cell->previous);
        grid_cell(grid, "%s", cell->next);
        grid_cell(grid, "%s", age_text(age_ms, age));
        grid_cell(grid, "%llu", (unsigned long long)cell->version);
    }
    grid_print(grid, stdout, "");
    grid_free(grid);
}

/* Ages go by Redis' clock, as the table does. */
static uint64_t redis_now_ms(struct redis *redis)
{
    const char *const ask[] = {"TIME"};
    redisReply *reply = redis_call(redis, ask, 1);
    uint64_t now_ms = reply ? redis_number(reply, 0) * 1000 + redis_number(reply, 1) / 1000 : 0;
    freeReplyObject(reply);
    return now_ms;
}

static enum ctl_exit list_cells(struct ctl *ctl, const struct cells *cells)
{
    ctl_answer(ctl, "version", json_integer((json_int_t)cells->version));
    if (ctl->args_count > 0 && cells->count == 0) {
        return ctl_fail(ctl, CTL_NOT_FOUND,
                        "Where there is a default row, that serves it: turnoutctl route list '*'.",
                        "%s has no row of its own", ctl->args[0]);
    }
    if (ctl->options.json) {
        ctl_answer(ctl, "routes", routes_json(cells));
    } else if (cells->count == 0) {
        puts("The table is empty.");
    } else {
        print_routes(cells, redis_now_ms(ctl->redis));
    }
    return CTL_DONE;
}

enum ctl_exit run_route_list(struct ctl *ctl)
{
    struct cells cells = {0};
    if (!route_names_fine(ctl)) {
        return CTL_USAGE;
    }
    bool loaded = ctl_redis(ctl) && (ctl->args_count > 0 ? cells_load_row(ctl->redis, ctl->args[0], &cells)
                                                         : cells_load(ctl->redis, &cells));
    enum ctl_exit code = loaded ? list_cells(ctl, &cells) : ctl_redis_failed(ctl);
    cells_free(&cells);
    return code;
}

static enum ctl_exit change_one(struct ctl *ctl, const char *to)
{
    const struct options *options = &ctl->options;
    struct move move = {.shortcode = ctl->args[0],
                        .carrier = options->carrier,
                        .to = to,
                        .state = options->state,
                        .from = options->from};
    json_t *request = route_names_fine(ctl) ? request_new(ctl, "set") : NULL;
    if (!request) {
        return CTL_USAGE;
    }
    request_move(request, &move);
    return apply(ctl, "turnout_change", request);
}

enum ctl_exit run_route_set(struct ctl *ctl)
{
    return change_one(ctl, ctl->options.to);
}

enum ctl_exit run_route_remove(struct ctl *ctl)
{
    return change_one(ctl, "");
}

/* Only the state changes, so the request says for each cell what else is there. */
static enum ctl_exit add_state(struct ctl *ctl, json_t *request, const struct cell *cell, const char *state)
{
    if (!*cell->platform) {
        return route_fail_no_row(ctl, cell->shortcode, "\"turnoutctl route set\" gives it a row of its own.");
    }
    request_move(request, &(struct move){.shortcode = cell->shortcode,
                                         .carrier = cell->carrier,
                                         .to = cell->platform,
                                         .state = state,
                                         .from = cell->platform,
                                         .from_state = route_state_name(cell->state)});
    return CTL_DONE;
}

static enum ctl_exit change_states(struct ctl *ctl, enum route_state state)
{
    json_t *request = route_names_fine(ctl) ? request_new(ctl, "set") : NULL;
    if (!request) {
        return CTL_USAGE;
    }
    route_sort_shortcodes(ctl);
    struct cells cells = {0};
    enum ctl_exit code = ctl_redis(ctl) && route_read_args(ctl, &cells) ? CTL_DONE : ctl_redis_failed(ctl);
    for (size_t i = 0; i < cells.count && code == CTL_DONE; i++) {
        code = add_state(ctl, request, &cells.items[i], route_state_name(state));
    }
    cells_free(&cells);
    if (code != CTL_DONE) {
        json_decref(request);
        return code;
    }
    return apply(ctl, "turnout_change", request);
}

enum ctl_exit run_route_hold(struct ctl *ctl)
{
    return change_states(ctl, ROUTE_HOLD);
}

enum ctl_exit run_route_open(struct ctl *ctl)
{
    return change_states(ctl, ROUTE_OPEN);
}

enum ctl_exit run_route_close(struct ctl *ctl)
{
    return change_states(ctl, ROUTE_CLOSED);
}
