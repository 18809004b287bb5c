/* Octets placed so that the first one past their end lies on a page that may not be touched: a reader that
 * goes one octet too far dies there, sanitizer or not.
 *
 *   | writable pages ......... octets |  PROT_NONE page  |
 *
 * One guard a test program is enough; each guard_put forgets the octets of the one before. */
#ifndef TEST_UNIT_GUARD_H
#define TEST_UNIT_GUARD_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GUARD_ROOM = 1 << 17 };

static inline uint8_t *guard_wall(void)
{
    static uint8_t *wall;
    if (wall == NULL) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        void *base =
            mmap(NULL, GUARD_ROOM + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (base == MAP_FAILED)
            abort();
        wall = (uint8_t *)base + GUARD_ROOM;
        if (mprotect(wall, page, PROT_NONE) != 0)
            abort();
    }
    return wall;
}

/* Room for len octets (at most GUARD_ROOM) that end at the wall. */
static inline uint8_t *guard_room(size_t len)
{
    if (len > GUARD_ROOM)
        abort();
    return guard_wall() - len;
}

/* The octets, copied to the wall. */
static inline uint8_t *guard_put(const void *octets, size_t len)
{
    uint8_t *place = guard_room(len);
    if (len > 0)
        memmove(place, octets, len);
    return place;
}

#endif
