/* A cursor goes over the body once, field by field; every step is bounded by the end of the PDU.
 *
 *   pdu + 16 ──▶ cstring, octet, octet, cstring ... ──▶ spans into the PDU, or false
 *   the addresses, which every message is asked for: all NULs of 32 octets at once, where the processor can
 *
 * Values are gathered in a local and handed over whole, since a view that cannot be read sets nothing. */
#include "smpp/view.h"

#include <endian.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "smpp/constants.h"
#include "smpp/frame.h"
#include "smpp/tlv.h"

struct cursor {
    const uint8_t *p;
    const uint8_t *end;
};

static inline bool open_body(struct cursor *c, const uint8_t *pdu, size_t len)
{
    if (len < SMPP_HEADER_LEN)
        return false;
    c->p = pdu + SMPP_HEADER_LEN;
    c->end = pdu + len;
    return true;
}

/* The NUL at or after p, NULL where there is none before end. Eight octets a step: the strings of a PDU are
 * short, so that a call of memchr costs more than it finds. The lowest set bit of zeros marks the first NUL.
 */
static inline const uint8_t *find_nul(const uint8_t *p, const uint8_t *end)
{
    while (end - p >= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        word = le64toh(word);
        uint64_t zeros = (word - UINT64_C(0x0101010101010101)) & ~word & UINT64_C(0x8080808080808080);
        if (zeros != 0)
            return p + (__builtin_ctzll(zeros) >> 3);
        p += 8;
    }
    for (; p < end; p++) {
        if (*p == 0)
            return p;
    }
    return NULL;
}

static inline bool take_cstring(struct cursor *c, struct smpp_span *span)
{
    const uint8_t *nul = find_nul(c->p, c->end);
    if (nul == NULL)
        return false;
    span->p = c->p;
    span->len = (uint32_t)(nul - c->p);
    c->p = nul + 1;
    return true;
}

static inline bool skip_cstring(struct cursor *c)
{
    struct smpp_span ignored;
    return take_cstring(c, &ignored);
}

static inline bool take_octet(struct cursor *c, uint8_t *octet)
{
    if (c->p == c->end)
        return false;
    *octet = *c->p++;
    return true;
}

static inline bool skip_octets(struct cursor *c, ptrdiff_t count)
{
    if (c->end - c->p < count)
        return false;
    c->p += count;
    return true;
}

static inline bool take_octets(struct cursor *c, uint32_t count, struct smpp_span *span)
{
    const uint8_t *first = c->p;
    if (!skip_octets(c, (ptrdiff_t)count))
        return false;
    span->p = first;
    span->len = count;
    return true;
}

/* TON, NPI, digits. */
static inline bool take_address(struct cursor *c, struct smpp_address *address)
{
    if (c->end - c->p < 3)
        return false;
    address->ton = c->p[0];
    address->npi = c->p[1];
    c->p += 2;
    return take_cstring(c, &address->digits);
}

static inline struct smpp_span take_rest(struct cursor *c)
{
    struct smpp_span rest = {c->p, (uint32_t)(c->end - c->p)};
    c->p = c->end;
    return rest;
}

/* Most service types are empty. */
static inline bool skip_service_type(struct cursor *c)
{
    if (c->p < c->end && *c->p == 0) {
        c->p++;
        return true;
    }
    return skip_cstring(c);
}

#ifdef __SSE2__
/* Bit n is set where octet n of 32 is NUL. */
static inline uint64_t nuls_of_32(const uint8_t *p)
{
    const __m128i zero = _mm_setzero_si128();
    __m128i first = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i second = _mm_loadu_si128((const __m128i *)(const void *)(p + 16));
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(first, zero)) |
           (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(second, zero)) << 16;
}

static inline void set_address(struct smpp_address *address, const uint8_t *p, unsigned len)
{
    address->ton = p[0];
    address->npi = p[1];
    address->digits = (struct smpp_span){p + 2, len};
}

/* Where both addresses end within the first 32 octets of the body, as usual ones do, they are found without a loop.
 * False where they don't, and where the PDU has no more octets: then the cursor goes. */
static inline bool take_short_addresses(const uint8_t *pdu, size_t len, struct smpp_address *source,
                                        struct smpp_address *dest)
{
    enum { SEEN = 32 };
    if (len < SMPP_HEADER_LEN + SEEN)
        return false;
    const uint8_t *body = pdu + SMPP_HEADER_LEN;
    uint64_t nuls = nuls_of_32(body);
    unsigned from = nuls == 0 ? SEEN : (unsigned)__builtin_ctzll(nuls) + 1; /* behind the service_type */
    uint64_t behind = nuls >> (from + 2);
    if (behind == 0)
        return false;
    unsigned from_len = (unsigned)__builtin_ctzll(behind);
    unsigned to = from + 2 + from_len + 1;
    behind = nuls >> (to + 2);
    if (behind == 0)
        return false;
    set_address(source, body + from, from_len);
    set_address(dest, body + to, (unsigned)__builtin_ctzll(behind));
    return true;
}
#else
static inline bool take_short_addresses(const uint8_t *pdu, size_t len, struct smpp_address *source,
                                        struct smpp_address *dest)
{
    (void)pdu;
    (void)len;
    (void)source;
    (void)dest;
    return false;
}
#endif

bool smpp_view_addresses(const uint8_t *pdu, size_t len, struct smpp_address *source,
                         struct smpp_address *dest)
{
    if (take_short_addresses(pdu, len, source, dest))
        return true;
    struct cursor c;
    struct smpp_address from;
    struct smpp_address to;
    if (!open_body(&c, pdu, len) || !skip_service_type(&c) || !take_address(&c, &from) ||
        !take_address(&c, &to))
        return false;
    *source = from;
    *dest = to;
    return true;
}

/* What follows the addresses in submit_sm, submit_multi and deliver_sm (4.4.1, 4.5.1, 4.6.1), up to the TLVs. */
static bool take_sm(struct cursor *c, struct smpp_message_view *v)
{
    uint8_t sm_length;
    return take_octet(c, &v->esm_class) && skip_octets(c, 2)              /* protocol_id, priority_flag */
           && skip_cstring(c)                                             /* schedule_delivery_time */
           && skip_cstring(c)                                             /* validity_period */
           && take_octet(c, &v->registered_delivery) && skip_octets(c, 1) /* replace_if_present_flag */
           && take_octet(c, &v->data_coding) && skip_octets(c, 1)         /* sm_default_msg_id */
           && take_octet(c, &sm_length) && take_octets(c, sm_length, &v->text);
}

/* The same of data_sm (4.7.1). */
static bool take_data(struct cursor *c, struct smpp_message_view *v)
{
    return take_octet(c, &v->esm_class) && take_octet(c, &v->registered_delivery) &&
           take_octet(c, &v->data_coding) && take_octets(c, 0, &v->text);
}

bool smpp_view_message(const uint8_t *pdu, size_t len, struct smpp_message_view *view)
{
    struct cursor c;
    struct smpp_message_view v;
    if (!open_body(&c, pdu, len))
        return false;
    uint32_t id = smpp_get32(pdu + 4);
    if (id != SMPP_SUBMIT_SM && id != SMPP_DELIVER_SM && id != SMPP_DATA_SM)
        return false;
    if (!take_cstring(&c, &v.service_type) || !take_address(&c, &v.source) || !take_address(&c, &v.dest))
        return false;
    if (!(id == SMPP_DATA_SM ? take_data(&c, &v) : take_sm(&c, &v)))
        return false;
    v.tlvs = take_rest(&c);
    *view = v;
    return true;
}

struct smpp_span smpp_view_text(const struct smpp_message_view *view)
{
    struct smpp_tlv payload;
    bool has_payload = view->text.len == 0 && smpp_tlv_find(view->tlvs, SMPP_TAG_MESSAGE_PAYLOAD, &payload);
    return has_payload ? payload.value : view->text;
}

bool smpp_view_bind(const uint8_t *pdu, size_t len, struct smpp_bind_view *view)
{
    struct cursor c;
    struct smpp_bind_view v;
    if (!open_body(&c, pdu, len) || !take_cstring(&c, &v.system_id) || !take_cstring(&c, &v.password) ||
        !take_cstring(&c, &v.system_type) || !take_octet(&c, &v.interface_version) ||
        !take_address(&c, &v.range))
        return false;
    *view = v;
    return true;
}

/* The C-octet string that a response opens with; a body that is missing whole is an empty one. */
static bool take_leading_id(struct cursor *c, struct smpp_span *id)
{
    return c->p == c->end ? take_octets(c, 0, id) : take_cstring(c, id);
}

bool smpp_view_bind_resp(const uint8_t *pdu, size_t len, struct smpp_bind_resp_view *view)
{
    struct cursor c;
    struct smpp_span system_id;
    struct smpp_tlv tlv;
    if (!open_body(&c, pdu, len) || !take_leading_id(&c, &system_id))
        return false;
    bool found = smpp_tlv_find(take_rest(&c), SMPP_TAG_SC_INTERFACE_VERSION, &tlv) && tlv.value.len == 1;
    view->system_id = system_id;
    view->sc_interface_version = found ? tlv.value.p[0] : -1;
    return true;
}

bool smpp_view_response_id(const uint8_t *pdu, size_t len, struct smpp_span *message_id)
{
    struct cursor c;
    return open_body(&c, pdu, len) && take_leading_id(&c, message_id);
}

static const struct smpp_address no_address = {0, 0, {NULL, 0}};

bool smpp_view_about(const uint8_t *pdu, size_t len, struct smpp_about_view *view)
{
    struct cursor c;
    struct smpp_about_view v = {.dest = no_address};
    if (!open_body(&c, pdu, len))
        return false;
    uint32_t id = smpp_get32(pdu + 4);
    bool cancel = id == SMPP_CANCEL_SM;
    if (!cancel && id != SMPP_QUERY_SM && id != SMPP_REPLACE_SM)
        return false;
    if ((cancel && !skip_cstring(&c)) /* service_type */
        || !take_cstring(&c, &v.message_id) || !take_address(&c, &v.source) ||
        (cancel && !take_address(&c, &v.dest)))
        return false;
    *view = v;
    return true;
}

bool smpp_view_multi(const uint8_t *pdu, size_t len, struct smpp_multi_view *view)
{
    struct cursor c;
    struct smpp_address source;
    uint8_t number;
    if (!open_body(&c, pdu, len) || !skip_cstring(&c) || !take_address(&c, &source) ||
        !take_octet(&c, &number))
        return false;
    view->source = source;
    view->number_of_dests = number;
    view->next = (uint32_t)(c.p - pdu);
    view->seen = 0;
    return true;
}

enum { DEST_FLAG_ADDRESS = 1, DEST_FLAG_LIST = 2 };

static bool take_multi_dest(struct cursor *c, struct smpp_multi_dest *dest)
{
    uint8_t flag;
    if (!take_octet(c, &flag))
        return false;
    dest->is_list = flag == DEST_FLAG_LIST;
    if (flag == DEST_FLAG_ADDRESS)
        return take_address(c, &dest->address);
    return flag == DEST_FLAG_LIST && take_cstring(c, &dest->list_name);
}

enum smpp_multi_verdict smpp_multi_next(const uint8_t *pdu, size_t len, struct smpp_multi_view *view,
                                        struct smpp_multi_dest *dest)
{
    if (view->seen == view->number_of_dests)
        return SMPP_MULTI_END;
    struct cursor c = {pdu + view->next, pdu + len};
    struct smpp_multi_dest d = {.address = no_address};
    if (!take_multi_dest(&c, &d))
        return SMPP_MULTI_BAD;
    view->next = (uint32_t)(c.p - pdu);
    view->seen++;
    *dest = d;
    return SMPP_MULTI_DEST;
}

bool smpp_view_multi_tlvs(const uint8_t *pdu, size_t len, const struct smpp_multi_view *view,
                          struct smpp_span *tlvs)
{
    struct cursor c = {pdu + view->next, pdu + len};
    struct smpp_message_view fields;
    if (!take_sm(&c, &fields))
        return false;
    *tlvs = take_rest(&c);
    return true;
}
