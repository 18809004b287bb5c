/* Files of the operator: what is wrong with one that is read, and a new one in place of the old.
 *
 *   csv ──file_errors──▶ every error with its line        writer ──file_write──▶ FILE.part ──rename──▶ FILE
 */
#ifndef ROUTING_CTL_FILE_H
#define ROUTING_CTL_FILE_H

#include <stdbool.h>
#include <stdio.h>

#include "routing/ctl/csv.h"
#include "routing/ctl/ctl.h"

/* The whole file, NUL-terminated, to be freed; "-" is the standard input. NULL with errno set. */
char *file_read(const char *path, size_t *len);

/* Shows the errors of a file, and gives what the command ends with. */
enum ctl_exit file_errors(struct ctl *ctl, const char *path, const struct csv *csv);

/* Writes a file whole: whoever reads it meets the old or the new one, never half of it. False with errno. */
typedef bool file_writer(FILE *out, const void *what);
bool file_write(const char *path, file_writer *write, const void *what);

#endif
