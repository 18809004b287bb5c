/* A change as a request to Redis: built, sent, its answer shown, the barrier waited for.
 *
 *   request_new ─request_move*─▶ request ──apply──▶ turnout_change or turnout_restore
 *                                                     ├─ ok, unchanged ──▶ barrier ──▶ replicas ──▶ exit code
 *                                                     └─ conflict, invalid ──▶ every line of it, exit code
 *
 * apply is change_send, change_show and change_wait in turn; who has more to do between them calls these. */
#ifndef ROUTING_CTL_APPLY_H
#define ROUTING_CTL_APPLY_H

#include <hiredis/hiredis.h>
#include <jansson.h>

#include "routing/ctl/ctl.h"

/* What a cell is believed to be, and shall be. */
struct move {
    const char *shortcode, *carrier;
    const char *to;         /* "" removes the cell */
    const char *state;      /* NULL: open */
    const char *from;       /* NULL: whatever is there; "": nothing may be there */
    const char *from_state; /* NULL: any */
    uint64_t from_version;  /* the cell must not have been written since; 0: any */
};

/* A request with who, why and ticket from the options. NULL where one of them cannot be sent: ctl_fail was
 * called, and CTL_USAGE is the exit code. */
json_t *request_new(struct ctl *ctl, const char *kind);
void request_move(json_t *request, const struct move *move);

/* What a function made of a request. */
struct sent {
    redisReply *reply; /* to be freed */
    bool changed;      /* false: it was so already */
    uint64_t version;
    uint64_t deadline_ms; /* when it goes back unless confirmed, by Redis' clock; 0: it does not */
    int64_t at_us;        /* when it was sent */
};

/* Sends the request. CTL_DONE with all of sent; or nothing was changed (or, CTL_UNKNOWN, may have been),
 * which was told: what the command ends with, and sent->reply is NULL. */
enum ctl_exit change_send(struct ctl *ctl, const char *function, const json_t *request, struct sent *sent);

/* Shows the moves of a request as done, or that they were so already; and when the change goes back. */
void change_show(struct ctl *ctl, const json_t *request, const struct sent *sent);
void change_show_deadline(struct ctl *ctl, const struct sent *sent);

/* The moves that were made, which an answer has from an element on, as a request has them; to be freed. */
json_t *change_moves_made(const redisReply *reply, size_t first);

/* The barrier, unless --no-wait. What the command ends with. */
enum ctl_exit change_wait(struct ctl *ctl, const struct sent *sent);

/* Sends the request to a function, and takes it over. */
enum ctl_exit apply(struct ctl *ctl, const char *function, json_t *request);

#endif
