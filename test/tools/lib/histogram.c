#include "test/tools/lib/histogram.h"

enum { SUB = 1 << HISTOGRAM_SUB_BITS };

unsigned histogram_bucket_of(uint64_t value)
{
    if (value < SUB) {
        return (unsigned)value;
    }
    unsigned shift = 63U - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    return ((shift + 1) << HISTOGRAM_SUB_BITS) + (unsigned)((value >> shift) - SUB);
}

uint64_t histogram_bucket_top(unsigned bucket)
{
    if (bucket < SUB) {
        return bucket;
    }
    unsigned shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t low = (uint64_t)(SUB + (bucket & (SUB - 1))) << shift;
    return low + (((uint64_t)1 << shift) - 1);
}

void histogram_record(struct histogram *h, uint64_t value)
{
    h->bucket[histogram_bucket_of(value)]++;
    h->min = (h->count == 0 || value < h->min) ? value : h->min;
    h->max = value > h->max ? value : h->max;
    h->sum += value;
    h->count++;
}

uint64_t histogram_quantile(const struct histogram *h, double quantile)
{
    if (h->count == 0) {
        return 0;
    }
    uint64_t wanted = (uint64_t)(quantile * (double)h->count + 0.5);
    wanted = wanted == 0 ? 1 : wanted;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen >= wanted) {
            uint64_t top = histogram_bucket_top(i);
            return top < h->max ? top : h->max;
        }
    }
    return h->max;
}

uint64_t histogram_mean(const struct histogram *h)
{
    return h->count == 0 ? 0 : h->sum / h->count;
}
