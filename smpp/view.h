/* Views: a look at the fields that routing needs, without decoding.
 *
 *   one whole PDU ──▶ smpp_view_* ──▶ spans that point into it
 *
 * A view is true only while the PDU's bytes stay where they are. Functions return false, and set nothing,
 * when the fields cannot be read (a C-octet string that does not end inside the PDU, a field past its end);
 * they never read past pdu[len). They are lenient where the fields can still be told apart: strings longer
 * than the specification's maximum and unknown values pass (facts of the field). SMPP 3.4 section 4. */
#ifndef SMPP_VIEW_H
#define SMPP_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A run of octets inside a PDU. C-octet strings are given without their NUL. */
struct smpp_span {
    const uint8_t *p;
    uint32_t len;
};

struct smpp_address {
    uint8_t ton;
    uint8_t npi;
    struct smpp_span digits;
};

/* What submit_sm, deliver_sm (4.4.1, 4.6.1), data_sm (4.7.1) share. text is short_message, empty for data_sm;
 * message_payload, where it is used instead, is among the TLVs. */
struct smpp_message_view {
    struct smpp_span service_type;
    struct smpp_address source;
    struct smpp_address dest;
    uint8_t esm_class;
    uint8_t registered_delivery;
    uint8_t data_coding;
    struct smpp_span text;
    struct smpp_span tlvs;
};

/* The addresses only: the shortest walk that routing needs. Works on submit_sm, deliver_sm and data_sm alike,
 * since they open with the same fields. */
bool smpp_view_addresses(const uint8_t *pdu, size_t len, struct smpp_address *source,
                         struct smpp_address *dest);

/* The whole message. command_id tells which layout: submit_sm, deliver_sm or data_sm; any other: false. */
bool smpp_view_message(const uint8_t *pdu, size_t len, struct smpp_message_view *view);

/* What a message says: its short_message, or its message_payload where that is empty (5.3.2.32). */
struct smpp_span smpp_view_text(const struct smpp_message_view *view);

/* bind_transmitter, bind_receiver, bind_transceiver (4.1). */
struct smpp_bind_view {
    struct smpp_span system_id;
    struct smpp_span password;
    struct smpp_span system_type;
    uint8_t interface_version;
    struct smpp_address range; /* addr_ton, addr_npi, address_range */
};
bool smpp_view_bind(const uint8_t *pdu, size_t len, struct smpp_bind_view *view);

/* bind_*_resp (4.1.2). An error answer may have no body: then system_id is empty and this is still true.
 * sc_interface_version is -1 where the TLV is missing. */
struct smpp_bind_resp_view {
    struct smpp_span system_id;
    int sc_interface_version;
};
bool smpp_view_bind_resp(const uint8_t *pdu, size_t len, struct smpp_bind_resp_view *view);

/* The message_id that submit_sm_resp, data_sm_resp, deliver_sm_resp and submit_multi_resp open with. A
 * missing body gives an empty span and true. */
bool smpp_view_response_id(const uint8_t *pdu, size_t len, struct smpp_span *message_id);

/* query_sm, cancel_sm, replace_sm (4.8.1, 4.9.1, 4.10.1): the message_id asked about, and its source address.
 * command_id tells the layout; dest is set for cancel_sm and empty otherwise. */
struct smpp_about_view {
    struct smpp_span message_id;
    struct smpp_address source;
    struct smpp_address dest;
};
bool smpp_view_about(const uint8_t *pdu, size_t len, struct smpp_about_view *view);

/* submit_multi (4.5.1): source address, and an iterator over its destinations. */
struct smpp_multi_view {
    struct smpp_address source;
    uint32_t number_of_dests;
    uint32_t next; /* offset of the next destination; the iterator's own */
    uint32_t seen; /* destinations given so far; the iterator's own */
};
struct smpp_multi_dest {
    bool is_list;                /* a distribution list (dest_flag 2) rather than an address */
    struct smpp_address address; /* of dest_flag 1 */
    struct smpp_span list_name;  /* of dest_flag 2 */
};
bool smpp_view_multi(const uint8_t *pdu, size_t len, struct smpp_multi_view *view);
enum smpp_multi_verdict { SMPP_MULTI_DEST, SMPP_MULTI_END, SMPP_MULTI_BAD };
enum smpp_multi_verdict smpp_multi_next(const uint8_t *pdu, size_t len, struct smpp_multi_view *view,
                                        struct smpp_multi_dest *dest);

/* What follows the last field, when the iterator has come to the END. */
bool smpp_view_multi_tlvs(const uint8_t *pdu, size_t len, const struct smpp_multi_view *view,
                          struct smpp_span *tlvs);

#endif
