/* hooks test: an event that nothing stands behind, so that an operator sees who hears of a real one.
 *
 *   --kind, SHORTCODE... ──XADD P:events, with "test"──▶ the hooks of one instance ──▶ webhooks, mails, marked as tests
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "routing/ctl/commands.h"
#include "routing/ctl/output.h"
#include "routing/ctl/redis.h"
#include "routing/event_kinds.h"

static bool kind_exists(const char *kind)
{
#define KIND_NAME(id, name, help) name,
    static const char *const names[] = {EVENT_KINDS(KIND_NAME)};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], kind) == 0) {
            return true;
        }
    }
    return false;
}

/* A line for each shortcode, as functions/35-events.lua writes them (malloc'd). */
static char *cells_text(const struct ctl *ctl)
{
    const struct options *o = &ctl->options;
    char *text = NULL;
    size_t len;
    FILE *out = need(open_memstream(&text, &len));
    for (int i = 0; i < ctl->args_count; i++) {
        fprintf(out, "%s%s %s %s %s open", i > 0 ? "\n" : "", ctl->args[i],
                o->carrier ? o->carrier : "carrier", o->from ? o->from : "old", o->to ? o->to : "new");
    }
    fclose(out);
    return need(text);
}

/* False where no instance has hooks, or on trouble. */
static bool somebody_listens(struct ctl *ctl)
{
    char key[256];
    text_copy(key, sizeof key, redis_key(ctl->redis, "events"));
    const char *const words[] = {"XINFO", "CONSUMERS", key, "hooks"};
    redisReply *reply = redis_call(ctl->redis, words, 4);
    bool found = reply && reply->elements > 0;
    freeReplyObject(reply);
    return found;
}

static enum ctl_exit nobody_listens(struct ctl *ctl)
{
    if (redis_trouble(ctl->redis) != REDIS_FINE && redis_trouble(ctl->redis) != REDIS_REFUSED) {
        return ctl_redis_failed(ctl);
    }
    return ctl_fail(ctl, CTL_NOT_FOUND, "Give turnoutd's config a webhook section, or hooks { smtp ... }.",
                    "no instance tells anybody of events");
}

static redisReply *add_event(struct ctl *ctl, const char *kind, const char *cells)
{
    char key[256], at[24];
    const struct options *o = &ctl->options;
    text_copy(key, sizeof key, redis_key(ctl->redis, "events"));
    snprintf(at, sizeof at, "%lld000", (long long)time(NULL));
    const char *const words[] = {"XADD",    key,
                                 "MAXLEN",  "~",
                                 "10000",   "*",
                                 "kind",    kind,
                                 "at",      at,
                                 "window",  "test",
                                 "version", "0",
                                 "who",     ctl_who(ctl),
                                 "why",     o->why ? o->why : "a test of the hooks",
                                 "ticket",  o->ticket ? o->ticket : "",
                                 "text",    "A test of the hooks: nothing has happened.",
                                 "cells",   cells,
                                 "test",    "1"};
    return redis_call(ctl->redis, words, sizeof words / sizeof words[0]);
}

enum ctl_exit run_hooks_test(struct ctl *ctl)
{
    const char *kind = ctl->options.kind;
    if (!kind_exists(kind)) {
        return ctl_fail(ctl, CTL_USAGE, "The kinds are " EVENT_KINDS_ALL ".",
                        "there is no kind of event \"%s\"", kind);
    }
    if (!ctl_redis(ctl)) {
        return ctl_redis_failed(ctl);
    }
    if (!somebody_listens(ctl)) {
        return nobody_listens(ctl);
    }
    char *cells = cells_text(ctl);
    redisReply *reply = add_event(ctl, kind, cells);
    free(cells);
    if (!reply) {
        return ctl_redis_failed(ctl);
    }
    ctl_answer(ctl, "id", json_text(reply->str ? reply->str : ""));
    ctl_answer(ctl, "kind", json_text(kind));
    if (!ctl->options.json) {
        printf("%s %s is on its way, marked as a test. The instance that tells it logs hook_delivered, or "
               "why not.\n",
               kind, reply->str ? reply->str : "");
    }
    freeReplyObject(reply);
    return CTL_DONE;
}
