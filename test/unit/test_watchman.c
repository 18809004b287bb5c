/* The watchman: rounds of guards and evidence whose answers are late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

#include "proxy/watchman.h"

enum { CALLS_MAX = 16, GUARDS = 3, MINUTE_MS = 60000 };
#define NOW_MS UINT64_C(1700000000000)

/* What was asked of Redis, in order: so are the answers. */
static struct asked {
    const char *function;
    size_t count;
    store_reply *answer;
    void *ctx;
} asked[CALLS_MAX];
static unsigned asked_count;

static bool call(void *ctx, const char *function, size_t count, const char *const *args, store_reply *answer,
                 void *answer_ctx)
{
    (void)ctx;
    (void)args;
    assert_true(asked_count < CALLS_MAX);
    asked[asked_count++] = (struct asked){function, count, answer, answer_ctx};
    return true;
}

static void expect_asked(unsigned at, const char *function, size_t count)
{
    assert_true(at < asked_count);
    assert_string_equal(asked[at].function, function);
    assert_int_equal(asked[at].count, count);
}

/* Redis' clock, then as many guards. */
static void answer_guards(unsigned at, unsigned guards)
{
    char texts[GUARDS][256];
    redisReply time = {.type = REDIS_REPLY_INTEGER, .integer = (long long)NOW_MS};
    redisReply items[GUARDS];
    redisReply *elements[GUARDS + 1] = {&time};
    for (unsigned i = 0; i < guards; i++) {
        snprintf(texts[i], sizeof texts[i],
                 "{\"id\":\"%u\",\"version\":%u,\"at_ms\":%llu,\"until_ms\":%llu,\"action\":\"alert\","
                 "\"state\":\"watching\",\"errors\":5,\"min\":1,\"cells\":[\"500%u spark redx omni\"]}",
                 i + 2, i + 2, (unsigned long long)NOW_MS, (unsigned long long)NOW_MS + MINUTE_MS, i);
        items[i] = (redisReply){.type = REDIS_REPLY_STRING, .str = texts[i], .len = strlen(texts[i])};
        elements[i + 1] = &items[i];
    }
    redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = guards + 1, .element = elements};
    asked[at].answer(asked[at].ctx, &reply);
}

static int setup(void **state)
{
    asked_count = 0;
    *state = watchman_new("test-1", call, NULL);
    return *state == NULL;
}

static int teardown(void **state)
{
    watchman_free(*state);
    return 0;
}

static void one_round_at_a_time(void **state)
{
    watchman_look(*state, 0, NOW_MS);
    assert_int_equal(asked_count, 0);
    watchman_look(*state, GUARDS, NOW_MS);
    watchman_look(*state, GUARDS, NOW_MS + 1000);
    assert_int_equal(asked_count, 1);
    answer_guards(0, GUARDS);
    expect_asked(1, "turnout_evidence_read", GUARDS);
    answer_guards(1, 0); /* no evidence */
    watchman_look(*state, GUARDS, NOW_MS + 2000);
    expect_asked(2, "turnout_guards", 1);
}

/* The answers of a round that was given up come all the same. */
static void answers_of_two_rounds(void **state)
{
    watchman_look(*state, GUARDS, NOW_MS);
    watchman_look(*state, GUARDS, NOW_MS + MINUTE_MS);
    assert_int_equal(asked_count, 2);
    answer_guards(0, GUARDS);
    answer_guards(1, GUARDS);
    expect_asked(3, "turnout_evidence_read", GUARDS);
    answer_guards(2, 0);
    answer_guards(3, 0);
    watchman_look(*state, GUARDS, NOW_MS + MINUTE_MS + 1000);
    expect_asked(4, "turnout_guards", 1);
}

static void a_clock_that_is_set_back_begins_no_second_round(void **state)
{
    watchman_look(*state, GUARDS, NOW_MS);
    watchman_look(*state, GUARDS, NOW_MS - 5000);
    assert_int_equal(asked_count, 1);
    watchman_look(*state, GUARDS, NOW_MS - 5000 + MINUTE_MS);
    assert_int_equal(asked_count, 2);
}

static void a_lost_connection_ends_the_round(void **state)
{
    watchman_look(*state, GUARDS, NOW_MS);
    watchman_again(*state);
    watchman_look(*state, GUARDS, NOW_MS + 1000);
    assert_int_equal(asked_count, 2);
    answer_guards(1, GUARDS);
    watchman_again(*state);
    watchman_look(*state, GUARDS, NOW_MS + 2000);
    expect_asked(3, "turnout_guards", 1);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(one_round_at_a_time),
        TEST(answers_of_two_rounds),
        TEST(a_clock_that_is_set_back_begins_no_second_round),
        TEST(a_lost_connection_ends_the_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
