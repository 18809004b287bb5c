/* The name under which this process is known among the instances, and what it does when somebody else has it.
 *
 *   turnout_beat ──"TAKEN token host pid"──▶ identity_taken ──▶ its holder is dead: take the entry over
 *                                                          └──▶ it lives: "NAME~abcd" until NAME is free
 *
 * Two living processes under one name would be one instance to the barrier: a flip would be reported when the
 * quicker one had applied it. A config copied to a second host is enough for that. */
#ifndef ROUTING_IDENTITY_H
#define ROUTING_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

enum { IDENTITY_NAME_MAX = 96, IDENTITY_TOKEN_LEN = 16, IDENTITY_HOST_MAX = 64 };

struct identity {
    const char *wanted;                 /* the configured name */
    char alias[IDENTITY_NAME_MAX];      /* the other name */
    char token[IDENTITY_TOKEN_LEN + 1]; /* of this process: random */
    char takes_over[IDENTITY_TOKEN_LEN +
                    1]; /* token of the dead process whose entry this one takes; "" for none */
    char host[IDENTITY_HOST_MAX + 1];
    int pid;
    bool aliased;     /* the last beat found the name taken */
    bool alias_known; /* an entry stands under the other name */
};

/* wanted must live as long. Never fails: without random numbers the token is made of time and pid. */
void identity_init(struct identity *identity, const char *wanted);

/* The answer to a beat under the wanted name was this error. True where the beat is to be sent again at once;
 * else the beat goes under the alias. */
bool identity_taken(struct identity *identity, const char *error);

/* Does an error of turnout_beat say that the name is taken? */
bool identity_is_taken(const char *error);

#endif
