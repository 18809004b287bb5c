#include "proxy/siphash.h"

#include "smpp/frame.h"

struct sip {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotl(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotl(s->v1, 13) ^ s->v0;
    s->v3 = rotl(s->v3, 16) ^ s->v2;
    s->v0 = rotl(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotl(s->v1, 17) ^ s->v2;
    s->v3 = rotl(s->v3, 21) ^ s->v0;
    s->v2 = rotl(s->v2, 32);
}

static inline void sip_block(struct sip *s, uint64_t m)
{
    s->v3 ^= m;
    sip_round(s);
    sip_round(s);
    s->v0 ^= m;
}

static struct sip sip_begin(const uint64_t key[2])
{
    return (struct sip){key[0] ^ 0x736f6d6570736575ULL, key[1] ^ 0x646f72616e646f6dULL,
                        key[0] ^ 0x6c7967656e657261ULL, key[1] ^ 0x7465646279746573ULL};
}

/* The rest of the input; total is its length from the very first octet. */
static uint64_t sip_end(struct sip *s, const uint8_t *data, size_t len, size_t total)
{
    for (; len >= sizeof(uint64_t); data += sizeof(uint64_t), len -= sizeof(uint64_t)) {
        sip_block(s, smpp_pack(data, sizeof(uint64_t)));
    }
    sip_block(s, (uint64_t)total << 56 | smpp_pack(data, len));
    s->v2 ^= 0xff;
    for (int i = 0; i < 4; i++) {
        sip_round(s);
    }
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

uint64_t siphash(const uint64_t key[2], const uint8_t *data, size_t len)
{
    struct sip s = sip_begin(key);
    return sip_end(&s, data, len, len);
}

uint64_t siphash_after(const uint64_t key[2], uint64_t first, const uint8_t *data, size_t len)
{
    struct sip s = sip_begin(key);
    sip_block(&s, first);
    return sip_end(&s, data, len, len + sizeof first);
}
