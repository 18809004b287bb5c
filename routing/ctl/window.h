/* A window as Redis has it, for the commands about windows.
 *
 *   turnout_window_show ──window_read──▶ struct window: its fields, its cells and what the table has of them
 *   request ──window_send──▶ turnout_window ──▶ sent, or told what keeps it from being done
 *
 * The functions are described at the head of functions/60-window.lua. */
#ifndef ROUTING_CTL_WINDOW_H
#define ROUTING_CTL_WINDOW_H

#include "routing/ctl/apply.h"
#include "routing/ctl/cells.h"
#include "routing/ctl/ctl.h"
#include "routing/ctl/zone.h"

/* Where a cell of a window stands. X(id, word) */
#define WINDOW_CELL_STATES(X)            \
    X(NO_ROW, "no row")                  \
    X(WAITING, "waiting")                \
    X(WAITING_HELD, "waiting, not open") \
    X(THERE, "already there")            \
    X(MOVED, "moved")                    \
    X(MOVED_HELD, "moved, not open")     \
    X(ELSEWHERE, "elsewhere")
#define WINDOW_CELL_ENUM(id, word) WINDOW_CELL_##id,
enum window_cell_state { WINDOW_CELL_STATES(WINDOW_CELL_ENUM) WINDOW_CELL_STATE_COUNT };
#undef WINDOW_CELL_ENUM

const char *window_cell_word(enum window_cell_state state);

struct window_cell {
    struct cell now; /* as the table has it, or had it when the window ended; platform "": there is no row */
    char to[NAME_LEN_MAX + 1];
    char before[NAME_LEN_MAX + 1]; /* when the window started; "" until then */
    enum route_state before_state;
    uint64_t at_ms;     /* when it moves by itself; 0: it does not */
    const char *failed; /* why it did not; "" */
    enum window_cell_state state;
};

struct window {
    redisReply *reply;
    const char *name;
    uint64_t now_ms, version;
    struct zone zone;
    size_t count;
    struct window_cell *cells; /* by shortcode, carrier */
};

/* CTL_DONE with the window, to be freed; or what the command ends with, told. The window is empty before and to
 * be freed in either case. */
enum ctl_exit window_read(struct ctl *ctl, const char *name, struct window *window);
void window_free(struct window *window);

/* A field as text, "" where it is not there; and as a number, 0. */
const char *window_field(const struct window *window, const char *name);
uint64_t window_number(const struct window *window, const char *name);
bool window_is(const struct window *window, const char *state);

/* Is its end over, though it is open or paused? */
bool window_overdue(const struct window *window);

/* The newest line of its log that says this, as JSON {"at", "who", "why" ...}, to be released; NULL for none. */
json_t *window_last(const struct window *window, const char *what);

/* The lines of its log (JSON), and the versions made in it. */
const redisReply *window_log(const struct window *window);
const redisReply *window_versions(const struct window *window);

/* NULL where it is not in the window. */
const struct window_cell *window_find(const struct window *window, const char *shortcode,
                                      const char *carrier);

/* How many cells are in this state; carrier NULL: of all. */
size_t window_count(const struct window *window, const char *carrier, enum window_cell_state state);

/* The carriers in the order of the steps, one after the other: starts with *rest NULL; NULL at the end. The
 * text is good until the next call. */
const char *window_carrier_next(const struct window *window, const char **rest, char name[NAME_LEN_MAX + 1]);

/* {"name", "state", "zone", "start_ms" ...}; {"shortcode", "carrier", "to", "progress" ...}. */
json_t *window_json(const struct window *window);
json_t *window_cell_json(const struct window_cell *cell);

/* Is the first argument a name for a window? Where not, it was told. */
bool window_name_fine(struct ctl *ctl);

/* {"command", "name", "who", "why", "ticket", "force"} from the command line. NULL where that was told
 * (CTL_USAGE). */
json_t *window_request(struct ctl *ctl, const char *command);

/* Sends it, and takes it over. CTL_DONE with sent (reply to be freed), or what the command ends with, told. */
enum ctl_exit window_send(struct ctl *ctl, json_t *request, struct sent *sent);

/* Waits for the instances where the command changed cells, and gives what it ends with. */
enum ctl_exit window_wait(struct ctl *ctl, struct sent *sent);

#endif
