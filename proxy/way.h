/* Which way a request of a client goes, by the table and the config in use at this moment.
 *
 *   subject (shortcode, carrier, or a link) ──way_find──▶ route ─▶ link ─▶ leg: send, wait, or refuse
 *
 * What waits is looked up again when it is released. A part of a message of which another part has been sent
 * follows that one, also over a flip (multipart.h): it is no other message. On hold it waits and closed it is
 * refused like all others. */
#ifndef PROXY_WAY_H
#define PROXY_WAY_H

#include "proxy/client.h"
#include "proxy/leg.h"
#include "proxy/path.h"

/* What routing needs of a request. It points into the request's octets. */
struct subject {
    const uint8_t *pdu;
    uint32_t len;
    uint32_t command_id, sequence_number;
    const char *shortcode;
    uint32_t shortcode_len;
    uint8_t command; /* smpp_command_index of command_id */
    uint8_t carrier;
    int32_t link;          /* index of the link that it must take, -1: the route decides */
    struct multipart part; /* key 0: a message of its own */
    bool wants_receipt;
    struct traffic_cell *cell; /* what counts it; NULL: nothing, or not routed yet */
};

enum way_kind { WAY_SEND, WAY_WAIT, WAY_REFUSE };

struct way {
    enum way_kind kind;
    struct leg *leg;    /* SEND: ready. WAIT: the leg waited for, NULL where the route itself is on hold, or
                         the fence holds */
    uint32_t status;    /* REFUSE */
    enum refused cause; /* REFUSE. WAIT: of the refusal when its time is over */
    bool followed;      /* a part goes where the first part went, not by today's route */
    bool astray;        /* it cannot: no such leg is bound */
};

static inline struct way way_refusal(uint32_t status, enum refused cause)
{
    return (struct way){.kind = WAY_REFUSE, .status = status, .cause = cause};
}

/* Sets the cell of what the route decides, too. */
struct way way_find(struct client *client, struct subject *s);

/* The two ends of a way: on to a leg that is ready, or back to the client with a negative answer. */
void way_send(struct client *client, const struct subject *s, const struct way *way);
SELDOM void way_refuse(struct client *client, const struct subject *s, uint32_t status, enum refused cause);
/* The same for one that has waited, which does not count towards max-refusals. */
SELDOM void way_refuse_late(struct client *client, const struct subject *s, uint32_t status,
                            enum refused cause);

#endif
