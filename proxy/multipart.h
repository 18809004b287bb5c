/* Which platform the first part of a message took that is sent in several: the others follow it, over a flip,
 * since one SMSC must see them all to put them together.
 *
 *   part sent ──multiparts_sent──▶ table ◀──multiparts_platform── a later part: the platform of the first
 *
 * A later part is no other message: a part that goes by the old route after a flip completes one that was
 * begun there. Bounded: a fixed number of messages, each for a fixed time from its first part on, after which
 * parts go by today's route, as do those of a message that gave way to newer ones. A message of which all
 * parts have been sent is over: the same part once more begins another one (clients use references again).
 *
 * One thread; nothing is allocated but at the beginning. The table is a power of two of entries in sets of
 * eight: a key lies in its set or nowhere. Keys are hashed with a random key, so that no peer can choose who
 * gives way. */
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

/* The platform that its message's first part took; NAME_NONE where no part of it is known. Seconds of any
 * steady clock. */
uint8_t multiparts_platform(const struct multiparts *parts, const struct multipart *part, uint64_t now_s);

/* A part is on its way to a platform. The first one stays for ttl_s seconds. */
struct multiparts_change {
    bool added;   /* an entry that was free is taken */
    bool evicted; /* a message gave way whose time was not over */
};
struct multiparts_change multiparts_sent(struct multiparts *parts, const struct multipart *part,
                                         uint8_t platform, uint64_t now_s, uint64_t ttl_s);

/* Forgets what is over in a share of the table; sixteen calls go through all of it. Returns how many. */
size_t multiparts_sweep(struct multiparts *parts, uint64_t now_s);

#endif
