/* The checksum of files that we write: XXH64 with seed 0, which is fast in plain C on every machine (15 GB/s
 * here), so that a table of 50 MB is verified whole each time that it is read. No protection from ill will. */
#ifndef ROUTING_CHECKSUM_H
#define ROUTING_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Of len octets, the same on machines of either byte order. */
uint64_t checksum64(const void *data, size_t len);

#endif
