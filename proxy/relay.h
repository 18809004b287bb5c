/* An MO that has come to one worker for a client bound at another, and its answer: letters between workers.
 *
 *   leg's worker ──relay_request──▶ client's worker ─▶ client
 *   leg's worker ◀──relay_answer, relay_refusal── client's worker ◀─ its answer, or none
 *
 * Clients that share credentials on a link look alike to its SMSC, so this happens; it costs a copy and a
 * lock, which other messages do not pay. Who is asked and who answers is named by worker, id and generation,
 * never by pointer. */
#ifndef PROXY_RELAY_H
#define PROXY_RELAY_H

#include "proxy/mailbox.h"
#include "proxy/window.h"
#include "proxy/worker.h"

struct relay {
    struct letter letter;
    uint8_t from;             /* worker of the leg */
    struct window_owner leg;  /* whose request it is */
    uint32_t sequence_number; /* under which its answer is awaited */
    uint32_t command_id;      /* of the request */
    uint32_t cell;            /* what counts the request in the leg's worker (traffic.h) */
    enum refused cause;       /* of a refusal */
    uint32_t len;
    uint8_t pdu[]; /* the request, or its answer; empty in a refusal */
};

typedef void relay_open(void *owner, struct letter *letter);

/* Each returns false where it could not be sent, and nothing has happened. open runs in the other worker's
 * thread and frees the letter with relay_free. */
bool relay_request(struct worker *w, unsigned to, const struct window_slot *asked, const uint8_t *pdu,
                   uint32_t len, relay_open *open);
bool relay_answer(struct worker *w, const struct window_slot *slot, const uint8_t *pdu, uint32_t len,
                  relay_open *open);
bool relay_refusal(struct worker *w, unsigned to, const struct window_slot *slot, enum refused cause,
                   relay_open *open);
void relay_free(struct relay *relay);

#endif
