/* Latencies, counted in buckets whose width grows with the value (log-linear, as HdrHistogram does): 64
 * buckets a power of two, so a value read back is at most 1/64 (1.6 %) above the one recorded. No allocation;
 * 30 KB. */
#ifndef TOOLS_HISTOGRAM_H
#define TOOLS_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 6,
    HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS,
};

struct histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t min; /* meaningless while count is 0 */
    uint64_t max;
    uint64_t bucket[HISTOGRAM_BUCKETS];
};

/* A zeroed histogram is an empty one. The unit is the caller's. */
void histogram_record(struct histogram *h, uint64_t value);

/* The value that a share of quantile (0 .. 1) of all values does not exceed: the upper edge of its bucket,
 * and never more than the largest value recorded. 0 when empty. */
uint64_t histogram_quantile(const struct histogram *h, double quantile);

/* The arithmetic mean, 0 when empty. */
uint64_t histogram_mean(const struct histogram *h);

/* The bucket of a value, and the largest value of a bucket: each the other's inverse. */
unsigned histogram_bucket_of(uint64_t value);
uint64_t histogram_bucket_top(unsigned bucket);

#endif
