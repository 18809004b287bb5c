/* A client's session: accepted, bound, served, ended.
 *
 *   accept ─▶ OPEN ─bind─▶ who is it? (auth) ─▶ may it? (address, bind type, count) ─▶ events->bind
 *          ─▶ client_accept_bind or client_refuse_bind ─▶ BOUND: events->request, events->response
 *          ─▶ unbind, or its connection ends ─▶ events->closed
 *
 * Knows neither routes nor legs: what is behind it is `events`. Wrong credentials and unknown ids get the
 * same answer (ESME_RINVPASWD) after the same time; every fault of ours gets ESME_RBINDFAIL. SMPP 3.4
 * sections 2.2, 4.1, 4.2. */
#ifndef PROXY_CLIENT_H
#define PROXY_CLIENT_H

#include "proxy/conn.h"
#include "proxy/hold.h"

struct client;
struct leg;
struct leg_events;

struct client_events {
    /* The client is who it says and may bind: bind the legs, then call client_accept_bind or
     * client_refuse_bind. */
    void (*bind)(struct client *client);
    void (*request)(struct client *client, const struct smpp_event *event);
    /* The client's answer to something we passed on. */
    void (*response)(struct client *client, const struct smpp_event *event, const struct window_slot *slot);
    /* Its answer is overdue. */
    void (*expired)(struct client *client, const struct window_slot *slot);
    /* The session has ended. What was passed on and not answered follows as `abandoned`, one by one, before
     * this. */
    void (*abandoned)(struct client *client, const struct window_slot *slot);
    void (*closed)(struct client *client);
    void (*timer)(struct client *client);
};

enum { CLIENT_NAME_MAX = 64 };

struct client {
    struct conn conn; /* first: a conn's owner is found by a cast */
    const struct client_events *events;
    uint32_t index, generation; /* in worker->clients */
    const struct config_client
        *account; /* NULL until the bind is checked, and when a reload has removed it */
    uint32_t account_index;
    bool has_account;        /* counted in shared->binds */
    bool counted_unbound;    /* counted in shared->unbound */
    bool unbound_of_address; /* counted by the visitors as such */
    bool secure;             /* it comes by TLS */
    uint64_t address;        /* counted in shared->visitors, 0: not */
    uint64_t pair;           /* the same with the system_id, for wrong passwords */
    unsigned blocked;        /* places behind that have no room: reading waits */
    bool unbind_wanted;      /* the peer said unbind: answer when nothing is in flight */
    bool ending;             /* we want it to end: unbind it when nothing is in flight */
    uint32_t unbind_sequence;
    unsigned in_flight;             /* its requests not answered yet, kept back ones included */
    char name[CLIENT_NAME_MAX + 1]; /* its system_id, for logs: the account may be gone */
    uint64_t id_key;                /* its share of the message index' key */
    uint32_t unknown_outcome;       /* its account's: what is in flight outlives that */
    char *password;                 /* as sent, for links that pass it on; wiped at the end */
    uint8_t interface_version;
    char *system_type;   /* of its bind, NULL for none */
    char *address_range; /* of its bind, NULL for none */
    uint8_t range_ton, range_npi;
    /* For whoever is behind: its legs by link index, and what is kept back by carrier. */
    struct leg **legs;
    unsigned legs_count;
    const struct leg_events *leg_events; /* what they call; set with the bind */
    struct hold_queue *held;             /* NAMES_MAX of them, made when first needed */
    unsigned held_count;
    size_t held_bytes;
    struct timer hold_timer;
    struct client *next_receiver; /* of the same account, in worker->receivers */
};

/* Accepts a connection from a listener's handle. tls NULL: plain. False where it could not be: *error is
 * libuv's code, or 0 where a limit was met (the connection was then accepted and closed). */
bool client_accept(struct worker *w, uv_stream_t *server, struct ssl_ctx_st *tls,
                   const struct client_events *events, int *error);

/* The parts of client_accept, for streams of any kind: a session within the limits (NULL as above), to whose
 * conn a stream is to be made with conn_stream_events; then attach begins it, or withdraw undoes it. */
struct client *client_begin(struct worker *w, const struct client_events *events, int *error);
void client_attach(struct client *client, struct stream *stream);
void client_withdraw(struct client *client);

/* The password check of this session has ended: auth's callback. */
void client_authenticated(struct worker *w, uint64_t token, enum auth_verdict verdict);

void client_accept_bind(struct client *client);

/* Answers the bind with command_status and closes. why: for the log, static text. */
void client_refuse_bind(struct client *client, uint32_t command_status, const char *why);

/* One of its requests has been answered (positively or not); the answer is in the output already. */
void client_answered(struct client *client);

/* Refuses a request of its own, counts why, and counts it as answered. */
void client_refuse(struct client *client, uint32_t command_id, uint32_t sequence_number,
                   uint32_t command_status, enum refused cause);

/* A place behind has no room for more requests, or has it again: calls come in pairs. */
void client_block(struct client *client, bool blocked);

/* Ends the session in an orderly way: nothing new, unbind once all is answered. */
void client_end(struct client *client);

/* After a reload: the account of the new config; a client that is no longer in it is ended. */
void client_follow_config(struct client *client);

static inline bool client_may_receive(const struct client *client)
{
    enum smpp_state state = client->conn.smpp.state;
    return conn_is_bound(&client->conn) && state != SMPP_BOUND_TX && !client->unbind_wanted &&
           !client->ending;
}

/* What names a session where a pointer might outlive it, and the session of a name: NULL once it has gone. */
static inline struct window_owner client_owner(const struct client *client)
{
    return (struct window_owner){.index = client->index, .generation = client->generation};
}

static inline struct client *client_find(const struct worker *w, struct window_owner owner)
{
    return registry_get(&w->clients, owner.index, owner.generation);
}

/* A session of this client, bound here, that has room for an MO; NULL for none. */
struct client *client_receiver(const struct worker *w, const struct config_client *account);

#endif
