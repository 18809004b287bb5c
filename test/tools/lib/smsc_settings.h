/* How a simulated carrier behaves: one row a setting. The table makes the command-line options, the control
 * commands and their help.
 *
 *   "submit-status 0x58 10%" ──▶ settings_apply ──▶ {on, value, second, share}
 *   a message comes ──▶ setting_hit ──▶ does it befall this one? */
#ifndef TOOLS_SMSC_SETTINGS_H
#define TOOLS_SMSC_SETTINGS_H

#include <stdbool.h>

#include "test/tools/lib/words.h"

/* What stands between a setting's name and its share. */
enum setting_kind {
    TAKES_NOTHING,
    TAKES_STATUS, /* a name or number of command_status */
    TAKES_TIMES,  /* TIME [JITTER]: value, second, in ns */
    TAKES_NUMBER, /* N */
    TAKES_RATE,   /* N [STATUS] */
    TAKES_COUNT,  /* N [fin|rst]: second is 1 for rst */
    TAKES_RETRY,  /* TIME [N] */
    TAKES_WORD,   /* one of the words in the arguments' text, "a|b|c": value is its place */
};

/* X(identifier, name, kind, arguments, help) */
#define SMSC_SETTINGS(X)                                                                                     \
    X(SET_DELAY, "delay", TAKES_TIMES, "TIME [JITTER]", "answer messages so much later")                     \
    X(SET_SUBMIT_STATUS, "submit-status", TAKES_STATUS, "STATUS",                                            \
      "refuse messages with this command_status")                                                            \
    X(SET_THROTTLE, "throttle", TAKES_RATE, "RATE [STATUS]",                                                 \
      "refuse messages over RATE a second, with ESME_RTHROTTLED unless told otherwise")                      \
    X(SET_SILENCE, "silence", TAKES_NOTHING, "on", "never answer messages (and do not accept them)")         \
    X(SET_NACK, "nack", TAKES_STATUS, "STATUS", "answer messages with a generic_nack of this status")        \
    X(SET_REORDER, "reorder", TAKES_NUMBER, "N", "collect N answers and send them in reverse order")         \
    X(SET_DUPLICATE, "duplicate", TAKES_TIMES, "TIME [JITTER]", "send answers once more, so much later")     \
    X(SET_RESP_TLV, "resp-tlv", TAKES_NOTHING, "on", "add an unknown vendor TLV to answers")                 \
    X(SET_ERROR_BODY, "error-body", TAKES_WORD, "none|nul|id",                                               \
      "body of negative answers: none, one NUL, or a message id")                                            \
    X(SET_BIND_STATUS, "bind-status", TAKES_STATUS, "STATUS", "refuse binds with this command_status")       \
    X(SET_BIND_DELAY, "bind-delay", TAKES_TIMES, "TIME [JITTER]", "answer binds so much later")              \
    X(SET_BIND_SILENCE, "bind-silence", TAKES_NOTHING, "on", "never answer binds")                           \
    X(SET_ENQUIRE_SILENCE, "enquire-silence", TAKES_NOTHING, "on", "never answer enquire_link")              \
    X(SET_UNBIND_SILENCE, "unbind-silence", TAKES_NOTHING, "on", "never answer unbind")                      \
    X(SET_DROP_AFTER, "drop-after", TAKES_COUNT, "N [fin|rst]",                                              \
      "drop a connection at its Nth message, unanswered")                                                    \
    X(SET_HALF_OPEN, "half-open", TAKES_NOTHING, "on", "stay connected, but neither read nor write")         \
    X(SET_SLOW_READ, "slow-read", TAKES_NUMBER, "OCTETS", "read only so many octets a second")               \
    X(SET_ENQUIRE_LINK, "enquire-link", TAKES_TIMES, "TIME [JITTER]", "send enquire_link this often")        \
    X(SET_RECEIPTS, "receipts", TAKES_NOTHING, "on",                                                         \
      "send receipts where they are asked for (on by default)")                                              \
    X(SET_RECEIPT_DELAY, "receipt-delay", TAKES_TIMES, "TIME [JITTER]", "from the answer to the receipt")    \
    X(SET_RECEIPT_BEFORE, "receipt-before", TAKES_NOTHING, "on", "send the receipt before the answer")       \
    X(SET_RECEIPT_OTHER, "receipt-other-bind", TAKES_NOTHING, "on",                                          \
      "send receipts on another bind of the same system_id, if there is one")                                \
    X(SET_RECEIPT_ID, "receipt-id", TAKES_WORD, "same|hex|upper|decimal|padded",                             \
      "how the receipt's text writes the message id")                                                        \
    X(SET_RECEIPT_FORM, "receipt-form", TAKES_WORD, "both|text|tlv", "where the receipt has the message id") \
    X(SET_RECEIPT_ESM, "receipt-esm-class", TAKES_NUMBER, "N", "esm_class of receipts, 4 by default")        \
    X(SET_RECEIPT_STAT, "receipt-stat", TAKES_WORD,                                                          \
      "DELIVRD|EXPIRED|DELETED|UNDELIV|ACCEPTD|UNKNOWN|REJECTD", "what receipts report")                     \
    X(SET_MO_TLV, "mo-tlv", TAKES_NOTHING, "on", "add an unknown vendor TLV to MO and receipts")             \
    X(SET_MO_DATA, "mo-data-sm", TAKES_NOTHING, "on", "send MO as data_sm")                                  \
    X(SET_MO_PAYLOAD, "mo-payload", TAKES_NOTHING, "on", "send the text of MO in message_payload")           \
    X(SET_MO_RETRY, "mo-retry", TAKES_RETRY, "TIME [N]",                                                     \
      "send MO and receipts again so much later, N times at most, when they are refused for now or "         \
      "unanswered")                                                                                          \
    X(SET_MO_WINDOW, "mo-window", TAKES_NUMBER, "N",                                                         \
      "unanswered MO and receipts a connection, 100 by default")

#define SMSC_SETTING_ENUM(id, name, kind, arguments, help) id,
enum smsc_setting { SMSC_SETTINGS(SMSC_SETTING_ENUM) SMSC_SETTING_COUNT };
#undef SMSC_SETTING_ENUM

struct setting {
    bool on;
    uint64_t value;
    uint64_t second;
    struct share share;
};

struct setting_row {
    const char *name;
    enum setting_kind kind;
    const char *arguments;
    const char *help;
};
extern const struct setting_row setting_rows[SMSC_SETTING_COUNT];

/* The defaults: all off but receipts. */
void settings_init(struct setting settings[SMSC_SETTING_COUNT]);

/* The setting of that name, or -1. */
int setting_find(const char *name);

/* Sets one from its arguments: "off", or its values and a share. False, changing nothing, where they are
 * wrong. */
bool setting_apply(struct setting *setting, enum smsc_setting id, struct words *arguments);

/* Is it on, and does it befall this one? */
static inline bool setting_hit(struct setting *setting, uint64_t *random_state)
{
    return setting->on && share_hit(&setting->share, random_state);
}

/* The time of a setting that TAKES_TIMES, with its jitter, if it befalls this one; else 0. */
uint64_t setting_time(struct setting *setting, uint64_t *random_state);

/* The words of a setting that TAKES_WORD. */
size_t setting_word(enum smsc_setting id, uint64_t place, char *out, size_t cap);

#endif
