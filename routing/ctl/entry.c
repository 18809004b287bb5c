/* See entry.h. */
#include "routing/ctl/entry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/output.h"

bool entry_fine(const redisReply *item)
{
    return item->elements == 2 && item->element[1]->type == REDIS_REPLY_ARRAY;
}

uint64_t entry_version(const redisReply *item)
{
    return redis_number(item, 0);
}

const char *entry_field(const redisReply *item, const char *name)
{
    const redisReply *pairs = item->element[1];
    for (size_t i = 0; i + 1 < pairs->elements; i += 2) {
        if (strcmp(redis_text(pairs, i), name) == 0) {
            return redis_text(pairs, i + 1);
        }
    }
    return "";
}

struct change *entry_change(const redisReply *item, const char **reason)
{
    const redisReply *pairs = item->element[1];
    const char **fields = need(calloc(pairs->elements + 1, sizeof *fields));
    size_t *lens = need(calloc(pairs->elements + 1, sizeof *lens));
    for (size_t i = 0; i < pairs->elements; i++) {
        fields[i] = pairs->element[i]->str;
        lens[i] = pairs->element[i]->len;
    }
    struct change *change = change_parse(entry_version(item), fields, lens, pairs->elements, reason);
    free(fields);
    free(lens);
    return change;
}

redisReply *entry_read(struct redis *redis, uint64_t version)
{
    char id[32];
    snprintf(id, sizeof id, "%llu-0", (unsigned long long)version);
    const char *const range[] = {"XRANGE", redis_key(redis, "changes"), id, id};
    return redis_call(redis, range, 4);
}
