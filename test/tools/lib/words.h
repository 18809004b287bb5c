/* What people type, in options and control commands: words, durations, shares, addresses.
 *
 *   "submit-status 0x58 10%"  ──▶ words ──▶ value, share
 *
 * Parsers return false, and set nothing, where the text is not what they read. */
#ifndef TOOLS_WORDS_H
#define TOOLS_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WORDS_MAX = 24 };

struct words {
    size_t count;
    char *at[WORDS_MAX];
};

/* Splits line at blanks, in place; the words point into it. False where there are more than WORDS_MAX. */
bool words_split(char *line, struct words *words);

/* Takes word i out, moving the later ones up. */
void words_remove(struct words *words, size_t i);

/* A whole number, decimal or 0x hexadecimal. */
bool word_number(const char *text, uint64_t *number);

/* "250us", "50ms", "2s", "1.5s", "1m", "0"; a number needs its unit. In nanoseconds. */
bool word_duration(const char *text, uint64_t *ns);

/* "HOST:PORT", also "[::1]:2775". host has room for cap octets. */
bool word_endpoint(const char *text, char *host, size_t cap, uint16_t *port);

/* Octets as hexadecimal digits, at most cap of them. */
bool word_hex(const char *text, uint8_t *out, size_t cap, size_t *len);

/* Which messages something befalls: a share of them, at random, or the next few, or both. */
struct share {
    uint32_t per_million; /* 1,000,000: all */
    int64_t left;         /* so many times more; negative: no end */
};

extern const struct share share_all;

/* Takes a share off the end of the words: "10%" (also "0.1%"), "next 5", or nothing, which means all. False
 * where the words end in something that only looks like a share. */
bool words_take_share(struct words *words, struct share *share);

/* Does it befall this one? Counts left down. */
bool share_hit(struct share *share, uint64_t *random_state);

/* A fast random number (xorshift64*); the state must not be 0. */
uint64_t random_next(uint64_t *state);

/* Uniform in 0 .. below-1, below at most 2^32; 0 where below is 0. */
uint64_t random_below(uint64_t *state, uint64_t below);

#endif
