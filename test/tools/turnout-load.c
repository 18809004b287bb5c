/* turnout-load: clients that send messages, receive MO and receipts, and write down what they were told.
 *
 *   options ─▶ load_start ─▶ the loop, until all is done or a signal ─▶ JSON on stdout */
#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smpp/encode.h"
#include "test/tools/lib/control.h"
#include "test/tools/lib/load.h"

enum option_key {
    KEY_CONNECT = 'c',
    KEY_SESSIONS = 's',
    KEY_BIND = 'b',
    KEY_SYSTEM_ID = 'u',
    KEY_PASSWORD = 'p',
    KEY_WINDOW = 'w',
    KEY_RATE = 'r',
    KEY_COUNT = 'n',
    KEY_DURATION = 'd',
    KEY_FROM = 'f',
    KEY_TO = 't',
    KEY_LEDGER = 'L',
    KEY_PROGRESS = 'P',
    KEY_TLS = 0x100,
    KEY_CA,
    KEY_INSECURE,
    KEY_PASSWORD_FILE,
    KEY_SYSTEM_TYPE,
    KEY_ADDRESS_RANGE,
    KEY_VERSION,
    KEY_TON_NPI,
    KEY_SIZE,
    KEY_REGISTERED,
    KEY_DATA_CODING,
    KEY_ESM_CLASS,
    KEY_PAYLOAD,
    KEY_TLV,
    KEY_MO_STATUS,
    KEY_MO_DELAY,
    KEY_MO_SILENCE,
    KEY_RETRY,
    KEY_RETRY_MAX,
    KEY_RETRY_UNANSWERED,
    KEY_TIMEOUT,
    KEY_RECONNECT,
    KEY_ENQUIRE,
    KEY_DRAIN,
    KEY_LINGER,
    KEY_WAIT_RECEIPTS,
    KEY_WAIT_MO,
    KEY_RUN,
    KEY_SEED,
    KEY_CONTROL,
};

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "Connection and bind:", 1},
    {"connect", KEY_CONNECT, "HOST:PORT", 0, "Where the SMSC (or the proxy) is (127.0.0.1:2775)", 0},
    {"tls", KEY_TLS, NULL, 0, "Speak TLS", 0},
    {"ca", KEY_CA, "FILE", 0, "PEM file of the CAs to trust; else the system's", 0},
    {"insecure", KEY_INSECURE, NULL, 0, "Do not check the certificate", 0},
    {"sessions", KEY_SESSIONS, "N", 0, "So many binds, or pairs of binds (1)", 0},
    {"bind", KEY_BIND, "TYPE", 0, "transceiver (default), transmitter, receiver, or pair (one of each)", 0},
    {"system-id", KEY_SYSTEM_ID, "ID", 0, "Who binds (turnout)", 0},
    {"password", KEY_PASSWORD, "PASSWORD", 0, "Its password; better: --password-file, or $TURNOUT_PASSWORD",
     0},
    {"password-file", KEY_PASSWORD_FILE, "FILE", 0, "Read the password from the file's first line", 0},
    {"system-type", KEY_SYSTEM_TYPE, "TEXT", 0, "system_type of the bind", 0},
    {"address-range", KEY_ADDRESS_RANGE, "TEXT", 0, "address_range of the bind", 0},
    {"interface-version", KEY_VERSION, "N", 0, "interface_version of the bind (0x34)", 0},
    {"enquire-link", KEY_ENQUIRE, "TIME", 0, "Send enquire_link this often (30s; 0: never)", 0},
    {"reconnect", KEY_RECONNECT, "TIME", OPTION_ARG_OPTIONAL,
     "Connect again so much (1s) after a connection failed, ended or was refused its bind", 0},
    {NULL, 0, NULL, 0, "Messages:", 2},
    {"from", KEY_FROM, "NUMBERS", 0,
     "Source addresses, such as 3001 or 3001*3,3002: comma-separated, chosen at "
     "random, *N for a weight, x for a random digit (3001)",
     0},
    {"to", KEY_TO, "NUMBERS", 0, "Destinations, in the same way (6427xxxxxxx,6421xxxxxxx,6422xxxxxxx)", 0},
    {"count", KEY_COUNT, "N", 0, "Send so many messages, then end; 0: none, only receive", 0},
    {"duration", KEY_DURATION, "TIME", 0, "Send for so long, then end. Neither: until a signal comes", 0},
    {"rate", KEY_RATE, "N", 0, "Messages a second, over all sessions (0: as fast as they are answered)", 0},
    {"window", KEY_WINDOW, "N", 0, "Unanswered messages a session (10)", 0},
    {"size", KEY_SIZE, "OCTETS", 0, "Length of the text, which begins with its key, K:RUN-SESSION-N; (100)",
     0},
    {"payload", KEY_PAYLOAD, "KIND", 0,
     "text (default): submit_sm with short_message; tlv: with message_payload; "
     "data_sm: data_sm with message_payload",
     0},
    {"registered-delivery", KEY_REGISTERED, "N", 0, "1 asks for receipts (0)", 0},
    {"data-coding", KEY_DATA_CODING, "N", 0, "data_coding (0)", 0},
    {"esm-class", KEY_ESM_CLASS, "N", 0, "esm_class (0)", 0},
    {"ton-npi", KEY_TON_NPI, "STON,SNPI,DTON,DNPI", 0, "Type and plan of both addresses (0,1,1,1)", 0},
    {"tlv", KEY_TLV, "TAG:HEX", 0, "Add this TLV to every message; may be repeated (--tlv 0x1401:0a)", 0},
    {NULL, 0, NULL, 0, "Answers:", 3},
    {"timeout", KEY_TIMEOUT, "TIME", 0, "A message not answered by then counts as unanswered (10s)", 0},
    {"retry", KEY_RETRY, "TIME", OPTION_ARG_OPTIONAL,
     "Send again so much (1s) after an answer of ESME_RMSGQFUL, ESME_RTHROTTLED or ESME_RSYSERR, with the "
     "same key",
     0},
    {"retry-max", KEY_RETRY_MAX, "N", 0, "At most so many retries a message", 0},
    {"retry-unanswered", KEY_RETRY_UNANSWERED, NULL, 0,
     "With --retry: unanswered messages too (which may make duplicates, as it does for real clients)", 0},
    {"mo-status", KEY_MO_STATUS, "\"STATUS [SHARE]\"", 0,
     "Answer MO and receipts with this command_status; SHARE: \"10%\", \"next 5\"", 0},
    {"mo-delay", KEY_MO_DELAY, "\"TIME [JITTER] [SHARE]\"", 0, "Answer MO and receipts so much later", 0},
    {"mo-silence", KEY_MO_SILENCE, "\"on [SHARE]\"", 0, "Never answer MO and receipts", 0},
    {NULL, 0, NULL, 0, "The end:", 4},
    {"drain", KEY_DRAIN, "TIME", 0, "Wait so long for missing answers (10s)", 0},
    {"linger", KEY_LINGER, "TIME", 0, "Then stay bound so long, for MO and receipts (0)", 0},
    {"wait-receipts", KEY_WAIT_RECEIPTS, "N", 0, "End the lingering as soon as N receipts have come", 0},
    {"wait-mo", KEY_WAIT_MO, "N", 0, "End the lingering as soon as N MO have come", 0},
    {NULL, 0, NULL, 0, "Records:", 5},
    {"ledger", KEY_LEDGER, "FILE", 0, "Write what happens, a line an event", 0},
    {"progress", KEY_PROGRESS, NULL, 0, "A line a second on stderr", 0},
    {"run", KEY_RUN, "NAME", 0, "The first part of the keys (random)", 0},
    {"seed", KEY_SEED, "N", 0, "Seed of the random choices (by the clock)", 0},
    {"control", KEY_CONTROL, "PATH", 0, "Take commands on this unix socket", 0},
    {NULL, 0, NULL, 0, NULL, 0},
};

static const char doc[] =
    "Plays SMPP clients: binds, sends messages at a rate or as fast as they are answered, receives MO and "
    "receipts.\v"
    "TIME is 250us, 50ms, 2s or 1m, never without a unit. When all sessions are bound it says so on "
    "stderr. "
    "At the end (or at SIGINT or SIGTERM, which stop it gently; a second one, less so) it prints one line of "
    "JSON. "
    "Exit status: 0; 1 where no session could bind. Examples:\n\n"
    "  turnout-load -c 127.0.0.1:2775 -u acme -p secret -n 1000 \\\n"
    "      -f 3001 -t 6427xxxxxxx\n"
    "  turnout-load -c smpp.example:2776 --tls -u acme --password-file pw \\\n"
    "      -s 4 -w 100 -d 1m -r 5000 -P --registered-delivery 1 \\\n"
    "      --linger 10s --ledger acme.ledger\n"
    "  turnout-load -u acme -p secret -b receiver   (receives until Ctrl-C)\n";

struct program {
    struct load_config config;
    const char *control_path;
    bool count_set;
    struct load load;
    struct control *control;
    uv_signal_t signals[2];
};

/* --- options -----------------------------------------------------------------------------------------------
 */

static void want_number(const char *value, uint64_t least, uint64_t most, uint64_t *number,
                        struct argp_state *state)
{
    uint64_t found = 0;
    if (!word_number(value, &found) || found < least || found > most) {
        argp_error(state, "\"%s\": a number from %llu to %llu is wanted", value, (unsigned long long)least,
                   (unsigned long long)most);
        return;
    }
    *number = found;
}

static void want_time(const char *value, uint64_t *ns, struct argp_state *state)
{
    if (!word_duration(value, ns)) {
        argp_error(state, "\"%s\": a time is wanted, such as 250us, 50ms, 2s or 1m", value);
    }
}

static int want_one_of(const char *value, const char *const *names, struct argp_state *state)
{
    for (int i = 0; names[i] != NULL; i++) {
        if (strcmp(value, names[i]) == 0) {
            return i;
        }
    }
    argp_error(state, "\"%s\" is not one of those known, see --help", value);
    return 0;
}

static void want_numbers(struct numbers *numbers, const char *value, struct argp_state *state)
{
    if (!numbers_add(numbers, value)) {
        argp_error(state, "\"%s\": addresses are wanted, such as 3001 or 6427xxxxxxx*3,64211234567", value);
    }
}

/* One of the settings of turnout-smsc, with the same grammar. */
static void want_setting(struct setting *setting, enum smsc_setting like, const char *value,
                         struct argp_state *state)
{
    struct words words;
    char *line = tools_copy(value);
    if (!words_split(line, &words) || !setting_apply(setting, like, &words)) {
        argp_error(state, "\"%s\" cannot be read, see --help", value);
    }
    free(line);
}

static void want_tlv(struct load_config *config, const char *value, struct argp_state *state)
{
    uint8_t octets[LOAD_TLVS_MAX];
    size_t len = 0;
    uint64_t tag = 0;
    char *copy = tools_copy(value);
    char *colon = strchr(copy, ':');
    if (colon != NULL) {
        *colon = '\0';
    }
    bool read = colon != NULL && word_number(copy, &tag) && tag <= UINT16_MAX &&
                word_hex(colon + 1, octets, sizeof(octets), &len);
    free(copy);
    size_t added =
        !read ? 0
              : smpp_encode_tlv(config->tlvs + config->tlvs_len, sizeof(config->tlvs) - config->tlvs_len,
                                (uint16_t)tag, octets, (uint16_t)len);
    if (added == 0) {
        argp_error(state, "\"%s\": TAG:HEX is wanted, such as 0x1401:0a0b", value);
    }
    config->tlvs_len += added;
}

static void want_ton_npi(struct load_config *config, const char *value, struct argp_state *state)
{
    char *copy = tools_copy(value);
    char *rest = NULL;
    size_t n = 0;
    for (char *word = strtok_r(copy, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest), n++) {
        uint64_t number = 0;
        want_number(word, 0, UINT8_MAX, &number, state);
        if (n < 4) {
            config->ton_npi[n] = (uint8_t)number;
        }
    }
    free(copy);
    if (n != 4) {
        argp_error(state, "\"%s\": four numbers are wanted", value);
    }
}

static void read_password(struct load_config *config, const char *path, struct argp_state *state)
{
    static char line[256];
    FILE *file = fopen(path, "re");
    if (file == NULL || fgets(line, sizeof(line), file) == NULL) {
        argp_error(state, "cannot read a password from %s", path);
        return;
    }
    line[strcspn(line, "\r\n")] = '\0';
    config->password = line;
    (void)fclose(file);
}

static error_t connection_option(struct load_config *config, int key, char *value, struct argp_state *state)
{
    static const char *const binds[] = {"transceiver", "transmitter", "receiver", "pair", NULL};
    switch (key) {
    case KEY_CONNECT: config->connect = value; break;
    case KEY_TLS: config->tls = true; break;
    case KEY_CA: config->ca = value; break;
    case KEY_INSECURE: config->insecure = true; break;
    case KEY_SESSIONS: want_number(value, 1, 100000, &config->sessions, state); break;
    case KEY_BIND: config->bind = (enum load_bind)want_one_of(value, binds, state); break;
    case KEY_SYSTEM_ID: config->system_id = value; break;
    case KEY_PASSWORD: config->password = value; break;
    case KEY_PASSWORD_FILE: read_password(config, value, state); break;
    case KEY_SYSTEM_TYPE: config->system_type = value; break;
    case KEY_ADDRESS_RANGE: config->address_range = value; break;
    case KEY_VERSION: want_number(value, 0, UINT8_MAX, &config->version, state); break;
    case KEY_ENQUIRE: want_time(value, &config->enquire_link, state); break;
    case KEY_RECONNECT:
        config->reconnect = true;
        if (value != NULL) {
            want_time(value, &config->reconnect_delay, state);
        }
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static error_t message_option(struct load_config *config, int key, char *value, struct argp_state *state)
{
    static const char *const payloads[] = {"text", "tlv", "data_sm", NULL};
    switch (key) {
    case KEY_FROM: want_numbers(&config->from, value, state); break;
    case KEY_TO: want_numbers(&config->to, value, state); break;
    case KEY_COUNT: want_number(value, 0, UINT64_MAX - 1, &config->count, state); break;
    case KEY_DURATION: want_time(value, &config->duration, state); break;
    case KEY_RATE: want_number(value, 0, 100000000, &config->rate, state); break;
    case KEY_WINDOW: want_number(value, 1, 1000000, &config->window, state); break;
    case KEY_SIZE: want_number(value, 0, LOAD_TEXT_MAX, &config->size, state); break;
    case KEY_PAYLOAD: config->payload = (enum load_payload)want_one_of(value, payloads, state); break;
    case KEY_REGISTERED: want_number(value, 0, UINT8_MAX, &config->registered_delivery, state); break;
    case KEY_DATA_CODING: want_number(value, 0, UINT8_MAX, &config->data_coding, state); break;
    case KEY_ESM_CLASS: want_number(value, 0, UINT8_MAX, &config->esm_class, state); break;
    case KEY_TON_NPI: want_ton_npi(config, value, state); break;
    case KEY_TLV: want_tlv(config, value, state); break;
    default: return connection_option(config, key, value, state);
    }
    return 0;
}

static error_t answer_option(struct load_config *config, int key, char *value, struct argp_state *state)
{
    switch (key) {
    case KEY_TIMEOUT: want_time(value, &config->timeout, state); break;
    case KEY_RETRY:
        config->retry = true;
        if (value != NULL) {
            want_time(value, &config->retry_delay, state);
        }
        break;
    case KEY_RETRY_MAX: want_number(value, 0, UINT32_MAX - 1, &config->retry_max, state); break;
    case KEY_RETRY_UNANSWERED: config->retry_unanswered = true; break;
    case KEY_MO_STATUS: want_setting(&config->mo_status, SET_SUBMIT_STATUS, value, state); break;
    case KEY_MO_DELAY: want_setting(&config->mo_delay, SET_DELAY, value, state); break;
    case KEY_MO_SILENCE: want_setting(&config->mo_silence, SET_SILENCE, value, state); break;
    case KEY_DRAIN: want_time(value, &config->drain, state); break;
    case KEY_LINGER: want_time(value, &config->linger, state); break;
    case KEY_WAIT_RECEIPTS: want_number(value, 1, UINT64_MAX, &config->wait_receipts, state); break;
    case KEY_WAIT_MO: want_number(value, 1, UINT64_MAX, &config->wait_mo, state); break;
    default: return message_option(config, key, value, state);
    }
    return 0;
}

static void finish_options(struct load_config *config, struct argp_state *state)
{
    if (config->payload == PAYLOAD_TEXT && config->size > UINT8_MAX) {
        argp_error(state, "a text over 255 octets needs --payload tlv or data_sm");
    }
    if (config->run != NULL &&
        (strlen(config->run) > 20 || strcspn(config->run, " ;\t\n") != strlen(config->run))) {
        argp_error(state, "--run wants at most 20 letters, without blanks and semicolons");
    }
    if (config->from.count == 0) {
        numbers_add(&config->from, "3001");
    }
    if (config->to.count == 0) {
        numbers_add(&config->to, "6427xxxxxxx,6421xxxxxxx,6422xxxxxxx");
    }
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct program *p = state->input;
    switch (key) {
    case KEY_LEDGER: p->config.ledger = value; return 0;
    case KEY_PROGRESS: p->config.progress = true; return 0;
    case KEY_RUN: p->config.run = value; return 0;
    case KEY_SEED: want_number(value, 1, UINT64_MAX, &p->config.seed, state); return 0;
    case KEY_CONTROL: p->control_path = value; return 0;
    case ARGP_KEY_END: finish_options(&p->config, state); return 0;
    default: return answer_option(&p->config, key, value, state);
    }
}

/* The commands stand at the end of --help. */
static char *help_filter(int key, const char *text, void *input)
{
    (void)input;
    char *all = NULL;
    if (key != ARGP_KEY_HELP_POST_DOC || text == NULL) {
        return (char *)text;
    }
    return asprintf(&all, "%s\n%s", text, load_command_help()) < 0 ? NULL : all;
}

/* --- running -----------------------------------------------------------------------------------------------
 */

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    load_stop(handle->data);
}

static bool start_control(struct program *p)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < 2; i++) {
        uv_signal_init(&p->load.loop, &p->signals[i]);
        p->signals[i].data = &p->load;
        uv_signal_start(&p->signals[i], on_signal, numbers[i]);
    }
    p->control = control_new(&p->load.loop, load_command, &p->load);
    int error = p->control_path == NULL ? 0 : control_listen(p->control, p->control_path);
    if (error < 0) {
        fprintf(stderr, "cannot listen on %s: %s\n", p->control_path, uv_strerror(error));
    }
    return error == 0;
}

static int finish(struct program *p)
{
    control_close(p->control);
    for (size_t i = 0; i < 2; i++) {
        uv_close((uv_handle_t *)&p->signals[i], NULL);
    }
    uv_run(&p->load.loop, UV_RUN_DEFAULT);
    json_t *report = load_report(&p->load);
    char *text = json_dumps(report, JSON_COMPACT | JSON_REAL_PRECISION(9));
    puts(text);
    free(text);
    json_decref(report);
    if (p->load.counters.binds == 0) {
        fprintf(stderr, "no session could bind: %s\n", p->load.last_error);
    }
    control_free(p->control);
    load_free(&p->load);
    return p->load.counters.binds == 0 ? 1 : 0;
}

#define SECOND_NS UINT64_C(1000000000)

static const struct load_config defaults = {
    .connect = "127.0.0.1:2775",
    .sessions = 1,
    .system_id = "turnout",
    .system_type = "",
    .address_range = "",
    .version = 0x34,
    .window = 10,
    .count = UINT64_MAX,
    .ton_npi = {0, 1, 1, 1},
    .size = 100,
    .retry_delay = SECOND_NS,
    .retry_max = UINT32_MAX - 1,
    .timeout = 10 * SECOND_NS,
    .reconnect_delay = SECOND_NS,
    .enquire_link = 30 * SECOND_NS,
    .drain = 10 * SECOND_NS,
};

int main(int argc, char **argv)
{
    static struct program p;
    static const struct argp argp = {options, parse, NULL, doc, NULL, help_filter, NULL};
    argp_program_version = "turnout-load " TURNOUT_VERSION;
    p.config = defaults;
    const char *password = getenv("TURNOUT_PASSWORD");
    p.config.password = password == NULL ? "" : password;
    argp_parse(&argp, argc, argv, 0, NULL, &p);
    signal(SIGPIPE, SIG_IGN);
    int status = 1;
    if (load_start(&p.load, &p.config)) {
        if (!start_control(&p)) {
            load_stop(&p.load);
            load_stop(&p.load);
        }
        uv_run(&p.load.loop, UV_RUN_DEFAULT);
        status = finish(&p);
    }
    numbers_free(&p.config.from);
    numbers_free(&p.config.to);
    return status;
}
