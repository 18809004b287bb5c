/* Messages that a client cuts into several parts, and the rule that all parts of one go to one platform, also over a flip
 * (facts from the field; proxy/multipart.h).
 *
 *   series_new ─▶ its parts, one after another or in any order, between other messages, by one session of a client or by
 *                 any of its sessions at an instance, whose workers share what they know ─▶ series_arrived ─▶ the rule
 *
 * What the proxy cannot promise is not judged: where the session that carried the first part has ended since, or that of a
 * later part had none there; where the table of parts was too small or its time was over. A part that follows an earlier
 * one by the old route after a flip is no breach of the barrier (series_excuses). */
#ifndef TEST_SIM_PARTS_H
#define TEST_SIM_PARTS_H

#include "test/sim/ledger.h"

enum { PARTS_MAX = 5, SERIES_HEADER_MAX = 7, SERIES_TLVS_MAX = 16 };

enum series_kind { SERIES_UDH_8, SERIES_UDH_16, SERIES_SAR };

struct series {
    struct series *older; /* of the world */
    const struct process *at;
    unsigned shortcode, carrier;
    char to[24]; /* the handset */
    enum series_kind kind;
    uint16_t reference;
    unsigned total, tries;
    uint64_t began;
    unsigned left;                    /* parts still to be sent, as bits */
    struct message *parts[PARTS_MAX]; /* as sent last; NULL: not yet */
    bool shuffled;
};

void series_begin(void);

/* Another one at this instance; before: the last one of those who send it, NULL for none. Some have its handset, some
 * even its reference, when it has arrived whole. */
struct series *series_new(const struct process *at, unsigned shortcode, unsigned carrier,
                          const struct series *before);

/* The part to be sent next, from 0; there must be one left. */
unsigned series_next(const struct series *s);

/* The user data header or the TLVs of a part. */
size_t series_header(const struct message *m, uint8_t header[SERIES_HEADER_MAX]);
size_t series_tlvs(const struct message *m, uint8_t tlvs[SERIES_TLVS_MAX]);

/* A part has arrived at its SMSC. */
void series_arrived(struct message *m);

/* May this part go by another route than was reported as applied at that time? */
bool series_excuses(const struct message *m, unsigned platform, uint64_t applied);

#endif
