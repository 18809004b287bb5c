/* window create, add, remove and delete: the plan, as long as the window has not started.
 *
 *   FILE.csv ──csv_parse_moves──▶ rows ──▶ one request ──▶ turnout_window
 *
 * What is planned is checked against the table by window check, and when the window starts: a plan may be made
 * before the links and rows that it speaks of are there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/commands.h"
#include "routing/ctl/csv.h"
#include "routing/ctl/file.h"
#include "routing/ctl/guards.h"
#include "routing/ctl/output.h"
#include "routing/ctl/route.h"
#include "routing/ctl/window.h"
#include "routing/ctl/window_plan.h"

struct times {
    struct zone zone;
    uint64_t start_ms, end_ms;
};

/* --- times -------------------------------------------------------------------------------------------------
 */

static enum ctl_exit fail_time(struct ctl *ctl, const char *option, const char *reason)
{
    return ctl_fail(ctl, CTL_USAGE, NULL, "--%s: %s", option, reason);
}

/* The zone, from --zone or else from the offset of --start; and both times. */
static enum ctl_exit read_times(struct ctl *ctl, struct times *times)
{
    char reason[ZONE_REASON_SIZE];
    struct zone said = {0};
    const char *zone = ctl->options.zone;
    if (zone && !zone_find(zone, &times->zone)) {
        return ctl_fail(
            ctl, CTL_USAGE,
            "Zones have names such as Pacific/Auckland (package tzdata), or are an offset: +13:00.",
            "--zone: the system knows no zone \"%.64s\"", zone);
    }
    if (!zone_parse(ctl->options.start, &times->zone, &times->start_ms, &said, reason)) {
        return fail_time(ctl, "start", reason);
    }
    if (!zone) {
        times->zone = said;
    }
    if (!zone_parse(ctl->options.end, &times->zone, &times->end_ms, NULL, reason)) {
        return fail_time(ctl, "end", reason);
    }
    return CTL_DONE;
}

/* --- create ------------------------------------------------------------------------------------------------
 */

static json_t *move_json(const char *shortcode, const char *carrier, const char *to, uint64_t at_ms)
{
    json_t *move = need(json_object());
    json_put(move, "shortcode", json_text(shortcode));
    json_put(move, "carrier", json_text(carrier));
    json_put(move, "to", json_text(to));
    if (at_ms > 0) {
        json_put(move, "at", json_integer((json_int_t)at_ms));
    }
    return move;
}

static json_t *csv_moves(const struct csv *csv)
{
    json_t *moves = need(json_array());
    for (size_t i = 0; i < csv->rows_count; i++) {
        const struct cell *row = &csv->rows[i].cell;
        json_array_append_new(moves,
                              move_json(row->shortcode, row->carrier, row->platform, csv->rows[i].at_ms));
    }
    return moves;
}

enum ctl_exit window_csv_read(struct ctl *ctl, const char *path, const struct zone *zone, struct csv *csv)
{
    size_t len = 0;
    char *text = file_read(path, &len);
    if (!text) {
        return ctl_fail(ctl, CTL_INVALID, NULL, "%s cannot be read: %s", path, strerror(errno));
    }
    csv_parse_moves(csv, text, len, zone);
    free(text);
    if (csv->errors_count > 0) {
        return file_errors(ctl, path, csv);
    }
    return csv->rows_count > 0 ? CTL_DONE
                               : ctl_fail(ctl, CTL_INVALID, "Its columns are shortcode,carrier,to[,at].",
                                          "%s has no moves in it", path);
}

static size_t automatic(const struct csv *csv)
{
    size_t count = 0;
    for (size_t i = 0; i < csv->rows_count; i++) {
        count += csv->rows[i].at_ms > 0;
    }
    return count;
}

static void show_created(struct ctl *ctl, const struct times *times, const struct csv *csv)
{
    char start[TIME_TEXT_SIZE];
    char end[TIME_TEXT_SIZE];
    ctl_answer(ctl, "window", json_text(ctl->args[0]));
    ctl_answer(ctl, "moves", json_integer((json_int_t)csv->rows_count));
    ctl_answer(ctl, "start_ms", json_integer((json_int_t)times->start_ms));
    ctl_answer(ctl, "end_ms", json_integer((json_int_t)times->end_ms));
    if (ctl->options.json) {
        return;
    }
    printf("Window %s is planned: %zu move%s, from %s to %s.\n", ctl->args[0], csv->rows_count,
           plural(csv->rows_count), zone_text(&times->zone, times->start_ms, start),
           zone_text(&times->zone, times->end_ms, end));
    printf("It starts %s", ctl->options.automatic ? "by itself." : "with turnoutctl window start.");
    if (automatic(csv) > 0) {
        printf(" %zu move%s made by ", automatic(csv), automatic(csv) == 1 ? " is" : "s are");
        puts(automatic(csv) == 1 ? "itself." : "themselves.");
    } else {
        putchar('\n');
    }
    printf("Look at it: turnoutctl window check %s\n", ctl->args[0]);
}

static enum ctl_exit create(struct ctl *ctl, const struct times *times, const struct csv *csv)
{
    json_t *request = window_request(ctl, "create");
    struct sent sent;
    if (!request) {
        return CTL_USAGE;
    }
    json_put(request, "start", json_integer((json_int_t)times->start_ms));
    json_put(request, "end", json_integer((json_int_t)times->end_ms));
    json_put(request, "zone", json_text(times->zone.name));
    json_put(request, "auto", json_boolean(ctl->options.automatic));
    if (!guards_request(ctl, request)) {
        json_decref(request);
        return CTL_USAGE;
    }
    json_put(request, "moves", csv_moves(csv));
    enum ctl_exit code = window_send(ctl, request, &sent);
    if (code == CTL_DONE) {
        show_created(ctl, times, csv);
    }
    freeReplyObject(sent.reply);
    return code;
}

enum ctl_exit run_window_create(struct ctl *ctl)
{
    struct times times = {0};
    struct csv csv = {0};
    enum ctl_exit code = window_name_fine(ctl) ? read_times(ctl, &times) : CTL_USAGE;
    if (code == CTL_DONE) {
        code = window_csv_read(ctl, ctl->args[1], &times.zone, &csv);
    }
    if (code == CTL_DONE) {
        code = create(ctl, &times, &csv);
    }
    csv_free(&csv);
    return code;
}

/* --- add, remove, delete -----------------------------------------------------------------------------------
 */

/* Are the arguments behind the window's name shortcodes, and --carrier and --to names? */
static bool arguments_fine(struct ctl *ctl)
{
    ctl->args++;
    ctl->args_count--;
    bool fine = route_names_fine(ctl);
    ctl->args--;
    ctl->args_count++;
    return fine && window_name_fine(ctl);
}

/* The platform to which the window moves this carrier, where it is but one; else NULL. */
static const char *platform_of(const struct window *window, const char *carrier)
{
    const char *to = NULL;
    for (size_t i = 0; i < window->count; i++) {
        const struct window_cell *cell = &window->cells[i];
        if (strcmp(cell->now.carrier, carrier) == 0) {
            if (to && strcmp(to, cell->to) != 0) {
                return NULL;
            }
            to = cell->to;
        }
    }
    return to;
}

static enum ctl_exit add_carrier(struct ctl *ctl, const struct window *window, const char *carrier,
                                 uint64_t at_ms, json_t *moves)
{
    const char *to = ctl->options.to ? ctl->options.to : platform_of(window, carrier);
    if (!to) {
        return ctl_fail(ctl, CTL_USAGE, "Give --to PLATFORM.",
                        "window %s does not move %s to one platform, so it is not known where to",
                        window->name, carrier);
    }
    for (int i = 1; i < ctl->args_count; i++) {
        json_array_append_new(moves, move_json(ctl->args[i], carrier, to, at_ms));
    }
    return CTL_DONE;
}

/* The shortcodes, of --carrier, or of every carrier of the window. */
static enum ctl_exit moves_to_add(struct ctl *ctl, const struct window *window, json_t *moves)
{
    char reason[ZONE_REASON_SIZE];
    char carrier[NAME_LEN_MAX + 1];
    const char *rest = NULL;
    uint64_t at_ms = 0;
    enum ctl_exit code = CTL_DONE;
    if (ctl->options.at && !zone_parse(ctl->options.at, &window->zone, &at_ms, NULL, reason)) {
        return fail_time(ctl, "at", reason);
    }
    if (ctl->options.carrier) {
        return add_carrier(ctl, window, ctl->options.carrier, at_ms, moves);
    }
    while (code == CTL_DONE && window_carrier_next(window, &rest, carrier)) {
        code = add_carrier(ctl, window, carrier, at_ms, moves);
    }
    return code;
}

/* The cells of the shortcodes that are in the window, of --carrier or of all. */
static enum ctl_exit cells_to_remove(struct ctl *ctl, const struct window *window, json_t *cells)
{
    for (int i = 1; i < ctl->args_count; i++) {
        size_t found = json_array_size(cells);
        for (size_t j = 0; j < window->count; j++) {
            const struct cell *cell = &window->cells[j].now;
            if (strcmp(cell->shortcode, ctl->args[i]) == 0 &&
                (!ctl->options.carrier || strcmp(cell->carrier, ctl->options.carrier) == 0)) {
                json_array_append_new(
                    cells, need(json_pack("{ssss}", "shortcode", cell->shortcode, "carrier", cell->carrier)));
            }
        }
        if (json_array_size(cells) == found) {
            return ctl_fail(ctl, CTL_NOT_FOUND, "turnoutctl window show has what is in it.",
                            "nothing was changed: %s%s%s is not in window %s", ctl->args[i],
                            ctl->options.carrier ? " " : "", ctl->options.carrier ? ctl->options.carrier : "",
                            window->name);
        }
    }
    return CTL_DONE;
}

/* One of the two, with what it adds or removes as a member of the request. */
static enum ctl_exit amend(struct ctl *ctl, const char *command, const char *member, const char *done,
                           enum ctl_exit (*choose)(struct ctl *, const struct window *, json_t *))
{
    struct window window = {0};
    struct sent sent = {0};
    json_t *cells = need(json_array());
    enum ctl_exit code = arguments_fine(ctl) ? window_read(ctl, ctl->args[0], &window) : CTL_USAGE;
    code = code == CTL_DONE ? choose(ctl, &window, cells) : code;
    json_t *request = code == CTL_DONE ? window_request(ctl, command) : NULL;
    if (request) {
        size_t count = json_array_size(cells);
        json_put(request, member, json_incref(cells));
        code = window_send(ctl, request, &sent);
        if (code == CTL_DONE && !ctl->options.json) {
            printf("%zu move%s %s window %s.\n", count, plural(count), done, ctl->args[0]);
        }
        ctl_answer(ctl, "count", json_integer((json_int_t)count));
    } else if (code == CTL_DONE) {
        code = CTL_USAGE;
    }
    freeReplyObject(sent.reply);
    json_decref(cells);
    window_free(&window);
    return code;
}

enum ctl_exit run_window_add(struct ctl *ctl)
{
    return amend(ctl, "add", "moves", "added to", moves_to_add);
}

enum ctl_exit run_window_remove(struct ctl *ctl)
{
    return amend(ctl, "remove", "cells", "taken out of", cells_to_remove);
}

enum ctl_exit run_window_delete(struct ctl *ctl)
{
    struct sent sent = {0};
    json_t *request = window_request(ctl, "delete");
    enum ctl_exit code = request ? window_send(ctl, request, &sent) : CTL_USAGE;
    if (code == CTL_DONE && !ctl->options.json) {
        printf("Window %s is deleted.\n", ctl->args[0]);
    }
    freeReplyObject(sent.reply);
    return code;
}
