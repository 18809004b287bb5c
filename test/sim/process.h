/* Instances of turnoutd in this process: each runs its own main as a coroutine and its loops under uv.c.
 *
 *   process_start ─▶ coroutine: turnoutd_run(config) ─▶ uv_run ─▶ loops turned by the world, one at a time
 *   process_kill: gone at this moment, as by SIGKILL      process_signal: SIGTERM drains, SIGHUP reloads
 *   process_stop: nothing of it runs for a while, as by SIGSTOP or a machine that hangs */
#ifndef TEST_SIM_PROCESS_H
#define TEST_SIM_PROCESS_H

#include <uv.h>

#include "proxy/worker.h"
#include "test/sim/sim.h"

enum { PROCESS_LOOPS = 4, PROCESS_WORKERS = 2, PROCESS_LISTENERS = 2 };

struct loop;
struct wire;

/* How often a process has met limits, as seen from outside of its counters (limits.c). */
struct met {
    uint64_t binds, connections, slow_readers, inits, partials, full, full_in_all;
};

struct process {
    struct process *next; /* older */
    unsigned instance, serial;
    bool alive;  /* its loops turn */
    bool ending; /* it was told to end */
    bool ended;  /* it came to its end by itself */
    uint64_t started, stopped_until;
    uint64_t told;     /* to end, by SIGTERM; 0: not yet */
    uint64_t reloaded; /* when it was last told to read its configuration */
    int64_t skew;      /* of its wall clock, seconds */
    struct loop *loops[PROCESS_LOOPS];
    unsigned loops_count;
    struct worker *workers[PROCESS_WORKERS];
    uv_stream_t *listeners[PROCESS_WORKERS][PROCESS_LISTENERS]; /* plain, TLS; NULL: closed */
    struct loop *worker_loops[PROCESS_WORKERS];
    unsigned workers_count;
    uint64_t versions[PROCESS_WORKERS]; /* of the table, as seen last */
    bool over[PROCESS_WORKERS];         /* the worker has ended */
    struct met met;
    char name[24];
};

extern struct process *processes; /* newest first */
extern struct process *current;   /* whose code runs now, NULL: the world's own */

void processes_begin(const char *directory);
struct process *process_start(unsigned instance);
void process_kill(struct process *p);
void process_signal(struct process *p, int number);
void process_end(struct process *p);    /* SIGTERM */
void process_reload(struct process *p); /* SIGHUP, with a configuration in which links may look another way */
void process_stop(struct process *p, uint64_t ns);
struct process *process_of(unsigned instance); /* the living one, or NULL */

/* --- uv.c ------------------------------------------------------------------------------------------------ */

typedef void loop_task(void *ctx, uint64_t arg);

/* Something from outside that the loop meets in its next turn. Dropped when the process has gone. */
void loop_post(struct loop *loop, loop_task *task, void *ctx, uint64_t arg);
void loop_post_after(struct loop *loop, uint64_t ns, loop_task *task, void *ctx, uint64_t arg);
/* A task that was posted keeps it alive until it has run. */
void loop_keep(struct loop *loop);
struct loop *loop_of(uv_loop_t *loop);
struct process *loop_process(const struct loop *loop);
void loop_wires(struct loop *loop, struct wire ***list); /* list of its connections: net.c's own */

uint64_t loops_next(void); /* when some loop is to be turned, UINT64_MAX: never */
void loops_turn(void);     /* that one */
void loops_forget(void);
void loops_drop(struct process *p); /* all of a killed process */

/* A client's connection that waits to be accepted. False where nobody listens. */
bool listener_offer(uv_stream_t *server, struct wire *wire);
struct wire *listener_take(uv_stream_t *server);

/* Ends the coroutine or callback that runs: its process is dead. */
__attribute__((noreturn)) void process_exit(int code);

/* Runs entry(arg) on a stack of its own until it waits in uv_run or returns. */
void coroutine_start(struct process *p, void (*entry)(void *), void *arg);

#endif
