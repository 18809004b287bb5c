/* TCP over libuv.
 *
 *   host ──resolve──▶ addresses ──attempt, one after the other──▶ open ──flush──▶ ending ──handles closed──▶
 * freed
 *
 *   stream_write ──▶ out ──send, the whole chain──▶ kernel
 *                     └─ what it does not take ──uv_write, WRITE_BUFS at a time──▶ kernel ──▶ writable
 *
 * Every state can go to ending, by end() alone; closed is called when the last handle has closed. The
 * requests are part of the stream and only one is under way at a time, so nothing is allocated after the
 * stream itself. */
#include "proxy/stream.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "proxy/stream_p.h"

enum {
    TRY_BUFS = 64,  /* of one system call; IOV_MAX is far more, but the array is on the stack */
    WRITE_BUFS = 4, /* what uv_write keeps in the request itself; for more it would allocate */
    DISCARD_ROOM = 4096,
    READ_COST = 2000, /* ns, of the system call that was before */
};

enum tcp_state { TCP_RESOLVING, TCP_CONNECTING, TCP_OPEN, TCP_FLUSHING, TCP_ENDING };

struct resolve;

struct tcp_stream {
    struct stream base;
    enum tcp_state state;
    enum stream_end end;
    int error;      /* libuv's, that explains the end, or of the last attempt to connect */
    bool reading;   /* the owner wants it */
    bool broken;    /* a write failed; what had come in before is still being read */
    bool finished;  /* flushing: our FIN is sent */
    bool peer_done; /* flushing: the peer's FIN has come */
    uv_tcp_t handle;
    int fd;           /* of handle, once it is open */
    uv_timer_t timer; /* of an attempt, of the whole connect, of the flush */
    unsigned handles; /* open */
    union {
        uv_connect_t connect;
        uv_write_t write;
        uv_shutdown_t shutdown;
    } request;
    struct chain out;
    size_t writing;              /* octets at the front of out that uv_write is about */
    struct strangers *strangers; /* whose time the present read takes; NULL: nobody's */
    struct stranger stranger;    /* among them */
    bool put_off;                /* the present read is not done */
    struct resolve *resolve;
    struct addrinfo *addresses, *next; /* resolved; next: not tried yet */
    uint64_t deadline;
};

/* Apart from the stream, because a resolver that hangs outlives it. */
struct resolve {
    uv_getaddrinfo_t request;
    struct tcp_stream *stream; /* NULL: nobody waits any more */
};

static void attempt(struct tcp_stream *t);
static void push(struct tcp_stream *t);

static struct tcp_stream *tcp_of(struct stream *s)
{
    return (struct tcp_stream *)s;
}

/* --- the end ------------------------------------------------------------------------------------------- */

static void describe(const struct tcp_stream *t, char *out, size_t cap)
{
    char error[96];
    uv_strerror_r(t->error, error, sizeof(error));
    switch (t->end) {
    case STREAM_END_CLOSED: (void)snprintf(out, cap, "closed on this side"); break;
    case STREAM_END_PEER: (void)snprintf(out, cap, "closed by the peer"); break;
    case STREAM_END_RESET: (void)snprintf(out, cap, "the connection broke: %s", error); break;
    case STREAM_END_RESOLVE: (void)snprintf(out, cap, "cannot resolve the host name: %s", error); break;
    case STREAM_END_TIMEOUT:
        (void)snprintf(out, cap, "no connection in time%s%s", t->base.peer[0] != '\0' ? " to " : "",
                       t->base.peer);
        break;
    default: (void)snprintf(out, cap, "cannot connect to %s: %s", t->base.peer, error); break;
    }
}

static void finish(struct tcp_stream *t)
{
    char detail[256];
    describe(t, detail, sizeof(detail));
    chain_drop(&t->out, t->base.env->chunks);
    uv_freeaddrinfo(t->addresses);
    t->base.events->closed(t->base.owner, t->end, detail);
    assert(t->stranger.among == NULL);
    free(t);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct tcp_stream *t = handle->data;
    t->handles--;
    if (t->state != TCP_ENDING) {
        attempt(t); /* it was the socket of an attempt that failed */
    } else if (t->handles == 0) {
        finish(t);
    }
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle)) {
        uv_close(handle, on_handle_closed);
    }
}

static void end(struct tcp_stream *t, enum stream_end why, int error)
{
    if (t->state == TCP_ENDING) {
        return;
    }
    t->state = TCP_ENDING;
    strangers_leave(&t->stranger);
    t->end = why;
    t->error = error;
    if (t->resolve != NULL) {
        t->resolve->stream = NULL;
        (void)uv_cancel((uv_req_t *)&t->resolve->request);
        t->resolve = NULL;
    }
    close_handle((uv_handle_t *)&t->handle);
    close_handle((uv_handle_t *)&t->timer);
}

/* --- reading ------------------------------------------------------------------------------------------- */

/* Without room libuv reads nothing, and says so. */
static inline bool put_off(struct tcp_stream *t, uv_buf_t *buf)
{
    t->strangers = t->base.events->stranger != NULL ? t->base.events->stranger(t->base.owner) : NULL;
    t->put_off = t->strangers != NULL && !strangers_may(t->strangers, &t->stranger);
    if (t->put_off) {
        buf->base = NULL;
        buf->len = 0;
    }
    return t->put_off;
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct tcp_stream *t = handle->data;
    (void)suggested;
    size_t len = 0;
    if (put_off(t, buf)) {
        return;
    }
    uint8_t *room = t->base.events->room(t->base.owner, &len);
    assert(len > 0);
    buf->base = (char *)room;
    buf->len = len;
}

/* Where a reset follows the last octets, libuv calls it an end; the socket knows better. */
static int error_behind_end(const struct tcp_stream *t)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
        return 0;
    }
    return uv_translate_sys_error(error);
}

static void on_end_of_octets(struct tcp_stream *t, int error)
{
    if (error == UV_EOF) {
        error = error_behind_end(t);
    }
    if (t->broken) {
        end(t, STREAM_END_RESET, t->error);
    } else {
        end(t, error == 0 ? STREAM_END_PEER : STREAM_END_RESET, error);
    }
}

static void wait_for_turn(struct tcp_stream *t)
{
    (void)uv_read_stop((uv_stream_t *)&t->handle);
    strangers_wait(t->strangers, &t->stranger);
}

static void take_in(struct tcp_stream *t, ssize_t count)
{
    if (count > 0) {
        t->base.events->bytes(t->base.owner, (size_t)count);
    } else if (count < 0) {
        on_end_of_octets(t, (int)count);
    }
}

/* What has been read, or that it was put off, at the cost of whoever it was read for. */
static inline void do_read(struct tcp_stream *t, ssize_t count,
                           void (*take)(struct tcp_stream *t, ssize_t count))
{
    if (t->put_off) {
        wait_for_turn(t);
    } else if (t->strangers == NULL) {
        take(t, count);
    } else {
        struct strangers *strangers = t->strangers;
        uint64_t begun = uv_hrtime();
        take(t, count);
        strangers_spent(strangers, uv_hrtime() - begun + READ_COST);
    }
}

static void on_read(uv_stream_t *handle, ssize_t count, const uv_buf_t *buf)
{
    (void)buf;
    do_read(handle->data, count, take_in);
}

static void start_reading(struct tcp_stream *t)
{
    int error = uv_read_start((uv_stream_t *)&t->handle, on_room, on_read);
    if (error != 0) {
        end(t, STREAM_END_RESET, error);
    }
}

static void tcp_read_start(struct stream *s)
{
    struct tcp_stream *t = tcp_of(s);
    if (t->reading) {
        return;
    }
    t->reading = true;
    if (t->state == TCP_OPEN) {
        start_reading(t);
    }
}

static void tcp_read_stop(struct stream *s)
{
    struct tcp_stream *t = tcp_of(s);
    t->reading = false;
    if (t->state != TCP_OPEN) {
        return;
    }
    strangers_leave(&t->stranger);
    (void)uv_read_stop((uv_stream_t *)&t->handle);
    if (t->broken) {
        end(t, STREAM_END_RESET, t->error);
    }
}

/* --- writing ------------------------------------------------------------------------------------------- */

/* A peer may have answered much before it broke the connection. While the owner reads, those answers are
 * worth more than a quick end: reading goes on up to the end of what has come. That end is made to come: a
 * connection that the kernel does not hold for broken would be read for ever, with nothing going out. */
static void write_failed(struct tcp_stream *t, int error)
{
    if (t->state != TCP_OPEN) {
        end(t, STREAM_END_CLOSED, 0);
    } else if (t->reading) {
        t->broken = true;
        t->error = error;
        (void)shutdown(t->fd, SHUT_RDWR);
    } else {
        end(t, STREAM_END_RESET, error);
    }
}

static unsigned buffers(const struct chunk *chunk, uv_buf_t *bufs, unsigned max, size_t *total)
{
    unsigned count = 0;
    *total = 0;
    for (; chunk != NULL && count < max; chunk = chunk->next) {
        /* uv_buf_t is for reading too, so it cannot be const. */
        bufs[count++] =
            uv_buf_init((char *)(uintptr_t)(chunk->data + chunk->start), chunk->end - chunk->start);
        *total += chunk->end - chunk->start;
    }
    return count;
}

static void send_fin(struct tcp_stream *t);

static void on_written(uv_write_t *request, int status)
{
    struct tcp_stream *t = request->handle->data;
    size_t written = t->writing;
    t->writing = 0;
    if (t->state == TCP_ENDING) {
        return;
    }
    if (status != 0) {
        write_failed(t, status);
        return;
    }
    chain_consume(&t->out, t->base.env->chunks, written);
    push(t);
    if (t->out.first != NULL || t->broken) {
        return;
    }
    if (t->state == TCP_FLUSHING) {
        send_fin(t);
    } else if (t->state == TCP_OPEN) {
        t->base.events->writable(t->base.owner);
    }
}

static void write_later(struct tcp_stream *t)
{
    uv_buf_t bufs[WRITE_BUFS];
    unsigned count = buffers(t->out.first, bufs, WRITE_BUFS, &t->writing);
    int error = uv_write(&t->request.write, (uv_stream_t *)&t->handle, bufs, count, on_written);
    if (error != 0) {
        t->writing = 0;
        write_failed(t, error);
    }
}

/* On Linux a uv_buf_t is an iovec. */
static_assert(sizeof(uv_buf_t) == sizeof(struct iovec) &&
                  offsetof(uv_buf_t, base) == offsetof(struct iovec, iov_base) &&
                  offsetof(uv_buf_t, len) == offsetof(struct iovec, iov_len),
              "uv_buf_t is given to sendmsg");

/* What waits goes to the kernel: octets taken, or -1 and errno. *total: of how many. libuv's own way there, write,
 * costs a call more than twice what the socket's calls do. */
static ssize_t send_chain(const struct tcp_stream *t, size_t *total)
{
    const struct chunk *first = t->out.first;
    *total = first->end - first->start;
    if (first->next == NULL) {
        return send(t->fd, first->data + first->start, *total, MSG_NOSIGNAL);
    }
    uv_buf_t bufs[TRY_BUFS];
    struct msghdr message = {.msg_iov = (struct iovec *)bufs,
                             .msg_iovlen = buffers(first, bufs, TRY_BUFS, total)};
    return sendmsg(t->fd, &message, MSG_NOSIGNAL);
}

static void push(struct tcp_stream *t)
{
    while (t->out.first != NULL) {
        size_t total;
        ssize_t written = send_chain(t, &total);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0 && errno != EAGAIN && errno != ENOBUFS) {
            write_failed(t, uv_translate_sys_error(errno));
            return;
        }
        written = written < 0 ? 0 : written;
        chain_consume(&t->out, t->base.env->chunks, (size_t)written);
        if ((size_t)written < total) {
            write_later(t);
            return;
        }
    }
}

static void tcp_write(struct stream *s, struct chunk *first)
{
    struct tcp_stream *t = tcp_of(s);
    if (t->state != TCP_OPEN || t->broken) {
        chunk_put_all(s->env->chunks, first);
        return;
    }
    chain_append(&t->out, first);
    if (t->writing == 0) {
        push(t);
    }
}

static bool tcp_busy(const struct stream *s)
{
    const struct tcp_stream *t = (const struct tcp_stream *)s;
    bool sends = t->state == TCP_OPEN || t->state == TCP_FLUSHING;
    return sends && (t->out.first != NULL || t->broken);
}

/* --- close, with or without flush ---------------------------------------------------------------------- */

/* A socket that is closed with octets unread sends a reset, which can overtake what was written last. So
 * flushing reads on, into nothing, until the peer has closed too. */
static void on_discard_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static _Thread_local char nothing[DISCARD_ROOM];
    (void)suggested;
    if (put_off(handle->data, buf)) {
        return;
    }
    buf->base = nothing;
    buf->len = sizeof(nothing);
}

static void discard(struct tcp_stream *t, ssize_t count)
{
    t->peer_done = t->peer_done || count == UV_EOF;
    if (count < 0 && (count != UV_EOF || t->finished)) {
        end(t, STREAM_END_CLOSED, 0);
    }
}

static void on_discard(uv_stream_t *handle, ssize_t count, const uv_buf_t *buf)
{
    (void)buf;
    do_read(handle->data, count, discard);
}

static void start_discarding(struct tcp_stream *t)
{
    if (uv_read_start((uv_stream_t *)&t->handle, on_discard_room, on_discard) != 0) {
        end(t, STREAM_END_CLOSED, 0);
    }
}

static void on_called(struct stranger *stranger)
{
    struct tcp_stream *t = (struct tcp_stream *)((char *)stranger - offsetof(struct tcp_stream, stranger));
    if (t->state == TCP_FLUSHING) {
        start_discarding(t);
    } else {
        start_reading(t);
    }
}

static void on_fin_sent(uv_shutdown_t *request, int status)
{
    struct tcp_stream *t = request->handle->data;
    t->finished = true;
    if (status != 0 || t->peer_done) {
        end(t, STREAM_END_CLOSED, 0);
    }
}

static void send_fin(struct tcp_stream *t)
{
    if (uv_shutdown(&t->request.shutdown, (uv_stream_t *)&t->handle, on_fin_sent) != 0) {
        end(t, STREAM_END_CLOSED, 0);
    }
}

static void on_flush_too_long(uv_timer_t *timer)
{
    end(timer->data, STREAM_END_CLOSED, 0);
}

static void flush(struct tcp_stream *t)
{
    t->state = TCP_FLUSHING;
    (void)uv_timer_start(&t->timer, on_flush_too_long, STREAM_FLUSH_MS, 0);
    strangers_leave(&t->stranger);
    (void)uv_read_stop((uv_stream_t *)&t->handle);
    start_discarding(t);
    if (t->state == TCP_FLUSHING && t->out.first == NULL) {
        send_fin(t);
    }
}

static void tcp_close(struct stream *s, bool with_flush)
{
    struct tcp_stream *t = tcp_of(s);
    if (with_flush && t->state == TCP_OPEN && !t->broken) {
        flush(t);
    } else if (!with_flush || t->state != TCP_FLUSHING) {
        end(t, STREAM_END_CLOSED, 0);
    }
}

/* --- making one ---------------------------------------------------------------------------------------- */

/* libuv writes without MSG_NOSIGNAL. A handler that the program has set is left alone. */
static void ignore_sigpipe(void)
{
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL) {
        action.sa_handler = SIG_IGN;
        (void)sigaction(SIGPIPE, &action, NULL);
    }
}

static const struct stream_kind tcp_kind = {
    .read_start = tcp_read_start,
    .read_stop = tcp_read_stop,
    .write = tcp_write,
    .busy = tcp_busy,
    .close = tcp_close,
};

static void open_socket_handle(struct tcp_stream *t)
{
    (void)uv_tcp_init(t->base.env->loop, &t->handle); /* no descriptor yet, so it cannot fail */
    t->handle.data = t;
    t->handles++;
    (void)uv_tcp_nodelay(&t->handle, 1); /* remembered until there is a descriptor */
}

static struct tcp_stream *tcp_new(struct stream_env *env, const struct stream_events *events, void *owner)
{
    static uv_once_t once = UV_ONCE_INIT;
    uv_once(&once, ignore_sigpipe);
    struct tcp_stream *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        return NULL;
    }
    stream_init(&t->base, &tcp_kind, env, events, owner);
    t->stranger.read_on = on_called;
    open_socket_handle(t);
    (void)uv_timer_init(env->loop, &t->timer);
    t->timer.data = t;
    t->handles++;
    return t;
}

static void is_open(struct tcp_stream *t)
{
    t->state = TCP_OPEN;
    (void)uv_fileno((const uv_handle_t *)&t->handle, &t->fd); /* fails for closed ones alone */
}

/* --- connecting ---------------------------------------------------------------------------------------- */

static uint64_t time_left(const struct tcp_stream *t)
{
    uint64_t now = uv_now(t->base.env->loop);
    return t->deadline > now ? t->deadline - now : 0;
}

/* The socket of this attempt is closed; then on_handle_closed makes the next one. */
static void attempt_failed(struct tcp_stream *t, int error)
{
    if (t->next == NULL || time_left(t) == 0) {
        end(t, error == UV_ETIMEDOUT ? STREAM_END_TIMEOUT : STREAM_END_CONNECT, error);
        return;
    }
    stream_set_address(&t->base, t->next->ai_addr);
    t->next = t->next->ai_next;
    (void)uv_timer_stop(&t->timer);
    close_handle((uv_handle_t *)&t->handle);
}

static void on_attempt_too_long(uv_timer_t *timer)
{
    attempt_failed(timer->data, UV_ETIMEDOUT);
}

static void on_connect(uv_connect_t *request, int status)
{
    struct tcp_stream *t = request->handle->data;
    if (status == UV_ECANCELED || t->state != TCP_CONNECTING) {
        return; /* given up by us */
    }
    if (status != 0) {
        attempt_failed(t, status);
        return;
    }
    is_open(t);
    (void)uv_timer_stop(&t->timer);
    if (t->reading) {
        start_reading(t);
    }
    t->base.events->opened(t->base.owner);
}

/* Every address gets its share of the time left, so that a first one that is dead does not use up all of it.
 */
static uint64_t share_of_time(const struct tcp_stream *t)
{
    uint64_t addresses = 1;
    for (const struct addrinfo *a = t->next; a != NULL; a = a->ai_next) {
        addresses++;
    }
    return time_left(t) / addresses;
}

/* Connects to base.address. */
static void attempt(struct tcp_stream *t)
{
    if (t->handles == 1) {
        open_socket_handle(t);
    }
    t->state = TCP_CONNECTING;
    (void)uv_timer_start(&t->timer, on_attempt_too_long, share_of_time(t), 0);
    int error = uv_tcp_connect(&t->request.connect, &t->handle, stream_address(&t->base), on_connect);
    if (error != 0) {
        attempt_failed(t, error);
    }
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct resolve *resolve = (struct resolve *)request;
    struct tcp_stream *t = resolve->stream;
    free(resolve);
    if (t == NULL) {
        uv_freeaddrinfo(addresses);
        return;
    }
    t->resolve = NULL;
    if (status != 0) {
        end(t, STREAM_END_RESOLVE, status);
        return;
    }
    t->addresses = addresses;
    t->next = addresses->ai_next;
    stream_set_address(&t->base, addresses->ai_addr);
    attempt(t);
}

static void on_resolve_too_long(uv_timer_t *timer)
{
    end(timer->data, STREAM_END_TIMEOUT, UV_ETIMEDOUT);
}

static void resolve_host(struct tcp_stream *t, const char *host, uint16_t port)
{
    char service[8];
    (void)snprintf(service, sizeof(service), "%u", (unsigned)port);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    t->resolve = calloc(1, sizeof(*t->resolve));
    if (t->resolve == NULL) {
        end(t, STREAM_END_RESOLVE, UV_ENOMEM);
        return;
    }
    t->resolve->stream = t;
    int error = uv_getaddrinfo(t->base.env->loop, &t->resolve->request, on_resolved, host, service, &hints);
    if (error != 0) {
        free(t->resolve);
        t->resolve = NULL;
        end(t, STREAM_END_RESOLVE, error);
        return;
    }
    (void)uv_timer_start(&t->timer, on_resolve_too_long, time_left(t), 0);
}

static bool numeric(const char *host, uint16_t port, struct sockaddr_storage *address)
{
    return uv_ip4_addr(host, port, (struct sockaddr_in *)address) == 0 ||
           uv_ip6_addr(host, port, (struct sockaddr_in6 *)address) == 0;
}

struct stream *stream_tcp_connect(struct stream_env *env, const struct stream_target *target,
                                  const struct stream_events *events, void *owner)
{
    struct tcp_stream *t = tcp_new(env, events, owner);
    if (t == NULL) {
        return NULL;
    }
    t->state = TCP_RESOLVING;
    t->deadline = uv_now(env->loop) + target->timeout_ms;
    struct sockaddr_storage address;
    if (numeric(target->host, target->port, &address)) {
        stream_set_address(&t->base, (const struct sockaddr *)&address);
        attempt(t);
    } else {
        resolve_host(t, target->host, target->port);
    }
    return &t->base;
}

/* --- accepting ----------------------------------------------------------------------------------------- */

static void no_closed(void *owner, enum stream_end why, const char *detail)
{
    (void)owner;
    (void)why;
    (void)detail;
}

/* For a stream that its owner never got. */
static const struct stream_events nobody = {.closed = no_closed};

static void on_refused(uv_handle_t *handle)
{
    free(handle);
}

void stream_tcp_refuse(uv_stream_t *server)
{
    uv_tcp_t *handle = calloc(1, sizeof(*handle));
    if (handle == NULL) {
        /* libuv listens no more until somebody takes what it has accepted */
        close(server->accepted_fd);
        server->accepted_fd = -1;
        return;
    }
    (void)uv_tcp_init(server->loop, handle);
    (void)uv_accept(server, (uv_stream_t *)handle);
    uv_close((uv_handle_t *)handle, on_refused);
}

struct stream *stream_tcp_accept(struct stream_env *env, uv_stream_t *server,
                                 const struct stream_events *events, void *owner, int *error)
{
    struct tcp_stream *t = tcp_new(env, events, owner);
    if (t == NULL) {
        stream_tcp_refuse(server);
        *error = UV_ENOMEM;
        return NULL;
    }
    int status = uv_accept(server, (uv_stream_t *)&t->handle);
    if (status != 0) {
        t->base.events = &nobody;
        end(t, STREAM_END_CLOSED, 0);
        *error = status;
        return NULL;
    }
    is_open(t);
    struct sockaddr_storage address;
    int len = sizeof(address);
    if (uv_tcp_getpeername(&t->handle, (struct sockaddr *)&address, &len) == 0) {
        stream_set_address(&t->base, (const struct sockaddr *)&address);
    }
    return &t->base;
}
