#include "test/sim/ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smpp/constants.h"
#include "smpp/frame.h"
#include "test/sim/accounts.h"
#include "test/sim/parts.h"
#include "test/sim/peers.h"
#include "test/sim/rules.h"

enum { MARGIN_S = 9, BARRIERS_MAX = 512, WIRES_MAX = 4096, SERIALS_MAX = 8 };

#define RULE_ACK      "1: end-to-end acknowledgement"
#define RULE_ONE      "2: exactly one response per request"
#define RULE_BYTES    "3: bytes equal but for the sequence number"
#define RULE_BARRIER  "4: nothing on the old route after the barrier"
#define RULE_RECEIPTS "5: receipts and answers to the right one"
#define RULE_RECEIVER "5: MO and receipts go to a receiving session of their client"
#define RULE_FAULT    "6: a fault of ours never looks like the client's"
#define RULE_ONCE     "7: nothing is sent twice, or after a refusal"
#define RULE_ORDER    "order kept in strict flips"

struct totals totals;

static struct message **messages[2]; /* MT, MO, by number */
static size_t counts[2], sizes[2];

struct barrier {
    unsigned cell;
    int platform;
    uint64_t version, time;
    bool valid, fenced;
    unsigned serials[SERIALS_MAX], serials_count;
    uint64_t *limits; /* by wire id */
    unsigned limits_count;
};
static struct barrier barriers[BARRIERS_MAX];
static unsigned barriers_count;
static uint64_t failed_over; /* when Redis last did */
static uint64_t restored;    /* when the table was last put back */

static void *need(void *memory)
{
    if (memory == NULL) {
        abort();
    }
    return memory;
}

/* --- accounts -------------------------------------------------------------------------------------------- */

void account_begin(struct account *a)
{
    free(a->owed);
    *a = (struct account){.first = 1 + (uint32_t)sim_random(0x7FFF0000)};
}

uint32_t account_next(const struct account *a)
{
    return a->first + (uint32_t)a->count;
}

void account_owe(struct account *a, uint32_t command, uint32_t message, bool lenient)
{
    if (a->count == a->size) {
        a->size = a->size == 0 ? 64 : 2 * a->size;
        a->owed = need(realloc(a->owed, a->size * sizeof *a->owed));
    }
    a->owed[a->count++] =
        (struct owed){.command = command, .message = message, .sent = sim_now, .lenient = lenient};
    a->open++;
}

struct owed *account_settle(struct account *a, const struct wire *wire, const uint8_t *pdu, uint32_t len)
{
    uint32_t command = smpp_get32(pdu + 4);
    uint32_t sequence = smpp_get32(pdu + 12);
    uint32_t at = sequence - a->first;
    (void)len;
    if (command == SMPP_GENERIC_NACK && sequence == 0) {
        return NULL; /* framing of ours was lost on purpose */
    }
    if (at >= a->count) {
        violated(RULE_ONE, 0, "%s got %s 0x%x for a request that it never sent", wire->name,
                 smpp_command_name(command), sequence);
    }
    struct owed *owed = &a->owed[at];
    if (owed->answered) {
        violated(RULE_ONE, owed->message, "%s got a second answer, %s, to its %s", wire->name,
                 smpp_command_name(command), smpp_command_name(owed->command));
    }
    if (command != SMPP_GENERIC_NACK && command != (owed->command | SMPP_RESPONSE_BIT) && !owed->lenient) {
        violated(RULE_ONE, owed->message, "%s got %s to its %s", wire->name, smpp_command_name(command),
                 smpp_command_name(owed->command));
    }
    owed->answered = true;
    a->open--;
    return owed;
}

void account_check(const struct account *a, const struct wire *wire, bool last)
{
    if (a->open == 0 || wire_frozen(wire) || wire->near_closing || wire->orphan || !wire->process->alive ||
        !wire_calm(wire, MARGIN_S * SECOND) || wire->process->started + MARGIN_S * SECOND > sim_now) {
        return;
    }
    for (size_t i = 0; i < a->count; i++) {
        const struct owed *owed = &a->owed[i];
        if (!owed->answered && (last || owed->sent + MARGIN_S * SECOND < sim_now)) {
            violated(RULE_ONE, owed->message, "%s has waited %.1f s for an answer to its %s 0x%x", wire->name,
                     (double)(sim_now - owed->sent) / (double)SECOND, smpp_command_name(owed->command),
                     a->first + (uint32_t)i);
        }
    }
}

/* --- windows --------------------------------------------------------------------------------------------- */

void ages_remove(struct ages *ages, uint32_t sequence)
{
    for (unsigned i = 0; i < ages->count; i++) {
        if (ages->of[i].sequence == sequence) {
            ages->of[i] = ages->of[--ages->count];
            return;
        }
    }
}

void ages_add(struct ages *ages, const struct wire *wire, uint32_t sequence, unsigned window)
{
    unsigned young = 0;
    for (unsigned i = 0; i < ages->count;) {
        if (ages->of[i].time + RESPONSE_TIMEOUT_MS * MS / 2 < sim_now) {
            ages->of[i] = ages->of[--ages->count];
        } else {
            young++;
            i++;
        }
    }
    if (ages->count < AGES_MAX) {
        ages->of[ages->count].sequence = sequence;
        ages->of[ages->count++].time = sim_now;
    }
    bool prompt = wire->step == 0 && wire->lag < 10 * MS && wire_calm(wire, 5 * SECOND);
    if (prompt && young + 1 > window) {
        violated("8: memory, queues and windows within their limits", 0,
                 "%s has %u requests in a window of %u", wire->name, young + 1, window);
    }
}

/* --- messages -------------------------------------------------------------------------------------------- */

static struct message *message_new(bool mo)
{
    struct message *m = need(calloc(1, sizeof *m));
    if (counts[mo] == sizes[mo]) {
        sizes[mo] = sizes[mo] == 0 ? 1024 : 2 * sizes[mo];
        messages[mo] = need(realloc(messages[mo], sizes[mo] * sizeof(struct message *)));
    }
    messages[mo][counts[mo]++] = m;
    m->number = (mo ? MO_FIRST : 0) + (uint32_t)counts[mo];
    m->mo = mo;
    m->sent = sim_now;
    return m;
}

struct message *ledger_mt(struct wire *from, unsigned account, unsigned shortcode, unsigned carrier)
{
    struct message *m = message_new(false);
    m->from = from;
    m->account = account;
    m->shortcode = shortcode;
    m->carrier = carrier;
    totals.mt++;
    return m;
}

struct message *ledger_mo(struct wire *from, unsigned shortcode, unsigned carrier)
{
    struct message *m = message_new(true);
    m->from = from;
    m->account = owner_of_shortcode(shortcode);
    m->shortcode = shortcode;
    m->carrier = carrier;
    totals.mo++;
    return m;
}

struct message *ledger_find(uint32_t number)
{
    bool mo = number > MO_FIRST;
    uint32_t at = number - (mo ? MO_FIRST : 0);
    return at == 0 || at > counts[mo] ? NULL : messages[mo][at - 1];
}

static void keep(struct octets *to, const uint8_t *pdu, uint32_t len)
{
    free(to->p);
    to->p = need(malloc(len));
    memcpy(to->p, pdu, len);
    to->len = len;
}

void ledger_sent(struct message *m, const uint8_t *pdu, uint32_t len)
{
    keep(&m->pdu, pdu, len);
    char part[48] = "";
    if (m->series != NULL) {
        snprintf(part, sizeof part, ", part %u of %u, reference %u", m->part + 1, m->series->total,
                 m->series->reference);
    }
    tell_of(m->number, m->from->name, "sends %s 0x%x, %u octets: %s %s, message m%08u%s%s",
            smpp_command_name(smpp_get32(pdu + 4)), smpp_get32(pdu + 12), len, shortcodes[m->shortcode],
            carrier_names[m->carrier], m->number, m->receipt ? ", a receipt" : "", part);
}

static bool same_but_sequence(const struct octets *sent, const uint8_t *pdu, uint32_t len)
{
    return sent->len == len && memcmp(sent->p, pdu, 12) == 0 &&
           memcmp(sent->p + SMPP_HEADER_LEN, pdu + SMPP_HEADER_LEN, len - SMPP_HEADER_LEN) == 0;
}

/* The mark: "m" and eight digits. */
static uint32_t number_in(const uint8_t *pdu, uint32_t len)
{
    for (uint32_t i = SMPP_HEADER_LEN; i + MARK_LEN <= len; i++) {
        uint32_t number = 0;
        unsigned digits = 0;
        if (pdu[i] != 'm') {
            continue;
        }
        while (digits < MARK_LEN - 1 && pdu[i + 1 + digits] >= '0' && pdu[i + 1 + digits] <= '9') {
            number = number * 10 + pdu[i + 1 + digits++] - '0';
        }
        if (digits == MARK_LEN - 1) {
            return number;
        }
    }
    return 0;
}

static void note_arrival(struct message *m, struct wire *to, const uint8_t *pdu, uint32_t len)
{
    tell_of(m->number, to->name, "gets %s 0x%x: message m%08u", smpp_command_name(smpp_get32(pdu + 4)),
            smpp_get32(pdu + 12), m->number);
    if (!same_but_sequence(&m->pdu, pdu, len)) {
        violated(RULE_BYTES, m->number, "message m%08u arrived with other octets than it was sent with",
                 m->number);
    }
    if (m->seen++ > 0) {
        violated(RULE_ONCE, m->number, "message m%08u arrived twice", m->number);
    }
    if (m->answered && m->by_proxy && m->status != ESME_RSUBMITFAIL && !m->mo) {
        violated(RULE_ONCE, m->number, "message m%08u arrived though its sender was told 0x%x: not sent",
                 m->number, m->status);
    }
    m->to = to;
    m->seen_at = sim_now;
}

/* --- the barrier ------------------------------------------------------------------------------------------ */

void ledger_changed(unsigned cell)
{
    for (unsigned i = 0; i < barriers_count; i++) {
        if (barriers[i].cell == cell) {
            barriers[i].valid = false;
        }
    }
}

void ledger_failed_over(void)
{
    failed_over = sim_now;
}

void ledger_restored(void)
{
    restored = sim_now;
    for (unsigned cell = 0; cell < CELLS; cell++) {
        ledger_changed(cell);
    }
}

void ledger_applied(unsigned cell, int platform, uint64_t version, const unsigned *serials, unsigned count)
{
    if (barriers_count == BARRIERS_MAX) {
        return;
    }
    struct barrier *b = &barriers[barriers_count++];
    *b = (struct barrier){.cell = cell,
                          .platform = platform,
                          .version = version,
                          .time = sim_now,
                          .valid = true,
                          .fenced =
                              failed_over == 0 || failed_over + (LEASE_MS + LEASE_MS / 2) * MS < sim_now};
    for (unsigned i = 0; i < count && i < SERIALS_MAX; i++) {
        b->serials[b->serials_count++] = serials[i];
    }
    b->limits_count = wires == NULL ? 1 : wires->id + 1;
    b->limits = need(calloc(b->limits_count, sizeof *b->limits));
    for (const struct wire *wire = wires; wire != NULL; wire = wire->older) {
        uint64_t taken = wire->received + wire->capacity; /* what the kernel had taken by now */
        b->limits[wire->id] = taken < wire->written ? taken : wire->written;
    }
    totals.barriers++;
}

static unsigned instance_of(unsigned serial)
{
    for (const struct process *p = processes; p != NULL; p = p->next) {
        if (p->serial == serial) {
            return p->instance;
        }
    }
    return INSTANCES_MAX;
}

/* Does the promise bind this process? Those that were counted, and what is started again in their place. Not one that
 * Redis held for dead; and not an instance that was away then: where it starts while Redis is away, too, it has nothing
 * but its own older table, which is what rule 9 wants of it. With a fence it binds these as well: whose lease is over sends
 * nothing; but for a lease after a failover, since what the old master acknowledged is more than the new one knows of. */
static bool binds(const struct barrier *b, const struct process *p)
{
    if (shape.fence && b->fenced) {
        return true;
    }
    for (unsigned i = 0; i < b->serials_count; i++) {
        if (b->serials[i] == p->serial ||
            (p->started > b->time && instance_of(b->serials[i]) == p->instance)) {
            return true;
        }
    }
    return false;
}

static void check_barrier(const struct message *m, const struct wire *to, uint64_t end)
{
    unsigned cell = m->shortcode * CARRIERS + m->carrier;
    for (unsigned i = 0; i < barriers_count; i++) {
        const struct barrier *b = &barriers[i];
        if (!b->valid || b->cell != cell || b->platform == (int)link_platform((unsigned)to->link) ||
            !binds(b, to->process) || series_excuses(m, link_platform((unsigned)to->link), b->time)) {
            continue;
        }
        uint64_t limit = to->id < b->limits_count ? b->limits[to->id] : 0;
        if (end > limit) {
            violated(RULE_BARRIER, m->number,
                     "message m%08u went to %s by %s, %.3f s after version %" PRIu64
                     " was reported as applied",
                     m->number, link_names[to->link], to->process->name,
                     (double)(sim_now - b->time) / (double)SECOND, b->version);
        }
    }
}

/* --- order ----------------------------------------------------------------------------------------------- */

/* An instance that was held for dead at the newest change of a cell was not waited for: it finds out when it is back, with
 * messages in flight by the old route, and no strict flip can keep their order. */
static bool newest_promise_binds(unsigned cell, const struct process *p)
{
    const struct barrier *newest = NULL;
    for (unsigned i = 0; i < barriers_count; i++) {
        newest = barriers[i].cell == cell ? &barriers[i] : newest;
    }
    return newest == NULL || binds(newest, p);
}

/* An older one of the same session and cell that comes later was overtaken. Where its sender is told that its outcome
 * is unknown, it had left before, on a connection that has ended. A part that follows another one does not wait for those
 * that go elsewhere. */
static void check_order(struct message *m)
{
    if (m->series != NULL) {
        return;
    }
    bool bound =
        m->sent >= restored && newest_promise_binds(m->shortcode * CARRIERS + m->carrier, m->to->process);
    for (size_t i = m->number; i < counts[0]; i++) {
        const struct message *later = messages[0][i];
        if (later->seen > 0 && later->seen_at <= sim_now && later != m && later->from == m->from &&
            later->series == NULL && later->shortcode == m->shortcode && later->carrier == m->carrier &&
            ((shape.strict_only && bound && later->to->link != m->to->link) || later->to == m->to)) {
            m->overtaken = true;
            tell_of(m->number, "ledger", "overtaken by m%08u, sent later and seen by %s", later->number,
                    later->to->name);
            if (later->to == m->to) {
                violated(RULE_ORDER, m->number,
                         "message m%08u came after m%08u, which was sent later, on one session", m->number,
                         later->number);
            }
            return;
        }
    }
}

/* --- arrivals and answers -------------------------------------------------------------------------------- */

struct message *ledger_mt_arrived(struct wire *to, const uint8_t *pdu, uint32_t len, uint64_t end)
{
    struct message *m = ledger_find(number_in(pdu, len));
    if (m == NULL || m->mo) {
        return NULL;
    }
    note_arrival(m, to, pdu, len);
    if (link_carrier((unsigned)to->link) != m->carrier) {
        violated(RULE_RECEIPTS, m->number, "message m%08u for %s went to %s", m->number,
                 carrier_names[m->carrier], link_names[to->link]);
    }
    check_barrier(m, to, end);
    series_arrived(m);
    check_order(m);
    return m;
}

/* A shortcode with an owner goes to the owner, or to the client of any shortcode by that client's own leg. One without
 * (now, or by the file of this instance) goes to the leg's client. */
static bool right_receiver(const struct message *m, unsigned account)
{
    if (account == m->account || account_absent_since(m->to->process, m->account, m->sent)) {
        return true;
    }
    return !m->receipt && !shape.own && (account == ACCOUNTS - 1 || m->account == ACCOUNTS - 1);
}

struct message *ledger_mo_arrived(struct wire *to, unsigned account, const uint8_t *pdu, uint32_t len)
{
    struct message *m = ledger_find(number_in(pdu, len));
    if (m == NULL || !m->mo) {
        return NULL;
    }
    note_arrival(m, to, pdu, len);
    if (!right_receiver(m, account)) {
        violated(RULE_RECEIPTS, m->number, "m%08u for %s, of %s, went to %s", m->number,
                 shortcodes[m->shortcode], account_names[m->account], account_names[account]);
    }
    return m;
}

void ledger_responded(struct message *m, const uint8_t *pdu, uint32_t len)
{
    if (m->response.p == NULL) {
        keep(&m->response, pdu, len);
        m->responded_at = sim_now;
    }
    tell_of(m->number, m->to->name, "answers m%08u with %s 0x%x, status 0x%x", m->number,
            smpp_command_name(smpp_get32(pdu + 4)), smpp_get32(pdu + 12), smpp_get32(pdu + 8));
}

static bool is_refusal_of_ours(const struct message *m, uint32_t status, uint32_t len)
{
    static const uint32_t of_mt[] = {ESME_RMSGQFUL, ESME_RTHROTTLED, ESME_RSUBMITFAIL,
                                     ESME_RSYSERR,  ESME_RINVSRCADR, ESME_RINVBNDSTS};
    if (len > SMPP_HEADER_LEN + 1) {
        return false;
    }
    if (m->mo) {
        return status == ESME_RMSGQFUL;
    }
    for (size_t i = 0; i < sizeof of_mt / sizeof of_mt[0]; i++) {
        if (of_mt[i] == status) {
            return true;
        }
    }
    return false;
}

static void check_positive(const struct message *m)
{
    if (m->response.p == NULL) {
        violated(RULE_ACK, m->number, "m%08u was answered positively, but nobody accepted it", m->number);
    }
    if (smpp_get32(m->response.p + 8) != ESME_ROK) {
        violated(RULE_ACK, m->number, "m%08u was answered positively, but the other side said 0x%x",
                 m->number, smpp_get32(m->response.p + 8));
    }
    violated(RULE_BYTES, m->number, "the answer to m%08u came with other octets than it was sent with",
             m->number);
}

/* Do so few MO come to the client at the time of this one that each finds room with a session that is well? */
static bool finds_room(const struct message *m)
{
    unsigned count = 0;
    for (size_t i = counts[1]; i-- > 0 && messages[1][i]->sent + 3 * SECOND > m->sent;) {
        const struct message *other = messages[1][i];
        bool over = other->answered && other->answered_at + SECOND / 10 < m->sent;
        count += other->from->process == m->from->process && !over;
    }
    return 2 * count < shape.mo_window;
}

/* An MO is refused at once only where nobody can take it. */
static void check_refused_mo(const struct message *m, const struct wire *wire)
{
    bool was_well = wire->disturbed < m->sent - SECOND && !wire->leaving && !wire->near_closing &&
                    wire->process->alive && m->account != ACCOUNTS - 1;
    if (!m->mo || !was_well || (m->by_proxy && m->seen > 0) || !finds_room(m) || !rules_leg_serves(wire) ||
        !esmes_receive(wire->process, m->account, m->sent)) {
        return;
    }
    totals.received++;
    if (m->by_proxy) {
        violated(RULE_RECEIVER, m->number, "m%08u is refused by %s, which has receiving sessions of %s",
                 m->number, wire->process->name, account_names[m->account]);
    }
}

void ledger_answered(struct message *m, const struct wire *wire, const uint8_t *pdu, uint32_t len)
{
    m->answered = true;
    m->answered_at = sim_now;
    m->status = smpp_get32(pdu + 8);
    m->by_proxy = m->response.p == NULL || !same_but_sequence(&m->response, pdu, len);
    tell_of(m->number, wire->name, "has %s for m%08u, status 0x%x%s", smpp_command_name(smpp_get32(pdu + 4)),
            m->number, m->status, m->by_proxy ? ", from the proxy" : "");
    if (m->by_proxy && m->status == ESME_ROK) {
        check_positive(m);
    }
    if (m->by_proxy && !is_refusal_of_ours(m, m->status, len)) {
        violated(m->seen == 0 ? RULE_FAULT : RULE_RECEIPTS, m->number,
                 "m%08u was answered with 0x%x, %u octets, which nobody sent", m->number, m->status, len);
    }
    if (m->by_proxy && m->seen > 0 && m->status != ESME_RSUBMITFAIL && !m->mo) {
        violated(RULE_ONCE, m->number, "m%08u was sent on, but its sender is told 0x%x: not sent", m->number,
                 m->status);
    }
    if (m->by_proxy && shape.only_redis && m->sent > SIM_BEGIN + 3 * SECOND &&
        m->from->opened_at + SECOND < m->sent && !m->mo) {
        violated("9: Redis down changes nothing for traffic", m->number, "m%08u is refused by the proxy",
                 m->number);
    }
    if (m->overtaken && shape.strict_only && !m->by_proxy) {
        violated(RULE_ORDER, m->number, "m%08u was overtaken by a message sent later", m->number);
    }
    check_refused_mo(m, wire);
    *(m->mo ? &totals.mo_positive : &totals.mt_positive) += m->status == ESME_ROK;
    *(m->by_proxy ? &totals.mt_refused : &totals.mt_relayed) += !m->mo;
}

/* --- the end of a process ---------------------------------------------------------------------------------- */

/* It was there when the process was told, and nothing but the process can have kept it from carrying at once since. */
static bool was_prompt(const struct wire *wire, const struct process *p)
{
    return wire->step == 0 && wire->lag < 10 * MS && wire->disturbed < p->told - SECOND && !wire->excused &&
           !wire->timed_out && (wire->near_ended == 0 || wire->near_ended > p->told);
}

/* Answered by its SMSC when there was time to drain, and in time. */
static bool was_accepted(const struct message *m, const struct process *p)
{
    return m->seen > 0 && m->response.p != NULL && smpp_get32(m->response.p + 8) == ESME_ROK &&
           m->responded_at > p->told && m->responded_at + SECOND < p->told + DRAIN_MS * MS &&
           m->responded_at < m->seen_at + RESPONSE_TIMEOUT_MS * MS * 3 / 4 && was_prompt(m->to, p);
}

/* What had come before is answered whatever becomes of it: waits no longer, or is unknown when the time is over. */
static bool had_come(const struct message *m, const struct process *p)
{
    return m->sent + SECOND / 2 < p->told && !shape.limits.narrow;
}

void ledger_drained(const struct process *p)
{
    if (p->told == 0 || p->stopped_until >= p->told) {
        return;
    }
    for (size_t i = 0; i < counts[0]; i++) {
        const struct message *m = messages[0][i];
        bool answered_before = m->answered && m->answered_at <= p->told;
        if (m->from->process != p || answered_before || !was_prompt(m->from, p)) {
            continue;
        }
        bool accepted = was_accepted(m, p);
        totals.drained += accepted || had_come(m, p);
        if (!m->answered && (accepted || had_come(m, p))) {
            violated("drain: told to end, it ends in time, and what it has is answered", m->number,
                     "m%08u%s when %s was told to end, %.3f s ago, and its sender never heard of it",
                     m->number, accepted ? " was accepted" : " had come", p->name,
                     (double)(sim_now - p->told) / (double)SECOND);
        }
    }
}

/* Nothing waits for longer in an instance. */
enum { UNDERWAY_S = 6 };

unsigned ledger_answers(unsigned cell, int platform, uint64_t since)
{
    unsigned count = 0;
    for (size_t i = counts[0]; i-- > 0;) {
        const struct message *m = messages[0][i];
        bool elsewhere =
            platform >= 0 && m->seen > 0 && link_platform((unsigned)m->to->link) != (unsigned)platform;
        if (m->shortcode * CARRIERS + m->carrier == cell && !elsewhere) {
            count += m->answered ? m->answered_at >= since : m->sent + UNDERWAY_S * SECOND >= since;
        }
    }
    return count;
}

/* --- life ------------------------------------------------------------------------------------------------- */

void ledger_end(void)
{
    for (unsigned kind = 0; kind < 2; kind++) {
        for (size_t i = 0; i < counts[kind]; i++) {
            free(messages[kind][i]->pdu.p);
            free(messages[kind][i]->response.p);
            free(messages[kind][i]);
        }
        counts[kind] = 0;
    }
    for (unsigned i = 0; i < barriers_count; i++) {
        free(barriers[i].limits);
    }
    barriers_count = 0;
    restored = failed_over = 0;
}

void ledger_begin(void)
{
    ledger_end();
    series_begin();
    totals = (struct totals){.mt = 0};
}
