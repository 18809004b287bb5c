/* See zone.h. The zone's rules are libc's: TZ is set for the moment of a call. */
#include "routing/ctl/zone.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MINUTE_S = 60, HOUR_S = 3600, DAY_S = 86400, OFFSET_HOURS_MAX = 15, YEAR_TM = 1900, SECOND_MS = 1000 };

/* --- the zone ----------------------------------------------------------------------------------------------
 */

/* Is there a file of rules by this name? libc takes any name, and shows UTC for one that it does not know. */
static bool rules_exist(const char *name)
{
    char path[256];
    char magic[4] = "";
    const char *folder = getenv("TZDIR");
    bool plain =
        *name && *name != '/' && !strstr(name, "..") &&
        name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/")] == '\0';
    if (!plain || strlen(name) > ZONE_NAME_MAX) {
        return false;
    }
    snprintf(path, sizeof path, "%s/%s", folder ? folder : "/usr/share/zoneinfo", name);
    FILE *file = fopen(path, "rb");
    if (!file) {
        return false;
    }
    bool fine =
        fread(magic, 1, sizeof magic, file) == sizeof magic && memcmp(magic, "TZif", sizeof magic) == 0;
    fclose(file);
    return fine;
}

/* Does the text begin like the form, in which 0 stands for any digit? */
static bool looks_like(const char *text, const char *form)
{
    for (; *form; form++, text++) {
        if (*form == '0' ? !isdigit((unsigned char)*text) : *text != *form) {
            return false;
        }
    }
    return true;
}

static long two_digits(const char *text)
{
    return (text[0] - '0') * 10L + (text[1] - '0');
}

/* "Z", "+13", "+1300", "+13:00", and nothing behind it. */
static bool offset_parse(const char *text, long *offset_s)
{
    static const char *const forms[] = {"00", "0000", "00:00"};
    if (strcmp(text, "Z") == 0) {
        *offset_s = 0;
        return true;
    }
    for (size_t i = 0; i < sizeof forms / sizeof *forms && (*text == '+' || *text == '-'); i++) {
        size_t len = strlen(forms[i]);
        if (strlen(text + 1) == len && looks_like(text + 1, forms[i])) {
            long hours = two_digits(text + 1);
            long minutes = len > 2 ? two_digits(text + 1 + len - 2) : 0;
            *offset_s = (*text == '-' ? -1 : 1) * (hours * HOUR_S + minutes * MINUTE_S);
            return hours < OFFSET_HOURS_MAX && minutes < MINUTE_S;
        }
    }
    return false;
}

static void offset_text(long offset_s, char text[8])
{
    long minutes = labs(offset_s) / MINUTE_S;
    snprintf(text, 8, "%c%02ld:%02ld", offset_s < 0 ? '-' : '+', minutes / MINUTE_S % 24, minutes % MINUTE_S);
}

static void zone_fixed(struct zone *zone, long offset_s)
{
    *zone = (struct zone){.fixed = true, .offset_s = offset_s};
    offset_text(offset_s, zone->name);
}

bool zone_find(const char *name, struct zone *zone)
{
    long offset_s = 0;
    if (offset_parse(name, &offset_s)) {
        zone_fixed(zone, offset_s);
        return true;
    }
    if (!rules_exist(name)) {
        return false;
    }
    *zone = (struct zone){0};
    text_copy(zone->name, sizeof zone->name, name);
    return true;
}

static char *tz_set(const struct zone *zone)
{
    char value[ZONE_NAME_MAX + 2];
    const char *now = getenv("TZ");
    char *before = now ? need(strdup(now)) : NULL;
    snprintf(value, sizeof value, ":%s", zone->name);
    setenv("TZ", value, 1);
    tzset();
    return before;
}

static void tz_reset(char *before)
{
    if (before) {
        setenv("TZ", before, 1);
    } else {
        unsetenv("TZ");
    }
    tzset();
    free(before);
}

/* --- parsing -----------------------------------------------------------------------------------------------
 */

static bool same_time(const struct tm *left, const struct tm *right)
{
    return left->tm_year == right->tm_year && left->tm_mon == right->tm_mon &&
           left->tm_mday == right->tm_mday && left->tm_hour == right->tm_hour &&
           left->tm_min == right->tm_min && left->tm_sec == right->tm_sec;
}

/* "2026-09-27T10:00[:30]" or with a blank; *rest is what stands behind it. */
static bool fields_parse(const char *text, struct tm *fields, const char **rest)
{
    static const char *const forms[] = {"0000-00-00T00:00", "0000-00-00 00:00"};
    bool fine = looks_like(text, forms[0]) || looks_like(text, forms[1]);
    if (!fine) {
        return false;
    }
    *fields = (struct tm){.tm_year = (int)(two_digits(text) * 100 + two_digits(text + 2)) - YEAR_TM,
                          .tm_mon = (int)two_digits(text + 5) - 1,
                          .tm_mday = (int)two_digits(text + 8),
                          .tm_hour = (int)two_digits(text + 11),
                          .tm_min = (int)two_digits(text + 14)};
    *rest = text + strlen(forms[0]);
    if (looks_like(*rest, ":00")) {
        fields->tm_sec = (int)two_digits(*rest + 1);
        *rest += strlen(":00");
    }
    struct tm normal = *fields;
    /* The 31st of September would become a first of October. */
    return timegm(&normal) > 0 && same_time(&normal, fields);
}

/* The moments at which the zone's clocks show these fields: none, one or two. The offsets a day before and a day
 * after are the two that can be meant. */
static int moments(const struct tm *fields, time_t found[2], long offsets[2])
{
    struct tm copy = *fields;
    time_t base = timegm(&copy);
    int count = 0;
    for (int day = -1; day <= 1; day += 2) {
        struct tm local;
        time_t near = base + (time_t)day * DAY_S;
        if (!localtime_r(&near, &local)) {
            continue;
        }
        time_t moment = base - local.tm_gmtoff;
        if (localtime_r(&moment, &local) && same_time(&local, fields) && (count == 0 || found[0] != moment)) {
            offsets[count] = local.tm_gmtoff;
            found[count++] = moment;
        }
    }
    return count;
}

static bool local_parse(const char *text, const struct tm *fields, const struct zone *zone, time_t *moment,
                        char reason[ZONE_REASON_SIZE])
{
    time_t found[2] = {0};
    long offsets[2] = {0};
    char *before = tz_set(zone);
    int count = moments(fields, found, offsets);
    tz_reset(before);
    *moment = found[0];
    if (count == 0) {
        snprintf(
            reason, ZONE_REASON_SIZE,
            "\"%s\" does not exist in %s: the clocks go forward over it. Give a time that exists, or one "
            "with its offset from UTC",
            text, zone->name);
    } else if (count == 2) {
        char first[8];
        char second[8];
        offset_text(offsets[0], first);
        offset_text(offsets[1], second);
        snprintf(reason, ZONE_REASON_SIZE,
                 "\"%s\" comes twice in %s, as the clocks go back: say which one by its offset, %s%s or %s%s",
                 text, zone->name, text, first, text, second);
    }
    return count == 1;
}

bool zone_parse(const char *text, const struct zone *zone, uint64_t *ms, struct zone *said,
                char reason[ZONE_REASON_SIZE])
{
    struct tm fields;
    const char *rest = NULL;
    long offset_s = 0;
    time_t moment = 0;
    if (strlen(text) > ZONE_NAME_MAX || !fields_parse(text, &fields, &rest) ||
        (*rest && !offset_parse(rest, &offset_s))) {
        snprintf(reason, ZONE_REASON_SIZE,
                 "\"%.40s\" is no time such as 2026-09-27T10:00+13:00, or 2026-09-27T10:00 with a zone",
                 text);
        return false;
    }
    if (*rest) {
        moment = timegm(&fields) - offset_s;
        if (said) {
            zone_fixed(said, offset_s);
        }
    } else if (!zone || !*zone->name) {
        snprintf(reason, ZONE_REASON_SIZE,
                 "\"%s\" needs an offset from UTC (%s+13:00), or a zone: --zone Pacific/Auckland", text,
                 text);
        return false;
    } else if (zone->fixed) {
        moment = timegm(&fields) - zone->offset_s;
    } else if (!local_parse(text, &fields, zone, &moment, reason)) {
        return false;
    }
    *ms = (uint64_t)moment * SECOND_MS;
    return true;
}

/* --- showing -----------------------------------------------------------------------------------------------
 */

const char *zone_text(const struct zone *zone, uint64_t ms, char text[TIME_TEXT_SIZE])
{
    if (!*zone->name || ms == 0) {
        return time_text(ms, text);
    }
    if (!zone->fixed) {
        char *before = tz_set(zone);
        time_text(ms, text);
        tz_reset(before);
        return text;
    }
    time_t seconds = (time_t)(ms / SECOND_MS) + zone->offset_s;
    struct tm fields;
    char *end = text;
    if (!gmtime_r(&seconds, &fields) ||
        (end += strftime(text, TIME_TEXT_SIZE, "%Y-%m-%d %H:%M:%S ", &fields)) == text) {
        text_copy(text, TIME_TEXT_SIZE, "-");
        return text;
    }
    snprintf(end, TIME_TEXT_SIZE - (size_t)(end - text), "%.3s%.2s", zone->name, zone->name + 4);
    return text;
}
