/* Timers of one thread, with time passed in: a hashed wheel of intrusive entries.
 *
 *   timer_set ──▶ slot of the wheel by due time ──timers_run(now)──▶ fire(timer), once
 *
 * Set, move and cancel are O(1) and allocate nothing. Times are nanoseconds of one monotonic clock; a timer
 * fires at the first timers_run at or after its due time, at a grain of about 4 ms. A timer further away than
 * one turn of the wheel (4.3 s) is looked at once a turn. */
#ifndef PROXY_TIMERS_H
#define PROXY_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TIMERS_GRAIN_BITS = 22, TIMERS_SLOTS = 1024 };

struct timer {
    struct timer *prev, *next; /* NULL: not set */
    uint64_t due;
    void (*fire)(struct timer *timer, uint64_t now);
};

struct timers {
    uint64_t tick;                    /* the first grain not yet run */
    struct timer slot[TIMERS_SLOTS];  /* list heads */
    uint64_t used[TIMERS_SLOTS / 64]; /* slots that may hold something */
};

void timers_init(struct timers *timers, uint64_t now);

/* Sets, or moves, a timer. A due time in the past fires at the next run. */
void timer_set(struct timers *timers, struct timer *timer, uint64_t due);

/* Like timer_set, but never to later than it is set already. */
static inline void timer_set_earlier(struct timers *timers, struct timer *timer, uint64_t due)
{
    if (timer->next == NULL || due < timer->due) {
        timer_set(timers, timer, due);
    }
}

void timer_cancel(struct timer *timer);

static inline bool timer_is_set(const struct timer *timer)
{
    return timer->next != NULL;
}

/* Fires what is due, at most so many; the rest is due still, and comes first at the next run. fire may set and cancel
 * any timer, its own included. */
void timers_run(struct timers *timers, uint64_t now, unsigned most);

/* When timers_run should be called next, UINT64_MAX for never. May be earlier than any timer's due time. */
uint64_t timers_next(const struct timers *timers);

#endif
