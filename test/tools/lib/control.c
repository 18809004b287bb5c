#include "test/tools/lib/control.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "test/tools/lib/buffer.h"

enum { LINE_MAX_OCTETS = 1024 * 1024, BACKLOG = 16, READ_SIZE = 65536 };

struct peer {
    uv_pipe_t pipe;
    LIST_ENTRY(peer) entry;
    struct control *control;
    struct buffer in;
};

struct control {
    uv_loop_t *loop;
    control_handler handler;
    void *context;
    uv_pipe_t listener;
    bool listening;
    char *path;
    LIST_HEAD(, peer) peers;
    uv_poll_t input;
    bool input_open;
    struct buffer input_line;
    void (*at_end)(void *context);
    char *read_buffer;
};

json_t *control_ok(void)
{
    return json_pack("{s:b}", "ok", 1);
}

json_t *control_error(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is, one line above */
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return json_pack("{s:b, s:s}", "ok", 0, "error", text);
}

struct control *control_new(uv_loop_t *loop, control_handler handler, void *context)
{
    struct control *control = tools_alloc(1, sizeof(*control));
    control->loop = loop;
    control->handler = handler;
    control->context = context;
    control->read_buffer = tools_alloc(1, READ_SIZE);
    LIST_INIT(&control->peers);
    return control;
}

/* The answer to a line, with its newline; the caller frees it. */
static char *answer(struct control *control, char *line)
{
    json_t *reply = control->handler(control->context, line);
    char *text = json_dumps(reply, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(reply);
    char *with_newline = NULL;
    if (asprintf(&with_newline, "%s\n", text) < 0) {
        with_newline = tools_copy("\n");
    }
    free(text);
    return with_newline;
}

/* Hands every whole line of in to take. False where one is too long. */
static bool each_line(struct buffer *in, void (*take)(void *to, char *line), void *to)
{
    uint8_t *newline = NULL;
    while (in->len > 0 && (newline = memchr(in->data, '\n', in->len)) != NULL) {
        *newline = '\0';
        size_t used = (size_t)(newline - in->data) + 1;
        char *line = tools_copy((const char *)in->data);
        buffer_consume(in, used);
        take(to, line);
        free(line);
    }
    return in->len < LINE_MAX_OCTETS;
}

/* --- the socket --------------------------------------------------------------------------------------------
 */

static void on_peer_closed(uv_handle_t *handle)
{
    struct peer *peer = handle->data;
    buffer_free(&peer->in);
    free(peer);
}

static void close_peer(struct peer *peer)
{
    if (!uv_is_closing((uv_handle_t *)&peer->pipe)) {
        LIST_REMOVE(peer, entry);
        uv_close((uv_handle_t *)&peer->pipe, on_peer_closed);
    }
}

static void on_written(uv_write_t *write, int status)
{
    (void)status;
    free(write->data);
    free(write);
}

static void take_from_peer(void *to, char *line)
{
    struct peer *peer = to;
    uv_write_t *write = tools_alloc(1, sizeof(*write));
    write->data = answer(peer->control, line);
    uv_buf_t buf = uv_buf_init(write->data, (unsigned)strlen(write->data));
    if (uv_is_closing((uv_handle_t *)&peer->pipe) ||
        uv_write(write, (uv_stream_t *)&peer->pipe, &buf, 1, on_written) != 0) {
        on_written(write, 0);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct peer *peer = handle->data;
    *buf = uv_buf_init(peer->control->read_buffer, READ_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct peer *peer = stream->data;
    if (len > 0) {
        buffer_append(&peer->in, buf->base, (size_t)len);
    }
    if (len < 0 || !each_line(&peer->in, take_from_peer, peer)) {
        close_peer(peer);
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct control *control = listener->data;
    if (status < 0) {
        return;
    }
    struct peer *peer = tools_alloc(1, sizeof(*peer));
    peer->control = control;
    peer->pipe.data = peer;
    uv_pipe_init(control->loop, &peer->pipe, 0);
    LIST_INSERT_HEAD(&control->peers, peer, entry);
    if (uv_accept(listener, (uv_stream_t *)&peer->pipe) != 0) {
        close_peer(peer);
        return;
    }
    uv_read_start((uv_stream_t *)&peer->pipe, on_alloc, on_read);
}

int control_listen(struct control *control, const char *path)
{
    unlink(path);
    uv_pipe_init(control->loop, &control->listener, 0);
    control->listener.data = control;
    control->listening = true;
    control->path = tools_copy(path);
    int error = uv_pipe_bind(&control->listener, path);
    return error < 0 ? error : uv_listen((uv_stream_t *)&control->listener, BACKLOG, on_connection);
}

/* --- standard input ----------------------------------------------------------------------------------------
 */

static void take_from_input(void *to, char *line)
{
    char *text = answer(to, line);
    fputs(text, stdout);
    fflush(stdout);
    free(text);
}

/* False at the end of the input. */
static bool read_input(struct control *control)
{
    ssize_t len = read(STDIN_FILENO, control->read_buffer, READ_SIZE);
    if (len <= 0) {
        return false;
    }
    buffer_append(&control->input_line, control->read_buffer, (size_t)len);
    return each_line(&control->input_line, take_from_input, control);
}

static void close_input(struct control *control)
{
    if (control->input_open) {
        control->input_open = false;
        uv_close((uv_handle_t *)&control->input, NULL);
    }
}

static void on_input(uv_poll_t *poll, int status, int events)
{
    struct control *control = poll->data;
    (void)events;
    if ((status < 0 || !read_input(control)) && control->input_open) {
        close_input(control);
        control->at_end(control->context);
    }
}

void control_stdin(struct control *control, void (*at_end)(void *context))
{
    control->at_end = at_end;
    if (uv_poll_init(control->loop, &control->input, STDIN_FILENO) == 0) {
        control->input.data = control;
        control->input_open = true;
        uv_poll_start(&control->input, UV_READABLE, on_input);
        return;
    }
    while (read_input(control)) { /* a plain file cannot be waited for, and need not be */
    }
    at_end(control->context);
}

/* --- the end -----------------------------------------------------------------------------------------------
 */

void control_close(struct control *control)
{
    struct peer *peer = NULL;
    while ((peer = LIST_FIRST(&control->peers)) != NULL) {
        close_peer(peer);
    }
    if (control->listening) {
        control->listening = false;
        uv_close((uv_handle_t *)&control->listener, NULL);
        unlink(control->path);
    }
    close_input(control);
}

void control_free(struct control *control)
{
    buffer_free(&control->input_line);
    free(control->read_buffer);
    free(control->path);
    free(control);
}
