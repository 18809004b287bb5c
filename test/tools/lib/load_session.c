/* A connection of the load.
 *
 *   load_connect ─▶ on_open: bind ─▶ answer: BOUND ─▶ messages ─▶ load_unbind ─▶ closed ─▶ maybe again */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smpp/constants.h"
#include "smpp/encode.h"
#include "test/tools/lib/load.h"

static struct load_session *session_of(struct channel *c)
{
    return (struct load_session *)c;
}

static uint32_t next_sequence(struct load_session *s)
{
    s->sequence = s->sequence >= SMPP_SEQUENCE_MAX ? 1 : s->sequence + 1;
    return s->sequence;
}

static void note(struct load_session *s, const char *event, const char *name, const char *value)
{
    struct ledger *l = s->load->ledger;
    if (l != NULL) {
        ledger_begin(l, ledger_now(), event);
        ledger_number(l, "session", s->index);
        ledger_string(l, "system_id", s->load->config.system_id);
        ledger_string(l, name, value);
        ledger_end(l);
    }
}

static void remember_error(struct load_session *s, const char *what)
{
    (void)snprintf(s->load->last_error, sizeof(s->load->last_error), "session %u: %s", s->index, what);
}

static void send_header(struct load_session *s, uint32_t command_id)
{
    struct smpp_header header = {SMPP_HEADER_LEN, command_id, ESME_ROK, next_sequence(s)};
    uint8_t out[SMPP_HEADER_LEN];
    smpp_put_header(out, &header);
    channel_send(&s->channel, out, sizeof(out));
}

void load_unbind(struct load_session *s)
{
    if (s->state == LOAD_BOUND) {
        s->state = LOAD_UNBINDING;
        send_header(s, SMPP_UNBIND);
    } else if (s->state == LOAD_CONNECTING || s->state == LOAD_BINDING) {
        channel_close(&s->channel, CHANNEL_FIN, "not needed any more");
    }
}

void load_enquire(struct load_session *s, uint64_t now)
{
    s->enquired = now;
    send_header(s, SMPP_ENQUIRE_LINK);
}

/* --- PDUs --------------------------------------------------------------------------------------------------
 */

static void on_bind_answer(struct load_session *s, const struct smpp_header *header, uint64_t now)
{
    if (s->state != LOAD_BINDING) {
        s->load->counters.stray++;
        return;
    }
    if (header->command_status != ESME_ROK) {
        char why[64];
        s->load->counters.binds_refused++;
        (void)snprintf(why, sizeof(why), "bind refused with 0x%08x", header->command_status);
        channel_close(&s->channel, CHANNEL_FIN, why);
        return;
    }
    s->state = LOAD_BOUND;
    s->enquired = now;
    s->load->counters.binds++;
    note(s, "BOUND", "type", smpp_command_name(s->bind_id) + strlen("bind_"));
    load_check(s->load);
}

static void on_response(struct load_session *s, const uint8_t *pdu, const struct smpp_header *header,
                        uint64_t now)
{
    switch (header->command_id & ~SMPP_RESPONSE_BIT) {
    case SMPP_SUBMIT_SM:
    case SMPP_DATA_SM: load_on_answer(s, pdu, header, now); break;
    case SMPP_BIND_TRANSCEIVER:
    case SMPP_BIND_TRANSMITTER:
    case SMPP_BIND_RECEIVER: on_bind_answer(s, header, now); break;
    case SMPP_ENQUIRE_LINK: break;
    case SMPP_UNBIND: channel_close(&s->channel, CHANNEL_FLUSH, "unbound by us"); break;
    case 0: /* generic_nack */
        if (s->state == LOAD_BINDING) {
            channel_close(&s->channel, CHANNEL_FIN, "bind answered with generic_nack");
        } else {
            load_on_answer(s, pdu, header, now);
        }
        break;
    default: s->load->counters.stray++;
    }
}

static void reply(struct load_session *s, const struct smpp_header *header, uint32_t status)
{
    uint8_t out[SMPP_REFUSAL_MAX];
    channel_send(&s->channel, out,
                 smpp_encode_refusal(out, header->command_id, header->sequence_number, status, false));
}

static void on_pdu(struct load_session *s, const uint8_t *pdu, const struct smpp_header *header, uint64_t now)
{
    if (smpp_is_response(header->command_id)) {
        on_response(s, pdu, header, now);
        return;
    }
    switch (header->command_id) {
    case SMPP_DELIVER_SM:
    case SMPP_DATA_SM: load_on_deliver(s, pdu, header); break;
    case SMPP_ENQUIRE_LINK:
        s->load->counters.enquire_links++;
        reply(s, header, ESME_ROK);
        break;
    case SMPP_UNBIND:
        reply(s, header, ESME_ROK);
        channel_close(&s->channel, CHANNEL_FLUSH, "unbound by the peer");
        break;
    case SMPP_ALERT_NOTIFICATION: s->load->counters.alerts++; break;
    default: s->load->counters.bad_pdus++; reply(s, header, ESME_RINVCMDID);
    }
}

/* --- the connection's handlers -----------------------------------------------------------------------------
 */

static size_t on_data(struct channel *c, const uint8_t *data, size_t len)
{
    struct load_session *s = session_of(c);
    uint64_t now = uv_hrtime();
    size_t used = 0;
    while (used < len && !c->ending) {
        struct smpp_header header;
        enum smpp_frame_verdict verdict = smpp_frame(data + used, len - used, LOAD_MAX_PDU, &header);
        if (verdict == SMPP_FRAME_PARTIAL) {
            break;
        }
        if (verdict == SMPP_FRAME_BAD) {
            uint8_t out[SMPP_HEADER_LEN];
            s->load->counters.bad_pdus++;
            channel_send(c, out, smpp_encode_generic_nack(out, header.sequence_number, ESME_RINVCMDLEN));
            channel_close(c, CHANNEL_FLUSH, "bad command_length");
            return len;
        }
        on_pdu(s, data + used, &header, now);
        used += header.length;
    }
    load_fill(s, now);
    load_check(s->load);
    return used;
}

static void on_open(struct channel *c)
{
    struct load_session *s = session_of(c);
    const struct load_config *config = &s->load->config;
    struct smpp_bind_fields fields = {
        .command_id = s->bind_id,
        .sequence_number = next_sequence(s),
        .system_id = config->system_id,
        .password = config->password,
        .system_type = config->system_type,
        .interface_version = (uint8_t)config->version,
        .address_range = config->address_range,
    };
    uint8_t out[1024];
    size_t len = smpp_encode_bind(out, sizeof(out), &fields);
    s->state = LOAD_BINDING;
    channel_send(c, out, len);
}

static void on_closed(struct channel *c, const char *why)
{
    struct load_session *s = session_of(c);
    struct load *load = s->load;
    bool bound = s->state == LOAD_BOUND || s->state == LOAD_UNBINDING;
    bool wanted = load->phase >= LOAD_ENDING;
    load_expire(s, UINT64_MAX, "connection");
    if (bound) {
        note(s, "CLOSED", "why", why);
    }
    if (!wanted) {
        load->counters.connection_errors++;
        remember_error(s, why);
    }
    s->state = LOAD_CLOSED;
    if (!wanted && load->config.reconnect) {
        load_reconnect_later(s);
    }
    load_check(load);
}

static const struct channel_handlers handlers = {on_open, on_data, on_closed};

void load_connect(struct load_session *s)
{
    struct load *load = s->load;
    memset(&s->channel, 0, sizeof(s->channel));
    s->state = LOAD_CONNECTING;
    s->sequence = 0;
    s->epoch++;
    channel_connect(&load->channels, &s->channel, (const struct sockaddr *)&load->address, load->tls,
                    load->host, &handlers);
}

static void run_reconnect(struct defer_item *item, bool cancelled)
{
    struct load_session *s = (struct load_session *)((char *)item - offsetof(struct load_session, reconnect));
    s->state = LOAD_CLOSED;
    if (!cancelled && s->load->phase < LOAD_ENDING) {
        s->load->counters.reconnects++;
        load_connect(s);
    }
}

void load_reconnect_later(struct load_session *s)
{
    s->state = LOAD_WAITING;
    s->reconnect.run = run_reconnect;
    defer_add(&s->load->defer, &s->reconnect, uv_hrtime() + s->load->config.reconnect_delay);
}
