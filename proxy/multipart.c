#include "proxy/multipart.h"

#include <openssl/rand.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/siphash.h"
#include "routing/names.h"

enum { WAYS = 8, SWEEPS = 16, SEEN_BITS = 56, TIME_BITS = 24, PLATFORM_BITS = 8 };

/* What an answer is noted by: mark 6 (never 0) │ bit of the part 6 │ place in the table 20. */
enum { PLACE_BITS = 20, BIT_BITS = 6, MARKS = 63 };
#define TIME_MASK     ((1U << TIME_BITS) - 1)
#define PLATFORM_MASK (((1ULL << PLATFORM_BITS) - 1) << TIME_BITS)
#define SEEN_MASK     ((1ULL << SEEN_BITS) - 1)

typedef _Atomic uint64_t word;

struct entry {
    word head; /* 0: free */
    word seen;
};

struct multiparts {
    uint64_t secret[2];
    size_t sets; /* a power of two */
    size_t next; /* set to be swept next */
    struct entry entry[];
};

struct multiparts *multiparts_new(size_t entries)
{
    size_t sets = 1;
    while (sets * WAYS < entries && sets * WAYS < 1U << PLACE_BITS) {
        sets *= 2;
    }
    struct multiparts *parts = calloc(1, sizeof *parts + sets * WAYS * sizeof(struct entry));
    if (parts != NULL) {
        parts->sets = sets;
        /* without randomness a key of zeros still spreads; only a peer's choice is not guarded against */
        (void)RAND_bytes((unsigned char *)parts->secret, sizeof parts->secret);
    }
    return parts;
}

void multiparts_free(struct multiparts *parts)
{
    free(parts);
}

struct multipart multipart_of(const struct multiparts *parts, unsigned account, struct smpp_span source,
                              struct smpp_span dest, const struct smpp_part *part)
{
    uint64_t words[] = {
        siphash(parts->secret, source.p, source.len), siphash(parts->secret, dest.p, dest.len),
        (uint64_t)account << 32 | (uint64_t)part->reference << 16 | (uint64_t)part->kind << 8 | part->total};
    uint64_t key = siphash(parts->secret, (const uint8_t *)words, sizeof words);
    return (struct multipart){.key = key == 0 ? 1 : key, .total = part->total, .number = part->number};
}

/* --- words ---------------------------------------------------------------------------------------------- */

static uint64_t load(const word *w)
{
    return atomic_load_explicit(w, memory_order_relaxed);
}

static bool swap(word *w, uint64_t was, uint64_t is)
{
    return atomic_compare_exchange_strong_explicit(w, &was, is, memory_order_relaxed, memory_order_relaxed);
}

/* Of the key's upper half, never 0, so that no head is. */
static uint64_t fingerprint_of(uint64_t key)
{
    return key >> 32 == 0 ? 1 : key >> 32;
}

static uint64_t head_of(uint64_t key, uint8_t platform, uint64_t until_s)
{
    return fingerprint_of(key) << 32 | (uint64_t)platform << TIME_BITS | (until_s & TIME_MASK);
}

static uint8_t head_platform(uint64_t head)
{
    return (uint8_t)(head >> TIME_BITS);
}

static bool head_is(uint64_t head, uint64_t key)
{
    return head >> 32 == fingerprint_of(key);
}

/* What is left of its time in seconds; 0: it is over. */
static uint64_t head_left(uint64_t head, uint64_t now_s)
{
    uint64_t left = (head - now_s) & TIME_MASK;
    return left > TIME_MASK / 2 ? 0 : left;
}

static bool is_over(uint64_t head, uint64_t now_s)
{
    return head == 0 || head_left(head, now_s) == 0;
}

/* Of the message and its time, whichever platform: parts of which an earlier holder of the place is told, or an
 * earlier message with the same key, do not count, and nobody has to clear them. */
static uint64_t tag_of(uint64_t head)
{
    return (head & ~PLATFORM_MASK) * 0x9E3779B97F4A7C15 & ~SEEN_MASK;
}

static unsigned bit_number(const struct multipart *part)
{
    return (part->number - 1U) % SEEN_BITS;
}

/* What an answer knows its message by. */
static uint32_t mark_of(uint64_t head)
{
    return 1 + (uint32_t)(tag_of(head) >> SEEN_BITS) % MARKS;
}

/* --- entries -------------------------------------------------------------------------------------------- */

static struct entry *set_of(struct multiparts *parts, uint64_t key)
{
    return &parts->entry[(key & (parts->sets - 1)) * WAYS];
}

/* The parts accepted of the message of this head, by that word. */
static uint64_t seen_of(uint64_t seen, uint64_t head)
{
    return (seen & ~SEEN_MASK) == tag_of(head) ? seen & SEEN_MASK : 0;
}

/* Have all of its parts been accepted, this one too? Never so of one with more parts than bits. */
static bool comes_again(const struct entry *entry, uint64_t head, const struct multipart *part)
{
    uint64_t seen = seen_of(load(&entry->seen), head);
    return __builtin_popcountll(seen) >= part->total && (seen >> bit_number(part) & 1) != 0;
}

/* The entry of the part's message, whether it is over or not; NULL for none. */
static struct entry *find(struct multiparts *parts, const struct multipart *part, uint64_t *head)
{
    struct entry *set = set_of(parts, part->key);
    for (unsigned i = 0; i < WAYS; i++) {
        *head = load(&set[i].head);
        if (head_is(*head, part->key)) {
            return &set[i];
        }
    }
    return NULL;
}

/* The platform of the part's message, of which *entry was found with this head; NAME_NONE where it is over. */
static uint8_t platform_of(const struct entry *entry, uint64_t head, const struct multipart *part,
                           uint64_t now_s)
{
    bool known = entry != NULL && !is_over(head, now_s) && !comes_again(entry, head, part);
    return known ? head_platform(head) : NAME_NONE;
}

uint8_t multiparts_platform(const struct multiparts *parts, const struct multipart *part, uint64_t now_s)
{
    uint64_t head = 0;
    const struct entry *entry = find((struct multiparts *)(uintptr_t)parts, part, &head);
    return platform_of(entry, head, part, now_s);
}

/* Where a new message goes that has no entry: to the first free place, else in place of the one that would be over
 * first. NULL where another worker has begun it meanwhile: before a place that is free now. */
static struct entry *place_for(struct multiparts *parts, uint64_t key, uint64_t now_s, uint64_t *head)
{
    struct entry *set = set_of(parts, key);
    struct entry *best = NULL;
    for (unsigned i = 0; i < WAYS && *head != 0; i++) {
        uint64_t its = load(&set[i].head);
        if (head_is(its, key)) {
            return NULL;
        }
        if (best == NULL || its == 0 || head_left(its, now_s) < head_left(*head, now_s)) {
            best = &set[i];
            *head = its;
        }
    }
    return best;
}

/* A head under which no part has been accepted yet: the same reference begun again within a second ends one
 * later. */
static uint64_t fresh_head(const struct entry *entry, uint64_t key, uint8_t platform, uint64_t until_s)
{
    uint64_t head = head_of(key, platform, until_s);
    while (seen_of(load(&entry->seen), head) != 0) {
        head = head_of(key, platform, ++until_s);
    }
    return head;
}

struct multiparts_begun multiparts_begin(struct multiparts *parts, const struct multipart *part,
                                         uint8_t platform, uint64_t now_s, uint64_t ttl_s)
{
    struct multiparts_begun begun = {.platform = NAME_NONE};
    while (begun.platform == NAME_NONE) {
        uint64_t head = 0;
        struct entry *entry = find(parts, part, &head);
        begun.platform = platform_of(entry, head, part, now_s);
        if (begun.platform == NAME_NONE) {
            bool own = entry != NULL;
            head = own ? head : 1;
            entry = own ? entry : place_for(parts, part->key, now_s, &head);
            if (entry != NULL &&
                swap(&entry->head, head, fresh_head(entry, part->key, platform, now_s + ttl_s))) {
                begun.platform = platform;
                begun.added = head == 0;
                begun.evicted = !own && !is_over(head, now_s);
            }
        }
    }
    return begun;
}

uint32_t multiparts_sent(struct multiparts *parts, const struct multipart *part, uint8_t platform)
{
    uint64_t head = 0;
    struct entry *entry = find(parts, part, &head);
    if (entry == NULL) {
        return 0;
    }
    if (head_platform(head) != platform) { /* where another worker is quicker, its word counts */
        (void)swap(&entry->head, head, head_of(part->key, platform, head));
    }
    return mark_of(head) << (PLACE_BITS + BIT_BITS) | bit_number(part) << PLACE_BITS |
           (uint32_t)(entry - parts->entry);
}

void multiparts_accepted(struct multiparts *parts, uint32_t handle)
{
    struct entry *entry = &parts->entry[handle & ((1U << PLACE_BITS) - 1)];
    uint64_t bit = 1ULL << (handle >> PLACE_BITS & ((1U << BIT_BITS) - 1));
    uint64_t head = load(&entry->head);
    bool noted = head == 0 || mark_of(head) != handle >> (PLACE_BITS + BIT_BITS);
    while (!noted) {
        uint64_t seen = load(&entry->seen);
        noted = swap(&entry->seen, seen, tag_of(head) | seen_of(seen, head) | bit);
    }
}

size_t multiparts_sweep(struct multiparts *parts, uint64_t now_s)
{
    size_t count = parts->sets / SWEEPS + 1;
    size_t freed = 0;
    for (; count > 0; count--) {
        struct entry *set = &parts->entry[parts->next * WAYS];
        for (unsigned i = 0; i < WAYS; i++) {
            uint64_t head = load(&set[i].head);
            freed += head != 0 && is_over(head, now_s) && swap(&set[i].head, head, 0);
        }
        parts->next = (parts->next + 1) & (parts->sets - 1);
    }
    return freed;
}
