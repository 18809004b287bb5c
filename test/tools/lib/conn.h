/* A TCP connection, with or without TLS, as both tools use it.
 *
 *   socket ──one read a wake-up──▶ (TLS) ──▶ handlers->data      says how much of it was whole PDUs
 *   conn_reserve, conn_commit ──▶ out ──(TLS)──▶ one write a tick, just before the loop sleeps
 *
 * TCP_NODELAY is set. What the handler does not consume is kept and comes again with more. A connection is
 * embedded in its owner, who may free it only in handlers->closed, the last call it gets. */
#ifndef TOOLS_CONN_H
#define TOOLS_CONN_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <uv.h>

#include "test/tools/lib/buffer.h"

struct conn;
TAILQ_HEAD(conn_list, conn);

/* What the connections of one loop share. */
struct conn_loop {
    uv_loop_t *loop;
    uv_prepare_t prepare; /* writes what the tick has collected */
    uv_timer_t refill;    /* hands out the budgets of slow readers */
    struct conn_list all;
    struct conn_list dirty; /* have something to write */
    uint8_t *scratch;       /* what a read gives */
    uint8_t *plain;         /* what TLS makes of it */
};

struct conn_handlers {
    void (*open)(struct conn *c);                                    /* connected, TLS agreed */
    size_t (*data)(struct conn *c, const uint8_t *data, size_t len); /* returns the octets consumed */
    void (*closed)(struct conn *c, const char *why);                 /* the last call */
};

struct conn {
    uv_tcp_t tcp;
    uv_connect_t connecting;
    uv_write_t write;
    TAILQ_ENTRY(conn) in_all;
    TAILQ_ENTRY(conn) in_dirty;
    struct conn_loop *owner;
    const struct conn_handlers *handlers;
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

enum conn_end {
    CONN_FLUSH, /* write what is collected, then FIN */
    CONN_FIN,   /* at once */
    CONN_RST,   /* at once, and rudely */
};

void conn_loop_init(struct conn_loop *cl, uv_loop_t *loop);

/* Closes its handles; the connections must be closed, or closing. conn_loop_free after the loop has ended. */
void conn_loop_close(struct conn_loop *cl);
void conn_loop_free(struct conn_loop *cl);

/* Takes a connection off a listener, or makes one. tls may be NULL; name is for SNI and the certificate's
 * check. c must be zeroed. Negative: libuv's error; then closed will come all the same. */
int conn_accept(struct conn_loop *cl, struct conn *c, uv_stream_t *listener, SSL_CTX *tls,
                const struct conn_handlers *handlers);
int conn_connect(struct conn_loop *cl, struct conn *c, const struct sockaddr *to, SSL_CTX *tls,
                 const char *name, const struct conn_handlers *handlers);

/* Where to write up to n octets that shall leave; then how many they were. */
static inline uint8_t *conn_reserve(struct conn *c, size_t n)
{
    return buffer_reserve(&c->out, n);
}
void conn_commit(struct conn *c, size_t n);
void conn_send(struct conn *c, const void *data, size_t n);

/* Ends it. The first call's why counts. */
void conn_close(struct conn *c, enum conn_end how, const char *why);

/* Stops reading and writing, or goes on: a peer that hangs. */
void conn_pause(struct conn *c, bool paused);

/* Reads at most so many octets a second; 0 for as fast as it goes. */
void conn_limit(struct conn *c, uint64_t octets_per_second);

/* Reads every open socket until the kernel has no more, and handles it all. Returns how many sockets it left
 * alone because they are paused or limited. */
unsigned conn_loop_drain(struct conn_loop *cl);

/* The numeric address of a host and port. False where there is none. */
bool conn_resolve(const char *host, uint16_t port, struct sockaddr_storage *address);

/* TLS 1.2 and later. NULL, after a word on stderr, where a file cannot be used. ca NULL: the system's. */
SSL_CTX *conn_tls_server(const char *certificate, const char *key);
SSL_CTX *conn_tls_client(const char *ca, bool insecure);

/* Of conn_tls.c, for conn.c. */
bool conn_tls_start(struct conn *c, SSL_CTX *tls, const char *name);
void conn_tls_feed(struct conn *c, const uint8_t *data, size_t len);
void conn_tls_encrypt(struct conn *c);
void conn_opened(struct conn *c);
void conn_deliver(struct conn *c, const uint8_t *data, size_t len);
void conn_touch(struct conn *c);

enum { CONN_SCRATCH = 256 * 1024 };

#endif
