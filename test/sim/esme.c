/* ESMEs: they connect to any instance, bind, send, answer what they get, and sometimes do none of it well.
 *
 *   down ──dial──▶ open ──bind──▶ binding ──▶ bound ──unbind, hang up, reset, silence──▶ down, again after a while */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smpp/constants.h"
#include "smpp/encode.h"
#include "test/sim/accounts.h"
#include "test/sim/ledger.h"
#include "test/sim/parts.h"
#include "test/sim/peers.h"

enum { ESMES_MAX = 10, PDU_CAP = 8192, BIG_MOST = 6000, IDS_MAX = 64, SERIES_AT_ONCE = 3, SERIES_TRIES = 4 };
enum { REMOVED_S = 7, WELL_S = 4, WINDOW_LEAST = 8 };

#define RULE_RECEIVER "5: MO and receipts go to a receiving session of their client"
#define RULE_RELOAD   "reload: who is not in the file is unbound, others are not"

enum state { DOWN, OPEN, BINDING, BOUND, LEAVING };

const char *const account_names[ACCOUNTS] = {"acme", "beta", "gamma", "any"};

/* Those who send messages in several parts: a session, or all of an account at an instance. */
struct senders {
    struct series *series[SERIES_AT_ONCE]; /* NULL: none */
    struct series *last;
};

struct esme {
    unsigned number, account;
    uint32_t bind;
    uint8_t version;
    enum state state;
    struct wire *wire;
    unsigned serial; /* of its connection */
    struct account requests;
    unsigned window;
    bool wild; /* it has sent what cannot be reckoned with */
    bool bad_login;
    bool other_password; /* it binds with the one that some files have */
    uint64_t bind_sent, bound_at;
    bool mute;             /* answers nothing any more */
    uint32_t ids[IDS_MAX]; /* messages accepted, to be asked about */
    unsigned ids_count;
    struct ages ages; /* of MO that it has not answered yet */
    struct senders own;
    uint64_t flooded; /* when it last did */
    uint64_t crowded; /* when many MO were last unanswered */
    uint64_t closed;  /* when it last lost its connection */
};

static struct esme esmes[ESMES_MAX];
static unsigned esmes_count;
static struct senders together[ACCOUNTS][INSTANCES_MAX];
static bool sending;

static void dial(void *ctx, uint64_t arg);
static void tick(void *ctx, uint64_t serial);

static const uint32_t bind_ids[] = {SMPP_BIND_TRANSMITTER, SMPP_BIND_RECEIVER, SMPP_BIND_TRANSCEIVER};

static bool may_send(const struct esme *e)
{
    return e->bind != SMPP_BIND_RECEIVER;
}

/* --- messages -------------------------------------------------------------------------------------------- */

static unsigned some_shortcode(unsigned account)
{
    unsigned shortcode;
    do {
        shortcode = (unsigned)sim_random(SHORTCODES);
    } while (owner_of_shortcode(shortcode) != account);
    return shortcode;
}

static size_t some_tlvs(uint8_t *out, size_t cap)
{
    size_t at = 0;
    uint8_t value[200];
    for (unsigned i = (unsigned)sim_random(4); i > 0; i--) {
        uint16_t len = (uint16_t)(sim_chance(100) ? sim_random(sizeof value) : sim_random(9));
        for (uint16_t j = 0; j < len; j++) {
            value[j] = (uint8_t)(sim_random(200) + 1);
            value[j] = value[j] == 'm' ? 'M' : value[j];
        }
        uint16_t tag = (uint16_t)(sim_chance(500) ? 0x1400 + sim_random(0x2BFF) : 0x0210 + sim_random(32));
        at += smpp_encode_tlv(out + at, cap - at, tag, value, len);
    }
    return at;
}

/* A whole message with its mark; odd values here and there. */
static size_t write_message(const struct message *m, uint32_t command, uint32_t sequence, const char *from,
                            const char *to, uint8_t *pdu)
{
    uint8_t tlvs[BIG_MOST + 1600];
    char text[160];
    size_t tlvs_len = some_tlvs(tlvs, 1400);
    int header = m->series == NULL ? 0 : (int)series_header(m, (uint8_t *)text);
    int len = header + snprintf(text + header, sizeof text - (size_t)header, "m%08u%.*s", m->number,
                                (int)sim_random(100),
                                "  Lorem ipsum, dolor sit! Consectetur? 0123456789 "
                                "ABCDEFGHIJKLNOPQRSTUVWXYZ abcdefghijklnopq");
    tlvs_len += m->series == NULL ? 0 : series_tlvs(m, tlvs + tlvs_len);
    if (command == SMPP_DATA_SM || sim_chance(80)) {
        tlvs_len += smpp_encode_tlv(tlvs + tlvs_len, sizeof tlvs - tlvs_len, 0x0424, text, (uint16_t)len);
        len = 0;
    }
    if (sim_chance(shape.big)) {
        uint8_t filler[BIG_MOST];
        size_t filler_len = sim_random(sizeof filler);
        for (size_t i = 0; i < filler_len; i++) {
            filler[i] = (uint8_t)('n' + i % 13);
        }
        tlvs_len +=
            smpp_encode_tlv(tlvs + tlvs_len, sizeof tlvs - tlvs_len, 0x1403, filler, (uint16_t)filler_len);
    }
    struct smpp_message_fields fields = {.command_id = command,
                                         .sequence_number = sequence,
                                         .service_type = sim_chance(100) ? "CMT" : "",
                                         .source_ton = (uint8_t)sim_random(7),
                                         .source = from,
                                         .dest_ton = 1,
                                         .dest_npi = 1,
                                         .dest = to,
                                         .esm_class = m->receipt   ? 0x04
                                                      : header > 0 ? 0x40
                                                                   : 0,
                                         .protocol_id = (uint8_t)sim_random(256),
                                         .registered_delivery = 1,
                                         .data_coding = (uint8_t)sim_random(256),
                                         .text = {(const uint8_t *)text, (uint32_t)len},
                                         .tlvs = {tlvs, (uint32_t)tlvs_len}};
    return smpp_encode_message(pdu, PDU_CAP, &fields);
}

size_t peers_message(const struct message *m, uint32_t command, uint32_t sequence, uint8_t *pdu)
{
    char number[24];
    unsigned tail = (unsigned)sim_random(10000000);
    snprintf(number, sizeof number, "%s%s%07u", sim_chance(100) ? "+" : "", m->carrier == 0 ? "6427" : "6421",
             tail);
    const char *shortcode = shortcodes[m->shortcode];
    if (m->series != NULL) {
        return write_message(m, command, sequence, shortcode, m->series->to, pdu);
    }
    return m->mo ? write_message(m, command, sequence, number, shortcode, pdu)
                 : write_message(m, command, sequence, shortcode, number, pdu);
}

/* submit_multi to two numbers of one carrier (4.5.1). */
static size_t write_multi(const struct message *m, uint32_t sequence, uint8_t *pdu)
{
    uint8_t *p = pdu + SMPP_HEADER_LEN;
    p += sprintf((char *)p, "%s", "") + 1;
    *p++ = 0;
    *p++ = 0;
    p += sprintf((char *)p, "%s", shortcodes[m->shortcode]) + 1;
    *p++ = 2;
    for (int i = 0; i < 2; i++) {
        *p++ = 1;
        *p++ = 1;
        *p++ = 1;
        p += sprintf((char *)p, "%s%07u", m->carrier == 0 ? "6427" : "6421", (unsigned)sim_random(10000000)) +
             1;
    }
    memset(p, 0, 9); /* esm_class to sm_default_msg_id, with empty times */
    p += 9;
    *p++ = MARK_LEN;
    p += sprintf((char *)p, "m%08u", m->number);
    size_t len = (size_t)(p - pdu);
    smpp_put_header(pdu, &(struct smpp_header){(uint32_t)len, SMPP_SUBMIT_MULTI, 0, sequence});
    return len;
}

/* One of those under way, or a new one. */
static struct series *some_series(struct esme *e)
{
    const struct process *p = e->wire->process;
    struct senders *senders = sim_chance(shape.parts_over) ? &together[e->account][p->instance] : &e->own;
    struct series **at = &senders->series[sim_random(SERIES_AT_ONCE)];
    if (*at == NULL || (*at)->left == 0 || (*at)->tries == SERIES_TRIES || (*at)->at != p) {
        *at = series_new(p, some_shortcode(e->account), (unsigned)sim_random(CARRIERS), senders->last);
        senders->last = *at;
    }
    return *at;
}

static void send_part(struct esme *e)
{
    uint8_t pdu[PDU_CAP];
    struct series *s = some_series(e);
    uint32_t command = sim_chance(80) ? SMPP_DATA_SM : SMPP_SUBMIT_SM;
    struct message *m = ledger_mt(e->wire, e->account, s->shortcode, s->carrier);
    m->series = s;
    m->part = series_next(s);
    s->left &= ~(1U << m->part);
    m->retry_of = s->parts[m->part];
    s->parts[m->part] = m;
    size_t len = peers_message(m, command, account_next(&e->requests), pdu);
    account_owe(&e->requests, command, m->number, e->wild);
    ledger_sent(m, pdu, (uint32_t)len);
    wire_send(e->wire, pdu, len);
}

/* What the proxy has not sent on is sent again, and mostly what the SMSC has refused. */
static void part_answered(const struct message *m)
{
    if (m->series == NULL || m->series->parts[m->part] != m) {
        return;
    }
    bool not_sent = m->by_proxy && m->seen == 0 && m->status != ESME_RSUBMITFAIL;
    bool refused = !m->by_proxy && m->status != ESME_ROK && sim_chance(800);
    if (not_sent || refused) {
        m->series->left |= 1U << m->part;
        m->series->tries++;
    }
}

static void send_message(struct esme *e)
{
    if (sim_chance(shape.parts)) {
        send_part(e);
        return;
    }
    uint8_t pdu[PDU_CAP];
    uint32_t command = sim_chance(80) ? SMPP_DATA_SM : sim_chance(40) ? SMPP_SUBMIT_MULTI : SMPP_SUBMIT_SM;
    uint32_t sequence = account_next(&e->requests);
    struct message *m =
        ledger_mt(e->wire, e->account, some_shortcode(e->account), (unsigned)sim_random(CARRIERS));
    size_t len = command == SMPP_SUBMIT_MULTI ? write_multi(m, sequence, pdu)
                                              : peers_message(m, command, sequence, pdu);
    account_owe(&e->requests, command, m->number, e->wild);
    ledger_sent(m, pdu, (uint32_t)len);
    wire_send(e->wire, pdu, len);
}

/* query_sm, cancel_sm or replace_sm about a message that was accepted (4.8.1, 4.9.1, 4.10.1). */
static void send_query(struct esme *e)
{
    static const uint32_t commands[] = {SMPP_QUERY_SM, SMPP_QUERY_SM, SMPP_CANCEL_SM, SMPP_REPLACE_SM};
    uint32_t command = commands[sim_random(4)];
    uint8_t pdu[160];
    if (e->ids_count == 0) {
        return;
    }
    const struct message *m = ledger_find(e->ids[sim_random(e->ids_count)]);
    uint32_t sequence = account_next(&e->requests);
    size_t id = strnlen((const char *)m->response.p + SMPP_HEADER_LEN, m->response.len - SMPP_HEADER_LEN);
    if (id == 0 || id > 40) {
        return;
    }
    size_t len = SMPP_HEADER_LEN;
    pdu[len] = 0; /* service_type */
    len += command == SMPP_CANCEL_SM;
    memcpy(pdu + len, m->response.p + SMPP_HEADER_LEN, id);
    len += id;
    memset(pdu + len, 0, 3); /* the end of the id, ton, npi */
    len += 3;
    len += (size_t)sprintf((char *)pdu + len, "%s", shortcodes[m->shortcode]) + 1;
    if (command == SMPP_CANCEL_SM) {
        pdu[len++] = 1;
        pdu[len++] = 1;
        len += (size_t)sprintf((char *)pdu + len, "%s5551234", m->carrier == 0 ? "6427" : "6421") + 1;
    } else if (command == SMPP_REPLACE_SM) {
        memset(pdu + len, 0, 5); /* times, registered_delivery, sm_default_msg_id, sm_length */
        len += 5;
    }
    smpp_put_header(pdu, &(struct smpp_header){(uint32_t)len, command, 0, sequence});
    account_owe(&e->requests, command, 0, e->wild);
    tell_of(m->number, e->wire->name, "asks about m%08u with %s 0x%x", m->number, smpp_command_name(command),
            sequence);
    wire_send(e->wire, pdu, len);
    totals.queries++;
}

static void send_header(struct esme *e, uint32_t command, uint32_t status, uint32_t sequence)
{
    uint8_t pdu[SMPP_HEADER_LEN];
    smpp_put_header(pdu, &(struct smpp_header){SMPP_HEADER_LEN, command, status, sequence});
    wire_send(e->wire, pdu, sizeof pdu);
}

/* --- bad manners ------------------------------------------------------------------------------------------ */

static void send_nonsense(struct esme *e)
{
    uint8_t pdu[64];
    uint32_t sequence = account_next(&e->requests);
    static const uint32_t commands[] = {0x77,           0x00010200,    SMPP_BIND_TRANSMITTER, SMPP_DELIVER_SM,
                                        SMPP_SUBMIT_SM, SMPP_CANCEL_SM};
    uint32_t command = commands[sim_random(sizeof commands / sizeof commands[0])];
    size_t len = SMPP_HEADER_LEN + sim_random(40);
    memset(pdu, 0xEE, sizeof pdu);
    smpp_put_header(pdu, &(struct smpp_header){(uint32_t)len, command, 0, sequence});
    tell(e->wire->name, "sends a nonsense %s 0x%x, %zu octets", smpp_command_name(command), sequence, len);
    account_owe(&e->requests, command, 0, true);
    wire_send(e->wire, pdu, len);
}

static void lose_framing(struct esme *e)
{
    uint8_t junk[200];
    for (size_t i = 0; i < sizeof junk; i++) {
        junk[i] = (uint8_t)sim_random(256);
    }
    if (sim_chance(500)) {
        smpp_put32(junk, (uint32_t)sim_random(16));
    }
    tell(e->wire->name, "loses its framing");
    e->wild = e->wire->excused = true;
    wire_send(e->wire, junk, sizeof junk);
}

static void resume_reading(void *ctx, uint64_t serial)
{
    struct esme *e = ctx;
    if (e->serial == serial && e->wire != NULL) {
        wire_read(e->wire, true);
    }
}

static void stall(struct esme *e)
{
    uint64_t ns = sim_between(200 * MS, shape.limits.narrow ? 5 * SECOND : 3 * SECOND);
    tell(e->wire->name, "does not read for %" PRIu64 " ms", ns / MS);
    wire_read(e->wire, false);
    sim_after(ns, resume_reading, e, e->serial);
}

/* enquire_links, one behind the other: as many as some seconds may have. */
static void flood(struct esme *e)
{
    unsigned count = (unsigned)sim_between(2, 3ULL * shape.limits.own_answers);
    e->flooded = sim_now;
    tell(e->wire->name, "asks %u times whether somebody is there", count);
    for (; count > 0; count--) {
        account_owe(&e->requests, SMPP_ENQUIRE_LINK, 0, false);
        send_header(e, SMPP_ENQUIRE_LINK, 0, account_next(&e->requests) - 1);
    }
}

/* A PDU that is begun, and no more. */
static void stop_in_pdu(struct esme *e)
{
    uint8_t begun[64] = {0};
    smpp_put_header(begun, &(struct smpp_header){200, SMPP_SUBMIT_SM, 0, account_next(&e->requests)});
    tell(e->wire->name, "stops within a PDU");
    e->wild = e->wire->excused = true;
    e->state = LEAVING;
    wire_send(e->wire, begun, sim_between(1, sizeof begun));
}

/* Against a limit that can be met. */
static void push(struct esme *e)
{
    if (shape.limits.own_answers < 100 && sim_now > e->flooded + 7 * SECOND && sim_chance(40)) {
        flood(e);
    } else if (shape.limits.short_out && sim_chance(20)) {
        stall(e);
    } else if (shape.limits.partial_ms < 1000 && sim_chance(4)) {
        stop_in_pdu(e);
    }
}

static void misbehave(struct esme *e)
{
    switch (sim_random(7)) {
    case 0: send_nonsense(e); break;
    case 1: lose_framing(e); break;
    case 2:
        tell(e->wire->name, "answers what nobody asked");
        send_header(e, SMPP_DELIVER_SM | SMPP_RESPONSE_BIT, 0, (uint32_t)sim_random(0x7FFFFFFF));
        break;
    case 3: stall(e); break;
    case 4: e->mute = e->wire->excused = true; break;
    case 5:
        tell(e->wire->name, "sends nonsense before it unbinds");
        send_nonsense(e);
        account_owe(&e->requests, SMPP_UNBIND, 0, false);
        send_header(e, SMPP_UNBIND, 0, account_next(&e->requests) - 1);
        e->state = LEAVING;
        break;
    default: send_nonsense(e); break;
    }
}

static void leave(struct esme *e)
{
    switch (sim_random(4)) {
    case 0:
        tell(e->wire->name, "resets its connection");
        wire_reset(e->wire);
        break;
    case 1:
        tell(e->wire->name, "hangs up");
        wire_close(e->wire);
        break;
    case 2:
        tell(e->wire->name, "vanishes");
        wire_freeze(e->wire, UINT64_MAX);
        break;
    default:
        tell(e->wire->name, "unbinds");
        account_owe(&e->requests, SMPP_UNBIND, 0, false);
        send_header(e, SMPP_UNBIND, 0, account_next(&e->requests) - 1);
        e->state = LEAVING;
        break;
    }
}

/* --- what it gets ----------------------------------------------------------------------------------------- */

/* What the instance's file says of its password, if it says the same as long as the bind may have been looked at. */
enum login { LOGIN_GOOD, LOGIN_BAD, LOGIN_EITHER };

static enum login login_of(const struct esme *e)
{
    const struct client_file *file = account_file(e->wire->process->instance, e->account);
    uint64_t since = e->bind_sent - 3 * SECOND;
    if (e->bad_login) {
        return LOGIN_BAD;
    }
    if (file->password_changed >= since ||
        (!file->absent && account_absent_since(e->wire->process, e->account, since)) ||
        (file->absent && file->removed >= since)) {
        return LOGIN_EITHER;
    }
    return file->absent || file->other_password != e->other_password ? LOGIN_BAD : LOGIN_GOOD;
}

static void bind_answered(struct esme *e, uint32_t status)
{
    enum login login = login_of(e);
    tell(e->wire->name, "has its bind answered with 0x%x", status);
    if (status == ESME_RINVPASWD && login == LOGIN_GOOD) {
        violated("6: a fault of ours never looks like the client's", 0,
                 "%s is told that its password is wrong", e->wire->name);
    }
    if (status != ESME_ROK && status != ESME_RINVPASWD && status != ESME_RBINDFAIL) {
        violated("6: a fault of ours never looks like the client's", 0, "%s is told 0x%x to its bind",
                 e->wire->name, status);
    }
    if (status == ESME_ROK && login == LOGIN_BAD) {
        violated("1: end-to-end acknowledgement", 0, "%s is let in with a wrong password", e->wire->name);
    }
    e->bound_at = sim_now;
    e->state = status == ESME_ROK ? BOUND : LEAVING;
    if (status == ESME_ROK) {
        sim_after(sim_random(50 * MS), tick, e, e->serial);
    }
}

static void on_response(struct esme *e, const uint8_t *pdu, uint32_t len)
{
    uint32_t status = smpp_get32(pdu + 8);
    if (e->wild) {
        return;
    }
    const struct owed *owed = account_settle(&e->requests, e->wire, pdu, len);
    if (owed == NULL) {
        return;
    }
    if (smpp_is_bind(owed->command) && !owed->lenient) {
        bind_answered(e, status);
    } else if (owed->message != 0) {
        struct message *m = ledger_find(owed->message);
        ledger_answered(m, e->wire, pdu, len);
        part_answered(m);
        if (status == ESME_ROK && e->ids_count < IDS_MAX) {
            e->ids[e->ids_count++] = m->number;
        }
    } else if (owed->command == SMPP_UNBIND) {
        wire_close(e->wire);
    }
}

struct answer {
    struct esme *esme;
    unsigned serial;
    uint32_t command, sequence;
    struct message *message;
};

/* The answer to an MO, as clients give it: with and without body, with TLVs, refusing, as a nack. */
static void give_answer(void *ctx, uint64_t arg)
{
    struct answer *a = ctx;
    struct esme *e = a->esme;
    uint8_t pdu[256];
    (void)arg;
    if (e->serial == a->serial && e->wire != NULL && !e->mute) {
        ages_remove(&e->ages, a->sequence);
        uint32_t status = sim_chance(60) ? (sim_chance(500) ? ESME_RMSGQFUL : 0x401) : ESME_ROK;
        size_t len = SMPP_HEADER_LEN;
        if (sim_chance(900)) {
            uint8_t tlvs[64];
            size_t tlvs_len = sim_chance(50) ? smpp_encode_tlv(tlvs, sizeof tlvs, 0x1401, "odd", 3) : 0;
            len = smpp_encode_id_resp(pdu, sizeof pdu, a->command | SMPP_RESPONSE_BIT, a->sequence, status,
                                      sim_chance(50) ? "client-id" : "",
                                      (struct smpp_span){tlvs, (uint32_t)tlvs_len});
        } else {
            bool nack = sim_chance(200);
            smpp_put_header(pdu,
                            &(struct smpp_header){SMPP_HEADER_LEN,
                                                  nack ? SMPP_GENERIC_NACK : a->command | SMPP_RESPONSE_BIT,
                                                  nack ? ESME_RINVCMDID : status, a->sequence});
        }
        if (a->message != NULL) {
            ledger_responded(a->message, pdu, (uint32_t)len);
        }
        wire_send(e->wire, pdu, len);
    }
    free(a);
}

/* So many that the window may be full, if answers take their time. */
static void note_crowd(struct esme *e)
{
    if (4 * e->ages.count > shape.mo_window) {
        e->crowded = sim_now;
    }
}

/* Could this session take an MO at any time since, if one that is well can? */
static bool is_well(const struct esme *e, uint64_t since)
{
    return e->state == BOUND && e->bound_at < since && e->crowded < since && e->flooded < since && !e->wild &&
           !e->mute && e->wire->step == 0 && e->wire->lag < 10 * MS && !e->wire->excused &&
           !e->wire->near_closing && e->wire->disturbed < since && !wire_frozen(e->wire);
}

bool esmes_receive(const struct process *p, unsigned account, uint64_t sent)
{
    uint64_t since = sent - WELL_S * SECOND;
    unsigned receivers = 0;
    if (p->started >= since || p->stopped_until >= since || p->reloaded >= since || p->ending || !p->alive ||
        account_absent_since(p, account, since) || shape.mo_window < WINDOW_LEAST) {
        return false;
    }
    for (unsigned i = 0; i < esmes_count; i++) {
        const struct esme *e = &esmes[i];
        if (e->account != account || e->bind == SMPP_BIND_TRANSMITTER) {
            continue;
        }
        if (e->closed >= since || (e->wire != NULL && e->wire->process == p && !is_well(e, since))) {
            return false;
        }
        receivers += e->wire != NULL && e->wire->process == p;
    }
    return receivers > 0;
}

static void on_message(struct esme *e, const uint8_t *pdu, uint32_t len)
{
    if (e->bind == SMPP_BIND_TRANSMITTER) {
        violated(RULE_RECEIVER, 0, "%s, a transmitter, gets %s", e->wire->name,
                 smpp_command_name(smpp_get32(pdu + 4)));
    }
    struct answer *a = malloc(sizeof *a);
    if (a == NULL) {
        abort();
    }
    *a = (struct answer){e, e->serial, smpp_get32(pdu + 4), smpp_get32(pdu + 12),
                         ledger_mo_arrived(e->wire, e->account, pdu, len)};
    ages_add(&e->ages, e->wire, a->sequence, shape.mo_window);
    note_crowd(e);
    if (sim_chance(15)) {
        free(a); /* never answered */
        return;
    }
    uint64_t pause = sim_chance(20) ? sim_between(1500 * MS, 3 * SECOND) : sim_random(30 * MS);
    sim_after(pause, give_answer, a, 0);
}

/* An instance says good-bye when it ends, and to a client that is no longer in its file. */
static void check_unbind(const struct esme *e)
{
    const struct process *p = e->wire->process;
    if (!p->ending && !account_absent_since(p, e->account, e->bound_at)) {
        violated(RULE_RELOAD, 0, "%s is unbound by %s, which goes on and has it in its file", e->wire->name,
                 p->name);
    }
}

static void on_pdu(struct wire *wire, const uint8_t *pdu, uint32_t len, uint64_t end)
{
    struct esme *e = wire->peer;
    uint32_t command = smpp_get32(pdu + 4);
    (void)end;
    if (smpp_is_response(command)) {
        on_response(e, pdu, len);
    } else if (command == SMPP_ENQUIRE_LINK || command == SMPP_UNBIND) {
        if (!e->mute) {
            send_header(e, command | SMPP_RESPONSE_BIT, 0, smpp_get32(pdu + 12));
        }
        if (command == SMPP_UNBIND) {
            check_unbind(e);
        }
        e->state = command == SMPP_UNBIND ? LEAVING : e->state;
    } else if (command == SMPP_DELIVER_SM || command == SMPP_DATA_SM) {
        on_message(e, pdu, len);
    } else if (command != SMPP_ALERT_NOTIFICATION) {
        violated("3: bytes equal but for the sequence number", 0, "%s got %s", wire->name,
                 smpp_command_name(command));
    }
}

/* --- connections ------------------------------------------------------------------------------------------ */

static void on_closed(struct wire *wire, const char *why)
{
    struct esme *e = wire->peer;
    tell(wire->name, "has lost its connection: %s", why);
    e->wire = NULL;
    e->closed = sim_now;
    e->state = DOWN;
    e->serial++;
    if (sending) {
        sim_after(sim_between(20 * MS, 1200 * MS), dial, e, e->serial);
    }
}

static void send_bind(struct wire *wire)
{
    struct esme *e = wire->peer;
    uint8_t pdu[256];
    if (e->state != OPEN) {
        return;
    }
    e->bad_login = shape.hostile && sim_chance(60);
    e->other_password = account_file(wire->process->instance, e->account)->other_password && sim_chance(500);
    e->bind_sent = sim_now;
    struct smpp_bind_fields fields = {.command_id = e->bind,
                                      .sequence_number = account_next(&e->requests),
                                      .system_id = account_names[e->account],
                                      .password = e->bad_login        ? "guess"
                                                  : e->other_password ? OTHER_PASSWORD
                                                                      : GOOD_PASSWORD,
                                      .system_type = "",
                                      .interface_version = e->version,
                                      .address_range = ""};
    size_t len = smpp_encode_bind(pdu, sizeof pdu, &fields);
    account_owe(&e->requests, e->bind, 0, false);
    e->state = BINDING;
    wire_send(wire, pdu, len);
}

static void on_opened(struct wire *wire)
{
    if ((shape.hostile && sim_chance(20)) || (shape.limits.init_ms < 1000 && sim_chance(100))) {
        return; /* says nothing: the proxy's patience ends it */
    }
    send_bind(wire);
}

static const struct wire_events events = {.opened = on_opened, .pdu = on_pdu, .closed = on_closed};

static enum wire_kind some_kind(void)
{
    if (!sim_chance(shape.tls)) {
        return WIRE_PLAIN;
    }
    return !shape.hostile || sim_chance(900) ? WIRE_TLS : sim_chance(500) ? WIRE_TLS_SILENT : WIRE_NOT_TLS;
}

static void dial(void *ctx, uint64_t serial)
{
    struct esme *e = ctx;
    if (e->wire != NULL || e->serial != serial || !sending) {
        return;
    }
    struct process *p = process_of((unsigned)sim_random(shape.instances));
    if (p == NULL || p->workers_count == 0) {
        sim_after(300 * MS, dial, e, e->serial);
        return;
    }
    account_begin(&e->requests);
    e->wild = e->mute = false;
    e->ids_count = 0;
    e->ages.count = 0;
    memset(&e->own, 0, sizeof e->own);
    e->state = OPEN;
    e->wire = wire_dial(p, (unsigned)sim_random(p->workers_count), some_kind(), &events, e);
    snprintf(e->wire->name, sizeof e->wire->name, "%s%u/%u", account_names[e->account], e->number,
             e->wire->id);
    static const char *const manners[] = {"", " by TLS", " to the TLS port, silently",
                                          " to the TLS port, plainly"};
    tell(e->wire->name, "connects to %s%s, as %s of version 0x%x", p->name, manners[e->wire->kind],
         smpp_command_name(e->bind), e->version);
}

/* What it does next: mostly, it sends. */
static void tick(void *ctx, uint64_t serial)
{
    struct esme *e = ctx;
    if (e->serial != serial || e->state != BOUND || !sending) {
        return;
    }
    unsigned burst = sim_chance(20) ? (unsigned)sim_random(25) : 1;
    for (; may_send(e) && burst > 0 && e->requests.open < e->window && !e->wild; burst--) {
        send_message(e);
    }
    if (may_send(e) && sim_chance(40)) {
        send_query(e);
    }
    if (shape.hostile && sim_chance(5)) {
        misbehave(e);
    }
    if (shape.limits.narrow && e->state == BOUND && e->wire != NULL && sim_now < shape.chaos_end) {
        push(e);
    }
    if (shape.peers_fail && e->wire != NULL && sim_chance(4) && sim_now < shape.chaos_end) {
        leave(e);
    }
    sim_after(sim_between(MS, 2 * MS * shape.submit_ms), tick, e, serial);
}

/* Longer than what is in flight, or waits, or has been told good-bye. */
static bool should_be_gone(const struct esme *e)
{
    const struct process *p = e->wire->process;
    const struct client_file *file = account_file(p->instance, e->account);
    uint64_t since = sim_now - REMOVED_S * SECOND;
    return file->absent && file->removed < since && p->alive && !p->ending && p->started < since &&
           p->stopped_until < since && p->reloaded < since;
}

/* Nothing is owed for too long, session by session. */
void esmes_check(bool last)
{
    for (unsigned i = 0; i < esmes_count; i++) {
        const struct esme *e = &esmes[i];
        if (e->wire != NULL && !e->wild && e->state != DOWN) {
            account_check(&e->requests, e->wire, last);
        }
        if (e->state == BOUND && e->wire != NULL && wire_calm(e->wire, REMOVED_S * SECOND) &&
            should_be_gone(e)) {
            violated(RULE_RELOAD, 0, "%s is bound still, %.1f s after %s has read a file without it",
                     e->wire->name,
                     (double)(sim_now - account_file(e->wire->process->instance, e->account)->removed) /
                         (double)SECOND,
                     e->wire->process->name);
        }
    }
}

void esmes_begin(void)
{
    sending = true;
    memset(together, 0, sizeof together);
    esmes_count = shape.limits.binds < ACCOUNTS ? ESMES_MAX : 3 + (unsigned)sim_random(5);
    for (unsigned i = 0; i < esmes_count; i++) {
        struct esme *e = &esmes[i];
        free(e->requests.owed);
        *e = (struct esme){.number = i, .account = i < ACCOUNTS ? i : (unsigned)sim_random(ACCOUNTS)};
        e->bind = sim_chance(550) ? SMPP_BIND_TRANSCEIVER : bind_ids[sim_random(2)];
        e->version = sim_chance(700) ? 0x34 : sim_chance(500) ? 0x33 : 0x50;
        e->window = (unsigned)sim_between(1, UINT64_C(2) * shape.client_window);
        sim_after(sim_random(600 * MS), dial, e, 0);
    }
}

void esmes_stop_sending(void)
{
    sending = false;
}
