/* entry ──fields──▶ texts ──moves, line by line──▶ words ──▶ moves ──▶ cells of the next table
 *
 * Redis' functions have checked all this before they wrote it. It is checked again, because what is in Redis
 * can have come from elsewhere, and a wrong route sends traffic astray. */
#include "routing/change.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOVE_WORDS = 8, VALUE_WORDS = 6 }; /* with the last, which may be absent */

struct span {
    const char *text;
    size_t len;
};

static bool span_is(struct span span, const char *text)
{
    return span.len == strlen(text) && memcmp(span.text, text, span.len) == 0;
}

/* A decimal number without sign, of at most 18 digits. */
static bool span_number(struct span span, uint64_t *number)
{
    uint64_t value = 0;
    if (span.len == 0 || span.len > 18)
        return false;
    for (size_t i = 0; i < span.len; i++) {
        if (span.text[i] < '0' || span.text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(span.text[i] - '0');
    }
    *number = value;
    return true;
}

/* Exactly count words with one blank between them, of which the last may be absent: it is "-" then. */
static bool span_words(struct span span, struct span *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *blank = memchr(span.text, ' ', span.len);
        size_t len = blank == NULL ? span.len : (size_t)(blank - span.text);
        if (len == 0 || (blank == NULL && i < count - 2) || (blank != NULL && i == count - 1))
            return false;
        words[count - 1] = (struct span){"-", 1};
        words[i] = (struct span){span.text, len};
        if (blank != NULL)
            span = (struct span){blank + 1, span.len - len - 1};
        else
            break;
    }
    return true;
}

/* A word into a buffer of size; "-" becomes "" where it stands for none. */
static bool word_copy(struct span word, char *to, size_t size, bool dash_is_none)
{
    if (word.len >= size || memchr(word.text, '\0', word.len) != NULL)
        return false;
    if (dash_is_none && span_is(word, "-"))
        word.len = 0;
    memcpy(to, word.text, word.len);
    to[word.len] = '\0';
    return true;
}

static bool word_state(struct span word, bool none, enum route_state *state)
{
    char name[8];
    if (none) {
        *state = ROUTE_OPEN;
        return span_is(word, "-");
    }
    return word_copy(word, name, sizeof(name), false) && route_state_parse(name, state);
}

/* "shortcode carrier from from_state to state previous [next]" */
static bool move_parse(struct span line, struct change_move *move)
{
    struct span word[MOVE_WORDS];
    return span_words(line, word, MOVE_WORDS) &&
           word_copy(word[0], move->shortcode, sizeof(move->shortcode), false) &&
           word_copy(word[1], move->carrier, sizeof(move->carrier), false) &&
           word_copy(word[2], move->from, sizeof(move->from), true) &&
           word_state(word[3], move->from[0] == '\0', &move->from_state) &&
           word_copy(word[4], move->to, sizeof(move->to), true) &&
           word_state(word[5], move->to[0] == '\0', &move->state) &&
           word_copy(word[6], move->previous, sizeof(move->previous), true) &&
           word_copy(word[7], move->next, sizeof(move->next), true);
}

static size_t lines_count(struct span text)
{
    size_t count = 1;
    for (size_t i = 0; i < text.len; i++)
        count += text.text[i] == '\n';
    return count;
}

static const char *moves_parse(struct change *change, struct span text)
{
    size_t count = lines_count(text);
    change->moves = calloc(count, sizeof(*change->moves));
    if (change->moves == NULL)
        return "no memory";
    for (size_t i = 0; i < count; i++) {
        const char *end = memchr(text.text, '\n', text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.text);
        if (!move_parse((struct span){text.text, len}, &change->moves[i]))
            return "a move is malformed";
        if (end != NULL)
            text = (struct span){end + 1, text.len - len - 1};
    }
    change->moves_count = count;
    return NULL;
}

bool chain_valid(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return len == 0 || len == CHAIN_LEN;
}

/* An entry's fields, by name; text NULL where absent. */
struct entry {
    struct span kind, at, who, why, ticket, moves, parent, chain;
};

static struct entry entry_read(const char *const *fields, const size_t *lens, size_t count)
{
    struct entry entry = {0};
    const struct {
        const char *name;
        struct span *value;
    } known[] = {{"kind", &entry.kind},     {"at", &entry.at},         {"who", &entry.who},
                 {"why", &entry.why},       {"ticket", &entry.ticket}, {"moves", &entry.moves},
                 {"parent", &entry.parent}, {"chain", &entry.chain}};
    for (size_t i = 0; i + 1 < count; i += 2)
        for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
            if (span_is((struct span){fields[i], lens[i]}, known[k].name))
                *known[k].value = (struct span){fields[i + 1], lens[i + 1]};
    return entry;
}

static bool kind_known(struct span kind)
{
    static const char *const kinds[] = {"flip", "set", "import", "rollback", "window", "restore"};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (span_is(kind, kinds[i]))
            return true;
    return false;
}

/* Absent texts are empty ones. */
static char *text_copy(struct span span)
{
    return span.text == NULL ? strdup("") : strndup(span.text, span.len);
}

static const char *change_fill(struct change *change, const struct entry *entry)
{
    if (entry->kind.text == NULL || !kind_known(entry->kind))
        return "its kind is not known";
    if (entry->at.text == NULL || !span_number(entry->at, &change->at_ms))
        return "its time is malformed";
    if (entry->who.text == NULL)
        return "who is missing";
    if (entry->chain.len != CHAIN_LEN || !chain_valid(entry->chain.text, entry->chain.len))
        return "its chain is malformed";
    if (entry->parent.text == NULL || !chain_valid(entry->parent.text, entry->parent.len))
        return "its parent is malformed";
    word_copy(entry->kind, change->kind, sizeof(change->kind), false);
    word_copy(entry->chain, change->chain, sizeof(change->chain), false);
    word_copy(entry->parent, change->parent, sizeof(change->parent), false);
    change->restore = strcmp(change->kind, "restore") == 0;
    change->who = text_copy(entry->who);
    change->why = text_copy(entry->why);
    change->ticket = text_copy(entry->ticket);
    if (change->who == NULL || change->why == NULL || change->ticket == NULL)
        return "no memory";
    if (change->restore)
        return NULL;
    return entry->moves.text == NULL ? "it has no moves" : moves_parse(change, entry->moves);
}

struct change *change_parse(uint64_t version, const char *const *fields, const size_t *lens, size_t count,
                            const char **reason)
{
    struct entry entry = entry_read(fields, lens, count);
    struct change *change = calloc(1, sizeof(*change));
    const char *wrong = change == NULL ? "no memory" : change_fill(change, &entry);
    if (wrong != NULL) {
        change_free(change);
        *reason = wrong;
        return NULL;
    }
    change->version = version;
    return change;
}

void change_free(struct change *change)
{
    if (change == NULL)
        return;
    free(change->who);
    free(change->why);
    free(change->ticket);
    free(change->moves);
    free(change);
}

/* Seconds as a cell keeps them; they end in 2106. */
static uint32_t seconds_of(uint64_t ms)
{
    uint64_t seconds = ms / 1000;
    return seconds > UINT32_MAX ? UINT32_MAX : (uint32_t)seconds;
}

/* A cell remembers when its platform changed last, so a change of state alone keeps the time that was there.
 */
static uint32_t changed_at(const struct table *base, const struct change *change,
                           const struct change_move *move, uint8_t carrier)
{
    struct route was;
    if (strcmp(move->from, move->to) == 0 && table_cell(base, move->shortcode, carrier, &was))
        return was.changed;
    return seconds_of(change->at_ms);
}

/* "" is none. */
static bool name_take(struct names *names, const char *name, uint8_t *id)
{
    *id = name[0] == '\0' ? NAME_NONE : names_intern(names, name);
    return name[0] == '\0' || *id != NAME_NONE;
}

static bool move_apply(struct table_builder *builder, const struct table *base, const struct change *change,
                       const struct change_move *move, struct names *names)
{
    uint8_t carrier = names_intern(names, move->carrier);
    if (carrier == NAME_NONE)
        return false;
    if (move->to[0] == '\0')
        return table_unset(builder, move->shortcode, carrier);
    struct route route = {.state = (uint8_t)move->state, .changed = changed_at(base, change, move, carrier)};
    return name_take(names, move->to, &route.platform) && name_take(names, move->previous, &route.previous) &&
           name_take(names, move->next, &route.next) && table_set(builder, move->shortcode, carrier, &route);
}

struct table *change_apply(const struct table *base, const struct change *change, struct names *names)
{
    struct table_builder *builder = change->restore ? NULL : table_edit(base);
    if (builder == NULL)
        return NULL;
    for (size_t i = 0; i < change->moves_count; i++)
        if (!move_apply(builder, base, change, &change->moves[i], names)) {
            table_abandon(builder);
            return NULL;
        }
    return table_done(builder, change->version);
}

bool route_value_parse(const char *text, size_t len, struct names *names, struct route *route)
{
    struct span word[VALUE_WORDS];
    char platform[NAME_LEN_MAX + 1], previous[NAME_LEN_MAX + 1], next[NAME_LEN_MAX + 1];
    enum route_state state;
    uint64_t changed_ms, version;
    if (!span_words((struct span){text, len}, word, VALUE_WORDS) ||
        !word_copy(word[0], platform, sizeof(platform), false) || !word_state(word[1], false, &state) ||
        !word_copy(word[2], previous, sizeof(previous), true) || !span_number(word[3], &changed_ms) ||
        !span_number(word[4], &version) || !word_copy(word[5], next, sizeof(next), true))
        return false;

    struct route parsed = {.state = (uint8_t)state, .changed = seconds_of(changed_ms)};
    if (!name_take(names, platform, &parsed.platform) || parsed.platform == NAME_NONE ||
        !name_take(names, previous, &parsed.previous) || !name_take(names, next, &parsed.next))
        return false;
    *route = parsed;
    return true;
}

void route_value_print(char value[ROUTE_VALUE_MAX], const struct route *route, const struct names *names,
                       uint64_t version)
{
    bool moves_on = route->next != NAME_NONE;
    snprintf(value, ROUTE_VALUE_MAX, "%s %s %s %" PRIu64 " %" PRIu64 "%s%s",
             names_get(names, route->platform), route_state_name((enum route_state)route->state),
             route->previous == NAME_NONE ? "-" : names_get(names, route->previous),
             (uint64_t)route->changed * 1000, version, moves_on ? " " : "",
             moves_on ? names_get(names, route->next) : "");
}
