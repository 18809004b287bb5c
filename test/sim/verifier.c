/* In a world there is one thread: the work is done in a simulated pool's, which takes time of the world. */
#include "proxy/verifier.h"

#include <stdlib.h>

struct verifier {
    uv_loop_t *loop;
    const struct verifier_events *events;
    void *ctx;
};

struct errand {
    uv_work_t work;
    struct verifier *verifier;
    struct verifier_job *job;
};

static void work_off(uv_work_t *work)
{
    struct verifier_job *job = ((struct errand *)work)->job;
    job->waiting = false;
    if (!job->cancelled) {
        job->work(job);
    }
}

static void on_through(uv_work_t *work, int status)
{
    struct errand *errand = (struct errand *)work;
    (void)status;
    const struct verifier_events *events = errand->verifier->events;
    void *ctx = errand->verifier->ctx;
    struct verifier_job *job = errand->job;
    free(errand);
    events->done(ctx, job, job->cancelled);
    events->released(ctx, job);
}

bool verifier_post(struct verifier *verifier, struct verifier_job *job)
{
    struct errand *errand = calloc(1, sizeof *errand);
    if (errand == NULL) {
        return false;
    }
    errand->verifier = verifier;
    errand->job = job;
    job->waiting = true;
    job->cancelled = false;
    return uv_queue_work(verifier->loop, &errand->work, work_off, on_through) == 0;
}

bool verifier_cancel(struct verifier *verifier, struct verifier_job *job)
{
    (void)verifier;
    job->cancelled = job->cancelled || job->waiting;
    return job->waiting;
}

struct verifier *verifier_new(uv_loop_t *loop, const struct verifier_events *events, void *ctx)
{
    struct verifier *verifier = calloc(1, sizeof *verifier);
    if (verifier != NULL) {
        *verifier = (struct verifier){loop, events, ctx};
    }
    return verifier;
}

void verifier_free(struct verifier *verifier)
{
    free(verifier);
}
