/* See template.h. */
#include "proxy/hooks/template.h"
#include "proxy/memory_text.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PLACE_NAME(id, name, help) name,
static const char *const place_names[PLACE_COUNT] = {HOOK_PLACEHOLDERS(PLACE_NAME)};

#define GREETING "Dear customer,\n\n"
#define ENDING \
    "\n\nThis message was written by the system that carries your SMS traffic. Time of the event: {at}.\n"
#define MOVING "the connection of your SMS shortcodes to the mobile networks"

const struct hook_template hook_templates_standard[TEMPLATE_COUNT] = {
    [KIND_WINDOW_OPENED] = {"Migration of your shortcodes has begun: {shortcodes}", GREETING
                            "We have begun to move " MOVING
                            " to another platform:\n\n{cells}\n\nThe networks "
                            "move one after the other. You need not change anything, and your sessions stay "
                            "bound. You will hear from us about each network, and at the end." ENDING},
    [KIND_CARRIER_MOVED] =
        {"{carrier}: {shortcodes} now by {to}",
         GREETING "Messages of {shortcodes} to and from {carrier} now go by the platform "
                  "{to}:\n\n{cells}\n\nReceipts and replies to earlier messages still reach you. You "
                  "need not change anything." ENDING},
    [KIND_ROLLED_BACK] =
        {"{carrier}: {shortcodes} is back on the platform before",
         GREETING "We have undone a move of your shortcodes. They are served as follows:\n\n{cells}\n\n"
                  "You need not change anything." ENDING},
    [KIND_ALARM] = {"Your shortcodes are being watched: {shortcodes}",
                    GREETING "While your shortcodes are being moved we saw something that we are looking "
                             "into:\n\n{cells}\n\nYou need not change anything." ENDING},
    [KIND_WINDOW_PAUSED] = {"Migration of your shortcodes is paused: {shortcodes}", GREETING
                            "The move of your shortcodes is paused. What has been moved stays moved, and "
                            "traffic goes on. You will hear from us when it goes on." ENDING},
    [KIND_WINDOW_RESUMED] = {"Migration of your shortcodes goes on: {shortcodes}", GREETING
                             "The move of your shortcodes goes on after a pause. You need not change "
                             "anything." ENDING},
    [KIND_WINDOW_FINISHED] = {"Migration of your shortcodes is complete: {shortcodes}",
                              GREETING "The move of your shortcodes is complete. This is how they are served "
                                       "now:\n\n{cells}\n\nThank you for your patience." ENDING},
    [KIND_CONFIRMED] = {"{carrier}: the move of {shortcodes} is confirmed",
                        GREETING "The move of your shortcodes is confirmed:\n\n{cells}" ENDING},
    [KIND_GONE_BACK] = {"{carrier}: {shortcodes} is back on the platform before", GREETING
                        "A move of your shortcodes was not confirmed in time and has been undone. They are "
                        "served as follows:\n\n{cells}\n\nYou need not change anything." ENDING},
    [TEMPLATE_OPERATOR] = {"{event}: {text}",
                           "{text}\n\nevent     {event}\nat        {at}\nwindow    {window}\nversion   "
                           "{version}\nwho       {who}\nwhy       {why}\nticket    {ticket}\ntold by   "
                           "{instance}\n\n{cells}\n"},
};

/* --- placeholders ---------------------------------------------------------------------------------------- */

/* The placeholder whose name is between the brace at text and the next closing one; PLACE_COUNT for none. */
static unsigned place_at(const char *text, size_t *len)
{
    size_t name_len = strcspn(text + 1, "{}\n");
    *len = name_len + 2;
    for (unsigned i = 0; i < PLACE_COUNT && text[1 + name_len] == '}'; i++) {
        if (strlen(place_names[i]) == name_len && strncmp(place_names[i], text + 1, name_len) == 0) {
            return i;
        }
    }
    return PLACE_COUNT;
}

const char *hook_template_check(const char *text)
{
    static char what[80];
    size_t len;
    for (const char *c = strchr(text, '{'); c != NULL; c = strchr(c, '{')) {
        if (c[1] == '{') {
            c += 2;
        } else if (place_at(c, &len) < PLACE_COUNT) {
            c += len;
        } else {
            snprintf(what, sizeof what, "has an unknown placeholder %.*s", (int)(len < 40 ? len : 40), c);
            return what;
        }
    }
    return NULL;
}

char *hook_template_expand(const char *text, const char *const values[PLACE_COUNT])
{
    struct memory_text made;
    size_t len;
    FILE *out = memory_text_open(&made);
    if (out == NULL) {
        return NULL;
    }
    for (const char *c = text; *c != '\0';) {
        size_t plain = strcspn(c, "{");
        fwrite(c, 1, plain, out);
        c += plain;
        unsigned place = *c == '{' ? place_at(c, &len) : PLACE_COUNT;
        if (place < PLACE_COUNT) {
            fputs(values[place], out);
            c += len;
        } else if (*c == '{') {
            fputc('{', out);
            c += c[1] == '{' ? 2 : 1;
        }
    }
    return memory_text_close(&made, NULL);
}

/* --- files ----------------------------------------------------------------------------------------------- */

enum { TEMPLATE_FILE_MAX = 65536 };

/* NULL where it is not there (errno ENOENT) or cannot be read. */
static char *read_file(const char *path)
{
    FILE *in = fopen(path, "re");
    if (in == NULL) {
        return NULL;
    }
    char *text = calloc(1, TEMPLATE_FILE_MAX + 1);
    size_t len = text == NULL ? 0 : fread(text, 1, TEMPLATE_FILE_MAX + 1, in);
    int error = ferror(in) ? errno : text == NULL ? ENOMEM : len > TEMPLATE_FILE_MAX ? EFBIG : 0;
    fclose(in);
    if (error == 0) {
        return text;
    }
    free(text);
    errno = error;
    return NULL;
}

struct reading {
    const char *path;
    void (*fault)(void *ctx, const char *file, int line, const char *what);
    void *ctx;
};

/* Each line for itself, so that the fault has its number. A placeholder cannot go over the end of a line. */
static void check_lines(const struct reading *reading, char *text)
{
    int line = 1;
    for (char *c = text; c != NULL; line++) {
        char *end = strchr(c, '\n');
        if (end != NULL) {
            *end = '\0';
        }
        const char *what = hook_template_check(c);
        if (what != NULL) {
            reading->fault(reading->ctx, reading->path, line, what);
        }
        if (end != NULL) {
            *end = '\n';
        }
        c = end == NULL ? NULL : end + 1;
    }
}

static void take_file(const struct reading *reading, char *text, struct hook_template *template)
{
    static const char begins[] = "Subject: ";
    check_lines(reading, text);
    char *end = strstr(text, "\n\n");
    if (strncmp(text, begins, sizeof begins - 1) != 0 || end == NULL || strchr(text, '\n') != end) {
        reading->fault(reading->ctx, reading->path, 1, "must be \"Subject: ...\", and the second line empty");
        return;
    }
    *end = '\0';
    template->subject = strdup(text + sizeof begins - 1);
    template->body = strdup(end + 2);
    if (template->subject == NULL || template->body == NULL) {
        reading->fault(reading->ctx, reading->path, 0, "there is no memory for it");
    }
}

void hook_templates_read(const char *directory, struct hook_template templates[TEMPLATE_COUNT],
                         void (*fault)(void *ctx, const char *file, int line, const char *what), void *ctx)
{
    char path[4096 + 64];
    struct stat status;
    if (stat(directory, &status) != 0 || !S_ISDIR(status.st_mode)) {
        fault(ctx, directory, 0, "is no directory that can be read");
        return;
    }
    for (unsigned i = 0; i < TEMPLATE_COUNT; i++) {
        const char *name = i == TEMPLATE_OPERATOR ? "operator" : hook_kind_name((enum event_kind)i);
        snprintf(path, sizeof path, "%s/%s.txt", directory, name);
        struct reading reading = {path, fault, ctx};
        char *text = read_file(path);
        if (text != NULL) {
            take_file(&reading, text, &templates[i]);
        } else if (errno != ENOENT) {
            fault(ctx, path, 0, strerrordesc_np(errno));
        }
        free(text);
    }
}

void hook_templates_free(struct hook_template templates[TEMPLATE_COUNT])
{
    for (unsigned i = 0; i < TEMPLATE_COUNT; i++) {
        free(templates[i].subject);
        free(templates[i].body);
        templates[i] = (struct hook_template){NULL, NULL};
    }
}
