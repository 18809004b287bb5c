/* The test message of preflight and flip (--probe): from the shortcode to a handset by the target's link.
 *
 *   number ──"carrier"──▶ is it this carrier's? ──"message", to one instance──▶ taken? receipt? in which time? */
#include <stdio.h>
#include <string.h>

#include "routing/ctl/output.h"
#include "routing/ctl/preflight.h"

/* What an instance adds to the time that its session may take. */
enum { ANSWER_MS = 500, CARRIER_MS = 2000 };

/* Whose is the number? By the first instance that says. "" for nobody's, or where nobody says. */
static bool carrier_of(struct ctl *ctl, char *carrier, size_t size)
{
    struct ask ask;
    json_t *request =
        need(json_pack("{s:s, s:o}", "kind", "carrier", "number", json_text(ctl->options.probe)));
    bool fine = ask_all(ctl, request, CARRIER_MS, &ask);
    json_decref(request);
    *carrier = '\0';
    for (size_t i = 0; fine && i < ask.count && *carrier == '\0'; i++) {
        snprintf(carrier, size, "%s", json_member(ask.items[i].answer, "carrier"));
    }
    ask_free(&ask);
    return fine;
}

static enum ctl_exit check_carrier(struct ctl *ctl, const struct target *target)
{
    char carrier[64];
    const char *digits = ctl->options.probe + (*ctl->options.probe == '+');
    if (*digits == '\0' || digits[strspn(digits, "0123456789")] != '\0') {
        return ctl_fail(ctl, CTL_USAGE, "Give a number in digits, such as 64271234567.",
                        "no test message was sent: --probe: \"%s\" is no number", ctl->options.probe);
    }
    if (ctl->options.force) {
        return CTL_DONE;
    }
    if (!carrier_of(ctl, carrier, sizeof carrier)) {
        return ctl_redis_failed(ctl);
    }
    if (strcmp(carrier, target->carrier) != 0) {
        return ctl_fail(ctl, CTL_PREFLIGHT, "Give a number of that carrier, or --force.",
                        "no test message was sent: %s is %s%s, and not %s's", ctl->options.probe,
                        *carrier ? carrier : "of no carrier", *carrier ? "'s" : "", target->carrier);
    }
    return CTL_DONE;
}

static bool serves_somebody(const json_t *answer)
{
    size_t i;
    json_t *client;
    json_array_foreach(json_object_get(answer, "clients"), i, client)
    {
        if (json_object_size(json_object_get(client, "sessions")) > 0) {
            return true;
        }
    }
    return false;
}

/* The instance to send it: one that serves a client that may; else any that has the link. NULL for none. */
static const char *choose_instance(const struct target *target)
{
    const char *chosen = NULL;
    for (size_t i = 0; i < target->ask.count; i++) {
        const struct ask_item *item = &target->ask.items[i];
        if (ask_failed(item) || !*json_member(item->answer, "link")) {
            continue;
        }
        if (serves_somebody(item->answer)) {
            return item->instance;
        }
        chosen = chosen ? chosen : item->instance;
    }
    return chosen;
}

static double ms_of(const json_t *answer, const char *name)
{
    return json_number_value(json_object_get(answer, name));
}

static void print_outcome(const char *instance, const json_t *answer)
{
    printf("Test message by %s", instance);
    if (*json_member(answer, "client")) {
        fputs(" as ", stdout);
        text_print(stdout, json_member(answer, "client"));
    }
    if (ms_of(answer, "answer_ms") > 0) {
        printf(": taken in %.1f ms, id ", ms_of(answer, "answer_ms"));
        text_print(stdout, json_member(answer, "message_id"));
    }
    if (ms_of(answer, "receipt_ms") > 0) {
        printf("; receipt after %.1f ms:\n  ", ms_of(answer, "receipt_ms"));
        text_print(stdout, json_member(answer, "receipt"));
    }
    putchar('\n');
}

static enum ctl_exit show_outcome(struct ctl *ctl, const char *instance, const struct ask_item *item)
{
    const char *failed = item ? ask_failed(item) : "has gone";
    const json_t *answer = failed ? NULL : item->answer;
    const char *why = failed ? failed : json_member(answer, "why");
    if (answer) {
        ctl_answer(ctl, "message", json_incref(item->answer));
    }
    if (answer && !ctl->options.json) {
        print_outcome(instance, answer);
    }
    if (*why) {
        return ctl_fail(
            ctl, CTL_PREFLIGHT,
            ms_of(answer, "receipt_ms") > 0
                ? "It is not sent again."
                : "It is not sent again. A receipt may take longer: --timeout gives it more time.",
            "nothing was changed: the test message by %s: %s", instance, why);
    }
    return CTL_DONE;
}

static const struct ask_item *item_of(const struct ask *ask, const char *instance)
{
    for (size_t i = 0; i < ask->count; i++) {
        if (strcmp(ask->items[i].instance, instance) == 0) {
            return &ask->items[i];
        }
    }
    return NULL;
}

enum ctl_exit test_message(struct ctl *ctl, const struct target *target)
{
    const char *instance = choose_instance(target);
    enum ctl_exit code = check_carrier(ctl, target);
    struct ask ask;
    if (code != CTL_DONE) {
        return code;
    }
    if (!instance) {
        return ctl_fail(ctl, CTL_PREFLIGHT, NULL, "no test message was sent: no instance could send it");
    }
    json_t *request =
        need(json_pack("{s:s, s:s, s:s, s:s, s:O, s:i}", "kind", "message", "instance", instance, "carrier",
                       target->carrier, "to", target->to, "source", json_array_get(target->shortcodes, 0),
                       "timeout_ms", (int)ctl->options.timeout_ms));
    json_put(request, "destination", json_text(ctl->options.probe));
    json_put(request, "text", json_text(ctl->options.text));
    if (ctl->options.client) {
        json_put(request, "client", json_text(ctl->options.client));
    }
    bool fine = ask_all(ctl, request, ctl->options.timeout_ms + ANSWER_MS, &ask);
    json_decref(request);
    code = fine ? show_outcome(ctl, instance, item_of(&ask, instance)) : ctl_redis_failed(ctl);
    ask_free(&ask);
    return code;
}
