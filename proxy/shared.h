/* What all workers of the process share beside the immutable table and config: counts that limit what clients
 * may take of the whole process, and where a client's receiving sessions are. Touched when sessions begin and
 * end, when a message is kept back, and when an MO has come to a worker where its owner has no session; and
 * which platform the first part of a message in several took (multipart.h). Never on the path of other messages.
 *
 *   session bound ──shared_receives──▶ workers, by client ◀──shared_receiver── MO without a receiver here
 *   letter ──shared_post──▶ mailbox of the other worker, if it is open still */
#ifndef PROXY_SHARED_H
#define PROXY_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "proxy/mailbox.h"
#include "proxy/multipart.h"
#include "proxy/twice.h"
#include "proxy/visitors.h"

enum { SHARED_CLIENTS_MAX = 65536, SHARED_WORKERS_MAX = 64 };

struct shared {
    struct visitors *visitors;                  /* what one address may take */
    _Atomic unsigned sessions;                  /* client connections */
    _Atomic unsigned unbound;                   /* of them, not bound yet */
    _Atomic uint64_t waiting, waiting_bytes;    /* requests kept back, and their octets */
    _Atomic unsigned binds[SHARED_CLIENTS_MAX]; /* bound sessions by client index */
    _Atomic uint64_t
        receivers[SHARED_CLIENTS_MAX];            /* workers that have a receiving session, by client index */
    _Atomic unsigned orphans[SHARED_CLIENTS_MAX]; /* legs that end after their session, by client index */
    struct twice twice;                           /* MO of cells that move */
    struct multiparts *multiparts;                /* NULL: parts of a message are not followed */
    _Atomic uint64_t lease_end; /* ns of uv_hrtime: until then others wait for this instance (lease.h) */
    uv_mutex_t lock;            /* of boxes: a worker that ends closes its box */
    struct mailbox *boxes[SHARED_WORKERS_MAX]; /* NULL: closed */
};

/* multiparts: messages in several parts to be remembered, 0: none. NULL without memory. */
struct shared *shared_new(size_t multiparts);
void shared_free(struct shared *shared);

/* Counts a request of len octets that is to be kept back. False, and nothing is counted, where there would be
 * more than most, or more octets than most_bytes. */
bool shared_wait(struct shared *shared, size_t len, uint64_t most, uint64_t most_bytes);
void shared_waited(struct shared *shared, size_t len);

/* A worker's mailbox can be posted to, or no longer. After shared_close returns, no letter is on its way into
 * it. */
void shared_open(struct shared *shared, unsigned worker, struct mailbox *box);
void shared_close(struct shared *shared, unsigned worker);

/* False where the box is closed: the letter is the caller's still. */
bool shared_post(struct shared *shared, unsigned worker, struct letter *letter);

/* A worker has a receiving session of a client, or none any more. */
void shared_receives(struct shared *shared, unsigned client, unsigned worker, bool receives);

/* Adds to the legs of a client that end after their session; returns how many there are now. */
unsigned shared_orphans(struct shared *shared, unsigned client, int change);

/* A worker other than `self` that has one, -1 for none. `turn` spreads the choice where there are several. */
int shared_receiver(const struct shared *shared, unsigned client, unsigned self, unsigned turn);

#endif
