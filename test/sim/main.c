/* turnout-sim: worlds from seeds.
 *
 *   turnout-sim --seed N [--count N] [--trace] [--hash]
 *   turnout-sim --seed N --redis PORT         the model of Redis against a real one
 *
 * A line a world; the first broken rule ends it with its story and exit status 1. */
#include <ftw.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "test/sim/books.h"
#include "test/sim/compare.h"
#include "test/sim/guards.h"
#include "test/sim/ledger.h"
#include "test/sim/limits.h"
#include "test/sim/operator.h"
#include "test/sim/peers.h"
#include "test/sim/redis_net.h"
#include "test/sim/rules.h"
#include "test/sim/secure.h"
#include "test/sim/windows.h"

enum { EVENTS_MAX = 20000000, END_S = 12, PERTURB = 0x5A, MAPPED_FROM = 1 << 18, WORLD_CPU_S = 10 };

const char *const carrier_names[CARRIERS] = {"spark", "onenz"};
const char *const platform_names[PLATFORMS] = {"redx", "omni"};
const char *const link_names[LINKS] = {"spark-redx", "spark-omni", "onenz-redx", "onenz-omni"};
const char *const shortcodes[SHORTCODES] = {"5001", "5002", "5003", "6001", "7001"};
struct shape shape;

/* 7001 is nobody's, where there is a client of any shortcode: that one uses it. */
unsigned owner_of_shortcode(unsigned shortcode)
{
    static const unsigned owners[SHORTCODES] = {0, 0, 1, 2, ACCOUNTS - 1};
    return owners[shortcode];
}

/* --- the world's course ------------------------------------------------------------------------------------ */

static void choose_shape(void)
{
    shape = (struct shape){.instances = 1 + (unsigned)sim_random(INSTANCES_MAX),
                           .workers = 1 + sim_chance(400),
                           .calm = sim_chance(100),
                           .strict_only = sim_chance(300),
                           .own = sim_chance(500),
                           .window = (unsigned)sim_between(1, 40),
                           .mo_window = (unsigned)sim_between(1, 30),
                           .client_window = (unsigned)sim_between(2, 40),
                           .wait_count = (unsigned)sim_random(30),
                           .submit_ms = (unsigned)sim_between(8, 120)};
    shape.lag_ms = sim_chance(500) ? 5 : (unsigned)sim_between(50, 1500);
    shape.trouble_ms = (unsigned)sim_between(60, 900);
    shape.tls = sim_chance(350) ? (unsigned)sim_between(100, 900) : 0;
    shape.windows = !shape.strict_only && sim_chance(600);
    shape.parts = sim_chance(500) ? (unsigned)sim_between(50, 500) : 0;
    shape.parts_over = sim_chance(600) ? (unsigned)sim_between(200, 1000) : 0;
    shape.parts_s = sim_chance(300) ? (unsigned)sim_between(1, 4) : 120;
    shape.parts_room = sim_chance(100) ? 8 : 1024;
    shape.big = sim_chance(300) ? (unsigned)sim_between(20, 400) : 2;
    if (!shape.calm) {
        shape.redis_faults = sim_chance(500);
        shape.kills = sim_chance(500);
        shape.hostile = sim_chance(500);
        shape.clocks = sim_chance(200);
    }
    if (!shape.calm && sim_chance(120)) {
        shape.only_redis = shape.redis_faults = true;
        shape.kills = shape.hostile = shape.clocks = false;
        shape.window = shape.client_window = shape.wait_count = 100;
        shape.submit_ms =
            (unsigned)sim_between(120, 300); /* no carrier is so slow that this fills its window */
        shape.big = 0;
        shape.windows = shape.strict_only = false;
    }
    shape.accounts = !shape.calm && !shape.only_redis && sim_chance(400);
    shape.peers_fail = !shape.calm && !shape.only_redis;
    limits_choose();
    shape.fence = !shape.only_redis && sim_chance(300);
    shape.slow_disk = sim_chance(shape.kills && shape.redis_faults ? 500 : 200);
    shape.chaos_end = SIM_BEGIN + sim_between(4, 12) * SECOND;
    shape.sending_end = shape.chaos_end + 3 * SECOND;
    shape.end = shape.sending_end + 9 * SECOND;
}

static void start_again(void *ctx, uint64_t instance)
{
    (void)ctx;
    if (process_of((unsigned)instance) == NULL) {
        (void)process_start((unsigned)instance);
    } else if (sim_now < shape.chaos_end) {
        sim_after(SECOND, start_again, NULL, instance); /* it is ending still */
    }
}

static void reload_some(void)
{
    struct process *p = process_of((unsigned)sim_random(shape.instances));
    if (p != NULL && !p->ending) {
        tell(p->name, "is told to read its configuration again");
        process_reload(p);
    }
}

static void disturb_instance(void)
{
    unsigned instance = (unsigned)sim_random(shape.instances);
    struct process *p = process_of(instance);
    if (p == NULL || p->ending) {
        return;
    }
    switch (sim_random(4)) {
    case 0:
        totals.kills++;
        process_kill(p);
        sim_after(sim_between(50 * MS, 2500 * MS), start_again, NULL, instance);
        break;
    case 1:
        tell(p->name, "is told to end");
        process_end(p);
        sim_after(sim_between(3500 * MS, 7 * SECOND), start_again, NULL, instance);
        break;
    case 2:
        process_stop(p, sim_between(20 * MS, 2500 * MS));
        if (sim_chance(150)) {
            tell(p->name, "is told to end meanwhile");
            process_end(p);
            sim_after(sim_between(6 * SECOND, 9 * SECOND), start_again, NULL, instance);
        }
        break;
    default:
        tell(p->name, "is told to read its configuration again");
        process_reload(p);
        break;
    }
}

static void disturb_redis(void)
{
    switch (sim_random(4)) {
    case 0: redis_down(sim_between(50 * MS, 3 * SECOND)); break;
    case 1:
        redis_unreachable((unsigned)sim_random(shape.instances), sim_between(100 * MS, 4 * SECOND));
        break;
    case 2: redis_failover(); break;
    default: break;
    }
}

/* Just after a change was reported as applied: an instance dies and comes back while Redis is away. */
void disturb_promise(void)
{
    unsigned instance = (unsigned)sim_random(shape.instances);
    struct process *p = process_of(instance);
    if (!shape.kills || !shape.redis_faults || sim_now > shape.chaos_end || p == NULL || p->ending ||
        !sim_chance(400)) {
        return;
    }
    totals.kills++;
    process_kill(p);
    redis_down(sim_between(SECOND, 3 * SECOND));
    sim_after(sim_between(50 * MS, 500 * MS), start_again, NULL, instance);
}

static void disturb(void *ctx, uint64_t arg)
{
    (void)ctx;
    (void)arg;
    if (shape.calm || sim_now > shape.chaos_end) {
        return;
    }
    uint64_t choice = sim_random(100);
    if (shape.only_redis || (choice >= 75 && choice < 90 && shape.redis_faults)) {
        disturb_redis();
    } else if (choice < 60) {
        smsc_disturb();
    } else if (choice < 75 && shape.kills) {
        disturb_instance();
    } else if (choice >= 90 && shape.accounts && sim_chance(800)) {
        reload_some();
    } else if (shape.clocks && processes != NULL) {
        processes->skew += (int64_t)sim_random(7) - 3;
        tell(processes->name, "has its clock set by some seconds, to %" PRId64, processes->skew);
    }
    sim_after(sim_between(10 * MS, 2 * MS * shape.trouble_ms), disturb, NULL, 0);
}

static void mend(void *ctx, uint64_t arg)
{
    (void)ctx;
    (void)arg;
    if (sim_now < shape.end - SECOND) {
        operator_mend();
        sim_after(1500 * MS, mend, NULL, 0);
    }
}

static void calm_down(void *ctx, uint64_t arg)
{
    (void)ctx;
    (void)arg;
    tell("world", "calms down");
    smscs_heal();
    redis_mend();
    for (unsigned i = 0; i < shape.instances; i++) {
        struct process *p = process_of(i);
        if (p != NULL) {
            p->stopped_until = 0;
        }
    }
    sim_after(500 * MS, mend, NULL, 0);
}

/* While clients send and their SMSCs are well, one is told to end: with messages in flight, and some that wait. */
static void end_busy(void *ctx, uint64_t instance)
{
    struct process *p = process_of((unsigned)instance);
    (void)ctx;
    if (p == NULL || p->ending) {
        return;
    }
    tell(p->name, "is told to end, with all that it has in flight");
    process_end(p);
    sim_after(sim_between(3500 * MS, 6 * SECOND), start_again, NULL, instance);
}

static void slow_down(void *ctx, uint64_t arg)
{
    (void)ctx;
    (void)arg;
    smscs_slow(SECOND);
    sim_after(sim_random(SECOND), end_busy, NULL, sim_random(shape.instances));
}

static void stop_sending(void *ctx, uint64_t arg)
{
    (void)ctx;
    (void)arg;
    tell("world", "stops sending");
    esmes_stop_sending();
}

static void watch(void *ctx, uint64_t arg)
{
    (void)ctx;
    (void)arg;
    esmes_check(false);
    smscs_check(false);
    sim_after(500 * MS, watch, NULL, 0);
}

static void run_until(uint64_t end)
{
    for (unsigned long events = 0;; events++) {
        uint64_t event = sim_next();
        uint64_t loop = loops_next();
        if ((event < loop ? event : loop) > end) {
            sim_now = end;
            return;
        }
        if (events > EVENTS_MAX) {
            violated("the world comes to rest", 0, "too many events");
        }
        if (event <= loop) {
            sim_fire();
        } else {
            loops_turn();
        }
    }
}

static void end_instances(void)
{
    for (struct process *p = processes; p != NULL; p = p->next) {
        if (p->alive) {
            tell(p->name, "is told to end, for good");
            process_end(p);
        }
    }
    run_until(sim_now + END_S * SECOND);
    for (const struct process *p = processes; p != NULL; p = p->next) {
        if (p->alive) {
            violated("every buffer and slot back at the end", 0, "%s does not end", p->name);
        }
        if (p->ended) {
            books_check(p);
        }
    }
}

/* Long enough to have done what was due. */
static bool somebody_lives(void)
{
    for (const struct process *p = processes; p != NULL; p = p->next) {
        if (p->alive && !p->ending && p->started < shape.chaos_end) {
            return true;
        }
    }
    return false;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    (void)status;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void run_world(uint64_t seed, const char *directory)
{
    sim_seed_used = seed;
    sim_seed(seed * 2654435761U + 1);
    sim_forget();
    trace_begin();
    choose_shape();
    tell("world",
         "seed %" PRIu64
         ": %u instances of %u workers, windows %u %u %u, a message each %u ms%s%s%s%s%s%s%s%s",
         seed, shape.instances, shape.workers, shape.client_window, shape.window, shape.mo_window,
         shape.submit_ms, shape.calm ? ", calm" : "", shape.strict_only ? ", strict flips" : "",
         shape.fence ? ", a fence" : "", shape.limits.narrow ? ", narrow limits" : "",
         shape.redis_faults ? ", Redis fails" : "", shape.kills ? ", instances fail" : "",
         shape.hostile ? ", hostile clients" : "",
         shape.clocks       ? ", clocks jump"
         : shape.only_redis ? ", nothing else"
                            : "");
    ledger_begin();
    wires_forget();
    redis_net_begin();
    smscs_begin();
    secure_begin(seed, directory);
    processes_begin(directory);
    for (unsigned i = 0; i < shape.instances; i++) {
        sim_after(sim_random(300 * MS), start_again, NULL, i);
    }
    operator_begin();
    esmes_begin();
    sim_after(SECOND, disturb, NULL, 0);
    sim_after(SECOND, watch, NULL, 0);
    sim_at(shape.chaos_end, calm_down, NULL, 0);
    if (!shape.only_redis && sim_chance(400)) {
        sim_at(shape.chaos_end + sim_between(SECOND, 2 * SECOND), slow_down, NULL, 0);
    }
    sim_at(shape.sending_end, stop_sending, NULL, 0);
    run_until(shape.end);
    esmes_check(true);
    smscs_check(true);
    operator_check_tables();
    if (somebody_lives()) {
        windows_check();
        guards_check();
    }
    end_instances();
}

/* A crash is the world's, too: it is told with its seed. The program ends here, so what is not safe in a handler does no
 * more harm. */
static void on_crash(int number)
{
    /* NOLINTNEXTLINE(bugprone-signal-handler,cert-sig30-c) */
    violated("it goes on", 0, "ended by %s", number == SIGPROF ? "never coming to an end" : "a crash");
}

/* With the sanitizers a crash is theirs to tell, with where it was; the seed follows their report. A process that is
 * killed leaves its memory behind: the world keeps books of the others (books.h). */
#ifdef __SANITIZE_ADDRESS__
enum { SLOWER = 6 };
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
    return "detect_leaks=0:detect_stack_use_after_return=1:handle_abort=0";
}

const char *__ubsan_default_options(void)
{
    return "print_stacktrace=1";
}

static const int crashes[] = {SIGABRT, SIGPROF};
#else
enum { SLOWER = 1 };
static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGPROF};
#endif

static void watch_for_crashes(void)
{
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++) {
        (void)signal(crashes[i], on_crash);
    }
}

/* From now on so much time of the processor, then it is stopped. */
static void limit_time(void)
{
    struct itimerval limit = {.it_value = {.tv_sec = (time_t)SLOWER * WORLD_CPU_S}};
    (void)setitimer(ITIMER_PROF, &limit, NULL);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void report(uint64_t seed, double began, bool with_hash)
{
    printf("seed %" PRIu64
           ": %.0f s in %.3f s; MT %u, accepted %u, relayed %u, refused %u; MO %u, accepted %u; "
           "changes %u, strict %u, barriers %u, kills %u, queries %u, parts %u, TLS %u; "
           "windows %u, steps %u, by themselves %u, gone back %u, verdicts %u; limits met %u, drained %u, "
           "removed %u, received %u",
           seed, (double)(sim_now - SIM_BEGIN) / (double)SECOND, seconds() - began, totals.mt,
           totals.mt_positive, totals.mt_relayed, totals.mt_refused, totals.mo, totals.mo_positive,
           totals.flips, totals.strict, totals.barriers, totals.kills, totals.queries, totals.parts,
           totals.tls, totals.windows, totals.steps, totals.timed, totals.gone_back, totals.verdicts,
           totals.limits, totals.drained, totals.removed, totals.received);
    if (with_hash) {
        printf("; trace %016" PRIx64, trace_hash());
    }
    printf("\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},  {"count", required_argument, NULL, 'c'},
        {"trace", no_argument, NULL, 't'},       {"hash", no_argument, NULL, 'h'},
        {"redis", required_argument, NULL, 'r'}, {NULL, 0, NULL, 0}};
    (void)mallopt(M_MMAP_THRESHOLD,
                  MAPPED_FROM);        /* fixed, so that large tables stay untouched where nobody writes */
    (void)mallopt(M_PERTURB, PERTURB); /* what was freed cannot be read as if it were there still */
    uint64_t seed = 1;
    uint64_t count = 1;
    bool with_hash = false;
    int port = 0;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 's': seed = strtoull(optarg, NULL, 10); break;
        case 'c': count = strtoull(optarg, NULL, 10); break;
        case 't': trace_on = true; break;
        case 'h': with_hash = true; break;
        case 'r': port = (int)strtol(optarg, NULL, 10); break;
        default: fprintf(stderr, "turnout-sim --seed N [--count N] [--trace] [--hash]\n"); return 2;
        }
    }
    if (port != 0) {
        unsigned steps = compare_with_redis(seed, port);
        printf("redis: seed %" PRIu64 ": %u answers of redis-server and the model are the same\n", seed,
               steps);
        return 0;
    }
    watch_for_crashes();
    for (uint64_t end = seed + count; seed < end; seed++) {
        char directory[] = "/dev/shm/turnout-sim-XXXXXX"; /* in memory: nothing of a world is to be kept */
        double began = seconds();
        if (mkdtemp(directory) == NULL) {
            perror(directory);
            return 2;
        }
        if (chdir(directory) != 0) { /* no path of this machine in the story */
            perror(directory);
            return 2;
        }
        limit_time();
        run_world(seed, ".");
        nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        report(seed, began, with_hash);
    }
    return 0;
}
