/* See feed.h. */
#include "proxy/hooks/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proxy/hooks/outbox.h"
#include "proxy/log.h"
#include "routing/redis_sync.h"

enum {
    ANSWER_SLACK_MS = 1000, /* beyond the time that Redis was asked to wait */
    TIMEOUT_MAX_MS = 2000,  /* so that an end is not kept waiting */
    READ_MAX = 100,         /* events of one call */
    TOLD_LASTS_S = 86400,
    REOPEN_MS = 10000, /* by sentinels: to leave a master that was replaced and does not know */
    IDS_MAX = OUTBOX_EVENTS_MAX,
    DONE_MAX = 4 * OUTBOX_EVENTS_MAX, /* that Redis could not be told of; further ones come again */
    ID_SIZE = 48,
    GROUP_COMMAND_WORDS = 8,
};

static const char group[] = "hooks";

struct feed {
    struct redis_address address;
    char *prefix;
    char *consumer;
    const struct feed_events *events;
    void *ctx;
    struct redis *redis; /* NULL: not connected */
    bool group_there;
    enum { TOLD_NOTHING, TOLD_READING, TOLD_BLIND } log_told;
    uint64_t opened_ms;
    char cursor[ID_SIZE]; /* of the claims */
    uint64_t connect_at_ms, backoff_ms, backoff_min_ms, backoff_max_ms;
    uint64_t takeover_ms, held_ms, refreshed_ms, claimed_ms;
    unsigned timeout_ms;
    char last_id[ID_SIZE]; /* the newest seen; "": none */
    char (*done)[ID_SIZE];
    size_t done_count;
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- the connection -------------------------------------------------------------------------------------- */

static void put_text(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from == NULL ? "" : from);
}

static void make_address(struct redis_address *address, const struct config *config, unsigned timeout_ms)
{
    const char *reason;
    *address = (struct redis_address){
        .port = config->redis.port, .database = config->redis.database, .connect_ms = timeout_ms};
    put_text(address->host, sizeof address->host, config->redis.host);
    put_text(address->path, sizeof address->path, config->redis.unix_path);
    put_text(address->user, sizeof address->user, config->redis.username);
    put_text(address->password, sizeof address->password, config->redis.password);
    put_text(address->master, sizeof address->master, config->redis.master);
    put_text(address->sentinel_user, sizeof address->sentinel_user, config->redis.sentinel_username);
    put_text(address->sentinel_password, sizeof address->sentinel_password, config->redis.sentinel_password);
    for (size_t i = 0; i < config->redis.sentinels_count; i++) {
        const char *text = config->redis.sentinels[i];
        (void)sentinels_add(&address->sentinels, text, strlen(text), &reason); /* the config was checked */
    }
}

/* Says so once, and again when it is over. */
static void lost(struct feed *feed, const char *why)
{
    if (feed->log_told != TOLD_BLIND) {
        log_event(EVENT_HOOKS_BLIND, LOG_TEXT("why", why));
    }
    feed->log_told = TOLD_BLIND;
    feed->connect_at_ms = now_ms() + feed->backoff_ms;
    feed->backoff_ms =
        feed->backoff_ms * 2 < feed->backoff_max_ms ? feed->backoff_ms * 2 : feed->backoff_max_ms;
    redis_close(feed->redis);
    feed->redis = NULL;
}

static bool connected(struct feed *feed)
{
    if (feed->redis != NULL && feed->address.sentinels.count > 0 && now_ms() - feed->opened_ms > REOPEN_MS) {
        redis_close(feed->redis);
        feed->redis = NULL;
    }
    if (feed->redis != NULL || now_ms() < feed->connect_at_ms) {
        return feed->redis != NULL;
    }
    feed->redis = redis_open(&feed->address, feed->prefix);
    if (feed->redis == NULL || redis_trouble(feed->redis) == REDIS_UNREACHABLE) {
        lost(feed, feed->redis == NULL ? "no memory" : redis_trouble_text(feed->redis));
        return false;
    }
    redis_patience(feed->redis, feed->timeout_ms);
    feed->group_there = false;
    feed->opened_ms = now_ms();
    return true;
}

/* NULL: the connection is gone, or Redis refused, which the caller may look at. */
static redisReply *call(struct feed *feed, const char *const *words, size_t count)
{
    redisReply *reply = redis_call(feed->redis, words, count);
    if (reply == NULL && redis_trouble(feed->redis) != REDIS_REFUSED) {
        lost(feed, redis_trouble_text(feed->redis));
    }
    return reply;
}

static bool call_done(struct feed *feed, const char *const *words, size_t count)
{
    redisReply *reply = call(feed, words, count);
    freeReplyObject(reply);
    return reply != NULL;
}

/* --- the group ------------------------------------------------------------------------------------------- */

/* What happened before there was a hook is told to nobody. Where the group has gone with Redis' memory, it goes on
 * after the last event seen. */
static bool make_group(struct feed *feed)
{
    if (feed->group_there) {
        return true;
    }
    char key[256];
    put_text(key, sizeof key, redis_key(feed->redis, "events"));
    const char *from = feed->last_id[0] == '\0' ? "$" : feed->last_id;
    const char *const words[] = {"XGROUP", "CREATE", key, group, from, "MKSTREAM"};
    bool made = call_done(feed, words, 6);
    if (feed->redis == NULL) {
        return false;
    }
    feed->group_there = made || strstr(redis_trouble_text(feed->redis), "BUSYGROUP") != NULL;
    if (!feed->group_there) {
        lost(feed, redis_trouble_text(feed->redis));
    } else {
        const char *const present[] = {"XGROUP", "CREATECONSUMER", key, group, feed->consumer};
        (void)call_done(feed, present, 5); /* so that one sees that somebody listens */
        feed->backoff_ms = feed->backoff_min_ms;
        if (feed->log_told != TOLD_READING) {
            log_event(EVENT_HOOKS_READING, LOG_TEXT("consumer", feed->consumer));
        }
        feed->log_told = TOLD_READING;
    }
    return feed->group_there && feed->redis != NULL;
}

/* --- entries --------------------------------------------------------------------------------------------- */

/* Who has been told of an event that was another's. False where Redis did not say. */
static redisReply *ask_told(struct feed *feed, const char *id)
{
    char key[256];
    put_text(key, sizeof key, redis_key(feed->redis, "events:told:%s", id));
    const char *const words[] = {"SMEMBERS", key};
    return call(feed, words, 2);
}

static const char **texts_of(const redisReply *array, size_t *count)
{
    *count = array == NULL || array->type != REDIS_REPLY_ARRAY ? 0 : array->elements;
    const char **texts = calloc(*count + 1, sizeof *texts);
    for (size_t i = 0; texts != NULL && i < *count; i++) {
        texts[i] = redis_text(array, i);
    }
    return texts;
}

/* Without memory it stays pending, and comes again. */
static void take_entry(struct feed *feed, const redisReply *entry, bool claimed)
{
    size_t count, told_count;
    const char *id = redis_text(entry, 0);
    if (feed->events->has(feed->ctx, id)) {
        return;
    }
    redisReply *told = claimed ? ask_told(feed, id) : NULL;
    if (claimed && told == NULL) {
        return;
    }
    const char **fields = texts_of(entry->elements > 1 ? entry->element[1] : NULL, &count);
    const char **told_texts = texts_of(told, &told_count);
    if (fields != NULL && told_texts != NULL) {
        feed->events->event(feed->ctx, id, fields, count, told_texts, told_count);
    }
    free(fields);
    free(told_texts);
    freeReplyObject(told);
}

static void take_entries(struct feed *feed, const redisReply *entries, bool claimed)
{
    for (size_t i = 0; entries->type == REDIS_REPLY_ARRAY && i < entries->elements && feed->redis != NULL;
         i++) {
        const redisReply *entry = entries->element[i];
        if (entry->type != REDIS_REPLY_ARRAY || entry->elements < 2) {
            continue; /* its event was trimmed from the stream */
        }
        if (!claimed) {
            put_text(feed->last_id, sizeof feed->last_id, redis_text(entry, 0));
        }
        take_entry(feed, entry, claimed);
    }
}

static void read_new(struct feed *feed, size_t room, unsigned wait_ms)
{
    char key[256], count[16], wait[16];
    put_text(key, sizeof key, redis_key(feed->redis, "events"));
    snprintf(count, sizeof count, "%zu", room < READ_MAX ? room : (size_t)READ_MAX);
    snprintf(wait, sizeof wait, "%u", wait_ms);
    const char *const waiting[] = {
        "XREADGROUP", "GROUP", group, feed->consumer, "COUNT", count, "BLOCK", wait, "STREAMS", key, ">"};
    const char *const at_once[] = {"XREADGROUP", "GROUP", group, feed->consumer, "COUNT", count,
                                   "STREAMS",    key,     ">"};
    redis_patience(feed->redis, feed->timeout_ms + (wait_ms > 0 ? wait_ms + ANSWER_SLACK_MS : 0));
    redisReply *reply = wait_ms > 0 ? call(feed, waiting, 11) : call(feed, at_once, 9);
    if (reply == NULL && feed->redis != NULL) { /* refused: NOGROUP, or a failover under way */
        feed->group_there = false;
        if (strstr(redis_trouble_text(feed->redis), "NOGROUP") == NULL) {
            lost(feed, redis_trouble_text(feed->redis));
        }
    }
    if (feed->redis != NULL) {
        redis_patience(feed->redis, feed->timeout_ms);
    }
    if (reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
        reply->element[0]->type == REDIS_REPLY_ARRAY && reply->element[0]->elements > 1) {
        take_entries(feed, reply->element[0]->element[1], false);
    }
    freeReplyObject(reply);
}

/* What nobody has said for `takeover` that he has it. */
static void claim_left(struct feed *feed, size_t room)
{
    char key[256], count[16], idle[24];
    put_text(key, sizeof key, redis_key(feed->redis, "events"));
    snprintf(count, sizeof count, "%zu", room < READ_MAX ? room : (size_t)READ_MAX);
    snprintf(idle, sizeof idle, "%llu", (unsigned long long)feed->takeover_ms);
    const char *const words[] = {"XAUTOCLAIM", key,          group,   feed->consumer,
                                 idle,         feed->cursor, "COUNT", count};
    redisReply *reply = call(feed, words, 8);
    if (reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements > 1) {
        put_text(feed->cursor, sizeof feed->cursor, redis_text(reply, 0));
        take_entries(feed, reply->element[1], true);
    }
    freeReplyObject(reply);
    feed->claimed_ms = now_ms();
}

/* --- what is being told ---------------------------------------------------------------------------------- */

/* idle is put as the time since anything was heard of them. */
static bool say_held(struct feed *feed, const char *idle)
{
    char key[256];
    const char **words = calloc(IDS_MAX + GROUP_COMMAND_WORDS, sizeof *words);
    if (words == NULL) {
        return false;
    }
    put_text(key, sizeof key, redis_key(feed->redis, "events"));
    const char *const head[] = {"XCLAIM", key, group, feed->consumer, "0"};
    memcpy(words, head, sizeof head);
    size_t used = sizeof head / sizeof head[0];
    size_t ids = feed->events->ids(feed->ctx, words + used, IDS_MAX);
    used += ids;
    words[used++] = "IDLE";
    words[used++] = idle;
    words[used++] = "JUSTID";
    bool said = ids == 0 || call_done(feed, words, used);
    free(words);
    return said;
}

/* Asked for before anything is sent to anybody: a process that was stopped has lost what it held. */
static bool still_held(struct feed *feed)
{
    const char *none[1];
    if (feed->events->ids(feed->ctx, none, 1) == 0) {
        feed->held_ms = now_ms();
        return true;
    }
    return now_ms() - feed->held_ms < feed->takeover_ms;
}

static void refresh(struct feed *feed)
{
    uint64_t now = now_ms();
    if (now - feed->refreshed_ms < feed->takeover_ms / 3) {
        return;
    }
    if (say_held(feed, "0")) {
        feed->held_ms = feed->refreshed_ms = now;
    }
}

static void say_done(struct feed *feed)
{
    char key[256], told[320];
    put_text(key, sizeof key, redis_key(feed->redis, "events"));
    while (feed->done_count > 0 && feed->redis != NULL) {
        const char *id = feed->done[feed->done_count - 1];
        snprintf(told, sizeof told, "%s:told:%s", key, id);
        const char *const words[] = {"XACK", key, group, id};
        const char *const forget[] = {"DEL", told};
        if (!call_done(feed, words, 4) && feed->redis == NULL) {
            return;
        }
        feed->done_count--;
        (void)call_done(feed, forget, 2);
    }
}

void feed_done(struct feed *feed, const char *id)
{
    if (feed->done_count < DONE_MAX) {
        put_text(feed->done[feed->done_count++], ID_SIZE, id);
    }
}

/* Where Redis cannot be asked, another instance would tell it again: at least once. */
void feed_told(struct feed *feed, const char *id, const char *target)
{
    char key[256], lasts[16];
    if (feed->redis == NULL) {
        return;
    }
    put_text(key, sizeof key, redis_key(feed->redis, "events:told:%s", id));
    snprintf(lasts, sizeof lasts, "%d", TOLD_LASTS_S);
    const char *const add[] = {"SADD", key, target};
    const char *const expire[] = {"EXPIRE", key, lasts};
    if (call_done(feed, add, 3)) {
        (void)call_done(feed, expire, 3);
    }
}

char *feed_zone(struct feed *feed, const char *window)
{
    char key[256];
    if (feed->redis == NULL || window[0] == '\0') {
        return NULL;
    }
    put_text(key, sizeof key, redis_key(feed->redis, "window:%s", window));
    const char *const words[] = {"HGET", key, "zone"};
    redisReply *reply = call(feed, words, 3);
    char *zone = reply != NULL && reply->type == REDIS_REPLY_STRING ? strdup(reply->str) : NULL;
    freeReplyObject(reply);
    return zone;
}

/* --- the turn -------------------------------------------------------------------------------------------- */

bool feed_turn(struct feed *feed, size_t room, unsigned wait_ms)
{
    if (!still_held(feed)) {
        return false;
    }
    if (!connected(feed) || !make_group(feed)) {
        return true;
    }
    say_done(feed);
    if (feed->redis != NULL) {
        refresh(feed);
    }
    if (feed->redis != NULL && room > 0 && now_ms() - feed->claimed_ms >= feed->takeover_ms / 3) {
        claim_left(feed, room);
    }
    if (feed->redis != NULL && room > 0) {
        read_new(feed, room, wait_ms);
    }
    return true;
}

bool feed_waits(const struct feed *feed)
{
    return feed->redis != NULL && feed->group_there;
}

void feed_takeover(struct feed *feed, uint64_t takeover)
{
    feed->takeover_ms = takeover / 1000000;
}

/* A consumer without anything pending leaves no trace. */
static void remove_consumer(struct feed *feed)
{
    char key[256];
    put_text(key, sizeof key, redis_key(feed->redis, "events"));
    const char *const ask[] = {"XPENDING", key, group, "-", "+", "1", feed->consumer};
    const char *const remove[] = {"XGROUP", "DELCONSUMER", key, group, feed->consumer};
    redisReply *reply = call(feed, ask, 7);
    bool nothing = reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 0;
    freeReplyObject(reply);
    if (nothing) {
        (void)call_done(feed, remove, 5);
    }
}

void feed_release(struct feed *feed)
{
    char idle[24];
    snprintf(idle, sizeof idle, "%llu", (unsigned long long)feed->takeover_ms);
    if (feed->redis != NULL && feed->group_there) {
        say_done(feed);
    }
    if (feed->redis != NULL && feed->group_there && still_held(feed)) {
        (void)say_held(feed, idle);
    }
    if (feed->redis != NULL && feed->group_there) {
        remove_consumer(feed);
    }
    redis_close(feed->redis);
    feed->redis = NULL;
}

struct feed *feed_new(const struct config *config, const struct feed_events *events, void *ctx)
{
    struct feed *feed = calloc(1, sizeof *feed);
    if (feed == NULL) {
        return NULL;
    }
    uint64_t timeout_ms = config->redis.timeout / 1000000;
    feed->timeout_ms = timeout_ms < TIMEOUT_MAX_MS ? (unsigned)timeout_ms : TIMEOUT_MAX_MS;
    make_address(&feed->address, config, feed->timeout_ms);
    feed->prefix = config->redis.prefix;
    feed->consumer = config->instance;
    feed->events = events;
    feed->ctx = ctx;
    feed->backoff_ms = feed->backoff_min_ms = config->redis.reconnect_min / 1000000;
    feed->backoff_max_ms = config->redis.reconnect_max / 1000000;
    put_text(feed->cursor, sizeof feed->cursor, "0-0");
    feed->done = calloc(DONE_MAX, sizeof *feed->done);
    if (feed->done == NULL) {
        feed_free(feed);
        return NULL;
    }
    return feed;
}

void feed_free(struct feed *feed)
{
    if (feed == NULL) {
        return;
    }
    redis_close(feed->redis);
    explicit_bzero(&feed->address, sizeof feed->address);
    free(feed->done);
    free(feed);
}
