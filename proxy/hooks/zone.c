/* See zone.h. Of a file (RFC 8536) its second block is read, whose times have 64 bits:
 *
 *   header, block of 32-bit times, header, [times][types][descriptions: offset, dst, name]...
 *
 * After the last transition its offset is taken to hold; the files of Debian go to 2037. */
#include "proxy/hooks/zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    HEADER_OCTETS = 44,
    COUNTS_AT = 20,
    DESCRIPTION_OCTETS = 6,
    LEAP_OCTETS_32 = 8,
    FILE_MAX = 65536,
    NAME_MAX_OCTETS = 64,
    OFFSET_MAX_H = 14,
};

/* The six numbers of a header, in its order. */
struct counts {
    uint32_t ut, standard, leap, times, types, chars;
};

static uint32_t number32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t number64(const uint8_t *p)
{
    return (int64_t)((uint64_t)number32(p) << 32 | number32(p + 4));
}

static bool read_header(const uint8_t *file, size_t len, struct counts *c)
{
    if (len < HEADER_OCTETS || memcmp(file, "TZif", 4) != 0 || file[4] < '2') {
        return false;
    }
    const uint8_t *p = file + COUNTS_AT;
    *c = (struct counts){number32(p),      number32(p + 4),  number32(p + 8),
                         number32(p + 12), number32(p + 16), number32(p + 20)};
    return c->ut <= FILE_MAX && c->standard <= FILE_MAX && c->leap <= FILE_MAX && c->times <= FILE_MAX &&
           c->types <= FILE_MAX && c->chars <= FILE_MAX;
}

bool hook_zone_offset(const uint8_t *file, size_t len, int64_t at, int32_t *offset)
{
    struct counts c;
    if (!read_header(file, len, &c)) {
        return false;
    }
    size_t first = HEADER_OCTETS + (size_t)c.times * 5 + (size_t)c.types * DESCRIPTION_OCTETS + c.chars +
                   (size_t)c.leap * LEAP_OCTETS_32 + c.standard + c.ut;
    if (first > len || !read_header(file + first, len - first, &c)) {
        return false;
    }
    const uint8_t *times = file + first + HEADER_OCTETS;
    const uint8_t *kinds = times + (size_t)c.times * sizeof(int64_t);
    const uint8_t *descriptions = kinds + c.times;
    size_t needed = (size_t)c.times * 9 + (size_t)c.types * DESCRIPTION_OCTETS;
    if (c.types == 0 || needed > len - first - HEADER_OCTETS) {
        return false;
    }
    uint8_t kind = 0; /* before the first transition */
    for (uint32_t i = 0; i < c.times && number64(times + (size_t)i * sizeof(int64_t)) <= at; i++) {
        kind = kinds[i];
    }
    if (kind >= c.types) {
        return false;
    }
    *offset = (int32_t)number32(descriptions + (size_t)kind * DESCRIPTION_OCTETS);
    return true;
}

/* Two digits, as a number; -1 where they are none. */
static int two_digits(const char *text)
{
    bool good = text[0] >= '0' && text[0] <= '9' && text[1] >= '0' && text[1] <= '9';
    return good ? (text[0] - '0') * 10 + text[1] - '0' : -1;
}

/* "Z", "+13", "+1300", "+13:00". */
static bool parse_offset(const char *name, int32_t *offset)
{
    if (strcmp(name, "Z") == 0) {
        *offset = 0;
        return true;
    }
    if ((name[0] != '+' && name[0] != '-') || two_digits(name + 1) < 0) {
        return false;
    }
    const char *rest = name + 3 + (name[3] == ':');
    int hours = two_digits(name + 1);
    int minutes = name[3] == '\0' ? 0 : two_digits(rest);
    bool ends = name[3] == '\0' || (minutes >= 0 && rest[2] == '\0');
    if (!ends || hours > OFFSET_MAX_H || minutes >= 60) {
        return false;
    }
    int32_t seconds = hours * 3600 + minutes * 60;
    *offset = name[0] == '-' ? -seconds : seconds;
    return true;
}

/* It comes from Redis: no way out of the directory. */
static bool name_good(const char *name)
{
    return name[0] != '\0' && name[0] != '/' && strlen(name) <= NAME_MAX_OCTETS &&
           strstr(name, "..") == NULL &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/") == strlen(name);
}

static bool offset_of(const char *name, int64_t at, int32_t *offset)
{
    char path[NAME_MAX_OCTETS + 64];
    if (parse_offset(name, offset)) {
        return true;
    }
    if (!name_good(name)) {
        return false;
    }
    snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
    FILE *in = fopen(path, "re");
    uint8_t *file = in == NULL ? NULL : malloc(FILE_MAX);
    size_t len = file == NULL ? 0 : fread(file, 1, FILE_MAX, in);
    bool found = len > 0 && hook_zone_offset(file, len, at, offset);
    free(file);
    if (in != NULL) {
        fclose(in);
    }
    return found;
}

bool hook_zone_text(const char *name, uint64_t ms, char text[HOOK_ZONE_TEXT_SIZE])
{
    int32_t offset;
    struct tm tm;
    if (!offset_of(name, (int64_t)(ms / 1000), &offset)) {
        return false;
    }
    time_t local = (time_t)(ms / 1000) + offset;
    unsigned east = (unsigned)(offset < 0 ? -offset : offset) / 60;
    char when[24];
    if (gmtime_r(&local, &tm) == NULL || strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm) == 0) {
        return false;
    }
    snprintf(text, HOOK_ZONE_TEXT_SIZE, "%s %c%02u%02u", when, offset < 0 ? '-' : '+', east / 60 % 100,
             east % 60);
    return true;
}
