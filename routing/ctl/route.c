/* route list, set and remove: one look at the table, or one change of one cell. */
#include <string.h>

#include "routing/ctl/apply.h"
#include "routing/ctl/cells.h"
#include "routing/ctl/commands.h"
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

static void print_routes(const struct cells *cells, uint64_t now_ms)
{
    static const struct column columns[] = {{"SHORTCODE", false}, {"CARRIER", false},  {"PLATFORM", false},
                                            {"STATE", false},     {"PREVIOUS", false}, {"AGE", true},
                                            {"VERSION", true}};
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
        return ctl_fail(ctl, CTL_NOT_FOUND, "The default row serves it: turnoutctl route list '*'.",
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
