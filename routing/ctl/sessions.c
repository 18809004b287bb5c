/* See sessions.h; and the command that shows them. */
#include "routing/ctl/sessions.h"

#include <stdlib.h>
#include <string.h>

#include "routing/ctl/commands.h"
#include "routing/ctl/output.h"

static const char *const field_names[SESSION_FIELDS] = {"instance", "side",     "client",    "link",
                                                        "carrier",  "platform", "bind_type", "state"};

static void group_free(struct session_group *group)
{
    for (int i = 0; i < SESSION_FIELDS; i++) {
        free(group->fields[i]);
    }
}

static void add_group(struct sessions *sessions, const struct instance *instance, const json_t *object)
{
    if (sessions->count == sessions->space) {
        sessions->space = sessions->space ? sessions->space * 2 : 64;
        sessions->items = need(reallocarray(sessions->items, sessions->space, sizeof *sessions->items));
    }
    struct session_group *group = &sessions->items[sessions->count++];
    const json_t *count = json_object_get(object, "count");
    json_int_t number = json_is_integer(count) ? json_integer_value(count) : 1;
    group->count = number > 0 ? (unsigned long long)number : 0;
    for (int i = 0; i < SESSION_FIELDS; i++) {
        const char *text = i == SESSION_INSTANCE ? instance->id : json_member(object, field_names[i]);
        group->fields[i] = need(strdup(text));
    }
}

bool sessions_read(struct sessions *sessions, const struct instance *instance)
{
    json_t *array = json_loads(instance_field(instance, "sessions"), 0, NULL);
    bool fine = json_is_array(array);
    size_t i;
    json_t *object;
    json_array_foreach(array, i, object)
    {
        add_group(sessions, instance, object);
    }
    json_decref(array);
    return fine;
}

static int group_order(const void *left_item, const void *right_item)
{
    const struct session_group *left = left_item;
    const struct session_group *right = right_item;
    int order = 0;
    for (int i = 0; i < SESSION_FIELDS && order == 0; i++) {
        order = strcmp(left->fields[i], right->fields[i]);
    }
    return order;
}

void sessions_merge(struct sessions *sessions, bool by_instance)
{
    size_t kept = 0;
    for (size_t i = 0; !by_instance && i < sessions->count; i++) {
        *sessions->items[i].fields[SESSION_INSTANCE] = '\0';
    }
    if (sessions->count > 0) {
        qsort(sessions->items, sessions->count, sizeof *sessions->items, group_order);
    }
    for (size_t i = 0; i < sessions->count; i++) {
        if (kept > 0 && group_order(&sessions->items[kept - 1], &sessions->items[i]) == 0) {
            sessions->items[kept - 1].count += sessions->items[i].count;
            group_free(&sessions->items[i]);
        } else {
            sessions->items[kept++] = sessions->items[i];
        }
    }
    sessions->count = kept;
}

void sessions_free(struct sessions *sessions)
{
    for (size_t i = 0; i < sessions->count; i++) {
        group_free(&sessions->items[i]);
    }
    free(sessions->items);
    memset(sessions, 0, sizeof *sessions);
}

/* --- the command -------------------------------------------------------------------------------------------
 */

static json_t *sessions_json(const struct sessions *sessions, bool by_instance)
{
    json_t *array = need(json_array());
    for (size_t i = 0; i < sessions->count; i++) {
        const struct session_group *group = &sessions->items[i];
        json_t *object = need(json_object());
        for (int field = by_instance ? SESSION_INSTANCE : SESSION_SIDE; field < SESSION_FIELDS; field++) {
            const char *text = group->fields[field];
            json_put(object, field_names[field], *text ? json_text(text) : json_null());
        }
        json_put(object, "count", json_integer((json_int_t)group->count));
        json_array_append_new(array, object);
    }
    return array;
}

static void print_sessions(const struct sessions *sessions)
{
    static const struct column columns[] = {{"INSTANCE", false}, {"SIDE", false},    {"CLIENT", false},
                                            {"LINK", false},     {"CARRIER", false}, {"PLATFORM", false},
                                            {"BIND", false},     {"STATE", false},   {"COUNT", true}};
    struct grid *grid = grid_new(columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < sessions->count; i++) {
        for (int field = 0; field < SESSION_FIELDS; field++) {
            grid_cell(grid, "%s", sessions->items[i].fields[field]);
        }
        grid_cell(grid, "%llu", sessions->items[i].count);
    }
    grid_print(grid, stdout, "");
    grid_free(grid);
}

static void print_silent(const json_t *silent)
{
    size_t i;
    json_t *id;
    json_array_foreach(silent, i, id)
    {
        fputs("Reports no sessions: ", stdout);
        text_print(stdout, json_string_value(id));
        putchar('\n');
    }
}

enum ctl_exit run_sessions(struct ctl *ctl)
{
    struct instance_list list;
    struct sessions sessions = {0};
    if (ctl->options.clients) {
        return sessions_by_client(ctl);
    }
    if (!ctl_redis(ctl) || !instance_list_read(ctl->redis, &list)) {
        return ctl_redis_failed(ctl);
    }
    json_t *silent = need(json_array());
    for (size_t i = 0; i < list.count; i++) {
        if (instance_alive(&list.items[i]) && !sessions_read(&sessions, &list.items[i])) {
            json_array_append_new(silent, json_text(list.items[i].id));
        }
    }
    sessions_merge(&sessions, ctl->options.by_instance);
    if (!ctl->options.json) {
        if (sessions.count > 0) {
            print_sessions(&sessions);
        } else {
            puts("No session is reported.");
        }
        print_silent(silent);
    }
    ctl_answer(ctl, "sessions", sessions_json(&sessions, ctl->options.by_instance));
    ctl_answer(ctl, "silent", silent);
    sessions_free(&sessions);
    instance_list_free(&list);
    return CTL_DONE;
}
