/* A load of clients.
 *
 *   load ─▶ sessions (a bind each) ─▶ slots (a message in flight each)
 *
 *   load.c          the run: start, tick, drain, end
 *   load_session.c  a connection: bind, link keeping, which PDU goes where, reconnects
 *   load_submit.c   messages: making, pacing, answers, retries
 *   load_receive.c  MO and receipts: recording, answering
 *   load_report.c   the live line and the JSON at the end */
#ifndef TOOLS_LOAD_H
#define TOOLS_LOAD_H

#include <jansson.h>

#include "smpp/frame.h"
#include "test/tools/lib/channel.h"
#include "test/tools/lib/defer.h"
#include "test/tools/lib/histogram.h"
#include "test/tools/lib/ledger.h"
#include "test/tools/lib/numbers.h"
#include "test/tools/lib/smsc_settings.h"

enum {
    LOAD_MAX_PDU = 128 * 1024,
    LOAD_TEXT_MAX = 60000, /* of a message_payload */
    LOAD_STATUSES = 64,    /* different statuses that are counted apart */
    LOAD_TLVS_MAX = 4096,
};

enum load_bind { BIND_TRANSCEIVER, BIND_TRANSMITTER, BIND_RECEIVER, BIND_PAIR };
enum load_payload { PAYLOAD_TEXT, PAYLOAD_TLV, PAYLOAD_DATA_SM };

struct load_config {
    const char *connect; /* HOST:PORT */
    const char *ca;
    const char *system_id, *password, *system_type, *address_range;
    const char *ledger;
    const char *run;
    uint64_t sessions;
    uint64_t version;
    uint64_t window;
    uint64_t rate;     /* messages a second over all sessions, 0: as fast as answered */
    uint64_t count;    /* messages in all; UINT64_MAX: no end */
    uint64_t duration; /* of sending, ns; 0: no end */
    struct numbers from, to;
    uint64_t size;
    uint64_t registered_delivery, data_coding, esm_class;
    size_t tlvs_len;
    struct setting mo_status, mo_delay, mo_silence;
    uint64_t retry_delay, retry_max;
    uint64_t timeout;         /* how long an answer may take, ns */
    uint64_t reconnect_delay; /* ns */
    uint64_t enquire_link;    /* ns; 0: none are sent */
    uint64_t drain, linger;
    uint64_t wait_receipts, wait_mo; /* numbers that end the lingering */
    uint64_t seed;
    enum load_bind bind;
    enum load_payload payload;
    uint8_t ton_npi[4]; /* source ton, npi, dest ton, npi */
    bool tls, insecure, retry, retry_unanswered, reconnect, progress;
    uint8_t tlvs[LOAD_TLVS_MAX];
};

/* X(field, what it counts): as in the JSON. */
#define LOAD_COUNTERS(X)                                                   \
    X(messages, "messages begun, without retries")                         \
    X(sent, "submits written, with retries")                               \
    X(accepted, "answered with ESME_ROK")                                  \
    X(refused, "answered with another status")                             \
    X(unanswered, "not answered: timeout, or the connection died")         \
    X(retries, "submits that repeat an earlier one")                       \
    X(stray, "responses that belong to no request, late ones included")    \
    X(mo, "MO received")                                                   \
    X(receipts, "receipts received")                                       \
    X(binds, "binds accepted")                                             \
    X(binds_refused, "binds answered with another status")                 \
    X(reconnects, "connections made again")                                \
    X(connection_errors, "connections that failed or ended by themselves") \
    X(enquire_links, "enquire_link received")                              \
    X(alerts, "alert_notification received")                               \
    X(bad_pdus, "PDUs that are unknown, out of place or broken")

struct load_counters {
#define LOAD_COUNTER_FIELD(field, help) uint64_t field;
    LOAD_COUNTERS(LOAD_COUNTER_FIELD)
#undef LOAD_COUNTER_FIELD
};

/* A message, in flight or waiting for its next attempt. */
struct load_message {
    uint64_t n; /* its number within its session of origin: both make the key */
    uint32_t origin;
    uint32_t attempt;
    char from[NUMBER_MAX];
    char to[NUMBER_MAX];
};

struct load_slot {
    uint32_t sequence_number; /* 0: free */
    uint64_t sent;            /* ns */
    uint64_t due;             /* when the rate wanted it sent, ns; 0 without a rate */
    struct load_message message;
};

struct load_retry {
    struct defer_item item; /* first */
    TAILQ_ENTRY(load_retry) entry;
    struct load *load;
    struct load_message message;
};
TAILQ_HEAD(load_retries, load_retry);

enum load_session_state {
    LOAD_CLOSED,
    LOAD_WAITING,
    LOAD_CONNECTING,
    LOAD_BINDING,
    LOAD_BOUND,
    LOAD_UNBINDING
};

struct load_session {
    struct channel channel; /* first: a channel is its session */
    struct defer_item reconnect;
    struct load *load;
    uint32_t index;
    uint32_t bind_id;
    enum load_session_state state;
    unsigned epoch; /* connections so far */
    uint32_t sequence;
    struct load_slot *slots; /* by sequence_number */
    uint32_t slots_mask;
    uint32_t in_flight;
    uint64_t messages; /* begun by this session */
    uint64_t enquired; /* when we last sent enquire_link, ns */
};

enum load_phase { LOAD_STARTING, LOAD_RUNNING, LOAD_DRAINING, LOAD_LINGERING, LOAD_ENDING, LOAD_ENDED };

struct load {
    uv_loop_t loop;
    struct channel_loop channels;
    struct defer defer;
    uv_timer_t pace; /* 1 ms, with a rate */
    uv_timer_t tick; /* 100 ms: time-outs, ledger, phases */
    struct load_config config;
    struct sockaddr_storage address;
    char host[256];
    SSL_CTX *tls;
    struct ledger *ledger;
    struct load_session *sessions;
    size_t session_count;
    size_t next; /* whose turn it is */
    enum load_phase phase;
    bool paused;
    uint64_t phase_end;
    uint64_t random_state;
    char run[32];
    char text[LOAD_TEXT_MAX];
    uint64_t started;           /* first message, ns */
    uint64_t finished;          /* last answer */
    uint64_t paced_from, paced; /* since when, and how many, the rate counts */
    uint64_t in_flight, retries_waiting;
    struct load_retries ready; /* retries whose time has come */
    struct load_counters counters;
    uint32_t statuses[LOAD_STATUSES];
    uint64_t status_counts[LOAD_STATUSES];
    size_t status_count;
    struct histogram latency;             /* from writing to the answer, ns */
    struct histogram from_due;            /* from when the rate wanted it sent */
    uint64_t reported, reported_accepted; /* of the live line */
    char last_error[160];
};

/* load.c */
/* Resolves, opens files, connects. False, after a word on stderr, where that fails. config is copied. */
bool load_start(struct load *load, const struct load_config *config);
/* Stops sending, lets answers come, unbinds; the loop then ends by itself. A second call does not wait. */
void load_stop(struct load *load);
/* Is it time for the next phase? */
void load_check(struct load *load);
void load_free(struct load *load);

static inline bool load_transmits(const struct load_session *s)
{
    return s->bind_id != 1;
}

/* load_session.c */
void load_connect(struct load_session *s);
void load_unbind(struct load_session *s);
void load_enquire(struct load_session *s, uint64_t now);
void load_reconnect_later(struct load_session *s);

/* load_submit.c */
/* Sends what the session's window takes; with a rate, nothing. */
void load_fill(struct load_session *s, uint64_t now);
/* Sends what the rate allows by now. */
void load_pace(struct load *load);
void load_set_rate(struct load *load, uint64_t rate);
void load_on_answer(struct load_session *s, const uint8_t *pdu, const struct smpp_header *header,
                    uint64_t now);
/* Gives up on slots sent before a time; the connection's end gives up on all (UINT64_MAX). */
void load_expire(struct load_session *s, uint64_t sent_before, const char *why);
void load_drop_retries(struct load *load);
bool load_may_begin(const struct load *load);

/* load_receive.c */
void load_on_deliver(struct load_session *s, const uint8_t *pdu, const struct smpp_header *header);

/* load_report.c */
void load_live_line(struct load *load);
json_t *load_report(const struct load *load);
/* The commands of turnout-load --control. */
json_t *load_command(void *load, char *line);
const char *load_command_help(void);

#endif
