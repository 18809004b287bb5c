/* command ─▶ redis-server ─▶ answer ──┐
 *     └────▶ model ────────▶ answer ──┴─ the same? ─▶ and so are the keys, now and then
 *
 * The server's clock is real, so it is asked first, and the model is given the time at which it was: that of the change
 * which the command made, else what TIME said just before. Then fingerprints and deadlines are equal, too. What depends on
 * milliseconds in between (leases left, beats) is not compared. Deadlines are an hour, or over when the next command comes. */
#include "test/sim/compare.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "routing/functions.h"
#include "test/sim/redis_model.h"
#include "test/sim/sim.h"

enum {
    STEPS = 400,
    REQUEST_CAP = 4096,
    TEXT_CAP = 262144,
    PAUSE_US = 3000,
    CELLS_MOST = 5,
    HOUR_MS = 3600000
};

#define KEY     "{sim}:version"
#define CHANGES "{sim}:changes"

static redisContext *server;
static struct redis_model *model;
static uint64_t version; /* about: the last seen */
static char texts[2][TEXT_CAP];

static const char *const names[] = {"redx", "omni", "third", "bad name"};
static const char *const codes[] = {"5001", "5002", "a-b", "*", "600000"};
static const char *const carriers[] = {"spark", "onenz", "2degrees"};
static const char *const states[] = {"open", "hold", "closed", "odd"};

/* --- answers as text --------------------------------------------------------------------------------------- */

static size_t print_reply(const redisReply *reply, char *to, size_t cap)
{
    size_t at = 0;
    if (cap < 64) {
        return 0;
    }
    switch (reply->type) {
    case REDIS_REPLY_INTEGER: return (size_t)snprintf(to, cap, "%lld ", reply->integer);
    case REDIS_REPLY_NIL: return (size_t)snprintf(to, cap, "nil ");
    case REDIS_REPLY_ARRAY:
        at += (size_t)snprintf(to, cap, "[ ");
        for (size_t i = 0; i < reply->elements && at + 64 < cap; i++) {
            at += print_reply(reply->element[i], to + at, cap - at);
        }
        return at + (size_t)snprintf(to + at, cap - at, "]\n");
    case REDIS_REPLY_ERROR: /* the words before the reason differ with the release */
        return (size_t)snprintf(to, cap, "error %s ", strncmp(reply->str, "TAKEN", 5) == 0 ? reply->str : "");
    default: at = (size_t)snprintf(to, cap, "\"%s\" ", reply->str); return at < cap ? at : cap - 1;
    }
}

static int by_text(const void *a, const void *b)
{
    return memcmp(a, b, 3 * sizeof(redisReply *)) == 0
               ? 0
               : strcmp((*(redisReply *const *)a)->str, (*(redisReply *const *)b)->str);
}

static int by_cell(const void *a, const void *b)
{
    redisReply *const *left = a;
    redisReply *const *right = b;
    int order = strcmp(left[0]->str, right[0]->str);
    return order != 0 ? order : strcmp(left[1]->str, right[1]->str);
}

static void hide(redisReply *reply)
{
    reply->integer = 0;
    if (reply->str != NULL) {
        reply->str[0] = '\0';
    }
}

/* now, then id, lease left, number of strings, field, value ... for each. */
static void hide_times(redisReply *reply)
{
    hide(reply->element[0]);
    for (size_t at = 1; at + 2 < reply->elements; at += 3 + (size_t)reply->element[at + 2]->integer) {
        reply->element[at + 1]->integer = reply->element[at + 1]->integer >= 0;
        size_t count = (size_t)reply->element[at + 2]->integer;
        for (size_t i = 0; i + 1 < count; i += 2) {
            if (strcmp(reply->element[at + 3 + i]->str, "beat") == 0) {
                hide(reply->element[at + 4 + i]);
            }
        }
    }
}

/* Time goes on between the two: what is left until a moment may differ by as much. */
static void allow_for_time(const char *command, const redisReply *theirs, redisReply *ours)
{
    enum { SLACK_MS = 1000 };
    if (strcmp(command, "turnout_due") == 0 && theirs->type == REDIS_REPLY_INTEGER &&
        ours->type == REDIS_REPLY_INTEGER && theirs->integer > 0 && ours->integer > 0 &&
        llabs(theirs->integer - ours->integer) < SLACK_MS) {
        ours->integer = theirs->integer;
    }
}

/* Windows and guards tell moments in many places, some within JSON: each is 13 digits for long yet. */
static void hide_moments(const char *command, char *text)
{
    char *to = text;
    if (strncmp(command, "turnout_window", 14) != 0 && strncmp(command, "turnout_guards", 14) != 0 &&
        strncmp(command, "turnout_alarm", 13) != 0 && strncmp(command, "turnout_evidence", 16) != 0) {
        return;
    }
    while (*text != '\0') {
        size_t digits = strspn(text, "0123456789");
        if (digits == 13) {
            *to++ = 'T';
            text += digits;
        } else {
            size_t len = digits == 0 ? 1 : digits;
            memmove(to, text, len);
            to += len;
            text += len;
        }
    }
    *to = '\0';
}

/* What may differ without being wrong: the order of rows and names, and moments. */
static void make_equal(const char *command, redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY) {
        return;
    }
    if (strcmp(command, "turnout_load") == 0 && reply->elements > 3) {
        qsort(reply->element + 3, (reply->elements - 3) / 3, 3 * sizeof(redisReply *), by_cell);
    } else if (strcmp(command, "turnout_instances") == 0) {
        hide_times(reply);
    } else if (strcmp(command, "SMEMBERS") == 0) {
        qsort(reply->element, reply->elements, sizeof(redisReply *), by_text);
    }
}

/* --- one command to both ----------------------------------------------------------------------------------- */

static redisReply *ask_server(size_t count, const char *const *strings)
{
    redisReply *reply = redisCommandArgv(server, (int)count, (const char **)(uintptr_t)strings, NULL);
    if (reply == NULL) {
        fprintf(stderr, "redis-server does not answer: %s\n", server->errstr);
        exit(2);
    }
    return reply;
}

static uint64_t server_ms(void)
{
    const char *const ask[] = {"TIME"};
    redisReply *reply = ask_server(1, ask);
    uint64_t ms =
        strtoull(reply->element[0]->str, NULL, 10) * 1000 + strtoull(reply->element[1]->str, NULL, 10) / 1000;
    freeReplyObject(reply);
    return ms;
}

/* When the last change was made, if there is one after `before`. */
static uint64_t time_of_change(uint64_t otherwise)
{
    const char *const ask[] = {"XREVRANGE", CHANGES, "+", "-", "COUNT", "1"};
    redisReply *reply = ask_server(6, ask);
    uint64_t ms = otherwise;
    if (reply->elements == 1 && strtoull(reply->element[0]->element[0]->str, NULL, 10) > version) {
        const redisReply *fields = reply->element[0]->element[1];
        version = strtoull(reply->element[0]->element[0]->str, NULL, 10);
        for (size_t i = 0; i + 1 < fields->elements; i += 2) {
            if (strcmp(fields->element[i]->str, "at") == 0) {
                ms = strtoull(fields->element[i + 1]->str, NULL, 10);
            }
        }
    }
    freeReplyObject(reply);
    return ms;
}

static void differ(size_t count, const char *const *strings)
{
    printf("VIOLATED the model of Redis\n  seed %" PRIu64 ":", sim_seed_used);
    for (size_t i = 0; i < count; i++) {
        printf(" %s", strings[i]);
    }
    printf("\n  redis-server: %s\n  model:        %s\n", texts[0], texts[1]);
    exit(1);
}

static void both(size_t count, const char *const *strings)
{
    const char *command = strcmp(strings[0], "FCALL") == 0 ? strings[1] : strings[0];
    uint64_t before = server_ms();
    redisReply *theirs = ask_server(count, strings);
    redisReply *ours = redis_model_command(model, time_of_change(before), count, strings, NULL);
    make_equal(command, theirs);
    make_equal(command, ours);
    allow_for_time(command, theirs, ours);
    (void)print_reply(theirs, texts[0], TEXT_CAP);
    (void)print_reply(ours, texts[1], TEXT_CAP);
    hide_moments(command, texts[0]);
    hide_moments(command, texts[1]);
    if (strcmp(texts[0], texts[1]) != 0) {
        differ(count, strings);
    }
    freeReplyObject(theirs);
    redis_reply_free(ours);
}

static void function(const char *name, size_t count, const char *const *arguments)
{
    const char *strings[16] = {"FCALL", name, "1", KEY};
    for (size_t i = 0; i < count; i++) {
        strings[4 + i] = arguments[i];
    }
    both(4 + count, strings);
}

/* --- requests ---------------------------------------------------------------------------------------------- */

#define ANY(list) (list)[sim_random(sizeof(list) / sizeof(list)[0] - !sim_chance(20))]

static int put(char *to, int at, const char *format, const char *value)
{
    return at + snprintf(to + at, REQUEST_CAP - (size_t)at, format, value);
}

static int put_number(char *to, int at, const char *format, uint64_t value)
{
    return at + snprintf(to + at, REQUEST_CAP - (size_t)at, format, value);
}

static uint64_t some_version(void)
{
    uint64_t back = sim_random(6);
    return version > back ? version - back + sim_chance(50) : 1;
}

static int put_move(char *to, int at)
{
    at = put(to, at, "{\"shortcode\":\"%s\"", ANY(codes));
    at = put(to, at, ",\"carrier\":\"%s\"", ANY(carriers));
    at = put(to, at, ",\"to\":\"%s\"", sim_chance(150) ? "" : ANY(names));
    if (sim_chance(600)) {
        at = put(to, at, ",\"state\":\"%s\"", ANY(states));
    }
    if (sim_chance(250)) {
        at = put(to, at, ",\"from\":\"%s\"", sim_chance(200) ? "" : ANY(names));
    }
    if (sim_chance(100)) {
        at = put(to, at, ",\"from_state\":\"%s\"", ANY(states));
    }
    if (sim_chance(100)) {
        at = put_number(to, at, ",\"from_version\":%" PRIu64, some_version());
    }
    return put(to, at, "%s", "}");
}

static void change(void)
{
    static const char *const kinds[] = {"flip", "set", "import", "rollback", "odd"};
    static const char *const whos[] = {"ann", "bob \u00e9", "eve\\\\", ""};
    char request[REQUEST_CAP];
    const char *const arguments[] = {request};
    int at = put(request, 0, "{\"kind\":\"%s\"", ANY(kinds));
    at = put(request, at, ",\"outside_window\":%s", sim_chance(800) ? "true" : "false");
    if (sim_chance(300)) {
        at =
            put(request, at,
                ",\"guard\":{\"errors\":20,\"leg_lost\":true,\"action\":\"%s\",\"min\":3,\"for_ms\":3600000}",
                sim_chance(500) ? "alert" : "rollback");
    }
    if (sim_chance(100)) {
        at = put(request, at, ",\"window\":\"%s\"", sim_chance(500) ? "w1" : "w2");
    }
    at = put(request, at, ",\"who\":\"%s\",\"why\":\"because \\u0021\"", ANY(whos));
    if (sim_chance(200)) {
        at = put_number(request, at, ",\"confirm_within_ms\":%" PRIu64, sim_chance(600) ? 1 : 3600000);
    }
    if (sim_chance(60)) {
        at = put_number(request, at, ",\"began\":%" PRIu64, some_version());
    }
    at = put(request, at, "%s", ",\"moves\":[");
    unsigned moves = (unsigned)sim_random(CELLS_MOST);
    for (unsigned i = 0; i <= moves; i++) {
        at = put(request, at, "%s", i == 0 ? "" : ",");
        at = put_move(request, at);
    }
    (void)put(request, at, "%s", sim_chance(10) ? "]" : "]}");
    function("turnout_change", 1, arguments);
}

static void roll_back(void)
{
    char request[REQUEST_CAP];
    const char *const arguments[] = {request};
    int at = put(request, 0, "{\"who\":\"%s\"", "ann");
    at = put_number(request, at, ",\"version\":%" PRIu64, some_version());
    if (sim_chance(200)) {
        at = put(request, at, ",\"shortcodes\":[\"%s\"]", ANY(codes));
    }
    (void)put(request, at, ",\"force\":%s}", sim_chance(300) ? "true" : "false");
    function("turnout_rollback", 1, arguments);
}

static void confirm(void)
{
    char request[REQUEST_CAP];
    const char *const arguments[] = {request};
    int at = put(request, 0, "{\"who\":\"%s\"", "bob");
    if (sim_chance(400)) {
        at = put_number(request, at, ",\"version\":%" PRIu64, some_version());
    }
    (void)put(request, at, "%s", "}");
    function("turnout_confirm", 1, arguments);
}

static void beat(void)
{
    char id[8];
    char applied[24];
    static const char *const tokens[] = {"aaaa", "bbbb", "cccc"};
    snprintf(id, sizeof id, "i%" PRIu64, sim_random(3));
    snprintf(applied, sizeof applied, "%" PRIu64, some_version());
    const char *const arguments[] = {id,    "60000", "token",   ANY(tokens), "host",  "h",
                                     "pid", "12",    "applied", applied,     "chain", "x"};
    function("turnout_beat", 12, arguments);
}

static void restore(void)
{
    char request[REQUEST_CAP];
    const char *const arguments[] = {request};
    int at = put_number(request, 0, "{\"who\":\"ann\",\"version\":%" PRIu64, version + sim_random(3));
    at = put(request, at, ",\"rows\":{\"%s\":", ANY(codes));
    (void)put(request, at, "{\"spark\":\"%s open - 1700000000000 4\"}}}", ANY(names));
    function("turnout_restore", 1, arguments);
}

/* Of a window's moments none is near. */
static void window(void)
{
    static const char *const window_names[] = {"w1", "w2", "w3", "bad name"};
    static const char *const commands[] = {"create", "add",    "remove", "start",    "start",  "pause",
                                           "resume", "finish", "cancel", "rollback", "delete", "odd"};
    char request[REQUEST_CAP];
    const char *const arguments[] = {request};
    uint64_t now = server_ms();
    const char *command = sim_chance(250) ? "create" : ANY(commands);
    int at = put(request, 0, "{\"who\":\"ann\",\"why\":\"so\",\"name\":\"%s\"", ANY(window_names));
    at = put(request, at, ",\"command\":\"%s\"", command);
    at = put_number(request, at, ",\"start\":%" PRIu64, sim_chance(800) ? now - HOUR_MS : now + HOUR_MS);
    at = put_number(request, at, ",\"end\":%" PRIu64,
                    sim_chance(900) ? now + UINT64_C(9) * HOUR_MS : now - HOUR_MS / 2);
    at = put(request, at, ",\"force\":%s", sim_chance(500) ? "true" : "false");
    at = put(request, at, ",\"auto\":%s", sim_chance(200) ? "true" : "false");
    if (sim_chance(300)) {
        at = put(request, at, "%s",
                 ",\"guard\":{\"errors\":20,\"min\":50,\"action\":\"alert\",\"for_ms\":3600000}");
    }
    for (unsigned list = 0; list < 2; list++) {
        at = put(request, at, "%s", list == 0 ? ",\"cells\":[" : ",\"moves\":[");
        for (unsigned i = 0, moves = 1 + (unsigned)sim_random(2); i < moves; i++) {
            at = put(request, at, "%s", i == 0 ? "" : ",");
            at = put_move(request, at);
            if (sim_chance(200)) {
                at--;
                at = put_number(request, at, ",\"at\":%" PRIu64 "}",
                                sim_chance(500) ? now - HOUR_MS / 2 : now + UINT64_C(2) * HOUR_MS);
            }
        }
        at = put(request, at, "%s", "]");
    }
    (void)put(request, at, "%s", "}");
    function("turnout_window", 1, arguments);
}

static void look_at_windows(void)
{
    static const char *const name[] = {"w1"};
    static const char *const watching[] = {"watching"};
    char request[200];
    const char *const arguments[] = {request};
    switch (sim_random(6)) {
    case 0: function("turnout_windows", 0, NULL); break;
    case 1: function("turnout_window_show", 1, name); break;
    case 2: function("turnout_guards", sim_random(2), watching); break;
    case 3: function("turnout_alarms", 0, NULL); break;
    default:
        snprintf(request, sizeof request,
                 "{\"guard\":\"%" PRIu64
                 "\",\"verdict\":\"%s\",\"what\":\"5001 spark: 40 %% /so\",\"instance\":\"i1\"}",
                 some_version(),
                 sim_chance(700)   ? "bad"
                 : sim_chance(500) ? "void"
                                   : "good");
        function("turnout_alarm", 1, arguments);
        break;
    }
}

static void look(void)
{
    static const char *const lists[][4] = {
        {"XRANGE", CHANGES, "-", "+"},         {"ZRANGE", "{sim}:confirm", "0", "-1"},
        {"ZRANGE", "{sim}:undone", "0", "-1"}, {"HGETALL", "{sim}:route:5001"},
        {"SMEMBERS", "{sim}:shortcodes"},      {"GET", "{sim}:chain"}};
    const char *const *list = lists[sim_random(sizeof lists / sizeof lists[0])];
    size_t count = 0;
    while (count < 4 && list[count] != NULL) {
        count++;
    }
    both(count, list);
}

static void one_step(void)
{
    static const char *const id[] = {"i1"};
    static const char *const page[] = {"0", "1000"};
    uint64_t choice = sim_random(100);
    if (choice < 30) {
        change();
    } else if (choice < 40) {
        window();
    } else if (choice < 47) {
        look_at_windows();
    } else if (choice < 57) {
        roll_back();
    } else if (choice < 65) {
        confirm();
    } else if (choice < 70) {
        function("turnout_due", 0, NULL);
    } else if (choice < 75) {
        function("turnout_load", 2, page);
    } else if (choice < 83) {
        beat();
    } else if (choice < 88) {
        function("turnout_instances", 0, NULL);
    } else if (choice < 90) {
        function(sim_chance(500) ? "turnout_leave" : "turnout_forget", 1, id);
    } else if (choice < 91) {
        restore();
    } else if (choice < 93) {
        function("turnout_info", 0, NULL);
    } else {
        look();
    }
}

static void begin(int port)
{
    const char *const flush[] = {"FLUSHALL"};
    const char *const load[] = {"FUNCTION", "LOAD", "REPLACE", functions_text()};
    server = redisConnect("127.0.0.1", port);
    for (int tries = 0; tries < 100 && (server == NULL || server->err != 0);
         tries++) { /* it may be starting */
        usleep(50000);
        server = redisConnect("127.0.0.1", port);
    }
    if (server == NULL || server->err != 0) {
        fprintf(stderr, "no redis-server at port %d\n", port);
        exit(2);
    }
    freeReplyObject(ask_server(1, flush));
    model = redis_model_new();
    both(4, load);
}

unsigned compare_with_redis(uint64_t seed, int port)
{
    sim_seed_used = seed;
    sim_seed(seed);
    version = 0;
    begin(port);
    for (unsigned step = 0; step < STEPS; step++) {
        one_step();
        usleep(PAUSE_US); /* the short deadlines are over */
    }
    redisFree(server);
    redis_model_free(model);
    return STEPS;
}
