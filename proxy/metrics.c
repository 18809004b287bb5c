/* Blocks of numbers, one a worker, and the text that is made of them.
 *
 *   rows of the X-tables (name, kind, help, offset) ──▶ HELP and TYPE, the reference
 *   blocks of the workers ──summed, field by field──▶ samples
 *   config ──▶ labels of links, kept for as long as a link that was removed has sessions
 *
 * A series that was shown is shown from then on, with 0 if need be: a series that comes and goes hides its
 * last step from rate() and its absence from alerts. */
#include "proxy/metrics.h"
#include "proxy/memory_text.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/store.h"

enum { CACHE_LINE = 64, SNAPSHOT_TRIES = 1000 };

enum kind { counter, gauge, gauge_lowest, histogram };

struct row {
    const char *name; /* without turnout_ */
    enum kind kind;
    const char *help;
    size_t offset; /* in the block */
};

#define WORKER_ROW(field, kind, name, help) {name, kind, help, offsetof(struct metrics_worker, field)},
static const struct row worker_rows[] = {METRICS_WORKER(WORKER_ROW)};
#define LINK_ROW(field, kind, name, help) {name, kind, help, offsetof(struct metrics_link, field)},
static const struct row link_rows[] = {METRICS_LINK(LINK_ROW)};
#define PROCESS_ROW(field, kind, name, help) {name, kind, help, offsetof(struct metrics_process, field)},
static const struct row process_rows[] = {METRICS_PROCESS(PROCESS_ROW)};

/* Families with labels of their own. X(identifier, kind, name, labels, help) */
#define FAMILIES(X)                                                                                        \
    X(FAMILY_SESSIONS, gauge, "sessions", "side, bind_type, state; link, carrier, platform for side smsc", \
      "SMPP sessions.")                                                                                    \
    X(FAMILY_PDUS, counter, "pdus_total", "side, direction, command; status for responses",                \
      "PDUs read from (in) and written to (out) clients and SMSCs.")                                       \
    X(FAMILY_RESPONSE_TIME, histogram, "link_response_time_seconds", "link, carrier, platform, le",        \
      "Time from a request to the SMSC until its response.")                                               \
    X(FAMILY_REFUSED, counter, "refused_total", "cause", "Requests that the proxy itself refused.")        \
    X(FAMILY_WAITED, counter, "waited_total", "reason, outcome",                                           \
      "Messages kept back, or to be kept back, and what became of them.")                                  \
    X(FAMILY_CARRIER_CHOICES, counter, "carrier_choices_total", "step",                                    \
      "Destinations by what said which carrier serves them.")                                              \
    X(FAMILY_NUMBERS, gauge, "portability_table_info", "version, checksum",                                \
      "1, labelled with the version of the portability table in use.")                                     \
    X(FAMILY_SESSION_REFUSED, counter, "session_refused_total", "reason",                                  \
      "PDUs that a session's state machine refused or dropped.")                                           \
    X(FAMILY_ENDED, counter, "sessions_timed_out_total", "side, reason", "Sessions ended by a timer.")     \
    X(FAMILY_STREAM_ENDS, counter, "connections_ended_total", "side, end",                                 \
      "Connections that have ended, by what ended them.")                                                  \
    X(FAMILY_TLS_EVENTS, counter, "tls_events_total", "side, kind",                                        \
      "What TLS peers did after the handshake beside sending data at a measure.")                          \
    X(FAMILY_STORE_STATE, gauge, "store_state", "state", "1 for the state of the connection to Redis.")    \
    X(FAMILY_START_TIME, gauge, "start_time_seconds", "", "Start of the process, in seconds since 1970.")  \
    X(FAMILY_BUILD, gauge, "build_info", "version", "1, labelled with the version.")

struct family {
    const char *name;
    enum kind kind;
    const char *labels, *help;
};
#define FAMILY_ENUM(id, kind, name, labels, help) id,
enum family_id { FAMILIES(FAMILY_ENUM) FAMILY_COUNT };
#define FAMILY_ROW(id, kind, name, labels, help) {name, kind, labels, help},
static const struct family families[] = {FAMILIES(FAMILY_ROW)};

static const char *const kind_names[] = {"counter", "gauge", "gauge", "histogram"};
static const char *const side_names[SIDE_COUNT] = {"client", "smsc"};
static const char *const direction_names[DIRECTION_COUNT] = {"in", "out"};
static const char *const bind_type_names[METRICS_BIND_TYPES] = {"none", "transmitter", "receiver",
                                                                "transceiver"};
enum { TYPE_TRANSMITTER = 1, TYPE_RECEIVER, TYPE_TRANSCEIVER };

#define REFUSED_LABEL(id, label, help) label,
static const char *const refused_names[] = {REFUSED_CAUSES(REFUSED_LABEL)};
#define REFUSED_HELP(id, label, help) help,
static const char *const refused_helps[] = {REFUSED_CAUSES(REFUSED_HELP)};

#define TERM(id, label, help) {label, help},
static const struct term {
    const char *name, *help;
} wait_reasons[] = {WAIT_REASONS(TERM)}, wait_outcomes[] = {WAIT_OUTCOMES(TERM)},
  stream_ends[] = {STREAM_ENDS(TERM)}, tls_events[] = {TLS_EVENTS(TERM)};

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

typedef uint64_t session_cells[METRICS_BIND_TYPES][SMPP_STATE_COUNT];
typedef bool session_seen[METRICS_BIND_TYPES][SMPP_STATE_COUNT];

/* A link as labels tell of it. Main thread. */
struct label {
    char *link; /* NULL: no config that was seen has it */
    uint8_t carrier, platform;
    bool shown; /* in the text being made */
    session_seen seen;
};

struct metrics {
    unsigned workers;
    session_seen clients_seen;
    struct label labels[CONFIG_LINKS_MAX];
    struct metrics_worker *blocks[]; /* each on cache lines of its own */
};

const char *refused_name(enum refused cause)
{
    return cause < REFUSED_COUNT ? refused_names[cause] : "?";
}

const char *metrics_bind_type_name(unsigned index)
{
    return bind_type_names[index];
}

unsigned metrics_bind_type(uint32_t bind_id)
{
    switch (bind_id) {
    case SMPP_BIND_TRANSMITTER: return TYPE_TRANSMITTER;
    case SMPP_BIND_RECEIVER: return TYPE_RECEIVER;
    case SMPP_BIND_TRANSCEIVER: return TYPE_TRANSCEIVER;
    default: return 0;
    }
}

/* --- blocks ----------------------------------------------------------------------------------- */

static void *block_new(size_t size)
{
    size_t whole = (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    void *block = aligned_alloc(CACHE_LINE, whole);
    if (block != NULL)
        memset(block, 0, whole);
    return block;
}

struct metrics *metrics_new(unsigned workers)
{
    struct metrics *metrics = calloc(1, sizeof *metrics + workers * sizeof(struct metrics_worker *));
    if (metrics == NULL)
        return NULL;
    for (unsigned i = 0; i < workers; i++) {
        metrics->blocks[i] = block_new(sizeof(struct metrics_worker));
        metrics->workers = i + 1;
        if (metrics->blocks[i] == NULL) {
            metrics_free(metrics);
            return NULL;
        }
    }
    return metrics;
}

static void worker_free(struct metrics_worker *worker)
{
    if (worker == NULL)
        return;
    for (unsigned i = 0; i < CONFIG_LINKS_MAX; i++)
        free(atomic_load_explicit(&worker->links[i], memory_order_relaxed));
    free(worker);
}

void metrics_free(struct metrics *metrics)
{
    if (metrics == NULL)
        return;
    for (unsigned i = 0; i < metrics->workers; i++)
        worker_free(metrics->blocks[i]);
    for (unsigned i = 0; i < CONFIG_LINKS_MAX; i++)
        free(metrics->labels[i].link);
    free(metrics);
}

struct metrics_worker *metrics_of(struct metrics *metrics, unsigned worker)
{
    return worker < metrics->workers ? metrics->blocks[worker] : NULL;
}

/* Release, so that the main thread finds the block zeroed. */
struct metrics_link *metrics_link(struct metrics_worker *worker, unsigned link)
{
    if (link >= CONFIG_LINKS_MAX)
        return NULL;
    struct metrics_link *block = atomic_load_explicit(&worker->links[link], memory_order_relaxed);
    if (block != NULL)
        return block;
    block = block_new(sizeof *block);
    if (block != NULL)
        atomic_store_explicit(&worker->links[link], block, memory_order_release);
    return block;
}

static struct metrics_link *link_block(const struct metrics *metrics, unsigned worker, unsigned link)
{
    return atomic_load_explicit(&metrics->blocks[worker]->links[link], memory_order_acquire);
}

static uint64_t value_at(void *block, size_t offset)
{
    return metric_get((metric *)(void *)((char *)block + offset));
}

/* --- histogram -------------------------------------------------------------------------------- */

/* Bucket 0 ends at 2^10 ns; then each octave has two, split at one and a half. The bounds belong to their
 * buckets (le), hence the decrement. */
static unsigned bucket_of(uint64_t ns)
{
    uint64_t below = ns > 0 ? ns - 1 : 0;
    if (below >> HISTOGRAM_FIRST_BIT == 0)
        return 0;
    if (below >> HISTOGRAM_LAST_BIT != 0)
        return HISTOGRAM_BUCKETS - 1;
    unsigned bit = 63 - (unsigned)__builtin_clzll(below);
    unsigned half = (unsigned)(below >> (bit - 1)) & 1;
    return 1 + 2 * (bit - HISTOGRAM_FIRST_BIT) + half;
}

uint64_t histogram_bound(unsigned bucket)
{
    if (bucket >= HISTOGRAM_BUCKETS - 1)
        return UINT64_MAX;
    uint64_t octave = 1ULL << (HISTOGRAM_FIRST_BIT + bucket / 2);
    return bucket % 2 == 0 ? octave : octave + octave / 2;
}

/* Released in this order: whoever reads (acquire) a sum that is being made anew sees that count has moved on.
 * On x86 all of them are plain loads and stores. */
void histogram_add(struct histogram *h, uint64_t ns)
{
    struct histogram_bucket *bucket = &h->bucket[bucket_of(ns)];
    uint64_t count = metric_get(&bucket->count);
    uint64_t sum_ns = metric_get(&bucket->sum_ns[count % 2]) + ns;
    atomic_store_explicit(&bucket->sum_ns[(count + 1) % 2], sum_ns, memory_order_release);
    atomic_store_explicit(&bucket->count, count + 1, memory_order_release);
}

struct histogram_copy {
    uint64_t count[HISTOGRAM_BUCKETS];
    uint64_t sum_ns;
};

static bool bucket_try(struct histogram_bucket *bucket, uint64_t *count, uint64_t *sum_ns)
{
    *count = atomic_load_explicit(&bucket->count, memory_order_acquire);
    *sum_ns = atomic_load_explicit(&bucket->sum_ns[*count % 2], memory_order_acquire);
    return metric_get(&bucket->count) == *count;
}

/* A try fails only if a worker completes an observation within its three loads; that many in a row do not. */
static void histogram_collect(struct histogram *h, struct histogram_copy *copy)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t count, sum_ns;
        for (int tries = 0; !bucket_try(&h->bucket[i], &count, &sum_ns) && tries < SNAPSHOT_TRIES; tries++)
            ;
        copy->count[i] += count;
        copy->sum_ns += sum_ns;
    }
}

/* --- sums over workers ------------------------------------------------------------------------ */

static uint64_t worker_sum(const struct metrics *metrics, size_t offset)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < metrics->workers; i++)
        sum += value_at(metrics->blocks[i], offset);
    return sum;
}

static uint64_t worker_lowest(const struct metrics *metrics, size_t offset)
{
    uint64_t lowest = metrics->workers > 0 ? UINT64_MAX : 0;
    for (unsigned i = 0; i < metrics->workers; i++) {
        uint64_t value = value_at(metrics->blocks[i], offset);
        lowest = value < lowest ? value : lowest;
    }
    return lowest;
}

static uint64_t link_sum(const struct metrics *metrics, unsigned link, size_t offset)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < metrics->workers; i++) {
        struct metrics_link *block = link_block(metrics, i, link);
        sum += block != NULL ? value_at(block, offset) : 0;
    }
    return sum;
}

static void link_sessions(const struct metrics *metrics, unsigned link, session_cells cells)
{
    for (unsigned type = 0; type < METRICS_BIND_TYPES; type++) {
        for (unsigned state = 0; state < SMPP_STATE_COUNT; state++)
            cells[type][state] =
                link_sum(metrics, link, offsetof(struct metrics_link, sessions[type][state]));
    }
}

static void client_sessions(const struct metrics *metrics, session_cells cells)
{
    for (unsigned type = 0; type < METRICS_BIND_TYPES; type++) {
        for (unsigned state = 0; state < SMPP_STATE_COUNT; state++)
            cells[type][state] = worker_sum(metrics, offsetof(struct metrics_worker, sessions[type][state]));
    }
}

/* A session that is closed is none any more. */
static bool any_session(session_cells cells)
{
    for (unsigned type = 0; type < METRICS_BIND_TYPES; type++) {
        for (unsigned state = 0; state < SMPP_CLOSED; state++) {
            if (cells[type][state] != 0)
                return true;
        }
    }
    return false;
}

uint64_t metrics_lost(struct metrics *metrics, unsigned link)
{
    return link < CONFIG_LINKS_MAX ? link_sum(metrics, link, offsetof(struct metrics_link, losses)) : 0;
}

uint64_t metrics_in_flight(struct metrics *metrics)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < CONFIG_LINKS_MAX; i++)
        sum += link_sum(metrics, i, offsetof(struct metrics_link, window_used));
    return sum;
}

/* --- labels of links -------------------------------------------------------------------------- */

static const struct config_link *config_link_at(const struct config *config, unsigned link)
{
    return link < config->link_at_count ? config->link_at[link] : NULL;
}

/* A link's name comes from a file. What is not ASCII or cannot be seen is written as its number, so that no
 * name spoils a whole scrape. NULL without memory. */
static char *visible(const char *name)
{
    char *made = malloc(strlen(name) * 3 + 1);
    if (made == NULL)
        return NULL;
    char *to = made;
    for (const unsigned char *p = (const unsigned char *)name; *p != '\0'; p++) {
        if (*p < 0x20 || *p >= 0x7F)
            to += sprintf(to, "%%%02X", *p);
        else
            *to++ = (char)*p;
    }
    *to = '\0';
    return made;
}

/* An index keeps its name for the life of the process, but not its carrier and platform. */
static void label_take(struct label *label, const struct config_link *link)
{
    if (label->link == NULL)
        label->link = visible(link->name);
    label->carrier = link->carrier;
    label->platform = link->platform;
}

static void labels_refresh(struct metrics *metrics, const struct config *config)
{
    for (unsigned i = 0; i < CONFIG_LINKS_MAX; i++) {
        struct label *label = &metrics->labels[i];
        const struct config_link *link = config_link_at(config, i);
        session_cells cells;
        if (link != NULL)
            label_take(label, link);
        else if (label->link != NULL)
            link_sessions(metrics, i, cells);
        label->shown = label->link != NULL && (link != NULL || any_session(cells));
        if (!label->shown)
            memset(label->seen, 0, sizeof label->seen);
    }
}

/* --- text ------------------------------------------------------------------------------------- */

struct text {
    FILE *out;
    struct metrics *metrics;
    const struct names *names;
};

static void put_head(FILE *out, const char *name, enum kind kind, const char *help)
{
    fprintf(out, "# HELP turnout_%s %s\n# TYPE turnout_%s %s\n", name, help, name, kind_names[kind]);
}

static const char *put_family(FILE *out, enum family_id id)
{
    put_head(out, families[id].name, families[id].kind, families[id].help);
    return families[id].name;
}

/* Of what may stand in a label's value, these two have a meaning. */
static void put_escaped(FILE *out, const char *value)
{
    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '\\' || *p == '"')
            fputc('\\', out);
        fputc(*p, out);
    }
}

static void put_link_labels(const struct text *t, unsigned link)
{
    const struct label *label = &t->metrics->labels[link];
    fputs("link=\"", t->out);
    put_escaped(t->out, label->link);
    fprintf(t->out, "\",carrier=\"%s\",platform=\"%s\"", names_get(t->names, label->carrier),
            names_get(t->names, label->platform));
}

static void put_process_rows(FILE *out, const struct metrics_process *process)
{
    for (size_t i = 0; i < COUNT(process_rows); i++) {
        const struct row *row = &process_rows[i];
        uint64_t value;
        memcpy(&value, (const char *)process + row->offset, sizeof value);
        put_head(out, row->name, row->kind, row->help);
        fprintf(out, "turnout_%s %" PRIu64 "\n", row->name, value);
    }
}

static void put_process(FILE *out, const struct metrics_process *process)
{
    put_process_rows(out, process);
    const char *name = put_family(out, FAMILY_STORE_STATE);
    for (unsigned i = 0; i < STORE_STATE_COUNT; i++) {
        fprintf(out, "turnout_%s{state=\"%s\"} %d\n", name, store_state_name((enum store_state)i),
                process->store_state == i);
    }
    name = put_family(out, FAMILY_START_TIME);
    fprintf(out, "turnout_%s %.3f\n", name, process->start_time);
    name = put_family(out, FAMILY_BUILD);
    fprintf(out, "turnout_%s{version=\"%s\"} 1\n", name, TURNOUT_VERSION);
}

static void put_workers(const struct text *t)
{
    for (size_t i = 0; i < COUNT(worker_rows); i++) {
        const struct row *row = &worker_rows[i];
        uint64_t value = row->kind == gauge_lowest ? worker_lowest(t->metrics, row->offset)
                                                   : worker_sum(t->metrics, row->offset);
        put_head(t->out, row->name, row->kind, row->help);
        fprintf(t->out, "turnout_%s %" PRIu64 "\n", row->name, value);
    }
}

static void put_links(const struct text *t)
{
    for (size_t i = 0; i < COUNT(link_rows); i++) {
        const struct row *row = &link_rows[i];
        put_head(t->out, row->name, row->kind, row->help);
        for (unsigned link = 0; link < CONFIG_LINKS_MAX; link++) {
            if (!t->metrics->labels[link].shown)
                continue;
            fprintf(t->out, "turnout_%s{", row->name);
            put_link_labels(t, link);
            fprintf(t->out, "} %" PRIu64 "\n", link_sum(t->metrics, link, row->offset));
        }
    }
}

static void put_refusals(const struct text *t)
{
    const char *name = put_family(t->out, FAMILY_REFUSED);
    for (unsigned i = 0; i < REFUSED_COUNT; i++) {
        fprintf(t->out, "turnout_%s{cause=\"%s\"} %" PRIu64 "\n", name, refused_names[i],
                worker_sum(t->metrics, offsetof(struct metrics_worker, refused[i])));
    }
    name = put_family(t->out, FAMILY_SESSION_REFUSED);
    for (unsigned i = SMPP_REFUSED_NOT + 1; i < SMPP_REFUSAL_COUNT; i++) {
        fprintf(t->out, "turnout_%s{reason=\"%s\"} %" PRIu64 "\n", name,
                smpp_refusal_name((enum smpp_refusal)i),
                worker_sum(t->metrics, offsetof(struct metrics_worker, refused_by_session[i])));
    }
}

static void put_waited(const struct text *t)
{
    const char *name = put_family(t->out, FAMILY_WAITED);
    for (unsigned reason = 0; reason < WAIT_REASON_COUNT; reason++) {
        for (unsigned outcome = 0; outcome < WAIT_OUTCOME_COUNT; outcome++) {
            fprintf(t->out, "turnout_%s{reason=\"%s\",outcome=\"%s\"} %" PRIu64 "\n", name,
                    wait_reasons[reason].name, wait_outcomes[outcome].name,
                    worker_sum(t->metrics, offsetof(struct metrics_worker, waited[reason][outcome])));
        }
    }
}

static void put_carrier_choices(const struct text *t, const struct config *config)
{
    const char *name = put_family(t->out, FAMILY_CARRIER_CHOICES);
    for (unsigned i = 0; i < CARRIER_STEP_COUNT; i++) {
        fprintf(t->out, "turnout_%s{step=\"%s\"} %" PRIu64 "\n", name,
                carrier_step_label((enum carrier_step)i),
                worker_sum(t->metrics, offsetof(struct metrics_worker, carrier_choices[i])));
    }
    name = put_family(t->out, FAMILY_NUMBERS);
    if (config->numbers == NULL)
        return;
    struct numbers_about about = numbers_about(config->numbers);
    fprintf(t->out, "turnout_%s{version=\"", name);
    put_escaped(t->out, about.version);
    fprintf(t->out, "\",checksum=\"%016" PRIx64 "\"} 1\n", about.checksum);
}

static void put_ended(const struct text *t)
{
    const char *name = put_family(t->out, FAMILY_ENDED);
    for (unsigned side = 0; side < SIDE_COUNT; side++) {
        for (unsigned due = SMPP_DUE_END_INIT; due < SMPP_DUE_COUNT; due++) {
            fprintf(t->out, "turnout_%s{side=\"%s\",reason=\"%s\"} %" PRIu64 "\n", name, side_names[side],
                    smpp_due_name((enum smpp_due)due),
                    worker_sum(t->metrics, offsetof(struct metrics_worker, ended[side][due])));
        }
    }
}

static void put_by_side(const struct text *t, enum family_id family, const char *label,
                        const struct term *terms, size_t count, size_t offset)
{
    const char *name = put_family(t->out, family);
    for (unsigned side = 0; side < SIDE_COUNT; side++) {
        for (size_t i = 0; i < count; i++) {
            fprintf(t->out, "turnout_%s{side=\"%s\",%s=\"%s\"} %" PRIu64 "\n", name, side_names[side], label,
                    terms[i].name, worker_sum(t->metrics, offset + (side * count + i) * sizeof(metric)));
        }
    }
}

static void put_connections(const struct text *t)
{
    put_by_side(t, FAMILY_STREAM_ENDS, "end", stream_ends, COUNT(stream_ends),
                offsetof(struct metrics_worker, stream_ends));
    put_by_side(t, FAMILY_TLS_EVENTS, "kind", tls_events, COUNT(tls_events),
                offsetof(struct metrics_worker, tls_events));
}

/* Each type in its bound state is always there; other cells once they were seen. */
static bool cell_shown(session_cells cells, session_seen seen, unsigned type, unsigned state)
{
    bool own = (type == TYPE_TRANSMITTER && state == SMPP_BOUND_TX) ||
               (type == TYPE_RECEIVER && state == SMPP_BOUND_RX) ||
               (type == TYPE_TRANSCEIVER && state == SMPP_BOUND_TRX);
    if (own || cells[type][state] != 0)
        seen[type][state] = true;
    return seen[type][state] && state != SMPP_CLOSED;
}

static void put_cells(const struct text *t, enum metrics_side side, unsigned link, session_cells cells,
                      session_seen seen)
{
    for (unsigned type = 0; type < METRICS_BIND_TYPES; type++) {
        for (unsigned state = 0; state < SMPP_STATE_COUNT; state++) {
            if (!cell_shown(cells, seen, type, state))
                continue;
            fprintf(t->out, "turnout_%s{side=\"%s\",", families[FAMILY_SESSIONS].name, side_names[side]);
            if (side == SIDE_SMSC) {
                put_link_labels(t, link);
                fputc(',', t->out);
            }
            fprintf(t->out, "bind_type=\"%s\",state=\"%s\"} %" PRIu64 "\n", bind_type_names[type],
                    smpp_state_name((enum smpp_state)state), cells[type][state]);
        }
    }
}

static void put_sessions(const struct text *t)
{
    session_cells cells;
    put_family(t->out, FAMILY_SESSIONS);
    client_sessions(t->metrics, cells);
    put_cells(t, SIDE_CLIENT, 0, cells, t->metrics->clients_seen);
    for (unsigned link = 0; link < CONFIG_LINKS_MAX; link++) {
        struct label *label = &t->metrics->labels[link];
        if (!label->shown)
            continue;
        link_sessions(t->metrics, link, cells);
        put_cells(t, SIDE_SMSC, link, cells, label->seen);
    }
}

static void put_pdu(const struct text *t, unsigned side, unsigned direction, unsigned command,
                    const char *status, uint64_t count)
{
    if (count == 0)
        return; /* a counter that was shown is never 0 again */
    fprintf(t->out, "turnout_%s{side=\"%s\",direction=\"%s\",command=\"%s\"", families[FAMILY_PDUS].name,
            side_names[side], direction_names[direction], smpp_command_name_at(command));
    if (status != NULL)
        fprintf(t->out, ",status=\"%s\"", status);
    fprintf(t->out, "} %" PRIu64 "\n", count);
}

static void put_pdus_of(const struct text *t, unsigned side, unsigned direction, unsigned command)
{
    size_t requests = offsetof(struct metrics_worker, pdus[side][direction].requests[command]);
    put_pdu(t, side, direction, command, NULL, worker_sum(t->metrics, requests));
    for (unsigned status = 0; status < smpp_status_count() && status < METRICS_STATUS_MAX; status++) {
        size_t responses = offsetof(struct metrics_worker, pdus[side][direction].responses[command][status]);
        put_pdu(t, side, direction, command, smpp_status_name_at(status), worker_sum(t->metrics, responses));
    }
}

static void put_pdus(const struct text *t)
{
    put_family(t->out, FAMILY_PDUS);
    for (unsigned side = 0; side < SIDE_COUNT; side++) {
        for (unsigned direction = 0; direction < DIRECTION_COUNT; direction++) {
            for (unsigned command = 0; command < SMPP_COMMAND_COUNT; command++)
                put_pdus_of(t, side, direction, command);
        }
    }
}

static void put_seconds(FILE *out, uint64_t ns)
{
    enum { NS_PER_S = 1000000000 };
    fprintf(out, "%" PRIu64 ".%09" PRIu64, ns / NS_PER_S, ns % NS_PER_S);
}

static void put_bucket(const struct text *t, unsigned link, unsigned bucket, uint64_t count)
{
    fprintf(t->out, "turnout_%s_bucket{", families[FAMILY_RESPONSE_TIME].name);
    put_link_labels(t, link);
    fputs(",le=\"", t->out);
    if (bucket == HISTOGRAM_BUCKETS - 1)
        fputs("+Inf", t->out);
    else
        put_seconds(t->out, histogram_bound(bucket));
    fprintf(t->out, "\"} %" PRIu64 "\n", count);
}

static void put_histogram(const struct text *t, unsigned link)
{
    struct histogram_copy sum = {.sum_ns = 0};
    for (unsigned i = 0; i < t->metrics->workers; i++) {
        struct metrics_link *block = link_block(t->metrics, i, link);
        if (block != NULL)
            histogram_collect(&block->response_time, &sum);
    }
    uint64_t count = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        count += sum.count[i];
        put_bucket(t, link, i, count);
    }
    fprintf(t->out, "turnout_%s_sum{", families[FAMILY_RESPONSE_TIME].name);
    put_link_labels(t, link);
    fputs("} ", t->out);
    put_seconds(t->out, sum.sum_ns);
    fprintf(t->out, "\nturnout_%s_count{", families[FAMILY_RESPONSE_TIME].name);
    put_link_labels(t, link);
    fprintf(t->out, "} %" PRIu64 "\n", count);
}

static void put_histograms(const struct text *t)
{
    put_family(t->out, FAMILY_RESPONSE_TIME);
    for (unsigned link = 0; link < CONFIG_LINKS_MAX; link++) {
        if (t->metrics->labels[link].shown)
            put_histogram(t, link);
    }
}

char *metrics_text(struct metrics *metrics, const struct config *config, const struct names *names,
                   const struct metrics_process *process, size_t *len)
{
    struct memory_text page;
    struct text t = {.out = memory_text_open(&page), .metrics = metrics, .names = names};
    if (t.out == NULL)
        return NULL;
    labels_refresh(metrics, config);
    put_process(t.out, process);
    put_workers(&t);
    put_refusals(&t);
    put_waited(&t);
    put_carrier_choices(&t, config);
    put_ended(&t);
    put_connections(&t);
    put_sessions(&t);
    put_pdus(&t);
    put_links(&t);
    put_histograms(&t);
    return memory_text_close(&page, len);
}

/* --- JSON ------------------------------------------------------------------------------------- */

/* label NULL: sessions of clients, which have no link. */
static json_t *json_cell(const struct label *label, const struct names *names, unsigned type, unsigned state,
                         uint64_t count)
{
    json_t *cell = json_pack(
        "{s:s, s:s, s:s, s:I}", "side", side_names[label != NULL ? SIDE_SMSC : SIDE_CLIENT], "bind_type",
        bind_type_names[type], "state", smpp_state_name((enum smpp_state)state), "count", (json_int_t)count);
    if (label == NULL || cell == NULL)
        return cell;
    json_object_set_new(cell, "link", json_string(label->link));
    json_object_set_new(cell, "carrier", json_string(names_get(names, label->carrier)));
    json_object_set_new(cell, "platform", json_string(names_get(names, label->platform)));
    return cell;
}

static void json_cells(json_t *array, const struct label *label, const struct names *names,
                       session_cells cells)
{
    for (unsigned type = 0; type < METRICS_BIND_TYPES; type++) {
        for (unsigned state = 0; state < SMPP_CLOSED; state++) {
            if (cells[type][state] != 0)
                json_array_append_new(array, json_cell(label, names, type, state, cells[type][state]));
        }
    }
}

char *metrics_sessions_json(struct metrics *metrics, const struct config *config, const struct names *names)
{
    session_cells cells;
    json_t *array = json_array();
    if (array == NULL)
        return NULL;
    labels_refresh(metrics, config);
    client_sessions(metrics, cells);
    json_cells(array, NULL, names, cells);
    for (unsigned i = 0; i < CONFIG_LINKS_MAX; i++) {
        if (!metrics->labels[i].shown)
            continue;
        link_sessions(metrics, i, cells);
        json_cells(array, &metrics->labels[i], names, cells);
    }
    char *text = json_dumps(array, JSON_COMPACT);
    json_decref(array);
    return text;
}

/* --- reference -------------------------------------------------------------------------------- */

static void print_row(const char *name, enum kind kind, const char *labels, const char *help)
{
    printf("| `turnout_%s` | %s | %s | %s |\n", name, kind_names[kind], labels, help);
}

static void print_rows(const struct row *rows, size_t count, const char *labels)
{
    for (size_t i = 0; i < count; i++)
        print_row(rows[i].name, rows[i].kind, labels, rows[i].help);
}

static void print_terms(const char *what, const struct term *terms, size_t count)
{
    printf("\n| %s | meaning |\n|---|---|\n", what);
    for (size_t i = 0; i < count; i++)
        printf("| `%s` | %s |\n", terms[i].name, terms[i].help);
}

void metrics_print_reference(void)
{
    printf("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    print_rows(process_rows, COUNT(process_rows), "");
    print_rows(worker_rows, COUNT(worker_rows), "");
    for (unsigned i = 0; i < FAMILY_COUNT; i++)
        print_row(families[i].name, families[i].kind, families[i].labels, families[i].help);
    print_rows(link_rows, COUNT(link_rows), "link, carrier, platform");
    printf("\n| cause of a refusal | meaning |\n|---|---|\n");
    for (unsigned i = 0; i < REFUSED_COUNT; i++)
        printf("| `%s` | %s |\n", refused_names[i], refused_helps[i]);
    print_terms("reason of waiting", wait_reasons, COUNT(wait_reasons));
    print_terms("outcome of waiting", wait_outcomes, COUNT(wait_outcomes));
    print_terms("end of a connection", stream_ends, COUNT(stream_ends));
    print_terms("kind of TLS event", tls_events, COUNT(tls_events));
}
