#include "test/tools/lib/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "test/tools/lib/buffer.h"

enum {
    FLUSH_AT = 256 * 1024, /* a write this large costs next to nothing an octet */
    NUMBER_DIGITS = 20,
    STATUS_DIGITS = 8,
};

struct ledger {
    int fd;
    struct buffer pending;
};

struct ledger *ledger_open(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_APPEND, 0644);
    if (fd < 0) {
        return NULL;
    }
    struct ledger *l = tools_alloc(1, sizeof(*l));
    l->fd = fd;
    return l;
}

void ledger_close(struct ledger *l)
{
    if (l != NULL) {
        ledger_flush(l);
        close(l->fd);
        buffer_free(&l->pending);
        free(l);
    }
}

bool ledger_flush(struct ledger *l)
{
    while (l != NULL && l->pending.len > 0) {
        ssize_t written = write(l->fd, l->pending.data, l->pending.len);
        if (written < 0 && errno != EINTR) {
            return false;
        }
        buffer_consume(&l->pending, written < 0 ? 0 : (size_t)written);
    }
    return true;
}

/* The digits of value, right-aligned in out; how many. */
static size_t digits_of(uint64_t value, char out[NUMBER_DIGITS])
{
    size_t n = 0;
    do {
        out[NUMBER_DIGITS - ++n] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return n;
}

static void put_name(struct ledger *l, const char *name)
{
    char *begin = (char *)buffer_reserve(&l->pending, strlen(name) + 2);
    begin[0] = ' ';
    char *end = stpcpy(begin + 1, name);
    *end++ = '=';
    buffer_commit(&l->pending, (size_t)(end - begin));
}

void ledger_begin(struct ledger *l, uint64_t realtime_ns, const char *event)
{
    char digits[NUMBER_DIGITS];
    size_t n = digits_of(realtime_ns, digits);
    buffer_append(&l->pending, digits + NUMBER_DIGITS - n, n);
    buffer_append(&l->pending, " ", 1);
    buffer_append(&l->pending, event, strlen(event));
}

static uint8_t printable(uint8_t octet)
{
    if (octet == ' ') {
        return '_';
    }
    return octet > ' ' && octet < 0x7F ? octet : (uint8_t)'?';
}

void ledger_text(struct ledger *l, const char *name, const void *value, size_t len)
{
    put_name(l, name);
    if (len == 0) {
        value = "-";
        len = 1;
    }
    const uint8_t *from = value;
    uint8_t *to = buffer_reserve(&l->pending, len);
    for (size_t i = 0; i < len; i++) {
        to[i] = printable(from[i]);
    }
    buffer_commit(&l->pending, len);
}

void ledger_string(struct ledger *l, const char *name, const char *value)
{
    ledger_text(l, name, value, strlen(value));
}

void ledger_number(struct ledger *l, const char *name, uint64_t value)
{
    char digits[NUMBER_DIGITS];
    size_t n = digits_of(value, digits);
    put_name(l, name);
    buffer_append(&l->pending, digits + NUMBER_DIGITS - n, n);
}

void ledger_status(struct ledger *l, uint32_t command_status)
{
    char hex[2 + STATUS_DIGITS] = "0x";
    for (int i = 0; i < STATUS_DIGITS; i++) {
        hex[2 + i] = "0123456789abcdef"[command_status >> (4 * (STATUS_DIGITS - 1 - i)) & 0xF];
    }
    put_name(l, "status");
    buffer_append(&l->pending, hex, sizeof(hex));
}

void ledger_end(struct ledger *l)
{
    buffer_append(&l->pending, "\n", 1);
    if (l->pending.len >= FLUSH_AT) {
        ledger_flush(l);
    }
}

uint64_t ledger_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static bool parse_value(char *word, struct ledger_line *line)
{
    char *equals = strchr(word, '=');
    if (equals == NULL || equals == word || line->count == LEDGER_VALUES_MAX) {
        return false;
    }
    *equals = '\0';
    line->name[line->count] = word;
    line->value[line->count++] = equals + 1;
    return true;
}

bool ledger_parse(char *text, struct ledger_line *line)
{
    char *rest = NULL;
    const char *time = strtok_r(text, " \n", &rest);
    line->event = strtok_r(NULL, " \n", &rest);
    line->count = 0;
    if (time == NULL || line->event == NULL) {
        return false;
    }
    char *end = NULL;
    line->time = strtoull(time, &end, 10);
    if (*end != '\0' || end == time) {
        return false;
    }
    for (char *word = strtok_r(NULL, " \n", &rest); word != NULL; word = strtok_r(NULL, " \n", &rest)) {
        if (!parse_value(word, line)) {
            return false;
        }
    }
    return true;
}

const char *ledger_value(const struct ledger_line *line, const char *name)
{
    for (size_t i = 0; i < line->count; i++) {
        if (strcmp(line->name[i], name) == 0) {
            return line->value[i];
        }
    }
    return NULL;
}

bool ledger_key(const uint8_t *text, size_t len, const uint8_t **key, size_t *key_len)
{
    const uint8_t *at = len < 3 ? NULL : memmem(text, len, "K:", 2);
    if (at == NULL) {
        return false;
    }
    at += 2;
    size_t rest = (size_t)(text + len - at);
    const uint8_t *end = memchr(at, ';', rest < LEDGER_KEY_MAX ? rest : LEDGER_KEY_MAX);
    if (end == NULL || end == at) {
        return false;
    }
    *key = at;
    *key_len = (size_t)(end - at);
    return true;
}
