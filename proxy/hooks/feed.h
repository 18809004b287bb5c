/* The stream of events, read by all instances together: each event by one of them.
 *
 *   P:events ──XREADGROUP hooks──▶ events.event ──(told)──▶ feed_told ──(all told)──▶ feed_done ──▶ XACK
 *       └─ left by an instance that died: XAUTOCLAIM, with what it had told already ──▶ events.event
 *
 *   P:events:told:<id>  set: who has been told of an event that is not done, for an instance that takes it over; with
 *                       a time to live
 *
 * While an event is being told, the feed says every third of `takeover` that it still has it. Where it could not say so
 * for a whole `takeover`, another instance may have the events by now: feed_turn tells, and they are to be dropped. So
 * an event is told once, and at least once where an instance dies, hangs, or is cut off from Redis while it tells it.
 *
 * Calls wait for Redis, for a time-out at most: a thread of its own. */
#ifndef PROXY_HOOKS_FEED_H
#define PROXY_HOOKS_FEED_H

#include <stdbool.h>
#include <stddef.h>

#include "proxy/config.h"

struct feed_events {
    /* One more, with names and values of its fields in turn, and those who were told before. */
    void (*event)(void *ctx, const char *id, const char *const *fields, size_t count, const char *const *told,
                  size_t told_count);
    /* The ids of the events that are being told, at most cap; how many. */
    size_t (*ids)(void *ctx, const char **ids, size_t cap);
    bool (*has)(void *ctx, const char *id);
};

struct feed;

/* By the redis section of the config, which must live as long. NULL without memory. */
struct feed *feed_new(const struct config *config, const struct feed_events *events, void *ctx);

/* A third of this is how often it says what it has. From now on. */
void feed_takeover(struct feed *feed, uint64_t takeover);

/* Reads up to room events; waits for the first, wait_ms at most (0: not at all). False where the events being told
 * may be another's by now. */
bool feed_turn(struct feed *feed, size_t room, unsigned wait_ms);

/* The time zone of a window (malloc'd), for the times in mails; NULL where none is known. */
char *feed_zone(struct feed *feed, const char *window);

/* Is it connected, so that a turn with nothing new took its time? */
bool feed_waits(const struct feed *feed);

void feed_told(struct feed *feed, const char *id, const char *target);
void feed_done(struct feed *feed, const char *id);

/* Another may take over at once what is being told. Closes the connection. */
void feed_release(struct feed *feed);
void feed_free(struct feed *feed);

#endif
