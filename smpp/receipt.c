/* deliver_sm ──▶ TLV receipted_message_id ──▶ the id
 *           └──▶ text, or message_payload ──▶ "id:IIII sub:... stat:... text:..." ──▶ the value of a field */
#include "smpp/receipt.h"

#include <string.h>
#include <strings.h>

#include "smpp/constants.h"
#include "smpp/tlv.h"

/* Bits 5 to 2 of esm_class are the message type (5.2.12). */
enum { MESSAGE_TYPE_MASK = 0x3C };

bool smpp_is_receipt(uint8_t esm_class)
{
    return (esm_class & MESSAGE_TYPE_MASK) != 0;
}

static bool is_blank(uint8_t octet)
{
    return octet <= ' ';
}

/* Does a field of this name ("id", "submit date") begin at text[at]? */
static bool field_begins(struct smpp_span text, uint32_t at, const char *name, size_t name_len)
{
    return text.len - at > name_len && text.p[at + name_len] == ':' &&
           strncasecmp((const char *)text.p + at, name, name_len) == 0;
}

static struct smpp_span word_at(struct smpp_span text, uint32_t at)
{
    uint32_t end = at;
    while (end < text.len && !is_blank(text.p[end]))
        end++;
    return (struct smpp_span){text.p + at, end - at};
}

bool smpp_receipt_field(struct smpp_span text, const char *name, struct smpp_span *value)
{
    size_t name_len = strlen(name);
    for (uint32_t at = 0; at < text.len; at++) {
        if (at > 0 && !is_blank(text.p[at - 1]))
            continue;
        if (field_begins(text, at, name, name_len)) {
            *value = word_at(text, at + (uint32_t)name_len + 1);
            return true;
        }
        /* What follows "text:" is the handset's message, which may look like anything. */
        if (field_begins(text, at, "text", 4))
            return false;
    }
    return false;
}

/* The TLV is a C-octet string; some peers leave its NUL out. */
static bool id_in_tlv(struct smpp_span tlvs, struct smpp_span *message_id)
{
    struct smpp_tlv tlv;
    if (!smpp_tlv_find(tlvs, SMPP_TAG_RECEIPTED_MESSAGE_ID, &tlv))
        return false;
    uint32_t len = (uint32_t)strnlen((const char *)tlv.value.p, tlv.value.len);
    if (len == 0)
        return false;
    *message_id = (struct smpp_span){tlv.value.p, len};
    return true;
}

static bool id_in_text(const struct smpp_message_view *view, struct smpp_span *message_id)
{
    struct smpp_span id;
    if (!smpp_receipt_field(smpp_view_text(view), "id", &id) || id.len == 0)
        return false;
    *message_id = id;
    return true;
}

bool smpp_wants_receipt_after_periods(const uint8_t *pdu, size_t len)
{
    struct smpp_message_view view;
    return smpp_view_message(pdu, len, &view) && (view.registered_delivery & 1) != 0;
}

bool smpp_receipt_id(const struct smpp_message_view *view, struct smpp_span *message_id)
{
    return id_in_tlv(view->tlvs, message_id) || id_in_text(view, message_id);
}
