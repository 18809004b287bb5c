/* The exposition, whole against test_metrics.expected (after a change of the tables: ./test_metrics --write,
 * and read the difference) and before promtool; blocks and histograms from several threads at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/metrics.h"
#include "routing/store.h"

#define EXPECTED "test_metrics.expected"

struct world {
    struct names names;
    struct config config;
    struct config_link links[2];
    struct config_link *link_at[3];
    struct metrics *metrics;
    struct metrics_process process;
};

static char spark_redx[] = "spark-redx", onenz_omni[] = "onenz-omni";

/* Links 0 and 2; index 1 belongs to a link of former days. */
static void world_open(struct world *w, unsigned workers)
{
    memset(w, 0, sizeof *w);
    w->links[0] = (struct config_link){.name = spark_redx, .index = 0};
    w->links[0].carrier = names_intern(&w->names, "spark");
    w->links[0].platform = names_intern(&w->names, "redx");
    w->links[1] = (struct config_link){.name = onenz_omni, .index = 2};
    w->links[1].carrier = names_intern(&w->names, "onenz");
    w->links[1].platform = names_intern(&w->names, "omni");
    w->link_at[0] = &w->links[0];
    w->link_at[2] = &w->links[1];
    w->config.link_at = w->link_at;
    w->config.link_at_count = 3;
    w->metrics = metrics_new(workers);
    assert_non_null(w->metrics);
}

static void world_close(struct world *w)
{
    metrics_free(w->metrics);
}

static char *world_text(struct world *w)
{
    size_t len = 0;
    char *text = metrics_text(w->metrics, &w->config, &w->names, &w->process, &len);
    assert_non_null(text);
    assert_int_equal(len, strlen(text));
    return text;
}

static void pdu(struct metrics_worker *m, enum metrics_side side, enum metrics_direction direction,
                uint32_t command, uint32_t status)
{
    struct smpp_header header = {.command_id = command, .command_status = status};
    metrics_pdu(&m->pdus[side][direction], smpp_command_index(header.command_id), header.command_id,
                header.command_status);
}

static void count_something(struct world *w)
{
    struct metrics_worker *first = metrics_of(w->metrics, 0), *second = metrics_of(w->metrics, 1);
    metric_add(&first->accepted, 3);
    metric_add(&second->accepted, 4);
    metric_add(&first->table_version, 16);
    metric_add(&second->table_version, 17);
    metric_add(&first->refused[REFUSED_HOLD_EXPIRED], 5);
    metric_add(&first->waited[WAIT_ROUTE][WAITED_EXPIRED], 5);
    metric_add(&second->refused_by_session[SMPP_REFUSED_UNKNOWN], 6);
    metric_add(&first->ended[SIDE_SMSC][SMPP_DUE_END_SILENT], 7);
    metric_add(&first->stream_ends[SIDE_SMSC][STREAM_END_TLS_FLOOD], 8);
    metric_add(&second->tls_events[SIDE_CLIENT][TLS_EVENT_RENEGOTIATION], 9);
    metric_add(&first->sessions[metrics_bind_type(SMPP_BIND_TRANSCEIVER)][SMPP_BOUND_TRX], 2);
    metric_add(&second->sessions[metrics_bind_type(0)][SMPP_OPEN], 1);
    pdu(first, SIDE_CLIENT, DIRECTION_IN, SMPP_SUBMIT_SM, 0);
    pdu(second, SIDE_CLIENT, DIRECTION_IN, SMPP_SUBMIT_SM, 0);
    pdu(first, SIDE_CLIENT, DIRECTION_OUT, SMPP_SUBMIT_SM | SMPP_RESPONSE_BIT, ESME_ROK);
    pdu(first, SIDE_CLIENT, DIRECTION_OUT, SMPP_SUBMIT_SM | SMPP_RESPONSE_BIT, ESME_RTHROTTLED);
    pdu(first, SIDE_SMSC, DIRECTION_IN, SMPP_DELIVER_SM | SMPP_RESPONSE_BIT, 0x4FF);
    pdu(first, SIDE_SMSC, DIRECTION_IN, SMPP_GENERIC_NACK, 0x12345);
    pdu(second, SIDE_SMSC, DIRECTION_IN, 0x77, 0);
    struct metrics_link *link = metrics_link(first, 2);
    metric_add(&link->mt, 9);
    metric_add(&link->window_used, 4);
    metric_add(&link->window_size, 100);
    metric_add(&link->sessions[metrics_bind_type(SMPP_BIND_RECEIVER)][SMPP_BOUND_RX], 1);
    histogram_add(&link->response_time, 1024);
    histogram_add(&link->response_time, 1500000);
    histogram_add(&metrics_link(second, 2)->response_time, 90000000000);
    metric_add(&metrics_link(second, 2)->window_used, 3);
    w->process = (struct metrics_process){.route_version_applied = 16,
                                          .route_version_desired = 17,
                                          .store_state = STORE_FOLLOWING,
                                          .store_reconnects = 1,
                                          .store_refused = 2,
                                          .log_lost = 3,
                                          .config_reloads = 4,
                                          .config_refused = 5,
                                          .shortcodes = 6,
                                          .start_time = 1700000000.25};
}

static char *read_expected(void)
{
    FILE *in = fopen(EXPECTED, "r");
    assert_non_null(in);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, in) > 0);
    fclose(in);
    return text;
}

/* The project's version is not the expectation's business. */
static void hide_version(char *text)
{
    static const char label[] = "version=\"" TURNOUT_VERSION "\"";
    char *at = strstr(text, label);
    assert_non_null(at);
    memmove(at + strlen("version=\"\""), at + strlen(label), strlen(at + strlen(label)) + 1);
    memcpy(at, "version=\"\"", strlen("version=\"\""));
}

static char *known_text(void)
{
    struct world w;
    world_open(&w, 2);
    count_something(&w);
    char *text = world_text(&w);
    world_close(&w);
    hide_version(text);
    return text;
}

/* Line by line, so that a failure shows the line. */
static void a_known_state_is_written_as_expected(void **state)
{
    (void)state;
    char *text = known_text(), *expected = read_expected();
    char *text_rest = text, *expected_rest = expected;
    for (;;) {
        char *line = strsep(&text_rest, "\n"), *expected_line = strsep(&expected_rest, "\n");
        if (line == NULL || expected_line == NULL) {
            assert_true(line == expected_line);
            break;
        }
        assert_string_equal(line, expected_line);
    }
    free(text);
    free(expected);
}

/* Its exit status must be 0 and its output empty: promtool tells of lint in words alone. */
static void promtool_accepts(const char *text)
{
    char text_path[] = "/tmp/test_metrics_XXXXXX", said_path[] = "/tmp/test_metrics_XXXXXX";
    char command[256], said[4096] = "";
    int text_fd = mkstemp(text_path), said_fd = mkstemp(said_path);
    assert_true(text_fd >= 0 && said_fd >= 0);
    assert_int_equal(write(text_fd, text, strlen(text)), strlen(text));
    snprintf(command, sizeof command, "promtool check metrics <%s >%s 2>&1", text_path, said_path);
    int status =
        system(command); // NOLINT(cert-env33-c): promtool is looked up in the path, as an operator would
    ssize_t len = read(said_fd, said, sizeof said - 1);
    close(text_fd);
    close(said_fd);
    unlink(text_path);
    unlink(said_path);
    assert_true(len >= 0);
    assert_string_equal(said, "");
    assert_int_equal(status, 0);
}

static void promtool_accepts_what_is_written(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 2);
    char *nothing_yet = world_text(&w);
    promtool_accepts(nothing_yet);
    count_something(&w);
    char *something = world_text(&w);
    promtool_accepts(something);
    free(nothing_yet);
    free(something);
    world_close(&w);
}

static void no_link_name_spoils_the_text(void **state)
{
    (void)state;
    char name[] = "a\"b\\c\nd\xC3\xA9\xFF{},e=";
    struct world w;
    world_open(&w, 1);
    w.links[0].name = name;
    char *text = world_text(&w);
    assert_non_null(strstr(text, "link=\"a\\\"b\\\\c%0Ad%C3%A9%FF{},e=\",carrier=\"spark\""));
    promtool_accepts(text);
    free(text);
    world_close(&w);
}

static void every_pdu_has_a_series_of_its_own(void **state)
{
    (void)state;
    assert_true(smpp_status_count() <= METRICS_STATUS_MAX);
    struct world w;
    world_open(&w, 1);
    struct metrics_worker *m = metrics_of(w.metrics, 0);
    for (unsigned command = 0; command < SMPP_COMMAND_COUNT; command++) {
        for (unsigned status = 0; status < smpp_status_count(); status++)
            metric_add(&m->pdus[SIDE_CLIENT][DIRECTION_OUT].responses[command][status], 1);
    }
    char *text = world_text(&w);
    size_t series = 0;
    for (const char *p = text; (p = strstr(p, "\nturnout_pdus_total{")) != NULL; p++)
        series++;
    assert_int_equal(series, SMPP_COMMAND_COUNT * smpp_status_count());
    promtool_accepts(text);
    free(text);
    world_close(&w);
}

static bool shows(struct world *w, const char *series)
{
    char *text = world_text(w);
    bool there = strstr(text, series) != NULL;
    free(text);
    return there;
}

static void a_series_once_seen_stays(void **state)
{
    (void)state;
    static const char series[] = "turnout_sessions{side=\"client\",bind_type=\"none\",state=\"open\"}";
    struct world w;
    world_open(&w, 1);
    assert_false(shows(&w, series));
    metric *open = &metrics_of(w.metrics, 0)->sessions[0][SMPP_OPEN];
    metric_add(open, 1);
    assert_true(shows(&w, series));
    metric_sub(open, 1);
    assert_true(shows(&w, "state=\"open\"} 0\n"));
    world_close(&w);
}

static void a_removed_link_is_shown_while_it_has_sessions(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 2);
    metric *bound = &metrics_link(metrics_of(w.metrics, 1), 2)->sessions[1][SMPP_BOUND_TX];
    metric_add(bound, 1);
    assert_true(shows(&w, onenz_omni));
    w.link_at[2] = NULL;
    assert_true(shows(&w, "link=\"onenz-omni\",carrier=\"onenz\",platform=\"omni\",bind_type=\"transmitter\","
                          "state=\"bound_tx\"} 1\n"));
    w.config.link_at_count = 1;
    assert_true(shows(&w, onenz_omni));
    metric_sub(bound, 1);
    metric_add(&metrics_link(metrics_of(w.metrics, 1), 2)->sessions[1][SMPP_CLOSED], 1);
    assert_false(shows(&w, onenz_omni));
    assert_true(shows(&w, spark_redx));
    w.config.link_at_count = 3;
    w.link_at[2] = &w.links[1];
    assert_true(shows(&w, onenz_omni));
    world_close(&w);
}

static void sessions_are_told_in_json(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 2);
    char *text = metrics_sessions_json(w.metrics, &w.config, &w.names);
    assert_string_equal(text, "[]");
    free(text);
    count_something(&w);
    text = metrics_sessions_json(w.metrics, &w.config, &w.names);
    assert_string_equal(
        text, "[{\"side\":\"client\",\"bind_type\":\"none\",\"state\":\"open\",\"count\":1},"
              "{\"side\":\"client\",\"bind_type\":\"transceiver\",\"state\":\"bound_trx\",\"count\":2},"
              "{\"side\":\"smsc\",\"bind_type\":\"receiver\",\"state\":\"bound_rx\",\"count\":1,"
              "\"link\":\"onenz-omni\",\"carrier\":\"onenz\",\"platform\":\"omni\"}]");
    free(text);
    assert_int_equal(metrics_in_flight(w.metrics), 7);
    world_close(&w);
}

static unsigned bucket_met(uint64_t ns)
{
    struct histogram h;
    memset(&h, 0, sizeof h);
    histogram_add(&h, ns);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (metric_get(&h.bucket[i].count) == 0)
            continue;
        assert_int_equal(metric_get(&h.bucket[i].sum_ns[1]), ns);
        return i;
    }
    fail_msg("no bucket for %" PRIu64, ns);
    return 0;
}

static void a_bound_belongs_to_its_bucket(void **state)
{
    (void)state;
    assert_int_equal(bucket_met(0), 0);
    assert_int_equal(bucket_met(1), 0);
    assert_int_equal(histogram_bound(0), 1024);
    for (unsigned i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        assert_int_equal(bucket_met(histogram_bound(i)), i);
        assert_int_equal(bucket_met(histogram_bound(i) + 1), i + 1);
        assert_true(histogram_bound(i) < histogram_bound(i + 1));
    }
    assert_true(histogram_bound(HISTOGRAM_BUCKETS - 2) > 60000000000);
    assert_int_equal(bucket_met(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void workers_share_no_cache_line(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new(3);
    for (unsigned i = 0; i < 3; i++) {
        struct metrics_worker *m = metrics_of(metrics, i);
        assert_int_equal((uintptr_t)m % 64, 0);
        assert_int_equal((uintptr_t)metrics_link(m, 5) % 64, 0);
        assert_ptr_equal(metrics_link(m, 5), metrics_link(m, 5));
    }
    assert_null(metrics_of(metrics, 3));
    assert_null(metrics_link(metrics_of(metrics, 0), CONFIG_LINKS_MAX));
    metrics_free(metrics);
    metrics_free(NULL);
}

enum { OBSERVED_NS = 70000, ROUNDS = 200000 };

static void *count_all_the_time(void *block)
{
    struct metrics_worker *m = block;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct metrics_link *link = metrics_link(m, 2);
        histogram_add(&link->response_time, OBSERVED_NS);
        pdu(m, SIDE_SMSC, DIRECTION_OUT, SMPP_SUBMIT_SM, 0);
        metric_add(&link->window_used, 1);
        metric_sub(&link->window_used, 1);
    }
    return NULL;
}

static uint64_t number_after(const char *text, const char *series)
{
    const char *at = strstr(text, series);
    assert_non_null(at);
    return strtoull(at + strlen(series), NULL, 10);
}

/* "S.NNNNNNNNN" without its point. */
static uint64_t sum_after(const char *text, const char *series)
{
    uint64_t seconds = number_after(text, series);
    return seconds * 1000000000 + strtoull(strchr(strstr(text, series) + strlen(series), '.') + 1, NULL, 10);
}

#define RESPONSE_TIME(part, le)                                                                              \
    "turnout_link_response_time_seconds_" part "{link=\"onenz-omni\",carrier=\"onenz\",platform=\"omni\"" le \
    "} "

static uint64_t check_scrape(struct world *w)
{
    char *text = world_text(w);
    uint64_t count = number_after(text, RESPONSE_TIME("count", ""));
    assert_int_equal(number_after(text, RESPONSE_TIME("bucket", ",le=\"+Inf\"")), count);
    assert_int_equal(number_after(text, RESPONSE_TIME("bucket", ",le=\"0.000098304\"")), count);
    assert_int_equal(number_after(text, RESPONSE_TIME("bucket", ",le=\"0.000065536\"")), 0);
    assert_int_equal(sum_after(text, RESPONSE_TIME("sum", "")), count * OBSERVED_NS);
    free(text);
    return count;
}

static void a_scrape_beside_busy_workers_is_consistent(void **state)
{
    (void)state;
    struct world w;
    pthread_t threads[2];
    world_open(&w, 2);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_all_the_time, metrics_of(w.metrics, i)), 0);
    uint64_t last = 0;
    for (int i = 0; i < 50; i++) {
        uint64_t count = check_scrape(&w);
        assert_true(count >= last);
        last = count;
        free(metrics_sessions_json(w.metrics, &w.config, &w.names));
    }
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(check_scrape(&w), 2 * ROUNDS);
    assert_int_equal(metrics_in_flight(w.metrics), 0);
    world_close(&w);
}

static char *reference_text(void)
{
    FILE *to = tmpfile();
    char *text = calloc(1, 1 << 20);
    assert_true(to != NULL && text != NULL);
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    dup2(fileno(to), STDOUT_FILENO);
    metrics_print_reference();
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    rewind(to);
    assert_true(fread(text, 1, (1 << 20) - 1, to) > 0);
    fclose(to);
    return text;
}

static void the_reference_names_every_family(void **state)
{
    (void)state;
    char *text = known_text(), *reference = reference_text(), *rest = text;
    size_t found = 0;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char name[128], kind[16], row[256];
        if (sscanf(line, "# TYPE %127s %15s", name, kind) != 2) // NOLINT(cert-err34-c): words alone
            continue;
        snprintf(row, sizeof row, "| `%s` | %s |", name, kind);
        assert_non_null(strstr(reference, row));
        found++;
    }
    assert_true(found > 40);
    assert_non_null(strstr(reference, "| `hold_expired` |"));
    free(text);
    free(reference);
}

static int write_expected(void)
{
    char *text = known_text();
    FILE *out = fopen(EXPECTED, "w");
    assert_non_null(out);
    fputs(text, out);
    free(text);
    return fclose(out);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--write") == 0)
        return write_expected();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_state_is_written_as_expected),
        cmocka_unit_test(promtool_accepts_what_is_written),
        cmocka_unit_test(no_link_name_spoils_the_text),
        cmocka_unit_test(every_pdu_has_a_series_of_its_own),
        cmocka_unit_test(a_series_once_seen_stays),
        cmocka_unit_test(a_removed_link_is_shown_while_it_has_sessions),
        cmocka_unit_test(sessions_are_told_in_json),
        cmocka_unit_test(a_bound_belongs_to_its_bucket),
        cmocka_unit_test(workers_share_no_cache_line),
        cmocka_unit_test(a_scrape_beside_busy_workers_is_consistent),
        cmocka_unit_test(the_reference_names_every_family),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
