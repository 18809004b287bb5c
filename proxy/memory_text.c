#include "proxy/memory_text.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM_FIRST = 1024 };

static bool make_room(struct memory_text *t, size_t len)
{
    size_t room = t->room == 0 ? ROOM_FIRST : t->room;
    while (room < len) {
        room *= 2;
    }
    char *text = room == t->room ? t->text : realloc(t->text, room);
    if (text == NULL) {
        return false;
    }
    t->text = text;
    t->room = room;
    return true;
}

static ssize_t write_more(void *cookie, const char *octets, size_t len)
{
    struct memory_text *t = cookie;
    if (t->failed || !make_room(t, t->len + len + 1)) {
        t->failed = true;
        return 0;
    }
    memcpy(t->text + t->len, octets, len);
    t->len += len;
    t->text[t->len] = '\0';
    return (ssize_t)len;
}

FILE *memory_text_open(struct memory_text *t)
{
    static const cookie_io_functions_t functions = {.write = write_more};
    *t = (struct memory_text){.text = NULL};
    if (make_room(t, 1)) {
        t->text[0] = '\0';
        t->out = fopencookie(t, "w", functions);
    }
    if (t->out == NULL) {
        free(t->text);
    }
    return t->out;
}

char *memory_text_close(struct memory_text *t, size_t *len)
{
    if (fclose(t->out) != 0 || t->failed) {
        free(t->text);
        return NULL;
    }
    if (len != NULL) {
        *len = t->len;
    }
    return t->text;
}
