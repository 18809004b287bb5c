/* Between stream.c and the kinds of stream; nobody else includes it.
 *
 * What every kind keeps to: closed is called from a callback of the loop and nothing after it; once
 * stream_close was called, closed is the only event left; a write while busy is appended (the TLS kind relies
 * on it, for records that OpenSSL makes of its own accord). */
#ifndef PROXY_STREAM_P_H
#define PROXY_STREAM_P_H

#include "proxy/stream.h"

enum { STREAM_FLUSH_MS = 1000 };

void stream_init(struct stream *s, const struct stream_kind *kind, struct stream_env *env,
                 const struct stream_events *events, void *owner);
/* Remembers the peer's address and its text. */
void stream_set_address(struct stream *s, const struct sockaddr *address);

/* stream_connect and stream_accept of each kind. */
struct stream *stream_tcp_connect(struct stream_env *env, const struct stream_target *target,
                                  const struct stream_events *events, void *owner);
struct stream *stream_tcp_accept(struct stream_env *env, uv_stream_t *server,
                                 const struct stream_events *events, void *owner, int *error);
struct stream *stream_tls_connect(struct stream_env *env, const struct stream_target *target,
                                  const struct stream_events *events, void *owner);
struct stream *stream_tls_accept(struct stream_env *env, uv_stream_t *server, struct ssl_ctx_st *tls,
                                 uint64_t handshake_ms, const struct stream_events *events, void *owner,
                                 int *error);

/* Accepts and closes at once the connection that waits in server: until somebody takes it, libuv accepts no
 * other. */
void stream_tcp_refuse(uv_stream_t *server);

/* A chain of chunks with its end at hand. */
struct chain {
    struct chunk *first, *last;
};
void chain_append(struct chain *chain, struct chunk *first);
/* Gives len octets at the front back to the pool, whole chunks as they empty. */
void chain_consume(struct chain *chain, struct chunk_pool *pool, size_t len);
void chain_drop(struct chain *chain, struct chunk_pool *pool);
size_t chain_length(const struct chunk *first);

#endif
