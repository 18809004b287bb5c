#include "proxy/owners.h"

#include <stdlib.h>
#include <string.h>

static int compare_pairs(const void *a, const void *b)
{
    return strcmp(((const struct owner *)a)->shortcode, ((const struct owner *)b)->shortcode);
}

struct owners *owners_new(const struct config *config)
{
    size_t count = 0;
    for (size_t i = 0; i < config->clients_count; i++) {
        count += config->clients[i].any_shortcode ? 0 : config->clients[i].shortcodes_count;
    }
    struct owners *owners = malloc(sizeof *owners + count * sizeof owners->pairs[0]);
    if (owners == NULL) {
        return NULL;
    }
    owners->count = 0;
    for (size_t i = 0; i < config->clients_count; i++) {
        const struct config_client *client = &config->clients[i];
        for (size_t s = 0; !client->any_shortcode && s < client->shortcodes_count; s++) {
            owners->pairs[owners->count++] =
                (struct owner){.shortcode = client->shortcodes[s], .client = client};
        }
    }
    if (owners->count > 0) {
        qsort(owners->pairs, owners->count, sizeof owners->pairs[0], compare_pairs);
    }
    return owners;
}

/* Like strcmp of the name and the octets, as if these ended with a NUL. */
static int compare(const char *name, const uint8_t *octets, size_t len)
{
    int order = strncmp(name, (const char *)octets, len);
    return order != 0 ? order : (int)(unsigned char)name[len];
}

const struct owner *owners_of(const struct owners *owners, const uint8_t *shortcode, size_t len,
                              size_t *count)
{
    size_t low = 0;
    size_t high = owners->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(owners->pairs[middle].shortcode, shortcode, len) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    size_t end = low;
    while (end < owners->count && compare(owners->pairs[end].shortcode, shortcode, len) == 0) {
        end++;
    }
    *count = end - low;
    return &owners->pairs[low];
}
