/* See preflight.h. */
#include "proxy/preflight.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proxy/inquiry.h"
#include "proxy/probe.h"
#include "proxy/survey.h"
#include "smpp/constants.h"

enum { TIMEOUT_MIN_MS = 100, TIMEOUT_MAX_MS = 600000, TIMEOUT_MS = 5000 };
#define MS 1000000ULL

struct flight;

/* A probe on its way to a worker and back. */
struct attempt {
    struct letter letter;
    struct flight *flight;
    struct probe_order order;
    struct probe_result result;
    unsigned worker;
    json_t *tells; /* the objects that its outcome goes into */
};

/* One question, from its survey to its answer. */
struct flight {
    const struct inquiry_source *source;
    struct question *question;
    json_t *request, *answer;
    unsigned awaited, left_out, attempts_count;
    struct attempt attempts[PREFLIGHT_PROBES];
};

static const struct config *config_of(const struct flight *flight)
{
    return flight->source->bundle(flight->source->ctx)->config;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text == NULL ? "" : text;
}

static void put(json_t *object, const char *name, json_t *value)
{
    (void)json_object_set_new(object, name, value);
}

static const struct config_link *link_of(const struct flight *flight)
{
    return inquiry_link(config_of(flight), text_of(flight->request, "carrier"),
                        text_of(flight->request, "to"));
}

static uint64_t limit_of(const json_t *request)
{
    const json_t *value = json_object_get(request, "timeout_ms");
    json_int_t ms = json_is_integer(value) ? json_integer_value(value) : TIMEOUT_MS;
    ms = ms < TIMEOUT_MIN_MS ? TIMEOUT_MIN_MS : ms > TIMEOUT_MAX_MS ? TIMEOUT_MAX_MS : ms;
    return (uint64_t)ms * MS;
}

/* Ends it: whatever is in answer is answered. */
static void finish(struct flight *flight)
{
    for (unsigned i = 0; i < flight->attempts_count; i++) {
        json_decref(flight->attempts[i].tells);
    }
    question_answer(flight->question, flight->answer);
    json_decref(flight->request);
    free(flight);
}

/* --- probes --------------------------------------------------------------------------------------------- */

static void put_ms(json_t *object, const char *name, uint64_t ns)
{
    if (ns > 0) {
        put(object, name, json_real((double)ns / (double)MS));
    }
}

/* What a probe found, into one object. */
static void put_result(json_t *object, const struct probe_result *result)
{
    bool fine = result->step == PROBE_DONE;
    put(object, "verdict", json_string(fine ? "bindable" : "failed"));
    put_ms(object, "connect_ms", result->connect_ns);
    put_ms(object, "bind_ms", result->bind_ns);
    put_ms(object, "round_trip_ms", result->round_trip_ns);
    if (!fine) {
        json_t *why = json_string(result->why); /* it may quote a peer */
        put(object, "why", why == NULL ? json_string(probe_step_name(result->step)) : why);
    }
    if (result->command_status != 0) {
        put(object, "command_status", json_integer(result->command_status));
    }
}

static json_t *peer_text(const char *text)
{
    json_t *json = json_string(text);
    return json == NULL ? json_string("?") : json;
}

static void put_message(json_t *object, const struct probe_result *result)
{
    put(object, "step", json_string(probe_step_name(result->step)));
    put_ms(object, "answer_ms", result->answer_ns);
    put_ms(object, "receipt_ms", result->receipt_ns);
    put(object, "message_id", peer_text(result->message_id));
    put(object, "receipt", peer_text(result->receipt));
}

static void open_attempt(void *main, struct letter *letter)
{
    struct attempt *attempt = (struct attempt *)letter;
    struct flight *flight = attempt->flight;
    size_t i;
    json_t *object;
    (void)main;
    json_array_foreach(attempt->tells, i, object)
    {
        put_result(object, &attempt->result);
        if (attempt->order.source[0] != '\0') {
            put_message(object, &attempt->result);
        }
    }
    if (--flight->awaited == 0) {
        finish(flight);
    }
}

static void post_attempt(struct attempt *attempt)
{
    attempt->letter.open = open_attempt;
    mailbox_post(attempt->flight->source->main, &attempt->letter);
}

static void probed_in_worker(void *ctx, const struct probe_result *result)
{
    struct attempt *attempt = ctx;
    attempt->result = *result;
    post_attempt(attempt);
}

static void probe_in_worker(struct worker *w, void *arg)
{
    struct attempt *attempt = arg;
    if (!probe_start(w, &attempt->order, probed_in_worker, attempt, &attempt->result)) {
        post_attempt(attempt);
    }
}

/* As a leg of this client would bind: as its sessions are bound, else as they may. */
static uint32_t bind_id_of(const struct config *config, int client, const struct survey_client *row)
{
    static const uint32_t binds[METRICS_BIND_TYPES] = {0, SMPP_BIND_TRANSMITTER, SMPP_BIND_RECEIVER,
                                                       SMPP_BIND_TRANSCEIVER};
    static const unsigned may[METRICS_BIND_TYPES] = {0, BIND_TRANSMITTER, BIND_RECEIVER, BIND_TRANSCEIVER};
    const struct config_client *account = client == PROBE_NO_CLIENT ? NULL : config->client_at[client];
    for (unsigned i = METRICS_BIND_TYPES - 1; i > 0; i--) {
        if (row != NULL ? row->sessions[i] > 0 : account == NULL || (account->bind_types & may[i]) != 0) {
            return binds[i];
        }
    }
    return SMPP_BIND_TRANSCEIVER;
}

/* An attempt for a client (or PROBE_NO_CLIENT) whose outcome goes into object. NULL where there is no room. */
static struct attempt *add_attempt(struct flight *flight, const struct config_link *link, int client,
                                   const struct survey_client *row, json_t *object)
{
    if (flight->attempts_count == PREFLIGHT_PROBES) {
        return NULL;
    }
    struct attempt *attempt = &flight->attempts[flight->attempts_count++];
    *attempt = (struct attempt){.flight = flight, .worker = row == NULL ? 0 : row->worker};
    attempt->order = (struct probe_order){.link = link->index,
                                          .client = client,
                                          .bind_id = bind_id_of(config_of(flight), client, row),
                                          .limit = limit_of(flight->request)};
    attempt->tells = json_pack("[O]", object);
    return attempt;
}

/* Sends the attempts to their workers, or answers where there is none. */
static void begin_attempts(struct flight *flight)
{
    if (flight->attempts_count > 0) {
        question_working(flight->question);
    }
    flight->awaited = 1;
    for (unsigned i = 0; i < flight->attempts_count; i++) {
        struct attempt *attempt = &flight->attempts[i];
        if (thread_call(flight->source->threads[attempt->worker], probe_in_worker, attempt)) {
            flight->awaited++;
        } else {
            size_t at;
            json_t *object;
            json_array_foreach(attempt->tells, at, object)
            {
                put(object, "verdict", json_string("untried"));
                put(object, "why", json_string("the instance is ending"));
            }
        }
    }
    if (--flight->awaited == 0) {
        finish(flight);
    }
}

/* --- whom it touches ------------------------------------------------------------------------------------ */

static int by_text(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* The shortcodes asked for, sorted: texts of the request. NULL without memory, or where there are none. */
static const char **sorted_shortcodes(const json_t *request, size_t *count)
{
    const json_t *array = json_object_get(request, "shortcodes");
    const char **list = calloc(json_array_size(array) + 1, sizeof *list);
    size_t i;
    json_t *value;
    *count = 0;
    json_array_foreach(array, i, value)
    {
        const char *text = json_string_value(value);
        if (list != NULL && text != NULL) {
            list[(*count)++] = text;
        }
    }
    if (list != NULL && *count > 0) {
        qsort(list, *count, sizeof *list, by_text);
    }
    return list;
}

static bool has(const char *const *list, size_t count, const char *text)
{
    return bsearch(&text, list, count, sizeof *list, by_text) != NULL;
}

static bool touches(const struct config_client *client, const char *const *list, size_t count)
{
    bool touched = client->any_shortcode || has(list, count, "*");
    for (size_t i = 0; !touched && i < client->shortcodes_count; i++) {
        touched = has(list, count, client->shortcodes[i]);
    }
    return touched;
}

/* The links that the routes lead to today, but for the target. */
static void links_of_today(const struct flight *flight, const struct config_link *target,
                           const char *const *list, size_t count, bool from[CONFIG_LINKS_MAX])
{
    const struct table *table = flight->source->table(flight->source->ctx);
    for (size_t i = 0; table != NULL && i < count; i++) {
        struct route route;
        if (!table_lookup(table, list[i], strlen(list[i]), target->carrier, &route) ||
            route.platform >= NAMES_MAX) {
            continue;
        }
        const struct config_link *link = config_of(flight)->link_of[target->carrier][route.platform];
        if (link != NULL && link != target) {
            from[link->index] = true;
        }
    }
}

/* --- the answer ----------------------------------------------------------------------------------------- */

/* Of legs over one link, of the clients touched or of all. */
struct tally {
    unsigned legs, bound, used, size;
    uint64_t round_trip_ns;
};

static void tally_leg(struct tally *tally, const struct survey_leg *leg)
{
    for (unsigned i = 0; leg != NULL && i < LEG_ENDING; i++) {
        tally->legs += leg->states[i];
    }
    if (leg != NULL) {
        tally->bound += leg->states[LEG_BOUND];
        tally->used += leg->used;
        tally->size += leg->size;
        tally->round_trip_ns =
            leg->round_trip_ns > tally->round_trip_ns ? leg->round_trip_ns : tally->round_trip_ns;
    }
}

static void put_tally(json_t *object, const struct tally *tally)
{
    put(object, "legs", json_integer(tally->legs));
    put(object, "bound", json_integer(tally->bound));
    put(object, "window_used", json_integer(tally->used));
    put(object, "window_size", json_integer(tally->size));
    put_ms(object, "round_trip_ms", tally->round_trip_ns);
}

static void put_verdict(json_t *object, const char *verdict, const char *why)
{
    put(object, "verdict", json_string(verdict));
    if (why != NULL) {
        put(object, "why", json_string(why));
    }
}

/* A client whose leg must bind with its own credentials or password. */
static void judge_client(struct flight *flight, const struct config_link *link,
                         const struct config_client *client, const struct survey_client *row, json_t *object)
{
    if (link->credentials == CREDENTIALS_CLIENT && config_upstream(client, link->index) == NULL) {
        put_verdict(object, "failed", "the config has no credentials of this client for the link");
    } else if (link->credentials == CREDENTIALS_PASS && row == NULL) {
        put_verdict(object, "untried", "no session of it is bound here whose password could be passed on");
    } else if (add_attempt(flight, link, (int)client->index, row, object) == NULL) {
        put_verdict(object, "untried", "left out: enough others are tried");
        flight->left_out++;
    }
}

struct touched {
    struct flight *flight;
    const struct config_link *link;
    const struct survey *survey;
    bool from[CONFIG_LINKS_MAX];
    json_t *clients; /* listed */
    json_t *open;    /* of these, those without a bound leg, for a link whose credentials are its own */
    struct tally target, sources[CONFIG_LINKS_MAX];
    unsigned count, unlisted;
};

static void look_at(struct touched *t, const struct config_client *client)
{
    const struct survey_client *row = survey_client(t->survey, client->index);
    struct tally target = {0};
    tally_leg(&target, survey_leg(t->survey, client->index, t->link->index));
    tally_leg(&t->target, survey_leg(t->survey, client->index, t->link->index));
    for (unsigned i = 0; i < CONFIG_LINKS_MAX; i++) {
        if (t->from[i]) {
            tally_leg(&t->sources[i], survey_leg(t->survey, client->index, i));
        }
    }
    t->count++;
    if ((row == NULL && t->link->credentials != CREDENTIALS_CLIENT) ||
        json_array_size(t->clients) >= PREFLIGHT_CLIENTS_SHOWN) {
        t->unlisted++;
        return;
    }
    json_t *object = json_pack("{s:s, s:o, s:i, s:i}", "client", client->system_id, "sessions",
                               inquiry_sessions_json(row), "in_flight", row == NULL ? 0 : (int)row->in_flight,
                               "held", row == NULL ? 0 : (int)row->held);
    put_tally(object, &target);
    if (target.bound > 0) {
        put_verdict(object, "bound", NULL);
    } else if (t->link->credentials == CREDENTIALS_OWN) {
        json_array_append(t->open, object);
    } else {
        judge_client(t->flight, t->link, client, row, object);
    }
    json_array_append_new(t->clients, object);
}

/* Those that are bound here come first, so that they get the probes. */
static void look_at_all(struct touched *t, const char *const *list, size_t count, bool bound_here)
{
    const struct config *config = config_of(t->flight);
    for (size_t i = 0; i < config->clients_count; i++) {
        const struct config_client *client = &config->clients[i];
        bool here = survey_client(t->survey, client->index) != NULL;
        if (here == bound_here && touches(client, list, count)) {
            look_at(t, client);
        }
    }
}

/* A link with credentials of its own: one bound leg, or one probe, speaks for all. */
static void judge_link(struct touched *t)
{
    struct tally all = {0};
    json_t *object = json_object();
    for (unsigned i = 0; i < t->survey->clients_count; i++) {
        tally_leg(&all, survey_leg(t->survey, i, t->link->index));
    }
    put_tally(object, &all);
    json_array_append(t->open, object);
    if (all.bound == 0) {
        struct attempt *attempt = add_attempt(t->flight, t->link, PROBE_NO_CLIENT, NULL, object);
        json_decref(attempt->tells);
        attempt->tells = json_incref(t->open);
    } else {
        size_t i;
        json_t *one;
        json_array_foreach(t->open, i, one)
        {
            put_verdict(one, one == object ? "bound" : "bindable", NULL);
        }
    }
    put(t->flight->answer, "target", object);
}

static json_t *sources_json(const struct touched *t)
{
    const struct config *config = config_of(t->flight);
    json_t *array = json_array();
    for (unsigned i = 0; i < config->link_at_count; i++) {
        if (t->from[i] && config->link_at[i] != NULL) {
            const struct tally *tally = &t->sources[i];
            json_array_append_new(array, json_pack("{s:s, s:i, s:i, s:i}", "link", config->link_at[i]->name,
                                                   "legs", (int)tally->legs, "bound", (int)tally->bound,
                                                   "in_flight", (int)tally->used));
        }
    }
    return array;
}

/* --- what went lately ----------------------------------------------------------------------------------- */

struct busy {
    const char *shortcode;
    uint64_t hour;
};

static int by_hour(const void *left_item, const void *right_item)
{
    const struct busy *left = left_item;
    const struct busy *right = right_item;
    return left->hour < right->hour   ? 1
           : left->hour > right->hour ? -1
                                      : strcmp(left->shortcode, right->shortcode);
}

static uint64_t pending_of(const struct evidence_side *side)
{
    return side->receipts_awaited > side->receipts ? side->receipts_awaited - side->receipts : 0;
}

/* Accepted messages whose receipt has not come yet, by either platform. */
static uint64_t receipts_pending(struct witness *witness, const char *shortcode, const char *carrier)
{
    struct evidence evidence;
    return witness_cell(witness, shortcode, carrier, &evidence)
               ? pending_of(&evidence.now) + pending_of(&evidence.other)
               : 0;
}

static void put_traffic(struct flight *flight, const char *const *list, size_t count)
{
    struct witness *witness = flight->source->witness == NULL ? NULL : *flight->source->witness;
    struct busy *busy = witness == NULL ? NULL : calloc(count + 1, sizeof *busy);
    const char *carrier = text_of(flight->request, "carrier");
    json_t *rows = json_array();
    uint64_t sum = 0;
    for (size_t i = 0; busy != NULL && i < count; i++) {
        busy[i] =
            (struct busy){list[i], witness_hour(witness, list[i], carrier, (uint64_t)time(NULL) * 1000)};
        sum += busy[i].hour;
    }
    if (busy != NULL) {
        qsort(busy, count, sizeof *busy, by_hour);
    }
    for (size_t i = 0; busy != NULL && i < count && i < PREFLIGHT_TRAFFIC_SHOWN; i++) {
        json_array_append_new(rows,
                              json_pack("{s:s, s:I, s:I}", "shortcode", busy[i].shortcode, "last_hour",
                                        (json_int_t)busy[i].hour, "receipts_pending",
                                        (json_int_t)receipts_pending(witness, busy[i].shortcode, carrier)));
    }
    free(busy);
    put(flight->answer, "last_hour", json_integer((json_int_t)sum));
    put(flight->answer, "traffic", rows);
}

static void survey_for_flip(struct touched *t)
{
    static const char *const credentials[] = {
        [CREDENTIALS_OWN] = "own", [CREDENTIALS_CLIENT] = "client", [CREDENTIALS_PASS] = "pass"};
    json_t *answer = t->flight->answer;
    size_t count = 0;
    const char **list = sorted_shortcodes(t->flight->request, &count);
    if (list != NULL) {
        links_of_today(t->flight, t->link, list, count, t->from);
        look_at_all(t, list, count, true);
        look_at_all(t, list, count, false);
        put_traffic(t->flight, list, count);
    }
    free(list);
    put(answer, "link", json_string(t->link->name));
    put(answer, "credentials", json_string(credentials[t->link->credentials]));
    put(answer, "window", json_integer(t->link->window));
    put_tally(answer, &t->target);
    if (t->link->credentials == CREDENTIALS_OWN) {
        judge_link(t);
    }
    put(answer, "clients_touched", json_integer(t->count));
    put(answer, "left_out", json_integer(t->flight->left_out));
    put(answer, "unlisted", json_integer(t->unlisted));
    put(answer, "clients", json_incref(t->clients));
    put(answer, "from", sources_json(t));
}

static void surveyed(void *ctx, const struct survey *survey)
{
    struct flight *flight = ctx;
    const struct table *table = flight->source->table(flight->source->ctx);
    struct touched *t = calloc(1, sizeof *t);
    flight->answer = json_object();
    put(flight->answer, "version", json_integer(table == NULL ? 0 : (json_int_t)table_version(table)));
    put(flight->answer, "complete", json_boolean(survey->complete && t != NULL));
    put(flight->answer, "link", json_null());
    if (t != NULL && link_of(flight) != NULL) {
        *t = (struct touched){.flight = flight,
                              .link = link_of(flight),
                              .survey = survey,
                              .clients = json_array(),
                              .open = json_array()};
        survey_for_flip(t);
        json_decref(t->clients);
        json_decref(t->open);
    }
    free(t);
    begin_attempts(flight);
}

static void begin(void *ctx, struct question *question, const json_t *request,
                  void (*done)(void *ctx, const struct survey *survey))
{
    const struct inquiry_source *source = inquiry_source(ctx);
    struct flight *flight = calloc(1, sizeof *flight);
    if (flight != NULL) {
        flight->source = source;
        flight->question = question;
        flight->request = json_deep_copy(request);
    }
    if (flight == NULL || flight->request == NULL ||
        !survey_begin(source->threads, *source->threads_count, source->main, done, flight)) {
        if (flight != NULL) {
            json_decref(flight->request);
        }
        free(flight);
        question_answer(question, NULL);
    }
}

void preflight_ask(void *ctx, struct question *question, const json_t *request)
{
    begin(ctx, question, request, surveyed);
}

/* --- the test message ----------------------------------------------------------------------------------- */

static bool copy(char *to, size_t size, const char *from)
{
    size_t len = strlen(from);
    if (len < size) {
        memcpy(to, from, len + 1);
    }
    return len < size;
}

/* Whose leg it goes as: the client that is named, else one that may use the shortcode, best one that is bound
 * here. */
static const struct config_client *sender(const struct flight *flight, const struct survey *survey)
{
    const struct config *config = config_of(flight);
    const char *name = text_of(flight->request, "client");
    const char *source = text_of(flight->request, "source");
    const struct config_client *found = NULL;
    if (*name != '\0') {
        return config_client(config, (const uint8_t *)name, strlen(name));
    }
    for (size_t i = 0; i < config->clients_count; i++) {
        const struct config_client *client = &config->clients[i];
        bool bound = survey_client(survey, client->index) != NULL;
        if (config_client_owns(client, (const uint8_t *)source, strlen(source)) && (found == NULL || bound)) {
            found = client;
        }
    }
    return found;
}

/* Why it cannot be sent; NULL where it can, and is among the attempts then. */
static const char *prepare_message(struct flight *flight, const struct survey *survey)
{
    const struct config_link *link = link_of(flight);
    const struct config_client *client = sender(flight, survey);
    if (link == NULL) {
        return "there is no such link";
    }
    if (client == NULL && link->credentials != CREDENTIALS_OWN) {
        return "there is no client whose credentials it could be sent with";
    }
    const struct survey_client *row = client == NULL ? NULL : survey_client(survey, client->index);
    if (link->credentials == CREDENTIALS_PASS && row == NULL) {
        return "no session of the client is bound here whose password could be passed on";
    }
    struct attempt *attempt =
        add_attempt(flight, link, client == NULL ? PROBE_NO_CLIENT : (int)client->index, row, flight->answer);
    struct probe_order *order = &attempt->order;
    order->bind_id = SMPP_BIND_TRANSCEIVER; /* for the receipt, whatever the client binds as */
    if (!copy(order->source, sizeof order->source, text_of(flight->request, "source")) ||
        !copy(order->destination, sizeof order->destination, text_of(flight->request, "destination")) ||
        !copy(order->text, sizeof order->text, text_of(flight->request, "text")) || *order->source == '\0' ||
        *order->destination == '\0') {
        json_decref(attempt->tells);
        flight->attempts_count = 0;
        return "a shortcode, a number of at most 20 digits and a text of at most 160 octets are needed";
    }
    put(flight->answer, "client", client == NULL ? json_null() : json_string(client->system_id));
    return NULL;
}

static void surveyed_for_message(void *ctx, const struct survey *survey)
{
    struct flight *flight = ctx;
    flight->answer = json_object();
    const char *why = prepare_message(flight, survey);
    if (why != NULL) {
        put_verdict(flight->answer, "untried", why);
    }
    begin_attempts(flight);
}

void preflight_ask_message(void *ctx, struct question *question, const json_t *request)
{
    const struct inquiry_source *source = inquiry_source(ctx);
    if (strcmp(text_of(request, "instance"), source->bundle(source->ctx)->config->instance) != 0) {
        question_answer(question, json_pack("{s:b}", "other", 1));
        return;
    }
    begin(ctx, question, request, surveyed_for_message);
}
