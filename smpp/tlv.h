/* The optional parameters at the end of a PDU (SMPP 3.4 section 3.2.4): a walk over tag, length, value.
 *
 *   span of TLVs ──▶ smpp_tlv_next ──▶ one at a time, in order, until END or BAD (a length past the end) */
#ifndef SMPP_TLV_H
#define SMPP_TLV_H

#include "smpp/view.h"

struct smpp_tlv {
    uint16_t tag;
    struct smpp_span value;
};

enum smpp_tlv_verdict { SMPP_TLV_FOUND, SMPP_TLV_END, SMPP_TLV_BAD };

/* Takes the first TLV off rest and sets tlv. At END and BAD neither is changed. */
enum smpp_tlv_verdict smpp_tlv_next(struct smpp_span *rest, struct smpp_tlv *tlv);

/* The first TLV of this tag; false where it is missing or the walk meets a BAD before it. */
bool smpp_tlv_find(struct smpp_span tlvs, uint16_t tag, struct smpp_tlv *tlv);

#endif
