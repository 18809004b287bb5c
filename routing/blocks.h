/* Memory for what the routing table is made of: blocks of one size, counted, so that tables share them.
 *
 *   blocks ──▶ chunk of 2 MB ──▶ head with the counts │ block │ block │ ... 32 of them
 *
 * A look-up at random in a big table costs what the memory costs, so chunks lie as the kernel's huge pages do, and all
 * but the first of them are offered as such: it spares the look-up a walk through the page tables. The counts stand
 * together, not in the blocks, because a new table counts all the blocks that it shares: that would fetch a line of
 * each of them.
 *
 * One thread alone takes, holds and gives; others may read blocks that are not given meanwhile. */
#ifndef ROUTING_BLOCKS_H
#define ROUTING_BLOCKS_H

#include <stdbool.h>

enum { BLOCK_SIZE = 65472 }; /* octets: a 32nd of a chunk without its head, in whole cache lines */

struct blocks;

/* NULL without memory. Held once. */
struct blocks *blocks_new(void);
void blocks_hold(struct blocks *blocks);

/* The last one frees it; no block of it may be in use then. */
void blocks_drop(struct blocks *blocks);

/* A block of any content, held once, aligned to a cache line. NULL without memory. */
void *blocks_take(struct blocks *blocks);
void block_hold(void *block);

/* Gives back one hold; NULL is nothing. */
void blocks_give(struct blocks *blocks, void *block);

/* Does somebody else hold it, too? */
bool block_is_shared(const void *block);

#endif
