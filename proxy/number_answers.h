/* What an instance answers about numbers: which carrier it would choose for one, and by which portability table.
 *
 *   {"kind": "carrier", "number": "64211234567", "ton": 1} ──▶ carrier, step and row, what each step says by itself
 *   {"kind": "numbers"}                                     ──▶ the table in use
 */
#ifndef PROXY_NUMBER_ANSWERS_H
#define PROXY_NUMBER_ANSWERS_H

#include "proxy/bundle.h"
#include "proxy/inquiry.h"
#include "proxy/questions.h"

/* Teaches the two kinds. The source's bundle and table are looked at for each question. */
void number_answers_add(struct questions *questions, const struct inquiry_source *source);

/* {"number", "read" (the digits that are looked up), "form" (number_form_label), "carrier" (null: none), "step",
 * "row" (what of this step says so: number, range or prefix; null: the step itself), "by" {step: carrier or null},
 * "rows" {step: as row}, "tlv_clients" (those with carrier-tlv, whose own word comes first), "tlv_clients_left_out",
 * "table" as below}: what the path of a message would choose for a number of this type, a client's TLV aside. routes
 * may be NULL. NULL without memory. */
json_t *number_answers_explain(const struct config *config, const struct table *routes, uint8_t ton,
                               const char *number);

/* {"file", "version", "built_ms", "checksum", "numbers", "bounds", "octets"}, or JSON's null where there is no table. */
json_t *number_answers_table(const struct config *config);
json_t *number_answers_table_of(const struct numbers *numbers, const char *file);

/* A table's checksum, as all who tell of it write it. */
enum { CHECKSUM_TEXT = 17 };
void number_answers_checksum(const struct numbers *numbers, char text[CHECKSUM_TEXT]);

/* The fields of the instance's entry in Redis that say which table it has: numbers (its version, "none" for none) and
 * numbers_checksum. */
void number_answers_beat(const struct config *config,
                         void (*add)(void *arg, const char *field, const char *value), void *arg);

#endif
