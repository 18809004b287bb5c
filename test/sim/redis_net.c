/* Calls of one connection reach the server in order, and so do the answers. A connection that is broken has another
 * generation from then on: what is still under way on the old one finds nobody. */
#include "test/sim/redis_net.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/redis_conn.h"
#include "test/sim/ledger.h"
#include "test/sim/operator.h"
#include "test/sim/redis_model.h"

enum { WORDS_MAX = 16 };

/* Single answers are lost while an instance cannot reach Redis, which makes it wait long for what it missed; but not for
 * good, as TCP would end such a connection. */
#define LOST_MOST (5 * SECOND)

struct call {
    struct call *next;
    struct redis_conn *conn;
    unsigned generation;
    redis_conn_answer *answer;
    uint64_t block_until; /* at the server */
    redisReply *reply;
    size_t count;
    char *strings[];
};

struct redis_conn {
    struct redis_conn *next; /* of all */
    struct loop *loop;
    struct process *process;
    const struct redis_target *target;
    const struct redis_conn_events *events;
    void *ctx;
    bool started, ready;
    unsigned generation;
    unsigned unanswered;
    uint64_t deadline, arrives, returns;
    uint64_t lost_since; /* the first that was lost of this generation; 0: none was */
    struct call *blocked;
    void (*closed)(void *ctx);
};

static struct redis_model *master, *replica;
static struct redis_conn *conns;
static uint64_t down_until, unreachable_until[INSTANCES_MAX];
static uint64_t seen_writes;
static bool copying;

static uint64_t redis_ms(void)
{
    return SIM_EPOCH * 1000 + sim_now / MS;
}

static uint64_t lag(void)
{
    return sim_chance(50) ? sim_between(MS, 60 * MS) : sim_between(50000, 2 * MS);
}

bool redis_is_up(void)
{
    return sim_now >= down_until;
}

static bool reachable(const struct redis_conn *conn)
{
    return sim_now >= unreachable_until[conn->process->instance];
}

/* --- the connection's end -------------------------------------------------------------------------------- */

struct loss {
    struct redis_conn *conn;
    unsigned generation;
    const char *reason;
};

static void tell_lost(void *ctx, uint64_t arg)
{
    struct loss *loss = ctx;
    struct redis_conn *conn = loss->conn;
    (void)arg;
    if (conn->started && conn->generation == loss->generation) {
        conn->started = conn->ready = false;
        conn->generation++;
        conn->unanswered = 0;
        conn->blocked = NULL;
        conn->events->lost(conn->ctx, loss->reason);
    }
    free(loss);
}

static void lose(struct redis_conn *conn, uint64_t after, const char *reason)
{
    struct loss *loss = malloc(sizeof *loss);
    if (loss == NULL) {
        abort();
    }
    *loss = (struct loss){conn, conn->generation, reason};
    loop_post_after(conn->loop, after, tell_lost, loss, 0);
}

static void break_all(const char *reason)
{
    for (struct redis_conn *conn = conns; conn != NULL; conn = conn->next) {
        if (conn->started && reachable(conn)) {
            lose(conn, lag(), reason);
        }
    }
}

/* --- the server ------------------------------------------------------------------------------------------ */

static void replicate(void *ctx, uint64_t arg)
{
    (void)ctx;
    (void)arg;
    copying = false;
    if (redis_is_up()) {
        redis_model_copy(replica, master);
    }
}

bool redis_replicated(void)
{
    return redis_model_writes(master) == redis_model_writes(replica);
}

static void deliver(void *ctx, uint64_t arg)
{
    struct call *call = ctx;
    struct redis_conn *conn = call->conn;
    (void)arg;
    if (conn->generation == call->generation && conn->ready) {
        conn->unanswered--;
        call->answer(conn->ctx, call->reply);
    }
    redis_reply_free(call->reply);
    free(call);
}

static void note_loss(struct redis_conn *conn)
{
    if (conn->lost_since == 0) {
        conn->lost_since = sim_now;
    }
}

static void send_back(struct call *call, redisReply *reply)
{
    struct redis_conn *conn = call->conn;
    uint64_t time = sim_now + lag();
    call->reply = reply;
    conn->returns = time > conn->returns ? time : conn->returns + 1;
    if (reachable(conn)) {
        loop_post_after(conn->loop, conn->returns - sim_now, deliver, call, 0);
    } else {
        note_loss(conn);
    }
}

static redisReply *run(const struct call *call)
{
    return redis_model_command(master, redis_ms(), call->count, (const char *const *)call->strings, NULL);
}

static void serve_blocked(void)
{
    for (struct redis_conn *conn = conns; conn != NULL; conn = conn->next) {
        struct call *call = conn->blocked;
        if (call == NULL) {
            continue;
        }
        redisReply *reply = run(call);
        if (reply->type == REDIS_REPLY_NIL && sim_now < call->block_until) {
            redis_reply_free(reply);
            continue;
        }
        conn->blocked = NULL;
        send_back(call, reply);
    }
}

/* After a command: what it wrote is seen by those who wait, and by the replica a while later. */
static void after_command(void)
{
    if (redis_model_writes(master) == seen_writes) {
        return;
    }
    seen_writes = redis_model_writes(master);
    operator_watch();
    serve_blocked();
    if (!copying) {
        copying = true;
        sim_after(sim_between(100000, shape.lag_ms * MS), replicate, NULL, 0);
    }
}

static void block_over(void *ctx, uint64_t generation)
{
    struct redis_conn *conn = ctx;
    if (conn->generation == generation && redis_is_up()) {
        serve_blocked();
    }
}

/* "$" is the last entry there is now. */
static void resolve_last(struct call *call)
{
    size_t streams = (call->count - 6) / 2;
    for (size_t i = 6 + streams; i < call->count; i++) {
        if (strcmp(call->strings[i], "$") != 0) {
            continue;
        }
        const char *const ask[] = {"XREVRANGE", call->strings[i - streams], "+", "-", "COUNT", "1"};
        redisReply *reply = redis_model_command(master, redis_ms(), 6, ask, NULL);
        const char *last = reply->elements == 0 ? "0-0" : reply->element[0]->element[0]->str;
        free(call->strings[i]);
        call->strings[i] = strdup(last);
        redis_reply_free(reply);
    }
}

static void reach_server(void *ctx, uint64_t arg)
{
    struct call *call = ctx;
    struct redis_conn *conn = call->conn;
    (void)arg;
    if (conn->generation == call->generation && !reachable(conn)) {
        note_loss(conn);
    }
    if (conn->generation != call->generation || !redis_is_up() || !reachable(conn)) {
        return; /* lost on the way; the caller's time runs out, or it is told of the end */
    }
    bool blocks = strcmp(call->strings[0], "XREAD") == 0 && strcmp(call->strings[3], "BLOCK") == 0;
    if (blocks) {
        resolve_last(call);
    }
    redisReply *reply = run(call);
    if (blocks && reply->type == REDIS_REPLY_NIL) {
        uint64_t ms = strtoull(call->strings[4], NULL, 10);
        redis_reply_free(reply);
        call->block_until = sim_now + ms * MS;
        conn->blocked = call;
        sim_at(call->block_until, block_over, conn, conn->generation);
        return;
    }
    send_back(call, reply);
    after_command();
}

redisReply *redis_ask(size_t count, const char *const *strings)
{
    if (!redis_is_up()) {
        return NULL;
    }
    redisReply *reply = redis_model_command(master, redis_ms(), count, strings, NULL);
    after_command();
    return reply;
}

/* --- routing/redis_conn.h -------------------------------------------------------------------------------- */

struct redis_conn *redis_conn_new(uv_loop_t *loop, const struct redis_target *target,
                                  const struct redis_conn_events *events, void *ctx)
{
    struct redis_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        return NULL;
    }
    *conn = (struct redis_conn){.next = conns,
                                .loop = loop_of(loop),
                                .process = current,
                                .target = target,
                                .events = events,
                                .ctx = ctx};
    conns = conn;
    return conn;
}

static void connected(void *ctx, uint64_t generation)
{
    struct redis_conn *conn = ctx;
    if (!conn->started || conn->ready || conn->generation != generation) {
        return;
    }
    if (!redis_is_up()) {
        conn->started = false;
        conn->generation++;
        conn->events->lost(conn->ctx, "Redis refuses connections.");
    } else if (reachable(conn)) {
        conn->ready = true;
        conn->events->ready(conn->ctx);
    }
}

static void connect_late(void *ctx, uint64_t generation)
{
    struct redis_conn *conn = ctx;
    if (conn->started && !conn->ready && conn->generation == generation) {
        conn->started = false;
        conn->generation++;
        conn->events->lost(conn->ctx, "Redis did not answer in time.");
    }
}

void redis_conn_start(struct redis_conn *conn)
{
    conn->started = true;
    conn->ready = false;
    conn->generation++;
    conn->unanswered = 0;
    conn->lost_since = 0;
    conn->blocked = NULL;
    loop_post_after(conn->loop, lag(), connected, conn, conn->generation);
    loop_post_after(conn->loop, conn->target->timeout_ms * MS, connect_late, conn, conn->generation);
}

bool redis_conn_ready(const struct redis_conn *conn)
{
    return conn->ready;
}

static void look_at_time(void *ctx, uint64_t generation)
{
    struct redis_conn *conn = ctx;
    bool late =
        sim_now >= conn->deadline || (conn->lost_since > 0 && sim_now >= conn->lost_since + LOST_MOST);
    if (conn->ready && conn->generation == generation && conn->unanswered > 0 && late) {
        conn->started = conn->ready = false;
        conn->generation++;
        conn->events->lost(conn->ctx, "Redis did not answer in time.");
    }
}

bool redis_conn_command(struct redis_conn *conn, uint64_t timeout_ms, redis_conn_answer *answer, size_t count,
                        const char *const *strings, const size_t *lens)
{
    struct call *call = calloc(1, sizeof *call + count * sizeof(char *));
    if (call == NULL) {
        return false;
    }
    *call = (struct call){.conn = conn, .generation = conn->generation, .answer = answer, .count = count};
    for (size_t i = 0; i < count; i++) {
        call->strings[i] = lens == NULL ? strdup(strings[i]) : strndup(strings[i], lens[i]);
    }
    uint64_t time = sim_now + lag();
    conn->arrives = time > conn->arrives ? time : conn->arrives + 1;
    conn->unanswered++;
    conn->deadline = sim_now + timeout_ms * MS;
    loop_post_after(conn->loop, timeout_ms * MS, look_at_time, conn, conn->generation);
    sim_at(conn->arrives, reach_server, call, 0);
    return true;
}

void redis_conn_drop(struct redis_conn *conn)
{
    conn->started = conn->ready = false;
    conn->generation++;
    conn->blocked = NULL;
}

static void tell_closed(void *ctx, uint64_t arg)
{
    struct redis_conn *conn = ctx;
    (void)arg;
    conn->closed(conn->ctx);
}

void redis_conn_close(struct redis_conn *conn, void (*closed)(void *ctx))
{
    redis_conn_drop(conn);
    conn->closed = closed;
    for (struct redis_conn **at = &conns; *at != NULL; at = &(*at)->next) {
        if (*at == conn) {
            *at = conn->next;
            break;
        }
    }
    loop_keep(conn->loop); /* as a handle that closes would */
    loop_post(conn->loop, tell_closed, conn, 0);
}

/* --- faults ---------------------------------------------------------------------------------------------- */

void redis_down(uint64_t ns)
{
    tell("redis", "is down for %" PRIu64 " ms", ns / MS);
    break_all("The connection to Redis ended.");
    for (struct redis_conn *conn = conns; conn != NULL; conn = conn->next) {
        conn->blocked = NULL;
    }
    down_until = sim_now + ns;
}

void redis_unreachable(unsigned instance, uint64_t ns)
{
    tell("redis", "is out of reach of i%u for %" PRIu64 " ms", instance, ns / MS);
    unreachable_until[instance] = sim_now + ns;
}

void redis_failover(void)
{
    bool whole = redis_replicated();
    ledger_failed_over();
    tell("redis", "fails over; the replica %s", whole ? "has everything" : "lacks the last writes");
    redis_model_copy(master, replica);
    redis_model_new_server();
    seen_writes = redis_model_writes(master);
    if (!whole) {
        operator_lost_changes();
    }
    redis_down(sim_between(50 * MS, 600 * MS));
}

void redis_mend(void)
{
    down_until = 0;
    memset(unreachable_until, 0, sizeof unreachable_until);
}

void redis_net_killed(struct process *p)
{
    for (struct redis_conn **at = &conns; *at != NULL;) {
        struct redis_conn *conn = *at;
        if (conn->process == p) {
            redis_conn_drop(conn);
            *at = conn->next;
        } else {
            at = &conn->next;
        }
    }
}

void redis_net_begin(void)
{
    conns = NULL;
    redis_mend();
    if (master != NULL) {
        redis_model_free(master);
        redis_model_free(replica);
    }
    master = redis_model_new();
    replica = redis_model_new();
    redis_model_new_server();
    seen_writes = 0;
    copying = false;
}
