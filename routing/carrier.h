/* Which carrier serves a number: the longest matching prefix, else the default. Immutable once built.
 *
 *   prefixes of the config ──carrier_map_add──▶ trie ──carrier_map_find(digits)──▶ carrier, or NAME_NONE
 *
 * A leading '+' is skipped. (A TLV of the client, overrides and the portability table come before the prefix;
 * they will be asked here too.) */
#ifndef ROUTING_CARRIER_H
#define ROUTING_CARRIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routing/names.h"

struct carrier_map;

/* default_carrier may be NAME_NONE. */
struct carrier_map *carrier_map_new(uint8_t default_carrier);
void carrier_map_free(struct carrier_map *map);

enum carrier_map_added {
    CARRIER_MAP_ADDED,
    CARRIER_MAP_NOT_DIGITS,
    CARRIER_MAP_TAKEN,
    CARRIER_MAP_NO_MEMORY
};
/* prefix: 1 to 15 digits. TAKEN: another carrier has the same prefix already. */
enum carrier_map_added carrier_map_add(struct carrier_map *map, const char *prefix, uint8_t carrier);

/* digits is len octets of an address, with or without '+'. */
uint8_t carrier_map_find(const struct carrier_map *map, const uint8_t *digits, size_t len);

#endif
