/* The option table: the one place that knows an option's name, type, range, default and help.
 *
 *   option_rows ──▶ names for the parser          (config_file.c)
 *               ──▶ text into a field, checked    option_parse, option_default
 *               ──▶ what is allowed, for faults   option_allowed
 *               ──▶ the reference                 options_print
 *               ──▶ what a restart is needed for  option_equal over the rows marked so
 *
 * A row names a field of the struct of its section by offset and width; the struct's type is in section_rows.
 */
#ifndef PROXY_OPTIONS_H
#define PROXY_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_section {
    SECTION_ROOT, /* struct config; so are REDIS, ADMIN, LOG and HOOKS */
    SECTION_LISTENER,
    SECTION_PLATFORM,
    SECTION_CARRIER,
    SECTION_LINK,
    SECTION_CLIENT,
    SECTION_UPSTREAM, /* inside a client */
    SECTION_WEBHOOK,
    SECTION_REDIS,
    SECTION_ADMIN,
    SECTION_LOG,
    SECTION_HOOKS,
    SECTION_COUNT
};

/* A section with a title occurs any number of times, each an item of an array in the struct of the section
 * around it. One without occurs at most once, and its fields are in struct config itself. */
struct section_row {
    const char *name;  /* "" for the root */
    const char *title; /* what the title is; NULL: none */
    enum option_section parent;
    size_t array, count; /* offsets in the parent's struct */
    size_t item_size;
    size_t title_field;      /* offset in the item */
    size_t title_max;        /* longest title */
    const char *title_chars; /* beside letters and digits; NULL: every printable character */
    const char *help;
};
extern const struct section_row section_rows[SECTION_COUNT];

enum option_type {
    OPTION_TEXT,        /* char *; min to max octets */
    OPTION_SECRET,      /* the same, never shown */
    OPTION_SECRET_FILE, /* its first line goes to the field of the OPTION_SECRET */
    OPTION_HASH,        /* char *, of crypt(5) */
    OPTION_TEMPLATE,    /* char *, a text with placeholders (hooks/template.h), of several lines if need be */
    OPTION_FILE,        /* char *, the name of a file that can be read */
    OPTION_DIRECTORY,   /* char *, one that can be written to */
    OPTION_ADDRESS,     /* char *, IPv4 or IPv6 as a number */
    OPTION_LIST,        /* char ** and a count; min to max octets each */
    OPTION_NETWORKS,    /* struct config_network * and a count */
    OPTION_BOOL,        /* bool */
    OPTION_INTEGER,     /* min to max, in an unsigned field of any width */
    OPTION_SIZE,        /* octets, likewise; unit k, m or none */
    OPTION_DURATION,    /* nanoseconds, likewise; unit ms, s, m or h */
    OPTION_WORD,        /* one of words: its value, likewise */
    OPTION_WORDS,       /* a list of words: their values, or'ed */
    OPTION_TAG,         /* of a TLV: min to max, in an unsigned field of any width; decimal or 0x */
    OPTION_STATUS,      /* command_status other than ESME_ROK, by name or number */
    OPTION_TYPE_COUNT
};

struct option_word {
    const char *word;
    unsigned value;
};

struct option_row {
    enum option_section section;
    enum option_type type;
    const char *name;
    size_t offset, width, count_offset;
    const char *standard; /* the default as text, a list's separated by commas; NULL: none */
    uint64_t min, max;
    const struct option_word *words; /* ends with a NULL word */
    bool required;
    bool restart; /* a change takes effect only after a restart */
    const char *help;
};
extern const struct option_row option_rows[];
extern const size_t option_rows_count;

bool option_is_list(const struct option_row *row);

/* Puts a value (of a list: one more value) into the field. NULL, or what is wrong with it, a few words that
 * live on. */
const char *option_parse(const struct option_row *row, const char *text, void *fields);

/* Puts the default, if any. The same as above; only memory can be wanting. */
const char *option_default(const struct option_row *row, void *fields);

/* What is allowed: "0ms to 1m", "text, json". */
void option_allowed(const struct option_row *row, char *out, size_t cap);

bool option_equal(const struct option_row *row, const void *a, const void *b);

/* Frees what the rows of a section put into its struct. */
void options_free(enum option_section section, void *fields);

/* The first row of a section and its like; NULL after the last. */
const struct option_row *options_next(enum option_section section, const struct option_row *after);

/* The option or inner section whose name is nearest, or NULL where none is near. */
const char *options_nearest(enum option_section section, const char *name);

/* The reference, as text or Markdown. */
void options_print(FILE *out, bool markdown);

#endif
