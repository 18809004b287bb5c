/* rows ──▶ numbers: scrambled keys, sorted ──laid out with gaps──▶ slots
 *     └──▶ ranges, sorted, those within others after them ──flattened with a stack──▶ bounds
 *
 * A prefix is a range for each length that a number may have. */
#include "routing/numbers_build.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "routing/checksum.h"
#include "routing/numbers_p.h"

/* Of five slots four are taken: 10 octets a number, and most look-ups see one cache line. */
enum { SLOTS_TAKEN = 4, SLOTS_OF = 5 };
enum { CONTRADICTIONS_MAX = 200 };

struct single {
    uint64_t entry; /* scrambled key and carrier */
    unsigned line;
};

struct range {
    uint64_t first, last; /* keys */
    uint8_t carrier;
    bool again; /* a prefix, beyond the shortest number that has it: told once is enough */
    unsigned line;
};

struct singles {
    struct single *items;
    size_t count, space;
};

struct ranges {
    struct range *items;
    size_t count, space;
};

struct bounds {
    uint64_t *items;
    size_t count, space;
};

struct numbers_builder {
    struct names names;
    struct singles singles;
    struct ranges ranges;
    uint64_t dropped;
};

/* Room for one more item of any of the three. */
#define HAS_ROOM(list)                                           \
    (((list)->items != NULL && (list)->count < (list)->space) || \
     has_grown((void **)&(list)->items, &(list)->space, sizeof(*(list)->items)))

static bool has_grown(void **items, size_t *space, size_t item)
{
    size_t more = *space == 0 ? 64 : *space * 2;
    void *grown = reallocarray(*items, more, item);
    if (grown == NULL)
        return false;
    *items = grown;
    *space = more;
    return true;
}

struct numbers_builder *numbers_builder_new(void)
{
    return calloc(1, sizeof(struct numbers_builder));
}

static void drop_rows(struct numbers_builder *builder)
{
    free(builder->singles.items);
    free(builder->ranges.items);
    memset(builder, 0, sizeof(*builder));
}

void numbers_builder_free(struct numbers_builder *builder)
{
    if (builder == NULL)
        return;
    drop_rows(builder);
    free(builder);
}

/* --- rows -------------------------------------------------------------------------------------------------- */

static const char no_memory[] = "there is no memory for it";
static const char no_number[] = "is no number; allowed: 1 to 15 digits, FIRST-LAST, or a prefix and *";

static const char *add_single(struct numbers_builder *builder, uint64_t key, uint8_t carrier, unsigned line)
{
    struct singles *singles = &builder->singles;
    if (!HAS_ROOM(singles))
        return no_memory;
    singles->items[singles->count++] = (struct single){entry_of(key_scramble(key), carrier), line};
    return NULL;
}

static const char *add_range(struct numbers_builder *builder, const struct range *range)
{
    struct ranges *ranges = &builder->ranges;
    if (!HAS_ROOM(ranges))
        return no_memory;
    ranges->items[ranges->count++] = *range;
    return NULL;
}

static const char *add_span(struct numbers_builder *builder, const char *first, size_t first_len,
                            const char *last, uint8_t carrier, unsigned line)
{
    size_t last_len = strlen(last);
    struct range range = {.first = number_key((const uint8_t *)first, first_len),
                          .last = number_key((const uint8_t *)last, last_len),
                          .carrier = carrier,
                          .line = line};
    if (range.first == 0 || range.last == 0)
        return no_number;
    if (first_len - (*first == '+') != last_len - (*last == '+'))
        return "is a range of numbers of different lengths";
    if (range.first > range.last)
        return "is a range that ends before it begins";
    return add_range(builder, &range);
}

static const char *add_prefix(struct numbers_builder *builder, const char *prefix, size_t len,
                              uint8_t carrier, unsigned line)
{
    uint64_t key = number_key((const uint8_t *)prefix, len);
    uint64_t width = 1;
    if (key == 0)
        return no_number;
    for (size_t digits = len - (*prefix == '+'); digits <= NUMBER_DIGITS_MAX; digits++, width *= 10) {
        struct range range = {key * width, key * width + width - 1, carrier, width > 1, line};
        const char *wrong = add_range(builder, &range);
        if (wrong != NULL)
            return wrong;
    }
    return NULL;
}

const char *numbers_builder_add(struct numbers_builder *builder, const char *numbers, const char *carrier,
                                unsigned line)
{
    uint8_t id = names_intern(&builder->names, carrier);
    if (id == NAME_NONE || id == NAME_NUMBER)
        return id == NAME_NONE && builder->names.count == NAME_NUMBER
                   ? "is of one carrier too many; 63 are allowed"
                   : "has no carrier's name; allowed: 1 to 31 letters, digits, '-', "
                     "'_' and '.'";
    size_t len = strlen(numbers);
    const char *dash = strchr(numbers, '-');
    if (dash != NULL)
        return add_span(builder, numbers, (size_t)(dash - numbers), dash + 1, id, line);
    if (len > 0 && numbers[len - 1] == '*')
        return add_prefix(builder, numbers, len - 1, id, line);
    uint64_t key = number_key((const uint8_t *)numbers, len);
    return key == 0 ? no_number : add_single(builder, key, id, line);
}

/* --- contradictions ---------------------------------------------------------------------------------------- */

struct reports {
    const struct names *names;
    numbers_contradiction *report;
    void *ctx;
    unsigned count;
};

static void report(struct reports *reports, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void report(struct reports *reports, unsigned line, const char *format, ...)
{
    char text[256];
    va_list list;
    if (reports->count++ >= CONTRADICTIONS_MAX)
        return;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    reports->report(reports->ctx, line, text);
}

/* --- numbers into slots ------------------------------------------------------------------------------------ */

static int compare_singles(const void *a, const void *b)
{
    const struct single *left = a, *right = b;
    if (entry_key(left->entry) != entry_key(right->entry))
        return left->entry < right->entry ? -1 : 1;
    return left->line < right->line ? -1 : left->line > right->line;
}

/* Of the rows of one number the first stays; the list is sorted. */
static void merge_singles(struct numbers_builder *builder, struct reports *reports)
{
    struct single *items = builder->singles.items;
    size_t kept = 0;
    for (size_t i = 0; i < builder->singles.count; i++) {
        const struct single *before = kept == 0 ? NULL : &items[kept - 1];
        if (before == NULL || entry_key(before->entry) != entry_key(items[i].entry)) {
            items[kept++] = items[i];
            continue;
        }
        builder->dropped++;
        if (before->entry != items[i].entry) {
            char number[NUMBER_DIGITS_MAX + 1];
            key_text(key_unscramble(entry_key(before->entry)), number);
            report(reports, items[i].line, "%s is of %s here, and of %s in line %u", number,
                   names_get(reports->names, (uint8_t)items[i].entry),
                   names_get(reports->names, (uint8_t)before->entry), before->line);
        }
    }
    builder->singles.count = kept;
}

/* Where the numbers go; returns how many slots that takes. slots NULL: only that. */
static uint64_t place_singles(const struct singles *singles, uint64_t homes, uint64_t *slots)
{
    uint64_t next = 0;
    for (size_t i = 0; i < singles->count; i++) {
        uint64_t home = key_home(entry_key(singles->items[i].entry), homes);
        next = home > next ? home : next;
        if (slots != NULL)
            slots[next] = singles->items[i].entry;
        next++;
    }
    return next > homes ? next : homes;
}

/* --- ranges into bounds ------------------------------------------------------------------------------------ */

/* One around another comes before it. */
static int compare_ranges(const void *a, const void *b)
{
    const struct range *left = a, *right = b;
    if (left->first != right->first)
        return left->first < right->first ? -1 : 1;
    if (left->last != right->last)
        return left->last > right->last ? -1 : 1;
    return left->line < right->line ? -1 : left->line > right->line;
}

/* The ranges that are open at a point, the narrowest last. */
struct open_ranges {
    struct ranges stack;
    struct bounds *bounds;
};

static bool put_bound(struct bounds *bounds, uint64_t key, uint8_t carrier)
{
    if (bounds->count > 0 && entry_key(bounds->items[bounds->count - 1]) == key)
        bounds->count--; /* nothing is between the two */
    uint8_t before = bounds->count == 0 ? NUMBERS_BOUND_NONE : (uint8_t)bounds->items[bounds->count - 1];
    if (carrier == before)
        return true;
    if (!HAS_ROOM(bounds))
        return false;
    bounds->items[bounds->count++] = entry_of(key, carrier);
    return true;
}

static struct range *innermost(struct open_ranges *open)
{
    return open->stack.count == 0 ? NULL : &open->stack.items[open->stack.count - 1];
}

static bool close_before(struct open_ranges *open, uint64_t key)
{
    for (struct range *top; (top = innermost(open)) != NULL && top->last < key;) {
        uint64_t end = top->last + 1;
        open->stack.count--;
        const struct range *around = innermost(open);
        if (around != NULL && around->last < end)
            continue; /* it ends here, too */
        if (!put_bound(open->bounds, end, around == NULL ? NUMBERS_BOUND_NONE : around->carrier))
            return false;
    }
    return true;
}

static void report_ranges(struct reports *reports, const struct range *range, const struct range *other,
                          const char *how)
{
    char first[NUMBER_DIGITS_MAX + 1], last[NUMBER_DIGITS_MAX + 1];
    key_text(range->first, first);
    key_text(range->last, last);
    report(reports, range->line, "%s-%s is of %s here, and %s in line %u, of %s", first, last,
           names_get(reports->names, range->carrier), how, other->line,
           names_get(reports->names, other->carrier));
}

static bool open_range(struct numbers_builder *builder, struct open_ranges *open, const struct range *range,
                       struct reports *reports)
{
    if (!close_before(open, range->first))
        return false;
    const struct range *around = innermost(open);
    bool same = around != NULL && around->first == range->first && around->last == range->last;
    bool told = same && range->again && around->again;
    builder->dropped += same && !told;
    if (same && !told && around->carrier != range->carrier)
        report_ranges(reports, range, around, "the same numbers are");
    else if (!same && around != NULL && range->last > around->last)
        report_ranges(reports, range, around, "some of them, but not all, are");
    struct ranges *stack = &open->stack;
    if (same)
        return true;
    if (!HAS_ROOM(stack) || !put_bound(open->bounds, range->first, range->carrier))
        return false;
    stack->items[stack->count++] = *range;
    return true;
}

static bool flatten(struct numbers_builder *builder, struct bounds *bounds, struct reports *reports)
{
    struct open_ranges open = {.bounds = bounds};
    bool fine = true;
    for (size_t i = 0; fine && i < builder->ranges.count; i++)
        fine = open_range(builder, &open, &builder->ranges.items[i], reports);
    fine = fine && close_before(&open, UINT64_MAX);
    free(open.stack.items);
    return fine;
}

/* --- the image --------------------------------------------------------------------------------------------- */

static void fill_header(const struct numbers_builder *builder, const char *version, uint64_t built,
                        struct numbers_header *header)
{
    header->magic = NUMBERS_MAGIC;
    header->format = NUMBERS_FORMAT;
    header->carriers = builder->names.count;
    header->built = built;
    header->count = builder->singles.count;
    snprintf(header->version, sizeof(header->version), "%s", version);
    memcpy(header->carrier, builder->names.name, sizeof(header->carrier));
}

static bool make_image(const struct numbers_builder *builder, const struct bounds *bounds,
                       const char *version, uint64_t built, struct numbers_image *image)
{
    struct numbers_header header = {.homes = builder->singles.count * SLOTS_OF / SLOTS_TAKEN + 1,
                                    .bounds = bounds->count};
    fill_header(builder, version, built, &header);
    header.slots = place_singles(&builder->singles, header.homes, NULL) + 1;
    size_t size = numbers_size(&header);
    char *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        return false;
    uint64_t *slots = (uint64_t *)(void *)(data + NUMBERS_HEADER_SIZE);
    place_singles(&builder->singles, header.homes, slots);
    slots[header.slots - 1] = NUMBERS_LAST;
    if (bounds->count > 0)
        memcpy(slots + header.slots, bounds->items, bounds->count * sizeof(uint64_t));
    memcpy(data, &header, sizeof(header));
    header.checksum = checksum64(data + NUMBERS_SUMMED_FROM, size - NUMBERS_SUMMED_FROM);
    memcpy(data, &header, sizeof(header));
    *image = (struct numbers_image){data, size, builder->dropped};
    return true;
}

static bool build(struct numbers_builder *builder, const char *version, uint64_t built,
                  struct reports *reports, struct numbers_image *image)
{
    struct bounds bounds = {0};
    if (builder->singles.count > 0)
        qsort(builder->singles.items, builder->singles.count, sizeof(struct single), compare_singles);
    if (builder->ranges.count > 0)
        qsort(builder->ranges.items, builder->ranges.count, sizeof(struct range), compare_ranges);
    merge_singles(builder, reports);
    bool memory = flatten(builder, &bounds, reports);
    bool made = memory && reports->count == 0;
    if (made)
        made = memory = make_image(builder, &bounds, version, built, image);
    if (!memory)
        report(reports, 0, "%s", no_memory);
    free(bounds.items);
    return made;
}

bool numbers_build(struct numbers_builder *builder, const char *version, uint64_t built,
                   numbers_contradiction *tell, void *ctx, struct numbers_image *image)
{
    struct reports reports = {.names = &builder->names, .report = tell, .ctx = ctx};
    bool made = build(builder, version, built, &reports, image);
    drop_rows(builder);
    return made;
}
