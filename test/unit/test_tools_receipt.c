/* Message ids and the text of receipts, as the simulator makes them; read back by the proxy's own reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "smpp/receipt.h"
#include "test/tools/lib/receipt_text.h"

static void ids_of_every_format(void **state)
{
    (void)state;
    static const struct {
        enum id_format format;
        const char *name;
        const char *id;
    } rows[] = {{ID_HEX, "hex", "1a2b"},
                {ID_UPPER, "upper", "1A2B"},
                {ID_DECIMAL, "decimal", "6699"},
                {ID_PADDED, "padded", "0000006699"},
                {ID_UUID, "uuid", "7475726e-6f75-4074-8000-000000001a2b"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum id_format format = ID_FORMAT_COUNT;
        char id[MESSAGE_ID_MAX];
        assert_true(id_format_parse(rows[i].name, &format));
        assert_int_equal(format, rows[i].format);
        assert_int_equal(id_write(id, "", 6699, format), strlen(rows[i].id));
        assert_string_equal(id, rows[i].id);
    }
    enum id_format format = ID_HEX;
    assert_false(id_format_parse("octal", &format));
}

static void ids_are_read_back(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {1, 9, 10, 255, 1234567890, UINT64_MAX / 2};
    static const char *const prefixes[] = {"", "spark-", "0"};
    for (int format = 0; format < ID_FORMAT_COUNT; format++) {
        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
            for (size_t p = 0; p < sizeof(prefixes) / sizeof(prefixes[0]); p++) {
                char id[MESSAGE_ID_MAX];
                uint64_t number = 0;
                size_t len = id_write(id, prefixes[p], numbers[i], (enum id_format)format);
                assert_true(id_read(id, len, prefixes[p], (enum id_format)format, &number));
                assert_true(number == numbers[i]);
            }
        }
    }
    uint64_t number = 0;
    assert_false(id_read("x1", 2, "y", ID_HEX, &number));
    assert_false(id_read("", 0, "", ID_HEX, &number));
    assert_false(id_read("12g", 3, "", ID_HEX, &number));
}

static void a_long_prefix_is_cut(void **state)
{
    (void)state;
    char id[MESSAGE_ID_MAX];
    size_t len = id_write(id, "a-prefix-that-is-much-longer-than-a-message-id-may-be-in-the-specification", 1,
                          ID_UUID);
    assert_true(len < MESSAGE_ID_MAX);
    assert_int_equal(strlen(id), len);
}

static size_t write(char *out, const char *id, const char *stat, const char *text)
{
    struct receipt_text receipt = {id, stat, 1700000000, 1700000060, text, strlen(text)};
    return receipt_text_write(out, &receipt);
}

static void the_text_is_the_customary_one(void **state)
{
    (void)state;
    char out[RECEIPT_TEXT_MAX + 1];
    write(out, "1a", "DELIVRD", "hello, world, this is long");
    assert_string_equal(
        out, "id:1a sub:001 dlvrd:001 submit date:2311142213 done date:2311142214 stat:DELIVRD err:000 "
             "text:hello, world, this i");
    write(out, "1a", "UNDELIV", "");
    assert_non_null(strstr(out, "dlvrd:000"));
    assert_non_null(strstr(out, "stat:UNDELIV err:001 text:"));
}

static void the_key_is_whole(void **state)
{
    (void)state;
    char out[RECEIPT_TEXT_MAX + 1];
    write(out, "1", "DELIVRD", "K:run-name-12-123456789; and more");
    assert_string_equal(strstr(out, "text:"), "text:K:run-name-12-123456789;");
}

static void the_reader_of_the_proxy_agrees(void **state)
{
    (void)state;
    char out[RECEIPT_TEXT_MAX + 1];
    size_t len = write(out, "0000000255", "EXPIRED", "id:9 stat:X");
    struct smpp_span text = {(const uint8_t *)out, (uint32_t)len};
    struct smpp_span value;
    assert_true(smpp_receipt_field(text, "id", &value));
    assert_int_equal(value.len, 10);
    assert_memory_equal(value.p, "0000000255", 10);
    assert_true(smpp_receipt_field(text, "stat", &value));
    assert_memory_equal(value.p, "EXPIRED", 7);
}

static void it_never_gets_too_long(void **state)
{
    (void)state;
    char id[MESSAGE_ID_MAX];
    char text[300];
    char out[RECEIPT_TEXT_MAX + 1];
    memset(id, '1', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_true(write(out, id, "DELIVRD", text) <= RECEIPT_TEXT_MAX);
}

static void states_have_their_numbers(void **state)
{
    (void)state;
    assert_int_equal(receipt_message_state("DELIVRD"), 2);
    assert_int_equal(receipt_message_state("DELETED"), 4);
    assert_int_equal(receipt_message_state("REJECTD"), 8);
    assert_int_equal(receipt_message_state("nonsense"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_of_every_format),    cmocka_unit_test(ids_are_read_back),
        cmocka_unit_test(a_long_prefix_is_cut),   cmocka_unit_test(the_text_is_the_customary_one),
        cmocka_unit_test(the_key_is_whole),       cmocka_unit_test(the_reader_of_the_proxy_agrees),
        cmocka_unit_test(it_never_gets_too_long), cmocka_unit_test(states_have_their_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
