/* See apply.h. */
#include "routing/ctl/apply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/barrier.h"
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
    printf("%s %s: ", json_member(move, "shortcode"), json_member(move, "carrier"));
    if (*from) {
        printf("%s -> ", from);
    }
    if (*to) {
        printf("%s, %s\n", to, json_member(move, "state"));
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
            if (*json_string_value(value) == '\0') {
                json_put(move, name, json_null());
            }
        }
    }
    return moves;
}

/* --- the answers that changed nothing ----------------------------------------------------------------------
 */

/* The words of "shortcode carrier is-platform is-state wanted-platform wanted-state". */
static bool conflict_words(char *line, char *words[6])
{
    for (int i = 0; i < 6; i++) {
        words[i] = strsep(&line, " ");
        if (!words[i]) {
            return false;
        }
    }
    return true;
}

/* A line's "-" (no row) becomes null; what was not expected to be anything ("*") is left out. */
static json_t *conflict_json(char *words[6])
{
    static const char *const names[] = {"shortcode", "carrier",  "is",
                                        "is_state",  "expected", "expected_state"};
    json_t *object = need(json_object());
    for (int i = 0; i < 6; i++) {
        if (i < 2 || strcmp(words[i], "*") != 0) {
            bool none = i >= 2 && strcmp(words[i], "-") == 0;
            json_put(object, names[i], none ? json_null() : json_text(words[i]));
        }
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

static void print_conflict(char *words[6])
{
    fprintf(stderr, "  %s %s: ", words[0], words[1]);
    print_side("expected", words[4], words[5]);
    print_side(", found", words[2], words[3]);
    fputc('\n', stderr);
}

static enum ctl_exit show_conflict(struct ctl *ctl, const redisReply *reply)
{
    json_t *conflicts = need(json_array());
    enum ctl_exit code =
        ctl_fail(ctl, CTL_CONFLICT, "See \"turnoutctl log\" for who changed it; then give the command again.",
                 "nothing was changed: the table (version %llu) is not what was expected",
                 (unsigned long long)redis_number(reply, 1));
    for (size_t i = 2; i < reply->elements; i++) {
        char *words[6];
        char *line = need(strdup(redis_text(reply, i)));
        if (conflict_words(text_clean(line), words)) {
            json_array_append_new(conflicts, conflict_json(words));
            if (!ctl->options.json) {
                print_conflict(words);
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

/* --- sending -----------------------------------------------------------------------------------------------
 */

static enum ctl_exit show_outcome(struct ctl *ctl, const json_t *request, const redisReply *reply,
                                  int64_t sent_us)
{
    const char *word = redis_text(reply, 0);
    uint64_t version = redis_number(reply, 1);
    ctl_answer(ctl, "version", json_integer((json_int_t)version));
    if (strcmp(word, "conflict") == 0) {
        return show_conflict(ctl, reply);
    }
    if (strcmp(word, "ok") != 0 && strcmp(word, "unchanged") != 0) {
        return show_invalid(ctl, reply);
    }
    bool changed = strcmp(word, "ok") == 0;
    ctl_answer(ctl, "changed", json_boolean(changed));
    if (ctl->options.json) {
        ctl_answer(ctl, "moves", moves_json(request));
    } else if (changed) {
        print_moves(request);
    } else {
        puts("The table says so already: nothing was changed.");
    }
    enum ctl_exit code = changed ? CTL_DONE : CTL_UNCHANGED;
    if (ctl->options.no_wait) {
        if (!ctl->options.json) {
            printf("Version %llu; not waited for the instances.\n", (unsigned long long)version);
        }
        return code;
    }
    struct barrier barrier;
    barrier_wait(ctl, version, sent_us, &barrier);
    code = barrier_report(ctl, &barrier, code);
    barrier_free(&barrier);
    return replicas_wait(ctl, version, sent_us, code);
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

enum ctl_exit apply(struct ctl *ctl, const char *function, json_t *request)
{
    char *text = need(json_dumps(request, JSON_COMPACT));
    const char *const args[] = {text};
    enum ctl_exit code;
    if (!ctl_redis(ctl)) {
        code = ctl_redis_failed(ctl);
    } else {
        redis_patience(ctl->redis, CHANGE_MS);
        int64_t sent_us = ctl_now_us();
        redisReply *reply = redis_function(ctl->redis, function, args, 1);
        code = reply ? show_outcome(ctl, request, reply, sent_us) : send_failed(ctl);
        freeReplyObject(reply);
    }
    free(text);
    json_decref(request);
    return code;
}
