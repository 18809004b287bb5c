/* Which carrier serves a number. Immutable once built.
 *
 *   digits ──▶ override in the routing table ──▶ override in the config ──▶ portability table ──▶ longest prefix
 *     ──▶ the same of their international form (number_form.h) ──▶ default ──▶ carrier, or NAME_NONE
 *
 * Each of the five may be missing, and the first that knows the number decides. (A TLV that the client sends
 * comes before them all: proxy/choice.h.) A leading '+' is skipped. Immutable but for the portability table, which the
 * main thread may swap while others look numbers up. */
#ifndef ROUTING_CARRIER_H
#define ROUTING_CARRIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routing/names.h"
#include "routing/number_form.h"
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

/* Another portability table (NULL: none) for every look-up from now on. Returns the one before: some thread may look
 * into it until it has passed. */
const struct numbers *carrier_map_swap_table(struct carrier_map *map, const struct numbers *table);

/* How numbers are read; none are, until said. */
void carrier_map_set_rules(struct carrier_map *map, const struct number_rules *rules);

/* digits is len octets of an address as they stand, with or without '+'. routes may be NULL. */
struct carrier_choice carrier_choose(const struct carrier_map *map, const struct table *routes,
                                     const uint8_t *digits, size_t len);

/* Has carrier_choose_read to be asked, too, for an address of this type? */
static inline bool carrier_may_be_read(struct carrier_choice as_sent, uint8_t ton)
{
    return as_sent.step >= CARRIER_BY_DEFAULT || ton == NUMBER_TON_NATIONAL;
}

/* The choice for an address of type ton, and the digits that decided (NUMBER_READ_MAX at most) in *read. As they stand
 * first; where no step but the default knows those, in their international form. The other way round where the TON says
 * national, since national digits may look like another country's; it is wrong now and then, hence both. */
struct carrier_choice carrier_choose_read(const struct carrier_map *map, const struct table *routes,
                                          uint8_t ton, const uint8_t *digits, size_t len,
                                          struct number_read *read);

/* The longest prefix, else the default. */
uint8_t carrier_map_find(const struct carrier_map *map, const uint8_t *digits, size_t len);

/* What one step says by itself of digits that were read, NAME_NONE for nothing (always of CARRIER_BY_TLV and
 * CARRIER_BY_NONE). row is what says so: the number, range or prefix; "" where the step has none. */
enum { CARRIER_ROW_MAX = NUMBERS_ROW_MAX };
uint8_t carrier_by(const struct carrier_map *map, const struct table *routes, enum carrier_step step,
                   const uint8_t *digits, size_t len, char row[CARRIER_ROW_MAX + 1]);

#endif
