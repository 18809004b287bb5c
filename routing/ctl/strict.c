/* See strict.h.
 *
 *   cells ──▶ hold ──▶ applied everywhere ──▶ settled everywhere ──▶ open on --to ──▶ applied everywhere
 *               └──────────────┴──────────────────────┴─ stopped: what is there now, and the commands that go
 * on from there or back ──▶ CTL_STOPPED
 *
 * Each change is compare-and-set down to the version of a cell, so that nobody can have opened a route
 * between the hold and the end. Where somebody does, the wait ends, and that is told. The last change names the
 * hold, so that a rollback goes back to what was before both.
 *
 * With --confirm-within the hold has a deadline in Redis, too: behind the longest that this command may take to
 * open the routes. The opening's own replaces it there; where this command dies before, the routes go back. */
#include "routing/ctl/strict.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/apply.h"
#include "routing/ctl/barrier.h"
#include "routing/ctl/command_line.h"
#include "routing/ctl/entry.h"
#include "routing/ctl/output.h"
#include "routing/ctl/preflight.h"
#include "routing/ctl/route.h"

enum { CELLS_SHOWN = 20 };

enum stage {
    STAGE_NOTHING,      /* nothing was changed */
    STAGE_HOLD_UNKNOWN, /* Redis went away with the hold */
    STAGE_HELD,
    STAGE_OPEN_UNKNOWN, /* Redis went away with the end */
    STAGE_OPEN,
};

struct strict {
    struct ctl *ctl;
    struct cells cells; /* to be moved, as they were before */
    enum stage stage;
    bool held_here;  /* false: they were on hold before */
    uint64_t held;   /* the version of the hold */
    int64_t held_us; /* when it was sent */
    uint64_t seen;   /* the version of the table at which the hold was last seen to stand */
    struct sent opened;
    json_t *steps;
};

/* --- what is told on the way -------------------------------------------------------------------------------
 */

static void step(struct strict *strict, const char *name, uint64_t version, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void step(struct strict *strict, const char *name, uint64_t version, const char *format, ...)
{
    double ms = (double)(ctl_now_us() - strict->ctl->started_us) / 1000;
    json_t *object = need(json_object());
    json_put(object, "step", json_text(name));
    json_put(object, "ms", json_real(ms));
    json_put(object, "version", json_integer((json_int_t)version));
    json_array_append_new(strict->steps, object);
    if (!strict->ctl->options.json) {
        va_list list;
        va_start(list, format);
        printf("%9.1f ms  ", ms);
        vprintf(format, list);
        va_end(list);
        putchar('\n');
        fflush(stdout);
    }
}

static void step_reached(struct strict *strict, const char *name, const char *what,
                         const struct barrier *barrier)
{
    step(strict, name, barrier->version, "%s %u live instance%s", what, barrier->live, plural(barrier->live));
}

/* --- where it stands ---------------------------------------------------------------------------------------
 */

/* The cells as they are now; false where Redis cannot be asked. */
static bool read_again(const struct strict *strict, struct cells *now)
{
    for (size_t i = 0; i < strict->cells.count; i++) {
        struct cell cell;
        if (!route_read_cell(strict->ctl, strict->cells.items[i].shortcode, &cell)) {
            return false;
        }
        cells_add(now, &cell);
    }
    return true;
}

static void print_cells(const struct cells *cells)
{
    fputs("Now:\n", stderr);
    for (size_t i = 0; i < cells->count && i < CELLS_SHOWN; i++) {
        const struct cell *cell = &cells->items[i];
        fprintf(stderr, "  %s %s: %s (%s), version %llu\n", cell->shortcode, cell->carrier,
                *cell->platform ? cell->platform : "no row",
                *cell->platform ? route_state_name(cell->state) : "-", (unsigned long long)cell->version);
    }
    if (cells->count > CELLS_SHOWN) {
        fprintf(stderr, "  and %zu more\n", cells->count - CELLS_SHOWN);
    }
}

static void show_now(struct ctl *ctl, const struct cells *now, bool known)
{
    if (known && ctl->options.json) {
        ctl_answer(ctl, "now", routes_json(now));
    } else if (known) {
        print_cells(now);
    } else if (!ctl->options.json) {
        fputs("What is there now cannot be read: Redis does not answer.\n", stderr);
    }
}

/* The version that a cell has as long as the hold stands. */
static uint64_t version_held(const struct strict *strict, const struct cell *before)
{
    return before->state == ROUTE_HOLD ? before->version : strict->held;
}

/* Is the cell, as it is now, still as the hold left it? */
static bool stands(const struct strict *strict, const struct cell *now, size_t i)
{
    return now->version == version_held(strict, &strict->cells.items[i]);
}

/* Of barrier_stands. Redis' silence is no sign that it was ended. */
static bool hold_stands(void *of)
{
    struct strict *strict = of;
    struct redis *redis = strict->ctl->redis;
    struct cells now = {0};
    const char *const get[] = {"GET", redis_key(redis, "version")};
    redisReply *reply = redis_call(redis, get, 2);
    uint64_t version = reply && reply->str ? strtoull(reply->str, NULL, 10) : strict->seen;
    freeReplyObject(reply);
    bool fine = true;
    if (version != strict->seen && read_again(strict, &now)) {
        for (size_t i = 0; i < now.count && fine; i++) {
            fine = stands(strict, &now.items[i], i);
        }
        strict->seen = version;
    }
    cells_free(&now);
    return fine;
}

/* --- somebody else ended the hold --------------------------------------------------------------------------
 */

/* Who wrote the cell as it is now, and when: {"shortcode", "carrier", "is", "is_state", "version", "at_ms",
 * "who"}. */
static json_t *ended_json(struct ctl *ctl, const struct cell *now)
{
    redisReply *found = now->version > 0 ? entry_read(ctl->redis, now->version) : NULL;
    bool there = found && found->elements > 0 && entry_fine(found->element[0]);
    json_t *object = need(json_object());
    json_put(object, "shortcode", json_text(now->shortcode));
    json_put(object, "carrier", json_text(now->carrier));
    json_put(object, "is", *now->platform ? json_text(now->platform) : json_null());
    json_put(object, "is_state", *now->platform ? json_text(route_state_name(now->state)) : json_null());
    if (there) {
        json_put(object, "version", json_integer((json_int_t)now->version));
        json_put(object, "at_ms", json_integer(strtoll(entry_field(found->element[0], "at"), NULL, 10)));
        json_put(object, "who", json_text(entry_field(found->element[0], "who")));
    }
    freeReplyObject(found);
    return object;
}

static void print_ended(const json_t *object)
{
    char when[TIME_TEXT_SIZE];
    const char *is = json_member(object, "is");
    const char *who = json_member(object, "who");
    fprintf(stderr, "  %s %s: %s%s%s%s", json_member(object, "shortcode"), json_member(object, "carrier"),
            *is ? is : "no row", *is ? " (" : "", json_member(object, "is_state"), *is ? ")" : "");
    if (*who) {
        fputs(", as set by ", stderr);
        text_print(stderr, who);
        fprintf(stderr, " in version %lld, %s",
                (long long)json_integer_value(json_object_get(object, "version")),
                time_text((uint64_t)json_integer_value(json_object_get(object, "at_ms")), when));
    }
    fputc('\n', stderr);
}

/* Names the routes of which the hold was ended, if there are any, and gives how many. */
static size_t tell_ended(const struct strict *strict, const struct cells *now)
{
    struct ctl *ctl = strict->ctl;
    json_t *ended = need(json_array());
    size_t i;
    json_t *object;
    for (i = 0; i < now->count; i++) {
        if (!stands(strict, &now->items[i], i)) {
            json_array_append_new(ended, ended_json(ctl, &now->items[i]));
        }
    }
    size_t count = json_array_size(ended);
    if (count == 0) {
        json_decref(ended);
        return 0;
    }
    ctl_fail(ctl, CTL_CONFLICT,
             count < now->count
                 ? "The others are on hold yet."
                 : "Nothing of this flip is left. Where they are still to be moved, give it again.",
             "the hold of %zu route%s by version %llu was ended by another change: nothing was moved", count,
             plural(count), (unsigned long long)strict->held);
    json_array_foreach(ended, i, object)
    {
        if (!ctl->options.json && i < CELLS_SHOWN) {
            print_ended(object);
        }
    }
    if (!ctl->options.json && count > CELLS_SHOWN) {
        fprintf(stderr, "  and %zu more\n", count - CELLS_SHOWN);
    }
    ctl_answer(ctl, "ended", ended);
    return count;
}

/* --- the commands that go on, or back ----------------------------------------------------------------------
 */

/* Of the routes that the hold still keeps: all of them, where that is not known. */
struct kept {
    char **shortcodes; /* the cells' own text */
    int count;
    bool all;
};

static struct kept kept_of(const struct strict *strict, const struct cells *now, bool known)
{
    struct kept kept = {.shortcodes = need(calloc(strict->cells.count + 1, sizeof *kept.shortcodes))};
    for (size_t i = 0; i < strict->cells.count; i++) {
        if (!known || strict->stage != STAGE_HELD || stands(strict, &now->items[i], i)) {
            kept.shortcodes[kept.count++] = strict->cells.items[i].shortcode;
        }
    }
    kept.all = (size_t)kept.count == strict->cells.count;
    return kept;
}

/* A flip to the same end, strict or not. */
static char *flip_command(const struct ctl *ctl, const struct kept *kept, option_set how)
{
    static const option_set same =
        OPTION(CARRIER) | OPTION(TO) | OPTION(FROM) | OPTION(AS) | OPTION(WHY) | OPTION(TICKET) |
        OPTION(TIMEOUT) | OPTION(REPLICAS) | OPTION(WITHOUT) | OPTION(OUTSIDE_WINDOW) | OPTION(FORCE) |
        OPTION(CONFIRM_WITHIN) | OPTION(GUARD_ERRORS) | OPTION(GUARD_MIN) | OPTION(GUARD_MO) |
        OPTION(GUARD_RECEIPT) | OPTION(GUARD_LEG) | OPTION(GUARD_ACTION) | OPTION(GUARD_FOR);
    option_set any_link = ctl->options.force ? 0 : OPTION(ANY_LINK); /* --force means that, too */
    return command_line_for(ctl, "flip", kept->shortcodes, kept->count, same | any_link | how);
}

/* Back to what was before. Where the hold was not ours, or is not known, that is: open where they are. */
static char *back_command(const struct strict *strict, const struct kept *kept)
{
    const struct ctl *ctl = strict->ctl;
    char words[64];
    if (!strict->held_here) {
        return command_line_for(ctl, "route open", kept->shortcodes, kept->count,
                                OPTION(CARRIER) | OPTION(AS));
    }
    snprintf(words, sizeof words, "rollback --version %llu%s", (unsigned long long)strict->held,
             strict->stage == STAGE_OPEN_UNKNOWN ? " --force" : "");
    return command_line_for(ctl, words, kept->shortcodes, kept->all ? 0 : kept->count, OPTION(AS));
}

/* When the hold goes back by itself, by Redis' clock; 0: it does not, or that is not known. */
static uint64_t read_deadline(const struct strict *strict)
{
    char version[24];
    struct redis *redis = strict->ctl->redis;
    snprintf(version, sizeof version, "%llu", (unsigned long long)strict->held);
    const char *const ask[] = {"ZSCORE", redis_key(redis, "confirm"), version};
    redisReply *reply = redis_call(redis, ask, 3);
    uint64_t deadline_ms = reply && reply->str ? (uint64_t)strtod(reply->str, NULL) : 0;
    freeReplyObject(reply);
    return deadline_ms;
}

static void show_deadline(const struct strict *strict)
{
    struct ctl *ctl = strict->ctl;
    char when[TIME_TEXT_SIZE];
    uint64_t deadline_ms = strict->stage == STAGE_HELD ? read_deadline(strict) : 0;
    if (deadline_ms > 0 && ctl->options.json) {
        ctl_answer(ctl, "hold_goes_back_ms", json_integer((json_int_t)deadline_ms));
    } else if (deadline_ms > 0) {
        fprintf(stderr, "The hold goes back by itself at %s, unless the routes are opened before.\n",
                time_text(deadline_ms, when));
    }
}

static void show_commands(const struct strict *strict, const struct kept *kept)
{
    struct ctl *ctl = strict->ctl;
    char *wait_on = flip_command(ctl, kept, OPTION(STRICT) | OPTION(DRAIN));
    char *open_now = flip_command(ctl, kept, 0);
    char *back = back_command(strict, kept);
    if (ctl->options.json) {
        ctl_answer(ctl, "commands",
                   json_pack("{sososo}", "wait_on", json_text(wait_on), "open", json_text(open_now),
                             "go_back", json_text(back)));
    } else {
        fprintf(stderr,
                "A route on hold keeps messages for the clients' hold budget, and refuses them then.\n"
                "Wait on, and open it on %s then:\n  %s\nOpen it on %s at once:\n  %s\n"
                "Go back to what was before:\n  %s\n",
                ctl->options.to, wait_on, ctl->options.to, open_now, back);
    }
    free(wait_on);
    free(open_now);
    free(back);
}

/* Whatever went wrong has been told, but that the hold was ended. */
static enum ctl_exit end_early(const struct strict *strict, enum ctl_exit code)
{
    if (strict->stage == STAGE_NOTHING || strict->stage == STAGE_OPEN) {
        return code;
    }
    struct cells now = {0};
    bool known = read_again(strict, &now);
    struct kept kept = kept_of(strict, &now, known);
    if (known && strict->stage == STAGE_HELD) {
        tell_ended(strict, &now);
    }
    show_now(strict->ctl, &now, known);
    if (kept.count > 0) {
        show_deadline(strict);
        show_commands(strict, &kept);
        code = strict->stage == STAGE_HELD ? CTL_STOPPED : code;
    } else {
        code = CTL_CONFLICT;
    }
    free(kept.shortcodes);
    cells_free(&now);
    return code;
}

/* --- the steps ---------------------------------------------------------------------------------------------
 */

static enum ctl_exit read_cells(struct strict *strict)
{
    struct ctl *ctl = strict->ctl;
    struct cells all = {0};
    enum ctl_exit code = route_read_args(ctl, &all) ? CTL_DONE : ctl_redis_failed(ctl);
    for (size_t i = 0; i < all.count && code == CTL_DONE; i++) {
        const struct cell *cell = &all.items[i];
        if (!*cell->platform) {
            code =
                route_fail_no_row(ctl, cell->shortcode, "\"turnoutctl route set\" gives it a row to hold.");
        } else if (strcmp(cell->platform, ctl->options.to) != 0 || cell->state != ROUTE_OPEN) {
            cells_add(&strict->cells, cell);
        }
    }
    cells_free(&all);
    return code;
}

static enum ctl_exit preflight(struct strict *strict)
{
    json_t *moves = need(json_array());
    for (size_t i = 0; i < strict->cells.count; i++) {
        const struct cell *cell = &strict->cells.items[i];
        json_array_append_new(moves,
                              need(json_pack("{s:s, s:s, s:s, s:s, s:s}", "shortcode", cell->shortcode,
                                             "carrier", cell->carrier, "to", strict->ctl->options.to, "from",
                                             cell->platform, "from_state", route_state_name(cell->state))));
    }
    enum ctl_exit code = strict->ctl->options.force ? CTL_DONE : preflight_before(strict->ctl, moves);
    json_decref(moves);
    return code;
}

static json_t *hold_request(const struct strict *strict)
{
    const struct options *options = &strict->ctl->options;
    const char *from = options->from;
    json_t *request = request_new(strict->ctl, "flip");
    for (size_t i = 0; request && i < strict->cells.count; i++) {
        const struct cell *cell = &strict->cells.items[i];
        request_move(request, &(struct move){.shortcode = cell->shortcode,
                                             .carrier = cell->carrier,
                                             .to = cell->platform,
                                             .state = route_state_name(ROUTE_HOLD),
                                             .from = from ? from : cell->platform,
                                             .from_state = route_state_name(cell->state),
                                             .from_version = cell->version});
    }
    if (request) {
        json_object_del(request, "guard"); /* it is the end that is to be watched */
    }
    if (request && options->confirm_within_ms > 0) {
        json_int_t longest_ms = (json_int_t)options->timeout_ms + options->drain_ms;
        json_put(request, "confirm_within_ms", json_integer(longest_ms + options->confirm_within_ms));
    }
    return request;
}

/* The newest of the cells' versions: where all were on hold before, since then. */
static uint64_t newest_version(const struct cells *cells)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < cells->count; i++) {
        newest = cells->items[i].version > newest ? cells->items[i].version : newest;
    }
    return newest;
}

static enum ctl_exit hold(struct strict *strict)
{
    struct sent sent;
    json_t *request = hold_request(strict);
    if (!request) {
        return CTL_USAGE;
    }
    if (ctl_stopped()) {
        json_decref(request);
        return ctl_fail(strict->ctl, CTL_FAILED, NULL, "stopped before anything was changed");
    }
    enum ctl_exit code = change_send(strict->ctl, "turnout_change", request, &sent);
    if (code == CTL_DONE) {
        strict->stage = STAGE_HELD;
        strict->held_here = sent.changed;
        strict->held = sent.changed ? sent.version : newest_version(&strict->cells);
        strict->held_us = sent.at_us;
        strict->seen = strict->held;
        size_t count = strict->cells.count;
        step(strict, "hold", strict->held, "%zu route%s on hold by version %llu%s", count, plural(count),
             (unsigned long long)strict->held, sent.changed ? "" : ", as before");
        ctl_answer(strict->ctl, "held_version", json_integer((json_int_t)strict->held));
    } else if (code == CTL_UNKNOWN) {
        strict->stage = STAGE_HOLD_UNKNOWN;
    }
    freeReplyObject(sent.reply);
    json_decref(request);
    return code;
}

static enum ctl_exit wait_held(struct strict *strict)
{
    struct barrier barrier;
    enum ctl_exit code = CTL_DONE;
    barrier_wait(strict->ctl, strict->held, strict->held_us, &barrier);
    if (barrier.end == BARRIER_COMPLETE) {
        step_reached(strict, "held", "applied by", &barrier);
    } else {
        code = barrier_report(strict->ctl, &barrier, CTL_DONE);
    }
    barrier_free(&barrier);
    return code;
}

static bool has_carrier(const struct settled_ways *ways, const char *carrier)
{
    for (size_t i = 0; i < ways->count; i++) {
        if (strcmp(ways->carriers[i], carrier) == 0) {
            return true;
        }
    }
    return false;
}

/* Not only those that the routes used last: a message may still be in flight from before an earlier change. */
static struct settled_ways ways_left(const struct strict *strict)
{
    struct settled_ways ways = {.to = strict->ctl->options.to};
    for (size_t i = 0; i < strict->cells.count; i++) {
        const char *carrier = strict->cells.items[i].carrier;
        if (!has_carrier(&ways, carrier)) {
            ways.carriers = need(realloc(ways.carriers, (ways.count + 1) * sizeof *ways.carriers));
            snprintf(ways.carriers[ways.count++], sizeof *ways.carriers, "%s", carrier);
        }
    }
    return ways;
}

static enum ctl_exit wait_settled(struct strict *strict)
{
    struct barrier barrier;
    enum ctl_exit code = CTL_DONE;
    struct settled_ways ways = ways_left(strict);
    const struct barrier_stands look = {.look = hold_stands, .of = strict};
    barrier_drain(strict->ctl, strict->held, strict->held_us, &ways, &look, &barrier);
    if (barrier.end == BARRIER_COMPLETE) {
        step_reached(strict, "settled", "all that was sent before is answered on", &barrier);
    } else if (barrier.end == BARRIER_VOID) {
        code = CTL_CONFLICT; /* told at the end */
    } else {
        code = barrier_report(strict->ctl, &barrier, CTL_DONE);
    }
    barrier_free(&barrier);
    free(ways.carriers);
    return code;
}

static json_t *open_request(const struct strict *strict)
{
    json_t *request = request_new(strict->ctl, "flip");
    for (size_t i = 0; request && i < strict->cells.count; i++) {
        const struct cell *cell = &strict->cells.items[i];
        request_move(request, &(struct move){.shortcode = cell->shortcode,
                                             .carrier = cell->carrier,
                                             .to = strict->ctl->options.to,
                                             .from = cell->platform,
                                             .from_state = route_state_name(ROUTE_HOLD),
                                             .from_version = version_held(strict, cell)});
    }
    if (request) {
        json_put(request, "began", json_integer((json_int_t)strict->held));
    }
    return request;
}

static enum ctl_exit open_new(struct strict *strict)
{
    json_t *request = open_request(strict);
    if (!request) {
        return CTL_USAGE;
    }
    enum ctl_exit code = ctl_stopped() ? ctl_fail(strict->ctl, CTL_STOPPED, NULL, "stopped")
                                       : change_send(strict->ctl, "turnout_change", request, &strict->opened);
    if (code == CTL_DONE) {
        strict->stage = STAGE_OPEN;
        step(strict, "open", strict->opened.version, "open on %s by version %llu", strict->ctl->options.to,
             (unsigned long long)strict->opened.version);
        change_show(strict->ctl, request, &strict->opened);
    } else if (code == CTL_UNKNOWN) {
        strict->stage = STAGE_OPEN_UNKNOWN;
    }
    json_decref(request);
    return code;
}

static enum ctl_exit wait_open(struct strict *strict)
{
    enum ctl_exit code = change_wait(strict->ctl, &strict->opened);
    if (code == CTL_DONE) {
        step(strict, "opened", strict->opened.version, "done");
    }
    return code;
}

enum ctl_exit strict_flip(struct ctl *ctl, bool *nothing_to_hold)
{
    static enum ctl_exit (*const steps[])(struct strict *) = {preflight,    hold,     wait_held,
                                                              wait_settled, open_new, wait_open};
    struct strict strict = {.ctl = ctl, .steps = need(json_array())};
    ctl_catch_signals();
    enum ctl_exit code = redis_functions_renew(ctl->redis) ? read_cells(&strict) : ctl_redis_failed(ctl);
    *nothing_to_hold = code == CTL_DONE && strict.cells.count == 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps && code == CTL_DONE && !*nothing_to_hold; i++) {
        code = steps[i](&strict);
    }
    ctl_answer(ctl, "steps", strict.steps);
    code = end_early(&strict, code);
    freeReplyObject(strict.opened.reply);
    cells_free(&strict.cells);
    return code;
}
