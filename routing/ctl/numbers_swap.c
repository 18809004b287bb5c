/* numbers swap: every instance takes the portability table that its config names, all of them or none.
 *
 *   "numbers_check" to all ──▶ each has read and verified its file: the same table everywhere? ──no──▶ named, nothing changed
 *     ──yes──▶ order noted in Redis ──▶ "numbers_swap" to all, by the checksum ──▶ each tells when its workers have it
 *     ──▶ outcome noted: in use at whom, refused by whom and why. An order without an outcome: the command died between
 */
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/apply.h"
#include "routing/ctl/ask.h"
#include "routing/ctl/barrier.h"
#include "routing/ctl/commands.h"
#include "routing/ctl/output.h"
#include "routing/ctl/redis.h"

/* The same checksum in a member of all answers? */
static bool same_everywhere(const struct ask *ask, const char *member)
{
    for (size_t i = 1; i < ask->count; i++) {
        if (!json_equal(json_object_get(ask->items[0].answer, member),
                        json_object_get(ask->items[i].answer, member))) {
            return false;
        }
    }
    return true;
}

static unsigned count_failed(const struct ask *ask)
{
    unsigned failed = 0;
    for (size_t i = 0; i < ask->count; i++) {
        failed += ask_failed(&ask->items[i]) != NULL;
    }
    return failed;
}

static double ms_of(const struct ask_item *item)
{
    return json_number_value(json_object_get(item->answer, "ms"));
}

/* A line an instance; what is the heading of the time. */
static void show_tables(const struct ask *ask, const char *what)
{
    const struct column columns[] = {{"INSTANCE", false}, {"TABLE", false}, {"NUMBERS", true},
                                     {"CHECKSUM", false}, {what, true},     {"FILE", false},
                                     {"", false}};
    struct grid *grid = grid_new(columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < ask->count; i++) {
        const struct ask_item *item = &ask->items[i];
        const char *failed = ask_failed(item);
        grid_cell(grid, "%s", item->instance);
        grid_cell(grid, "%s", json_member(item->answer, "version"));
        grid_number(grid, !failed, json_integer_value(json_object_get(item->answer, "numbers")));
        grid_cell(grid, "%s", json_member(item->answer, "checksum"));
        if (failed) {
            grid_cell(grid, "%s", "");
        } else {
            grid_cell(grid, "%.1f", ms_of(item));
        }
        grid_cell(grid, "%s", json_member(item->answer, "file"));
        grid_cell(grid, "%s", failed ? failed : "");
    }
    grid_print(grid, stdout, "");
    grid_free(grid);
}

/* Asks all but those that --without names, and answers and shows what came back. */
static bool ask_them(struct ctl *ctl, json_t *request, const char *member, const char *heading,
                     struct ask *ask)
{
    json_put(request, "without", ask_without(ctl));
    bool fine = ask_all(ctl, request, 0, ask);
    json_decref(request);
    if (fine && ask->count > 0) {
        ctl_answer(ctl, member, ask_json(ask));
        if (!ctl->options.json) {
            show_tables(ask, heading);
        }
    }
    return fine;
}

/* May the table that was checked be swapped in? */
static enum ctl_exit judge(struct ctl *ctl, const struct ask *ask)
{
    unsigned failed = count_failed(ask);
    if (ctl_stopped()) {
        return ctl_fail(ctl, CTL_FAILED, NULL, "stopped before anything was changed");
    }
    if (ask->count == 0) {
        return ctl_fail(ctl, CTL_NO_INSTANCES, "An instance reads its table when it starts.",
                        "no instance%s is alive: nothing was changed",
                        ctl->options.without.count > 0 ? " that --without does not name" : "");
    }
    for (size_t i = 0; i < ask->count; i++) {
        const char *why = ask_failed(&ask->items[i]);
        if (why) {
            return ctl_fail(
                ctl, CTL_PREFLIGHT, "Mend it, or leave it out with --without.",
                "%u of %zu instances cannot take the table, so nothing was changed anywhere: %s: %s", failed,
                ask->count, ask->items[i].instance, why);
        }
    }
    if (!same_everywhere(ask, "checksum")) {
        return ctl_fail(ctl, CTL_PREFLIGHT, "Copy one file to all hosts.",
                        "the instances' files are not the same table, so nothing was changed anywhere");
    }
    return CTL_DONE;
}

static bool all_have_it(const struct ask *ask)
{
    return same_everywhere(ask, "in_use") && json_equal(json_object_get(ask->items[0].answer, "in_use"),
                                                        json_object_get(ask->items[0].answer, "checksum"));
}

/* Calls a function of Redis that takes a note (taken over). NULL with *code where it was not taken. */
static redisReply *take_note(struct ctl *ctl, const char *function, json_t *request, enum ctl_exit *code)
{
    char *text = need(json_dumps(request, JSON_COMPACT));
    json_decref(request);
    const char *const args[] = {text};
    redisReply *reply = redis_function(ctl->redis, function, args, 1);
    free(text);
    if (reply && strcmp(redis_text(reply, 0), "ok") == 0) {
        return reply;
    }
    *code = reply ? ctl_fail(ctl, CTL_FAILED, NULL, "it cannot be noted in Redis: %s", redis_text(reply, 2))
                  : ctl_redis_failed(ctl);
    freeReplyObject(reply);
    return NULL;
}

/* The order is noted before it is given, so that there is none without a note; *id (to be freed) names the note. */
static enum ctl_exit note_order(struct ctl *ctl, const json_t *table, char **id)
{
    enum ctl_exit code = CTL_DONE;
    json_t *request = request_new(ctl, "numbers");
    if (!request) {
        return CTL_USAGE;
    }
    json_put(request, "table", json_incref(json_object_get(table, "version")));
    json_put(request, "checksum", json_incref(json_object_get(table, "checksum")));
    json_put(request, "numbers", json_incref(json_object_get(table, "numbers")));
    redisReply *reply = take_note(ctl, "turnout_numbers_swapped", request, &code);
    if (reply) {
        *id = need(strdup(redis_text(reply, 3)));
        freeReplyObject(reply);
    }
    return code;
}

static enum ctl_exit note_outcome(struct ctl *ctl, const char *id, const struct ask *ask)
{
    enum ctl_exit code = CTL_DONE;
    json_t *in_use = need(json_array()), *refused = need(json_array());
    for (size_t i = 0; i < ask->count; i++) {
        const char *why = ask_failed(&ask->items[i]);
        if (why) {
            json_array_append_new(refused,
                                  need(json_pack("{s:s, s:s}", "id", ask->items[i].instance, "why", why)));
        } else {
            json_array_append_new(in_use, json_text(ask->items[i].instance));
        }
    }
    json_t *request = need(json_pack("{s:s, s:o, s:o}", "of", id, "in_use", in_use, "refused", refused));
    freeReplyObject(take_note(ctl, "turnout_numbers_ended", request, &code));
    return code;
}

static enum ctl_exit report(struct ctl *ctl, const struct ask *ask, const json_t *table)
{
    unsigned failed = count_failed(ask);
    const char *version = json_member(table, "version");
    ctl_answer(ctl, "ms", json_real((double)ask->took_us / 1000));
    for (size_t i = 0; i < ask->count; i++) {
        const char *why = ask_failed(&ask->items[i]);
        if (why) {
            return ctl_fail(ctl, CTL_INCOMPLETE, "The same command again takes the others along.",
                            "%u of %zu instances may go on by the table before: %s: %s", failed, ask->count,
                            ask->items[i].instance, why);
        }
    }
    if (!ctl->options.json) {
        fputs("Table ", stdout);
        text_print(stdout, version);
        printf(" in use at %zu of %zu instance%s, %.1f ms after the order to swap.\n", ask->count, ask->count,
               plural(ask->count), (double)ask->took_us / 1000);
    }
    return CTL_DONE;
}

static enum ctl_exit swap(struct ctl *ctl, const json_t *table)
{
    struct ask ask;
    char *id = NULL;
    enum ctl_exit code = note_order(ctl, table, &id);
    if (code != CTL_DONE) {
        return code;
    }
    ctl_answer(ctl, "changed", json_true());
    json_t *request =
        need(json_pack("{s:s, s:s}", "kind", "numbers_swap", "checksum", json_member(table, "checksum")));
    if (ask_them(ctl, request, "swapped", "SWAPPED IN MS", &ask)) {
        enum ctl_exit noted = note_outcome(ctl, id, &ask);
        code = report(ctl, &ask, table);
        code = code == CTL_DONE ? noted : code;
    } else {
        code = CTL_UNKNOWN;
    }
    free(id);
    if (code == CTL_UNKNOWN) {
        ctl_fail(ctl, CTL_UNKNOWN, "\"turnoutctl numbers version\" asks which table each has.",
                 "Redis went away during the swap");
    }
    ask_free(&ask);
    return code;
}

static enum ctl_exit swap_checked(struct ctl *ctl, const struct ask *ask)
{
    const json_t *table = ask->items[0].answer;
    ctl_answer(
        ctl, "table",
        need(json_pack("{s:O, s:O, s:O}", "version", json_object_get(table, "version"), "checksum",
                       json_object_get(table, "checksum"), "numbers", json_object_get(table, "numbers"))));
    if (all_have_it(ask)) {
        ctl_answer(ctl, "changed", json_false());
        return ctl_fail(ctl, CTL_UNCHANGED, NULL, "every instance%s has this table already",
                        ctl->options.without.count > 0 ? " that was asked" : "");
    }
    if (ctl->options.dry_run) {
        ctl_answer(ctl, "changed", json_false());
        if (!ctl->options.json) {
            puts("All can take it. Nothing was changed.");
        }
        return CTL_DONE;
    }
    return swap(ctl, table);
}

enum ctl_exit run_numbers_swap(struct ctl *ctl)
{
    struct ask ask = {0};
    enum ctl_exit code = ctl_redis(ctl) ? barrier_check_without(ctl) : ctl_redis_failed(ctl);
    if (code != CTL_DONE) {
        return code;
    }
    ctl_catch_signals();
    if (!ask_them(ctl, need(json_pack("{s:s}", "kind", "numbers_check")), "instances", "READ IN MS", &ask)) {
        code = ctl_redis_failed(ctl);
    } else {
        code = judge(ctl, &ask);
    }
    if (code == CTL_DONE) {
        code = swap_checked(ctl, &ask);
    }
    ask_free(&ask);
    return code;
}
