/* What a simulated carrier sends of its own: MO and receipts.
 *
 *   receipt due, MO to be tried again ─▶ outbox ─┐
 *   MO jobs ("mo" command) ──────────────────────┴▶ smsc_pump ─▶ a bind with room in its window ─▶ sent
 *   answer ─▶ taken out of the window ─▶ done, or deferred for another try */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smpp/constants.h"
#include "smpp/encode.h"
#include "test/tools/lib/smsc.h"

enum {
    VENDOR_TAG = 0x1401,
    ESM_RECEIPT = 0x04,
    DEFAULT_WINDOW = 100,
    PUMP_FAILURES = 32, /* deliveries without a bind that are looked at before giving up for now */
    JOB_STEP_NS = 5 * 1000 * 1000,
};

#define SECOND_NS UINT64_C(1000000000)

struct delivery {
    struct defer_item item; /* first */
    TAILQ_ENTRY(delivery) entry;
    struct smsc_link *link;
    struct smsc_session *home; /* held: the bind that the message of a receipt came by; NULL for MO */
    bool receipt, other_bind;
    char target[SMSC_SYSTEM_ID_MAX]; /* system_id, or "any" */
    unsigned attempt;
    uint32_t sequence;
    uint64_t number;
    char key[LEDGER_KEY_MAX + 1];
    char id[MESSAGE_ID_MAX], tlv_id[MESSAGE_ID_MAX], text_id[MESSAGE_ID_MAX];
    char source[NUMBER_MAX], dest[NUMBER_MAX];
    const char *stat;
    uint8_t esm_class;
    char text[RECEIPT_TEXT_MAX + 1];
    size_t text_len;
};

struct mo_job {
    struct defer_item item; /* first */
    TAILQ_ENTRY(mo_job) entry;
    struct smsc_link *link;
    char who[SMSC_SYSTEM_ID_MAX];
    struct numbers source;
    struct numbers dest;
    uint64_t count, made, rate, started;
    bool armed;
};

static void put_span(char *to, size_t cap, struct smpp_span from)
{
    size_t len = from.len < cap ? from.len : cap - 1;
    memcpy(to, from.p, len);
    to[len] = '\0';
}

static void delivery_free(struct delivery *d)
{
    if (d->home != NULL) {
        smsc_session_release(d->home);
    }
    free(d);
}

/* --- sending -----------------------------------------------------------------------------------------------
 */

static void note(struct delivery *d, const struct smsc_session *s, const char *what, const uint32_t *status)
{
    struct ledger *l = d->link->ledger;
    if (l == NULL) {
        return;
    }
    char event[24];
    (void)snprintf(event, sizeof(event), "%s-%s", d->receipt ? "RECEIPT" : "MO", what);
    ledger_begin(l, ledger_now(), event);
    ledger_string(l, "link", d->link->config.name);
    ledger_string(l, "key", d->key);
    ledger_number(l, "session", s->number);
    ledger_string(l, "system_id", s->system_id);
    ledger_string(l, "source", d->source);
    ledger_string(l, "dest", d->dest);
    ledger_number(l, "attempt", d->attempt);
    if (d->receipt) {
        ledger_string(l, "id", d->id);
        ledger_string(l, "tlvid", d->tlv_id);
        ledger_string(l, "textid", d->text_id);
    }
    if (status != NULL) {
        ledger_status(l, *status);
    }
    ledger_end(l);
}

static uint32_t window_of(const struct smsc_link *link)
{
    const struct setting *window = &link->settings[SET_MO_WINDOW];
    return window->on && window->value > 0 && window->value < UINT16_MAX ? (uint32_t)window->value
                                                                         : DEFAULT_WINDOW;
}

static bool has_room(const struct smsc_session *s, const char *target)
{
    return smsc_may_receive(s) && s->in_flight < window_of(s->link) && smsc_session_is(s, target);
}

/* Binds take turns: the one that was used goes to the end of the list. */
static struct smsc_session *choose(struct smsc_link *link, const char *target, const struct smsc_session *but)
{
    struct smsc_session *s = NULL;
    TAILQ_FOREACH(s, &link->sessions, entry)
    {
        if (s != but && has_room(s, target)) {
            TAILQ_REMOVE(&link->sessions, s, entry);
            TAILQ_INSERT_TAIL(&link->sessions, s, entry);
            return s;
        }
    }
    return NULL;
}

static struct smsc_session *choose_for(const struct delivery *d)
{
    struct smsc_session *home = d->home;
    bool home_will_do = home != NULL && !home->gone && has_room(home, d->target);
    if (home_will_do && !d->other_bind) {
        return home;
    }
    struct smsc_session *other = choose(d->link, d->target, home);
    return other == NULL && home_will_do ? home : other;
}

/* A sequence number whose place in the window is free. */
static uint32_t open_slot(struct smsc_session *s, struct delivery *d)
{
    uint32_t wanted = 4 * window_of(s->link);
    if (s->in_flight == 0 && s->window_size < wanted) {
        uint32_t size = 64;
        while (size < wanted) {
            size *= 2;
        }
        free(s->window);
        s->window = tools_alloc(size, sizeof(struct delivery *));
        s->window_size = size;
    }
    uint32_t sequence = 0;
    do {
        sequence = smsc_next_sequence(s);
    } while (s->window[sequence & (s->window_size - 1)] != NULL);
    s->window[sequence & (s->window_size - 1)] = d;
    s->in_flight++;
    return sequence;
}

static size_t put_tlvs(const struct delivery *d, const struct smsc_session *s, bool payload, uint8_t *out,
                       size_t cap)
{
    size_t len = 0;
    if (d->receipt && s->version >= 0x34 && d->tlv_id[0] != '\0') {
        uint8_t state = receipt_message_state(d->stat);
        len += smpp_encode_tlv(out, cap, SMPP_TAG_RECEIPTED_MESSAGE_ID, d->tlv_id,
                               (uint16_t)(strlen(d->tlv_id) + 1));
        len += smpp_encode_tlv(out + len, cap - len, SMPP_TAG_MESSAGE_STATE, &state, 1);
    }
    if (payload) {
        len +=
            smpp_encode_tlv(out + len, cap - len, SMPP_TAG_MESSAGE_PAYLOAD, d->text, (uint16_t)d->text_len);
    }
    if (smsc_hit(d->link, SET_MO_TLV)) {
        len += smpp_encode_tlv(out + len, cap - len, VENDOR_TAG, "turnout", 7);
    }
    return len;
}

static void send_on(struct smsc_session *s, struct delivery *d)
{
    uint8_t tlvs[1024];
    bool data_sm = !d->receipt && smsc_hit(d->link, SET_MO_DATA);
    bool payload = data_sm || (!d->receipt && smsc_hit(d->link, SET_MO_PAYLOAD));
    size_t tlvs_len = put_tlvs(d, s, payload, tlvs, sizeof(tlvs));
    d->sequence = open_slot(s, d);
    struct smpp_message_fields fields = {
        .command_id = data_sm ? SMPP_DATA_SM : SMPP_DELIVER_SM,
        .sequence_number = d->sequence,
        .source_ton = 1,
        .source_npi = 1,
        .source = d->source,
        .dest = d->dest,
        .esm_class = d->esm_class,
        .text = {(const uint8_t *)d->text, payload ? 0 : (uint32_t)d->text_len},
        .tlvs = {tlvs, (uint32_t)tlvs_len},
    };
    uint8_t *out = channel_reserve(&s->channel, SMSC_PDU_OUT);
    channel_commit(&s->channel, smpp_encode_message(out, SMSC_PDU_OUT, &fields));
    if (d->receipt) {
        d->link->counters.receipts_sent++;
    } else {
        d->link->counters.mo_sent++;
    }
    note(d, s, "SENT", NULL);
}

static bool try_send(struct delivery *d)
{
    struct smsc_session *s = choose_for(d);
    if (s != NULL) {
        send_on(s, d);
    }
    return s != NULL;
}

/* --- receipts ----------------------------------------------------------------------------------------------
 */

static void run_delivery(struct defer_item *item, bool cancelled)
{
    struct delivery *d = (struct delivery *)item;
    struct smsc_link *link = d->link;
    link->waiting_receipts--;
    if (cancelled) {
        delivery_free(d);
        return;
    }
    TAILQ_INSERT_TAIL(&link->outbox, d, entry);
    smsc_pump(link);
}

static void defer_delivery(struct delivery *d, uint64_t delay)
{
    d->item.run = run_delivery;
    d->link->waiting_receipts++;
    defer_add(&d->link->smsc->defer, &d->item, uv_hrtime() + delay);
}

static const char *stat_of(struct smsc_link *link, uint64_t number)
{
    static const char *const stats[] = {"DELIVRD", "EXPIRED", "DELETED", "UNDELIV",
                                        "ACCEPTD", "UNKNOWN", "REJECTD"};
    uint64_t set = smsc_hit(link, SET_RECEIPT_STAT) ? link->settings[SET_RECEIPT_STAT].value : 0;
    uint8_t *state = NULL;
    if (smsc_store_find(link->store, number, (struct smpp_span){NULL, 0}, &state) == STORE_FOUND) {
        if (*state == receipt_message_state("DELETED")) {
            return "DELETED";
        }
        *state = receipt_message_state(stats[set]);
    }
    return stats[set];
}

/* Which ids the receipt shows, and where. */
static void choose_ids(struct delivery *d)
{
    struct smsc_link *link = d->link;
    static const enum id_format formats[] = {ID_HEX, ID_HEX, ID_UPPER, ID_DECIMAL, ID_PADDED};
    uint64_t form = smsc_hit(link, SET_RECEIPT_FORM) ? link->settings[SET_RECEIPT_FORM].value : 0;
    uint64_t written = smsc_hit(link, SET_RECEIPT_ID) ? link->settings[SET_RECEIPT_ID].value : 0;
    if (form != 1) {
        memcpy(d->tlv_id, d->id, sizeof(d->id));
    }
    if (form != 2 && written == 0) {
        memcpy(d->text_id, d->id, sizeof(d->id));
    } else if (form != 2) {
        id_write(d->text_id, link->config.id_prefix, d->number, formats[written]);
    }
}

/* The text is written when the receipt is made; before that it holds the begin of the message. */
static void write_receipt(struct delivery *d)
{
    char begin[RECEIPT_TEXT_MAX + 1];
    memcpy(begin, d->text, d->text_len);
    d->stat = stat_of(d->link, d->number);
    choose_ids(d);
    struct receipt_text text = {d->text_id, d->stat, time(NULL), time(NULL), begin, d->text_len};
    d->text_len = d->text_id[0] == '\0' ? 0 : receipt_text_write(d->text, &text);
}

static void run_receipt(struct defer_item *item, bool cancelled)
{
    if (!cancelled) {
        write_receipt((struct delivery *)item);
    }
    run_delivery(item, cancelled);
}

void smsc_make_receipt(struct smsc_session *s, const struct smsc_receipt_about *about, uint64_t delay,
                       bool now)
{
    struct smsc_link *link = s->link;
    struct delivery *d = tools_alloc(1, sizeof(*d));
    d->link = link;
    d->home = smsc_session_hold(s);
    d->receipt = true;
    d->other_bind = smsc_hit(link, SET_RECEIPT_OTHER);
    d->number = about->number;
    d->attempt = 1;
    memcpy(d->target, s->system_id, sizeof(d->target));
    put_span(d->key, sizeof(d->key), about->key);
    (void)snprintf(d->id, sizeof(d->id), "%s", about->id);
    put_span(d->source, sizeof(d->source), about->dest);
    put_span(d->dest, sizeof(d->dest), about->source);
    d->esm_class =
        smsc_hit(link, SET_RECEIPT_ESM) ? (uint8_t)link->settings[SET_RECEIPT_ESM].value : ESM_RECEIPT;
    put_span(d->text, (size_t)2 * LEDGER_KEY_MAX, about->text);
    d->text_len = strlen(d->text);
    if (delay > 0) {
        d->item.run = run_receipt;
        link->waiting_receipts++;
        defer_add(&link->smsc->defer, &d->item, uv_hrtime() + delay);
        return;
    }
    write_receipt(d);
    if (!now || !try_send(d)) {
        TAILQ_INSERT_TAIL(&link->outbox, d, entry);
    }
}

/* --- MO ----------------------------------------------------------------------------------------------------
 */

static struct delivery *make_mo(struct mo_job *job)
{
    struct smsc_link *link = job->link;
    struct delivery *d = tools_alloc(1, sizeof(*d));
    d->link = link;
    d->attempt = 1;
    memcpy(d->target, job->who, sizeof(d->target));
    numbers_choose(&job->source, &link->smsc->random_state, d->source);
    numbers_choose(&job->dest, &link->smsc->random_state, d->dest);
    (void)snprintf(d->key, sizeof(d->key), "mo-%s-%.20s-%llu", link->smsc->run, link->config.name,
                   (unsigned long long)++link->keys);
    d->text_len = (size_t)snprintf(d->text, sizeof(d->text), "K:%s; from %.40s", d->key, link->config.name);
    job->made++;
    return d;
}

static uint64_t allowed(const struct mo_job *job)
{
    uint64_t left = job->count - job->made;
    if (job->rate == 0) {
        return left;
    }
    double due = (double)(uv_hrtime() - job->started) / (double)SECOND_NS * (double)job->rate + 1;
    uint64_t now = due > (double)job->made ? (uint64_t)due - job->made : 0;
    return now < left ? now : left;
}

static void job_free(struct mo_job *job)
{
    numbers_free(&job->source);
    numbers_free(&job->dest);
    free(job);
}

/* Sends what a job may send now. */
static void work(struct mo_job *job)
{
    for (uint64_t n = allowed(job); n > 0; n--) {
        struct smsc_session *s = choose(job->link, job->who, NULL);
        if (s == NULL) {
            return;
        }
        send_on(s, make_mo(job));
    }
}

static void run_job(struct defer_item *item, bool cancelled)
{
    struct mo_job *job = (struct mo_job *)item;
    job->armed = false;
    if (cancelled) {
        return;
    }
    smsc_pump(job->link);
}

static void end_or_arm(struct mo_job *job)
{
    if (job->armed) {
        return;
    }
    if (job->made == job->count) {
        TAILQ_REMOVE(&job->link->jobs, job, entry);
        job_free(job);
    } else if (job->rate > 0) {
        job->armed = true;
        defer_add(&job->link->smsc->defer, &job->item, uv_hrtime() + JOB_STEP_NS);
    }
}

bool smsc_mo(struct smsc_link *link, const char *who, const char *source, const char *dest, uint64_t count,
             uint64_t rate)
{
    struct mo_job *job = tools_alloc(1, sizeof(*job));
    if (!numbers_add(&job->source, source) || !numbers_add(&job->dest, dest) ||
        strlen(who) >= sizeof(job->who)) {
        job_free(job);
        return false;
    }
    memcpy(job->who, who, strlen(who) + 1);
    job->item.run = run_job;
    job->link = link;
    job->count = count;
    job->rate = rate;
    job->started = uv_hrtime();
    TAILQ_INSERT_TAIL(&link->jobs, job, entry);
    smsc_pump(link);
    return true;
}

void smsc_pump(struct smsc_link *link)
{
    unsigned failures = 0;
    struct delivery *last = TAILQ_LAST(&link->outbox, delivery_list);
    while (last != NULL && failures < PUMP_FAILURES) {
        struct delivery *d = TAILQ_FIRST(&link->outbox);
        bool was_last = d == last;
        TAILQ_REMOVE(&link->outbox, d, entry);
        if (!try_send(d)) {
            TAILQ_INSERT_TAIL(&link->outbox, d, entry);
            failures++;
        }
        if (was_last) {
            break;
        }
    }
    struct mo_job *next = NULL;
    for (struct mo_job *job = TAILQ_FIRST(&link->jobs); job != NULL; job = next) {
        next = TAILQ_NEXT(job, entry);
        work(job);
        end_or_arm(job);
    }
}

/* --- answers -----------------------------------------------------------------------------------------------
 */

/* The statuses that ask an SMSC to try again (facts of the field: what several of them retry on). */
static bool retryable(uint32_t status)
{
    return status == ESME_RTHROTTLED || status == ESME_RX_T_APPN || status == ESME_RSYSERR ||
           status == ESME_RMSGQFUL || status == ESME_RINVBNDSTS;
}

static void again_or_free(struct delivery *d, bool may)
{
    struct setting *retry = &d->link->settings[SET_MO_RETRY];
    if (may && !d->link->smsc->ending && d->attempt <= retry->second && smsc_hit(d->link, SET_MO_RETRY)) {
        d->attempt++;
        defer_delivery(d, retry->value);
    } else {
        delivery_free(d);
    }
}

void smsc_on_delivery_answer(struct smsc_session *s, const struct smpp_header *header)
{
    struct smsc_counters *counters = &s->link->counters;
    uint32_t slot = s->window_size == 0 ? 0 : header->sequence_number & (s->window_size - 1);
    struct delivery *d = s->window_size == 0 ? NULL : s->window[slot];
    if (d == NULL || d->sequence != header->sequence_number) {
        counters->stray++;
        return;
    }
    s->window[slot] = NULL;
    s->in_flight--;
    bool ok = header->command_status == ESME_ROK && header->command_id != SMPP_GENERIC_NACK;
    counters->receipts_accepted += d->receipt && ok;
    counters->receipts_refused += d->receipt && !ok;
    counters->mo_accepted += !d->receipt && ok;
    counters->mo_refused += !d->receipt && !ok;
    note(d, s, "ANSWER", &header->command_status);
    again_or_free(d, !ok && retryable(header->command_status));
}

void smsc_lose_deliveries(struct smsc_session *s)
{
    for (uint32_t i = 0; i < s->window_size && s->in_flight > 0; i++) {
        struct delivery *d = s->window[i];
        if (d != NULL) {
            s->window[i] = NULL;
            s->in_flight--;
            s->link->counters.receipts_unanswered += d->receipt;
            s->link->counters.mo_unanswered += !d->receipt;
            note(d, s, "UNANSWERED", NULL);
            again_or_free(d, true);
        }
    }
}

void smsc_drop_deliveries(struct smsc_link *link)
{
    struct delivery *d = NULL;
    while ((d = TAILQ_FIRST(&link->outbox)) != NULL) {
        TAILQ_REMOVE(&link->outbox, d, entry);
        delivery_free(d);
    }
    struct mo_job *job = NULL;
    while ((job = TAILQ_FIRST(&link->jobs)) != NULL) {
        TAILQ_REMOVE(&link->jobs, job, entry);
        job_free(job);
    }
}

uint64_t smsc_waiting(const struct smsc_link *link)
{
    uint64_t waiting = link->waiting_receipts;
    const struct delivery *d = NULL;
    TAILQ_FOREACH(d, &link->outbox, entry)
    {
        waiting++;
    }
    const struct mo_job *job = NULL;
    TAILQ_FOREACH(job, &link->jobs, entry)
    {
        waiting += job->count - job->made;
    }
    return waiting;
}
