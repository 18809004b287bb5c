/* One heap of events, by time and then by order of their making, so that equal times are no chance. */
#include <stdlib.h>
#include <string.h>

#include "test/sim/sim.h"

struct event {
    uint64_t time, serial;
    sim_action *act;
    void *ctx;
    uint64_t arg;
};

uint64_t sim_now = SIM_BEGIN;
static struct event *heap;
static size_t heap_len, heap_size;
static uint64_t serial, state;

void sim_seed(uint64_t seed)
{
    state = seed;
    sim_now = SIM_BEGIN;
}

/* splitmix64 (Steele, Lea, Flood, 2014) */
static uint64_t draw(void)
{
    uint64_t z = state += 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

uint64_t sim_random(uint64_t n)
{
    return n == 0 ? 0 : draw() % n;
}

uint64_t sim_between(uint64_t low, uint64_t high)
{
    return low + sim_random(high - low + 1);
}

bool sim_chance(unsigned per_mille)
{
    return sim_random(1000) < per_mille;
}

static bool before(const struct event *a, const struct event *b)
{
    return a->time != b->time ? a->time < b->time : a->serial < b->serial;
}

static void swap(size_t a, size_t b)
{
    struct event event = heap[a];
    heap[a] = heap[b];
    heap[b] = event;
}

void sim_at(uint64_t time, sim_action *act, void *ctx, uint64_t arg)
{
    if (heap_len == heap_size) {
        heap_size = heap_size == 0 ? 256 : heap_size * 2;
        heap = realloc(heap, heap_size * sizeof *heap);
        if (heap == NULL) {
            abort();
        }
    }
    size_t at = heap_len++;
    heap[at] = (struct event){
        .time = time < sim_now ? sim_now : time, .serial = serial++, .act = act, .ctx = ctx, .arg = arg};
    while (at > 0 && before(&heap[at], &heap[(at - 1) / 2])) {
        swap(at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

void sim_after(uint64_t ns, sim_action *act, void *ctx, uint64_t arg)
{
    sim_at(sim_now + ns, act, ctx, arg);
}

uint64_t sim_next(void)
{
    return heap_len == 0 ? UINT64_MAX : heap[0].time;
}

static void sift_down(void)
{
    size_t at = 0;
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < heap_len; child++) {
            if (before(&heap[child], &heap[least])) {
                least = child;
            }
        }
        if (least == at) {
            return;
        }
        swap(at, least);
        at = least;
    }
}

void sim_fire(void)
{
    struct event event = heap[0];
    heap[0] = heap[--heap_len];
    sift_down();
    sim_now = event.time > sim_now ? event.time : sim_now;
    event.act(event.ctx, event.arg);
}

void sim_forget(void)
{
    heap_len = 0;
}
