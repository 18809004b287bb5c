/* What an instance is asked by turnoutctl, in the main thread.
 *
 *   store ──id, JSON──▶ questions_hear ──"kind"──▶ its function ──now, or later──▶ question_answer ──▶ store
 *                                     └──▶ unknown, unreadable, too many: {"error": ...} at once
 *
 * A function must not block: what takes long goes to a worker by letter, and question_working() tells whoever
 * asks that there is somebody at work. Every question is answered once, in the end. */
#ifndef PROXY_QUESTIONS_H
#define PROXY_QUESTIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { QUESTIONS_OPEN_MAX = 64, QUESTION_KINDS_MAX = 16, QUESTION_ANSWER_MAX = 1048576 };

struct questions;
struct question;

/* request is borrowed. */
typedef void question_function(void *ctx, struct question *question, const json_t *request);

/* self: the instance's name (copied). send gets each answer as text. NULL without memory. */
struct questions *questions_new(const char *self, void (*send)(void *ctx, const char *id, const char *answer),
                                void *ctx);

/* Drops the questions that are open: nobody may answer them any more. */
void questions_free(struct questions *questions);

/* Teaches it a kind (kept, not copied). Asserts that there is room, and that it is new. */
void questions_add(struct questions *questions, const char *kind, question_function *function, void *ctx);

/* A question has come. One with a member "without", an array of instances, is not for these. */
void questions_hear(struct questions *questions, const char *id, const char *request);

/* The names of all kinds, with blanks between them: what the instance's entry says it can be asked. */
void questions_kinds(const struct questions *questions, char *text, size_t cap);

/* How many are open. */
size_t questions_open(const struct questions *questions);

/* Answers it (answer is taken over; NULL stands for no memory), which ends it. */
void question_answer(struct question *question, json_t *answer);

/* Answers {"error": sentence}, which ends it. */
void question_refuse(struct question *question, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Says that the answer will come later. */
void question_working(struct question *question);

#endif
