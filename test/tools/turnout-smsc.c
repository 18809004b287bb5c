/* turnout-smsc: simulated carriers that can misbehave.
 *
 *   options ─▶ a config a link ─▶ smsc_add_link ─▶ "ready" lines ─▶ the loop, until quit or a signal */
#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/tools/lib/control.h"
#include "test/tools/lib/smsc.h"

enum { LINKS_MAX = 256, FLUSH_MS = 100, REMEMBER = 65536 };

enum option_key {
    KEY_NAME = 'n',
    KEY_LISTEN = 'l',
    KEY_ACCEPT = 'a',
    KEY_LEDGER = 'L',
    KEY_CONTROL = 'c',
    KEY_TLS = 0x100,
    KEY_CERTIFICATE,
    KEY_KEY,
    KEY_ID_FORMAT,
    KEY_ID_PREFIX,
    KEY_SYSTEM_ID,
    KEY_REMEMBER,
    KEY_STDIN,
    KEY_SETTING, /* and the settings behind it, in their order */
};

struct program {
    struct smsc_config defaults;
    struct smsc_config links[LINKS_MAX];
    size_t link_count;
    const char *control_path;
    bool use_stdin;
    struct smsc smsc;
    struct control *control;
    uv_signal_t signals[2];
    uv_timer_t flush;
};

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "Links:", 1},
    {"name", KEY_NAME, "LINK", 0,
     "Begin a link of this name (CARRIER-PLATFORM, say spark-redx); the options that "
     "follow are its own, those before the first --name are for all",
     0},
    {"listen", KEY_LISTEN, "HOST:PORT", 0, "Where to listen; port 0 is a free one (127.0.0.1:0)", 0},
    {"tls", KEY_TLS, NULL, 0, "Speak TLS (needs --certificate and --key)", 0},
    {"certificate", KEY_CERTIFICATE, "FILE", 0, "PEM certificate chain", 0},
    {"key", KEY_KEY, "FILE", 0, "PEM private key", 0},
    {"accept", KEY_ACCEPT, "ID:PASSWORD,...", 0, "Who may bind; \"any\" (the default) lets everybody in", 0},
    {"system-id", KEY_SYSTEM_ID, "ID", 0, "The system_id in bind answers (turnout-smsc)", 0},
    {"ledger", KEY_LEDGER, "FILE", 0, "Write what happens, a line an event; links may share a file", 0},
    {"id-format", KEY_ID_FORMAT, "FORMAT", 0, "Message ids: hex (default), upper, decimal, padded or uuid",
     0},
    {"id-prefix", KEY_ID_PREFIX, "TEXT", 0, "Put before every message id", 0},
    {"remember", KEY_REMEMBER, "N", 0,
     "Messages that query_sm, cancel_sm and replace_sm can ask about (65536)", 0},
    {NULL, 0, NULL, 0, "Process:", 2},
    {"control", KEY_CONTROL, "PATH", 0, "Take commands on this unix socket", 0},
    {"stdin", KEY_STDIN, NULL, 0, "Take commands on standard input too; its end ends the program", 0},
    {NULL, 0, NULL, 0,
     "Behaviour (settings; of links, and as commands while it runs; quote several words). A value may be "
     "followed by "
     "a share: \"10%\" (of messages, at random), \"next 5\", or both:",
     3},
#define SMSC_SETTING_OPTION(id, name, kind, arguments, help) \
    {name, KEY_SETTING + (id), "\"" arguments " [SHARE]\"", 0, help, 0},
    SMSC_SETTINGS(SMSC_SETTING_OPTION)
#undef SMSC_SETTING_OPTION
        {NULL, 0, NULL, 0, NULL, 0},
};

static const char doc[] =
    "Simulates one or more carriers' SMSCs, well-behaved or not, to rehearse a cutover with.\v"
    "Prints \"ready name=LINK port=PORT\" for each link when it listens. Example, two carriers, the second "
    "one slow "
    "and refusing one message in ten:\n\n"
    "  turnout-smsc --control /tmp/smsc.sock --ledger smsc.ledger \\\n"
    "      --name spark-redx --listen 127.0.0.1:2775 \\\n"
    "      --name onenz-redx --listen 127.0.0.1:2776 \\\n"
    "      --delay \"50ms 20ms\" --submit-status \"0x58 10%\"\n\n"
    "  echo 'mo acme 6427xxxxxxx 3001 10' | socat - UNIX-CONNECT:/tmp/smsc.sock\n";

/* --- options -----------------------------------------------------------------------------------------------
 */

static struct smsc_config *current(struct program *p)
{
    return p->link_count == 0 ? &p->defaults : &p->links[p->link_count - 1];
}

static void begin_link(struct program *p, const char *name, struct argp_state *state)
{
    if (p->link_count == LINKS_MAX) {
        argp_error(state, "more than %d links", LINKS_MAX);
        return;
    }
    p->links[p->link_count] = p->defaults;
    p->links[p->link_count++].name = name;
}

static void apply_setting(struct smsc_config *config, enum smsc_setting id, const char *value,
                          struct argp_state *state)
{
    struct words words;
    char *line = tools_copy(value == NULL ? "" : value);
    if (!words_split(line, &words) || !setting_apply(&config->settings[id], id, &words)) {
        argp_error(state, "--%s wants \"%s [SHARE]\" or \"off\", not \"%s\"", setting_rows[id].name,
                   setting_rows[id].arguments, value);
    }
    free(line);
}

static error_t link_option(struct smsc_config *config, int key, char *value, struct argp_state *state)
{
    switch (key) {
    case KEY_LISTEN: config->listen = value; break;
    case KEY_TLS: config->tls = true; break;
    case KEY_CERTIFICATE: config->certificate = value; break;
    case KEY_KEY: config->key = value; break;
    case KEY_ACCEPT: config->accept = value; break;
    case KEY_SYSTEM_ID: config->system_id = value; break;
    case KEY_LEDGER: config->ledger = value; break;
    case KEY_ID_PREFIX: config->id_prefix = value; break;
    case KEY_ID_FORMAT:
        if (!id_format_parse(value, &config->id_format)) {
            argp_error(state, "unknown --id-format: %s", value);
        }
        break;
    case KEY_REMEMBER:
        if (!word_number(value, &config->remember) || config->remember > (UINT64_C(1) << 32)) {
            argp_error(state, "--remember wants a number");
        }
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void check_links(struct program *p, struct argp_state *state)
{
    if (p->link_count == 0) {
        begin_link(p, p->defaults.name, state);
    }
    for (size_t i = 0; i < p->link_count; i++) {
        const struct smsc_config *config = &p->links[i];
        if (config->tls && (config->certificate == NULL || config->key == NULL)) {
            argp_error(state, "%s: --tls needs --certificate and --key", config->name);
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(config->name, p->links[j].name) == 0) {
                argp_error(state, "two links are named %s", config->name);
            }
        }
    }
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct program *p = state->input;
    if (key >= KEY_SETTING && key < KEY_SETTING + SMSC_SETTING_COUNT) {
        apply_setting(current(p), (enum smsc_setting)(key - KEY_SETTING), value, state);
        return 0;
    }
    switch (key) {
    case KEY_NAME: begin_link(p, value, state); return 0;
    case KEY_CONTROL: p->control_path = value; return 0;
    case KEY_STDIN: p->use_stdin = true; return 0;
    case ARGP_KEY_END: check_links(p, state); return 0;
    default: return link_option(current(p), key, value, state);
    }
}

/* The commands stand at the end of --help. */
static char *help_filter(int key, const char *text, void *input)
{
    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC || text == NULL) {
        return (char *)text;
    }
    char *commands = smsc_command_help();
    char *all = NULL;
    if (asprintf(&all, "%s\n%s", text, commands) < 0) {
        all = NULL;
    }
    free(commands);
    return all;
}

/* --- running -----------------------------------------------------------------------------------------------
 */

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    uv_stop(handle->loop);
}

static void on_input_end(void *context)
{
    struct smsc *smsc = context;
    uv_stop(&smsc->loop);
}

static void on_flush(uv_timer_t *timer)
{
    smsc_flush_ledgers(timer->data);
}

static void start_handles(struct program *p)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < 2; i++) {
        uv_signal_init(&p->smsc.loop, &p->signals[i]);
        uv_signal_start(&p->signals[i], on_signal, numbers[i]);
    }
    uv_timer_init(&p->smsc.loop, &p->flush);
    p->flush.data = &p->smsc;
    uv_timer_start(&p->flush, on_flush, FLUSH_MS, FLUSH_MS);
    p->control = control_new(&p->smsc.loop, smsc_command, &p->smsc);
}

static void end(struct program *p)
{
    smsc_end(&p->smsc);
    control_close(p->control);
    for (size_t i = 0; i < 2; i++) {
        uv_close((uv_handle_t *)&p->signals[i], NULL);
    }
    uv_close((uv_handle_t *)&p->flush, NULL);
    uv_run(&p->smsc.loop, UV_RUN_DEFAULT);
    control_free(p->control);
    smsc_free(&p->smsc);
}

static bool start(struct program *p)
{
    for (size_t i = 0; i < p->link_count; i++) {
        if (!smsc_add_link(&p->smsc, &p->links[i])) {
            return false;
        }
    }
    int error = p->control_path == NULL ? 0 : control_listen(p->control, p->control_path);
    if (error < 0) {
        fprintf(stderr, "cannot listen on %s: %s\n", p->control_path, uv_strerror(error));
        return false;
    }
    for (size_t i = 0; i < p->smsc.link_count; i++) {
        printf("ready name=%s port=%u\n", p->smsc.links[i]->config.name,
               (unsigned)smsc_port(p->smsc.links[i]));
    }
    fflush(stdout);
    if (p->use_stdin) {
        control_stdin(p->control, on_input_end);
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct program p;
    static const struct argp argp = {options, parse, NULL, doc, NULL, help_filter, NULL};
    argp_program_version = "turnout-smsc " TURNOUT_VERSION;
    p.defaults = (struct smsc_config){.name = "smsc",
                                      .listen = "127.0.0.1:0",
                                      .accept = "any",
                                      .id_prefix = "",
                                      .system_id = "turnout-smsc",
                                      .remember = REMEMBER};
    settings_init(p.defaults.settings);
    argp_parse(&argp, argc, argv, 0, NULL, &p);
    signal(SIGPIPE, SIG_IGN);
    smsc_init(&p.smsc);
    start_handles(&p);
    bool started = start(&p);
    if (started) {
        uv_run(&p.smsc.loop, UV_RUN_DEFAULT);
    }
    end(&p);
    return started ? 0 : 1;
}
