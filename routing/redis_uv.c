/* hiredis ──wants to read, to write──▶ uv_poll ──ready, or failed──▶ redisAsyncHandleRead,
 * redisAsyncHandleWrite
 *
 * Handling an event may free the context, which calls cleanup: so each step looks whether it is still there.
 */
#include "routing/redis_uv.h"

#include <stdlib.h>

struct adapter {
    uv_poll_t poll;
    redisAsyncContext *context; /* NULL once hiredis has let go of it */
    int events;
    void (*closed)(void *ctx);
    void *ctx;
};

static void adapter_watch(struct adapter *adapter);

/* A failed poll is told as an event to read: the read, or the check of a connection under way, meets the
 * error and reports it. libuv stops a poll that failed, so it is started anew where the context lives on. */
static void adapter_event(uv_poll_t *poll, int status, int events)
{
    struct adapter *adapter = poll->data;
    if (adapter->context != NULL && (status < 0 || (events & UV_READABLE)))
        redisAsyncHandleRead(adapter->context);
    if (adapter->context != NULL && status >= 0 && (events & UV_WRITABLE))
        redisAsyncHandleWrite(adapter->context);
    if (adapter->context != NULL && status < 0)
        adapter_watch(adapter);
}

static void adapter_watch(struct adapter *adapter)
{
    if (adapter->events == 0)
        uv_poll_stop(&adapter->poll);
    else
        uv_poll_start(&adapter->poll, adapter->events, adapter_event);
}

static void add_read(void *data)
{
    struct adapter *adapter = data;
    adapter->events |= UV_READABLE;
    adapter_watch(adapter);
}

static void del_read(void *data)
{
    struct adapter *adapter = data;
    adapter->events &= ~UV_READABLE;
    adapter_watch(adapter);
}

static void add_write(void *data)
{
    struct adapter *adapter = data;
    adapter->events |= UV_WRITABLE;
    adapter_watch(adapter);
}

static void del_write(void *data)
{
    struct adapter *adapter = data;
    adapter->events &= ~UV_WRITABLE;
    adapter_watch(adapter);
}

static void adapter_closed(uv_handle_t *handle)
{
    struct adapter *adapter = handle->data;
    void (*closed)(void *ctx) = adapter->closed;
    void *ctx = adapter->ctx;
    free(adapter);
    closed(ctx);
}

/* hiredis closes the socket next; closing the poll takes it out of the loop at once, though not the handle.
 */
static void cleanup(void *data)
{
    struct adapter *adapter = data;
    adapter->context = NULL;
    uv_close((uv_handle_t *)&adapter->poll, adapter_closed);
}

bool redis_uv_attach(redisAsyncContext *context, uv_loop_t *loop, void (*closed)(void *ctx), void *ctx)
{
    struct adapter *adapter = calloc(1, sizeof(*adapter));
    if (adapter == NULL)
        return false;
    if (uv_poll_init(loop, &adapter->poll, context->c.fd) != 0) {
        free(adapter);
        return false;
    }
    adapter->poll.data = adapter;
    adapter->context = context;
    adapter->closed = closed;
    adapter->ctx = ctx;
    context->ev.data = adapter;
    context->ev.addRead = add_read;
    context->ev.delRead = del_read;
    context->ev.addWrite = add_write;
    context->ev.delWrite = del_write;
    context->ev.cleanup = cleanup;
    return true;
}
