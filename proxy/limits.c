#include "proxy/limits.h"

#include <string.h>

#include "proxy/options.h"

#define TIMED_OUT(reason)  "sessions_timed_out_total{side=\"client\",reason=\"" reason "\"}"
#define ENDED(end)         "connections_ended_total{side=\"client\",end=\"" end "\"}"
#define NOT_TAKEN(reason)  "session_refused_total{reason=\"" reason "\"}"
#define TLS_EVENT(kind)    "tls_events_total{side=\"client\",kind=\"" kind "\"}"
#define BAD_LENGTH         "generic_nack ESME_RINVCMDLEN, closed"
#define UNTIL_SECOND_IS_UP "not read for the rest of the second"

const struct limit_row limit_rows[] = {
    {"slow bytes", "partial-timeout", "closed when the PDU is not whole in time",
     TIMED_OUT("partial_pdu_timeout")},
    {"no bind", "session-init max-unbound",
     "closed when no bind has come in time; more connections are closed at once",
     TIMED_OUT("session_init_timeout") " connections_refused_total"},
    {"crowd that has not bound", "unbound-turn", "read after those who have bound",
     "connections_put_off_total"},
    {"wrong passwords", "password-tries password-pause password-pause-max auth-queue",
     "ESME_RINVPASWD; then ESME_RBINDFAIL unread, for that address and system_id alone",
     "client_binds_credentials_total client_binds_too_soon_total"},
    {"wrong system_ids", "auth-queue",
     "ESME_RINVPASWD, as late as for a wrong password; ESME_RBINDFAIL unread for an address that has half of "
     "the queue",
     "client_binds_credentials_total auth_queue_full_total"},
    {"bind, then silence", "enquire-link response-timeout", "asked by enquire_link, then closed",
     TIMED_OUT("enquire_link_timeout")},
    {"enquire_link flood", "max-own-answers", "answered; then " UNTIL_SECOND_IS_UP, "session_floods_total"},
    {"unknown commands", "max-own-answers", "generic_nack ESME_RINVCMDID; then " UNTIL_SECOND_IS_UP,
     "session_floods_total " NOT_TAKEN("unknown_command")},
    {"responses nobody asked for", "max-own-answers", "dropped; then " UNTIL_SECOND_IS_UP,
     "session_floods_total " NOT_TAKEN("stray_response")},
    {"messages that are refused", "max-refusals", "refused; then " UNTIL_SECOND_IS_UP,
     "session_refusal_floods_total refused_total{cause=\"not_owner\"}"},
    {"window ignored", "window wait-count wait-bytes", "read no further until there is room",
     "reads_paused_total"},
    {"never reads", "out-limit", "closed", "slow_readers_closed_total"},
    {"4 GiB length", "max-pdu-open max-pdu-bound", BAD_LENGTH, NOT_TAKEN("bad_length")},
    {"zero length", "", BAD_LENGTH, NOT_TAKEN("bad_length")},
    {"TLS on a plain port", "max-pdu-open", BAD_LENGTH, NOT_TAKEN("bad_length")},
    {"thousands of TLVs", "max-pdu-bound", "sent on as they are", "pdus_large_total"},
    {"many connections of one address", "max-sessions-per-address", "closed at once",
     "connections_of_address_refused_total"},
    {"unbound connections of one address", "max-unbound-per-address max-unbound", "closed at once",
     "unbound_of_address_refused_total"},
    {"half-closed", "", "closed; what it had sent is sent on, and the answers have nobody to go to",
     ENDED("peer_closed") " responses_orphaned_total"},
    {"reset", "", "closed", ENDED("reset")},
    {"many TLS handshakes of one address", "max-handshakes-per-address", "closed at once",
     "handshakes_of_address_refused_total"},
    {"TLS handshake never finished", "session-init", "closed when it is not done in time",
     ENDED("tls_unfinished")},
    {"TLS handshake broken off", "max-handshakes-per-address", "closed", ENDED("tls_left")},
    {"TLS handshake that is wrong", "max-handshakes-per-address", "told by a TLS alert, closed",
     ENDED("tls_handshake_failed")},
    {"plaintext on a TLS port", "max-handshakes-per-address", "closed", ENDED("tls_none")},
    {"TLS record that is wrong", "", "told by a TLS alert, closed", ENDED("tls_broken")},
    {"TLS records of one octet", "", "read, so many a turn of the loop", TLS_EVENT("many_records")},
    {"TLS renegotiation", "max-tls-messages", "refused by a TLS alert; with one too many in a second, closed",
     TLS_EVENT("renegotiation")},
    {"TLS key updates", "max-tls-messages", "done; with one too many in a second, closed",
     TLS_EVENT("key_update") " " ENDED("tls_flood")},
};
const size_t limit_rows_count = sizeof limit_rows / sizeof limit_rows[0];

static const struct option_row *find_option(const char *name, size_t len)
{
    for (size_t i = 0; i < option_rows_count; i++) {
        if (strlen(option_rows[i].name) == len && strncmp(option_rows[i].name, name, len) == 0) {
            return &option_rows[i];
        }
    }
    return NULL;
}

static void print_option(FILE *out, const char *name, size_t len)
{
    const struct option_row *row = find_option(name, len);
    fprintf(out, "`%.*s` (%s)", (int)len, name,
            row != NULL && row->standard != NULL ? row->standard : "no such");
}

static void print_counter(FILE *out, const char *name, size_t len)
{
    fprintf(out, "`turnout_%.*s`", (int)len, name);
}

static void print_each(FILE *out, const char *names, void (*print)(FILE *out, const char *name, size_t len))
{
    if (names[0] == '\0') {
        fputs("-", out);
    }
    for (const char *name = names; name[0] != '\0';) {
        size_t len = strcspn(name, " ");
        print(out, name, len);
        name += len + strspn(name + len, " ");
        fputs(name[0] != '\0' ? ", " : "", out);
    }
}

void limits_print(FILE *out)
{
    fputs("| a peer's doing | options (default) | answer | counters |\n|---|---|---|---|\n", out);
    for (size_t i = 0; i < limit_rows_count; i++) {
        fprintf(out, "| %s | ", limit_rows[i].peer);
        print_each(out, limit_rows[i].options, print_option);
        fprintf(out, " | %s | ", limit_rows[i].answer);
        print_each(out, limit_rows[i].counters, print_counter);
        fputs(" |\n", out);
    }
}
