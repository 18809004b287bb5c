/* head │ trouble │ carriers │ rows ... │ the selected cell │ keys
 *
 * ASCII, bold and reverse only, so that it is the same on every terminal. What comes from Redis is cleaned before it
 * is shown. */
#define NCURSES_WIDECHAR 1
#include <curses.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "routing/ctl/output.h"
#include "routing/ctl/watch.h"

enum {
    HEAD_LINES = 3,
    FOOT_LINES = 4,
    SHORTCODE_WIDTH = 10,
    CELL_WIDTH_MIN = 16,
    CELL_WIDTH_MAX = 24,
    ROOM = 400
};
enum {
    KEY_ESCAPE = 27,
    KEY_RUB = 127,
    MS_A_S = 1000,
    MINUTE_S = 60,
    HOUR_S = 3600,
    DAY_S = 86400,
    US_A_MS = 1000
};

static const char keys_line[] =
    "arrows  Enter details  f flip  h hold  o open  r back  c confirm  a alarms  ? q";

/* A line, cut at the right edge; the rest of it is blank. */
__attribute__((format(printf, 3, 4))) static void put_line(int y, attr_t attributes, const char *format, ...)
{
    char text[ROOM];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (y < 0 || y >= LINES) {
        return;
    }
    attrset((int)attributes);
    mvprintw(y, 0, "%-*.*s", COLS - 1, COLS - 1, text_clean(text));
    attrset(A_NORMAL);
}

size_t watch_lines(void)
{
    return LINES > HEAD_LINES + FOOT_LINES ? (size_t)(LINES - HEAD_LINES - FOOT_LINES) : 1;
}

const struct cell *watch_cell(const struct watch *watch)
{
    return watch->row < watch->rows_count && watch->column < watch->carriers_count
               ? cells_find(&watch->board.cells, watch->rows[watch->row], watch->carriers[watch->column])
               : NULL;
}

/* --- head ----------------------------------------------------------------------------------------------- */

enum { CLOCK_SIZE = 16 };

/* When the board was read; "" before that. */
static const char *clock_text(const struct watch *watch, char text[CLOCK_SIZE])
{
    time_t now = (time_t)(watch->board.now_ms / MS_A_S);
    struct tm tm;
    text[0] = '\0';
    if (localtime_r(&now, &tm) && watch->loaded) {
        strftime(text, CLOCK_SIZE, "%H:%M:%S", &tm);
    }
    return text;
}

static void draw_head(const struct watch *watch)
{
    const struct board *board = &watch->board;
    unsigned live = 0;
    unsigned alarms = board_alarms_open(board);
    char clock[CLOCK_SIZE], alarm[32] = "";
    for (size_t i = 0; i < board->instances.count; i++) {
        live += instance_alive(&board->instances.items[i]);
    }
    if (alarms > 0) {
        snprintf(alarm, sizeof alarm, "  ALARMS: %u", alarms);
    }
    put_line(0, A_REVERSE | A_BOLD,
             " Turnout  version %" PRIu64 "  shortcodes %" PRIu64 "  instances %u up, %zu dead%s  %s",
             board->version, board->shortcodes, live, board->instances.count - live, alarm,
             clock_text(watch, clock));
}

/* The first instance that is not where the table is; NULL for none. */
static const struct instance *lagging(const struct board *board)
{
    for (size_t i = 0; i < board->instances.count; i++) {
        const struct instance *instance = &board->instances.items[i];
        if (instance_alive(instance) && instance_number(instance, "applied") < board->version) {
            return instance;
        }
    }
    return NULL;
}

static void draw_trouble(const struct watch *watch)
{
    const struct board *board = &watch->board;
    const struct instance *instance = lagging(board);
    if (*watch->away) {
        put_line(1, A_BOLD, " REDIS IS AWAY, shown is what was %lld s ago: %s",
                 (long long)((ctl_now_us() - watch->read_us) / US_A_MS / MS_A_S), watch->away);
    } else if (instance) {
        put_line(1, A_BOLD, " INCOMPLETE: %s has applied %" PRIu64 " of %" PRIu64 "%s%s", instance->id,
                 instance_number(instance, "applied"), board->version,
                 *instance_trouble(instance) ? ": " : "", instance_trouble(instance));
    } else if (board->pending.count > 0) {
        const struct pending_change *first = &board->pending.items[0];
        put_line(1, A_BOLD, " version %" PRIu64 " by %s goes back in %" PRIu64 " s unless confirmed",
                 first->version, first->who,
                 first->deadline_ms > board->now_ms ? (first->deadline_ms - board->now_ms) / MS_A_S : 0);
    } else {
        put_line(1, A_NORMAL, " %s", watch->message);
    }
}

/* --- the board ------------------------------------------------------------------------------------------ */

static size_t cell_width(const struct watch *watch)
{
    size_t room = COLS > SHORTCODE_WIDTH + 1 ? (size_t)(COLS - SHORTCODE_WIDTH - 1) : CELL_WIDTH_MIN;
    size_t width = watch->carriers_count > 0 ? room / watch->carriers_count : CELL_WIDTH_MAX;
    return width < CELL_WIDTH_MIN ? CELL_WIDTH_MIN : width > CELL_WIDTH_MAX ? CELL_WIDTH_MAX : width;
}

size_t watch_columns(const struct watch *watch)
{
    size_t room = COLS > SHORTCODE_WIDTH + 1 ? (size_t)(COLS - SHORTCODE_WIDTH - 1) : 0;
    size_t count = room / cell_width(watch);
    return count > 0 ? count : 1;
}

/* "12s", "3m", "5h", "9d". */
static void short_age(uint64_t ms, char *text, size_t size)
{
    uint64_t s = ms / MS_A_S;
    if (s < MINUTE_S) {
        snprintf(text, size, "%" PRIu64 "s", s);
    } else if (s < HOUR_S) {
        snprintf(text, size, "%" PRIu64 "m", s / MINUTE_S);
    } else if (s < DAY_S) {
        snprintf(text, size, "%" PRIu64 "h", s / HOUR_S);
    } else {
        snprintf(text, size, "%" PRIu64 "d", s / DAY_S);
    }
}

static bool is_pending(const struct board *board, uint64_t version)
{
    for (size_t i = 0; i < board->pending.count; i++) {
        if (board->pending.items[i].version == version) {
            return true;
        }
    }
    return false;
}

/* What is to be seen at a glance: ! alarm, ? wrong path or twice, g guarded, c to be confirmed, > about to move. */
static void marks_of(const struct board *board, const struct cell *cell, const struct evidence *evidence,
                     char marks[8])
{
    size_t len = 0;
    if (board_alarms(board, cell) > 0) {
        marks[len++] = '!';
    }
    if (evidence && evidence->other.wrong_mo + evidence->other.wrong_receipts + evidence->mo_twice > 0) {
        marks[len++] = '?';
    }
    if (board_guard(board, cell)) {
        marks[len++] = 'g';
    }
    if (is_pending(board, cell->version)) {
        marks[len++] = 'c';
    }
    if (*cell->next) {
        marks[len++] = '>';
    }
    marks[len] = '\0';
}

/* "!omni/hold 3m 120/2" */
static void cell_text(const struct board *board, const struct cell *cell, char *text, size_t size)
{
    char marks[8], age[24] = "", counts[48] = "";
    const struct evidence *evidence = board_evidence(board, cell);
    marks_of(board, cell, evidence, marks);
    if (board_is_lively(board, cell)) {
        short_age(board->now_ms > cell->changed_ms ? board->now_ms - cell->changed_ms : 0, age, sizeof age);
        if (evidence) {
            snprintf(counts, sizeof counts, " %" PRIu64 "/%" PRIu64, evidence->now.mt_accepted,
                     evidence_share_now(evidence).wrong);
        }
    }
    snprintf(text, size, "%s%s%s%s%s%s%s", marks, cell->platform, cell->state == ROUTE_OPEN ? "" : "/",
             cell->state == ROUTE_OPEN ? "" : route_state_name(cell->state), *age ? " " : "", age, counts);
}

static void draw_cell(const struct watch *watch, int y, size_t at, size_t row, size_t column)
{
    char text[ROOM] = "";
    int width = (int)cell_width(watch);
    const struct cell *cell = cells_find(&watch->board.cells, watch->rows[row], watch->carriers[column]);
    attr_t attributes = row == watch->row && column == watch->column ? A_REVERSE : A_NORMAL;
    if (cell) {
        cell_text(&watch->board, cell, text, sizeof text);
        attributes |= board_alarms(&watch->board, cell) > 0 ? A_BOLD : A_NORMAL;
    }
    attrset((int)attributes);
    mvprintw(y, SHORTCODE_WIDTH + (int)at * width, "%-*.*s", width - 1, width - 1, text_clean(text));
    attrset(A_NORMAL);
}

static void draw_board(const struct watch *watch)
{
    size_t columns = watch_columns(watch);
    int width = (int)cell_width(watch);
    put_line(2, A_UNDERLINE, "%-*s", SHORTCODE_WIDTH, "SHORTCODE");
    for (size_t at = 0; at < columns && watch->left + at < watch->carriers_count; at++) {
        attrset(A_UNDERLINE);
        mvprintw(2, SHORTCODE_WIDTH + (int)at * width, "%-*.*s", width - 1, width - 1,
                 watch->carriers[watch->left + at]);
    }
    attrset(A_NORMAL);
    for (size_t line = 0; line < watch_lines(); line++) {
        size_t row = watch->top + line;
        put_line(HEAD_LINES + (int)line, A_NORMAL, "%s", row < watch->rows_count ? watch->rows[row] : "");
        for (size_t at = 0;
             row < watch->rows_count && at < columns && watch->left + at < watch->carriers_count; at++) {
            draw_cell(watch, HEAD_LINES + (int)line, at, row, watch->left + at);
        }
    }
}

/* --- the selected cell ---------------------------------------------------------------------------------- */

static void draw_selected(const struct watch *watch)
{
    const struct board *board = &watch->board;
    const struct cell *cell = watch_cell(watch);
    char seen[BOARD_EVIDENCE_SIZE], when[TIME_TEXT_SIZE];
    int y = LINES - FOOT_LINES;
    put_line(y, A_UNDERLINE, "%s", "");
    if (!cell) {
        put_line(y + 1, A_NORMAL, "%s",
                 watch->rows_count == 0 ? "the table is empty"
                                        : "no route of its own here: the default row * serves");
        put_line(y + 2, A_NORMAL, "%s", "");
        return;
    }
    const struct board_guard *guard = board_guard(board, cell);
    put_line(y + 1, A_BOLD, "%s %s: %s, %s%s%s%s%s, since %s", cell->shortcode, cell->carrier, cell->platform,
             route_state_name(cell->state), *cell->previous ? ", before " : "", cell->previous,
             *cell->next ? ", to go to " : "", cell->next, time_text(cell->changed_ms, when));
    if (guard) {
        put_line(y + 2, A_NORMAL, "%s; guard %s: %s",
                 board_evidence_text(cell, board_evidence(board, cell), seen),
                 rail_verdict_name(guard->verdict), guard->what);
    } else {
        put_line(y + 2, A_NORMAL, "%s", board_evidence_text(cell, board_evidence(board, cell), seen));
    }
}

/* --- the other views ------------------------------------------------------------------------------------ */

struct pane {
    const struct watch *watch;
    int line; /* of all */
};

static void pane_line(void *ctx, const char *text)
{
    struct pane *pane = ctx;
    int y = 2 + pane->line - pane->watch->scrolled;
    if (y >= 2 && y < LINES - 1) {
        put_line(y, A_NORMAL, " %s", text);
    }
    pane->line++;
}

static void pane_rest(struct pane *pane)
{
    for (int y = 2 + pane->line - pane->watch->scrolled; y < LINES - 1; y++) {
        put_line(y < 2 ? 2 : y, A_NORMAL, "%s", "");
    }
}

static void draw_details(const struct watch *watch)
{
    struct pane pane = {.watch = watch};
    const struct cell *cell = watch_cell(watch);
    char text[ROOM];
    if (cell) {
        const struct evidence *evidence = board_evidence(&watch->board, cell);
        const struct board_guard *guard = board_guard(&watch->board, cell);
        snprintf(text, sizeof text, "%s %s: %s (%s), version %" PRIu64, cell->shortcode, cell->carrier,
                 cell->platform, route_state_name(cell->state), cell->version);
        pane_line(&pane, text);
        if (evidence) {
            board_evidence_lines(cell, evidence, watch->board.now_ms, pane_line, &pane);
        } else {
            pane_line(&pane, "nothing was seen since, or it did not move lately");
        }
        if (guard) {
            snprintf(text, sizeof text, "Guard %s (%s): %s", guard->rail.id,
                     rail_verdict_name(guard->verdict), guard->what);
            pane_line(&pane, text);
        }
    }
    pane_rest(&pane);
}

static void draw_alarms(const struct watch *watch)
{
    struct pane pane = {.watch = watch};
    size_t i;
    json_t *alarm;
    char text[ROOM], when[TIME_TEXT_SIZE];
    json_array_foreach(watch->board.alarms, i, alarm)
    {
        json_int_t at_ms = json_integer_value(json_object_get(alarm, "at_ms"));
        snprintf(text, sizeof text, "%s  %s  %s%s", json_member(alarm, "id"),
                 time_text(at_ms > 0 ? (uint64_t)at_ms : 0, when), json_member(alarm, "outcome"),
                 json_object_get(alarm, "acknowledged") ? ", acknowledged" : "");
        pane_line(&pane, text);
        snprintf(text, sizeof text, "    %s", json_member(alarm, "what"));
        pane_line(&pane, text);
    }
    if (json_array_size(watch->board.alarms) == 0) {
        pane_line(&pane, "No alarm was raised.");
    }
    pane_line(&pane, "");
    pane_line(&pane, "k acknowledges the newest that waits for it.");
    pane_rest(&pane);
}

static void draw_help(const struct watch *watch)
{
    static const char *const lines[] = {
        "arrows, PgUp, PgDn, Home, End   move the selection",
        "Enter    all that was seen of the selected cell; q or Esc: back to the board",
        "f        flip the selected cell to another platform",
        "h o      hold it, open it where it is",
        "r        roll back the change that made it so (of this shortcode)",
        "c        confirm the change that would go back by itself",
        "a k      alarms; acknowledge the newest",
        "q        quit (Ctrl-C, too)",
        "",
        "Nothing is done before the command is shown, and y answered.",
        "",
        "A cell:  platform/state age accepted/wrong since its move",
        "! alarm   ? wrong path, or MO seen twice   g guarded",
        "c to be confirmed   > about to move",
    };
    struct pane pane = {.watch = watch};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        pane_line(&pane, lines[i]);
    }
    pane_rest(&pane);
}

void watch_draw(struct watch *watch)
{
    erase();
    draw_head(watch);
    draw_trouble(watch);
    switch (watch->view) {
    case VIEW_BOARD:
        draw_board(watch);
        draw_selected(watch);
        break;
    case VIEW_DETAILS: draw_details(watch); break;
    case VIEW_ALARMS: draw_alarms(watch); break;
    case VIEW_HELP: draw_help(watch); break;
    }
    put_line(LINES - 1, A_REVERSE, "%s",
             watch->view == VIEW_BOARD ? keys_line : "q or Esc: back to the board");
    refresh();
}

/* --- questions ------------------------------------------------------------------------------------------ */

static void draw_question(const char *question, const char *text)
{
    put_line(LINES - 2, A_BOLD, "%s%s", question, text);
    size_t at = strlen(question) + strlen(text);
    move(LINES - 2, at < (size_t)COLS ? (int)at : COLS - 1);
    refresh();
}

void watch_show_command(const char *text)
{
    size_t width = COLS > 1 ? (size_t)COLS - 1 : 1;
    size_t lines = (strlen(text) + width - 1) / width;
    int y = LINES - 2 - (int)lines;
    put_line(y - 1, A_BOLD, "%s", "This will be run:");
    for (size_t at = 0; at < lines; at++) {
        put_line(y + (int)at, A_NORMAL, "%.*s", (int)width, text + at * width);
    }
}

bool watch_ask(const struct watch *watch, const char *question, char *text, size_t size)
{
    size_t len = strlen(text);
    char clock[CLOCK_SIZE];
    put_line(1, A_BOLD, " AS OF %s: the board goes on after your answer (Esc: nothing is done)",
             clock_text(watch, clock));
    curs_set(1);
    for (;;) {
        draw_question(question, text);
        int key = getch();
        if (key == KEY_ESCAPE || ctl_stopped()) {
            curs_set(0);
            return false;
        }
        if (key == '\n' || key == '\r' || key == KEY_ENTER) {
            curs_set(0);
            return true;
        }
        if ((key == KEY_BACKSPACE || key == KEY_RUB || key == '\b') && len > 0) {
            text[--len] = '\0';
        } else if (key >= ' ' && key < KEY_RUB && len + 1 < size) {
            text[len++] = (char)key;
            text[len] = '\0';
        }
    }
}
