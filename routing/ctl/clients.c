/* sessions --clients: what each client has here now, asked of the instances.
 *
 *   "clients" ──▶ each instance's rows ──added up by client and link (or --by-instance)──▶ table, JSON */
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/ask.h"
#include "routing/ctl/output.h"
#include "routing/ctl/sessions.h"

static const char *const summed[] = {"in_flight", "held"};
static const char *const leg_summed[] = {"bound",  "waiting",     "connecting", "binding",
                                         "ending", "window_used", "window_size"};

static long long number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static void add_number(json_t *sum, const json_t *part, const char *name)
{
    if (json_object_get(part, name)) {
        json_put(sum, name, json_integer(number_of(sum, name) + number_of(part, name)));
    }
}

/* The leg of this link in a client's row, made where there is none. */
static json_t *leg_of(json_t *client, const json_t *leg)
{
    json_t *legs = json_object_get(client, "legs");
    size_t i;
    json_t *found;
    json_array_foreach(legs, i, found)
    {
        if (strcmp(json_member(found, "link"), json_member(leg, "link")) == 0) {
            return found;
        }
    }
    found = need(json_object());
    static const char *const names[] = {"link", "carrier", "platform"};
    for (size_t name = 0; name < sizeof names / sizeof *names; name++) {
        json_put(found, names[name], json_text(json_member(leg, names[name])));
    }
    json_array_append_new(legs, found);
    return found;
}

static void add_leg(json_t *sum, const json_t *part)
{
    for (size_t i = 0; i < sizeof leg_summed / sizeof *leg_summed; i++) {
        add_number(sum, part, leg_summed[i]);
    }
    const json_t *time = json_object_get(part, "round_trip_ms");
    if (time && json_number_value(time) > json_number_value(json_object_get(sum, "round_trip_ms"))) {
        json_put(sum, "round_trip_ms", json_real(json_number_value(time)));
    }
}

static void add_client(json_t *sum, const json_t *part)
{
    const char *type;
    json_t *value;
    size_t i;
    json_object_foreach(json_object_get(part, "sessions"), type, value)
    {
        add_number(json_object_get(sum, "sessions"), json_object_get(part, "sessions"), type);
    }
    for (i = 0; i < sizeof summed / sizeof *summed; i++) {
        add_number(sum, part, summed[i]);
    }
    json_array_foreach(json_object_get(part, "legs"), i, value)
    {
        add_leg(leg_of(sum, value), value);
    }
}

/* rows: by client's name, or client and instance. */
static void add_answer(json_t *rows, const struct ask_item *item, bool by_instance)
{
    size_t i;
    json_t *client;
    json_array_foreach(json_object_get(item->answer, "clients"), i, client)
    {
        char key[512];
        const char *name = json_member(client, "client");
        snprintf(key, sizeof key, "%s\n%s", name, by_instance ? item->instance : "");
        json_t *row = json_object_get(rows, key);
        if (!row) {
            row = need(json_pack("{s:s, s:{}, s:i, s:i, s:[]}", "client", name, "sessions", "in_flight", 0,
                                 "held", 0, "legs"));
            if (by_instance) {
                json_put(row, "instance", json_text(item->instance));
            }
            json_put(rows, key, row);
        }
        add_client(row, client);
    }
}

static int by_key(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* The rows as an array, in order of their keys. */
static json_t *sorted(json_t *rows)
{
    size_t count = json_object_size(rows);
    const char **keys = need(calloc(count + 1, sizeof *keys));
    json_t *array = need(json_array());
    size_t used = 0;
    const char *key;
    json_t *row;
    json_object_foreach(rows, key, row)
    {
        keys[used++] = key;
    }
    qsort(keys, used, sizeof *keys, by_key);
    for (size_t i = 0; i < used; i++) {
        json_array_append(array, json_object_get(rows, keys[i]));
    }
    free(keys);
    return array;
}

/* "transceiver 2, receiver 1" */
static void print_sessions_of(struct grid *grid, const json_t *sessions)
{
    char text[128] = "";
    size_t used = 0;
    const char *type;
    json_t *count;
    json_object_foreach((json_t *)(uintptr_t)sessions, type, count)
    {
        if (used < sizeof text) {
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%lld %s", used == 0 ? "" : ", ",
                                     (long long)json_integer_value(count), type);
        }
    }
    grid_cell(grid, "%s", text);
}

static void print_leg(struct grid *grid, const json_t *leg)
{
    long long unbound = number_of(leg, "waiting") + number_of(leg, "connecting") + number_of(leg, "binding");
    const json_t *time = json_object_get(leg, "round_trip_ms");
    grid_cell(grid, "%s", json_member(leg, "link"));
    grid_number(grid, leg != NULL, number_of(leg, "bound"));
    grid_number(grid, unbound > 0, unbound);
    grid_number(grid, number_of(leg, "ending") > 0, number_of(leg, "ending"));
    grid_share(grid, leg != NULL, number_of(leg, "window_used"), number_of(leg, "window_size"));
    if (time) {
        grid_cell(grid, "%.1f ms", json_number_value(time));
    } else {
        grid_cell(grid, "%s", "");
    }
}

/* A line for each leg; what is the client's own stands on the first. */
static void print_client(struct grid *grid, const json_t *client)
{
    const json_t *legs = json_object_get(client, "legs");
    size_t count = json_array_size(legs);
    for (size_t i = 0; i == 0 || i < count; i++) {
        grid_cell(grid, "%s", i == 0 ? json_member(client, "client") : "");
        grid_cell(grid, "%s", i == 0 ? json_member(client, "instance") : "");
        print_sessions_of(grid, i == 0 ? json_object_get(client, "sessions") : NULL);
        grid_number(grid, i == 0, number_of(client, "in_flight"));
        grid_number(grid, i == 0, number_of(client, "held"));
        print_leg(grid, json_array_get(legs, i));
    }
}

static void print_clients(const json_t *clients)
{
    static const struct column columns[] = {{"CLIENT", false},   {"INSTANCE", false}, {"SESSIONS", false},
                                            {"IN FLIGHT", true}, {"HELD", true},      {"LINK", false},
                                            {"BOUND", true},     {"NOT BOUND", true}, {"ENDING", true},
                                            {"WINDOW", true},    {"ROUND TRIP", true}};
    struct grid *grid = grid_new(columns, sizeof columns / sizeof *columns);
    size_t i;
    json_t *client;
    json_array_foreach(clients, i, client)
    {
        print_client(grid, client);
    }
    if (json_array_size(clients) > 0) {
        grid_print(grid, stdout, "");
    } else {
        puts("No client is bound.");
    }
    grid_free(grid);
}

static enum ctl_exit show(struct ctl *ctl, const struct ask *ask)
{
    json_t *rows = need(json_object());
    json_t *silent = need(json_array());
    long long left_out = 0;
    for (size_t i = 0; i < ask->count; i++) {
        const struct ask_item *item = &ask->items[i];
        add_answer(rows, item, ctl->options.by_instance);
        left_out += number_of(item->answer, "left_out");
        if (ask_failed(item)) {
            json_array_append_new(silent, json_text(item->instance));
        }
    }
    json_t *clients = sorted(rows);
    if (!ctl->options.json) {
        print_clients(clients);
        if (left_out > 0) {
            printf("%lld more clients are bound than are shown.\n", left_out);
        }
    }
    size_t failed = json_array_size(silent);
    ctl_answer(ctl, "clients", clients);
    ctl_answer(ctl, "silent", silent);
    ctl_answer(ctl, "left_out", json_integer(left_out));
    json_decref(rows);
    for (size_t i = 0; i < ask->count && !ctl->options.json; i++) {
        if (ask_failed(&ask->items[i])) {
            printf("%s: %s\n", ask->items[i].instance, ask_failed(&ask->items[i]));
        }
    }
    return failed == 0 ? CTL_DONE
                       : ctl_fail(ctl, CTL_INCOMPLETE, NULL, "%zu living instance%s did not answer", failed,
                                  plural(failed));
}

enum ctl_exit sessions_by_client(struct ctl *ctl)
{
    struct ask ask;
    json_t *request = need(json_pack("{s:s}", "kind", "clients"));
    enum ctl_exit code = ask_all(ctl, request, 0, &ask) ? show(ctl, &ask) : ctl_redis_failed(ctl);
    json_decref(request);
    ask_free(&ask);
    return code;
}
