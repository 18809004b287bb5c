/* See guards.h. */
#include "routing/ctl/guards.h"

#include <stdlib.h>
#include <string.h>

#include "routing/ctl/commands.h"
#include "routing/ctl/output.h"

/* --- the options ---------------------------------------------------------------------------------------- */

enum { PERCENT_MAX = 100 };

static bool wants_guard(const struct options *options)
{
    return options->guard_errors > 0 || options->guard_mo_ms > 0 || options->guard_receipt_ms > 0 ||
           options->guard_leg_lost;
}

static void put_number(json_t *guard, const char *name, unsigned value)
{
    if (value > 0) {
        json_put(guard, name, json_integer(value));
    }
}

/* Was one given that says how a guard works, rather than what it watches for? */
static const char *option_without_guard(const struct options *options)
{
    static const enum option_id how[] = {OPT_GUARD_ACTION, OPT_GUARD_MIN, OPT_GUARD_FOR};
    for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
        if (options->given & OPTION_BIT(how[i])) {
            return option_table[how[i]].name;
        }
    }
    return NULL;
}

static const char *action_of(const struct options *options)
{
    return options->guard_action ? options->guard_action : "alert";
}

/* All that Redis would refuse, said before anybody is asked anything. */
static bool guard_fine(struct ctl *ctl)
{
    const struct options *options = &ctl->options;
    const char *alone = wants_guard(options) ? NULL : option_without_guard(options);
    if (strcmp(action_of(options), "rollback") != 0 && strcmp(action_of(options), "alert") != 0) {
        ctl_fail(ctl, CTL_USAGE, NULL, "--guard-action is alert or rollback");
    } else if (alone) {
        ctl_fail(ctl, CTL_USAGE,
                 "Give it one or more of --guard-errors, --guard-mo-within, --guard-receipt-within and "
                 "--guard-leg-lost.",
                 "--%s alone is no guard: a guard needs something to watch for", alone);
    } else if (options->guard_errors > PERCENT_MAX ||
               (options->guard_errors == 0 && (options->given & OPTION(GUARD_ERRORS)))) {
        ctl_fail(ctl, CTL_USAGE, NULL, "--guard-errors is a number of percentage points from 1 to %d",
                 PERCENT_MAX);
    } else if (wants_guard(options) && options->guard_min == 0) {
        ctl_fail(ctl, CTL_USAGE, NULL, "--guard-min is a number from 1 on");
    } else {
        return true;
    }
    return false;
}

bool guards_request(struct ctl *ctl, json_t *request)
{
    const struct options *options = &ctl->options;
    const char *action = action_of(options);
    if (!guard_fine(ctl)) {
        return false;
    }
    if (!wants_guard(options)) {
        return true;
    }
    json_t *guard = need(json_object());
    put_number(guard, "errors", options->guard_errors);
    put_number(guard, "min", options->guard_min);
    put_number(guard, "mo_within_ms", options->guard_mo_ms);
    put_number(guard, "receipt_within_ms", options->guard_receipt_ms);
    put_number(guard, "for_ms", options->guard_for_ms);
    if (options->guard_leg_lost) {
        json_put(guard, "leg_lost", json_true());
    }
    json_put(guard, "action", json_text(action));
    json_put(request, "guard", guard);
    return true;
}

/* --- lists ---------------------------------------------------------------------------------------------- */

/* "5001 spark", "5001 spark and 12 more". */
static void print_cells(struct grid *grid, const struct rail *rail)
{
    const struct rail_cell *cell = &rail->cells[0];
    if (rail->cells_count > 1) {
        grid_cell(grid, "%s %s and %zu more", cell->shortcode, cell->carrier, rail->cells_count - 1);
    } else {
        grid_cell(grid, "%s %s", cell->shortcode, cell->carrier);
    }
}

static void print_left(struct grid *grid, const struct board *board, const struct rail *rail)
{
    char age[AGE_TEXT_SIZE];
    if (rail->ended_ms > 0) {
        grid_cell(grid, "ended");
    } else {
        grid_cell(grid, "%s",
                  age_text(rail->until_ms > board->now_ms ? rail->until_ms - board->now_ms : 0, age));
    }
}

void guards_print(const struct board *board, size_t most)
{
    static const struct column columns[] = {{"GUARD", true}, {"CELLS", false},   {"ACTION", false},
                                            {"LEFT", true},  {"VERDICT", false}, {"WHY", false}};
    struct grid *grid = grid_new(columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < board->guards_count && i < most; i++) {
        const struct board_guard *guard = &board->guards[i];
        grid_cell(grid, "%s", guard->rail.id);
        print_cells(grid, &guard->rail);
        grid_cell(grid, "%s", guard->rail.roll_back ? "rollback" : "alert");
        print_left(grid, board, &guard->rail);
        grid_cell(grid, "%s", rail_verdict_name(guard->verdict));
        grid_cell(grid, "%s", guard->what);
    }
    if (board->guards_count > 0) {
        grid_print(grid, stdout, "");
    }
    grid_free(grid);
}

static uint64_t number_of(const json_t *object, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(object, name));
    return value > 0 ? (uint64_t)value : 0;
}

static void print_outcome(struct grid *grid, const json_t *alarm)
{
    const char *outcome = json_member(alarm, "outcome");
    if (number_of(alarm, "rollback_version") > 0) {
        grid_cell(grid, "rolled back by version %llu%s",
                  (unsigned long long)number_of(alarm, "rollback_version"),
                  json_object_get(alarm, "left") ? ", not all" : "");
    } else {
        grid_cell(grid, "%s", strcmp(outcome, "could_not_roll_back") == 0 ? "could not roll back" : outcome);
    }
}

void alarms_print(const struct board *board, size_t most, bool open_only)
{
    static const struct column columns[] = {
        {"ALARM", true}, {"WHEN", false}, {"OUTCOME", false}, {"ACKNOWLEDGED BY", false}, {"WHAT", false}};
    struct grid *grid = grid_new(columns, sizeof columns / sizeof *columns);
    size_t i;
    size_t shown = 0;
    json_t *alarm;
    json_array_foreach(board->alarms, i, alarm)
    {
        char when[TIME_TEXT_SIZE];
        const json_t *acknowledged = json_object_get(alarm, "acknowledged");
        if (shown == most || (open_only && acknowledged)) {
            continue;
        }
        shown++;
        grid_cell(grid, "%s", json_member(alarm, "id"));
        grid_cell(grid, "%s", time_text(number_of(alarm, "at_ms"), when));
        print_outcome(grid, alarm);
        grid_cell(grid, "%s", acknowledged ? json_member(acknowledged, "who") : "");
        grid_cell(grid, "%s", json_member(alarm, "what"));
    }
    if (shown > 0) {
        grid_print(grid, stdout, "");
    }
    grid_free(grid);
}

bool alarm_of_window(const json_t *alarm, const char *name)
{
    return !json_object_get(alarm, "acknowledged") && strcmp(json_member(alarm, "window"), name) == 0;
}

size_t alarms_of_window(const json_t *alarms, const char *name)
{
    size_t count = 0;
    size_t i;
    json_t *alarm;
    json_array_foreach(alarms, i, alarm)
    {
        count += alarm_of_window(alarm, name);
    }
    return count;
}

/* --- the commands --------------------------------------------------------------------------------------- */

/* All shortcodes of the guards that watch, for their evidence. */
static bool read_guarded(struct ctl *ctl, struct board *board)
{
    return ctl_redis(ctl) && board_read_guards(ctl->redis, board) &&
           (board->guards_count == 0 || board_read_evidence(ctl->redis, board, NULL, 0));
}

enum ctl_exit run_guards(struct ctl *ctl)
{
    struct board board = {0};
    enum ctl_exit code = read_guarded(ctl, &board) ? CTL_DONE : ctl_redis_failed(ctl);
    if (code == CTL_DONE) {
        ctl_answer(ctl, "guards", board_guards_json(&board));
    }
    if (code == CTL_DONE && !ctl->options.json) {
        guards_print(&board, ctl->options.last);
        if (board.guards_count == 0) {
            puts("No flip has a guard.");
        }
    }
    board_free(&board);
    return code;
}

enum ctl_exit run_alarms(struct ctl *ctl)
{
    struct board board = {0};
    bool fine = ctl_redis(ctl) && board_read_guards(ctl->redis, &board);
    enum ctl_exit code = fine ? CTL_DONE : ctl_redis_failed(ctl);
    if (code == CTL_DONE) {
        ctl_answer(ctl, "alarms", json_incref(board.alarms));
    }
    if (code == CTL_DONE && !ctl->options.json) {
        alarms_print(&board, ctl->options.last, false);
        if (json_array_size(board.alarms) == 0) {
            puts("No alarm was raised.");
        }
    }
    board_free(&board);
    return code;
}

static enum ctl_exit acknowledged(struct ctl *ctl, const redisReply *reply)
{
    const char *outcome = redis_text(reply, 0);
    if (strcmp(outcome, "ok") == 0) {
        if (!ctl->options.json) {
            printf("Alarm %s is acknowledged.\n", ctl->args[0]);
        }
        return CTL_DONE;
    }
    if (strcmp(outcome, "nothing") == 0) {
        return ctl_fail(ctl, CTL_NOT_FOUND, "\"turnoutctl alarms\" shows them all.",
                        "there is no alarm %s that waits to be acknowledged", ctl->args[0]);
    }
    return ctl_fail(ctl, CTL_INVALID, NULL, "%s", redis_text(reply, 2));
}

enum ctl_exit run_alarms_ack(struct ctl *ctl)
{
    json_t *request = need(json_object());
    json_put(request, "id", json_text(ctl->args[0]));
    json_put(request, "who", json_text(ctl_who(ctl)));
    json_put(request, "why", json_text(ctl->options.why ? ctl->options.why : ""));
    char *text = need(json_dumps(request, JSON_COMPACT));
    const char *const args[] = {text};
    redisReply *reply = ctl_redis(ctl) ? redis_function(ctl->redis, "turnout_alarm_ack", args, 1) : NULL;
    enum ctl_exit code = reply ? acknowledged(ctl, reply) : ctl_redis_failed(ctl);
    ctl_answer(ctl, "id", json_text(ctl->args[0]));
    freeReplyObject(reply);
    free(text);
    json_decref(request);
    return code;
}
