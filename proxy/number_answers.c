/* See number_answers.h. Main thread. */
#include "proxy/number_answers.h"

#include <inttypes.h>
#include <string.h>

static json_t *carrier_json(const struct config *config, uint8_t carrier)
{
    return carrier >= NAMES_MAX || config->carrier_of[carrier] == NULL
               ? json_null()
               : json_string(config->carrier_of[carrier]->name);
}

json_t *number_answers_table(const struct config *config)
{
    char checksum[17];
    if (config->numbers == NULL)
        return json_null();
    struct numbers_about about = numbers_about(config->numbers);
    snprintf(checksum, sizeof checksum, "%016" PRIx64, about.checksum);
    return json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:I}", "file", config->portability_table, "version",
                     about.version, "built_ms", (json_int_t)about.built * 1000, "checksum", checksum,
                     "numbers", (json_int_t)about.count, "bounds", (json_int_t)about.bounds, "octets",
                     (json_int_t)about.size);
}

/* A client's TLV comes with a message, so it says nothing of a number. */
static json_t *steps_json(const struct config *config, const struct table *routes, const uint8_t *digits,
                          size_t len)
{
    json_t *by = json_object();
    for (unsigned i = CARRIER_BY_SET; by != NULL && i < CARRIER_BY_NONE; i++) {
        enum carrier_step step = (enum carrier_step)i;
        uint8_t carrier = carrier_by(config->carrier_map, routes, step, digits, len);
        json_object_set_new(by, carrier_step_label(step), carrier_json(config, carrier));
    }
    return by;
}

json_t *number_answers_explain(const struct config *config, const struct table *routes, const char *number)
{
    const uint8_t *digits = (const uint8_t *)number;
    size_t len = strlen(number);
    struct carrier_choice choice = carrier_choose(config->carrier_map, routes, digits, len);
    return json_pack("{s:s, s:o, s:s, s:o, s:o}", "number", number, "carrier",
                     carrier_json(config, choice.carrier), "step",
                     carrier_step_label((enum carrier_step)choice.step), "by",
                     steps_json(config, routes, digits, len), "table", number_answers_table(config));
}

static void answer_carrier(void *ctx, struct question *question, const json_t *request)
{
    const struct inquiry_source *source = ctx;
    const char *number = json_string_value(json_object_get(request, "number"));
    if (number == NULL)
        question_refuse(question, "the question has no text \"number\"");
    else
        question_answer(question, number_answers_explain(source->bundle(source->ctx)->config,
                                                         source->table(source->ctx), number));
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
