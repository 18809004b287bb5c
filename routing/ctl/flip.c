/* flip: what each shortcode's cell is now ──▶ one request that names it ──apply──▶ change and barrier.
 *
 * The request says what this command believes to be there, so that somebody else's change in between is met
 * as a conflict, and not undone unseen. With --strict it goes by way of hold: strict.c. */
#include <string.h>

#include "routing/ctl/apply.h"
#include "routing/ctl/cells.h"
#include "routing/ctl/commands.h"
#include "routing/ctl/output.h"
#include "routing/ctl/preflight.h"
#include "routing/ctl/route.h"
#include "routing/ctl/strict.h"

/* A shortcode without a row is served by the default row, so --from speaks of that one. */
static enum ctl_exit fail_not_from(struct ctl *ctl, const char *shortcode, const struct cell *standard)
{
    return ctl_fail(ctl, CTL_CONFLICT, "Look at \"turnoutctl route list\".",
                    "nothing was changed: %s %s was expected on %s, and the default row * has %s", shortcode,
                    ctl->options.carrier, ctl->options.from,
                    *standard->platform ? standard->platform : "no platform for it");
}

static enum ctl_exit add_new(struct ctl *ctl, json_t *request, const char *shortcode)
{
    struct cell standard;
    const char *from = ctl->options.from;
    if (!route_read_cell(ctl, "*", &standard)) {
        return ctl_redis_failed(ctl);
    }
    if (!ctl->options.create) {
        return route_fail_no_row(ctl, shortcode, "With --create it is given a row of its own.");
    }
    if (from && strcmp(from, standard.platform) != 0) {
        return fail_not_from(ctl, shortcode, &standard);
    }
    struct move move = {shortcode, ctl->options.carrier, ctl->options.to, NULL, "", "", 0};
    request_move(request, &move);
    return CTL_DONE;
}

static enum ctl_exit add_shortcode(struct ctl *ctl, json_t *request, const struct cell *cell)
{
    const char *from = ctl->options.from;
    if (!*cell->platform) {
        return add_new(ctl, request, cell->shortcode);
    }
    struct move move = {.shortcode = cell->shortcode,
                        .carrier = ctl->options.carrier,
                        .to = ctl->options.to,
                        .from = from ? from : cell->platform,
                        .from_state = from ? NULL : route_state_name(cell->state)};
    request_move(request, &move);
    return CTL_DONE;
}

/* Takes the request over. */
static enum ctl_exit flip_at_once(struct ctl *ctl, json_t *request)
{
    struct cells cells = {0};
    enum ctl_exit code = route_read_args(ctl, &cells) ? CTL_DONE : ctl_redis_failed(ctl);
    for (size_t i = 0; i < cells.count && code == CTL_DONE; i++) {
        code = add_shortcode(ctl, request, &cells.items[i]);
    }
    cells_free(&cells);
    if (code == CTL_DONE && !ctl->options.force) {
        code = preflight_before(ctl, json_object_get(request, "moves"));
    }
    if (code == CTL_DONE && ctl_stopped()) {
        code = ctl_fail(ctl, CTL_FAILED, NULL, "stopped before anything was changed");
    }
    if (code != CTL_DONE) {
        json_decref(request);
        return code;
    }
    return apply(ctl, "turnout_change", request);
}

static enum ctl_exit check_strict(struct ctl *ctl)
{
    if (ctl->options.create) {
        return ctl_fail(ctl, CTL_USAGE, "Give the shortcode a row first: turnoutctl route set.",
                        "--strict and --create do not go together: there is no row to hold");
    }
    if (ctl->options.no_wait) {
        return ctl_fail(ctl, CTL_USAGE, NULL, "--strict and --no-wait do not go together");
    }
    return CTL_DONE;
}

enum ctl_exit run_flip(struct ctl *ctl)
{
    bool strict = ctl->options.strict;
    bool names_fine = route_names_fine(ctl) && (!strict || check_strict(ctl) == CTL_DONE);
    json_t *request = names_fine ? request_new(ctl, "flip") : NULL;
    if (!request) {
        return CTL_USAGE;
    }
    route_sort_shortcodes(ctl);
    ctl_catch_signals();
    ctl->options.any_link = ctl->options.any_link || ctl->options.force;
    bool nothing_to_hold = false;
    enum ctl_exit code = ctl_redis(ctl) ? CTL_DONE : ctl_redis_failed(ctl);
    if (code == CTL_DONE && strict) {
        code = strict_flip(ctl, &nothing_to_hold);
    }
    if (code == CTL_DONE && (nothing_to_hold || !strict)) {
        return flip_at_once(ctl, request);
    }
    json_decref(request);
    return code;
}
