/* Each step in turn, the first that knows the number. Of the prefixes:
 *
 *   prefix ──digit by digit──▶ node of a trie, which may name a carrier
 *
 * Nodes stand in one array and refer to each other by index, so that it can grow by realloc. Index 0 is the
 * root, which is nobody's child, so 0 also means "no child". */
#include "routing/carrier.h"

#include <stdlib.h>
#include <string.h>

enum { PREFIX_LEN_MAX = 15, NODES_FIRST = 64 };

struct node {
    uint32_t child[10];
    uint8_t carrier; /* of the prefix that ends here, or NAME_NONE */
};

struct carrier_map {
    struct node *nodes;
    uint32_t count, capacity;
    uint8_t default_carrier;
    const struct numbers *overrides, *table; /* either may be NULL */
};

static const struct node no_children = {.carrier = NAME_NONE};

#define STEP_LABEL(id, label, name) [id] = (label),
#define STEP_NAME(id, label, name)  [id] = (name),
static const char *const step_labels[] = {CARRIER_STEPS(STEP_LABEL)};
static const char *const step_names[] = {CARRIER_STEPS(STEP_NAME)};

const char *carrier_step_label(enum carrier_step step)
{
    return step_labels[step];
}

const char *carrier_step_name(enum carrier_step step)
{
    return step_names[step];
}

struct carrier_map *carrier_map_new(uint8_t default_carrier)
{
    struct carrier_map *map = malloc(sizeof(*map));
    struct node *nodes = calloc(NODES_FIRST, sizeof(*nodes));
    if (map == NULL || nodes == NULL) {
        free(map);
        free(nodes);
        return NULL;
    }
    *map = (struct carrier_map){.nodes = nodes, .count = 1, .capacity = NODES_FIRST};
    map->nodes[0] = no_children;
    map->default_carrier = default_carrier;
    return map;
}

void carrier_map_free(struct carrier_map *map)
{
    if (map == NULL)
        return;
    free(map->nodes);
    free(map);
}

/* Room for a whole prefix at once, so that adding cannot stop half-way. */
static bool map_reserve(struct carrier_map *map, size_t more)
{
    if (map->count + more <= map->capacity)
        return true;
    uint32_t capacity = map->capacity * 2;
    struct node *nodes = realloc(map->nodes, capacity * sizeof(*nodes));
    if (nodes == NULL)
        return false;
    map->nodes = nodes;
    map->capacity = capacity;
    return true;
}

static uint32_t child_make(struct carrier_map *map, uint32_t at, char digit)
{
    uint32_t child = map->nodes[at].child[digit - '0'];
    if (child != 0)
        return child;
    child = map->count++;
    map->nodes[child] = no_children;
    map->nodes[at].child[digit - '0'] = child;
    return child;
}

enum carrier_map_added carrier_map_add(struct carrier_map *map, const char *prefix, uint8_t carrier)
{
    size_t len = strspn(prefix, "0123456789");
    if (len == 0 || len > PREFIX_LEN_MAX || prefix[len] != '\0')
        return CARRIER_MAP_NOT_DIGITS;
    if (!map_reserve(map, len))
        return CARRIER_MAP_NO_MEMORY;
    uint32_t at = 0;
    for (size_t i = 0; i < len; i++)
        at = child_make(map, at, prefix[i]);
    if (map->nodes[at].carrier != NAME_NONE && map->nodes[at].carrier != carrier)
        return CARRIER_MAP_TAKEN;
    map->nodes[at].carrier = carrier;
    return CARRIER_MAP_ADDED;
}

void carrier_map_set_numbers(struct carrier_map *map, const struct numbers *overrides,
                             const struct numbers *table)
{
    map->overrides = overrides;
    map->table = table;
}

static uint8_t find_prefix(const struct carrier_map *map, const uint8_t *digits, size_t len)
{
    const struct node *nodes = map->nodes, *node = nodes;
    uint8_t carrier = NAME_NONE;
    for (size_t i = len > 0 && digits[0] == '+'; i < len; i++) {
        uint8_t digit = (uint8_t)(digits[i] - '0');
        if (digit > 9 || node->child[digit] == 0)
            break;
        node = &nodes[node->child[digit]];
        if (node->carrier != NAME_NONE)
            carrier = node->carrier;
    }
    return carrier;
}

static uint8_t find_number(const struct numbers *numbers, const uint8_t *digits, size_t len)
{
    return numbers == NULL ? NAME_NONE : numbers_find(numbers, digits, len);
}

uint8_t carrier_by(const struct carrier_map *map, enum carrier_step step, const uint8_t *digits, size_t len)
{
    switch (step) {
    case CARRIER_BY_OVERRIDE: return find_number(map->overrides, digits, len);
    case CARRIER_BY_TABLE: return find_number(map->table, digits, len);
    case CARRIER_BY_PREFIX: return find_prefix(map, digits, len);
    case CARRIER_BY_DEFAULT: return map->default_carrier;
    default: return NAME_NONE;
    }
}

struct carrier_choice carrier_choose(const struct carrier_map *map, const uint8_t *digits, size_t len)
{
    unsigned step = CARRIER_BY_OVERRIDE;
    uint8_t carrier = find_number(map->overrides, digits, len);
    if (carrier == NAME_NONE) {
        step = CARRIER_BY_TABLE;
        carrier = find_number(map->table, digits, len);
    }
    if (carrier == NAME_NONE) {
        step = CARRIER_BY_PREFIX;
        carrier = find_prefix(map, digits, len);
    }
    if (carrier == NAME_NONE) {
        step = map->default_carrier == NAME_NONE ? CARRIER_BY_NONE : CARRIER_BY_DEFAULT;
        carrier = map->default_carrier;
    }
    return (struct carrier_choice){carrier, (uint8_t)step};
}

uint8_t carrier_map_find(const struct carrier_map *map, const uint8_t *digits, size_t len)
{
    uint8_t carrier = find_prefix(map, digits, len);
    return carrier != NAME_NONE ? carrier : map->default_carrier;
}
