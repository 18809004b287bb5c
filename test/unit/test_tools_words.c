/* What people type: words, durations, shares, addresses, and the settings of the simulator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "smpp/constants.h"
#include "test/tools/lib/smsc_settings.h"
#include "test/tools/lib/words.h"

static char line[512];

static struct words split(const char *text)
{
    struct words words;
    (void)snprintf(line, sizeof(line), "%s", text);
    assert_true(words_split(line, &words));
    return words;
}

static void words_are_split_at_blanks(void **state)
{
    (void)state;
    struct words words = split("  mo  any\t1 2\n");
    assert_int_equal(words.count, 4);
    assert_string_equal(words.at[1], "any");
    words_remove(&words, 1);
    assert_int_equal(words.count, 3);
    assert_string_equal(words.at[1], "1");
    assert_int_equal(split("").count, 0);
    char many[] = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25";
    assert_false(words_split(many, &words));
}

static void numbers_are_decimal_or_hex(void **state)
{
    (void)state;
    uint64_t n = 1;
    assert_true(word_number("0", &n));
    assert_int_equal(n, 0);
    assert_true(word_number("0x58", &n));
    assert_int_equal(n, 0x58);
    assert_true(word_number("010", &n));
    assert_int_equal(n, 10);
    static const char *const bad[] = {"", "-1", "+1", " 1", "0x", "1x", "x", "99999999999999999999"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(word_number(bad[i], &n));
        assert_int_equal(n, 10);
    }
}

static void durations_have_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {{"0", 0},           {"250us", 250000}, {"1.5s", 1500000000}, {"2m", 120000000000ULL},
                {"10ms", 10000000}, {"7ns", 7}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint64_t ns = 1;
        assert_true(word_duration(good[i].text, &ns));
        assert_true(ns == good[i].ns);
    }
    static const char *const bad[] = {"", "5", "s", "-1s", "1h", "1 s", "nan", "1e30s"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t ns = 1;
        assert_false(word_duration(bad[i], &ns));
    }
}

static void endpoints(void **state)
{
    (void)state;
    char host[32];
    uint16_t port = 0;
    assert_true(word_endpoint("localhost:2775", host, sizeof(host), &port));
    assert_string_equal(host, "localhost");
    assert_int_equal(port, 2775);
    assert_true(word_endpoint("[::1]:0", host, sizeof(host), &port));
    assert_string_equal(host, "::1");
    assert_int_equal(port, 0);
    static const char *const bad[] = {
        "", ":1", "a", "a:", "a:65536", "a:b", "a-host-name-that-is-much-longer-than-its-room:1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(word_endpoint(bad[i], host, sizeof(host), &port));
    }
}

static void hex(void **state)
{
    (void)state;
    uint8_t out[4];
    size_t len = 0;
    assert_true(word_hex("00fFa5", out, sizeof(out), &len));
    assert_int_equal(len, 3);
    assert_memory_equal(out, "\x00\xff\xa5", 3);
    assert_true(word_hex("", out, sizeof(out), &len));
    assert_int_equal(len, 0);
    assert_false(word_hex("0", out, sizeof(out), &len));
    assert_false(word_hex("0g", out, sizeof(out), &len));
    assert_false(word_hex("0011223344", out, sizeof(out), &len));
}

static void shares(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t left_over;
        uint32_t per_million;
        int64_t left;
    } good[] = {{"0x58", 1, 1000000, -1},  {"0x58 10%", 1, 100000, -1},    {"next 5", 0, 1000000, 5},
                {"a b 0.1%", 2, 1000, -1}, {"a next 3 50%", 1, 500000, 3}, {"a 50% next 3", 1, 500000, 3},
                {"", 0, 1000000, -1}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct words words = split(good[i].text);
        struct share share;
        assert_true(words_take_share(&words, &share));
        assert_int_equal(words.count, good[i].left_over);
        assert_int_equal(share.per_million, good[i].per_million);
        assert_int_equal(share.left, good[i].left);
    }
    static const char *const bad[] = {"a 101%", "a x%", "a -1%", "a next", "a next x", "a 10%%"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct words words = split(bad[i]);
        struct share share;
        assert_false(words_take_share(&words, &share));
    }
}

static void shares_hit_as_often_as_they_say(void **state)
{
    (void)state;
    uint64_t random = 7;
    struct share tenth = {100000, -1};
    struct share next = {1000000, 3};
    struct share none = {0, -1};
    unsigned hits[3] = {0};
    for (int i = 0; i < 100000; i++) {
        hits[0] += share_hit(&tenth, &random);
        hits[1] += share_hit(&next, &random);
        hits[2] += share_hit(&none, &random);
    }
    assert_in_range(hits[0], 9500, 10500);
    assert_int_equal(hits[1], 3);
    assert_int_equal(hits[2], 0);
}

static bool apply(struct setting *setting, enum smsc_setting id, const char *text)
{
    struct words words = split(text);
    return setting_apply(setting, id, &words);
}

static void settings_take_their_kind(void **state)
{
    (void)state;
    struct setting s = {.on = false};
    assert_true(apply(&s, SET_SUBMIT_STATUS, "ESME_RTHROTTLED 10%"));
    assert_true(s.on && s.value == 0x58 && s.share.per_million == 100000);
    assert_true(apply(&s, SET_DELAY, "50ms 10ms next 2"));
    assert_true(s.value == 50000000 && s.second == 10000000 && s.share.left == 2);
    assert_true(apply(&s, SET_THROTTLE, "100"));
    assert_true(s.value == 100 && s.second == ESME_RTHROTTLED);
    assert_true(apply(&s, SET_THROTTLE, "100 0x14"));
    assert_true(s.second == ESME_RMSGQFUL);
    assert_true(apply(&s, SET_DROP_AFTER, "5 rst"));
    assert_true(s.value == 5 && s.second == 1);
    assert_true(apply(&s, SET_RECEIPT_FORM, "tlv"));
    assert_int_equal(s.value, 2);
    assert_true(apply(&s, SET_MO_RETRY, "1s"));
    assert_true(s.second == UINT32_MAX);
    assert_true(apply(&s, SET_SILENCE, "on 5%"));
    assert_true(s.share.per_million == 50000);
    assert_true(apply(&s, SET_SILENCE, ""));
    assert_true(apply(&s, SET_SILENCE, "off"));
    assert_false(s.on);
}

static void wrong_settings_change_nothing(void **state)
{
    (void)state;
    static const struct {
        enum smsc_setting id;
        const char *text;
    } bad[] = {{SET_SUBMIT_STATUS, ""},
               {SET_SUBMIT_STATUS, "much"},
               {SET_DELAY, "soon"},
               {SET_DELAY, "1ms 2ms 3ms"},
               {SET_SILENCE, "yes"},
               {SET_RECEIPT_FORM, "tl"},
               {SET_DROP_AFTER, "5 gently"},
               {SET_REORDER, ""},
               {SET_REORDER, "1 2"},
               {SET_SUBMIT_STATUS, "0x58 x%"},
               {SET_RECEIPT_FORM, "text both"}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct setting s = {.on = true, .value = 77, .second = 78};
        assert_false(apply(&s, bad[i].id, bad[i].text));
        assert_true(s.on && s.value == 77 && s.second == 78);
    }
}

static void every_setting_has_its_row(void **state)
{
    (void)state;
    struct setting settings[SMSC_SETTING_COUNT];
    settings_init(settings);
    for (int i = 0; i < SMSC_SETTING_COUNT; i++) {
        assert_int_equal(setting_find(setting_rows[i].name), i);
        assert_int_equal(settings[i].on, i == SET_RECEIPTS);
    }
    assert_int_equal(setting_find("nonsense"), -1);
    char word[16];
    setting_word(SET_RECEIPT_STAT, 3, word, sizeof(word));
    assert_string_equal(word, "UNDELIV");
}

static void times_have_jitter(void **state)
{
    (void)state;
    uint64_t random = 9;
    struct setting s = {.on = false};
    assert_int_equal(setting_time(&s, &random), 0);
    assert_true(apply(&s, SET_DELAY, "10ms 5ms"));
    uint64_t least = UINT64_MAX;
    uint64_t most = 0;
    for (int i = 0; i < 10000; i++) {
        uint64_t ns = setting_time(&s, &random);
        least = ns < least ? ns : least;
        most = ns > most ? ns : most;
    }
    assert_in_range(least, 10000000, 10100000);
    assert_in_range(most, 14900000, 15000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_split_at_blanks),
        cmocka_unit_test(numbers_are_decimal_or_hex),
        cmocka_unit_test(durations_have_units),
        cmocka_unit_test(endpoints),
        cmocka_unit_test(hex),
        cmocka_unit_test(shares),
        cmocka_unit_test(shares_hit_as_often_as_they_say),
        cmocka_unit_test(settings_take_their_kind),
        cmocka_unit_test(wrong_settings_change_nothing),
        cmocka_unit_test(every_setting_has_its_row),
        cmocka_unit_test(times_have_jitter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
