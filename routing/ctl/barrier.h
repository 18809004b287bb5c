/* After a change, waits until every live instance reports that it has applied it.
 *
 *   version ──▶ turnout_instances, again and again ──barrier_judge──▶ all applied? none alive? time over?
 *
 * A dead instance (its lease ran out) is named, but not waited for, nor is one that --without leaves out. One
 * that keeps everybody waiting is named on stderr after a second, with what is known of it. The same
 * waits until nothing is in flight that was routed before a version over the ways that a flip leaves: each
 * instance reports as "unsettled" what is unanswered, link by link (routing/settled.h). One that does not report
 * it has not settled. */
#ifndef ROUTING_CTL_BARRIER_H
#define ROUTING_CTL_BARRIER_H

#include <stdbool.h>
#include <stdint.h>

#include "routing/ctl/ctl.h"
#include "routing/ctl/instance_list.h"
#include "routing/settled.h"

enum barrier_end {
    BARRIER_WAITING,
    BARRIER_COMPLETE,
    BARRIER_NOBODY,  /* no instance is alive */
    BARRIER_LATE,    /* time over */
    BARRIER_LOST,    /* Redis went away: the instances cannot be asked */
    BARRIER_STOPPED, /* by a signal (ctl_stopped) */
    BARRIER_VOID,    /* what was waited for stands no more (barrier_stands) */
};

enum barrier_mark { BARRIER_APPLIED, BARRIER_SETTLED };

/* Is what the wait is for still as it was, as far as Redis tells? */
struct barrier_stands {
    bool (*look)(void *of);
    void *of;
};

struct barrier {
    enum barrier_end end;
    enum barrier_mark mark;
    const struct option_list *without;   /* instances that are not waited for; NULL: none */
    const struct settled_ways *ways;     /* with BARRIER_SETTLED: those that count */
    const struct barrier_stands *stands; /* NULL: not asked */
    uint64_t version;
    unsigned live, applied,
        dead; /* applied, or settled, as the mark is; those left out are in none of them */
    int64_t from_start_us, from_change_us;
    struct instance_list instances; /* as last read */
};

/* Counts, and says COMPLETE, NOBODY or WAITING. */
void barrier_judge(struct barrier *barrier);

/* Has this one applied the version, and with BARRIER_SETTLED also settled it? */
bool barrier_reached(const struct barrier *barrier, const struct instance *instance);

/* Does every instance exist that --without names? Else it was told: what the command ends with. */
enum ctl_exit barrier_check_without(struct ctl *ctl);

/* Is it left out? */
bool barrier_without(const struct barrier *barrier, const struct instance *instance);

/* How long to wait before looking again, after so much time. */
int64_t barrier_pause_us(int64_t waited_us);

/* Waits at most --timeout. changed_us: when the change was sent to Redis. */
void barrier_wait(struct ctl *ctl, uint64_t version, int64_t changed_us, struct barrier *barrier);

/* Waits at most --drain until on all of these ways everything from before is answered, or it stands no more, for
 * which the caller has the words. The ways must stay until barrier_free. */
void barrier_drain(struct ctl *ctl, uint64_t version, int64_t changed_us, const struct settled_ways *ways,
                   const struct barrier_stands *stands, struct barrier *barrier);
void barrier_free(struct barrier *barrier);

/* Shows the outcome; code is what the command ends with where the barrier is complete. */
enum ctl_exit barrier_report(struct ctl *ctl, const struct barrier *barrier, enum ctl_exit code);

#endif
