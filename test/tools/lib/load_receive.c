/* MO and receipts: read, written down, answered as the options say. */
#include <stdlib.h>
#include <string.h>

#include "smpp/constants.h"
#include "smpp/encode.h"
#include "smpp/receipt.h"
#include "smpp/tlv.h"
#include "test/tools/lib/load.h"

struct answer {
    struct defer_item item; /* first */
    struct load_session *session;
    unsigned epoch;
    size_t len;
    uint8_t pdu[SMPP_HEADER_LEN + 1];
};

static void run_answer(struct defer_item *item, bool cancelled)
{
    struct answer *answer = (struct answer *)item;
    struct load_session *s = answer->session;
    if (!cancelled && s->epoch == answer->epoch && s->state == LOAD_BOUND) {
        channel_send(&s->channel, answer->pdu, answer->len);
    }
    free(answer);
}

static void send_answer(struct load_session *s, const struct smpp_header *header, uint32_t status)
{
    struct load *load = s->load;
    uint8_t out[SMPP_HEADER_LEN + 1];
    struct smpp_span none = {NULL, 0};
    size_t len = smpp_encode_id_resp(out, sizeof(out), header->command_id | SMPP_RESPONSE_BIT,
                                     header->sequence_number, status, "", none);
    uint64_t delay = setting_time(&load->config.mo_delay, &load->random_state);
    if (delay == 0) {
        channel_send(&s->channel, out, len);
        return;
    }
    struct answer *answer = tools_alloc(1, sizeof(*answer));
    answer->item.run = run_answer;
    answer->session = s;
    answer->epoch = s->epoch;
    answer->len = len;
    memcpy(answer->pdu, out, len);
    defer_add(&load->defer, &answer->item, uv_hrtime() + delay);
}

static void note_ids(struct ledger *l, const struct smpp_message_view *view, struct smpp_span text)
{
    struct smpp_span tlv_id = {NULL, 0};
    struct smpp_span text_id = {NULL, 0};
    struct smpp_span stat = {NULL, 0};
    struct smpp_tlv tlv;
    if (smpp_tlv_find(view->tlvs, SMPP_TAG_RECEIPTED_MESSAGE_ID, &tlv)) {
        tlv_id = tlv.value;
        tlv_id.len = (uint32_t)strnlen((const char *)tlv_id.p, tlv_id.len);
    }
    smpp_receipt_field(text, "id", &text_id);
    smpp_receipt_field(text, "stat", &stat);
    struct smpp_span id = tlv_id.len > 0 ? tlv_id : text_id;
    ledger_text(l, "id", id.p, id.len);
    ledger_text(l, "tlvid", tlv_id.p, tlv_id.len);
    ledger_text(l, "textid", text_id.p, text_id.len);
    ledger_text(l, "stat", stat.p, stat.len);
}

static void note(struct load_session *s, const struct smpp_message_view *view, bool receipt,
                 const uint32_t *status)
{
    struct ledger *l = s->load->ledger;
    struct smpp_span text = view->text;
    struct smpp_tlv payload;
    const uint8_t *key = NULL;
    size_t key_len = 0;
    if (text.len == 0 && smpp_tlv_find(view->tlvs, SMPP_TAG_MESSAGE_PAYLOAD, &payload)) {
        text = payload.value;
    }
    ledger_key(text.p, text.len, &key, &key_len);
    ledger_begin(l, ledger_now(), receipt ? "RECEIPT" : "MO");
    ledger_text(l, "key", key, key_len);
    ledger_number(l, "session", s->index);
    ledger_string(l, "system_id", s->load->config.system_id);
    ledger_text(l, "source", view->source.digits.p, view->source.digits.len);
    ledger_text(l, "dest", view->dest.digits.p, view->dest.digits.len);
    if (receipt) {
        note_ids(l, view, text);
    }
    if (status != NULL) {
        ledger_status(l, *status);
    } else {
        ledger_string(l, "status", "never");
    }
    ledger_end(l);
}

void load_on_deliver(struct load_session *s, const uint8_t *pdu, const struct smpp_header *header)
{
    struct load *load = s->load;
    struct smpp_message_view view;
    if (!smpp_view_message(pdu, header->length, &view)) {
        load->counters.bad_pdus++;
        send_answer(s, header, ESME_RINVCMDLEN);
        return;
    }
    bool receipt = smpp_is_receipt(view.esm_class);
    bool silent = setting_hit(&load->config.mo_silence, &load->random_state);
    bool refused = !silent && setting_hit(&load->config.mo_status, &load->random_state);
    uint32_t status = refused ? (uint32_t)load->config.mo_status.value : ESME_ROK;
    load->counters.receipts += receipt;
    load->counters.mo += !receipt;
    if (load->ledger != NULL) {
        note(s, &view, receipt, silent ? NULL : &status);
    }
    if (!silent) {
        send_answer(s, header, status);
    }
}
