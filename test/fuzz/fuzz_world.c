/* A whole forwarding world (test/unit/forward_world.h: clients, legs, table, time, no sockets) that goes by a script.
 *
 *   input: setup, then steps ──┬─▶ octets to a client's or a leg's stream, cut anywhere; peers that do not read
 *                              ├─▶ binds, messages, answers, queries, as peers would send them
 *                              ├─▶ cells of the table: flip, hold, close ─▶ cells[version]
 *                              └─▶ time; closes, resets, links that are down, silent or hang
 *
 *   what peers send ──account──▶ sent ◀──matched, octet by octet── what arrives at the other side ──▶ arrivals
 *                                                    answers, the same way back: none that the far side did not send
 *
 * After each step: windows and queues within their limits (8), each message once and unchanged but for its
 * sequence_number (3), to the platform of a table that held since it was sent (4), no positive answer that the far side
 * did not give (1). All the time: one answer a request, and of its kind (2). At the end: nobody is owed anything (2),
 * and nothing is left: sessions, legs, slots, chunks, memory. The numbers are those of the design's section 3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/fuzz/fuzz.h"

/* What would fail a test here ends the process, so that libFuzzer keeps the input. */
#undef assert_true
#undef assert_null
#undef assert_non_null
#undef assert_int_equal
#undef assert_ptr_equal
#undef assert_in_range
#undef fail_msg
#define assert_true(condition)     MUST(condition)
#define assert_null(p)             MUST((p) == NULL)
#define assert_non_null(p)         MUST((p) != NULL)
#define assert_int_equal(a, b)     MUST((a) == (b))
#define assert_ptr_equal(a, b)     MUST((a) == (b))
#define assert_in_range(a, lo, hi) MUST((a) >= (lo) && (a) <= (hi))
#define fail_msg(...)                                                                             \
    (fprintf(stderr, "%s:%d: does not hold: ", __FILE__, __LINE__), fprintf(stderr, __VA_ARGS__), \
     fputc('\n', stderr), abort())

#include "proxy/client.h"
#include "proxy/conn.h"
#include "proxy/forward.h"
#include "proxy/hold.h"
#include "proxy/leg.h"
#include "proxy/legs.h"
#include "proxy/mo.h"
#include "proxy/waiting.h"
#include "proxy/way.h"
#include "proxy/window.h"
#include "smpp/multipart.h"
#include "smpp/session.h"
#include "test/unit/forward_world.h"

enum {
    STEPS_MAX = 200,
    SENT_MAX = 2000,
    CLIENTS_MOST = 12,
    WORLD_PEERS = 100,
    VERSIONS_MAX = STEPS_MAX + 8,
    LONGEST = 1500, /* PDU */
    CELLS = 4,
    WINDOW = 3, /* of links */
    SECONDS_TO_REST = 60,
};

static const char *const shortcodes[] = {"5001", "5002"};
static const char *const numbers[] = {SPARK, ONENZ};
static const char *const carriers[] = {"spark", "onenz"};
static const char *const platforms[] = {"redx", "omni"};

/* --- the account ---------------------------------------------------------------------------------------------- */

/* What a peer has sent of the PDU that it is in the middle of. */
struct line {
    uint8_t pdu[LONGEST];
    uint32_t have;
    size_t debt; /* of its debts: index + 1 of this PDU's, 0: none yet */
    bool lost;   /* it sent a length that cannot be: nothing after it means anything */
};

/* A message, query, cancel or replace that a peer has sent. */
struct sent {
    bool of_client;
    uint32_t len;
    uint64_t version; /* of the table when its last octet was sent */
    bool arrived;
    uint8_t pdu[];
};

/* The same where it has come out on the other side. */
struct arrival {
    unsigned peer; /* where: index in world.peers */
    const struct pdu *pdu;
    uint8_t *answer; /* of that side, NULL: none yet */
    uint32_t answer_len;
    bool passed_on;
};

static struct line lines[PEERS_MAX];
static struct sent *all_sent[SENT_MAX];
static unsigned sent_count;
static struct arrival arrivals[SENT_MAX];
static unsigned arrivals_count;
static unsigned char cells[VERSIONS_MAX][CELLS]; /* index of the platform */

static unsigned number_of(const struct peer *p)
{
    for (unsigned i = 0; i < world.peers_count; i++)
        if (world.peers[i] == p)
            return i;
    fail_msg("no such peer");
}

/* What goes through to the other side. */
static bool passes(uint32_t id)
{
    return smpp_has_response(id) && !smpp_is_bind(id) && id != SMPP_UNBIND && id != SMPP_ENQUIRE_LINK;
}

/* The same octets but for the sequence_number. */
static bool same_pdu(const uint8_t *a, uint32_t a_len, const uint8_t *b, uint32_t b_len)
{
    return a_len == b_len && memcmp(a, b, 12) == 0 && memcmp(a + 16, b + 16, a_len - 16) == 0;
}

static size_t new_debt(struct peer *p, uint32_t id, uint32_t sequence, bool maybe)
{
    p->debts = world_grow(p->debts, p->debts_len, &p->debts_size, sizeof *p->debts);
    p->debts[p->debts_len++] = (struct debt){.id = id, .sequence = sequence, .maybe = maybe};
    return p->debts_len;
}

static void note_sent(struct peer *p, const uint8_t *pdu, uint32_t len)
{
    MUST(sent_count < SENT_MAX);
    struct sent *sent = malloc(sizeof *sent + len);
    MUST(sent != NULL);
    *sent = (struct sent){.of_client = p->link < 0, .len = len, .version = world.worker.version};
    memcpy(sent->pdu, pdu, len);
    all_sent[sent_count++] = sent;
}

/* The first answer of its kind to something that has arrived at this peer. */
static void note_answer(const struct peer *p, const uint8_t *pdu, uint32_t len)
{
    unsigned number = number_of(p);
    for (unsigned i = 0; i < arrivals_count; i++) {
        struct arrival *a = &arrivals[i];
        if (a->peer == number && a->answer == NULL && a->pdu->sequence == smpp_get32(pdu + 12) &&
            smpp_get32(pdu + 4) == (a->pdu->id | SMPP_RESPONSE_BIT)) {
            a->answer = malloc(len);
            MUST(a->answer != NULL);
            memcpy(a->answer, pdu, len);
            a->answer_len = len;
            return;
        }
    }
}

static void note_whole(struct peer *p, struct line *line)
{
    uint32_t id = smpp_get32(line->pdu + 4);
    struct debt *debt = &p->debts[line->debt - 1];
    debt->maybe = false;
    if (smpp_is_response(id) || id == SMPP_OUTBIND || id == SMPP_ALERT_NOTIFICATION)
        debt->maybe = debt->answered = true; /* nobody owes an answer to that */
    if (smpp_is_response(id))
        note_answer(p, line->pdu, line->have);
    else if (passes(id))
        note_sent(p, line->pdu, line->have);
    line->have = 0;
    line->debt = 0;
}

static void note_octet(struct peer *p, struct line *line, uint8_t octet)
{
    line->pdu[line->have++] = octet;
    uint32_t length = line->have >= 4 ? smpp_get32(line->pdu) : SMPP_HEADER_LEN;
    bool bad = length < SMPP_HEADER_LEN || length > LONGEST;
    if (line->have == 4 && bad)
        new_debt(p, 0, 0, true); /* its nack cannot tell the number yet */
    if (line->have == SMPP_HEADER_LEN) {
        line->debt = new_debt(p, smpp_get32(line->pdu + 4), smpp_get32(line->pdu + 12), true);
        line->lost = bad;
    }
    if (!bad && line->have >= SMPP_HEADER_LEN && line->have == length)
        note_whole(p, line);
}

/* world.sending */
static void account(struct peer *p, const uint8_t *octets, size_t len)
{
    struct line *line = &lines[number_of(p)];
    for (size_t i = 0; i < len && !line->lost; i++)
        note_octet(p, line, octets[i]);
}

/* --- what arrives --------------------------------------------------------------------------------------------- */

/* A message goes to a platform that the table has named since it was sent. Parts of one message follow the first. */
static void judge_way(const struct sent *sent, const struct peer *at, const struct pdu *pdu)
{
    struct smpp_address source;
    struct smpp_address dest;
    struct smpp_part part;
    if ((pdu->id != SMPP_SUBMIT_SM && pdu->id != SMPP_DATA_SM) ||
        smpp_view_part(pdu->bytes, pdu->len, &part) ||
        !smpp_view_addresses(pdu->bytes, pdu->len, &source, &dest))
        return;
    unsigned carrier = (unsigned)at->link / 2;
    for (unsigned shortcode = 0; shortcode < 2; shortcode++) {
        if (source.digits.len != 4 || memcmp(source.digits.p, shortcodes[shortcode], 4) != 0)
            continue;
        uint64_t version = sent->version;
        while (version < world.worker.version && cells[version][2 * shortcode + carrier] != at->link % 2)
            version++;
        MUST(cells[version][2 * shortcode + carrier] == at->link % 2);
    }
}

static void arrive(const struct peer *at, const struct pdu *pdu)
{
    for (unsigned i = 0; i < sent_count; i++) {
        struct sent *sent = all_sent[i];
        if (!sent->arrived && sent->of_client == (at->link >= 0) &&
            same_pdu(sent->pdu, sent->len, pdu->bytes, pdu->len)) {
            sent->arrived = true;
            if (at->link >= 0)
                judge_way(sent, at, pdu);
            arrivals[arrivals_count++] = (struct arrival){.peer = number_of(at), .pdu = pdu};
            return;
        }
    }
    fail_msg("%s 0x%x came out that nobody sent, or a second time", smpp_command_name(pdu->id),
             pdu->sequence);
}

/* What this peer asked with that number, which the positive answer settles; what it asked is looked for by the answer. */
static void answered_positively(const struct peer *at, const struct pdu *pdu)
{
    for (unsigned i = 0; i < arrivals_count; i++) {
        struct arrival *a = &arrivals[i];
        if (!a->passed_on && a->answer != NULL && (world.peers[a->peer]->link < 0) != (at->link < 0) &&
            same_pdu(a->answer, a->answer_len, pdu->bytes, pdu->len)) {
            a->passed_on = true;
            return;
        }
    }
    fail_msg("%s 0x%x is positive, and the other side never said so", smpp_command_name(pdu->id),
             pdu->sequence);
}

/* What has come to a peer since the last look. Negative answers may be the proxy's own. */
static void look_at(struct peer *p)
{
    while (waiting(p) > 0) {
        const struct pdu *pdu = p->inbox[p->inbox_read++];
        if (!smpp_is_response(pdu->id)) {
            MUST(passes(pdu->id) || pdu->id == SMPP_ALERT_NOTIFICATION);
            if (passes(pdu->id))
                arrive(p, pdu);
        } else if (pdu->status == ESME_ROK && passes(pdu->id & ~(uint32_t)SMPP_RESPONSE_BIT) &&
                   pdu->id != SMPP_GENERIC_NACK) {
            answered_positively(p, pdu);
        }
    }
}

/* --- limits --------------------------------------------------------------------------------------------------- */

static void legs_within_limits(void)
{
    for (uint32_t i = 0; i < world.worker.legs.capacity; i++) {
        const struct leg *leg = registry_at(&world.worker.legs, i);
        if (leg != NULL)
            MUST(leg->conn.window.used <= WINDOW && leg->conn.window.control <= WINDOW_CONTROL_SLOTS);
    }
}

static void client_within_limits(const struct client *client)
{
    MUST(client->conn.window.used <= client->conn.window.size);
    if (client->account != NULL && client->has_account) {
        MUST(client->in_flight <= client->account->window + 1); /* one more, which stops the reading */
        MUST(client->held_count <= client->account->wait_count + 1);
    }
}

static void clients_within_limits(void)
{
    unsigned held = 0;
    for (uint32_t i = 0; i < world.worker.clients.capacity; i++) {
        const struct client *client = registry_at(&world.worker.clients, i);
        if (client != NULL) {
            client_within_limits(client);
            held += client->held_count;
        }
    }
    MUST((uint64_t)metric_get(&world.worker.metrics->waiting_messages) == held);
}

static void look(void)
{
    for (unsigned i = 0; i < world.peers_count; i++)
        look_at(world.peers[i]);
    legs_within_limits();
    clients_within_limits();
}

/* --- steps ---------------------------------------------------------------------------------------------------- */

/* The nth of those that are still connected; NULL for none. */
static struct peer *pick(bool client, unsigned nth)
{
    struct peer *open[PEERS_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < world.peers_count; i++)
        if (world.peers[i]->stream != NULL && (world.peers[i]->link < 0) == client)
            open[count++] = world.peers[i];
    return count == 0 ? NULL : open[nth % count];
}

/* The nth of what this peer has got and not answered. */
static const struct pdu *unanswered_arrival(const struct peer *p, unsigned nth)
{
    const struct pdu *open[SENT_MAX];
    unsigned number = number_of(p);
    unsigned count = 0;
    for (unsigned i = 0; i < arrivals_count; i++)
        if (arrivals[i].peer == number && arrivals[i].answer == NULL)
            open[count++] = arrivals[i].pdu;
    return count == 0 ? NULL : open[nth % count];
}

static void step_bind(struct input *in)
{
    static const uint32_t binds[] = {SMPP_BIND_TRANSCEIVER, SMPP_BIND_TRANSMITTER, SMPP_BIND_RECEIVER,
                                     SMPP_BIND_TRANSCEIVER};
    unsigned how = take_octet(in);
    unsigned clients = 0;
    for (unsigned i = 0; i < world.peers_count; i++)
        clients += world.peers[i]->link < 0;
    struct peer *p = clients < CLIENTS_MOST && world.peers_count < WORLD_PEERS / 2 ? connect_client() : NULL;
    if (p != NULL && how < 240)
        send_bind_as(p, binds[how % 4], how / 4 % 4 == 3 ? "zeta" : "acme", "secret");
}

/* A message from either side, or a question about one. */
static void step_message(struct input *in, struct peer *p)
{
    unsigned how = take_octet(in);
    const char *shortcode = shortcodes[how % 2];
    const char *number = numbers[how / 2 % 2];
    if (p->link < 0)
        send_message(p, how / 4 % 4 == 3 ? SMPP_DATA_SM : SMPP_SUBMIT_SM, shortcode, number);
    else
        send_message(p, how / 4 % 4 == 3 ? SMPP_DATA_SM : SMPP_DELIVER_SM, number, shortcode);
}

static void step_answer(struct input *in, struct peer *p)
{
    static const uint32_t statuses[] = {ESME_ROK, ESME_ROK, ESME_RTHROTTLED, 0x401};
    unsigned how = take_octet(in);
    const struct pdu *pdu = unanswered_arrival(p, how / 4);
    char id[16];
    snprintf(id, sizeof id, "id%u", how / 16);
    if (pdu != NULL)
        answer(p, pdu, statuses[how % 4], p->link < 0 ? "" : id);
}

/* Octets as they are, in whatever pieces the script has them in. */
static void step_octets(struct input *in, struct peer *p)
{
    struct input octets = take_octets(in, 1 + take_number(in, 600));
    send_octets(p, octets.p, octets.len);
}

/* A PDU of the script's, with the number of something that the peer has got: an odd answer. */
static void step_odd_answer(struct input *in, struct peer *p)
{
    uint8_t pdu[LONGEST];
    const struct pdu *asked = unanswered_arrival(p, take_octet(in));
    struct input octets = take_octets(in, 8 + take_number(in, 300));
    if (asked == NULL || octets.len < 8)
        return;
    uint32_t len = (uint32_t)octets.len - 8 + SMPP_HEADER_LEN;
    smpp_put32(pdu, len);
    memcpy(pdu + 4, octets.p, 8);
    smpp_put32(pdu + 12, asked->sequence);
    memcpy(pdu + SMPP_HEADER_LEN, octets.p + 8, octets.len - 8);
    send_octets(p, pdu, len);
}

/* query_sm or cancel_sm. */
static void step_question(struct input *in, struct peer *p)
{
    unsigned how = take_octet(in);
    bool cancel = how % 2 == 1;
    uint8_t pdu[64] = {0};
    size_t at = SMPP_HEADER_LEN + cancel; /* service_type */
    at += (size_t)snprintf((char *)pdu + at, 16, "id%u", how / 16) + 3;
    memcpy(pdu + at, shortcodes[how / 2 % 2], 4);
    at += cancel ? 8 : 5; /* dest_addr */
    smpp_put_header(pdu, &(struct smpp_header){(uint32_t)at, cancel ? SMPP_CANCEL_SM : SMPP_QUERY_SM, 0,
                                               next_sequence(p)});
    send_octets(p, pdu, at);
}

static void step_table(struct input *in)
{
    unsigned how = take_octet(in);
    unsigned shortcode = how % 2;
    unsigned carrier = how / 2 % 2;
    unsigned platform = how / 4 % 2;
    uint64_t version = world.worker.version + 1;
    if (version >= VERSIONS_MAX)
        return;
    memcpy(cells[version], cells[version - 1], CELLS);
    cells[version][2 * shortcode + carrier] = (unsigned char)platform;
    route(shortcodes[shortcode], carriers[carrier], platforms[platform],
          (enum route_state)(how / 8 % ROUTE_STATE_COUNT));
}

static void step_link(struct input *in)
{
    unsigned how = take_octet(in);
    struct plan *plan = &world.plans[how % LINKS];
    switch (how / LINKS % 8) {
    case 0: plan->mood = LINK_DOWN; break;
    case 1: plan->mood = LINK_HANGS; break;
    case 2: plan->mood = LINK_NO_MEMORY; break;
    case 3: plan->bind_status = ESME_RBINDFAIL; break;
    case 4: plan->bind_silent = true; break;
    case 5: plan->capacity = 40; break;
    default: *plan = (struct plan){.capacity = SIZE_MAX / 2, .bind = plan->bind}; break;
    }
}

/* Good-byes and worse. */
static void step_part(struct input *in, struct peer *p)
{
    switch (take_octet(in) % 8) {
    case 0: hang_up(p); break;
    case 1: stream_pair_cut(p->pair); break;
    case 2: send_header(p, SMPP_UNBIND, ESME_ROK, next_sequence(p)); break;
    case 3: p->mute = !p->mute; break;
    case 4: stream_read_stop(p->stream); break;
    case 5: stream_read_start(p->stream); break;
    case 6: send_header(p, SMPP_ENQUIRE_LINK, ESME_ROK, next_sequence(p)); break;
    default: world.step = 0; break;
    }
}

static void step_time(struct input *in)
{
    uint64_t tenths = take_octet(in);
    pass(tenths < 200 ? tenths * 20 * MS : (tenths - 199) * SECOND / 4);
}

/* Steps that need a peer do nothing without one. */
static void step_of_peer(unsigned what, struct input *in, struct peer *p)
{
    if (p == NULL)
        return;
    switch (what) {
    case 3:
    case 4: step_message(in, p); break;
    case 5:
    case 6: step_answer(in, p); break;
    case 7:
    case 8: step_octets(in, p); break;
    case 9: step_odd_answer(in, p); break;
    case 10: step_part(in, p); break;
    default: step_question(in, p); break;
    }
}

static void take_step(struct input *in)
{
    unsigned op = take_octet(in);
    switch (op % 16) {
    case 0: step_bind(in); break;
    case 1: step_table(in); break;
    case 2: step_link(in); break;
    case 12: world.step = take_octet(in); break;
    case 13:
    case 14: step_time(in); break;
    case 15: world_turn(); break;
    default: step_of_peer(op % 16, in, pick(op / 16 % 2 == 0, op / 32)); break;
    }
    if (op < 128)
        world_settle();
    look();
}

/* --- a world -------------------------------------------------------------------------------------------------- */

static void begin(unsigned how)
{
    static bool opened;
    if (!opened)
        MUST(log_open(false, LOG_ERROR, "/dev/null", "fuzz"));
    opened = true;
    world_begin(&(struct setup){
        .root = "max-pdu-open = 1500 max-pdu-bound = 1500 out-limit = 4k password-tries = 100 "
                "session-init = 3s partial-timeout = 4s linger = 5s max-own-answers = 20 "
                "traffic-cells = 64 multipart-entries = 16",
        .link = "window = 3 response-timeout = 3s bind-timeout = 2s enquire-link = 10s",
        .client = how % 2 == 0 ? "window = 3 wait-count = 3 response-timeout = 4s"
                               : "window = 3 wait-count = 3 bind-answer = once hold-budget = 0s"});
    world.sending = account;
    world.unnumbered = true;
    world.client_capacity = how / 2 % 2 == 0 ? SIZE_MAX / 2 : 100;
    for (unsigned i = 0; i < PEERS_MAX; i++)
        lines[i].have = 0, lines[i].debt = 0, lines[i].lost = false;
    memset(cells, 0, sizeof cells);
}

static bool somebody_is_owed(void)
{
    size_t owed = 0;
    for (unsigned i = 0; i < world.peers_count; i++)
        owed += world.peers[i]->stream == NULL ? 0 : unanswered(world.peers[i]);
    return owed > 0;
}

static void answer_everything(void)
{
    for (unsigned i = 0; i < arrivals_count; i++) {
        struct peer *p = world.peers[arrivals[i].peer];
        if (arrivals[i].answer == NULL && p->stream != NULL)
            answer(p, arrivals[i].pdu, ESME_ROK, "");
    }
}

/* Everybody reads and answers from here on: nobody is owed anything then, in good time. */
static void come_to_rest(void)
{
    for (unsigned i = 0; i < LINKS; i++)
        world.plans[i] = (struct plan){.capacity = SIZE_MAX / 2};
    for (unsigned i = 0; i < world.peers_count; i++) {
        struct peer *p = world.peers[i];
        p->mute = false;
        if (p->stream != NULL)
            stream_read_start(p->stream);
    }
    world.step = 0;
    for (unsigned seconds = 0; seconds < SECONDS_TO_REST && (seconds < 8 || somebody_is_owed()); seconds++) {
        answer_everything();
        pass(SECOND);
        look();
    }
}

static void forget(void)
{
    for (unsigned i = 0; i < arrivals_count; i++)
        free(arrivals[i].answer);
    for (unsigned i = 0; i < sent_count; i++)
        free(all_sent[i]);
    arrivals_count = sent_count = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    begin(take_octet(&in));
    for (unsigned steps = 0; in.len > 0 && steps < STEPS_MAX && world.peers_count < WORLD_PEERS - 20; steps++)
        take_step(&in);
    come_to_rest();
    for (unsigned i = 0; i < world.peers_count; i++)
        world.peers[i]->careless = true;
    world_end();
    forget();
    return 0;
}
