/* store.c (with redis_conn.c, redis_uv.c, saver.c) against a real redis-server of our own: a free port on
 * 127.0.0.1, an own directory, killed by its pid. Nothing sleeps: every wait is for an event of the loop,
 * under one watchdog. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>
#include <uv.h>

#include "routing/functions.h"
#include "routing/snapshot.h"
#include "routing/store.h"

enum { WATCHDOG_MS = 20000 };

#define KEY "{turnout}:version"

/* --- a Redis of our own --------------------------------------------------------------------------------- */

static char directory[64], snapshot[96], unix_path[96];
static pid_t redis_pid;
static int redis_log = -1; /* its standard output */
static uint16_t port;
static redisContext *admin;

static int listen_somewhere(uint16_t *chosen)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *chosen = ntohs(address.sin_port);
    return fd;
}

static void redis_exec(const char *password)
{
    char port_text[8];
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* so that nothing is left where a test crashes */
    snprintf(port_text, sizeof(port_text), "%u", port);
    execlp("redis-server", "redis-server", "--port", port_text, "--bind", "127.0.0.1", "--dir", directory,
           "--unixsocket", unix_path, "--save", "", "--appendonly", "no", "--requirepass", password,
           (char *)NULL);
    _exit(127);
}

static void wait_for_line(const char *text)
{
    char log[16384];
    size_t len = 0;
    for (;;) {
        ssize_t got = read(redis_log, log + len, sizeof(log) - 1 - len);
        if (got <= 0)
            fail_msg("redis-server did not start");
        len += (size_t)got;
        log[len] = '\0';
        if (strstr(log, text) != NULL)
            return;
    }
}

static redisReply *ask(int count, const char **strings)
{
    redisReply *reply = redisCommandArgv(admin, count, strings, NULL);
    assert_non_null(reply);
    return reply;
}

static void order(int count, const char **strings)
{
    redisReply *reply = ask(count, strings);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s", reply->str);
    freeReplyObject(reply);
}

#define ORDER(...)                                                      \
    do {                                                                \
        const char *strings_[] = {__VA_ARGS__};                         \
        order((int)(sizeof(strings_) / sizeof(strings_[0])), strings_); \
    } while (0)

static void redis_start(const char *password)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    redis_pid = fork();
    assert_true(redis_pid >= 0);
    if (redis_pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        redis_exec(password);
    }
    close(ends[1]);
    redis_log = ends[0];
    wait_for_line("Ready to accept connections");
    admin = redisConnect("127.0.0.1", port);
    assert_non_null(admin);
    assert_int_equal(admin->err, 0);
    if (password[0] != '\0')
        ORDER("AUTH", password);
}

static void redis_kill(void)
{
    if (redis_pid == 0)
        return;
    kill(redis_pid, SIGKILL);
    waitpid(redis_pid, NULL, 0);
    redis_pid = 0;
    close(redis_log);
    redisFree(admin);
    admin = NULL;
}

/* The first string of the reply to a function. */
static void function(const char *name, const char *argument, const char *expected)
{
    redisReply *reply = ask(5, (const char *[]){"FCALL", name, "1", KEY, argument});
    if (reply->type != REDIS_REPLY_ARRAY || strcmp(reply->element[0]->str, expected) != 0)
        fail_msg("%s: %s", name, reply->type == REDIS_REPLY_ERROR ? reply->str : reply->element[0]->str);
    freeReplyObject(reply);
}

static void library_load(void)
{
    ORDER("FUNCTION", "LOAD", "REPLACE", functions_text());
}

static void change(const char *shortcode, const char *to)
{
    char request[256];
    snprintf(request, sizeof(request),
             "{\"kind\":\"set\",\"who\":\"t\",\"outside_window\":true,\"moves\":[{\"shortcode\":\"%s\","
             "\"carrier\":\"spark\",\"to\":"
             "\"%s\"}]}",
             shortcode, to);
    function("turnout_change", request, "ok");
}

static void drop_connections(void)
{
    ORDER("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
}

/* --- a store, and what it says -------------------------------------------------------------------------- */

struct world {
    uv_loop_t loop;
    struct names names;
    struct store *store;
    struct table *table;
    unsigned tables, states, beats;
    uint64_t acknowledged_sent, acknowledged_version;
    bool slow; /* to apply what is published: the test does it */
    enum store_state state;
    char reason[512], trouble[512], question[128];
    unsigned questions;
    bool called, closed, late;
    uv_timer_t watchdog;
};

static void on_table(void *ctx, struct table *table)
{
    struct world *world = ctx;
    assert_true(world->table == NULL || table_version(table) > table_version(world->table));
    table_free(world->table);
    world->table = table;
    world->tables++;
    if (world->store != NULL && !world->slow)
        store_applied(world->store, table_version(table));
}

static void on_state(void *ctx, enum store_state state, const char *reason)
{
    struct world *world = ctx;
    world->state = state;
    world->states++;
    snprintf(world->reason, sizeof(world->reason), "%s", reason);
}

static void on_trouble(void *ctx, const char *what)
{
    struct world *world = ctx;
    snprintf(world->trouble, sizeof(world->trouble), "%s", what);
}

static void on_beat(void *ctx, void (*add)(void *arg, const char *field, const char *value), void *arg)
{
    ((struct world *)ctx)->beats++;
    add(arg, "sessions", "17");
}

static void on_question(void *ctx, const char *id, const char *request)
{
    struct world *world = ctx;
    world->questions++;
    snprintf(world->question, sizeof(world->question), "%s", request);
    store_answer(world->store, id, "{\"fine\":true}");
}

/* It cannot be acknowledged before it was sent, nor sent after the answer. */
static void on_beat_acknowledged(void *ctx, uint64_t sent_ns, uint64_t version)
{
    struct world *world = ctx;
    assert_true(sent_ns > world->acknowledged_sent && sent_ns <= uv_hrtime());
    world->acknowledged_sent = sent_ns;
    world->acknowledged_version = version;
}

static const struct store_events events = {on_table, on_state,    on_trouble,
                                           on_beat,  on_question, on_beat_acknowledged};

static struct store_options some_options(void)
{
    return (struct store_options){.host = "127.0.0.1",
                                  .port = port,
                                  .prefix = "{turnout}",
                                  .instance = "one",
                                  .snapshot_path = snapshot,
                                  .beat_ms = 50,
                                  .lease_ms = 5000,
                                  .timeout_ms = 3000,
                                  .backoff_min_ms = 10,
                                  .backoff_max_ms = 100};
}

static void on_watchdog(uv_timer_t *timer)
{
    ((struct world *)timer->data)->late = true;
}

static void world_open(struct world *world, const struct store_options *options)
{
    memset(world, 0, sizeof(*world));
    uv_loop_init(&world->loop);
    uv_timer_init(&world->loop, &world->watchdog);
    world->watchdog.data = world;
    world->store = store_open(&world->loop, &world->names, options, &events, world);
    assert_non_null(world->store);
    if (world->table != NULL)
        store_applied(world->store, table_version(world->table));
}

typedef bool condition(struct world *world, const char *text);

static void wait_for(struct world *world, condition *holds, const char *text)
{
    world->late = false;
    uv_timer_start(&world->watchdog, on_watchdog, WATCHDOG_MS, 0);
    while (!holds(world, text)) {
        if (world->late)
            fail_msg("waited in vain for %s; state %s: %s", text, store_state_name(world->state),
                     world->reason);
        uv_run(&world->loop, UV_RUN_ONCE);
    }
    uv_timer_stop(&world->watchdog);
}

static bool version_is(struct world *world, const char *text)
{
    return world->table != NULL && table_version(world->table) == strtoull(text, NULL, 10) &&
           world->state == STORE_FOLLOWING;
}

static bool state_is(struct world *world, const char *text)
{
    return strcmp(store_state_name(world->state), text) == 0 && world->states > 0;
}

static bool reason_has(struct world *world, const char *text)
{
    return strstr(world->reason, text) != NULL;
}

static bool trouble_has(struct world *world, const char *text)
{
    return strstr(world->trouble, text) != NULL;
}

/* "field=value" in this instance's entry, where value may be the start of what is there. */
static bool entry_has(struct world *world, const char *text)
{
    char field[32];
    const char *value = strchr(text, '=');
    (void)world;
    snprintf(field, sizeof(field), "%.*s", (int)(value - text), text);
    redisReply *reply = ask(3, (const char *[]){"HGET", "{turnout}:instance:one", field});
    bool has = reply->type == REDIS_REPLY_STRING && strstr(reply->str, value + 1) == reply->str;
    freeReplyObject(reply);
    return has;
}

static bool beats_reach(struct world *world, const char *text)
{
    return world->beats >= strtoul(text, NULL, 10);
}

static bool is_closed(struct world *world, const char *text)
{
    (void)text;
    return world->closed;
}

static void on_closed(void *ctx)
{
    ((struct world *)ctx)->closed = true;
}

/* Nothing may be left in the loop when the store says that it is closed. */
static void world_close(struct world *world)
{
    store_close(world->store, on_closed, world);
    wait_for(world, is_closed, "the close");
    uv_close((uv_handle_t *)&world->watchdog, NULL);
    uv_run(&world->loop, UV_RUN_NOWAIT);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    table_free(world->table);
}

static const char *platform_of(struct world *world, const char *shortcode)
{
    struct route route;
    if (!table_cell(world->table, shortcode, names_find(&world->names, "spark"), &route))
        return "";
    return names_get(&world->names, route.platform);
}

/* --- setup: an empty directory and Redis for each test -------------------------------------------------- */

static int setup(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/turnout-store-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(snapshot, sizeof(snapshot), "%s/table.json", directory);
    snprintf(unix_path, sizeof(unix_path), "%s/socket", directory);
    close(listen_somewhere(&port));
    redis_start("");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    redis_kill();
    unlink(snapshot);
    unlink(unix_path);
    return rmdir(directory);
}

/* --- the tests ------------------------------------------------------------------------------------------ */

static bool acknowledged(struct world *world, const char *version)
{
    return world->acknowledged_version >= strtoul(version, NULL, 10);
}

static void it_loads_the_table_and_follows_its_changes(void **state)
{
    (void)state;
    struct world world;
    struct store_options options = some_options();
    options.beat_ms = 60000; /* what is to be told at once must not wait for it */
    library_load();
    change("100", "redx");
    change("200", "redx");
    world_open(&world, &options);
    wait_for(&world, version_is, "2");
    assert_int_equal(world.tables, 1);
    assert_string_equal(platform_of(&world, "200"), "redx");
    wait_for(&world, entry_has, "applied=2");

    world.slow = true;
    uint64_t start = uv_hrtime();
    change("200", "omni");
    wait_for(&world, entry_has, "desired=3");
    assert_true(version_is(&world, "3") && entry_has(&world, "applied=2"));
    store_applied(world.store, 3);
    wait_for(&world, entry_has, "applied=3");
    wait_for(&world, acknowledged, "3");
    print_message("a change is reported as applied after %.2f ms\n", (double)(uv_hrtime() - start) / 1e6);
    assert_string_equal(platform_of(&world, "200"), "omni");
    assert_true(entry_has(&world, "sessions=17"));
    wait_for(&world, entry_has, "state=following");
    wait_for(&world, entry_has, "desired=3");

    store_obstacle(world.store, "worker 1 is busy");
    wait_for(&world, entry_has, "obstacle=worker 1 is busy");
    store_obstacle(world.store, NULL);
    assert_int_equal(store_counter_reconnects(world.store), 0);
    world_close(&world);

    redisReply *reply = ask(4, (const char *[]){"FCALL", "turnout_instances", "1", KEY});
    assert_int_equal(reply->elements, 1); /* the time alone: it has left */
    freeReplyObject(reply);
}

static void it_brings_the_library(void **state)
{
    (void)state;
    struct world world;
    struct store_options options = some_options();
    char *older = strdup(functions_text()), *number = strstr(older, "LIBRARY_VERSION = ");
    world_open(&world, &options);
    wait_for(&world, state_is, "following");
    change("100", "redx");
    wait_for(&world, version_is, "1");

    number[strlen("LIBRARY_VERSION = ")] = '0';
    ORDER("FUNCTION", "LOAD", "REPLACE", older);
    drop_connections();
    change("100", "omni");
    wait_for(&world, version_is, "2");
    redisReply *reply = ask(4, (const char *[]){"FCALL", "turnout_info", "1", KEY});
    assert_int_equal(reply->element[0]->integer, functions_version());
    freeReplyObject(reply);
    assert_int_equal(store_counter_reconnects(world.store), 1);

    char *newer;
    number[strlen("LIBRARY_VERSION = ")] = '\0';
    assert_true(asprintf(&newer, "%s99%s", older, number + strlen("LIBRARY_VERSION = ") + 1) > 0);
    ORDER("FUNCTION", "LOAD", "REPLACE", newer);
    free(newer);
    drop_connections();
    wait_for(&world, trouble_has, "the functions of a newer release");
    change("100", "redx");
    wait_for(&world, version_is, "3");
    world_close(&world);
    free(older);
}

static void a_redis_restarted_empty_is_refused_until_a_restore(void **state)
{
    (void)state;
    struct world world;
    struct store_options options = some_options();
    world_open(&world, &options);
    wait_for(&world, state_is, "following");
    change("100", "redx");
    change("200", "redx");
    wait_for(&world, version_is, "2");

    redis_kill();
    wait_for(&world, state_is, "connecting");
    redis_start("");
    wait_for(&world, state_is, "refused");
    assert_non_null(strstr(world.reason, "Redis is empty, but this instance serves version 2"));
    wait_for(&world, entry_has, "state=refused");
    assert_true(entry_has(&world, "reason=Redis is empty"));
    wait_for(&world, entry_has, "applied=2"); /* once it is on the disk */
    unsigned tables = world.tables;
    assert_int_equal(table_version(world.table), 2);
    assert_int_equal(store_counter_refused(world.store), 1);

    change("300", "wrong"); /* by somebody who did not look */
    wait_for(&world, reason_has, "Redis is at version 1");
    assert_int_equal(world.tables, tables);

    /* The file is older than what is served; the entry of this instance tells the restore how high to go. */
    function("turnout_restore",
             "{\"who\":\"t\",\"version\":1,\"rows\":{\"100\":{\"spark\":\"omni open redx 1000 1\"}}}", "ok");
    wait_for(&world, version_is, "3");
    assert_string_equal(platform_of(&world, "100"), "omni");
    assert_string_equal(platform_of(&world, "200"), "");
    change("200", "omni");
    wait_for(&world, version_is, "4");
    world_close(&world);
}

static void a_flush_under_the_connection_is_noticed(void **state)
{
    (void)state;
    struct world world;
    struct store_options options = some_options();
    world_open(&world, &options);
    wait_for(&world, state_is, "following");
    change("100", "redx");
    wait_for(&world, version_is, "1");
    ORDER("FLUSHALL");
    uint64_t start = uv_hrtime();
    wait_for(&world, state_is, "refused");
    assert_true(uv_hrtime() - start <
                UINT64_C(4000000000)); /* by the answer to a beat, not at the end of a read */
    assert_int_equal(table_version(world.table), 1);
    world_close(&world);
}

static void a_trimmed_stream_is_made_good_by_a_load(void **state)
{
    (void)state;
    struct world world;
    struct store_options options = some_options();
    world_open(&world, &options);
    wait_for(&world, state_is, "following");
    change("100", "redx");
    wait_for(&world, version_is, "1");

    drop_connections(); /* noticed only when the loop runs again */
    change("100", "omni");
    change("200", "omni");
    ORDER("XTRIM", "{turnout}:changes", "MAXLEN", "0");
    wait_for(&world, version_is, "3");
    assert_string_equal(platform_of(&world, "100"), "omni");
    assert_string_equal(platform_of(&world, "200"), "omni");
    world_close(&world);
}

static void it_catches_up_after_an_absence(void **state)
{
    (void)state;
    struct world world;
    struct store_options options = some_options();
    char shortcode[16];
    world_open(&world, &options);
    wait_for(&world, state_is, "following");
    change("100", "redx");
    wait_for(&world, version_is, "1");
    drop_connections();
    for (int i = 0; i < 300; i++) {
        snprintf(shortcode, sizeof(shortcode), "%d", 1000 + i);
        change(shortcode, "omni");
    }
    wait_for(&world, version_is, "301");
    assert_int_equal(table_count(world.table), 301);
    world_close(&world);
}

static void a_redis_that_hangs_is_noticed(void **state)
{
    (void)state;
    struct world world;
    struct store_options options = some_options();
    options.timeout_ms = 200;
    world_open(&world, &options);
    wait_for(&world, state_is, "following");
    change("100", "redx");
    wait_for(&world, version_is, "1");

    world.beats = 0;
    wait_for(&world, beats_reach, "3"); /* by now nothing but a beat is under way */
    uint64_t start = uv_hrtime();
    kill(redis_pid, SIGSTOP);
    wait_for(&world, reason_has, "Redis did not answer in time.");
    print_message("a hung Redis is noticed after %.0f ms\n", (double)(uv_hrtime() - start) / 1e6);
    assert_int_equal(world.state, STORE_CONNECTING);
    wait_for(&world, reason_has,
             "Redis did not answer the login in time."); /* the kernel takes the connection */
    kill(redis_pid, SIGCONT);
    change("100", "omni");
    wait_for(&world, version_is, "2");
    world_close(&world);
}

static void a_refused_connection_is_reported_and_tried_again(void **state)
{
    (void)state;
    struct world world;
    struct store_options options = some_options();
    redis_kill();
    world_open(&world, &options);
    wait_for(&world, reason_has, "Connection refused");
    assert_int_equal(world.state, STORE_CONNECTING);
    redis_start("");
    wait_for(&world, state_is, "following");
    redis_kill();
    wait_for(&world, reason_has, "Connection refused");
    world_close(&world); /* while it waits to try again */
}

static void it_serves_from_disk_without_redis(void **state)
{
    (void)state;
    struct world world;
    struct store_options options = some_options();
    world_open(&world, &options);
    wait_for(&world, state_is, "following");
    for (int i = 0; i < 20; i++)
        change("100", i % 2 ? "redx" : "omni");
    change("200", "redx");
    wait_for(&world, version_is, "21");
    world_close(&world); /* what waits to be written is written */

    redis_kill();
    world_open(&world, &options);
    assert_int_equal(world.tables, 1); /* before store_open returned */
    assert_int_equal(table_version(world.table), 21);
    assert_string_equal(platform_of(&world, "100"), "redx");
    wait_for(&world, reason_has, "Connection refused");
    redis_start("");
    wait_for(&world, state_is, "refused"); /* the new Redis is empty */
    world_close(&world);
}

/* A thread of libuv's pool that is busy until the gate opens. */
enum { POOL = 4 };
static uv_sem_t gate;

static void wait_at_gate(uv_work_t *work)
{
    (void)work;
    uv_sem_wait(&gate);
}

static int passed;

static void on_passed(uv_work_t *work, int status)
{
    (void)work;
    (void)status;
    passed++;
}

static bool all_have_passed(struct world *world, const char *text)
{
    (void)world;
    (void)text;
    return passed == POOL;
}

static void a_version_counts_as_applied_when_it_is_on_disk(void **state)
{
    (void)state;
    struct world world;
    struct store_options options = some_options();
    uv_work_t busy[POOL];
    world_open(&world, &options);
    wait_for(&world, state_is, "following");
    change("100", "redx");
    wait_for(&world, entry_has, "applied=1");
    assert_int_equal(uv_sem_init(&gate, 0), 0);
    for (int i = 0; i < POOL; i++)
        assert_int_equal(uv_queue_work(&world.loop, &busy[i], wait_at_gate, on_passed), 0);
    change("100", "omni");
    wait_for(&world, entry_has, "desired=2");
    assert_true(version_is(&world, "2") && entry_has(&world, "applied=1"));
    for (int i = 0; i < POOL; i++)
        uv_sem_post(&gate);
    wait_for(&world, entry_has, "applied=2");
    wait_for(&world, all_have_passed, "the others in the pool");
    world_close(&world);
    uv_sem_destroy(&gate);
}

static void a_bad_snapshot_is_reported_and_loaded_anew(void **state)
{
    (void)state;
    struct world world;
    struct store_options options = some_options();
    library_load();
    change("100", "redx");
    FILE *file = fopen(snapshot, "w");
    fputs("{\"half\": ", file);
    fclose(file);
    world_open(&world, &options);
    assert_non_null(strstr(world.trouble, "table.json is not taken: it is not JSON"));
    wait_for(&world, version_is, "1");
    world_close(&world);

    options.snapshot_path = "/nowhere/at/all.json";
    world_open(&world, &options);
    wait_for(&world, trouble_has, "/nowhere/at/all.json cannot be written");
    assert_true(version_is(&world, "1"));
    world_close(&world);
}

static void passwords_and_databases(void **state)
{
    (void)state;
    struct world world;
    struct store_options options = some_options();
    redis_kill();
    redis_start("secret");
    world_open(&world, &options);
    wait_for(&world, reason_has, "Redis refused the login: NOAUTH");
    world_close(&world);
    options.password = "wrong";
    world_open(&world, &options);
    wait_for(&world, reason_has, "Redis refused the login: WRONGPASS");
    world_close(&world);

    options.username = "default";
    options.password = "secret";
    options.database = 2;
    ORDER("SELECT", "2");
    world_open(&world, &options);
    wait_for(&world, state_is, "following");
    change("100", "redx");
    wait_for(&world, version_is, "1");
    world_close(&world);
}

static void over_a_socket_in_the_file_system(void **state)
{
    (void)state;
    struct world world;
    struct store_options options = some_options();
    options.unix_path = unix_path;
    options.host = NULL;
    world_open(&world, &options);
    wait_for(&world, state_is, "following");
    world_close(&world);

    options.unix_path = "/nowhere/socket";
    world_open(&world, &options);
    wait_for(&world, reason_has, "Redis cannot be reached: No such file or directory");
    world_close(&world);
}

static void a_host_without_address_is_reported(void **state)
{
    (void)state;
    struct world world;
    struct store_options options = some_options();
    options.host = "no such host";
    world_open(&world, &options);
    wait_for(&world, reason_has, "Redis' host no such host cannot be resolved");
    world_close(&world);
    world_open(&world, &options);
    world_close(&world); /* with the look-up under way */

    options.host = "localhost"; /* which may be ::1 first, where nobody listens */
    world_open(&world, &options);
    wait_for(&world, state_is, "following");
    world_close(&world);
}

/* A port that takes connections and says nothing, and one that talks nonsense. */
static void what_is_no_redis_is_left_alone(void **state)
{
    (void)state;
    struct world world;
    struct store_options options = some_options();
    int fd = listen_somewhere(&options.port);
    options.timeout_ms = 100;
    world_open(&world, &options);
    wait_for(&world, reason_has, "Redis did not answer the login in time.");
    int peer = accept(fd, NULL, NULL);
    assert_true(peer >= 0);
    world_close(&world);
    close(peer);

    options.timeout_ms = 3000;
    world_open(&world, &options);
    uv_run(&world.loop, UV_RUN_ONCE);
    close(fd); /* what waited in its queue is reset */
    wait_for(&world, state_is, "connecting");
    world_close(&world);
}

static void a_replica_is_left_for_another(void **state)
{
    (void)state;
    struct world world;
    struct store_options options = some_options();
    world_open(&world, &options);
    wait_for(&world, state_is, "following");
    change("100", "redx");
    wait_for(&world, version_is, "1");
    ORDER("REPLICAOF", "127.0.0.1", "1"); /* of nobody: it keeps its data and takes no writes */
    wait_for(&world, reason_has, "read-only replica");
    ORDER("REPLICAOF", "NO", "ONE");
    wait_for(&world, version_is, "1");
    world_close(&world);
}

static unsigned long long rollbacks(void)
{
    unsigned long long count = 0;
    redisReply *reply = ask(4, (const char *[]){"XRANGE", "{turnout}:changes", "-", "+"});
    for (size_t i = 0; i < reply->elements; i++)
        count += strcmp(reply->element[i]->element[1]->element[1]->str, "rollback") == 0;
    freeReplyObject(reply);
    return count;
}

/* By the timer: neither a beat nor the end of a read comes in time to do it. */
static void what_is_not_confirmed_goes_back(void **state)
{
    (void)state;
    struct world world;
    struct store_options options = some_options();
    options.beat_ms = 60000;
    world_open(&world, &options);
    wait_for(&world, state_is, "following");
    change("100", "redx");
    wait_for(&world, entry_has, "applied=1");
    function("turnout_change",
             "{\"kind\":\"set\",\"who\":\"t\",\"outside_window\":true,\"confirm_within_ms\":100,\"moves\":[{"
             "\"shortcode\":\"100\","
             "\"carrier\":\"spark\",\"to\":\"omni\"}]}",
             "ok");
    uint64_t start = uv_hrtime();
    wait_for(&world, version_is, "2");
    assert_string_equal(platform_of(&world, "100"), "omni");
    wait_for(&world, version_is, "3");
    uint64_t took_ms = (uv_hrtime() - start) / 1000000;
    print_message("not confirmed within 100 ms: back after %u ms\n", (unsigned)took_ms);
    assert_true(took_ms < 4000);
    assert_string_equal(platform_of(&world, "100"), "redx");
    wait_for(&world, entry_has, "applied=3");
    assert_int_equal(rollbacks(), 1);
    world_close(&world);
}

/* The id of a question that is asked now. */
static void ask_instances(const char *request, char *id, size_t size)
{
    redisReply *reply = ask(7, (const char *[]){"FCALL", "turnout_ask", "1", KEY, request, "ann", "60000"});
    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    assert_int_equal(reply->elements, 2);
    assert_string_equal(reply->element[1]->str, "one");
    snprintf(id, size, "%s", reply->element[0]->str);
    freeReplyObject(reply);
}

static bool has_heard(struct world *world, const char *count)
{
    return world->questions == strtoul(count, NULL, 10);
}

static bool is_answered(struct world *world, const char *key)
{
    (void)world;
    redisReply *reply = ask(2, (const char *[]){"LLEN", key});
    bool answered = reply->integer == 1;
    freeReplyObject(reply);
    return answered;
}

static void questions_are_heard_and_answered(void **state)
{
    (void)state;
    struct world world;
    struct store_options options = some_options();
    char id[64], key[128];
    library_load();
    change("1", "redx");
    world_open(&world, &options);
    wait_for(&world, state_is, "following");
    for (unsigned i = 1; i <= 3; i++) {
        char count[8];
        snprintf(count, sizeof(count), "%u", i);
        ask_instances("{\"kind\":\"ping\"}", id, sizeof(id));
        wait_for(&world, has_heard, count);
        change("1", i % 2 ? "omni" : "redx"); /* changes go on beside them */
    }
    assert_string_equal(world.question, "{\"kind\":\"ping\"}");
    wait_for(&world, version_is, "4");
    snprintf(key, sizeof(key), "{turnout}:answers:%s", id);
    wait_for(&world, is_answered, key);
    redisReply *reply = ask(2, (const char *[]){"LPOP", key});
    assert_string_equal(reply->str, "one\n{\"fine\":true}");
    freeReplyObject(reply);

    drop_connections(); /* what was asked while it was away, or before, is not heard */
    ask_instances("{\"kind\":\"late\"}", id, sizeof(id));
    wait_for(&world, state_is, "connecting");
    wait_for(&world, state_is, "following");
    ask_instances("{\"kind\":\"new\"}", id, sizeof(id));
    wait_for(&world, has_heard, "4");
    assert_string_equal(world.question, "{\"kind\":\"new\"}");
    world_close(&world);
}

static void on_info_called(void *ctx, const redisReply *reply)
{
    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    ((struct world *)ctx)->called = true;
}

static bool is_called(struct world *world, const char *nothing)
{
    (void)nothing;
    return world->called;
}

static void functions_are_called_for_others(void **state)
{
    (void)state;
    struct world world;
    struct store_options options = some_options();
    library_load();
    change("1", "redx");
    world_open(&world, &options);
    assert_false(store_call(world.store, "turnout_info", 0, NULL, on_info_called, &world));
    wait_for(&world, state_is, "following");
    assert_true(store_call(world.store, "turnout_info", 0, NULL, on_info_called, &world));
    wait_for(&world, is_called, "");
    world.called = false;
    assert_true(store_call(world.store, "turnout_info", 0, NULL, on_info_called, &world));
    world_close(&world); /* with a call under way */
    assert_false(world.called);
}

static void a_large_table_is_loaded_by_pages(void **state)
{
    (void)state;
    enum { ROWS = 20000 };
    struct world world;
    struct store_options options = some_options();
    options.timeout_ms = WATCHDOG_MS; /* a busy machine is not what is tested */
    char *request = malloc((size_t)ROWS * 100), *end = request;
    library_load();
    end += sprintf(end, "{\"kind\":\"import\",\"who\":\"t\",\"outside_window\":true,\"moves\":[");
    for (int i = 0; i < ROWS; i++)
        end += sprintf(end, "%s{\"shortcode\":\"%d\",\"carrier\":\"spark\",\"to\":\"redx\"}", i ? "," : "",
                       10000 + i);
    sprintf(end, "]}");
    function("turnout_change", request, "ok");
    world_open(&world, &options);
    wait_for(&world, state_is, "loading");
    change("7", "omni"); /* while it loads */
    uint64_t start = uv_hrtime();
    wait_for(&world, version_is, "2");
    print_message("%d rows loaded in %.0f ms\n", ROWS, (double)(uv_hrtime() - start) / 1e6);
    assert_int_equal(table_count(world.table), ROWS + 1);

    for (char *to = request; (to = strstr(to, "\"redx\"")) != NULL;)
        memcpy(to, "\"omni\"", 6);
    start = uv_hrtime();
    function("turnout_change", request, "ok");
    uint64_t changed = uv_hrtime();
    wait_for(&world, version_is, "3");
    print_message("%d moves in one change: %.0f ms in Redis, %.0f ms here\n", ROWS,
                  (double)(changed - start) / 1e6, (double)(uv_hrtime() - changed) / 1e6);
    assert_string_equal(platform_of(&world, "12345"), "omni");
    free(request);
    world_close(&world);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_loads_the_table_and_follows_its_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(it_brings_the_library, setup, teardown),
        cmocka_unit_test_setup_teardown(a_redis_restarted_empty_is_refused_until_a_restore, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flush_under_the_connection_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_trimmed_stream_is_made_good_by_a_load, setup, teardown),
        cmocka_unit_test_setup_teardown(it_catches_up_after_an_absence, setup, teardown),
        cmocka_unit_test_setup_teardown(a_redis_that_hangs_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_connection_is_reported_and_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(it_serves_from_disk_without_redis, setup, teardown),
        cmocka_unit_test_setup_teardown(a_version_counts_as_applied_when_it_is_on_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bad_snapshot_is_reported_and_loaded_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(passwords_and_databases, setup, teardown),
        cmocka_unit_test_setup_teardown(over_a_socket_in_the_file_system, setup, teardown),
        cmocka_unit_test_setup_teardown(a_host_without_address_is_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_redis_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_replica_is_left_for_another, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_confirmed_goes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(questions_are_heard_and_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(functions_are_called_for_others, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_table_is_loaded_by_pages, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
