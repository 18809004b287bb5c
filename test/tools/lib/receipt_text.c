#include "test/tools/lib/receipt_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/tools/lib/ledger.h"

enum { CLASSIC_TEXT = 20 };

#define UUID_HEAD "7475726e-6f75-4074-8000-"

static const char *const format_names[] = {
#define ID_FORMAT_NAME(id, name) name,
    ID_FORMATS(ID_FORMAT_NAME)
#undef ID_FORMAT_NAME
};

bool id_format_parse(const char *name, enum id_format *format)
{
    for (int i = 0; i < ID_FORMAT_COUNT; i++) {
        if (strcmp(name, format_names[i]) == 0) {
            *format = (enum id_format)i;
            return true;
        }
    }
    return false;
}

static int print_number(char *out, size_t cap, uint64_t number, enum id_format format)
{
    unsigned long long n = number;
    switch (format) {
    case ID_UPPER: return snprintf(out, cap, "%llX", n);
    case ID_DECIMAL: return snprintf(out, cap, "%llu", n);
    case ID_PADDED: return snprintf(out, cap, "%010llu", n);
    case ID_UUID: return snprintf(out, cap, UUID_HEAD "%012llx", n);
    case ID_HEX:
    case ID_FORMAT_COUNT:
    default: return snprintf(out, cap, "%llx", n);
    }
}

/* The two plain formats are on the way of every message, so they do without printf. */
static size_t plain(char *out, uint64_t number, unsigned base)
{
    char digits[24];
    size_t n = 0;
    do {
        digits[sizeof(digits) - ++n] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number > 0);
    memcpy(out, digits + sizeof(digits) - n, n);
    out[n] = '\0';
    return n;
}

size_t id_write(char out[MESSAGE_ID_MAX], const char *prefix, uint64_t number, enum id_format format)
{
    enum { LONGEST = 40 };
    size_t len = strnlen(prefix, MESSAGE_ID_MAX - LONGEST);
    memcpy(out, prefix, len);
    if (format == ID_HEX || format == ID_DECIMAL) {
        return len + plain(out + len, number, format == ID_HEX ? 16 : 10);
    }
    return len + (size_t)print_number(out + len, MESSAGE_ID_MAX - len, number, format);
}

bool id_read(const char *text, size_t len, const char *prefix, enum id_format format, uint64_t *number)
{
    const char *head = format == ID_UUID ? UUID_HEAD : "";
    size_t skip = strlen(prefix) + strlen(head);
    char digits[MESSAGE_ID_MAX];
    if (len <= skip || len >= sizeof(digits) || strncmp(text, prefix, strlen(prefix)) != 0 ||
        strncmp(text + strlen(prefix), head, strlen(head)) != 0) {
        return false;
    }
    memcpy(digits, text + skip, len - skip);
    digits[len - skip] = '\0';
    char *end = NULL;
    unsigned long long value = strtoull(digits, &end, format == ID_DECIMAL || format == ID_PADDED ? 10 : 16);
    if (*end != '\0') {
        return false;
    }
    *number = value;
    return true;
}

/* How much of the message's text the receipt repeats. */
static size_t repeated(const struct receipt_text *receipt)
{
    const uint8_t *key = NULL;
    size_t key_len = 0;
    size_t len = CLASSIC_TEXT;
    if (ledger_key(receipt->text, receipt->text_len, &key, &key_len)) {
        size_t to_key = (size_t)(key - (const uint8_t *)receipt->text) + key_len + 1;
        len = to_key > len && to_key < (size_t)2 * LEDGER_KEY_MAX ? to_key : len;
    }
    return len < receipt->text_len ? len : receipt->text_len;
}

size_t receipt_text_write(char out[RECEIPT_TEXT_MAX + 1], const struct receipt_text *receipt)
{
    char submitted[16];
    char done[16];
    struct tm parts;
    strftime(submitted, sizeof(submitted), "%y%m%d%H%M", gmtime_r(&receipt->submitted, &parts));
    strftime(done, sizeof(done), "%y%m%d%H%M", gmtime_r(&receipt->done, &parts));
    bool delivered = strcmp(receipt->stat, "DELIVRD") == 0;
    size_t text = repeated(receipt);
    int len =
        snprintf(out, RECEIPT_TEXT_MAX + 1,
                 "id:%.64s sub:001 dlvrd:%s submit date:%s done date:%s stat:%.7s err:%s text:", receipt->id,
                 delivered ? "001" : "000", submitted, done, receipt->stat, delivered ? "000" : "001");
    size_t used = (size_t)len;
    text = text < RECEIPT_TEXT_MAX - used ? text : RECEIPT_TEXT_MAX - used;
    if (text > 0) {
        memcpy(out + used, receipt->text, text);
    }
    out[used + text] = '\0';
    return used + text;
}

uint8_t receipt_message_state(const char *stat)
{
    static const char *const states[] = {"ENROUTE", "DELIVRD", "EXPIRED", "DELETED",
                                         "UNDELIV", "ACCEPTD", "UNKNOWN", "REJECTD"};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (strcmp(stat, states[i]) == 0) {
            return (uint8_t)(i + 1);
        }
    }
    return 1;
}
