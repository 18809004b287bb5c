/* Receipt text: a value that is found stands behind its name, at the beginning of a word, and is one word.
 *
 *   input ──▶ smpp_receipt_field (each name)
 *        └──▶ a deliver_sm with it as text, or as message_payload ──▶ smpp_receipt_id */
#include <strings.h>

#include "smpp/constants.h"
#include "smpp/encode.h"
#include "smpp/receipt.h"
#include "test/fuzz/fuzz.h"
#include "test/unit/guard.h"

static bool blank(uint8_t octet)
{
    return octet <= ' ';
}

static void field(struct smpp_span text, const char *name)
{
    struct smpp_span value;
    size_t name_len = strlen(name);
    if (!smpp_receipt_field(text, name, &value))
        return;
    MUST(value.p >= text.p + name_len + 1 && value.p + value.len <= text.p + text.len);
    const uint8_t *begin = value.p - name_len - 1;
    MUST(value.p[-1] == ':' && strncasecmp((const char *)begin, name, name_len) == 0);
    MUST(begin == text.p || blank(begin[-1]));
    MUST(value.p + value.len == text.p + text.len || blank(value.p[value.len]));
    for (uint32_t i = 0; i < value.len; i++)
        MUST(!blank(value.p[i]));
}

/* The id that the text gives must be the one that the whole message gives, however the text travels. */
static void message(struct smpp_span text, bool payload)
{
    enum { ROOM = 1 << 16, TEXT_MAX = 255, TLV_HEADER = 4, PAYLOAD_MAX = 8192 };
    static uint8_t tlvs[ROOM], octets[ROOM];
    struct smpp_message_fields f = {.command_id = SMPP_DELIVER_SM, .sequence_number = 1, .esm_class = 4};
    f.service_type = f.source = f.dest = f.schedule_delivery_time = f.validity_period = "";
    if (text.len > (payload ? PAYLOAD_MAX : TEXT_MAX))
        return;
    if (payload) {
        size_t len = smpp_encode_tlv(tlvs, sizeof tlvs, SMPP_TAG_MESSAGE_PAYLOAD, text.p, (uint16_t)text.len);
        MUST(len == TLV_HEADER + text.len);
        f.tlvs = (struct smpp_span){tlvs, (uint32_t)len};
    } else {
        f.text = text;
    }
    size_t len = smpp_encode_message(octets, sizeof octets, &f);
    struct smpp_message_view v;
    struct smpp_span id;
    struct smpp_span want;
    MUST(len > 0 && smpp_view_message(guard_put(octets, len), len, &v));
    bool has = smpp_receipt_field(text, "id", &want) && want.len > 0;
    MUST(smpp_receipt_id(&v, &id) == has);
    MUST(!has || (id.len == want.len && memcmp(id.p, want.p, id.len) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"id",        "sub",  "dlvrd", "submit date",
                                        "done date", "stat", "err",   "text"};
    if (size >= GUARD_ROOM)
        return 0;
    struct smpp_span text = {data, (uint32_t)size};
    message(text, false);
    message(text, true);
    text.p = guard_put(data, size);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        field(text, names[i]);
    return 0;
}
