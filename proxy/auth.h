/* Passwords of clients: verified off the loop, remembered on it.
 *
 *   bind ──auth_check──▶ remembered? ──yes──▶ answer at once (an HMAC under a random key of this process)
 *                             └──no──▶ verifier's threads: crypt_r (about 15 ms) ──▶ done(token, verdict)
 *
 * One a worker. An unknown system_id is checked against a dummy hash of the same cost, so that neither answer
 * nor time tells it from a wrong password. The number of checks waiting is bounded. */
#ifndef PROXY_AUTH_H
#define PROXY_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "proxy/config.h"

enum auth_verdict {
    AUTH_GOOD,
    AUTH_BAD,
    AUTH_PENDING,  /* done will be called */
    AUTH_TOO_SOON, /* not of auth_check: the visitors lets nobody try now */
    AUTH_BUSY,     /* queue full, or no memory: an infrastructure fault, not the client's */
};

struct auth;
typedef void auth_done(void *ctx, uint64_t token, enum auth_verdict verdict); /* GOOD, BAD or BUSY */

/* queue: checks that may be under way or waiting. NULL without memory. */
struct auth *auth_new(uv_loop_t *loop, unsigned queue, auth_done *done, void *ctx);

/* client NULL: unknown system_id. password is len octets; it is copied, and wiped afterwards. dummy_hash is a
 * hash of usual cost to spend the time on (the first client's). token comes back with the verdict: the
 * session's id, not a pointer. address (visitors.h): at most half of the queue is for one; 0: for whom there is no limit. */
enum auth_verdict auth_check(struct auth *auth, const struct config_client *client, const char *dummy_hash,
                             const uint8_t *password, size_t len, uint64_t token, uint64_t address);

/* Is this the password that was right last time? Without that, it takes a check to know. */
bool auth_remembers(struct auth *auth, const struct config_client *client, const uint8_t *password,
                    size_t len);

/* After a reload: what is remembered of clients whose hash changed is forgotten by itself (the HMAC covers
 * the hash); nothing to call. */

/* No done is called any more; freed when what is under way has finished. The loop must go on running
 * until then. */
void auth_free(struct auth *auth);

#endif
