/* Sessions by address in a hash table that holds only addresses with sessions; pairs in sets of a few places, in which a
 * new pair takes the place of the one that was wrong longest ago. One lock: connects and binds are rare. */
#include "proxy/visitors.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <uv.h>

#define HASH_NONFATAL_OOM          1
#define uthash_nonfatal_oom(entry) ((void)(entry)) /* not in the table then; freed by whoever added it */
#include <uthash.h>

#include "proxy/siphash.h"

enum {
    SETS = 4096,
    PLACES = 4,
    SHAKERS = 4096,
    DOUBLINGS_MAX = 20,
    IPV4_MARK = 4,
    IPV6_MARK = 6,
    IPV6_PREFIX = 8
};

struct caller {
    uint64_t address;
    unsigned sessions, unbound;
    UT_hash_handle hh;
};

struct pair {
    uint64_t key; /* 0: free */
    uint64_t until, last;
    unsigned wrong; /* in a row */
};

struct shaker {
    uint32_t second; /* the lower bits */
    uint32_t count;  /* of handshakes in it */
};

struct visitors {
    uv_mutex_t lock;
    uint64_t secret[2];
    struct caller *callers;
    struct pair pairs[SETS][PLACES];
    struct shaker shakers[SHAKERS];
};

static uint64_t of_ipv4(const struct in_addr *in)
{
    return ((uint64_t)IPV4_MARK << 60) | ntohl(in->s_addr);
}

static uint64_t of_ipv6(const struct in6_addr *in6)
{
    struct in_addr mapped;
    uint64_t prefix;
    if (IN6_IS_ADDR_V4MAPPED(in6)) {
        memcpy(&mapped, in6->s6_addr + 12, sizeof mapped);
        return of_ipv4(&mapped);
    }
    memcpy(&prefix, in6->s6_addr, IPV6_PREFIX);
    return prefix == 0 ? (uint64_t)IPV6_MARK << 60 : prefix; /* ::1 and its like */
}

uint64_t visitors_address(const struct sockaddr *address)
{
    switch (address->sa_family) {
    case AF_INET: return of_ipv4(&((const struct sockaddr_in *)(const void *)address)->sin_addr);
    case AF_INET6: return of_ipv6(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
    default: return 0;
    }
}

struct visitors *visitors_new(void)
{
    struct visitors *visitors = calloc(1, sizeof *visitors);
    if (visitors == NULL || uv_mutex_init(&visitors->lock) != 0) {
        free(visitors);
        return NULL;
    }
    if (getrandom(visitors->secret, sizeof visitors->secret, 0) != (ssize_t)sizeof visitors->secret) {
        visitors_free(visitors);
        return NULL;
    }
    return visitors;
}

void visitors_free(struct visitors *visitors)
{
    if (visitors == NULL) {
        return;
    }
    struct caller *caller;
    struct caller *next;
    HASH_ITER(hh, visitors->callers, caller, next)
    {
        /* the analyzer cannot follow uthash's lists: NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        HASH_DEL(visitors->callers, caller);
        free(caller);
    }
    uv_mutex_destroy(&visitors->lock);
    free(visitors);
}

/* --- sessions ------------------------------------------------------------------------------------------------ */

static struct caller *caller_of(struct visitors *visitors, uint64_t address)
{
    struct caller *caller = NULL;
    HASH_FIND(hh, visitors->callers, &address, sizeof address, caller);
    return caller;
}

static struct caller *caller_add(struct visitors *visitors, uint64_t address)
{
    struct caller *caller = calloc(1, sizeof *caller);
    if (caller == NULL) {
        return NULL;
    }
    caller->address = address;
    HASH_ADD(hh, visitors->callers, address, sizeof address, caller);
    if (caller_of(visitors, address) == NULL) {
        free(caller);
        return NULL;
    }
    return caller;
}

bool visitors_enter(struct visitors *visitors, uint64_t address, unsigned most)
{
    if (address == 0) {
        return true;
    }
    uv_mutex_lock(&visitors->lock);
    struct caller *caller = caller_of(visitors, address);
    if (caller == NULL) {
        caller = caller_add(visitors, address);
    }
    bool enters = caller != NULL && (most == 0 || caller->sessions < most);
    if (enters) {
        caller->sessions++;
    }
    uv_mutex_unlock(&visitors->lock);
    return enters;
}

void visitors_leave(struct visitors *visitors, uint64_t address)
{
    if (address == 0) {
        return;
    }
    uv_mutex_lock(&visitors->lock);
    struct caller *caller = caller_of(visitors, address);
    if (caller != NULL && --caller->sessions == 0) {
        HASH_DEL(visitors->callers, caller);
        free(caller);
    }
    uv_mutex_unlock(&visitors->lock);
}

bool visitors_enter_unbound(struct visitors *visitors, uint64_t address, unsigned most)
{
    if (address == 0) {
        return true;
    }
    uv_mutex_lock(&visitors->lock);
    struct caller *caller = caller_of(visitors, address);
    bool enters = caller != NULL && (most == 0 || caller->unbound < most);
    if (enters) {
        caller->unbound++;
    }
    uv_mutex_unlock(&visitors->lock);
    return enters;
}

void visitors_bound(struct visitors *visitors, uint64_t address)
{
    if (address == 0) {
        return;
    }
    uv_mutex_lock(&visitors->lock);
    struct caller *caller = caller_of(visitors, address);
    if (caller != NULL && caller->unbound > 0) {
        caller->unbound--;
    }
    uv_mutex_unlock(&visitors->lock);
}

bool visitors_may_shake(struct visitors *visitors, uint64_t address, unsigned most, uint64_t now_s)
{
    if (address == 0 || most == 0) {
        return true;
    }
    uint64_t key = siphash(visitors->secret, (const uint8_t *)&address, sizeof address);
    struct shaker *shaker = &visitors->shakers[key % SHAKERS];
    uv_mutex_lock(&visitors->lock);
    if (shaker->second != (uint32_t)now_s) {
        *shaker = (struct shaker){.second = (uint32_t)now_s};
    }
    bool may = shaker->count < most;
    shaker->count += may;
    uv_mutex_unlock(&visitors->lock);
    return may;
}

/* --- guesses ------------------------------------------------------------------------------------------------- */

uint64_t visitors_pair(const struct visitors *visitors, uint64_t address, const uint8_t *system_id,
                       size_t len)
{
    uint8_t octets[sizeof address + 64];
    size_t part = len < sizeof octets - sizeof address ? len : sizeof octets - sizeof address;
    memcpy(octets, &address, sizeof address);
    if (part > 0) {
        memcpy(octets + sizeof address, system_id, part);
    }
    uint64_t pair = siphash(visitors->secret, octets, sizeof address + part);
    return pair == 0 ? 1 : pair;
}

static struct pair *pair_find(struct visitors *visitors, uint64_t key)
{
    struct pair *set = visitors->pairs[key % SETS];
    for (int i = 0; i < PLACES; i++) {
        if (set[i].key == key) {
            return &set[i];
        }
    }
    return NULL;
}

static struct pair *pair_take(struct visitors *visitors, uint64_t key)
{
    struct pair *set = visitors->pairs[key % SETS];
    struct pair *oldest = &set[0];
    for (int i = 1; i < PLACES; i++) {
        if (set[i].last < oldest->last) {
            oldest = &set[i];
        }
    }
    *oldest = (struct pair){.key = key};
    return oldest;
}

static uint64_t pause_after(unsigned wrong, const struct visitors_pace *pace)
{
    if (wrong <= pace->tries) {
        return 0;
    }
    unsigned doublings = wrong - pace->tries - 1;
    uint64_t pause = pace->pause << (doublings < DOUBLINGS_MAX ? doublings : DOUBLINGS_MAX);
    return pause < pace->longest ? pause : pace->longest;
}

/* The try that is let through takes the pause upon itself at once, so that many at a time are no way round it. */
bool visitors_may_try(struct visitors *visitors, uint64_t pair, const struct visitors_pace *pace,
                      uint64_t now)
{
    uv_mutex_lock(&visitors->lock);
    struct pair *p = pair_find(visitors, pair);
    bool may = p == NULL || pace->pause == 0 || now >= p->until;
    if (p != NULL && may) {
        p->until = now + pause_after(p->wrong, pace);
    }
    uv_mutex_unlock(&visitors->lock);
    return may;
}

void visitors_wrong(struct visitors *visitors, uint64_t pair, const struct visitors_pace *pace, uint64_t now)
{
    uv_mutex_lock(&visitors->lock);
    struct pair *p = pair_find(visitors, pair);
    if (p == NULL) {
        p = pair_take(visitors, pair);
    } else if (now > p->last && now - p->last > 2 * pace->longest) {
        p->wrong = 0; /* long ago; the worker of the one before may have been ahead of this one's clock */
    }
    p->wrong++;
    p->last = now > p->last ? now : p->last;
    p->until = p->last + pause_after(p->wrong, pace);
    uv_mutex_unlock(&visitors->lock);
}

void visitors_right(struct visitors *visitors, uint64_t pair)
{
    uv_mutex_lock(&visitors->lock);
    struct pair *p = pair_find(visitors, pair);
    if (p != NULL) {
        *p = (struct pair){.key = 0};
    }
    uv_mutex_unlock(&visitors->lock);
}
