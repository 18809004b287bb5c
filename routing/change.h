/* One change of the table, as the stream in Redis carries it, and its effect. Pure: text in, values out.
 *
 *   stream entry (field, value, field, value ...) ──change_parse──▶ change ──change_apply──▶ next table
 *
 * The fields of an entry are described at the head of functions/00-library.lua. */
#ifndef ROUTING_CHANGE_H
#define ROUTING_CHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routing/names.h"
#include "routing/table.h"

enum { CHAIN_LEN = 40 }; /* a sha1 in hex */

/* One cell that a change sets or removes. */
struct change_move {
    char shortcode[SHORTCODE_LEN_MAX + 1];
    char carrier[NAME_LEN_MAX + 1];
    char from[NAME_LEN_MAX + 1];        /* platform before; "" for none */
    char to[NAME_LEN_MAX + 1];          /* platform now; "" where the cell was removed */
    char previous[NAME_LEN_MAX + 1];    /* the platform whose legs linger; "" for none */
    char next[NAME_LEN_MAX + 1];        /* the platform of an open window's move to come; "" for none */
    enum route_state from_state, state; /* ROUTE_OPEN where there is no platform */
};

struct change {
    uint64_t version;
    uint64_t at_ms; /* Redis' clock, milliseconds since 1970 */
    char kind[16];  /* flip, set, import, rollback, window, restore */
    bool restore;   /* the whole table was replaced: there are no moves, it must be loaded */
    char *who, *why, *ticket;
    char parent[CHAIN_LEN + 1]; /* the history's fingerprint before this change; "" at the start */
    char chain[CHAIN_LEN + 1];  /* and up to and including it */
    size_t moves_count;
    struct change_move *moves;
};

/* Parses an entry: count strings, field and value in turn, with the version taken from the entry's id. Fields
 * that are not known are skipped. NULL where it cannot be understood; reason then says why (static text). */
struct change *change_parse(uint64_t version, const char *const *fields, const size_t *lens, size_t count,
                            const char **reason);
void change_free(struct change *change);

/* The table after the change; NULL without memory, where a name cannot be interned, or for a restore. base is
 * left as it is. */
struct table *change_apply(const struct table *base, const struct change *change, struct names *names);

/* A fingerprint as Redis holds it: "" or 40 hex digits. */
bool chain_valid(const char *text, size_t len);

/* A cell as the hash of a shortcode holds it: "platform state previous changed_ms version [next]". */
bool route_value_parse(const char *text, size_t len, struct names *names, struct route *route);

/* The longest such value, with its NUL. */
enum { ROUTE_VALUE_MAX = 3 * NAME_LEN_MAX + 60 };

/* Writes such a value; version is the one to stand in it, as a cell of a table does not keep its own. Its
 * time is whole seconds. */
void route_value_print(char value[ROUTE_VALUE_MAX], const struct route *route, const struct names *names,
                       uint64_t version);

#endif
