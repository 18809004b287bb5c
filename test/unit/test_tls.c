/* What TLS alone can meet: certificates and their faults, versions, peers that speak something else or
 * nothing, records of all sizes, goodbyes, floods, and the contexts' files. The behaviour that TLS shares
 * with the other kinds of stream is in test_stream.c.
 *
 * A raw peer is OpenSSL on a socket of its own, driven in turns with the world's loop. */
#include "proxy/tls.h"

#include <fcntl.h>
#include <malloc.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "test/unit/certificates.h"
#include "test/unit/stream_world.h"

/* --- files and contexts --------------------------------------------------------------------------------- */

static char directory[] = "/tmp/turnout-tls-XXXXXX";

/* X(identifier, file name) */
#define FILES(X)                \
    X(CA, "ca.pem")             \
    X(OTHER_CA, "other_ca.pem") \
    X(SERVER, "server.pem")     \
    X(NEXT, "next.pem")         \
    X(ADDRESS, "address.pem")   \
    X(EXPIRED, "expired.pem")   \
    X(EARLY, "early.pem")       \
    X(CLIENT, "client.pem")     \
    X(STRANGE, "strange.pem")   \
    X(LOCKED, "locked.pem")     \
    X(EMPTY, "empty.pem")       \
    X(MISSING, "missing.pem")

#define FILE_ENUM(id, name) FILE_##id,
enum file { FILES(FILE_ENUM) FILE_COUNT };

static char paths[FILE_COUNT][64];

static void make(enum file file, enum file issuer, struct certificate_spec spec)
{
    spec.issuer = file == issuer ? NULL : paths[issuer];
    certificate_make(paths[file], &spec);
}

static int make_files(void **state)
{
    (void)state;
#define FILE_NAME(id, name) name,
    static const char *const names[] = {FILES(FILE_NAME)};
    assert_non_null(mkdtemp(directory));
    for (int i = 0; i < FILE_COUNT; i++) {
        (void)snprintf(paths[i], sizeof(paths[i]), "%s/%s", directory, names[i]);
    }
    const char *local = "DNS:localhost,DNS:smsc.test,IP:127.0.0.1";
    make(FILE_CA, FILE_CA, (struct certificate_spec){.name = "Test CA", .authority = true});
    make(FILE_OTHER_CA, FILE_OTHER_CA, (struct certificate_spec){.name = "Other CA", .authority = true});
    make(FILE_SERVER, FILE_CA, (struct certificate_spec){.name = "smsc.test", .names = local});
    make(FILE_NEXT, FILE_OTHER_CA, (struct certificate_spec){.name = "next", .names = local});
    make(FILE_ADDRESS, FILE_CA, (struct certificate_spec){.name = "address", .names = "IP:127.0.0.2"});
    make(FILE_EXPIRED, FILE_CA,
         (struct certificate_spec){.name = "late.test", .names = local, .from = -7200, .to = -3600});
    make(FILE_EARLY, FILE_CA,
         (struct certificate_spec){.name = "early.test", .names = local, .from = 3600, .to = 7200});
    make(FILE_CLIENT, FILE_CA, (struct certificate_spec){.name = "turnout client"});
    make(FILE_STRANGE, FILE_OTHER_CA, (struct certificate_spec){.name = "evil\n\x1b[31m", .names = local});
    make(FILE_LOCKED, FILE_CA, (struct certificate_spec){.name = "locked", .password = "secret"});
    FILE *empty = fopen(paths[FILE_EMPTY], "w");
    assert_non_null(empty);
    return fclose(empty);
}

static int remove_files(void **state)
{
    (void)state;
    for (int i = 0; i < FILE_COUNT; i++) {
        (void)unlink(paths[i]);
    }
    return rmdir(directory);
}

static SSL_CTX *server_context(enum file file)
{
    const struct config_listener listener = {.name = "l", .certificate = paths[file], .key = paths[file]};
    char error[256] = "";
    SSL_CTX *context = tls_server_context(&listener, error, sizeof(error));
    assert_string_equal(error, "");
    assert_non_null(context);
    return context;
}

static SSL_CTX *link_context(struct config_link link)
{
    link.name = "k";
    char error[256] = "";
    SSL_CTX *context = tls_link_context(&link, error, sizeof(error));
    assert_string_equal(error, "");
    assert_non_null(context);
    return context;
}

static struct world *tls_world(enum file server, struct config_link link)
{
    struct world *w = world_new(KIND_TLS);
    w->server_tls = server_context(server);
    w->client_tls = link_context(link);
    return w;
}

static struct world *usual_world(void)
{
    return tls_world(FILE_SERVER, (struct config_link){.ca = paths[FILE_CA], .tls_verify = true});
}

static void tls_world_free(struct world *w)
{
    struct ssl_ctx_st *server = w->server_tls;
    struct ssl_ctx_st *client = w->client_tls;
    assert_int_equal(ERR_peek_error(), 0); /* nothing is left for others to stumble over */
    world_free(w);
    tls_context_free(server);
    tls_context_free(client);
}

/* --- who is who -------------------------------------------------------------------------------------------
 */

static void assert_says(const struct side *s, enum stream_end end, const char *detail)
{
    assert_int_equal(s->closed, 1);
    assert_string_equal(stream_end_name(s->end), stream_end_name(end));
    assert_string_equal(s->detail, detail);
}

static void begin_as(struct world *w, const char *tls_name)
{
    struct stream_target target = world_target(w);
    target.tls_name = tls_name;
    world_begin_to(w, &target);
}

/* The client refuses the server's certificate, and the server hears of it. */
static void assert_refused(struct world *w, const char *tls_name, const char *why, const char *alert)
{
    begin_as(w, tls_name);
    world_until(w, w->a.closed == 1 && w->b.closed == 1);
    assert_int_equal(w->a.opened, 0);
    assert_says(&w->a, STREAM_END_TLS_CERTIFICATE, why);
    assert_says(&w->b, STREAM_END_TLS_ALERT, alert);
    tls_world_free(w);
}

static void a_good_certificate_is_accepted(void **state)
{
    (void)state;
    struct world *w = usual_world();
    world_connect(w);
    assert_int_equal(w->a.opened, 1);
    tls_world_free(w);
}

static void the_name_can_be_another_than_the_host(void **state)
{
    (void)state;
    struct world *w = usual_world();
    begin_as(w, "smsc.test");
    world_until(w, w->a.opened == 1);
    tls_world_free(w);
}

static void a_wrong_name_is_refused(void **state)
{
    (void)state;
    assert_refused(usual_world(), "carrier.test", "hostname mismatch (depth 0, CN=smsc.test)",
                   "the peer refused the TLS session: bad certificate");
}

static void a_wrong_address_is_refused(void **state)
{
    (void)state;
    struct world *w = tls_world(FILE_ADDRESS, (struct config_link){.ca = paths[FILE_CA], .tls_verify = true});
    assert_refused(w, NULL, "IP address mismatch (depth 0, CN=address)",
                   "the peer refused the TLS session: bad certificate");
}

static void an_unknown_authority_is_refused(void **state)
{
    (void)state;
    struct world *w =
        tls_world(FILE_SERVER, (struct config_link){.ca = paths[FILE_OTHER_CA], .tls_verify = true});
    assert_refused(w, NULL, "unable to get local issuer certificate (depth 0, CN=smsc.test)",
                   "the peer refused the TLS session: unknown CA");
}

static void the_systems_authorities_do_not_know_it(void **state)
{
    (void)state;
    struct world *w = tls_world(FILE_SERVER, (struct config_link){.tls_verify = true});
    assert_refused(w, NULL, "unable to get local issuer certificate (depth 0, CN=smsc.test)",
                   "the peer refused the TLS session: unknown CA");
}

static void an_expired_certificate_is_refused(void **state)
{
    (void)state;
    struct world *w = tls_world(FILE_EXPIRED, (struct config_link){.ca = paths[FILE_CA], .tls_verify = true});
    assert_refused(w, NULL, "certificate has expired (depth 0, CN=late.test)",
                   "the peer refused the TLS session: certificate expired");
}

static void a_certificate_of_tomorrow_is_refused(void **state)
{
    (void)state;
    struct world *w = tls_world(FILE_EARLY, (struct config_link){.ca = paths[FILE_CA], .tls_verify = true});
    assert_refused(w, NULL, "certificate is not yet valid (depth 0, CN=early.test)",
                   "the peer refused the TLS session: bad certificate");
}

static void a_strange_name_cannot_write_to_the_log(void **state)
{
    (void)state;
    struct world *w = tls_world(FILE_STRANGE, (struct config_link){.ca = paths[FILE_CA], .tls_verify = true});
    assert_refused(w, NULL, "unable to get local issuer certificate (depth 0, CN=evil??[31m)",
                   "the peer refused the TLS session: unknown CA");
}

static void without_verification_anything_goes(void **state)
{
    (void)state;
    struct world *w = tls_world(FILE_EXPIRED, (struct config_link){.tls_verify = false});
    begin_as(w, "whoever.test");
    world_until(w, w->a.opened == 1 && w->b.opened == 1);
    tls_world_free(w);
}

static void ask_for_client_certificate(SSL_CTX *server)
{
    SSL_CTX_set_verify(server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    assert_int_equal(SSL_CTX_load_verify_file(server, paths[FILE_CA]), 1);
}

static void a_client_certificate_is_given(void **state)
{
    (void)state;
    struct config_link link = {.ca = paths[FILE_CA], .tls_verify = true, .certificate = paths[FILE_CLIENT]};
    for (int apart = 0; apart < 2; apart++) {
        link.key = apart ? paths[FILE_CLIENT] : NULL; /* in one file with the certificate */
        struct world *w = tls_world(FILE_SERVER, link);
        ask_for_client_certificate(w->server_tls);
        world_connect(w);
        tls_world_free(w);
    }
}

static void a_client_certificate_is_missing(void **state)
{
    (void)state;
    struct world *w = usual_world();
    ask_for_client_certificate(w->server_tls);
    world_begin(w);
    world_until(w, w->a.closed == 1 && w->b.closed == 1);
    assert_int_equal(w->b.opened, 0);
    assert_says(&w->b, STREAM_END_TLS_FAULT, "TLS fault: peer did not return a certificate");
    /* TLS 1.3: the client was through before it heard. */
    assert_says(&w->a, STREAM_END_TLS_ALERT,
                "the peer refused the TLS session: tlsv13 alert certificate required");
    tls_world_free(w);
}

static void a_client_certificate_of_somebody_else(void **state)
{
    (void)state;
    struct world *w = tls_world(
        FILE_SERVER,
        (struct config_link){.ca = paths[FILE_CA], .tls_verify = true, .certificate = paths[FILE_NEXT]});
    ask_for_client_certificate(w->server_tls);
    world_begin(w);
    world_until(w, w->a.closed == 1 && w->b.closed == 1);
    assert_says(&w->b, STREAM_END_TLS_CERTIFICATE,
                "unable to get local issuer certificate (depth 0, CN=next)");
    tls_world_free(w);
}

static char asked_for[64];

static int on_server_name(SSL *ssl, int *alert, void *unused)
{
    (void)alert;
    (void)unused;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)snprintf(asked_for, sizeof(asked_for), "%s", name != NULL ? name : "nobody");
    return SSL_TLSEXT_ERR_OK;
}

static void assert_asks_for(const char *tls_name, const char *expected)
{
    struct world *w = usual_world();
    (void)SSL_CTX_set_tlsext_servername_callback(w->server_tls, on_server_name);
    begin_as(w, tls_name);
    world_until(w, w->a.opened == 1);
    assert_string_equal(asked_for, expected);
    tls_world_free(w);
}

static void the_name_is_asked_for_but_never_an_address(void **state)
{
    (void)state;
    assert_asks_for("smsc.test", "smsc.test");
    assert_asks_for(NULL, "nobody");
}

/* --- versions ------------------------------------------------------------------------------------------- */

static void tls_1_2_is_spoken(void **state)
{
    (void)state;
    struct world *w = usual_world();
    assert_int_equal(SSL_CTX_set_max_proto_version(w->client_tls, TLS1_2_VERSION), 1);
    w->b.echo = true;
    world_connect(w);
    w->a.to_send = 100000;
    world_until(w, w->a.got == 100000);
    side_close(&w->a, true);
    world_until(w, w->b.closed == 1);
    assert_int_equal(w->b.end, STREAM_END_PEER);
    tls_world_free(w);
}

static void tls_1_1_is_refused(void **state)
{
    (void)state;
    struct world *w = usual_world();
    assert_int_equal(SSL_CTX_set_min_proto_version(w->client_tls, TLS1_VERSION), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(w->client_tls, TLS1_1_VERSION), 1);
    assert_int_equal(SSL_CTX_set_cipher_list(w->client_tls, "ALL:@SECLEVEL=0"), 1);
    world_begin(w);
    world_until(w, w->a.closed == 1 && w->b.closed == 1);
    assert_says(&w->b, STREAM_END_TLS_FAULT, "TLS fault: unsupported protocol");
    assert_says(&w->a, STREAM_END_TLS_ALERT, "the peer refused the TLS session: protocol version");
    tls_world_free(w);
}

/* --- peers that do not speak TLS ------------------------------------------------------------------------ */

static void assert_garbage_ends(const char *garbage, size_t len, const char *detail)
{
    struct world *w = usual_world();
    int fd = raw_connect(w->port);
    assert_int_equal(write(fd, garbage, len), len);
    world_until(w, w->b.closed == 1);
    assert_int_equal(w->b.opened, 0);
    assert_int_equal(w->b.bytes, 0);
    assert_says(&w->b, STREAM_END_TLS_NONE, detail);
    assert_int_equal(close(fd), 0);
    tls_world_free(w);
}

static void plaintext_on_the_tls_port(void **state)
{
    (void)state;
    static const char bind[] =
        "\0\0\0\x2f\0\0\0\x09\0\0\0\0\0\0\0\x01SMPP3TEST\0secret08\0SUBMIT1\0\0\x01\x01";
    assert_garbage_ends(bind, sizeof(bind), "the peer does not speak TLS here (wrong version number)");
    assert_garbage_ends("GET / HTTP/1.0\r\n\r\n", 18, "the peer does not speak TLS here (http request)");
}

/* A reset would overtake the alert, and the peer would never learn what is wrong. */
static void a_peer_at_fault_is_told_so(void **state)
{
    (void)state;
    struct world *w = usual_world();
    int fd = raw_connect(w->port);
    static uint8_t data[200000] = {0x16, 3, 1, 0, 5, 9, 0, 0, 1, 0};
    assert_int_equal(write(fd, data, sizeof(data)), sizeof(data));
    world_until(w, w->b.stream != NULL);
    world_turns(w, 5);
    assert_int_equal(w->b.closed, 0);
    assert_int_equal(read(fd, data, sizeof(data)), 7); /* the alert */
    assert_int_equal(data[0], 0x15);
    assert_int_equal(read(fd, data, sizeof(data)), 0); /* and an orderly end */
    assert_int_equal(close(fd), 0);
    world_until(w, w->b.closed == 1);
    assert_int_equal(w->b.end, STREAM_END_TLS_FAULT);
    tls_world_free(w);
}

/* The client's peer is a plain one. */
static struct world *plain_server(void)
{
    struct world *w = usual_world();
    tls_context_free(w->server_tls);
    w->server_tls = NULL;
    w->read_at_once = false; /* what comes is no pattern */
    world_begin(w);
    world_until(w, w->b.stream != NULL);
    return w;
}

static void a_plain_server_that_answers(void **state)
{
    (void)state;
    struct world *w = plain_server();
    side_write(&w->b, 100);
    world_until(w, w->a.closed == 1);
    assert_says(&w->a, STREAM_END_TLS_NONE, "the peer does not speak TLS here (wrong version number)");
    tls_world_free(w);
}

static void a_plain_server_that_closes(void **state)
{
    (void)state;
    struct world *w = plain_server();
    side_close(&w->b, true);
    world_until(w, w->a.closed == 1);
    assert_says(&w->a, STREAM_END_TLS_LEFT, "in the TLS handshake: closed by the peer");
    tls_world_free(w);
}

static void a_server_that_never_answers(void **state)
{
    (void)state;
    struct world *w = usual_world();
    w->accept = false;
    struct stream_target target = world_target(w);
    target.timeout_ms = 150;
    uint64_t begin = uv_hrtime();
    world_begin_to(w, &target);
    world_until(w, w->a.closed == 1);
    assert_in_range((uv_hrtime() - begin) / 1000000, 80, 1000);
    assert_says(&w->a, STREAM_END_TLS_LATE, "the TLS handshake took too long");
    tls_world_free(w);
}

static void a_client_that_never_begins(void **state)
{
    (void)state;
    struct world *w = usual_world();
    w->handshake_ms = 100;
    int fd = raw_connect(w->port);
    world_until(w, w->b.closed == 1);
    assert_says(&w->b, STREAM_END_TLS_LATE, "the TLS handshake took too long");
    assert_int_equal(close(fd), 0);
    tls_world_free(w);
}

static void a_client_that_stops_half_way(void **state)
{
    (void)state;
    struct world *w = usual_world();
    w->handshake_ms = 100;
    int fd = raw_connect(w->port);
    assert_int_equal(write(fd, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11), 11);
    world_until(w, w->b.closed == 1);
    assert_says(&w->b, STREAM_END_TLS_LATE, "the TLS handshake took too long");
    raw_reset(fd);
    tls_world_free(w);
}

/* Its owner's patience may end first. */
static void closed_half_way(void **state)
{
    (void)state;
    for (int begun = 0; begun < 2; begun++) {
        struct world *w = usual_world();
        int fd = raw_connect(w->port);
        assert_int_equal(write(fd, "\x16\x03\x01\x02", begun ? 4 : 0), begun ? 4 : 0);
        world_until(w, w->b.stream != NULL);
        world_turns(w, 5);
        side_close(&w->b, false);
        world_until(w, w->b.closed == 1);
        assert_int_equal(w->b.end, begun ? STREAM_END_TLS_LATE : STREAM_END_CLOSED);
        raw_reset(fd);
        tls_world_free(w);
    }
}

static void a_client_that_resets_half_way(void **state)
{
    (void)state;
    struct world *w = usual_world();
    int fd = raw_connect(w->port);
    assert_int_equal(write(fd, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11), 11);
    world_until(w, w->b.stream != NULL);
    raw_reset(fd);
    world_until(w, w->b.closed == 1);
    assert_says(&w->b, STREAM_END_TLS_LEFT,
                "in the TLS handshake: the connection broke: connection reset by peer");
    tls_world_free(w);
}

/* --- a raw peer ----------------------------------------------------------------------------------------- */

struct raw {
    struct world *world;
    int fd;
    SSL *ssl;
};

/* May the call be repeated? Gives the world a turn, then. */
static bool raw_again(struct raw *raw, int result)
{
    int error = result > 0 ? SSL_ERROR_NONE : SSL_get_error(raw->ssl, result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
        return false;
    }
    world_turn(raw->world);
    return true;
}

static void raw_open(struct raw *raw, struct world *w, SSL_SESSION *session)
{
    raw->world = w;
    raw->fd = raw_connect(w->port);
    assert_int_equal(fcntl(raw->fd, F_SETFL, O_NONBLOCK), 0);
    raw->ssl = SSL_new(w->client_tls);
    assert_non_null(raw->ssl);
    assert_int_equal(SSL_set_fd(raw->ssl, raw->fd), 1);
    if (session != NULL) {
        assert_int_equal(SSL_set_session(raw->ssl, session), 1);
    }
    int result;
    while (raw_again(raw, result = SSL_connect(raw->ssl))) {
    }
    assert_int_equal(result, 1);
    world_until(w, w->b.opened == 1);
}

static void raw_write(struct raw *raw, size_t from, size_t octets)
{
    uint8_t data[16384];
    for (size_t i = 0; i < octets; i++) {
        data[i] = pattern(from + i);
    }
    int result;
    while (raw_again(raw, result = SSL_write(raw->ssl, data, (int)octets))) {
    }
    assert_int_equal(result, octets);
}

static int raw_read(struct raw *raw)
{
    uint8_t data[16384];
    int result;
    while (raw_again(raw, result = SSL_read(raw->ssl, data, sizeof(data)))) {
    }
    return result;
}

static void raw_close(struct raw *raw)
{
    SSL_free(raw->ssl);
    (void)close(raw->fd);
    ERR_clear_error();
}

static void records_of_every_size(void **state)
{
    (void)state;
    struct world *w = usual_world();
    struct raw raw;
    raw_open(&raw, w, NULL);
    static const size_t sizes[] = {1, 16384, 2, 5000, 16383, 17};
    size_t sent = 0;
    for (size_t i = 0; i < 60; i++) {
        raw_write(&raw, sent, sizes[i % 6]);
        sent += sizes[i % 6];
    }
    world_until(w, w->b.got == sent);
    raw_close(&raw);
    tls_world_free(w);
}

/* Many records that have all come already: the loop's others get their turn in between. */
static void a_flood_of_small_records_takes_turns(void **state)
{
    (void)state;
    struct world *w = usual_world();
    struct raw raw;
    raw_open(&raw, w, NULL);
    side_reading(&w->b, false);
    for (size_t i = 0; i < 2000; i++) {
        raw_write(&raw, i, 1);
    }
    side_reading(&w->b, true);
    world_until(w, w->b.got > 0);
    assert_int_equal(w->b.got, 128);
    assert_int_equal(w->b.bytes, 1); /* in one piece, though it was many records */
    assert_true(w->chunks.out > 0);
    world_turn(w);
    assert_int_equal(w->b.got, 256);
    world_until(w, w->b.got == 2000);
    assert_int_equal(w->chunks.out, 0);
    assert_in_range(w->b.tls_events[TLS_EVENT_MANY], 10, 15); /* a read of the socket may end within a turn */
    raw_close(&raw);
    tls_world_free(w);
}

/* Nobody is served any more. */
static void strangers_close(struct strangers *strangers)
{
    strangers_turn(strangers, 1);
    assert_true(strangers_may(strangers, NULL));
    strangers_spent(strangers, 1);
}

/* A flood of records of which b has got the first turn's, and waits with the rest for its time among strangers. */
static struct world *world_that_waits(struct raw *raw, struct strangers *strangers)
{
    struct world *w = usual_world();
    memset(strangers, 0, sizeof *strangers);
    w->b.strangers = strangers;
    raw_open(raw, w, NULL);
    side_reading(&w->b, false);
    for (size_t i = 0; i < 1000; i++) {
        raw_write(raw, i, 1);
    }
    side_reading(&w->b, true);
    world_until(w, w->b.got >= 128); /* the first record may have come alone */
    strangers_close(strangers);
    size_t got = w->b.got;
    world_until(w, strangers->waiting == 1);
    world_turns(w, 5);
    assert_int_equal(w->b.got, got);
    return w;
}

static void who_waits_is_called(void **state)
{
    (void)state;
    struct raw raw;
    struct strangers strangers;
    struct world *w = world_that_waits(&raw, &strangers);
    for (unsigned turns = 0; turns < 3; turns++) {
        size_t got = w->b.got;
        strangers_turn(&strangers, 1);
        world_until(w, strangers.waiting == 1);
        assert_int_equal(w->b.got, got + 128);
    }
    w->b.strangers = NULL; /* it is known now */
    side_reading(&w->b, false);
    assert_int_equal(strangers.waiting, 0);
    side_reading(&w->b, true);
    world_until(w, w->b.got == 1000);
    raw_close(&raw);
    tls_world_free(w);
}

static void raw_break(struct raw *raw)
{
    SSL_free(raw->ssl);
    raw_reset(raw->fd);
    ERR_clear_error();
}

/* Closed here, closed with a flush, or reset by the peer while something is being written. */
static void who_ends_waits_no_more(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct raw raw;
        struct strangers strangers;
        struct world *w = world_that_waits(&raw, &strangers);
        if (how < 2) {
            side_close(&w->b, how == 1);
            assert_int_equal(strangers.waiting, 0);
            raw_break(&raw);
        } else {
            w->b.to_send = w->b.sent + 20000000;
            world_turns(w, 20);
            assert_true(stream_busy(w->b.stream));
            raw_break(&raw);
        }
        world_until(w, w->b.closed == 1);
        assert_int_equal(strangers.waiting, 0);
        assert_null(strangers.first);
        strangers_turn(&strangers, 1);
        tls_world_free(w);
    }
}

/* The flood stays half delivered, and then: closed, or stopped and started. */
static void a_turn_can_be_interrupted(void **state)
{
    (void)state;
    for (int close_it = 0; close_it < 2; close_it++) {
        struct world *w = usual_world();
        struct raw raw;
        raw_open(&raw, w, NULL);
        side_reading(&w->b, false);
        for (size_t i = 0; i < 2000; i++) {
            raw_write(&raw, i, 1);
        }
        side_reading(&w->b, true);
        world_until(w, w->b.got == 128);
        side_reading(&w->b, false);
        world_turns(w, 5);
        assert_int_equal(w->b.got, 128);
        if (close_it) {
            side_close(&w->b, false);
            world_until(w, w->b.closed == 1);
        } else {
            side_reading(&w->b, true);
            assert_int_equal(w->b.got, 128);
            world_until(w, w->b.got == 2000);
        }
        raw_close(&raw);
        tls_world_free(w);
    }
}

static void an_idle_loop_does_not_spin(void **state)
{
    (void)state;
    struct world *w = usual_world();
    world_connect(w);
    w->a.to_send = 50000;
    world_until(w, w->b.got == 50000);
    unsigned turns = 0;
    for (uint64_t end = uv_hrtime() + 50000000; uv_hrtime() < end; turns++) {
        world_turn(w);
    }
    assert_in_range(turns, 1, 50); /* the tick, every 5 ms */
    tls_world_free(w);
}

static void half_a_record_does_not_spin(void **state)
{
    (void)state;
    struct world *w = usual_world();
    struct raw raw;
    raw_open(&raw, w, NULL);
    assert_int_equal(write(raw.fd, "\x17\x03\x03\x00\x64half", 9), 9);
    world_turns(w, 5);
    unsigned turns = 0;
    for (uint64_t end = uv_hrtime() + 50000000; uv_hrtime() < end; turns++) {
        world_turn(w);
    }
    assert_in_range(turns, 1, 50);
    assert_int_equal(w->b.closed, 0);
    raw_close(&raw);
    tls_world_free(w);
}

/* --- goodbyes ------------------------------------------------------------------------------------------- */

static void we_say_goodbye(void **state)
{
    (void)state;
    for (int flush = 0; flush < 2; flush++) {
        struct world *w = usual_world();
        struct raw raw;
        raw_open(&raw, w, NULL);
        side_close(&w->b, flush);
        int result = raw_read(&raw);
        assert_int_equal(SSL_get_error(raw.ssl, result), SSL_ERROR_ZERO_RETURN);
        raw_close(&raw);
        world_until(w, w->b.closed == 1);
        tls_world_free(w);
    }
}

static void the_peer_says_goodbye(void **state)
{
    (void)state;
    struct world *w = usual_world();
    struct raw raw;
    raw_open(&raw, w, NULL);
    raw_write(&raw, 0, 100);
    assert_int_equal(SSL_shutdown(raw.ssl), 0);
    world_until(w, w->b.closed == 1);
    assert_int_equal(w->b.got, 100);
    assert_says(&w->b, STREAM_END_PEER, "closed by the peer");
    assert_int_equal(SSL_shutdown(raw.ssl), 1); /* it has our answer */
    raw_close(&raw);
    tls_world_free(w);
}

/* Many a peer closes without it; SMPP has its own goodbye, so this is no fault. */
static void a_peer_that_just_closes(void **state)
{
    (void)state;
    struct world *w = usual_world();
    struct raw raw;
    raw_open(&raw, w, NULL);
    side_write(&w->b, 10);
    assert_int_equal(raw_read(&raw), 10); /* and all before it: what is unread would make it a reset */
    raw_write(&raw, 0, 100);
    raw_close(&raw);
    world_until(w, w->b.closed == 1);
    assert_int_equal(w->b.got, 100);
    assert_says(&w->b, STREAM_END_PEER, "closed by the peer");
    tls_world_free(w);
}

/* --- peers that misbehave ------------------------------------------------------------------------------- */

static void a_forged_record_ends_it(void **state)
{
    (void)state;
    struct world *w = usual_world();
    struct raw raw;
    raw_open(&raw, w, NULL);
    raw_write(&raw, 0, 10);
    static const uint8_t forged[5 + 32] = {0x17, 3, 3, 0, 32};
    assert_int_equal(write(raw.fd, forged, sizeof(forged)), sizeof(forged));
    world_until(w, w->b.closed == 1);
    assert_int_equal(w->b.got, 10); /* what came before it counts */
    assert_says(&w->b, STREAM_END_TLS_RECORD, "TLS fault: decryption failed or bad record mac");
    int result = raw_read(&raw);
    assert_int_equal(SSL_get_error(raw.ssl, result), SSL_ERROR_SSL);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_AD_REASON_OFFSET + SSL_AD_BAD_RECORD_MAC);
    raw_close(&raw);
    tls_world_free(w);
}

static void renegotiation_is_refused(void **state)
{
    (void)state;
    struct world *w = usual_world();
    assert_int_equal(SSL_CTX_set_max_proto_version(w->client_tls, TLS1_2_VERSION), 1);
    (void)SSL_CTX_clear_options(w->client_tls, SSL_OP_NO_RENEGOTIATION);
    struct raw raw;
    raw_open(&raw, w, NULL);
    assert_int_equal(SSL_renegotiate(raw.ssl), 1);
    int result;
    while (raw_again(&raw, result = SSL_do_handshake(raw.ssl))) {
    }
    assert_int_equal(result, -1);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
    assert_int_equal(w->b.tls_events[TLS_EVENT_RENEGOTIATION], 1);
    raw_close(&raw);
    tls_world_free(w);
}

static bool raw_ask_for_keys(struct raw *raw)
{
    ERR_clear_error();
    return SSL_key_update(raw->ssl, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(raw->ssl) == 1;
}

static void new_keys_are_made(void **state)
{
    (void)state;
    struct world *w = usual_world();
    struct raw raw;
    raw_open(&raw, w, NULL);
    for (size_t i = 0; i < 20; i++) {
        assert_true(raw_ask_for_keys(&raw));
        raw_write(&raw, i * 100, 100);
        world_until(w, w->b.got == (i + 1) * 100);
        side_write(&w->b, 10);
        assert_int_equal(raw_read(&raw), 10);
        assert_int_equal(w->b.tls_events[TLS_EVENT_KEYS], i + 1);
    }
    raw_close(&raw);
    tls_world_free(w);
}

/* It ends at the one that is too many, not when all that have come are done. */
static void too_many_messages_end_it(void **state)
{
    (void)state;
    struct world *w = usual_world();
    w->env.tls_messages = 20;
    struct raw raw;
    raw_open(&raw, w, NULL);
    side_reading(&w->b, false);
    for (unsigned i = 0; i < 100; i++) {
        assert_true(raw_ask_for_keys(&raw));
    }
    side_reading(&w->b, true);
    world_until(w, w->b.closed == 1);
    assert_says(&w->b, STREAM_END_TLS_FLOOD, "more TLS messages than max-tls-messages");
    assert_int_equal(w->b.tls_events[TLS_EVENT_KEYS], 21);
    raw_close(&raw);
    tls_world_free(w);
}

/* Each question makes OpenSSL write an answer, which the peer does not take. */
static void a_flood_of_questions_ends_it(void **state)
{
    (void)state;
    struct world *w = usual_world();
    struct raw raw;
    raw_open(&raw, w, NULL);
    w->b.to_send = SIZE_MAX / 2;
    world_until(w, stream_busy(w->b.stream));
    w->b.to_send = w->b.sent;
    for (unsigned i = 0; i < 100000 && w->b.closed == 0; i++) {
        if (!raw_ask_for_keys(&raw) || i % 100 == 0) {
            world_turn(w);
        }
    }
    world_until(w, w->b.closed == 1);
    assert_says(&w->b, STREAM_END_TLS_FLOOD, "the peer asks for new keys and does not read the answers");
    raw_close(&raw);
    tls_world_free(w);
}

/* --- life with others ----------------------------------------------------------------------------------- */

static void faults_of_others_do_not_show(void **state)
{
    (void)state;
    struct world *w = usual_world();
    w->b.echo = true;
    world_begin(w);
    for (unsigned i = 0; w->a.got < 200000; i++) {
        ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
        w->a.to_send = 200000;
        world_turn(w);
        assert_true(i < 100000 && w->a.closed == 0 && w->b.closed == 0);
    }
    ERR_clear_error();
    tls_world_free(w);
}

static void a_session_outlives_its_context(void **state)
{
    (void)state;
    struct world *w = usual_world();
    w->b.echo = true;
    world_connect(w);
    tls_context_free(w->server_tls);
    w->server_tls = server_context(FILE_NEXT);
    w->a.to_send = 100000;
    world_until(w, w->a.got == 100000);

    /* A new session gets the new certificate, of which this client thinks nothing. */
    side_close(&w->a, false);
    world_until(w, w->a.closed == 1 && w->b.closed == 1);
    w->a.closed = w->b.closed = w->a.opened = 0;
    assert_refused(w, NULL, "unable to get local issuer certificate (depth 0, CN=next)",
                   "the peer refused the TLS session: unknown CA");
}

static void sessions_are_resumed(void **state)
{
    (void)state;
    struct world *w = usual_world();
    struct raw raw;
    raw_open(&raw, w, NULL);
    side_write(&w->b, 10);
    assert_int_equal(raw_read(&raw), 10); /* the tickets come with it */
    SSL_SESSION *session = SSL_get1_session(raw.ssl);
    assert_int_equal(SSL_session_reused(raw.ssl), 0);
    assert_int_equal(SSL_shutdown(raw.ssl), 0);
    raw_close(&raw);
    world_until(w, w->b.closed == 1);
    w->b = (struct side){.world = w, .room_size = 100};
    raw_open(&raw, w, session);
    assert_int_equal(SSL_session_reused(raw.ssl), 1);
    SSL_SESSION_free(session);
    raw_close(&raw);
    tls_world_free(w);
}

/* --- memory --------------------------------------------------------------------------------------------- */

static size_t openssl_octets;

static void *count_in(void *memory)
{
    openssl_octets += memory != NULL ? malloc_usable_size(memory) : 0;
    return memory;
}

static void counted_free(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    openssl_octets -= memory != NULL ? malloc_usable_size(memory) : 0;
    free(memory);
}

static void *counted_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return count_in(malloc(size));
}

static void *counted_realloc(void *memory, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    openssl_octets -= memory != NULL ? malloc_usable_size(memory) : 0;
    return count_in(realloc(memory, size));
}

/* Both ends of a stream that has carried much and now rests. The record buffers alone would be 33 KB an end.
 */
static void an_idle_stream_is_small(void **state)
{
    (void)state;
    struct world *w = usual_world();
    size_t before = openssl_octets;
    w->b.echo = true;
    world_connect(w);
    w->a.to_send = 200000;
    world_until(w, w->a.got == 200000);
    world_turns(w, 5);
    print_message("an idle stream: %zu octets of OpenSSL an end\n", (openssl_octets - before) / 2);
    assert_in_range((openssl_octets - before) / 2, 1000, 32000); /* OpenSSL 3.5 takes 31184 */
    assert_int_equal(w->chunks.out, 0);
    tls_world_free(w);
}

/* --- files at fault ------------------------------------------------------------------------------------- */

static void assert_server_fault(char *certificate, char *key, const char *why)
{
    const struct config_listener listener = {.name = "l", .certificate = certificate, .key = key};
    char error[256] = "";
    assert_null(tls_server_context(&listener, error, sizeof(error)));
    if (strstr(error, why) == NULL) {
        fail_msg("'%s' does not say '%s'", error, why);
    }
    assert_int_equal(ERR_peek_error(), 0);
}

static void files_at_fault_are_named(void **state)
{
    (void)state;
    char *server = paths[FILE_SERVER];
    assert_server_fault(NULL, NULL, "listener 'l': TLS needs a certificate and a key");
    assert_server_fault(paths[FILE_MISSING], server, "missing.pem': No such file or directory");
    assert_server_fault(server, paths[FILE_MISSING], "missing.pem': No such file or directory");
    assert_server_fault(paths[FILE_EMPTY], server, "certificate '");
    assert_server_fault(paths[FILE_EMPTY], server, "empty.pem': no start line");
    assert_server_fault(server, paths[FILE_EMPTY], "key '");
    assert_server_fault(server, paths[FILE_CLIENT], "client.pem': key values mismatch");
    assert_server_fault(paths[FILE_LOCKED], paths[FILE_LOCKED], "key '");
}

/* What no test over the wire shows: a server's question is hard to provoke, and a prompt needs a terminal. */
static void no_renegotiation_and_no_prompt(void **state)
{
    (void)state;
    SSL_CTX *contexts[] = {server_context(FILE_SERVER),
                           link_context((struct config_link){.tls_verify = false})};
    for (size_t i = 0; i < 2; i++) {
        assert_true((SSL_CTX_get_options(contexts[i]) & SSL_OP_NO_RENEGOTIATION) != 0);
        assert_non_null(SSL_CTX_get_default_passwd_cb(contexts[i]));
        tls_context_free(contexts[i]);
    }
}

static void a_link_without_authorities_is_refused(void **state)
{
    (void)state;
    struct config_link link = {.name = "k", .ca = paths[FILE_MISSING], .tls_verify = true};
    char error[256] = "";
    assert_null(tls_link_context(&link, error, sizeof(error)));
    assert_non_null(strstr(error, "trusted certificates '"));
    assert_non_null(strstr(error, "missing.pem': No such file or directory"));
    link.ca = paths[FILE_EMPTY];
    assert_null(tls_link_context(&link, error, sizeof(error)));
    assert_non_null(strstr(error, "empty.pem': "));
    link = (struct config_link){.name = "k", .certificate = paths[FILE_MISSING]};
    assert_null(tls_link_context(&link, error, sizeof(error)));
    assert_non_null(strstr(error, "certificate '"));
    assert_int_equal(ERR_peek_error(), 0);
}

int main(void)
{
    (void)CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_certificate_is_accepted),
        cmocka_unit_test(the_name_can_be_another_than_the_host),
        cmocka_unit_test(a_wrong_name_is_refused),
        cmocka_unit_test(a_wrong_address_is_refused),
        cmocka_unit_test(an_unknown_authority_is_refused),
        cmocka_unit_test(the_systems_authorities_do_not_know_it),
        cmocka_unit_test(an_expired_certificate_is_refused),
        cmocka_unit_test(a_certificate_of_tomorrow_is_refused),
        cmocka_unit_test(a_strange_name_cannot_write_to_the_log),
        cmocka_unit_test(without_verification_anything_goes),
        cmocka_unit_test(a_client_certificate_is_given),
        cmocka_unit_test(a_client_certificate_is_missing),
        cmocka_unit_test(a_client_certificate_of_somebody_else),
        cmocka_unit_test(the_name_is_asked_for_but_never_an_address),
        cmocka_unit_test(tls_1_2_is_spoken),
        cmocka_unit_test(tls_1_1_is_refused),
        cmocka_unit_test(plaintext_on_the_tls_port),
        cmocka_unit_test(a_peer_at_fault_is_told_so),
        cmocka_unit_test(a_plain_server_that_answers),
        cmocka_unit_test(a_plain_server_that_closes),
        cmocka_unit_test(a_server_that_never_answers),
        cmocka_unit_test(a_client_that_never_begins),
        cmocka_unit_test(a_client_that_stops_half_way),
        cmocka_unit_test(closed_half_way),
        cmocka_unit_test(a_client_that_resets_half_way),
        cmocka_unit_test(records_of_every_size),
        cmocka_unit_test(a_flood_of_small_records_takes_turns),
        cmocka_unit_test(who_waits_is_called),
        cmocka_unit_test(who_ends_waits_no_more),
        cmocka_unit_test(a_turn_can_be_interrupted),
        cmocka_unit_test(an_idle_loop_does_not_spin),
        cmocka_unit_test(half_a_record_does_not_spin),
        cmocka_unit_test(we_say_goodbye),
        cmocka_unit_test(the_peer_says_goodbye),
        cmocka_unit_test(a_peer_that_just_closes),
        cmocka_unit_test(a_forged_record_ends_it),
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(new_keys_are_made),
        cmocka_unit_test(too_many_messages_end_it),
        cmocka_unit_test(a_flood_of_questions_ends_it),
        cmocka_unit_test(faults_of_others_do_not_show),
        cmocka_unit_test(a_session_outlives_its_context),
        cmocka_unit_test(sessions_are_resumed),
        cmocka_unit_test(an_idle_stream_is_small),
        cmocka_unit_test(files_at_fault_are_named),
        cmocka_unit_test(no_renegotiation_and_no_prompt),
        cmocka_unit_test(a_link_without_authorities_is_refused),
    };
    return cmocka_run_group_tests_name("tls", tests, make_files, remove_files);
}
