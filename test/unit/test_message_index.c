/* The index against a naive model, over reopening and damage, and from several threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/message_index.h"

enum { TTL_S = 960, NOW_S = 1700000000, UNIT_S = 32 /* times are kept in these */ };
enum { SEGMENT = 48 /* ids in one of a small table, which has */, SEGMENTS = 9 };

static char directory[] = "/tmp/test_message_index_XXXXXX";
static char path[64];

static int make_directory(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/ids", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(directory); /* fails where a temporary file was left behind */
}

static int remove_file(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

static struct message_index_writer writer;

static struct message_index *open_index(const char *file, size_t entries, const char *expected_reason)
{
    const char *reason = "unset";
    struct message_index *index = message_index_open(file, entries, TTL_S, &reason);
    assert_non_null(index);
    if (expected_reason == NULL)
        assert_null(reason);
    else
        assert_non_null(strstr(reason, expected_reason));
    writer = (struct message_index_writer){.index = index};
    return index;
}

static void put_by(struct message_index_writer *own, uint64_t client, const char *id, int link,
                   uint64_t now_s)
{
    message_index_put(own, client, (const uint8_t *)id, strlen(id), link, now_s);
    message_index_settle(own);
}

/* All that the main thread puts in the index that was opened last goes through one writer. */
static void put(struct message_index *index, uint64_t client, const char *id, int link, uint64_t now_s)
{
    assert_ptr_equal(writer.index, index);
    put_by(&writer, client, id, link, now_s);
}

static int find(const struct message_index *index, uint64_t client, const char *id, uint64_t now_s)
{
    return message_index_find(index, client, (const uint8_t *)id, strlen(id), now_s);
}

static bool has(const struct message_index *index, uint64_t client, const char *id, int link, uint64_t now_s)
{
    return message_index_has(index, client, (const uint8_t *)id, strlen(id), link, now_s);
}

/* Two SMSCs that count their messages give the same ids: each link has its own, whichever was the newest. */
static void two_links_have_the_same_id(void **state)
{
    (void)state;
    struct message_index *index = open_index(NULL, 1024, NULL);
    put(index, 5, "1001", 1, 1000);
    put(index, 5, "1001", 2, 1001);
    put(index, 5, "1002", 2, 1001);
    assert_true(has(index, 5, "1001", 1, 1002) && has(index, 5, "1001", 2, 1002));
    assert_true(has(index, 5, "1002", 2, 1002));
    assert_false(has(index, 5, "1002", 1, 1002));
    assert_false(has(index, 6, "1001", 1, 1002));
    assert_false(has(index, 5, "1001", 1, 1001 + 2 * TTL_S));
    message_index_close(index);
}

/* --- finding ---------------------------------------------------------------------------------- */

static void what_was_put_is_found_by_its_client_alone(void **state)
{
    (void)state;
    struct message_index *index = open_index(NULL, 1024, NULL);
    uint64_t acme = message_index_client(index, "acme"), other = message_index_client(index, "other");
    assert_int_not_equal(acme, other);
    assert_int_equal(find(index, acme, "00a1", NOW_S), -1);
    put(index, acme, "00a1", 7, NOW_S);
    assert_int_equal(find(index, acme, "00a1", NOW_S), 7);
    assert_int_equal(find(index, other, "00a1", NOW_S), -1);
    assert_int_equal(find(index, acme, "00A1", NOW_S), -1);
    assert_int_equal(find(index, acme, "0a1", NOW_S), -1);
    assert_int_equal(find(index, acme, "", NOW_S), -1);
    put(index, acme, "", 1023, NOW_S);
    assert_int_equal(find(index, acme, "", NOW_S), 1023);
    put(index, acme, "nowhere", -1, NOW_S);
    put(index, acme, "nowhere", 1024, NOW_S);
    assert_int_equal(find(index, acme, "nowhere", NOW_S), -1);
    message_index_close(index);
    message_index_close(NULL);
}

/* Nothing waits for ever: what does not fit is settled by itself. */
static void what_is_put_is_found_when_it_is_settled(void **state)
{
    (void)state;
    struct message_index *index = open_index(NULL, 1024, NULL);
    char id[16];
    for (unsigned i = 0; i < 2 * MESSAGE_INDEX_PENDING + 1; i++) {
        snprintf(id, sizeof id, "%u", i);
        message_index_put(&writer, 5, (const uint8_t *)id, strlen(id), 3, 100);
    }
    assert_int_equal(find(index, 5, "0", 100), 3);
    assert_int_equal(find(index, 5, id, 100), -1);
    message_index_settle(&writer);
    assert_int_equal(find(index, 5, id, 100), 3);
    message_index_settle(&writer);
    assert_int_equal(writer.pending_count, 0);
    message_index_close(index);
}

static void the_newest_link_of_an_id_counts(void **state)
{
    (void)state;
    struct message_index *index = open_index(NULL, 1024, NULL);
    put(index, 1, "5", 3, NOW_S);
    put(index, 1, "5", 4, NOW_S);
    assert_int_equal(find(index, 1, "5", NOW_S), 4);
    put(index, 1, "5", 3, NOW_S + 1);
    assert_int_equal(find(index, 1, "5", NOW_S + 1), 3);
    message_index_close(index);
}

static void an_entry_lives_for_its_time(void **state)
{
    (void)state;
    struct message_index *index = open_index(NULL, 1024, NULL);
    put(index, 1, "a", 5, NOW_S);
    assert_int_equal(find(index, 1, "a", NOW_S + TTL_S), 5);
    assert_int_equal(find(index, 1, "a", NOW_S + TTL_S + UNIT_S), -1);
    assert_int_equal(find(index, 1, "a", NOW_S + 50000000), -1);
    put(index, 1, "a", 6, NOW_S + TTL_S);
    assert_int_equal(find(index, 1, "a", NOW_S + 2 * TTL_S), 6);
    assert_int_equal(find(index, 1, "a", NOW_S + TTL_S - 60), 6); /* the clock was set back */
    message_index_close(index);
}

/* Whatever its time: a table remembers so many, and then the oldest part goes as a whole. */
static void a_full_table_loses_its_oldest_part(void **state)
{
    (void)state;
    enum { ALL = SEGMENT * SEGMENTS };
    struct message_index *index = open_index(NULL, 1, NULL);
    char id[16];
    for (unsigned i = 0; i < 5 * ALL; i++) {
        snprintf(id, sizeof id, "%u", i);
        put(index, 1, id, (int)(i % 1000), NOW_S);
        unsigned first = i < ALL ? 0 : (i / SEGMENT + 1 - SEGMENTS) * SEGMENT;
        snprintf(id, sizeof id, "%u", first);
        assert_int_equal(find(index, 1, id, NOW_S), (int)(first % 1000));
        if (first > 0) {
            snprintf(id, sizeof id, "%u", first - 1);
            assert_int_equal(find(index, 1, id, NOW_S), -1);
        }
    }
    message_index_close(index);
}

/* One that writes seldom keeps no part that the others have come round to. */
static void a_slow_writer_does_not_write_into_the_past(void **state)
{
    (void)state;
    struct message_index *index = open_index(NULL, 1, NULL);
    struct message_index_writer slow = {.index = index};
    char id[16];
    put_by(&slow, 2, "early", 7, NOW_S);
    for (unsigned i = 0; i < SEGMENT * SEGMENTS / 2; i++) {
        snprintf(id, sizeof id, "%u", i);
        put(index, 1, id, 1, NOW_S);
    }
    assert_int_equal(find(index, 2, "early", NOW_S), 7);
    put_by(&slow, 2, "late", 8, NOW_S);
    for (unsigned i = 0; i < SEGMENT * (SEGMENTS - 2); i++) {
        snprintf(id, sizeof id, "again %u", i);
        put(index, 1, id, 1, NOW_S);
    }
    assert_int_equal(find(index, 2, "early", NOW_S), -1);
    assert_int_equal(find(index, 2, "late", NOW_S), 8);
    message_index_close(index);
}

/* Times are kept relative to their segment's: one that lasts for longer than they can tell is left. */
static void a_part_does_not_outlast_its_clock(void **state)
{
    (void)state;
    enum { LONGEST_S = UNIT_S << 17 };
    struct message_index *index = open_index(NULL, 1024, NULL);
    put(index, 1, "a", 1, NOW_S);
    put(index, 1, "b", 2, NOW_S + LONGEST_S - 1);
    put(index, 1, "c", 3, NOW_S + LONGEST_S);
    assert_int_equal(find(index, 1, "a", NOW_S + LONGEST_S), -1);
    assert_int_equal(find(index, 1, "b", NOW_S + LONGEST_S), 2);
    assert_int_equal(find(index, 1, "c", NOW_S + LONGEST_S), 3);
    assert_int_equal(find(index, 1, "c", NOW_S + LONGEST_S + TTL_S), 3);
    assert_int_equal(find(index, 1, "c", NOW_S + LONGEST_S + TTL_S + UNIT_S), -1);
    message_index_close(index);
}

static void the_newest_counts_wherever_it_stands(void **state)
{
    (void)state;
    struct message_index *index = open_index(NULL, 1024, NULL);
    struct message_index_writer other = {.index = index};
    put(index, 1, "5", 3, NOW_S);
    put_by(&other, 1, "5", 4, NOW_S + UNIT_S);
    assert_int_equal(find(index, 1, "5", NOW_S + UNIT_S), 4);
    put(index, 1, "5", 6, NOW_S + 2 * UNIT_S);
    assert_int_equal(find(index, 1, "5", NOW_S + 2 * UNIT_S), 6);
    for (unsigned i = 0; i < SEGMENT; i++) { /* on to the next part, in the same second */
        char id[16];
        snprintf(id, sizeof id, "x%u", i);
        put(index, 1, id, 0, NOW_S + 2 * UNIT_S);
    }
    put(index, 1, "5", 7, NOW_S + 2 * UNIT_S);
    assert_int_equal(find(index, 1, "5", NOW_S + 2 * UNIT_S), 7);
    message_index_close(index);
}

/* Naive: an array by id. Nothing may be lost or invented. */
static void it_agrees_with_a_naive_model(void **state)
{
    (void)state;
    enum { IDS = 2000, STEPS = 40000 };
    struct message_index *index = open_index(NULL, 32768, NULL);
    static struct {
        int link;
        uint64_t at;
    } model[IDS];
    unsigned random = 12345;
    uint64_t now_s = NOW_S;
    for (unsigned i = 0; i < STEPS; i++) {
        random = random * 1103515245 + 12345;
        unsigned which = random / 65536 % IDS;
        char id[24];
        snprintf(id, sizeof id, "%x-%u", which * 2654435761U, which);
        bool alive = model[which].at != 0 && now_s - model[which].at <= TTL_S;
        assert_int_equal(find(index, which % 7, id, now_s), alive ? model[which].link : -1);
        if (random % 3 == 0) {
            model[which].link = (int)(random / 256 % 1024);
            model[which].at = now_s;
            put(index, which % 7, id, model[which].link, now_s);
        }
        now_s += i % 256 == 0 ? UNIT_S : 0; /* the extra time of life never decides */
    }
    message_index_close(index);
}

/* As many as were asked for, with ids as a peer gives them, and of any length. */
static void as_many_as_promised_are_remembered(void **state)
{
    (void)state;
    static const char *const formats[] = {"%u", "%010u", "%x-0123456789abcdef-%08x",
                                          "0123456789abcdef%02x0123456789abcdef%u"};
    const size_t sizes[] = {1, 768, 5000, 65536, 1000000};
    char id[64];
    for (unsigned k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        struct message_index *index = open_index(NULL, sizes[k], NULL);
        unsigned lost = 0;
        const char *format = formats[k % 4];
        for (unsigned i = 0; i < 2 * sizes[k]; i++) {
            snprintf(id, sizeof id, format, i, i);
            put(index, 1, id, (int)(i % 1000), NOW_S);
        }
        for (unsigned i = (unsigned)sizes[k]; i < 2 * sizes[k]; i += (unsigned)(1 + sizes[k] / 5000)) {
            snprintf(id, sizeof id, format, i, i);
            lost += find(index, 1, id, NOW_S) != (int)(i % 1000);
        }
        assert_int_equal(lost, 0);
        message_index_close(index);
    }
}

/* --- links ------------------------------------------------------------------------------------ */

static void links_keep_their_numbers(void **state)
{
    (void)state;
    struct message_index *index = open_index(path, 64, NULL);
    assert_int_equal(message_index_link(index, "spark-redx"), 0);
    assert_int_equal(message_index_link(index, "spark-omni"), 1);
    assert_int_equal(message_index_link(index, "spark-redx"), 0);
    message_index_close(index);
    index = open_index(path, 64, NULL);
    assert_int_equal(message_index_link(index, "onenz-omni"), 2);
    assert_int_equal(message_index_link(index, "spark-omni"), 1);
    message_index_close(index);
}

static void there_is_room_for_1024_links(void **state)
{
    (void)state;
    struct message_index *index = open_index(NULL, 8, NULL);
    char name[80];
    for (int i = 0; i < 1024; i++) {
        snprintf(name, sizeof name, "link-%d", i);
        assert_int_equal(message_index_link(index, name), i);
    }
    assert_int_equal(message_index_link(index, "one more"), -1);
    assert_int_equal(message_index_link(index, "link-1023"), 1023);
    memset(name, 'x', sizeof name);
    name[56] = '\0';
    assert_int_equal(message_index_link(index, name), -1);
    assert_int_equal(message_index_link(index, ""), -1);
    message_index_close(index);
}

/* --- the file --------------------------------------------------------------------------------- */

static void the_index_survives_reopening(void **state)
{
    (void)state;
    struct message_index *index = open_index(path, 100, NULL);
    uint64_t client = message_index_client(index, "acme");
    put(index, client, "abc", message_index_link(index, "l"), NOW_S);
    message_index_close(index);
    index = open_index(path, 100, NULL);
    assert_int_equal(message_index_client(index, "acme"), client);
    assert_int_equal(find(index, client, "abc", NOW_S), 0);
    message_index_close(index);
}

static void the_index_survives_a_killed_process(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        const char *reason;
        struct message_index *index = message_index_open(path, 64, TTL_S, &reason);
        writer = (struct message_index_writer){.index = index};
        put(index, message_index_client(index, "acme"), "abc", message_index_link(index, "l") + 9, NOW_S);
        raise(SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    struct message_index *index = open_index(path, 64, NULL);
    assert_int_equal(find(index, message_index_client(index, "acme"), "abc", NOW_S), 9);
    message_index_close(index);
}

static void keys_differ_from_file_to_file(void **state)
{
    (void)state;
    struct message_index *one = open_index(path, 64, NULL), *other = open_index(NULL, 64, NULL);
    assert_int_not_equal(message_index_client(one, "acme"), message_index_client(other, "acme"));
    message_index_close(one);
    message_index_close(other);
}

static void a_file_of_another_size_is_begun_anew(void **state)
{
    (void)state;
    message_index_close(open_index(path, 64, NULL));
    message_index_close(open_index(path, 256, "another size"));
    message_index_close(open_index(path, 256, NULL));
    message_index_close(open_index(path, 64, "another size"));
}

static void flip_octet(off_t at)
{
    uint8_t octet;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &octet, 1, at), 1);
    octet ^= 0x20;
    assert_int_equal(pwrite(fd, &octet, 1, at), 1);
    close(fd);
}

/* magic, layout, entries, key, checksum: 48 octets; then the first link's checksum and its name "link". */
static void a_damaged_header_is_begun_anew(void **state)
{
    (void)state;
    for (off_t at = 0; at < 48 + 8 + 4; at++) {
        unlink(path);
        struct message_index *index = open_index(path, 64, NULL);
        message_index_link(index, "link");
        put(index, 1, "abc", 0, NOW_S);
        message_index_close(index);
        flip_octet(at);
        index = open_index(path, 64, "begun anew");
        assert_int_equal(find(index, 1, "abc", NOW_S), -1);
        message_index_close(index);
        message_index_close(open_index(path, 64, NULL));
    }
}

/* What kill -9 may leave of message_index_link: the name without its checksum. */
static void a_half_written_link_does_not_count(void **state)
{
    (void)state;
    struct message_index *index = open_index(path, 64, NULL);
    message_index_link(index, "kept");
    put(index, 1, "abc", 0, NOW_S);
    message_index_close(index);
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, "half", 4, 48 + 64 + 8), 4);
    close(fd);
    index = open_index(path, 64, NULL);
    assert_int_equal(find(index, 1, "abc", NOW_S), 0);
    assert_int_equal(message_index_link(index, "new"), 1);
    assert_int_equal(message_index_link(index, "kept"), 0);
    message_index_close(index);
    message_index_close(open_index(path, 64, NULL));
}

static void any_words_can_be_read(void **state)
{
    (void)state;
    struct message_index *index = open_index(path, 64, NULL);
    message_index_close(index);
    struct stat st;
    uint8_t noise[SEGMENTS * 65 * 8 + 256 * 24]; /* all words, and heads before them */
    memset(noise, 0xFF, sizeof noise);
    int fd = open(path, O_RDWR);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(pwrite(fd, noise, sizeof noise, st.st_size - (off_t)sizeof noise), sizeof noise);
    close(fd);
    index = open_index(path, 64, NULL);
    assert_int_equal(find(index, 1, "abc", NOW_S), -1);
    put(index, 1, "abc", 5, NOW_S);
    assert_int_equal(find(index, 1, "abc", NOW_S), 5);
    message_index_close(index);
}

static void what_cannot_be_made_is_told(void **state)
{
    (void)state;
    const char *reason = NULL;
    assert_null(message_index_open("/nonexistent/ids", 64, TTL_S, &reason));
    assert_non_null(strstr(reason, "no such directory"));
    assert_null(message_index_open(directory, 64, TTL_S, &reason)); /* a directory stands at the path */
    assert_non_null(reason);
    char left[80];
    snprintf(left, sizeof left, "%s.new", directory);
    assert_int_not_equal(access(left, F_OK), 0);
}

/* --- threads ---------------------------------------------------------------------------------- */

enum { THREADS = 4, IDS_A_THREAD = 5000 };

struct worker {
    struct message_index *index;
    uint64_t client;
};

static void *put_and_find(void *arg)
{
    const struct worker *w = arg;
    struct message_index_writer own = {.index = w->index};
    char id[16];
    uintptr_t wrong = 0;
    for (unsigned i = 0; i < IDS_A_THREAD; i++) {
        snprintf(id, sizeof id, "%u", i);
        put_by(&own, w->client, id, (int)(i % 1000), NOW_S);
        wrong += find(w->index, w->client, id, NOW_S) != (int)(i % 1000);
        if (i % 8 == 0)
            find(w->index, w->client ^ 1, id, NOW_S);
    }
    return (void *)wrong;
}

static void run_threads(struct message_index *index, void *(*function)(void *arg))
{
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){index, i};
        assert_int_equal(pthread_create(&threads[i], NULL, function, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
}

/* Room for all. None may be lost to another thread. */
static void threads_lose_nothing_of_each_other(void **state)
{
    (void)state;
    struct message_index *index = open_index(NULL, (size_t)THREADS * IDS_A_THREAD, NULL);
    run_threads(index, put_and_find);
    for (unsigned i = 0; i < THREADS * IDS_A_THREAD; i++) {
        char id[16];
        snprintf(id, sizeof id, "%u", i / THREADS);
        assert_int_equal(find(index, i % THREADS, id, NOW_S), (int)(i / THREADS % 1000));
    }
    message_index_close(index);
}

static void *crowd(void *arg)
{
    const struct worker *w = arg;
    struct message_index_writer own = {.index = w->index};
    uintptr_t wrong = 0;
    for (unsigned i = 0; i < IDS_A_THREAD; i++) {
        char id[16];
        snprintf(id, sizeof id, "%u", i);
        put_by(&own, w->client, id, (int)(w->client * 20 + i % 20), NOW_S + i);
        snprintf(id, sizeof id, "%u", i / 2);
        for (uint64_t client = 0; client < THREADS; client++) {
            int found = find(w->index, client, id, NOW_S + i);
            wrong += found != (int)(client * 20 + i / 2 % 20) && found != -1;
        }
    }
    return (void *)wrong;
}

/* Parts are cleared and written while others look into them: entries go, but no answer is another's. */
static void a_crowded_table_never_lies(void **state)
{
    (void)state;
    struct message_index *index = open_index(NULL, 8, NULL);
    run_threads(index, crowd);
    message_index_close(index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_links_have_the_same_id),
        cmocka_unit_test(what_was_put_is_found_by_its_client_alone),
        cmocka_unit_test(what_is_put_is_found_when_it_is_settled),
        cmocka_unit_test(the_newest_link_of_an_id_counts),
        cmocka_unit_test(the_newest_counts_wherever_it_stands),
        cmocka_unit_test(an_entry_lives_for_its_time),
        cmocka_unit_test(a_full_table_loses_its_oldest_part),
        cmocka_unit_test(a_slow_writer_does_not_write_into_the_past),
        cmocka_unit_test(a_part_does_not_outlast_its_clock),
        cmocka_unit_test(it_agrees_with_a_naive_model),
        cmocka_unit_test(as_many_as_promised_are_remembered),
        cmocka_unit_test_setup(links_keep_their_numbers, remove_file),
        cmocka_unit_test(there_is_room_for_1024_links),
        cmocka_unit_test_setup(the_index_survives_reopening, remove_file),
        cmocka_unit_test_setup(the_index_survives_a_killed_process, remove_file),
        cmocka_unit_test_setup(keys_differ_from_file_to_file, remove_file),
        cmocka_unit_test_setup(a_file_of_another_size_is_begun_anew, remove_file),
        cmocka_unit_test_setup(a_damaged_header_is_begun_anew, remove_file),
        cmocka_unit_test_setup(a_half_written_link_does_not_count, remove_file),
        cmocka_unit_test_setup(any_words_can_be_read, remove_file),
        cmocka_unit_test_setup(what_cannot_be_made_is_told, remove_file),
        cmocka_unit_test(threads_lose_nothing_of_each_other),
        cmocka_unit_test(a_crowded_table_never_lies),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
