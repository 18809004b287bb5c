#include "proxy/forward.h"

#include "proxy/choice.h"
#include "proxy/mo.h"
#include "proxy/waiting.h"
#include "proxy/way.h"
#include "smpp/receipt.h"

static const struct leg_events forward_leg_events;

/* --- bind ----------------------------------------------------------------------------------------------- */

/* Answers a bind that waits, if what its legs have come to allows it. */
static void answer_bind(struct client *client)
{
    if (client->conn.smpp.state != SMPP_BINDING || client->account == NULL || !client->has_account) {
        return;
    }
    struct legs_count legs = legs_count(client);
    bool settled = legs.bound + legs.tried >= legs.all;
    bool all = client->account->bind_answer == BIND_ANSWER_ALL;
    if (legs.bound > 0 && (!all || settled)) {
        client_accept_bind(client);
    } else if (settled) {
        client_refuse_bind(client, ESME_RBINDFAIL, "no_leg_could_be_bound");
    }
}

/* Has the legs that the client needs, and answers a bind that waits for none of them (any more). */
static void follow_legs(struct client *client)
{
    unsigned needed = legs_review(client);
    if (needed == 0 || client->account->bind_answer == BIND_ANSWER_ONCE) {
        client_accept_bind(client);
    } else {
        answer_bind(client); /* without memory for any leg there is nothing to wait for */
    }
}

static void on_client_bind(struct client *client)
{
    struct worker *w = client->conn.worker;
    if (w->table == NULL) {
        client_refuse_bind(client, ESME_RBINDFAIL, "no_routing_table_yet");
        return;
    }
    /* legs of sessions that have gone live on until they are unbound: a client that comes and goes must not
     * pile them up */
    unsigned most = client->account->max_binds * (unsigned)w->config->links_count;
    if (shared_orphans(w->shared, client->account_index, 0) >= most) {
        client_refuse_bind(client, ESME_RBINDFAIL, "too_many_legs_still_end");
        return;
    }
    client->leg_events = &forward_leg_events;
    follow_legs(client);
}

/* --- MT: from a client to a leg ------------------------------------------------------------------------- */

/* A part that follows its first part need not wait behind those that go by the route: they go elsewhere. */
static void go(struct client *client, struct subject *s)
{
    struct way way = way_find(client, s);
    if (way.kind == WAY_REFUSE) {
        way_refuse(client, s, way.status, way.cause);
    } else if (way.kind == WAY_SEND && (way.followed || !waiting_has(client, s))) {
        way_send(client, s, &way);
    } else {
        waiting_add(client, s, &way);
    }
}

/* Sets shortcode and carrier, or refuses. */
static bool choose(struct client *client, struct subject *s, const struct smpp_address *source,
                   const struct smpp_address *dest)
{
    s->shortcode = (const char *)source->digits.p;
    s->shortcode_len = source->digits.len;
    if (!config_client_owns(client->account, source->digits.p, source->digits.len)) {
        way_refuse(client, s, ESME_RINVSRCADR, REFUSED_NOT_OWNER);
        return false;
    }
    s->carrier = choice_of_message(client, s, dest);
    if (s->carrier == NAME_NONE) {
        way_refuse(client, s, ESME_RINVDSTADR, REFUSED_NO_CARRIER);
        return false;
    }
    return true;
}

/* Parts of one message follow the first. */
SELDOM static void look_for_parts(const struct client *client, struct subject *s,
                                  const struct smpp_address *source, const struct smpp_address *dest)
{
    const struct multiparts *parts = client->conn.worker->shared->multiparts;
    struct smpp_part part;
    if (parts != NULL && smpp_view_part(s->pdu, s->len, &part)) {
        s->part = multipart_of(parts, client->account_index, source->digits, dest->digits, &part);
    }
}

IN_ONE_PIECE static void submit(struct client *client, struct subject *s)
{
    struct smpp_address source;
    struct smpp_address dest;
    if (!smpp_view_addresses(s->pdu, s->len, &source, &dest)) {
        way_refuse(client, s, ESME_RINVCMDLEN, REFUSED_MALFORMED);
    } else if (choose(client, s, &source, &dest)) {
        if (smpp_may_be_part(s->pdu, s->len, s->command_id, &dest)) {
            look_for_parts(client, s, &source, &dest);
        }
        s->wants_receipt = smpp_wants_receipt(s->pdu, s->len, s->command_id, &dest);
        go(client, s);
    }
}

SELDOM static void submit_multi(struct client *client, struct subject *s)
{
    struct smpp_multi_view view;
    enum smpp_multi_verdict end = SMPP_MULTI_BAD;
    bool mixed = false;
    if (smpp_view_multi(s->pdu, s->len, &view)) {
        s->carrier = choice_of_multi(client, s, &view, &end, &mixed);
    }
    if (end == SMPP_MULTI_BAD) {
        way_refuse(client, s, ESME_RINVCMDLEN, REFUSED_MALFORMED);
        return;
    }
    s->shortcode = (const char *)view.source.digits.p;
    s->shortcode_len = view.source.digits.len;
    if (!config_client_owns(client->account, view.source.digits.p, view.source.digits.len)) {
        way_refuse(client, s, ESME_RINVSRCADR, REFUSED_NOT_OWNER);
    } else if (mixed) {
        way_refuse(client, s, ESME_RSUBMITFAIL, REFUSED_MIXED_MULTI);
    } else if (s->carrier == NAME_NONE) {
        way_refuse(client, s, ESME_RINVDSTADR, REFUSED_NO_CARRIER);
    } else {
        go(client, s);
    }
}

static uint32_t unknown_id_status(uint32_t command_id)
{
    return command_id == SMPP_QUERY_SM    ? ESME_RQUERYFAIL
           : command_id == SMPP_CANCEL_SM ? ESME_RCANCELFAIL
                                          : ESME_RREPLACEFAIL;
}

/* query_sm, cancel_sm, replace_sm: to the link that accepted the message. */
SELDOM static void ask_about(struct client *client, struct subject *s)
{
    struct worker *w = client->conn.worker;
    struct smpp_about_view view;
    if (!smpp_view_about(s->pdu, s->len, &view)) {
        way_refuse(client, s, ESME_RINVCMDLEN, REFUSED_MALFORMED);
        return;
    }
    message_index_settle(&w->ids_put);
    int number = message_index_find(w->ids, client->id_key, view.message_id.p, view.message_id.len, w->now_s);
    s->link = bundle_link_of_number(w->bundle, number);
    if (s->link < 0) {
        metric_add(&w->metrics->query_unknown, 1);
        way_refuse(client, s, unknown_id_status(s->command_id), REFUSED_UNKNOWN_ID);
        return;
    }
    s->shortcode = (const char *)view.source.digits.p;
    s->shortcode_len = view.source.digits.len;
    s->carrier = w->config->link_at[s->link]->carrier;
    go(client, s);
}

static void on_client_request(struct client *client, const struct smpp_event *event)
{
    struct subject s = {.pdu = event->pdu,
                        .len = event->header.length,
                        .command_id = event->header.command_id,
                        .sequence_number = event->header.sequence_number,
                        .command = event->command,
                        .link = -1};
    switch (s.command_id) {
    case SMPP_SUBMIT_SM:
    case SMPP_DATA_SM: submit(client, &s); break;
    case SMPP_SUBMIT_MULTI: submit_multi(client, &s); break;
    case SMPP_QUERY_SM:
    case SMPP_CANCEL_SM:
    case SMPP_REPLACE_SM: ask_about(client, &s); break;
    default: way_refuse(client, &s, ESME_RINVCMDID, REFUSED_COMMAND); break;
    }
}

static bool carries_id(uint32_t command_id)
{
    return command_id == SMPP_SUBMIT_SM || command_id == SMPP_DATA_SM || command_id == SMPP_SUBMIT_MULTI;
}

SELDOM static void part_accepted(const struct leg *leg, const struct window_slot *slot)
{
    multiparts_accepted(leg->conn.worker->shared->multiparts, slot->part);
}

static void remember_id(const struct leg *leg, const struct client *client, const struct smpp_event *event)
{
    struct worker *w = leg->conn.worker;
    struct smpp_span id;
    if (smpp_view_response_id(event->pdu, event->header.length, &id) && id.len > 0) {
        message_index_put(&w->ids_put, client->id_key, id.p, id.len, w->bundle->link_number[leg->link],
                          w->now_s);
    }
}

IN_ONE_PIECE static void on_leg_response(struct leg *leg, const struct smpp_event *event,
                                         const struct window_slot *slot)
{
    struct worker *w = leg->conn.worker;
    struct client *client = slot == NULL ? NULL : client_find(w, slot->owner);
    if (slot != NULL) {
        traffic_answered(&w->traffic, slot->cell, leg->platform, event->header.command_status, w->now);
    }
    if (client == NULL || client->conn.stream == NULL) {
        metric_add(&w->metrics->responses_orphaned, 1);
        return;
    }
    if (event->header.command_status == ESME_ROK && carries_id(slot->command_id)) {
        remember_id(leg, client, event);
        if (slot->part != 0) {
            part_accepted(leg, slot);
        }
    }
    conn_forward(&client->conn, event->command, event->pdu, event->header.length, slot->owner_sequence);
    client_answered(client);
}

/* The outcome of a request is unknown: said so to the client, never sent again. */
static void on_leg_unsettled(struct leg *leg, const struct window_slot *slot, bool timed_out)
{
    struct client *client = client_find(leg->conn.worker, slot->owner);
    traffic_unknown(&leg->conn.worker->traffic, slot->cell, leg->platform);
    if (client != NULL && client->conn.stream != NULL) {
        client_refuse(client, slot->command_id, slot->owner_sequence, client->unknown_outcome,
                      timed_out ? REFUSED_TIMEOUT : REFUSED_LEG_LOST);
    }
}

static void on_leg_ready(struct leg *leg)
{
    struct client *client = client_find(leg->conn.worker, leg->client);
    if (client != NULL) {
        waiting_look_at(client, leg, true);
    }
}

/* --- beginnings and ends -------------------------------------------------------------------------------- */

static void on_client_timer(struct client *client)
{
    if (client->account != NULL) {
        waiting_look(client);
    }
}

static void on_client_closed(struct client *client)
{
    waiting_drop(client);
    legs_abandon(client);
}

static void on_leg_bound(struct leg *leg)
{
    struct client *client = client_find(leg->conn.worker, leg->client);
    if (client != NULL) {
        backoff_clear(&leg->conn.worker->backoffs, client->account_index, leg->link);
        answer_bind(client);
        on_leg_ready(leg);
    }
}

static void on_leg_failed(struct leg *leg)
{
    struct client *client = client_find(leg->conn.worker, leg->client);
    struct backoff backoff = {.failures = leg->attempts, .until = leg->retry.due};
    if (client != NULL) {
        backoff_note(&leg->conn.worker->backoffs, client->account_index, leg->link, backoff);
        answer_bind(client);
        /* what waits for the leg has less time than behind a full window */
        waiting_look_at(client, leg, false);
    }
}

static const struct leg_events forward_leg_events = {.bind_with = legs_bind_with,
                                                     .bound = on_leg_bound,
                                                     .failed = on_leg_failed,
                                                     .request = mo_request,
                                                     .response = on_leg_response,
                                                     .unsettled = on_leg_unsettled,
                                                     .ready = on_leg_ready,
                                                     .ended = legs_forget};

const struct client_events forward_client_events = {.bind = on_client_bind,
                                                    .request = on_client_request,
                                                    .response = mo_answered,
                                                    .expired = mo_expired,
                                                    .abandoned = mo_abandoned,
                                                    .closed = on_client_closed,
                                                    .timer = on_client_timer};

/* --- changes from outside ------------------------------------------------------------------------------- */

/* Calls for every client that has bound or is binding. The registry may grow meanwhile; clients are not
 * freed. */
static void each_client(struct worker *w, void (*call)(struct client *client))
{
    for (uint32_t i = 0; i < w->clients.capacity; i++) {
        struct client *client = registry_at(&w->clients, i);
        if (client != NULL && client->conn.stream != NULL) {
            call(client);
        }
    }
}

static void follow_table(struct client *client)
{
    if (client->account != NULL && client->has_account && !client->ending && !client->conn.closing) {
        follow_legs(client);
        waiting_look(client);
    }
}

void forward_follow_table(struct worker *w)
{
    each_client(w, follow_table);
}

static void follow_config(struct client *client)
{
    client_follow_config(client);
    if (client->ending) {
        waiting_refuse(client);
        client_end(client);
    } else {
        follow_table(client);
    }
}

void forward_follow_config(struct worker *w)
{
    each_client(w, follow_config);
}

void forward_review(struct worker *w)
{
    w->linger_end = UINT64_MAX;
    each_client(w, follow_table);
}

void forward_release(struct worker *w)
{
    each_client(w, on_client_timer);
}

void forward_withdraw(struct worker *w)
{
    for (uint32_t i = 0; i < w->legs.capacity; i++) {
        struct leg *leg = registry_at(&w->legs, i);
        if (leg != NULL && leg->conn.window.used > 0 && conn_holds_older(&leg->conn, UINT64_MAX)) {
            conn_close(&leg->conn, "fenced", false);
        }
    }
}

struct legs_released forward_release_legs(struct worker *w, unsigned link, int client)
{
    struct legs_released sum = {0, 0};
    released_note(&w->released, client, link, w->now_s);
    for (uint32_t i = 0; i < w->clients.capacity; i++) {
        struct client *its = registry_at(&w->clients, i);
        if (its != NULL && its->account != NULL && its->has_account &&
            (client == RELEASED_EVERY_CLIENT || its->account_index == (unsigned)client)) {
            legs_release(its, link, &sum);
        }
    }
    return sum;
}

static void end_client(struct client *client)
{
    waiting_refuse(client);
    client_end(client);
}

void forward_end_all(struct worker *w)
{
    w->draining = true;
    each_client(w, end_client);
}

const char *forward_holds_older(const struct worker *w, uint64_t version)
{
    for (uint32_t i = 0; i < w->legs.capacity; i++) {
        const struct leg *leg = registry_at(&w->legs, i);
        if (leg != NULL && conn_holds_older(&leg->conn, version)) {
            return leg->link < w->config->link_at_count && w->config->link_at[leg->link] != NULL
                       ? w->config->link_at[leg->link]->name
                       : "removed";
        }
    }
    return NULL;
}

struct settled forward_settled(const struct worker *w)
{
    struct settled settled = settled_begin(w->version);
    for (uint32_t i = 0; i < w->legs.capacity; i++) {
        struct leg *leg = registry_at(&w->legs, i);
        uint64_t version = 0;
        if (leg != NULL && window_oldest_version(&leg->conn.window, &version)) {
            settled_late(&settled, leg->carrier, leg->platform, version);
        }
    }
    return settled;
}
