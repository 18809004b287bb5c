/* leg release: legs that linger are ended before their time, on all instances.
 *
 *   "release", dry ──▶ does a route of today need the link? ──no──▶ "release" ──▶ how many legs ended, where */
#include <string.h>

#include "routing/ctl/ask.h"
#include "routing/ctl/commands.h"
#include "routing/ctl/output.h"

enum { NEEDS_SHOWN = 5 };

static bool ask_release(struct ctl *ctl, bool dry_run, struct ask *ask)
{
    json_t *request = need(json_pack("{s:s, s:o, s:b}", "kind", "release", "link", json_text(ctl->args[0]),
                                     "dry_run", (int)dry_run));
    if (ctl->options.client) {
        json_put(request, "client", json_text(ctl->options.client));
    }
    bool fine = ask_all(ctl, request, 0, ask);
    json_decref(request);
    return fine;
}

static void put_needs(FILE *out, const json_t *needs)
{
    size_t i;
    json_t *who;
    json_array_foreach(needs, i, who)
    {
        if (i < NEEDS_SHOWN) {
            fprintf(out, "%s%s (%s)", i == 0 ? "" : ", ", json_member(who, "client"),
                    json_member(who, "shortcode"));
        }
    }
    if (i > NEEDS_SHOWN) {
        fputs(" and others", out);
    }
}

/* Refuses where somebody's routes need the link, or no instance knows what is meant. */
static enum ctl_exit check_need(struct ctl *ctl, const struct ask *ask)
{
    size_t errors = 0;
    const char *error = NULL;
    for (size_t i = 0; i < ask->count; i++) {
        const struct ask_item *item = &ask->items[i];
        const json_t *needs = json_object_get(item->answer, "needed_by");
        if (json_array_size(needs) > 0) {
            char *text = NULL;
            size_t len;
            FILE *out = need(open_memstream(&text, &len));
            put_needs(out, needs);
            fclose(out);
            enum ctl_exit code = ctl_fail(
                ctl, CTL_CONFLICT,
                "Flip these routes away first, or name a client that does not need it with --client.",
                "nothing was released: routes of today lead over %s: %s", ctl->args[0], text);
            ctl_answer(ctl, "needed_by", json_deep_copy(needs));
            free(text);
            return code;
        }
        if (item->answer && ask_failed(item)) {
            errors++;
            error = ask_failed(item);
        }
    }
    if (error && errors == ask->count) {
        return ctl_fail(ctl, CTL_NOT_FOUND, "\"turnoutctl sessions\" shows links and clients.",
                        "nothing was released: %s", error);
    }
    return CTL_DONE;
}

static long long ended_of(const struct ask_item *item)
{
    return json_integer_value(json_object_get(item->answer, "ended"));
}

static void print_released(const struct ask *ask)
{
    static const struct column columns[] = {{"INSTANCE", false}, {"RELEASED", true}, {"", false}};
    struct grid *grid = grid_new(columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < ask->count; i++) {
        const struct ask_item *item = &ask->items[i];
        const char *failed = ask_failed(item);
        bool needed = json_integer_value(json_object_get(item->answer, "needed")) > 0;
        grid_cell(grid, "%s", item->instance);
        grid_number(grid, !failed, ended_of(item));
        grid_cell(grid, "%s", failed ? failed : needed ? "others are needed by a route again" : "");
    }
    grid_print(grid, stdout, "");
    grid_free(grid);
}

static enum ctl_exit show_released(struct ctl *ctl, const struct ask *ask)
{
    long long sum = 0;
    unsigned failed = 0;
    for (size_t i = 0; i < ask->count; i++) {
        sum += ended_of(&ask->items[i]);
        failed += ask_failed(&ask->items[i]) != NULL;
    }
    ctl_answer(ctl, "link", json_text(ctl->args[0]));
    ctl_answer(ctl, "released", json_integer(sum));
    ctl_answer(ctl, "instances", ask_json(ask));
    if (!ctl->options.json) {
        print_released(ask);
        printf("%lld leg%s of %s released: each unbinds when nothing is in flight on it.\n", sum,
               plural((uint64_t)sum), ctl->args[0]);
    }
    return failed == 0 ? CTL_DONE
                       : ctl_fail(ctl, CTL_INCOMPLETE, "The same command again releases what is left.",
                                  "%u living instance%s did not say so", failed, plural(failed));
}

enum ctl_exit run_leg_release(struct ctl *ctl)
{
    struct ask ask;
    enum ctl_exit code = ask_release(ctl, true, &ask) ? check_need(ctl, &ask) : ctl_redis_failed(ctl);
    if (code == CTL_DONE && ask.count == 0) {
        code = ctl_fail(ctl, CTL_NO_INSTANCES, NULL, "nothing was released: no instance is alive");
    }
    ask_free(&ask);
    if (code != CTL_DONE) {
        return code;
    }
    code = ask_release(ctl, false, &ask) ? show_released(ctl, &ask) : ctl_redis_failed(ctl);
    ask_free(&ask);
    return code;
}
