/* Which link accepted a message: a file of 64-bit words, mapped by every worker.
 *
 *   client ──SipHash-2-4 under the file's key──▶ its key
 *   id ──folded products under both keys───▶ low bits: one set of 8 words, a cache line
 *                                          └─▶ high 24 bits: fingerprint, compared within the set
 *   word: time │ fingerprint │ link, so that the oldest of a set is its least number, and an empty word is older
 *   file: fixed part (magic, layout, key, its checksum) │ names of links, each with its checksum │ words
 *
 * Message ids are chosen by peers, so the hash is keyed: nobody outside can aim at one set. Each part of the
 * file is whole by itself whenever the process is killed: the file appears under its name only when it is
 * complete, a link's name counts only together with its checksum, and a word is stored whole. */
#include "proxy/message_index.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "smpp/frame.h"

enum {
    WAYS = 8, /* words in a set: 64 octets */
    FINGERPRINT_BITS = 24,
    LINK_BITS = 10,
    TIME_BITS = 30, /* of 4 seconds since 1970: until the year 2106 */
    TIME_SHIFT = FINGERPRINT_BITS + LINK_BITS,
    UNIT_S = 4,
    LINKS_MAX = 1 << LINK_BITS,
    LINK_NAME_MAX = 55,
    ALIGN = 4096,
    PUT_TRIES = 8,
};
#define ENTRIES_MAX ((size_t)1 << 32)
#define MAGIC       0x58444954554e5254ULL /* "TRNUTIDX" in a file of this machine's byte order */

struct fixed {
    uint64_t magic;
    uint64_t layout; /* of words and header; another one is another number */
    uint64_t entries;
    uint64_t key[2];
    uint64_t checksum; /* SipHash of what stands before it */
};

struct link_name {
    uint64_t checksum; /* SipHash of number and name; 0 where no name stands */
    char name[LINK_NAME_MAX + 1];
};

struct file {
    struct fixed fixed;
    struct link_name links[LINKS_MAX];
};

enum { HEADER_SIZE = ((int)sizeof(struct file) + ALIGN - 1) / ALIGN * ALIGN };
/* HASHING: how client and id make a hash; another way is another number. */
enum { HASHING = 2 };
#define LAYOUT \
    ((uint64_t)HASHING << 56 | (uint64_t)HEADER_SIZE << 32 | WAYS << 16 | LINK_BITS << 8 | TIME_BITS)

typedef _Atomic uint64_t word;

struct message_index {
    int fd; /* -1: in memory only */
    struct file *file;
    size_t size; /* of the mapping */
    word *words;
    uint64_t sets_mask;
    uint64_t ttl; /* in units */
};

/* --- SipHash (Aumasson, Bernstein, 2012), 2 rounds a block, 4 at the end ---------------------- */

struct sip {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotl(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotl(s->v1, 13) ^ s->v0;
    s->v3 = rotl(s->v3, 16) ^ s->v2;
    s->v0 = rotl(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotl(s->v1, 17) ^ s->v2;
    s->v3 = rotl(s->v3, 21) ^ s->v0;
    s->v2 = rotl(s->v2, 32);
}

static inline void sip_block(struct sip *s, uint64_t m)
{
    s->v3 ^= m;
    sip_round(s);
    sip_round(s);
    s->v0 ^= m;
}

static inline uint64_t little_endian_block(const uint8_t *p)
{
    uint64_t m;
    memcpy(&m, p, sizeof m);
    return le64toh(m);
}

static struct sip sip_begin(const uint64_t key[2])
{
    return (struct sip){key[0] ^ 0x736f6d6570736575ULL, key[1] ^ 0x646f72616e646f6dULL,
                        key[0] ^ 0x6c7967656e657261ULL, key[1] ^ 0x7465646279746573ULL};
}

/* The rest of the input; total is its length from the very first octet. */
static uint64_t sip_end(struct sip *s, const uint8_t *data, size_t len, size_t total)
{
    for (; len >= 8; data += 8, len -= 8)
        sip_block(s, little_endian_block(data));
    sip_block(s, (uint64_t)total << 56 | smpp_pack(data, len));
    s->v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

uint64_t message_index_siphash(const uint64_t key[2], const uint8_t *data, size_t len)
{
    struct sip s = sip_begin(key);
    return sip_end(&s, data, len, len);
}

/* Of a 64-bit number followed by octets. */
static uint64_t hash_pair(const uint64_t key[2], uint64_t first, const uint8_t *data, size_t len)
{
    struct sip s = sip_begin(key);
    sip_block(&s, first);
    return sip_end(&s, data, len, len + sizeof first);
}

/* --- the hash of a message id --------------------------------------------------------------------- */

__extension__ typedef unsigned __int128 product;

/* Both halves of a product, each bit of which depends on many of both factors: what SipHash does in some 200
 * instructions this does in 3, which counts here and nowhere else. It is no match for somebody who sees the hashes,
 * and nobody does. */
static inline uint64_t fold(uint64_t a, uint64_t b)
{
    product p = (product)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* Of a client's message id. Octets and client come in by different doors, so that none can undo the other. */
static uint64_t hash_id(const struct message_index *index, uint64_t client, const uint8_t *id, size_t len)
{
    const uint64_t *key = index->file->fixed.key;
    uint64_t hash = key[1] ^ len;
    for (; len > 16; id += 16, len -= 16)
        hash = fold(little_endian_block(id) ^ key[0], little_endian_block(id + 8) ^ hash);
    uint64_t first = len >= sizeof first ? little_endian_block(id) : smpp_pack(id, len);
    uint64_t last = len > sizeof last ? little_endian_block(id + len - sizeof last) : 0;
    hash = fold(first ^ key[0], last ^ hash);
    return fold(hash ^ client, key[1] | 1);
}

/* --- words ------------------------------------------------------------------------------------ */

/* A time that is not 0, so that no word is. */
static uint64_t unit_of(uint64_t now_s)
{
    return now_s / UNIT_S + 1;
}

static uint64_t word_make(uint64_t hash, int link, uint64_t now_s)
{
    uint64_t fingerprint = hash >> (64 - FINGERPRINT_BITS);
    return unit_of(now_s) << TIME_SHIFT | fingerprint << LINK_BITS | (uint64_t)link;
}

static bool word_matches(uint64_t w, uint64_t own)
{
    return (w ^ own) << TIME_BITS >> (TIME_BITS + LINK_BITS) == 0;
}

static int word_link(uint64_t w)
{
    return (int)(w & (LINKS_MAX - 1));
}

static word *set_of(const struct message_index *index, uint64_t hash)
{
    return index->words + (hash & index->sets_mask) * WAYS;
}

/* A word of the future (a clock that was set back) has not expired. */
static bool word_expired(const struct message_index *index, uint64_t w, uint64_t now_s)
{
    return w == 0 || (w >> TIME_SHIFT) + index->ttl < unit_of(now_s);
}

/* The way to write, and what stands there now: the key's own, else an empty one, else the oldest (which is one that
 * has expired, where there is any). */
static inline unsigned choose_way(word *set, uint64_t own, uint64_t *there)
{
    unsigned way = 0;
    *there = atomic_load_explicit(&set[0], memory_order_relaxed);
    uint64_t least = word_matches(*there, own) ? 0 : *there;
#pragma GCC unroll 8
    for (unsigned i = 1; i < WAYS; i++) {
        uint64_t w = atomic_load_explicit(&set[i], memory_order_relaxed);
        uint64_t rank = word_matches(w, own) ? 0 : w;
        bool better = rank < least;
        least = better ? rank : least;
        way = better ? i : way;
        *there = better ? w : *there;
    }
    return way;
}

/* Compare and exchange, so that two workers that choose one free way at once do not lose one of two messages.
 * After a few defeats (which takes as many workers in one set at one instant) it gives up: an entry may be
 * lost, a worker must not spin. */
static void write_word(struct message_index *index, uint64_t hash, uint64_t new_word)
{
    word *set = set_of(index, hash);
    for (int i = 0; i < PUT_TRIES; i++) {
        uint64_t there;
        unsigned way = choose_way(set, new_word, &there);
        if (atomic_compare_exchange_strong_explicit(&set[way], &there, new_word, memory_order_relaxed,
                                                    memory_order_relaxed))
            return;
    }
}

void message_index_put(struct message_index *index, uint64_t client, const uint8_t *id, size_t len, int link,
                       uint64_t now_s)
{
    if (link < 0 || link >= LINKS_MAX)
        return;
    uint64_t hash = hash_id(index, client, id, len);
    write_word(index, hash, word_make(hash, link, now_s));
}

static void write_first(struct message_index_batch *batch)
{
    unsigned at = batch->first;
    batch->first = (at + 1) % MESSAGE_INDEX_BATCH;
    batch->count--;
    write_word(batch->index, batch->pending[at].hash, batch->pending[at].word);
}

void message_index_put_soon(struct message_index_batch *batch, uint64_t client, const uint8_t *id, size_t len,
                            int link, uint64_t now_s)
{
    if (link < 0 || link >= LINKS_MAX)
        return;
    uint64_t hash = hash_id(batch->index, client, id, len);
    __builtin_prefetch(set_of(batch->index, hash), 1);
    if (batch->count == MESSAGE_INDEX_BATCH)
        write_first(batch);
    unsigned at = (batch->first + batch->count) % MESSAGE_INDEX_BATCH;
    batch->pending[at].hash = hash;
    batch->pending[at].word = word_make(hash, link, now_s);
    batch->count++;
}

void message_index_settle(struct message_index_batch *batch)
{
    while (batch->count > 0)
        write_first(batch);
}

int message_index_find(const struct message_index *index, uint64_t client, const uint8_t *id, size_t len,
                       uint64_t now_s)
{
    uint64_t hash = hash_id(index, client, id, len);
    uint64_t own = word_make(hash, 0, now_s);
    word *set = set_of(index, hash);
    uint64_t youngest = 0;
    for (unsigned i = 0; i < WAYS; i++) {
        uint64_t w = atomic_load_explicit(&set[i], memory_order_relaxed);
        if (word_matches(w, own) && !word_expired(index, w, now_s) && w > youngest)
            youngest = w;
    }
    return youngest == 0 ? -1 : word_link(youngest);
}

/* --- names ------------------------------------------------------------------------------------ */

uint64_t message_index_client(const struct message_index *index, const char *system_id)
{
    return message_index_siphash(index->file->fixed.key, (const uint8_t *)system_id, strlen(system_id));
}

static uint64_t link_checksum(const struct file *file, int link, const char *name)
{
    uint64_t sum = hash_pair(file->fixed.key, (uint64_t)link, (const uint8_t *)name, strlen(name));
    return sum != 0 ? sum : 1;
}

static bool link_valid(const struct file *file, int link)
{
    const struct link_name *l = &file->links[link];
    return l->checksum != 0 && memchr(l->name, '\0', sizeof l->name) != NULL &&
           l->checksum == link_checksum(file, link, l->name);
}

/* The number of the name, or of the first free place, or -1. */
static int link_place(const struct file *file, const char *name)
{
    for (int i = 0; i < LINKS_MAX; i++) {
        if (file->links[i].checksum == 0 || strcmp(file->links[i].name, name) == 0)
            return i;
    }
    return -1;
}

/* The checksum comes last: a name that was cut off by the end of the process does not count. */
static void link_write(struct message_index *index, int link, const char *name)
{
    struct link_name *l = &index->file->links[link];
    memset(l->name, 0, sizeof l->name);
    memcpy(l->name, name, strlen(name));
    atomic_signal_fence(memory_order_seq_cst);
    l->checksum = link_checksum(index->file, link, name);
    if (index->fd >= 0)
        msync(index->file, HEADER_SIZE, MS_SYNC);
}

/* Under a lock of the file, since the next process may start while the last one still drains. */
int message_index_link(struct message_index *index, const char *link_name)
{
    if (link_name[0] == '\0' || strlen(link_name) > LINK_NAME_MAX)
        return -1;
    if (index->fd >= 0)
        flock(index->fd, LOCK_EX);
    int link = link_place(index->file, link_name);
    if (link >= 0 && index->file->links[link].checksum == 0)
        link_write(index, link, link_name);
    if (index->fd >= 0)
        flock(index->fd, LOCK_UN);
    return link;
}

/* --- the file --------------------------------------------------------------------------------- */

static uint64_t fixed_checksum(const struct fixed *f)
{
    return message_index_siphash(f->key, (const uint8_t *)f, offsetof(struct fixed, checksum));
}

static bool fixed_make(struct fixed *f, size_t entries)
{
    *f = (struct fixed){.magic = MAGIC, .layout = LAYOUT, .entries = entries};
    if (getrandom(f->key, sizeof f->key, 0) != (ssize_t)sizeof f->key)
        return false;
    f->checksum = fixed_checksum(f);
    return true;
}

/* NULL where the mapped file is whole, else what is wrong with it. */
static const char *file_fault(const struct file *file, size_t entries)
{
    const struct fixed *f = &file->fixed;
    if (f->magic != MAGIC)
        return "it is not a message id index; begun anew";
    if (f->layout != LAYOUT)
        return "the file has the layout of another release; begun anew";
    if (f->checksum != fixed_checksum(f) || f->entries != entries)
        return "the file's header is damaged; begun anew";
    for (int i = 0; i < LINKS_MAX; i++) {
        if (file->links[i].checksum != 0 && !link_valid(file, i))
            return "the file's link names are damaged; begun anew";
    }
    return NULL;
}

static bool map_file(struct message_index *index)
{
    int flags = index->fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
    void *at = mmap(NULL, index->size, PROT_READ | PROT_WRITE, flags, index->fd, 0);
    if (at == MAP_FAILED)
        return false;
    index->file = at;
    index->words = (word *)(void *)((char *)at + HEADER_SIZE);
    return true;
}

static void unmap_file(struct message_index *index)
{
    if (index->file != NULL)
        munmap(index->file, index->size);
    if (index->fd >= 0)
        close(index->fd);
    index->file = NULL;
    index->fd = -1;
}

/* Space is reserved first: a store into a mapped hole of a full disk would kill the process. */
static const char *open_existing(struct message_index *index, const char *path, size_t entries)
{
    struct stat st;
    index->fd = open(path, O_RDWR | O_CLOEXEC);
    if (index->fd < 0)
        return errno == ENOENT ? NULL : "the file cannot be opened; begun anew";
    if (fstat(index->fd, &st) != 0 || !S_ISREG(st.st_mode))
        return "it is not a regular file; begun anew";
    if ((size_t)st.st_size != index->size)
        return "the file has another size; begun anew";
    if (posix_fallocate(index->fd, 0, (off_t)index->size) != 0 || !map_file(index))
        return "the file cannot be mapped; begun anew";
    return file_fault(index->file, entries);
}

/* Fills the file of a temporary name, and gives it its name when it is complete. */
static const char *fill_new(struct message_index *index, const char *temporary, const char *path,
                            const struct fixed *fixed)
{
    index->fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (index->fd < 0)
        return "the file cannot be made: no such directory, or no permission";
    if (posix_fallocate(index->fd, 0, (off_t)index->size) != 0)
        return "the file cannot be made: no space on the disk";
    if (!map_file(index))
        return "the file cannot be mapped: no memory";
    index->file->fixed = *fixed;
    if (fsync(index->fd) != 0 || rename(temporary, path) != 0)
        return "the file cannot be written";
    return NULL;
}

static const char *open_new(struct message_index *index, const char *path, const struct fixed *fixed)
{
    char *temporary;
    if (asprintf(&temporary, "%s.new", path) < 0)
        return "no memory";
    const char *fault = fill_new(index, temporary, path, fixed);
    if (fault != NULL) {
        unlink(temporary);
        unmap_file(index);
    }
    free(temporary);
    return fault;
}

static const char *open_memory(struct message_index *index, const struct fixed *fixed)
{
    if (!map_file(index))
        return "no memory";
    index->file->fixed = *fixed;
    return NULL;
}

/* The kept file where there is one and it is whole, else a new one. False with *reason where neither can be
 * had. */
static bool index_open(struct message_index *index, const char *path, size_t entries, const char **reason)
{
    struct fixed fixed;
    const char *fault = NULL;
    if (path != NULL) {
        *reason = open_existing(index, path, entries);
        if (index->file != NULL && *reason == NULL)
            return true;
        unmap_file(index);
    }
    if (!fixed_make(&fixed, entries))
        fault = "no random numbers for the key";
    else
        fault = path != NULL ? open_new(index, path, &fixed) : open_memory(index, &fixed);
    if (fault != NULL)
        *reason = fault;
    return fault == NULL;
}

static size_t round_entries(size_t entries)
{
    size_t rounded = WAYS;
    while (rounded < entries && rounded < ENTRIES_MAX)
        rounded *= 2;
    return rounded;
}

struct message_index *message_index_open(const char *path, size_t entries, uint64_t ttl_s,
                                         const char **reason)
{
    struct message_index *index = calloc(1, sizeof *index);
    *reason = index == NULL ? "no memory" : NULL;
    if (index == NULL)
        return NULL;
    entries = round_entries(entries);
    index->fd = -1;
    index->size = HEADER_SIZE + entries * sizeof(word);
    index->sets_mask = entries / WAYS - 1;
    index->ttl = (ttl_s + UNIT_S - 1) / UNIT_S;
    if (!index_open(index, path, entries, reason)) {
        free(index);
        return NULL;
    }
    return index;
}

void message_index_close(struct message_index *index)
{
    if (index == NULL)
        return;
    unmap_file(index);
    free(index);
}
