#include "test/sim/windows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/sim/guards.h"
#include "test/sim/ledger.h"
#include "test/sim/peers.h"
#include "test/sim/redis_model.h"
#include "test/sim/redis_net.h"

#define RULE_STATES "windows: a command only where the window's state takes it"
#define RULE_BACK   "windows: a rollback puts every cell back that it moved"
#define RULE_TIMER  "windows: what is due by itself is done once, whoever is first"
#define RULE_LOOK   "windows: nothing moves by itself where an instance cannot bind"
#define TIMER       "window-timer"

enum { WINDOWS_MAX = 16, AT_ONCE = 3, WINDOW_REQUEST_CAP = 2048, LATE_MS = 5000, SEEN_MS = 1500 };

enum state { MISSING, PLANNED, OPEN, PAUSED, FINISHED, CANCELLED, ROLLED_BACK };
static const char *const state_names[] = {"missing",  "planned",   "open",       "paused",
                                          "finished", "cancelled", "rolled_back"};

struct window {
    char name[8];
    enum state state; /* as seen last */
    bool judged;      /* nothing of it was lost */
    bool automatic;
    bool cells[CELLS];
    int to;
    uint64_t start, end, at[CELLS]; /* ms since 1970; at 0: not by itself */
    struct cell before[CELLS];
    unsigned timed[CELLS]; /* moves that it made by itself */
    bool been[CELLS];      /* where it goes, at its time or after: whoever took it away again had a reason */
    bool done[CELLS];      /* it was, for so long that somebody must have seen it */
    bool failed[CELLS];    /* by then it had an excuse for not having moved by itself */
    uint64_t there[CELLS]; /* since when, at its time or after; 0: it is not */
};

static struct window windows[WINDOWS_MAX];
static unsigned windows_count;
static struct cell previous[CELLS]; /* before the last write */

/* What may be done, and where it leads; from the README, not from the functions. */
static const struct {
    const char *command;
    enum state from, to;
} machine[] = {
    {"create", MISSING, PLANNED},    {"add", PLANNED, PLANNED},         {"remove", PLANNED, PLANNED},
    {"delete", PLANNED, MISSING},    {"start", PLANNED, OPEN},          {"cancel", PLANNED, CANCELLED},
    {"pause", OPEN, PAUSED},         {"resume", PAUSED, OPEN},          {"finish", OPEN, FINISHED},
    {"finish", PAUSED, FINISHED},    {"cancel", OPEN, CANCELLED},       {"cancel", PAUSED, CANCELLED},
    {"rollback", OPEN, ROLLED_BACK}, {"rollback", PAUSED, ROLLED_BACK}, {"rollback", FINISHED, ROLLED_BACK}};
enum { MACHINE = sizeof machine / sizeof machine[0] };

static bool takes(enum state state, const char *command)
{
    for (size_t i = 0; i < MACHINE; i++) {
        if (machine[i].from == state && strcmp(machine[i].command, command) == 0) {
            return true;
        }
    }
    return false;
}

static bool leads(enum state from, enum state to)
{
    for (size_t i = 0; i < MACHINE; i++) {
        if (machine[i].from == from && machine[i].to == to) {
            return true;
        }
    }
    return false;
}

void windows_begin(void)
{
    windows_count = 0;
    memset(windows, 0, sizeof windows);
    for (unsigned cell = 0; cell < CELLS; cell++) {
        previous[cell] = (struct cell){.platform = -1};
    }
}

/* --- what Redis holds -------------------------------------------------------------------------------------- */

static redisReply *ask_hash(const struct window *w, const char *rest, const char *field)
{
    char key[64];
    snprintf(key, sizeof key, "{turnout}:window:%.7s%s", w->name, rest);
    const char *const ask[] = {"HGET", key, field};
    return redis_ask(3, ask);
}

static enum state state_of(const struct window *w)
{
    redisReply *reply = ask_hash(w, "", "state");
    enum state state = MISSING;
    for (unsigned i = 0; reply != NULL && reply->type == REDIS_REPLY_STRING && i <= ROLLED_BACK; i++) {
        state = strcmp(reply->str, state_names[i]) == 0 ? (enum state)i : state;
    }
    redis_reply_free(reply);
    return state;
}

/* Of a window that had ended before, what it had not left moved is not its own any more. */
static void check_back(const struct window *w)
{
    for (unsigned cell = 0; cell < CELLS; cell++) {
        const struct cell *is = operator_cell(cell);
        const struct cell *was = &w->before[cell];
        if (!w->cells[cell]) {
            continue;
        }
        bool untouched = w->state == FINISHED && previous[cell].platform == was->platform;
        if (is->platform != was->platform || (is->state != was->state && !untouched)) {
            violated(RULE_BACK, 0,
                     "window %s is rolled back, and %s is at %d %c, but was at %d %c when it started",
                     w->name, operator_cell_name(cell), is->platform, is->state, was->platform, was->state);
        }
    }
}

static void enter(struct window *w, enum state state)
{
    tell("window", "%s is %s, was %s", w->name, state_names[state], state_names[w->state]);
    if (w->judged && !leads(w->state, state)) {
        violated(RULE_STATES, 0, "window %s is %s, and was %s", w->name, state_names[state],
                 state_names[w->state]);
    }
    if (w->state == PLANNED && state == OPEN) {
        memcpy(w->before, previous, sizeof w->before);
    }
    if (state == ROLLED_BACK && w->judged) {
        check_back(w);
    }
    w->state = state;
}

static bool has_failed(const struct window *w, unsigned cell)
{
    redisReply *reply = ask_hash(w, ":failed", operator_cell_name(cell));
    bool failed = reply != NULL && reply->type == REDIS_REPLY_STRING;
    redis_reply_free(reply);
    return failed;
}

/* Have all instances lived since then, or before? */
static bool everybody_lives(uint64_t since)
{
    for (unsigned i = 0; i < shape.instances; i++) {
        const struct process *p = process_of(i);
        if (p == NULL || p->ending || p->started + 2 * SECOND > since || p->stopped_until > since) {
            return false;
        }
    }
    return !shape.redis_faults;
}

/* Is there always somebody who sees that a time has come? */
static bool nothing_is_missed(void)
{
    return !shape.kills && !shape.redis_faults;
}

/* Where its cells were until now. */
static void note_there(struct window *w)
{
    for (unsigned cell = 0; cell < CELLS; cell++) {
        bool is = w->state == OPEN && previous[cell].platform == w->to && w->at[cell] != 0 &&
                  operator_clock() >= w->at[cell];
        w->been[cell] |= is;
        w->there[cell] = !is ? 0 : w->there[cell] == 0 ? sim_now : w->there[cell];
        if (is && !w->done[cell] && w->there[cell] + SEEN_MS * MS < sim_now) {
            w->done[cell] = true;
            w->failed[cell] = has_failed(w, cell);
        }
    }
}

void windows_watch(void)
{
    for (unsigned i = 0; i < windows_count; i++) {
        enum state state = state_of(&windows[i]);
        if (state != windows[i].state) {
            enter(&windows[i], state);
        }
    }
    for (unsigned i = 0; i < windows_count; i++) {
        note_there(&windows[i]);
    }
    for (unsigned cell = 0; cell < CELLS; cell++) {
        previous[cell] = *operator_cell(cell);
    }
}

void windows_lost(void)
{
    for (unsigned i = 0; i < windows_count; i++) {
        windows[i].judged = false;
    }
}

bool windows_open_for(unsigned cell)
{
    for (unsigned i = 0; i < windows_count; i++) {
        if (windows[i].state == OPEN && windows[i].cells[cell]) {
            return true;
        }
    }
    return false;
}

/* --- by itself --------------------------------------------------------------------------------------------- */

static struct window *window_named(const char *name)
{
    for (unsigned i = 0; i < windows_count; i++) {
        if (strcmp(windows[i].name, name) == 0) {
            return &windows[i];
        }
    }
    return NULL;
}

/* A window that starts by itself may move at once: its state as seen last is the one before. */
static bool may_move(const struct window *w)
{
    return w->state == OPEN || (w->state == PLANNED && w->automatic && w->start <= operator_clock());
}

static void check_timed(struct window *w, const struct operator_change *change, unsigned cell)
{
    const struct cell *was = w->state == PLANNED ? &previous[cell] : &w->before[cell];
    w->timed[cell]++;
    totals.timed++;
    if (!may_move(w)) {
        violated(RULE_TIMER, 0, "version %" PRIu64 " moves %s by itself, though window %s is %s",
                 change->version, operator_cell_name(cell), w->name, state_names[w->state]);
    }
    if (!w->cells[cell] || w->at[cell] == 0 || w->at[cell] > operator_clock()) {
        violated(RULE_TIMER, 0, "version %" PRIu64 " moves %s by itself, of window %s, before its time",
                 change->version, operator_cell_name(cell), w->name);
    }
    if (w->timed[cell] > 1 || operator_cell(cell)->platform != w->to ||
        change->before[cell].platform != was->platform || change->before[cell].state != was->state) {
        violated(RULE_TIMER, 0,
                 "version %" PRIu64 " moves %s by itself, of window %s, for the %u. time, from %d %c to %d",
                 change->version, operator_cell_name(cell), w->name, w->timed[cell],
                 change->before[cell].platform, change->before[cell].state, operator_cell(cell)->platform);
    }
}

/* All instances are asked after the move is due, and those that live try to bind: no move to a carrier who has taken no
 * connection since then. Of links that repeat each client's bind it may be that nobody has to try. */
static void check_carrier(const struct window *w, const struct operator_change *change, unsigned cell)
{
    unsigned link = cell % CARRIERS * PLATFORMS + (unsigned)w->to;
    uint64_t away = smsc_away_since(link);
    uint64_t due = (w->at[cell] - SIM_EPOCH * 1000) * MS;
    if (shape.own && w->to == 1 && away <= due && everybody_lives(away)) {
        violated(RULE_LOOK, 0, "version %" PRIu64 " moves %s by itself, though nobody can bind %s for %.1f s",
                 change->version, operator_cell_name(cell), link_names[link],
                 (double)(sim_now - away) / (double)SECOND);
    }
}

void windows_changed(const struct operator_change *change)
{
    if (strcmp(change->kind, "restore") == 0) {
        windows_lost();
    }
    for (unsigned cell = 0; cell < CELLS && strcmp(change->who, "confirm-timer") == 0; cell++) {
        previous[cell] = *operator_cell(cell); /* in one call with a start, it comes first */
    }
    struct window *w = window_named(change->window);
    if (w == NULL || !w->judged || strcmp(change->who, TIMER) != 0 || strcmp(change->kind, "flip") != 0) {
        return;
    }
    for (unsigned cell = 0; cell < CELLS; cell++) {
        if (change->moved[cell]) {
            check_timed(w, change, cell);
            check_carrier(w, change, cell);
        }
    }
}

static void check_late(const struct window *w)
{
    uint64_t late = operator_clock() - LATE_MS;
    if (w->state == PLANNED && w->automatic && w->start < late) {
        redisReply *reply = ask_hash(w, "", "auto");
        if (reply != NULL && strcmp(reply->str, "1") == 0) {
            violated(RULE_TIMER, 0, "window %s was to start by itself, and did not", w->name);
        }
        redis_reply_free(reply);
    }
    for (unsigned cell = 0; cell < CELLS && w->state == OPEN; cell++) {
        if (w->cells[cell] && w->at[cell] != 0 && w->at[cell] < late && !w->been[cell] &&
            !has_failed(w, cell)) {
            violated(RULE_TIMER, 0, "%s of window %s was to move by itself, and did not",
                     operator_cell_name(cell), w->name);
        }
    }
    for (unsigned cell = 0; cell < CELLS && nothing_is_missed(); cell++) {
        if (w->done[cell] && !w->failed[cell] && has_failed(w, cell)) {
            violated(RULE_TIMER, 0, "%s of window %s had moved at its time, and is said not to have",
                     operator_cell_name(cell), w->name);
        }
    }
}

void windows_check(void)
{
    for (unsigned i = 0; i < windows_count; i++) {
        if (windows[i].judged) {
            check_late(&windows[i]);
        }
    }
}

/* --- commands ---------------------------------------------------------------------------------------------- */

/* The number of moves that a start or resume says are overdue: those that were done in their time are not. */
static void check_overdue(const struct window *w, const char *name, const redisReply *reply)
{
    unsigned most = 0;
    for (unsigned cell = 0; cell < CELLS; cell++) {
        most += w->cells[cell] && w->at[cell] != 0 && w->at[cell] <= operator_clock() &&
                operator_cell(cell)->platform != w->to && !w->done[cell];
    }
    if (strcmp(name, "resume") == 0 && reply->element[3]->integer > most) {
        violated(RULE_TIMER, 0, "%s of window %s says that %lld moves are overdue, of %u at most", name,
                 w->name, reply->element[3]->integer, most);
    }
}

/* Sends it and looks whether the answer fits the state. Returns the version of the change that it made, 0 for none. */
static uint64_t command(const struct window *w, const char *name, const char *more)
{
    char request[WINDOW_REQUEST_CAP];
    bool taken = takes(w->state, name);
    snprintf(request, sizeof request, "{\"command\":\"%s\",\"name\":\"%s\",\"who\":\"sim\",\"force\":%s%s}",
             name, w->name, sim_chance(500) ? "true" : "false", more);
    redisReply *reply = operator_ask("turnout_window", request);
    uint64_t version = operator_version(reply);
    const char *outcome = reply == NULL ? "Redis is away" : reply->element[0]->str;
    bool third = reply != NULL && strcmp(outcome, "invalid") == 0 && reply->elements > 2;
    tell("operator", "%ss window %s: %s, version %" PRIu64 " %s", name, w->name, outcome, version,
         third ? reply->element[2]->str : "");
    if (reply != NULL && taken == (strcmp(outcome, "state") == 0)) {
        violated(RULE_STATES, 0, "%s of window %s, which is %s: \"%s\"", name, w->name, state_names[w->state],
                 outcome);
    }
    if (reply != NULL && strcmp(outcome, "ok") == 0 && w->judged && nothing_is_missed()) {
        check_overdue(w, name, reply);
    }
    redis_reply_free(reply);
    return version;
}

static int put_moves(char *to, size_t cap, const struct window *w)
{
    int len = snprintf(to, cap, ",\"moves\":[");
    const char *comma = "";
    for (unsigned cell = 0; cell < CELLS; cell++) {
        if (!w->cells[cell]) {
            continue;
        }
        len += snprintf(to + len, cap - (size_t)len,
                        "%s{\"shortcode\":\"%s\",\"carrier\":\"%s\",\"to\":\"%s\"", comma,
                        shortcodes[cell / CARRIERS], carrier_names[cell % CARRIERS], platform_names[w->to]);
        if (w->at[cell] != 0) {
            len += snprintf(to + len, cap - (size_t)len, ",\"at\":%" PRIu64, w->at[cell]);
        }
        len += snprintf(to + len, cap - (size_t)len, "}");
        comma = ",";
    }
    return len + snprintf(to + len, cap - (size_t)len, "]");
}

static void carrier_goes(void *ctx, uint64_t link)
{
    (void)ctx;
    if (sim_now < shape.chaos_end) {
        tell(link_names[link], "is away before a move by itself");
        smsc_away((unsigned)link, 3 * SECOND);
    }
}

/* Some carriers take no connection when the window is about to move something there. */
static void disturb_moves(const struct window *w)
{
    for (unsigned cell = 0; cell < CELLS && shape.peers_fail; cell++) {
        uint64_t due = (w->at[cell] - SIM_EPOCH * 1000) * MS;
        if (w->at[cell] != 0 && sim_chance(250)) {
            uint64_t lead = sim_between(100 * MS, SECOND);
            sim_at(due > sim_now + lead ? due - lead : sim_now, carrier_goes, NULL,
                   cell % CARRIERS * PLATFORMS + (unsigned)w->to);
        }
    }
}

/* From about now on for some seconds; some cells move by themselves. */
static void create(void)
{
    char more[WINDOW_REQUEST_CAP - 200];
    uint64_t now = operator_clock();
    struct window *w = &windows[windows_count];
    *w = (struct window){.judged = true,
                         .automatic = sim_chance(400),
                         .start = now + sim_random(2500) - 500,
                         .end = now + sim_between(3000, 12000)};
    snprintf(w->name, sizeof w->name, "w%u", windows_count++);
    do {
        unsigned cell = (unsigned)sim_random(CELLS);
        w->cells[cell] = true;
        w->at[cell] = sim_chance(400) ? sim_between(w->start, w->start + 2900) : 0;
        w->to = operator_cell(cell)->platform == 0; /* so that one at least has a way to go */
    } while (sim_chance(700));
    int len = snprintf(more, sizeof more, ",\"start\":%" PRIu64 ",\"end\":%" PRIu64 ",\"auto\":%s", w->start,
                       w->end, w->automatic ? "true" : "false");
    len += put_moves(more + len, sizeof more - (size_t)len, w);
    if (sim_chance(400)) {
        (void)guards_request(more + len, sizeof more - (size_t)len);
    }
    (void)command(w, "create", more);
    disturb_moves(w);
    totals.windows++;
}

/* The cells that have not moved yet, or some of them. */
static void step(const struct window *w)
{
    bool moved[CELLS] = {false};
    bool any = false;
    for (unsigned cell = 0; cell < CELLS; cell++) {
        moved[cell] = w->cells[cell] && operator_cell(cell)->platform != w->to && sim_chance(600);
        any |= moved[cell];
    }
    enum state state = w->state;
    bool judged = w->judged;
    uint64_t version = any ? operator_flip(moved, w->to, w->name) : 0;
    if (version > 0 && state != OPEN && judged) {
        violated(RULE_STATES, 0, "version %" PRIu64 " is a flip of window %s, which is %s", version, w->name,
                 state_names[state]);
    }
    if (version > 0) {
        totals.steps++;
        operator_await(moved, version);
    }
}

static void roll_back(const struct window *w)
{
    bool moved[CELLS];
    uint64_t version = command(w, "rollback", "");
    for (unsigned cell = 0; cell < CELLS; cell++) {
        moved[cell] = version > 0 && operator_cell(cell)->version == version;
    }
    operator_await(moved, version);
}

static void act_on(const struct window *w, bool busy)
{
    static const char *const any[] = {"start",  "start",  "start",  "pause", "resume",
                                      "resume", "finish", "cancel", "delete"};
    uint64_t choice = sim_random(100);
    if (choice < 60 && w->state == PLANNED) {
        (void)command(w, "start", "");
    } else if (choice < 60 && !busy) {
        step(w);
    } else if (choice < 72 && !busy) {
        roll_back(w);
    } else {
        (void)command(w, any[sim_random(sizeof any / sizeof any[0])], "");
    }
}

void windows_act(bool busy)
{
    const struct window *living[WINDOWS_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < windows_count; i++) {
        enum state state = windows[i].state;
        if (state == PLANNED || state == OPEN || state == PAUSED || sim_chance(100)) {
            living[count++] = &windows[i];
        }
    }
    if (windows_count < WINDOWS_MAX && (count == 0 || (count < AT_ONCE && sim_chance(200)))) {
        create();
    } else if (count > 0) {
        act_on(living[sim_random(count)], busy);
    }
}
