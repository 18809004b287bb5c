/* A TCP connection, with or without TLS, as both tools use it.
 *
 *   socket ──one read a wake-up──▶ (TLS) ──▶ handlers->data      says how much of it was whole PDUs
 *   channel_reserve, channel_commit ──▶ out ──(TLS)──▶ one write a tick, just before the loop sleeps
 *
 * TCP_NODELAY is set. What the handler does not consume is kept and comes again with more. A connection is
 * embedded in its owner, who may free it only in handlers->closed, the last call it gets. */
#ifndef TOOLS_CHANNEL_H
#define TOOLS_CHANNEL_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <uv.h>

#include "test/tools/lib/buffer.h"

struct channel;
TAILQ_HEAD(channel_list, channel);

/* What the connections of one loop share. */
struct channel_loop {
    uv_loop_t *loop;
    uv_prepare_t prepare; /* writes what the tick has collected */
    uv_timer_t refill;    /* hands out the budgets of slow readers */
    struct channel_list all;
    struct channel_list dirty; /* have something to write */
    uint8_t *scratch;          /* what a read gives */
    uint8_t *plain;            /* what TLS makes of it */
};

struct channel_handlers {
    void (*open)(struct channel *c);                                    /* connected, TLS agreed */
    size_t (*data)(struct channel *c, const uint8_t *data, size_t len); /* returns the octets consumed */
    void (*closed)(struct channel *c, const char *why);                 /* the last call */
};

struct channel {
    uv_tcp_t tcp;
    uv_connect_t connecting;
    uv_write_t write;
    TAILQ_ENTRY(channel) in_all;
    TAILQ_ENTRY(channel) in_dirty;
    struct channel_loop *owner;
    const struct channel_handlers *handlers;
    SSL *ssl;
    struct buffer in;      /* the begin of an unfinished PDU */
    struct buffer out;     /* collected in this tick */
    struct buffer wire;    /* out, encrypted */
    struct buffer writing; /* what the kernel did not take at once */
    uint64_t limit;        /* octets a second that are read, 0 for no limit */
    uint64_t budget;
    bool open, closing, ending, dirty, busy, paused, starved;
    char why[128];
};

enum channel_end {
    CHANNEL_FLUSH, /* write what is collected, then FIN */
    CHANNEL_FIN,   /* at once */
    CHANNEL_RST,   /* at once, and rudely */
};

void channel_loop_init(struct channel_loop *cl, uv_loop_t *loop);

/* Closes its handles; the connections must be closed, or closing. channel_loop_free after the loop has ended.
 */
void channel_loop_close(struct channel_loop *cl);
void channel_loop_free(struct channel_loop *cl);

/* Takes a connection off a listener, or makes one. tls may be NULL; name is for SNI and the certificate's
 * check. c must be zeroed. Negative: libuv's error; then closed will come all the same. */
int channel_accept(struct channel_loop *cl, struct channel *c, uv_stream_t *listener, SSL_CTX *tls,
                   const struct channel_handlers *handlers);
int channel_connect(struct channel_loop *cl, struct channel *c, const struct sockaddr *to, SSL_CTX *tls,
                    const char *name, const struct channel_handlers *handlers);

/* Where to write up to n octets that shall leave; then how many they were. */
static inline uint8_t *channel_reserve(struct channel *c, size_t n)
{
    return buffer_reserve(&c->out, n);
}
void channel_commit(struct channel *c, size_t n);
void channel_send(struct channel *c, const void *data, size_t n);

/* Ends it. The first call's why counts. */
void channel_close(struct channel *c, enum channel_end how, const char *why);

/* Stops reading and writing, or goes on: a peer that hangs. */
void channel_pause(struct channel *c, bool paused);

/* Reads at most so many octets a second; 0 for as fast as it goes. */
void channel_limit(struct channel *c, uint64_t octets_per_second);

/* Reads every open socket until the kernel has no more, and handles it all. Returns how many sockets it left
 * alone because they are paused or limited. */
unsigned channel_loop_drain(struct channel_loop *cl);

/* The numeric address of a host and port. False where there is none. */
bool channel_resolve(const char *host, uint16_t port, struct sockaddr_storage *address);

/* TLS 1.2 and later. NULL, after a word on stderr, where a file cannot be used. ca NULL: the system's. */
SSL_CTX *channel_tls_server(const char *certificate, const char *key);
SSL_CTX *channel_tls_client(const char *ca, bool insecure);

/* Of channel_tls.c, for channel.c. */
bool channel_tls_start(struct channel *c, SSL_CTX *tls, const char *name);
void channel_tls_feed(struct channel *c, const uint8_t *data, size_t len);
void channel_tls_encrypt(struct channel *c);
void channel_opened(struct channel *c);
void channel_deliver(struct channel *c, const uint8_t *data, size_t len);
void channel_touch(struct channel *c);

enum { CHANNEL_SCRATCH = 256 * 1024 };

#endif
