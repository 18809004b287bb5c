/* The commands of turnout-smsc: settings, and things to do now.
 *
 *   "[@LINK] NAME arguments" ─▶ a setting? smsc_settings.c ─┬▶ each link meant ─▶ {"ok": true, ...}
 *                            └▶ the table of actions below ─┘ */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smpp/constants.h"
#include "smpp/encode.h"
#include "test/tools/lib/control.h"
#include "test/tools/lib/smsc.h"

enum { RAW_MAX = 256 * 1024, HOST_MAX = 256, UNKNOWN_COMMAND = 0x00000123, STRAY_SEQUENCE = 0x7FFFFFF0 };

#define MARK_GRACE_NS UINT64_C(2000000)

/* An action's result: NULL for ok. */
typedef const char *(*action)(struct smsc_link *link, struct words *words, json_t *reply);

static void count(json_t *reply, const char *name)
{
    json_object_set_new(reply, name, json_integer(json_integer_value(json_object_get(reply, name)) + 1));
}

static const char *word_or(const struct words *words, size_t i, const char *otherwise)
{
    return words->count > i ? words->at[i] : otherwise;
}

/* --- octets to sessions ------------------------------------------------------------------------------------
 */

/* Calls act for every bound session of WHO. */
static void each(struct smsc_link *link, const char *who,
                 void (*act)(struct smsc_session *s, const void *what), const void *what, json_t *reply)
{
    struct smsc_session *s = NULL;
    struct smsc_session *next = NULL;
    for (s = TAILQ_FIRST(&link->sessions); s != NULL; s = next) {
        next = TAILQ_NEXT(s, entry);
        if (s->bind_id != 0 && !s->channel.ending && smsc_session_is(s, who)) {
            count(reply, "sessions");
            act(s, what);
        }
    }
}

static void send_header(struct smsc_session *s, const void *what)
{
    struct smpp_header header = *(const struct smpp_header *)what;
    bool own = header.sequence_number == UINT32_MAX;
    header.sequence_number = own ? smsc_next_sequence(s) : header.sequence_number;
    uint8_t out[SMPP_HEADER_LEN];
    smpp_put_header(out, &header);
    channel_send(&s->channel, out, sizeof(out));
    if (header.command_id == SMPP_UNBIND) {
        s->unbinding = true;
    }
}

static const char *send_plain(struct smsc_link *link, const struct words *words, json_t *reply,
                              uint32_t command_id, uint32_t status, uint32_t sequence_number)
{
    struct smpp_header header = {SMPP_HEADER_LEN, command_id, status, sequence_number};
    each(link, word_or(words, 0, "all"), send_header, &header, reply);
    return NULL;
}

static const char *do_enquire(struct smsc_link *link, struct words *words, json_t *reply)
{
    return send_plain(link, words, reply, SMPP_ENQUIRE_LINK, ESME_ROK, UINT32_MAX);
}

static const char *do_unbind(struct smsc_link *link, struct words *words, json_t *reply)
{
    return send_plain(link, words, reply, SMPP_UNBIND, ESME_ROK, UINT32_MAX);
}

static const char *do_unknown(struct smsc_link *link, struct words *words, json_t *reply)
{
    return send_plain(link, words, reply, UNKNOWN_COMMAND, ESME_ROK, UINT32_MAX);
}

static const char *do_unsolicited(struct smsc_link *link, struct words *words, json_t *reply)
{
    return send_plain(link, words, reply, SMPP_SUBMIT_SM | SMPP_RESPONSE_BIT, ESME_ROK, STRAY_SEQUENCE);
}

static const char *do_nack_zero(struct smsc_link *link, struct words *words, json_t *reply)
{
    return send_plain(link, words, reply, SMPP_GENERIC_NACK, ESME_RUNKNOWNERR, 0);
}

static const char *do_bad_length(struct smsc_link *link, struct words *words, json_t *reply)
{
    uint64_t length = 4;
    if (words->count > 1 && (!word_number(words->at[1], &length) || length > UINT32_MAX)) {
        return "bad-length [WHO] [OCTETS]";
    }
    struct smpp_header header = {(uint32_t)length, SMPP_DELIVER_SM, ESME_ROK, UINT32_MAX};
    each(link, word_or(words, 0, "all"), send_header, &header, reply);
    return NULL;
}

static void send_octets(struct smsc_session *s, const void *what)
{
    const struct buffer *octets = what;
    channel_send(&s->channel, octets->data, octets->len);
}

static const char *do_raw(struct smsc_link *link, struct words *words, json_t *reply)
{
    struct buffer octets = {NULL, 0, 0};
    size_t len = 0;
    if (words->count != 2 || !word_hex(words->at[1], buffer_reserve(&octets, RAW_MAX), RAW_MAX, &len)) {
        buffer_free(&octets);
        return "raw WHO HEX";
    }
    buffer_commit(&octets, len);
    each(link, words->at[0], send_octets, &octets, reply);
    buffer_free(&octets);
    return NULL;
}

static void put_address(struct buffer *out, const char *digits)
{
    buffer_append(out, "\1\1", 2);
    buffer_append(out, digits, strlen(digits) + 1);
}

static const char *do_alert(struct smsc_link *link, struct words *words, json_t *reply)
{
    if (words->count != 3) {
        return "alert WHO SOURCE ESME";
    }
    struct buffer pdu = {NULL, 0, 0};
    buffer_reserve(&pdu, SMPP_HEADER_LEN);
    buffer_commit(&pdu, SMPP_HEADER_LEN);
    put_address(&pdu, words->at[1]);
    put_address(&pdu, words->at[2]);
    struct smpp_header header = {(uint32_t)pdu.len, SMPP_ALERT_NOTIFICATION, ESME_ROK, 1};
    smpp_put_header(pdu.data, &header);
    each(link, words->at[0], send_octets, &pdu, reply);
    buffer_free(&pdu);
    return NULL;
}

static const char *do_outbind(struct smsc_link *link, struct words *words, json_t *reply)
{
    char host[HOST_MAX];
    uint16_t port = 0;
    struct sockaddr_storage address;
    (void)reply;
    if (words->count != 3 || !word_endpoint(words->at[0], host, sizeof(host), &port) ||
        !channel_resolve(host, port, &address)) {
        return "outbind HOST:PORT SYSTEM_ID PASSWORD";
    }
    int error = smsc_outbind(link, (const struct sockaddr *)&address, words->at[1], words->at[2]);
    return error < 0 ? uv_strerror(error) : NULL;
}

/* --- connections -------------------------------------------------------------------------------------------
 */

static const char *do_drop(struct smsc_link *link, struct words *words, json_t *reply)
{
    const char *last = word_or(words, words->count - 1, "");
    bool rst = words->count > 0 && strcmp(last, "rst") == 0;
    if (rst || (words->count > 0 && strcmp(last, "fin") == 0)) {
        words_remove(words, words->count - 1);
    }
    const char *who = word_or(words, 0, "all");
    struct smsc_session *s = NULL;
    struct smsc_session *next = NULL;
    for (s = TAILQ_FIRST(&link->sessions); s != NULL; s = next) {
        next = TAILQ_NEXT(s, entry);
        if (smsc_session_is(s, who) && !s->channel.closing) {
            count(reply, "sessions");
            channel_close(&s->channel, rst ? CHANNEL_RST : CHANNEL_FIN, "dropped by command");
        }
    }
    return NULL;
}

static const char *do_refuse(struct smsc_link *link, struct words *words, json_t *reply)
{
    (void)words;
    (void)reply;
    smsc_refuse(link);
    return NULL;
}

static const char *do_resume(struct smsc_link *link, struct words *words, json_t *reply)
{
    (void)words;
    (void)reply;
    return smsc_listen(link) ? NULL : "cannot listen";
}

/* --- the rest ----------------------------------------------------------------------------------------------
 */

static const char *do_mo(struct smsc_link *link, struct words *words, json_t *reply)
{
    uint64_t number = 1;
    uint64_t rate = 0;
    (void)reply;
    if (words->count < 3 || words->count > 5 || (words->count > 3 && !word_number(words->at[3], &number)) ||
        (words->count > 4 && !word_number(words->at[4], &rate)) ||
        !smsc_mo(link, words->at[0], words->at[1], words->at[2], number, rate)) {
        return "mo WHO SOURCE DEST [COUNT] [RATE]";
    }
    return NULL;
}

static const char *do_reset(struct smsc_link *link, struct words *words, json_t *reply)
{
    (void)words;
    (void)reply;
    memcpy(link->settings, link->config.settings, sizeof(link->settings));
    for (int i = 0; i < SMSC_SETTING_COUNT; i++) {
        smsc_applied(link, (enum smsc_setting)i);
    }
    return NULL;
}

static json_t *setting_json(enum smsc_setting id, const struct setting *setting)
{
    if (!setting->on) {
        return json_false();
    }
    json_t *json = json_pack("{s:I, s:I, s:f}", "value", (json_int_t)setting->value, "second",
                             (json_int_t)setting->second, "percent", setting->share.per_million / 10000.0);
    if (setting_rows[id].kind == TAKES_WORD) {
        char word[32];
        setting_word(id, setting->value, word, sizeof(word));
        json_object_set_new(json, "value", json_string(word));
    }
    if (setting->share.left >= 0) {
        json_object_set_new(json, "left", json_integer(setting->share.left));
    }
    return json;
}

static const char *do_settings(struct smsc_link *link, struct words *words, json_t *reply)
{
    (void)words;
    json_t *all = json_object();
    for (int i = 0; i < SMSC_SETTING_COUNT; i++) {
        json_object_set_new(all, setting_rows[i].name,
                            setting_json((enum smsc_setting)i, &link->settings[i]));
    }
    json_object_set_new(reply, link->config.name, all);
    return NULL;
}

static const struct {
    const char *name;
    const char *arguments;
    const char *help;
    action act;
} actions[] = {
    {"mo", "WHO SOURCE DEST [COUNT] [RATE]",
     "send MO to receiving binds; an x in SOURCE or DEST is a random digit; RATE a second, else as fast as "
     "answered",
     do_mo},
    {"drop", "[WHO] [fin|rst]", "close connections at once", do_drop},
    {"refuse", "", "stop listening: new connections are refused", do_refuse},
    {"resume", "", "listen again", do_resume},
    {"enquire", "[WHO]", "send an enquire_link", do_enquire},
    {"unbind", "[WHO]", "send an unbind, close when it is answered", do_unbind},
    {"outbind", "HOST:PORT SYSTEM_ID PASSWORD", "connect to a client and send an outbind", do_outbind},
    {"alert", "WHO SOURCE ESME", "send an alert_notification", do_alert},
    {"unsolicited", "[WHO]", "send a submit_sm_resp that nobody waits for", do_unsolicited},
    {"unknown", "[WHO]", "send a request with an unknown command_id", do_unknown},
    {"nack-zero", "[WHO]", "send a generic_nack with sequence_number 0", do_nack_zero},
    {"bad-length", "[WHO] [OCTETS]", "send a header whose command_length is OCTETS (4)", do_bad_length},
    {"raw", "WHO HEX", "send these octets as they are", do_raw},
    {"settings", "", "show the settings", do_settings},
    {"reset", "", "all settings back to what the command line said", do_reset},
};

enum { ACTIONS = sizeof(actions) / sizeof(actions[0]) };

static int action_find(const char *name)
{
    for (int i = 0; i < ACTIONS; i++) {
        if (strcmp(name, actions[i].name) == 0) {
            return i;
        }
    }
    return -1;
}

/* One link's part. The words are used up, so each link gets its own. */
static const char *on_link(struct smsc_link *link, const char *name, struct words words, json_t *reply)
{
    int id = setting_find(name);
    if (id < 0) {
        return actions[action_find(name)].act(link, &words, reply);
    }
    if (!setting_apply(&link->settings[id], (enum smsc_setting)id, &words)) {
        return "wrong arguments for this setting, see --help";
    }
    smsc_applied(link, (enum smsc_setting)id);
    return NULL;
}

static json_t *on_links(struct smsc *smsc, struct smsc_link *only, const char *name,
                        const struct words *words)
{
    json_t *reply = control_ok();
    for (size_t i = 0; i < smsc->link_count; i++) {
        struct smsc_link *link = smsc->links[i];
        const char *error = only == NULL || only == link ? on_link(link, name, *words, reply) : NULL;
        if (error != NULL) {
            json_decref(reply);
            return control_error("%s: %s", link->config.name, error);
        }
    }
    return reply;
}

/* --- the process -------------------------------------------------------------------------------------------
 */

static json_t *do_mark(struct smsc *smsc, const struct words *words)
{
    uint64_t grace = MARK_GRACE_NS;
    if (words->count < 1 || words->count > 2 || (words->count == 2 && !word_duration(words->at[1], &grace))) {
        return control_error("mark LABEL [TIME]");
    }
    unsigned left = smsc_mark(smsc, words->at[0], grace);
    json_t *reply = control_ok();
    json_object_set_new(reply, "unread", json_integer(left));
    return reply;
}

struct quit {
    struct defer_item item;
    struct smsc *smsc;
};

static void run_quit(struct defer_item *item, bool cancelled)
{
    struct smsc *smsc = ((struct quit *)item)->smsc;
    free(item);
    if (!cancelled) {
        uv_stop(&smsc->loop);
    }
}

/* The program ends when uv_run comes back, after this answer has been written. */
static json_t *do_quit(struct smsc *smsc)
{
    struct quit *quit = tools_alloc(1, sizeof(*quit));
    quit->item.run = run_quit;
    quit->smsc = smsc;
    defer_add(&smsc->defer, &quit->item, uv_hrtime());
    return control_ok();
}

static json_t *do_help(void)
{
    char *text = smsc_command_help();
    json_t *reply = control_ok();
    json_object_set_new(reply, "help", json_string(text));
    free(text);
    return reply;
}

/* Takes "@LINK" off the front. False where no link has that name. */
static bool take_link(struct smsc *smsc, struct words *words, struct smsc_link **link)
{
    *link = NULL;
    if (words->count == 0 || words->at[0][0] != '@') {
        return true;
    }
    for (size_t i = 0; i < smsc->link_count; i++) {
        if (strcmp(words->at[0] + 1, smsc->links[i]->config.name) == 0) {
            *link = smsc->links[i];
        }
    }
    words_remove(words, 0);
    return *link != NULL;
}

json_t *smsc_command(void *context, char *line)
{
    struct smsc *smsc = context;
    struct words words;
    struct smsc_link *only = NULL;
    if (!words_split(line, &words) || !take_link(smsc, &words, &only)) {
        return control_error("too many words, or no such link");
    }
    if (words.count == 0) {
        return control_error("no command");
    }
    const char *name = words.at[0];
    words_remove(&words, 0);
    if (strcmp(name, "mark") == 0) {
        return do_mark(smsc, &words);
    }
    if (strcmp(name, "stats") == 0) {
        return smsc_stats(smsc, only);
    }
    if (strcmp(name, "quit") == 0) {
        return do_quit(smsc);
    }
    if (strcmp(name, "help") == 0) {
        return do_help();
    }
    if (setting_find(name) < 0 && action_find(name) < 0) {
        return control_error("unknown command: %s", name);
    }
    return on_links(smsc, only, name, &words);
}

char *smsc_command_help(void)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    fputs("Commands (over --control and --stdin), one a line, each answered by one line of JSON:\n\n"
          "  [@LINK] SETTING [VALUES] [SHARE]     any of the settings above; [@LINK] SETTING off\n"
          "  mark LABEL [TIME]                    handle all that the sockets hold (and what comes within "
          "TIME, 2ms),\n"
          "                                       then write a MARK into the ledgers\n"
          "  [@LINK] stats                        counters, and who is bound\n"
          "  help, quit\n",
          out);
    for (int i = 0; i < ACTIONS; i++) {
        fprintf(out, "  [@LINK] %s %s\n                                       %s\n", actions[i].name,
                actions[i].arguments, actions[i].help);
    }
    fputs("\nWithout @LINK a command is for all links of the process. WHO is a system_id, or \"all\".\n",
          out);
    (void)fclose(out);
    return text;
}
