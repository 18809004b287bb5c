/* Questions to the instances, answered live.
 *
 *   request ──turnout_ask──▶ every living instance ──turnout_answer──▶ P:answers:<id> ──BLPOP──▶ ask_take
 *   until each has answered, the time is over, or those that are left have not said a word
 *
 * An instance that needs longer says so at once ({"working": true}, questions.h), so that one that hangs or
 * is cut off is told from one that works on it, and is not waited for. One whose entry does not list the kind
 * in its field "answers" is of an older program, and not waited for either. An answer with a member "error"
 * (a sentence) is a refusal. */
#ifndef ROUTING_CTL_ASK_H
#define ROUTING_CTL_ASK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routing/ctl/ctl.h"
#include "routing/ctl/instance_list.h"
#include "routing/ctl/redis.h"

struct ask_item {
    char *instance;
    json_t *answer; /* an object; NULL: it did not answer */
    bool working;   /* it has said that it works on it */
};

/* One question and what came back; in order of the instances' names. */
struct ask {
    char id[64];
    size_t count;
    struct ask_item *items;
    int64_t took_us;
};

/* Asks every living instance, and waits at most limit_ms (0: --timeout) for their answers. request (borrowed)
 * has a member "kind"; instances in its member "without" (an array) are neither asked nor waited for. False where Redis failed (ctl_redis_failed tells); an instance that does not answer is
 * no failure. Also ends at a signal (ctl_stopped). Free with ask_free, also after false. */
bool ask_all(struct ctl *ctl, const json_t *request, unsigned limit_ms, struct ask *ask);

/* The instances that --without names, as the array "without" of a request. */
json_t *ask_without(const struct ctl *ctl);

void ask_free(struct ask *ask);

/* Why there is no answer of it that could be used: its "error", or that it did not answer. NULL where there
 * is one. */
const char *ask_failed(const struct ask_item *item);

/* {"id", "answered", "error" (where there is one)} for each, and the members of its answer. */
json_t *ask_json(const struct ask *ask);

/* A whole command: asks (request is taken over), shows or answers what came back, and fails where a living instance did
 * not answer. show is for text, and called where there is an instance. */
enum ctl_exit ask_command(struct ctl *ctl, json_t *request, void (*show)(const struct ask *ask));

/* --- parts ------------------------------------------------------------------------------------------------ */

/* From the reply of turnout_ask: id, then each living instance. False where it is none. */
bool ask_begin(struct ask *ask, const redisReply *reply);

/* Those whose entry does not say that they answer this kind are not waited for. */
void ask_skip(struct ask *ask, const struct instance_list *list, const char *kind);

/* One element of the list of answers: "<instance>\n<JSON>". False where it cannot be used: it is of nobody
 * who was asked, of one that has answered, or no JSON object. */
bool ask_take(struct ask *ask, const char *element);

/* Is somebody left who may still answer? silent: the time for a first word is over. */
bool ask_waits(const struct ask *ask, bool silent);

#endif
