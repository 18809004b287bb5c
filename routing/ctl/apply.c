/* See apply.h. */
#include "routing/ctl/apply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/ask.h"
#include "routing/ctl/barrier.h"
#include "routing/ctl/guards.h"
#include "routing/ctl/links.h"
#include "routing/ctl/command_line.h"
#include "routing/ctl/commands.h"
#include "routing/ctl/output.h"
#include "routing/ctl/redis.h"
#include "routing/ctl/replicas.h"

/* A large import keeps Redis busy for a while, and must not be given up half way. */
enum { CHANGE_MS = 60000, LINES_SHOWN = 20 };

static bool put_text(struct ctl *ctl, json_t *request, const char *name, const char *text)
{
    json_t *value = json_string(text ? text : "");
    if (!value) {
        ctl_fail(ctl, CTL_USAGE, NULL, "--%s is not valid UTF-8", strcmp(name, "who") == 0 ? "as" : name);
        return false;
    }
    json_put(request, name, value);
    return true;
}

/* What is recorded of how the change is made: instances left out of the barrier, a flip without preflight. */
static void put_how(const struct ctl *ctl, json_t *request)
{
    if (ctl->options.without.count > 0) {
        json_put(request, "without", ask_without(ctl));
    }
    if (ctl->options.force && strcmp(json_member(request, "kind"), "flip") == 0) {
        json_put(request, "forced", json_true());
    }
}

json_t *request_new(struct ctl *ctl, const char *kind)
{
    json_t *request = need(json_object());
    json_put(request, "kind", json_text(kind));
    json_put(request, "moves", json_array());
    if (!put_text(ctl, request, "who", ctl_who(ctl)) || !put_text(ctl, request, "why", ctl->options.why) ||
        !put_text(ctl, request, "ticket", ctl->options.ticket)) {
        json_decref(request);
        return NULL;
    }
    put_how(ctl, request);
    if (ctl->options.confirm_within_ms > 0) {
        json_put(request, "confirm_within_ms", json_integer(ctl->options.confirm_within_ms));
    }
    if (ctl->options.outside_window) {
        json_put(request, "outside_window", json_true());
    }
    if (ctl->options.window) {
        json_put(request, "window", json_text(ctl->options.window));
    }
    if (strcmp(kind, "flip") == 0 && !guards_request(ctl, request)) {
        json_decref(request);
        return NULL;
    }
    return request;
}

static void put_given(json_t *object, const char *name, const char *text)
{
    if (text) {
        json_put(object, name, json_text(text));
    }
}

void request_move(json_t *request, const struct move *move)
{
    json_t *object = need(json_object());
    put_given(object, "shortcode", move->shortcode);
    put_given(object, "carrier", move->carrier);
    put_given(object, "to", move->to);
    put_given(object, "state", *move->to ? (move->state ? move->state : "open") : NULL);
    put_given(object, "from", move->from);
    put_given(object, "from_state", move->from_state);
    if (move->from_version > 0) {
        json_put(object, "from_version", json_integer((json_int_t)move->from_version));
    }
    if (json_array_append_new(json_object_get(request, "moves"), object) != 0) {
        need(NULL);
    }
}

/* --- what was asked for ------------------------------------------------------------------------------------
 */

static void print_move(const json_t *move)
{
    const char *from = json_member(move, "from");
    const char *to = json_member(move, "to");
    bool number = strcmp(json_member(move, "carrier"), NUMBER_NAME) == 0;
    printf("%s%s%s: ", json_member(move, "shortcode"), number ? "" : " ",
           number ? "" : json_member(move, "carrier"));
    if (*from && strcmp(from, to) != 0) {
        printf("%s -> ", from);
    }
    if (*to) {
        printf("%s%s%s\n", to, number ? "" : ", ", number ? "" : json_member(move, "state"));
    } else {
        puts("removed");
    }
}

static void print_moves(const json_t *request)
{
    const json_t *moves = json_object_get(request, "moves");
    size_t count = json_array_size(moves);
    for (size_t i = 0; i < count && i < LINES_SHOWN; i++) {
        print_move(json_array_get(moves, i));
    }
    if (count > LINES_SHOWN) {
        printf("and %zu more\n", count - LINES_SHOWN);
    }
}

/* As the other commands show moves: no row is null, and not "". */
static json_t *moves_json(const json_t *request)
{
    json_t *moves = need(json_deep_copy(json_object_get(request, "moves")));
    size_t i;
    json_t *move;
    json_array_foreach(moves, i, move)
    {
        const char *name;
        json_t *value;
        json_object_foreach(move, name, value)
        {
            const char *text = json_string_value(value);
            if (text && *text == '\0') {
                json_put(move, name, json_null());
            }
        }
    }
    return moves;
}

/* --- the answers that changed nothing ----------------------------------------------------------------------
 */

/* The words of "shortcode carrier is-platform is-state wanted-platform wanted-state", and behind them, where
 * it is known, the change that set it so: "version at_ms who". */
struct conflict {
    char *words[6];
    uint64_t version, at_ms;
    const char *who; /* NULL: not known */
};

static bool conflict_parse(char *line, struct conflict *conflict)
{
    memset(conflict, 0, sizeof *conflict);
    for (int i = 0; i < 6; i++) {
        conflict->words[i] = strsep(&line, " ");
        if (!conflict->words[i]) {
            return false;
        }
    }
    const char *version = line ? strsep(&line, " ") : NULL;
    const char *at = line ? strsep(&line, " ") : NULL;
    if (line) {
        conflict->version = strtoull(version, NULL, 10);
        conflict->at_ms = strtoull(at, NULL, 10);
        conflict->who = line;
    }
    return true;
}

/* A line's "-" (no row) becomes null; what was not expected to be anything ("*") is left out. */
static json_t *conflict_json(const struct conflict *conflict)
{
    char *const *words = conflict->words;
    static const char *const names[] = {"shortcode", "carrier",  "is",
                                        "is_state",  "expected", "expected_state"};
    json_t *object = need(json_object());
    for (int i = 0; i < 6; i++) {
        if (i < 2 || strcmp(words[i], "*") != 0) {
            bool none = i >= 2 && strcmp(words[i], "-") == 0;
            json_put(object, names[i], none ? json_null() : json_text(words[i]));
        }
    }
    if (conflict->who) {
        json_put(object, "version", json_integer((json_int_t)conflict->version));
        json_put(object, "at_ms", json_integer((json_int_t)conflict->at_ms));
        json_put(object, "who", json_text(conflict->who));
    }
    return object;
}

static void print_side(const char *label, const char *platform, const char *state)
{
    if (strcmp(platform, "-") == 0) {
        fprintf(stderr, "%s no row", label);
    } else {
        fprintf(stderr, "%s %s", label, strcmp(platform, "*") == 0 ? "any platform" : platform);
        if (strcmp(state, "*") != 0) {
            fprintf(stderr, " (%s)", state);
        }
    }
}

static void print_conflict(const struct conflict *conflict)
{
    char *const *words = conflict->words;
    char when[TIME_TEXT_SIZE];
    fprintf(stderr, "  %s %s: ", words[0], words[1]);
    print_side("expected", words[4], words[5]);
    bool again = strcmp(words[2], words[4]) == 0 && strcmp(words[3], words[5]) == 0;
    print_side(again ? ", found it changed since, and again" : ", found", words[2], words[3]);
    if (conflict->who) {
        fprintf(stderr, "\n    as set by %s in version %llu, %s", conflict->who,
                (unsigned long long)conflict->version, time_text(conflict->at_ms, when));
    }
    fputc('\n', stderr);
}

/* Only a way back can be forced over somebody else's change. */
static const char *conflict_advice(const struct ctl *ctl)
{
    option_set takes = ctl->command->takes;
    if (strcmp(ctl->command->words, "rollback") == 0) {
        return "Someone changed it since. With --force it is set back all the same; with SHORTCODEs, those "
               "alone.";
    }
    if (takes & OPTION(FROM) && takes & OPTION(TO)) {
        return "See \"turnoutctl status\" and \"turnoutctl log\" for what is there now, and why. Where it is "
               "still "
               "to be moved, give the command again, with --from and the platform that is there now.";
    }
    return "See \"turnoutctl log\" for who changed it; then give the command again.";
}

static enum ctl_exit show_conflict(struct ctl *ctl, const redisReply *reply)
{
    json_t *conflicts = need(json_array());
    enum ctl_exit code = ctl_fail(ctl, CTL_CONFLICT, conflict_advice(ctl),
                                  "nothing was changed: the table (version %llu) is not what was expected",
                                  (unsigned long long)redis_number(reply, 1));
    for (size_t i = 2; i < reply->elements; i++) {
        struct conflict conflict;
        char *line = need(strdup(redis_text(reply, i)));
        if (conflict_parse(text_clean(line), &conflict)) {
            json_array_append_new(conflicts, conflict_json(&conflict));
            if (!ctl->options.json) {
                print_conflict(&conflict);
            }
        }
        free(line);
    }
    ctl_answer(ctl, "conflicts", conflicts);
    return code;
}

static enum ctl_exit show_invalid(struct ctl *ctl, const redisReply *reply)
{
    json_t *reasons = need(json_array());
    enum ctl_exit code =
        ctl_fail(ctl, CTL_INVALID, NULL, "nothing was changed: Redis does not take this change");
    for (size_t i = 2; i < reply->elements; i++) {
        json_array_append_new(reasons, json_text(redis_text(reply, i)));
        if (!ctl->options.json) {
            fputs("  ", stderr);
            text_print(stderr, redis_text(reply, i));
            fputc('\n', stderr);
        }
    }
    ctl_answer(ctl, "errors", reasons);
    return code;
}

/* "shortcode carrier", or "shortcode carrier window state" where it is in one that is not open. */
static json_t *outside_json(const char *line)
{
    char *copy = need(strdup(line));
    char *rest = copy;
    static const char *const names[] = {"shortcode", "carrier", "window", "state"};
    json_t *object = need(json_object());
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *word = strsep(&rest, " ");
        json_put(object, names[i], word ? json_text(word) : json_null());
    }
    free(copy);
    return object;
}

static void print_outside(const json_t *cell)
{
    fprintf(stderr, "  %s %s", json_member(cell, "shortcode"), json_member(cell, "carrier"));
    if (*json_member(cell, "window")) {
        fprintf(stderr, ": window %s is %s", json_member(cell, "window"), json_member(cell, "state"));
    }
    fputc('\n', stderr);
}

static enum ctl_exit show_outside(struct ctl *ctl, const redisReply *reply)
{
    json_t *cells = need(json_array());
    size_t count = reply->elements - 2;
    enum ctl_exit code = ctl_fail(
        ctl, CTL_WINDOW,
        "Start the window that they belong to (turnoutctl window start), or, if you mean it, give the same "
        "command with --outside-window: the log will say so.",
        "nothing was changed: %zu route%s no open window", count, count == 1 ? " belongs to" : "s belong to");
    for (size_t i = 0; i < count; i++) {
        json_t *cell = outside_json(redis_text(reply, i + 2));
        json_array_append_new(cells, cell);
        if (!ctl->options.json && i < LINES_SHOWN) {
            print_outside(cell);
        }
    }
    if (!ctl->options.json && count > LINES_SHOWN) {
        fprintf(stderr, "  and %zu more\n", count - LINES_SHOWN);
    }
    ctl_answer(ctl, "outside", cells);
    return code;
}

/* "state", version, name, state, and the commands that it takes. */
static enum ctl_exit fail_state(struct ctl *ctl, const redisReply *reply)
{
    char takes[160] = "nothing more";
    size_t used = 0;
    for (size_t i = 4; i < reply->elements && used < sizeof takes; i++) {
        used += (size_t)snprintf(takes + used, sizeof takes - used, "%s%s", used > 0 ? ", " : "",
                                 redis_text(reply, i));
    }
    return ctl_fail(ctl, CTL_WINDOW, NULL, "nothing was changed: window %s is %s, and takes: %s",
                    redis_text(reply, 2), redis_text(reply, 3), takes);
}

static enum ctl_exit show_state(struct ctl *ctl, const json_t *request, const redisReply *reply)
{
    const char *state = redis_text(reply, 3);
    bool missing = strcmp(state, "missing") == 0;
    bool create = strcmp(json_member(request, "command"), "create") == 0;
    ctl_answer(ctl, "window_state", missing ? json_null() : json_text(state));
    if (missing) {
        return ctl_fail(ctl, CTL_NOT_FOUND, "See turnoutctl window list.",
                        "nothing was changed: there is no window \"%s\"", redis_text(reply, 2));
    }
    if (create) {
        return ctl_fail(
            ctl, CTL_WINDOW, "Give it another name; or see turnoutctl window show and window add.",
            "nothing was changed: window %s exists already, and is %s", redis_text(reply, 2), state);
    }
    return fail_state(ctl, reply);
}

/* What a window would leave behind if it ended now. */
static enum ctl_exit show_unfinished(struct ctl *ctl, const redisReply *reply)
{
    json_t *left = need(json_array());
    enum ctl_exit code =
        ctl_fail(ctl, CTL_WINDOW, "With --force it ends all the same, and these stay as they are.",
                 "nothing was changed: not all is done");
    for (size_t i = 2; i < reply->elements; i++) {
        json_array_append_new(left, json_text(redis_text(reply, i)));
        if (!ctl->options.json) {
            fprintf(stderr, "  %s\n", redis_text(reply, i));
        }
    }
    ctl_answer(ctl, "unfinished", left);
    return code;
}

/* --- sending -----------------------------------------------------------------------------------------------
 */

void change_show_deadline(struct ctl *ctl, const struct sent *sent)
{
    char when[TIME_TEXT_SIZE];
    if (sent->deadline_ms == 0) {
        return;
    }
    if (ctl->options.json) {
        ctl_answer(ctl, "confirm_by_ms", json_integer((json_int_t)sent->deadline_ms));
        return;
    }
    char *command = command_line(ctl, "confirm", 0);
    printf("It goes back by itself at %s (in %.0f s), unless:\n  %s %llu\n",
           time_text(sent->deadline_ms, when), (double)ctl->options.confirm_within_ms / 1000, command,
           (unsigned long long)sent->version);
    free(command);
}

/* "shortcode carrier from from_state to state previous" as a move; "-" is none. */
static json_t *move_of_line(const char *line)
{
    static const char *const names[] = {"shortcode", "carrier", "from", "from_state", "to", "state"};
    char *copy = need(strdup(line));
    char *rest = copy;
    json_t *move = need(json_object());
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *word = strsep(&rest, " ");
        json_put(move, names[i], json_text(!word || (i >= 2 && strcmp(word, "-") == 0) ? "" : word));
    }
    free(copy);
    return move;
}

json_t *change_moves_made(const redisReply *reply, size_t first)
{
    json_t *request = need(json_object());
    json_t *moves = need(json_array());
    for (size_t i = first; reply && i < reply->elements; i++) {
        json_array_append_new(moves, move_of_line(redis_text(reply, i)));
    }
    json_put(request, "moves", moves);
    return request;
}

void change_show(struct ctl *ctl, const json_t *request, const struct sent *sent)
{
    if (ctl->options.json) {
        ctl_answer(ctl, "moves", moves_json(request));
    } else if (sent->changed) {
        print_moves(request);
    } else {
        puts("The table says so already: nothing was changed.");
    }
    change_show_deadline(ctl, sent);
}

enum ctl_exit change_wait(struct ctl *ctl, const struct sent *sent)
{
    enum ctl_exit code = sent->changed ? CTL_DONE : CTL_UNCHANGED;
    if (ctl->options.no_wait) {
        if (!ctl->options.json) {
            printf("Version %llu; not waited for the instances.\n", (unsigned long long)sent->version);
        }
        return code;
    }
    struct barrier barrier;
    barrier_wait(ctl, sent->version, sent->at_us, &barrier);
    code = barrier_report(ctl, &barrier, code);
    barrier_free(&barrier);
    return replicas_wait(ctl, sent->version, sent->at_us, code);
}

static enum ctl_exit show_missing(struct ctl *ctl, const redisReply *reply)
{
    return ctl_fail(ctl, CTL_NOT_FOUND, "\"turnoutctl log\" shows the changes.", "nothing was changed: %s",
                    redis_text(reply, 2));
}

/* What was answered, where it is no refusal. */
static enum ctl_exit take_answer(struct ctl *ctl, const json_t *request, struct sent *sent)
{
    const redisReply *reply = sent->reply;
    const char *word = redis_text(reply, 0);
    sent->version = redis_number(reply, 1);
    sent->changed = strcmp(word, "ok") == 0;
    ctl_answer(ctl, "version", json_integer((json_int_t)sent->version));
    if (strcmp(word, "conflict") == 0) {
        return show_conflict(ctl, reply);
    }
    if (strcmp(word, "missing") == 0) {
        return show_missing(ctl, reply);
    }
    if (strcmp(word, "outside") == 0) {
        return show_outside(ctl, reply);
    }
    if (strcmp(word, "unfinished") == 0) {
        return show_unfinished(ctl, reply);
    }
    if (strcmp(word, "state") == 0) {
        return show_state(ctl, request, reply);
    }
    if (!sent->changed && strcmp(word, "unchanged") != 0) {
        return show_invalid(ctl, reply);
    }
    ctl_answer(ctl, "changed", json_boolean(sent->changed));
    return CTL_DONE;
}

/* Whether the change was made is open only where it was sent and no answer came. */
static enum ctl_exit send_failed(struct ctl *ctl)
{
    if (redis_trouble(ctl->redis) != REDIS_LOST) {
        return ctl_redis_failed(ctl);
    }
    return ctl_fail(ctl, CTL_UNKNOWN,
                    "Look at \"turnoutctl log\" once Redis answers. The same command again does no harm.",
                    "whether the change was made is not known: %s", redis_trouble_text(ctl->redis));
}

/* An older library in Redis would take a change and forget its deadline, or that it needs a window. */
static bool library_fine(struct ctl *ctl, const json_t *request)
{
    const char *kind = json_member(request, "kind");
    bool demands = json_object_get(request, "confirm_within_ms") || strcmp(kind, "flip") == 0 ||
                   strcmp(kind, "set") == 0 || strcmp(kind, "import") == 0;
    return !demands || redis_functions_renew(ctl->redis);
}

enum ctl_exit change_send(struct ctl *ctl, const char *function, const json_t *request, struct sent *sent)
{
    memset(sent, 0, sizeof *sent);
    if (!ctl_redis(ctl) || !library_fine(ctl, request)) {
        return ctl_redis_failed(ctl);
    }
    enum ctl_exit known = barrier_check_without(ctl);
    if (known == CTL_DONE) {
        known = links_check(ctl, request);
    }
    if (known != CTL_DONE) {
        return known;
    }
    char *text = need(json_dumps(request, JSON_COMPACT));
    const char *const args[] = {text};
    redis_patience(ctl->redis, CHANGE_MS);
    sent->at_us = ctl_now_us();
    sent->reply = redis_function(ctl->redis, function, args, 1);
    free(text);
    enum ctl_exit code = sent->reply ? take_answer(ctl, request, sent) : send_failed(ctl);
    if (code != CTL_DONE) {
        freeReplyObject(sent->reply);
        sent->reply = NULL;
    } else if (sent->changed && json_object_get(request, "confirm_within_ms")) {
        sent->deadline_ms = redis_number(sent->reply, 3);
    }
    return code;
}

enum ctl_exit apply(struct ctl *ctl, const char *function, json_t *request)
{
    struct sent sent;
    enum ctl_exit code = change_send(ctl, function, request, &sent);
    if (code == CTL_DONE) {
        change_show(ctl, request, &sent);
        code = change_wait(ctl, &sent);
    }
    freeReplyObject(sent.reply);
    json_decref(request);
    return code;
}
