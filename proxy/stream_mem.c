/* Two streams joined in memory, for tests and simulation.
 *
 *   end 0 ──stream_write──▶ ends[0].out ──stream_pair_step──▶ room of end 1, bytes
 *   end 1 ──stream_write──▶ ends[1].out ──stream_pair_step──▶ room of end 0, bytes
 *
 * Callbacks come from stream_pair_step alone, always in the same order: opened, bytes towards end 1, bytes
 * towards end 0, then for end 0 and end 1 writable and closed. No clock, no loop. */
#include "proxy/stream.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/stream_p.h"

struct mem_end {
    struct stream base;
    struct stream_pair *pair;
    struct chain out; /* under way to the other end */
    size_t under_way; /* octets of it */
    bool taken;       /* stream_pair_end gave it to an owner */
    bool opened;
    bool reading;
    bool busy;
    bool closing; /* stream_close was called, or closed */
    bool closed;  /* the event was delivered */
    bool refused; /* what it wrote came to an end that is closed */
};

struct stream_pair {
    struct stream_env *env;
    size_t capacity;
    bool cut;
    struct mem_end ends[2];
};

static struct mem_end *mem_of(struct stream *s)
{
    return (struct mem_end *)s;
}

static void mem_read_start(struct stream *s)
{
    mem_of(s)->reading = true;
}

static void mem_read_stop(struct stream *s)
{
    mem_of(s)->reading = false;
}

static void mem_write(struct stream *s, struct chunk *first)
{
    struct mem_end *e = mem_of(s);
    if (e->closing || e->pair->cut) {
        chunk_put_all(s->env->chunks, first);
        return;
    }
    e->under_way += chain_length(first);
    chain_append(&e->out, first);
    e->busy = e->under_way > e->pair->capacity;
}

static bool mem_busy(const struct stream *s)
{
    const struct mem_end *e = (const struct mem_end *)s;
    return e->busy && !e->closing;
}

/* Keeps the first octets of a chain and gives the chunks of the rest back. */
static void keep_front(struct mem_end *e, size_t octets)
{
    struct chain rest = e->out;
    e->out = (struct chain){NULL, NULL};
    e->under_way = 0;
    while (rest.first != NULL && e->under_way < octets) {
        struct chunk *chunk = rest.first;
        rest.first = chunk->next;
        chunk->next = NULL;
        size_t len = chunk->end - chunk->start;
        if (len > octets - e->under_way) {
            len = octets - e->under_way;
            chunk->end = chunk->start + (uint32_t)len;
        }
        e->under_way += len;
        chain_append(&e->out, chunk);
    }
    chunk_put_all(e->base.env->chunks, rest.first);
}

/* As with a socket: what the kernel (the capacity) has taken still arrives, the rest only with flush. */
static void mem_close(struct stream *s, bool flush)
{
    struct mem_end *e = mem_of(s);
    if (e->closing) {
        return;
    }
    e->closing = true;
    if (!flush && e->under_way > e->pair->capacity) {
        keep_front(e, e->pair->capacity);
    }
}

static const struct stream_kind mem_kind = {
    .read_start = mem_read_start,
    .read_stop = mem_read_stop,
    .write = mem_write,
    .busy = mem_busy,
    .close = mem_close,
};

static void drop_out(struct mem_end *e)
{
    chain_drop(&e->out, e->base.env->chunks);
    e->under_way = 0;
}

static bool open_end(struct mem_end *e)
{
    if (!e->taken || e->opened || e->closing) {
        return false;
    }
    e->opened = true;
    e->base.events->opened(e->base.owner);
    return true;
}

/* Copies from the front of a chain into room; returns how much. */
static size_t take(struct mem_end *from, uint8_t *room, size_t len)
{
    size_t done = 0;
    while (done < len && from->out.first != NULL) {
        const struct chunk *chunk = from->out.first;
        size_t part = chunk->end - chunk->start;
        if (part > len - done) {
            part = len - done;
        }
        memcpy(room + done, chunk->data + chunk->start, part);
        done += part;
        chain_consume(&from->out, from->base.env->chunks, part);
    }
    from->under_way -= done;
    return done;
}

/* Delivers what is under way between two ends, at most max octets. */
static bool carry(struct mem_end *from, struct mem_end *to, size_t max)
{
    bool moved = false;
    size_t left = from->under_way < max ? from->under_way : max;
    while (left > 0 && to->opened && to->reading && !to->closing && !to->pair->cut) {
        size_t len = 0;
        uint8_t *room = to->base.events->room(to->base.owner, &len);
        assert(len > 0);
        size_t part = take(from, room, len < left ? len : left);
        left -= part;
        moved = true;
        to->base.events->bytes(to->base.owner, part);
    }
    if (to->closing && from->out.first != NULL) {
        drop_out(from);
        from->refused = true;
        moved = true;
    }
    return moved;
}

static void close_end(struct mem_end *e, enum stream_end why, const char *detail)
{
    e->closing = e->closed = true;
    e->base.events->closed(e->base.owner, why, detail);
}

static bool settle(struct mem_end *e, const struct mem_end *other)
{
    if (!e->taken || e->closed) {
        return false;
    }
    if (e->closing) {
        close_end(e, STREAM_END_CLOSED, "closed on this side");
        return true;
    }
    if (e->reading && other->closing && other->out.first == NULL) {
        close_end(e, STREAM_END_PEER, "closed by the peer");
        return true;
    }
    if (e->refused && (!e->reading || other->out.first == NULL)) {
        close_end(e, STREAM_END_RESET, "the connection broke: the peer has closed it");
        return true;
    }
    if (e->busy && e->under_way <= e->pair->capacity) {
        e->busy = false;
        e->base.events->writable(e->base.owner);
        return true;
    }
    return false;
}

static bool settle_cut(struct mem_end *e)
{
    drop_out(e);
    if (!e->taken || e->closed) {
        return false;
    }
    if (e->closing) {
        close_end(e, STREAM_END_CLOSED, "closed on this side");
    } else {
        close_end(e, STREAM_END_RESET, "the connection broke: cut");
    }
    return true;
}

bool stream_pair_step(struct stream_pair *pair, size_t max)
{
    struct mem_end *a = &pair->ends[0];
    struct mem_end *b = &pair->ends[1];
    size_t most = max == 0 ? SIZE_MAX : max;
    bool moved = false;
    if (!pair->cut) {
        moved |= open_end(a);
        moved |= open_end(b);
        moved |= carry(a, b, most);
        moved |= carry(b, a, most);
    }
    if (pair->cut) {
        moved |= settle_cut(a);
        moved |= settle_cut(b);
        return moved;
    }
    moved |= settle(a, b);
    moved |= settle(b, a);
    return moved;
}

struct stream_pair *stream_pair_new(struct stream_env *env, size_t capacity)
{
    struct stream_pair *pair = calloc(1, sizeof(*pair));
    if (pair == NULL) {
        return NULL;
    }
    pair->env = env;
    pair->capacity = capacity;
    for (int i = 0; i < 2; i++) {
        struct mem_end *e = &pair->ends[i];
        e->pair = pair;
        stream_init(&e->base, &mem_kind, env, NULL, NULL);
        (void)snprintf(e->base.peer, sizeof(e->base.peer), "memory:%d", 1 - i);
    }
    return pair;
}

struct stream *stream_pair_end(struct stream_pair *pair, int end, const struct stream_events *events,
                               void *owner)
{
    assert(end == 0 || end == 1);
    struct mem_end *e = &pair->ends[end];
    e->base.events = events;
    e->base.owner = owner;
    e->taken = true;
    return &e->base;
}

void stream_pair_cut(struct stream_pair *pair)
{
    pair->cut = true;
}

void stream_pair_free(struct stream_pair *pair)
{
    drop_out(&pair->ends[0]);
    drop_out(&pair->ends[1]);
    free(pair);
}
