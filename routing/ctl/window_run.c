/* window start, step, pause, resume, finish, cancel and rollback: the night itself.
 *
 *   start, finish, cancel, rollback ──window_send──▶ turnout_window ──▶ barrier, where cells changed
 *   step ──▶ the next carrier's cells that have not moved ──▶ flip, with the window named
 */
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/commands.h"
#include "routing/ctl/entry.h"
#include "routing/ctl/links.h"
#include "routing/ctl/output.h"
#include "routing/ctl/window.h"

/* Where in an answer of turnout_window the number of moves overdue is, and the first line of a cell. */
enum { ANSWER_OVERDUE = 3, ANSWER_LINES = 4 };

static void show_overdue(struct ctl *ctl, const struct sent *sent)
{
    uint64_t overdue = redis_number(sent->reply, ANSWER_OVERDUE);
    ctl_answer(ctl, "overdue", json_integer((json_int_t)overdue));
    if (overdue > 0 && !ctl->options.json) {
        printf("%llu move%s overdue, and made by themselves now.\n", (unsigned long long)overdue,
               overdue == 1 ? " is" : "s are");
    }
}

/* A command that changes no more than the window and where its cells go next. */
static enum ctl_exit command(struct ctl *ctl, const char *name, const char *done)
{
    struct sent sent = {0};
    json_t *request = window_request(ctl, name);
    enum ctl_exit code = request ? window_send(ctl, request, &sent) : CTL_USAGE;
    if (code == CTL_DONE) {
        if (!ctl->options.json) {
            printf("Window %s %s.\n", ctl->args[0], done);
        }
        show_overdue(ctl, &sent);
        code = window_wait(ctl, &sent);
    }
    freeReplyObject(sent.reply);
    return code;
}

enum ctl_exit run_window_pause(struct ctl *ctl)
{
    return command(ctl, "pause", "is paused: nothing moves until it is resumed");
}

enum ctl_exit run_window_resume(struct ctl *ctl)
{
    return command(ctl, "resume", "goes on");
}

enum ctl_exit run_window_finish(struct ctl *ctl)
{
    return command(ctl, "finish", "is finished");
}

enum ctl_exit run_window_cancel(struct ctl *ctl)
{
    return command(ctl, "cancel", "is cancelled");
}

/* --- start -------------------------------------------------------------------------------------------------
 */

/* Has every live instance the links that the window will move to? */
static enum ctl_exit check_links(struct ctl *ctl, const struct window *window)
{
    json_t *moves = need(json_array());
    for (size_t i = 0; i < window->count; i++) {
        const struct window_cell *cell = &window->cells[i];
        json_array_append_new(moves, need(json_pack("{ssss}", "carrier", cell->now.carrier, "to", cell->to)));
    }
    json_t *request = need(json_pack("{so}", "moves", moves));
    enum ctl_exit code = links_check(ctl, request);
    json_decref(request);
    return code;
}

enum ctl_exit run_window_start(struct ctl *ctl)
{
    struct window window = {0};
    enum ctl_exit code = window_name_fine(ctl) ? window_read(ctl, ctl->args[0], &window) : CTL_USAGE;
    code = code == CTL_DONE ? check_links(ctl, &window) : code;
    size_t count = window.count;
    window_free(&window);
    if (code != CTL_DONE) {
        return code;
    }
    char done[96];
    snprintf(done, sizeof done, "is open: %zu route%s; the legs of both platforms are being bound", count,
             plural(count));
    return command(ctl, "start", done);
}

/* --- step --------------------------------------------------------------------------------------------------
 */

static bool left_to_move(const struct window_cell *cell)
{
    return cell->state == WINDOW_CELL_WAITING || cell->state == WINDOW_CELL_WAITING_HELD ||
           cell->state == WINDOW_CELL_MOVED_HELD;
}

static size_t carrier_left(const struct window *window, const char *carrier)
{
    size_t count = 0;
    for (size_t i = 0; i < window->count; i++) {
        count += left_to_move(&window->cells[i]) && strcmp(window->cells[i].now.carrier, carrier) == 0;
    }
    return count;
}

/* The first carrier that has something left to move, or --carrier. NULL where there is none. */
static const char *next_carrier(const struct ctl *ctl, const struct window *window,
                                char name[NAME_LEN_MAX + 1])
{
    const char *rest = NULL;
    if (ctl->options.carrier) {
        return carrier_left(window, ctl->options.carrier) > 0 ? ctl->options.carrier : NULL;
    }
    while (window_carrier_next(window, &rest, name)) {
        if (carrier_left(window, name) > 0) {
            return name;
        }
    }
    return NULL;
}

/* The platform that the step moves to: --to, or where all go that the carrier has left. NULL where that is told:
 * CTL_USAGE. */
static const char *step_platform(struct ctl *ctl, const struct window *window, const char *carrier)
{
    const char *to = NULL;
    if (ctl->options.to) {
        return ctl->options.to;
    }
    for (size_t i = 0; i < window->count; i++) {
        const struct window_cell *cell = &window->cells[i];
        if (!left_to_move(cell) || strcmp(cell->now.carrier, carrier) != 0) {
            continue;
        }
        if (to && strcmp(to, cell->to) != 0) {
            ctl_fail(ctl, CTL_USAGE, "Give --to PLATFORM, one after the other.",
                     "window %s moves %s to %s and to %s: a step moves to one platform", window->name,
                     carrier, to, cell->to);
            return NULL;
        }
        to = cell->to;
    }
    return to;
}

/* Makes the command a flip of what the carrier has left to move there, and gives it. The strings are the
 * window's. */
static enum ctl_exit flip_carrier(struct ctl *ctl, struct window *window, const char *carrier)
{
    const char *to = step_platform(ctl, window, carrier);
    if (!to) {
        return CTL_USAGE;
    }
    char **shortcodes = need(calloc(window->count + 1, sizeof *shortcodes));
    int count = 0;
    for (size_t i = 0; i < window->count; i++) {
        struct window_cell *cell = &window->cells[i];
        if (left_to_move(cell) && strcmp(cell->now.carrier, carrier) == 0 && strcmp(cell->to, to) == 0) {
            shortcodes[count++] = cell->now.shortcode;
        }
    }
    free(ctl->args);
    ctl->args = shortcodes;
    ctl->args_count = count;
    ctl->options.window = window->name;
    ctl->options.carrier = carrier;
    ctl->options.to = to;
    ctl_answer(ctl, "carrier", json_text(carrier));
    ctl_answer(ctl, "to", json_text(to));
    if (!ctl->options.json) {
        printf("Window %s: %s to %s, %d route%s\n", window->name, carrier, to, count,
               plural((uint64_t)count));
    }
    return run_flip(ctl);
}

static enum ctl_exit nothing_left(struct ctl *ctl, const struct window *window)
{
    const char *carrier = ctl->options.carrier;
    return ctl_fail(ctl, CTL_UNCHANGED, "See turnoutctl window show; turnoutctl window finish ends it.",
                    "window %s has nothing left to move%s%s", window->name, carrier ? " of " : "",
                    carrier ? carrier : "");
}

/* After its end a window moves only what somebody wants moved all the same. */
static enum ctl_exit check_end(struct ctl *ctl, const struct window *window)
{
    char end[TIME_TEXT_SIZE];
    if (!window_overdue(window)) {
        return CTL_DONE;
    }
    (void)zone_text(&window->zone, window_number(window, "end"), end);
    if (!ctl->options.after_end) {
        return ctl_fail(ctl, CTL_WINDOW,
                        "With --after-end it moves all the same. Else: window finish, or window rollback.",
                        "nothing was changed: window %s is OVERDUE: its end was %s", window->name, end);
    }
    if (!ctl->options.json) {
        printf("Window %s is OVERDUE: its end was %s.\n", window->name, end);
    }
    return CTL_DONE;
}

enum ctl_exit run_window_step(struct ctl *ctl)
{
    struct window window = {0};
    char name[NAME_LEN_MAX + 1];
    enum ctl_exit code = window_name_fine(ctl) ? window_read(ctl, ctl->args[0], &window) : CTL_USAGE;
    if (code == CTL_DONE && !window_is(&window, "open")) {
        code = ctl_fail(ctl, CTL_WINDOW, NULL, "nothing was changed: window %s is %s", window.name,
                        window_field(&window, "state"));
    }
    if (code == CTL_DONE) {
        code = check_end(ctl, &window);
    }
    if (code == CTL_DONE) {
        const char *carrier = next_carrier(ctl, &window, name);
        code = carrier ? flip_carrier(ctl, &window, carrier) : nothing_left(ctl, &window);
    }
    window_free(&window);
    return code;
}

/* --- rollback ----------------------------------------------------------------------------------------------
 */

/* A window that was taken back before: when, and by whom. */
static enum ctl_exit check_not_back(struct ctl *ctl)
{
    struct window window = {0};
    char when[TIME_TEXT_SIZE];
    enum ctl_exit code = window_name_fine(ctl) ? window_read(ctl, ctl->args[0], &window) : CTL_USAGE;
    if (code == CTL_DONE && window_is(&window, "rolled_back")) {
        json_t *line = window_last(&window, "rollback");
        ctl_answer(ctl, "window_state", json_text("rolled_back"));
        code = ctl_fail(ctl, CTL_WINDOW, NULL,
                        "nothing was changed: window %s was rolled back already, %s, by %s", window.name,
                        zone_text(&window.zone, window_number(&window, "rolled_back_at"), when),
                        json_member(line, "who"));
        json_decref(line);
    }
    window_free(&window);
    return code;
}

/* What a rollback is told of that found nothing to set back: the change that had done so before, or that there was
 * none. */
static void print_nothing_back(struct ctl *ctl)
{
    struct window window = {0};
    char when[TIME_TEXT_SIZE];
    bool known = window_read(ctl, ctl->args[0], &window) == CTL_DONE;
    const redisReply *versions = known ? window_versions(&window) : NULL;
    for (size_t i = versions ? versions->elements : 0; i > 0; i--) {
        redisReply *found = entry_read(ctl->redis, redis_number(versions, i - 1));
        const redisReply *item = found && found->elements > 0 ? found->element[0] : NULL;
        if (item && entry_fine(item) && strcmp(entry_field(item, "kind"), "rollback") == 0 &&
            !*entry_field(item, "undoes_window")) {
            printf(": what had moved was set back before, by version %llu (",
                   (unsigned long long)entry_version(item));
            text_print(stdout, entry_field(item, "who"));
            printf(", %s).\n", zone_text(&window.zone, strtoull(entry_field(item, "at"), NULL, 10), when));
            freeReplyObject(found);
            window_free(&window);
            return;
        }
        freeReplyObject(found);
    }
    puts(": nothing had moved.");
    window_free(&window);
}

/* Does a change do more than to say where its cells go next? */
static bool moved_any(const json_t *moves)
{
    size_t i;
    json_t *move;
    json_array_foreach(json_object_get(moves, "moves"), i, move)
    {
        if (strcmp(json_member(move, "from"), json_member(move, "to")) != 0 ||
            strcmp(json_member(move, "from_state"), json_member(move, "state")) != 0) {
            return true;
        }
    }
    return false;
}

enum ctl_exit run_window_rollback(struct ctl *ctl)
{
    struct sent sent = {0};
    enum ctl_exit fine = check_not_back(ctl);
    if (fine != CTL_DONE) {
        return fine;
    }
    json_t *request = window_request(ctl, "rollback");
    enum ctl_exit code = request ? window_send(ctl, request, &sent) : CTL_USAGE;
    if (code == CTL_DONE) {
        json_t *moves = change_moves_made(sent.reply, ANSWER_LINES);
        sent.changed = sent.reply->elements > ANSWER_LINES;
        if (!ctl->options.json) {
            printf("Window %s is rolled back", ctl->args[0]);
        }
        if (!ctl->options.json && !moved_any(moves)) {
            print_nothing_back(ctl);
        } else if (!ctl->options.json) {
            puts(":");
        }
        if (sent.changed) {
            change_show(ctl, moves, &sent);
        }
        json_decref(moves);
        code = window_wait(ctl, &sent);
    }
    freeReplyObject(sent.reply);
    return code;
}
