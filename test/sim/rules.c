#include "test/sim/rules.h"

#include <inttypes.h>

#include "proxy/client.h"
#include "proxy/leg.h"
#include "test/sim/limits.h"
#include "test/sim/net.h"
#include "test/sim/peers.h"

#define RULE_OLD_LEG "5: after the flip the old leg stays bound"
#define RULE_LIMITS  "8: memory, queues and windows within their limits"
#define RULE_FORWARD "9: an instance's table goes forward only"
#define RULE_DRAIN   "drain: told to end, it ends in time, and what it has is answered"
#define RULE_END     "every buffer and slot back at the end"

enum { PDU_MOST = 8192, RELOAD_S = 6 };

static void check_conn(const struct process *p, const struct conn *c, const char *what)
{
    if (c->window.used > c->window.size) {
        violated(RULE_LIMITS, 0, "%s: a %s has %u requests in a window of %u", p->name, what, c->window.used,
                 c->window.size);
    }
    if (c->kept_len > PDU_MOST + c->worker->receive_size) {
        violated(RULE_LIMITS, 0, "%s: %u octets of a %s are kept", p->name, c->kept_len, what);
    }
}

/* One more than may wait of a carrier, and one more than a window, have been read when reading stops. */
static void check_queues(const struct process *p, const struct client *client)
{
    for (unsigned carrier = 0; client->held != NULL && carrier < NAMES_MAX; carrier++) {
        if (client->held[carrier].count > client->account->wait_count + 1U) {
            violated(RULE_LIMITS, 0, "%s: %u messages of a client wait for one carrier, of %u", p->name,
                     client->held[carrier].count, client->account->wait_count);
        }
    }
    if (client->held_bytes > client->account->wait_bytes) {
        violated(RULE_LIMITS, 0, "%s: %zu octets of a client wait, of %zu", p->name, client->held_bytes,
                 (size_t)client->account->wait_bytes);
    }
    if (client->in_flight > client->account->window + 1U) {
        violated(RULE_LIMITS, 0, "%s: a client has %u requests in a window of %u", p->name, client->in_flight,
                 client->account->window);
    }
}

static void check_client(const struct process *p, const struct client *client)
{
    check_conn(p, &client->conn, "client");
    if (client->account != NULL &&
        p->reloaded + RELOAD_S * SECOND < sim_now) { /* what is there may be more than may come */
        check_queues(p, client);
    }
}

/* Those whose stream has been told to close are through: here a half-open wire may keep it, as no socket does. */
static unsigned legs_left(const struct worker *w)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < w->legs.capacity; i++) {
        const struct leg *leg = registry_at(&w->legs, i);
        count += leg != NULL && !leg->conn.closing;
    }
    return count;
}

/* Answers and good-byes have half a second beyond the time to drain, and a few turns. */
static void check_drain(const struct process *p, const struct worker *w)
{
    bool over = p->told > 0 && sim_now > p->told + DRAIN_MS * MS + SECOND && p->stopped_until < p->told;
    if (over && (w->clients.count > 0 || legs_left(w) > 0)) {
        violated(RULE_DRAIN, 0, "%s was told to end %.1f s ago, and has %u clients and %u legs still",
                 p->name, (double)(sim_now - p->told) / (double)SECOND, w->clients.count, legs_left(w));
    }
}

/* A bound leg that no route needs any more is not said good-bye to before its time, while its client is there. (One
 * that a reload has given another shape is begun anew.) */
static void check_leg(const struct process *p, const struct worker *w, const struct leg *leg)
{
    const struct client *client = client_find(w, leg->client);
    bool bound = leg->conn.stream != NULL && !leg->peer_unbinds && !leg->conn.smpp.parting &&
                 (smpp_state_is_bound(leg->conn.smpp.state) || leg->conn.smpp.state == SMPP_UNBINDING);
    bool by_us = leg->state == LEG_ENDING && bound && leg->unneeded_since > 0 && !leg->for_query &&
                 leg->config == w->config;
    check_conn(p, &leg->conn, "leg");
    if (by_us && !shape.clocks && client != NULL && !client->ending && !w->draining &&
        w->now_s < leg->unneeded_since + w->config->linger / SECOND) {
        violated(RULE_OLD_LEG, 0, "%s: a leg of %s ends %" PRIu64 " s after the last route that needed it",
                 p->name, leg->name, w->now_s - leg->unneeded_since);
    }
}

void rules_after_turn(struct process *p, unsigned number)
{
    struct worker *w = p->workers[number];
    uint64_t held = 0;
    if (w->version < p->versions[number]) {
        violated(RULE_FORWARD, 0, "%s went from version %" PRIu64 " back to %" PRIu64, p->name,
                 p->versions[number], w->version);
    }
    p->versions[number] = w->version;
    if (w->config == NULL) {
        return;
    }
    for (uint32_t i = 0; i < w->clients.capacity; i++) {
        const struct client *client = registry_at(&w->clients, i);
        if (client != NULL) {
            check_client(p, client);
            held += client->held_count;
        }
    }
    for (uint32_t i = 0; i < w->legs.capacity; i++) {
        const struct leg *leg = registry_at(&w->legs, i);
        if (leg != NULL) {
            check_leg(p, w, leg);
        }
    }
    limits_after_turn(p, w);
    check_drain(p, w);
    if (held != metric_get(&w->metrics->waiting_messages)) {
        violated(RULE_LIMITS, 0, "%s: %" PRIu64 " messages wait, but %" PRIu64 " are counted", p->name, held,
                 metric_get(&w->metrics->waiting_messages));
    }
}

bool rules_leg_serves(const struct wire *wire)
{
    const struct process *p = wire->process;
    for (unsigned i = 0; i < p->workers_count; i++) {
        for (uint32_t at = 0; !p->over[i] && at < p->workers[i]->legs.capacity; at++) {
            const struct leg *leg = registry_at(&p->workers[i]->legs, at);
            if (leg != NULL && wire->near != NULL && leg->conn.stream == wire->near) {
                return leg->state == LEG_BOUND;
            }
        }
    }
    return false;
}

static void check_zero(const struct process *p, const char *what, uint64_t value)
{
    if (value != 0) {
        violated(RULE_END, 0, "%s: %s is %" PRIu64, p->name, what, value);
    }
}

static void check_sessions(const struct process *p, metric (*sessions)[SMPP_STATE_COUNT])
{
    for (unsigned type = 0; type < METRICS_BIND_TYPES; type++) {
        for (unsigned state = 0; state < SMPP_STATE_COUNT; state++) {
            check_zero(p, "a gauge of sessions", metric_get(&sessions[type][state]));
        }
    }
}

void rules_at_end(const struct process *p, unsigned number)
{
    struct worker *w = p->workers[number];
    check_zero(p, "clients", w->clients.count);
    check_zero(p, "legs", w->legs.count);
    check_zero(p, "chunks out", w->chunks.out);
    check_zero(p, "messages waiting", metric_get(&w->metrics->waiting_messages));
    check_zero(p, "octets waiting", metric_get(&w->metrics->waiting_bytes));
    check_sessions(p, w->metrics->sessions);
    for (unsigned i = 0; i < LINKS; i++) {
        struct metrics_link *m = atomic_load(&w->metrics->links[i]);
        if (m != NULL) {
            check_sessions(p, m->sessions);
            check_zero(p, "slots of a link", metric_get(&m->window_used));
            check_zero(p, "windows of a link", metric_get(&m->window_size));
        }
    }
    for (unsigned i = 0; i < TIMERS_SLOTS; i++) {
        check_zero(p, "timers set", w->timers.slot[i].next != &w->timers.slot[i]);
    }
    if (number + 1 == p->workers_count) { /* the others may still count theirs */
        bool last = true;
        for (unsigned i = 0; i < number; i++) {
            last = last && p->workers[i]->clients.count == 0;
        }
        if (last) {
            check_zero(p, "sessions counted", atomic_load(&w->shared->sessions));
            check_zero(p, "unbound sessions counted", atomic_load(&w->shared->unbound));
        }
    }
}
