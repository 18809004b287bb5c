/* The window against a naive model: an array of every sequence_number ever used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/window.h"
#include "smpp/constants.h"

/* A number below n, the same in every run. */
static uint64_t dice(uint64_t n)
{
    static uint64_t x = 0x2545F4914F6CDD1D;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x % n;
}

static struct window w;

static int end(void **state)
{
    (void)state;
    window_clear(&w);
    return 0;
}

static uint32_t open_one(uint64_t now)
{
    uint32_t sequence = 0;
    struct window_slot *slot = window_open(&w, false, now, &sequence);
    assert_non_null(slot);
    assert_int_equal(slot->sent, now);
    assert_in_range(sequence, 1, SMPP_SEQUENCE_MAX);
    slot->owner = (struct window_owner){.index = 4, .generation = 5};
    slot->owner_sequence = sequence ^ 0x5555;
    slot->command_id = SMPP_SUBMIT_SM;
    slot->version = now + 1;
    return sequence;
}

static void assert_remembers(const struct window_slot *slot, uint32_t sequence, uint64_t now)
{
    assert_int_equal(slot->owner.index, 4);
    assert_int_equal(slot->owner.generation, 5);
    assert_int_equal(slot->owner_sequence, sequence ^ 0x5555);
    assert_int_equal(slot->command_id, SMPP_SUBMIT_SM);
    assert_int_equal(slot->sent, now);
    assert_int_equal(slot->version, now + 1);
}

static void takes_what_it_opened(void **state)
{
    (void)state;
    struct window_slot slot;
    window_init(&w, 10);
    assert_null(w.slots);
    uint32_t a = open_one(1);
    uint32_t b = open_one(2);
    assert_int_not_equal(a, b);
    assert_int_equal(w.used, 2);
    assert_int_equal(window_take(&w, b, &slot), WINDOW_AWAITED);
    assert_remembers(&slot, b, 2);
    assert_int_equal(window_take(&w, a, &slot), WINDOW_AWAITED);
    assert_remembers(&slot, a, 1);
    assert_int_equal(w.used, 0);
}

static void a_second_answer_is_late(void **state)
{
    (void)state;
    struct window_slot slot = {.sent = 77};
    window_init(&w, 10);
    uint32_t a = open_one(1);
    assert_int_equal(window_take(&w, a, &slot), WINDOW_AWAITED);
    slot.sent = 77;
    assert_int_equal(window_take(&w, a, &slot), WINDOW_LATE);
    assert_int_equal(slot.sent, 77); /* set only on success */
    assert_null(window_peek(&w, a));
}

static void an_old_answer_does_not_hit_the_slots_next_request(void **state)
{
    (void)state;
    struct window_slot slot;
    window_init(&w, 1);
    uint32_t old = open_one(1);
    assert_int_equal(window_take(&w, old, &slot), WINDOW_AWAITED);
    uint32_t now = 0;
    do { /* until the same slot comes again */
        if (now != 0) {
            assert_int_equal(window_take(&w, now, &slot), WINDOW_AWAITED);
        }
        now = open_one(2);
    } while ((now & (w.capacity - 1)) != (old & (w.capacity - 1)));
    assert_int_not_equal(now, old);
    assert_int_equal(window_take(&w, old, &slot), WINDOW_LATE);
    assert_int_equal(w.used, 1);
    assert_int_equal(window_take(&w, now, &slot), WINDOW_AWAITED);
}

static void what_was_never_sent_is_stray(void **state)
{
    (void)state;
    struct window_slot slot;
    window_init(&w, 100);
    assert_int_equal(window_take(&w, 1, &slot), WINDOW_STRAY);
    assert_int_equal(window_take(&w, 0, &slot), WINDOW_STRAY);
    uint32_t a = open_one(1);
    assert_int_equal(window_take(&w, 0, &slot), WINDOW_STRAY);
    assert_int_equal(window_take(&w, a + w.capacity, &slot), WINDOW_STRAY); /* the same slot */
    assert_int_equal(window_take(&w, a + 1, &slot), WINDOW_STRAY);
    assert_int_equal(window_take(&w, SMPP_SEQUENCE_MAX, &slot), WINDOW_STRAY);
    assert_int_equal(window_take(&w, a | SMPP_RESPONSE_BIT, &slot), WINDOW_STRAY);
    assert_int_equal(window_take(&w, UINT32_MAX, &slot), WINDOW_STRAY);
    assert_null(window_peek(&w, a + w.capacity));
    assert_null(window_peek(&w, 0));
    assert_int_equal(w.used, 1);
    assert_non_null(window_peek(&w, a));
    assert_int_equal(window_take(&w, a, &slot), WINDOW_AWAITED);
}

static void is_full_at_its_size(void **state)
{
    (void)state;
    static const unsigned sizes[] = {1, 2, 4, 5, 6, 7, 8, 13, 100, 1000, 16383, WINDOW_SIZE_MAX};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint32_t sequence = 0;
        window_init(&w, sizes[i]);
        for (unsigned n = 0; n < sizes[i]; n++) {
            assert_false(window_full(&w));
            (void)open_one(n);
        }
        assert_true(window_full(&w));
        assert_null(window_open(&w, false, 1, &sequence));
        for (unsigned n = 0; n < WINDOW_CONTROL_SLOTS; n++) {
            assert_non_null(window_open(&w, true, 1, &sequence));
            assert_in_range(sequence, 1, SMPP_SEQUENCE_MAX);
        }
        assert_null(window_open(&w, true, 1, &sequence));
        assert_int_equal(w.used, sizes[i]);
        assert_int_equal(w.control, WINDOW_CONTROL_SLOTS);
        window_clear(&w);
        assert_int_equal(w.used + w.control, 0);
        assert_int_equal(w.size, sizes[i]);
    }
}

static void control_requests_do_not_count_in_the_window(void **state)
{
    (void)state;
    struct window_slot slot;
    uint32_t first = 0;
    uint32_t second = 0;
    window_init(&w, 1);
    assert_non_null(window_open(&w, true, 1, &first));
    assert_false(window_full(&w));
    (void)open_one(2);
    assert_non_null(window_open(&w, true, 3, &second));
    assert_int_equal(window_take(&w, first, &slot), WINDOW_AWAITED);
    assert_true(slot.control);
    assert_true(window_full(&w));
    assert_int_equal(w.control, 1);
}

/* Over the end of the numbers, with one that stays in flight all the time. */
static void numbers_come_round(void **state)
{
    (void)state;
    enum { BEFORE = 50, ROUNDS = 200 };
    struct window_slot slot;
    uint64_t sent = 0;
    window_init(&w, 4);
    w.last = SMPP_SEQUENCE_MAX - BEFORE;
    uint32_t stays = open_one(7);
    uint32_t before = stays;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t a = open_one(8 + i);
        assert_true(a > before || (before > SMPP_SEQUENCE_MAX - 8 && a < 8));
        assert_true(window_oldest(&w, &sent));
        assert_int_equal(sent, 7);
        assert_int_equal(window_take(&w, a, &slot), WINDOW_AWAITED);
        assert_remembers(&slot, a, 8 + i);
        assert_int_equal(window_take(&w, a, &slot), WINDOW_LATE);
        if (a < SMPP_SEQUENCE_MAX - 20) {
            assert_int_equal(window_take(&w, a + 20, &slot), WINDOW_STRAY);
        }
        before = a;
    }
    assert_true(before < ROUNDS);
    assert_int_equal(window_take(&w, stays, &slot), WINDOW_AWAITED);
    assert_remembers(&slot, stays, 7);
    assert_false(window_oldest(&w, &sent));
}

/* None is answered twice within a round of the slots, however many are open. */
static void a_number_comes_back_as_late_as_possible(void **state)
{
    (void)state;
    struct window_slot slot;
    window_init(&w, 100);
    uint32_t last = 0;
    for (unsigned i = 0; i < 100000; i++) {
        uint32_t a = open_one(i);
        assert_true(a > last);
        assert_true(a - last <= 1);
        last = a;
        assert_int_equal(window_take(&w, a, &slot), WINDOW_AWAITED);
    }
}

/* Some of the oldest stay without an answer while others come and go, many rounds long; then time is over. */
static void those_overtaken_are_the_oldest(void **state)
{
    (void)state;
    enum { STAY = 40, ROUNDS = 3000 };
    uint32_t stay[STAY];
    struct window_slot slot;
    uint64_t sent = 0;
    window_init(&w, STAY + 3);
    for (unsigned i = 0; i < STAY; i++) {
        stay[i] = open_one(i);
        assert_int_equal(window_take(&w, open_one(i), &slot), WINDOW_AWAITED);
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t a = open_one(STAY + i);
        assert_true(window_oldest(&w, &sent));
        assert_int_equal(sent, 0);
        assert_int_equal(window_take(&w, a, &slot), WINDOW_AWAITED);
    }
    uint32_t youngest = open_one(ROUNDS + STAY);
    for (unsigned i = 0; i < STAY; i += 2) { /* every second one is answered after all */
        assert_int_equal(window_take(&w, stay[i], &slot), WINDOW_AWAITED);
        assert_remembers(&slot, stay[i], i);
    }
    for (unsigned i = 1; i < STAY; i += 2) {
        assert_true(window_expire(&w, UINT64_MAX, &slot));
        assert_remembers(&slot, stay[i], i);
    }
    assert_true(window_expire(&w, UINT64_MAX, &slot));
    assert_remembers(&slot, youngest, ROUNDS + STAY);
    assert_false(window_expire(&w, UINT64_MAX, &slot));
}

/* The array grows while some are overtaken, and keeps their order. */
static void growing_forgets_nothing(void **state)
{
    (void)state;
    struct window_slot slot;
    uint32_t first[3];
    window_init(&w, 1000);
    for (unsigned i = 0; i < 3; i++) {
        first[i] = open_one(i);
    }
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(window_take(&w, open_one(3), &slot), WINDOW_AWAITED);
    }
    uint32_t capacity = w.capacity;
    uint32_t others[600];
    for (unsigned i = 0; i < 600; i++) {
        others[i] = open_one(4 + i);
    }
    assert_true(w.capacity > 16 * capacity);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(window_expire(&w, UINT64_MAX, &slot));
        assert_remembers(&slot, first[i], i);
    }
    for (unsigned i = 0; i < 600; i++) {
        assert_true(window_expire(&w, UINT64_MAX, &slot));
        assert_remembers(&slot, others[i], 4 + i);
    }
    assert_int_equal(w.used, 0);
}

static void expires_the_oldest_first(void **state)
{
    (void)state;
    struct window_slot slot;
    uint64_t sent = 0;
    window_init(&w, 10);
    assert_false(window_oldest(&w, &sent));
    assert_false(window_expire(&w, UINT64_MAX, &slot));
    uint32_t a = open_one(10);
    uint32_t b = open_one(20);
    uint32_t c = open_one(20);
    (void)open_one(30);
    assert_int_equal(window_take(&w, a, &slot), WINDOW_AWAITED);
    assert_true(window_oldest(&w, &sent));
    assert_int_equal(sent, 20);
    assert_false(window_expire(&w, 19, &slot));
    assert_true(window_expire(&w, 20, &slot));
    assert_remembers(&slot, b, 20);
    assert_int_equal(window_take(&w, b, &slot), WINDOW_LATE);
    assert_true(window_expire(&w, 29, &slot));
    assert_remembers(&slot, c, 20);
    assert_false(window_expire(&w, 29, &slot));
    assert_true(window_expire(&w, UINT64_MAX, &slot));
    assert_int_equal(w.used, 0);
    assert_false(window_oldest(&w, &sent));
}

/* --- the model -------------------------------------------------------------------------------------------
 */

enum { MODEL_MAX = 60000 };
struct past {
    uint64_t sent;
    uint32_t sequence;
    bool open, control;
};
static struct past past[MODEL_MAX];
static unsigned past_count, in_flight, controls;

static void model_open(uint64_t now)
{
    bool control = dice(10) == 0;
    uint32_t sequence = 0;
    struct window_slot *slot = window_open(&w, control, now, &sequence);
    if (control ? controls == WINDOW_CONTROL_SLOTS : in_flight == w.size) {
        assert_null(slot);
        return;
    }
    assert_non_null(slot);
    assert_in_range(sequence, 1, SMPP_SEQUENCE_MAX);
    slot->owner_sequence = past_count;
    for (unsigned i = past_count > 500 ? past_count - 500 : 0; i < past_count; i++) {
        assert_int_not_equal(past[i].sequence, sequence); /* none comes again so soon */
    }
    past[past_count++] = (struct past){.sequence = sequence, .sent = now, .open = true, .control = control};
    *(control ? &controls : &in_flight) += 1;
}

static void model_settle(unsigned i, const struct window_slot *slot)
{
    assert_true(past[i].open);
    assert_int_equal(slot->owner_sequence, i);
    assert_int_equal(slot->sent, past[i].sent);
    assert_int_equal(slot->control, past[i].control);
    past[i].open = false;
    *(past[i].control ? &controls : &in_flight) -= 1;
}

static void model_answer(void)
{
    struct window_slot slot;
    unsigned back = (unsigned)dice(40);
    if (past_count <= back) {
        return;
    }
    unsigned i = past_count - 1 - back;
    const struct window_slot *peeked = window_peek(&w, past[i].sequence);
    assert_int_equal(peeked != NULL, past[i].open);
    enum window_match match = window_take(&w, past[i].sequence, &slot);
    if (past[i].open) {
        assert_int_equal(match, WINDOW_AWAITED);
        model_settle(i, &slot);
    } else {
        assert_int_equal(match, WINDOW_LATE);
    }
}

static void model_expire(uint64_t before)
{
    struct window_slot slot;
    unsigned i = 0;
    while (i < past_count && !past[i].open) {
        i++;
    }
    uint64_t sent = 0;
    assert_int_equal(window_oldest(&w, &sent), i < past_count);
    if (i < past_count) {
        assert_int_equal(sent, past[i].sent);
    }
    bool expected = i < past_count && past[i].sent <= before;
    assert_int_equal(window_expire(&w, before, &slot), expected);
    if (expected) {
        model_settle(i, &slot);
    }
}

static void model_stray(void)
{
    struct window_slot slot;
    uint32_t sequence = (uint32_t)dice(1ULL << 32);
    for (unsigned i = 0; i < past_count; i++) {
        if (past[i].sequence == sequence) {
            return;
        }
    }
    assert_int_equal(window_take(&w, sequence, &slot), WINDOW_STRAY);
}

static void agrees_with_a_naive_model(void **state)
{
    (void)state;
    static const unsigned sizes[] = {1, 3, 30};
    for (unsigned s = 0; s < 3; s++) {
        window_init(&w, sizes[s]);
        past_count = in_flight = controls = 0;
        for (uint64_t now = 0; now < 12000; now++) {
            switch (dice(8)) {
            case 0: model_expire(now - now % 50); break;
            case 1: model_stray(); break;
            case 2:
            case 3:
            case 4: model_answer(); break;
            default: model_open(now); break;
            }
            assert_int_equal(w.used, in_flight);
            assert_int_equal(w.control, controls);
            assert_int_equal(window_full(&w), in_flight >= sizes[s]);
        }
        window_clear(&w);
    }
}

static void the_oldest_version_skips_control_requests(void **state)
{
    (void)state;
    uint64_t version = 99;
    uint32_t control = 0;
    uint32_t sequences[2];
    struct window_slot slot;
    window_init(&w, 4);
    assert_false(window_oldest_version(&w, &version));
    window_open(&w, true, 1, &control)->version = 1;
    assert_false(window_oldest_version(&w, &version));
    for (unsigned i = 0; i < 2; i++) {
        window_open(&w, false, 2 + i, &sequences[i])->version = 7 + i;
    }
    assert_true(window_oldest_version(&w, &version));
    assert_int_equal(version, 7);
    assert_int_equal(window_take(&w, sequences[0], &slot), WINDOW_AWAITED);
    assert_true(window_oldest_version(&w, &version));
    assert_int_equal(version, 8);
    for (unsigned i = 0; i < 100; i++) { /* the control request is overtaken, and so is the other */
        uint32_t a = 0;
        window_open(&w, false, 4, &a)->version = 9;
        assert_true(window_oldest_version(&w, &version));
        assert_int_equal(version, 8);
        assert_int_equal(window_take(&w, a, &slot), WINDOW_AWAITED);
    }
    assert_int_equal(window_take(&w, sequences[1], &slot), WINDOW_AWAITED);
    assert_false(window_oldest_version(&w, &version));
    window_open(&w, false, 5, &sequences[0])->version = 10;
    assert_true(window_oldest_version(&w, &version));
    assert_int_equal(version, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(takes_what_it_opened, end),
        cmocka_unit_test_teardown(a_second_answer_is_late, end),
        cmocka_unit_test_teardown(the_oldest_version_skips_control_requests, end),
        cmocka_unit_test_teardown(an_old_answer_does_not_hit_the_slots_next_request, end),
        cmocka_unit_test_teardown(what_was_never_sent_is_stray, end),
        cmocka_unit_test_teardown(is_full_at_its_size, end),
        cmocka_unit_test_teardown(control_requests_do_not_count_in_the_window, end),
        cmocka_unit_test_teardown(numbers_come_round, end),
        cmocka_unit_test_teardown(a_number_comes_back_as_late_as_possible, end),
        cmocka_unit_test_teardown(those_overtaken_are_the_oldest, end),
        cmocka_unit_test_teardown(growing_forgets_nothing, end),
        cmocka_unit_test_teardown(expires_the_oldest_first, end),
        cmocka_unit_test_teardown(agrees_with_a_naive_model, end),
    };
    return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
