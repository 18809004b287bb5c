/* SMSCs, one a link: they take binds, answer messages in any order and any time, send receipts and MO, and break. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smpp/constants.h"
#include "smpp/encode.h"
#include "test/sim/ledger.h"
#include "test/sim/peers.h"

enum { PDU_CAP = 8192 };

/* One session of an SMSC. */
struct session {
    struct session *next;
    struct wire *wire; /* NULL: ended */
    unsigned link;
    bool bound, receives, leaving;
    int account; /* by the system_id of its bind; -1: not to be told */
    char system_id[20];
    struct account requests; /* its MO */
    struct ages ages;        /* of the messages that it has not answered yet */
};

struct smsc {
    uint64_t away_since, away_until, hangs_until, slow_until, throttles_until;
    bool missed; /* gone away, it left a connection behind whose other end has not heard of it */
};

static struct smsc smscs[LINKS];
static struct session *sessions;
static unsigned next_id;

static void send_header(const struct session *s, uint32_t command, uint32_t status, uint32_t sequence)
{
    uint8_t pdu[SMPP_HEADER_LEN];
    smpp_put_header(pdu, &(struct smpp_header){SMPP_HEADER_LEN, command, status, sequence});
    wire_send(s->wire, pdu, sizeof pdu);
}

/* --- MO and receipts -------------------------------------------------------------------------------------- */

static void send_mo(struct session *s, unsigned shortcode, unsigned account, bool receipt)
{
    uint8_t pdu[PDU_CAP];
    uint32_t command = sim_chance(50) ? SMPP_DATA_SM : SMPP_DELIVER_SM;
    uint32_t sequence = account_next(&s->requests);
    struct message *m = ledger_mo(s->wire, shortcode, link_carrier(s->link));
    m->receipt = receipt;
    m->account = receipt ? account : m->account;
    size_t len = peers_message(m, command, sequence, pdu);
    account_owe(&s->requests, command, m->number, false);
    ledger_sent(m, pdu, (uint32_t)len);
    wire_send(s->wire, pdu, len);
}

static bool may_deliver(const struct session *s)
{
    return s->wire != NULL && s->bound && s->receives && !s->leaving && sim_now < shape.sending_end &&
           s->requests.open < (size_t)3 * shape.mo_window;
}

static void mo_tick(void *ctx, uint64_t arg)
{
    struct session *s = ctx;
    (void)arg;
    if (s->wire == NULL || sim_now > shape.sending_end) {
        return;
    }
    for (unsigned burst = sim_chance(shape.limits.short_out ? 400 : 30) ? 12 : 1; burst > 0 && may_deliver(s);
         burst--) {
        send_mo(s, (unsigned)sim_random(SHORTCODES), 0, false);
    }
    if (sim_chance(30)) {
        account_owe(&s->requests, SMPP_ENQUIRE_LINK, 0, false);
        send_header(s, SMPP_ENQUIRE_LINK, 0, account_next(&s->requests) - 1);
    }
    sim_after(sim_between(20 * MS, 1200 * MS), mo_tick, s, 0);
}

/* A receipt comes on the bind that carried the message, or on another of the same system_id, as SMSCs do. Where all
 * clients look alike, that is somebody else's as often. */
static void send_receipt(void *ctx, uint64_t number)
{
    struct session *carried = ctx;
    const struct message *m = ledger_find((uint32_t)number);
    struct session *s = carried;
    if (sim_chance(300) || !may_deliver(s)) {
        for (s = sessions; s != NULL; s = s->next) {
            if (s->link == carried->link && may_deliver(s) && strcmp(s->system_id, carried->system_id) == 0) {
                break;
            }
        }
    }
    if (s != NULL && may_deliver(s)) {
        send_mo(s, m->shortcode, m->account, true);
    }
}

/* --- answers ---------------------------------------------------------------------------------------------- */

struct answer {
    struct session *session;
    struct message *message; /* NULL: of a query */
    uint32_t command, sequence;
};

static uint32_t some_status(const struct session *s)
{
    if (sim_now < smscs[s->link].throttles_until) {
        return ESME_RTHROTTLED;
    }
    static const uint32_t refusals[] = {ESME_RTHROTTLED, ESME_RMSGQFUL, ESME_RSYSERR,
                                        ESME_RINVDSTADR, 0x411,         0x64};
    return sim_chance(60) ? refusals[sim_random(sizeof refusals / sizeof refusals[0])] : ESME_ROK;
}

/* With and without body, with TLVs, as a nack: as they come. */
static size_t write_answer(const struct answer *a, uint32_t status, uint8_t *pdu, size_t cap)
{
    char id[48];
    uint8_t tlvs[64];
    snprintf(id, sizeof id, "%s%u-%06x", sim_chance(500) ? "L" : "l", a->session->link, ++next_id);
    size_t tlvs_len = sim_chance(80) ? smpp_encode_tlv(tlvs, sizeof tlvs, 0x1402, "vendor", 6) : 0;
    if (status != ESME_ROK && sim_chance(600)) {
        bool nack = sim_chance(100);
        smpp_put_header(pdu, &(struct smpp_header){SMPP_HEADER_LEN,
                                                   nack ? SMPP_GENERIC_NACK : a->command | SMPP_RESPONSE_BIT,
                                                   status, a->sequence});
        return SMPP_HEADER_LEN;
    }
    size_t len =
        smpp_encode_id_resp(pdu, cap, a->command | SMPP_RESPONSE_BIT, a->sequence, status,
                            status == ESME_ROK ? id : "", (struct smpp_span){tlvs, (uint32_t)tlvs_len});
    if (a->command == SMPP_SUBMIT_MULTI) {
        pdu[len++] = 0; /* no_unsuccess */
        smpp_put32(pdu, (uint32_t)len);
    }
    return len;
}

static void give_answer(void *ctx, uint64_t arg)
{
    struct answer *a = ctx;
    struct session *s = a->session;
    uint8_t pdu[256];
    (void)arg;
    if (s->wire != NULL) {
        uint32_t status = some_status(s);
        size_t len = write_answer(a, status, pdu, sizeof pdu);
        ages_remove(&s->ages, a->sequence);
        if (a->message != NULL) {
            ledger_responded(a->message, pdu, (uint32_t)len);
        }
        wire_send(s->wire, pdu, len);
        if (sim_chance(10)) {
            wire_send(s->wire, pdu, len); /* once more */
        }
        if (a->message != NULL && status == ESME_ROK && sim_chance(400)) {
            sim_after(sim_between(MS, 900 * MS), send_receipt, s, a->message->number);
        }
    }
    free(a);
}

/* How long an answer takes; 0: it never comes. */
static uint64_t answer_pause(const struct session *s)
{
    if (shape.peers_fail && sim_now < shape.chaos_end && sim_chance(8)) {
        return 0;
    }
    if (sim_now < smscs[s->link].slow_until || (shape.peers_fail && sim_chance(5))) {
        return sim_between(300 * MS, 2600 * MS);
    }
    return sim_between(100000, sim_chance(100) ? 300 * MS : 20 * MS);
}

static bool is_about(uint32_t command)
{
    return command == SMPP_QUERY_SM || command == SMPP_CANCEL_SM || command == SMPP_REPLACE_SM;
}

/* The id begins with the number of the link that gave it. */
static void check_about(const struct session *s, const uint8_t *pdu, uint32_t command)
{
    const uint8_t *id = pdu + SMPP_HEADER_LEN + (command == SMPP_CANCEL_SM);
    tell(s->wire->name, "gets %s about %s", smpp_command_name(command), (const char *)id);
    if (id[1] - '0' != (int)s->link) {
        violated("5: receipts and answers to the right one", 0,
                 "%s gets %s about \"%s\", which another link gave", s->wire->name,
                 smpp_command_name(command), (const char *)id);
    }
}

static void on_request(struct session *s, const uint8_t *pdu, uint32_t len, uint64_t end)
{
    uint32_t command = smpp_get32(pdu + 4);
    bool about = is_about(command);
    struct message *m = about ? NULL : ledger_mt_arrived(s->wire, pdu, len, end);
    if (!about && m == NULL) {
        return; /* a client's nonsense, passed on: not to be answered by us */
    }
    if (about) {
        check_about(s, pdu, command);
    }
    uint64_t pause = answer_pause(s);
    ages_add(&s->ages, s->wire, smpp_get32(pdu + 12), shape.window);
    if (pause == 0) {
        return;
    }
    struct answer *a = malloc(sizeof *a);
    if (a == NULL) {
        abort();
    }
    *a = (struct answer){s, m, command, smpp_get32(pdu + 12)};
    sim_after(pause, give_answer, a, 0);
    if (m != NULL && sim_chance(15)) {
        sim_after(pause / 2, send_receipt, s, m->number); /* before its answer */
    }
}

static int account_of(const char *system_id)
{
    for (int i = 0; i < ACCOUNTS; i++) {
        if (strcmp(account_names[i], system_id) == 0) {
            return i;
        }
    }
    return -1;
}

static void on_bind(struct session *s, const uint8_t *pdu)
{
    uint8_t out[64];
    uint32_t command = smpp_get32(pdu + 4);
    uint32_t status = shape.peers_fail && sim_chance(40) ? ESME_RBINDFAIL : ESME_ROK;
    snprintf(s->system_id, sizeof s->system_id, "%s", (const char *)pdu + SMPP_HEADER_LEN);
    s->account = account_of(s->system_id);
    s->receives = command != SMPP_BIND_TRANSMITTER;
    s->bound = status == ESME_ROK;
    tell(s->wire->name, "is bound by %s as %s: 0x%x", s->system_id, smpp_command_name(command), status);
    wire_send(s->wire, out,
              smpp_encode_bind_resp(out, sizeof out, command, smpp_get32(pdu + 12), status, "smsc",
                                    sim_chance(500) ? 0x34 : -1));
    if (s->bound && s->receives) {
        sim_after(sim_random(300 * MS), mo_tick, s, 0);
    }
}

static void on_response(struct session *s, const uint8_t *pdu, uint32_t len)
{
    const struct owed *owed = account_settle(&s->requests, s->wire, pdu, len);
    if (owed != NULL && owed->message != 0) {
        ledger_answered(ledger_find(owed->message), s->wire, pdu, len);
    } else if (owed != NULL && owed->command == SMPP_UNBIND) {
        wire_close(s->wire);
    }
}

static void on_pdu(struct wire *wire, const uint8_t *pdu, uint32_t len, uint64_t end)
{
    struct session *s = wire->peer;
    uint32_t command = smpp_get32(pdu + 4);
    if (smpp_is_response(command)) {
        on_response(s, pdu, len);
    } else if (smpp_is_bind(command)) {
        on_bind(s, pdu);
    } else if (command == SMPP_ENQUIRE_LINK) {
        send_header(s, SMPP_ENQUIRE_LINK | SMPP_RESPONSE_BIT, 0, smpp_get32(pdu + 12));
    } else if (command == SMPP_UNBIND) {
        s->leaving = s->wire->leaving = true;
        send_header(s, SMPP_UNBIND | SMPP_RESPONSE_BIT, 0, smpp_get32(pdu + 12));
    } else {
        on_request(s, pdu, len, end);
    }
}

static void on_closed(struct wire *wire, const char *why)
{
    struct session *s = wire->peer;
    tell(wire->name, "has lost its connection: %s", why);
    s->wire = NULL;
    s->bound = false;
}

static const struct wire_events events = {.pdu = on_pdu, .closed = on_closed};

bool smsc_accept(struct wire *wire, bool *refused)
{
    struct session *s = calloc(1, sizeof *s);
    if (s == NULL) {
        abort();
    }
    *s = (struct session){.next = sessions, .wire = wire, .link = (unsigned)wire->link, .account = -1};
    sessions = s;
    account_begin(&s->requests);
    wire->events = &events;
    wire->peer = s;
    snprintf(wire->name, sizeof wire->name, "%s/%u", link_names[wire->link], wire->id);
    *refused = sim_now < smscs[wire->link].away_until;
    return sim_now >= smscs[wire->link].hangs_until;
}

/* --- faults ----------------------------------------------------------------------------------------------- */

static void resume_reading(void *ctx, uint64_t arg)
{
    struct session *s = ctx;
    (void)arg;
    if (s->wire != NULL) {
        wire_read(s->wire, true);
    }
}

static void disturb_session(struct session *s)
{
    uint64_t ns = sim_between(200 * MS, 3 * SECOND);
    switch (sim_random(6)) {
    case 0:
        tell(s->wire->name, "resets");
        wire_reset(s->wire);
        break;
    case 1:
        tell(s->wire->name, "freezes for %" PRIu64 " ms", ns / MS);
        wire_freeze(s->wire, ns);
        break;
    case 2:
        tell(s->wire->name, "is half open from now on");
        wire_freeze(s->wire, UINT64_MAX);
        break;
    case 3:
        tell(s->wire->name, "does not read for %" PRIu64 " ms", ns / MS);
        wire_read(s->wire, false);
        sim_after(ns, resume_reading, s, 0);
        break;
    case 4:
        tell(s->wire->name, "hangs up");
        wire_close(s->wire);
        break;
    default:
        if (s->bound && !s->leaving) {
            tell(s->wire->name, "unbinds");
            s->leaving = s->wire->leaving = true;
            account_owe(&s->requests, SMPP_UNBIND, 0, false);
            send_header(s, SMPP_UNBIND, 0, account_next(&s->requests) - 1);
        }
        break;
    }
}

/* A carrier's sessions stop reading: what was routed to them waits, as it may just when the route changes. */
void smsc_stall(void)
{
    unsigned link = (unsigned)sim_random(LINKS);
    for (struct session *s = sessions; s != NULL; s = s->next) {
        if (s->wire != NULL && s->bound && s->link == link && sim_chance(700)) {
            wire_read(s->wire, false);
            sim_after(sim_between(300 * MS, 1800 * MS), resume_reading, s, 0);
        }
    }
    tell(link_names[link], "does not read for a while");
}

static void close_all(unsigned link)
{
    for (struct session *s = sessions; s != NULL; s = s->next) {
        if (s->wire != NULL && s->link == link) {
            smscs[link].missed = smscs[link].missed || wire_frozen(s->wire);
            wire_reset(s->wire);
        }
    }
}

void smsc_away(unsigned link, uint64_t ns)
{
    struct smsc *smsc = &smscs[link];
    if (sim_now >= smsc->away_until) {
        smsc->away_since = sim_now;
        smsc->missed = false;
    }
    smsc->away_until = sim_now + ns;
    close_all(link);
}

uint64_t smsc_away_since(unsigned link)
{
    return sim_now < smscs[link].away_until && !smscs[link].missed ? smscs[link].away_since : UINT64_MAX;
}

static void disturb_link(unsigned link)
{
    struct smsc *smsc = &smscs[link];
    uint64_t ns = sim_between(300 * MS, 4 * SECOND);
    static const char *const what[] = {"is away", "hangs", "is slow", "throttles"};
    unsigned choice = (unsigned)sim_random(4);
    tell(link_names[link], "%s for %" PRIu64 " ms", what[choice], ns / MS);
    switch (choice) {
    case 0: smsc_away(link, ns); break;
    case 1: smsc->hangs_until = sim_now + ns; break;
    case 2: smsc->slow_until = sim_now + ns; break;
    default: smsc->throttles_until = sim_now + ns; break;
    }
}

void smsc_disturb(void)
{
    struct session *alive[64];
    size_t count = 0;
    for (struct session *s = sessions; s != NULL && count < 64; s = s->next) {
        if (s->wire != NULL) {
            alive[count++] = s;
        }
    }
    if (count > 0 && sim_chance(700)) {
        disturb_session(alive[sim_random(count)]);
    } else {
        disturb_link((unsigned)sim_random(LINKS));
    }
}

void smscs_slow(uint64_t ns)
{
    for (unsigned link = 0; link < LINKS; link++) {
        smscs[link].slow_until = sim_now + ns;
    }
}

void smscs_heal(void)
{
    memset(smscs, 0, sizeof smscs);
}

void smscs_check(bool last)
{
    for (const struct session *s = sessions; s != NULL; s = s->next) {
        if (s->wire != NULL && s->bound) {
            account_check(&s->requests, s->wire, last);
        }
    }
}

void smscs_begin(void)
{
    while (sessions != NULL) {
        struct session *s = sessions;
        sessions = s->next;
        free(s->requests.owed);
        free(s);
    }
    next_id = 0;
    smscs_heal();
}
