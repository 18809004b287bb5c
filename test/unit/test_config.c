/* Config files: what a good one means, what is said of a bad one and at which line, and that a reload keeps
 * numbers. Bad files are made from a good one by putting another text in the place of one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/config.h"
#include "proxy/config_file.h"
#include "routing/numbers_build.h"
#include "smpp/constants.h"

#define HASH "$y$j9T$sXx49dla0ns5ntASPInf2/$Y9vvgPBFdy5B0rlMBDVfpqyQBtD5ehKsBloFY4fiWJ8"

static const char *const good[] = {
    /* 1 */ "workers = 1 # of 2",
    /* 2 */ "listener \"plain\" { port = 2775 }",
    /* 3 */ "platform \"redx\" {}",
    /* 4 */ "platform \"omni\" {}",
    /* 5 */ "carrier \"spark\" { prefixes = { \"6425\", \"6427\" } }",
    /* 6 */ "carrier \"onenz\" { prefixes = { \"6421\" } }",
    /* 7 */ "link spark-redx { carrier = spark platform = redx host = h port = 1 system-id = a }",
    /* 8 */ "link spark-omni { carrier = spark platform = omni host = h port = 1 credentials = client }",
    /* 9 */ ("client \"acme\" { password-hash = \"" HASH "\" shortcodes = { \"5001\" }"),
    /* 10 */ "    upstream \"spark-omni\" { system-id = \"u\" }",
    /* 11 */ "}",
    /* 12 */ "redis {}",
};
enum { GOOD_LINES = sizeof good / sizeof good[0] };

/* --- a directory for the files --- */

static char directory[] = "/tmp/test_config.XXXXXX";
static char path[64];
static struct config_ids ids;

static char *in_directory(const char *name)
{
    char *file = NULL;
    assert_true(asprintf(&file, "%s/%s", directory, name) > 0);
    return file;
}

static void write_bytes(const char *file, const void *data, size_t len)
{
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, len, out), len);
    assert_int_equal(fclose(out), 0);
}

static void write_text(const char *file, const char *text)
{
    write_bytes(file, text, strlen(text));
}

/* The good file, with text in the place of a line (0: of none). */
static void write_good(int line, const char *text)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    for (int i = 1; i <= GOOD_LINES; i++)
        fprintf(out, "%s\n", i == line ? text : good[i - 1]);
    assert_int_equal(fclose(out), 0);
}

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/turnout.conf", directory);
    return 0;
}

static void remove_file(const char *name)
{
    char *file = in_directory(name);
    unlink(file);
    free(file);
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const names[] = {"turnout.conf", "server.pem", "server.key",
                                        "omni-ca.pem",  "password",   "numbers"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        remove_file(names[i]);
    config_ids_free(&ids);
    return rmdir(directory);
}

/* --- reading --- */

static char error[16384];

static struct config *read_good(void)
{
    struct config *config = config_read(path, &ids, error, sizeof error);
    if (config == NULL)
        fail_msg("refused: %s", error);
    assert_string_equal(error, "");
    return config;
}

static struct config *read_text(const char *text)
{
    write_text(path, text);
    return read_good();
}

static struct config *read_with(int line, const char *text)
{
    write_good(line, text);
    return read_good();
}

/* Refused with exactly one fault, at this line (0: of the file as a whole), which begins with says. */
static void expect_fault(int line, const char *says)
{
    char begin[512];
    if (line == 0)
        snprintf(begin, sizeof begin, "%s: %s", path, says);
    else
        snprintf(begin, sizeof begin, "%s:%d: %s", path, line, says);
    assert_null(config_read(path, &ids, error, sizeof error));
    if (strncmp(error, begin, strlen(begin)) != 0 || strchr(error, '\n') != NULL)
        fail_msg("expected: %s\nfound:    %s", begin, error);
}

static bool has_fault(int line, const char *says)
{
    char begin[512];
    snprintf(begin, sizeof begin, "%s:%d: %s", path, line, says);
    return strstr(error, begin) != NULL;
}

/* --- what a good file means --- */

enum { S = 1000000000 };

static void check_root_defaults(const struct config *c)
{
    char host[64] = "";
    char instance[128];
    gethostname(host, sizeof host - 1);
    snprintf(instance, sizeof instance, "%s-%ld", host, (long)getpid());
    assert_string_equal(c->instance, instance);
    assert_string_equal(c->file, path);
    assert_null(c->state_directory);
    assert_int_equal(c->workers, 1);
    assert_string_equal(c->default_carrier, "");
    assert_int_equal(c->session_init, 5ULL * S);
    assert_int_equal(c->partial_timeout, 10ULL * S);
    assert_int_equal(c->drain, 10ULL * S);
    assert_int_equal(c->linger, 72ULL * 3600 * S);
    assert_int_equal(c->max_pdu_open, 4096);
    assert_int_equal(c->max_pdu_bound, 71680);
    assert_int_equal(c->max_sessions, 10000);
    assert_int_equal(c->max_unbound, 1000);
    assert_int_equal(c->auth_queue, 256);
    assert_int_equal(c->out_limit, 1048576);
    assert_int_equal(c->message_ids, 1048576);
    assert_int_equal(c->message_id_ttl, 72ULL * 3600 * S);
    assert_null(c->warnings);
}

static void check_service_defaults(const struct config *c)
{
    assert_string_equal(c->redis.host, "127.0.0.1");
    assert_int_equal(c->redis.port, 6379);
    assert_null(c->redis.unix_path);
    assert_null(c->redis.username);
    assert_null(c->redis.password);
    assert_int_equal(c->redis.database, 0);
    assert_string_equal(c->redis.prefix, "{turnout}");
    assert_int_equal(c->redis.beat, 2ULL * S);
    assert_int_equal(c->redis.lease, 10ULL * S);
    assert_int_equal(c->redis.timeout, 2ULL * S);
    assert_int_equal(c->redis.reconnect_min, S / 10);
    assert_int_equal(c->redis.reconnect_max, 5ULL * S);
    assert_true(c->admin.enabled);
    assert_string_equal(c->admin.address, "127.0.0.1");
    assert_int_equal(c->admin.port, 9775);
    assert_true(c->log.json);
    assert_int_equal(c->log.level, LOG_INFO);
    assert_null(c->log.file);
    assert_int_equal(c->listeners_count, 1);
    assert_string_equal(c->listeners[0].name, "plain");
    assert_string_equal(c->listeners[0].address, "0.0.0.0");
    assert_int_equal(c->listeners[0].port, 2775);
    assert_false(c->listeners[0].tls);
    assert_null(c->listeners[0].certificate);
    assert_null(c->listeners[0].key);
    assert_int_equal(c->listeners[0].backlog, 1024);
}

static void check_link_defaults(const struct config_link *l)
{
    assert_string_equal(l->name, "spark-redx");
    assert_string_equal(l->host, "h");
    assert_int_equal(l->port, 1);
    assert_false(l->tls);
    assert_null(l->ca);
    assert_null(l->certificate);
    assert_null(l->key);
    assert_null(l->tls_name);
    assert_true(l->tls_verify);
    assert_int_equal(l->credentials, CREDENTIALS_OWN);
    assert_string_equal(l->system_id, "a");
    assert_null(l->password);
    assert_null(l->system_type);
    assert_null(l->address_range);
    assert_int_equal(l->interface_version, 0);
    assert_int_equal(l->window, 100);
    assert_int_equal(l->connect_timeout, 10ULL * S);
    assert_int_equal(l->bind_timeout, 10ULL * S);
    assert_int_equal(l->enquire_link, 30ULL * S);
    assert_int_equal(l->response_timeout, 20ULL * S);
    assert_int_equal(l->reconnect_min, S / 2);
    assert_int_equal(l->reconnect_max, 30ULL * S);
}

static void check_client_defaults(const struct config_client *a)
{
    assert_string_equal(a->system_id, "acme");
    assert_string_equal(a->password_hash, HASH);
    assert_false(a->any_shortcode);
    assert_int_equal(a->networks_count, 0);
    assert_int_equal(a->bind_types, BIND_TRANSMITTER | BIND_RECEIVER | BIND_TRANSCEIVER);
    assert_int_equal(a->max_binds, 4);
    assert_int_equal(a->window, 100);
    assert_int_equal(a->mo_window, 100);
    assert_int_equal(a->bind_answer, BIND_ANSWER_FIRST);
    assert_int_equal(a->hold_budget, 1500000000);
    assert_int_equal(a->wait_count, 100);
    assert_int_equal(a->wait_bytes, 1048576);
    assert_int_equal(a->hold_refusal, ESME_RMSGQFUL);
    assert_int_equal(a->closed_refusal, ESME_RMSGQFUL);
    assert_int_equal(a->unknown_outcome, ESME_RSYSERR);
    assert_false(a->nul_in_refusal);
    assert_int_equal(a->enquire_link, 30ULL * S);
    assert_int_equal(a->response_timeout, 20ULL * S);
    assert_int_equal(a->inactivity, 0);
    assert_int_equal(a->upstreams_count, 1);
    assert_string_equal(a->upstreams[0].system_id, "u");
    assert_null(a->upstreams[0].password);
    assert_null(a->upstreams[0].system_type);
}

static void test_defaults(void **state)
{
    (void)state;
    struct config *c = read_with(0, "");
    check_root_defaults(c);
    check_service_defaults(c);
    check_link_defaults(&c->links[0]);
    check_client_defaults(&c->clients[0]);
    assert_int_equal(c->carriers[0].mo_refusal, ESME_RMSGQFUL);
    config_free(c);
}

static unsigned carrier_of(const struct config *c, const char *number)
{
    return carrier_map_find(c->carrier_map, (const uint8_t *)number, strlen(number));
}

static void test_links_and_carriers_are_found(void **state)
{
    (void)state;
    struct config *c = read_with(1, "default-carrier = \"onenz\"");
    uint8_t spark = names_find(&ids.names, "spark");
    uint8_t onenz = names_find(&ids.names, "onenz");
    uint8_t redx = names_find(&ids.names, "redx");
    uint8_t omni = names_find(&ids.names, "omni");
    assert_ptr_equal(c->link_of[spark][redx], &c->links[0]);
    assert_ptr_equal(c->link_of[spark][omni], &c->links[1]);
    assert_null(c->link_of[onenz][redx]);
    assert_ptr_equal(c->carrier_of[onenz], &c->carriers[1]);
    assert_null(c->carrier_of[redx]);
    assert_int_equal(carrier_of(c, "64251234567"), spark);
    assert_int_equal(carrier_of(c, "+64211234567"), onenz);
    assert_int_equal(carrier_of(c, "4420"), onenz);
    assert_ptr_equal(c->link_at[c->links[1].index], &c->links[1]);
    assert_ptr_equal(config_upstream(&c->clients[0], c->links[1].index), &c->clients[0].upstreams[0]);
    assert_null(config_upstream(&c->clients[0], c->links[0].index));
    config_free(c);
}

static struct numbers_image table_image(const char *number, const char *carrier)
{
    struct numbers_builder *builder = numbers_builder_new();
    struct numbers_image image;
    assert_null(numbers_builder_add(builder, number, carrier, 1));
    assert_true(numbers_build(builder, "first", 0, NULL, NULL, &image));
    numbers_builder_free(builder);
    return image;
}

static void write_table(const char *file, const char *number, const char *carrier)
{
    struct numbers_image image = table_image(number, carrier);
    write_bytes(file, image.data, image.size);
    munmap(image.data, image.size);
}

static void expect_choice(const struct config *c, const char *number, const char *carrier, unsigned step)
{
    struct number_read read;
    struct carrier_choice choice = carrier_choose_read(c->carrier_map, NULL, NUMBER_TON_UNKNOWN,
                                                       (const uint8_t *)number, strlen(number), &read);
    assert_int_equal(choice.step, step);
    assert_int_equal(choice.carrier, names_find(&ids.names, carrier));
}

static void test_numbers_have_carriers(void **state)
{
    (void)state;
    char text[512];
    char *file = in_directory("numbers");
    snprintf(text, sizeof text, "portability-table = \"%s\" number-overrides = { \"64259*=onenz\" }", file);
    write_table(file, "64251234567", "onenz");
    struct config *c = read_with(1, text);
    expect_choice(c, "64251234567", "onenz", CARRIER_BY_TABLE);
    expect_choice(c, "64251234568", "spark", CARRIER_BY_PREFIX);
    expect_choice(c, "64259", "onenz", CARRIER_BY_OVERRIDE);
    assert_string_equal(numbers_about(c->numbers).version, "first");
    config_free(c);
    free(file);
}

static void test_national_numbers_are_read(void **state)
{
    (void)state;
    struct config *c = read_with(1, "workers = 1");
    expect_choice(c, "0064251234567", "spark", CARRIER_BY_PREFIX);
    expect_choice(c, "0251234567", "nobody", CARRIER_BY_NONE);
    config_free(c);
    c = read_with(1, "country-code = \"64\"");
    expect_choice(c, "0251234567", "spark", CARRIER_BY_PREFIX);
    config_free(c);
}

static void test_a_bad_table_is_refused_by_name(void **state)
{
    (void)state;
    char text[512], says[512];
    char *file = in_directory("numbers");
    struct numbers_image image = table_image("64251234567", "skinny");
    snprintf(text, sizeof text, "portability-table = \"%s\"", file);
    write_bytes(file, image.data, image.size);
    write_good(1, text);
    snprintf(says, sizeof says,
             "portability-table \"%s\" names carrier \"skinny\", which this file does not have; known: "
             "spark, onenz",
             file);
    expect_fault(1, says);
    ((char *)image.data)[image.size - 1] ^= 1;
    write_bytes(file, image.data, image.size);
    assert_null(config_read(path, &ids, error, sizeof error));
    assert_non_null(strstr(error, "has checksum"));
    write_bytes(file, image.data, image.size - 1);
    assert_null(config_read(path, &ids, error, sizeof error));
    assert_non_null(strstr(error, "it was cut short"));
    munmap(image.data, image.size);
    config_free(read_with(0, ""));
    free(file);
}

static void append_clients(FILE *out, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fprintf(out,
                "client \"%s\" { password-hash = \"" HASH
                "\" shortcodes = { \"*\" } upstream \"spark-omni\" { "
                "system-id = \"u\" } }\n",
                names[i]);
}

static void test_clients_are_found(void **state)
{
    (void)state;
    static const char *const names[] = {"zz", "b", "acmf", "acm", "acmee", "B", "a b"};
    write_good(0, "");
    FILE *out = fopen(path, "a");
    append_clients(out, names, 7);
    fclose(out);
    struct config *c = read_good();
    assert_int_equal(c->clients_count, 8);
    for (size_t i = 0; i < 7; i++) {
        const struct config_client *client = config_client(c, (const uint8_t *)names[i], strlen(names[i]));
        assert_non_null(client);
        assert_string_equal(client->system_id, names[i]);
        assert_ptr_equal(c->client_at[client->index], client);
    }
    assert_null(config_client(c, (const uint8_t *)"acmeee", 6));
    assert_null(config_client(c, (const uint8_t *)"ac", 2));
    assert_null(config_client(c, (const uint8_t *)"", 0));
    assert_null(config_client(c, (const uint8_t *)"acme\0x", 6));
    config_free(c);
}

static bool owns(const struct config *c, const char *shortcode)
{
    return config_client_owns(&c->clients[0], (const uint8_t *)shortcode, strlen(shortcode));
}

static void test_shortcodes(void **state)
{
    (void)state;
    struct config *c = read_with(9, "client \"acme\" { password-hash = \"" HASH
                                    "\" shortcodes = { \"777\", \"50\", \"5001\" }");
    assert_true(owns(c, "777"));
    assert_true(owns(c, "50"));
    assert_true(owns(c, "5001"));
    assert_false(owns(c, "500"));
    assert_false(owns(c, "50011"));
    assert_false(owns(c, ""));
    config_free(c);
    c = read_with(9, "client \"acme\" { password-hash = \"" HASH "\" shortcodes = \"*\"");
    assert_true(owns(c, "anything"));
    config_free(c);
}

/* Of every length, and so many that they share places in a hash table. */
static void test_many_shortcodes(void **state)
{
    (void)state;
    enum { COUNT = 600, LENGTHS = 14 };
    static char line[COUNT * 24];
    char shortcode[24];
    size_t len = (size_t)sprintf(line, "client \"acme\" { password-hash = \"" HASH "\" shortcodes = {");
    for (unsigned i = 0; i < COUNT; i++)
        len +=
            (size_t)sprintf(line + len, "%s \"%0*u\"", i == 0 ? "" : ",", 3 + (int)(i % LENGTHS), 3 * i + 1);
    sprintf(line + len, " }");
    struct config *c = read_with(9, line);
    for (unsigned i = 0; i < 3 * COUNT + 5; i++) {
        for (int width = 1; width <= 3 + LENGTHS; width++) {
            char own[24];
            sprintf(shortcode, "%0*u", width, i);
            sprintf(own, "%0*u", 3 + (int)(i / 3 % LENGTHS), i);
            bool there = i % 3 == 1 && i / 3 < COUNT && strcmp(own, shortcode) == 0;
            assert_int_equal(owns(c, shortcode), there);
        }
    }
    config_free(c);
}

static bool allows(const struct config *c, const char *address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
        return config_client_allows(&c->clients[0], (const struct sockaddr *)&v4);
    assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
    return config_client_allows(&c->clients[0], (const struct sockaddr *)&v6);
}

static void test_networks(void **state)
{
    (void)state;
    struct config *c =
        read_with(10, "upstream \"spark-omni\" { system-id = u }\nnetworks = { \"192.0.2.64/26\", "
                      "\"2001:db8:8000::/33\", \"198.51.100.7\" }");
    assert_true(allows(c, "192.0.2.64"));
    assert_true(allows(c, "192.0.2.127"));
    assert_false(allows(c, "192.0.2.63"));
    assert_false(allows(c, "192.0.2.128"));
    assert_true(allows(c, "::ffff:192.0.2.100"));
    assert_false(allows(c, "::ffff:192.0.3.100"));
    assert_true(allows(c, "198.51.100.7"));
    assert_false(allows(c, "198.51.100.6"));
    assert_true(allows(c, "2001:db8:8000::1"));
    assert_false(allows(c, "2001:db8:7fff::1"));
    assert_false(config_client_allows(&c->clients[0], NULL));
    config_free(c);
    c = read_with(10, "upstream \"spark-omni\" { system-id = u }\nnetworks = { \"0.0.0.0/0\" }");
    assert_true(allows(c, "203.0.113.9"));
    assert_false(allows(c, "2001:db8::1"));
    config_free(c);
}

static void test_sentinels(void **state)
{
    (void)state;
    struct config *c = read_with(
        12, "redis { sentinels = { \"10.0.0.1:26380\", h } master = m sentinel-password = \"s3cret\" }");
    assert_int_equal(c->redis.sentinels_count, 2);
    assert_string_equal(c->redis.sentinels[0], "10.0.0.1:26380");
    assert_string_equal(c->redis.sentinels[1], "h");
    assert_string_equal(c->redis.master, "m");
    assert_string_equal(c->redis.sentinel_password, "s3cret");
    assert_null(c->redis.password);
    /* The same list needs no restart, another does. */
    struct config *same = read_with(12, "redis { sentinels = { \"10.0.0.1:26380\", h } master = m "
                                        "sentinel-password = \"s3cret\" }");
    struct config *other = read_with(12, "redis { sentinels = { \"10.0.0.1:26380\", i } master = m "
                                         "sentinel-password = \"s3cret\" }");
    char text[64];
    config_needs_restart(c, same, text, sizeof text);
    assert_string_equal(text, "");
    config_needs_restart(c, other, text, sizeof text);
    assert_string_equal(text, "redis");
    config_free(c);
    config_free(same);
    config_free(other);
}

static void test_passwords(void **state)
{
    (void)state;
    char *file = in_directory("password");
    char text[256];
    write_text(file, "pässw0rd\r\nsecond line\n");
    snprintf(text, sizeof text, "redis { password-file = \"%s\" }", file);
    struct config *c = read_with(12, text);
    assert_string_equal(c->redis.password, "pässw0rd");
    config_free(c);
    c = read_with(12, "redis { password = 's3\"cret' }");
    assert_string_equal(c->redis.password, "s3\"cret");
    config_free(c);
    assert_int_equal(setenv("TEST_CONFIG_PASSWORD", "from outside", 1), 0);
    c = read_with(12, "redis { password = \"${TEST_CONFIG_PASSWORD}\" }");
    assert_string_equal(c->redis.password, "from outside");
    config_free(c);
    snprintf(text, sizeof text, "redis { password = \"topsecret\"\npassword-file = \"%s\" }", file);
    write_good(12, text);
    expect_fault(13, "password-file \"");
    write_text(file, "");
    snprintf(text, sizeof text, "redis { password-file = \"%s\" }", file);
    write_good(12, text);
    expect_fault(12, "password-file \"");
    assert_non_null(strstr(error, "has no first line"));
    free(file);
}

/* --- faults --- */

/* In the place of line `at`; the fault is at line `line`. */
static const struct {
    long at;
    const char *text;
    long line;
    const char *says;
} faults[] = {
    /* names */
    {1, "wrokers = 2", 1, "unknown name \"wrokers\" (outside of sections); did you mean \"workers\"?"},
    {1, "/* one\n two */ # three\nwrokers = 2", 3, "unknown name \"wrokers\""},
    {1, "zzzzzzzzzz = 2", 1,
     "unknown name \"zzzzzzzzzz\" (outside of sections); known are workers, instance"},
    {1, "listner \"x\" { }", 1, "unknown name \"listner\" (outside of sections); did you mean \"listener\"?"},
    {1, "worker = { 1, 2 }", 1, "unknown name \"worker\" (outside of sections); did you mean \"workers\"?"},
    {10, "upstream \"spark-omni\" { system-id = u }\n\nhold-bugdet = 1s", 12,
     "unknown name \"hold-bugdet\" (client); did you mean \"hold-budget\"?"},
    {10, "upstream \"spark-omni\" { system-id = u\n passwort = x }", 11,
     "unknown name \"passwort\" (upstream); did you mean \"password\"?"},
    {3, "platform \"redx\" { a = b }", 3, "unknown name \"a\" (platform); none is allowed here"},
    {1, "redis|host = \"x\"", 1, "\"host\" is an option of another section"},
    {12, "redis { \"\" = 3 }", 0, "an option without a name"},
    /* syntax */
    {1, "workers", 2, "missing equal sign after option 'workers'"},
    {1, "workers = { 1 }", 1, "unexpected token '{'"},
    {1, "= 3", 1, "unexpected token '='"},
    {1, "workers = \"2", 1, "a string has no end; it must end on its line with \""},
    {1, "workers = '2", 1, "a string has no end; it must end on its line with '"},
    {1, "workers = \"${X\"", 1, "${ has no end; close it with }"},
    {1, "workers = ${X", 1, "${ has no end; close it with }"},
    {1, "\n/* for ever", 2, "a comment has no end; close it with */"},
    {12, "redis {\n\n", 12, "{ has no end; close it with }"},
    {12, "redis { } }", 12, "} without {"},
    {12, "{{{{{{{{{}}}}}}}}}", 12, "braces within braces"},
    {12, "instance = \"\\400\"", 12, "invalid octal number"},
    /* values */
    {1, "\n\nworkers = 0", 3, "workers \"0\" is out of range; allowed: 1 to 64"},
    {1, "# c\nworkers = 65", 2, "workers \"65\" is out of range; allowed: 1 to 64"},
    {1, "workers = two", 1, "workers \"two\" is no number; allowed: 1 to 64"},
    {1, "workers = 1\nworkers = 2", 2, "\"workers\" is given again, first in line 1; give it once"},
    {1, "drain = 10", 1, "drain \"10\" has no unit; allowed: 0us to 10m (units: us, ms, s, m, h)"},
    {1, "state-directory = \"/nonexistent\"", 1,
     "state-directory \"/nonexistent\" cannot be used: No such file"},
    {1, "state-directory = \"/etc/passwd\"", 1, "state-directory \"/etc/passwd\" "},
    {1, "instance = \"a b\"", 1, "instance \"a b\" has a bad character; allowed: letters"},
    {1, "instance = \"\\033[2J\"", 1, "instance \"?[2J\" has a control character"},
    {1, "max-pdu-open = 64k max-pdu-bound = 32k", 1, "max-pdu-open is more than max-pdu-bound"},
    {1, "out-limit = 10k", 1, "max-pdu-bound is more than out-limit"},
    {1, "default-carrier = \"sprak\"", 1, "there is no carrier \"sprak\"; known: spark, onenz"},
    {2, "listener \"plain\" { port = 65536 }", 2, "port \"65536\" is out of range; allowed: 0 to 65535"},
    {2, "listener \"plain\" { port = 2775\n address = \"localhost\" }", 3,
     "address \"localhost\" is no address"},
    {2, "listener \"plain\" {\n }", 2, "listener \"plain\" lacks port"},
    {2, "listener \"a\" { port = 1 }\nlistener \"b\" { port = 1 }", 3,
     "address and port are those of listener \"a\""},
    {2, "listener \"plain\" { port = 1\ntls = true certificate = \"/etc/passwd\" }", 3,
     "listener \"plain\" has tls = true but no key; give one"},
    {2, "listener \"plain\" { port = 1\ntls = true key = \"/etc/passwd\" }", 3,
     "listener \"plain\" has tls = true but no certificate; give one"},
    {2, "listener \"plain\" { port = 1 tls = true\nkey = \"/etc/passwd\"\ncertificate = \"/nonexistent\" }",
     4,
     "certificate \"/nonexistent\" cannot be used: No such file or directory; allowed: the name of a file"},
    {2, "listener \"plain\" { port = 1 tls = true\nkey = \"/etc/passwd\"\ncertificate = \"/etc\" }", 4,
     "certificate \"/etc\" is a directory"},
    {2, "", 0, "has no listener section; at least one is needed"},
    /* titles */
    {2, "listener \"plain\" { port = 1 }\nlistener \"other\" { port = 3 }\nlistener \"plain\" {\n port = 2 }",
     4, "listener \"plain\" is there twice"},
    {3, "platform \"redx\" {} platform\n\"redx\" {}", 4, "platform \"redx\" is there twice"},
    {3, "platform \"redx\" {} platform \"a b\" {}", 3,
     "\"a b\" is no name of a platform; allowed: 1 to 31 letters"},
    {3, "platform \"redx\" {} platform \"\" {}", 3, "\"\" is no name of a platform"},
    {3, "platform \"redx\" {} platform \"-\" {}", 3, "\"-\" is no name of a platform"},
    {3, "platform redx {} platform a2345678901234567890123456789012 {}", 3,
     "\"a2345678901234567890123456789012\" is"},
    {12, "redis { } redis { }", 12, "redis is there twice; put both into one"},
    /* carriers and links */
    {6, "carrier \"onenz\" { prefixes = { \"6421\",\n \"6427\" } }", 7,
     "prefix \"6427\" of carrier \"onenz\" is already that of carrier \"spark\""},
    {6, "carrier \"onenz\" { prefixes = {\n # c\n \"64x\" } }", 8,
     "prefix \"64x\" is no number; allowed: 1 to 15"},
    {6, "carrier \"onenz\" { mo-refusal = ESME_ROK }", 6, "mo-refusal \"ESME_ROK\" would accept a message"},
    {7,
     "link \"spark-redx\" {\n carrier = \"sprk\" platform = \"redx\" host = \"h\" port = 1 system-id = \"a\" "
     "}",
     8, "there is no carrier \"sprk\"; known: spark, onenz"},
    {7,
     "link \"spark-redx\" {\n carrier = \"spark\" platform = \"rdx\" host = \"h\" port = 1 system-id = \"a\" "
     "}",
     8, "there is no platform \"rdx\"; known: redx, omni"},
    {7, "link \"spark-redx\" { carrier = \"spark\" host = \"h\" port = 1 system-id = \"a\" }", 7,
     "link \"spark-redx\" lacks platform"},
    {7,
     "link \"l\" { carrier = \"spark\" platform = \"redx\" host = \"h\" port = 1 system-id = \"a\" }\nlink "
     "\"m\" {\n"
     "carrier = \"spark\" platform = \"redx\" host = \"i\" port = 1 system-id = \"a\" }",
     8, "link \"m\" is for carrier \"spark\" and platform \"redx\", as link \"l\" is"},
    {7, "link \"l\" { carrier = \"spark\" platform = \"redx\" host = \"h\" port = 1\ncredentials = own }", 8,
     "link \"l\" has credentials = own but no system-id"},
    {7,
     "link \"l\" { carrier = \"spark\" platform = \"redx\" host = \"h\" port = 1 system-id = \"a\"\n"
     "password = \"hidden7890123456789012345678901234567890123456789012345678901234X\" }",
     8, "password is too long; allowed: 0 to 64 characters"},
    {7,
     "link \"l\" { carrier = \"spark\" platform = \"redx\" host = \"h\" port = 1 system-id = \"a\"\n"
     "system-type = \"1234567890123\" }",
     8, "system-type \"1234567890123\" is too long; allowed: 0 to 12"},
    {7,
     "link \"l\" { carrier = \"spark\" platform = \"redx\" host = \"h\" port = 1 system-id = \"a\"\n"
     "reconnect-min = 1m }",
     8, "reconnect-min is more than reconnect-max"},
    {7,
     "link \"l\" { carrier = \"spark\" platform = \"redx\" host = \"h\" port = 1 system-id = \"a\"\n"
     "key = \"/etc/passwd\" }",
     8, "certificate and key go together"},
    {7,
     "link \"l\" { carrier = \"spark\" platform = \"redx\" host = \"h\" port = 1 system-id = \"a\" tls = "
     "true\n"
     "ca = \"/nonexistent\" }",
     8, "ca \"/nonexistent\" cannot be used: No such file"},
    /* clients */
    {9, "client \"acme\" { password-hash = \"topsecret\" shortcodes = { \"5001\" }", 9,
     "password-hash is no hash that libcrypt takes; allowed: a yescrypt"},
    {9, "client \"acme\" { shortcodes = { \"5001\" }", 9, "client \"acme\" lacks password-hash"},
    {9, "client \"acme\" { password-hash = \"" HASH "\" shortcodes = { }", 9,
     "client \"acme\" lacks shortcodes"},
    {9, "client \"acme\" { password-hash = \"" HASH "\" shortcodes = { * }", 9,
     "client \"acme\" lacks shortcodes"},
    {9, "client \"acme\" { password-hash = \"" HASH "\"\nshortcodes = { \"1\", \"*\" }", 10,
     "shortcodes has \"*\""},
    {9, "client \"acme\" { password-hash = \"" HASH "\"\nshortcodes = { \"1\", \"1\" }", 10,
     "shortcode \"1\" is there twice"},
    {9, "client \"acme\" { password-hash = \"" HASH "\"\nshortcodes = { \"1\" } shortcodes = { \"2\" }", 10,
     "\"shortcodes\" is given again"},
    {9,
     "client \"acme\" { password-hash = \"" HASH "\" shortcodes = { \"5001\" } networks = { \"10.0.0.0/8\",\n"
     "\"10.0.0.1/8\" }",
     10, "networks \"10.0.0.1/8\" has bits set after its prefix; allowed: networks such as"},
    {9, "client \"acme\" { password-hash = \"" HASH "\" shortcodes = { \"5001\" }\nhold-budget = 61s", 10,
     "hold-budget \"61s\" is out of range; allowed: 0us to 1m"},
    {9,
     "client \"acme\" { password-hash = \"" HASH
     "\" shortcodes = { \"5001\" }\nbind-types = { receiver, sender }",
     10, "bind-types \"sender\" is unknown; allowed: transmitter, receiver, transceiver"},
    {10, "upstream \"spark-omni\" { system-id = u }\nupstream \"spark\" {\n system-id = u }", 11,
     "there is no link \"spark\"; known: spark-redx, spark-omni"},
    {10, "upstream \"spark-omni\" { }", 10, "upstream \"spark-omni\" lacks system-id"},
    {10, "upstream \"spark-omni\" { system-id = u }\nupstream \"spark-omni\" { system-id = v }", 11,
     "upstream \"spark-omni\" is there twice"},
    {11, "} client \"acme\" { password-hash = \"" HASH "\" shortcodes = { \"5001\" } }", 11,
     "client \"acme\" is there"},
    /* numbers */
    {1, "number-overrides = { \"6421=spark\",\n\"6422\" }", 2,
     "number-overrides: \"6422\" is no NUMBER=CARRIER"},
    {1, "workers = 1\nnumber-overrides = { \"64x=spark\" }", 2,
     "number-overrides: \"64x=spark\" is no number; allowed"},
    {1, "number-overrides = { \"0064211=spark\" }", 1,
     "number-overrides: \"0064211\" is not in the international form; allowed: 64211 ("},
    {1, "country-code = \"64\"\nnumber-overrides = { \"021*=spark\" }", 2,
     "number-overrides: \"021*\" is not in the international form; allowed: 6421 ("},
    {1, "workers = 1\ncountry-code = \"+64\"", 2,
     "country-code \"+64\" is no country code; allowed: 1 to 3 digits"},
    {1, "workers = 1\nnational-prefix = \"x\"", 2, "national-prefix \"x\" is no prefix of digits; allowed"},
    {1, "number-overrides = { \"6421=\" }", 1, "number-overrides: \"6421=\" has no carrier's name"},
    {1, "number-overrides = { \"6421=skinny\" }", 1,
     "number-overrides names carrier \"skinny\", which this file does not have; known: spark, onenz"},
    {1, "number-overrides = { \"6421=redx\" }", 1, "number-overrides names carrier \"redx\", which"},
    {1, "number-overrides = { \"6421=spark\",\n\"6421=onenz\" }", 2,
     "number-overrides: 6421 is of onenz here, and of spark in line 1"},
    {1, "portability-table = \"/nonexistent\"", 1, "portability-table \"/nonexistent\" cannot be used"},
    {1, "portability-table = \"/etc/passwd\"", 1,
     "portability-table \"/etc/passwd\" is no portability table; \""},
    /* the rest */
    {12, "redis { beat = 1s\nlease = 1s }", 13, "lease is less than two beats"},
    {12, "redis { beat = 8s }", 12, "lease is less than two beats"},
    {12, "redis { sentinels = { \"h:1\",\n\"h:x\" } master = m }", 12,
     "sentinels: \"h:x\" cannot be used: the port is not a number from 1 to 65535"},
    {12, "redis { sentinels = \"h\" }", 12, "sentinels and master go together"},
    {12, "redis { master = m }", 12, "sentinels and master go together"},
    {12, "redis { prefix = \"turnout\" }", 12, "prefix \"turnout\" has no part in braces"},
    {12, "redis { prefix = \"{}turnout\" }", 12, "prefix \"{}turnout\" has no part in braces"},
    {12, "log { level = verbose }", 12, "level \"verbose\" is unknown; allowed: error, warning, info, debug"},
    {12, "admin { enabled = perhaps }", 12,
     "enabled \"perhaps\" is neither true nor false; allowed: true, false"},
    {12, "admin { port = -1 }", 12, "port \"-1\" is no number; allowed: 0 to 65535"},
};

static void test_each_fault_has_its_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        write_good((int)faults[i].at, faults[i].text);
        expect_fault((int)faults[i].line, faults[i].says);
        assert_null(strstr(error, "topsecret"));
        assert_null(strstr(error, "hidden7890"));
        config_free(read_with(0, "")); /* libconfuse has recovered */
    }
}

static void test_all_faults_at_once(void **state)
{
    (void)state;
    write_good(1, "workers = 0\nwrokers = 1\ndrain = 1\n"
                  "listener \"t\" { port = x }\n"
                  "carrier \"c\" { prefixes = { \"6425\" } mo-refusal = x }\n"
                  "client \"x\" { upstream \"nowhere\" { system-id = y } }\n"
                  "log { level = x }");
    assert_null(config_read(path, &ids, error, sizeof error));
    assert_true(has_fault(1, "workers"));
    assert_true(has_fault(2, "unknown name \"wrokers\""));
    assert_true(has_fault(3, "drain"));
    assert_true(has_fault(4, "port"));
    assert_true(has_fault(5, "mo-refusal"));
    assert_true(has_fault(6, "client \"x\" lacks password-hash"));
    assert_true(has_fault(6, "client \"x\" lacks shortcodes"));
    assert_true(has_fault(6, "there is no link \"nowhere\""));
    assert_true(has_fault(7, "level"));
    assert_true(has_fault(11, "prefix \"6425\" of carrier \"spark\" is already that of carrier \"c\""));
}

static void test_faults_fit_any_buffer(void **state)
{
    (void)state;
    FILE *out = fopen(path, "w");
    for (int i = 0; i < 1000; i++)
        fprintf(out, "unknown%d = 1\n", i);
    fclose(out);
    for (size_t cap = 0; cap < 700; cap += 7) {
        memset(error, '#', sizeof error);
        assert_null(config_read(path, &ids, error, cap));
        assert_true(cap == 0 || memchr(error, '\0', cap) != NULL);
        assert_int_equal(error[cap], '#');
        if (cap > 300)
            assert_non_null(strstr(error, " or more"));
    }
}

/* libconfuse ends the process where the default of an option cannot be read: a section after more faults than are
 * kept must not come to that. */
static void test_a_section_after_too_many_faults(void **state)
{
    (void)state;
    FILE *out = fopen(path, "w");
    for (int i = 0; i < FAULTS_MAX + 10; i++)
        fprintf(out, "unknown%d = 1\n", i);
    fprintf(out, "platform \"redx\" {}\nplatform \"omni\" { bogus = 1 }\n");
    fclose(out);
    assert_null(config_read(path, &ids, error, sizeof error));
    assert_true(has_fault(1, "unknown name \"unknown0\""));
}

static void test_a_long_list_of_the_known_ends_between_names(void **state)
{
    (void)state;
    write_good(1, "zzzzzzzzzz = 2");
    assert_null(config_read(path, &ids, error, sizeof error));
    const char *end = strrchr(error, ',');
    assert_non_null(end);
    assert_string_equal(end, ", ...");
    assert_null(strstr(error, ", ..., ..."));
}

static void test_files_that_are_none(void **state)
{
    (void)state;
    assert_null(config_read("/nonexistent/x", &ids, error, sizeof error));
    assert_string_equal(error, "/nonexistent/x: cannot be read: No such file or directory");
    assert_null(config_read("/etc", &ids, error, sizeof error));
    assert_string_equal(error, "/etc: cannot be read: Is a directory");
    write_bytes(path, "workers = 1\0\n", 13);
    expect_fault(0, "has a NUL octet");
    write_text(path, "");
    assert_null(config_read(path, &ids, error, sizeof error));
    assert_non_null(strstr(error, "has no client section"));
}

/* --- warnings --- */

static void expect_warning(int at, const char *text, int line, const char *says)
{
    char begin[512];
    struct config *c = read_with(at, text);
    snprintf(begin, sizeof begin, "%s:%d: %s", path, line, says);
    assert_non_null(c->warnings);
    assert_memory_equal(c->warnings, begin, strlen(begin));
    assert_null(strchr(c->warnings, '\n'));
    config_free(c);
}

static void test_warnings(void **state)
{
    (void)state;
    expect_warning(10, "", 9, "client \"acme\" cannot use spark-omni: credentials = client there");
    expect_warning(10, "upstream \"spark-omni\" { system-id = \"1234567890123456\" }", 10,
                   "system-id is longer than the 15 octets of SMPP 3.4");
    expect_warning(10, "upstream \"spark-omni\" { system-id = u\n password = \"123456789\" }", 11,
                   "password is longer than the 8 octets of SMPP 3.4");
    expect_warning(10, "upstream \"spark-omni\" { system-id = u }\nupstream \"spark-redx\" { system-id = u }",
                   11, "upstream \"spark-redx\" is not used");
    expect_warning(
        8,
        "link \"spark-omni\" { carrier = spark platform = omni host = h port = 1 credentials = client\n"
        "tls = true tls-verify = no }",
        9, "link \"spark-omni\" takes any certificate");
    expect_warning(12, "redis { sentinels = \"h\" master = m\nport = 1 }", 13,
                   "port is not used with sentinels");
    expect_warning(2, "listener \"plain\" { port = 1 key = \"/etc/passwd\" }", 2,
                   "key is not used without tls = true");
}

/* --- reload --- */

static void test_numbers_outlive_a_reload(void **state)
{
    (void)state;
    struct config *first = read_with(0, "");
    unsigned omni = first->links[1].index;
    uint8_t spark = first->carriers[0].id;
    unsigned acme = first->clients[0].index;
    struct config *second = read_text(
        "listener \"x\" { port = 1 }\nplatform \"new\" {}\nplatform \"omni\" {}\ncarrier \"aa\" {}\ncarrier "
        "\"spark\" {}\n"
        "link \"new\" { carrier = aa platform = new host = h port = 1 credentials = pass }\n"
        "link \"spark-omni\" { carrier = spark platform = omni host = h port = 1 credentials = pass }\n"
        "client \"aaa\" { password-hash = \"" HASH "\" shortcodes = \"*\" }\n"
        "client \"acme\" { password-hash = \"" HASH "\" shortcodes = \"*\" }\n");
    assert_int_equal(second->links[1].index, omni);
    assert_int_not_equal(second->links[0].index, omni);
    assert_null(second->link_at[first->links[0].index]); /* gone, its number is not given again */
    assert_int_equal(second->carriers[1].id, spark);
    assert_int_equal(second->clients[1].index, acme);
    assert_int_not_equal(second->clients[0].index, acme);
    config_free(first);
    config_free(second);
}

static void test_a_refused_file_gives_no_numbers(void **state)
{
    (void)state;
    config_free(read_with(0, ""));
    struct config_ids before = ids;
    write_good(3, "platform \"redx\" {} platform \"never-seen\" {} carrier \"nor-this\" {}\nworkers = 0");
    assert_null(config_read(path, &ids, error, sizeof error));
    write_good(12, "link \"no\" { carrier = onenz platform = omni host = h port = 1 credentials = pass }\n"
                   "redis { beat = 8s }");
    assert_null(config_read(path, &ids, error, sizeof error));
    assert_memory_equal(&ids, &before, sizeof ids);
}

static void test_no_more_links_than_there_is_room_for(void **state)
{
    (void)state;
    struct config_ids own = {0};
    for (int round = 0; round < 2; round++) {
        FILE *out = fopen(path, "w");
        fprintf(out, "listener \"x\" { port = 1 }\nclient \"c\" { password-hash = \"" HASH
                     "\" shortcodes = \"*\" }\n");
        for (int i = 0; i < 16; i++)
            fprintf(out, "platform \"p%d\" {}\ncarrier \"c%d\" {}\n", i, i);
        for (int i = 0; i < 256; i++)
            fprintf(out,
                    "link \"r%d-%d\" { carrier = c%d platform = p%d host = h port = 1 credentials = pass }\n",
                    i == 0 ? round : 0, i, i / 16, i % 16);
        fclose(out);
        struct config *c = config_read(path, &own, error, sizeof error);
        assert_true((c != NULL) == (round == 0));
        config_free(c);
    }
    assert_non_null(strstr(error, "has one link too many: 256 names of links"));
    assert_int_equal(own.links_count, 256);
    config_ids_free(&own);
}

static void test_no_more_names_than_there_is_room_for(void **state)
{
    (void)state;
    struct config_ids own = {0};
    write_good(0, "");
    FILE *out = fopen(path, "a");
    for (int i = 0; i < NAMES_MAX; i++)
        fprintf(out, "platform \"p%d\" {}\n", i);
    fclose(out);
    assert_null(config_read(path, &own, error, sizeof error));
    assert_non_null(strstr(error, "platform \"p63\" is one name too many: 63"));
    assert_int_equal(own.names.count, 0);
    config_ids_free(&own);
}

static void expect_restart(int line, const char *text, const char *names)
{
    char out[256];
    struct config *old = read_with(0, "");
    struct config *now = read_with(line, text);
    config_needs_restart(old, now, out, sizeof out);
    assert_string_equal(out, names);
    config_free(old);
    config_free(now);
}

static void test_what_needs_a_restart(void **state)
{
    (void)state;
    expect_restart(0, "", "");
    expect_restart(1, "workers = 2 drain = 3s", "workers");
    expect_restart(1, "workers = 2 instance = \"x\" state-directory = \"/tmp\" admin { port = 1 }",
                   "workers, instance, state-directory, admin");
    expect_restart(2, "listener \"plain\" { port = 2776 }", "listener");
    expect_restart(2, "listener \"other\" { port = 2775 }", "listener");
    expect_restart(2, "listener \"plain\" { port = 2775 }\nlistener \"other\" { port = 2776 }", "listener");
    expect_restart(12, "redis { password = \"x\" }", "redis");
    expect_restart(12, "redis { sentinels = { a, b } master = m }", "redis");
    expect_restart(12, "log { level = debug }", "");
    expect_restart(5, "carrier \"spark\" { prefixes = { \"642\" } }", "");
}

/* --- the example, and files nobody would write --- */

static char *slurp(const char *file)
{
    char *text = calloc(1, 65536);
    FILE *in = fopen(file, "r");
    if (in == NULL)
        fail_msg("cannot open %s", file);
    assert_in_range(fread(text, 1, 65535, in), 1, 65534);
    fclose(in);
    return text;
}

static char *replaced(char *text, const char *from, const char *to)
{
    char *out = NULL;
    size_t len = 0;
    FILE *stream = open_memstream(&out, &len);
    const char *at = text;
    for (const char *hit = strstr(at, from); hit != NULL; hit = strstr(at, from)) {
        fwrite(at, 1, (size_t)(hit - at), stream);
        fputs(to, stream);
        at = hit + strlen(from);
    }
    fputs(at, stream);
    fclose(stream);
    free(text);
    return out;
}

/* The example that ships, with its files in the test's directory. */
static char *example(void)
{
    static const char *const names[] = {"server.pem", "server.key", "omni-ca.pem"};
    for (size_t i = 0; i < 3; i++) {
        char *file = in_directory(names[i]);
        write_text(file, "a certificate\n");
        free(file);
    }
    char *text = slurp("../../docker/turnout.conf.example");
    text = replaced(text, "/etc/turnout", directory);
    return replaced(text, "/var/lib/turnout", directory);
}

static void test_the_example_is_good(void **state)
{
    (void)state;
    char *text = example();
    struct config *c = read_text(text);
    assert_null(c->warnings);
    assert_int_equal(c->listeners_count, 2);
    assert_true(c->listeners[1].tls);
    assert_int_equal(c->platforms_count, 2);
    assert_int_equal(c->carriers_count, 4);
    assert_int_equal(c->links_count, 2);
    assert_int_equal(c->links[1].credentials, CREDENTIALS_CLIENT);
    assert_int_equal(c->clients_count, 1);
    assert_int_equal(c->clients[0].networks_count, 2);
    assert_string_equal(c->clients[0].upstreams[0].password, "s3cret");
    config_free(c);
    free(text);
}

/* xorshift: the same files every time. */
static uint32_t random_next(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static void mutate(char *text, size_t len, uint32_t *seed)
{
    static const char marks[] = "{}\"'=,#/*\\$|()\n \t\r+-0x\xff";
    for (unsigned n = 1 + random_next(seed) % 4; n > 0; n--) {
        size_t at = random_next(seed) % len;
        size_t from = random_next(seed) % len;
        size_t span = random_next(seed) % 40;
        span = span < len - at ? span : len - at;
        span = span < len - from ? span : len - from;
        if (random_next(seed) % 2 == 0)
            text[at] = marks[random_next(seed) % (sizeof marks - 1)];
        else
            memmove(text + at, text + from, span);
    }
}

/* No mutation crashes, leaks or reads what is not its own (with the sanitizers), and none spoils the next
 * reading. */
static void test_mutations_do_no_harm(void **state)
{
    (void)state;
    char *text = example();
    size_t len = strlen(text);
    char *copy = malloc(len + 1);
    uint32_t seed = 2463534242;
    unsigned taken = 0;
    for (int i = 0; i < 800; i++) {
        memcpy(copy, text, len + 1);
        mutate(copy, len, &seed);
        write_bytes(path, copy, i % 8 == 0 ? random_next(&seed) % len : len);
        struct config_ids own = {0};
        struct config *c = config_read(path, &own, error, sizeof error);
        assert_true((c == NULL) == (error[0] != '\0'));
        taken += c != NULL;
        config_free(c);
        config_ids_free(&own);
    }
    assert_in_range(taken, 1, 799);
    struct config *c = read_text(text);
    config_free(c);
    free(copy);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_links_and_carriers_are_found),
        cmocka_unit_test(test_numbers_have_carriers),
        cmocka_unit_test(test_national_numbers_are_read),
        cmocka_unit_test(test_a_bad_table_is_refused_by_name),
        cmocka_unit_test(test_clients_are_found),
        cmocka_unit_test(test_shortcodes),
        cmocka_unit_test(test_many_shortcodes),
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_sentinels),
        cmocka_unit_test(test_passwords),
        cmocka_unit_test(test_each_fault_has_its_line),
        cmocka_unit_test(test_all_faults_at_once),
        cmocka_unit_test(test_faults_fit_any_buffer),
        cmocka_unit_test(test_a_section_after_too_many_faults),
        cmocka_unit_test(test_a_long_list_of_the_known_ends_between_names),
        cmocka_unit_test(test_files_that_are_none),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_numbers_outlive_a_reload),
        cmocka_unit_test(test_a_refused_file_gives_no_numbers),
        cmocka_unit_test(test_no_more_links_than_there_is_room_for),
        cmocka_unit_test(test_no_more_names_than_there_is_room_for),
        cmocka_unit_test(test_what_needs_a_restart),
        cmocka_unit_test(test_the_example_is_good),
        cmocka_unit_test(test_mutations_do_no_harm),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
