/* HTTP on the main loop: libmicrohttpd without a thread of its own.
 *
 *   its epoll descriptor ──uv_poll──▶┐
 *   MHD_get_timeout ──────uv_timer──▶┴▶ MHD_run ──▶ answer() ──▶ a row of pages[] ──▶ admin_source
 *
 * After every run the timer is set to what libmicrohttpd asks for. Only GET and HEAD change nothing, so only
 * they are answered; the body of another request is read and dropped up to a limit, so that its sender sees
 * the answer. */
#include "proxy/admin/admin.h"
#include "proxy/memory_text.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BODY_MAX = 65536,
    CONNECTION_MEMORY = 16384, /* request line, headers and our answer's headers */
    BACKLOG = 64,
    WHY_MAX = 256,
    ACCEPT_PAUSE_MS = 20,
};

struct admin {
    uv_poll_t poll;
    uv_timer_t timer;
    struct MHD_Daemon *daemon;
    int epoll_fd; /* the daemon's */
    uint16_t port;
    struct admin_source source;
    void *source_ctx;
    unsigned handles; /* yet to be closed */
    void (*done)(void *ctx);
    void *done_ctx;
};

/* --- pages ------------------------------------------------------------------------------------ */

struct page {
    const char *path;
    const char *type;
    const char *about;
    /* The body, malloc'd, NULL without memory; *status is 200 unless changed. */
    char *(*make)(const struct admin *admin, size_t *len, unsigned *status);
};

static char *make_metrics(const struct admin *admin, size_t *len, unsigned *status)
{
    (void)status;
    return admin->source.metrics(admin->source_ctx, len);
}

static char *make_sessions(const struct admin *admin, size_t *len, unsigned *status)
{
    (void)status;
    char *json = admin->source.sessions(admin->source_ctx);
    if (json != NULL)
        *len = strlen(json);
    return json;
}

/* "ok", or 503 and the reason. */
static char *make_check(bool (*check)(void *ctx, char *why, size_t cap), void *ctx, size_t *len,
                        unsigned *status)
{
    char why[WHY_MAX] = "";
    bool ok = check(ctx, why, sizeof why);
    char *body = NULL;
    int written = asprintf(&body, "%s\n", ok ? "ok" : why);
    if (written < 0)
        return NULL;
    *len = (size_t)written;
    *status = ok ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
    return body;
}

static char *make_ready(const struct admin *admin, size_t *len, unsigned *status)
{
    return make_check(admin->source.ready, admin->source_ctx, len, status);
}

static char *make_healthy(const struct admin *admin, size_t *len, unsigned *status)
{
    return make_check(admin->source.healthy, admin->source_ctx, len, status);
}

#define TEXT            "text/plain; charset=utf-8"
#define PROMETHEUS_TEXT "text/plain; version=0.0.4; charset=utf-8"

static const struct page pages[] = {
    {"/metrics", PROMETHEUS_TEXT, "counters, gauges and histograms for Prometheus", make_metrics},
    {"/sessions", "application/json", "sessions by side, link, bind type and state", make_sessions},
    {"/healthz", TEXT, "200 while the process runs its loops", make_healthy},
    {"/readyz", TEXT, "200 while it can serve, else 503 and why", make_ready},
};
enum { PAGES = sizeof pages / sizeof pages[0] };

static const struct page *page_of(const char *path)
{
    for (size_t i = 0; i < PAGES; i++) {
        if (strcmp(pages[i].path, path) == 0)
            return &pages[i];
    }
    return NULL;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Sends a response and gives it up. libmicrohttpd leaves the body out by itself where the method is HEAD. */
static enum MHD_Result send_response(struct MHD_Connection *connection, unsigned status, const char *type,
                                     struct MHD_Response *response)
{
    if (response == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (result == MHD_YES && status == MHD_HTTP_METHOD_NOT_ALLOWED)
        result = MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    if (result == MHD_YES)
        result = MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (result == MHD_YES)
        result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result send_body(struct MHD_Connection *connection, unsigned status, const char *type,
                                 char *body, size_t len)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(len, body, MHD_RESPMEM_MUST_FREE);
    if (response == NULL)
        free(body);
    return send_response(connection, status, type, response);
}

static enum MHD_Result send_static(struct MHD_Connection *connection, unsigned status, const char *text)
{
    char *unwritten = (char *)(uintptr_t)text; /* the interface has no const; PERSISTENT is never written */
    return send_response(connection, status, TEXT,
                         MHD_create_response_from_buffer(strlen(text), unwritten, MHD_RESPMEM_PERSISTENT));
}

static enum MHD_Result send_not_found(struct MHD_Connection *connection)
{
    size_t len = 0;
    struct memory_text page;
    FILE *out = memory_text_open(&page);
    if (out == NULL)
        return MHD_NO;
    fputs("no such page; there are:\n", out);
    for (size_t i = 0; i < PAGES; i++)
        fprintf(out, "%-10s %s\n", pages[i].path, pages[i].about);
    char *body = memory_text_close(&page, &len);
    if (body == NULL)
        return MHD_NO;
    return send_body(connection, MHD_HTTP_NOT_FOUND, TEXT, body, len);
}

static enum MHD_Result send_page(const struct admin *admin, struct MHD_Connection *connection,
                                 const struct page *page)
{
    size_t len = 0;
    unsigned status = MHD_HTTP_OK;
    char *body = page->make(admin, &len, &status);
    if (body == NULL)
        return send_static(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "no memory\n");
    return send_body(connection, status, page->type, body, len);
}

static bool reads_only(const char *method)
{
    return strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
}

static enum MHD_Result respond(const struct admin *admin, struct MHD_Connection *connection, const char *url,
                               const char *method)
{
    const struct page *page = page_of(url);
    if (page == NULL)
        return send_not_found(connection);
    if (!reads_only(method))
        return send_static(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    return send_page(admin, connection, page);
}

/* Called once when the headers are there, then with each part of a body, then once more. *state counts the
 * octets of the body, from 1. MHD_NO closes the connection. */
static enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload_data,
                              size_t *upload_data_size, void **state)
{
    (void)version;
    (void)upload_data;
    uintptr_t seen = (uintptr_t)*state;
    if (seen == 0) {
        *state = (void *)(uintptr_t)1;
        return MHD_YES;
    }
    if (*upload_data_size > 0) {
        seen += *upload_data_size;
        *upload_data_size = 0;
        *state = (void *)seen;
        return seen <= BODY_MAX ? MHD_YES : MHD_NO;
    }
    return respond(cls, connection, url, method);
}

/* --- the loop --------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);
static void on_poll(uv_poll_t *poll, int status, int events);

static unsigned connections(const struct admin *admin)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(admin->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    return info != NULL ? info->num_connections : 0;
}

/* At its limit libmicrohttpd stops listening, and begins again in the run after the one in which a connection
 * ended; with none left, nothing would ask for that run. */
static void run(struct admin *admin)
{
    MHD_UNSIGNED_LONG_LONG timeout = 0;
    unsigned before;
    do {
        before = connections(admin);
        MHD_run(admin->daemon);
    } while (connections(admin) < before);
    if (MHD_get_timeout(admin->daemon, &timeout) == MHD_YES)
        uv_timer_start(&admin->timer, on_timer, timeout, 0);
    else
        uv_timer_stop(&admin->timer);
}

/* Without a descriptor for its first connection, libmicrohttpd leaves it where it is and its own descriptor
 * readable for ever. */
static bool cannot_accept(const struct admin *admin)
{
    struct pollfd still = {.fd = admin->epoll_fd, .events = POLLIN};
    return connections(admin) == 0 && poll(&still, 1, 0) > 0;
}

static void on_timer(uv_timer_t *timer)
{
    struct admin *admin = timer->data;
    uv_poll_start(&admin->poll, UV_READABLE, on_poll);
    run(admin);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct admin *admin = poll->data;
    (void)status;
    (void)events;
    run(admin);
    if (cannot_accept(admin)) {
        uv_poll_stop(poll);
        uv_timer_start(&admin->timer, on_timer, ACCEPT_PAUSE_MS, 0);
    }
}

/* --- opening and closing ---------------------------------------------------------------------- */

/* A listening socket, or -1 and errno. */
static int listen_on(const struct addrinfo *where)
{
    int on = 1;
    int fd = socket(where->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, where->ai_addr, where->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int open_socket(const char *address, uint16_t port, char *error, size_t cap)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char service[8];
    snprintf(service, sizeof service, "%u", (unsigned)port);
    int failed = getaddrinfo(address, service, &hints, &found);
    if (failed != 0) {
        snprintf(error, cap, "admin address %s: %s", address, gai_strerror(failed));
        return -1;
    }
    int fd = listen_on(found);
    if (fd < 0)
        snprintf(error, cap, "admin cannot listen on %s port %u: %s", address, (unsigned)port,
                 strerror(errno));
    freeaddrinfo(found);
    return fd;
}

static uint16_t port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at = {.v6 = {0}};
    socklen_t len = sizeof at;
    if (getsockname(fd, &at.any, &len) != 0)
        return 0;
    return ntohs(at.any.sa_family == AF_INET6 ? at.v6.sin6_port : at.v4.sin_port);
}

static struct MHD_Daemon *start_daemon(struct admin *admin, int fd)
{
    return MHD_start_daemon(MHD_USE_EPOLL, admin->port, NULL, NULL, answer, admin, MHD_OPTION_LISTEN_SOCKET,
                            fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)ADMIN_CONNECTIONS_MAX,
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)ADMIN_TIMEOUT_S,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
}

/* The handles, started. Nothing is left behind on failure but the daemon. */
static bool start_handles(struct admin *admin, uv_loop_t *loop)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(admin->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL || uv_poll_init(loop, &admin->poll, info->epoll_fd) != 0)
        return false;
    admin->epoll_fd = info->epoll_fd;
    uv_timer_init(loop, &admin->timer);
    admin->poll.data = admin;
    admin->timer.data = admin;
    admin->handles = 2;
    uv_poll_start(&admin->poll, UV_READABLE, on_poll);
    return true;
}

struct admin *admin_open(uv_loop_t *loop, const char *address, uint16_t port,
                         const struct admin_source *source, void *ctx, char *error, size_t cap)
{
    int fd = open_socket(address, port, error, cap);
    if (fd < 0)
        return NULL;
    struct admin *admin = calloc(1, sizeof *admin);
    if (admin == NULL) {
        snprintf(error, cap, "admin: no memory");
        close(fd);
        return NULL;
    }
    admin->port = port_of(fd);
    admin->source = *source;
    admin->source_ctx = ctx;
    admin->daemon = start_daemon(admin, fd);
    if (admin->daemon == NULL || !start_handles(admin, loop)) {
        snprintf(error, cap, "admin: libmicrohttpd cannot start: no memory, or no descriptors");
        if (admin->daemon != NULL)
            MHD_stop_daemon(admin->daemon);
        free(admin);
        return NULL;
    }
    return admin;
}

uint16_t admin_port(const struct admin *admin)
{
    return admin->port;
}

static void on_closed(uv_handle_t *handle)
{
    struct admin *admin = handle->data;
    if (--admin->handles > 0)
        return;
    void (*done)(void *ctx) = admin->done;
    void *ctx = admin->done_ctx;
    free(admin);
    if (done != NULL)
        done(ctx);
}

/* The poll handle goes first: libuv must not find its descriptor closed. */
void admin_close(struct admin *admin, void (*done)(void *ctx), void *ctx)
{
    admin->done = done;
    admin->done_ctx = ctx;
    uv_close((uv_handle_t *)&admin->poll, on_closed);
    uv_close((uv_handle_t *)&admin->timer, on_closed);
    MHD_stop_daemon(admin->daemon);
}
