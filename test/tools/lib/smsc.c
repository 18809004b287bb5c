/* The process and its links: begin, end, listening, marks, counters. */
#include "test/tools/lib/smsc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smpp/constants.h"
#include "smpp/encode.h"

enum { BACKLOG = 1024, HOST_MAX = 256 };

void smsc_init(struct smsc *smsc)
{
    memset(smsc, 0, sizeof(*smsc));
    uv_loop_init(&smsc->loop);
    channel_loop_init(&smsc->channels, &smsc->loop);
    defer_init(&smsc->defer, &smsc->loop);
    smsc->random_state = (ledger_now() ^ ((uint64_t)getpid() << 40)) | 1;
    (void)snprintf(smsc->run, sizeof(smsc->run), "%06x",
                   (unsigned)(random_next(&smsc->random_state) & 0xFFFFFF));
}

/* --- listening ---------------------------------------------------------------------------------------------
 */

static void on_connection(uv_stream_t *listener, int status)
{
    if (status == 0) {
        smsc_accept(listener->data, listener);
    }
}

static void on_listener_closed(uv_handle_t *handle)
{
    free(handle);
}

uint16_t smsc_port(const struct smsc_link *link)
{
    const struct sockaddr_in *in4 = (const struct sockaddr_in *)&link->address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&link->address;
    return ntohs(link->address.ss_family == AF_INET6 ? in6->sin6_port : in4->sin_port);
}

/* Listens where the link did before, or, the first time, wherever port 0 leads. */
bool smsc_listen(struct smsc_link *link)
{
    if (link->listener != NULL) {
        return true;
    }
    uv_tcp_t *listener = tools_alloc(1, sizeof(*listener));
    uv_tcp_init(&link->smsc->loop, listener);
    listener->data = link;
    link->listener = listener;
    int error = uv_tcp_bind(listener, (const struct sockaddr *)&link->address, 0);
    if (error == 0) {
        error = uv_listen((uv_stream_t *)listener, BACKLOG, on_connection);
    }
    if (error < 0) {
        fprintf(stderr, "%s: cannot listen on %s: %s\n", link->config.name, link->config.listen,
                uv_strerror(error));
        smsc_refuse(link);
        return false;
    }
    int len = sizeof(link->address);
    uv_tcp_getsockname(listener, (struct sockaddr *)&link->address, &len);
    return true;
}

void smsc_refuse(struct smsc_link *link)
{
    if (link->listener != NULL) {
        uv_close((uv_handle_t *)link->listener, on_listener_closed);
        link->listener = NULL;
    }
}

/* --- links -------------------------------------------------------------------------------------------------
 */

static bool open_ledger(struct smsc *smsc, struct smsc_link *link)
{
    const char *path = link->config.ledger;
    for (size_t i = 0; path != NULL && i < smsc->link_count; i++) {
        const char *other = smsc->links[i]->config.ledger;
        if (other != NULL && strcmp(other, path) == 0) {
            link->ledger = smsc->links[i]->ledger;
            return true;
        }
    }
    if (path == NULL) {
        return true;
    }
    link->ledger = ledger_open(path);
    if (link->ledger == NULL) {
        perror(path);
    }
    return link->ledger != NULL;
}

static bool open_link(struct smsc *smsc, struct smsc_link *link)
{
    char host[HOST_MAX];
    uint16_t port = 0;
    const struct smsc_config *config = &link->config;
    if (!word_endpoint(config->listen, host, sizeof(host), &port) ||
        !channel_resolve(host, port, &link->address)) {
        fprintf(stderr, "%s: not a HOST:PORT: %s\n", config->name, config->listen);
        return false;
    }
    if (config->tls) {
        link->tls = channel_tls_server(config->certificate, config->key);
        if (link->tls == NULL) {
            return false;
        }
    }
    return open_ledger(smsc, link) && smsc_listen(link);
}

static void link_free(struct smsc_link *link)
{
    SSL_CTX_free(link->tls);
    smsc_store_free(link->store);
    free(link);
}

bool smsc_add_link(struct smsc *smsc, const struct smsc_config *config)
{
    struct smsc_link *link = tools_alloc(1, sizeof(*link));
    link->smsc = smsc;
    link->config = *config;
    memcpy(link->settings, config->settings, sizeof(link->settings));
    TAILQ_INIT(&link->sessions);
    TAILQ_INIT(&link->outbox);
    TAILQ_INIT(&link->jobs);
    link->store = smsc_store_new(config->remember);
    if (!open_link(smsc, link)) {
        link_free(link);
        return false;
    }
    struct smsc_link **links = tools_alloc(smsc->link_count + 1, sizeof(struct smsc_link *));
    for (size_t i = 0; i < smsc->link_count; i++) {
        links[i] = smsc->links[i];
    }
    free(smsc->links);
    links[smsc->link_count++] = link;
    smsc->links = links;
    smsc_applied(link, SET_ENQUIRE_LINK);
    return true;
}

/* --- settings that act at once -----------------------------------------------------------------------------
 */

void smsc_bound_settings(struct smsc_session *s)
{
    struct setting *slow = &s->link->settings[SET_SLOW_READ];
    if (smsc_hit(s->link, SET_SLOW_READ)) {
        channel_limit(&s->channel, slow->value);
    }
    if (smsc_hit(s->link, SET_HALF_OPEN)) {
        channel_pause(&s->channel, true);
    }
}

static void send_enquire_links(struct defer_item *item, bool cancelled)
{
    struct smsc_link *link = (struct smsc_link *)((char *)item - offsetof(struct smsc_link, enquire));
    link->enquire_armed = false;
    struct setting *every = &link->settings[SET_ENQUIRE_LINK];
    if (cancelled || !every->on) {
        return;
    }
    struct smsc_session *s = NULL;
    TAILQ_FOREACH(s, &link->sessions, entry)
    {
        if (s->bind_id != 0 && setting_hit(every, &link->smsc->random_state)) {
            struct smpp_header header = {SMPP_HEADER_LEN, SMPP_ENQUIRE_LINK, ESME_ROK, smsc_next_sequence(s)};
            uint8_t out[SMPP_HEADER_LEN];
            smpp_put_header(out, &header);
            channel_send(&s->channel, out, sizeof(out));
        }
    }
    smsc_applied(link, SET_ENQUIRE_LINK);
}

static void arm_enquire(struct smsc_link *link)
{
    struct setting *every = &link->settings[SET_ENQUIRE_LINK];
    if (every->on && !link->enquire_armed) {
        uint64_t jitter = every->second > UINT32_MAX ? UINT32_MAX : every->second;
        link->enquire_armed = true;
        link->enquire.run = send_enquire_links;
        defer_add(&link->smsc->defer, &link->enquire,
                  uv_hrtime() + every->value + random_below(&link->smsc->random_state, jitter));
    }
}

void smsc_applied(struct smsc_link *link, enum smsc_setting id)
{
    struct setting *setting = &link->settings[id];
    if (id == SET_ENQUIRE_LINK) {
        arm_enquire(link);
    }
    if (id != SET_HALF_OPEN && id != SET_SLOW_READ) {
        return;
    }
    struct smsc_session *s = NULL;
    struct smsc_session *next = NULL;
    for (s = TAILQ_FIRST(&link->sessions); s != NULL; s = next) {
        next = TAILQ_NEXT(s, entry);
        if (s->bind_id == 0 || s->channel.ending) {
            continue;
        }
        bool hit = setting_hit(setting, &link->smsc->random_state);
        if (id == SET_HALF_OPEN) {
            channel_pause(&s->channel, hit);
        } else {
            channel_limit(&s->channel, hit ? setting->value : 0);
        }
    }
}

/* --- marks -------------------------------------------------------------------------------------------------
 */

void smsc_flush_ledgers(struct smsc *smsc)
{
    for (size_t i = 0; i < smsc->link_count; i++) {
        if (!ledger_flush(smsc->links[i]->ledger)) {
            perror(smsc->links[i]->config.ledger);
        }
    }
}

unsigned smsc_mark(struct smsc *smsc, const char *label, uint64_t grace_ns)
{
    unsigned left = 0;
    uint64_t until = uv_hrtime() + grace_ns;
    do { /* what is still in a sender's buffer comes as soon as we have made room */
        left = channel_loop_drain(&smsc->channels);
    } while (uv_hrtime() < until);
    for (size_t i = 0; i < smsc->link_count; i++) {
        struct ledger *l = smsc->links[i]->ledger;
        if (l != NULL) {
            ledger_begin(l, ledger_now(), "MARK");
            ledger_string(l, "link", smsc->links[i]->config.name);
            ledger_string(l, "label", label);
            ledger_end(l);
        }
    }
    smsc_flush_ledgers(smsc);
    return left;
}

/* --- counters ----------------------------------------------------------------------------------------------
 */

static void add_to(json_t *object, const char *name, uint64_t value)
{
    json_int_t before = json_integer_value(json_object_get(object, name));
    json_object_set_new(object, name, json_integer(before + (json_int_t)value));
}

static const char *type_name(uint32_t bind_id)
{
    return bind_id == SMPP_BIND_RECEIVER      ? "receiver"
           : bind_id == SMPP_BIND_TRANSMITTER ? "transmitter"
                                              : "transceiver";
}

static json_t *child_of(json_t *object, const char *name)
{
    json_t *child = json_object_get(object, name);
    if (child == NULL) {
        child = json_object();
        json_object_set_new(object, name, child);
    }
    return child;
}

static json_t *empty_types(void)
{
    return json_pack("{s:i, s:i, s:i}", "transceiver", 0, "transmitter", 0, "receiver", 0);
}

static void add_sessions(json_t *stats, const struct smsc_link *link)
{
    const struct smsc_session *s = NULL;
    TAILQ_FOREACH(s, &link->sessions, entry)
    {
        add_to(stats, "sessions", 1);
        add_to(stats, "in_flight", s->in_flight);
        if (s->bind_id != 0) {
            add_to(child_of(stats, "bound"), type_name(s->bind_id), 1);
            add_to(child_of(child_of(stats, "system_ids"), s->system_id), type_name(s->bind_id), 1);
        }
    }
}

static void add_link(json_t *stats, const struct smsc_link *link)
{
    add_sessions(stats, link);
    add_to(stats, "waiting", smsc_waiting(link));
    add_to(stats, "answers_delayed", link->answers_delayed);
#define SMSC_COUNTER_ADD(field, help) add_to(stats, #field, link->counters.field);
    SMSC_COUNTERS(SMSC_COUNTER_ADD)
#undef SMSC_COUNTER_ADD
}

static json_t *empty_stats(void)
{
    return json_pack("{s:i, s:i, s:o, s:o}", "sessions", 0, "in_flight", 0, "bound", empty_types(),
                     "system_ids", json_object());
}

json_t *smsc_stats(struct smsc *smsc, struct smsc_link *only)
{
    json_t *total = empty_stats();
    json_t *links = json_object();
    json_object_set_new(total, "ok", json_true());
    for (size_t i = 0; i < smsc->link_count; i++) {
        struct smsc_link *link = smsc->links[i];
        if (only != NULL && only != link) {
            continue;
        }
        json_t *one = empty_stats();
        add_link(one, link);
        add_link(total, link);
        json_object_set_new(one, "port", json_integer(smsc_port(link)));
        json_object_set_new(one, "listening", json_boolean(link->listener != NULL));
        json_object_set_new(links, link->config.name, one);
    }
    json_object_set_new(total, "links", links);
    return total;
}

/* --- the end -----------------------------------------------------------------------------------------------
 */

static void end_link(struct smsc_link *link)
{
    struct smsc_session *s = NULL;
    TAILQ_FOREACH(s, &link->sessions, entry)
    {
        channel_close(&s->channel, CHANNEL_FIN, "the simulator ends");
    }
    smsc_refuse(link);
}

void smsc_end(struct smsc *smsc)
{
    if (smsc->ending) {
        return;
    }
    smsc->ending = true;
    for (size_t i = 0; i < smsc->link_count; i++) {
        end_link(smsc->links[i]);
    }
    defer_clear(&smsc->defer);
    channel_loop_close(&smsc->channels);
}

void smsc_free(struct smsc *smsc)
{
    for (size_t i = 0; i < smsc->link_count; i++) {
        struct smsc_link *link = smsc->links[i];
        smsc_drop_deliveries(link);
        bool shared = false;
        for (size_t j = 0; j < i; j++) {
            shared = shared || smsc->links[j]->ledger == link->ledger;
        }
        if (!shared) {
            ledger_close(link->ledger);
        }
    }
    for (size_t i = 0; i < smsc->link_count; i++) {
        link_free(smsc->links[i]);
    }
    free(smsc->links);
    channel_loop_free(&smsc->channels);
    uv_loop_close(&smsc->loop);
}
