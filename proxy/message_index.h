/* Which link accepted a message: (client, message id) -> link, for query_sm, cancel_sm, replace_sm, receipts.
 *
 *   submit_sm_resp ──message_index_put, settle──▶ one 64-bit word in a table of fixed size
 *   query_sm, receipt ◀──message_index_find──┘
 *
 * Bounded, with a time to live, kept over restarts: the table is a memory-mapped file of words, each stored whole.
 * All workers read all of it, without a lock, and each writes to a part of its own. (The design has workers
 * share nothing but the snapshot; a client's transmitter and receiver, or its next connection, may be on
 * another worker than the one that carried the message, and a word that is stored whole is the cheapest way
 * to meet them.) Where the table is full, the oldest part of it is begun anew. */
#ifndef PROXY_MESSAGE_INDEX_H
#define PROXY_MESSAGE_INDEX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct message_index;

/* entries: so many ids are remembered at least, in 11 octets each. path NULL: in memory only. A
 * file of another size or layout, or a damaged one, is begun anew (*reason then says so, static text; else NULL). NULL
 * where it cannot be made at all, and *reason says why. ttl_s in seconds: an entry lives that long, and up to 32
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

enum { MESSAGE_INDEX_PENDING = 16 };

/* The part of the table that one worker writes to; it begins with .index alone. The rest is the index's own. */
struct message_index_writer {
    struct message_index *index;
    _Atomic uint64_t *words;
    _Atomic uint8_t *taken;
    uint64_t mask; /* of the number of a bucket */
    uint64_t number, began, touched;
    uint32_t room, pending_count;
    uint64_t pending_s; /* when they were put */
    struct message_index_pending {
        uint64_t hash;
        int link;
    } pending[MESSAGE_INDEX_PENDING];
};

/* now_s: seconds since 1970. No allocation, no lock. link -1 is not put. It is found once the writer has been
 * settled. */
void message_index_put(struct message_index_writer *writer, uint64_t client, const uint8_t *id, size_t len,
                       int link, uint64_t now_s);

/* What was put can be found: to be called before a find of the writer's own thread, and before anybody is told an id
 * that was put. */
void message_index_settle(struct message_index_writer *writer);

/* The link's number, or -1. Where two links gave the client the same id, the newest (of two within 32 seconds at two
 * workers, either). Any thread. A look into each part of the table: for what is asked seldom. */
int message_index_find(const struct message_index *index, uint64_t client, const uint8_t *id, size_t len,
                       uint64_t now_s);

/* Has this link given the client this id, whatever other link has, too? Any thread; costs what a find does. */
bool message_index_has(const struct message_index *index, uint64_t client, const uint8_t *id, size_t len,
                       int link, uint64_t now_s);

#endif
