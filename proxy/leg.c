#include "proxy/leg.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/log.h"
#include "smpp/control.h"

#define TRIED_AFTER \
    1000000000ULL /* ns: a client that binds is not kept waiting for a pause longer than this */

static const struct conn_owner leg_conn_owner;

static struct leg *leg_of(struct conn *c)
{
    return (struct leg *)c; /* conn is its first member */
}

static const struct config_link *link_of(const struct leg *leg)
{
    const struct config *config = leg->conn.worker->config;
    return leg->link < config->link_at_count ? config->link_at[leg->link] : NULL;
}

static const char *link_name(const struct leg *leg)
{
    const struct config_link *link = link_of(leg);
    return link == NULL ? "removed" : link->name;
}

static void set_state(struct leg *leg, enum leg_state state)
{
    struct metrics_link *m = leg->metrics;
    bool is = state == LEG_BOUND;
    if (is != leg->in_window_gauge) {
        leg->in_window_gauge = is;
        (is ? metric_add : metric_sub)(&m->window_size, leg->conn.window.size);
    }
    leg->state = state;
}

/* --- connect and bind ----------------------------------------------------------------------------------- */

static void finish(struct leg *leg)
{
    struct worker *w = leg->conn.worker;
    timer_cancel(&leg->retry);
    leg->events->ended(leg);
    registry_remove(&w->legs, leg->index);
    free(leg);
}

static void wait_for_retry(struct leg *leg)
{
    const struct config_link *link = link_of(leg);
    struct worker *w = leg->conn.worker;
    set_state(leg, LEG_WAITING);
    uint64_t pause = link == NULL ? 1000000000ULL : link->reconnect_min;
    uint64_t most = link == NULL ? pause : link->reconnect_max;
    for (unsigned i = 1; i < leg->attempts && pause < most; i++) {
        pause *= 2;
    }
    pause = pause < most ? pause : most;
    /* between half and all of it, so that many legs do not come back in step */
    timer_set(&w->timers, &leg->retry, w->now + pause / 2 + worker_random(w, pause / 2 + 1));
}

static void attempt_failed(struct leg *leg)
{
    leg->attempts++;
    leg->tried = true;
    wait_for_retry(leg);
    leg->events->failed(leg);
}

static void connect_leg(struct leg *leg)
{
    struct worker *w = leg->conn.worker;
    const struct config_link *link = link_of(leg);
    if (link == NULL) { /* a reload has removed it */
        attempt_failed(leg);
        return;
    }
    struct smpp_session_limits limits = {.max_pdu_open = w->config->max_pdu_bound,
                                         .max_pdu_bound = w->config->max_pdu_bound,
                                         .enquire_link = link->enquire_link,
                                         .response = link->bind_timeout,
                                         .partial = w->config->partial_timeout};
    struct stream_target target = {.host = link->host,
                                   .port = link->port,
                                   .tls = w->bundle->link_tls[link->index],
                                   .tls_name = link->tls_name,
                                   .timeout_ms = link->connect_timeout / 1000000};
    conn_init(&leg->conn, w, &leg_conn_owner, SMPP_ROLE_ESME, &limits, link->window, link->response_timeout);
    leg->peer_unbinds = false;
    leg->owed = 0;
    metric_add(&leg->metrics->connects, 1);
    set_state(leg, LEG_CONNECTING);
    struct stream *stream = w->connect(&w->env, &target, &conn_stream_events, &leg->conn);
    if (stream == NULL) {
        metric_add(&leg->metrics->connect_failures, 1);
        attempt_failed(leg);
        return;
    }
    conn_attach(&leg->conn, stream);
}

static void on_retry(struct timer *timer, uint64_t now)
{
    (void)now;
    struct leg *leg = (struct leg *)((char *)timer - offsetof(struct leg, retry));
    if (leg->state == LEG_WAITING) {
        connect_leg(leg);
    } else if (leg->state == LEG_ENDING) {
        if (leg->conn.stream == NULL) {
            finish(leg);
        } else {
            conn_close(&leg->conn, "unbind_patience", false);
        }
    }
}

size_t leg_encode_bind(const struct leg_bind *bind, uint32_t bind_id, uint32_t sequence_number, uint8_t *pdu,
                       size_t cap)
{
    struct smpp_bind_fields fields = {.command_id = bind_id,
                                      .sequence_number = sequence_number,
                                      .system_id = bind->system_id,
                                      .password = bind->password,
                                      .system_type = bind->system_type,
                                      .interface_version = bind->interface_version,
                                      .addr_ton = bind->range_ton,
                                      .addr_npi = bind->range_npi,
                                      .address_range = bind->address_range};
    return bind->from_peer ? smpp_encode_bind(pdu, cap, &fields) : smpp_control_bind(pdu, cap, &fields);
}

static size_t encode_bind(struct leg *leg, uint8_t *pdu, size_t cap, uint32_t sequence)
{
    struct leg_bind bind = {.system_id = ""};
    return leg->events->bind_with(leg, &bind) ? leg_encode_bind(&bind, leg->bind_id, sequence, pdu, cap) : 0;
}

static void send_bind(struct conn *c)
{
    struct leg *leg = leg_of(c);
    uint8_t pdu[LEG_BIND_MAX];
    uint32_t sequence = 0;
    struct window_slot *slot = window_open(&c->window, true, c->worker->now, &sequence);
    size_t len = slot == NULL ? 0 : encode_bind(leg, pdu, sizeof pdu, sequence);
    if (len == 0) {
        conn_close(c, "bind_not_encoded", false);
        return;
    }
    slot->command_id = leg->bind_id;
    set_state(leg, LEG_BINDING);
    conn_send(c, pdu, len);
    OPENSSL_cleanse(pdu, sizeof pdu);
    conn_sent_bind(c, leg->bind_id, sequence);
    conn_watch(c);
    stream_read_start(c->stream);
}

SELDOM static void on_bind_response(struct leg *leg, const struct smpp_event *event)
{
    struct conn *c = &leg->conn;
    struct smpp_bind_resp_view view = {.sc_interface_version = -1};
    const struct config_link *link = link_of(leg);
    if (event->header.command_status != ESME_ROK || event->header.command_id == SMPP_GENERIC_NACK) {
        log_event(EVENT_LEG_REFUSED, LOG_TEXT("client", leg->name), LOG_TEXT("link", link_name(leg)),
                  LOG_INT("command_status", event->header.command_status));
        conn_close(c, "bind_refused", false);
        return;
    }
    (void)smpp_view_bind_resp(event->pdu, event->header.length, &view);
    if (link != NULL) {
        c->smpp.limits.response = link->response_timeout;
    }
    conn_bound(c, view.sc_interface_version < 0 ? 0x33 : (uint8_t)view.sc_interface_version);
    leg->attempts = 0;
    leg->tried = false;
    set_state(leg, LEG_BOUND);
    log_event(EVENT_LEG_BOUND, LOG_TEXT("client", leg->name), LOG_TEXT("link", link_name(leg)),
              LOG_TEXT("bind", smpp_command_name(leg->bind_id)), LOG_INT("worker", c->worker->number));
    leg->events->bound(leg);
}

struct leg *leg_new(struct worker *w, const struct config_link *link, uint32_t bind_id,
                    struct window_owner client, const struct backoff *backoff,
                    const struct leg_events *events)
{
    struct leg *leg = calloc(1, sizeof *leg);
    if (leg == NULL) {
        return NULL;
    }
    leg->events = events;
    leg->link = link->index;
    leg->carrier = link->carrier;
    leg->platform = link->platform;
    leg->metrics = metrics_link(w->metrics, link->index);
    leg->bind_id = bind_id;
    leg->client = client;
    leg->conn.worker = w;
    leg->retry.fire = on_retry;
    leg->state = LEG_WAITING;
    if (leg->metrics == NULL || !registry_add(&w->legs, leg, &leg->index, &leg->generation)) {
        free(leg);
        return NULL;
    }
    leg->attempts = backoff->failures;
    leg->tried = backoff->until > w->now + TRIED_AFTER;
    timer_set(&w->timers, &leg->retry,
              backoff->until > w->now ? backoff->until : w->now); /* not before this returns */
    return leg;
}

/* --- bound ---------------------------------------------------------------------------------------------- */

bool leg_forward(struct leg *leg, unsigned command, const uint8_t *pdu, uint32_t len,
                 struct window_owner owner, uint32_t owner_sequence, uint32_t cell)
{
    struct conn *c = &leg->conn;
    uint32_t sequence = 0;
    struct window_slot *slot = window_open(&c->window, false, c->worker->now, &sequence);
    if (slot == NULL) {
        return false;
    }
    slot->owner = owner;
    slot->owner_sequence = owner_sequence;
    slot->command_id = smpp_get32(pdu + 4);
    slot->cell = cell;
    slot->version = c->worker->version;
    metric_add(&leg->metrics->window_used, 1);
    conn_forward(c, command, pdu, len, sequence);
    if (c->window.used == 1) {
        conn_watch(c);
    }
    return true;
}

/* Once nothing is in flight, either way: the good-bye that is due. */
SELDOM static void say_goodbye(struct leg *leg)
{
    struct conn *c = &leg->conn;
    if (c->window.used > 0 || leg->owed > 0 || c->stream == NULL || c->closing) {
        return;
    }
    if (leg->peer_unbinds) {
        uint8_t pdu[SMPP_REFUSAL_MAX];
        conn_send(c, pdu, smpp_encode_refusal(pdu, SMPP_UNBIND, leg->unbind_sequence, ESME_ROK, false));
        conn_close(c, "smsc_unbound", true);
    } else if (leg->state == LEG_ENDING && c->smpp.state != SMPP_UNBINDING && !conn_unbind(c)) {
        conn_close(c, "ended", true);
    }
}

void leg_paid(struct leg *leg)
{
    leg->owed--;
    if (leg->owed == 0 && (leg->state == LEG_ENDING || leg->peer_unbinds)) {
        say_goodbye(leg);
    }
}

static void on_leg_response(struct leg *leg, const struct smpp_event *event, const struct window_slot *slot)
{
    struct worker *w = leg->conn.worker;
    if (slot == NULL) {
        metric_add(&leg->metrics->late_responses, 1);
        leg->events->response(leg, event, NULL);
        return;
    }
    if (slot->control) {
        if (smpp_is_bind(slot->command_id)) {
            on_bind_response(leg, event);
        } else if (slot->command_id == SMPP_UNBIND) {
            conn_close(&leg->conn, "unbound", false);
        }
        return;
    }
    metric_sub(&leg->metrics->window_used, 1);
    histogram_add(&leg->metrics->response_time, w->now - slot->sent);
    leg->events->response(leg, event, slot);
    if (leg->state == LEG_ENDING || leg->peer_unbinds) {
        say_goodbye(leg);
    } else {
        leg->events->ready(leg);
    }
}

static void on_leg_event(struct conn *c, const struct smpp_event *event, const struct window_slot *slot)
{
    struct leg *leg = leg_of(c);
    leg->used = c->worker->now_s;
    switch (event->kind) {
    case SMPP_EVENT_REQUEST: leg->events->request(leg, event); break;
    case SMPP_EVENT_RESPONSE: on_leg_response(leg, event, slot); break;
    case SMPP_EVENT_UNBIND:
        if (leg->peer_unbinds) { /* once more: the first is answered when nothing is in flight */
            conn_send(c, event->reply, event->reply_len);
            break;
        }
        leg->peer_unbinds = true;
        leg->unbind_sequence = event->header.sequence_number;
        say_goodbye(leg);
        break;
    default: break;
    }
}

static void settle(struct leg *leg, const struct window_slot *slot, bool timed_out)
{
    metric_sub(&leg->metrics->window_used, 1);
    metric_add(&leg->metrics->unknown_outcomes, 1);
    if (timed_out) {
        metric_add(&leg->metrics->timeouts, 1);
    }
    leg->events->unsettled(leg, slot, timed_out);
}

static void on_leg_expired(struct conn *c, const struct window_slot *slot)
{
    struct leg *leg = leg_of(c);
    settle(leg, slot, true);
    if (leg->state == LEG_ENDING || leg->peer_unbinds) {
        say_goodbye(leg);
    } else {
        leg->events->ready(leg);
    }
}

static void on_leg_writable(struct conn *c)
{
    leg_of(c)->events->ready(leg_of(c));
}

/* --- end ------------------------------------------------------------------------------------------------ */

void leg_end(struct leg *leg)
{
    struct worker *w = leg->conn.worker;
    if (leg->state == LEG_ENDING) {
        return;
    }
    bool bound = leg->state == LEG_BOUND;
    const struct config_link *link = link_of(leg);
    set_state(leg, LEG_ENDING);
    if (leg->conn.stream == NULL) {
        timer_set(&w->timers, &leg->retry,
                  w->now); /* freed in a turn of its own, not under the caller's feet */
        return;
    }
    if (!bound) {
        conn_close(&leg->conn, "ended", false);
        return;
    }
    timer_set(&w->timers, &leg->retry, w->now + 2 * (link == NULL ? 1000000000ULL : link->response_timeout));
    say_goodbye(leg);
}

static void count_end(struct leg *leg, enum leg_state state)
{
    if (state == LEG_CONNECTING) {
        metric_add(&leg->metrics->connect_failures, 1);
    } else if (state == LEG_BINDING) {
        metric_add(&leg->metrics->bind_failures, 1);
    } else if (state == LEG_BOUND) {
        metric_add(&leg->metrics->losses, 1);
    }
}

/* A new connection is a new requester: answers to requests of the old one must not go out on it. An entry was
 * just given back, so there is one to take. */
static void renumber(struct leg *leg)
{
    struct registry *legs = &leg->conn.worker->legs;
    registry_remove(legs, leg->index);
    (void)registry_add(legs, leg, &leg->index, &leg->generation);
}

static void on_leg_closed(struct conn *c, const char *why, const char *detail)
{
    struct leg *leg = leg_of(c);
    enum leg_state state = leg->state;
    struct window_slot slot;
    bool again =
        leg->attempts > 0 && state != LEG_BOUND; /* one line for a link that is down, not one an attempt */
    log_event(state == LEG_ENDING ? EVENT_LEG_ENDED
              : again             ? EVENT_LEG_RETRY
                                  : EVENT_LEG_CLOSED,
              LOG_TEXT("client", leg->name), LOG_TEXT("link", link_name(leg)), LOG_TEXT("why", why),
              LOG_TEXT("detail", detail), LOG_INT("unsettled", c->window.used));
    count_end(leg, state);
    if (state != LEG_ENDING) {
        set_state(leg, LEG_WAITING);
    }
    while (window_expire(&c->window, UINT64_MAX, &slot)) {
        if (!slot.control) {
            settle(leg, &slot, false);
        }
    }
    conn_forget(c);
    if (leg->state == LEG_ENDING) {
        finish(leg);
    } else {
        renumber(leg);
        attempt_failed(leg);
    }
}

static metric *leg_gauge(struct conn *c)
{
    return &leg_of(c)->metrics->sessions[metrics_bind_type(leg_of(c)->bind_id)][c->smpp.state];
}

static const struct conn_owner leg_conn_owner = {.side = SIDE_SMSC,
                                                 .event = on_leg_event,
                                                 .expired = on_leg_expired,
                                                 .writable = on_leg_writable,
                                                 .opened = send_bind,
                                                 .closed = on_leg_closed,
                                                 .gauge = leg_gauge};
