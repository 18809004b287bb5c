/* See board.h. */
#include "routing/ctl/board.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/output.h"

enum { SECOND_MS = 1000, LIVELY_MS = 24 * 3600 * 1000 };

/* --- reading -------------------------------------------------------------------------------------------- */

static bool read_info(struct redis *redis, struct board *board)
{
    redisReply *info = redis_function(redis, "turnout_info", NULL, 0);
    if (info) {
        board->version = redis_number(info, 1);
        board->shortcodes = redis_number(info, 3);
        snprintf(board->chain, sizeof board->chain, "%s", redis_text(info, 2));
    }
    freeReplyObject(info);
    return info != NULL;
}

static void free_guards(struct board *board)
{
    for (size_t i = 0; i < board->guards_count; i++) {
        rail_clear(&board->guards[i].rail);
    }
    free(board->guards);
    board->guards = NULL;
    board->guards_count = 0;
}

static enum rail_verdict verdict_of(const char *state)
{
    for (int verdict = 0; verdict < RAIL_VERDICT_COUNT; verdict++) {
        if (strcmp(rail_verdict_name((enum rail_verdict)verdict), state) == 0) {
            return (enum rail_verdict)verdict;
        }
    }
    return RAIL_INCONCLUSIVE;
}

static bool read_guards(struct redis *redis, struct board *board)
{
    redisReply *reply = redis_function(redis, "turnout_guards", NULL, 0);
    board->now_ms = reply ? redis_number(reply, 0) : board->now_ms;
    free_guards(board);
    board->guards = need(calloc(reply ? reply->elements + 1 : 1, sizeof *board->guards));
    for (size_t i = 1; reply && i < reply->elements; i++) {
        struct board_guard *guard = &board->guards[board->guards_count];
        const char *text = redis_text(reply, i);
        if (rail_parse(text, strlen(text), &guard->rail)) {
            guard->verdict = verdict_of(guard->rail.state);
            snprintf(guard->what, sizeof guard->what, "%s", guard->rail.what);
            board->guards_count++;
        }
    }
    freeReplyObject(reply);
    return reply != NULL;
}

static bool read_alarms(struct redis *redis, struct board *board)
{
    redisReply *reply = redis_function(redis, "turnout_alarms", NULL, 0);
    json_decref(board->alarms);
    board->alarms = need(json_array());
    for (size_t i = 1; reply && i < reply->elements; i++) {
        json_t *alarm = json_loads(redis_text(reply, i), JSON_REJECT_DUPLICATES, NULL);
        if (json_is_object(alarm)) {
            json_array_append(board->alarms, alarm);
        }
        json_decref(alarm);
    }
    freeReplyObject(reply);
    return reply != NULL;
}

bool board_read_guards(struct redis *redis, struct board *board)
{
    return read_info(redis, board) && read_guards(redis, board) && read_alarms(redis, board);
}

/* What changes without the table. */
static bool read_moment(struct redis *redis, struct board *board)
{
    instance_list_free(&board->instances);
    pending_free(&board->pending);
    if (!instance_list_read(redis, &board->instances)) {
        return false;
    }
    board->now_ms = board->instances.now_ms;
    return pending_read(redis, board->now_ms, &board->pending) && read_guards(redis, board) &&
           read_alarms(redis, board);
}

bool board_read(struct redis *redis, struct board *board)
{
    memset(board, 0, sizeof *board);
    return read_info(redis, board) && read_moment(redis, board) && cells_load(redis, &board->cells);
}

/* The cells that are there, where they are of this version; else they are read. */
static bool take_cells(struct redis *redis, struct board *next, struct board *board)
{
    if (next->version == board->cells.version) {
        next->cells = board->cells;
        memset(&board->cells, 0, sizeof board->cells);
        return true;
    }
    return cells_load(redis, &next->cells);
}

bool board_read_again(struct redis *redis, struct board *board)
{
    struct board next = {0};
    if (!read_info(redis, &next) || !read_moment(redis, &next) || !take_cells(redis, &next, board)) {
        board_free(&next);
        return false;
    }
    next.evidence = board->evidence;
    memset(&board->evidence, 0, sizeof board->evidence);
    board_free(board);
    *board = next;
    return true;
}

bool board_read_evidence(struct redis *redis, struct board *board, const char *const *shortcodes,
                         size_t count)
{
    redisReply *reply = redis_function(redis, "turnout_evidence_read", shortcodes, count);
    if (!reply) {
        return false;
    }
    evidence_set_free(&board->evidence);
    for (size_t i = 1; i < reply->elements; i++) {
        const char *text = redis_text(reply, i);
        (void)evidence_set_add(&board->evidence, text, strlen(text));
    }
    evidence_set_sort(&board->evidence);
    for (size_t i = 0; i < board->guards_count; i++) {
        struct board_guard *guard = &board->guards[i];
        if (strcmp(guard->rail.state, "watching") == 0) {
            guard->verdict =
                rail_judge(&guard->rail, &board->evidence, board->now_ms, guard->what, sizeof guard->what);
        }
    }
    freeReplyObject(reply);
    return true;
}

void board_free(struct board *board)
{
    instance_list_free(&board->instances);
    pending_free(&board->pending);
    cells_free(&board->cells);
    evidence_set_free(&board->evidence);
    free_guards(board);
    json_decref(board->alarms);
    memset(board, 0, sizeof *board);
}

/* --- a cell --------------------------------------------------------------------------------------------- */

const struct evidence *board_evidence(const struct board *board, const struct cell *cell)
{
    const struct evidence *evidence = evidence_set_find(&board->evidence, cell->shortcode, cell->carrier);
    bool its = evidence && evidence->changed_ms / SECOND_MS == cell->changed_ms / SECOND_MS &&
               strcmp(evidence->now.platform, cell->platform) == 0;
    return its ? evidence : NULL;
}

/* "5001 spark redx omni" begins with the cell. */
static bool names_cell(const char *line, const struct cell *cell)
{
    size_t shortcode = strlen(cell->shortcode);
    size_t carrier = strlen(cell->carrier);
    return strncmp(line, cell->shortcode, shortcode) == 0 && line[shortcode] == ' ' &&
           strncmp(line + shortcode + 1, cell->carrier, carrier) == 0 && line[shortcode + 1 + carrier] == ' ';
}

static bool is_open(const json_t *alarm)
{
    return !json_object_get(alarm, "acknowledged");
}

unsigned board_alarms(const struct board *board, const struct cell *cell)
{
    size_t i, j;
    json_t *alarm, *line;
    unsigned count = 0;
    json_array_foreach(board->alarms, i, alarm)
    {
        json_array_foreach(json_object_get(alarm, "cells"), j, line)
        {
            count += is_open(alarm) && json_is_string(line) && names_cell(json_string_value(line), cell);
        }
    }
    return count;
}

unsigned board_alarms_open(const struct board *board)
{
    size_t i;
    json_t *alarm;
    unsigned count = 0;
    json_array_foreach(board->alarms, i, alarm)
    {
        count += is_open(alarm);
    }
    return count;
}

const struct board_guard *board_guard(const struct board *board, const struct cell *cell)
{
    for (size_t i = 0; i < board->guards_count; i++) {
        const struct rail *rail = &board->guards[i].rail;
        if (strcmp(rail->state, "watching") != 0) {
            return NULL; /* those that watch come first */
        }
        for (size_t j = 0; j < rail->cells_count; j++) {
            if (strcmp(rail->cells[j].shortcode, cell->shortcode) == 0 &&
                strcmp(rail->cells[j].carrier, cell->carrier) == 0) {
                return &board->guards[i];
            }
        }
    }
    return NULL;
}

bool board_is_lively(const struct board *board, const struct cell *cell)
{
    return *cell->next || cell->state != ROUTE_OPEN ||
           (*cell->previous && cell->changed_ms + LIVELY_MS > board->now_ms) ||
           board_alarms(board, cell) > 0 || board_guard(board, cell);
}

/* --- in words ------------------------------------------------------------------------------------------- */

/* Text that grows in a buffer, and is cut where it does not fit. */
struct words {
    char *text;
    size_t size, len;
};

__attribute__((format(printf, 2, 3))) static void say(struct words *words, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    /* the analyzer loses sight of va_start here: NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized) */
    int len = vsnprintf(words->text + words->len, words->size - words->len, format, arguments);
    va_end(arguments);
    words->len += len > 0 ? (size_t)len : 0;
    words->len = words->len < words->size ? words->len : words->size - 1;
}

static void say_count(struct words *words, uint64_t count, const char *what)
{
    if (count > 0) {
        say(words, "%s%" PRIu64 " %s", words->len > 0 ? ", " : "", count, what);
    }
}

/* Traffic by a platform that the route does not name: that to which the cell will go, or that from which it came. */
static const char *wrong_how(const struct cell *cell, const struct evidence_side *side)
{
    return strcmp(side->platform, cell->next) == 0 ? "early" : "not moved yet";
}

static void say_wrong(struct words *words, const struct cell *cell, const struct evidence_side *side)
{
    if (side->wrong_mo + side->wrong_receipts == 0) {
        return;
    }
    say(words, "%sWRONG PATH by %s, %s:", words->len > 0 ? ", " : "", side->platform, wrong_how(cell, side));
    if (side->wrong_mo > 0) {
        say(words, " %" PRIu64 " MO", side->wrong_mo);
    }
    if (side->wrong_receipts > 0) {
        say(words, " %" PRIu64 " rcpt", side->wrong_receipts);
    }
}

const char *board_evidence_text(const struct cell *cell, const struct evidence *evidence,
                                char text[BOARD_EVIDENCE_SIZE])
{
    struct words words = {.text = text, .size = BOARD_EVIDENCE_SIZE};
    text[0] = '\0';
    if (evidence) {
        say_count(&words, evidence->now.mt_accepted, "ok");
        say_count(&words, evidence_share_now(evidence).wrong, "err");
        say_count(&words, evidence->now.mo, "MO");
        say_count(&words, evidence->now.receipts, "rcpt");
        if (cell->state != ROUTE_OPEN || evidence->now.held_expired > 0) {
            say_count(&words, evidence->now.waited, "held");
            say_count(&words, evidence->now.held_expired, "expired");
        }
        say_wrong(&words, cell, &evidence->now);
        say_wrong(&words, cell, &evidence->other);
        say_count(&words, evidence->mo_twice, "TWICE");
    }
    if (words.len == 0) {
        say(&words, "nothing seen yet");
    }
    return text;
}

static const char *ago(uint64_t now_ms, uint64_t at_ms, char text[AGE_TEXT_SIZE])
{
    return at_ms == 0 ? "never" : age_text(now_ms > at_ms ? now_ms - at_ms : 0, text);
}

struct teller {
    uint64_t now_ms;
    void (*line)(void *ctx, const char *text);
    void *ctx;
};

static void tell_times(const struct teller *teller, const char *what, uint64_t first_ms, uint64_t last_ms)
{
    char text[160], first[AGE_TEXT_SIZE], last[AGE_TEXT_SIZE], when[TIME_TEXT_SIZE];
    if (last_ms == 0) {
        snprintf(text, sizeof text, "  %-16s none", what);
    } else if (first_ms == 0) {
        snprintf(text, sizeof text, "  %-16s last %s ago (before the move), %s", what,
                 ago(teller->now_ms, last_ms, last), time_text(last_ms, when));
    } else {
        snprintf(text, sizeof text, "  %-16s first %s ago, last %s ago (%s)", what,
                 ago(teller->now_ms, first_ms, first), ago(teller->now_ms, last_ms, last),
                 time_text(last_ms, when));
    }
    teller->line(teller->ctx, text);
}

static void tell_statuses(const struct teller *teller, const struct evidence_side *side)
{
    char text[160];
    struct words words = {.text = text, .size = sizeof text};
    say(&words, "  by status       ");
    for (size_t i = 0; i < EVIDENCE_STATUSES && side->statuses[i].count > 0; i++) {
        say(&words, " 0x%02x: %" PRIu64, side->statuses[i].status, side->statuses[i].count);
    }
    if (side->statuses[0].count > 0) {
        teller->line(teller->ctx, text);
    }
}

/* Who is to be asked, and about what. */
static void tell_wrong(const struct teller *teller, const struct cell *cell, const struct evidence_side *side)
{
    char text[160];
    bool early = strcmp(side->platform, cell->next) == 0;
    if (side->wrong_mo + side->wrong_receipts == 0) {
        return;
    }
    snprintf(text, sizeof text, "  WRONG PATH       %" PRIu64 " MO, %" PRIu64 " receipts: the carrier %s",
             side->wrong_mo, side->wrong_receipts, early ? "has moved early" : "has not moved yet");
    teller->line(teller->ctx, text);
    tell_times(teller, "wrong path", side->wrong_first_ms, side->wrong_last_ms);
}

static void tell_side(const struct teller *teller, const struct cell *cell, const struct evidence_side *side,
                      const char *role)
{
    char text[200];
    if (!*side->platform) {
        return;
    }
    snprintf(text, sizeof text, "%s (%s):", side->platform, role);
    teller->line(teller->ctx, text);
    snprintf(text, sizeof text,
             "  MT               %" PRIu64 " sent, %" PRIu64 " accepted, %" PRIu64 " refused, %" PRIu64
             " unknown",
             side->mt_sent, side->mt_accepted, side->mt_refused, side->mt_unknown);
    teller->line(teller->ctx, text);
    tell_statuses(teller, side);
    snprintf(text, sizeof text,
             "  by the proxy     %" PRIu64 " expired, %" PRIu64 " full, %" PRIu64 " closed, %" PRIu64
             " other; %" PRIu64 " waited, %" PRIu64 " released, longest %" PRIu64 " ms",
             side->held_expired, side->held_full, side->closed, side->refused_else, side->waited,
             side->released, side->waited_longest_ms);
    teller->line(teller->ctx, text);
    snprintf(text, sizeof text,
             "  MO, receipts     %" PRIu64 " MO, %" PRIu64 " receipts (%" PRIu64 " awaited), %" PRIu64
             " refused; %" PRIu64 " legs lost",
             side->mo, side->receipts, side->receipts_awaited, side->mo_refused, side->legs_lost);
    teller->line(teller->ctx, text);
    tell_times(teller, "MT accepted", side->mt_first_ms, side->mt_last_ms);
    tell_times(teller, "MO", side->mo_first_ms, side->mo_last_ms);
    tell_times(teller, "receipt", side->receipt_first_ms, side->receipt_last_ms);
    tell_wrong(teller, cell, side);
}

void board_evidence_lines(const struct cell *cell, const struct evidence *evidence, uint64_t now_ms,
                          void (*line)(void *ctx, const char *text), void *ctx)
{
    const struct teller teller = {now_ms, line, ctx};
    struct evidence_share before = evidence_share_before(evidence);
    char text[160];
    tell_side(&teller, cell, &evidence->now, "serves");
    tell_side(&teller, cell, &evidence->other, "the other way");
    snprintf(text, sizeof text,
             "Before the move: %" PRIu64 " answered, %" PRIu64 " of them wrong, %" PRIu64 " MO", before.all,
             before.wrong, evidence->before.mo);
    line(ctx, text);
    snprintf(text, sizeof text, "MT in the last hour: %" PRIu64, evidence_hour(evidence, now_ms / 60000));
    line(ctx, text);
    if (evidence->mo_twice > 0) {
        snprintf(text, sizeof text, "MO SEEN TWICE, on both platforms: %" PRIu64, evidence->mo_twice);
        line(ctx, text);
    }
}

/* --- JSON ----------------------------------------------------------------------------------------------- */

static json_t *guard_json(const struct board_guard *guard)
{
    const struct rail *rail = &guard->rail;
    json_t *object = need(json_object());
    json_t *cells = need(json_array());
    for (size_t i = 0; i < rail->cells_count; i++) {
        const struct rail_cell *cell = &rail->cells[i];
        json_t *one = need(json_object());
        json_put(one, "shortcode", json_text(cell->shortcode));
        json_put(one, "carrier", json_text(cell->carrier));
        json_put(one, "from", json_text(cell->from));
        json_put(one, "to", json_text(cell->to));
        json_array_append_new(cells, one);
    }
    json_put(object, "id", json_text(rail->id));
    json_put(object, "version", json_integer((json_int_t)rail->version));
    json_put(object, "state", json_text(rail->state));
    json_put(object, "verdict", json_text(rail_verdict_name(guard->verdict)));
    json_put(object, "what", json_text(guard->what));
    json_put(object, "action", json_text(rail->roll_back ? "rollback" : "alert"));
    json_put(object, "at_ms", json_integer((json_int_t)rail->at_ms));
    json_put(object, "until_ms", json_integer((json_int_t)rail->until_ms));
    json_put(object, "ended_ms", json_integer((json_int_t)rail->ended_ms));
    json_put(object, "cells", cells);
    return object;
}

json_t *board_guards_json(const struct board *board)
{
    json_t *array = need(json_array());
    for (size_t i = 0; i < board->guards_count; i++) {
        json_array_append_new(array, guard_json(&board->guards[i]));
    }
    return array;
}
