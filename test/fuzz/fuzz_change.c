/* Entries of the change stream: refused with a reason, or applied, and then the table says what they say.
 *
 *   input: texts, each ended by NUL ──change_parse──▶ change ──change_apply──▶ table ──▶ its cells
 *        └──each text──▶ route_value_parse ──▶ route_value_print ──▶ the same route */
#include "routing/change.h"
#include "test/fuzz/fuzz.h"

enum { TEXTS_MAX = 32, VERSION = 7 };

struct texts {
    const char *text[TEXTS_MAX];
    size_t lens[TEXTS_MAX];
    size_t count;
};

/* Each in memory of its own size, so that reading past it shows. */
static void texts_take(struct texts *texts, struct input *in)
{
    texts->count = 0;
    while (in->len > 0 && texts->count < TEXTS_MAX) {
        const uint8_t *nul = memchr(in->p, 0, in->len);
        struct input one = take_octets(in, nul != NULL ? (size_t)(nul - in->p) : in->len);
        take_octet(in);
        char *copy = malloc(one.len + 1);
        MUST(copy != NULL);
        memcpy(copy, one.p, one.len);
        copy[one.len] = '\0';
        texts->lens[texts->count] = one.len;
        texts->text[texts->count++] = copy;
    }
}

static void texts_free(struct texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        free((void *)(uintptr_t)texts->text[i]);
}

static void as_value(const char *text, size_t len)
{
    struct names names = {0};
    struct route route;
    struct route again;
    char value[ROUTE_VALUE_MAX];
    if (!route_value_parse(text, len, &names, &route))
        return;
    route_value_print(value, &route, &names, VERSION);
    MUST(route_value_parse(value, strlen(value), &names, &again));
    MUST(route.platform == again.platform && route.state == again.state);
    MUST(route.previous == again.previous && route.changed == again.changed);
}

/* The last move of a cell is what the table must have. */
static bool is_last(const struct change *change, size_t i)
{
    for (size_t j = i + 1; j < change->moves_count; j++) {
        if (strcmp(change->moves[i].shortcode, change->moves[j].shortcode) == 0 &&
            strcmp(change->moves[i].carrier, change->moves[j].carrier) == 0)
            return false;
    }
    return true;
}

static void applied(const struct table *table, const struct change *change, struct names *names)
{
    MUST(table_version(table) == change->version);
    for (size_t i = 0; i < change->moves_count; i++) {
        const struct change_move *move = &change->moves[i];
        struct route route;
        if (!is_last(change, i))
            continue;
        bool there = table_cell(table, move->shortcode, names_intern(names, move->carrier), &route);
        MUST(there == (move->to[0] != '\0'));
        MUST(!there || route.platform == names_intern(names, move->to));
        MUST(!there || route.state == (uint8_t)move->state);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct texts texts;
    const char *reason = NULL;
    texts_take(&texts, &in);
    for (size_t i = 0; i < texts.count; i++)
        as_value(texts.text[i], texts.lens[i]);
    struct change *change = change_parse(VERSION, texts.text, texts.lens, texts.count, &reason);
    MUST(change != NULL || (reason != NULL && reason[0] != '\0'));
    if (change != NULL && !change->restore) {
        struct names names = {0};
        struct table *base = table_new();
        MUST(base != NULL);
        struct table *table = change_apply(base, change, &names);
        if (table != NULL)
            applied(table, change, &names);
        MUST(table_count(base) == 0);
        table_free(table);
        table_free(base);
    }
    change_free(change);
    texts_free(&texts);
    return 0;
}
