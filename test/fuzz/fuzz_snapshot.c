/* The table on disk: refused with a reason, or read, and then written and read again it is the same table.
 *
 *   input ──file in memory──▶ snapshot_read ──▶ table ──snapshot_write──▶ file ──snapshot_read──▶ the same */
#include <sys/mman.h>
#include <unistd.h>

#include "routing/snapshot.h"
#include "test/fuzz/fuzz.h"

enum { REASON_MAX = 300 };

static bool cell_in_other(void *ctx, const char *shortcode, uint8_t carrier, const struct route *route)
{
    struct route again;
    MUST(table_cell(ctx, shortcode, carrier, &again));
    MUST(again.platform == route->platform && again.state == route->state &&
         again.previous == route->previous);
    MUST(again.changed == route->changed);
    return true;
}

static void write_and_read(struct table *table, const char *chain, struct names *names)
{
    char path[64];
    char reason[REASON_MAX] = "";
    char chain_again[CHAIN_LEN + 1];
    struct table *again = NULL;
    snprintf(path, sizeof path, "/dev/shm/fuzz_snapshot.%d", (int)getpid());
    MUST(snapshot_write(path, table, chain, names, reason, sizeof reason));
    MUST(snapshot_read(path, names, &again, chain_again, reason, sizeof reason) == SNAPSHOT_READ);
    MUST(strcmp(chain, chain_again) == 0 && table_version(table) == table_version(again));
    MUST(table_count(table) == table_count(again));
    table_each(table, cell_in_other, again);
    table_free(again);
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct names names = {0};
    struct table *table = NULL;
    char path[64];
    char chain[CHAIN_LEN + 1];
    char reason[REASON_MAX] = "";
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    enum snapshot_result result = snapshot_read(path, &names, &table, chain, reason, sizeof reason);
    close(fd);
    MUST(result != SNAPSHOT_ABSENT && (result == SNAPSHOT_READ || reason[0] != '\0'));
    if (result == SNAPSHOT_READ)
        write_and_read(table, chain, &names);
    table_free(table);
    return 0;
}
