/* Who sent what, who got what, and the rules of the design's section 3 that this must keep.
 *
 *   esme ──ledger_mt──▶ sent ──ledger_mt_arrived──▶ smsc ──ledger_mt_response──▶ ──ledger_mt_answered──▶ esme
 *   smsc ──ledger_mo──▶ sent ──ledger_mo_arrived──▶ esme ──ledger_mo_response──▶ ──ledger_mo_answered──▶ smsc
 *
 * A message is known by a mark in its text, "m" and eight digits. Every request of a peer is an entry in its account,
 * found by its sequence_number; the peers' own numbers are consecutive. */
#ifndef TEST_SIM_LEDGER_H
#define TEST_SIM_LEDGER_H

#include "test/sim/net.h"
#include "test/sim/sim.h"

enum { MARK_LEN = 9, MO_FIRST = 50000000 };

struct octets {
    uint8_t *p;
    uint32_t len;
};

struct series;

/* One message, either way. */
struct message {
    uint32_t number;
    bool mo, receipt;
    unsigned account; /* MT: who sent it. Receipt: whose it is */
    unsigned shortcode, carrier;
    struct octets pdu, response; /* as sent by the one and the other peer */
    struct wire *from, *to;      /* to: where it was seen */
    uint64_t sent, seen_at, responded_at, answered_at;
    unsigned seen;
    struct series *series; /* NULL: no part of several */
    unsigned part;         /* from 0 */
    const struct wire
        *leg_then; /* of its session to where an earlier part went, when it came elsewhere; NULL: none */
    struct message *retry_of; /* the same part, as its SMSC refused it before; NULL: none */
    bool answered;            /* its sender has an answer */
    bool overtaken;
    uint32_t status;
    bool by_proxy;
};

/* One request of a peer that is owed an answer. */
struct owed {
    uint32_t command;
    uint32_t message; /* number, 0: none */
    uint64_t sent;
    bool answered;
    bool lenient; /* hostile or odd: a generic_nack or any status will do */
};

/* The requests of one peer on one connection. */
struct account {
    uint32_t first; /* sequence_number of the first */
    struct owed *owed;
    size_t count, size;
    size_t open; /* unanswered */
};

/* Requests that a peer has got and not answered yet. */
enum { AGES_MAX = 256 };
struct ages {
    unsigned count;
    struct {
        uint32_t sequence;
        uint64_t time;
    } of[AGES_MAX];
};

/* One more: no more of them than the window, but for those that the proxy may have given up by now. */
void ages_add(struct ages *ages, const struct wire *wire, uint32_t sequence, unsigned window);
void ages_remove(struct ages *ages, uint32_t sequence);

void ledger_begin(void);

void account_begin(struct account *a);
uint32_t account_next(const struct account *a); /* the next sequence_number */
void account_owe(struct account *a, uint32_t command, uint32_t message, bool lenient);

/* A response has come: the rules of one response. Returns the entry, NULL where it may be ignored. */
struct owed *account_settle(struct account *a, const struct wire *wire, const uint8_t *pdu, uint32_t len);

/* Nothing is owed for longer than the proxy may take; last: at the end of the world. */
void account_check(const struct account *a, const struct wire *wire, bool last);

/* A message that is about to be sent: gives it its number. */
struct message *ledger_mt(struct wire *from, unsigned account, unsigned shortcode, unsigned carrier);
struct message *ledger_mo(struct wire *from, unsigned shortcode, unsigned carrier);
struct message *ledger_find(uint32_t number);
void ledger_sent(struct message *m, const uint8_t *pdu, uint32_t len);

/* The other peer got it. Returns NULL where it has no mark. */
struct message *ledger_mt_arrived(struct wire *to, const uint8_t *pdu, uint32_t len, uint64_t end);
struct message *ledger_mo_arrived(struct wire *to, unsigned account, const uint8_t *pdu, uint32_t len);

/* The other peer answers it with this. */
void ledger_responded(struct message *m, const uint8_t *pdu, uint32_t len);

/* Its sender got an answer. */
void ledger_answered(struct message *m, const struct wire *wire, const uint8_t *pdu, uint32_t len);

/* A process has come to its end, as it was told: no positive answer was left behind. */
void ledger_drained(const struct process *p);

/* --- the barrier ------------------------------------------------------------------------------------------ */

/* A change of a cell was made at this moment: what was promised of it before is void. */
void ledger_changed(unsigned cell);

/* Another master has taken over at Redis. */
void ledger_failed_over(void);

/* The whole table was put back as it was at some time: what was sent before goes either way, in no order. */
void ledger_restored(void);

/* It was reported as applied by these instances: from now on the cell's MT go by this platform only (-1: by none). */
void ledger_applied(unsigned cell, int platform, uint64_t version, const unsigned *serials, unsigned count);

/* MT of a cell of which a verdict on what was answered by a platform (-1: by any) since a moment may know: as many at the
 * most. */
unsigned ledger_answers(unsigned cell, int platform, uint64_t since);

void ledger_end(void);

struct totals {
    unsigned mt, mt_positive, mt_relayed, mt_refused, mo, mo_positive, barriers, flips, strict, kills,
        queries, parts, tls, windows, steps, timed, gone_back, verdicts, limits, drained, removed, received;
};
extern struct totals totals;

#endif
