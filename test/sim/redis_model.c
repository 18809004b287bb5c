/* FCALL ──▶ Lua 5.1: the function of the library ──redis.call──▶ a row of `commands` ──▶ keys
 *
 * Keys are lists of strings, searched from the front: a world's table has some dozens of cells. Replies are built as
 * hiredis has them, for the program outside and for Lua inside alike. What is not in the table of commands is an error,
 * as it would be a gap of the model. */
#include "test/sim/redis_model.h"

#include <inttypes.h>
#include <jansson.h>
#include <lauxlib.h>
#include <lualib.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/functions.h"

enum kind { KIND_NONE, KIND_STRING, KIND_HASH, KIND_SET, KIND_ZSET, KIND_STREAM, KIND_LIST };

/* string: items[0].value. hash: name, value. set, list: name. zset: name, score, kept in order. */
struct item {
    char *name, *value;
    double score;
};

struct entry {
    uint64_t ms, sequence;
    size_t count;
    char **strings;
};

struct key {
    struct key *next;
    char *name;
    enum kind kind;
    struct item *items;
    size_t items_count;
    struct entry *entries;
    size_t entries_count;
    uint64_t last_ms, last_sequence; /* of the stream */
    uint64_t expires;                /* ms; 0: never */
};

struct redis_model {
    struct key *keys;
    bool library;
    uint64_t writes;
};

static lua_State *lua; /* of all models: one of them runs functions, the others are its replicas */
static int library;    /* compiled, in Lua's registry */
static struct redis_model *model_used; /* by the function that runs */
static uint64_t model_time;            /* ms, for all of one command */

static void *need_memory(void *memory)
{
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static char *copy_of(const char *text)
{
    return need_memory(strdup(text));
}

/* --- replies --------------------------------------------------------------------------------------------- */

static redisReply *reply_new(int type)
{
    redisReply *reply = need_memory(calloc(1, sizeof *reply));
    reply->type = type;
    return reply;
}

static redisReply *reply_text(int type, const char *text, size_t len)
{
    redisReply *reply = reply_new(type);
    reply->str = need_memory(malloc(len + 1));
    memcpy(reply->str, text, len);
    reply->str[len] = '\0';
    reply->len = len;
    return reply;
}

static redisReply *reply_string(const char *text)
{
    return text == NULL ? reply_new(REDIS_REPLY_NIL) : reply_text(REDIS_REPLY_STRING, text, strlen(text));
}

static redisReply *reply_error(const char *text)
{
    return reply_text(REDIS_REPLY_ERROR, text, strlen(text));
}

static redisReply *reply_integer(long long number)
{
    redisReply *reply = reply_new(REDIS_REPLY_INTEGER);
    reply->integer = number;
    return reply;
}

static redisReply *reply_array(size_t count)
{
    redisReply *reply = reply_new(REDIS_REPLY_ARRAY);
    reply->elements = count;
    reply->element = need_memory(calloc(count + 1, sizeof(redisReply *)));
    return reply;
}

static redisReply *reply_ok(void)
{
    return reply_text(REDIS_REPLY_STATUS, "OK", 2);
}

void redis_reply_free(redisReply *reply)
{
    if (reply == NULL) {
        return;
    }
    for (size_t i = 0; i < reply->elements; i++) {
        redis_reply_free(reply->element[i]);
    }
    free(reply->element);
    free(reply->str);
    free(reply);
}

static redisReply *reply_double(double score)
{
    char text[32];
    snprintf(text, sizeof text, "%.17g", score);
    return reply_string(text);
}

/* --- keys ------------------------------------------------------------------------------------------------ */

static void key_empty(struct key *key)
{
    for (size_t i = 0; i < key->items_count; i++) {
        free(key->items[i].name);
        free(key->items[i].value);
    }
    for (size_t i = 0; i < key->entries_count; i++) {
        for (size_t s = 0; s < key->entries[i].count; s++) {
            free(key->entries[i].strings[s]);
        }
        free(key->entries[i].strings);
    }
    free(key->items);
    free(key->entries);
    key->items = NULL;
    key->entries = NULL;
    key->items_count = key->entries_count = 0;
}

static void key_free(struct key *key)
{
    key_empty(key);
    free(key->name);
    free(key);
}

static bool key_delete(struct redis_model *model, const char *name)
{
    for (struct key **at = &model->keys; *at != NULL; at = &(*at)->next) {
        struct key *key = *at;
        if (strcmp(key->name, name) == 0) {
            *at = key->next;
            key_free(key);
            return true;
        }
    }
    return false;
}

static struct key *key_find(struct redis_model *model, const char *name)
{
    for (struct key *key = model->keys; key != NULL; key = key->next) {
        if (strcmp(key->name, name) != 0) {
            continue;
        }
        if (key->expires != 0 && key->expires <= model_time) {
            (void)key_delete(model, name);
            return NULL;
        }
        return key;
    }
    return NULL;
}

/* The key, made where there is none. */
static struct key *key_need(struct redis_model *model, const char *name, enum kind kind)
{
    struct key *key = key_find(model, name);
    if (key == NULL) {
        key = need_memory(calloc(1, sizeof *key));
        key->name = copy_of(name);
        key->kind = kind;
        key->next = model->keys;
        model->keys = key;
    }
    model->writes++;
    return key;
}

static struct item *item_find(const struct key *key, const char *name)
{
    for (size_t i = 0; key != NULL && i < key->items_count; i++) {
        if (strcmp(key->items[i].name, name) == 0) {
            return &key->items[i];
        }
    }
    return NULL;
}

static struct item *item_add(struct key *key, const char *name)
{
    key->items = need_memory(realloc(key->items, (key->items_count + 1) * sizeof *key->items));
    struct item *item = &key->items[key->items_count++];
    *item = (struct item){.name = copy_of(name)};
    return item;
}

static void item_remove(struct redis_model *model, struct key *key, struct item *item)
{
    size_t at = (size_t)(item - key->items);
    free(item->name);
    free(item->value);
    memmove(item, item + 1, (key->items_count - at - 1) * sizeof *item);
    model->writes++;
    if (--key->items_count == 0) {
        (void)key_delete(model, key->name);
    }
}

/* --- commands -------------------------------------------------------------------------------------------- */

struct call {
    struct redis_model *model;
    size_t count; /* strings, the command included */
    const char *const *text;
    struct key *key; /* of text[1]; NULL: none */
};

static redisReply *do_get(const struct call *c)
{
    return reply_string(c->key == NULL ? NULL : c->key->items[0].value);
}

static redisReply *do_set(const struct call *c)
{
    struct key *key = key_need(c->model, c->text[1], KIND_STRING);
    struct item *item = key->items_count == 0 ? item_add(key, "") : key->items;
    free(item->value);
    item->value = copy_of(c->text[2]);
    key->expires =
        c->count == 5 && strcmp(c->text[3], "PX") == 0 ? model_time + strtoull(c->text[4], NULL, 10) : 0;
    return reply_ok();
}

static redisReply *do_hget(const struct call *c)
{
    const struct item *item = item_find(c->key, c->text[2]);
    return reply_string(item == NULL ? NULL : item->value);
}

static redisReply *do_hset(const struct call *c)
{
    struct key *key = key_need(c->model, c->text[1], KIND_HASH);
    long long fresh = 0;
    for (size_t i = 2; i + 1 < c->count; i += 2) {
        struct item *item = item_find(key, c->text[i]);
        if (item == NULL) {
            item = item_add(key, c->text[i]);
            fresh++;
        }
        free(item->value);
        item->value = copy_of(c->text[i + 1]);
    }
    return reply_integer(fresh);
}

static redisReply *remove_items(const struct call *c)
{
    long long removed = 0;
    for (size_t i = 2; i < c->count; i++) {
        struct key *key = key_find(c->model, c->text[1]);
        struct item *item = item_find(key, c->text[i]);
        if (item != NULL) {
            item_remove(c->model, key, item);
            removed++;
        }
    }
    return reply_integer(removed);
}

static redisReply *do_hgetall(const struct call *c)
{
    size_t count = c->key == NULL ? 0 : c->key->items_count;
    redisReply *reply = reply_array(2 * count);
    for (size_t i = 0; i < count; i++) {
        reply->element[2 * i] = reply_string(c->key->items[i].name);
        reply->element[2 * i + 1] = reply_string(c->key->items[i].value);
    }
    return reply;
}

static redisReply *do_hmget(const struct call *c)
{
    redisReply *reply = reply_array(c->count - 2);
    for (size_t i = 2; i < c->count; i++) {
        const struct item *item = item_find(c->key, c->text[i]);
        reply->element[i - 2] = reply_string(item == NULL ? NULL : item->value);
    }
    return reply;
}

static redisReply *do_hexists(const struct call *c)
{
    return reply_integer(item_find(c->key, c->text[2]) != NULL);
}

static redisReply *do_hsetnx(const struct call *c)
{
    return item_find(c->key, c->text[2]) != NULL ? reply_integer(0) : do_hset(c);
}

static redisReply *do_hvals(const struct call *c)
{
    redisReply *reply = reply_array(c->key == NULL ? 0 : c->key->items_count);
    for (size_t i = 0; i < reply->elements; i++) {
        reply->element[i] = reply_string(c->key->items[i].value);
    }
    return reply;
}

static redisReply *do_exists(const struct call *c)
{
    return reply_integer(c->key != NULL);
}

static redisReply *do_del(const struct call *c)
{
    c->model->writes++;
    return reply_integer(c->key != NULL && key_delete(c->model, c->text[1]));
}

static redisReply *do_sadd(const struct call *c)
{
    struct key *key = key_need(c->model, c->text[1], KIND_SET);
    long long added = 0;
    for (size_t i = 2; i < c->count; i++) {
        if (item_find(key, c->text[i]) == NULL) {
            (void)item_add(key, c->text[i]);
            added++;
        }
    }
    return reply_integer(added);
}

static redisReply *names_of(const struct key *key)
{
    redisReply *reply = reply_array(key == NULL ? 0 : key->items_count);
    for (size_t i = 0; i < reply->elements; i++) {
        reply->element[i] = reply_string(key->items[i].name);
    }
    return reply;
}

static redisReply *do_smembers(const struct call *c)
{
    return names_of(c->key);
}

/* All in one page: small sets are so in Redis, too. */
static redisReply *do_sscan(const struct call *c)
{
    redisReply *reply = reply_array(2);
    reply->element[0] = reply_string("0");
    reply->element[1] = names_of(c->key);
    return reply;
}

static redisReply *do_count(const struct call *c)
{
    return reply_integer(c->key == NULL ? 0 : (long long)(c->key->items_count + c->key->entries_count));
}

static int by_score(const void *a, const void *b)
{
    const struct item *left = a;
    const struct item *right = b;
    return left->score < right->score ? -1 : left->score > right->score ? 1 : strcmp(left->name, right->name);
}

/* ZADD key [XX] [GT] score member: XX of a member that is there, GT to a higher score. */
static redisReply *do_zadd(const struct call *c)
{
    bool only_there = strcmp(c->text[2], "XX") == 0;
    size_t at = only_there ? 3 : 2;
    bool only_up = strcmp(c->text[at], "GT") == 0;
    at += only_up;
    struct key *key = key_need(c->model, c->text[1], KIND_ZSET);
    struct item *item = item_find(key, c->text[at + 1]);
    bool fresh = item == NULL;
    double score = strtod(c->text[at], NULL);
    if (fresh ? only_there : only_up && score <= item->score) {
        return reply_integer(0);
    }
    item = fresh ? item_add(key, c->text[at + 1]) : item;
    item->score = score;
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): there is one at least */
    qsort(key->items, key->items_count, sizeof *key->items, by_score);
    return reply_integer(fresh);
}

static redisReply *do_zscore(const struct call *c)
{
    const struct item *item = item_find(c->key, c->text[2]);
    return item == NULL ? reply_new(REDIS_REPLY_NIL) : reply_double(item->score);
}

/* From the n-th to the m-th, negative ones counted from the end. */
static void range_of(const struct key *key, const char *from, const char *to, long *first, long *last)
{
    long count = key == NULL ? 0 : (long)key->items_count;
    *first = strtol(from, NULL, 10);
    *last = strtol(to, NULL, 10);
    *first = *first < 0 ? *first + count : *first;
    *last = *last < 0 ? *last + count : *last;
    *first = *first < 0 ? 0 : *first;
    *last = *last >= count ? count - 1 : *last;
}

static redisReply *do_zrange(const struct call *c)
{
    long first = 0;
    long last = 0;
    bool scores = c->count > 4;
    size_t at = 0;
    range_of(c->key, c->text[2], c->text[3], &first, &last);
    redisReply *reply = reply_array(last < first ? 0 : (size_t)(last - first + 1) * (scores ? 2 : 1));
    for (long i = first; i <= last; i++) {
        reply->element[at++] = reply_string(c->key->items[i].name);
        if (scores) {
            reply->element[at++] = reply_double(c->key->items[i].score);
        }
    }
    return reply;
}

/* key -inf MAX LIMIT 0 COUNT */
static redisReply *do_zrangebyscore(const struct call *c)
{
    double most = strtod(c->text[3], NULL);
    size_t limit = c->count == 7 ? strtoul(c->text[6], NULL, 10) : SIZE_MAX;
    redisReply *reply = names_of(c->key);
    size_t count = 0;
    while (c->key != NULL && count < c->key->items_count && count < limit &&
           c->key->items[count].score <= most) {
        count++;
    }
    for (size_t i = count; i < reply->elements; i++) {
        redis_reply_free(reply->element[i]);
    }
    reply->elements = count;
    return reply;
}

static redisReply *do_zremrangebyrank(const struct call *c)
{
    long first = 0;
    long last = 0;
    long long removed = 0;
    range_of(c->key, c->text[2], c->text[3], &first, &last);
    for (long i = last; c->key != NULL && i >= first; i--) {
        item_remove(c->model, c->key, &c->key->items[i]);
        removed++;
    }
    return reply_integer(removed);
}

static redisReply *do_zremrangebyscore(const struct call *c)
{
    double least = strcmp(c->text[2], "-inf") == 0 ? -1e300 : strtod(c->text[2], NULL);
    double most = strcmp(c->text[3], "+inf") == 0 ? 1e300 : strtod(c->text[3], NULL);
    long long removed = 0;
    for (size_t i = c->key == NULL ? 0 : c->key->items_count; i-- > 0;) {
        if (c->key->items[i].score >= least && c->key->items[i].score <= most) {
            bool last = c->key->items_count == 1;
            item_remove(c->model, c->key, &c->key->items[i]);
            removed++;
            if (last) {
                break;
            }
        }
    }
    return reply_integer(removed);
}

static redisReply *do_zrevrange(const struct call *c)
{
    redisReply *reply = do_zrange(c);
    size_t width = c->count > 4 ? 2 : 1;
    long first = 0;
    long last = 0;
    long count = c->key == NULL ? 0 : (long)c->key->items_count;
    range_of(c->key, c->text[2], c->text[3], &first, &last);
    for (size_t i = 0; c->key != NULL && i < reply->elements; i += width) {
        const struct item *item = &c->key->items[count - 1 - first - (long)(i / width)];
        redis_reply_free(reply->element[i]);
        reply->element[i] = reply_string(item->name);
        if (width == 2) {
            redis_reply_free(reply->element[i + 1]);
            reply->element[i + 1] = reply_double(item->score);
        }
    }
    return reply;
}

static redisReply *do_lrange(const struct call *c)
{
    long first = 0;
    long last = 0;
    range_of(c->key, c->text[2], c->text[3], &first, &last);
    redisReply *reply = reply_array(last < first ? 0 : (size_t)(last - first + 1));
    for (size_t i = 0; i < reply->elements; i++) {
        reply->element[i] = reply_string(c->key->items[(size_t)first + i].name);
    }
    return reply;
}

static redisReply *do_ltrim(const struct call *c)
{
    long first = 0;
    long last = 0;
    range_of(c->key, c->text[2], c->text[3], &first, &last);
    for (long i = c->key == NULL ? 0 : (long)c->key->items_count; i-- > 0;) {
        if (i < first || i > last) {
            bool only = c->key->items_count == 1;
            item_remove(c->model, c->key, &c->key->items[i]);
            if (only) {
                break;
            }
        }
    }
    return reply_ok();
}

static redisReply *do_pexpire(const struct call *c)
{
    if (c->key != NULL) {
        c->key->expires = model_time + strtoull(c->text[2], NULL, 10);
    }
    c->model->writes++;
    return reply_integer(c->key != NULL);
}

static redisReply *do_pttl(const struct call *c)
{
    if (c->key == NULL) {
        return reply_integer(-2);
    }
    return reply_integer(c->key->expires == 0 ? -1 : (long long)(c->key->expires - model_time));
}

static redisReply *do_rpush(const struct call *c)
{
    struct key *key = key_need(c->model, c->text[1], KIND_LIST);
    for (size_t i = 2; i < c->count; i++) {
        (void)item_add(key, c->text[i]);
    }
    return reply_integer((long long)key->items_count);
}

static redisReply *do_time(const struct call *c)
{
    char seconds[24];
    char micros[24];
    (void)c;
    redisReply *reply = reply_array(2);
    snprintf(seconds, sizeof seconds, "%" PRIu64, model_time / 1000);
    snprintf(micros, sizeof micros, "%" PRIu64, model_time % 1000 * 1000);
    reply->element[0] = reply_string(seconds);
    reply->element[1] = reply_string(micros);
    return reply;
}

/* --- streams --------------------------------------------------------------------------------------------- */

struct id {
    uint64_t ms, sequence;
};

static struct id id_of(const char *text, uint64_t sequence)
{
    char *end = NULL;
    struct id id = {strtoull(text, &end, 10), sequence};
    if (*end == '-') {
        id.sequence = strtoull(end + 1, NULL, 10);
    }
    return id;
}

static int id_compare(struct id a, struct id b)
{
    return a.ms != b.ms ? (a.ms < b.ms ? -1 : 1) : a.sequence < b.sequence ? -1 : a.sequence > b.sequence;
}

static struct id entry_id(const struct entry *entry)
{
    return (struct id){entry->ms, entry->sequence};
}

static redisReply *reply_id(struct id id)
{
    char text[48];
    snprintf(text, sizeof text, "%" PRIu64 "-%" PRIu64, id.ms, id.sequence);
    return reply_string(text);
}

static redisReply *reply_entry(const struct entry *entry)
{
    redisReply *reply = reply_array(2);
    reply->element[0] = reply_id(entry_id(entry));
    reply->element[1] = reply_array(entry->count);
    for (size_t i = 0; i < entry->count; i++) {
        reply->element[1]->element[i] = reply_string(entry->strings[i]);
    }
    return reply;
}

/* key [MAXLEN ~ n] id field value ...; nothing is trimmed, as Redis does with so few entries. */
static redisReply *do_xadd(const struct call *c)
{
    size_t at = strcmp(c->text[2], "MAXLEN") == 0 ? 5 : 2;
    struct key *key = key_need(c->model, c->text[1], KIND_STREAM);
    struct id last = {key->last_ms, key->last_sequence};
    struct id id = {model_time, model_time == last.ms ? last.sequence + 1 : 0};
    if (strcmp(c->text[at], "*") != 0) {
        id = id_of(c->text[at], 0);
    } else if (id.ms < last.ms) {
        id = (struct id){last.ms, last.sequence + 1};
    }
    if (id_compare(id, last) <= 0) {
        return reply_error(
            "ERR The ID specified in XADD is equal or smaller than the target stream top item");
    }
    key->entries = need_memory(realloc(key->entries, (key->entries_count + 1) * sizeof *key->entries));
    struct entry *entry = &key->entries[key->entries_count++];
    *entry = (struct entry){.ms = id.ms, .sequence = id.sequence, .count = c->count - at - 1};
    entry->strings = need_memory(calloc(entry->count + 1, sizeof *entry->strings));
    for (size_t i = 0; i < entry->count; i++) {
        entry->strings[i] = copy_of(c->text[at + 1 + i]);
    }
    key->last_ms = id.ms;
    key->last_sequence = id.sequence;
    return reply_id(id);
}

/* Is it within, where "(" leaves the end itself out? */
static bool within(const struct entry *entry, const char *low, const char *high)
{
    struct id id = entry_id(entry);
    if (strcmp(low, "-") != 0 && id_compare(id, id_of(low, 0)) < 0) {
        return false;
    }
    if (strcmp(high, "+") == 0) {
        return true;
    }
    bool open = high[0] == '(';
    int order = id_compare(id, id_of(high + open, open ? 0 : UINT64_MAX));
    return open ? order < 0 : order <= 0;
}

static redisReply *range(const struct key *key, const char *low, const char *high, size_t limit, bool back)
{
    size_t count = key == NULL ? 0 : key->entries_count;
    redisReply *reply = reply_array(count);
    size_t found = 0;
    for (size_t i = 0; i < count && found < limit; i++) {
        const struct entry *entry = &key->entries[back ? count - 1 - i : i];
        if (within(entry, low, high)) {
            reply->element[found++] = reply_entry(entry);
        }
    }
    reply->elements = found;
    return reply;
}

static redisReply *do_xrange(const struct call *c)
{
    return range(c->key, c->text[2], c->text[3], c->count == 6 ? strtoul(c->text[5], NULL, 10) : SIZE_MAX,
                 false);
}

static redisReply *do_xrevrange(const struct call *c)
{
    return range(c->key, c->text[3], c->text[2], c->count == 6 ? strtoul(c->text[5], NULL, 10) : SIZE_MAX,
                 true);
}

static redisReply *read_one(struct redis_model *model, const char *name, const char *after, size_t limit)
{
    const struct key *key = key_find(model, name);
    char low[48];
    if (key == NULL || strcmp(after, "$") == 0) {
        return NULL;
    }
    struct id id = id_of(after, 0);
    snprintf(low, sizeof low, "%" PRIu64 "-%" PRIu64, id.ms, id.sequence + 1);
    redisReply *entries = range(key, low, "+", limit, false);
    if (entries->elements == 0) {
        redis_reply_free(entries);
        return NULL;
    }
    redisReply *reply = reply_array(2);
    reply->element[0] = reply_string(name);
    reply->element[1] = entries;
    return reply;
}

/* XREAD COUNT n [BLOCK ms] STREAMS key ... id ... */
static redisReply *do_xread(const struct call *c)
{
    size_t limit = strtoul(c->text[2], NULL, 10);
    size_t at = strcmp(c->text[3], "BLOCK") == 0 ? 6 : 4;
    size_t streams = (c->count - at) / 2;
    redisReply *reply = reply_array(streams);
    size_t found = 0;
    for (size_t i = 0; i < streams; i++) {
        redisReply *one = read_one(c->model, c->text[at + i], c->text[at + streams + i], limit);
        if (one != NULL) {
            reply->element[found++] = one;
        }
    }
    reply->elements = found;
    if (found == 0) {
        redis_reply_free(reply);
        return reply_new(REDIS_REPLY_NIL);
    }
    return reply;
}

static redisReply *do_role(const struct call *c)
{
    (void)c;
    redisReply *reply = reply_array(1);
    reply->element[0] = reply_string("master");
    return reply;
}

static redisReply *do_function(const struct call *c)
{
    c->model->library = true;
    c->model->writes++;
    return reply_string("turnout");
}

static redisReply *do_fcall(const struct call *c);

static const struct command {
    const char *name;
    enum kind kind; /* of the key text[1]; KIND_NONE: any, or no key */
    size_t count;   /* strings at least */
    redisReply *(*run)(const struct call *c);
} commands[] = {
    {"GET", KIND_STRING, 2, do_get},
    {"SET", KIND_STRING, 3, do_set},
    {"HGET", KIND_HASH, 3, do_hget},
    {"HSET", KIND_HASH, 4, do_hset},
    {"HDEL", KIND_HASH, 3, remove_items},
    {"HLEN", KIND_HASH, 2, do_count},
    {"HGETALL", KIND_HASH, 2, do_hgetall},
    {"HEXISTS", KIND_HASH, 3, do_hexists},
    {"HSETNX", KIND_HASH, 4, do_hsetnx},
    {"HKEYS", KIND_HASH, 2, do_smembers},
    {"HVALS", KIND_HASH, 2, do_hvals},
    {"HMGET", KIND_HASH, 3, do_hmget},
    {"EXISTS", KIND_NONE, 2, do_exists},
    {"DEL", KIND_NONE, 2, do_del},
    {"SADD", KIND_SET, 3, do_sadd},
    {"SREM", KIND_SET, 3, remove_items},
    {"SMEMBERS", KIND_SET, 2, do_smembers},
    {"SSCAN", KIND_SET, 3, do_sscan},
    {"SCARD", KIND_SET, 2, do_count},
    {"ZADD", KIND_ZSET, 4, do_zadd},
    {"ZREM", KIND_ZSET, 3, remove_items},
    {"ZSCORE", KIND_ZSET, 3, do_zscore},
    {"ZCARD", KIND_ZSET, 2, do_count},
    {"ZRANGE", KIND_ZSET, 4, do_zrange},
    {"ZRANGEBYSCORE", KIND_ZSET, 4, do_zrangebyscore},
    {"ZREMRANGEBYRANK", KIND_ZSET, 4, do_zremrangebyrank},
    {"ZREMRANGEBYSCORE", KIND_ZSET, 4, do_zremrangebyscore},
    {"ZREVRANGE", KIND_ZSET, 4, do_zrevrange},
    {"PEXPIRE", KIND_NONE, 3, do_pexpire},
    {"PTTL", KIND_NONE, 2, do_pttl},
    {"RPUSH", KIND_LIST, 3, do_rpush},
    {"LLEN", KIND_LIST, 2, do_count},
    {"LRANGE", KIND_LIST, 4, do_lrange},
    {"LTRIM", KIND_LIST, 4, do_ltrim},
    {"TIME", KIND_NONE, 1, do_time},
    {"XADD", KIND_STREAM, 5, do_xadd},
    {"XLEN", KIND_STREAM, 2, do_count},
    {"XRANGE", KIND_STREAM, 4, do_xrange},
    {"XREVRANGE", KIND_STREAM, 4, do_xrevrange},
    {"XREAD", KIND_NONE, 6, do_xread},
    {"ROLE", KIND_NONE, 1, do_role},
    {"FUNCTION", KIND_NONE, 3, do_function},
    {"FCALL", KIND_NONE, 4, do_fcall},
};

static redisReply *run_command(struct redis_model *model, size_t count, const char *const *text)
{
    char error[120];
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        const struct command *command = &commands[i];
        if (strcmp(command->name, text[0]) != 0) {
            continue;
        }
        if (count < command->count) {
            return reply_error("ERR wrong number of arguments");
        }
        struct call call = {.model = model, .count = count, .text = text};
        call.key = count > 1 ? key_find(model, text[1]) : NULL;
        if (call.key != NULL && command->kind != KIND_NONE && call.key->kind != command->kind) {
            return reply_error("WRONGTYPE Operation against a key holding the wrong kind of value");
        }
        return command->run(&call);
    }
    snprintf(error, sizeof error, "ERR unknown command '%.40s': the model lacks it", text[0]);
    return reply_error(error);
}

/* --- Lua ------------------------------------------------------------------------------------------------- */

static void push_field(lua_State *L, const char *name, const char *text)
{
    lua_newtable(L);
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

static void push_reply(lua_State *L, const redisReply *reply)
{
    switch (reply->type) {
    case REDIS_REPLY_INTEGER: lua_pushnumber(L, (lua_Number)reply->integer); break;
    case REDIS_REPLY_STRING: lua_pushlstring(L, reply->str, (size_t)reply->len); break;
    case REDIS_REPLY_STATUS: push_field(L, "ok", reply->str); break;
    case REDIS_REPLY_ERROR: push_field(L, "err", reply->str); break;
    case REDIS_REPLY_ARRAY:
        lua_newtable(L);
        for (size_t i = 0; i < reply->elements; i++) {
            push_reply(L, reply->element[i]);
            lua_rawseti(L, -2, (int)i + 1);
        }
        break;
    default: lua_pushboolean(L, 0); break;
    }
}

static redisReply *call_from_lua(lua_State *L)
{
    int count = lua_gettop(L);
    const char **text = need_memory(calloc((size_t)count + 1, sizeof *text));
    for (int i = 0; i < count; i++) {
        text[i] = lua_tostring(L, i + 1);
        if (text[i] == NULL) {
            free(text);
            return reply_error("ERR Lua redis lib command arguments must be strings or integers");
        }
    }
    redisReply *reply = run_command(model_used, (size_t)count, text);
    free(text);
    return reply;
}

static int lua_pcall_redis(lua_State *L)
{
    redisReply *reply = call_from_lua(L);
    push_reply(L, reply);
    redis_reply_free(reply);
    return 1;
}

static int lua_call_redis(lua_State *L)
{
    redisReply *reply = call_from_lua(L);
    if (reply->type == REDIS_REPLY_ERROR) {
        lua_pushstring(L, reply->str);
        redis_reply_free(reply);
        return lua_error(L);
    }
    push_reply(L, reply);
    redis_reply_free(reply);
    return 1;
}

static int lua_sha1hex(lua_State *L)
{
    size_t len = 0;
    const char *text = luaL_checklstring(L, 1, &len);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    char hex[2 * EVP_MAX_MD_SIZE + 1];
    EVP_Digest(text, len, digest, &digest_len, EVP_sha1(), NULL);
    for (unsigned i = 0; i < digest_len; i++) {
        snprintf(hex + (size_t)2 * i, 3, "%02x", digest[i]);
    }
    lua_pushlstring(L, hex, (size_t)2 * digest_len);
    return 1;
}

static int lua_error_reply(lua_State *L)
{
    push_field(L, "err", luaL_checkstring(L, 1));
    return 1;
}

/* register_function(name, function), or of a table of both. Kept in the registry under its name. */
static int lua_register_function(lua_State *L)
{
    if (lua_istable(L, 1)) {
        lua_getfield(L, 1, "function_name");
        lua_getfield(L, 1, "callback");
    }
    lua_setfield(L, LUA_REGISTRYINDEX, lua_tostring(L, -2));
    return 0;
}

static void push_json(lua_State *L, const json_t *value)
{
    const char *name;
    json_t *member;
    size_t index;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        lua_newtable(L);
        json_object_foreach((json_t *)(uintptr_t)value, name, member)
        {
            push_json(L, member);
            lua_setfield(L, -2, name);
        }
        break;
    case JSON_ARRAY:
        lua_newtable(L);
        json_array_foreach(value, index, member)
        {
            push_json(L, member);
            lua_rawseti(L, -2, (int)index + 1);
        }
        break;
    case JSON_STRING: lua_pushlstring(L, json_string_value(value), json_string_length(value)); break;
    case JSON_INTEGER:
    case JSON_REAL: lua_pushnumber(L, json_number_value(value)); break;
    case JSON_TRUE:
    case JSON_FALSE: lua_pushboolean(L, json_is_true(value)); break;
    default: lua_pushlightuserdata(L, NULL); break;
    }
}

static int lua_json_decode(lua_State *L)
{
    size_t len = 0;
    const char *text = luaL_checklstring(L, 1, &len);
    json_t *value = json_loadb(text, len, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
    if (value == NULL) {
        return luaL_error(L, "not JSON");
    }
    push_json(L, value);
    json_decref(value);
    return 1;
}

/* --- cjson.encode: as lua-cjson does, tables in the order of Lua's own next --------------------------------- */

/* JSON under way: Lua's own buffers keep pieces on its stack, where the table is walked. */
struct json_text {
    char *text;
    size_t len, size;
};

static void put(struct json_text *out, const char *text, size_t len)
{
    if (len == 0) {
        return;
    }
    if (out->len + len > out->size) {
        out->size = 2 * (out->len + len);
        out->text = need_memory(realloc(out->text, out->size));
    }
    memcpy(out->text + out->len, text, len);
    out->len += len;
}

static void put_string(struct json_text *out, const char *text, size_t len)
{
    put(out, "\"", 1);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        char escaped[8];
        if (c == '"' || c == '\\' || c == '/') {
            snprintf(escaped, sizeof escaped, "\\%c", c);
        } else if (c < ' ' || c == 0x7F) {
            snprintf(escaped, sizeof escaped, "\\u%04x", c);
        } else {
            snprintf(escaped, sizeof escaped, "%c", c);
        }
        put(out, escaped, strlen(escaped));
    }
    put(out, "\"", 1);
}

static void put_value(lua_State *L, int at, struct json_text *out);

static void put_array(lua_State *L, int at, size_t count, struct json_text *out)
{
    for (size_t i = 1; i <= count; i++) {
        put(out, i == 1 ? "[" : ",", 1);
        lua_rawgeti(L, at, (int)i);
        put_value(L, lua_gettop(L), out);
        lua_pop(L, 1);
    }
    put(out, "]", 1);
}

static void put_object(lua_State *L, int at, struct json_text *out)
{
    bool first = true;
    put(out, "{", 1);
    for (lua_pushnil(L); lua_next(L, at) != 0; lua_pop(L, 1)) {
        size_t len = 0;
        const char *name =
            lua_tolstring(L, -2, &len); /* ours have names alone: lua_next minds a number changed */
        put(out, ",", first ? 0 : 1);
        put_string(out, name, len);
        put(out, ":", 1);
        put_value(L, lua_gettop(L), out);
        first = false;
    }
    put(out, "}", 1);
}

static void put_value(lua_State *L, int at, struct json_text *out)
{
    char number[32];
    size_t len = 0;
    const char *text;
    switch (lua_type(L, at)) {
    case LUA_TSTRING:
        text = lua_tolstring(L, at, &len);
        put_string(out, text, len);
        break;
    case LUA_TNUMBER:
        snprintf(number, sizeof number, "%.14g", lua_tonumber(L, at));
        put(out, number, strlen(number));
        break;
    case LUA_TBOOLEAN: put(out, lua_toboolean(L, at) ? "true" : "false", lua_toboolean(L, at) ? 4 : 5); break;
    case LUA_TTABLE:
        len = lua_objlen(L, at);
        if (len > 0) {
            put_array(L, at, len, out);
        } else {
            put_object(L, at, out);
        }
        break;
    default: put(out, "null", 4); break;
    }
}

static int lua_json_encode(lua_State *L)
{
    struct json_text out = {.len = 0};
    put_value(L, 1, &out);
    lua_pushlstring(L, out.text, out.len);
    free(out.text);
    return 1;
}

static void set_function(const char *name, lua_CFunction function)
{
    lua_pushcfunction(lua, function);
    lua_setfield(lua, -2, name);
}

/* The library; run, it registers its functions. */
static void load_library(void)
{
    const char *text = strchr(functions_text(), '\n'); /* after "#!lua name=turnout" */
    lua = need_memory(luaL_newstate());
    luaL_openlibs(lua);
    lua_newtable(lua);
    set_function("call", lua_call_redis);
    set_function("pcall", lua_pcall_redis);
    set_function("sha1hex", lua_sha1hex);
    set_function("error_reply", lua_error_reply);
    set_function("register_function", lua_register_function);
    lua_setglobal(lua, "redis");
    lua_newtable(lua);
    set_function("decode", lua_json_decode);
    set_function("encode", lua_json_encode);
    lua_pushlightuserdata(lua, NULL);
    lua_setfield(lua, -2, "null");
    lua_setglobal(lua, "cjson");
    if (luaL_loadstring(lua, text) != 0) {
        fprintf(stderr, "the library of functions: %s\n", lua_tostring(lua, -1));
        exit(2);
    }
    library = luaL_ref(lua, LUA_REGISTRYINDEX);
}

void redis_model_new_server(void)
{
    if (lua == NULL) {
        load_library();
    }
    lua_settop(lua, 0);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, library);
    if (lua_pcall(lua, 0, 0, 0) != 0) {
        fprintf(stderr, "the library of functions: %s\n", lua_tostring(lua, -1));
        exit(2);
    }
}

static redisReply *reply_of(int at);

static redisReply *reply_of_table(int at)
{
    lua_getfield(lua, at, "err");
    if (lua_isstring(lua, -1)) {
        redisReply *error = reply_error(lua_tostring(lua, -1));
        lua_pop(lua, 1);
        return error;
    }
    lua_pop(lua, 1);
    size_t count = lua_objlen(lua, at);
    redisReply *reply = reply_array(count);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(lua, at, (int)i + 1);
        if (lua_isnil(lua, -1)) { /* as in Redis, an array ends there */
            lua_pop(lua, 1);
            reply->elements = i;
            break;
        }
        reply->element[i] = reply_of(lua_gettop(lua));
        lua_pop(lua, 1);
    }
    return reply;
}

static redisReply *reply_of(int at)
{
    size_t len = 0;
    const char *text;
    switch (lua_type(lua, at)) {
    case LUA_TNUMBER: return reply_integer((long long)lua_tonumber(lua, at));
    case LUA_TSTRING: text = lua_tolstring(lua, at, &len); return reply_text(REDIS_REPLY_STRING, text, len);
    case LUA_TBOOLEAN: return lua_toboolean(lua, at) ? reply_integer(1) : reply_new(REDIS_REPLY_NIL);
    case LUA_TTABLE: return reply_of_table(at);
    default: return reply_new(REDIS_REPLY_NIL);
    }
}

static void push_strings(const char *const *text, size_t count)
{
    lua_newtable(lua);
    for (size_t i = 0; i < count; i++) {
        lua_pushstring(lua, text[i]);
        lua_rawseti(lua, -2, (int)i + 1);
    }
}

/* FCALL name 1 key argument ... */
static redisReply *do_fcall(const struct call *c)
{
    if (lua == NULL) {
        redis_model_new_server();
    }
    lua_settop(lua, 0);
    lua_getfield(lua, LUA_REGISTRYINDEX, c->text[1]);
    if (!c->model->library || !lua_isfunction(lua, -1)) {
        return reply_error("ERR Function not found");
    }
    model_used = c->model;
    push_strings(c->text + 3, 1);
    push_strings(c->text + 4, c->count - 4);
    if (lua_pcall(lua, 2, 1, 0) != 0) {
        char error[300];
        snprintf(error, sizeof error, "ERR %s script: function", lua_tostring(lua, -1));
        return reply_error(error);
    }
    return reply_of(1);
}

/* --- the model ------------------------------------------------------------------------------------------- */

struct redis_model *redis_model_new(void)
{
    return need_memory(calloc(1, sizeof(struct redis_model)));
}

static void empty(struct redis_model *model)
{
    while (model->keys != NULL) {
        struct key *key = model->keys;
        model->keys = key->next;
        key_free(key);
    }
}

void redis_model_free(struct redis_model *model)
{
    empty(model);
    free(model);
}

static struct key *key_copy(const struct key *from)
{
    struct key *key = need_memory(malloc(sizeof *key));
    *key = *from;
    key->name = copy_of(from->name);
    key->items = need_memory(calloc(from->items_count + 1, sizeof *key->items));
    for (size_t i = 0; i < from->items_count; i++) {
        const struct item *item = &from->items[i];
        key->items[i] = (struct item){copy_of(item->name), item->value == NULL ? NULL : copy_of(item->value),
                                      item->score};
    }
    key->entries = need_memory(calloc(from->entries_count + 1, sizeof *key->entries));
    for (size_t i = 0; i < from->entries_count; i++) {
        key->entries[i] = from->entries[i];
        key->entries[i].strings = need_memory(calloc(from->entries[i].count + 1, sizeof(char *)));
        for (size_t s = 0; s < from->entries[i].count; s++) {
            key->entries[i].strings[s] = copy_of(from->entries[i].strings[s]);
        }
    }
    return key;
}

void redis_model_copy(struct redis_model *to, const struct redis_model *from)
{
    empty(to);
    struct key **last = &to->keys;
    for (const struct key *key = from->keys; key != NULL; key = key->next) {
        *last = key_copy(key);
        last = &(*last)->next;
        *last = NULL;
    }
    to->library = from->library;
    to->writes = from->writes;
}

redisReply *redis_model_command(struct redis_model *model, uint64_t now_ms, size_t count,
                                const char *const *strings, const size_t *lens)
{
    (void)lens; /* no string of ours has a NUL */
    model_time = now_ms;
    return run_command(model, count, strings);
}

uint64_t redis_model_writes(const struct redis_model *model)
{
    return model->writes;
}
