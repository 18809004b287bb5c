/* SipHash-2-4 (Aumasson, Bernstein, 2012): for whatever peers may choose and is hashed under a secret key.
 *
 *   key, octets ──siphash──▶ 64 bits that nobody without the key can steer */
#ifndef PROXY_SIPHASH_H
#define PROXY_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/* Of len octets. */
uint64_t siphash(const uint64_t key[2], const uint8_t *data, size_t len);

/* Of the eight octets of first, as they stand in memory on a little-endian machine, followed by len octets. */
uint64_t siphash_after(const uint64_t key[2], uint64_t first, const uint8_t *data, size_t len);

#endif
