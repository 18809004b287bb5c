/* Building delivery receipts, as SMSCs of many kinds do (SMPP 3.4, appendix B), message ids included. */
#ifndef TOOLS_RECEIPT_TEXT_H
#define TOOLS_RECEIPT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { MESSAGE_ID_MAX = 65, RECEIPT_TEXT_MAX = 255 };

/* How an SMSC writes the number of a message. */
#define ID_FORMATS(X)                                     \
    X(ID_HEX, "hex")         /* 1a2b */                   \
    X(ID_UPPER, "upper")     /* 1A2B */                   \
    X(ID_DECIMAL, "decimal") /* 6699 */                   \
    X(ID_PADDED, "padded")   /* 0000006699, ten digits */ \
    X(ID_UUID, "uuid")       /* 7475726e-6f75-4074-8000-000000001a2b */

#define ID_FORMAT_ENUM(id, name) id,
enum id_format { ID_FORMATS(ID_FORMAT_ENUM) ID_FORMAT_COUNT };
#undef ID_FORMAT_ENUM

/* False where no format has that name. */
bool id_format_parse(const char *name, enum id_format *format);

/* Writes prefix and number; returns the length. The prefix is cut where both do not fit. */
size_t id_write(char out[MESSAGE_ID_MAX], const char *prefix, uint64_t number, enum id_format format);

/* The way back. False where text is not an id of that prefix and format. */
bool id_read(const char *text, size_t len, const char *prefix, enum id_format format, uint64_t *number);

struct receipt_text {
    const char *id;
    const char *stat; /* "DELIVRD", "UNDELIV" ... */
    time_t submitted;
    time_t done;
    const void *text; /* the begin of the message it is about */
    size_t text_len;
};

/* "id:... sub:001 dlvrd:001 submit date:YYMMDDhhmm done date:YYMMDDhhmm stat:DELIVRD err:000 text:..." The
 * text is the message's first 20 octets, or its whole key where that is longer. Returns the length. */
size_t receipt_text_write(char out[RECEIPT_TEXT_MAX + 1], const struct receipt_text *receipt);

/* message_state (SMPP 3.4, 5.2.28) of a stat: DELIVRD 2, EXPIRED 3, DELETED 4, UNDELIV 5, ACCEPTD 6, UNKNOWN
 * 7, REJECTD 8, ENROUTE and others 1. */
uint8_t receipt_message_state(const char *stat);

#endif
