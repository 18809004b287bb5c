/* From a tree of texts to struct config:
 *
 *   config_file_read ──▶ fill: each section's struct by the option table ──▶ checks across sections ──▶ ids
 *
 * Faults are gathered all the way, and only what would repeat them is left out. Numbers (names, links,
 * clients) are given in a copy of the ids, which is taken over when nothing was wrong: a refused file leaves
 * no trace. */
#include "proxy/config.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/config_file.h"
#include "proxy/hooks/mail.h"
#include "proxy/options.h"
#include "routing/numbers_build.h"
#include "routing/sentinel.h"
#include "smpp/frame.h"

enum { FAULT_NAME_MAX = 240 };

struct reader {
    struct config *config;
    cfg_t *tree;
    bool whole; /* the tree is */
    struct faults faults, warnings;
    const struct config_ids *ids; /* as they are */
    struct names names;           /* as they would become */
    struct number_rules rules;
};

/* --- sections into structs --- */

static void *array_of(void *parent, const struct section_row *row)
{
    return *(void **)((char *)parent + row->array);
}

static size_t count_of(const void *parent, const struct section_row *row)
{
    return *(const size_t *)((const char *)parent + row->count);
}

static void *item_at(void *parent, const struct section_row *row, size_t index)
{
    return (char *)array_of(parent, row) + index * row->item_size;
}

static void report_value(struct reader *reader, const struct option_row *row, const struct file_value *value,
                         const char *wrong)
{
    bool secret = row->type == OPTION_SECRET || row->type == OPTION_HASH;
    char allowed[256];
    option_allowed(row, allowed, sizeof allowed);
    if (secret)
        fault_add(&reader->faults, value->line, "%s %s; allowed: %s", row->name, wrong, allowed);
    else
        fault_add(&reader->faults, value->line, "%s \"%.80s\" %s; allowed: %s", row->name, value->text, wrong,
                  allowed);
}

static void fill_option(struct reader *reader, const struct option_row *row, cfg_t *section, void *fields)
{
    size_t count = file_values(section, row->name);
    for (size_t i = 0; i < count; i++) {
        const struct file_value *value = file_value(section, row->name, i);
        const char *wrong = value == NULL ? NULL : option_parse(row, value->text, fields);
        if (wrong != NULL)
            report_value(reader, row, value, wrong);
    }
    if (count > 0)
        return;
    const char *wrong = option_default(row, fields);
    if (wrong != NULL)
        fault_add(&reader->faults, 0, "%s: %s", row->name, wrong);
    if (row->required && reader->whole)
        fault_add(&reader->faults, file_line(section, NULL), "%s \"%.64s\" lacks %s: %s",
                  section_rows[row->section].name, cfg_title(section), row->name, row->help);
}

static void fill_options(struct reader *reader, enum option_section section, cfg_t *tree, void *fields)
{
    for (const struct option_row *row = options_next(section, NULL); row; row = options_next(section, row))
        fill_option(reader, row, tree, fields);
}

static bool title_allowed(const struct section_row *row, const char *title)
{
    static const char plain[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (const char *c = title; *c != '\0'; c++) {
        bool good = row->title_chars == NULL
                        ? *c >= ' ' && *c <= '~'
                        : strchr(plain, *c) != NULL || strchr(row->title_chars, *c) != NULL;
        if (!good)
            return false;
    }
    size_t len = strlen(title);
    return len > 0 && len <= row->title_max && strcmp(title, "-") != 0;
}

static void fill_title(struct reader *reader, const struct section_row *row, cfg_t *tree, void *item)
{
    if (!title_allowed(row, tree->title))
        fault_add(&reader->faults, file_line(tree, NULL),
                  "\"%.80s\" is no name of a %s; allowed: 1 to %zu %s%s", tree->title, row->name,
                  row->title_max, row->title_chars == NULL ? "printable characters" : "letters, digits and ",
                  row->title_chars == NULL ? "" : row->title_chars);
    char *copy = strdup(tree->title);
    if (copy == NULL)
        fault_add(&reader->faults, 0, "there is no memory for it");
    *(char **)((char *)item + row->title_field) = copy;
}

/* All sections of a kind as an array of their structs, in the order of the file. */
static void fill_items(struct reader *reader, enum option_section section, cfg_t *parent_tree, void *parent)
{
    const struct section_row *row = &section_rows[section];
    size_t count = cfg_size(parent_tree, row->name);
    char *items = calloc(count + 1, row->item_size);
    if (items == NULL) {
        fault_add(&reader->faults, 0, "there is no memory for it");
        return;
    }
    memcpy((char *)parent + row->array, &items, sizeof items);
    memcpy((char *)parent + row->count, &count, sizeof count);
    for (size_t i = 0; i < count; i++) {
        cfg_t *tree = cfg_getnsec(parent_tree, row->name, (unsigned)i);
        fill_title(reader, row, tree, items + i * row->item_size);
        fill_options(reader, section, tree, items + i * row->item_size);
    }
}

static cfg_t *tree_of(const struct reader *reader, enum option_section section, size_t index)
{
    return cfg_getnsec(reader->tree, section_rows[section].name, (unsigned)index);
}

static void fill_config(struct reader *reader)
{
    struct config *config = reader->config;
    for (unsigned i = 0; i < SECTION_COUNT; i++) {
        enum option_section section = (enum option_section)i;
        const struct section_row *row = &section_rows[i];
        if (section == SECTION_ROOT)
            fill_options(reader, section, reader->tree, config);
        else if (row->parent == SECTION_ROOT && row->title == NULL)
            fill_options(reader, section, cfg_getsec(reader->tree, row->name), config);
        else if (row->parent == SECTION_ROOT)
            fill_items(reader, section, reader->tree, config);
    }
    for (size_t i = 0; i < config->clients_count; i++)
        fill_items(reader, SECTION_UPSTREAM, tree_of(reader, SECTION_CLIENT, i), &config->clients[i]);
}

/* --- checks of one section --- */

static void check_order(struct reader *reader, cfg_t *tree, const char *less, uint64_t least,
                        const char *more, uint64_t most)
{
    if (least > most)
        fault_add(&reader->faults, file_line(tree, file_values(tree, less) > 0 ? less : more),
                  "%s is more than %s; it may be as much at most", less, more);
}

static bool given(cfg_t *tree, const char *option)
{
    return file_values(tree, option) > 0;
}

static void check_general(struct reader *reader)
{
    const struct config *config = reader->config;
    cfg_t *tree = reader->tree;
    check_order(reader, tree, "max-pdu-open", config->max_pdu_open, "max-pdu-bound", config->max_pdu_bound);
    check_order(reader, tree, "max-pdu-bound", config->max_pdu_bound, "out-limit", config->out_limit);
    for (const char *c = config->instance; c != NULL && *c != '\0'; c++) {
        if (!title_allowed(&section_rows[SECTION_LINK], (char[]){*c, 'x', '\0'})) {
            fault_add(&reader->faults, file_line(tree, "instance"),
                      "instance \"%s\" has a bad character; allowed: letters, digits, '-', '_' and '.'",
                      config->instance);
            return;
        }
    }
}

static void check_sentinels(struct reader *reader, cfg_t *tree)
{
    const struct config *config = reader->config;
    struct sentinels sentinels = {0};
    const char *const unused[] = {"host", "port", "unix-path"};
    for (size_t i = 0; i < config->redis.sentinels_count; i++) {
        const char *text = config->redis.sentinels[i], *reason;
        if (!sentinels_add(&sentinels, text, strlen(text), &reason))
            fault_add(&reader->faults, file_line(tree, "sentinels"),
                      "sentinels: \"%s\" cannot be used: %s; allowed: up to 16 such as \"10.0.0.1:26379\"",
                      text, reason);
    }
    if ((config->redis.sentinels_count > 0) != (config->redis.master != NULL))
        fault_add(&reader->faults, file_line(tree, config->redis.master != NULL ? "master" : "sentinels"),
                  "sentinels and master go together; give both or none");
    for (unsigned i = 0; i < sizeof unused / sizeof unused[0]; i++) {
        if (config->redis.sentinels_count > 0 && given(tree, unused[i]))
            fault_add(&reader->warnings, file_line(tree, unused[i]), "%s is not used with sentinels",
                      unused[i]);
    }
}

static void check_redis(struct reader *reader)
{
    const struct config *config = reader->config;
    cfg_t *tree = cfg_getsec(reader->tree, "redis");
    check_order(reader, tree, "reconnect-min", config->redis.reconnect_min, "reconnect-max",
                config->redis.reconnect_max);
    if (config->redis.beat * 2 > config->redis.lease)
        fault_add(
            &reader->faults, file_line(tree, given(tree, "lease") ? "lease" : "beat"),
            "lease is less than two beats, so that one beat that is late counts as death; allowed: at least "
            "twice beat");
    const char *open = config->redis.prefix == NULL ? NULL : strchr(config->redis.prefix, '{');
    const char *close = open == NULL ? NULL : strchr(open, '}');
    if (config->redis.prefix != NULL && (close == NULL || close == open + 1))
        fault_add(&reader->faults, file_line(tree, "prefix"),
                  "prefix \"%s\" has no part in braces, which keeps the keys in one slot; allowed: such as "
                  "{turnout}",
                  config->redis.prefix);
    check_sentinels(reader, tree);
}

static bool same_port(const struct config_listener *a, const struct config_listener *b)
{
    return a->port != 0 && a->port == b->port && a->address != NULL && b->address != NULL &&
           strcmp(a->address, b->address) == 0;
}

static void check_listener(struct reader *reader, size_t index)
{
    const struct config_listener *listener = &reader->config->listeners[index];
    cfg_t *tree = tree_of(reader, SECTION_LISTENER, index);
    const char *const needed[] = {"certificate", "key"};
    for (unsigned i = 0; i < 2; i++) {
        if (listener->tls && !given(tree, needed[i]))
            fault_add(&reader->faults, file_line(tree, "tls"),
                      "listener \"%s\" has tls = true but no %s; give one", listener->name, needed[i]);
        else if (!listener->tls && given(tree, needed[i]))
            fault_add(&reader->warnings, file_line(tree, needed[i]), "%s is not used without tls = true",
                      needed[i]);
    }
    for (size_t i = 0; i < index; i++) {
        if (same_port(listener, &reader->config->listeners[i]))
            fault_add(&reader->faults, file_line(tree, "port"),
                      "address and port are those of listener \"%s\"", reader->config->listeners[i].name);
    }
}

static void warn_long(struct reader *reader, cfg_t *tree, const char *option, const char *text, size_t limit)
{
    if (text != NULL && strlen(text) > limit)
        fault_add(&reader->warnings, file_line(tree, option),
                  "%s is longer than the %zu octets of SMPP 3.4; many SMSCs refuse that", option, limit);
}

/* Strings of a bind that SMPP 3.4 holds to be too long (4.1.1), though some peers have them. */
static void warn_credentials(struct reader *reader, cfg_t *tree, const char *system_id, const char *password)
{
    warn_long(reader, tree, "system-id", system_id, 15);
    warn_long(reader, tree, given(tree, "password") ? "password" : "password-file", password, 8);
}

static void check_link_tls(struct reader *reader, const struct config_link *link, cfg_t *tree)
{
    if (given(tree, "certificate") != given(tree, "key"))
        fault_add(&reader->faults, file_line(tree, given(tree, "key") ? "key" : "certificate"),
                  "certificate and key go together; give both or none");
    const char *const used[] = {"ca", "certificate", "tls-name"};
    for (unsigned i = 0; i < sizeof used / sizeof used[0]; i++) {
        if (!link->tls && given(tree, used[i]))
            fault_add(&reader->warnings, file_line(tree, used[i]), "%s is not used without tls = true",
                      used[i]);
    }
    if (link->tls && !link->tls_verify)
        fault_add(&reader->warnings, file_line(tree, "tls-verify"),
                  "link \"%s\" takes any certificate, also that of an impostor", link->name);
}

static void check_link(struct reader *reader, const struct config_link *link, cfg_t *tree)
{
    check_link_tls(reader, link, tree);
    check_order(reader, tree, "reconnect-min", link->reconnect_min, "reconnect-max", link->reconnect_max);
    warn_credentials(reader, tree, link->system_id, link->password);
    if (link->credentials == CREDENTIALS_OWN && !given(tree, "system-id"))
        fault_add(
            &reader->faults, file_line(tree, "credentials"),
            "link \"%s\" has credentials = own but no system-id; give one, or credentials = client or pass",
            link->name);
    if (link->credentials != CREDENTIALS_OWN && given(tree, "system-id"))
        fault_add(&reader->warnings, file_line(tree, "system-id"),
                  "system-id is used with credentials = own alone");
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void check_shortcodes(struct reader *reader, struct config_client *client, cfg_t *tree)
{
    int line = file_line(tree, "shortcodes");
    for (size_t i = 0; i < client->shortcodes_count; i++)
        client->any_shortcode |= strcmp(client->shortcodes[i], "*") == 0;
    if (client->any_shortcode && client->shortcodes_count > 1)
        fault_add(&reader->faults, line, "shortcodes has \"*\" among others; it means any and stands alone");
    if (client->shortcodes_count > 0)
        qsort(client->shortcodes, client->shortcodes_count, sizeof client->shortcodes[0], compare_texts);
    for (size_t i = 1; i < client->shortcodes_count; i++) {
        if (strcmp(client->shortcodes[i - 1], client->shortcodes[i]) == 0)
            fault_add(&reader->faults, line, "shortcode \"%s\" is there twice; once is enough",
                      client->shortcodes[i]);
    }
}

static size_t owned_slot(const struct config_client *client, uint64_t packed)
{
    const uint64_t golden = UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(packed * golden >> (64 - client->owned_bits));
}

static bool owns_packed(const struct config_client *client, uint64_t packed)
{
    size_t mask = ((size_t)1 << client->owned_bits) - 1;
    size_t slot = owned_slot(client, packed);
    while (client->owned[slot] != 0 && client->owned[slot] != packed)
        slot = (slot + 1) & mask;
    return packed != 0 && client->owned[slot] == packed;
}

/* What config_client_owns looks at for each message. */
static void make_owned(struct reader *reader, struct config_client *client)
{
    client->owned_bits = 1;
    while ((size_t)1 << client->owned_bits < 2 * client->shortcodes_count)
        client->owned_bits++;
    size_t mask = ((size_t)1 << client->owned_bits) - 1;
    client->owned = calloc(mask + 1, sizeof client->owned[0]);
    if (client->owned == NULL) {
        fault_add(&reader->faults, 0, "there is no memory for it");
        return;
    }
    for (size_t i = 0; i < client->shortcodes_count; i++) {
        size_t len = strlen(client->shortcodes[i]);
        uint64_t packed = len > sizeof packed ? 0 : smpp_pack((const uint8_t *)client->shortcodes[i], len);
        if (packed == 0 || owns_packed(client, packed))
            continue;
        size_t slot = owned_slot(client, packed);
        while (client->owned[slot] != 0)
            slot = (slot + 1) & mask;
        client->owned[slot] = packed;
    }
}

/* --- references --- */

/* The titles of a section's items, for "known are ...". */
static void list_titles(const struct reader *reader, enum option_section section, char *out, size_t cap)
{
    const struct section_row *row = &section_rows[section];
    size_t count = count_of(reader->config, row);
    out[0] = '\0';
    for (size_t i = 0; i < count; i++)
        list_add(out, cap, tree_of(reader, section, i)->title);
}

/* The place of an item by its title; the count where there is none. */
static size_t find_title(const struct reader *reader, enum option_section section, const char *title)
{
    const struct section_row *row = &section_rows[section];
    size_t count = count_of(reader->config, row);
    for (size_t i = 0; i < count && title != NULL; i++) {
        char *name = *(char **)((char *)item_at(reader->config, row, i) + row->title_field);
        if (name != NULL && strcmp(name, title) == 0)
            return i;
    }
    return count;
}

static void report_reference(struct reader *reader, enum option_section section, int line, const char *title)
{
    char known[200];
    list_titles(reader, section, known, sizeof known);
    fault_add(&reader->faults, line, "there is no %s \"%.64s\"; %s%s", section_rows[section].name, title,
              known[0] == '\0' ? "there is none at all" : "known: ", known);
}

/* NAME_NONE with a fault, or silently where the option itself is missing or wrong, which was reported before.
 */
static uint8_t refer(struct reader *reader, enum option_section section, cfg_t *tree, const char *option,
                     const char *title)
{
    if (title == NULL || title[0] == '\0')
        return NAME_NONE;
    if (find_title(reader, section, title) < count_of(reader->config, &section_rows[section]))
        return names_find(&reader->names, title);
    report_reference(reader, section, file_line(tree, option), title);
    return NAME_NONE;
}

static uint8_t number_name(struct reader *reader, enum option_section section, size_t index, const char *name)
{
    uint8_t id = name == NULL ? NAME_NONE : names_intern(&reader->names, name);
    if (id == NAME_NONE && reader->names.count >= NAME_NUMBER)
        fault_add(
            &reader->faults, file_line(tree_of(reader, section, index), NULL),
            "%s \"%.40s\" is one name too many: %d of carriers and platforms are allowed in the life of a "
            "process; a restart forgets those not in use",
            section_rows[section].name, name, NAME_NUMBER);
    return id;
}

static void number_names(struct reader *reader)
{
    struct config *config = reader->config;
    for (size_t i = 0; i < config->platforms_count; i++)
        config->platforms[i].id = number_name(reader, SECTION_PLATFORM, i, config->platforms[i].name);
    for (size_t i = 0; i < config->carriers_count; i++) {
        struct config_carrier *carrier = &config->carriers[i];
        carrier->id = number_name(reader, SECTION_CARRIER, i, carrier->name);
        if (carrier->id != NAME_NONE)
            config->carrier_of[carrier->id] = carrier;
    }
}

static void place_link(struct reader *reader, struct config_link *link, cfg_t *tree)
{
    link->carrier = refer(reader, SECTION_CARRIER, tree, "carrier", link->carrier_name);
    link->platform = refer(reader, SECTION_PLATFORM, tree, "platform", link->platform_name);
    if (link->carrier == NAME_NONE || link->platform == NAME_NONE)
        return;
    struct config_link **place = &reader->config->link_of[link->carrier][link->platform];
    if (*place != NULL)
        fault_add(&reader->faults, file_line(tree, NULL),
                  "link \"%s\" is for carrier \"%s\" and platform \"%s\", as link \"%s\" is; one link is "
                  "allowed for "
                  "the two",
                  link->name, link->carrier_name, link->platform_name, (*place)->name);
    else
        *place = link;
}

static void report_prefix(struct reader *reader, const struct config_carrier *carrier, int line,
                          const char *prefix, enum carrier_map_added added)
{
    const struct config *config = reader->config;
    if (added == CARRIER_MAP_NOT_DIGITS) {
        fault_add(&reader->faults, line, "prefix \"%s\" is no number; allowed: 1 to 15 digits", prefix);
    } else if (added == CARRIER_MAP_TAKEN) {
        uint8_t other = carrier_map_find(config->carrier_map, (const uint8_t *)prefix, strlen(prefix));
        fault_add(&reader->faults, line, "prefix \"%s\" of carrier \"%s\" is already that of carrier \"%s\"",
                  prefix, carrier->name, names_get(&reader->names, other));
    } else if (added == CARRIER_MAP_NO_MEMORY) {
        fault_add(&reader->faults, line, "there is no memory for it");
    }
}

/* A wrong value is not in the list that was made of them, so the lines are found by text. */
static int value_line(cfg_t *tree, const char *option, const char *text)
{
    int line = file_line(tree, option);
    for (size_t i = 0; i < file_values(tree, option); i++) {
        const struct file_value *value = file_value(tree, option, i);
        if (value != NULL && strcmp(value->text, text) == 0)
            line = value->line;
    }
    return line;
}

/* A row for national numbers would stand before those that the same numbers have in their international form. */
static void report_national(struct reader *reader, int line, const char *what, const char *number)
{
    char longer[NUMBER_READ_MAX + 1];
    struct number_read read;
    size_t len = strspn(number, "0123456789");
    /* a digit more, since it may be the prefix itself */
    snprintf(longer, sizeof longer, "%.*s1", (int)(len < NUMBER_DIGITS_MAX ? len : NUMBER_DIGITS_MAX),
             number);
    bool reads =
        number_read(&reader->rules, NUMBER_TON_UNKNOWN, (const uint8_t *)longer, strlen(longer), &read);
    if (reads && strcmp(read.digits, longer) != 0)
        fault_add(
            &reader->faults, line,
            "%s \"%.40s\" is not in the international form; allowed: %.*s (country-code, national-prefix and "
            "international-prefix say how others are read)",
            what, number, (int)read.len - 1, read.digits);
}

static void read_rules(struct reader *reader)
{
    struct config *config = reader->config;
    const struct {
        const char *name, *text;
    } rules[] = {{"country-code", config->country_code},
                 {"national-prefix", config->national_prefix},
                 {"international-prefix", config->international_prefix}};
    bool fine = true;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const char *text = rules[i].text;
        if (text == NULL || text[strspn(text, "0123456789")] != '\0' || (i == 0 && *text == '0')) {
            fine = false;
            fault_add(&reader->faults, file_line(reader->tree, rules[i].name),
                      "%s \"%.40s\" is no %s; allowed: %s", rules[i].name, text == NULL ? "" : text,
                      i == 0 ? "country code" : "prefix of digits",
                      i == 0 ? "1 to 3 digits, the first not 0" : "digits");
        }
    }
    reader->rules =
        fine ? number_rules_of(config->country_code, config->national_prefix, config->international_prefix)
             : number_rules_of(NULL, NULL, NULL);
    carrier_map_set_rules(config->carrier_map, &reader->rules);
}

/* From carriers as a table numbers them to ours. */
static void call_carriers(struct reader *reader, struct numbers *numbers, int line, const char *what)
{
    unsigned count = numbers_about(numbers).carriers;
    for (unsigned i = 0; i < count; i++) {
        const char *name = numbers_carrier(numbers, i);
        uint8_t id = names_find(&reader->names, name);
        bool ours = id != NAME_NONE && reader->config->carrier_of[id] != NULL;
        numbers_call(numbers, i, ours ? id : NAME_NONE);
        if (!ours) {
            char known[200];
            list_titles(reader, SECTION_CARRIER, known, sizeof known);
            fault_add(&reader->faults, line,
                      "%s names carrier \"%.64s\", which this file does not have; known: %s", what, name,
                      known);
        }
    }
}

static void read_portability_table(struct reader *reader)
{
    struct config *config = reader->config;
    char error[300], what[FAULT_NAME_MAX];
    int line = file_line(reader->tree, "portability-table");
    if (config->portability_table == NULL)
        return;
    snprintf(what, sizeof what, "portability-table \"%.200s\"", config->portability_table);
    config->numbers = numbers_open(config->portability_table, error, sizeof error);
    if (config->numbers == NULL ||
        !numbers_international(config->numbers, &reader->rules, error, sizeof error))
        fault_add(&reader->faults, line, "%s %s", what, error);
    else
        call_carriers(reader, config->numbers, line, what);
}

static void report_override(void *ctx, unsigned line, const char *text)
{
    struct reader *reader = ctx;
    fault_add(&reader->faults, (int)line, "number-overrides: %s", text);
}

/* "NUMBER=CARRIER" */
static void add_override(struct reader *reader, struct numbers_builder *builder, const char *text)
{
    int line = value_line(reader->tree, "number-overrides", text);
    const char *equals = strchr(text, '=');
    char *number = equals == NULL ? NULL : strndup(text, (size_t)(equals - text));
    const char *wrong = number == NULL ? "is no NUMBER=CARRIER"
                                       : numbers_builder_add(builder, number, equals + 1, (unsigned)line);
    if (wrong != NULL)
        fault_add(&reader->faults, line, "number-overrides: \"%.80s\" %s", text, wrong);
    else
        report_national(reader, line, "number-overrides:", number + (*number == '+'));
    free(number);
}

static void read_overrides(struct reader *reader)
{
    struct config *config = reader->config;
    struct numbers_image image;
    char error[200];
    if (config->number_overrides_count == 0)
        return;
    struct numbers_builder *builder = numbers_builder_new();
    for (size_t i = 0; builder != NULL && i < config->number_overrides_count; i++)
        add_override(reader, builder, config->number_overrides[i]);
    if (builder == NULL)
        fault_add(&reader->faults, 0, "there is no memory for it");
    else if (numbers_build(builder, "number-overrides", 0, report_override, reader, &image))
        config->overrides = numbers_adopt(image.data, image.size, error, sizeof error);
    numbers_builder_free(builder);
    if (config->overrides != NULL)
        call_carriers(reader, config->overrides, file_line(reader->tree, "number-overrides"),
                      "number-overrides");
}

static void map_carriers(struct reader *reader)
{
    struct config *config = reader->config;
    uint8_t standard =
        refer(reader, SECTION_CARRIER, reader->tree, "default-carrier", config->default_carrier);
    config->carrier_map = carrier_map_new(standard);
    if (config->carrier_map == NULL) {
        fault_add(&reader->faults, 0, "there is no memory for it");
        return;
    }
    read_rules(reader);
    read_portability_table(reader);
    read_overrides(reader);
    carrier_map_set_numbers(config->carrier_map, config->overrides, config->numbers);
    for (size_t i = 0; i < config->carriers_count; i++) {
        const struct config_carrier *carrier = &config->carriers[i];
        for (size_t p = 0; p < carrier->prefixes_count && carrier->id != NAME_NONE; p++) {
            enum carrier_map_added added =
                carrier_map_add(config->carrier_map, carrier->prefixes[p], carrier->id);
            report_prefix(reader, carrier,
                          value_line(tree_of(reader, SECTION_CARRIER, i), "prefixes", carrier->prefixes[p]),
                          carrier->prefixes[p], added);
            if (added == CARRIER_MAP_ADDED)
                report_national(
                    reader, value_line(tree_of(reader, SECTION_CARRIER, i), "prefixes", carrier->prefixes[p]),
                    "prefix", carrier->prefixes[p]);
        }
    }
}

/* The link's place in the file for now; its number is given last. */
static void place_upstream(struct reader *reader, struct config_upstream *upstream, cfg_t *tree)
{
    size_t at = find_title(reader, SECTION_LINK, upstream->link_name);
    upstream->link = (unsigned)at;
    warn_credentials(reader, tree, upstream->system_id, upstream->password);
    if (at == reader->config->links_count)
        report_reference(reader, SECTION_LINK, file_line(tree, NULL), tree->title);
    else if (reader->config->links[at].credentials != CREDENTIALS_CLIENT)
        fault_add(&reader->warnings, file_line(tree, NULL),
                  "upstream \"%s\" is not used: the link has not credentials = client", tree->title);
}

/* An account may be opened at one platform after the other, so this is allowed; but nobody shall find out by
 * a flip. */
static void warn_without_upstream(struct reader *reader, const struct config_client *client, cfg_t *tree)
{
    char names[200] = "";
    for (size_t i = 0; i < reader->config->links_count; i++) {
        const struct config_link *link = &reader->config->links[i];
        bool has = link->credentials != CREDENTIALS_CLIENT;
        for (size_t u = 0; u < client->upstreams_count && !has; u++)
            has = client->upstreams[u].link == i;
        if (!has)
            list_add(names, sizeof names, link->name);
    }
    if (names[0] != '\0')
        fault_add(
            &reader->warnings, file_line(tree, NULL),
            "client \"%s\" cannot use %s: credentials = client there, and it has no such upstream section",
            client->system_id, names);
}

static void check_client(struct reader *reader, struct config_client *client, cfg_t *tree)
{
    check_shortcodes(reader, client, tree);
    make_owned(reader, client);
    for (size_t i = 0; i < client->upstreams_count; i++)
        place_upstream(reader, &client->upstreams[i], cfg_getnsec(tree, "upstream", (unsigned)i));
    warn_without_upstream(reader, client, tree);
}

static void check_there(struct reader *reader, enum option_section section)
{
    const struct section_row *row = &section_rows[section];
    if (count_of(reader->config, row) == 0)
        fault_add(&reader->faults, 0, "has no %s section; at least one is needed: %s \"%s\" { ... }",
                  row->name, row->name, row->title);
}

/* --- hooks --- */

static bool begins(const char *text, const char *first, const char *second)
{
    return strncmp(text, first, strlen(first)) == 0 || strncmp(text, second, strlen(second)) == 0;
}

static void check_webhook(struct reader *reader, const struct config_webhook *webhook, cfg_t *tree)
{
    if (webhook->url != NULL && !begins(webhook->url, "http://", "https://"))
        fault_add(&reader->faults, file_line(tree, "url"), "url is neither http:// nor https://");
    if (webhook->secret == NULL)
        fault_add(&reader->warnings, file_line(tree, NULL),
                  "webhook \"%s\" has no secret: its receiver cannot tell who sent a POST", webhook->name);
}

static void check_addresses(struct reader *reader, cfg_t *tree, const char *option)
{
    for (size_t i = 0; i < file_values(tree, option); i++) {
        const struct file_value *value = file_value(tree, option, i);
        if (value != NULL && !hook_mail_address_good(value->text))
            fault_add(&reader->faults, value->line,
                      "%s \"%.80s\" is no address; allowed: such as ops@acme.example", option, value->text);
    }
}

static void add_template_fault(void *ctx, const char *file, int line, const char *what)
{
    struct reader *reader = ctx;
    cfg_t *tree = cfg_getsec(reader->tree, "hooks");
    char place[32] = "";
    if (line > 0)
        snprintf(place, sizeof place, ":%d", line);
    fault_add(&reader->faults, file_line(tree, "mail-templates"), "mail-templates: %s%s: %s", file, place,
              what);
}

static void check_smtp(struct reader *reader, cfg_t *tree)
{
    const struct config *config = reader->config;
    if (config->hooks.smtp != NULL && !begins(config->hooks.smtp, "smtp://", "smtps://"))
        fault_add(&reader->faults, file_line(tree, "smtp"), "smtp is neither smtp:// nor smtps://");
    if ((config->hooks.smtp != NULL) != (config->hooks.mail_from != NULL))
        fault_add(&reader->faults, file_line(tree, config->hooks.smtp != NULL ? "smtp" : "mail-from"),
                  "smtp and mail-from go together; give both or none");
    if ((config->hooks.smtp_user != NULL) != (config->hooks.smtp_password != NULL))
        fault_add(&reader->faults, file_line(tree, config->hooks.smtp_user != NULL ? "smtp-user" : NULL),
                  "smtp-user and smtp-password go together; give both or none");
    if (config->hooks.smtp != NULL && config->hooks.smtp_password != NULL &&
        config->hooks.smtp_tls != SMTP_TLS_REQUIRED && strncmp(config->hooks.smtp, "smtps://", 8) != 0)
        fault_add(&reader->warnings, file_line(tree, "smtp-tls"),
                  "smtp-password may go over the network in clear; smtp-tls = required prevents that");
}

static void check_hooks(struct reader *reader)
{
    struct config *config = reader->config;
    cfg_t *tree = cfg_getsec(reader->tree, "hooks");
    check_order(reader, tree, "retry-min", config->hooks.retry_min, "retry-max", config->hooks.retry_max);
    check_smtp(reader, tree);
    check_addresses(reader, tree, "mail-from");
    check_addresses(reader, tree, "mail-always");
    for (size_t i = 0; i < config->webhooks_count; i++)
        check_webhook(reader, &config->webhooks[i], tree_of(reader, SECTION_WEBHOOK, i));
    bool unused = false;
    for (size_t i = 0; i < config->clients_count; i++) {
        cfg_t *client = tree_of(reader, SECTION_CLIENT, i);
        check_addresses(reader, client, "mail");
        if (config->clients[i].mail_count > 0 && config->hooks.smtp == NULL && !unused) {
            fault_add(&reader->warnings, file_line(client, "mail"), "mail is not used: hooks has no smtp");
            unused = true;
        }
    }
    if (config->hooks.mail_templates_directory != NULL)
        hook_templates_read(config->hooks.mail_templates_directory, config->hook_templates,
                            add_template_fault, reader);
}

static void check_config(struct reader *reader)
{
    struct config *config = reader->config;
    check_there(reader, SECTION_LISTENER);
    check_there(reader, SECTION_LINK);
    check_there(reader, SECTION_CLIENT);
    check_general(reader);
    check_redis(reader);
    number_names(reader);
    map_carriers(reader);
    for (size_t i = 0; i < config->listeners_count; i++)
        check_listener(reader, i);
    for (size_t i = 0; i < config->links_count; i++) {
        cfg_t *tree = tree_of(reader, SECTION_LINK, i);
        check_link(reader, &config->links[i], tree);
        place_link(reader, &config->links[i], tree);
    }
    for (size_t i = 0; i < config->clients_count; i++)
        check_client(reader, &config->clients[i], tree_of(reader, SECTION_CLIENT, i));
    check_hooks(reader);
}

/* --- numbers that outlive a reload --- */

struct numbered {
    const char *name;
    unsigned number;
};

/* The names that have numbers, sorted; new ones get the next. */
struct numbering {
    struct numbered *known;
    unsigned count, next;
    char **names; /* by number: the known ones, then room for the new */
};

static int compare_numbered(const void *a, const void *b)
{
    return strcmp(((const struct numbered *)a)->name, ((const struct numbered *)b)->name);
}

static bool numbering_begin(struct numbering *n, char *const *names, unsigned count, size_t more)
{
    n->known = calloc(count + 1, sizeof *n->known);
    n->names = calloc(count + more + 1, sizeof *n->names);
    n->count = n->next = count;
    if (n->known == NULL || n->names == NULL)
        return false;
    for (unsigned i = 0; i < count; i++) {
        n->known[i] = (struct numbered){names[i], i};
        n->names[i] = names[i];
    }
    qsort(n->known, count, sizeof *n->known, compare_numbered);
    return true;
}

/* False without memory. */
static bool numbering_give(struct numbering *n, const char *name, unsigned *number)
{
    struct numbered key = {.name = name};
    const struct numbered *known = bsearch(&key, n->known, n->count, sizeof key, compare_numbered);
    if (known != NULL) {
        *number = known->number;
        return true;
    }
    n->names[n->next] = strdup(name);
    *number = n->next;
    return n->names[n->next++] != NULL;
}

static void numbering_drop(struct numbering *n)
{
    for (unsigned i = n->count; n->names != NULL && i < n->next; i++)
        free(n->names[i]);
    free(n->names);
    free(n->known);
}

static void numbering_keep(struct numbering *n, char ***names, unsigned *count)
{
    free(*names);
    *names = n->names;
    *count = n->next;
    free(n->known);
}

static bool number_links(struct config *config, struct numbering *links)
{
    for (size_t i = 0; i < config->links_count; i++) {
        if (!numbering_give(links, config->links[i].name, &config->links[i].index))
            return false;
    }
    config->link_at_count = links->next;
    config->link_at = calloc(links->next + 1, sizeof(struct config_link *));
    for (size_t i = 0; i < config->links_count && config->link_at != NULL; i++)
        config->link_at[config->links[i].index] = &config->links[i];
    return config->link_at != NULL;
}

static int compare_clients(const void *a, const void *b)
{
    return strcmp(((const struct config_client *)a)->system_id, ((const struct config_client *)b)->system_id);
}

static bool number_clients(struct config *config, struct numbering *clients)
{
    qsort(config->clients, config->clients_count, sizeof config->clients[0], compare_clients);
    for (size_t i = 0; i < config->clients_count; i++) {
        struct config_client *client = &config->clients[i];
        if (!numbering_give(clients, client->system_id, &client->index))
            return false;
        for (size_t u = 0; u < client->upstreams_count; u++)
            client->upstreams[u].link = config->links[client->upstreams[u].link].index;
    }
    config->client_at_count = clients->next;
    config->client_at = calloc(clients->next + 1, sizeof(struct config_client *));
    for (size_t i = 0; i < config->clients_count && config->client_at != NULL; i++)
        config->client_at[config->clients[i].index] = &config->clients[i];
    return config->client_at != NULL;
}

/* Gives the numbers, and writes them into ids only when all of it went well. */
static void commit(struct reader *reader, struct config_ids *ids)
{
    struct config *config = reader->config;
    struct numbering links = {0};
    struct numbering clients = {0};
    bool good = numbering_begin(&links, ids->links, ids->links_count, config->links_count) &&
                numbering_begin(&clients, ids->clients, ids->clients_count, config->clients_count) &&
                number_links(config, &links) && number_clients(config, &clients);
    if (!good)
        fault_add(&reader->faults, 0, "there is no memory for it");
    else if (links.next > CONFIG_LINKS_MAX)
        fault_add(&reader->faults, 0,
                  "has one link too many: %d names of links are allowed in the life of a process; a restart "
                  "forgets "
                  "those not in use",
                  CONFIG_LINKS_MAX);
    if (reader->faults.count > 0 || reader->faults.more) {
        numbering_drop(&links);
        numbering_drop(&clients);
        return;
    }
    numbering_keep(&links, &ids->links, &ids->links_count);
    numbering_keep(&clients, &ids->clients, &ids->clients_count);
    ids->names = reader->names;
}

/* --- the whole --- */

/* The host's name, with what no instance may be called replaced, and the process. */
static void name_instance(struct reader *reader)
{
    char host[64] = "";
    gethostname(host, sizeof host - 1);
    for (char *c = host; *c != '\0'; c++) {
        if (!title_allowed(&section_rows[SECTION_LINK], (char[]){*c, 'x', '\0'}))
            *c = '-';
    }
    if (asprintf(&reader->config->instance, "%s-%ld", host, (long)getpid()) < 0) {
        reader->config->instance = NULL;
        fault_add(&reader->faults, 0, "there is no memory for it");
    }
}

static void keep_warnings(struct reader *reader, const char *file)
{
    enum { WARNINGS_MAX = 65536 };
    if (reader->warnings.count == 0)
        return;
    reader->config->warnings = malloc(WARNINGS_MAX);
    if (reader->config->warnings != NULL)
        faults_print(&reader->warnings, file, reader->config->warnings, WARNINGS_MAX);
}

static void read_into(struct reader *reader, const char *file, struct config_ids *ids)
{
    reader->config->file = strdup(file);
    if (reader->config->file == NULL)
        fault_add(&reader->faults, 0, "there is no memory for it");
    reader->names = ids->names;
    reader->tree = config_file_read(file, &reader->faults, &reader->whole);
    if (reader->tree == NULL)
        return;
    fill_config(reader);
    if (reader->whole)
        check_config(reader);
    if (reader->config->instance == NULL)
        name_instance(reader);
    if (reader->faults.count == 0 && !reader->faults.more)
        commit(reader, ids);
    cfg_free(reader->tree);
}

struct config *config_read(const char *file, struct config_ids *ids, char *error, size_t cap)
{
    if (cap > 0)
        error[0] = '\0';
    struct reader *reader = calloc(1, sizeof *reader);
    struct config *config = calloc(1, sizeof *config);
    if (reader == NULL || config == NULL) {
        snprintf(error, cap, "%s: there is no memory for it", file);
        free(reader);
        free(config);
        return NULL;
    }
    reader->config = config;
    read_into(reader, file, ids);
    if (reader->faults.count > 0 || reader->faults.more) {
        faults_print(&reader->faults, file, error, cap);
        config_free(config);
        config = NULL;
    } else {
        keep_warnings(reader, file);
    }
    faults_free(&reader->faults);
    faults_free(&reader->warnings);
    free(reader);
    return config;
}

static void free_items(enum option_section section, void *parent)
{
    const struct section_row *row = &section_rows[section];
    for (size_t i = 0; i < count_of(parent, row); i++) {
        void *item = item_at(parent, row, i);
        if (section == SECTION_CLIENT) {
            free_items(SECTION_UPSTREAM, item);
            free(((struct config_client *)item)->owned);
        }
        options_free(section, item);
        free(*(char **)((char *)item + row->title_field));
    }
    free(array_of(parent, row));
}

struct config *config_hold(const struct config *config)
{
    struct config *held = (struct config *)(uintptr_t)config; /* it stays as it is, but for its holders */
    atomic_fetch_add(&held->holders, 1);
    return held;
}

bool config_has_hooks(const struct config *config)
{
    return config->webhooks_count > 0 || config->hooks.smtp != NULL;
}

void config_free(struct config *config)
{
    if (config == NULL || atomic_fetch_sub(&config->holders, 1) > 0)
        return;
    hook_templates_free(config->hook_templates);
    for (unsigned i = 0; i < SECTION_COUNT; i++) {
        if (section_rows[i].parent != SECTION_ROOT)
            continue;
        if (section_rows[i].title != NULL)
            free_items((enum option_section)i, config);
        else
            options_free((enum option_section)i, config);
    }
    carrier_map_free(config->carrier_map);
    numbers_close(config->numbers);
    numbers_close(config->overrides);
    free(config->link_at);
    free(config->client_at);
    free(config->warnings);
    free(config->file);
    free(config);
}

void config_ids_free(struct config_ids *ids)
{
    for (unsigned i = 0; i < ids->links_count; i++)
        free(ids->links[i]);
    for (unsigned i = 0; i < ids->clients_count; i++)
        free(ids->clients[i]);
    free(ids->links);
    free(ids->clients);
    memset(ids, 0, sizeof *ids);
}

/* --- questions on the path of a message or bind --- */

/* As strcmp, of a text and octets that have no NUL at their end. */
static int compare_octets(const char *text, const uint8_t *octets, size_t len)
{
    size_t text_len = strlen(text);
    int order = memcmp(text, octets, text_len < len ? text_len : len);
    if (order != 0 || text_len == len)
        return order;
    return text_len < len ? -1 : 1;
}

const struct config_client *config_client(const struct config *config, const uint8_t *system_id, size_t len)
{
    size_t low = 0;
    size_t high = config->clients_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_octets(config->clients[middle].system_id, system_id, len);
        if (order == 0)
            return &config->clients[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool config_client_owns(const struct config_client *client, const uint8_t *shortcode, size_t len)
{
    if (client->any_shortcode)
        return true;
    if (len <= sizeof(uint64_t))
        return owns_packed(client, smpp_pack(shortcode, len));
    size_t low = 0;
    size_t high = client->shortcodes_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_octets(client->shortcodes[middle], shortcode, len);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

struct octets {
    const uint8_t *data;
    unsigned len;
};

/* Of the family that counts: IPv4-mapped IPv6 is IPv4. */
static struct octets address_octets(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return (struct octets){(const uint8_t *)&((const struct sockaddr_in *)address)->sin_addr, 4};
    if (address->sa_family != AF_INET6)
        return (struct octets){NULL, 0};
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(v6))
        return (struct octets){v6->s6_addr + 12, 4};
    return (struct octets){v6->s6_addr, 16};
}

static bool network_has(const struct config_network *network, struct octets address)
{
    struct octets base = address_octets((const struct sockaddr *)&network->base);
    if (base.len != address.len || memcmp(base.data, address.data, network->bits / 8) != 0)
        return false;
    unsigned rest = network->bits % 8;
    if (rest == 0)
        return true;
    unsigned differing = base.data[network->bits / 8] ^ address.data[network->bits / 8];
    return differing >> (8 - rest) == 0;
}

bool config_client_allows(const struct config_client *client, const struct sockaddr *address)
{
    if (client->networks_count == 0)
        return true;
    struct octets octets = address == NULL ? (struct octets){NULL, 0} : address_octets(address);
    for (size_t i = 0; i < client->networks_count && octets.len > 0; i++) {
        if (network_has(&client->networks[i], octets))
            return true;
    }
    return false;
}

const struct config_upstream *config_upstream(const struct config_client *client, unsigned link)
{
    for (size_t i = 0; i < client->upstreams_count; i++) {
        if (client->upstreams[i].link == link)
            return &client->upstreams[i];
    }
    return NULL;
}

/* --- what a reload cannot change --- */

static void add_name(char *out, size_t cap, const char *name)
{
    size_t at = strlen(out);
    snprintf(out + at, cap - at, "%s%s", at == 0 ? "" : ", ", name);
}

static bool rows_differ(enum option_section section, const void *old, const void *now)
{
    for (const struct option_row *row = options_next(section, NULL); row; row = options_next(section, row)) {
        if (row->restart && !option_equal(row, old, now))
            return true;
    }
    return false;
}

static bool listeners_differ(const struct config *old, const struct config *now)
{
    if (old->listeners_count != now->listeners_count)
        return true;
    for (size_t i = 0; i < old->listeners_count; i++) {
        if (strcmp(old->listeners[i].name, now->listeners[i].name) != 0 ||
            rows_differ(SECTION_LISTENER, &old->listeners[i], &now->listeners[i]))
            return true;
    }
    return false;
}

void config_needs_restart(const struct config *old, const struct config *now, char *out, size_t cap)
{
    if (cap == 0)
        return;
    out[0] = '\0';
    for (const struct option_row *row = options_next(SECTION_ROOT, NULL); row;
         row = options_next(SECTION_ROOT, row)) {
        if (row->restart && !option_equal(row, old, now))
            add_name(out, cap, row->name);
    }
    if (listeners_differ(old, now))
        add_name(out, cap, "listener");
    for (unsigned i = SECTION_REDIS; i < SECTION_COUNT; i++) {
        if (rows_differ((enum option_section)i, old, now))
            add_name(out, cap, section_rows[i].name);
    }
}

void config_print_options(FILE *out, bool markdown)
{
    options_print(out, markdown);
}
