/* The record buffers of OpenSSL, kept by each thread for the next record.
 *
 *   OpenSSL ──a record buffer──▶ a spare of this thread, or malloc
 *           ──back──▶ the thread's spares, or free
 *
 * An idle session holds no buffers (SSL_MODE_RELEASE_BUFFERS), so every record takes one and gives it back. From
 * the allocator each would be a mapping of its own, so that it leaves the process: two system calls and some page
 * faults for every record. */
#ifndef PROXY_TLS_BUFFERS_H
#define PROXY_TLS_BUFFERS_H

/* Before anything else is asked of OpenSSL in this process; too late, it changes nothing. */
void tls_buffers_use(void);

/* Frees the spares of the calling thread, which is about to end. */
void tls_buffers_clear(void);

#endif
