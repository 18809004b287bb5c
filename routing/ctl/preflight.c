/* See preflight.h. */
#include "routing/ctl/preflight.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/commands.h"
#include "routing/ctl/instance_list.h"
#include "routing/ctl/output.h"
#include "routing/ctl/route.h"

/* What an instance adds to the time that its probes may take. */
enum { ANSWER_MS = 500, LINES_SHOWN = 10, SHORTCODES_SHOWN = 4 };

/* --- judging ----------------------------------------------------------------------------------------------
 */

static void say(json_t *array, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(json_t *array, const char *format, ...)
{
    char *text = NULL;
    va_list list;
    va_start(list, format);
    int len = vasprintf(&text, format, list);
    va_end(list);
    json_array_append_new(array, json_text(need(len < 0 ? NULL : text)));
    free(text);
}

static long long number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

/* What became of one bind that would be needed: refuses where traffic depends on it. */
static void judge_bind(struct target *target, const char *instance, const char *link, const char *client,
                       const json_t *object, bool traffic)
{
    const char *verdict = json_member(object, "verdict");
    const char *why = json_member(object, "why");
    const char *for_whom = *client ? " for " : "";
    if (strcmp(verdict, "failed") == 0) {
        say(traffic ? target->refusals : target->warnings, "%s cannot bind %s%s%s: %s", instance, link,
            for_whom, client, why);
    } else if (strcmp(verdict, "untried") == 0) {
        say(target->warnings, "%s has not tried %s%s%s: %s", instance, link, for_whom, client, why);
    } else if (number_of(object, "bound") < number_of(object, "legs")) {
        say(target->warnings, "%s has %lld of %lld legs bound on %s%s%s", instance,
            number_of(object, "bound"), number_of(object, "legs"), link, for_whom, client);
    }
    if (number_of(object, "window_size") > 0 &&
        number_of(object, "window_used") >= number_of(object, "window_size")) {
        say(target->warnings, "%s has no room on %s%s%s: all of its window of %lld is in flight", instance,
            link, for_whom, client, number_of(object, "window_size"));
    }
}

static void judge_answer(struct target *target, const char *instance, const json_t *answer, bool any_link)
{
    const char *link = json_member(answer, "link");
    const json_t *own = json_object_get(answer, "target");
    size_t i;
    json_t *client;
    if (*link == '\0') {
        say(any_link ? target->warnings : target->refusals, "%s has no link for %s by %s", instance,
            target->carrier, target->to);
        return;
    }
    if (own) {
        judge_bind(target, instance, link, "", own, true);
    }
    json_array_foreach(json_object_get(answer, "clients"), i, client)
    {
        if (!own) {
            bool traffic = json_object_size(json_object_get(client, "sessions")) > 0;
            judge_bind(target, instance, link, json_member(client, "client"), client, traffic);
        }
    }
}

void preflight_judge(struct target *target, bool any_link)
{
    target->refusals = need(json_array());
    target->warnings = need(json_array());
    for (size_t i = 0; i < target->ask.count; i++) {
        const struct ask_item *item = &target->ask.items[i];
        const char *failed = ask_failed(item);
        if (!failed) {
            judge_answer(target, item->instance, item->answer, any_link);
        } else if (!item->answer) {
            say(target->warnings,
                "%s %s: the flip is incomplete until it is back, dead, or left out (--without %s)",
                item->instance, failed, item->instance);
        } else {
            say(target->warnings, "%s: %s", item->instance, failed);
        }
    }
}

void target_free(struct target *target)
{
    json_decref(target->shortcodes);
    json_decref(target->refusals);
    json_decref(target->warnings);
    ask_free(&target->ask);
}

/* --- asking -----------------------------------------------------------------------------------------------
 */

struct targets {
    size_t count;
    struct target *items;
};

static struct target *target_of(struct targets *targets, const char *carrier, const char *to)
{
    for (size_t i = 0; i < targets->count; i++) {
        struct target *target = &targets->items[i];
        if (strcmp(target->carrier, carrier) == 0 && strcmp(target->to, to) == 0) {
            return target;
        }
    }
    targets->items = need(reallocarray(targets->items, targets->count + 1, sizeof *targets->items));
    struct target *target = &targets->items[targets->count++];
    *target = (struct target){.carrier = carrier, .to = to, .shortcodes = need(json_array())};
    return target;
}

/* A route that is so already changes nothing. */
static bool is_there(const json_t *move)
{
    return strcmp(json_member(move, "from"), json_member(move, "to")) == 0 &&
           strcmp(json_member(move, "from_state"), "open") == 0;
}

/* A route that is removed, or stays shut, sends nothing. */
static struct targets targets_of(const json_t *moves)
{
    struct targets targets = {0};
    size_t i;
    json_t *move;
    json_array_foreach(moves, i, move)
    {
        const char *to = json_member(move, "to");
        const char *state = json_member(move, "state");
        if (*to && (!*state || strcmp(state, "open") == 0) && !is_there(move)) {
            struct target *target = target_of(&targets, json_member(move, "carrier"), to);
            json_array_append(target->shortcodes, json_object_get(move, "shortcode"));
        }
    }
    return targets;
}

static void targets_free(struct targets *targets)
{
    for (size_t i = 0; i < targets->count; i++) {
        target_free(&targets->items[i]);
    }
    free(targets->items);
}

static bool ask_target(struct ctl *ctl, struct target *target)
{
    unsigned limit_ms = ctl->options.timeout_ms;
    json_t *request =
        need(json_pack("{s:s, s:s, s:s, s:O, s:i}", "kind", "preflight", "carrier", target->carrier, "to",
                       target->to, "shortcodes", target->shortcodes, "timeout_ms", (int)limit_ms));
    json_put(request, "without", ask_without(ctl));
    bool fine = ask_all(ctl, request, limit_ms + ANSWER_MS, &target->ask);
    json_decref(request);
    if (fine) {
        preflight_judge(target, ctl->options.any_link || ctl->options.force);
    }
    return fine;
}

/* A clock that is off makes what is seen of a move hard to believe; it stops none. */
static bool warn_of_clocks(struct ctl *ctl, struct targets *targets)
{
    struct instance_list list;
    char trouble[CLOCK_TROUBLE_SIZE];
    if (!instance_list_read(ctl->redis, &list)) {
        return false;
    }
    for (size_t i = 0; i < list.count && targets->count > 0; i++) {
        const struct instance *instance = &list.items[i];
        if (instance_alive(instance) && *instance_clock_trouble(instance, trouble)) {
            say(targets->items[0].warnings, "%s: %s", instance->id, trouble);
        }
    }
    instance_list_free(&list);
    return true;
}

static enum ctl_exit ask_targets(struct ctl *ctl, struct targets *targets)
{
    for (size_t i = 0; i < targets->count; i++) {
        if (!ask_target(ctl, &targets->items[i])) {
            return ctl_redis_failed(ctl);
        }
        if (ctl_stopped()) {
            return ctl_fail(ctl, CTL_FAILED, NULL, "stopped before anything was changed");
        }
    }
    return warn_of_clocks(ctl, targets) ? CTL_DONE : ctl_redis_failed(ctl);
}

/* --- showing ----------------------------------------------------------------------------------------------
 */

static json_t *target_json(const struct target *target)
{
    json_t *object = need(json_object());
    json_put(object, "carrier", json_text(target->carrier));
    json_put(object, "to", json_text(target->to));
    json_put(object, "shortcodes", json_integer((json_int_t)json_array_size(target->shortcodes)));
    json_put(object, "ms", json_real((double)target->ask.took_us / 1000));
    json_put(object, "instances", ask_json(&target->ask));
    json_put(object, "refusals", json_incref(target->refusals));
    json_put(object, "warnings", json_incref(target->warnings));
    return object;
}

static void answer_targets(struct ctl *ctl, const struct targets *targets)
{
    json_t *array = need(json_array());
    for (size_t i = 0; i < targets->count; i++) {
        json_array_append_new(array, target_json(&targets->items[i]));
    }
    ctl_answer(ctl, "preflight", array);
}

static void print_sentences(FILE *out, const char *before, const json_t *sentences)
{
    size_t i;
    json_t *sentence;
    json_array_foreach(sentences, i, sentence)
    {
        if (i == LINES_SHOWN) {
            fprintf(out, "%sand %zu more, which --json shows\n", before, json_array_size(sentences) - i);
            break;
        }
        char *text = need(strdup(json_string_value(sentence)));
        text_wrap(out, before, text_clean(text));
        free(text);
    }
}

/* What the bind, or the legs, came to: of the link where its credentials are its own, else the worst client's. */
static const char *verdict_of(const json_t *answer)
{
    static const char *const worst_first[] = {"failed", "untried", "bindable", "bound"};
    const json_t *own = json_object_get(answer, "target");
    const json_t *clients = json_object_get(answer, "clients");
    size_t i;
    json_t *client;
    if (own) {
        return json_member(own, "verdict");
    }
    for (size_t rank = 0; rank < sizeof worst_first / sizeof *worst_first; rank++) {
        json_array_foreach(clients, i, client)
        {
            if (strcmp(json_member(client, "verdict"), worst_first[rank]) == 0) {
                return worst_first[rank];
            }
        }
    }
    return *json_member(answer, "link") ? "nobody bound" : "no link";
}

/* The longest of the round trips known; negative for none. */
static double round_trip_of(const json_t *answer)
{
    const json_t *value = json_object_get(json_object_get(answer, "target"), "round_trip_ms");
    double longest = value ? json_number_value(value) : -1;
    size_t i;
    json_t *client;
    json_array_foreach(json_object_get(answer, "clients"), i, client)
    {
        value = json_object_get(client, "round_trip_ms");
        longest = value && json_number_value(value) > longest ? json_number_value(value) : longest;
    }
    return longest;
}

static long long sum_over(const json_t *array, const char *name)
{
    long long sum = 0;
    size_t i;
    json_t *object;
    json_array_foreach(array, i, object)
    {
        sum += number_of(object, name);
    }
    return sum;
}

static void print_instance(struct grid *grid, const struct ask_item *item)
{
    const json_t *answer = item->answer;
    const char *failed = ask_failed(item);
    double round_trip = round_trip_of(answer);
    bool known = !failed && *json_member(answer, "link");
    grid_cell(grid, "%s", item->instance);
    grid_cell(grid, "%s", failed ? failed : verdict_of(answer));
    grid_share(grid, known, number_of(answer, "bound"), number_of(answer, "legs"));
    grid_share(grid, known, number_of(answer, "window_used"),
               number_of(answer, "window_size") > 0 ? number_of(answer, "window_size")
                                                    : number_of(answer, "window"));
    if (round_trip < 0) {
        grid_cell(grid, "%s", "");
    } else {
        grid_cell(grid, "%.1f ms", round_trip);
    }
    grid_number(grid, known, sum_over(json_object_get(answer, "from"), "in_flight"));
    grid_number(grid, known, sum_over(json_object_get(answer, "clients"), "held"));
}

static void print_instances(const struct target *target)
{
    static const struct column columns[] = {
        {"INSTANCE", false},  {"LINK", false},         {"LEGS", true}, {"WINDOW", true},
        {"ROUND TRIP", true}, {"IN FLIGHT NOW", true}, {"HELD", true}};
    struct grid *grid = grid_new(columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < target->ask.count; i++) {
        print_instance(grid, &target->ask.items[i]);
    }
    grid_print(grid, stdout, "  ");
    grid_free(grid);
}

/* The clients that it touches, each with its sessions over all instances. */
static void print_clients(const struct target *target)
{
    json_t *seen = need(json_object());
    for (size_t i = 0; i < target->ask.count; i++) {
        size_t at;
        json_t *client;
        json_array_foreach(json_object_get(target->ask.items[i].answer, "clients"), at, client)
        {
            const char *name = json_member(client, "client");
            const char *type;
            json_t *count;
            long long sessions = number_of(seen, name);
            json_object_foreach(json_object_get(client, "sessions"), type, count)
            {
                sessions += json_integer_value(count);
            }
            json_put(seen, name, json_integer(sessions));
        }
    }
    const char *name;
    json_t *sessions;
    size_t shown = 0;
    printf("  clients:");
    json_object_foreach(seen, name, sessions)
    {
        if (shown++ < LINES_SHOWN) {
            fputc(' ', stdout);
            text_print(stdout, name);
            printf(" (%lld)", (long long)json_integer_value(sessions));
        }
    }
    if (shown > LINES_SHOWN) {
        printf(" and %zu more", shown - LINES_SHOWN);
    }
    puts(shown == 0 ? " none is bound" : "");
    json_decref(seen);
}

/* Messages of the last hour by shortcode, and receipts that are still to come, over all instances. */
static void print_traffic(const struct target *target)
{
    json_t *hours = need(json_object());
    long long sum = 0;
    long long pending = 0;
    for (size_t i = 0; i < target->ask.count; i++) {
        const json_t *rows = json_object_get(target->ask.items[i].answer, "traffic");
        size_t at;
        json_t *row;
        sum += number_of(target->ask.items[i].answer, "last_hour");
        json_array_foreach(rows, at, row)
        {
            const char *shortcode = json_member(row, "shortcode");
            json_put(hours, shortcode,
                     json_integer(number_of(hours, shortcode) + number_of(row, "last_hour")));
            pending += number_of(row, "receipts_pending");
        }
    }
    printf("  last hour: %lld message%s", sum, plural((uint64_t)sum));
    const char *shortcode;
    json_t *count;
    size_t shown = 0;
    json_object_foreach(hours, shortcode, count)
    {
        if (json_integer_value(count) > 0 && shown++ < SHORTCODES_SHOWN) {
            fputs(shown == 1 ? " (" : ", ", stdout);
            text_print(stdout, shortcode);
            printf(" %lld", (long long)json_integer_value(count));
        }
    }
    printf("%s%s; receipts pending: %lld\n", shown > SHORTCODES_SHOWN ? ", ..." : "", shown > 0 ? ")" : "",
           pending);
    json_decref(hours);
}

static const char *headline(const struct target *target)
{
    return json_array_size(target->refusals) > 0   ? "REFUSED"
           : json_array_size(target->warnings) > 0 ? "ready, but see below"
                                                   : "ready";
}

static void print_target(const struct target *target)
{
    printf("%s to %s: %s (%.1f ms)\n", target->carrier, target->to, headline(target),
           (double)target->ask.took_us / 1000);
    if (target->ask.count == 0) {
        puts("  no instance is alive");
        return;
    }
    print_instances(target);
    print_clients(target);
    print_traffic(target);
    print_sentences(stdout, "  ! ", target->refusals);
    print_sentences(stdout, "  ? ", target->warnings);
}

/* One line for each target; more only where there is something to say. */
static void print_briefly(const struct targets *targets)
{
    for (size_t i = 0; i < targets->count; i++) {
        const struct target *target = &targets->items[i];
        if (target->ask.count == 0) {
            continue; /* nobody to ask, which the barrier will tell */
        }
        printf("Preflight of %s to %s:", target->carrier, target->to);
        for (size_t at = 0; at < target->ask.count; at++) {
            const struct ask_item *item = &target->ask.items[at];
            fputs(at == 0 ? " " : ", ", stdout);
            text_print(stdout, item->instance);
            printf(" %s", ask_failed(item) ? "unknown" : verdict_of(item->answer));
        }
        printf(" (%.1f ms)\n", (double)target->ask.took_us / 1000);
        print_sentences(stdout, "  ? ", target->warnings);
    }
}

static size_t count_refusals(const struct targets *targets)
{
    size_t count = 0;
    for (size_t i = 0; i < targets->count; i++) {
        count += json_array_size(targets->items[i].refusals);
    }
    return count;
}

static enum ctl_exit refuse(struct ctl *ctl, const struct targets *targets)
{
    enum ctl_exit code =
        ctl_fail(ctl, CTL_PREFLIGHT, "With --force it is done all the same, and the log says so.",
                 "nothing was changed: preflight refuses it");
    for (size_t i = 0; i < targets->count && !ctl->options.json; i++) {
        print_sentences(stderr, "  ! ", targets->items[i].refusals);
    }
    return code;
}

/* --- the commands -----------------------------------------------------------------------------------------
 */

static enum ctl_exit test_messages(struct ctl *ctl, const struct targets *targets)
{
    return ctl->options.probe && targets->count > 0 ? test_message(ctl, &targets->items[0]) : CTL_DONE;
}

enum ctl_exit preflight_before(struct ctl *ctl, const json_t *moves)
{
    struct targets targets = targets_of(moves);
    enum ctl_exit code = ask_targets(ctl, &targets);
    if (code == CTL_DONE) {
        answer_targets(ctl, &targets);
        bool refused = count_refusals(&targets) > 0;
        if (!ctl->options.json) {
            print_briefly(&targets);
        }
        code = refused ? refuse(ctl, &targets) : test_messages(ctl, &targets);
    }
    targets_free(&targets);
    return code;
}

/* What would differ from today's table. */
static enum ctl_exit show_difference(struct ctl *ctl)
{
    json_t *array = need(json_array());
    size_t same = 0;
    for (int i = 0; i < ctl->args_count; i++) {
        struct cell cell;
        if (!route_read_cell(ctl, ctl->args[i], &cell)) {
            json_decref(array);
            return ctl_redis_failed(ctl);
        }
        if (strcmp(cell.platform, ctl->options.to) == 0 && cell.state == ROUTE_OPEN) {
            same++;
            continue;
        }
        if (!ctl->options.json && json_array_size(array) < LINES_SHOWN) {
            printf("  %s %s: %s (%s) -> %s\n", cell.shortcode, cell.carrier,
                   *cell.platform ? cell.platform : "no row",
                   *cell.platform ? route_state_name(cell.state) : "-", ctl->options.to);
        }
        json_array_append_new(array, route_json(&cell));
    }
    if (!ctl->options.json && json_array_size(array) > LINES_SHOWN) {
        printf("  and %zu more\n", json_array_size(array) - LINES_SHOWN);
    }
    if (!ctl->options.json && same > 0) {
        printf("  %zu already there\n", same);
    }
    ctl_answer(ctl, "differing", array);
    ctl_answer(ctl, "same", json_integer((json_int_t)same));
    return CTL_DONE;
}

static json_t *moves_wanted(const struct ctl *ctl)
{
    json_t *moves = need(json_array());
    for (int i = 0; i < ctl->args_count; i++) {
        json_array_append_new(moves, need(json_pack("{s:s, s:s, s:s}", "shortcode", ctl->args[i], "carrier",
                                                    ctl->options.carrier, "to", ctl->options.to)));
    }
    return moves;
}

/* All moves of the command lead to one target. */
static enum ctl_exit show_target(struct ctl *ctl, const struct targets *targets, const struct target *target)
{
    answer_targets(ctl, targets);
    if (!ctl->options.json) {
        print_target(target);
    }
    enum ctl_exit code = show_difference(ctl);
    if (code != CTL_DONE) {
        return code;
    }
    if (target->ask.count == 0) {
        return ctl_fail(ctl, CTL_NO_INSTANCES, NULL, "no instance is alive that could be asked");
    }
    if (count_refusals(targets) > 0) {
        return ctl_fail(ctl, CTL_PREFLIGHT, NULL, "a flip would be refused");
    }
    return test_messages(ctl, targets);
}

enum ctl_exit run_preflight(struct ctl *ctl)
{
    if (!route_names_fine(ctl)) {
        return CTL_USAGE;
    }
    route_sort_shortcodes(ctl);
    ctl_catch_signals();
    json_t *moves = moves_wanted(ctl);
    struct targets targets = targets_of(moves);
    enum ctl_exit code = ctl_redis(ctl) ? ask_targets(ctl, &targets) : ctl_redis_failed(ctl);
    if (code == CTL_DONE && targets.items) {
        code = show_target(ctl, &targets, targets.items);
    }
    targets_free(&targets);
    json_decref(moves);
    return code;
}
