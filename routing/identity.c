#include "routing/identity.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

void identity_init(struct identity *identity, const char *wanted)
{
    uint64_t random = 0;
    *identity = (struct identity){.wanted = wanted, .pid = (int)getpid()};
    if (uv_random(NULL, NULL, &random, sizeof random, 0, NULL) != 0) {
        random = (uint64_t)time(NULL) << 32 | (uint32_t)identity->pid;
    }
    snprintf(identity->token, sizeof identity->token, "%016llx", (unsigned long long)random);
    snprintf(identity->alias, sizeof identity->alias, "%.*s~%.4s", IDENTITY_NAME_MAX - 8, wanted,
             identity->token);
    if (gethostname(identity->host, IDENTITY_HOST_MAX) != 0 || identity->host[0] == '\0') {
        strcpy(identity->host, "?");
    }
}

bool identity_is_taken(const char *error)
{
    return strncmp(error, "TAKEN ", 6) == 0;
}

/* A process of this host that is no more. Our own number in another's entry proves nothing: containers on one
 * host's network all have pid 1. */
static bool is_dead(const struct identity *identity, const char *host, int pid)
{
    return strcmp(host, identity->host) == 0 && pid > 0 && pid != identity->pid && kill(pid, 0) != 0 &&
           errno == ESRCH;
}

bool identity_taken(struct identity *identity, const char *error)
{
    char token[IDENTITY_TOKEN_LEN + 1] = "";
    char host[IDENTITY_HOST_MAX + 1] = "";
    char number[12] = "";
    identity->aliased = true;
    if (sscanf(error, "TAKEN %16s %64s %11s", token, host, number) == 3 &&
        is_dead(identity, host, (int)strtol(number, NULL, 10)) && strcmp(identity->takes_over, token) != 0) {
        memcpy(identity->takes_over, token, sizeof token);
        identity->aliased = false;
        return true;
    }
    return false;
}
