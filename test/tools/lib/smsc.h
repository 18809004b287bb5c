/* The simulated carriers of one process.
 *
 *   smsc ─▶ links (a listener, settings, a ledger, counters) ─▶ sessions (a connection each)
 *
 *   smsc.c          process and links: begin, end, listening, marks, counters
 *   smsc_session.c  a connection: binds, link keeping, which PDU goes where
 *   smsc_message.c  messages and what is asked about them: deciding, answering
 *   smsc_deliver.c  MO and receipts: waiting, choosing a bind, sending, their answers
 *   smsc_store.c    what became of the last messages
 *   smsc_control.c  the commands */
#ifndef TOOLS_SMSC_H
#define TOOLS_SMSC_H

#include <jansson.h>

#include "smpp/frame.h"
#include "smpp/view.h"
#include "test/tools/lib/channel.h"
#include "test/tools/lib/defer.h"
#include "test/tools/lib/ledger.h"
#include "test/tools/lib/numbers.h"
#include "test/tools/lib/receipt_text.h"
#include "test/tools/lib/smsc_settings.h"

enum { SMSC_SYSTEM_ID_MAX = 64, SMSC_MAX_PDU = 128 * 1024, SMSC_PDU_OUT = 2048 };

/* X(field, what it counts): the counters of a link, as "stats" shows them. */
#define SMSC_COUNTERS(X)                                                     \
    X(connections, "connections accepted")                                   \
    X(binds, "binds accepted")                                               \
    X(binds_refused, "binds answered with a negative status, or not at all") \
    X(mt, "messages received")                                               \
    X(mt_accepted, "of them, with status ESME_ROK")                          \
    X(mt_refused, "of them, with another status")                            \
    X(mt_silent, "of them, never answered")                                  \
    X(mo_sent, "MO sent, attempts counted")                                  \
    X(mo_accepted, "MO answered with ESME_ROK")                              \
    X(mo_refused, "MO answered with another status")                         \
    X(mo_unanswered, "MO whose connection died first")                       \
    X(receipts_sent, "receipts sent, attempts counted")                      \
    X(receipts_accepted, "receipts answered with ESME_ROK")                  \
    X(receipts_refused, "receipts answered with another status")             \
    X(receipts_unanswered, "receipts whose connection died first")           \
    X(queries, "query_sm, cancel_sm and replace_sm")                         \
    X(enquire_links, "enquire_link received")                                \
    X(enquire_answers, "answers to ours")                                    \
    X(unbinds, "unbind received")                                            \
    X(stray, "responses that belong to no request")                          \
    X(bad_pdus, "PDUs that are unknown, out of place or broken")

struct smsc_counters {
#define SMSC_COUNTER_FIELD(field, help) uint64_t field;
    SMSC_COUNTERS(SMSC_COUNTER_FIELD)
#undef SMSC_COUNTER_FIELD
};

/* What the command line says about a link. */
struct smsc_config {
    const char *name;
    const char *listen;
    const char *certificate;
    const char *key;
    const char *accept; /* "any", or "ID:PASSWORD,..." */
    const char *ledger;
    const char *id_prefix;
    const char *system_id; /* what bind_resp says */
    enum id_format id_format;
    uint64_t remember;
    bool tls;
    struct setting settings[SMSC_SETTING_COUNT];
};

struct smsc;
struct smsc_store;
struct delivery;
struct mo_job;
TAILQ_HEAD(session_list, smsc_session);
TAILQ_HEAD(delivery_list, delivery);
TAILQ_HEAD(mo_job_list, mo_job);

struct smsc_link {
    struct smsc *smsc;
    struct smsc_config config;
    struct setting settings[SMSC_SETTING_COUNT];
    struct smsc_counters counters;
    SSL_CTX *tls;
    struct ledger *ledger; /* shared by links of the same file; NULL: off */
    uv_tcp_t *listener;    /* NULL while connections are refused */
    struct sockaddr_storage address;
    struct session_list sessions;
    struct smsc_store *store;
    uint64_t ids;  /* messages numbered so far */
    uint64_t keys; /* MO keys made so far */
    uint64_t throttle_second;
    uint64_t throttle_count;
    uint64_t answers_delayed;    /* waiting to be sent */
    uint64_t waiting_receipts;   /* waiting for their time */
    struct delivery_list outbox; /* waiting for a bind with room */
    struct mo_job_list jobs;
    struct defer_item enquire; /* due != 0: armed */
    bool enquire_armed;
};

struct smsc_session {
    struct channel channel; /* first: a channel is its session */
    TAILQ_ENTRY(smsc_session) entry;
    struct smsc_link *link;
    unsigned refs;
    uint64_t number;
    uint32_t bind_id; /* 0 while not bound */
    uint8_t version;
    bool gone, unbinding;
    bool bind_answered; /* nothing may be sent before that */
    char system_id[SMSC_SYSTEM_ID_MAX];
    uint32_t sequence;
    struct delivery **window; /* by sequence_number, unanswered */
    uint32_t window_size;     /* a power of two, 0 until needed */
    uint32_t in_flight;
    uint64_t messages;
    struct buffer held; /* answers kept back to be sent in reverse, each after its length */
    unsigned held_count;
    struct buffer greeting; /* what is sent when the connection opens */
};

struct smsc {
    uv_loop_t loop;
    struct channel_loop channels;
    struct defer defer;
    struct smsc_link **links;
    size_t link_count;
    uint64_t random_state;
    uint64_t sessions; /* numbered so far */
    char run[16];      /* in the keys of MO, so that runs differ */
    bool ending;
};

/* smsc.c */
void smsc_init(struct smsc *smsc);
/* Makes a link and listens. False, after a word on stderr, where that fails. */
bool smsc_add_link(struct smsc *smsc, const struct smsc_config *config);
bool smsc_listen(struct smsc_link *link);
void smsc_refuse(struct smsc_link *link);
uint16_t smsc_port(const struct smsc_link *link);
/* Everything the sockets hold is handled, then a MARK is written. Returns the sockets that were left alone.
 */
unsigned smsc_mark(struct smsc *smsc, const char *label, uint64_t grace_ns);
/* Closes everything, so that uv_run returns. */
void smsc_end(struct smsc *smsc);
void smsc_free(struct smsc *smsc);
void smsc_flush_ledgers(struct smsc *smsc);
json_t *smsc_stats(struct smsc *smsc, struct smsc_link *only);
/* A setting was changed: does what must be done at once. */
void smsc_applied(struct smsc_link *link, enum smsc_setting id);

static inline bool smsc_hit(struct smsc_link *link, enum smsc_setting id)
{
    return link->settings[id].on && setting_hit(&link->settings[id], &link->smsc->random_state);
}

/* smsc_session.c */
void smsc_accept(struct smsc_link *link, uv_stream_t *listener);
int smsc_outbind(struct smsc_link *link, const struct sockaddr *to, const char *system_id,
                 const char *password);
struct smsc_session *smsc_session_hold(struct smsc_session *s);
void smsc_session_release(struct smsc_session *s);
uint32_t smsc_next_sequence(struct smsc_session *s);
static inline bool smsc_may_receive(const struct smsc_session *s)
{
    return s->bind_id != 0 && s->bind_id != 2 && s->bind_answered && !s->unbinding && !s->gone &&
           !s->channel.ending && !s->channel.paused;
}
/* Is the session one of WHO ("any", "all", or a system_id)? */
bool smsc_session_is(const struct smsc_session *s, const char *who);
void smsc_bound_settings(struct smsc_session *s);

/* smsc_message.c */
void smsc_on_message(struct smsc_session *s, const uint8_t *pdu, const struct smpp_header *header);
void smsc_on_multi(struct smsc_session *s, const uint8_t *pdu, const struct smpp_header *header);
void smsc_on_about(struct smsc_session *s, const uint8_t *pdu, const struct smpp_header *header);
/* Sends octets after a time in ns, if the session still lives then. */
void smsc_send_later(struct smsc_session *s, const uint8_t *pdu, size_t len, uint64_t delay);
void smsc_release_held(struct smsc_session *s);

/* smsc_deliver.c */
struct smsc_receipt_about {
    const char *id;
    uint64_t number;
    struct smpp_span source, dest, text, key;
};
void smsc_make_receipt(struct smsc_session *s, const struct smsc_receipt_about *about, uint64_t delay,
                       bool now);
bool smsc_mo(struct smsc_link *link, const char *who, const char *source, const char *dest, uint64_t count,
             uint64_t rate);
void smsc_pump(struct smsc_link *link);
void smsc_on_delivery_answer(struct smsc_session *s, const struct smpp_header *header);
void smsc_lose_deliveries(struct smsc_session *s);
void smsc_drop_deliveries(struct smsc_link *link);
uint64_t smsc_waiting(const struct smsc_link *link);

/* smsc_store.c */
struct smsc_store *smsc_store_new(uint64_t remember);
void smsc_store_free(struct smsc_store *store);
void smsc_store_add(struct smsc_store *store, uint64_t number, struct smpp_span source);
enum store_verdict { STORE_UNKNOWN, STORE_NOT_YOURS, STORE_FOUND };
/* Looks a message up, and gives its message_state to read and set. source: empty matches all. */
enum store_verdict smsc_store_find(struct smsc_store *store, uint64_t number, struct smpp_span source,
                                   uint8_t **state);

/* smsc_control.c */
json_t *smsc_command(void *smsc, char *line);
/* What the commands are, for --help. The caller frees it. */
char *smsc_command_help(void);

#endif
