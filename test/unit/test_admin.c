/* The admin listener before clients that write raw octets. One thread: while a client waits, the loop is
 * turned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/admin/admin.h"

enum { LARGE = 12 << 20, RESPONSE_MAX = LARGE + 4096, PATIENCE_MS = 10000 };

static struct world {
    uv_loop_t loop;
    uv_prepare_t prepare;
    unsigned turns; /* of the loop */
    struct admin *admin;
    int closed;
    const char *metrics; /* NULL: no memory */
    bool ready;
    bool large;
} world;

static char response[RESPONSE_MAX];

/* --- the world -------------------------------------------------------------------------------- */

static char *source_metrics(void *ctx, size_t *len)
{
    const struct world *w = ctx;
    if (w->metrics == NULL)
        return NULL;
    *len = w->large ? LARGE : strlen(w->metrics);
    char *text = malloc(*len + 1);
    assert_non_null(text);
    memset(text, 'm', *len);
    if (!w->large)
        memcpy(text, w->metrics, *len);
    return text;
}

static char *source_sessions(void *ctx)
{
    (void)ctx;
    return strdup("[]");
}

static bool source_ready(void *ctx, char *why, size_t cap)
{
    const struct world *w = ctx;
    if (!w->ready)
        snprintf(why, cap, "no routing table yet");
    return w->ready;
}

static bool source_healthy(void *ctx, char *why, size_t cap)
{
    (void)ctx;
    (void)why;
    (void)cap;
    return true;
}

static const struct admin_source source = {source_metrics, source_sessions, source_ready, source_healthy};

static void on_prepare(uv_prepare_t *prepare)
{
    ((struct world *)prepare->data)->turns++;
}

static int open_world(void **state)
{
    char error[256] = "";
    (void)state;
    memset(&world, 0, sizeof world);
    world.metrics = "# some\nmetrics 1\n";
    uv_loop_init(&world.loop);
    uv_prepare_init(&world.loop, &world.prepare);
    world.prepare.data = &world;
    uv_prepare_start(&world.prepare, on_prepare);
    world.admin = admin_open(&world.loop, "127.0.0.1", 0, &source, &world, error, sizeof error);
    return world.admin != NULL ? 0 : -1;
}

static void on_closed(void *ctx)
{
    ((struct world *)ctx)->closed++;
}

static int close_world(void **state)
{
    (void)state;
    admin_close(world.admin, on_closed, &world);
    uv_close((uv_handle_t *)&world.prepare, NULL);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    return world.closed == 1 ? uv_loop_close(&world.loop) : -1;
}

/* --- clients ---------------------------------------------------------------------------------- */

static int client_connect(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(admin_port(world.admin))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* Turns the loop until the descriptor has the event, or patience ends. */
static bool await(int fd, short event, int patience_ms)
{
    struct pollfd p = {.fd = fd, .events = event};
    for (int waited = 0; waited <= patience_ms; waited++) {
        uv_run(&world.loop, UV_RUN_NOWAIT);
        if (poll(&p, 1, 1) > 0)
            return true;
    }
    return false;
}

/* False where the peer has closed. */
static bool client_send(int fd, const char *data, size_t len)
{
    while (len > 0) {
        if (!await(fd, POLLOUT, PATIENCE_MS))
            return false;
        ssize_t sent = send(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0)
            return false;
        data += sent;
        len -= (size_t)sent;
    }
    return true;
}

/* Up to the end of the connection, into response. False where it does not end. */
static bool client_receive(int fd)
{
    size_t len = 0;
    for (;;) {
        response[len] = '\0';
        if (!await(fd, POLLIN, PATIENCE_MS))
            return false;
        ssize_t got = recv(fd, response + len, sizeof response - 1 - len, MSG_DONTWAIT);
        if (got <= 0)
            return true;
        len += (size_t)got;
    }
}

static void exchange(const char *request)
{
    int fd = client_connect();
    client_send(fd, request, strlen(request));
    assert_true(client_receive(fd));
    close(fd);
}

static void get(const char *method, const char *path)
{
    char request[256];
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method, path);
    exchange(request);
}

static const char *body(void)
{
    const char *end = strstr(response, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

static void expect(unsigned status, const char *type, const char *expected_body)
{
    char line[64], header[128];
    snprintf(line, sizeof line, "HTTP/1.1 %u ", status);
    assert_int_equal(strncmp(response, line, strlen(line)), 0);
    snprintf(header, sizeof header, "\r\nContent-Type: %s\r\n", type);
    assert_non_null(strstr(response, header));
    if (expected_body != NULL)
        assert_string_equal(body(), expected_body);
}

#define TEXT "text/plain; charset=utf-8"

/* --- answers ---------------------------------------------------------------------------------- */

static void each_page_is_served(void **state)
{
    (void)state;
    get("GET", "/metrics");
    expect(200, "text/plain; version=0.0.4; charset=utf-8", "# some\nmetrics 1\n");
    get("GET", "/metrics?name=x");
    expect(200, "text/plain; version=0.0.4; charset=utf-8", "# some\nmetrics 1\n");
    get("GET", "/sessions");
    expect(200, "application/json", "[]");
    get("GET", "/healthz");
    expect(200, TEXT, "ok\n");
    get("GET", "/readyz");
    expect(503, TEXT, "no routing table yet\n");
    world.ready = true;
    get("GET", "/readyz");
    expect(200, TEXT, "ok\n");
}

static void head_has_the_headers_alone(void **state)
{
    (void)state;
    get("HEAD", "/metrics");
    expect(200, "text/plain; version=0.0.4; charset=utf-8", "");
    assert_non_null(strstr(response, "\r\nContent-Length: 17\r\n"));
    get("HEAD", "/nowhere");
    expect(404, TEXT, "");
}

static void other_methods_are_refused(void **state)
{
    (void)state;
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "FLIP"};
    for (unsigned i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        get(methods[i], "/metrics");
        expect(405, TEXT, "only GET and HEAD\n");
        assert_non_null(strstr(response, "\r\nAllow: GET, HEAD\r\n"));
    }
    exchange("POST /sessions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
    expect(405, TEXT, "only GET and HEAD\n");
}

static void an_unknown_path_lists_the_known(void **state)
{
    (void)state;
    static const char *const paths[] = {"/", "/metric", "/metrics/", "/../metrics", "/%6Detrics/x", "*"};
    for (unsigned i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        get("GET", paths[i]);
        expect(404, TEXT, NULL);
        assert_non_null(strstr(body(), "/metrics"));
        assert_non_null(strstr(body(), "/sessions"));
        assert_non_null(strstr(body(), "/healthz"));
        assert_non_null(strstr(body(), "/readyz"));
    }
}

static void no_memory_is_said(void **state)
{
    (void)state;
    world.metrics = NULL;
    get("GET", "/metrics");
    expect(503, TEXT, "no memory\n");
}

static void a_connection_serves_several_requests(void **state)
{
    (void)state;
    exchange("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /sessions HTTP/1.1\r\nHost: x\r\n\r\n"
             "GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    expect(200, TEXT, NULL);
    const char *second = strstr(response + 1, "HTTP/1.1 200 ");
    assert_non_null(second);
    assert_non_null(strstr(second, "[]"));
    assert_non_null(strstr(second, "HTTP/1.1 404 "));
}

static void http_1_0_is_understood(void **state)
{
    (void)state;
    exchange("GET /healthz HTTP/1.0\r\n\r\n");
    assert_non_null(strstr(response, " 200 "));
    assert_string_equal(body(), "ok\n");
}

/* --- clients that misbehave ------------------------------------------------------------------- */

static void still_serves(void)
{
    get("GET", "/healthz");
    expect(200, TEXT, "ok\n");
}

static void a_large_answer_reaches_a_slow_reader(void **state)
{
    (void)state;
    world.large = true;
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    int fd = client_connect(), small = 256 << 10;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    assert_true(client_send(fd, request, strlen(request)));
    for (int i = 0; i < 20; i++)
        uv_run(&world.loop, UV_RUN_NOWAIT);
    still_serves(); /* meanwhile */
    assert_true(client_receive(fd));
    assert_int_equal(strlen(body()), LARGE);
    close(fd);
}

static void a_slow_writer_is_served(void **state)
{
    (void)state;
    static const char request[] = "GET /sessions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    int fd = client_connect();
    for (size_t i = 0; i < strlen(request); i++) {
        assert_true(client_send(fd, request + i, 1));
        await(fd, POLLIN, 2);
    }
    assert_true(client_receive(fd));
    expect(200, "application/json", "[]");
    close(fd);
}

static void an_endless_body_ends_the_connection(void **state)
{
    (void)state;
    static char block[65536];
    static const char head[] = "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n";
    int fd = client_connect();
    assert_true(client_send(fd, head, strlen(head)));
    unsigned blocks = 0;
    while (blocks < 1000 && client_send(fd, block, sizeof block))
        blocks++;
    assert_true(blocks < 1000); /* 64 MB were not read */
    close(fd);
    still_serves();
}

static void garbage_is_survived(void **state)
{
    (void)state;
    unsigned random = 1;
    for (unsigned round = 0; round < 100; round++) {
        char noise[2000];
        for (size_t i = 0; i < sizeof noise; i++) {
            random = random * 1103515245 + 12345;
            noise[i] = (char)(round % 2 ? random >> 16 : ' ' + (random >> 16) % 95);
        }
        int fd = client_connect();
        client_send(fd, noise, round * sizeof noise / 100);
        client_send(fd, "\r\n\r\n", 4);
        await(fd, POLLIN, 3);
        close(fd);
    }
    still_serves();
}

static void endless_headers_are_refused(void **state)
{
    (void)state;
    static const char line[] = "X-More: and more and more and more and more\r\n";
    int fd = client_connect();
    client_send(fd, "GET /metrics HTTP/1.1\r\n", 23);
    unsigned lines = 0;
    while (lines < 100000 && client_send(fd, line, strlen(line)))
        lines++;
    assert_true(lines < 100000);
    close(fd);
    char path[20000];
    snprintf(path, sizeof path, "GET /%019990d", 0);
    fd = client_connect();
    client_send(fd, path, sizeof path);
    assert_true(client_receive(fd));
    assert_int_equal(strncmp(response, "HTTP/1.1 4", 10), 0);
    close(fd);
    still_serves();
}

static void a_silent_client_is_closed(void **state)
{
    (void)state;
    int fd = client_connect();
    client_send(fd, "GET /metr", 9);
    uint64_t begun = uv_hrtime();
    assert_true(client_receive(fd));
    uint64_t seconds = (uv_hrtime() - begun) / 1000000000;
    assert_true(seconds + 1 >= ADMIN_TIMEOUT_S && seconds <= ADMIN_TIMEOUT_S + 2);
    close(fd);
}

static void on_end(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, NULL);
    uv_stop(timer->loop);
}

/* How often the loop turns in 200 ms in which nothing should happen. */
static unsigned idle_turns(void)
{
    static uv_timer_t timer;
    unsigned before = world.turns;
    uv_update_time(&world.loop);
    uv_timer_init(&world.loop, &timer);
    uv_timer_start(&timer, on_end, 200, 0);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    uv_run(&world.loop, UV_RUN_NOWAIT);
    return world.turns - before;
}

static void further_connections_wait_their_turn(void **state)
{
    (void)state;
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    enum { FURTHER = 10 };
    int first[ADMIN_CONNECTIONS_MAX], further[FURTHER];
    for (int i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
        first[i] = client_connect();
        client_send(first[i], "GET", 3);
    }
    for (int i = 0; i < FURTHER; i++) {
        further[i] = client_connect();
        client_send(further[i], request, strlen(request));
    }
    assert_false(await(further[0], POLLIN, 50));
    assert_true(idle_turns() < 30);
    for (int i = 0; i < ADMIN_CONNECTIONS_MAX; i++)
        close(first[i]);
    for (int i = 0; i < FURTHER; i++) {
        assert_true(client_receive(further[i]));
        expect(200, TEXT, "ok\n");
        close(further[i]);
    }
}

/* Without a descriptor the connection waits, and the loop rests. */
static void want_of_descriptors_is_waited_out(void **state)
{
    (void)state;
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    struct rlimit old, none;
    int fd = client_connect();
    int lowest = dup(fd);
    close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old;
    none.rlim_cur = (rlim_t)lowest;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    send(fd, request, strlen(request), 0);
    unsigned turns = idle_turns();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_true(turns < 60);
    assert_true(client_receive(fd));
    expect(200, TEXT, "ok\n");
    close(fd);
}

/* --- opening and closing ---------------------------------------------------------------------- */

static void why_it_cannot_listen_is_told(void **state)
{
    (void)state;
    char error[256] = "";
    uint16_t taken = admin_port(world.admin);
    assert_null(admin_open(&world.loop, "127.0.0.1", taken, &source, &world, error, sizeof error));
    assert_non_null(strstr(error, "Address already in use"));
    assert_non_null(strstr(error, "127.0.0.1"));
    assert_null(admin_open(&world.loop, "192.0.2.1", 0, &source, &world, error, sizeof error));
    assert_non_null(strstr(error, "Cannot assign"));
    assert_null(admin_open(&world.loop, "300.1.1.1.1", 0, &source, &world, error, sizeof error));
    assert_non_null(strstr(error, "300.1.1.1.1"));
}

static void closing_drops_what_is_open(void **state)
{
    (void)state;
    char error[256] = "";
    int idle = client_connect(), half = client_connect();
    client_send(half, "GET /met", 8);
    await(idle, POLLIN, 5);
    uint16_t port = admin_port(world.admin);
    admin_close(world.admin, NULL, NULL);
    assert_true(client_receive(half));
    assert_true(client_receive(idle));
    close(idle);
    close(half);
    world.admin = admin_open(&world.loop, "127.0.0.1", port, &source, &world, error, sizeof error);
    assert_string_equal(error, "");
    still_serves();
}

int main(void)
{
#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(each_page_is_served),
        WORLD_TEST(head_has_the_headers_alone),
        WORLD_TEST(other_methods_are_refused),
        WORLD_TEST(an_unknown_path_lists_the_known),
        WORLD_TEST(no_memory_is_said),
        WORLD_TEST(a_connection_serves_several_requests),
        WORLD_TEST(http_1_0_is_understood),
        WORLD_TEST(a_large_answer_reaches_a_slow_reader),
        WORLD_TEST(a_slow_writer_is_served),
        WORLD_TEST(an_endless_body_ends_the_connection),
        WORLD_TEST(garbage_is_survived),
        WORLD_TEST(endless_headers_are_refused),
        WORLD_TEST(a_silent_client_is_closed),
        WORLD_TEST(further_connections_wait_their_turn),
        WORLD_TEST(want_of_descriptors_is_waited_out),
        WORLD_TEST(why_it_cannot_listen_is_told),
        WORLD_TEST(closing_drops_what_is_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
