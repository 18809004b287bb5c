/* A plain proxy of turnoutd's shape, to lay its cost beside turnoutd's: one thread, epoll, one read of a socket that has
 * something, one write a turn of the loop. It is no proxy to use: binds pass through it like everything else, and every
 * client has one connection upstream to each SMSC.
 *
 *   client ──read──▶ received ──pass, by level──▶ out ──write, once a turn──▶ SMSC        and the same way back
 *
 *   level 0  octets are copied, unread
 *   level 1  PDU by PDU: what is not whole yet waits for the rest
 *   level 2  the addresses of each message are found, each request gets a new sequence_number, each answer its old one
 *
 * With several SMSCs (level 2) a message goes to the one whose prefix its destination has, or to the first; every other
 * request goes to all, and its first answer back. What the SMSCs ask for themselves only works with one.
 *
 * Nothing is routed, counted or limited. What turnoutd costs beyond level 2 is what it does beside; what level 2 costs
 * beyond HAProxy is what reading PDUs costs when it is written down plainly: a measure, no proof that nobody can do
 * it for less.
 *
 *   turnout-floor LEVEL PORT SMSC_PORT[:PREFIX]...      on 127.0.0.1 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "smpp/constants.h"
#include "smpp/frame.h"
#include "smpp/view.h"

enum {
    EVENTS = 1024,       /* of one epoll_wait, as libuv has it */
    PDU_MAX = 65536,     /* octets */
    RECEIVE = 3 * 65536, /* of one read, as turnoutd's */
    WINDOW = 4096,       /* requests of a client without an answer, at most */
    SEQUENCE = 12,       /* where sequence_number is in a PDU */
    SMSCS = 4,           /* at most */
};

/* A connection. */
struct side {
    int fd;
    struct pair *pair;
    bool dirty, blocked; /* out has grown in this turn; the kernel takes no more */
    struct side *next_dirty;
    uint8_t *kept; /* the beginning of a PDU */
    size_t kept_len;
    uint8_t *out;
    size_t out_start, out_len, out_size;
};

/* A client. */
struct pair {
    struct side client, smsc[SMSCS];
    bool ended; /* in this turn */
    struct pair *next_ended;
    uint32_t count;            /* requests that were given a number */
    uint32_t sequence[WINDOW]; /* what they had before; 0: answered */
};

struct smsc {
    struct sockaddr_in address;
    const char *prefix;
};
static struct smsc smscs[SMSCS];
static unsigned smsc_count;

static int level, loop_fd;
static struct side *dirty;
static struct pair *ended;
static uint8_t received[RECEIVE + PDU_MAX];
static volatile unsigned seen; /* of the addresses, so that they must be found */

static void fail(const char *what)
{
    fprintf(stderr, "turnout-floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *grown(void *block, size_t size)
{
    block = realloc(block, size);
    if (block == NULL) {
        fail("memory");
    }
    return block;
}

/* --- connections --------------------------------------------------------------------------------------------- */

static void watch(struct side *s, int how, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = s};
    if (epoll_ctl(loop_fd, how, s->fd, &event) != 0) {
        fail("epoll_ctl");
    }
}

/* The output of the other side, or of one of them, does not move. */
static bool is_stopped(const struct side *s)
{
    bool stopped = s != &s->pair->client && s->pair->client.blocked;
    for (unsigned i = 0; s == &s->pair->client && i < smsc_count; i++) {
        stopped = stopped || s->pair->smsc[i].blocked;
    }
    return stopped;
}

/* Reads where it is not stopped, writes where its own output does not move. */
static void watch_again(struct side *s)
{
    watch(s, EPOLL_CTL_MOD,
          (is_stopped(s) ? 0U : (uint32_t)EPOLLIN) | (s->blocked ? (uint32_t)EPOLLOUT : 0U));
}

static void watch_all_again(struct pair *pair)
{
    watch_again(&pair->client);
    for (unsigned i = 0; i < smsc_count; i++) {
        watch_again(&pair->smsc[i]);
    }
}

static void begin(struct pair *pair, struct side *s, int fd)
{
    int on = 1;
    s->fd = fd;
    s->pair = pair;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
        fail("TCP_NODELAY");
    }
    watch(s, EPOLL_CTL_ADD, EPOLLIN);
}

static struct sockaddr_in address_of(const char *port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int connect_to(const struct smsc *smsc)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&smsc->address, sizeof smsc->address) != 0) {
        fail("connect");
    }
    return fd;
}

static void accept_client(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        fail("accept");
    }
    struct pair *pair = grown(NULL, sizeof *pair);
    memset(pair, 0, sizeof *pair);
    begin(pair, &pair->client, fd);
    for (unsigned i = 0; i < smsc_count; i++) {
        begin(pair, &pair->smsc[i], connect_to(&smscs[i]));
    }
}

static void end(struct pair *pair)
{
    if (!pair->ended) {
        pair->ended = true;
        pair->next_ended = ended;
        ended = pair;
    }
}

static void side_free(struct side *s)
{
    (void)close(s->fd);
    free(s->kept);
    free(s->out);
}

/* --- the way out --------------------------------------------------------------------------------------------- */

static void make_dirty(struct side *s)
{
    if (!s->dirty) {
        s->dirty = true;
        s->next_dirty = dirty;
        dirty = s;
    }
}

static void put(struct side *s, const uint8_t *octets, size_t len)
{
    make_dirty(s);
    if (s->out_len + len > s->out_size) {
        s->out_size = 2 * (s->out_len + len);
        s->out = grown(s->out, s->out_size);
    }
    memcpy(s->out + s->out_len, octets, len);
    s->out_len += len;
}

/* False where the connection has broken. */
static bool flush(struct side *s)
{
    bool was_blocked = s->blocked;
    ssize_t done = send(s->fd, s->out + s->out_start, s->out_len - s->out_start, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (done < 0 && errno != EAGAIN) {
        return false;
    }
    s->out_start += done > 0 ? (size_t)done : 0;
    s->blocked = s->out_start < s->out_len;
    if (!s->blocked) {
        s->out_start = s->out_len = 0;
    }
    if (s->blocked != was_blocked) {
        watch_all_again(s->pair);
    }
    return true;
}

/* --- PDUs ---------------------------------------------------------------------------------------------------- */

/* The SMSC of a destination. */
static struct side *smsc_for(struct pair *pair, const struct smpp_address *dest)
{
    for (unsigned i = 1; i < smsc_count; i++) {
        size_t len = strlen(smscs[i].prefix);
        if (dest->digits.len >= len && memcmp(dest->digits.p, smscs[i].prefix, len) == 0) {
            return &pair->smsc[i];
        }
    }
    return &pair->smsc[0];
}

/* Finds the addresses. Where it is to go to, NULL: to all. */
static struct side *look(struct pair *pair, const uint8_t *pdu, const struct smpp_header *header)
{
    struct smpp_address source;
    struct smpp_address dest;
    bool is_message = header->command_id == SMPP_SUBMIT_SM || header->command_id == SMPP_DELIVER_SM;
    if (!is_message || !smpp_view_addresses(pdu, header->length, &source, &dest)) {
        return NULL;
    }
    seen = source.digits.len + dest.digits.len;
    return smsc_count > 1 ? smsc_for(pair, &dest) : &pair->smsc[0];
}

static void pass_request(struct pair *pair, uint8_t *pdu, const struct smpp_header *header)
{
    struct side *to = look(pair, pdu, header);
    uint32_t number = pair->count++ % INT32_MAX + 1;
    pair->sequence[number % WINDOW] = header->sequence_number;
    smpp_put32(pdu + SEQUENCE, number);
    for (unsigned i = 0; i < smsc_count; i++) {
        if (to == NULL || to == &pair->smsc[i]) {
            put(&pair->smsc[i], pdu, header->length);
        }
    }
}

static void pass_answer(struct pair *pair, uint8_t *pdu, const struct smpp_header *header)
{
    uint32_t *sequence = &pair->sequence[header->sequence_number % WINDOW];
    if (*sequence != 0) {
        smpp_put32(pdu + SEQUENCE, *sequence);
        *sequence = 0;
        put(&pair->client, pdu, header->length);
    }
}

/* One PDU of level 2. */
static void pass(struct side *from, uint8_t *pdu, const struct smpp_header *header)
{
    struct pair *pair = from->pair;
    bool is_answer = smpp_is_response(header->command_id);
    if (from == &pair->client && !is_answer) {
        pass_request(pair, pdu, header);
    } else if (from != &pair->client && is_answer) {
        pass_answer(pair, pdu, header);
    } else {
        (void)look(pair, pdu, header);
        put(from == &pair->client ? &pair->smsc[0] : &pair->client, pdu, header->length);
    }
}

/* Of the levels below, which have one SMSC. */
static struct side *other(struct side *s)
{
    return s == &s->pair->client ? &s->pair->smsc[0] : &s->pair->client;
}

static void keep(struct side *s, const uint8_t *octets, size_t len)
{
    s->kept_len = len;
    if (len > 0) {
        s->kept = grown(s->kept, len);
        memcpy(s->kept, octets, len);
    }
}

/* False where framing is lost. */
static bool pass_pdus(struct side *s, uint8_t *octets, size_t len)
{
    struct smpp_header header;
    enum smpp_frame_verdict verdict;
    while ((verdict = smpp_frame(octets, len, PDU_MAX, &header)) == SMPP_FRAME_WHOLE) {
        if (level >= 2) {
            pass(s, octets, &header);
        } else {
            put(other(s), octets, header.length);
        }
        octets += header.length;
        len -= header.length;
    }
    keep(s, octets, len);
    return verdict == SMPP_FRAME_PARTIAL;
}

/* One read. False at its end, or where framing is lost. */
static bool take(struct side *s)
{
    if (s->kept_len > 0) {
        memcpy(received, s->kept, s->kept_len);
    }
    ssize_t got = recv(s->fd, received + s->kept_len, RECEIVE, MSG_DONTWAIT);
    if (got <= 0) {
        return got < 0 && errno == EAGAIN;
    }
    size_t len = s->kept_len + (size_t)got;
    if (level == 0) {
        put(other(s), received, len);
        return true;
    }
    return pass_pdus(s, received, len);
}

/* --- the loop ------------------------------------------------------------------------------------------------ */

static void on_event(struct side *s, uint32_t events)
{
    if (s->pair->ended) {
        return;
    }
    if ((events & EPOLLOUT) != 0) {
        make_dirty(s);
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !is_stopped(s) && !take(s)) {
        end(s->pair);
    }
}

/* What has come leaves, also the last of a client that has ended. */
static void turn_over(void)
{
    for (; dirty != NULL; dirty = dirty->next_dirty) {
        dirty->dirty = false;
        if (!flush(dirty)) {
            end(dirty->pair);
        }
    }
    while (ended != NULL) {
        struct pair *pair = ended;
        ended = pair->next_ended;
        side_free(&pair->client);
        for (unsigned i = 0; i < smsc_count; i++) {
            side_free(&pair->smsc[i]);
        }
        free(pair);
    }
}

static int listen_on(const char *port)
{
    int on = 1;
    struct sockaddr_in address = address_of(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 || listen(fd, SOMAXCONN) != 0) {
        fail("listen");
    }
    return fd;
}

static void add_smsc(char *text)
{
    char *colon = strchr(text, ':');
    if (colon != NULL) {
        *colon = '\0';
    }
    smscs[smsc_count++] =
        (struct smsc){.address = address_of(text), .prefix = colon != NULL ? colon + 1 : ""};
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    level = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0;
    if (argc < 4 || argc > 3 + SMSCS || (argc > 4 && level < 2)) {
        fprintf(stderr, "usage: turnout-floor LEVEL PORT SMSC_PORT[:PREFIX]...\n"
                        "several SMSCs, 4 at most, from level 2 on\n");
        return 2;
    }
    for (int i = 3; i < argc; i++) {
        add_smsc(argv[i]);
    }
    loop_fd = epoll_create1(EPOLL_CLOEXEC);
    struct side listener = {.fd = listen_on(argv[2])};
    watch(&listener, EPOLL_CTL_ADD, EPOLLIN);
    for (;;) {
        int count = epoll_wait(loop_fd, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &listener) {
                accept_client(listener.fd);
            } else {
                on_event(events[i].data.ptr, events[i].events);
            }
        }
        turn_over();
    }
}
