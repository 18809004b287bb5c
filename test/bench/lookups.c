/* How long the two look-ups of a message take in tables of full size, at random keys; test/bench asks for it.
 *
 *   1,000,000 shortcodes x 4 carriers ──▶ table_lookup         5,000,000 ported numbers ──▶ numbers_find
 *
 * Keys are asked at random, so the figures are those of tables that are cold to the processor. Routes are asked
 * twice: one after the other, as the messages of one read come, where the processor may begin with the next while
 * memory still answers for the last; and each waiting for the one before, which is the whole time of a single look-up.
 * Beside them stands the least that the latter can cost: one wait for memory, at random in as much of it. Numbers are
 * asked in the second way. The least of some rounds, in processor time.
 *
 * And what a worker notices of it when the main thread builds the whole table of routes anew, publishes it and frees the
 * one before: a thread on another processor looks routes up through the published pointer meanwhile, and notes the longest
 * time between two messages; beside it stands the longest of as long a time in which the other processor is as busy with
 * something else (a hypervisor stops two busy processors more often than one). A pause in which the kernel gave its processor to somebody else is none of ours: it is left out, and counted. Prints one JSON
 * object; "taken" in it says of each measure how often its processor was taken meanwhile, and for how long. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "routing/numbers_build.h"
#include "routing/table.h"

enum {
    SHORTCODES = 1000000,
    CARRIERS = 4,
    NUMBERS = 5000000,
    LOOKUPS = 2000000,
    TEXT = 16,
    EDITS = 200,
    ROUNDS = 5,
    PUBLISHED = 3,        /* times that the whole table of routes is */
    FLOOR_SIZE = 56 << 20 /* octets, about those of the routes' table */
};
enum {
    SPREAD = 61803399,
    NUMBERS_ALL = 100000000
}; /* no common divisor: numbers spread over all that there are */

/* Of processor time: what others take on a busy machine does not count, but for what they do to the caches. */
static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static volatile unsigned kept; /* of what was found, so that it must be */

static uint64_t random_state = 88172645463325252U;

static uint32_t any_below(uint32_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 20) % n);
}

static void fail(const char *what)
{
    fprintf(stderr, "lookups: %s\n", what);
    exit(1);
}

/* Resident memory of this process in octets. */
static double resident(void)
{
    char text[128];
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm == NULL || fgets(text, sizeof(text), statm) == NULL || strchr(text, ' ') == NULL)
        fail("/proc/self/statm cannot be read");
    fclose(statm);
    return (double)strtol(strchr(text, ' '), NULL, 10) * (double)sysconf(_SC_PAGESIZE);
}

/* --- what others took of the processor meanwhile ------------------------------------------------------------ */

/* Of one measure: times that the kernel gave the processor to others, ticks that the host stole of it, seconds. */
struct taken {
    const char *measure;
    int processor; /* where it began */
    long times, stolen;
    double seconds;
};

static struct taken noted[16];
static unsigned noted_count;

/* Since the start, of one processor; 0 where the kernel does not say. */
static long ticks_stolen(int processor)
{
    char line[256], name[16];
    long stolen = 0;
    FILE *stat = fopen("/proc/stat", "re");
    snprintf(name, sizeof name, "cpu%d ", processor);
    while (stat != NULL && fgets(line, sizeof line, stat) != NULL) {
        char *rest = line + strlen(name);
        if (strncmp(line, name, strlen(name)) != 0)
            continue;
        for (int i = 0; i < 8; i++) /* user nice system idle iowait irq softirq steal */
            stolen = strtol(rest, &rest, 10);
        break;
    }
    if (stat != NULL)
        fclose(stat);
    return stolen;
}

static uint64_t wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static long times_preempted(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nivcsw;
}

static struct taken at(const char *measure, int processor)
{
    return (struct taken){measure, processor, times_preempted(), ticks_stolen(processor),
                          (double)wall_ns() / 1e9};
}

static struct taken at_now(const char *measure)
{
    return at(measure, sched_getcpu());
}

/* From `before`, which is of the same measure, to now. */
static void note_taken(struct taken before)
{
    struct taken now = at(before.measure, before.processor);
    if (noted_count == sizeof noted / sizeof *noted)
        fail("too many measures");
    noted[noted_count++] = (struct taken){before.measure, before.processor, now.times - before.times,
                                          now.stolen - before.stolen, now.seconds - before.seconds};
}

static void print_taken(void)
{
    double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);
    printf(", \"taken\": {");
    for (unsigned i = 0; i < noted_count; i++)
        printf("%s\"%s\": {\"times\": %ld, \"stolen\": %.3f, \"seconds\": %.3f}", i == 0 ? "" : ", ",
               noted[i].measure, noted[i].times, (double)noted[i].stolen * tick, noted[i].seconds);
    printf("}");
}

/* --- routes ------------------------------------------------------------------------------------------------ */

static void shortcode_text(uint32_t i, char text[TEXT])
{
    snprintf(text, TEXT, "%06u", i);
}

static struct table *full_table(void)
{
    struct table_builder *builder = table_edit(NULL);
    char text[TEXT];
    for (uint32_t i = 0; builder != NULL && i < SHORTCODES; i++) {
        shortcode_text(i, text);
        for (unsigned carrier = 0; carrier < CARRIERS; carrier++) {
            struct route route = {.platform = (uint8_t)(i % 2), .previous = NAME_NONE, .next = NAME_NONE};
            if (!table_set(builder, text, (uint8_t)carrier, &route))
                fail("no memory for the table");
        }
    }
    struct table *table = builder == NULL ? NULL : table_done(builder, 1);
    if (table == NULL)
        fail("no memory for the table");
    return table;
}

/* One change after the other, each a table of its own. Microseconds each. */
static double time_edits(struct table **table)
{
    struct taken before = at_now("route_change_us");
    double began = seconds();
    char text[TEXT];
    for (uint64_t i = 0; i < EDITS; i++) {
        struct table_builder *builder = table_edit(*table);
        struct route route = {.platform = 3, .previous = NAME_NONE, .next = NAME_NONE};
        shortcode_text(any_below(SHORTCODES), text);
        if (builder == NULL || !table_set(builder, text, 1, &route))
            fail("no memory for a change");
        struct table *next = table_done(builder, i + 2);
        if (next == NULL)
            fail("no memory for a change");
        table_free(*table);
        *table = next;
    }
    double took = (seconds() - began) * 1e6 / EDITS;
    note_taken(before);
    return took;
}

/* One after the other, none of them waiting. */
static double look_routes_up(const struct table *table, char (*texts)[TEXT])
{
    unsigned sum = 0;
    double began = seconds();
    for (uint32_t i = 0; i < LOOKUPS; i++) {
        struct route route = {.platform = 0};
        if (!table_lookup(table, texts[i], 6, (uint8_t)(i % CARRIERS), &route))
            fail("a route is not found");
        sum += route.platform;
    }
    kept = sum;
    return (seconds() - began) * 1e9 / LOOKUPS;
}

/* Which key is asked for hangs on what was found before: the sum stays below 2^31, which nobody but us knows. */
static double look_routes_up_alone(const struct table *table, char (*texts)[TEXT])
{
    unsigned sum = 0;
    double began = seconds();
    for (uint32_t i = 0; i < LOOKUPS; i++) {
        struct route route = {.platform = 0};
        if (!table_lookup(table, texts[(i + (sum >> 31)) % LOOKUPS], 6, (uint8_t)(i % CARRIERS), &route))
            fail("a route is not found");
        sum += route.platform;
    }
    kept = sum;
    return (seconds() - began) * 1e9 / LOOKUPS;
}

static double time_routes(const char *measure, const struct table *table, char (*texts)[TEXT],
                          double look_up(const struct table *table, char (*texts)[TEXT]))
{
    struct taken before = at_now(measure);
    double least = look_up(table, texts);
    for (int i = 1; i < ROUNDS; i++) {
        double again = look_up(table, texts);
        least = again < least ? again : least;
    }
    note_taken(before);
    return least;
}

static double follow_chain(const char *memory)
{
    uint64_t at = 0;
    double began = seconds();
    for (uint32_t i = 0; i < LOOKUPS; i++)
        memcpy(&at, memory + at, sizeof(at));
    if (at > FLOOR_SIZE)
        fail("the chain is broken");
    return (seconds() - began) * 1e9 / LOOKUPS;
}

/* A chain through all the cache lines of a stretch of memory, in an order at random; in huge pages if there are any. */
static double time_memory(void)
{
    enum { LINE = 64, LINES = FLOOR_SIZE / LINE };
    char *memory = mmap(NULL, FLOOR_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint32_t *order = calloc(LINES, sizeof(*order));
    if (memory == MAP_FAILED || order == NULL)
        fail("no memory");
    madvise(memory, FLOOR_SIZE, MADV_HUGEPAGE);
    for (uint32_t i = 1; i < LINES; i++) {
        uint32_t other = any_below(i);
        order[i] = order[other];
        order[other] = i;
    }
    for (uint32_t i = 0; i < LINES; i++) {
        uint64_t next = (uint64_t)order[(i + 1) % LINES] * LINE;
        memcpy(memory + (size_t)order[i] * LINE, &next, sizeof(next));
    }
    struct taken before = at_now("memory_wait_ns");
    double least = follow_chain(memory);
    for (int i = 1; i < ROUNDS; i++) {
        double again = follow_chain(memory);
        least = again < least ? again : least;
    }
    note_taken(before);
    munmap(memory, FLOOR_SIZE);
    free(order);
    return least;
}

/* --- a worker, while its table is replaced ----------------------------------------------------------------- */

/* One message's look-up at a time, as a worker's callback does it: load the pointer, look up, be done with it. */
struct reader {
    _Atomic(const struct table *) published, passed;
    atomic_bool stop;
    atomic_ulong longest_ns; /* between two look-ups */
    atomic_ulong taken;      /* times that somebody else got the processor, for long */
    char (*texts)[TEXT];
};

/* Anywhere but where main is, if there is such a place. */
static void leave_processor(int mains)
{
    cpu_set_t others;
    CPU_ZERO(&others);
    for (unsigned i = 0; i < (unsigned)sysconf(_SC_NPROCESSORS_ONLN); i++) {
        if (i != (unsigned)mains)
            CPU_SET(i, &others);
    }
    (void)sched_setaffinity(0, sizeof others, &others);
}

static int mains_processor;

static void note_pause(struct reader *reader, uint64_t ns, long *preempted)
{
    enum { LONG_NS = 20000 };
    long now = ns > LONG_NS ? times_preempted() : *preempted;
    if (now != *preempted)
        atomic_fetch_add(&reader->taken, 1);
    else if (ns > atomic_load(&reader->longest_ns))
        atomic_store(&reader->longest_ns, ns);
    *preempted = now;
}

static void *read_on(void *arg)
{
    struct reader *reader = arg;
    leave_processor(mains_processor);
    long preempted = times_preempted();
    uint64_t before = wall_ns();
    for (uint32_t i = 0; !atomic_load(&reader->stop); i = (i + 1) % LOOKUPS) {
        const struct table *table = atomic_load_explicit(&reader->published, memory_order_acquire);
        struct route route = {.platform = 0};
        if (!table_lookup(table, reader->texts[i], 6, (uint8_t)(i % CARRIERS), &route))
            fail("a route is not found");
        atomic_store_explicit(&reader->passed, table, memory_order_release);
        uint64_t now = wall_ns();
        note_pause(reader, now - before, &preempted);
        before = now;
    }
    return NULL;
}

/* Seconds until the reader goes by a new table of the same size, and the one before is freed. */
static double replace_table(struct reader *reader, struct table **table)
{
    uint64_t began = wall_ns();
    struct table *next = full_table();
    atomic_store_explicit(&reader->published, next, memory_order_release);
    while (atomic_load_explicit(&reader->passed, memory_order_acquire) != next)
        sched_yield();
    table_free(*table);
    *table = next;
    return (double)(wall_ns() - began) / 1e9;
}

/* What stands beside it: this processor has as much to do, with nothing that the reader has to do with. Two processors
 * that are both busy are stopped by a hypervisor more often than one. */
static void keep_busy(uint64_t ns)
{
    volatile uint64_t turns = 0;
    for (uint64_t began = wall_ns(); wall_ns() - began < ns;) {
        turns++;
    }
}

static void publishing(struct table **table, char (*texts)[TEXT])
{
    struct reader reader = {.texts = texts};
    pthread_t thread;
    atomic_init(&reader.published, *table);
    mains_processor = sched_getcpu();
    if (pthread_create(&thread, NULL, read_on, &reader) != 0)
        fail("no thread");
    struct timespec settle = {.tv_nsec = 100000000};
    nanosleep(&settle, NULL);
    atomic_store(&reader.longest_ns, 0);
    atomic_store(&reader.taken, 0);
    struct taken before = at_now("route_publish_s");
    uint64_t began = wall_ns();
    double least = replace_table(&reader, table);
    for (int i = 1; i < PUBLISHED; i++) {
        double again = replace_table(&reader, table);
        least = again < least ? again : least;
    }
    uint64_t took = wall_ns() - began;
    note_taken(before);
    double meanwhile = (double)atomic_exchange(&reader.longest_ns, 0) / 1e3;
    unsigned long taken = atomic_exchange(&reader.taken, 0);
    keep_busy(took);
    atomic_store(&reader.stop, true);
    pthread_join(thread, NULL);
    printf(", \"route_publish_s\": %.3f, \"worker_pause_us\": %.1f, \"worker_pause_without_us\": %.1f, "
           "\"worker_preempted\": %lu, \"worker_preempted_without\": %lu",
           least, meanwhile, (double)atomic_load(&reader.longest_ns) / 1e3, taken,
           atomic_load(&reader.taken));
}

static void routes(void)
{
    char(*texts)[TEXT] = calloc(LOOKUPS, TEXT);
    if (texts == NULL)
        fail("no memory");
    for (uint32_t i = 0; i < LOOKUPS; i++)
        shortcode_text(any_below(SHORTCODES), texts[i]);
    struct taken building = at_now("route_build_s");
    double before = resident(), began = seconds();
    struct table *table = full_table();
    note_taken(building);
    double build = seconds() - began, memory = resident() - before;
    double look_up = time_routes("route_lookup_ns", table, texts, look_routes_up);
    double alone = time_routes("route_lookup_alone_ns", table, texts, look_routes_up_alone);
    printf("\"route_lookup_ns\": %.1f, \"route_lookup_alone_ns\": %.1f, \"memory_wait_ns\": %.1f, "
           "\"route_table_mb\": %.1f, \"route_build_s\": %.3f, \"route_change_us\": %.1f",
           look_up, alone, time_memory(), memory / 1e6, build, time_edits(&table));
    publishing(&table, texts);
    table_free(table);
    free(texts);
}

static void number_text(uint64_t i, char text[TEXT])
{
    snprintf(text, TEXT, "642%08u", (unsigned)(i * SPREAD % NUMBERS_ALL));
}

static void write_numbers(FILE *out)
{
    struct numbers_builder *builder = numbers_builder_new();
    struct numbers_image image;
    char text[TEXT];
    for (uint64_t i = 0; builder != NULL && i < NUMBERS; i++) {
        number_text(i, text);
        if (numbers_builder_add(builder, text, i % 2 == 0 ? "spark" : "onenz", 1) != NULL)
            fail("a number is not taken");
    }
    if (builder == NULL || !numbers_build(builder, "bench", 0, NULL, NULL, &image) ||
        fwrite(image.data, 1, image.size, out) != image.size || fclose(out) != 0)
        fail("the table cannot be built");
    numbers_builder_free(builder);
}

static double look_numbers_up(const struct numbers *numbers, char (*texts)[TEXT], bool there)
{
    unsigned sum = 0;
    double began = seconds();
    for (uint32_t i = 0; i < LOOKUPS; i++) {
        const uint8_t *text = (const uint8_t *)texts[(i + (sum >> 31)) % LOOKUPS];
        uint8_t carrier = numbers_find(numbers, text, 11);
        if ((carrier == NAME_NONE) == there)
            fail("a number is not as it should be");
        sum += carrier;
    }
    return (seconds() - began) * 1e9 / LOOKUPS;
}

static double time_numbers(const char *measure, const struct numbers *numbers, char (*texts)[TEXT],
                           bool there)
{
    struct taken before = at_now(measure);
    double least = look_numbers_up(numbers, texts, there);
    for (int i = 1; i < ROUNDS; i++) {
        double again = look_numbers_up(numbers, texts, there);
        least = again < least ? again : least;
    }
    note_taken(before);
    return least;
}

static void numbers(void)
{
    char path[] = "/tmp/turnout-lookups-XXXXXX";
    char error[256];
    int fd = mkstemp(path);
    char(*texts)[TEXT] = calloc(LOOKUPS, TEXT);
    if (fd < 0 || texts == NULL)
        fail("no memory, or no room in /tmp");
    write_numbers(fdopen(fd, "wb"));
    struct numbers *table = NULL;
    struct taken before = at_now("number_load_ms");
    double load = 0;
    for (int i = 0; i < ROUNDS; i++) {
        double began = seconds();
        numbers_close(table);
        table = numbers_open(path, error, sizeof error);
        if (table == NULL)
            fail(error);
        load = i == 0 || seconds() - began < load ? seconds() - began : load;
    }
    note_taken(before);
    unlink(path);
    for (uint32_t i = 0; i < LOOKUPS; i++)
        number_text(any_below(NUMBERS), texts[i]);
    double there = time_numbers("number_lookup_ns", table, texts, true);
    for (uint32_t i = 0; i < LOOKUPS; i++)
        number_text(NUMBERS + any_below(NUMBERS), texts[i]);
    printf(", \"number_lookup_ns\": %.1f, \"number_absent_ns\": %.1f, \"number_table_mb\": %.1f, "
           "\"number_load_ms\": %.1f",
           there, time_numbers("number_absent_ns", table, texts, false),
           (double)numbers_about(table).size / 1e6, load * 1e3);
    numbers_close(table);
    free(texts);
}

int main(void)
{
    putchar('{');
    routes();
    numbers();
    print_taken();
    puts("}");
    return 0;
}
