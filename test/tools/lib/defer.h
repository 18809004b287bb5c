/* Things to do later: a heap of items, one timer for all.
 *
 *   defer_add(item, when) ──▶ heap ──timer──▶ item->run(item, false)
 *   defer_clear ──────────────────────────▶ item->run(item, true)     at the end, so that it can be freed
 *
 * Times are uv_hrtime() nanoseconds; the timer's step is a millisecond. Items due at the same time run in the
 * order they were added. */
#ifndef TOOLS_DEFER_H
#define TOOLS_DEFER_H

#include <stdbool.h>
#include <uv.h>

struct defer_item {
    uint64_t due;
    uint64_t order;
    void (*run)(struct defer_item *item, bool cancelled); /* the item is the callee's again */
};

struct defer {
    uv_timer_t timer;
    struct defer_item **heap;
    size_t len;
    size_t cap;
    uint64_t orders;
};

void defer_init(struct defer *d, uv_loop_t *loop);
void defer_add(struct defer *d, struct defer_item *item, uint64_t due);

/* Cancels every item and closes the timer. */
void defer_clear(struct defer *d);

#endif
