/* See probe.h. */
#include "proxy/probe.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proxy/client.h"
#include "proxy/leg.h"
#include "proxy/legs.h"
#include "proxy/log.h"
#include "smpp/constants.h"
#include "smpp/receipt.h"
#include "smpp/tlv.h"

#define FAREWELL 1000000000ULL /* ns: for the unbind */
enum {
    WINDOW = 4,
    SUBMIT_MAX = 512,
    TON_INTERNATIONAL = 1,
    TON_NETWORK_SPECIFIC = 3,
    NPI_ISDN = 1,
    RECEIPT_ALWAYS = 1, /* registered_delivery: success or failure */
};

/* What a receipt says of the test message. */
enum receipt_verdict { RECEIPT_CAME, RECEIPT_ON_ITS_WAY, RECEIPT_FAILED };

struct probe {
    struct conn conn;           /* first: a conn's owner is found by a cast */
    struct probe *next, **link; /* worker->probes */
    struct probe_order order;
    struct window_owner session; /* of the client, whose password may be needed */
    struct metrics_link *metrics;
    struct probe_result result;
    void (*done)(void *ctx, const struct probe_result *result);
    void *ctx;
    struct timer limit;
    uint64_t since; /* of the present step */
    uint64_t sent;  /* the test message */
    bool told;
    bool early; /* a receipt has come before the answer to submit_sm: it waits for its own */
    uint32_t early_sequence;
    enum receipt_verdict early_verdict;
    char early_id[PROBE_ID_MAX + 1];
};

static const struct conn_owner probe_conn_owner;

static const char *const step_names[] = {"connect", "bind", "enquire_link", "submit_sm", "receipt", "done"};

const char *probe_step_name(enum probe_step step)
{
    return step_names[step];
}

static struct probe *probe_of(struct conn *c)
{
    return (struct probe *)c; /* conn is its first member */
}

static const struct config_link *link_of(const struct worker *w, unsigned index)
{
    return index < w->config->link_at_count ? w->config->link_at[index] : NULL;
}

static const struct config_client *account_of(const struct worker *w, int index)
{
    return index >= 0 && (unsigned)index < w->config->client_at_count ? w->config->client_at[index] : NULL;
}

/* --- the outcome ---------------------------------------------------------------------------------------- */

static void tell(struct probe *probe, const char *why)
{
    const struct worker *w = probe->conn.worker;
    const struct config_link *link = link_of(w, probe->order.link);
    const struct config_client *account = account_of(w, probe->order.client);
    if (probe->told) {
        return;
    }
    probe->told = true;
    snprintf(probe->result.why, sizeof probe->result.why, "%s", why);
    log_event(EVENT_LINK_PROBED, LOG_TEXT("link", link == NULL ? "removed" : link->name),
              LOG_TEXT("client", account == NULL ? "" : account->system_id),
              LOG_TEXT("step", probe_step_name(probe->result.step)), LOG_TEXT("why", why));
    probe->done(probe->ctx, &probe->result);
}

static void refuse_for_later(struct probe *probe, uint32_t command_id, uint32_t sequence)
{
    const struct worker *w = probe->conn.worker;
    const struct config_link *link = link_of(w, probe->order.link);
    const struct config_carrier *carrier = link == NULL ? NULL : w->config->carrier_of[link->carrier];
    metric_add(&probe->metrics->mo_refused, 1);
    conn_refuse(&probe->conn, command_id, sequence, carrier == NULL ? ESME_RMSGQFUL : carrier->mo_refusal);
}

/* A receipt that has waited to be known as ours, and is not. */
static void refuse_early(struct probe *probe)
{
    if (probe->early) {
        probe->early = false;
        refuse_for_later(probe, SMPP_DELIVER_SM, probe->early_sequence);
    }
}

/* The outcome is known; what is left is the good-bye. */
static void part(struct probe *probe)
{
    struct conn *c = &probe->conn;
    refuse_early(probe);
    timer_set(&c->worker->timers, &probe->limit, c->worker->now + FAREWELL);
    if (!conn_unbind(c)) {
        conn_close(c, "probed", false);
    }
}

static void fail(struct probe *probe, const char *why)
{
    tell(probe, why);
    part(probe);
}

static void fail_refused(struct probe *probe, const struct smpp_event *event)
{
    char why[PROBE_WHY_MAX];
    uint32_t status = event->header.command_status;
    const char *name = smpp_status_name(status);
    snprintf(why, sizeof why, "%s was refused: %s (0x%08x)", probe_step_name(probe->result.step),
             name == NULL ? "a status of the SMSC's own" : name, (unsigned)status);
    probe->result.command_status = status;
    fail(probe, why);
}

/* Sets the step, and returns how long the one before took. */
static uint64_t next_step(struct probe *probe, enum probe_step step)
{
    uint64_t now = probe->conn.worker->now;
    uint64_t took = now > probe->since ? now - probe->since : 1;
    probe->result.step = step;
    probe->since = now;
    return took;
}

static void succeed(struct probe *probe)
{
    (void)next_step(probe, PROBE_DONE);
    tell(probe, "");
    part(probe);
}

/* --- connect, bind, enquire_link ------------------------------------------------------------------------ */

static size_t encode_bind(const struct probe *probe, uint32_t sequence, uint8_t *pdu, size_t cap)
{
    const struct worker *w = probe->conn.worker;
    const struct config_link *link = link_of(w, probe->order.link);
    const struct client *client = client_find(w, probe->session);
    struct leg_bind bind;
    if (link == NULL || !legs_credentials(link, account_of(w, probe->order.client), client, &bind)) {
        return 0;
    }
    return leg_encode_bind(&bind, probe->order.bind_id, sequence, pdu, cap);
}

static void send_bind(struct conn *c)
{
    struct probe *probe = probe_of(c);
    uint8_t pdu[LEG_BIND_MAX];
    uint32_t sequence = 0;
    struct window_slot *slot = window_open(&c->window, true, c->worker->now, &sequence);
    size_t len = slot == NULL ? 0 : encode_bind(probe, sequence, pdu, sizeof pdu);
    if (len == 0) {
        tell(probe, "the link, or the session whose password was to be passed on, has gone");
        conn_close(c, "bind_not_encoded", false);
        return;
    }
    slot->command_id = probe->order.bind_id;
    probe->result.connect_ns = next_step(probe, PROBE_BIND);
    conn_send(c, pdu, len);
    OPENSSL_cleanse(pdu, sizeof pdu);
    conn_sent_bind(c, probe->order.bind_id, sequence);
    conn_watch(c);
    stream_read_start(c->stream);
}

static void on_bound(struct probe *probe, const struct smpp_event *event)
{
    struct smpp_bind_resp_view view = {.sc_interface_version = -1};
    if (event->header.command_status != ESME_ROK || event->header.command_id == SMPP_GENERIC_NACK) {
        fail_refused(probe, event);
        return;
    }
    (void)smpp_view_bind_resp(event->pdu, event->header.length, &view);
    conn_bound(&probe->conn, view.sc_interface_version < 0 ? 0x33 : (uint8_t)view.sc_interface_version);
    probe->result.bind_ns = next_step(probe, PROBE_ENQUIRE);
    conn_enquire(&probe->conn);
}

/* --- the test message ----------------------------------------------------------------------------------- */

static void send_message(struct probe *probe)
{
    struct conn *c = &probe->conn;
    uint8_t pdu[SUBMIT_MAX];
    uint32_t sequence = 0;
    struct window_slot *slot = window_open(&c->window, false, c->worker->now, &sequence);
    const struct smpp_message_fields fields = {
        .command_id = SMPP_SUBMIT_SM,
        .sequence_number = sequence,
        .service_type = "",
        .source_ton = TON_NETWORK_SPECIFIC,
        .source = probe->order.source,
        .dest_ton = TON_INTERNATIONAL,
        .dest_npi = NPI_ISDN,
        .dest = probe->order.destination,
        .schedule_delivery_time = "",
        .validity_period = "",
        .registered_delivery = RECEIPT_ALWAYS,
        .text = {(const uint8_t *)probe->order.text, (uint32_t)strlen(probe->order.text)}};
    size_t len = slot == NULL ? 0 : smpp_encode_message(pdu, sizeof pdu, &fields);
    if (len == 0) {
        fail(probe, "no memory for the test message");
        return;
    }
    slot->command_id = SMPP_SUBMIT_SM;
    (void)next_step(probe, PROBE_SUBMIT);
    probe->sent = c->worker->now;
    conn_send(c, pdu, len);
    conn_watch(c);
}

static void on_enquired(struct conn *c)
{
    struct probe *probe = probe_of(c);
    if (probe->told || probe->result.step != PROBE_ENQUIRE) {
        return;
    }
    probe->result.round_trip_ns = c->round_trip;
    if (probe->order.source[0] != '\0') {
        send_message(probe);
    } else {
        succeed(probe);
    }
}

static bool span_text(struct smpp_span span, char *text, size_t size)
{
    bool fits = span.len < size;
    size_t len = fits ? span.len : size - 1;
    if (len > 0) {
        memcpy(text, span.p, len);
    }
    text[len] = '\0';
    return fits;
}

/* States of SMPP 3.4, 5.2.28: the TLV, else "stat" of the text. ACCEPTD is as much as some SMSCs ever say. */
enum { STATE_ENROUTE = 1, STATE_DELIVERED = 2, STATE_ACCEPTED = 6, STATE_UNKNOWN = 7 };

static unsigned state_of(const struct smpp_message_view *view)
{
    static const struct {
        const char *word;
        unsigned state;
    } words[] = {{"DELIVRD", STATE_DELIVERED}, {"ACCEPTD", STATE_ACCEPTED}, {"ENROUTE", STATE_ENROUTE}};
    struct smpp_span text = smpp_view_text(view);
    struct smpp_span stat;
    struct smpp_tlv tlv;
    if (smpp_tlv_find(view->tlvs, SMPP_TAG_MESSAGE_STATE, &tlv) && tlv.value.len == 1) {
        return tlv.value.p[0];
    }
    for (size_t i = 0; smpp_receipt_field(text, "stat", &stat) && i < sizeof words / sizeof *words; i++) {
        if (stat.len == strlen(words[i].word) &&
            strncasecmp((const char *)stat.p, words[i].word, stat.len) == 0) {
            return words[i].state;
        }
    }
    return STATE_UNKNOWN;
}

static enum receipt_verdict verdict_of(const struct smpp_message_view *view)
{
    switch (state_of(view)) {
    case STATE_DELIVERED:
    case STATE_ACCEPTED: return RECEIPT_CAME;
    case STATE_ENROUTE: return RECEIPT_ON_ITS_WAY;
    default: return RECEIPT_FAILED;
    }
}

/* It is ours, whatever it says. One that says "on its way" is followed by another. */
static void accept_receipt(struct probe *probe, uint32_t sequence, enum receipt_verdict verdict)
{
    uint8_t pdu[SMPP_REFUSAL_MAX];
    char why[PROBE_WHY_MAX];
    struct conn *c = &probe->conn;
    conn_send(c, pdu, smpp_encode_refusal(pdu, SMPP_DELIVER_SM, sequence, ESME_ROK, true));
    if (verdict == RECEIPT_ON_ITS_WAY) {
        return;
    }
    probe->result.receipt_ns = c->worker->now > probe->sent ? c->worker->now - probe->sent : 1;
    if (verdict == RECEIPT_CAME) {
        succeed(probe);
        return;
    }
    snprintf(why, sizeof why, "the receipt does not say that it was delivered: %.140s",
             probe->result.receipt);
    fail(probe, why);
}

static void on_submitted(struct probe *probe, const struct smpp_event *event)
{
    struct smpp_span id = {NULL, 0};
    if (event->header.command_status != ESME_ROK || event->header.command_id == SMPP_GENERIC_NACK) {
        fail_refused(probe, event);
        return;
    }
    (void)smpp_view_response_id(event->pdu, event->header.length, &id);
    (void)span_text(id, probe->result.message_id, sizeof probe->result.message_id);
    probe->result.answer_ns = next_step(probe, PROBE_RECEIPT);
    if (probe->early && strcmp(probe->early_id, probe->result.message_id) == 0) {
        probe->early = false;
        accept_receipt(probe, probe->early_sequence, probe->early_verdict);
    } else {
        refuse_early(probe);
    }
}

/* The receipt of our message is ours. One that comes before the id is known waits for that; there is room for
 * one. */
static bool take_receipt(struct probe *probe, const struct smpp_event *event)
{
    struct smpp_message_view view;
    struct smpp_span id;
    char text[PROBE_ID_MAX + 1];
    bool waiting =
        !probe->told && (probe->result.step == PROBE_SUBMIT || probe->result.step == PROBE_RECEIPT);
    if (!waiting || probe->early || event->header.command_id != SMPP_DELIVER_SM ||
        !smpp_view_message(event->pdu, event->header.length, &view) || !smpp_is_receipt(view.esm_class) ||
        !smpp_receipt_id(&view, &id) || !span_text(id, text, sizeof text)) {
        return false;
    }
    if (probe->result.step == PROBE_RECEIPT && strcmp(text, probe->result.message_id) != 0) {
        return false;
    }
    (void)span_text(view.text, probe->result.receipt, sizeof probe->result.receipt);
    if (probe->result.step == PROBE_RECEIPT) {
        accept_receipt(probe, event->header.sequence_number, verdict_of(&view));
    } else {
        probe->early = true;
        probe->early_sequence = event->header.sequence_number;
        probe->early_verdict = verdict_of(&view);
        memcpy(probe->early_id, text, sizeof text);
    }
    return true;
}

/* --- what comes ----------------------------------------------------------------------------------------- */

static void on_response(struct probe *probe, const struct smpp_event *event, const struct window_slot *slot)
{
    if (slot == NULL) {
        return;
    }
    if (slot->command_id == SMPP_UNBIND) {
        conn_close(&probe->conn, "unbound", false);
    } else if (probe->told) {
        return; /* too late */
    } else if (smpp_is_bind(slot->command_id)) {
        on_bound(probe, event);
    } else {
        on_submitted(probe, event);
    }
}

static void on_probe_event(struct conn *c, const struct smpp_event *event, const struct window_slot *slot)
{
    struct probe *probe = probe_of(c);
    switch (event->kind) {
    case SMPP_EVENT_RESPONSE: on_response(probe, event, slot); break;
    case SMPP_EVENT_REQUEST:
        if (!take_receipt(probe, event) && event->needs_response) {
            refuse_for_later(probe, event->header.command_id, event->header.sequence_number);
        }
        break;
    case SMPP_EVENT_UNBIND:
        tell(probe, "the SMSC ended the session");
        conn_send(c, event->reply, event->reply_len);
        conn_close(c, "smsc_unbound", true);
        break;
    default: break;
    }
}

/* The test message's answer: the whole probe has its own limit. */
static void on_probe_expired(struct conn *c, const struct window_slot *slot)
{
    struct probe *probe = probe_of(c);
    if (slot->command_id == SMPP_SUBMIT_SM && !probe->told) {
        fail(probe, "submit_sm was not answered in time: whether the message was taken is not known");
    }
}

static void on_probe_writable(struct conn *c)
{
    (void)c;
}

static void on_limit(struct timer *timer, uint64_t now)
{
    struct probe *probe = (struct probe *)((char *)timer - offsetof(struct probe, limit));
    (void)now;
    if (probe->told) {
        conn_close(&probe->conn, "unbind_patience", false);
        return;
    }
    char why[PROBE_WHY_MAX];
    snprintf(why, sizeof why, "%s: not answered within %.1f s%s", probe_step_name(probe->result.step),
             (double)probe->order.limit / 1e9,
             probe->result.step == PROBE_RECEIPT ? " (it may have come over another session of the account)"
                                                 : "");
    fail(probe, why);
}

static void unlist(struct probe *probe)
{
    *probe->link = probe->next;
    if (probe->next != NULL) {
        probe->next->link = probe->link;
    }
    probe->conn.worker->probes_count--;
}

static void on_probe_closed(struct conn *c, const char *why, const char *detail)
{
    struct probe *probe = probe_of(c);
    char text[PROBE_WHY_MAX];
    snprintf(text, sizeof text, "%s: %s%s%s", probe_step_name(probe->result.step), why,
             detail[0] == '\0' ? "" : ", ", detail);
    tell(probe, text);
    conn_forget(c);
    timer_cancel(&probe->limit);
    unlist(probe);
    free(probe);
}

static metric *probe_gauge(struct conn *c)
{
    struct probe *probe = probe_of(c);
    return &probe->metrics->sessions[metrics_bind_type(probe->order.bind_id)][c->smpp.state];
}

static const struct conn_owner probe_conn_owner = {.side = SIDE_SMSC,
                                                   .event = on_probe_event,
                                                   .expired = on_probe_expired,
                                                   .writable = on_probe_writable,
                                                   .opened = send_bind,
                                                   .enquired = on_enquired,
                                                   .closed = on_probe_closed,
                                                   .gauge = probe_gauge};

/* --- begin ---------------------------------------------------------------------------------------------- */

/* A session of the account that is bound here: whose password could be passed on. */
static struct window_owner session_of(const struct worker *w, const struct config_client *account)
{
    for (uint32_t i = 0; account != NULL && i < w->clients.capacity; i++) {
        const struct client *client = registry_at(&w->clients, i);
        if (client != NULL && client->account == account && conn_is_bound(&client->conn)) {
            return client_owner(client);
        }
    }
    return (struct window_owner){0, 0};
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool connect_probe(struct probe *probe, struct worker *w, const struct config_link *link)
{
    uint64_t limit = probe->order.limit;
    struct smpp_session_limits limits = {.max_pdu_open = w->config->max_pdu_bound,
                                         .max_pdu_bound = w->config->max_pdu_bound,
                                         .response = limit,
                                         .partial = w->config->partial_timeout};
    struct stream_target target = {.host = link->host,
                                   .port = link->port,
                                   .tls = w->bundle->link_tls[link->index],
                                   .tls_name = link->tls_name,
                                   .timeout_ms = lesser(link->connect_timeout, limit) / 1000000};
    conn_init(&probe->conn, w, &probe_conn_owner, SMPP_ROLE_ESME, &limits, WINDOW, limit);
    struct stream *stream = w->connect(&w->env, &target, &conn_stream_events, &probe->conn);
    if (stream == NULL) {
        return false;
    }
    probe->since = w->now;
    conn_attach(&probe->conn, stream);
    timer_set(&w->timers, &probe->limit, w->now + limit);
    probe->link = &w->probes;
    probe->next = w->probes;
    if (probe->next != NULL) {
        probe->next->link = &probe->next;
    }
    w->probes = probe;
    w->probes_count++;
    return true;
}

/* Why it cannot begin; NULL where it can. */
static const char *obstacle(const struct worker *w, const struct config_link *link,
                            const struct config_client *account, struct window_owner session)
{
    struct leg_bind bind;
    if (w->draining) {
        return "the instance is ending";
    }
    if (w->probes_count >= PROBES_MAX) {
        return "too many probes are under way";
    }
    if (link == NULL) {
        return "the link has gone";
    }
    return legs_credentials(link, account, client_find(w, session), &bind)
               ? NULL
               : "there are no credentials for it";
}

bool probe_start(struct worker *w, const struct probe_order *order,
                 void (*done)(void *ctx, const struct probe_result *result), void *ctx,
                 struct probe_result *result)
{
    const struct config_link *link = link_of(w, order->link);
    const struct config_client *account = account_of(w, order->client);
    struct window_owner session = session_of(w, account);
    const char *why = obstacle(w, link, account, session);
    struct probe *probe = why == NULL ? calloc(1, sizeof *probe) : NULL;
    if (probe != NULL) {
        probe->order = *order;
        probe->session = session;
        probe->done = done;
        probe->ctx = ctx;
        probe->limit.fire = on_limit;
        probe->metrics = metrics_link(w->metrics, order->link);
    }
    if (probe == NULL || probe->metrics == NULL || !connect_probe(probe, w, link)) {
        free(probe);
        *result = (struct probe_result){.step = PROBE_CONNECT};
        snprintf(result->why, sizeof result->why, "%s", why == NULL ? "no memory" : why);
        return false;
    }
    return true;
}

void probe_end_all(struct worker *w)
{
    for (struct probe *probe = w->probes; probe != NULL; probe = probe->next) {
        tell(probe, "the instance is ending");
        conn_close(&probe->conn, "ended", false);
    }
}
