/* The local time of a zone, from the system's zone files: tzset() is for a whole process, and its threads share it.
 *
 *   "Pacific/Auckland" ──/usr/share/zoneinfo, RFC 8536──▶ the offset that held at a time */
#ifndef PROXY_HOOKS_ZONE_H
#define PROXY_HOOKS_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HOOK_ZONE_TEXT_SIZE = 40 };

/* "2026-09-27 10:00:00 +1300", from milliseconds since 1970. A name may be an offset, "+13:00" or "Z". False where
 * there is no such zone. */
bool hook_zone_text(const char *name, uint64_t ms, char text[HOOK_ZONE_TEXT_SIZE]);

/* Seconds east of Greenwich at a time (seconds since 1970) by the octets of a zone file. False where they are none. */
bool hook_zone_offset(const uint8_t *file, size_t len, int64_t at, int32_t *offset);

#endif
