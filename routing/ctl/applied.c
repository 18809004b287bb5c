/* See applied.h. */
#include "routing/ctl/applied.h"

#include <stdio.h>

#include "routing/ctl/output.h"

json_t *applied_read(struct redis *redis, uint64_t version)
{
    char number[24];
    snprintf(number, sizeof number, "%llu", (unsigned long long)version);
    const char *const args[] = {number};
    redisReply *reply = redis_function(redis, "turnout_applied", args, 1);
    if (!reply) {
        return NULL;
    }
    json_t *instances = need(json_object());
    const redisReply *pairs = reply->elements == 3 ? reply->element[1] : NULL;
    for (size_t i = 0; pairs && i + 1 < pairs->elements; i += 2) {
        json_put(instances, redis_text(pairs, i), json_integer((json_int_t)redis_number(pairs, i + 1)));
    }
    json_t *barrier = json_loads(redis_text(reply, 2), 0, NULL);
    freeReplyObject(reply);
    return need(json_pack("{soso}", "instances", instances, "barrier", barrier ? barrier : json_null()));
}
