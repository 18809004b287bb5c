#include "test/tools/lib/smsc_settings.h"

#include <stdio.h>
#include <string.h>

#include "smpp/constants.h"

const struct setting_row setting_rows[SMSC_SETTING_COUNT] = {
#define SMSC_SETTING_ROW(id, name, kind, arguments, help) {name, kind, arguments, help},
    SMSC_SETTINGS(SMSC_SETTING_ROW)
#undef SMSC_SETTING_ROW
};

void settings_init(struct setting settings[SMSC_SETTING_COUNT])
{
    for (int i = 0; i < SMSC_SETTING_COUNT; i++) {
        settings[i] = (struct setting){.share = share_all};
    }
    settings[SET_RECEIPTS].on = true;
}

int setting_find(const char *name)
{
    for (int i = 0; i < SMSC_SETTING_COUNT; i++) {
        if (strcmp(name, setting_rows[i].name) == 0) {
            return i;
        }
    }
    return -1;
}

/* The place of word in "a|b|c". */
static bool place_of(const char *list, const char *word, uint64_t *place)
{
    size_t len = strlen(word);
    uint64_t i = 0;
    for (const char *p = list; *p != '\0'; i++) {
        size_t item = strcspn(p, "|");
        if (item == len && strncasecmp(p, word, len) == 0) {
            *place = i;
            return true;
        }
        p += item + (p[item] == '|');
    }
    return false;
}

size_t setting_word(enum smsc_setting id, uint64_t place, char *out, size_t cap)
{
    const char *p = setting_rows[id].arguments;
    for (; place > 0; place--) {
        p += strcspn(p, "|") + 1;
    }
    return (size_t)snprintf(out, cap, "%.*s", (int)strcspn(p, "|"), p);
}

static bool status_word(const char *text, uint64_t *value)
{
    uint32_t status = 0;
    bool found = smpp_status_parse(text, &status);
    if (found) {
        *value = status;
    }
    return found;
}

static bool read_first(enum smsc_setting id, const char *text, uint64_t *value)
{
    switch (setting_rows[id].kind) {
    case TAKES_STATUS: return status_word(text, value);
    case TAKES_TIMES:
    case TAKES_RETRY: return word_duration(text, value);
    case TAKES_NUMBER:
    case TAKES_RATE:
    case TAKES_COUNT: return word_number(text, value);
    case TAKES_WORD: return place_of(setting_rows[id].arguments, text, value);
    case TAKES_NOTHING:
    default: return false;
    }
}

static bool read_second(enum setting_kind kind, const char *text, uint64_t *value)
{
    switch (kind) {
    case TAKES_TIMES: return word_duration(text, value);
    case TAKES_RATE: return status_word(text, value);
    case TAKES_COUNT: return place_of("fin|rst", text, value);
    case TAKES_RETRY: return word_number(text, value);
    case TAKES_NOTHING:
    case TAKES_STATUS:
    case TAKES_NUMBER:
    case TAKES_WORD:
    default: return false;
    }
}

static uint64_t default_second(enum setting_kind kind)
{
    if (kind == TAKES_RATE) {
        return ESME_RTHROTTLED;
    }
    return kind == TAKES_RETRY ? UINT32_MAX : 0;
}

bool setting_apply(struct setting *setting, enum smsc_setting id, struct words *arguments)
{
    enum setting_kind kind = setting_rows[id].kind;
    struct setting found = {.on = true, .second = default_second(kind), .share = share_all};
    if (arguments->count == 1 && strcmp(arguments->at[0], "off") == 0) {
        setting->on = false;
        return true;
    }
    if (arguments->count > 0 && strcmp(arguments->at[0], "on") == 0 && kind == TAKES_NOTHING) {
        words_remove(arguments, 0);
    }
    if (!words_take_share(arguments, &found.share)) {
        return false;
    }
    size_t least = kind == TAKES_NOTHING ? 0 : 1;
    if (arguments->count < least || arguments->count > 2 ||
        (arguments->count > 0 && !read_first(id, arguments->at[0], &found.value)) ||
        (arguments->count > 1 && !read_second(kind, arguments->at[1], &found.second))) {
        return false;
    }
    *setting = found;
    return true;
}

uint64_t setting_time(struct setting *setting, uint64_t *random_state)
{
    if (!setting_hit(setting, random_state)) {
        return 0;
    }
    uint64_t jitter = setting->second > UINT32_MAX ? UINT32_MAX : setting->second;
    return setting->value + random_below(random_state, jitter);
}
