#include "proxy/forward.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/leg.h"
#include "proxy/relay.h"
#include "smpp/receipt.h"

#define SECOND 1000000000ULL
enum { QUERY_LEG_SECONDS = 60 };

static const struct leg_events forward_leg_events;

static struct window_owner owner_of(const struct client *client)
{
    return (struct window_owner){.index = client->index, .generation = client->generation};
}

static struct client *find_client(const struct worker *w, struct window_owner owner)
{
    return registry_get(&w->clients, owner.index, owner.generation);
}

static struct leg *find_leg(const struct worker *w, struct window_owner owner)
{
    return registry_get(&w->legs, owner.index, owner.generation);
}

/* --- which legs a client needs -------------------------------------------------------------------------- */

struct link_set {
    uint64_t bits[CONFIG_LINKS_MAX / 64];
};

static void set_add(struct link_set *set, const struct config_link *link)
{
    if (link != NULL) {
        set->bits[link->index / 64] |= 1ULL << (link->index % 64);
    }
}

static bool set_has(const struct link_set *set, unsigned link)
{
    return (set->bits[link / 64] >> (link % 64) & 1) != 0;
}

/* What a client needs legs for: routes of today, and platforms that served before and whose legs linger. */
struct links_needed {
    struct link_set now, before;
};

static void review_at(struct worker *w, uint64_t second)
{
    w->linger_end = second < w->linger_end ? second : w->linger_end;
}

/* The links of one (shortcode, carrier). */
static void add_links_of(struct worker *w, const char *shortcode, uint8_t carrier,
                         struct links_needed *needed)
{
    struct route route;
    if (!table_lookup(w->table, shortcode, strlen(shortcode), carrier, &route)) {
        return;
    }
    struct config_link *const *of_carrier = w->config->link_of[carrier];
    if (route.platform < NAMES_MAX) {
        set_add(&needed->now, of_carrier[route.platform]);
    }
    uint64_t linger_end = route.changed + w->config->linger / SECOND;
    if (route.previous < NAMES_MAX && w->now_s < linger_end) {
        set_add(&needed->before, of_carrier[route.previous]);
        review_at(w, linger_end);
    }
}

static struct links_needed links_needed(struct worker *w, const struct config_client *account)
{
    struct links_needed needed = {.now = {{0}}, .before = {{0}}};
    const struct config *config = w->config;
    if (account->any_shortcode) { /* any row of the table may be its: all links */
        for (size_t i = 0; i < config->links_count; i++) {
            set_add(&needed.now, &config->links[i]);
        }
        return needed;
    }
    for (size_t s = 0; s < account->shortcodes_count && w->table != NULL; s++) {
        for (size_t i = 0; i < config->carriers_count; i++) {
            add_links_of(w, account->shortcodes[s], config->carriers[i].id, &needed);
        }
    }
    return needed;
}

static struct leg *leg_at(const struct client *client, unsigned link)
{
    return link < client->legs_count ? client->legs[link] : NULL;
}

static bool make_room_for_legs(struct client *client, unsigned count)
{
    if (count <= client->legs_count) {
        return true;
    }
    struct leg **legs = realloc(client->legs, count * sizeof(struct leg *));
    if (legs == NULL) {
        return false;
    }
    memset(legs + client->legs_count, 0, (count - client->legs_count) * sizeof(struct leg *));
    client->legs = legs;
    client->legs_count = count;
    return true;
}

/* FNV-1a, of what the operator's own config says. */
static uint64_t mix(uint64_t hash, const void *octets, size_t len)
{
    const uint8_t *p = octets;
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ p[i]) * 0x100000001B3U;
    }
    return (hash ^ 0xFF) * 0x100000001B3U;
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
    return text == NULL ? mix(hash, "", 1) : mix(hash, text, strlen(text));
}

/* What a link and a client's credentials on it look like: a leg of another look goes somewhere else, or as
 * somebody else. */
static uint64_t link_shape(const struct config_client *account, const struct config_link *link)
{
    const struct config_upstream *own = config_upstream(account, link->index);
    const uint8_t small[] = {link->carrier,    link->platform,          link->tls,
                             link->tls_verify, link->interface_version, (uint8_t)link->credentials};
    uint64_t hash = mix(0xCBF29CE484222325U, small, sizeof small);
    hash = mix(hash, &link->port, sizeof link->port);
    hash = mix(hash, &link->window, sizeof link->window);
    const char *const texts[] = {link->host,     link->ca,          link->certificate,
                                 link->key,      link->tls_name,    link->system_id,
                                 link->password, link->system_type, link->address_range};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        hash = mix_text(hash, texts[i]);
    }
    if (own != NULL && link->credentials == CREDENTIALS_CLIENT) {
        hash = mix_text(mix_text(mix_text(hash, own->system_id), own->password), own->system_type);
    }
    return hash;
}

/* Is a leg what the config in use says? Looked at anew only when that has changed. */
static bool is_as_configured(const struct client *client, struct leg *leg, const struct config_link *link)
{
    const struct config *config = client->conn.worker->config;
    if (leg->config != config && leg->shape == link_shape(client->account, link)) {
        leg->config = config;
    }
    return leg->config == config;
}

/* The client's leg over a link, begun now if it has none. NULL without memory. */
static struct leg *need_leg(struct client *client, const struct config_link *link)
{
    struct worker *w = client->conn.worker;
    struct leg *leg = leg_at(client, link->index);
    if (leg != NULL && leg->state != LEG_ENDING && is_as_configured(client, leg, link)) {
        return leg;
    }
    if (!make_room_for_legs(client, w->config->link_at_count)) {
        return NULL;
    }
    if (leg != NULL) { /* it is ending, or is to be replaced by one of the new config */
        leg->client = (struct window_owner){0, 0};
        leg_end(leg);
    }
    struct backoff backoff = backoff_get(&w->backoffs, client->account_index, link->index);
    leg = leg_new(w, link, client->conn.smpp.bind_id, owner_of(client), &backoff, &forward_leg_events);
    client->legs[link->index] = leg;
    if (leg != NULL) {
        memcpy(leg->name, client->name, sizeof leg->name);
        leg->config = w->config;
        leg->shape = link_shape(client->account, link);
    }
    return leg;
}

/* A leg that no route of today needs: it stays for receipts, MO and queries as long as it may, counted from
 * when it was needed last, however the routes have moved since. One that is not even bound owes nothing. */
static void linger(struct client *client, struct leg *leg, const struct links_needed *needed)
{
    struct worker *w = client->conn.worker;
    const struct config_link *link =
        leg->link < w->config->link_at_count ? w->config->link_at[leg->link] : NULL;
    if (leg->unneeded_since == 0) {
        leg->unneeded_since = w->now_s;
    }
    uint64_t patience = leg->for_query ? QUERY_LEG_SECONDS : w->config->linger / SECOND;
    uint64_t end = leg->unneeded_since + patience;
    if (link == NULL || !leg_is_bound(leg) || w->now_s >= end) {
        if (link == NULL || !set_has(&needed->before, leg->link)) {
            leg_end(leg);
        }
        return;
    }
    review_at(w, end);
}

/* Begins the legs that the client's routes need and ends those that nothing needs any more. Returns how many
 * it needs. */
static unsigned review_legs(struct client *client)
{
    struct worker *w = client->conn.worker;
    struct links_needed needed = links_needed(w, client->account);
    unsigned count = 0;
    for (unsigned i = 0; i < w->config->link_at_count; i++) {
        const struct config_link *link = w->config->link_at[i];
        bool now = link != NULL && set_has(&needed.now, i);
        if (now || (link != NULL && set_has(&needed.before, i))) {
            struct leg *leg = need_leg(client, link);
            count++;
            if (leg != NULL && now) {
                leg->unneeded_since = 0;
                leg->for_query = false;
            }
        }
    }
    for (unsigned i = 0; i < client->legs_count; i++) {
        struct leg *leg = client->legs[i];
        if (leg != NULL && leg->state != LEG_ENDING &&
            (i >= w->config->link_at_count || !set_has(&needed.now, i))) {
            linger(client, leg, &needed);
        }
    }
    return count;
}

/* --- bind ----------------------------------------------------------------------------------------------- */

struct leg_count {
    unsigned all, bound, tried;
};

static struct leg_count count_legs(const struct client *client)
{
    struct leg_count count = {0, 0, 0};
    for (unsigned i = 0; i < client->legs_count; i++) {
        const struct leg *leg = client->legs[i];
        if (leg != NULL && leg->state != LEG_ENDING) {
            count.all++;
            count.bound += leg_is_bound(leg);
            count.tried += leg->tried;
        }
    }
    return count;
}

/* Answers a bind that waits, if what its legs have come to allows it. */
static void answer_bind(struct client *client)
{
    if (client->conn.smpp.state != SMPP_BINDING || client->account == NULL || !client->has_account) {
        return;
    }
    struct leg_count legs = count_legs(client);
    bool settled = legs.bound + legs.tried >= legs.all;
    bool all = client->account->bind_answer == BIND_ANSWER_ALL;
    if (legs.bound > 0 && (!all || settled)) {
        client_accept_bind(client);
    } else if (settled) {
        client_refuse_bind(client, ESME_RBINDFAIL, "no_leg_could_be_bound");
    }
}

/* Has the legs that the client needs, and answers a bind that waits for none of them (any more). */
static void follow_legs(struct client *client)
{
    unsigned needed = review_legs(client);
    if (needed == 0 || client->account->bind_answer == BIND_ANSWER_ONCE) {
        client_accept_bind(client);
    } else {
        answer_bind(client); /* without memory for any leg there is nothing to wait for */
    }
}

static void on_client_bind(struct client *client)
{
    struct worker *w = client->conn.worker;
    if (w->table == NULL) {
        client_refuse_bind(client, ESME_RBINDFAIL, "no_routing_table_yet");
        return;
    }
    /* legs of sessions that have gone live on until they are unbound: a client that comes and goes must not
     * pile them up */
    unsigned most = client->account->max_binds * (unsigned)w->config->links_count;
    if (shared_orphans(w->shared, client->account_index, 0) >= most) {
        client_refuse_bind(client, ESME_RBINDFAIL, "too_many_legs_still_end");
        return;
    }
    follow_legs(client);
}

/* --- which way a request goes --------------------------------------------------------------------------- */

enum way_kind { WAY_SEND, WAY_WAIT, WAY_REFUSE };

struct way {
    enum way_kind kind;
    struct leg *leg; /* SEND: ready. WAIT: the leg waited for, NULL where the route itself is on hold */
    uint32_t status; /* REFUSE */
    enum refused cause;
};

static struct way refuse_way(uint32_t status, enum refused cause)
{
    return (struct way){.kind = WAY_REFUSE, .status = status, .cause = cause};
}

static struct way way_by_link(struct client *client, const struct config_link *link)
{
    if (link == NULL) {
        return refuse_way(ESME_RSYSERR, REFUSED_NO_LINK);
    }
    struct leg *leg = leg_at(client, link->index);
    if (leg == NULL || leg->state == LEG_ENDING) {
        leg = need_leg(client, link);
        if (leg != NULL) { /* no route needs it, or it would be there: unless a review says otherwise, it is
                              for one query */
            leg->for_query = true;
            review_at(client->conn.worker, client->conn.worker->now_s + QUERY_LEG_SECONDS);
        }
    }
    if (leg == NULL) {
        return refuse_way(ESME_RSYSERR, REFUSED_MEMORY);
    }
    return (struct way){.kind = leg_is_ready(leg) ? WAY_SEND : WAY_WAIT, .leg = leg};
}

static struct way way_by_route(struct client *client, const char *shortcode, size_t len, uint8_t carrier)
{
    const struct worker *w = client->conn.worker;
    struct route route;
    if (w->table == NULL) {
        return refuse_way(ESME_RSYSERR, REFUSED_NO_TABLE);
    }
    if (!table_lookup(w->table, shortcode, len, carrier, &route)) {
        return refuse_way(ESME_RINVSRCADR, REFUSED_NO_ROUTE);
    }
    if (route.state == ROUTE_CLOSED) {
        return refuse_way(client->account->closed_refusal, REFUSED_CLOSED);
    }
    if (route.state == ROUTE_HOLD) {
        return (struct way){.kind = WAY_WAIT};
    }
    return way_by_link(client,
                       route.platform < NAMES_MAX ? w->config->link_of[carrier][route.platform] : NULL);
}

/* What routing needs of a request. */
struct subject {
    const uint8_t *pdu;
    uint32_t len;
    uint32_t command_id, sequence_number;
    const char *shortcode;
    uint32_t shortcode_len;
    uint8_t carrier;
    int32_t link; /* index of the link that it must take, -1: the route decides */
};

static struct way find_way(struct client *client, const struct subject *s)
{
    if (s->link >= 0) {
        const struct config *config = client->conn.worker->config;
        return way_by_link(client,
                           (unsigned)s->link < config->link_at_count ? config->link_at[s->link] : NULL);
    }
    return way_by_route(client, s->shortcode, s->shortcode_len, s->carrier);
}

static void refuse(struct client *client, const struct subject *s, uint32_t status, enum refused cause)
{
    client_refuse(client, s->command_id, s->sequence_number, status, cause);
}

static void send_on(struct client *client, const struct subject *s, struct leg *leg)
{
    if (leg_forward(leg, s->pdu, s->len, owner_of(client), s->sequence_number)) {
        metric_add(&leg->metrics->mt, 1);
    } else {
        refuse(client, s, ESME_RSYSERR, REFUSED_MEMORY);
    }
}

/* --- what waits ----------------------------------------------------------------------------------------- */

static struct subject subject_of(const struct held *held)
{
    return (struct subject){.pdu = held->pdu,
                            .len = held->len,
                            .command_id = smpp_get32(held->pdu + 4),
                            .sequence_number = smpp_get32(held->pdu + 12),
                            .shortcode = (const char *)held->pdu + held->source_at,
                            .shortcode_len = held->source_len,
                            .carrier = held->carrier,
                            .link = held->link};
}

static struct hold_queue *queue_of(struct client *client, uint8_t carrier)
{
    if (client->held == NULL) {
        client->held = calloc(NAMES_MAX, sizeof *client->held);
    }
    return client->held == NULL ? NULL : &client->held[carrier];
}

/* How long a request may wait: for room in a bound leg's window as long as an answer may take, else for the
 * hold budget. */
static uint64_t budget_of(const struct client *client, const struct way *way)
{
    return way->leg != NULL && leg_is_bound(way->leg) ? way->leg->conn.response_timeout
                                                      : client->account->hold_budget;
}

static void arm_hold_timer(struct client *client, uint64_t due)
{
    timer_set_earlier(&client->conn.worker->timers, &client->hold_timer, due);
}

static void uncount_held(struct client *client, const struct held *held)
{
    struct worker *w = client->conn.worker;
    client->held_count--;
    client->held_bytes -= held->len;
    metric_sub(&w->metrics->waiting_messages, 1);
    metric_sub(&w->metrics->waiting_bytes, held->len);
}

/* Keeps a request back, or says why not. */
static void hold(struct client *client, const struct subject *s, const struct way *way)
{
    struct worker *w = client->conn.worker;
    const struct config_client *account = client->account;
    struct hold_queue *queue = queue_of(client, s->carrier);
    bool full_window = way->leg != NULL && leg_is_bound(way->leg);
    if (!full_window && account->hold_budget == 0) {
        refuse(client, s, account->hold_refusal, REFUSED_HOLD_EXPIRED);
        return;
    }
    /* one beyond the limit still comes in when reading stops there */
    if (queue == NULL || queue->count >= account->wait_count + full_window ||
        client->held_bytes + s->len > account->wait_bytes) {
        refuse(client, s, account->hold_refusal, REFUSED_WAIT_FULL);
        return;
    }
    struct held *held = hold_add(&w->held, queue, s->pdu, s->len);
    if (held == NULL) {
        refuse(client, s, ESME_RSYSERR, REFUSED_MEMORY);
        return;
    }
    held->since = w->now;
    held->carrier = s->carrier;
    held->link = s->link;
    held->source_at = (uint32_t)((const uint8_t *)s->shortcode - s->pdu);
    held->source_len = s->shortcode_len;
    client->held_count++;
    client->held_bytes += s->len;
    metric_add(&w->metrics->waiting_messages, 1);
    metric_add(&w->metrics->waiting_bytes, s->len);
    arm_hold_timer(client, w->now + budget_of(client, way));
    if (full_window) {
        metric_add(&way->leg->metrics->window_full, 1);
        if (queue->count > account->wait_count && !queue->blocks) {
            queue->blocks = true; /* a slow carrier: what comes next waits in the client */
            client_block(client, true);
        }
    }
}

static bool same_route(const struct held *held, const struct subject *s)
{
    return held->source_len == s->shortcode_len && held->link == s->link &&
           memcmp(held->pdu + held->source_at, s->shortcode, s->shortcode_len) == 0;
}

/* A request of the same route waits already: this one must not overtake it. */
static bool others_wait(const struct client *client, const struct subject *s)
{
    if (client->held_count == 0 || client->held == NULL) {
        return false;
    }
    for (const struct held *held = client->held[s->carrier].first; held != NULL; held = held->next) {
        if (same_route(held, s)) {
            return true;
        }
    }
    return false;
}

/* Takes one request out of its queue and does with it what its way says. */
static void release_one(struct client *client, struct hold_queue *queue, struct held *before,
                        struct held *held, const struct way *way)
{
    struct worker *w = client->conn.worker;
    struct subject s = subject_of(held);
    hold_unlink(queue, before, held);
    uncount_held(client, held);
    if (way->kind == WAY_SEND) {
        metric_add(&w->metrics->waited_released, 1);
        send_on(client, &s, way->leg);
    } else {
        refuse(client, &s, way->status, way->cause);
    }
    hold_release(&w->held, held);
}

/* Its time is over: the way becomes a refusal. */
static void expire_way(struct client *client, const struct held *held, struct way *way)
{
    uint64_t due = held->since + budget_of(client, way);
    if (way->kind == WAY_WAIT && client->conn.worker->now >= due) {
        *way = refuse_way(client->account->hold_refusal, REFUSED_HOLD_EXPIRED);
    } else if (way->kind == WAY_WAIT) {
        arm_hold_timer(client, due);
    }
}

/* The queue that stopped the reading has room again. No other can have: since then nothing was read. */
static void unblock(struct client *client, struct hold_queue *queue)
{
    if (queue->blocks && queue->count <= client->account->wait_count) {
        queue->blocks = false;
        client_block(client, false);
    }
}

/* Looks at what waits for a carrier, in order: sends what may go, refuses what has waited too long. `ready`,
 * where given, is the only leg that has changed: behind the first request that it has no room for, nothing
 * can go. */
static void release_queue(struct client *client, struct hold_queue *queue, const struct leg *ready)
{
    struct held *before = NULL;
    struct held *held = client->conn.closing ? NULL : queue->first; /* nobody is left to answer to */
    while (held != NULL) {
        struct held *next = held->next;
        struct subject s = subject_of(held);
        struct way way = find_way(client, &s);
        expire_way(client, held, &way);
        if (way.kind != WAY_WAIT) {
            release_one(client, queue, before, held, &way);
        } else if (ready != NULL && way.leg == ready) {
            break;
        } else {
            before = held;
        }
        held = next;
    }
    unblock(client, queue);
}

static void release_all(struct client *client)
{
    for (unsigned i = 0; client->held != NULL && client->held_count > 0 && i < NAMES_MAX; i++) {
        if (client->held[i].first != NULL) {
            release_queue(client, &client->held[i], NULL);
        }
    }
}

static void drop_held(struct client *client)
{
    struct worker *w = client->conn.worker;
    for (unsigned i = 0; client->held != NULL && i < NAMES_MAX; i++) {
        while (client->held[i].first != NULL) {
            struct held *held = client->held[i].first;
            hold_unlink(&client->held[i], NULL, held);
            uncount_held(client, held);
            hold_release(&w->held, held);
        }
    }
}

/* Refuses everything that waits: the client is to be ended. */
static void refuse_held(struct client *client)
{
    struct way way = refuse_way(ESME_RMSGQFUL, REFUSED_SHUTDOWN);
    for (unsigned i = 0; client->held != NULL && i < NAMES_MAX; i++) {
        while (client->held[i].first != NULL) {
            release_one(client, &client->held[i], NULL, client->held[i].first, &way);
        }
    }
}

/* --- MT: from a client to a leg ------------------------------------------------------------------------- */

static void go(struct client *client, const struct subject *s)
{
    struct way way = find_way(client, s);
    if (way.kind == WAY_REFUSE) {
        refuse(client, s, way.status, way.cause);
    } else if (way.kind == WAY_SEND && !others_wait(client, s)) {
        send_on(client, s, way.leg);
    } else {
        hold(client, s, &way);
    }
}

/* Sets shortcode and carrier, or refuses. */
static bool choose(struct client *client, struct subject *s, const struct smpp_address *source,
                   const struct smpp_address *dest)
{
    s->shortcode = (const char *)source->digits.p;
    s->shortcode_len = source->digits.len;
    if (!config_client_owns(client->account, source->digits.p, source->digits.len)) {
        refuse(client, s, ESME_RINVSRCADR, REFUSED_NOT_OWNER);
        return false;
    }
    s->carrier = carrier_map_find(client->conn.worker->config->carrier_map, dest->digits.p, dest->digits.len);
    if (s->carrier == NAME_NONE) {
        refuse(client, s, ESME_RINVDSTADR, REFUSED_NO_CARRIER);
        return false;
    }
    return true;
}

static void submit(struct client *client, struct subject *s)
{
    struct smpp_address source;
    struct smpp_address dest;
    if (!smpp_view_addresses(s->pdu, s->len, &source, &dest)) {
        refuse(client, s, ESME_RINVCMDLEN, REFUSED_MALFORMED);
    } else if (choose(client, s, &source, &dest)) {
        go(client, s);
    }
}

/* The carrier of all destinations; NAME_NONE where they differ or one has none. *end says how the walk ended.
 */
static uint8_t carrier_of_all(const struct carrier_map *map, const struct subject *s,
                              struct smpp_multi_view *view, enum smpp_multi_verdict *end, bool *mixed)
{
    struct smpp_multi_dest dest;
    uint8_t carrier = NAME_NONE;
    *mixed = false;
    while ((*end = smpp_multi_next(s->pdu, s->len, view, &dest)) == SMPP_MULTI_DEST) {
        uint8_t its =
            dest.is_list ? NAME_NONE : carrier_map_find(map, dest.address.digits.p, dest.address.digits.len);
        if (dest.is_list || (view->seen > 1 && its != carrier)) {
            *mixed = true;
        }
        carrier = its;
    }
    return carrier;
}

static void submit_multi(struct client *client, struct subject *s)
{
    struct smpp_multi_view view;
    enum smpp_multi_verdict end = SMPP_MULTI_BAD;
    bool mixed = false;
    if (smpp_view_multi(s->pdu, s->len, &view)) {
        s->carrier = carrier_of_all(client->conn.worker->config->carrier_map, s, &view, &end, &mixed);
    }
    if (end == SMPP_MULTI_BAD) {
        refuse(client, s, ESME_RINVCMDLEN, REFUSED_MALFORMED);
        return;
    }
    s->shortcode = (const char *)view.source.digits.p;
    s->shortcode_len = view.source.digits.len;
    if (!config_client_owns(client->account, view.source.digits.p, view.source.digits.len)) {
        refuse(client, s, ESME_RINVSRCADR, REFUSED_NOT_OWNER);
    } else if (mixed) {
        refuse(client, s, ESME_RSUBMITFAIL, REFUSED_MIXED_MULTI);
    } else if (s->carrier == NAME_NONE) {
        refuse(client, s, ESME_RINVDSTADR, REFUSED_NO_CARRIER);
    } else {
        go(client, s);
    }
}

static uint32_t unknown_id_status(uint32_t command_id)
{
    return command_id == SMPP_QUERY_SM    ? ESME_RQUERYFAIL
           : command_id == SMPP_CANCEL_SM ? ESME_RCANCELFAIL
                                          : ESME_RREPLACEFAIL;
}

/* query_sm, cancel_sm, replace_sm: to the link that accepted the message. */
static void ask_about(struct client *client, struct subject *s)
{
    struct worker *w = client->conn.worker;
    struct smpp_about_view view;
    if (!smpp_view_about(s->pdu, s->len, &view)) {
        refuse(client, s, ESME_RINVCMDLEN, REFUSED_MALFORMED);
        return;
    }
    message_index_settle(&w->ids_soon);
    int number = message_index_find(w->ids, client->id_key, view.message_id.p, view.message_id.len, w->now_s);
    s->link = bundle_link_of_number(w->bundle, number);
    if (s->link < 0) {
        metric_add(&w->metrics->query_unknown, 1);
        refuse(client, s, unknown_id_status(s->command_id), REFUSED_UNKNOWN_ID);
        return;
    }
    s->shortcode = (const char *)view.source.digits.p;
    s->shortcode_len = view.source.digits.len;
    s->carrier = w->config->link_at[s->link]->carrier;
    go(client, s);
}

static void on_client_request(struct client *client, const struct smpp_event *event)
{
    struct subject s = {.pdu = event->pdu,
                        .len = event->header.length,
                        .command_id = event->header.command_id,
                        .sequence_number = event->header.sequence_number,
                        .link = -1};
    switch (s.command_id) {
    case SMPP_SUBMIT_SM:
    case SMPP_DATA_SM: submit(client, &s); break;
    case SMPP_SUBMIT_MULTI: submit_multi(client, &s); break;
    case SMPP_QUERY_SM:
    case SMPP_CANCEL_SM:
    case SMPP_REPLACE_SM: ask_about(client, &s); break;
    default: refuse(client, &s, ESME_RINVCMDID, REFUSED_COMMAND); break;
    }
}

static bool carries_id(uint32_t command_id)
{
    return command_id == SMPP_SUBMIT_SM || command_id == SMPP_DATA_SM || command_id == SMPP_SUBMIT_MULTI;
}

static void remember_id(const struct leg *leg, const struct client *client, const struct smpp_event *event)
{
    struct worker *w = leg->conn.worker;
    struct smpp_span id;
    if (smpp_view_response_id(event->pdu, event->header.length, &id) && id.len > 0) {
        message_index_put_soon(&w->ids_soon, client->id_key, id.p, id.len, w->bundle->link_number[leg->link],
                               w->now_s);
    }
}

static void on_leg_response(struct leg *leg, const struct smpp_event *event, const struct window_slot *slot)
{
    struct worker *w = leg->conn.worker;
    struct client *client = slot == NULL ? NULL : find_client(w, slot->owner);
    if (client == NULL || client->conn.stream == NULL) {
        metric_add(&w->metrics->responses_orphaned, 1);
        return;
    }
    if (event->header.command_status == ESME_ROK && carries_id(slot->command_id)) {
        remember_id(leg, client, event);
    }
    conn_forward(&client->conn, event->pdu, event->header.length, slot->owner_sequence);
    client_answered(client);
}

/* The outcome of a request is unknown: said so to the client, never sent again. */
static void on_leg_unsettled(struct leg *leg, const struct window_slot *slot, bool timed_out)
{
    struct client *client = find_client(leg->conn.worker, slot->owner);
    if (client != NULL && client->conn.stream != NULL) {
        uint32_t status = client->account == NULL ? (uint32_t)ESME_RSYSERR : client->account->unknown_outcome;
        client_refuse(client, slot->command_id, slot->owner_sequence, status,
                      timed_out ? REFUSED_TIMEOUT : REFUSED_LEG_LOST);
    }
}

/* Looks at what waits for a leg's carrier. */
static void look_again(struct client *client, const struct leg *leg, const struct leg *ready)
{
    if (client->held_count > 0 && client->account != NULL) {
        release_queue(client, &client->held[leg->carrier], ready);
    }
}

static void on_leg_ready(struct leg *leg)
{
    struct client *client = find_client(leg->conn.worker, leg->client);
    if (client != NULL) {
        look_again(client, leg, leg);
    }
}

/* --- MO: from a leg to its client ----------------------------------------------------------------------- */

static void refuse_mo(struct leg *leg, uint32_t command_id, uint32_t sequence_number, enum refused cause)
{
    struct worker *w = leg->conn.worker;
    const struct config_carrier *carrier = w->config->carrier_of[leg->carrier];
    metric_add(&w->metrics->refused[cause], 1);
    metric_add(&leg->metrics->mo_refused, 1);
    if (smpp_has_response(command_id)) {
        conn_refuse(&leg->conn, command_id, sequence_number,
                    carrier == NULL ? (uint32_t)ESME_RMSGQFUL : carrier->mo_refusal);
    }
}

static void count_mo(struct leg *leg, const struct smpp_event *event)
{
    struct smpp_message_view view;
    bool receipt =
        smpp_view_message(event->pdu, event->header.length, &view) && smpp_is_receipt(view.esm_class);
    metric_add(receipt ? &leg->metrics->receipts : &leg->metrics->mo, 1);
}

/* Sends an MO to a client; `asked` says whose it is. False where the client has no room, or there is no
 * memory. */
static bool pass_to_client(struct client *client, const uint8_t *pdu, uint32_t len,
                           const struct window_slot *asked)
{
    struct conn *c = &client->conn;
    uint32_t sequence = 0;
    struct window_slot *slot = window_open(&c->window, false, c->worker->now, &sequence);
    if (slot == NULL) {
        return false;
    }
    slot->worker = asked->worker;
    slot->owner = asked->owner;
    slot->owner_sequence = asked->owner_sequence;
    slot->command_id = asked->command_id;
    slot->version = c->worker->version;
    conn_forward(c, pdu, len, sequence);
    if (c->window.used == 1) {
        conn_watch(c);
    }
    return true;
}

static void forward_mo(struct leg *leg, struct client *client, const struct smpp_event *event)
{
    struct window_slot asked = {.worker = (uint8_t)leg->conn.worker->number,
                                .owner = {.index = leg->index, .generation = leg->generation},
                                .owner_sequence = event->header.sequence_number,
                                .command_id = event->header.command_id};
    if (pass_to_client(client, event->pdu, event->header.length, &asked)) {
        leg->owed++;
        count_mo(leg, event);
    } else {
        refuse_mo(leg, event->header.command_id, event->header.sequence_number, REFUSED_MO_FULL);
    }
}

/* Who gets an MO: a session of this worker, or one of another worker, or nobody. */
struct receiver {
    struct client *client;
    int worker; /* -1: none */
};

/* A receiving session of the shortcode's owner, here or else elsewhere. *owned: it has an owner. */
static struct receiver receiver_of_owner(struct worker *w, struct smpp_span shortcode, bool *owned)
{
    struct receiver receiver = {.worker = -1};
    size_t count = 0;
    const struct owner *owner = owners_of(w->bundle->owners, shortcode.p, shortcode.len, &count);
    *owned = count > 0;
    for (; count > 0 && receiver.client == NULL; owner++, count--) {
        receiver.client = client_receiver(w, owner->client);
        if (receiver.worker < 0) {
            receiver.worker = shared_receiver(w->shared, owner->client->index, w->number, (unsigned)w->now);
        }
    }
    return receiver;
}

/* Who gets an MO: the leg's own client if the shortcode is its; else a session of the owner, since an SMSC to
 * which several clients look alike may hand one's MO to another's bind; a shortcode that nobody owns goes to
 * the leg's client. */
static struct receiver receiver_of(struct leg *leg, const struct smpp_event *event)
{
    struct worker *w = leg->conn.worker;
    struct smpp_address source;
    struct smpp_address dest;
    bool owned = false;
    struct client *client = find_client(w, leg->client);
    struct receiver own = {.client = client != NULL && client_may_receive(client) ? client : NULL,
                           .worker = -1};
    if (!smpp_has_response(event->header.command_id) ||
        !smpp_view_addresses(event->pdu, event->header.length, &source, &dest) ||
        (own.client != NULL && config_client_owns(client->account, dest.digits.p, dest.digits.len))) {
        return own;
    }
    struct receiver owners = receiver_of_owner(w, dest.digits, &owned);
    return owned ? owners : own;
}

static void open_relayed_request(void *owner, struct letter *letter);

/* The owner of the shortcode is bound at another worker. */
static void relay_mo(struct leg *leg, unsigned to, const struct smpp_event *event)
{
    struct window_owner self = {.index = leg->index, .generation = leg->generation};
    if (relay_request(leg->conn.worker, to, self, event->pdu, event->header.length, open_relayed_request)) {
        leg->owed++;
        count_mo(leg, event);
    } else {
        refuse_mo(leg, event->header.command_id, event->header.sequence_number, REFUSED_NO_RECEIVER);
    }
}

static void on_leg_request(struct leg *leg, const struct smpp_event *event)
{
    if (leg->conn.worker->draining || leg->state != LEG_BOUND || leg->peer_unbinds) {
        refuse_mo(leg, event->header.command_id, event->header.sequence_number, REFUSED_SHUTDOWN);
        return;
    }
    struct receiver receiver = receiver_of(leg, event);
    if (receiver.client == NULL && receiver.worker >= 0) {
        relay_mo(leg, (unsigned)receiver.worker, event);
    } else if (receiver.client == NULL) {
        refuse_mo(leg, event->header.command_id, event->header.sequence_number, REFUSED_NO_RECEIVER);
    } else if (!smpp_has_response(event->header.command_id)) {
        conn_forward(&receiver.client->conn, event->pdu, event->header.length, event->header.sequence_number);
    } else {
        forward_mo(leg, receiver.client, event);
    }
}

/* --- MO between workers --------------------------------------------------------------------------------- */

/* In the leg's worker: the answer, or a refusal, of a request that was relayed. */
static void open_relayed_answer(void *owner, struct letter *letter)
{
    struct worker *w = owner; /* a thread begins with its worker */
    struct relay *relay = (struct relay *)letter;
    worker_wake(w);
    struct leg *leg = find_leg(w, relay->leg);
    if (leg == NULL || leg->conn.stream == NULL) {
        metric_add(&w->metrics->responses_orphaned, 1);
    } else {
        if (relay->len > 0) {
            conn_forward(&leg->conn, relay->pdu, relay->len, relay->sequence_number);
        } else {
            refuse_mo(leg, relay->command_id, relay->sequence_number, relay->cause);
        }
        leg_paid(leg);
    }
    relay_free(relay);
}

/* In the client's worker. */
static void open_relayed_request(void *owner, struct letter *letter)
{
    struct worker *w = owner;
    struct relay *relay = (struct relay *)letter;
    struct smpp_address source;
    struct smpp_address dest;
    bool owned = false;
    worker_wake(w);
    struct window_slot asked = {.worker = relay->from,
                                .owner = relay->leg,
                                .owner_sequence = relay->sequence_number,
                                .command_id = relay->command_id};
    struct client *client = NULL;
    if (!w->draining && smpp_view_addresses(relay->pdu, relay->len, &source, &dest)) {
        client = receiver_of_owner(w, dest.digits, &owned).client;
    }
    if (client == NULL) {
        (void)relay_refusal(w, relay->from, &asked, REFUSED_NO_RECEIVER, open_relayed_answer);
    } else if (!pass_to_client(client, relay->pdu, relay->len, &asked)) {
        (void)relay_refusal(w, relay->from, &asked, REFUSED_MO_FULL, open_relayed_answer);
    }
    relay_free(relay);
}

static void on_client_response(struct client *client, const struct smpp_event *event,
                               const struct window_slot *slot)
{
    struct worker *w = client->conn.worker;
    if (slot->worker != w->number) {
        (void)relay_answer(w, slot, event->pdu, event->header.length, open_relayed_answer);
        return;
    }
    struct leg *leg = find_leg(w, slot->owner);
    if (leg == NULL || leg->conn.stream == NULL) {
        metric_add(&w->metrics->responses_orphaned, 1);
        return;
    }
    conn_forward(&leg->conn, event->pdu, event->header.length, slot->owner_sequence);
    leg_paid(leg);
}

static void refuse_mo_of(struct client *client, const struct window_slot *slot, enum refused cause)
{
    struct worker *w = client->conn.worker;
    if (slot->worker != w->number) {
        (void)relay_refusal(w, slot->worker, slot, cause, open_relayed_answer);
        return;
    }
    struct leg *leg = find_leg(w, slot->owner);
    if (leg != NULL && leg->conn.stream != NULL) {
        refuse_mo(leg, slot->command_id, slot->owner_sequence, cause);
        leg_paid(leg);
    }
}

static void on_client_expired(struct client *client, const struct window_slot *slot)
{
    refuse_mo_of(client, slot, REFUSED_CLIENT_SILENT);
}

static void on_client_abandoned(struct client *client, const struct window_slot *slot)
{
    refuse_mo_of(client, slot, REFUSED_CLIENT_GONE);
}

/* --- beginnings and ends -------------------------------------------------------------------------------- */

static void on_client_timer(struct client *client)
{
    if (client->account != NULL) {
        release_all(client);
    }
}

static void on_client_closed(struct client *client)
{
    drop_held(client);
    for (unsigned i = 0; i < client->legs_count; i++) {
        struct leg *leg = client->legs[i];
        if (leg != NULL) {
            leg->client = (struct window_owner){0, 0};
            leg->orphan_of = client->account_index + 1;
            shared_orphans(client->conn.worker->shared, client->account_index, +1);
            leg_end(leg);
        }
    }
}

static bool leg_bind_with(struct leg *leg, struct leg_bind *bind)
{
    const struct worker *w = leg->conn.worker;
    const struct client *client = find_client(w, leg->client);
    const struct config_link *link =
        leg->link < w->config->link_at_count ? w->config->link_at[leg->link] : NULL;
    if (client == NULL || client->account == NULL || link == NULL) {
        return false;
    }
    *bind = (struct leg_bind){.system_id = link->system_id,
                              .password = link->password,
                              .system_type = link->system_type,
                              .address_range =
                                  link->address_range != NULL ? link->address_range : client->address_range,
                              .interface_version = link->interface_version == 0 ? client->interface_version
                                                                                : link->interface_version,
                              .range_ton = client->range_ton,
                              .range_npi = client->range_npi};
    if (link->credentials == CREDENTIALS_PASS) {
        bind->system_id = client->account->system_id;
        bind->password = client->password;
        bind->from_peer = true;
        bind->system_type = link->system_type != NULL ? link->system_type : client->system_type;
    } else if (link->credentials == CREDENTIALS_CLIENT) {
        const struct config_upstream *own = config_upstream(client->account, leg->link);
        bind->system_id = own == NULL ? NULL : own->system_id;
        bind->password = own == NULL ? NULL : own->password;
        bind->system_type = own != NULL && own->system_type != NULL ? own->system_type : link->system_type;
    }
    bind->from_peer = bind->from_peer || bind->address_range == client->address_range;
    return bind->system_id != NULL;
}

static void on_leg_bound(struct leg *leg)
{
    struct client *client = find_client(leg->conn.worker, leg->client);
    if (client != NULL) {
        backoff_clear(&leg->conn.worker->backoffs, client->account_index, leg->link);
        answer_bind(client);
        on_leg_ready(leg);
    }
}

static void on_leg_failed(struct leg *leg)
{
    struct client *client = find_client(leg->conn.worker, leg->client);
    struct backoff backoff = {.failures = leg->attempts, .until = leg->retry.due};
    if (client != NULL) {
        backoff_note(&leg->conn.worker->backoffs, client->account_index, leg->link, backoff);
        answer_bind(client);
        look_again(client, leg, NULL); /* what waits for the leg has less time than behind a full window */
    }
}

static void on_leg_ended(struct leg *leg)
{
    if (leg->orphan_of > 0) {
        shared_orphans(leg->conn.worker->shared, leg->orphan_of - 1, -1);
    }
    struct client *client = find_client(leg->conn.worker, leg->client);
    if (client != NULL && leg_at(client, leg->link) == leg) {
        client->legs[leg->link] = NULL;
    }
}

static const struct leg_events forward_leg_events = {.bind_with = leg_bind_with,
                                                     .bound = on_leg_bound,
                                                     .failed = on_leg_failed,
                                                     .request = on_leg_request,
                                                     .response = on_leg_response,
                                                     .unsettled = on_leg_unsettled,
                                                     .ready = on_leg_ready,
                                                     .ended = on_leg_ended};

const struct client_events forward_client_events = {.bind = on_client_bind,
                                                    .request = on_client_request,
                                                    .response = on_client_response,
                                                    .expired = on_client_expired,
                                                    .abandoned = on_client_abandoned,
                                                    .closed = on_client_closed,
                                                    .timer = on_client_timer};

/* --- changes from outside ------------------------------------------------------------------------------- */

/* Calls for every client that has bound or is binding. The registry may grow meanwhile; clients are not
 * freed. */
static void each_client(struct worker *w, void (*call)(struct client *client))
{
    for (uint32_t i = 0; i < w->clients.capacity; i++) {
        struct client *client = registry_at(&w->clients, i);
        if (client != NULL && client->conn.stream != NULL) {
            call(client);
        }
    }
}

static void follow_table(struct client *client)
{
    if (client->account != NULL && client->has_account && !client->ending && !client->conn.closing) {
        follow_legs(client);
        release_all(client);
    }
}

void forward_follow_table(struct worker *w)
{
    each_client(w, follow_table);
}

static void follow_config(struct client *client)
{
    client_follow_config(client);
    if (client->ending) {
        refuse_held(client);
        client_end(client);
    } else {
        follow_table(client);
    }
}

void forward_follow_config(struct worker *w)
{
    each_client(w, follow_config);
}

void forward_review(struct worker *w)
{
    w->linger_end = UINT64_MAX;
    each_client(w, follow_table);
}

static void end_client(struct client *client)
{
    refuse_held(client);
    client_end(client);
}

void forward_end_all(struct worker *w)
{
    w->draining = true;
    each_client(w, end_client);
}

const char *forward_holds_older(const struct worker *w, uint64_t version)
{
    for (uint32_t i = 0; i < w->legs.capacity; i++) {
        const struct leg *leg = registry_at(&w->legs, i);
        if (leg != NULL && conn_holds_older(&leg->conn, version)) {
            return leg->link < w->config->link_at_count && w->config->link_at[leg->link] != NULL
                       ? w->config->link_at[leg->link]->name
                       : "removed";
        }
    }
    return NULL;
}

uint64_t forward_settled(const struct worker *w)
{
    uint64_t settled = w->version;
    for (uint32_t i = 0; i < w->legs.capacity; i++) {
        const struct leg *leg = registry_at(&w->legs, i);
        uint64_t version = 0;
        if (leg != NULL && window_oldest_version(&leg->conn.window, &version) && version < settled) {
            settled = version;
        }
    }
    return settled;
}
