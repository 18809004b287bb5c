/* Framing and views.
 *
 *   input ──▶ smpp_frame on every prefix ──▶ PARTIAL .. PARTIAL, then one verdict that stays
 *        └──▶ each whole PDU, and the PDU cut at every octet ──▶ all views: spans inside it, and in agreement
 *
 * The octets end at a guard page. Octet 0 chooses the longest PDU accepted. */
#include "smpp/constants.h"
#include "smpp/frame.h"
#include "smpp/receipt.h"
#include "smpp/view.h"
#include "test/fuzz/fuzz.h"
#include "test/unit/guard.h"

enum { CUTS_MAX = 300, DEST_COUNT_MAX = 255 };

struct pdu {
    const uint8_t *p;
    size_t len;
};

static void inside(const struct pdu *pdu, struct smpp_span span)
{
    MUST(span.p >= pdu->p + SMPP_HEADER_LEN && span.len <= (size_t)(pdu->p + pdu->len - span.p));
}

static bool same(struct smpp_span a, struct smpp_span b)
{
    return a.p == b.p && a.len == b.len;
}

static void view_message(const struct pdu *pdu)
{
    struct smpp_message_view v;
    struct smpp_address source;
    struct smpp_address dest;
    struct smpp_span id;
    bool addresses = smpp_view_addresses(pdu->p, pdu->len, &source, &dest);
    if (addresses) {
        inside(pdu, source.digits);
        inside(pdu, dest.digits);
    }
    if (!smpp_view_message(pdu->p, pdu->len, &v))
        return;
    MUST(addresses && same(v.source.digits, source.digits) && same(v.dest.digits, dest.digits));
    MUST(v.source.ton == source.ton && v.dest.npi == dest.npi);
    inside(pdu, v.service_type);
    inside(pdu, v.text);
    inside(pdu, v.tlvs);
    MUST(v.tlvs.p + v.tlvs.len == pdu->p + pdu->len);
    if (smpp_receipt_id(&v, &id)) {
        inside(pdu, id);
        MUST(id.len > 0);
    }
}

static void view_multi(const struct pdu *pdu)
{
    struct smpp_multi_view v;
    struct smpp_multi_dest dest;
    enum smpp_multi_verdict verdict;
    unsigned count = 0;
    if (!smpp_view_multi(pdu->p, pdu->len, &v))
        return;
    inside(pdu, v.source.digits);
    MUST(v.number_of_dests <= DEST_COUNT_MAX);
    while ((verdict = smpp_multi_next(pdu->p, pdu->len, &v, &dest)) == SMPP_MULTI_DEST) {
        inside(pdu, dest.is_list ? dest.list_name : dest.address.digits);
        count++;
    }
    MUST(count <= v.number_of_dests && (verdict == SMPP_MULTI_BAD || count == v.number_of_dests));
}

static void view_binds(const struct pdu *pdu)
{
    struct smpp_bind_view bind;
    struct smpp_bind_resp_view resp;
    if (smpp_view_bind(pdu->p, pdu->len, &bind)) {
        inside(pdu, bind.system_id);
        inside(pdu, bind.password);
        inside(pdu, bind.system_type);
        inside(pdu, bind.range.digits);
    }
    if (smpp_view_bind_resp(pdu->p, pdu->len, &resp)) {
        inside(pdu, resp.system_id);
        MUST(resp.sc_interface_version >= -1 && resp.sc_interface_version <= UINT8_MAX);
    }
}

static void view_ids(const struct pdu *pdu)
{
    struct smpp_span id;
    struct smpp_about_view about;
    if (smpp_view_response_id(pdu->p, pdu->len, &id))
        inside(pdu, id);
    if (smpp_view_about(pdu->p, pdu->len, &about)) {
        inside(pdu, about.message_id);
        inside(pdu, about.source.digits);
    }
}

static void view_all(const uint8_t *octets, size_t len)
{
    struct pdu pdu = {guard_put(octets, len), len};
    view_message(&pdu);
    view_multi(&pdu);
    view_binds(&pdu);
    view_ids(&pdu);
}

static void view_cut(const uint8_t *octets, size_t len)
{
    size_t cuts = len < CUTS_MAX ? len : CUTS_MAX;
    for (size_t cut = 0; cut < cuts; cut++)
        view_all(octets, cut);
    view_all(octets, len);
}

/* One octet more a time: nothing but PARTIAL before the verdict on the whole, and that one at the right octet. */
static void frame_slowly(const uint8_t *octets, size_t len, uint32_t max)
{
    struct smpp_header header = {0};
    for (size_t have = 0; have <= len; have++) {
        enum smpp_frame_verdict verdict = smpp_frame(guard_put(octets, have), have, max, &header);
        if (have < 4) {
            MUST(verdict == SMPP_FRAME_PARTIAL);
            continue;
        }
        uint32_t length = smpp_get32(octets);
        bool bad = length < SMPP_HEADER_LEN || length > max;
        MUST((verdict == SMPP_FRAME_BAD) == bad);
        MUST((verdict == SMPP_FRAME_WHOLE) == (!bad && have >= length));
        MUST(verdict == SMPP_FRAME_PARTIAL || header.length == length);
        if (verdict == SMPP_FRAME_WHOLE) {
            uint8_t again[SMPP_HEADER_LEN];
            smpp_put_header(again, &header);
            MUST(memcmp(again, octets, SMPP_HEADER_LEN) == 0);
            return;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t maxima[] = {16, 64, 300, 1000, 65536};
    struct input in = {data, size};
    uint32_t max = maxima[take_octet(&in) % (sizeof maxima / sizeof maxima[0])];
    while (in.len > 0) {
        struct smpp_header header;
        frame_slowly(in.p, in.len, max);
        if (smpp_frame(in.p, in.len, max, &header) != SMPP_FRAME_WHOLE)
            break;
        view_cut(in.p, header.length);
        take_octets(&in, header.length);
    }
    view_cut(in.p, in.len); /* the rest has no frame, which a view need not know */
    return 0;
}
