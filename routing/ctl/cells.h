/* The routing table as Redis holds it, for listing, comparing and exporting.
 *
 *   turnout_load, page by page ──▶ cells_load ──▶ cells, sorted by shortcode, carrier
 *                                    └── pages are of different moments: changes made meanwhile are replayed
 */
#ifndef ROUTING_CTL_CELLS_H
#define ROUTING_CTL_CELLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routing/ctl/redis.h"
#include "routing/names.h"
#include "routing/table.h"

struct cell {
    char shortcode[SHORTCODE_LEN_MAX + 1];
    char carrier[NAME_LEN_MAX + 1];
    char platform[NAME_LEN_MAX + 1]; /* "" where a change removed the cell */
    char previous[NAME_LEN_MAX + 1]; /* "" for none */
    char next[NAME_LEN_MAX + 1];     /* of an open window's move to come; "" for none */
    enum route_state state;
    uint64_t changed_ms, version;
};

struct cells {
    uint64_t version;
    size_t count, space;
    struct cell *items;
};

/* What the functions in Redis take for a name. */
bool shortcode_fine(const char *text);
bool name_fine(const char *text);

/* "platform state previous changed_ms version [next]" into the cell. False where it is something else. */
bool cell_parse(struct cell *cell, const char *value);

void cells_add(struct cells *cells, const struct cell *cell);
void cells_sort(struct cells *cells);
/* In sorted cells; NULL where there is none. */
const struct cell *cells_find(const struct cells *cells, const char *shortcode, const char *carrier);
void cells_free(struct cells *cells);

/* The whole table without the overrides of numbers, or one row of it (version is then that of the last change when it was read). False where a
 * call to Redis failed. cells is empty before. */
bool cells_load(struct redis *redis, struct cells *cells);
bool cells_load_row(struct redis *redis, const char *shortcode, struct cells *cells);

#endif
