/* numbers_open: file ──read──▶ memory ──header, size, checksum, names──▶ struct numbers
 * numbers_find: digits ──▶ key ──▶ scrambled ──▶ slots, from its home to a greater key or a gap
 *                           └──where it is not among them──▶ bounds, by halving */
#include "routing/numbers.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "routing/checksum.h"
#include "routing/numbers_p.h"

struct numbers {
    const uint64_t *slots;
    uint64_t homes;
    const uint64_t *bounds;
    uint64_t bounds_count;
    uint8_t id[256]; /* by the table's own number of a carrier: whatever a slot says, it is inside */
    const struct numbers_header *header;
    size_t size;
};

static bool fail(char *error, size_t cap, const char *format, ...) __attribute__((format(printf, 3, 4)));

static bool fail(char *error, size_t cap, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(error, cap, format, list);
    va_end(list);
    return false;
}

/* --- checks at load ---------------------------------------------------------------------------------------- */

static bool check_kind(const struct numbers_header *header, size_t size, char *error, size_t cap)
{
    if (size < sizeof(header->magic) || header->magic != NUMBERS_MAGIC)
        return size >= sizeof(header->magic) && header->magic == __builtin_bswap64(NUMBERS_MAGIC)
                   ? fail(error, cap,
                          "was made on a machine of another byte order; build it on one like this")
                   : fail(error, cap, "is no portability table; \"turnoutctl numbers build\" makes one");
    if (size < NUMBERS_HEADER_SIZE)
        return fail(error, cap, "is cut short: it has %zu octets, its header alone has %d", size,
                    NUMBERS_HEADER_SIZE);
    if (header->format != NUMBERS_FORMAT)
        return fail(error, cap, "has format %" PRIu32 "; this program reads format %d", header->format,
                    NUMBERS_FORMAT);
    return true;
}

/* Before the checksum, so that a file that lacks its end is called so. */
static bool check_size(const struct numbers_header *header, size_t size, char *error, size_t cap)
{
    const uint64_t most = UINT64_C(1) << HOME_BITS;
    bool sane = header->slots <= 2 * most && header->bounds <= most && header->homes >= 1 &&
                header->homes <= most && header->homes < header->slots;
    if (!sane)
        return fail(error, cap, "has a header that cannot be right: the file is damaged");
    if (size != numbers_size(header))
        return fail(error, cap, "has %zu octets where its header says %zu: it was %s", size,
                    numbers_size(header), size < numbers_size(header) ? "cut short" : "added to");
    return true;
}

/* A text of printable ASCII, as it stands in logs and metrics, with its end. */
static bool is_text(const char *text, size_t size)
{
    size_t len = strnlen(text, size);
    for (size_t i = 0; i < len; i++) {
        if (text[i] < ' ' || text[i] > '~')
            return false;
    }
    return len < size;
}

static bool check_names(const struct numbers_header *header, char *error, size_t cap)
{
    bool fine = header->carriers <= NAMES_MAX && is_text(header->version, sizeof(header->version));
    for (unsigned i = 0; fine && i < header->carriers; i++)
        fine = is_text(header->carrier[i], sizeof(header->carrier[i]));
    return fine || fail(error, cap, "has names that are no text");
}

static const uint64_t *slots_of(const struct numbers_header *header)
{
    return (const uint64_t *)(const void *)((const char *)header + NUMBERS_HEADER_SIZE);
}

static bool check_image(const struct numbers_header *header, size_t size, char *error, size_t cap)
{
    if (!check_kind(header, size, error, cap) || !check_size(header, size, error, cap))
        return false;
    uint64_t sum = checksum64((const char *)header + NUMBERS_SUMMED_FROM, size - NUMBERS_SUMMED_FROM);
    if (sum != header->checksum)
        return fail(error, cap,
                    "has checksum %016" PRIx64 " where %016" PRIx64 " is written: the file is damaged", sum,
                    header->checksum);
    /* what keeps a look-up inside of the memory, whoever made the file */
    if (slots_of(header)[header->slots - 1] != NUMBERS_LAST)
        return fail(error, cap, "has no last slot");
    return check_names(header, error, cap);
}

struct numbers *numbers_adopt(void *image, size_t size, char *error, size_t cap)
{
    struct numbers *numbers = NULL;
    if (check_image(image, size, error, cap)) {
        numbers = malloc(sizeof(*numbers));
        if (numbers == NULL)
            fail(error, cap, "there is no memory for it");
    }
    if (numbers == NULL) {
        munmap(image, size);
        return NULL;
    }
    *numbers = (struct numbers){.header = image, .size = size};
    numbers->slots = slots_of(numbers->header);
    numbers->homes = numbers->header->homes;
    numbers->bounds = numbers->slots + numbers->header->slots;
    numbers->bounds_count = numbers->header->bounds;
    memset(numbers->id, NAME_NONE, sizeof(numbers->id));
    for (unsigned i = 0; i < numbers->header->carriers; i++)
        numbers->id[i] = (uint8_t)i;
    return numbers;
}

static bool read_whole(int fd, char *into, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = read(fd, into + done, size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            errno = ENODATA; /* it has become shorter */
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

/* Whether it is a table of this size, before the whole of it is read. */
static bool check_head(int fd, size_t size, char *error, size_t cap)
{
    struct numbers_header header = {.magic = 0};
    size_t head = size < sizeof(header) ? size : sizeof(header);
    ssize_t got = pread(fd, &header, head, 0);
    if (got < 0)
        return fail(error, cap, "cannot be read: %s", strerrordesc_np(errno));
    return check_kind(&header, size, error, cap) && check_size(&header, size, error, cap);
}

static struct numbers *open_file(int fd, char *error, size_t cap)
{
    struct stat about;
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
        fail(error, cap, "is no file");
        return NULL;
    }
    size_t size = (size_t)about.st_size;
    if (!check_head(fd, size, error, cap))
        return NULL;
    void *image = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (image == MAP_FAILED) {
        fail(error, cap, "there is no memory for its %zu octets", size);
        return NULL;
    }
    (void)madvise(image, size, MADV_HUGEPAGE); /* faster, no more */
    if (!read_whole(fd, image, size)) {
        fail(error, cap, "cannot be read: %s", strerrordesc_np(errno));
        munmap(image, size);
        return NULL;
    }
    return numbers_adopt(image, size, error, cap);
}

struct numbers *numbers_open(const char *path, char *error, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would be waited for */
    if (fd < 0) {
        fail(error, cap, "cannot be read: %s", strerrordesc_np(errno));
        return NULL;
    }
    struct numbers *numbers = open_file(fd, error, cap);
    close(fd);
    return numbers;
}

void numbers_close(struct numbers *numbers)
{
    if (numbers == NULL)
        return;
    munmap((void *)(uintptr_t)numbers->header, numbers->size);
    free(numbers);
}

struct numbers_about numbers_about(const struct numbers *numbers)
{
    const struct numbers_header *header = numbers->header;
    return (struct numbers_about){.version = header->version,
                                  .built = header->built,
                                  .checksum = header->checksum,
                                  .count = header->count,
                                  .bounds = header->bounds,
                                  .size = numbers->size,
                                  .carriers = header->carriers};
}

const char *numbers_carrier(const struct numbers *numbers, unsigned carrier)
{
    return numbers->header->carrier[carrier];
}

void numbers_call(struct numbers *numbers, unsigned carrier, uint8_t id)
{
    numbers->id[carrier] = id;
}

/* --- the look-up ------------------------------------------------------------------------------------------- */

/* How many bounds are at or below the key. */
static size_t bounds_upto(const struct numbers *numbers, uint64_t key)
{
    uint64_t wanted = entry_of(key, UINT8_MAX);
    size_t low = 0, high = numbers->bounds_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (numbers->bounds[middle] <= wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Of the last bound at or below the key. */
static uint8_t find_bound(const struct numbers *numbers, uint64_t key)
{
    size_t below = bounds_upto(numbers, key);
    return below == 0 ? NAME_NONE : numbers->id[numbers->bounds[below - 1] & UINT8_MAX];
}

/* The slot of a key, or one of another where it has none. */
static inline uint64_t slot_of(const struct numbers *numbers, uint64_t scrambled)
{
    const uint64_t *slot = &numbers->slots[key_home(scrambled, numbers->homes)];
    while (*slot != 0 && entry_key(*slot) < scrambled) /* the last slot is greater than all */
        slot++;
    return *slot;
}

uint8_t numbers_find(const struct numbers *numbers, const uint8_t *digits, size_t len)
{
    uint64_t key = number_key(digits, len);
    if (key == 0)
        return NAME_NONE;
    uint64_t scrambled = key_scramble(key);
    uint64_t slot = slot_of(numbers, scrambled);
    if (entry_key(slot) == scrambled)
        return numbers->id[slot & UINT8_MAX];
    return numbers->bounds_count == 0 ? NAME_NONE : find_bound(numbers, key);
}

/* From the last bound at or below the key to before the next. Numbers of two lengths never stand in one range. */
static void range_text(const struct numbers *numbers, uint64_t key, char row[NUMBERS_ROW_MAX + 1])
{
    char first[NUMBER_DIGITS_MAX + 1], last[NUMBER_DIGITS_MAX + 1] = "";
    size_t below = bounds_upto(numbers, key);
    key_text(entry_key(numbers->bounds[below - 1]), first);
    if (below < numbers->bounds_count)
        key_text(entry_key(numbers->bounds[below]) - 1, last);
    snprintf(row, NUMBERS_ROW_MAX + 1, "%s-%s", first, last);
}

uint8_t numbers_find_row(const struct numbers *numbers, const uint8_t *digits, size_t len,
                         char row[NUMBERS_ROW_MAX + 1])
{
    uint8_t carrier = numbers_find(numbers, digits, len);
    row[0] = '\0';
    if (carrier == NAME_NONE)
        return carrier;
    uint64_t key = number_key(digits, len), scrambled = key_scramble(key);
    if (entry_key(slot_of(numbers, scrambled)) == scrambled)
        key_text(key, row);
    else
        range_text(numbers, key, row);
    return carrier;
}

/* --- numbers_verify ---------------------------------------------------------------------------------------- */

static bool verify_carrier(const struct numbers *numbers, uint64_t entry, char *error, size_t cap)
{
    return (entry & UINT8_MAX) < numbers->header->carriers ||
           fail(error, cap, "names carrier number %u of %" PRIu32, (unsigned)(entry & UINT8_MAX),
                numbers->header->carriers);
}

/* Sorted, each at its home or behind it without a gap between. */
static bool verify_slots(const struct numbers *numbers, uint64_t counts[NAMES_MAX], char *error, size_t cap)
{
    uint64_t before = 0, count = 0, run = 0; /* where the slots without a gap began */
    for (uint64_t i = 0; i + 1 < numbers->header->slots; i++) {
        uint64_t entry = numbers->slots[i], key = entry_key(entry);
        if (entry == 0) {
            run = i + 1;
            continue;
        }
        if (key <= before || key > KEY_MASK)
            return fail(error, cap, "is not in its order at slot %" PRIu64, i);
        uint64_t home = key_home(key, numbers->homes);
        if (home > i || home < run)
            return fail(error, cap, "has a number where it cannot be found, at slot %" PRIu64, i);
        if (!verify_carrier(numbers, entry, error, cap))
            return false;
        counts[entry & UINT8_MAX]++;
        before = key;
        count++;
    }
    return count == numbers->header->count ||
           fail(error, cap, "has %" PRIu64 " numbers, its header says %" PRIu64, count,
                numbers->header->count);
}

static bool verify_bounds(const struct numbers *numbers, char *error, size_t cap)
{
    for (uint64_t i = 0; i < numbers->bounds_count; i++) {
        uint64_t entry = numbers->bounds[i];
        if (i > 0 && entry_key(entry) <= entry_key(numbers->bounds[i - 1]))
            return fail(error, cap, "is not in its order at bound %" PRIu64, i);
        if ((entry & UINT8_MAX) != NUMBERS_BOUND_NONE && !verify_carrier(numbers, entry, error, cap))
            return false;
    }
    return true;
}

bool numbers_verify(const struct numbers *numbers, uint64_t counts[NAMES_MAX], char *error, size_t cap)
{
    memset(counts, 0, NAMES_MAX * sizeof(counts[0]));
    return verify_slots(numbers, counts, error, cap) && verify_bounds(numbers, error, cap);
}

/* --- numbers in another form ------------------------------------------------------------------------------- */

/* The keys of the numbers that begin with a prefix and are longer: from .first on, .width of them, for each length. */
struct spans {
    unsigned count;
    struct {
        uint64_t first, width;
    } of[NUMBER_DIGITS_MAX];
};

static struct spans spans_behind(const char *prefix)
{
    struct spans spans = {.count = 0};
    size_t len = strlen(prefix);
    uint64_t key = number_key((const uint8_t *)prefix, len), width = 10;
    for (; len > 0 && len < NUMBER_DIGITS_MAX; len++, width *= 10) {
        spans.of[spans.count].first = key * width;
        spans.of[spans.count++].width = width;
    }
    return spans;
}

static uint64_t least(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

/* The least key of a number that stands by itself, UINT64_MAX for none. In their slots they have no order. */
static uint64_t first_single(const struct numbers *numbers, const struct spans *spans)
{
    uint64_t found = UINT64_MAX;
    for (uint64_t i = 0; i + 1 < numbers->header->slots; i++) {
        uint64_t slot = numbers->slots[i];
        if (slot == 0)
            continue;
        uint64_t key = key_unscramble(entry_key(slot));
        for (unsigned k = 0; k < spans->count && key >= spans->of[k].first; k++) {
            if (key - spans->of[k].first < spans->of[k].width)
                found = least(found, key);
        }
    }
    return found;
}

/* The same of those in ranges. */
static uint64_t first_in_range(const struct numbers *numbers, const struct spans *spans)
{
    for (unsigned k = 0; k < spans->count; k++) {
        uint64_t first = spans->of[k].first;
        size_t next = bounds_upto(numbers, first);
        if (next > 0 && (numbers->bounds[next - 1] & UINT8_MAX) != NUMBERS_BOUND_NONE)
            return first;
        uint64_t key = next < numbers->bounds_count ? entry_key(numbers->bounds[next]) : UINT64_MAX;
        if (key - first < spans->of[k].width)
            return key; /* behind a bound without a carrier comes one with */
    }
    return UINT64_MAX;
}

static bool none_begins(const struct numbers *numbers, const struct number_rules *rules, const char *option,
                        const char *prefix, char *error, size_t cap)
{
    struct spans spans = spans_behind(prefix);
    uint64_t key =
        spans.count == 0 ? UINT64_MAX : least(first_single(numbers, &spans), first_in_range(numbers, &spans));
    char number[NUMBER_DIGITS_MAX + 1];
    struct number_read read;
    if (key == UINT64_MAX)
        return true;
    key_text(key, number);
    (void)number_read(rules, NUMBER_TON_UNKNOWN, (const uint8_t *)number, strlen(number), &read);
    return fail(error, cap,
                "has number %s, which begins with %s \"%s\" and so is the number %s; build it of numbers in "
                "the international form",
                number, option, prefix, read.digits);
}

bool numbers_international(const struct numbers *numbers, const struct number_rules *rules, char *error,
                           size_t cap)
{
    const char *country = rules->country_code, *national = rules->national_prefix;
    if (*country == '\0')
        return true;
    /* where both are the same, as in North America, the number is read as itself */
    return none_begins(numbers, rules, "international-prefix", rules->international_prefix, error, cap) &&
           (strcmp(country, national) == 0 ||
            none_begins(numbers, rules, "national-prefix", national, error, cap));
}
