/* The proxy without memory: every allocation of a session's life fails in turn, once alone and once with all
 * that follow. No crash, no leak, no request with two answers, and none without while its session lives.
 * The linker gives us the allocator (CMakeLists.txt); the test's own memory is shielded. */
#include "forward_world.h"

#include "proxy/registry.h"
#include "proxy/window.h"

static volatile bool armed;   /* count, and fail */
static bool for_good;         /* all from then on, not only one */
static unsigned long calls;   /* allocations so far */
static unsigned long failing; /* the one that fails, from 1 on */

static bool fails_now(void)
{
    if (!armed || world_shield > 0) {
        return false;
    }
    calls++;
    return for_good ? calls >= failing : calls == failing;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t len);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails_now() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return fails_now() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t len)
{
    return fails_now() ? NULL : __real_strndup(text, len);
}

static void arm(unsigned long nth, bool all)
{
    calls = 0;
    failing = nth;
    for_good = all;
    armed = true;
}

/* --- a life ----------------------------------------------------------------------------------------------
 */

static void answer_all(struct peer *p)
{
    while (p != NULL && p->stream != NULL && waiting(p) > 0) {
        struct pdu *pdu = p->inbox[p->inbox_read++];
        if (!smpp_is_response(pdu->id) && smpp_has_response(pdu->id)) {
            answer(p, pdu, ESME_ROK, "id");
        }
    }
}

static void answer_everywhere(void)
{
    world_settle();
    for (unsigned i = 0; i < world.peers_count; i++) {
        answer_all(world.peers[i]);
    }
    run();
}

static void submit_some(struct peer *c)
{
    for (unsigned i = 0; i < 12 && c->stream != NULL; i++) { /* more than the first growth of a window */
        submit(c, "5001", i % 4 == 0 ? ONENZ : SPARK);
    }
    world_settle();
}

static void cut_in_the_middle_of_a_pdu(struct peer *c)
{
    uint8_t pdu[256];
    if (c->stream != NULL) {
        uint32_t sequence = next_sequence(c);
        size_t len = message(pdu, sizeof pdu, SMPP_SUBMIT_SM, sequence, "5001", SPARK);
        send_octets(c, pdu, 30);
        world_settle();
        if (c->stream != NULL) {
            owe(c, SMPP_SUBMIT_SM, sequence);
            send_octets(c, pdu + 30, len - 30);
        }
        world_settle();
    }
}

/* Bind, messages each way, a hold, a flip, a lost leg, a reload, good-bye. */
static void live(void)
{
    struct peer *c = connect_client();
    if (c == NULL) {
        return;
    }
    send_bind_as(c, SMPP_BIND_TRANSCEIVER, "acme", "secret");
    run();
    submit_some(c);
    answer_everywhere();
    cut_in_the_middle_of_a_pdu(c);
    route("5001", "spark", "redx", ROUTE_HOLD);
    submit_some(c);
    if (smsc_is_up(SPARK_REDX)) {
        deliver(smsc(SPARK_REDX), SPARK, "5001");
    }
    run();
    route("5001", "spark", "omni", ROUTE_OPEN);
    run();
    answer_everywhere();
    submit_some(c);
    if (smsc_is_up(SPARK_OMNI)) {
        stream_pair_cut(smsc(SPARK_OMNI)->pair);
    }
    pass(SECOND);
    reload(&(struct setup){.root = "max-pdu-bound = 300k"});
    answer_everywhere();
    if (c->stream != NULL) {
        submit_some(c);
    }
    if (c->stream != NULL) {
        send_header(c, SMPP_UNBIND, 0, 1);
    }
    answer_everywhere();
}

static void check_debts(void)
{
    pass(60 * SECOND);
    for (unsigned i = 0; i < world.peers_count; i++) {
        struct peer *p = world.peers[i];
        p->careless = true;
        if (p->stream != NULL) {
            assert_int_equal(unanswered(p), 0);
        }
    }
}

/* Returns how many allocations there were. */
static unsigned long live_without(unsigned long nth, bool all)
{
    world_begin(&(struct setup){.link = "reconnect-min = 100ms"});
    hang_up(bound(SMPP_BIND_TRANSCEIVER)); /* its password is known from here on */
    run();
    chunk_pool_clear(&world.worker.chunks); /* nothing to draw on */
    world.worker.chunks.free_max = 0;
    hold_pool_clear(&world.worker.held);
    assert_int_equal(world.worker.clients.count + world.worker.legs.count, 0);
    registry_clear(&world.worker.clients);
    registry_clear(&world.worker.legs);
    arm(nth, all);
    live();
    armed = false;
    unsigned long count = calls;
    check_debts();
    /* nothing is broken for those who come later */
    world.plans[SPARK_REDX].answers = world.plans[SPARK_OMNI].answers = true;
    struct peer *c = bound(SMPP_BIND_TRANSCEIVER);
    uint32_t sequence = submit(c, "5001", SPARK);
    run();
    expect_answer(c, SMPP_SUBMIT_SM, sequence, ESME_ROK);
    for (unsigned i = 0; i < world.peers_count; i++) {
        world.peers[i]->careless = true;
    }
    world_end();
    return count;
}

static void each_allocation_fails_once(void **state)
{
    (void)state;
    unsigned long nth = 1;
    while (live_without(nth, false) >= nth) {
        nth++;
    }
    assert_true(nth > 25); /* it has allocated something */
}

static void each_allocation_fails_and_all_that_follow(void **state)
{
    (void)state;
    unsigned long nth = 1;
    while (live_without(nth, true) >= nth) {
        nth++;
    }
    assert_true(nth > 25);
}

/* --- the small parts -------------------------------------------------------------------------------------
 */

static void a_window_goes_on_where_growth_failed(void **state)
{
    (void)state;
    struct window w;
    struct window_slot slot;
    uint32_t sequence[100];
    unsigned count = 0;
    window_init(&w, 100);
    arm(1, false);
    assert_null(window_open(&w, false, 1, &sequence[0])); /* not even the first */
    arm(2, true);
    while (window_open(&w, false, 1, &sequence[count]) != NULL) {
        count++;
    }
    assert_in_range(count, 1, 20);
    assert_int_equal(w.used, count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(window_take(&w, sequence[i], &slot), WINDOW_AWAITED);
    }
    armed = false;
    for (unsigned i = 0; i < 100; i++) {
        assert_non_null(window_open(&w, false, 1, &sequence[i]));
    }
    window_clear(&w);
}

static void a_registry_goes_on_where_growth_failed(void **state)
{
    (void)state;
    struct registry r = {.entries = NULL};
    uint32_t index = 0;
    uint32_t generation = 0;
    unsigned count = 0;
    arm(2, true);
    while (registry_add(&r, &r, &index, &generation)) {
        count++;
    }
    assert_int_equal(r.count, count);
    assert_ptr_equal(registry_get(&r, index, generation), &r);
    armed = false;
    assert_true(registry_add(&r, &r, &index, &generation));
    assert_int_equal(r.count, count + 1);
    registry_clear(&r);
}

static void what_cannot_be_kept_is_not_in_the_queue(void **state)
{
    (void)state;
    struct hold_pool pool = {.free = NULL};
    struct hold_queue queue = {.first = NULL};
    uint8_t pdu[600] = {0};
    arm(1, true);
    assert_null(hold_add(&pool, &queue, pdu, 100));
    assert_null(hold_add(&pool, &queue, pdu, 600));
    armed = false;
    assert_int_equal(queue.count, 0);
    assert_null(queue.first);
    assert_null(queue.last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_fails_once),
        cmocka_unit_test(each_allocation_fails_and_all_that_follow),
        cmocka_unit_test(a_window_goes_on_where_growth_failed),
        cmocka_unit_test(a_registry_goes_on_where_growth_failed),
        cmocka_unit_test(what_cannot_be_kept_is_not_in_the_queue),
    };
    return cmocka_run_group_tests_name("forward_memory", tests, be_quiet, be_done);
}
