/* See window.h. */
#include "routing/ctl/window.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/output.h"
#include "routing/ctl/redis.h"

/* The arrays of turnout_window_show, and the words of one of its cells. */
enum { SHOW_NOW, SHOW_VERSION, SHOW_FIELDS, SHOW_CELLS, SHOW_LOG, SHOW_VERSIONS, SHOW_ELEMENTS };
enum { CELL_KEY, CELL_ROW, CELL_VALUE, CELL_FAILED, CELL_WORDS };

/* Behind the moves of a change in an answer of turnout_window. */
enum { ANSWER_LINES = 4 };

#define WINDOW_CELL_WORD(id, word) word,
static const char *const words[WINDOW_CELL_STATE_COUNT] = {WINDOW_CELL_STATES(WINDOW_CELL_WORD)};
#undef WINDOW_CELL_WORD

const char *window_cell_word(enum window_cell_state state)
{
    return words[state];
}

/* --- reading -----------------------------------------------------------------------------------------------
 */

static enum window_cell_state state_of(const struct window_cell *cell)
{
    bool open = cell->now.state == ROUTE_OPEN;
    if (!*cell->now.platform) {
        return WINDOW_CELL_NO_ROW;
    }
    if (strcmp(cell->now.platform, cell->to) == 0) {
        return !open                                                   ? WINDOW_CELL_MOVED_HELD
               : !*cell->before || strcmp(cell->before, cell->to) == 0 ? WINDOW_CELL_THERE
                                                                       : WINDOW_CELL_MOVED;
    }
    if (*cell->before && strcmp(cell->now.platform, cell->before) != 0) {
        return WINDOW_CELL_ELSEWHERE;
    }
    return open ? WINDOW_CELL_WAITING : WINDOW_CELL_WAITING_HELD;
}

static bool copy_name(char to[NAME_LEN_MAX + 1], const char *word)
{
    bool none = strcmp(word, "-") == 0;
    if (!none && !name_fine(word)) {
        return false;
    }
    text_copy(to, NAME_LEN_MAX + 1, none ? "" : word);
    return true;
}

/* "to at before before_state [end end_state end_version]"; the end counts, where there is one. */
static bool row_parse(struct window_cell *cell, const char *text)
{
    char to[64];
    char at[64];
    char before[64];
    char before_state[16];
    char end[64] = "";
    char end_state[16] = "";
    char end_version[24] = "";
    int count = sscanf(text, "%63s %63s %63s %15s %63s %15s %23s", to, at, before, before_state, end,
                       end_state, end_version);
    if ((count != 4 && count != 7) || !copy_name(cell->to, to) || !copy_name(cell->before, before)) {
        return false;
    }
    cell->at_ms = strtoull(at, NULL, 10);
    if (*cell->before && !route_state_parse(before_state, &cell->before_state)) {
        return false;
    }
    if (count == 7) {
        cell->now.version = strtoull(end_version, NULL, 10);
        return copy_name(cell->now.platform, end) &&
               (!*cell->now.platform || route_state_parse(end_state, &cell->now.state));
    }
    return true;
}

static bool cell_read(struct window_cell *cell, const redisReply *reply, size_t first)
{
    const char *key = redis_text(reply, first + CELL_KEY);
    const char *value = redis_text(reply, first + CELL_VALUE);
    const char *blank = strchr(key, ' ');
    if (*value && !cell_parse(&cell->now, value)) {
        return false;
    }
    if (!blank || (size_t)(blank - key) >= sizeof cell->now.shortcode || !name_fine(blank + 1)) {
        return false;
    }
    memcpy(cell->now.shortcode, key, (size_t)(blank - key));
    cell->now.shortcode[blank - key] = '\0';
    text_copy(cell->now.carrier, sizeof cell->now.carrier, blank + 1);
    cell->failed = redis_text(reply, first + CELL_FAILED);
    if (!row_parse(cell, redis_text(reply, first + CELL_ROW))) {
        return false;
    }
    cell->state = state_of(cell);
    return true;
}

static int by_cell(const void *left_item, const void *right_item)
{
    const struct cell *left = &((const struct window_cell *)left_item)->now;
    const struct cell *right = &((const struct window_cell *)right_item)->now;
    int order = strcmp(left->shortcode, right->shortcode);
    return order ? order : strcmp(left->carrier, right->carrier);
}

static bool window_parse(struct window *window)
{
    const redisReply *reply = window->reply;
    if (reply->elements != SHOW_ELEMENTS) {
        return false;
    }
    const redisReply *cells = reply->element[SHOW_CELLS];
    window->now_ms = redis_number(reply, SHOW_NOW);
    window->version = redis_number(reply, SHOW_VERSION);
    window->cells = need(calloc(cells->elements / CELL_WORDS + 1, sizeof *window->cells));
    for (size_t i = 0; i + CELL_WORDS <= cells->elements; i += CELL_WORDS) {
        if (!cell_read(&window->cells[window->count++], cells, i)) {
            return false;
        }
    }
    qsort(window->cells, window->count, sizeof *window->cells, by_cell); /* Redis' order goes by its locale */
    /* Where the system has lost the zone, times are shown as local ones. */
    if (!zone_find(window_field(window, "zone"), &window->zone)) {
        window->zone = (struct zone){0};
    }
    return true;
}

enum ctl_exit window_read(struct ctl *ctl, const char *name, struct window *window)
{
    const char *const args[] = {name};
    window->name = name;
    window->reply = ctl_redis(ctl) && redis_functions_renew(ctl->redis)
                        ? redis_function(ctl->redis, "turnout_window_show", args, 1)
                        : NULL;
    if (!window->reply) {
        return ctl_redis_failed(ctl);
    }
    if (strcmp(redis_text(window->reply, 0), "missing") == 0) {
        return ctl_fail(ctl, CTL_NOT_FOUND, "See turnoutctl window list.", "there is no window \"%s\"", name);
    }
    if (!window_parse(window)) {
        return ctl_fail(ctl, CTL_FAILED, NULL, "what Redis has of window %s cannot be understood", name);
    }
    return CTL_DONE;
}

void window_free(struct window *window)
{
    freeReplyObject(window->reply);
    free(window->cells);
    memset(window, 0, sizeof *window);
}

const char *window_field(const struct window *window, const char *name)
{
    const redisReply *fields = window->reply->element[SHOW_FIELDS];
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        if (strcmp(redis_text(fields, i), name) == 0) {
            return redis_text(fields, i + 1);
        }
    }
    return "";
}

uint64_t window_number(const struct window *window, const char *name)
{
    return strtoull(window_field(window, name), NULL, 10);
}

bool window_is(const struct window *window, const char *state)
{
    return strcmp(window_field(window, "state"), state) == 0;
}

bool window_overdue(const struct window *window)
{
    return (window_is(window, "open") || window_is(window, "paused")) &&
           window_number(window, "end") <= window->now_ms;
}

json_t *window_last(const struct window *window, const char *what)
{
    const redisReply *log = window_log(window);
    for (size_t i = log->elements; i > 0; i--) {
        json_t *line = json_loads(redis_text(log, i - 1), 0, NULL);
        if (strcmp(json_member(line, "what"), what) == 0) {
            return line;
        }
        json_decref(line);
    }
    return NULL;
}

const redisReply *window_log(const struct window *window)
{
    return window->reply->element[SHOW_LOG];
}

const redisReply *window_versions(const struct window *window)
{
    return window->reply->element[SHOW_VERSIONS];
}

const struct window_cell *window_find(const struct window *window, const char *shortcode, const char *carrier)
{
    for (size_t low = 0, high = window->count; low < high;) {
        size_t middle = low + (high - low) / 2;
        const struct cell *now = &window->cells[middle].now;
        int order = strcmp(shortcode, now->shortcode);
        order = order ? order : strcmp(carrier, now->carrier);
        if (order == 0) {
            return &window->cells[middle];
        }
        low = order > 0 ? middle + 1 : low;
        high = order > 0 ? high : middle;
    }
    return NULL;
}

size_t window_count(const struct window *window, const char *carrier, enum window_cell_state state)
{
    size_t count = 0;
    for (size_t i = 0; i < window->count; i++) {
        const struct window_cell *cell = &window->cells[i];
        count += cell->state == state && (!carrier || strcmp(cell->now.carrier, carrier) == 0);
    }
    return count;
}

const char *window_carrier_next(const struct window *window, const char **rest, char name[NAME_LEN_MAX + 1])
{
    const char *text = *rest ? *rest : window_field(window, "carriers");
    size_t len = strcspn(text, " ");
    if (len == 0 || len > NAME_LEN_MAX) {
        return NULL;
    }
    memcpy(name, text, len);
    name[len] = '\0';
    *rest = text + len + (text[len] == ' ');
    return name;
}

/* --- commands ----------------------------------------------------------------------------------------------
 */

bool window_name_fine(struct ctl *ctl)
{
    if (!name_fine(ctl->args[0])) {
        ctl_fail(ctl, CTL_USAGE, NULL,
                 "\"%s\" is no name for a window: 1 to %d letters, digits, dots, dashes or underscores",
                 ctl->args[0], NAME_LEN_MAX);
        return false;
    }
    return true;
}

json_t *window_request(struct ctl *ctl, const char *command)
{
    json_t *request = window_name_fine(ctl) ? request_new(ctl, "window") : NULL;
    if (!request) {
        return NULL;
    }
    json_object_del(request, "moves");
    json_put(request, "command", json_text(command));
    json_put(request, "name", json_text(ctl->args[0]));
    json_put(request, "force", json_boolean(ctl->options.force));
    return request;
}

enum ctl_exit window_send(struct ctl *ctl, json_t *request, struct sent *sent)
{
    /* Which links there are, is the matter of check and start. */
    bool any_link = ctl->options.any_link;
    ctl->options.any_link = true;
    enum ctl_exit code = change_send(ctl, "turnout_window", request, sent);
    ctl->options.any_link = any_link;
    json_decref(request);
    if (code == CTL_DONE) {
        ctl_answer(ctl, "changed", json_boolean(sent->reply->elements > ANSWER_LINES));
    }
    return code;
}

enum ctl_exit window_wait(struct ctl *ctl, struct sent *sent)
{
    return sent->reply->elements > ANSWER_LINES ? change_wait(ctl, sent) : CTL_DONE;
}
