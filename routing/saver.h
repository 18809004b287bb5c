/* Keeps the snapshot on disk up to date, off the loop's thread.
 *
 *   saver_save(table, chain) ──▶ thread pool: journal_append, or snapshot_write ──▶ done(version, reason where
 *                                                                                        it failed)
 *
 * What differs from the table that was written last goes to the journal, which is a matter of a line; the
 * whole table is written at first, when the journal has grown long, after a pause in the changes, and at the
 * end. At most one write is under way; what comes meanwhile waits, the newest only. A failed write is tried
 * again with the next table or by saver_retry. */
#ifndef ROUTING_SAVER_H
#define ROUTING_SAVER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "routing/names.h"
#include "routing/table.h"

struct saver;

/* An attempt to write this version has ended; reason NULL: it is on disk. */
typedef void saver_done(void *ctx, uint64_t version, const char *reason);

/* NULL without memory. names must outlive it. */
struct saver *saver_new(uv_loop_t *loop, const char *path, const struct names *names, saver_done *done,
                        void *ctx);

/* The table is cloned; main thread only. False without memory: done does not follow. */
bool saver_save(struct saver *saver, const struct table *table, const char *chain);

/* This table is what is on disk. */
void saver_begin(struct saver *saver, const struct table *table, const char *chain);

/* To be called every second or two: tries again what could not be written, and writes the table whole when it
 * has not changed for a while. */
void saver_retry(struct saver *saver);

/* Writes what waits, then frees it and calls closed(ctx), perhaps at once. done is not called any more. */
void saver_close(struct saver *saver, void (*closed)(void *ctx));

#endif
