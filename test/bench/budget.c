/* The way of a message without sockets and clock, for callgrind: test/bench/budget counts its instructions.
 *
 *   submits of a whole window  ──▶ client stream │ phase_request │ ──▶ SMSC ends
 *   their answers              ──▶ leg streams   │ phase_answer  │ ──▶ client end
 *
 *   receipts of a whole window ──▶ leg streams   │ phase_request │ ──▶ client end
 *   their answers              ──▶ client stream │ phase_answer  │ ──▶ SMSC ends
 *
 *   budget WINDOW plain | ported | receipt
 *
 * "ported": destinations in the national form, which a portability table knows in the international one.
 *
 * What lies between the bars is counted, warm: the phases before are the same in functions of other names. The world
 * is that of the unit tests, so that what is counted is what they test. */
#include <sys/mman.h>

#include "routing/numbers_build.h"
#include "test/unit/forward_world.h"

enum { SHORTCODES = 250, SHORTCODE_FIRST = 50000, TEXT_LEN = 140, WARM = 5, MESSAGES_LEAST = 2000 };
enum {
    PORTED = 20000,
    PORTED_SPREAD = 61803
}; /* numbers in the table, and how they are spread over all of a prefix */

static unsigned window_wanted = 100;
static bool ported, receipts;

/* One turn of the loop after the other until nothing moves. noinline: the names are callgrind's. */
__attribute__((noinline)) static void phase_request(void)
{
    world_settle();
    __asm__ volatile("");
}

__attribute__((noinline)) static void phase_answer(void)
{
    world_settle();
    __asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) static void phase_warm(void)
{
    world_settle();
    __asm__ volatile("" ::: "memory", "cc");
}

/* "50000", "50001", ... as the config has it. */
static char *shortcode_list(void)
{
    static char text[SHORTCODES * 16];
    for (unsigned i = 0; i < SHORTCODES; i++) {
        size_t at = strlen(text);
        snprintf(text + at, sizeof text - at, "%s\"%u\"", i == 0 ? "" : ", ", SHORTCODE_FIRST + i);
    }
    return text;
}

static void make_routes(void)
{
    char shortcode[16];
    for (unsigned i = 0; i < SHORTCODES; i++) {
        snprintf(shortcode, sizeof shortcode, "%u", SHORTCODE_FIRST + i);
        route(shortcode, "spark", "redx", ROUTE_OPEN);
        route(shortcode, "onenz", "redx", ROUTE_OPEN);
    }
}

static size_t put_text(uint8_t *pdu, size_t len, const char *text)
{
    memcpy(pdu + len, text, strlen(text) + 1);
    return len + strlen(text) + 1;
}

static unsigned ported_number(unsigned i)
{
    return (unsigned)((uint64_t)i * PORTED_SPREAD % 10000000);
}

/* Every other number of a prefix has gone to the other carrier. The path must be a mkstemp pattern. */
static void write_ported(char *path)
{
    struct numbers_builder *builder = numbers_builder_new();
    struct numbers_image image;
    char number[16];
    int fd = mkstemp(path);
    assert_true(fd >= 0 && builder != NULL);
    for (unsigned i = 0; i < PORTED; i++) {
        snprintf(number, sizeof number, "6427%07u", ported_number(i));
        assert_null(numbers_builder_add(builder, number, i % 2 == 0 ? "spark" : "onenz", i + 1));
    }
    assert_true(numbers_build(builder, "budget", 0, NULL, NULL, &image));
    assert_int_equal(write(fd, image.data, image.size), image.size);
    close(fd);
    munmap(image.data, image.size);
    numbers_builder_free(builder);
}

/* A submit_sm of 140 octets of text from one of the shortcodes to one of the carriers. */
static size_t put_submit(uint8_t *pdu, uint32_t sequence)
{
    char shortcode[16];
    char number[16];
    size_t len = SMPP_HEADER_LEN + 1; /* service_type */
    memset(pdu, 0, SMPP_HEADER_LEN + 64);
    snprintf(shortcode, sizeof shortcode, "%u", SHORTCODE_FIRST + (unsigned)dice(SHORTCODES));
    if (ported) {
        snprintf(number, sizeof number, "027%07u", ported_number((unsigned)dice(PORTED)));
    } else {
        snprintf(number, sizeof number, "642%c%07u", dice(2) == 0 ? '7' : '1', (unsigned)dice(10000000));
    }
    len = put_text(pdu, len + 2, shortcode);
    len = put_text(pdu, len + 2, number);
    len += 9; /* from esm_class to sm_default_msg_id all is 0 */
    pdu[len++] = TEXT_LEN;
    memset(pdu + len, 't', TEXT_LEN);
    len += TEXT_LEN;
    smpp_put_header(pdu, &(struct smpp_header){(uint32_t)len, SMPP_SUBMIT_SM, 0, sequence});
    return len;
}

static void send_window(struct peer *client)
{
    static uint8_t octets[65536];
    size_t len = 0;
    for (unsigned i = 0; i < window_wanted; i++) {
        uint32_t sequence = next_sequence(client);
        owe(client, SMPP_SUBMIT_SM, sequence);
        len += put_submit(octets + len, sequence);
    }
    send_octets(client, octets, len);
}

static void send_answers(struct peer *from)
{
    static uint8_t octets[65536];
    static unsigned id = 1000000;
    size_t len = 0;
    char text[16];
    for (size_t i = 0; i < from->inbox_len; i++) {
        const struct pdu *request = from->inbox[i];
        snprintf(text, sizeof text, "%u", id++);
        len += smpp_encode_id_resp(octets + len, sizeof octets - len, request->id | SMPP_RESPONSE_BIT,
                                   request->sequence, ESME_ROK, receipts ? "" : text,
                                   (struct smpp_span){NULL, 0});
    }
    if (len > 0) {
        send_octets(from, octets, len);
    }
}

static void send_receipts(struct peer *from, unsigned count)
{
    static uint8_t octets[65536];
    static unsigned id = 1000000;
    size_t len = 0;
    for (unsigned i = 0; i < count; i++) {
        char shortcode[16];
        char text[TEXT_LEN];
        uint32_t sequence = next_sequence(from);
        snprintf(shortcode, sizeof shortcode, "%u", SHORTCODE_FIRST + (unsigned)dice(SHORTCODES));
        snprintf(
            text, sizeof text,
            "id:%u sub:001 dlvrd:001 submit date:2511260900 done date:2511260901 stat:DELIVRD err:000 text:t",
            id++);
        struct smpp_message_fields fields = {.command_id = SMPP_DELIVER_SM,
                                             .sequence_number = sequence,
                                             .source = from->link == SPARK_REDX ? SPARK : ONENZ,
                                             .dest = shortcode,
                                             .esm_class = 4, /* a receipt */
                                             .text = {(const uint8_t *)text, (uint32_t)strlen(text)}};
        owe(from, SMPP_DELIVER_SM, sequence);
        len += smpp_encode_message(octets + len, sizeof octets - len, &fields);
    }
    if (len > 0) {
        send_octets(from, octets, len);
    }
}

/* The accounts are of the unit tests' business; here they would only grow. */
static void forget(struct peer *p)
{
    p->inbox_len = p->inbox_read = 0;
    p->debts_len = 0;
}

static const unsigned used[] = {SPARK_REDX, ONENZ_REDX};

static void expect_answered(const struct peer *p)
{
    for (size_t i = 0; i < p->inbox_len; i++) {
        assert_int_equal(p->inbox[i]->status, ESME_ROK);
    }
}

static void window_of_receipts(struct peer *client, void (*way_down)(void), void (*way_up)(void))
{
    size_t answered = 0;
    for (unsigned i = 0; i < 2; i++) {
        send_receipts(smsc(used[i]), (window_wanted + 1 - i) / 2);
    }
    way_down();
    assert_int_equal(client->inbox_len, window_wanted);
    send_answers(client);
    forget(client);
    way_up();
    for (unsigned i = 0; i < 2; i++) {
        answered += smsc(used[i])->inbox_len;
        expect_answered(smsc(used[i]));
        forget(smsc(used[i]));
    }
    assert_int_equal(answered, window_wanted);
    forget(client);
}

static void window_of_submits(struct peer *client, void (*way_up)(void), void (*way_down)(void))
{
    size_t arrived = 0;
    send_window(client);
    way_up();
    for (unsigned i = 0; i < 2; i++) {
        arrived += smsc(used[i])->inbox_len;
        send_answers(smsc(used[i]));
        forget(smsc(used[i]));
    }
    assert_int_equal(arrived, window_wanted);
    way_down();
    assert_int_equal(client->inbox_len, window_wanted);
    expect_answered(client);
    forget(client);
}

static void messages_go_through(void **state)
{
    (void)state;
    unsigned windows = (MESSAGES_LEAST + window_wanted - 1) / window_wanted;
    void (*one_window)(struct peer *, void (*)(void), void (*)(void)) =
        receipts ? window_of_receipts : window_of_submits;
    char path[] = "/tmp/turnout-budget-XXXXXX";
    char root[128] = "";
    if (ported) {
        write_ported(path);
        snprintf(root, sizeof root, "country-code = \"64\" portability-table = \"%s\"", path);
    }
    world_begin_without_table(&(struct setup){.root = root,
                                              .client = "window = 1000 mo-window = 1000",
                                              .link = "window = 1000",
                                              .shortcodes = shortcode_list()});
    if (ported) {
        unlink(path);
    }
    world.unnumbered = true;
    make_routes();
    struct peer *client = bound(SMPP_BIND_TRANSCEIVER);
    forget(client);
    for (unsigned i = 0; i < WARM; i++) {
        one_window(client, phase_warm, phase_warm);
    }
    for (unsigned i = 0; i < windows; i++) {
        one_window(client, phase_request, phase_answer);
    }
    unsigned passed = windows * window_wanted;
    assert_int_equal(counted(counters()->numbers_read), ported ? passed + WARM * window_wanted : 0);
    printf("messages %u\n", passed);
    world_end();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(messages_go_through)};
    if (argc > 1) {
        window_wanted = (unsigned)strtoul(argv[1], NULL, 10);
    }
    ported = argc > 2 && strcmp(argv[2], "ported") == 0;
    receipts = argc > 2 && strcmp(argv[2], "receipt") == 0;
    return cmocka_run_group_tests_name("budget", tests, be_quiet, be_done);
}
