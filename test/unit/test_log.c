/* Log lines as machines and people read them: parsed back as JSON, masked, cut, lost and counted, rotated,
 * and written by many threads at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proxy/log.h"

static char directory[] = "/tmp/test_log.XXXXXX";
static char path[64], rotated[64];

static int make_directory(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/log", directory);
    snprintf(rotated, sizeof rotated, "%s/log.1", directory);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    log_close();
    unlink(path);
    unlink(rotated);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

/* --- reading back --- */

static char *slurp(const char *file)
{
    static char text[1 << 22];
    FILE *in = fopen(file, "r");
    assert_non_null(in);
    size_t len = fread(text, 1, sizeof text - 1, in);
    fclose(in);
    text[len] = '\0';
    return text;
}

/* The one line of the log as JSON. */
static json_t *read_line(void)
{
    char *text = slurp(path);
    char *end = strchr(text, '\n');
    assert_non_null(end);
    assert_int_equal(end[1], '\0');
    assert_true(end + 1 - text <= PIPE_BUF);
    json_error_t trouble;
    json_t *line = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &trouble);
    if (line == NULL)
        fail_msg("%s: %s", trouble.text, text);
    return line;
}

static const char *string_of(const json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line, name));
    assert_non_null(text);
    return text;
}

static void open_json(void)
{
    assert_true(log_open(true, LOG_DEBUG, path, "unit-1"));
}

/* --- a line --- */

static void test_a_line_is_json(void **state)
{
    (void)state;
    open_json();
    log_event(EVENT_CLIENT_BOUND, LOG_TEXT("client", "acme"), LOG_INT("binds", -3),
              LOG_SPAN("range", "5001rest", 4));
    json_t *line = read_line();
    assert_string_equal(string_of(line, "event"), "client_bound");
    assert_string_equal(string_of(line, "level"), "info");
    assert_string_equal(string_of(line, "instance"), "unit-1");
    assert_string_equal(string_of(line, "client"), "acme");
    assert_string_equal(string_of(line, "range"), "5001");
    assert_int_equal(json_integer_value(json_object_get(line, "binds")), -3);
    assert_int_equal(json_object_size(line), 7);
    json_decref(line);
}

static void test_integers_of_every_size(void **state)
{
    (void)state;
    open_json();
    log_event(EVENT_CLIENT_BOUND, LOG_INT("least", INT64_MIN), LOG_INT("most", INT64_MAX),
              LOG_INT("zero", 0));
    json_t *line = read_line();
    assert_true(json_integer_value(json_object_get(line, "least")) == INT64_MIN);
    assert_true(json_integer_value(json_object_get(line, "most")) == INT64_MAX);
    assert_true(json_is_integer(json_object_get(line, "zero")));
    json_decref(line);
}

/* As gmtime_r has it, which the log does not use. */
static void test_the_time_is_now(void **state)
{
    (void)state;
    open_json();
    time_t before = time(NULL);
    log_event(EVENT_STARTED, LOG_INT("n", 1));
    time_t after = time(NULL);
    json_t *line = read_line();
    const char *text = string_of(line, "time");
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    assert_non_null(rest);
    assert_int_equal(strlen(rest), 5);
    assert_true(rest[0] == '.' && rest[4] == 'Z');
    assert_in_range(timegm(&tm), before, after);
    json_decref(line);
}

static void test_any_octets_make_json(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t len;
        const char *json; /* what is read back */
    } cases[] = {
        {"\"\\/\b\n\r\t", 7, "\"\\/\b\n\r\t"},
        {"\x1b[2J\x7f", 5, "\x1b[2J\x7f"},
        {"a\0b", 3, NULL},
        {"Māori ☃ 😀", 15, "Māori ☃ 😀"},
        {"\xff\xfe", 2, "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xc3", 1, "\xEF\xBF\xBD"},                 /* cut */
        {"\xc0\x80", 2, "\xEF\xBF\xBD\xEF\xBF\xBD"}, /* overlong */
        {"\xe0\x80\x80", 3, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xed\xa0\x80", 3, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, /* surrogate */
        {"\xf4\x90\x80\x80", 4, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xe2\x82x", 3, "\xEF\xBF\xBD\xEF\xBF\xBDx"},
        {"\xc2\x9b", 2, "\xc2\x9b"}, /* C1: escaped, so the same when read back */
        {"", 0, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        open_json();
        log_event(EVENT_PDU_REFUSED, LOG_SPAN("x", cases[i].text, cases[i].len));
        json_t *line = read_line();
        if (cases[i].json != NULL)
            assert_string_equal(string_of(line, "x"), cases[i].json);
        for (const char *c = slurp(path); *c != '\n'; c++)
            assert_false((unsigned char)*c < 0x20 || *c == 0x7F);
        json_decref(line);
        remove_files(NULL);
    }
}

/* Every two octets, and every octet after a leading one. */
static void test_every_pair_of_octets(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 256; first++) {
        char text[512];
        for (size_t second = 0; second < 256; second++) {
            text[2 * second] = (char)first;
            text[2 * second + 1] = (char)second;
        }
        open_json();
        log_event(EVENT_PDU_REFUSED, LOG_SPAN("x", text, sizeof text));
        json_decref(read_line());
        remove_files(NULL);
    }
}

static void test_null_text(void **state)
{
    (void)state;
    open_json();
    log_event(EVENT_PDU_REFUSED, LOG_TEXT("x", NULL));
    json_t *line = read_line();
    assert_true(json_is_null(json_object_get(line, "x")));
    json_decref(line);
}

static void expect_masked(const char *number, const char *masked)
{
    open_json();
    log_event(EVENT_PDU_REFUSED, LOG_NUMBER("destination", number, (uint32_t)strlen(number)));
    json_t *line = read_line();
    assert_string_equal(string_of(line, "destination"), masked);
    json_decref(line);
    remove_files(NULL);
}

static void test_numbers_are_masked(void **state)
{
    (void)state;
    expect_masked("64211234567", "********567");
    expect_masked("+64211234567", "*********567");
    expect_masked("1234", "*234");
    expect_masked("123", "123");
    expect_masked("", "");
    expect_masked("1234567890123456789012345678901234567890", "*****************************890");
}

/* --- lines too long --- */

static void test_a_long_field_is_cut(void **state)
{
    (void)state;
    char text[10001];
    for (unsigned shift = 0; shift < 4; shift++) { /* the cut falls on every octet of a character */
        memset(text, 'a', sizeof text);
        for (size_t i = shift; i + 4 < sizeof text; i += 4)
            memcpy(text + i, "😀", 4);
        text[sizeof text - 1] = '\0';
        open_json();
        log_event(EVENT_PDU_REFUSED, LOG_TEXT("x", text), LOG_INT("after", 1));
        json_t *line = read_line();
        const char *x = string_of(line, "x");
        assert_in_range(strlen(x), 500, 520);
        assert_string_equal(x + strlen(x) - 3, "…");
        assert_null(strstr(x, "\xEF\xBF\xBD"));
        assert_memory_equal(x, text, strlen(x) - 3);
        assert_int_equal(json_integer_value(json_object_get(line, "after")), 1);
        json_decref(line);
        remove_files(NULL);
    }
}

/* Fields that the line has no room for are left out whole, with a mark, and the line is still JSON. */
static void test_a_long_line_is_cut(void **state)
{
    (void)state;
    char text[601];
    memset(text, '\x01', 600); /* six octets each, escaped */
    text[600] = '\0';
    for (size_t len = 400; len <= 600; len++) {
        open_json();
        log_event(EVENT_PDU_REFUSED, LOG_SPAN("a", text, 500), LOG_SPAN("b", text, len - 400),
                  LOG_SPAN("c", text, 100), LOG_SPAN("d", text, 100));
        json_t *line = read_line();
        assert_non_null(json_object_get(line, "a"));
        bool all = json_object_get(line, "d") != NULL;
        assert_true(all != json_is_true(json_object_get(line, "cut")));
        json_decref(line);
        remove_files(NULL);
    }
}

/* --- text for people --- */

static void test_text(void **state)
{
    (void)state;
    assert_true(log_open(false, LOG_INFO, path, "unit-1"));
    log_event(EVENT_LEG_CLOSED, LOG_TEXT("link", "spark-redx"), LOG_TEXT("why", "no answer\n\x1b[2J"),
              LOG_NUMBER("to", "64211234567", 11), LOG_INT("unknown", 2), LOG_TEXT("none", NULL),
              LOG_TEXT("empty", ""), LOG_TEXT("equal", "a=b"));
    char *text = slurp(path);
    assert_string_equal(text + 23,
                        "Z warning leg_closed       link=spark-redx why=\"no answer\\u000a\\u001b[2J\" "
                        "to=********567 unknown=2 none=- empty=\"\" equal=\"a=b\"\n");
}

static void test_lines_are_events(void **state)
{
    (void)state;
    assert_true(log_open(false, LOG_INFO, path, "unit-1"));
    log_lines(EVENT_CONFIG_WARNING, "what", "one\ntwo\n");
    log_lines(EVENT_CONFIG_WARNING, "what", "three");
    log_lines(EVENT_CONFIG_WARNING, "what", NULL);
    log_lines(EVENT_CONFIG_WARNING, "what", "");
    char *text = slurp(path);
    assert_non_null(strstr(text, "what=one\n"));
    assert_non_null(strstr(text, "what=two\n"));
    assert_non_null(strstr(text, "what=three\n"));
    unsigned lines = 0;
    for (const char *c = text; *c != '\0'; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 3);
}

static void test_text_columns_are_aligned(void **state)
{
    (void)state;
    assert_true(log_open(false, LOG_INFO, path, "unit-1"));
    log_event(EVENT_LEG_CLOSED, LOG_INT("at", 1));
    log_event(EVENT_STARTED, LOG_INT("at", 1));
    char *first = slurp(path);
    char *second = strchr(first, '\n') + 1;
    assert_int_equal(strstr(first, " at=") - first, strstr(second, " at=") - second);
}

static void test_levels(void **state)
{
    (void)state;
    assert_true(log_open(true, LOG_WARNING, path, "unit-1"));
    assert_true(log_enabled(LOG_ERROR));
    assert_true(log_enabled(LOG_WARNING));
    assert_false(log_enabled(LOG_INFO));
    log_event(EVENT_CLIENT_BOUND, LOG_INT("x", 1));
    log_event(EVENT_PDU_REFUSED, LOG_INT("x", 1));
    assert_string_equal(slurp(path), "");
    log_event(EVENT_LEG_CLOSED, LOG_INT("x", 1));
    json_decref(read_line());
    assert_true(log_open(true, LOG_DEBUG, path, "unit-1")); /* as a reload does */
    log_event(EVENT_PDU_REFUSED, LOG_INT("x", 1));
    assert_non_null(strstr(slurp(path), "pdu_refused"));
}

/* --- files --- */

static void test_reopen_after_rotation(void **state)
{
    (void)state;
    open_json();
    log_event(EVENT_STARTED, LOG_INT("x", 1));
    assert_int_equal(rename(path, rotated), 0);
    log_event(EVENT_STARTED, LOG_INT("x", 2));
    log_reopen();
    log_event(EVENT_STARTED, LOG_INT("x", 3));
    json_decref(read_line());
    assert_non_null(strstr(slurp(rotated), "\"x\":2"));
    assert_non_null(strstr(slurp(path), "\"x\":3"));
}

/* Something else is in the file's place, say: the log goes on in the old one until it is gone. */
static void test_reopen_that_fails_is_told_and_tried_again(void **state)
{
    (void)state;
    open_json();
    log_retry(); /* nothing is due */
    assert_int_equal(rename(path, rotated), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    log_reopen();
    log_retry();
    log_event(EVENT_STARTED, LOG_INT("x", 1));
    char *told = strstr(slurp(rotated), "log_not_reopened");
    assert_non_null(told);
    assert_non_null(strstr(told, "Is a directory"));
    assert_null(strstr(told + 1, "log_not_reopened"));
    assert_non_null(strstr(told, "\"x\":1"));
    assert_int_equal(rmdir(path), 0);
    log_retry();
    log_event(EVENT_STARTED, LOG_INT("x", 2));
    json_decref(read_line());
    assert_non_null(strstr(slurp(path), "\"x\":2"));
    assert_null(strstr(slurp(rotated), "\"x\":2"));
}

static void test_an_open_log_goes_on_in_its_file(void **state)
{
    (void)state;
    open_json();
    log_event(EVENT_STARTED, LOG_INT("x", 1));
    log_close();
    open_json();
    log_event(EVENT_STARTED, LOG_INT("x", 2));
    assert_non_null(strstr(slurp(path), "\"x\":1"));
    assert_non_null(strstr(slurp(path), "\"x\":2"));
}

/* Standard error as something else, for as long as a test wants it. */
static int replace_stderr(int fd)
{
    int kept = dup(STDERR_FILENO);
    assert_true(kept >= 0);
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    return kept;
}

static void restore_stderr(int kept)
{
    dup2(kept, STDERR_FILENO);
    close(kept);
}

static void test_a_file_that_cannot_be_opened(void **state)
{
    (void)state;
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
    int kept = replace_stderr(fd);
    bool opened = log_open(true, LOG_INFO, "/nonexistent/log", "unit-1");
    log_event(EVENT_STARTED, LOG_INT("x", 1));
    log_close();
    restore_stderr(kept);
    close(fd);
    assert_false(opened);
    assert_non_null(strstr(slurp(path), "cannot open the log /nonexistent/log: No such file"));
    assert_non_null(strstr(slurp(path), "\"event\":\"started\""));
}

/* --- lines that cannot be written --- */

static void test_a_full_disk(void **state)
{
    (void)state;
    assert_true(log_open(true, LOG_INFO, "/dev/full", "unit-1"));
    uint64_t lost = log_lost();
    for (int i = 0; i < 7; i++)
        log_event(EVENT_STARTED, LOG_INT("x", i));
    assert_int_equal(log_lost() - lost, 7);
    assert_true(log_open(true, LOG_INFO, path, "unit-1")); /* room again */
    log_event(EVENT_STARTED, LOG_INT("x", 8));
    log_event(EVENT_STARTED, LOG_INT("x", 9));
    char *text = slurp(path);
    char *lines = strstr(text, "\"event\":\"log_lost\",\"instance\":\"unit-1\",\"lines\":7}\n");
    assert_non_null(lines);
    assert_true(lines < strstr(text, "\"x\":8"));
    assert_null(strstr(lines + 20, "log_lost")); /* told once */
    assert_non_null(strstr(text, "\"x\":9"));
    assert_int_equal(log_lost() - lost, 7);
}

static void limit_file(rlim_t octets)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = octets;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* The file may grow to the middle of a line: the rest of that line is lost, and it alone. */
static void test_half_a_line(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    open_json();
    log_event(EVENT_STARTED, LOG_INT("x", 1));
    size_t whole = strlen(slurp(path));
    uint64_t lost = log_lost();
    limit_file(whole + whole / 2);
    log_event(EVENT_STARTED, LOG_INT("x", 2));
    log_event(EVENT_STARTED, LOG_INT("x", 3));
    limit_file(RLIM_INFINITY);
    log_event(EVENT_STARTED, LOG_INT("x", 4));
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(log_lost() - lost, 2);
    unsigned good = 0;
    unsigned bad = 0;
    for (char *line = strtok(slurp(path), "\n"); line != NULL; line = strtok(NULL, "\n")) {
        json_t *json = json_loads(line, 0, NULL);
        *(json != NULL ? &good : &bad) += 1;
        json_decref(json);
    }
    assert_int_equal(good, 3); /* the first, the count, the last */
    assert_int_equal(bad, 1);
}

/* A pipe that nobody reads fills up; the log neither waits nor spoils the lines that went in. */
static void check_does_not_block(int reader, int writer)
{
    int kept = replace_stderr(writer);
    bool opened = log_open(true, LOG_INFO, NULL, "unit-1");
    uint64_t lost = log_lost();
    int shared = fcntl(writer, F_GETFL);
    for (int i = 0; i < 20000; i++)
        log_event(EVENT_STARTED, LOG_INT("x", i));
    lost = log_lost() - lost;
    static char text[1 << 22];
    ssize_t len = recv(reader, text, sizeof text - 1, MSG_DONTWAIT);
    if (len < 0)
        len = read(reader, text, sizeof text - 1);
    log_event(EVENT_STARTED, LOG_INT("last", 1)); /* there is room again */
    ssize_t more = len < 0 ? -1 : read(reader, text + len, sizeof text - 1 - (size_t)len);
    log_close();
    restore_stderr(kept);
    assert_true(opened);
    assert_false(shared & O_NONBLOCK); /* what others share was left as it was */
    assert_true(lost > 0 && lost < 20000);
    assert_true(len > 0 && more > 0);
    text[len + more] = '\0';
    unsigned lines = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        json_t *json = json_loads(line, 0, NULL);
        lines += json != NULL;
        json_decref(json);
    }
    assert_in_range(lines, 20000 - lost, 20000 - lost + 2);
}

static void test_a_pipe_that_nobody_reads(void **state)
{
    (void)state;
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    check_does_not_block(fd[0], fd[1]);
    close(fd[0]);
    close(fd[1]);
}

static void test_a_socket_that_nobody_reads(void **state)
{
    (void)state;
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    check_does_not_block(fd[0], fd[1]);
    close(fd[0]);
    close(fd[1]);
}

/* --- many threads --- */

enum { THREADS = 4, LINES = 500 };

static void *write_lines(void *arg)
{
    char text[301];
    memset(text, 'a' + *(int *)arg, sizeof text);
    text[sizeof text - 1] = '\0';
    for (int i = 0; i < LINES; i++)
        log_event(EVENT_STARTED, LOG_INT("thread", *(int *)arg), LOG_INT("n", i), LOG_TEXT("text", text));
    return NULL;
}

/* Every line is whole, and each thread's are in its order. */
static void check_lines(const char *file, int next[THREADS])
{
    char *text = slurp(file);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        json_t *json = json_loads(line, 0, NULL);
        assert_non_null(json);
        json_int_t thread = json_integer_value(json_object_get(json, "thread"));
        assert_in_range(thread, 0, THREADS - 1);
        assert_int_equal(json_integer_value(json_object_get(json, "n")), next[thread]++);
        assert_int_equal(strlen(string_of(json, "text")), 300);
        json_decref(json);
    }
}

static void test_threads_and_rotation(void **state)
{
    (void)state;
    open_json();
    pthread_t threads[THREADS];
    int numbers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &numbers[i]), 0);
    }
    struct timespec pause = {.tv_nsec = 2000000};
    nanosleep(&pause, NULL);
    assert_int_equal(rename(path, rotated), 0);
    log_reopen();
    assert_true(log_open(true, LOG_INFO, path, "unit-1"));
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    int next[THREADS] = {0};
    check_lines(rotated, next);
    check_lines(path, next);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(next[i], LINES);
}

/* --- the reference --- */

static void test_the_reference_has_every_event(void **state)
{
    (void)state;
    fflush(stdout);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    int kept = dup(STDOUT_FILENO);
    dup2(fd, STDOUT_FILENO);
    log_print_events();
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    close(fd);
    char *text = slurp(path);
#define CHECK_EVENT(id, name, level, help) \
    assert_non_null(strstr(text, name));   \
    assert_non_null(strstr(text, help));
    LOG_EVENTS(CHECK_EVENT)
#undef CHECK_EVENT
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_line_is_json, remove_files),
        cmocka_unit_test_teardown(test_integers_of_every_size, remove_files),
        cmocka_unit_test_teardown(test_the_time_is_now, remove_files),
        cmocka_unit_test_teardown(test_any_octets_make_json, remove_files),
        cmocka_unit_test_teardown(test_every_pair_of_octets, remove_files),
        cmocka_unit_test_teardown(test_null_text, remove_files),
        cmocka_unit_test_teardown(test_numbers_are_masked, remove_files),
        cmocka_unit_test_teardown(test_a_long_field_is_cut, remove_files),
        cmocka_unit_test_teardown(test_a_long_line_is_cut, remove_files),
        cmocka_unit_test_teardown(test_text, remove_files),
        cmocka_unit_test_teardown(test_lines_are_events, remove_files),
        cmocka_unit_test_teardown(test_text_columns_are_aligned, remove_files),
        cmocka_unit_test_teardown(test_levels, remove_files),
        cmocka_unit_test_teardown(test_reopen_after_rotation, remove_files),
        cmocka_unit_test_teardown(test_reopen_that_fails_is_told_and_tried_again, remove_files),
        cmocka_unit_test_teardown(test_an_open_log_goes_on_in_its_file, remove_files),
        cmocka_unit_test_teardown(test_a_file_that_cannot_be_opened, remove_files),
        cmocka_unit_test_teardown(test_a_full_disk, remove_files),
        cmocka_unit_test_teardown(test_half_a_line, remove_files),
        cmocka_unit_test_teardown(test_a_pipe_that_nobody_reads, remove_files),
        cmocka_unit_test_teardown(test_a_socket_that_nobody_reads, remove_files),
        cmocka_unit_test_teardown(test_threads_and_rotation, remove_files),
        cmocka_unit_test_teardown(test_the_reference_has_every_event, remove_files),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
