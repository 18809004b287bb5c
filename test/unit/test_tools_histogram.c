/* The latency histogram of the tools: buckets are each other's inverse, quantiles are within 1/64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "test/tools/lib/histogram.h"

static struct histogram h;

static int empty(void **state)
{
    (void)state;
    h = (struct histogram){0};
    return 0;
}

static void an_empty_one_says_nothing(void **state)
{
    (void)state;
    assert_int_equal(histogram_quantile(&h, 0.99), 0);
    assert_int_equal(histogram_mean(&h), 0);
}

static void every_value_is_in_its_bucket(void **state)
{
    (void)state;
    uint64_t last_bucket = 0;
    for (uint64_t value = 0; value < 1000000; value++) {
        unsigned bucket = histogram_bucket_of(value);
        assert_true(bucket >= last_bucket && bucket <= last_bucket + 1);
        assert_true(histogram_bucket_top(bucket) >= value);
        assert_true(histogram_bucket_top(bucket) - value <= value / 64);
        last_bucket = bucket;
    }
}

static void the_largest_value_fits(void **state)
{
    (void)state;
    assert_int_equal(histogram_bucket_of(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
    assert_true(histogram_bucket_top(HISTOGRAM_BUCKETS - 1) == UINT64_MAX);
    histogram_record(&h, UINT64_MAX);
    assert_true(histogram_quantile(&h, 1) == UINT64_MAX);
}

static void buckets_and_tops_are_inverse(void **state)
{
    (void)state;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        assert_int_equal(histogram_bucket_of(histogram_bucket_top(bucket)), bucket);
    }
}

static void quantiles_are_close(void **state)
{
    (void)state;
    for (uint64_t value = 1; value <= 100000; value++) {
        histogram_record(&h, value);
    }
    static const double quantiles[] = {0.01, 0.5, 0.9, 0.99, 0.999, 1};
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        double exact = quantiles[i] * 100000;
        double found = (double)histogram_quantile(&h, quantiles[i]);
        assert_true(found >= exact && found <= exact * (1 + 1.0 / 64));
    }
    assert_int_equal(histogram_quantile(&h, 0), 1);
    assert_int_equal(histogram_mean(&h), 50000);
    assert_int_equal(h.min, 1);
    assert_int_equal(h.max, 100000);
}

static void one_value_is_all_quantiles(void **state)
{
    (void)state;
    histogram_record(&h, 12345);
    assert_int_equal(histogram_quantile(&h, 0.001), 12345);
    assert_int_equal(histogram_quantile(&h, 0.999), 12345);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_one_says_nothing, empty),
        cmocka_unit_test_setup(every_value_is_in_its_bucket, empty),
        cmocka_unit_test_setup(the_largest_value_fits, empty),
        cmocka_unit_test_setup(buckets_and_tops_are_inverse, empty),
        cmocka_unit_test_setup(quantiles_are_close, empty),
        cmocka_unit_test_setup(one_value_is_all_quantiles, empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
