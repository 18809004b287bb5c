/* Clients and webhooks hear of a cutover: a thread of its own, so that no receiver, mail server or Redis that hangs can
 * hold up traffic or a flip.
 *
 *   Redis P:events ──feed──▶ hook_event ──outbox──▶ webhooks by HTTP, clients and operators by SMTP
 *                      ◀── all told: XACK ──┘
 *   main thread ──hooks_configure──▶ the config in use, held until its deliveries are done
 *
 * An instance whose config names neither a webhook nor a mail server has no thread and reads nothing. */
#ifndef PROXY_HOOKS_HOOKS_H
#define PROXY_HOOKS_HOOKS_H

#include <stdbool.h>

#include "proxy/config.h"
#include "proxy/mailbox.h"
#include "proxy/metrics.h"

struct hooks;

/* By a config that may have no hooks: then a later one may. NULL without memory. Main thread, as all of these. */
struct hooks *hooks_open(const struct config *config);

/* From now on by this config. */
void hooks_configure(struct hooks *hooks, const struct config *config);

/* Puts the counters of the hooks into *process. */
void hooks_measure(struct hooks *hooks, struct metrics_process *process);

/* Asks for the end: what is being told is left to another instance. done is called in the thread that owns box when it
 * is over: at once, or after what is awaited from Redis, a few seconds at most. hooks may be NULL. */
void hooks_end(struct hooks *hooks, struct mailbox *box, void (*done)(void *ctx), void *ctx);

/* After done. */
void hooks_free(struct hooks *hooks);

#endif
