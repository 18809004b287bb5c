/* See number_swap.h. */
#include "proxy/number_swap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/log.h"
#include "proxy/number_answers.h"

enum { ERROR_TEXT = 300 };

/* A file that is being read in the thread pool. */
struct check {
    uv_work_t work;
    struct number_swap *swap;
    struct question *question; /* NULL: nobody can be answered any more */
    unsigned epoch;            /* of the configuration that named it */
    char *path;
    struct number_rules rules;
    struct numbers *numbers; /* NULL: error says why not */
    uint64_t took_ns;
    char error[ERROR_TEXT];
};

/* A swap that all workers have made: answered when the instance's entry says so, too. */
struct done {
    struct done *next;
    struct question *question;
    json_t *answer; /* NULL: no memory for it */
    uint64_t since;
};

struct number_swap {
    uv_loop_t *loop;
    const struct inquiry_source *source;
    struct check *check;  /* under way */
    struct numbers *kept; /* aside, checked */
    uint64_t kept_since;
    struct done *done; /* not in the instance's entry yet; the newest first */
    unsigned epoch;    /* counts configurations */
    bool reloading, ended;
};

static struct config *config_of(const struct number_swap *swap)
{
    return swap->source->bundle(swap->source->ctx)->config;
}

static void drop_kept(struct number_swap *swap)
{
    numbers_close(swap->kept);
    swap->kept = NULL;
}

static json_t *with_ms(json_t *answer, uint64_t ns)
{
    if (answer != NULL)
        json_object_set_new(answer, "ms", json_real((double)ns / 1e6));
    return answer;
}

/* --- check ------------------------------------------------------------------------------------------------ */

static uint8_t carrier_named(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->carriers_count; i++) {
        if (strcmp(config->carriers[i].name, name) == 0)
            return config->carriers[i].id;
    }
    return NAME_NONE;
}

/* From carriers as the table numbers them to ours. False with an error where it has others. */
static bool call_carriers(const struct config *config, struct check *check)
{
    unsigned count = numbers_about(check->numbers).carriers;
    for (unsigned i = 0; i < count; i++) {
        const char *name = numbers_carrier(check->numbers, i);
        uint8_t id = carrier_named(config, name);
        if (id == NAME_NONE) {
            snprintf(check->error, sizeof check->error,
                     "names carrier \"%.64s\", which the configuration does not have", name);
            return false;
        }
        numbers_call(check->numbers, i, id);
    }
    return true;
}

static void read_file(uv_work_t *work)
{
    struct check *check = work->data;
    uint64_t began = uv_hrtime();
    check->numbers = numbers_open(check->path, check->error, sizeof check->error);
    if (check->numbers != NULL &&
        !numbers_international(check->numbers, &check->rules, check->error, sizeof check->error)) {
        numbers_close(check->numbers);
        check->numbers = NULL;
    }
    check->took_ns = uv_hrtime() - began;
}

static void answer_check(struct number_swap *swap, struct check *check)
{
    const struct config *config = config_of(swap);
    if (check->epoch != swap->epoch || swap->reloading) {
        question_refuse(check->question, "its configuration was read again meanwhile");
        return;
    }
    if (check->numbers == NULL || !call_carriers(config, check)) {
        log_event(EVENT_NUMBERS_REFUSED, LOG_TEXT("file", check->path), LOG_TEXT("why", check->error));
        question_refuse(check->question, "%s %s", check->path, check->error);
        return;
    }
    drop_kept(swap);
    swap->kept = check->numbers;
    swap->kept_since = uv_hrtime();
    check->numbers = NULL;
    json_t *answer = number_answers_table_of(swap->kept, check->path);
    char in_use[CHECKSUM_TEXT];
    if (config->numbers != NULL)
        number_answers_checksum(config->numbers, in_use);
    if (answer != NULL)
        json_object_set_new(answer, "in_use", config->numbers == NULL ? json_null() : json_string(in_use));
    question_answer(check->question, with_ms(answer, check->took_ns));
}

static void free_check(struct check *check)
{
    numbers_close(check->numbers);
    free(check->path);
    free(check);
}

static void have_read(uv_work_t *work, int status)
{
    struct check *check = work->data;
    struct number_swap *swap = check->swap;
    (void)status; /* nobody cancels it */
    swap->check = NULL;
    if (!swap->ended)
        answer_check(swap, check);
    free_check(check);
}

static struct check *new_check(struct number_swap *swap, struct question *question)
{
    struct check *check = calloc(1, sizeof *check);
    const struct config *config = config_of(swap);
    char *path = strdup(config->portability_table);
    if (check == NULL || path == NULL) {
        free(check);
        free(path);
        return NULL;
    }
    *check = (struct check){.swap = swap,
                            .question = question,
                            .epoch = swap->epoch,
                            .path = path,
                            .rules = number_rules_of(config->country_code, config->national_prefix,
                                                     config->international_prefix)};
    check->work.data = check;
    return check;
}

static void begin_check(struct number_swap *swap, struct question *question)
{
    struct check *check = new_check(swap, question);
    if (check == NULL || uv_queue_work(swap->loop, &check->work, read_file, have_read) != 0) {
        if (check != NULL)
            free_check(check);
        question_answer(question, NULL);
        return;
    }
    swap->check = check;
    question_working(question);
}

static void ask_check(void *ctx, struct question *question, const json_t *request)
{
    struct number_swap *swap = ctx;
    (void)request;
    if (swap->reloading)
        question_refuse(question, "its configuration is being read again");
    else if (swap->check != NULL)
        question_refuse(question, "a portability table is being checked already");
    else if (config_of(swap)->portability_table == NULL)
        question_refuse(question, "its configuration names no portability-table");
    else
        begin_check(swap, question);
}

/* --- swap ------------------------------------------------------------------------------------------------- */

struct crossing;

struct pass {
    struct letter letter; /* back to main */
    struct crossing *crossing;
};

/* A table that some worker may still look into. */
struct crossing {
    struct number_swap *swap;
    struct question *question;
    struct numbers *old; /* NULL: there was none */
    uint64_t began;
    unsigned awaited;
    bool unsure; /* a worker could not be asked: the old one is kept */
    struct pass passes[];
};

static void answer_when_told(struct number_swap *swap, struct question *question, json_t *answer)
{
    struct done *done = malloc(sizeof *done);
    if (done == NULL) {
        question_answer(question, answer);
    } else {
        *done = (struct done){swap->done, question, answer, uv_hrtime()};
        swap->done = done;
    }
    swap->source->refresh(swap->source->ctx);
}

void number_swap_told(struct number_swap *swap, uint64_t sent_ns)
{
    for (struct done **at = &swap->done, *done; !swap->ended && (done = *at) != NULL;) {
        if (done->since > sent_ns) {
            at = &done->next;
            continue;
        }
        *at = done->next;
        question_answer(done->question, done->answer);
        free(done);
    }
}

static void finish_where_all_passed(struct crossing *crossing)
{
    if (crossing->awaited > 0)
        return;
    struct number_swap *swap = crossing->swap;
    const struct config *config = config_of(swap);
    if (!crossing->unsure)
        numbers_close(crossing->old);
    if (!swap->ended) {
        char checksum[CHECKSUM_TEXT];
        uint64_t took = uv_hrtime() - crossing->began;
        number_answers_checksum(config->numbers, checksum);
        log_event(EVENT_NUMBERS_SWAPPED, LOG_TEXT("file", config->portability_table),
                  LOG_TEXT("version", numbers_about(config->numbers).version), LOG_TEXT("checksum", checksum),
                  LOG_INT("numbers", numbers_about(config->numbers).count), LOG_INT("us", took / 1000));
        answer_when_told(swap, crossing->question, with_ms(number_answers_table(config), took));
    }
    free(crossing);
}

static void open_pass(void *main, struct letter *letter)
{
    struct pass *pass = (struct pass *)letter;
    (void)main;
    pass->crossing->awaited--;
    finish_where_all_passed(pass->crossing);
}

/* Between two callbacks, so no look-up of this worker is under way. */
static void pass_in_worker(struct worker *w, void *arg)
{
    struct pass *pass = arg;
    (void)w;
    pass->letter.open = open_pass;
    mailbox_post(pass->crossing->swap->source->main, &pass->letter);
}

static void cross(struct number_swap *swap, struct question *question, struct crossing *crossing)
{
    const struct inquiry_source *source = swap->source;
    struct config *config = config_of(swap);
    unsigned threads = *source->threads_count;
    *crossing = (struct crossing){
        .swap = swap, .question = question, .old = config->numbers, .began = uv_hrtime(), .awaited = 1};
    config->numbers = swap->kept;
    swap->kept = NULL;
    (void)carrier_map_swap_table(config->carrier_map, config->numbers);
    for (unsigned i = 0; i < threads; i++) {
        crossing->passes[i].crossing = crossing;
        if (thread_call(source->threads[i], pass_in_worker, &crossing->passes[i]))
            crossing->awaited++;
        else
            crossing->unsure = true;
    }
    crossing->awaited--;
    finish_where_all_passed(crossing);
}

static bool has_checksum(const struct numbers *numbers, const char *checksum)
{
    char its[CHECKSUM_TEXT];
    if (numbers == NULL)
        return false;
    number_answers_checksum(numbers, its);
    return strcmp(its, checksum) == 0;
}

static void ask_swap(void *ctx, struct question *question, const json_t *request)
{
    struct number_swap *swap = ctx;
    const char *checksum = json_string_value(json_object_get(request, "checksum"));
    if (checksum == NULL) {
        question_refuse(question, "the question has no text \"checksum\"");
    } else if (swap->reloading) {
        question_refuse(question, "its configuration is being read again");
    } else if (has_checksum(config_of(swap)->numbers, checksum)) {
        drop_kept(swap);
        question_answer(question, with_ms(number_answers_table(config_of(swap)), 0));
    } else if (!has_checksum(swap->kept, checksum)) {
        question_refuse(question, "it no longer has the table that was checked");
    } else {
        struct crossing *crossing =
            malloc(sizeof *crossing + *swap->source->threads_count * sizeof(struct pass));
        if (crossing == NULL)
            question_answer(question, NULL);
        else
            cross(swap, question, crossing);
    }
}

/* --- the rest --------------------------------------------------------------------------------------------- */

struct number_swap *number_swap_new(uv_loop_t *loop, const struct inquiry_source *source,
                                    struct questions *questions)
{
    struct number_swap *swap = calloc(1, sizeof *swap);
    if (swap == NULL)
        return NULL;
    swap->loop = loop;
    swap->source = source;
    questions_add(questions, "numbers_check", ask_check, swap);
    questions_add(questions, "numbers_swap", ask_swap, swap);
    return swap;
}

void number_swap_reloads(struct number_swap *swap, bool on_its_way)
{
    swap->reloading = on_its_way;
    swap->epoch++;
    drop_kept(swap);
}

void number_swap_turn(struct number_swap *swap, uint64_t now)
{
    if (swap->kept != NULL && now > swap->kept_since + NUMBER_SWAP_KEPT_S * UINT64_C(1000000000))
        drop_kept(swap);
}

void number_swap_end(struct number_swap *swap)
{
    swap->ended = true;
}

void number_swap_free(struct number_swap *swap)
{
    if (swap == NULL)
        return;
    drop_kept(swap);
    for (struct done *done; (done = swap->done) != NULL;) {
        swap->done = done->next;
        json_decref(done->answer);
        free(done);
    }
    free(swap);
}
