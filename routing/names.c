/* name ──valid?──▶ linear search ──▶ its index, or the next free one. A few dozen names, met on config and
 * table changes only, so nothing faster is needed. */
#include "routing/names.h"

#include <stdbool.h>
#include <string.h>

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

/* "-" alone means "none" in Redis' rows, so it cannot be a name. */
static bool name_valid(const char *name)
{
    size_t len = 0;
    while (len <= NAME_LEN_MAX && name_char(name[len]))
        len++;
    return len > 0 && len <= NAME_LEN_MAX && name[len] == '\0' && strcmp(name, "-") != 0;
}

uint8_t names_find(const struct names *names, const char *name)
{
    if (strcmp(name, NUMBER_NAME) == 0)
        return NAME_NUMBER;
    for (unsigned i = 0; i < names->count; i++)
        if (strcmp(names->name[i], name) == 0)
            return (uint8_t)i;
    return NAME_NONE;
}

uint8_t names_intern(struct names *names, const char *name)
{
    uint8_t found = names_find(names, name);
    if (found != NAME_NONE)
        return found;
    if (names->count >= NAME_NUMBER || !name_valid(name))
        return NAME_NONE;
    memcpy(names->name[names->count], name, strlen(name) + 1);
    return (uint8_t)names->count++;
}

const char *names_get(const struct names *names, uint8_t id)
{
    if (id == NAME_NUMBER)
        return NUMBER_NAME;
    return id < names->count ? names->name[id] : "?";
}
