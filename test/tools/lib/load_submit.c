/* Messages of the load.
 *
 *   load_fill (as fast as answered) ─┬▶ a retry that is ready, or a new message ─▶ slot ─▶ written
 *   load_pace (at a rate)           ─┘
 *   answer ─▶ slot ─▶ counted ─▶ accepted, refused, or deferred for another attempt */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smpp/constants.h"
#include "smpp/encode.h"
#include "test/tools/lib/load.h"

enum { KEY_ROOM = 80, SHORT_TEXT = 255 };

#define SECOND_NS UINT64_C(1000000000)

bool load_may_begin(const struct load *load)
{
    return load->counters.messages < load->config.count;
}

static bool anything_to_send(const struct load *load)
{
    return load->phase == LOAD_RUNNING && !load->paused &&
           (!TAILQ_EMPTY(&load->ready) || load_may_begin(load));
}

/* --- making ------------------------------------------------------------------------------------------------
 */

static void free_retry(struct load_retry *retry)
{
    retry->load->retries_waiting--;
    free(retry);
}

/* The next message: a retry whose time has come, or a new one of this session. */
static void next_message(struct load_session *s, struct load_message *m)
{
    struct load *load = s->load;
    struct load_retry *retry = TAILQ_FIRST(&load->ready);
    if (retry != NULL) {
        *m = retry->message;
        TAILQ_REMOVE(&load->ready, retry, entry);
        free_retry(retry);
        load->counters.retries++;
        return;
    }
    m->n = ++s->messages;
    m->origin = s->index;
    m->attempt = 1;
    numbers_choose(&load->config.from, &load->random_state, m->from);
    numbers_choose(&load->config.to, &load->random_state, m->to);
    load->counters.messages++;
}

static char *put_number(char *to, uint64_t number)
{
    char digits[20];
    size_t n = 0;
    do {
        digits[sizeof(digits) - ++n] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    memcpy(to, digits + sizeof(digits) - n, n);
    return to + n;
}

/* "RUN-SESSION-N": its length. */
static size_t put_key(const struct load *load, const struct load_message *m, char *key)
{
    size_t run = strlen(load->run);
    memcpy(key, load->run, run);
    key[run] = '-';
    char *p = put_number(key + run + 1, m->origin);
    *p++ = '-';
    return (size_t)(put_number(p, m->n) - key);
}

/* Writes "K:KEY;" over the begin of the text, and filler behind it; returns the text's length. */
static size_t put_text(struct load *load, const char *key, size_t key_len)
{
    char *text = load->text;
    text[0] = 'K';
    text[1] = ':';
    memcpy(text + 2, key, key_len);
    text[2 + key_len] = ';';
    size_t used = key_len + 3;
    memset(text + used, '.', KEY_ROOM - used);
    return used > load->config.size ? used : load->config.size;
}

static void note_submit(struct load_session *s, const struct load_message *m, const char *key, size_t key_len)
{
    struct ledger *l = s->load->ledger;
    ledger_begin(l, ledger_now(), "SUBMIT");
    ledger_text(l, "key", key, key_len);
    ledger_number(l, "session", s->index);
    ledger_string(l, "system_id", s->load->config.system_id);
    ledger_string(l, "source", m->from);
    ledger_string(l, "dest", m->to);
    ledger_number(l, "attempt", m->attempt);
    ledger_end(l);
}

/* A free slot; there is one, since there are more slots than the window has room. */
static struct load_slot *open_slot(struct load_session *s)
{
    struct load_slot *slot = NULL;
    do {
        s->sequence = s->sequence >= SMPP_SEQUENCE_MAX ? 1 : s->sequence + 1;
        slot = &s->slots[s->sequence & s->slots_mask];
    } while (slot->sequence_number != 0);
    slot->sequence_number = s->sequence;
    s->in_flight++;
    s->load->in_flight++;
    return slot;
}

static void write_message(struct load_session *s, const struct load_message *m, uint32_t sequence_number,
                          const char *key, size_t key_len)
{
    struct load *load = s->load;
    const struct load_config *config = &load->config;
    bool data_sm = config->payload == PAYLOAD_DATA_SM;
    bool in_tlv = config->payload != PAYLOAD_TEXT;
    size_t len = put_text(load, key, key_len);
    uint8_t tlvs[LOAD_TLVS_MAX + LOAD_TEXT_MAX + 8];
    size_t tlvs_len = config->tlvs_len;
    if (tlvs_len > 0) {
        memcpy(tlvs, config->tlvs, tlvs_len);
    }
    if (in_tlv) {
        tlvs_len += smpp_encode_tlv(tlvs + tlvs_len, sizeof(tlvs) - tlvs_len, SMPP_TAG_MESSAGE_PAYLOAD,
                                    load->text, (uint16_t)len);
    }
    struct smpp_message_fields fields = {
        .command_id = data_sm ? SMPP_DATA_SM : SMPP_SUBMIT_SM,
        .sequence_number = sequence_number,
        .source_ton = config->ton_npi[0],
        .source_npi = config->ton_npi[1],
        .source = m->from,
        .dest_ton = config->ton_npi[2],
        .dest_npi = config->ton_npi[3],
        .dest = m->to,
        .esm_class = (uint8_t)config->esm_class,
        .registered_delivery = (uint8_t)config->registered_delivery,
        .data_coding = (uint8_t)config->data_coding,
        .text = {(const uint8_t *)load->text, in_tlv ? 0 : (uint32_t)len},
        .tlvs = {tlvs, (uint32_t)tlvs_len},
    };
    size_t cap = tlvs_len + (size_t)2 * SHORT_TEXT;
    uint8_t *out = channel_reserve(&s->channel, cap);
    channel_commit(&s->channel, smpp_encode_message(out, cap, &fields));
}

static void submit(struct load_session *s, uint64_t now, uint64_t due)
{
    struct load *load = s->load;
    struct load_slot *slot = open_slot(s);
    char key[KEY_ROOM];
    next_message(s, &slot->message);
    slot->sent = now;
    slot->due = due;
    size_t key_len = put_key(load, &slot->message, key);
    if (load->ledger != NULL) {
        note_submit(s, &slot->message, key, key_len);
    }
    write_message(s, &slot->message, slot->sequence_number, key, key_len);
    load->counters.sent++;
    if (load->started == 0) {
        load->started = now;
    }
}

/* --- pacing ------------------------------------------------------------------------------------------------
 */

static bool has_room(const struct load_session *s)
{
    return s->state == LOAD_BOUND && s->in_flight < s->load->config.window && load_transmits(s) &&
           !s->channel.ending;
}

void load_fill(struct load_session *s, uint64_t now)
{
    if (s->load->config.rate > 0) {
        return;
    }
    while (has_room(s) && anything_to_send(s->load)) {
        submit(s, now, 0);
    }
}

static struct load_session *whose_turn(struct load *load)
{
    for (size_t i = 0; i < load->session_count; i++) {
        struct load_session *s = &load->sessions[load->next];
        load->next = load->next + 1 == load->session_count ? 0 : load->next + 1;
        if (has_room(s)) {
            return s;
        }
    }
    return NULL;
}

void load_set_rate(struct load *load, uint64_t rate)
{
    load->config.rate = rate;
    load->paced_from = uv_hrtime();
    load->paced = 0;
}

void load_pace(struct load *load)
{
    uint64_t now = uv_hrtime();
    double step = (double)SECOND_NS / (double)load->config.rate;
    while (anything_to_send(load)) {
        uint64_t due = load->paced_from + (uint64_t)((double)load->paced * step);
        struct load_session *s = due <= now ? whose_turn(load) : NULL;
        if (s == NULL) {
            return;
        }
        submit(s, now, due);
        load->paced++;
    }
}

/* --- answers -----------------------------------------------------------------------------------------------
 */

static void count_status(struct load *load, uint32_t status)
{
    size_t i = 0;
    while (i < load->status_count && load->statuses[i] != status) {
        i++;
    }
    if (i == LOAD_STATUSES) {
        return;
    }
    load->status_count += i == load->status_count;
    load->statuses[i] = status;
    load->status_counts[i]++;
}

/* What common clients try again on (facts of the field). */
static bool retryable(uint32_t status)
{
    return status == ESME_RMSGQFUL || status == ESME_RTHROTTLED || status == ESME_RSYSERR;
}

static void run_retry(struct defer_item *item, bool cancelled)
{
    struct load_retry *retry = (struct load_retry *)item;
    struct load *load = retry->load;
    if (cancelled || load->phase != LOAD_RUNNING) {
        free_retry(retry);
        load_check(load);
        return;
    }
    TAILQ_INSERT_TAIL(&load->ready, retry, entry);
    struct load_session *s = load->config.rate == 0 ? whose_turn(load) : NULL;
    if (s != NULL) {
        load_fill(s, uv_hrtime());
    }
}

static void retry_later(struct load *load, const struct load_message *m)
{
    const struct load_config *config = &load->config;
    if (!config->retry || load->phase != LOAD_RUNNING || m->attempt > config->retry_max) {
        return;
    }
    struct load_retry *retry = tools_alloc(1, sizeof(*retry));
    retry->item.run = run_retry;
    retry->load = load;
    retry->message = *m;
    retry->message.attempt++;
    load->retries_waiting++;
    defer_add(&load->defer, &retry->item, uv_hrtime() + config->retry_delay);
}

void load_drop_retries(struct load *load)
{
    struct load_retry *retry = NULL;
    while ((retry = TAILQ_FIRST(&load->ready)) != NULL) {
        TAILQ_REMOVE(&load->ready, retry, entry);
        free_retry(retry);
    }
}

static void begin_note(struct load_session *s, const char *event, const struct load_message *m)
{
    char key[KEY_ROOM];
    ledger_begin(s->load->ledger, ledger_now(), event);
    ledger_text(s->load->ledger, "key", key, put_key(s->load, m, key));
    ledger_number(s->load->ledger, "session", s->index);
    ledger_number(s->load->ledger, "attempt", m->attempt);
}

static void note_answer(struct load_session *s, const struct load_message *m, const uint8_t *pdu,
                        const struct smpp_header *header)
{
    struct smpp_span id = {NULL, 0};
    if (header->command_id != SMPP_GENERIC_NACK && !smpp_view_response_id(pdu, header->length, &id)) {
        id.len = 0;
    }
    begin_note(s, "ANSWER", m);
    ledger_status(s->load->ledger, header->command_status);
    ledger_text(s->load->ledger, "id", id.p, id.len);
    ledger_end(s->load->ledger);
}

static void free_slot(struct load_session *s, struct load_slot *slot)
{
    slot->sequence_number = 0;
    s->in_flight--;
    s->load->in_flight--;
}

void load_on_answer(struct load_session *s, const uint8_t *pdu, const struct smpp_header *header,
                    uint64_t now)
{
    struct load *load = s->load;
    struct load_slot *slot = &s->slots[header->sequence_number & s->slots_mask];
    if (header->sequence_number == 0 || slot->sequence_number != header->sequence_number) {
        load->counters.stray++;
        return;
    }
    free_slot(s, slot);
    load->finished = now;
    histogram_record(&load->latency, now - slot->sent);
    if (slot->due != 0) {
        histogram_record(&load->from_due, now - slot->due);
    }
    if (load->ledger != NULL) {
        note_answer(s, &slot->message, pdu, header);
    }
    if (header->command_status == ESME_ROK && header->command_id != SMPP_GENERIC_NACK) {
        load->counters.accepted++;
        return;
    }
    load->counters.refused++;
    count_status(load, header->command_status);
    if (retryable(header->command_status)) {
        retry_later(load, &slot->message);
    }
}

void load_expire(struct load_session *s, uint64_t sent_before, const char *why)
{
    struct load *load = s->load;
    for (uint32_t i = 0; i <= s->slots_mask && s->in_flight > 0; i++) {
        struct load_slot *slot = &s->slots[i];
        if (slot->sequence_number == 0 || slot->sent >= sent_before) {
            continue;
        }
        free_slot(s, slot);
        load->counters.unanswered++;
        if (load->ledger != NULL) {
            begin_note(s, "UNANSWERED", &slot->message);
            ledger_string(load->ledger, "why", why);
            ledger_end(load->ledger);
        }
        if (load->config.retry_unanswered) {
            retry_later(load, &slot->message);
        }
    }
}
