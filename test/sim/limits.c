#include "test/sim/limits.h"

#include <inttypes.h>
#include <string.h>

#include "proxy/client.h"
#include "proxy/leg.h"
#include "proxy/shared.h"
#include "proxy/way.h"
#include "test/sim/ledger.h"

#define RULE_LIMITS "8: memory, queues and windows within their limits"
#define RULE_ANSWER "8: hitting a limit has a defined answer and a counter"

enum { LATE_MS = 1000, RELOAD_S = 4, SEEN_CLIENTS = 2 * ACCOUNTS };

/* --- what they are ----------------------------------------------------------------------------------------- */

static const struct limits wide = {.out = 64 << 10,
                                   .wait_bytes = 1 << 20,
                                   .waiting = 100000,
                                   .waiting_bytes = 256 << 20,
                                   .binds = 8,
                                   .sessions = 60,
                                   .unbound = 60,
                                   .own_answers = 1000,
                                   .init_ms = 2000,
                                   .partial_ms = 3000};

static void narrow(unsigned *limit, unsigned least, unsigned most)
{
    if (sim_chance(400)) {
        *limit = (unsigned)sim_between(least, most);
    }
}

void limits_choose(void)
{
    struct limits *l = &shape.limits;
    *l = wide;
    if (shape.calm || shape.only_redis || !sim_chance(300)) {
        return;
    }
    l->narrow = true;
    narrow(&l->out, 8 << 10, 10 << 10); /* no less than a PDU */
    l->short_out = l->out < wide.out;
    if (l->short_out) {
        shape.mo_window = (unsigned)sim_between(15, 30);
        shape.big = (unsigned)sim_between(100, 500);
    }
    narrow(&l->wait_bytes, 0, 3000);
    narrow(&l->waiting, 0, 12);
    narrow(&l->waiting_bytes, 0, 4000);
    narrow(&l->binds, 1, 2);
    if (l->binds < wide.binds) {
        shape.instances = 1; /* where all of a client's sessions meet */
    }
    narrow(&l->sessions, 1, 4);
    narrow(&l->unbound, 1, 2);
    narrow(&l->own_answers, 2, 12);
    narrow(&l->init_ms, 150, 900);
    narrow(&l->partial_ms, 150, 900);
}

void limits_write(FILE *out)
{
    const struct limits *l = &shape.limits;
    fprintf(out,
            "max-sessions = %u max-unbound = %u session-init = %ums partial-timeout = %ums out-limit = %u\n"
            "max-own-answers = %u max-waiting = %u max-waiting-bytes = %u\n",
            l->sessions, l->unbound, l->init_ms, l->partial_ms, l->out, l->own_answers, l->waiting,
            l->waiting_bytes);
}

/* --- refusals as they happen ------------------------------------------------------------------------------- */

/* Linked with --wrap. */
bool __wrap_shared_wait(struct shared *shared, size_t len, uint64_t most, uint64_t most_bytes);
bool __real_shared_wait(struct shared *shared, size_t len, uint64_t most, uint64_t most_bytes);
void __wrap_way_refuse(struct client *client, const struct subject *s, uint32_t status, enum refused cause);
void __real_way_refuse(struct client *client, const struct subject *s, uint32_t status, enum refused cause);

bool __wrap_shared_wait(struct shared *shared, size_t len, uint64_t most, uint64_t most_bytes)
{
    uint64_t waiting = atomic_load(&shared->waiting);
    uint64_t bytes = atomic_load(&shared->waiting_bytes);
    bool room = waiting < shape.limits.waiting && bytes + len <= shape.limits.waiting_bytes;
    bool may = __real_shared_wait(shared, len, most, most_bytes);
    if (may != room) {
        violated(
            RULE_LIMITS, 0,
            "one more message of %zu octets %s wait, with %" PRIu64 " of %u there, %" PRIu64 " octets of %u",
            len, may ? "may" : "may not", waiting, shape.limits.waiting, bytes, shape.limits.waiting_bytes);
    }
    return may;
}

static bool session_is_full(const struct client *client, const struct subject *s)
{
    const struct config_client *account = client->account;
    return (client->held != NULL && client->held[s->carrier].count >= account->wait_count) ||
           account->wait_count == 0 || client->held_bytes + s->len > account->wait_bytes;
}

void __wrap_way_refuse(struct client *client, const struct subject *s, uint32_t status, enum refused cause)
{
    bool full = cause == REFUSED_WAIT_FULL || cause == REFUSED_WAIT_FULL_ALL;
    if (full && status != client->account->hold_refusal) {
        violated(RULE_ANSWER, 0, "what may not wait is refused with 0x%x, not 0x%x", status,
                 client->account->hold_refusal);
    }
    if (cause == REFUSED_WAIT_FULL && !session_is_full(client, s)) {
        violated(RULE_ANSWER, 0, "%s: %u octets may not wait, though there is room: %zu of %zu", client->name,
                 s->len, client->held_bytes, (size_t)client->account->wait_bytes);
    }
    current->met.full_in_all += cause == REFUSED_WAIT_FULL_ALL;
    current->met.full += cause == REFUSED_WAIT_FULL;
    totals.limits += full;
    __real_way_refuse(client, s, status, cause);
}

static const char *text_of(const struct log_field *fields, const char *name)
{
    for (const struct log_field *f = fields; f->type != LOG_FIELD_END; f++) {
        if (f->type == LOG_FIELD_TEXT && strcmp(f->name, name) == 0) {
            return f->text == NULL ? "" : f->text;
        }
    }
    return "";
}

/* Calls for all sessions of clients of a process. */
static void each_client(const struct process *p, void (*call)(const struct client *client, void *sums),
                        void *sums)
{
    for (unsigned i = 0; i < p->workers_count; i++) {
        for (uint32_t at = 0; at < p->workers[i]->clients.capacity; at++) {
            const struct client *client = registry_at(&p->workers[i]->clients, at);
            if (client != NULL) {
                call(client, sums);
            }
        }
    }
}

struct binds {
    const char *name;
    unsigned count, most;
};

static void count_bind(const struct client *client, void *sums)
{
    struct binds *binds = sums;
    if (client->has_account && strcmp(client->name, binds->name) == 0) {
        binds->count++;
    }
    if (client->account != NULL && strcmp(client->name, binds->name) == 0) {
        binds->most = client->account->max_binds;
    }
}

static void refused_bind(struct process *p, const struct log_field *fields)
{
    struct binds binds = {.name = text_of(fields, "client")};
    p->met.binds++;
    if (strcmp(text_of(fields, "why"), "too_many_binds") != 0) {
        return;
    }
    totals.limits++;
    each_client(p, count_bind, &binds);
    if (binds.count < binds.most) {
        violated(RULE_ANSWER, 0, "%s: a bind of %s is refused as too many, with %u of %u there", p->name,
                 binds.name, binds.count, binds.most);
    }
}

/* Those of before may be more than a new file allows, and stay. */
static void accepted_bind(struct process *p, const struct log_field *fields)
{
    struct binds binds = {.name = text_of(fields, "client")};
    each_client(p, count_bind, &binds);
    if (binds.count > binds.most && p->reloaded + RELOAD_S * SECOND < sim_now) {
        violated(RULE_LIMITS, 0, "%s: a bind of %s is accepted, with %u there, of %u", p->name, binds.name,
                 binds.count, binds.most);
    }
}

static void closed(struct process *p, const char *why, bool client)
{
    bool slow = strcmp(why, "slow_reader") == 0;
    bool init = strcmp(why, smpp_due_name(SMPP_DUE_END_INIT)) == 0;
    bool partial = strcmp(why, smpp_due_name(SMPP_DUE_END_PARTIAL)) == 0;
    p->met.slow_readers += slow;
    p->met.inits += client && init;
    p->met.partials += client && partial;
    totals.limits += slow || init || partial;
}

void limits_logged(struct process *p, enum log_event event, const struct log_field *fields)
{
    switch (event) {
    case EVENT_CLIENT_BOUND: accepted_bind(p, fields); break;
    case EVENT_CLIENT_REFUSED: refused_bind(p, fields); break;
    case EVENT_CLIENT_CLOSED: closed(p, text_of(fields, "why"), true); break;
    case EVENT_LEG_CLOSED:
    case EVENT_LEG_RETRY:
    case EVENT_LEG_ENDED: closed(p, text_of(fields, "why"), false); break;
    default: break;
    }
}

void limits_refused_connection(struct process *p)
{
    const struct shared *shared = p->workers[0]->shared;
    unsigned sessions = atomic_load(&shared->sessions);
    unsigned unbound = atomic_load(&shared->unbound);
    p->met.connections++;
    totals.limits++;
    if (!p->ending && sessions < shape.limits.sessions && unbound < shape.limits.unbound) {
        violated(RULE_ANSWER, 0, "%s: a connection is refused with %u sessions of %u there, %u unbound of %u",
                 p->name, sessions, shape.limits.sessions, unbound, shape.limits.unbound);
    }
}

/* --- what is there, and what is counted ---------------------------------------------------------------------- */

struct sums {
    unsigned sessions, unbound, binds[SEEN_CLIENTS];
    uint64_t held, held_bytes;
    struct met closing; /* of those whose line in the log is still to come */
};

static void add_closing(const struct conn *c, bool client, struct sums *sums)
{
    if (c->stream == NULL || !c->closing || c->why == NULL) {
        return;
    }
    sums->closing.slow_readers += strcmp(c->why, "slow_reader") == 0;
    sums->closing.inits += client && strcmp(c->why, smpp_due_name(SMPP_DUE_END_INIT)) == 0;
    sums->closing.partials += client && strcmp(c->why, smpp_due_name(SMPP_DUE_END_PARTIAL)) == 0;
}

static void check_held(const struct client *client)
{
    unsigned count = 0;
    size_t bytes = 0;
    for (unsigned carrier = 0; client->held != NULL && carrier < NAMES_MAX; carrier++) {
        for (const struct held *held = client->held[carrier].first; held != NULL; held = held->next) {
            count++;
            bytes += held->len;
        }
    }
    if (count != client->held_count || bytes != client->held_bytes) {
        violated(RULE_LIMITS, 0, "%u messages of %s, %zu octets, wait, but %u are counted, %zu octets", count,
                 client->name, bytes, client->held_count, client->held_bytes);
    }
}

static void add_client(const struct client *client, void *to)
{
    struct sums *sums = to;
    sums->sessions++;
    sums->unbound += client->counted_unbound;
    if (client->has_account && client->account_index < SEEN_CLIENTS) {
        sums->binds[client->account_index]++;
    }
    sums->held += client->held_count;
    sums->held_bytes += client->held_bytes;
    check_held(client);
    add_closing(&client->conn, true, sums);
}

static void check(const struct process *p, const char *what, uint64_t there, uint64_t counted, uint64_t most)
{
    if (there != counted || there > most) {
        violated(RULE_LIMITS, 0, "%s: %s: %" PRIu64 " are there, %" PRIu64 " are counted, of %" PRIu64,
                 p->name, what, there, counted, most);
    }
}

static void check_shared(const struct process *p, const struct shared *shared, const struct sums *sums)
{
    const struct limits *l = &shape.limits;
    check(p, "sessions", sums->sessions, atomic_load(&shared->sessions), l->sessions);
    check(p, "sessions not bound", sums->unbound, atomic_load(&shared->unbound), l->unbound);
    check(p, "messages waiting in all", sums->held, atomic_load(&shared->waiting), l->waiting);
    check(p, "octets waiting in all", sums->held_bytes, atomic_load(&shared->waiting_bytes),
          l->waiting_bytes);
    for (unsigned i = 0; i < SEEN_CLIENTS; i++) {
        check(p, "binds of a client", sums->binds[i], atomic_load(&shared->binds[i]), UINT64_MAX);
    }
}

/* --- counters ------------------------------------------------------------------------------------------------ */

static uint64_t waited(struct metrics_worker *m, enum wait_outcome outcome)
{
    uint64_t sum = 0;
    for (unsigned reason = 0; reason < WAIT_REASON_COUNT; reason++) {
        sum += metric_get(&m->waited[reason][outcome]);
    }
    return sum;
}

static struct met counted_of(const struct process *p, uint64_t *full, uint64_t *full_in_all)
{
    struct met sum = {.binds = 0};
    *full = *full_in_all = 0;
    for (unsigned i = 0; i < p->workers_count; i++) {
        struct metrics_worker *m = p->workers[i]->metrics;
        sum.binds += metric_get(&m->binds_refused) + metric_get(&m->binds_credentials);
        sum.connections += metric_get(&m->accept_refused);
        sum.slow_readers += metric_get(&m->slow_readers);
        sum.inits += metric_get(&m->ended[SIDE_CLIENT][SMPP_DUE_END_INIT]);
        sum.partials += metric_get(&m->ended[SIDE_CLIENT][SMPP_DUE_END_PARTIAL]);
        sum.full += metric_get(&m->refused[REFUSED_WAIT_FULL]);
        sum.full_in_all += metric_get(&m->refused[REFUSED_WAIT_FULL_ALL]);
        *full += waited(m, WAITED_FULL);
        *full_in_all += waited(m, WAITED_FULL_ALL);
    }
    return sum;
}

static void check_counter(const struct process *p, const char *what, uint64_t happened, uint64_t counted)
{
    if (happened != counted) {
        violated(RULE_ANSWER, 0, "%s: %s: %" PRIu64 " times, counted %" PRIu64, p->name, what, happened,
                 counted);
    }
}

static void check_counters(const struct process *p, const struct met *closing)
{
    uint64_t full = 0;
    uint64_t full_in_all = 0;
    const struct met *met = &p->met;
    const struct met counted = counted_of(p, &full, &full_in_all);
    check_counter(p, "binds refused", met->binds, counted.binds);
    check_counter(p, "connections refused", met->connections, counted.connections);
    check_counter(p, "slow readers closed", met->slow_readers + closing->slow_readers, counted.slow_readers);
    check_counter(p, "closed unbound", met->inits + closing->inits, counted.inits);
    check_counter(p, "closed with part of a PDU", met->partials + closing->partials, counted.partials);
    check_counter(p, "messages refused, too many of a session", met->full, counted.full);
    check_counter(p, "messages refused, too many in all", met->full_in_all, counted.full_in_all);
    check_counter(p, "messages that found no room, of a session", met->full, full);
    check_counter(p, "messages that found no room, in all", met->full_in_all, full_in_all);
}

/* --- sessions -------------------------------------------------------------------------------------------------- */

/* Its time began at that moment, and is over by more than a turn may take. */
static bool is_late(const struct process *p, const struct worker *w, uint64_t since, unsigned limit_ms)
{
    return w->now > since + (limit_ms + LATE_MS) * MS && p->stopped_until + LATE_MS * MS < sim_now;
}

static void check_times(const struct process *p, const struct conn *c, bool client)
{
    const struct worker *w = c->worker;
    const struct smpp_session *s = &c->smpp;
    bool listens = c->stream != NULL && !c->closing && !c->paused && !c->flooded;
    if (client && listens && s->state == SMPP_OPEN && is_late(p, w, s->connected, shape.limits.init_ms)) {
        violated(RULE_LIMITS, 0, "%s: a client has not bound for %" PRIu64 " ms, and may stay", p->name,
                 (w->now - s->connected) / MS);
    }
    if (listens && c->kept_len > 0 && is_late(p, w, s->began_partial, shape.limits.partial_ms) &&
        is_late(p, w, c->listening, shape.limits.partial_ms)) {
        violated(RULE_LIMITS, 0, "%s: part of a PDU has waited %" PRIu64 " ms for the rest", p->name,
                 (w->now - s->began_partial) / MS);
    }
}

static void check_own_answers(const struct process *p, const struct conn *c)
{
    bool over = c->own_answers > shape.limits.own_answers;
    bool reads = c->stream != NULL && !c->closing && !c->flooded;
    if (c->own_answers > shape.limits.own_answers + 1 ||
        (over && reads && c->worker->now - c->own_since < SECOND)) {
        violated(RULE_LIMITS, 0, "%s: %u PDUs that are no messages in a second, of %u, and %s", p->name,
                 c->own_answers, shape.limits.own_answers, reads ? "it is read on" : "it is read no more");
    }
}

static void check_conn(const struct process *p, const struct conn *c, bool client)
{
    if (c->out_len > shape.limits.out) {
        violated(RULE_LIMITS, 0, "%s: %zu octets wait for a %s, of %u", p->name, c->out_len,
                 client ? "client" : "leg", shape.limits.out);
    }
    check_times(p, c, client);
    check_own_answers(p, c);
}

/* A worker that has ended is gone with all that it counted. */
static bool all_there(const struct process *p)
{
    for (unsigned i = 0; i < p->workers_count; i++) {
        if (p->workers[i]->config == NULL || p->over[i]) {
            return false;
        }
    }
    return true;
}

static void add_sessions(const struct process *p, struct sums *sums)
{
    each_client(p, add_client, sums);
    for (unsigned i = 0; i < p->workers_count; i++) {
        for (uint32_t at = 0; at < p->workers[i]->legs.capacity; at++) {
            const struct leg *leg = registry_at(&p->workers[i]->legs, at);
            if (leg != NULL) {
                add_closing(&leg->conn, false, sums);
            }
        }
    }
}

void limits_after_turn(struct process *p, struct worker *w)
{
    struct sums sums = {.sessions = 0};
    for (uint32_t i = 0; i < w->clients.capacity; i++) {
        const struct client *client = registry_at(&w->clients, i);
        if (client != NULL) {
            check_conn(p, &client->conn, true);
        }
    }
    for (uint32_t i = 0; i < w->legs.capacity; i++) {
        const struct leg *leg = registry_at(&w->legs, i);
        if (leg != NULL) {
            check_conn(p, &leg->conn, false);
        }
    }
    if (all_there(p)) {
        add_sessions(p, &sums);
        check_shared(p, w->shared, &sums);
        check_counters(p, &sums.closing);
    }
}
