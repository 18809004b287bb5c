/* Writing PDUs: our own answers, and whole messages for the tools and tests.
 *
 *   fields ──▶ smpp_encode_* ──▶ octets in the caller's buffer; the length, or 0 where they do not fit
 *
 * Nothing here allocates or keeps state. The control PDUs that the proxy originates are in control.h. */
#ifndef SMPP_ENCODE_H
#define SMPP_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "smpp/frame.h"
#include "smpp/view.h"

enum { SMPP_REFUSAL_MAX = 17 };

/* A negative (or body-less positive) answer to a request: its response's command id, or generic_nack where
 * the command has none. 16 octets, or 17 with_nul, for peers that need an empty message id (SMPP 3.4, 4.4.2).
 * with_nul is ignored for responses that have no message id. Always fits. */
size_t smpp_encode_refusal(uint8_t out[SMPP_REFUSAL_MAX], uint32_t request_id, uint32_t sequence_number,
                           uint32_t command_status, bool with_nul);

/* generic_nack (4.3.1). Always fits. */
size_t smpp_encode_generic_nack(uint8_t out[SMPP_HEADER_LEN], uint32_t sequence_number,
                                uint32_t command_status);

/* bind_*_resp (4.1.2) for bind request bind_id. A non-zero command_status gives a header alone. version is
 * sc_interface_version; negative leaves the TLV out (a client bound as 3.3 gets none). */
size_t smpp_encode_bind_resp(uint8_t *out, size_t cap, uint32_t bind_id, uint32_t sequence_number,
                             uint32_t command_status, const char *system_id, int version);

/* bind_*, with strings of any length that fits in cap: the fallback of control.h, and the tools' way. */
struct smpp_bind_fields {
    uint32_t command_id;
    uint32_t sequence_number;
    const char *system_id;
    const char *password;
    const char *system_type;
    uint8_t interface_version;
    uint8_t addr_ton;
    uint8_t addr_npi;
    const char *address_range;
};
size_t smpp_encode_bind(uint8_t *out, size_t cap, const struct smpp_bind_fields *fields);

/* submit_sm, deliver_sm or data_sm. tlvs are written as they are, at the end. */
struct smpp_message_fields {
    uint32_t command_id;
    uint32_t sequence_number;
    const char *service_type;
    uint8_t source_ton, source_npi;
    const char *source;
    uint8_t dest_ton, dest_npi;
    const char *dest;
    uint8_t esm_class, protocol_id, priority_flag;
    const char *schedule_delivery_time;
    const char *validity_period;
    uint8_t registered_delivery, replace_if_present_flag, data_coding, sm_default_msg_id;
    struct smpp_span text; /* at most 255 octets; must be empty for data_sm */
    struct smpp_span tlvs;
};
size_t smpp_encode_message(uint8_t *out, size_t cap, const struct smpp_message_fields *fields);

/* A response that opens with a message id: submit_sm_resp, data_sm_resp, deliver_sm_resp. tlvs as they are.
 */
size_t smpp_encode_id_resp(uint8_t *out, size_t cap, uint32_t response_id, uint32_t sequence_number,
                           uint32_t command_status, const char *message_id, struct smpp_span tlvs);

/* One TLV. Returns the octets written, 0 where it does not fit. */
size_t smpp_encode_tlv(uint8_t *out, size_t cap, uint16_t tag, const void *value, uint16_t len);

#endif
