/* Whole worlds in one thread, under a virtual clock, from one seed.
 *
 *   seed ─▶ clients, SMSCs, operators, faults ──events in order of time──▶ world
 *                                                                         │
 *   turnoutd's own main, threads, workers, store ◀── libuv of ours (uv.c) ┤
 *        │            │                                                   │
 *        │            └── connections in memory (net.c: proxy/stream_mem.c) ──▶ ESMEs, SMSCs (esme.c, smsc.c)
 *        └── commands to Redis ──▶ redis_net.c ──▶ redis_model.c: the keys, and Turnout's own functions in Lua
 *
 *   all that peers see ──▶ ledger.c: the rules; the first one broken ends the run with its story
 *
 * What is real: everything of smpp, routing and proxy but the sockets (stream_tcp, redis_conn, redis_uv, admin), the
 * log's output and the crypt of passwords. What is ours instead: libuv's loops, the clock, random numbers, Redis'
 * storage. Nothing here may depend on an address, on the real clock, or on anything but the seed.
 *
 * Where the rules are: ledger.c (messages, answers, the barrier, order, what is answered when a process is told to end),
 * parts.c (messages in several parts), esme.c and smsc.c (binds, who is unbound after a reload, who may get MO; query, cancel
 * and replace at the link that gave the id), rules.c and limits.c (limits, the time to drain, and what is left at the end),
 * books.c (memory), operator.c (tables), windows.c and guards.c (what operators and timers may do to routes).
 *
 * Not judged: which of a client's receiving sessions gets an MO or a receipt; shortcodes that a reload gives to another
 * client, and what comes for those of a client that a reload has removed; what the evidence and a window's report say, and
 * the metrics but for those of limits; notices by mail and webhook; preflight but before moves by themselves; probes;
 * sentinels (a failover is one by itself: nobody announces it, and the old master is gone at once); links by TLS; parts of
 * one message that are sent to several instances. turnoutctl's own code does not run: operators call the functions in
 * Redis. */
#ifndef TEST_SIM_SIM_H
#define TEST_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MS     UINT64_C(1000000)
#define SECOND (1000 * MS)

/* --- clock.c: time, chance, events ----------------------------------------------------------------------- */

extern uint64_t sim_now; /* ns; begins at SIM_BEGIN */
#define SIM_BEGIN (100000 * SECOND)
#define SIM_EPOCH 1700000000ULL /* seconds since 1970 at sim_now 0, by a clock that is right */

void sim_seed(uint64_t seed);
uint64_t sim_random(uint64_t n); /* 0 to n - 1; 0 for 0 */
uint64_t sim_between(uint64_t low, uint64_t high);
bool sim_chance(unsigned per_mille);

typedef void sim_action(void *ctx, uint64_t arg);
void sim_at(uint64_t time, sim_action *act, void *ctx, uint64_t arg);
void sim_after(uint64_t ns, sim_action *act, void *ctx, uint64_t arg);
uint64_t sim_next(void); /* time of the next event, UINT64_MAX for none */
void sim_fire(void);     /* it */
void sim_forget(void);   /* all events */

/* --- trace.c: the story ---------------------------------------------------------------------------------- */

extern bool trace_on; /* print it */
extern uint64_t sim_seed_used;
__attribute__((format(printf, 2, 3))) void tell(const char *who, const char *format, ...);
uint64_t trace_hash(void);
void trace_begin(void);

/* A rule is broken: prints seed, time, rule, the story of the message (0: none) and how to see it again, and ends the
 * process. */
__attribute__((noreturn, format(printf, 3, 4))) void violated(const char *rule, uint32_t message,
                                                              const char *format, ...);
/* Remembers what is told as part of a message's story. */
__attribute__((format(printf, 3, 4))) void tell_of(uint32_t message, const char *who, const char *format,
                                                   ...);

/* --- the world's shape ----------------------------------------------------------------------------------- */

enum {
    CARRIERS = 2,
    PLATFORMS = 2,
    LINKS = CARRIERS * PLATFORMS,
    SHORTCODES = 5,
    ACCOUNTS = 4,
    INSTANCES_MAX = 3
};
enum { CELLS = SHORTCODES * CARRIERS };
extern const char *const carrier_names[CARRIERS];
extern const char *const platform_names[PLATFORMS];
extern const char *const link_names[LINKS];
extern const char *const shortcodes[SHORTCODES];
enum { PORT_FIRST = 2001 }; /* of link 0 */

static inline unsigned link_carrier(unsigned link)
{
    return link / PLATFORMS;
}
static inline unsigned link_platform(unsigned link)
{
    return link % PLATFORMS;
}

/* What may be had at most (limits.h): octets, counts, milliseconds. */
struct limits {
    bool narrow;    /* some of them are met */
    bool short_out; /* that of the output is, by those who do not read */
    unsigned out, wait_bytes, waiting, waiting_bytes, binds, sessions, unbound, own_answers, init_ms,
        partial_ms;
};

/* What the seed made of it. */
struct shape {
    unsigned instances, workers;
    bool calm;        /* no faults: rules on what must succeed apply */
    bool strict_only; /* operators move cells strictly, if at all */
    bool own;         /* links with one system_id for all clients, and no client of any shortcode */
    bool peers_fail;
    bool only_redis; /* nothing else fails: no message may be refused for that */
    bool slow_disk;
    bool redis_faults, kills, hostile, clocks;
    unsigned window, mo_window, client_window, wait_count;
    unsigned lag_ms;     /* of the replica, at most */
    unsigned trouble_ms; /* mean pause between faults */
    unsigned big;        /* of 1000 messages, how many are of some thousand octets */
    unsigned submit_ms;  /* mean pause between a session's messages */
    unsigned tls;        /* of 1000 connections of clients, how many */
    bool windows;        /* operators use them, and guards */
    bool fence;          /* instances send nothing once their lease is over */
    unsigned parts;      /* of 1000 messages, how many are parts of one */
    unsigned parts_s;    /* so long they are remembered */
    unsigned parts_over; /* of 1000 parts, how many are of messages that several sessions send */
    unsigned parts_room; /* and so many */
    struct limits limits;
    bool accounts; /* what clients may is changed */
    uint64_t chaos_end, sending_end, end;
};
extern struct shape shape;

/* Whose shortcode it is; ACCOUNTS - 1, the client of any shortcode, for one that nobody owns. */
unsigned owner_of_shortcode(unsigned shortcode);

#endif
