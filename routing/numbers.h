/* The portability table: number -> carrier, for millions of numbers, from a file. Immutable.
 *
 *   CSV ──turnoutctl numbers build (numbers_build.h)──▶ file ──numbers_open──▶ checked ──numbers_find──▶ carrier
 *
 * The file is what a look-up reads; nothing is made from it at load:
 *
 *   header (4096 octets)   magic, checksum of all that follows, format, counts, the table's own version, names
 *   slots                  the numbers: sorted by a scrambled key, with gaps, so that a number stands where its key
 *                          says or a few slots behind: one cache miss. 10 octets a number
 *   bounds                 ranges and prefixes, flattened: from here on up to the next bound, this carrier
 *
 * numbers_open reads the file into memory of its own instead of mapping the file itself: a mapped file that
 * somebody cuts short kills the process at its next look-up (SIGBUS), and the kernel gives huge pages to memory
 * alone, which halve the time of a random look-up. The memory comes by mmap and goes whole when the table does.
 *
 * A number is 1 to 15 digits (E.164), perhaps with '+' before. One that stands by itself comes before every
 * range; of ranges and prefixes, the narrowest. */
#ifndef ROUTING_NUMBERS_H
#define ROUTING_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routing/names.h"
#include "routing/number_form.h"

enum { NUMBER_DIGITS_MAX = 15, NUMBERS_VERSION_MAX = 63 };

struct numbers;

/* What a table says of itself. */
struct numbers_about {
    const char *version; /* the table's own, as its maker called it */
    uint64_t built;      /* seconds since 1970 */
    uint64_t checksum;
    uint64_t count;    /* numbers that stand by themselves */
    uint64_t bounds;   /* 0: neither ranges nor prefixes */
    size_t size;       /* octets, of the file and in memory */
    unsigned carriers; /* how many are named */
};

/* Reads and verifies a file. NULL on a fault: error (cap octets) then says in one line what is wrong with it,
 * without its name. A file that another program may be writing is read as it is at that moment: its checksum
 * tells. */
struct numbers *numbers_open(const char *path, char *error, size_t cap);

/* The same from memory that came by mmap, such as numbers_build's: taken over, freed on a fault. */
struct numbers *numbers_adopt(void *image, size_t size, char *error, size_t cap);
void numbers_close(struct numbers *numbers);

struct numbers_about numbers_about(const struct numbers *numbers);

/* The name of a carrier in the table, 0 to carriers - 1. */
const char *numbers_carrier(const struct numbers *numbers, unsigned carrier);

/* What numbers_find is to give for a carrier of the table; until said, its place among the names. */
void numbers_call(struct numbers *numbers, unsigned carrier, uint8_t id);

/* The carrier of a number (len octets, with or without '+'), NAME_NONE where the table has none or the text is
 * no number. Any thread. */
uint8_t numbers_find(const struct numbers *numbers, const uint8_t *digits, size_t len);

/* The same, and what says so: the number, or FIRST-LAST of the range around it that is of one carrier, which may be part
 * of the one that the table was made of. "" where nothing does. */
enum { NUMBERS_ROW_MAX = 2 * NUMBER_DIGITS_MAX + 1 };
uint8_t numbers_find_row(const struct numbers *numbers, const uint8_t *digits, size_t len,
                         char row[NUMBERS_ROW_MAX + 1]);

/* Looks into the file as closely as can be: order, places, bounds. True where all is as numbers_build makes it;
 * else error says what is not. Counts the numbers by carrier into counts[0 .. carriers). numbers_open does not
 * need it, since the checksum vouches for it and a look-up stays inside of the memory whatever it finds there. */
bool numbers_verify(const struct numbers *numbers, uint64_t counts[NAMES_MAX], char *error, size_t cap);

/* Is no number in it one that the rules read as another? A row for such a number would match nothing but what is sent in
 * that very form. Without a country-code all are fine, since national numbers are then looked up as they are. False: error
 * names the first, shorter ones before longer ones, and says what to do. Looks at every number. */
bool numbers_international(const struct numbers *numbers, const struct number_rules *rules, char *error,
                           size_t cap);

#endif
