/* Each sentinel counts its failures in a row: the next to ask is one with the fewest, and of these the one
 * whose last turn is longest ago. At the start that is the order in which they were given. */
#include "routing/sentinel.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

bool sentinels_add(struct sentinels *sentinels, const char *text, size_t len, const char **reason)
{
    if (sentinels->count >= SENTINELS_MAX) {
        *reason = "there are more than 16 sentinels";
        return false;
    }
    struct address address;
    if (!address_parse(text, len, SENTINEL_PORT, &address, reason))
        return false;
    sentinels->list[sentinels->count++] = (struct sentinel){.address = address};
    return true;
}

const struct sentinel *sentinels_current(const struct sentinels *sentinels)
{
    assert(sentinels->count > 0);
    return &sentinels->list[sentinels->current];
}

static bool sooner(const struct sentinel *left, const struct sentinel *right)
{
    return left->failures != right->failures ? left->failures < right->failures : left->asked < right->asked;
}

static void move_on(struct sentinels *sentinels)
{
    unsigned best = 0;
    sentinels->list[sentinels->current].asked = ++sentinels->turns;
    for (unsigned i = 1; i < sentinels->count; i++)
        if (sooner(&sentinels->list[i], &sentinels->list[best]))
            best = i;
    sentinels->current = best;
}

void sentinels_answered(struct sentinels *sentinels)
{
    sentinels->list[sentinels->current].failures = 0;
    sentinels->silent = 0;
}

bool sentinels_failed(struct sentinels *sentinels)
{
    sentinels->list[sentinels->current].failures++;
    move_on(sentinels);
    if (++sentinels->silent < sentinels->count)
        return true;
    sentinels->silent = 0;
    return false;
}

void sentinels_doubt(struct sentinels *sentinels)
{
    move_on(sentinels);
}

/* --- answers -------------------------------------------------------------------------------------------- */

static bool is_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS;
}

bool sentinel_master(const redisReply *reply, struct address *address, char *reason, size_t cap)
{
    if (reply->type == REDIS_REPLY_NIL) {
        snprintf(reason, cap, "it knows no master of this name");
        return false;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        snprintf(reason, cap, "it answers: %s", reply->str);
        return false;
    }
    long port = 0;
    size_t len = 0;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 && is_text(reply->element[0]) &&
        is_text(reply->element[1])) {
        len = strlen(reply->element[0]->str);
        port = strtol(reply->element[1]->str, NULL, 10);
    }
    if (len == 0 || len > HOST_LEN_MAX || port < 1 || port > 65535) {
        snprintf(reason, cap, "its answer cannot be understood");
        return false;
    }
    memcpy(address->host, reply->element[0]->str, len + 1);
    address->port = (uint16_t)port;
    return true;
}

/* ["master", offset, [replica ...]] or ["slave", host, port, state, offset] or ["sentinel", ...] */
bool role_of(const redisReply *reply, struct role *role, char *reason, size_t cap)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 1 || !is_text(reply->element[0])) {
        snprintf(reason, cap, "its role cannot be read: %s",
                 reply->type == REDIS_REPLY_ERROR ? reply->str : "the answer cannot be understood");
        return false;
    }
    *role = (struct role){.master = strcmp(reply->element[0]->str, "master") == 0};
    if (role->master && reply->elements >= 3 && reply->element[2]->type == REDIS_REPLY_ARRAY)
        role->replicas = (unsigned)reply->element[2]->elements;
    return true;
}
