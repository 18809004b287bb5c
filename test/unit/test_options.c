/* The option table: every row is sound, every range holds at both ends and not beyond, and the reference
 * shows every row. The loops are over the table itself, so that a new row is tested by being there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/config.h"
#include "proxy/options.h"

/* Room for the struct of any section. */
union fields {
    struct config config;
    struct config_listener listener;
    struct config_carrier carrier;
    struct config_link link;
    struct config_client client;
    struct config_upstream upstream;
};

static union fields *new_fields(void)
{
    union fields *fields = calloc(1, sizeof *fields);
    assert_non_null(fields);
    return fields;
}

static void free_fields(enum option_section section, union fields *fields)
{
    options_free(section, fields);
    free(fields);
}

static bool is_quantity(const struct option_row *row)
{
    return row->type == OPTION_INTEGER || row->type == OPTION_SIZE || row->type == OPTION_DURATION;
}

static uint64_t number_in(const struct option_row *row, const union fields *fields)
{
    const char *at = (const char *)fields + row->offset;
    uint64_t u64 = 0;
    uint32_t u32 = 0;
    uint16_t u16 = 0;
    switch (row->width) {
    case 1: return *(const uint8_t *)at;
    case 2: memcpy(&u16, at, sizeof u16); return u16;
    case 4: memcpy(&u32, at, sizeof u32); return u32;
    default: memcpy(&u64, at, sizeof u64); return u64;
    }
}

/* What option_parse says of a text; *number is what it stored. */
static const char *try_text(const struct option_row *row, const char *text, uint64_t *number)
{
    union fields *fields = new_fields();
    const char *wrong = option_parse(row, text, fields);
    *number = is_quantity(row) || row->words != NULL || row->type == OPTION_STATUS || row->type == OPTION_TAG
                  ? number_in(row, fields)
                  : 0;
    free_fields(row->section, fields);
    return wrong;
}

static const struct option_row *row_of(enum option_section section, const char *name)
{
    for (const struct option_row *row = options_next(section, NULL); row; row = options_next(section, row)) {
        if (strcmp(row->name, name) == 0)
            return row;
    }
    fail_msg("no option %s", name);
    return NULL;
}

/* The unit in which every limit of a type is a whole number. */
static uint64_t smallest(const struct option_row *row)
{
    return row->type == OPTION_DURATION ? 1000 : 1;
}

static const char *smallest_name(const struct option_row *row)
{
    return row->type == OPTION_DURATION ? "us" : "";
}

static void check_end(const struct option_row *row, uint64_t value, bool allowed)
{
    char text[64];
    snprintf(text, sizeof text, "%" PRIu64 "%s", value, smallest_name(row));
    uint64_t stored = 0;
    const char *wrong = try_text(row, text, &stored);
    if (allowed != (wrong == NULL))
        fail_msg("%s = %s: %s", row->name, text, wrong == NULL ? "taken" : wrong);
    if (allowed)
        assert_int_equal(stored, value * smallest(row));
    else
        assert_string_equal(wrong, "is out of range");
}

static void test_every_range_holds_at_its_ends(void **state)
{
    (void)state;
    unsigned seen = 0;
    for (size_t i = 0; i < option_rows_count; i++) {
        const struct option_row *row = &option_rows[i];
        if (!is_quantity(row))
            continue;
        check_end(row, row->min / smallest(row), true);
        check_end(row, row->max / smallest(row), true);
        check_end(row, row->max / smallest(row) + 1, false);
        if (row->min > 0)
            check_end(row, row->min / smallest(row) - 1, false);
        seen++;
    }
    assert_true(seen > 30);
}

static void test_every_text_has_its_length(void **state)
{
    (void)state;
    char text[8192];
    for (size_t i = 0; i < option_rows_count; i++) {
        const struct option_row *row = &option_rows[i];
        uint64_t none = 0;
        if (row->type != OPTION_TEXT && row->type != OPTION_SECRET && row->type != OPTION_LIST)
            continue;
        assert_true(row->max > 0 && row->max < sizeof text - 1);
        memset(text, '7', sizeof text);
        text[row->max] = '\0';
        assert_null(try_text(row, text, &none));
        text[row->max] = '7';
        text[row->max + 1] = '\0';
        assert_string_equal(try_text(row, text, &none), "is too long");
        const char *empty = try_text(row, "", &none);
        assert_true(row->min == 0 ? empty == NULL : strcmp(empty, "is empty") == 0);
    }
}

static void test_every_word_is_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < option_rows_count; i++) {
        const struct option_row *row = &option_rows[i];
        uint64_t stored = 0;
        for (const struct option_word *w = row->words; w != NULL && w->word != NULL; w++) {
            assert_null(try_text(row, w->word, &stored));
            assert_int_equal(stored, w->value);
        }
        if (row->words != NULL)
            assert_string_equal(try_text(row, "sideways", &stored), "is unknown");
    }
}

static void test_every_default_is_allowed(void **state)
{
    (void)state;
    for (size_t i = 0; i < option_rows_count; i++) {
        const struct option_row *row = &option_rows[i];
        union fields *fields = new_fields();
        assert_null(option_default(row, fields));
        assert_false(row->required && row->standard != NULL);
        free_fields(row->section, fields);
    }
}

/* A number that its field cannot hold would be cut without a word. */
static void test_every_field_holds_its_range(void **state)
{
    (void)state;
    for (size_t i = 0; i < option_rows_count; i++) {
        const struct option_row *row = &option_rows[i];
        if (is_quantity(row) && row->width < sizeof(uint64_t))
            assert_true(row->max >> (8 * row->width) == 0);
        if (row->type <= OPTION_ADDRESS)
            assert_int_equal(row->width, sizeof(char *));
        if (row->type == OPTION_STATUS)
            assert_int_equal(row->width, sizeof(uint32_t));
        if (option_is_list(row) && row->type != OPTION_LIST)
            assert_false(row->restart); /* option_equal does not know these */
    }
}

/* These sockets are opened once, at the start. */
static void test_redis_and_admin_need_a_restart(void **state)
{
    (void)state;
    for (size_t i = 0; i < option_rows_count; i++) {
        const struct option_row *row = &option_rows[i];
        if (row->section == SECTION_REDIS || row->section == SECTION_ADMIN)
            assert_true(row->restart);
        if (row->section == SECTION_CLIENT || row->section == SECTION_LINK || row->section == SECTION_CARRIER)
            assert_false(row->restart);
    }
}

static void test_every_name_is_there_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < option_rows_count; i++) {
        for (size_t j = 0; j < i; j++)
            assert_false(option_rows[i].section == option_rows[j].section &&
                         strcmp(option_rows[i].name, option_rows[j].name) == 0);
        assert_true(strlen(option_rows[i].help) > 5);
        assert_null(strchr(option_rows[i].help, '|')); /* would end a cell of the Markdown table */
    }
}

static void test_units(void **state)
{
    (void)state;
    static const struct {
        enum option_section section;
        const char *name, *text;
        uint64_t value;
    } good[] = {
        {SECTION_CLIENT, "hold-budget", "1500ms", 1500000000},
        {SECTION_CLIENT, "hold-budget", "2s", 2000000000},
        {SECTION_CLIENT, "hold-budget", "1m", 60000000000},
        {SECTION_CLIENT, "hold-budget", "0", 0},
        {SECTION_ROOT, "linger", "72h", 72ULL * 3600 * 1000000000},
        {SECTION_ROOT, "max-pdu-bound", "70k", 71680},
        {SECTION_ROOT, "max-pdu-bound", "1m", 1048576},
        {SECTION_ROOT, "max-pdu-bound", "65536", 65536},
        {SECTION_CARRIER, "mo-refusal", "esme_rsyserr", 8},
        {SECTION_CARRIER, "mo-refusal", "0x64", 0x64},
        {SECTION_CLIENT, "carrier-tlv", "0x1400", 0x1400},
        {SECTION_CLIENT, "carrier-tlv", "5121", 0x1401},
        {SECTION_CLIENT, "carrier-tlv", "0", 0},
        {SECTION_CLIENT, "carrier-tlv", "0xFFFF", 65535},
        {SECTION_LINK, "interface-version", "3.3", 0x33},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t value = 0;
        assert_null(try_text(row_of(good[i].section, good[i].name), good[i].text, &value));
        assert_int_equal(value, good[i].value);
    }
}

static void test_what_no_type_takes(void **state)
{
    (void)state;
    static const struct {
        enum option_section section;
        const char *name, *text, *says;
    } bad[] = {
        {SECTION_CLIENT, "hold-budget", "1500", "has no unit"},
        {SECTION_CLIENT, "hold-budget", "1.5s", "has an unknown unit"},
        {SECTION_CLIENT, "hold-budget", "5d", "has an unknown unit"},
        {SECTION_CLIENT, "hold-budget", "-1s", "is no number"},
        {SECTION_CLIENT, "hold-budget", " 1s", "is no number"},
        {SECTION_CLIENT, "hold-budget", "", "is no number"},
        {SECTION_CLIENT, "hold-budget", "9999999999999999999s", "is out of range"},
        {SECTION_CLIENT, "hold-budget", "9000000000000000000h", "is out of range"},
        {SECTION_CLIENT, "hold-budget", "18446744073709551616ms", "is out of range"},
        {SECTION_CLIENT, "hold-budget", "2251799813685248h", "is out of range"}, /* 0 in 64 bits */
        {SECTION_CLIENT, "window", "10k", "is no whole number"},
        {SECTION_CLIENT, "window", "0x10", "is no whole number"},
        {SECTION_CLIENT, "carrier-tlv", "0x10000", "is out of range"},
        {SECTION_CLIENT, "carrier-tlv", "99999999999999999999", "is no number"},
        {SECTION_CLIENT, "carrier-tlv", "-1", "is no number"},
        {SECTION_CLIENT, "carrier-tlv", "1400h", "is no number"},
        {SECTION_CLIENT, "carrier-tlv", "", "is no number"},
        {SECTION_ROOT, "max-pdu-open", "4K", "has an unknown unit"},
        {SECTION_LISTENER, "tls", "maybe", "is neither true nor false"},
        {SECTION_LISTENER, "address", "localhost", "is no address"},
        {SECTION_CARRIER, "mo-refusal", "ESME_ROK", "would accept a message"},
        {SECTION_CARRIER, "mo-refusal", "ESME_NONE", "is no command_status"},
        {SECTION_LINK, "host", "a\nb", "has a control character"},
        {SECTION_CLIENT, "shortcodes", "50 01", "has a character that is not printable ASCII"},
        {SECTION_CLIENT, "networks", "10.0.0.0/33", "has a bad prefix length"},
        {SECTION_CLIENT, "networks", "10.0.0.0/", "has a bad prefix length"},
        {SECTION_CLIENT, "networks", "10.0.0.0/8x", "is no network"},
        {SECTION_CLIENT, "networks", "10.0.0.0/-8", "has a bad prefix length"},
        {SECTION_CLIENT, "networks", "10.0.0.1/8", "has bits set after its prefix"},
        {SECTION_CLIENT, "networks", "2001:db8::1/32", "has bits set after its prefix"},
        {SECTION_CLIENT, "networks", "2001:db8::/129", "has a bad prefix length"},
        {SECTION_CLIENT, "networks", "example.org", "is no network"},
        {SECTION_CLIENT, "networks", "", "is no network"},
        {SECTION_CLIENT, "networks", "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/1",
         "is no network"},
        {SECTION_CLIENT, "password-hash", "secret", "is no hash that libcrypt takes"},
        {SECTION_CLIENT, "password-hash", "", "is no hash that libcrypt takes"},
        {SECTION_CLIENT, "password-hash", "*", "is no hash that libcrypt takes"},
        {SECTION_CLIENT, "password-hash", "$1$EJki4lSJ$2qpzxfjRlcyiPtWotvdZO/",
         "is no hash that libcrypt takes"},
        {SECTION_CLIENT, "password-hash", "$y$j9T$", "is not a whole hash"},
        {SECTION_CLIENT, "password-hash", "$y$j9T$sXx49dla0ns5ntASPInf2/", "is not a whole hash"},
        {SECTION_CLIENT, "password-hash", "$y$j9T$sXx49dla0ns5ntASPInf2/$Y9v", "is not a whole hash"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t value = 0;
        const char *wrong = try_text(row_of(bad[i].section, bad[i].name), bad[i].text, &value);
        if (wrong == NULL || strcmp(bad[i].says, wrong) != 0)
            fail_msg("%s = \"%s\": %s", bad[i].name, bad[i].text, wrong == NULL ? "taken" : wrong);
    }
}

static void test_hashes_of_every_good_method(void **state)
{
    (void)state;
    static const char *const hashes[] = {
        "$y$j9T$sXx49dla0ns5ntASPInf2/$Y9vvgPBFdy5B0rlMBDVfpqyQBtD5ehKsBloFY4fiWJ8",
        "$gy$j9T$iHZC6IZC3lYrt81RcilVO/$eZcHGRCNy0dDGxZ6PnakgaDdunK16OWYoMOLUUBd/aD",
        "$7$CU..../....iErFuHN2lbPl2sla.o5Aj1$6K0ylsT6t0OP4htQUmU0SwrSf8xobTwBPfVUB2nzf6.",
        "$2b$05$VgTRDGKwWR89G49he1DI8OKP99YQNgwkufdvv1jYtCtwB4Ikxa0tW",
        ("$6$7S4mnnIm5ElmY11P$wC65.a6A9RkTu8wZdWO."
         "EMdiq8nw094DIBlmyseLJMmY9JG8946zhOqhZaDf3TYeY3C0btrM4FBj3i9PQKxrH/"),
    };
    for (size_t i = 0; i < sizeof hashes / sizeof hashes[0]; i++) {
        uint64_t none = 0;
        assert_null(try_text(row_of(SECTION_CLIENT, "password-hash"), hashes[i], &none));
    }
}

static void test_a_mapped_network_is_one_of_ipv4(void **state)
{
    (void)state;
    union fields *fields = new_fields();
    assert_null(option_parse(row_of(SECTION_CLIENT, "networks"), "::ffff:192.0.2.0/120", fields));
    assert_int_equal(fields->client.networks_count, 1);
    assert_int_equal(fields->client.networks[0].base.ss_family, AF_INET);
    assert_int_equal(fields->client.networks[0].bits, 24);
    free_fields(SECTION_CLIENT, fields);
}

static void test_the_allowed_is_told(void **state)
{
    (void)state;
    char out[256];
    option_allowed(row_of(SECTION_CLIENT, "hold-budget"), out, sizeof out);
    assert_string_equal(out, "0us to 1m (units: us, ms, s, m, h)");
    option_allowed(row_of(SECTION_ROOT, "max-pdu-open"), out, sizeof out);
    assert_string_equal(out, "64 to 64k (k: 1024, m: 1024k)");
    option_allowed(row_of(SECTION_LOG, "format"), out, sizeof out);
    assert_string_equal(out, "text, json");
    for (size_t i = 0; i < option_rows_count; i++) {
        for (size_t cap = 1; cap < 20; cap++) { /* the end of out is kept */
            memset(out, '#', sizeof out);
            option_allowed(&option_rows[i], out, cap);
            assert_true(strlen(out) < cap);
        }
    }
}

static void test_nearest(void **state)
{
    (void)state;
    assert_string_equal(options_nearest(SECTION_CLIENT, "hold-bugdet"), "hold-budget");
    assert_string_equal(options_nearest(SECTION_CLIENT, "hold_budget"), "hold-budget");
    assert_string_equal(options_nearest(SECTION_CLIENT, "upstreams"), "upstream");
    assert_string_equal(options_nearest(SECTION_ROOT, "lisener"), "listener");
    assert_null(options_nearest(SECTION_ROOT, "completely-different"));
    assert_null(options_nearest(SECTION_ROOT, "upstreams-of-a-client"));
    char longest[5000];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    assert_null(options_nearest(SECTION_ROOT, longest));
}

static char *printed(bool markdown)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    config_print_options(out, markdown);
    fclose(out);
    return text;
}

/* Each row under its own section, with its default and its help. */
static void test_the_reference_has_every_row(void **state)
{
    (void)state;
    for (int markdown = 0; markdown < 2; markdown++) {
        char *text = printed(markdown);
        const char *at = text;
        for (size_t i = 0; i < option_rows_count; i++) {
            char name[64];
            snprintf(name, sizeof name, markdown ? "\n| `%s` |" : "\n  %s ", option_rows[i].name);
            at = strstr(at, name); /* in the order of the table */
            assert_non_null(at);
            const char *standard = option_rows[i].standard;
            assert_non_null(strstr(at, standard != NULL ? standard : option_rows[i].help));
            at = strstr(at, option_rows[i].help);
            assert_non_null(at);
        }
        for (unsigned i = 1; i < SECTION_COUNT; i++)
            assert_non_null(strstr(text, section_rows[i].name));
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_range_holds_at_its_ends),
        cmocka_unit_test(test_every_text_has_its_length),
        cmocka_unit_test(test_every_word_is_taken),
        cmocka_unit_test(test_every_default_is_allowed),
        cmocka_unit_test(test_every_field_holds_its_range),
        cmocka_unit_test(test_redis_and_admin_need_a_restart),
        cmocka_unit_test(test_every_name_is_there_once),
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_what_no_type_takes),
        cmocka_unit_test(test_hashes_of_every_good_method),
        cmocka_unit_test(test_a_mapped_network_is_one_of_ipv4),
        cmocka_unit_test(test_the_allowed_is_told),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_the_reference_has_every_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
