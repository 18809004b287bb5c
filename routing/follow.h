/* Following the table's changes: what to ask Redis next, what its answer makes of the table, and when its
 * table must not be taken. Pure: it knows neither Redis nor a clock, so that whole histories can be played to
 * it.
 *
 *   follow_ask ──▶ (the store asks Redis) ──▶ follow_info, follow_page, follow_changes
 *              ──▶ follow_take: the next table
 *              ──▶ follow_state, follow_reason: for the operator
 *
 * The caller asks one thing at a time: after each answer it takes what there is to publish and looks at
 * follow_ask again. An answer to what was not asked (any more) is ignored.
 *
 * The table goes forward only. It takes a change whose number is the next and whose parent is the fingerprint
 * of the history served; and a whole table where the stream no longer reaches back to it, or after a restore.
 * A Redis with a lower version or another history is refused until it is consistent again or was restored. */
#ifndef ROUTING_FOLLOW_H
#define ROUTING_FOLLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routing/change.h"
#include "routing/names.h"
#include "routing/table.h"

#define STORE_STATES(X)                                                   \
    X(STORE_CONNECTING, "connecting") /* or waiting to try again */       \
    X(STORE_LOADING, "loading")       /* reads the table */               \
    X(STORE_FOLLOWING, "following")   /* up to date, waits for changes */ \
    X(STORE_REFUSED, "refused")       /* Redis holds an older or another history: its table is not taken */

#define STORE_STATE_ENUM(id, name) id,
enum store_state { STORE_STATES(STORE_STATE_ENUM) STORE_STATE_COUNT };
#undef STORE_STATE_ENUM
const char *store_state_name(enum store_state state);

struct follow;

/* Starts from a table (which belongs to follow then) and its history's fingerprint, or from nothing: NULL,
 * "". names must outlive it; names met are given numbers there. NULL without memory (the table is freed then
 * too). */
struct follow *follow_new(struct names *names, struct table *table, const char *chain);
void follow_free(struct follow *follow);

/* --- what to ask ---------------------------------------------------------------------------------------- */

enum follow_need {
    FOLLOW_NOTHING, /* not connected */
    FOLLOW_INFO,    /* turnout_info, answered by follow_info */
    FOLLOW_PAGE,    /* turnout_load from cursor, answered by follow_page */
    FOLLOW_CHANGES, /* entries of the stream after a version, answered by follow_changes */
    FOLLOW_PAUSE,   /* nothing for a second or some, then follow_resume */
};

struct follow_ask {
    enum follow_need need;
    const char *cursor; /* FOLLOW_PAGE; valid until the answer */
    uint64_t after;     /* FOLLOW_CHANGES: entries with a higher version, some dozens at most */
    bool wait;          /* FOLLOW_CHANGES: where there are none, wait some seconds for one */
};

struct follow_ask follow_ask(const struct follow *follow);

/* --- what happened -------------------------------------------------------------------------------------- */

void follow_connected(struct follow *follow);

/* The connection is gone, or could not be made: reason is shown to the operator. What was asked is void. */
void follow_disconnected(struct follow *follow, const char *reason);

/* Redis answered what was asked with an error. */
void follow_error(struct follow *follow, const char *error);

void follow_resume(struct follow *follow);

void follow_info(struct follow *follow, uint64_t version, const char *chain);

struct follow_page {
    uint64_t version;
    const char *chain;
    const char *cursor; /* of the next page; "0" after the last */
    size_t cells;       /* in text: shortcode, carrier, value for each */
    const char *const *text;
};
void follow_page(struct follow *follow, const struct follow_page *page);

/* One entry of the stream, as change_parse takes it. */
struct follow_entry {
    uint64_t version;
    const char *const *fields;
    const size_t *lens;
    size_t count;
};
/* In order of version. None: nothing came while waiting, or there is nothing. */
void follow_changes(struct follow *follow, const struct follow_entry *entries, size_t count);

/* Redis' version by the way, as every beat answers it; sent is follow_version at the time when the beat was
 * sent. */
void follow_beat(struct follow *follow, uint64_t sent, uint64_t version);

/* --- what came of it ------------------------------------------------------------------------------------ */

/* The next table to publish, or NULL; it belongs to the caller. Versions only grow. */
struct table *follow_take(struct follow *follow);

/* What is to be known besides the state, once: valid until the next call of any of these functions, or NULL.
 */
const char *follow_trouble(struct follow *follow);

enum store_state follow_state(const struct follow *follow);
const char *follow_reason(const struct follow *follow); /* a sentence, never NULL */

/* The table followed (what was published last, or is about to be); it belongs to follow. */
const struct table *follow_table(const struct follow *follow);
uint64_t follow_version(const struct follow *follow);
const char *follow_chain(const struct follow *follow);

/* The highest version known to exist in Redis, now or before. */
uint64_t follow_desired(const struct follow *follow);

#endif
