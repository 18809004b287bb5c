/* A place of a worker's table belongs to a record, which all workers' places of the same (shortcode, carrier) share.
 * Which record is found by name once, when the place is first seen or has been given to another. */
#include "proxy/witness.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define HASH_NONFATAL_OOM          1
#define uthash_nonfatal_oom(entry) ((void)(entry)) /* not in the table then; freed by whoever added it */
#include <uthash.h>

#define NS_A_MS UINT64_C(1000000)

enum {
    MINUTE_MS = 60000,
    SECOND_MS = 1000,
    ARGS_HEAD = 2,
    TABLE_LOOK_MS = 30000,
    PLATFORM_MAX = NAME_LEN_MAX + 1
};
enum { NAME_SIZE = SHORTCODE_LEN_MAX + NAME_LEN_MAX + 2 };

struct record {
    char name[NAME_SIZE]; /* "shortcode carrier" */
    char shortcode[SHORTCODE_LEN_MAX + 1];
    uint8_t carrier;
    bool watched;         /* it has moved, or was not open, lately, or is about to move */
    bool seen;            /* in this turn */
    struct route route;   /* as the table has it */
    uint64_t lost_base;   /* legs lost over the route's link before it led there */
    uint64_t written;     /* fingerprint of what Redis has; 0: nothing */
    uint64_t not_open_ms; /* when it was last seen held or closed; 0: never */
    uint32_t places;      /* that are this cell's */
    struct evidence *sum; /* of all workers, while it is watched */
    uint64_t minute;
    uint32_t minutes[EVIDENCE_MINUTES];
    struct record *next_watched;
    UT_hash_handle hh;
};

/* What is known of a place. */
struct place {
    uint32_t handle;
    uint64_t sent;
    struct record *record;
};

struct worker_places {
    uint32_t count;
    struct place *places;
};

struct witness {
    const struct witness_source *source;
    void *ctx;
    char *instance;
    char started[24];
    struct worker_places *workers;
    struct record *records;
    uint64_t base_now, base_ms; /* one moment by the workers' clock and by the world's */
    uint64_t table_version;
    uint64_t looked_ms; /* when the table was last compared with the records */
    struct record *resume;
};

/* --- records -------------------------------------------------------------------------------------------- */

static struct record *record_of(struct witness *witness, const struct evidence *evidence)
{
    char name[NAME_SIZE];
    struct record *record = NULL;
    snprintf(name, sizeof name, "%s %s", evidence->shortcode, evidence->carrier);
    HASH_FIND_STR(witness->records, name, record);
    if (record != NULL) {
        return record;
    }
    record = calloc(1, sizeof *record);
    if (record == NULL) {
        return NULL;
    }
    memcpy(record->name, name, sizeof name);
    memcpy(record->shortcode, evidence->shortcode, sizeof record->shortcode);
    record->carrier = names_find(witness->source->names, evidence->carrier);
    record->route.platform = NAME_NONE;
    HASH_ADD_STR(witness->records, name, record);
    if (record->hh.tbl == NULL) { /* without memory */
        free(record);
        return NULL;
    }
    return record;
}

/* Minutes go by; what was sent belongs to the present one. */
static void add_sent(struct record *record, uint64_t sent, uint64_t minute)
{
    uint64_t by = minute > record->minute ? minute - record->minute : 0;
    if (sent == 0) {
        return;
    }
    if (by > 0) {
        uint64_t kept = by < EVIDENCE_MINUTES ? EVIDENCE_MINUTES - by : 0;
        memmove(record->minutes + (EVIDENCE_MINUTES - kept), record->minutes, kept * sizeof *record->minutes);
        memset(record->minutes, 0, (EVIDENCE_MINUTES - kept) * sizeof *record->minutes);
        record->minute = minute;
    }
    record->minutes[0] += (uint32_t)sent;
}

static uint64_t legs_lost(const struct witness *witness, const struct record *record)
{
    const struct config *config = witness->source->config(witness->ctx);
    const struct config_link *link = record->carrier < NAMES_MAX && record->route.platform < NAMES_MAX
                                         ? config->link_of[record->carrier][record->route.platform]
                                         : NULL;
    return link == NULL ? 0 : metrics_lost(witness->source->metrics, link->index);
}

/* --- the table ------------------------------------------------------------------------------------------ */

static bool is_watched(const struct witness *witness, const struct record *record, uint64_t clock_ms)
{
    const struct route *route = &record->route;
    uint64_t lately_ms = witness->source->config(witness->ctx)->evidence / 1000000;
    return route->next != NAME_NONE || (uint64_t)route->changed * SECOND_MS + lately_ms > clock_ms ||
           (record->not_open_ms > 0 && record->not_open_ms + lately_ms > clock_ms);
}

static void follow_route(struct witness *witness, struct record *record, const struct table *table,
                         uint64_t clock_ms)
{
    struct route route = {.platform = NAME_NONE, .next = NAME_NONE};
    bool there = table_lookup(table, record->shortcode, strlen(record->shortcode), record->carrier, &route);
    bool other = route.platform != record->route.platform || route.changed != record->route.changed;
    record->route = route;
    if (other) {
        record->lost_base = legs_lost(witness, record);
    }
    record->not_open_ms = there && route.state != ROUTE_OPEN ? clock_ms : record->not_open_ms;
    record->watched = there && is_watched(witness, record, clock_ms);
    if (!record->watched) {
        free(record->sum);
        record->sum = NULL;
    }
}

/* After each change of the table, and now and then, since "lately" passes. */
static void follow_newest(struct witness *witness, uint64_t clock_ms)
{
    const struct table *table = witness->source->table(witness->ctx);
    if (table == NULL || (table_version(table) == witness->table_version &&
                          clock_ms < witness->looked_ms + TABLE_LOOK_MS && clock_ms >= witness->looked_ms)) {
        return;
    }
    witness->table_version = table_version(table);
    witness->looked_ms = clock_ms;
    for (struct record *record = witness->records; record != NULL; record = record->hh.next) {
        follow_route(witness, record, table, clock_ms);
    }
}

/* --- reading -------------------------------------------------------------------------------------------- */

static bool room_for(struct worker_places *worker, uint32_t count)
{
    if (count <= worker->count) {
        return true;
    }
    struct place *places = reallocarray(worker->places, count + 1, sizeof *places);
    if (places == NULL) {
        return false;
    }
    memset(places + worker->count + 1, 0, (count - worker->count) * sizeof *places);
    if (worker->count == 0) {
        memset(places, 0, sizeof *places);
    }
    worker->places = places;
    worker->count = count;
    return true;
}

static uint64_t changed_ms(const struct route *route)
{
    return (uint64_t)route->changed * SECOND_MS;
}

static void name_platform(char name[PLATFORM_MAX], const struct names *names, uint8_t platform)
{
    snprintf(name, PLATFORM_MAX, "%s", platform == NAME_NONE ? "" : names_get(names, platform));
}

/* A worker that has had no message of the cell since the move does not know of it. */
static void catch_up(const struct witness *witness, const struct record *record, struct evidence *evidence)
{
    char platform[PLATFORM_MAX];
    name_platform(platform, witness->source->names, record->route.platform);
    if (evidence->changed_ms != changed_ms(&record->route) || strcmp(evidence->now.platform, platform) != 0) {
        evidence_turn(evidence, platform, changed_ms(&record->route));
    }
    if (evidence->other.platform[0] == '\0') {
        uint8_t other = record->route.next != NAME_NONE ? record->route.next : record->route.previous;
        name_platform(evidence->other.platform, witness->source->names, other);
    }
}

static void add_up(struct witness *witness, struct record *record, const struct evidence *evidence)
{
    struct evidence its = *evidence;
    catch_up(witness, record, &its);
    if (record->sum == NULL) {
        record->sum = malloc(sizeof *record->sum);
        record->seen = false;
    }
    if (record->sum == NULL) {
        return;
    }
    if (!record->seen) {
        *record->sum = its;
    } else {
        evidence_merge(record->sum, &its);
    }
    record->seen = true;
}

/* A record goes with its last place: shortcodes come and go as clients choose them, and so do places. */
static void leave(struct witness *witness, struct place *place)
{
    struct record *record = place->record;
    *place = (struct place){.handle = 0};
    if (record == NULL || --record->places > 0) {
        return;
    }
    witness->resume = witness->resume == record ? record->hh.next : witness->resume;
    /* the analyzer cannot follow uthash's lists: NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
    HASH_DEL(witness->records, record);
    free(record->sum);
    free(record);
}

/* The record of a place; NULL where it changes just now, or without memory. */
static struct record *claim(struct witness *witness, struct place *place, uint32_t handle,
                            const struct traffic *traffic, uint32_t at, uint64_t clock_ms)
{
    struct evidence evidence;
    const struct table *table = witness->source->table(witness->ctx);
    if (place->handle == handle) {
        return place->record;
    }
    if (table == NULL ||
        !traffic_read(traffic, at, witness->source->names, witness->base_now, witness->base_ms, &evidence)) {
        return NULL;
    }
    leave(witness, place);
    place->record = record_of(witness, &evidence);
    if (place->record != NULL) {
        place->handle = handle;
        place->record->places++;
        follow_route(witness, place->record, table, clock_ms);
    }
    return place->record;
}

static void look_at_place(struct witness *witness, struct place *place, const struct traffic *traffic,
                          uint32_t at, uint64_t clock_ms)
{
    struct evidence evidence;
    uint64_t sent = 0;
    uint32_t handle = traffic_sent_of(traffic, at, &sent);
    struct record *record = handle == 0 ? NULL : claim(witness, place, handle, traffic, at, clock_ms);
    if (record == NULL) {
        return;
    }
    add_sent(record, sent - place->sent, clock_ms / MINUTE_MS);
    place->sent = sent;
    if (record->watched &&
        traffic_read(traffic, at, witness->source->names, witness->base_now, witness->base_ms, &evidence)) {
        add_up(witness, record, &evidence);
    }
}

static void look(struct witness *witness, uint64_t clock_ms)
{
    for (struct record *record = witness->records; record != NULL; record = record->hh.next) {
        record->seen = false;
    }
    for (unsigned i = 0; i < witness->source->workers; i++) {
        const struct traffic *traffic = witness->source->traffic(witness->ctx, i);
        uint32_t count = traffic == NULL ? 0 : traffic_places(traffic);
        if (!room_for(&witness->workers[i], count)) {
            continue;
        }
        for (uint32_t at = 1; at <= count; at++) {
            look_at_place(witness, &witness->workers[i].places[at], traffic, at, clock_ms);
        }
    }
}

/* --- writing -------------------------------------------------------------------------------------------- */

static uint64_t fingerprint(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (; *text != '\0'; text++) {
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    }
    return hash | 1;
}

static void complete(const struct witness *witness, struct record *record)
{
    uint64_t lost = legs_lost(witness, record);
    record->sum->now.legs_lost = lost > record->lost_base ? lost - record->lost_base : 0;
    record->sum->minute = record->minute;
    memcpy(record->sum->minutes, record->minutes, sizeof record->minutes);
}

/* One call's worth of cells. */
struct batch {
    size_t count;
    const char *args[STORE_ARGS_MAX];
    char *texts[STORE_ARGS_MAX / 2];
    struct record *records[STORE_ARGS_MAX / 2];
};

static void on_written(void *ctx, const struct redisReply *reply)
{
    struct witness *witness = ctx;
    if (reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0) {
        witness->source->guards(witness->ctx, (uint64_t)reply->integer);
    }
}

/* Sends what there is; also without cells, since the answer tells how many guards watch. */
static bool batch_send(struct witness *witness, struct batch *batch)
{
    batch->args[0] = witness->instance;
    batch->args[1] = witness->started;
    bool sent = witness->source->call(witness->ctx, "turnout_evidence", ARGS_HEAD + 2 * batch->count,
                                      batch->args, on_written, witness);
    for (size_t i = 0; i < batch->count; i++) {
        batch->records[i]->written = sent ? fingerprint(batch->texts[i]) : 0;
        free(batch->texts[i]);
    }
    batch->count = 0;
    return sent;
}

/* Adds a record if it says something new. */
static void batch_add(struct witness *witness, struct batch *batch, struct record *record)
{
    complete(witness, record);
    char *text = evidence_text(record->sum);
    if (text == NULL || fingerprint(text) == record->written) {
        free(text);
        return;
    }
    batch->args[ARGS_HEAD + 2 * batch->count] = record->name;
    batch->args[ARGS_HEAD + 2 * batch->count + 1] = text;
    batch->texts[batch->count] = text;
    batch->records[batch->count++] = record;
}

/* From where the last second left off, so that each has its turn where there are too many for one second. */
static void write_changed(struct witness *witness)
{
    struct batch batch = {.count = 0};
    struct record *record = witness->resume != NULL ? witness->resume : witness->records;
    unsigned all = HASH_COUNT(witness->records);
    bool fine = true;
    unsigned written = 0;
    for (unsigned i = 0; i < all && fine && written < WITNESS_CELLS; i++) {
        if (record->seen && record->sum != NULL) {
            size_t before = batch.count;
            batch_add(witness, &batch, record);
            written += batch.count > before;
        }
        if (batch.count == (STORE_ARGS_MAX - ARGS_HEAD) / 2) {
            fine = batch_send(witness, &batch);
        }
        record = record->hh.next != NULL ? record->hh.next : witness->records;
    }
    witness->resume = record;
    if (fine) {
        (void)batch_send(witness, &batch);
    }
}

/* --- from outside --------------------------------------------------------------------------------------- */

struct witness *witness_new(const struct witness_source *source, void *ctx, const char *instance,
                            uint64_t started_ms)
{
    struct witness *witness = calloc(1, sizeof *witness);
    struct worker_places *workers = calloc(source->workers + 1, sizeof *workers);
    char *name = strdup(instance);
    if (witness == NULL || workers == NULL || name == NULL) {
        free(witness);
        free(workers);
        free(name);
        return NULL;
    }
    witness->instance = name;
    witness->source = source;
    witness->ctx = ctx;
    witness->workers = workers;
    snprintf(witness->started, sizeof witness->started, "%llu", (unsigned long long)started_ms);
    return witness;
}

void witness_free(struct witness *witness)
{
    struct record *record;
    struct record *next;
    if (witness == NULL) {
        return;
    }
    for (unsigned i = 0; i < witness->source->workers; i++) {
        free(witness->workers[i].places);
    }
    HASH_ITER(hh, witness->records, record, next)
    {
        /* the analyzer cannot follow uthash's lists: NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        HASH_DEL(witness->records, record);
        free(record->sum);
        free(record);
    }
    free(witness->workers);
    free(witness->instance);
    free(witness);
}

/* The world's clock may be set; by less than this it is left to drift. */
static void follow_clock(struct witness *witness, uint64_t now, uint64_t clock_ms)
{
    uint64_t expected = witness->base_ms + (now - witness->base_now) / NS_A_MS;
    uint64_t off = clock_ms > expected ? clock_ms - expected : expected - clock_ms;
    if (witness->base_ms == 0 || off > SECOND_MS) {
        witness->base_now = now;
        witness->base_ms = clock_ms;
    }
}

void witness_turn(struct witness *witness, uint64_t now, uint64_t clock_ms)
{
    follow_clock(witness, now, clock_ms);
    follow_newest(witness, clock_ms);
    look(witness, clock_ms);
    write_changed(witness);
}

void witness_again(struct witness *witness)
{
    for (struct record *record = witness->records; record != NULL; record = record->hh.next) {
        record->written = 0;
    }
}

static struct record *find(const struct witness *witness, const char *shortcode, const char *carrier)
{
    char name[NAME_SIZE];
    struct record *record = NULL;
    if (snprintf(name, sizeof name, "%s %s", shortcode, carrier) >= (int)sizeof name) {
        return NULL;
    }
    HASH_FIND_STR(witness->records, name, record);
    return record;
}

uint64_t witness_hour(const struct witness *witness, const char *shortcode, const char *carrier,
                      uint64_t clock_ms)
{
    const struct record *record = find(witness, shortcode, carrier);
    struct evidence evidence = {.minute = record == NULL ? 0 : record->minute};
    if (record == NULL) {
        return 0;
    }
    memcpy(evidence.minutes, record->minutes, sizeof evidence.minutes);
    return evidence_hour(&evidence, clock_ms / MINUTE_MS);
}

/* Reads all places of one record: it need not be watched. */
bool witness_cell(struct witness *witness, const char *shortcode, const char *carrier,
                  struct evidence *evidence)
{
    struct record *record = find(witness, shortcode, carrier);
    struct evidence its;
    bool any = false;
    for (unsigned i = 0; record != NULL && i < witness->source->workers; i++) {
        const struct traffic *traffic = witness->source->traffic(witness->ctx, i);
        const struct worker_places *worker = &witness->workers[i];
        for (uint32_t at = 1; traffic != NULL && at <= worker->count; at++) {
            if (worker->places[at].record != record ||
                !traffic_read(traffic, at, witness->source->names, witness->base_now, witness->base_ms,
                              &its)) {
                continue;
            }
            catch_up(witness, record, &its);
            if (any) {
                evidence_merge(evidence, &its);
            } else {
                *evidence = its;
            }
            any = true;
        }
    }
    if (any) {
        evidence->minute = record->minute;
        memcpy(evidence->minutes, record->minutes, sizeof record->minutes);
    }
    return any;
}
