/* Parts of a message: never past the end, never what cannot be, and never denied by the quick look.
 *
 *   input = one PDU ──smpp_view_part──▶ a part? ─▶ smpp_may_be_part must have said so, its numbers make sense */
#include "smpp/frame.h"
#include "smpp/multipart.h"
#include "test/fuzz/fuzz.h"
#include "test/unit/guard.h"

enum { ROOM = 1 << 16 };

static void look(const uint8_t *octets, size_t len)
{
    const uint8_t *pdu = guard_put(octets, len);
    struct smpp_address source;
    struct smpp_address dest;
    struct smpp_part part;
    uint32_t id = smpp_get32(pdu + 4);
    bool has_addresses = smpp_view_addresses(pdu, len, &source, &dest);
    bool may_be = has_addresses && smpp_may_be_part(pdu, len, id, &dest);
    if (!smpp_view_part(pdu, len, &part))
        return;
    MUST(has_addresses && (may_be || id == SMPP_DELIVER_SM));
    MUST(part.total >= 2 && part.number >= 1 && part.number <= part.total);
    MUST(part.kind != SMPP_PART_UDH_8 || part.reference <= UINT8_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { CUTS_MAX = 128 };
    if (size < SMPP_HEADER_LEN || size >= ROOM)
        return 0;
    for (size_t cut = SMPP_HEADER_LEN; cut < size && cut < CUTS_MAX; cut++)
        look(data, cut);
    look(data, size);
    return 0;
}
