#include "proxy/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "proxy/client.h"
#include "proxy/forward.h"
#include "proxy/leg.h"
#include "proxy/log.h"
#include "proxy/probe.h"
#include "proxy/tls_buffers.h"

#define SECOND       1000000000ULL
#define SETTLE_PAUSE (SECOND / 200)
#define ACCEPT_PAUSE (SECOND / 1000)
enum {
    RESUME_ROUNDS = 16,
    DESCRIPTORS_KEPT = 16,
    SPARE_NOTES = 16,
    ACCEPTS_A_TURN =
        2,      /* of a listener: a bind costs as much as a hundred messages, and a turn next to nothing */
    CROWD = 64, /* accepted and not bound: the SMSC may answer for all of them in one turn */
    TIMERS_A_TURN = 4, /* a leg that connects costs 30 us, and thousands may be due at once */
};

struct listener {
    uv_tcp_t tcp;
    struct thread *thread;
    char *name;
    struct ssl_ctx_st *tls; /* a reference of its own: swapped on reload */
    uint64_t paused_until;  /* log an exhausted descriptor table once a second */
    int backlog;
    unsigned accepts; /* in this turn */
    bool put_off;     /* a connection waits to be taken in the next turn, the rest in the backlog */
    bool paused;      /* the same, until there are descriptors */
};

struct note {
    struct letter letter;
    struct thread *thread;
    const void *thing;
    uint64_t version;
    uint64_t time, gap;
    struct settled settled;
    struct thread_release release;
    struct legs_released released;
    void (*call)(struct worker *w, void *arg);
    void *arg;
    bool flag;
    char text[OBSTACLE_TEXT];
};

struct thread {
    struct worker worker; /* first */
    uv_loop_t loop;
    uv_thread_t id;
    uv_check_t check;
    uv_prepare_t prepare;
    uv_timer_t alarm;
    uint64_t alarm_at;
    struct mailbox box;
    struct mailbox *main;
    const struct thread_events *events;
    void *ctx;
    struct listener *listeners;
    unsigned listeners_count;
    unsigned open_listeners;
    uint64_t accept_at;  /* what was put off is taken no earlier */
    struct timer second; /* wall clock, sign of life, review */
    struct timer tick;   /* wakes often enough for the fence */
    bool withdrawn;      /* the lease is over, and what had not left was taken back */
    struct timer drain;
    uint64_t awaited; /* version to be reported as applied, 0 for none */
    uint64_t awaited_since;
    bool obstacle_told;
    struct timer settle;    /* looks until the table in use is settled */
    struct settled settled; /* last told */
    bool ending, finished;
    bool past_limit; /* of the drain */
    _Atomic uint64_t turned;
    struct thread_view view; /* main's */
    struct note spares[SPARE_NOTES];
    atomic_bool spare_taken[SPARE_NOTES];
};

/* --- letters -------------------------------------------------------------------------------------------- */

/* A letter that is not sent is not sent again: without memory, there are the spare ones. */
static struct note *take_spare(struct thread *t)
{
    for (unsigned i = 0; i < SPARE_NOTES; i++) {
        if (!atomic_exchange(&t->spare_taken[i], true)) {
            return &t->spares[i];
        }
    }
    return NULL;
}

static void note_free(struct note *note)
{
    struct thread *t = note->thread;
    if (note >= t->spares && note < t->spares + SPARE_NOTES) {
        atomic_store(&t->spare_taken[note - t->spares], false);
    } else {
        free(note);
    }
}

static struct note *write_note(struct thread *thread, void (*open)(void *, struct letter *),
                               const struct note *what)
{
    struct note *note = malloc(sizeof *note);
    if (note == NULL) {
        note = take_spare(thread);
    }
    if (note != NULL) {
        *note = *what;
        note->thread = thread;
        note->letter.open = open;
    }
    return note;
}

/* To main. */
static bool post(struct mailbox *box, struct thread *thread, void (*open)(void *, struct letter *),
                 const struct note *what)
{
    struct note *note = write_note(thread, open, what);
    if (note != NULL) {
        mailbox_post(box, &note->letter);
    }
    return note != NULL;
}

/* To the thread, which may have ended by itself meanwhile. */
static bool order(struct thread *thread, void (*open)(void *, struct letter *), const struct note *what)
{
    struct note *note = write_note(thread, open, what);
    if (note != NULL && !shared_post(thread->worker.shared, thread->worker.number, &note->letter)) {
        note_free(note);
        note = NULL;
    }
    return note != NULL;
}

/* Opened by main. */
static void open_passed(void *main, struct letter *letter)
{
    struct note *note = (struct note *)letter;
    (void)main;
    note->thread->events->table_passed(note->thread->ctx, note->thread, note->version);
    note_free(note);
}

static void open_applied(void *main, struct letter *letter)
{
    struct note *note = (struct note *)letter;
    (void)main;
    note->thread->events->table_applied(note->thread->ctx, note->thread, note->version);
    note_free(note);
}

static void open_settled(void *main, struct letter *letter)
{
    struct note *note = (struct note *)letter;
    (void)main;
    note->thread->events->table_settled(note->thread->ctx, note->thread, &note->settled);
    note_free(note);
}

static void open_obstacle(void *main, struct letter *letter)
{
    struct note *note = (struct note *)letter;
    (void)main;
    note->thread->events->obstacle(note->thread->ctx, note->thread,
                                   note->text[0] == '\0' ? NULL : note->text);
    note_free(note);
}

static void open_bundle_passed(void *main, struct letter *letter)
{
    struct note *note = (struct note *)letter;
    (void)main;
    note->thread->events->bundle_passed(note->thread->ctx, note->thread, note->thing);
    note_free(note);
}

static void open_released(void *main, struct letter *letter)
{
    struct note *note = (struct note *)letter;
    (void)main;
    note->thread->events->legs_released(note->thread->ctx, note->thread, &note->release, note->released.ended,
                                        note->released.needed);
    note_free(note);
}

static void open_stopped(void *main, struct letter *letter)
{
    struct note *note = (struct note *)letter;
    (void)main;
    note->thread->events->stopped(note->thread->ctx, note->thread, note->time, note->gap);
    note_free(note);
}

static void open_ended(void *main, struct letter *letter)
{
    struct note *note = (struct note *)letter;
    (void)main;
    note->thread->events->ended(note->thread->ctx, note->thread);
    note_free(note);
}

/* --- the barrier ---------------------------------------------------------------------------------------- */

static void tell_obstacle(struct thread *t, const char *link)
{
    struct note note = {.thing = NULL};
    if (link != NULL) {
        snprintf(note.text, sizeof note.text,
                 "worker %u: link %s does not read; octets routed before wait to leave", t->worker.number,
                 link);
    }
    t->obstacle_told = link != NULL && post(t->main, t, open_obstacle, &note);
}

static void clear_obstacle(struct thread *t)
{
    struct note note = {.thing = NULL};
    if (t->obstacle_told && post(t->main, t, open_obstacle, &note)) {
        t->obstacle_told = false;
    }
}

/* Reports the awaited version once nothing routed by an older table waits to leave. */
static void check_applied(struct thread *t)
{
    if (t->awaited == 0) {
        return;
    }
    const char *link = forward_holds_older(&t->worker, t->awaited);
    if (link == NULL) {
        struct note note = {.version = t->awaited};
        if (post(t->main, t, open_applied, &note)) {
            t->awaited = 0;
            clear_obstacle(t);
        }
    } else if (!t->obstacle_told && t->worker.now - t->awaited_since > SECOND / 5) {
        tell_obstacle(t, link);
    }
}

/* Requests of older tables are answered within a response time-out at the latest; until then it is looked at
 * every few milliseconds. */
static void check_settled(struct timer *timer, uint64_t now)
{
    struct thread *t = (struct thread *)((char *)timer - offsetof(struct thread, settle));
    struct note note = {.settled = forward_settled(&t->worker)};
    if (!settled_equal(&note.settled, &t->settled) && post(t->main, t, open_settled, &note)) {
        t->settled = note.settled;
    }
    if (settled_version(&t->settled) < t->worker.version) {
        timer_set(&t->worker.timers, &t->settle, now + SETTLE_PAUSE);
    }
}

/* --- a turn of the loop --------------------------------------------------------------------------------- */

static void settle_turn(struct thread *t)
{
    struct worker *w = &t->worker;
    if (w->resumed != NULL || w->dirty != NULL) {
        worker_wake(w); /* was it stopped since? */
    }
    for (int i = 0; i < RESUME_ROUNDS && w->resumed != NULL; i++) {
        conn_resume_all(w);
    }
    conn_flush_all(w);
    check_applied(t);
}

static void on_check(uv_check_t *check)
{
    struct thread *t = check->data;
    settle_turn(t);
}

static void on_alarm(uv_timer_t *alarm)
{
    struct thread *t = alarm->data;
    t->alarm_at = UINT64_MAX;
    worker_wake(&t->worker);
    timers_run(&t->worker.timers, t->worker.now, TIMERS_A_TURN);
}

static uint64_t accept_next(const struct thread *t);

static void set_alarm(struct thread *t)
{
    uint64_t accepting = accept_next(t);
    uint64_t next = t->worker.resumed != NULL ? 0 : timers_next(&t->worker.timers);
    next = accepting < next ? accepting : next;
    if (next == t->alarm_at) {
        return;
    }
    t->alarm_at = next;
    if (next == UINT64_MAX) {
        uv_timer_stop(&t->alarm);
        return;
    }
    uint64_t now = t->worker.clock();
    uint64_t ms = next <= now ? 0 : (next - now + 999999) / 1000000;
    uv_update_time(&t->loop);
    uv_timer_start(&t->alarm, on_alarm, ms, 0);
}

static void maybe_finish(struct thread *t);
static void take_put_off(struct thread *t);

static void on_prepare(uv_prepare_t *prepare)
{
    struct thread *t = prepare->data;
    struct worker *w = &t->worker;
    metric_add(&w->metrics->put_off, strangers_turn(&w->strangers, w->config->unbound_turn));
    take_put_off(t);
    settle_turn(t);
    maybe_finish(t);
    if (!t->finished) {
        set_alarm(t);
    }
}

static void resume_accepting(struct thread *t);

static void on_second(struct timer *timer, uint64_t now)
{
    struct thread *t = (struct thread *)((char *)timer - offsetof(struct thread, second));
    struct worker *w = &t->worker;
    w->now_s = (uint64_t)time(NULL);
    chunk_pool_review(&w->chunks);
    atomic_store_explicit(&t->turned, now, memory_order_relaxed);
    if (w->shared->multiparts != NULL && w->number == 0) { /* one sweeps for all */
        metric_sub(&w->metrics->multipart_messages, multiparts_sweep(w->shared->multiparts, now / SECOND));
    }
    if (w->now_s >= w->linger_end && !w->draining) {
        forward_review(w);
    }
    resume_accepting(t);
    timer_set(&w->timers, &t->second, now + SECOND);
}

/* --- the fence ------------------------------------------------------------------------------------------ */

/* From within worker_wake: before anything that came meanwhile is looked at, and before anything is sent. */
static void on_stopped(struct worker *w, uint64_t gap)
{
    struct thread *t = (struct thread *)w; /* a thread begins with its worker */
    struct note note = {.time = w->fence.stopped_at, .gap = gap};
    forward_withdraw(w);
    if (!post(t->main, t, open_stopped, &note)) {
        (void)fence_caught_up(w, w->fence.stopped_at); /* without memory nobody would lift it again */
    }
}

static void on_tick(struct timer *timer, uint64_t now)
{
    struct thread *t = (struct thread *)((char *)timer - offsetof(struct thread, tick));
    struct worker *w = &t->worker;
    uint64_t end = atomic_load_explicit(&w->shared->lease_end, memory_order_relaxed);
    uint64_t next = now + fence_tick(w);
    bool over = fence_lease_is_over(w);
    if (over && !t->withdrawn) {
        forward_withdraw(w); /* what an SMSC has not read yet would leave when the lease is over */
    }
    t->withdrawn = over;
    timer_set(&w->timers, &t->tick, w->fence.strict && end > now && end < next ? end : next);
}

/* --- what main asks ------------------------------------------------------------------------------------- */

static void open_table(void *owner, struct letter *letter)
{
    struct thread *t = owner;
    struct note *note = (struct note *)letter;
    struct worker *w = &t->worker;
    worker_wake(w);
    conn_flush_all(w); /* what this turn has collected was routed by the old one */
    worker_set_table(w, note->thing);
    struct note passed = {.version = w->version};
    (void)post(t->main, t, open_passed, &passed);
    t->awaited = w->version;
    t->awaited_since = w->now;
    if (!w->draining) {
        forward_follow_table(w);
    }
    check_applied(t);
    check_settled(&t->settle, w->now);
    note_free(note);
}

static void follow_listeners(struct thread *t, const struct bundle *bundle)
{
    for (unsigned i = 0; i < t->listeners_count; i++) {
        struct listener *l = &t->listeners[i];
        struct ssl_ctx_st *tls = bundle_listener_tls(bundle, l->name);
        if (l->tls != NULL && tls != NULL) { /* plain stays plain and TLS stays TLS until a restart */
            SSL_CTX_up_ref(tls);
            SSL_CTX_free(l->tls);
            l->tls = tls;
        }
    }
}

static void open_bundle(void *owner, struct letter *letter)
{
    struct thread *t = owner;
    struct note *note = (struct note *)letter;
    worker_wake(&t->worker);
    struct note passed = {.thing = t->worker.bundle};
    if (worker_set_bundle(&t->worker, note->thing)) {
        follow_listeners(t, note->thing);
        if (!t->worker.draining) {
            forward_follow_config(&t->worker);
        }
        passed.thing = note->thing;
    }
    (void)post(t->main, t, open_bundle_passed, &passed);
    note_free(note);
}

static void open_go_on(void *owner, struct letter *letter)
{
    struct thread *t = owner;
    struct note *note = (struct note *)letter;
    worker_wake(&t->worker);
    (void)fence_caught_up(&t->worker, note->time);
    forward_release(&t->worker);
    note_free(note);
}

static void open_release(void *owner, struct letter *letter)
{
    struct thread *t = owner;
    struct note *note = (struct note *)letter;
    worker_wake(&t->worker);
    struct note done = {.release = note->release};
    if (!t->worker.draining) { /* or they end anyway */
        done.released = forward_release_legs(&t->worker, note->release.link, note->release.client);
    }
    (void)post(t->main, t, open_released, &done);
    note_free(note);
}

static void open_call(void *owner, struct letter *letter)
{
    struct thread *t = owner;
    struct note *note = (struct note *)letter;
    worker_wake(&t->worker);
    note->call(&t->worker, note->arg);
    note_free(note);
}

/* What is in flight gets its answer, and both sides their unbind. */
static void give_up(struct worker *w)
{
    for (uint32_t i = 0; i < w->clients.capacity; i++) {
        struct client *client = registry_at(&w->clients, i);
        if (client != NULL) {
            conn_give_up(&client->conn);
        }
    }
    for (uint32_t i = 0; i < w->legs.capacity; i++) {
        struct leg *leg = registry_at(&w->legs, i);
        if (leg != NULL) {
            conn_give_up(&leg->conn);
            leg_end(leg);
        }
    }
}

static void close_all(struct worker *w)
{
    for (uint32_t i = 0; i < w->clients.capacity; i++) {
        struct client *client = registry_at(&w->clients, i);
        if (client != NULL) {
            conn_close(&client->conn, "drain_limit", true);
        }
    }
    for (uint32_t i = 0; i < w->legs.capacity; i++) {
        struct leg *leg = registry_at(&w->legs, i);
        if (leg != NULL) {
            conn_close(&leg->conn, "drain_limit", false);
        }
    }
}

/* First the answers and good-byes; peers that have not said theirs half a second later are left. */
static void on_drain_limit(struct timer *timer, uint64_t now)
{
    struct thread *t = (struct thread *)((char *)timer - offsetof(struct thread, drain));
    if (t->past_limit) {
        close_all(&t->worker);
    } else {
        give_up(&t->worker);
    }
    t->past_limit = true;
    timer_set(&t->worker.timers, &t->drain, now + SECOND / 2);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    l->thread->open_listeners--;
    free(l->name);
    if (l->tls != NULL) {
        SSL_CTX_free(l->tls);
    }
}

static void close_listeners(struct thread *t)
{
    for (unsigned i = 0; i < t->listeners_count; i++) {
        uv_close((uv_handle_t *)&t->listeners[i].tcp, on_listener_closed);
    }
}

static void open_end(void *owner, struct letter *letter)
{
    struct thread *t = owner;
    struct note *note = (struct note *)letter;
    struct worker *w = &t->worker;
    worker_wake(w);
    if (!t->ending) {
        t->ending = true;
        close_listeners(t);
        forward_end_all(w);
        probe_end_all(w);
        timer_set(&w->timers, &t->drain, w->now + w->config->drain);
    }
    if (note->flag) {
        timer_set(&w->timers, &t->drain, w->now);
    }
    note_free(note);
}

/* When the last session has gone, so does the thread. */
static void maybe_finish(struct thread *t)
{
    struct worker *w = &t->worker;
    if (!t->ending || t->finished || w->clients.count > 0 || w->legs.count > 0 || w->probes_count > 0 ||
        t->open_listeners > 0) {
        return;
    }
    t->finished = true;
    timer_cancel(&t->second);
    timer_cancel(&t->tick);
    timer_cancel(&t->drain);
    timer_cancel(&t->settle);
    auth_free(w->auth);
    shared_close(w->shared, w->number);
    mailbox_close(&t->box);
    uv_close((uv_handle_t *)&t->check, NULL);
    uv_close((uv_handle_t *)&t->prepare, NULL);
    uv_close((uv_handle_t *)&t->alarm, NULL);
}

bool thread_set_table(struct thread *thread, const struct table *table)
{
    struct note note = {.thing = table};
    return order(thread, open_table, &note);
}

bool thread_set_bundle(struct thread *thread, const struct bundle *bundle)
{
    struct note note = {.thing = bundle};
    return order(thread, open_bundle, &note);
}

bool thread_release_legs(struct thread *thread, const struct thread_release *release)
{
    struct note note = {.release = *release};
    return order(thread, open_release, &note);
}

bool thread_call(struct thread *thread, void (*function)(struct worker *w, void *arg), void *arg)
{
    struct note note = {.call = function, .arg = arg};
    return order(thread, open_call, &note);
}

bool thread_go_on(struct thread *thread, uint64_t stopped_at)
{
    struct note note = {.time = stopped_at};
    return order(thread, open_go_on, &note);
}

bool thread_end(struct thread *thread, bool hurry)
{
    struct note note = {.flag = hurry};
    return order(thread, open_end, &note);
}

/* --- listeners ------------------------------------------------------------------------------------------ */

static void note_accept_fault(struct listener *l, int error)
{
    struct worker *w = &l->thread->worker;
    metric_add(&w->metrics->accept_pauses, 1);
    if (w->now >= l->paused_until) {
        l->paused_until = w->now + SECOND;
        log_event(EVENT_ACCEPT_PAUSED, LOG_TEXT("listener", l->name), LOG_TEXT("why", uv_strerror(error)));
    }
}

/* The last descriptors are for legs that come back, for Redis and for files. Besides, libuv closes a connection
 * that it has no descriptor for, and all that wait behind it, without a word. The number is given back by libuv,
 * as all that it takes are: ThreadSanitizer sees none of these, and would miss the close of the one before. */
static bool descriptors_left(const struct listener *l)
{
    struct rlimit limit;
    uv_os_fd_t fd = -1;
    if (uv_fileno((const uv_handle_t *)&l->tcp, &fd) != 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return true;
    }
    int lowest = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (lowest >= 0) {
        uv_fs_t request;
        (void)uv_fs_close(NULL, &request, lowest, NULL);
        uv_fs_req_cleanup(&request);
    }
    return lowest >= 0 && (rlim_t)lowest + DESCRIPTORS_KEPT < limit.rlim_cur;
}

/* Until a connection that it has announced is taken, libuv accepts no other: they wait in the backlog. */
static void take_connection(struct listener *l)
{
    struct worker *w = &l->thread->worker;
    int error = 0;
    bool was_paused = l->paused;
    uint64_t begun = w->clock();
    l->accepts++;
    l->paused = !descriptors_left(l);
    if (!l->paused) {
        (void)client_accept(w, (uv_stream_t *)&l->tcp, l->tls, &forward_client_events, &error);
    } else if (!was_paused) {
        error = UV_EMFILE;
    }
    strangers_spent(&w->strangers, w->clock() - begun);
    if (error != 0) {
        note_accept_fault(l, error);
    }
}

static void on_connection(uv_stream_t *server, int status)
{
    struct listener *l = server->data;
    worker_wake(&l->thread->worker);
    if (status != 0) {
        note_accept_fault(l, status);
    } else if (l->accepts >= ACCEPTS_A_TURN ||
               (l->accepts > 0 && strangers_are_through(&l->thread->worker.strangers))) {
        l->put_off = true;
    } else {
        take_connection(l);
    }
}

static bool crowded(const struct worker *w)
{
    return atomic_load_explicit(&w->shared->unbound, memory_order_relaxed) > CROWD;
}

/* In a storm of connections those who are bound have their turns between. */
static void take_put_off(struct thread *t)
{
    uint64_t now = t->worker.clock();
    if (now < t->accept_at) {
        return;
    }
    t->accept_at = crowded(&t->worker) ? now + ACCEPT_PAUSE : 0;
    for (unsigned i = 0; i < t->listeners_count && !t->ending; i++) {
        struct listener *l = &t->listeners[i];
        l->accepts = 0;
        if (l->put_off) {
            l->put_off = false;
            worker_wake(&t->worker);
            take_connection(l);
        }
    }
}

/* When the connections that were put off are to be taken, UINT64_MAX for none. One that ends takes none any more. */
static uint64_t accept_next(const struct thread *t)
{
    uint64_t next = UINT64_MAX;
    for (unsigned i = 0; i < t->listeners_count && !t->ending; i++) {
        next = t->listeners[i].put_off ? t->accept_at : next;
    }
    return next;
}

static void resume_accepting(struct thread *t)
{
    for (unsigned i = 0; i < t->listeners_count && !t->ending; i++) {
        struct listener *l = &t->listeners[i];
        if (!l->paused) {
            continue;
        }
        take_connection(l);
        if (!l->paused) {
            (void)uv_listen((uv_stream_t *)&l->tcp, l->backlog, on_connection);
            log_event(EVENT_ACCEPT_RESUMED, LOG_TEXT("listener", l->name));
        }
    }
}

/* Is somebody else there? With SO_REUSEPORT another turnoutd would share the port in silence; a socket
 * without it may not be bound while any other listens. */
static int probe(const struct sockaddr *address, socklen_t len)
{
    int on = 1;
    int error = 0;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, address, len) != 0) {
        error = uv_translate_sys_error(errno);
    }
    if (fd >= 0) {
        close(fd);
    }
    return error;
}

static int listen_on(struct thread *t, struct listener *l, const struct config_listener *config,
                     uint16_t *port)
{
    struct sockaddr_storage address;
    int on = 1;
    uv_os_fd_t fd = -1;
    int error = uv_ip4_addr(config->address, *port, (struct sockaddr_in *)&address);
    if (error != 0) {
        error = uv_ip6_addr(config->address, *port, (struct sockaddr_in6 *)&address);
    }
    if (error == 0 && t->worker.number == 0) {
        error =
            probe((const struct sockaddr *)&address,
                  address.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    }
    if (error == 0) {
        error = uv_tcp_init_ex(&t->loop, &l->tcp, address.ss_family);
    }
    if (error != 0) {
        return error;
    }
    l->tcp.data = l;
    t->open_listeners++;
    t->listeners_count++;
    error = uv_fileno((uv_handle_t *)&l->tcp, &fd);
    if (error == 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) {
        error = uv_translate_sys_error(errno);
    }
    if (error == 0) {
        error = uv_tcp_bind(&l->tcp, (const struct sockaddr *)&address, 0);
    }
    if (error == 0) {
        l->backlog = (int)config->backlog;
        error = uv_listen((uv_stream_t *)&l->tcp, l->backlog, on_connection);
    }
    int len = sizeof address;
    if (error == 0 && uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&address, &len) == 0) {
        *port =
            ntohs(((const struct sockaddr_in *)&address)->sin_port); /* at the same place in sockaddr_in6 */
    }
    return error;
}

static bool open_listeners(struct thread *t, const struct thread_setup *setup, char *error, size_t cap)
{
    const struct config *config = setup->bundle->config;
    t->listeners = calloc(config->listeners_count, sizeof *t->listeners);
    for (size_t i = 0; t->listeners != NULL && i < config->listeners_count; i++) {
        const struct config_listener *c = &config->listeners[i];
        struct listener *l = &t->listeners[i];
        l->thread = t;
        l->name = strdup(c->name);
        l->tls = setup->bundle->listener_tls[i];
        if (l->tls != NULL) {
            SSL_CTX_up_ref(l->tls);
        }
        int fault = listen_on(t, l, c, &setup->ports[i]);
        if (fault != 0) {
            snprintf(error, cap, "listener %s cannot listen on %s port %u: %s", c->name, c->address,
                     (unsigned)setup->ports[i], uv_strerror(fault));
            return false;
        }
    }
    return t->listeners != NULL;
}

/* --- begin and end -------------------------------------------------------------------------------------- */

static void on_authenticated(void *ctx, uint64_t token, enum auth_verdict verdict)
{
    struct thread *t = ctx;
    worker_wake(&t->worker);
    client_authenticated(&t->worker, token, verdict);
}

static void run(void *arg)
{
    struct thread *t = arg;
    uv_run(&t->loop, UV_RUN_DEFAULT);
    tls_buffers_clear();
    (void)post(t->main, t, open_ended, &(struct note){.thing = NULL});
}

static bool init_loop(struct thread *t, const struct thread_setup *setup)
{
    struct worker *w = &t->worker;
    if (uv_loop_init(&t->loop) != 0 ||
        !worker_init(w, setup->number, &t->loop, uv_hrtime, setup->metrics, setup->ids, setup->shared) ||
        !worker_set_bundle(w, setup->bundle) || mailbox_init(&t->box, &t->loop, t) != 0) {
        return false;
    }
    shared_open(setup->shared, setup->number, &t->box);
    w->now_s = (uint64_t)time(NULL);
    w->auth = auth_new(&t->loop, setup->bundle->config->auth_queue, on_authenticated, t);
    uv_check_init(&t->loop, &t->check);
    uv_prepare_init(&t->loop, &t->prepare);
    uv_timer_init(&t->loop, &t->alarm);
    t->check.data = t->prepare.data = t->alarm.data = t;
    uv_check_start(&t->check, on_check);
    uv_prepare_start(&t->prepare, on_prepare);
    t->second.fire = on_second;
    t->tick.fire = on_tick;
    t->drain.fire = on_drain_limit;
    t->settle.fire = check_settled;
    timer_set(&w->timers, &t->second, w->now);
    fence_begin(w, setup->bundle->config->redis.lease, setup->bundle->config->redis.fence, on_stopped);
    timer_set(&w->timers, &t->tick, w->now);
    return w->auth != NULL;
}

struct thread *thread_start(const struct thread_setup *setup, char *error, size_t cap)
{
    struct thread *t = calloc(1, sizeof *t);
    snprintf(error, cap, "no memory for worker %u", setup->number);
    if (t == NULL) {
        return NULL;
    }
    t->main = setup->main;
    t->events = setup->events;
    t->ctx = setup->ctx;
    t->alarm_at = UINT64_MAX;
    t->view.bundle = setup->bundle;
    atomic_init(&t->turned, uv_hrtime());
    /* A fault here ends the process; what was opened goes with it. */
    if (!init_loop(t, setup) || !open_listeners(t, setup, error, cap)) {
        return NULL;
    }
    if (uv_thread_create(&t->id, run, t) != 0) {
        return NULL;
    }
    return t;
}

void thread_join(struct thread *thread)
{
    uv_thread_join(&thread->id);
    worker_clear(&thread->worker);
    uv_loop_close(&thread->loop);
    free(thread->listeners);
    free(thread);
}

const struct traffic *thread_traffic(const struct thread *thread)
{
    return &thread->worker.traffic;
}

uint64_t thread_turned(const struct thread *thread)
{
    return atomic_load_explicit(&thread->turned, memory_order_relaxed);
}

struct thread_view *thread_view(struct thread *thread)
{
    return &thread->view;
}
