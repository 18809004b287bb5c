/* TLS over a TCP stream: this stream is the owner of that one, and has the same face.
 *
 *   inner stream ──env->cipher──▶ in, kept ──BIO──▶ SSL_read ──▶ the owner's room, bytes
 *   owner ──stream_write──▶ SSL_write ──BIO──▶ out (chunks) ──▶ inner stream
 *
 *   connecting ──inner opened──▶ handshake ──▶ open ──▶ ending ──inner closed, handles closed──▶ freed
 *
 * The BIO is our own and copies nothing on the way in: OpenSSL takes its records from the loop's one receive
 * buffer. What it has not taken by the end of a callback (the owner stopped reading, or this stream's turn is
 * over) is kept in chunks, and reading from the inner stream stops until it is gone. An idle stream holds
 * neither chunks nor record buffers. */
#include "proxy/stream.h"

#include <assert.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/stream_p.h"

enum {
    TURN_READS =
        128, /* records decrypted in a wake-up, before the other streams of the loop have their turn: the smallest cost some
                1.6 us each, and a client that keeps to the usual window of 100 never meets it */
    ANSWERS_MAX =
        1 << 16, /* octets that OpenSSL may answer of its own accord to a peer that does not read them */
    MESSAGES_MS = 1000, /* for which env->tls_messages counts */
};

enum tls_state { TLS_CONNECTING, TLS_HANDSHAKE, TLS_OPEN, TLS_ENDING };

struct tls_stream {
    struct stream base;
    struct stream *inner; /* NULL once it has closed */
    SSL *ssl;
    SSL_CTX *context; /* of an accepted one until its first octets: what ssl is to be made of */
    enum tls_state state;
    enum stream_end end;
    bool reading;       /* the owner wants it */
    bool inner_reading; /* the inner stream does it */
    bool turn_over;     /* read as much as one wake-up may; libuv would read on */
    bool writing;       /* stream_write is encrypting */
    bool no_memory;     /* out could not grow */
    bool unread;        /* out must not grow: the peer asks and does not read */
    bool flooded;       /* the peer asks too often: no more of it is read */
    bool refused;       /* the peer's certificate; detail says why */
    const uint8_t *in;  /* ciphertext of this wake-up, not taken yet */
    size_t in_len;
    struct chain kept; /* ciphertext of earlier ones */
    struct chain out;
    size_t answers;
    unsigned messages;       /* since messages_since */
    uint64_t messages_since; /* ms */
    uv_timer_t timer;        /* of the handshake */
    uv_idle_t turn; /* active while there is something to deliver without waiting for the inner stream */
    struct stranger stranger; /* as one that waits with what is here already */
    unsigned handles;
    uint64_t deadline;
    char detail[192];
};

static struct tls_stream *tls_of(struct stream *s)
{
    return (struct tls_stream *)s;
}

/* --- the BIO ------------------------------------------------------------------------------------------- */

static size_t take_kept(struct tls_stream *t, char *data, size_t len)
{
    const struct chunk *chunk = t->kept.first;
    size_t part = chunk->end - chunk->start;
    if (part > len) {
        part = len;
    }
    memcpy(data, chunk->data + chunk->start, part);
    chain_consume(&t->kept, t->base.env->chunks, part);
    return part;
}

static size_t take_new(struct tls_stream *t, char *data, size_t len)
{
    size_t part = t->in_len < len ? t->in_len : len;
    if (part > 0) {
        memcpy(data, t->in, part);
        t->in += part;
        t->in_len -= part;
    }
    return part;
}

static int bio_read(BIO *bio, char *data, int len)
{
    struct tls_stream *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (t->flooded) { /* OpenSSL reads a record at a time, and would go through all that is here in one call */
        return -1;
    }
    size_t want = len > 0 ? (size_t)len : 0;
    size_t got = t->kept.first != NULL ? take_kept(t, data, want) : take_new(t, data, want);
    if (got == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    return (int)got;
}

/* Appends to a chain. False without memory. */
static bool chain_copy(struct chain *chain, struct chunk_pool *pool, const void *data, size_t len)
{
    const uint8_t *from = data;
    while (len > 0) {
        if (chain->first == NULL || chain->last->end == CHUNK_SIZE) {
            struct chunk *chunk = chunk_get(pool);
            if (chunk == NULL) {
                return false;
            }
            chain_append(chain, chunk);
        }
        struct chunk *last = chain->last;
        size_t part = CHUNK_SIZE - last->end < len ? CHUNK_SIZE - last->end : len;
        memcpy(last->data + last->end, from, part);
        last->end += (uint32_t)part;
        from += part;
        len -= part;
    }
    return true;
}

static int bio_write(BIO *bio, const char *data, int len)
{
    struct tls_stream *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (len <= 0) {
        return 0;
    }
    if (!t->writing) {
        t->answers += (size_t)len;
    }
    t->unread = t->answers > ANSWERS_MAX;
    t->no_memory = !t->unread && !chain_copy(&t->out, t->base.env->chunks, data, (size_t)len);
    if (t->unread || t->no_memory) {
        return -1;
    }
    return len;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *bio_method;

static void make_bio_method(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "turnout stream");
    if (bio_method != NULL) {
        (void)BIO_meth_set_read(bio_method, bio_read);
        (void)BIO_meth_set_write(bio_method, bio_write);
        (void)BIO_meth_set_ctrl(bio_method, bio_ctrl);
    }
}

static BIO *new_bio(struct tls_stream *t)
{
    static uv_once_t once = UV_ONCE_INIT;
    uv_once(&once, make_bio_method);
    BIO *bio = bio_method != NULL ? BIO_new(bio_method) : NULL;
    if (bio != NULL) {
        BIO_set_data(bio, t);
        BIO_set_init(bio, 1);
    }
    return bio;
}

/* --- the end ------------------------------------------------------------------------------------------- */

static void tls_free(struct tls_stream *t)
{
    assert(t->stranger.among == NULL);
    SSL_free(t->ssl);
    SSL_CTX_free(t->context);
    free(t);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct tls_stream *t = handle->data;
    if (--t->handles > 0) {
        return;
    }
    chain_drop(&t->kept, t->base.env->chunks);
    chain_drop(&t->out, t->base.env->chunks);
    t->base.events->closed(t->base.owner, t->end, t->detail);
    tls_free(t);
}

static void set_detail(struct tls_stream *t, const char *detail)
{
    (void)snprintf(t->detail, sizeof(t->detail), "%s", detail);
}

/* The rest follows when the inner stream has closed. detail NULL: it is set already. */
static void end(struct tls_stream *t, enum stream_end why, const char *detail, bool flush)
{
    if (t->state == TLS_ENDING) {
        return;
    }
    t->state = TLS_ENDING;
    t->end = why;
    if (detail != NULL) {
        set_detail(t, detail);
    }
    (void)uv_timer_stop(&t->timer);
    (void)uv_idle_stop(&t->turn);
    strangers_leave(&t->stranger);
    stream_close(t->inner, flush);
}

static void inner_closed(void *owner, enum stream_end why, const char *detail)
{
    struct tls_stream *t = owner;
    t->base.address = t->inner->address;
    memcpy(t->base.peer, t->inner->peer, sizeof(t->base.peer));
    t->inner = NULL;
    if (t->state == TLS_HANDSHAKE && (why == STREAM_END_PEER || why == STREAM_END_RESET)) {
        t->end = STREAM_END_TLS_LEFT;
        (void)snprintf(t->detail, sizeof(t->detail), "in the TLS handshake: %s", detail);
    } else if (t->state != TLS_ENDING) {
        t->end = why;
        set_detail(t, detail);
    }
    t->state = TLS_ENDING;
    strangers_leave(&t->stranger);
    uv_close((uv_handle_t *)&t->timer, on_handle_closed);
    uv_close((uv_handle_t *)&t->turn, on_handle_closed);
}

/* --- faults, as sentences ------------------------------------------------------------------------------ */

/* "certificate has expired (depth 0, CN=smsc.example)" */
static void describe_refusal(struct tls_stream *t, X509_STORE_CTX *store)
{
    X509 *certificate = X509_STORE_CTX_get_current_cert(store);
    char name[96] = "no name";
    if (certificate != NULL) {
        int len = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name,
                                            (int)sizeof(name));
        for (int i = 0; i < len && name[i] != '\0'; i++) { /* it goes to the log, and it is the peer's */
            if (name[i] < ' ' || name[i] > '~') {
                name[i] = '?';
            }
        }
    }
    (void)snprintf(t->detail, sizeof(t->detail), "%s (depth %d, CN=%s)",
                   X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)),
                   X509_STORE_CTX_get_error_depth(store), name);
}

static int on_verify(int good, X509_STORE_CTX *store)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_stream *t = SSL_get_app_data(ssl);
    if (!good && !t->refused && (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0) {
        t->refused = true;
        describe_refusal(t, store);
    }
    return good;
}

static bool is_no_tls(int reason)
{
    return reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST ||
           reason == SSL_R_HTTPS_PROXY_REQUEST;
}

/* From OpenSSL's queue, which must be of the call that has just failed. Sets the detail. */
static enum stream_end name_fault(struct tls_stream *t)
{
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
    const char *text = ERR_reason_error_string(error);
    if (t->refused) {
        return STREAM_END_TLS_CERTIFICATE;
    }
    if (reason > SSL_AD_REASON_OFFSET) {
        const char *alert = SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET);
        bool known = strcmp(alert, "unknown") != 0; /* not those of TLS 1.3 */
        (void)snprintf(t->detail, sizeof(t->detail), "the peer refused the TLS session: %s",
                       known || text == NULL ? alert : text);
        return STREAM_END_TLS_ALERT;
    }
    if (t->state == TLS_HANDSHAKE && is_no_tls(reason)) {
        (void)snprintf(t->detail, sizeof(t->detail), "the peer does not speak TLS here (%s)", text);
        return STREAM_END_TLS_NONE;
    }
    (void)snprintf(t->detail, sizeof(t->detail), "TLS fault: %s", text != NULL ? text : "unknown");
    return t->state == TLS_HANDSHAKE ? STREAM_END_TLS_FAULT : STREAM_END_TLS_RECORD;
}

/* The peer has said good-bye. */
static enum stream_end name_goodbye(struct tls_stream *t)
{
    bool shaking = t->state == TLS_HANDSHAKE;
    set_detail(t, shaking ? "in the TLS handshake: closed by the peer" : "closed by the peer");
    return shaking ? STREAM_END_TLS_LEFT : STREAM_END_PEER;
}

static enum stream_end name_end(struct tls_stream *t, int error)
{
    if (t->no_memory || ERR_GET_REASON(ERR_peek_error()) == ERR_R_MALLOC_FAILURE) {
        set_detail(t, "no memory for TLS");
        return STREAM_END_MEMORY;
    }
    if (t->unread || t->flooded) {
        set_detail(t, t->flooded ? "more TLS messages than max-tls-messages"
                                 : "the peer asks for new keys and does not read the answers");
        return STREAM_END_TLS_FLOOD;
    }
    return error == SSL_ERROR_ZERO_RETURN ? name_goodbye(t) : name_fault(t);
}

/* What an SSL call's failure means; STREAM_END_COUNT: nothing, it only wants more. Sets the detail. */
static enum stream_end fault_of(struct tls_stream *t, int result)
{
    int error = SSL_get_error(t->ssl, result);
    if (error == SSL_ERROR_WANT_READ) {
        return STREAM_END_COUNT;
    }
    enum stream_end why = name_end(t, error);
    ERR_clear_error();
    return why;
}

/* --- moving octets ------------------------------------------------------------------------------------- */

static bool inner_busy(const struct tls_stream *t)
{
    return t->inner != NULL && stream_busy(t->inner);
}

/* Gives the ciphertext to the inner stream, also while that is busy. */
static void hand_over(struct tls_stream *t)
{
    if (t->out.first != NULL) {
        struct chunk *first = t->out.first;
        t->out = (struct chain){NULL, NULL};
        stream_write(t->inner, first);
    }
    if (!inner_busy(t)) {
        t->answers = 0;
    }
}

/* Ends it with what OpenSSL had to say, which hand_over has given to the inner stream. A peer that is told of
 * its fault in the handshake gets the time to read that; later, the owner's knowing at once is worth more. */
static void fail(struct tls_stream *t, enum stream_end why)
{
    end(t, why, NULL, t->state == TLS_HANDSHAKE && why != STREAM_END_MEMORY);
}

static void on_turn(uv_idle_t *turn);

/* Reading from the inner stream, or from what is here already, or not at all. */
static void adjust(struct tls_stream *t)
{
    if (t->state != TLS_HANDSHAKE && t->state != TLS_OPEN) {
        return;
    }
    bool wanted = t->state == TLS_HANDSHAKE || t->reading;
    /* not while it shakes hands: OpenSSL 3.5 crashes where that has failed for want of memory */
    bool decrypted = t->state == TLS_OPEN && SSL_pending(t->ssl) > 0;
    bool here = t->kept.first != NULL || t->turn_over || decrypted;
    bool from_inner = wanted && !here;
    if (from_inner != t->inner_reading) {
        t->inner_reading = from_inner;
        (from_inner ? stream_read_start : stream_read_stop)(t->inner);
    }
    bool waits = t->stranger.among != NULL; /* for its time among strangers */
    if (wanted && here && !waits) {
        (void)uv_idle_start(&t->turn, on_turn);
    } else if (!wanted || !here) {
        strangers_leave(&t->stranger);
        (void)uv_idle_stop(&t->turn);
    }
}

/* --- messages that are no data ----------------------------------------------------------------------------- */

static void tell(const struct tls_stream *t, enum tls_event event)
{
    if (t->base.events->tls_event != NULL) {
        t->base.events->tls_event(t->base.owner, event);
    }
}

/* Each costs the peer next to nothing, and us a derivation of keys or an answer. */
static void count_message(struct tls_stream *t, enum tls_event event)
{
    const struct stream_env *env = t->base.env;
    uint64_t now = uv_now(env->loop);
    if (now - t->messages_since >= MESSAGES_MS) {
        t->messages_since = now;
        t->messages = 0;
    }
    t->flooded |= ++t->messages > env->tls_messages && env->tls_messages != 0;
    tell(t, event);
}

/* OpenSSL tells of steps, not of messages: of those after the handshake, here are the ones that a peer begins. */
static void on_info(const SSL *ssl, int where, int value)
{
    enum { NO_RENEGOTIATION = SSL3_AL_WARNING << 8 | SSL_AD_NO_RENEGOTIATION };
    struct tls_stream *t = SSL_get_app_data(ssl);
    if (t->state != TLS_OPEN) {
        return;
    }
    OSSL_HANDSHAKE_STATE step = SSL_get_state(ssl);
    if (where == SSL_CB_WRITE_ALERT && value == NO_RENEGOTIATION) {
        count_message(t, TLS_EVENT_RENEGOTIATION);
    } else if ((where & SSL_CB_LOOP) != 0 && (step == TLS_ST_SR_KEY_UPDATE || step == TLS_ST_CR_KEY_UPDATE)) {
        count_message(t, TLS_EVENT_KEYS);
    } else if ((where & SSL_CB_LOOP) != 0 && step == TLS_ST_CR_SESSION_TICKET) {
        count_message(t, TLS_EVENT_TICKET);
    }
}

static SSL *new_ssl(struct tls_stream *t, SSL_CTX *context)
{
    SSL *ssl = SSL_new(context);
    BIO *bio = new_bio(t);
    if (ssl == NULL || bio == NULL) {
        SSL_free(ssl);
        BIO_free(bio);
        return NULL;
    }
    SSL_set_bio(ssl, bio, bio);
    if (SSL_set_app_data(ssl, t) != 1) { /* the callbacks go by it */
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_info_callback(ssl, on_info);
    SSL_set_verify(ssl, SSL_get_verify_mode(ssl), on_verify);
    return ssl;
}

/* Only now: many who connect never say a word, or are shown out first, and it costs as much as accepting them did. */
static bool begin_to_accept(struct tls_stream *t)
{
    t->ssl = new_ssl(t, t->context);
    ERR_clear_error();
    if (t->ssl == NULL) {
        return false;
    }
    SSL_CTX_free(t->context);
    t->context = NULL;
    SSL_set_accept_state(t->ssl);
    return true;
}

static void handshake(struct tls_stream *t)
{
    if (t->ssl == NULL && !begin_to_accept(t)) {
        end(t, STREAM_END_MEMORY, "no memory for TLS", false);
        return;
    }
    ERR_clear_error();
    int result = SSL_do_handshake(t->ssl);
    enum stream_end why = result == 1 ? STREAM_END_COUNT : fault_of(t, result);
    hand_over(t);
    if (why != STREAM_END_COUNT) {
        fail(t, why);
    } else if (result == 1) {
        t->state = TLS_OPEN;
        (void)uv_timer_stop(&t->timer);
        t->base.events->opened(t->base.owner);
    }
}

/* Asking OpenSSL when there is nothing costs it a record buffer, taken and given back. */
static bool has_unread(const struct tls_stream *t)
{
    return t->in_len > 0 || t->kept.first != NULL || SSL_pending(t->ssl) > 0;
}

/* Decrypts into len octets of room until it is full or nothing is left; returns how much. */
static size_t fill(struct tls_stream *t, uint8_t *room, size_t len, unsigned *reads, enum stream_end *why)
{
    size_t done = 0;
    *why = STREAM_END_COUNT;
    ERR_clear_error();
    while (done < len && *reads < TURN_READS && has_unread(t)) {
        size_t part = len - done < INT_MAX ? len - done : INT_MAX;
        int result = SSL_read(t->ssl, room + done, (int)part);
        if (result <= 0) {
            *why = fault_of(t, result);
            break;
        }
        done += (size_t)result;
        (*reads)++;
    }
    return done;
}

/* Says close_notify, once. */
static void say_goodbye(struct tls_stream *t)
{
    ERR_clear_error();
    (void)SSL_shutdown(t->ssl);
    ERR_clear_error();
}

static void deliver(struct tls_stream *t)
{
    enum stream_end why = STREAM_END_COUNT;
    unsigned reads = 0;
    bool full = true;
    while (full && t->state == TLS_OPEN && t->reading && reads < TURN_READS) {
        size_t len = 0;
        uint8_t *room = t->base.events->room(t->base.owner, &len);
        size_t got = fill(t, room, len, &reads, &why);
        full = got == len;
        if (got > 0) {
            t->base.events->bytes(t->base.owner, got);
        }
    }
    if (t->state != TLS_OPEN) {
        return;
    }
    if (reads == TURN_READS && has_unread(t)) {
        tell(t, TLS_EVENT_MANY);
    }
    if (why == STREAM_END_PEER) {
        say_goodbye(t);
    }
    hand_over(t);
    if (why != STREAM_END_COUNT) {
        fail(t, why);
    }
}

/* Everything that comes in passes here, from a callback of the loop, never from within a call by the owner.
 */
static void pump(struct tls_stream *t)
{
    if (t->state == TLS_HANDSHAKE) {
        handshake(t);
    }
    if (t->state == TLS_OPEN) {
        deliver(t);
    }
    if (t->state != TLS_ENDING && !chain_copy(&t->kept, t->base.env->chunks, t->in, t->in_len)) {
        end(t, STREAM_END_MEMORY, "no memory for TLS", false);
    }
    t->in_len = 0;
    adjust(t);
}

static struct strangers *inner_stranger(void *owner)
{
    const struct tls_stream *t = owner;
    return t->base.events->stranger != NULL ? t->base.events->stranger(t->base.owner) : NULL;
}

/* What is here already takes a stranger's time as what is read from the socket does. */
static void on_turn(uv_idle_t *turn)
{
    struct tls_stream *t = turn->data;
    struct strangers *strangers = inner_stranger(t);
    if (strangers != NULL && !strangers_may(strangers, &t->stranger)) {
        (void)uv_idle_stop(&t->turn);
        strangers_wait(strangers, &t->stranger);
        return;
    }
    uint64_t begun = strangers != NULL ? uv_hrtime() : 0;
    t->turn_over = false;
    pump(t);
    if (strangers != NULL) {
        strangers_spent(strangers, uv_hrtime() - begun);
    }
}

static void on_called(struct stranger *stranger)
{
    struct tls_stream *t = (struct tls_stream *)((char *)stranger - offsetof(struct tls_stream, stranger));
    (void)uv_idle_start(&t->turn, on_turn);
}

/* --- the inner stream's events ------------------------------------------------------------------------- */

static void on_handshake_too_long(uv_timer_t *timer)
{
    end(timer->data, STREAM_END_TLS_LATE, "the TLS handshake took too long", false);
}

static void start_handshake(struct tls_stream *t)
{
    uint64_t now = uv_now(t->base.env->loop);
    stream_set_address(&t->base, stream_address(t->inner));
    t->state = TLS_HANDSHAKE;
    (void)uv_timer_start(&t->timer, on_handshake_too_long, t->deadline > now ? t->deadline - now : 0, 0);
}

static void inner_opened(void *owner)
{
    struct tls_stream *t = owner;
    start_handshake(t);
    pump(t);
}

static uint8_t *inner_room(void *owner, size_t *len)
{
    const struct tls_stream *t = owner;
    *len = STREAM_CIPHER_ROOM;
    return t->base.env->cipher;
}

static void inner_bytes(void *owner, size_t len)
{
    struct tls_stream *t = owner;
    t->in = t->base.env->cipher;
    t->in_len = len;
    t->turn_over = len == STREAM_CIPHER_ROOM;
    pump(t);
}

static void inner_writable(void *owner)
{
    struct tls_stream *t = owner;
    t->answers = 0;
    if (t->state == TLS_OPEN) {
        t->base.events->writable(t->base.owner);
    }
}

static const struct stream_events inner_events = {
    .opened = inner_opened,
    .room = inner_room,
    .bytes = inner_bytes,
    .writable = inner_writable,
    .closed = inner_closed,
    .stranger = inner_stranger,
};

/* --- the owner's calls --------------------------------------------------------------------------------- */

static void tls_read_start(struct stream *s)
{
    struct tls_stream *t = tls_of(s);
    t->reading = true;
    adjust(t);
}

static void tls_read_stop(struct stream *s)
{
    struct tls_stream *t = tls_of(s);
    t->reading = false;
    adjust(t);
}

/* A record a chunk. Returns what could not be written. */
static struct chunk *encrypt(struct tls_stream *t, struct chunk *chunk, enum stream_end *why)
{
    *why = STREAM_END_COUNT;
    ERR_clear_error();
    while (chunk != NULL && *why == STREAM_END_COUNT) {
        int len = (int)(chunk->end - chunk->start);
        int result = len > 0 ? SSL_write(t->ssl, chunk->data + chunk->start, len) : 1;
        if (result <= 0) {
            *why = fault_of(t, result);
            break;
        }
        struct chunk *next = chunk->next;
        chunk_put(t->base.env->chunks, chunk);
        chunk = next;
    }
    return chunk;
}

static void tls_write(struct stream *s, struct chunk *first)
{
    struct tls_stream *t = tls_of(s);
    enum stream_end why = STREAM_END_COUNT;
    if (t->state == TLS_OPEN) {
        t->writing = true;
        first = encrypt(t, first, &why);
        t->writing = false;
        hand_over(t);
    }
    chunk_put_all(s->env->chunks, first);
    if (why != STREAM_END_COUNT) {
        fail(t, why);
    }
}

static bool tls_busy(const struct stream *s)
{
    const struct tls_stream *t = (const struct tls_stream *)s;
    return inner_busy(t) && t->state != TLS_CONNECTING && t->state != TLS_HANDSHAKE;
}

static void tls_close(struct stream *s, bool flush)
{
    struct tls_stream *t = tls_of(s);
    if (t->state == TLS_ENDING) {
        if (t->inner != NULL && !flush) {
            stream_close(t->inner, false);
        }
        return;
    }
    if (t->state == TLS_OPEN) {
        say_goodbye(t);
        hand_over(t);
    }
    bool shaking = t->state == TLS_HANDSHAKE && t->ssl != NULL;
    end(t, shaking ? STREAM_END_TLS_LATE : STREAM_END_CLOSED,
        shaking ? "closed on this side, in the TLS handshake" : "closed on this side",
        flush && t->state == TLS_OPEN);
}

static const struct stream_kind tls_kind = {
    .read_start = tls_read_start,
    .read_stop = tls_read_stop,
    .write = tls_write,
    .busy = tls_busy,
    .close = tls_close,
};

/* --- making one ---------------------------------------------------------------------------------------- */

static struct tls_stream *tls_new(struct stream_env *env, uint64_t timeout_ms,
                                  const struct stream_events *events, void *owner)
{
    struct tls_stream *t = calloc(1, sizeof(*t));
    if (t != NULL) {
        stream_init(&t->base, &tls_kind, env, events, owner);
        t->stranger.read_on = on_called;
        t->deadline = uv_now(env->loop) + timeout_ms;
    }
    return t;
}

/* Only once nothing can fail any more: handles must be closed, which takes a turn of the loop. */
static void init_handles(struct tls_stream *t)
{
    (void)uv_timer_init(t->base.env->loop, &t->timer);
    (void)uv_idle_init(t->base.env->loop, &t->turn);
    t->timer.data = t->turn.data = t;
    t->handles = 2;
}

/* The name to ask for (SNI has no addresses, and a length), and the one that the certificate must bear. */
static bool expect_name(SSL *ssl, const char *name)
{
    X509_VERIFY_PARAM *parameters = SSL_get0_param(ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(parameters, name) == 1) {
        return true;
    }
    X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    bool asked = strlen(name) > TLSEXT_MAXLEN_host_name || SSL_set_tlsext_host_name(ssl, name) == 1;
    return asked && X509_VERIFY_PARAM_set1_host(parameters, name, 0) == 1;
}

struct stream *stream_tls_connect(struct stream_env *env, const struct stream_target *target,
                                  const struct stream_events *events, void *owner)
{
    struct tls_stream *t = tls_new(env, target->timeout_ms, events, owner);
    if (t == NULL) {
        return NULL;
    }
    t->ssl = new_ssl(t, target->tls);
    bool named =
        t->ssl != NULL && expect_name(t->ssl, target->tls_name != NULL ? target->tls_name : target->host);
    ERR_clear_error();
    t->inner = named ? stream_tcp_connect(env, target, &inner_events, t) : NULL;
    if (t->inner == NULL) {
        tls_free(t);
        return NULL;
    }
    init_handles(t);
    SSL_set_connect_state(t->ssl);
    return &t->base;
}

struct stream *stream_tls_accept(struct stream_env *env, uv_stream_t *server, SSL_CTX *tls,
                                 uint64_t handshake_ms, const struct stream_events *events, void *owner,
                                 int *error)
{
    struct tls_stream *t = tls_new(env, handshake_ms, events, owner);
    if (t == NULL) {
        stream_tcp_refuse(server);
        *error = UV_ENOMEM;
        return NULL;
    }
    t->inner = stream_tcp_accept(env, server, &inner_events, t, error);
    if (t->inner == NULL) {
        tls_free(t);
        return NULL;
    }
    init_handles(t);
    SSL_CTX_up_ref(tls);
    t->context = tls;
    start_handshake(t);
    adjust(t);
    return &t->base;
}
