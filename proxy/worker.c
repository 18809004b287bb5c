#include "proxy/worker.h"

#include <stdlib.h>

#define SECOND 1000000000ULL
enum { CHUNKS_KEPT = 256, RECEIVE_FRESH = 65536 };

bool worker_init(struct worker *w, unsigned number, uv_loop_t *loop, uint64_t (*clock)(void),
                 struct metrics_worker *metrics, struct message_index *ids, struct shared *shared)
{
    uint64_t now = clock();
    *w = (struct worker){.number = number,
                         .clock = clock,
                         .now = now,
                         .metrics = metrics,
                         .ids = ids,
                         .ids_put = {.index = ids},
                         .shared = shared,
                         .connect = stream_connect,
                         .linger_end = UINT64_MAX,
                         .fence = {.gap = UINT64_MAX},
                         .random = now ^ ((uint64_t)number << 32) ^ 0x9E3779B97F4A7C15U};
    timers_init(&w->timers, now);
    chunk_pool_init(&w->chunks, CHUNKS_KEPT);
    w->env = (struct stream_env){.loop = loop, .chunks = &w->chunks, .cipher = malloc(STREAM_CIPHER_ROOM)};
    return w->env.cipher != NULL;
}

void worker_clear(struct worker *w)
{
    registry_clear(&w->clients);
    registry_clear(&w->legs);
    free(w->receivers);
    chunk_pool_clear(&w->chunks);
    hold_pool_clear(&w->held);
    traffic_clear(&w->traffic);
    backoff_clear_all(&w->backoffs);
    free(w->env.cipher);
    free(w->receive);
}

bool worker_set_bundle(struct worker *w, const struct bundle *bundle)
{
    /* room for the longest kept PDU and a fresh read behind it */
    size_t size = bundle->config->max_pdu_bound + (size_t)2 * RECEIVE_FRESH;
    if (size > w->receive_size) {
        uint8_t *receive = malloc(size);
        if (receive == NULL) {
            return false;
        }
        free(w->receive);
        w->receive = receive;
        w->receive_size = size;
    }
    if (w->traffic.capacity == 0 && !traffic_init(&w->traffic, bundle->config->traffic_cells, w->metrics)) {
        return false;
    }
    w->env.tls_messages = bundle->config->max_tls_messages;
    w->traffic.lately_s = bundle->config->evidence / SECOND;
    w->bundle = bundle;
    w->config = bundle->config;
    return true;
}

void worker_set_table(struct worker *w, const struct table *table)
{
    w->table = table;
    w->version = table_version(table);
    traffic_follow_table(&w->traffic);
    metric_sub(&w->metrics->table_version, metric_get(&w->metrics->table_version));
    metric_add(&w->metrics->table_version, w->version);
}

uint64_t worker_random(struct worker *w, uint64_t n)
{
    w->random ^= w->random << 13; /* xorshift64 */
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random % n;
}
