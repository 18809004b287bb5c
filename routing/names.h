/* Carriers and platforms as small numbers. Names come from the config and from the table in Redis; each is
 * given a number when first seen, which it keeps for the life of the process, so that tables, links and
 * counters built at different times agree. Main thread only; workers meet the numbers, and copies of the
 * names in their config. */
#ifndef ROUTING_NAMES_H
#define ROUTING_NAMES_H

#include <stdint.h>

enum { NAMES_MAX = 64, NAME_LEN_MAX = 31, NAME_NONE = 0xFF };

/* In the place of a carrier, it says that a row of the table is of a number and not of a shortcode (table.h). It has
 * the last number, and so is no carrier of anything that goes through the carriers one by one. */
enum { NAME_NUMBER = NAMES_MAX - 1 };
#define NUMBER_NAME ".number"

struct names {
    unsigned count;
    char name[NAMES_MAX][NAME_LEN_MAX + 1];
};

/* The number of a name, given now if it is new. NAME_NONE where the name is empty, too long, has characters
 * other than letters, digits, '-', '_' and '.', is "-" alone (which means "none" in Redis), or all but
 * NAME_NUMBER are in use. */
uint8_t names_intern(struct names *names, const char *name);

/* The number of a known name, or NAME_NONE. */
uint8_t names_find(const struct names *names, const char *name);

/* The name of a number; "?" for NAME_NONE and numbers never given. */
const char *names_get(const struct names *names, uint8_t id);

#endif
