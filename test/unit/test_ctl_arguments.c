/* The command line, and the address of Redis. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/arguments.h"
#include "routing/ctl/command_line.h"
#include "routing/ctl/commands.h"
#include "routing/ctl/help.h"
#include "routing/ctl/redis.h"

/* Parses a line that is split at blanks; with --json, so that errors are members of the answer. */
static enum ctl_exit parse(struct ctl *ctl, char *line)
{
    char *argv[32] = {"turnoutctl", "--json"};
    int argc = 2;
    for (char *word = strtok(line, " "); word; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    memset(ctl, 0, sizeof *ctl);
    ctl->answer = json_object();
    return arguments_parse(ctl, argc, argv);
}

static void done(struct ctl *ctl)
{
    free(ctl->args);
    json_decref(ctl->answer);
}

static void parses(void **state)
{
    struct ctl ctl;
    char line[] = "--redis h:1 flip 61000 --carrier spark --timeout 250ms 999 --to omni --create -- -5";
    (void)state;
    assert_int_equal(parse(&ctl, line), CTL_DONE);
    assert_string_equal(ctl.command->words, "flip");
    assert_string_equal(ctl.options.redis, "h:1");
    assert_string_equal(ctl.options.carrier, "spark");
    assert_string_equal(ctl.options.to, "omni");
    assert_string_equal(ctl.options.prefix, "{turnout}");
    assert_int_equal(ctl.options.timeout_ms, 250);
    assert_true(ctl.options.create);
    assert_null(ctl.options.from);
    assert_int_equal(ctl.args_count, 3);
    assert_string_equal(ctl.args[0], "61000");
    assert_string_equal(ctl.args[2], "-5");
    done(&ctl);
}

/* What is printed to be given next is taken by a shell as it was meant. */
static void writes_command_lines(void **state)
{
    struct ctl ctl;
    char line[] = "--redis h:1 flip * --carrier spark --to omni --as o'brien";
    (void)state;
    assert_int_equal(parse(&ctl, line), CTL_DONE);
    ctl.options.why = "it is\ttime";
    char *text = command_line_for(&ctl, "flip", ctl.args, ctl.args_count,
                                  OPTION(CARRIER) | OPTION(TO) | OPTION(FROM) | OPTION(AS) | OPTION(WHY));
    assert_string_equal(text, "turnoutctl --redis h:1 flip '*' --as 'o'\\''brien' --carrier spark --to omni "
                              "--why 'it is?time'");
    free(text);
    ctl.options.redis = "127.0.0.1:6379";
    text = command_line(&ctl, "confirm", 0);
    assert_string_equal(text, "turnoutctl confirm");
    free(text);
    done(&ctl);
}

static void finds_two_words(void **state)
{
    static const char *const cases[][2] = {{"route list", "route list"},
                                           {"route list 61000", "route list"},
                                           {"instances", "instances"},
                                           {"instances a", "instances"},
                                           {"instances forget a", "instances forget"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ctl ctl;
        char line[64];
        snprintf(line, sizeof line, "%s", cases[i][0]);
        assert_int_equal(parse(&ctl, line), CTL_DONE);
        assert_string_equal(ctl.command->words, cases[i][1]);
        done(&ctl);
    }
}

static void refuses(void **state)
{
    static const char *const cases[][2] = {
        {"", "no command is given"},
        {"rout list", "there is no command \"rout\""},
        {"route", "\"route\" needs a second word"},
        {"route lst", "there is no command \"route lst\""},
        {"flip --carrier a --to b", "flip takes SHORTCODE..., but was given 0 arguments"},
        {"route list 1 2", "route list takes [SHORTCODE], but was given 2 arguments"},
        {"flip 1 --to b", "flip needs --carrier NAME"},
        {"flip 1 --carrier a", "flip needs --to PLATFORM"},
        {"flip 1 --carrier a --to b --timeout soon", "--timeout soon: it is a time"},
        {"route set 1 --carrier a --to b --state ajar", "--state ajar: it is one of"},
        {"log --last -1", "--last -1: it is a number"},
        {"rollback --version 0", "--version 0: it is the number of a version"},
        {"rollback --version 9007199254740992", "it is the number of a version"},
        {"flip 1 --carrier a --to b --confirm-within 0", "--confirm-within 0: it is a time above 0"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ctl ctl;
        char line[96];
        snprintf(line, sizeof line, "%s", cases[i][0]);
        assert_int_equal(parse(&ctl, line), CTL_USAGE);
        const char *error = json_string_value(json_object_get(ctl.answer, "error"));
        if (!error || !strstr(error, cases[i][1])) {
            fail_msg("\"%s\": \"%s\" is not in \"%s\"", cases[i][0], cases[i][1],
                     error ? error : "(nothing)");
        }
        done(&ctl);
    }
}

static void takes_the_environment(void **state)
{
    struct ctl ctl;
    char from_env[] = "ping";
    char from_line[] = "ping --redis there:2";
    (void)state;
    setenv("TURNOUT_REDIS", "here:1", 1);
    assert_int_equal(parse(&ctl, from_env), CTL_DONE);
    assert_string_equal(ctl.options.redis, "here:1");
    done(&ctl);
    assert_int_equal(parse(&ctl, from_line), CTL_DONE);
    assert_string_equal(ctl.options.redis, "there:2");
    done(&ctl);
    unsetenv("TURNOUT_REDIS");
}

static void reads_durations(void **state)
{
    static const struct {
        const char *text;
        long ms;
    } cases[] = {{"0", 0},       {"5", -1},      {"2h", 7200000}, {"5s", 5000},
                 {"1.5s", 1500}, {"250ms", 250}, {"2m", 120000},  {"1440m", 86400000},
                 {"", -1},       {"s", -1},      {"-1s", -1},     {"5 s", -1},
                 {"25h", -1},    {"1441m", -1},  {"nan", -1},     {"inf", -1}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned ms = 4711;
        assert_int_equal(options_duration(cases[i].text, &ms), cases[i].ms >= 0);
        assert_int_equal(ms, cases[i].ms >= 0 ? cases[i].ms : 4711);
    }
}

static void reads_addresses(void **state)
{
    static const struct {
        const char *text, *host, *path;
        long port;
        const char *user, *password;
        unsigned long database;
    } cases[] = {
        {"redis", "redis", "", 6379, "", "", 0},
        {"10.0.0.1:7000", "10.0.0.1", "", 7000, "", "", 0},
        {"[::1]:7000", "::1", "", 7000, "", "", 0},
        {"[::1]", "::1", "", 6379, "", "", 0},
        {"::1", "::1", "", 6379, "", "", 0},
        {"/run/redis.sock", "", "/run/redis.sock", 6379, "", "", 0},
        {"unix:///run/redis.sock", "", "/run/redis.sock", 6379, "", "", 0},
        {"redis://h", "h", "", 6379, "", "", 0},
        {"redis://h:1/3", "h", "", 1, "", "", 3},
        {"redis://:p%40ss@h/", "h", "", 6379, "", "p@ss", 0},
        {"redis://me:a:b@[::1]:9/1", "::1", "", 9, "me", "a:b", 1},
        {"redis://me:50%@h", "h", "", 6379, "me", "50%", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct redis_address address;
        const char *reason;
        assert_true(redis_address_parse(cases[i].text, &address, &reason));
        assert_string_equal(address.host, cases[i].host);
        assert_string_equal(address.path, cases[i].path);
        assert_int_equal(address.port, cases[i].port);
        assert_string_equal(address.user, cases[i].user);
        assert_string_equal(address.password, cases[i].password);
        assert_int_equal(address.database, cases[i].database);
    }
}

static void reads_sentinels(void **state)
{
    static const struct {
        const char *text, *last, *master, *user, *password;
        unsigned count, port /* of the last */, database;
    } cases[] = {
        {"sentinel://a/m", "a", "m", "", "", 1, 26379, 0},
        {"sentinel://a:1,b:2,[::1]:3/m", "::1", "m", "", "", 3, 3, 0},
        {"sentinel://me:p%40s@a:1,b/m.1/2", "b", "m.1", "me", "p@s", 2, 26379, 2},
        {"sentinel://a/m/", "a", "m", "", "", 1, 26379, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct redis_address address;
        const char *reason;
        assert_true(redis_address_parse(cases[i].text, &address, &reason));
        assert_int_equal(address.sentinels.count, cases[i].count);
        const struct address *last = &address.sentinels.list[cases[i].count - 1].address;
        assert_string_equal(last->host, cases[i].last);
        assert_int_equal(last->port, cases[i].port);
        assert_string_equal(address.master, cases[i].master);
        assert_string_equal(address.user, cases[i].user);
        assert_string_equal(address.password, cases[i].password);
        assert_int_equal(address.database, cases[i].database);
    }
}

static void refuses_addresses(void **state)
{
    static const char *const cases[] = {"",
                                        ":1",
                                        "h:",
                                        "h:0",
                                        "h:65536",
                                        "h:1x",
                                        "[::1",
                                        "[::1]7000",
                                        "rediss://h",
                                        "http://h",
                                        "redis://h/x",
                                        "redis://",
                                        "sentinel://h",
                                        "sentinel://h/",
                                        "sentinel:///m",
                                        "sentinel://h,/m",
                                        "sentinel://h:0/m",
                                        "sentinel://h/m/x",
                                        "sentinel://,h/m"};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct redis_address address = {.port = 4711};
        const char *reason = NULL;
        if (redis_address_parse(cases[i], &address, &reason)) {
            fail_msg("\"%s\" was taken", cases[i]);
        }
        assert_non_null(reason);
        assert_int_equal(address.port, 4711);
    }
}

/* Every command, option and exit code is in the reference, each once as a heading, item or row. */
static void reference_is_whole(void **state)
{
    char *text = NULL;
    size_t len;
    char wanted[128];
    FILE *out = open_memstream(&text, &len);
    (void)state;
    help_reference(out);
    fclose(out);
    for (size_t i = 0; i < command_count; i++) {
        snprintf(wanted, sizeof wanted, "\n### %s\n", command_table[i].words);
        assert_non_null(strstr(text, wanted));
        assert_true((command_table[i].needs & ~command_table[i].takes) == 0);
    }
    for (int id = 0; id < OPT_COUNT; id++) {
        snprintf(wanted, sizeof wanted, "\n- `--%s", option_table[id].name);
        assert_non_null(strstr(text, wanted));
    }
    for (int code = 0; code < CTL_EXIT_COUNT; code++) {
        snprintf(wanted, sizeof wanted, "\n| %d | `%s` |", code, ctl_exit_word((enum ctl_exit)code));
        assert_non_null(strstr(text, wanted));
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses),
        cmocka_unit_test(writes_command_lines),
        cmocka_unit_test(finds_two_words),
        cmocka_unit_test(refuses),
        cmocka_unit_test(takes_the_environment),
        cmocka_unit_test(reads_durations),
        cmocka_unit_test(reads_addresses),
        cmocka_unit_test(reads_sentinels),
        cmocka_unit_test(refuses_addresses),
        cmocka_unit_test(reference_is_whole),
    };
    unsetenv("TURNOUT_REDIS");
    unsetenv("TURNOUT_PREFIX");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
