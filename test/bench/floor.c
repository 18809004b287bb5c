/* The least that a proxy of turnoutd's shape costs: one thread, epoll, one read of a socket that has something, one write
 * a turn of the loop. It is no proxy to use: binds pass through it like everything else, and every client has one
 * connection upstream, to one SMSC.
 *
 *   client ──read──▶ received ──pass, by level──▶ out ──write, once a turn──▶ SMSC        and the same way back
 *
 *   level 0  octets are copied, unread
 *   level 1  PDU by PDU: what is not whole yet waits for the rest
 *   level 2  the addresses of each message are found, each request gets a new sequence_number, each answer its old one
 *
 * Nothing is routed, counted or limited. What turnoutd costs beyond level 2 is what it does; what level 2 costs beyond
 * HAProxy no reading proxy can save.
 *
 *   turnout-floor LEVEL PORT SMSC_PORT      on 127.0.0.1 */
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
};

/* A connection. */
struct side {
    int fd;
    struct pair *pair;
    struct side *other;
    bool dirty, blocked; /* out has grown in this turn; the kernel takes no more */
    struct side *next_dirty;
    uint8_t *kept; /* the beginning of a PDU */
    size_t kept_len;
    uint8_t *out;
    size_t out_start, out_len, out_size;
};

/* A client. */
struct pair {
    struct side client, smsc;
    bool ended; /* in this turn */
    struct pair *next_ended;
    uint32_t count;            /* requests that were given a number */
    uint32_t sequence[WINDOW]; /* what they had before */
};

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

/* Reads where the other side's output moves, writes where its own does not. */
static void watch_again(struct side *s)
{
    watch(s, EPOLL_CTL_MOD,
          (s->other->blocked ? 0U : (uint32_t)EPOLLIN) | (s->blocked ? (uint32_t)EPOLLOUT : 0U));
}

static void begin(struct pair *pair, struct side *s, struct side *other, int fd)
{
    int on = 1;
    s->fd = fd;
    s->pair = pair;
    s->other = other;
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

static void accept_client(int listener, const struct sockaddr_in *smsc)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    int up = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || up < 0 || connect(up, (const struct sockaddr *)smsc, sizeof *smsc) != 0) {
        fail("accept and connect");
    }
    struct pair *pair = grown(NULL, sizeof *pair);
    memset(pair, 0, sizeof *pair);
    begin(pair, &pair->client, &pair->smsc, fd);
    begin(pair, &pair->smsc, &pair->client, up);
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
        watch_again(s);
        watch_again(s->other);
    }
    return true;
}

/* --- PDUs ---------------------------------------------------------------------------------------------------- */

static void renumber(const struct side *from, uint8_t *pdu, const struct smpp_header *header)
{
    struct pair *pair = from->pair;
    bool is_answer = smpp_is_response(header->command_id);
    if (from == &pair->client && !is_answer) {
        uint32_t number = pair->count++ % INT32_MAX + 1;
        pair->sequence[number % WINDOW] = header->sequence_number;
        smpp_put32(pdu + SEQUENCE, number);
    } else if (from == &pair->smsc && is_answer) {
        smpp_put32(pdu + SEQUENCE, pair->sequence[header->sequence_number % WINDOW]);
    }
}

static void look(const uint8_t *pdu, const struct smpp_header *header)
{
    struct smpp_address source;
    struct smpp_address dest;
    bool is_message = header->command_id == SMPP_SUBMIT_SM || header->command_id == SMPP_DELIVER_SM;
    if (is_message && smpp_view_addresses(pdu, header->length, &source, &dest)) {
        seen = source.digits.len + dest.digits.len;
    }
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
            look(octets, &header);
            renumber(s, octets, &header);
        }
        put(s->other, octets, header.length);
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
        put(s->other, received, len);
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
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !s->other->blocked && !take(s)) {
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
        side_free(&pair->smsc);
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

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    if (argc != 4) {
        fprintf(stderr, "usage: turnout-floor LEVEL PORT SMSC_PORT\n");
        return 2;
    }
    level = (int)strtol(argv[1], NULL, 10);
    const struct sockaddr_in smsc = address_of(argv[3]);
    loop_fd = epoll_create1(EPOLL_CLOEXEC);
    struct side listener = {.fd = listen_on(argv[2])};
    watch(&listener, EPOLL_CTL_ADD, EPOLLIN);
    for (;;) {
        int count = epoll_wait(loop_fd, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &listener) {
                accept_client(listener.fd, &smsc);
            } else {
                on_event(events[i].data.ptr, events[i].events);
            }
        }
        turn_over();
    }
}
