/* See command_line.h. */
#include "routing/ctl/command_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/output.h"

/* A word as the shell takes it for itself. */
static void put_word(FILE *out, const char *word)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/:@,+=%";
    fputc(' ', out);
    if (*word && strspn(word, plain) == strlen(word)) {
        fputs(word, out);
        return;
    }
    fputc('\'', out);
    for (; *word; word++) {
        if (*word == '\'') {
            fputs("'\\''", out);
        } else {
            fputc(*word, out);
        }
    }
    fputc('\'', out);
}

static const char *text_of(const struct options *options, enum option_id id)
{
    return *(const char *const *)(const void *)((const char *)options + option_table[id].offset);
}

static void put_list(FILE *out, const struct ctl *ctl, enum option_id id)
{
    const struct option_list *list = (const void *)((const char *)&ctl->options + option_table[id].offset);
    for (unsigned i = 0; i < list->count; i++) {
        fprintf(out, " --%s", option_table[id].name);
        put_word(out, list->items[i]);
    }
}

static void put_option(FILE *out, const struct ctl *ctl, enum option_id id)
{
    if (option_table[id].kind == OPTION_LIST) {
        put_list(out, ctl, id);
        return;
    }
    const char *text = text_of(&ctl->options, id);
    if (text) {
        fprintf(out, " --%s", option_table[id].name);
        put_word(out, text);
    }
}

/* Where Redis is, unless the environment or the default say so, too. */
static void put_where(FILE *out, const struct ctl *ctl)
{
    static const enum option_id ids[] = {OPT_REDIS, OPT_PASSWORD_FILE, OPT_PREFIX};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        const struct option_row *row = &option_table[ids[i]];
        const char *env = getenv(row->env);
        const char *otherwise = env && *env ? env : row->standard;
        const char *text = text_of(&ctl->options, ids[i]);
        if (text && (!otherwise || strcmp(text, otherwise) != 0)) {
            put_option(out, ctl, ids[i]);
        }
    }
}

char *command_line_for(const struct ctl *ctl, const char *words, char *const *shortcodes, int count,
                       option_set set)
{
    char *text = NULL;
    size_t len;
    FILE *out = need(open_memstream(&text, &len));
    fputs("turnoutctl", out);
    put_where(out, ctl);
    fprintf(out, " %s", words);
    for (int i = 0; i < count; i++) {
        put_word(out, shortcodes[i]);
    }
    for (int id = 0; id < OPT_COUNT; id++) {
        if (set & OPTION_BIT(id)) {
            put_option(out, ctl, (enum option_id)id);
        }
    }
    fclose(out);
    return text_clean(need(text));
}

char *command_line(const struct ctl *ctl, const char *words, option_set set)
{
    return command_line_for(ctl, words, NULL, 0, set);
}
