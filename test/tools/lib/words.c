#include "test/tools/lib/words.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MILLION = 1000000 };

const struct share share_all = {MILLION, -1};

bool words_split(char *line, struct words *words)
{
    char *rest = line;
    words->count = 0;
    for (char *word = strtok_r(line, " \t\r\n", &rest); word != NULL;
         word = strtok_r(NULL, " \t\r\n", &rest)) {
        if (words->count == WORDS_MAX) {
            return false;
        }
        words->at[words->count++] = word;
    }
    return true;
}

void words_remove(struct words *words, size_t i)
{
    memmove(&words->at[i], &words->at[i + 1], (words->count - i - 1) * sizeof(words->at[0]));
    words->count--;
}

bool word_number(const char *text, uint64_t *number)
{
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    if (!isdigit((unsigned char)text[0])) {
        return false;
    }
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, hex ? 16 : 10);
    if (errno != 0 || *end != '\0' || (hex && text[2] == '\0')) {
        return false;
    }
    *number = value;
    return true;
}

/* Nanoseconds in a unit, 0 for an unknown one. */
static uint64_t unit_of(const char *text)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000}};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text, units[i].name) == 0) {
            return units[i].ns;
        }
    }
    return 0;
}

bool word_duration(const char *text, uint64_t *ns)
{
    if (!isdigit((unsigned char)text[0])) {
        return false;
    }
    char *end = NULL;
    double number = strtod(text, &end);
    uint64_t unit = number == 0 && *end == '\0' ? 1 : unit_of(end);
    if (unit == 0 || number < 0 || number * (double)unit > 1e18) {
        return false;
    }
    *ns = (uint64_t)(number * (double)unit + 0.5);
    return true;
}

bool word_endpoint(const char *text, char *host, size_t cap, uint16_t *port)
{
    const char *colon = strrchr(text, ':');
    uint64_t number = 0;
    if (colon == NULL || !word_number(colon + 1, &number) || number > UINT16_MAX) {
        return false;
    }
    const char *begin = text;
    const char *end = colon;
    if (end - begin >= 2 && *begin == '[' && end[-1] == ']') {
        begin++;
        end--;
    }
    size_t len = (size_t)(end - begin);
    if (len == 0 || len >= cap) {
        return false;
    }
    memcpy(host, begin, len);
    host[len] = '\0';
    *port = (uint16_t)number;
    return true;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)tolower((unsigned char)c);
    return (c >= 'a' && c <= 'f') ? c - 'a' + 10 : -1;
}

bool word_hex(const char *text, uint8_t *out, size_t cap, size_t *len)
{
    size_t digits = strlen(text);
    if (digits % 2 != 0 || digits / 2 > cap) {
        return false;
    }
    for (size_t i = 0; i < digits; i += 2) {
        int high = digit_of(text[i]);
        int low = digit_of(text[i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i / 2] = (uint8_t)(high * 16 + low);
    }
    *len = digits / 2;
    return true;
}

static bool percent(const char *text, uint32_t *per_million)
{
    char *end = NULL;
    double value = strtod(text, &end);
    if (!isdigit((unsigned char)text[0]) || strcmp(end, "%") != 0 || value > 100) {
        return false;
    }
    *per_million = (uint32_t)(value * (MILLION / 100.0) + 0.5);
    return true;
}

static bool take_next(struct words *words, struct share *share)
{
    uint64_t number = 0;
    if (!word_number(words->at[words->count - 1], &number) || number > INT32_MAX) {
        return false;
    }
    share->left = (int64_t)number;
    words->count -= 2;
    return true;
}

bool words_take_share(struct words *words, struct share *share)
{
    struct share found = share_all;
    while (words->count > 0) {
        const char *last = words->at[words->count - 1];
        if (strchr(last, '%') != NULL) {
            if (!percent(last, &found.per_million)) {
                return false;
            }
            words->count--;
        } else if (words->count >= 2 && strcmp(words->at[words->count - 2], "next") == 0) {
            if (!take_next(words, &found)) {
                return false;
            }
        } else if (strcmp(last, "next") == 0) {
            return false;
        } else {
            break;
        }
    }
    *share = found;
    return true;
}

bool share_hit(struct share *share, uint64_t *random_state)
{
    if (share->left == 0) {
        return false;
    }
    if (share->per_million < MILLION && random_below(random_state, MILLION) >= share->per_million) {
        return false;
    }
    if (share->left > 0) {
        share->left--;
    }
    return true;
}

uint64_t random_next(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545F4914F6CDD1DU;
}

uint64_t random_below(uint64_t *state, uint64_t below)
{
    return ((random_next(state) >> 32) * below) >> 32;
}
