#include "proxy/strangers.h"

#include <stddef.h>

enum {
    CALLED_MOST = 64, /* in a turn */
    USUAL = 20000,    /* ns, until it is known */
    USUAL_SHARE = 8,  /* an eighth of what is known is of the last turn */
};

/* --- the queue ------------------------------------------------------------------------------------------ */

static void take_out(struct strangers *s, struct stranger *one)
{
    *(one->previous != NULL ? &one->previous->next : &s->first) = one->next;
    *(one->next != NULL ? &one->next->previous : &s->last) = one->previous;
    one->next = one->previous = NULL;
}

void strangers_leave(struct stranger *one)
{
    struct strangers *s = one->among;
    if (s == NULL) {
        return;
    }
    take_out(s, one);
    s->waiting--;
    one->among = NULL;
}

void strangers_wait(struct strangers *s, struct stranger *one)
{
    strangers_leave(one);
    one->previous = s->last;
    *(s->last != NULL ? &s->last->next : &s->first) = one;
    s->last = one;
    s->waiting++;
    one->among = s;
}

static void call(struct strangers *s, struct stranger *one)
{
    strangers_leave(one);
    one->called = s->turn;
    one->read_on(one);
}

/* --- the turn ------------------------------------------------------------------------------------------- */

static void learn(struct strangers *s)
{
    if (!s->limited) {
        s->usual = USUAL;
    }
    if (s->bills > 0) {
        s->usual = (s->usual * (USUAL_SHARE - 1) + s->spent / s->bills) / USUAL_SHARE;
    }
    s->usual += s->usual == 0;
    s->spent = s->bills = 0;
}

unsigned strangers_turn(struct strangers *s, uint64_t allowance)
{
    unsigned put_off = s->put_off;
    learn(s);
    s->limited = true;
    s->left = allowance < INT64_MAX ? (int64_t)allowance : INT64_MAX;
    s->served = s->put_off = 0;
    s->turn++;
    uint64_t most = allowance / s->usual + 1;
    for (uint64_t calls = 0; s->first != NULL && calls < CALLED_MOST && calls < most; calls++) {
        call(s, s->first);
    }
    return put_off;
}

bool strangers_are_through(const struct strangers *s)
{
    return s->limited && s->left <= 0;
}

bool strangers_may(struct strangers *s, struct stranger *one)
{
    bool called = one != NULL && one->called == s->turn;
    bool must_wait = (one != NULL && s->first != NULL) || (s->served > 0 && s->left <= 0);
    if (s->limited && !called && must_wait) {
        s->put_off++;
        return false;
    }
    if (called) {
        one->called = 0; /* once */
    }
    s->served++;
    return true;
}

void strangers_spent(struct strangers *s, uint64_t ns)
{
    s->left -= ns < INT64_MAX / 2 ? (int64_t)ns : INT64_MAX / 2;
    s->spent += ns;
    s->bills++;
}
