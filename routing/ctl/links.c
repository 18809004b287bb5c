#include "routing/ctl/links.h"

#include <string.h>

#include "routing/ctl/instance_list.h"
#include "routing/ctl/output.h"
#include "routing/names.h"

bool links_have(const char *list, const char *carrier, const char *platform)
{
    size_t carrier_len = strlen(carrier);
    size_t platform_len = strlen(platform);
    while (*list != '\0') {
        size_t len = strcspn(list, " ");
        if (len == carrier_len + 1 + platform_len && strncmp(list, carrier, carrier_len) == 0 &&
            list[carrier_len] == ':' && strncmp(list + carrier_len + 1, platform, platform_len) == 0) {
            return true;
        }
        list += len + (list[len] == ' ');
    }
    return false;
}

/* Does any of them lead to the carrier? */
static bool links_lead_to(const char *list, const char *carrier)
{
    size_t len = strlen(carrier);
    while (*list != '\0') {
        if (strncmp(list, carrier, len) == 0 && list[len] == ':') {
            return true;
        }
        list += strcspn(list, " ");
        list += *list == ' ';
    }
    return false;
}

static void add_carriers(json_t *names, const char *list)
{
    char name[NAME_LEN_MAX + 1];
    while (*list != '\0') {
        size_t len = strcspn(list, ": ");
        if (list[len] == ':' && len < sizeof name) {
            memcpy(name, list, len);
            name[len] = '\0';
            json_put(names, name, json_true());
        }
        list += strcspn(list, " ");
        list += *list == ' ';
    }
}

bool links_carriers(struct ctl *ctl, json_t *names)
{
    struct instance_list list;
    if (!instance_list_read(ctl->redis, &list)) {
        return false;
    }
    for (size_t i = 0; i < list.count; i++) {
        if (instance_alive(&list.items[i])) {
            add_carriers(names, instance_field(&list.items[i], "links"));
        }
    }
    instance_list_free(&list);
    return true;
}

static const char *text_of(const json_t *move, const char *name)
{
    const char *text = json_string_value(json_object_get(move, name));
    return text == NULL ? "" : text;
}

static enum ctl_exit check_instance(struct ctl *ctl, const struct instance *instance, const json_t *moves)
{
    const char *list = instance_field(instance, "links");
    size_t index = 0;
    const json_t *move = NULL;
    if (!instance_alive(instance) || *list == '\0') {
        return CTL_DONE;
    }
    json_array_foreach(moves, index, move)
    {
        const char *carrier = text_of(move, "carrier");
        const char *to = text_of(move, "to");
        bool number = strcmp(carrier, NUMBER_NAME) == 0;
        if (*to == '\0' || (number ? links_lead_to(list, to) : links_have(list, carrier, to))) {
            continue;
        }
        return ctl_fail(
            ctl, CTL_INVALID,
            "Nothing was changed. --any-link does it all the same, for links that are still to come.",
            "instance %s has no link for %s%s%s; it has: %s", instance->id, number ? to : carrier,
            number ? "" : " by ", number ? "" : to, list);
    }
    return CTL_DONE;
}

enum ctl_exit links_check(struct ctl *ctl, const json_t *request)
{
    const json_t *moves = json_object_get(request, "moves");
    struct instance_list list;
    if (moves == NULL || ctl->options.any_link) {
        return CTL_DONE;
    }
    if (!instance_list_read(ctl->redis, &list)) {
        return ctl_redis_failed(ctl);
    }
    enum ctl_exit code = CTL_DONE;
    for (size_t i = 0; i < list.count && code == CTL_DONE; i++) {
        code = check_instance(ctl, &list.items[i], moves);
    }
    instance_list_free(&list);
    return code;
}
