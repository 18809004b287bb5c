/* See mail.h. */
#include "proxy/hooks/mail.h"

#include <ctype.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proxy/hooks/sign.h"
#include "proxy/hooks/template.h"
#include "proxy/hooks/zone.h"
#include "proxy/memory_text.h"
#include "proxy/utf8.h"

/* What is named of a change of many shortcodes; the rest is counted. */
enum { LISTED_MAX = 50, LINES_LISTED_MAX = 200 };
/* RFC 5321, 4.5.3.1: 64 octets before the @, 255 behind it. */
enum { LOCAL_PART_MAX = 64, DOMAIN_MAX = 255 };

/* --- audiences ------------------------------------------------------------------------------------------- */

static bool add_cell(struct hook_audience *audience, const struct hook_cell *cell)
{
    size_t count = audience->cells_count;
    if ((count & (count - 1)) == 0) { /* full: it grows by powers of two */
        const struct hook_cell **cells =
            reallocarray(audience->cells, count == 0 ? 1 : 2 * count, sizeof(struct hook_cell *));
        if (cells == NULL) {
            return false;
        }
        audience->cells = cells;
    }
    audience->cells[audience->cells_count++] = cell;
    return true;
}

/* An item for each client of the config at first, in its order; the operator is the last. */
static bool add_to_clients(struct hook_audiences *all, const struct config *config,
                           const struct owners *owners, const struct hook_cell *cell)
{
    size_t owners_count;
    const struct owner *owner =
        owners_of(owners, (const uint8_t *)cell->shortcode, strlen(cell->shortcode), &owners_count);
    bool fine = true;
    for (size_t i = 0; i < owners_count; i++) {
        fine = add_cell(&all->items[owner[i].client - config->clients], cell) && fine;
    }
    for (size_t i = 0; owners_count == 0 && i < config->clients_count; i++) {
        fine = (!config->clients[i].any_shortcode || add_cell(&all->items[i], cell)) && fine;
    }
    return fine;
}

/* Those with no address or nothing to be told are dropped. An operator is told of events without cells, too. */
static void keep_concerned(struct hook_audiences *all)
{
    size_t kept = 0;
    for (size_t i = 0; i < all->count; i++) {
        struct hook_audience *item = &all->items[i];
        if (item->addresses_count > 0 && (item->client == NULL || item->cells_count > 0)) {
            all->items[kept++] = *item;
        } else {
            free(item->cells);
        }
    }
    all->count = kept;
}

struct hook_audiences *hook_audiences_new(const struct config *config, const struct owners *owners,
                                          const struct hook_event *event)
{
    size_t count = config->clients_count + 1;
    struct hook_audiences *all = calloc(1, sizeof *all + count * sizeof all->items[0]);
    if (all == NULL) {
        return NULL;
    }
    all->count = count;
    for (size_t i = 0; i < config->clients_count; i++) {
        all->items[i].client = &config->clients[i];
        all->items[i].addresses = config->clients[i].mail;
        all->items[i].addresses_count =
            config->hooks.client_events & 1U << event->kind ? config->clients[i].mail_count : 0;
    }
    struct hook_audience *operator= & all->items[config->clients_count];
    operator->addresses = config->hooks.mail_always;
    operator->addresses_count = config->hooks.mail_always_count;
    bool fine = true;
    for (size_t i = 0; i < event->cells_count; i++) {
        fine = fine && add_to_clients(all, config, owners, &event->cells[i]) &&
               add_cell(operator, & event->cells[i]);
    }
    keep_concerned(all);
    if (!fine) {
        hook_audiences_free(all);
        return NULL;
    }
    return all;
}

void hook_audiences_free(struct hook_audiences *audiences)
{
    for (size_t i = 0; audiences != NULL && i < audiences->count; i++) {
        free(audiences->items[i].cells);
    }
    free(audiences);
}

/* --- values of the placeholders -------------------------------------------------------------------------- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The different values of a member of the cells: "5001, 5002 and 3 more". */
static char *list_member(const struct hook_audience *audience, size_t member)
{
    size_t count = 0, different = 0;
    const char **texts = calloc(audience->cells_count + 1, sizeof *texts);
    struct memory_text list;
    FILE *out = texts == NULL ? NULL : memory_text_open(&list);
    for (size_t i = 0; texts != NULL && i < audience->cells_count; i++) {
        const char *text = *(const char *const *)((const char *)audience->cells[i] + member);
        if (strcmp(text, "-") != 0) {
            texts[count++] = text;
        }
    }
    if (count > 0) {
        qsort(texts, count, sizeof *texts, compare_texts);
    }
    for (size_t i = 0; out != NULL && i < count; i++) {
        if (i > 0 && strcmp(texts[i - 1], texts[i]) == 0) {
            continue;
        }
        if (different++ < LISTED_MAX) {
            fprintf(out, "%s%s", different > 1 ? ", " : "", texts[i]);
        }
    }
    if (out != NULL && different > LISTED_MAX) {
        fprintf(out, " and %zu more", different - LISTED_MAX);
    } else if (out != NULL && different == 0) {
        fputc('-', out);
    }
    free(texts);
    return out == NULL ? NULL : memory_text_close(&list, NULL);
}

static void put_cell(FILE *out, const struct hook_cell *cell)
{
    fprintf(out, "  %s %s: ", cell->shortcode, cell->carrier);
    if (strcmp(cell->from, "-") != 0 && strcmp(cell->from, cell->to) != 0) {
        fprintf(out, "%s -> ", cell->from);
    }
    fputs(strcmp(cell->to, "-") == 0 ? "the default" : cell->to, out);
    if (strcmp(cell->state, "open") != 0 && strcmp(cell->state, "-") != 0) {
        fprintf(out, " (%s)", cell->state);
    }
}

static char *list_cells(const struct hook_audience *audience)
{
    struct memory_text list;
    FILE *out = memory_text_open(&list);
    for (size_t i = 0; out != NULL && i < audience->cells_count && i < LINES_LISTED_MAX; i++) {
        fputs(i > 0 ? "\n" : "", out);
        put_cell(out, audience->cells[i]);
    }
    if (out != NULL && audience->cells_count > LINES_LISTED_MAX) {
        fprintf(out, "\n  and %zu more", audience->cells_count - LINES_LISTED_MAX);
    }
    return out == NULL ? NULL : memory_text_close(&list, NULL);
}

static const char *or_dash(const char *text)
{
    return text[0] == '\0' ? "-" : text;
}

struct values {
    const char *of[PLACE_COUNT];
    char *made[PLACE_COUNT]; /* of them, those to be freed */
    char at[HOOK_ZONE_TEXT_SIZE], version[24];
};

static void values_free(struct values *v)
{
    for (unsigned i = 0; i < PLACE_COUNT; i++) {
        free(v->made[i]);
    }
}

static bool make_lists(struct values *v, const struct hook_audience *audience)
{
    v->made[PLACE_SHORTCODES] = list_member(audience, offsetof(struct hook_cell, shortcode));
    v->made[PLACE_CARRIER] = list_member(audience, offsetof(struct hook_cell, carrier));
    v->made[PLACE_FROM] = list_member(audience, offsetof(struct hook_cell, from));
    v->made[PLACE_TO] = list_member(audience, offsetof(struct hook_cell, to));
    v->made[PLACE_STATE] = list_member(audience, offsetof(struct hook_cell, state));
    v->made[PLACE_CELLS] = list_cells(audience);
    static const enum hook_place lists[] = {PLACE_SHORTCODES, PLACE_CARRIER, PLACE_FROM,
                                            PLACE_TO,         PLACE_STATE,   PLACE_CELLS};
    bool fine = true;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        v->of[lists[i]] = v->made[lists[i]];
        fine = fine && v->made[lists[i]] != NULL;
    }
    return fine;
}

/* False without memory. The event's sentence may name shortcodes of others: a client gets it only where all cells are
 * its own. */
static bool values_make(struct values *v, const struct config *config, const struct hook_event *event,
                        const struct hook_audience *audience)
{
    bool all_its_own = audience->client == NULL || audience->cells_count == event->cells_count;
    *v = (struct values){.of = {[PLACE_EVENT] = hook_kind_name(event->kind)}};
    if (!hook_zone_text(event->zone, event->at_ms, v->at)) {
        hook_time_text(event->at_ms, v->at);
    }
    snprintf(v->version, sizeof v->version, "%" PRIu64, event->version);
    v->of[PLACE_WINDOW] = or_dash(event->window);
    v->of[PLACE_AT] = v->at;
    v->of[PLACE_WHO] = or_dash(event->who);
    v->of[PLACE_WHY] = or_dash(event->why);
    v->of[PLACE_TICKET] = or_dash(event->ticket);
    v->of[PLACE_TEXT] = all_its_own ? or_dash(event->text) : "-";
    v->of[PLACE_VERSION] = v->version;
    v->of[PLACE_CLIENT] = audience->client == NULL ? "operator" : audience->client->system_id;
    v->of[PLACE_INSTANCE] = config->instance;
    return make_lists(v, audience);
}

/* --- headers --------------------------------------------------------------------------------------------- */

enum {
    SUBJECT_MAX = 255,
    /* Of encoded words, so that their lines have 76 characters at most (RFC 2047, 2), with "Subject: " in the first. */
    FIRST_WORD_OCTETS = 36,
    WORD_OCTETS = 45,
};

static bool is_plain(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c < ' ' || *c > '~') {
            return false;
        }
    }
    return strstr(text, "=?") == NULL;
}

static void put_base64(FILE *out, const uint8_t *data, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < len; i += 3) {
        uint32_t three = (uint32_t)data[i] << 16 | (i + 1 < len ? (uint32_t)data[i + 1] << 8 : 0) |
                         (i + 2 < len ? data[i + 2] : 0);
        fputc(digits[three >> 18], out);
        fputc(digits[three >> 12 & 63], out);
        fputc(i + 1 < len ? digits[three >> 6 & 63] : '=', out);
        fputc(i + 2 < len ? digits[three & 63] : '=', out);
    }
}

/* As many whole characters as an encoded word takes (RFC 2047, 5 (3): none is divided). */
static size_t word_length(const uint8_t *data, size_t len, size_t max)
{
    size_t used = 0;
    while (used < len) {
        size_t n = utf8_length(data + used, len - used);
        if (used + n > max) {
            break;
        }
        used += n;
    }
    return used;
}

static void put_words(FILE *out, const char *text)
{
    const uint8_t *data = (const uint8_t *)text;
    size_t len = strlen(text);
    for (size_t at = 0; at < len;) {
        size_t n = word_length(data + at, len - at, at == 0 ? FIRST_WORD_OCTETS : WORD_OCTETS);
        fputs(at == 0 ? "=?UTF-8?B?" : "\r\n =?UTF-8?B?", out);
        put_base64(out, data + at, n);
        fputs("?=", out);
        at += n;
    }
}

/* text is clean; it is cut between two characters. */
static void cut(char *text)
{
    size_t len = strlen(text);
    if (len > SUBJECT_MAX) {
        len = SUBJECT_MAX;
        while (((uint8_t)text[len] & 0xC0) == 0x80) {
            len--;
        }
        text[len] = '\0';
    }
}

char *hook_mail_header(const char *text)
{
    char *clean = hook_text_clean(text);
    struct memory_text made;
    FILE *out = clean == NULL ? NULL : memory_text_open(&made);
    if (out != NULL) {
        cut(clean);
        if (is_plain(clean)) {
            fputs(clean, out);
        } else {
            put_words(out, clean);
        }
    }
    free(clean);
    return out == NULL ? NULL : memory_text_close(&made, NULL);
}

bool hook_mail_address_good(const char *address)
{
    const char *at = strrchr(address, '@');
    for (const char *c = address; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~' || strchr("()<>[]:;,\\\"", *c) != NULL) {
            return false;
        }
    }
    return at != NULL && at != address && at[1] != '\0' && strchr(address, '@') == at &&
           at - address <= LOCAL_PART_MAX && strlen(at + 1) <= DOMAIN_MAX;
}

static void put_date(FILE *out, uint64_t now)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)now;
    struct tm tm = {0};
    gmtime_r(&seconds, &tm);
    fprintf(out, "Date: %s, %02d %s %04d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday], tm.tm_mday,
            months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void put_message_id(FILE *out, const struct config *config, const struct hook_event *event,
                           const struct hook_audience *audience)
{
    enum { SHOWN = 16 };
    char hex[HOOK_HEX_SIZE] = "";
    hook_digest(audience->client == NULL ? "" : audience->client->system_id, hex);
    const char *domain = strchr(config->hooks.mail_from, '@');
    fputs("Message-ID: <", out);
    for (const char *c = event->id; *c != '\0'; c++) {
        fputc(isalnum((unsigned char)*c) || *c == '-' ? *c : '.', out);
    }
    fprintf(out, ".%.*s.turnout%s>\r\n", SHOWN, hex, domain == NULL ? "@localhost" : domain);
}

static void put_headers(FILE *out, const struct config *config, const struct hook_event *event,
                        const struct hook_audience *audience, const char *subject)
{
    fprintf(out, "From: <%s>\r\nTo: ", config->hooks.mail_from);
    for (size_t i = 0; i < audience->addresses_count; i++) {
        fprintf(out, "%s<%s>", i > 0 ? ",\r\n " : "", audience->addresses[i]);
    }
    fprintf(out, "\r\nSubject: %s\r\n", subject);
    fprintf(out, "X-Turnout-Event: %s\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n",
            hook_kind_name(event->kind));
    fputs("Content-Type: text/plain; charset=utf-8\r\n", out);
    put_message_id(out, config, event, audience);
}

/* --- the body -------------------------------------------------------------------------------------------- */

enum { QUOTED_LINE_MAX = 76 /* RFC 2045, 6.7 (5) */ };

static bool body_is_plain(const char *body)
{
    size_t line = 0;
    for (const char *c = body; *c != '\0'; c++) {
        line = *c == '\n' ? 0 : line + 1;
        if (line > QUOTED_LINE_MAX || *c > '~' || (*c < ' ' && *c != '\n')) {
            return false;
        }
    }
    return true;
}

static void put_plain(FILE *out, const char *body)
{
    for (const char *c = body; *c != '\0'; c++) {
        fputs(*c == '\n' ? "\r\n" : (char[]){*c, '\0'}, out);
    }
}

/* RFC 2045, 6.7: what is no printable ASCII, and blanks before a line's end, as =XX. */
static void put_quoted(FILE *out, const char *body)
{
    size_t used = 0;
    for (const unsigned char *c = (const unsigned char *)body; *c != '\0'; c++) {
        bool literal = (*c > ' ' && *c <= '~' && *c != '=') || (*c == ' ' && c[1] != '\n' && c[1] != '\0');
        size_t width = literal ? 1 : 3;
        if (*c == '\n') {
            fputs("\r\n", out);
            used = 0;
            continue;
        }
        if (used + width > QUOTED_LINE_MAX - 1) {
            fputs("=\r\n", out);
            used = 0;
        }
        fprintf(out, literal ? "%c" : "=%02X", *c);
        used += width;
    }
}

/* --- the message ----------------------------------------------------------------------------------------- */

/* What the config says of all kinds, else the file of the kind, else what comes with the program. */
static struct hook_template template_of(const struct config *config, const struct hook_event *event,
                                        const struct hook_audience *audience)
{
    unsigned index = audience->client == NULL ? TEMPLATE_OPERATOR : (unsigned)event->kind;
    const struct hook_template *file = &config->hook_templates[index];
    struct hook_template found = file->subject != NULL ? *file : hook_templates_standard[index];
    if (audience->client != NULL && config->hooks.mail_subject != NULL) {
        found.subject = config->hooks.mail_subject;
    }
    if (audience->client != NULL && config->hooks.mail_body != NULL) {
        found.body = config->hooks.mail_body;
    }
    return found;
}

static void put_body(FILE *out, const struct hook_event *event, const char *body)
{
    static const char test[] = "This is a test: nothing has happened.\n\n";
    bool plain = body_is_plain(body);
    fprintf(out, "Content-Transfer-Encoding: %s\r\n\r\n", plain ? "7bit" : "quoted-printable");
    put_plain(out, event->test ? test : "");
    if (plain) {
        put_plain(out, body);
    } else {
        put_quoted(out, body);
    }
    fputs(body[0] == '\0' || body[strlen(body) - 1] != '\n' ? "\r\n" : "", out);
}

static char *prefixed(const struct hook_event *event, char *subject)
{
    char *whole = NULL;
    if (subject == NULL || !event->test) {
        return subject;
    }
    if (asprintf(&whole, "[test] %s", subject) < 0) {
        whole = NULL;
    }
    free(subject);
    return whole;
}

char *hook_mail_write(const struct config *config, const struct hook_event *event,
                      const struct hook_audience *audience, uint64_t now, size_t *len)
{
    struct values values;
    struct hook_template template = template_of(config, event, audience);
    bool fine = values_make(&values, config, event, audience);
    char *subject = fine ? prefixed(event, hook_template_expand(template.subject, values.of)) : NULL;
    char *body = fine ? hook_template_expand(template.body, values.of) : NULL;
    char *header = subject == NULL ? NULL : hook_mail_header(subject);
    struct memory_text message;
    FILE *out = header == NULL || body == NULL ? NULL : memory_text_open(&message);
    if (out != NULL) {
        put_date(out, now);
        put_headers(out, config, event, audience, header);
        put_body(out, event, body);
    }
    free(header);
    free(body);
    free(subject);
    values_free(&values);
    return out == NULL ? NULL : memory_text_close(&message, len);
}
