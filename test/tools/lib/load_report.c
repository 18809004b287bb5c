/* What the load says: a live line a second, JSON at the end, and answers to commands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smpp/constants.h"
#include "test/tools/lib/control.h"
#include "test/tools/lib/load.h"

static size_t bound(const struct load *load)
{
    size_t n = 0;
    for (size_t i = 0; i < load->session_count; i++) {
        n += load->sessions[i].state == LOAD_BOUND;
    }
    return n;
}

void load_live_line(struct load *load)
{
    uint64_t now = uv_hrtime();
    const struct load_counters *c = &load->counters;
    double seconds = (double)(now - load->reported) / 1e9;
    double rate = load->reported == 0 ? 0 : (double)(c->accepted - load->reported_accepted) / seconds;
    fprintf(
        stderr,
        "bound %zu/%zu  sent %llu  accepted %llu (%.0f/s)  refused %llu  unanswered %llu  in flight %llu  "
        "mo %llu  receipts %llu  p50 %.0f us  p99 %.0f us\n",
        bound(load), load->session_count, (unsigned long long)c->sent, (unsigned long long)c->accepted, rate,
        (unsigned long long)c->refused, (unsigned long long)c->unanswered,
        (unsigned long long)load->in_flight, (unsigned long long)c->mo, (unsigned long long)c->receipts,
        (double)histogram_quantile(&load->latency, 0.5) / 1e3,
        (double)histogram_quantile(&load->latency, 0.99) / 1e3);
    load->reported = now;
    load->reported_accepted = c->accepted;
}

static json_t *latencies(const struct histogram *h)
{
    static const struct {
        const char *name;
        double quantile;
    } rows[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};
    json_t *json = json_object();
    json_object_set_new(json, "count", json_integer((json_int_t)h->count));
    json_object_set_new(json, "min", json_real(h->count == 0 ? 0 : (double)h->min / 1e3));
    json_object_set_new(json, "mean", json_real((double)histogram_mean(h) / 1e3));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_object_set_new(json, rows[i].name,
                            json_real((double)histogram_quantile(h, rows[i].quantile) / 1e3));
    }
    json_object_set_new(json, "max", json_real((double)h->max / 1e3));
    return json;
}

static json_t *statuses(const struct load *load)
{
    json_t *json = json_object();
    for (size_t i = 0; i < load->status_count; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "0x%08x", load->statuses[i]);
        json_object_set_new(json, name, json_integer((json_int_t)load->status_counts[i]));
    }
    return json;
}

json_t *load_report(const struct load *load)
{
    json_t *json = json_object();
    double seconds = load->finished > load->started ? (double)(load->finished - load->started) / 1e9 : 0;
    const struct load_counters *c = &load->counters;
#define LOAD_COUNTER_JSON(field, help) json_object_set_new(json, #field, json_integer((json_int_t)c->field));
    LOAD_COUNTERS(LOAD_COUNTER_JSON)
#undef LOAD_COUNTER_JSON
    json_object_set_new(json, "refused_by_status", statuses(load));
    json_object_set_new(json, "in_flight", json_integer((json_int_t)load->in_flight));
    json_object_set_new(json, "bound", json_integer((json_int_t)bound(load)));
    json_object_set_new(json, "run", json_string(load->run));
    json_object_set_new(json, "seconds", json_real(seconds));
    json_object_set_new(json, "rate",
                        json_real(seconds > 0 ? (double)(c->accepted + c->refused) / seconds : 0));
    json_object_set_new(json, "latency_us", latencies(&load->latency));
    json_object_set_new(json, "latency_from_schedule_us",
                        load->from_due.count > 0 ? latencies(&load->from_due) : json_null());
    json_object_set_new(json, "last_error",
                        load->last_error[0] == '\0' ? json_null() : json_string(load->last_error));
    return json;
}

const char *load_command_help(void)
{
    return "Commands (over --control), one a line, each answered by one line of JSON:\n\n"
           "  stats          the report so far\n"
           "  pause, resume  stop and go on sending; answers, MO and receipts go on\n"
           "  rate N         another rate (0: as fast as answered)\n"
           "  drop [rst]     close all connections, as a crash would\n"
           "  fresh          forget the latencies so far\n"
           "  flush          write the ledger out\n"
           "  quit           stop as by SIGTERM\n";
}

static void drop(struct load *load, bool rst)
{
    for (size_t i = 0; i < load->session_count; i++) {
        struct load_session *s = &load->sessions[i];
        if (s->state >= LOAD_CONNECTING && !s->channel.closing) {
            channel_close(&s->channel, rst ? CHANNEL_RST : CHANNEL_FIN, "dropped by command");
        }
    }
}

static json_t *ok_report(const struct load *load)
{
    json_t *json = load_report(load);
    json_object_set_new(json, "ok", json_true());
    return json;
}

static void fill_all(struct load *load)
{
    for (size_t i = 0; i < load->session_count; i++) {
        load_fill(&load->sessions[i], uv_hrtime());
    }
}

json_t *load_command(void *context, char *line)
{
    struct load *load = context;
    struct words words;
    uint64_t rate = 0;
    if (!words_split(line, &words) || words.count == 0) {
        return control_error("no command");
    }
    const char *name = words.at[0];
    if (strcmp(name, "stats") == 0) {
        return ok_report(load);
    }
    if (strcmp(name, "pause") == 0 || strcmp(name, "resume") == 0) {
        load->paused = name[0] == 'p';
        load_set_rate(load, load->config.rate);
        fill_all(load);
    } else if (strcmp(name, "rate") == 0 && words.count == 2 && word_number(words.at[1], &rate)) {
        load_set_rate(load, rate);
        fill_all(load);
    } else if (strcmp(name, "drop") == 0) {
        drop(load, words.count > 1 && strcmp(words.at[1], "rst") == 0);
    } else if (strcmp(name, "fresh") == 0) {
        memset(&load->latency, 0, sizeof load->latency);
        memset(&load->from_due, 0, sizeof load->from_due);
    } else if (strcmp(name, "flush") == 0) {
        ledger_flush(load->ledger);
    } else if (strcmp(name, "quit") == 0) {
        load_stop(load);
    } else {
        return control_error("unknown command, or wrong arguments: %s", name);
    }
    return control_ok();
}
