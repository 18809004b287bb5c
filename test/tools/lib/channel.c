#include "test/tools/lib/channel.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REFILL_MS = 20, REFILLS_PER_SECOND = 1000 / REFILL_MS };

static void flush(struct channel *c);

static void on_prepare(uv_prepare_t *prepare)
{
    struct channel_loop *cl = prepare->data;
    struct channel *c = NULL;
    while ((c = TAILQ_FIRST(&cl->dirty)) != NULL) {
        TAILQ_REMOVE(&cl->dirty, c, in_dirty);
        c->dirty = false;
        flush(c);
    }
}

void channel_loop_init(struct channel_loop *cl, uv_loop_t *loop)
{
    memset(cl, 0, sizeof(*cl));
    cl->loop = loop;
    TAILQ_INIT(&cl->all);
    TAILQ_INIT(&cl->dirty);
    cl->scratch = tools_alloc(1, CHANNEL_SCRATCH);
    cl->plain = tools_alloc(1, CHANNEL_SCRATCH);
    uv_prepare_init(loop, &cl->prepare);
    cl->prepare.data = cl;
    uv_prepare_start(&cl->prepare, on_prepare);
    uv_timer_init(loop, &cl->refill);
    cl->refill.data = cl;
}

void channel_loop_close(struct channel_loop *cl)
{
    uv_close((uv_handle_t *)&cl->prepare, NULL);
    uv_close((uv_handle_t *)&cl->refill, NULL);
}

void channel_loop_free(struct channel_loop *cl)
{
    free(cl->scratch);
    free(cl->plain);
}

/* --- the end -----------------------------------------------------------------------------------------------
 */

static void on_closed(uv_handle_t *handle)
{
    struct channel *c = handle->data;
    SSL_free(c->ssl);
    buffer_free(&c->in);
    buffer_free(&c->out);
    buffer_free(&c->wire);
    buffer_free(&c->writing);
    c->handlers->closed(c, c->why);
}

static void close_now(struct channel *c, bool rudely)
{
    c->closing = true;
    TAILQ_REMOVE(&c->owner->all, c, in_all);
    if (c->dirty) {
        TAILQ_REMOVE(&c->owner->dirty, c, in_dirty);
        c->dirty = false;
    }
    if (!rudely || uv_tcp_close_reset(&c->tcp, on_closed) != 0) {
        uv_close((uv_handle_t *)&c->tcp, on_closed);
    }
}

void channel_close(struct channel *c, enum channel_end how, const char *why)
{
    if (c->closing || (c->ending && how == CHANNEL_FLUSH)) {
        return;
    }
    if (!c->ending) {
        (void)snprintf(c->why, sizeof(c->why), "%s", why);
    }
    c->ending = true;
    if (how != CHANNEL_FLUSH || !c->open) {
        close_now(c, how == CHANNEL_RST);
        return;
    }
    channel_touch(c);
}

/* --- writing -----------------------------------------------------------------------------------------------
 */

void channel_touch(struct channel *c)
{
    if (!c->dirty && !c->closing) {
        c->dirty = true;
        TAILQ_INSERT_TAIL(&c->owner->dirty, c, in_dirty);
    }
}

void channel_commit(struct channel *c, size_t n)
{
    buffer_commit(&c->out, n);
    channel_touch(c);
}

void channel_send(struct channel *c, const void *data, size_t n)
{
    buffer_append(&c->out, data, n);
    channel_touch(c);
}

static void on_written(uv_write_t *write, int status)
{
    struct channel *c = write->data;
    c->busy = false;
    c->writing.len = 0;
    if (status < 0) {
        channel_close(c, CHANNEL_FIN, uv_strerror(status));
    }
    flush(c);
}

/* The kernel's buffer is full: libuv keeps the rest until there is room. */
static void write_rest(struct channel *c, struct buffer *rest)
{
    struct buffer empty = c->writing;
    c->writing = *rest;
    *rest = empty;
    uv_buf_t buf = uv_buf_init((char *)c->writing.data, (unsigned)c->writing.len);
    c->write.data = c;
    c->busy = true;
    int error = uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written);
    if (error < 0) {
        c->busy = false;
        channel_close(c, CHANNEL_FIN, uv_strerror(error));
    }
}

static void flush(struct channel *c)
{
    if (c->closing || c->busy || c->paused) {
        return;
    }
    if (c->ssl != NULL) {
        channel_tls_encrypt(c);
    }
    struct buffer *from = c->ssl != NULL ? &c->wire : &c->out;
    if (from->len > 0) {
        uv_buf_t buf = uv_buf_init((char *)from->data, (unsigned)from->len);
        int written = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
        if (written < 0 && written != UV_EAGAIN) {
            channel_close(c, CHANNEL_FIN, uv_strerror(written));
            return;
        }
        buffer_consume(from, written > 0 ? (size_t)written : 0);
    }
    if (from->len > 0) {
        write_rest(c, from);
    } else if (c->ending) {
        close_now(c, false);
    }
}

/* --- reading -----------------------------------------------------------------------------------------------
 */

void channel_deliver(struct channel *c, const uint8_t *data, size_t len)
{
    if (c->ending) {
        return;
    }
    if (c->in.len == 0) {
        size_t used = c->handlers->data(c, data, len);
        buffer_append(&c->in, data + used, len - used);
        return;
    }
    buffer_append(&c->in, data, len);
    buffer_consume(&c->in, c->handlers->data(c, c->in.data, c->in.len));
}

static void feed(struct channel *c, const uint8_t *data, size_t len)
{
    if (c->ssl != NULL) {
        channel_tls_feed(c, data, len);
    } else {
        channel_deliver(c, data, len);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct channel *c = handle->data;
    bool bounded = c->limit > 0 && c->budget < CHANNEL_SCRATCH;
    *buf = uv_buf_init((char *)c->owner->scratch, bounded ? (unsigned)c->budget : CHANNEL_SCRATCH);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct channel *c = stream->data;
    if (len < 0) {
        channel_close(c, CHANNEL_FIN, len == UV_EOF ? "closed by the peer" : uv_strerror((int)len));
        return;
    }
    if (c->limit > 0) {
        c->budget -= (uint64_t)len < c->budget ? (uint64_t)len : c->budget;
        c->starved = c->budget == 0;
        if (c->starved) {
            uv_read_stop(stream);
        }
    }
    feed(c, (const uint8_t *)buf->base, (size_t)len);
}

static void read_on(struct channel *c)
{
    if (c->closing || !c->open) {
        return;
    }
    if (c->paused || c->starved) {
        uv_read_stop((uv_stream_t *)&c->tcp);
    } else {
        uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    }
}

void channel_pause(struct channel *c, bool paused)
{
    c->paused = paused;
    read_on(c);
    if (!paused && c->open && !c->ending) {
        channel_touch(c);
        buffer_consume(&c->in, c->in.len == 0 ? 0 : c->handlers->data(c, c->in.data, c->in.len));
    }
}

static void on_refill(uv_timer_t *timer)
{
    struct channel_loop *cl = timer->data;
    struct channel *c = NULL;
    TAILQ_FOREACH(c, &cl->all, in_all)
    {
        if (c->limit > 0) {
            uint64_t more = c->limit / REFILLS_PER_SECOND;
            c->budget += more > 0 ? more : 1;
            c->budget = c->budget < c->limit ? c->budget : c->limit;
            c->starved = false;
            read_on(c);
        }
    }
}

void channel_limit(struct channel *c, uint64_t octets_per_second)
{
    c->limit = octets_per_second;
    c->budget = 0;
    c->starved = octets_per_second > 0;
    if (octets_per_second > 0) {
        uv_timer_start(&c->owner->refill, on_refill, REFILL_MS, REFILL_MS);
    }
    read_on(c);
}

static void drain(struct channel *c)
{
    uv_os_fd_t fd = -1;
    if (uv_fileno((uv_handle_t *)&c->tcp, &fd) != 0) {
        return;
    }
    while (!c->ending && !c->paused) {
        ssize_t len = recv(fd, c->owner->scratch, CHANNEL_SCRATCH, MSG_DONTWAIT);
        if (len <= 0 && !(len < 0 && errno == EINTR)) {
            return; /* nothing more; an end is left for the loop to find */
        }
        feed(c, c->owner->scratch, len < 0 ? 0 : (size_t)len);
    }
}

unsigned channel_loop_drain(struct channel_loop *cl)
{
    unsigned left = 0;
    struct channel *next = NULL;
    for (struct channel *c = TAILQ_FIRST(&cl->all); c != NULL; c = next) {
        next = TAILQ_NEXT(c, in_all);
        if (c->paused || c->limit > 0) {
            left++;
        } else if (c->open || c->ssl != NULL) {
            drain(c);
        }
    }
    return left;
}

/* --- the begin ---------------------------------------------------------------------------------------------
 */

void channel_opened(struct channel *c)
{
    c->open = true;
    c->handlers->open(c);
    channel_touch(c);
}

static void init(struct channel_loop *cl, struct channel *c, const struct channel_handlers *handlers)
{
    c->owner = cl;
    c->handlers = handlers;
    TAILQ_INSERT_TAIL(&cl->all, c, in_all);
    uv_tcp_init(cl->loop, &c->tcp);
    c->tcp.data = c;
}

/* Connected: TLS first, if it is wanted. */
static void begin(struct channel *c)
{
    uv_tcp_nodelay(&c->tcp, 1);
    uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    if (c->ssl != NULL) {
        channel_tls_feed(c, NULL, 0);
    } else {
        channel_opened(c);
    }
}

int channel_accept(struct channel_loop *cl, struct channel *c, uv_stream_t *listener, SSL_CTX *tls,
                   const struct channel_handlers *handlers)
{
    init(cl, c, handlers);
    int error = uv_accept(listener, (uv_stream_t *)&c->tcp);
    if (error < 0 || (tls != NULL && !channel_tls_start(c, tls, NULL))) {
        channel_close(c, CHANNEL_FIN, error < 0 ? uv_strerror(error) : "TLS cannot start");
        return error < 0 ? error : UV_ENOMEM;
    }
    begin(c);
    return 0;
}

static void on_connected(uv_connect_t *connecting, int status)
{
    struct channel *c = connecting->data;
    if (c->closing) {
        return;
    }
    if (status < 0) {
        channel_close(c, CHANNEL_FIN, uv_strerror(status));
        return;
    }
    begin(c);
}

int channel_connect(struct channel_loop *cl, struct channel *c, const struct sockaddr *to, SSL_CTX *tls,
                    const char *name, const struct channel_handlers *handlers)
{
    init(cl, c, handlers);
    c->connecting.data = c;
    int error = 0;
    if (tls != NULL && !channel_tls_start(c, tls, name)) {
        error = UV_ENOMEM;
    } else {
        error = uv_tcp_connect(&c->connecting, &c->tcp, to, on_connected);
    }
    if (error < 0) {
        channel_close(c, CHANNEL_FIN, uv_strerror(error));
    }
    return error;
}

bool channel_resolve(const char *host, uint16_t port, struct sockaddr_storage *address)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char service[8];
    (void)snprintf(service, sizeof(service), "%u", (unsigned)port);
    if (getaddrinfo(host, service, &hints, &found) != 0) {
        return false;
    }
    memset(address, 0, sizeof(*address));
    memcpy(address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return true;
}
