/* Messages that clients send.
 *
 *   submit_sm ─▶ decide (status, id) ─▶ ledger MT ─▶ answer ─▶ now, later, in reverse, twice, or never
 *                                              └──▶ receipt   smsc_deliver.c
 *   query_sm, cancel_sm, replace_sm ─▶ smsc_store.c ─▶ answer */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smpp/constants.h"
#include "smpp/encode.h"
#include "smpp/tlv.h"
#include "test/tools/lib/smsc.h"

enum {
    HELD_NS = 20 * 1000 * 1000, /* answers are not kept back longer than this to be reversed */
    VENDOR_TAG = 0x1400,
    STATE_ENROUTE = 1,
    STATE_DELETED = 4,
    RECEIPT_NEVER_MASK = 0x03,
    RECEIPT_ON_FAILURE = 0x02,
};

#define SECOND_NS UINT64_C(1000000000)

/* --- sending later -----------------------------------------------------------------------------------------
 */

struct later {
    struct defer_item item; /* first: the item is this */
    struct smsc_session *session;
    size_t len;
    uint8_t pdu[];
};

static void run_later(struct defer_item *item, bool cancelled)
{
    struct later *later = (struct later *)item;
    struct smsc_session *s = later->session;
    s->link->answers_delayed--;
    if (!cancelled && !s->gone && !s->channel.ending) {
        channel_send(&s->channel, later->pdu, later->len);
        s->bind_answered = true; /* by this, or long before */
        smsc_pump(s->link);
    }
    smsc_session_release(s);
    free(later);
}

void smsc_send_later(struct smsc_session *s, const uint8_t *pdu, size_t len, uint64_t delay)
{
    if (delay == 0) {
        channel_send(&s->channel, pdu, len);
        return;
    }
    struct later *later = tools_alloc(1, sizeof(*later) + len);
    later->item.run = run_later;
    later->session = smsc_session_hold(s);
    later->len = len;
    memcpy(later->pdu, pdu, len);
    s->link->answers_delayed++;
    defer_add(&s->link->smsc->defer, &later->item, uv_hrtime() + delay);
}

/* --- out of order ------------------------------------------------------------------------------------------
 */

void smsc_release_held(struct smsc_session *s)
{
    size_t end = s->held.len;
    while (end > 0) { /* a PDU, then its length behind it, so that the last comes first */
        uint32_t len = 0;
        memcpy(&len, s->held.data + end - sizeof(len), sizeof(len));
        end -= sizeof(len) + len;
        channel_send(&s->channel, s->held.data + end, len);
    }
    s->held.len = 0;
    s->held_count = 0;
}

struct release {
    struct defer_item item;
    struct smsc_session *session;
};

static void run_release(struct defer_item *item, bool cancelled)
{
    struct release *release = (struct release *)item;
    if (!cancelled && !release->session->gone) {
        smsc_release_held(release->session);
    }
    smsc_session_release(release->session);
    free(release);
}

static void hold(struct smsc_session *s, const uint8_t *pdu, uint32_t len)
{
    buffer_append(&s->held, pdu, len);
    buffer_append(&s->held, &len, sizeof(len));
    s->held_count++;
    if (s->held_count == 1) {
        struct release *release = tools_alloc(1, sizeof(*release));
        release->item.run = run_release;
        release->session = smsc_session_hold(s);
        defer_add(&s->link->smsc->defer, &release->item, uv_hrtime() + HELD_NS);
    }
    if (s->held_count >= s->link->settings[SET_REORDER].value) {
        smsc_release_held(s);
    }
}

/* Sends an answer to a message, in whatever way is set. Returns how much later it leaves, in ns. */
static uint64_t respond(struct smsc_session *s, const uint8_t *pdu, size_t len)
{
    struct smsc_link *link = s->link;
    uint64_t *random = &link->smsc->random_state;
    uint64_t delay = link->settings[SET_DELAY].on ? setting_time(&link->settings[SET_DELAY], random) : 0;
    if (delay == 0 && smsc_hit(link, SET_REORDER)) {
        hold(s, pdu, (uint32_t)len);
    } else {
        smsc_send_later(s, pdu, len, delay);
    }
    if (link->settings[SET_DUPLICATE].on) {
        uint64_t again = setting_time(&link->settings[SET_DUPLICATE], random);
        if (again > 0) {
            smsc_send_later(s, pdu, len, delay + again);
        }
    }
    return delay;
}

/* --- deciding ----------------------------------------------------------------------------------------------
 */

struct decision {
    bool silent;
    bool nack;
    uint32_t status;
    uint64_t number; /* of an accepted message */
    char id[MESSAGE_ID_MAX];
    size_t id_len;
};

static bool over_rate(struct smsc_link *link)
{
    uint64_t second = uv_hrtime() / SECOND_NS;
    if (second != link->throttle_second) {
        link->throttle_second = second;
        link->throttle_count = 0;
    }
    return ++link->throttle_count > link->settings[SET_THROTTLE].value;
}

static uint32_t decide_status(struct smsc_link *link)
{
    struct setting *settings = link->settings;
    if (settings[SET_THROTTLE].on && over_rate(link)) {
        return (uint32_t)settings[SET_THROTTLE].second;
    }
    return smsc_hit(link, SET_SUBMIT_STATUS) ? (uint32_t)settings[SET_SUBMIT_STATUS].value : ESME_ROK;
}

static void decide(struct smsc_link *link, struct decision *d)
{
    d->silent = smsc_hit(link, SET_SILENCE);
    d->nack = !d->silent && smsc_hit(link, SET_NACK);
    d->status = d->nack ? (uint32_t)link->settings[SET_NACK].value : decide_status(link);
    d->number = 0;
    d->id[0] = '\0';
    d->id_len = 0;
    if (d->status == ESME_ROK && !d->silent && !d->nack) {
        d->number = ++link->ids;
        d->id_len = id_write(d->id, link->config.id_prefix, d->number, link->config.id_format);
    }
    link->counters.mt++;
    link->counters.mt_silent += d->silent;
    link->counters.mt_accepted += d->number != 0;
    link->counters.mt_refused += !d->silent && d->number == 0;
}

static void note_mt(struct smsc_session *s, struct smpp_span source, struct smpp_span dest,
                    struct smpp_span key, const struct decision *d)
{
    struct ledger *l = s->link->ledger;
    ledger_begin(l, ledger_now(), "MT");
    ledger_string(l, "link", s->link->config.name);
    ledger_text(l, "key", key.p, key.len);
    ledger_number(l, "session", s->number);
    ledger_string(l, "system_id", s->system_id);
    ledger_text(l, "source", source.p, source.len);
    ledger_text(l, "dest", dest.p, dest.len);
    if (d->silent) {
        ledger_string(l, "status", "silent");
    } else {
        ledger_status(l, d->status);
    }
    ledger_text(l, "id", d->id, d->id_len);
    ledger_end(l);
}

static struct smpp_span key_of(struct smpp_span text)
{
    const uint8_t *key = NULL;
    size_t len = 0;
    return ledger_key(text.p, text.len, &key, &len) ? (struct smpp_span){key, (uint32_t)len}
                                                    : (struct smpp_span){NULL, 0};
}

static struct smpp_span text_of(const struct smpp_message_view *view)
{
    struct smpp_tlv payload;
    if (view->text.len == 0 && smpp_tlv_find(view->tlvs, SMPP_TAG_MESSAGE_PAYLOAD, &payload)) {
        return payload.value;
    }
    return view->text;
}

/* --- answering ---------------------------------------------------------------------------------------------
 */

/* The octets behind the message id: what the response itself has there, then a vendor TLV if that is set. */
static struct smpp_span tail(struct smsc_link *link, uint8_t *out, size_t cap, size_t fixed)
{
    size_t len = fixed;
    if (smsc_hit(link, SET_RESP_TLV)) {
        len += smpp_encode_tlv(out + fixed, cap - fixed, VENDOR_TAG, "turnout", 7);
    }
    return (struct smpp_span){out, (uint32_t)len};
}

static size_t encode_negative(struct smsc_link *link, uint8_t *out, size_t cap,
                              const struct smpp_header *header, uint32_t status)
{
    const struct setting *body = &link->settings[SET_ERROR_BODY];
    bool with_id = smsc_hit(link, SET_ERROR_BODY) && body->value != 0;
    uint8_t extra[32];
    struct smpp_span tlvs = tail(link, extra, sizeof(extra), 0);
    const char *id = body->value == 1 ? "" : "refused";
    return smpp_encode_id_resp(out, cap, header->command_id | SMPP_RESPONSE_BIT, header->sequence_number,
                               status, with_id ? id : NULL, tlvs);
}

/* fixed is what a response has behind its message id: nothing, or submit_multi_resp's no_unsuccess. */
static uint64_t answer(struct smsc_session *s, const struct smpp_header *header, const struct decision *d,
                       size_t fixed)
{
    uint8_t out[256];
    uint8_t extra[32] = {0};
    size_t len = 0;
    if (d->silent) {
        return 0;
    }
    if (d->nack) {
        len = smpp_encode_generic_nack(out, header->sequence_number, d->status);
    } else if (d->status != ESME_ROK) {
        len = encode_negative(s->link, out, sizeof(out), header, d->status);
    } else {
        len = smpp_encode_id_resp(out, sizeof(out), header->command_id | SMPP_RESPONSE_BIT,
                                  header->sequence_number, d->status, d->id,
                                  tail(s->link, extra, sizeof(extra), fixed));
    }
    return respond(s, out, len);
}

static bool wants_receipt(struct smsc_link *link, const struct smpp_message_view *view)
{
    unsigned asked = view->registered_delivery & RECEIPT_NEVER_MASK;
    bool delivered = !link->settings[SET_RECEIPT_STAT].on || link->settings[SET_RECEIPT_STAT].value == 0;
    return asked != 0 && (asked != RECEIPT_ON_FAILURE || !delivered) && smsc_hit(link, SET_RECEIPTS);
}

/* True where the connection is dropped at this message. */
static bool drops(struct smsc_session *s)
{
    struct setting *drop = &s->link->settings[SET_DROP_AFTER];
    s->messages++;
    if (!drop->on || s->messages < drop->value || !smsc_hit(s->link, SET_DROP_AFTER)) {
        return false;
    }
    channel_close(&s->channel, drop->second == 1 ? CHANNEL_RST : CHANNEL_FIN,
                  "dropped after so many messages");
    return true;
}

static void accept_and_answer(struct smsc_session *s, const struct smpp_header *header,
                              const struct smpp_message_view *view, struct smpp_span text,
                              const struct decision *d)
{
    struct smsc_link *link = s->link;
    smsc_store_add(link->store, d->number, view->source.digits);
    if (!wants_receipt(link, view)) {
        answer(s, header, d, 0);
        return;
    }
    struct smsc_receipt_about about = {d->id, d->number,   view->source.digits, view->dest.digits,
                                       text,  key_of(text)};
    uint64_t delay = setting_time(&link->settings[SET_RECEIPT_DELAY], &link->smsc->random_state);
    if (smsc_hit(link, SET_RECEIPT_BEFORE)) {
        smsc_make_receipt(s, &about, 0, true);
        answer(s, header, d, 0);
    } else {
        uint64_t waits = answer(s, header, d, 0);
        smsc_make_receipt(s, &about, waits + delay, false);
    }
}

void smsc_on_message(struct smsc_session *s, const uint8_t *pdu, const struct smpp_header *header)
{
    struct smpp_message_view view;
    if (!smpp_view_message(pdu, header->length, &view)) {
        uint8_t out[SMPP_REFUSAL_MAX];
        s->link->counters.bad_pdus++;
        channel_send(
            &s->channel, out,
            smpp_encode_refusal(out, header->command_id, header->sequence_number, ESME_RINVCMDLEN, false));
        return;
    }
    if (drops(s)) {
        return;
    }
    struct decision d;
    struct smpp_span text = text_of(&view);
    decide(s->link, &d);
    if (s->link->ledger != NULL) {
        note_mt(s, view.source.digits, view.dest.digits, key_of(text), &d);
    }
    if (d.number != 0) {
        accept_and_answer(s, header, &view, text, &d);
    } else {
        answer(s, header, &d, 0);
    }
}

void smsc_on_multi(struct smsc_session *s, const uint8_t *pdu, const struct smpp_header *header)
{
    struct smpp_multi_view view;
    struct smpp_multi_dest dest;
    struct decision d;
    if (drops(s)) {
        return;
    }
    decide(s->link, &d);
    if (!smpp_view_multi(pdu, header->length, &view)) {
        d = (struct decision){.status = ESME_RINVCMDLEN};
    }
    struct smpp_span key = key_of((struct smpp_span){pdu, header->length});
    while (d.status != ESME_RINVCMDLEN &&
           smpp_multi_next(pdu, header->length, &view, &dest) == SMPP_MULTI_DEST) {
        if (s->link->ledger != NULL) {
            note_mt(s, view.source.digits, dest.is_list ? dest.list_name : dest.address.digits, key, &d);
        }
    }
    if (d.number != 0) {
        smsc_store_add(s->link->store, d.number, view.source.digits);
    }
    answer(s, header, &d, 1);
}

/* --- query_sm, cancel_sm, replace_sm -----------------------------------------------------------------------
 */

static uint32_t failure_of(uint32_t command_id, enum store_verdict verdict)
{
    if (verdict == STORE_UNKNOWN) {
        return ESME_RINVMSGID;
    }
    switch (command_id) {
    case SMPP_CANCEL_SM: return ESME_RCANCELFAIL;
    case SMPP_REPLACE_SM: return ESME_RREPLACEFAIL;
    default: return ESME_RQUERYFAIL;
    }
}

static size_t encode_query_resp(uint8_t *out, size_t cap, const struct smpp_header *header, const char *id,
                                uint8_t state)
{
    uint8_t rest[20] = {0}; /* final_date, message_state, error_code (SMPP 3.4, 4.8.2) */
    size_t date = 0;
    if (state != STATE_ENROUTE) {
        time_t now = time(NULL);
        struct tm parts;
        date = strftime((char *)rest, sizeof(rest) - 3, "%y%m%d%H%M%S000+", gmtime_r(&now, &parts));
    }
    rest[date + 1] = state;
    return smpp_encode_id_resp(out, cap, header->command_id | SMPP_RESPONSE_BIT, header->sequence_number,
                               ESME_ROK, id, (struct smpp_span){rest, (uint32_t)date + 3});
}

/* Does what is asked to a message that was found. The status of the answer. */
static uint32_t act(uint32_t command_id, uint8_t *state)
{
    if (command_id == SMPP_QUERY_SM) {
        return ESME_ROK;
    }
    if (*state != STATE_ENROUTE) {
        return failure_of(command_id, STORE_FOUND);
    }
    if (command_id == SMPP_CANCEL_SM) {
        *state = STATE_DELETED;
    }
    return ESME_ROK;
}

static uint32_t look_up(struct smsc_link *link, const struct smpp_header *header,
                        const struct smpp_about_view *about, uint8_t *state)
{
    uint64_t number = 0;
    uint8_t *stored = NULL;
    enum store_verdict verdict = STORE_UNKNOWN;
    if (id_read((const char *)about->message_id.p, about->message_id.len, link->config.id_prefix,
                link->config.id_format, &number)) {
        verdict = smsc_store_find(link->store, number, about->source.digits, &stored);
    }
    if (verdict != STORE_FOUND) {
        return failure_of(header->command_id, verdict);
    }
    uint32_t status = act(header->command_id, stored);
    *state = *stored;
    return status;
}

void smsc_on_about(struct smsc_session *s, const uint8_t *pdu, const struct smpp_header *header)
{
    struct smpp_about_view about;
    uint8_t out[SMSC_PDU_OUT];
    char id[MESSAGE_ID_MAX];
    uint8_t state = STATE_ENROUTE;
    uint32_t status = ESME_RINVCMDLEN;
    id[0] = '\0';
    s->link->counters.queries++;
    if (smpp_view_about(pdu, header->length, &about)) {
        status = look_up(s->link, header, &about, &state);
        (void)snprintf(id, sizeof(id), "%.*s", (int)about.message_id.len, (const char *)about.message_id.p);
    }
    size_t len = 0;
    if (status == ESME_ROK && header->command_id == SMPP_QUERY_SM) {
        len = encode_query_resp(out, sizeof(out), header, id, state);
    } else {
        len = smpp_encode_refusal(out, header->command_id, header->sequence_number, status, false);
    }
    respond(s, out, len);
}
