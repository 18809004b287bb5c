/* A writer goes over the caller's buffer once; where a field does not fit it remembers so and writes no more.
 *
 *   begin (leaves room for the header) ──▶ fields ──▶ finish (the header, with the length) ──▶ length or 0 */
#include "smpp/encode.h"

#include <string.h>

#include "smpp/constants.h"

struct writer {
    uint8_t *out;
    size_t cap;
    size_t len;
    bool full;
};

static struct writer begin(uint8_t *out, size_t cap)
{
    return (struct writer){.out = out, .cap = cap, .len = SMPP_HEADER_LEN, .full = cap < SMPP_HEADER_LEN};
}

static void put_octets(struct writer *w, const void *octets, size_t count)
{
    if (w->full || count > w->cap - w->len) {
        w->full = true;
        return;
    }
    if (count > 0)
        memcpy(w->out + w->len, octets, count);
    w->len += count;
}

static void put_octet(struct writer *w, uint8_t octet)
{
    put_octets(w, &octet, 1);
}

static void put_cstring(struct writer *w, const char *text)
{
    const char *string = text != NULL ? text : "";
    put_octets(w, string, strlen(string) + 1);
}

static void put_span(struct writer *w, struct smpp_span span)
{
    put_octets(w, span.p, span.len);
}

static void put_address(struct writer *w, uint8_t ton, uint8_t npi, const char *digits)
{
    put_octet(w, ton);
    put_octet(w, npi);
    put_cstring(w, digits);
}

static size_t finish(struct writer *w, uint32_t command_id, uint32_t command_status, uint32_t sequence_number)
{
    if (w->full || w->len > UINT32_MAX)
        return 0;
    struct smpp_header header = {(uint32_t)w->len, command_id, command_status, sequence_number};
    smpp_put_header(w->out, &header);
    return w->len;
}

/* A peer that asks for the NUL wants it where the specification has a message_id first and nothing it could
 * miss after it. */
static bool opens_with_message_id(uint32_t request_id)
{
    return request_id == SMPP_SUBMIT_SM || request_id == SMPP_SUBMIT_MULTI || request_id == SMPP_DELIVER_SM ||
           request_id == SMPP_DATA_SM;
}

size_t smpp_encode_refusal(uint8_t out[SMPP_REFUSAL_MAX], uint32_t request_id, uint32_t sequence_number,
                           uint32_t command_status, bool with_nul)
{
    bool own = smpp_command_known(request_id) && smpp_has_response(request_id);
    struct writer w = begin(out, SMPP_REFUSAL_MAX);
    if (with_nul && opens_with_message_id(request_id))
        put_octet(&w, 0);
    return finish(&w, own ? request_id | SMPP_RESPONSE_BIT : SMPP_GENERIC_NACK, command_status,
                  sequence_number);
}

size_t smpp_encode_generic_nack(uint8_t out[SMPP_HEADER_LEN], uint32_t sequence_number,
                                uint32_t command_status)
{
    struct writer w = begin(out, SMPP_HEADER_LEN);
    return finish(&w, SMPP_GENERIC_NACK, command_status, sequence_number);
}

static void put_tlv(struct writer *w, uint16_t tag, const void *value, uint16_t len)
{
    uint8_t head[4];
    smpp_put16(head, tag);
    smpp_put16(head + 2, len);
    put_octets(w, head, sizeof head);
    put_octets(w, value, len);
}

size_t smpp_encode_tlv(uint8_t *out, size_t cap, uint16_t tag, const void *value, uint16_t len)
{
    struct writer w = {.out = out, .cap = cap};
    put_tlv(&w, tag, value, len);
    return w.full ? 0 : w.len;
}

size_t smpp_encode_bind_resp(uint8_t *out, size_t cap, uint32_t bind_id, uint32_t sequence_number,
                             uint32_t command_status, const char *system_id, int version)
{
    struct writer w = begin(out, cap);
    if (command_status == ESME_ROK) {
        put_cstring(&w, system_id);
        if (version >= 0) {
            uint8_t octet = (uint8_t)version;
            put_tlv(&w, SMPP_TAG_SC_INTERFACE_VERSION, &octet, 1);
        }
    }
    return finish(&w, bind_id | SMPP_RESPONSE_BIT, command_status, sequence_number);
}

size_t smpp_encode_bind(uint8_t *out, size_t cap, const struct smpp_bind_fields *fields)
{
    struct writer w = begin(out, cap);
    put_cstring(&w, fields->system_id);
    put_cstring(&w, fields->password);
    put_cstring(&w, fields->system_type);
    put_octet(&w, fields->interface_version);
    put_address(&w, fields->addr_ton, fields->addr_npi, fields->address_range);
    return finish(&w, fields->command_id, ESME_ROK, fields->sequence_number);
}

/* submit_sm and deliver_sm after the addresses (4.4.1, 4.6.1). */
static void put_sm(struct writer *w, const struct smpp_message_fields *f)
{
    put_octet(w, f->esm_class);
    put_octet(w, f->protocol_id);
    put_octet(w, f->priority_flag);
    put_cstring(w, f->schedule_delivery_time);
    put_cstring(w, f->validity_period);
    put_octet(w, f->registered_delivery);
    put_octet(w, f->replace_if_present_flag);
    put_octet(w, f->data_coding);
    put_octet(w, f->sm_default_msg_id);
    put_octet(w, (uint8_t)f->text.len);
    put_span(w, f->text);
}

/* data_sm after the addresses (4.7.1). */
static void put_data(struct writer *w, const struct smpp_message_fields *f)
{
    put_octet(w, f->esm_class);
    put_octet(w, f->registered_delivery);
    put_octet(w, f->data_coding);
}

size_t smpp_encode_message(uint8_t *out, size_t cap, const struct smpp_message_fields *fields)
{
    bool data = fields->command_id == SMPP_DATA_SM;
    bool sm = fields->command_id == SMPP_SUBMIT_SM || fields->command_id == SMPP_DELIVER_SM;
    if ((!data && !sm) || fields->text.len > (data ? 0 : UINT8_MAX))
        return 0;
    struct writer w = begin(out, cap);
    put_cstring(&w, fields->service_type);
    put_address(&w, fields->source_ton, fields->source_npi, fields->source);
    put_address(&w, fields->dest_ton, fields->dest_npi, fields->dest);
    if (data)
        put_data(&w, fields);
    else
        put_sm(&w, fields);
    put_span(&w, fields->tlvs);
    return finish(&w, fields->command_id, ESME_ROK, fields->sequence_number);
}

size_t smpp_encode_id_resp(uint8_t *out, size_t cap, uint32_t response_id, uint32_t sequence_number,
                           uint32_t command_status, const char *message_id, struct smpp_span tlvs)
{
    struct writer w = begin(out, cap);
    if (message_id != NULL)
        put_cstring(&w, message_id);
    put_span(&w, tlvs);
    return finish(&w, response_id, command_status, sequence_number);
}
