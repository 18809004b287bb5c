/* libuv's loops, for a world: the same functions, driven by the world's clock instead of the kernel.
 *
 *   a turn of a loop: timers due ─▶ prepare ─▶ tasks, connections, async ─▶ check ─▶ closing handles
 *
 * Only what turnoutd uses. Handles keep their state in a struct of ours, found by u.reserved. A loop that nothing keeps
 * alive lets the coroutine that waits in uv_run go on. Work for the thread pool takes a while that the seed decides. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>

#include "test/sim/net.h"
#include "test/sim/process.h"
#include "test/sim/rules.h"

enum { BACKLOG = 16, FAKE_PORT = 40000 };

/* The sanitizer is to know whose stack it sees. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
enum { STACK_SIZE = 1024 * 1024 };
#define STACK_LEAVE(keep, stack, size) __sanitizer_start_switch_fiber(keep, stack, size)
#define STACK_ENTER(kept, stack, size) __sanitizer_finish_switch_fiber(kept, stack, size)
#else
enum { STACK_SIZE = 192 * 1024 };
#define STACK_LEAVE(keep, stack, size) ((void)(keep))
#define STACK_ENTER(kept, stack, size) ((void)(kept))
#endif

struct handle {
    struct handle *next;
    uv_handle_t *uv;
    struct loop *loop;
    bool active, closing;
    uint64_t due, repeat, serial; /* timer: ms */
    bool sent;                    /* async */
    int fd;                       /* listener: a real socket, for options to be set on */
    struct wire *waiting[BACKLOG];
    unsigned waiting_count;
    union {
        uv_timer_cb timer;
        uv_idle_cb idle;
        uv_check_cb check;
        uv_prepare_cb prepare;
        uv_async_cb async;
        uv_signal_cb signal;
        uv_connection_cb connection;
    } call;
};

struct task {
    struct task *next;
    struct loop *loop;
    loop_task *run;
    void *ctx;
    uint64_t arg;
};

struct coroutine {
    ucontext_t here, back;
    void (*entry)(void *);
    void *arg;
    struct process *process;
    void *stack;
    bool done;
    void *kept; /* the sanitizer's, of its own stack while it waits */
    const void *back_stack;
    size_t back_size;
};

struct loop {
    struct loop *next;
    uv_loop_t *uv;
    struct process *process;
    struct handle *handles; /* in order of their making */
    struct task *tasks, **tasks_last;
    struct wire *wires;
    struct coroutine *waiting; /* in uv_run */
    uint64_t time;             /* ms */
    uint64_t serial;
    unsigned works; /* in the pool */
    uint64_t ready; /* when it was found to have something to do; 0: not */
    bool kept;
};

static struct loop *all;
static struct coroutine *running;
static jmp_buf turn_exit;

/* --- coroutines ------------------------------------------------------------------------------------------ */

static void resume(struct coroutine *co)
{
    struct coroutine *before = running;
    struct process *process = current;
    running = co;
    void *kept = NULL;
    current = co->process;
    STACK_LEAVE(&kept, co->stack, STACK_SIZE);
    swapcontext(&co->back, &co->here);
    STACK_ENTER(kept, NULL, NULL);
    running = before;
    current = process;
    if (co->done) {
        free(co->stack);
        free(co);
    }
}

static void yield(void)
{
    struct coroutine *co = running;
    STACK_LEAVE(co->done ? NULL : &co->kept, co->back_stack, co->back_size);
    swapcontext(&co->here, &co->back);
    STACK_ENTER(co->kept, &co->back_stack, &co->back_size);
}

static void begin(unsigned high, unsigned low)
{
    struct coroutine *co = (struct coroutine *)((uintptr_t)high << 32 | low);
    STACK_ENTER(NULL, &co->back_stack, &co->back_size);
    co->entry(co->arg);
    co->done = true;
    yield();
}

void coroutine_start(struct process *p, void (*entry)(void *), void *arg)
{
    struct coroutine *co = calloc(1, sizeof *co);
    void *stack = malloc(STACK_SIZE);
    if (co == NULL || stack == NULL || getcontext(&co->here) != 0) {
        abort();
    }
    co->entry = entry;
    co->arg = arg;
    co->process = p;
    co->stack = stack;
    co->here.uc_stack.ss_sp = stack;
    co->here.uc_stack.ss_size = STACK_SIZE;
    uintptr_t address = (uintptr_t)co;
    makecontext(&co->here, (void (*)(void))begin, 2, (unsigned)(address >> 32), (unsigned)address);
    resume(co);
}

void process_exit(int code)
{
    tell(current->name, "exits with %d", code);
    process_kill(current);
    if (running != NULL) {
        yield(); /* for ever */
    }
    longjmp(turn_exit, 1);
}

/* --- loops ----------------------------------------------------------------------------------------------- */

struct loop *loop_of(uv_loop_t *uv)
{
    return uv->active_reqs.unused;
}

struct process *loop_process(const struct loop *loop)
{
    return loop->process;
}

void loop_wires(struct loop *loop, struct wire ***list)
{
    *list = &loop->wires;
}

int uv_loop_init(uv_loop_t *uv)
{
    struct loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL) {
        return UV_ENOMEM;
    }
    memset(uv, 0, sizeof *uv);
    uv->active_reqs.unused = loop;
    *loop = (struct loop){.next = all, .uv = uv, .process = current, .time = sim_now / MS};
    loop->tasks_last = &loop->tasks;
    all = loop;
    current->loops[current->loops_count++] = loop;
    return 0;
}

static void loop_free(struct loop *loop)
{
    struct loop **at = &all;
    while (*at != NULL && *at != loop) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = loop->next;
    }
    loop->process = NULL; /* tasks on their way find nobody; the struct stays for them */
}

int uv_loop_close(uv_loop_t *uv)
{
    loop_free(loop_of(uv));
    return 0;
}

void loops_drop(struct process *p)
{
    for (unsigned i = 0; i < p->loops_count; i++) {
        loop_free(p->loops[i]);
    }
}

void loops_forget(void)
{
    all = NULL;
}

static void make_ready(struct loop *loop)
{
    if (loop->ready == 0) {
        loop->ready = sim_now + sim_random(300000);
    }
}

void loop_post(struct loop *loop, loop_task *run, void *ctx, uint64_t arg)
{
    struct task *task = malloc(sizeof *task);
    if (task == NULL) {
        abort();
    }
    *task = (struct task){.loop = loop, .run = run, .ctx = ctx, .arg = arg};
    *loop->tasks_last = task;
    loop->tasks_last = &task->next;
    make_ready(loop);
}

static void arrive(void *ctx, uint64_t arg)
{
    struct task *task = ctx;
    (void)arg;
    if (task->loop->process != NULL && task->loop->process->alive) {
        loop_post(task->loop, task->run, task->ctx, task->arg);
    }
    free(task);
}

void loop_post_after(struct loop *loop, uint64_t ns, loop_task *run, void *ctx, uint64_t arg)
{
    struct task *task = malloc(sizeof *task);
    if (task == NULL) {
        abort();
    }
    *task = (struct task){.loop = loop, .run = run, .ctx = ctx, .arg = arg};
    sim_after(ns, arrive, task, 0);
}

void loop_keep(struct loop *loop)
{
    loop->kept = true;
}

static bool alive(const struct loop *loop)
{
    for (const struct handle *h = loop->handles; h != NULL; h = h->next) {
        if (h->active || h->closing) {
            return true;
        }
    }
    return loop->works > 0 || (loop->kept && loop->tasks != NULL);
}

int uv_run(uv_loop_t *uv, uv_run_mode mode)
{
    struct loop *loop = loop_of(uv);
    (void)mode;
    loop->waiting = running;
    make_ready(loop);
    yield();
    return 0;
}

uint64_t uv_now(const uv_loop_t *uv)
{
    return ((const struct loop *)uv->active_reqs.unused)->time;
}

void uv_update_time(uv_loop_t *uv)
{
    loop_of(uv)->time = sim_now / MS;
}

uint64_t uv_hrtime(void)
{
    return sim_now;
}

/* --- handles --------------------------------------------------------------------------------------------- */

static struct handle *handle_of(const void *uv)
{
    return ((const uv_handle_t *)uv)->u.reserved[3];
}

static struct handle *handle_new(uv_loop_t *loop, void *uv, uv_handle_type type)
{
    struct handle *h = calloc(1, sizeof *h);
    uv_handle_t *base = uv;
    if (h == NULL) {
        abort();
    }
    base->loop = loop;
    base->type = type;
    base->u.reserved[3] = h;
    h->uv = base;
    h->loop = loop_of(loop);
    h->fd = -1;
    struct handle **at = &h->loop->handles;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = h;
    return h;
}

int uv_timer_init(uv_loop_t *loop, uv_timer_t *timer)
{
    (void)handle_new(loop, timer, UV_TIMER);
    return 0;
}

int uv_timer_start(uv_timer_t *timer, uv_timer_cb call, uint64_t timeout, uint64_t repeat)
{
    struct handle *h = handle_of(timer);
    if (h->closing) {
        return UV_EINVAL;
    }
    h->call.timer = call;
    h->due = h->loop->time + timeout;
    h->repeat = repeat;
    h->serial = ++h->loop->serial;
    h->active = true;
    return 0;
}

int uv_timer_stop(uv_timer_t *timer)
{
    handle_of(timer)->active = false;
    return 0;
}

int uv_check_init(uv_loop_t *loop, uv_check_t *check)
{
    (void)handle_new(loop, check, UV_CHECK);
    return 0;
}

int uv_check_start(uv_check_t *check, uv_check_cb call)
{
    handle_of(check)->call.check = call;
    handle_of(check)->active = true;
    return 0;
}

int uv_prepare_init(uv_loop_t *loop, uv_prepare_t *prepare)
{
    (void)handle_new(loop, prepare, UV_PREPARE);
    return 0;
}

int uv_prepare_start(uv_prepare_t *prepare, uv_prepare_cb call)
{
    handle_of(prepare)->call.prepare = call;
    handle_of(prepare)->active = true;
    return 0;
}

int uv_idle_init(uv_loop_t *loop, uv_idle_t *idle)
{
    (void)handle_new(loop, idle, UV_IDLE);
    return 0;
}

/* A loop with one that is active does not wait. */
int uv_idle_start(uv_idle_t *idle, uv_idle_cb call)
{
    struct handle *h = handle_of(idle);
    h->call.idle = call;
    h->active = !h->closing;
    make_ready(h->loop);
    return 0;
}

int uv_idle_stop(uv_idle_t *idle)
{
    handle_of(idle)->active = false;
    return 0;
}

int uv_async_init(uv_loop_t *loop, uv_async_t *async, uv_async_cb call)
{
    struct handle *h = handle_new(loop, async, UV_ASYNC);
    h->call.async = call;
    h->active = true;
    return 0;
}

int uv_async_send(uv_async_t *async)
{
    struct handle *h = handle_of(async);
    h->sent = true;
    make_ready(h->loop);
    return 0;
}

int uv_signal_init(uv_loop_t *loop, uv_signal_t *handle)
{
    (void)handle_new(loop, handle, UV_SIGNAL);
    return 0;
}

int uv_signal_start(uv_signal_t *handle, uv_signal_cb call, int number)
{
    handle->signum = number;
    handle_of(handle)->call.signal = call;
    handle_of(handle)->active = true;
    return 0;
}

static void deliver_signal(void *ctx, uint64_t number)
{
    struct loop *loop = ctx;
    for (struct handle *h = loop->handles; h != NULL; h = h->next) {
        if (h->uv->type == UV_SIGNAL && h->active && ((uv_signal_t *)h->uv)->signum == (int)number) {
            h->call.signal((uv_signal_t *)h->uv, (int)number);
        }
    }
}

void process_signal(struct process *p, int number)
{
    if (p->alive) {
        loop_post(p->loops[0], deliver_signal, p->loops[0], (uint64_t)number);
    }
}

int uv_is_closing(const uv_handle_t *uv)
{
    return handle_of(uv)->closing;
}

void uv_close(uv_handle_t *uv, uv_close_cb call)
{
    struct handle *h = handle_of(uv);
    h->active = false;
    h->closing = true;
    uv->close_cb = call;
    for (unsigned i = 0; i < h->waiting_count; i++) {
        wire_refuse(h->waiting[i]);
    }
    h->waiting_count = 0;
    if (h->fd >= 0) {
        close(h->fd);
    }
    for (unsigned i = 0; i < h->loop->process->workers_count; i++) {
        for (unsigned j = 0; j < PROCESS_LISTENERS; j++) {
            if (h->loop->process->listeners[i][j] == (uv_stream_t *)uv) {
                h->loop->process->listeners[i][j] = NULL;
            }
        }
    }
    make_ready(h->loop);
}

void uv_walk(uv_loop_t *uv, uv_walk_cb call, void *arg)
{
    for (struct handle *h = loop_of(uv)->handles; h != NULL; h = h->next) {
        call(h->uv, arg);
    }
}

static void finish_closing(struct loop *loop)
{
    for (struct handle **at = &loop->handles; *at != NULL;) {
        struct handle *h = *at;
        if (!h->closing) {
            at = &h->next;
            continue;
        }
        *at = h->next;
        uv_handle_t *uv = h->uv;
        free(h);
        if (uv->close_cb != NULL) {
            uv->close_cb(uv);
        }
        at = &loop->handles; /* the callback may have changed the list */
    }
}

/* --- listeners ------------------------------------------------------------------------------------------- */

int uv_tcp_init_ex(uv_loop_t *loop, uv_tcp_t *tcp, unsigned flags)
{
    struct handle *h = handle_new(loop, tcp, UV_TCP);
    h->fd = socket((int)(flags & 0xFF), SOCK_STREAM | SOCK_CLOEXEC, 0);
    return h->fd < 0 ? UV_EMFILE : 0;
}

int uv_fileno(const uv_handle_t *uv, uv_os_fd_t *fd)
{
    *fd = handle_of(uv)->fd;
    return 0;
}

int uv_tcp_bind(uv_tcp_t *tcp, const struct sockaddr *address, unsigned flags)
{
    (void)tcp;
    (void)address;
    (void)flags;
    return 0;
}

int uv_tcp_getsockname(const uv_tcp_t *tcp, struct sockaddr *name, int *len)
{
    (void)tcp;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(FAKE_PORT)};
    memcpy(name, &address, sizeof address);
    *len = sizeof address;
    return 0;
}

int uv_listen(uv_stream_t *server, int backlog, uv_connection_cb call)
{
    struct handle *h = handle_of(server);
    (void)backlog;
    h->call.connection = call;
    h->active = true;
    struct process *p = h->loop->process;
    p->worker_loops[p->workers_count] = h->loop;
    unsigned at = p->listeners[p->workers_count][0] != NULL; /* its worker follows with the thread's start */
    p->listeners[p->workers_count][at] = server;
    return 0;
}

static void announce(void *ctx, uint64_t arg)
{
    struct loop *loop = ctx;
    (void)arg;
    for (struct handle *h = loop->handles; h != NULL; h = h->next) {
        if (h->uv->type == UV_TCP && h->active && h->waiting_count > 0) {
            h->call.connection((uv_stream_t *)h->uv, 0);
        }
    }
}

bool listener_offer(uv_stream_t *server, struct wire *wire)
{
    struct handle *h = handle_of(server);
    if (!h->active || h->waiting_count == BACKLOG) {
        return false;
    }
    h->waiting[h->waiting_count++] = wire;
    loop_post(h->loop, announce, h->loop, 0);
    return true;
}

struct wire *listener_take(uv_stream_t *server)
{
    struct handle *h = handle_of(server);
    if (h->waiting_count == 0) {
        return NULL;
    }
    struct wire *wire = h->waiting[0];
    memmove(h->waiting, h->waiting + 1, --h->waiting_count * sizeof(struct wire *));
    return wire;
}

/* --- the pool -------------------------------------------------------------------------------------------- */

/* In uv_work_t's reserved: [0] loop, [1] not NULL once begun, [2] not NULL when cancelled. */
static void work_done(void *ctx, uint64_t arg)
{
    uv_work_t *work = ctx;
    (void)arg;
    bool cancelled = work->reserved[2] != NULL;
    ((struct loop *)work->reserved[0])->works--;
    if (work->after_work_cb != NULL) {
        work->after_work_cb(work, cancelled ? UV_ECANCELED : 0);
    }
}

static void work_begin(void *ctx, uint64_t arg)
{
    uv_work_t *work = ctx;
    struct loop *loop = work->reserved[0];
    (void)arg;
    if (loop->process == NULL || !loop->process->alive) {
        return;
    }
    if (work->reserved[2] == NULL) {
        struct process *before = current;
        work->reserved[1] = work;
        current = loop->process;
        work->work_cb(work);
        current = before;
    }
    loop_post_after(loop, sim_random(2 * MS), work_done, work, 0);
}

int uv_queue_work(uv_loop_t *uv, uv_work_t *work, uv_work_cb call, uv_after_work_cb after)
{
    struct loop *loop = loop_of(uv);
    work->work_cb = call;
    work->after_work_cb = after;
    work->reserved[0] = loop;
    work->reserved[1] = work->reserved[2] = NULL;
    loop->works++;
    bool slow = shape.slow_disk ? sim_chance(500) : sim_chance(30);
    sim_after(slow ? sim_random(2 * SECOND) : sim_between(MS, 25 * MS), work_begin, work, 0);
    return 0;
}

int uv_cancel(uv_req_t *req)
{
    uv_work_t *work = (uv_work_t *)req;
    if (work->reserved[1] != NULL || work->reserved[2] != NULL) {
        return UV_EBUSY;
    }
    work->reserved[2] = work;
    return 0;
}

int uv_random(uv_loop_t *loop, uv_random_t *req, void *to, size_t len, unsigned flags, uv_random_cb call)
{
    (void)loop;
    (void)req;
    (void)flags;
    (void)call;
    for (size_t i = 0; i < len; i++) {
        ((uint8_t *)to)[i] = (uint8_t)sim_random(256);
    }
    return 0;
}

/* --- threads --------------------------------------------------------------------------------------------- */

int uv_thread_create(uv_thread_t *id, uv_thread_cb entry, void *arg)
{
    struct process *p = current;
    *id = 0;
    p->workers[p->workers_count++] = arg; /* a thread begins with its worker */
    coroutine_start(p, entry, arg);
    return 0;
}

int uv_thread_join(uv_thread_t *id)
{
    (void)id; /* it tells main of its end as the last thing that it does */
    return 0;
}

/* --- a turn ---------------------------------------------------------------------------------------------- */

static struct handle *timer_due(const struct loop *loop, uint64_t upto)
{
    struct handle *first = NULL;
    for (struct handle *h = loop->handles; h != NULL; h = h->next) {
        if (h->uv->type == UV_TIMER && h->active && h->due <= loop->time && h->serial <= upto &&
            (first == NULL || h->due < first->due || (h->due == first->due && h->serial < first->serial))) {
            first = h;
        }
    }
    return first;
}

static void run_timers(struct loop *loop)
{
    uint64_t upto = loop->serial; /* what a timer starts waits for the next turn */
    struct handle *h;
    while ((h = timer_due(loop, upto)) != NULL) {
        h->active = false;
        if (h->repeat != 0) {
            uv_timer_start((uv_timer_t *)h->uv, h->call.timer, h->repeat, h->repeat);
        }
        h->call.timer((uv_timer_t *)h->uv);
    }
}

static void run_hooks(const struct loop *loop, uv_handle_type type)
{
    for (struct handle *h = loop->handles; h != NULL; h = h->next) {
        if (h->uv->type != type || !h->active) {
            continue;
        }
        if (type == UV_PREPARE) {
            h->call.prepare((uv_prepare_t *)h->uv);
        } else {
            h->call.check((uv_check_t *)h->uv);
        }
    }
}

static void run_idles(struct loop *loop)
{
    for (struct handle *h = loop->handles; h != NULL; h = h->next) {
        if (h->uv->type == UV_IDLE && h->active) {
            h->call.idle((uv_idle_t *)h->uv);
        }
    }
}

static void stay_awake(struct loop *loop)
{
    for (const struct handle *h = loop->handles; h != NULL; h = h->next) {
        if (h->uv->type == UV_IDLE && h->active) {
            make_ready(loop);
        }
    }
}

static void run_asyncs(const struct loop *loop)
{
    for (struct handle *h = loop->handles; h != NULL; h = h->next) {
        if (h->uv->type == UV_ASYNC && h->active && h->sent) {
            h->sent = false;
            h->call.async((uv_async_t *)h->uv);
        }
    }
}

static void run_tasks(struct loop *loop)
{
    struct task *task = loop->tasks;
    loop->tasks = NULL;
    loop->tasks_last = &loop->tasks;
    while (task != NULL) {
        struct task *next = task->next;
        task->run(task->ctx, task->arg);
        free(task);
        task = next;
    }
}

static void turn(struct loop *loop)
{
    loop->time = sim_now / MS;
    loop->ready = 0;
    run_timers(loop);
    run_idles(loop);
    run_hooks(loop, UV_PREPARE);
    run_tasks(loop);
    wires_poll(loop);
    run_asyncs(loop);
    run_hooks(loop, UV_CHECK);
    finish_closing(loop);
    stay_awake(loop);
}

static int worker_of(const struct loop *loop)
{
    const struct process *p = loop->process;
    for (unsigned i = 0; i < p->workers_count; i++) {
        if (p->worker_loops[i] == loop) {
            return (int)i;
        }
    }
    return -1;
}

/* Nothing keeps it alive any more: who waits in uv_run goes on. */
static void end_loop(struct loop *loop)
{
    struct coroutine *co = loop->waiting;
    int worker = worker_of(loop);
    loop->waiting = NULL;
    wires_finish(loop);
    if (worker >= 0) {
        rules_at_end(loop->process, (unsigned)worker);
        loop->process->over[worker] = true;
    }
    resume(co);
}

static void turn_and_look(struct loop *loop)
{
    struct process *p = loop->process;
    int worker = worker_of(loop);
    turn(loop);
    if (worker >= 0) {
        rules_after_turn(p, (unsigned)worker);
    }
    if (!alive(loop) && loop->waiting != NULL) {
        end_loop(loop);
    }
}

static void turn_guarded(struct loop *loop)
{
    current = loop->process;
    if (setjmp(turn_exit) == 0) {
        turn_and_look(loop);
    }
    current = NULL;
}

static uint64_t loop_next(const struct loop *loop)
{
    uint64_t next = loop->ready != 0 ? loop->ready : wires_next(loop->wires);
    if (loop->waiting == NULL) {
        return UINT64_MAX;
    }
    for (const struct handle *h = loop->handles; h != NULL; h = h->next) {
        if (h->uv->type == UV_TIMER && h->active && h->due * MS < next) {
            next = h->due * MS;
        }
    }
    return next < loop->process->stopped_until ? loop->process->stopped_until : next;
}

static struct loop *first_loop(uint64_t *time)
{
    struct loop *first = NULL;
    *time = UINT64_MAX;
    for (struct loop *loop = all; loop != NULL; loop = loop->next) {
        uint64_t next = loop_next(loop);
        if (next < *time) {
            *time = next;
            first = loop;
        }
    }
    return first;
}

uint64_t loops_next(void)
{
    uint64_t time = 0;
    (void)first_loop(&time);
    return time;
}

void loops_turn(void)
{
    uint64_t time = 0;
    struct loop *loop = first_loop(&time);
    sim_now = time > sim_now ? time : sim_now;
    turn_guarded(loop);
}
