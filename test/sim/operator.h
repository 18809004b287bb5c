/* Operators: they flip, hold, roll back and confirm, by the functions in Redis as turnoutctl calls them, and believe what
 * the instances report. What was reported as applied is handed to the ledger as a promise. */
#ifndef TEST_SIM_OPERATOR_H
#define TEST_SIM_OPERATOR_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>

#include "test/sim/sim.h"

void operator_begin(void);        /* fills the table and begins */
void operator_watch(void);        /* Redis may hold new changes: promises about their cells are void */
void operator_lost_changes(void); /* Redis has failed over without them */
void operator_mend(
    void); /* restores the table where instances refuse what Redis holds, and opens what is held */

/* At the end of a world: all instances go by the table that Redis has. */
void operator_check_tables(void);

/* --- for windows.c and guards.c ---------------------------------------------------------------------------- */

struct cell {
    int platform; /* -1: none */
    char state;   /* o, h, c */
    uint64_t version;
};

/* The table as the change log has it. */
const struct cell *operator_cell(unsigned cell);

/* One change, as the log has it, when cells are as it left them. */
struct operator_change {
    uint64_t version, undoes, confirm; /* 0: none; ms since 1970 */
    const char *who, *kind, *window;   /* "": none */
    const char *guard;
    bool moved[CELLS]; /* to another platform or state */
    struct cell before[CELLS];
};

/* Calls a function; NULL where Redis is away, or has no functions yet. To be freed. */
redisReply *operator_ask(const char *name, const char *request);

/* The version that a reply {"ok", version ...} tells of, 0 for another. */
uint64_t operator_version(const redisReply *reply);

/* Waits for a version, which moved these cells, to be applied everywhere, and promises it. */
void operator_await(const bool moved[CELLS], uint64_t version);

/* A flip of these cells to a platform, of a window ("": of none by name). Returns its version, 0 where none was made. */
uint64_t operator_flip(const bool moved[CELLS], int platform, const char *window);

/* "5001 spark" of a cell, and back: -1 for none. */
const char *operator_cell_name(unsigned cell);
int operator_cell_of(const char *name);

/* Redis' clock, ms since 1970. */
uint64_t operator_clock(void);

#endif
