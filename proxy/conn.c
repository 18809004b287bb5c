#include "proxy/conn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/log.h"
#include "smpp/control.h"

#define READ_GRACE   500000000ULL /* ns: to look at what came while we did not read */
#define FLOOD_PERIOD 1000000000ULL
#define TURN_PAUSE   1000000ULL
enum { PATIENCE_FACTOR = 4 };

/* --- state and its gauge -------------------------------------------------------------------------------- */

/* Counts the session in the gauge of what it is now, and no longer in that of what it was. */
static void recount(struct conn *c)
{
    if (c->gauge != NULL) {
        metric_sub(c->gauge, 1);
        c->gauge = c->owner->gauge(c);
        metric_add(c->gauge, 1);
    }
}

static void stop_counting(struct conn *c)
{
    if (c->gauge != NULL) {
        metric_sub(c->gauge, 1);
        c->gauge = NULL;
    }
}

void conn_sent_bind(struct conn *c, uint32_t bind_id, uint32_t sequence_number)
{
    smpp_session_sent_bind(&c->smpp, bind_id, sequence_number, c->worker->now);
    recount(c);
    conn_rearm(c);
}

/* It may wait for its turn among strangers, and is none any more. */
static void read_at_once(struct conn *c)
{
    if (!c->paused && !c->flooded) {
        stream_read_stop(c->stream);
        stream_read_start(c->stream);
    }
}

void conn_bound(struct conn *c, uint8_t peer_version)
{
    smpp_session_bound(&c->smpp, peer_version, c->worker->now);
    recount(c);
    conn_rearm(c);
    if (c->owner->side == SIDE_CLIENT) {
        read_at_once(c);
    }
}

static void end_session(struct conn *c)
{
    if (c->smpp.state != SMPP_CLOSED) {
        smpp_session_end(&c->smpp, c->worker->now);
        recount(c);
    }
}

/* --- deadlines ------------------------------------------------------------------------------------------ */

/* A bind has a time-out of its own, which the session watches; while it lasts nothing else is in flight. */
static bool requests_expire(const struct conn *c)
{
    return c->smpp.state != SMPP_BINDING;
}

void conn_rearm(struct conn *c)
{
    uint64_t next = UINT64_MAX;
    (void)smpp_session_due(&c->smpp, c->worker->now, &next);
    uint64_t sent = 0;
    if (requests_expire(c) && window_oldest(&c->window, &sent) && sent + c->response_timeout < next) {
        next = sent + c->response_timeout;
    }
    if (c->flooded && c->own_since + FLOOD_PERIOD < next) {
        next = c->own_since + FLOOD_PERIOD;
    }
    if (next != UINT64_MAX) {
        timer_set(&c->worker->timers, &c->timer, next);
    } else {
        timer_cancel(&c->timer);
    }
}

void conn_watch(struct conn *c)
{
    timer_set_earlier(&c->worker->timers, &c->timer, c->worker->now + c->response_timeout);
}

void conn_enquire(struct conn *c)
{
    uint8_t pdu[SMPP_HEADER_LEN];
    uint32_t sequence = 0;
    struct window_slot *slot = window_open(&c->window, true, c->worker->now, &sequence);
    smpp_session_sent_enquire_link(&c->smpp, c->worker->now);
    if (slot == NULL) {
        return; /* no slot: the unanswered ones will end the session */
    }
    slot->command_id = SMPP_ENQUIRE_LINK;
    conn_send(c, pdu, smpp_control_enquire_link(pdu, sizeof pdu, sequence));
}

static void do_due(struct conn *c, enum smpp_due due)
{
    if (due == SMPP_DUE_ENQUIRE_LINK) {
        conn_enquire(c);
    } else if (due != SMPP_DUE_NOTHING) {
        metric_add(&c->worker->metrics->ended[c->owner->side][due], 1);
        conn_close(c, smpp_due_name(due), false);
    }
}

/* While we do not read, and until what came meanwhile has been looked at, an answer may be here already. Not
 * for ever: a peer that makes us pause again and again does not put its own answers off without end. */
static bool may_be_unread(struct conn *c, uint64_t now)
{
    uint64_t sent = 0;
    bool deaf = c->paused || c->flooded || now - c->listening < READ_GRACE;
    return deaf && window_oldest(&c->window, &sent) && now - sent < PATIENCE_FACTOR * c->response_timeout;
}

static void expire_requests(struct conn *c, uint64_t now)
{
    struct window_slot slot;
    if (now < c->response_timeout || !requests_expire(c) || may_be_unread(c, now)) {
        return;
    }
    while (window_expire(&c->window, now - c->response_timeout, &slot)) {
        if (!slot.control) {
            c->owner->expired(c, &slot);
        }
    }
}

void conn_give_up(struct conn *c)
{
    struct window_slot slot;
    while (c->stream != NULL && !c->closing && window_expire(&c->window, UINT64_MAX, &slot)) {
        if (!slot.control) {
            c->owner->expired(c, &slot);
        }
    }
}

static void read_on(struct conn *c);

/* A client that has not bound, or has ended. */
static struct strangers *stranger_of(const struct conn *c)
{
    enum smpp_state state = c->smpp.state;
    bool is_one = c->owner->side == SIDE_CLIENT && !smpp_state_is_bound(state) && state != SMPP_UNBINDING;
    return is_one ? &c->worker->strangers : NULL;
}

/* Many whose time is over at once are closed a few a turn. */
static bool is_put_off(struct conn *c, uint64_t now)
{
    struct strangers *strangers = stranger_of(c);
    if (strangers == NULL || strangers_may(strangers, NULL)) {
        return false;
    }
    timer_set(&c->worker->timers, &c->timer, now + TURN_PAUSE);
    return true;
}

static void work_off(struct conn *c, uint64_t now);

static void on_timer(struct timer *timer, uint64_t now)
{
    struct conn *c = (struct conn *)((char *)timer - offsetof(struct conn, timer));
    struct worker *w = c->worker;
    if (c->stream == NULL || c->closing || is_put_off(c, now)) {
        return;
    }
    uint64_t begun = w->clock();
    struct strangers *strangers = stranger_of(c);
    work_off(c, now);
    if (strangers != NULL) {
        strangers_spent(strangers, w->clock() - begun);
    }
}

static void work_off(struct conn *c, uint64_t now)
{
    if (c->paused || c->flooded) { /* we are not listening: its silence says nothing */
        smpp_session_deaf(&c->smpp, now);
    }
    if (c->flooded && now - c->own_since >= FLOOD_PERIOD) {
        c->flooded = false;
        read_on(c);
    }
    uint64_t next = UINT64_MAX;
    do_due(c, smpp_session_due(&c->smpp, now, &next));
    expire_requests(c, now);
    if (c->stream != NULL && !c->closing) {
        conn_rearm(c);
        if (c->timer.due <= now) { /* what is overdue is put off: look again, but not at once */
            timer_set(&c->worker->timers, &c->timer, now + READ_GRACE);
        }
    }
}

/* --- out ------------------------------------------------------------------------------------------------ */

static void mark_dirty(struct conn *c)
{
    if (!c->is_dirty) {
        c->is_dirty = true;
        c->next_dirty = c->worker->dirty;
        c->worker->dirty = c;
    }
}

static bool add_chunk(struct conn *c)
{
    struct chunk *chunk = chunk_get(&c->worker->chunks);
    if (chunk == NULL) {
        return false;
    }
    if (c->out_last == NULL) {
        c->out = chunk;
        c->out_version = c->worker->version;
    } else {
        c->out_last->next = chunk;
    }
    c->out_last = chunk;
    return true;
}

__attribute__((noinline)) static void append(struct conn *c, const uint8_t *data, size_t len)
{
    while (len > 0) {
        if ((c->out_last == NULL || c->out_last->end == CHUNK_SIZE) && !add_chunk(c)) {
            conn_close(c, "no_memory", false);
            return;
        }
        size_t room = CHUNK_SIZE - c->out_last->end;
        size_t part = len < room ? len : room;
        memcpy(c->out_last->data + c->out_last->end, data, part);
        c->out_last->end += (uint32_t)part;
        data += part;
        len -= part;
    }
}

/* Gives the stream what has been collected: while it is busy, that is put behind what it has already. */
static void hand_over(struct conn *c)
{
    struct chunk *first = c->out;
    if (first == NULL) {
        return;
    }
    if (!stream_busy(c->stream)) { /* else older octets are still on their way */
        c->sent_version = c->out_version;
    }
    message_index_settle(&c->worker->ids_put); /* what a client is told of, it may ask about */
    c->out = c->out_last = NULL;
    c->out_len = 0;
    stream_write(c->stream, first);
    c->is_stuck = stream_busy(c->stream);
}

static void flush(struct conn *c)
{
    if (c->stream != NULL && !stream_busy(c->stream)) {
        hand_over(c);
    }
}

/* More is waiting than may; true where it could leave after all. A turn of the loop may collect more than the limit:
 * only what does not leave counts, and what is longer by itself. */
SELDOM static bool make_way(struct conn *c, size_t len)
{
    flush(c);
    if (c->out_len == 0 || c->out_len + len <= c->worker->config->out_limit) {
        return true;
    }
    metric_add(&c->worker->metrics->slow_readers, 1);
    conn_close(c, "slow_reader", false);
    return false;
}

/* Before octets are added: false where they must not be. */
static inline bool may_add(struct conn *c, size_t len)
{
    if (c->stream == NULL || c->closing ||
        (c->out_len + len > c->worker->config->out_limit && !make_way(c, len))) {
        return false;
    }
    c->out_len += len;
    mark_dirty(c);
    return true;
}

static inline void count_out(struct conn *c, unsigned command, const uint8_t *pdu)
{
    metrics_pdu(&c->pdus[DIRECTION_OUT], command, smpp_get32(pdu + 4), smpp_get32(pdu + 8));
}

void conn_send(struct conn *c, const void *data, size_t len)
{
    if (len > 0 && may_add(c, len)) {
        count_out(c, smpp_command_index(smpp_get32((const uint8_t *)data + 4)), data);
        append(c, data, len);
    }
}

SELDOM static void count_large(struct conn *c)
{
    metric_add(&c->worker->metrics->large_pdus, 1);
}

static void forward_in_parts(struct conn *c, const uint8_t *pdu, uint32_t len, uint32_t sequence_number)
{
    uint8_t header[SMPP_HEADER_LEN];
    memcpy(header, pdu, sizeof header);
    smpp_put32(header + 12, sequence_number);
    append(c, header, sizeof header);
    append(c, pdu + SMPP_HEADER_LEN, len - SMPP_HEADER_LEN);
}

void conn_forward(struct conn *c, unsigned command, const uint8_t *pdu, uint32_t len,
                  uint32_t sequence_number)
{
    if (!may_add(c, len)) {
        return;
    }
    count_out(c, command, pdu);
    if (len > METRICS_LARGE_PDU) {
        count_large(c);
    }
    if ((c->out_last != NULL || add_chunk(c)) && CHUNK_SIZE - c->out_last->end >= len) {
        uint8_t *to = c->out_last->data + c->out_last->end;
        memcpy(to, pdu, len);
        smpp_put32(to + 12, sequence_number);
        c->out_last->end += len;
    } else {
        forward_in_parts(c, pdu, len, sequence_number);
    }
}

void conn_refuse(struct conn *c, uint32_t request_id, uint32_t sequence_number, uint32_t command_status)
{
    uint8_t pdu[SMPP_REFUSAL_MAX];
    size_t len = smpp_encode_refusal(pdu, request_id, sequence_number, command_status, c->smpp.with_nul);
    conn_send(c, pdu, len);
}

bool conn_unbind(struct conn *c)
{
    if (!conn_is_bound(c)) {
        return false;
    }
    uint8_t pdu[SMPP_HEADER_LEN];
    uint32_t sequence = 0;
    struct window_slot *slot = window_open(&c->window, true, c->worker->now, &sequence);
    if (slot == NULL) {
        return false;
    }
    slot->command_id = SMPP_UNBIND;
    conn_send(c, pdu, smpp_control_unbind(pdu, sizeof pdu, sequence));
    smpp_session_unbinding(&c->smpp, c->worker->now);
    recount(c);
    conn_rearm(c);
    return true;
}

void conn_flush_all(struct worker *w)
{
    /* also those that nobody is told of yet: a receipt may come by another worker */
    message_index_settle(&w->ids_put);
    while (w->dirty != NULL) {
        struct conn *c = w->dirty;
        w->dirty = c->next_dirty;
        c->is_dirty = false;
        flush(c);
    }
}

bool conn_holds_older(const struct conn *c, uint64_t version)
{
    if (c->stream == NULL) {
        return false;
    }
    /* what is closed with a flush goes on leaving for a while; what has not been handed over by then never
     * leaves */
    return (c->out != NULL && !c->closing && c->out_version < version) ||
           (stream_busy(c->stream) && c->sent_version < version);
}

/* --- in ------------------------------------------------------------------------------------------------- */

static void drop_out(struct conn *c)
{
    if (c->out != NULL) {
        chunk_put_all(&c->worker->chunks, c->out);
    }
    c->out = c->out_last = NULL;
    c->out_len = 0;
}

static void count_session_answer(struct conn *c, const struct smpp_event *event)
{
    if (event->refusal != SMPP_REFUSED_NOT) {
        metric_add(&c->worker->metrics->refused_by_session[event->refusal], 1);
        log_event(EVENT_PDU_REFUSED, LOG_TEXT("peer", stream_peer(c->stream)),
                  LOG_TEXT("why", smpp_refusal_name(event->refusal)),
                  LOG_TEXT("command", smpp_command_name(event->header.command_id)));
    }
}

/* One more in this second of what may come only so often in one (most 0: any number). True where that was one too many,
 * and the peer has to wait. */
static bool is_flood(struct conn *c, unsigned *count, unsigned most)
{
    struct worker *w = c->worker;
    if (w->now - c->own_since >= FLOOD_PERIOD) {
        c->own_since = w->now;
        c->own_answers = c->refusals = 0;
    }
    if (++*count <= most || most == 0 || c->flooded || c->stream == NULL || c->closing) {
        return false;
    }
    c->flooded = true;
    stream_read_stop(c->stream);
    conn_rearm(c);
    return true;
}

/* PDUs that cost the peer nothing and get nobody's message on. */
static void count_own_answer(struct conn *c)
{
    if (is_flood(c, &c->own_answers, c->worker->config->max_own_answers)) {
        metric_add(&c->worker->metrics->floods, 1);
    }
}

/* Its own count, and a larger one: a client that has a shortcode wrong, or a route closed, sends its other messages by
 * the same session. */
void conn_refused_at_once(struct conn *c)
{
    if (is_flood(c, &c->refusals, c->worker->config->max_refusals)) {
        metric_add(&c->worker->metrics->refusal_floods, 1);
    }
}

static bool answers(uint32_t response_id, uint32_t request_id)
{
    return response_id == SMPP_GENERIC_NACK || response_id == (request_id | SMPP_RESPONSE_BIT);
}

static void on_enquired(struct conn *c, const struct window_slot *slot)
{
    uint64_t now = c->worker->now;
    c->round_trip = now > slot->sent ? now - slot->sent : 1;
    if (c->owner->enquired != NULL) {
        c->owner->enquired(c);
    }
}

/* A response finds its request, or is dropped. An answer of another command's kind is not taken for the
 * answer: the request stays in the window. */
static void on_response(struct conn *c, const struct smpp_event *event)
{
    struct window_slot slot = {.sent = 0};
    const struct window_slot *request = window_peek(&c->window, event->header.sequence_number);
    if (request != NULL && !answers(event->header.command_id, request->command_id)) {
        metric_add(&c->worker->metrics->stray_responses, 1);
        count_own_answer(c);
        return;
    }
    enum window_match match = WINDOW_AWAITED;
    if (request != NULL) {
        window_settle(&c->window, request, &slot);
    } else {
        match = window_take(&c->window, event->header.sequence_number, &slot);
    }
    if (match == WINDOW_STRAY) {
        metric_add(&c->worker->metrics->stray_responses, 1);
        count_own_answer(c);
    } else if (match == WINDOW_LATE) {
        c->owner->event(c, event, NULL);
    } else if (slot.command_id == SMPP_ENQUIRE_LINK) { /* the session has taken note of it */
        on_enquired(c, &slot);
    } else {
        c->owner->event(c, event, &slot);
    }
}

/* What the session answers by itself, or drops; and bind and unbind. */
SELDOM static void on_seldom_event(struct conn *c, const struct smpp_event *event)
{
    count_session_answer(c, event);
    switch (event->kind) {
    case SMPP_EVENT_ANSWERED:
    case SMPP_EVENT_REFUSED:
        count_own_answer(c);
        conn_send(c, event->reply, event->reply_len);
        break;
    case SMPP_EVENT_IGNORED: count_own_answer(c); break;
    case SMPP_EVENT_BROKEN:
        if (c->owner->side == SIDE_SMSC) {
            drop_out(c); /* requests that have not left: their outcome is told as unknown, so they must not */
        }
        conn_send(c, event->reply, event->reply_len);
        conn_close(c, "framing_lost", true);
        break;
    default: c->owner->event(c, event, NULL); break;
    }
}

static inline void on_event(struct conn *c, const struct smpp_event *event)
{
    if (event->kind == SMPP_EVENT_REQUEST) {
        c->owner->event(c, event, NULL);
    } else if (event->kind == SMPP_EVENT_RESPONSE) {
        on_response(c, event);
    } else {
        on_seldom_event(c, event);
    }
}

/* Takes PDUs off data until one is not whole, or the owner has paused or closed. Returns the octets taken. */
static size_t consume(struct conn *c, const uint8_t *data, size_t len)
{
    size_t taken = 0;
    struct smpp_event event;
    while (!c->paused && !c->flooded && !c->closing && c->stream != NULL) {
        enum smpp_state before = c->smpp.state;
        size_t n = smpp_session_next(&c->smpp, data + taken, len - taken, c->worker->now, &event);
        if (event.kind == SMPP_EVENT_PARTIAL) {
            break;
        }
        if (c->smpp.state != before) {
            recount(c);
        }
        metrics_pdu(&c->pdus[DIRECTION_IN], event.command, event.header.command_id,
                    event.header.command_status);
        on_event(c, &event);
        taken += n;
        if (n == 0) {
            break;
        }
    }
    return taken;
}

static bool keep(struct conn *c, const uint8_t *data, size_t len)
{
    if (len > c->kept_size) {
        size_t size = 256;
        while (size < len) {
            size *= 2;
        }
        uint8_t *kept = malloc(size);
        if (kept == NULL) {
            return false;
        }
        free(c->kept);
        c->kept = kept;
        c->kept_size = (uint32_t)size;
    }
    if (len > 0) {
        memmove(c->kept, data, len);
    }
    c->kept_from = 0;
    c->kept_len = (uint32_t)len;
    return true;
}

/* Part of a PDU is not waited for without end. */
static void watch_partial(struct conn *c)
{
    if (c->kept_len > 0 && !c->paused && !c->flooded && c->smpp.limits.partial != 0) {
        timer_set_earlier(&c->worker->timers, &c->timer, c->worker->now + c->smpp.limits.partial);
    }
}

/* data[0 .. len) is all that has arrived and was not consumed yet. */
static void take_in(struct conn *c, uint8_t *data, size_t len)
{
    size_t taken = consume(c, data, len);
    if (c->closing || c->stream == NULL) {
        return;
    }
    if (!keep(c, data + taken, len - taken)) {
        conn_close(c, "no_memory", false);
        return;
    }
    watch_partial(c);
}

/* What is kept, where it is: a peer that ignores its window has a buffer full of PDUs here, and has them taken a window at
 * a time. */
static void take_kept(struct conn *c)
{
    uint32_t taken = (uint32_t)consume(c, c->kept + c->kept_from, c->kept_len);
    if (c->closing || c->stream == NULL) {
        return;
    }
    c->kept_from += taken;
    c->kept_len -= taken;
    watch_partial(c);
}

static uint8_t *on_room(void *owner, size_t *len)
{
    struct conn *c = owner;
    *len = c->worker->receive_size - c->kept_len;
    return c->worker->receive + c->kept_len;
}

static void on_bytes(void *owner, size_t len)
{
    struct conn *c = owner;
    worker_wake(c->worker);
    if (c->kept_len > 0) {
        memcpy(c->worker->receive, c->kept + c->kept_from, c->kept_len);
    }
    take_in(c, c->worker->receive, c->kept_len + len);
}

void conn_pause(struct conn *c)
{
    if (!c->paused && c->stream != NULL && !c->closing) {
        c->paused = true;
        metric_add(&c->worker->metrics->paused_reads, 1);
        stream_read_stop(c->stream);
    }
}

static void read_on(struct conn *c)
{
    c->listening = c->worker->now;
    smpp_session_deaf(&c->smpp, c->worker->now);
    if (!c->is_resumed) {
        c->is_resumed = true;
        c->next_resumed = c->worker->resumed;
        c->worker->resumed = c;
    }
}

void conn_resume(struct conn *c)
{
    if (!c->paused) {
        return;
    }
    c->paused = false;
    read_on(c);
}

void conn_resume_all(struct worker *w)
{
    struct conn *list = w->resumed;
    w->resumed = NULL;
    while (list != NULL) {
        struct conn *c = list;
        list = c->next_resumed;
        c->is_resumed = false;
        if (c->stream == NULL || c->closing || c->paused || c->flooded) {
            continue;
        }
        if (c->kept_len > 0) {
            take_kept(c);
        }
        if (c->stream != NULL && !c->closing && !c->paused && !c->flooded) {
            stream_read_start(c->stream);
        }
    }
}

/* --- begin and end -------------------------------------------------------------------------------------- */

static void on_opened(void *owner)
{
    struct conn *c = owner;
    worker_wake(c->worker);
    c->owner->opened(c);
}

static void on_writable(void *owner)
{
    struct conn *c = owner;
    worker_wake(c->worker);
    c->is_stuck = false;
    flush(c);
    if (c->stream != NULL && !c->closing && !stream_busy(c->stream)) {
        c->owner->writable(c);
    }
}

static struct strangers *on_stranger(void *owner)
{
    return stranger_of(owner);
}

static void on_tls_event(void *owner, enum tls_event event)
{
    struct conn *c = owner;
    metric_add(&c->worker->metrics->tls_events[c->owner->side][event], 1);
}

static void on_closed(void *owner, enum stream_end end, const char *detail)
{
    struct conn *c = owner;
    metric_add(&c->worker->metrics->stream_ends[c->owner->side][end], 1);
    c->stream = NULL; /* before the worker wakes: it may close what it finds open */
    c->is_stuck = false;
    worker_wake(c->worker);
    end_session(c);
    c->owner->closed(c, c->why != NULL ? c->why : stream_end_name(end), detail);
}

const struct stream_events conn_stream_events = {.opened = on_opened,
                                                 .room = on_room,
                                                 .bytes = on_bytes,
                                                 .writable = on_writable,
                                                 .closed = on_closed,
                                                 .stranger = on_stranger,
                                                 .tls_event = on_tls_event};

void conn_init(struct conn *c, struct worker *w, const struct conn_owner *owner, enum smpp_role role,
               const struct smpp_session_limits *limits, unsigned window, uint64_t response_timeout)
{
    *c = (struct conn){.worker = w,
                       .owner = owner,
                       .pdus = w->metrics->pdus[owner->side],
                       .response_timeout = response_timeout};
    c->timer.fire = on_timer;
    smpp_session_init(&c->smpp, role, limits, w->now);
    window_init(&c->window, window);
}

void conn_attach(struct conn *c, struct stream *stream)
{
    c->stream = stream;
    c->gauge = c->owner->gauge(c);
    metric_add(c->gauge, 1);
    conn_rearm(c);
}

static void unlist(struct conn **list, const struct conn *c, bool resumed)
{
    while (*list != NULL && *list != c) {
        list = resumed ? &(*list)->next_resumed : &(*list)->next_dirty;
    }
    if (*list != NULL) {
        *list = resumed ? c->next_resumed : c->next_dirty;
    }
}

void conn_forget(struct conn *c)
{
    assert(c->stream == NULL);
    if (c->is_dirty) {
        unlist(&c->worker->dirty, c, false);
    }
    if (c->is_resumed) {
        unlist(&c->worker->resumed, c, true);
    }
    c->is_dirty = c->is_resumed = false;
    timer_cancel(&c->timer);
    drop_out(c);
    free(c->kept);
    c->kept = NULL;
    c->kept_from = c->kept_len = c->kept_size = 0;
    window_clear(&c->window);
    stop_counting(c);
}

void conn_close(struct conn *c, const char *why, bool flush_first)
{
    if (c->stream == NULL || c->closing) {
        return;
    }
    if (flush_first) {
        hand_over(c);
    }
    c->closing = true;
    c->why = why;
    end_session(c);
    stream_close(c->stream, flush_first);
}
