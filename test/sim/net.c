#include "test/sim/net.h"

#include <stdlib.h>
#include <string.h>

#include "smpp/frame.h"
#include "test/sim/ledger.h"
#include "test/sim/limits.h"
#include "test/sim/secure.h"

enum { ROOM = 65536, FINISH_STEPS = 100000 };

struct wire *wires;
static unsigned next_id;
static uint8_t room[ROOM];

/* Linked with --wrap: what the rest of the proxy calls comes here. */
struct stream *__wrap_stream_tcp_connect(struct stream_env *env, const struct stream_target *target,
                                         const struct stream_events *events, void *owner);
struct stream *__wrap_stream_tcp_accept(struct stream_env *env, uv_stream_t *server,
                                        const struct stream_events *events, void *owner, int *error);
void __wrap_stream_tcp_refuse(uv_stream_t *server);
void __wrap_stream_write(struct stream *s, struct chunk *first);
void __real_stream_write(struct stream *s, struct chunk *first);
void __wrap_stream_read_start(struct stream *s);
void __real_stream_read_start(struct stream *s);
void __wrap_stream_close(struct stream *s, bool flush);
void __real_stream_close(struct stream *s, bool flush);

/* --- the near end: what the instance meets --------------------------------------------------------------- */

static void near_opened(void *owner)
{
    struct wire *wire = owner;
    wire->opened = true;
    wire->opened_at = sim_now;
    if (wire->link >= 0) { /* an accepted one is open from the start */
        wire->up->opened(wire->up_owner);
    }
}

static uint8_t *near_room(void *owner, size_t *len)
{
    struct wire *wire = owner;
    return wire->up->room(wire->up_owner, len);
}

static void near_bytes(void *owner, size_t len)
{
    struct wire *wire = owner;
    wire->up->bytes(wire->up_owner, len);
}

static void near_writable(void *owner)
{
    struct wire *wire = owner;
    wire->up->writable(wire->up_owner);
}

static void near_closed(void *owner, enum stream_end end, const char *detail)
{
    struct wire *wire = owner;
    wire->near_closed = true;
    wire->near = NULL;
    if (end == STREAM_END_RESET && !wire->opened) {
        end = wire->timed_out ? STREAM_END_TIMEOUT : STREAM_END_CONNECT;
    }
    wire->up->closed(wire->up_owner, end, detail);
}

static const struct stream_events near_events = {.opened = near_opened,
                                                 .room = near_room,
                                                 .bytes = near_bytes,
                                                 .writable = near_writable,
                                                 .closed = near_closed};

/* Of a process that was killed: nobody is there. */
static void nobody(void *owner)
{
    (void)owner;
}

static uint8_t *nobody_room(void *owner, size_t *len)
{
    (void)owner;
    *len = sizeof room;
    return room;
}

static void nobody_bytes(void *owner, size_t len)
{
    (void)owner;
    (void)len;
}

static void nobody_closed(void *owner, enum stream_end end, const char *detail)
{
    (void)owner;
    (void)end;
    (void)detail;
}

static const struct stream_events nobody_events = {.opened = nobody,
                                                   .room = nobody_room,
                                                   .bytes = nobody_bytes,
                                                   .writable = nobody,
                                                   .closed = nobody_closed};

/* --- the far end: what the peer meets -------------------------------------------------------------------- */

static void send_raw(struct wire *wire, const uint8_t *p, size_t len);

static void send_ciphertext(struct wire *wire)
{
    uint8_t octets[4096];
    size_t len;
    while ((len = secure_output(wire->ssl, octets, sizeof octets)) > 0) {
        send_raw(wire, octets, len);
    }
}

/* The peer's TLS goes on with what has come, or begins. */
static void feed_tls(struct wire *wire, const uint8_t *octets, size_t len)
{
    bool secured = secure_feed(wire->ssl, octets, len);
    send_ciphertext(wire);
    if (secured && !wire->secured) {
        wire->secured = true;
        totals.tls++;
        tell(wire->name, "has shaken hands");
        wire->events->opened(wire);
    }
}

static void far_opened(void *owner)
{
    struct wire *wire = owner;
    if (wire->kind == WIRE_TLS) {
        feed_tls(wire, NULL, 0);
    } else if (wire->kind != WIRE_TLS_SILENT && wire->events->opened != NULL) {
        wire->events->opened(wire);
    }
}

static uint8_t *far_room(void *owner, size_t *len)
{
    (void)owner;
    *len = sizeof room;
    return room;
}

static void keep(struct wire *wire, const uint8_t *octets, size_t len)
{
    if (wire->kept_len + len > wire->kept_size) {
        wire->kept_size = 2 * (wire->kept_len + len);
        wire->kept = realloc(wire->kept, wire->kept_size);
        if (wire->kept == NULL) {
            abort();
        }
    }
    memcpy(wire->kept + wire->kept_len, octets, len);
    wire->kept_len += len;
}

/* Those that are whole; begin: how many octets came before what is kept. */
static void take_pdus(struct wire *wire, uint64_t begin)
{
    size_t at = 0;
    while (wire->far != NULL && wire->kept_len - at >= SMPP_HEADER_LEN) {
        uint32_t pdu = smpp_get32(wire->kept + at);
        if (pdu < SMPP_HEADER_LEN || pdu > 1U << 20) {
            violated("3: bytes pass unchanged", 0, "%s: a PDU of length %u: framing is lost", wire->name,
                     pdu);
        }
        if (wire->kept_len - at < pdu) {
            break;
        }
        wire->events->pdu(wire, wire->kept + at, pdu, begin + at + pdu);
        at += pdu;
    }
    if (at > 0) {
        memmove(wire->kept, wire->kept + at, wire->kept_len - at);
        wire->kept_len -= at;
    }
}

static void far_bytes(void *owner, size_t len)
{
    struct wire *wire = owner;
    uint64_t begin = wire->received - wire->kept_len;
    wire->received += len;
    if (wire->kind == WIRE_PLAIN) {
        keep(wire, room, len);
        take_pdus(wire, begin);
        return;
    }
    if (wire->kind != WIRE_TLS) {
        return; /* alerts, which it does not understand */
    }
    uint8_t octets[4096];
    feed_tls(wire, room, len);
    while ((len = secure_read(wire->ssl, octets, sizeof octets)) > 0) {
        keep(wire, octets, len);
    }
    take_pdus(wire, 0);
}

static void far_closed(void *owner, enum stream_end end, const char *detail)
{
    struct wire *wire = owner;
    (void)detail;
    if (wire->far != NULL) {
        wire->far = NULL;
        wire->events->closed(wire, stream_end_name(end));
    }
}

static const struct stream_events far_events = {
    .opened = far_opened, .room = far_room, .bytes = far_bytes, .writable = nobody, .closed = far_closed};

/* --- wires ----------------------------------------------------------------------------------------------- */

static uint64_t some_lag(const struct wire *wire)
{
    return sim_between(wire->lag / 2, 2 * wire->lag);
}

static void soon(struct wire *wire)
{
    uint64_t time = sim_now + some_lag(wire);
    if (time < wire->next_step) {
        wire->next_step = time;
    }
}

static struct wire *wire_new(struct process *p, struct loop *loop, struct stream_env *env, int link)
{
    struct wire *wire = calloc(1, sizeof *wire);
    if (wire == NULL) {
        abort();
    }
    wire->id = ++next_id;
    wire->process = p;
    wire->loop = loop;
    wire->link = link;
    wire->capacity =
        sim_chance(shape.limits.short_out ? 900 : 500) ? sim_between(200, 2000) : sim_between(4096, 65536);
    wire->step = sim_chance(300) ? sim_between(20, 500) : 0;
    wire->lag = sim_chance(200) ? sim_between(5 * MS, 60 * MS) : sim_between(50000, 4 * MS);
    if (wire->step > 0) {
        wire->lag = sim_between(10000, 300000);
    }
    wire->pair = stream_pair_new(env, wire->capacity);
    if (wire->pair == NULL) {
        abort();
    }
    wire->next_step = UINT64_MAX;
    wire->disturbed = sim_now;
    wire->older = wires;
    wires = wire;
    return wire;
}

static void wire_list(struct wire *wire)
{
    struct wire **list = NULL;
    loop_wires(wire->loop, &list);
    wire->next = *list;
    *list = wire;
}

static void wire_unlist(struct wire *wire)
{
    struct wire **at = NULL;
    loop_wires(wire->loop, &at);
    while (*at != NULL && *at != wire) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = wire->next;
    }
}

static void take_far(struct wire *wire)
{
    wire->far = stream_pair_end(wire->pair, 1, &far_events, wire);
    wire->reading = true;
    __real_stream_read_start(wire->far);
}

static struct stream *take_near(struct wire *wire, const struct stream_events *events, void *owner)
{
    wire->up = events;
    wire->up_owner = owner;
    wire->near = stream_pair_end(wire->pair, 0, &near_events, wire);
    wire_list(wire);
    soon(wire);
    return wire->near;
}

/* --- what the proxy asks --------------------------------------------------------------------------------- */

static void connect_timeout(void *ctx, uint64_t arg)
{
    struct wire *wire = ctx;
    (void)arg;
    if (!wire->opened && !wire->near_closed && !wire->near_closing && wire->pair != NULL && !wire->orphan) {
        wire->timed_out = true;
        wire->frozen_until = 0;
        stream_pair_cut(wire->pair);
        wire->next_step = sim_now;
    }
}

struct stream *__wrap_stream_tcp_connect(struct stream_env *env, const struct stream_target *target,
                                         const struct stream_events *events, void *owner)
{
    struct wire *wire = wire_new(current, loop_of(env->loop), env, target->port - PORT_FIRST);
    bool refused = false;
    if (!smsc_accept(wire, &refused)) {
        wire->frozen_until = UINT64_MAX;
    }
    sim_after(target->timeout_ms * MS, connect_timeout, wire, 0);
    take_far(wire);
    if (refused) {
        stream_pair_cut(wire->pair);
    }
    return take_near(wire, events, owner);
}

struct stream *__wrap_stream_tcp_accept(struct stream_env *env, uv_stream_t *server,
                                        const struct stream_events *events, void *owner, int *error)
{
    struct wire *wire = listener_take(server);
    (void)env;
    if (wire == NULL) {
        *error = UV_EAGAIN;
        return NULL;
    }
    return take_near(wire, events, owner);
}

static void tell_refused(void *ctx, uint64_t arg)
{
    struct wire *wire = ctx;
    (void)arg;
    if (wire->far != NULL) {
        wire->far = NULL;
        wire->events->closed(wire, "refused");
    }
}

void wire_refuse(struct wire *wire)
{
    sim_after(some_lag(wire), tell_refused, wire, 0);
}

void __wrap_stream_tcp_refuse(uv_stream_t *server)
{
    struct wire *wire = listener_take(server);
    limits_refused_connection(current);
    if (wire != NULL) {
        wire_refuse(wire);
    }
}

/* The wire of a stream that is one's near end; NULL of TLS, which has another one within. */
static struct wire *wire_of(const struct stream *s)
{
    return s->events == &near_events ? s->owner : NULL;
}

void __wrap_stream_read_start(struct stream *s)
{
    struct wire *wire = wire_of(s);
    __real_stream_read_start(s);
    if (wire != NULL) {
        soon(wire);
    }
}

static size_t length_of(const struct chunk *first)
{
    size_t len = 0;
    for (; first != NULL; first = first->next) {
        len += first->end - first->start;
    }
    return len;
}

void __wrap_stream_write(struct stream *s, struct chunk *first)
{
    struct wire *wire = wire_of(s);
    if (wire != NULL && !wire->near_closing) {
        wire->written += length_of(first);
    }
    __real_stream_write(s, first);
    if (wire != NULL) {
        soon(wire);
    }
}

void __wrap_stream_close(struct stream *s, bool flush)
{
    struct wire *wire = wire_of(s);
    if (wire != NULL) {
        wire->near_closing = true;
        wire->near_ended = sim_now;
    }
    __real_stream_close(s, flush);
    if (wire != NULL) {
        soon(wire);
    }
}

/* --- what peers do --------------------------------------------------------------------------------------- */

static void offer(void *ctx, uint64_t worker)
{
    struct wire *wire = ctx;
    uv_stream_t *server =
        wire->process->alive ? wire->process->listeners[worker][wire->kind != WIRE_PLAIN] : NULL;
    if (server == NULL || !listener_offer(server, wire)) {
        tell_refused(wire, 0);
    }
}

struct wire *wire_dial(struct process *p, unsigned worker, enum wire_kind kind,
                       const struct wire_events *events, void *peer)
{
    struct wire *wire = wire_new(p, p->worker_loops[worker], &p->workers[worker]->env, -1);
    wire->kind = kind;
    wire->ssl = kind == WIRE_TLS ? secure_new() : NULL;
    wire->events = events;
    wire->peer = peer;
    take_far(wire);
    sim_after(some_lag(wire), offer, wire, worker);
    return wire;
}

static void send_raw(struct wire *wire, const uint8_t *p, size_t len)
{
    struct chunk *first = NULL;
    struct chunk **last = &first;
    if (wire->far == NULL || wire->near_closed || !(wire->orphan || wire->process->alive)) {
        return;
    }
    while (len > 0) {
        struct chunk *chunk = chunk_get(wire->far->env->chunks);
        if (chunk == NULL) {
            abort();
        }
        size_t part = len < CHUNK_SIZE ? len : CHUNK_SIZE;
        memcpy(chunk->data, p, part);
        chunk->end = (uint32_t)part;
        *last = chunk;
        last = &chunk->next;
        p += part;
        len -= part;
    }
    __real_stream_write(wire->far, first);
    soon(wire);
}

void wire_send(struct wire *wire, const void *octets, size_t len)
{
    if (wire->ssl == NULL) {
        send_raw(wire, octets, len);
        return;
    }
    secure_write(wire->ssl, octets, len);
    send_ciphertext(wire);
}

void wire_close(struct wire *wire)
{
    wire->excused = true;
    if (wire->far != NULL && wire->pair != NULL) {
        if (wire->ssl != NULL) {
            secure_goodbye(wire->ssl);
            send_ciphertext(wire);
        }
        __real_stream_close(wire->far, true);
        soon(wire);
    }
}

void wire_reset(struct wire *wire)
{
    wire->excused = true;
    if (wire->far != NULL && wire->pair != NULL && wire->near != NULL) {
        stream_pair_cut(wire->pair);
        soon(wire);
    }
}

void wire_freeze(struct wire *wire, uint64_t ns)
{
    if (wire->timed_out) {
        return; /* the instance has given it up, by its own clock */
    }
    wire->frozen_until = ns == UINT64_MAX ? UINT64_MAX : sim_now + ns;
    wire->excused |= ns == UINT64_MAX;
    wire->disturbed = wire->frozen_until;
    wire->next_step = wire->frozen_until;
}

void wire_read(struct wire *wire, bool on)
{
    if (wire->far == NULL || wire->pair == NULL || wire->reading == on) {
        return;
    }
    wire->reading = on;
    wire->disturbed = on ? sim_now : UINT64_MAX;
    (on ? __real_stream_read_start : stream_read_stop)(wire->far);
    soon(wire);
}

/* How many octets a step carries, at most; 0: all. */
static size_t some_octets(const struct wire *wire)
{
    return wire->step == 0 ? 0 : sim_chance(200) ? 1 : 1 + sim_random(wire->step);
}

/* --- steps ----------------------------------------------------------------------------------------------- */

static void notice_break(void *ctx, uint64_t arg)
{
    struct wire *wire = ctx;
    (void)arg;
    if (wire->far != NULL) {
        wire->far = NULL;
        wire->events->closed(wire, "no life any more");
    }
}

/* Frozen: the near side may end, and nobody hears of it; the peer finds out in its own time. */
static bool step_frozen(struct wire *wire)
{
    wire->next_step = wire->frozen_until;
    if (!wire->near_closing || wire->near_closed) {
        return false;
    }
    wire->far->events = &nobody_events;
    stream_pair_cut(wire->pair);
    (void)stream_pair_step(wire->pair, 0);
    sim_after(sim_between(100 * MS, 3 * SECOND), notice_break, wire, 0);
    return true;
}

static bool step(struct wire *wire)
{
    if (wire_frozen(wire)) {
        return step_frozen(wire);
    }
    bool moved = stream_pair_step(wire->pair, some_octets(wire));
    wire->next_step = moved ? sim_now + some_lag(wire) : UINT64_MAX;
    return moved;
}

static bool is_over(const struct wire *wire)
{
    return wire->near_closed && (wire->far == NULL || wire->far->events == &nobody_events);
}

static void let_go(struct wire *wire)
{
    wire_unlist(wire);
    stream_pair_free(wire->pair);
    wire->pair = NULL;
    wire->next_step = UINT64_MAX;
}

bool wires_poll(struct loop *loop)
{
    struct wire **list = NULL;
    bool moved = false;
    loop_wires(loop, &list);
    for (struct wire *wire = *list; wire != NULL;) {
        struct wire *next = wire->next;
        if (wire->next_step <= sim_now) {
            moved |= step(wire);
            if (is_over(wire)) {
                let_go(wire);
            }
        }
        wire = next;
    }
    return moved;
}

uint64_t wires_next(const struct wire *first)
{
    uint64_t next = UINT64_MAX;
    for (; first != NULL; first = first->next) {
        if (first->next_step < next) {
            next = first->next_step;
        }
    }
    return next;
}

void wires_finish(struct loop *loop)
{
    struct wire **list = NULL;
    loop_wires(loop, &list);
    while (*list != NULL) {
        struct wire *wire = *list;
        wire->frozen_until = 0;
        for (int i = 0; i < FINISH_STEPS && stream_pair_step(wire->pair, 0); i++) {
        }
        stream_pair_cut(wire->pair);
        while (stream_pair_step(wire->pair, 0)) {
        }
        let_go(wire);
    }
}

static void step_orphan(void *ctx, uint64_t arg)
{
    struct wire *wire = ctx;
    (void)arg;
    if (wire->far == NULL || wire->pair == NULL) {
        return;
    }
    bool moved = !wire_frozen(wire) && stream_pair_step(wire->pair, some_octets(wire));
    uint64_t pause = wire_frozen(wire) ? 100 * MS : moved ? some_lag(wire) : 50 * MS;
    sim_after(pause, step_orphan, wire, 0);
}

/* What the kernel had taken still arrives; then the peer hears of the end. */
void wires_killed(struct process *p)
{
    for (struct wire *wire = wires; wire != NULL; wire = wire->older) {
        if (wire->process != p || wire->pair == NULL || wire->orphan) {
            continue;
        }
        wire->orphan = true;
        if (wire->near == NULL) { /* not accepted yet, or closed */
            sim_after(some_lag(wire), tell_refused, wire, 0);
            continue;
        }
        wire->near->events = &nobody_events;
        __real_stream_close(wire->near, false);
        wire->near_closing = true;
        if (wire->frozen_until == UINT64_MAX) {
            sim_after(sim_between(SECOND, 3 * SECOND), notice_break, wire, 0);
        }
        sim_after(some_lag(wire), step_orphan, wire, 0);
    }
}

void wires_forget(void)
{
    for (struct wire *wire = wires; wire != NULL; wire = wire->older) {
        secure_free(wire->ssl);
    }
    wires = NULL; /* kept by a process that ends soon */
    next_id = 0;
}
