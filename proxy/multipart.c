#include "proxy/multipart.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/message_index.h"
#include "routing/names.h"

enum { WAYS = 8, SWEEPS = 16, SEEN_BITS = 64 };

struct entry {
    uint64_t key;   /* 0: free */
    uint64_t seen;  /* the parts sent, as bits; of more than 64, several share one */
    uint64_t until; /* seconds */
    uint8_t platform;
    uint8_t total;
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
    while (sets * WAYS < entries) {
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
    uint64_t words[] = {message_index_siphash(parts->secret, source.p, source.len),
                        message_index_siphash(parts->secret, dest.p, dest.len),
                        (uint64_t)account << 32 | (uint64_t)part->reference << 16 |
                            (uint64_t)part->kind << 8 | part->total};
    uint64_t key = message_index_siphash(parts->secret, (const uint8_t *)words, sizeof words);
    return (struct multipart){.key = key == 0 ? 1 : key, .total = part->total, .number = part->number};
}

static struct entry *set_of(struct multiparts *parts, uint64_t key)
{
    return &parts->entry[(key & (parts->sets - 1)) * WAYS];
}

static uint64_t bit_of(const struct multipart *part)
{
    return 1ULL << ((part->number - 1U) % SEEN_BITS);
}

static bool is_complete(const struct entry *entry)
{
    return __builtin_popcountll(entry->seen) >= entry->total; /* never so with more parts than bits */
}

/* The entry of the part's message, NULL for none: what is over is none. */
static struct entry *find(const struct multiparts *parts, const struct multipart *part, uint64_t now_s)
{
    struct entry *set = set_of((struct multiparts *)(uintptr_t)parts, part->key);
    for (unsigned i = 0; i < WAYS; i++) {
        struct entry *entry = &set[i];
        if (entry->key == part->key) {
            bool again = is_complete(entry) && (entry->seen & bit_of(part)) != 0;
            return now_s < entry->until && !again ? entry : NULL;
        }
    }
    return NULL;
}

uint8_t multiparts_platform(const struct multiparts *parts, const struct multipart *part, uint64_t now_s)
{
    const struct entry *entry = find(parts, part, now_s);
    return entry == NULL ? NAME_NONE : entry->platform;
}

/* Where a new message goes: over what was left of the same one, else to a free place, else in place of the one
 * that would be over first. */
static struct entry *place_for(struct multiparts *parts, uint64_t key)
{
    struct entry *set = set_of(parts, key);
    struct entry *best = &set[0];
    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].key == key) {
            return &set[i];
        }
        if (best->key != 0 && (set[i].key == 0 || set[i].until < best->until)) {
            best = &set[i];
        }
    }
    return best;
}

struct multiparts_change multiparts_sent(struct multiparts *parts, const struct multipart *part,
                                         uint8_t platform, uint64_t now_s, uint64_t ttl_s)
{
    struct multiparts_change change = {false, false};
    struct entry *entry = find(parts, part, now_s);
    if (entry == NULL) {
        entry = place_for(parts, part->key);
        change.added = entry->key == 0;
        change.evicted = !change.added && entry->key != part->key && now_s < entry->until;
        *entry = (struct entry){.key = part->key, .total = part->total, .until = now_s + ttl_s};
    }
    entry->platform = platform;
    entry->seen |= bit_of(part);
    return change;
}

size_t multiparts_sweep(struct multiparts *parts, uint64_t now_s)
{
    size_t count = parts->sets / SWEEPS + 1;
    size_t freed = 0;
    for (; count > 0; count--) {
        struct entry *set = &parts->entry[parts->next * WAYS];
        for (unsigned i = 0; i < WAYS; i++) {
            if (set[i].key != 0 && now_s >= set[i].until) {
                set[i] = (struct entry){.key = 0};
                freed++;
            }
        }
        parts->next = (parts->next + 1) & (parts->sets - 1);
    }
    return freed;
}
