/* flip: what each shortcode's cell is now ──▶ one request that names it ──apply──▶ change and barrier.
 *
 * The request says what this command believes to be there, so that somebody else's change in between is met
 * as a conflict, and not undone unseen. */
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/apply.h"
#include "routing/ctl/cells.h"
#include "routing/ctl/commands.h"
#include "routing/ctl/output.h"
#include "routing/ctl/route.h"

/* Reads one cell; its platform is "" where there is none. False where the call failed. */
static bool read_cell(struct ctl *ctl, const char *shortcode, struct cell *cell)
{
    const char *const get[] = {"HGET", redis_key(ctl->redis, "route:%s", shortcode), ctl->options.carrier};
    memset(cell, 0, sizeof *cell);
    redisReply *reply = redis_call(ctl->redis, get, 3);
    bool fine = reply != NULL;
    if (fine && reply->str && !cell_parse(cell, reply->str)) {
        memset(cell, 0, sizeof *cell);
    }
    freeReplyObject(reply);
    return fine;
}

static enum ctl_exit fail_no_row(struct ctl *ctl, const char *shortcode, const struct cell *standard)
{
    const char *advice = "With --create it is given a row of its own.";
    if (*standard->platform) {
        return ctl_fail(ctl, CTL_NOT_FOUND, advice,
                        "%s has no row of its own for %s: the default row * sends it to %s", shortcode,
                        ctl->options.carrier, standard->platform);
    }
    return ctl_fail(ctl, CTL_NOT_FOUND, advice, "%s has no row for %s, nor has the default row *", shortcode,
                    ctl->options.carrier);
}

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
    if (!read_cell(ctl, "*", &standard)) {
        return ctl_redis_failed(ctl);
    }
    if (!ctl->options.create) {
        return fail_no_row(ctl, shortcode, &standard);
    }
    if (from && strcmp(from, standard.platform) != 0) {
        return fail_not_from(ctl, shortcode, &standard);
    }
    struct move move = {shortcode, ctl->options.carrier, ctl->options.to, NULL, "", ""};
    request_move(request, &move);
    return CTL_DONE;
}

static enum ctl_exit add_shortcode(struct ctl *ctl, json_t *request, const char *shortcode)
{
    struct cell cell;
    const char *from = ctl->options.from;
    if (!read_cell(ctl, shortcode, &cell)) {
        return ctl_redis_failed(ctl);
    }
    if (!*cell.platform) {
        return add_new(ctl, request, shortcode);
    }
    struct move move = {.shortcode = shortcode,
                        .carrier = ctl->options.carrier,
                        .to = ctl->options.to,
                        .from = from ? from : cell.platform,
                        .from_state = from ? NULL : route_state_name(cell.state)};
    request_move(request, &move);
    return CTL_DONE;
}

static int by_text(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Sorts the shortcodes; one that is named twice counts once. */
static void sort_shortcodes(struct ctl *ctl)
{
    int kept = 0;
    qsort(ctl->args, (size_t)ctl->args_count, sizeof *ctl->args, by_text);
    for (int i = 0; i < ctl->args_count; i++) {
        if (kept == 0 || strcmp(ctl->args[kept - 1], ctl->args[i]) != 0) {
            ctl->args[kept++] = ctl->args[i];
        }
    }
    ctl->args_count = kept;
}

enum ctl_exit run_flip(struct ctl *ctl)
{
    json_t *request = route_names_fine(ctl) ? request_new(ctl, "flip") : NULL;
    if (!request) {
        return CTL_USAGE;
    }
    sort_shortcodes(ctl);
    enum ctl_exit code = ctl_redis(ctl) ? CTL_DONE : ctl_redis_failed(ctl);
    for (int i = 0; i < ctl->args_count && code == CTL_DONE; i++) {
        code = add_shortcode(ctl, request, ctl->args[i]);
    }
    if (code != CTL_DONE) {
        json_decref(request);
        return code;
    }
    return apply(ctl, "turnout_change", request);
}
