/* See barrier.h. */
#include "routing/ctl/barrier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "routing/ctl/output.h"

/* Instances apply a change within a few milliseconds, so the first looks come fast; an instance that takes
 * longer is in trouble, and need not be asked a thousand times a second. */
enum { PAUSE_MIN_US = 1000, PAUSE_MAX_US = 10000, ANSWER_MS = 2000, ANSWER_MORE_MS = 500, LINKS_TEXT = 256 };

/* When those that keep us waiting are named; and what is longer than a beat of theirs, which comes each second
 * by default. */
enum { TELL_FIRST_US = 1000000, TELL_AGAIN_US = 10000000, SILENCE_MS = 1500 };

int64_t barrier_pause_us(int64_t waited_us)
{
    int64_t pause = waited_us / 20;
    return pause < PAUSE_MIN_US ? PAUSE_MIN_US : pause > PAUSE_MAX_US ? PAUSE_MAX_US : pause;
}

bool barrier_reached(const struct barrier *barrier, const struct instance *instance)
{
    return instance_number(instance, "applied") >= barrier->version && instance_of_this_history(instance) &&
           (barrier->mark == BARRIER_APPLIED ||
            settled_on(instance_field(instance, "unsettled"), barrier->version, barrier->ways, NULL, 0));
}

/* The links on which something from before is unanswered, "" where that is not what it waits for. */
static const char *unanswered_on(const struct barrier *barrier, const struct instance *instance, char *links,
                                 size_t cap)
{
    *links = '\0';
    if (barrier->mark == BARRIER_SETTLED) {
        (void)settled_on(instance_field(instance, "unsettled"), barrier->version, barrier->ways, links, cap);
    }
    return links;
}

bool barrier_without(const struct barrier *barrier, const struct instance *instance)
{
    for (unsigned i = 0; barrier->without && i < barrier->without->count; i++) {
        if (strcmp(barrier->without->items[i], instance->id) == 0) {
            return true;
        }
    }
    return false;
}

static const char *text_or(const char *text, const char *otherwise)
{
    return *text ? text : otherwise;
}

static bool is_known(const struct instance_list *list, const char *id)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].id, id) == 0) {
            return true;
        }
    }
    return false;
}

enum ctl_exit barrier_check_without(struct ctl *ctl)
{
    const struct option_list *without = &ctl->options.without;
    struct instance_list list;
    enum ctl_exit code = CTL_DONE;
    if (without->count == 0) {
        return CTL_DONE;
    }
    if (!instance_list_read(ctl->redis, &list)) {
        return ctl_redis_failed(ctl);
    }
    for (unsigned i = 0; i < without->count && code == CTL_DONE; i++) {
        if (!is_known(&list, without->items[i])) {
            code =
                ctl_fail(ctl, CTL_NOT_FOUND, "\"turnoutctl instances\" shows them all.",
                         "nothing was changed: --without names %s, which is no instance", without->items[i]);
        }
    }
    instance_list_free(&list);
    return code;
}

/* Alive, to be waited for, and not there yet. */
static bool keeps_waiting(const struct barrier *barrier, const struct instance *instance)
{
    return instance_alive(instance) && !barrier_without(barrier, instance) &&
           !barrier_reached(barrier, instance);
}

void barrier_judge(struct barrier *barrier)
{
    barrier->live = barrier->applied = barrier->dead = 0;
    for (size_t i = 0; i < barrier->instances.count; i++) {
        const struct instance *instance = &barrier->instances.items[i];
        bool alive = instance_alive(instance);
        if (barrier_without(barrier, instance)) {
            continue;
        }
        barrier->live += alive;
        barrier->dead += !alive;
        barrier->applied += alive && barrier_reached(barrier, instance);
    }
    barrier->end = barrier->live == 0                  ? BARRIER_NOBODY
                   : barrier->applied == barrier->live ? BARRIER_COMPLETE
                                                       : BARRIER_WAITING;
}

/* Reads the list anew; the one read before stays where that fails. */
static bool look(struct redis *redis, struct barrier *barrier)
{
    struct instance_list list;
    if (!instance_list_read(redis, &list)) {
        return false;
    }
    instance_list_free(&barrier->instances);
    barrier->instances = list;
    return true;
}

/* What is known of an instance that has not applied it. */
static char *what_is_with(const struct barrier *barrier, const struct instance *instance)
{
    char age[AGE_TEXT_SIZE];
    char links[LINKS_TEXT];
    char *text = NULL;
    int len;
    const char *trouble = instance_trouble(instance);
    uint64_t silence = instance_silence_ms(&barrier->instances, instance);
    if (silence > SILENCE_MS) {
        bool fence = strcmp(instance_field(instance, "on_loss"), "fence") == 0;
        len = asprintf(
            &text,
            "%s is silent for %s: it hangs, or is cut off from Redis. It counts as dead in %.1f s%s; "
            "--without %s does not wait for it",
            instance->id, age_text(silence, age), (double)instance->lease_ms / 1000,
            fence ? ", and sends nothing from then on (on-loss fence)" : "", instance->id);
    } else if (*trouble) {
        len = asprintf(&text, "%s has not %s version %llu: %s", instance->id,
                       barrier->mark == BARRIER_SETTLED ? "settled" : "applied",
                       (unsigned long long)barrier->version, trouble);
    } else if (barrier->mark == BARRIER_SETTLED) {
        len = asprintf(&text, "%s has something of before unanswered on %s", instance->id,
                       text_or(unanswered_on(barrier, instance, links, sizeof links), "its links"));
    } else {
        len = asprintf(&text, "%s is at version %llu", instance->id,
                       (unsigned long long)instance_number(instance, "applied"));
    }
    return text_clean(need(len < 0 ? NULL : text));
}

static void tell_who_keeps_waiting(const struct ctl *ctl, const struct barrier *barrier)
{
    for (size_t i = 0; i < barrier->instances.count && !ctl->options.json; i++) {
        if (keeps_waiting(barrier, &barrier->instances.items[i])) {
            char *text = what_is_with(barrier, &barrier->instances.items[i]);
            fflush(stdout);
            text_wrap(stderr, "waiting: ", text);
            free(text);
        }
    }
}

/* How long an answer may take of somebody who waits so long yet. */
static unsigned answer_ms(int64_t left_us)
{
    int64_t ms = (left_us < 0 ? 0 : left_us / 1000) + ANSWER_MORE_MS;
    return ms < ANSWER_MS ? (unsigned)ms : ANSWER_MS;
}

static void wait_until(struct ctl *ctl, struct barrier *barrier, unsigned limit_ms, int64_t changed_us)
{
    int64_t limit_us = (int64_t)limit_ms * 1000;
    int64_t began_us = ctl_now_us();
    int64_t tell_us = TELL_FIRST_US;
    while (barrier->end == BARRIER_WAITING) {
        redis_patience(ctl->redis, answer_ms(limit_us - (ctl_now_us() - began_us)));
        if (!look(ctl->redis, barrier)) {
            barrier->end = BARRIER_LOST;
            break;
        }
        barrier_judge(barrier);
        int64_t waited_us = ctl_now_us() - began_us;
        if (barrier->end == BARRIER_WAITING && ctl_stopped()) {
            barrier->end = BARRIER_STOPPED;
        } else if (barrier->end == BARRIER_WAITING && barrier->stands &&
                   !barrier->stands->look(barrier->stands->of)) {
            barrier->end = BARRIER_VOID;
        } else if (barrier->end == BARRIER_WAITING && waited_us >= limit_us) {
            barrier->end = BARRIER_LATE;
        } else if (barrier->end == BARRIER_WAITING && waited_us >= tell_us) {
            tell_who_keeps_waiting(ctl, barrier);
            tell_us = waited_us + TELL_AGAIN_US;
        } else if (barrier->end == BARRIER_WAITING) {
            struct timespec pause = {.tv_nsec = barrier_pause_us(waited_us) * 1000};
            nanosleep(&pause, NULL);
        }
    }
    int64_t now_us = ctl_now_us();
    barrier->from_start_us = now_us - ctl->started_us;
    barrier->from_change_us = now_us - changed_us;
}

static void barrier_record(struct ctl *ctl, const struct barrier *barrier);

void barrier_wait(struct ctl *ctl, uint64_t version, int64_t changed_us, struct barrier *barrier)
{
    *barrier = (struct barrier){.version = version, .without = &ctl->options.without};
    wait_until(ctl, barrier, ctl->options.timeout_ms, changed_us);
    if (barrier->end != BARRIER_LOST) {
        barrier_record(ctl, barrier);
    }
}

void barrier_drain(struct ctl *ctl, uint64_t version, int64_t changed_us, const struct settled_ways *ways,
                   const struct barrier_stands *stands, struct barrier *barrier)
{
    *barrier = (struct barrier){.version = version,
                                .mark = BARRIER_SETTLED,
                                .without = &ctl->options.without,
                                .ways = ways,
                                .stands = stands};
    wait_until(ctl, barrier, ctl->options.drain_ms, changed_us);
}

void barrier_free(struct barrier *barrier)
{
    instance_list_free(&barrier->instances);
}

/* --- the outcome -------------------------------------------------------------------------------------------
 */

static json_t *one_json(const struct barrier *barrier, const struct instance *instance)
{
    char links[LINKS_TEXT];
    json_t *object = need(json_object());
    json_put(object, "id", json_text(instance->id));
    json_put(object, "silent_ms",
             json_integer((json_int_t)instance_silence_ms(&barrier->instances, instance)));
    if (instance_alive(instance)) {
        json_put(object, "applied", json_integer((json_int_t)instance_number(instance, "applied")));
        json_put(object, "state", json_text(instance_field(instance, "state")));
        if (barrier->mark == BARRIER_SETTLED) {
            json_put(object, "settled", json_integer((json_int_t)instance_number(instance, "settled")));
            json_put(object, "in_flight", json_text(instance_field(instance, "in_flight")));
            json_put(object, "unanswered_on",
                     json_text(unanswered_on(barrier, instance, links, sizeof links)));
        }
        json_put(object, "obstacle", json_text(instance_field(instance, "obstacle")));
    }
    return object;
}

static json_t *barrier_json(const struct barrier *barrier)
{
    json_t *object = need(json_object());
    json_t *missing = need(json_array());
    json_t *dead = need(json_array());
    json_t *left_out = need(json_array());
    for (size_t i = 0; i < barrier->instances.count; i++) {
        const struct instance *instance = &barrier->instances.items[i];
        if (!instance_alive(instance)) {
            json_array_append_new(dead, one_json(barrier, instance));
        } else if (barrier_without(barrier, instance)) {
            json_array_append_new(left_out, one_json(barrier, instance));
        } else if (!barrier_reached(barrier, instance)) {
            json_array_append_new(missing, one_json(barrier, instance));
        }
    }
    json_put(object, "complete", json_boolean(barrier->end == BARRIER_COMPLETE));
    json_put(object, "live", json_integer(barrier->live));
    json_put(object, "applied", json_integer(barrier->applied));
    json_put(object, "ms_from_start", json_real((double)barrier->from_start_us / 1000));
    json_put(object, "ms_from_change", json_real((double)barrier->from_change_us / 1000));
    json_put(object, "missing", missing);
    json_put(object, "dead", dead);
    json_put(object, "left_out", left_out);
    return object;
}

/* Keeps with the version what was seen, for the log and the report of a window. Whether that comes about is of
 * no consequence for the change. */
static void barrier_record(struct ctl *ctl, const struct barrier *barrier)
{
    char version[24];
    json_t *object = barrier_json(barrier);
    char *text = need(json_dumps(object, JSON_COMPACT));
    snprintf(version, sizeof version, "%llu", (unsigned long long)barrier->version);
    const char *const args[] = {version, text};
    freeReplyObject(redis_function(ctl->redis, "turnout_barrier", args, 2));
    free(text);
    json_decref(object);
}

static void print_missing(const struct barrier *barrier)
{
    static const struct column columns[] = {{"MISSING", false},  {"APPLIED", true}, {"SETTLED", true},
                                            {"IN FLIGHT", true}, {"STATE", false},  {"OBSTACLE", false}};
    char links[LINKS_TEXT];
    bool settled = barrier->mark == BARRIER_SETTLED;
    struct grid *grid = grid_new(columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < barrier->instances.count; i++) {
        const struct instance *instance = &barrier->instances.items[i];
        if (keeps_waiting(barrier, instance)) {
            grid_cell(grid, "%s", instance->id);
            grid_cell(grid, "%llu", (unsigned long long)instance_number(instance, "applied"));
            grid_cell(grid, "%s", settled ? text_or(instance_field(instance, "settled"), "unknown") : "");
            grid_cell(grid, "%s", settled ? instance_field(instance, "in_flight") : "");
            grid_cell(grid, "%s", instance_field(instance, "state"));
            const char *trouble = instance_trouble(instance);
            (void)unanswered_on(barrier, instance, links, sizeof links);
            grid_cell(grid, "%s%s", *trouble || !*links ? "" : "unanswered on ", *trouble ? trouble : links);
        }
    }
    fflush(stdout);
    grid_print(grid, stderr, "  ");
    grid_free(grid);
}

/* One line each, since it comes with every change until somebody forgets it: the last word is what one may do that still
 * runs, and is only cut off from Redis. */
static void print_dead(const struct barrier *barrier)
{
    char age[AGE_TEXT_SIZE];
    for (size_t i = 0; i < barrier->instances.count; i++) {
        const struct instance *instance = &barrier->instances.items[i];
        if (instance_alive(instance)) {
            continue;
        }
        bool fence = strcmp(instance_field(instance, "on_loss"), "fence") == 0;
        text_print(stdout, instance->id);
        printf(" is dead, silent for %s%s; turnoutctl instances forget ",
               age_text(instance_silence_ms(&barrier->instances, instance), age),
               fence ? " (cut off, it sends nothing)" : " (cut off, it may go the old way)");
        text_print(stdout, instance->id);
        putchar('\n');
    }
}

/* Those that were not waited for by order. */
static void print_left_out(const struct barrier *barrier)
{
    for (size_t i = 0; i < barrier->instances.count; i++) {
        const struct instance *instance = &barrier->instances.items[i];
        if (instance_alive(instance) && barrier_without(barrier, instance)) {
            char *text = NULL;
            int len = asprintf(&text, "%s was left out: %s", instance->id,
                               barrier_reached(barrier, instance)
                                   ? "it has applied it, too."
                                   : "it may still send messages by the route before.");
            text_wrap(stdout, "", text_clean(need(len < 0 ? NULL : text)));
            free(text);
        }
    }
}

static void print_complete(const struct barrier *barrier)
{
    char who[48] = "the one live instance";
    if (barrier->live > 1) {
        snprintf(who, sizeof who, "all %u live instances", barrier->live);
    }
    printf("Version %llu is applied by %s:\n%.1f ms after the change was sent, %.1f ms in all.\n",
           (unsigned long long)barrier->version, who, (double)barrier->from_change_us / 1000,
           (double)barrier->from_start_us / 1000);
}

static enum ctl_exit fail_late(struct ctl *ctl, const struct barrier *barrier)
{
    enum ctl_exit code = ctl_fail(
        ctl, CTL_INCOMPLETE,
        "Those named may still use the route before. Look at \"turnoutctl instances\"; "
        "the same command again waits again.",
        "version %llu is made, but only %u of %u live instances applied it within %u ms",
        (unsigned long long)barrier->version, barrier->applied, barrier->live, ctl->options.timeout_ms);
    if (!ctl->options.json) {
        print_missing(barrier);
    }
    return code;
}

static enum ctl_exit fail_unsettled(struct ctl *ctl, const struct barrier *barrier)
{
    enum ctl_exit code = ctl_fail(ctl, CTL_INCOMPLETE, NULL,
                                  "messages sent before are still unanswered: only %u of %u live instances "
                                  "have settled version %llu within %u ms",
                                  barrier->applied, barrier->live, (unsigned long long)barrier->version,
                                  ctl->options.drain_ms);
    if (!ctl->options.json) {
        print_missing(barrier);
    }
    return code;
}

enum ctl_exit barrier_report(struct ctl *ctl, const struct barrier *barrier, enum ctl_exit code)
{
    if (ctl->options.json) {
        ctl_answer(ctl, "barrier", barrier_json(barrier));
    } else {
        if (barrier->end == BARRIER_COMPLETE && barrier->mark == BARRIER_APPLIED) {
            print_complete(barrier);
        }
        print_dead(barrier);
        print_left_out(barrier);
    }
    switch (barrier->end) {
    case BARRIER_LATE:
        return barrier->mark == BARRIER_SETTLED ? fail_unsettled(ctl, barrier) : fail_late(ctl, barrier);
    case BARRIER_STOPPED:
        return ctl_fail(ctl, CTL_INCOMPLETE,
                        "It stands. The same command again waits again; \"turnoutctl rollback\" undoes it.",
                        "stopped; version %llu is made, and %u of %u live instances have %s it",
                        (unsigned long long)barrier->version, barrier->applied, barrier->live,
                        barrier->mark == BARRIER_SETTLED ? "settled" : "applied");
    case BARRIER_NOBODY:
        return ctl_fail(ctl, CTL_NO_INSTANCES, "An instance that starts now takes it at once.",
                        "version %llu is in Redis, but no instance is alive to apply it",
                        (unsigned long long)barrier->version);
    case BARRIER_LOST:
        return ctl_fail(ctl, CTL_INCOMPLETE,
                        "Give the same command again once Redis answers: it waits again.",
                        "version %llu is made, but the instances cannot be asked: %s",
                        (unsigned long long)barrier->version, redis_trouble_text(ctl->redis));
    case BARRIER_VOID:
    case BARRIER_WAITING:
    case BARRIER_COMPLETE: break;
    }
    return code;
}
