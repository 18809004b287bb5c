/* Each step in turn, the first that knows the number. Of the prefixes:
 *
 *   number ──first four digits, at once──▶ their carrier, and the node ──digit by digit──▶ node of a trie, which may
 *                                                                                          name a carrier
 *
 * Nodes stand in one array and refer to each other by index, so that it can grow by realloc. Index 0 is the
 * root, which is nobody's child, so 0 also means "no child". Few networks share the first four digits, so that most
 * numbers need no node. */
#include "routing/carrier.h"

#include <endian.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX_LEN_MAX = 15, NODES_FIRST = 64, START_LEN = 4, STARTS = 10000 };

struct node {
    uint32_t child[10];
    uint8_t carrier; /* of the prefix that ends here, or NAME_NONE */
};

/* What the first four digits say. */
struct start {
    uint32_t node; /* that knows more, 0: none does */
    uint8_t carrier;
};

struct carrier_map {
    struct start starts[STARTS];
    struct node *nodes;
    uint32_t count, capacity;
    uint8_t default_carrier;
    struct number_rules rules;
    const struct numbers *overrides;       /* or NULL */
    _Atomic(const struct numbers *) table; /* or NULL; main swaps it */
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
    map->nodes = nodes;
    map->nodes[0] = no_children;
    map->count = 1;
    map->capacity = NODES_FIRST;
    map->default_carrier = default_carrier;
    map->overrides = NULL;
    atomic_init(&map->table, NULL);
    map->rules = number_rules_of(NULL, NULL, NULL);
    for (unsigned i = 0; i < STARTS; i++)
        map->starts[i] = (struct start){.carrier = NAME_NONE};
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

static bool has_children(const struct node *node)
{
    for (unsigned digit = 0; digit < 10; digit++) {
        if (node->child[digit] != 0)
            return true;
    }
    return false;
}

/* What the trie says of four digits. */
static struct start start_of(const struct carrier_map *map, unsigned digits)
{
    const uint8_t each[START_LEN] = {(uint8_t)(digits / 1000), (uint8_t)(digits / 100 % 10),
                                     (uint8_t)(digits / 10 % 10), (uint8_t)(digits % 10)};
    struct start start = {.carrier = NAME_NONE};
    uint32_t at = 0;
    for (unsigned i = 0; i < START_LEN; i++) {
        at = map->nodes[at].child[each[i]];
        if (at == 0)
            return start;
        if (map->nodes[at].carrier != NAME_NONE)
            start.carrier = map->nodes[at].carrier;
    }
    start.node = has_children(&map->nodes[at]) ? at : 0;
    return start;
}

/* Those that a prefix is about have changed. */
static void follow_prefix(struct carrier_map *map, const char *prefix)
{
    unsigned first = 0;
    unsigned count = 1;
    for (unsigned i = 0; i < START_LEN; i++) {
        bool given = *prefix != '\0';
        first = first * 10 + (given ? (unsigned)(*prefix++ - '0') : 0);
        count = given ? count : count * 10;
    }
    for (unsigned i = 0; i < count; i++)
        map->starts[first + i] = start_of(map, first + i);
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
    follow_prefix(map, prefix);
    return CARRIER_MAP_ADDED;
}

void carrier_map_set_numbers(struct carrier_map *map, const struct numbers *overrides,
                             const struct numbers *table)
{
    map->overrides = overrides;
    atomic_store_explicit(&map->table, table, memory_order_release);
}

const struct numbers *carrier_map_swap_table(struct carrier_map *map, const struct numbers *table)
{
    return atomic_exchange_explicit(&map->table, table, memory_order_acq_rel);
}

void carrier_map_set_rules(struct carrier_map *map, const struct number_rules *rules)
{
    map->rules = *rules;
}

static const struct numbers *table_now(const struct carrier_map *map)
{
    return atomic_load_explicit(&map->table, memory_order_acquire);
}

/* On from a node, which the digits before have led to; carrier is what they said. */
static uint8_t walk(const struct carrier_map *map, uint32_t from, const uint8_t *digits, size_t len,
                    uint8_t carrier)
{
    const struct node *node = &map->nodes[from];
    for (size_t i = 0; i < len; i++) {
        uint8_t digit = (uint8_t)(digits[i] - '0');
        if (digit > 9 || node->child[digit] == 0)
            break;
        node = &map->nodes[node->child[digit]];
        if (node->carrier != NAME_NONE)
            carrier = node->carrier;
    }
    return carrier;
}

/* The number that four digits are, each in an octet of a word; STARTS where they are not all digits. */
static inline unsigned four_digits(const uint8_t *p)
{
    uint32_t word;
    memcpy(&word, p, sizeof word);
    word = le32toh(word) ^ UINT32_C(0x30303030); /* digits are 0 to 9 now, all else is more */
    if (((word | (word + UINT32_C(0x76767676))) & UINT32_C(0x80808080)) != 0)
        return STARTS;
    word = word * 10 + (word >> 8); /* two and two, in the first octet and the third */
    return (word & UINT8_MAX) * 100 + (word >> 16 & UINT8_MAX);
}

static uint8_t find_prefix(const struct carrier_map *map, const uint8_t *digits, size_t len)
{
    size_t plus = len > 0 && digits[0] == '+';
    digits += plus;
    len -= plus;
    unsigned four = len < START_LEN ? (unsigned)STARTS : four_digits(digits);
    if (four == STARTS)
        return walk(map, 0, digits, len, NAME_NONE);
    const struct start *start = &map->starts[four];
    return start->node == 0 ? start->carrier
                            : walk(map, start->node, digits + START_LEN, len - START_LEN, start->carrier);
}

static uint8_t find_number(const struct numbers *numbers, const uint8_t *digits, size_t len)
{
    return numbers == NULL ? NAME_NONE : numbers_find(numbers, digits, len);
}

static uint8_t find_set(const struct table *routes, const uint8_t *digits, size_t len)
{
    return routes == NULL ? NAME_NONE : table_number(routes, digits, len);
}

/* Its longest prefix that names a carrier; how many digits that has is returned. */
static size_t prefix_length(const struct carrier_map *map, const uint8_t *digits, size_t len)
{
    const struct node *node = &map->nodes[0];
    size_t found = 0;
    for (size_t i = 0; i < len; i++) {
        uint8_t digit = (uint8_t)(digits[i] - '0');
        if (digit > 9 || node->child[digit] == 0)
            break;
        node = &map->nodes[node->child[digit]];
        found = node->carrier != NAME_NONE ? i + 1 : found;
    }
    return found;
}

static uint8_t by_numbers(const struct numbers *numbers, const uint8_t *digits, size_t len,
                          char row[CARRIER_ROW_MAX + 1])
{
    return numbers == NULL ? NAME_NONE : numbers_find_row(numbers, digits, len, row);
}

uint8_t carrier_by(const struct carrier_map *map, const struct table *routes, enum carrier_step step,
                   const uint8_t *digits, size_t len, char row[CARRIER_ROW_MAX + 1])
{
    size_t plus = len > 0 && digits[0] == '+';
    digits += plus;
    len -= plus;
    row[0] = '\0';
    uint8_t carrier = NAME_NONE;
    switch (step) {
    case CARRIER_BY_SET:
        carrier = find_set(routes, digits, len);
        if (carrier != NAME_NONE)
            snprintf(row, CARRIER_ROW_MAX + 1, "%.*s", (int)len, (const char *)digits);
        return carrier;
    case CARRIER_BY_OVERRIDE: return by_numbers(map->overrides, digits, len, row);
    case CARRIER_BY_TABLE: return by_numbers(table_now(map), digits, len, row);
    case CARRIER_BY_PREFIX:
        snprintf(row, CARRIER_ROW_MAX + 1, "%.*s", (int)prefix_length(map, digits, len),
                 (const char *)digits);
        return find_prefix(map, digits, len);
    case CARRIER_BY_DEFAULT: return map->default_carrier;
    default: return NAME_NONE;
    }
}

/* --- the choice -------------------------------------------------------------------------------------------- */

struct carrier_choice carrier_choose(const struct carrier_map *map, const struct table *routes,
                                     const uint8_t *digits, size_t len)
{
    if (routes != NULL && table_numbers(routes) > 0) {
        uint8_t set = table_number(routes, digits, len);
        if (set != NAME_NONE)
            return (struct carrier_choice){set, CARRIER_BY_SET};
    }
    unsigned step = CARRIER_BY_OVERRIDE;
    uint8_t carrier = find_number(map->overrides, digits, len);
    if (carrier == NAME_NONE) {
        step = CARRIER_BY_TABLE;
        carrier = find_number(table_now(map), digits, len);
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

static void read_as_sent(const uint8_t *digits, size_t len, struct number_read *read)
{
    size_t plus = len > 0 && digits[0] == '+';
    read->form = NUMBER_AS_SENT;
    read->len = (uint8_t)(len - plus < NUMBER_READ_MAX ? len - plus : NUMBER_READ_MAX);
    memcpy(read->digits, digits + plus, read->len);
    read->digits[read->len] = '\0';
}

struct carrier_choice carrier_choose_read(const struct carrier_map *map, const struct table *routes,
                                          uint8_t ton, const uint8_t *digits, size_t len,
                                          struct number_read *read)
{
    struct carrier_choice as_sent = carrier_choose(map, routes, digits, len);
    if (carrier_may_be_read(as_sent, ton) && number_read(&map->rules, ton, digits, len, read)) {
        struct carrier_choice choice = carrier_choose(map, routes, (const uint8_t *)read->digits, read->len);
        if (choice.step < CARRIER_BY_DEFAULT || as_sent.step >= CARRIER_BY_DEFAULT)
            return choice;
    }
    read_as_sent(digits, len, read);
    return as_sent;
}

uint8_t carrier_map_find(const struct carrier_map *map, const uint8_t *digits, size_t len)
{
    uint8_t carrier = find_prefix(map, digits, len);
    return carrier != NAME_NONE ? carrier : map->default_carrier;
}
