#include "proxy/window.h"

#include <stdlib.h>

#include "smpp/constants.h"

enum { FIRST_CAPACITY = 8 };

void window_init(struct window *w, unsigned size)
{
    *w = (struct window){.size = size};
    while ((1U << w->bits) < size + WINDOW_CONTROL_SLOTS + 1) {
        w->bits++;
    }
}

void window_clear(struct window *w)
{
    free(w->slots);
    window_init(w, w->size);
}

static void queue_free(struct window *w, uint16_t index)
{
    w->slots[index].next = 0;
    if (w->free_last == 0) {
        w->free_first = index;
    } else {
        w->slots[w->free_last].next = index;
    }
    w->free_last = index;
}

static bool grow(struct window *w)
{
    uint32_t limit = w->size + WINDOW_CONTROL_SLOTS + 1;
    uint32_t capacity = w->capacity == 0 ? FIRST_CAPACITY : w->capacity * 2;
    if (capacity > limit) {
        capacity = limit;
    }
    if (capacity <= w->capacity) {
        return false;
    }
    struct window_slot *slots = realloc(w->slots, capacity * sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    w->slots = slots;
    uint32_t first = w->capacity;
    w->capacity = capacity;
    for (uint32_t i = first; i < capacity; i++) {
        slots[i] = (struct window_slot){.generation = 0};
        if (i != 0) {
            queue_free(w, (uint16_t)i);
        }
    }
    return true;
}

static uint16_t take_free(struct window *w)
{
    uint16_t index = w->free_first;
    w->free_first = w->slots[index].next;
    if (w->free_first == 0) {
        w->free_last = 0;
    }
    return index;
}

/* The slot becomes the youngest of those in flight: the last before the head. */
static void append(struct window *w, uint16_t index)
{
    struct window_slot *head = &w->slots[0];
    struct window_slot *slot = &w->slots[index];
    slot->prev = head->prev;
    slot->next = 0;
    w->slots[head->prev].next = index;
    head->prev = index;
}

struct window_slot *window_open(struct window *w, bool control, uint64_t now, uint32_t *sequence_number)
{
    if (control ? w->control >= WINDOW_CONTROL_SLOTS : window_full(w)) {
        return NULL;
    }
    if (w->free_first == 0 && !grow(w)) {
        return NULL;
    }
    uint16_t index = take_free(w);
    struct window_slot *slot = &w->slots[index];
    uint32_t generations = SMPP_SEQUENCE_MAX >> w->bits;
    slot->generation = slot->generation >= generations ? 1 : slot->generation + 1;
    slot->used = true;
    slot->control = control;
    slot->sent = now;
    append(w, index);
    *(control ? &w->control : &w->used) += 1;
    *sequence_number = slot->generation << w->bits | index;
    return slot;
}

static void release(struct window *w, uint16_t index, struct window_slot *copy)
{
    struct window_slot *slot = &w->slots[index];
    *copy = *slot;
    slot->used = false;
    w->slots[slot->prev].next = slot->next;
    w->slots[slot->next].prev = slot->prev;
    *(slot->control ? &w->control : &w->used) -= 1;
    queue_free(w, index);
}

const struct window_slot *window_peek(const struct window *w, uint32_t sequence_number)
{
    uint32_t index = sequence_number & ((1U << w->bits) - 1);
    if (index == 0 || index >= w->capacity) {
        return NULL;
    }
    const struct window_slot *slot = &w->slots[index];
    return slot->used && slot->generation == sequence_number >> w->bits ? slot : NULL;
}

void window_settle(struct window *w, const struct window_slot *request, struct window_slot *slot)
{
    release(w, (uint16_t)(request - w->slots), slot);
}

enum window_match window_take(struct window *w, uint32_t sequence_number, struct window_slot *slot)
{
    uint32_t index = sequence_number & ((1U << w->bits) - 1);
    uint32_t generation = sequence_number >> w->bits;
    if (index == 0 || index >= w->capacity || generation == 0) {
        return WINDOW_STRAY;
    }
    const struct window_slot *known = &w->slots[index];
    if (known->used && known->generation == generation) {
        release(w, (uint16_t)index, slot);
        return WINDOW_AWAITED;
    }
    return generation <= known->generation ? WINDOW_LATE : WINDOW_STRAY;
}

bool window_oldest(const struct window *w, uint64_t *sent)
{
    if (w->used + w->control == 0) {
        return false;
    }
    *sent = w->slots[w->slots[0].next].sent;
    return true;
}

bool window_oldest_version(const struct window *w, uint64_t *version)
{
    if (w->used == 0) {
        return false;
    }
    const struct window_slot *slot = &w->slots[w->slots[0].next];
    while (slot->control) {
        slot = &w->slots[slot->next];
    }
    *version = slot->version;
    return true;
}

bool window_expire(struct window *w, uint64_t before, struct window_slot *slot)
{
    uint64_t sent = 0;
    if (!window_oldest(w, &sent) || sent > before) {
        return false;
    }
    release(w, w->slots[0].next, slot);
    return true;
}
