#include "proxy/strangers.h"

unsigned strangers_turn(struct strangers *s, uint64_t allowance)
{
    unsigned put_off = s->put_off;
    unsigned next = s->first + s->served;
    *s = (struct strangers){.limited = true,
                            .left = allowance < INT64_MAX ? (int64_t)allowance : INT64_MAX,
                            .first = put_off > 0 && next < s->asked ? next : 0};
    return put_off;
}

bool strangers_are_through(const struct strangers *s)
{
    return s->limited && s->left <= 0;
}

bool strangers_may(struct strangers *s)
{
    unsigned place = s->asked++;
    if (s->limited && (place < s->first || (s->served > 0 && s->left <= 0))) {
        s->put_off++;
        return false;
    }
    s->served++;
    return true;
}

void strangers_spent(struct strangers *s, uint64_t ns)
{
    s->left -= ns < INT64_MAX / 2 ? (int64_t)ns : INT64_MAX / 2;
}
