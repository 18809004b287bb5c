/* The run of a load.
 *
 *   STARTING ─all bound (or failed)─▶ RUNNING ─all sent and answered, time over, or told to stop─▶ DRAINING
 *   ─all answered, or --drain over─▶ LINGERING ─enough MO and receipts, or --linger over─▶ ENDING (unbind) ─▶
 * ENDED */
#include "test/tools/lib/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smpp/constants.h"

enum { TICK_MS = 100, TICKS_A_LINE = 10 };

#define UNBIND_NS UINT64_C(2000000000)

/* --- phases ------------------------------------------------------------------------------------------------
 */

static size_t in_state(const struct load *load, enum load_session_state from, enum load_session_state to)
{
    size_t n = 0;
    for (size_t i = 0; i < load->session_count; i++) {
        n += load->sessions[i].state >= from && load->sessions[i].state <= to;
    }
    return n;
}

static void begin_phase(struct load *load, enum load_phase phase, uint64_t at_most)
{
    load->phase = phase;
    load->phase_end = at_most == UINT64_MAX ? UINT64_MAX : uv_hrtime() + at_most;
}

static void run(struct load *load)
{
    size_t bound = in_state(load, LOAD_BOUND, LOAD_BOUND);
    fprintf(stderr, "bound %zu of %zu\n", bound, load->session_count);
    begin_phase(load, LOAD_RUNNING, load->config.duration > 0 ? load->config.duration : UINT64_MAX);
    load_set_rate(load, load->config.rate);
    for (size_t i = 0; i < load->session_count; i++) {
        load_fill(&load->sessions[i], uv_hrtime());
    }
}

static void drain(struct load *load)
{
    begin_phase(load, LOAD_DRAINING, load->config.drain);
    load_drop_retries(load);
}

static void give_up(struct load *load)
{
    for (size_t i = 0; i < load->session_count; i++) {
        load_expire(&load->sessions[i], UINT64_MAX, "end");
    }
}

static void end_sessions(struct load *load)
{
    give_up(load);
    begin_phase(load, LOAD_ENDING, UNBIND_NS);
    for (size_t i = 0; i < load->session_count; i++) {
        load_unbind(&load->sessions[i]);
    }
}

static void close_all(struct load *load)
{
    for (size_t i = 0; i < load->session_count; i++) {
        if (load->sessions[i].state >= LOAD_CONNECTING) {
            channel_close(&load->sessions[i].channel, CHANNEL_FIN, "unbind was not answered");
        }
    }
}

static void end(struct load *load)
{
    load->phase = LOAD_ENDED;
    defer_clear(&load->defer);
    channel_loop_close(&load->channels);
    uv_close((uv_handle_t *)&load->pace, NULL);
    uv_close((uv_handle_t *)&load->tick, NULL);
    uv_stop(&load->loop);
}

static bool transmits_none(const struct load *load)
{
    return load->config.bind == BIND_RECEIVER || load->config.count == 0;
}

/* All that was to be sent is sent and answered for good; who sends nothing is never through. */
static bool through(const struct load *load)
{
    return !transmits_none(load) && !load_may_begin(load) && load->in_flight == 0 &&
           load->retries_waiting == 0;
}

static bool received_enough(const struct load *load)
{
    const struct load_config *config = &load->config;
    bool wants = config->wait_receipts > 0 || config->wait_mo > 0;
    return wants && load->counters.receipts >= config->wait_receipts && load->counters.mo >= config->wait_mo;
}

static bool nobody_left(const struct load *load)
{
    return in_state(load, LOAD_WAITING, LOAD_UNBINDING) == 0;
}

/* One step, if it is time for it. True where there was one. */
static bool step(struct load *load)
{
    bool over = uv_hrtime() >= load->phase_end;
    switch (load->phase) {
    case LOAD_STARTING:
        if (nobody_left(load)) {
            end_sessions(load);
        } else if (in_state(load, LOAD_WAITING, LOAD_BINDING) == 0) {
            run(load);
        } else {
            return false;
        }
        return true;
    case LOAD_RUNNING:
        if (!over && !through(load) && !nobody_left(load) &&
            !(transmits_none(load) && received_enough(load))) {
            return false;
        }
        drain(load);
        return true;
    case LOAD_DRAINING:
        if (!over && load->in_flight > 0) {
            return false;
        }
        begin_phase(load, LOAD_LINGERING, load->config.linger);
        return true;
    case LOAD_LINGERING:
        if (!over && !received_enough(load) && !nobody_left(load)) {
            return false;
        }
        end_sessions(load);
        return true;
    case LOAD_ENDING:
        if (over) {
            close_all(load);
            load->phase_end = UINT64_MAX;
        }
        if (in_state(load, LOAD_CONNECTING, LOAD_UNBINDING) > 0) {
            return false;
        }
        end(load);
        return true;
    case LOAD_ENDED:
    default: return false;
    }
}

void load_check(struct load *load)
{
    while (step(load)) {
    }
}

void load_stop(struct load *load)
{
    if (load->phase <= LOAD_RUNNING) {
        drain(load);
    } else if (load->phase < LOAD_ENDING) {
        end_sessions(load);
    } else if (load->phase == LOAD_ENDING) {
        load->phase_end = 0;
    }
    load_check(load);
}

/* --- timers ------------------------------------------------------------------------------------------------
 */

static void on_pace(uv_timer_t *timer)
{
    struct load *load = timer->data;
    if (load->config.rate > 0) {
        load_pace(load);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct load *load = timer->data;
    uint64_t now = uv_hrtime();
    const struct load_config *config = &load->config;
    static unsigned ticks;
    for (size_t i = 0; i < load->session_count; i++) {
        struct load_session *s = &load->sessions[i];
        if (s->in_flight > 0 && now > config->timeout) {
            load_expire(s, now - config->timeout, "timeout");
            load_fill(s, now);
        }
        if (s->state == LOAD_BOUND && config->enquire_link > 0 && now - s->enquired >= config->enquire_link) {
            load_enquire(s, now);
        }
    }
    if (!ledger_flush(load->ledger)) {
        perror(config->ledger);
    }
    if (config->progress && ++ticks % TICKS_A_LINE == 0) {
        load_live_line(load);
    }
    load_check(load);
}

/* --- begin and end -----------------------------------------------------------------------------------------
 */

static uint32_t bind_id(enum load_bind bind, size_t i)
{
    switch (bind) {
    case BIND_TRANSMITTER: return SMPP_BIND_TRANSMITTER;
    case BIND_RECEIVER: return SMPP_BIND_RECEIVER;
    case BIND_PAIR: return i % 2 == 0 ? SMPP_BIND_TRANSMITTER : SMPP_BIND_RECEIVER;
    case BIND_TRANSCEIVER:
    default: return SMPP_BIND_TRANSCEIVER;
    }
}

static void make_sessions(struct load *load)
{
    const struct load_config *config = &load->config;
    load->session_count = config->bind == BIND_PAIR ? 2 * config->sessions : config->sessions;
    load->sessions = tools_alloc(load->session_count, sizeof(*load->sessions));
    uint32_t slots = 1;
    while (slots < 2 * config->window) {
        slots *= 2;
    }
    for (size_t i = 0; i < load->session_count; i++) {
        struct load_session *s = &load->sessions[i];
        s->load = load;
        s->index = (uint32_t)i + 1;
        s->bind_id = bind_id(config->bind, i);
        s->slots_mask = slots - 1;
        s->slots = tools_alloc(slots, sizeof(*s->slots));
    }
}

static bool prepare(struct load *load)
{
    struct load_config *config = &load->config;
    uint16_t port = 0;
    if (!word_endpoint(config->connect, load->host, sizeof(load->host), &port) ||
        !channel_resolve(load->host, port, &load->address)) {
        fprintf(stderr, "no such address: %s\n", config->connect);
        return false;
    }
    if (config->tls) {
        load->tls = channel_tls_client(config->ca, config->insecure);
        if (load->tls == NULL) {
            return false;
        }
    }
    if (config->ledger != NULL) {
        load->ledger = ledger_open(config->ledger);
        if (load->ledger == NULL) {
            perror(config->ledger);
            return false;
        }
    }
    return true;
}

static void choose_run(struct load *load)
{
    uint64_t seed = load->config.seed;
    uint64_t different = (ledger_now() ^ ((uint64_t)getpid() << 40)) | 1;
    load->random_state = seed != 0 ? seed : different;
    if (load->config.run != NULL) {
        (void)snprintf(load->run, sizeof(load->run), "%s", load->config.run);
    } else {
        (void)snprintf(load->run, sizeof(load->run), "%06x", (unsigned)(random_next(&different) & 0xFFFFFF));
    }
}

static void start_timers(struct load *load)
{
    uv_timer_init(&load->loop, &load->pace);
    load->pace.data = load;
    uv_timer_start(&load->pace, on_pace, 1, 1);
    uv_timer_init(&load->loop, &load->tick);
    load->tick.data = load;
    uv_timer_start(&load->tick, on_tick, TICK_MS, TICK_MS);
}

bool load_start(struct load *load, const struct load_config *config)
{
    memset(load, 0, sizeof(*load));
    load->config = *config;
    load->phase_end = UINT64_MAX;
    TAILQ_INIT(&load->ready);
    if (!prepare(load)) {
        ledger_close(load->ledger);
        SSL_CTX_free(load->tls);
        return false;
    }
    choose_run(load);
    memset(load->text, '.', sizeof(load->text));
    uv_loop_init(&load->loop);
    channel_loop_init(&load->channels, &load->loop);
    defer_init(&load->defer, &load->loop);
    start_timers(load);
    make_sessions(load);
    for (size_t i = 0; i < load->session_count; i++) {
        load_connect(&load->sessions[i]);
    }
    return true;
}

void load_free(struct load *load)
{
    for (size_t i = 0; i < load->session_count; i++) {
        free(load->sessions[i].slots);
    }
    free(load->sessions);
    ledger_close(load->ledger);
    SSL_CTX_free(load->tls);
    channel_loop_free(&load->channels);
    uv_loop_close(&load->loop);
}
