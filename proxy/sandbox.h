/* What turnoutd gives up before it serves anybody, so that whoever takes it over has little.
 *
 *   config ──▶ sandbox_drop: user, group, no new privileges, no core dumps ──▶ files, Redis, listeners are opened
 *          ──▶ sandbox_close: system calls that nothing here makes ──▶ fail with EPERM, or end the process
 *
 * Before any other thread begins, so that all of them are bound by it. */
#ifndef PROXY_SANDBOX_H
#define PROXY_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "proxy/config.h"

/* Becomes the user and group of the config, for good, and gives up what makes the memory readable to others: passwords and
 * keys are in it. False, and error (cap octets) says why. */
bool sandbox_drop(const struct config *config, char *error, size_t cap);

/* Installs the filter of system calls. False where the config insists on it and it cannot be had; error says why. Where it
 * is left out otherwise, error says so, too; it is empty where the filter is in place. */
bool sandbox_close(const struct config *config, char *error, size_t cap);

#endif
