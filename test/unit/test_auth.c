/* Verdicts and their cost, with real yescrypt hashes at its lowest cost. crypt_r is replaced by one that
 * counts, notes the setting and can be held up, so that cost is told in calls, not in time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <crypt.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <time.h>

#include "proxy/auth.h"
#include "proxy/verifier.h"

/* --- crypt_r, watched ------------------------------------------------------------------------- */

enum { NOTED = 64 };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned calls;
    bool held, patient_held; /* all, or those of a patient thread */
    bool fails;
    int policy[NOTED]; /* of the thread */
    char setting[NOTED][CRYPT_OUTPUT_SIZE];
} crypts = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* Stands before libcrypt's, as a program's own functions do. */
char *crypt_r(const char *phrase, const char *setting, struct crypt_data *data)
{
    char *(*real)(const char *, const char *, struct crypt_data *);
    void *symbol = dlsym(RTLD_NEXT, "crypt_r");
    memcpy(&real, &symbol, sizeof real);
    pthread_mutex_lock(&crypts.lock);
    crypts.policy[crypts.calls % NOTED] = sched_getscheduler(0);
    snprintf(crypts.setting[crypts.calls++ % NOTED], CRYPT_OUTPUT_SIZE, "%s", setting);
    pthread_cond_broadcast(&crypts.changed);
    while (crypts.held || (crypts.patient_held && sched_getscheduler(0) == SCHED_IDLE))
        pthread_cond_wait(&crypts.changed, &crypts.lock);
    bool fails = crypts.fails;
    pthread_mutex_unlock(&crypts.lock);
    return fails ? NULL : real(phrase, setting, data);
}

/* The verifier's clock stands still until a test says otherwise: however slow the machine, no check is late. */
static _Atomic uint64_t clock_ns = 1000000000;

uint64_t uv_hrtime(void)
{
    return clock_ns;
}

static void hold_crypt(bool held)
{
    pthread_mutex_lock(&crypts.lock);
    crypts.held = held;
    pthread_cond_broadcast(&crypts.changed);
    pthread_mutex_unlock(&crypts.lock);
}

static void hold_patient_crypt(bool held)
{
    pthread_mutex_lock(&crypts.lock);
    crypts.patient_held = held;
    pthread_cond_broadcast(&crypts.changed);
    pthread_mutex_unlock(&crypts.lock);
}

static void await_calls(unsigned calls)
{
    pthread_mutex_lock(&crypts.lock);
    while (crypts.calls < calls)
        pthread_cond_wait(&crypts.changed, &crypts.lock);
    pthread_mutex_unlock(&crypts.lock);
}

static unsigned crypt_calls(void)
{
    pthread_mutex_lock(&crypts.lock);
    unsigned calls = crypts.calls;
    pthread_mutex_unlock(&crypts.lock);
    return calls;
}

/* Wiping, watched likewise: whether what the loop wiped held the password (crypt_r wipes for itself, on other
 * threads). Fortified, the call has another name. */
static bool wiped_secret;
static pthread_t loop_thread;

void test_wipe(void *data, size_t len);
void test_wipe(void *data, size_t len)
{
    if (pthread_equal(pthread_self(), loop_thread) && memmem(data, len, "secret", 6) != NULL)
        wiped_secret = true;
    memset(data, 0, len);
    __asm__ volatile("" : : "r"(data) : "memory");
}

void explicit_bzero(void *data, size_t len)
{
    test_wipe(data, len);
}

void __explicit_bzero_chk(void *data, size_t len, size_t room);
void __explicit_bzero_chk(void *data, size_t len, size_t room)
{
    assert_true(len <= room);
    test_wipe(data, len);
}

/* --- the world -------------------------------------------------------------------------------- */

enum { QUEUE = 40, CLIENTS = 2, TOKENS = 64, NO_VERDICT = 99, POOL = VERIFIER_PATIENT };

static char *hashes[CLIENTS]; /* of "secret" and "other" */
static struct config_client acme, other, *const clients[CLIENTS] = {&acme, &other};

static struct world {
    uv_loop_t loop;
    struct auth *auth;
    unsigned answers;
    enum auth_verdict verdicts[TOKENS];
} world;

static char *hash_of(const char *password)
{
    struct crypt_data *data = calloc(1, sizeof *data);
    char *setting = crypt_gensalt_ra("$y$", 1, NULL, 0);
    if (data == NULL || setting == NULL)
        abort();
    char *hash = strdup(crypt_r(password, setting, data));
    assert_int_equal(strncmp(hash, "$y$", 3), 0);
    free(setting);
    free(data);
    return hash;
}

static int make_hashes(void **state)
{
    (void)state;
    loop_thread = pthread_self();
    hashes[0] = hash_of("secret");
    hashes[1] = hash_of("other");
    return 0;
}

static int free_hashes(void **state)
{
    (void)state;
    free(hashes[0]);
    free(hashes[1]);
    return 0;
}

static void on_done(void *ctx, uint64_t token, enum auth_verdict verdict)
{
    struct world *w = ctx;
    assert_true(token < TOKENS);
    assert_int_equal(w->verdicts[token], NO_VERDICT); /* once */
    w->verdicts[token] = verdict;
    w->answers++;
}

static int open_world(void **state)
{
    (void)state;
    static char id[] = "client";
    for (unsigned i = 0; i < CLIENTS; i++)
        *clients[i] = (struct config_client){.system_id = id, .index = i * 100, .password_hash = hashes[i]};
    for (unsigned i = 0; i < TOKENS; i++)
        world.verdicts[i] = (enum auth_verdict)NO_VERDICT;
    world.answers = 0;
    crypts.calls = 0;
    crypts.fails = false;
    uv_loop_init(&world.loop);
    world.auth = auth_new(&world.loop, QUEUE, on_done, &world);
    return world.auth != NULL ? 0 : -1;
}

static int close_world(void **state)
{
    (void)state;
    hold_crypt(false); /* where a test failed before it came to it */
    hold_patient_crypt(false);
    auth_free(world.auth);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    return uv_loop_close(&world.loop);
}

static enum auth_verdict check(const struct config_client *client, const char *password, uint64_t token)
{
    return auth_check(world.auth, client, hashes[0], (const uint8_t *)password, strlen(password), token, 0);
}

/* The verdict, waited for where it is pending. */
static enum auth_verdict verdict_of(const struct config_client *client, const char *password)
{
    world.verdicts[0] = (enum auth_verdict)NO_VERDICT;
    enum auth_verdict verdict = check(client, password, 0);
    if (verdict != AUTH_PENDING)
        return verdict;
    uv_run(&world.loop, UV_RUN_DEFAULT);
    return world.verdicts[0];
}

/* --- verdicts --------------------------------------------------------------------------------- */

static void a_password_is_good_or_bad(void **state)
{
    (void)state;
    assert_int_equal(verdict_of(clients[0], "wrong"), AUTH_BAD);
    assert_int_equal(verdict_of(clients[0], "secre"), AUTH_BAD);
    assert_int_equal(verdict_of(clients[0], ""), AUTH_BAD);
    assert_int_equal(verdict_of(clients[0], "other"), AUTH_BAD);
    assert_int_equal(verdict_of(clients[0], "secret"), AUTH_GOOD);
    assert_int_equal(verdict_of(clients[1], "other"), AUTH_GOOD);
    assert_int_equal(verdict_of(clients[1], "secret"), AUTH_BAD);
}

static void only_the_octets_given_count(void **state)
{
    (void)state;
    world.verdicts[1] = world.verdicts[2] = world.verdicts[3] = (enum auth_verdict)NO_VERDICT;
    auth_check(world.auth, clients[0], NULL, (const uint8_t *)"secretsecret", 6, 1, 0);
    auth_check(world.auth, clients[0], NULL, (const uint8_t *)"secret\0x", 8, 2, 0);
    auth_check(world.auth, clients[0], NULL, NULL, 0, 3, 0);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    assert_int_equal(world.verdicts[1], AUTH_GOOD);
    assert_int_equal(world.verdicts[2], AUTH_BAD);
    assert_int_equal(world.verdicts[3], AUTH_BAD);
}

static void a_success_is_remembered_a_failure_is_not(void **state)
{
    (void)state;
    assert_int_equal(verdict_of(clients[1], "other"), AUTH_GOOD);
    assert_int_equal(crypts.calls, 1);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(check(clients[1], "other", 0), AUTH_GOOD);
    assert_int_equal(crypts.calls, 1);
    assert_int_equal(verdict_of(clients[1], "wrong"), AUTH_BAD);
    assert_int_equal(verdict_of(clients[1], "wrong"), AUTH_BAD);
    assert_int_equal(crypts.calls, 3);
    assert_int_equal(check(clients[1], "other", 0), AUTH_GOOD); /* not forgotten over it */
    assert_int_equal(verdict_of(clients[0], "other"), AUTH_BAD);
}

static void a_changed_hash_is_checked_anew(void **state)
{
    (void)state;
    assert_int_equal(verdict_of(clients[0], "secret"), AUTH_GOOD);
    clients[0]->password_hash = hashes[1];
    assert_int_equal(verdict_of(clients[0], "secret"), AUTH_BAD);
    assert_int_equal(verdict_of(clients[0], "other"), AUTH_GOOD);
    assert_int_equal(crypts.calls, 3);
    clients[0]->password_hash = hashes[0];
    assert_int_equal(verdict_of(clients[0], "other"), AUTH_BAD);
}

/* The hash may be freed by a reload while the pool works on it. */
static void a_check_outlives_the_config(void **state)
{
    (void)state;
    char *hash = strdup(hashes[0]);
    struct config_client *client = malloc(sizeof *client);
    if (hash == NULL || client == NULL)
        abort();
    *client = (struct config_client){.index = 3, .password_hash = hash};
    hold_crypt(true);
    assert_int_equal(check(client, "secret", 0), AUTH_PENDING);
    memset(hash, 'x', strlen(hash));
    free(hash);
    free(client);
    hold_crypt(false);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    assert_int_equal(world.verdicts[0], AUTH_GOOD);
}

static void a_password_is_wiped(void **state)
{
    (void)state;
    assert_int_equal(verdict_of(clients[0], "secret"), AUTH_GOOD);
    wiped_secret = false;
    assert_int_equal(verdict_of(NULL, "secret"), AUTH_BAD);
    assert_true(wiped_secret);
}

/* --- unknown clients -------------------------------------------------------------------------- */

static void an_unknown_id_costs_what_a_known_one_does(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(verdict_of(NULL, "wrong"), AUTH_BAD);
        assert_int_equal(crypts.calls, i);
        assert_string_equal(crypts.setting[i - 1], hashes[0]);
    }
}

/* Even with the password that the dummy hash is of, again and again. */
static void an_unknown_id_is_never_good(void **state)
{
    (void)state;
    assert_int_equal(verdict_of(clients[0], "secret"), AUTH_GOOD);
    assert_int_equal(verdict_of(NULL, "secret"), AUTH_BAD);
    assert_int_equal(verdict_of(NULL, "secret"), AUTH_BAD);
}

static void check_dummy(const char *dummy_hash)
{
    unsigned before = crypts.calls;
    world.verdicts[0] = (enum auth_verdict)NO_VERDICT;
    assert_int_equal(auth_check(world.auth, NULL, dummy_hash, (const uint8_t *)"x", 1, 0, 0), AUTH_PENDING);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    assert_int_equal(world.verdicts[0], AUTH_BAD);
    assert_int_equal(crypts.calls, before + 1);
    assert_int_equal(strncmp(crypts.setting[before], "$y$j9T$", 7), 0);
}

static void a_dummy_that_costs_nothing_is_replaced(void **state)
{
    (void)state;
    check_dummy(NULL);
    close_world(state);
    open_world(state);
    check_dummy("");
    close_world(state);
    open_world(state);
    check_dummy("no hash at all");
}

/* --- faults of ours --------------------------------------------------------------------------- */

static void what_crypt_cannot_handle_is_busy(void **state)
{
    (void)state;
    static char nonsense[] = "$q$nothing", longest[CRYPT_OUTPUT_SIZE + 1];
    clients[0]->password_hash = nonsense;
    assert_int_equal(verdict_of(clients[0], "secret"), AUTH_BUSY);
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    clients[0]->password_hash = longest;
    assert_int_equal(verdict_of(clients[0], "secret"), AUTH_BUSY);
    crypts.fails = true;
    assert_int_equal(verdict_of(clients[1], "other"), AUTH_BUSY);
    crypts.fails = false;
    assert_int_equal(verdict_of(clients[1], "other"), AUTH_GOOD);
}

static void an_endless_password_is_bad(void **state)
{
    (void)state;
    static uint8_t endless[100000];
    static const size_t lengths[] = {511, 512, 513, sizeof endless};
    memset(endless, 'p', sizeof endless);
    for (unsigned i = 0; i < 4; i++) {
        world.verdicts[0] = (enum auth_verdict)NO_VERDICT;
        assert_int_equal(auth_check(world.auth, clients[0], NULL, endless, lengths[i], 0, 0), AUTH_PENDING);
        uv_run(&world.loop, UV_RUN_DEFAULT);
        assert_int_equal(world.verdicts[0], AUTH_BAD);
    }
    assert_int_equal(crypts.calls, 4); /* each at the cost of one */
}

static void a_full_queue_is_busy_for_known_and_unknown(void **state)
{
    (void)state;
    assert_int_equal(verdict_of(clients[1], "other"), AUTH_GOOD);
    hold_crypt(true);
    for (unsigned i = 1; i <= QUEUE; i++)
        assert_int_equal(check(i % 2 ? clients[0] : NULL, "wrong", i), AUTH_PENDING);
    assert_int_equal(check(clients[0], "secret", 0), AUTH_BUSY);
    assert_int_equal(check(NULL, "secret", 0), AUTH_BUSY);
    assert_int_equal(check(clients[1], "other", 0), AUTH_GOOD); /* remembered: needs no place */
    hold_crypt(false);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    assert_int_equal(world.answers, QUEUE + 1);
    for (unsigned i = 1; i <= QUEUE; i++)
        assert_int_equal(world.verdicts[i], AUTH_BAD);
    assert_int_equal(verdict_of(clients[0], "secret"), AUTH_GOOD);
}

/* --- storms, ends ----------------------------------------------------------------------------- */

/* A storm of one client that comes before its first check is through costs about as many checks as there are threads;
 * wrong passwords and other clients in between are not carried along. */
static void a_storm_costs_little(void **state)
{
    (void)state;
    hold_crypt(true);
    for (unsigned i = 0; i < 30; i++)
        assert_int_equal(check(clients[0], "secret", i), AUTH_PENDING);
    assert_int_equal(check(clients[0], "wrong", 30), AUTH_PENDING);
    assert_int_equal(check(NULL, "secret", 31), AUTH_PENDING);
    assert_int_equal(check(clients[1], "secret", 32), AUTH_PENDING);
    await_calls(POOL);
    hold_crypt(false);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    assert_int_equal(world.answers, 33);
    for (unsigned i = 0; i < 30; i++)
        assert_int_equal(world.verdicts[i], AUTH_GOOD);
    for (unsigned i = 30; i < 33; i++)
        assert_int_equal(world.verdicts[i], AUTH_BAD);
    assert_true(crypts.calls < 30);
}

static void freed_while_checks_are_under_way(void **state)
{
    (void)state;
    hold_crypt(true);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(check(clients[0], "secret", i), AUTH_PENDING);
    await_calls(POOL);
    auth_free(world.auth);
    world.auth = NULL;
    hold_crypt(false);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    assert_int_equal(world.answers, 0);
    assert_in_range(crypts.calls, POOL,
                    POOL + 1); /* those that waited were not begun, but for one that did so long */
}

enum { LATE_NS = 1000000000 };

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

/* Lets the loop come round while the test waits for what other threads do. */
static void start_tick(uv_timer_t *tick)
{
    uv_timer_init(&world.loop, tick);
    uv_timer_start(tick, on_tick, 5, 5);
}

/* The loop's processor is not theirs to take; but should all processors be busy, one is. */
static void checks_give_way_for_a_while(void **state)
{
    (void)state;
    hold_crypt(true);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(check(clients[0], "wrong", i), AUTH_PENDING);
    await_calls(POOL);
    clock_ns += LATE_NS;
    uv_timer_t tick;
    start_tick(&tick);
    while (crypt_calls() == POOL)
        uv_run(&world.loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&tick, NULL);
    for (unsigned i = 0; i < POOL; i++)
        assert_int_equal(crypts.policy[i], SCHED_IDLE);
    assert_int_equal(crypts.policy[POOL], SCHED_OTHER);
    hold_crypt(false);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    assert_int_equal(world.answers, 4);
}

static void on_late(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("no answer in ten seconds");
}

/* All processors are busy, so that the patient threads do not come on with what they have begun. */
static void what_a_patient_thread_has_begun_is_answered(void **state)
{
    (void)state;
    uv_timer_t late;
    uv_timer_init(&world.loop, &late);
    uv_timer_start(&late, on_late, 10000, 0);
    hold_patient_crypt(true);
    assert_int_equal(check(clients[0], "secret", 0), AUTH_PENDING);
    await_calls(1);
    assert_int_equal(check(clients[0], "wrong", 1), AUTH_PENDING);
    await_calls(2);
    clock_ns += LATE_NS;
    while (world.answers < 2)
        uv_run(&world.loop, UV_RUN_ONCE);
    assert_int_equal(world.verdicts[0], AUTH_GOOD);
    assert_int_equal(world.verdicts[1], AUTH_BAD);
    uv_close((uv_handle_t *)&late, NULL);
    assert_int_equal(crypts.calls, 4);
    hold_patient_crypt(false);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    assert_int_equal(world.answers, 2); /* that they are through at last is nobody's business */
}

static void freed_while_a_patient_thread_is_at_it(void **state)
{
    (void)state;
    hold_patient_crypt(true);
    assert_int_equal(check(clients[0], "secret", 0), AUTH_PENDING);
    await_calls(1);
    clock_ns += LATE_NS;
    while (world.answers < 1)
        uv_run(&world.loop, UV_RUN_ONCE);
    auth_free(world.auth);
    world.auth = NULL;
    hold_patient_crypt(false);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    assert_int_equal(world.answers, 1);
}

int main(void)
{
#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_password_is_good_or_bad),
        WORLD_TEST(only_the_octets_given_count),
        WORLD_TEST(a_success_is_remembered_a_failure_is_not),
        WORLD_TEST(a_changed_hash_is_checked_anew),
        WORLD_TEST(a_check_outlives_the_config),
        WORLD_TEST(a_password_is_wiped),
        WORLD_TEST(an_unknown_id_costs_what_a_known_one_does),
        WORLD_TEST(an_unknown_id_is_never_good),
        WORLD_TEST(a_dummy_that_costs_nothing_is_replaced),
        WORLD_TEST(what_crypt_cannot_handle_is_busy),
        WORLD_TEST(an_endless_password_is_bad),
        WORLD_TEST(a_full_queue_is_busy_for_known_and_unknown),
        WORLD_TEST(a_storm_costs_little),
        WORLD_TEST(freed_while_checks_are_under_way),
        WORLD_TEST(checks_give_way_for_a_while),
        WORLD_TEST(what_a_patient_thread_has_begun_is_answered),
        WORLD_TEST(freed_while_a_patient_thread_is_at_it),
    };
    return cmocka_run_group_tests(tests, make_hashes, free_hashes);
}
