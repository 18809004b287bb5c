/* What is kept is any block of malloc that is large enough for a record, so that OpenSSL's realloc and blocks of
 * before tls_buffers_use need no care.
 *
 * Large blocks of malloc begin 16 octets into a page, the buffers that records are copied from and to among them, and a
 * record begins some octets further in. That is the worst place: where a copy's destination is 1 to 15 octets further
 * into its page than the source, some processors (AMD's Zen) copy octet by octet, 30 times slower. So record buffers
 * begin a quarter of a page in. */
#include "proxy/tls_buffers.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/ssl3.h>
#include <stdlib.h>

enum {
    QUARTER_PAGE = 1024,
    SMALLEST = SSL3_RT_MAX_PLAIN_LENGTH, /* what is smaller is no record buffer */
    BUFFER = (SSL3_RT_MAX_PACKET_SIZE / QUARTER_PAGE + 2) * QUARTER_PAGE, /* a record, and what OpenSSL puts
                                                                             around it */
    LARGEST = BUFFER + 4096, /* a buffer and what the allocator may add */
    SPARES = 4,              /* one is read into, one written from; records may come in parts */
};

static _Thread_local struct {
    void *spare[SPARES];
    unsigned count;
} kept;

static void *take(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    if (size <= SMALLEST || size > BUFFER) {
        return malloc(size);
    }
    return kept.count > 0 ? kept.spare[--kept.count] : aligned_alloc(QUARTER_PAGE, BUFFER);
}

static void *change(void *block, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return realloc(block, size);
}

static void give_back(void *block, const char *file, int line)
{
    (void)file;
    (void)line;
    size_t size = malloc_usable_size(block); /* 0 for NULL */
    if (size >= BUFFER && size <= LARGEST && kept.count < SPARES) {
        kept.spare[kept.count++] = block;
    } else {
        free(block);
    }
}

void tls_buffers_use(void)
{
    (void)CRYPTO_set_mem_functions(take, change, give_back);
}

void tls_buffers_clear(void)
{
    while (kept.count > 0) {
        free(kept.spare[--kept.count]);
    }
}
