/* The behaviour that every kind of stream shares, run over TCP, TLS and memory, then what TCP alone can meet:
 * refused and silent peers, names, resets, want of descriptors and of memory. */
#include "proxy/stream.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/resource.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include "test/unit/certificates.h"
#include "test/unit/stream_world.h"

/* --- stand-ins for the C library ----------------------------------------------------------------------- */

/* The allocation whose turn it is, in this thread, fails; 0: none does. */
static _Thread_local unsigned fail_at;
static _Thread_local unsigned allocations;

/* A thread that is just being made allocates before ThreadSanitizer knows it. */
#define UNWATCHED __attribute__((no_sanitize_thread))

UNWATCHED static bool must_fail(void)
{
    return fail_at != 0 && ++allocations == fail_at;
}

/* Takes the place of the library's for the streams and libuv. */
UNWATCHED void *calloc(size_t count, size_t size)
{
    void *memory = must_fail() ? NULL : malloc(count * size);
    if (memory != NULL) {
        explicit_bzero(memory, count * size); /* of memset the compiler would make calloc again */
    }
    return memory;
}

static void *openssl_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return must_fail() ? NULL : malloc(size);
}

static void *openssl_realloc(void *memory, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return must_fail() ? NULL : realloc(memory, size);
}

static void openssl_free(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    free(memory);
}

/* An address as the resolver gives it, in front of a list. Freed by the library's freeaddrinfo. */
static struct addrinfo *resolved(const char *ip, const char *service, struct addrinfo *next)
{
    struct addrinfo *a = calloc(1, sizeof(*a) + sizeof(struct sockaddr_in));
    assert_non_null(a);
    struct sockaddr_in *in4 = (struct sockaddr_in *)(a + 1);
    (void)uv_ip4_addr(ip, (int)strtol(service, NULL, 10), in4);
    a->ai_family = AF_INET;
    a->ai_socktype = SOCK_STREAM;
    a->ai_addrlen = sizeof(*in4);
    a->ai_addr = (struct sockaddr *)in4;
    a->ai_next = next;
    return a;
}

/* A resolver that answers at once, late, or never well; runs in libuv's thread pool. */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    (void)hints;
    if (strcmp(host, "two.test") == 0) {
        *out = resolved("127.0.0.9", service, resolved("127.0.0.1", service, NULL));
        return 0;
    }
    if (strcmp(host, "one.test") == 0) {
        *out = resolved("127.0.0.1", service, NULL);
        return 0;
    }
    if (strcmp(host, "slow.test") == 0) {
        const struct timespec late = {.tv_nsec = 300000000};
        (void)nanosleep(&late, NULL);
        *out = resolved("127.0.0.1", service, NULL);
        return 0;
    }
    return EAI_NONAME;
}

/* --- the kinds ------------------------------------------------------------------------------------------ */

static struct ssl_ctx_st *server_tls, *client_tls;

static int make_contexts(void **state)
{
    (void)state;
    char directory[] = "/tmp/turnout-stream-XXXXXX";
    assert_non_null(mkdtemp(directory));
    char file[64];
    char error[256] = "";
    (void)snprintf(file, sizeof(file), "%s/server.pem", directory);
    certificate_make(file,
                     &(struct certificate_spec){.name = "turnout", .names = "DNS:localhost,IP:127.0.0.1"});
    const struct config_listener listener = {.name = "l", .certificate = file, .key = file};
    const struct config_link link = {.name = "k", .ca = file, .tls_verify = true};
    server_tls = tls_server_context(&listener, error, sizeof(error));
    client_tls = tls_link_context(&link, error, sizeof(error));
    assert_string_equal(error, "");
    assert_true(server_tls != NULL && client_tls != NULL);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(directory), 0);
    return 0;
}

static int free_contexts(void **state)
{
    (void)state;
    tls_context_free(server_tls);
    tls_context_free(client_tls);
    return 0;
}

static struct world *kind_world(void **state)
{
    enum kind kind = *(const enum kind *)*state;
    struct world *w = world_new(kind);
    if (kind == KIND_TLS) {
        w->server_tls = server_tls;
        w->client_tls = client_tls;
    }
    return w;
}

/* --- octets both ways ------------------------------------------------------------------------------------
 */

static void echo(struct world *w, size_t octets, size_t room)
{
    w->b.echo = true;
    w->step = w->step != 0 ? w->step : 500; /* an echo of single octets takes a chunk for each */
    w->a.room_size = w->b.room_size = room;
    world_connect(w);
    w->a.to_send = octets;
    world_until(w, w->a.got == octets);
    assert_int_equal(w->b.got, octets);
    assert_int_equal(w->a.opened, 1);
    assert_int_equal(w->b.opened, 1);
    world_free(w);
}

static void a_word_comes_back(void **state)
{
    echo(kind_world(state), 5, 4096);
}

static void tiny_rooms_get_everything(void **state)
{
    echo(kind_world(state), 60000, 1);
}

static void odd_rooms_get_everything(void **state)
{
    echo(kind_world(state), 300000, 37);
}

static void memory_in_small_steps(void **state)
{
    struct world *w = kind_world(state);
    w->step = 3;
    echo(w, 3000, 100);
}

static void bulk_both_ways(void **state)
{
    struct world *w = kind_world(state);
    world_connect(w);
    w->a.to_send = w->b.to_send = 3000000;
    world_until(w, w->a.got == 3000000 && w->b.got == 3000000);
    world_free(w);
}

static void empty_chunks_are_harmless(void **state)
{
    struct world *w = kind_world(state);
    world_connect(w);
    struct chunk *first = chunk_get(&w->chunks);
    first->next = pattern_chunk(&w->a, 10);
    first->next->next = chunk_get(&w->chunks);
    stream_write(w->a.stream, first);
    stream_write(w->a.stream, chunk_get(&w->chunks));
    world_until(w, w->b.got == 10);
    assert_false(stream_busy(w->a.stream));
    assert_int_equal(w->chunks.out, 0);
    world_free(w);
}

static void both_know_the_other(void **state)
{
    struct world *w = kind_world(state);
    world_connect(w);
    char expected[64];
    (void)snprintf(expected, sizeof(expected), "127.0.0.1:%u", w->port);
    if (w->kind == KIND_MEMORY) {
        assert_string_equal(stream_peer(w->a.stream), "memory:1");
    } else {
        assert_string_equal(stream_peer(w->a.stream), expected);
        assert_memory_equal(stream_peer(w->b.stream), "127.0.0.1:", 10);
        assert_int_equal(stream_address(w->b.stream)->sa_family, AF_INET);
    }
    world_free(w);
}

/* --- a peer that does not read ----------------------------------------------------------------------------
 */

/* Sends until no more is taken. */
static void fill_up(struct world *w)
{
    w->a.to_send = SIZE_MAX / 2;
    world_until(w, stream_busy(w->a.stream));
    world_turns(w, 20);
    w->a.to_send = w->a.sent;
}

static void busy_until_the_reader_reads(void **state)
{
    struct world *w = kind_world(state);
    world_connect(w);
    side_reading(&w->b, false);
    fill_up(w);
    assert_true(stream_busy(w->a.stream));
    unsigned before = w->a.writable;
    size_t got = w->b.got;
    world_turns(w, 10);
    assert_int_equal(w->a.writable, before);
    assert_int_equal(w->b.got, got); /* it was told to stop */

    side_reading(&w->b, true);
    world_until(w, w->b.got == w->a.sent);
    world_until(w, !stream_busy(w->a.stream));
    assert_int_equal(w->a.writable, before + 1);
    assert_int_equal(w->chunks.out, 0);
    world_free(w);
}

static void a_busy_stream_can_be_closed(void **state)
{
    struct world *w = kind_world(state);
    world_connect(w);
    side_reading(&w->b, false);
    fill_up(w);
    side_close(&w->a, false);
    side_close(&w->a, true);
    side_close(&w->a, false);
    assert_int_equal(w->a.closed, 0);
    world_until(w, w->a.closed == 1);
    assert_int_equal(w->a.end, STREAM_END_CLOSED);
    world_free(w);
}

/* Put off, it waits unread; it waits no more when it is called, stopped, known, or over. */
static void a_stranger_waits_for_its_turn(void **state)
{
    (void)state;
    enum { CALLED, STOPPED, KNOWN, CLOSED, FLUSHED, WAYS };
    for (int how = 0; how < WAYS; how++) {
        struct strangers strangers = {.limited = false};
        struct world *w = world_new(KIND_TCP);
        w->b.strangers = &strangers;
        world_connect(w);
        strangers_turn(&strangers, 1);
        assert_true(strangers_may(&strangers, NULL));
        strangers_spent(&strangers, 1);
        side_write(&w->a, 10);
        world_until(w, strangers.waiting == 1);
        world_turns(w, 5);
        assert_int_equal(w->b.got, 0);
        if (how == CALLED) {
            strangers_turn(&strangers, 1);
        } else if (how == STOPPED || how == KNOWN) {
            w->b.strangers = how == KNOWN ? NULL : &strangers;
            side_reading(&w->b, false);
            assert_int_equal(strangers.waiting, 0);
            strangers.limited = false;
            side_reading(&w->b, true);
        } else {
            side_close(&w->b, how == FLUSHED);
        }
        world_until(w, how < CLOSED ? w->b.got == 10 : strangers.waiting == (how == FLUSHED));
        strangers_turn(&strangers, 1);
        world_free(w);
        assert_int_equal(strangers.waiting, 0);
    }
}

static void stopped_within_bytes_is_stopped(void **state)
{
    struct world *w = kind_world(state);
    w->b.in_bytes = REACT_START_STOP;
    w->b.room_size = 100;
    world_connect(w);
    w->a.to_send = 250;
    world_until(w, w->b.bytes == 1);
    world_turns(w, 10);
    assert_int_equal(w->b.bytes, 1);
    assert_int_equal(w->b.got, 100);
    side_reading(&w->b, true);
    assert_int_equal(w->b.bytes, 1); /* not from within stream_read_start */
    world_until(w, w->b.bytes == 2);
    world_turns(w, 10);
    assert_int_equal(w->b.bytes, 2);
    w->b.in_bytes = REACT_STOP_START;
    side_reading(&w->b, true);
    world_until(w, w->b.got == 250);
    world_free(w);
}

static void stop_and_start_lose_nothing(void **state)
{
    struct world *w = kind_world(state);
    w->b.in_bytes = REACT_STOP_START;
    w->b.room_size = 1000;
    world_connect(w);
    w->a.to_send = 500000;
    world_until(w, w->b.got == 500000);
    world_free(w);
}

static void reading_is_off_until_it_is_started(void **state)
{
    struct world *w = kind_world(state);
    w->read_at_once = false;
    world_connect(w);
    w->a.to_send = 1000;
    world_until(w, w->a.sent == 1000);
    world_turns(w, 10);
    assert_int_equal(w->b.got, 0);
    side_reading(&w->b, true);
    side_reading(&w->b, true);
    world_until(w, w->b.got == 1000);
    world_free(w);
}

/* --- ends ----------------------------------------------------------------------------------------------- */

static void assert_both_ended(struct world *w, struct side *first, struct side *other)
{
    world_until(w, first->closed == 1 && other->closed == 1);
    assert_int_equal(first->end, STREAM_END_CLOSED);
    assert_int_equal(other->end, STREAM_END_PEER);
    assert_int_equal(w->chunks.out, 0);
    world_free(w);
}

static void closing_is_an_orderly_end_for_the_peer(void **state)
{
    struct world *w = kind_world(state);
    world_connect(w);
    side_close(&w->a, false);
    assert_both_ended(w, &w->a, &w->b);
}

static void the_acceptor_may_close_too(void **state)
{
    struct world *w = kind_world(state);
    world_connect(w);
    side_close(&w->b, true);
    assert_both_ended(w, &w->b, &w->a);
}

static void both_may_close_at_once(void **state)
{
    struct world *w = kind_world(state);
    world_connect(w);
    side_close(&w->a, true);
    side_close(&w->b, false);
    world_until(w, w->a.closed == 1 && w->b.closed == 1);
    assert_int_equal(w->a.end, STREAM_END_CLOSED);
    assert_int_equal(w->b.end, STREAM_END_CLOSED);
    world_free(w);
}

static void what_came_before_the_end_is_read(void **state)
{
    struct world *w = kind_world(state);
    world_connect(w);
    side_reading(&w->b, false);
    side_write(&w->a, 5000);
    side_close(&w->a, false);
    world_turns(w, 10);
    assert_int_equal(w->b.closed, 0);
    side_reading(&w->b, true);
    world_until(w, w->b.closed == 1);
    assert_int_equal(w->b.got, 5000);
    assert_int_equal(w->b.end, STREAM_END_PEER);
    world_free(w);
}

static void flush_sends_everything_first(void **state)
{
    struct world *w = kind_world(state);
    world_connect(w);
    side_reading(&w->b, false);
    fill_up(w);
    side_close(&w->a, true);
    side_reading(&w->b, true);
    world_until(w, w->b.closed == 1 && w->a.closed == 1);
    assert_int_equal(w->b.got, w->a.sent);
    assert_int_equal(w->b.end, STREAM_END_PEER);
    assert_int_equal(w->a.end, STREAM_END_CLOSED);
    world_free(w);
}

/* Octets that nobody reads must not turn the end into a reset, which would take what was written last with
 * it. */
static void flush_survives_octets_unread(void **state)
{
    struct world *w = kind_world(state);
    world_connect(w);
    side_reading(&w->a, false);
    w->b.to_send = 50000;
    world_until(w, w->b.sent == 50000);
    world_turns(w, 5);
    side_write(&w->a, 100);
    side_close(&w->a, true);
    world_until(w, w->b.closed == 1);
    assert_int_equal(w->b.end, STREAM_END_PEER);
    assert_int_equal(w->b.got, 100);
    uint64_t begin = uv_hrtime();
    world_until(w, w->a.closed == 1);
    assert_in_range((uv_hrtime() - begin) / 1000000, 0,
                    500); /* the peer's end was seen, none has to be waited for */
    world_free(w);
}

static void close_within(void **state, enum reaction opened, enum reaction bytes, enum reaction writable)
{
    struct world *w = kind_world(state);
    w->a.in_opened = opened;
    w->a.in_bytes = bytes;
    w->a.in_writable = writable;
    if (writable != REACT_NOT) {
        world_connect(w);
        side_reading(&w->b, false);
        fill_up(w);
        side_reading(&w->b, true);
    } else {
        w->b.to_send = bytes != REACT_NOT ? 100000 : 0;
        world_begin(w);
    }
    world_until(w, w->a.closed == 1);
    assert_int_equal(w->a.end, STREAM_END_CLOSED);
    assert_int_equal(w->a.opened, 1);
    assert_true(w->a.bytes <= 1);
    assert_true(writable == REACT_NOT || w->a.writable == 1);
    world_until(w, w->b.closed == 1);
    world_free(w);
}

static void close_within_opened(void **state)
{
    close_within(state, REACT_CLOSE, REACT_NOT, REACT_NOT);
    close_within(state, REACT_FLUSH, REACT_NOT, REACT_NOT);
    close_within(state, REACT_WRITE_CLOSE, REACT_NOT, REACT_NOT);
}

static void close_within_bytes(void **state)
{
    close_within(state, REACT_NOT, REACT_CLOSE, REACT_NOT);
    close_within(state, REACT_NOT, REACT_FLUSH, REACT_NOT);
    close_within(state, REACT_NOT, REACT_WRITE_CLOSE, REACT_NOT);
}

static void close_within_writable(void **state)
{
    close_within(state, REACT_NOT, REACT_NOT, REACT_CLOSE);
    close_within(state, REACT_NOT, REACT_NOT, REACT_FLUSH);
    close_within(state, REACT_NOT, REACT_NOT, REACT_WRITE_CLOSE);
}

/* After 0, 1, 2 ... turns of the loop, whatever the state is then. */
static void close_at_every_step(void **state)
{
    for (unsigned turns = 0; turns < 12; turns++) {
        for (int flags = 0; flags < 4; flags++) {
            struct world *w = kind_world(state);
            world_begin(w);
            w->a.to_send = w->b.to_send = 30000;
            world_turns(w, turns);
            struct side *s = (flags & 1) != 0 && w->b.stream != NULL ? &w->b : &w->a;
            side_close(s, (flags & 2) != 0);
            world_until(w, s->closed == 1);
            assert_true(s->end == STREAM_END_CLOSED ||
                        (w->kind == KIND_TLS && s->opened == 0 && s->end == STREAM_END_TLS_LATE));
            world_free(w);
        }
    }
}

static void a_write_after_close_is_dropped(void **state)
{
    struct world *w = kind_world(state);
    world_connect(w);
    side_close(&w->a, true);
    side_write(&w->a, 100000);
    assert_false(stream_busy(w->a.stream));
    world_until(w, w->a.closed == 1 && w->b.closed == 1);
    assert_int_equal(w->b.got, 0);
    world_free(w);
}

/* --- memory streams alone ------------------------------------------------------------------------------- */

static void cut_is_a_reset_for_both(void **state)
{
    struct world *w = kind_world(state);
    world_connect(w);
    side_write(&w->a, 1000);
    stream_pair_cut(w->pair);
    assert_int_equal(w->a.closed, 0);
    assert_true(stream_pair_step(w->pair, 0));
    assert_int_equal(w->a.end, STREAM_END_RESET);
    assert_int_equal(w->b.end, STREAM_END_RESET);
    assert_int_equal(w->b.got, 0);
    assert_false(stream_pair_step(w->pair, 0));
    world_free(w);
}

static void a_step_delivers_no_more_than_asked(void **state)
{
    struct world *w = kind_world(state);
    world_connect(w);
    side_write(&w->a, 100);
    assert_true(stream_pair_step(w->pair, 30));
    assert_int_equal(w->b.got, 30);
    w->b.room_size = 7;
    assert_true(stream_pair_step(w->pair, 30));
    assert_int_equal(w->b.got, 60);
    assert_int_equal(w->b.bytes, 1 + 5);
    assert_true(stream_pair_step(w->pair, 0));
    assert_int_equal(w->b.got, 100);
    assert_false(stream_pair_step(w->pair, 0));
    world_free(w);
}

static void without_flush_only_the_capacity_arrives(void **state)
{
    struct world *w = kind_world(state);
    world_connect(w);
    side_write(&w->a, 50000);
    assert_true(stream_busy(w->a.stream));
    side_close(&w->a, false);
    world_until(w, w->b.closed == 1);
    assert_int_equal(w->b.got, 20000);
    world_free(w);
}

static void writing_to_a_closed_end_is_a_reset(void **state)
{
    struct world *w = kind_world(state);
    world_connect(w);
    side_reading(&w->a, false);
    side_close(&w->b, false);
    world_turns(w, 3);
    assert_int_equal(w->a.closed, 0); /* it does not read, so it has not seen the end */
    side_write(&w->a, 10);
    world_turns(w, 3);
    assert_int_equal(w->a.closed, 1);
    assert_int_equal(w->a.end, STREAM_END_RESET);
    world_free(w);
}

/* --- connecting ----------------------------------------------------------------------------------------- */

static struct side *connect_to(struct world *w, const char *host, uint16_t port, uint64_t timeout_ms)
{
    struct stream_target target = world_target(w);
    target.host = host;
    target.port = port;
    target.timeout_ms = timeout_ms;
    world_begin_to(w, &target);
    assert_non_null(w->a.stream);
    return &w->a;
}

static void assert_ends(struct world *w, enum stream_end end, const char *detail)
{
    world_until(w, w->a.closed == 1);
    assert_int_equal(w->a.opened, 0);
    assert_string_equal(stream_end_name(w->a.end), stream_end_name(end));
    if (strstr(w->a.detail, detail) == NULL) {
        fail_msg("'%s' does not say '%s'", w->a.detail, detail);
    }
    world_free(w);
}

static void a_closed_port_refuses(void **state)
{
    struct world *w = kind_world(state);
    (void)connect_to(w, "127.0.0.9", w->port, 2000); /* the listener has 127.0.0.1 alone */
    assert_ends(w, STREAM_END_CONNECT, "connection refused");
}

static void an_address_that_cannot_be_reached(void **state)
{
    struct world *w = kind_world(state);
    (void)connect_to(w, "255.255.255.255", 1, 2000); /* refused by the kernel before anything is sent */
    assert_ends(w, STREAM_END_CONNECT, "cannot connect to 255.255.255.255:1");
}

static void a_name_without_address(void **state)
{
    struct world *w = kind_world(state);
    (void)connect_to(w, "host.invalid", 2775, 2000);
    assert_ends(w, STREAM_END_RESOLVE, "cannot resolve the host name");
}

static void a_name_too_long_to_be_one(void **state)
{
    struct world *w = kind_world(state);
    char name[2000];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    (void)connect_to(w, name, 2775, 2000);
    assert_ends(w, STREAM_END_RESOLVE, "cannot resolve");
}

static void a_resolver_that_is_slow(void **state)
{
    struct world *w = kind_world(state);
    uint64_t begin = uv_hrtime();
    (void)connect_to(w, "slow.test", w->port, 60);
    world_until(w, w->a.closed == 1);
    assert_in_range((uv_hrtime() - begin) / 1000000, 30, 250);
    assert_ends(w, STREAM_END_TIMEOUT, "no connection in time");
}

static void closed_while_resolving(void **state)
{
    struct world *w = kind_world(state);
    struct side *a = connect_to(w, "slow.test", w->port, 5000);
    world_turns(w, 2);
    side_close(a, true);
    world_turns(w, 3);
    assert_int_equal(a->closed, 1); /* well before the resolver is done */
    assert_ends(w, STREAM_END_CLOSED, "this side");
}

static void names_are_resolved(void **state)
{
    struct world *w = kind_world(state);
    (void)connect_to(w, "one.test", w->port, 2000);
    if (w->kind == KIND_TLS) { /* and the certificate is for another one */
        assert_ends(w, STREAM_END_TLS_CERTIFICATE, "hostname mismatch (depth 0, CN=turnout)");
        return;
    }
    world_until(w, w->a.opened == 1);
    world_free(w);
}

static void the_second_address_serves_where_the_first_refuses(void **state)
{
    struct world *w = kind_world(state);
    (void)connect_to(w, "two.test", w->port, 5000);
    world_until(w, w->a.opened == 1);
    assert_memory_equal(stream_peer(w->a.stream), "127.0.0.1:", 10);
    w->a.to_send = 1000;
    world_until(w, w->b.got == 1000);
    world_free(w);
}

static void every_address_refuses(void **state)
{
    struct world *w = kind_world(state);
    (void)connect_to(w, "two.test", 1, 5000);
    assert_ends(w, STREAM_END_CONNECT, "127.0.0.1:1: connection refused");
}

/* A listener with a full backlog on an address of its own: the kernel drops what comes after. */
struct silent {
    int listener, clients[8];
    uint16_t port;
};

static void silent_open(struct silent *silent, const char *ip, uint16_t port)
{
    struct sockaddr_in address;
    assert_int_equal(uv_ip4_addr(ip, port, &address), 0);
    silent->listener = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1; /* connections that others had from there may still linger */
    assert_int_equal(setsockopt(silent->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(silent->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(silent->listener, 0), 0);
    socklen_t len = sizeof(address);
    assert_int_equal(getsockname(silent->listener, (struct sockaddr *)&address, &len), 0);
    silent->port = ntohs(address.sin_port);
    for (size_t i = 0; i < 8; i++) {
        silent->clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(silent->clients[i], (struct sockaddr *)&address, sizeof(address));
    }
    (void)poll(NULL, 0, 20);
}

static void silent_close(struct silent *silent)
{
    for (size_t i = 0; i < 8; i++) {
        (void)close(silent->clients[i]);
    }
    (void)close(silent->listener);
}

static void a_silent_peer_is_given_up(void **state)
{
    struct world *w = kind_world(state);
    struct silent silent;
    silent_open(&silent, "127.0.0.1", 0);
    uint64_t begin = uv_hrtime();
    (void)connect_to(w, "127.0.0.1", silent.port, 150);
    world_until(w, w->a.closed == 1);
    assert_in_range((uv_hrtime() - begin) / 1000000, 80, 1000);
    silent_close(&silent);
    assert_ends(w, STREAM_END_TIMEOUT, "no connection in time to 127.0.0.1:");
}

static void a_silent_first_address_leaves_time_for_the_second(void **state)
{
    struct world *w = kind_world(state);
    struct silent silent;
    silent_open(&silent, "127.0.0.9", w->port);
    (void)connect_to(w, "two.test", w->port, 600);
    world_until(w, w->a.opened == 1);
    silent_close(&silent);
    world_free(w);
}

static void closed_while_connecting(void **state)
{
    struct world *w = kind_world(state);
    struct silent silent;
    silent_open(&silent, "127.0.0.1", 0);
    struct side *a = connect_to(w, "127.0.0.1", silent.port, 5000);
    world_turns(w, 3);
    side_close(a, false);
    world_turns(w, 3);
    assert_int_equal(a->closed, 1);
    silent_close(&silent);
    assert_ends(w, STREAM_END_CLOSED, "this side");
}

/* --- peers that break ----------------------------------------------------------------------------------- */

static struct world *raw_world(void **state, int *fd)
{
    struct world *w = kind_world(state);
    *fd = raw_connect(w->port);
    world_until(w, w->b.stream != NULL);
    return w;
}

static void a_reset_is_told_from_an_end(void **state)
{
    int fd;
    struct world *w = raw_world(state, &fd);
    raw_reset(fd);
    world_until(w, w->b.closed == 1);
    assert_int_equal(w->b.end, STREAM_END_RESET);
    assert_string_equal(w->b.detail, "the connection broke: connection reset by peer");
    world_free(w);
}

static void a_reset_after_octets_is_a_reset(void **state)
{
    int fd;
    struct world *w = raw_world(state, &fd);
    side_reading(&w->b, false);
    const uint8_t octets[] = {pattern(0), pattern(1)};
    assert_int_equal(write(fd, octets, sizeof(octets)), sizeof(octets));
    raw_reset(fd);
    side_reading(&w->b, true);
    world_until(w, w->b.closed == 1);
    assert_int_equal(w->b.got, sizeof(octets));
    assert_int_equal(w->b.end, STREAM_END_RESET);
    world_free(w);
}

static void writing_to_a_reset_connection(void **state)
{
    int fd;
    struct world *w = raw_world(state, &fd);
    side_reading(&w->b, false);
    raw_reset(fd);
    side_write(&w->b, 1000); /* the first write meets the reset, a second one would be a SIGPIPE */
    side_write(&w->b, 1000);
    world_until(w, w->b.closed == 1);
    assert_int_equal(w->b.end, STREAM_END_RESET);
    world_free(w);
}

static void octets_before_a_reset_are_read_though_writing_fails(void **state)
{
    int fd;
    struct world *w = raw_world(state, &fd);
    uint8_t octets[1000];
    for (size_t i = 0; i < sizeof(octets); i++) {
        octets[i] = pattern(i);
    }
    side_reading(&w->b, false);
    assert_int_equal(write(fd, octets, sizeof(octets)), sizeof(octets));
    raw_reset(fd);
    side_reading(&w->b, true);
    side_write(&w->b, 10);
    assert_true(stream_busy(w->b.stream));
    world_until(w, w->b.closed == 1);
    assert_int_equal(w->b.end, STREAM_END_RESET);
    assert_int_equal(w->b.got, sizeof(octets));
    world_free(w);
}

static void a_reset_while_busy(void **state)
{
    int fd;
    struct world *w = raw_world(state, &fd);
    w->b.to_send = SIZE_MAX / 2;
    world_until(w, stream_busy(w->b.stream));
    w->b.to_send = w->b.sent;
    raw_reset(fd);
    world_until(w, w->b.closed == 1);
    assert_int_equal(w->b.end, STREAM_END_RESET);
    assert_int_equal(w->b.writable, 0);
    world_free(w);
}

static void a_peer_reset_before_it_was_accepted(void **state)
{
    struct world *w = kind_world(state);
    w->accept = false;
    int fd = raw_connect(w->port);
    world_until(w, w->arrivals == 1);
    raw_reset(fd);
    world_accept(w);
    assert_non_null(w->b.stream);
    assert_string_equal(stream_peer(w->b.stream), "");
    world_until(w, w->b.closed == 1);
    assert_int_equal(w->b.end, STREAM_END_RESET);
    world_free(w);
}

static void flush_gives_up_after_a_second(void **state)
{
    int fd;
    struct world *w = raw_world(state, &fd);
    w->b.to_send = SIZE_MAX / 2;
    world_until(w, stream_busy(w->b.stream));
    w->b.to_send = w->b.sent;
    uint64_t begin = uv_hrtime();
    side_close(&w->b, true);
    world_until(w, w->b.closed == 1);
    assert_in_range((uv_hrtime() - begin) / 1000000, 900, 2000);
    assert_int_equal(w->b.end, STREAM_END_CLOSED);
    assert_int_equal(close(fd), 0);
    world_free(w);
}

static void a_second_close_ends_the_flush(void **state)
{
    int fd;
    struct world *w = raw_world(state, &fd);
    side_close(&w->b, true);
    world_turns(w, 5);
    assert_int_equal(w->b.closed, 0); /* the peer has not closed */
    side_close(&w->b, true);
    world_turns(w, 5);
    assert_int_equal(w->b.closed, 0);
    side_close(&w->b, false);
    world_turns(w, 2);
    assert_int_equal(w->b.closed, 1);
    assert_int_equal(close(fd), 0);
    world_free(w);
}

static void a_half_closed_peer_still_gets_what_is_flushed(void **state)
{
    int fd;
    struct world *w = raw_world(state, &fd);
    side_reading(&w->b, false);
    w->b.to_send = SIZE_MAX / 2;
    world_until(w, stream_busy(w->b.stream));
    w->b.to_send = w->b.sent;
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    side_close(&w->b, true);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    size_t got = 0;
    while (w->b.closed == 0) {
        static uint8_t octets[65536];
        ssize_t part = read(fd, octets, sizeof(octets));
        got += part > 0 ? (size_t)part : 0;
        (void)uv_run(&w->loop, UV_RUN_NOWAIT);
    }
    static uint8_t rest[65536];
    for (ssize_t part; (part = read(fd, rest, sizeof(rest))) > 0; got += (size_t)part) {
    }
    assert_int_equal(got, w->b.sent);
    assert_int_equal(close(fd), 0);
    world_free(w);
}

static void nodelay_is_set_on_both(void **state)
{
    struct world *w = kind_world(state);
    world_connect(w);
    unsigned found = 0;
    for (int fd = 3; fd < 200; fd++) {
        int on = 0;
        socklen_t len = sizeof(on);
        found += getsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, &len) == 0 && on != 0;
    }
    assert_int_equal(found, 2);
    world_free(w);
}

/* --- want of descriptors and of memory ------------------------------------------------------------------ */

static void without_descriptors_connecting_ends(void **state)
{
    struct world *w = kind_world(state);
    world_connect(w); /* so that all has the descriptors that it needs */
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(0);
    assert_int_equal(close(next), 0);
    const struct rlimit none = {.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);

    struct side c = {.world = w, .room_size = 100};
    struct stream_target target = world_target(w);
    c.stream = stream_connect(&w->env, &target, &side_events, &c);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    world_until(w, c.closed == 1);
    assert_int_equal(c.end, STREAM_END_CONNECT);
    assert_non_null(strstr(c.detail, "too many open files"));
    world_free(w);
}

/* A whole life with the Nth allocation failing, for every N: either there is no stream, or it ends with
 * closed. */
static bool life_without_allocation(void **state, unsigned number)
{
    struct world *w = kind_world(state);
    w->chunks.free_max = 0;
    fail_at = number;
    allocations = 0;
    world_begin(w);
    w->b.echo = true;
    w->a.to_send = 40000;
    uint64_t limit = uv_hrtime() + UINT64_C(300000000);
    bool good = false;
    while (!good && w->a.stream != NULL && uv_hrtime() < limit) {
        world_turn(w);
        good = w->a.got == 40000;
    }
    bool reached = allocations >= number;
    fail_at = 0;
    w->a.to_send = w->a.sent;
    w->b.to_send = w->b.sent;
    if (w->b.closed > 0) {
        world_until(w, w->a.stream == NULL || w->b.end != STREAM_END_CLOSED);
    }
    world_free(w);
    return reached;
}

static void any_allocation_may_fail(void **state)
{
    enum kind kind = *(const enum kind *)*state;
    unsigned step = kind == KIND_TLS ? 7 : 1; /* there OpenSSL makes some thousand */
    unsigned number = 1;
    while (life_without_allocation(state, number)) {
        number += step;
    }
    assert_true(number > 4);
}

static void without_memory_the_listener_goes_on(void **state)
{
    struct world *w = kind_world(state);
    w->accept = false;
    int fd = raw_connect(w->port);
    world_until(w, w->arrivals == 1);
    fail_at = 1;
    allocations = 0;
    world_accept(w);
    fail_at = 0;
    assert_null(w->b.stream);
    assert_int_equal(w->accept_error, UV_ENOMEM);
    assert_int_equal(close(fd), 0);
    w->accept = true;
    world_begin(w);
    world_until(w, w->a.opened == 1 && w->b.opened == 1);
    world_free(w);
}

static void accepting_with_nobody_waiting(void **state)
{
    struct world *w = kind_world(state);
    world_accept(w);
    assert_null(w->b.stream);
    assert_int_equal(w->accept_error, UV_EAGAIN);
    world_turns(w, 3);
    assert_int_equal(w->b.closed, 0); /* its owner never had it */
    world_free(w);
}

/* --- names and addresses -------------------------------------------------------------------------------- */

static void every_end_has_a_name(void **state)
{
    (void)state;
    for (int i = 0; i < STREAM_END_COUNT; i++) {
        assert_string_not_equal(stream_end_name((enum stream_end)i), "unknown");
    }
    assert_string_equal(stream_end_name(STREAM_END_RESET), "reset");
    assert_string_equal(stream_end_name(STREAM_END_COUNT), "unknown");
}

#define WITH(test, kind)                           \
    {                                              \
#test " " #kind, test, NULL, NULL, &(kind) \
    }
#define SOCKETS(test) WITH(test, tcp), WITH(test, tls)
#define ALL(test)     SOCKETS(test), WITH(test, memory)

int main(void)
{
    static enum kind tcp = KIND_TCP, tls = KIND_TLS, memory = KIND_MEMORY;
    (void)CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_end_has_a_name),
        ALL(a_word_comes_back),
        ALL(tiny_rooms_get_everything),
        ALL(odd_rooms_get_everything),
        WITH(memory_in_small_steps, memory),
        ALL(bulk_both_ways),
        ALL(empty_chunks_are_harmless),
        ALL(both_know_the_other),
        ALL(busy_until_the_reader_reads),
        ALL(a_busy_stream_can_be_closed),
        cmocka_unit_test(a_stranger_waits_for_its_turn),
        ALL(stopped_within_bytes_is_stopped),
        ALL(stop_and_start_lose_nothing),
        ALL(reading_is_off_until_it_is_started),
        ALL(closing_is_an_orderly_end_for_the_peer),
        ALL(the_acceptor_may_close_too),
        ALL(both_may_close_at_once),
        ALL(what_came_before_the_end_is_read),
        ALL(flush_sends_everything_first),
        ALL(flush_survives_octets_unread),
        ALL(close_within_opened),
        ALL(close_within_bytes),
        ALL(close_within_writable),
        ALL(close_at_every_step),
        ALL(a_write_after_close_is_dropped),
        WITH(cut_is_a_reset_for_both, memory),
        WITH(a_step_delivers_no_more_than_asked, memory),
        WITH(without_flush_only_the_capacity_arrives, memory),
        WITH(writing_to_a_closed_end_is_a_reset, memory),
        SOCKETS(a_closed_port_refuses),
        SOCKETS(an_address_that_cannot_be_reached),
        SOCKETS(a_name_without_address),
        SOCKETS(a_name_too_long_to_be_one),
        SOCKETS(a_resolver_that_is_slow),
        SOCKETS(closed_while_resolving),
        SOCKETS(names_are_resolved),
        WITH(the_second_address_serves_where_the_first_refuses, tcp),
        SOCKETS(every_address_refuses),
        SOCKETS(a_silent_peer_is_given_up),
        WITH(a_silent_first_address_leaves_time_for_the_second, tcp),
        SOCKETS(closed_while_connecting),
        WITH(a_reset_is_told_from_an_end, tcp),
        WITH(a_reset_after_octets_is_a_reset, tcp),
        WITH(writing_to_a_reset_connection, tcp),
        WITH(octets_before_a_reset_are_read_though_writing_fails, tcp),
        WITH(a_reset_while_busy, tcp),
        WITH(a_peer_reset_before_it_was_accepted, tcp),
        WITH(flush_gives_up_after_a_second, tcp),
        WITH(a_second_close_ends_the_flush, tcp),
        WITH(a_half_closed_peer_still_gets_what_is_flushed, tcp),
        SOCKETS(nodelay_is_set_on_both),
        SOCKETS(without_descriptors_connecting_ends),
        SOCKETS(any_allocation_may_fail),
        SOCKETS(without_memory_the_listener_goes_on),
        SOCKETS(accepting_with_nobody_waiting),
    };
    return cmocka_run_group_tests_name("stream", tests, make_contexts, free_contexts);
}
