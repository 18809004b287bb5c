/* change ─▶ applied everywhere? ─▶ (strict: settled everywhere? ─▶ open on the other platform ─▶ applied?) ─▶ ledger
 *
 * One at a time, as one careful operator would; turnout_due goes back by itself between. */
#include "test/sim/operator.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/settled.h"
#include "routing/table.h"
#include "test/sim/guards.h"
#include "test/sim/ledger.h"
#include "test/sim/peers.h"
#include "test/sim/redis_model.h"
#include "test/sim/redis_net.h"
#include "test/sim/windows.h"

enum { REQUEST_CAP = 4096, POLL_MS = 10, PATIENCE_MS = 4000, PID_FIRST = 1001, LIVE_MAX = 8 };

enum goal { GOAL_APPLIED, GOAL_SETTLED };

static struct cell cells[CELLS];
static uint64_t seen; /* version of the changes looked at */
static bool again;    /* they are read once more */

/* What the operator waits for. */
static struct {
    bool busy;
    enum goal goal;
    uint64_t version, since;
    bool moved[CELLS];
    bool repeated; /* the table says so already: it may be of an older change */
    int then_to;   /* strict: the platform to open, -1: nothing follows */
    uint64_t confirm;
    uint64_t serial;
} work;

static void poll_instances(void *ctx, uint64_t serial);
static void act(void *ctx, uint64_t arg);
static void repeat_soon(void *ctx, uint64_t arg);

/* --- the changes, as the log has them --------------------------------------------------------------------- */

static int index_of(const char *const *names, unsigned count, const char *name, size_t len)
{
    for (unsigned i = 0; i < count; i++) {
        if (strlen(names[i]) == len && strncmp(names[i], name, len) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static void take_line(const char *line, uint64_t version, struct operator_change *change)
{
    char shortcode[24];
    char carrier[32];
    char to[32];
    char state[16];
    if (sscanf(line, "%23s %31s %*s %*s %31s %15s", shortcode, carrier, to, state) != 4) {
        return;
    }
    int s = index_of(shortcodes, SHORTCODES, shortcode, strlen(shortcode));
    int c = index_of(carrier_names, CARRIERS, carrier, strlen(carrier));
    if (s < 0 || c < 0) {
        return;
    }
    unsigned at = (unsigned)s * CARRIERS + (unsigned)c;
    change->before[at] = cells[at];
    cells[at] = (struct cell){index_of(platform_names, PLATFORMS, to, strlen(to)), state[0], version};
    change->moved[at] =
        cells[at].platform != change->before[at].platform || cells[at].state != change->before[at].state;
    ledger_changed(at);
    tell("log", "version %" PRIu64 ": %s %s is %s %s", version, shortcode, carrier, to, state);
}

static void take_field(struct operator_change *change, const char *name, const char *value)
{
    if (strcmp(name, "who") == 0) {
        change->who = value;
    } else if (strcmp(name, "kind") == 0) {
        change->kind = value;
    } else if (strcmp(name, "window") == 0) {
        change->window = value;
    } else if (strcmp(name, "guard") == 0) {
        change->guard = value;
    } else if (strcmp(name, "undoes") == 0) {
        change->undoes = strtoull(value, NULL, 10);
    } else if (strcmp(name, "confirm") == 0) {
        change->confirm = strtoull(value, NULL, 10);
    }
}

static void take_entry(const redisReply *entry)
{
    const redisReply *fields = entry->element[1];
    uint64_t version = strtoull(entry->element[0]->str, NULL, 10);
    struct operator_change change = {.version = version, .who = "", .kind = "", .window = "", .guard = ""};
    seen = version;
    memcpy(change.before, cells, sizeof change.before);
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        const char *value = fields->element[i + 1]->str;
        take_field(&change, fields->element[i]->str, value);
        if (strcmp(fields->element[i]->str, "kind") == 0 && strcmp(value, "restore") == 0) {
            tell("log", "version %" PRIu64 ": the whole table is restored", version);
            ledger_restored();
        }
        if (strcmp(fields->element[i]->str, "moves") == 0) {
            for (const char *line = value; line != NULL && *line != '\0';) {
                take_line(line, version, &change);
                line = strchr(line, '\n');
                line = line == NULL ? NULL : line + 1;
            }
        }
    }
    if (!again) {
        windows_changed(&change);
        guards_changed(&change);
    }
}

void operator_watch(void)
{
    char from[32];
    snprintf(from, sizeof from, "%" PRIu64 "-0", seen + 1);
    const char *const ask[] = {"XRANGE", "{turnout}:changes", from, "+"};
    redisReply *reply = redis_ask(4, ask);
    for (size_t i = 0; reply != NULL && reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        take_entry(reply->element[i]);
    }
    again = again && reply == NULL;
    redis_reply_free(reply);
    windows_watch();
    guards_watch();
}

/* The last changes are gone, and others may come in their place. Somebody may well give the last one that there is again,
 * as soon as Redis is back: it is there already, and the instances stand in Redis as they were before. */
void operator_lost_changes(void)
{
    seen = 0;
    for (unsigned cell = 0; cell < CELLS; cell++) {
        cells[cell].platform = -1;
    }
    windows_lost();
    guards_lost();
    again = true;
    operator_watch();
    sim_after(10 * MS, repeat_soon, NULL, 0);
}

/* --- changes ----------------------------------------------------------------------------------------------- */

redisReply *operator_ask(const char *name, const char *request)
{
    const char *const strings[] = {"FCALL", name, "1", "{turnout}:version", request};
    redisReply *reply = redis_ask(request == NULL ? 4 : 5, strings);
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR &&
        strstr(reply->str, "Function not found") != NULL) {
        redis_reply_free(reply); /* a replica took over that did not have them; an instance will load them */
        return NULL;
    }
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        violated("the model of Redis", 0, "%s: %s", name, reply->str);
    }
    return reply;
}

static const char *state_name(char state)
{
    return state == 'h' ? "hold" : state == 'c' ? "closed" : "open";
}

static int move_text(char *to, size_t cap, unsigned cell, int platform, char state, bool careful)
{
    const struct cell *is = &cells[cell];
    int len = snprintf(to, cap, "{\"shortcode\":\"%s\",\"carrier\":\"%s\",\"to\":\"%s\",\"state\":\"%s\"",
                       shortcodes[cell / CARRIERS], carrier_names[cell % CARRIERS], platform_names[platform],
                       state_name(state));
    if (careful) {
        len += snprintf(to + len, cap - (size_t)len, ",\"from_version\":%" PRIu64, is->version);
    }
    len += snprintf(to + len, cap - (size_t)len, "}");
    return len;
}

uint64_t operator_version(const redisReply *reply)
{
    bool ok = reply != NULL && strcmp(reply->element[0]->str, "ok") == 0;
    return ok ? (uint64_t)reply->element[1]->integer : 0;
}

static void check_admitted(uint64_t version)
{
    for (unsigned cell = 0; version > 0 && cell < CELLS; cell++) {
        if (cells[cell].version == version && !windows_open_for(cell)) {
            violated("windows: what no window is open for does not move", 0,
                     "version %" PRIu64 " flips %s, which is in no open window", version,
                     operator_cell_name(cell));
        }
    }
}

/* Just after a change: the instances have it, or half of it, and no replica may. */
static void lose_master(void *ctx, uint64_t arg)
{
    (void)ctx;
    (void)arg;
    if (redis_is_up()) {
        redis_failover();
    }
}

/* A change of these cells. Returns its version, 0 where none was made. */
static uint64_t change_in(const char *window, const char *kind, const bool moved[CELLS], int platform,
                          char state, uint64_t confirm_ms)
{
    char request[REQUEST_CAP];
    bool careful = strcmp(kind, "import") != 0 && sim_chance(700);
    bool first = true;
    int len = snprintf(request, sizeof request, "{\"kind\":\"%s\",\"who\":\"sim\",\"why\":\"%s\",", kind,
                       state_name(state));
    bool flips = strcmp(kind, "flip") == 0;
    bool outside = flips && sim_chance(window[0] != '\0' ? 100 : shape.windows ? 600 : 970);
    if (outside) {
        len += snprintf(request + len, sizeof request - (size_t)len, "\"outside_window\":true,");
    }
    if (window[0] != '\0') {
        len += snprintf(request + len, sizeof request - (size_t)len, "\"window\":\"%s\",", window);
    }
    if (confirm_ms > 0) {
        len += snprintf(request + len, sizeof request - (size_t)len, "\"confirm_within_ms\":%" PRIu64 ",",
                        confirm_ms);
    }
    len += snprintf(request + len, sizeof request - (size_t)len, "\"moves\":[");
    for (unsigned cell = 0; cell < CELLS; cell++) {
        if (moved[cell]) {
            len += snprintf(request + len, sizeof request - (size_t)len, "%s", first ? "" : ",");
            int to = platform >= 0 ? platform : cells[cell].platform >= 0 ? cells[cell].platform : 0;
            len += move_text(request + len, sizeof request - (size_t)len, cell, to, state, careful);
            first = false;
        }
    }
    len += snprintf(request + len, sizeof request - (size_t)len, "]");
    if (flips && shape.windows && sim_chance(250)) {
        len += guards_request(request + len, sizeof request - (size_t)len);
    }
    snprintf(request + len, sizeof request - (size_t)len, "}");
    redisReply *reply = operator_ask("turnout_change", request);
    uint64_t version = operator_version(reply);
    if (flips && !outside) {
        check_admitted(version);
    }
    if (version > 0 && shape.redis_faults && sim_now > SIM_BEGIN + SECOND && sim_now < shape.chaos_end &&
        sim_chance(60)) {
        sim_after(sim_between(MS, 40 * MS), lose_master, NULL, 0);
    }
    tell("operator", "%s: %s, version %" PRIu64, kind,
         reply == NULL ? "Redis is away" : reply->element[0]->str, version);
    redis_reply_free(reply);
    operator_watch();
    return version;
}

static uint64_t change(const char *kind, const bool moved[CELLS], int platform, char state,
                       uint64_t confirm_ms)
{
    return change_in("", kind, moved, platform, state, confirm_ms);
}

/* --- the barrier ------------------------------------------------------------------------------------------- */

static const char *field_of(const redisReply *reply, size_t at, const char *name)
{
    size_t count = (size_t)reply->element[at + 2]->integer;
    for (size_t i = 0; i + 1 < count; i += 2) {
        if (strcmp(reply->element[at + 3 + i]->str, name) == 0) {
            return reply->element[at + 4 + i]->str;
        }
    }
    return "";
}

struct look {
    unsigned live, reached;
    unsigned serials[LIVE_MAX];
};

/* As turnoutctl's strict flip: what matters is unanswered on links that the moved cells leave. */
static bool has_settled(const redisReply *reply, size_t at)
{
    char carriers[CARRIERS][NAME_LEN_MAX + 1];
    struct settled_ways ways = {.carriers = carriers, .to = platform_names[work.then_to]};
    for (unsigned carrier = 0; carrier < CARRIERS; carrier++) {
        bool moved = false;
        for (unsigned cell = carrier; cell < CELLS; cell += CARRIERS) {
            moved |= work.moved[cell];
        }
        if (moved) {
            snprintf(carriers[ways.count++], sizeof carriers[0], "%s", carrier_names[carrier]);
        }
    }
    return settled_on(field_of(reply, at, "unsettled"), work.version, &ways, NULL, 0);
}

/* turnout_instances: now, then id, lease left, number of strings, strings, for each. */
static bool look_at_instances(struct look *look)
{
    redisReply *reply = operator_ask("turnout_instances", NULL);
    *look = (struct look){.live = 0};
    if (reply == NULL) {
        return false;
    }
    for (size_t at = 1; at + 2 < reply->elements; at += 3 + (size_t)reply->element[at + 2]->integer) {
        if (reply->element[at + 1]->integer < 0) {
            continue;
        }
        const char *history = field_of(reply, at, "history");
        bool other = strcmp(history, "other") == 0 || strcmp(history, "unheard") == 0;
        if (look->live < LIVE_MAX) {
            look->serials[look->live] = (unsigned)strtoul(field_of(reply, at, "pid"), NULL, 10) - PID_FIRST;
        }
        look->live++;
        look->reached += !other && (work.goal != GOAL_SETTLED || has_settled(reply, at)) &&
                         strtoull(field_of(reply, at, "applied"), NULL, 10) >= work.version;
    }
    redis_reply_free(reply);
    return true;
}

static void wait_for(enum goal goal, uint64_t version)
{
    work.busy = true;
    work.goal = goal;
    work.version = version;
    work.since = sim_now;
    work.serial++;
    sim_after(POLL_MS * MS, poll_instances, NULL, work.serial);
}

static void give_up(const char *why)
{
    tell("operator", "gives up on version %" PRIu64 ": %s", work.version, why);
    work.busy = false;
}

static void check_cell(const struct process *p, const struct worker *w, unsigned cell)
{
    const struct cell *is = &cells[cell];
    struct route route;
    uint8_t carrier = w->config->carriers[cell % CARRIERS].id;
    bool there = table_cell(w->table, shortcodes[cell / CARRIERS], carrier, &route);
    const struct config_link *link =
        !there || route.platform >= NAMES_MAX ? NULL : w->config->link_of[carrier][route.platform];
    int platform = link == NULL ? -1 : link->port - PORT_FIRST - (int)(cell % CARRIERS) * PLATFORMS;
    char state = 'o';
    if (there) {
        state = route_state_name(route.state)[0];
    }
    if (platform != is->platform || state != is->state) {
        violated("9: an instance that follows has Redis' table", 0,
                 "%s has %s %s at %d %c, Redis at %d %c, version %" PRIu64, p->name,
                 shortcodes[cell / CARRIERS], carrier_names[cell % CARRIERS], platform, state, is->platform,
                 is->state, seen);
    }
}

/* only: of these processes; NULL: of all. */
static void check_tables(const struct look *only)
{
    for (const struct process *p = processes; p != NULL; p = p->next) {
        bool counted = only == NULL;
        for (unsigned i = 0; only != NULL && i < only->live && i < LIVE_MAX; i++) {
            counted |= only->serials[i] == p->serial;
        }
        for (unsigned i = 0; i < p->workers_count && p->alive && !p->ending && counted; i++) {
            const struct worker *w = p->workers[i];
            if (only == NULL && w->version != seen) {
                violated("9: Redis is followed when it is back", 0,
                         "%s is at version %" PRIu64 " of %" PRIu64, p->name, w->version, seen);
            }
            for (unsigned cell = 0; cell < CELLS && w->version == seen && w->table != NULL; cell++) {
                check_cell(p, w, cell);
            }
        }
    }
}

void operator_check_tables(void)
{
    check_tables(NULL);
}

static void promise(const struct look *look)
{
    if (work.version == seen) {
        check_tables(look);
    }
    tell("operator", "version %" PRIu64 " is applied by %u, %.1f ms after the change", work.version,
         look->live, (double)(sim_now - work.since) / (double)MS);
    for (unsigned cell = 0; cell < CELLS; cell++) {
        const struct cell *is = &cells[cell];
        if (work.moved[cell] && (work.repeated ? is->version <= work.version : is->version == work.version)) {
            ledger_applied(cell, is->state == 'o' ? is->platform : -1, work.version, look->serials,
                           look->live);
        }
    }
    disturb_promise();
}

static void reached(const struct look *look)
{
    if (work.goal == GOAL_APPLIED) {
        promise(look);
        if (work.then_to >= 0) {
            wait_for(GOAL_SETTLED, work.version);
            return;
        }
    } else {
        uint64_t version = change("flip", work.moved, work.then_to, 'o', 0);
        work.then_to = -1;
        if (version > 0) {
            totals.strict++;
            wait_for(GOAL_APPLIED, version);
            return;
        }
    }
    work.busy = false;
}

static void poll_instances(void *ctx, uint64_t serial)
{
    struct look look;
    (void)ctx;
    if (!work.busy || work.serial != serial) {
        return;
    }
    if (!look_at_instances(&look)) {
        give_up("Redis is away");
    } else if (look.live > 0 && look.reached == look.live && redis_replicated()) {
        reached(&look);
    } else if (sim_now - work.since > PATIENCE_MS * MS) {
        give_up("not all have applied it in time");
    } else {
        sim_after(sim_between(1, POLL_MS) * MS, poll_instances, NULL, serial);
    }
}

/* --- what operators do ------------------------------------------------------------------------------------- */

static void some_cells(bool moved[CELLS])
{
    unsigned one = (unsigned)sim_random(CELLS);
    memset(moved, 0, CELLS * sizeof *moved);
    moved[one] = true;
    while (sim_chance(400)) {
        moved[sim_random(CELLS)] = true;
    }
}

static void begin_work(uint64_t version, int then_to)
{
    work.then_to = then_to;
    work.repeated = false;
    if (version > 0) {
        totals.flips++;
        wait_for(GOAL_APPLIED, version);
    }
}

void operator_await(const bool moved[CELLS], uint64_t version)
{
    memcpy(work.moved, moved, sizeof work.moved);
    begin_work(version, -1);
}

uint64_t operator_flip(const bool moved[CELLS], int platform, const char *window)
{
    return change_in(window, "flip", moved, platform, 'o', sim_chance(250) ? sim_between(200, 3000) : 0);
}

const struct cell *operator_cell(unsigned cell)
{
    return &cells[cell];
}

const char *operator_cell_name(unsigned cell)
{
    static char name[64];
    snprintf(name, sizeof name, "%s %s", shortcodes[cell / CARRIERS], carrier_names[cell % CARRIERS]);
    return name;
}

int operator_cell_of(const char *name)
{
    for (unsigned cell = 0; cell < CELLS; cell++) {
        const char *own = operator_cell_name(cell);
        if (strncmp(own, name, strlen(own)) == 0) {
            return (int)cell;
        }
    }
    return -1;
}

uint64_t operator_clock(void)
{
    return SIM_EPOCH * 1000 + sim_now / MS;
}

static void flip(bool strict)
{
    some_cells(work.moved);
    unsigned one = 0;
    while (!work.moved[one]) {
        one++;
    }
    int to = 1 - (cells[one].platform < 0 ? 0 : cells[one].platform);
    if (strict) {
        begin_work(change("set", work.moved, -1, 'h', 0), to);
    } else {
        begin_work(change("flip", work.moved, to, 'o', sim_chance(250) ? sim_between(200, 3000) : 0), -1);
    }
}

static void roll_back(void)
{
    char request[160];
    if (seen < 2) {
        return;
    }
    snprintf(request, sizeof request, "{\"who\":\"sim\",\"version\":%" PRIu64 ",\"force\":%s}",
             seen - sim_random(seen < 4 ? 1 : 3), sim_chance(300) ? "true" : "false");
    redisReply *reply = operator_ask("turnout_rollback", request);
    uint64_t version = operator_version(reply);
    tell("operator", "rolls back, %s, version %" PRIu64,
         reply == NULL ? "Redis is away" : reply->element[0]->str, version);
    redis_reply_free(reply);
    operator_watch();
    for (unsigned cell = 0; cell < CELLS; cell++) {
        work.moved[cell] = cells[cell].version == version;
    }
    begin_work(version, -1);
}

static void confirm(void)
{
    redisReply *reply = operator_ask("turnout_confirm", "{\"who\":\"sim\"}");
    tell("operator", "confirms: %s", reply == NULL ? "Redis is away" : reply->element[0]->str);
    if (reply != NULL && strcmp(reply->element[0]->str, "confirmed") == 0) {
        guards_confirmed((uint64_t)reply->element[1]->integer);
    }
    redis_reply_free(reply);
    operator_watch();
}

static void set_state(char state)
{
    some_cells(work.moved);
    begin_work(change("set", work.moved, -1, state, 0), -1);
}

/* Somebody gives commands again that the table has carried out already: the last change is waited for, whoever made it. */
static void repeat(void)
{
    if (seen > 0) {
        for (unsigned cell = 0; cell < CELLS; cell++) {
            work.moved[cell] = cells[cell].platform >= 0;
        }
        begin_work(seen, -1);
        work.repeated = true;
    }
}

static void repeat_soon(void *ctx, uint64_t arg)
{
    (void)ctx;
    (void)arg;
    if (!work.busy && redis_is_up() && sim_now < shape.chaos_end) {
        repeat();
    } else if (sim_now < shape.chaos_end) {
        sim_after(10 * MS, repeat_soon, NULL, 0);
    }
}

static void change_something(void)
{
    static const char some[] = {'h', 'c', 'o'};
    uint64_t choice = sim_random(100);
    if (shape.only_redis || shape.strict_only || choice < 65) {
        flip(!shape.only_redis && (shape.strict_only || choice < 25));
    } else if (choice < 75) {
        roll_back();
    } else if (choice < 83) {
        confirm();
    } else {
        set_state(some[sim_random(sizeof some)]);
    }
}

static void act(void *ctx, uint64_t arg)
{
    (void)ctx;
    (void)arg;
    if (sim_now > shape.chaos_end) {
        return;
    }
    if (!work.busy && shape.peers_fail && sim_chance(150)) {
        smsc_stall(); /* and then a change */
        sim_after(sim_between(20 * MS, 250 * MS), act, NULL, 0);
        return;
    }
    if (shape.windows && redis_is_up() && sim_chance(750)) {
        if (work.busy || sim_chance(850)) {
            windows_act(work.busy);
        } else {
            repeat();
        }
    } else if (!work.busy && redis_is_up()) {
        change_something();
    }
    sim_after(sim_between(100 * MS, shape.windows ? 300 * MS : 1800 * MS), act, NULL, 0);
}

/* --- the end of trouble ------------------------------------------------------------------------------------ */

static bool somebody_refuses(uint64_t *highest)
{
    redisReply *reply = operator_ask("turnout_instances", NULL);
    bool refused = false;
    *highest = 0;
    for (size_t at = 1; reply != NULL && at + 2 < reply->elements;
         at += 3 + (size_t)reply->element[at + 2]->integer) {
        uint64_t applied = strtoull(field_of(reply, at, "applied"), NULL, 10);
        refused |= strcmp(field_of(reply, at, "state"), "refused") == 0;
        *highest = applied > *highest ? applied : *highest;
    }
    redis_reply_free(reply);
    return refused;
}

static void restore(uint64_t version)
{
    char request[REQUEST_CAP];
    int len =
        snprintf(request, sizeof request, "{\"who\":\"sim\",\"version\":%" PRIu64 ",\"rows\":{", version);
    for (unsigned s = 0; s < SHORTCODES; s++) {
        len += snprintf(request + len, sizeof request - (size_t)len, "%s\"%s\":{", s == 0 ? "" : ",",
                        shortcodes[s]);
        for (unsigned c = 0; c < CARRIERS; c++) {
            struct cell *is = &cells[s * CARRIERS + c];
            is->platform = is->platform < 0 ? 0 : is->platform;
            len +=
                snprintf(request + len, sizeof request - (size_t)len, "%s\"%s\":\"%s open - 0 %" PRIu64 "\"",
                         c == 0 ? "" : ",", carrier_names[c], platform_names[is->platform], version);
        }
        len += snprintf(request + len, sizeof request - (size_t)len, "}");
    }
    snprintf(request + len, sizeof request - (size_t)len, "}}");
    redisReply *reply = operator_ask("turnout_restore", request);
    if (reply != NULL && strcmp(reply->element[0]->str, "ok") == 0) {
        uint64_t made = (uint64_t)reply->element[1]->integer;
        tell("operator", "restores the table as version %" PRIu64, made);
        operator_watch();
        for (unsigned cell = 0; cell < CELLS; cell++) {
            cells[cell] = (struct cell){cells[cell].platform, 'o', made};
            work.moved[cell] = true;
        }
        begin_work(made, -1);
    }
    redis_reply_free(reply);
}

void operator_mend(void)
{
    uint64_t highest = 0;
    bool held = false;
    work.busy = false;
    work.serial++;
    if (somebody_refuses(&highest)) {
        restore(highest);
        return;
    }
    for (unsigned cell = 0; cell < CELLS; cell++) {
        work.moved[cell] = cells[cell].state != 'o';
        held |= work.moved[cell];
    }
    if (held) {
        begin_work(change("import", work.moved, -1, 'o', 0), -1);
    }
}

void operator_begin(void)
{
    windows_begin();
    guards_begin();
    memset(&work, 0, sizeof work);
    memset(cells, 0, sizeof cells);
    seen = 0;
    again = false;
    for (unsigned cell = 0; cell < CELLS; cell++) {
        cells[cell].platform = -1;
        work.moved[cell] = true;
    }
    const char *const load[] = {"FUNCTION", "LOAD", "REPLACE", ""};
    redis_reply_free(redis_ask(4, load));
    begin_work(change("import", work.moved, 0, 'o', 0), -1);
    sim_after(sim_between(SECOND, 2 * SECOND), act, NULL, 0);
}
