#include "routing/guard.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PERCENT = 100, SECOND_MS = 1000 };

#define GUARD_NAME(id, name) [id] = name,
const char *guard_verdict_name(enum guard_verdict verdict)
{
    static const char *const names[] = {GUARD_VERDICTS(GUARD_NAME)};
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

static bool take_cell(const json_t *line, struct guard_cell *cell)
{
    const char *text = json_string_value(line);
    int end = -1;
    return text != NULL &&
           sscanf(text, "%20s %31s %31s %31s%n", cell->shortcode, cell->carrier, cell->from, cell->to,
                  &end) == 4 &&
           end > 0 && text[end] == '\0';
}

static bool take_cells(const json_t *lines, struct guard *guard)
{
    size_t i;
    json_t *line;
    guard->cells = calloc(json_array_size(lines) + 1, sizeof *guard->cells);
    if (guard->cells == NULL) {
        return false;
    }
    json_array_foreach(lines, i, line)
    {
        if (!take_cell(line, &guard->cells[i])) {
            return false;
        }
        guard->cells_count++;
    }
    return guard->cells_count > 0;
}

static bool take(const json_t *object, struct guard *guard)
{
    const char *action = json_string_value(json_object_get(object, "action"));
    take_text(object, "id", guard->id, sizeof guard->id);
    take_text(object, "state", guard->state, sizeof guard->state);
    take_text(object, "what", guard->what, sizeof guard->what);
    guard->version = number_in(object, "version");
    guard->at_ms = number_in(object, "at_ms");
    guard->until_ms = number_in(object, "until_ms");
    guard->ended_ms = number_in(object, "ended_ms");
    guard->errors = number_in(object, "errors");
    guard->min = number_in(object, "min");
    guard->mo_within_ms = number_in(object, "mo_within_ms");
    guard->receipt_within_ms = number_in(object, "receipt_within_ms");
    guard->leg_lost = json_is_true(json_object_get(object, "leg_lost"));
    guard->roll_back = action != NULL && strcmp(action, "rollback") == 0;
    return guard->id[0] != '\0' && guard->version > 0 && take_cells(json_object_get(object, "cells"), guard);
}

bool guard_parse(const char *text, size_t len, struct guard *guard)
{
    struct guard parsed = {.cells = NULL};
    json_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    bool fine = json_is_object(object) && take(object, &parsed);
    json_decref(object);
    if (fine) {
        *guard = parsed;
    } else {
        guard_clear(&parsed);
    }
    return fine;
}

void guard_clear(struct guard *guard)
{
    free(guard->cells);
    *guard = (struct guard){.cells = NULL};
}

/* --- judging -------------------------------------------------------------------------------------------- */

/* What is known so far: the worst verdict, and the sentence of it. Bad beats inconclusive, which beats good. */
struct finding {
    enum guard_verdict verdict;
    char *what;
    size_t cap;
};

static unsigned gravity(enum guard_verdict verdict)
{
    return verdict == GUARD_BAD ? 2 : verdict == GUARD_INCONCLUSIVE;
}

/* "5001 spark", or "spark" of a whole carrier. */
static void name_cell(const struct evidence *evidence, char *name, size_t cap)
{
    snprintf(name, cap, "%s%s%s", evidence->shortcode, evidence->shortcode[0] == '\0' ? "" : " ",
             evidence->carrier);
}

__attribute__((format(printf, 4, 5))) static void find(struct finding *finding, enum guard_verdict verdict,
                                                       const struct evidence *evidence, const char *format,
                                                       ...)
{
    char name[SHORTCODE_LEN_MAX + NAME_LEN_MAX + 2];
    char text[192];
    if (finding->what[0] != '\0' && gravity(verdict) <= gravity(finding->verdict)) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    name_cell(evidence, name, sizeof name);
    finding->verdict = verdict;
    snprintf(finding->what, finding->cap, "%s: %s", name, text);
}

static double percent(struct evidence_share share)
{
    return share.all == 0 ? 0 : (double)share.wrong * PERCENT / (double)share.all;
}

static void judge_errors(const struct guard *guard, const struct evidence *evidence, struct finding *finding)
{
    struct evidence_share now = evidence_share_now(evidence);
    struct evidence_share before = evidence_share_before(evidence);
    if (guard->errors == 0) {
        return;
    }
    if (now.all < guard->min || before.all < guard->min) {
        find(finding, GUARD_INCONCLUSIVE, evidence,
             "%" PRIu64 " answers on %s, %" PRIu64 " on the route before; %" PRIu64 " of each are needed",
             now.all, evidence->now.platform, before.all, guard->min);
        return;
    }
    bool bad = percent(now) > percent(before) + (double)guard->errors;
    find(finding, bad ? GUARD_BAD : GUARD_GOOD, evidence,
         "%.1f %% of %" PRIu64 " went wrong on %s, %.1f %% of %" PRIu64 " before (allowed: %" PRIu64 " more)",
         percent(now), now.all, evidence->now.platform, percent(before), before.all, guard->errors);
}

/* How many would have come by now at the rate of before the move. */
static double expected_mo(const struct guard *guard, const struct evidence *evidence)
{
    const struct evidence_before *before = &evidence->before;
    if (before->since_ms == 0 || before->since_ms >= evidence->changed_ms) {
        return 0;
    }
    double span = (double)(evidence->changed_ms - before->since_ms);
    return (double)before->mo * (double)guard->mo_within_ms / span;
}

static void judge_mo(const struct guard *guard, const struct evidence *evidence, uint64_t now_ms,
                     struct finding *finding)
{
    if (guard->mo_within_ms == 0) {
        return;
    }
    if (evidence->now.mo > 0) {
        find(finding, GUARD_GOOD, evidence, "%" PRIu64 " MO by %s", evidence->now.mo, evidence->now.platform);
    } else if (now_ms < guard->at_ms + guard->mo_within_ms) {
        find(finding, GUARD_INCONCLUSIVE, evidence, "no MO by %s yet", evidence->now.platform);
    } else {
        double expected = expected_mo(guard, evidence);
        find(finding, expected >= GUARD_EXPECTED ? GUARD_BAD : GUARD_INCONCLUSIVE, evidence,
             "no MO by %s within %" PRIu64 " s; at the rate before, %.1f were expected",
             evidence->now.platform, guard->mo_within_ms / SECOND_MS, expected);
    }
}

static void judge_receipts(const struct guard *guard, const struct evidence *evidence, uint64_t now_ms,
                           struct finding *finding)
{
    const struct evidence_side *side = &evidence->now;
    if (guard->receipt_within_ms == 0) {
        return;
    }
    bool over = side->mt_first_ms != 0 && now_ms >= side->mt_first_ms + guard->receipt_within_ms;
    if (side->receipts > 0) {
        find(finding, GUARD_GOOD, evidence, "%" PRIu64 " receipts by %s", side->receipts, side->platform);
    } else if (!over || side->receipts_awaited < guard->min) {
        find(finding, GUARD_INCONCLUSIVE, evidence, "no receipt by %s yet, of %" PRIu64 " awaited",
             side->platform, side->receipts_awaited);
    } else {
        find(finding, GUARD_BAD, evidence,
             "no receipt by %s within %" PRIu64 " s of the first message; %" PRIu64 " are awaited",
             side->platform, guard->receipt_within_ms / SECOND_MS, side->receipts_awaited);
    }
}

/* A leg that stays without anything going over it proves nothing. */
static void judge_leg(const struct guard *guard, const struct evidence *evidence, struct finding *finding)
{
    const struct evidence_side *side = &evidence->now;
    if (!guard->leg_lost) {
        return;
    }
    if (side->legs_lost > 0) {
        find(finding, GUARD_BAD, evidence, "%" PRIu64 " legs to %s were lost", side->legs_lost,
             side->platform);
    } else {
        find(finding, side->mt_accepted > 0 ? GUARD_GOOD : GUARD_INCONCLUSIVE, evidence,
             "no leg to %s was lost; %" PRIu64 " messages accepted", side->platform, side->mt_accepted);
    }
}

static void judge(const struct guard *guard, const struct evidence *evidence, uint64_t now_ms,
                  struct finding *finding)
{
    judge_errors(guard, evidence, finding);
    judge_mo(guard, evidence, now_ms, finding);
    judge_receipts(guard, evidence, now_ms, finding);
    judge_leg(guard, evidence, finding);
}

enum guard_verdict guard_judge_one(const struct guard *guard, const struct evidence *evidence,
                                   uint64_t now_ms, char *what, size_t cap)
{
    struct finding finding = {.verdict = GUARD_INCONCLUSIVE, .what = what, .cap = cap};
    what[0] = '\0';
    judge(guard, evidence, now_ms, &finding);
    return finding.verdict;
}

/* --- many cells ----------------------------------------------------------------------------------------- */

/* The cell is as the flip left it: on its platform, since its time (whole seconds). */
static const struct evidence *evidence_of(const struct guard *guard, const struct guard_cell *cell,
                                          const struct evidence_set *set)
{
    const struct evidence *evidence = evidence_set_find(set, cell->shortcode, cell->carrier);
    bool its = evidence != NULL && evidence->changed_ms / SECOND_MS == guard->at_ms / SECOND_MS &&
               strcmp(evidence->now.platform, cell->to) == 0;
    return its ? evidence : NULL;
}

/* Has the cell moved on since? Without evidence it is not known to have. */
static bool moved_on(const struct guard *guard, const struct guard_cell *cell, const struct evidence_set *set)
{
    const struct evidence *evidence = evidence_set_find(set, cell->shortcode, cell->carrier);
    return evidence != NULL && evidence->changed_ms / SECOND_MS > guard->at_ms / SECOND_MS;
}

/* Is this the first cell of its carrier and platform? */
static bool is_first(const struct guard *guard, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(guard->cells[i].carrier, guard->cells[at].carrier) == 0 &&
            strcmp(guard->cells[i].to, guard->cells[at].to) == 0) {
            return false;
        }
    }
    return true;
}

/* The cells that went to the same platform of a carrier, as one without a shortcode. They changed in the same call. */
static struct evidence sum_like(const struct guard *guard, const struct guard_cell *like,
                                const struct evidence_set *set)
{
    struct evidence sum = {.changed_ms = 0};
    for (size_t i = 0; i < guard->cells_count; i++) {
        const struct guard_cell *cell = &guard->cells[i];
        const struct evidence *evidence =
            strcmp(cell->carrier, like->carrier) == 0 && strcmp(cell->to, like->to) == 0
                ? evidence_of(guard, cell, set)
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
static bool judge_cells(const struct guard *guard, const struct evidence_set *set, uint64_t now_ms,
                        char *what, size_t cap)
{
    for (size_t i = 0; i < guard->cells_count; i++) {
        const struct evidence *evidence = evidence_of(guard, &guard->cells[i], set);
        if (evidence != NULL && guard_judge_one(guard, evidence, now_ms, what, cap) == GUARD_BAD) {
            return true;
        }
    }
    return false;
}

/* Adds the verdict on one carrier to that on those before. */
static void judge_sum(const struct guard *guard, const struct guard_cell *like,
                      const struct evidence_set *set, uint64_t now_ms, struct finding *worst)
{
    char what[256];
    struct evidence sum = sum_like(guard, like, set);
    enum guard_verdict verdict = GUARD_INCONCLUSIVE;
    if (sum.carrier[0] == '\0') {
        snprintf(what, sizeof what, "%s: nothing was seen yet", like->carrier);
    } else {
        verdict = guard_judge_one(guard, &sum, now_ms, what, sizeof what);
    }
    if (worst->what[0] == '\0' || gravity(verdict) > gravity(worst->verdict)) {
        worst->verdict = verdict;
        snprintf(worst->what, worst->cap, "%s", what);
    }
}

enum guard_verdict guard_judge(const struct guard *guard, const struct evidence_set *set, uint64_t now_ms,
                               char *what, size_t cap)
{
    struct finding worst = {.verdict = GUARD_INCONCLUSIVE, .what = what, .cap = cap};
    size_t gone = 0;
    for (size_t i = 0; i < guard->cells_count; i++) {
        gone += moved_on(guard, &guard->cells[i], set);
    }
    if (gone == guard->cells_count) {
        snprintf(what, cap, "every cell has moved on since");
        return GUARD_VOID;
    }
    if (judge_cells(guard, set, now_ms, what, cap)) {
        return GUARD_BAD;
    }
    what[0] = '\0';
    for (size_t i = 0; i < guard->cells_count; i++) {
        if (is_first(guard, i)) {
            judge_sum(guard, &guard->cells[i], set, now_ms, &worst);
        }
    }
    return worst.verdict;
}
