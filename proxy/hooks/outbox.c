/* See outbox.h. A delivery is a CURL handle while it is on its way, and a time while it waits. */
#include "proxy/hooks/outbox.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "proxy/hooks/mail.h"
#include "proxy/hooks/sign.h"
#include "proxy/log.h"

enum {
    ANSWER_MAX = 65536,        /* octets of an answer that are read and thrown away */
    SOCKETS_MAX = 1024,        /* known, to be cut at the end; others end by their time-outs */
    CONNECTIONS_KEPT = 256,    /* more than there can be: closing one may wait for a mail server's good-bye */
    CONNECTION_IDLE_MS = 2000, /* then it is cut */
    RUNNING_MAX = 1024,
};

struct job;

struct delivery {
    struct job *job;
    const struct config_webhook *webhook; /* NULL: a mail */
    const char *address;                  /* of the mail */
    char *target;                         /* "webhook NAME", "mail CLIENT ADDRESS" */
    const char *body;
    size_t len, sent, received;
    unsigned attempts;
    uint64_t due; /* ms, monotonic */
    bool done;
    CURL *easy; /* NULL: not on its way */
    struct curl_slist *list;
    char error[CURL_ERROR_SIZE];
};

struct job {
    struct job *next;
    struct config *config; /* held */
    struct hook_event *event;
    char **texts; /* bodies, by number */
    size_t texts_count;
    struct delivery *deliveries;
    size_t count, open;
};

struct outbox {
    CURLM *multi;
    const struct outbox_events *events;
    struct hook_counters *counters;
    void *ctx;
    struct job *first, **last;
    size_t jobs_count;
    struct delivery *running[RUNNING_MAX];
    size_t running_count;
    uint64_t busy_ms; /* when there was something to do */
    curl_socket_t sockets[SOCKETS_MAX];
    size_t sockets_count;
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static unsigned long ms_of(uint64_t ns)
{
    return (unsigned long)(ns / 1000000);
}

/* --- jobs ------------------------------------------------------------------------------------------------ */

static void end_transfer(struct outbox *outbox, struct delivery *d)
{
    if (d->easy == NULL) {
        return;
    }
    curl_multi_remove_handle(outbox->multi, d->easy);
    curl_easy_cleanup(d->easy);
    curl_slist_free_all(d->list);
    d->easy = NULL;
    d->list = NULL;
    for (size_t i = 0; i < outbox->running_count; i++) {
        if (outbox->running[i] == d) {
            outbox->running[i] = outbox->running[--outbox->running_count];
            break;
        }
    }
}

static void job_free(struct outbox *outbox, struct job *job)
{
    for (size_t i = 0; i < job->count; i++) {
        end_transfer(outbox, &job->deliveries[i]);
        free(job->deliveries[i].target);
    }
    for (size_t i = 0; i < job->texts_count; i++) {
        free(job->texts[i]);
    }
    free(job->texts);
    free(job->deliveries);
    hook_event_free(job->event);
    config_free(job->config);
    free(job);
}

static bool was_told(const char *target, const char *const *told, size_t told_count)
{
    for (size_t i = 0; i < told_count; i++) {
        if (strcmp(told[i], target) == 0) {
            return true;
        }
    }
    return false;
}

/* There is room for it. target is taken over; NULL without memory. */
static bool add_delivery(struct job *job, struct delivery delivery, char *target, const char *const *told,
                         size_t told_count)
{
    struct delivery *d = &job->deliveries[job->count];
    if (target == NULL) {
        return false;
    }
    if (was_told(target, told, told_count)) {
        free(target);
        return true;
    }
    *d = delivery;
    d->job = job;
    d->target = target;
    job->count++;
    job->open++;
    return true;
}

static char *keep_text(struct job *job, char *text)
{
    if (text != NULL) {
        job->texts[job->texts_count++] = text;
    }
    return text;
}

static char *target_of(const char *kind, const char *name, const char *address)
{
    char *target = NULL;
    if (asprintf(&target, "%s %s%s%s", kind, name, address[0] == '\0' ? "" : " ", address) < 0) {
        return NULL;
    }
    return target;
}

static bool add_posts(struct job *job, const char *const *told, size_t told_count)
{
    const struct config *config = job->config;
    if (config->webhooks_count == 0) {
        return true;
    }
    char *body = keep_text(job, hook_event_json(job->event, config->instance));
    bool fine = body != NULL;
    for (size_t i = 0; fine && i < config->webhooks_count; i++) {
        const struct config_webhook *webhook = &config->webhooks[i];
        fine = add_delivery(job, (struct delivery){.webhook = webhook, .body = body, .len = strlen(body)},
                            target_of("webhook", webhook->name, ""), told, told_count);
    }
    return fine;
}

static bool add_mails_to(struct job *job, const struct hook_audience *audience, const char *const *told,
                         size_t told_count)
{
    size_t len = 0;
    const char *who = audience->client == NULL ? "operator" : audience->client->system_id;
    char *body =
        keep_text(job, hook_mail_write(job->config, job->event, audience, (uint64_t)time(NULL), &len));
    bool fine = body != NULL;
    for (size_t i = 0; fine && i < audience->addresses_count; i++) {
        const char *address = audience->addresses[i];
        fine = add_delivery(job, (struct delivery){.address = address, .body = body, .len = len},
                            target_of("mail", who, address), told, told_count);
    }
    return fine;
}

/* Room for all deliveries and texts, then these. */
static bool fill_job(struct job *job, const struct hook_audiences *audiences, bool posts,
                     const char *const *told, size_t told_count)
{
    size_t count = job->config->webhooks_count;
    for (size_t i = 0; i < audiences->count; i++) {
        count += audiences->items[i].addresses_count;
    }
    job->deliveries = calloc(count + 1, sizeof *job->deliveries);
    job->texts = calloc(audiences->count + 1, sizeof *job->texts);
    if (job->deliveries == NULL || job->texts == NULL) {
        return false;
    }
    bool fine = !posts || add_posts(job, told, told_count);
    for (size_t i = 0; fine && i < audiences->count; i++) {
        if (posts || audiences->items[i].client != NULL) {
            fine = add_mails_to(job, &audiences->items[i], told, told_count);
        }
    }
    return fine;
}

static struct job *job_new(const struct config *config, struct hook_event *event)
{
    struct job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        hook_event_free(event);
        return NULL;
    }
    job->config = config_hold(config);
    job->event = event;
    return job;
}

/* Of what is told to nobody no log line is due. */
static void finish_job(struct outbox *outbox, struct job *job)
{
    outbox->events->done(outbox->ctx, job->event);
    job_free(outbox, job);
}

bool outbox_add(struct outbox *outbox, const struct config *config, const struct owners *owners,
                struct hook_event *event, const char *const *told, size_t told_count)
{
    static const struct hook_audiences nobody = {.count = 0};
    struct job *job = job_new(config, event);
    if (job == NULL) {
        return false;
    }
    struct hook_audiences *audiences =
        config->hooks.smtp == NULL ? NULL : hook_audiences_new(config, owners, event);
    bool posts = config->hooks.events & 1U << event->kind;
    bool fine = (audiences != NULL || config->hooks.smtp == NULL) &&
                fill_job(job, audiences == NULL ? &nobody : audiences, posts, told, told_count);
    hook_audiences_free(audiences);
    if (!fine) {
        job_free(outbox, job);
        return false;
    }
    if (job->open == 0) {
        metric_add(&outbox->counters->events_skipped, 1);
        finish_job(outbox, job);
        return true;
    }
    *outbox->last = job;
    outbox->last = &job->next;
    outbox->jobs_count++;
    return true;
}

size_t outbox_count(const struct outbox *outbox)
{
    return outbox->jobs_count;
}

bool outbox_has(const struct outbox *outbox, const char *id)
{
    for (const struct job *job = outbox->first; job != NULL; job = job->next) {
        if (strcmp(job->event->id, id) == 0) {
            return true;
        }
    }
    return false;
}

size_t outbox_ids(const struct outbox *outbox, const char **ids, size_t cap)
{
    size_t count = 0;
    for (const struct job *job = outbox->first; job != NULL && count < cap; job = job->next) {
        ids[count++] = job->event->id;
    }
    return count;
}

void outbox_drop(struct outbox *outbox)
{
    while (outbox->first != NULL) {
        struct job *job = outbox->first;
        outbox->first = job->next;
        job_free(outbox, job);
    }
    outbox->last = &outbox->first;
    outbox->jobs_count = 0;
}

/* --- what libcurl asks for ------------------------------------------------------------------------------- */

/* No more than a little of an answer is taken; what is too long ends the transfer, whose status is known by then. */
static size_t throw_away(char *data, size_t size, size_t count, void *arg)
{
    (void)data;
    struct delivery *d = arg;
    d->received += size * count;
    return d->received > ANSWER_MAX ? 0 : size * count;
}

static size_t read_mail(char *to, size_t size, size_t count, void *arg)
{
    struct delivery *d = arg;
    size_t left = d->len - d->sent;
    size_t part = left < size * count ? left : size * count;
    memcpy(to, d->body + d->sent, part);
    d->sent += part;
    return part;
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    struct outbox *outbox = arg;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd >= 0 && outbox->sockets_count < SOCKETS_MAX) {
        outbox->sockets[outbox->sockets_count++] = fd;
    }
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int close_socket(void *arg, curl_socket_t fd)
{
    struct outbox *outbox = arg;
    for (size_t i = 0; i < outbox->sockets_count; i++) {
        if (outbox->sockets[i] == fd) {
            outbox->sockets[i] = outbox->sockets[--outbox->sockets_count];
            break;
        }
    }
    return close(fd);
}

/* --- one transfer ---------------------------------------------------------------------------------------- */

static bool add_line(struct curl_slist **list, const char *format, const char *value)
{
    char *line = NULL;
    if (asprintf(&line, format, value) < 0) {
        return false;
    }
    struct curl_slist *longer = curl_slist_append(*list, line);
    free(line);
    *list = longer == NULL ? *list : longer;
    return longer != NULL;
}

static bool add_post_headers(struct delivery *d)
{
    char time_text[24], hex[HOOK_HEX_SIZE];
    snprintf(time_text, sizeof time_text, "%lld", (long long)time(NULL));
    const struct hook_event *event = d->job->event;
    bool fine = add_line(&d->list, "Content-Type: %s", "application/json") &&
                add_line(&d->list, "Expect:%s", "") &&
                add_line(&d->list, "X-Turnout-Event: %s", hook_kind_name(event->kind)) &&
                add_line(&d->list, "X-Turnout-Id: %s", event->id) &&
                add_line(&d->list, "X-Turnout-Timestamp: %s", time_text);
    if (fine && d->webhook->secret != NULL) {
        fine = hook_sign(d->webhook->secret, time_text, d->body, hex) &&
               add_line(&d->list, "X-Turnout-Signature: sha256=%s", hex);
    }
    return fine;
}

/* A header made of what is NULL is none. */
static void set_post(struct delivery *d)
{
    const struct config *config = d->job->config;
    curl_easy_setopt(d->easy, CURLOPT_URL, d->webhook->url);
    curl_easy_setopt(d->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(d->easy, CURLOPT_PROXY, config->hooks.proxy == NULL ? "" : config->hooks.proxy);
    curl_easy_setopt(d->easy, CURLOPT_POST, 1L);
    curl_easy_setopt(d->easy, CURLOPT_POSTFIELDS, d->body);
    curl_easy_setopt(d->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)d->len);
    curl_easy_setopt(d->easy, CURLOPT_HTTPHEADER, d->list);
    curl_easy_setopt(d->easy, CURLOPT_USERAGENT, "turnoutd/" TURNOUT_VERSION);
    curl_easy_setopt(d->easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(d->easy, CURLOPT_TIMEOUT_MS, (long)ms_of(config->hooks.timeout));
    if (d->webhook->ca != NULL) {
        curl_easy_setopt(d->easy, CURLOPT_CAINFO, d->webhook->ca);
    }
}

static void set_mail(struct delivery *d)
{
    static const long tls[] = {[SMTP_TLS_REQUIRED] = CURLUSESSL_ALL,
                               [SMTP_TLS_OFFERED] = CURLUSESSL_TRY,
                               [SMTP_TLS_NEVER] = CURLUSESSL_NONE};
    const struct config *config = d->job->config;
    long timeout = (long)ms_of(config->hooks.smtp_timeout);
    d->sent = 0;
    curl_easy_setopt(d->easy, CURLOPT_URL, config->hooks.smtp);
    curl_easy_setopt(d->easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(d->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(d->easy, CURLOPT_USE_SSL, tls[config->hooks.smtp_tls]);
    curl_easy_setopt(d->easy, CURLOPT_MAIL_FROM, config->hooks.mail_from);
    curl_easy_setopt(d->easy, CURLOPT_MAIL_RCPT, d->list);
    curl_easy_setopt(d->easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(d->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)d->len);
    curl_easy_setopt(d->easy, CURLOPT_READFUNCTION, read_mail);
    curl_easy_setopt(d->easy, CURLOPT_READDATA, d);
    curl_easy_setopt(d->easy, CURLOPT_TIMEOUT_MS, timeout);
    curl_easy_setopt(d->easy, CURLOPT_SERVER_RESPONSE_TIMEOUT, timeout / 1000 + 1);
    if (config->hooks.smtp_user != NULL) {
        curl_easy_setopt(d->easy, CURLOPT_USERNAME, config->hooks.smtp_user);
        curl_easy_setopt(d->easy, CURLOPT_PASSWORD, config->hooks.smtp_password);
    }
    if (config->hooks.smtp_ca != NULL) {
        curl_easy_setopt(d->easy, CURLOPT_CAINFO, config->hooks.smtp_ca);
    }
}

static void set_common(struct outbox *outbox, struct delivery *d)
{
    d->received = 0;
    d->error[0] = '\0';
    curl_easy_setopt(d->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(d->easy, CURLOPT_QUICK_EXIT, 1L); /* the end does not wait for a name's address */
    curl_easy_setopt(d->easy, CURLOPT_PRIVATE, d);
    curl_easy_setopt(d->easy, CURLOPT_ERRORBUFFER, d->error);
    curl_easy_setopt(d->easy, CURLOPT_WRITEFUNCTION, throw_away);
    curl_easy_setopt(d->easy, CURLOPT_WRITEDATA, d);
    curl_easy_setopt(d->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(d->easy, CURLOPT_OPENSOCKETDATA, outbox);
    curl_easy_setopt(d->easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl_easy_setopt(d->easy, CURLOPT_CLOSESOCKETDATA, outbox);
}

static bool start_transfer(struct outbox *outbox, struct delivery *d)
{
    d->easy = curl_easy_init();
    bool fine = d->easy != NULL;
    fine = fine && (d->webhook != NULL ? add_post_headers(d) : add_line(&d->list, "<%s>", d->address));
    if (fine) {
        set_common(outbox, d);
        if (d->webhook != NULL) {
            set_post(d);
        } else {
            set_mail(d);
        }
        fine = curl_multi_add_handle(outbox->multi, d->easy) == CURLM_OK;
    }
    if (fine) {
        outbox->running[outbox->running_count++] = d;
    }
    return fine;
}

/* --- its end --------------------------------------------------------------------------------------------- */

enum outcome { OUTCOME_DELIVERED, OUTCOME_LATER, OUTCOME_NEVER };

/* 408 and 429 ask for another attempt; so do all troubles of the server's own and of the network. */
static enum outcome outcome_of_post(CURLcode code, long status)
{
    enum { REQUEST_TIMEOUT = 408, TOO_MANY_REQUESTS = 429 };
    if (status / 100 == 2 && (code == CURLE_OK || code == CURLE_WRITE_ERROR)) {
        return OUTCOME_DELIVERED;
    }
    bool final = (code == CURLE_OK || code == CURLE_WRITE_ERROR) && status < 500 &&
                 status != REQUEST_TIMEOUT && status != TOO_MANY_REQUESTS;
    return final ? OUTCOME_NEVER : OUTCOME_LATER;
}

/* RFC 5321, 4.2.1: 5yz is final. */
static enum outcome outcome_of_mail(CURLcode code, long status)
{
    if (code == CURLE_OK) {
        return OUTCOME_DELIVERED;
    }
    return status / 100 == 5 ? OUTCOME_NEVER : OUTCOME_LATER;
}

static uint64_t pause_ms(const struct config *config, unsigned attempts)
{
    uint64_t pause = config->hooks.retry_min;
    for (unsigned i = 1; i < attempts && pause < config->hooks.retry_max; i++) {
        pause *= 2;
    }
    return ms_of(pause < config->hooks.retry_max ? pause : config->hooks.retry_max);
}

static void tell_log(enum log_event what, const struct delivery *d, long status, const char *why,
                     uint64_t next_ms)
{
    const struct hook_event *event = d->job->event;
    log_event(what, LOG_TEXT("to", d->target), LOG_TEXT("kind", hook_kind_name(event->kind)),
              LOG_TEXT("id", event->id), LOG_INT("attempt", d->attempts), LOG_INT("status", status),
              LOG_TEXT("why", why), LOG_INT("next_ms", next_ms));
}

static void count(struct outbox *outbox, const struct delivery *d, enum outcome outcome)
{
    struct hook_counters *c = outbox->counters;
    metric *const counters[2][3] = {{&c->mails_delivered, &c->mails_retried, &c->mails_failed},
                                    {&c->posts_delivered, &c->posts_retried, &c->posts_failed}};
    metric_add(counters[d->webhook != NULL][outcome], 1);
}

static void end_delivery(struct outbox *outbox, struct delivery *d, CURLcode code, long status)
{
    enum outcome outcome = d->webhook != NULL ? outcome_of_post(code, status) : outcome_of_mail(code, status);
    const char *why = d->error[0] != '\0' ? d->error : curl_easy_strerror(code);
    if (code == CURLE_OK || code == CURLE_WRITE_ERROR) {
        why = outcome == OUTCOME_DELIVERED ? "" : "refused";
    }
    d->attempts++;
    if (outcome == OUTCOME_LATER && d->attempts >= d->job->config->hooks.attempts) {
        outcome = OUTCOME_NEVER;
    }
    count(outbox, d, outcome);
    if (outcome == OUTCOME_LATER) {
        uint64_t pause = pause_ms(d->job->config, d->attempts);
        d->due = now_ms() + pause;
        tell_log(EVENT_HOOK_RETRY, d, status, why, pause);
        return;
    }
    d->done = true;
    d->job->open--;
    tell_log(outcome == OUTCOME_DELIVERED ? EVENT_HOOK_DELIVERED : EVENT_HOOK_GIVEN_UP, d, status, why, 0);
    outbox->events->told(outbox->ctx, d->job->event, d->target);
}

static void end_finished(struct outbox *outbox)
{
    int left;
    for (CURLMsg *m = curl_multi_info_read(outbox->multi, &left); m != NULL;
         m = curl_multi_info_read(outbox->multi, &left)) {
        struct delivery *d = NULL;
        long status = 0;
        CURLcode code = m->data.result;
        if (m->msg != CURLMSG_DONE) {
            continue;
        }
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&d);
        curl_easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &status);
        end_transfer(outbox, d);
        end_delivery(outbox, d, code, status);
    }
}

static void drop_finished(struct outbox *outbox)
{
    struct job **at = &outbox->first;
    while (*at != NULL) {
        struct job *job = *at;
        if (job->open > 0) {
            at = &job->next;
            continue;
        }
        *at = job->next;
        outbox->jobs_count--;
        finish_job(outbox, job);
    }
    outbox->last = at;
}

/* --- the turn -------------------------------------------------------------------------------------------- */

static bool same_receiver(const struct delivery *a, const struct delivery *b)
{
    if (a->webhook == NULL || b->webhook == NULL) {
        return a->webhook == b->webhook;
    }
    return strcmp(a->webhook->name, b->webhook->name) == 0;
}

static bool may_start(const struct outbox *outbox, const struct delivery *d, uint64_t now)
{
    unsigned same = 0;
    if (d->done || d->easy != NULL || d->due > now || outbox->running_count == RUNNING_MAX) {
        return false;
    }
    for (size_t i = 0; i < outbox->running_count; i++) {
        same += same_receiver(outbox->running[i], d);
    }
    return same < d->job->config->hooks.parallel;
}

static void start_due(struct outbox *outbox)
{
    uint64_t now = now_ms();
    for (struct job *job = outbox->first; job != NULL; job = job->next) {
        for (size_t i = 0; i < job->count; i++) {
            struct delivery *d = &job->deliveries[i];
            if (may_start(outbox, d, now) && !start_transfer(outbox, d)) {
                end_transfer(outbox, d);
                end_delivery(outbox, d, CURLE_OUT_OF_MEMORY, 0);
            }
        }
    }
}

/* Until the next attempt of one that waits, wait_ms at most. */
static unsigned until_due(const struct outbox *outbox, unsigned wait_ms)
{
    uint64_t now = now_ms();
    for (const struct job *job = outbox->first; job != NULL; job = job->next) {
        for (size_t i = 0; i < job->count; i++) {
            const struct delivery *d = &job->deliveries[i];
            if (!d->done && d->easy == NULL && d->due > now && d->due - now < wait_ms) {
                wait_ms = (unsigned)(d->due - now);
            }
        }
    }
    return wait_ms;
}

/* libcurl says good-bye to mail servers and waits for their answer; not so on a connection that is cut. It finds that
 * out when it would use it again. */
static void cut_connections(struct outbox *outbox)
{
    for (size_t i = 0; i < outbox->sockets_count; i++) {
        shutdown(outbox->sockets[i], SHUT_RDWR);
    }
}

/* Receivers are not held to connections that nothing goes over. */
static void cut_idle(struct outbox *outbox)
{
    uint64_t now = now_ms();
    if (outbox->first != NULL) {
        outbox->busy_ms = now;
    } else if (outbox->sockets_count > 0 && now - outbox->busy_ms > CONNECTION_IDLE_MS) {
        cut_connections(outbox);
    }
}

void outbox_turn(struct outbox *outbox, unsigned wait_ms)
{
    int running;
    cut_idle(outbox);
    start_due(outbox);
    curl_multi_perform(outbox->multi, &running);
    end_finished(outbox);
    drop_finished(outbox);
    if (wait_ms > 0) {
        curl_multi_poll(outbox->multi, NULL, 0, (int)until_due(outbox, wait_ms), NULL);
    }
}

void outbox_wake(struct outbox *outbox)
{
    curl_multi_wakeup(outbox->multi);
}

/* --- the whole ------------------------------------------------------------------------------------------- */

struct outbox *outbox_new(const struct outbox_events *events, struct hook_counters *counters, void *ctx)
{
    struct outbox *outbox = calloc(1, sizeof *outbox);
    if (outbox == NULL) {
        return NULL;
    }
    outbox->multi = curl_multi_init();
    if (outbox->multi == NULL) {
        free(outbox);
        return NULL;
    }
    curl_multi_setopt(outbox->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
    outbox->events = events;
    outbox->counters = counters;
    outbox->ctx = ctx;
    outbox->last = &outbox->first;
    return outbox;
}

void outbox_free(struct outbox *outbox)
{
    if (outbox == NULL) {
        return;
    }
    cut_connections(outbox);
    outbox_drop(outbox);
    curl_multi_cleanup(outbox->multi);
    free(outbox);
}
