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

static const void *field_of(const struct options *options, enum option_id id)
{
    return (const char *)options + option_table[id].offset;
}

static const char *text_of(const struct options *options, enum option_id id)
{
    return *(const char *const *)field_of(options, id);
}

static void put_text(FILE *out, const char *name, const char *text)
{
    fprintf(out, " --%s", name);
    put_word(out, text);
}

static void put_list(FILE *out, const struct ctl *ctl, enum option_id id)
{
    const struct option_list *list = field_of(&ctl->options, id);
    for (unsigned i = 0; i < list->count; i++) {
        put_text(out, option_table[id].name, list->items[i]);
    }
}

/* Is the option as it would be if it were not given? */
static bool is_standard(const struct ctl *ctl, enum option_id id)
{
    const struct option_row *row = &option_table[id];
    const char *reason;
    struct options otherwise = {0};
    if (row->standard && !options_set(&otherwise, id, row->standard, &reason)) {
        return false;
    }
    const void *is = field_of(&ctl->options, id);
    const void *standard = field_of(&otherwise, id);
    switch (row->kind) {
    case OPTION_FLAG: return *(const bool *)is == *(const bool *)standard;
    case OPTION_DURATION:
    case OPTION_PERIOD:
    case OPTION_COUNT:
    case OPTION_AUTO: return *(const unsigned *)is == *(const unsigned *)standard;
    case OPTION_NUMBER: return *(const uint64_t *)is == *(const uint64_t *)standard;
    case OPTION_LIST: return ((const struct option_list *)is)->count == 0;
    case OPTION_TEXT:
    case OPTION_STATE: break;
    }
    const char *text = text_of(&ctl->options, id);
    return !text || (row->standard && strcmp(text, row->standard) == 0);
}

static void put_option(FILE *out, const struct ctl *ctl, enum option_id id)
{
    const struct option_row *row = &option_table[id];
    const void *field = field_of(&ctl->options, id);
    switch (row->kind) {
    case OPTION_FLAG: fprintf(out, " --%s", row->name); break;
    case OPTION_DURATION:
    case OPTION_PERIOD: fprintf(out, " --%s %ums", row->name, *(const unsigned *)field); break;
    case OPTION_COUNT:
    case OPTION_AUTO: fprintf(out, " --%s %u", row->name, *(const unsigned *)field); break;
    case OPTION_NUMBER:
        fprintf(out, " --%s %llu", row->name, (unsigned long long)*(const uint64_t *)field);
        break;
    case OPTION_LIST: put_list(out, ctl, id); break;
    case OPTION_TEXT:
    case OPTION_STATE: put_text(out, row->name, text_of(&ctl->options, id)); break;
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
        if ((set & OPTION_BIT(id)) && !is_standard(ctl, (enum option_id)id)) {
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
