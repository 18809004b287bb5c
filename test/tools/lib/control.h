/* Commands while the tool runs: lines over a unix socket and, if wanted, standard input; each gets one line
 * of JSON back.
 *
 *   "mark flip-1\n" ──▶ handler ──▶ {"ok": true}\n
 */
#ifndef TOOLS_CONTROL_H
#define TOOLS_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

/* Does what the line says (it may be cut up in place), and returns the answer, which is then released. */
typedef json_t *(*control_handler)(void *context, char *line);

struct control;

struct control *control_new(uv_loop_t *loop, control_handler handler, void *context);

/* Listens on a unix socket, taking the place of an earlier one. Negative: libuv's error. */
int control_listen(struct control *control, const char *path);

/* Takes commands from standard input; at_end is called when it ends. */
void control_stdin(struct control *control, void (*at_end)(void *context));

/* Closes everything, removes the socket. control_free after the loop has ended. */
void control_close(struct control *control);
void control_free(struct control *control);

/* {"ok": true}; or {"ok": false, "error": "..."}. */
json_t *control_ok(void);
json_t *control_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
