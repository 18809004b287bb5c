/* Passwords of clients, verified on threads of their own and remembered on the loop.
 *
 *   auth_check ──HMAC(hash, password)──▶ equal to the one remembered of this client? GOOD at once
 *        └─▶ struct check, in the list ──verifier──▶ crypt_r ──loop──▶ verdict, done ──▶ wiped and freed
 *
 * A known and an unknown system_id take the same way through all of it: an HMAC, a place in the queue, one
 * crypt of the usual cost. Only the verdict of an unknown one is settled beforehand. (To hold its place for as long as a
 * crypt took lately would cost nothing, but told which ids there are: times that are played back can be told from times
 * that are.) Failures are not remembered: a table of them would be the attacker's to fill, and a password that was wrong
 * may be right after a reload. */
#include "proxy/auth.h"

#include <crypt.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <stdlib.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/queue.h>

#include "proxy/verifier.h"

enum { MAC_LEN = 32 };

/* For unknown ids while no client is configured: yescrypt at the cost that turnoutctl uses, of a password
 * that nobody has kept. */
#define DUMMY_HASH "$y$j9T$3wepe.6Ex4HoRLud6w1WX1$OWo9opTMkGiDEUasK7oUJAyz4A6dsg4LOaybJjj7Vx6"

struct remembered {
    bool valid;
    uint8_t mac[MAC_LEN];
};

/* One password under way. Two threads may be at it; they write nothing but the verdict, which is the same. */
struct check {
    struct verifier_job job; /* first */
    struct auth *auth;
    LIST_ENTRY(check) entry;
    uint64_t token;
    uint64_t address;
    bool settled; /* whatever crypt says, it is BAD: unknown client, or a password that no hash can be of */
    bool known_good; /* proved by another check while this one waited */
    unsigned client; /* index; of no meaning where settled */
    _Atomic enum auth_verdict verdict;
    uint8_t mac[MAC_LEN];
    char hash[CRYPT_OUTPUT_SIZE];
    char password[CRYPT_MAX_PASSPHRASE_SIZE];
};

struct auth {
    struct verifier *verifier;
    unsigned queue, waiting;
    unsigned held; /* checks that are not freed */
    auth_done *done;
    void *ctx;
    bool closing;
    EVP_MAC_CTX *hmac;             /* with the key of this process */
    struct remembered *remembered; /* by client index */
    size_t remembered_count;
    LIST_HEAD(checks, check) checks;
};

/* --- the HMAC --------------------------------------------------------------------------------- */

static EVP_MAC_CTX *hmac_new(void)
{
    uint8_t key[MAC_LEN];
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
    EVP_MAC_free(mac);
    if (ctx != NULL &&
        (RAND_bytes(key, sizeof key) != 1 || EVP_MAC_init(ctx, key, sizeof key, params) != 1)) {
        EVP_MAC_CTX_free(ctx);
        ctx = NULL;
    }
    explicit_bzero(key, sizeof key);
    return ctx;
}

/* The NUL between hash and password keeps apart what two pairs would share. */
static bool hmac_of(EVP_MAC_CTX *ctx, const char *hash, const uint8_t *password, size_t len,
                    uint8_t mac[MAC_LEN])
{
    size_t written = 0;
    return EVP_MAC_init(ctx, NULL, 0, NULL) == 1 &&
           EVP_MAC_update(ctx, (const uint8_t *)hash, strlen(hash) + 1) == 1 &&
           EVP_MAC_update(ctx, password, len) == 1 && EVP_MAC_final(ctx, mac, &written, MAC_LEN) == 1 &&
           written == MAC_LEN;
}

/* --- what is remembered ----------------------------------------------------------------------- */

static bool remembers(const struct auth *auth, unsigned client, const uint8_t mac[MAC_LEN])
{
    return client < auth->remembered_count && auth->remembered[client].valid &&
           CRYPTO_memcmp(auth->remembered[client].mac, mac, MAC_LEN) == 0;
}

static bool grow(struct auth *auth, unsigned client)
{
    if (client < auth->remembered_count)
        return true;
    size_t count = (size_t)client + 64;
    struct remembered *larger = realloc(auth->remembered, count * sizeof *larger);
    if (larger == NULL)
        return false;
    memset(larger + auth->remembered_count, 0, (count - auth->remembered_count) * sizeof *larger);
    auth->remembered = larger;
    auth->remembered_count = count;
    return true;
}

/* A storm of binds of one client comes before its first check is through: those of them that bring the
 * password now proved, and have not begun, need no crypt of their own. */
static void spare_the_rest(struct auth *auth, const struct check *good)
{
    struct check *c;
    LIST_FOREACH(c, &auth->checks, entry)
    {
        if (!c->settled && c->client == good->client && CRYPTO_memcmp(c->mac, good->mac, MAC_LEN) == 0 &&
            verifier_cancel(auth->verifier, &c->job))
            c->known_good = true;
    }
}

static void remember(struct auth *auth, const struct check *good)
{
    if (!grow(auth, good->client))
        return; /* only slower */
    auth->remembered[good->client].valid = true;
    memcpy(auth->remembered[good->client].mac, good->mac, MAC_LEN);
}

/* --- one check -------------------------------------------------------------------------------- */

/* A hash that crypt cannot handle, or no memory for it, is our fault: BUSY. crypt_r's work space, 33 KB, is too much for a
 * thread's stack. */
static enum auth_verdict verdict_of(const struct check *c)
{
    struct crypt_data *data = calloc(1, sizeof *data);
    if (data == NULL)
        return AUTH_BUSY;
    enum auth_verdict verdict = AUTH_BUSY;
    const char *made = crypt_r(c->password, c->hash, data);
    if (made != NULL && made[0] != '*') {
        size_t len = strlen(c->hash);
        bool equal = strlen(made) == len && CRYPTO_memcmp(made, c->hash, len) == 0;
        verdict = equal && !c->settled ? AUTH_GOOD : AUTH_BAD;
    }
    explicit_bzero(data, sizeof *data);
    free(data);
    return verdict;
}

/* On a thread of the verifier. */
static void verify(struct verifier_job *job)
{
    struct check *c = (struct check *)job;
    c->verdict = verdict_of(c);
}

static void check_free(struct check *c)
{
    explicit_bzero(c, sizeof *c);
    free(c);
}

static void auth_destroy(struct auth *auth)
{
    if (auth->remembered != NULL)
        explicit_bzero(auth->remembered, auth->remembered_count * sizeof *auth->remembered);
    free(auth->remembered);
    EVP_MAC_CTX_free(auth->hmac);
    if (auth->verifier != NULL)
        verifier_free(auth->verifier);
    free(auth);
}

/* On the loop. */
static void verified(void *ctx, struct verifier_job *job, bool cancelled)
{
    struct check *c = (struct check *)job;
    struct auth *auth = ctx;
    uint64_t token = c->token;
    enum auth_verdict verdict = c->verdict;
    if (cancelled)
        verdict = c->known_good ? AUTH_GOOD : AUTH_BUSY;
    LIST_REMOVE(c, entry);
    auth->waiting--;
    if (verdict == AUTH_GOOD && !cancelled && !auth->closing) {
        remember(auth, c);
        spare_the_rest(auth, c);
    }
    if (!auth->closing)
        auth->done(auth->ctx, token, verdict);
}

/* On the loop. */
static void released(void *ctx, struct verifier_job *job)
{
    struct auth *auth = ctx;
    check_free((struct check *)job);
    if (--auth->held == 0 && auth->closing)
        auth_destroy(auth);
}

static const struct verifier_events events = {.done = verified, .released = released};

static struct check *check_new(struct auth *auth, const char *hash, const uint8_t *password, size_t len)
{
    struct check *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    bool fits = len < sizeof c->password && memchr(password, '\0', len) == NULL;
    c->auth = auth;
    c->job.work = verify;
    c->settled = !fits;
    memcpy(c->hash, hash, strlen(hash) + 1); /* it fits: auth_check */
    memcpy(c->password, password, len < sizeof c->password ? len : sizeof c->password - 1);
    return c;
}

/* A dummy that crypt refuses at once would tell by its haste that the id is unknown. */
static const char *usable_dummy(const char *dummy_hash)
{
    if (dummy_hash == NULL || strlen(dummy_hash) >= CRYPT_OUTPUT_SIZE)
        return DUMMY_HASH;
    int salt = crypt_checksalt(dummy_hash);
    return salt == CRYPT_SALT_INVALID || salt == CRYPT_SALT_METHOD_DISABLED ? DUMMY_HASH : dummy_hash;
}

static enum auth_verdict check_queue(struct auth *auth, struct check *c)
{
    if (!verifier_post(auth->verifier, &c->job)) {
        check_free(c);
        return AUTH_BUSY;
    }
    LIST_INSERT_HEAD(&auth->checks, c, entry);
    auth->waiting++;
    auth->held++;
    return AUTH_PENDING;
}

/* One address must not fill the queue before all others. */
static bool crowded(const struct auth *auth, uint64_t address)
{
    unsigned count = 0;
    const struct check *c;
    LIST_FOREACH(c, &auth->checks, entry)
    count += c->address == address;
    return address != 0 && count >= (auth->queue + 1) / 2;
}

bool auth_remembers(struct auth *auth, const struct config_client *client, const uint8_t *password,
                    size_t len)
{
    uint8_t mac[MAC_LEN];
    if (len == 0)
        password = (const uint8_t *)"";
    return client != NULL && hmac_of(auth->hmac, client->password_hash, password, len, mac) &&
           remembers(auth, client->index, mac);
}

enum auth_verdict auth_check(struct auth *auth, const struct config_client *client, const char *dummy_hash,
                             const uint8_t *password, size_t len, uint64_t token, uint64_t address)
{
    uint8_t mac[MAC_LEN];
    if (len == 0)
        password = (const uint8_t *)""; /* NULL would do for no octets, but not for memcpy */
    const char *hash = client != NULL ? client->password_hash : usable_dummy(dummy_hash);
    if (strlen(hash) >= CRYPT_OUTPUT_SIZE || !hmac_of(auth->hmac, hash, password, len, mac))
        return AUTH_BUSY;
    if (client != NULL && remembers(auth, client->index, mac))
        return AUTH_GOOD;
    if (auth->waiting >= auth->queue || crowded(auth, address))
        return AUTH_BUSY;
    struct check *c = check_new(auth, hash, password, len);
    if (c == NULL)
        return AUTH_BUSY;
    c->token = token;
    c->address = address;
    c->settled = c->settled || client == NULL;
    c->client = client != NULL ? client->index : 0;
    memcpy(c->mac, mac, MAC_LEN);
    return check_queue(auth, c);
}

struct auth *auth_new(uv_loop_t *loop, unsigned queue, auth_done *done, void *ctx)
{
    struct auth *auth = calloc(1, sizeof *auth);
    if (auth == NULL)
        return NULL;
    auth->verifier = verifier_new(loop, &events, auth);
    auth->queue = queue;
    auth->done = done;
    auth->ctx = ctx;
    LIST_INIT(&auth->checks);
    auth->hmac = hmac_new();
    if (auth->hmac == NULL || auth->verifier == NULL) {
        auth_destroy(auth);
        return NULL;
    }
    return auth;
}

void auth_free(struct auth *auth)
{
    if (auth == NULL)
        return;
    auth->closing = true;
    if (auth->held == 0) {
        auth_destroy(auth);
        return;
    }
    struct check *c;
    LIST_FOREACH(c, &auth->checks, entry)
    (void)verifier_cancel(auth->verifier,
                          &c->job); /* those that have not begun; the callback comes all the same */
}
