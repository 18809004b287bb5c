/* The option table, and the types that its rows are of:
 *
 *   text of the file ──parsers[row->type]──▶ the field at row->offset, or a few words that say what is wrong
 *
 * A number of a default has its reason beside it where it is not obvious. */
#include "proxy/options.h"

#include <arpa/inet.h>
#include <crypt.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/config.h"
#include "proxy/hooks/event.h"
#include "proxy/hooks/template.h"
#include "smpp/constants.h"

#define US                  1000ULL
#define MS                  (1000 * US)
#define SECOND              (1000 * MS)
#define MINUTE              (60 * SECOND)
#define HOUR                (60 * MINUTE)
#define KIB                 1024ULL
#define MIB                 (1024 * KIB)
#define FIELD(type, member) .offset = offsetof(type, member), .width = sizeof(((type *)0)->member)
#define LIST(type, member)  .offset = offsetof(type, member), .count_offset = offsetof(type, member##_count)
#define RANGE(low, high)    .min = (low), .max = (high)

/* SMPP 3.4 allows 15, 8 and 12 octets in system_id, password and system_type; peers with more in the first
 * two exist. */
enum { SYSTEM_ID_MAX = 64, PASSWORD_MAX = 64, SYSTEM_TYPE_MAX = 12, ADDRESS_RANGE_MAX = 40 };
enum { ADDRESS_MAX = 20 }; /* octets of an SMPP address, 5.2.8 */
enum { FILE_NAME_MAX = 4095, HOST_MAX = 253, SECRET_MAX = 512, URL_MAX = 2048 };
enum { MAIL_MAX = 254 }; /* octets of an address, RFC 5321, 4.5.3.1.3 less its brackets */

#define ARRAY(type, member) .array = offsetof(type, member), .count = offsetof(type, member##_count)
#define ITEM(type, member)  .item_size = sizeof(type), .title_field = offsetof(type, member)
const struct section_row section_rows[SECTION_COUNT] = {
    [SECTION_ROOT] = {.name = "", .help = "outside of all sections"},
    [SECTION_LISTENER] = {.name = "listener",
                          .title = "NAME",
                          ARRAY(struct config, listeners),
                          ITEM(struct config_listener, name),
                          .title_max = NAME_LEN_MAX,
                          .title_chars = "-_.",
                          .help = "an address and port that clients connect to; at least one"},
    [SECTION_PLATFORM] = {.name = "platform",
                          .title = "NAME",
                          ARRAY(struct config, platforms),
                          ITEM(struct config_platform, name),
                          .title_max = NAME_LEN_MAX,
                          .title_chars = "-_.",
                          .help = "a way to reach the carriers"},
    [SECTION_CARRIER] = {.name = "carrier",
                         .title = "NAME",
                         ARRAY(struct config, carriers),
                         ITEM(struct config_carrier, name),
                         .title_max = NAME_LEN_MAX,
                         .title_chars = "-_.",
                         .help = "a mobile network"},
    /* 55 is what the message id index on disk has room for. */
    [SECTION_LINK] = {.name = "link",
                      .title = "NAME",
                      ARRAY(struct config, links),
                      ITEM(struct config_link, name),
                      .title_max = 55,
                      .title_chars = "-_.",
                      .help = "an SMSC endpoint: how one carrier is reached over one platform; at least one"},
    [SECTION_CLIENT] = {.name = "client",
                        .title = "SYSTEM_ID",
                        ARRAY(struct config, clients),
                        ITEM(struct config_client, system_id),
                        .title_max = SYSTEM_ID_MAX,
                        .help = "an account that may bind, by its system_id; at least one"},
    [SECTION_UPSTREAM] = {.name = "upstream",
                          .title = "LINK",
                          .parent = SECTION_CLIENT,
                          ARRAY(struct config_client, upstreams),
                          ITEM(struct config_upstream, link_name),
                          .title_max = 55,
                          .title_chars = "-_.",
                          .help = "within a client: its credentials at a link with credentials = client"},
    [SECTION_WEBHOOK] = {.name = "webhook",
                         .title = "NAME",
                         ARRAY(struct config, webhooks),
                         ITEM(struct config_webhook, name),
                         .title_max = NAME_LEN_MAX,
                         .title_chars = "-_.",
                         .help =
                             "an address that is told of each event of a cutover by an HTTP POST of JSON"},
    [SECTION_REDIS] = {.name = "redis", .help = "where the routing table is kept"},
    [SECTION_ADMIN] = {.name = "admin", .help = "metrics, health and sessions over HTTP"},
    [SECTION_LOG] = {.name = "log", .help = "what is logged, and where"},
    [SECTION_HOOKS] = {.name = "hooks", .help = "how webhooks, and clients by mail, are told of a cutover"},
};

static const struct option_word credentials_words[] = {
    {"own", CREDENTIALS_OWN}, {"client", CREDENTIALS_CLIENT}, {"pass", CREDENTIALS_PASS}, {0}};
static const struct option_word bind_answer_words[] = {
    {"first", BIND_ANSWER_FIRST}, {"once", BIND_ANSWER_ONCE}, {"all", BIND_ANSWER_ALL}, {0}};
static const struct option_word bind_type_words[] = {
    {"transmitter", BIND_TRANSMITTER}, {"receiver", BIND_RECEIVER}, {"transceiver", BIND_TRANSCEIVER}, {0}};
static const struct option_word mo_on_hold_words[] = {{"pass", false}, {"refuse", true}, {0}};
static const struct option_word on_loss_words[] = {{"serve", false}, {"fence", true}, {0}};
static const struct option_word version_words[] = {
    {"client", 0}, {"3.3", 0x33}, {"3.4", 0x34}, {"5.0", 0x50}, {0}};
static const struct option_word format_words[] = {{"text", false}, {"json", true}, {0}};
static const struct option_word sandbox_words[] = {
    {"auto", SANDBOX_AUTO}, {"on", SANDBOX_ON}, {"off", SANDBOX_OFF}, {0}};
static const struct option_word level_words[] = {
    {"error", LOG_ERROR}, {"warning", LOG_WARNING}, {"info", LOG_INFO}, {"debug", LOG_DEBUG}, {0}};
#define KIND_WORD(id, name, help) {name, 1U << (id)},
static const struct option_word kind_words[] = {EVENT_KINDS(KIND_WORD){0}};
static const struct option_word smtp_tls_words[] = {
    {"required", SMTP_TLS_REQUIRED}, {"offered", SMTP_TLS_OFFERED}, {"never", SMTP_TLS_NEVER}, {0}};

/* clang-format off */
const struct option_row option_rows[] = {
    {SECTION_ROOT, OPTION_INTEGER, "workers", FIELD(struct config, workers), .standard = "1", RANGE(1, 64),
     .restart = true, .help = "threads that serve clients; as many as processors are free for it"},
    {SECTION_ROOT, OPTION_TEXT, "instance", FIELD(struct config, instance), RANGE(1, 64), .restart = true,
     .help = "name of this instance among those that share a Redis; letters, digits, '-', '_' and '.'; without one: "
             "the host's name, '-' and the process id"},
    {SECTION_ROOT, OPTION_DIRECTORY, "state-directory", FIELD(struct config, state_directory),
     RANGE(1, FILE_NAME_MAX), .restart = true,
     .help = "where the last routing table and the message ids outlive a restart; without one they do not"},
    {SECTION_ROOT, OPTION_TEXT, "default-carrier", FIELD(struct config, default_carrier), .standard = "",
     RANGE(0, NAME_LEN_MAX), .help = "carrier of numbers that no prefix matches; empty: they are refused"},
    {SECTION_ROOT, OPTION_FILE, "portability-table", FIELD(struct config, portability_table),
     RANGE(1, FILE_NAME_MAX),
     .help = "which carrier has a number, before the prefixes are asked; made by turnoutctl numbers build. Read again "
             "by turnoutctl numbers swap, and by SIGHUP. A damaged one, or with country-code one that has national "
             "numbers, is refused; at the start turnoutd then ends"},
    {SECTION_ROOT, OPTION_LIST, "number-overrides", LIST(struct config, number_overrides), RANGE(3, 80),
     .help = "NUMBER=CARRIER, before the portability table is asked and after what turnoutctl numbers set says; NUMBER "
             "may be a range FIRST-LAST or a prefix and *"},
    /* All three only to look a number up: it is forwarded as it came. No international number begins with 0. */
    {SECTION_ROOT, OPTION_TEXT, "country-code", FIELD(struct config, country_code), .standard = "", RANGE(0, 3),
     .help = "such as 64: national numbers (behind national-prefix, or without it and with TON national) are looked up as "
             "international ones of this country; empty: as they are, so that prefixes and tables may be national"},
    {SECTION_ROOT, OPTION_TEXT, "national-prefix", FIELD(struct config, national_prefix), .standard = "0",
     RANGE(0, NUMBER_RULE_MAX),
     .help = "what national numbers begin with, and is left out behind country-code; empty: they begin with nothing"},
    {SECTION_ROOT, OPTION_TEXT, "international-prefix", FIELD(struct config, international_prefix), .standard = "00",
     RANGE(0, NUMBER_RULE_MAX),
     .help = "what international numbers may begin with instead of +, left out to look them up; empty: nothing"},
    {SECTION_ROOT, OPTION_DURATION, "session-init", FIELD(struct config, session_init), .standard = "5s",
     RANGE(100 * MS, 10 * MINUTE), .help = "from a client's connect to its bind; then the connection is closed"},
    /* Ten seconds carry 70 KiB over the slowest link that still deserves the name. */
    {SECTION_ROOT, OPTION_DURATION, "partial-timeout", FIELD(struct config, partial_timeout), .standard = "10s",
     RANGE(100 * MS, 10 * MINUTE), .help = "for a PDU that has begun to arrive; then the connection is closed"},
    {SECTION_ROOT, OPTION_DURATION, "drain", FIELD(struct config, drain), .standard = "10s", RANGE(0, 10 * MINUTE),
     .help = "how long messages in flight may take to be answered when the process is asked to end"},
    /* Receipts come for as long as a message lives at the SMSC; most keep one for two or three days. */
    {SECTION_ROOT, OPTION_DURATION, "linger", FIELD(struct config, linger), .standard = "72h", RANGE(0, 720 * HOUR),
     .help = "how long the legs of a platform that a shortcode has left stay bound, for receipts and late MO; it "
             "begins anew with each that comes"},
    {SECTION_ROOT, OPTION_DURATION, "linger-max", FIELD(struct config, linger_max), .standard = "168h",
     RANGE(0, 8760 * HOUR),
     .help = "how long they stay bound in all, however much comes; at least linger. turnoutctl leg release ends them "
             "before"},
    {SECTION_ROOT, OPTION_SIZE, "max-pdu-open", FIELD(struct config, max_pdu_open), .standard = "4k",
     RANGE(64, 64 * KIB), .help = "longest PDU of a peer that has not bound yet"},
    /* message_payload holds up to 65,535 octets; the rest is for addresses and other TLVs. */
    {SECTION_ROOT, OPTION_SIZE, "max-pdu-bound", FIELD(struct config, max_pdu_bound), .standard = "70k",
     RANGE(1 * KIB, 1 * MIB), .help = "longest PDU of a peer that has bound"},
    {SECTION_ROOT, OPTION_TEXT, "user", FIELD(struct config, user), RANGE(1, 32), .restart = true,
     .help = "to become before any file but this one is opened, where it is started as root; the certificates' keys and "
             "the state directory must be this user's to read and write"},
    {SECTION_ROOT, OPTION_TEXT, "group", FIELD(struct config, group), RANGE(1, 32), .restart = true,
     .help = "to become; without it: the user's"},
    {SECTION_ROOT, OPTION_WORD, "sandbox", FIELD(struct config, sandbox), .standard = "auto",
     .words = sandbox_words, .restart = true,
     .help = "a filter of system calls for the whole process: auto, where it can be had; on, and no start without it; off"},
    {SECTION_ROOT, OPTION_BOOL, "core-dumps", FIELD(struct config, core_dumps), .standard = "false", .restart = true,
     .help = "may the memory, which has passwords and keys in it, be dumped when the program crashes, or be looked at by "
             "others of the same user?"},
    {SECTION_ROOT, OPTION_INTEGER, "max-sessions", FIELD(struct config, max_sessions), .standard = "10000",
     RANGE(1, 1000000), .help = "client sessions in all; more are not accepted"},
    {SECTION_ROOT, OPTION_INTEGER, "max-unbound", FIELD(struct config, max_unbound), .standard = "1000",
     RANGE(1, 1000000), .help = "of them, those that have connected but not bound"},
    {SECTION_ROOT, OPTION_INTEGER, "max-sessions-per-address", FIELD(struct config, max_of_address),
     .standard = "1000", RANGE(0, 1000000),
     .help = "of them, those from one address (of IPv6: one /64); more are closed at once; 0: any number"},
    {SECTION_ROOT, OPTION_INTEGER, "max-unbound-per-address", FIELD(struct config, max_unbound_of_address),
     .standard = "500", RANGE(0, 1000000),
     .help = "of those, the ones that have not bound; more are closed at once; 0: any number. Half of max-unbound, so that "
             "one address cannot keep the others from connecting; raise both where all clients come by way of one balancer"},
    {SECTION_ROOT, OPTION_INTEGER, "max-handshakes-per-address", FIELD(struct config, max_handshakes),
     .standard = "100", RANGE(0, 1000000),
     .help = "TLS handshakes a second that one address (of IPv6: one /64) may begin; more connections are closed at once, "
             "since a handshake costs the server a quarter of a millisecond and its peer next to nothing; 0: any number; "
             "raise it where all clients come by way of one balancer"},
    {SECTION_ROOT, OPTION_DURATION, "unbound-turn", FIELD(struct config, unbound_turn), .standard = "100us",
     RANGE(1 * US, 1 * SECOND),
     .help = "of each turn of a worker's loop, for all connections together that have not bound or are ending: accepted, "
             "read, answered, shaken hands with, closed; the others wait for the next turn, after the sessions that have "
             "bound. At least one has its turn, however long it takes"},
    {SECTION_ROOT, OPTION_INTEGER, "max-own-answers", FIELD(struct config, max_own_answers), .standard = "1000",
     RANGE(0, 1000000),
     .help = "PDUs a second of one session that the proxy itself answers or drops: enquire_link, unknown commands, "
             "responses to nothing; beyond, the session is read no further until the second is over; 0: any number"},
    {SECTION_ROOT, OPTION_INTEGER, "max-refusals", FIELD(struct config, max_refusals), .standard = "10000",
     RANGE(0, 1000000),
     .help = "requests a second of one session that the proxy itself refuses as soon as they come: no route, a closed one, "
             "not the client's shortcode, malformed; beyond, the session is read no further until the second is over, its "
             "other messages neither; 0: any number"},
    {SECTION_ROOT, OPTION_INTEGER, "max-tls-messages", FIELD(struct config, max_tls_messages), .standard = "20",
     RANGE(0, 1000000),
     .help = "messages a second of one TLS peer, client or SMSC, after the handshake, that are no data: new keys, "
             "renegotiations (which are refused), session tickets; with one more the connection ends: each costs the "
             "peer next to nothing, and an honest one sends a few in all; 0: any number"},
    {SECTION_ROOT, OPTION_INTEGER, "password-tries", FIELD(struct config, password_tries), .standard = "3",
     RANGE(0, 1000), .help = "wrong passwords in a row, from one address for one system_id, that cost no pause"},
    {SECTION_ROOT, OPTION_DURATION, "password-pause", FIELD(struct config, password_pause), .standard = "1s",
     RANGE(0, HOUR),
     .help = "after the next wrong one: binds of that address and system_id get ESME_RBINDFAIL unread for so long, and "
             "twice as long after each further one; a password that has been right is always taken; 0: no pause"},
    {SECTION_ROOT, OPTION_DURATION, "password-pause-max", FIELD(struct config, password_pause_max),
     .standard = "1m", RANGE(0, 24 * HOUR), .help = "what the pause doubles up to"},
    {SECTION_ROOT, OPTION_INTEGER, "max-waiting", FIELD(struct config, max_waiting), .standard = "100000",
     RANGE(0, 10000000),
     .help = "messages that may wait for their leg, window or route, of all sessions together; more get hold-refusal"},
    {SECTION_ROOT, OPTION_SIZE, "max-waiting-bytes", FIELD(struct config, max_waiting_bytes), .standard = "256m",
     RANGE(0, UINT64_C(64) * 1024 * MIB), .help = "their octets"},
    /* 16 octets each. */
    {SECTION_ROOT, OPTION_INTEGER, "multipart-entries", FIELD(struct config, multipart_entries),
     .standard = "4096", RANGE(0, 1048576), .restart = true,
     .help = "messages in several parts of which the platform is remembered, so that all parts go to that of the first "
             "one sent, also over a flip and by other sessions of the client: a later part is the same message; 0: "
             "each part goes by its route"},
    /* Parts follow each other in a second; a client that was told to try again does so within two minutes. */
    {SECTION_ROOT, OPTION_DURATION, "multipart-ttl", FIELD(struct config, multipart_ttl), .standard = "2m",
     RANGE(1 * SECOND, 1 * HOUR),
     .help = "for how long, from the first part on; later ones go by their route, as after a flip every new message "
             "does"},
    /* 1,000 octets each, of which only those that are used take memory. */
    {SECTION_ROOT, OPTION_INTEGER, "traffic-cells", FIELD(struct config, traffic_cells), .standard = "65536",
     RANGE(1, 1000000), .restart = true,
     .help = "(shortcode, carrier) pairs with traffic that each worker counts; when all are taken, one that was idle for "
             "a minute gives way"},
    {SECTION_ROOT, OPTION_DURATION, "evidence", FIELD(struct config, evidence), .standard = "72h",
     RANGE(1 * MINUTE, 168 * HOUR),
     .help = "for how long after a move the evidence of it is kept up to date in Redis, for turnoutctl status, watch, "
             "guard rails and reports"},
    /* A verify takes about 15 ms, so that a full queue is through within session-init. */
    {SECTION_ROOT, OPTION_INTEGER, "auth-queue", FIELD(struct config, auth_queue), .standard = "256",
     RANGE(1, 65536), .restart = true,
     .help = "passwords that may wait to be verified, in each worker; then binds get ESME_RBINDFAIL"},
    {SECTION_ROOT, OPTION_SIZE, "out-limit", FIELD(struct config, out_limit), .standard = "1m",
     RANGE(4 * KIB, 256 * MIB),
     .help = "octets that may wait for a peer that does not read; then its connection is closed"},
    {SECTION_ROOT, OPTION_INTEGER, "message-ids", FIELD(struct config, message_ids), .standard = "1048576",
     RANGE(1024, 268435456), .restart = true,
     .help = "message ids remembered to route query_sm, cancel_sm and replace_sm; 11 octets each"},
    {SECTION_ROOT, OPTION_DURATION, "message-id-ttl", FIELD(struct config, message_id_ttl), .standard = "72h",
     RANGE(1 * MINUTE, 720 * HOUR), .restart = true, .help = "how long a message id is remembered"},

    {SECTION_LISTENER, OPTION_ADDRESS, "address", FIELD(struct config_listener, address), .standard = "0.0.0.0",
     .restart = true, .help = "address to listen on; \"::\" is every address, of IPv4 too"},
    {SECTION_LISTENER, OPTION_INTEGER, "port", FIELD(struct config_listener, port), RANGE(0, 65535),
     .required = true, .restart = true, .help = "TCP port; 0: any free one, which the log tells"},
    {SECTION_LISTENER, OPTION_BOOL, "tls", FIELD(struct config_listener, tls), .standard = "false", .restart = true,
     .help = "TLS 1.2 or later; needs certificate and key"},
    {SECTION_LISTENER, OPTION_FILE, "certificate", FIELD(struct config_listener, certificate),
     RANGE(1, FILE_NAME_MAX), .help = "PEM file: the certificate, then those that vouch for it"},
    {SECTION_LISTENER, OPTION_FILE, "key", FIELD(struct config_listener, key), RANGE(1, FILE_NAME_MAX),
     .help = "PEM file: the certificate's private key"},
    {SECTION_LISTENER, OPTION_INTEGER, "backlog", FIELD(struct config_listener, backlog), .standard = "1024",
     RANGE(1, 65535), .restart = true,
     .help = "connections that the kernel holds until they are accepted; it also has a limit of its own"},

    {SECTION_CARRIER, OPTION_LIST, "prefixes", LIST(struct config_carrier, prefixes), RANGE(1, 15),
     .help = "what numbers of this carrier begin with, without '+'; the longest match decides"},
    {SECTION_CARRIER, OPTION_TEXT, "tlv-value", FIELD(struct config_carrier, tlv_value), RANGE(1, 64),
     .help = "what a client's carrier-tlv says for this carrier; without one: its name"},
    {SECTION_CARRIER, OPTION_STATUS, "mo-refusal", FIELD(struct config_carrier, mo_refusal),
     .standard = "ESME_RMSGQFUL",
     .help = "command_status for MO that no client can take now; one that this carrier's SMSC retries (0x64 is "
             "final at some)"},
    {SECTION_CARRIER, OPTION_WORD, "mo-on-hold", FIELD(struct config_carrier, mo_held_refused), .standard = "pass",
     .words = mo_on_hold_words,
     .help = "MO to a shortcode whose route for this carrier is on hold or closed: pass, to its client as ever; refuse, "
             "with mo-refusal, so that the network keeps them. Receipts always pass"},

    {SECTION_LINK, OPTION_TEXT, "carrier", FIELD(struct config_link, carrier_name), RANGE(1, NAME_LEN_MAX),
     .required = true, .help = "a carrier section's name"},
    {SECTION_LINK, OPTION_TEXT, "platform", FIELD(struct config_link, platform_name), RANGE(1, NAME_LEN_MAX),
     .required = true, .help = "a platform section's name; a carrier has one link on each platform"},
    {SECTION_LINK, OPTION_TEXT, "host", FIELD(struct config_link, host), RANGE(1, HOST_MAX), .required = true,
     .help = "name or address of the SMSC"},
    {SECTION_LINK, OPTION_INTEGER, "port", FIELD(struct config_link, port), RANGE(1, 65535), .required = true,
     .help = "TCP port of the SMSC"},
    {SECTION_LINK, OPTION_BOOL, "tls", FIELD(struct config_link, tls), .standard = "false",
     .help = "TLS 1.2 or later"},
    {SECTION_LINK, OPTION_FILE, "ca", FIELD(struct config_link, ca), RANGE(1, FILE_NAME_MAX),
     .help = "PEM file of certificates to trust; without one: those that the system trusts"},
    {SECTION_LINK, OPTION_FILE, "certificate", FIELD(struct config_link, certificate), RANGE(1, FILE_NAME_MAX),
     .help = "PEM file: the certificate to show to the SMSC"},
    {SECTION_LINK, OPTION_FILE, "key", FIELD(struct config_link, key), RANGE(1, FILE_NAME_MAX),
     .help = "PEM file: its private key"},
    {SECTION_LINK, OPTION_TEXT, "tls-name", FIELD(struct config_link, tls_name), RANGE(1, HOST_MAX),
     .help = "name that the SMSC's certificate must bear; without one: the host's"},
    {SECTION_LINK, OPTION_BOOL, "tls-verify", FIELD(struct config_link, tls_verify), .standard = "true",
     .help = "false takes any certificate: for tests only"},
    {SECTION_LINK, OPTION_WORD, "credentials", FIELD(struct config_link, credentials), .standard = "own",
     .words = credentials_words,
     .help = "whose system_id and password to bind with: own, from this section; client, from the client's upstream "
             "section for this link; pass, what the client itself sent"},
    {SECTION_LINK, OPTION_TEXT, "system-id", FIELD(struct config_link, system_id), RANGE(1, SYSTEM_ID_MAX),
     .help = "with credentials = own; longer than 15 octets breaks SMPP 3.4, but occurs"},
    {SECTION_LINK, OPTION_SECRET, "password", FIELD(struct config_link, password), RANGE(0, PASSWORD_MAX),
     .help = "with credentials = own; longer than 8 octets breaks SMPP 3.4, but occurs"},
    {SECTION_LINK, OPTION_SECRET_FILE, "password-file", FIELD(struct config_link, password), RANGE(0, PASSWORD_MAX),
     .help = "instead of password: a file whose first line it is"},
    {SECTION_LINK, OPTION_TEXT, "system-type", FIELD(struct config_link, system_type), RANGE(0, SYSTEM_TYPE_MAX),
     .help = "in the bind; without one: empty"},
    {SECTION_LINK, OPTION_TEXT, "address-range", FIELD(struct config_link, address_range),
     RANGE(0, ADDRESS_RANGE_MAX), .help = "instead of what the client sent"},
    /* An SMSC sends no TLVs to a peer that binds as 3.3, and the client has to be able to read what it sends. */
    {SECTION_LINK, OPTION_WORD, "interface-version", FIELD(struct config_link, interface_version),
     .standard = "client", .words = version_words,
     .help = "of SMPP, in the bind; client: the version that the client bound with"},
    {SECTION_LINK, OPTION_INTEGER, "window", FIELD(struct config_link, window), .standard = "100",
     RANGE(1, 65533), .help = "requests unanswered at a time, on each leg"},
    {SECTION_LINK, OPTION_DURATION, "connect-timeout", FIELD(struct config_link, connect_timeout),
     .standard = "10s", RANGE(100 * MS, 5 * MINUTE), .help = "for name, TCP and TLS"},
    {SECTION_LINK, OPTION_DURATION, "bind-timeout", FIELD(struct config_link, bind_timeout), .standard = "10s",
     RANGE(100 * MS, 5 * MINUTE), .help = "for the answer to a bind"},
    {SECTION_LINK, OPTION_DURATION, "enquire-link", FIELD(struct config_link, enquire_link), .standard = "30s",
     RANGE(0, 1 * HOUR), .help = "silence of the SMSC after which it is asked for a sign of life; 0: never"},
    /* Common clients give up after 60 s and send again; ours must be there well before. */
    {SECTION_LINK, OPTION_DURATION, "response-timeout", FIELD(struct config_link, response_timeout),
     .standard = "20s", RANGE(100 * MS, 10 * MINUTE),
     .help = "for an answer of the SMSC; then the client gets its unknown-outcome"},
    {SECTION_LINK, OPTION_DURATION, "reconnect-min", FIELD(struct config_link, reconnect_min), .standard = "500ms",
     RANGE(10 * MS, 1 * HOUR), .help = "first pause before connecting again; it doubles, with jitter"},
    {SECTION_LINK, OPTION_DURATION, "reconnect-max", FIELD(struct config_link, reconnect_max), .standard = "30s",
     RANGE(10 * MS, 1 * HOUR), .help = "longest pause before connecting again"},

    {SECTION_CLIENT, OPTION_HASH, "password-hash", FIELD(struct config_client, password_hash), .required = true,
     .help = "the password as crypt(5) hashes it; made by turnoutctl hash-password"},
    {SECTION_CLIENT, OPTION_LIST, "shortcodes", LIST(struct config_client, shortcodes), RANGE(1, ADDRESS_MAX),
     .required = true, .help = "source addresses that it may use and whose MO it gets; \"*\" alone: any"},
    {SECTION_CLIENT, OPTION_NETWORKS, "networks", LIST(struct config_client, networks),
     .help = "addresses that it may bind from; without any: every address"},
    {SECTION_CLIENT, OPTION_TAG, "carrier-tlv", FIELD(struct config_client, carrier_tlv), .standard = "0",
     RANGE(0, 65535),
     .help = "tag of a TLV that says by a carrier's tlv-value where a message goes, before all else is asked; 0: none. "
             "Where it is not sent, or says nothing that is known, the rest is asked"},
    {SECTION_CLIENT, OPTION_WORDS, "bind-types", FIELD(struct config_client, bind_types),
     .standard = "transmitter, receiver, transceiver", .words = bind_type_words, .help = "how it may bind"},
    {SECTION_CLIENT, OPTION_INTEGER, "max-binds", FIELD(struct config_client, max_binds), .standard = "4",
     RANGE(1, 1000), .help = "sessions at a time"},
    {SECTION_CLIENT, OPTION_INTEGER, "window", FIELD(struct config_client, window), .standard = "100",
     RANGE(1, 65533), .help = "MT unanswered at a time, of one session; then reading from it stops"},
    {SECTION_CLIENT, OPTION_INTEGER, "mo-window", FIELD(struct config_client, mo_window), .standard = "100",
     RANGE(1, 65533), .help = "MO and receipts unanswered at a time, of one session"},
    {SECTION_CLIENT, OPTION_WORD, "bind-answer", FIELD(struct config_client, bind_answer), .standard = "first",
     .words = bind_answer_words,
     .help = "its bind is answered: first, when the first of its legs is bound; once, at once; all, when all are"},
    /* Must beat the client's own response timer; the shortest common default is 2 s. */
    {SECTION_CLIENT, OPTION_DURATION, "hold-budget", FIELD(struct config_client, hold_budget), .standard = "1500ms",
     RANGE(0, 60 * SECOND),
     .help = "how long a message may wait for its leg or route, while a move is under way; 0: not at all. Less than "
             "the client's own response timer"},
    {SECTION_CLIENT, OPTION_INTEGER, "wait-count", FIELD(struct config_client, wait_count), .standard = "100",
     RANGE(0, 65533), .help = "messages that may wait for one carrier, of one session; then reading from it stops"},
    {SECTION_CLIENT, OPTION_SIZE, "wait-bytes", FIELD(struct config_client, wait_bytes), .standard = "1m",
     RANGE(0, 256 * MIB), .help = "octets that may wait, of one session, over all carriers"},
    /* ESME_RTHROTTLED would be retried as well, but pauses the whole bind in one common client. */
    {SECTION_CLIENT, OPTION_STATUS, "hold-refusal", FIELD(struct config_client, hold_refusal),
     .standard = "ESME_RMSGQFUL", .help = "command_status of a message that waited in vain"},
    {SECTION_CLIENT, OPTION_STATUS, "closed-refusal", FIELD(struct config_client, closed_refusal),
     .standard = "ESME_RMSGQFUL", .help = "command_status of a message whose route is closed"},
    {SECTION_CLIENT, OPTION_STATUS, "unknown-outcome", FIELD(struct config_client, unknown_outcome),
     .standard = "ESME_RSYSERR",
     .help = "command_status of a message that was sent to an SMSC which then never answered it"},
    {SECTION_CLIENT, OPTION_BOOL, "nul-in-refusal", FIELD(struct config_client, nul_in_refusal),
     .standard = "false", .help = "the proxy's own refusals carry an empty message id, which some clients need"},
    {SECTION_CLIENT, OPTION_DURATION, "enquire-link", FIELD(struct config_client, enquire_link), .standard = "30s",
     RANGE(0, 1 * HOUR), .help = "silence of the client after which it is asked for a sign of life; 0: never"},
    /* An SMSC may count an unanswered MO as failed after 30 s. */
    {SECTION_CLIENT, OPTION_DURATION, "response-timeout", FIELD(struct config_client, response_timeout),
     .standard = "20s", RANGE(100 * MS, 10 * MINUTE),
     .help = "for its answer to MO, receipts and enquire_link; the SMSC then gets mo-refusal"},
    {SECTION_CLIENT, OPTION_DURATION, "inactivity", FIELD(struct config_client, inactivity), .standard = "0s",
     RANGE(0, 24 * HOUR), .help = "a session with no message for so long is closed; 0: never"},
    {SECTION_CLIENT, OPTION_LIST, "mail", LIST(struct config_client, mail), RANGE(3, MAIL_MAX),
     .help = "addresses that hear by mail of what happens to its shortcodes; see hooks"},

    {SECTION_UPSTREAM, OPTION_TEXT, "system-id", FIELD(struct config_upstream, system_id), RANGE(1, SYSTEM_ID_MAX),
     .required = true, .help = "longer than 15 octets breaks SMPP 3.4, but occurs"},
    {SECTION_UPSTREAM, OPTION_SECRET, "password", FIELD(struct config_upstream, password), RANGE(0, PASSWORD_MAX),
     .help = "longer than 8 octets breaks SMPP 3.4, but occurs"},
    {SECTION_UPSTREAM, OPTION_SECRET_FILE, "password-file", FIELD(struct config_upstream, password),
     RANGE(0, PASSWORD_MAX), .help = "instead of password: a file whose first line it is"},
    {SECTION_UPSTREAM, OPTION_TEXT, "system-type", FIELD(struct config_upstream, system_type),
     RANGE(0, SYSTEM_TYPE_MAX), .help = "in the bind; without one: the link's"},

    {SECTION_WEBHOOK, OPTION_TEXT, "url", FIELD(struct config_webhook, url), RANGE(8, URL_MAX), .required = true,
     .help = "http:// or https://; what the log calls it is its name, never the URL"},
    {SECTION_WEBHOOK, OPTION_SECRET, "secret", FIELD(struct config_webhook, secret), RANGE(1, SECRET_MAX),
     .help = "signs each POST: X-Turnout-Signature is sha256= and the HMAC-SHA256, in hex, of X-Turnout-Timestamp, a "
             "dot and the body"},
    {SECTION_WEBHOOK, OPTION_SECRET_FILE, "secret-file", FIELD(struct config_webhook, secret), RANGE(1, SECRET_MAX),
     .help = "instead of secret: a file whose first line it is"},
    {SECTION_WEBHOOK, OPTION_FILE, "ca", FIELD(struct config_webhook, ca), RANGE(1, FILE_NAME_MAX),
     .help = "PEM file of certificates to trust; without one: those that the system trusts"},

    {SECTION_REDIS, OPTION_TEXT, "host", FIELD(struct config, redis.host), .standard = "127.0.0.1",
     RANGE(1, HOST_MAX), .restart = true, .help = "name or address"},
    {SECTION_REDIS, OPTION_INTEGER, "port", FIELD(struct config, redis.port), .standard = "6379", RANGE(1, 65535),
     .restart = true, .help = "TCP port"},
    {SECTION_REDIS, OPTION_TEXT, "unix-path", FIELD(struct config, redis.unix_path), RANGE(1, 107), .restart = true,
     .help = "a socket in the file system, instead of host and port"},
    {SECTION_REDIS, OPTION_LIST, "sentinels", LIST(struct config, redis.sentinels), RANGE(1, HOST_MAX + 8),
     .restart = true,
     .help = "\"host:port\" of each Redis Sentinel, up to 16; they name the master, instead of host and port"},
    {SECTION_REDIS, OPTION_TEXT, "master", FIELD(struct config, redis.master), RANGE(1, SECRET_MAX),
     .restart = true, .help = "with sentinels: the name by which they know the master"},
    {SECTION_REDIS, OPTION_TEXT, "sentinel-username", FIELD(struct config, redis.sentinel_username),
     RANGE(1, SECRET_MAX), .restart = true, .help = "of the sentinels' access control list"},
    {SECTION_REDIS, OPTION_SECRET, "sentinel-password", FIELD(struct config, redis.sentinel_password),
     RANGE(1, SECRET_MAX), .restart = true, .help = "for the sentinels; without one: none"},
    {SECTION_REDIS, OPTION_SECRET_FILE, "sentinel-password-file", FIELD(struct config, redis.sentinel_password),
     RANGE(1, SECRET_MAX), .restart = true, .help = "instead of sentinel-password: a file whose first line it is"},
    {SECTION_REDIS, OPTION_TEXT, "username", FIELD(struct config, redis.username), RANGE(1, SECRET_MAX),
     .restart = true, .help = "of Redis' access control list"},
    {SECTION_REDIS, OPTION_SECRET, "password", FIELD(struct config, redis.password), RANGE(1, SECRET_MAX),
     .restart = true, .help = "for Redis"},
    {SECTION_REDIS, OPTION_SECRET_FILE, "password-file", FIELD(struct config, redis.password), RANGE(1, SECRET_MAX),
     .restart = true, .help = "instead of password: a file whose first line it is"},
    {SECTION_REDIS, OPTION_INTEGER, "database", FIELD(struct config, redis.database), .standard = "0",
     RANGE(0, 65535), .restart = true, .help = "number of the database; a Cluster has only 0"},
    {SECTION_REDIS, OPTION_TEXT, "prefix", FIELD(struct config, redis.prefix), .standard = "{turnout}",
     RANGE(3, 64), .restart = true,
     .help = "what Turnout's keys begin with; the part in braces keeps them in one slot of a Cluster"},
    {SECTION_REDIS, OPTION_DURATION, "beat", FIELD(struct config, redis.beat), .standard = "2s",
     RANGE(100 * MS, 1 * MINUTE), .restart = true, .help = "how often this instance says that it lives"},
    /* Five beats may be lost before a flip no longer waits for this instance. */
    {SECTION_REDIS, OPTION_DURATION, "lease", FIELD(struct config, redis.lease), .standard = "10s",
     RANGE(200 * MS, 10 * MINUTE), .restart = true, .help = "without a beat for so long it counts as dead, and a flip "
             "no longer waits for it. Longer: a flip waits longer for an instance that died; shorter: one that is slow or "
             "cut off for a moment counts as dead"},
    {SECTION_REDIS, OPTION_WORD, "on-loss", FIELD(struct config, redis.fence), .standard = "serve",
     .words = on_loss_words, .restart = true,
     .help = "when Redis cannot be reached for a lease. serve: go on with the last table; messages flow whatever "
             "happens to Redis, but a flip made then, once the lease is over, is reported as applied while this instance "
             "still sends the old way until it reaches Redis. fence: when nine tenths of the lease are over, keep MT back "
             "for the hold-budget and then refuse them with hold-refusal, until Redis is back and the table caught up; no "
             "message goes the old way after a flip, but no MT flows without Redis, nor at a start without it. MO, "
             "receipts and answers flow in both. In both, an instance that was stopped while its lease ran out asks Redis "
             "before it sends MT again; with serve it gives up asking after timeout"},
    {SECTION_REDIS, OPTION_DURATION, "timeout", FIELD(struct config, redis.timeout), .standard = "2s",
     RANGE(50 * MS, 1 * MINUTE), .restart = true, .help = "to connect, and for an answer"},
    {SECTION_REDIS, OPTION_DURATION, "reconnect-min", FIELD(struct config, redis.reconnect_min),
     .standard = "100ms", RANGE(10 * MS, 1 * MINUTE), .restart = true,
     .help = "first pause before connecting again; it doubles, with jitter"},
    {SECTION_REDIS, OPTION_DURATION, "reconnect-max", FIELD(struct config, redis.reconnect_max), .standard = "5s",
     RANGE(10 * MS, 10 * MINUTE), .restart = true, .help = "longest pause before connecting again"},

    {SECTION_ADMIN, OPTION_BOOL, "enabled", FIELD(struct config, admin.enabled), .standard = "true",
     .restart = true, .help = "false: no admin listener"},
    {SECTION_ADMIN, OPTION_ADDRESS, "address", FIELD(struct config, admin.address), .standard = "127.0.0.1",
     .restart = true, .help = "address to listen on; who reaches it sees every session"},
    {SECTION_ADMIN, OPTION_INTEGER, "port", FIELD(struct config, admin.port), .standard = "9775", RANGE(0, 65535),
     .restart = true, .help = "TCP port; 0: any free one, which the log tells"},

    {SECTION_LOG, OPTION_WORD, "format", FIELD(struct config, log.json), .standard = "json", .words = format_words,
     .help = "a JSON object a line, or text for people"},
    {SECTION_LOG, OPTION_WORD, "level", FIELD(struct config, log.level), .standard = "info", .words = level_words,
     .help = "events of this level and the graver ones are logged"},
    {SECTION_LOG, OPTION_TEXT, "file", FIELD(struct config, log.file), RANGE(1, FILE_NAME_MAX),
     .help = "opened again on SIGHUP; without one: standard error"},

    {SECTION_HOOKS, OPTION_WORDS, "events", FIELD(struct config, hooks.events), .standard = EVENT_KINDS_ALL,
     .words = kind_words, .help = "kinds that webhooks and mail-always are told of"},
    {SECTION_HOOKS, OPTION_WORDS, "client-events", FIELD(struct config, hooks.client_events),
     .standard = "window_opened, carrier_moved, rolled_back, gone_back, window_finished", .words = kind_words,
     .help = "kinds that clients are told of at their mail addresses, each of its own shortcodes alone"},
    {SECTION_HOOKS, OPTION_DURATION, "timeout", FIELD(struct config, hooks.timeout), .standard = "10s",
     RANGE(100 * MS, 5 * MINUTE), .help = "for one POST, from the name to the end of the answer"},
    /* With the pauses below about eight minutes: a mail server that greylists wants five. */
    {SECTION_HOOKS, OPTION_INTEGER, "attempts", FIELD(struct config, hooks.attempts), .standard = "10",
     RANGE(1, 100), .help = "of a POST or mail that fails for a reason that may pass; then it is given up, and the log "
                            "tells"},
    {SECTION_HOOKS, OPTION_DURATION, "retry-min", FIELD(struct config, hooks.retry_min), .standard = "1s",
     RANGE(10 * MS, 1 * HOUR), .help = "first pause before the next attempt; it doubles"},
    {SECTION_HOOKS, OPTION_DURATION, "retry-max", FIELD(struct config, hooks.retry_max), .standard = "5m",
     RANGE(10 * MS, 24 * HOUR), .help = "longest pause before the next attempt"},
    {SECTION_HOOKS, OPTION_INTEGER, "parallel", FIELD(struct config, hooks.parallel), .standard = "4",
     RANGE(1, 64), .help = "connections at a time to one webhook, and to the mail server"},
    /* A crash repeats what was on its way; three lost signs of life are not taken for one. */
    {SECTION_HOOKS, OPTION_DURATION, "takeover", FIELD(struct config, hooks.takeover), .standard = "30s",
     RANGE(1 * SECOND, 1 * HOUR),
     .help = "an event that an instance has begun to tell and given no sign of since is told by another"},
    {SECTION_HOOKS, OPTION_TEXT, "proxy", FIELD(struct config, hooks.proxy), RANGE(1, URL_MAX),
     .help = "HTTP proxy for webhooks; without one: none, whatever the environment says"},
    {SECTION_HOOKS, OPTION_TEXT, "smtp", FIELD(struct config, hooks.smtp), RANGE(8, URL_MAX),
     .help = "the mail server: smtp://HOST:PORT, or smtps:// for TLS from the first octet; without one no mail is sent"},
    {SECTION_HOOKS, OPTION_WORD, "smtp-tls", FIELD(struct config, hooks.smtp_tls), .standard = "required",
     .words = smtp_tls_words,
     .help = "STARTTLS with smtp://: required; offered, used where the server has it, which an attacker can hide; never"},
    {SECTION_HOOKS, OPTION_FILE, "smtp-ca", FIELD(struct config, hooks.smtp_ca), RANGE(1, FILE_NAME_MAX),
     .help = "PEM file of certificates to trust; without one: those that the system trusts"},
    {SECTION_HOOKS, OPTION_TEXT, "smtp-user", FIELD(struct config, hooks.smtp_user), RANGE(1, SECRET_MAX),
     .help = "where the mail server wants one"},
    {SECTION_HOOKS, OPTION_SECRET, "smtp-password", FIELD(struct config, hooks.smtp_password), RANGE(1, SECRET_MAX),
     .help = "of that user"},
    {SECTION_HOOKS, OPTION_SECRET_FILE, "smtp-password-file", FIELD(struct config, hooks.smtp_password),
     RANGE(1, SECRET_MAX), .help = "instead of smtp-password: a file whose first line it is"},
    /* RFC 5321 gives a server ten minutes to take a message; most answer in seconds. */
    {SECTION_HOOKS, OPTION_DURATION, "smtp-timeout", FIELD(struct config, hooks.smtp_timeout), .standard = "60s",
     RANGE(100 * MS, 15 * MINUTE), .help = "for one mail, from the name to the server's last word"},
    {SECTION_HOOKS, OPTION_TEXT, "mail-from", FIELD(struct config, hooks.mail_from), RANGE(3, MAIL_MAX),
     .help = "address that mails come from"},
    {SECTION_HOOKS, OPTION_LIST, "mail-always", LIST(struct config, hooks.mail_always), RANGE(3, MAIL_MAX),
     .help = "the operator's addresses, which hear of all events"},
    {SECTION_HOOKS, OPTION_TEMPLATE, "mail-subject", FIELD(struct config, hooks.mail_subject), RANGE(1, 255),
     .help = "of all mails to clients, instead of that of the event's kind; placeholders: "
             HOOK_PLACES "; {{ is a brace"},
    {SECTION_HOOKS, OPTION_TEMPLATE, "mail-body", FIELD(struct config, hooks.mail_body), RANGE(1, 65535),
     .help = "likewise"},
    {SECTION_HOOKS, OPTION_TEXT, "mail-templates", FIELD(struct config, hooks.mail_templates_directory),
     RANGE(1, FILE_NAME_MAX),
     .help = "directory of files such as carrier_moved.txt, for mails to clients, and operator.txt: first line "
             "\"Subject: ...\", an empty one, the body; where one is missing, the text that comes with the program is used"},
};
/* clang-format on */
const size_t option_rows_count = sizeof option_rows / sizeof option_rows[0];

/* --- values --- */

static const char no_memory[] = "no memory for it";

static void *field_at(const struct option_row *row, void *fields)
{
    return (char *)fields + row->offset;
}

/* An unsigned number into a field of row->width octets; its range fits by the table's own test. */
static void put_unsigned(const struct option_row *row, void *fields, uint64_t value)
{
    void *field = field_at(row, fields);
    uint8_t u8 = (uint8_t)value;
    uint16_t u16 = (uint16_t)value;
    uint32_t u32 = (uint32_t)value;
    switch (row->width) {
    case sizeof u8: memcpy(field, &u8, sizeof u8); break;
    case sizeof u16: memcpy(field, &u16, sizeof u16); break;
    case sizeof u32: memcpy(field, &u32, sizeof u32); break;
    default: memcpy(field, &value, sizeof value); break;
    }
}

static const char *put_copy(const struct option_row *row, void *fields, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL)
        return no_memory;
    char **field = field_at(row, fields);
    free(*field);
    *field = copy;
    return NULL;
}

static const char *wrong_length(const struct option_row *row, size_t len)
{
    if (len < row->min)
        return len == 0 ? "is empty" : "is too short";
    return len > row->max ? "is too long" : NULL;
}

static const char *parse_text(const struct option_row *row, const char *text, void *fields)
{
    const char *wrong = wrong_length(row, strlen(text));
    for (const char *c = text; *c != '\0' && wrong == NULL; c++) {
        if (iscntrl((unsigned char)*c))
            wrong = "has a control character";
    }
    return wrong != NULL ? wrong : put_copy(row, fields, text);
}

static const char *parse_template(const struct option_row *row, const char *text, void *fields)
{
    const char *wrong = wrong_length(row, strlen(text));
    wrong = wrong != NULL ? wrong : hook_template_check(text);
    return wrong != NULL ? wrong : put_copy(row, fields, text);
}

/* Lives until the next one: main thread only, as all of the config. */
static const char *file_trouble(int error)
{
    static char text[128];
    snprintf(text, sizeof text, "cannot be used: %s", strerrordesc_np(error));
    return text;
}

/* The first line, without its end. */
static const char *read_secret(const char *file, char *out, int cap)
{
    FILE *in = fopen(file, "re");
    if (in == NULL)
        return file_trouble(errno);
    errno = 0;
    const char *wrong = fgets(out, cap, in) == NULL && errno != 0 ? file_trouble(errno) : NULL;
    fclose(in);
    out[strcspn(out, "\r\n")] = '\0';
    return wrong;
}

static const char *parse_secret_file(const struct option_row *row, const char *text, void *fields)
{
    char **field = field_at(row, fields);
    if (*field != NULL)
        return "is given beside password";
    char secret[SECRET_MAX + 3] = "";
    const char *wrong = read_secret(text, secret, sizeof secret);
    if (wrong == NULL && wrong_length(row, strlen(secret)) != NULL)
        wrong = secret[0] == '\0' ? "has no first line" : "has a first line that is too long";
    if (wrong == NULL)
        wrong = parse_text(row, secret, fields);
    explicit_bzero(secret, sizeof secret);
    return wrong;
}

/* libcrypt knows a hash by its beginning and takes anything that begins like a traditional DES hash (two
 * letters), so also most passwords in clear: that method is refused. It takes a salt alone, too; but the hash
 * of every method left has 43 characters or more, and no usual salt has. */
static const char *parse_hash(const struct option_row *row, const char *text, void *fields)
{
    enum { HASH_MIN = 43, HASH_MAX = CRYPT_OUTPUT_SIZE - 1 };
    const char *last = strrchr(text, '$');
    if (strlen(text) > HASH_MAX || crypt_checksalt(text) != CRYPT_SALT_OK || last == NULL || text[0] != '$')
        return "is no hash that libcrypt takes";
    size_t len = strspn(last + 1, "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
    if (len < HASH_MIN || last[1 + len] != '\0')
        return "is not a whole hash";
    return put_copy(row, fields, text);
}

static const char *parse_file(const struct option_row *row, const char *text, void *fields)
{
    const char *wrong = wrong_length(row, strlen(text));
    struct stat status;
    if (wrong == NULL && (stat(text, &status) != 0 || access(text, R_OK) != 0))
        wrong = file_trouble(errno);
    else if (wrong == NULL && S_ISDIR(status.st_mode))
        wrong = "is a directory";
    return wrong != NULL ? wrong : put_copy(row, fields, text);
}

static const char *parse_directory(const struct option_row *row, const char *text, void *fields)
{
    const char *wrong = wrong_length(row, strlen(text));
    struct stat status;
    if (wrong == NULL && (stat(text, &status) != 0 || access(text, W_OK | X_OK) != 0))
        wrong = file_trouble(errno);
    else if (wrong == NULL && !S_ISDIR(status.st_mode))
        wrong = "is no directory";
    return wrong != NULL ? wrong : put_copy(row, fields, text);
}

static const char *parse_address(const struct option_row *row, const char *text, void *fields)
{
    struct in6_addr any;
    if (inet_pton(AF_INET, text, &any) != 1 && inet_pton(AF_INET6, text, &any) != 1)
        return "is no address";
    return put_copy(row, fields, text);
}

/* Room for one more item of an array that grows by powers of two. */
static void *grow(void *array, size_t count, size_t size)
{
    bool full = (count & (count - 1)) == 0;
    return full ? reallocarray(array, count == 0 ? 1 : 2 * count, size) : array;
}

static const char *parse_list(const struct option_row *row, const char *text, void *fields)
{
    const char *wrong = wrong_length(row, strlen(text));
    for (const char *c = text; *c != '\0' && wrong == NULL; c++) {
        if (!isgraph((unsigned char)*c))
            wrong = "has a character that is not printable ASCII";
    }
    if (wrong != NULL)
        return wrong;
    char ***field = field_at(row, fields);
    size_t *count = (size_t *)((char *)fields + row->count_offset);
    char *copy = strdup(text);
    char **list = copy == NULL ? NULL : grow(*field, *count, sizeof *list);
    if (list == NULL) {
        free(copy);
        return no_memory;
    }
    list[(*count)++] = copy;
    *field = list;
    return NULL;
}

static bool is_mapped(const uint8_t address[16])
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    return memcmp(address, mapped, sizeof mapped) == 0;
}

static bool has_host_bits(const uint8_t *address, unsigned bits, unsigned width)
{
    for (unsigned i = bits; i < width; i++) {
        if (address[i / 8] & (0x80U >> (i % 8)))
            return true;
    }
    return false;
}

/* Digits alone, so that no sign and no blank passes. */
static const char *parse_digits(const char *text, uint64_t max, uint64_t *value, const char **end)
{
    uint64_t sum = 0;
    const char *c = text;
    for (; isdigit((unsigned char)*c); c++) {
        uint64_t digit = (uint64_t)(*c - '0');
        if (sum > (max - digit) / 10)
            return "is out of range";
        sum = sum * 10 + digit;
    }
    if (c == text)
        return "is no number";
    *value = sum;
    *end = c;
    return NULL;
}

/* The address as 4 or 16 octets; their number, or 0. */
static unsigned parse_octets(const char *text, uint8_t octets[16])
{
    if (inet_pton(AF_INET, text, octets) == 1)
        return 4;
    return inet_pton(AF_INET6, text, octets) == 1 ? 16 : 0;
}

static void network_store(struct config_network *network, const uint8_t *octets, unsigned width,
                          unsigned bits)
{
    memset(network, 0, sizeof *network);
    network->bits = bits;
    if (width == 4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)&network->base;
        v4->sin_family = AF_INET;
        memcpy(&v4->sin_addr, octets, 4);
    } else {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&network->base;
        v6->sin6_family = AF_INET6;
        memcpy(&v6->sin6_addr, octets, 16);
    }
}

/* "192.0.2.0/24"; a network of IPv4-mapped addresses is kept as one of IPv4, as their peers are compared. */
static const char *parse_network(const char *text, struct config_network *network)
{
    char address[INET6_ADDRSTRLEN];
    size_t len = strcspn(text, "/");
    if (len >= sizeof address)
        return "is no network";
    memcpy(address, text, len);
    address[len] = '\0';
    uint8_t octets[16];
    unsigned width = parse_octets(address, octets);
    if (width == 0)
        return "is no network";
    uint64_t bits = width * 8ULL;
    const char *end = text + len;
    if (text[len] == '/' && parse_digits(text + len + 1, bits, &bits, &end) != NULL)
        return "has a bad prefix length";
    if (*end != '\0')
        return "is no network";
    if (has_host_bits(octets, (unsigned)bits, width * 8))
        return "has bits set after its prefix";
    bool mapped = width == 16 && bits >= 96 && is_mapped(octets);
    network_store(network, mapped ? octets + 12 : octets, mapped ? 4 : width,
                  (unsigned)(mapped ? bits - 96 : bits));
    return NULL;
}

static const char *parse_networks(const struct option_row *row, const char *text, void *fields)
{
    struct config_network network;
    const char *wrong = parse_network(text, &network);
    if (wrong != NULL)
        return wrong;
    struct config_network **field = field_at(row, fields);
    size_t *count = (size_t *)((char *)fields + row->count_offset);
    struct config_network *list = grow(*field, *count, sizeof *list);
    if (list == NULL)
        return no_memory;
    list[(*count)++] = network;
    *field = list;
    return NULL;
}

static const char *parse_bool(const struct option_row *row, const char *text, void *fields)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i], text) == 0) {
            put_unsigned(row, fields, i % 2);
            return NULL;
        }
    }
    return "is neither true nor false";
}

struct unit {
    const char *name;
    uint64_t factor;
};
static const struct unit integer_units[] = {{"", 1}, {0}};
static const struct unit size_units[] = {{"m", MIB}, {"k", KIB}, {"", 1}, {0}};
static const struct unit duration_units[] = {{"h", HOUR}, {"m", MINUTE}, {"s", SECOND},
                                             {"ms", MS},  {"us", US},    {0}};

static const struct unit *units_of(enum option_type type)
{
    if (type == OPTION_DURATION)
        return duration_units;
    return type == OPTION_SIZE ? size_units : integer_units;
}

static const char *parse_quantity(const struct option_row *row, const char *text, void *fields)
{
    uint64_t value = 0;
    const char *end = text;
    const char *wrong = parse_digits(text, UINT64_MAX / 2, &value, &end);
    if (wrong != NULL)
        return wrong;
    const struct unit *unit = units_of(row->type);
    while (unit->name != NULL && strcmp(unit->name, end) != 0)
        unit++;
    if (unit->name == NULL && *end == '\0' && value != 0)
        return "has no unit";
    if (unit->name == NULL && *end != '\0')
        return row->type == OPTION_INTEGER ? "is no whole number" : "has an unknown unit";
    uint64_t factor = unit->name == NULL ? 1 : unit->factor;
    if (value > UINT64_MAX / factor || value * factor < row->min || value * factor > row->max)
        return "is out of range";
    put_unsigned(row, fields, value * factor);
    return NULL;
}

static const struct option_word *find_word(const struct option_row *row, const char *text)
{
    for (const struct option_word *w = row->words; w->word != NULL; w++) {
        if (strcmp(w->word, text) == 0)
            return w;
    }
    return NULL;
}

static const char *parse_word(const struct option_row *row, const char *text, void *fields)
{
    const struct option_word *word = find_word(row, text);
    if (word == NULL)
        return "is unknown";
    put_unsigned(row, fields, word->value);
    return NULL;
}

static const char *parse_words(const struct option_row *row, const char *text, void *fields)
{
    const struct option_word *word = find_word(row, text);
    if (word == NULL)
        return "is unknown";
    unsigned *field = field_at(row, fields);
    *field |= word->value;
    return NULL;
}

static const char *parse_tag(const struct option_row *row, const char *text, void *fields)
{
    char *end = NULL;
    bool digit = isdigit((unsigned char)*text) != 0;
    errno = 0;
    unsigned long value = digit ? strtoul(text, &end, text[0] == '0' && text[1] == 'x' ? 16 : 10) : 0;
    if (!digit || *end != '\0' || errno != 0)
        return "is no number";
    if (value < row->min || value > row->max)
        return "is out of range";
    put_unsigned(row, fields, value);
    return NULL;
}

static const char *parse_status(const struct option_row *row, const char *text, void *fields)
{
    uint32_t status = 0;
    if (!smpp_status_parse(text, &status))
        return "is no command_status";
    if (status == ESME_ROK)
        return "would accept a message";
    put_unsigned(row, fields, status);
    return NULL;
}

struct option_kind {
    const char *name; /* for the reference */
    const char *(*parse)(const struct option_row *row, const char *text, void *fields);
};
static const struct option_kind kinds[OPTION_TYPE_COUNT] = {
    [OPTION_TEXT] = {"text", parse_text},
    [OPTION_SECRET] = {"secret text", parse_text},
    [OPTION_SECRET_FILE] = {"file", parse_secret_file},
    [OPTION_HASH] = {"hash", parse_hash},
    [OPTION_TEMPLATE] = {"text", parse_template},
    [OPTION_FILE] = {"file", parse_file},
    [OPTION_DIRECTORY] = {"directory", parse_directory},
    [OPTION_ADDRESS] = {"address", parse_address},
    [OPTION_LIST] = {"list", parse_list},
    [OPTION_NETWORKS] = {"list", parse_networks},
    [OPTION_BOOL] = {"yes or no", parse_bool},
    [OPTION_INTEGER] = {"number", parse_quantity},
    [OPTION_SIZE] = {"size", parse_quantity},
    [OPTION_DURATION] = {"time", parse_quantity},
    [OPTION_WORD] = {"word", parse_word},
    [OPTION_WORDS] = {"list", parse_words},
    [OPTION_TAG] = {"number", parse_tag},
    [OPTION_STATUS] = {"status", parse_status},
};

bool option_is_list(const struct option_row *row)
{
    return row->type == OPTION_LIST || row->type == OPTION_NETWORKS || row->type == OPTION_WORDS;
}

const char *option_parse(const struct option_row *row, const char *text, void *fields)
{
    return kinds[row->type].parse(row, text, fields);
}

static const char *default_list(const struct option_row *row, void *fields)
{
    char *copy = strdup(row->standard);
    char *rest = NULL;
    const char *wrong = NULL;
    if (copy == NULL)
        return no_memory;
    for (char *item = strtok_r(copy, ", ", &rest); item != NULL && wrong == NULL;
         item = strtok_r(NULL, ", ", &rest))
        wrong = option_parse(row, item, fields);
    free(copy);
    return wrong;
}

const char *option_default(const struct option_row *row, void *fields)
{
    if (row->standard == NULL)
        return NULL;
    return option_is_list(row) ? default_list(row, fields) : option_parse(row, row->standard, fields);
}

/* --- what is allowed --- */

/* In the largest unit that leaves a whole number. */
static void print_quantity(char *out, size_t cap, enum option_type type, uint64_t value)
{
    const struct unit *unit = units_of(type);
    while (unit[1].name != NULL && (value == 0 || value % unit->factor != 0))
        unit++;
    snprintf(out, cap, "%" PRIu64 "%s", value / unit->factor, unit->name);
}

static void allowed_quantity(const struct option_row *row, char *out, size_t cap)
{
    static const char *const notes[OPTION_TYPE_COUNT] = {
        [OPTION_SIZE] = " (k: 1024, m: 1024k)",
        [OPTION_DURATION] = " (units: us, ms, s, m, h)",
        [OPTION_INTEGER] = "",
    };
    char low[32];
    char high[32];
    print_quantity(low, sizeof low, row->type, row->min);
    print_quantity(high, sizeof high, row->type, row->max);
    snprintf(out, cap, "%s to %s%s", low, high, notes[row->type]);
}

static void allowed_words(const struct option_row *row, char *out, size_t cap)
{
    size_t at = 0;
    out[0] = '\0';
    for (const struct option_word *w = row->words; w->word != NULL && at < cap; w++)
        at += (size_t)snprintf(out + at, cap - at, "%s%s", at == 0 ? "" : ", ", w->word);
}

void option_allowed(const struct option_row *row, char *out, size_t cap)
{
    static const char *const fixed[OPTION_TYPE_COUNT] = {
        [OPTION_SECRET_FILE] =
            "the name of a file with the password in its first line, and no password beside it",
        [OPTION_HASH] = "a yescrypt, scrypt, bcrypt or SHA hash of crypt(5)",
        [OPTION_TEMPLATE] = "a text with placeholders such as {event} and {shortcodes}: see --print-options",
        [OPTION_FILE] = "the name of a file that can be read",
        [OPTION_DIRECTORY] = "the name of a directory that can be written to",
        [OPTION_ADDRESS] = "an IPv4 or IPv6 address",
        [OPTION_NETWORKS] = "networks such as 192.0.2.0/24 or 2001:db8::/32",
        [OPTION_BOOL] = "true, false",
        [OPTION_TAG] = "a number such as 0x1400, up to 0xFFFF; 0: none",
        [OPTION_STATUS] = "a name such as ESME_RMSGQFUL or a number such as 0x14, not ESME_ROK",
    };
    if (fixed[row->type] != NULL)
        snprintf(out, cap, "%s", fixed[row->type]);
    else if (row->words != NULL)
        allowed_words(row, out, cap);
    else if (row->type == OPTION_TEXT || row->type == OPTION_SECRET || row->type == OPTION_LIST)
        snprintf(out, cap, "%" PRIu64 " to %" PRIu64 " characters%s", row->min, row->max,
                 row->type == OPTION_LIST ? " each" : "");
    else
        allowed_quantity(row, out, cap);
}

/* --- the rows as a whole --- */

const struct option_row *options_next(enum option_section section, const struct option_row *after)
{
    const struct option_row *row = after == NULL ? option_rows : after + 1;
    for (; row < option_rows + option_rows_count; row++) {
        if (row->section == section)
            return row;
    }
    return NULL;
}

static bool has_text(const struct option_row *row)
{
    return row->type <= OPTION_ADDRESS;
}

static bool text_equal(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool list_equal(const struct option_row *row, const void *a, const void *b)
{
    size_t count = *(const size_t *)((const char *)a + row->count_offset);
    char *const *list_a = *(char **const *)((const char *)a + row->offset);
    char *const *list_b = *(char **const *)((const char *)b + row->offset);
    bool equal = count == *(const size_t *)((const char *)b + row->count_offset);
    for (size_t i = 0; i < count && equal; i++)
        equal = strcmp(list_a[i], list_b[i]) == 0;
    return equal;
}

/* The other lists are not compared: no row that needs a restart has one. */
bool option_equal(const struct option_row *row, const void *a, const void *b)
{
    const void *field_a = (const char *)a + row->offset;
    const void *field_b = (const char *)b + row->offset;
    if (has_text(row))
        return text_equal(*(char *const *)field_a, *(char *const *)field_b);
    if (row->type == OPTION_LIST)
        return list_equal(row, a, b);
    return memcmp(field_a, field_b, row->width) == 0;
}

static void free_field(const struct option_row *row, void *fields)
{
    if (row->type == OPTION_LIST) {
        char **list = *(char ***)field_at(row, fields);
        size_t count = *(size_t *)((char *)fields + row->count_offset);
        for (size_t i = 0; i < count; i++)
            free(list[i]);
    }
    if (has_text(row) || row->type == OPTION_LIST || row->type == OPTION_NETWORKS) {
        void **field = field_at(row, fields);
        free(*field);
        *field = NULL;
    }
}

void options_free(enum option_section section, void *fields)
{
    for (const struct option_row *row = options_next(section, NULL); row; row = options_next(section, row))
        free_field(row, fields);
}

/* --- the nearest name --- */

enum { WORD_MAX = 40 };

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Levenshtein's distance: letters to add, drop or change. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[WORD_MAX + 1];
    size_t len = strnlen(b, WORD_MAX);
    for (unsigned j = 0; j <= len; j++)
        row[j] = j;
    for (unsigned i = 1; i <= strnlen(a, WORD_MAX); i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= len; j++) {
            unsigned above = row[j];
            row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1));
            diagonal = above;
        }
    }
    return row[len];
}

/* Near enough to have been meant: a third of the letters wrong, or the one the beginning of the other. */
static unsigned limit_of(const char *name)
{
    return 1 + (unsigned)strnlen(name, WORD_MAX) / 3;
}

struct nearest {
    const char *name;
    const char *best;
    unsigned least;
};

static void nearest_try(struct nearest *nearest, const char *word)
{
    unsigned d = distance(nearest->name, word);
    if (d < nearest->least) {
        nearest->least = d;
        nearest->best = word;
    }
}

const char *options_nearest(enum option_section section, const char *name)
{
    struct nearest nearest = {.name = name, .least = limit_of(name) + 1};
    for (const struct option_row *row = options_next(section, NULL); row; row = options_next(section, row))
        nearest_try(&nearest, row->name);
    for (unsigned i = SECTION_ROOT + 1; i < SECTION_COUNT; i++) {
        if (section_rows[i].parent == section)
            nearest_try(&nearest, section_rows[i].name);
    }
    return nearest.best;
}

/* --- the reference --- */

static const char *default_shown(const struct option_row *row)
{
    if (row->required)
        return "required";
    if (row->standard == NULL)
        return "none";
    return row->standard[0] == '\0' ? "\"\"" : row->standard;
}

static void print_section_head(FILE *out, const struct section_row *section, bool markdown)
{
    const char *mark = markdown ? "`" : "";
    fputs(markdown ? "\n## " : "\n", out);
    if (section->name[0] == '\0')
        fprintf(out, "%s", markdown ? "General" : "general");
    else if (section->title == NULL)
        fprintf(out, "%s%s { }%s", mark, section->name, mark);
    else
        fprintf(out, "%s%s \"%s\" { }%s", mark, section->name, section->title, mark);
    fprintf(out, markdown ? "\n\n%c%s.\n\n" : ": %c%s\n",
            markdown ? toupper(section->help[0]) : section->help[0], section->help + 1);
}

static void print_option_text(FILE *out, const struct option_row *row)
{
    char allowed[256];
    option_allowed(row, allowed, sizeof allowed);
    fprintf(out, "  %-18s %s: %s; default: %s%s\n%21s%s\n", row->name, kinds[row->type].name, allowed,
            default_shown(row), row->restart ? "; needs a restart" : "", "", row->help);
}

static void print_option_markdown(FILE *out, const struct option_row *row)
{
    char allowed[256];
    option_allowed(row, allowed, sizeof allowed);
    bool literal = !row->required && row->standard != NULL;
    const char *mark = literal ? "`" : "";
    fprintf(out, "| `%s` | %s: %s | %s%s%s | %s | %s |\n", row->name, kinds[row->type].name, allowed, mark,
            default_shown(row), mark, row->restart ? "restart" : "reload", row->help);
}

static void print_section(FILE *out, enum option_section section, bool markdown)
{
    print_section_head(out, &section_rows[section], markdown);
    const struct option_row *row = options_next(section, NULL);
    if (markdown && row != NULL)
        fputs("| option | what | default | changes by | meaning |\n|---|---|---|---|---|\n", out);
    else if (row == NULL)
        fputs(markdown ? "It has no options.\n" : "  no options\n", out);
    for (; row != NULL; row = options_next(section, row)) {
        if (markdown)
            print_option_markdown(out, row);
        else
            print_option_text(out, row);
    }
}

void options_print(FILE *out, bool markdown)
{
    if (markdown)
        fputs("# Options of turnoutd\n\nMade by `turnoutd --print-options`. Times take a unit (ms, s, m, h), "
              "sizes k "
              "or m or none.\n`${NAME}` in a value stands for a variable of the environment.\n",
              out);
    for (unsigned section = 0; section < SECTION_COUNT; section++)
        print_section(out, section, markdown);
}
