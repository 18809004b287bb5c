/* See inquiry.h. */
#include "proxy/inquiry.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/preflight.h"
#include "proxy/survey.h"

enum { CLIENTS_SHOWN = 2000, NEEDS_SHOWN = 20, RELEASES_MAX = 16 };

/* An order to release legs, whose answers from the workers are awaited. */
struct release {
    uint64_t ticket; /* 0: free */
    struct question *question;
    unsigned awaited, ended, needed;
};

struct inquiry {
    const struct inquiry_source *source;
    struct release releases[RELEASES_MAX];
    uint64_t tickets;
};

const struct inquiry_source *inquiry_source(const struct inquiry *inquiry)
{
    return inquiry->source;
}

static const struct config *config_of(const struct inquiry *inquiry)
{
    return inquiry->source->bundle(inquiry->source->ctx)->config;
}

/* --- shared by the parts -------------------------------------------------------------------------------- */

const struct config_link *inquiry_link(const struct config *config, const char *carrier, const char *platform)
{
    for (size_t i = 0; i < config->links_count; i++) {
        const struct config_link *link = &config->links[i];
        if (strcmp(link->carrier_name, carrier) == 0 && strcmp(link->platform_name, platform) == 0) {
            return link;
        }
    }
    return NULL;
}

const struct config_link *inquiry_link_named(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->links_count; i++) {
        if (strcmp(config->links[i].name, name) == 0) {
            return &config->links[i];
        }
    }
    return NULL;
}

json_t *inquiry_leg_json(const struct config_link *link, const struct survey_leg *leg)
{
    static const char *const names[SURVEY_LEG_STATES] = {[LEG_WAITING] = "waiting",
                                                         [LEG_CONNECTING] = "connecting",
                                                         [LEG_BINDING] = "binding",
                                                         [LEG_BOUND] = "bound",
                                                         [LEG_ENDING] = "ending"};
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:i, s:i}", "link", link->name, "carrier", link->carrier_name, "platform",
                  link->platform_name, "window_used", (int)leg->used, "window_size", (int)leg->size);
    for (unsigned i = 0; i < SURVEY_LEG_STATES; i++) {
        if (leg->states[i] > 0) {
            json_object_set_new(object, names[i], json_integer(leg->states[i]));
        }
    }
    if (leg->round_trip_ns > 0) {
        json_object_set_new(object, "round_trip_ms", json_real((double)leg->round_trip_ns / 1e6));
    }
    return object;
}

json_t *inquiry_sessions_json(const struct survey_client *client)
{
    json_t *object = json_object();
    for (unsigned i = 0; i < METRICS_BIND_TYPES; i++) {
        if (client != NULL && client->sessions[i] > 0) {
            json_object_set_new(object, metrics_bind_type_name(i), json_integer(client->sessions[i]));
        }
    }
    return object;
}

/* --- clients -------------------------------------------------------------------------------------------- */

struct clients_asked {
    const struct inquiry *inquiry;
    struct question *question;
};

static bool any_leg(const struct survey_leg *leg)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < SURVEY_LEG_STATES; i++) {
        sum += leg->states[i];
    }
    return sum > 0;
}

static json_t *legs_json(const struct config *config, const struct survey_client *client)
{
    json_t *legs = json_array();
    for (unsigned i = 0; i < client->legs_count && i < config->link_at_count; i++) {
        if (config->link_at[i] != NULL && any_leg(&client->legs[i])) {
            json_array_append_new(legs, inquiry_leg_json(config->link_at[i], &client->legs[i]));
        }
    }
    return legs;
}

static json_t *client_json(const struct config *config, const char *name, const struct survey_client *client)
{
    return json_pack("{s:s, s:o, s:i, s:i, s:o}", "client", name, "sessions", inquiry_sessions_json(client),
                     "in_flight", (int)client->in_flight, "held", (int)client->held, "legs",
                     legs_json(config, client));
}

static void answer_clients(void *ctx, const struct survey *survey)
{
    struct clients_asked *asked = ctx;
    const struct config *config = config_of(asked->inquiry);
    json_t *clients = json_array();
    unsigned left_out = 0;
    for (unsigned i = 0; i < survey->clients_count && i < config->client_at_count; i++) {
        if (survey->clients[i] == NULL || config->client_at[i] == NULL) {
            continue;
        }
        if (json_array_size(clients) < CLIENTS_SHOWN) {
            json_array_append_new(clients,
                                  client_json(config, config->client_at[i]->system_id, survey->clients[i]));
        } else {
            left_out++;
        }
    }
    question_answer(asked->question, json_pack("{s:o, s:i, s:b}", "clients", clients, "left_out",
                                               (int)left_out, "complete", (int)survey->complete));
    free(asked);
}

static void ask_clients(void *ctx, struct question *question, const json_t *request)
{
    struct inquiry *inquiry = ctx;
    const struct inquiry_source *source = inquiry->source;
    struct clients_asked *asked = malloc(sizeof *asked);
    (void)request;
    if (asked != NULL) {
        *asked = (struct clients_asked){.inquiry = inquiry, .question = question};
    }
    if (asked == NULL ||
        !survey_begin(source->threads, *source->threads_count, source->main, answer_clients, asked)) {
        free(asked);
        question_answer(question, NULL);
    }
}

/* --- release -------------------------------------------------------------------------------------------- */

/* The client's first shortcode with a route over this link today, or by an open window's move to come; NULL
 * where none needs it. */
static const char *shortcode_by(const struct table *table, const struct config_client *client,
                                const struct config_link *link)
{
    struct route route;
    if (client->any_shortcode) {
        return "*";
    }
    for (size_t i = 0; table != NULL && i < client->shortcodes_count; i++) {
        const char *shortcode = client->shortcodes[i];
        if (table_lookup(table, shortcode, strlen(shortcode), link->carrier, &route) &&
            (route.platform == link->platform || route.next == link->platform)) {
            return shortcode;
        }
    }
    return NULL;
}

/* Who needs the link: of one client, or all (NULL). */
static json_t *needed_by(const struct inquiry *inquiry, const struct config_link *link,
                         const struct config_client *only)
{
    const struct config *config = config_of(inquiry);
    const struct table *table = inquiry->source->table(inquiry->source->ctx);
    json_t *array = json_array();
    for (size_t i = 0; i < config->clients_count && json_array_size(array) < NEEDS_SHOWN; i++) {
        const struct config_client *client = &config->clients[i];
        const char *shortcode = only == NULL || only == client ? shortcode_by(table, client, link) : NULL;
        if (shortcode != NULL) {
            json_array_append_new(
                array, json_pack("{s:s, s:s}", "client", client->system_id, "shortcode", shortcode));
        }
    }
    return array;
}

static struct release *free_release(struct inquiry *inquiry)
{
    for (unsigned i = 0; i < RELEASES_MAX; i++) {
        if (inquiry->releases[i].ticket == 0) {
            return &inquiry->releases[i];
        }
    }
    return NULL;
}

static void finish_release(struct release *release)
{
    if (release->awaited == 0) {
        release->ticket = 0;
        question_answer(release->question, json_pack("{s:i, s:i}", "ended", (int)release->ended, "needed",
                                                     (int)release->needed));
    }
}

static void release_now(struct inquiry *inquiry, struct question *question, const struct config_link *link,
                        const struct config_client *client)
{
    const struct inquiry_source *source = inquiry->source;
    struct release *release = free_release(inquiry);
    if (release == NULL) {
        question_refuse(question, "%d releases are under way already", RELEASES_MAX);
        return;
    }
    *release = (struct release){.ticket = ++inquiry->tickets, .question = question, .awaited = 1};
    struct thread_release order = {.link = link->index,
                                   .client = client == NULL ? RELEASED_EVERY_CLIENT : (int)client->index,
                                   .ticket = release->ticket};
    for (unsigned i = 0; i < *source->threads_count; i++) {
        release->awaited += thread_release_legs(source->threads[i], &order);
    }
    release->awaited--;
    finish_release(release);
}

bool inquiry_released(struct inquiry *inquiry, const struct thread_release *release, unsigned ended,
                      unsigned needed)
{
    for (unsigned i = 0; i < RELEASES_MAX; i++) {
        struct release *ours = &inquiry->releases[i];
        if (ours->ticket != 0 && ours->ticket == release->ticket) {
            ours->ended += ended;
            ours->needed += needed;
            ours->awaited--;
            finish_release(ours);
            return true;
        }
    }
    return false;
}

static void ask_release(void *ctx, struct question *question, const json_t *request)
{
    struct inquiry *inquiry = ctx;
    const struct config *config = config_of(inquiry);
    const char *link_name = json_string_value(json_object_get(request, "link"));
    const char *client_name = json_string_value(json_object_get(request, "client"));
    const struct config_link *link = link_name == NULL ? NULL : inquiry_link_named(config, link_name);
    const struct config_client *client =
        client_name == NULL ? NULL : config_client(config, (const uint8_t *)client_name, strlen(client_name));
    if (link == NULL) {
        question_refuse(question, "there is no such link");
    } else if (client_name != NULL && client == NULL) {
        question_refuse(question, "there is no such client");
    } else if (json_is_true(json_object_get(request, "dry_run"))) {
        question_answer(question, json_pack("{s:o}", "needed_by", needed_by(inquiry, link, client)));
    } else {
        release_now(inquiry, question, link, client);
    }
}

/* --- begin ---------------------------------------------------------------------------------------------- */

struct inquiry *inquiry_new(const struct inquiry_source *source, struct questions *questions)
{
    struct inquiry *inquiry = calloc(1, sizeof *inquiry);
    if (inquiry != NULL) {
        inquiry->source = source;
        questions_add(questions, "clients", ask_clients, inquiry);
        questions_add(questions, "release", ask_release, inquiry);
        questions_add(questions, "preflight", preflight_ask, inquiry);
        questions_add(questions, "message", preflight_ask_message, inquiry);
    }
    return inquiry;
}

void inquiry_free(struct inquiry *inquiry)
{
    free(inquiry);
}
