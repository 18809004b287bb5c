#include "test/tools/lib/defer.h"

#include <stdlib.h>
#include <string.h>

#include "test/tools/lib/buffer.h"

static bool before(const struct defer_item *a, const struct defer_item *b)
{
    return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void sift_up(struct defer *d, size_t i)
{
    struct defer_item *item = d->heap[i];
    while (i > 0 && before(item, d->heap[(i - 1) / 2])) {
        d->heap[i] = d->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    d->heap[i] = item;
}

static void sift_down(struct defer *d, size_t i)
{
    struct defer_item *item = d->heap[i];
    for (size_t child = 2 * i + 1; child < d->len; child = 2 * i + 1) {
        if (child + 1 < d->len && before(d->heap[child + 1], d->heap[child])) {
            child++;
        }
        if (!before(d->heap[child], item)) {
            break;
        }
        d->heap[i] = d->heap[child];
        i = child;
    }
    d->heap[i] = item;
}

static struct defer_item *take_first(struct defer *d)
{
    struct defer_item *first = d->heap[0];
    d->heap[0] = d->heap[--d->len];
    if (d->len > 0) {
        sift_down(d, 0);
    }
    return first;
}

static void on_timer(uv_timer_t *timer);

static void arm(struct defer *d)
{
    if (d->len > 0) {
        uint64_t now = uv_hrtime();
        uint64_t wait = d->heap[0]->due > now ? d->heap[0]->due - now : 0;
        uv_update_time(d->timer.loop);
        uv_timer_start(&d->timer, on_timer, (wait + 999999) / 1000000, 0);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct defer *d = timer->data;
    uint64_t now = uv_hrtime();
    while (d->len > 0 && d->heap[0]->due <= now) {
        struct defer_item *item = take_first(d);
        item->run(item, false);
    }
    arm(d);
}

void defer_init(struct defer *d, uv_loop_t *loop)
{
    memset(d, 0, sizeof(*d));
    uv_timer_init(loop, &d->timer);
    d->timer.data = d;
}

void defer_add(struct defer *d, struct defer_item *item, uint64_t due)
{
    if (d->len == d->cap) {
        size_t cap = d->cap == 0 ? 64 : d->cap * 2;
        struct defer_item **heap = tools_alloc(cap, sizeof(struct defer_item *));
        if (d->len > 0) {
            memcpy(heap, d->heap, d->len * sizeof(struct defer_item *));
        }
        free(d->heap);
        d->heap = heap;
        d->cap = cap;
    }
    item->due = due;
    item->order = d->orders++;
    d->heap[d->len++] = item;
    sift_up(d, d->len - 1);
    if (d->heap[0] == item) {
        arm(d);
    }
}

void defer_clear(struct defer *d)
{
    while (d->len > 0) {
        struct defer_item *item = take_first(d);
        item->run(item, true);
    }
    free(d->heap);
    d->heap = NULL;
    d->cap = 0;
    uv_close((uv_handle_t *)&d->timer, NULL);
}
