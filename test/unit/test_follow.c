/* follow.c: worlds of a follower and a model of Redis. Some are told step by step; one is random, with
 * histories that fork, shrink, are trimmed and restored, and says what must hold in all of them. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "routing/follow.h"
#include "test/unit/seeded.h"

/* --- a model of Redis ----------------------------------------------------------------------------------- */

enum { CODES = 7, PAGE_CODES = 2, HISTORY_MAX = 4000, FIELDS = 12 };

/* One moment of a history: its number, its fingerprint (a serial number in hex), its rows, and how it came
 * about. */
struct moment {
    uint64_t version;
    char chain[CHAIN_LEN + 1], parent[CHAIN_LEN + 1];
    char platform[CODES]; /* 'a', 'b' ..., or 0 for no cell; carrier c */
    bool restore, garbage;
    int code;
    char from, to;
};

struct model {
    struct moment history[HISTORY_MAX]; /* [0] is the empty start */
    size_t count;
    size_t trimmed; /* moments up to this index are out of the stream */
};

static struct moment all[HISTORY_MAX]; /* every moment that ever was, by serial number of its chain */
static size_t serial;

static void model_start(struct model *model)
{
    memset(model, 0, sizeof(*model));
    model->count = 1;
}

static struct moment *model_last(struct model *model)
{
    return &model->history[model->count - 1];
}

static void model_push(struct model *model, struct moment next)
{
    assert_true(model->count < HISTORY_MAX && serial + 1 < HISTORY_MAX);
    memcpy(next.parent, model_last(model)->chain, sizeof(next.parent));
    snprintf(next.chain, sizeof(next.chain), "%040zx", ++serial);
    all[serial] = next;
    model->history[model->count++] = next;
}

static void model_change(struct model *model, int code, char to)
{
    struct moment next = *model_last(model);
    next.version++;
    next.restore = next.garbage = false;
    next.code = code;
    next.from = next.platform[code];
    next.to = next.platform[code] = to;
    model_push(model, next);
}

/* As turnout_restore does: above its own version and the given one. */
static void model_restore(struct model *model, uint64_t at_least, const struct moment *rows)
{
    struct moment next = *rows;
    uint64_t own = model_last(model)->version;
    next.version = (own > at_least ? own : at_least) + 1;
    next.restore = true;
    next.garbage = false;
    model_push(model, next);
}

/* Back to an earlier moment, as a lagging replica is. */
static void model_cut(struct model *model, size_t count)
{
    model->count = count;
    if (model->trimmed >= count)
        model->trimmed = count - 1;
}

/* --- what the model answers ----------------------------------------------------------------------------- */

struct entry_text {
    const char *fields[FIELDS];
    size_t lens[FIELDS];
    char moves[64];
};

static void entry_make(const struct moment *moment, struct entry_text *text, struct follow_entry *entry)
{
    char from = moment->from, to = moment->to;
    if (from == 0)
        from = '-';
    if (to == 0)
        to = '-';
    snprintf(text->moves, sizeof(text->moves), "10%d c %c %s %c %s -", moment->code, from,
             from == '-' ? "-" : "open", to, to == '-' ? "-" : "open");
    const char *kind = moment->garbage ? "odd" : moment->restore ? "restore" : "set";
    const char *const fields[FIELDS] = {"kind",  kind,          "at",     "1000",
                                        "who",   "w",           "parent", moment->parent,
                                        "chain", moment->chain, "moves",  text->moves};
    for (size_t i = 0; i < FIELDS; i++) {
        text->fields[i] = fields[i];
        text->lens[i] = strlen(fields[i]);
    }
    *entry = (struct follow_entry){moment->version, text->fields, text->lens,
                                   moment->restore ? FIELDS - 2 : FIELDS};
}

/* At most a few at a time, so that batches end in the midst of things. */
static size_t model_changes(struct model *model, struct follow *follow, uint64_t after)
{
    enum { BATCH = 3 };
    struct entry_text texts[BATCH];
    struct follow_entry entries[BATCH];
    size_t count = 0;
    for (size_t i = model->trimmed + 1; i < model->count && count < BATCH; i++)
        if (model->history[i].version > after) {
            entry_make(&model->history[i], &texts[count], &entries[count]);
            count++;
        }
    follow_changes(follow, entries, count);
    return count;
}

static void model_page(struct model *model, struct follow *follow, const char *cursor)
{
    const struct moment *now = model_last(model);
    int from = (int)strtol(cursor, NULL, 10), to = from + PAGE_CODES;
    char codes[PAGE_CODES][20], values[PAGE_CODES][64], next[20];
    const char *text[3 * PAGE_CODES];
    struct follow_page page = {now->version, now->chain, next, 0, text};
    snprintf(next, sizeof(next), "%d", to >= CODES ? 0 : to);
    for (int code = from; code < to && code < CODES; code++) {
        if (now->platform[code] == 0)
            continue;
        size_t n = page.cells++;
        snprintf(codes[n], sizeof(codes[n]), "10%d", code);
        snprintf(values[n], sizeof(values[n]), "%c open - 1000 1", now->platform[code]);
        text[3 * n] = codes[n];
        text[3 * n + 1] = "c";
        text[3 * n + 2] = values[n];
    }
    follow_page(follow, &page);
}

/* --- the follower's side -------------------------------------------------------------------------------- */

struct world {
    struct model *model;
    struct names names;
    struct follow *follow;
    uint64_t published;
    unsigned tables; /* published so far */
};

/* What is published must be exactly the moment whose fingerprint it claims, and newer than the one before. */
static void check_published(struct world *world, const struct table *table)
{
    size_t number = strtoul(follow_chain(world->follow), NULL, 16);
    const struct moment *moment = &all[number];
    uint8_t carrier = names_find(&world->names, "c");
    assert_true(table_version(table) > world->published);
    assert_true(table_version(table) == moment->version);
    for (int code = 0; code < CODES; code++) {
        char text[20], platform[2] = {moment->platform[code], '\0'};
        struct route route;
        snprintf(text, sizeof(text), "10%d", code);
        bool there = table_cell(table, text, carrier, &route);
        assert_int_equal(there, moment->platform[code] != 0);
        assert_true(!there || strcmp(names_get(&world->names, route.platform), platform) == 0);
    }
    world->published = table_version(table);
    world->tables++;
}

static void take(struct world *world)
{
    struct table *table = follow_take(world->follow);
    if (table != NULL)
        check_published(world, table);
    table_free(table);
    assert_null(follow_take(world->follow));
}

/* Asks and answers once. False where it waits: for a change, for a connection, or in a pause. */
static bool step(struct world *world)
{
    struct follow_ask ask = follow_ask(world->follow);
    bool busy = true;
    switch (ask.need) {
    case FOLLOW_NOTHING:
    case FOLLOW_PAUSE: return false;
    case FOLLOW_INFO: {
        const struct moment *last = model_last(world->model);
        follow_info(world->follow, last->version, last->chain);
        break;
    }
    case FOLLOW_PAGE: model_page(world->model, world->follow, ask.cursor); break;
    case FOLLOW_CHANGES:
        /* "none came" is told to one that waits only by poll() */
        if (ask.wait) {
            size_t i = world->model->count - 1;
            busy = i > world->model->trimmed && world->model->history[i].version > ask.after;
        }
        if (busy)
            model_changes(world->model, world->follow, ask.after);
        break;
    }
    take(world);
    return busy;
}

static void settle(struct world *world)
{
    unsigned steps = 0;
    while (step(world))
        assert_true(++steps < 2000);
}

/* The wait of a blocking read ends with nothing, or a pause ends. */
static void poll_again(struct world *world)
{
    struct follow_ask ask = follow_ask(world->follow);
    if (ask.need == FOLLOW_PAUSE)
        follow_resume(world->follow);
    else if (ask.need == FOLLOW_CHANGES && ask.wait)
        follow_changes(world->follow, NULL, 0);
    settle(world);
}

static void world_start(struct world *world, struct model *model)
{
    memset(world, 0, sizeof(*world));
    serial = 0;
    model_start(model);
    world->model = model;
    world->follow = follow_new(&world->names, NULL, "");
    assert_non_null(world->follow);
}

static struct model the_model;

#define assert_following(world, version)                                                   \
    do {                                                                                   \
        assert_string_equal(store_state_name(follow_state((world)->follow)), "following"); \
        assert_true(follow_version((world)->follow) == (version));                         \
    } while (0)

#define assert_refused(world, sentence)                                                  \
    do {                                                                                 \
        assert_string_equal(store_state_name(follow_state((world)->follow)), "refused"); \
        if (strstr(follow_reason((world)->follow), sentence) == NULL)                    \
            fail_msg("%s", follow_reason((world)->follow));                              \
    } while (0)

/* A follower at version n of the model. */
static void world_at(struct world *world, uint64_t n)
{
    world_start(world, &the_model);
    follow_connected(world->follow);
    for (uint64_t i = 0; i < n; i++) {
        model_change(&the_model, (int)(i % CODES), i % 2 == 0 ? 'a' : 'b');
        settle(world);
    }
    assert_following(world, n);
}

static void reconnect(struct world *world)
{
    follow_disconnected(world->follow, "Lost.");
    assert_int_equal(follow_state(world->follow), STORE_CONNECTING);
    assert_int_equal(follow_ask(world->follow).need, FOLLOW_NOTHING);
    follow_connected(world->follow);
    settle(world);
}

/* --- told worlds ---------------------------------------------------------------------------------------- */

static void it_follows_an_empty_redis_from_its_first_change(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, &the_model);
    assert_int_equal(follow_state(world.follow), STORE_CONNECTING);
    follow_connected(world.follow);
    settle(&world);
    assert_following(&world, 0);
    model_change(&the_model, 1, 'a');
    model_change(&the_model, 2, 'b');
    settle(&world);
    assert_following(&world, 2);
    assert_int_equal(world.tables, 1); /* one table for what came together */
    poll_again(&world);
    assert_following(&world, 2);
    assert_int_equal(world.tables, 1);
    follow_free(world.follow);
}

static void it_loads_the_table_while_changes_go_on(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, &the_model);
    for (int i = 0; i < CODES; i++)
        model_change(&the_model, i, 'a');
    follow_connected(world.follow);
    assert_true(step(&world)); /* info */
    assert_true(step(&world)); /* first page */
    assert_int_equal(follow_state(world.follow), STORE_LOADING);
    model_change(&the_model, 0, 'b'); /* in a page that was read */
    model_change(&the_model, 6, 'b'); /* in one that was not */
    model_change(&the_model, 5, 0);
    assert_true(step(&world));
    model_change(&the_model, 1, 'b');
    assert_int_equal(world.tables, 0);
    settle(&world);
    assert_following(&world, 11);
    follow_free(world.follow);
}

/* Between the last page and the changes up to it, Redis is set back and goes another way to the same version.
 */
static void a_page_of_a_history_that_is_gone_is_not_taken(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, &the_model);
    for (int i = 0; i < CODES; i++)
        model_change(&the_model, i, 'a');
    follow_connected(world.follow);
    assert_true(step(&world)); /* info */
    for (int i = 0; i < CODES; i += PAGE_CODES) {
        if (i + PAGE_CODES >= CODES)
            model_change(&the_model, 6, 'b');
        assert_true(step(&world));
    }
    model_cut(&the_model, 8);
    model_change(&the_model, 0, 'c');
    settle(&world);
    assert_following(&world, 8);
    assert_string_equal(follow_chain(world.follow), model_last(&the_model)->chain);
    follow_free(world.follow);
}

static void it_catches_up_after_an_absence(void **state)
{
    (void)state;
    struct world world;
    world_at(&world, 3);
    follow_disconnected(world.follow, "Lost.");
    for (int i = 0; i < 20; i++)
        model_change(&the_model, i % CODES, i % 3 == 0 ? 0 : 'b');
    follow_connected(world.follow);
    assert_true(step(&world));
    assert_true(step(&world));
    assert_int_equal(follow_state(world.follow), STORE_LOADING); /* not up to date yet */
    settle(&world);
    assert_following(&world, 23);
    follow_free(world.follow);
}

static void a_stream_that_was_trimmed_is_made_good_by_a_load(void **state)
{
    (void)state;
    struct world world;
    world_at(&world, 3);
    follow_disconnected(world.follow, "Lost.");
    for (int i = 0; i < 9; i++)
        model_change(&the_model, i % CODES, 'b');
    the_model.trimmed = 8;
    follow_connected(world.follow);
    settle(&world);
    assert_following(&world, 12);

    follow_disconnected(world.follow, "Lost.");
    model_change(&the_model, 0, 'a');
    the_model.trimmed = the_model.count - 1; /* nothing is left of it */
    follow_connected(world.follow);
    settle(&world);
    assert_following(&world, 13);
    follow_free(world.follow);
}

static void an_older_redis_is_refused_until_the_right_one_is_back(void **state)
{
    (void)state;
    static struct model kept;
    struct world world;
    world_at(&world, 9);
    kept = the_model;
    model_cut(&the_model, 5);
    reconnect(&world);
    assert_refused(&world, "Redis is at version 4, but this instance serves version 9");
    poll_again(&world);
    assert_refused(&world, "turnoutctl route restore");
    model_change(&the_model, 0, 'b');
    settle(&world);
    poll_again(&world);
    assert_refused(&world, "Redis is at version 5");
    assert_int_equal(follow_version(world.follow), 9);

    the_model = kept;
    poll_again(&world);
    assert_following(&world, 9);
    model_change(&the_model, 0, 'b');
    settle(&world);
    assert_following(&world, 10);
    follow_free(world.follow);
}

static void an_empty_redis_is_refused_until_a_restore(void **state)
{
    (void)state;
    struct world world;
    world_at(&world, 6);
    struct moment rows = *model_last(&the_model);
    model_start(&the_model);
    reconnect(&world);
    assert_refused(&world, "Redis is empty, but this instance serves version 6");

    model_restore(&the_model, 3, &rows); /* from a file too old: version 4 */
    settle(&world);
    poll_again(&world);
    assert_refused(&world, "Redis is at version 4");

    rows.platform[2] = 'z';
    model_restore(&the_model, 6, &rows);
    settle(&world);
    assert_following(&world, 7);
    model_change(&the_model, 1, 'q');
    settle(&world);
    assert_following(&world, 8);
    follow_free(world.follow);
}

static void another_history_is_refused_at_the_same_version_and_beyond(void **state)
{
    (void)state;
    struct world world;
    world_at(&world, 6);
    model_cut(&the_model, 6);
    model_change(&the_model, 0, 'x'); /* 6 again, but not ours */
    reconnect(&world);
    assert_refused(&world, "its change 6 does not continue the table");
    for (int i = 0; i < 10; i++)
        model_change(&the_model, 1, 'y');
    settle(&world);
    poll_again(&world);
    assert_refused(&world, "another history");
    reconnect(&world);
    assert_refused(&world, "its change 7 does not continue");
    assert_int_equal(follow_version(world.follow), 6);
    assert_int_equal(follow_desired(world.follow), 16);

    struct moment rows = *model_last(&the_model);
    model_restore(&the_model, 0, &rows);
    model_change(&the_model, 2, 'y');
    settle(&world);
    assert_following(&world, 18);
    follow_free(world.follow);
}

/* The fork stands before the restore in the stream: the way to it leads past changes that do not follow. */
static void a_restore_behind_another_history_is_found(void **state)
{
    (void)state;
    struct world world;
    world_at(&world, 6);
    follow_disconnected(world.follow, "Lost.");
    model_cut(&the_model, 4);
    for (int i = 0; i < 20; i++)
        model_change(&the_model, 0, i % 2 ? 'x' : 'y');
    model_restore(&the_model, 0, model_last(&the_model));
    model_change(&the_model, 1, 'x');
    follow_connected(world.follow);
    settle(&world);
    assert_following(&world, 25);
    follow_free(world.follow);
}

static void redis_set_back_under_a_living_connection_is_noticed(void **state)
{
    (void)state;
    struct world world;
    world_at(&world, 6);
    follow_beat(world.follow, 5, 5); /* an answer from before the last change: no harm */
    assert_following(&world, 6);
    model_start(&the_model);
    follow_beat(world.follow, 6, 0);
    assert_refused(&world, "Redis is empty");
    settle(&world);
    poll_again(&world);
    assert_refused(&world, "Redis is empty");
    model_restore(&the_model, 6, &all[3]);
    settle(&world);
    assert_following(&world, 7);

    model_cut(&the_model, 1);
    poll_again(&world); /* or by the next look, without a beat */
    assert_refused(&world, "Redis is empty");
    follow_free(world.follow);
}

static void an_entry_that_cannot_be_understood_is_passed_by_a_load(void **state)
{
    (void)state;
    struct world world;
    world_at(&world, 6);
    model_change(&the_model, 3, 'k');
    model_last(&the_model)->garbage = true;
    settle(&world);
    assert_following(&world, 7);
    const char *trouble = follow_trouble(world.follow);
    assert_non_null(trouble);
    assert_string_equal(trouble, "Change 7 cannot be understood: its kind is not known.");
    assert_null(follow_trouble(world.follow));
    follow_free(world.follow);
}

static void too_many_names_stop_it_but_not_the_table(void **state)
{
    (void)state;
    struct world world;
    world_at(&world, 6);
    world.names.count = NAMES_MAX;
    model_change(&the_model, 3, 'n');
    settle(&world);
    assert_refused(&world, "Change 7 cannot be applied");
    assert_int_equal(follow_ask(world.follow).need, FOLLOW_PAUSE);
    poll_again(&world);
    assert_refused(&world, "Change 7 cannot be applied");
    the_model.trimmed = the_model.count - 1;
    poll_again(&world);
    assert_refused(&world, "Redis' row 103 has a cell that cannot be taken");
    assert_int_equal(follow_version(world.follow), 6);
    world.names.count = 3;
    poll_again(&world);
    assert_following(&world, 7);
    follow_free(world.follow);
}

static void a_table_that_never_holds_still_is_left_for_a_while(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, &the_model);
    model_change(&the_model, 0, 'a');
    follow_connected(world.follow);
    for (int i = 0; i < 200 && follow_ask(world.follow).need != FOLLOW_PAUSE; i++) {
        model_change(&the_model, i % CODES, i % 2 ? 'a' : 'b');
        the_model.trimmed = the_model.count - 1; /* and no stream to catch up by */
        step(&world);
    }
    assert_int_equal(follow_ask(world.follow).need, FOLLOW_PAUSE);
    poll_again(&world);
    assert_following(&world, the_model.count - 1);
    follow_free(world.follow);
}

static void errors_and_stale_answers_do_no_harm(void **state)
{
    (void)state;
    struct world world;
    world_at(&world, 6);
    follow_info(world.follow, 0, ""); /* nobody asked */
    follow_page(world.follow, &(struct follow_page){9, "", "0", 0, NULL});
    assert_following(&world, 6);
    follow_error(world.follow, "LOADING Redis is loading the dataset in memory");
    assert_int_equal(follow_state(world.follow), STORE_LOADING);
    assert_non_null(strstr(follow_reason(world.follow), "loading the dataset"));
    poll_again(&world);
    assert_following(&world, 6);
    follow_disconnected(world.follow, "Lost.");
    follow_changes(world.follow, NULL, 0);
    follow_error(world.follow, "late");
    follow_resume(world.follow);
    assert_int_equal(follow_ask(world.follow).need, FOLLOW_NOTHING);
    assert_string_equal(follow_reason(world.follow), "Lost.");
    follow_free(world.follow);
    follow_free(NULL);
}

static void it_starts_from_a_table_on_disk(void **state)
{
    (void)state;
    struct world world;
    world_at(&world, 6);
    struct table *saved = table_clone(follow_table(world.follow));
    char chain[CHAIN_LEN + 1];
    snprintf(chain, sizeof(chain), "%s", follow_chain(world.follow));
    follow_free(world.follow);

    model_change(&the_model, 0, 'n');
    world.follow = follow_new(&world.names, saved, chain);
    assert_null(follow_take(world.follow)); /* the caller has it already */
    follow_connected(world.follow);
    settle(&world);
    assert_following(&world, 7);
    assert_int_equal(world.tables, 7); /* by the change alone */
    follow_free(world.follow);
}

/* --- a random world ------------------------------------------------------------------------------------- */

static bool is_ours(const struct model *model, const struct world *world)
{
    for (size_t i = 0; i < model->count; i++)
        if (model->history[i].version == follow_version(world->follow))
            return strcmp(model->history[i].chain, follow_chain(world->follow)) == 0;
    return false;
}

static void disturb(struct world *world)
{
    struct model *model = world->model;
    switch (any_of(16)) {
    case 0: model->trimmed = any_of((unsigned)model->count); break;
    case 1: model_cut(model, 1 + any_of((unsigned)model->count)); break;
    case 2: model_restore(model, follow_desired(world->follow), &all[any_of((unsigned)(serial + 1))]); break;
    case 3: follow_disconnected(world->follow, "Lost."); break;
    case 4: follow_connected(world->follow); break;
    case 5: follow_beat(world->follow, follow_version(world->follow), model_last(model)->version); break;
    case 6: poll_again(world); break;
    case 7: model_last(model)->garbage = model->count > 1 && any_of(4) == 0; break;
    default: model_change(model, (int)any_of(CODES), "\0abcde"[any_of(6)]); break;
    }
}

static void whatever_happens_the_table_goes_forward_only(void **state)
{
    (void)state;
    unsigned refused = 0, tables = 0;
    for (unsigned seed = 1; seed <= 300; seed++) {
        struct world world;
        seeded(seed);
        world_start(&world, &the_model);
        for (int i = 0; i < 300; i++) {
            disturb(&world);
            for (unsigned n = any_of(4); n > 0; n--)
                step(&world); /* checks each table: newer, and exactly a moment that was */
            (void)follow_trouble(world.follow);
        }
        reconnect(&world);
        poll_again(&world);
        /* In the end it is up to date, or refused for a reason that is true; a restore mends it. */
        if (follow_state(world.follow) == STORE_REFUSED) {
            assert_false(is_ours(&the_model, &world));
            refused++;
            model_restore(&the_model, follow_desired(world.follow), model_last(&the_model));
            settle(&world);
        }
        assert_following(&world, model_last(&the_model)->version);
        assert_string_equal(follow_chain(world.follow), model_last(&the_model)->chain);
        tables += world.tables;
        follow_free(world.follow);
    }
    print_message("300 worlds: %u tables published, %u ended refused and were mended\n", tables, refused);
    assert_true(refused > 20 && tables > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_follows_an_empty_redis_from_its_first_change),
        cmocka_unit_test(it_loads_the_table_while_changes_go_on),
        cmocka_unit_test(a_page_of_a_history_that_is_gone_is_not_taken),
        cmocka_unit_test(it_catches_up_after_an_absence),
        cmocka_unit_test(a_stream_that_was_trimmed_is_made_good_by_a_load),
        cmocka_unit_test(an_older_redis_is_refused_until_the_right_one_is_back),
        cmocka_unit_test(an_empty_redis_is_refused_until_a_restore),
        cmocka_unit_test(another_history_is_refused_at_the_same_version_and_beyond),
        cmocka_unit_test(a_restore_behind_another_history_is_found),
        cmocka_unit_test(redis_set_back_under_a_living_connection_is_noticed),
        cmocka_unit_test(an_entry_that_cannot_be_understood_is_passed_by_a_load),
        cmocka_unit_test(too_many_names_stop_it_but_not_the_table),
        cmocka_unit_test(a_table_that_never_holds_still_is_left_for_a_while),
        cmocka_unit_test(errors_and_stale_answers_do_no_harm),
        cmocka_unit_test(it_starts_from_a_table_on_disk),
        cmocka_unit_test(whatever_happens_the_table_goes_forward_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
