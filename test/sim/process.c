#include "test/sim/process.h"

#include <crypt.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proxy/log.h"
#include "proxy/turnoutd.h"
#include "test/sim/accounts.h"
#include "test/sim/books.h"
#include "test/sim/ledger.h"
#include "test/sim/limits.h"
#include "test/sim/net.h"
#include "test/sim/peers.h"
#include "test/sim/redis_net.h"

struct process *processes;
struct process *current;
static char directory[64];
static unsigned next_serial;

/* --- what the process would ask the system (linked with --wrap) ------------------------------------------- */

time_t __wrap_time(time_t *to);
ssize_t __wrap_getrandom(void *to, size_t len, unsigned flags);
void __wrap__exit(int code);
int __wrap_fsync(int fd);
int __wrap_flock(int fd, int operation);
pid_t __wrap_getpid(void);
int __wrap_kill(pid_t pid, int number);
char *__wrap_crypt_r(const char *phrase, const char *setting, struct crypt_data *data);
bool __wrap_log_open(bool json, enum log_level level, const char *file, const char *instance);
void __wrap_log_reopen(void);
void __wrap_log_close(void);
void __wrap_log_write(enum log_event event, const struct log_field *fields);
void __wrap_log_lines(enum log_event event, const char *name, const char *text);

time_t __wrap_time(time_t *to)
{
    int64_t now = (int64_t)(SIM_EPOCH + sim_now / SECOND) + (current == NULL ? 0 : current->skew);
    if (to != NULL) {
        *to = (time_t)now;
    }
    return (time_t)now;
}

ssize_t __wrap_getrandom(void *to, size_t len, unsigned flags)
{
    (void)flags;
    for (size_t i = 0; i < len; i++) {
        ((uint8_t *)to)[i] = (uint8_t)sim_random(256);
    }
    return (ssize_t)len;
}

void __wrap__exit(int code)
{
    process_exit(code);
}

int __wrap_fsync(int fd)
{
    (void)fd;
    return 0;
}

/* One process here is several there: a lock of one that was killed would stay. */
int __wrap_flock(int fd, int operation)
{
    (void)fd;
    (void)operation;
    return 0;
}

enum { PID_FIRST = 1000 };

pid_t __wrap_getpid(void)
{
    return current == NULL ? PID_FIRST : PID_FIRST + 1 + (pid_t)current->serial;
}

int __wrap_kill(pid_t pid, int number)
{
    (void)number;
    for (const struct process *p = processes; p != NULL; p = p->next) {
        if (PID_FIRST + 1 + (pid_t)p->serial == pid && p->alive) {
            return 0;
        }
    }
    errno = ESRCH;
    return -1;
}

/* The passwords of a world are known: no need to spend a millisecond on each. */
char *__wrap_crypt_r(const char *phrase, const char *setting, struct crypt_data *data)
{
    bool good = strcmp(phrase, strcmp(setting, OTHER_HASH) == 0 ? OTHER_PASSWORD : GOOD_PASSWORD) == 0;
    snprintf(data->output, sizeof data->output, "%s%s", good ? "" : "no", setting);
    return data->output;
}

/* --- its log ----------------------------------------------------------------------------------------------- */

bool __wrap_log_open(bool json, enum log_level level, const char *file, const char *instance)
{
    (void)json;
    (void)level;
    (void)file;
    (void)instance;
    return true;
}

void __wrap_log_reopen(void)
{
}

void __wrap_log_close(void)
{
}

#define EVENT_NAME(id, name, level, help) name,
static const char *const event_names[] = {LOG_EVENTS(EVENT_NAME)};
#undef EVENT_NAME

void __wrap_log_write(enum log_event event, const struct log_field *fields)
{
    char line[240] = "";
    size_t at = 0;
    for (const struct log_field *f = fields; f->type != LOG_FIELD_END && at < sizeof line; f++) {
        if (f->type == LOG_FIELD_TEXT) {
            at += (size_t)snprintf(line + at, sizeof line - at, " %s=%s", f->name, f->text);
        } else if (f->type == LOG_FIELD_INT) {
            at += (size_t)snprintf(line + at, sizeof line - at, " %s=%" PRId64, f->name, f->value);
        }
    }
    tell(current == NULL ? "?" : current->name, "%s%s", event_names[event], line);
    if (current != NULL) {
        limits_logged(current, event, fields);
    }
}

void __wrap_log_lines(enum log_event event, const char *name, const char *text)
{
    if (text != NULL) {
        tell(current == NULL ? "?" : current->name, "%s %s=%s", event_names[event], name, text);
    }
}

/* --- life -------------------------------------------------------------------------------------------------- */

/* Some links may be of another look than before, so that a reload replaces their legs. */
static void write_links(FILE *out)
{
    for (unsigned i = 0; i < LINKS; i++) {
        bool own = shape.own && i % 2 == 1;
        fprintf(out,
                "link \"%s\" { carrier = \"%s\" platform = \"%s\" host = \"x\" port = %u window = %u\n"
                " credentials = %s %s\n connect-timeout = 800ms bind-timeout = 1s enquire-link = 2s\n"
                " response-timeout = %ums reconnect-min = 100ms reconnect-max = 1s system-type = \"%s\" }\n",
                link_names[i], carrier_names[link_carrier(i)], platform_names[link_platform(i)],
                PORT_FIRST + i, shape.window, own ? "own" : "pass",
                own ? "system-id = \"us\" password = \"pw\"" : "", RESPONSE_TIMEOUT_MS,
                sim_chance(700)   ? ""
                : sim_chance(500) ? "a"
                                  : "b");
    }
}

static void write_config(unsigned instance, const char *path)
{
    FILE *out = fopen(path, "we");
    if (out == NULL) {
        perror(path);
        exit(2);
    }
    fprintf(out, "workers = %u\ninstance = \"i%u\"\nstate-directory = \"%s/i%u\"\n", shape.workers, instance,
            directory, instance);
    fprintf(out,
            "drain = %ums linger = 6s message-ids = 1024 traffic-cells = 1024 max-pdu-bound = 8k "
            "max-pdu-open = 1k\n",
            DRAIN_MS);
    limits_write(out);
    fprintf(out, "multipart-entries = %u multipart-ttl = %us\n", shape.parts_room, shape.parts_s);
    fprintf(out, "listener \"plain\" { address = \"127.0.0.1\" port = 0 }\n");
    if (shape.tls > 0) {
        fprintf(
            out,
            "listener \"secure\" { address = \"127.0.0.1\" port = 0 tls = true certificate = \"cert.pem\" "
            "key = \"key.pem\" }\n");
    }
    fprintf(out, "platform \"redx\" {}\nplatform \"omni\" {}\n");
    fprintf(out, "carrier \"spark\" { prefixes = { \"6427\" } mo-refusal = 0x14 }\n"
                 "carrier \"onenz\" { prefixes = { \"6421\" } mo-refusal = 0x14 }\n");
    write_links(out);
    accounts_write(out, instance);
    fprintf(out,
            "redis { beat = 300ms lease = %ums timeout = 500ms reconnect-min = 50ms reconnect-max = 400ms "
            "on-loss = %s }\nadmin { enabled = false }\nlog { level = info file = \"/dev/null\" }\n",
            LEASE_MS, shape.fence ? "fence" : "serve");
    fclose(out);
}

static void config_path(unsigned instance, char path[96])
{
    snprintf(path, 96, "%s/i%u.conf", directory, instance);
}

void processes_begin(const char *where)
{
    snprintf(directory, sizeof directory, "%s", where);
    processes = NULL;
    next_serial = 0;
    accounts_begin();
    loops_forget();
    for (unsigned i = 0; i < shape.instances; i++) {
        char path[96];
        snprintf(path, sizeof path, "%s/i%u", directory, i);
        (void)mkdir(path, 0700);
        config_path(i, path);
        write_config(i, path);
    }
}

void process_reload(struct process *p)
{
    char path[96];
    config_path(p->instance, path);
    if (shape.accounts && sim_chance(800)) {
        accounts_change(p->instance, p->stopped_until > sim_now ? p->stopped_until : sim_now);
    }
    if (shape.accounts || sim_chance(700)) {
        write_config(p->instance, path);
    }
    p->reloaded = sim_now;
    process_signal(p, SIGHUP);
}

static void run_main(void *arg)
{
    struct process *p = arg;
    char path[96];
    config_path(p->instance, path);
    (void)turnoutd_run(path);
    p->alive = false;
    p->ended = true;
    tell(p->name, "has ended");
    ledger_drained(p);
}

void process_end(struct process *p)
{
    p->ending = true;
    if (p->told == 0) {
        p->told = p->stopped_until > sim_now ? p->stopped_until : sim_now;
    }
    process_signal(p, SIGTERM);
}

struct process *process_start(unsigned instance)
{
    struct process *p = calloc(1, sizeof *p);
    if (p == NULL) {
        abort();
    }
    p->instance = instance;
    p->serial = next_serial++;
    p->alive = true;
    p->started = sim_now;
    snprintf(p->name, sizeof p->name, "i%u.%u", instance, p->serial);
    if (shape.clocks && sim_chance(300)) {
        p->skew = (int64_t)sim_random(20) - 10;
    }
    p->next = processes;
    processes = p;
    tell(p->name, "starts");
    coroutine_start(p, run_main, p);
    return p;
}

void process_kill(struct process *p)
{
    if (!p->alive) {
        return;
    }
    tell(p->name, "is gone");
    p->alive = false;
    wires_killed(p);
    redis_net_killed(p);
    loops_drop(p);
    books_killed(p);
}

void process_stop(struct process *p, uint64_t ns)
{
    tell(p->name, "stands still for %" PRIu64 " ms", ns / MS);
    p->stopped_until = sim_now + ns;
    for (struct wire *wire = wires; wire != NULL; wire = wire->older) {
        if (wire->process == p && wire->disturbed < p->stopped_until) {
            wire->disturbed = p->stopped_until;
        }
    }
}

struct process *process_of(unsigned instance)
{
    for (struct process *p = processes; p != NULL; p = p->next) {
        if (p->instance == instance && p->alive) {
            return p;
        }
    }
    return NULL;
}
