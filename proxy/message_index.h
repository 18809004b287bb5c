/* Which link accepted a message: (client, message id) -> link, for query_sm, cancel_sm, replace_sm, receipts.
 *
 *   submit_sm_resp ──message_index_put──▶ one 64-bit word in a table of fixed size
 *   query_sm, receipt ◀──message_index_find──┘
 *
 * Bounded, with a time to live, kept over restarts: the table is a memory-mapped file of words, each written
 * with one relaxed atomic exchange, so that all workers share it without a lock. (The design has workers
 * share nothing but the snapshot; a client's transmitter and receiver, or its next connection, may be on
 * another worker than the one that carried the message, and a word that is stored whole is the cheapest way
 * to meet them.) The word holds a fingerprint, the link's number and a coarse time; a set of words that is
 * full loses its oldest. */
#ifndef PROXY_MESSAGE_INDEX_H
#define PROXY_MESSAGE_INDEX_H

#include <stddef.h>
#include <stdint.h>

struct message_index;

/* entries is rounded up to a power of two, at least 8. path NULL: in memory only. A file of another size or
 * layout, or a damaged one, is begun anew (*reason then says so, static text; else NULL). NULL where it
 * cannot be made at all, and *reason says why. ttl_s in seconds: an entry lives that long, and up to 8
 * seconds more. */
struct message_index *message_index_open(const char *path, size_t entries, uint64_t ttl_s,
                                         const char **reason);
void message_index_close(struct message_index *index);

/* The number by which the index knows a link; main thread, when a config is taken into use. Numbers live in
 * the file, so that they mean the same after a restart. -1 when there are too many (1024), or the name is
 * longer than 55. */
int message_index_link(struct message_index *index, const char *link_name);

/* A client's share of the key; compute once a session. Not the same after the index was begun anew. */
uint64_t message_index_client(const struct message_index *index, const char *system_id);

/* now_s: seconds since 1970. No allocation, no lock. Any thread. link -1 is not put. */
void message_index_put(struct message_index *index, uint64_t client, const uint8_t *id, size_t len, int link,
                       uint64_t now_s);

/* The same in two steps, for the path of a message: an entry lies anywhere in a table of megabytes, so the
 * first step has it fetched into the cache, and the second writes it when it has had time to come. One a
 * worker. */
enum { MESSAGE_INDEX_BATCH = 16 };
struct message_index_batch {
    struct message_index *index;
    unsigned first, count;
    struct {
        uint64_t hash, word;
    } pending[MESSAGE_INDEX_BATCH];
};
void message_index_put_soon(struct message_index_batch *batch, uint64_t client, const uint8_t *id, size_t len,
                            int link, uint64_t now_s);

/* Writes what is pending: before the answers that name these ids go out, and before message_index_find. */
void message_index_settle(struct message_index_batch *batch);

/* The link's number, or -1. Where two links gave the client the same id, the newest. */
int message_index_find(const struct message_index *index, uint64_t client, const uint8_t *id, size_t len,
                       uint64_t now_s);

/* SipHash-2-4 (Aumasson, Bernstein, 2012), for whatever peers may choose and is hashed under a secret key. */
uint64_t message_index_siphash(const uint64_t key[2], const uint8_t *data, size_t len);

#endif
