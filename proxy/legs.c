#include "proxy/legs.h"

#include <stdlib.h>
#include <string.h>

#define SECOND 1000000000ULL
enum { QUERY_LEG_SECONDS = 60 };

/* --- which links a client needs ------------------------------------------------------------------------- */

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

/* What a client needs legs for: routes of today and those that an open window is about to make, so that a flip
 * finds its leg bound; and platforms that served before and whose legs linger. */
struct links_needed {
    struct link_set now, before;
};

static void review_at(struct worker *w, uint64_t second)
{
    w->linger_end = second < w->linger_end ? second : w->linger_end;
}

/* The link of the platform that a route has left, as long as its legs linger. */
static void add_link_before(struct worker *w, const struct config_client *account, uint8_t carrier,
                            const struct route *route, struct links_needed *needed)
{
    const struct config_link *link =
        route->previous < NAMES_MAX ? w->config->link_of[carrier][route->previous] : NULL;
    uint64_t linger_end = route->changed + w->config->linger / SECOND;
    if (link != NULL && w->now_s < linger_end &&
        !released_since(&w->released, account->index, link->index, route->changed)) {
        set_add(&needed->before, link);
        review_at(w, linger_end);
    }
}

/* The links of one (shortcode, carrier). */
static void add_links_of(struct worker *w, const struct config_client *account, const char *shortcode,
                         uint8_t carrier, struct links_needed *needed)
{
    struct route route;
    if (!table_lookup(w->table, shortcode, strlen(shortcode), carrier, &route)) {
        return;
    }
    struct config_link *const *of_carrier = w->config->link_of[carrier];
    if (route.platform < NAMES_MAX) {
        set_add(&needed->now, of_carrier[route.platform]);
    }
    if (route.next < NAMES_MAX) {
        set_add(&needed->now, of_carrier[route.next]);
    }
    add_link_before(w, account, carrier, &route, needed);
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
            add_links_of(w, account, account->shortcodes[s], config->carriers[i].id, &needed);
        }
    }
    return needed;
}

/* --- the legs ----------------------------------------------------------------------------------------- */

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
SELDOM static struct leg *need_leg(struct client *client, const struct config_link *link)
{
    struct worker *w = client->conn.worker;
    struct leg *leg = legs_at(client, link->index);
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
    leg = leg_new(w, link, client->conn.smpp.bind_id, client_owner(client), &backoff, client->leg_events);
    client->legs[link->index] = leg;
    if (leg != NULL) {
        memcpy(leg->name, client->name, sizeof leg->name);
        leg->config = w->config;
        leg->shape = link_shape(client->account, link);
    }
    return leg;
}

struct leg *legs_take(struct client *client, const struct config_link *link)
{
    struct worker *w = client->conn.worker;
    struct leg *leg = legs_at(client, link->index);
    if (leg == NULL || leg->state == LEG_ENDING) {
        leg = need_leg(client, link);
        if (leg != NULL) { /* no route needs it, or it would be there: unless a review says otherwise, it is
                              for one query */
            leg->for_query = true;
            review_at(w, w->now_s + QUERY_LEG_SECONDS);
        }
    }
    return leg;
}

/* When a leg that nothing needs may go, in seconds since 1970: once it has been idle for its patience, counted
 * from when it was needed or last carried anything; however busy, not later than linger-max. */
static uint64_t end_of_linger(const struct leg *leg, const struct config *config)
{
    uint64_t patience = leg->for_query ? QUERY_LEG_SECONDS : config->linger / SECOND;
    uint64_t most = config->linger_max / SECOND;
    uint64_t idle_since = leg->used > leg->unneeded_since ? leg->used : leg->unneeded_since;
    uint64_t last = leg->unneeded_since + (most > patience ? most : patience);
    return idle_since + patience < last ? idle_since + patience : last;
}

/* A leg that no route of today needs: it stays for receipts, MO and queries as long as it may, however the
 * routes have moved since. One that is not even bound owes nothing. */
static void linger(struct client *client, struct leg *leg, const struct links_needed *needed)
{
    struct worker *w = client->conn.worker;
    const struct config_link *link =
        leg->link < w->config->link_at_count ? w->config->link_at[leg->link] : NULL;
    if (leg->unneeded_since == 0) {
        leg->unneeded_since = w->now_s;
    }
    uint64_t end = end_of_linger(leg, w->config);
    if (link == NULL || !leg_is_bound(leg) || w->now_s >= end) {
        if (link == NULL || !set_has(&needed->before, leg->link)) {
            leg_end(leg);
        }
        return;
    }
    review_at(w, end);
}

unsigned legs_review(struct client *client)
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

void legs_release(struct client *client, unsigned link, struct legs_released *sum)
{
    struct leg *leg = legs_at(client, link);
    if (leg == NULL || leg->state == LEG_ENDING) {
        return;
    }
    struct links_needed needed = links_needed(client->conn.worker, client->account);
    if (set_has(&needed.now, link)) {
        sum->needed++;
    } else {
        sum->ended++;
        leg_end(leg);
    }
}

struct legs_count legs_count(const struct client *client)
{
    struct legs_count count = {0, 0, 0};
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

void legs_abandon(struct client *client)
{
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

void legs_forget(struct leg *leg)
{
    if (leg->orphan_of > 0) {
        shared_orphans(leg->conn.worker->shared, leg->orphan_of - 1, -1);
    }
    struct client *client = client_find(leg->conn.worker, leg->client);
    if (client != NULL && legs_at(client, leg->link) == leg) {
        client->legs[leg->link] = NULL;
    }
}

/* --- how they bind -------------------------------------------------------------------------------------- */

/* What of a bind the client's own tells, unless the link says it. */
static void as_the_client(const struct config_link *link, const struct client *client, struct leg_bind *bind)
{
    bind->interface_version =
        link->interface_version == 0 ? client->interface_version : link->interface_version;
    bind->range_ton = client->range_ton;
    bind->range_npi = client->range_npi;
    if (link->address_range == NULL) {
        bind->address_range = client->address_range;
        bind->from_peer = true;
    }
}

bool legs_credentials(const struct config_link *link, const struct config_client *account,
                      const struct client *client, struct leg_bind *bind)
{
    const struct config_upstream *own = account == NULL ? NULL : config_upstream(account, link->index);
    *bind =
        (struct leg_bind){.system_id = link->system_id,
                          .password = link->password,
                          .system_type = link->system_type,
                          .address_range = link->address_range,
                          .interface_version = link->interface_version == 0 ? 0x34 : link->interface_version};
    if (client != NULL) {
        as_the_client(link, client, bind);
    }
    if (link->credentials == CREDENTIALS_PASS) {
        bool sent = account != NULL && client != NULL;
        bind->system_id = sent ? account->system_id : NULL;
        bind->password = sent ? client->password : NULL;
        bind->from_peer = true;
        bind->system_type = link->system_type != NULL || !sent ? link->system_type : client->system_type;
    } else if (link->credentials == CREDENTIALS_CLIENT) {
        bind->system_id = own == NULL ? NULL : own->system_id;
        bind->password = own == NULL ? NULL : own->password;
        bind->system_type = own != NULL && own->system_type != NULL ? own->system_type : link->system_type;
    }
    return bind->system_id != NULL;
}

bool legs_bind_with(struct leg *leg, struct leg_bind *bind)
{
    const struct worker *w = leg->conn.worker;
    const struct client *client = client_find(w, leg->client);
    const struct config_link *link =
        leg->link < w->config->link_at_count ? w->config->link_at[leg->link] : NULL;
    return client != NULL && client->account != NULL && link != NULL &&
           legs_credentials(link, client->account, client, bind);
}
