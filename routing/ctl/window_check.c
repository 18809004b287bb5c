/* window check: all that can be known before a window starts, and nothing is changed.
 *
 *   window, table, instances, the other windows, the CSV file again ──▶ findings: error, warning or note ──▶ exit code
 *
 * An error is what would keep the window, or a move of it, from being carried out. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/commands.h"
#include "routing/ctl/csv.h"
#include "routing/ctl/instance_list.h"
#include "routing/ctl/links.h"
#include "routing/ctl/output.h"
#include "routing/ctl/preflight.h"
#include "routing/ctl/redis.h"
#include "routing/ctl/window.h"
#include "routing/ctl/window_plan.h"

enum { FINDINGS_SHOWN = 100 };

enum severity { SEVERITY_ERROR, SEVERITY_WARNING, SEVERITY_NOTE, SEVERITY_COUNT };
static const char *const severities[SEVERITY_COUNT] = {"error", "warning", "note"};

struct check {
    struct ctl *ctl;
    struct window window;
    json_t *findings;
    size_t counts[SEVERITY_COUNT];
};

static void found(struct check *check, enum severity severity, const char *what, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void found(struct check *check, enum severity severity, const char *what, const char *format, ...)
{
    char *text = NULL;
    va_list list;
    va_start(list, format);
    int len = vasprintf(&text, format, list);
    va_end(list);
    text_clean(need(len < 0 ? NULL : text));
    json_array_append_new(check->findings, need(json_pack("{ssssso}", "severity", severities[severity],
                                                          "what", what, "text", json_text(text))));
    size_t shown = check->counts[0] + check->counts[1] + check->counts[2];
    check->counts[severity]++;
    if (!check->ctl->options.json && shown < FINDINGS_SHOWN) {
        char first[16];
        snprintf(first, sizeof first, "%s: ", severities[severity]);
        text_wrap(stdout, first, text);
    }
    free(text);
}

/* --- the window itself -------------------------------------------------------------------------------------
 */

static void check_times(struct check *check)
{
    char text[TIME_TEXT_SIZE];
    const struct window *window = &check->window;
    uint64_t start = window_number(window, "start");
    uint64_t end = window_number(window, "end");
    if (end <= window->now_ms) {
        found(check, SEVERITY_ERROR, "times", "the window is over since %s",
              zone_text(&window->zone, end, text));
    } else if (window_is(window, "planned") && start < window->now_ms) {
        found(check, SEVERITY_WARNING, "times", "the window should have started at %s",
              zone_text(&window->zone, start, text));
    }
    if (!*window->zone.name) {
        found(check, SEVERITY_WARNING, "times",
              "this system does not know the zone \"%s\" (package tzdata): times are shown in local time",
              window_field(window, "zone"));
    }
    if (!window_is(window, "planned") && !window_is(window, "open") && !window_is(window, "paused")) {
        found(check, SEVERITY_ERROR, "state", "the window is %s", window_field(window, "state"));
    }
    if (window->count == 0) {
        found(check, SEVERITY_ERROR, "moves", "the window has no moves");
    }
}

static void check_cell(struct check *check, const struct window_cell *cell)
{
    const struct cell *now = &cell->now;
    if (cell->state == WINDOW_CELL_NO_ROW) {
        found(check, SEVERITY_ERROR, "row", "%s %s has no row of its own in the table", now->shortcode,
              now->carrier);
    } else if (strcmp(now->platform, cell->to) == 0 && !*cell->before) {
        found(check, SEVERITY_NOTE, "there", "%s %s is on %s already", now->shortcode, now->carrier,
              cell->to);
    } else if (cell->state == WINDOW_CELL_ELSEWHERE) {
        found(check, SEVERITY_WARNING, "elsewhere",
              "%s %s is on %s: neither on %s, as at the start, nor on %s", now->shortcode, now->carrier,
              now->platform, cell->before, cell->to);
    }
    if (*now->platform && now->state != ROUTE_OPEN) {
        found(check, SEVERITY_WARNING, "state", "%s %s is %s", now->shortcode, now->carrier,
              now->state == ROUTE_HOLD ? "on hold" : "closed");
    }
    if (*cell->failed) {
        found(check, SEVERITY_ERROR, "automatic", "%s %s did not move by itself: %s", now->shortcode,
              now->carrier, cell->failed);
    }
}

/* --- the instances -----------------------------------------------------------------------------------------
 */

static void check_link(struct check *check, const struct instance *instance, const char *carrier,
                       const char *platform, const char *why)
{
    if (*platform && !links_have(instance_field(instance, "links"), carrier, platform)) {
        found(check, SEVERITY_ERROR, "link", "instance %s has no link for %s by %s, %s", instance->id,
              carrier, platform, why);
    }
}

/* Each pair of carrier and platform once. The cells are sorted by shortcode, so that a pair comes again and
 * again: most of them with the first shortcode. */
static bool pair_seen(const struct window *window, size_t index)
{
    const struct window_cell *cell = &window->cells[index];
    for (size_t i = 0; i < index; i++) {
        const struct window_cell *earlier = &window->cells[i];
        if (strcmp(earlier->now.carrier, cell->now.carrier) == 0 && strcmp(earlier->to, cell->to) == 0 &&
            strcmp(earlier->now.platform, cell->now.platform) == 0) {
            return true;
        }
    }
    return false;
}

static bool check_instances(struct check *check)
{
    struct instance_list list;
    size_t alive = 0;
    if (!instance_list_read(check->ctl->redis, &list)) {
        return false;
    }
    for (size_t i = 0; i < list.count; i++) {
        const struct instance *instance = &list.items[i];
        if (!instance_alive(instance)) {
            found(check, SEVERITY_WARNING, "instance", "instance %s is dead", instance->id);
            continue;
        }
        alive++;
        if (*instance_trouble(instance)) {
            found(check, SEVERITY_WARNING, "instance", "instance %s: %s", instance->id,
                  instance_trouble(instance));
        }
        char clock[CLOCK_TROUBLE_SIZE];
        if (*instance_clock_trouble(instance, clock)) {
            found(check, SEVERITY_WARNING, "instance", "instance %s: %s", instance->id, clock);
        }
        for (size_t j = 0; *instance_field(instance, "links") && j < check->window.count; j++) {
            const struct window_cell *cell = &check->window.cells[j];
            if (!pair_seen(&check->window, j)) {
                check_link(check, instance, cell->now.carrier, cell->to, "where the window moves to");
                check_link(check, instance, cell->now.carrier, cell->now.platform, "which serves today");
            }
        }
    }
    if (alive == 0) {
        found(check, SEVERITY_WARNING, "instance", "no instance is alive: what links there are is not known");
    }
    instance_list_free(&list);
    return true;
}

/* --- the other windows -------------------------------------------------------------------------------------
 */

/* The words: in one window for certain, or at the same time perhaps. */
static enum severity overlap(const struct window *window, const struct window *other)
{
    bool together = window_number(window, "start") < window_number(other, "end") &&
                    window_number(other, "start") < window_number(window, "end");
    return together || window_is(other, "open") || window_is(other, "paused") ? SEVERITY_ERROR
                                                                              : SEVERITY_NOTE;
}

static void check_other(struct check *check, const struct window *other)
{
    for (size_t i = 0; i < other->count; i++) {
        const struct cell *cell = &other->cells[i].now;
        if (window_find(&check->window, cell->shortcode, cell->carrier)) {
            found(check, overlap(&check->window, other), "window", "%s %s is in window %s, too, which is %s",
                  cell->shortcode, cell->carrier, other->name, window_field(other, "state"));
        }
    }
}

static enum ctl_exit check_others(struct check *check)
{
    enum ctl_exit code = CTL_DONE;
    redisReply *reply = redis_function(check->ctl->redis, "turnout_windows", NULL, 0);
    if (!reply) {
        return ctl_redis_failed(check->ctl);
    }
    for (size_t i = 2; code == CTL_DONE && i + 1 < reply->elements; i += 2 + redis_number(reply, i + 1)) {
        struct window other = {0};
        if (strcmp(redis_text(reply, i), check->window.name) == 0) {
            continue;
        }
        code = window_read(check->ctl, redis_text(reply, i), &other);
        if (code == CTL_DONE &&
            (window_is(&other, "planned") || window_is(&other, "open") || window_is(&other, "paused"))) {
            check_other(check, &other);
        }
        window_free(&other);
    }
    freeReplyObject(reply);
    return code;
}

/* Shortcodes that have a row for a carrier of the window, and stay: forgotten, or left out on purpose. */
static bool check_rest(struct check *check)
{
    struct cells cells = {0};
    char name[NAME_LEN_MAX + 1];
    const char *rest = NULL;
    bool fine = cells_load(check->ctl->redis, &cells);
    while (fine && window_carrier_next(&check->window, &rest, name)) {
        size_t count = 0;
        const struct cell *first = NULL;
        for (size_t i = 0; i < cells.count; i++) {
            bool stays = strcmp(cells.items[i].carrier, name) == 0 &&
                         !window_find(&check->window, cells.items[i].shortcode, name);
            first = stays && !first ? &cells.items[i] : first;
            count += stays;
        }
        if (count > 0) {
            found(check, SEVERITY_NOTE, "rest", "%zu route%s of %s not in the window: %s%s", count,
                  count == 1 ? "" : "s", name, first->shortcode, count == 1 ? "" : " and others");
        }
    }
    cells_free(&cells);
    return fine;
}

/* --- the file again ----------------------------------------------------------------------------------------
 */

static void check_row(struct check *check, const struct csv_row *row, bool *named)
{
    const struct window_cell *cell = window_find(&check->window, row->cell.shortcode, row->cell.carrier);
    if (!cell) {
        found(check, SEVERITY_ERROR, "csv", "line %u: %s %s is not in the window", row->line,
              row->cell.shortcode, row->cell.carrier);
        return;
    }
    named[cell - check->window.cells] = true;
    if (strcmp(cell->to, row->cell.platform) != 0) {
        found(check, SEVERITY_ERROR, "csv", "line %u: %s %s goes to %s, in the window to %s", row->line,
              row->cell.shortcode, row->cell.carrier, row->cell.platform, cell->to);
    }
    if (cell->at_ms != row->at_ms) {
        char text[TIME_TEXT_SIZE];
        found(check, SEVERITY_ERROR, "csv",
              "line %u: %s %s moves by itself at another time in the window: %s", row->line,
              row->cell.shortcode, row->cell.carrier, zone_text(&check->window.zone, cell->at_ms, text));
    }
}

static enum ctl_exit check_file(struct check *check)
{
    struct csv csv = {0};
    bool *named = need(calloc(check->window.count + 1, sizeof *named));
    enum ctl_exit code = window_csv_read(check->ctl, check->ctl->args[1], &check->window.zone, &csv);
    for (size_t i = 0; code == CTL_DONE && i < csv.rows_count; i++) {
        check_row(check, &csv.rows[i], named);
    }
    for (size_t i = 0; code == CTL_DONE && i < check->window.count; i++) {
        const struct cell *cell = &check->window.cells[i].now;
        if (!named[i]) {
            found(check, SEVERITY_ERROR, "csv", "%s %s is in the window, but not in %s", cell->shortcode,
                  cell->carrier, check->ctl->args[1]);
        }
    }
    free(named);
    csv_free(&csv);
    return code;
}

/* --- all of it ---------------------------------------------------------------------------------------------
 */

static enum ctl_exit end(struct check *check)
{
    struct ctl *ctl = check->ctl;
    const struct window *window = &check->window;
    ctl_answer(ctl, "window", window_json(window));
    ctl_answer(ctl, "moves", json_integer((json_int_t)window->count));
    ctl_answer(ctl, "findings", json_incref(check->findings));
    size_t shown = check->counts[0] + check->counts[1] + check->counts[2];
    if (!ctl->options.json && shown > FINDINGS_SHOWN) {
        printf("and %zu more, which --json shows\n", shown - FINDINGS_SHOWN);
    }
    if (!ctl->options.json) {
        printf("Window %s: %zu move%s; %zu error%s, %zu warning%s, %zu note%s. Nothing was changed.\n",
               window->name, window->count, plural(window->count), check->counts[SEVERITY_ERROR],
               plural(check->counts[SEVERITY_ERROR]), check->counts[SEVERITY_WARNING],
               plural(check->counts[SEVERITY_WARNING]), check->counts[SEVERITY_NOTE],
               plural(check->counts[SEVERITY_NOTE]));
    }
    return check->counts[SEVERITY_ERROR] > 0
               ? ctl_fail(ctl, CTL_INVALID, NULL, "window %s is not ready: %zu error%s", window->name,
                          check->counts[SEVERITY_ERROR], plural(check->counts[SEVERITY_ERROR]))
               : CTL_DONE;
}

/* What is left to move, asked about as before a flip. */
static enum ctl_exit ask_instances(struct check *check)
{
    json_t *moves = need(json_array());
    for (size_t i = 0; i < check->window.count; i++) {
        const struct window_cell *cell = &check->window.cells[i];
        if (strcmp(cell->now.platform, cell->to) != 0) {
            json_array_append_new(moves, need(json_pack("{ssssss}", "shortcode", cell->now.shortcode,
                                                        "carrier", cell->now.carrier, "to", cell->to)));
        }
    }
    enum ctl_exit code = json_array_size(moves) > 0 ? preflight_before(check->ctl, moves) : CTL_DONE;
    json_decref(moves);
    return code;
}

static enum ctl_exit check_all(struct check *check)
{
    struct ctl *ctl = check->ctl;
    enum ctl_exit code = ctl->args_count > 1 ? check_file(check) : CTL_DONE;
    if (code != CTL_DONE) {
        return code;
    }
    check_times(check);
    for (size_t i = 0; i < check->window.count; i++) {
        check_cell(check, &check->window.cells[i]);
    }
    if (!check_instances(check) || !check_rest(check)) {
        return ctl_redis_failed(ctl);
    }
    code = check_others(check);
    code = code == CTL_DONE ? end(check) : code;
    return code == CTL_DONE ? ask_instances(check) : code;
}

enum ctl_exit run_window_check(struct ctl *ctl)
{
    struct check check = {.ctl = ctl, .findings = need(json_array())};
    enum ctl_exit code = window_name_fine(ctl) ? window_read(ctl, ctl->args[0], &check.window) : CTL_USAGE;
    if (code == CTL_DONE) {
        code = check_all(&check);
    }
    json_decref(check.findings);
    window_free(&check.window);
    return code;
}
