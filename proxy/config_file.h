/* A config file as a tree of texts that know their lines.
 *
 *   file ──read──▶ text ──comments blanked, strings and braces checked──▶ libconfuse
 *        ──▶ cfg_t of struct file_value
 *
 * libconfuse's options are made from the option table; every one is text here, and is checked against its row
 * later, so that one wrong value does not hide the next. libconfuse 3.3 keeps global state: main thread only.
 */
#ifndef PROXY_CONFIG_FILE_H
#define PROXY_CONFIG_FILE_H

#include <confuse.h>
#include <stdbool.h>
#include <stddef.h>

#include "proxy/options.h"

/* What is wrong with a file, in the order found. */
enum { FAULTS_MAX = 200 };
struct fault {
    int line;
    char *text;
};
struct faults {
    unsigned count;
    bool more; /* there were others */
    struct fault items[FAULTS_MAX];
};

/* line 0: of the file as a whole. Control characters, which may come from the file, become '?'. */
__attribute__((format(printf, 3, 4))) void fault_add(struct faults *faults, int line, const char *format,
                                                     ...);
void faults_free(struct faults *faults);

/* "FILE:LINE: text", one line each, by line; what does not fit is left out, and its number told. */
void faults_print(struct faults *faults, const char *file, char *out, size_t cap);

/* Adds a name to a list of names in out: ", name", or ", ..." once where it does not fit. */
void list_add(char *out, size_t cap, const char *name);

struct file_value {
    int line;
    char text[];
};

/* The tree, to be freed by cfg_free; NULL where the file could not be read at all. *whole tells whether all
 * of it was: else what follows the last fault is missing from the tree. */
cfg_t *config_file_read(const char *file, struct faults *faults, bool *whole);

/* Of a section: the values of an option, in order. */
size_t file_values(cfg_t *section, const char *option);
const struct file_value *file_value(cfg_t *section, const char *option, size_t index);

/* The line of an option's first value; else, and with option NULL, of the section's beginning. */
int file_line(cfg_t *section, const char *option);

#endif
