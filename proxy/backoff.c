#include "proxy/backoff.h"

#include <stdlib.h>

#define HASH_NONFATAL_OOM          1
#define uthash_nonfatal_oom(entry) ((void)(entry)) /* not in the table then; freed by whoever added it */
#include <uthash.h>

struct backoff_entry {
    uint64_t key; /* client and link */
    struct backoff backoff;
    UT_hash_handle hh;
};

static uint64_t key_of(unsigned client, unsigned link)
{
    return (uint64_t)client << 32 | link;
}

static struct backoff_entry *find(const struct backoffs *backoffs, uint64_t key)
{
    struct backoff_entry *entry = NULL;
    HASH_FIND(hh, backoffs->first, &key, sizeof key, entry);
    return entry;
}

struct backoff backoff_get(const struct backoffs *backoffs, unsigned client, unsigned link)
{
    const struct backoff_entry *entry = find(backoffs, key_of(client, link));
    return entry == NULL ? (struct backoff){0, 0} : entry->backoff;
}

static struct backoff_entry *add(struct backoffs *backoffs, uint64_t key)
{
    struct backoff_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return NULL;
    }
    entry->key = key;
    HASH_ADD(hh, backoffs->first, key, sizeof entry->key, entry);
    if (entry->hh.tbl == NULL) {
        free(entry);
        return NULL;
    }
    return entry;
}

void backoff_note(struct backoffs *backoffs, unsigned client, unsigned link, struct backoff backoff)
{
    struct backoff_entry *entry = find(backoffs, key_of(client, link));
    if (entry == NULL) {
        entry = add(backoffs, key_of(client, link));
    }
    if (entry != NULL) {
        entry->backoff = backoff;
    }
}

static void drop(struct backoffs *backoffs, struct backoff_entry *entry)
{
    /* the analyzer cannot follow uthash's lists: NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    HASH_DELETE(hh, backoffs->first, entry);
    free(entry);
}

void backoff_clear(struct backoffs *backoffs, unsigned client, unsigned link)
{
    struct backoff_entry *entry = find(backoffs, key_of(client, link));
    if (entry != NULL) {
        drop(backoffs, entry);
    }
}

void backoff_clear_all(struct backoffs *backoffs)
{
    struct backoff_entry *entry = NULL;
    struct backoff_entry *next = NULL;
    HASH_ITER(hh, backoffs->first, entry, next)
    {
        drop(backoffs, entry);
    }
}
