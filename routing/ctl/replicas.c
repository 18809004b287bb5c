/* See replicas.h. WAIT counts the replicas that have all that the connection has seen of the master, also
 * where this command changed nothing: so the same command again tells about the change before. */
#include "routing/ctl/replicas.h"

#include <stdio.h>

#include "routing/ctl/output.h"
#include "routing/ctl/redis.h"
#include "routing/sentinel.h"

/* A replica that keeps up answers in the time of a round trip; 0 would mean to wait for ever. */
enum { LEAST_MS = 100, ANSWER_MS = 2000 };

/* By default one, where there is any. A Redis that is no master any more, or is gone, has lost what it did
 * not pass on. */
static unsigned wanted(struct ctl *ctl)
{
    const char *const ask[] = {"ROLE"};
    char reason[300];
    struct role role = {0};
    if (ctl->options.replicas != COUNT_AUTO) {
        return ctl->options.replicas;
    }
    redisReply *reply = redis_call(ctl->redis, ask, 1);
    bool known = reply && role_of(reply, &role, reason, sizeof reason);
    freeReplyObject(reply);
    if (!known) {
        return redis_trouble(ctl->redis) == REDIS_LOST; /* a user that may not ask waits for none */
    }
    return !role.master || role.replicas > 0;
}

static unsigned left_ms(const struct ctl *ctl, int64_t changed_us)
{
    int64_t left = (int64_t)ctl->options.timeout_ms - (ctl_now_us() - changed_us) / 1000;
    return left < LEAST_MS ? LEAST_MS : (unsigned)left;
}

/* How many have it; 0 where Redis does not say. */
static unsigned acknowledged(struct ctl *ctl, unsigned count, unsigned ms)
{
    char number[16];
    char limit[16];
    snprintf(number, sizeof number, "%u", count);
    snprintf(limit, sizeof limit, "%u", ms);
    const char *const wait[] = {"WAIT", number, limit};
    redis_patience(ctl->redis, ms + ANSWER_MS);
    redisReply *reply = redis_call(ctl->redis, wait, 3);
    unsigned found = reply && reply->type == REDIS_REPLY_INTEGER ? (unsigned)reply->integer : 0;
    freeReplyObject(reply);
    return found;
}

static enum ctl_exit fail_few(struct ctl *ctl, uint64_t version, unsigned count, unsigned have)
{
    const char *why = redis_trouble(ctl->redis) == REDIS_FINE ? "" : ": ";
    return ctl_fail(
        ctl, CTL_NOT_REPLICATED,
        "A failover now may lose it; the instances would then refuse the new master's table until "
        "\"turnoutctl route restore\". The same command again waits again.",
        "version %llu is applied, but %u of the wanted %u replica%s of Redis acknowledged it%s%s",
        (unsigned long long)version, have, count, plural(count), why,
        *why ? redis_trouble_text(ctl->redis) : "");
}

enum ctl_exit replicas_wait(struct ctl *ctl, uint64_t version, int64_t changed_us, enum ctl_exit code)
{
    if (redis_trouble(ctl->redis) == REDIS_LOST) {
        return code; /* the barrier has told */
    }
    unsigned count = wanted(ctl);
    if (count == 0) {
        return code;
    }
    unsigned have = acknowledged(ctl, count, left_ms(ctl, changed_us));
    if (ctl->options.json) {
        json_t *object = need(json_object());
        json_put(object, "wanted", json_integer(count));
        json_put(object, "acknowledged", json_integer(have));
        ctl_answer(ctl, "replicas", object);
    } else if (have >= count) {
        printf("%u replica%s of Redis %s it, too.\n", have, plural(have), have == 1 ? "has" : "have");
    }
    bool fine = have >= count || (code != CTL_DONE && code != CTL_UNCHANGED);
    return fine ? code : fail_few(ctl, version, count, have);
}
