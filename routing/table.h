/* The routing table: (shortcode, carrier) -> platform and state. Immutable once built; workers read it, the
 * main thread builds the next one invisibly and publishes it.
 *
 *   table ──table_edit──▶ builder ──builder_set*──▶ builder_done ──▶ next table (shares unchanged segments)
 *
 * The shortcode "*" is the default row: it answers for every (shortcode, carrier) that has no row of its own.
 * Neither sockets nor Redis are known here. Sized for a million shortcodes with four carriers in 64 MB, a change
 * to one row far under 1 ms (10 to 20 us), and a look-up that waits for memory once: what it costs at a million
 * shortcodes asked at random is what one such wait costs (test/bench measures both). Blocks of rows are counted
 * and copied on write. The counts are touched by the main thread only: it alone edits, clones and frees, while
 * any thread may read a table that is not freed meanwhile. */
#ifndef ROUTING_TABLE_H
#define ROUTING_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routing/names.h"

enum { SHORTCODE_LEN_MAX = 20 };

#define ROUTE_STATES(X)                                                                        \
    X(ROUTE_OPEN, "open")     /* MT goes to the platform */                                    \
    X(ROUTE_HOLD, "hold")     /* MT is kept back for the client's hold budget, then refused */ \
    X(ROUTE_CLOSED, "closed") /* MT is refused at once */

#define ROUTE_STATE_ENUM(id, name) id,
enum route_state { ROUTE_STATES(ROUTE_STATE_ENUM) ROUTE_STATE_COUNT };
#undef ROUTE_STATE_ENUM
const char *route_state_name(enum route_state state);
bool route_state_parse(const char *name, enum route_state *state);

/* One cell of the table. previous is the platform that served before the last change of platform, NAME_NONE
 * if there was none: its legs linger for receipts and MO. changed is the time of that change in seconds since
 * 1970 (by Redis' clock). next is the platform to which an open window will move the cell, NAME_NONE if there
 * is none: its legs are bound from the window's start. */
struct route {
    uint8_t platform;
    uint8_t state; /* enum route_state */
    uint8_t previous;
    uint8_t next;
    uint32_t changed;
};

struct table;

/* An empty table at version 0. NULL without memory. */
struct table *table_new(void);
void table_free(struct table *table);

/* The number of the last change in it. */
uint64_t table_version(const struct table *table);

/* Shortcodes with a row, "*" and the numbers' included. */
size_t table_count(const struct table *table);

/* The route of (shortcode, carrier), else that of ("*", carrier). False where neither has one. The hot
 * look-up: shortcode is len octets, not NUL-terminated. */
bool table_lookup(const struct table *table, const char *shortcode, size_t len, uint8_t carrier,
                  struct route *route);

/* The cell itself, without the default row. False where there is none. */
bool table_cell(const struct table *table, const char *shortcode, uint8_t carrier, struct route *route);

/* An override of a number is a row, too: its shortcode is "+" and the number, and its one cell, which stands under
 * NAME_NUMBER, names the number's carrier as its platform. So it is changed, followed, kept and restored as a route
 * is. table_number gives the carrier of a number (len octets, with or without "+"), NAME_NONE where it has no such
 * row; table_numbers is how many have. */
uint8_t table_number(const struct table *table, const uint8_t *digits, size_t len);
size_t table_numbers(const struct table *table);

/* Calls back for every cell until visit returns false: rows in no order, the cells of a row together. */
typedef bool table_visit(void *ctx, const char *shortcode, uint8_t carrier, const struct route *route);
void table_each(const struct table *table, table_visit *visit, void *ctx);

/* Cells of one row only. */
void table_row(const struct table *table, const char *shortcode, table_visit *visit, void *ctx);

/* Calls back for every shortcode whose row is not the same in both tables, until visit returns false. False
 * where it was not looked for: the tables differ in size so that all of it has moved, or visit ended it. What
 * they share costs nothing. */
typedef bool table_visit_row(void *ctx, const char *shortcode);
bool table_each_changed(const struct table *old, const struct table *now, table_visit_row *visit, void *ctx);

/* A builder starts as a copy of base (NULL: empty) and leaves base as it is. */
struct table_builder;
struct table_builder *table_edit(const struct table *base);

/* Sets or removes one cell. False without memory, for a shortcode that is empty or too long, or a carrier
 * from NAMES_MAX on: the builder is then as it was. Removing what is not there succeeds. */
bool table_set(struct table_builder *builder, const char *shortcode, uint8_t carrier,
               const struct route *route);
bool table_unset(struct table_builder *builder, const char *shortcode, uint8_t carrier);

/* A second table of the same content that shares everything with the first; either may be freed first. NULL
 * without memory. */
struct table *table_clone(const struct table *table);

/* Ends the builder; the result belongs to the caller. NULL without memory (the builder is freed either way).
 */
struct table *table_done(struct table_builder *builder, uint64_t version);
void table_abandon(struct table_builder *builder);

#endif
