/* Whom to ask for the master, and what to make of the answers. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "routing/sentinel.h"

static struct sentinels three(void)
{
    struct sentinels sentinels = {0};
    const char *reason;
    assert_true(sentinels_add(&sentinels, "a", 1, &reason));
    assert_true(sentinels_add(&sentinels, "b:1", 3, &reason));
    assert_true(sentinels_add(&sentinels, "[::1]:2", 7, &reason));
    return sentinels;
}

static void expect_current(const struct sentinels *sentinels, const char *host)
{
    assert_string_equal(sentinels_current(sentinels)->address.host, host);
}

static void takes_addresses(void **state)
{
    struct sentinels sentinels = three();
    const char *reason = NULL;
    (void)state;
    assert_int_equal(sentinels.list[0].address.port, 26379);
    assert_int_equal(sentinels.list[1].address.port, 1);
    assert_string_equal(sentinels.list[2].address.host, "::1");
    assert_int_equal(sentinels.list[2].address.port, 2);
    assert_false(sentinels_add(&sentinels, "x:0", 3, &reason));
    assert_non_null(reason);
    while (sentinels.count < SENTINELS_MAX)
        assert_true(sentinels_add(&sentinels, "x", 1, &reason));
    reason = NULL;
    assert_false(sentinels_add(&sentinels, "x", 1, &reason));
    assert_non_null(reason);
}

static void one_that_answers_is_kept(void **state)
{
    struct sentinels sentinels = three();
    (void)state;
    expect_current(&sentinels, "a");
    assert_true(sentinels_failed(&sentinels));
    expect_current(&sentinels, "b");
    for (int i = 0; i < 5; i++) {
        sentinels_answered(&sentinels);
        expect_current(&sentinels, "b");
    }
}

static void a_round_in_vain_is_told(void **state)
{
    struct sentinels sentinels = three();
    (void)state;
    for (int round = 0; round < 3; round++) {
        expect_current(&sentinels, "a");
        assert_true(sentinels_failed(&sentinels));
        expect_current(&sentinels, "b");
        assert_true(sentinels_failed(&sentinels));
        expect_current(&sentinels, "::1");
        assert_false(sentinels_failed(&sentinels));
    }
    assert_true(sentinels_failed(&sentinels)); /* a */
    sentinels_answered(&sentinels);            /* b */
    assert_true(sentinels_failed(&sentinels)); /* a round begins with an answer */
    assert_true(sentinels_failed(&sentinels));
}

/* Those that answer take turns; the one that hangs is not asked, however often they are doubted. */
static void doubt_does_not_lead_to_one_that_hangs(void **state)
{
    struct sentinels sentinels = three();
    (void)state;
    assert_true(sentinels_failed(&sentinels)); /* a hangs */
    for (int i = 0; i < 3; i++) {
        expect_current(&sentinels, "b");
        sentinels_answered(&sentinels);
        sentinels_doubt(&sentinels);
        expect_current(&sentinels, "::1");
        sentinels_answered(&sentinels);
        sentinels_doubt(&sentinels);
    }
    assert_true(sentinels_failed(&sentinels)); /* b hangs now, too, and the third is next */
    expect_current(&sentinels, "::1");
    assert_true(sentinels_failed(&sentinels)); /* all three: the one asked longest ago */
    expect_current(&sentinels, "a");
}

static void one_alone_is_asked_again(void **state)
{
    struct sentinels sentinels = {0};
    const char *reason;
    (void)state;
    assert_true(sentinels_add(&sentinels, "a:1", 3, &reason));
    sentinels_answered(&sentinels);
    sentinels_doubt(&sentinels);
    expect_current(&sentinels, "a");
    assert_false(sentinels_failed(&sentinels));
    expect_current(&sentinels, "a");
}

/* --- answers -------------------------------------------------------------------------------------------- */

static redisReply *reply_of(const char *text)
{
    void *reply = NULL;
    redisReader *reader = redisReaderCreate();
    redisReaderFeed(reader, text, strlen(text));
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    redisReaderFree(reader);
    return reply;
}

static void reads_the_master(void **state)
{
    static const struct {
        const char *reply, *host;
        uint16_t port; /* 0: refused */
    } cases[] = {
        {"*2\r\n$8\r\n10.0.0.1\r\n$4\r\n6379\r\n", "10.0.0.1", 6379},
        {"*2\r\n$3\r\n::1\r\n$5\r\n65535\r\n", "::1", 65535},
        {"*2\r\n$1\r\nh\r\n$5\r\n65536\r\n", NULL, 0},
        {"*2\r\n$1\r\nh\r\n$1\r\n0\r\n", NULL, 0},
        {"*2\r\n$0\r\n\r\n$1\r\n1\r\n", NULL, 0},
        {"*2\r\n$1\r\nh\r\n:1\r\n", NULL, 0},
        {"*1\r\n$1\r\nh\r\n", NULL, 0},
        {"*-1\r\n", NULL, 0},
        {"$-1\r\n", NULL, 0},
        {"+OK\r\n", NULL, 0},
        {"-NOAUTH Authentication required.\r\n", NULL, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct address address = {.port = 4711};
        char reason[200] = "";
        redisReply *reply = reply_of(cases[i].reply);
        bool fine = sentinel_master(reply, &address, reason, sizeof(reason));
        assert_int_equal(fine, cases[i].port != 0);
        assert_int_equal(address.port, fine ? cases[i].port : 4711);
        if (fine)
            assert_string_equal(address.host, cases[i].host);
        else
            assert_true(reason[0] != '\0');
        freeReplyObject(reply);
    }
}

static void refuses_a_host_that_is_too_long(void **state)
{
    char text[400], host[300], reason[100];
    struct address address;
    (void)state;
    memset(host, 'h', HOST_LEN_MAX + 1);
    host[HOST_LEN_MAX + 1] = '\0';
    snprintf(text, sizeof(text), "*2\r\n$%d\r\n%s\r\n$1\r\n1\r\n", HOST_LEN_MAX + 1, host);
    redisReply *reply = reply_of(text);
    assert_false(sentinel_master(reply, &address, reason, sizeof(reason)));
    freeReplyObject(reply);
    snprintf(text, sizeof(text), "*2\r\n$%d\r\n%s\r\n$1\r\n1\r\n", HOST_LEN_MAX, host + 1);
    reply = reply_of(text);
    assert_true(sentinel_master(reply, &address, reason, sizeof(reason)));
    freeReplyObject(reply);
}

static void reads_roles(void **state)
{
    static const struct {
        const char *reply;
        bool fine, master;
        unsigned replicas;
    } cases[] = {
        {"*3\r\n$6\r\nmaster\r\n:9\r\n*0\r\n", true, true, 0},
        {"*3\r\n$6\r\nmaster\r\n:9\r\n*2\r\n*3\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\n9\r\n*3\r\n$1\r\nb\r\n$"
         "1\r\n1\r\n$1\r\n9\r\n",
         true, true, 2},
        {"*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:9\r\n", true, false, 0},
        {"*2\r\n$8\r\nsentinel\r\n*0\r\n", true, false, 0},
        {"*1\r\n$6\r\nmaster\r\n", true, true, 0},
        {"*0\r\n", false, false, 0},
        {"*1\r\n:1\r\n", false, false, 0},
        {"-NOPERM this user has no permissions\r\n", false, false, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct role role = {0};
        char reason[200] = "";
        redisReply *reply = reply_of(cases[i].reply);
        assert_int_equal(role_of(reply, &role, reason, sizeof(reason)), cases[i].fine);
        assert_int_equal(role.master, cases[i].master);
        assert_int_equal(role.replicas, cases[i].replicas);
        assert_int_equal(reason[0] == '\0', cases[i].fine);
        freeReplyObject(reply);
    }
}

static void writes_addresses_as_it_reads_them(void **state)
{
    static const char *const cases[] = {"10.0.0.1:1", "h:65535", "[::1]:6379"};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct address address;
        char text[ADDRESS_TEXT_SIZE];
        const char *reason;
        assert_true(address_parse(cases[i], strlen(cases[i]), 7, &address, &reason));
        assert_string_equal(address_text(&address, text), cases[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_addresses),
        cmocka_unit_test(one_that_answers_is_kept),
        cmocka_unit_test(a_round_in_vain_is_told),
        cmocka_unit_test(doubt_does_not_lead_to_one_that_hangs),
        cmocka_unit_test(one_alone_is_asked_again),
        cmocka_unit_test(reads_the_master),
        cmocka_unit_test(refuses_a_host_that_is_too_long),
        cmocka_unit_test(reads_roles),
        cmocka_unit_test(writes_addresses_as_it_reads_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
