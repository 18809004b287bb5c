/* The questions that look at the whole process: "clients", "release", "preflight" and "message".
 *
 *   questions ──kind──▶ inquiry ──survey, probe, release──▶ workers ──▶ inquiry ──question_answer──▶ turnoutctl
 *
 * Main thread. What they are asked and answer:
 *   clients    -> {"clients": [{"client", "sessions": {bind type: n}, "in_flight", "held", "legs": [{"link",
 *                 "carrier", "platform", state: n ..., "window_used", "window_size", "round_trip_ms"}]}],
 *                 "left_out", "complete"}
 *   release    {"link", "client" (all where absent), "dry_run"} -> {"link", "ended", "needed", "needed_by":
 *                 [{"client", "shortcode"}]}: what no route needs is ended, unless "dry_run"
 *   preflight, message: preflight.h */
#ifndef PROXY_INQUIRY_H
#define PROXY_INQUIRY_H

#include "proxy/bundle.h"
#include "proxy/mailbox.h"
#include "proxy/questions.h"
#include "proxy/thread.h"
#include "proxy/witness.h"
#include "routing/table.h"

/* What of the process questions look at. */
struct inquiry_source {
    struct thread *const *threads;
    const unsigned *threads_count;
    struct mailbox *main;
    const struct bundle *(*bundle)(void *ctx); /* in use */
    const struct table *(*table)(void *ctx);   /* the newest published; NULL for none */
    struct witness *const *witness;            /* NULL, or of NULL: nothing is known of traffic */
    void (*refresh)(void *ctx);                /* what the instance's entry says has changed */
    void *ctx;
};

struct inquiry;

/* Teaches them to questions. source is kept, not copied. */
struct inquiry *inquiry_new(const struct inquiry_source *source, struct questions *questions);
const struct inquiry_source *inquiry_source(const struct inquiry *inquiry);
void inquiry_free(struct inquiry *inquiry);

/* thread_events.legs_released came: was the order one of ours? */
bool inquiry_released(struct inquiry *inquiry, const struct thread_release *release, unsigned ended,
                      unsigned needed);

/* For the parts: the link of a carrier and platform by their names, or by its own; NULL for none. */
const struct config_link *inquiry_link(const struct config *config, const char *carrier,
                                       const char *platform);
const struct config_link *inquiry_link_named(const struct config *config, const char *name);

/* One leg's row, or one client's, as JSON members. NULL without memory. */
struct survey_leg;
struct survey_client;
json_t *inquiry_leg_json(const struct config_link *link, const struct survey_leg *leg);
json_t *inquiry_sessions_json(const struct survey_client *client);

#endif
