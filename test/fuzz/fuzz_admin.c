/* The admin listener before a client that writes anything, in one piece or in many.
 *
 *   input: size of a piece, octets ──TCP──▶ admin on a loop of this thread ──▶ nothing, or an HTTP answer
 *
 * Whatever came before, the next request of a client that behaves is answered. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "proxy/admin/admin.h"
#include "test/fuzz/fuzz.h"

enum { STILL_TURNS = 3, CHECK_EVERY = 64, PIECE_MAX = 512 };

static uv_loop_t loop;
static struct admin *admin;
static char answer[1 << 16];

static char *metrics(void *ctx, size_t *len)
{
    (void)ctx;
    char *text = strdup("turnout_up 1\n");
    *len = text != NULL ? strlen(text) : 0;
    return text;
}

static char *sessions(void *ctx)
{
    (void)ctx;
    return strdup("[]");
}

static bool yes(void *ctx, char *why, size_t cap)
{
    (void)ctx;
    (void)why;
    (void)cap;
    return true;
}

static void open_admin(void)
{
    static const struct admin_source source = {
        .metrics = metrics, .sessions = sessions, .ready = yes, .healthy = yes};
    char error[256];
    MUST(uv_loop_init(&loop) == 0);
    admin = admin_open(&loop, "127.0.0.1", 0, &source, NULL, error, sizeof error);
    MUST(admin != NULL);
}

/* Ends by a reset, so that no port is kept waiting. */
static int connect_client(void)
{
    const struct linger reset = {1, 0};
    const int on = 1;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(admin_port(admin))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(fd >= 0);
    int connected;
    do {
        connected = connect(fd, (struct sockaddr *)&to, sizeof to);
    } while (connected != 0 && errno == EINTR); /* libFuzzer's alarm */
    MUST(connected == 0 || errno == EISCONN);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* Turns the loop until nothing has come for a few turns; what came is in answer. */
static size_t receive(int fd)
{
    size_t len = 0;
    for (int still = 0; still < STILL_TURNS && len < sizeof answer - 1; still++) {
        uv_run(&loop, UV_RUN_NOWAIT);
        ssize_t got = recv(fd, answer + len, sizeof answer - 1 - len, MSG_DONTWAIT);
        if (got > 0) {
            len += (size_t)got;
            still = 0;
        }
    }
    answer[len] = '\0';
    return len;
}

static void send_all(int fd, struct input octets, size_t piece)
{
    while (octets.len > 0) {
        struct input some = take_octets(&octets, piece);
        if (send(fd, some.p, some.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            return;
        uv_run(&loop, UV_RUN_NOWAIT);
    }
}

static void still_serves(void)
{
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    int fd = connect_client();
    send_all(fd, (struct input){(const uint8_t *)request, sizeof request - 1}, sizeof request);
    size_t len = 0;
    for (int tries = 0; tries < 1000 && len == 0; tries++)
        len = receive(fd);
    MUST(strncmp(answer, "HTTP/1.1 200", 12) == 0);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned runs;
    struct input in = {data, size};
    if (admin == NULL)
        open_admin();
    size_t piece = 1 + take_number(&in, PIECE_MAX);
    int fd = connect_client();
    send_all(fd, in, piece);
    size_t len = receive(fd);
    MUST(len == 0 || strncmp(answer, "HTTP/1.", 7) == 0);
    close(fd);
    uv_run(&loop, UV_RUN_NOWAIT);
    if (++runs % CHECK_EVERY == 0)
        still_serves();
    return 0;
}
