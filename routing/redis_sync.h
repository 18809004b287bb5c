/* Redis for who can wait: one connection, one call at a time, each with a time-out. For turnoutctl, and for a
 * thread that has nothing else to do meanwhile; the loops of turnoutd use redis_conn.h.
 *
 *   struct redis_address ──redis_open──▶ redis ──redis_call, redis_function──▶ reply
 *             └──of sentinels: each is asked for the master
 *
 * Turnout's functions are loaded into Redis when a call finds them missing. The process should ignore SIGPIPE:
 * hiredis writes to sockets without asking to be spared it. */
#ifndef ROUTING_REDIS_SYNC_H
#define ROUTING_REDIS_SYNC_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

#include "routing/sentinel.h"

enum { REDIS_SECRET_SIZE = 513 };

struct redis_address {
    char host[256]; /* or */
    char path[108]; /* of a socket, or */
    struct sentinels sentinels;
    char master[REDIS_SECRET_SIZE];        /* its name among them */
    char sentinel_user[REDIS_SECRET_SIZE]; /* "": none, as of the next three */
    char sentinel_password[REDIS_SECRET_SIZE];
    char user[REDIS_SECRET_SIZE];
    char password[REDIS_SECRET_SIZE];
    int port;
    unsigned database;
    unsigned connect_ms; /* to connect at most; 0: three seconds */
    unsigned answer_ms;  /* for an answer, until redis_patience says otherwise; 0: ten seconds */
};

enum redis_trouble {
    REDIS_FINE,
    REDIS_UNREACHABLE, /* no connection, or no login: the call was not made */
    REDIS_LOST,        /* no answer: whether the call was carried out is not known */
    REDIS_REFUSED,     /* Redis answered with an error */
};

struct redis;

/* NULL without memory alone: redis_trouble() tells whether there is a connection. */
struct redis *redis_open(const struct redis_address *address, const char *prefix);
void redis_close(struct redis *redis);

enum redis_trouble redis_trouble(const struct redis *redis);
const char *redis_trouble_text(const struct redis *redis);

/* The time that an answer may take from now on; 0 means any. */
void redis_patience(struct redis *redis, unsigned ms);

/* A command of count strings. NULL on trouble. The reply is freed with freeReplyObject(). */
redisReply *redis_call(struct redis *redis, const char *const *strings, size_t count);

/* Many commands on their way at once: send them all, then take as many answers, in their order, before any other call.
 * Redis holds what it answers until it is read, so some hundreds at a time. False, and NULL, on trouble; where Redis
 * refused one, the answers to the others are still to be taken. */
bool redis_send(struct redis *redis, const char *const *strings, size_t count);
redisReply *redis_answer(struct redis *redis);

/* A function of functions/, with its arguments after KEYS[1]. */
redisReply *redis_function(struct redis *redis, const char *name, const char *const *args, size_t count);

/* Sees to it that the functions in Redis are not older than ours: an older one skips what it does not know of
 * a request. False on trouble. */
bool redis_functions_renew(struct redis *redis);

/* The key "<prefix>:<rest>", in a buffer that the next call uses again. */
const char *redis_key(struct redis *redis, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* An element of an array as text ("" where it is none) and as number (0 where it is none). */
const char *redis_text(const redisReply *array, size_t index);
uint64_t redis_number(const redisReply *array, size_t index);

#endif
