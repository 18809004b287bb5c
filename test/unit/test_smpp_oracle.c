/* libsmpp34 as an independent witness: what our writer writes it must read as meant, and what it writes our
 * views must read as meant.
 *
 *   random fields ──▶ smpp_encode_* ──▶ smpp34_unpack ──▶ the same fields?
 *   random fields ──▶ smpp34_pack   ──▶ smpp_view_*   ──▶ the same fields?
 *
 * Only inside the range in which the library is safe: strings of the specification's lengths, numbering plans
 * that it knows, interface_version 0x34, statuses below 0x400, a sequence_number that is not 0, a handful of
 * TLVs of tags that it knows. It turns the order of TLVs round, so they are compared by tag. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include <libsmpp34/smpp34_structs.h>
#include <libsmpp34/smpp34_params.h>

#include "smpp/constants.h"
#include "smpp/encode.h"
#include "smpp/tlv.h"
#include "smpp/view.h"
#include "test/unit/guard.h"

enum { ROUNDS = 2000, ROOM = 2048, MANY_TLVS = 3 };

static uint64_t seed = 0x9E3779B97F4A7C15U;

static unsigned random_below(unsigned limit)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)((seed >> 32) % limit);
}

static uint32_t random_sequence(void)
{
    return 1 + random_below(SMPP_SEQUENCE_MAX);
}

/* A C-octet string of any octets but NUL, size with it. */
static void random_string(void *out, size_t size)
{
    uint8_t *string = out;
    size_t len = random_below((unsigned)size);
    for (size_t i = 0; i < len; i++)
        string[i] = (uint8_t)(1 + random_below(255));
    string[len] = 0;
}

static uint8_t random_ton(void)
{
    return (uint8_t)random_below(7);
}

static uint8_t random_npi(void)
{
    static const uint8_t known[] = {0, 1, 3, 4, 6, 8, 9, 10, 14, 18};
    return known[random_below(sizeof known)];
}

static uint8_t random_octet(void)
{
    return (uint8_t)random_below(256);
}

static void random_octets(uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = random_octet();
}

static void assert_string(struct smpp_span span, const uint8_t *theirs)
{
    assert_int_equal(span.len, strlen((const char *)theirs));
    assert_memory_equal(span.p, theirs, span.len);
}

static void assert_strings(const char *ours, const uint8_t *theirs)
{
    assert_string_equal(ours, (const char *)theirs);
}

/* Reads octets of ours with the library into pdu. */
static void they_read(void *pdu, const uint8_t *octets, size_t len)
{
    assert_int_not_equal(len, 0);
    int failed = smpp34_unpack(smpp_get32(octets + 4), pdu, octets, (int)len);
    if (failed != 0)
        fail_msg("libsmpp34: %s", smpp34_strerror);
}

/* Writes pdu with the library, to the wall. */
static const uint8_t *they_write(uint32_t command_id, void *pdu, size_t *len)
{
    uint8_t octets[ROOM];
    int written = 0;
    int failed = smpp34_pack(command_id, octets, sizeof octets, &written, pdu);
    if (failed != 0)
        fail_msg("libsmpp34: %s", smpp34_strerror);
    *len = (size_t)written;
    assert_int_equal(smpp_get32(octets), written);
    return guard_put(octets, *len);
}

/* --- their TLVs and ours -------------------------------------------------------------------------------- */

static void assert_same_tlv(const struct smpp_tlv *ours, const tlv_t *theirs)
{
    assert_int_equal(ours->tag, theirs->tag);
    assert_int_equal(ours->value.len, theirs->length);
    if (theirs->tag == SMPP_TAG_USER_MESSAGE_REFERENCE)
        assert_int_equal(smpp_get16(ours->value.p), theirs->value.val16);
    else
        assert_memory_equal(ours->value.p, theirs->value.octet, theirs->length);
}

static void assert_same_tlvs(struct smpp_span tlvs, const tlv_t *theirs)
{
    unsigned count = 0;
    struct smpp_tlv tlv;
    for (const tlv_t *t = theirs; t != NULL; t = t->next, count++) {
        assert_true(smpp_tlv_find(tlvs, t->tag, &tlv));
        assert_same_tlv(&tlv, t);
    }
    enum smpp_tlv_verdict verdict;
    while ((verdict = smpp_tlv_next(&tlvs, &tlv)) == SMPP_TLV_FOUND)
        count--;
    assert_int_equal(verdict, SMPP_TLV_END);
    assert_int_equal(count, 0);
}

static const uint16_t tags[MANY_TLVS] = {SMPP_TAG_USER_MESSAGE_REFERENCE, SMPP_TAG_MESSAGE_PAYLOAD,
                                         SMPP_TAG_CALLBACK_NUM};

static uint16_t random_tlv_len(uint16_t tag)
{
    if (tag == SMPP_TAG_USER_MESSAGE_REFERENCE)
        return 2;
    return (uint16_t)(1 + random_below(tag == SMPP_TAG_CALLBACK_NUM ? 18 : 300));
}

/* Up to MANY_TLVS in out, each tag at most once. */
static struct smpp_span random_tlvs(uint8_t *out, size_t cap)
{
    uint32_t len = 0;
    for (size_t i = 0; i < MANY_TLVS; i++) {
        uint8_t value[300];
        uint16_t value_len = random_tlv_len(tags[i]);
        random_octets(value, value_len);
        if (random_below(2) == 0)
            len += (uint32_t)smpp_encode_tlv(out + len, cap - len, tags[i], value, value_len);
    }
    return (struct smpp_span){out, len};
}

static tlv_t *their_random_tlvs(void)
{
    tlv_t *list = NULL;
    for (size_t i = 0; i < MANY_TLVS; i++) {
        tlv_t tlv = {.tag = tags[i], .length = random_tlv_len(tags[i])};
        random_octets(tlv.value.octet, tlv.length);
        if (random_below(2) == 0)
            build_tlv(&list, &tlv);
    }
    return list;
}

/* --- messages ------------------------------------------------------------------------------------------- */

struct strings {
    char service_type[6], source[21], dest[21], schedule[17], validity[17];
    uint8_t text[254];
    uint8_t tlvs[ROOM];
};

static void random_message(uint32_t command_id, struct strings *s, struct smpp_message_fields *f)
{
    bool submit = command_id == SMPP_SUBMIT_SM;
    random_string(s->service_type, sizeof s->service_type);
    random_string(s->source, sizeof s->source);
    random_string(s->dest, sizeof s->dest);
    random_string(s->schedule, submit ? sizeof s->schedule : 1);
    random_string(s->validity, submit ? sizeof s->validity : 1);
    random_octets(s->text, sizeof s->text);
    *f = (struct smpp_message_fields){
        .command_id = command_id,
        .sequence_number = random_sequence(),
        .service_type = s->service_type,
        .source_ton = random_ton(),
        .source_npi = random_npi(),
        .source = s->source,
        .dest_ton = random_ton(),
        .dest_npi = random_npi(),
        .dest = s->dest,
        .esm_class = random_octet(),
        .protocol_id = random_octet(),
        .priority_flag = random_octet(),
        .schedule_delivery_time = s->schedule,
        .validity_period = s->validity,
        .registered_delivery = random_octet(),
        .replace_if_present_flag = random_octet(),
        .data_coding = random_octet(),
        .sm_default_msg_id = random_octet(),
        .text = {s->text, command_id == SMPP_DATA_SM ? 0 : random_below(sizeof s->text + 1)},
        .tlvs = random_tlvs(s->tlvs, sizeof s->tlvs),
    };
}

/* submit_sm_t and deliver_sm_t name their fields alike; their types differ. */
#define ASSERT_SM_READ(theirs, f)                                                        \
    do {                                                                                 \
        assert_int_equal((theirs).sequence_number, (f).sequence_number);                 \
        assert_strings((f).service_type, (theirs).service_type);                         \
        assert_int_equal((theirs).source_addr_ton, (f).source_ton);                      \
        assert_int_equal((theirs).source_addr_npi, (f).source_npi);                      \
        assert_strings((f).source, (theirs).source_addr);                                \
        assert_int_equal((theirs).dest_addr_ton, (f).dest_ton);                          \
        assert_int_equal((theirs).dest_addr_npi, (f).dest_npi);                          \
        assert_strings((f).dest, (theirs).destination_addr);                             \
        assert_int_equal((theirs).esm_class, (f).esm_class);                             \
        assert_int_equal((theirs).protocol_id, (f).protocol_id);                         \
        assert_int_equal((theirs).priority_flag, (f).priority_flag);                     \
        assert_strings((f).schedule_delivery_time, (theirs).schedule_delivery_time);     \
        assert_strings((f).validity_period, (theirs).validity_period);                   \
        assert_int_equal((theirs).registered_delivery, (f).registered_delivery);         \
        assert_int_equal((theirs).replace_if_present_flag, (f).replace_if_present_flag); \
        assert_int_equal((theirs).data_coding, (f).data_coding);                         \
        assert_int_equal((theirs).sm_default_msg_id, (f).sm_default_msg_id);             \
        assert_int_equal((theirs).sm_length, (f).text.len);                              \
        assert_memory_equal((theirs).short_message, (f).text.p, (f).text.len);           \
        assert_same_tlvs((f).tlvs, (theirs).tlv);                                        \
    } while (0)

static void they_read_our_submit_sm(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct strings strings;
        struct smpp_message_fields f;
        submit_sm_t theirs = {0};
        uint8_t octets[ROOM];
        random_message(SMPP_SUBMIT_SM, &strings, &f);
        they_read(&theirs, octets, smpp_encode_message(octets, sizeof octets, &f));
        ASSERT_SM_READ(theirs, f);
        destroy_tlv(theirs.tlv);
    }
}

static void they_read_our_deliver_sm(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct strings strings;
        struct smpp_message_fields f;
        deliver_sm_t theirs = {0};
        uint8_t octets[ROOM];
        random_message(SMPP_DELIVER_SM, &strings, &f);
        they_read(&theirs, octets, smpp_encode_message(octets, sizeof octets, &f));
        ASSERT_SM_READ(theirs, f);
        destroy_tlv(theirs.tlv);
    }
}

static void they_read_our_data_sm(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct strings strings;
        struct smpp_message_fields f;
        data_sm_t theirs = {0};
        uint8_t octets[ROOM];
        random_message(SMPP_DATA_SM, &strings, &f);
        they_read(&theirs, octets, smpp_encode_message(octets, sizeof octets, &f));
        assert_strings(f.source, theirs.source_addr);
        assert_strings(f.dest, theirs.destination_addr);
        assert_int_equal(theirs.esm_class, f.esm_class);
        assert_int_equal(theirs.registered_delivery, f.registered_delivery);
        assert_int_equal(theirs.data_coding, f.data_coding);
        assert_same_tlvs(f.tlvs, theirs.tlv);
        destroy_tlv(theirs.tlv);
    }
}

/* The fields that the three messages share, random, in a struct of theirs. */
#define FILL_MESSAGE(theirs, id)                                                   \
    do {                                                                           \
        (theirs).command_id = (id);                                                \
        (theirs).sequence_number = random_sequence();                              \
        random_string((theirs).service_type, sizeof(theirs).service_type);         \
        (theirs).source_addr_ton = random_ton();                                   \
        (theirs).source_addr_npi = random_npi();                                   \
        random_string((theirs).source_addr, sizeof(theirs).source_addr);           \
        (theirs).dest_addr_ton = random_ton();                                     \
        (theirs).dest_addr_npi = random_npi();                                     \
        random_string((theirs).destination_addr, sizeof(theirs).destination_addr); \
        (theirs).esm_class = random_octet();                                       \
        (theirs).registered_delivery = random_octet();                             \
        (theirs).data_coding = random_octet();                                     \
        (theirs).tlv = their_random_tlvs();                                        \
    } while (0)

#define FILL_TEXT(theirs)                                                                      \
    do {                                                                                       \
        (theirs).protocol_id = random_octet();                                                 \
        (theirs).priority_flag = random_octet();                                               \
        random_string((theirs).schedule_delivery_time, sizeof(theirs).schedule_delivery_time); \
        random_string((theirs).validity_period, sizeof(theirs).validity_period);               \
        (theirs).sm_length = (uint8_t)random_below(254); /* 254 it reads but does not write */ \
        random_octets((theirs).short_message, (theirs).sm_length);                             \
    } while (0)

#define ASSERT_ADDRESSES_SEEN(theirs, from, to)                 \
    do {                                                        \
        assert_int_equal((from).ton, (theirs).source_addr_ton); \
        assert_int_equal((from).npi, (theirs).source_addr_npi); \
        assert_string((from).digits, (theirs).source_addr);     \
        assert_int_equal((to).ton, (theirs).dest_addr_ton);     \
        assert_int_equal((to).npi, (theirs).dest_addr_npi);     \
        assert_string((to).digits, (theirs).destination_addr);  \
    } while (0)

#define ASSERT_MESSAGE_SEEN(theirs, v)                                           \
    do {                                                                         \
        assert_string((v).service_type, (theirs).service_type);                  \
        ASSERT_ADDRESSES_SEEN(theirs, (v).source, (v).dest);                     \
        assert_int_equal((v).esm_class, (theirs).esm_class);                     \
        assert_int_equal((v).registered_delivery, (theirs).registered_delivery); \
        assert_int_equal((v).data_coding, (theirs).data_coding);                 \
        assert_same_tlvs((v).tlvs, (theirs).tlv);                                \
    } while (0)

static void we_see_their_submit_sm(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        submit_sm_t theirs = {0};
        struct smpp_message_view v;
        struct smpp_address source;
        struct smpp_address dest;
        size_t len;
        FILL_MESSAGE(theirs, SMPP_SUBMIT_SM);
        FILL_TEXT(theirs);
        const uint8_t *pdu = they_write(SMPP_SUBMIT_SM, &theirs, &len);
        assert_true(smpp_view_addresses(pdu, len, &source, &dest));
        ASSERT_ADDRESSES_SEEN(theirs, source, dest);
        assert_true(smpp_view_message(pdu, len, &v));
        ASSERT_MESSAGE_SEEN(theirs, v);
        assert_int_equal(v.text.len, theirs.sm_length);
        assert_memory_equal(v.text.p, theirs.short_message, v.text.len);
        destroy_tlv(theirs.tlv);
    }
}

static void we_see_their_deliver_sm(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        deliver_sm_t theirs = {0};
        struct smpp_message_view v;
        size_t len;
        FILL_MESSAGE(theirs, SMPP_DELIVER_SM);
        FILL_TEXT(theirs);
        const uint8_t *pdu = they_write(SMPP_DELIVER_SM, &theirs, &len);
        assert_true(smpp_view_message(pdu, len, &v));
        ASSERT_MESSAGE_SEEN(theirs, v);
        assert_int_equal(v.text.len, theirs.sm_length);
        assert_memory_equal(v.text.p, theirs.short_message, v.text.len);
        destroy_tlv(theirs.tlv);
    }
}

static void we_see_their_data_sm(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        data_sm_t theirs = {0};
        struct smpp_message_view v;
        size_t len;
        FILL_MESSAGE(theirs, SMPP_DATA_SM);
        const uint8_t *pdu = they_write(SMPP_DATA_SM, &theirs, &len);
        assert_true(smpp_view_message(pdu, len, &v));
        ASSERT_MESSAGE_SEEN(theirs, v);
        assert_int_equal(v.text.len, 0);
        destroy_tlv(theirs.tlv);
    }
}

/* --- binds ---------------------------------------------------------------------------------------------- */

static void they_read_our_bind(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        char system_id[16], password[9], system_type[13], range[41];
        bind_transceiver_t theirs = {0};
        uint8_t octets[ROOM];
        random_string(system_id, sizeof system_id);
        random_string(password, sizeof password);
        random_string(system_type, sizeof system_type);
        random_string(range, sizeof range);
        struct smpp_bind_fields f = {
            SMPP_BIND_TRANSCEIVER, random_sequence(), system_id, password, system_type, 0x34,
            random_ton(),          random_npi(),      range};
        they_read(&theirs, octets, smpp_encode_bind(octets, sizeof octets, &f));
        assert_int_equal(theirs.sequence_number, f.sequence_number);
        assert_strings(system_id, theirs.system_id);
        assert_strings(password, theirs.password);
        assert_strings(system_type, theirs.system_type);
        assert_int_equal(theirs.interface_version, 0x34);
        assert_int_equal(theirs.addr_ton, f.addr_ton);
        assert_int_equal(theirs.addr_npi, f.addr_npi);
        assert_strings(range, theirs.address_range);
    }
}

static void we_see_their_bind(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        bind_transmitter_t theirs = {.command_id = SMPP_BIND_TRANSMITTER, .interface_version = 0x34};
        struct smpp_bind_view v;
        size_t len;
        theirs.sequence_number = random_sequence();
        random_string(theirs.system_id, sizeof theirs.system_id);
        random_string(theirs.password, sizeof theirs.password);
        random_string(theirs.system_type, sizeof theirs.system_type);
        theirs.addr_ton = random_ton();
        theirs.addr_npi = random_npi();
        random_string(theirs.address_range, sizeof theirs.address_range);
        const uint8_t *pdu = they_write(SMPP_BIND_TRANSMITTER, &theirs, &len);
        assert_true(smpp_view_bind(pdu, len, &v));
        assert_string(v.system_id, theirs.system_id);
        assert_string(v.password, theirs.password);
        assert_string(v.system_type, theirs.system_type);
        assert_int_equal(v.interface_version, 0x34);
        assert_int_equal(v.range.ton, theirs.addr_ton);
        assert_int_equal(v.range.npi, theirs.addr_npi);
        assert_string(v.range.digits, theirs.address_range);
    }
}

static void bind_responses_both_ways(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        char system_id[16];
        bind_receiver_resp_t theirs = {0};
        struct smpp_bind_resp_view v;
        uint8_t octets[ROOM];
        size_t len;
        random_string(system_id, sizeof system_id);
        int version = i % 2 == 0 ? 0x34 : -1;
        len = smpp_encode_bind_resp(octets, sizeof octets, SMPP_BIND_RECEIVER, random_sequence(), 0,
                                    system_id, version);
        they_read(&theirs, octets, len);
        assert_strings(system_id, theirs.system_id);
        assert_int_equal(theirs.tlv != NULL, version >= 0);
        const uint8_t *pdu = they_write(SMPP_BIND_RECEIVER | SMPP_RESPONSE_BIT, &theirs, &len);
        assert_true(smpp_view_bind_resp(pdu, len, &v));
        assert_string(v.system_id, theirs.system_id);
        assert_int_equal(v.sc_interface_version, version);
        destroy_tlv(theirs.tlv);
    }
}

/* --- the rest ------------------------------------------------------------------------------------------- */

static void submit_sm_responses_both_ways(void **state)
{
    (void)state;
    static const struct smpp_span no_tlvs = {NULL, 0};
    for (int i = 0; i < ROUNDS; i++) {
        char id[65];
        submit_sm_resp_t theirs = {0};
        struct smpp_span seen;
        uint8_t octets[ROOM];
        size_t len;
        random_string(id, sizeof id);
        len = smpp_encode_id_resp(octets, sizeof octets, 0x80000004, random_sequence(), 0, id, no_tlvs);
        they_read(&theirs, octets, len);
        assert_strings(id, theirs.message_id);
        const uint8_t *pdu = they_write(0x80000004, &theirs, &len);
        assert_true(smpp_view_response_id(pdu, len, &seen));
        assert_string(seen, theirs.message_id);
    }
}

static void they_read_our_refusals(void **state)
{
    (void)state;
    static const uint32_t requests[] = {SMPP_UNBIND, SMPP_ENQUIRE_LINK, SMPP_CANCEL_SM, SMPP_REPLACE_SM};
    for (size_t i = 0; i < 4; i++) {
        enquire_link_resp_t theirs = {0};
        uint8_t octets[SMPP_REFUSAL_MAX];
        they_read(&theirs, octets, smpp_encode_refusal(octets, requests[i], 77, ESME_RMSGQFUL, false));
        assert_int_equal(theirs.command_id, requests[i] | SMPP_RESPONSE_BIT);
        assert_int_equal(theirs.command_status, 0x14);
        assert_int_equal(theirs.sequence_number, 77);
    }
    generic_nack_t nack = {0};
    uint8_t octets[SMPP_HEADER_LEN];
    they_read(&nack, octets, smpp_encode_generic_nack(octets, 78, ESME_RINVCMDID));
    assert_int_equal(nack.command_status, 3);
    assert_int_equal(nack.sequence_number, 78);
}

static void we_see_what_their_queries_are_about(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        query_sm_t query = {.command_id = SMPP_QUERY_SM, .sequence_number = random_sequence()};
        struct smpp_about_view v;
        size_t len;
        random_string(query.message_id, sizeof query.message_id);
        query.source_addr_ton = random_ton();
        query.source_addr_npi = random_npi();
        random_string(query.source_addr, sizeof query.source_addr);
        const uint8_t *pdu = they_write(SMPP_QUERY_SM, &query, &len);
        assert_true(smpp_view_about(pdu, len, &v));
        assert_string(v.message_id, query.message_id);
        assert_int_equal(v.source.ton, query.source_addr_ton);
        assert_int_equal(v.source.npi, query.source_addr_npi);
        assert_string(v.source.digits, query.source_addr);
    }
}

static void we_see_what_their_cancels_are_about(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        cancel_sm_t cancel = {.command_id = SMPP_CANCEL_SM, .sequence_number = random_sequence()};
        struct smpp_about_view v;
        size_t len;
        random_string(cancel.service_type, sizeof cancel.service_type);
        random_string(cancel.message_id, sizeof cancel.message_id);
        cancel.source_addr_ton = random_ton();
        cancel.source_addr_npi = random_npi();
        random_string(cancel.source_addr, sizeof cancel.source_addr);
        cancel.dest_addr_ton = random_ton();
        cancel.dest_addr_npi = random_npi();
        random_string(cancel.destination_addr, sizeof cancel.destination_addr);
        const uint8_t *pdu = they_write(SMPP_CANCEL_SM, &cancel, &len);
        assert_true(smpp_view_about(pdu, len, &v));
        assert_string(v.message_id, cancel.message_id);
        ASSERT_ADDRESSES_SEEN(cancel, v.source, v.dest);
    }
}

static void we_see_what_their_replaces_are_about(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        replace_sm_t replace = {.command_id = SMPP_REPLACE_SM, .sequence_number = random_sequence()};
        struct smpp_about_view v;
        size_t len;
        random_string(replace.message_id, sizeof replace.message_id);
        replace.source_addr_ton = random_ton();
        replace.source_addr_npi = random_npi();
        random_string(replace.source_addr, sizeof replace.source_addr);
        const uint8_t *pdu = they_write(SMPP_REPLACE_SM, &replace, &len);
        assert_true(smpp_view_about(pdu, len, &v));
        assert_string(v.message_id, replace.message_id);
        assert_string(v.source.digits, replace.source_addr);
    }
}

static void we_see_the_destinations_of_their_submit_multi(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        submit_multi_t theirs = {.command_id = SMPP_SUBMIT_MULTI, .sequence_number = random_sequence()};
        struct smpp_multi_view v;
        struct smpp_multi_dest d;
        size_t len;
        random_string(theirs.source_addr, sizeof theirs.source_addr);
        theirs.number_of_dests = (uint8_t)(1 + random_below(3));
        for (int n = 0; n < theirs.number_of_dests; n++) {
            dad_t dad = {.dest_flag = (uint8_t)(1 + random_below(2))};
            if (dad.dest_flag == 1)
                random_string(dad.value.sme.destination_addr, sizeof dad.value.sme.destination_addr);
            else
                random_string(dad.value.dl_name, sizeof dad.value.dl_name);
            build_dad(&theirs.dest_addr_def, &dad);
        }
        const uint8_t *pdu = they_write(SMPP_SUBMIT_MULTI, &theirs, &len);
        assert_true(smpp_view_multi(pdu, len, &v));
        assert_string(v.source.digits, theirs.source_addr);
        assert_int_equal(v.number_of_dests, theirs.number_of_dests);
        for (const dad_t *dad = theirs.dest_addr_def; dad != NULL; dad = dad->next) {
            assert_int_equal(smpp_multi_next(pdu, len, &v, &d), SMPP_MULTI_DEST);
            assert_int_equal(d.is_list, dad->dest_flag == 2);
            if (d.is_list)
                assert_string(d.list_name, dad->value.dl_name);
            else
                assert_string(d.address.digits, dad->value.sme.destination_addr);
        }
        assert_int_equal(smpp_multi_next(pdu, len, &v, &d), SMPP_MULTI_END);
        destroy_dad(theirs.dest_addr_def);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_read_our_submit_sm),
        cmocka_unit_test(they_read_our_deliver_sm),
        cmocka_unit_test(they_read_our_data_sm),
        cmocka_unit_test(we_see_their_submit_sm),
        cmocka_unit_test(we_see_their_deliver_sm),
        cmocka_unit_test(we_see_their_data_sm),
        cmocka_unit_test(they_read_our_bind),
        cmocka_unit_test(we_see_their_bind),
        cmocka_unit_test(bind_responses_both_ways),
        cmocka_unit_test(submit_sm_responses_both_ways),
        cmocka_unit_test(they_read_our_refusals),
        cmocka_unit_test(we_see_what_their_queries_are_about),
        cmocka_unit_test(we_see_what_their_cancels_are_about),
        cmocka_unit_test(we_see_what_their_replaces_are_about),
        cmocka_unit_test(we_see_the_destinations_of_their_submit_multi),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
