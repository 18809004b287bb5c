/* See questions.h. */
#include "proxy/questions.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kind {
    const char *name;
    question_function *function;
    void *ctx;
};

struct question {
    struct question *next, **link; /* among those that are open */
    struct questions *questions;
    char id[]; /* to answer to */
};

struct questions {
    void (*send)(void *ctx, const char *id, const char *answer);
    void *ctx;
    char *self;
    struct kind kinds[QUESTION_KINDS_MAX];
    size_t kinds_count, open_count;
    struct question *open;
};

struct questions *questions_new(const char *self, void (*send)(void *ctx, const char *id, const char *answer),
                                void *ctx)
{
    struct questions *questions = calloc(1, sizeof *questions);
    if (questions != NULL && (questions->self = strdup(self)) == NULL) {
        free(questions);
        questions = NULL;
    }
    if (questions != NULL) {
        questions->send = send;
        questions->ctx = ctx;
    }
    return questions;
}

void questions_free(struct questions *questions)
{
    while (questions != NULL && questions->open != NULL) {
        struct question *next = questions->open->next;
        free(questions->open);
        questions->open = next;
    }
    if (questions != NULL) {
        free(questions->self);
    }
    free(questions);
}

static const struct kind *kind_of(const struct questions *questions, const char *name)
{
    for (size_t i = 0; i < questions->kinds_count; i++) {
        if (strcmp(questions->kinds[i].name, name) == 0) {
            return &questions->kinds[i];
        }
    }
    return NULL;
}

void questions_add(struct questions *questions, const char *kind, question_function *function, void *ctx)
{
    assert(questions->kinds_count < QUESTION_KINDS_MAX && kind_of(questions, kind) == NULL);
    questions->kinds[questions->kinds_count++] =
        (struct kind){.name = kind, .function = function, .ctx = ctx};
}

void questions_kinds(const struct questions *questions, char *text, size_t cap)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < questions->kinds_count && used < cap; i++) {
        used +=
            (size_t)snprintf(text + used, cap - used, "%s%s", i == 0 ? "" : " ", questions->kinds[i].name);
    }
}

size_t questions_open(const struct questions *questions)
{
    return questions->open_count;
}

/* --- answers ---------------------------------------------------------------------------------------------- */

/* answer is taken over. */
static void send_json(const struct questions *questions, const char *id, json_t *answer)
{
    char *text = answer == NULL ? NULL : json_dumps(answer, JSON_COMPACT);
    json_decref(answer);
    if (text == NULL) {
        questions->send(questions->ctx, id, "{\"error\":\"no memory for the answer\"}");
    } else if (strlen(text) > QUESTION_ANSWER_MAX) {
        questions->send(questions->ctx, id, "{\"error\":\"the answer is too long: ask for less\"}");
    } else {
        questions->send(questions->ctx, id, text);
    }
    free(text);
}

static json_t *error_json(const char *format, va_list list)
{
    char text[1024];
    vsnprintf(text, sizeof text, format, list);
    json_t *sentence = json_string(text);
    for (char *c = text; sentence == NULL && *c != '\0'; c++) {
        if ((unsigned char)*c >= 0x80) { /* it quotes what is no UTF-8, or was cut inside a character */
            *c = '?';
        }
    }
    sentence = sentence == NULL ? json_string(text) : sentence;
    return sentence == NULL ? NULL : json_pack("{s:o}", "error", sentence);
}

static void refuse_unheard(const struct questions *questions, const char *id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void refuse_unheard(const struct questions *questions, const char *id, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    send_json(questions, id, error_json(format, list));
    va_end(list);
}

static void end_question(struct question *question)
{
    *question->link = question->next;
    if (question->next != NULL) {
        question->next->link = question->link;
    }
    question->questions->open_count--;
    free(question);
}

void question_answer(struct question *question, json_t *answer)
{
    send_json(question->questions, question->id, answer);
    end_question(question);
}

void question_refuse(struct question *question, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    json_t *answer = error_json(format, list);
    va_end(list);
    question_answer(question, answer);
}

void question_working(struct question *question)
{
    question->questions->send(question->questions->ctx, question->id, "{\"working\":true}");
}

/* --- questions -------------------------------------------------------------------------------------------- */

static struct question *open_question(struct questions *questions, const char *id)
{
    size_t len = strlen(id);
    struct question *question =
        questions->open_count < QUESTIONS_OPEN_MAX ? malloc(sizeof *question + len + 1) : NULL;
    if (question == NULL) {
        return NULL;
    }
    *question = (struct question){.questions = questions, .next = questions->open, .link = &questions->open};
    memcpy(question->id, id, len + 1);
    if (question->next != NULL) {
        question->next->link = &question->next;
    }
    questions->open = question;
    questions->open_count++;
    return question;
}

static void hear_json(struct questions *questions, const char *id, const json_t *request)
{
    const char *name = json_string_value(json_object_get(request, "kind"));
    const struct kind *kind = name == NULL ? NULL : kind_of(questions, name);
    struct question *question;
    if (name == NULL) {
        refuse_unheard(questions, id, "a question is a JSON object with a member \"kind\"");
    } else if (kind == NULL) {
        refuse_unheard(questions, id, "turnoutd " TURNOUT_VERSION " knows no question of this kind");
    } else if ((question = open_question(questions, id)) == NULL) {
        refuse_unheard(questions, id, "%zu questions are open already", questions->open_count);
    } else {
        kind->function(kind->ctx, question, request);
    }
}

/* Does the request name us in "without"? Nobody waits for our answer then. */
static bool is_left_out(const struct questions *questions, const json_t *request)
{
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(request, "without"), i, name)
    {
        if (json_is_string(name) && strcmp(json_string_value(name), questions->self) == 0) {
            return true;
        }
    }
    return false;
}

void questions_hear(struct questions *questions, const char *id, const char *request)
{
    json_t *json = json_loads(request, JSON_REJECT_DUPLICATES, NULL);
    if (!is_left_out(questions, json)) {
        hear_json(questions, id, json);
    }
    json_decref(json);
}
