/* numbers.c and numbers_build.c: what a portability table finds, and what is no table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "routing/checksum.h"
#include "routing/numbers_build.h"
#include "routing/numbers_p.h"
#include "test/unit/seeded.h"

/* In the order in which the tests name them. */
enum { SPARK, ONENZ };
enum { TEXT_MAX = 512 };

struct rows {
    const char *numbers, *carrier;
};

static char told[TEXT_MAX];

static void tell(void *ctx, unsigned line, const char *text)
{
    (void)ctx;
    size_t at = strlen(told);
    snprintf(told + at, sizeof told - at, "%u: %s\n", line, text);
}

static struct numbers_builder *builder_of(const struct rows *rows)
{
    struct numbers_builder *builder = numbers_builder_new();
    assert_non_null(builder);
    for (unsigned i = 0; rows[i].numbers != NULL; i++) {
        assert_null(numbers_builder_add(builder, rows[i].numbers, rows[i].carrier, i + 1));
    }
    return builder;
}

static struct numbers_image image_of(const struct rows *rows)
{
    struct numbers_builder *builder = builder_of(rows);
    struct numbers_image image;
    told[0] = '\0';
    assert_true(numbers_build(builder, "test", 12345, tell, NULL, &image));
    assert_string_equal(told, "");
    numbers_builder_free(builder);
    return image;
}

static struct numbers *adopt(const struct numbers_image *image)
{
    char error[TEXT_MAX] = "";
    uint64_t counts[NAMES_MAX];
    struct numbers *numbers = numbers_adopt(image->data, image->size, error, sizeof error);
    assert_string_equal(error, "");
    assert_non_null(numbers);
    assert_true(numbers_verify(numbers, counts, error, sizeof error));
    return numbers;
}

static struct numbers *table_of(const struct rows *rows)
{
    struct numbers_image image = image_of(rows);
    return adopt(&image);
}

static uint8_t find(const struct numbers *numbers, const char *digits)
{
    return numbers_find(numbers, (const uint8_t *)digits, strlen(digits));
}

static void a_number_has_its_carrier(void **state)
{
    (void)state;
    struct numbers *n = table_of((const struct rows[]){{"64211234567", "spark"},
                                                       {"+64271234567", "onenz"},
                                                       {"999999999999999", "spark"},
                                                       {"0", "onenz"},
                                                       {0}});
    assert_int_equal(find(n, "64211234567"), SPARK);
    assert_int_equal(find(n, "+64211234567"), SPARK);
    assert_int_equal(find(n, "64271234567"), ONENZ);
    assert_int_equal(find(n, "999999999999999"), SPARK);
    assert_int_equal(find(n, "0"), ONENZ);
    assert_int_equal(find(n, "64211234568"), NAME_NONE);
    assert_int_equal(find(n, "6421123456"), NAME_NONE);
    assert_int_equal(find(n, "064211234567"), NAME_NONE);
    assert_int_equal(find(n, "00"), NAME_NONE);
    numbers_close(n);
}

static void what_is_no_number_has_none(void **state)
{
    (void)state;
    struct numbers *n = table_of((const struct rows[]){{"6421*", "spark"}, {"1*", "onenz"}, {0}});
    const char *const odd[] = {"",  "+",     "++6421",           "6421x",
                               "x", "6421 ", "1000000000000000", "64210000000000000000"};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        assert_int_equal(find(n, odd[i]), NAME_NONE);
    }
    assert_int_equal(numbers_find(n, (const uint8_t *)"64219", 3), NAME_NONE); /* len, not a NUL, ends it */
    numbers_close(n);
}

static void the_narrowest_wins(void **state)
{
    (void)state;
    struct numbers *n = table_of((const struct rows[]){{"6421*", "spark"},
                                                       {"64215000000-64215999999", "onenz"},
                                                       {"64215500000", "skinny"},
                                                       {"64215000000-64215000009", "spark"},
                                                       {"64215999999-64215999999", "spark"},
                                                       {"6422*", "onenz"},
                                                       {0}});
    assert_int_equal(find(n, "6421"), SPARK);
    assert_int_equal(find(n, "642"), NAME_NONE);
    assert_int_equal(find(n, "64214999999"), SPARK);
    assert_int_equal(find(n, "64215000000"), SPARK);
    assert_int_equal(find(n, "64215000009"), SPARK);
    assert_int_equal(find(n, "64215000010"), ONENZ);
    assert_int_equal(find(n, "64215500000"), 2);
    assert_int_equal(find(n, "64215999998"), ONENZ);
    assert_int_equal(find(n, "64215999999"), SPARK);
    assert_int_equal(find(n, "64216000000"), SPARK);
    assert_int_equal(find(n, "6421500000"), SPARK); /* a range is of its length alone */
    assert_int_equal(find(n, "642199999999999"), SPARK);
    assert_int_equal(find(n, "642200000000000"), ONENZ);
    assert_int_equal(find(n, "64230000000"), NAME_NONE);
    numbers_close(n);
}

/* Each row on its own line of `told`. */
static void assert_contradicts(const struct rows *rows, const char *text)
{
    struct numbers_builder *builder = builder_of(rows);
    struct numbers_image image;
    told[0] = '\0';
    assert_false(numbers_build(builder, "test", 0, tell, NULL, &image));
    assert_string_equal(told, text);
    numbers_builder_free(builder);
}

static void rows_that_contradict_each_other_are_named(void **state)
{
    (void)state;
    assert_contradicts((const struct rows[]){{"64211234567", "spark"}, {"64211234567", "onenz"}, {0}},
                       "2: 64211234567 is of onenz here, and of spark in line 1\n");
    assert_contradicts((const struct rows[]){{"6421*", "spark"}, {"6421*", "onenz"}, {0}},
                       "2: 6421-6421 is of onenz here, and the same numbers are in line 1, of spark\n");
    assert_contradicts((const struct rows[]){{"10-19", "spark"}, {"15-25", "onenz"}, {0}},
                       "2: 15-25 is of onenz here, and some of them, but not all, are in line 1, of spark\n");
    assert_contradicts((const struct rows[]){{"1*", "spark"}, {"15-25", "spark"}, {0}},
                       "2: 15-25 is of spark here, and some of them, but not all, are in line 1, of spark\n");
}

static void rows_that_agree_are_one(void **state)
{
    (void)state;
    struct numbers_image image = image_of((const struct rows[]){{"64211234567", "spark"},
                                                                {"+64211234567", "spark"},
                                                                {"6422*", "onenz"},
                                                                {"6422*", "onenz"},
                                                                {"1-5", "onenz"},
                                                                {"1-5", "onenz"},
                                                                {0}});
    assert_int_equal(image.dropped, 3);
    struct numbers *n = adopt(&image);
    assert_int_equal(numbers_about(n).count, 1);
    assert_int_equal(find(n, "5"), ONENZ);
    assert_int_equal(find(n, "6"), NAME_NONE);
    numbers_close(n);
}

static void a_row_that_is_none_says_why(void **state)
{
    (void)state;
    static const struct rows wrong[] = {{"", "spark"},
                                        {"x", "spark"},
                                        {"+", "spark"},
                                        {"*", "spark"},
                                        {"1234567890123456", "spark"},
                                        {"1-", "spark"},
                                        {"-1", "spark"},
                                        {"1-2-3", "spark"},
                                        {"2-1", "spark"},
                                        {"1-22", "spark"},
                                        {"1", ""},
                                        {"1", "sp ark"},
                                        {"1", "-"},
                                        {"1", ".number"},
                                        {"1**", "spark"},
                                        {"1234567890123456*", "spark"}};
    struct numbers_builder *builder = numbers_builder_new();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_non_null(numbers_builder_add(builder, wrong[i].numbers, wrong[i].carrier, 1));
    }
    for (unsigned i = 1; i < NAME_NUMBER; i++) { /* "spark" has its number */
        char name[8];
        snprintf(name, sizeof name, "c%u", i);
        assert_null(numbers_builder_add(builder, "1", name, 1));
    }
    assert_string_equal(numbers_builder_add(builder, "1", "one", 1),
                        "is of one carrier too many; 63 are allowed");
    numbers_builder_free(builder);
}

/* A table of numbers, ranges and prefixes against a look at every row. */
struct model_row {
    uint64_t first, last;
    uint8_t carrier;
};

enum { MODEL_DIGITS = 5, MODEL_ROWS = 300, MODEL_CARRIERS = 5 };

static bool model_add(struct model_row *rows, unsigned *count, uint64_t first, uint64_t last, uint8_t carrier)
{
    for (unsigned i = 0; i < *count; i++) {
        bool apart = last < rows[i].first || first > rows[i].last;
        bool same = first == rows[i].first && last == rows[i].last;
        bool within = (first >= rows[i].first && last <= rows[i].last) ||
                      (first <= rows[i].first && last >= rows[i].last);
        if (same || !(apart || within)) {
            return false;
        }
    }
    rows[(*count)++] = (struct model_row){first, last, carrier};
    return true;
}

static uint8_t model_find(const struct model_row *rows, unsigned count, uint64_t number)
{
    uint8_t carrier = NAME_NONE;
    uint64_t width = UINT64_MAX;
    for (unsigned i = 0; i < count; i++) {
        if (number >= rows[i].first && number <= rows[i].last && rows[i].last - rows[i].first < width) {
            width = rows[i].last - rows[i].first;
            carrier = rows[i].carrier;
        }
    }
    return carrier;
}

static void a_random_table_is_like_its_model(unsigned seed)
{
    static const char *const names[MODEL_CARRIERS] = {"a", "b", "c", "d", "e"};
    struct model_row rows[MODEL_ROWS];
    unsigned count = 0;
    struct numbers_builder *builder = numbers_builder_new();
    struct numbers_image image;
    seeded(seed);
    for (unsigned i = 0; i < MODEL_CARRIERS; i++) { /* so that their numbers are as in names */
        char number[8];
        snprintf(number, sizeof number, "%u", i);
        assert_null(numbers_builder_add(builder, number, names[i], 1));
    }
    for (unsigned i = 0; i < MODEL_ROWS; i++) {
        uint64_t first = any_of(100000), width = any_of(3) == 0 ? any_of(5000) : 0;
        uint64_t last = first + width > 99999 ? 99999 : first + width;
        uint8_t carrier = (uint8_t)any_of(MODEL_CARRIERS);
        if (model_add(rows, &count, first, last, carrier)) {
            char text[32];
            if (first == last) {
                snprintf(text, sizeof text, "%05u", (unsigned)first);
            } else {
                snprintf(text, sizeof text, "%05u-%05u", (unsigned)first, (unsigned)last);
            }
            assert_null(numbers_builder_add(builder, text, names[carrier], i + 1));
        }
    }
    assert_true(numbers_build(builder, "model", 0, tell, NULL, &image));
    struct numbers *n = adopt(&image);
    for (unsigned number = 0; number < 100000; number++) {
        char text[8];
        snprintf(text, sizeof text, "%05u", number);
        assert_int_equal(find(n, text), model_find(rows, count, number));
    }
    numbers_close(n);
    numbers_builder_free(builder);
}

static void random_tables_are_like_their_models(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 5; seed++) {
        a_random_table_is_like_its_model(seed);
    }
}

static void many_numbers_are_all_found(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    struct numbers_builder *builder = numbers_builder_new();
    struct numbers_image image;
    char text[16];
    for (unsigned i = 0; i < COUNT; i++) { /* a run, as allocated blocks are, of every second number */
        snprintf(text, sizeof text, "642%08u", i * 2);
        assert_null(numbers_builder_add(builder, text, i % 3 == 0 ? "spark" : "onenz", i + 1));
    }
    assert_true(numbers_build(builder, "many", 0, tell, NULL, &image));
    assert_in_range(image.size, COUNT * 8, COUNT * 11 + NUMBERS_HEADER_SIZE);
    struct numbers *n = adopt(&image);
    uint8_t spark = find(n, "64200000000");
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, "642%08u", i * 2);
        assert_int_equal(find(n, text) == spark, i % 3 == 0);
        snprintf(text, sizeof text, "642%08u", i * 2 + 1);
        assert_int_equal(find(n, text), NAME_NONE);
    }
    numbers_close(n);
    numbers_builder_free(builder);
}

static void a_carrier_is_called_what_is_said(void **state)
{
    (void)state;
    struct numbers *n = table_of((const struct rows[]){{"1", "spark"}, {"2*", "onenz"}, {0}});
    struct numbers_about about = numbers_about(n);
    assert_int_equal(about.carriers, 2);
    assert_int_equal(about.built, 12345);
    assert_string_equal(about.version, "test");
    assert_string_equal(numbers_carrier(n, ONENZ), "onenz");
    numbers_call(n, ONENZ, 41);
    numbers_call(n, SPARK, 40);
    assert_int_equal(find(n, "1"), 40);
    assert_int_equal(find(n, "22"), 41);
    assert_int_equal(find(n, "3"), NAME_NONE);
    numbers_close(n);
}

/* --- files ------------------------------------------------------------------------------------------------ */

static char path[] = "/tmp/test_numbers.XXXXXX";

static int make_path(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_octets(const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void assert_refused(const void *data, size_t size, const char *why)
{
    char error[TEXT_MAX] = "";
    void *copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(copy != MAP_FAILED);
    memcpy(copy, data, size);
    assert_null(numbers_adopt(copy, size, error, sizeof error));
    assert_string_not_equal(error, "");
    if (why != NULL) {
        assert_non_null(strstr(error, why));
    }
}

static const struct rows few[] = {
    {"64211234567", "spark"}, {"64271234567", "onenz"}, {"6422*", "spark"}, {0}};

static void a_file_is_read_back(void **state)
{
    (void)state;
    struct numbers_image image = image_of(few);
    char error[TEXT_MAX] = "";
    write_octets(image.data, image.size);
    struct numbers *n = numbers_open(path, error, sizeof error);
    assert_non_null(n);
    assert_int_equal(numbers_about(n).size, image.size);
    assert_int_equal(truncate(path, 0), 0); /* nothing of it is needed any more */
    assert_int_equal(find(n, "64271234567"), ONENZ);
    assert_int_equal(find(n, "64220"), SPARK);
    numbers_close(n);
    munmap(image.data, image.size);
}

static void every_wrong_octet_is_found(void **state)
{
    (void)state;
    struct numbers_image image = image_of(few);
    uint8_t *octets = image.data;
    for (size_t i = 0; i < image.size; i++) {
        octets[i] ^= 0x40;
        assert_refused(octets, image.size, NULL);
        octets[i] ^= 0x40;
    }
    munmap(image.data, image.size);
}

static void every_wrong_length_is_found(void **state)
{
    (void)state;
    struct numbers_image image = image_of(few);
    uint8_t *octets = calloc(1, image.size + 16);
    memcpy(octets, image.data, image.size);
    for (size_t len = 1; len < image.size; len++) {
        assert_refused(octets, len, len < 8 ? "no portability table" : "cut short");
    }
    assert_refused(octets, image.size + 1, "added to");
    assert_refused(octets, image.size + 16, "added to");
    free(octets);
    munmap(image.data, image.size);
}

static void resum(struct numbers_image *image)
{
    struct numbers_header *header = image->data;
    header->checksum =
        checksum64((char *)image->data + NUMBERS_SUMMED_FROM, image->size - NUMBERS_SUMMED_FROM);
}

/* Whoever made the file, a look-up stays inside of it. */
static void a_right_checksum_does_not_excuse(void **state)
{
    (void)state;
    struct numbers_image image = image_of(few);
    struct numbers_header *header = image.data, good = *header;
    uint64_t *slots = (uint64_t *)(void *)((char *)image.data + NUMBERS_HEADER_SIZE);
    slots[header->slots - 1] = 1;
    resum(&image);
    assert_refused(image.data, image.size, "no last slot");
    slots[header->slots - 1] = NUMBERS_LAST;
    header->carriers = NAMES_MAX + 1;
    resum(&image);
    assert_refused(image.data, image.size, "names");
    *header = good;
    memset(header->carrier[1], 'x', sizeof header->carrier[1]);
    resum(&image);
    assert_refused(image.data, image.size, "names");
    *header = good;
    header->homes = header->slots;
    resum(&image);
    assert_refused(image.data, image.size, "header");
    *header = good;
    header->format = 2;
    assert_refused(image.data, image.size, "has format 2; this program reads format 1");
    header->magic = __builtin_bswap64(header->magic);
    assert_refused(image.data, image.size, "another byte order");
    munmap(image.data, image.size);
}

/* What the checksum does not tell, numbers_verify does. */
static void a_table_out_of_order_is_found(void **state)
{
    (void)state;
    struct numbers_image image = image_of(few);
    const struct numbers_header *header = image.data;
    uint64_t *slots = (uint64_t *)(void *)((char *)image.data + NUMBERS_HEADER_SIZE);
    uint64_t counts[NAMES_MAX];
    char error[TEXT_MAX] = "";
    unsigned first = slots[0] == 0 ? 1 : 0;
    slots[first] |= 0x20; /* a carrier that has no name */
    slots[header->slots + header->bounds - 1] = slots[header->slots];
    resum(&image);
    struct numbers *n = numbers_adopt(image.data, image.size, error, sizeof error);
    assert_non_null(n);
    assert_false(numbers_verify(n, counts, error, sizeof error));
    assert_non_null(strstr(error, "names carrier number 3"));
    slots[first] &= ~UINT64_C(0x20);
    assert_false(numbers_verify(n, counts, error, sizeof error));
    assert_non_null(strstr(error, "not in its order at bound"));
    uint64_t entry = slots[first];
    slots[first] = 0;
    assert_false(numbers_verify(n, counts, error, sizeof error));
    slots[first] = entry;
    numbers_close(n);
}

static void what_cannot_be_read_says_why(void **state)
{
    (void)state;
    char error[TEXT_MAX] = "";
    assert_null(numbers_open("/nonexistent/x", error, sizeof error));
    assert_string_equal(error, "cannot be read: No such file or directory");
    assert_null(numbers_open("/tmp", error, sizeof error));
    assert_string_equal(error, "is no file");
    char pipe_path[sizeof path + 8];
    snprintf(pipe_path, sizeof pipe_path, "%s.pipe", path);
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    assert_null(numbers_open(pipe_path, error, sizeof error)); /* nobody writes to it: it is not waited for */
    assert_string_equal(error, "is no file");
    unlink(pipe_path);
    write_octets("", 0);
    assert_null(numbers_open(path, error, sizeof error));
    assert_non_null(strstr(error, "no portability table"));
    write_octets("number,carrier\n", 15);
    assert_null(numbers_open(path, error, sizeof error));
    assert_non_null(strstr(error, "no portability table"));
}

/* Which number of a row is told not to be in the international form; NULL: none. */
static void first_told(const char *row, const char *country, const char *national, const char *international,
                       const char *number)
{
    char error[TEXT_MAX] = "", says[TEXT_MAX];
    struct number_rules rules = number_rules_of(country, national, international);
    struct numbers *n =
        table_of((const struct rows[]){{row, "spark"}, {"64271234567", "onenz"}, {"6421*", "onenz"}, {0}});
    snprintf(says, sizeof says, "has number %s, which begins with ", number == NULL ? "" : number);
    assert_int_equal(numbers_international(n, &rules, error, sizeof error), number == NULL);
    assert_int_equal(strncmp(error, says, number == NULL ? 0 : strlen(says)), 0);
    numbers_close(n);
}

static void numbers_in_another_form_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *row, *country, *national, *international, *number;
    } cases[] = {
        {"0275550007", "64", "0", "00", "0275550007"},
        {"0275550007", "", "0", "00", NULL},
        {"0275550007", "64", "", "00", NULL},
        {"0064275550007", "64", "0", "00", "0064275550007"},
        {"0064275550007", "64", "", "00", "0064275550007"},
        {"0", "64", "0", "00", NULL}, /* nothing behind the prefix: looked up as it is */
        {"01", "64", "0", "00", "01"},
        {"012345678901234", "64", "0", "00", "012345678901234"},
        {"1275550007", "64", "0", "00", NULL},
        {"02*", "64", "0", "00", "02"},
        {"0270000000-0279999999", "64", "0", "00", "0270000000"},
        {"0000000000-0279999999", "64", "0", "00", "0000000000"},
        {"0100000000-9999999999", "64", "1", "00", "1000000000"}, /* covers it from before */
        {"1275550007", "1", "1", "011", NULL},                    /* read as itself */
        {"011645550007", "1", "1", "011", "011645550007"},
        {"89161234567", "7", "8", "810", "89161234567"},
        {"99161234567", "7", "8", "810", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        first_told(cases[i].row, cases[i].country, cases[i].national, cases[i].international,
                   cases[i].number);
}

/* XXH64 of others. */
static void the_checksum_is_the_known_one(void **state)
{
    (void)state;
    static const char text[] = "Nobody inspects the spammish repetition";
    assert_true(checksum64("", 0) == UINT64_C(0xEF46DB3751D8E999));
    assert_true(checksum64("abc", 3) == UINT64_C(0x44BC2CF5AD770999));
    assert_true(checksum64(text, sizeof text - 1) == UINT64_C(0xFBCEA83C8A378BF1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checksum_is_the_known_one),
        cmocka_unit_test(a_number_has_its_carrier),
        cmocka_unit_test(what_is_no_number_has_none),
        cmocka_unit_test(the_narrowest_wins),
        cmocka_unit_test(rows_that_contradict_each_other_are_named),
        cmocka_unit_test(rows_that_agree_are_one),
        cmocka_unit_test(a_row_that_is_none_says_why),
        cmocka_unit_test(random_tables_are_like_their_models),
        cmocka_unit_test(many_numbers_are_all_found),
        cmocka_unit_test(a_carrier_is_called_what_is_said),
        cmocka_unit_test(a_file_is_read_back),
        cmocka_unit_test(every_wrong_octet_is_found),
        cmocka_unit_test(every_wrong_length_is_found),
        cmocka_unit_test(a_right_checksum_does_not_excuse),
        cmocka_unit_test(a_table_out_of_order_is_found),
        cmocka_unit_test(what_cannot_be_read_says_why),
        cmocka_unit_test(numbers_in_another_form_are_told),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
