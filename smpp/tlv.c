/* rest = tag (2) length (2) value (length) rest'  ──▶ one TLV, and rest becomes rest'. */
#include "smpp/tlv.h"

#include "smpp/frame.h"

enum { TLV_HEADER_LEN = 4 };

enum smpp_tlv_verdict smpp_tlv_next(struct smpp_span *rest, struct smpp_tlv *tlv)
{
    if (rest->len == 0)
        return SMPP_TLV_END;
    if (rest->len < TLV_HEADER_LEN)
        return SMPP_TLV_BAD;
    uint16_t length = smpp_get16(rest->p + 2);
    if (length > rest->len - TLV_HEADER_LEN)
        return SMPP_TLV_BAD;
    tlv->tag = smpp_get16(rest->p);
    tlv->value.p = rest->p + TLV_HEADER_LEN;
    tlv->value.len = length;
    rest->p += TLV_HEADER_LEN + length;
    rest->len -= TLV_HEADER_LEN + length;
    return SMPP_TLV_FOUND;
}

bool smpp_tlv_find(struct smpp_span tlvs, uint16_t tag, struct smpp_tlv *tlv)
{
    struct smpp_tlv found;
    while (smpp_tlv_next(&tlvs, &found) == SMPP_TLV_FOUND) {
        if (found.tag == tag) {
            *tlv = found;
            return true;
        }
    }
    return false;
}
