/* Which platform the first part of a message took that is sent in several: the others follow it, over a flip and
 * over whichever session of the client they come, since one SMSC must see them all to put them together.
 *
 *   first part about to leave ──multiparts_begin──▶ table ◀──multiparts_platform── a later part: where to?
 *   part sent ──────────────────multiparts_sent──────┤
 *   accepted by the SMSC ───────multiparts_accepted──┘
 *
 * A later part is no other message: a part that goes by the old route after a flip completes one that was
 * begun there. Bounded: a fixed number of messages, each for a fixed time from its first part on, after which
 * parts go by today's route, as do those of a message that gave way to newer ones. A message of which all
 * parts have been accepted is over: the same part once more begins another one (clients use references again).
 * Until then a part that comes again is a retry, of one that the SMSC refused or has not answered.
 *
 * All workers share the table without a lock; nothing is allocated but at the beginning, and what is no part does
 * not touch it. It is a power of two of entries in sets of eight: a key lies in its set or nowhere. An entry is two
 * words, each written whole:
 *
 *   head  fingerprint 32 │ platform 8 │ end of its time, seconds 24     taken by compare-and-swap: of workers that
 *                                                                       begin one message at once, one decides
 *   seen  tag 8 │ the parts accepted, as bits 56                        the tag says of which head they are
 *
 * Where entries of a set end at the very moment at which two workers begin one message, both may take a place; the
 * first in the set counts from then on. Keys are hashed with a random key, so that no peer can choose who gives way. */
#ifndef PROXY_MULTIPART_H
#define PROXY_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "smpp/multipart.h"

struct multiparts;

/* One part, as the table knows it. */
struct multipart {
    uint64_t key; /* of its message; 0: no part of several */
    uint8_t total, number;
};

/* entries is rounded up to a power of two, at least 8. NULL without memory. */
struct multiparts *multiparts_new(size_t entries);
void multiparts_free(struct multiparts *parts);

/* What the table knows a part by: the client's account (its index), both addresses, and the reference. */
struct multipart multipart_of(const struct multiparts *parts, unsigned account, struct smpp_span source,
                              struct smpp_span dest, const struct smpp_part *part);

/* The platform that its message's first part took; NAME_NONE where no part of it is known. Seconds of a steady
 * clock that all threads share. */
uint8_t multiparts_platform(const struct multiparts *parts, const struct multipart *part, uint64_t now_s);

/* A part of which no other is known is about to leave by this platform, to be remembered for ttl_s seconds (a day at
 * most). What its message's platform is: this one, or that of another worker that was quicker. */
struct multiparts_begun {
    uint8_t platform;
    bool added;   /* an entry that was free is taken */
    bool evicted; /* a message gave way whose time was not over */
};
struct multiparts_begun multiparts_begin(struct multiparts *parts, const struct multipart *part,
                                         uint8_t platform, uint64_t now_s, uint64_t ttl_s);

/* The part is on its way to this platform, which may be another one than its message's: the next ones follow it
 * there. Returns what to know it by when it is answered; 0 where its message has given way. */
uint32_t multiparts_sent(struct multiparts *parts, const struct multipart *part, uint8_t platform);

/* The SMSC has accepted the part of which multiparts_sent gave this handle, which is not 0. Nothing changes where
 * its message has given way to another. */
void multiparts_accepted(struct multiparts *parts, uint32_t handle);

/* Forgets what is over in a share of the table; sixteen calls go through all of it. Returns how many. One thread. */
size_t multiparts_sweep(struct multiparts *parts, uint64_t now_s);

#endif
