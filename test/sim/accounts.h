/* The clients of an instance's configuration: a reload may leave one out, give it another password or other limits.
 *
 *   accounts_change ─▶ accounts_write ─▶ SIGHUP ─▶ esme.c: who is let in, who is unbound, and who is left alone
 *
 * Whose shortcode it is does not change. */
#ifndef TEST_SIM_ACCOUNTS_H
#define TEST_SIM_ACCOUNTS_H

#include <stdio.h>

#include "test/sim/process.h"

/* As an instance's file has it. The times are those at which the instance is told. */
struct client_file {
    bool absent, other_password;
    uint64_t removed, last_removed; /* since when it is absent; until when it was, UINT64_MAX: it is */
    uint64_t password_changed;
    unsigned window, wait_count, wait_bytes, binds;
};

void accounts_begin(void);
const struct client_file *account_file(unsigned instance, unsigned account);

/* Something of one of them is another from that time on. */
void accounts_change(unsigned instance, uint64_t when);

void accounts_write(FILE *out, unsigned instance);

/* Is or was it not in the instance's file, at any time since that one? */
static inline bool account_absent_since(const struct process *p, unsigned account, uint64_t since)
{
    return account_file(p->instance, account)->last_removed + 3 * SECOND >= since ||
           account_file(p->instance, account)->absent;
}

#endif
