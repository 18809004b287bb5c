/* Who was asked, what came back, and when there is nobody left to wait for. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "routing/ctl/ask.h"

/* The reply of turnout_ask to a question that went to these. */
static struct ask asked(const char *const *names, size_t count)
{
    redisReply strings[8];
    redisReply *elements[8];
    struct ask ask;
    assert_true(count <= sizeof strings / sizeof *strings);
    for (size_t i = 0; i < count; i++) {
        strings[i] = (redisReply){
            .type = REDIS_REPLY_STRING, .str = (char *)(uintptr_t)names[i], .len = strlen(names[i])};
        elements[i] = &strings[i];
    }
    redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = count, .element = elements};
    assert_true(ask_begin(&ask, &reply));
    return ask;
}

static const char *const three[] = {"7-0", "proxy-b", "proxy-a", "proxy-c"};

static void collects(void **state)
{
    struct ask ask = asked(three, 4);
    (void)state;
    assert_string_equal(ask.id, "7-0");
    assert_int_equal(ask.count, 3);
    assert_string_equal(ask.items[0].instance, "proxy-a");
    assert_true(ask_waits(&ask, false));
    assert_true(ask_take(&ask, "proxy-a\n{\"pid\":1}"));
    assert_true(ask_take(&ask, "proxy-c\n{\"error\":\"no\nway\"}") == false); /* a bare line end: no JSON */
    assert_true(ask_take(&ask, "proxy-c\n{\"error\":\"no way\"}"));
    assert_true(ask_waits(&ask, false));
    assert_true(ask_take(&ask, "proxy-b\n{}"));
    assert_false(ask_waits(&ask, false));
    assert_null(ask_failed(&ask.items[0]));
    assert_null(ask_failed(&ask.items[1]));
    assert_string_equal(ask_failed(&ask.items[2]), "no way");
    ask_free(&ask);
    assert_int_equal(ask.count, 0);
}

static void takes_no_answer_that_is_none(void **state)
{
    static const char *const bad[] = {
        "",     "proxy-a",   "proxy-a\n",    "proxy-a\n{", "proxy-a\n[1]", "proxy-a\n{} x",
        "\n{}", "proxy\n{}", "proxy-aa\n{}", "proxy-d\n{}"};
    struct ask ask = asked(three, 4);
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(ask_take(&ask, bad[i]));
    }
    for (size_t i = 0; i < ask.count; i++) {
        assert_string_equal(ask_failed(&ask.items[i]), "does not answer");
    }
    assert_true(ask_take(&ask, "proxy-a\n{\"n\":1}"));
    assert_false(ask_take(&ask, "proxy-a\n{\"n\":2}"));
    assert_int_equal(json_integer_value(json_object_get(ask.items[0].answer, "n")), 1);
    ask_free(&ask);
}

/* One that works on it is waited for; one that has not said a word is not, once it should have. */
static void tells_work_from_silence(void **state)
{
    struct ask ask = asked(three, 4);
    (void)state;
    assert_true(ask_take(&ask, "proxy-a\n{\"working\":true}"));
    assert_true(ask_take(&ask, "proxy-b\n{}"));
    assert_true(ask_waits(&ask, false));
    assert_true(ask_waits(&ask, true));
    assert_string_equal(ask_failed(&ask.items[0]), "has not answered in time");
    assert_true(ask_take(&ask, "proxy-a\n{}"));
    assert_true(ask_waits(&ask, false));
    assert_false(ask_waits(&ask, true));
    ask_free(&ask);
}

static void waits_for_nobody(void **state)
{
    static const char *const nobody[] = {"7-0"};
    struct ask ask = asked(nobody, 1);
    redisReply empty = {.type = REDIS_REPLY_ARRAY};
    (void)state;
    assert_false(ask_waits(&ask, false));
    ask_free(&ask);
    assert_false(ask_begin(&ask, &empty));
    ask_free(&ask);
}

static void shows_all(void **state)
{
    struct ask ask = asked(three, 4);
    (void)state;
    assert_true(ask_take(&ask, "proxy-a\n{\"n\":1}"));
    assert_true(ask_take(&ask, "proxy-b\n{\"error\":\"no\"}"));
    json_t *is = ask_json(&ask);
    json_t *wanted = json_loads("[{\"id\":\"proxy-a\",\"answered\":true,\"n\":1},"
                                "{\"id\":\"proxy-b\",\"answered\":true,\"error\":\"no\"},"
                                "{\"id\":\"proxy-c\",\"answered\":false,\"error\":\"does not answer\"}]",
                                0, NULL);
    assert_true(json_equal(is, wanted));
    json_decref(is);
    json_decref(wanted);
    ask_free(&ask);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collects),
        cmocka_unit_test(takes_no_answer_that_is_none),
        cmocka_unit_test(tells_work_from_silence),
        cmocka_unit_test(waits_for_nobody),
        cmocka_unit_test(shows_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
