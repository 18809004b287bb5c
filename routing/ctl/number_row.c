/* See number_row.h. */
#include "routing/ctl/number_row.h"

#include <stdio.h>
#include <string.h>

#include "routing/ctl/ask.h"
#include "routing/ctl/output.h"

bool number_row_of(const char *number, char row[NUMBER_ROW_SIZE])
{
    const char *digits = number + (*number == '+');
    size_t len = strlen(digits);
    if (len == 0 || len > NUMBER_DIGITS_MAX || digits[strspn(digits, "0123456789")]) {
        return false;
    }
    row[0] = '+';
    memcpy(row + 1, digits, len + 1);
    return true;
}

/* What all who answered look up, NULL where nobody has; *differ where they do not agree. */
static const char *read_by_all(const struct ask *ask, bool *differ)
{
    const char *first = NULL;
    *differ = false;
    for (size_t i = 0; i < ask->count; i++) {
        const char *read = json_member(ask->items[i].answer, "read");
        if (ask_failed(&ask->items[i]) || *read == '\0') {
            continue; /* an older program does not say */
        }
        *differ = *differ || (first && strcmp(first, read) != 0);
        first = read;
    }
    return first;
}

/* "00": what stands before an international number, and no number. */
static bool is_zeros_alone(const char *number)
{
    return strncmp(number, "00", 2) == 0 && number[strspn(number, "0")] == '\0';
}

static enum ctl_exit row_by_all(struct ctl *ctl, const struct ask *ask, const char *number,
                                char row[NUMBER_ROW_SIZE])
{
    bool differ;
    const char *read = read_by_all(ask, &differ);
    if (differ) {
        return ctl_fail(
            ctl, CTL_INVALID, "Give it in its international form.",
            "the instances do not agree on what %.40s is looked up as: \"turnoutctl carrier\" shows it",
            number);
    }
    if (!read && number[*number == '+'] == '0') {
        return ctl_fail(
            ctl, CTL_INVALID, "Give it in its international form.",
            "no international number begins with 0, and no instance says what %.40s is looked up as", number);
    }
    if (read && !number_row_of(read, row)) {
        return ctl_fail(ctl, CTL_INVALID, NULL,
                        "%.40s could never match: it is looked up as %.40s, which is no number", number,
                        read);
    }
    /* With + it is read as it is, whatever the configs say; 00 alone is a prefix, nothing behind it. */
    if (strncmp(number, "+0", 2) == 0 || strncmp(row, "+00", 3) == 0 || is_zeros_alone(number)) {
        return ctl_fail(ctl, CTL_INVALID, "Give it in its international form.",
                        "%.40s could never match: no international number begins with 0", number);
    }
    if (read && strcmp(row + 1, number + (*number == '+')) != 0 && !ctl->options.json) {
        printf("%s is looked up as %s.\n", number, row + 1);
    }
    return CTL_DONE;
}

enum ctl_exit number_row_read(struct ctl *ctl, const char *number, char row[NUMBER_ROW_SIZE])
{
    struct ask ask;
    if (!number_row_of(number, row)) {
        return ctl_fail(ctl, CTL_USAGE, NULL, "%.40s is no number: 1 to %d digits, with or without +", number,
                        NUMBER_DIGITS_MAX);
    }
    json_t *request = need(json_pack("{s:s, s:s, s:i, s:o}", "kind", "carrier", "number", number, "ton", 0,
                                     "without", ask_without(ctl)));
    enum ctl_exit code =
        ask_all(ctl, request, 0, &ask) ? row_by_all(ctl, &ask, number, row) : ctl_redis_failed(ctl);
    json_decref(request);
    ask_free(&ask);
    return code;
}
