/* See watch.h. */
#include "routing/ctl/watch.h"

#define NCURSES_WIDECHAR 1
#include <curses.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "routing/ctl/commands.h"
#include "routing/ctl/output.h"

enum { REFRESH_MS = 1000, REDIS_PATIENCE_MS = 2000, ESCAPE_MS = 25, KEY_ESCAPE = 27, WORDS_MAX = 32 };

/* --- reading -------------------------------------------------------------------------------------------- */

static int by_name(const void *left, const void *right)
{
    return strcmp(left, right);
}

static void add_carrier(struct watch *watch, const char *carrier)
{
    for (size_t i = 0; i < watch->carriers_count; i++) {
        if (strcmp(watch->carriers[i], carrier) == 0) {
            return;
        }
    }
    if (watch->carriers_count < WATCH_CARRIERS) {
        text_copy(watch->carriers[watch->carriers_count++], sizeof *watch->carriers, carrier);
    }
}

/* The selection stays with its shortcode. */
static void find_row(struct watch *watch)
{
    for (size_t i = 0; i < watch->rows_count; i++) {
        if (strcmp(watch->rows[i], watch->selected) == 0) {
            watch->row = i;
            return;
        }
    }
    watch->row = watch->row < watch->rows_count ? watch->row
                 : watch->rows_count > 0        ? watch->rows_count - 1
                                                : 0;
}

static void make_rows(struct watch *watch)
{
    const struct cells *cells = &watch->board.cells;
    watch->rows = need(reallocarray(watch->rows, cells->count + 1, sizeof *watch->rows));
    watch->rows_count = watch->carriers_count = 0;
    for (size_t i = 0; i < cells->count; i++) {
        const char *shortcode = cells->items[i].shortcode;
        if (watch->rows_count == 0 || strcmp(watch->rows[watch->rows_count - 1], shortcode) != 0) {
            watch->rows[watch->rows_count++] = shortcode;
        }
        add_carrier(watch, cells->items[i].carrier);
    }
    qsort(watch->carriers, watch->carriers_count, sizeof *watch->carriers, by_name);
    find_row(watch);
}

/* Of the shortcodes on the screen, and the selected one. */
static bool read_visible(struct watch *watch, struct redis *redis)
{
    const char *shortcodes[WATCH_VISIBLE + 1];
    size_t count = 0;
    for (size_t i = watch->top; i < watch->rows_count && count < watch_lines() && count < WATCH_VISIBLE;
         i++) {
        shortcodes[count++] = watch->rows[i];
    }
    return count == 0 || board_read_evidence(redis, &watch->board, shortcodes, count);
}

/* A connection that has failed is opened anew each time: Redis may be back, or elsewhere. */
static bool connect_again(struct ctl *ctl)
{
    if (ctl->redis && redis_trouble(ctl->redis) != REDIS_FINE) {
        redis_close(ctl->redis);
        ctl->redis = NULL;
    }
    if (!ctl_redis(ctl)) {
        return false;
    }
    redis_patience(ctl->redis, REDIS_PATIENCE_MS);
    return true;
}

static void read_board(struct watch *watch)
{
    struct ctl *ctl = watch->ctl;
    bool fine = connect_again(ctl) && board_read_again(ctl->redis, &watch->board);
    if (fine) {
        make_rows(watch);
        fine = read_visible(watch, ctl->redis);
    }
    if (fine) {
        watch->away[0] = '\0';
        watch->read_us = ctl_now_us();
        watch->loaded = true;
    } else {
        snprintf(watch->away, sizeof watch->away, "%s",
                 ctl->redis ? redis_trouble_text(ctl->redis) : "its address is wrong");
    }
}

/* --- moving --------------------------------------------------------------------------------------------- */

static size_t step(size_t at, int by, size_t count)
{
    if (count == 0) {
        return 0;
    }
    if (by < 0) {
        size_t back = (size_t)-by;
        return at > back ? at - back : 0;
    }
    return at + (size_t)by < count ? at + (size_t)by : count - 1;
}

static void show_selected(struct watch *watch)
{
    size_t lines = watch_lines();
    if (watch->row < watch->top) {
        watch->top = watch->row;
    } else if (watch->row >= watch->top + lines) {
        watch->top = watch->row - lines + 1;
    }
    watch->left = watch->column < watch->left ? watch->column : watch->left;
    size_t columns = watch_columns(watch);
    if (watch->column >= watch->left + columns) {
        watch->left = watch->column - columns + 1;
    }
}

static void move_selection(struct watch *watch, int rows, int columns)
{
    watch->row = step(watch->row, rows, watch->rows_count);
    watch->column = step(watch->column, columns, watch->carriers_count);
    if (watch->rows_count > 0) {
        text_copy(watch->selected, sizeof watch->selected, watch->rows[watch->row]);
    }
    show_selected(watch);
}

/* --- commands ------------------------------------------------------------------------------------------- */

/* A command line in the making; texts are copies. */
struct line {
    int count;
    char *words[WORDS_MAX];
};

static void add(struct line *line, const char *word)
{
    if (line->count + 1 < WORDS_MAX) {
        line->words[line->count++] = need(strdup(word));
        line->words[line->count] = NULL;
    }
}

static void add_option(struct line *line, const char *name, const char *value)
{
    if (value && *value) {
        add(line, name);
        add(line, value);
    }
}

static void line_free(struct line *line)
{
    for (int i = 0; i < line->count; i++) {
        free(line->words[i]);
    }
    line->count = 0;
}

/* How this program was told where Redis is, so that the other one goes there, too. What the environment says it hears
 * itself. */
static void add_connection(struct line *line, const struct options *options)
{
    const struct {
        enum option_id id;
        const char *value;
    } given[] = {{OPT_REDIS, options->redis},
                 {OPT_PASSWORD_FILE, options->password_file},
                 {OPT_PREFIX, options->prefix},
                 {OPT_AS, options->who}};
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        const struct option_row *row = &option_table[given[i].id];
        const char *from_environment = row->env ? getenv(row->env) : NULL;
        const char *usual = from_environment && *from_environment ? from_environment : row->standard;
        char name[64];
        snprintf(name, sizeof name, "--%s", row->name);
        if (given[i].value && (!usual || strcmp(usual, given[i].value) != 0)) {
            add_option(line, name, given[i].value);
        }
    }
}

static void put_octet(char *text, size_t size, size_t *len, char octet)
{
    if (*len + 1 < size) {
        text[(*len)++] = octet;
        text[*len] = '\0';
    }
}

/* Between ' and ', but for a ' itself, which stands outside of them with a backslash before it. */
static void put_word(char *text, size_t size, size_t *len, const char *word)
{
    static const char special[] = " \t'\"\\$&|;<>()*?!`#~{}[]";
    bool plain = *word && word[strcspn(word, special)] == '\0';
    if (!plain) {
        put_octet(text, size, len, '\'');
    }
    for (; *word; word++) {
        const char *octets = *word == '\'' ? "'\\''" : (const char[]){*word, '\0'};
        for (; *octets; octets++) {
            put_octet(text, size, len, *octets);
        }
    }
    if (!plain) {
        put_octet(text, size, len, '\'');
    }
}

/* As a shell would take it. */
static void quote(const struct line *line, char *text, size_t size)
{
    size_t len = 0;
    text[0] = '\0';
    for (int i = 0; i < line->count; i++) {
        if (i > 0) {
            put_octet(text, size, &len, ' ');
        }
        put_word(text, size, &len, line->words[i]);
    }
}

/* In a process of its own, on the terminal as it is: what it says and asks is seen as if typed. */
static int run_on_terminal(const struct line *line, const char *text)
{
    int status = -1;
    def_prog_mode();
    endwin();
    printf("\n$ %s\n", text);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        signal(SIGHUP, SIG_DFL);
        execv("/proc/self/exe", line->words);
        _exit(CTL_FAILED);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0) {
    }
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : CTL_FAILED;
    printf("-- %s (exit code %d). Enter goes back to the board --", ctl_exit_word((enum ctl_exit)code), code);
    fflush(stdout);
    for (int c = getchar(); c != '\n' && c != EOF && !ctl_stopped(); c = getchar()) {
    }
    reset_prog_mode();
    clearok(stdscr, TRUE);
    return code;
}

/* Shows what will be done, and does it after y. */
static void propose(struct watch *watch, struct line *line)
{
    char text[WATCH_TEXT], answer[8] = "";
    add_connection(line, &watch->ctl->options);
    quote(line, text, sizeof text);
    watch_show_command(text);
    if (watch_ask(watch, "Do it? y/N, then Enter: ", answer, sizeof answer) &&
        (strcmp(answer, "y") == 0 || strcmp(answer, "Y") == 0)) {
        int code = run_on_terminal(line, text);
        const char *word = ctl_exit_word((enum ctl_exit)code);
        int most = (int)(sizeof watch->message - sizeof ": " - strlen(word));
        snprintf(watch->message, sizeof watch->message, "%.*s: %s", most, text, word);
        read_board(watch);
    } else {
        snprintf(watch->message, sizeof watch->message, "nothing was done");
    }
}

static bool ask_why(const struct watch *watch, char *why, size_t size)
{
    why[0] = '\0';
    return watch_ask(watch, "Why (for the log): ", why, size);
}

static const char *no_cell = "select a cell that has a route first";

static void begin(struct line *line, const char *word, const char *second)
{
    add(line, "turnoutctl");
    add(line, word);
    if (second) {
        add(line, second);
    }
}

static void do_flip(struct watch *watch, const struct cell *cell)
{
    char to[NAME_LEN_MAX + 1], why[WATCH_TEXT / 2], question[128];
    struct line line = {.count = 0};
    text_copy(to, sizeof to, *cell->next ? cell->next : cell->previous);
    snprintf(question, sizeof question, "Flip %s %s from %s to: ", cell->shortcode, cell->carrier,
             cell->platform);
    if (!watch_ask(watch, question, to, sizeof to) || *to == '\0' || !ask_why(watch, why, sizeof why)) {
        snprintf(watch->message, sizeof watch->message, "nothing was done");
        return;
    }
    begin(&line, "flip", NULL);
    add(&line, cell->shortcode);
    add_option(&line, "--carrier", cell->carrier);
    add_option(&line, "--from", cell->platform);
    add_option(&line, "--to", to);
    add_option(&line, "--why", why);
    if (watch->ctl->options.outside_window) {
        add(&line, "--outside-window");
    }
    propose(watch, &line);
    line_free(&line);
}

static void do_state(struct watch *watch, const struct cell *cell, const char *word)
{
    char why[WATCH_TEXT / 2];
    struct line line = {.count = 0};
    if (!ask_why(watch, why, sizeof why)) {
        snprintf(watch->message, sizeof watch->message, "nothing was done");
        return;
    }
    begin(&line, "route", word);
    add(&line, cell->shortcode);
    add_option(&line, "--carrier", cell->carrier);
    add_option(&line, "--why", why);
    propose(watch, &line);
    line_free(&line);
}

static void do_rollback(struct watch *watch, const struct cell *cell)
{
    char why[WATCH_TEXT / 2], version[24];
    struct line line = {.count = 0};
    if (!ask_why(watch, why, sizeof why)) {
        snprintf(watch->message, sizeof watch->message, "nothing was done");
        return;
    }
    snprintf(version, sizeof version, "%llu", (unsigned long long)cell->version);
    begin(&line, "rollback", NULL);
    add(&line, cell->shortcode);
    add_option(&line, "--version", version);
    add_option(&line, "--why", why);
    propose(watch, &line);
    line_free(&line);
}

static void do_confirm(struct watch *watch, const struct cell *cell)
{
    char version[24];
    struct line line = {.count = 0};
    const struct pending *pending = &watch->board.pending;
    bool its = false;
    for (size_t i = 0; i < pending->count; i++) {
        its = its || pending->items[i].version == cell->version;
    }
    if (!its) {
        snprintf(watch->message, sizeof watch->message, "%s %s does not wait for a confirmation",
                 cell->shortcode, cell->carrier);
        return;
    }
    snprintf(version, sizeof version, "%llu", (unsigned long long)cell->version);
    begin(&line, "confirm", version);
    propose(watch, &line);
    line_free(&line);
}

static void do_acknowledge(struct watch *watch)
{
    size_t i;
    json_t *alarm;
    struct line line = {.count = 0};
    json_array_foreach(watch->board.alarms, i, alarm)
    {
        if (!json_object_get(alarm, "acknowledged")) {
            begin(&line, "alarms", "ack");
            add(&line, json_member(alarm, "id"));
            propose(watch, &line);
            line_free(&line);
            return;
        }
    }
    snprintf(watch->message, sizeof watch->message, "no alarm waits to be acknowledged");
}

/* --- keys ----------------------------------------------------------------------------------------------- */

static void act(struct watch *watch, int key)
{
    const struct cell *there = watch_cell(watch);
    struct cell cell;
    if (!there) {
        snprintf(watch->message, sizeof watch->message, "%s", no_cell);
        return;
    }
    cell = *there; /* as it was when the key was pressed */
    watch->message[0] = '\0';
    switch (key) {
    case 'f': do_flip(watch, &cell); break;
    case 'h': do_state(watch, &cell, "hold"); break;
    case 'o': do_state(watch, &cell, "open"); break;
    case 'r': do_rollback(watch, &cell); break;
    case 'c': do_confirm(watch, &cell); break;
    default: break;
    }
}

static void show(struct watch *watch, enum watch_view view)
{
    watch->view = view;
    watch->scrolled = 0;
}

/* False: the end is wanted. */
static bool on_board_key(struct watch *watch, int key)
{
    int page = (int)watch_lines();
    switch (key) {
    case KEY_UP: move_selection(watch, -1, 0); break;
    case KEY_DOWN: move_selection(watch, 1, 0); break;
    case KEY_LEFT: move_selection(watch, 0, -1); break;
    case KEY_RIGHT: move_selection(watch, 0, 1); break;
    case KEY_PPAGE: move_selection(watch, -page, 0); break;
    case KEY_NPAGE: move_selection(watch, page, 0); break;
    case KEY_HOME: move_selection(watch, -(int)watch->rows_count, 0); break;
    case KEY_END: move_selection(watch, (int)watch->rows_count, 0); break;
    case '\n':
    case '\r':
    case KEY_ENTER: show(watch, VIEW_DETAILS); break;
    case 'f':
    case 'h':
    case 'o':
    case 'r':
    case 'c': act(watch, key); break;
    case 'a': show(watch, VIEW_ALARMS); break;
    case 'k': do_acknowledge(watch); break;
    case '?': show(watch, VIEW_HELP); break;
    case 'q': return false;
    default: break;
    }
    return true;
}

static void on_pane_key(struct watch *watch, int key)
{
    switch (key) {
    case KEY_UP: watch->scrolled -= watch->scrolled > 0; break;
    case KEY_DOWN: watch->scrolled++; break;
    case 'k': do_acknowledge(watch); break;
    case 'q':
    case KEY_ESCAPE:
    case '\n':
    case '\r':
    case KEY_ENTER: show(watch, VIEW_BOARD); break;
    default: break;
    }
}

static void loop(struct watch *watch)
{
    bool going = true;
    while (going && !ctl_stopped()) {
        int64_t now_us = ctl_now_us();
        if (now_us - watch->tried_us >= (int64_t)REFRESH_MS * 1000) {
            read_board(watch);
            watch->tried_us = ctl_now_us();
        }
        show_selected(watch);
        watch_draw(watch);
        int key = getch();
        if (key == ERR || key == KEY_RESIZE) {
            continue;
        }
        if (watch->view == VIEW_BOARD) {
            going = on_board_key(watch, key);
        } else {
            on_pane_key(watch, key);
        }
    }
}

enum ctl_exit run_watch(struct ctl *ctl)
{
    struct watch watch = {.ctl = ctl};
    if (ctl->options.json || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        return ctl_fail(ctl, CTL_USAGE, "\"turnoutctl status\" prints the board once.",
                        "watch needs a terminal");
    }
    if (!ctl_redis(ctl) || !board_read(ctl->redis, &watch.board)) {
        board_free(&watch.board);
        return ctl_redis_failed(ctl);
    }
    setlocale(LC_CTYPE, "");
    SCREEN *screen = newterm(NULL, stdout, stdin);
    if (!screen) {
        board_free(&watch.board);
        return ctl_fail(ctl, CTL_USAGE, "Set TERM to what it is, such as xterm or vt100.",
                        "watch cannot use this terminal");
    }
    ctl_catch_signals();
    set_term(screen);
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    curs_set(0);
    set_escdelay(ESCAPE_MS);
    timeout(REFRESH_MS / 4);
    loop(&watch);
    endwin();
    delscreen(screen);
    board_free(&watch.board);
    free(watch.rows);
    return CTL_DONE;
}
