/* Which Redis is the master? Redis Sentinel's answers, and whom to ask next. Pure: it knows no sockets and no
 * clock; sentinel_watch.c and redis_sync.c ask.
 *
 *   sentinels_current ──▶ (the caller asks it) ──answer──▶ sentinel_master ──▶ address ──▶ ROLE ──▶ role_of
 *          ▲                    │ none                                                      │ no master
 *          └──sentinels_failed──┴──sentinels_doubt──────────────────────────────────────────┘
 *
 * The one that answered is asked again the next time. One that does not answer is asked again only when the
 * others do not either: so a sentinel that hangs costs its time-out once, and not each time. */
#ifndef ROUTING_SENTINEL_H
#define ROUTING_SENTINEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routing/address.h"

struct redisReply; /* of hiredis */

enum {
    SENTINELS_MAX = 16,
    SENTINEL_PORT = 26379,
    /* To connect to one, and for its answer: it has nothing to do but to answer such questions. */
    SENTINEL_MS = 1000,
};

struct sentinel {
    struct address address;
    unsigned failures; /* in a row */
    unsigned asked;    /* its turn; a lower number is longer ago */
};

/* Begins as zeroes. */
struct sentinels {
    struct sentinel list[SENTINELS_MAX];
    unsigned count, current, turns;
    unsigned silent; /* asked since the last answer, in vain */
};

/* One more, as "host:port" (len octets). False with a sentence in reason (static text). */
bool sentinels_add(struct sentinels *sentinels, const char *text, size_t len, const char **reason);

/* The one to ask. There must be one. */
const struct sentinel *sentinels_current(const struct sentinels *sentinels);

/* It answered: it stays the one to ask. */
void sentinels_answered(struct sentinels *sentinels);

/* It did not, or it does not know: on to another. False where all of them have been asked in vain, so that a
 * pause is due before the next. */
bool sentinels_failed(struct sentinels *sentinels);

/* It answered, but what it named is no master that can be reached: perhaps it is cut off from the others, so
 * another one is to be asked. */
void sentinels_doubt(struct sentinels *sentinels);

/* --- answers -------------------------------------------------------------------------------------------- */

/* Of SENTINEL GET-MASTER-ADDR-BY-NAME. False with a sentence in reason. */
bool sentinel_master(const struct redisReply *reply, struct address *address, char *reason, size_t cap);

struct role {
    bool master;
    unsigned replicas; /* of a master, those connected to it now */
};

/* Of ROLE. False with a sentence in reason where it is no such answer. */
bool role_of(const struct redisReply *reply, struct role *role, char *reason, size_t cap);

#endif
