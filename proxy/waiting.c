#include "proxy/waiting.h"

#include <stdlib.h>
#include <string.h>

static struct subject subject_of(const struct held *held)
{
    uint32_t command_id = smpp_get32(held->pdu + 4);
    return (struct subject){.pdu = held->pdu,
                            .len = held->len,
                            .command_id = command_id,
                            .command = (uint8_t)smpp_command_index(command_id),
                            .sequence_number = smpp_get32(held->pdu + 12),
                            .shortcode = (const char *)held->pdu + held->source_at,
                            .shortcode_len = held->source_len,
                            .carrier = held->carrier,
                            .link = held->link,
                            .part = held->part,
                            .wants_receipt = held->wants_receipt};
}

static struct hold_queue *queue_of(struct client *client, uint8_t carrier)
{
    if (client->held == NULL) {
        client->held = calloc(NAMES_MAX, sizeof *client->held);
    }
    return client->held == NULL ? NULL : &client->held[carrier];
}

/* How long a request may wait: for room in a bound leg's window as long as an answer may take, else for the
 * hold budget. */
static uint64_t budget_of(const struct client *client, const struct way *way)
{
    return way->leg != NULL && leg_is_bound(way->leg) ? way->leg->conn.response_timeout
                                                      : client->account->hold_budget;
}

static void arm_hold_timer(struct client *client, uint64_t due)
{
    timer_set_earlier(&client->conn.worker->timers, &client->hold_timer, due);
}

static enum wait_reason reason_of(const struct way *way)
{
    if (way->leg == NULL) {
        return way->cause == REFUSED_FENCED ? WAIT_FENCE : WAIT_ROUTE;
    }
    return leg_is_bound(way->leg) ? WAIT_WINDOW : WAIT_LEG;
}

static void count_outcome(struct worker *w, unsigned reason, enum wait_outcome outcome)
{
    metric_add(&w->metrics->waited[reason][outcome], 1);
}

static void uncount_held(struct client *client, const struct held *held, enum wait_outcome outcome)
{
    struct worker *w = client->conn.worker;
    client->held_count--;
    client->held_bytes -= held->len;
    shared_waited(w->shared, held->len);
    metric_sub(&w->metrics->waiting_messages, 1);
    metric_sub(&w->metrics->waiting_bytes, held->len);
    count_outcome(w, held->reason, outcome);
}

/* Into the queue; there is time and room. False without memory. */
static bool keep(struct client *client, struct hold_queue *queue, const struct subject *s,
                 const struct way *way)
{
    struct worker *w = client->conn.worker;
    struct held *held = hold_add(&w->held, queue, s->pdu, s->len);
    if (held == NULL) {
        return false;
    }
    held->since = w->now;
    held->carrier = s->carrier;
    held->reason = (uint8_t)reason_of(way);
    held->link = s->link;
    held->part = s->part;
    held->wants_receipt = s->wants_receipt;
    traffic_waits(s->cell);
    held->source_at = (uint32_t)((const uint8_t *)s->shortcode - s->pdu);
    held->source_len = s->shortcode_len;
    client->held_count++;
    client->held_bytes += s->len;
    metric_add(&w->metrics->waiting_messages, 1);
    metric_add(&w->metrics->waiting_bytes, s->len);
    arm_hold_timer(client, w->now + budget_of(client, way));
    return true;
}

/* What a request that cannot be kept back is refused for. */
static void refuse_to_keep(struct client *client, const struct subject *s, const struct way *way,
                           enum wait_outcome outcome, enum refused cause)
{
    count_outcome(client->conn.worker, reason_of(way), outcome);
    way_refuse(client, s, client->account->hold_refusal, cause);
}

/* Is there room in the queue, in the session and in the process? Counts the request in the latter if so. */
static bool has_room(struct client *client, const struct hold_queue *queue, const struct subject *s,
                     const struct way *way)
{
    struct worker *w = client->conn.worker;
    const struct config_client *account = client->account;
    bool full_window = reason_of(way) == WAIT_WINDOW;
    /* one beyond the limit still comes in when reading stops there */
    if (queue->count >= account->wait_count + full_window ||
        client->held_bytes + s->len > account->wait_bytes) {
        refuse_to_keep(client, s, way, WAITED_FULL, REFUSED_WAIT_FULL);
        return false;
    }
    if (!shared_wait(w->shared, s->len, w->config->max_waiting, w->config->max_waiting_bytes)) {
        refuse_to_keep(client, s, way, WAITED_FULL_ALL, REFUSED_WAIT_FULL_ALL);
        return false;
    }
    return true;
}

/* What waits for a window is the carrier's slowness: beyond the limit, what comes next waits in the client. */
static void note_full_window(struct client *client, struct hold_queue *queue, struct leg *leg)
{
    metric_add(&leg->metrics->window_full, 1);
    if (queue->count > client->account->wait_count && !queue->blocks) {
        queue->blocks = true;
        client_block(client, true);
    }
}

void waiting_add(struct client *client, const struct subject *s, const struct way *way)
{
    struct hold_queue *queue = queue_of(client, s->carrier);
    bool full_window = reason_of(way) == WAIT_WINDOW;
    if (queue == NULL) {
        way_refuse(client, s, ESME_RSYSERR, REFUSED_MEMORY);
    } else if (!full_window && client->account->hold_budget == 0) {
        refuse_to_keep(client, s, way, WAITED_EXPIRED, way->cause);
    } else if (!has_room(client, queue, s, way)) {
        return; /* refused */
    } else if (!keep(client, queue, s, way)) {
        shared_waited(client->conn.worker->shared, s->len);
        way_refuse(client, s, ESME_RSYSERR, REFUSED_MEMORY);
    } else if (full_window) {
        note_full_window(client, queue, way->leg);
    }
}

static bool same_route(const struct held *held, const struct subject *s)
{
    return held->source_len == s->shortcode_len && held->link == s->link &&
           memcmp(held->pdu + held->source_at, s->shortcode, s->shortcode_len) == 0;
}

bool waiting_has(const struct client *client, const struct subject *s)
{
    if (client->held_count == 0 || client->held == NULL) {
        return false;
    }
    for (const struct held *held = client->held[s->carrier].first; held != NULL; held = held->next) {
        if (same_route(held, s)) {
            return true;
        }
    }
    return false;
}

/* What a way that is none says of a request that waited for it. */
static enum wait_outcome outcome_of(const struct way *way)
{
    if (way->kind == WAY_SEND) {
        return WAITED_RELEASED;
    }
    switch (way->cause) {
    case REFUSED_HOLD_EXPIRED:
    case REFUSED_FENCED: return WAITED_EXPIRED;
    case REFUSED_SHUTDOWN: return WAITED_SHUTDOWN;
    default: return WAITED_REFUSED;
    }
}

/* Takes one request out of its queue and does with it what its way says. */
static void release_one(struct client *client, struct hold_queue *queue, struct held *before,
                        struct held *held, struct traffic_cell *cell, const struct way *way)
{
    struct worker *w = client->conn.worker;
    struct subject s = subject_of(held);
    s.cell = cell;
    traffic_waited(cell, w->now - held->since, way->kind == WAY_SEND);
    hold_unlink(queue, before, held);
    uncount_held(client, held, outcome_of(way));
    if (way->kind == WAY_SEND) {
        way_send(client, &s, way);
    } else {
        way_refuse_late(client, &s, way->status, way->cause);
    }
    hold_release(&w->held, held);
}

/* If its time is over, the way becomes a refusal. */
static void expire_way(struct client *client, struct held *held, struct way *way)
{
    if (way->kind != WAY_WAIT) {
        return;
    }
    uint64_t due = held->since + budget_of(client, way);
    held->reason = (uint8_t)reason_of(way);
    if (client->conn.worker->now >= due) {
        *way = way_refusal(client->account->hold_refusal, way->cause);
    } else {
        arm_hold_timer(client, due);
    }
}

/* The queue that stopped the reading has room again. No other can have: since then nothing was read. */
static void unblock(struct client *client, struct hold_queue *queue)
{
    if (queue->blocks && queue->count <= client->account->wait_count) {
        queue->blocks = false;
        client_block(client, false);
    }
}

/* Looks at what waits for a carrier, in order: sends what may go, refuses what has waited too long. `ready`,
 * where given, is the only leg that has changed: behind the first request that it has no room for, nothing
 * can go. */
SELDOM static void release_queue(struct client *client, struct hold_queue *queue, const struct leg *ready)
{
    struct held *before = NULL;
    struct held *held = client->conn.closing ? NULL : queue->first; /* nobody is left to answer to */
    while (held != NULL) {
        struct held *next = held->next;
        struct subject s = subject_of(held);
        struct way way = way_find(client, &s);
        expire_way(client, held, &way);
        if (way.kind != WAY_WAIT) {
            release_one(client, queue, before, held, s.cell, &way);
        } else if (ready != NULL && way.leg == ready) {
            break;
        } else {
            before = held;
        }
        held = next;
    }
    unblock(client, queue);
}

void waiting_look(struct client *client)
{
    for (unsigned i = 0; client->held != NULL && client->held_count > 0 && i < NAMES_MAX; i++) {
        if (client->held[i].first != NULL) {
            release_queue(client, &client->held[i], NULL);
        }
    }
}

void waiting_drop(struct client *client)
{
    struct worker *w = client->conn.worker;
    for (unsigned i = 0; client->held != NULL && i < NAMES_MAX; i++) {
        while (client->held[i].first != NULL) {
            struct held *held = client->held[i].first;
            hold_unlink(&client->held[i], NULL, held);
            uncount_held(client, held, WAITED_SESSION_GONE);
            hold_release(&w->held, held);
        }
    }
}

void waiting_refuse(struct client *client)
{
    struct way way = way_refusal(ESME_RMSGQFUL, REFUSED_SHUTDOWN);
    for (unsigned i = 0; client->held != NULL && i < NAMES_MAX; i++) {
        while (client->held[i].first != NULL) {
            release_one(client, &client->held[i], NULL, client->held[i].first, NULL, &way);
        }
    }
}

void waiting_look_at(struct client *client, const struct leg *leg, bool is_ready)
{
    if (client->held_count > 0 && client->account != NULL) {
        release_queue(client, &client->held[leg->carrier], is_ready ? leg : NULL);
    }
}
