#include "routing/rail.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PERCENT = 100, SECOND_MS = 1000 };

#define RAIL_NAME(id, name) name,
const char *rail_verdict_name(enum rail_verdict verdict)
{
    static const char *const names[] = {RAIL_VERDICTS(RAIL_NAME)};
    return names[verdict];
}

/* --- reading -------------------------------------------------------------------------------------------- */

static uint64_t number_in(const json_t *object, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(object, name));
    return value > 0 ? (uint64_t)value : 0;
}

/* Cut where it is too long. */
static void take_text(const json_t *object, const char *name, char *into, size_t size)
{
    const char *text = json_string_value(json_object_get(object, name));
    snprintf(into, size, "%s", text == NULL ? "" : text);
}

static bool take_cell(const json_t *line, struct rail_cell *cell)
{
    const char *text = json_string_value(line);
    int end = -1;
    return text != NULL &&
           sscanf(text, "%20s %31s %31s %31s%n", cell->shortcode, cell->carrier, cell->from, cell->to,
                  &end) == 4 &&
           end > 0 && text[end] == '\0';
}

static bool take_cells(const json_t *lines, struct rail *rail)
{
    size_t i;
    json_t *line;
    rail->cells = calloc(json_array_size(lines) + 1, sizeof *rail->cells);
    if (rail->cells == NULL) {
        return false;
    }
    json_array_foreach(lines, i, line)
    {
        if (!take_cell(line, &rail->cells[i])) {
            return false;
        }
        rail->cells_count++;
    }
    return rail->cells_count > 0;
}

static bool take(const json_t *object, struct rail *rail)
{
    const char *action = json_string_value(json_object_get(object, "action"));
    take_text(object, "id", rail->id, sizeof rail->id);
    take_text(object, "state", rail->state, sizeof rail->state);
    take_text(object, "what", rail->what, sizeof rail->what);
    rail->version = number_in(object, "version");
    rail->at_ms = number_in(object, "at_ms");
    rail->until_ms = number_in(object, "until_ms");
    rail->ended_ms = number_in(object, "ended_ms");
    rail->errors = number_in(object, "errors");
    rail->min = number_in(object, "min");
    rail->mo_within_ms = number_in(object, "mo_within_ms");
    rail->receipt_within_ms = number_in(object, "receipt_within_ms");
    rail->leg_lost = json_is_true(json_object_get(object, "leg_lost"));
    rail->roll_back = action != NULL && strcmp(action, "rollback") == 0;
    return rail->id[0] != '\0' && rail->version > 0 && take_cells(json_object_get(object, "cells"), rail);
}

bool rail_parse(const char *text, size_t len, struct rail *rail)
{
    struct rail parsed = {.cells = NULL};
    json_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    bool fine = json_is_object(object) && take(object, &parsed);
    json_decref(object);
    if (fine) {
        *rail = parsed;
    } else {
        rail_clear(&parsed);
    }
    return fine;
}

void rail_clear(struct rail *rail)
{
    free(rail->cells);
    *rail = (struct rail){.cells = NULL};
}

/* --- judging -------------------------------------------------------------------------------------------- */

/* What is known so far: the worst verdict, and the sentence of it. Bad beats inconclusive, which beats good. */
struct finding {
    enum rail_verdict verdict;
    char *what;
    size_t cap;
};

static unsigned gravity(enum rail_verdict verdict)
{
    return verdict == RAIL_BAD ? 2 : verdict == RAIL_INCONCLUSIVE;
}

/* "5001 spark", or "spark" of a whole carrier. */
static void name_cell(const struct evidence *evidence, char *name, size_t cap)
{
    snprintf(name, cap, "%s%s%s", evidence->shortcode, evidence->shortcode[0] == '\0' ? "" : " ",
             evidence->carrier);
}

__attribute__((format(printf, 4, 5))) static void find(struct finding *finding, enum rail_verdict verdict,
                                                       const struct evidence *evidence, const char *format,
                                                       ...)
{
    char name[SHORTCODE_LEN_MAX + NAME_LEN_MAX + 2];
    char text[192];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (finding->what[0] != '\0' && gravity(verdict) <= gravity(finding->verdict)) {
        return;
    }
    name_cell(evidence, name, sizeof name);
    finding->verdict = verdict;
    snprintf(finding->what, finding->cap, "%s: %s", name, text);
}

static double percent(struct evidence_share share)
{
    return share.all == 0 ? 0 : (double)share.wrong * PERCENT / (double)share.all;
}

static void judge_errors(const struct rail *rail, const struct evidence *evidence, struct finding *finding)
{
    struct evidence_share now = evidence_share_now(evidence);
    struct evidence_share before = evidence_share_before(evidence);
    if (rail->errors == 0) {
        return;
    }
    if (now.all < rail->min || before.all < rail->min) {
        find(finding, RAIL_INCONCLUSIVE, evidence,
             "%" PRIu64 " answers on %s, %" PRIu64 " on the route before; %" PRIu64 " of each are needed",
             now.all, evidence->now.platform, before.all, rail->min);
        return;
    }
    bool bad = percent(now) > percent(before) + (double)rail->errors;
    find(finding, bad ? RAIL_BAD : RAIL_GOOD, evidence,
         "%.1f %% of %" PRIu64 " went wrong on %s, %.1f %% of %" PRIu64 " before (allowed: %" PRIu64 " more)",
         percent(now), now.all, evidence->now.platform, percent(before), before.all, rail->errors);
}

/* How many would have come by now at the rate of before the move. */
static double expected_mo(const struct rail *rail, const struct evidence *evidence)
{
    const struct evidence_before *before = &evidence->before;
    if (before->since_ms == 0 || before->since_ms >= evidence->changed_ms) {
        return 0;
    }
    double span = (double)(evidence->changed_ms - before->since_ms);
    return (double)before->mo * (double)rail->mo_within_ms / span;
}

static void judge_mo(const struct rail *rail, const struct evidence *evidence, uint64_t now_ms,
                     struct finding *finding)
{
    if (rail->mo_within_ms == 0) {
        return;
    }
    if (evidence->now.mo > 0) {
        find(finding, RAIL_GOOD, evidence, "%" PRIu64 " MO by %s", evidence->now.mo, evidence->now.platform);
    } else if (now_ms < rail->at_ms + rail->mo_within_ms) {
        find(finding, RAIL_INCONCLUSIVE, evidence, "no MO by %s yet", evidence->now.platform);
    } else {
        double expected = expected_mo(rail, evidence);
        find(finding, expected >= RAIL_EXPECTED ? RAIL_BAD : RAIL_INCONCLUSIVE, evidence,
             "no MO by %s within %" PRIu64 " s; at the rate before, %.1f were expected",
             evidence->now.platform, rail->mo_within_ms / SECOND_MS, expected);
    }
}

static void judge_receipts(const struct rail *rail, const struct evidence *evidence, uint64_t now_ms,
                           struct finding *finding)
{
    const struct evidence_side *side = &evidence->now;
    if (rail->receipt_within_ms == 0) {
        return;
    }
    bool over = side->mt_first_ms != 0 && now_ms >= side->mt_first_ms + rail->receipt_within_ms;
    if (side->receipts > 0) {
        find(finding, RAIL_GOOD, evidence, "%" PRIu64 " receipts by %s", side->receipts, side->platform);
    } else if (!over || side->receipts_awaited < rail->min) {
        find(finding, RAIL_INCONCLUSIVE, evidence, "no receipt by %s yet, of %" PRIu64 " awaited",
             side->platform, side->receipts_awaited);
    } else {
        find(finding, RAIL_BAD, evidence,
             "no receipt by %s within %" PRIu64 " s of the first message; %" PRIu64 " are awaited",
             side->platform, rail->receipt_within_ms / SECOND_MS, side->receipts_awaited);
    }
}

/* A leg that stays without anything going over it proves nothing. */
static void judge_leg(const struct rail *rail, const struct evidence *evidence, struct finding *finding)
{
    const struct evidence_side *side = &evidence->now;
    if (!rail->leg_lost) {
        return;
    }
    if (side->legs_lost > 0) {
        find(finding, RAIL_BAD, evidence, "%" PRIu64 " legs to %s were lost", side->legs_lost,
             side->platform);
    } else {
        find(finding, side->mt_accepted > 0 ? RAIL_GOOD : RAIL_INCONCLUSIVE, evidence,
             "no leg to %s was lost; %" PRIu64 " messages accepted", side->platform, side->mt_accepted);
    }
}

static void judge(const struct rail *rail, const struct evidence *evidence, uint64_t now_ms,
                  struct finding *finding)
{
    judge_errors(rail, evidence, finding);
    judge_mo(rail, evidence, now_ms, finding);
    judge_receipts(rail, evidence, now_ms, finding);
    judge_leg(rail, evidence, finding);
}

enum rail_verdict rail_judge_one(const struct rail *rail, const struct evidence *evidence, uint64_t now_ms,
                                 char *what, size_t cap)
{
    struct finding finding = {.verdict = RAIL_INCONCLUSIVE, .what = what, .cap = cap};
    what[0] = '\0';
    judge(rail, evidence, now_ms, &finding);
    return finding.verdict;
}

/* --- many cells ----------------------------------------------------------------------------------------- */

/* The cell is as the flip left it: on its platform, since its time (whole seconds). */
static const struct evidence *evidence_of(const struct rail *rail, const struct rail_cell *cell,
                                          const struct evidence_set *set)
{
    const struct evidence *evidence = evidence_set_find(set, cell->shortcode, cell->carrier);
    bool its = evidence != NULL && evidence->changed_ms / SECOND_MS == rail->at_ms / SECOND_MS &&
               strcmp(evidence->now.platform, cell->to) == 0;
    return its ? evidence : NULL;
}

/* Has the cell moved on since? Without evidence it is not known to have. */
static bool moved_on(const struct rail *rail, const struct rail_cell *cell, const struct evidence_set *set)
{
    const struct evidence *evidence = evidence_set_find(set, cell->shortcode, cell->carrier);
    return evidence != NULL && evidence->changed_ms / SECOND_MS > rail->at_ms / SECOND_MS;
}

/* Is this the first cell of its carrier and platform? */
static bool is_first(const struct rail *rail, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(rail->cells[i].carrier, rail->cells[at].carrier) == 0 &&
            strcmp(rail->cells[i].to, rail->cells[at].to) == 0) {
            return false;
        }
    }
    return true;
}

/* The cells that went to the same platform of a carrier, as one without a shortcode. They changed in the same call. */
static struct evidence sum_like(const struct rail *rail, const struct rail_cell *like,
                                const struct evidence_set *set)
{
    struct evidence sum = {.changed_ms = 0};
    for (size_t i = 0; i < rail->cells_count; i++) {
        const struct rail_cell *cell = &rail->cells[i];
        const struct evidence *evidence =
            strcmp(cell->carrier, like->carrier) == 0 && strcmp(cell->to, like->to) == 0
                ? evidence_of(rail, cell, set)
                : NULL;
        if (evidence != NULL && sum.carrier[0] == '\0') {
            sum = *evidence;
        } else if (evidence != NULL) {
            evidence_merge(&sum, evidence);
        }
    }
    sum.shortcode[0] = '\0';
    return sum;
}

/* One cell that goes wrong must not be lost in the sum. */
static bool judge_cells(const struct rail *rail, const struct evidence_set *set, uint64_t now_ms, char *what,
                        size_t cap)
{
    for (size_t i = 0; i < rail->cells_count; i++) {
        const struct evidence *evidence = evidence_of(rail, &rail->cells[i], set);
        if (evidence != NULL && rail_judge_one(rail, evidence, now_ms, what, cap) == RAIL_BAD) {
            return true;
        }
    }
    return false;
}

/* Adds the verdict on one carrier to that on those before. */
static void judge_sum(const struct rail *rail, const struct rail_cell *like, const struct evidence_set *set,
                      uint64_t now_ms, struct finding *worst)
{
    char what[256];
    struct evidence sum = sum_like(rail, like, set);
    enum rail_verdict verdict = RAIL_INCONCLUSIVE;
    if (sum.carrier[0] == '\0') {
        snprintf(what, sizeof what, "%s: nothing was seen yet", like->carrier);
    } else {
        verdict = rail_judge_one(rail, &sum, now_ms, what, sizeof what);
    }
    if (worst->what[0] == '\0' || gravity(verdict) > gravity(worst->verdict)) {
        worst->verdict = verdict;
        snprintf(worst->what, worst->cap, "%s", what);
    }
}

enum rail_verdict rail_judge(const struct rail *rail, const struct evidence_set *set, uint64_t now_ms,
                             char *what, size_t cap)
{
    struct finding worst = {.verdict = RAIL_INCONCLUSIVE, .what = what, .cap = cap};
    size_t gone = 0;
    for (size_t i = 0; i < rail->cells_count; i++) {
        gone += moved_on(rail, &rail->cells[i], set);
    }
    if (gone == rail->cells_count) {
        snprintf(what, cap, "every cell has moved on since");
        return RAIL_VOID;
    }
    if (judge_cells(rail, set, now_ms, what, cap)) {
        return RAIL_BAD;
    }
    what[0] = '\0';
    for (size_t i = 0; i < rail->cells_count; i++) {
        if (is_first(rail, i)) {
            judge_sum(rail, &rail->cells[i], set, now_ms, &worst);
        }
    }
    return worst.verdict;
}
