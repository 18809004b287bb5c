/* From a file to a tree:
 *
 *   slurp ──▶ prepare: blanks comments, checks strings and braces ──▶ cfg_parse_buf ──▶ keep_value, once a
 * value
 *
 * libconfuse 3.3 counts a line with a comment twice, takes no comment within a list, and accepts a section or
 * a string that never ends; so comments go before it sees the text, and those two are refused. It stops at
 * the first unknown name unless sections may have names of their own (CFGF_KEYSTRVAL): then it reports the
 * name and goes on. */
#include "proxy/config_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 64 << 20, DEPTH_MAX = 8, SHOWN_MAX = 400 };

/* --- faults --- */

void fault_add(struct faults *faults, int line, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0 || faults->count == FAULTS_MAX) {
        faults->more = true;
        if (len >= 0)
            free(text);
        return;
    }
    for (char *c = text; *c != '\0'; c++) {
        if (iscntrl((unsigned char)*c))
            *c = '?';
    }
    faults->items[faults->count++] = (struct fault){.line = line, .text = text};
}

void faults_free(struct faults *faults)
{
    for (unsigned i = 0; i < faults->count; i++)
        free(faults->items[i].text);
    memset(faults, 0, sizeof *faults);
}

static void sort_by_line(struct faults *faults)
{
    for (unsigned i = 1; i < faults->count; i++) {
        struct fault one = faults->items[i];
        unsigned at = i;
        for (; at > 0 && faults->items[at - 1].line > one.line; at--)
            faults->items[at] = faults->items[at - 1];
        faults->items[at] = one;
    }
}

static int print_fault(const struct fault *fault, const char *file, char *out, size_t cap)
{
    if (fault->line == 0)
        return snprintf(out, cap, "%s: %.*s\n", file, SHOWN_MAX, fault->text);
    return snprintf(out, cap, "%s:%d: %.*s\n", file, fault->line, SHOWN_MAX, fault->text);
}

void faults_print(struct faults *faults, const char *file, char *out, size_t cap)
{
    enum { REST = 32 }; /* for the line that tells of the rest */
    sort_by_line(faults);
    size_t at = 0;
    unsigned i = 0;
    if (cap > 0)
        out[0] = '\0';
    for (; i < faults->count; i++) {
        int len = print_fault(&faults->items[i], file, out + at, cap - at);
        if ((size_t)len + REST >= cap - at)
            break;
        at += (size_t)len;
    }
    bool fits = i == faults->count && !faults->more;
    if (fits && at > 0)
        out[at - 1] = '\0'; /* no newline at the end */
    else if (at < cap)
        snprintf(out + at, cap - at, "and %u%s more", faults->count - i, faults->more ? " or" : "");
}

void list_add(char *out, size_t cap, const char *name)
{
    static const char more[] = ", ...";
    size_t at = strlen(out);
    size_t needed = at + strlen(name) + 2 + sizeof more;
    bool ended = at >= sizeof more && strcmp(out + at - sizeof more + 1, more) == 0;
    if (!ended && at + sizeof more <= cap)
        snprintf(out + at, cap - at, "%s%s", needed > cap || at == 0 ? "" : ", ", needed > cap ? more : name);
}

/* --- the text --- */

/* Whole, NUL-terminated. NULL with *wrong. */
static char *slurp(FILE *in, size_t *len, const char **wrong)
{
    char *text = NULL;
    size_t cap = 0;
    *len = 0;
    do {
        cap = cap == 0 ? 16384 : 2 * cap;
        char *longer = cap > 2 * (size_t)FILE_MAX ? NULL : realloc(text, cap);
        if (longer == NULL) {
            free(text);
            *wrong = cap > 2 * (size_t)FILE_MAX ? "it is too long" : "there is no memory for it";
            return NULL;
        }
        text = longer;
        *len += fread(text + *len, 1, cap - 1 - *len, in);
    } while (*len == cap - 1);
    text[*len] = '\0';
    if (!ferror(in))
        return text;
    *wrong = strerrordesc_np(errno);
    free(text);
    return NULL;
}

static char *read_text(const char *file, struct faults *faults)
{
    const char *wrong = NULL;
    size_t len = 0;
    FILE *in = fopen(file, "re");
    char *text = in == NULL ? NULL : slurp(in, &len, &wrong);
    if (text == NULL)
        fault_add(faults, 0, "cannot be read: %s", wrong != NULL ? wrong : strerrordesc_np(errno));
    if (in != NULL)
        fclose(in);
    if (text != NULL && strlen(text) != len) {
        fault_add(faults, 0, "has a NUL octet; only text is allowed");
        free(text);
        text = NULL;
    }
    return text;
}

struct scan {
    char *at;
    int line;
    int depth;
    int opened[DEPTH_MAX]; /* the lines of the open braces */
    struct faults *faults;
};

/* Up to and with the closing mark, or to the end of the text. Newlines stay, for the count of lines. */
static void blank_block(struct scan *scan)
{
    int began = scan->line;
    char *end = strstr(scan->at + 2, "*/");
    char *stop = end == NULL ? scan->at + strlen(scan->at) : end + 2;
    for (; scan->at < stop; scan->at++) {
        if (*scan->at == '\n')
            scan->line++;
        else
            *scan->at = ' ';
    }
    if (end == NULL)
        fault_add(scan->faults, began, "a comment has no end; close it with */");
}

static void blank_line(struct scan *scan)
{
    size_t len = strcspn(scan->at, "\n");
    memset(scan->at, ' ', len);
    scan->at += len;
}

/* libconfuse takes a variable that is not set for an empty one: a password would be missing without a word.
 */
static void check_variable(struct scan *scan, const char *name, size_t len)
{
    char *copy = strndup(name, len);
    char *standard = copy == NULL ? NULL : strstr(copy, ":-");
    if (copy != NULL && standard == NULL && getenv(copy) == NULL)
        fault_add(scan->faults, scan->line,
                  "${%s} is not set in the environment; set it, or give ${%s:-a default}", copy, copy);
    free(copy);
}

/* ${NAME}, where there is one. libconfuse looks for its end beyond quotes and lines; here it must come
 * before. */
static bool skip_variable(struct scan *scan)
{
    if (strncmp(scan->at, "${", 2) != 0)
        return true;
    const char *name = scan->at + 2;
    scan->at += strcspn(scan->at, "}\"\n");
    if (*scan->at == '}') {
        check_variable(scan, name, (size_t)(scan->at - name));
        return true;
    }
    fault_add(scan->faults, scan->line, "${ has no end; close it with }");
    blank_line(scan); /* whatever this does to the rest of the line, it is the same fault */
    return false;
}

/* A string ends on its line: an end that was forgotten shall not be found at some later quote. */
static void skip_string(struct scan *scan)
{
    char quote = *scan->at++;
    while (*scan->at != quote) {
        if (quote == '"' && !skip_variable(scan))
            return;
        if (*scan->at == '\\' && scan->at[1] != '\n' && scan->at[1] != '\0')
            scan->at++;
        if (*scan->at == '\n' || *scan->at == '\0')
            break;
        scan->at++;
    }
    if (*scan->at == quote)
        scan->at++;
    else
        fault_add(scan->faults, scan->line, "a string has no end; it must end on its line with %c", quote);
}

/* A word without quotes, ${NAME}, or one of the marks that mean nothing here. */
static void skip_word(struct scan *scan)
{
    if (strncmp(scan->at, "${", 2) == 0) {
        scan->at += skip_variable(scan) ? 1 : 0;
        return;
    }
    size_t len = strcspn(scan->at, " #\"'\t\n\r={}()+,*");
    scan->at += len > 0 ? len : 1;
}

static void open_brace(struct scan *scan)
{
    if (scan->depth < DEPTH_MAX)
        scan->opened[scan->depth] = scan->line;
    else
        fault_add(scan->faults, scan->line, "braces within braces; at most %d deep are allowed", DEPTH_MAX);
    scan->depth++;
    scan->at++;
}

static void close_brace(struct scan *scan)
{
    if (scan->depth == 0)
        fault_add(scan->faults, scan->line, "} without {");
    else
        scan->depth--;
    scan->at++;
}

static void scan_token(struct scan *scan)
{
    switch (*scan->at) {
    case '\n':
        scan->line++;
        scan->at++;
        break;
    case '#': blank_line(scan); break;
    case '"':
    case '\'': skip_string(scan); break;
    case '{': open_brace(scan); break;
    case '}': close_brace(scan); break;
    default:
        if (strncmp(scan->at, "/*", 2) == 0)
            blank_block(scan);
        else if (strncmp(scan->at, "//", 2) == 0)
            blank_line(scan);
        else
            skip_word(scan);
        break;
    }
}

/* Blanks the comments. False with faults where libconfuse would lose its way. */
static bool prepare(char *text, struct faults *faults)
{
    unsigned before = faults->count;
    struct scan scan = {.at = text, .line = 1, .faults = faults};
    while (*scan.at != '\0' && faults->count - before < DEPTH_MAX)
        scan_token(&scan);
    bool ended = *scan.at == '\0';
    for (int i = 0; ended && faults->count == before && i < scan.depth; i++)
        fault_add(faults, scan.opened[i], "{ has no end; close it with }");
    return faults->count == before;
}

/* --- libconfuse --- */

/* An option that no file can name without being refused: its default is parsed when a section begins, which
 * is the only moment when the section's first line is known. */
static const char begins[] = "its first line";
static char begins_default[] = "0";

/* The reading under way; libconfuse's callbacks have no pointer of their own. */
static struct {
    struct faults *faults;
    unsigned unknown_count; /* of faults, when the last unknown name was reported */
} reading;

static enum option_section section_of(const cfg_t *cfg)
{
    for (unsigned i = SECTION_ROOT + 1; i < SECTION_COUNT; i++) {
        if (strcmp(section_rows[i].name, cfg->name) == 0)
            return (enum option_section)i;
    }
    return SECTION_ROOT;
}

/* Names with '|' reach into other sections, libconfuse's own convenience; such an option is not one of cfg's.
 */
static bool belongs(cfg_t *cfg, const cfg_opt_t *option)
{
    return option >= cfg->opts && option < cfg->opts + cfg_num(cfg);
}

static void check_name(cfg_t *cfg, const cfg_opt_t *option)
{
    if (!belongs(cfg, option))
        fault_add(reading.faults, cfg->line, "\"%s\" is an option of another section; set it in that section",
                  option->name);
}

/* A list may be given in several steps (+=); anything else once. The default number, which values here do not
 * use, remembers the line. */
static void check_twice(cfg_t *cfg, cfg_opt_t *option)
{
    bool first_item = option->nvalues <= 1;
    if (first_item && option->def.number != 0)
        fault_add(reading.faults, cfg->line, "\"%s\" is given again, first in line %ld; give it once",
                  option->name, option->def.number);
    else if (option->def.number == 0)
        option->def.number = cfg->line;
}

/* A copy of text with the line that is being read. NULL without memory. */
static struct file_value *new_value(const cfg_t *cfg, const char *text)
{
    size_t size = strlen(text) + 1;
    struct file_value *value = malloc(sizeof *value + size);
    if (value != NULL) {
        value->line = cfg->line;
        memcpy(value->text, text, size);
    }
    return value;
}

static int keep_value(cfg_t *cfg, cfg_opt_t *option, const char *text, void *result)
{
    check_name(cfg, option);
    check_twice(cfg, option);
    struct file_value *value = reading.faults->more ? NULL : new_value(cfg, text);
    *(void **)result = value;
    return value != NULL ? 0 : -1;
}

/* The hidden option's default. libconfuse ends the process where a default cannot be read, so it always can: without
 * memory the section's first line is not known. */
static int keep_first_line(cfg_t *cfg, cfg_opt_t *option, const char *text, void *result)
{
    check_name(cfg, option);
    check_twice(cfg, option);
    *(void **)result = new_value(cfg, text);
    return 0;
}

static cfg_opt_t *begin_of(cfg_t *cfg)
{
    for (unsigned i = 0; i < cfg_num(cfg); i++) {
        if (strcmp(cfg->opts[i].name, begins) == 0)
            return &cfg->opts[i];
    }
    return NULL;
}

static int first_line(cfg_t *cfg)
{
    cfg_opt_t *begin = begin_of(cfg);
    const struct file_value *value = begin == NULL || begin->nvalues == 0 ? NULL : begin->values[0]->ptr;
    return value == NULL ? 0 : value->line;
}

/* libconfuse replaces a section by a later one with the same title; the count of them tells. The one that has
 * just ended is the one that began last. */
static void check_title_twice(cfg_opt_t *option)
{
    cfg_t *last = option->values[0]->section;
    for (unsigned i = 1; i < option->nvalues; i++) {
        if (first_line(option->values[i]->section) >= first_line(last))
            last = option->values[i]->section;
    }
    option->def.number = (long)option->nvalues;
    fault_add(reading.faults, first_line(last), "%s \"%s\" is there twice; each name is allowed once",
              option->name, last->title);
}

static int section_ended(cfg_t *cfg, cfg_opt_t *option)
{
    check_name(cfg, option);
    long count = ++option->def.number;
    if (option->flags & CFGF_TITLE) {
        if (count > (long)option->nvalues)
            check_title_twice(option);
    } else if (count > 1) {
        fault_add(reading.faults, cfg->line, "%s is there twice; put both into one", option->name);
    }
    return reading.faults->more ? -1 : 0;
}

static void list_known(enum option_section section, char *out, size_t cap)
{
    out[0] = '\0';
    for (const struct option_row *row = options_next(section, NULL); row; row = options_next(section, row))
        list_add(out, cap, row->name);
}

static void report_unknown(cfg_t *cfg, const char *name)
{
    enum option_section section = section_of(cfg);
    const char *nearest = options_nearest(section, name);
    const char *in = section == SECTION_ROOT ? "outside of sections" : section_rows[section].name;
    char known[200];
    list_known(section, known, sizeof known);
    if (nearest != NULL)
        fault_add(reading.faults, cfg->line, "unknown name \"%.40s\" (%s); did you mean \"%s\"?", name, in,
                  nearest);
    else
        fault_add(reading.faults, cfg->line, "unknown name \"%.40s\" (%s); %s%s", name, in,
                  known[0] != '\0' ? "known are " : "none is allowed here", known);
    reading.unknown_count = reading.faults->count;
}

/* An unknown list or section ends the parse with a message about its braces, which says less than the one
 * before. */
static bool follows_unknown(const char *message)
{
    bool next = reading.unknown_count != 0 && reading.unknown_count == reading.faults->count;
    return next &&
           (strstr(message, "missing equal sign") != NULL || strstr(message, "unexpected token") != NULL);
}

static void parse_error(cfg_t *cfg, const char *format, va_list args)
{
    if (strcmp(format, "no such option '%s'") == 0) {
        report_unknown(cfg, va_arg(args, const char *));
        return;
    }
    char message[200];
    vsnprintf(message, sizeof message, format, args);
    if (!follows_unknown(message))
        fault_add(reading.faults, cfg->line,
                  "%s; allowed: name = value, name = { value, ... }, section { ... }, "
                  "section \"title\" { ... }",
                  message);
}

/* --- libconfuse's options, made from the table --- */

static cfg_opt_t *make_options(enum option_section section);

static cfg_opt_t make_option(const struct option_row *row)
{
    return (cfg_opt_t){.name = row->name,
                       .type = CFGT_PTR,
                       .flags = CFGF_NODEFAULT | (option_is_list(row) ? CFGF_LIST : CFGF_NONE),
                       .parsecb = keep_value,
                       .freecb = free};
}

static cfg_opt_t make_section(enum option_section section)
{
    return (cfg_opt_t){.name = section_rows[section].name,
                       .type = CFGT_SEC,
                       .flags = section_rows[section].title != NULL ? CFGF_MULTI | CFGF_TITLE : CFGF_NONE,
                       .subopts = make_options(section),
                       .validcb = section_ended};
}

static void free_options(cfg_opt_t *options)
{
    for (cfg_opt_t *o = options; o != NULL && o->name != NULL; o++)
        free_options(o->subopts);
    free(options);
}

/* Rows, inner sections, the hidden option, the end. NULL without memory. */
static cfg_opt_t *make_options(enum option_section section)
{
    cfg_opt_t *options = calloc(option_rows_count + SECTION_COUNT + 2, sizeof *options);
    cfg_opt_t *next = options;
    if (options == NULL)
        return NULL;
    for (const struct option_row *row = options_next(section, NULL); row; row = options_next(section, row))
        *next++ = make_option(row);
    for (unsigned i = SECTION_ROOT + 1; i < SECTION_COUNT; i++) {
        if (section_rows[i].parent != section)
            continue;
        *next = make_section((enum option_section)i);
        if (next++->subopts == NULL) {
            free_options(options);
            return NULL;
        }
    }
    *next = (cfg_opt_t){.name = begins, .type = CFGT_PTR, .parsecb = keep_first_line, .freecb = free};
    next->def.parsed = begins_default;
    return options;
}

static cfg_t *new_tree(struct faults *faults)
{
    cfg_opt_t *options = make_options(SECTION_ROOT);
    cfg_t *tree = options == NULL ? NULL : cfg_init(options, CFGF_KEYSTRVAL);
    free_options(options);
    if (tree == NULL)
        fault_add(faults, 0, "there is no memory for it");
    return tree;
}

/* An empty name is unknown, but libconfuse does not say so. */
static void check_empty_names(cfg_t *section)
{
    for (cfg_opt_t *o = section->opts; o->name != NULL; o++) {
        if (o->name[0] == '\0')
            fault_add(reading.faults, first_line(section), "an option without a name");
        for (unsigned i = 0; o->type == CFGT_SEC && i < o->nvalues; i++)
            check_empty_names(o->values[i]->section);
    }
}

cfg_t *config_file_read(const char *file, struct faults *faults, bool *whole)
{
    *whole = false;
    char *text = read_text(file, faults);
    reading.faults = faults;
    reading.unknown_count = 0;
    cfg_t *tree = text != NULL && prepare(text, faults) ? new_tree(faults) : NULL;
    if (tree != NULL) {
        cfg_set_error_function(tree, parse_error);
        *whole = cfg_parse_buf(tree, text) == CFG_SUCCESS;
        check_empty_names(tree);
        if (!*whole && faults->count == 0)
            fault_add(faults, 0, "there is no memory for it");
    }
    free(text);
    return tree;
}

/* --- the tree --- */

static cfg_opt_t *find_option(cfg_t *section, const char *name)
{
    for (cfg_opt_t *o = section->opts; o->name != NULL; o++) {
        if (strcmp(o->name, name) == 0)
            return o;
    }
    return NULL;
}

size_t file_values(cfg_t *section, const char *option)
{
    const cfg_opt_t *found = find_option(section, option);
    return found == NULL ? 0 : found->nvalues;
}

/* NULL beyond the last, and for one that memory was wanting for. */
const struct file_value *file_value(cfg_t *section, const char *option, size_t index)
{
    const cfg_opt_t *found = find_option(section, option);
    return found == NULL || index >= found->nvalues ? NULL : found->values[index]->ptr;
}

int file_line(cfg_t *section, const char *option)
{
    const struct file_value *value = option == NULL ? NULL : file_value(section, option, 0);
    return value != NULL ? value->line : first_line(section);
}
