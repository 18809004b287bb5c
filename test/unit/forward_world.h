/* A whole proxy in one thread, without sockets, under a clock that the test moves.
 *
 *   client end ──stream_pair──▶ client ─▶ forward ─▶ leg ──stream_pair──▶ SMSC end
 *    (a peer)                     a real worker, config, table, auth         (a peer)
 *
 * A peer keeps account of every request that it sends: an answer to nothing, a second answer and an answer of
 * the wrong command fail the test where they arrive; world_end fails for an answer that never came, for what
 * arrived and was not looked at, and for whatever a session left behind. A message that reaches an SMSC a
 * second time fails the test, too. Included, not linked: a file of test/unit is a program. */
#ifndef TEST_FORWARD_WORLD_H
#define TEST_FORWARD_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <uv.h>

#include "proxy/client.h"
#include "proxy/forward.h"
#include "proxy/leg.h"
#include "proxy/log.h"
#include "smpp/control.h"

#define MS     1000000ULL
#define SECOND (1000 * MS)
#define SPARK  "64271234567" /* numbers of the carriers */
#define ONENZ  "64211234567"

enum { SPARK_REDX, SPARK_OMNI, ONENZ_REDX, ONENZ_OMNI, LINKS };
enum { PEERS_MAX = 512, MESSAGES_MAX = 20000, PDU_MAX = 80000 };

/* crypt("secret", "$6$rounds=1000$turnout$") */
#define SECRET_HASH                           \
    "$6$rounds=1000$turnout$93c4/hu3YtSMrOYc" \
    "4EzN4xZZzI6IpXiB4/kS1IG7okMMh6rM1jm3.57U2XLKJcdt.cHf.zY954ZCT.K4y6vCN1"

struct pdu {
    struct pdu *older; /* of the world's list of all */
    uint32_t len, id, status, sequence;
    uint8_t bytes[];
};

/* A request that a peer has sent. */
struct debt {
    uint32_t id, sequence;
    bool answered;
    bool maybe; /* it is not all there: it may be answered, or not */
};

struct peer {
    struct stream_pair *pair;
    struct stream *stream;      /* NULL: ended */
    int link;                   /* -1: a client */
    uint32_t index, generation; /* a client's, in the registry */
    uint32_t next_sequence;
    uint8_t room[65536];
    uint8_t *kept;
    size_t kept_len, kept_size;
    struct pdu **inbox;
    size_t inbox_len, inbox_size, inbox_read;
    struct debt *debts;
    size_t debts_len, debts_size;
    enum stream_end end;
    unsigned enquired, unbound; /* enquire_link and unbind that it got */
    bool answers;               /* answers every request by itself */
    bool mute;                  /* answers neither enquire_link nor unbind */
    bool careless;              /* what it got need not be looked at */
};

enum link_mood { LINK_UP, LINK_DOWN, LINK_NO_MEMORY, LINK_HANGS };

/* What an SMSC will do when it is connected to. */
struct plan {
    enum link_mood mood;
    uint32_t bind_status;
    size_t capacity; /* octets under way before a stream is busy */
    bool bind_silent;
    bool answers;
    unsigned connects;
    struct pdu *bind; /* the last */
};

/* Beside the defaults of the configuration. */
struct setup {
    const char *root;
    const char *spark; /* in the carrier's section */
    const char *link;  /* in every link */
    const char *link_of[LINKS];
    bool without[LINKS]; /* no such link */
    const char *client;
    const char *shortcodes; /* of acme; NULL: 5001 and 5002 */
    bool without_acme;
};

struct world {
    uv_loop_t loop;
    struct worker worker;
    struct config_ids ids;
    struct metrics *metrics;
    struct bundle *bundle;
    struct table *table;
    struct shared *shared;
    struct peer *peers[PEERS_MAX];
    unsigned peers_count;
    struct plan plans[LINKS];
    struct pdu *pdus;
    size_t client_capacity;
    size_t step; /* octets that a stream carries at a time; 0: all */
    unsigned messages;
    bool seen[MESSAGES_MAX]; /* messages that an SMSC got */
    bool debts_allowed;
    bool unnumbered; /* messages are not looked at for coming twice */
    /* Keeps account of all octets that peers send, in place of send_pdu; NULL: nobody does. */
    void (*sending)(struct peer *p, const uint8_t *octets, size_t len);
};

static struct world world;
static uint64_t world_time;
/* Not 0: the memory is the test's own and does not fail. Volatile, since compilers know that malloc reads no
 * variable. */
static volatile unsigned world_shield;

static const char *const link_names[LINKS] = {"spark-redx", "spark-omni", "onenz-redx", "onenz-omni"};

static inline uint64_t world_clock(void)
{
    return world_time;
}

static inline uint64_t dice(uint64_t n)
{
    static uint64_t x = 0x2545F4914F6CDD1D;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x % n;
}

/* Room for one more of a list. */
static inline void *world_grow(void *list, size_t len, size_t *size, size_t item)
{
    if (len < *size) {
        return list;
    }
    *size = *size == 0 ? 16 : *size * 2;
    world_shield++;
    void *larger = realloc(list, *size * item);
    world_shield--;
    assert_non_null(larger);
    return larger;
}

/* --- what a peer sends ---------------------------------------------------------------------------------- */

/* Octets as they are: no account is kept, but by world.sending. */
static inline void send_octets(struct peer *p, const uint8_t *octets, size_t len)
{
    struct chunk *first = NULL;
    struct chunk **at = &first;
    assert_non_null(p->stream);
    if (world.sending != NULL) {
        world.sending(p, octets, len);
    }
    world_shield++;
    while (len > 0) {
        struct chunk *chunk = chunk_get(&world.worker.chunks);
        assert_non_null(chunk);
        size_t part = len < CHUNK_SIZE ? len : CHUNK_SIZE;
        memcpy(chunk->data, octets, part);
        chunk->end = (uint32_t)part;
        *at = chunk;
        at = &chunk->next;
        octets += part;
        len -= part;
    }
    stream_write(p->stream, first);
    world_shield--;
}

static inline void owe(struct peer *p, uint32_t id, uint32_t sequence)
{
    if (smpp_has_response(id)) {
        p->debts = world_grow(p->debts, p->debts_len, &p->debts_size, sizeof *p->debts);
        p->debts[p->debts_len++] = (struct debt){.id = id, .sequence = sequence};
    }
}

/* A whole PDU; a request is owed an answer from here on. */
static inline void send_pdu(struct peer *p, const uint8_t *pdu, size_t len)
{
    assert_true(len >= SMPP_HEADER_LEN);
    if (world.sending == NULL) {
        owe(p, smpp_get32(pdu + 4), smpp_get32(pdu + 12));
    }
    send_octets(p, pdu, len);
}

static inline void send_header(struct peer *p, uint32_t id, uint32_t status, uint32_t sequence)
{
    uint8_t pdu[SMPP_HEADER_LEN];
    smpp_put_header(pdu, &(struct smpp_header){SMPP_HEADER_LEN, id, status, sequence});
    send_pdu(p, pdu, sizeof pdu);
}

/* Sequence numbers of peers differ from those that the proxy uses. */
static inline uint32_t next_sequence(struct peer *p)
{
    return p->next_sequence++;
}

/* An answer to a PDU that the peer has got: with an id where the status is ESME_ROK. */
static inline void answer(struct peer *p, const struct pdu *request, uint32_t status, const char *message_id)
{
    uint8_t pdu[256];
    size_t len = smpp_encode_id_resp(pdu, sizeof pdu, request->id | SMPP_RESPONSE_BIT, request->sequence,
                                     status, message_id, (struct smpp_span){NULL, 0});
    send_pdu(p, pdu, len);
}

/* --- what a peer gets ----------------------------------------------------------------------------------- */

/* Which debt a PDU could settle: the oldest that is unanswered and of its kind, else whatever tells most about the
 * fault. A nack belongs to a command that is unknown rather than to one that was passed on, and only then to one
 * that never came whole. */
static inline unsigned fit(const struct debt *debt, const struct pdu *pdu)
{
    bool nack = pdu->id == SMPP_GENERIC_NACK;
    if (debt->sequence != pdu->sequence) {
        return 0;
    } else if (debt->answered || (!nack && pdu->id != (debt->id | SMPP_RESPONSE_BIT))) {
        return debt->answered ? 1 : 2;
    } else if (debt->maybe) {
        return 3;
    }
    return nack && smpp_has_response(debt->id) ? 4 : 5;
}

static inline struct debt *find_debt(struct peer *p, const struct pdu *pdu)
{
    struct debt *found = NULL;
    for (size_t i = 0; i < p->debts_len; i++) {
        if (fit(&p->debts[i], pdu) > (found == NULL ? 0 : fit(found, pdu))) {
            found = &p->debts[i];
        }
    }
    return found;
}

/* Exactly one answer a request, of its own kind. */
static inline void settle_debt(struct peer *p, const struct pdu *pdu)
{
    struct debt *debt = find_debt(p, pdu);
    if (debt == NULL) {
        fail_msg("%s 0x%x for nothing, status 0x%x", smpp_command_name(pdu->id), pdu->sequence, pdu->status);
    } else if (debt->answered) {
        fail_msg("a second answer: %s 0x%x", smpp_command_name(pdu->id), pdu->sequence);
    } else if (pdu->id != SMPP_GENERIC_NACK && pdu->id != (debt->id | SMPP_RESPONSE_BIT)) {
        fail_msg("%s to a %s", smpp_command_name(pdu->id), smpp_command_name(debt->id));
    } else {
        debt->answered = true;
    }
}

static inline void note_message(const struct pdu *pdu)
{
    struct smpp_message_view view;
    unsigned number = 0;
    if (!smpp_view_message(pdu->bytes, pdu->len, &view) || view.text.len != 7 || view.text.p[0] != 'm') {
        return;
    }
    for (unsigned i = 1; i < 7; i++) {
        number = number * 10 + (unsigned)(view.text.p[i] - '0');
    }
    assert_true(number < MESSAGES_MAX);
    if (world.seen[number]) {
        fail_msg("message %u was sent twice", number);
    }
    world.seen[number] = true;
}

static inline void put_in_inbox(struct peer *p, struct pdu *pdu)
{
    p->inbox = world_grow(p->inbox, p->inbox_len, &p->inbox_size, sizeof(struct pdu *));
    p->inbox[p->inbox_len++] = pdu;
}

static inline void smsc_bind(struct peer *p, struct pdu *pdu)
{
    struct plan *plan = &world.plans[p->link];
    uint8_t out[64];
    plan->bind = pdu;
    if (!plan->bind_silent) {
        size_t len =
            smpp_encode_bind_resp(out, sizeof out, pdu->id, pdu->sequence, plan->bind_status, "smsc", 0x34);
        send_pdu(p, out, len);
    }
}

static inline void on_peer_request(struct peer *p, struct pdu *pdu)
{
    if (p->link >= 0 && smpp_is_bind(pdu->id)) {
        smsc_bind(p, pdu);
    } else if (pdu->id == SMPP_ENQUIRE_LINK || pdu->id == SMPP_UNBIND) {
        *(pdu->id == SMPP_UNBIND ? &p->unbound : &p->enquired) += 1;
        if (!p->mute) {
            send_header(p, pdu->id | SMPP_RESPONSE_BIT, ESME_ROK, pdu->sequence);
        }
    } else {
        if (p->link >= 0 && !world.unnumbered) {
            note_message(pdu);
        }
        if (p->answers) {
            answer(p, pdu, ESME_ROK, p->link < 0 ? "" : "id");
        }
        put_in_inbox(p, pdu);
    }
}

static inline void on_peer_pdu(struct peer *p, const uint8_t *octets, uint32_t len)
{
    world_shield++;
    struct pdu *pdu = malloc(sizeof *pdu + len);
    world_shield--;
    assert_non_null(pdu);
    *pdu = (struct pdu){.older = world.pdus,
                        .len = len,
                        .id = smpp_get32(octets + 4),
                        .status = smpp_get32(octets + 8),
                        .sequence = smpp_get32(octets + 12)};
    memcpy(pdu->bytes, octets, len);
    world.pdus = pdu;
    if (!smpp_is_response(pdu->id)) {
        on_peer_request(p, pdu);
        return;
    }
    settle_debt(p, pdu);
    put_in_inbox(p, pdu);
}

static inline void peer_opened(void *owner)
{
    (void)owner;
}

static inline uint8_t *peer_room(void *owner, size_t *len)
{
    struct peer *p = owner;
    *len = sizeof p->room;
    return p->room;
}

static inline void peer_bytes(void *owner, size_t len)
{
    struct peer *p = owner;
    world_shield++;
    if (p->kept_len + len > p->kept_size) {
        p->kept_size = 2 * (p->kept_len + len);
        p->kept = realloc(p->kept, p->kept_size);
        assert_non_null(p->kept);
    }
    world_shield--;
    memcpy(p->kept + p->kept_len, p->room, len);
    p->kept_len += len;
    size_t at = 0;
    struct smpp_header header;
    while (smpp_frame(p->kept + at, p->kept_len - at, PDU_MAX, &header) == SMPP_FRAME_WHOLE) {
        on_peer_pdu(p, p->kept + at, header.length);
        at += header.length;
    }
    assert_true(p->kept_len - at < PDU_MAX);
    memmove(p->kept, p->kept + at, p->kept_len - at);
    p->kept_len -= at;
}

static inline void peer_writable(void *owner)
{
    (void)owner;
}

static inline void peer_closed(void *owner, enum stream_end end, const char *detail)
{
    struct peer *p = owner;
    (void)detail;
    p->stream = NULL;
    p->end = end;
}

static const struct stream_events peer_events = {.opened = peer_opened,
                                                 .room = peer_room,
                                                 .bytes = peer_bytes,
                                                 .writable = peer_writable,
                                                 .closed = peer_closed};

static inline struct peer *peer_new(struct stream_pair *pair, int link)
{
    world_shield++;
    struct peer *p = calloc(1, sizeof *p);
    assert_non_null(p);
    world_shield--;
    assert_true(world.peers_count < PEERS_MAX);
    world.peers[world.peers_count++] = p;
    p->pair = pair;
    p->link = link;
    p->next_sequence = 0x5EED0000U + 0x1000U * world.peers_count;
    p->stream = stream_pair_end(pair, 1, &peer_events, p);
    stream_read_start(p->stream);
    return p;
}

/* worker->connect: the port says which link it is. */
static inline struct stream *world_connect(struct stream_env *env, const struct stream_target *target,
                                           const struct stream_events *events, void *owner)
{
    int link = target->port - 2001;
    assert_in_range(link, 0, LINKS - 1);
    struct plan *plan = &world.plans[link];
    plan->connects++;
    if (plan->mood == LINK_NO_MEMORY) {
        return NULL;
    }
    struct stream_pair *pair = stream_pair_new(env, plan->capacity);
    if (pair == NULL) {
        return NULL;
    }
    struct peer *p = peer_new(pair, link);
    p->answers = plan->answers;
    if (plan->mood == LINK_DOWN) {
        stream_pair_cut(pair);
    }
    return stream_pair_end(pair, 0, events, owner);
}

/* --- the world's time ----------------------------------------------------------------------------------- */

static inline void wait_for_passwords(void)
{
    while (uv_loop_alive(&world.loop)) {
        uv_run(&world.loop, UV_RUN_ONCE);
    }
}

/* One turn of the loop. A link that hangs carries nothing. */
static inline bool world_turn(void)
{
    bool moved = false;
    for (unsigned i = 0; i < world.peers_count; i++) {
        struct peer *p = world.peers[i];
        if (p->link < 0 || world.plans[p->link].mood != LINK_HANGS) {
            moved |= stream_pair_step(p->pair, world.step);
        }
    }
    wait_for_passwords();
    moved |= world.worker.resumed != NULL || world.worker.dirty != NULL;
    conn_resume_all(&world.worker);
    conn_flush_all(&world.worker);
    return moved;
}

static inline void world_settle(void)
{
    unsigned turns = 0;
    while (world_turn()) {
        if (++turns > 2000000) {
            fail_msg("the world does not come to rest");
        }
    }
}

static inline void each_second(void)
{
    world.worker.now_s = 1700000000 + world_time / SECOND;
    if (world.worker.now_s >= world.worker.linger_end && !world.worker.draining) {
        forward_review(&world.worker);
    }
}

static inline void world_to(uint64_t time)
{
    if (time / SECOND != world_time / SECOND) {
        world_time = time;
        worker_wake(&world.worker);
        each_second();
    }
    world_time = time;
    worker_wake(&world.worker);
    timers_run(&world.worker.timers, world_time, UINT_MAX);
    world_settle();
}

/* Lets time pass, timer by timer. */
static inline void pass(uint64_t ns)
{
    uint64_t until = world_time + ns;
    world_settle();
    while (world_time < until) {
        uint64_t next = timers_next(&world.worker.timers);
        uint64_t second = (world_time / SECOND + 1) * SECOND;
        next = next < second ? next : second;
        next = next > world_time ? next : world_time; /* overdue, where the test has moved the clock itself */
        world_to(next < until ? next : until);
    }
}

/* What has been sent arrives, and what follows from it happens. */
static inline void run(void)
{
    pass(10 * MS);
}

/* --- table and config ----------------------------------------------------------------------------------- */

static inline uint8_t name_id(const char *name)
{
    return name == NULL ? NAME_NONE : names_find(&world.ids.names, name);
}

/* The next table, as the worker's thread takes it into use. previous is what the cell was before. */
static inline void set_cell(const char *shortcode, const char *carrier, struct route cell)
{
    struct route old;
    if (world.table != NULL && table_cell(world.table, shortcode, name_id(carrier), &old)) {
        bool moved = old.platform != cell.platform;
        cell.previous = moved ? old.platform : old.previous;
        cell.changed = moved ? (uint32_t)world.worker.now_s : old.changed;
    }
    world_shield++;
    uint64_t version = world.table == NULL ? 1 : table_version(world.table) + 1;
    struct table_builder *builder = table_edit(world.table);
    assert_true(table_set(builder, shortcode, name_id(carrier), &cell));
    struct table *next = table_done(builder, version);
    assert_non_null(next);
    world_shield--;
    worker_wake(&world.worker);
    conn_flush_all(&world.worker);
    worker_set_table(&world.worker, next);
    table_free(world.table);
    world.table = next;
    forward_follow_table(&world.worker);
}

static inline void route(const char *shortcode, const char *carrier, const char *platform,
                         enum route_state state)
{
    set_cell(shortcode, carrier,
             (struct route){.platform = name_id(platform),
                            .state = (uint8_t)state,
                            .previous = NAME_NONE,
                            .next = NAME_NONE});
}

/* The same, open, while a window is open that will move it. */
static inline void route_in_window(const char *shortcode, const char *carrier, const char *platform,
                                   const char *next)
{
    set_cell(shortcode, carrier,
             (struct route){.platform = name_id(platform),
                            .state = ROUTE_OPEN,
                            .previous = NAME_NONE,
                            .next = name_id(next)});
}

static inline const char *or_nothing(const char *text)
{
    return text == NULL ? "" : text;
}

static inline void write_config(FILE *out, const struct setup *s)
{
    static const char *const carriers[LINKS] = {"spark", "spark", "onenz", "onenz"};
    static const char *const platforms[LINKS] = {"redx", "omni", "redx", "omni"};
    fprintf(out, "%s\nlistener \"plain\" { address = \"127.0.0.1\" port = 0 }\n", or_nothing(s->root));
    fprintf(out, "platform \"redx\" {}\nplatform \"omni\" {}\n");
    fprintf(out, "carrier \"spark\" { prefixes = { \"6427\" } mo-refusal = \"ESME_RSYSERR\" %s }\n",
            or_nothing(s->spark));
    fprintf(out, "carrier \"onenz\" { prefixes = { \"6421\" } }\n");
    for (unsigned i = 0; i < LINKS; i++) {
        if (!s->without[i]) {
            fprintf(out,
                    "link \"%s\" { carrier = \"%s\" platform = \"%s\" host = \"x\" port = %u\n"
                    "system-id = \"us\" password = \"pw\" %s %s }\n",
                    link_names[i], carriers[i], platforms[i], 2001 + i, or_nothing(s->link),
                    or_nothing(s->link_of[i]));
        }
    }
    if (!s->without_acme) {
        fprintf(out, "client \"acme\" { password-hash = \"%s\" shortcodes = { %s } %s }\n", SECRET_HASH,
                s->shortcodes == NULL ? "\"5001\", \"5002\"" : s->shortcodes, or_nothing(s->client));
    }
    fprintf(out, "client \"zeta\" { password-hash = \"%s\" shortcodes = { \"*\" } }\n", SECRET_HASH);
}

static inline struct bundle *read_bundle(const struct setup *s)
{
    char path[] = "/tmp/test_forward_XXXXXX";
    char error[1024] = "";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *out = fdopen(fd, "w");
    assert_non_null(out);
    write_config(out, s);
    fclose(out);
    struct config *config = config_read(path, &world.ids, error, sizeof error);
    unlink(path);
    if (config == NULL) {
        fail_msg("%s", error);
    }
    struct bundle *bundle = bundle_new(config, world.worker.ids, error, sizeof error);
    assert_non_null(bundle);
    return bundle;
}

/* Another config, as the worker's thread takes it into use. */
static inline void reload(const struct setup *s)
{
    struct bundle *old = world.bundle;
    world_shield++;
    struct bundle *next = read_bundle(s);
    world_shield--;
    worker_wake(&world.worker);
    if (!worker_set_bundle(&world.worker, next)) { /* without memory */
        bundle_free(next);
        return;
    }
    world.bundle = next;
    forward_follow_config(&world.worker);
    bundle_free(old);
}

/* --- begin ---------------------------------------------------------------------------------------------- */

static inline void world_authenticated(void *ctx, uint64_t token, enum auth_verdict verdict)
{
    (void)ctx;
    worker_wake(&world.worker);
    client_authenticated(&world.worker, token, verdict);
}

static inline void world_begin_without_table(const struct setup *s)
{
    const char *reason = NULL;
    memset(&world, 0, sizeof world);
    world_time = 1000 * SECOND;
    world.client_capacity = SIZE_MAX / 2;
    for (unsigned i = 0; i < LINKS; i++) {
        world.plans[i].capacity = SIZE_MAX / 2;
    }
    assert_int_equal(uv_loop_init(&world.loop), 0);
    world.metrics = metrics_new(1);
    struct message_index *ids = message_index_open(NULL, 1024, 1000, &reason);
    world.worker.ids = ids;
    world.bundle = read_bundle(s);
    world.shared = shared_new(world.bundle->config->multipart_entries);
    assert_true(world.metrics != NULL && world.shared != NULL && ids != NULL);
    assert_true(worker_init(&world.worker, 0, &world.loop, world_clock, metrics_of(world.metrics, 0), ids,
                            world.shared));
    world.worker.connect = world_connect;
    world.worker.auth = auth_new(&world.loop, 16, world_authenticated, NULL);
    assert_non_null(world.worker.auth);
    assert_true(worker_set_bundle(&world.worker, world.bundle));
    each_second();
}

/* 5001 and 5002 on redx, for both carriers. */
static inline void world_begin(const struct setup *s)
{
    world_begin_without_table(s);
    route("5001", "spark", "redx", ROUTE_OPEN);
    route("5001", "onenz", "redx", ROUTE_OPEN);
    route("5002", "spark", "redx", ROUTE_OPEN);
    route("5002", "onenz", "redx", ROUTE_OPEN);
}

/* A connection that has not said anything. */
static inline struct peer *connect_client(void)
{
    int error = 0;
    worker_wake(&world.worker);
    struct client *client = client_begin(&world.worker, &forward_client_events, &error);
    if (client == NULL) {
        return NULL;
    }
    struct stream_pair *pair = stream_pair_new(&world.worker.env, world.client_capacity);
    if (pair == NULL) {
        client_withdraw(client);
        return NULL;
    }
    struct peer *p = peer_new(pair, -1);
    p->index = client->index;
    p->generation = client->generation;
    client_attach(client, stream_pair_end(pair, 0, &conn_stream_events, &client->conn));
    return p;
}

static inline struct client *client_behind(const struct peer *p)
{
    return registry_get(&world.worker.clients, p->index, p->generation);
}

static inline uint32_t send_bind_as(struct peer *p, uint32_t bind_id, const char *system_id,
                                    const char *password)
{
    uint8_t pdu[256];
    struct smpp_bind_fields fields = {.command_id = bind_id,
                                      .sequence_number = next_sequence(p),
                                      .system_id = system_id,
                                      .password = password,
                                      .system_type = "",
                                      .interface_version = 0x34,
                                      .addr_ton = 1,
                                      .addr_npi = 2,
                                      .address_range = "50.."};
    send_pdu(p, pdu, smpp_encode_bind(pdu, sizeof pdu, &fields));
    return fields.sequence_number;
}

static inline struct pdu *take(struct peer *p, uint32_t id);

static inline struct peer *bound_as(const char *system_id, uint32_t bind_id)
{
    struct peer *p = connect_client();
    assert_non_null(p);
    uint32_t sequence = send_bind_as(p, bind_id, system_id, "secret");
    run();
    const struct pdu *resp = take(p, bind_id | SMPP_RESPONSE_BIT);
    assert_int_equal(resp->status, ESME_ROK);
    assert_int_equal(resp->sequence, sequence);
    return p;
}

static inline struct peer *bound(uint32_t bind_id)
{
    return bound_as("acme", bind_id);
}

/* The SMSC's end of the newest connection of a link, whoever's leg it is. */
static inline struct peer *smsc(unsigned link)
{
    for (unsigned i = world.peers_count; i-- > 0;) {
        if (world.peers[i]->link == (int)link) {
            return world.peers[i];
        }
    }
    return NULL;
}

static inline bool smsc_is_up(unsigned link)
{
    const struct peer *p = smsc(link);
    return p != NULL && p->stream != NULL;
}

/* --- messages and expectations -------------------------------------------------------------------------- */

static inline size_t message(uint8_t *pdu, size_t cap, uint32_t id, uint32_t sequence, const char *from,
                             const char *to)
{
    char text[16];
    snprintf(text, sizeof text, "m%06u", world.messages++ % 1000000);
    struct smpp_message_fields fields = {.command_id = id,
                                         .sequence_number = sequence,
                                         .source = from,
                                         .dest_ton = 1,
                                         .dest_npi = 1,
                                         .dest = to,
                                         .registered_delivery = 1,
                                         .text = {(const uint8_t *)text, id == SMPP_DATA_SM ? 0 : 7}};
    return smpp_encode_message(pdu, cap, &fields);
}

static inline uint32_t send_message(struct peer *p, uint32_t id, const char *from, const char *to)
{
    uint8_t pdu[256];
    uint32_t sequence = next_sequence(p);
    send_pdu(p, pdu, message(pdu, sizeof pdu, id, sequence, from, to));
    return sequence;
}

static inline uint32_t submit(struct peer *p, const char *shortcode, const char *number)
{
    return send_message(p, SMPP_SUBMIT_SM, shortcode, number);
}

static inline uint32_t deliver(struct peer *p, const char *number, const char *shortcode)
{
    return send_message(p, SMPP_DELIVER_SM, number, shortcode);
}

/* How many PDUs have come that were not looked at. */
static inline size_t waiting(const struct peer *p)
{
    return p == NULL ? 0 : p->inbox_len - p->inbox_read;
}

static inline struct pdu *take(struct peer *p, uint32_t id)
{
    assert_non_null(p);
    if (waiting(p) == 0) {
        fail_msg("%s: no %s has come", p->link < 0 ? "client" : link_names[p->link], smpp_command_name(id));
    }
    struct pdu *pdu = p->inbox[p->inbox_read++];
    if (pdu->id != id) {
        fail_msg("%s instead of %s", smpp_command_name(pdu->id), smpp_command_name(id));
    }
    return pdu;
}

#define expect_nothing(p) assert_int_equal(waiting(p), 0)

/* The next PDU answers that request with that status. */
static inline struct pdu *expect_answer(struct peer *p, uint32_t request_id, uint32_t sequence,
                                        uint32_t status)
{
    struct pdu *pdu = take(p, request_id | SMPP_RESPONSE_BIT);
    if (pdu->sequence != sequence || pdu->status != status) {
        fail_msg("answer to 0x%x with status 0x%x, expected to 0x%x with 0x%x", pdu->sequence, pdu->status,
                 sequence, status);
    }
    return pdu;
}

static inline size_t unanswered(const struct peer *p)
{
    size_t count = 0;
    for (size_t i = 0; i < p->debts_len; i++) {
        count += !p->debts[i].answered && !p->debts[i].maybe;
    }
    return count;
}

static inline void hang_up(struct peer *p)
{
    if (p->stream != NULL) {
        stream_close(p->stream, false);
    }
}

static inline struct metrics_worker *counters(void)
{
    return world.worker.metrics;
}

static inline struct metrics_link *link_counters(unsigned link)
{
    return metrics_link(world.worker.metrics, link);
}

#define counted(m) ((unsigned long)metric_get(&(m)))

/* --- the end -------------------------------------------------------------------------------------------- */

static inline void check_peers(void)
{
    for (unsigned i = 0; i < world.peers_count; i++) {
        struct peer *p = world.peers[i];
        const char *name = p->link < 0 ? "client" : link_names[p->link];
        if (!p->careless && waiting(p) > 0) {
            fail_msg("%s: %s was not looked at (%zu such)", name,
                     smpp_command_name(p->inbox[p->inbox_read]->id), waiting(p));
        }
        if (p->stream != NULL && !world.debts_allowed && unanswered(p) > 0) {
            const struct debt *debt = p->debts;
            while (debt->answered || debt->maybe) {
                debt++;
            }
            fail_msg("%s: %zu requests were never answered, the first a %s", name, unanswered(p),
                     smpp_command_name(debt->id));
        }
    }
}

static inline void check_sessions(metric (*sessions)[SMPP_STATE_COUNT])
{
    for (unsigned type = 0; type < METRICS_BIND_TYPES; type++) {
        for (unsigned state = 0; state < SMPP_STATE_COUNT; state++) {
            if (metric_get(&sessions[type][state]) != 0) {
                fail_msg("sessions[%u][%s] is %ld at the end", type, smpp_state_name(state),
                         (long)metric_get(&sessions[type][state]));
            }
        }
    }
}

static inline void check_nothing_left(void)
{
    struct worker *w = &world.worker;
    assert_int_equal(w->clients.count, 0);
    assert_int_equal(w->legs.count, 0);
    assert_null(w->dirty);
    assert_null(w->resumed);
    check_sessions(w->metrics->sessions);
    assert_int_equal(metric_get(&w->metrics->waiting_messages), 0);
    assert_int_equal(metric_get(&w->metrics->waiting_bytes), 0);
    for (unsigned i = 0; i < LINKS; i++) {
        struct metrics_link *m = atomic_load(&w->metrics->links[i]);
        if (m != NULL) {
            check_sessions(m->sessions);
            assert_int_equal(metric_get(&m->window_used), 0);
            assert_int_equal(metric_get(&m->window_size), 0);
        }
    }
    assert_int_equal(atomic_load(&world.shared->sessions), 0);
    assert_int_equal(atomic_load(&world.shared->unbound), 0);
    for (unsigned i = 0; i < SHARED_CLIENTS_MAX; i++) {
        assert_int_equal(atomic_load(&world.shared->binds[i]), 0);
    }
    for (unsigned i = 0; i < TIMERS_SLOTS; i++) {
        assert_ptr_equal(w->timers.slot[i].next, &w->timers.slot[i]);
    }
}

static inline void free_peers(void)
{
    for (unsigned i = 0; i < world.peers_count; i++) {
        struct peer *p = world.peers[i];
        stream_pair_free(p->pair);
        free(p->kept);
        free(p->inbox);
        free(p->debts);
        free(p);
    }
    while (world.pdus != NULL) {
        struct pdu *pdu = world.pdus;
        world.pdus = pdu->older;
        free(pdu);
    }
}

static inline void close_peers(bool clients)
{
    for (unsigned i = 0; i < world.peers_count; i++) {
        if ((world.peers[i]->link < 0) == clients) {
            hang_up(world.peers[i]);
        }
    }
}

/* Everybody hangs up; nothing may be left. */
static inline void world_end(void)
{
    world_shield++;
    check_peers();
    world.step = 0;
    for (unsigned i = 0; i < LINKS; i++) {
        world.plans[i].mood = LINK_UP;
    }
    close_peers(true);
    pass(SECOND);
    close_peers(false);
    pass(SECOND);
    check_nothing_left();
    free_peers();
    assert_int_equal(world.worker.chunks.out, 0);
    auth_free(world.worker.auth);
    message_index_close(world.worker.ids);
    worker_clear(&world.worker);
    table_free(world.table);
    bundle_free(world.bundle);
    config_ids_free(&world.ids);
    metrics_free(world.metrics);
    shared_free(world.shared);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world.loop), 0);
    world_shield--;
}

static inline int be_quiet(void **state)
{
    (void)state;
    return log_open(false, LOG_ERROR, "/dev/null", "test") ? 0 : -1;
}

static inline int be_done(void **state)
{
    (void)state;
    log_close();
    return 0;
}

#endif
