/* Which link accepted a message: a file of 64-bit words in segments, mapped by every worker.
 *
 *   client ──SipHash-2-4 under the file's key──▶ its key
 *   id ──folded products under both keys──▶ hash
 *   put:  hash ──low bits──▶ a bucket of eight words, of the segment that the worker writes to ──settle──▶ into its
 *         next free one
 *         segment three quarters full ──▶ the oldest of all is cleared, and is this worker's next
 *   find: hash ──▶ that bucket in every segment, from the youngest on; the youngest word with its fingerprint (the high
 *         36 bits)
 *   word: fingerprint │ link + 1 │ time since its segment was begun
 *   file: fixed part (magic, layout, key, its checksum) │ names of links, each with its checksum │ heads │ segments
 *
 * Every message puts, few are asked about. So a put goes to a part of the table that is small enough to stay in the
 * cache, and to one that no other worker writes to; how many words of a bucket are taken stands beside them, so that a
 * put looks at none of them: it stores, and waits for nothing. A find looks into each segment, which takes some ten
 * microseconds in a table of a million.
 *
 * Message ids are chosen by peers, so the hash is keyed: nobody outside can aim at one place. Each part of the
 * file is whole by itself whenever the process is killed: the file appears under its name only when it is
 * complete, a link's name counts only together with its checksum, a segment only with the number that is written last,
 * and a word is stored whole. */
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

#include "proxy/path.h"
#include "proxy/siphash.h"
#include "smpp/frame.h"

enum {
    LINK_BITS = 11,
    TIME_BITS = 17, /* of units since the segment was begun: 48 days */
    FINGERPRINT_SHIFT = LINK_BITS + TIME_BITS,
    UNIT_S = 32,
    LINKS_MAX = 1 << 10,
    LINK_NAME_MAX = 55,
    ALIGN = 4096,
    BUCKET = 8, /* words: a line of the cache */
    SLOTS_LEAST = 64,
    SLOTS_USUAL = 1 << 13, /* of a segment: 64 KB, which stay in the cache of a core */
    SEGMENTS_LEAST = 16,
    SEGMENTS_USUAL = 192, /* a find looks into all of them; where they are too few, they get larger */
    SEGMENTS_SPARE = 8,   /* not full: those that workers write to */
    SEGMENTS_MAX = SEGMENTS_USUAL + SEGMENTS_SPARE,
};
#define ENTRIES_MAX ((size_t)1 << 28)
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

/* Of a segment. What is read between two looks at one number is of that number's time. */
struct head {
    _Atomic uint64_t number;  /* in order of their beginnings; 0: it is being cleared, or was never used */
    _Atomic uint64_t began;   /* seconds since 1970 */
    _Atomic uint64_t touched; /* the same: when it was last written to */
};

struct file {
    struct fixed fixed;
    struct link_name links[LINKS_MAX];
    _Atomic uint64_t last; /* the highest number given to a segment */
    struct head heads[SEGMENTS_MAX];
};

enum { HEADER_SIZE = ((int)sizeof(struct file) + ALIGN - 1) / ALIGN * ALIGN };
/* HASHING: how client and id make a hash and where that leads; another way is another number. */
enum { HASHING = 3 };
#define LAYOUT                                                                                       \
    ((uint64_t)HASHING << 56 | (uint64_t)HEADER_SIZE << 32 | SEGMENTS_USUAL << 16 | LINK_BITS << 8 | \
     TIME_BITS)

typedef _Atomic uint64_t word;

struct message_index {
    int fd; /* -1: in memory only */
    struct file *file;
    size_t size; /* of the mapping */
    word *words;
    uint32_t slots, segments; /* words of a segment, and how many there are */
    uint64_t ttl;             /* seconds */
};

/* --- the hash of a message id --------------------------------------------------------------------- */

__extension__ typedef unsigned __int128 product;

static inline uint64_t little_endian_block(const uint8_t *p)
{
    uint64_t m;
    memcpy(&m, p, sizeof m);
    return le64toh(m);
}

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

/* --- words and segments ------------------------------------------------------------------------- */

static uint64_t word_make(uint64_t hash, int link, uint64_t units)
{
    return hash >> FINGERPRINT_SHIFT << FINGERPRINT_SHIFT | (uint64_t)(link + 1) << TIME_BITS | units;
}

static bool word_matches(uint64_t w, uint64_t hash)
{
    return (w ^ hash) >> FINGERPRINT_SHIFT == 0;
}

static int word_link(uint64_t w)
{
    return (int)(w >> TIME_BITS & ((1 << LINK_BITS) - 1)) - 1;
}

static uint64_t word_time(uint64_t w, uint64_t began)
{
    return began + (w & ((1 << TIME_BITS) - 1)) * UNIT_S;
}

/* A word of the future (a clock that was set back) has not expired. */
static bool has_expired(const struct message_index *index, uint64_t time_s, uint64_t now_s)
{
    return now_s > time_s && now_s - time_s >= index->ttl + UNIT_S;
}

/* Its words, and behind them an octet for each bucket: how many of its words are taken. */
static word *segment_at(const struct message_index *index, uint64_t place)
{
    return index->words + place * (index->slots + index->slots / BUCKET / sizeof(word));
}

/* The oldest segment becomes the writer's. A reader that meets it meanwhile sees that its number has changed: whatever
 * is stored after the number, is stored so that it is not seen before. */
SELDOM static void take_segment(struct message_index_writer *writer, uint64_t now_s)
{
    const struct message_index *index = writer->index;
    uint64_t number;
    do { /* 0 is none: only a damaged file comes to it */
        number = atomic_fetch_add_explicit(&index->file->last, 1, memory_order_relaxed) + 1;
    } while (number == 0);
    struct head *head = &index->file->heads[number % index->segments];
    word *words = segment_at(index, number % index->segments);
    word *end = segment_at(index, number % index->segments + 1);
    atomic_store_explicit(&head->number, 0, memory_order_relaxed);
    for (word *w = words; w < end; w++)
        atomic_store_explicit(w, 0, memory_order_release);
    atomic_store_explicit(&head->began, now_s, memory_order_release);
    atomic_store_explicit(&head->touched, now_s, memory_order_release);
    atomic_store_explicit(&head->number, number, memory_order_release);
    writer->words = words;
    writer->taken = (_Atomic uint8_t *)(void *)(words + index->slots);
    writer->mask = index->slots / BUCKET - 1;
    writer->number = number;
    writer->began = writer->touched = now_s;
    writer->room = index->slots / 4 * 3;
}

/* May it write on? Long before its turn to be cleared comes, a segment is left alone: the writers go round. */
static inline bool has_segment(const struct message_index_writer *writer, uint64_t units)
{
    const struct message_index *index = writer->index;
    uint64_t since = atomic_load_explicit(&index->file->last, memory_order_relaxed) - writer->number;
    return writer->room >= writer->pending_count && since < index->segments / 2 && units >> TIME_BITS == 0;
}

static inline uint64_t units_since(uint64_t began, uint64_t now_s)
{
    return now_s > began ? (now_s - began) / UNIT_S : 0;
}

SELDOM static void touch(struct message_index_writer *writer, uint64_t now_s)
{
    const struct message_index *index = writer->index;
    writer->touched = now_s;
    atomic_store_explicit(&index->file->heads[writer->number % index->segments].touched, now_s,
                          memory_order_release);
}

/* Into the next free word of its bucket, or of the next one that has any. */
static inline void store(struct message_index_writer *writer, const struct message_index_pending *put,
                         uint64_t units)
{
    uint64_t at = put->hash & writer->mask;
    unsigned taken;
    while ((taken = atomic_load_explicit(&writer->taken[at], memory_order_relaxed)) >= BUCKET)
        at = (at + 1) & writer->mask;
    atomic_store_explicit(&writer->taken[at], (uint8_t)(taken + 1), memory_order_relaxed);
    atomic_store_explicit(&writer->words[at * BUCKET + taken], word_make(put->hash, put->link, units),
                          memory_order_release);
}

void message_index_settle(struct message_index_writer *writer)
{
    uint32_t count = writer->pending_count;
    if (count == 0)
        return;
    uint64_t units = units_since(writer->began, writer->pending_s);
    if (!has_segment(writer, units)) {
        take_segment(writer, writer->pending_s);
        units = 0;
    }
    if (writer->pending_s > writer->touched)
        touch(writer, writer->pending_s);
    for (uint32_t i = 0; i < count; i++)
        store(writer, &writer->pending[i], units);
    writer->room -= count;
    writer->pending_count = 0;
}

/* The core fetches the two lines that will be written to while it goes on with other messages: waiting for them was
 * a seventh of all that a message cost. */
static inline void fetch(const struct message_index_writer *writer, uint64_t hash)
{
    enum { TO_WRITE = 1 };
    if (writer->words != NULL) {
        uint64_t at = hash & writer->mask;
        __builtin_prefetch((const void *)&writer->taken[at], TO_WRITE);
        __builtin_prefetch((const void *)&writer->words[at * BUCKET], TO_WRITE);
    }
}

void message_index_put(struct message_index_writer *writer, uint64_t client, const uint8_t *id, size_t len,
                       int link, uint64_t now_s)
{
    if (link < 0 || link >= LINKS_MAX)
        return;
    if (writer->pending_count == MESSAGE_INDEX_PENDING || writer->pending_s != now_s) {
        message_index_settle(writer);
        writer->pending_s = now_s;
    }
    uint64_t hash = hash_id(writer->index, client, id, len);
    fetch(writer, hash);
    writer->pending[writer->pending_count++] = (struct message_index_pending){hash, link};
}

static const word *bucket_of(const struct message_index *index, const word *words, uint64_t hash)
{
    return words + (hash & (index->slots / BUCKET - 1)) * BUCKET;
}

/* What is asked of a segment. */
struct wanted {
    uint64_t hash;
    int link;              /* -1: any, and of whatever age */
    uint64_t began, now_s; /* of the segment, and now: for the age of a link's */
};

static bool is_wanted(const struct message_index *index, const struct wanted *wanted, uint64_t w)
{
    return w != 0 && word_matches(w, wanted->hash) &&
           (wanted->link < 0 || (word_link(w) == wanted->link &&
                                 !has_expired(index, word_time(w, wanted->began), wanted->now_s)));
}

/* The last word of a segment that is wanted, 0 for none: what comes later stands behind. */
static uint64_t search(const struct message_index *index, const word *words, const struct wanted *wanted)
{
    uint64_t found = 0;
    bool is_full = true;
    for (uint64_t i = 0; is_full && i < index->slots / BUCKET; i++) {
        const word *bucket = bucket_of(index, words, wanted->hash + i);
        for (unsigned k = 0; k < BUCKET; k++) {
            uint64_t w = atomic_load_explicit(&bucket[k], memory_order_acquire);
            is_full = is_full && w != 0;
            found = is_wanted(index, wanted, w) ? w : found;
        }
    }
    return found;
}

struct found {
    uint64_t time_s, number;
    int link;
};

/* What a segment knows of it, if that is younger than what was found before. */
static void look_into(const struct message_index *index, uint64_t place, uint64_t hash, struct found *found)
{
    const struct head *head = &index->file->heads[place];
    uint64_t number = atomic_load_explicit(&head->number, memory_order_acquire);
    uint64_t began = atomic_load_explicit(&head->began, memory_order_acquire);
    uint64_t touched = atomic_load_explicit(&head->touched, memory_order_acquire);
    if (number == 0 || (found->number != 0 && touched < found->time_s))
        return;
    const struct wanted any = {.hash = hash, .link = -1};
    uint64_t w = search(index, segment_at(index, place), &any);
    if (w == 0 || atomic_load_explicit(&head->number, memory_order_relaxed) != number)
        return;
    uint64_t time_s = word_time(w, began);
    if (found->number == 0 || time_s > found->time_s || (time_s == found->time_s && number > found->number))
        *found = (struct found){time_s, number, word_link(w)};
}

enum { AHEAD = 16 /* buckets that are on their way into the cache */ };

int message_index_find(const struct message_index *index, uint64_t client, const uint8_t *id, size_t len,
                       uint64_t now_s)
{
    uint64_t hash = hash_id(index, client, id, len);
    uint64_t last = atomic_load_explicit(&index->file->last, memory_order_relaxed);
    struct found found = {.number = 0, .link = -1};
    for (uint64_t i = 0; i < index->segments; i++) {
        uint64_t soon = (last - i - AHEAD) % index->segments;
        if (found.number == 0)
            __builtin_prefetch((const void *)bucket_of(index, segment_at(index, soon), hash));
        look_into(index, (last - i) % index->segments, hash, &found);
    }
    return found.number == 0 || has_expired(index, found.time_s, now_s) ? -1 : found.link;
}

/* Has a segment a word of the link with the hash's fingerprint that lives? */
static bool search_link(const struct message_index *index, uint64_t place, uint64_t hash, int link,
                        uint64_t now_s)
{
    const struct head *head = &index->file->heads[place];
    uint64_t number = atomic_load_explicit(&head->number, memory_order_acquire);
    uint64_t began = atomic_load_explicit(&head->began, memory_order_acquire);
    const struct wanted its = {hash, link, began, now_s};
    return number != 0 && search(index, segment_at(index, place), &its) != 0 &&
           atomic_load_explicit(&head->number, memory_order_relaxed) == number;
}

bool message_index_has(const struct message_index *index, uint64_t client, const uint8_t *id, size_t len,
                       int link, uint64_t now_s)
{
    uint64_t hash = hash_id(index, client, id, len);
    bool has = false;
    for (uint64_t i = 0; !has && i < index->segments; i++) {
        has = search_link(index, i, hash, link, now_s);
    }
    return has;
}

/* --- names ------------------------------------------------------------------------------------ */

uint64_t message_index_client(const struct message_index *index, const char *system_id)
{
    return siphash(index->file->fixed.key, (const uint8_t *)system_id, strlen(system_id));
}

static uint64_t link_checksum(const struct file *file, int link, const char *name)
{
    uint64_t sum = siphash_after(file->fixed.key, (uint64_t)link, (const uint8_t *)name, strlen(name));
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
    return siphash(f->key, (const uint8_t *)f, offsetof(struct fixed, checksum));
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

/* So many segments of such a size that all but the spare ones, filled to three quarters, hold the entries. */
static void choose_segments(struct message_index *index, size_t entries)
{
    size_t slots = SLOTS_LEAST;
    while ((slots < SLOTS_USUAL && slots / 4 * 3 * SEGMENTS_LEAST < entries) ||
           slots / 4 * 3 * SEGMENTS_USUAL < entries)
        slots *= 2;
    size_t segments = entries / (slots / 4 * 3) + 1;
    index->slots = (uint32_t)slots;
    index->segments = (uint32_t)(segments < SEGMENTS_USUAL ? segments : SEGMENTS_USUAL) + SEGMENTS_SPARE;
    index->size = HEADER_SIZE + (size_t)index->segments * (slots * sizeof(word) + slots / BUCKET);
}

struct message_index *message_index_open(const char *path, size_t entries, uint64_t ttl_s,
                                         const char **reason)
{
    struct message_index *index = calloc(1, sizeof *index);
    *reason = index == NULL ? "no memory" : NULL;
    if (index == NULL)
        return NULL;
    entries = entries < ENTRIES_MAX ? entries : ENTRIES_MAX;
    index->fd = -1;
    index->ttl = ttl_s;
    choose_segments(index, entries);
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
