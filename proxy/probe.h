/* A probe: one upstream session, bound as a client's leg would be, asked for a sign of life, and ended. For
 * preflight, before traffic is sent to a link that has no bound leg yet; and to send one test message.
 *
 *   order ──probe_start──▶ connect ─▶ bind ─▶ enquire_link ─▶ [submit_sm ─▶ its answer ─▶ its receipt] ─▶ unbind
 *                             └─────────┴───────────┴─── failed, or no answer in time ──▶ result.why
 *
 * Only a receipt that says "delivered" (or "accepted") is one that the test message came through with; one that says
 * "on its way" is waited behind. Nothing is tried twice. MO, and receipts of other messages, that come over it are refused with the carrier's
 * mo-refusal: they are a client's, and the network sends them again over its legs. In the worker's thread; not
 * one of the worker's legs, so that nothing is routed over it. SMPP 3.4 sections 4.1, 4.2, 4.4, 4.6, 4.11. */
#ifndef PROXY_PROBE_H
#define PROXY_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/worker.h"
#include "routing/table.h"

enum {
    PROBE_NO_CLIENT = -1,
    PROBE_NUMBER_MAX = 20,
    PROBE_TEXT_MAX = 160,
    PROBE_ID_MAX = 65,
    PROBE_WHY_MAX = 200
};

/* Beyond which no probe is begun in this worker. */
enum { PROBES_MAX = 64 };

struct probe_order {
    unsigned link; /* index */
    int client;    /* index: whose leg it stands for; PROBE_NO_CLIENT: nobody's, of a link with credentials */
    uint32_t bind_id; /* as which the leg would bind */
    uint64_t limit;   /* ns for all of it */
    /* The test message; source "" for none. */
    char source[SHORTCODE_LEN_MAX + 1];
    char destination[PROBE_NUMBER_MAX + 1];
    char text[PROBE_TEXT_MAX + 1];
};

enum probe_step {
    PROBE_CONNECT,
    PROBE_BIND,
    PROBE_ENQUIRE,
    PROBE_SUBMIT,
    PROBE_RECEIPT,
    PROBE_DONE,
};
const char *probe_step_name(enum probe_step step);

struct probe_result {
    enum probe_step step;                        /* what it was at when it ended; DONE: all went well */
    char why[PROBE_WHY_MAX];                     /* a sentence; "" where all went well */
    uint32_t command_status;                     /* where the SMSC refused something */
    uint64_t connect_ns, bind_ns, round_trip_ns; /* 0: not come to */
    uint64_t answer_ns, receipt_ns;              /* of the test message, since it was sent */
    char message_id[PROBE_ID_MAX + 1];
    char receipt[PROBE_TEXT_MAX + 1]; /* its text, cut */
};

struct probe;

/* Begins. done is called once, in this thread, when the outcome is known; not before this returns, but where
 * it returns false: *result then says why it could not begin. */
bool probe_start(struct worker *w, const struct probe_order *order,
                 void (*done)(void *ctx, const struct probe_result *result), void *ctx,
                 struct probe_result *result);

/* The worker ends: so do its probes, each with an outcome. */
void probe_end_all(struct worker *w);

#endif
