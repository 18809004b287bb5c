/* confirm: a change that would go back by itself stays.
 *
 *   [VERSION] ──turnout_confirm──▶ confirmed | already gone back | nothing to confirm | several: which one?
 */
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/apply.h"
#include "routing/ctl/commands.h"
#include "routing/ctl/output.h"
#include "routing/ctl/redis.h"
#include "routing/ctl/replicas.h"

static void answer_outcome(struct ctl *ctl, const char *outcome, uint64_t version)
{
    ctl_answer(ctl, "outcome", json_text(outcome));
    ctl_answer(ctl, "version", version > 0 ? json_integer((json_int_t)version) : json_null());
}

static enum ctl_exit confirmed(struct ctl *ctl, uint64_t version)
{
    answer_outcome(ctl, "confirmed", version);
    if (!ctl->options.json) {
        printf("confirmed: version %llu stays\n", (unsigned long long)version);
    }
    return CTL_DONE;
}

static enum ctl_exit gone_back(struct ctl *ctl, uint64_t version, uint64_t by)
{
    answer_outcome(ctl, "already gone back", version);
    ctl_answer(ctl, "rollback_version", json_integer((json_int_t)by));
    return ctl_fail(ctl, CTL_CONFLICT, "Where it is to be as it was, give its command again.",
                    "already gone back: version %llu was undone by version %llu", (unsigned long long)version,
                    (unsigned long long)by);
}

static enum ctl_exit nothing(struct ctl *ctl, uint64_t version)
{
    static const char advice[] = "\"turnoutctl status\" shows what awaits confirmation.";
    answer_outcome(ctl, "nothing to confirm", version);
    if (version == 0) {
        return ctl_fail(ctl, CTL_NOT_FOUND, advice, "nothing to confirm: no change awaits it");
    }
    return ctl_fail(ctl, CTL_NOT_FOUND, advice, "nothing to confirm: version %llu does not await it",
                    (unsigned long long)version);
}

static enum ctl_exit several(struct ctl *ctl, const redisReply *reply)
{
    char *text = NULL;
    size_t len;
    json_t *versions = need(json_array());
    FILE *out = need(open_memstream(&text, &len));
    for (size_t i = 1; i < reply->elements; i++) {
        uint64_t version = redis_number(reply, i);
        json_array_append_new(versions, json_integer((json_int_t)version));
        fprintf(out, "%s%llu", i > 1 ? ", " : "", (unsigned long long)version);
    }
    fclose(out);
    need(text);
    answer_outcome(ctl, "several", 0);
    ctl_answer(ctl, "versions", versions);
    enum ctl_exit code =
        ctl_fail(ctl, CTL_CONFLICT, "Name the one that you mean: turnoutctl confirm VERSION.",
                 "nothing was confirmed: these await it: %s", text);
    free(text);
    return code;
}

static enum ctl_exit show_reply(struct ctl *ctl, const redisReply *reply)
{
    const char *word = redis_text(reply, 0);
    uint64_t version = redis_number(reply, 1);
    if (strcmp(word, "confirmed") == 0) {
        /* Lost by a failover, it would go back all the same. */
        return replicas_wait(ctl, version, ctl->started_us, confirmed(ctl, version));
    }
    if (strcmp(word, "gone_back") == 0) {
        return gone_back(ctl, version, redis_number(reply, 2));
    }
    if (strcmp(word, "nothing") == 0) {
        return nothing(ctl, version);
    }
    if (strcmp(word, "several") == 0) {
        return several(ctl, reply);
    }
    return ctl_fail(ctl, CTL_INVALID, NULL, "nothing was confirmed: %s", redis_text(reply, 2));
}

/* Nothing is done twice: a version that was confirmed does not await it any more. */
static enum ctl_exit send_failed(struct ctl *ctl)
{
    if (redis_trouble(ctl->redis) != REDIS_LOST) {
        return ctl_redis_failed(ctl);
    }
    return ctl_fail(ctl, CTL_UNKNOWN,
                    "Look at \"turnoutctl status\" once Redis answers. The same command again does no harm.",
                    "whether it was confirmed is not known: %s", redis_trouble_text(ctl->redis));
}

enum ctl_exit run_confirm(struct ctl *ctl)
{
    uint64_t version = 0;
    if (ctl->args_count > 0 && !options_number(ctl->args[0], &version)) {
        return ctl_fail(ctl, CTL_USAGE, "\"turnoutctl status\" shows what awaits confirmation.",
                        "\"%s\" is not the number of a version", ctl->args[0]);
    }
    json_t *request = request_new(ctl, "confirm");
    if (!request) {
        return CTL_USAGE;
    }
    json_object_del(request, "moves");
    if (version > 0) {
        json_put(request, "version", json_integer((json_int_t)version));
    }
    char *text = need(json_dumps(request, JSON_COMPACT));
    const char *const args[] = {text};
    redisReply *reply = ctl_redis(ctl) ? redis_function(ctl->redis, "turnout_confirm", args, 1) : NULL;
    enum ctl_exit code = reply         ? show_reply(ctl, reply)
                         : !ctl->redis ? ctl_redis_failed(ctl)
                                       : send_failed(ctl);
    freeReplyObject(reply);
    free(text);
    json_decref(request);
    return code;
}
