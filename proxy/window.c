/*   numbers given:  ... 7   8   9  10  11  12 (last)      capacity 4, so that 7 and 11 want the same slot
 *   in flight:          7       9      11  12                7 stayed: 11 was passed over, 12 not
 *                       └ overtaken, oldest first    9 … 12: found by their numbers, from `oldest` on
 */
#include "proxy/window.h"

#include <stdlib.h>

#include "proxy/path.h"
#include "smpp/constants.h"

enum { FIRST_CAPACITY = 8 };
#define NO_SLOT UINT32_MAX

void window_init(struct window *w, unsigned size)
{
    *w = (struct window){.size = size, .oldest = 1, .overtaken = NO_SLOT, .overtaken_last = NO_SLOT};
}

void window_clear(struct window *w)
{
    free(w->slots);
    window_init(w, w->size);
}

static uint32_t in_flight(const struct window *w)
{
    return w->used + w->control;
}

static uint32_t number_after(uint32_t sequence_number)
{
    return sequence_number == SMPP_SEQUENCE_MAX ? 1 : sequence_number + 1;
}

/* How many numbers after it the last one was given. */
static uint32_t age_of(const struct window *w, uint32_t sequence_number)
{
    return w->last >= sequence_number ? w->last - sequence_number
                                      : w->last + (SMPP_SEQUENCE_MAX - sequence_number);
}

static struct window_slot *slot_of(const struct window *w, uint32_t sequence_number)
{
    return &w->slots[sequence_number & (w->capacity - 1)];
}

/* --- those overtaken ------------------------------------------------------------------------------------ */

/* They are met in the order of their numbers. */
SELDOM static void overtake(struct window *w, struct window_slot *slot)
{
    uint32_t index = (uint32_t)(slot - w->slots);
    slot->overtaken = true;
    slot->prev = w->overtaken_last;
    slot->next = NO_SLOT;
    *(slot->prev == NO_SLOT ? &w->overtaken : &w->slots[slot->prev].next) = index;
    w->overtaken_last = index;
}

SELDOM static void unlink_overtaken(struct window *w, const struct window_slot *slot)
{
    *(slot->prev == NO_SLOT ? &w->overtaken : &w->slots[slot->prev].next) = slot->next;
    *(slot->next == NO_SLOT ? &w->overtaken_last : &w->slots[slot->next].prev) = slot->prev;
}

/* --- growing -------------------------------------------------------------------------------------------- */

static void move_to(struct window_slot *slots, uint32_t capacity, const struct window_slot *slot)
{
    slots[slot->sequence_number & (capacity - 1)] = *slot;
}

/* Two that have slots of their own in a smaller array have so in a larger one, too. */
SELDOM static bool grow(struct window *w)
{
    uint32_t capacity = w->capacity == 0 ? FIRST_CAPACITY : w->capacity * 2;
    struct window old = *w;
    struct window_slot *slots = calloc(capacity, sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    w->slots = slots;
    w->capacity = capacity;
    w->overtaken = w->overtaken_last = NO_SLOT;
    for (uint32_t i = 0; i < old.capacity; i++) {
        if (old.slots[i].sequence_number != 0) {
            move_to(slots, capacity, &old.slots[i]);
        }
    }
    for (uint32_t i = old.overtaken; i != NO_SLOT; i = old.slots[i].next) {
        overtake(w, slot_of(w, old.slots[i].sequence_number));
    }
    free(old.slots);
    return true;
}

/* --- open and match ------------------------------------------------------------------------------------- */

/* The next number whose slot is free; there is one. */
static inline struct window_slot *next_slot(struct window *w)
{
    struct window_slot *slot;
    for (;;) {
        w->wrapped = w->wrapped || w->last == SMPP_SEQUENCE_MAX;
        w->last = number_after(w->last);
        slot = slot_of(w, w->last);
        if (slot->sequence_number == 0) {
            return slot;
        }
        if (!slot->overtaken) {
            overtake(w, slot);
        }
    }
}

struct window_slot *window_open(struct window *w, bool control, uint64_t now, uint32_t *sequence_number)
{
    if (control ? w->control >= WINDOW_CONTROL_SLOTS : window_full(w)) {
        return NULL;
    }
    if (in_flight(w) >= w->capacity - w->capacity / 8 && !grow(w)) {
        return NULL;
    }
    struct window_slot *slot = next_slot(w);
    if (in_flight(w) == 0) {
        w->oldest = w->last;
    }
    slot->sequence_number = w->last;
    slot->control = control;
    slot->overtaken = false;
    slot->part = 0;
    slot->sent = now;
    *(control ? &w->control : &w->used) += 1;
    *sequence_number = w->last;
    return slot;
}

struct window_slot *window_newest(const struct window *w)
{
    return (struct window_slot *)(uintptr_t)window_peek(w, w->last);
}

static inline void release(struct window *w, struct window_slot *slot, struct window_slot *copy)
{
    *copy = *slot;
    if (slot->overtaken) {
        unlink_overtaken(w, slot);
    }
    slot->sequence_number = 0;
    *(slot->control ? &w->control : &w->used) -= 1;
}

const struct window_slot *window_peek(const struct window *w, uint32_t sequence_number)
{
    if (w->capacity == 0 || sequence_number == 0) {
        return NULL;
    }
    const struct window_slot *slot = slot_of(w, sequence_number);
    return slot->sequence_number == sequence_number ? slot : NULL;
}

void window_settle(struct window *w, const struct window_slot *request, struct window_slot *slot)
{
    release(w, &w->slots[request - w->slots], slot);
}

/* Of numbers that come round again, those of the last half of the round have been given, the others will be. */
static bool was_given(const struct window *w, uint32_t sequence_number)
{
    if (sequence_number == 0 || sequence_number > SMPP_SEQUENCE_MAX) {
        return false;
    }
    return w->wrapped ? age_of(w, sequence_number) < SMPP_SEQUENCE_MAX / 2 : sequence_number <= w->last;
}

enum window_match window_take(struct window *w, uint32_t sequence_number, struct window_slot *slot)
{
    const struct window_slot *request = window_peek(w, sequence_number);
    if (request != NULL) {
        window_settle(w, request, slot);
        return WINDOW_AWAITED;
    }
    return was_given(w, sequence_number) ? WINDOW_LATE : WINDOW_STRAY;
}

/* --- the oldest ----------------------------------------------------------------------------------------- */

/* The first in flight from a number on, those overtaken apart; there is one. */
static struct window_slot *first_from(const struct window *w, uint32_t sequence_number)
{
    while (slot_of(w, sequence_number)->sequence_number != sequence_number) {
        sequence_number = number_after(sequence_number);
    }
    return slot_of(w, sequence_number);
}

/* Where to look for them: whatever is older than a round of the slots has been overtaken. */
static uint32_t search_from(struct window *w)
{
    if (age_of(w, w->oldest) >= w->capacity) {
        uint32_t back = w->capacity - 1;
        w->oldest = w->last > back ? w->last - back : w->last + (SMPP_SEQUENCE_MAX - back);
    }
    return w->oldest;
}

static struct window_slot *oldest(struct window *w)
{
    if (in_flight(w) == 0) {
        return NULL;
    }
    if (w->overtaken != NO_SLOT) {
        return &w->slots[w->overtaken];
    }
    struct window_slot *first = first_from(w, search_from(w));
    w->oldest = first->sequence_number;
    return first;
}

/* The next younger one; NULL for none. */
static struct window_slot *younger(struct window *w, const struct window_slot *slot)
{
    if (slot->sequence_number == w->last) {
        return NULL;
    }
    if (slot->overtaken && slot->next != NO_SLOT) {
        return &w->slots[slot->next];
    }
    uint32_t from = slot->overtaken ? search_from(w) : number_after(slot->sequence_number);
    while (from != number_after(w->last)) {
        struct window_slot *next = slot_of(w, from);
        if (next->sequence_number == from && !next->overtaken) {
            return next;
        }
        from = number_after(from);
    }
    return NULL;
}

bool window_oldest(struct window *w, uint64_t *sent)
{
    const struct window_slot *slot = oldest(w);
    if (slot == NULL) {
        return false;
    }
    *sent = slot->sent;
    return true;
}

bool window_oldest_version(struct window *w, uint64_t *version)
{
    const struct window_slot *slot = w->used == 0 ? NULL : oldest(w);
    while (slot != NULL && slot->control) {
        slot = younger(w, slot);
    }
    if (slot == NULL) {
        return false;
    }
    *version = slot->version;
    return true;
}

bool window_expire(struct window *w, uint64_t before, struct window_slot *slot)
{
    struct window_slot *first = oldest(w);
    if (first == NULL || first->sent > before) {
        return false;
    }
    release(w, first, slot);
    return true;
}
