/* Questions find their function, and each gets one answer. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/questions.h"

static char sent[4096]; /* "id answer;id answer;" */
static size_t sent_long;
static struct question *kept[QUESTIONS_OPEN_MAX];
static size_t kept_count;

static void send_answer(void *ctx, const char *id, const char *answer)
{
    (void)ctx;
    size_t used = strlen(sent);
    sent_long = strlen(answer);
    snprintf(sent + used, sizeof sent - used, "%s %s;", id, answer);
}

static void echo(void *ctx, struct question *question, const json_t *request)
{
    question_answer(
        question, json_pack("{s:s, s:O}", "of", (const char *)ctx, "got", json_object_get(request, "what")));
}

static void keep(void *ctx, struct question *question, const json_t *request)
{
    (void)ctx;
    (void)request;
    question_working(question);
    kept[kept_count++] = question;
}

static void answer_much(void *ctx, struct question *question, const json_t *request)
{
    char *text = malloc(QUESTION_ANSWER_MAX + 1);
    (void)ctx;
    (void)request;
    assert_non_null(text);
    memset(text, 'x', QUESTION_ANSWER_MAX);
    text[QUESTION_ANSWER_MAX] = '\0';
    question_answer(question, json_pack("{s:s}", "text", text));
    free(text);
}

static void answer_nothing(void *ctx, struct question *question, const json_t *request)
{
    (void)ctx;
    (void)request;
    question_answer(question, NULL);
}

static struct questions *questions;

static int begin(void **state)
{
    (void)state;
    sent[0] = '\0';
    kept_count = 0;
    questions = questions_new("me", send_answer, NULL);
    if (questions != NULL) {
        questions_add(questions, "echo", echo, (void *)(uintptr_t) "e");
        questions_add(questions, "keep", keep, NULL);
        questions_add(questions, "much", answer_much, NULL);
        questions_add(questions, "nothing", answer_nothing, NULL);
    }
    return questions == NULL;
}

static int end(void **state)
{
    (void)state;
    questions_free(questions);
    return 0;
}

static void answers_now(void **state)
{
    (void)state;
    questions_hear(questions, "1-0", "{\"kind\":\"echo\",\"what\":[1]}");
    assert_string_equal(sent, "1-0 {\"of\":\"e\",\"got\":[1]};");
    assert_int_equal(questions_open(questions), 0);
}

static void says_nothing_where_it_is_left_out(void **state)
{
    (void)state;
    sent[0] = '\0';
    questions_hear(questions, "1-0", "{\"kind\":\"echo\",\"what\":[1],\"without\":[\"other\",\"me\"]}");
    assert_string_equal(sent, "");
    questions_hear(questions, "2-0", "{\"kind\":\"echo\",\"what\":[1],\"without\":[\"other\",7]}");
    assert_string_equal(sent, "2-0 {\"of\":\"e\",\"got\":[1]};");
}

static void refuses_what_it_cannot_read(void **state)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "\"keep\"",
                                      "{}",
                                      "{\"kind\":1}",
                                      "{\"kind\":null}",
                                      "{\"kind\":\"keep\"",
                                      "{\"kind\":\"keep\"} {}",
                                      "{\"kind\":\"keep\",\"kind\":\"keep\"}",
                                      "{\"kind\":\"\\u0000\"}",
                                      "{\"kind\":\"kee\"}",
                                      "{\"kind\":\"keeps\"}",
                                      "{\"kind\":\"\"}"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sent[0] = '\0';
        questions_hear(questions, "5-0", bad[i]);
        assert_true(strncmp(sent, "5-0 {\"error\":\"", 14) == 0);
        assert_int_equal(questions_open(questions), 0);
    }
    assert_int_equal(kept_count, 0);
}

static void answers_later_in_any_order(void **state)
{
    static const size_t order[] = {1, 2, 0};
    (void)state;
    questions_hear(questions, "1-0", "{\"kind\":\"keep\"}");
    questions_hear(questions, "2-0", "{\"kind\":\"keep\"}");
    questions_hear(questions, "3-0", "{\"kind\":\"keep\"}");
    assert_string_equal(sent, "1-0 {\"working\":true};2-0 {\"working\":true};3-0 {\"working\":true};");
    assert_int_equal(questions_open(questions), 3);
    sent[0] = '\0';
    for (size_t i = 0; i < 3; i++) {
        question_answer(kept[order[i]], json_object());
    }
    assert_string_equal(sent, "2-0 {};3-0 {};1-0 {};");
    assert_int_equal(questions_open(questions), 0);
}

static void has_room_for_so_many(void **state)
{
    (void)state;
    for (int i = 0; i < QUESTIONS_OPEN_MAX; i++) {
        questions_hear(questions, "1-0", "{\"kind\":\"keep\"}");
    }
    sent[0] = '\0';
    questions_hear(questions, "2-0", "{\"kind\":\"keep\"}");
    assert_string_equal(sent, "2-0 {\"error\":\"64 questions are open already\"};");
    assert_int_equal(kept_count, QUESTIONS_OPEN_MAX);
    question_answer(kept[0], json_object());
    kept_count = 0;
    questions_hear(questions, "3-0", "{\"kind\":\"keep\"}");
    assert_int_equal(kept_count, 1);
    assert_int_equal(questions_open(questions), QUESTIONS_OPEN_MAX); /* freed with it, as ASan sees */
}

static void refuses_with_a_sentence(void **state)
{
    (void)state;
    questions_hear(questions, "1-0", "{\"kind\":\"keep\"}");
    sent[0] = '\0';
    question_refuse(kept[0], "no link %s", "spark:\"omni\"");
    assert_string_equal(sent, "1-0 {\"error\":\"no link spark:\\\"omni\\\"\"};");
    questions_hear(questions, "2-0", "{\"kind\":\"keep\"}");
    sent[0] = '\0';
    question_refuse(kept[1], "half a letter: \xc4");
    assert_string_equal(sent, "2-0 {\"error\":\"half a letter: ?\"};");
}

static void answers_what_cannot_be_sent(void **state)
{
    (void)state;
    questions_hear(questions, "1-0", "{\"kind\":\"much\"}");
    assert_non_null(strstr(sent, "too long"));
    assert_true(sent_long < 100);
    sent[0] = '\0';
    questions_hear(questions, "1-0", "{\"kind\":\"nothing\"}");
    assert_non_null(strstr(sent, "no memory"));
    assert_int_equal(questions_open(questions), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_now, begin, end),
        cmocka_unit_test_setup_teardown(says_nothing_where_it_is_left_out, begin, end),
        cmocka_unit_test_setup_teardown(refuses_what_it_cannot_read, begin, end),
        cmocka_unit_test_setup_teardown(answers_later_in_any_order, begin, end),
        cmocka_unit_test_setup_teardown(has_room_for_so_many, begin, end),
        cmocka_unit_test_setup_teardown(refuses_with_a_sentence, begin, end),
        cmocka_unit_test_setup_teardown(answers_what_cannot_be_sent, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
