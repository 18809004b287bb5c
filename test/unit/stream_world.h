/* Two owners of streams and what is between them, the same for every kind, for test_stream.c and test_tls.c.
 *
 *   side a ──stream_connect──▶ listener ──stream_accept──▶ side b        (tcp, tls: real sockets on
 * 127.0.0.1) side a ──────────────── struct stream_pair ──────────▶ side b        (memory)
 *
 * What a side sends is a pattern of which each octet follows from its place, so the receiver can check every
 * octet. Included, not linked: a file of test/unit is a program. */
#ifndef TEST_STREAM_WORLD_H
#define TEST_STREAM_WORLD_H

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <uv.h>

#include "proxy/stream.h"
#include "proxy/tls.h"

enum kind { KIND_TCP, KIND_TLS, KIND_MEMORY };

/* What a side does within a callback. */
enum reaction {
    REACT_NOT,
    REACT_CLOSE,       /* stream_close */
    REACT_FLUSH,       /* stream_close with flush */
    REACT_STOP_START,  /* stream_read_stop, stream_read_start */
    REACT_START_STOP,  /* leaves it stopped */
    REACT_WRITE_CLOSE, /* writes a little first */
};

struct world;

struct side {
    struct world *world;
    struct stream *stream;
    uint8_t room[65536];
    size_t room_size;
    size_t to_send, sent, got;
    bool echo; /* sends back as much as it gets */
    enum reaction in_opened, in_bytes, in_writable;
    unsigned opened, bytes, writable, closed;
    unsigned tls_events[TLS_EVENT_COUNT];
    enum stream_end end;
    char detail[256];
    struct strangers *strangers; /* among whom it is read */
    bool in_call;                /* of a function of the stream: closed must not come now */
};

struct world {
    enum kind kind;
    uv_loop_t loop;
    struct chunk_pool chunks;
    struct stream_env env;
    uint8_t cipher[STREAM_CIPHER_ROOM];
    uv_tcp_t listener;
    uv_timer_t tick;
    bool accept; /* by itself, as side b */
    bool read_at_once;
    unsigned arrivals;
    int accept_error;
    uint16_t port;
    struct ssl_ctx_st *server_tls, *client_tls; /* of the test */
    uint64_t handshake_ms;
    struct stream_pair *pair;
    size_t step; /* memory: octets a step */
    struct side a, b;
};

static inline uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 7 + (at >> 8) * 13 + (at >> 16));
}

/* --- what a side does ---------------------------------------------------------------------------------- */

static inline struct chunk *pattern_chunk(struct side *s, size_t len)
{
    struct chunk *chunk = chunk_get(s->world->env.chunks);
    if (chunk == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < len; i++) {
        chunk->data[chunk->end++] = pattern(s->sent++);
    }
    return chunk;
}

/* Writes one chain, of chunks of several sizes. */
static inline void side_write(struct side *s, size_t octets)
{
    static const size_t sizes[] = {CHUNK_SIZE, 1, 200, CHUNK_SIZE, 16000, 3};
    struct chunk *first = NULL;
    struct chunk **at = &first;
    for (size_t i = 0; octets > 0 && i < 100; i++) {
        size_t len = sizes[i % 6] < octets ? sizes[i % 6] : octets;
        *at = pattern_chunk(s, len);
        if (*at == NULL) {
            break;
        }
        at = &(*at)->next;
        octets -= len;
    }
    s->in_call = true;
    stream_write(s->stream, first);
    s->in_call = false;
}

static inline void side_close(struct side *s, bool flush)
{
    s->in_call = true;
    stream_close(s->stream, flush);
    s->in_call = false;
}

static inline void side_reading(struct side *s, bool on)
{
    s->in_call = true;
    (on ? stream_read_start : stream_read_stop)(s->stream);
    s->in_call = false;
}

/* Sends as much of to_send as the stream takes. */
static inline void side_feed(struct side *s)
{
    while (s->stream != NULL && s->opened > 0 && s->to_send > s->sent && !stream_busy(s->stream)) {
        size_t left = s->to_send - s->sent;
        side_write(s, left < 100000 ? left : 100000);
        if (s->sent < s->to_send && left < 100000 && !stream_busy(s->stream)) {
            break; /* without memory */
        }
    }
}

static inline void side_react(struct side *s, enum reaction reaction)
{
    switch (reaction) {
    case REACT_CLOSE: side_close(s, false); break;
    case REACT_FLUSH: side_close(s, true); break;
    case REACT_WRITE_CLOSE:
        side_write(s, 10);
        side_close(s, true);
        break;
    case REACT_STOP_START:
        side_reading(s, false);
        side_reading(s, true);
        break;
    case REACT_START_STOP:
        side_reading(s, true);
        side_reading(s, false);
        break;
    default: break;
    }
}

static inline void side_opened(void *owner)
{
    struct side *s = owner;
    assert_false(s->in_call);
    assert_int_equal(s->closed, 0);
    s->opened++;
    side_react(s, s->in_opened);
}

static inline uint8_t *side_room(void *owner, size_t *len)
{
    struct side *s = owner;
    assert_false(s->in_call);
    *len = s->room_size;
    return s->room;
}

static inline void side_bytes(void *owner, size_t len)
{
    struct side *s = owner;
    assert_false(s->in_call);
    assert_int_equal(s->closed, 0);
    assert_in_range(len, 1, s->room_size);
    for (size_t i = 0; i < len; i++) {
        if (s->room[i] != pattern(s->got + i)) {
            fail_msg("octet %zu is wrong", s->got + i);
        }
    }
    memset(s->room, 0xEE, len);
    s->got += len;
    s->bytes++;
    if (s->echo) {
        s->to_send += len;
        side_feed(s);
    }
    side_react(s, s->in_bytes);
}

static inline void side_writable(void *owner)
{
    struct side *s = owner;
    assert_false(s->in_call);
    assert_int_equal(s->closed, 0);
    assert_false(stream_busy(s->stream));
    s->writable++;
    side_feed(s);
    side_react(s, s->in_writable);
}

static inline void side_closed(void *owner, enum stream_end end, const char *detail)
{
    struct side *s = owner;
    assert_false(s->in_call);
    assert_non_null(detail);
    assert_true(detail[0] != '\0');
    s->closed++;
    assert_int_equal(s->closed, 1);
    s->end = end;
    (void)snprintf(s->detail, sizeof(s->detail), "%s", detail);
    s->stream = NULL;
}

static inline void side_tls_event(void *owner, enum tls_event event)
{
    struct side *s = owner;
    s->tls_events[event]++;
}

static inline struct strangers *side_stranger(void *owner)
{
    return ((struct side *)owner)->strangers;
}

static const struct stream_events side_events = {
    .stranger = side_stranger,
    .opened = side_opened,
    .room = side_room,
    .bytes = side_bytes,
    .writable = side_writable,
    .closed = side_closed,
    .tls_event = side_tls_event,
};

/* --- the world ------------------------------------------------------------------------------------------ */

static inline void world_accept(struct world *w)
{
    struct side *b = &w->b;
    w->accept_error = 0;
    b->stream = stream_accept(&w->env, (uv_stream_t *)&w->listener, w->server_tls, w->handshake_ms,
                              &side_events, b, &w->accept_error);
    if (b->stream == NULL) {
        assert_int_not_equal(w->accept_error, 0);
        return;
    }
    b->opened += w->server_tls == NULL; /* it is from the start, and no event says so */
    if (w->read_at_once) {
        side_reading(b, true);
    }
}

static inline void on_arrival(uv_stream_t *server, int status)
{
    struct world *w = server->data;
    if (status != 0) {
        w->accept_error = status;
        return;
    }
    w->arrivals++;
    if (w->accept && w->b.stream == NULL) {
        world_accept(w);
    }
}

static inline void on_tick(uv_timer_t *timer)
{
    (void)timer; /* it only ends uv_run */
}

static inline void world_listen(struct world *w)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(uv_tcp_init(&w->loop, &w->listener), 0);
    w->listener.data = w;
    assert_int_equal(uv_tcp_bind(&w->listener, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&w->listener, 16, on_arrival), 0);
    int len = sizeof(address);
    assert_int_equal(uv_tcp_getsockname(&w->listener, (struct sockaddr *)&address, &len), 0);
    w->port = ntohs(address.sin_port);
}

static inline struct world *world_new(enum kind kind)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->kind = kind;
    w->accept = w->read_at_once = true;
    w->handshake_ms = 5000;
    w->a.world = w->b.world = w;
    w->a.room_size = w->b.room_size = sizeof(w->a.room);
    chunk_pool_init(&w->chunks, 8);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    w->env = (struct stream_env){.loop = &w->loop, .chunks = &w->chunks, .cipher = w->cipher};
    assert_int_equal(uv_timer_init(&w->loop, &w->tick), 0);
    assert_int_equal(uv_timer_start(&w->tick, on_tick, 5, 5), 0);
    world_listen(w);
    return w;
}

static inline struct stream_target world_target(const struct world *w)
{
    return (struct stream_target){
        .host = "127.0.0.1", .port = w->port, .tls = w->client_tls, .timeout_ms = 5000};
}

static inline void world_begin_to(struct world *w, const struct stream_target *target)
{
    w->a.in_call = true;
    w->a.stream = stream_connect(&w->env, target, &side_events, &w->a);
    w->a.in_call = false;
    if (w->a.stream != NULL && w->read_at_once) {
        side_reading(&w->a, true);
    }
}

/* Connects a to b, without waiting for it. */
static inline void world_begin(struct world *w)
{
    if (w->kind != KIND_MEMORY) {
        struct stream_target target = world_target(w);
        world_begin_to(w, &target);
        return;
    }
    w->pair = stream_pair_new(&w->env, 20000);
    assert_non_null(w->pair);
    w->a.stream = stream_pair_end(w->pair, 0, &side_events, &w->a);
    w->b.stream = stream_pair_end(w->pair, 1, &side_events, &w->b);
    if (w->read_at_once) {
        side_reading(&w->a, true);
        side_reading(&w->b, true);
    }
}

static inline void world_turn(struct world *w)
{
    side_feed(&w->a);
    side_feed(&w->b);
    if (w->kind == KIND_MEMORY) {
        (void)stream_pair_step(w->pair, w->step);
    } else {
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    }
}

static inline void world_turns(struct world *w, unsigned turns)
{
    while (turns-- > 0) {
        world_turn(w);
    }
}

#define world_until(w, condition)                                     \
    do {                                                              \
        uint64_t limit_ = uv_hrtime() + UINT64_C(10000000000);        \
        while (!(condition)) {                                        \
            if (uv_hrtime() > limit_) {                               \
                fail_msg("line %d: never: %s", __LINE__, #condition); \
            }                                                         \
            world_turn(w);                                            \
        }                                                             \
    } while (0)

static inline void world_connect(struct world *w)
{
    world_begin(w);
    world_until(w, w->a.opened > 0 && w->b.opened > 0);
}

static inline void close_any(uv_handle_t *handle, void *unused)
{
    (void)unused;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

/* Nothing may be left: no stream, no chunk, no handle but the world's own. */
static inline void world_free(struct world *w)
{
    for (int i = 0; i < 2; i++) {
        struct side *s = i == 0 ? &w->a : &w->b;
        if (s->stream != NULL) {
            side_close(s, false);
        }
        world_until(w, s->stream == NULL);
    }
    if (w->pair != NULL) {
        stream_pair_free(w->pair);
    }
    uv_close((uv_handle_t *)&w->listener, NULL);
    uv_close((uv_handle_t *)&w->tick, NULL);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    assert_int_equal(w->chunks.out, 0);
    chunk_pool_clear(&w->chunks);
    free(w);
}

/* --- raw sockets, for peers that misbehave ----------------------------------------------------------------
 */

static inline int raw_connect(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static inline void raw_reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    assert_int_equal(close(fd), 0);
}

#endif
