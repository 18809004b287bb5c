#include "proxy/way.h"

#include "proxy/legs.h"

static struct way way_by_link(struct client *client, const struct config_link *link)
{
    if (link == NULL) {
        return way_refusal(ESME_RSYSERR, REFUSED_NO_LINK);
    }
    struct leg *leg = legs_take(client, link);
    if (leg == NULL) {
        return way_refusal(ESME_RSYSERR, REFUSED_MEMORY);
    }
    return (struct way){
        .kind = leg_is_ready(leg) ? WAY_SEND : WAY_WAIT, .leg = leg, .cause = REFUSED_HOLD_EXPIRED};
}

static struct way way_by_route(struct client *client, const char *shortcode, size_t len, uint8_t carrier)
{
    const struct worker *w = client->conn.worker;
    struct route route;
    if (w->table == NULL) {
        return way_refusal(ESME_RSYSERR, REFUSED_NO_TABLE);
    }
    if (!table_lookup(w->table, shortcode, len, carrier, &route)) {
        return way_refusal(ESME_RINVSRCADR, REFUSED_NO_ROUTE);
    }
    if (route.state == ROUTE_CLOSED) {
        return way_refusal(client->account->closed_refusal, REFUSED_CLOSED);
    }
    if (route.state == ROUTE_HOLD) {
        return (struct way){.kind = WAY_WAIT, .cause = REFUSED_HOLD_EXPIRED};
    }
    return way_by_link(client,
                       route.platform < NAMES_MAX ? w->config->link_of[carrier][route.platform] : NULL);
}

struct way way_find(struct client *client, const struct subject *s)
{
    if (s->link >= 0) {
        const struct config *config = client->conn.worker->config;
        return way_by_link(client,
                           (unsigned)s->link < config->link_at_count ? config->link_at[s->link] : NULL);
    }
    return way_by_route(client, s->shortcode, s->shortcode_len, s->carrier);
}

void way_refuse(struct client *client, const struct subject *s, uint32_t status, enum refused cause)
{
    client_refuse(client, s->command_id, s->sequence_number, status, cause);
}

void way_send(struct client *client, const struct subject *s, struct leg *leg)
{
    if (leg_forward(leg, s->pdu, s->len, client_owner(client), s->sequence_number)) {
        metric_add(&leg->metrics->mt, 1);
    } else {
        way_refuse(client, s, ESME_RSYSERR, REFUSED_MEMORY);
    }
}
