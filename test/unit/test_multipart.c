/* The table of messages in several parts: who is the same message, for how long, who gives way. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/multipart.h"
#include "routing/names.h"

enum { OLD = 1, NEW = 2, TTL = 120, NOW = 1000, SMALL = 8 };

static struct smpp_span span(const char *text)
{
    return (struct smpp_span){(const uint8_t *)text, (uint32_t)strlen(text)};
}

static struct multipart part(const struct multiparts *parts, unsigned reference, unsigned number)
{
    struct smpp_part p = {SMPP_PART_UDH_8, (uint16_t)reference, 3, (uint8_t)number};
    return multipart_of(parts, 1, span("5001"), span("64271234567"), &p);
}

static uint8_t platform(const struct multiparts *parts, unsigned reference, unsigned number, uint64_t now)
{
    struct multipart p = part(parts, reference, number);
    return multiparts_platform(parts, &p, now);
}

/* As the way of a part does: the first one begins the message. *handle: what its answer is noted by. */
static struct multiparts_begun send_part(struct multiparts *parts, const struct multipart *p, uint8_t to,
                                         uint64_t now, uint32_t *handle)
{
    struct multiparts_begun begun = {.platform = multiparts_platform(parts, p, now)};
    if (begun.platform == NAME_NONE) {
        begun = multiparts_begin(parts, p, to, now, TTL);
    }
    *handle = multiparts_sent(parts, p, to);
    assert_int_not_equal(*handle, 0);
    return begun;
}

/* Sent and accepted. */
static struct multiparts_begun sent(struct multiparts *parts, unsigned reference, unsigned number, uint8_t to,
                                    uint64_t now)
{
    struct multipart p = part(parts, reference, number);
    uint32_t handle = 0;
    struct multiparts_begun begun = send_part(parts, &p, to, now, &handle);
    multiparts_accepted(parts, handle);
    return begun;
}

/* Sent and refused, or not answered yet: then *handle is for later. */
static void only_sent(struct multiparts *parts, unsigned reference, unsigned number, uint8_t to,
                      uint32_t *handle)
{
    struct multipart p = part(parts, reference, number);
    send_part(parts, &p, to, NOW, handle);
}

static void later_parts_follow_the_first_sent(void **state)
{
    (void)state;
    struct multiparts *parts = multiparts_new(SMALL);
    assert_int_equal(platform(parts, 7, 2, NOW), NAME_NONE);
    assert_true(sent(parts, 7, 2, OLD, NOW).added); /* out of order: the second comes first */
    assert_int_equal(platform(parts, 7, 1, NOW), OLD);
    assert_int_equal(platform(parts, 7, 3, NOW), OLD);
    assert_int_equal(platform(parts, 8, 1, NOW), NAME_NONE);
    assert_false(sent(parts, 7, 1, OLD, NOW).added);
    multiparts_free(parts);
}

static void who_and_where_and_how_tell_messages_apart(void **state)
{
    (void)state;
    struct multiparts *parts = multiparts_new(SMALL);
    struct smpp_part p = {SMPP_PART_UDH_8, 7, 3, 1};
    struct multipart first = multipart_of(parts, 1, span("5001"), span("64271234567"), &p);
    struct multipart others[6] = {multipart_of(parts, 2, span("5001"), span("64271234567"), &p),
                                  multipart_of(parts, 1, span("5002"), span("64271234567"), &p),
                                  multipart_of(parts, 1, span("5001"), span("64271234568"), &p)};
    p.total = 4;
    others[3] = multipart_of(parts, 1, span("5001"), span("64271234567"), &p);
    p = (struct smpp_part){SMPP_PART_SAR, 7, 3, 1};
    others[4] = multipart_of(parts, 1, span("5001"), span("64271234567"), &p);
    p = (struct smpp_part){SMPP_PART_UDH_8, 8, 3, 1};
    others[5] = multipart_of(parts, 1, span("5001"), span("64271234567"), &p);
    for (unsigned i = 0; i < 6; i++) {
        assert_true(first.key != others[i].key);
    }
    p.reference = 7;
    p.number = 2;
    assert_true(multipart_of(parts, 1, span("5001"), span("64271234567"), &p).key == first.key);
    multiparts_free(parts);
}

static void the_time_counts_from_the_first_part(void **state)
{
    (void)state;
    struct multiparts *parts = multiparts_new(SMALL);
    sent(parts, 7, 1, OLD, NOW);
    sent(parts, 7, 2, OLD, NOW + TTL - 1);
    assert_int_equal(platform(parts, 7, 3, NOW + TTL - 1), OLD);
    assert_int_equal(platform(parts, 7, 3, NOW + TTL), NAME_NONE);
    assert_false(sent(parts, 7, 3, NEW, NOW + TTL).evicted);
    assert_int_equal(platform(parts, 7, 1, NOW + TTL), NEW);
    multiparts_free(parts);
}

static void a_part_sent_again_is_of_the_same_message_until_all_are_accepted(void **state)
{
    (void)state;
    struct multiparts *parts = multiparts_new(SMALL);
    sent(parts, 7, 1, OLD, NOW);
    assert_int_equal(platform(parts, 7, 1, NOW), OLD); /* refused by the SMSC, and tried again */
    sent(parts, 7, 1, OLD, NOW);
    sent(parts, 7, 2, OLD, NOW);
    sent(parts, 7, 3, OLD, NOW);
    assert_int_equal(platform(parts, 7, 1, NOW), NAME_NONE); /* the reference begins another message */
    assert_false(sent(parts, 7, 1, NEW, NOW).added);
    assert_int_equal(platform(parts, 7, 2, NOW), NEW);
    multiparts_free(parts);
}

static void a_part_refused_is_tried_again_where_the_others_went(void **state)
{
    (void)state;
    uint32_t refused = 0;
    struct multiparts *parts = multiparts_new(SMALL);
    sent(parts, 7, 1, OLD, NOW);
    only_sent(parts, 7, 2, OLD, &refused);
    sent(parts, 7, 3, OLD, NOW);
    assert_int_equal(platform(parts, 7, 2, NOW), OLD); /* all were sent, one was refused */
    only_sent(parts, 7, 2, OLD, &refused);             /* once more */
    assert_int_equal(platform(parts, 7, 2, NOW), OLD);
    assert_int_equal(platform(parts, 7, 1, NOW), OLD); /* its answer was lost on the way to the client */
    sent(parts, 7, 2, OLD, NOW);
    assert_int_equal(platform(parts, 7, 2, NOW), NAME_NONE);
    assert_int_equal(platform(parts, 7, 1, NOW), NAME_NONE);
    multiparts_free(parts);
}

static void a_message_of_which_a_part_is_refused_has_its_time_still(void **state)
{
    (void)state;
    uint32_t refused = 0;
    struct multiparts *parts = multiparts_new(SMALL);
    sent(parts, 7, 1, OLD, NOW);
    sent(parts, 7, 2, OLD, NOW);
    only_sent(parts, 7, 3, OLD, &refused);
    assert_int_equal(platform(parts, 7, 3, NOW + TTL - 1), OLD);
    assert_int_equal(platform(parts, 7, 3, NOW + TTL), NAME_NONE);
    multiparts_free(parts);
}

static void an_answer_after_its_message_gave_way_counts_for_no_other(void **state)
{
    (void)state;
    uint32_t late[4] = {0};
    struct multiparts *parts = multiparts_new(SMALL); /* one set */
    for (unsigned number = 1; number <= 3; number++) {
        only_sent(parts, 0, number, OLD, &late[number]);
    }
    for (unsigned i = 1; i < SMALL; i++) {
        sent(parts, i, 1, OLD, NOW + 1);
    }
    struct multipart other = part(parts, 100, 1);
    uint32_t handle = 0;
    assert_true(send_part(parts, &other, NEW, NOW + 2, &handle).evicted);
    for (unsigned number = 1; number <= 3; number++) {
        multiparts_accepted(parts, late[number]);
    }
    bool same_mark = handle >> 26 == late[1] >> 26; /* one in 63 by chance, known by its place alone */
    assert_int_equal(platform(parts, 100, 1, NOW + 2), same_mark ? NAME_NONE : NEW);
    multiparts_free(parts);
}

static void what_went_astray_is_followed_there(void **state)
{
    (void)state;
    struct multiparts *parts = multiparts_new(SMALL);
    sent(parts, 7, 1, OLD, NOW);
    sent(parts, 7, 2, NEW, NOW); /* the old leg had gone */
    assert_int_equal(platform(parts, 7, 3, NOW), NEW);
    multiparts_free(parts);
}

static void a_full_set_loses_its_oldest(void **state)
{
    (void)state;
    struct multiparts *parts = multiparts_new(SMALL); /* one set */
    for (unsigned i = 0; i < SMALL; i++) {
        struct multiparts_begun change = sent(parts, i, 1, OLD, NOW + i);
        assert_true(change.added && !change.evicted);
    }
    struct multiparts_begun change = sent(parts, 100, 1, OLD, NOW + 50);
    assert_true(change.evicted && !change.added);
    assert_int_equal(platform(parts, 0, 2, NOW + 50), NAME_NONE);
    for (unsigned i = 1; i < SMALL; i++) {
        assert_int_equal(platform(parts, i, 2, NOW + 50), OLD);
    }
    assert_int_equal(platform(parts, 100, 2, NOW + 50), OLD);
    /* what is over gives way without loss */
    change = sent(parts, 101, 1, OLD, NOW + 1 + TTL);
    assert_false(change.evicted || change.added);
    multiparts_free(parts);
}

static void a_sweep_forgets_what_is_over(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    struct multiparts *parts = multiparts_new(1U << 16); /* so large that none gives way, whatever the key */
    size_t added = 0;
    size_t freed = 0;
    for (unsigned i = 0; i < MANY; i++) {
        added += sent(parts, i, 1, OLD, NOW + i % 2).added;
    }
    for (unsigned i = 0; i < 16; i++) {
        freed += multiparts_sweep(parts, NOW + TTL);
    }
    assert_int_equal(freed, added / 2);
    for (unsigned i = 0; i < 16; i++) {
        freed += multiparts_sweep(parts, NOW + TTL + 1);
    }
    assert_int_equal(freed, added);
    multiparts_free(parts);
}

static void more_parts_than_bits_are_followed_too(void **state)
{
    (void)state;
    struct multiparts *parts = multiparts_new(SMALL);
    struct smpp_part p = {SMPP_PART_UDH_16, 7, 255, 1};
    uint32_t handle = 0;
    for (unsigned number = 1; number <= 255; number++) {
        p.number = (uint8_t)number;
        struct multipart m = multipart_of(parts, 1, span("5001"), span("64271234567"), &p);
        if (number > 1) {
            assert_int_equal(multiparts_platform(parts, &m, NOW), OLD);
        }
        send_part(parts, &m, OLD, NOW, &handle);
        multiparts_accepted(parts, handle);
    }
    multiparts_free(parts);
}

static void one_that_has_begun_is_not_begun_again(void **state)
{
    (void)state;
    struct multiparts *parts = multiparts_new(SMALL);
    struct multipart first = part(parts, 7, 1);
    struct multipart second = part(parts, 7, 2);
    struct multiparts_begun begun = multiparts_begin(parts, &first, OLD, NOW, TTL);
    assert_true(begun.added && begun.platform == OLD);
    begun = multiparts_begin(parts, &second, NEW, NOW, TTL); /* a worker that was slower */
    assert_true(!begun.added && !begun.evicted && begun.platform == OLD);
    assert_int_equal(multiparts_platform(parts, &second, NOW), OLD);
    multiparts_free(parts);
}

static void times_go_round(void **state)
{
    enum { ROUND = 1 << 24 };
    (void)state;
    struct multiparts *parts = multiparts_new(SMALL);
    sent(parts, 7, 1, OLD, ROUND - 5);
    assert_int_equal(platform(parts, 7, 2, ROUND - 5 + TTL - 1), OLD);
    assert_int_equal(platform(parts, 7, 2, ROUND - 5 + TTL), NAME_NONE);
    multiparts_free(parts);
}

/* --- several workers ------------------------------------------------------------------------------------ */

enum { WORKERS = 4, MESSAGES = 20000, LARGE = 8 * MESSAGES };

struct racer {
    struct multiparts *parts;
    pthread_barrier_t *barrier;
    unsigned number;
    size_t added;
    uint8_t got[MESSAGES];
};

/* Each sends a part of every message, each by a platform of its own where it comes first. */
static void *race(void *arg)
{
    struct racer *racer = arg;
    pthread_barrier_wait(racer->barrier);
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct smpp_part p = {SMPP_PART_UDH_16, (uint16_t)i, WORKERS, (uint8_t)(racer->number + 1)};
        struct multipart m = multipart_of(racer->parts, i >> 16, span("5001"), span("64271234567"), &p);
        struct multiparts_begun begun = {.platform = multiparts_platform(racer->parts, &m, NOW)};
        if (begun.platform == NAME_NONE) {
            begun = multiparts_begin(racer->parts, &m, (uint8_t)racer->number, NOW, TTL);
        }
        multiparts_accepted(racer->parts, multiparts_sent(racer->parts, &m, begun.platform));
        racer->got[i] = begun.platform;
        racer->added += begun.added;
    }
    return NULL;
}

static void workers_agree_on_the_first_part(void **state)
{
    (void)state;
    static struct racer racers[WORKERS];
    pthread_t threads[WORKERS];
    pthread_barrier_t barrier;
    struct multiparts *parts = multiparts_new(LARGE);
    size_t added = 0;
    size_t firsts[WORKERS] = {0};
    assert_int_equal(pthread_barrier_init(&barrier, NULL, WORKERS), 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        racers[i] = (struct racer){.parts = parts, .barrier = &barrier, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        added += racers[i].added;
    }
    for (unsigned i = 0; i < MESSAGES; i++) {
        for (unsigned k = 1; k < WORKERS; k++) {
            assert_int_equal(racers[k].got[i], racers[0].got[i]);
        }
        firsts[racers[0].got[i]]++;
    }
    assert_int_equal(added, MESSAGES);
    for (unsigned i = 0; i < MESSAGES; i++) { /* no acceptance was lost */
        struct smpp_part p = {SMPP_PART_UDH_16, (uint16_t)i, WORKERS, 1};
        struct multipart m = multipart_of(parts, i >> 16, span("5001"), span("64271234567"), &p);
        assert_int_equal(multiparts_platform(parts, &m, NOW), NAME_NONE);
    }
    print_message("first: %zu %zu %zu %zu\n", firsts[0], firsts[1], firsts[2], firsts[3]);
    assert_int_equal(multiparts_sweep(parts, NOW), 0);
    pthread_barrier_destroy(&barrier);
    multiparts_free(parts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(later_parts_follow_the_first_sent),
        cmocka_unit_test(who_and_where_and_how_tell_messages_apart),
        cmocka_unit_test(the_time_counts_from_the_first_part),
        cmocka_unit_test(a_part_sent_again_is_of_the_same_message_until_all_are_accepted),
        cmocka_unit_test(a_part_refused_is_tried_again_where_the_others_went),
        cmocka_unit_test(a_message_of_which_a_part_is_refused_has_its_time_still),
        cmocka_unit_test(an_answer_after_its_message_gave_way_counts_for_no_other),
        cmocka_unit_test(what_went_astray_is_followed_there),
        cmocka_unit_test(a_full_set_loses_its_oldest),
        cmocka_unit_test(a_sweep_forgets_what_is_over),
        cmocka_unit_test(more_parts_than_bits_are_followed_too),
        cmocka_unit_test(one_that_has_begun_is_not_begun_again),
        cmocka_unit_test(times_go_round),
        cmocka_unit_test(workers_agree_on_the_first_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
