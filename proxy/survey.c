/* See survey.h. */
#include "proxy/survey.h"

#include <stdlib.h>

#include "proxy/client.h"

/* --- counting ------------------------------------------------------------------------------------------- */

/* The client's row, made where there is none; NULL without memory. */
static struct survey_client *row_of(struct survey *survey, unsigned client, unsigned links)
{
    if (client >= survey->clients_count) {
        unsigned count = client + 1;
        struct survey_client **clients = realloc(survey->clients, count * sizeof(struct survey_client *));
        if (clients == NULL) {
            return NULL;
        }
        for (unsigned i = survey->clients_count; i < count; i++) {
            clients[i] = NULL;
        }
        survey->clients = clients;
        survey->clients_count = count;
    }
    struct survey_client *row = survey->clients[client];
    if (row == NULL || row->legs_count < links) { /* links may be added by a reload between two workers */
        unsigned before = row == NULL ? 0 : row->legs_count;
        row = realloc(row, sizeof *row + links * sizeof row->legs[0]);
        if (row == NULL) {
            return NULL;
        }
        if (before == 0) {
            *row = (struct survey_client){.held = 0};
        }
        for (unsigned i = before; i < links; i++) {
            row->legs[i] = (struct survey_leg){.used = 0};
        }
        row->legs_count = links;
        survey->clients[client] = row;
    }
    return row;
}

static void count_leg(struct survey_leg *row, const struct leg *leg)
{
    row->states[leg->state]++;
    if (leg->state == LEG_BOUND) {
        row->used += leg->conn.window.used;
        row->size += leg->conn.window.size;
        row->round_trip_ns =
            leg->conn.round_trip > row->round_trip_ns ? leg->conn.round_trip : row->round_trip_ns;
    }
}

static void count_client(struct survey_client *row, const struct client *client)
{
    row->sessions[metrics_bind_type(client->conn.smpp.bind_id)]++;
    row->in_flight += client->in_flight;
    row->held += client->held_count;
    row->worker = client->conn.worker->number;
    for (unsigned i = 0; i < client->legs_count && i < row->legs_count; i++) {
        if (client->legs[i] != NULL) {
            count_leg(&row->legs[i], client->legs[i]);
        }
    }
}

void survey_take(const struct worker *w, struct survey *survey)
{
    survey->complete = true;
    for (uint32_t i = 0; i < w->clients.capacity; i++) {
        const struct client *client = registry_at(&w->clients, i);
        if (client == NULL || client->account == NULL || !conn_is_bound(&client->conn)) {
            continue;
        }
        unsigned links =
            client->legs_count > w->config->link_at_count ? client->legs_count : w->config->link_at_count;
        struct survey_client *row = row_of(survey, client->account_index, links);
        if (row == NULL) {
            survey->complete = false;
            return;
        }
        count_client(row, client);
    }
}

static void add_client(struct survey_client *sum, const struct survey_client *part)
{
    for (unsigned i = 0; i < METRICS_BIND_TYPES; i++) {
        sum->sessions[i] += part->sessions[i];
    }
    sum->in_flight += part->in_flight;
    sum->held += part->held;
    sum->worker = part->worker;
    for (unsigned i = 0; i < part->legs_count; i++) {
        struct survey_leg *to = &sum->legs[i];
        const struct survey_leg *from = &part->legs[i];
        for (unsigned state = 0; state < SURVEY_LEG_STATES; state++) {
            to->states[state] += from->states[state];
        }
        to->used += from->used;
        to->size += from->size;
        to->round_trip_ns = from->round_trip_ns > to->round_trip_ns ? from->round_trip_ns : to->round_trip_ns;
    }
}

void survey_add(struct survey *sum, const struct survey *part)
{
    sum->complete = sum->complete && part->complete;
    for (unsigned i = 0; i < part->clients_count; i++) {
        const struct survey_client *from = part->clients[i];
        struct survey_client *to = from == NULL ? NULL : row_of(sum, i, from->legs_count);
        if (to != NULL) {
            add_client(to, from);
        } else if (from != NULL) {
            sum->complete = false;
        }
    }
}

void survey_clear(struct survey *survey)
{
    for (unsigned i = 0; i < survey->clients_count; i++) {
        free(survey->clients[i]);
    }
    free(survey->clients);
    *survey = (struct survey){.complete = false};
}

/* --- what it says --------------------------------------------------------------------------------------- */

const struct survey_client *survey_client(const struct survey *survey, unsigned client)
{
    return client < survey->clients_count ? survey->clients[client] : NULL;
}

const struct survey_leg *survey_leg(const struct survey *survey, unsigned client, unsigned link)
{
    const struct survey_client *row = survey_client(survey, client);
    return row != NULL && link < row->legs_count ? &row->legs[link] : NULL;
}

unsigned survey_sessions(const struct survey_client *client)
{
    unsigned sum = 0;
    for (unsigned i = 0; client != NULL && i < METRICS_BIND_TYPES; i++) {
        sum += client->sessions[i];
    }
    return sum;
}

/* --- over the threads ----------------------------------------------------------------------------------- */

struct gathering;

struct part {
    struct letter letter; /* back to main */
    struct gathering *gathering;
    struct survey survey;
};

struct gathering {
    struct mailbox *main;
    void (*done)(void *ctx, const struct survey *survey);
    void *ctx;
    struct survey sum;
    unsigned awaited;
    struct part parts[];
};

static void finish_where_all_came(struct gathering *g)
{
    if (g->awaited > 0) {
        return;
    }
    g->done(g->ctx, &g->sum);
    survey_clear(&g->sum);
    free(g);
}

static void open_part(void *main, struct letter *letter)
{
    struct part *part = (struct part *)letter;
    struct gathering *g = part->gathering;
    (void)main;
    survey_add(&g->sum, &part->survey);
    survey_clear(&part->survey);
    g->awaited--;
    finish_where_all_came(g);
}

static void take_in_worker(struct worker *w, void *arg)
{
    struct part *part = arg;
    survey_take(w, &part->survey);
    part->letter.open = open_part;
    mailbox_post(part->gathering->main, &part->letter);
}

bool survey_begin(struct thread *const *threads, unsigned count, struct mailbox *main,
                  void (*done)(void *ctx, const struct survey *survey), void *ctx)
{
    struct gathering *g = calloc(1, sizeof *g + count * sizeof g->parts[0]);
    if (g == NULL) {
        return false;
    }
    g->main = main;
    g->done = done;
    g->ctx = ctx;
    g->sum.complete = true;
    g->awaited = 1; /* until all are asked */
    for (unsigned i = 0; i < count; i++) {
        g->parts[i].gathering = g;
        if (thread_call(threads[i], take_in_worker, &g->parts[i])) {
            g->awaited++;
        } else {
            g->sum.complete = false;
        }
    }
    g->awaited--;
    finish_where_all_came(g);
    return true;
}
