#include "proxy/bundle.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/tls.h"

static bool make_listeners(struct bundle *b, char *error, size_t cap)
{
    const struct config *config = b->config;
    for (size_t i = 0; i < config->listeners_count; i++) {
        if (!config->listeners[i].tls) {
            continue;
        }
        b->listener_tls[i] = tls_server_context(&config->listeners[i], error, cap);
        if (b->listener_tls[i] == NULL) {
            return false;
        }
    }
    return true;
}

static bool make_links(struct bundle *b, struct message_index *ids, char *error, size_t cap)
{
    const struct config *config = b->config;
    for (size_t i = 0; i < config->links_count; i++) {
        const struct config_link *link = &config->links[i];
        b->link_number[link->index] = ids == NULL ? -1 : message_index_link(ids, link->name);
        if (!link->tls) {
            continue;
        }
        b->link_tls[link->index] = tls_link_context(link, error, cap);
        if (b->link_tls[link->index] == NULL) {
            return false;
        }
    }
    return true;
}

static struct bundle *allocate(struct config *config)
{
    struct bundle *b = calloc(1, sizeof *b);
    if (b == NULL) {
        config_free(config);
        return NULL;
    }
    b->config = config;
    b->owners = owners_new(config);
    b->listener_tls = calloc(config->listeners_count + 1, sizeof(struct ssl_ctx_st *));
    b->link_tls = calloc(config->link_at_count + 1, sizeof(struct ssl_ctx_st *));
    b->link_number = malloc((config->link_at_count + 1) * sizeof(int));
    if (b->owners == NULL || b->listener_tls == NULL || b->link_tls == NULL || b->link_number == NULL) {
        bundle_free(b);
        return NULL;
    }
    for (unsigned i = 0; i <= config->link_at_count; i++) {
        b->link_number[i] = -1;
    }
    return b;
}

struct bundle *bundle_new(struct config *config, struct message_index *ids, char *error, size_t cap)
{
    struct bundle *b = allocate(config);
    if (b == NULL) {
        strncpy(error, "no memory for the configuration", cap - 1);
        error[cap - 1] = '\0';
        return NULL;
    }
    if (!make_listeners(b, error, cap) || !make_links(b, ids, error, cap)) {
        bundle_free(b);
        return NULL;
    }
    return b;
}

static void free_contexts(struct ssl_ctx_st **contexts, size_t count)
{
    for (size_t i = 0; contexts != NULL && i < count; i++) {
        if (contexts[i] != NULL) {
            tls_context_free(contexts[i]);
        }
    }
    free(contexts);
}

void bundle_free(struct bundle *bundle)
{
    if (bundle == NULL) {
        return;
    }
    free_contexts(bundle->listener_tls, bundle->config->listeners_count);
    free_contexts(bundle->link_tls, bundle->config->link_at_count);
    free(bundle->link_number);
    free(bundle->owners);
    config_free(bundle->config);
    free(bundle);
}

struct ssl_ctx_st *bundle_listener_tls(const struct bundle *bundle, const char *name)
{
    for (size_t i = 0; i < bundle->config->listeners_count; i++) {
        if (strcmp(bundle->config->listeners[i].name, name) == 0) {
            return bundle->listener_tls[i];
        }
    }
    return NULL;
}

bool bundle_has_tls(const struct bundle *bundle)
{
    bool any = false;
    for (size_t i = 0; i < bundle->config->listeners_count; i++) {
        any = any || bundle->listener_tls[i] != NULL;
    }
    for (size_t i = 0; i < bundle->config->link_at_count; i++) {
        any = any || bundle->link_tls[i] != NULL;
    }
    return any;
}

int bundle_link_of_number(const struct bundle *bundle, int number)
{
    for (unsigned i = 0; number >= 0 && i < bundle->config->link_at_count; i++) {
        if (bundle->link_number[i] == number && bundle->config->link_at[i] != NULL) {
            return (int)i;
        }
    }
    return -1;
}
