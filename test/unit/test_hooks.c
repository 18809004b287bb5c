/* What hooks make of an event: texts, JSON, signature, who is concerned, mails that no text can bend; and what is said
 * of a config that is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/hooks/event.h"
#include "proxy/hooks/mail.h"
#include "proxy/hooks/sign.h"
#include "proxy/hooks/template.h"
#include "proxy/hooks/zone.h"

#define HASH "$y$j9T$sXx49dla0ns5ntASPInf2/$Y9vvgPBFdy5B0rlMBDVfpqyQBtD5ehKsBloFY4fiWJ8"

/* --- a config and its file --- */

static char directory[] = "/tmp/test_hooks.XXXXXX";
static char path[64];
static struct config_ids ids;
static char error[16384];

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/turnout.conf", directory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    config_ids_free(&ids);
    return rmdir(directory);
}

static void write_file(const char *file, const char *text)
{
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

/* Clients acme (5001, 5002), bank (6001), any (all else) and mute (5001, without mail), and more in the end, from line
 * 11 on. */
static void write_config(const char *more)
{
    char text[8192];
    snprintf(text, sizeof text,
             "instance = i1\n"
             "listener \"plain\" { port = 0 }\n"
             "platform \"redx\" {}\n"
             "carrier \"spark\" {}\n"
             "link spark-redx { carrier = spark platform = redx host = h port = 1 system-id = a }\n"
             "client \"acme\" { password-hash = \"" HASH "\" shortcodes = { \"5001\", \"5002\" } mail = { "
             "\"a@acme.example\", \"b@acme.example\" } }\n"
             "client \"bank\" { password-hash = \"" HASH
             "\" shortcodes = { \"6001\" } mail = { \"c@bank.example\" } }\n"
             "client \"any\" { password-hash = \"" HASH
             "\" shortcodes = { \"*\" } mail = { \"d@any.example\" } }\n"
             "client \"mute\" { password-hash = \"" HASH "\" shortcodes = { \"5001\" } }\n"
             "redis {}\n%s",
             more);
    write_file(path, text);
}

static struct config *read_config(const char *more)
{
    write_config(more);
    struct config *config = config_read(path, &ids, error, sizeof error);
    if (config == NULL)
        fail_msg("refused: %s", error);
    return config;
}

#define MAIL                                                                           \
    "hooks { smtp = \"smtp://h\" mail-from = \"noc@turnout.example\" mail-always = { " \
    "\"noc@turnout.example\" } "

/* --- an event --- */

static struct hook_event *make_event(const char *cells, const char *why)
{
    const char *reason = NULL;
    const char *const fields[] = {
        "kind", "carrier_moved", "at", "1700000000123", "window", "night", "version",  "7",     "who",
        "kim",  "why",           why,  "ticket",        "",       "text",  "it moved", "cells", cells};
    struct hook_event *event =
        hook_event_new("1700000000123-0", fields, sizeof fields / sizeof fields[0], &reason);
    assert_non_null(event);
    return event;
}

static void an_event_is_read_and_cleaned(void **state)
{
    (void)state;
    struct hook_event *e = make_event("5001 spark redx omni open\n6001 spark - omni\n\n",
                                      "a\r\nb\x1b[31m \xC3\xA9 \xFF\xC2\x9B");
    assert_string_equal(e->why, "a  b [31m \xC3\xA9 \xEF\xBF\xBD ");
    assert_int_equal(e->cells_count, 2);
    assert_string_equal(e->cells[0].to, "omni");
    assert_string_equal(e->cells[1].from, "-");
    assert_string_equal(e->cells[1].state, "-");
    assert_int_equal(e->at_ms, 1700000000123);
    assert_false(e->test);
    hook_event_free(e);
    const char *reason = NULL;
    const char *const unknown[] = {"kind", "carrier_lost"};
    assert_null(hook_event_new("1-0", unknown, 2, &reason));
    assert_string_equal(reason, "its kind is unknown to this version");
    const char *const odd[] = {"kind"};
    assert_null(hook_event_new("1-0", odd, 1, &reason));
}

static void an_event_is_json(void **state)
{
    (void)state;
    struct hook_event *e = make_event("5001 spark redx omni hold", "\"q\" \\ \xE6\x97\xA5");
    char *text = hook_event_json(e, "i1");
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const char *id, *at, *why, *instance, *state_text;
    json_int_t at_ms, version;
    int test;
    assert_int_equal(json_unpack(json, "{s:s, s:s, s:I, s:I, s:s, s:s, s:b, s:[{s:s}]}", "id", &id, "at", &at,
                                 "at_ms", &at_ms, "version", &version, "why", &why, "instance", &instance,
                                 "test", &test, "cells", "state", &state_text),
                     0);
    assert_string_equal(id, "1700000000123-0");
    assert_string_equal(at, "2023-11-14T22:13:20Z");
    assert_int_equal(at_ms, 1700000000123);
    assert_int_equal(version, 7);
    assert_string_equal(why, "\"q\" \\ \xE6\x97\xA5");
    assert_string_equal(instance, "i1");
    assert_int_equal(test, 0);
    assert_string_equal(state_text, "hold");
    json_decref(json);
    free(text);
    hook_event_free(e);
}

/* Of printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac Jefe */
static void a_body_is_signed_with_its_time(void **state)
{
    (void)state;
    char hex[HOOK_HEX_SIZE];
    assert_true(hook_sign("Jefe", "1700000000", "{\"a\":1}", hex));
    assert_string_equal(hex, "fa5f6481efc59da48b19c9dc10196c9953e5651f8304b3a318b6b87d70272e0a");
    /* RFC 6234 */
    assert_true(hook_digest("abc", hex));
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* --- templates --- */

static void placeholders_are_filled_once(void **state)
{
    (void)state;
    const char *values[PLACE_COUNT];
    for (unsigned i = 0; i < PLACE_COUNT; i++)
        values[i] = "?";
    values[PLACE_WHY] = "{who}{{";
    values[PLACE_WHO] = "kim";
    char *text = hook_template_expand("{who}: {why} {{who} }", values);
    assert_string_equal(text, "kim: {who}{{ {who} }");
    free(text);
}

static void unknown_placeholders_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", NULL},
        {"{event} {window} {shortcodes} {carrier} {from} {to} {at} {who} {why} {instance}", NULL},
        {"a }{{ b", NULL},
        {"to {carriers} and", "has an unknown placeholder {carriers}"},
        {"{}", "has an unknown placeholder {}"},
        {"{event", "has an unknown placeholder {event"},
        {"{ev\nent}", "has an unknown placeholder {ev"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *what = hook_template_check(cases[i].text);
        if (cases[i].says == NULL)
            assert_null(what);
        else
            assert_memory_equal(what, cases[i].says, strlen(cases[i].says));
    }
    for (unsigned i = 0; i < TEMPLATE_COUNT; i++) {
        assert_null(hook_template_check(hook_templates_standard[i].subject));
        assert_null(hook_template_check(hook_templates_standard[i].body));
    }
}

/* --- headers --- */

static void check_header(const char *text, const char *expected)
{
    char *header = hook_mail_header(text);
    assert_string_equal(header, expected);
    free(header);
}

static void headers_are_encoded_and_cannot_be_bent(void **state)
{
    (void)state;
    check_header("spark: 5001 now by omni", "spark: 5001 now by omni");
    check_header("a\r\nBcc: x@y\r\n\r\nbody", "a  Bcc: x@y    body");
    check_header("=?UTF-8?B?AA==?=", "=?UTF-8?B?PT9VVEYtOD9CP0FBPT0/PQ==?=");
    check_header("M\xC4\x81ori", "=?UTF-8?B?TcSBb3Jp?=");
    /* 24 characters of two octets: 18 in the first word. */
    check_header(
        "\xC4\x81\xC4\x81\xC4\x81\xC4\x81\xC4\x81\xC4\x81\xC4\x81\xC4\x81\xC4\x81\xC4\x81\xC4\x81\xC4\x81"
        "\xC4\x81\xC4\x81\xC4\x81\xC4\x81\xC4\x81\xC4\x81\xC4\x81\xC4\x81\xC4\x81\xC4\x81\xC4\x81\xC4\x81",
        "=?UTF-8?B?xIHEgcSBxIHEgcSBxIHEgcSBxIHEgcSBxIHEgcSBxIHEgcSB?=\r\n =?UTF-8?B?xIHEgcSBxIHEgcSB?=");
    char many[1000];
    memset(many, 'x', sizeof many - 1);
    many[sizeof many - 1] = '\0';
    char *header = hook_mail_header(many);
    assert_int_equal(strlen(header), 255);
    free(header);
}

static void addresses_are_what_a_mail_server_takes(void **state)
{
    (void)state;
    static const char *const good[] = {"a@b", "first.last+tag@mail.acme.example"};
    static const char *const bad[] = {"",      "a",       "@b",          "a@",         "a b@c",  "a@b@c",
                                      "<a@b>", "a@b,c@d", "a@b\r\nRCPT", "a@\xC3\xA9", "\"a\"@b"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(hook_mail_address_good(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(hook_mail_address_good(bad[i]));
}

/* --- audiences and mails --- */

struct mails {
    struct config *config;
    struct owners *owners;
    struct hook_event *event;
    struct hook_audiences *audiences;
};

static struct mails make_mails(const char *more, const char *cells, const char *why)
{
    struct mails m = {.config = read_config(more)};
    m.owners = owners_new(m.config);
    m.event = make_event(cells, why);
    m.audiences = hook_audiences_new(m.config, m.owners, m.event);
    assert_non_null(m.audiences);
    return m;
}

static void free_mails(struct mails *m)
{
    hook_audiences_free(m->audiences);
    hook_event_free(m->event);
    free(m->owners);
    config_free(m->config);
}

static const struct hook_audience *audience(const struct mails *m, const char *client)
{
    for (size_t i = 0; i < m->audiences->count; i++) {
        const struct config_client *its = m->audiences->items[i].client;
        if (strcmp(its == NULL ? "" : its->system_id, client) == 0)
            return &m->audiences->items[i];
    }
    return NULL;
}

static void clients_are_told_of_their_own(void **state)
{
    (void)state;
    struct mails m =
        make_mails(MAIL "}",
                   "5001 spark redx omni open\n5002 spark redx omni open\n6001 spark redx omni open\n"
                   "7001 spark redx omni open",
                   "");
    assert_int_equal(m.audiences->count, 4);
    assert_int_equal(audience(&m, "acme")->cells_count, 2);
    assert_int_equal(audience(&m, "bank")->cells_count, 1);
    assert_string_equal(audience(&m, "any")->cells[0]->shortcode, "7001"); /* that no client names */
    assert_int_equal(audience(&m, "any")->cells_count, 1);
    assert_int_equal(audience(&m, "")->cells_count, 4);
    assert_null(audience(&m, "mute"));
    free_mails(&m);
    m = make_mails(MAIL "client-events = { alarm } }", "5001 spark redx omni open", "");
    assert_int_equal(m.audiences->count, 1);
    assert_null(m.audiences->items[0].client);
    free_mails(&m);
}

static char *write_mail(const struct mails *m, const char *client)
{
    size_t len;
    char *text = hook_mail_write(m->config, m->event, audience(m, client), 1700000000, &len);
    assert_int_equal(strlen(text), len);
    return text;
}

static void a_mail_is_as_rfc_5322_wants_it(void **state)
{
    (void)state;
    struct mails m = make_mails(MAIL "}", "5001 spark redx omni open\n6001 spark redx omni open", "");
    char *text = write_mail(&m, "acme");
    static const char begins[] = "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
                                 "From: <noc@turnout.example>\r\n"
                                 "To: <a@acme.example>,\r\n <b@acme.example>\r\n"
                                 "Subject: spark: 5001 now by omni\r\n";
    assert_memory_equal(text, begins, sizeof begins - 1);
    assert_non_null(strstr(text, "\r\nMessage-ID: <1700000000123-0."));
    assert_non_null(strstr(text, ".turnout@turnout.example>\r\n"));
    assert_non_null(strstr(text, "\r\n  5001 spark: redx -> omni\r\n"));
    assert_null(strstr(text, "6001"));
    assert_null(strstr(text, "it moved")); /* the sentence may tell of others */
    for (const char *c = strchr(text, '\n'); c != NULL; c = strchr(c + 1, '\n'))
        assert_int_equal(c[-1], '\r');
    char *again = write_mail(&m, "acme");
    assert_string_equal(text, again);
    free(again);
    free(text);
    text = write_mail(&m, "");
    assert_non_null(strstr(text, "Subject: carrier_moved: it moved\r\n"));
    free(text);
    free_mails(&m);
}

static void a_text_makes_no_header_and_no_line_too_long(void **state)
{
    (void)state;
    struct mails m =
        make_mails(MAIL "mail-subject = \"{why}\" mail-body = \"{why} =\" }", "5001 spark redx omni open",
                   "a\r\nBcc: x@y\r\n\r\n\xC3\xA9 0123456789012345678901234567890123456789"
                   "0123456789012345678901234567890123456789");
    char *text = write_mail(&m, "acme");
    const char *body = strstr(text, "\r\n\r\n");
    assert_non_null(body);
    assert_null(strstr(text, "\nBcc:"));
    assert_non_null(
        strstr(text, "Content-Transfer-Encoding: quoted-printable\r\n\r\na  Bcc: x@y    =C3=A9 0123"));
    assert_string_equal(text + strlen(text) - 6, " =3D\r\n");
    for (const char *c = text, *end; (end = strstr(c, "\r\n")) != NULL; c = end + 2)
        assert_true(end - c <= 76);
    free(text);
    free_mails(&m);
}

/* A change of many shortcodes does not make a mail without end. */
static void many_cells_are_counted(void **state)
{
    (void)state;
    char *cells = calloc(10000, 40);
    char *to = cells;
    for (unsigned i = 0; i < 10000; i++)
        to += sprintf(to, "%s%u spark redx omni open", i > 0 ? "\n" : "", 70000 + i);
    struct mails m = make_mails(MAIL "}", cells, "");
    char *text = write_mail(&m, "any");
    assert_non_null(strstr(text, "\r\n  and 9800 more\r\n"));
    assert_non_null(strstr(text, "70049 and 9950 more"));
    assert_true(strlen(text) < 20000);
    free(text);
    free(cells);
    free_mails(&m);
}

/* --- zones --- */

static void check_zone(const char *name, uint64_t seconds, const char *expected)
{
    char text[HOOK_ZONE_TEXT_SIZE];
    bool found = hook_zone_text(name, seconds * 1000, text);
    assert_true(found == (expected != NULL));
    if (found)
        assert_string_equal(text, expected);
}

/* New Zealand's clocks go forward on 2026-09-27 at 2 o'clock, and back on 2027-04-04 at 3 o'clock. */
static void times_are_told_in_a_zone(void **state)
{
    (void)state;
    check_zone("Pacific/Auckland", 1790431199, "2026-09-27 01:59:59 +1200");
    check_zone("Pacific/Auckland", 1790431200, "2026-09-27 03:00:00 +1300");
    check_zone("Pacific/Auckland", 1806760799, "2027-04-04 02:59:59 +1300");
    check_zone("Pacific/Auckland", 1806760800, "2027-04-04 02:00:00 +1200");
    check_zone("America/St_Johns", 1790431200, "2026-09-26 11:30:00 -0230");
    check_zone("UTC", 0, "1970-01-01 00:00:00 +0000");
    check_zone("+13:00", 1790431200, "2026-09-27 03:00:00 +1300");
    check_zone("-0330", 0, "1969-12-31 20:30:00 -0330");
    check_zone("Z", 0, "1970-01-01 00:00:00 +0000");
    check_zone("", 0, NULL);
    check_zone("Nowhere/City", 0, NULL);
    check_zone("../../etc/passwd", 0, NULL);
    check_zone("+13", 0, "1970-01-01 13:00:00 +1300");
    static const char *const wrong[] = {"+",       "+1",    "+1a",   "+13:", "+13:0",
                                        "+13:00x", "+1360", "+2000", "13:00"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        check_zone(wrong[i], 0, NULL);
}

/* Whatever is missing of a file, or wrong in it, nothing is read beyond its end. */
static void a_bad_zone_file_is_none(void **state)
{
    (void)state;
    FILE *in = fopen("/usr/share/zoneinfo/Pacific/Auckland", "r");
    assert_non_null(in);
    uint8_t whole[8192];
    size_t len = fread(whole, 1, sizeof whole, in);
    fclose(in);
    int32_t offset;
    assert_true(hook_zone_offset(whole, len, 1790431200, &offset));
    assert_int_equal(offset, 13 * 3600);
    for (size_t part = 0; part < len; part++) {
        uint8_t *copy = malloc(part + 1); /* its end is where the sanitizer looks */
        memcpy(copy, whole, part);
        (void)hook_zone_offset(copy, part, 1790431200, &offset);
        free(copy);
    }
    for (size_t at = 0; at < len; at++) {
        uint8_t was = whole[at];
        whole[at] = 0xFF;
        (void)hook_zone_offset(whole, len, 1790431200, &offset);
        whole[at] = was;
    }
    assert_false(hook_zone_offset(whole, 100, 0, &offset));
}

/* --- the config --- */

static void expect_fault(const char *more, int line, const char *says)
{
    char expected[512];
    write_config(more);
    struct config *config = config_read(path, &ids, error, sizeof error);
    assert_null(config);
    snprintf(expected, sizeof expected, "%s:%d: %s", path, line, says);
    if (strncmp(error, expected, strlen(expected)) != 0 || strchr(error, '\n') != NULL)
        fail_msg("expected: %s\nfound:    %s", expected, error);
}

static void a_wrong_config_is_refused_at_its_line(void **state)
{
    (void)state;
    expect_fault("hooks {\nsmtp = \"smtp://h\"\n}", 12, "smtp and mail-from go together");
    expect_fault("hooks { smtp = \"http://h\" mail-from = \"a@b\" }", 11,
                 "smtp is neither smtp:// nor smtps://");
    expect_fault("webhook \"x\" {\n url = \"ftp://h/path\"\n secret = s }", 12,
                 "url is neither http:// nor https://");
    expect_fault("webhook \"x\" { }", 11, "webhook \"x\" lacks url");
    expect_fault(MAIL "\nmail-subject = \"{carriers}\" }", 12,
                 "mail-subject \"{carriers}\" has an unknown placeholder {carriers}; allowed: a text with "
                 "placeholders");
    expect_fault(MAIL "\nclient-events = { moved } }", 12,
                 "client-events \"moved\" is unknown; allowed: window_opened");
    expect_fault("client \"x\" { password-hash = \"" HASH
                 "\" shortcodes = { \"1\" }\n mail = { \"x@y\", \"y-z\" } }",
                 12, "mail \"y-z\" is no address");
    expect_fault("hooks { retry-min = 10s\n retry-max = 1s }", 11, "retry-min is more than retry-max");
    expect_fault("hooks { mail-templates = \"/nowhere\" }", 11,
                 "mail-templates: /nowhere: is no directory that can be read");
}

static void templates_are_read_from_files(void **state)
{
    (void)state;
    char more[256], file[96], says[256];
    snprintf(more, sizeof more, MAIL "mail-templates = \"%s\" }", directory);
    snprintf(file, sizeof file, "%s/carrier_moved.txt", directory);
    write_file(file, "Subject: {to}!\n\nDear {client},\nit is {to}.\n");
    struct mails m = make_mails(more, "5001 spark redx omni open", "");
    char *text = write_mail(&m, "acme");
    assert_non_null(strstr(text, "\r\nSubject: omni!\r\n"));
    assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\nDear acme,\r\nit is omni.\r\n");
    free(text);
    free_mails(&m);
    write_file(file, "Subject: {to}!\n\nDear {client},\nit is {too}.\n");
    snprintf(says, sizeof says, "mail-templates: %s:4: has an unknown placeholder {too}", file);
    expect_fault(more, 11, says);
    write_file(file, "Dear {client},\n");
    snprintf(says, sizeof says, "mail-templates: %s:1: must be \"Subject: ...\"", file);
    expect_fault(more, 11, says);
    unlink(file);
}

/* A config is freed by the last that holds it. (A leak, or a use after it is freed, is for the sanitizer.) */
static void a_config_may_be_held(void **state)
{
    (void)state;
    struct config *config = read_config(MAIL "}");
    struct config *held = config_hold(config);
    config_free(config);
    assert_string_equal(held->hooks.mail_from, "noc@turnout.example");
    assert_true(config_has_hooks(held));
    config_free(held);
    config = read_config("");
    assert_false(config_has_hooks(config));
    assert_non_null(strstr(config->warnings, "mail is not used: hooks has no smtp"));
    config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_read_and_cleaned),
        cmocka_unit_test(an_event_is_json),
        cmocka_unit_test(a_body_is_signed_with_its_time),
        cmocka_unit_test(placeholders_are_filled_once),
        cmocka_unit_test(unknown_placeholders_are_named),
        cmocka_unit_test(headers_are_encoded_and_cannot_be_bent),
        cmocka_unit_test(addresses_are_what_a_mail_server_takes),
        cmocka_unit_test(clients_are_told_of_their_own),
        cmocka_unit_test(a_mail_is_as_rfc_5322_wants_it),
        cmocka_unit_test(a_text_makes_no_header_and_no_line_too_long),
        cmocka_unit_test(many_cells_are_counted),
        cmocka_unit_test(times_are_told_in_a_zone),
        cmocka_unit_test(a_bad_zone_file_is_none),
        cmocka_unit_test(a_wrong_config_is_refused_at_its_line),
        cmocka_unit_test(templates_are_read_from_files),
        cmocka_unit_test(a_config_may_be_held),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
