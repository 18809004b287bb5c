/* The portability table of the running process, swapped by a command that asks all instances in two steps.
 *
 *   {"kind": "numbers_check"} ──thread pool──▶ the config's file, read and verified ──▶ kept aside ──▶ what it is
 *   {"kind": "numbers_swap", "checksum"} ──is it the one kept aside?──▶ one pointer for all workers
 *        ──each has come to the end of a callback──▶ the old one is freed ──beat──▶ the instance's entry names the new one
 *        ──▶ answered, so that whoever was told of the swap finds it in the entry
 *
 * What was checked is what is swapped in, so that the second step cannot fail for the file's sake. A table kept aside
 * is dropped after NUMBER_SWAP_KEPT_S, and when a configuration is read again, since that may name other carriers.
 * Main thread; the worker's look-ups wait for nothing.
 *
 *   numbers_check -> as number_answers_table says, of the file, with "ms" (to read it) and "in_use" (a checksum, or null)
 *   numbers_swap  -> as number_answers_table says, of the table in use, with "ms" (until all workers had it) */
#ifndef PROXY_NUMBER_SWAP_H
#define PROXY_NUMBER_SWAP_H

#include <uv.h>

#include "proxy/inquiry.h"
#include "proxy/questions.h"

enum { NUMBER_SWAP_KEPT_S = 60 };

struct number_swap;

/* Teaches the two kinds. loop and source are kept. NULL without memory. */
struct number_swap *number_swap_new(uv_loop_t *loop, const struct inquiry_source *source,
                                    struct questions *questions);

/* A configuration is on its way to the workers: nothing can be swapped until it is in use. */
void number_swap_reloads(struct number_swap *swap, bool on_its_way);

/* Redis has taken a beat that was sent at this time (uv_hrtime): swaps that were done before it are answered. */
void number_swap_told(struct number_swap *swap, uint64_t sent_ns);

/* To be called now and then, with uv_hrtime: drops what was kept aside for too long. */
void number_swap_turn(struct number_swap *swap, uint64_t now);

/* No question can be answered any more. The loop runs on until a file that is being read has been. */
void number_swap_end(struct number_swap *swap);

/* Once the loop and the workers have ended. */
void number_swap_free(struct number_swap *swap);

#endif
