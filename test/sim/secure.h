/* TLS for the clients of a world, and chance for OpenSSL: what it asks for comes from the seed, apart from the world's own
 * chance, since it asks for more where it is used for the first time.
 *
 *   wire ──secure_feed──▶ client's SSL ──secure_read──▶ PDUs        PDUs ──secure_write──▶ ──secure_output──▶ wire
 *
 * The instances' side is the real one (proxy/stream_tls.c), over the wire's near end. The certificate is of Ed25519, whose
 * signatures have one length: how many octets go over a wire must not depend on theirs. */
#ifndef TEST_SIM_SECURE_H
#define TEST_SIM_SECURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ssl_st;

/* For a world: chance from its seed, certificate and key written into the directory ("cert.pem", "key.pem"). */
void secure_begin(uint64_t seed, const char *directory);

struct ssl_st *secure_new(void);
void secure_free(struct ssl_st *ssl);

/* Octets have come. True where the handshake is done, now or before. */
bool secure_feed(struct ssl_st *ssl, const void *octets, size_t len);

/* What they say, at most cap octets; 0: no more. */
size_t secure_read(struct ssl_st *ssl, void *octets, size_t cap);

void secure_write(struct ssl_st *ssl, const void *octets, size_t len);
void secure_goodbye(struct ssl_st *ssl);

/* What is to go over the wire, at most cap octets; 0: no more. */
size_t secure_output(struct ssl_st *ssl, void *octets, size_t cap);

#endif
