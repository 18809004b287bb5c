/* The board on a screen: what is shown, and where the eye is. Drawing is watch_screen.c, keys and actions watch.c.
 *
 *   Redis ──once a second──▶ board ──watch_draw──▶ screen ◀──keys── the engineer
 *                                      key ─▶ command, shown, asked about ──y──▶ turnoutctl as a process of its own
 */
#ifndef ROUTING_CTL_WATCH_H
#define ROUTING_CTL_WATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "routing/ctl/board.h"
#include "routing/ctl/ctl.h"

enum watch_view { VIEW_BOARD, VIEW_DETAILS, VIEW_ALARMS, VIEW_HELP };

enum { WATCH_CARRIERS = NAMES_MAX, WATCH_VISIBLE = 200, WATCH_TEXT = 512 };

struct watch {
    struct ctl *ctl;
    struct board board;
    bool loaded;           /* the board has been read once */
    char away[WATCH_TEXT]; /* why Redis cannot be read; "" while it can */
    int64_t read_us;       /* when the board was read */
    int64_t tried_us;      /* when it was last tried */
    char message[WATCH_TEXT];
    enum watch_view view;
    int scrolled; /* lines of details or alarms that are above the screen */
    size_t rows_count;
    const char **rows; /* shortcodes, in the cells */
    size_t carriers_count;
    char carriers[WATCH_CARRIERS][NAME_LEN_MAX + 1];
    char selected[SHORTCODE_LEN_MAX + 1]; /* by name, so that it stays when rows come and go */
    size_t row, column;                   /* of the selection */
    size_t top, left;                     /* first row and column on the screen */
};

/* The cell under the eye; NULL where there is none. */
const struct cell *watch_cell(const struct watch *watch);

/* Rows, and columns of carriers, that fit on the screen. */
size_t watch_lines(void);
size_t watch_columns(const struct watch *watch);

void watch_draw(struct watch *watch);

/* A command at the bottom, above the question about it; as many lines as it takes. */
void watch_show_command(const char *text);

/* A line at the bottom, answered by keys: text has size octets and may hold a proposal. False where it was given up
 * (Esc, or a signal). The board stands still meanwhile, and says of when it is. */
bool watch_ask(const struct watch *watch, const char *question, char *text, size_t size);

#endif
