#include "proxy/timers.h"

#include <stddef.h>

void timers_init(struct timers *timers, uint64_t now)
{
    timers->tick = now >> TIMERS_GRAIN_BITS;
    for (unsigned i = 0; i < TIMERS_SLOTS; i++) {
        timers->slot[i].prev = timers->slot[i].next = &timers->slot[i];
    }
    for (unsigned i = 0; i < TIMERS_SLOTS / 64; i++) {
        timers->used[i] = 0;
    }
}

static void list_add(struct timer *head, struct timer *timer)
{
    timer->prev = head->prev;
    timer->next = head;
    head->prev->next = timer;
    head->prev = timer;
}

void timer_cancel(struct timer *timer)
{
    if (timer->next == NULL) {
        return;
    }
    timer->prev->next = timer->next;
    timer->next->prev = timer->prev;
    timer->prev = timer->next = NULL;
}

void timer_set(struct timers *timers, struct timer *timer, uint64_t due)
{
    timer_cancel(timer);
    timer->due = due;
    /* rounded up, so that a slot is run when all of its grain has passed */
    uint64_t grain = (due >> TIMERS_GRAIN_BITS) + 1;
    if (grain < timers->tick) {
        grain = timers->tick;
    }
    unsigned slot = (unsigned)(grain % TIMERS_SLOTS);
    list_add(&timers->slot[slot], timer);
    timers->used[slot / 64] |= 1ULL << (slot % 64);
}

/* Moves all of a list that is not empty to the front of another. */
static void list_move(struct timer *from, struct timer *to)
{
    from->prev->next = to->next;
    to->next->prev = from->prev;
    to->next = from->next;
    from->next->prev = to;
    from->prev = from->next = from;
}

/* Fires a slot's due timers, at most *left of them. They are moved to a list of this call's own first, so that what
 * fire sets anew in the same slot waits for the next turn. False where some are left: they are in the slot again. */
static bool run_slot(struct timers *timers, unsigned slot, uint64_t now, unsigned *left)
{
    struct timer *head = &timers->slot[slot];
    struct timer mine = {.prev = &mine, .next = &mine};
    timers->used[slot / 64] &= ~(1ULL << (slot % 64));
    if (head->next != head) {
        list_move(head, &mine);
    }
    while (mine.next != &mine) {
        struct timer *timer = mine.next;
        if (timer->due > now) {
            timer_set(timers, timer, timer->due);
        } else if (*left == 0) {
            list_move(&mine, head);
            timers->used[slot / 64] |= 1ULL << (slot % 64);
            return false;
        } else {
            (*left)--;
            timer_cancel(timer);
            timer->fire(timer, now);
        }
    }
    return true;
}

void timers_run(struct timers *timers, uint64_t now, unsigned most)
{
    uint64_t until = now >> TIMERS_GRAIN_BITS;
    /* after a long gap one turn of the wheel sees every slot */
    uint64_t from = timers->tick;
    if (until - from >= TIMERS_SLOTS && until > from) {
        from = until - TIMERS_SLOTS + 1;
    }
    for (uint64_t grain = from; grain <= until; grain++) {
        timers->tick = grain + 1;
        if (!run_slot(timers, (unsigned)(grain % TIMERS_SLOTS), now, &most)) {
            timers->tick = grain;
            return;
        }
    }
}

uint64_t timers_next(const struct timers *timers)
{
    for (unsigned i = 0; i < TIMERS_SLOTS;) {
        uint64_t grain = timers->tick + i;
        unsigned slot = (unsigned)(grain % TIMERS_SLOTS);
        uint64_t word = timers->used[slot / 64] >> (slot % 64);
        if (word != 0) {
            return (grain + (unsigned)__builtin_ctzll(word)) << TIMERS_GRAIN_BITS;
        }
        i += 64 - slot % 64;
    }
    return UINT64_MAX;
}
