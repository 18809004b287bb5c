/* Preflight: could this instance carry what a flip would send to a link? And one test message over it.
 *
 *   question ──▶ clients touched ──survey──▶ their legs over the link: bound? ──no──▶ probe (bind, enquire_link)
 *                                                                         └──yes──▶ nothing is tried
 *
 * preflight  {"carrier", "to", "shortcodes": [...], "timeout_ms"} ->
 *   {"link" (null: none), "credentials", "window", "version", "clients_touched", "left_out", "complete",
 *    "bound", "legs", "window_used", "window_size",
 *    "target": {"verdict", "why", "round_trip_ms", ...} of the link itself where its credentials are its own,
 *    "clients": [{"client", "sessions", "in_flight", "held", "verdict", "why", "legs", "bound", "window_used",
 *                 "window_size", "round_trip_ms", "connect_ms", "bind_ms", "command_status"}],
 *    "from": [{"link", "legs", "bound", "in_flight"}], "last_hour",
 *    "traffic": [{"shortcode", "last_hour", "receipts_pending"}], the busiest PREFLIGHT_TRAFFIC_SHOWN}
 *   verdict: bound (legs are bound here), bindable (a probe was bound and answered enquire_link), failed (why),
 *   untried (why).
 * message  {"instance", "carrier", "to", "client" (or none), "source", "destination", "text", "timeout_ms"} ->
 *   {"step", "why", "connect_ms", "bind_ms", "round_trip_ms", "answer_ms", "receipt_ms", "message_id",
 *    "receipt", "client"}; {"other": true} by all instances but the one that is named.
 *
 * Polite: one probe for each client and link where nothing is bound, one for a link whose credentials are its
 * own; at most PREFLIGHT_PROBES a question, each within the time that the question gives. */
#ifndef PROXY_PREFLIGHT_H
#define PROXY_PREFLIGHT_H

#include <jansson.h>

struct question;

enum { PREFLIGHT_PROBES = 8, PREFLIGHT_CLIENTS_SHOWN = 500, PREFLIGHT_TRAFFIC_SHOWN = 20 };

/* Question functions; ctx is the inquiry. */
void preflight_ask(void *ctx, struct question *question, const json_t *request);
void preflight_ask_message(void *ctx, struct question *question, const json_t *request);

#endif
