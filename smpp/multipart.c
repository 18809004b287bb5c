/* text = length of the header (1), information elements: id (1), length (1), value; then the text itself */
#include "smpp/multipart.h"

#include "smpp/frame.h"
#include "smpp/tlv.h"

enum { IE_CONCAT_8 = 0x00, IE_CONCAT_16 = 0x08, IE_CONCAT_8_LEN = 3, IE_CONCAT_16_LEN = 4 };

static bool is_sensible(const struct smpp_part *part)
{
    return part->total >= 2 && part->number >= 1 && part->number <= part->total;
}

/* One information element. */
static bool part_of_element(uint8_t id, struct smpp_span value, struct smpp_part *part)
{
    if (id == IE_CONCAT_8 && value.len == IE_CONCAT_8_LEN) {
        *part = (struct smpp_part){SMPP_PART_UDH_8, value.p[0], value.p[1], value.p[2]};
    } else if (id == IE_CONCAT_16 && value.len == IE_CONCAT_16_LEN) {
        *part = (struct smpp_part){SMPP_PART_UDH_16, smpp_get16(value.p), value.p[2], value.p[3]};
    } else {
        return false;
    }
    return is_sensible(part);
}

static bool part_of_header(struct smpp_span text, struct smpp_part *part)
{
    if (text.len == 0 || text.p[0] > text.len - 1)
        return false;
    const uint8_t *p = text.p + 1;
    const uint8_t *end = p + text.p[0];
    while (end - p >= 2 && end - p - 2 >= p[1]) {
        if (part_of_element(p[0], (struct smpp_span){p + 2, p[1]}, part))
            return true;
        p += 2 + p[1];
    }
    return false;
}

static bool octet_of(struct smpp_span tlvs, uint16_t tag, uint8_t *octet)
{
    struct smpp_tlv tlv;
    if (!smpp_tlv_find(tlvs, tag, &tlv) || tlv.value.len != 1)
        return false;
    *octet = tlv.value.p[0];
    return true;
}

static bool part_of_tlvs(struct smpp_span tlvs, struct smpp_part *part)
{
    struct smpp_tlv reference;
    if (!smpp_tlv_find(tlvs, SMPP_TAG_SAR_MSG_REF_NUM, &reference) || reference.value.len != 2 ||
        !octet_of(tlvs, SMPP_TAG_SAR_TOTAL_SEGMENTS, &part->total) ||
        !octet_of(tlvs, SMPP_TAG_SAR_SEGMENT_SEQNUM, &part->number))
        return false;
    part->kind = SMPP_PART_SAR;
    part->reference = smpp_get16(reference.value.p);
    return is_sensible(part);
}

bool smpp_view_part(const uint8_t *pdu, size_t len, struct smpp_part *part)
{
    struct smpp_message_view view;
    struct smpp_part found;
    if (!smpp_view_message(pdu, len, &view))
        return false;
    bool is_part = ((view.esm_class & SMPP_ESM_UDHI) != 0 && part_of_header(smpp_view_text(&view), &found)) ||
                   (view.tlvs.len > 0 && part_of_tlvs(view.tlvs, &found));
    if (is_part)
        *part = found;
    return is_part;
}
