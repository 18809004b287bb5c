/* See file.h. */
#include "routing/ctl/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "routing/ctl/output.h"

char *file_read(const char *path, size_t *len)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *file = standard ? stdin : fopen(path, "re");
    char *text = NULL;
    size_t space = 0;
    if (!file) {
        return NULL;
    }
    *len = 0;
    size_t got = 1;
    while (got > 0) {
        if (*len + 1 >= space) {
            space = space ? space * 2 : 65536;
            text = need(realloc(text, space));
        }
        got = fread(text + *len, 1, space - *len - 1, file);
        *len += got;
    }
    text[*len] = '\0';
    int error = ferror(file) ? (errno ? errno : EIO) : 0;
    if (!standard) {
        fclose(file);
    }
    if (error) {
        free(text);
        errno = error;
        return NULL;
    }
    return text;
}

enum ctl_exit file_errors(struct ctl *ctl, const char *path, const struct csv *csv)
{
    json_t *errors = need(json_array());
    enum ctl_exit code = ctl_fail(ctl, CTL_INVALID, NULL, "nothing was changed: %s has %zu error%s", path,
                                  csv->errors_count, plural(csv->errors_count));
    for (size_t i = 0; i < csv->errors_count; i++) {
        const struct csv_error *error = &csv->errors[i];
        json_t *object = need(json_object());
        json_put(object, "line", json_integer(error->line));
        json_put(object, "error", json_text(error->text));
        json_array_append_new(errors, object);
        if (!ctl->options.json) {
            fprintf(stderr, "  line %u: ", error->line);
            text_print(stderr, error->text);
            fputc('\n', stderr);
        }
    }
    ctl_answer(ctl, "errors", errors);
    return code;
}

bool file_write(const char *path, file_writer *write, const void *what)
{
    char *beside = NULL;
    need(asprintf(&beside, "%s.%ld.part", path, (long)getpid()) < 0 ? NULL : beside);
    FILE *out = fopen(beside, "wxe");
    bool fine = out != NULL;
    if (out) {
        fine = write(out, what) && fflush(out) == 0 && fsync(fileno(out)) == 0;
        fine = fclose(out) == 0 && fine && rename(beside, path) == 0;
        if (!fine) {
            int error = errno;
            unlink(beside);
            errno = error;
        }
    }
    free(beside);
    return fine;
}
