/* The tables of constants.h made into arrays and switches: id ──▶ dense index ──▶ name, and name ──▶ value.
 */
#include "smpp/constants.h"

#include <stddef.h>
#include <stdlib.h>
#include <strings.h>

#define INDEX_OF_RESPONSE(id) \
    ((id) == SMPP_OUTBIND || (id) == SMPP_ALERT_NOTIFICATION ? SMPP_UNKNOWN_INDEX : id##_RESP_INDEX)
#define PLACE(id, value, name, section) \
    [SMPP_COMMAND_PLACE(value)] = {value, {id##_INDEX, INDEX_OF_RESPONSE(id)}},
const struct smpp_command_place smpp_command_places[0x40] = {
    [SMPP_COMMAND_PLACE(0)] = {0, {SMPP_UNKNOWN_INDEX, SMPP_GENERIC_NACK_INDEX}}, SMPP_REQUESTS(PLACE)};

#define NAME_PAIR(id, value, name, section) [id##_INDEX] = (name), [id##_RESP_INDEX] = name "_resp",
static const char *const command_names[SMPP_COMMAND_COUNT] = {
    [SMPP_UNKNOWN_INDEX] = "unknown", [SMPP_GENERIC_NACK_INDEX] = "generic_nack", SMPP_REQUESTS(NAME_PAIR)};

const char *smpp_command_name_at(unsigned index)
{
    return command_names[index < SMPP_COMMAND_COUNT ? index : SMPP_UNKNOWN_INDEX];
}

const char *smpp_command_name(uint32_t command_id)
{
    return command_names[smpp_command_index(command_id)];
}

bool smpp_command_known(uint32_t command_id)
{
    return smpp_command_index(command_id) != SMPP_UNKNOWN_INDEX;
}

/* The rows of the status table in their order, then the two that gather the rest. */
#define ROW(id, value, text) ROW_##id,
enum { SMPP_STATUSES(ROW) ROW_VENDOR, ROW_OTHER, ROW_COUNT };

enum { VENDOR_STATUS_FIRST = 0x400, VENDOR_STATUS_LAST = 0x4FF };

struct constant {
    uint32_t value;
    const char *name;
};

#define STATUS_CONSTANT(id, value, text) {value, #id},
static const struct constant statuses[] = {SMPP_STATUSES(STATUS_CONSTANT)};

#define TAG_CONSTANT(id, value, name) {value, name},
static const struct constant tags[] = {SMPP_TAGS(TAG_CONSTANT)};

unsigned smpp_status_index(uint32_t command_status)
{
#define ROW_CASE(id, value, text) \
    case value: return ROW_##id;
    switch (command_status) {
        SMPP_STATUSES(ROW_CASE)
    default: break;
    }
    bool vendor = command_status >= VENDOR_STATUS_FIRST && command_status <= VENDOR_STATUS_LAST;
    return vendor ? ROW_VENDOR : ROW_OTHER;
}

unsigned smpp_status_count(void)
{
    return ROW_COUNT;
}

const char *smpp_status_name_at(unsigned index)
{
    if (index < ROW_VENDOR)
        return statuses[index].name;
    return index == ROW_VENDOR ? "vendor" : "other";
}

const char *smpp_status_name(uint32_t command_status)
{
    unsigned index = smpp_status_index(command_status);
    return index < ROW_VENDOR ? statuses[index].name : NULL;
}

/* Digits alone: what strtoul allows besides (a sign, blanks, octal) is more likely a slip than a wish. */
static bool parse_number(const char *text, uint32_t max, uint32_t *value)
{
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    const char *digits = hex ? text + 2 : text;
    size_t count = 0;
    uint64_t sum = 0;
    for (; digits[count] != '\0'; count++) {
        char one[2] = {digits[count], '\0'};
        char *end = one;
        unsigned long digit = strtoul(one, &end, hex ? 16 : 10);
        sum = sum * (hex ? 16 : 10) + digit;
        if (end == one || sum > max)
            return false;
    }
    if (count == 0)
        return false;
    *value = (uint32_t)sum;
    return true;
}

static bool parse_constant(const struct constant *table, size_t rows, const char *text, uint32_t max,
                           uint32_t *value)
{
    for (size_t i = 0; i < rows; i++) {
        if (strcasecmp(table[i].name, text) == 0) {
            *value = table[i].value;
            return true;
        }
    }
    return parse_number(text, max, value);
}

bool smpp_status_parse(const char *text, uint32_t *command_status)
{
    return parse_constant(statuses, sizeof statuses / sizeof statuses[0], text, UINT32_MAX, command_status);
}

const char *smpp_tag_name(uint16_t tag)
{
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        if (tags[i].value == tag)
            return tags[i].name;
    }
    return NULL;
}

bool smpp_tag_parse(const char *text, uint16_t *tag)
{
    uint32_t value;
    if (!parse_constant(tags, sizeof tags / sizeof tags[0], text, UINT16_MAX, &value))
        return false;
    *tag = (uint16_t)value;
    return true;
}
