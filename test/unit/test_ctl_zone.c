/* Times with offsets and in zones; both changes of the clocks in New Zealand. The zones are the system's. */
#include "routing/ctl/zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define AUCKLAND "Pacific/Auckland"

static uint64_t parse(const char *text, const char *name)
{
    struct zone zone = {0};
    uint64_t ms = 0;
    char reason[ZONE_REASON_SIZE] = "";
    assert_true(!name || zone_find(name, &zone));
    if (!zone_parse(text, &zone, &ms, NULL, reason)) {
        fail_msg("%s: %s", text, reason);
    }
    return ms;
}

static void assert_refused(const char *text, const char *name, const char *because)
{
    struct zone zone = {0};
    uint64_t ms = 4711;
    char reason[ZONE_REASON_SIZE] = "";
    assert_true(!name || zone_find(name, &zone));
    if (zone_parse(text, &zone, &ms, NULL, reason)) {
        fail_msg("%s was taken", text);
    }
    if (!strstr(reason, because)) {
        fail_msg("%s: \"%s\" does not say \"%s\"", text, reason, because);
    }
    assert_int_equal(ms, 4711);
}

static void an_offset_says_it_all(void **state)
{
    (void)state;
    assert_int_equal(parse("1970-01-02T00:00Z", NULL), 86400000);
    assert_int_equal(parse("2026-09-27T10:00+13:00", NULL), 1790456400000);
    assert_int_equal(parse("2026-09-27T10:00:30+1300", NULL), 1790456430000);
    assert_int_equal(parse("2026-09-26 21:00+00", NULL), 1790456400000);
    assert_int_equal(parse("2026-09-26T17:30-0330", NULL), 1790456400000);
    assert_int_equal(parse("2026-09-27T10:00+13:00", AUCKLAND), 1790456400000);
}

/* The clocks go from 02:00 (+12) to 03:00 (+13) on 2026-09-27, and from 03:00 (+13) to 02:00 (+12) on
 * 2026-04-05. */
static void new_zealand_changes_its_clocks(void **state)
{
    (void)state;
    assert_int_equal(parse("2026-09-27T01:59:59", AUCKLAND), parse("2026-09-26T13:59:59Z", NULL));
    assert_int_equal(parse("2026-09-27T03:00", AUCKLAND), parse("2026-09-26T14:00Z", NULL));
    assert_refused("2026-09-27T02:00", AUCKLAND, "does not exist in Pacific/Auckland");
    assert_refused("2026-09-27T02:59:59", AUCKLAND, "does not exist in Pacific/Auckland");
    assert_int_equal(parse("2026-04-05T01:59:59", AUCKLAND), parse("2026-04-04T12:59:59Z", NULL));
    assert_int_equal(parse("2026-04-05T03:00", AUCKLAND), parse("2026-04-04T15:00Z", NULL));
    assert_refused("2026-04-05T02:00", AUCKLAND, "2026-04-05T02:00+13:00 or 2026-04-05T02:00+12:00");
    assert_refused("2026-04-05T02:59:59", AUCKLAND, "comes twice in Pacific/Auckland");
    assert_int_equal(parse("2026-04-05T02:30+13:00", AUCKLAND) + 3600000,
                     parse("2026-04-05T02:30+12:00", AUCKLAND));
    assert_int_equal(parse("2026-01-15T10:00", AUCKLAND), parse("2026-01-14T21:00Z", NULL));
    assert_int_equal(parse("2026-07-15T10:00", AUCKLAND), parse("2026-07-14T22:00Z", NULL));
}

static void other_zones(void **state)
{
    (void)state;
    assert_int_equal(parse("2026-07-15T10:00", "UTC"), parse("2026-07-15T10:00Z", NULL));
    assert_int_equal(parse("2026-07-15T10:00", "+05:45"), parse("2026-07-15T04:15Z", NULL));
    assert_refused("2026-03-29T02:30", "Europe/Berlin", "does not exist");
    /* Half an hour forward, and back. */
    assert_refused("2026-10-04T02:15", "Australia/Lord_Howe", "does not exist");
    assert_refused("2026-04-05T01:45", "Australia/Lord_Howe", "+11:00 or 2026-04-05T01:45+10:30");
    /* A whole day that Samoa left out. */
    assert_refused("2011-12-30T12:00", "Pacific/Apia", "does not exist");
}

static void what_is_no_time(void **state)
{
    static const char *const wrong[] = {
        "",
        "tomorrow",
        "10:00",
        "2026-09-27",
        "2026-9-27T10:00",
        "2026-13-01T10:00",
        "2026-02-29T10:00",
        "2026-09-31T10:00",
        "2026-09-27T24:00",
        "2026-09-27T10:60",
        "2026-09-27T10:00 ",
        "2026-09-27T10:00+",
        "2026-09-27T10:00+1",
        "2026-09-27T10:00+13:0",
        "2026-09-27T10:00+15:00",
        "2026-09-27T10:00+13:60",
        "2026-09-27T10:00z",
        "2026-09-27T10:00:5",
        "2026-09-27t10:00",
        " 2026-09-27T10:00",
        "+026-09-27T10:00",
        "2026-09-27T10:00+-1:00",
        "1969-12-31T10:00Z",
        "2026-09-27T10:00+13:00 Pacific/Auckland and so on, for a while",
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_refused(wrong[i], AUCKLAND, "is no time such as");
    }
    assert_refused("2026-09-27T10:00", NULL, "needs an offset from UTC");
}

static void what_is_no_zone(void **state)
{
    static const char *const wrong[] = {
        "",         "Nowhere", "Pacific/Aukland", "../zoneinfo/UTC", "/etc/localtime",
        "zone.tab", "Pacific", "+25:00",          "EST5EDT,M3"};
    struct zone zone;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (zone_find(wrong[i], &zone)) {
            fail_msg("\"%s\" was taken for a zone", wrong[i]);
        }
    }
    assert_true(zone_find("Z", &zone));
    assert_string_equal(zone.name, "+00:00");
    assert_true(zone_find("-0330", &zone));
    assert_string_equal(zone.name, "-03:30");
}

static void shows_times_of_the_zone_and_leaves_the_local_one(void **state)
{
    char text[TIME_TEXT_SIZE];
    char local[TIME_TEXT_SIZE];
    struct zone zone = {0};
    struct zone said = {0};
    uint64_t ms = 0;
    char reason[ZONE_REASON_SIZE];
    (void)state;
    assert_true(setenv("TZ", "UTC0", 1) == 0);
    tzset();
    assert_true(zone_find(AUCKLAND, &zone));
    assert_true(zone_parse("2026-09-27T03:00", &zone, &ms, &said, reason));
    assert_string_equal(said.name, "");
    assert_string_equal(zone_text(&zone, ms, text), "2026-09-27 03:00:00 +1300");
    assert_string_equal(zone_text(&zone, ms - 1000, text), "2026-09-27 01:59:59 +1200");
    assert_string_equal(time_text(ms, local), "2026-09-26 14:00:00 +0000");
    assert_true(zone_parse("2026-09-26T10:30-03:30", &zone, &ms, &said, reason));
    assert_string_equal(said.name, "-03:30");
    assert_string_equal(zone_text(&said, ms, text), "2026-09-26 10:30:00 -0330");
    assert_string_equal(zone_text(&said, 0, text), "-");
    assert_string_equal(zone_text(&(struct zone){0}, ms, text), "2026-09-26 14:00:00 +0000");
    assert_true(unsetenv("TZ") == 0);
    zone_text(&zone, ms, text);
    assert_null(getenv("TZ"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_offset_says_it_all),
        cmocka_unit_test(new_zealand_changes_its_clocks),
        cmocka_unit_test(other_zones),
        cmocka_unit_test(what_is_no_time),
        cmocka_unit_test(what_is_no_zone),
        cmocka_unit_test(shows_times_of_the_zone_and_leaves_the_local_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
