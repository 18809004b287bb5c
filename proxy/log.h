/* Structured logs: one line an event, JSON for machines or text for people, written to a file or standard
 * error.
 *
 *   log_event(LOG_SESSION_BOUND, fields) ──▶ level of the event's row, below the limit? ──▶ one write(2)
 *
 * Every event is a row of LOG_EVENTS: its name, level and meaning; the reference of events is printed from
 * it. No event is on the path of a message at the default level. Numbers of handsets are masked to their last
 * three digits by LOG_NUMBER; message text and passwords have no field type at all. Safe from every thread. A
 * log that cannot be written (disk full) loses lines and counts them, never blocks traffic. */
#ifndef PROXY_LOG_H
#define PROXY_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/config.h"

/* X(identifier, name, level, what it tells). Everybody adds rows where they need them. */
#define LOG_EVENTS(X)                                                                                      \
    X(EVENT_STARTED, "started", LOG_INFO, "turnoutd is up")                                                \
    X(EVENT_STOPPING, "stopping", LOG_INFO, "a signal asked for the end; draining begins")                 \
    X(EVENT_STOPPED, "stopped", LOG_INFO, "all is drained or given up; the process ends")                  \
    X(EVENT_CONFIG_LOADED, "config_loaded", LOG_INFO, "a configuration was taken into use")                \
    X(EVENT_NUMBERS_SWAPPED, "portability_table_swapped", LOG_INFO,                                        \
      "every worker looks numbers up in another portability table, by command")                            \
    X(EVENT_NUMBERS_REFUSED, "portability_table_refused", LOG_ERROR,                                       \
      "a portability table cannot be taken into use; the old one stays")                                   \
    X(EVENT_CONFIG_REFUSED, "config_refused", LOG_ERROR, "a configuration is wrong; the old one stays")    \
    X(EVENT_LISTENING, "listening", LOG_INFO, "a listener accepts connections")                            \
    X(EVENT_ACCEPT_PAUSED, "accept_paused", LOG_WARNING,                                                   \
      "too few descriptors are left; new connections wait in the backlog")                                 \
    X(EVENT_ACCEPT_RESUMED, "accept_resumed", LOG_INFO, "there are descriptors again")                     \
    X(EVENT_CLIENT_CONNECTED, "client_connected", LOG_DEBUG, "a client's connection was accepted")         \
    X(EVENT_CLIENT_BOUND, "client_bound", LOG_INFO, "a client has bound")                                  \
    X(EVENT_CLIENT_REFUSED, "client_refused", LOG_WARNING, "a client's bind was refused, and why")         \
    X(EVENT_CLIENT_CLOSED, "client_closed", LOG_INFO, "a client's session ended, and why")                 \
    X(EVENT_LEG_BOUND, "leg_bound", LOG_INFO, "an upstream bind succeeded")                                \
    X(EVENT_LEG_REFUSED, "leg_refused", LOG_WARNING, "an SMSC refused an upstream bind")                   \
    X(EVENT_LEG_CLOSED, "leg_closed", LOG_WARNING,                                                         \
      "an upstream session ended, and why; unknown outcomes are counted")                                  \
    X(EVENT_FEW_DESCRIPTORS, "few_descriptors", LOG_WARNING,                                               \
      "the limit of open files is below what the config may need")                                         \
    X(EVENT_AS_ROOT, "as_root", LOG_WARNING, "it goes on as root, since the config names no user")         \
    X(EVENT_LEG_RETRY, "leg_retry", LOG_DEBUG, "another attempt of an upstream session failed, and why")   \
    X(EVENT_LEG_ENDED, "leg_ended", LOG_INFO, "an upstream session was ended by us")                       \
    X(EVENT_STOP_NOTICED, "stop_noticed", LOG_WARNING,                                                     \
      "a worker had been stopped while its lease ran out; MT wait until it has caught up")                 \
    X(EVENT_FENCED, "fenced", LOG_WARNING,                                                                 \
      "MT wait and are then refused: the lease is over (on-loss = fence), or a stop is caught up with")    \
    X(EVENT_FENCE_LIFTED, "fence_lifted", LOG_INFO, "MT go on by the table in use")                        \
    X(EVENT_LEGS_RELEASED, "legs_released", LOG_INFO,                                                      \
      "legs were ended on order before their linger time was over, at one worker")                         \
    X(EVENT_LINK_PROBED, "link_probed", LOG_INFO,                                                          \
      "a link was tried on order (turnoutctl preflight), and how far it came")                             \
    X(EVENT_TABLE_BLOCKED, "table_blocked", LOG_WARNING, "a routing table cannot be applied yet, and why") \
    X(EVENT_STORE_FOLLOWING, "store_following", LOG_INFO, "Redis is followed: the table is up to date")    \
    X(EVENT_ADMIN_LISTENING, "admin_listening", LOG_INFO, "the admin listener serves")                     \
    X(EVENT_STATE_BEGUN_ANEW, "state_begun_anew", LOG_WARNING,                                             \
      "a file of the state directory was not usable")                                                      \
    X(EVENT_SANDBOX_OFF, "sandbox_off", LOG_WARNING, "system calls are not filtered, and why")             \
    X(EVENT_START_FAILED, "start_failed", LOG_ERROR, "turnoutd could not start, and why")                  \
    X(EVENT_TABLE_PUBLISHED, "table_published", LOG_INFO, "a routing table was handed to the workers")     \
    X(EVENT_TABLE_APPLIED, "table_applied", LOG_INFO, "every worker has passed a routing table")           \
    X(EVENT_STORE_STATE, "store_state", LOG_WARNING, "the connection to Redis changed its state")          \
    X(EVENT_STORE_TROUBLE, "store_trouble", LOG_WARNING, "the table's store met something unexpected")     \
    X(EVENT_TLS_RELOADED, "tls_reloaded", LOG_INFO, "certificates were read again")                        \
    X(EVENT_PDU_REFUSED, "pdu_refused", LOG_DEBUG, "the proxy refused a PDU, and why")                     \
    X(EVENT_CONFIG_WARNING, "config_warning", LOG_WARNING,                                                 \
      "a configuration in use has something doubtful in it")                                               \
    X(EVENT_HOOKS_READING, "hooks_reading", LOG_INFO, "the stream of events is read, to tell of them")     \
    X(EVENT_HOOKS_BLIND, "hooks_blind", LOG_WARNING, "the stream of events cannot be read, and why")       \
    X(EVENT_HOOK_DELIVERED, "hook_delivered", LOG_INFO, "a webhook or the mail server took an event")      \
    X(EVENT_HOOK_RETRY, "hook_retry", LOG_WARNING,                                                         \
      "an event could not be told, and why; another attempt follows")                                      \
    X(EVENT_HOOK_GIVEN_UP, "hook_given_up", LOG_ERROR, "an event was not told to somebody, and why")       \
    X(EVENT_HOOK_SKIPPED, "hook_skipped", LOG_WARNING, "an event cannot be told of, and why")              \
    X(EVENT_HOOK_DROPPED, "hook_dropped", LOG_WARNING,                                                     \
      "events are left to other instances, which may have them by now")                                    \
    X(EVENT_GUARD_TRIPS, "guard_trips", LOG_WARNING, "what a guard watches for has happened since a flip") \
    X(EVENT_GUARD_ENDED, "guard_ended", LOG_INFO, "a guard's watch is over; this instance said so first")  \
    X(EVENT_WINDOW_ALARM, "window_alarm", LOG_WARNING,                                                     \
      "a window did not do by itself what it was to, and why; every instance says so")                     \
    X(EVENT_MO_TWICE, "mo_twice", LOG_WARNING,                                                             \
      "an MO came by two platforms within a minute; told once a minute, see turnout_mo_twice_total")       \
    X(EVENT_LOG_NOT_REOPENED, "log_not_reopened", LOG_WARNING,                                             \
      "the new file cannot be opened, and why; the old one serves, and each second it is tried again")     \
    X(EVENT_LOG_LOST, "log_lost", LOG_WARNING, "lines that could not be written at this place, and how many")

#define LOG_EVENT_ENUM(id, name, level, help) id,
enum log_event { LOG_EVENTS(LOG_EVENT_ENUM) LOG_EVENT_COUNT };
#undef LOG_EVENT_ENUM

/* A field of a line. Made by the macros below. */
struct log_field {
    const char *name;
    enum { LOG_FIELD_END, LOG_FIELD_TEXT, LOG_FIELD_SPAN, LOG_FIELD_INT, LOG_FIELD_NUMBER } type;
    const char *text; /* TEXT: NUL-terminated; SPAN, NUMBER: len octets */
    uint32_t len;
    int64_t value;
};
#define LOG_TEXT(n, s) ((struct log_field){.name = (n), .type = LOG_FIELD_TEXT, .text = (s)})
#define LOG_SPAN(n, p, l) \
    ((struct log_field){.name = (n), .type = LOG_FIELD_SPAN, .text = (const char *)(p), .len = (uint32_t)(l)})
#define LOG_INT(n, v) ((struct log_field){.name = (n), .type = LOG_FIELD_INT, .value = (int64_t)(v)})
#define LOG_NUMBER(n, p, l) \
    ((struct log_field){    \
        .name = (n), .type = LOG_FIELD_NUMBER, .text = (const char *)(p), .len = (uint32_t)(l)})

/* log_event(EVENT_X, LOG_TEXT("client", name), LOG_INT("binds", n)) */
#define log_event(...)             LOG_EVENT_CALL(__VA_ARGS__, (struct log_field){.type = LOG_FIELD_END})
#define LOG_EVENT_CALL(event, ...) log_write((event), (const struct log_field[]){__VA_ARGS__})
void log_write(enum log_event event, const struct log_field *fields);

/* A text of several lines (config_read's error, config.warnings): an event a line, since a field is cut at
 * 512 octets. text NULL: nothing. */
void log_lines(enum log_event event, const char *name, const char *text);

/* Opens the log, or changes an open one (after a reload). Main thread only, as log_reopen and log_close. file
 * NULL: standard error. False with a line on standard error where it cannot be opened; the log then goes to
 * standard error. Before log_open, and after log_close, events from LOG_INFO up go to standard error as text.
 */
bool log_open(bool json, enum log_level level, const char *file, const char *instance);
void log_reopen(void); /* after rotation, on SIGHUP */
void log_retry(void);  /* what log_reopen could not do, if anything: now and then */
void log_close(void);
bool log_enabled(enum log_level level);
uint64_t log_lost(void);     /* lines that could not be written */
void log_print_events(void); /* the reference, to standard output */

#endif
