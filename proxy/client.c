#include "proxy/client.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/log.h"

#define SECOND 1000000000ULL

static const struct conn_owner client_conn_owner;

static struct client *client_of(struct conn *c)
{
    return (struct client *)c; /* conn is its first member */
}

/* --- accept --------------------------------------------------------------------------------------------- */

static struct smpp_session_limits open_limits(const struct config *config)
{
    return (struct smpp_session_limits){.max_pdu_open = config->max_pdu_open,
                                        .max_pdu_bound = config->max_pdu_bound,
                                        .session_init = config->session_init,
                                        .partial = config->partial_timeout};
}

/* Counts a session in; false, with nothing counted, where the process has enough of them. */
static bool count_in(struct worker *w)
{
    if (atomic_fetch_add(&w->shared->sessions, 1) >= w->config->max_sessions) {
        atomic_fetch_sub(&w->shared->sessions, 1);
        return false;
    }
    if (atomic_fetch_add(&w->shared->unbound, 1) >= w->config->max_unbound) {
        atomic_fetch_sub(&w->shared->unbound, 1);
        atomic_fetch_sub(&w->shared->sessions, 1);
        return false;
    }
    return true;
}

static void uncount(struct worker *w)
{
    atomic_fetch_sub(&w->shared->unbound, 1);
    atomic_fetch_sub(&w->shared->sessions, 1);
}

static void count_bound(struct client *client)
{
    struct shared *shared = client->conn.worker->shared;
    if (client->counted_unbound) {
        client->counted_unbound = false;
        atomic_fetch_sub(&shared->unbound, 1);
    }
    if (client->unbound_of_address) {
        client->unbound_of_address = false;
        visitors_bound(shared->visitors, client->address);
    }
}

static void count_out_session(struct client *client)
{
    struct shared *shared = client->conn.worker->shared;
    count_bound(client);
    if (client->has_account) {
        atomic_fetch_sub(&shared->binds[client->account_index % SHARED_CLIENTS_MAX], 1);
    }
    visitors_leave(shared->visitors, client->address);
    atomic_fetch_sub(&shared->sessions, 1);
}

static void client_free(struct client *client)
{
    if (client->password != NULL) {
        OPENSSL_cleanse(client->password, strlen(client->password));
    }
    free(client->password);
    free(client->system_type);
    free(client->address_range);
    free(client->legs);
    free(client->held);
    free(client);
}

static void on_hold_timer(struct timer *timer, uint64_t now)
{
    (void)now;
    struct client *client = (struct client *)((char *)timer - offsetof(struct client, hold_timer));
    client->events->timer(client);
}

static struct client *client_new(struct worker *w, const struct client_events *events)
{
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        return NULL;
    }
    struct smpp_session_limits limits = open_limits(w->config);
    conn_init(&client->conn, w, &client_conn_owner, SMPP_ROLE_SMSC, &limits, 1, w->config->session_init);
    client->events = events;
    client->hold_timer.fire = on_hold_timer;
    client->counted_unbound = true;
    if (!registry_add(&w->clients, client, &client->index, &client->generation)) {
        free(client);
        return NULL;
    }
    return client;
}

struct client *client_begin(struct worker *w, const struct client_events *events, int *error)
{
    *error = 0;
    if (w->draining || !count_in(w)) {
        metric_add(&w->metrics->accept_refused, 1);
        return NULL;
    }
    struct client *client = client_new(w, events);
    if (client == NULL) {
        *error = UV_ENOMEM;
        uncount(w);
    }
    return client;
}

void client_withdraw(struct client *client)
{
    struct worker *w = client->conn.worker;
    registry_remove(&w->clients, client->index);
    free(client);
    uncount(w);
}

/* Counts it in by its address, or closes it. */
static bool enters(struct client *client)
{
    struct worker *w = client->conn.worker;
    uint64_t address = visitors_address(stream_address(client->conn.stream));
    if (!visitors_enter(w->shared->visitors, address, w->config->max_of_address)) {
        metric_add(&w->metrics->accept_crowded, 1);
        conn_close(&client->conn, "too_many_of_address", false);
        return false;
    }
    client->address = address;
    client->unbound_of_address =
        visitors_enter_unbound(w->shared->visitors, address, w->config->max_unbound_of_address);
    if (!client->unbound_of_address) {
        metric_add(&w->metrics->accept_unbound, 1);
        conn_close(&client->conn, "too_many_unbound_of_address", false);
        return false;
    }
    if (client->secure &&
        !visitors_may_shake(w->shared->visitors, address, w->config->max_handshakes, w->now / SECOND)) {
        metric_add(&w->metrics->accept_handshakes, 1);
        conn_close(&client->conn, "too_many_handshakes_of_address", false);
        return false;
    }
    return true;
}

void client_attach(struct client *client, struct stream *stream)
{
    metric_add(&client->conn.worker->metrics->accepted, 1);
    conn_attach(&client->conn, stream);
    log_event(EVENT_CLIENT_CONNECTED, LOG_TEXT("peer", stream_peer(stream)));
    if (enters(client)) {
        stream_read_start(stream);
    }
}

bool client_accept(struct worker *w, uv_stream_t *server, struct ssl_ctx_st *tls,
                   const struct client_events *events, int *error)
{
    struct client *client = client_begin(w, events, error);
    if (client == NULL) {
        stream_refuse(server);
        return false;
    }
    struct stream *stream = stream_accept(&w->env, server, tls, w->config->session_init / 1000000,
                                          &conn_stream_events, &client->conn, error);
    if (stream == NULL) {
        client_withdraw(client);
        return false;
    }
    client->secure = tls != NULL;
    client_attach(client, stream);
    return true;
}

/* --- bind ----------------------------------------------------------------------------------------------- */

void client_refuse_bind(struct client *client, uint32_t command_status, const char *why)
{
    struct conn *c = &client->conn;
    if (c->stream == NULL || c->closing) {
        return;
    }
    struct metrics_worker *m = c->worker->metrics;
    metric_add(command_status == ESME_RINVPASWD ? &m->binds_credentials : &m->binds_refused, 1);
    log_event(EVENT_CLIENT_REFUSED, LOG_TEXT("client", client->name),
              LOG_TEXT("peer", stream_peer(c->stream)), LOG_TEXT("why", why),
              LOG_INT("command_status", command_status));
    uint8_t pdu[64];
    size_t len = smpp_encode_bind_resp(pdu, sizeof pdu, c->smpp.bind_id, c->smpp.bind_sequence,
                                       command_status, "", -1);
    conn_send(c, pdu, len);
    conn_close(c, why, true);
}

static unsigned bind_type_bit(uint32_t bind_id)
{
    return bind_id == SMPP_BIND_TRANSMITTER ? BIND_TRANSMITTER
           : bind_id == SMPP_BIND_RECEIVER  ? BIND_RECEIVER
                                            : BIND_TRANSCEIVER;
}

static char *copy_span(struct smpp_span span)
{
    return span.len == 0 ? NULL : strndup((const char *)span.p, span.len);
}

/* False without memory. */
static bool remember_bind(struct client *client, const struct smpp_bind_view *view)
{
    if (client->account != NULL) { /* an unknown system_id is not ours to write into logs */
        strncpy(client->name, client->account->system_id, CLIENT_NAME_MAX);
    }
    client->password = strndup((const char *)view->password.p, view->password.len);
    client->interface_version = view->interface_version;
    client->range_ton = view->range.ton;
    client->range_npi = view->range.npi;
    client->system_type = copy_span(view->system_type);
    client->address_range = copy_span(view->range.digits);
    return client->password != NULL && (client->system_type != NULL || view->system_type.len == 0) &&
           (client->address_range != NULL || view->range.digits.len == 0);
}

static uint64_t token_of(const struct client *client)
{
    return (uint64_t)client->generation << 32 | client->index;
}

static void on_verdict(struct client *client, enum auth_verdict verdict);

static struct visitors_pace pace_of(const struct config *config)
{
    return (struct visitors_pace){config->password_tries, config->password_pause, config->password_pause_max};
}

/* One that is remembered is right, whatever others have guessed at from here. */
static enum auth_verdict check_password(struct client *client, struct smpp_span password)
{
    struct worker *w = client->conn.worker;
    const struct visitors_pace pace = pace_of(w->config);
    const char *dummy = w->config->clients_count > 0 ? w->config->clients[0].password_hash : "";
    if (auth_remembers(w->auth, client->account, password.p, password.len)) {
        return AUTH_GOOD;
    }
    if (!visitors_may_try(w->shared->visitors, client->pair, &pace, w->now)) {
        return AUTH_TOO_SOON;
    }
    return auth_check(w->auth, client->account, dummy, password.p, password.len, token_of(client),
                      client->address);
}

SELDOM static void on_bind(struct client *client, const struct smpp_event *event)
{
    struct worker *w = client->conn.worker;
    struct smpp_bind_view view;
    if (!smpp_view_bind(event->pdu, event->header.length, &view)) {
        client_refuse_bind(client, ESME_RINVCMDLEN, "bind_unreadable");
        return;
    }
    client->conn.smpp.limits.session_init = 0; /* from here on it is we who are awaited */
    if (w->draining) {
        client_refuse_bind(client, ESME_RBINDFAIL, "shutdown");
        return;
    }
    client->account = config_client(w->config, view.system_id.p, view.system_id.len);
    if (!remember_bind(client, &view)) {
        client_refuse_bind(client, ESME_RBINDFAIL, "no_memory");
        return;
    }
    client->pair = visitors_pair(w->shared->visitors, client->address, view.system_id.p, view.system_id.len);
    on_verdict(client, check_password(client, view.password));
}

static bool count_bind(struct client *client)
{
    _Atomic unsigned *binds =
        &client->conn.worker->shared->binds[client->account->index % SHARED_CLIENTS_MAX];
    if (atomic_fetch_add(binds, 1) >= client->account->max_binds) {
        atomic_fetch_sub(binds, 1);
        return false;
    }
    client->account_index = client->account->index;
    client->has_account = true;
    return true;
}

static struct smpp_session_limits bound_limits(const struct config *config,
                                               const struct config_client *account)
{
    struct smpp_session_limits limits = open_limits(config);
    limits.session_init = 0; /* from the bind on it is we who are awaited */
    limits.enquire_link = account->enquire_link;
    limits.response = account->response_timeout;
    limits.inactivity = account->inactivity;
    return limits;
}

/* What the account says of a session. */
static void use_account(struct client *client)
{
    const struct config_client *account = client->account;
    struct conn *c = &client->conn;
    c->smpp.limits = bound_limits(c->worker->config, account);
    c->smpp.with_nul = account->nul_in_refusal;
    c->response_timeout = account->response_timeout;
    client->unknown_outcome = account->unknown_outcome;
    conn_rearm(c);
}

static void on_good_password(struct client *client)
{
    struct conn *c = &client->conn;
    const struct config_client *account = client->account;
    if (!config_client_allows(account, stream_address(c->stream))) {
        client_refuse_bind(client, ESME_RBINDFAIL, "address_not_allowed");
    } else if ((account->bind_types & bind_type_bit(c->smpp.bind_id)) == 0) {
        client_refuse_bind(client, ESME_RBINDFAIL, "bind_type_not_allowed");
    } else if (!count_bind(client)) {
        client_refuse_bind(client, ESME_RBINDFAIL, "too_many_binds");
    } else {
        use_account(client);
        window_init(&c->window, account->mo_window);
        client->id_key = message_index_client(c->worker->ids, account->system_id);
        client->events->bind(client);
    }
}

static void on_verdict(struct client *client, enum auth_verdict verdict)
{
    struct worker *w = client->conn.worker;
    const struct visitors_pace pace = pace_of(w->config);
    switch (verdict) {
    case AUTH_GOOD:
        visitors_right(w->shared->visitors, client->pair);
        on_good_password(client);
        break;
    case AUTH_BAD:
        visitors_wrong(w->shared->visitors, client->pair, &pace, w->now);
        client_refuse_bind(client, ESME_RINVPASWD, "credentials");
        break;
    case AUTH_TOO_SOON:
        metric_add(&w->metrics->binds_too_soon, 1);
        client_refuse_bind(client, ESME_RBINDFAIL, "wrong_passwords_before");
        break;
    case AUTH_BUSY:
        metric_add(&w->metrics->auth_busy, 1);
        client_refuse_bind(client, ESME_RBINDFAIL, "auth_queue_full");
        break;
    case AUTH_PENDING: break;
    }
}

void client_authenticated(struct worker *w, uint64_t token, enum auth_verdict verdict)
{
    struct client *client = registry_get(&w->clients, (uint32_t)token, (uint32_t)(token >> 32));
    if (client == NULL || client->conn.closing || client->conn.stream == NULL) {
        return;
    }
    if (client->account != NULL) { /* a reload may have come between */
        client->account = config_client(w->config, (const uint8_t *)client->account->system_id,
                                        strlen(client->account->system_id));
    }
    on_verdict(client, client->account == NULL && verdict == AUTH_GOOD ? AUTH_BAD : verdict);
}

/* --- who receives --------------------------------------------------------------------------------------- */

static bool make_room_for_receiver(struct worker *w, unsigned index)
{
    if (index < w->receivers_count) {
        return true;
    }
    struct client **receivers = realloc(w->receivers, (index + 1) * sizeof(struct client *));
    if (receivers == NULL) {
        return false;
    }
    memset(receivers + w->receivers_count, 0, (index + 1 - w->receivers_count) * sizeof(struct client *));
    w->receivers = receivers;
    w->receivers_count = index + 1;
    return true;
}

/* Without memory it receives what its own legs bring, and nothing of others. */
static void list_receiver(struct client *client)
{
    struct worker *w = client->conn.worker;
    if (client->conn.smpp.state != SMPP_BOUND_TX && make_room_for_receiver(w, client->account_index)) {
        client->next_receiver = w->receivers[client->account_index];
        w->receivers[client->account_index] = client;
        shared_receives(w->shared, client->account_index, w->number, true);
    }
}

static void unlist_receiver(struct client *client)
{
    struct worker *w = client->conn.worker;
    if (!client->has_account || client->account_index >= w->receivers_count) {
        return;
    }
    struct client **place = &w->receivers[client->account_index];
    while (*place != NULL && *place != client) {
        place = &(*place)->next_receiver;
    }
    if (*place != NULL) {
        *place = client->next_receiver;
        if (w->receivers[client->account_index] == NULL) {
            shared_receives(w->shared, client->account_index, w->number, false);
        }
    }
}

struct client *client_receiver(const struct worker *w, const struct config_client *account)
{
    struct client *client = account->index < w->receivers_count ? w->receivers[account->index] : NULL;
    while (client != NULL && (!client_may_receive(client) || window_full(&client->conn.window))) {
        client = client->next_receiver;
    }
    return client;
}

void client_accept_bind(struct client *client)
{
    struct conn *c = &client->conn;
    if (c->stream == NULL || c->closing || c->smpp.state != SMPP_BINDING) {
        return;
    }
    uint8_t pdu[128];
    size_t len = smpp_encode_bind_resp(pdu, sizeof pdu, c->smpp.bind_id, c->smpp.bind_sequence, ESME_ROK,
                                       client->account->system_id,
                                       smpp_sc_interface_version(client->interface_version));
    conn_send(c, pdu, len);
    conn_bound(c, client->interface_version);
    list_receiver(client);
    count_bound(client);
    metric_add(&c->worker->metrics->binds_accepted, 1);
    log_event(EVENT_CLIENT_BOUND, LOG_TEXT("client", client->name), LOG_TEXT("peer", stream_peer(c->stream)),
              LOG_TEXT("bind", smpp_command_name(c->smpp.bind_id)), LOG_INT("worker", c->worker->number));
}

/* --- bound ---------------------------------------------------------------------------------------------- */

/* Once nothing of the client's is in flight: the good-bye that is due. */
SELDOM static void say_goodbye(struct client *client)
{
    struct conn *c = &client->conn;
    if (client->in_flight > 0 || c->stream == NULL || c->closing) {
        return;
    }
    if (client->unbind_wanted) {
        uint8_t pdu[SMPP_REFUSAL_MAX];
        conn_send(c, pdu, smpp_encode_refusal(pdu, SMPP_UNBIND, client->unbind_sequence, ESME_ROK, false));
        conn_close(c, "unbound", true);
    } else if (client->ending && c->window.used == 0 && c->smpp.state != SMPP_UNBINDING && !conn_unbind(c)) {
        conn_close(c, "ended", true);
    }
}

SELDOM static void check_window(struct client *client)
{
    if (client->account == NULL) {
        return;
    }
    if (!client->ending && (client->blocked || client->in_flight > client->account->window)) {
        conn_pause(&client->conn);
    } else if (client->conn.paused) {
        conn_resume(&client->conn);
    }
}

void client_block(struct client *client, bool blocked)
{
    client->blocked += blocked ? 1U : -1U;
    check_window(client);
}

void client_answered(struct client *client)
{
    client->in_flight--;
    if (client->conn.paused) {
        check_window(client);
    }
    if (client->in_flight == 0 && (client->unbind_wanted || client->ending)) {
        say_goodbye(client);
    }
}

void client_refuse(struct client *client, uint32_t command_id, uint32_t sequence_number,
                   uint32_t command_status, enum refused cause)
{
    metric_add(&client->conn.worker->metrics->refused[cause], 1);
    if (smpp_has_response(command_id)) {
        conn_refuse(&client->conn, command_id, sequence_number, command_status);
    }
    client_answered(client);
}

static void on_request(struct client *client, const struct smpp_event *event)
{
    client->in_flight++;
    if (client->ending || client->unbind_wanted) {
        client_refuse(client, event->header.command_id, event->header.sequence_number, ESME_RMSGQFUL,
                      REFUSED_SHUTDOWN);
        conn_refused_at_once(&client->conn);
        return;
    }
    client->events->request(client, event);
    if (client->in_flight > client->account->window) { /* a client that keeps to its window is always read */
        check_window(client);
    }
}

static void on_client_event(struct conn *c, const struct smpp_event *event, const struct window_slot *slot)
{
    struct client *client = client_of(c);
    switch (event->kind) {
    case SMPP_EVENT_BIND: on_bind(client, event); break;
    case SMPP_EVENT_REQUEST: on_request(client, event); break;
    case SMPP_EVENT_RESPONSE:
        if (slot == NULL) {
            metric_add(&c->worker->metrics->stray_responses, 1);
        } else if (slot->command_id == SMPP_UNBIND) {
            conn_close(c, "unbound", true);
        } else {
            client->events->response(client, event, slot);
            say_goodbye(client);
        }
        break;
    case SMPP_EVENT_UNBIND:
        if (client->unbind_wanted) { /* once more: the first is answered when nothing is in flight */
            conn_send(c, event->reply, event->reply_len);
            break;
        }
        client->unbind_wanted = true;
        client->unbind_sequence = event->header.sequence_number;
        say_goodbye(client);
        break;
    default: break;
    }
}

static void on_client_expired(struct conn *c, const struct window_slot *slot)
{
    client_of(c)->events->expired(client_of(c), slot);
    say_goodbye(client_of(c));
}

static void on_client_writable(struct conn *c)
{
    (void)c;
}

static void on_client_opened(struct conn *c)
{
    (void)c; /* TLS handshake done; the session-init timer runs on until the bind */
}

void client_end(struct client *client)
{
    client->ending = true;
    if (client->conn.paused) { /* answers of the client must still be read */
        conn_resume(&client->conn);
    }
    if (client->conn.smpp.state == SMPP_BINDING) {
        client_refuse_bind(client, ESME_RBINDFAIL, "shutdown");
        return;
    }
    if (!conn_is_bound(&client->conn) && client->conn.smpp.state != SMPP_UNBINDING) {
        conn_close(&client->conn, "shutdown", false);
        return;
    }
    say_goodbye(client);
}

void client_follow_config(struct client *client)
{
    const struct config *config = client->conn.worker->config;
    if (client->account == NULL) {
        return;
    }
    const struct config_client *account =
        client->account_index < config->client_at_count ? config->client_at[client->account_index] : NULL;
    if (!client->has_account) { /* its password is being checked; looked up again after that */
        account = config_client(config, (const uint8_t *)client->account->system_id,
                                strlen(client->account->system_id));
    }
    client->account = account;
    if (account == NULL) {
        client->ending = true;
        return;
    }
    if (client->has_account) {
        use_account(client);
    }
}

/* --- end ------------------------------------------------------------------------------------------------ */

static void on_client_closed(struct conn *c, const char *why, const char *detail)
{
    struct client *client = client_of(c);
    struct worker *w = c->worker;
    struct window_slot slot;
    log_event(EVENT_CLIENT_CLOSED, LOG_TEXT("client", client->name), LOG_TEXT("why", why),
              LOG_TEXT("detail", detail), LOG_INT("unanswered", client->in_flight));
    while (window_expire(&c->window, UINT64_MAX, &slot)) {
        if (!slot.control) {
            client->events->abandoned(client, &slot);
        }
    }
    client->events->closed(client);
    timer_cancel(&client->hold_timer);
    unlist_receiver(client);
    conn_forget(c);
    registry_remove(&w->clients, client->index);
    count_out_session(client);
    client_free(client);
}

static metric *client_gauge(struct conn *c)
{
    return &c->worker->metrics->sessions[metrics_bind_type(c->smpp.bind_id)][c->smpp.state];
}

static const struct conn_owner client_conn_owner = {.side = SIDE_CLIENT,
                                                    .event = on_client_event,
                                                    .expired = on_client_expired,
                                                    .writable = on_client_writable,
                                                    .opened = on_client_opened,
                                                    .closed = on_client_closed,
                                                    .gauge = client_gauge};
