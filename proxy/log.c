/* An event becomes a line on the stack and leaves in one write(2):
 *
 *   log_write ──▶ below the limit? ──▶ struct line (JSON or text) ──▶ emit ──▶ file, pipe, socket or terminal
 *                                                                       └─ not possible now: counted as lost
 *
 * A line is at most PIPE_BUF octets, so that the kernel never mixes two of them, neither in a file opened for
 * appending nor in a pipe, and no lock is needed. Nothing here waits: files fail at once when the disk is
 * full, everything else is written without blocking. Rotation replaces the file behind one descriptor number
 * (dup3), so a thread in the middle of a write is never left with a closed one. */
#include "proxy/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proxy/utf8.h"

enum {
    LINE_MAX_OCTETS = PIPE_BUF, /* written whole or not at all, POSIX says, to a pipe */
    LINE_RESERVE = 24,          /* for the mark of a cut line, its end, and a newline before it */
    FIELD_MAX_OCTETS = 512,     /* of a field's value, before escaping */
    NUMBER_MAX_OCTETS = 32,
    NUMBER_SHOWN = 3,
    INSTANCE_MAX = 128,
};

struct event_row {
    const char *name;
    enum log_level level;
    const char *help;
};
#define EVENT_ROW(id, name, level, help) {name, level, help},
static const struct event_row events[LOG_EVENT_COUNT] = {LOG_EVENTS(EVENT_ROW)};

static const char *const level_names[] = {"error", "warning", "info", "debug"};

/* Written by log_open and log_reopen alone (main thread); read by all. */
static struct {
    atomic_int fd; /* ours; -1: not opened yet, standard error serves */
    atomic_bool socket;
    atomic_bool json;
    atomic_int level;
    char instance[INSTANCE_MAX + 1];
    char *file;
    atomic_uint_fast64_t lost;       /* all that were ever lost */
    atomic_uint_fast64_t unreported; /* of them, those that no line has told of */
    atomic_bool torn;                /* the last write stopped within a line */
    bool reopen_due;                 /* the file was asked to be opened again, and could not be */
} the_log = {.fd = -1, .level = LOG_INFO};

struct line {
    size_t len;
    bool full; /* something did not fit any more */
    char data[LINE_MAX_OCTETS];
};

static void put(struct line *line, const char *data, size_t len)
{
    if (line->full || len > sizeof line->data - LINE_RESERVE - line->len) {
        line->full = true;
        return;
    }
    memcpy(line->data + line->len, data, len);
    line->len += len;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

static void put_decimal(struct line *line, uint64_t value, unsigned digits)
{
    char out[20];
    size_t at = sizeof out;
    do {
        out[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0 || sizeof out - at < digits);
    put(line, out + at, sizeof out - at);
}

static void put_integer(struct line *line, int64_t value)
{
    if (value < 0)
        put_text(line, "-");
    put_decimal(line, value < 0 ? -(uint64_t)value : (uint64_t)value, 1);
}

static void put_escape(struct line *line, uint8_t value)
{
    static const char hex[] = "0123456789abcdef";
    char out[6] = {'\\', 'u', '0', '0', hex[value >> 4], hex[value & 15]};
    put(line, out, sizeof out);
}

/* The inside of a string, the same in JSON and in text: no control characters, so that a peer's octets can
 * neither break a line nor talk to a terminal; what is no UTF-8 becomes U+FFFD. */
static void put_escaped(struct line *line, const char *text, size_t len)
{
    const uint8_t *data = (const uint8_t *)text;
    for (size_t i = 0; i < len && !line->full;) {
        size_t n = utf8_length(data + i, len - i);
        if (n == 0)
            put_text(line, "\xEF\xBF\xBD");
        else if (utf8_is_control(data + i, n))
            put_escape(line, data[i + n - 1]);
        else if (data[i] == '"' || data[i] == '\\')
            put(line, (char[]){'\\', text[i]}, 2);
        else
            put(line, text + i, n);
        i += n == 0 ? 1 : n;
    }
}

static bool needs_quotes(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)text[i];
        if (c <= ' ' || c >= 0x7F || c == '"' || c == '=' || c == '\\')
            return true;
    }
    return len == 0;
}

/* At most max octets, a character is not cut in two. */
static size_t cut_length(const char *text, size_t len, size_t max)
{
    if (len <= max)
        return len;
    size_t cut = max;
    while (cut > max - 3 && ((uint8_t)text[cut] & 0xC0) == 0x80)
        cut--;
    return cut;
}

static void put_string(struct line *line, const char *text, size_t len, bool json)
{
    size_t shown = cut_length(text, len, FIELD_MAX_OCTETS);
    bool quotes = json || shown < len || needs_quotes(text, shown);
    put_text(line, quotes ? "\"" : "");
    put_escaped(line, text, shown);
    put_text(line, shown < len ? "…" : "");
    put_text(line, quotes ? "\"" : "");
}

static void put_number(struct line *line, const char *text, size_t len, bool json)
{
    char masked[NUMBER_MAX_OCTETS];
    size_t shown = len < sizeof masked ? len : sizeof masked;
    size_t tail = shown < NUMBER_SHOWN ? shown : NUMBER_SHOWN;
    memset(masked, '*', shown - tail);
    memcpy(masked + shown - tail, text + len - tail, tail);
    put_string(line, masked, shown, json);
}

static void put_value(struct line *line, const struct log_field *field, bool json)
{
    if (field->type == LOG_FIELD_INT)
        put_integer(line, field->value);
    else if (field->text == NULL)
        put_text(line, json ? "null" : "-");
    else if (field->type == LOG_FIELD_NUMBER)
        put_number(line, field->text, field->len, json);
    else
        put_string(line, field->text, field->type == LOG_FIELD_TEXT ? strlen(field->text) : field->len, json);
}

static void put_field(struct line *line, const struct log_field *field, bool json)
{
    put_text(line, json ? ",\"" : " ");
    put_escaped(line, field->name, strlen(field->name));
    put_text(line, json ? "\":" : "=");
    put_value(line, field, json);
}

/* A field fits whole or is left out, and everything after it: half a value would be no JSON. */
static void put_fields(struct line *line, const struct log_field *fields, bool json)
{
    for (; fields->type != LOG_FIELD_END; fields++) {
        size_t before = line->len;
        put_field(line, fields, json);
        if (line->full) {
            line->len = before;
            return;
        }
    }
}

struct civil {
    unsigned year, month, day;
};

/* Days since 1970-01-01 as a date, for years 1970 and after. gmtime_r does the same, but may take a lock and
 * read a time zone from disk. The year begins in March here, so that the leap day comes last. */
static struct civil civil_from_days(uint64_t days)
{
    uint64_t day = days + 719468; /* from 0000-03-01 */
    uint64_t era = day / 146097;
    uint64_t of_era = day % 146097;
    uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    uint64_t march = (5 * of_year + 2) / 153;
    uint64_t month = march < 10 ? march + 3 : march - 9;
    return (struct civil){.year = (unsigned)(year + era * 400 + (month <= 2 ? 1 : 0)),
                          .month = (unsigned)month,
                          .day = (unsigned)(of_year - (153 * march + 2) / 5 + 1)};
}

/* RFC 3339 with milliseconds, UTC. */
static void put_time(struct line *line)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seconds = now.tv_sec < 0 ? 0 : (uint64_t)now.tv_sec;
    struct civil date = civil_from_days(seconds / 86400);
    put_decimal(line, date.year, 4);
    put_text(line, "-");
    put_decimal(line, date.month, 2);
    put_text(line, "-");
    put_decimal(line, date.day, 2);
    put_text(line, "T");
    put_decimal(line, seconds / 3600 % 24, 2);
    put_text(line, ":");
    put_decimal(line, seconds / 60 % 60, 2);
    put_text(line, ":");
    put_decimal(line, seconds % 60, 2);
    put_text(line, ".");
    put_decimal(line, (uint64_t)now.tv_nsec / 1000000, 3);
    put_text(line, "Z");
}

static void put_json_head(struct line *line, const struct event_row *row)
{
    put_text(line, "{\"time\":\"");
    put_time(line);
    put_text(line, "\",\"level\":\"");
    put_text(line, level_names[row->level]);
    put_text(line, "\",\"event\":\"");
    put_text(line, row->name);
    put_text(line, "\",\"instance\":\"");
    put_escaped(line, the_log.instance, strlen(the_log.instance));
    put_text(line, "\"");
}

static void put_padded(struct line *line, const char *text, size_t width)
{
    put_text(line, text);
    for (size_t i = strlen(text); i < width; i++)
        put_text(line, " ");
}

static void put_text_head(struct line *line, const struct event_row *row)
{
    put_time(line);
    put_text(line, " ");
    put_padded(line, level_names[row->level], 8);
    put_padded(line, row->name, 16);
}

/* What LINE_RESERVE was kept for. */
static void finish(struct line *line, bool json)
{
    const char *end = json ? "}\n" : "\n";
    if (line->full)
        end = json ? ",\"cut\":true}\n" : " …\n";
    size_t len = strlen(end);
    memcpy(line->data + line->len, end, len);
    line->len += len;
}

static void compose(struct line *line, enum log_event event, const struct log_field *fields)
{
    bool json = atomic_load_explicit(&the_log.json, memory_order_relaxed);
    line->len = 0;
    line->full = false;
    if (json)
        put_json_head(line, &events[event]);
    else
        put_text_head(line, &events[event]);
    put_fields(line, fields, json);
    finish(line, json);
}

static ssize_t write_some(const char *data, size_t len)
{
    int fd = atomic_load_explicit(&the_log.fd, memory_order_acquire);
    ssize_t n;
    do {
        if (atomic_load_explicit(&the_log.socket, memory_order_relaxed))
            n = send(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        else
            n = write(fd < 0 ? STDERR_FILENO : fd, data, len);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* After half a line the next one begins with a newline, so that only the half is spoilt. */
static bool emit(struct line *line)
{
    if (atomic_exchange_explicit(&the_log.torn, false, memory_order_relaxed)) {
        memmove(line->data + 1, line->data, line->len++);
        line->data[0] = '\n';
    }
    ssize_t n = write_some(line->data, line->len);
    if (n == (ssize_t)line->len)
        return true;
    if (n > 0 || line->data[0] == '\n')
        atomic_store_explicit(&the_log.torn, true, memory_order_relaxed);
    return false;
}

static void lose(uint64_t lines)
{
    atomic_fetch_add_explicit(&the_log.unreported, lines, memory_order_relaxed);
}

/* Says how many lines are missing here, before the first line that can be written again. */
static bool report_lost(struct line *line)
{
    if (atomic_load_explicit(&the_log.unreported, memory_order_relaxed) == 0)
        return true;
    uint64_t lines = atomic_exchange_explicit(&the_log.unreported, 0, memory_order_relaxed);
    if (lines == 0)
        return true;
    const struct log_field fields[] = {LOG_INT("lines", lines), {.type = LOG_FIELD_END}};
    compose(line, EVENT_LOG_LOST, fields);
    if (emit(line))
        return true;
    lose(lines);
    return false;
}

void log_write(enum log_event event, const struct log_field *fields)
{
    if ((unsigned)event >= LOG_EVENT_COUNT || !log_enabled(events[event].level))
        return;
    struct line line;
    bool written = report_lost(&line);
    if (written) {
        compose(&line, event, fields);
        written = emit(&line);
    }
    if (!written) {
        lose(1);
        atomic_fetch_add_explicit(&the_log.lost, 1, memory_order_relaxed);
    }
}

void log_lines(enum log_event event, const char *name, const char *text)
{
    while (text != NULL && *text != '\0') {
        size_t len = strcspn(text, "\n");
        log_event(event, LOG_SPAN(name, text, len));
        text += len + (text[len] == '\n' ? 1 : 0);
    }
}

static int open_file(const char *file)
{
    return open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
}

/* Standard error as a descriptor of our own. A pipe or terminal is opened anew, since O_NONBLOCK set on the
 * one that we were given would surprise everybody who shares it; where that cannot be done, the shared one
 * serves. */
static int open_stderr(bool *is_socket)
{
    struct stat status;
    bool known = fstat(STDERR_FILENO, &status) == 0;
    *is_socket = known && S_ISSOCK(status.st_mode);
    int fd = -1;
    if (known && (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode)))
        fd = open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return fd >= 0 ? fd : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

/* Puts the new file behind the descriptor number that other threads may be writing to. False: it is the old one
 * still. */
static bool take_fd(int fd, bool is_socket)
{
    int own = atomic_load(&the_log.fd);
    if (own < 0) {
        atomic_store(&the_log.socket, is_socket);
        atomic_store_explicit(&the_log.fd, fd, memory_order_release);
        return true;
    }
    bool was_socket = atomic_load(&the_log.socket);
    atomic_store(&the_log.socket, false); /* a send to a file would fail, a write to a socket may only wait */
    bool taken = dup3(fd, own, O_CLOEXEC) >= 0;
    atomic_store(&the_log.socket, taken ? is_socket : was_socket);
    int error = errno;
    close(fd);
    errno = error;
    return taken;
}

static bool open_log(const char *file)
{
    bool is_socket = false;
    int fd = file == NULL ? -1 : open_file(file);
    bool opened = file == NULL || fd >= 0;
    if (!opened)
        dprintf(STDERR_FILENO, "turnoutd: cannot open the log %s: %s\n", file, strerror(errno));
    if (fd < 0)
        fd = open_stderr(&is_socket);
    if (fd >= 0)
        opened &= take_fd(fd, is_socket);
    return opened;
}

bool log_open(bool json, enum log_level level, const char *file, const char *instance)
{
    atomic_store(&the_log.json, json);
    atomic_store(&the_log.level, level);
    if (strncmp(the_log.instance, instance, INSTANCE_MAX) != 0)
        snprintf(the_log.instance, sizeof the_log.instance, "%s", instance);
    char *copy = file == NULL ? NULL : strdup(file);
    free(the_log.file);
    the_log.file = copy;
    the_log.reopen_due = false;
    return open_log(file) && (file == NULL || copy != NULL);
}

/* A file that cannot be opened again leaves the log where it is: the rotated file is better than none. Told once,
 * in the old one. */
void log_reopen(void)
{
    if (the_log.file == NULL)
        return;
    int fd = open_file(the_log.file);
    bool taken = fd >= 0 && take_fd(fd, false);
    if (!taken && !the_log.reopen_due)
        log_event(EVENT_LOG_NOT_REOPENED, LOG_TEXT("file", the_log.file),
                  LOG_TEXT("why", strerrordesc_np(errno)));
    the_log.reopen_due = !taken;
}

void log_retry(void)
{
    if (the_log.reopen_due)
        log_reopen();
}

void log_close(void)
{
    int fd = atomic_exchange(&the_log.fd, -1);
    atomic_store(&the_log.socket, false);
    if (fd >= 0)
        close(fd);
    free(the_log.file);
    the_log.file = NULL;
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&the_log.level, memory_order_relaxed);
}

uint64_t log_lost(void)
{
    return atomic_load_explicit(&the_log.lost, memory_order_relaxed);
}

void log_print_events(void)
{
    for (size_t i = 0; i < LOG_EVENT_COUNT; i++)
        printf("%-18s %-8s %s\n", events[i].name, level_names[events[i].level], events[i].help);
}
