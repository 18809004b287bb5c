/* number_form.c: every form in which a client writes a number, and what it is looked up as. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "routing/number_form.h"

enum {
    UNKNOWN = NUMBER_TON_UNKNOWN,
    INTERNATIONAL = NUMBER_TON_INTERNATIONAL,
    NATIONAL = NUMBER_TON_NATIONAL
};
enum { NETWORK = 3, SUBSCRIBER = 4, ALPHANUMERIC = 5, ABBREVIATED = 6, NO_TON = 255 };

struct form {
    const char *country, *national, *international;
    unsigned ton;
    const char *sent, *read; /* read NULL: as sent */
    enum number_form by;
};

static const struct form forms[] = {
    /* New Zealand */
    {"64", "0", "00", UNKNOWN, "64211234567", NULL, NUMBER_AS_SENT},
    {"64", "0", "00", INTERNATIONAL, "64211234567", NULL, NUMBER_AS_SENT},
    {"64", "0", "00", INTERNATIONAL, "+64211234567", NULL, NUMBER_AS_SENT},
    {"64", "0", "00", NATIONAL, "+64211234567", NULL, NUMBER_AS_SENT},
    {"64", "0", "00", UNKNOWN, "0064211234567", "64211234567", NUMBER_BY_INTERNATIONAL_PREFIX},
    {"64", "0", "00", INTERNATIONAL, "0064211234567", "64211234567", NUMBER_BY_INTERNATIONAL_PREFIX},
    {"64", "0", "00", NATIONAL, "0064211234567", "64211234567", NUMBER_BY_INTERNATIONAL_PREFIX},
    {"64", "0", "00", UNKNOWN, "0211234567", "64211234567", NUMBER_BY_NATIONAL_PREFIX},
    {"64", "0", "00", INTERNATIONAL, "0211234567", "64211234567", NUMBER_BY_NATIONAL_PREFIX},
    {"64", "0", "00", NATIONAL, "0211234567", "64211234567", NUMBER_BY_NATIONAL_PREFIX},
    {"64", "0", "00", NATIONAL, "211234567", "64211234567", NUMBER_BY_TON},
    {"64", "0", "00", UNKNOWN, "211234567", NULL, NUMBER_AS_SENT},
    {"64", "0", "00", INTERNATIONAL, "211234567", NULL, NUMBER_AS_SENT},
    {"64", "0", "00", UNKNOWN, "0044207946000", "44207946000", NUMBER_BY_INTERNATIONAL_PREFIX},
    /* of no E.164 number */
    {"64", "0", "00", NETWORK, "0211234567", NULL, NUMBER_AS_SENT},
    {"64", "0", "00", SUBSCRIBER, "0211234567", NULL, NUMBER_AS_SENT},
    {"64", "0", "00", ALPHANUMERIC, "0211234567", NULL, NUMBER_AS_SENT},
    {"64", "0", "00", ABBREVIATED, "0800", NULL, NUMBER_AS_SENT},
    {"64", "0", "00", NO_TON, "0211234567", NULL, NUMBER_AS_SENT},
    /* prefixes alone, nothing, and too much */
    {"64", "0", "00", UNKNOWN, "", NULL, NUMBER_AS_SENT},
    {"64", "0", "00", NATIONAL, "", NULL, NUMBER_AS_SENT},
    {"64", "0", "00", UNKNOWN, "0", NULL, NUMBER_AS_SENT},
    {"64", "0", "00", UNKNOWN, "00", "640", NUMBER_BY_NATIONAL_PREFIX},
    {"64", "0", "00", UNKNOWN, "+", NULL, NUMBER_AS_SENT},
    {"64", "0", "00", UNKNOWN, "+0211234567", NULL, NUMBER_AS_SENT},
    {"64", "0", "00", UNKNOWN, "021 123", "6421 123", NUMBER_BY_NATIONAL_PREFIX},
    {"64", "0", "00", UNKNOWN, "0123456789012345678901234567890", NULL, NUMBER_AS_SENT},
    {"64", "0", "00", UNKNOWN, "012345678901234567890123456789", "6412345678901234567890123456789",
     NUMBER_BY_NATIONAL_PREFIX},
    /* without a country's code, only what is international without it */
    {"", "0", "00", UNKNOWN, "0064211234567", "64211234567", NUMBER_BY_INTERNATIONAL_PREFIX},
    {"", "0", "00", UNKNOWN, "0211234567", NULL, NUMBER_AS_SENT},
    {"", "0", "00", NATIONAL, "211234567", NULL, NUMBER_AS_SENT},
    {NULL, NULL, NULL, NATIONAL, "0064211234567", NULL, NUMBER_AS_SENT},
    /* North America, Russia, and a country without a national prefix */
    {"1", "1", "011", UNKNOWN, "12125550100", "12125550100", NUMBER_BY_NATIONAL_PREFIX},
    {"1", "1", "011", NATIONAL, "2125550100", "12125550100", NUMBER_BY_TON},
    {"1", "1", "011", UNKNOWN, "01164211234567", "64211234567", NUMBER_BY_INTERNATIONAL_PREFIX},
    {"7", "8", "810", UNKNOWN, "89161234567", "79161234567", NUMBER_BY_NATIONAL_PREFIX},
    {"7", "8", "810", UNKNOWN, "81064211234567", "64211234567", NUMBER_BY_INTERNATIONAL_PREFIX},
    {"47", "", "00", UNKNOWN, "41234567", NULL, NUMBER_AS_SENT},
    {"47", "", "00", NATIONAL, "41234567", "4741234567", NUMBER_BY_TON},
};

static void every_form_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const struct form *form = &forms[i];
        struct number_rules rules = number_rules_of(form->country, form->national, form->international);
        size_t len = strlen(form->sent);
        uint8_t *sent = malloc(len + 1); /* without a NUL: nothing may be read behind it */
        struct number_read read;
        memcpy(sent, form->sent, len);
        bool reads = number_read(&rules, (uint8_t)form->ton, sent, len, &read);
        enum number_form by = (enum number_form)read.form;
        if (by != form->by || strcmp(read.digits, form->read == NULL ? "" : form->read) != 0)
            fail_msg("%s, TON %u: %s by %s", form->sent, form->ton, read.digits, number_form_label(by));
        assert_int_equal(read.len, strlen(read.digits));
        assert_int_equal(reads, by != NUMBER_AS_SENT);
        free(sent);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
