/* What all kinds of stream share.
 *
 *   stream_connect, stream_accept ──tls?──▶ stream_tls.c ──its own inner stream──▶ stream_tcp.c
 *   stream_write, stream_close …  ──kind──▶ the function of that kind */
#include "proxy/stream.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "proxy/stream_p.h"

const char *stream_end_name(enum stream_end end)
{
#define STREAM_END_NAME(id, name, help) [id] = (name),
    static const char *const names[] = {STREAM_ENDS(STREAM_END_NAME)};
#undef STREAM_END_NAME
    return (unsigned)end < STREAM_END_COUNT ? names[end] : "unknown";
}

void stream_init(struct stream *s, const struct stream_kind *kind, struct stream_env *env,
                 const struct stream_events *events, void *owner)
{
    s->kind = kind;
    s->env = env;
    s->events = events;
    s->owner = owner;
    s->address.ss_family = AF_UNSPEC;
    s->peer[0] = '\0';
}

struct stream *stream_connect(struct stream_env *env, const struct stream_target *target,
                              const struct stream_events *events, void *owner)
{
    uv_update_time(env->loop); /* timeouts count from now, not from when this turn of the loop began */
    return target->tls != NULL ? stream_tls_connect(env, target, events, owner)
                               : stream_tcp_connect(env, target, events, owner);
}

struct stream *stream_accept(struct stream_env *env, uv_stream_t *server, struct ssl_ctx_st *tls,
                             uint64_t handshake_ms, const struct stream_events *events, void *owner,
                             int *error)
{
    uv_update_time(env->loop);
    return tls != NULL ? stream_tls_accept(env, server, tls, handshake_ms, events, owner, error)
                       : stream_tcp_accept(env, server, events, owner, error);
}

void stream_refuse(uv_stream_t *server)
{
    stream_tcp_refuse(server);
}

void stream_read_start(struct stream *s)
{
    s->kind->read_start(s);
}

void stream_read_stop(struct stream *s)
{
    s->kind->read_stop(s);
}

void stream_write(struct stream *s, struct chunk *first)
{
    s->kind->write(s, first);
}

bool stream_busy(const struct stream *s)
{
    return s->kind->busy(s);
}

void stream_close(struct stream *s, bool flush)
{
    s->kind->close(s, flush);
}

const char *stream_peer(const struct stream *s)
{
    return s->peer;
}

const struct sockaddr *stream_address(const struct stream *s)
{
    return (const struct sockaddr *)&s->address;
}

static void set_address_4(struct stream *s, const struct in_addr *ip, in_port_t port)
{
    char text[INET_ADDRSTRLEN] = "";
    (void)uv_inet_ntop(AF_INET, ip, text, sizeof(text));
    (void)snprintf(s->peer, sizeof(s->peer), "%s:%u", text, (unsigned)ntohs(port));
}

static void set_address_6(struct stream *s, const struct sockaddr_in6 *in6)
{
    /* A dual-stack listener shows IPv4 peers as mapped addresses; people know them by the IPv4 one. */
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        struct in_addr ip;
        memcpy(&ip, in6->sin6_addr.s6_addr + 12, sizeof(ip));
        set_address_4(s, &ip, in6->sin6_port);
        return;
    }
    char text[INET6_ADDRSTRLEN] = "";
    (void)uv_inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
    (void)snprintf(s->peer, sizeof(s->peer), "[%s]:%u", text, (unsigned)ntohs(in6->sin6_port));
}

void stream_set_address(struct stream *s, const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        memcpy(&s->address, address, sizeof(struct sockaddr_in));
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)&s->address;
        set_address_4(s, &in4->sin_addr, in4->sin_port);
    } else if (address->sa_family == AF_INET6) {
        memcpy(&s->address, address, sizeof(struct sockaddr_in6));
        set_address_6(s, (const struct sockaddr_in6 *)&s->address);
    }
}

void chain_append(struct chain *chain, struct chunk *first)
{
    if (first == NULL) {
        return;
    }
    if (chain->first == NULL) {
        chain->first = first;
    } else {
        chain->last->next = first;
    }
    chain->last = first;
    while (chain->last->next != NULL) {
        chain->last = chain->last->next;
    }
}

void chain_consume(struct chain *chain, struct chunk_pool *pool, size_t len)
{
    struct chunk *chunk;
    while ((chunk = chain->first) != NULL && len >= chunk->end - chunk->start) {
        len -= chunk->end - chunk->start;
        chain->first = chunk->next;
        chunk_put(pool, chunk);
    }
    if (chunk != NULL) {
        chunk->start += (uint32_t)len;
    }
}

void chain_drop(struct chain *chain, struct chunk_pool *pool)
{
    chunk_put_all(pool, chain->first);
    chain->first = chain->last = NULL;
}

size_t chain_length(const struct chunk *first)
{
    size_t length = 0;
    for (; first != NULL; first = first->next) {
        length += first->end - first->start;
    }
    return length;
}
