/* Which requests routed by an older table are still unanswered, link by link: what a strict flip waits for.
 *
 *   windows of the legs ──settled_late──▶ a worker's ──settled_join──▶ the instance's ──settled_write──▶
 *   "12 spark:redx=11 onenz:omni=9" in its entry in Redis ──settled_on──▶ may this flip go on?
 *
 * The text begins with the version of the oldest table in use when it was looked; only links with something
 * routed by a table before that one follow, each with the oldest version in flight. So a text of nothing but a
 * number says that all is answered. It is bounded: of links beyond SETTLED_LINKS_MAX only the oldest version is
 * told, as "*", which stands for any link. */
#ifndef ROUTING_SETTLED_H
#define ROUTING_SETTLED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routing/names.h"

enum { SETTLED_LINKS_MAX = 32, SETTLED_TEXT_MAX = 22 + (SETTLED_LINKS_MAX + 1) * (2 * NAME_LEN_MAX + 24) };

/* All zeros: nothing is known. */
struct settled {
    uint64_t table; /* the oldest in use */
    uint64_t rest;  /* the oldest version in flight on links that have no place in late; UINT64_MAX: none */
    unsigned count;
    struct settled_link {
        uint64_t version; /* the oldest in flight */
        uint8_t carrier, platform;
    } late[SETTLED_LINKS_MAX];
};

/* Nothing older than this table is in flight. */
struct settled settled_begin(uint64_t table);

/* Something routed by this version is in flight; without effect where that is the table in use. */
void settled_late(struct settled *settled, uint8_t carrier, uint8_t platform, uint64_t version);

/* What holds of both. */
void settled_join(struct settled *settled, const struct settled *other);

bool settled_equal(const struct settled *a, const struct settled *b);

/* The highest version such that nothing routed by a table before it is in flight on any link. */
uint64_t settled_version(const struct settled *settled);

/* text: of SETTLED_TEXT_MAX octets. */
void settled_write(const struct settled *settled, const struct names *names, char *text);

/* The ways that a flip leaves: by these carriers, to any platform but one. A message of a carrier goes over no
 * other carrier's link, and two over one platform keep their order there. */
struct settled_ways {
    char (*carriers)[NAME_LEN_MAX + 1];
    size_t count;
    const char *to;
};

/* Is everything answered that was routed by a table before this version over these ways? Not so where the text
 * was written before the version was in use, or is none. unanswered, where not NULL, takes the links that keep it
 * from that, "spark:redx onenz:redx", as many as fit into cap octets. */
bool settled_on(const char *text, uint64_t version, const struct settled_ways *ways, char *unanswered,
                size_t cap);

#endif
