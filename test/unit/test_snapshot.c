/* snapshot.c: what is written is read back; a file that is not exactly that is refused; a failed write leaves
 * the older file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "routing/journal.h"
#include "routing/snapshot.h"

#define CHAIN "0123456789abcdef0123456789abcdef01234567"

#define CHAIN_2 "1123456789abcdef0123456789abcdef01234567"
#define CHAIN_3 "2123456789abcdef0123456789abcdef01234567"

static char directory[64], path[96], journal[112];

static int setup(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/turnout-snapshot-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/table.json", directory);
    snprintf(journal, sizeof(journal), "%s.journal", path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    unlink(journal);
    return rmdir(directory);
}

static struct table *some_table(struct names *names, unsigned rows, uint64_t version)
{
    static const char *const platforms[] = {"redx", "omni"}, *const carriers[] = {"spark", "onenz", "2d",
                                                                                  "skinny"};
    struct table_builder *builder = table_edit(NULL);
    char code[SHORTCODE_LEN_MAX + 1];
    for (unsigned i = 0; i < rows; i++)
        for (unsigned c = 0; c < 4; c++) {
            struct route route = {names_intern(names, platforms[(i + c) % 2]),
                                  (uint8_t)(i % ROUTE_STATE_COUNT),
                                  i % 3 == 0 ? NAME_NONE : names_intern(names, "redx"),
                                  i % 7 == 0 ? names_intern(names, "omni") : NAME_NONE, 1700000000 + i};
            snprintf(code, sizeof(code), i % 5 == 4 ? "B\\\"%u" : "%05u", i);
            assert_true(table_set(builder, code, names_intern(names, carriers[c]), &route));
        }
    return table_done(builder, version);
}

struct comparison {
    const struct table *other;
    const struct names *names, *other_names;
    size_t cells;
};

static bool same_there(void *ctx, const char *shortcode, uint8_t carrier, const struct route *route)
{
    struct comparison *comparison = ctx;
    struct route found;
    uint8_t there = names_find(comparison->other_names, names_get(comparison->names, carrier));
    assert_true(table_cell(comparison->other, shortcode, there, &found));
    assert_string_equal(names_get(comparison->names, route->platform),
                        names_get(comparison->other_names, found.platform));
    assert_string_equal(names_get(comparison->names, route->previous),
                        names_get(comparison->other_names, found.previous));
    assert_string_equal(names_get(comparison->names, route->next),
                        names_get(comparison->other_names, found.next));
    assert_int_equal(route->state, found.state);
    assert_int_equal(route->changed, found.changed);
    comparison->cells++;
    return true;
}

static void round_trip(unsigned rows, uint64_t version, const char *chain)
{
    char reason[200] = "", chain_read[CHAIN_LEN + 1];
    struct names names = {0}, fresh = {0};
    struct table *table = some_table(&names, rows, version), *read = NULL;
    assert_true(snapshot_write(path, table, chain, &names, reason, sizeof(reason)));
    names_intern(&fresh, "another first name"); /* refused: blanks */
    names_intern(&fresh, "zulu");               /* so that numbers differ */
    assert_int_equal(snapshot_read(path, &fresh, &read, chain_read, reason, sizeof(reason)), SNAPSHOT_READ);
    assert_true(table_version(read) == version);
    assert_string_equal(chain_read, chain);
    assert_int_equal(table_count(read), table_count(table));
    struct comparison comparison = {read, &names, &fresh, 0};
    table_each(table, same_there, &comparison);
    assert_int_equal(comparison.cells, rows * 4);
    table_free(table);
    table_free(read);
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    round_trip(0, 0, "");
    round_trip(0, 3, CHAIN);
    round_trip(1, 1, CHAIN);
    round_trip(1000, UINT64_C(9007199254740991), CHAIN);
}

/* --- the journal ---------------------------------------------------------------------------------------- */

/* base without row 00003, with another platform in 00005, and a new row. */
static struct table *changed_table(const struct table *base, struct names *names, uint64_t version)
{
    struct table_builder *builder = table_edit(base);
    struct route route = {names_intern(names, "third"), ROUTE_HOLD, NAME_NONE, NAME_NONE, 1700000777};
    for (unsigned carrier = 0; carrier < NAMES_MAX; carrier++)
        assert_true(table_unset(builder, "00003", (uint8_t)carrier));
    assert_true(table_set(builder, "00005", names_find(names, "spark"), &route));
    assert_true(table_set(builder, "new\"one", names_find(names, "2d"), &route));
    return table_done(builder, version);
}

struct history {
    struct names names;
    struct table *first, *second;
    size_t octets;
};

static void history_write(struct history *h)
{
    char reason[200] = "";
    *h = (struct history){.octets = 0};
    h->first = some_table(&h->names, 300, 7);
    h->second = changed_table(h->first, &h->names, 8);
    assert_true(snapshot_write(path, h->first, CHAIN, &h->names, reason, sizeof(reason)));
    assert_false(journal_exists(path));
    assert_true(journal_append(path, h->first, h->second, CHAIN_2, &h->names, &h->octets));
    assert_true(journal_exists(path));
}

static void history_free(struct history *h)
{
    table_free(h->first);
    table_free(h->second);
    journal_remove(path);
}

static enum snapshot_result read_back(struct names *names, struct table **table, char chain[CHAIN_LEN + 1])
{
    char reason[300] = "";
    *table = NULL;
    return snapshot_read(path, names, table, chain, reason, sizeof(reason));
}

static void assert_same(const struct table *read, const struct names *its, const struct table *table,
                        const struct names *names)
{
    struct comparison comparison = {read, names, its, 0};
    assert_true(table_version(read) == table_version(table));
    assert_int_equal(table_count(read), table_count(table));
    table_each(table, same_there, &comparison);
}

static void the_journal_is_read_with_the_snapshot(void **state)
{
    (void)state;
    struct history h;
    struct names fresh = {0};
    struct table *read;
    char chain[CHAIN_LEN + 1], reason[200];
    history_write(&h);
    assert_in_range(h.octets, 100, 1500); /* three rows, not three hundred */
    assert_int_equal(read_back(&fresh, &read, chain), SNAPSHOT_READ);
    assert_string_equal(chain, CHAIN_2);
    assert_same(read, &fresh, h.second, &h.names);
    table_free(read);

    struct table_builder *builder = table_edit(h.second); /* and on, by a second line */
    assert_true(table_unset(builder, "new\"one", names_find(&h.names, "2d")));
    struct table *third = table_done(builder, 12);
    assert_true(journal_append(path, h.second, third, CHAIN_3, &h.names, &h.octets));
    assert_int_equal(read_back(&fresh, &read, chain), SNAPSHOT_READ);
    assert_string_equal(chain, CHAIN_3);
    assert_same(read, &fresh, third, &h.names);
    table_free(read);

    /* a process that ended after the snapshot, before it removed the journal */
    assert_true(snapshot_write(path, third, CHAIN_3, &h.names, reason, sizeof(reason)));
    assert_int_equal(read_back(&fresh, &read, chain), SNAPSHOT_READ);
    assert_same(read, &fresh, third, &h.names);
    table_free(read);
    table_free(third);
    history_free(&h);
}

static void a_line_cut_off_counts_as_not_written(void **state)
{
    (void)state;
    struct history h;
    struct table *read;
    char chain[CHAIN_LEN + 1];
    history_write(&h);
    for (off_t len = (off_t)h.octets - 1; len >= 0; len--) {
        struct names fresh = {0};
        assert_int_equal(truncate(journal, len), 0);
        assert_int_equal(read_back(&fresh, &read, chain), SNAPSHOT_READ);
        assert_string_equal(chain, CHAIN);
        assert_same(read, &fresh, h.first, &h.names);
        table_free(read);
    }
    history_free(&h);
}

static void a_damaged_journal_is_refused(void **state)
{
    (void)state;
#define LINE(from, version, rest) \
    "{\"from\": " #from ", \"version\": " #version ", \"chain\": \"" CHAIN_2 "\", \"rows\": " rest "}\n"
    static const char *const bad[] = {
        "\n",
        "{}\n",
        "not JSON\n",
        LINE(7, 8, "[]"),
        LINE(7, 7, "{}"),
        LINE(6, 8, "{}"),                                        /* is of another history */
        LINE(9, 10, "{}"),                                       /* something is missing */
        LINE(7, 8, "{\"1\": {\"spark\": \"redx ajar - 5 8\"}}"), /* is no cell */
        LINE(7, 8, "{\"1\": {\"spark\": 5}}"),
        LINE(7, 8, "{\"123456789012345678901\": {\"spark\": \"redx open - 5 8\"}}"),
        LINE(7, 8, "{}") "}\n",
    };
#undef LINE
    struct history h;
    struct table *read;
    char chain[CHAIN_LEN + 1];
    history_write(&h);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct names fresh = {0};
        FILE *file = fopen(journal, "w");
        assert_non_null(file);
        fputs(bad[i], file);
        fclose(file);
        assert_int_equal(read_back(&fresh, &read, chain), SNAPSHOT_REFUSED);
        assert_null(read);
    }
    history_free(&h);
}

static void what_differs_too_much_is_for_a_snapshot(void **state)
{
    (void)state;
    struct names names = {0};
    struct table *small = some_table(&names, 10, 1), *large = some_table(&names, 60000, 2);
    size_t octets = 0;
    assert_false(journal_append(path, small, large, CHAIN, &names, &octets));
    assert_int_equal(octets, 0);
    assert_false(journal_exists(path));
    assert_false(journal_append("/no/such/directory/table.json", small, small, CHAIN, &names, &octets));
    table_free(small);
    table_free(large);
}

static enum snapshot_result read_text(const char *text, char *reason, size_t size)
{
    char chain[CHAIN_LEN + 1];
    struct names names = {0};
    struct table *table = NULL;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    enum snapshot_result result = snapshot_read(path, &names, &table, chain, reason, size);
    assert_true((result == SNAPSHOT_READ) == (table != NULL));
    table_free(table);
    return result;
}

#define HEAD "{\"format\": \"turnout-table-1\", \"version\": 4, \"chain\": \"" CHAIN "\", "

static void a_file_that_is_not_a_snapshot_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        HEAD "\"rows\": {}}}",
        HEAD "\"rows\": {}, \"more\": 1}",
        HEAD "\"rows\": []}",
        HEAD "\"rows\": {\"1\": {\"spark\": \"redx open - 5 4\"}, \"1\": {\"spark\": \"omni open - 5 4\"}}}",
        HEAD "\"rows\": {\"1\": {}}}",
        HEAD "\"rows\": {\"1\": \"redx open - 5 4\"}}",
        HEAD "\"rows\": {\"1\": {\"spark\": 5}}}",
        HEAD "\"rows\": {\"1\": {\"spark\": \"redx open -\"}}}",
        HEAD "\"rows\": {\"1\": {\"-\": \"redx open - 5 4\"}}}",
        HEAD "\"rows\": {\"1 2\": {\"spark\": \"redx open - 5 4\"}}}",
        HEAD "\"rows\": {\"123456789012345678901\": {\"spark\": \"redx open - 5 4\"}}}",
        HEAD "\"rows\": {\"1\": {\"spark\": \"redx open - 5 4\"}",
        "{\"format\": \"turnout-table-2\", \"version\": 4, \"chain\": \"" CHAIN "\", \"rows\": {}}",
        "{\"format\": \"turnout-table-1\", \"version\": -4, \"chain\": \"" CHAIN "\", \"rows\": {}}",
        "{\"format\": \"turnout-table-1\", \"version\": \"4\", \"chain\": \"" CHAIN "\", \"rows\": {}}",
        "{\"format\": \"turnout-table-1\", \"version\": 4, \"chain\": \"\", \"rows\": {}}",
        "{\"format\": \"turnout-table-1\", \"version\": 0, \"chain\": \"" CHAIN "\", \"rows\": {}}",
        "{\"format\": \"turnout-table-1\", \"version\": 4, \"chain\": \"0123\", \"rows\": {}}",
        "{\"format\": \"turnout-table-1\", \"version\": 4, \"rows\": {}}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char reason[200] = "";
        if (read_text(bad[i], reason, sizeof(reason)) != SNAPSHOT_REFUSED)
            fail_msg("was read: %s", bad[i]);
        assert_true(reason[0] != '\0');
    }
    char reason[200] = "";
    assert_int_equal(
        read_text(HEAD "\"rows\": {\"1\": {\"spark\": \"redx open - 5 4\"}}}", reason, sizeof(reason)),
        SNAPSHOT_READ);
}

/* A file cut at any place, as a crash of another writer might leave it. */
static void a_cut_file_is_refused(void **state)
{
    (void)state;
    char whole[4096], reason[200];
    struct names names = {0};
    struct table *table = some_table(&names, 3, 4);
    assert_true(snapshot_write(path, table, CHAIN, &names, reason, sizeof(reason)));
    table_free(table);
    FILE *file = fopen(path, "r");
    size_t len = fread(whole, 1, sizeof(whole) - 1, file);
    fclose(file);
    for (size_t cut = 0; cut + 1 < len; cut++) { /* the last octet is the end of the line */
        char part[4096];
        memcpy(part, whole, cut);
        part[cut] = '\0';
        assert_int_equal(read_text(part, reason, sizeof(reason)), SNAPSHOT_REFUSED);
    }
}

static void no_file_is_not_a_fault(void **state)
{
    (void)state;
    char reason[200], chain[CHAIN_LEN + 1];
    struct names names = {0};
    struct table *table = NULL;
    unlink(path);
    assert_int_equal(snapshot_read(path, &names, &table, chain, reason, sizeof(reason)), SNAPSHOT_ABSENT);
    assert_int_equal(snapshot_read(directory, &names, &table, chain, reason, sizeof(reason)),
                     SNAPSHOT_REFUSED);
}

static void a_failed_write_leaves_the_older_file(void **state)
{
    (void)state;
    char reason[300] = "", fresh[128], chain[CHAIN_LEN + 1];
    struct names names = {0};
    struct table *table = some_table(&names, 20, 4), *read = NULL;
    assert_true(snapshot_write(path, table, CHAIN, &names, reason, sizeof(reason)));
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    assert_int_equal(mkdir(fresh, 0700), 0); /* in the way, for root too */
    assert_false(snapshot_write(path, table, CHAIN, &names, reason, sizeof(reason)));
    assert_non_null(strstr(reason, path));
    rmdir(fresh);
    assert_int_equal(snapshot_read(path, &names, &read, chain, reason, sizeof(reason)), SNAPSHOT_READ);
    table_free(read);

    assert_false(snapshot_write("/nowhere/at/all", table, CHAIN, &names, reason, sizeof(reason)));
    assert_true(snapshot_write(path, table, CHAIN, &names, reason, sizeof(reason)));
    assert_int_equal(access(fresh, F_OK), -1);
    table_free(table);
}

/* /dev/full takes nothing: the write itself fails. */
static void a_full_disk_is_reported(void **state)
{
    (void)state;
    char reason[300] = "", fresh[128];
    struct names names = {0};
    struct table *table = some_table(&names, 20, 4);
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    unlink(path);
    assert_int_equal(symlink("/dev/full", fresh), 0);
    assert_false(snapshot_write(path, table, CHAIN, &names, reason, sizeof(reason)));
    assert_non_null(strstr(reason, "No space left"));
    assert_int_equal(access(path, F_OK), -1);
    table_free(table);
}

static void a_large_table_is_quick(void **state)
{
    (void)state;
    char reason[200], chain[CHAIN_LEN + 1];
    struct names names = {0};
    struct table *table = some_table(&names, 100000, 4), *read = NULL;
    struct timespec start, written, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    assert_true(snapshot_write(path, table, CHAIN, &names, reason, sizeof(reason)));
    clock_gettime(CLOCK_MONOTONIC, &written);
    assert_int_equal(snapshot_read(path, &names, &read, chain, reason, sizeof(reason)), SNAPSHOT_READ);
    clock_gettime(CLOCK_MONOTONIC, &end);
    print_message("100,000 x 4: written in %ld ms, read in %ld ms\n",
                  (written.tv_sec - start.tv_sec) * 1000 + (written.tv_nsec - start.tv_nsec) / 1000000,
                  (end.tv_sec - written.tv_sec) * 1000 + (end.tv_nsec - written.tv_nsec) / 1000000);
    assert_int_equal(table_count(read), 100000);
    table_free(table);
    table_free(read);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(the_journal_is_read_with_the_snapshot),
        cmocka_unit_test(a_line_cut_off_counts_as_not_written),
        cmocka_unit_test(a_damaged_journal_is_refused),
        cmocka_unit_test(what_differs_too_much_is_for_a_snapshot),
        cmocka_unit_test(a_file_that_is_not_a_snapshot_is_refused),
        cmocka_unit_test(a_cut_file_is_refused),
        cmocka_unit_test(no_file_is_not_a_fault),
        cmocka_unit_test(a_failed_write_leaves_the_older_file),
        cmocka_unit_test(a_full_disk_is_reported),
        cmocka_unit_test(a_large_table_is_quick),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
