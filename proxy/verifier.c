#include "proxy/verifier.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MS          1000000ULL
#define HURRY_AFTER (100 * MS)
enum { HURRIED, THREADS = 1 + VERIFIER_PATIENT, HURRY_SHARE = 4 /* one part in so many of its time */ };

TAILQ_HEAD(jobs, verifier_job);

struct hand {
    uv_thread_t id;
    uv_sem_t wake;
    int event; /* of the verifier */
    bool begun;
    struct verifier_job *job; /* NULL: it has none. Set while it waits, its own until through */
    atomic_bool through;
    uint64_t took; /* ns, by the job that is through */
};

struct verifier {
    uv_poll_t poll;
    uv_timer_t hurry;
    const struct verifier_events *events;
    void *ctx;
    struct jobs waiting, cancelled;
    unsigned under_way; /* posted, and not released yet */
    unsigned handles;   /* open */
    int event;
    uint64_t rested;   /* when the hurried thread may work again, ns */
    uint64_t progress; /* when a patient one was last through, ns */
    struct hand hands[THREADS];
};

/* --- on the threads ------------------------------------------------------------------------------------------ */

static void say(int event)
{
    const uint64_t one = 1;
    ssize_t written =
        write(event, &one, sizeof one); /* it can only fail where enough has been said already */
    (void)written;
}

static void work_off(struct hand *hand)
{
    for (;;) {
        uv_sem_wait(&hand->wake);
        if (hand->job == NULL) {
            return;
        }
        uint64_t begun = uv_hrtime();
        hand->job->work(hand->job);
        hand->took = uv_hrtime() - begun;
        atomic_store(&hand->through, true);
        say(hand->event);
    }
}

static void run_hurried(void *arg)
{
    work_off(arg);
}

static void run_patient(void *arg)
{
    const struct sched_param none = {.sched_priority = 0};
    (void)sched_setscheduler(0, SCHED_IDLE, &none); /* of this thread; without it, others are slower */
    work_off(arg);
}

/* --- on the loop --------------------------------------------------------------------------------------------- */

/* Those that cannot begin are tried again with the next job. */
static bool begin_threads(struct verifier *v)
{
    bool any = false;
    for (unsigned i = 0; i < THREADS; i++) {
        struct hand *hand = &v->hands[i];
        hand->begun =
            hand->begun || uv_thread_create(&hand->id, i == HURRIED ? run_hurried : run_patient, hand) == 0;
        any = any || hand->begun;
    }
    return any;
}

static void give(struct hand *hand, struct verifier *v, struct verifier_job *job)
{
    if (job->waiting) {
        TAILQ_REMOVE(&v->waiting, job, entry);
        job->waiting = false;
    }
    job->hands++;
    hand->job = job;
    atomic_store(&hand->through, false);
    uv_sem_post(&hand->wake);
}

static void on_hurry(uv_timer_t *timer);

/* Of those that wait, or are with a patient thread, the one posted first; NULL for none. */
static struct verifier_job *first_posted(const struct verifier *v)
{
    struct verifier_job *first = TAILQ_FIRST(&v->waiting);
    for (unsigned i = HURRIED + 1; i < THREADS; i++) {
        struct verifier_job *job = v->hands[i].job;
        if (job != NULL && !job->told && job->hands == 1 && (first == NULL || job->posted < first->posted)) {
            first = job;
        }
    }
    return first;
}

/* Where nobody else had time for it: while patient threads come on, even a long queue is no reason. */
static void hurry(struct verifier *v, uint64_t now)
{
    struct hand *hand = &v->hands[HURRIED];
    struct verifier_job *job = first_posted(v);
    if (job == NULL || !hand->begun || hand->job != NULL) {
        return;
    }
    uint64_t still_since = job->posted > v->progress ? job->posted : v->progress;
    uint64_t due = still_since + HURRY_AFTER;
    due = due < v->rested ? v->rested : due;
    if (now >= due) {
        give(hand, v, job);
    } else if (!uv_is_active((uv_handle_t *)&v->hurry)) {
        (void)uv_timer_start(&v->hurry, on_hurry, (due - now) / MS + 1, 0);
    }
}

static void hand_out(struct verifier *v)
{
    for (unsigned i = HURRIED + 1; i < THREADS && !TAILQ_EMPTY(&v->waiting); i++) {
        if (v->hands[i].begun && v->hands[i].job == NULL) {
            give(&v->hands[i], v, TAILQ_FIRST(&v->waiting));
        }
    }
    hurry(v, uv_hrtime());
}

static void on_hurry(uv_timer_t *timer)
{
    hand_out(timer->data);
}

/* A thread is through with it, or it was cancelled. */
static void finish(struct verifier *v, struct verifier_job *job)
{
    bool first = !job->told;
    bool last = job->hands == 0;
    job->told = true;
    hand_out(v);
    if (first) {
        v->events->done(v->ctx, job, job->cancelled);
    }
    if (last && --v->under_way == 0) {
        uv_unref((uv_handle_t *)&v->poll);
        (void)uv_timer_stop(&v->hurry);
    }
    if (last) {
        v->events->released(v->ctx, job);
    }
}

static void note_through(struct verifier *v, unsigned hand)
{
    if (hand == HURRIED) {
        v->rested = uv_hrtime() + (HURRY_SHARE - 1) * v->hands[HURRIED].took;
    } else {
        v->progress = uv_hrtime();
    }
}

/* One that a thread is through with, or that was cancelled; NULL for none. */
static struct verifier_job *take_finished(struct verifier *v)
{
    struct verifier_job *job = TAILQ_FIRST(&v->cancelled);
    if (job != NULL) {
        TAILQ_REMOVE(&v->cancelled, job, entry);
        return job;
    }
    for (unsigned i = 0; i < THREADS; i++) {
        struct hand *hand = &v->hands[i];
        if (hand->job != NULL && atomic_load(&hand->through)) {
            job = hand->job;
            hand->job = NULL;
            job->hands--;
            note_through(v, i);
            return job;
        }
    }
    return NULL;
}

/* One at a time: done may post and cancel, and released free the verifier after the last. */
static void on_said(uv_poll_t *poll, int status, int events)
{
    struct verifier *v = poll->data;
    struct verifier_job *job;
    uint64_t count;
    ssize_t got = read(v->event, &count, sizeof count);
    (void)status;
    (void)events;
    (void)got;
    while (!uv_is_closing((uv_handle_t *)poll) && (job = take_finished(v)) != NULL) {
        finish(v, job);
    }
}

bool verifier_post(struct verifier *v, struct verifier_job *job)
{
    if (!begin_threads(v)) {
        return false;
    }
    job->posted = uv_hrtime();
    job->waiting = true;
    job->cancelled = job->told = false;
    job->hands = 0;
    if (v->under_way++ == 0) {
        uv_ref((uv_handle_t *)&v->poll);
    }
    TAILQ_INSERT_TAIL(&v->waiting, job, entry);
    hand_out(v);
    return true;
}

bool verifier_cancel(struct verifier *v, struct verifier_job *job)
{
    if (!job->waiting) {
        return false;
    }
    TAILQ_REMOVE(&v->waiting, job, entry);
    TAILQ_INSERT_TAIL(&v->cancelled, job, entry);
    job->waiting = false;
    job->cancelled = true;
    say(v->event);
    return true;
}

/* --- begin and end ------------------------------------------------------------------------------------------- */

struct verifier *verifier_new(uv_loop_t *loop, const struct verifier_events *events, void *ctx)
{
    struct verifier *v = calloc(1, sizeof *v);
    if (v == NULL) {
        return NULL;
    }
    v->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (v->event < 0 || uv_poll_init(loop, &v->poll, v->event) != 0) {
        (void)close(v->event);
        free(v);
        return NULL;
    }
    (void)uv_timer_init(loop, &v->hurry);
    v->handles = 2;
    v->poll.data = v->hurry.data = v;
    v->events = events;
    v->ctx = ctx;
    TAILQ_INIT(&v->waiting);
    TAILQ_INIT(&v->cancelled);
    for (unsigned i = 0; i < THREADS; i++) {
        v->hands[i].event = v->event;
        (void)uv_sem_init(&v->hands[i].wake, 0); /* glibc's fails on a wrong number alone */
    }
    if (uv_poll_start(&v->poll, UV_READABLE, on_said) != 0) {
        verifier_free(v);
        return NULL;
    }
    uv_unref((uv_handle_t *)&v->poll);
    uv_unref((uv_handle_t *)&v->hurry);
    return v;
}

static void on_closed(uv_handle_t *handle)
{
    struct verifier *v = handle->data;
    if (--v->handles > 0) {
        return;
    }
    for (unsigned i = 0; i < THREADS; i++) {
        uv_sem_destroy(&v->hands[i].wake);
    }
    (void)close(v->event);
    free(v);
}

void verifier_free(struct verifier *v)
{
    for (unsigned i = 0; i < THREADS; i++) {
        if (v->hands[i].begun) {
            uv_sem_post(&v->hands[i].wake); /* without a job: the end */
            uv_thread_join(&v->hands[i].id);
        }
    }
    uv_ref((uv_handle_t *)&v->poll); /* the loop waits for what is closing, and only where it counts */
    uv_ref((uv_handle_t *)&v->hurry);
    uv_close((uv_handle_t *)&v->poll, on_closed);
    uv_close((uv_handle_t *)&v->hurry, on_closed);
}
