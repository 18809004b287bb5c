/* What is to be told, to whom, and how often it has been tried.
 *
 *   event ──outbox_add──▶ a delivery for each webhook and each mail address ──libcurl's multi──▶ 2xx: done
 *                                   ▲                                                     ├──▶ refused: given up
 *                                   └── later, `attempts` times ──────────────────────────┘
 *
 * All of them are on their way at once, `parallel` to one receiver, so that a slow receiver holds up nobody else. One
 * thread's; only outbox_wake is for others. Of the answers nothing but the status is looked at. */
#ifndef PROXY_HOOKS_OUTBOX_H
#define PROXY_HOOKS_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/config.h"
#include "proxy/hooks/event.h"
#include "proxy/metrics.h"
#include "proxy/owners.h"

enum { OUTBOX_EVENTS_MAX = 1000 }; /* at a time; further ones wait in Redis */

struct hook_counters {
    metric posts_delivered, posts_failed, posts_retried;
    metric mails_delivered, mails_failed, mails_retried;
    metric events_skipped, events_pending;
};

struct outbox_events {
    /* One of an event's deliveries is done with, for good or ill. */
    void (*told)(void *ctx, const struct hook_event *event, const char *target);
    /* All are; the event is freed afterwards. */
    void (*done)(void *ctx, const struct hook_event *event);
};

struct outbox;

/* NULL without memory. events, counters and ctx must outlive it. */
struct outbox *outbox_new(const struct outbox_events *events, struct hook_counters *counters, void *ctx);

/* Drops what is left, at once, without a word. */
void outbox_free(struct outbox *outbox);

/* Takes the event over. It goes to whom the config names, but for the targets in told (names that told was called
 * with before, perhaps by another instance). done may be called from within. False without memory: the event is
 * freed. */
bool outbox_add(struct outbox *outbox, const struct config *config, const struct owners *owners,
                struct hook_event *event, const char *const *told, size_t told_count);

/* Events that are not done. */
size_t outbox_count(const struct outbox *outbox);
bool outbox_has(const struct outbox *outbox, const char *id);

/* Their ids, at most cap; how many. */
size_t outbox_ids(const struct outbox *outbox, const char **ids, size_t cap);

/* Forgets all of it, deliveries on their way included. */
void outbox_drop(struct outbox *outbox);

/* Goes on with what can go on; then waits for the network or the next attempt, wait_ms at most. */
void outbox_turn(struct outbox *outbox, unsigned wait_ms);

/* Ends a wait. From any thread. */
void outbox_wake(struct outbox *outbox);

#endif
