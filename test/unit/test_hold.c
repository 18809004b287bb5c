/* The queue of what is kept back: order, copies, and blocks that are used again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/hold.h"

static struct hold_pool pool;
static struct hold_queue queue;

static int begin(void **state)
{
    (void)state;
    pool = (struct hold_pool){.free = NULL};
    queue = (struct hold_queue){.first = NULL};
    return 0;
}

static int end(void **state)
{
    (void)state;
    while (queue.first != NULL) {
        struct held *held = queue.first;
        hold_unlink(&queue, NULL, held);
        hold_release(&pool, held);
    }
    hold_pool_clear(&pool);
    return 0;
}

static struct held *add(uint8_t mark, uint32_t len)
{
    uint8_t pdu[2000];
    memset(pdu, mark, sizeof pdu);
    struct held *held = hold_add(&pool, &queue, pdu, len);
    assert_non_null(held);
    assert_int_equal(held->len, len);
    assert_int_equal(held->link, -1);
    assert_null(held->next);
    return held;
}

static void assert_queue(const char *marks)
{
    const struct held *last = NULL;
    uint32_t count = 0;
    for (const struct held *held = queue.first; held != NULL; held = held->next) {
        assert_int_equal(held->pdu[0], marks[count]);
        assert_int_equal(held->pdu[held->len - 1], marks[count]);
        last = held;
        count++;
    }
    assert_int_equal(count, strlen(marks));
    assert_int_equal(queue.count, count);
    assert_ptr_equal(queue.last, last);
}

static void keeps_the_order(void **state)
{
    (void)state;
    assert_queue("");
    add('a', 20);
    add('b', 2000); /* too long for a block of the pool */
    add('c', 512);
    assert_queue("abc");
}

static void takes_from_front_middle_and_back(void **state)
{
    (void)state;
    struct held *a = add('a', 20);
    struct held *b = add('b', 20);
    struct held *c = add('c', 20);
    struct held *d = add('d', 20);
    hold_unlink(&queue, a, b);
    assert_queue("acd");
    assert_int_equal(b->pdu[0], 'b'); /* still whole */
    hold_unlink(&queue, c, d);
    assert_queue("ac");
    add('e', 20);
    assert_queue("ace");
    hold_unlink(&queue, NULL, a);
    assert_queue("ce");
    hold_release(&pool, a);
    hold_release(&pool, b);
    hold_release(&pool, d);
    hold_unlink(&queue, NULL, queue.first);
    hold_release(&pool, c);
    struct held *last = queue.first;
    hold_unlink(&queue, NULL, last);
    hold_release(&pool, last);
    assert_queue("");
    add('f', 20);
    assert_queue("f");
}

static void uses_blocks_again(void **state)
{
    (void)state;
    struct held *a = add('a', 512);
    a->link = 7;
    a->since = 9;
    a->source_len = 3;
    hold_unlink(&queue, NULL, a);
    hold_release(&pool, a);
    assert_int_equal(pool.free_count, 1);
    struct held *b = add('b', 100);
    assert_ptr_equal(a, b);
    assert_int_equal(pool.free_count, 0);
    assert_int_equal(b->since, 0); /* nothing of the last one is left */
    assert_int_equal(b->source_len, 0);
    assert_queue("b");
}

static void gives_long_ones_back_at_once(void **state)
{
    (void)state;
    struct held *a = add('a', 513);
    hold_unlink(&queue, NULL, a);
    hold_release(&pool, a);
    assert_int_equal(pool.free_count, 0);
    assert_null(pool.free);
}

static void the_pool_has_a_limit(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        add('x', 16);
    }
    while (queue.first != NULL) {
        struct held *held = queue.first;
        hold_unlink(&queue, NULL, held);
        hold_release(&pool, held);
    }
    assert_int_equal(pool.free_count, 4096);
    hold_pool_clear(&pool);
    assert_int_equal(pool.free_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keeps_the_order, begin, end),
        cmocka_unit_test_setup_teardown(takes_from_front_middle_and_back, begin, end),
        cmocka_unit_test_setup_teardown(uses_blocks_again, begin, end),
        cmocka_unit_test_setup_teardown(gives_long_ones_back_at_once, begin, end),
        cmocka_unit_test_setup_teardown(the_pool_has_a_limit, begin, end),
    };
    return cmocka_run_group_tests_name("hold", tests, NULL, NULL);
}
