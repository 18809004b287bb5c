/* start ──▶ RESOLVING (uv_getaddrinfo, as hiredis would block) ──▶ CONNECTING ──▶ LOGIN ──▶ READY
 *   └──── one timer: until READY, then while answers are awaited ────▶ lost
 *
 * hiredis frees a context in its own time, and answers for a dead one may come late: so an answer counts only
 * where its context is the present one. */
#include "routing/redis_conn.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/async.h>

#include "routing/address.h"
#include "routing/redis_uv.h"

enum conn_phase { CONN_IDLE, CONN_RESOLVING, CONN_CONNECTING, CONN_LOGIN, CONN_READY };

enum { REASON_MAX = 300 };

struct redis_conn {
    uv_loop_t *loop;
    const struct redis_target *target;
    const struct redis_conn_events *events;
    void *ctx;
    enum conn_phase phase;
    redisAsyncContext *redis; /* the present one, or NULL */
    uv_timer_t timer;
    uv_getaddrinfo_t resolve;
    bool resolving;                        /* a look-up is under way, wanted or not */
    char resolving_host[HOST_LEN_MAX + 1]; /* of this name: the target may have changed since */
    unsigned turn;                         /* which of a name's addresses is next */
    unsigned contexts;                     /* contexts whose poll is not closed yet, old ones included */
    unsigned pending;                      /* answers awaited */
    uint64_t timeout_ms;                   /* of an answer */
    char reason[REASON_MAX];               /* of a failure that is to be reported from the timer */
    bool closing, timer_closed;
    void (*closed)(void *ctx);
};

/* Travels with a command. */
struct call {
    struct redis_conn *conn;
    redis_conn_answer *answer;
};

static void timer_fired(uv_timer_t *timer);

struct redis_conn *redis_conn_new(uv_loop_t *loop, const struct redis_target *target,
                                  const struct redis_conn_events *events, void *ctx)
{
    struct redis_conn *conn = calloc(1, sizeof(*conn));
    if (conn == NULL)
        return NULL;
    conn->loop = loop;
    conn->target = target;
    conn->events = events;
    conn->ctx = ctx;
    uv_timer_init(loop, &conn->timer);
    conn->timer.data = conn;
    conn->resolve.data = conn;
    return conn;
}

bool redis_conn_ready(const struct redis_conn *conn)
{
    return conn->phase == CONN_READY;
}

/* --- the end -------------------------------------------------------------------------------------------- */

static void close_check(struct redis_conn *conn)
{
    if (!conn->timer_closed || conn->contexts > 0 || conn->resolving)
        return;
    void (*closed)(void *ctx) = conn->closed;
    void *ctx = conn->ctx;
    free(conn);
    closed(ctx);
}

static void timer_closed(uv_handle_t *handle)
{
    struct redis_conn *conn = handle->data;
    conn->timer_closed = true;
    close_check(conn);
}

static void context_closed(void *ctx)
{
    struct redis_conn *conn = ctx;
    conn->contexts--;
    close_check(conn);
}

void redis_conn_drop(struct redis_conn *conn)
{
    redisAsyncContext *redis = conn->redis;
    conn->redis = NULL;
    conn->phase = CONN_IDLE;
    conn->pending = 0;
    conn->reason[0] = '\0';
    if (!conn->closing)
        uv_timer_stop(&conn->timer);
    if (conn->resolving)
        uv_cancel((uv_req_t *)&conn->resolve); /* a look-up that has begun goes on, and is not minded */
    if (redis != NULL)
        redisAsyncFree(redis);
}

void redis_conn_close(struct redis_conn *conn, void (*closed)(void *ctx))
{
    redis_conn_drop(conn);
    conn->closing = true;
    conn->closed = closed;
    uv_close((uv_handle_t *)&conn->timer, timer_closed);
}

static void lose(struct redis_conn *conn, const char *reason)
{
    char kept[REASON_MAX]; /* it may stand in what is dropped */
    snprintf(kept, sizeof(kept), "%s", reason);
    redis_conn_drop(conn);
    conn->events->lost(conn->ctx, kept);
}

/* For failures met while the caller is still in redis_conn_start or redis_conn_command: reported by the
 * timer. */
static void lose_soon(struct redis_conn *conn, const char *reason)
{
    snprintf(conn->reason, sizeof(conn->reason), "%s", reason);
    uv_timer_start(&conn->timer, timer_fired, 0, 0);
}

static void timer_fired(uv_timer_t *timer)
{
    static const char *const late[] = {
        [CONN_IDLE] = "Redis is not connected.",
        [CONN_RESOLVING] = "The name of Redis' host was not resolved in time.",
        [CONN_CONNECTING] = "Redis did not take the connection in time.",
        [CONN_LOGIN] = "Redis did not answer the login in time.",
        [CONN_READY] = "Redis did not answer in time.",
    };
    struct redis_conn *conn = timer->data;
    lose(conn, conn->reason[0] != '\0' ? conn->reason : late[conn->phase]);
}

/* --- commands ------------------------------------------------------------------------------------------- */

static void on_reply(redisAsyncContext *redis, void *answered, void *data)
{
    struct call call = *(struct call *)data;
    struct redis_conn *conn = call.conn;
    free(data);
    if (answered == NULL || conn->redis != redis) /* the context is being freed; the loss is told elsewhere */
        return;
    if (--conn->pending == 0)
        uv_timer_stop(&conn->timer);
    else
        uv_timer_start(&conn->timer, timer_fired, conn->timeout_ms, 0);
    call.answer(conn->ctx, answered);
}

static bool send_command(struct redis_conn *conn, redis_conn_answer *answer, size_t count,
                         const char *const *strings, const size_t *lens)
{
    struct call *call = malloc(sizeof(*call));
    if (call == NULL)
        return false;
    *call = (struct call){conn, answer};
    /* hiredis' parameter lacks a const that its code keeps */
    if (redisAsyncCommandArgv(conn->redis, on_reply, call, (int)count, (const char **)(uintptr_t)strings,
                              lens) != REDIS_OK) {
        free(call);
        return false;
    }
    conn->pending++;
    return true;
}

bool redis_conn_command(struct redis_conn *conn, uint64_t timeout_ms, redis_conn_answer *answer, size_t count,
                        const char *const *strings, const size_t *lens)
{
    assert(conn->phase == CONN_READY);
    if (!send_command(conn, answer, count, strings, lens))
        return false;
    conn->timeout_ms = timeout_ms;
    if (conn->pending == 1)
        uv_timer_start(&conn->timer, timer_fired, timeout_ms, 0);
    return true;
}

/* --- login ---------------------------------------------------------------------------------------------- */

/* The commands of a login are sent at once; the answer to the last one makes it ready. Meanwhile the time of
 * the start runs on. */
static void on_login(redisAsyncContext *redis, void *answered, void *data)
{
    struct redis_conn *conn = data;
    const redisReply *reply = answered;
    if (reply == NULL || conn->redis != redis)
        return;
    if (reply->type == REDIS_REPLY_ERROR) {
        char reason[REASON_MAX];
        snprintf(reason, sizeof(reason), "Redis refused the login: %s", reply->str);
        lose(conn, reason);
        return;
    }
    if (--conn->pending > 0)
        return;
    conn->phase = CONN_READY;
    conn->turn = 0;
    uv_timer_stop(&conn->timer);
    conn->events->ready(conn->ctx);
}

static void login_send(struct redis_conn *conn, int count, const char **strings)
{
    if (redisAsyncCommandArgv(conn->redis, on_login, conn, count, strings, NULL) == REDIS_OK)
        conn->pending++;
}

/* PING ends it even where nothing else is to be said: it meets a Redis that wants a password or is still
 * loading, and ready is then never called from hiredis' connect callback, in which 0.14 must not lose its
 * context. */
static void login_start(struct redis_conn *conn)
{
    const struct redis_target *target = conn->target;
    char database[16];
    snprintf(database, sizeof(database), "%u", target->database);
    conn->phase = CONN_LOGIN;
    if (target->password != NULL && target->username != NULL)
        login_send(conn, 3, (const char *[]){"AUTH", target->username, target->password});
    else if (target->password != NULL)
        login_send(conn, 2, (const char *[]){"AUTH", target->password});
    if (target->database != 0)
        login_send(conn, 2, (const char *[]){"SELECT", database});
    login_send(conn, 1, (const char *[]){"PING"});
}

/* --- connect -------------------------------------------------------------------------------------------- */

/* hiredis frees the context itself after a failure told by either of these two. */
static void context_lost(struct redis_conn *conn, const redisAsyncContext *redis, const char *what)
{
    char reason[REASON_MAX];
    if (conn->redis != redis)
        return;
    conn->redis = NULL;
    snprintf(reason, sizeof(reason), "%s: %s.", what,
             redis->errstr != NULL && redis->errstr[0] != '\0' ? redis->errstr : "closed");
    lose(conn, reason);
}

static void on_connect(const redisAsyncContext *redis, int status)
{
    struct redis_conn *conn = redis->data;
    if (conn->redis != redis)
        return;
    if (status != REDIS_OK) {
        conn->turn++;
        context_lost(conn, redis, "Redis cannot be reached");
        return;
    }
    login_start(conn);
}

static void on_disconnect(const redisAsyncContext *redis, int status)
{
    (void)status;
    context_lost(redis->data, redis, "The connection to Redis ended");
}

/* Takes over a context that is connecting; NULL or with an error where it failed at once. */
static void connect_with(struct redis_conn *conn, redisAsyncContext *redis)
{
    if (redis == NULL || redis->err != 0 || !redis_uv_attach(redis, conn->loop, context_closed, conn)) {
        char reason[REASON_MAX];
        snprintf(reason, sizeof(reason), "Redis cannot be reached: %s.",
                 redis == NULL || redis->err == 0 ? "no memory" : redis->errstr);
        if (redis != NULL)
            redisAsyncFree(redis);
        conn->turn++;
        lose_soon(conn, reason);
        return;
    }
    conn->contexts++;
    conn->redis = redis;
    conn->phase = CONN_CONNECTING;
    redis->data = conn;
    redisAsyncSetConnectCallback(redis, on_connect);
    redisAsyncSetDisconnectCallback(redis, on_disconnect);
}

/* The address whose turn it is, as text. */
static bool address_pick(const struct addrinfo *list, unsigned turn, char *text, size_t size)
{
    unsigned count = 0;
    for (const struct addrinfo *each = list; each != NULL; each = each->ai_next)
        count++;
    if (count == 0)
        return false;
    for (turn %= count; turn > 0; turn--)
        list = list->ai_next;
    return getnameinfo(list->ai_addr, list->ai_addrlen, text, (socklen_t)size, NULL, 0, NI_NUMERICHOST) == 0;
}

static void resolve_start(struct redis_conn *conn);

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct redis_conn *conn = request->data;
    char address[INET6_ADDRSTRLEN + 20], reason[REASON_MAX];
    conn->resolving = false;
    if (conn->closing) {
        close_check(conn);
    } else if (conn->phase == CONN_RESOLVING &&
               (status == UV_ECANCELED || strcmp(conn->resolving_host, conn->target->host) != 0)) {
        resolve_start(conn); /* the look-up was of an earlier start, and dropped */
    } else if (conn->phase == CONN_RESOLVING && status == 0 &&
               address_pick(list, conn->turn, address, sizeof(address))) {
        connect_with(conn, redisAsyncConnect(address, conn->target->port));
    } else if (conn->phase == CONN_RESOLVING) {
        snprintf(reason, sizeof(reason), "Redis' host %s cannot be resolved: %s.", conn->target->host,
                 status == 0 ? "no address" : uv_strerror(status));
        lose(conn, reason);
    }
    uv_freeaddrinfo(list);
}

static void resolve_start(struct redis_conn *conn)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    int status = uv_getaddrinfo(conn->loop, &conn->resolve, on_resolved, conn->target->host, NULL, &hints);
    snprintf(conn->resolving_host, sizeof(conn->resolving_host), "%s", conn->target->host);
    if (status == 0)
        conn->resolving = true;
    else
        lose_soon(conn, uv_strerror(status));
}

/* Such an address, which is all that most sentinels name, need not wait for a thread of the pool. */
static bool is_numeric(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

void redis_conn_start(struct redis_conn *conn)
{
    assert(conn->phase == CONN_IDLE && !conn->closing);
    conn->phase = CONN_RESOLVING;
    uv_timer_start(&conn->timer, timer_fired, conn->target->timeout_ms, 0);
    if (conn->target->unix_path != NULL)
        connect_with(conn, redisAsyncConnectUnix(conn->target->unix_path));
    else if (is_numeric(conn->target->host))
        connect_with(conn, redisAsyncConnect(conn->target->host, conn->target->port));
    else if (!conn->resolving) /* else the one under way serves */
        resolve_start(conn);
}
