/* Threads of one worker for work that takes long and must not keep its loop waiting, not even for a processor.
 *
 *   verifier_post ──▶ waiting ──▶ a patient thread, which runs only when nothing else wants its processor ──▶ done, on the loop
 *                        └─ half a second later still there ──▶ a hurried one, as others are, for a tenth of its time
 *
 * The pool of libuv would not do: its four threads are equals of the worker, which on one processor gets a fifth of it
 * then, and up to 5 ms late (measured). Where all processors are busy for long, the hurried thread sees to it that
 * somebody who binds gets an answer in the end.
 *
 * A patient thread may be stopped anywhere, for long, so the loop must never wait for one: all queues are the loop's, jobs
 * are handed over by single stores, and an eventfd says that one is through. A lock, or uv_async_send, which makes the
 * loop spin until the sender has returned from it, would hold the loop up (12 ms were measured). Threads begin with the
 * first work. */
#ifndef PROXY_VERIFIER_H
#define PROXY_VERIFIER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

enum { VERIFIER_PATIENT = 2 /* threads, beside the hurried one */ };

/* At the start of what the work is about, which is the caller's; in use from verifier_post to done. */
struct verifier_job {
    TAILQ_ENTRY(verifier_job) entry;
    void (*work)(struct verifier_job *job); /* on another thread */
    uint64_t posted;                        /* ns of uv_hrtime */
    bool waiting;                           /* not begun */
    bool cancelled;
};

/* On the loop, once a job: after its work, or instead of it, where cancelled. The job may be freed in it. */
typedef void verifier_done(void *ctx, struct verifier_job *job, bool cancelled);

struct verifier;

/* NULL without memory or descriptors. */
struct verifier *verifier_new(uv_loop_t *loop, verifier_done *done, void *ctx);

/* False where no thread can be had: done is not called then. While jobs are on their way the loop goes on running. */
bool verifier_post(struct verifier *verifier, struct verifier_job *job);

/* True where it had not begun: done follows, from the loop. */
bool verifier_cancel(struct verifier *verifier, struct verifier_job *job);

/* Once no job is on its way. What is left is freed by the loop. */
void verifier_free(struct verifier *verifier);

#endif
