/* What one address may take of the whole process: sessions, TLS handshakes, and guesses of passwords.
 *
 *   connection ──visitors_enter──▶ sessions of its address ──visitors_leave── the session's end
 *              ──visitors_enter_unbound──▶ those that have not bound ──visitors_bound── its bind, or end
 *              ──visitors_may_shake──▶ handshakes of its address in this second ──▶ one more, or none
 *   bind ──visitors_may_try──▶ wrong passwords of this (address, system_id) of late ──▶ now, or not before its pause ends
 *   verdict ──visitors_wrong──▶ the pause doubles       ──visitors_right──▶ forgotten
 *
 * Pauses belong to pairs of address and system_id: whoever guesses at one address cannot keep the client out that binds
 * from another. A password that is remembered as right (auth.h) is not asked about here at all. An IPv6 address stands
 * for its /64, which is what one host commonly has. The pairs are in a table of fixed size; where it is full of newer
 * ones a pause is forgotten, which makes nobody wait longer. Touched on connect, bind and end only; all threads. */
#ifndef PROXY_VISITORS_H
#define PROXY_VISITORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct visitors;

/* An address as it is counted here: never 0, but for one that is neither IPv4 nor IPv6, which is not limited. */
uint64_t visitors_address(const struct sockaddr *address);

/* NULL without memory. */
struct visitors *visitors_new(void);
void visitors_free(struct visitors *visitors);

/* Counts a session in. False, and nothing is counted, where the address has `most` already (0: any number), or without
 * memory. */
bool visitors_enter(struct visitors *visitors, uint64_t address, unsigned most);
void visitors_leave(struct visitors *visitors, uint64_t address);

/* Counts a session that is counted in as one that has not bound. False, and nothing is counted, where the address has
 * `most` of those already (0: any number). */
bool visitors_enter_unbound(struct visitors *visitors, uint64_t address, unsigned most);

/* It has bound, or ends: before it leaves. */
void visitors_bound(struct visitors *visitors, uint64_t address);

/* Counts a TLS handshake, whose cost is the server's, into the present second (of now_s). False where the address has
 * begun `most` in it already (0: any number). Addresses share a table of fixed size, by a random key: one in some
 * thousand may suffer from another one's for that second. */
bool visitors_may_shake(struct visitors *visitors, uint64_t address, unsigned most, uint64_t now_s);

struct visitors_pace {
    unsigned tries;   /* wrong passwords in a row that cost nothing yet */
    uint64_t pause;   /* ns, after the next one; 0: never any */
    uint64_t longest; /* ns, what the pause doubles up to */
};

/* The pair of an address and a system_id, of which no more than a fingerprint under a random key is kept. */
uint64_t visitors_pair(const struct visitors *visitors, uint64_t address, const uint8_t *system_id,
                       size_t len);

/* May a password be tried now (ns)? Where wrong ones have gone before, that is one try a pause. */
bool visitors_may_try(struct visitors *visitors, uint64_t pair, const struct visitors_pace *pace,
                      uint64_t now);
void visitors_wrong(struct visitors *visitors, uint64_t pair, const struct visitors_pace *pace, uint64_t now);
void visitors_right(struct visitors *visitors, uint64_t pair);

#endif
