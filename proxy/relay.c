#include "proxy/relay.h"

#include <stdlib.h>
#include <string.h>

static struct relay *relay_new(const uint8_t *pdu, uint32_t len, relay_open *open)
{
    struct relay *relay = malloc(sizeof *relay + len);
    if (relay == NULL) {
        return NULL;
    }
    *relay = (struct relay){.letter = {.open = open}, .len = len};
    if (len > 0) {
        memcpy(relay->pdu, pdu, len);
    }
    return relay;
}

static bool post(struct worker *w, unsigned to, struct relay *relay)
{
    if (!shared_post(w->shared, to, &relay->letter)) {
        free(relay);
        return false;
    }
    return true;
}

bool relay_request(struct worker *w, unsigned to, const struct window_slot *asked, const uint8_t *pdu,
                   uint32_t len, relay_open *open)
{
    struct relay *relay = relay_new(pdu, len, open);
    if (relay == NULL) {
        return false;
    }
    relay->from = (uint8_t)w->number;
    relay->leg = asked->owner;
    relay->command_id = asked->command_id;
    relay->sequence_number = asked->owner_sequence;
    relay->cell = asked->cell;
    return post(w, to, relay);
}

static struct relay *answer_to(const struct window_slot *slot, const uint8_t *pdu, uint32_t len,
                               relay_open *open)
{
    struct relay *relay = relay_new(pdu, len, open);
    if (relay != NULL) {
        relay->leg = slot->owner;
        relay->sequence_number = slot->owner_sequence;
        relay->command_id = slot->command_id;
        relay->cell = slot->cell;
    }
    return relay;
}

bool relay_answer(struct worker *w, const struct window_slot *slot, const uint8_t *pdu, uint32_t len,
                  relay_open *open)
{
    struct relay *relay = answer_to(slot, pdu, len, open);
    return relay != NULL && post(w, slot->worker, relay);
}

bool relay_refusal(struct worker *w, unsigned to, const struct window_slot *slot, enum refused cause,
                   relay_open *open)
{
    struct relay *relay = answer_to(slot, NULL, 0, open);
    if (relay == NULL) {
        return false;
    }
    relay->cause = cause;
    return post(w, to, relay);
}

void relay_free(struct relay *relay)
{
    free(relay);
}
