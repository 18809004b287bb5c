/* The ledger: what happened, a line an event, so that two ends can be compared afterwards.
 *
 *   event ──▶ ledger_begin, ledger_text/number/status ..., ledger_end ──▶ buffer ──▶ file
 *
 * A line is "TIME EVENT name=value ...", separated by single blanks. TIME is CLOCK_REALTIME in nanoseconds. A
 * value has no blanks (they become "_", other odd octets "?"); "-" is an empty one; a status is hexadecimal
 * ("0x00000014"). The key of a message is what stands between "K:" and ";" in its text, or "-".
 *
 * A client (turnout-load) writes
 *   SUBMIT      key session system_id source dest attempt       before the message leaves
 *   ANSWER      key session attempt status id                   the SMSC's answer came
 *   UNANSWERED  key session attempt why                         none came: timeout, or the connection died
 *   MO          key session system_id source dest status        an MO came; status is our answer, or "never"
 *   RECEIPT     key session system_id source dest id tlvid textid stat status
 *                                                               a receipt came; id is tlvid, else textid
 *   BOUND, CLOSED  session system_id type / why                 a session's begin and end
 * An SMSC (turnout-smsc) writes
 *   MT          link key session system_id source dest status id
 *               one line a message received (and a destination, of submit_multi); status as answered, or
 *               "silent" where it is never answered: then the message does not count as accepted
 *   MO-SENT     link key session system_id source dest attempt  an MO left
 *   MO-ANSWER   link key session attempt status                 its answer came
 *   MO-UNANSWERED  link key session attempt                     the connection died before it
 *   RECEIPT-SENT, RECEIPT-ANSWER, RECEIPT-UNANSWERED            the same for a receipt, with
 *               id (of submit_sm_resp), tlvid and textid
 *   BOUND, CLOSED  link session system_id type / why
 *   MARK        link label      everything that the sockets held before the mark was asked for stands above
 * it
 *
 * Writes are collected; ledger_flush hands them to the kernel (at exit, at a mark, and every 100 ms). */
#ifndef TOOLS_LEDGER_H
#define TOOLS_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ledger;

/* Opens (truncates) the file. NULL, with errno set, where that fails. */
struct ledger *ledger_open(const char *path);

/* Flushes and closes. NULL is allowed. */
void ledger_close(struct ledger *l);

/* Writes out what is collected. False, with errno set, where the file does not take it. NULL is allowed. */
bool ledger_flush(struct ledger *l);

/* One line: begin, values, end. */
void ledger_begin(struct ledger *l, uint64_t realtime_ns, const char *event);
void ledger_text(struct ledger *l, const char *name, const void *value, size_t len);
void ledger_string(struct ledger *l, const char *name, const char *value);
void ledger_number(struct ledger *l, const char *name, uint64_t value);
void ledger_status(struct ledger *l, uint32_t command_status); /* "status=0x..." */
void ledger_end(struct ledger *l);

/* CLOCK_REALTIME in nanoseconds. */
uint64_t ledger_now(void);

/* Reading a line back. */
enum { LEDGER_VALUES_MAX = 24 };
struct ledger_line {
    uint64_t time;
    const char *event;
    size_t count;
    const char *name[LEDGER_VALUES_MAX];
    const char *value[LEDGER_VALUES_MAX];
};

/* Takes a line apart, in place. False where it is not one. */
bool ledger_parse(char *text, struct ledger_line *line);

/* The value of a name, NULL where the line has none. */
const char *ledger_value(const struct ledger_line *line, const char *name);

/* Finds the key in a message's text: what stands between "K:" and ";". False where there is none. */
enum { LEDGER_KEY_MAX = 64 };
bool ledger_key(const uint8_t *text, size_t len, const uint8_t **key, size_t *key_len);

#endif
