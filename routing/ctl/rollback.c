/* rollback: a change, set back in one change.
 *
 *   --version, or the newest entry (of the shortcodes) ──▶ turnout_rollback: every cell back to what was
 * before, where it is still what that change made of it └──▶ change and barrier, as with flip
 */
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/apply.h"
#include "routing/ctl/command_line.h"
#include "routing/ctl/commands.h"
#include "routing/ctl/entry.h"
#include "routing/ctl/output.h"
#include "routing/ctl/route.h"

enum { PAGE = 100, PAGE_OF_ANY = 10 };

/* Where the lines of the moves begin in an answer. */
enum { UNDONE_LINES = 3 };

/* The change to undo, as the log has it. */
struct undone {
    uint64_t version; /* 0: there is none */
    uint64_t at_ms;
    bool rollback;
    char kind[16];
    char *who;
    char *
        passed; /* the newest that was passed over, as it moved nothing: "version 7 (window by alice, ...)"; or NULL */
};

/* A change that says no more than where its cells go next (a window that starts, or ends) moves nothing. */
static bool moves_anything(const struct change *change)
{
    for (size_t i = 0; i < change->moves_count; i++) {
        const struct change_move *move = &change->moves[i];
        if (strcmp(move->from, move->to) != 0 || move->from_state != move->state) {
            return true;
        }
    }
    return false;
}

static bool moves_one_of(const struct ctl *ctl, const struct change *change)
{
    for (size_t i = 0; i < change->moves_count; i++) {
        for (int j = 0; j < ctl->args_count; j++) {
            if (strcmp(change->moves[i].shortcode, ctl->args[j]) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Has the entry to do with the arguments, and moved something? A restore has, with all; and one that cannot be
 * understood may have. */
static bool concerns(const struct ctl *ctl, const redisReply *item)
{
    const char *reason;
    struct change *change = entry_change(item, &reason);
    bool does = !change || change->restore ||
                (moves_anything(change) && (ctl->args_count == 0 || moves_one_of(ctl, change)));
    change_free(change);
    return does;
}

static void pass_over(struct undone *undone, const redisReply *item)
{
    char when[TIME_TEXT_SIZE];
    uint64_t at_ms = strtoull(entry_field(item, "at"), NULL, 10);
    if (!undone->passed &&
        asprintf(&undone->passed, "version %llu (%s by %s, %s)", (unsigned long long)entry_version(item),
                 entry_field(item, "kind"), entry_field(item, "who"), time_text(at_ms, when)) < 0) {
        undone->passed = need(NULL);
    }
}

static void take_entry(struct undone *undone, const redisReply *item)
{
    undone->version = entry_version(item);
    undone->at_ms = strtoull(entry_field(item, "at"), NULL, 10);
    undone->who = need(strdup(entry_field(item, "who")));
    snprintf(undone->kind, sizeof undone->kind, "%s", entry_field(item, "kind"));
    undone->rollback = strcmp(undone->kind, "rollback") == 0;
}

/* The newest change that has to do with the arguments. False where a call failed. */
static bool find_last(struct ctl *ctl, struct undone *undone)
{
    char upto[40] = "+";
    size_t count = 1;
    while (count > 0 && undone->version == 0) {
        char size[16];
        snprintf(size, sizeof size, "%d", ctl->args_count > 0 ? PAGE : PAGE_OF_ANY);
        const char *const range[] = {"XREVRANGE", redis_key(ctl->redis, "changes"), upto, "-", "COUNT", size};
        redisReply *page = redis_call(ctl->redis, range, 6);
        if (!page) {
            return false;
        }
        count = page->elements;
        for (size_t i = 0; i < count && undone->version == 0; i++) {
            const redisReply *item = page->element[i];
            if (entry_fine(item) && concerns(ctl, item)) {
                take_entry(undone, item);
            } else if (entry_fine(item) && ctl->args_count == 0) {
                pass_over(undone, item);
            }
            snprintf(upto, sizeof upto, "(%s", redis_text(item, 0));
        }
        freeReplyObject(page);
    }
    return true;
}

static bool find_version(struct ctl *ctl, struct undone *undone)
{
    redisReply *found = entry_read(ctl->redis, ctl->options.version);
    bool fine = found != NULL;
    if (fine && found->elements > 0 && entry_fine(found->element[0])) {
        take_entry(undone, found->element[0]);
    } else {
        undone->version = ctl->options.version; /* Redis will say that it is not there */
    }
    freeReplyObject(found);
    return fine;
}

/* Whoever gives "rollback" twice does not mean to go forward again. */
static enum ctl_exit check_last(struct ctl *ctl, const struct undone *undone)
{
    char when[TIME_TEXT_SIZE];
    char words[64];
    if (undone->version == 0) {
        return ctl_fail(ctl, CTL_NOT_FOUND, "\"turnoutctl log\" shows the changes.",
                        "there is no change to undo");
    }
    if (!undone->rollback || ctl->options.version > 0) {
        return CTL_DONE;
    }
    snprintf(words, sizeof words, "rollback --version %llu", (unsigned long long)undone->version);
    char *command = command_line_for(ctl, words, ctl->args, ctl->args_count, OPTION(AS));
    enum ctl_exit code =
        ctl_fail(ctl, CTL_CONFLICT, NULL,
                 "nothing was changed: the last change, version %llu by %s, %s, is a rollback "
                 "itself. To undo that: %s",
                 (unsigned long long)undone->version, undone->who, time_text(undone->at_ms, when), command);
    free(command);
    return code;
}

static json_t *rollback_request(struct ctl *ctl, const struct undone *undone)
{
    json_t *request = request_new(ctl, "rollback");
    if (!request) {
        return NULL;
    }
    json_object_del(request, "moves");
    json_put(request, "version", json_integer((json_int_t)undone->version));
    json_put(request, "force", json_boolean(ctl->options.force));
    json_t *shortcodes = need(json_array());
    for (int i = 0; i < ctl->args_count; i++) {
        json_array_append_new(shortcodes, json_text(ctl->args[i]));
    }
    if (ctl->args_count > 0) {
        json_put(request, "shortcodes", shortcodes);
    } else {
        json_decref(shortcodes);
    }
    return request;
}

/* Somebody who goes back from a change made on hold may think that messages flow again. */
static void warn_not_open(const json_t *request)
{
    size_t i;
    json_t *move;
    size_t count = 0;
    json_array_foreach(json_object_get(request, "moves"), i, move)
    {
        const char *state = json_member(move, "state");
        count += *state && strcmp(state, "open") != 0;
    }
    if (count > 0) {
        printf("%zu of them %s not open, as before that change: see turnoutctl route open.\n", count,
               count == 1 ? "is" : "are");
    }
}

static void show(struct ctl *ctl, const struct undone *undone, const struct sent *sent)
{
    char when[TIME_TEXT_SIZE];
    json_t *request = change_moves_made(sent->changed ? sent->reply : NULL, UNDONE_LINES);
    ctl_answer(ctl, "undoes", json_integer((json_int_t)undone->version));
    if (!ctl->options.json && undone->passed) {
        char *text = NULL;
        int len = asprintf(&text, "The last change, %s, moved nothing; the last that did is version %llu.",
                           undone->passed, (unsigned long long)undone->version);
        text_wrap(stdout, "", text_clean(need(len < 0 ? NULL : text)));
        free(text);
    }
    if (!ctl->options.json && sent->changed) {
        printf("Version %llu undoes version %llu (%s by ", (unsigned long long)sent->version,
               (unsigned long long)undone->version, undone->kind);
        text_print(stdout, undone->who);
        printf(", %s):\n", time_text(undone->at_ms, when));
    }
    change_show(ctl, request, sent);
    if (!ctl->options.json) {
        warn_not_open(request);
    }
    json_decref(request);
}

static enum ctl_exit undo(struct ctl *ctl, const struct undone *undone)
{
    struct sent sent;
    json_t *request = rollback_request(ctl, undone);
    if (!request) {
        return CTL_USAGE;
    }
    enum ctl_exit code = change_send(ctl, "turnout_rollback", request, &sent);
    if (code == CTL_DONE) {
        show(ctl, undone, &sent);
        code = change_wait(ctl, &sent);
    }
    freeReplyObject(sent.reply);
    json_decref(request);
    return code;
}

/* The same as window rollback. */
static enum ctl_exit rollback_window(struct ctl *ctl)
{
    char *name = need(strdup(ctl->options.window));
    char **args = need(calloc(2, sizeof *args));
    if (ctl->args_count > 0 || ctl->options.version > 0) {
        free(name);
        free(args);
        return ctl_fail(ctl, CTL_USAGE, NULL,
                        "--window is the whole window: neither SHORTCODEs nor --version go with it");
    }
    args[0] = name;
    free(ctl->args);
    ctl->args = args;
    ctl->args_count = 1;
    enum ctl_exit code = run_window_rollback(ctl);
    free(name);
    return code;
}

enum ctl_exit run_rollback(struct ctl *ctl)
{
    struct undone undone = {0};
    if (ctl->options.window) {
        return rollback_window(ctl);
    }
    if (!route_names_fine(ctl)) {
        return CTL_USAGE;
    }
    route_sort_shortcodes(ctl);
    bool found =
        ctl_redis(ctl) && (ctl->options.version > 0 ? find_version(ctl, &undone) : find_last(ctl, &undone));
    enum ctl_exit code = found ? check_last(ctl, &undone) : ctl_redis_failed(ctl);
    if (code == CTL_DONE) {
        code = undo(ctl, &undone);
    }
    free(undone.who);
    free(undone.passed);
    return code;
}
