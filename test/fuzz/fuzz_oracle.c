/* libsmpp34 as an independent witness, inside the range in which it is safe (see test/unit/test_smpp_oracle.c).
 *
 *   input ──▶ fields ──smpp_encode_*──▶ octets ──smpp34_unpack──▶ the same fields?
 *                                          └──▶ smpp34_pack ──▶ octets ──smpp_view_*──▶ the same fields?
 *
 * Strings of the specification's lengths, numbering plans that it knows, a sequence_number that is not 0, at most
 * one TLV of each of three tags. It turns the order of TLVs round, so they are looked up by tag. */
#include <stdint.h>

#include <libsmpp34/smpp34_structs.h>
#include <libsmpp34/smpp34_params.h>

#include "smpp/constants.h"
#include "smpp/encode.h"
#include "smpp/tlv.h"
#include "smpp/view.h"
#include "test/fuzz/fuzz.h"
#include "test/unit/guard.h"

enum { ROOM = 2048, TAGS = 3, PAYLOAD_MAX = 300, TEXT_MAX = 254 };

static const uint16_t tags[TAGS] = {SMPP_TAG_USER_MESSAGE_REFERENCE, SMPP_TAG_MESSAGE_PAYLOAD,
                                    SMPP_TAG_CALLBACK_NUM};

struct strings {
    char service_type[6], source[21], dest[21], schedule[17], validity[17];
    char system_id[16], password[9], system_type[13], range[41], message_id[65];
    uint8_t text[TEXT_MAX], tlvs[ROOM];
};

static void take_string(struct input *in, char *out, size_t size)
{
    struct input taken = take_octets(in, take_octet(in) % size);
    for (size_t i = 0; i < taken.len; i++)
        out[i] = (char)(taken.p[i] != 0 ? taken.p[i] : 1);
    out[taken.len] = '\0';
}

static uint8_t take_ton(struct input *in)
{
    return take_octet(in) % 7;
}

static uint8_t take_npi(struct input *in)
{
    static const uint8_t known[] = {0, 1, 3, 4, 6, 8, 9, 10, 14, 18};
    return known[take_octet(in) % sizeof known];
}

static uint32_t take_sequence(struct input *in)
{
    return 1 + take_number(in, UINT16_MAX) * 0x8000U;
}

static uint16_t value_len(struct input *in, uint16_t tag)
{
    if (tag == SMPP_TAG_USER_MESSAGE_REFERENCE)
        return 2;
    return (uint16_t)(1 + take_number(in, tag == SMPP_TAG_CALLBACK_NUM ? 18 : PAYLOAD_MAX));
}

static struct smpp_span take_tlvs(struct input *in, uint8_t *out)
{
    uint32_t len = 0;
    unsigned which = take_octet(in);
    for (unsigned i = 0; i < TAGS; i++) {
        uint8_t value[PAYLOAD_MAX] = {0};
        if ((which & (1U << i)) == 0)
            continue;
        uint16_t want = value_len(in, tags[i]);
        struct input octets = take_octets(in, want);
        memcpy(value, octets.p, octets.len);
        len += (uint32_t)smpp_encode_tlv(out + len, ROOM - len, tags[i], value, want);
    }
    return (struct smpp_span){out, len};
}

static void same_string(struct smpp_span ours, const void *theirs)
{
    MUST(ours.len == strlen(theirs) && memcmp(ours.p, theirs, ours.len) == 0);
}

static void same_tlvs(struct smpp_span ours, const tlv_t *theirs)
{
    struct smpp_tlv tlv;
    int count = 0;
    for (const tlv_t *t = theirs; t != NULL; t = t->next, count++) {
        MUST(smpp_tlv_find(ours, t->tag, &tlv) && tlv.value.len == t->length);
        if (t->tag == SMPP_TAG_USER_MESSAGE_REFERENCE)
            MUST(smpp_get16(tlv.value.p) == t->value.val16);
        else
            MUST(memcmp(tlv.value.p, t->value.octet, t->length) == 0);
    }
    while (smpp_tlv_next(&ours, &tlv) == SMPP_TLV_FOUND)
        count--;
    MUST(count == 0);
}

static void they_read(void *theirs, const uint8_t *octets, size_t len)
{
    MUST(len != 0);
    if (smpp34_unpack(smpp_get32(octets + 4), theirs, octets, (int)len) != 0) {
        fprintf(stderr, "libsmpp34 does not read it: %s\n", smpp34_strerror);
        abort();
    }
}

static const uint8_t *they_write(uint32_t command_id, void *theirs, size_t *len)
{
    uint8_t octets[ROOM];
    int written = 0;
    if (smpp34_pack(command_id, octets, sizeof octets, &written, theirs) != 0) {
        fprintf(stderr, "libsmpp34 does not write it: %s\n", smpp34_strerror);
        abort();
    }
    *len = (size_t)written;
    return guard_put(octets, *len);
}

/* --- messages: the structs name their fields alike, but are three types ------------------------------------- */

static void take_message(struct input *in, uint32_t command_id, struct strings *s,
                         struct smpp_message_fields *f)
{
    bool submit = command_id == SMPP_SUBMIT_SM;
    bool data = command_id == SMPP_DATA_SM;
    memset(s, 0, sizeof *s);
    memset(f, 0, sizeof *f);
    f->command_id = command_id;
    f->sequence_number = take_sequence(in);
    f->source_ton = take_ton(in);
    f->source_npi = take_npi(in);
    f->dest_ton = take_ton(in);
    f->dest_npi = take_npi(in);
    f->esm_class = take_octet(in);
    f->registered_delivery = take_octet(in);
    f->data_coding = take_octet(in);
    f->protocol_id = take_octet(in);
    f->priority_flag = take_octet(in);
    take_string(in, s->service_type, sizeof s->service_type);
    take_string(in, s->source, sizeof s->source);
    take_string(in, s->dest, sizeof s->dest);
    take_string(in, s->schedule, submit ? sizeof s->schedule : 1);
    take_string(in, s->validity, submit ? sizeof s->validity : 1);
    f->service_type = s->service_type;
    f->source = s->source;
    f->dest = s->dest;
    f->schedule_delivery_time = s->schedule;
    f->validity_period = s->validity;
    struct input text = take_octets(in, data ? 0 : take_octet(in) % TEXT_MAX);
    memcpy(s->text, text.p, text.len);
    f->text = (struct smpp_span){s->text, (uint32_t)text.len};
    f->tlvs = take_tlvs(in, s->tlvs);
}

#define SAME_ENVELOPE(theirs, f)                                                                        \
    do {                                                                                                \
        MUST((theirs).sequence_number == (f).sequence_number);                                          \
        MUST(strcmp((f).service_type, (const char *)(theirs).service_type) == 0);                       \
        MUST((theirs).source_addr_ton == (f).source_ton && (theirs).source_addr_npi == (f).source_npi); \
        MUST(strcmp((f).source, (const char *)(theirs).source_addr) == 0);                              \
        MUST((theirs).dest_addr_ton == (f).dest_ton && (theirs).dest_addr_npi == (f).dest_npi);         \
        MUST(strcmp((f).dest, (const char *)(theirs).destination_addr) == 0);                           \
        MUST((theirs).esm_class == (f).esm_class && (theirs).data_coding == (f).data_coding);           \
        MUST((theirs).registered_delivery == (f).registered_delivery);                                  \
        same_tlvs((f).tlvs, (theirs).tlv);                                                              \
    } while (0)

#define SAME_TEXT(theirs, f)                                                                          \
    do {                                                                                              \
        MUST((theirs).protocol_id == (f).protocol_id && (theirs).priority_flag == (f).priority_flag); \
        MUST(strcmp((f).schedule_delivery_time, (const char *)(theirs).schedule_delivery_time) == 0); \
        MUST(strcmp((f).validity_period, (const char *)(theirs).validity_period) == 0);               \
        MUST((theirs).sm_length == (f).text.len);                                                     \
        MUST(memcmp((theirs).short_message, (f).text.p, (f).text.len) == 0);                          \
    } while (0)

/* What they write of what they read of ours, seen by our view. */
static void we_see(const uint8_t *pdu, size_t len, const struct smpp_message_fields *f)
{
    struct smpp_message_view v;
    MUST(smpp_get32(pdu) == len && smpp_view_message(pdu, len, &v));
    same_string(v.service_type, f->service_type);
    same_string(v.source.digits, f->source);
    same_string(v.dest.digits, f->dest);
    MUST(v.source.ton == f->source_ton && v.source.npi == f->source_npi);
    MUST(v.dest.ton == f->dest_ton && v.dest.npi == f->dest_npi);
    MUST(v.esm_class == f->esm_class && v.data_coding == f->data_coding);
    MUST(v.registered_delivery == f->registered_delivery);
    MUST(v.text.len == f->text.len && memcmp(v.text.p, f->text.p, v.text.len) == 0);
}

static void message(struct input *in, uint32_t command_id)
{
    struct strings strings;
    struct smpp_message_fields f;
    uint8_t octets[ROOM];
    size_t len;
    take_message(in, command_id, &strings, &f);
    size_t ours = smpp_encode_message(octets, sizeof octets, &f);
    if (command_id == SMPP_SUBMIT_SM) {
        submit_sm_t theirs = {0};
        they_read(&theirs, octets, ours);
        SAME_ENVELOPE(theirs, f);
        SAME_TEXT(theirs, f);
        we_see(they_write(command_id, &theirs, &len), ours, &f);
        destroy_tlv(theirs.tlv);
    } else if (command_id == SMPP_DELIVER_SM) {
        deliver_sm_t theirs = {0};
        they_read(&theirs, octets, ours);
        SAME_ENVELOPE(theirs, f);
        SAME_TEXT(theirs, f);
        we_see(they_write(command_id, &theirs, &len), ours, &f);
        destroy_tlv(theirs.tlv);
    } else {
        data_sm_t theirs = {0};
        they_read(&theirs, octets, ours);
        SAME_ENVELOPE(theirs, f);
        we_see(they_write(command_id, &theirs, &len), ours, &f);
        destroy_tlv(theirs.tlv);
    }
    MUST(len == ours);
}

static void bind(struct input *in)
{
    struct strings s;
    uint8_t octets[ROOM];
    size_t len;
    bind_transceiver_t theirs = {0};
    struct smpp_bind_view v;
    struct smpp_bind_fields f = {.command_id = SMPP_BIND_TRANSCEIVER,
                                 .sequence_number = take_sequence(in),
                                 .interface_version = 0x34,
                                 .addr_ton = take_ton(in),
                                 .addr_npi = take_npi(in)};
    take_string(in, s.system_id, sizeof s.system_id);
    take_string(in, s.password, sizeof s.password);
    take_string(in, s.system_type, sizeof s.system_type);
    take_string(in, s.range, sizeof s.range);
    f.system_id = s.system_id;
    f.password = s.password;
    f.system_type = s.system_type;
    f.address_range = s.range;
    they_read(&theirs, octets, smpp_encode_bind(octets, sizeof octets, &f));
    MUST(strcmp((const char *)theirs.system_id, s.system_id) == 0);
    MUST(theirs.sequence_number == f.sequence_number && theirs.addr_npi == f.addr_npi);
    const uint8_t *pdu = they_write(SMPP_BIND_TRANSCEIVER, &theirs, &len);
    MUST(smpp_view_bind(pdu, len, &v));
    same_string(v.system_id, s.system_id);
    same_string(v.password, s.password);
    same_string(v.system_type, s.system_type);
    same_string(v.range.digits, s.range);
    MUST(v.interface_version == 0x34 && v.range.ton == f.addr_ton && v.range.npi == f.addr_npi);
}

static void response(struct input *in)
{
    static const struct smpp_span no_tlvs = {NULL, 0};
    struct strings s;
    uint8_t octets[ROOM];
    size_t len;
    submit_sm_resp_t theirs = {0};
    struct smpp_span id;
    uint32_t sequence = take_sequence(in);
    take_string(in, s.message_id, sizeof s.message_id);
    len = smpp_encode_id_resp(octets, sizeof octets, SMPP_SUBMIT_SM | SMPP_RESPONSE_BIT, sequence, 0,
                              s.message_id, no_tlvs);
    they_read(&theirs, octets, len);
    MUST(strcmp((const char *)theirs.message_id, s.message_id) == 0 && theirs.sequence_number == sequence);
    const uint8_t *pdu = they_write(SMPP_SUBMIT_SM | SMPP_RESPONSE_BIT, &theirs, &len);
    MUST(smpp_view_response_id(pdu, len, &id));
    same_string(id, s.message_id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    switch (take_octet(&in) % 5) {
    case 0: message(&in, SMPP_SUBMIT_SM); break;
    case 1: message(&in, SMPP_DELIVER_SM); break;
    case 2: message(&in, SMPP_DATA_SM); break;
    case 3: bind(&in); break;
    default: response(&in); break;
    }
    return 0;
}
