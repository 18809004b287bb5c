/* A connection to a simulated carrier.
 *
 *   octets ─▶ on_data ─▶ a PDU at a time ─▶ on_pdu ─▶ bind, unbind, enquire_link     here
 *                                                ├─▶ messages                        smsc_message.c
 *                                                └─▶ answers to MO and receipts      smsc_deliver.c */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smpp/constants.h"
#include "smpp/encode.h"
#include "test/tools/lib/smsc.h"

struct smsc_session *smsc_session_hold(struct smsc_session *s)
{
    s->refs++;
    return s;
}

void smsc_session_release(struct smsc_session *s)
{
    if (--s->refs == 0) {
        buffer_free(&s->held);
        buffer_free(&s->greeting);
        free(s->window);
        free(s);
    }
}

uint32_t smsc_next_sequence(struct smsc_session *s)
{
    s->sequence = s->sequence >= SMPP_SEQUENCE_MAX ? 1 : s->sequence + 1;
    return s->sequence;
}

bool smsc_session_is(const struct smsc_session *s, const char *who)
{
    return strcmp(who, "any") == 0 || strcmp(who, "all") == 0 || strcmp(who, s->system_id) == 0;
}

static const char *bind_name(uint32_t bind_id)
{
    const char *name = smpp_command_name(bind_id);
    return strncmp(name, "bind_", 5) == 0 ? name + 5 : name;
}

static void note(struct smsc_session *s, const char *event, const char *name, const char *value)
{
    struct ledger *l = s->link->ledger;
    if (l != NULL) {
        ledger_begin(l, ledger_now(), event);
        ledger_string(l, "link", s->link->config.name);
        ledger_number(l, "session", s->number);
        ledger_string(l, "system_id", s->system_id);
        ledger_string(l, name, value);
        ledger_end(l);
    }
}

/* --- link keeping ------------------------------------------------------------------------------------------
 */

static void refuse(struct smsc_session *s, const struct smpp_header *header, uint32_t status)
{
    uint8_t out[SMPP_REFUSAL_MAX];
    s->link->counters.bad_pdus++;
    channel_send(&s->channel, out,
                 smpp_encode_refusal(out, header->command_id, header->sequence_number, status, false));
}

static void answer_plainly(struct smsc_session *s, const struct smpp_header *header)
{
    uint8_t out[SMPP_REFUSAL_MAX];
    channel_send(&s->channel, out,
                 smpp_encode_refusal(out, header->command_id, header->sequence_number, ESME_ROK, false));
}

static void on_enquire(struct smsc_session *s, const struct smpp_header *header)
{
    s->link->counters.enquire_links++;
    if (!smsc_hit(s->link, SET_ENQUIRE_SILENCE)) {
        answer_plainly(s, header);
    }
}

static void on_unbind(struct smsc_session *s, const struct smpp_header *header)
{
    s->link->counters.unbinds++;
    if (smsc_hit(s->link, SET_UNBIND_SILENCE)) {
        return;
    }
    smsc_release_held(s);
    answer_plainly(s, header);
    channel_close(&s->channel, CHANNEL_FLUSH, "unbound by the peer");
}

/* --- binds -------------------------------------------------------------------------------------------------
 */

static bool same(struct smpp_span span, const char *text, size_t len)
{
    return span.len == len && memcmp(span.p, text, len) == 0;
}

/* ESME_ROK, or what is wrong with the credentials. */
static uint32_t judge(const char *accept, const struct smpp_bind_view *bind)
{
    if (strcmp(accept, "any") == 0) {
        return ESME_ROK;
    }
    for (const char *p = accept; *p != '\0';) {
        size_t len = strcspn(p, ",");
        const char *colon = memchr(p, ':', len);
        size_t id = colon == NULL ? len : (size_t)(colon - p);
        if (same(bind->system_id, p, id)) {
            bool right = colon == NULL || same(bind->password, colon + 1, len - id - 1);
            return right ? ESME_ROK : ESME_RINVPASWD;
        }
        p += len + (p[len] == ',');
    }
    return ESME_RINVSYSID;
}

static void bound(struct smsc_session *s, const struct smpp_header *header, const struct smpp_bind_view *bind,
                  uint64_t delay)
{
    size_t len = bind->system_id.len < SMSC_SYSTEM_ID_MAX ? bind->system_id.len : SMSC_SYSTEM_ID_MAX - 1;
    memcpy(s->system_id, bind->system_id.p, len);
    s->system_id[len] = '\0';
    s->bind_id = header->command_id;
    s->bind_answered = delay == 0;
    s->version = bind->interface_version;
    s->link->counters.binds++;
    note(s, "BOUND", "type", bind_name(s->bind_id));
    smsc_bound_settings(s);
}

static uint32_t bind_status(struct smsc_session *s, const struct smpp_bind_view *bind)
{
    if (s->bind_id != 0) {
        return ESME_RALYBND;
    }
    if (smsc_hit(s->link, SET_BIND_STATUS)) {
        return (uint32_t)s->link->settings[SET_BIND_STATUS].value;
    }
    return judge(s->link->config.accept, bind);
}

static void on_bind(struct smsc_session *s, const uint8_t *pdu, const struct smpp_header *header)
{
    struct smpp_bind_view bind;
    if (!smpp_view_bind(pdu, header->length, &bind)) {
        refuse(s, header, ESME_RINVCMDLEN);
        return;
    }
    uint32_t status = bind_status(s, &bind);
    bool silent = smsc_hit(s->link, SET_BIND_SILENCE);
    if (status != ESME_ROK || silent) {
        s->link->counters.binds_refused++;
    }
    if (silent) {
        return;
    }
    int version = bind.interface_version >= 0x34 ? 0x34 : -1;
    uint8_t out[256];
    size_t len = smpp_encode_bind_resp(out, sizeof(out), header->command_id, header->sequence_number, status,
                                       s->link->config.system_id, version);
    uint64_t delay = setting_time(&s->link->settings[SET_BIND_DELAY], &s->link->smsc->random_state);
    smsc_send_later(s, out, len, delay);
    if (status == ESME_ROK) {
        bound(s, header, &bind, delay);
    }
}

/* --- PDUs --------------------------------------------------------------------------------------------------
 */

static void on_response(struct smsc_session *s, const struct smpp_header *header)
{
    switch (header->command_id & ~SMPP_RESPONSE_BIT) {
    case SMPP_DELIVER_SM:
    case SMPP_DATA_SM:
    case 0: /* generic_nack */ smsc_on_delivery_answer(s, header); break;
    case SMPP_ENQUIRE_LINK: s->link->counters.enquire_answers++; break;
    case SMPP_UNBIND: channel_close(&s->channel, CHANNEL_FLUSH, "unbound by us"); break;
    default: s->link->counters.stray++;
    }
}

/* A request that only a bound session may make. */
static void on_bound_request(struct smsc_session *s, const uint8_t *pdu, const struct smpp_header *header)
{
    bool transmits = s->bind_id != 0 && s->bind_id != SMPP_BIND_RECEIVER;
    if (!transmits) {
        refuse(s, header, ESME_RINVBNDSTS);
    } else if (header->command_id == SMPP_SUBMIT_SM || header->command_id == SMPP_DATA_SM) {
        smsc_on_message(s, pdu, header);
    } else if (header->command_id == SMPP_SUBMIT_MULTI) {
        smsc_on_multi(s, pdu, header);
    } else {
        smsc_on_about(s, pdu, header);
    }
}

static void on_pdu(struct smsc_session *s, const uint8_t *pdu, const struct smpp_header *header)
{
    switch (header->command_id) {
    case SMPP_SUBMIT_SM:
    case SMPP_DATA_SM:
    case SMPP_SUBMIT_MULTI:
    case SMPP_QUERY_SM:
    case SMPP_CANCEL_SM:
    case SMPP_REPLACE_SM: on_bound_request(s, pdu, header); return;
    case SMPP_ENQUIRE_LINK: on_enquire(s, header); return;
    case SMPP_BIND_TRANSMITTER:
    case SMPP_BIND_RECEIVER:
    case SMPP_BIND_TRANSCEIVER: on_bind(s, pdu, header); return;
    case SMPP_UNBIND: on_unbind(s, header); return;
    default: break;
    }
    if (smpp_is_response(header->command_id)) {
        on_response(s, header);
    } else {
        refuse(s, header, ESME_RINVCMDID);
    }
}

/* --- the connection's handlers -----------------------------------------------------------------------------
 */

static struct smsc_session *session_of(struct channel *c)
{
    return (struct smsc_session *)c;
}

static size_t on_data(struct channel *c, const uint8_t *data, size_t len)
{
    struct smsc_session *s = session_of(c);
    size_t used = 0;
    while (used < len && !c->ending && !c->paused) {
        struct smpp_header header;
        enum smpp_frame_verdict verdict = smpp_frame(data + used, len - used, SMSC_MAX_PDU, &header);
        if (verdict == SMPP_FRAME_PARTIAL) {
            break;
        }
        if (verdict == SMPP_FRAME_BAD) {
            uint8_t out[SMPP_HEADER_LEN];
            s->link->counters.bad_pdus++;
            channel_send(c, out, smpp_encode_generic_nack(out, header.sequence_number, ESME_RINVCMDLEN));
            channel_close(c, CHANNEL_FLUSH, "bad command_length");
            return len;
        }
        on_pdu(s, data + used, &header);
        used += header.length;
    }
    smsc_pump(s->link);
    return used;
}

static void on_open(struct channel *c)
{
    struct smsc_session *s = session_of(c);
    channel_send(c, s->greeting.data, s->greeting.len);
}

static void on_closed(struct channel *c, const char *why)
{
    struct smsc_session *s = session_of(c);
    s->gone = true;
    TAILQ_REMOVE(&s->link->sessions, s, entry);
    smsc_lose_deliveries(s);
    if (s->bind_id != 0) {
        note(s, "CLOSED", "why", why);
    }
    smsc_session_release(s);
}

static const struct channel_handlers handlers = {on_open, on_data, on_closed};

static struct smsc_session *session_new(struct smsc_link *link)
{
    struct smsc_session *s = tools_alloc(1, sizeof(*s));
    s->link = link;
    s->refs = 1;
    s->number = ++link->smsc->sessions;
    link->counters.connections++;
    TAILQ_INSERT_TAIL(&link->sessions, s, entry);
    return s;
}

void smsc_accept(struct smsc_link *link, uv_stream_t *listener)
{
    struct smsc_session *s = session_new(link);
    channel_accept(&link->smsc->channels, &s->channel, listener, link->tls, &handlers);
}

int smsc_outbind(struct smsc_link *link, const struct sockaddr *to, const char *system_id,
                 const char *password)
{
    struct smsc_session *s = session_new(link);
    size_t body = strlen(system_id) + strlen(password) + 2;
    struct smpp_header header = {(uint32_t)(SMPP_HEADER_LEN + body), SMPP_OUTBIND, ESME_ROK,
                                 smsc_next_sequence(s)};
    smpp_put_header(buffer_reserve(&s->greeting, SMPP_HEADER_LEN), &header);
    buffer_commit(&s->greeting, SMPP_HEADER_LEN);
    buffer_append(&s->greeting, system_id, strlen(system_id) + 1);
    buffer_append(&s->greeting, password, strlen(password) + 1);
    return channel_connect(&link->smsc->channels, &s->channel, to, NULL, NULL, &handlers);
}
