/* See choice.h. */
#include "proxy/choice.h"

#include <string.h>

#include "smpp/tlv.h"

static void count_step(const struct client *client, unsigned step)
{
    metric_add(&client->conn.worker->metrics->carrier_choices[step], 1);
}

/* A text that may or may not have its NUL with it. */
static bool says(struct smpp_span value, const char *text)
{
    size_t len = strlen(text);
    return (value.len == len || (value.len == len + 1 && value.p[len] == '\0')) &&
           memcmp(value.p, text, len) == 0;
}

/* The carrier that a client's TLV names, NAME_NONE for none. */
static uint8_t by_tlv(const struct client *client, struct smpp_span tlvs)
{
    const struct worker *w = client->conn.worker;
    const struct config *config = w->config;
    struct smpp_tlv tlv;
    if (!smpp_tlv_find(tlvs, client->account->carrier_tlv, &tlv)) {
        metric_add(&w->metrics->carrier_tlv_absent, 1);
        return NAME_NONE;
    }
    for (size_t i = 0; i < config->carriers_count; i++) {
        const struct config_carrier *carrier = &config->carriers[i];
        if (says(tlv.value, carrier->tlv_value != NULL ? carrier->tlv_value : carrier->name)) {
            count_step(client, CARRIER_BY_TLV);
            return carrier->id;
        }
    }
    metric_add(&w->metrics->carrier_tlv_unknown, 1);
    return NAME_NONE;
}

SELDOM static uint8_t by_message_tlv(const struct client *client, const struct subject *s)
{
    struct smpp_message_view view;
    struct smpp_span none = {NULL, 0};
    return by_tlv(client, smpp_view_message(s->pdu, s->len, &view) ? view.tlvs : none);
}

/* What is looked up may be another form of the number; what is forwarded is not. */
SELDOM static struct carrier_choice by_other_form(const struct client *client,
                                                  const struct smpp_address *dest)
{
    const struct worker *w = client->conn.worker;
    struct number_read read;
    struct carrier_choice choice = carrier_choose_read(w->config->carrier_map, w->table, dest->ton,
                                                       dest->digits.p, dest->digits.len, &read);
    if (read.form != NUMBER_AS_SENT) {
        metric_add(&w->metrics->numbers_read, 1);
    }
    return choice;
}

static uint8_t by_number(const struct client *client, const struct smpp_address *dest)
{
    const struct worker *w = client->conn.worker;
    struct carrier_choice choice =
        carrier_choose(w->config->carrier_map, w->table, dest->digits.p, dest->digits.len);
    if (carrier_may_be_read(choice, dest->ton)) {
        choice = by_other_form(client, dest);
    }
    count_step(client, choice.step);
    return choice.carrier;
}

uint8_t choice_of_message(struct client *client, const struct subject *s, const struct smpp_address *dest)
{
    uint8_t carrier = client->account->carrier_tlv == 0 ? NAME_NONE : by_message_tlv(client, s);
    return carrier != NAME_NONE ? carrier : by_number(client, dest);
}

/* The list is walked to its end for them, where it has one. */
static uint8_t by_multi_tlv(const struct client *client, const struct subject *s, struct smpp_multi_view view)
{
    struct smpp_multi_dest dest;
    struct smpp_span tlvs;
    enum smpp_multi_verdict end;
    do {
        end = smpp_multi_next(s->pdu, s->len, &view, &dest);
    } while (end == SMPP_MULTI_DEST);
    bool found = end == SMPP_MULTI_END && smpp_view_multi_tlvs(s->pdu, s->len, &view, &tlvs);
    return found ? by_tlv(client, tlvs) : NAME_NONE;
}

uint8_t choice_of_multi(struct client *client, const struct subject *s, struct smpp_multi_view *view,
                        enum smpp_multi_verdict *end, bool *mixed)
{
    struct smpp_multi_dest dest;
    uint8_t carrier = client->account->carrier_tlv == 0 ? NAME_NONE : by_multi_tlv(client, s, *view);
    *mixed = false;
    *end = SMPP_MULTI_END;
    if (carrier != NAME_NONE) {
        return carrier;
    }
    while ((*end = smpp_multi_next(s->pdu, s->len, view, &dest)) == SMPP_MULTI_DEST) {
        uint8_t its = dest.is_list ? NAME_NONE : by_number(client, &dest.address);
        if (dest.is_list || (view->seen > 1 && its != carrier)) {
            *mixed = true;
        }
        carrier = its;
    }
    return carrier;
}
