#include "proxy/twice.h"

#include "proxy/siphash.h"

enum { TIME_BITS = 16, PLATFORM_BITS = 6, SET_BITS = 12, TELL_SECONDS = 60 };
#define LOW_BITS(n) ((UINT64_C(1) << (n)) - 1)
_Static_assert(TWICE_SETS == 1 << SET_BITS, "the hash has the set in its lowest bits");

static uint64_t add_span(uint64_t hash, struct smpp_span span)
{
    const uint64_t key[2] = {hash, UINT64_C(0x747769636573656e)};
    return siphash(key, span.p, span.len);
}

uint64_t twice_hash(const struct smpp_message_view *view)
{
    struct smpp_span text = smpp_view_text(view);
    return add_span(add_span(add_span(0, view->source.digits), view->dest.digits), text);
}

static uint64_t age_of(uint64_t word, uint64_t now_s)
{
    return (now_s - word) & LOW_BITS(TIME_BITS);
}

static uint64_t print_of(uint64_t word)
{
    return word >> (TIME_BITS + PLATFORM_BITS);
}

bool twice_seen(struct twice *twice, uint64_t hash, uint8_t platform, uint64_t now_s)
{
    _Atomic uint64_t *set = twice->words[hash & (TWICE_SETS - 1)];
    uint64_t print = hash >> (TIME_BITS + PLATFORM_BITS);
    uint64_t fresh = print << (TIME_BITS + PLATFORM_BITS) |
                     (platform & LOW_BITS(PLATFORM_BITS)) << TIME_BITS | (now_s & LOW_BITS(TIME_BITS));
    unsigned oldest = 0;
    uint64_t oldest_age = 0;
    for (unsigned i = 0; i < TWICE_WAYS; i++) {
        uint64_t word = atomic_load_explicit(&set[i], memory_order_relaxed);
        uint64_t age = word == 0 ? UINT64_MAX : age_of(word, now_s);
        if (word != 0 && print_of(word) == print && age <= TWICE_SECONDS) {
            bool other =
                (word >> TIME_BITS & LOW_BITS(PLATFORM_BITS)) != (platform & LOW_BITS(PLATFORM_BITS));
            if (!other) {
                atomic_store_explicit(&set[i], fresh, memory_order_relaxed);
            }
            return other;
        }
        if (age > oldest_age) {
            oldest = i;
            oldest_age = age;
        }
    }
    atomic_store_explicit(&set[oldest], fresh, memory_order_relaxed);
    return false;
}

bool twice_may_tell(struct twice *twice, uint64_t now_s)
{
    uint64_t told = atomic_load_explicit(&twice->told_s, memory_order_relaxed);
    return now_s >= told + TELL_SECONDS &&
           atomic_compare_exchange_strong_explicit(&twice->told_s, &told, now_s, memory_order_relaxed,
                                                   memory_order_relaxed);
}
