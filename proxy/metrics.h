/* Counters, gauges and histograms, each declared once; one block a worker, summed when somebody asks.
 *
 *   worker ──metric_add──▶ its own block (plain stores, no lock prefix) ──metrics_write, when scraped──▶ text
 *
 * A block is written by its worker alone and read by the main thread: relaxed atomics. Labels come from
 * tables and from the config (links, carriers, platforms), never from a phone number or a message id. */
#ifndef PROXY_METRICS_H
#define PROXY_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/config.h"
#include "proxy/stream.h"
#include "routing/carrier.h"
#include "smpp/constants.h"
#include "smpp/session.h"

typedef _Atomic uint64_t metric;

static inline void metric_add(metric *m, uint64_t n)
{
    atomic_store_explicit(m, atomic_load_explicit(m, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void metric_sub(metric *m, uint64_t n)
{
    atomic_store_explicit(m, atomic_load_explicit(m, memory_order_relaxed) - n, memory_order_relaxed);
}

static inline uint64_t metric_get(metric *m)
{
    return atomic_load_explicit(m, memory_order_relaxed);
}

enum { METRICS_LARGE_PDU = 4096 }; /* a message of 160 characters has some 200 octets */

/* Per worker, without labels. X(field, kind, name without the prefix turnout_, help). The workers' values are
 * summed; of a gauge_lowest, the lowest is shown. */
#define METRICS_WORKER(X)                                                                                    \
    X(accepted, counter, "connections_accepted_total", "Client connections accepted.")                       \
    X(accept_refused, counter, "connections_refused_total",                                                  \
      "Client connections closed at once: too many sessions.")                                               \
    X(accept_pauses, counter, "accept_pauses_total", "Times that accepting paused for want of descriptors.") \
    X(binds_accepted, counter, "client_binds_accepted_total", "Client binds answered positively.")           \
    X(binds_credentials, counter, "client_binds_credentials_total",                                          \
      "Client binds refused for their credentials.")                                                         \
    X(binds_refused, counter, "client_binds_refused_total", "Client binds refused for another reason.")      \
    X(accept_handshakes, counter, "handshakes_of_address_refused_total",                                     \
      "Connections closed because their address began max-handshakes-per-address in a second.")              \
    X(accept_crowded, counter, "connections_of_address_refused_total",                                       \
      "Client connections closed at once: too many sessions of one address.")                                \
    X(accept_unbound, counter, "unbound_of_address_refused_total",                                           \
      "Client connections closed at once: too many of one address that have not bound.")                     \
    X(put_off, counter, "connections_put_off_total",                                                         \
      "Times that a connection which has not bound had to wait for a later turn: unbound-turn was over.")    \
    X(binds_too_soon, counter, "client_binds_too_soon_total",                                                \
      "Client binds refused unread, after wrong passwords from the same address for the same system_id.")    \
    X(floods, counter, "session_floods_total",                                                               \
      "Times that a session was not read for the rest of a second: too many PDUs that are no messages.")     \
    X(refusal_floods, counter, "session_refusal_floods_total",                                               \
      "Times that a session was not read for the rest of a second: too many requests refused at once.")      \
    X(large_pdus, counter, "pdus_large_total",                                                               \
      "PDUs sent on that have more than 4096 octets: long message_payload, or very many TLVs.")              \
    X(auth_busy, counter, "auth_queue_full_total",                                                           \
      "Binds refused because too many passwords waited for a check.")                                        \
    X(slow_readers, counter, "slow_readers_closed_total", "Sessions closed because the peer did not read.")  \
    X(paused_reads, counter, "reads_paused_total",                                                           \
      "Times that reading from a peer paused for backpressure.")                                             \
    X(stray_responses, counter, "stray_responses_total", "Responses that match no request of ours.")         \
    X(responses_orphaned, counter, "responses_orphaned_total",                                               \
      "Responses whose requester had gone before they came.")                                                \
    X(waiting_messages, gauge, "waiting_messages",                                                           \
      "Messages kept back for a window, a leg or a held route.")                                             \
    X(waiting_bytes, gauge, "waiting_bytes", "Octets of the messages kept back.")                            \
    X(carrier_tlv_absent, counter, "carrier_tlv_absent_total",                                               \
      "Messages of clients with carrier-tlv that did not have it.")                                          \
    X(carrier_tlv_unknown, counter, "carrier_tlv_unknown_total",                                             \
      "Messages whose carrier TLV said nothing that is known.")                                              \
    X(numbers_read, counter, "numbers_not_international_total",                                              \
      "Destinations that were looked up in their international form, since they came in another.")           \
    X(stops, counter, "stops_noticed_total",                                                                 \
      "Times that a worker found that it had been stopped while its lease ran out, and caught up.")          \
    X(multipart_messages, gauge, "multipart_messages", "Messages in several parts that are remembered.")     \
    X(multipart_evicted, counter, "multipart_evicted_total",                                                 \
      "Messages in several parts forgotten before their time: multipart-entries is too small.")              \
    X(multipart_followed, counter, "multipart_followed_total",                                               \
      "Parts that took the platform of their message's first part instead of today's route.")                \
    X(multipart_astray, counter, "multipart_astray_total",                                                   \
      "Parts that took today's route since no leg to the first part's platform was bound any more.")         \
    X(query_unknown, counter, "queries_unknown_id_total",                                                    \
      "query_sm, cancel_sm, replace_sm about an unknown id.")                                                \
    X(traffic_full, counter, "traffic_cells_full_total",                                                     \
      "Messages of a (shortcode, carrier) that met no free cell to be counted in (traffic-cells).")          \
    X(mo_twice, counter, "mo_twice_total",                                                                   \
      "MO seen on both platforms within a minute: same source, destination and text. Passed on.")            \
    X(table_version, gauge_lowest, "route_version_worker",                                                   \
      "Oldest version of the routing table that a worker still routes by.")

/* Per link and worker. */
#define METRICS_LINK(X)                                                                                    \
    X(connects, counter, "link_connects_total", "Connection attempts to an SMSC.")                         \
    X(connect_failures, counter, "link_connect_failures_total", "Connection attempts that failed.")        \
    X(bind_failures, counter, "link_bind_failures_total", "Upstream binds refused or not answered.")       \
    X(losses, counter, "link_lost_total", "Bound upstream sessions that ended without our asking.")        \
    X(mt, counter, "link_mt_total", "Messages sent to the SMSC.")                                          \
    X(mo, counter, "link_mo_total", "Messages from the SMSC that are not receipts.")                       \
    X(receipts, counter, "link_receipts_total", "Receipts from the SMSC.")                                 \
    X(unknown_outcomes, counter, "link_unknown_outcomes_total",                                            \
      "Messages written to a leg that died or stayed silent before it answered.")                          \
    X(late_responses, counter, "link_late_responses_total", "Answers that came after their time-out.")     \
    X(timeouts, counter, "link_response_timeouts_total", "Requests that the SMSC did not answer in time.") \
    X(mo_refused, counter, "link_mo_refused_total", "MO and receipts that the proxy refused.")             \
    X(window_used, gauge, "link_window_used", "Requests in flight to the SMSC.")                           \
    X(window_size, gauge, "link_window_size", "Windows of the bound legs, summed.")                        \
    X(window_full, counter, "link_window_full_total", "Messages that met a full window and had to wait.")

/* Why the proxy itself refused a request. X(identifier, label, help) */
#define REFUSED_CAUSES(X)                                                                                 \
    X(REFUSED_NOT_OWNER, "not_owner", "the shortcode is not the client's")                                \
    X(REFUSED_NO_CARRIER, "no_carrier", "no prefix and no default for the destination")                   \
    X(REFUSED_NO_ROUTE, "no_route", "neither a row nor a default row for (shortcode, carrier)")           \
    X(REFUSED_NO_TABLE, "no_table", "no routing table yet: neither Redis nor a snapshot on disk")         \
    X(REFUSED_NO_LINK, "no_link", "the route's platform has no link for the carrier in the config")       \
    X(REFUSED_CLOSED, "closed", "the route is closed")                                                    \
    X(REFUSED_HOLD_EXPIRED, "hold_expired", "kept back until the hold budget ended")                      \
    X(REFUSED_FENCED, "fenced", "kept back until the hold budget ended: the lease has run out (on-loss)") \
    X(REFUSED_WAIT_FULL, "wait_full", "too many messages or octets of the session were kept back")        \
    X(REFUSED_WAIT_FULL_ALL, "wait_full_in_all", "too many of all sessions were kept back")               \
    X(REFUSED_LEG_LOST, "leg_lost", "unknown outcome: the leg ended before the answer")                   \
    X(REFUSED_TIMEOUT, "timeout", "unknown outcome: no answer in time")                                   \
    X(REFUSED_MALFORMED, "malformed", "addresses or ids cannot be read")                                  \
    X(REFUSED_STATE, "wrong_state", "not allowed in the session's state")                                 \
    X(REFUSED_COMMAND, "unknown_command", "no such command")                                              \
    X(REFUSED_MIXED_MULTI, "mixed_multi", "submit_multi to several carriers or to a distribution list")   \
    X(REFUSED_UNKNOWN_ID, "unknown_id", "query, cancel or replace of an unknown message")                 \
    X(REFUSED_NO_RECEIVER, "no_receiver", "MO without a receiving session of the client")                 \
    X(REFUSED_MO_ON_HOLD, "mo_on_hold", "MO of a route on hold or closed, where mo-on-hold says so")      \
    X(REFUSED_MO_FULL, "mo_full", "MO while the client's window and queue are full")                      \
    X(REFUSED_CLIENT_SILENT, "client_silent", "MO that the client did not answer in time")                \
    X(REFUSED_CLIENT_GONE, "client_gone", "MO whose client session ended before the answer")              \
    X(REFUSED_SHUTDOWN, "shutdown", "the proxy is ending")                                                \
    X(REFUSED_MEMORY, "memory", "no memory")

#define REFUSED_ENUM(id, name, help) id,
enum refused { REFUSED_CAUSES(REFUSED_ENUM) REFUSED_COUNT };
#undef REFUSED_ENUM
const char *refused_name(enum refused cause);

/* What a message was kept back for: of one that waited for several things in turn, the last. X(identifier,
 * label, help) */
#define WAIT_REASONS(X)                                           \
    X(WAIT_WINDOW, "window", "for room in the window of its leg") \
    X(WAIT_LEG, "leg", "for its leg to be bound")                 \
    X(WAIT_ROUTE, "route", "for its route, which was on hold")    \
    X(WAIT_FENCE, "fence", "for Redis: the lease had run out, or this instance had been stopped")

/* What became of it. */
#define WAIT_OUTCOMES(X)                                                                           \
    X(WAITED_RELEASED, "released", "sent on")                                                      \
    X(WAITED_EXPIRED, "expired", "refused when its time was over")                                 \
    X(WAITED_FULL, "full", "refused at once: too many of the session were kept back")              \
    X(WAITED_FULL_ALL, "full_in_all", "refused at once: too many of all sessions were kept back")  \
    X(WAITED_REFUSED, "refused", "refused when its route was closed, or its way ended, meanwhile") \
    X(WAITED_SESSION_GONE, "session_gone", "forgotten with the client's session")                  \
    X(WAITED_SHUTDOWN, "shutdown", "refused since the session was to be ended")

#define WAIT_ENUM(id, name, help) id,
enum wait_reason { WAIT_REASONS(WAIT_ENUM) WAIT_REASON_COUNT };
enum wait_outcome { WAIT_OUTCOMES(WAIT_ENUM) WAIT_OUTCOME_COUNT };
#undef WAIT_ENUM

enum metrics_side { SIDE_CLIENT, SIDE_SMSC, SIDE_COUNT };
enum metrics_direction { DIRECTION_IN, DIRECTION_OUT, DIRECTION_COUNT };

/* Histogram of response times: log-linear, two buckets an octave from 2^10 ns (1 us) to 2^36 ns (over a
 * minute), and one for the rest. Each bucket sums its own observations: sum_ns[count % 2] is the sum of count
 * of them, the other one is being made into that of the next. So whatever a reader reads, its sum is that of
 * the observations it counts. */
enum { HISTOGRAM_FIRST_BIT = 10, HISTOGRAM_LAST_BIT = 36 };
enum { HISTOGRAM_BUCKETS = 2 * (HISTOGRAM_LAST_BIT - HISTOGRAM_FIRST_BIT) + 2 };
struct histogram {
    struct histogram_bucket {
        _Alignas(32) metric count; /* one cache line an observation */
        metric sum_ns[2];
    } bucket[HISTOGRAM_BUCKETS];
};
void histogram_add(struct histogram *h, uint64_t ns); /* O(1): a shift and a look, no loop over buckets */
uint64_t histogram_bound(unsigned bucket); /* upper bound in ns, inclusive; UINT64_MAX for the last */

enum { METRICS_STATUS_MAX = 128 };            /* room for smpp_status_count() */
enum { METRICS_BIND_TYPES = 4 };              /* none yet, transmitter, receiver, transceiver */
unsigned metrics_bind_type(uint32_t bind_id); /* index from a bind's command id; 0 for none */
const char *metrics_bind_type_name(unsigned index);

struct metrics_link {
#define METRICS_FIELD(field, kind, name, help) metric field;
    METRICS_LINK(METRICS_FIELD)
    metric sessions[METRICS_BIND_TYPES][SMPP_STATE_COUNT];
    struct histogram response_time;
};

/* PDUs of one side in one direction, by smpp_command_index of their command_id. */
struct metrics_pdus {
    metric requests[SMPP_COMMAND_COUNT];
    metric responses[SMPP_COMMAND_COUNT][METRICS_STATUS_MAX];
};

struct metrics_worker {
    METRICS_WORKER(METRICS_FIELD)
#undef METRICS_FIELD
    metric refused[REFUSED_COUNT];
    metric waited[WAIT_REASON_COUNT][WAIT_OUTCOME_COUNT];
    metric carrier_choices[CARRIER_STEP_COUNT];
    metric refused_by_session[SMPP_REFUSAL_COUNT];    /* what smpp_session refused or dropped */
    metric ended[SIDE_COUNT][SMPP_DUE_COUNT];         /* sessions ended by a timer */
    metric stream_ends[SIDE_COUNT][STREAM_END_COUNT]; /* connections, by what ended them */
    metric tls_events[SIDE_COUNT][TLS_EVENT_COUNT];
    metric sessions[METRICS_BIND_TYPES][SMPP_STATE_COUNT]; /* of clients */
    struct metrics_pdus pdus[SIDE_COUNT][DIRECTION_COUNT];
    _Atomic(struct metrics_link *) links[CONFIG_LINKS_MAX]; /* by link index, made when first used */
};

struct metrics;

/* Blocks for this many workers. NULL without memory. */
struct metrics *metrics_new(unsigned workers);
void metrics_free(struct metrics *metrics);
struct metrics_worker *metrics_of(struct metrics *metrics, unsigned worker);

/* The block of a link, made at the first call (allocates then: call it when a leg is made, not on a message).
 * NULL without memory. Owner's thread only. */
struct metrics_link *metrics_link(struct metrics_worker *worker, unsigned link);

/* Counts a PDU. command is smpp_command_index of its command_id. */
static inline void metrics_pdu(struct metrics_pdus *pdus, unsigned command, uint32_t command_id,
                               uint32_t command_status)
{
    if (smpp_is_response(command_id)) {
        unsigned status = command_status == 0 ? 0 : smpp_status_index(command_status);
        metric_add(&pdus->responses[command][status], 1);
    } else {
        metric_add(&pdus->requests[command], 1);
    }
}

/* Process-wide values that the main thread sets before a scrape. X(field, kind, name, help) */
#define METRICS_PROCESS(X)                                                                               \
    X(route_version_applied, gauge, "route_version_applied",                                             \
      "Version of the routing table passed by every worker.")                                            \
    X(route_version_desired, gauge, "route_version_desired",                                             \
      "Newest version of the routing table known in Redis.")                                             \
    X(store_reconnects, counter, "store_reconnects_total",                                               \
      "Connections to Redis that were lost and tried again.")                                            \
    X(store_refused, counter, "store_tables_refused_total",                                              \
      "Tables in Redis not taken: older or another history.")                                            \
    X(log_lost, counter, "log_lines_lost_total", "Log lines that could not be written.")                 \
    X(config_reloads, counter, "config_reloads_total", "Configurations read again and taken into use.")  \
    X(config_refused, counter, "config_reloads_refused_total", "Configurations read again and refused.") \
    X(fenced, gauge, "fenced",                                                                           \
      "1 while MT wait: the lease has run out (on-loss = fence), or a stop is caught up with.")          \
    X(shortcodes, gauge, "shortcodes", "Shortcodes in the routing table.")                               \
    X(hook_posts_delivered, counter, "hook_posts_delivered_total", "Events that a webhook took.")        \
    X(hook_posts_retried, counter, "hook_posts_retried_total",                                           \
      "Attempts at a webhook that failed and are followed by another.")                                  \
    X(hook_posts_failed, counter, "hook_posts_failed_total",                                             \
      "Events that a webhook was not told of: refused, or given up.")                                    \
    X(hook_mails_delivered, counter, "hook_mails_delivered_total",                                       \
      "Mails that the mail server took, by address.")                                                    \
    X(hook_mails_retried, counter, "hook_mails_retried_total",                                           \
      "Attempts at a mail that failed and are followed by another.")                                     \
    X(hook_mails_failed, counter, "hook_mails_failed_total", "Mails not sent: refused, or given up.")    \
    X(hook_events_skipped, counter, "hook_events_skipped_total",                                         \
      "Events that nobody here is to be told of.")                                                       \
    X(hook_events_pending, gauge, "hook_events_pending", "Events that somebody is still to be told of.")

struct metrics_process {
#define METRICS_VALUE(field, kind, name, help) uint64_t field;
    METRICS_PROCESS(METRICS_VALUE)
#undef METRICS_VALUE
    uint64_t store_state; /* enum store_state */
    double start_time;    /* seconds since 1970 */
};

/* Prometheus text exposition into a malloc'd string (len set), NULL without memory. Labels of links are taken
 * from config: link, carrier, platform; a link that is in the config no more is shown for as long as it has
 * sessions. Main thread only, as are the next two. promtool check metrics accepts it without a word. */
char *metrics_text(struct metrics *metrics, const struct config *config, const struct names *names,
                   const struct metrics_process *process, size_t *len);

/* The sessions of all workers as a JSON array of {"side", "bind_type", "state", "count"}, for side smsc with
 * "link", "carrier" and "platform", too (malloc'd): the field that instances report, and /sessions. */
char *metrics_sessions_json(struct metrics *metrics, const struct config *config, const struct names *names);

/* Bound sessions over a link that ended without our asking. */
uint64_t metrics_lost(struct metrics *metrics, unsigned link);

/* MT in flight over all links, for the instance's entry. */
uint64_t metrics_in_flight(struct metrics *metrics);

/* The reference of all metrics, from the same tables, as Markdown. */
void metrics_print_reference(void);

#endif
