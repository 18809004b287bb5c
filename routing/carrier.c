/* prefix ──digit by digit──▶ node of a trie, which may name a carrier
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
};

static const struct node no_children = {.carrier = NAME_NONE};

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

uint8_t carrier_map_find(const struct carrier_map *map, const uint8_t *digits, size_t len)
{
    uint8_t carrier = map->default_carrier;
    uint32_t at = 0;
    for (size_t i = len > 0 && digits[0] == '+'; i < len; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            break;
        at = map->nodes[at].child[digits[i] - '0'];
        if (at == 0)
            break;
        if (map->nodes[at].carrier != NAME_NONE)
            carrier = map->nodes[at].carrier;
    }
    return carrier;
}
