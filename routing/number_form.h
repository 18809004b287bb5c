/* A number as a client writes it, in the international form that tables, overrides and prefixes have.
 *
 *   "64211234567", "+64211234567" ──as they are──────────────────────────▶ 64211234567
 *   "0064211234567" ──international-prefix──▶ rest                       ▶ 64211234567
 *   "0211234567"    ──national-prefix───────▶ country-code and rest      ▶ 64211234567
 *   "211234567", TON national ──────────────▶ country-code and all of it ▶ 64211234567
 *
 * Only to look it up: what is forwarded stays as it came. TON (SMPP 3.4, 5.2.5) is believed where it says national,
 * since it is the digits' only sign then; where it says unknown or international the digits alone decide, because
 * clients write "021..." with either. Any other TON is of no E.164 number: nothing is read into its digits. NPI says
 * nothing that would help. */
#ifndef ROUTING_NUMBER_FORM_H
#define ROUTING_NUMBER_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NUMBER_TON_UNKNOWN = 0, NUMBER_TON_INTERNATIONAL = 1, NUMBER_TON_NATIONAL = 2 };
enum { NUMBER_RULE_MAX = 7, NUMBER_READ_MAX = 31 };

/* What a number was read by. X(identifier, label) */
#define NUMBER_FORMS(X)                                       \
    X(NUMBER_AS_SENT, "as_sent")                              \
    X(NUMBER_BY_INTERNATIONAL_PREFIX, "international_prefix") \
    X(NUMBER_BY_NATIONAL_PREFIX, "national_prefix")           \
    X(NUMBER_BY_TON, "national_ton")

#define NUMBER_FORM_ENUM(id, label) id,
enum number_form { NUMBER_FORMS(NUMBER_FORM_ENUM) NUMBER_FORM_COUNT };
#undef NUMBER_FORM_ENUM
const char *number_form_label(enum number_form form);

struct number_rules {
    char country_code[NUMBER_RULE_MAX + 1];         /* "": national numbers are left as they are */
    char national_prefix[NUMBER_RULE_MAX + 1];      /* "": none */
    char international_prefix[NUMBER_RULE_MAX + 1]; /* "": none */
};

/* Digits that are looked up; a text, too. */
struct number_read {
    uint8_t form; /* enum number_form */
    uint8_t len;
    char digits[NUMBER_READ_MAX + 1];
};

/* Each text is up to NUMBER_RULE_MAX digits; NULL stands for "". */
struct number_rules number_rules_of(const char *country_code, const char *national_prefix,
                                    const char *international_prefix);

/* Reads len octets of an address into *read. False where there is nothing to be read, or what stands there is no
 * number: *read then has NUMBER_AS_SENT and no digits. */
bool number_read(const struct number_rules *rules, uint8_t ton, const uint8_t *digits, size_t len,
                 struct number_read *read);

#endif
