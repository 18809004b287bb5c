#include "routing/settled.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct settled settled_begin(uint64_t table)
{
    return (struct settled){.table = table, .rest = UINT64_MAX};
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void note(struct settled *settled, const struct settled_link *link)
{
    unsigned i = 0;
    while (i < settled->count &&
           (settled->late[i].carrier != link->carrier || settled->late[i].platform != link->platform)) {
        i++;
    }
    if (i < settled->count) {
        settled->late[i].version = lesser(settled->late[i].version, link->version);
    } else if (i < SETTLED_LINKS_MAX) {
        settled->late[i] = *link;
        settled->count++;
    } else {
        settled->rest = lesser(settled->rest, link->version);
    }
}

void settled_late(struct settled *settled, uint8_t carrier, uint8_t platform, uint64_t version)
{
    if (version < settled->table) {
        note(settled, &(struct settled_link){.version = version, .carrier = carrier, .platform = platform});
    }
}

void settled_join(struct settled *settled, const struct settled *other)
{
    settled->table = lesser(settled->table, other->table);
    settled->rest = lesser(settled->rest, other->rest);
    for (unsigned i = 0; i < other->count; i++) {
        note(settled, &other->late[i]);
    }
}

bool settled_equal(const struct settled *a, const struct settled *b)
{
    bool equal = a->table == b->table && a->rest == b->rest && a->count == b->count;
    for (unsigned i = 0; equal && i < a->count; i++) {
        equal = a->late[i].version == b->late[i].version && a->late[i].carrier == b->late[i].carrier &&
                a->late[i].platform == b->late[i].platform;
    }
    return equal;
}

uint64_t settled_version(const struct settled *settled)
{
    uint64_t version = lesser(settled->table, settled->rest);
    for (unsigned i = 0; i < settled->count; i++) {
        version = lesser(version, settled->late[i].version);
    }
    return version;
}

void settled_write(const struct settled *settled, const struct names *names, char *text)
{
    char *end = text + SETTLED_TEXT_MAX;
    text += snprintf(text, (size_t)(end - text), "%" PRIu64, settled->table);
    for (unsigned i = 0; i < settled->count; i++) {
        const struct settled_link *link = &settled->late[i];
        text += snprintf(text, (size_t)(end - text), " %s:%s=%" PRIu64, names_get(names, link->carrier),
                         names_get(names, link->platform), link->version);
    }
    if (settled->rest != UINT64_MAX) {
        snprintf(text, (size_t)(end - text), " *=%" PRIu64, settled->rest);
    }
}

/* --- reading ------------------------------------------------------------------------------------------- */

static bool same(const char *text, size_t len, const char *name)
{
    return strlen(name) == len && memcmp(text, name, len) == 0;
}

/* Is a link ("carrier:platform", or "*" for any) one of the ways? What cannot be read is. */
static bool is_way(const char *link, size_t len, const struct settled_ways *ways)
{
    const char *colon = memchr(link, ':', len);
    if (colon == NULL) {
        return true;
    }
    size_t carrier = (size_t)(colon - link);
    if (same(colon + 1, len - carrier - 1, ways->to)) {
        return false;
    }
    for (size_t i = 0; i < ways->count; i++) {
        if (same(link, carrier, ways->carriers[i])) {
            return true;
        }
    }
    return false;
}

static void tell(const char *link, size_t len, char *unanswered, size_t cap)
{
    size_t used = unanswered == NULL ? 0 : strlen(unanswered);
    if (unanswered != NULL && used + len + 2 <= cap) {
        snprintf(unanswered + used, cap - used, "%s%.*s", used == 0 ? "" : " ", (int)len, link);
    }
}

bool settled_on(const char *text, uint64_t version, const struct settled_ways *ways, char *unanswered,
                size_t cap)
{
    char *at = NULL;
    uint64_t table = strtoull(text, &at, 10);
    bool settled = at != text && table >= version;
    if (unanswered != NULL && cap > 0) {
        *unanswered = '\0';
    }
    for (; *at == ' '; at += strcspn(at, " ")) {
        at++;
        size_t len = strcspn(at, "= ");
        uint64_t oldest = at[len] == '=' ? strtoull(at + len + 1, NULL, 10) : 0;
        if (oldest < version && is_way(at, len, ways)) {
            settled = false;
            tell(at, len, unanswered, cap);
        }
    }
    return settled;
}
