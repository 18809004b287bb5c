/* The peers of a world: ESMEs that bind as clients, and the SMSCs behind the links. Written from the specification, not
 * from the proxy: framing, fields and accounts are their own. */
#ifndef TEST_SIM_PEERS_H
#define TEST_SIM_PEERS_H

#include "test/sim/net.h"
#include "test/sim/sim.h"

#define GOOD_PASSWORD "secret"
#define GOOD_HASH                                               \
    "$6$rounds=1000$turnout$93c4/hu3YtSMrOYc4EzN4xZZzI6IpXiB4/" \
    "kS1IG7okMMh6rM1jm3.57U2XLKJcdt.cHf.zY954ZCT.K4y6vCN1"
#define OTHER_PASSWORD "changed"
#define OTHER_HASH                                               \
    "$6$rounds=1000$turnouts$93c4/hu3YtSMrOYc4EzN4xZZzI6IpXiB4/" \
    "kS1IG7okMMh6rM1jm3.57U2XLKJcdt.cHf.zY954ZCT.K4y6vCN1"
enum { RESPONSE_TIMEOUT_MS = 2000, HOLD_BUDGET_MS = 1500, LEASE_MS = 1500, DRAIN_MS = 3000 };

extern const char *const account_names[ACCOUNTS];

/* --- esme.c ---------------------------------------------------------------------------------------------- */

void esmes_begin(void);
void esmes_stop_sending(void);
void esmes_check(bool last); /* account_check of all their sessions */

/* Has a process receiving sessions of an account, all of them well, with room for what comes, and since some seconds before
 * that time? */
bool esmes_receive(const struct process *p, unsigned account, uint64_t sent);

struct message;
/* Writes a message with its mark, and what else the seed puts into it. Returns its length. */
size_t peers_message(const struct message *m, uint32_t command, uint32_t sequence, uint8_t *pdu);

/* --- smsc.c ---------------------------------------------------------------------------------------------- */

void smscs_begin(void);
void smscs_heal(void);
void smscs_check(bool last);
void smscs_slow(uint64_t ns); /* all take their time for so long */
void smsc_stall(void);
void smsc_disturb(void); /* something happens to one of them */
void smsc_away(unsigned link, uint64_t ns);
uint64_t
smsc_away_since(unsigned link); /* UINT64_MAX: it takes connections, or may be thought to have some */

/* --- main.c ---------------------------------------------------------------------------------------------- */

void disturb_promise(void); /* a change was reported as applied: a moment for evil */

#endif
