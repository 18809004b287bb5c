/* The changes since the snapshot on disk, so that a change of one row costs a line and not the whole table.
 *
 *   two tables ──journal_append: the rows that differ──▶ path.journal, a line, fdatasync
 *   snapshot as JSON ──journal_replay: line by line──▶ the table as it was last
 *
 * A line: {"from": 41, "version": 42, "chain": "40 hex digits", "rows": {shortcode: {carrier: value}}}, with
 * values as in the snapshot; a row without cells was removed. Lines up to the snapshot's own version are
 * skipped: they were left by a process that ended between the two files. A last line that was cut off counts
 * as not written. */
#ifndef ROUTING_JOURNAL_H
#define ROUTING_JOURNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "routing/change.h"
#include "routing/names.h"
#include "routing/table.h"

/* Adds what makes `now` of `old`, which is what snapshot and journal hold. False where it could not be
 * written, or where so much differs that the whole table is as well written: a snapshot must follow then,
 * since a piece of a line may be there. *octets grows by what was written. It only reads its arguments, so it
 * may run on another thread. */
bool journal_append(const char *path, const struct table *old, const struct table *now, const char *chain,
                    const struct names *names, size_t *octets);

/* Takes the snapshot at path, as JSON, on to where the journal beside it ends; no journal is a short one.
 * False, with a reason (of size), where a whole line is damaged or does not continue what is before it. What
 * cells hold is not looked at. */
bool journal_replay(const char *path, json_t *snapshot, char *reason, size_t size);

bool journal_exists(const char *path);

/* A snapshot of all of it was written. */
void journal_remove(const char *path);

#endif
