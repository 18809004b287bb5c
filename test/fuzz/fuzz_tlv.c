/* The walk over TLVs: in order, inside, and written back they are the octets that were read.
 *
 *   input, also cut at every octet ──smpp_tlv_next──▶ tag, value ──smpp_encode_tlv──▶ the same octets */
#include "smpp/encode.h"
#include "smpp/tlv.h"
#include "test/fuzz/fuzz.h"
#include "test/unit/guard.h"

enum { ROOM = 1 << 16 };

static void find_first(struct smpp_span all, uint16_t tag, const struct smpp_tlv *first)
{
    struct smpp_tlv found;
    MUST(smpp_tlv_find(all, tag, &found));
    MUST(found.value.p <= first->value.p && found.tag == tag);
}

static void walk(const uint8_t *octets, size_t len)
{
    static uint8_t again[ROOM];
    struct smpp_span all = {guard_put(octets, len), (uint32_t)len};
    struct smpp_span rest = all;
    struct smpp_tlv tlv;
    size_t written = 0;
    enum smpp_tlv_verdict verdict;
    while ((verdict = smpp_tlv_next(&rest, &tlv)) == SMPP_TLV_FOUND) {
        MUST(tlv.value.p + tlv.value.len == rest.p);
        MUST(rest.p + rest.len == all.p + all.len);
        find_first(all, tlv.tag, &tlv);
        size_t one =
            smpp_encode_tlv(again + written, ROOM - written, tlv.tag, tlv.value.p, (uint16_t)tlv.value.len);
        MUST(one != 0);
        written += one;
    }
    MUST(written == all.len - rest.len && memcmp(again, all.p, written) == 0);
    MUST((verdict == SMPP_TLV_END) == (rest.len == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { CUTS_MAX = 128 };
    if (size >= ROOM)
        return 0;
    for (size_t cut = 0; cut < size && cut < CUTS_MAX; cut++)
        walk(data, cut);
    walk(data, size);
    return 0;
}
