/* The last messages of a link, in a ring by their number: enough for query_sm, cancel_sm and replace_sm. */
#include <stdlib.h>
#include <string.h>

#include "test/tools/lib/smsc.h"

enum { ENROUTE = 1 };

struct record {
    uint64_t number;
    uint8_t state;
    char source[NUMBER_MAX];
};

struct smsc_store {
    uint64_t mask;
    struct record *ring;
};

struct smsc_store *smsc_store_new(uint64_t remember)
{
    struct smsc_store *store = tools_alloc(1, sizeof(*store));
    uint64_t size = 1;
    while (size < remember) {
        size *= 2;
    }
    store->mask = size - 1;
    store->ring = tools_alloc(size, sizeof(*store->ring));
    return store;
}

void smsc_store_free(struct smsc_store *store)
{
    if (store != NULL) {
        free(store->ring);
        free(store);
    }
}

static uint32_t kept(struct smpp_span source)
{
    return source.len < NUMBER_MAX ? source.len : NUMBER_MAX - 1;
}

void smsc_store_add(struct smsc_store *store, uint64_t number, struct smpp_span source)
{
    struct record *record = &store->ring[number & store->mask];
    record->number = number;
    record->state = ENROUTE;
    uint32_t len = kept(source);
    memcpy(record->source, source.p, len);
    record->source[len] = '\0';
}

enum store_verdict smsc_store_find(struct smsc_store *store, uint64_t number, struct smpp_span source,
                                   uint8_t **state)
{
    struct record *record = &store->ring[number & store->mask];
    if (number == 0 || record->number != number) {
        return STORE_UNKNOWN;
    }
    uint32_t len = kept(source);
    if (len > 0 && (strlen(record->source) != len || memcmp(record->source, source.p, len) != 0)) {
        return STORE_NOT_YOURS;
    }
    *state = &record->state;
    return STORE_FOUND;
}
