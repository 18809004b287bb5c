/* waiting ──▶ job (on a thread of the pool) ──▶ written, or back to waiting where it failed and nothing newer
 * came */
#include "routing/saver.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/snapshot.h"

enum { REASON_MAX = 300 };

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
    void *ctx;
    struct moment waiting;
    /* What the job reads and writes, while it is busy: nobody else does then. */
    bool busy;
    uv_work_t work;
    struct moment job;
    struct names job_names; /* the main thread may add names meanwhile */
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
    saver->written = snapshot_write(saver->path, saver->job.table, saver->job.chain, &saver->job_names,
                                    saver->reason, sizeof(saver->reason));
}

static void saver_free(struct saver *saver)
{
    void (*closed)(void *ctx) = saver->closed;
    void *ctx = saver->ctx;
    table_free(saver->waiting.table);
    free(saver->path);
    free(saver);
    closed(ctx);
}

static void job_start(struct saver *saver);

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
    table_free(saver->job.table);
    saver->job.table = NULL;
    if (saver->closed == NULL)
        saver->done(saver->ctx, version, saver->written ? NULL : saver->reason);
    if (newer)
        job_start(saver);
    if (!saver->busy && saver->closed != NULL)
        saver_free(saver);
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
    if (!saver->busy)
        job_start(saver);
    return true;
}

void saver_retry(struct saver *saver)
{
    if (saver->waiting.table != NULL && !saver->busy)
        job_start(saver);
}

void saver_close(struct saver *saver, void (*closed)(void *ctx))
{
    saver->closed = closed;
    saver_retry(saver);
    if (!saver->busy)
        saver_free(saver);
}
