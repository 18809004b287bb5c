/* Who is bound, and over which legs: a look at all sessions of the process, for questions of the operator.
 *
 *   main ──survey_begin──▶ each worker counts its own ──▶ main adds them up ──▶ done(survey)
 *
 * Costs each worker one walk over its sessions, a fraction of a millisecond for thousands of them; nothing
 * while nobody asks. */
#ifndef PROXY_SURVEY_H
#define PROXY_SURVEY_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/leg.h"
#include "proxy/thread.h"

enum { SURVEY_LEG_STATES = LEG_ENDING + 1 };

/* The legs of one client over one link. */
struct survey_leg {
    unsigned states[SURVEY_LEG_STATES];
    unsigned used, size;    /* of the windows of those that are bound */
    uint64_t round_trip_ns; /* the longest of their last enquire_links; 0: none was sent yet */
};

struct survey_client {
    unsigned sessions[METRICS_BIND_TYPES]; /* bound, by bind type */
    unsigned in_flight;                    /* their requests that are not answered yet */
    unsigned held;                         /* of these, kept back */
    unsigned worker;                       /* one that has such a session */
    unsigned legs_count;
    struct survey_leg legs[]; /* by link index */
};

struct survey {
    bool complete; /* false: without memory, or a worker that has ended */
    unsigned clients_count;
    struct survey_client **clients; /* by client index; NULL: none of its sessions is bound */
};

/* Begins. done is called once, in main's thread, perhaps before this returns; the survey is freed after it.
 * False without memory: done is not called. */
bool survey_begin(struct thread *const *threads, unsigned count, struct mailbox *main,
                  void (*done)(void *ctx, const struct survey *survey), void *ctx);

/* One that is not there is as one of zeros; NULL where there is none. */
const struct survey_client *survey_client(const struct survey *survey, unsigned client);
const struct survey_leg *survey_leg(const struct survey *survey, unsigned client, unsigned link);
unsigned survey_sessions(const struct survey_client *client);

/* The parts: counts a worker's sessions, adds one to another, frees. */
void survey_take(const struct worker *w, struct survey *survey);
void survey_add(struct survey *sum, const struct survey *part);
void survey_clear(struct survey *survey);

#endif
