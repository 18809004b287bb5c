#include "proxy/way.h"

#include "proxy/legs.h"

#define SECOND 1000000000ULL

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

static struct config_link *link_to(const struct worker *w, uint8_t carrier, uint8_t platform)
{
    return platform < NAMES_MAX ? w->config->link_of[carrier][platform] : NULL;
}

static uint64_t steady_seconds(const struct worker *w)
{
    return w->now / SECOND;
}

/* A part that is about to leave, of which no other is known: the platform of its message from now on. */
SELDOM static uint8_t begin_message(const struct worker *w, const struct subject *s, uint8_t platform)
{
    struct multiparts_begun begun = multiparts_begin(w->shared->multiparts, &s->part, platform,
                                                     steady_seconds(w), w->config->multipart_ttl / SECOND);
    metric_add(&w->metrics->multipart_messages, begun.added);
    metric_add(&w->metrics->multipart_evicted, begun.evicted);
    return begun.platform;
}

/* The way of a part: that of the first part as long as a leg is bound there, else today's. */
SELDOM static struct way way_of_part(struct client *client, const struct subject *s, uint8_t platform)
{
    const struct worker *w = client->conn.worker;
    struct way today = way_by_link(client, link_to(w, s->carrier, platform));
    uint8_t first = multiparts_platform(w->shared->multiparts, &s->part, steady_seconds(w));
    if (first == NAME_NONE && today.kind == WAY_SEND) {
        first = begin_message(w, s, platform); /* another worker may be quicker, by another table */
    }
    if (first == NAME_NONE || first == platform) {
        return today;
    }
    const struct config_link *link = link_to(w, s->carrier, first);
    const struct leg *leg = link == NULL ? NULL : legs_at(client, link->index);
    bool bound = leg != NULL && leg_is_bound(leg);
    struct way way = bound ? way_by_link(client, link) : today;
    way.followed = bound;
    way.astray = !bound;
    return way;
}

/* A part that has just been sent. */
SELDOM static void note_part(const struct worker *w, const struct subject *s, const struct way *way)
{
    uint32_t handle = multiparts_sent(w->shared->multiparts, &s->part, way->leg->platform);
    struct window_slot *slot = window_newest(&way->leg->conn.window);
    if (slot != NULL) {
        slot->part = handle;
    }
    metric_add(&w->metrics->multipart_followed, way->followed);
    metric_add(&w->metrics->multipart_astray, way->astray);
}

static struct way way_by_route(struct client *client, struct subject *s)
{
    struct worker *w = client->conn.worker;
    struct route route;
    if (w->table == NULL) {
        return way_refusal(ESME_RSYSERR, REFUSED_NO_TABLE);
    }
    if (w->fence.guarded && fence_holds(w)) {
        return (struct way){.kind = WAY_WAIT, .cause = REFUSED_FENCED};
    }
    if (!traffic_find(&w->traffic, w->table, s->shortcode, s->shortcode_len, s->carrier, w->now, &route,
                      &s->cell)) {
        return way_refusal(ESME_RINVSRCADR, REFUSED_NO_ROUTE);
    }
    if (route.state == ROUTE_CLOSED) {
        return way_refusal(client->account->closed_refusal, REFUSED_CLOSED);
    }
    if (route.state == ROUTE_HOLD) {
        return (struct way){.kind = WAY_WAIT, .cause = REFUSED_HOLD_EXPIRED};
    }
    return s->part.key != 0 ? way_of_part(client, s, route.platform)
                            : way_by_link(client, link_to(w, s->carrier, route.platform));
}

struct way way_find(struct client *client, struct subject *s)
{
    if (s->link >= 0) {
        const struct config *config = client->conn.worker->config;
        return way_by_link(client,
                           (unsigned)s->link < config->link_at_count ? config->link_at[s->link] : NULL);
    }
    return way_by_route(client, s);
}

void way_refuse_late(struct client *client, const struct subject *s, uint32_t status, enum refused cause)
{
    traffic_refused(s->cell, cause);
    client_refuse(client, s->command_id, s->sequence_number, status, cause);
}

void way_refuse(struct client *client, const struct subject *s, uint32_t status, enum refused cause)
{
    way_refuse_late(client, s, status, cause);
    conn_refused_at_once(&client->conn); /* no window holds back a client that is answered at once */
}

void way_send(struct client *client, const struct subject *s, const struct way *way)
{
    struct leg *leg = way->leg;
    if (leg_forward(leg, s->command, s->pdu, s->len, client_owner(client), s->sequence_number,
                    traffic_handle(s->cell, s->wants_receipt))) {
        metric_add(&leg->metrics->mt, 1);
        traffic_sent(s->cell, leg->platform);
        if (s->part.key != 0) {
            note_part(client->conn.worker, s, way);
        }
    } else {
        way_refuse(client, s, ESME_RSYSERR, REFUSED_MEMORY);
    }
}
