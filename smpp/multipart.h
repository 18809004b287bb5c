/* One part of a message that was cut into several: which message it belongs to, and which part it is.
 *
 *   submit_sm, deliver_sm, data_sm ──smpp_may_be_part──▶ most are not: one look
 *                                  ──smpp_view_part────▶ reference, total, number
 *
 * Told by a user data header (esm_class with UDHI; 3GPP TS 23.040 9.2.3.24, information elements 0x00 with an
 * 8-bit and 0x08 with a 16-bit reference) in short_message or message_payload, or by the TLVs sar_msg_ref_num,
 * sar_total_segments and sar_segment_seqnum (SMPP 3.4 sections 5.3.2.22 to 24). */
#ifndef SMPP_MULTIPART_H
#define SMPP_MULTIPART_H

#include "smpp/constants.h"
#include "smpp/view.h"

enum smpp_part_kind { SMPP_PART_UDH_8, SMPP_PART_UDH_16, SMPP_PART_SAR };

struct smpp_part {
    enum smpp_part_kind kind; /* references of different kinds are different */
    uint16_t reference;
    uint8_t total;  /* 2 at least */
    uint8_t number; /* 1 to total */
};

enum { SMPP_ESM_UDHI = 0x40 };

/* A quick look for the path of a message: false where a submit_sm or data_sm is no part for certain, since it
 * has neither a user data header nor TLVs. dest as smpp_view_addresses has given it for this PDU. */
static inline bool smpp_may_be_part(const uint8_t *pdu, size_t len, uint32_t command_id,
                                    const struct smpp_address *dest)
{
    enum { SM_LENGTH_AT = 9, DATA_TLVS_AT = 3, SCHEDULE_AT = 3, VALIDITY_AT = 4 };
    const uint8_t *esm_class = dest->digits.p + dest->digits.len + 1;
    size_t left = (size_t)(pdu + len - esm_class);
    if (left == 0 || (*esm_class & SMPP_ESM_UDHI) != 0) {
        return left != 0;
    }
    if (command_id == SMPP_DATA_SM) {
        return left > DATA_TLVS_AT;
    }
    /* with a schedule or validity period sm_length lies further on: the whole view finds it */
    return left <= SM_LENGTH_AT || (esm_class[SCHEDULE_AT] | esm_class[VALIDITY_AT]) != 0 ||
           left - SM_LENGTH_AT - 1 > esm_class[SM_LENGTH_AT];
}

/* False, and nothing is set, where a message is no part of several, or cannot be read, or says what cannot be
 * (a part beyond the total). A header in the text goes before TLVs. */
bool smpp_view_part(const uint8_t *pdu, size_t len, struct smpp_part *part);

#endif
