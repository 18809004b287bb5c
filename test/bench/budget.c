/* The way of a message without sockets and clock, for callgrind: test/bench/budget counts its instructions.
 *
 *   submits of a whole window ──▶ client stream │ phase_submit │ ──▶ SMSC ends
 *   their answers             ──▶ leg streams   │ phase_answer │ ──▶ client end
 *
 * What lies between the bars is counted, warm: the phases before are the same in functions of other names. The world
 * is that of the unit tests, so that what is counted is what they test. */
#include "test/unit/forward_world.h"

enum { SHORTCODES = 250, SHORTCODE_FIRST = 50000, TEXT_LEN = 140, WARM = 5, MESSAGES_LEAST = 2000 };

static unsigned window_wanted = 100;

/* One turn of the loop after the other until nothing moves. noinline: the names are callgrind's. */
__attribute__((noinline)) static void phase_submit(void)
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

/* A submit_sm of 140 octets of text from one of the shortcodes to one of the carriers. */
static size_t put_submit(uint8_t *pdu, uint32_t sequence)
{
    char shortcode[16];
    char number[16];
    size_t len = SMPP_HEADER_LEN + 1; /* service_type */
    memset(pdu, 0, SMPP_HEADER_LEN + 64);
    snprintf(shortcode, sizeof shortcode, "%u", SHORTCODE_FIRST + (unsigned)dice(SHORTCODES));
    snprintf(number, sizeof number, "642%c%07u", dice(2) == 0 ? '7' : '1', (unsigned)dice(10000000));
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
        len += smpp_encode_id_resp(octets + len, sizeof octets - len, SMPP_SUBMIT_SM | SMPP_RESPONSE_BIT,
                                   request->sequence, ESME_ROK, text, (struct smpp_span){NULL, 0});
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

static void one_window(struct peer *client, void (*way_up)(void), void (*way_down)(void))
{
    const unsigned used[] = {SPARK_REDX, ONENZ_REDX};
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
    for (size_t i = 0; i < client->inbox_len; i++) {
        assert_int_equal(client->inbox[i]->status, ESME_ROK);
    }
    forget(client);
}

static void messages_go_through(void **state)
{
    (void)state;
    unsigned windows = (MESSAGES_LEAST + window_wanted - 1) / window_wanted;
    world_begin_without_table(
        &(struct setup){.client = "window = 1000", .link = "window = 1000", .shortcodes = shortcode_list()});
    world.unnumbered = true;
    make_routes();
    struct peer *client = bound(SMPP_BIND_TRANSCEIVER);
    forget(client);
    for (unsigned i = 0; i < WARM; i++) {
        one_window(client, phase_warm, phase_warm);
    }
    for (unsigned i = 0; i < windows; i++) {
        one_window(client, phase_submit, phase_answer);
    }
    printf("messages %u\n", windows * window_wanted);
    world_end();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(messages_go_through)};
    if (argc > 1) {
        window_wanted = (unsigned)strtoul(argv[1], NULL, 10);
    }
    return cmocka_run_group_tests_name("budget", tests, be_quiet, be_done);
}
