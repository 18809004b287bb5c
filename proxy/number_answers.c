/* See number_answers.h. Main thread. */
#include "proxy/number_answers.h"

#include <inttypes.h>
#include <string.h>

enum { TLV_CLIENTS_SHOWN = 20 };

static json_t *carrier_json(const struct config *config, uint8_t carrier)
{
    return carrier >= NAMES_MAX || config->carrier_of[carrier] == NULL
               ? json_null()
               : json_string(config->carrier_of[carrier]->name);
}

void number_answers_checksum(const struct numbers *numbers, char text[CHECKSUM_TEXT])
{
    snprintf(text, CHECKSUM_TEXT, "%016" PRIx64, numbers_about(numbers).checksum);
}

json_t *number_answers_table_of(const struct numbers *numbers, const char *file)
{
    char checksum[CHECKSUM_TEXT];
    struct numbers_about about = numbers_about(numbers);
    number_answers_checksum(numbers, checksum);
    return json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:I}", "file", file, "version", about.version,
                     "built_ms", (json_int_t)about.built * 1000, "checksum", checksum, "numbers",
                     (json_int_t)about.count, "bounds", (json_int_t)about.bounds, "octets",
                     (json_int_t)about.size);
}

json_t *number_answers_table(const struct config *config)
{
    return config->numbers == NULL ? json_null()
                                   : number_answers_table_of(config->numbers, config->portability_table);
}

void number_answers_beat(const struct config *config,
                         void (*add)(void *arg, const char *field, const char *value), void *arg)
{
    char checksum[CHECKSUM_TEXT] = "";
    if (config->numbers != NULL)
        number_answers_checksum(config->numbers, checksum);
    add(arg, "numbers", config->numbers == NULL ? "none" : numbers_about(config->numbers).version);
    add(arg, "numbers_checksum", checksum);
}

static json_t *row_json(const char *row)
{
    return *row == '\0' ? json_null() : json_string(row);
}

/* What each step says of the digits that are looked up, and by which of its rows. */
static void put_steps(json_t *answer, const struct config *config, const struct table *routes,
                      const struct number_read *read)
{
    json_t *by = json_object(), *rows = json_object();
    for (unsigned i = CARRIER_BY_SET; i < CARRIER_BY_NONE; i++) {
        enum carrier_step step = (enum carrier_step)i;
        char row[CARRIER_ROW_MAX + 1];
        uint8_t carrier =
            carrier_by(config->carrier_map, routes, step, (const uint8_t *)read->digits, read->len, row);
        json_object_set_new(by, carrier_step_label(step), carrier_json(config, carrier));
        json_object_set_new(rows, carrier_step_label(step), row_json(row));
    }
    json_object_set_new(answer, "by", by);
    json_object_set_new(answer, "rows", rows);
}

/* A client's TLV comes with a message, so it says nothing of a number: but it comes first. */
static void put_tlv_clients(json_t *answer, const struct config *config)
{
    json_t *clients = json_array();
    unsigned left_out = 0;
    for (size_t i = 0; i < config->clients_count; i++) {
        if (config->clients[i].carrier_tlv == 0)
            continue;
        if (json_array_size(clients) < TLV_CLIENTS_SHOWN)
            json_array_append_new(clients, json_string(config->clients[i].system_id));
        else
            left_out++;
    }
    json_object_set_new(answer, "tlv_clients", clients);
    json_object_set_new(answer, "tlv_clients_left_out", json_integer(left_out));
}

json_t *number_answers_explain(const struct config *config, const struct table *routes, uint8_t ton,
                               const char *number)
{
    struct number_read read;
    struct carrier_choice choice =
        carrier_choose_read(config->carrier_map, routes, ton, (const uint8_t *)number, strlen(number), &read);
    const char *step = carrier_step_label((enum carrier_step)choice.step);
    json_t *answer =
        json_pack("{s:s, s:s, s:s, s:o, s:s, s:o}", "number", number, "read", read.digits, "form",
                  number_form_label((enum number_form)read.form), "carrier",
                  carrier_json(config, choice.carrier), "step", step, "table", number_answers_table(config));
    if (answer == NULL)
        return NULL;
    put_steps(answer, config, routes, &read);
    put_tlv_clients(answer, config);
    json_t *row = json_object_get(json_object_get(answer, "rows"), step);
    json_object_set_new(answer, "row", row == NULL ? json_null() : json_incref(row));
    return answer;
}

static void answer_carrier(void *ctx, struct question *question, const json_t *request)
{
    const struct inquiry_source *source = ctx;
    const char *number = json_string_value(json_object_get(request, "number"));
    json_int_t ton = json_integer_value(json_object_get(request, "ton"));
    if (number == NULL || strlen(number) > NUMBER_READ_MAX)
        question_refuse(question, "the question has no text \"number\" of at most %d octets",
                        NUMBER_READ_MAX);
    else
        question_answer(question, number_answers_explain(source->bundle(source->ctx)->config,
                                                         source->table(source->ctx), (uint8_t)ton, number));
}

static void answer_numbers(void *ctx, struct question *question, const json_t *request)
{
    const struct inquiry_source *source = ctx;
    (void)request;
    const struct config *config = source->bundle(source->ctx)->config;
    const struct table *routes = source->table(source->ctx);
    question_answer(question, json_pack("{s:o, s:I, s:I}", "table", number_answers_table(config), "overrides",
                                        (json_int_t)config->number_overrides_count, "set",
                                        (json_int_t)(routes == NULL ? 0 : table_numbers(routes))));
}

void number_answers_add(struct questions *questions, const struct inquiry_source *source)
{
    questions_add(questions, "carrier", answer_carrier, (void *)(uintptr_t)source);
    questions_add(questions, "numbers", answer_numbers, (void *)(uintptr_t)source);
}
