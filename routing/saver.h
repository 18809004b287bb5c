/* Keeps the snapshot on disk up to date, off the loop's thread.
 *
 *   saver_save(table, chain) ──▶ thread pool: snapshot_write ──▶ done(version, reason where it failed)
 *
 * At most one write is under way; what comes meanwhile waits, the newest only. A failed write is tried again
 * with the next table or by saver_retry. */
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

/* Tries again what could not be written. */
void saver_retry(struct saver *saver);

/* Writes what waits, then frees it and calls closed(ctx), perhaps at once. done is not called any more. */
void saver_close(struct saver *saver, void (*closed)(void *ctx));

#endif
