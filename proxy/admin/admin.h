/* The admin listener: HTTP on loopback, on the main loop, by libmicrohttpd (its epoll descriptor in a
 * uv_poll, its time-out as a timer; no thread).
 *
 *   GET /metrics   Prometheus text
 *   GET /sessions  JSON
 *   GET /healthz   200 while the process runs its loops
 *   GET /readyz    200 when it can serve: a table, and listeners open; else 503 and why */
#ifndef PROXY_ADMIN_ADMIN_H
#define PROXY_ADMIN_ADMIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct admin;

/* Limits: connections at a time (further ones wait in the backlog); the silence after which one is closed. */
enum { ADMIN_CONNECTIONS_MAX = 32, ADMIN_TIMEOUT_S = 5 };

struct admin_source {
    char *(*metrics)(void *ctx, size_t *len); /* malloc'd, NULL without memory */
    char *(*sessions)(void *ctx);             /* malloc'd JSON */
    /* Ready, or why not (why: cap octets, a sentence). */
    bool (*ready)(void *ctx, char *why, size_t cap);
    bool (*healthy)(void *ctx, char *why, size_t cap);
};

/* NULL where it cannot listen: error (cap octets) says why. address is a name or a number; of a name's
 * addresses the first is taken. port 0: any free one; admin_port tells. source is copied; its functions run
 * on the loop. */
struct admin *admin_open(uv_loop_t *loop, const char *address, uint16_t port,
                         const struct admin_source *source, void *ctx, char *error, size_t cap);
uint16_t admin_port(const struct admin *admin);

/* Stops listening and drops what is open, at once; done (may be NULL) is called from the loop when all is
 * freed. */
void admin_close(struct admin *admin, void (*done)(void *ctx), void *ctx);

#endif
