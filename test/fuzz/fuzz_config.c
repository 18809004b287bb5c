/* The config file: read, or refused with a reason that names the file; nothing leaks either way.
 *
 *   input ──file in memory──▶ config_read ──▶ config, or "FILE:LINE: what is wrong" */
#include <sys/mman.h>
#include <unistd.h>

#include "proxy/config.h"
#include "test/fuzz/fuzz.h"

enum { ERROR_MAX = 16384 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char error[ERROR_MAX];
    struct config_ids ids = {0};
    char path[64];
    int fd = memfd_create("config", MFD_CLOEXEC);
    MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    error[0] = '\0';
    struct config *config = config_read(path, &ids, error, sizeof error);
    MUST(config != NULL || strncmp(error, path, strlen(path)) == 0);
    if (config != NULL) {
        struct config *again = config_read(path, &ids, error, sizeof error);
        char restart[ERROR_MAX] = "";
        MUST(again != NULL);
        config_needs_restart(config, again, restart, sizeof restart);
        MUST(restart[0] == '\0');
        config_free(again);
    }
    config_free(config);
    config_ids_free(&ids);
    close(fd);
    return 0;
}
