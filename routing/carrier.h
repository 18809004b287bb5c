/* Which carrier serves a number. Immutable once built.
 *
 *   digits ──▶ override in the routing table ──▶ override in the config ──▶ portability table ──▶ longest prefix ──▶ default ──▶ carrier, or NAME_NONE
 *
 * Each of the five may be missing, and the first that knows the number decides. (A TLV that the client sends
 * comes before them all: proxy/choice.h.) A leading '+' is skipped. */
#ifndef ROUTING_CARRIER_H
#define ROUTING_CARRIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routing/names.h"
#include "routing/numbers.h"
#include "routing/table.h"

/* What decided. X(identifier, label, what it is called) */
#define CARRIER_STEPS(X)                                            \
    X(CARRIER_BY_TLV, "tlv", "a TLV that the client sent")          \
    X(CARRIER_BY_SET, "set", "a number override set by turnoutctl") \
    X(CARRIER_BY_OVERRIDE, "override", "a number override")         \
    X(CARRIER_BY_TABLE, "table", "the portability table")           \
    X(CARRIER_BY_PREFIX, "prefix", "the longest prefix")            \
    X(CARRIER_BY_DEFAULT, "default", "the default carrier")         \
    X(CARRIER_BY_NONE, "none", "nothing knows the number")

#define CARRIER_STEP_ENUM(id, label, name) id,
enum carrier_step { CARRIER_STEPS(CARRIER_STEP_ENUM) CARRIER_STEP_COUNT };
#undef CARRIER_STEP_ENUM
const char *carrier_step_label(enum carrier_step step);
const char *carrier_step_name(enum carrier_step step);

struct carrier_choice {
    uint8_t carrier; /* NAME_NONE only where step is CARRIER_BY_NONE */
    uint8_t step;    /* enum carrier_step */
};

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

/* Numbers that are asked before the prefixes (NULL: none); they must outlive the map. */
void carrier_map_set_numbers(struct carrier_map *map, const struct numbers *overrides,
                             const struct numbers *table);

/* digits is len octets of an address, with or without '+'. routes may be NULL. */
struct carrier_choice carrier_choose(const struct carrier_map *map, const struct table *routes,
                                     const uint8_t *digits, size_t len);

/* The longest prefix, else the default. */
uint8_t carrier_map_find(const struct carrier_map *map, const uint8_t *digits, size_t len);

/* What one step says by itself, NAME_NONE for nothing (always of CARRIER_BY_TLV and CARRIER_BY_NONE). */
uint8_t carrier_by(const struct carrier_map *map, const struct table *routes, enum carrier_step step,
                   const uint8_t *digits, size_t len);

#endif
