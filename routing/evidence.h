/* What was seen of one (shortcode, carrier) since its route last led to another platform: the proof that a move
 * has worked, or not. Values only; neither Redis nor clock.
 *
 *   workers' counters ──▶ struct evidence ──evidence_text──▶ Redis, one an instance and process
 *                                                             │
 *   status, watch, guards, report ◀── evidence_set ◀──evidence_set_add── (merged over instances and restarts)
 *
 * A record counts for two platforms: the one that the route names today (`now`), and the other one: that which
 * served before, or to which an open window will move the cell. What the old route did before the move is kept
 * as `before`, for comparison, and what each platform did in
 * earlier times as `pasts`, so that a cell which moves back and again still has its sum. Counters add up over instances; of first times the earliest counts, of last times
 * the latest. All times are milliseconds since 1970, 0 for never. */
#ifndef ROUTING_EVIDENCE_H
#define ROUTING_EVIDENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routing/names.h"
#include "routing/table.h"

/* Of one platform. X(field, how it is merged, what it is): SUM, the earliest (FIRST; 0 is none) or the highest
 * (LAST). The field is the member's name in JSON. */
#define EVIDENCE_SIDE(X)                                                                       \
    X(mt_sent, SUM, "messages sent to the SMSC")                                               \
    X(mt_accepted, SUM, "of them, accepted by it")                                             \
    X(mt_refused, SUM, "of them, refused by it")                                               \
    X(mt_unknown, SUM, "of them, outcome unknown: the leg ended, or no answer in time")        \
    X(held_expired, SUM, "refused by the proxy: kept back until the hold budget ended")        \
    X(held_full, SUM, "refused by the proxy: too many were kept back")                         \
    X(closed, SUM, "refused by the proxy: the route was closed")                               \
    X(refused_else, SUM, "refused by the proxy for another cause")                             \
    X(waited, SUM, "messages kept back, for a held route, a leg or a window")                  \
    X(released, SUM, "of them, sent on")                                                       \
    X(waited_longest_ms, LAST, "the longest that one of them was kept back")                   \
    X(receipts_awaited, SUM, "accepted messages that asked for a receipt")                     \
    X(receipts, SUM, "receipts that came by this platform and were accepted")                  \
    X(mo, SUM, "messages from handsets that came by this platform and were accepted")          \
    X(mo_refused, SUM, "of both, refused by the client or the proxy: not among them")          \
    X(wrong_mo, SUM, "messages from handsets that came by it while the route named the other") \
    X(wrong_receipts, SUM, "receipts that came by it of messages that the other had accepted") \
    X(wrong_first_ms, FIRST, "the first of these two")                                         \
    X(wrong_last_ms, LAST, "and the last")                                                     \
    X(mt_first_ms, FIRST, "first message accepted since the move")                             \
    X(mt_last_ms, LAST, "last message accepted, also before the move")                         \
    X(mo_first_ms, FIRST, "first message from a handset since the move")                       \
    X(mo_last_ms, LAST, "last message from a handset, also before the move")                   \
    X(receipt_first_ms, FIRST, "first receipt since the move")                                 \
    X(receipt_last_ms, LAST, "last receipt, also before the move")                             \
    X(legs_lost, SUM, "bound legs of its link that ended without our asking, since the move")

/* Of the platform that served until the move. */
#define EVIDENCE_BEFORE(X)                                                                     \
    X(mt_accepted, SUM, "messages accepted before the move")                                   \
    X(mt_refused, SUM, "messages refused by the SMSC before the move")                         \
    X(mt_unknown, SUM, "messages of unknown outcome before the move")                          \
    X(proxy_refused, SUM, "messages refused by the proxy before the move, closed not counted") \
    X(mo, SUM, "messages from handsets before the move")                                       \
    X(receipts, SUM, "receipts before the move")                                               \
    X(since_ms, FIRST, "since when these were counted")

/* Of the cell. */
#define EVIDENCE_CELL(X)                                                                                \
    X(since_ms, FIRST,                                                                                  \
      "since when this record counts: the move, or later where the process or the traffic began later") \
    X(mo_twice, SUM, "messages from a handset seen on both platforms within a short time")              \
    X(mo_twice_first_ms, FIRST, "the first of them")                                                    \
    X(mo_twice_last_ms, LAST, "and the last")                                                           \
    X(elsewhere, SUM, "messages from handsets and receipts by a third platform")

/* Of a platform, in a time that is over: between two moves of the cell. */
#define EVIDENCE_PAST(X)                                                       \
    X(mt_sent, SUM, "messages sent to the SMSC")                               \
    X(mt_accepted, SUM, "messages accepted")                                   \
    X(mt_refused, SUM, "messages refused by the SMSC")                         \
    X(mt_unknown, SUM, "messages of unknown outcome")                          \
    X(proxy_refused, SUM, "messages refused by the proxy, closed among them")  \
    X(mo, SUM, "messages from handsets")                                       \
    X(receipts, SUM, "receipts")                                               \
    X(wrong_mo, SUM, "of the messages from handsets, those by the wrong path") \
    X(wrong_receipts, SUM, "of the receipts, those by the wrong path")

#define EVIDENCE_MEMBER(field, merge, help) uint64_t field;
enum { EVIDENCE_STATUSES = 8, EVIDENCE_MINUTES = 60, EVIDENCE_PASTS = 12 };

struct evidence_status {
    uint32_t status;
    uint64_t count;
};

struct evidence_side {
    char platform[NAME_LEN_MAX + 1]; /* "": there is none */
    EVIDENCE_SIDE(EVIDENCE_MEMBER)
    /* mt_refused by command_status, the most frequent first; count 0 ends them. The rest is the difference. */
    struct evidence_status statuses[EVIDENCE_STATUSES];
};

struct evidence_before {
    EVIDENCE_BEFORE(EVIDENCE_MEMBER)
};

struct evidence_past {
    char platform[NAME_LEN_MAX + 1]; /* "": there is none, as in all that follow */
    uint64_t changed_ms;             /* the move with which that time began, whole seconds; 0: before any */
    uint64_t until_ms; /* of several times that became one, the move with which the last began; else 0 */
    EVIDENCE_PAST(EVIDENCE_MEMBER)
};

struct evidence {
    char shortcode[SHORTCODE_LEN_MAX + 1];
    char carrier[NAME_LEN_MAX + 1];
    uint64_t changed_ms; /* when the route last led to another platform, whole seconds; 0: never */
    struct evidence_side now, other;
    struct evidence_before before;
    /* What has been counted before now and other began anew, each answer when it came; in no order. Where there are
     * more, the two oldest of a platform become one. */
    struct evidence_past pasts[EVIDENCE_PASTS];
    EVIDENCE_CELL(EVIDENCE_MEMBER)
    /* Messages sent in each of the last 60 minutes, by either platform: minutes[0] in the minute `minute`
     * (since 1970), which is not over yet, minutes[1] in the one before ... */
    uint64_t minute;
    uint32_t minutes[EVIDENCE_MINUTES];
};
#undef EVIDENCE_MEMBER

/* Its JSON, malloc'd; members that are 0 are left out. NULL without memory. */
char *evidence_text(const struct evidence *evidence);

/* The same as a jansson value, NULL without memory; and back. False, with *evidence as it was, where it is no
 * such thing. Members that are not known are skipped. */
struct json_t;
struct json_t *evidence_json(const struct evidence *evidence);
bool evidence_parse(const char *text, size_t len, struct evidence *evidence);

/* Adds what another instance, or an earlier process, has seen of the same cell. Where one of them is of a later
 * move, or of another platform since the same second, that one alone counts: the later, else the first; the other is
 * added to its past. */
void evidence_merge(struct evidence *into, const struct evidence *from);

/* Counts a refusal by its status; `count` of them. */
void evidence_refusal(struct evidence_side *side, uint32_t status, uint64_t count);

/* Adds to the past what a side has counted since a move. */
void evidence_past_add(struct evidence *evidence, const struct evidence_past *past);
struct evidence_past evidence_past_of(const struct evidence_side *side, uint64_t changed_ms);

/* The route now leads to another platform: what was counted becomes `before` and last times of the other side. */
void evidence_turn(struct evidence *evidence, const char *platform, uint64_t changed_ms);

/* Messages sent in the hour up to now, where now is a minute since 1970. */
uint64_t evidence_hour(const struct evidence *evidence, uint64_t now_minute);

/* Messages answered since the move by the platform of today, and of them, those that went wrong: refused, unknown,
 * or refused by the proxy (not because the route was closed). The same of before the move. */
struct evidence_share {
    uint64_t all, wrong;
};
struct evidence_share evidence_share_now(const struct evidence *evidence);
struct evidence_share evidence_share_before(const struct evidence *evidence);

/* Evidence of many cells, sorted by shortcode and carrier once evidence_set_sort was called. */
struct evidence_set {
    size_t count, space;
    struct evidence *items;
};

/* A record as an instance wrote it; one that cannot be read is skipped (false), as without memory. */
bool evidence_set_add(struct evidence_set *set, const char *text, size_t len);

/* Sorts, and merges the records of a cell into one. */
void evidence_set_sort(struct evidence_set *set);

/* NULL where there is none. After evidence_set_sort. */
const struct evidence *evidence_set_find(const struct evidence_set *set, const char *shortcode,
                                         const char *carrier);
void evidence_set_free(struct evidence_set *set);

#endif
