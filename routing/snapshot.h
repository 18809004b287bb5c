/* The table on disk, so that an instance serves without Redis from its start on.
 *
 *   table ──snapshot_write──▶ path.new ──fsync, rename──▶ path ──snapshot_read──▶ table
 *                                              path.journal ──────────┘
 *
 * A JSON file, which turnoutctl route restore reads too:
 *   {"format": "turnout-table-1", "version": 42, "chain": "40 hex digits, or empty at version 0",
 *    "rows": {shortcode: {carrier: "platform state previous changed_ms version"}}}
 * Beside it, at path.journal, what has changed since (journal.h), which snapshot_read reads too.
 * Cells are as Redis holds them, with times in whole seconds and the table's version for their own. */
#ifndef ROUTING_SNAPSHOT_H
#define ROUTING_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>

#include "routing/change.h"
#include "routing/names.h"
#include "routing/table.h"

/* Replaces the file at path as a whole or not at all. False where it cannot be written: reason (of size) says
 * why, and an older file stays as it was. It only reads its arguments, so it may run on another thread while
 * the table lives and names do not change. */
bool snapshot_write(const char *path, const struct table *table, const char *chain, const struct names *names,
                    char *reason, size_t size);

enum snapshot_result {
    SNAPSHOT_READ,    /* *table belongs to the caller */
    SNAPSHOT_ABSENT,  /* there is no file */
    SNAPSHOT_REFUSED, /* it cannot be read or is not exactly what snapshot_write writes; reason says why */
};
enum snapshot_result snapshot_read(const char *path, struct names *names, struct table **table,
                                   char chain[CHAIN_LEN + 1], char *reason, size_t size);

#endif
