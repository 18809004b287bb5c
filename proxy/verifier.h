/* Threads of one worker for work that takes long and must not keep its loop waiting, not even for a processor.
 *
 *   verifier_post ──▶ waiting ──▶ a patient thread, which runs only when nothing else wants its processor ──▶ done, on the loop
 *                        │              └─ still at it a tenth of a second later ─┐
 *                        └─ still waiting then ────────────────────────────────────┴─▶ a hurried one, as others are, for a
 *                                                                                      quarter of its time ──▶ done
 *
 * The pool of libuv would not do: its four threads are equals of the worker, which on one processor gets a fifth of it
 * then, and up to 5 ms late (measured). Where all processors are busy for long, patient threads come to a stop: when none
 * has been through for a tenth of a second, the hurried one sees to it, in the order of the posts, that whoever binds gets
 * an answer. It begins anew what a patient one has begun; whichever is through first counts.
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

/* At the start of what the work is about, which is the caller's; in use from verifier_post to released. */
struct verifier_job {
    TAILQ_ENTRY(verifier_job) entry;
    void (*work)(struct verifier_job *job); /* on another thread, or on two at once */
    uint64_t posted;                        /* ns of uv_hrtime */
    unsigned hands;                         /* threads that are at it */
    bool waiting;                           /* not begun */
    bool cancelled, told;
};

/* On the loop, once a job each: its work is done for the first time, or will not be, where cancelled; and no thread is at
 * it any more, so that it may be freed. */
struct verifier_events {
    void (*done)(void *ctx, struct verifier_job *job, bool cancelled);
    void (*released)(void *ctx, struct verifier_job *job);
};

struct verifier;

/* NULL without memory or descriptors. */
struct verifier *verifier_new(uv_loop_t *loop, const struct verifier_events *events, void *ctx);

/* False where no thread can be had: done is not called then. While jobs are on their way the loop goes on running. */
bool verifier_post(struct verifier *verifier, struct verifier_job *job);

/* True where it had not begun: done follows, from the loop. */
bool verifier_cancel(struct verifier *verifier, struct verifier_job *job);

/* Once all jobs are released. What is left is freed by the loop. */
void verifier_free(struct verifier *verifier);

#endif
