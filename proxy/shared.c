#include "proxy/shared.h"

#include <stdlib.h>

struct shared *shared_new(size_t multiparts)
{
    struct shared *shared = calloc(1, sizeof *shared);
    struct visitors *visitors = visitors_new();
    struct multiparts *parts = multiparts == 0 ? NULL : multiparts_new(multiparts);
    if (shared == NULL || visitors == NULL || (multiparts > 0 && parts == NULL) ||
        uv_mutex_init(&shared->lock) != 0) {
        multiparts_free(parts);
        visitors_free(visitors);
        free(shared);
        return NULL;
    }
    shared->visitors = visitors;
    shared->multiparts = parts;
    return shared;
}

void shared_free(struct shared *shared)
{
    if (shared != NULL) {
        uv_mutex_destroy(&shared->lock);
        multiparts_free(shared->multiparts);
        visitors_free(shared->visitors);
        free(shared);
    }
}

bool shared_wait(struct shared *shared, size_t len, uint64_t most, uint64_t most_bytes)
{
    uint64_t count = atomic_fetch_add_explicit(&shared->waiting, 1, memory_order_relaxed);
    uint64_t bytes = atomic_fetch_add_explicit(&shared->waiting_bytes, len, memory_order_relaxed);
    if (count < most && bytes + len <= most_bytes) {
        return true;
    }
    shared_waited(shared, len);
    return false;
}

void shared_waited(struct shared *shared, size_t len)
{
    atomic_fetch_sub_explicit(&shared->waiting, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&shared->waiting_bytes, len, memory_order_relaxed);
}

static void set_box(struct shared *shared, unsigned worker, struct mailbox *box)
{
    uv_mutex_lock(&shared->lock);
    shared->boxes[worker] = box;
    uv_mutex_unlock(&shared->lock);
}

void shared_open(struct shared *shared, unsigned worker, struct mailbox *box)
{
    set_box(shared, worker, box);
}

void shared_close(struct shared *shared, unsigned worker)
{
    set_box(shared, worker, NULL);
}

bool shared_post(struct shared *shared, unsigned worker, struct letter *letter)
{
    uv_mutex_lock(&shared->lock);
    struct mailbox *box = shared->boxes[worker];
    if (box != NULL) {
        mailbox_post(box, letter);
    }
    uv_mutex_unlock(&shared->lock);
    return box != NULL;
}

void shared_receives(struct shared *shared, unsigned client, unsigned worker, bool receives)
{
    _Atomic uint64_t *workers = &shared->receivers[client % SHARED_CLIENTS_MAX];
    if (receives) {
        atomic_fetch_or(workers, 1ULL << worker);
    } else {
        atomic_fetch_and(workers, ~(1ULL << worker));
    }
}

unsigned shared_orphans(struct shared *shared, unsigned client, int change)
{
    _Atomic unsigned *orphans = &shared->orphans[client % SHARED_CLIENTS_MAX];
    return atomic_fetch_add(orphans, (unsigned)change) + (unsigned)change;
}

int shared_receiver(const struct shared *shared, unsigned client, unsigned self, unsigned turn)
{
    uint64_t workers = atomic_load(&shared->receivers[client % SHARED_CLIENTS_MAX]) & ~(1ULL << self);
    if (workers == 0) {
        return -1;
    }
    for (turn %= (unsigned)__builtin_popcountll(workers); turn > 0; turn--) {
        workers &= workers - 1; /* without its lowest */
    }
    return __builtin_ctzll(workers);
}
