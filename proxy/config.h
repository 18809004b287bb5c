/* The configuration: one file, read whole, checked whole, then immutable.
 *
 *   file ──libconfuse──▶ values by the option table ──checks──▶ struct config ──▶ main and every worker
 *
 * The option table in options.c is the only place that knows an option's name, type, range, default and help;
 * config_print_options writes the reference from it. A reload builds a second config beside the first and
 * swaps it in at each worker, or is refused with file, line, what is wrong and what is allowed. */
#ifndef PROXY_CONFIG_H
#define PROXY_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include "proxy/hooks/template.h"
#include "routing/carrier.h"
#include "routing/names.h"

/* Times are in nanoseconds unless the name says otherwise; sizes in octets. */

enum { CONFIG_LINKS_MAX = 256 };
enum { BIND_TRANSMITTER = 1, BIND_RECEIVER = 2, BIND_TRANSCEIVER = 4 }; /* bits of client.bind_types */

struct config_network {
    struct sockaddr_storage base;
    unsigned bits;
};

struct config_listener {
    char *name;
    char *address;
    uint16_t port; /* 0: any free one; printed in the log */
    bool tls;
    char *certificate; /* file names */
    char *key;
    unsigned backlog;
};

struct config_platform {
    char *name;
    uint8_t id; /* names_intern */
};

struct config_carrier {
    char *name;
    uint8_t id;
    uint32_t mo_refusal;  /* command_status of our refusals of MO */
    bool mo_held_refused; /* MO of a route that is not open are refused */
    char *tlv_value;      /* what a client's carrier_tlv says for it; NULL: its name */
    char **prefixes;
    size_t prefixes_count;
};

enum config_credentials { CREDENTIALS_OWN, CREDENTIALS_CLIENT, CREDENTIALS_PASS };

struct config_link {
    char *name;
    unsigned index; /* dense, stable over reloads as long as the process lives: link_names */
    char *carrier_name, *platform_name;
    uint8_t carrier, platform;
    char *host;
    uint16_t port;
    bool tls;
    char *ca;          /* file of trusted certificates; NULL: the system's */
    char *certificate; /* client certificate and key, or NULL */
    char *key;
    char *tls_name; /* name the certificate must bear; NULL: host */
    bool tls_verify;
    enum config_credentials credentials;
    char *system_id, *password, *system_type;
    char *address_range;       /* NULL: what the client sent */
    uint8_t interface_version; /* 0: the client's */
    unsigned window;
    uint64_t connect_timeout, bind_timeout, enquire_link, response_timeout;
    uint64_t reconnect_min, reconnect_max;
};

struct config_upstream {
    char *link_name;
    unsigned link; /* index */
    char *system_id, *password, *system_type;
};

/* When the client's bind is answered. */
enum config_bind_answer { BIND_ANSWER_FIRST, BIND_ANSWER_ONCE, BIND_ANSWER_ALL };

struct config_client {
    char *system_id;
    unsigned index; /* dense, stable over reloads */
    char *password_hash;
    bool any_shortcode; /* shortcodes = { "*" } */
    char **shortcodes;  /* sorted by strcmp */
    size_t shortcodes_count;
    uint64_t *owned;     /* those of up to 8 octets again: a hash table of smpp_pack, 0 for empty */
    unsigned owned_bits; /* of its size; half of it is empty at least */
    struct config_network *networks; /* none: any address */
    size_t networks_count;
    unsigned bind_types;
    uint16_t carrier_tlv; /* tag of the TLV by which it names a carrier; 0: none */
    unsigned max_binds;
    unsigned window;    /* MT unanswered at a time; then reading stops */
    unsigned mo_window; /* MO unanswered at a time */
    enum config_bind_answer bind_answer;
    uint64_t hold_budget;     /* how long a message may wait for its leg or route; 0: not at all */
    unsigned wait_count;      /* messages that may wait for one carrier, before reading stops */
    size_t wait_bytes;        /* of the session, over all carriers */
    uint32_t hold_refusal;    /* command_status after the budget */
    uint32_t closed_refusal;  /* of a closed route */
    uint32_t unknown_outcome; /* of a message whose leg died before answering */
    bool nul_in_refusal;      /* our negative answers carry an empty message id */
    uint64_t enquire_link, response_timeout, inactivity;
    char **mail; /* addresses */
    size_t mail_count;
    struct config_upstream *upstreams;
    size_t upstreams_count;
};

struct config_webhook {
    char *name, *url;
    char *secret; /* NULL: not signed */
    char *ca;
};

/* STARTTLS */
enum config_smtp_tls { SMTP_TLS_REQUIRED, SMTP_TLS_OFFERED, SMTP_TLS_NEVER };

enum config_sandbox { SANDBOX_AUTO, SANDBOX_ON, SANDBOX_OFF };

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

struct config {
    char *file;
    char *instance;
    char *user, *group; /* to become; NULL: as started */
    enum config_sandbox sandbox;
    bool core_dumps;
    char *state_directory; /* NULL: nothing is kept */
    unsigned workers;
    char *default_carrier;
    char *portability_table; /* file name; NULL: none */
    char **number_overrides; /* "NUMBER=CARRIER" each */
    size_t number_overrides_count;
    char *country_code, *national_prefix, *international_prefix; /* digits or "" */
    uint64_t session_init;                                       /* from connect to bind */
    uint64_t partial_timeout;                                    /* a PDU begun but not completed */
    uint64_t drain;      /* SIGTERM: how long in-flight messages may take */
    uint64_t linger;     /* how long the legs of a platform left stay bound while idle */
    uint64_t linger_max; /* and in all */
    uint32_t max_pdu_open, max_pdu_bound;
    unsigned max_sessions;           /* client sessions in all */
    unsigned max_of_address;         /* of them, from one address; 0: any number */
    unsigned max_unbound_of_address; /* of those, not bound; 0: any number */
    unsigned max_handshakes;         /* TLS, a second, of one address; 0: any number */
    uint64_t unbound_turn;           /* ns of a turn, for those who have not bound */
    unsigned max_own_answers;        /* a second of a session; 0: any number */
    unsigned max_refusals;           /* the same */
    unsigned max_tls_messages;       /* the same */
    unsigned password_tries;         /* wrong ones of a pair of address and system_id that cost nothing */
    uint64_t password_pause, password_pause_max;
    unsigned max_unbound; /* of them, connected but not bound */
    unsigned max_waiting; /* messages kept back in all sessions */
    size_t max_waiting_bytes;
    size_t multipart_entries; /* messages in several parts that are followed; 0: none */
    uint64_t multipart_ttl;
    uint32_t traffic_cells; /* (shortcode, carrier) that a worker counts */
    uint64_t evidence;      /* for how long after a move what they count is written to Redis */
    unsigned auth_queue;    /* passwords waiting to be verified */
    size_t out_limit;       /* octets waiting for a peer that does not read */
    size_t message_ids;     /* entries of the message id index */
    uint64_t message_id_ttl;

    struct config_listener *listeners;
    size_t listeners_count;
    struct config_platform *platforms;
    size_t platforms_count;
    struct config_carrier *carriers;
    size_t carriers_count;
    struct config_link *links; /* in order of the file; see config_link_at for the index */
    size_t links_count;
    struct config_client *clients; /* sorted by system_id */
    size_t clients_count;

    struct {
        char *host;
        uint16_t port;
        char *unix_path;
        char **sentinels; /* "host:port" each; used instead of host, port and unix_path */
        size_t sentinels_count;
        char *master; /* its name among them */
        char *sentinel_username, *sentinel_password;
        char *username, *password;
        unsigned database;
        char *prefix;
        uint64_t beat, lease, timeout, reconnect_min, reconnect_max;
        bool fence; /* on-loss */
    } redis;
    struct {
        bool enabled;
        char *address;
        uint16_t port;
    } admin;
    struct {
        bool json;
        enum log_level level;
        char *file; /* NULL: standard error */
    } log;

    struct config_webhook *webhooks;
    size_t webhooks_count;
    struct {
        unsigned events, client_events; /* 1 << enum event_kind */
        uint64_t timeout, retry_min, retry_max, takeover, smtp_timeout;
        unsigned attempts, parallel;
        char *proxy;
        char *smtp; /* NULL: no mail */
        enum config_smtp_tls smtp_tls;
        char *smtp_ca, *smtp_user, *smtp_password;
        char *mail_from;
        char **mail_always;
        size_t mail_always_count;
        char *mail_subject, *mail_body; /* NULL: by kind */
        char *mail_templates_directory;
    } hooks;

    char *warnings; /* what is allowed but doubtful, one line each as in config_read's error; NULL: nothing */

    /* Made from the above for the path of a message. */
    struct numbers *numbers;   /* the portability table, or NULL */
    struct numbers *overrides; /* or NULL */
    struct carrier_map *carrier_map;
    struct config_link *link_of[NAMES_MAX][NAMES_MAX]; /* [carrier][platform], NULL: none */
    struct config_carrier *carrier_of[NAMES_MAX];
    struct config_link **link_at; /* by index; NULL where this config has no such link */
    unsigned link_at_count;
    struct config_client **client_at; /* by index */
    unsigned client_at_count;
    struct hook_template
        hook_templates[TEMPLATE_COUNT]; /* read from their directory; NULL: those of the program */
    _Atomic(unsigned) holders;          /* beside the first */
};

/* What keeps its number over reloads; belongs to the process, main thread only. */
struct config_ids {
    struct names names; /* carriers and platforms together */
    char **links;
    unsigned links_count;
    char **clients;
    unsigned clients_count;
};

/* Reads and checks a file. NULL on a fault: error (of cap octets) then says "FILE:LINE: what is wrong; what
 * is allowed", one line a fault, as many as fit. */
struct config *config_read(const char *file, struct config_ids *ids, char *error, size_t cap);

/* Gives it up: it is freed when nobody holds it any more. From any thread. */
void config_free(struct config *config);

/* One more has it, and gives it up by config_free. */
struct config *config_hold(const struct config *config);

/* Is there anybody to be told of a cutover? */
bool config_has_hooks(const struct config *config);

void config_ids_free(struct config_ids *ids);

/* The client of a system_id (len octets, no NUL), or NULL. */
const struct config_client *config_client(const struct config *config, const uint8_t *system_id, size_t len);

/* May this client use this shortcode as its source? */
bool config_client_owns(const struct config_client *client, const uint8_t *shortcode, size_t len);

/* May this client bind from this address? IPv4-mapped IPv6 addresses count as IPv4. */
bool config_client_allows(const struct config_client *client, const struct sockaddr *address);

/* Credentials for a link on behalf of a client ("client" mode), or NULL. */
const struct config_upstream *config_upstream(const struct config_client *client, unsigned link);

/* What of a reload needs a restart to take effect (listeners, workers, redis, admin, state directory): the
 * names, comma separated; empty where nothing does. */
void config_needs_restart(const struct config *old, const struct config *now, char *out, size_t cap);

/* The reference, made from the option table: text for a terminal, or Markdown. */
void config_print_options(FILE *out, bool markdown);

#endif
