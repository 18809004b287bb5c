#include "test/sim/guards.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/sim/ledger.h"
#include "test/sim/redis_model.h"
#include "test/sim/redis_net.h"

#define RULE_CONFIRM "confirmation: back once, after its time, unless confirmed"
#define RULE_GUARD   "guards: a verdict once, and not on too little traffic"

enum { KEPT_MAX = 256, LATE_MS = 7000 };

struct deadline {
    uint64_t version, at_ms;
    bool confirmed, gone_back;
};

struct guard {
    uint64_t version, at, until_ms, errors, min;
    bool cells[CELLS];
    int to[CELLS];
    bool rolls_back, ended, tripped;
    json_int_t ended_ms;
    uint64_t ended_at; /* the world's */
};

static struct deadline deadlines[KEPT_MAX];
static struct guard guards[KEPT_MAX];
static unsigned deadlines_count, guards_count;
static bool lost; /* what Redis holds may be other than was seen */

void guards_begin(void)
{
    deadlines_count = guards_count = 0;
    lost = false;
}

void guards_lost(void)
{
    deadlines_count = guards_count = 0;
    lost = true;
}

int guards_request(char *to, size_t cap)
{
    int len = snprintf(to, cap, ",\"guard\":{\"action\":\"%s\",\"for_ms\":%" PRIu64 ",\"min\":%" PRIu64,
                       sim_chance(600) ? "rollback" : "alert", sim_between(800, 6000), sim_between(1, 25));
    unsigned what = (unsigned)sim_random(10);
    if (what < 7) {
        len += snprintf(to + len, cap - (size_t)len, ",\"errors\":%" PRIu64, sim_between(1, 30));
    }
    if (what >= 6) {
        static const char *const others[] = {"\"mo_within_ms\":1500", "\"receipt_within_ms\":1200",
                                             "\"leg_lost\":true"};
        len += snprintf(to + len, cap - (size_t)len, ",%s", others[sim_random(3)]);
    }
    return len + snprintf(to + len, cap - (size_t)len, "}");
}

/* --- confirmation ------------------------------------------------------------------------------------------ */

static struct deadline *deadline_of(uint64_t version)
{
    for (unsigned i = 0; i < deadlines_count; i++) {
        if (deadlines[i].version == version) {
            return &deadlines[i];
        }
    }
    return NULL;
}

void guards_confirmed(uint64_t version)
{
    struct deadline *d = deadline_of(version);
    if (d != NULL && d->gone_back) {
        violated(RULE_CONFIRM, 0, "version %" PRIu64 " is confirmed, and has gone back before", version);
    }
    if (d != NULL) {
        d->confirmed = true;
    }
}

static void gone_back(uint64_t version)
{
    struct deadline *d = deadline_of(version);
    totals.gone_back++;
    if (d == NULL) {
        if (!lost) {
            violated(RULE_CONFIRM, 0, "version %" PRIu64 " goes back, which waits for nobody", version);
        }
        return;
    }
    if (d->confirmed || d->gone_back || operator_clock() < d->at_ms) {
        violated(RULE_CONFIRM, 0, "version %" PRIu64 " goes back by itself%s%s%s", version,
                 d->confirmed ? ", though it was confirmed" : "", d->gone_back ? ", again" : "",
                 operator_clock() < d->at_ms ? ", before its time" : "");
    }
    d->gone_back = true;
}

/* --- guards ------------------------------------------------------------------------------------------------ */

static uint64_t word_of(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10);
}

/* "errors 20 min 50 action rollback for_ms 3600000" */
static void watch_flip(const struct operator_change *change)
{
    bool any = false;
    struct guard guard = {.version = change->version,
                          .at = sim_now,
                          .until_ms = operator_clock() + word_of(change->guard, "for_ms "),
                          .errors = word_of(change->guard, "errors "),
                          .min = word_of(change->guard, "min "),
                          .rolls_back = strstr(change->guard, "action rollback") != NULL};
    for (unsigned cell = 0; cell < CELLS; cell++) {
        guard.to[cell] = operator_cell(cell)->platform;
        guard.cells[cell] = change->moved[cell] && guard.to[cell] != change->before[cell].platform;
        any |= guard.cells[cell];
    }
    if (any && guards_count < KEPT_MAX) {
        guards[guards_count++] = guard;
    }
}

static struct guard *guard_of(uint64_t version)
{
    for (unsigned i = 0; i < guards_count; i++) {
        if (guards[i].version == version) {
            return &guards[i];
        }
    }
    return NULL;
}

static void set_back(uint64_t version)
{
    struct guard *guard = guard_of(version);
    if (guard == NULL) {
        return;
    }
    if (guard->tripped || guard->ended || !guard->rolls_back) {
        violated(RULE_GUARD, 0, "version %" PRIu64 " is set back by its guard%s", version,
                 guard->tripped ? ", again"
                 : guard->ended ? ", which has ended"
                                : ", which was to alert alone");
    }
    guard->tripped = true;
}

void guards_changed(const struct operator_change *change)
{
    if (change->confirm != 0 && deadlines_count < KEPT_MAX) {
        deadlines[deadlines_count++] = (struct deadline){change->version, change->confirm, false, false};
    }
    if (change->guard[0] != '\0') {
        watch_flip(change);
    }
    if (strcmp(change->who, "confirm-timer") == 0) {
        gone_back(change->undoes);
    } else if (strcmp(change->who, "guard") == 0) {
        set_back(change->undoes);
    }
}

/* The most answers that one of the guard's carriers, or the cell that is named, can have had since and before. */
struct seen {
    unsigned now, before;
};

static struct seen answers_of(const struct guard *guard, unsigned carrier, int only)
{
    struct seen seen = {0, 0};
    for (unsigned cell = 0; cell < CELLS; cell++) {
        if (guard->cells[cell] && cell % CARRIERS == carrier && (only < 0 || (unsigned)only == cell)) {
            seen.now += ledger_answers(cell, guard->to[cell], guard->at - SECOND); /* whole seconds count */
            seen.before += ledger_answers(cell, -1, 0);
        }
    }
    return seen;
}

static bool has_carrier(const struct guard *guard, unsigned carrier)
{
    for (unsigned cell = carrier; cell < CELLS; cell += CARRIERS) {
        if (guard->cells[cell]) {
            return true;
        }
    }
    return false;
}

static void check_traffic(const struct guard *guard, const char *state, const char *what)
{
    int named = operator_cell_of(what);
    bool bad = strcmp(state, "bad") == 0;
    for (unsigned carrier = 0; carrier < CARRIERS; carrier++) {
        bool about = named >= 0 ? (unsigned)named % CARRIERS == carrier
                                : strncmp(what, carrier_names[carrier], strlen(carrier_names[carrier])) == 0;
        if (!has_carrier(guard, carrier) || (bad && !about)) {
            continue;
        }
        struct seen seen = answers_of(guard, carrier, named);
        if (seen.now < guard->min || seen.before < guard->min) {
            violated(RULE_GUARD, 0,
                     "the guard of version %" PRIu64
                     " says %s of %s (%s), on %u answers at most, and %u before; "
                     "it asks for %" PRIu64,
                     guard->version, state, carrier_names[carrier], what, seen.now, seen.before, guard->min);
        }
    }
}

static void check_verdict(const struct guard *guard, const char *state, const char *what)
{
    bool early = operator_clock() < guard->until_ms;
    bool share = strstr(what, "went wrong") != NULL;
    tell("guard", "of version %" PRIu64 ": %s, %s", guard->version, state, what);
    totals.verdicts++;
    if (early && (strcmp(state, "good") == 0 || strcmp(state, "inconclusive") == 0)) {
        violated(RULE_GUARD, 0, "the guard of version %" PRIu64 " says %s before its time is over",
                 guard->version, state);
    }
    if (strcmp(state, "bad") == 0 ? share : strcmp(state, "good") == 0 && guard->errors > 0) {
        check_traffic(guard, state, what);
    }
    for (unsigned cell = 0; cell < CELLS && strcmp(state, "void") == 0; cell++) {
        if (guard->cells[cell] && operator_cell(cell)->version == guard->version) {
            violated(RULE_GUARD, 0, "the guard of version %" PRIu64 " is void, but %s is as it left it",
                     guard->version, operator_cell_name(cell));
        }
    }
}

static void look_at(struct guard *guard)
{
    char id[24];
    snprintf(id, sizeof id, "%" PRIu64, guard->version);
    const char *const ask[] = {"HGET", "{turnout}:guards", id};
    redisReply *reply = redis_ask(3, ask);
    json_t *json =
        reply == NULL || reply->type != REDIS_REPLY_STRING ? NULL : json_loads(reply->str, 0, NULL);
    const char *state = json_string_value(json_object_get(json, "state"));
    json_int_t ended_ms = json_integer_value(json_object_get(json, "ended_ms"));
    if (guard->ended && state != NULL && ended_ms != guard->ended_ms) {
        violated(RULE_GUARD, 0, "the guard of version %" PRIu64 " ends once more: %s", guard->version, state);
    }
    if (!guard->ended && state != NULL && strcmp(state, "watching") != 0) {
        const char *what = json_string_value(json_object_get(json, "what"));
        guard->ended = true;
        guard->ended_ms = ended_ms;
        guard->ended_at = sim_now;
        check_verdict(guard, state, what == NULL ? "" : what);
    }
    json_decref(json);
    redis_reply_free(reply);
}

void guards_watch(void)
{
    for (unsigned i = 0; i < guards_count; i++) {
        if (!guards[i].ended || guards[i].ended_at + 3 * SECOND > sim_now) {
            look_at(&guards[i]);
        }
    }
}

/* --- the end ----------------------------------------------------------------------------------------------- */

static void check_over(const char *key, const char *rule)
{
    char most[24];
    snprintf(most, sizeof most, "%" PRIu64, operator_clock() - LATE_MS);
    const char *const ask[] = {"ZRANGEBYSCORE", key, "-inf", most};
    redisReply *reply = redis_ask(4, ask);
    if (reply != NULL && reply->elements > 0) {
        violated(rule, 0, "the time of version %s was over long since, and nothing came of it",
                 reply->element[0]->str);
    }
    redis_reply_free(reply);
}

void guards_check(void)
{
    check_over("{turnout}:confirm", RULE_CONFIRM);
    check_over("{turnout}:guards:watching", RULE_GUARD);
}
