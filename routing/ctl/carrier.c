/* carrier: which carrier a number would go to, and which row says so.
 *
 *   question ──ask_all──▶ every instance: what it would choose, what each step says and by which row ──▶ do they agree?
 *                            └── a number set in the table: its cell and its change in Redis ──▶ who set it, and when
 */
#include "routing/carrier.h"

#include <stdlib.h>
#include <string.h>

#include "routing/ctl/ask.h"
#include "routing/ctl/cells.h"
#include "routing/ctl/commands.h"
#include "routing/ctl/entry.h"
#include "routing/ctl/number_row.h"
#include "routing/ctl/output.h"
#include "routing/ctl/redis.h"

enum { TON_MAX = 6 }; /* SMPP 3.4, 5.2.5 */

/* "the portability table" of "table". */
static const char *step_text(const char *label)
{
    for (unsigned i = 0; i < CARRIER_STEP_COUNT; i++) {
        if (strcmp(carrier_step_label((enum carrier_step)i), label) == 0) {
            return carrier_step_name((enum carrier_step)i);
        }
    }
    return label;
}

/* "spark 6427": what a step says by itself, and by which of its rows. */
static void step_cell(struct grid *grid, const json_t *answer, const char *step)
{
    const char *carrier = json_member(json_object_get(answer, "by"), step);
    const char *row = json_member(json_object_get(answer, "rows"), step);
    grid_cell(grid, "%s%s%s", *carrier ? carrier : "-", *row ? " " : "", row);
}

static void show_choices(const struct ask *ask)
{
    static const struct column columns[] = {
        {"INSTANCE", false},        {"CARRIER", false}, {"BY", false},     {"SET", false},
        {"OVERRIDE", false},        {"TABLE", false},   {"PREFIX", false}, {"DEFAULT", false},
        {"TABLE'S VERSION", false}, {"", false}};
    struct grid *grid = grid_new(columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < ask->count; i++) {
        const struct ask_item *item = &ask->items[i];
        const char *carrier = json_member(item->answer, "carrier");
        bool fine = !ask_failed(item);
        grid_cell(grid, "%s", item->instance);
        grid_cell(grid, "%s", fine ? (*carrier ? carrier : "-") : "");
        grid_cell(grid, "%s", fine ? step_text(json_member(item->answer, "step")) : "");
        for (unsigned step = CARRIER_BY_SET; step < CARRIER_BY_NONE; step++) {
            if (fine) {
                step_cell(grid, item->answer, carrier_step_label((enum carrier_step)step));
            } else {
                grid_cell(grid, "%s", "");
            }
        }
        grid_cell(grid, "%s", json_member(json_object_get(item->answer, "table"), "version"));
        grid_cell(grid, "%s", fine ? "" : ask_failed(item));
    }
    grid_print(grid, stdout, "");
    grid_free(grid);
}

/* --- who set it -------------------------------------------------------------------------------------------- */

/* {"carrier", "changed_ms", "version", "who", "why"} of a number's own row; NULL where it has none. The change may not
 * be kept any more: then nobody is named. */
static json_t *set_json(const struct cell *cell, const redisReply *entries)
{
    const redisReply *entry = entries && entries->elements > 0 ? entries->element[0] : NULL;
    bool known = entry && entry_fine(entry);
    json_t *object = need(json_object());
    json_put(object, "carrier", json_text(cell->platform));
    json_put(object, "changed_ms", json_integer((json_int_t)cell->changed_ms));
    json_put(object, "version", json_integer((json_int_t)cell->version));
    json_put(object, "who", json_text(known ? entry_field(entry, "who") : ""));
    json_put(object, "why", json_text(known ? entry_field(entry, "why") : ""));
    return object;
}

/* False where Redis failed. */
static bool read_set(struct ctl *ctl, const char *digits, json_t **set)
{
    char row[NUMBER_ROW_SIZE];
    struct cell cell = {0};
    if (!number_row_of(digits, row)) {
        return true;
    }
    const char *const get[] = {"HGET", redis_key(ctl->redis, "route:%s", row), NUMBER_NAME};
    redisReply *reply = redis_call(ctl->redis, get, 3);
    bool fine = reply != NULL;
    if (fine && reply->str && cell_parse(&cell, reply->str)) {
        redisReply *entries = entry_read(ctl->redis, cell.version);
        fine = entries != NULL;
        *set = fine ? set_json(&cell, entries) : NULL;
        freeReplyObject(entries);
    }
    freeReplyObject(reply);
    return fine;
}

/* --- all together ------------------------------------------------------------------------------------------ */

static const json_t *first_answer(const struct ask *ask)
{
    for (size_t i = 0; i < ask->count; i++) {
        if (!ask_failed(&ask->items[i])) {
            return ask->items[i].answer;
        }
    }
    return NULL;
}

static void show_set(const json_t *set)
{
    char when[TIME_TEXT_SIZE];
    printf("Set to %s at %s, version %lld", json_member(set, "carrier"),
           time_text((uint64_t)json_integer_value(json_object_get(set, "changed_ms")), when),
           (long long)json_integer_value(json_object_get(set, "version")));
    if (*json_member(set, "who")) {
        fputs(", by ", stdout);
        text_print(stdout, json_member(set, "who"));
    }
    if (*json_member(set, "why")) {
        fputs(": ", stdout);
        text_print(stdout, json_member(set, "why"));
    }
    putchar('\n');
}

static void show_tlv_clients(const json_t *answer)
{
    const json_t *clients = json_object_get(answer, "tlv_clients");
    long long more = json_integer_value(json_object_get(answer, "tlv_clients_left_out"));
    size_t i;
    json_t *client;
    json_array_foreach(clients, i, client)
    {
        fputs(i == 0 ? "Before all this comes what these clients say themselves (carrier-tlv): " : ", ",
              stdout);
        text_print(stdout, json_string_value(client));
    }
    if (json_array_size(clients) > 0) {
        printf(more > 0 ? " and %lld more\n" : "\n", more);
    }
}

static void show_rest(const struct ask *ask, const char *number, const json_t *set)
{
    const json_t *answer = first_answer(ask);
    const char *read = json_member(answer, "read");
    if (answer && strcmp(read, number + (*number == '+')) != 0) {
        printf("%s is looked up as %s.\n", number, read);
    }
    if (set) {
        show_set(set);
    }
    show_tlv_clients(answer);
}

/* "a: spark, b: onenz", to be freed: what those say who answered. inner is as in disagree. */
static char *all_say(const struct ask *ask, const char *inner, const char *member)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = need(open_memstream(&text, &size));
    for (size_t i = 0; i < ask->count; i++) {
        const json_t *answer = ask->items[i].answer;
        const char *says = json_member(inner ? json_object_get(answer, inner) : answer, member);
        if (!ask_failed(&ask->items[i])) {
            fprintf(out, "%s%s: %s", ftell(out) > 0 ? ", " : "", ask->items[i].instance,
                    *says ? says : "none");
        }
    }
    fclose(out);
    return need(text);
}

/* Do two of those who answered say different things in a member of a member (inner NULL: of the answer itself)? */
static bool disagree(const struct ask *ask, const char *inner, const char *member)
{
    const json_t *first = first_answer(ask);
    const char *its = json_member(inner ? json_object_get(first, inner) : first, member);
    for (size_t i = 0; first && i < ask->count; i++) {
        const json_t *answer = ask->items[i].answer;
        const char *says = json_member(inner ? json_object_get(answer, inner) : answer, member);
        if (!ask_failed(&ask->items[i]) && strcmp(says, its) != 0) {
            return true;
        }
    }
    return false;
}

/* What decides must be the same everywhere, not only the carrier by chance. */
static enum ctl_exit judge(struct ctl *ctl, const struct ask *ask)
{
    static const struct {
        const char *inner, *member, *shown, *what;
    } same[] = {{NULL, "carrier", "carrier", "they would send to different carriers"},
                {NULL, "read", "read", "they look different numbers up"},
                {NULL, "step", "step", "different steps decide"},
                {"table", "checksum", "version", "their portability tables differ"},
                {NULL, "row", "row", "different rows decide"}};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        if (disagree(ask, same[i].inner, same[i].member)) {
            char *text = all_say(ask, same[i].inner, same[i].shown);
            enum ctl_exit code =
                ctl_fail(ctl, CTL_FAILED, NULL, "THE INSTANCES DO NOT AGREE: %s (%s)", same[i].what, text);
            free(text);
            return code;
        }
    }
    unsigned failed = 0;
    for (size_t i = 0; i < ask->count; i++) {
        failed += ask_failed(&ask->items[i]) != NULL;
    }
    return failed == 0 ? CTL_DONE
                       : ctl_fail(ctl, CTL_INCOMPLETE, NULL, "%u living instance%s did not answer", failed,
                                  plural(failed));
}

static enum ctl_exit show(struct ctl *ctl, const struct ask *ask, const char *number)
{
    const json_t *answer = first_answer(ask);
    json_t *set = NULL;
    if (!read_set(ctl, answer ? json_member(answer, "read") : number, &set)) {
        return ctl_redis_failed(ctl);
    }
    if (!ctl->options.json && ask->count > 0) {
        show_choices(ask);
        show_rest(ask, number, set);
    } else if (!ctl->options.json) {
        puts("No instance is alive.");
    }
    ctl_answer(ctl, "set", set ? set : json_null());
    ctl_answer(ctl, "instances", ask_json(ask));
    ctl_answer(ctl, "ms", json_real((double)ask->took_us / 1000));
    return judge(ctl, ask);
}

/* What a message's address may be, and be looked up: what follows the first digit is whatever a client may send. */
static bool may_be_sent(const char *number)
{
    bool fine = strlen(number) <= SHORTCODE_LEN_MAX;
    number += *number == '+';
    fine = fine && *number >= '0' && *number <= '9';
    for (; fine && *number; number++) {
        fine = *number > ' ' && *number <= '~' && *number != '+';
    }
    return fine;
}

enum ctl_exit run_carrier(struct ctl *ctl)
{
    const char *number = ctl->args[0];
    struct ask ask;
    if (!may_be_sent(number)) {
        return ctl_fail(ctl, CTL_USAGE, NULL,
                        "%.40s is no number: up to %d characters, a digit first, with or without + before it",
                        number, SHORTCODE_LEN_MAX);
    }
    if (ctl->options.ton > TON_MAX) {
        return ctl_fail(ctl, CTL_USAGE, NULL, "--ton is 0 to %d", TON_MAX);
    }
    ctl_answer(ctl, "number", json_text(number));
    json_t *request =
        need(json_pack("{s:s, s:s, s:i}", "kind", "carrier", "number", number, "ton", (int)ctl->options.ton));
    enum ctl_exit code = ask_all(ctl, request, 0, &ask) ? show(ctl, &ask, number) : ctl_redis_failed(ctl);
    json_decref(request);
    ask_free(&ask);
    return code;
}
