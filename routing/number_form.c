/* See number_form.h. */
#include "routing/number_form.h"

#include <assert.h>
#include <string.h>

#define FORM_LABEL(id, label) [id] = (label),
static const char *const form_labels[] = {NUMBER_FORMS(FORM_LABEL)};

const char *number_form_label(enum number_form form)
{
    return form_labels[form];
}

static void rule_copy(char rule[NUMBER_RULE_MAX + 1], const char *text)
{
    size_t len = text == NULL ? 0 : strlen(text);
    assert(len <= NUMBER_RULE_MAX);
    if (len > 0)
        memcpy(rule, text, len + 1);
}

struct number_rules number_rules_of(const char *country_code, const char *national_prefix,
                                    const char *international_prefix)
{
    struct number_rules rules = {.country_code = ""};
    rule_copy(rules.country_code, country_code);
    rule_copy(rules.national_prefix, national_prefix);
    rule_copy(rules.international_prefix, international_prefix);
    return rules;
}

/* How long the prefix is that the digits begin with, something else following; 0: they do not. */
static size_t behind(const char *prefix, const uint8_t *digits, size_t len)
{
    size_t its = strlen(prefix);
    return its > 0 && len > its && memcmp(digits, prefix, its) == 0 ? its : 0;
}

static bool read_as(enum number_form form, const char *before, const uint8_t *digits, size_t len,
                    struct number_read *read)
{
    size_t first = strlen(before);
    if (first + len > NUMBER_READ_MAX)
        return false;
    memcpy(read->digits, before, first);
    memcpy(read->digits + first, digits, len);
    read->digits[first + len] = '\0';
    read->len = (uint8_t)(first + len);
    read->form = (uint8_t)form;
    return true;
}

bool number_read(const struct number_rules *rules, uint8_t ton, const uint8_t *digits, size_t len,
                 struct number_read *read)
{
    *read = (struct number_read){.form = NUMBER_AS_SENT};
    if (ton > NUMBER_TON_NATIONAL || len == 0 || digits[0] == '+')
        return false;
    size_t skip = behind(rules->international_prefix, digits, len);
    if (skip > 0)
        return read_as(NUMBER_BY_INTERNATIONAL_PREFIX, "", digits + skip, len - skip, read);
    if (rules->country_code[0] == '\0')
        return false;
    skip = behind(rules->national_prefix, digits, len);
    if (skip > 0)
        return read_as(NUMBER_BY_NATIONAL_PREFIX, rules->country_code, digits + skip, len - skip, read);
    return ton == NUMBER_TON_NATIONAL && read_as(NUMBER_BY_TON, rules->country_code, digits, len, read);
}
