#include "proxy/mo.h"

#include "proxy/relay.h"
#include "proxy/seen.h"
#include "smpp/frame.h"

enum { COMMAND_ID_AT = 4, COMMAND_STATUS_AT = 8 };

/* Whose request it is, under which number, and what counts it: `asked` is what the slot of a client's window
 * remembers of it. */
static void refuse_mo(struct leg *leg, const struct window_slot *asked, enum refused cause)
{
    struct worker *w = leg->conn.worker;
    const struct config_carrier *carrier = w->config->carrier_of[leg->carrier];
    metric_add(&w->metrics->refused[cause], 1);
    metric_add(&leg->metrics->mo_refused, 1);
    traffic_mo_refused(&w->traffic, asked->cell, leg->platform);
    if (smpp_has_response(asked->command_id)) {
        conn_refuse(&leg->conn, asked->command_id, asked->owner_sequence,
                    carrier == NULL ? (uint32_t)ESME_RMSGQFUL : carrier->mo_refusal);
    }
}

/* The client's answer goes to the SMSC. */
static void answer_mo(struct leg *leg, const uint8_t *pdu, uint32_t len, const struct window_slot *asked)
{
    struct worker *w = leg->conn.worker;
    if (smpp_get32(pdu + COMMAND_STATUS_AT) == ESME_ROK) {
        traffic_mo_accepted(&w->traffic, asked->cell, leg->platform, w->now);
    } else {
        traffic_mo_refused(&w->traffic, asked->cell, leg->platform);
    }
    conn_forward(&leg->conn, smpp_command_index(smpp_get32(pdu + COMMAND_ID_AT)), pdu, len,
                 asked->owner_sequence);
}

/* It has been passed on. */
static void count_mo(struct leg *leg, const struct seen *what)
{
    leg->owed++;
    metric_add(what->is_receipt ? &leg->metrics->receipts : &leg->metrics->mo, 1);
}

/* Is the route of an MO not open, where its carrier wants such MO refused? A receipt is no MO: it belongs to
 * the leg that carried the message, whatever the route says. */
static bool is_held(const struct leg *leg, const struct seen *what)
{
    const struct config_carrier *carrier = leg->conn.worker->config->carrier_of[leg->carrier];
    return what->not_open && !what->is_receipt && carrier != NULL && carrier->mo_held_refused;
}

/* Sends an MO to a client; `asked` says whose it is. False where the client has no room, or there is no
 * memory. */
static bool pass_to_client(struct client *client, const uint8_t *pdu, uint32_t len,
                           const struct window_slot *asked)
{
    struct conn *c = &client->conn;
    uint32_t sequence = 0;
    struct window_slot *slot = window_open(&c->window, false, c->worker->now, &sequence);
    if (slot == NULL) {
        return false;
    }
    slot->worker = asked->worker;
    slot->owner = asked->owner;
    slot->owner_sequence = asked->owner_sequence;
    slot->command_id = asked->command_id;
    slot->cell = asked->cell;
    slot->version = c->worker->version;
    conn_forward(c, smpp_command_index(asked->command_id), pdu, len, sequence);
    if (c->window.used == 1) {
        conn_watch(c);
    }
    return true;
}

/* Who gets an MO: a session of this worker, or one of another worker, or nobody. */
struct receiver {
    struct client *client;
    int worker; /* -1: none */
};

/* A receiving session of the shortcode's owner, here or else elsewhere. *owned: it has an owner. */
static struct receiver receiver_of_owner(struct worker *w, struct smpp_span shortcode, bool *owned)
{
    struct receiver receiver = {.worker = -1};
    size_t count = 0;
    const struct owner *owner = owners_of(w->bundle->owners, shortcode.p, shortcode.len, &count);
    *owned = count > 0;
    for (; count > 0 && receiver.client == NULL; owner++, count--) {
        receiver.client = client_receiver(w, owner->client);
        if (receiver.worker < 0) {
            receiver.worker = shared_receiver(w->shared, owner->client->index, w->number, (unsigned)w->now);
        }
    }
    return receiver;
}

/* Who gets an MO: the leg's own client if the shortcode is its; else a session of the owner, since an SMSC to
 * which several clients look alike may hand one's MO to another's bind; a shortcode that nobody owns goes to
 * the leg's client. */
static struct receiver receiver_of(struct leg *leg, const struct smpp_event *event)
{
    struct worker *w = leg->conn.worker;
    struct smpp_address source;
    struct smpp_address dest;
    bool owned = false;
    struct client *client = client_find(w, leg->client);
    struct receiver own = {.client = client != NULL && client_may_receive(client) ? client : NULL,
                           .worker = -1};
    if (!smpp_has_response(event->header.command_id) ||
        !smpp_view_addresses(event->pdu, event->header.length, &source, &dest) ||
        (own.client != NULL && config_client_owns(client->account, dest.digits.p, dest.digits.len))) {
        return own;
    }
    struct receiver owners = receiver_of_owner(w, dest.digits, &owned);
    return owned ? owners : own;
}

static void open_relayed_request(void *owner, struct letter *letter);

/* To a client of this worker, or of another one. */
static void pass_on(struct leg *leg, const struct receiver *to, const struct smpp_event *event,
                    const struct seen *what, const struct window_slot *asked)
{
    const uint8_t *pdu = event->pdu;
    uint32_t len = event->header.length;
    if (to->client != NULL
            ? pass_to_client(to->client, pdu, len, asked)
            : relay_request(leg->conn.worker, (unsigned)to->worker, asked, pdu, len, open_relayed_request)) {
        count_mo(leg, what);
    } else {
        refuse_mo(leg, asked, to->client != NULL ? REFUSED_MO_FULL : REFUSED_NO_RECEIVER);
    }
}

void mo_request(struct leg *leg, const struct smpp_event *event)
{
    const struct seen what = seen(leg, event);
    const struct window_slot asked = {.worker = (uint8_t)leg->conn.worker->number,
                                      .owner = leg_owner(leg),
                                      .owner_sequence = event->header.sequence_number,
                                      .command_id = event->header.command_id,
                                      .cell = what.cell};
    if (leg->conn.worker->draining || leg->state != LEG_BOUND || leg->peer_unbinds) {
        refuse_mo(leg, &asked, REFUSED_SHUTDOWN);
        return;
    }
    if (is_held(leg, &what)) {
        refuse_mo(leg, &asked, REFUSED_MO_ON_HOLD);
        return;
    }
    struct receiver receiver = receiver_of(leg, event);
    if (receiver.client == NULL && receiver.worker < 0) {
        refuse_mo(leg, &asked, REFUSED_NO_RECEIVER);
    } else if (receiver.client != NULL && !smpp_has_response(event->header.command_id)) {
        conn_forward(&receiver.client->conn, event->command, event->pdu, event->header.length,
                     event->header.sequence_number);
    } else {
        pass_on(leg, &receiver, event, &what, &asked);
    }
}

/* --- MO between workers --------------------------------------------------------------------------------- */

/* worker: the leg's. */
static struct window_slot asked_of(const struct relay *relay, unsigned worker)
{
    return (struct window_slot){.worker = (uint8_t)worker,
                                .owner = relay->leg,
                                .owner_sequence = relay->sequence_number,
                                .command_id = relay->command_id,
                                .cell = relay->cell};
}

/* In the leg's worker: the answer, or a refusal, of a request that was relayed. */
static void open_relayed_answer(void *owner, struct letter *letter)
{
    struct worker *w = owner; /* a thread begins with its worker */
    struct relay *relay = (struct relay *)letter;
    const struct window_slot asked = asked_of(relay, w->number);
    worker_wake(w);
    struct leg *leg = leg_find(w, relay->leg);
    if (leg == NULL || leg->conn.stream == NULL) {
        metric_add(&w->metrics->responses_orphaned, 1);
    } else {
        if (relay->len > 0) {
            answer_mo(leg, relay->pdu, relay->len, &asked);
        } else {
            refuse_mo(leg, &asked, relay->cause);
        }
        leg_paid(leg);
    }
    relay_free(relay);
}

/* In the client's worker. */
static void open_relayed_request(void *owner, struct letter *letter)
{
    struct worker *w = owner;
    struct relay *relay = (struct relay *)letter;
    struct smpp_address source;
    struct smpp_address dest;
    bool owned = false;
    worker_wake(w);
    const struct window_slot asked = asked_of(relay, relay->from);
    struct client *client = NULL;
    if (!w->draining && smpp_view_addresses(relay->pdu, relay->len, &source, &dest)) {
        client = receiver_of_owner(w, dest.digits, &owned).client;
    }
    if (client == NULL) {
        (void)relay_refusal(w, relay->from, &asked, REFUSED_NO_RECEIVER, open_relayed_answer);
    } else if (!pass_to_client(client, relay->pdu, relay->len, &asked)) {
        (void)relay_refusal(w, relay->from, &asked, REFUSED_MO_FULL, open_relayed_answer);
    }
    relay_free(relay);
}

void mo_answered(struct client *client, const struct smpp_event *event, const struct window_slot *slot)
{
    struct worker *w = client->conn.worker;
    if (slot->worker != w->number) {
        (void)relay_answer(w, slot, event->pdu, event->header.length, open_relayed_answer);
        return;
    }
    struct leg *leg = leg_find(w, slot->owner);
    if (leg == NULL || leg->conn.stream == NULL) {
        metric_add(&w->metrics->responses_orphaned, 1);
        return;
    }
    answer_mo(leg, event->pdu, event->header.length, slot);
    leg_paid(leg);
}

static void refuse_mo_of(struct client *client, const struct window_slot *slot, enum refused cause)
{
    struct worker *w = client->conn.worker;
    if (slot->worker != w->number) {
        (void)relay_refusal(w, slot->worker, slot, cause, open_relayed_answer);
        return;
    }
    struct leg *leg = leg_find(w, slot->owner);
    if (leg != NULL && leg->conn.stream != NULL) {
        refuse_mo(leg, slot, cause);
        leg_paid(leg);
    }
}

void mo_expired(struct client *client, const struct window_slot *slot)
{
    refuse_mo_of(client, slot, REFUSED_CLIENT_SILENT);
}

void mo_abandoned(struct client *client, const struct window_slot *slot)
{
    refuse_mo_of(client, slot, REFUSED_CLIENT_GONE);
}
