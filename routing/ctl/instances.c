/* instances, instances forget and sessions: what the proxies say of themselves. */
#include "routing/ctl/instances.h"

#include <stdlib.h>
#include <string.h>

#include "routing/ctl/ask.h"
#include "routing/ctl/commands.h"
#include "routing/ctl/instance_list.h"
#include "routing/ctl/output.h"
#include "routing/ctl/pending.h"
#include "routing/ctl/sessions.h"

static void print_lease(struct grid *grid, const struct instance_list *list, const struct instance *instance)
{
    char age[AGE_TEXT_SIZE];
    if (instance_alive(instance)) {
        grid_cell(grid, "%.1f s", (double)instance->lease_ms / 1000);
    } else {
        grid_cell(grid, "dead %s", age_text(instance_silence_ms(list, instance), age));
    }
}

static void print_sessions_count(struct grid *grid, const struct instance *instance)
{
    struct sessions sessions = {0};
    unsigned long long sum = 0;
    if (instance_alive(instance) && sessions_read(&sessions, instance)) {
        for (size_t i = 0; i < sessions.count; i++) {
            sum += sessions.items[i].count;
        }
        grid_cell(grid, "%llu", sum);
    } else {
        grid_cell(grid, "%s", "");
    }
    sessions_free(&sessions);
}

static void print_trouble(const struct instance *instance, const char *trouble)
{
    char *first = NULL;
    if (*trouble == '\0') {
        return;
    }
    int len = asprintf(&first, "%s: ", instance->id);
    text_wrap(stdout, text_clean(need(len < 0 ? NULL : first)), trouble);
    free(first);
}

/* Sentences do not fit into a column. */
static void print_troubles(const struct instance_list *list)
{
    char clock[CLOCK_TROUBLE_SIZE];
    for (size_t i = 0; i < list->count; i++) {
        print_trouble(&list->items[i], instance_trouble(&list->items[i]));
        print_trouble(&list->items[i], instance_clock_trouble(&list->items[i], clock));
    }
}

/* Do two living instances say that they have different portability tables? */
static bool numbers_differ(const struct instance_list *list)
{
    const char *first = NULL;
    for (size_t i = 0; i < list->count; i++) {
        const struct instance *instance = &list->items[i];
        const char *checksum = instance_field(instance, "numbers_checksum");
        if (!instance_alive(instance) || !*instance_field(instance, "numbers")) {
            continue; /* an older program does not say */
        }
        if (first && strcmp(first, checksum) != 0) {
            return true;
        }
        first = checksum;
    }
    return false;
}

void instances_print(const struct instance_list *list)
{
    static const struct column columns[] = {{"INSTANCE", false}, {"LEASE", true},       {"APPLIED", true},
                                            {"DESIRED", true},   {"STATE", false},      {"SESSIONS", true},
                                            {"IN FLIGHT", true}, {"PORTABILITY", false}};
    struct grid *grid = grid_new(columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < list->count; i++) {
        const struct instance *instance = &list->items[i];
        grid_cell(grid, "%s", instance->id);
        print_lease(grid, list, instance);
        grid_cell(grid, "%s", instance_field(instance, "applied"));
        grid_cell(grid, "%s", instance_field(instance, "desired"));
        grid_cell(grid, "%s", instance_field(instance, "state"));
        print_sessions_count(grid, instance);
        grid_cell(grid, "%s", instance_field(instance, "in_flight"));
        grid_cell(grid, "%s", instance_field(instance, "numbers"));
    }
    grid_print(grid, stdout, "");
    print_troubles(list);
    if (numbers_differ(list)) {
        puts("The living instances do not have the same portability table: see \"turnoutctl numbers "
             "version\".");
    }
    grid_free(grid);
}

json_t *instances_json(const struct instance_list *list)
{
    json_t *array = need(json_array());
    for (size_t i = 0; i < list->count; i++) {
        json_array_append_new(array, instance_json(list, &list->items[i]));
    }
    return array;
}

static const struct instance *find_instance(const struct instance_list *list, const char *id)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].id, id) == 0) {
            return &list->items[i];
        }
    }
    return NULL;
}

/* All that one instance reports, a line a field. */
static void print_fields(const struct instance *instance)
{
    static const struct column columns[] = {{"FIELD", false}, {"VALUE", false}};
    struct grid *grid = grid_new(columns, 2);
    for (size_t i = 0; i + 1 < instance->strings_count; i += 2) {
        grid_cell(grid, "%s", instance->strings[i]->str);
        grid_cell(grid, "%s", instance->strings[i + 1]->str);
    }
    grid_print(grid, stdout, "");
    grid_free(grid);
}

static enum ctl_exit show_one(struct ctl *ctl, const struct instance_list *list, const char *id)
{
    const struct instance *instance = find_instance(list, id);
    if (!instance) {
        return ctl_fail(ctl, CTL_NOT_FOUND, "\"turnoutctl instances\" shows them all.",
                        "there is no instance %s", id);
    }
    if (ctl->options.json) {
        json_t *array = need(json_array());
        json_array_append_new(array, instance_json(list, instance));
        ctl_answer(ctl, "instances", array);
    } else {
        print_fields(instance);
    }
    return CTL_DONE;
}

static void show_all(struct ctl *ctl, const struct instance_list *list, const struct pending *pending)
{
    if (ctl->options.json) {
        ctl_answer(ctl, "instances", instances_json(list));
        ctl_answer(ctl, "pending", pending_json(pending));
        return;
    }
    if (list->count == 0) {
        puts("No instance is known.");
    } else {
        instances_print(list);
    }
    if (pending->count > 0) {
        putchar('\n');
        pending_print(pending);
    }
}

/* --- asked live -------------------------------------------------------------------------------------------
 */

static long long answer_number(const struct ask_item *item, const char *name)
{
    return json_integer_value(json_object_get(item->answer, name));
}

static uint64_t answer_ms(const struct ask_item *item, const char *name)
{
    long long seconds = answer_number(item, name);
    return seconds > 0 ? (uint64_t)seconds * 1000 : 0;
}

static void print_asked(const struct ask *ask)
{
    static const struct column columns[] = {
        {"INSTANCE", false},     {"PROGRAM", false}, {"PID", true},     {"UP", true},
        {"CONFIG SINCE", false}, {"APPLIED", true},  {"WORKERS", true}, {"", false}};
    struct grid *grid = grid_new(columns, sizeof columns / sizeof *columns);
    char age[AGE_TEXT_SIZE];
    char since[TIME_TEXT_SIZE];
    for (size_t i = 0; i < ask->count; i++) {
        const struct ask_item *item = &ask->items[i];
        bool fine = !ask_failed(item);
        grid_cell(grid, "%s", item->instance);
        grid_cell(grid, "%s", json_member(item->answer, "program"));
        grid_number(grid, fine, answer_number(item, "pid"));
        grid_cell(grid, "%s", fine ? age_text(answer_ms(item, "uptime_s"), age) : "");
        grid_cell(grid, "%s", fine ? time_text(answer_ms(item, "config_since_s"), since) : "");
        grid_number(grid, fine, answer_number(item, "applied"));
        grid_number(grid, fine, answer_number(item, "workers"));
        grid_cell(grid, "%s", fine ? "" : ask_failed(item));
    }
    grid_print(grid, stdout, "");
    grid_free(grid);
}

enum ctl_exit run_instances(struct ctl *ctl)
{
    if (ctl->options.ask && ctl->args_count > 0) {
        return ctl_fail(ctl, CTL_USAGE, NULL, "--ask asks every instance: leave out %s", ctl->args[0]);
    }
    if (ctl->options.ask) {
        return ask_command(ctl, need(json_pack("{s:s}", "kind", "about")), print_asked);
    }
    struct instance_list list;
    struct pending pending = {0};
    enum ctl_exit code = CTL_DONE;
    if (!ctl_redis(ctl) || !instance_list_read(ctl->redis, &list)) {
        return ctl_redis_failed(ctl);
    }
    if (ctl->args_count > 0) {
        code = show_one(ctl, &list, ctl->args[0]);
    } else if (pending_read(ctl->redis, list.now_ms, &pending)) {
        show_all(ctl, &list, &pending);
    } else {
        code = ctl_redis_failed(ctl);
    }
    pending_free(&pending);
    instance_list_free(&list);
    return code;
}

/* Redis says no alike for a living and an unknown instance; the operator wants to know which. */
static enum ctl_exit why_not_forgotten(struct ctl *ctl, const char *id)
{
    struct instance_list list;
    if (!instance_list_read(ctl->redis, &list)) {
        return ctl_redis_failed(ctl);
    }
    bool known = find_instance(&list, id) != NULL;
    instance_list_free(&list);
    if (known) {
        return ctl_fail(ctl, CTL_CONFLICT, "Stop it first: an instance that ends leaves the list by itself.",
                        "%s is alive", id);
    }
    return ctl_fail(ctl, CTL_NOT_FOUND, "\"turnoutctl instances\" shows them all.", "there is no instance %s",
                    id);
}

enum ctl_exit run_instances_forget(struct ctl *ctl)
{
    const char *const args[] = {ctl->args[0]};
    redisReply *reply = ctl_redis(ctl) ? redis_function(ctl->redis, "turnout_forget", args, 1) : NULL;
    if (!reply) {
        return ctl_redis_failed(ctl);
    }
    bool forgotten = reply->integer == 1;
    freeReplyObject(reply);
    ctl_answer(ctl, "id", json_text(ctl->args[0]));
    if (!forgotten) {
        return why_not_forgotten(ctl, ctl->args[0]);
    }
    if (!ctl->options.json) {
        printf("%s is off the list.\n", ctl->args[0]);
    }
    return CTL_DONE;
}
