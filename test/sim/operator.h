/* Operators: they flip, hold, roll back and confirm, by the functions in Redis as turnoutctl calls them, and believe what
 * the instances report. What was reported as applied is handed to the ledger as a promise. */
#ifndef TEST_SIM_OPERATOR_H
#define TEST_SIM_OPERATOR_H

#include <stdbool.h>

void operator_begin(void);        /* fills the table and begins */
void operator_watch(void);        /* Redis may hold new changes: promises about their cells are void */
void operator_lost_changes(void); /* Redis has failed over without them */
void operator_mend(
    void); /* restores the table where instances refuse what Redis holds, and opens what is held */

/* At the end of a world: all instances go by the table that Redis has. */
void operator_check_tables(void);

#endif
