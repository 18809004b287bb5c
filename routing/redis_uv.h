/* hiredis on a libuv loop. The adapter that hiredis 0.14 ships drops libuv's errors, so a refused connection
 * never calls back; and it gives no sign of when its handle is closed. Works with hiredis 0.14 and 1.x. */
#ifndef ROUTING_REDIS_UV_H
#define ROUTING_REDIS_UV_H

#include <stdbool.h>

#include <hiredis/async.h>
#include <uv.h>

/* Drives the context, which is connecting, from the loop until it is freed. Then, on a later turn of the
 * loop, closed(ctx) is called, once: from then on nothing of it is left in the loop. False without memory or
 * where libuv refuses: the context is as it was, and closed is not called. */
bool redis_uv_attach(redisAsyncContext *context, uv_loop_t *loop, void (*closed)(void *ctx), void *ctx);

#endif
