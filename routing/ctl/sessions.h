/* Sessions as instances report them, added up.
 *
 *   field "sessions" of each instance:
 * [{"side","client","link","carrier","platform","bind_type","state","count"}] ──sessions_read──▶ items
 * ──sessions_merge──▶ one item for those that are alike, with the sum of their counts
 */
#ifndef ROUTING_CTL_SESSIONS_H
#define ROUTING_CTL_SESSIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "routing/ctl/ctl.h"
#include "routing/ctl/instance_list.h"

enum session_field {
    SESSION_INSTANCE, /* "" once instances are added up */
    SESSION_SIDE,
    SESSION_CLIENT,
    SESSION_LINK,
    SESSION_CARRIER,
    SESSION_PLATFORM,
    SESSION_BIND_TYPE,
    SESSION_STATE,
    SESSION_FIELDS
};

struct session_group {
    char *fields[SESSION_FIELDS];
    unsigned long long count;
};

struct sessions {
    size_t count, space;
    struct session_group *items;
};

/* Adds what one instance reports. False where it reports nothing that can be read. */
bool sessions_read(struct sessions *sessions, const struct instance *instance);

/* Sorts, and adds up what is alike; instances are told apart only by_instance. */
void sessions_merge(struct sessions *sessions, bool by_instance);
void sessions_free(struct sessions *sessions);

/* The command with --clients: clients.c. */
enum ctl_exit sessions_by_client(struct ctl *ctl);

#endif
