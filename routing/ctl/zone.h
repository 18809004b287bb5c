/* Times as people in a time zone write them.
 *
 *   "2026-09-27T10:00+13:00", or "2026-09-27 10:00" and "Pacific/Auckland" ──zone_parse──▶ ms since 1970
 *   ms since 1970 and a zone ──zone_text──▶ "2026-09-27 10:00:00 +1300"
 *
 * A local time that the clocks skip, or show twice, is refused: where it matters most nobody should guess. The
 * zones are those of the system (package tzdata). */
#ifndef ROUTING_CTL_ZONE_H
#define ROUTING_CTL_ZONE_H

#include <stdbool.h>
#include <stdint.h>

#include "routing/ctl/output.h"

enum { ZONE_NAME_MAX = 64, ZONE_REASON_SIZE = 240 };

struct zone {
    char name[ZONE_NAME_MAX + 1]; /* "Pacific/Auckland", or an offset: "+13:00"; "": none is known */
    bool fixed;                   /* it is an offset */
    long offset_s;                /* then: east of Greenwich */
};

/* A name of the system's zones, or an offset ("Z", "+13", "+1300", "+13:00"). False where it is neither. */
bool zone_find(const char *name, struct zone *zone);

/* A time with an offset, or without one in the zone (which may be NULL, or without a name: then it needs an
 * offset). Where the text has an offset and said is not NULL, *said is that as a zone. False with a sentence in
 * reason. */
bool zone_parse(const char *text, const struct zone *zone, uint64_t *ms, struct zone *said,
                char reason[ZONE_REASON_SIZE]);

/* "2026-09-27 10:00:00 +1300"; "-" for 0. Without a name in the zone: in local time. */
const char *zone_text(const struct zone *zone, uint64_t ms, char text[TIME_TEXT_SIZE]);

#endif
