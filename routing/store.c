/* retry timer ──▶ (sentinels: who is the master?) ──▶ two connections ──both ready──▶ (a master?) ──▶
 * library there? ──▶ session
 *                                                                     │ follow_ask ──▶ command or reader ──▶
 * answer │      ▲                               │ │      └──advance()◀── follow_x ◀──────┘ └ beat timer,
 * applied ──▶ turnout_beat ──answer──▶ turnout_due ──▶ due timer ──▶ turnout_due
 *
 * What to ask and what to make of it is follow.c's; here it becomes commands. The reader's connection only
 * waits for changes (XREAD with BLOCK); all else goes over the other one, so that a beat never waits behind
 * it. Either lost ends the session.
 *
 * Questions to all instances come over the reader, too; their answers go over the other connection.
 *
 * turnout_due sets back what nobody confirmed in time; whichever instance comes first does it. A beat does so
 * too, but the timer makes it a matter of milliseconds: every change brings a beat, and every beat the next
 * deadline. */
#include "routing/store.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "routing/functions.h"
#include "routing/identity.h"
#include "routing/redis_conn.h"
#include "routing/saver.h"
#include "routing/sentinel.h"
#include "routing/sentinel_watch.h"
#include "routing/snapshot.h"

enum {
    BLOCK_FOLLOWING_MS = 5000, /* after which the version and the history are compared again */
    BLOCK_REFUSED_MS = 1000,
    PAUSE_MS = 1000,
    ENTRIES_MAX = 64, /* of the stream in one read */
    PAGE_ROWS = 500,
    MARKS = 16, /* tables handed out and not yet reported as applied, of which the history is remembered */
    BEAT_FIELDS_MAX = 2048, /* strings of a beat */
    TEXT_MAX = 480,
    NUMBER_MAX = 24,
};

/* A table that was handed out: the proxy reports it as applied by its version alone. */
struct mark {
    uint64_t version;
    char chain[CHAIN_LEN + 1];
};

struct store {
    uv_loop_t *loop;
    struct names *names;
    struct store_options options; /* its strings are copies */
    struct redis_target target;
    struct sentinel_watch *watch; /* NULL: Redis is where the options say */
    struct address master;        /* whom a sentinel named last */
    bool wanted;                  /* connect as soon as a sentinel names the master */
    bool doubt;                   /* the one named could not be used: another sentinel is to be asked */
    const struct store_events *events;
    void *ctx;
    struct follow *follow;
    struct saver *saver; /* NULL: no snapshot */
    struct redis_conn *command, *reader;
    uv_timer_t beat_timer, retry_timer, due_timer;
    char *key_version, *key_changes, *key_questions;
    char question[NUMBER_MAX * 2];   /* id of the last one heard of in this session */
    struct call *calls, **calls_end; /* of store_call, whose answers are awaited: oldest first */

    bool session;        /* both connections are ready, the library is there */
    bool library_loaded; /* by us, in this session */
    bool asking;         /* an answer to follow_ask is awaited */
    uint64_t backoff_ms;

    struct identity identity;
    bool beat_own_name;     /* the next beat goes under the configured name */
    bool beating, beat_due; /* a beat is under way; another is wanted after it */
    uint64_t beat_version;  /* followed when it was sent */
    uint64_t beat_sent;     /* ns */
    uint64_t passed;        /* by every worker */
    uint64_t kept;          /* on disk; where it cannot be written, that is told as trouble instead */
    uint64_t applied;       /* both: a restart without Redis goes by nothing older */
    char applied_chain[CHAIN_LEN + 1]; /* the history's fingerprint at that version */
    struct mark marks[MARKS];          /* of the tables handed out last */
    unsigned next_mark;
    char obstacle[TEXT_MAX];

    enum store_state shown_state;
    char shown_reason[TEXT_MAX], shown_trouble[TEXT_MAX];
    uint64_t sessions, refused;

    bool closing;
    unsigned open; /* parts that are not closed yet */
    void (*done)(void *ctx);
    void *done_ctx;
};

static void advance(struct store *store);
static void beat_soon(struct store *store);

/* --- what the proxy hears ------------------------------------------------------------------------------- */

/* The same trouble is told once, until another comes. */
__attribute__((format(printf, 2, 3))) static void trouble(struct store *store, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (store->closing || strcmp(text, store->shown_trouble) == 0)
        return;
    memcpy(store->shown_trouble, text, sizeof(text));
    store->events->trouble(store->ctx, text);
}

static void show_state(struct store *store)
{
    enum store_state state = follow_state(store->follow);
    const char *reason = follow_reason(store->follow);
    if (store->closing || (state == store->shown_state && strcmp(reason, store->shown_reason) == 0))
        return;
    store->refused += state == STORE_REFUSED && store->shown_state != STORE_REFUSED;
    store->shown_state = state;
    snprintf(store->shown_reason, sizeof(store->shown_reason), "%s", reason);
    store->events->state(store->ctx, state, store->shown_reason);
    beat_soon(store);
}

/* Hands the next table to the proxy. More tables under way than there are marks is no harm: the newest
 * counts. */
static void hand_out(struct store *store, struct table *table)
{
    struct mark *mark = &store->marks[store->next_mark++ % MARKS];
    mark->version = table_version(table);
    snprintf(mark->chain, sizeof(mark->chain), "%s", follow_chain(store->follow));
    store->events->table(store->ctx, table);
}

static void show_outcome(struct store *store)
{
    const char *what = follow_trouble(store->follow);
    if (what != NULL)
        trouble(store, "%s", what);
    struct table *table = store->closing ? NULL : follow_take(store->follow);
    if (table != NULL) {
        if (store->saver == NULL || !saver_save(store->saver, table, follow_chain(store->follow)))
            store->kept = table_version(table);
        hand_out(store, table);
    }
    show_state(store);
}

static void report_applied(struct store *store);

static void on_saved(void *ctx, uint64_t version, const char *reason)
{
    struct store *store = ctx;
    if (reason != NULL)
        trouble(store, "%s", reason);
    store->kept = version > store->kept ? version : store->kept;
    report_applied(store);
}

/* --- calls for others ----------------------------------------------------------------------------------- */

/* Answers come in the order of the calls. */
struct call {
    struct call *next;
    store_reply *answer;
    void *ctx;
};

static struct call *take_call(struct store *store)
{
    struct call *call = store->calls;
    store->calls = call->next;
    if (store->calls == NULL)
        store->calls_end = &store->calls;
    return call;
}

static void on_called(void *ctx, const redisReply *reply)
{
    struct store *store = ctx;
    struct call *call = take_call(store);
    if (!store->closing)
        call->answer(call->ctx, reply);
    free(call);
}

static void drop_calls(struct store *store)
{
    while (store->calls != NULL)
        free(take_call(store));
}

/* --- sessions ------------------------------------------------------------------------------------------- */

/* Half of it fixed, half of it random, so that instances do not come back in step. */
static uint64_t jittered(uint64_t ms)
{
    uint64_t random = 0;
    uv_random(NULL, NULL, &random, sizeof(random), 0, NULL);
    return ms / 2 + random % (ms / 2 + 1);
}

static void connect_both(struct store *store)
{
    redis_conn_start(store->command);
    redis_conn_start(store->reader);
}

static void on_retry(uv_timer_t *timer)
{
    struct store *store = timer->data;
    store->wanted = store->watch != NULL;
    if (store->wanted)
        sentinel_watch_ask(store->watch, store->doubt);
    else
        connect_both(store);
}

static void close_connections(struct store *store);

static void session_end(struct store *store, const char *reason)
{
    if (store->closing) {
        close_connections(store);
        return;
    }
    redis_conn_drop(store->command);
    redis_conn_drop(store->reader);
    uv_timer_stop(&store->beat_timer);
    store->doubt = !store->session;
    store->wanted = false;
    uv_timer_stop(&store->due_timer);
    store->session = store->asking = store->beating = false;
    drop_calls(store);
    follow_disconnected(store->follow, reason);
    uv_timer_start(&store->retry_timer, on_retry, jittered(store->backoff_ms), 0);
    store->backoff_ms *= 2;
    if (store->backoff_ms > store->options.backoff_max_ms)
        store->backoff_ms = store->options.backoff_max_ms;
    show_outcome(store);
}

__attribute__((format(printf, 2, 3))) static void session_fail(struct store *store, const char *format, ...)
{
    char reason[TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    session_end(store, reason);
}

bool store_call(struct store *store, const char *function, size_t count, const char *const *args,
                store_reply *answer, void *ctx)
{
    const char *strings[4 + STORE_ARGS_MAX] = {"FCALL", function, "1", store->key_version};
    struct call *call =
        store->session && !store->closing && count <= STORE_ARGS_MAX ? malloc(sizeof(*call)) : NULL;
    if (call == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        strings[4 + i] = args[i];
    if (!redis_conn_command(store->command, store->options.timeout_ms, on_called, 4 + count, strings, NULL)) {
        free(call);
        return false;
    }
    *call = (struct call){.answer = answer, .ctx = ctx};
    *store->calls_end = call;
    store->calls_end = &call->next;
    return true;
}

/* A function of the library, with arguments after its key. */
static bool call_function(struct store *store, redis_conn_answer *answer, const char *name, size_t count,
                          const char *const *args)
{
    const char *strings[8] = {"FCALL", name, "1", store->key_version};
    assert(count + 4 <= sizeof(strings) / sizeof(strings[0]));
    for (size_t i = 0; i < count; i++)
        strings[4 + i] = args[i];
    return redis_conn_command(store->command, store->options.timeout_ms, answer, 4 + count, strings, NULL);
}

static void on_beat_timer(uv_timer_t *timer)
{
    struct store *store = timer->data;
    beat_soon(store);
    if (store->saver != NULL)
        saver_retry(store->saver);
}

static void session_begin(struct store *store)
{
    store->session = true;
    store->sessions++;
    follow_connected(store->follow);
    uv_timer_start(&store->beat_timer, on_beat_timer, store->options.beat_ms, store->options.beat_ms);
    beat_soon(store);
    advance(store);
}

static void library_check(struct store *store);

static void on_library_loaded(void *ctx, const redisReply *reply)
{
    struct store *store = ctx;
    if (reply->type == REDIS_REPLY_ERROR)
        session_fail(store, "Redis does not take Turnout's functions (7.0 or later is needed): %s.",
                     reply->str);
    else
        library_check(store);
}

static void library_load(struct store *store)
{
    const char *const strings[] = {"FUNCTION", "LOAD", "REPLACE", functions_text()};
    if (store->library_loaded) {
        session_end(store, "Redis lost Turnout's functions as soon as they were loaded.");
        return;
    }
    store->library_loaded = true;
    if (!redis_conn_command(store->command, store->options.timeout_ms, on_library_loaded, 4, strings, NULL))
        session_end(store, "No memory for a command.");
}

static void on_library(void *ctx, const redisReply *reply)
{
    struct store *store = ctx;
    long long own = functions_version();
    if (reply->type == REDIS_REPLY_ERROR) {
        if (strstr(reply->str, "Function not found") != NULL)
            library_load(store);
        else
            session_fail(store, "Redis cannot be used (7.0 or later is needed): %s.", reply->str);
        return;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 1 || reply->element[0]->integer < own) {
        library_load(store);
        return;
    }
    if (reply->element[0]->integer > own)
        trouble(store,
                "Redis holds the functions of a newer release (%lld, this one has %lld); they are used.",
                reply->element[0]->integer, own);
    snprintf(store->question, sizeof(store->question), "%s",
             reply->elements > 4 && reply->element[4]->type == REDIS_REPLY_STRING ? reply->element[4]->str
                                                                                  : "0-0");
    session_begin(store);
}

static void library_check(struct store *store)
{
    if (!call_function(store, on_library, "turnout_info", 0, NULL))
        session_end(store, "No memory for a command.");
}

/* A sentinel may not have heard yet, or be cut off from the others: what it names is believed only when it
 * says the same of itself. */
static void on_role(void *ctx, const redisReply *reply)
{
    struct store *store = ctx;
    struct role role;
    char reason[TEXT_MAX / 2] = "it is no master", where[ADDRESS_TEXT_SIZE];
    if (role_of(reply, &role, reason, sizeof(reason)) && role.master) {
        library_check(store);
        return;
    }
    trouble(store, "A sentinel names Redis at %s as the master, but %s.", address_text(&store->master, where),
            reason);
    session_fail(store, "Redis at %s is not used: %s. The sentinels are asked again.", where, reason);
}

static void on_ready(void *ctx)
{
    struct store *store = ctx;
    const char *const role[] = {"ROLE"};
    if (!redis_conn_ready(store->command) || !redis_conn_ready(store->reader))
        return;
    store->library_loaded = false;
    if (store->watch == NULL)
        library_check(store);
    else if (!redis_conn_command(store->command, store->options.timeout_ms, on_role, 1, role, NULL))
        session_end(store, "No memory for a command.");
}

static void on_lost(void *ctx, const char *reason)
{
    session_end(ctx, reason);
}

static const struct redis_conn_events conn_events = {on_ready, on_lost};

static void leave_for(struct store *store, const struct address *master)
{
    char from[ADDRESS_TEXT_SIZE], to[ADDRESS_TEXT_SIZE];
    store->backoff_ms = store->options.backoff_min_ms;
    session_fail(store, "The sentinels name another master now: %s, and no longer %s.",
                 address_text(master, to), address_text(&store->master, from));
    store->doubt = false;
}

static void on_master(void *ctx, const struct address *master)
{
    struct store *store = ctx;
    bool other = strcmp(master->host, store->master.host) != 0 || master->port != store->master.port;
    if (store->closing)
        return;
    if (other && !store->wanted)
        leave_for(store, master); /* it is connected, is about to be, or waits for its next try */
    if (other) {
        store->master = *master;
        store->target.port = master->port;
    }
    if (store->wanted)
        connect_both(store);
    store->wanted = false;
}

/* A session that there is goes on. */
static void on_silent(void *ctx, const char *reason)
{
    struct store *store = ctx;
    trouble(store, "%s", reason);
    if (store->session || store->closing)
        return;
    follow_disconnected(store->follow, reason);
    show_state(store);
}

static const struct sentinel_events sentinel_events = {on_master, on_silent};

/* --- answers -------------------------------------------------------------------------------------------- */

static void answered(struct store *store)
{
    show_outcome(store);
    advance(store);
}

static void not_understood(struct store *store, const redisReply *reply)
{
    follow_error(store->follow,
                 reply->type == REDIS_REPLY_ERROR ? reply->str : "something that is not an answer");
}

static bool is_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS;
}

static bool texts_only(const redisReply *reply, size_t from)
{
    for (size_t i = from; i < reply->elements; i++)
        if (!is_text(reply->element[i]))
            return false;
    return true;
}

/* library version, version, chain, shortcodes */
static void on_info(void *ctx, const redisReply *reply)
{
    struct store *store = ctx;
    store->asking = false;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements >= 3 &&
        reply->element[1]->type == REDIS_REPLY_INTEGER && is_text(reply->element[2]))
        follow_info(store->follow, (uint64_t)reply->element[1]->integer, reply->element[2]->str);
    else
        not_understood(store, reply);
    answered(store);
}

/* version, chain, next cursor, then shortcode, carrier, value for each cell */
static void take_page(struct store *store, const redisReply *reply)
{
    size_t count = reply->elements - 3;
    const char **text = calloc(count + 1, sizeof(*text));
    if (text == NULL) {
        follow_error(store->follow, "more than there is memory for");
        return;
    }
    for (size_t i = 0; i < count; i++)
        text[i] = reply->element[3 + i]->str;
    follow_page(store->follow,
                &(struct follow_page){(uint64_t)reply->element[0]->integer, reply->element[1]->str,
                                      reply->element[2]->str, count / 3, text});
    free(text);
}

static void on_page(void *ctx, const redisReply *reply)
{
    struct store *store = ctx;
    store->asking = false;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements >= 3 && reply->elements % 3 == 0 &&
        reply->element[0]->type == REDIS_REPLY_INTEGER && texts_only(reply, 1))
        take_page(store, reply);
    else
        not_understood(store, reply);
    answered(store);
}

/* An entry of the stream is [id, [field, value ...]]; fields and lens have room for all of its strings. */
static bool entry_take(const redisReply *reply, struct follow_entry *entry, const char **fields, size_t *lens)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !is_text(reply->element[0]) ||
        reply->element[1]->type != REDIS_REPLY_ARRAY || !texts_only(reply->element[1], 0))
        return false;
    const redisReply *list = reply->element[1];
    for (size_t i = 0; i < list->elements; i++) {
        fields[i] = list->element[i]->str;
        lens[i] = (size_t)list->element[i]->len;
    }
    *entry = (struct follow_entry){strtoull(reply->element[0]->str, NULL, 10), fields, lens, list->elements};
    return true;
}

static size_t strings_in(const redisReply *entries)
{
    size_t strings = 0;
    for (size_t i = 0; i < entries->elements; i++)
        if (entries->element[i]->type == REDIS_REPLY_ARRAY && entries->element[i]->elements == 2)
            strings += entries->element[i]->element[1]->elements;
    return strings;
}

/* False without memory or where something is no entry. */
static bool take_entries(struct store *store, const redisReply *entries)
{
    size_t strings = strings_in(entries), used = 0;
    struct follow_entry *taken = calloc(entries->elements + 1, sizeof(*taken));
    const char **fields = calloc(strings + 1, sizeof(*fields));
    size_t *lens = calloc(strings + 1, sizeof(*lens));
    bool fine = taken != NULL && fields != NULL && lens != NULL;
    for (size_t i = 0; fine && i < entries->elements; i++) {
        fine = entry_take(entries->element[i], &taken[i], fields + used, lens + used);
        used += taken[i].count;
    }
    if (fine)
        follow_changes(store->follow, taken, entries->elements);
    free(taken);
    free(fields);
    free(lens);
    return fine;
}

/* An entry of P:questions: [id, ["request", text, ...]] */
static void hear(struct store *store, const redisReply *entry)
{
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 || !is_text(entry->element[0]) ||
        entry->element[1]->type != REDIS_REPLY_ARRAY || entry->element[1]->elements < 2 ||
        !texts_only(entry->element[1], 0))
        return;
    snprintf(store->question, sizeof(store->question), "%s", entry->element[0]->str);
    if (store->events->question != NULL && !store->closing)
        store->events->question(store->ctx, store->question, entry->element[1]->element[1]->str);
}

/* The entries of one stream, of [[key, entries] ...]; NULL where there are none. */
static const redisReply *entries_of(const redisReply *reply, const char *key)
{
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        const redisReply *stream = reply->element[i];
        if (stream->type == REDIS_REPLY_ARRAY && stream->elements == 2 && is_text(stream->element[0]) &&
            stream->element[1]->type == REDIS_REPLY_ARRAY && strcmp(stream->element[0]->str, key) == 0)
            return stream->element[1];
    }
    return NULL;
}

/* XREAD: nothing, or [[key, entries] ...] */
static void on_changes(void *ctx, const redisReply *reply)
{
    struct store *store = ctx;
    const redisReply *changes = entries_of(reply, store->key_changes);
    const redisReply *questions = entries_of(reply, store->key_questions);
    store->asking = false;
    if (reply->type == REDIS_REPLY_NIL || (changes == NULL && questions != NULL))
        follow_changes(store->follow, NULL, 0);
    else if (changes == NULL || !take_entries(store, changes))
        not_understood(store, reply);
    for (size_t i = 0; questions != NULL && i < questions->elements; i++)
        hear(store, questions->element[i]);
    answered(store);
}

/* --- questions ------------------------------------------------------------------------------------------ */

static void on_pause_over(uv_timer_t *timer)
{
    struct store *store = timer->data;
    store->asking = false;
    follow_resume(store->follow);
    advance(store);
}

static bool ask_page(struct store *store, const char *cursor)
{
    char rows[NUMBER_MAX];
    snprintf(rows, sizeof(rows), "%d", PAGE_ROWS);
    return call_function(store, on_page, "turnout_load", 2, (const char *const[]){cursor, rows});
}

static bool ask_changes(struct store *store, uint64_t after, bool wait)
{
    char id[NUMBER_MAX], count[NUMBER_MAX], block[NUMBER_MAX];
    bool refused = follow_state(store->follow) == STORE_REFUSED;
    unsigned block_ms = !wait ? 0 : refused ? BLOCK_REFUSED_MS : BLOCK_FOLLOWING_MS;
    snprintf(id, sizeof(id), "%" PRIu64 "-0", after);
    snprintf(count, sizeof(count), "%d", ENTRIES_MAX);
    snprintf(block, sizeof(block), "%u", block_ms);
    const char *const waiting[] = {
        "XREAD", "COUNT",        count, "BLOCK", block, "STREAMS", store->key_changes, store->key_questions,
        id,      store->question};
    const char *const at_once[] = {"XREAD", "COUNT", count, "STREAMS", store->key_changes, id};
    return redis_conn_command(store->reader, store->options.timeout_ms + block_ms, on_changes, wait ? 10 : 6,
                              wait ? waiting : at_once, NULL);
}

/* Asks Redis the next thing, if nothing is being asked. */
static void advance(struct store *store)
{
    if (!store->session || store->asking || store->closing)
        return;
    struct follow_ask ask = follow_ask(store->follow);
    bool sent = true;
    store->asking = ask.need != FOLLOW_NOTHING;
    switch (ask.need) {
    case FOLLOW_NOTHING: break;
    case FOLLOW_INFO: sent = call_function(store, on_info, "turnout_info", 0, NULL); break;
    case FOLLOW_PAGE: sent = ask_page(store, ask.cursor); break;
    case FOLLOW_CHANGES: sent = ask_changes(store, ask.after, ask.wait); break;
    case FOLLOW_PAUSE: uv_timer_start(&store->retry_timer, on_pause_over, PAUSE_MS, 0); break;
    }
    if (!sent)
        session_end(store, "No memory for a command.");
}

/* --- the instance's entry ------------------------------------------------------------------------------- */

/* The strings of a beat: copies, but for the first four. */
struct beat {
    const char *strings[BEAT_FIELDS_MAX];
    size_t count, borrowed;
    bool fine;
};

static void beat_add(void *arg, const char *field, const char *value)
{
    struct beat *beat = arg;
    const char *const pair[] = {field, value};
    for (size_t i = 0; i < 2 && beat->fine; i++) {
        char *copy = beat->count < BEAT_FIELDS_MAX ? strdup(pair[i]) : NULL;
        beat->fine = copy != NULL;
        if (copy != NULL)
            beat->strings[beat->count++] = copy;
    }
}

static void beat_add_number(struct beat *beat, const char *field, uint64_t number)
{
    char text[NUMBER_MAX];
    snprintf(text, sizeof(text), "%" PRIu64, number);
    beat_add(beat, field, text);
}

/* This host's clock: compared with Redis', it tells whether the times that this instance reports can be believed. */
static uint64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void beat_fill(struct store *store, struct beat *beat)
{
    beat_add_number(beat, "clock_ms", clock_ms());
    beat_add(beat, "token", store->identity.token);
    beat_add(beat, "takes_over", store->identity.takes_over);
    beat_add(beat, "host", store->identity.host);
    beat_add_number(beat, "pid", (uint64_t)store->identity.pid);
    beat_add_number(beat, "applied", store->applied);
    beat_add(beat, "chain", store->applied_chain);
    beat_add_number(beat, "followed", follow_version(store->follow));
    beat_add(beat, "followed_chain", follow_chain(store->follow));
    beat_add_number(beat, "desired", follow_desired(store->follow));
    beat_add(beat, "state", store_state_name(follow_state(store->follow)));
    beat_add(beat, "reason", follow_reason(store->follow));
    beat_add(beat, "obstacle", store->obstacle);
    if (store->events->beat != NULL)
        store->events->beat(store->ctx, beat_add, beat);
}

static void due_ask(struct store *store);

static void on_due_timer(uv_timer_t *timer)
{
    due_ask(timer->data);
}

/* ms until the next change goes back by itself; -1 where none waits. What went back comes as a change. */
static void on_due(void *ctx, const redisReply *reply)
{
    struct store *store = ctx;
    if (reply->type == REDIS_REPLY_ERROR)
        trouble(store, "What was not confirmed in time cannot be set back: %s", reply->str);
    uv_timer_stop(&store->due_timer);
    if (store->session && reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0)
        uv_timer_start(&store->due_timer, on_due_timer, (uint64_t)reply->integer, 0);
}

/* Without memory the next beat asks again. */
static void due_ask(struct store *store)
{
    if (store->session && !store->closing)
        call_function(store, on_due, "turnout_due", 0, NULL);
}

static void on_left_alias(void *ctx, const redisReply *reply)
{
    (void)ctx;
    (void)reply;
}

static void beat_send(struct store *store);

static void on_beat(void *ctx, const redisReply *reply)
{
    struct store *store = ctx;
    store->beating = false;
    if (reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "READONLY", 8) == 0) {
        session_end(store, "Redis is a read-only replica now; another is looked for.");
        return;
    }
    if (reply->type == REDIS_REPLY_ERROR && identity_is_taken(reply->str)) {
        if (!identity_taken(&store->identity, reply->str))
            trouble(store,
                    "The name %s is that of another instance that lives (%s); this one reports as %s until "
                    "it is free. "
                    "Give each instance a name of its own.",
                    store->identity.wanted, reply->str, store->identity.alias);
        beat_send(store);
        return;
    }
    if (reply->type == REDIS_REPLY_INTEGER) {
        store->backoff_ms = store->options.backoff_min_ms;
        follow_beat(store->follow, store->beat_version, (uint64_t)reply->integer);
        if (store->events->beat_acknowledged != NULL)
            store->events->beat_acknowledged(store->ctx, store->beat_sent, (uint64_t)reply->integer);
        due_ask(store);
    } else {
        trouble(store, "This instance's entry in Redis cannot be refreshed: %s",
                reply->type == REDIS_REPLY_ERROR ? reply->str : "not understood");
    }
    show_outcome(store);
    if (store->beat_due)
        beat_soon(store);
}

/* The name is free again: what stood under the other one goes. */
static void on_beat_of_own_name(void *ctx, const redisReply *reply)
{
    struct store *store = ctx;
    if (reply->type == REDIS_REPLY_INTEGER && store->identity.alias_known) {
        const char *const args[] = {store->identity.alias};
        store->identity.aliased = store->identity.alias_known = false;
        call_function(store, on_left_alias, "turnout_leave", 1, args);
    }
    on_beat(ctx, reply);
}

/* Under the configured name; under the other one when that was just found taken. */
static void beat_send(struct store *store)
{
    bool alias = store->identity.aliased && !store->beat_own_name;
    store->identity.alias_known |= alias;
    store->beat_own_name = alias; /* the next one tries the configured name again */
    char lease[NUMBER_MAX];
    struct beat *beat = calloc(1, sizeof(*beat));
    if (beat == NULL)
        return;
    snprintf(lease, sizeof(lease), "%" PRIu64, store->options.lease_ms);
    const char *const head[] = {"FCALL",
                                "turnout_beat",
                                "1",
                                store->key_version,
                                alias ? store->identity.alias : store->options.instance,
                                lease};
    beat->fine = true;
    beat->borrowed = beat->count = sizeof(head) / sizeof(head[0]);
    memcpy(beat->strings, head, sizeof(head));
    beat_fill(store, beat);
    store->beat_version = follow_version(store->follow);
    store->beat_sent = uv_hrtime();
    store->beating = beat->fine && redis_conn_command(store->command, store->options.timeout_ms,
                                                      alias ? on_beat : on_beat_of_own_name, beat->count,
                                                      beat->strings, NULL);
    for (size_t i = beat->borrowed; i < beat->count; i++)
        free((char *)(uintptr_t)beat->strings[i]);
    free(beat);
}

/* At most one under way, so that a Redis that hangs is not heaped with them. */
static void beat_soon(struct store *store)
{
    if (!store->session || store->closing)
        return;
    store->beat_due = store->beating;
    if (!store->beating)
        beat_send(store);
}

/* A process that is killed now, and comes back while Redis is away, serves what is on disk. */
static void report_applied(struct store *store)
{
    uint64_t version = store->passed < store->kept ? store->passed : store->kept;
    if (version <= store->applied)
        return;
    store->applied = version;
    store->applied_chain[0] = '\0';
    for (unsigned i = 0; i < MARKS; i++) {
        if (store->marks[i].version == version)
            memcpy(store->applied_chain, store->marks[i].chain, sizeof(store->applied_chain));
    }
    beat_soon(store);
}

void store_applied(struct store *store, uint64_t version)
{
    store->passed = version > store->passed ? version : store->passed;
    report_applied(store);
}

void store_refresh(struct store *store)
{
    beat_soon(store);
}

void store_obstacle(struct store *store, const char *why)
{
    char text[TEXT_MAX];
    snprintf(text, sizeof(text), "%s", why == NULL ? "" : why);
    if (strcmp(text, store->obstacle) == 0)
        return;
    memcpy(store->obstacle, text, sizeof(text));
    beat_soon(store);
}

static void on_answered(void *ctx, const redisReply *reply)
{
    struct store *store = ctx;
    if (reply->type == REDIS_REPLY_ERROR)
        trouble(store, "A question could not be answered: %s", reply->str);
}

void store_answer(struct store *store, const char *id, const char *answer)
{
    const char *name = store->identity.aliased ? store->identity.alias : store->options.instance;
    const char *const args[] = {id, name, answer};
    if (store->session && !store->closing)
        call_function(store, on_answered, "turnout_answer", 3, args);
}

/* --- outlook -------------------------------------------------------------------------------------------- */

enum store_state store_state(const struct store *store)
{
    return follow_state(store->follow);
}

const char *store_reason(const struct store *store)
{
    return follow_reason(store->follow);
}

uint64_t store_desired(const struct store *store)
{
    return follow_desired(store->follow);
}

uint64_t store_counter_reconnects(const struct store *store)
{
    return store->sessions > 1 ? store->sessions - 1 : 0;
}

uint64_t store_counter_refused(const struct store *store)
{
    return store->refused;
}

/* --- life ----------------------------------------------------------------------------------------------- */

/* Sets *to to a copy; NULL stays NULL. */
static bool copy_text(const char **to, const char *from)
{
    *to = from == NULL ? NULL : strdup(from);
    return from == NULL || *to != NULL;
}

static char *key_of(const char *prefix, const char *name)
{
    char *key = NULL;
    return asprintf(&key, "%s:%s", prefix, name) < 0 ? NULL : key;
}

static bool options_copy(struct store *store, const struct store_options *options)
{
    struct store_options *own = &store->options;
    *own = *options;
    own->backoff_min_ms = options->backoff_min_ms < 1 ? 1 : options->backoff_min_ms;
    own->beat_ms = options->beat_ms < 1 ? 1 : options->beat_ms; /* 0 would be a timer that fires once */
    bool fine = copy_text(&own->host, options->host);
    fine &= copy_text(&own->unix_path, options->unix_path);
    fine &= copy_text(&own->username, options->username);
    fine &= copy_text(&own->password, options->password);
    fine &= copy_text(&own->prefix, options->prefix);
    fine &= copy_text(&own->instance, options->instance);
    fine &= copy_text(&own->snapshot_path, options->snapshot_path);
    store->key_version = key_of(options->prefix, "version");
    store->key_changes = key_of(options->prefix, "changes");
    store->key_questions = key_of(options->prefix, "questions");
    store->backoff_ms = own->backoff_min_ms;
    store->target = (struct redis_target){own->host,     own->port,     own->unix_path, own->username,
                                          own->password, own->database, own->timeout_ms};
    if (options->sentinel.count > 0) {
        store->target.host = store->master.host;
        store->target.unix_path = NULL;
    }
    own->sentinel = (struct sentinel_options){0}; /* its strings are copied by the watch */
    return fine && store->key_version != NULL && store->key_changes != NULL && store->key_questions != NULL;
}

static void store_free(struct store *store)
{
    const struct store_options *own = &store->options;
    const char *const copies[] = {own->host,   own->unix_path, own->username,     own->password,
                                  own->prefix, own->instance,  own->snapshot_path};
    for (size_t i = 0; i < sizeof(copies) / sizeof(copies[0]); i++)
        free((char *)(uintptr_t)copies[i]);
    free(store->key_version);
    free(store->key_changes);
    free(store->key_questions);
    drop_calls(store);
    follow_free(store->follow);
    free(store);
}

/* The table on disk, or none. */
static struct follow *follow_from_disk(struct store *store)
{
    const char *path = store->options.snapshot_path;
    char chain[CHAIN_LEN + 1] = "", reason[TEXT_MAX];
    struct table *table = NULL;
    if (path != NULL &&
        snapshot_read(path, store->names, &table, chain, reason, sizeof(reason)) == SNAPSHOT_REFUSED)
        trouble(store, "The snapshot %s is not taken: %s.", path, reason);
    return follow_new(store->names, table, chain);
}

static void publish_from_disk(struct store *store)
{
    struct table *table =
        follow_version(store->follow) == 0 ? NULL : table_clone(follow_table(store->follow));
    store->kept = follow_version(store->follow);
    if (table != NULL && store->saver != NULL)
        saver_begin(store->saver, table, follow_chain(store->follow));
    if (table != NULL)
        hand_out(store, table);
}

static void abandoned(void *ctx)
{
    (void)ctx;
}

/* What has handles in the loop; without memory for all, none is left. */
static bool open_parts(struct store *store, const struct sentinel_options *sentinel)
{
    const struct store_options *own = &store->options;
    const char *path = own->snapshot_path;
    bool watched = sentinel->count > 0;
    store->command = redis_conn_new(store->loop, &store->target, &conn_events, store);
    store->reader = redis_conn_new(store->loop, &store->target, &conn_events, store);
    store->saver = path == NULL ? NULL : saver_new(store->loop, path, store->names, on_saved, store);
    if (watched)
        store->watch = sentinel_watch_new(store->loop, sentinel, own->backoff_min_ms, own->backoff_max_ms,
                                          &sentinel_events, store);
    if (store->command != NULL && store->reader != NULL && (path == NULL || store->saver != NULL) &&
        (!watched || store->watch != NULL))
        return true;
    if (store->command != NULL)
        redis_conn_close(store->command, abandoned);
    if (store->reader != NULL)
        redis_conn_close(store->reader, abandoned);
    if (store->saver != NULL)
        saver_close(store->saver, abandoned);
    if (store->watch != NULL)
        sentinel_watch_close(store->watch, abandoned, NULL);
    return false;
}

struct store *store_open(uv_loop_t *loop, struct names *names, const struct store_options *options,
                         const struct store_events *events, void *ctx)
{
    struct store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return NULL;
    store->loop = loop;
    store->names = names;
    store->events = events;
    store->ctx = ctx;
    store->calls_end = &store->calls;
    if (!options_copy(store, options) || (store->follow = follow_from_disk(store)) == NULL ||
        !open_parts(store, &options->sentinel)) {
        store_free(store);
        return NULL;
    }
    identity_init(&store->identity, store->options.instance);
    uv_timer_init(loop, &store->beat_timer);
    uv_timer_init(loop, &store->retry_timer);
    uv_timer_init(loop, &store->due_timer);
    store->beat_timer.data = store->retry_timer.data = store->due_timer.data = store;
    publish_from_disk(store);
    if (store->watch != NULL)
        sentinel_watch_start(store->watch);
    on_retry(&store->retry_timer);
    return store;
}

/* --- the end -------------------------------------------------------------------------------------------- */

static void part_closed(void *ctx)
{
    struct store *store = ctx;
    if (--store->open > 0)
        return;
    void (*done)(void *ctx) = store->done;
    void *done_ctx = store->done_ctx;
    store_free(store);
    done(done_ctx);
}

static void timer_closed(uv_handle_t *handle)
{
    part_closed(handle->data);
}

/* Those that may be done at once come last, so that none is the last one before all are counted. */
static void close_connections(struct store *store)
{
    store->session = false;
    store->open = 5U + (store->saver != NULL) + (store->watch != NULL);
    uv_close((uv_handle_t *)&store->beat_timer, timer_closed);
    uv_close((uv_handle_t *)&store->due_timer, timer_closed);
    uv_close((uv_handle_t *)&store->retry_timer, timer_closed);
    redis_conn_close(store->command, part_closed);
    redis_conn_close(store->reader, part_closed);
    if (store->watch != NULL)
        sentinel_watch_close(store->watch, part_closed, store);
    if (store->saver != NULL)
        saver_close(store->saver, part_closed);
}

static void on_left(void *ctx, const redisReply *reply)
{
    (void)reply;
    close_connections(ctx);
}

void store_close(struct store *store, void (*done)(void *ctx), void *ctx)
{
    store->closing = true;
    store->done = done;
    store->done_ctx = ctx;
    const char *const args[] = {store->identity.aliased ? store->identity.alias : store->options.instance};
    if (!store->session || !call_function(store, on_left, "turnout_leave", 1, args))
        close_connections(store);
}
