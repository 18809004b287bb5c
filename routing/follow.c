/* connected ──▶ INFO ──same version and chain──▶ WAIT ──entries──▶ apply ──▶ WAIT ...
 *                │                                │ └──none came──▶ INFO
 *                ├──Redis is ahead──▶ PROBE ──entries that follow──▶ apply ──▶ WAIT
 *                │                     └──none, a gap, a restore──▶ PAGES ──▶ CATCH_UP ──▶ WAIT
 *                └──Redis is behind, or differs──▶ refused, WAIT (for a restore)
 *
 * PAGES reads rows while changes go on; after each page that is newer than what was read before, CATCH_UP
 * applies the changes up to it, so that what is published is the table of one moment. This also proves the
 * pages to be of one history: comparing the last one alone let a page of a fork through (found by the random
 * worlds of test_follow.c).
 *
 * While refused, WAIT reads on past the entries that do not follow, since a restore may stand behind them,
 * and INFO comes back to PROBE, since the right Redis may have come back. */
#include "routing/follow.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOADS_MAX = 5, /* loads in a row that changes overtook, before a pause */
    CURSOR_MAX = 24,
    TEXT_MAX = 480,
};

enum phase { PHASE_IDLE, PHASE_INFO, PHASE_PROBE, PHASE_WAIT, PHASE_PAGES, PHASE_CATCH_UP, PHASE_PAUSE };

/* A table as it is read: NULL before the first page. */
struct load {
    struct table *table;
    char chain[CHAIN_LEN + 1]; /* of the changes applied to it */
    char cursor[CURSOR_MAX];
    uint64_t target; /* version and fingerprint of the last page: the changes up to it are needed */
    char target_chain[CHAIN_LEN + 1];
    unsigned tries;
};

struct follow {
    struct names *names;
    struct table *table;
    char chain[CHAIN_LEN + 1];
    uint64_t desired;
    uint64_t target; /* Redis' version at the last look: behind it, this is catching up */
    enum phase phase;
    uint64_t after; /* WAIT: entries up to this one were seen */
    bool refused;
    bool fresh; /* table is to be published */
    struct load load;
    enum store_state state;
    char reason[TEXT_MAX];
    char trouble[TEXT_MAX], trouble_shown[TEXT_MAX];
};

#define STORE_STATE_NAME(id, name) name,
static const char *const state_names[] = {STORE_STATES(STORE_STATE_NAME)};
#undef STORE_STATE_NAME

const char *store_state_name(enum store_state state)
{
    return (unsigned)state < STORE_STATE_COUNT ? state_names[state] : "?";
}

/* --- life and outlook ----------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void state_set(struct follow *follow, enum store_state state,
                                                            const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    follow->state = state;
    vsnprintf(follow->reason, sizeof(follow->reason), format, arguments);
    va_end(arguments);
}

struct follow *follow_new(struct names *names, struct table *table, const char *chain)
{
    struct follow *follow = calloc(1, sizeof(*follow));
    if (table == NULL)
        table = table_new();
    if (follow == NULL || table == NULL) {
        free(follow);
        table_free(table);
        return NULL;
    }
    follow->names = names;
    follow->table = table;
    follow->desired = table_version(table);
    snprintf(follow->chain, sizeof(follow->chain), "%s", chain);
    state_set(follow, STORE_CONNECTING, "Not connected yet.");
    return follow;
}

static void load_drop(struct load *load)
{
    table_free(load->table);
    load->table = NULL;
}

void follow_free(struct follow *follow)
{
    if (follow == NULL)
        return;
    load_drop(&follow->load);
    table_free(follow->table);
    free(follow);
}

struct table *follow_take(struct follow *follow)
{
    struct table *next = follow->fresh ? table_clone(follow->table) : NULL;
    if (next != NULL)
        follow->fresh = false; /* without memory it is offered again */
    return next;
}

const char *follow_trouble(struct follow *follow)
{
    if (follow->trouble[0] == '\0')
        return NULL;
    memcpy(follow->trouble_shown, follow->trouble, sizeof(follow->trouble));
    follow->trouble[0] = '\0';
    return follow->trouble_shown;
}

enum store_state follow_state(const struct follow *follow)
{
    return follow->state;
}

const char *follow_reason(const struct follow *follow)
{
    return follow->reason;
}

const struct table *follow_table(const struct follow *follow)
{
    return follow->table;
}

uint64_t follow_version(const struct follow *follow)
{
    return table_version(follow->table);
}

const char *follow_chain(const struct follow *follow)
{
    return follow->chain;
}

uint64_t follow_desired(const struct follow *follow)
{
    return follow->desired;
}

struct follow_ask follow_ask(const struct follow *follow)
{
    struct follow_ask ask = {.need = FOLLOW_NOTHING};
    switch (follow->phase) {
    case PHASE_IDLE: break;
    case PHASE_INFO: ask.need = FOLLOW_INFO; break;
    case PHASE_PAUSE: ask.need = FOLLOW_PAUSE; break;
    case PHASE_PROBE: ask = (struct follow_ask){FOLLOW_CHANGES, NULL, follow_version(follow), false}; break;
    case PHASE_WAIT: ask = (struct follow_ask){FOLLOW_CHANGES, NULL, follow->after, true}; break;
    case PHASE_PAGES: ask = (struct follow_ask){FOLLOW_PAGE, follow->load.cursor, 0, false}; break;
    case PHASE_CATCH_UP:
        ask = (struct follow_ask){FOLLOW_CHANGES, NULL, table_version(follow->load.table), false};
        break;
    }
    return ask;
}

/* --- moves between the phases --------------------------------------------------------------------------- */

static void learn(struct follow *follow, uint64_t version)
{
    if (version > follow->desired)
        follow->desired = version;
}

static void wait_after(struct follow *follow, uint64_t version)
{
    follow->phase = PHASE_WAIT;
    follow->after = version;
}

static void following(struct follow *follow)
{
    follow->refused = false;
    state_set(follow, STORE_FOLLOWING, "Follows the changes, at version %" PRIu64 ".",
              follow_version(follow));
}

#define MEND                                                                                           \
    "The table in use stays. If the right Redis comes back, following resumes by itself; if not, run " \
    "'turnoutctl route restore' with an instance's snapshot."

static void refuse_older(struct follow *follow, uint64_t version)
{
    follow->refused = true;
    if (version == 0)
        state_set(follow, STORE_REFUSED,
                  "Redis is empty, but this instance serves version %" PRIu64 ". " MEND,
                  follow_version(follow));
    else
        state_set(follow, STORE_REFUSED,
                  "Redis is at version %" PRIu64 ", but this instance serves version %" PRIu64
                  ": it was set back, or a replica that lagged took over. " MEND,
                  version, follow_version(follow));
}

static void refuse_other(struct follow *follow, uint64_t version)
{
    follow->refused = true;
    state_set(follow, STORE_REFUSED,
              "Redis holds another history: its change %" PRIu64
              " does not continue the table that this instance serves, version %" PRIu64 ". " MEND,
              version, follow_version(follow));
}

/* What is there cannot be taken, and asking at once would find the same. */
__attribute__((format(printf, 2, 3))) static void stuck(struct follow *follow, const char *format, ...)
{
    va_list arguments;
    load_drop(&follow->load);
    va_start(arguments, format);
    vsnprintf(follow->reason, sizeof(follow->reason), format, arguments);
    va_end(arguments);
    follow->state = STORE_REFUSED;
    follow->phase = PHASE_PAUSE;
}

static void load_start(struct follow *follow, const char *why)
{
    struct load *load = &follow->load;
    load_drop(load);
    if (++load->tries > LOADS_MAX) {
        load->tries = 0;
        stuck(follow, "The table in Redis changed while it was read, %d times in a row.", LOADS_MAX);
        return;
    }
    strcpy(load->cursor, "0");
    follow->phase = PHASE_PAGES;
    state_set(follow, STORE_LOADING, "Reads the whole table: %s.", why);
}

void follow_connected(struct follow *follow)
{
    load_drop(&follow->load);
    follow->load.tries = 0;
    follow->refused = false;
    follow->phase = PHASE_INFO;
}

void follow_disconnected(struct follow *follow, const char *reason)
{
    load_drop(&follow->load);
    follow->phase = PHASE_IDLE;
    state_set(follow, STORE_CONNECTING, "%s", reason);
}

void follow_error(struct follow *follow, const char *error)
{
    if (follow->phase == PHASE_IDLE || follow->phase == PHASE_PAUSE)
        return;
    load_drop(&follow->load);
    follow->phase = PHASE_PAUSE;
    state_set(follow, STORE_LOADING, "Redis answered: %s", error);
}

void follow_resume(struct follow *follow)
{
    if (follow->phase == PHASE_PAUSE)
        follow->phase = PHASE_INFO;
}

void follow_info(struct follow *follow, uint64_t version, const char *chain)
{
    uint64_t own = follow_version(follow);
    if (follow->phase != PHASE_INFO)
        return;
    learn(follow, version);
    follow->target = version;
    if (version > own) {
        if (own == 0)
            load_start(follow, "there is none yet");
        else
            follow->phase = PHASE_PROBE;
        return;
    }
    if (version < own)
        refuse_older(follow, version);
    else if (strcmp(chain, follow->chain) != 0)
        refuse_other(follow, version);
    else
        following(follow);
    wait_after(follow, own);
}

/* A reply older than the table at the time of the question: Redis was set back under a living connection. */
void follow_beat(struct follow *follow, uint64_t sent, uint64_t version)
{
    learn(follow, version);
    if (version < sent && follow->phase == PHASE_WAIT && !follow->refused)
        refuse_older(follow, version);
}

/* --- changes -------------------------------------------------------------------------------------------- */

enum link { LINK_NEXT, LINK_RESTORE, LINK_GAP, LINK_OTHER };

/* How a change relates to a table of this version and history. */
static enum link link_of(uint64_t version, const char *chain, const struct change *change)
{
    if (change->restore)
        return LINK_RESTORE;
    if (change->version > version + 1)
        return LINK_GAP;
    bool next = change->version == version + 1 && strcmp(change->parent, chain) == 0;
    return next ? LINK_NEXT : LINK_OTHER;
}

static struct change *entry_parse(struct follow *follow, const struct follow_entry *entry)
{
    const char *reason = NULL;
    struct change *change = change_parse(entry->version, entry->fields, entry->lens, entry->count, &reason);
    if (change == NULL)
        snprintf(follow->trouble, sizeof(follow->trouble), "Change %" PRIu64 " cannot be understood: %s.",
                 entry->version, reason);
    return change;
}

static bool table_step(struct follow *follow, struct table **table, char *chain, const struct change *change)
{
    struct table *next = change_apply(*table, change, follow->names);
    if (next == NULL) {
        stuck(follow,
              "Change %" PRIu64
              " cannot be applied: no memory, or more than %d names of carriers and platforms.",
              change->version, NAME_NUMBER);
        return false;
    }
    table_free(*table);
    *table = next;
    memcpy(chain, change->chain, CHAIN_LEN + 1);
    return true;
}

/* One change met while following or refused. False: the rest of the entries is not wanted. */
static bool take_change(struct follow *follow, const struct change *change)
{
    enum link link = link_of(follow_version(follow), follow->chain, change);
    if (link == LINK_RESTORE) {
        load_start(follow, "it was restored");
        return false;
    }
    follow->after = change->version;
    if (follow->refused)
        return true;
    if (link == LINK_GAP) {
        load_start(follow, "the history in Redis no longer reaches back to this instance's version");
        return false;
    }
    if (link == LINK_OTHER) {
        refuse_other(follow, change->version);
        return true;
    }
    follow->fresh |= table_step(follow, &follow->table, follow->chain, change);
    return follow->phase != PHASE_PAUSE;
}

/* An entry that cannot be understood is passed over by loading its outcome; while refused it means nothing.
 */
static bool take_entry(struct follow *follow, const struct follow_entry *entry)
{
    learn(follow, entry->version);
    struct change *change = entry_parse(follow, entry);
    if (change == NULL) {
        follow->after = entry->version;
        if (!follow->refused)
            load_start(follow, "a change could not be understood");
        return follow->refused;
    }
    bool more = take_change(follow, change);
    change_free(change);
    return more;
}

static void take_entries(struct follow *follow, const struct follow_entry *entries, size_t count)
{
    follow->phase = PHASE_WAIT;
    for (size_t i = 0; i < count; i++)
        if (!take_entry(follow, &entries[i]))
            return;
    if (follow->refused)
        return;
    uint64_t own = follow_version(follow);
    follow->load.tries = 0;
    following(follow);
    wait_after(follow, own);
    if (own < follow->target)
        state_set(follow, STORE_LOADING, "Catches up: at version %" PRIu64 " of %" PRIu64 ".", own,
                  follow->target);
}

/* --- loading -------------------------------------------------------------------------------------------- */

static void adopt(struct follow *follow)
{
    struct load *load = &follow->load;
    table_free(follow->table);
    follow->table = load->table;
    load->table = NULL;
    load->tries = 0;
    memcpy(follow->chain, load->chain, sizeof(follow->chain));
    follow->fresh = true;
    following(follow);
    wait_after(follow, follow_version(follow));
}

/* The next page, or the end. */
static void load_next(struct follow *follow)
{
    if (strcmp(follow->load.cursor, "0") == 0)
        adopt(follow);
    else
        follow->phase = PHASE_PAGES;
}

enum caught { CAUGHT, CAUGHT_OTHER, CAUGHT_STUCK };

static enum caught catch_one(struct follow *follow, const struct follow_entry *entry)
{
    struct load *load = &follow->load;
    enum caught caught = CAUGHT_OTHER;
    learn(follow, entry->version);
    struct change *change = entry_parse(follow, entry);
    if (change != NULL && link_of(table_version(load->table), load->chain, change) == LINK_NEXT)
        caught = table_step(follow, &load->table, load->chain, change) ? CAUGHT : CAUGHT_STUCK;
    change_free(change);
    if (caught == CAUGHT && entry->version == load->target && strcmp(load->chain, load->target_chain) != 0)
        caught = CAUGHT_OTHER;
    return caught;
}

static void catch_up(struct follow *follow, const struct follow_entry *entries, size_t count)
{
    enum caught caught = count == 0 ? CAUGHT_OTHER : CAUGHT;
    for (size_t i = 0; caught == CAUGHT && i < count; i++)
        caught = catch_one(follow, &entries[i]);
    if (caught == CAUGHT_OTHER)
        load_start(follow, "it changed while it was read");
    else if (caught == CAUGHT && table_version(follow->load.table) >= follow->load.target)
        load_next(follow);
}

void follow_changes(struct follow *follow, const struct follow_entry *entries, size_t count)
{
    switch (follow->phase) {
    case PHASE_PROBE:
        follow->refused = false;
        if (count == 0)
            load_start(follow, "the history in Redis no longer reaches back to this instance's version");
        else
            take_entries(follow, entries, count);
        break;
    case PHASE_WAIT:
        if (count == 0)
            follow->phase = PHASE_INFO;
        else
            take_entries(follow, entries, count);
        break;
    case PHASE_CATCH_UP: catch_up(follow, entries, count); break;
    case PHASE_IDLE:
    case PHASE_INFO:
    case PHASE_PAGES:
    case PHASE_PAUSE: break;
    }
}

/* Is this page ahead of what is served, and not behind what was read before? */
static bool page_continues(const struct follow *follow, const struct follow_page *page)
{
    const struct load *load = &follow->load;
    if (strlen(page->cursor) >= sizeof(load->cursor) || !chain_valid(page->chain, strlen(page->chain)))
        return false;
    if (load->table == NULL)
        return page->version > follow_version(follow);
    uint64_t read = table_version(load->table);
    return page->version > read || (page->version == read && strcmp(page->chain, load->chain) == 0);
}

static bool page_cell(struct follow *follow, struct table_builder *builder, const char *const *cell)
{
    struct route route;
    uint8_t carrier = names_intern(follow->names, cell[1]);
    return carrier != NAME_NONE && route_value_parse(cell[2], strlen(cell[2]), follow->names, &route) &&
           table_set(builder, cell[0], carrier, &route);
}

/* Adds the page's rows to what was read; false where they cannot be taken. */
static bool page_rows(struct follow *follow, const struct follow_page *page)
{
    struct load *load = &follow->load;
    uint64_t version = load->table == NULL ? page->version : table_version(load->table);
    struct table_builder *builder = table_edit(load->table);
    load_drop(load); /* so that the builder shares with nobody, and need not copy */
    if (builder == NULL) {
        stuck(follow, "No memory to read the table.");
        return false;
    }
    for (size_t i = 0; i < page->cells; i++) {
        const char *const *cell = &page->text[3 * i];
        if (page_cell(follow, builder, cell))
            continue;
        table_abandon(builder);
        stuck(follow,
              "Redis' row %s has a cell that cannot be taken (malformed, or more than %d names): %s %s. The "
              "table "
              "in use stays until it is mended.",
              cell[0], NAME_NUMBER, cell[1], cell[2]);
        return false;
    }
    load->table = table_done(builder, version);
    return true;
}

void follow_page(struct follow *follow, const struct follow_page *page)
{
    struct load *load = &follow->load;
    if (follow->phase != PHASE_PAGES)
        return;
    learn(follow, page->version);
    if (!page_continues(follow, page)) {
        load_drop(load);
        follow->phase = PHASE_INFO;
        return;
    }
    if (load->table == NULL)
        snprintf(load->chain, sizeof(load->chain), "%s", page->chain);
    if (!page_rows(follow, page))
        return;
    snprintf(load->cursor, sizeof(load->cursor), "%s", page->cursor);
    snprintf(load->target_chain, sizeof(load->target_chain), "%s", page->chain);
    load->target = page->version;
    if (page->version > table_version(load->table))
        follow->phase = PHASE_CATCH_UP;
    else
        load_next(follow);
}
