/* Streams: bytes in, bytes out, the same for TCP, TLS and memory. The layers above cannot tell which it is.
 *
 *   peer ──▶ stream ──room──▶ the owner says where the next bytes go
 *                   ──bytes─▶ so many have come
 *   owner ──stream_write(chain of chunks)──▶ stream ──▶ peer;  writable once all has left
 *
 * One thread a stream. The owner's callbacks may call any function of the stream, stream_close included. */
#ifndef PROXY_STREAM_H
#define PROXY_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#include "proxy/chunk.h"
#include "proxy/strangers.h"

struct stream;
struct ssl_ctx_st; /* SSL_CTX */

/* What ended a stream. X(identifier, label, help) */
#define STREAM_ENDS(X)                                                                                     \
    X(STREAM_END_CLOSED, "closed", "by this side")                                                         \
    X(STREAM_END_PEER, "peer_closed", "orderly, by the peer")                                              \
    X(STREAM_END_RESET, "reset", "the connection broke")                                                   \
    X(STREAM_END_CONNECT, "connect_failed", "there never was one")                                         \
    X(STREAM_END_RESOLVE, "resolve_failed", "the host name has no address")                                \
    X(STREAM_END_TIMEOUT, "connect_timeout", "connecting took too long")                                   \
    X(STREAM_END_MEMORY, "no_memory", "no memory")                                                         \
    X(STREAM_END_TLS_NONE, "tls_none", "what the peer sent first is not TLS")                              \
    X(STREAM_END_TLS_LATE, "tls_unfinished",                                                               \
      "the TLS handshake was not done when its time was over, or this side had to end")                    \
    X(STREAM_END_TLS_LEFT, "tls_left", "the peer closed or broke it in the TLS handshake")                 \
    X(STREAM_END_TLS_FAULT, "tls_handshake_failed", "nothing in common, or not as TLS has it: here")       \
    X(STREAM_END_TLS_CERTIFICATE, "tls_certificate", "the peer's certificate was refused here")            \
    X(STREAM_END_TLS_ALERT, "tls_alert", "the peer told of a fault: a certificate it refused, or another") \
    X(STREAM_END_TLS_RECORD, "tls_broken", "a fault in a TLS record, after the handshake")                 \
    X(STREAM_END_TLS_FLOOD, "tls_flood",                                                                   \
      "more TLS messages than max-tls-messages, or the peer did not read the answers to them")

#define STREAM_END_ENUM(id, name, help) id,
enum stream_end { STREAM_ENDS(STREAM_END_ENUM) STREAM_END_COUNT };
#undef STREAM_END_ENUM
const char *stream_end_name(enum stream_end end);

/* What a TLS peer has done after the handshake: messages that are no data, to which OpenSSL sees, and more records than
 * a turn of the loop takes. X(identifier, label, help) */
#define TLS_EVENTS(X)                                                                                   \
    X(TLS_EVENT_KEYS, "key_update", "new keys, TLS 1.3: made")                                          \
    X(TLS_EVENT_RENEGOTIATION, "renegotiation", "new keys, TLS 1.2: refused by a no_renegotiation")     \
    X(TLS_EVENT_TICKET, "session_ticket", "from a server, so that a session can be taken up: not used") \
    X(TLS_EVENT_MANY, "many_records", "128 records were read, and the rest was left for the next turn")

#define TLS_EVENT_ENUM(id, name, help) id,
enum tls_event { TLS_EVENTS(TLS_EVENT_ENUM) TLS_EVENT_COUNT };
#undef TLS_EVENT_ENUM

struct stream_events {
    /* Connected, and the TLS handshake done. Not called for an accepted plain stream, which is open from the
     * start. */
    void (*opened)(void *owner);
    /* Where to put the next bytes: *len octets of room (not 0), valid until bytes is called, or room again:
     * bytes does not follow where nothing has come after all. */
    uint8_t *(*room)(void *owner, size_t *len);
    /* len octets were put at the start of that room. */
    void (*bytes)(void *owner, size_t len);
    /* A write that could not be done at once has left entirely; stream_busy is false now. */
    void (*writable)(void *owner);
    /* The end, exactly once, the last call; never from within another function of the stream. The stream is
     * freed after it. detail is a sentence for the log (the error, the certificate's fault), never NULL,
     * valid in the call. */
    void (*closed)(void *owner, enum stream_end end, const char *detail);
    /* Where what is done for this owner counts as done for a stranger, and may have to wait for the next turn; NULL, or
     * giving NULL: it is done at once. Read at any time up to closed. */
    struct strangers *(*stranger)(void *owner);
    /* TLS: such a thing has come. NULL: nobody wants to know. Called from within OpenSSL: to count, and to call no
     * function of the stream. */
    void (*tls_event)(void *owner, enum tls_event event);
};

/* What the streams of one thread share. */
struct stream_env {
    uv_loop_t *loop;
    struct chunk_pool *chunks;
    uint8_t *cipher; /* STREAM_CIPHER_ROOM octets where ciphertext is read, of the loop; NULL where there is
                        no TLS */
    unsigned tls_messages; /* a second that a peer may send, else its stream ends; 0: any number */
};
enum { STREAM_CIPHER_ROOM = 65536 };

struct stream_target {
    const char *host; /* name or address */
    uint16_t port;
    struct ssl_ctx_st *tls; /* NULL: plain */
    const char *tls_name;   /* the name that the certificate must bear, and SNI; NULL: host. Ignored where the
                               context does not verify */
    uint64_t timeout_ms;    /* for resolve, connect and handshake together */
};

/* Starts connecting; opened or closed follows, never before this returns. A host name's addresses are tried
 * in turn, each for its share of the time. TCP_NODELAY is set. NULL without memory; without descriptors
 * closed follows. The strings are copied. The first stream of a process ignores SIGPIPE, unless a handler for
 * it is set. A stream closed while a resolver hangs ends at once, but its loop cannot be closed before the
 * resolver gives up. */
struct stream *stream_connect(struct stream_env *env, const struct stream_target *target,
                              const struct stream_events *events, void *owner);

/* Takes over the connection that waits in server (uv_accept is done here). tls NULL: plain. The events' owner
 * is given now; handshake_ms bounds the handshake. NULL where it could not be accepted, with libuv's code in
 * *error: UV_EAGAIN where none waits; without memory (UV_ENOMEM) the connection is closed, so that server can
 * go on. (Want of descriptors does not show here: libuv gives it as status to the server's own callback, or
 * takes the connections and closes them at once.) Reading is off until stream_read_start. For plain TCP
 * opened is not called; for TLS it is when the handshake is done (reading of application data may be started
 * before). */
struct stream *stream_accept(struct stream_env *env, uv_stream_t *server, struct ssl_ctx_st *tls,
                             uint64_t handshake_ms, const struct stream_events *events, void *owner,
                             int *error);

/* Takes the waiting connection off a listener's queue and closes it: until somebody takes it, no other is
 * accepted. */
void stream_refuse(uv_stream_t *server);

void stream_read_start(struct stream *s);
void stream_read_stop(struct stream *s);

/* Takes the chain over. What the kernel does not take at once leaves later: busy until writable. While busy a
 * chain is put behind what waits, without limit: to be done before stream_close only. Before opened, after
 * stream_close and after the end the chain is dropped. */
void stream_write(struct stream *s, struct chunk *first);
bool stream_busy(const struct stream *s);

/* Ends it: closed(STREAM_END_CLOSED) follows in a later callback (in a TLS handshake that has begun:
 * STREAM_END_TLS_LATE), and no other event before it. What is not
 * written yet is dropped. With flush, it leaves first and the peer's own end is awaited (a socket closed with
 * octets unread would reset what the peer has not read yet), for at most a second in all. A second call is
 * harmless; without flush it ends a flush. */
void stream_close(struct stream *s, bool flush);

/* "192.0.2.1:2775" or "[2001:db8::1]:2775", of the peer (while connecting, of the address that is tried); ""
 * and AF_UNSPEC where unknown. An IPv4-mapped address is written as IPv4. Lives as long as the stream. */
const char *stream_peer(const struct stream *s);
const struct sockaddr *stream_address(const struct stream *s);

/* --- for the kinds of stream: stream_tcp.c, stream_tls.c, stream_mem.c --------------------------------- */
struct stream_kind {
    void (*read_start)(struct stream *s);
    void (*read_stop)(struct stream *s);
    void (*write)(struct stream *s, struct chunk *first);
    bool (*busy)(const struct stream *s);
    void (*close)(struct stream *s, bool flush);
};

/* Every kind of stream begins with this. */
struct stream {
    const struct stream_kind *kind;
    const struct stream_events *events;
    void *owner;
    struct stream_env *env;
    struct sockaddr_storage address;
    char peer[64];
};

/* --- in memory ----------------------------------------------------------------------------------------- */

/* Two ends joined in memory, for tests and simulation: nothing moves until stream_pair_step is called, which
 * delivers at most max octets in each direction (0: all) and says whether anything moved. capacity bounds
 * what is under way in each direction (busy beyond it). cut breaks it as a reset would. opened is called for
 * both ends. The streams live until stream_pair_free; of env only chunks is used. NULL without memory. */
struct stream_pair;
struct stream_pair *stream_pair_new(struct stream_env *env, size_t capacity);
struct stream *stream_pair_end(struct stream_pair *pair, int end, const struct stream_events *events,
                               void *owner);
bool stream_pair_step(struct stream_pair *pair, size_t max);
void stream_pair_cut(struct stream_pair *pair);
void stream_pair_free(struct stream_pair *pair); /* after both ends' closed */

#endif
