#include "proxy/turnoutd.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proxy/admin/admin.h"
#include "proxy/alarms.h"
#include "proxy/bundle.h"
#include "proxy/keeper.h"
#include "proxy/inquiry.h"
#include "proxy/hooks/hooks.h"
#include "proxy/log.h"
#include "proxy/memory_text.h"
#include "proxy/number_answers.h"
#include "proxy/number_swap.h"
#include "proxy/questions.h"
#include "proxy/sandbox.h"
#include "proxy/thread.h"
#include "proxy/tls_buffers.h"
#include "proxy/watchman.h"
#include "proxy/witness.h"
#include "routing/store.h"

enum {
    ERROR_TEXT = 4096,
    WORKERS_MAX = 64,
    SICK_SECONDS = 5,
    PATIENCE_MS = 3000,
    WITNESS_MS = 1000,
    DESCRIPTORS_READY = 1 << 18, /* at most: 2 MB of the kernel's */
};

/* A table that some worker may still read. */
struct published {
    struct published *next; /* older */
    struct table *table;
};

struct turnoutd {
    bool confined; /* it is the whole process */
    uv_loop_t loop;
    struct mailbox box;
    uv_signal_t signals[3];
    struct config_ids ids;
    struct bundle *bundle; /* in use */
    struct bundle *next;   /* on its way to the workers, NULL for none */
    bool reload_again;     /* asked for meanwhile */
    struct metrics *metrics;
    struct metrics_process process;
    struct message_index *message_ids;
    struct shared *shared;
    struct thread *threads[WORKERS_MAX];
    unsigned threads_count, running;
    uint16_t *ports;
    struct published *published; /* newest first */
    uint64_t applied;
    struct settled settled; /* of all workers */
    struct store *store;
    enum store_state told; /* last logged; it begins as connecting, which goes without saying */
    struct admin *admin;
    struct hooks *hooks;
    struct questions *questions;
    struct inquiry *inquiry;
    struct number_swap *number_swap;
    struct inquiry_source inquiry_source;
    struct witness_source witness_source;
    struct witness *witness;
    struct watchman *watchman;
    struct alarms alarms;
    uv_timer_t second;         /* of the witness */
    uint64_t config_since;     /* when the config in use was loaded, seconds since 1970 */
    unsigned connecting;       /* times that the store has told so */
    uv_timer_t grace;          /* for Redis, before the table on disk is served */
    struct table *on_disk;     /* until then */
    struct table *unpublished; /* for want of memory; NULL: none */
    struct keeper keeper;      /* of the lease */
    uv_timer_t patience;       /* after which an end that does not come is made */
    unsigned ending;           /* signals that asked for it */
    unsigned closing;          /* parts that still have to close */
};

/* --- tables --------------------------------------------------------------------------------------------- */

/* The least of a version over all threads; at is the place of it in thread_view. */
static uint64_t least(const struct turnoutd *d, size_t at)
{
    uint64_t version = UINT64_MAX;
    for (unsigned i = 0; i < d->threads_count; i++) {
        const struct thread_view *view = thread_view(d->threads[i]);
        uint64_t its = *(const uint64_t *)((const char *)view + at);
        version = its < version ? its : version;
    }
    return version;
}

static void free_older(struct turnoutd *d, uint64_t version)
{
    struct published *keep = d->published;
    while (keep != NULL && table_version(keep->table) > version) {
        keep = keep->next;
    }
    if (keep == NULL) {
        return;
    }
    struct published *old = keep->next;
    keep->next = NULL;
    while (old != NULL) {
        struct published *next = old->next;
        table_free(old->table);
        free(old);
        old = next;
    }
}

static void publish(struct turnoutd *d, struct table *table)
{
    struct published *p = malloc(sizeof *p);
    table_free(d->unpublished); /* what is newer has all that it had */
    d->unpublished = NULL;
    if (p == NULL && d->running > 0) {
        d->unpublished = table; /* nobody hands it to us again: see on_second */
        return;
    }
    if (d->running == 0) {
        free(p);
        table_free(table);
        return;
    }
    *p = (struct published){.next = d->published, .table = table};
    d->published = p;
    log_event(EVENT_TABLE_PUBLISHED, LOG_INT("version", table_version(table)),
              LOG_INT("shortcodes", table_count(table)));
    for (unsigned i = 0; i < d->threads_count; i++) {
        (void)thread_set_table(d->threads[i], table);
    }
}

/* Redis did not come in time, or has nothing newer: the table on disk is what there is. */
static void serve_from_disk(struct turnoutd *d)
{
    struct table *table = d->on_disk;
    d->on_disk = NULL;
    uv_timer_stop(&d->grace);
    if (table != NULL) {
        publish(d, table);
    }
}

static void on_grace_over(uv_timer_t *timer)
{
    serve_from_disk(timer->data);
}

/* The table on disk may be older than a flip that was reported while this instance was away: Redis is asked
 * first, for as long as an answer of it may take. */
static void on_table(void *ctx, struct table *table)
{
    struct turnoutd *d = ctx;
    if (d->store == NULL) { /* from within store_open: the snapshot */
        d->on_disk = table;
        return;
    }
    table_free(d->on_disk);
    d->on_disk = NULL;
    uv_timer_stop(&d->grace);
    publish(d, table);
}

static void on_table_passed(void *ctx, struct thread *thread, uint64_t version)
{
    struct turnoutd *d = ctx;
    thread_view(thread)->passed = version;
    free_older(d, least(d, offsetof(struct thread_view, passed)));
    keeper_look(&d->keeper);
}

static void report_applied(struct turnoutd *d)
{
    uint64_t all = least(d, offsetof(struct thread_view, applied));
    if (all > d->applied) {
        d->applied = all;
        store_applied(d->store, all);
        log_event(EVENT_TABLE_APPLIED, LOG_INT("version", all));
    }
}

static void on_table_applied(void *ctx, struct thread *thread, uint64_t version)
{
    struct turnoutd *d = ctx;
    thread_view(thread)->applied = version;
    report_applied(d);
}

static void report_settled(struct turnoutd *d)
{
    struct settled all = settled_begin(UINT64_MAX);
    for (unsigned i = 0; i < d->threads_count; i++) {
        settled_join(&all, &thread_view(d->threads[i])->settled);
    }
    if (!settled_equal(&all, &d->settled)) {
        d->settled = all;
        store_refresh(d->store);
    }
}

static void on_table_settled(void *ctx, struct thread *thread, const struct settled *settled)
{
    thread_view(thread)->settled = *settled;
    report_settled(ctx);
}

/* Of all workers; NULL for none. */
static const char *first_obstacle(const struct turnoutd *d)
{
    for (unsigned i = 0; i < d->threads_count; i++) {
        if (thread_view(d->threads[i])->obstacle[0] != '\0') {
            return thread_view(d->threads[i])->obstacle;
        }
    }
    return NULL;
}

static void on_obstacle(void *ctx, struct thread *thread, const char *what)
{
    struct turnoutd *d = ctx;
    snprintf(thread_view(thread)->obstacle, sizeof thread_view(thread)->obstacle, "%s",
             what == NULL ? "" : what);
    store_obstacle(d->store, first_obstacle(d));
    if (what != NULL) {
        log_event(EVENT_TABLE_BLOCKED, LOG_TEXT("why", what));
    }
}

static void on_store_state(void *ctx, enum store_state state, const char *reason)
{
    struct turnoutd *d = ctx;
    /* followed: nothing newer came before this. Connecting is told first when it begins, and again when it
     * has failed */
    if (state == STORE_FOLLOWING || state == STORE_REFUSED ||
        (state == STORE_CONNECTING && d->connecting++ > 0)) {
        serve_from_disk(d);
    }
    if (state == STORE_FOLLOWING && d->told != state && d->witness != NULL) {
        witness_again(d->witness); /* Redis was away, or another has taken over */
        watchman_again(d->watchman);
    }
    keeper_look(&d->keeper);
    if (state == d->told && state != STORE_REFUSED) {
        return; /* the version has moved on, which is told elsewhere */
    }
    d->told = state;
    log_event(state == STORE_FOLLOWING ? EVENT_STORE_FOLLOWING : EVENT_STORE_STATE,
              LOG_TEXT("state", store_state_name(state)), LOG_TEXT("why", reason));
}

static void on_store_trouble(void *ctx, const char *what)
{
    (void)ctx;
    log_event(EVENT_STORE_TROUBLE, LOG_TEXT("why", what));
}

static void add_number(void (*add)(void *, const char *, const char *), void *arg, const char *field,
                       uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    add(arg, field, text);
}

/* "spark:redx spark:omni ...": the ways that there are, so that a change to one that does not exist can be
 * refused. */
static void add_links(const struct config *config, void (*add)(void *, const char *, const char *), void *arg)
{
    struct memory_text links;
    FILE *out = memory_text_open(&links);
    for (size_t i = 0; out != NULL && i < config->links_count; i++) {
        fprintf(out, "%s%s:%s", i == 0 ? "" : " ", config->links[i].carrier_name,
                config->links[i].platform_name);
    }
    char *text = out == NULL ? NULL : memory_text_close(&links, NULL);
    if (text != NULL) {
        add(arg, "links", text);
    }
    free(text);
}

static void on_beat(void *ctx, void (*add)(void *arg, const char *field, const char *value), void *arg)
{
    struct turnoutd *d = ctx;
    char *sessions = metrics_sessions_json(d->metrics, d->bundle->config, &d->ids.names);
    char kinds[512];
    char unsettled[SETTLED_TEXT_MAX];
    add(arg, "program", "turnoutd " TURNOUT_VERSION);
    add_number(add, arg, "settled", settled_version(&d->settled));
    settled_write(&d->settled, &d->ids.names, unsettled);
    add(arg, "unsettled", unsettled);
    add(arg, "on_loss", d->bundle->config->redis.fence ? "fence" : "serve");
    add(arg, "fenced", keeper_fenced(&d->keeper));
    add_links(d->bundle->config, add, arg);
    add_number(add, arg, "in_flight", metrics_in_flight(d->metrics));
    number_answers_beat(d->bundle->config, add, arg);
    questions_kinds(d->questions, kinds, sizeof kinds);
    add(arg, "answers", kinds);
    if (sessions != NULL) {
        add(arg, "sessions", sessions);
    }
    free(sessions);
}

/* --- questions ------------------------------------------------------------------------------------------ */

static void on_question(void *ctx, const char *id, const char *request)
{
    struct turnoutd *d = ctx;
    questions_hear(d->questions, id, request);
}

static void send_answer(void *ctx, const char *id, const char *answer)
{
    struct turnoutd *d = ctx;
    store_answer(d->store, id, answer);
}

/* "about": which program, since when, by which config and table. */
static void ask_about(void *ctx, struct question *question, const json_t *request)
{
    struct turnoutd *d = ctx;
    time_t now = time(NULL);
    (void)request;
    question_answer(question,
                    json_pack("{s:s, s:i, s:I, s:I, s:s, s:I, s:I, s:I}", "program",
                              "turnoutd " TURNOUT_VERSION, "pid", (int)getpid(), "started_s",
                              (json_int_t)d->process.start_time, "uptime_s",
                              (json_int_t)now - (json_int_t)d->process.start_time, "config",
                              d->bundle->config->file, "config_since_s", (json_int_t)d->config_since,
                              "applied", (json_int_t)d->applied, "workers", (json_int_t)d->threads_count));
}

static const struct bundle *bundle_in_use(void *ctx)
{
    return ((const struct turnoutd *)ctx)->bundle;
}

static const struct table *newest_table(void *ctx)
{
    const struct turnoutd *d = ctx;
    return d->published == NULL ? NULL : d->published->table;
}

static void refresh_entry(void *ctx)
{
    store_refresh(((struct turnoutd *)ctx)->store);
}

static bool start_questions(struct turnoutd *d)
{
    d->inquiry_source = (struct inquiry_source){.threads = d->threads,
                                                .threads_count = &d->threads_count,
                                                .main = &d->box,
                                                .bundle = bundle_in_use,
                                                .table = newest_table,
                                                .witness = &d->witness,
                                                .refresh = refresh_entry,
                                                .ctx = d};
    d->questions = questions_new(d->bundle->config->instance, send_answer, d);
    if (d->questions == NULL) {
        return false;
    }
    questions_add(d->questions, "about", ask_about, d);
    number_answers_add(d->questions, &d->inquiry_source);
    d->inquiry = inquiry_new(&d->inquiry_source, d->questions);
    d->number_swap = number_swap_new(&d->loop, &d->inquiry_source, d->questions);
    return d->inquiry != NULL && d->number_swap != NULL;
}

/* --- evidence ------------------------------------------------------------------------------------------- */

static uint64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static const struct traffic *traffic_of_worker(void *ctx, unsigned worker)
{
    const struct turnoutd *d = ctx;
    return worker < d->threads_count ? thread_traffic(d->threads[worker]) : NULL;
}

static const struct config *config_in_use(void *ctx)
{
    return ((const struct turnoutd *)ctx)->bundle->config;
}

static bool call_store(void *ctx, const char *function, size_t count, const char *const *args,
                       store_reply *answer, void *answer_ctx)
{
    struct turnoutd *d = ctx;
    return store_call(d->store, function, count, args, answer, answer_ctx);
}

static void on_guards(void *ctx, uint64_t count)
{
    struct turnoutd *d = ctx;
    watchman_look(d->watchman, count, clock_ms());
    alarms_look(&d->alarms, call_store, d, clock_ms());
}

static void on_second(uv_timer_t *timer)
{
    struct turnoutd *d = timer->data;
    if (d->unpublished != NULL) {
        struct table *table = d->unpublished;
        d->unpublished = NULL;
        publish(d, table);
    }
    log_retry();
    number_swap_turn(d->number_swap, uv_hrtime());
    witness_turn(d->witness, uv_hrtime(), clock_ms());
}

static bool start_witness(struct turnoutd *d)
{
    d->alarms = (struct alarms){.born_ms = clock_ms()};
    d->witness_source = (struct witness_source){.workers = d->threads_count,
                                                .traffic = traffic_of_worker,
                                                .table = newest_table,
                                                .config = config_in_use,
                                                .metrics = d->metrics,
                                                .names = &d->ids.names,
                                                .call = call_store,
                                                .guards = on_guards};
    const char *instance = d->bundle->config->instance;
    d->witness = witness_new(&d->witness_source, d, instance, clock_ms());
    d->watchman = watchman_new(instance, call_store, d);
    return d->witness != NULL && d->watchman != NULL &&
           uv_timer_start(&d->second, on_second, WITNESS_MS, WITNESS_MS) == 0;
}

static void on_beat_acknowledged(void *ctx, uint64_t sent_ns, uint64_t version)
{
    struct turnoutd *d = ctx;
    keeper_acknowledged(&d->keeper, sent_ns, version);
    number_swap_told(d->number_swap, sent_ns);
}

static const struct store_events store_events = {.beat_acknowledged = on_beat_acknowledged,
                                                 .table = on_table,
                                                 .state = on_store_state,
                                                 .trouble = on_store_trouble,
                                                 .beat = on_beat,
                                                 .question = on_question};

/* --- reload --------------------------------------------------------------------------------------------- */

static struct bundle *read_bundle(struct turnoutd *d, const char *file, char *error, size_t cap)
{
    struct config *config = config_read(file, &d->ids, error, cap);
    return config == NULL ? NULL : bundle_new(config, d->message_ids, error, cap);
}

static void reload(struct turnoutd *d)
{
    char error[ERROR_TEXT];
    log_reopen();
    if (d->next != NULL || d->ending > 0) {
        d->reload_again = true; /* the one before is still on its way to the workers: milliseconds */
        return;
    }
    struct bundle *next = read_bundle(d, d->bundle->config->file, error, sizeof error);
    if (next == NULL) {
        d->process.config_refused++;
        log_lines(EVENT_CONFIG_REFUSED, "why", error);
        return;
    }
    d->next = next;
    number_swap_reloads(d->number_swap, true);
    for (unsigned i = 0; i < d->threads_count; i++) {
        (void)thread_set_bundle(d->threads[i], next);
    }
}

static void tell_warnings(const struct config *config)
{
    if (config->warnings != NULL) {
        log_lines(EVENT_CONFIG_WARNING, "what", config->warnings);
    }
}

/* The config's portability table, as its events have it; "" for none. */
static const char *numbers_version(const struct config *config)
{
    return config->numbers == NULL ? "" : numbers_about(config->numbers).version;
}

/* Every worker goes by the new config now. */
static void tell_loaded(struct turnoutd *d, const struct config *old)
{
    char restart[256] = "";
    config_needs_restart(old, d->bundle->config, restart, sizeof restart);
    d->process.config_reloads++;
    d->config_since = (uint64_t)time(NULL);
    log_event(EVENT_CONFIG_LOADED, LOG_TEXT("file", d->bundle->config->file),
              LOG_TEXT("portability_table", numbers_version(d->bundle->config)),
              LOG_TEXT("needs_restart", restart));
    if (bundle_has_tls(d->bundle)) {
        log_event(EVENT_TLS_RELOADED, LOG_TEXT("file", d->bundle->config->file));
    }
    tell_warnings(d->bundle->config);
}

static void on_bundle_passed(void *ctx, struct thread *thread, const struct bundle *bundle)
{
    struct turnoutd *d = ctx;
    thread_view(thread)->bundle = bundle;
    for (unsigned i = 0; i < d->threads_count; i++) {
        if (thread_view(d->threads[i])->bundle != d->next) {
            return;
        }
    }
    struct bundle *old = d->bundle;
    d->bundle = d->next;
    d->next = NULL;
    number_swap_reloads(d->number_swap, false);
    tell_loaded(d, old->config);
    hooks_configure(d->hooks, d->bundle->config);
    bundle_free(old);
    if (d->reload_again) {
        d->reload_again = false;
        reload(d);
    }
}

/* --- admin ---------------------------------------------------------------------------------------------- */

static char *admin_metrics(void *ctx, size_t *len)
{
    struct turnoutd *d = ctx;
    struct metrics_process *p = &d->process;
    p->route_version_applied = d->applied;
    p->route_version_desired = d->store == NULL ? 0 : store_desired(d->store);
    p->store_state = d->store == NULL ? STORE_CONNECTING : store_state(d->store);
    p->store_reconnects = d->store == NULL ? 0 : store_counter_reconnects(d->store);
    p->store_refused = d->store == NULL ? 0 : store_counter_refused(d->store);
    p->log_lost = log_lost();
    hooks_measure(d->hooks, p);
    p->fenced = keeper_fenced(&d->keeper)[0] != '\0';
    p->shortcodes = d->published == NULL ? 0 : table_count(d->published->table);
    return metrics_text(d->metrics, d->bundle->config, &d->ids.names, p, len);
}

static char *admin_sessions(void *ctx)
{
    struct turnoutd *d = ctx;
    return metrics_sessions_json(d->metrics, d->bundle->config, &d->ids.names);
}

static bool admin_healthy(void *ctx, char *why, size_t cap)
{
    struct turnoutd *d = ctx;
    uint64_t now = uv_hrtime();
    for (unsigned i = 0; i < d->threads_count; i++) {
        uint64_t turned = thread_turned(d->threads[i]);
        if (now > turned && now - turned > SICK_SECONDS * 1000000000ULL) {
            snprintf(why, cap, "worker %u has not turned its loop for %llu s", i,
                     (unsigned long long)((now - turned) / 1000000000ULL));
            return false;
        }
    }
    return true;
}

static bool admin_ready(void *ctx, char *why, size_t cap)
{
    struct turnoutd *d = ctx;
    if (d->ending > 0) {
        snprintf(why, cap, "ending");
        return false;
    }
    if (d->applied == 0 && d->published == NULL) {
        bool empty = d->store != NULL && store_state(d->store) == STORE_FOLLOWING;
        snprintf(why, cap, "%s",
                 empty ? "the routing table is empty: turnoutctl route set or route import fills it"
                       : "no routing table yet: Redis has not been reached and there is no snapshot on disk");
        return false;
    }
    if (*keeper_fenced(&d->keeper) != '\0') { /* a balancer has better places for new clients */
        snprintf(why, cap, "fenced, MT waits: %s", keeper_fenced(&d->keeper));
        return false;
    }
    return admin_healthy(ctx, why, cap);
}

static const struct admin_source admin_source = {
    .metrics = admin_metrics, .sessions = admin_sessions, .ready = admin_ready, .healthy = admin_healthy};

/* --- end ------------------------------------------------------------------------------------------------ */

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

static void part_closed(void *ctx)
{
    struct turnoutd *d = ctx;
    if (--d->closing > 0) {
        return;
    }
    mailbox_close(&d->box);
    uv_walk(&d->loop, close_handle, NULL); /* signals and timer */
}

/* All workers have ended: Redis and admin follow. */
static void close_parts(struct turnoutd *d)
{
    uv_timer_stop(&d->second); /* it calls the store */
    d->closing = 2;
    keeper_end(&d->keeper);
    number_swap_end(d->number_swap);
    hooks_end(d->hooks, &d->box, part_closed, d);
    if (d->store != NULL) {
        d->closing++;
        store_close(d->store, part_closed, d);
    }
    if (d->admin != NULL) {
        d->closing++;
        admin_close(d->admin, part_closed, d);
    }
    part_closed(d);
}

static void on_thread_ended(void *ctx, struct thread *thread)
{
    struct turnoutd *d = ctx;
    struct thread_view *view = thread_view(thread);
    view->ended = true;
    view->passed = view->applied = UINT64_MAX; /* it holds nothing back any more */
    view->settled = settled_begin(UINT64_MAX);
    if (--d->running == 0) {
        close_parts(d);
    } else {
        report_applied(d);
    }
}

/* A worker cannot end while the system's resolver hangs in its pool, which nothing can stop. All sessions are
 * closed by now, so the process may go. */
static void on_patience_over(uv_timer_t *timer)
{
    struct turnoutd *d = timer->data;
    log_event(EVENT_STOPPED, LOG_INT("signals", d->ending),
              LOG_TEXT("how", "something still waited for the resolver, or for Redis"));
    log_close();
    _exit(0);
}

static void end(struct turnoutd *d, int signal)
{
    uint64_t patience_ms = (d->ending == 0 ? d->bundle->config->drain / 1000000 : 0) + PATIENCE_MS;
    uv_timer_start(&d->patience, on_patience_over, patience_ms, 0);
    d->ending++;
    log_event(EVENT_STOPPING, LOG_INT("signal", signal),
              LOG_TEXT("how", d->ending == 1 ? "drain" : "at once"));
    for (unsigned i = 0; i < d->threads_count; i++) {
        if (!thread_view(d->threads[i])->ended) {
            (void)thread_end(d->threads[i], d->ending > 1);
        }
    }
}

static void on_signal(uv_signal_t *handle, int signal)
{
    struct turnoutd *d = handle->data;
    if (signal == SIGHUP) {
        reload(d);
    } else {
        end(d, signal);
    }
}

/* --- begin ---------------------------------------------------------------------------------------------- */

static void on_legs_released(void *ctx, struct thread *thread, const struct thread_release *release,
                             unsigned ended, unsigned needed)
{
    const struct turnoutd *d = ctx;
    const struct config *config = d->bundle->config;
    const struct config_link *link =
        release->link < config->link_at_count ? config->link_at[release->link] : NULL;
    (void)thread;
    log_event(EVENT_LEGS_RELEASED, LOG_TEXT("link", link == NULL ? "removed" : link->name),
              LOG_INT("ended", ended), LOG_INT("needed", needed));
    (void)inquiry_released(d->inquiry, release, ended, needed);
}

static void on_stopped(void *ctx, struct thread *thread, uint64_t stopped_at, uint64_t gap)
{
    struct turnoutd *d = ctx;
    keeper_stopped(&d->keeper, thread, stopped_at, gap);
}

static const struct thread_events thread_events = {.table_passed = on_table_passed,
                                                   .table_applied = on_table_applied,
                                                   .table_settled = on_table_settled,
                                                   .obstacle = on_obstacle,
                                                   .bundle_passed = on_bundle_passed,
                                                   .legs_released = on_legs_released,
                                                   .stopped = on_stopped,
                                                   .ended = on_thread_ended};

static bool state_path(const struct config *config, const char *name, char *path, size_t cap)
{
    if (config->state_directory == NULL) {
        return false;
    }
    (void)mkdir(config->state_directory, 0700);
    return snprintf(path, cap, "%s/%s", config->state_directory, name) < (int)cap;
}

/* The state directory is one process's: two would write over each other's table and message ids. The lock
 * goes with the process, however it ends. */
static bool lock_state(const struct config *config, char *error, size_t cap)
{
    char path[4096];
    if (!state_path(config, "lock", path, sizeof path)) {
        return true;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        snprintf(error, cap, "the lock in state-directory %s cannot be opened: %s", config->state_directory,
                 strerror(errno));
        return false;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        snprintf(error, cap,
                 "state-directory %s is in use by another turnoutd; give this one a directory of its own",
                 config->state_directory);
        close(fd);
        return false;
    }
    return true; /* fd stays open */
}

static void tell_begun_anew(const char *file, const char *why)
{
    if (why != NULL) {
        log_event(EVENT_STATE_BEGUN_ANEW, LOG_TEXT("file", file), LOG_TEXT("why", why));
    }
}

/* On a full disk they are kept in memory: what the disk lacks is no reason to serve nobody. */
static bool open_message_ids(struct turnoutd *d, const struct config *config, char *error, size_t cap)
{
    char path[4096];
    const char *reason = NULL;
    uint64_t ttl_s = config->message_id_ttl / 1000000000;
    bool kept = state_path(config, "message-ids", path, sizeof path);
    d->message_ids = message_index_open(kept ? path : NULL, config->message_ids, ttl_s, &reason);
    if (d->message_ids == NULL && kept) {
        char why[256];
        snprintf(why, sizeof why, "%s; message ids are kept in memory, and lost at the next start", reason);
        tell_begun_anew(path, why);
        d->message_ids = message_index_open(NULL, config->message_ids, ttl_s, &reason);
    } else {
        tell_begun_anew(kept ? path : "", reason);
    }
    if (d->message_ids == NULL) {
        snprintf(error, cap, "the index of message ids cannot be made: %s", reason);
    }
    return d->message_ids != NULL;
}

static bool start_threads(struct turnoutd *d, char *error, size_t cap)
{
    const struct config *config = d->bundle->config;
    d->ports = calloc(config->listeners_count, sizeof *d->ports);
    d->shared = shared_new(config->multipart_entries);
    if (d->ports == NULL || d->shared == NULL) {
        snprintf(error, cap, "no memory");
        return false;
    }
    for (size_t i = 0; i < config->listeners_count; i++) {
        d->ports[i] = config->listeners[i].port;
    }
    for (unsigned i = 0; i < config->workers && i < WORKERS_MAX; i++) {
        struct thread_setup setup = {.number = i,
                                     .bundle = d->bundle,
                                     .metrics = metrics_of(d->metrics, i),
                                     .ids = d->message_ids,
                                     .shared = d->shared,
                                     .main = &d->box,
                                     .events = &thread_events,
                                     .ctx = d,
                                     .ports = d->ports};
        struct thread *thread = thread_start(&setup, error, cap);
        if (thread == NULL) {
            return false;
        }
        d->threads[d->threads_count++] = thread;
        d->running++;
    }
    for (size_t i = 0; i < config->listeners_count; i++) {
        log_event(EVENT_LISTENING, LOG_TEXT("listener", config->listeners[i].name),
                  LOG_TEXT("address", config->listeners[i].address), LOG_INT("port", d->ports[i]),
                  LOG_TEXT("tls", config->listeners[i].tls ? "yes" : "no"));
    }
    return true;
}

static void begin_keeper(struct turnoutd *d)
{
    const struct config *config = d->bundle->config;
    struct lease_setup setup = {.length = config->redis.lease,
                                .timeout = config->redis.timeout,
                                .strict = config->redis.fence,
                                .workers = d->threads_count,
                                .end = &d->shared->lease_end};
    keeper_begin(&d->keeper, &d->loop, &setup, d->threads, &d->store);
}

static bool start_store(struct turnoutd *d)
{
    const struct config *c = d->bundle->config;
    char path[4096];
    struct store_options options = {.host = c->redis.host,
                                    .port = c->redis.port,
                                    .unix_path = c->redis.unix_path,
                                    .sentinel = {.sentinels = (const char *const *)c->redis.sentinels,
                                                 .count = c->redis.sentinels_count,
                                                 .master = c->redis.master,
                                                 .username = c->redis.sentinel_username,
                                                 .password = c->redis.sentinel_password},
                                    .username = c->redis.username,
                                    .password = c->redis.password,
                                    .database = c->redis.database,
                                    .prefix = c->redis.prefix,
                                    .instance = c->instance,
                                    .snapshot_path =
                                        state_path(c, "table.json", path, sizeof path) ? path : NULL,
                                    .beat_ms = c->redis.beat / 1000000,
                                    .lease_ms = c->redis.lease / 1000000,
                                    .timeout_ms = c->redis.timeout / 1000000,
                                    .backoff_min_ms = c->redis.reconnect_min / 1000000,
                                    .backoff_max_ms = c->redis.reconnect_max / 1000000};
    begin_keeper(d);
    d->store = store_open(&d->loop, &d->ids.names, &options, &store_events, d);
    if (d->on_disk != NULL) {
        uv_timer_start(&d->grace, on_grace_over, options.timeout_ms, 0);
    }
    return d->store != NULL;
}

static bool start_admin(struct turnoutd *d, char *error, size_t cap)
{
    const struct config *c = d->bundle->config;
    if (!c->admin.enabled) {
        return true;
    }
    d->admin = admin_open(&d->loop, c->admin.address, c->admin.port, &admin_source, d, error, cap);
    if (d->admin != NULL) {
        log_event(EVENT_ADMIN_LISTENING, LOG_TEXT("address", c->admin.address),
                  LOG_INT("port", admin_port(d->admin)));
    }
    return d->admin != NULL;
}

static bool start_signals(struct turnoutd *d)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    for (unsigned i = 0; i < 3; i++) {
        d->signals[i].data = d;
        if (uv_signal_init(&d->loop, &d->signals[i]) != 0 ||
            uv_signal_start(&d->signals[i], on_signal, numbers[i]) != 0) {
            return false;
        }
    }
    d->patience.data = d->grace.data = d->second.data = d;
    uv_timer_init(&d->loop, &d->grace);
    uv_timer_init(&d->loop, &d->patience);
    uv_timer_init(&d->loop, &d->second);
    signal(SIGPIPE, SIG_IGN);
    return true;
}

/* The kernel doubles a process's table of descriptors as it fills, and where there are threads it then waits for all
 * processors to have passed by (RCU): 10 to 15 ms in which the thread that asked for a descriptor does nothing else. So the
 * table is made as large as it may have to be (8 octets each) while nobody waits. */
static void make_descriptors_ready(const uv_loop_t *loop, uint64_t count)
{
    int last = fcntl(uv_backend_fd(loop), F_DUPFD_CLOEXEC, (int)(count - 1));
    if (last >= 0) {
        (void)close(last);
    }
}

/* As many descriptors as the system lets us have; a warning where the config may need more. */
static void check_descriptors(const uv_loop_t *loop, const struct config *config)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    uint64_t wanted = (uint64_t)config->max_sessions * (1 + config->links_count) + 64;
    uint64_t most = wanted < DESCRIPTORS_READY ? wanted : DESCRIPTORS_READY;
    make_descriptors_ready(loop, most < limit.rlim_max ? most : limit.rlim_max);
    if (limit.rlim_max < wanted) {
        log_event(EVENT_FEW_DESCRIPTORS, LOG_INT("limit", limit.rlim_max), LOG_INT("may_need", wanted),
                  LOG_TEXT("advice",
                           "raise the limit of open files (LimitNOFILE, ulimit -n) or lower max-sessions"));
    }
}

static bool confine(const struct config *config, char *error, size_t cap)
{
    char why[ERROR_TEXT];
    if (!sandbox_close(config, why, sizeof why)) {
        snprintf(error, cap, "%s", why);
        return false;
    }
    if (why[0] != '\0') {
        log_event(EVENT_SANDBOX_OFF, LOG_TEXT("why", why));
    }
    return true;
}

/* It may listen and read keys as root, and has no need of it later. */
static void warn_of_root(void)
{
    if (geteuid() == 0) {
        log_event(EVENT_AS_ROOT,
                  LOG_TEXT("advice", "set user, or start it as one (User= in a systemd unit)"));
    }
}

static bool start(struct turnoutd *d, const char *config_file, char *error, size_t cap)
{
    struct config *config = config_read(config_file, &d->ids, error, cap);
    if (config == NULL) {
        return false;
    }
    if (d->confined && !sandbox_drop(config, error, cap)) {
        config_free(config);
        return false;
    }
    if (!log_open(config->log.json, config->log.level, config->log.file, config->instance)) {
        snprintf(error, cap, "log file %s cannot be opened", config->log.file);
        config_free(config);
        return false;
    }
    warn_of_root();
    if (!lock_state(config, error, cap)) {
        config_free(config);
        return false;
    }
    if (!open_message_ids(d, config, error, cap)) {
        config_free(config);
        return false;
    }
    d->bundle = bundle_new(config, d->message_ids, error, cap);
    if (d->bundle == NULL) {
        return false;
    }
    log_event(EVENT_CONFIG_LOADED, LOG_TEXT("file", d->bundle->config->file),
              LOG_TEXT("portability_table", numbers_version(d->bundle->config)));
    tell_warnings(d->bundle->config);
    if (uv_loop_init(&d->loop) != 0 || mailbox_init(&d->box, &d->loop, d) != 0 || !start_signals(d)) {
        snprintf(error, cap, "the main loop could not be made");
        return false;
    }
    d->metrics = metrics_new(d->bundle->config->workers);
    if (d->metrics == NULL) {
        snprintf(error, cap, "no memory for the metrics");
        return false;
    }
    check_descriptors(&d->loop, d->bundle->config);
    d->hooks = hooks_open(d->bundle->config);
    if (d->hooks == NULL) {
        snprintf(error, cap, "no memory for the hooks");
        return false;
    }
    if (d->confined && !confine(d->bundle->config, error, cap)) {
        return false;
    }
    /* the listeners come last: nobody is accepted by a process that cannot start */
    if (!start_admin(d, error, cap) || !start_threads(d, error, cap)) {
        return false;
    }
    if (!start_questions(d) || !start_store(d) || !start_witness(d)) {
        snprintf(error, cap, "no memory for the store");
        return false;
    }
    return true;
}

static void clear(struct turnoutd *d)
{
    for (unsigned i = 0; i < d->threads_count; i++) {
        thread_join(d->threads[i]);
    }
    while (d->published != NULL) {
        struct published *p = d->published;
        d->published = p->next;
        table_free(p->table);
        free(p);
    }
    table_free(d->on_disk);
    table_free(d->unpublished);
    bundle_free(d->next);
    bundle_free(d->bundle);
    metrics_free(d->metrics);
    inquiry_free(d->inquiry);
    number_swap_free(d->number_swap);
    questions_free(d->questions);
    witness_free(d->witness);
    watchman_free(d->watchman);
    message_index_close(d->message_ids);
    hooks_free(d->hooks);
    config_ids_free(&d->ids);
    shared_free(d->shared);
    free(d->ports);
}

/* Not static: a simulation runs several in one process. */
static int run(const char *config_file, bool confined)
{
    struct turnoutd *d = calloc(1, sizeof *d);
    char error[ERROR_TEXT] = "no memory";
    if (d != NULL) {
        d->confined = confined;
        (void)mallopt(M_MMAP_THRESHOLD,
                      sizeof(struct chunk)); /* so that chunks given back leave the process */
        tls_buffers_use();
        d->process.start_time = (double)time(NULL);
        d->config_since = (uint64_t)d->process.start_time;
    }
    if (d == NULL || !start(d, config_file, error, sizeof error)) {
        fprintf(stderr, "turnoutd: %s\n", error);
        log_lines(EVENT_START_FAILED, "why", error);
        /* Workers may run already: the process ends as it is, with nothing bound yet. */
        _exit(1);
    }
    log_event(EVENT_STARTED, LOG_TEXT("version", TURNOUT_VERSION), LOG_INT("workers", d->threads_count));
    uv_run(&d->loop, UV_RUN_DEFAULT);
    clear(d);
    uv_loop_close(&d->loop);
    log_event(EVENT_STOPPED, LOG_INT("signals", d->ending));
    log_close();
    free(d);
    return 0;
}

int turnoutd_run(const char *config_file)
{
    return run(config_file, false);
}

int turnoutd_run_confined(const char *config_file)
{
    return run(config_file, true);
}
