/* waiting ──▶ job (on a thread of the pool) ──▶ last (it is on disk), or back to waiting where it failed and
 * nothing newer came. The job writes what differs from last, or all of it. */
#include "routing/saver.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/journal.h"
#include "routing/snapshot.h"

enum {
    REASON_MAX = 300,
    JOURNAL_OCTETS_MAX = 8 << 20, /* beyond which the table is written whole */
    QUIET_CALLS = 5,              /* of saver_retry without a change, after which it is, too */
};

/* A table and its fingerprint; table NULL: none. */
struct moment {
    struct table *table;
    char chain[CHAIN_LEN + 1];
};

struct saver {
    uv_loop_t *loop;
    char *path;
    const struct names *names;
    saver_done *done;
    void (*closed)(void *ctx);
    bool ending;
    void *ctx;
    struct moment waiting;
    struct moment last; /* what is on disk; table NULL: not known */
    unsigned quiet;     /* calls of saver_retry since the last change */
    /* What the job reads and writes, while it is busy: nobody else does then. */
    bool busy;
    uv_work_t work;
    struct moment job;
    struct names job_names; /* the main thread may add names meanwhile */
    bool whole;             /* write all of it */
    size_t journal_octets;
    bool written;
    char reason[REASON_MAX];
};

struct saver *saver_new(uv_loop_t *loop, const char *path, const struct names *names, saver_done *done,
                        void *ctx)
{
    struct saver *saver = calloc(1, sizeof(*saver));
    char *copy = strdup(path);
    if (saver == NULL || copy == NULL) {
        free(saver);
        free(copy);
        return NULL;
    }
    saver->loop = loop;
    saver->path = copy;
    saver->names = names;
    saver->done = done;
    saver->ctx = ctx;
    saver->work.data = saver;
    return saver;
}

static void job_run(uv_work_t *work)
{
    struct saver *saver = work->data;
    const struct moment *job = &saver->job;
    if (!saver->whole && saver->last.table != NULL && saver->journal_octets < JOURNAL_OCTETS_MAX) {
        saver->written = journal_append(saver->path, saver->last.table, job->table, job->chain,
                                        &saver->job_names, &saver->journal_octets);
        if (saver->written)
            return;
    }
    saver->journal_octets = JOURNAL_OCTETS_MAX; /* a piece of a line may be there */
    saver->written = snapshot_write(saver->path, job->table, job->chain, &saver->job_names, saver->reason,
                                    sizeof(saver->reason));
    if (saver->written) {
        journal_remove(saver->path);
        saver->journal_octets = 0;
    }
}

static void saver_free(struct saver *saver)
{
    void (*closed)(void *ctx) = saver->closed;
    void *ctx = saver->ctx;
    table_free(saver->waiting.table);
    table_free(saver->last.table);
    free(saver->path);
    free(saver);
    closed(ctx);
}

static void job_start(struct saver *saver);
static void end(struct saver *saver);

static void job_done(uv_work_t *work, int status)
{
    struct saver *saver = work->data;
    uint64_t version = table_version(saver->job.table);
    bool newer = saver->waiting.table != NULL;
    saver->busy = false;
    if (!saver->written && !newer && status == 0) {
        saver->waiting = saver->job;
        saver->job.table = NULL;
    }
    if (saver->written && status == 0) {
        table_free(saver->last.table);
        saver->last = saver->job;
        saver->job.table = NULL;
    }
    table_free(saver->job.table);
    saver->job.table = NULL;
    saver->whole = false;
    if (saver->closed == NULL)
        saver->done(saver->ctx, version, saver->written ? NULL : saver->reason);
    if (newer)
        job_start(saver);
    if (saver->closed != NULL)
        end(saver);
}

static void job_start(struct saver *saver)
{
    saver->job = saver->waiting;
    saver->waiting.table = NULL;
    saver->job_names = *saver->names;
    saver->busy = uv_queue_work(saver->loop, &saver->work, job_run, job_done) == 0;
    if (!saver->busy) { /* it waits for saver_retry, as a table that could not be written does */
        saver->waiting = saver->job;
        saver->job.table = NULL;
    }
}

bool saver_save(struct saver *saver, const struct table *table, const char *chain)
{
    struct table *clone = table_clone(table);
    if (clone == NULL)
        return false; /* without memory for a few pages, the disk is the least worry */
    table_free(saver->waiting.table);
    saver->waiting.table = clone;
    snprintf(saver->waiting.chain, sizeof(saver->waiting.chain), "%s", chain);
    saver->quiet = 0;
    if (!saver->busy)
        job_start(saver);
    return true;
}

void saver_begin(struct saver *saver, const struct table *table, const char *chain)
{
    saver->last.table = table_clone(table);
    snprintf(saver->last.chain, sizeof(saver->last.chain), "%s", chain);
    saver->journal_octets = journal_exists(saver->path) ? JOURNAL_OCTETS_MAX : 0; /* its end may be cut off */
}

/* Writes whole what is in two files. */
static void write_whole(struct saver *saver)
{
    if (saver->busy || saver->waiting.table != NULL || saver->last.table == NULL ||
        saver->journal_octets == 0)
        return;
    saver->waiting = saver->last;
    saver->waiting.table = table_clone(saver->last.table);
    saver->whole = true;
    if (saver->waiting.table != NULL)
        job_start(saver);
}

void saver_retry(struct saver *saver)
{
    if (saver->waiting.table != NULL && !saver->busy)
        job_start(saver);
    else if (++saver->quiet >= QUIET_CALLS)
        write_whole(saver);
}

/* One more try to leave one file and not two, then it is free. */
static void end(struct saver *saver)
{
    if (!saver->busy && !saver->ending) {
        saver->ending = true;
        write_whole(saver);
    }
    if (!saver->busy)
        saver_free(saver);
}

void saver_close(struct saver *saver, void (*closed)(void *ctx))
{
    saver->closed = closed;
    if (saver->waiting.table != NULL && !saver->busy)
        job_start(saver);
    end(saver);
}
